//! File locks: flock(2), POSIX record locks and open-file-description locks (fcntl_locking(2)).
//! Rule F-11: a POSIX lock belongs to a descriptor table and goes when that table closes *any*
//! descriptor of the inode; flock and OFD locks belong to the description and go with its last
//! reference. Neighbours: `file` (filp_close, __fput), `fcntl`, `wait_queue` (Event::Inode).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::fdtable::TableId;
use crate::fs::file::FileId;
use crate::fs::inode::InodeId;
use crate::kernel::Kernel;
use crate::syscall::{Call, Progress, SysResult, Wait};
use crate::task::Pid;
use crate::wait_queue::Event;
use linux_raw_sys::general as raw;

/// Whose a record lock is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LockOwner {
    /// POSIX: everybody who shares this table.
    Table(TableId),
    /// OFD: everybody who shares this description.
    File(FileId),
}

/// One record lock, or a request for one. `exclusive` is F_WRLCK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct RecordLock {
    pub owner: LockOwner,
    pub start: u64,
    /// Its last byte.
    pub end: u64,
    pub exclusive: bool,
    /// l_pid as F_GETLK tells it; None for OFD locks, which say −1.
    pub pid: Option<Pid>,
}

impl RecordLock {
    fn overlaps(&self, other: &RecordLock) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// posix_locks_conflict().
    fn conflicts(&self, other: &RecordLock) -> bool {
        self.owner != other.owner && self.overlaps(other) && (self.exclusive || other.exclusive)
    }
}

/// All locks on one inode.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InodeLocks {
    /// flock(2): who, and whether exclusive.
    flock: Vec<(FileId, bool)>,
    /// Record locks: owner by owner, in the order of their first ones; each one's from the lowest on.
    records: Vec<RecordLock>,
}

impl InodeLocks {
    fn is_empty(&self) -> bool {
        self.flock.is_empty() && self.records.is_empty()
    }

    /// The first lock that stands in the way of `wanted`.
    fn conflict(&self, wanted: &RecordLock) -> Option<RecordLock> {
        self.records.iter().copied().find(|lock| lock.conflicts(wanted))
    }

    /// posix_lock_inode(): takes the owner's own locks out of the range, then puts `new` there if
    /// it is one; neighbours of the same kind become one lock.
    fn set(&mut self, range: RecordLock, lock: bool) {
        let mut records = Vec::with_capacity(self.records.len() + 2);
        let mut owners: Vec<LockOwner> = Vec::new();
        for owner in self.records.iter().map(|lock| lock.owner).chain([range.owner]) {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        let turn = |lock: &RecordLock| owners.iter().position(|owner| *owner == lock.owner);
        for old in self.records.drain(..) {
            if old.owner != range.owner || !old.overlaps(&range) {
                records.push(old);
                continue;
            }
            if old.start < range.start {
                records.push(RecordLock { end: range.start - 1, ..old });
            }
            if old.end > range.end {
                records.push(RecordLock { start: range.end + 1, ..old });
            }
        }
        if lock {
            records.push(range);
        }
        records.sort_by_key(|r| (turn(r), r.start));
        for next in records {
            match self.records.last_mut() {
                Some(last)
                    if last.owner == next.owner
                        && last.exclusive == next.exclusive
                        && last.end.checked_add(1) == Some(next.start) =>
                {
                    last.end = next.end;
                }
                _ => self.records.push(next),
            }
        }
    }
}

/// What F_SETLKW remembers while it waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockProgress {
    /// What is asked for.
    wanted: RecordLock,
    /// Who stands in the way.
    waits_for: LockOwner,
}

/// struct flock, as the user gave it.
struct UserFlock {
    l_type: i16,
    whence: i16,
    start: i64,
    len: i64,
    pid: i32,
}

const OFFSET_MAX: i64 = i64::MAX;

