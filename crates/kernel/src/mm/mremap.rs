//! mremap(2): an area shrinks, grows in place where there is room, or moves with its bytes.
//! Neighbours: `mmap` (do_munmap, addresses), `area` (the algebra).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::mm::{MAX_MAP_COUNT, PAGE_SIZE, Pin, Space, TASK_SIZE, Vma, page_align};
use crate::platform::{Backing, MapChange, Platform};
use crate::syscall::{Call, SysResult};
use linux_raw_sys::general as lx;

/// A checked request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Remap {
    addr: u64,
    old_len: u64,
    new_len: u64,
    flags: u32,
    new_addr: u64,
}

impl Kernel {
    /// mremap(2).
    pub fn sys_mremap(&mut self, call: &mut Call<'_>) -> SysResult {
        let (addr, flags, new_addr) = (call.arg(0), call.arg(3) as u32, call.arg(4));
        let known = lx::MREMAP_MAYMOVE | lx::MREMAP_FIXED | lx::MREMAP_DONTUNMAP;
        let fixed_without_move = flags & (lx::MREMAP_FIXED | lx::MREMAP_DONTUNMAP) != 0
            && flags & lx::MREMAP_MAYMOVE == 0;
        if flags & !known != 0 || fixed_without_move || !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        if flags & lx::MREMAP_DONTUNMAP != 0 {
            self.tell(Some(call.task), Fact::unsupported("mremap MREMAP_DONTUNMAP", ""));
            return Err(Errno::EINVAL.into());
        }
        let old_len = page_align(call.arg(1)).ok_or(Errno::EINVAL)?;
        let new_len = page_align(call.arg(2)).filter(|l| *l > 0).ok_or(Errno::EINVAL)?;
        let at = self.space(call.task);
        let remap = Remap { addr, old_len, new_len, flags, new_addr };
        Ok(self.do_mremap(at, call.user, remap)?)
    }

    fn do_mremap(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        remap: Remap,
    ) -> Result<u64, Errno> {
        let Remap { addr, old_len, new_len, flags, new_addr } = remap;
        if flags & lx::MREMAP_FIXED != 0 {
            return self.mremap_to(at, user, remap, new_addr);
        }
        if old_len >= new_len {
            if self.mms[at.mm].areas.find(addr).is_none() {
                return Err(Errno::EFAULT);
            }
            self.can_modify_mm(at, addr, addr + old_len.max(1))?;
            if old_len > new_len {
                self.do_munmap(at, user, addr + new_len, old_len - new_len)?;
            }
            return Ok(addr);
        }
        let (start, vma) = self.vma_to_resize(at, user, remap)?;
        let end = addr + old_len;
        let fits = end == vma.end
            && addr <= self.mms[at.mm].range.1.saturating_sub(new_len)
            && self.mms[at.mm].areas.is_free(end, addr + new_len);
        if fits {
            self.grow_in_place(at, user, start, &vma, addr + new_len)?;
            return Ok(addr);
        }
        if flags & lx::MREMAP_MAYMOVE == 0 {
            return Err(Errno::ENOMEM);
        }
        let to = self.mms[at.mm].get_unmapped_area(0, new_len)?;
        self.move_vma(at, user, remap, (start, vma), to)
    }

    /// vma_to_resize(): the one area that holds all of the old range; EFAULT if there is none.
    fn vma_to_resize(
        &self,
        at: Space,
        user: &mut dyn Platform,
        remap: Remap,
    ) -> Result<(u64, Vma), Errno> {
        let Remap { addr, old_len, new_len, .. } = remap;
        let areas = &self.mms[at.mm].areas;
        let (start, vma) = areas.find(addr).ok_or(Errno::EFAULT)?;
        if old_len == 0 && !vma.flags.shared {
            return Err(Errno::EINVAL);
        }
        if vma.flags.sealed {
            return Err(Errno::EPERM);
        }
        if old_len > vma.end - addr {
            return Err(Errno::EFAULT);
        }
        let more = new_len.saturating_sub(old_len);
        if vma.offset.checked_add(addr - start).and_then(|o| o.checked_add(new_len)).is_none() {
            return Err(Errno::EINVAL);
        }
        self.mlock_future_ok(at, vma.flags.locked, more)?;
        self.may_expand_vm(at, more)?;
        if vma.is_charged() {
            self.vm_enough_memory(more, user)?;
        }
        Ok((start, vma.clone()))
    }

