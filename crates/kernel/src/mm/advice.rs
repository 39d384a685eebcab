//! madvise(2), msync(2), mincore(2), mlock(2) and relatives: mostly hints, which are checked and
//! stored; MADV_DONTNEED and the fork advices are real. Neighbours: `area`, `mmap`.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::mm::{PAGE_SIZE, Space, Vma, page_align};
use crate::platform::{Backing, MapChange, Platform};
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::task::rlimit::RLIMIT_MEMLOCK;
use linux_raw_sys::general as lx;

/// What an advice does.
#[derive(Clone, Copy, Debug)]
enum Advice {
    /// Nothing that anybody could see.
    Hint,
    /// Pages read as at first.
    Discard,
    Change(fn(&mut Vma)),
    /// Not here: EINVAL, as a Linux without it.
    Unsupported,
    /// No such advice.
    Unknown,
}

fn advice(number: u32) -> Advice {
    match number {
        lx::MADV_NORMAL
        | lx::MADV_RANDOM
        | lx::MADV_SEQUENTIAL
        | lx::MADV_WILLNEED
        | lx::MADV_HUGEPAGE
        | lx::MADV_NOHUGEPAGE
        | lx::MADV_COLD
        | lx::MADV_PAGEOUT
        | lx::MADV_POPULATE_READ
        | lx::MADV_POPULATE_WRITE
        | lx::MADV_DONTDUMP
        | lx::MADV_DODUMP => Advice::Hint,
        // The pages may be freed at any time, or never: never is the same in every run.
        lx::MADV_FREE => Advice::Hint,
        lx::MADV_DONTNEED | lx::MADV_DONTNEED_LOCKED => Advice::Discard,
        lx::MADV_DONTFORK => Advice::Change(|v| v.flags.dontfork = true),
        lx::MADV_DOFORK => Advice::Change(|v| v.flags.dontfork = false),
        lx::MADV_WIPEONFORK => Advice::Change(|v| v.flags.wipeonfork = true),
        lx::MADV_KEEPONFORK => Advice::Change(|v| v.flags.wipeonfork = false),
        // 102 and 103: guard pages, since 6.13.
        lx::MADV_MERGEABLE | lx::MADV_UNMERGEABLE => Advice::Unsupported, // no CONFIG_KSM
        lx::MADV_REMOVE | lx::MADV_COLLAPSE | 102 | 103 => Advice::Unsupported,
        _ => Advice::Unknown,
    }
}

impl Kernel {
    /// madvise(2): what is mapped is advised; ENOMEM afterwards if there was a hole.
    pub fn sys_madvise(&mut self, call: &mut Call<'_>) -> SysResult {
        let (start, number) = (call.arg(0), call.arg(2) as u32);
        let kind = advice(number);
        match kind {
            Advice::Unknown => return Err(Errno::EINVAL.into()),
            Advice::Unsupported => {
                self.tell(Some(call.task), Fact::unsupported("madvise", format!("{number}")));
                return Err(Errno::EINVAL.into());
            }
            Advice::Hint | Advice::Discard | Advice::Change(_) => {}
        }
        let Some((start, end)) = range(start, call.arg(1), Errno::EINVAL)? else { return Ok(0) };
        let at = self.space(call.task);
        let areas = &self.mms[at.mm].areas;
        let covered = areas.is_covered(start, end);
        if number == lx::MADV_WIPEONFORK
            && areas.overlapping(start, end).any(|(_, v)| v.pin.is_some() || v.flags.shared)
        {
            return Err(Errno::EINVAL.into());
        }
        self.may_advise(at, number, start, end)?;
        match kind {
            Advice::Discard => self.discard(at, call.user, start, end)?,
            Advice::Change(change) => self.mms[at.mm].areas.change(start, end, change),
            Advice::Hint | Advice::Unsupported | Advice::Unknown => {}
        }
        if covered { Ok(0) } else { Err(Errno::ENOMEM.into()) }
    }