impl Kernel {
    /// flock(2). EWOULDBLOCK with LOCK_NB; a conversion that fails has lost the old lock, as on
    /// Linux.
    pub fn sys_flock(&mut self, call: &mut Call<'_>) -> SysResult {
        let op = call.arg(1) as u32;
        let exclusive = match op & !raw::LOCK_NB {
            raw::LOCK_SH => false,
            raw::LOCK_EX => true,
            raw::LOCK_UN => {
                let file = self.fdget(call, call.int(0))?;
                let inode = self.lockable(call, file)?;
                self.flock_unlock(inode, file);
                return Ok(0);
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        let file = self.fdget(call, call.int(0))?;
        let inode = self.lockable(call, file)?;
        let locks = self.vfs.locks.entry(inode).or_default();
        if locks.flock.contains(&(file, exclusive)) {
            return Ok(0);
        }
        self.flock_unlock(inode, file);
        let locks = self.vfs.locks.entry(inode).or_default();
        if locks.flock.iter().any(|(_, theirs)| exclusive || *theirs) {
            if op & raw::LOCK_NB != 0 {
                return Err(Errno::EAGAIN.into());
            }
            return Err(Wait::on(Event::Inode(inode)).into());
        }
        locks.flock.push((file, exclusive));
        Ok(0)
    }

    fn flock_unlock(&mut self, inode: InodeId, file: FileId) {
        let Some(locks) = self.vfs.locks.get_mut(&inode) else { return };
        let before = locks.flock.len();
        locks.flock.retain(|(owner, _)| *owner != file);
        if locks.flock.len() < before {
            self.locks_changed(inode);
        } else {
            self.forget_locks(inode);
        }
    }

    /// The inode whose locks a description takes. Unlike Linux, what has no name has no locks:
    /// ENOLCK, loudly.
    fn lockable(&mut self, call: &Call<'_>, file: FileId) -> Result<InodeId, Errno> {
        match self.file_inode(file) {
            Some(inode) => Ok(inode),
            None => {
                let what = self.describe_file(file).to_string();
                self.tell(Some(call.task), Fact::unsupported("lock of a nameless file", what));
                Err(Errno::ENOLCK)
            }
        }
    }

    fn forget_locks(&mut self, inode: InodeId) {
        if self.vfs.locks.get(&inode).is_some_and(InodeLocks::is_empty) {
            self.vfs.locks.remove(&inode);
        }
    }

    /// A lock on `inode` went: whoever waits for one looks again.
    fn locks_changed(&mut self, inode: InodeId) {
        self.forget_locks(inode);
        self.publish(Event::Inode(inode));
    }

    /// F_GETLK, F_SETLK, F_SETLKW and their OFD forms.
    pub fn fcntl_lock(&mut self, call: &mut Call<'_>, file: FileId, cmd: u32) -> SysResult {
        let get = [raw::F_GETLK, raw::F_OFD_GETLK].contains(&cmd);
        let wait = [raw::F_SETLKW, raw::F_OFD_SETLKW].contains(&cmd);
        let ofd = [raw::F_OFD_GETLK, raw::F_OFD_SETLK, raw::F_OFD_SETLKW].contains(&cmd);
        if let Progress::Lock(progress) = &call.flight.progress {
            let wanted = progress.wanted;
            let inode = self.lockable(call, file)?;
            let locked = self.posix_lock(call, inode, wanted, wait)?;
            self.closed_meanwhile(call, file)?;
            return Ok(locked);
        }
        let flock = read_flock(call)?;
        let (wanted, unlock) = self.flock_to_posix_lock(call, file, &flock, ofd)?;
        let inode = self.lockable(call, file)?;
        if get {
            if unlock && !ofd {
                return Err(Errno::EINVAL.into());
            }
            return self.fcntl_getlk(call, inode, wanted);
        }
        let flags = self.files[file].flags;
        let open = if wanted.exclusive { flags.writable() } else { flags.readable() };
        if unlock {
            self.vfs.locks.entry(inode).or_default().set(wanted, false);
            self.locks_changed(inode);
            return Ok(0);
        }
        if !open {
            return Err(Errno::EBADF.into());
        }
        self.posix_lock(call, inode, wanted, wait)
    }

    /// fcntl_setlk()'s race with close(2): who waited for a POSIX lock while another thread closed
    /// the descriptor has lost what it got, and what else it held, as any close does: EBADF.
    fn closed_meanwhile(&mut self, call: &Call<'_>, file: FileId) -> Result<(), Errno> {
        let table = self.tasks[call.task].files.expect("the caller has a table");
        let ofd = call.arg(1) as u32 == raw::F_OFD_SETLKW;
        if ofd || self.tables[table].get(call.int(0)) == Ok(file) {
            return Ok(());
        }
        self.locks_remove_posix(table, file);
        Err(Errno::EBADF)
    }

    /// Takes the lock, or says why not: EAGAIN, EDEADLK, or a wait.
    fn posix_lock(
        &mut self,
        call: &mut Call<'_>,
        inode: InodeId,
        wanted: RecordLock,
        wait: bool,
    ) -> SysResult {
        let locks = self.vfs.locks.entry(inode).or_default();
        let Some(other) = locks.conflict(&wanted) else {
            locks.set(wanted, true);
            call.flight.progress = Progress::Fresh;
            // A lock that got weaker lets others in.
            self.publish(Event::Inode(inode));
            return Ok(0);
        };
        if !wait {
            return Err(Errno::EAGAIN.into());
        }
        if self.posix_locks_deadlock(wanted.owner, other.owner) {
            return Err(Errno::EDEADLK.into());
        }
        let progress = LockProgress { wanted, waits_for: other.owner };
        call.flight.progress = Progress::Lock(progress);
        Err(Wait::on(Event::Inode(inode)).into())
    }

    /// Would `owner`, waiting for `other`, wait for itself? Only POSIX locks are looked at: an OFD
    /// lock's owner is not a process.
    fn posix_locks_deadlock(&self, owner: LockOwner, other: LockOwner) -> bool {
        let LockOwner::Table(_) = owner else { return false };
        let waits: Vec<(LockOwner, LockOwner)> = self
            .tasks
            .iter()
            .filter_map(|(_, t)| match &t.in_flight.as_ref()?.progress {
                Progress::Lock(p) => Some((p.wanted.owner, p.waits_for)),
                _ => None, // waits for something else
            })
            .collect();
        let mut at = other;
        for _ in 0..=waits.len() {
            if at == owner {
                return true;
            }
            match waits.iter().find(|(waiter, _)| *waiter == at) {
                Some((_, next)) => at = *next,
                None => return false,
            }
        }
        false
    }

    /// Writes who stands in the way, or F_UNLCK.
    fn fcntl_getlk(
        &mut self,
        call: &mut Call<'_>,
        inode: InodeId,
        wanted: RecordLock,
    ) -> SysResult {
        let at = call.ptr(2);
        let conflict = self.vfs.locks.get(&inode).and_then(|locks| locks.conflict(&wanted));
        let Some(lock) = conflict else {
            call.write_user(at, &(raw::F_UNLCK as u16).to_le_bytes())?;
            return Ok(0);
        };
        let kind = if lock.exclusive { raw::F_WRLCK } else { raw::F_RDLCK };
        let len = if lock.end == OFFSET_MAX as u64 { 0 } else { lock.end - lock.start + 1 };
        let pid = lock.pid.map_or(-1, |pid| self.pid_vnr(call.task, pid) as i32);
        let mut out = [0; 32];
        out[0..2].copy_from_slice(&(kind as u16).to_le_bytes());
        out[8..16].copy_from_slice(&lock.start.to_le_bytes());
        out[16..24].copy_from_slice(&len.to_le_bytes());
        out[24..28].copy_from_slice(&pid.to_le_bytes());
        call.write_user(at, &out)?;
        Ok(0)
    }

    /// flock_to_posix_lock(): EINVAL for a range that begins before the file, EOVERFLOW for one
    /// that ends behind all files. The second value says that the range is to be unlocked.
    fn flock_to_posix_lock(
        &self,
        call: &Call<'_>,
        file: FileId,
        flock: &UserFlock,
        ofd: bool,
    ) -> Result<(RecordLock, bool), Errno> {
        if ofd && flock.pid != 0 {
            return Err(Errno::EINVAL);
        }
        let base = match flock.whence {
            0 => 0,
            1 => self.files[file].pos as i64,
            2 => self.file_stat(file).size as i64,
            _ => return Err(Errno::EINVAL),
        };
        let mut start = base.checked_add(flock.start).ok_or(Errno::EOVERFLOW)?;
        if start < 0 {
            return Err(Errno::EINVAL);
        }
        let end = match flock.len {
            0 => OFFSET_MAX,
            len if len > 0 => start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?,
            len => {
                let end = start - 1;
                start = start.checked_add(len).filter(|s| *s >= 0).ok_or(Errno::EINVAL)?;
                end
            }
        };
        let (exclusive, unlock) = match u32::from(flock.l_type as u16) {
            raw::F_RDLCK => (false, false),
            raw::F_WRLCK => (true, false),
            raw::F_UNLCK => (false, true),
            _ => return Err(Errno::EINVAL),
        };
        let task = &self.tasks[call.task];
        let owner = if ofd {
            LockOwner::File(file)
        } else {
            LockOwner::Table(task.files.expect("the caller has a table"))
        };
        let pid = (!ofd).then_some(self.groups[task.group].tgid);
        Ok((RecordLock { owner, start: start as u64, end: end as u64, exclusive, pid }, unlock))
    }

    /// POSIX locks of `table` on the file's inode go (rule F-11).
    pub fn locks_remove_posix(&mut self, table: TableId, file: FileId) {
        self.remove_records(file, LockOwner::Table(table));
    }

    /// flock and OFD locks of the description go (rule F-11).
    pub fn locks_remove_file(&mut self, file: FileId) {
        if let Some(inode) = self.file_inode(file) {
            self.flock_unlock(inode, file);
        }
        self.remove_records(file, LockOwner::File(file));
    }

    fn remove_records(&mut self, file: FileId, owner: LockOwner) {
        let Some(inode) = self.file_inode(file) else { return };
        let Some(locks) = self.vfs.locks.get_mut(&inode) else { return };
        let before = locks.records.len();
        locks.records.retain(|lock| lock.owner != owner);
        if locks.records.len() < before {
            self.locks_changed(inode);
        }
    }
}

fn read_flock(call: &mut Call<'_>) -> Result<UserFlock, Errno> {
    let bytes: [u8; 32] = call.read_array(call.ptr(2))?;
    let word = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    Ok(UserFlock {
        l_type: i16::from_le_bytes([bytes[0], bytes[1]]),
        whence: i16::from_le_bytes([bytes[2], bytes[3]]),
        start: word(8),
        len: word(16),
        pid: word(24) as i32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::{Tiny, World};

    const FCNTL: u64 = 72;
    const FLOCK: u64 = 73;
    const O_RDWR_CREAT: u32 = 0o102;

    fn flock(w: &mut World, kind: u32, start: i64, len: i64) -> u64 {
        let mut bytes = [0; 32];
        bytes[0..2].copy_from_slice(&(kind as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&start.to_le_bytes());
        bytes[16..24].copy_from_slice(&len.to_le_bytes());
        w.put(&bytes)
    }

    fn lock(w: &mut World, fd: i32, cmd: u32, kind: u32, at: (i64, i64)) -> Result<u64, Errno> {
        let flock = flock(w, kind, at.0, at.1);
        w.sys(FCNTL, &[fd as u64, u64::from(cmd), flock])
    }

    fn world() -> (World, i32, i32) {
        let mut w = World::new(Tiny::default());
        let a = w.open("/tmp/f", O_RDWR_CREAT, 0o644).unwrap();
        let b = w.open("/tmp/f", O_RDWR_CREAT, 0o644).unwrap();
        (w, a, b)
    }

    #[test]
    fn a_range_is_cut_and_joined() {
        let owner = LockOwner::Table(TableId::nobody());
        let range = |start, end, exclusive| RecordLock { owner, start, end, exclusive, pid: None };
        let mut locks = InodeLocks::default();
        locks.set(range(0, 99, true), true);
        locks.set(range(40, 59, false), true);
        let expected = [range(0, 39, true), range(40, 59, false), range(60, 99, true)];
        assert_eq!(locks.records, expected);
        locks.set(range(40, 59, true), true);
        assert_eq!(locks.records, [range(0, 99, true)]);
        locks.set(range(10, 19, false), false);
        assert_eq!(locks.records, [range(0, 9, true), range(20, 99, true)]);
    }

    #[test]
    fn flock_belongs_to_the_description() {
        let (mut w, a, b) = world();
        let nb = u64::from(raw::LOCK_NB);
        assert_eq!(w.sys(FLOCK, &[a as u64, 2]), Ok(0));
        assert_eq!(w.sys(FLOCK, &[b as u64, 1 | nb]), Err(Errno::EAGAIN));
        w.close(a);
        assert_eq!(w.sys(FLOCK, &[b as u64, 1 | nb]), Ok(0));
        w.close(b);
        assert!(w.kernel.vfs.locks.is_empty());
    }

    #[test]
    fn ofd_locks_of_two_descriptions_exclude_each_other_and_posix_locks_of_one_table_do_not() {
        let (mut w, a, b) = world();
        assert_eq!(lock(&mut w, a, raw::F_SETLK, raw::F_WRLCK, (0, 0)), Ok(0));
        assert_eq!(lock(&mut w, b, raw::F_SETLK, raw::F_WRLCK, (0, 0)), Ok(0));
        assert_eq!(lock(&mut w, b, raw::F_OFD_SETLK, raw::F_RDLCK, (5, 1)), Err(Errno::EAGAIN));
        // F-11: closing any descriptor of the inode drops the table's POSIX locks.
        w.close(a);
        assert_eq!(lock(&mut w, b, raw::F_OFD_SETLK, raw::F_WRLCK, (5, 1)), Ok(0));
        let a = w.open("/tmp/f", 0o2, 0).unwrap();
        assert_eq!(lock(&mut w, a, raw::F_OFD_SETLK, raw::F_RDLCK, (0, 5)), Ok(0));
        let at = flock(&mut w, raw::F_WRLCK, 0, 0);
        assert_eq!(w.sys(FCNTL, &[a as u64, u64::from(raw::F_OFD_GETLK), at]), Ok(0));
        let found = &w.user.memory[(at - 0x10_000) as usize..][..32];
        assert_eq!((found[0], found[8], found[16], found[24]), (1, 5, 1, 0xff));
    }

    #[test]
    fn bad_ranges_are_refused() {
        let (mut w, a, _) = world();
        let set = |w: &mut World, kind, at| lock(w, a, raw::F_SETLK, kind, at);
        assert_eq!(set(&mut w, raw::F_WRLCK, (-1, 0)), Err(Errno::EINVAL));
        assert_eq!(set(&mut w, raw::F_WRLCK, (0, -1)), Err(Errno::EINVAL));
        assert_eq!(set(&mut w, raw::F_WRLCK, (2, i64::MAX)), Err(Errno::EOVERFLOW));
        assert_eq!(set(&mut w, 7, (0, 0)), Err(Errno::EINVAL));
        let read_only = w.open("/tmp/f", 0, 0).unwrap();
        let refused = lock(&mut w, read_only, raw::F_SETLK, raw::F_WRLCK, (0, 0));
        assert_eq!(refused, Err(Errno::EBADF));
    }
}
