//! Stop and continue: SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT; what the parent is told of it;
//! orphaned process groups; and what an exiting thread leaves behind for the others.
//! Rules S-22, S-28, S-41 to S-43, X-21, X-28. Neighbours: `get_signal` stops, `send` continues,
//! `task/wait` reports.

use super::Target;
use super::sigaction::{SA_NOCLDSTOP, SIG_IGN};
use super::siginfo::{CLD_CONTINUED, CLD_STOPPED, SigDetail, SigInfo};
use crate::abi::signal::{SigSet, Signal};
use crate::fact::TaskFact;
use crate::kernel::Kernel;
use crate::task::{GroupId, Pid, Run, TaskId};
use crate::wait_queue::Event;

/// SIG_KERNEL_STOP_MASK.
const STOP_SIGNALS: SigSet = SigSet::of(Signal::SIGSTOP)
    .union(SigSet::of(Signal::SIGTSTP))
    .union(SigSet::of(Signal::SIGTTIN))
    .union(SigSet::of(Signal::SIGTTOU));

/// task->jobctl: this thread's part in a group stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JobCtl {
    /// JOBCTL_STOP_PENDING: it has to stop on its way to user mode.
    pub stop_pending: bool,
    /// JOBCTL_STOP_CONSUME: the group counts it among those that still have to.
    pub stop_consume: bool,
}

/// What the parent is to be told when a thread of the group next takes its signals
/// (SIGNAL_CLD_MASK).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cld {
    /// CLD_STOPPED: a stop that SIGCONT cut short before it was complete.
    Stopped,
    /// CLD_CONTINUED.
    Continued,
}

/// Job control of one group (rules S-41 to S-43, X-21).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupStop {
    /// The signal that stopped the group, while it is stopped (SIGNAL_STOP_STOPPED).
    pub stopped_by: Option<Signal>,
    /// A stop that no wait(2) has reported yet.
    pub stop_unreported: bool,
    /// A continuation that no wait(2) has reported yet (SIGNAL_STOP_CONTINUED).
    pub continue_unreported: bool,
    /// The signal of a stop that threads are still on their way to.
    pub stopping_by: Option<Signal>,
    /// group_stop_count: how many threads are.
    pub stop_count: u32,
    /// What the parent has not been told yet.
    pub cld: Option<Cld>,
}

impl GroupStop {
    /// Death cancels a stop (rule S-23).
    pub fn cancel(&mut self) {
        *self = GroupStop::default();
    }
}

impl Kernel {
    /// SIGCONT at generation: pending stop signals go, stopped threads run, whatever becomes of
    /// the signal itself (rule S-41).
    pub(super) fn continue_group(&mut self, task: TaskId) {
        self.flush_group_queues(task, STOP_SIGNALS);
        let group = self.tasks[task].group;
        for thread in self.groups[group].tasks.clone() {
            if let Some(t) = self.tasks.get_mut(thread) {
                t.jobctl = JobCtl::default();
                self.wake_up_stopped(thread);
            }
        }
        let stop = &mut self.groups[group].stop;
        let cld = match (stop.stopped_by, stop.stop_count) {
            (Some(_), _) => Cld::Continued,
            (None, 1..) => Cld::Stopped,
            (None, 0) => return, // it was not stopped: nothing to tell
        };
        *stop = GroupStop { continue_unreported: true, cld: Some(cld), ..GroupStop::default() };
    }

    /// The parent hears of a continuation when a continued thread next runs (rule S-43).
    pub(super) fn notify_pending_cld(&mut self, task: TaskId) -> bool {
        let group = self.tasks[task].group;
        let Some(cld) = self.groups[group].stop.cld.take() else { return false };
        match cld {
            Cld::Continued => {
                self.tell(Some(task), TaskFact::Continued.into());
                let by = i32::from(Signal::SIGCONT.number());
                self.do_notify_parent_cldstop(group, CLD_CONTINUED, by);
            }
            // SIGCONT has cleared group_exit_code, which would have told by what.
            Cld::Stopped => self.do_notify_parent_cldstop(group, CLD_STOPPED, 0),
        }
        true
    }

    /// do_signal_stop(): `signal` begins a stop of the group, in which this thread takes its part.
    /// The group is not dying, or its thread would not have come to take a signal.
    pub(super) fn do_signal_stop(&mut self, task: TaskId, signal: Signal) {
        let stop = &mut self.groups[self.tasks[task].group].stop;
        if stop.stopped_by.is_none() {
            stop.stopping_by = Some(signal);
        }
        stop.stop_count = 0;
        self.set_stop_pending(task);
        for other in self.threads_after(task) {
            if self.tasks.get(other).is_some_and(|t| t.run != Run::Stopped)
                && self.set_stop_pending(other)
            {
                self.signal_wake_up(other, false);
            }
        }
        self.join_group_stop(task);
    }