    /// What an advice that takes bytes away may not be about: EPERM for sealed memory that could not
    /// be written (can_madvise_modify), EINVAL for locked memory, and for MADV_FREE of a file.
    fn may_advise(&self, at: Space, number: u32, start: u64, end: u64) -> Result<(), Errno> {
        let takes = matches!(
            number,
            lx::MADV_FREE
                | lx::MADV_DONTNEED
                | lx::MADV_DONTNEED_LOCKED
                | lx::MADV_DONTFORK
                | lx::MADV_WIPEONFORK
        );
        for (_, vma) in self.mms[at.mm].areas.overlapping(start, end).filter(|_| takes) {
            if vma.flags.sealed && vma.prot & lx::PROT_WRITE == 0 && !vma.flags.shared {
                return Err(Errno::EPERM);
            }
            let anonymous = vma.pin.is_none() && vma.backing == Backing::Anonymous;
            if number == lx::MADV_DONTNEED && vma.flags.locked
                || number == lx::MADV_FREE && !anonymous
            {
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// MADV_DONTNEED: private memory is as freshly mapped; shared memory keeps its bytes, which
    /// belong to the object.
    fn discard(
        &mut self,
        at: Space,
        user: &mut dyn Platform,
        start: u64,
        end: u64,
    ) -> Result<(), Errno> {
        let areas = &self.mms[at.mm].areas;
        let private = areas.overlapping(start, end).filter(|(_, v)| !v.flags.shared);
        let changes: Vec<MapChange> = private
            .map(|(s, v)| (s.max(start), v.end.min(end)))
            .map(|(s, e)| MapChange::Discard { start: s, len: e - s })
            .collect();
        self.change_map(at, user, &changes)
    }

    /// msync(2): mapping and file are one; only the checks are left. EBUSY to invalidate what is
    /// locked.
    pub fn sys_msync(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(2) as u32;
        let both = lx::MS_ASYNC | lx::MS_SYNC;
        if flags & !(both | lx::MS_INVALIDATE) != 0 || flags & both == both {
            return Err(Errno::EINVAL.into());
        }
        let Some((start, end)) = range(call.arg(0), call.arg(1), Errno::ENOMEM)? else {
            return Ok(0);
        };
        let areas = &self.mm_of(call.task).areas;
        let covered = areas.is_covered(start, end);
        let locked = areas.overlapping(start, end).any(|(_, vma)| vma.flags.locked);
        if flags & lx::MS_INVALIDATE != 0 && locked {
            return Err(Errno::EBUSY.into());
        }
        if covered { Ok(0) } else { Err(Errno::ENOMEM.into()) }
    }

    /// mincore(2): everything mapped is there.
    pub fn sys_mincore(&mut self, call: &mut Call<'_>) -> SysResult {
        let (start, len, vec) = (call.arg(0), call.arg(1), call.ptr(2));
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let len = page_align(len).ok_or(Errno::ENOMEM)?;
        let end = start.checked_add(len).ok_or(Errno::ENOMEM)?;
        if !self.mm_of(call.task).areas.is_covered(start, end) {
            return Err(Errno::ENOMEM.into());
        }
        call.write_user(vec, &vec![1; (len / PAGE_SIZE) as usize])?;
        Ok(0)
    }

    /// mlock(2).
    pub fn sys_mlock(&mut self, call: &mut Call<'_>) -> SysResult {
        self.set_locked(call, true)
    }

    /// mlock2(2).
    pub fn sys_mlock2(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.arg(2) & !u64::from(lx::MLOCK_ONFAULT) != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.set_locked(call, true)
    }

    /// munlock(2).
    pub fn sys_munlock(&mut self, call: &mut Call<'_>) -> SysResult {
        self.set_locked(call, false)
    }

    /// can_do_mlock(): by privilege, or within a limit that is not 0.
    pub(super) fn can_do_mlock(&self, task: TaskId) -> bool {
        self.tasks[task].cred.capable(Cap::IpcLock) || self.rlimit(task, RLIMIT_MEMLOCK) > 0
    }

    /// mlock_future_ok(): may so much more be mapped, if it is `locked` at once? EAGAIN beyond
    /// RLIMIT_MEMLOCK.
    pub(crate) fn mlock_future_ok(&self, at: Space, locked: bool, more: u64) -> Result<(), Errno> {
        if !locked || self.tasks[at.task].cred.capable(Cap::IpcLock) {
            return Ok(());
        }
        let limit = self.rlimit(at.task, RLIMIT_MEMLOCK);
        let have = self.mms[at.mm].areas.locked();
        if have.saturating_add(more) > limit { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    fn set_locked(&mut self, call: &mut Call<'_>, locked: bool) -> SysResult {
        let (addr, len) = (call.arg(0), call.arg(1));
        let start = addr & !(PAGE_SIZE - 1);
        let len = len.checked_add(addr - start).and_then(page_align).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
        if locked && !self.can_do_mlock(call.task) {
            return Err(Errno::EPERM.into());
        }
        let at = self.space(call.task);
        if locked && self.mlock_future_ok(at, true, len).is_err() {
            return Err(Errno::ENOMEM.into());
        }
        let areas = &mut self.mms[at.mm].areas;
        let covered = areas.is_covered(start, end);
        areas.change(start, end, |v| v.flags.locked = locked);
        if covered { Ok(0) } else { Err(Errno::ENOMEM.into()) }
    }

    /// mlockall(2): what there is, and what is mapped from now on; without MCL_FUTURE that ends.
    pub fn sys_mlockall(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(0) as u32;
        let known = lx::MCL_CURRENT | lx::MCL_FUTURE | lx::MCL_ONFAULT;
        if flags == 0 || flags & !known != 0 || flags == lx::MCL_ONFAULT {
            return Err(Errno::EINVAL.into());
        }
        if !self.can_do_mlock(call.task) {
            return Err(Errno::EPERM.into());
        }
        let limit = self.rlimit(call.task, RLIMIT_MEMLOCK);
        let current = flags & lx::MCL_CURRENT != 0;
        let mm = self.space(call.task).mm;
        let privileged = self.tasks[call.task].cred.capable(Cap::IpcLock);
        let mm = &mut self.mms[mm];
        if current && !privileged && mm.areas.total() > limit {
            return Err(Errno::ENOMEM.into());
        }
        mm.locks_future = flags & lx::MCL_FUTURE != 0;
        if current {
            mm.areas.change(0, u64::MAX, |v| v.flags.locked = true);
        }
        Ok(0)
    }

    /// munlockall(2).
    pub fn sys_munlockall(&mut self, call: &mut Call<'_>) -> SysResult {
        let mm = self.space(call.task).mm;
        self.mms[mm].locks_future = false;
        self.mms[mm].areas.change(0, u64::MAX, |v| v.flags.locked = false);
        Ok(0)
    }
}

/// A page-aligned start and a length, as a range; None if it is empty. EINVAL if unaligned,
/// `wrapped` if it goes round the end of the address space.
fn range(start: u64, len: u64, wrapped: Errno) -> Result<Option<(u64, u64)>, Errno> {
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let len = page_align(len).ok_or(wrapped)?;
    let end = start.checked_add(len).ok_or(wrapped)?;
    Ok((end > start).then_some((start, end)))
}
