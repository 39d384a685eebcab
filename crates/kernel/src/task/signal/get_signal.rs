//! get_signal: what a thread does about its signals on its way to user mode: it dies, stops,
//! ignores, or comes back with a handler to run. Rules S-13, S-29, S-31, S-42, S-44, X-2.
//! Neighbours: `restart` calls it, `pending` gives the order, `job_control` stops.

use super::sigaction::{SA_RESETHAND, SIG_DFL, SIG_IGN, SigAction};
use super::siginfo::SigInfo;
use crate::abi::signal::{DefaultAction, SigSet, Signal};
use crate::fact::task::SignalAction;
use crate::fact::{Fact, TaskFact};
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::task::rlimit::RLIMIT_CORE;
use crate::task::{TaskId, WaitStatus};

/// In a wait status: a core was dumped.
const WCOREFLAG: u32 = 0x80;

/// ksignal: a signal and the handler to run for it, as they were when it was dequeued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KSignal {
    /// The record.
    pub info: SigInfo,
    /// The disposition before SA_RESETHAND reset it.
    pub action: SigAction,
}

/// What becomes of one dequeued signal.
enum Disposition {
    Handle(KSignal),
    /// Nothing to do: the next one.
    Next,
    /// The thread stopped: it goes on when it is continued.
    Stopped,
    /// The group dies of it.
    Fatal,
}

impl Kernel {
    /// The next signal with a handler. `None` when nothing is left to handle, or the task stopped
    /// or died meanwhile (look at it).
    pub(super) fn get_signal(&mut self, task: TaskId, user: &mut dyn Platform) -> Option<KSignal> {
        while self.notify_pending_cld(task) {}
        loop {
            let group = &self.groups[self.tasks[task].group];
            if group.group_exit.is_some() || group.group_exec_task.is_some() {
                self.cgroup_leave_frozen(task, true);
                self.tasks[task].pending.signal.remove(Signal::SIGKILL);
                self.recalc_sigpending(task);
                self.tell_get_signal(task, Signal::SIGKILL, SignalAction::Terminate);
                self.do_group_exit(task, WaitStatus::killed(Signal::SIGKILL), user);
                return None;
            }
            if self.tasks[task].jobctl.stop_pending {
                self.join_group_stop(task);
                return None;
            }
            if self.tasks[task].freezer.trap {
                self.do_freezer_trap(task);
                return None;
            }
            if self.tasks[task].freezer.frozen {
                self.cgroup_leave_frozen(task, false);
                continue;
            }
            let blocked = self.tasks[task].blocked;
            let info = match self.dequeue_synchronous_signal(task) {
                Some(info) => info,
                None => self.dequeue_signal(task, blocked)?,
            };
            match self.dispose(task, info) {
                Disposition::Handle(ksig) => return Some(ksig),
                Disposition::Next => {}
                Disposition::Stopped => return None,
                Disposition::Fatal => {
                    self.die_of(task, info.signal, user);
                    return None;
                }
            }
        }
    }

    fn dispose(&mut self, task: TaskId, info: SigInfo) -> Disposition {
        let signal = info.signal;
        let group = self.tasks[task].group;
        let sighand = self.groups[group].sighand;
        let action = *self.sighands[sighand].of(signal);
        match action.handler {
            SIG_IGN => {
                self.tell_get_signal(task, signal, SignalAction::Ignore);
                return Disposition::Next;
            }
            SIG_DFL => {}
            _ => {
                if action.flags & SA_RESETHAND != 0 {
                    self.sighands[sighand].of_mut(signal).handler = SIG_DFL;
                }
                self.tell_get_signal(task, signal, SignalAction::Handler);
                return Disposition::Handle(KSignal { info, action });
            }
        }
        let immune = self.groups[group].unkillable && !SigSet::UNBLOCKABLE.has(signal);
        match signal.default_action() {
            DefaultAction::Ignore | DefaultAction::Continue => {
                self.tell_get_signal(task, signal, SignalAction::Ignore);
                Disposition::Next
            }
            // S-13: blocked when it was sent to a namespace's init, discarded now.
            DefaultAction::Stop | DefaultAction::Terminate | DefaultAction::Core if immune => {
                self.tell_get_signal(task, signal, SignalAction::Ignore);
                Disposition::Next
            }
            DefaultAction::Stop => self.stop_by(task, signal),
            DefaultAction::Terminate | DefaultAction::Core => Disposition::Fatal,
        }
    }

    /// A stop signal at SIG_DFL: only SIGSTOP stops an orphaned process group (rule S-42).
    fn stop_by(&mut self, task: TaskId, signal: Signal) -> Disposition {
        let pgrp = self.groups[self.tasks[task].group].pgrp;
        if signal != Signal::SIGSTOP && self.is_orphaned_pgrp(pgrp, None) {
            self.tell_get_signal(task, signal, SignalAction::Ignore);
            return Disposition::Next;
        }
        self.tell_get_signal(task, signal, SignalAction::Stop);
        self.do_signal_stop(task, signal);
        Disposition::Stopped
    }

    /// PF_SIGNALED: the group dies of `signal`.
    fn die_of(&mut self, task: TaskId, signal: Signal, user: &mut dyn Platform) {
        let core = signal.default_action() == DefaultAction::Core;
        let dumps = core && self.would_dump(task);
        let action = if core { SignalAction::CoreDump } else { SignalAction::Terminate };
        self.tell_get_signal(task, signal, action);
        let mut status = WaitStatus::killed(signal);
        if dumps {
            // Unlike Linux, no file is written; the status is as if it were (rule S-44).
            self.tell(Some(task), Fact::unsupported("core dump", format!("{signal:?}")));
            status.0 |= WCOREFLAG;
        }
        self.do_group_exit(task, status, user);
    }

    /// vfs_coredump(): would Linux write `core` into the working directory? The limit leaves room for
    /// a page at least, the process is not protected from its user, who may write there.
    fn would_dump(&self, task: TaskId) -> bool {
        let t = &self.tasks[task];
        let room = self.groups[t.group].rlimits.0[RLIMIT_CORE].soft >= 4096;
        let dumpable = t.mm.is_some_and(|mm| self.mms[mm].dumpable);
        let pwd = t.fs.map(|fs| self.fs_structs[fs].pwd);
        room && dumpable && pwd.is_none_or(|pwd| self.may_create(task, pwd.dentry).is_ok())
    }

    /// The native process behind `task` was killed from outside: it dies as by SIGKILL.
    pub fn guest_vanished(&mut self, task: TaskId, user: &mut dyn Platform) {
        self.do_group_exit(task, WaitStatus::killed(Signal::SIGKILL), user);
    }

    fn tell_get_signal(&mut self, task: TaskId, signal: Signal, action: SignalAction) {
        self.tell(Some(task), TaskFact::GetSignal { signal, action }.into());
    }
}
