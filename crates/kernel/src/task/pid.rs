//! Process numbers: `alloc_pid` gives the next above the last one, wrapping to 300 at pid_max
//! (rule X-25). A number stays taken while a task, a process group or a session uses it.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::task::TaskId;
use std::collections::BTreeMap;

/// A process, thread, process group or session number. Positive; 0 stands for "none".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Pid(pub u32);

/// RESERVED_PIDS: where numbering goes on after a wrap.
const RESERVED_PIDS: u32 = 300;

/// Which numbers are taken, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PidTable {
    tasks: BTreeMap<Pid, TaskId>,
    /// How many groups use a number as their process group or session.
    kept: BTreeMap<Pid, u32>,
    last: u32,
    /// How often numbering began anew.
    wraps: u32,
    /// PID 1 is dead: nobody is born any more (rule X-31).
    disabled: bool,
    /// /proc/sys/kernel/pid_max: one above the highest number.
    pub pid_max: u32,
}

impl Default for PidTable {
    fn default() -> Self {
        PidTable {
            tasks: BTreeMap::new(),
            kept: BTreeMap::new(),
            last: 0,
            wraps: 0,
            disabled: false,
            pid_max: 32768,
        }
    }
}

impl PidTable {
    /// ns_last_pid: what alloc_pid() counts on from.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// alloc_pid() with a wish (clone3's set_tid): EINVAL if there is no such number, EEXIST if it is
    /// taken.
    pub fn alloc_pid_as(&mut self, wish: i32) -> Result<Pid, Errno> {
        let number = u32::try_from(wish).ok().filter(|n| (1..self.pid_max).contains(n));
        let pid = Pid(number.ok_or(Errno::EINVAL)?);
        if self.tasks.contains_key(&pid) || self.kept.contains_key(&pid) {
            return Err(Errno::EEXIST);
        }
        // What had this number before was another: its random stream is not this one's.
        self.wraps += 1;
        Ok(pid)
    }

    /// disable_pid_allocation().
    pub fn disable(&mut self) {
        self.disabled = true;
    }

    /// alloc_pid(): the next free number; EAGAIN when all are taken, ENOMEM when PID 1 is dead.
    pub fn alloc_pid(&mut self) -> Result<Pid, Errno> {
        if self.disabled {
            return Err(Errno::ENOMEM);
        }
        let (mut candidate, mut wraps) = (self.last, self.wraps);
        for _ in 0..self.pid_max {
            candidate += 1;
            if candidate >= self.pid_max {
                candidate = RESERVED_PIDS;
                wraps += 1;
            }
            let pid = Pid(candidate);
            if !self.tasks.contains_key(&pid) && !self.kept.contains_key(&pid) {
                (self.last, self.wraps) = (candidate, wraps);
                return Ok(pid);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Numbering goes on after `last`. EINVAL if there is no such number.
    pub fn set_last(&mut self, last: u32) -> Result<(), Errno> {
        if last >= self.pid_max {
            return Err(Errno::EINVAL);
        }
        if last < self.last {
            self.wraps += 1;
        }
        self.last = last;
        Ok(())
    }

    /// A number of the process that was just given `pid` which no other process of the host ever
    /// has, for its random stream.
    pub fn ever(&self, pid: Pid) -> u64 {
        u64::from(self.wraps) << 32 | u64::from(pid.0)
    }

    /// attach_pid(PIDTYPE_PID): `task` has this number now (exec may move it).
    pub fn attach(&mut self, pid: Pid, task: TaskId) {
        self.tasks.insert(pid, task);
    }

    /// The task is gone; its number is free unless a group or session keeps it.
    pub fn detach(&mut self, pid: Pid) {
        self.tasks.remove(&pid);
    }

    /// A process group or session with this number got a member.
    pub fn keep(&mut self, pid: Pid) {
        *self.kept.entry(pid).or_default() += 1;
    }

    /// It lost one.
    pub fn unkeep(&mut self, pid: Pid) {
        if let Some(count) = self.kept.get_mut(&pid) {
            *count -= 1;
            if *count == 0 {
                self.kept.remove(&pid);
            }
        }
    }

    /// find_task_by_vpid().
    pub fn task(&self, pid: Pid) -> Option<TaskId> {
        self.tasks.get(&pid).copied()
    }

    /// All tasks by ascending number.
    pub fn iter(&self) -> impl Iterator<Item = (Pid, TaskId)> {
        self.tasks.iter().map(|(p, t)| (*p, *t))
    }
}

impl Kernel {
    /// pid_ns_ctl_handler(): who may choose numbers (CAP_CHECKPOINT_RESTORE) writes the last one.
    pub(crate) fn pid_ns_ctl_write(&mut self, task: TaskId, bytes: &[u8]) -> Result<usize, Errno> {
        if !self.tasks[task].cred.is_privileged() {
            return Err(Errno::EPERM);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let last = text.trim().parse().map_err(|_| Errno::EINVAL)?;
        self.pids.set_last(last)?;
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::task::Task;

    #[test]
    fn numbers_go_up_and_wrap_to_300() {
        //
        let mut pids = PidTable { pid_max: 303, ..PidTable::default() };
        let nobody: Arena<Task> = Arena::default();
        assert!(nobody.is_empty());
        let drawn: Vec<u32> = (0..302).map(|_| pids.alloc_pid().unwrap().0).collect();
        assert_eq!(drawn[..3], [1, 2, 3]);
        assert_eq!((drawn[301], pids.ever(Pid(300))), (302, 300));
        assert_eq!(pids.alloc_pid().unwrap().0, 300);
        assert_eq!(pids.ever(Pid(300)), 1 << 32 | 300, "another process than the first 300");
        pids.keep(Pid(301));
        assert_eq!(pids.alloc_pid().unwrap().0, 302);
        pids.unkeep(Pid(301));
    }
}
