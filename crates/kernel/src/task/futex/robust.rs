//! What a death leaves in memory for others: the robust list (rule X-14) and, by the same walk, PI
//! locks. set_robust_list(2), get_robust_list(2). Called by exec and exit through
//! `mm_release` (task/exit), while the memory is still there (rule X-7, step 5).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::platform::{GuestId, Platform, UserPtr};
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;

/// FUTEX_WAITERS.
pub const WAITERS: u32 = 0x8000_0000;
/// FUTEX_OWNER_DIED.
pub const OWNER_DIED: u32 = 0x4000_0000;
/// FUTEX_TID_MASK.
pub const TID_MASK: u32 = 0x3fff_ffff;
/// ROBUST_LIST_LIMIT.
const LIMIT: usize = 2048;
/// sizeof(struct robust_list_head).
const HEAD_SIZE: u64 = 24;

/// An entry of the list: its address, and whether its low bit said "PI".
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: u64,
    pi: bool,
}

impl Entry {
    fn new(word: u64) -> Entry {
        Entry { at: word & !1, pi: word & 1 != 0 }
    }
}

impl Kernel {
    /// set_robust_list(2).
    pub fn sys_set_robust_list(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.arg(1) != HEAD_SIZE {
            return Err(Errno::EINVAL.into());
        }
        self.tasks[call.task].robust_list = call.ptr(0);
        Ok(0)
    }

    /// get_robust_list(2): ESRCH, EPERM for a process of somebody else.
    pub fn sys_get_robust_list(&mut self, call: &mut Call<'_>) -> SysResult {
        let target = match call.int(0) {
            0 => call.task,
            tid => self.find_task_by_vpid(call.task, tid).ok_or(Errno::ESRCH)?,
        };
        let (mine, theirs) = (&self.tasks[call.task].cred, &self.tasks[target].cred);
        let same = |id| [theirs.euid, theirs.suid, theirs.uid].iter().all(|t| *t == id);
        if call.task != target
            && !same(mine.uid)
            && !self.ns_capable(call.task, theirs.user_ns, Cap::SysPtrace)
        {
            return Err(Errno::EPERM.into());
        }
        let head = self.tasks[target].robust_list;
        call.write_u64(call.ptr(2), HEAD_SIZE)?;
        call.write_u64(call.ptr(1), head.0)?;
        Ok(0)
    }

    /// futex_exit_release(): locks of the dying (or exec'ing) task pass on.
    pub fn futex_exit_release(&mut self, task: TaskId, user: &mut dyn Platform) {
        self.futexes.forget(task);
        self.exit_robust_list(task, user);
        self.exit_pi_state_list(task, user);
    }

    /// exit_robust_list(): at most 2048 entries; the first that cannot be read ends the walk.
    pub fn exit_robust_list(&mut self, task: TaskId, user: &mut dyn Platform) {
        let t = &mut self.tasks[task];
        let head = core::mem::take(&mut t.robust_list);
        let Some(guest) = t.guest else { return };
        if head.is_null() {
            return;
        }
        let word = |user: &mut dyn Platform, at: u64| read_word(user, guest, UserPtr(at));
        let Some(first) = word(user, head.0) else { return };
        let Some(offset) = word(user, head.0.wrapping_add(8)) else { return };
        let Some(pending) = word(user, head.0.wrapping_add(16)) else { return };
        let (mut entry, pending) = (Entry::new(first), Entry::new(pending));
        let mut left = LIMIT;
        while entry.at != head.0 {
            // Before the word is given away: its owner may take the entry apart.
            let next = word(user, entry.at);
            let lock = UserPtr(entry.at.wrapping_add(offset));
            if entry.at != pending.at
                && self.handle_futex_death(task, guest, lock, entry.pi, false, user).is_none()
            {
                return;
            }
            let Some(next) = next else { return };
            entry = Entry::new(next);
            left -= 1;
            if left == 0 {
                break;
            }
        }
        if pending.at != 0 {
            let lock = UserPtr(pending.at.wrapping_add(offset));
            self.handle_futex_death(task, guest, lock, pending.pi, true, user);
        }
    }

    /// handle_futex_death(): the word says that its owner died, one waiter is woken. `None` if it
    /// cannot be reached.
    fn handle_futex_death(
        &mut self,
        task: TaskId,
        guest: GuestId,
        lock: UserPtr,
        pi: bool,
        pending: bool,
        user: &mut dyn Platform,
    ) -> Option<()> {
        if !lock.0.is_multiple_of(4) {
            return None;
        }
        let mut bytes = [0; 4];
        if user.read_user(guest, lock, &mut bytes) < 4 {
            return None;
        }
        let word = u32::from_le_bytes(bytes);
        let owner = word & TID_MASK;
        if pending && !pi && owner == 0 {
            // Died between its unlock and its wake.
            self.wake_one_shared(task, lock);
            return Some(());
        }
        if owner != self.task_pid_vnr(task) {
            return Some(());
        }
        let dead = word & WAITERS | OWNER_DIED;
        if user.write_user(guest, lock, &dead.to_le_bytes()) < 4 {
            return None;
        }
        if !pi && word & WAITERS != 0 {
            self.wake_one_shared(task, lock);
        }
        Some(())
    }

    fn wake_one_shared(&mut self, task: TaskId, at: UserPtr) {
        if let Ok(key) = self.futex_key(task, at, true) {
            self.futex_wake_one(key);
        }
    }
}

fn read_word(user: &mut dyn Platform, guest: GuestId, from: UserPtr) -> Option<u64> {
    let mut bytes = [0; 8];
    (user.read_user(guest, from, &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
}
