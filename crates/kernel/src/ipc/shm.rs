//! System V shared memory: shmget(2), shmat(2), shmdt(2). A segment's bytes live in one object of
//! the platform from its making to its end, which comes when it was removed and nothing has it
//! attached any more: areas say so by their pin ([`Pin::SysV`]), so that munmap, exec and exit_mm
//! detach by themselves (rules; step 10 of X-7 has nothing to do, as with
//! kernel.shm_rmid_forced = 0). Neighbours: `shm_ctl` (shmctl), `mm` (areas), `ipc` (identifiers).

use super::namespace::{AllIds, IpcId, IpcNs};
use super::{IpcPerm, S_IRUGO, S_IWUGO, S_IXUGO};
use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::mm::area::{VmFlags, Vma};
use crate::mm::{MAX_MAP_COUNT, PAGE_SIZE, Pin, Space, page_align};
use crate::platform::{Backing, MapChange, ObjectId, Platform, Prot};
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;

/// Attach for reading only.
const SHM_RDONLY: i32 = 0o10000;
/// Round the address down to a page.
const SHM_RND: i32 = 0o20000;
/// Replace what is mapped there.
const SHM_REMAP: i32 = 0o40000;
/// Attach for execution too.
const SHM_EXEC: i32 = 0o100_000;
/// shmget: of huge pages.
const SHM_HUGETLB: i32 = 0o4000;
/// In a mode: it was removed and goes with the last detach.
pub const SHM_DEST: u32 = 0o1000;

/// shmid_kernel: one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Shm {
    /// Bytes as asked for.
    pub size: u64,
    pub object: ObjectId,
    /// The key that it was made with, which names it in /proc/PID/maps.
    pub made_as: i32,
    pub atime: i64,
    pub dtime: i64,
    pub ctime: i64,
    /// Who made it, and who attached or detached last; 0 for nobody.
    pub cpid: u32,
    pub lpid: u32,
    /// How many address spaces have areas of it.
    spaces: u32,
}

impl Shm {
    /// Pages that it takes.
    pub fn pages(&self) -> u64 {
        self.size.div_ceil(PAGE_SIZE)
    }
}

/// All of a host's segments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedMemory {
    /// The segments.
    pub ids: AllIds<Shm>,
}

impl SharedMemory {
    /// Pages of all segments of the host. They are charged whole when a segment is made.
    pub fn pages(&self) -> u64 {
        self.ids.iter().map(|segment| segment.what.pages()).sum()
    }

    /// shm_tot: those of one namespace.
    pub fn pages_of(&self, ns: IpcNs) -> u64 {
        self.ids.of(ns).iter().map(|segment| segment.what.pages()).sum()
    }
}

impl Kernel {
    /// shmget(2).
    pub fn sys_shmget(&mut self, call: &mut Call<'_>) -> SysResult {
        let (key, size, flags) = (call.int(0), call.arg(1), call.int(2));
        let (ns, caps) = (self.ipc_ns(call.task), self.ipc_caps(call.task));
        let cred = &self.tasks[call.task].cred;
        let ids = self.ipc.shm.ids.of(ns);
        if let Some(id) = ids.find((cred, caps), key, flags, |shm| shm.size < size)? {
            return Ok(id as u64);
        }
        let limits = self.ipc_limits(call.task);
        let (most, pages) = (limits.shmmni as usize, limits.shmall);
        if size == 0 || size > limits.shmmax {
            return Err(Errno::EINVAL.into());
        }
        let len = page_align(size).ok_or(Errno::ENOSPC)?;
        let in_all = self.ipc.shm.pages_of(ns) + len / PAGE_SIZE;
        if ids.in_use() >= most || in_all > pages {
            return Err(Errno::ENOSPC.into());
        }
        if flags & SHM_HUGETLB != 0 {
            // What Linux says where no huge pages were set aside.
            let errno = if cred.capable(Cap::IpcLock) { Errno::ENOMEM } else { Errno::EPERM };
            self.tell(Some(call.task), Fact::unsupported("shmget SHM_HUGETLB", ""));
            return Err(errno.into());
        }
        // SHM_NORESERVE changes nothing: it is charged when it is made.
        self.vm_enough_memory(len, call.user)?;
        let object = call.user.object_create(len)?;
        let (cpid, ctime) = (self.tgid(call.task).0, self.real_seconds());
        let (made_as, lpid, spaces) = (key, 0, 0);
        let shm = Shm { size, object, made_as, atime: 0, dtime: 0, ctime, cpid, lpid, spaces };
        let perm = IpcPerm::new(&self.tasks[call.task].cred, key, flags);
        let id = self.ipc.shm.ids.of_mut(ns).add(perm, shm, most);
        Ok(id.inspect_err(|_| call.user.object_release(object))? as u64)
    }