    /// The area goes on behind its end.
    fn grow_in_place(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        start: u64,
        vma: &Vma,
        new_end: u64,
    ) -> Result<(), Errno> {
        let (from, len) = (vma.end, new_end - vma.end);
        let mut more = vma.clone();
        more.backing = vma.backing_at(start, from);
        more.offset = if vma.pin.is_some() { vma.offset + (from - start) } else { 0 };
        more.end = new_end;
        let (prot, backing) = (more.prot, more.backing.clone());
        self.resize_shmem(user, &more, len)?;
        self.change_map(at, user, &[MapChange::Map { start: from, len, prot, backing }])?;
        self.insert_area(at, user, from, more);
        Ok(())
    }

    /// MREMAP_FIXED.
    fn mremap_to(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        remap: Remap,
        to: u64,
    ) -> Result<u64, Errno> {
        let Remap { addr, old_len, new_len, .. } = remap;
        let (low, high) = self.mms[at.mm].range;
        if !to.is_multiple_of(PAGE_SIZE) || new_len > TASK_SIZE || to > TASK_SIZE - new_len {
            return Err(Errno::EINVAL);
        }
        if addr < to + new_len && to < addr.saturating_add(old_len) {
            return Err(Errno::EINVAL);
        }
        if to < low || to + new_len > high {
            return Err(Errno::ENOMEM);
        }
        if self.mms[at.mm].areas.len() + 4 > MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        self.can_modify_mm(at, to, to + new_len)?;
        let mut remap = remap;
        if old_len > new_len {
            // shrink_vma() first: what is behind the new length goes.
            self.do_munmap(at, user, addr + new_len, old_len - new_len)?;
            remap.old_len = new_len;
        }
        let area = self.vma_to_resize(at, user, remap)?;
        self.move_vma(at, user, remap, area, to)
    }

    /// move_vma(): the old range is free afterwards. With old_len 0 a second mapping of the same
    /// shared memory is made.
    fn move_vma(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        remap: Remap,
        (start, vma): (u64, Vma),
        to: u64,
    ) -> Result<u64, Errno> {
        let Remap { addr, old_len, new_len, .. } = remap;
        let mut moved = vma.clone();
        moved.backing = vma.backing_at(start, addr);
        moved.offset = if vma.pin.is_some() { vma.offset + (addr - start) } else { 0 };
        moved.end = to + new_len;
        let change = if old_len == 0 {
            let (prot, backing) = (moved.prot, moved.backing.clone());
            MapChange::Map { start: to, len: new_len, prot, backing }
        } else {
            MapChange::Move { from: addr, old_len, to, new_len }
        };
        self.resize_shmem(user, &moved, new_len)?;
        self.change_map(at, user, &[change])?;
        // In first, out second: what the area keeps alive is never without a holder.
        self.insert_area(at, user, to, moved);
        self.remove_areas(at, user, addr, addr + old_len);
        Ok(to)
    }

    /// Shared anonymous memory has no size of its own in the guest's eyes: unlike Linux, where the
    /// new part raises SIGBUS, it grows with its mapping.
    fn resize_shmem(&mut self, user: &mut dyn Platform, vma: &Vma, len: u64) -> Result<(), Errno> {
        match (&vma.pin, &vma.backing) {
            (Some(Pin::Shmem(id)), Backing::Object { offset, .. }) => {
                user.object_resize(*id, offset + len)
            }
            (Some(Pin::Shmem(_) | Pin::File(_) | Pin::SysV(_)) | None, _) => Ok(()),
        }
    }
}
