//! mseal(2): areas that nothing takes away or changes any more; and remap_file_pages(2), which puts
//! another part of a shared file where one is mapped. Neighbours: `mmap`, `mremap`, `advice` (which
//! ask `can_modify_mm`).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::{PAGE_SIZE, Space, page_align};
use crate::platform::MapChange;
use crate::syscall::{Call, SysResult};

impl Kernel {
    /// mseal(2). EINVAL for flags, an unaligned start or a range that wraps; ENOMEM for a hole.
    pub fn sys_mseal(&mut self, call: &mut Call<'_>) -> SysResult {
        let (start, len, flags) = (call.arg(0), call.arg(1), call.arg(2));
        if flags != 0 || !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let len = page_align(len).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
        if len == 0 {
            return Ok(0);
        }
        let mm = self.space(call.task).mm;
        let areas = &mut self.mms[mm].areas;
        if !areas.is_covered(start, end) {
            return Err(Errno::ENOMEM.into());
        }
        areas.change(start, end, |vma| vma.flags.sealed = true);
        Ok(0)
    }

    /// can_modify_mm(): EPERM if a part of the range is sealed.
    pub(super) fn can_modify_mm(&self, at: Space, start: u64, end: u64) -> Result<(), Errno> {
        let mut areas = self.mms[at.mm].areas.overlapping(start, end);
        if areas.any(|(_, vma)| vma.flags.sealed) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// remap_file_pages(2): EINVAL unless the range is within one shared mapping, and for a
    /// protection, which stays what it was.
    pub fn sys_remap_file_pages(&mut self, call: &mut Call<'_>) -> SysResult {
        let mask = !(PAGE_SIZE - 1);
        let (start, len, prot, pgoff) =
            (call.arg(0) & mask, call.arg(1) & mask, call.arg(2), call.arg(3));
        let end = start.checked_add(len).filter(|end| *end > start).ok_or(Errno::EINVAL)?;
        let offset = pgoff.checked_mul(PAGE_SIZE).ok_or(Errno::EINVAL)?;
        if prot != 0 || offset.checked_add(len).is_none() {
            return Err(Errno::EINVAL.into());
        }
        let at = self.space(call.task);
        let areas = &self.mms[at.mm].areas;
        let (first, vma) = areas.find(start).ok_or(Errno::EINVAL)?;
        if !vma.flags.shared {
            return Err(Errno::EINVAL.into());
        }
        // What an earlier call took apart is still of the same file.
        let same = |other: &crate::mm::Vma| (other.pin, other.flags) == (vma.pin, vma.flags);
        let whole = areas.is_covered(start, end)
            && areas.overlapping(start, end).all(|(_, other)| same(other));
        if !whole {
            return Err(Errno::EINVAL.into());
        }
        self.can_modify_mm(at, start, end)?;
        // The backing where the file's first byte would be, and as far beyond as is asked for.
        let base = vma.backing_at(first, start);
        let here = vma.offset + (start - first);
        let mut moved = vma.clone();
        (moved.end, moved.offset) = (end, offset);
        moved.backing = base.moved(here, offset).ok_or(Errno::EINVAL)?;
        let (prot, backing) = (moved.prot, moved.backing.clone());
        self.change_map(at, call.user, &[MapChange::Map { start, len, prot, backing }])?;
        self.insert_area(at, call.user, start, moved);
        Ok(0)
    }
}
