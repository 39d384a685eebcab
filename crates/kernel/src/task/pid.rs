//! Process numbers: `alloc_pid` gives the next above the last one, wrapping to 300 at pid_max
//! (rule X-25). A number stays taken while a task, a process group or a session uses it. A [`Pid`]
//! is the number in the host's own namespace and means the process everywhere in the kernel; what
//! it is called in other namespaces stands in the table (neighbour: `pid_namespace`).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::pid_namespace::{PidNamespace, PidNs};
use std::collections::BTreeMap;

/// A process, thread, process group or session number, as the host's own namespace counts.
/// Positive; 0 stands for "none".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Pid(pub u32);

/// A number that was just given, with its name in each namespace below the host's, outermost first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPid {
    /// In the host's own namespace.
    pub pid: Pid,
    /// In the others.
    pub numbers: Vec<(PidNs, u32)>,
}

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
    /// The namespaces below the host's.
    pub(super) namespaces: Vec<PidNamespace>,
    /// What those are called there that live in one of them, outermost first.
    pub(super) names: BTreeMap<Pid, Vec<(PidNs, u32)>>,
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
            namespaces: Vec::new(),
            names: BTreeMap::new(),
        }
    }
}

impl PidTable {
    /// ns_last_pid of the host's namespace: what alloc_pid() counts on from.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// disable_pid_allocation().
    pub fn disable(&mut self) {
        self.disabled = true;
    }

    /// alloc_pid() in the host's own namespace: the next free number, or the one wished for. EAGAIN
    /// when all are taken, ENOMEM when PID 1 is dead; of a wish EINVAL if there is no such number,
    /// EEXIST if it is taken.
    pub fn alloc_pid(&mut self, wish: Option<i32>) -> Result<Pid, Errno> {
        if self.disabled {
            return Err(Errno::ENOMEM);
        }
        let number = match wish {
            Some(wish) => {
                // What had this number before was another: its random stream is not this one's.
                let number = wished(wish, self.pid_max, |n| self.is_taken(Pid(n)))?;
                self.wraps += 1;
                number
            }
            None => {
                let next = next_free(self.last, self.pid_max, |n| self.is_taken(Pid(n)))?;
                self.wraps += u32::from(next < self.last);
                self.last = next;
                next
            }
        };
        Ok(Pid(number))
    }

    fn is_taken(&self, pid: Pid) -> bool {
        self.tasks.contains_key(&pid) || self.kept.contains_key(&pid)
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
        self.free_pid(pid);
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
                self.free_pid(pid);
            }
        }
    }

    /// free_pid(): a number that nobody uses has no names either.
    fn free_pid(&mut self, pid: Pid) {
        if self.is_taken(pid) {
            return;
        }
        for (ns, number) in self.names.remove(&pid).unwrap_or_default() {
            self.namespaces[ns.index()].numbers.remove(&number);
        }
    }

    /// pid_task(): whose number it is.
    pub fn task(&self, pid: Pid) -> Option<TaskId> {
        self.tasks.get(&pid).copied()
    }

    /// All tasks by ascending number.
    pub fn iter(&self) -> impl Iterator<Item = (Pid, TaskId)> {
        self.tasks.iter().map(|(p, t)| (*p, *t))
    }
}

/// The first free number above `last`, going round once; EAGAIN.
pub(super) fn next_free(
    last: u32,
    pid_max: u32,
    taken: impl Fn(u32) -> bool,
) -> Result<u32, Errno> {
    let mut candidate = last;
    for _ in 0..pid_max {
        candidate += 1;
        if candidate >= pid_max {
            candidate = RESERVED_PIDS;
        }
        if !taken(candidate) {
            return Ok(candidate);
        }
    }
    Err(Errno::EAGAIN)
}

/// A wish of clone3's set_tid.
pub(super) fn wished(wish: i32, pid_max: u32, taken: impl Fn(u32) -> bool) -> Result<u32, Errno> {
    let number = u32::try_from(wish).ok().filter(|n| (1..pid_max).contains(n));
    let number = number.ok_or(Errno::EINVAL)?;
    if taken(number) { Err(Errno::EEXIST) } else { Ok(number) }
}

impl Kernel {
    /// pid_ns_ctl_handler(): who may choose numbers (CAP_CHECKPOINT_RESTORE) writes the last one of
    /// its namespace.
    pub(crate) fn pid_ns_ctl_write(&mut self, task: TaskId, bytes: &[u8]) -> Result<usize, Errno> {
        let ns = self.task_active_pid_ns(task);
        let users = &self.namespaces.user;
        let caps = users.caps_over(&self.tasks[task].cred, self.pids.owner_of(ns));
        if !caps.checkpoint_restore() {
            return Err(Errno::EPERM);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let last = text.trim().parse().map_err(|_| Errno::EINVAL)?;
        self.pids.set_last_in(ns, last)?;
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
        let drawn: Vec<u32> = (0..302).map(|_| pids.alloc_pid(None).unwrap().0).collect();
        assert_eq!(drawn[..3], [1, 2, 3]);
        assert_eq!((drawn[301], pids.ever(Pid(300))), (302, 300));
        assert_eq!(pids.alloc_pid(None).unwrap().0, 300);
        assert_eq!(pids.ever(Pid(300)), 1 << 32 | 300, "another process than the first 300");
        pids.keep(Pid(301));
        assert_eq!(pids.alloc_pid(None).unwrap().0, 302);
        pids.unkeep(Pid(301));
    }
}