    /// shmat(2).
    pub fn sys_shmat(&mut self, call: &mut Call<'_>) -> SysResult {
        let (id, mut addr, flags) = (self.ipc_id(call)?, call.arg(1), call.int(2));
        if addr == 0 && flags & SHM_REMAP != 0 {
            return Err(Errno::EINVAL.into());
        }
        let fixed = addr != 0;
        if !addr.is_multiple_of(PAGE_SIZE) {
            if flags & SHM_RND == 0 || addr < PAGE_SIZE && flags & SHM_REMAP != 0 {
                return Err(Errno::EINVAL.into());
            }
            addr -= addr % PAGE_SIZE;
        }
        let (mut prot, mut wanted) = match flags & SHM_RDONLY {
            0 => (3, S_IRUGO | S_IWUGO),
            _ => (1, S_IRUGO),
        };
        if flags & SHM_EXEC != 0 {
            (prot, wanted) = (prot | 4, wanted | S_IXUGO);
        }
        let segment = self.ipc.shm.ids.get(id)?;
        segment.perm.check(&self.tasks[call.task].cred, self.ipc_caps(call.task), wanted)?;
        let vma = segment_area(id, &segment.what, prot);
        let at = self.space(call.task);
        let len = vma.end;
        let start = if fixed {
            let areas = &self.mms[at.mm].areas;
            let end = addr.checked_add(len).ok_or(Errno::EINVAL)?;
            if flags & SHM_REMAP == 0 && !areas.is_free(addr, end) {
                return Err(Errno::EINVAL.into());
            }
            self.mms[at.mm].check_fixed(addr, len)?;
            addr
        } else {
            self.mms[at.mm].get_unmapped_area(0, len)?
        };
        self.map_segment(at, call.user, start, vma)?;
        Ok(start)
    }

    /// do_mmap() of a segment's `vma`, whose end is its length, at `start`.
    fn map_segment(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        start: u64,
        mut vma: Vma,
    ) -> Result<(), Errno> {
        let len = vma.end;
        let mm = &self.mms[at.mm];
        if mm.areas.len() > MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        vma.flags.locked = mm.locks_future;
        vma.end += start;
        self.mlock_future_ok(at, vma.flags.locked, len)?;
        self.may_expand_vm(at, len)?;
        let change = MapChange::Map { start, len, prot: vma.prot, backing: vma.backing.clone() };
        self.change_map(at, user, &[change])?;
        self.insert_area(at, user, start, vma);
        Ok(())
    }

    /// shmdt(2): the pieces of the segment that was attached at this address, as far as they are
    /// still where they were.
    pub fn sys_shmdt(&mut self, call: &mut Call<'_>) -> SysResult {
        let addr = call.arg(0);
        let at = self.space(call.task);
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let mut segment = None;
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        for (start, vma) in self.mms[at.mm].areas.overlapping(addr, u64::MAX) {
            let Some(Pin::SysV(id)) = vma.pin else { continue };
            if start < addr || start - addr != vma.offset {
                continue;
            }
            let first = *segment.get_or_insert(id);
            let size = self.ipc.shm.ids.get(first)?.what.pages() * PAGE_SIZE;
            if first == id && vma.end - addr <= size {
                pieces.push((start, vma.end - start));
            }
        }
        if pieces.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        for (start, len) in pieces {
            self.do_munmap(at, call.user, start, len)?;
        }
        Ok(0)
    }

    /// shm_open(): one address space more has areas of it; `task` made them.
    pub(crate) fn shm_open(&mut self, task: TaskId, id: IpcId) {
        let (pid, now) = (self.tgid(task).0, self.real_seconds());
        let segment = self.ipc.shm.ids.get_mut(id).expect("an area keeps its segment");
        let shm = &mut segment.what;
        (shm.atime, shm.lpid, shm.spaces) = (now, pid, shm.spaces + 1);
    }

    /// shm_close(): one address space less; the last one takes a removed segment with it.
    pub(crate) fn shm_close(&mut self, task: TaskId, id: IpcId, user: &mut dyn Platform) {
        let (pid, now) = (self.tgid(task).0, self.real_seconds());
        let segment = self.ipc.shm.ids.get_mut(id).expect("an area keeps its segment");
        let shm = &mut segment.what;
        (shm.dtime, shm.lpid, shm.spaces) = (now, pid, shm.spaces - 1);
        if shm.spaces == 0 && segment.perm.mode & SHM_DEST != 0 {
            self.shm_destroy(id);
            self.release_dead_objects(user);
        }
    }

    /// do_shm_rmid(): at once where nothing has it attached; else no key finds it any more.
    pub(super) fn shm_rmid(&mut self, id: IpcId) {
        let Ok(segment) = self.ipc.shm.ids.get_mut(id) else { return };
        if segment.what.spaces == 0 {
            self.shm_destroy(id);
        } else {
            segment.perm.mode |= SHM_DEST;
            self.ipc.shm.ids.of_mut(id.ns).forget_key(id.id);
        }
    }

    /// shm_destroy(): the platform hears of it by release_dead_objects().
    fn shm_destroy(&mut self, id: IpcId) {
        if let Some(gone) = self.ipc.shm.ids.remove(id) {
            self.vfs.dead_objects.push(gone.what.object);
        }
    }

    /// shm_nattch: areas of it, in whatever address space.
    pub(super) fn shm_nattch(&self, id: IpcId) -> u64 {
        let pin = Some(Pin::SysV(id));
        let of = |mm: &crate::mm::Mm| mm.areas.iter().filter(|(_, vma)| vma.pin == pin).count();
        self.mms.iter().map(|(_, mm)| of(mm) as u64).sum()
    }
}

/// The area of a whole segment, with its length for an end.
fn segment_area(id: IpcId, shm: &Shm, prot: Prot) -> Vma {
    let mut vma = Vma::anonymous(shm.pages() * PAGE_SIZE, prot);
    // Attached for reading, it can't be made writable (VM_MAYWRITE).
    vma.max_prot = if prot & 2 == 0 { 5 } else { 7 };
    vma.flags = VmFlags { shared: true, ..VmFlags::default() };
    vma.backing = Backing::Object { id: shm.object, offset: 0, shared: true };
    vma.pin = Some(Pin::SysV(id));
    vma
}
