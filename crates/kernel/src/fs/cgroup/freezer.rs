//! cgroup.freeze: tasks of a frozen group sleep on their way to user mode until it thaws; only death
//! is let through. A call that they wait in ends as by a signal without a handler. A group is frozen
//! once all of its tasks are, stopped ones and parents of a vfork included, and all groups below it.
//! Neighbours: `task/signal/get_signal` (where a task goes to sleep), `attach`.

use super::{CgroupId, Cgroups};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::task::{Run, TaskId};
use crate::time::{Duration, Instant};

/// A task's part in freezing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskFreezer {
    /// JOBCTL_TRAP_FREEZE: it has to sleep on its way to user mode.
    pub trap: bool,
    /// It counts as frozen: it sleeps there, is stopped, or waits for the child of its vfork.
    pub frozen: bool,
}

/// What a group knows of its freezing (struct cgroup_freezer_state).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freezer {
    /// cgroup.freeze.
    pub(super) freeze: bool,
    /// CGRP_FROZEN, as cgroup.events tells.
    pub(super) frozen: bool,
    /// Since when it has been freezing or frozen, if it is, by whichever group above.
    since: Option<Instant>,
    /// How long it was before.
    total: Duration,
}

impl Freezer {
    /// That of a new group; in a frozen one it is frozen too.
    pub(super) fn of_new(freezing: bool, now: Instant) -> Freezer {
        Freezer { frozen: freezing, since: freezing.then_some(now), ..Freezer::default() }
    }

    /// cgroup.stat.local: how long in all, from the wish to freeze to the thaw.
    pub(super) fn time_until(&self, now: Instant) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

impl Cgroups {
    /// CGRP_FREEZE: is it to be frozen, by itself or by a group above?
    pub(super) fn is_freezing(&self, cgroup: CgroupId) -> bool {
        self.and_ancestors(cgroup).any(|at| self.all[at].freezer.freeze)
    }
}

impl Kernel {
    /// cgroup_freeze_write(): ERANGE for neither 0 nor 1.
    pub(super) fn cgroup_freeze_write(&mut self, cgroup: CgroupId, to: i32) -> Result<(), Errno> {
        match to {
            0 | 1 => self.cgroup_freeze(cgroup, to == 1),
            _neither => return Err(Errno::ERANGE),
        }
        Ok(())
    }

    /// cgroup_freeze(): the wish goes down the tree, to groups that are not frozen for another
    /// reason. If it changes nothing who polls is told that there is nothing to wait for.
    fn cgroup_freeze(&mut self, cgroup: CgroupId, freeze: bool) {
        if self.cgroups.all[cgroup].freezer.freeze == freeze {
            return;
        }
        self.cgroups.all[cgroup].freezer.freeze = freeze;
        let mut applied = false;
        for at in self.cgroups.and_descendants(cgroup) {
            let other = |up: CgroupId| up != cgroup && self.cgroups.all[up].freezer.freeze;
            if self.cgroups.and_ancestors(at).any(other) {
                continue;
            }
            applied = true;
            let now = self.now;
            let freezer = &mut self.cgroups.all[at].freezer;
            freezer.total = freezer.time_until(now);
            freezer.since = freeze.then_some(now);
            for task in self.cgroups.all[at].tasks.clone() {
                self.cgroup_freeze_task(task, freeze);
            }
            self.cgroup_update_frozen(at);
        }
        if !applied {
            self.cgroup_file_notify(cgroup);
        }
    }

    /// cgroup_freeze_task(): a task is to freeze, or goes on where it froze.
    pub(super) fn cgroup_freeze_task(&mut self, task: TaskId, freeze: bool) {
        self.tasks[task].freezer.trap = freeze;
        if freeze {
            self.signal_wake_up(task, false);
        } else {
            self.wake_up_frozen(task);
        }
    }

    /// A frozen task looks again whether it has to be.
    pub(crate) fn wake_up_frozen(&mut self, task: TaskId) {
        let t = &mut self.tasks[task];
        if t.run == Run::Frozen {
            t.run = Run::Ready;
            t.sigpending = true;
            self.run_queue.push(task);
        }
    }

    /// do_freezer_trap(): the task sleeps until it is woken: by the thaw, by death, or by a signal
    /// that it cannot take now.
    pub(crate) fn do_freezer_trap(&mut self, task: TaskId) {
        let t = &mut self.tasks[task];
        t.sigpending = false;
        t.run = Run::Frozen;
        self.run_queue.remove(task);
        self.cgroup_enter_frozen(task);
    }

    /// cgroup_enter_frozen(): from now on the task counts as frozen.
    pub(crate) fn cgroup_enter_frozen(&mut self, task: TaskId) {
        if !self.tasks[task].freezer.frozen {
            self.tasks[task].freezer.frozen = true;
            self.cgroup_update_frozen(self.tasks[task].cgroup);
        }
    }

    /// cgroup_leave_frozen(): it counts no more; unless its group is freezing, where it freezes again
    /// without a moment between, if it does not die.
    pub(crate) fn cgroup_leave_frozen(&mut self, task: TaskId, always: bool) {
        let cgroup = self.tasks[task].cgroup;
        let t = &mut self.tasks[task];
        if !t.freezer.frozen {
            return;
        }
        if always || !self.cgroups.is_freezing(cgroup) {
            t.freezer.frozen = false;
            self.cgroup_update_frozen(cgroup);
        } else {
            (t.freezer.trap, t.sigpending) = (true, true);
        }
    }

    /// cgroup_update_frozen(), cgroup_propagate_frozen(): looks whether a group is frozen by now, or
    /// is no more; if so, those above it too.
    pub(super) fn cgroup_update_frozen(&mut self, cgroup: CgroupId) {
        let mut next = Some(cgroup);
        while let Some(at) = next {
            let c = &self.cgroups.all[at];
            let frozen = self.cgroups.is_freezing(at)
                && c.tasks.iter().all(|task| self.tasks[*task].freezer.frozen)
                && c.children.iter().all(|child| self.cgroups.all[*child].freezer.frozen);
            if frozen == c.freezer.frozen {
                return;
            }
            next = c.parent;
            self.cgroups.all[at].freezer.frozen = frozen;
            self.cgroup_file_notify(at);
        }
    }
}