    /// The second half of do_signal_stop(): this thread takes its part in a stop that began here
    /// or elsewhere, and is stopped afterwards.
    pub(super) fn join_group_stop(&mut self, task: TaskId) {
        self.task_participate_group_stop(task);
        self.tasks[task].run = Run::Stopped;
        self.run_queue.remove(task);
        self.cgroup_enter_frozen(task);
    }

    /// task_set_jobctl_pending(): not for the dying.
    fn set_stop_pending(&mut self, thread: TaskId) -> bool {
        let Some(t) = self.tasks.get_mut(thread) else { return false };
        if t.exiting || t.pending.signal.has(Signal::SIGKILL) {
            return false;
        }
        t.jobctl = JobCtl { stop_pending: true, stop_consume: true };
        self.groups[t.group].stop.stop_count += 1;
        true
    }

    /// task_participate_group_stop(): the last thread to arrive completes the stop and tells the
    /// parent (rule S-43).
    fn task_participate_group_stop(&mut self, task: TaskId) {
        let consume = core::mem::take(&mut self.tasks[task].jobctl).stop_consume;
        let group = self.tasks[task].group;
        let stop = &mut self.groups[group].stop;
        if !consume {
            return;
        }
        stop.stop_count = stop.stop_count.saturating_sub(1);
        if stop.stop_count > 0 || stop.stopped_by.is_some() {
            return;
        }
        let by = stop.stopping_by.take().unwrap_or(Signal::SIGSTOP);
        stop.stopped_by = Some(by);
        stop.stop_unreported = true;
        stop.continue_unreported = false;
        self.tell(Some(task), TaskFact::Stopped { signal: by }.into());
        self.do_notify_parent_cldstop(group, CLD_STOPPED, i32::from(by.number()));
    }

    /// do_notify_parent_cldstop(): SIGCHLD unless the parent wants none, and a wake-up of its
    /// wait(2).
    fn do_notify_parent_cldstop(&mut self, group: GroupId, code: i32, status: i32) {
        let g = &self.groups[group];
        let Some(parent) = g.parent else { return };
        let leader = &self.tasks[g.leader];
        let (pid, uid) = (self.pid_for_parent(group), leader.cred.uid);
        let (utime, stime) = self.group_clock_ticks(group);
        let detail = SigDetail::Child { pid, uid, status, utime, stime };
        let forker = leader.real_parent;
        let action = self.sighands[self.groups[parent].sighand].of(Signal::SIGCHLD);
        if action.handler != SIG_IGN && action.flags & SA_NOCLDSTOP == 0 {
            let to = match forker.filter(|f| self.tasks.get(*f).is_some_and(|t| !t.exiting)) {
                Some(thread) => Target::Process(thread),
                None => Target::Group(parent),
            };
            let info = SigInfo { signal: Signal::SIGCHLD, errno: 0, code, detail };
            // Standard, with si_code > 0: it overrides the limit and cannot fail.
            let _ = self.send_signal(info, to);
        }
        self.wake_up_parent(parent, group);
        self.publish(Event::Group(group));
    }

    /// exit_signals(): `task` is about to exit: shared signals that it would have taken go to
    /// others (S-28), its part in a group stop is done, and it is nobody's target any more (S-22).
    /// Step 3 of do_exit (rule X-7); sets PF_EXITING.
    pub fn exit_signals(&mut self, task: TaskId) {
        let group = self.tasks[task].group;
        self.tasks[task].exiting = true;
        if self.groups[group].curr_target == task
            && let Some(next) = self.threads_after(task).first()
        {
            self.groups[group].curr_target = *next;
        }
        if !self.tasks[task].sigpending {
            return; // it was chosen for nothing
        }
        let unblocked = SigSet(u64::MAX).minus(self.tasks[task].blocked);
        self.retarget_shared_pending(task, unblocked);
        if self.tasks[task].jobctl.stop_pending {
            self.task_participate_group_stop(task);
        }
    }

    /// is_orphaned_pgrp(): no member of `pgrp` has a parent in another process group of the same
    /// session (rule X-28). `without` is a member that is about to die and does not count.
    pub fn is_orphaned_pgrp(&self, pgrp: Pid, without: Option<GroupId>) -> bool {
        !self.groups.iter().any(|(id, g)| {
            let counts = g.pgrp == pgrp && Some(id) != without && !self.is_dead_group(id);
            let Some(parent) = g.parent.filter(|_| counts) else { return false };
            let p = &self.groups[parent];
            Some(parent) != self.init && p.pgrp != pgrp && p.session == g.session
        })
    }

    /// has_stopped_jobs(): is a member of `pgrp` stopped?
    pub fn has_stopped_jobs(&self, pgrp: Pid) -> bool {
        self.groups.iter().any(|(_, g)| g.pgrp == pgrp && g.stop.stopped_by.is_some())
    }

    fn is_dead_group(&self, group: GroupId) -> bool {
        let g = &self.groups[group];
        g.tasks.iter().all(|t| self.tasks.get(*t).is_none_or(|t| t.run == Run::Zombie))
    }
}

#[cfg(test)]
mod tests;
