//! Generation: `send_signal` → `prepare_signal` (what is dropped) → the queue → `complete_signal`
//! (which thread, and the fatal short cut). Rules S-11 to S-27, S-41.
//! Neighbours: `kill` (permission first), `mask` (wakes), `job_control` (SIGCONT).

use super::siginfo::{SI_KERNEL, SI_USER, SigDetail, SigInfo};
use crate::abi::Errno;
use crate::abi::signal::{DefaultAction, SigSet, Signal};
use crate::fact::TaskFact;
use crate::fact::task::{Choice, Dropped};
use crate::kernel::Kernel;
use crate::platform::Fault;
use crate::task::signal::sigaction::{SIG_DFL, SIG_IGN};
use crate::task::signal::{JobCtl, LastFault};
use crate::task::{GroupId, Pid, TaskId, WaitStatus};
use crate::wait_queue::Event;

/// Whom a signal is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// This thread: the private queue.
    Thread(TaskId),
    /// The process of this thread, which is the first candidate (rule S-3): the shared queue.
    Process(TaskId),
    /// This process; its leader is the first candidate.
    Group(GroupId),
}

impl Kernel {
    /// send_signal(): queues a signal and wakes whoever takes it; no permission is asked for. A
    /// dropped signal is a success. EAGAIN for a real-time record over the limit (rule S-19).
    pub fn send_signal(&mut self, info: SigInfo, to: Target) -> Result<(), Errno> {
        // Pid 0 is a sender outside of the pid namespace: S-14.
        let outside = matches!(info.detail, SigDetail::Kill { pid: Pid(0), .. });
        let force = info.code == SI_KERNEL || outside;
        self.do_send_signal(None, info, to, force)
    }

    /// The same from a call of `sender`. What it says of its own number is what it calls itself;
    /// who comes from above the target's pid namespace has none there, and its SIGKILL and SIGSTOP
    /// act on that namespace's init (rule S-14).
    pub(super) fn send_signal_of(
        &mut self,
        sender: TaskId,
        info: SigInfo,
        to: Target,
    ) -> Result<(), Errno> {
        let (mut info, mut force) = (info, info.code == SI_KERNEL);
        if let Target::Thread(task) | Target::Process(task) = to
            && self.pid_vnr(task, self.tasks[sender].tid) == 0
        {
            force = true;
            info.clear_sender();
        }
        self.do_send_signal(Some(sender), info, to, force)
    }

    fn do_send_signal(
        &mut self,
        sender: Option<TaskId>,
        info: SigInfo,
        to: Target,
        force: bool,
    ) -> Result<(), Errno> {
        let (task, shared) = match to {
            Target::Thread(task) => (task, false),
            Target::Process(task) => (task, true),
            Target::Group(group) => match self.groups.get(group) {
                Some(group) => (group.leader, true),
                None => return Ok(()),
            },
        };
        if self.tasks.get(task).is_none() {
            return Ok(());
        }
        let mut info = info;
        if info.code != SI_KERNEL {
            info.show_user(|kuid| self.uid_seen_by(task, kuid));
        }
        let outcome = self.queue_signal(&info, task, shared, force);
        let dropped = match &outcome {
            Ok(dropped) => *dropped,
            Err(_) => Some(Dropped::Limit),
        };
        let to = self.tasks[task].tid;
        let fact = TaskFact::SendSignal { signal: info.signal, to, group: shared, dropped };
        let sender = sender.or_else(|| self.sender_of(&info));
        self.tell(sender, fact.into());
        match outcome? {
            // The bit is set, only the record is lost.
            None | Some(Dropped::Record) => self.complete_signal(info.signal, task, shared),
            Some(Dropped::GroupExit | Dropped::Ignored | Dropped::Unkillable)
            | Some(Dropped::AlreadyPending | Dropped::Limit) => {}
        }
        Ok(())
    }

    /// The task that sent a signal by a call, for the facts.
    fn sender_of(&self, info: &SigInfo) -> Option<TaskId> {
        match info.detail {
            SigDetail::Kill { pid, .. } | SigDetail::Rt { pid, .. } => self.pids.task(pid),
            SigDetail::Child { .. }
            | SigDetail::Fault { .. }
            | SigDetail::Timer { .. }
            | SigDetail::Poll { .. }
            | SigDetail::Sys { .. }
            | SigDetail::Raw(_) => None,
        }
    }

    /// Up to the queue: why it was dropped, if it was.
    fn queue_signal(
        &mut self,
        info: &SigInfo,
        task: TaskId,
        shared: bool,
        force: bool,
    ) -> Result<Option<Dropped>, Errno> {
        let signal = info.signal;
        if let Some(dropped) = self.prepare_signal(signal, task, force) {
            return Ok(Some(dropped));
        }
        let group = self.tasks[task].group;
        let pending = match shared {
            true => &self.groups[group].shared_pending,
            false => &self.tasks[task].pending,
        };
        // A timer's record was allocated with the timer: each has one, whatever else is pending.
        let preallocated = matches!(info.detail, SigDetail::Timer { .. });
        if pending.holds_standard(signal) && !preallocated {
            return Ok(Some(Dropped::AlreadyPending));
        }
        let override_limit = preallocated || !signal.is_realtime() && info.code >= 0;
        let (record, dropped) = if signal == Signal::SIGKILL {
            (None, None) // never allocates (rule S-19)
        } else if override_limit || self.sigqueue_has_room(task) {
            (Some(*info), None)
        } else if signal.is_realtime() && info.code != SI_USER {
            return Err(Errno::EAGAIN);
        } else {
            (None, Some(Dropped::Record))
        };
        match shared {
            true => self.groups[group].shared_pending.push(signal, record),
            false => self.tasks[task].pending.push(signal, record),
        }
        self.signalfd_notify(task);
        Ok(dropped)
    }

    /// prepare_signal(): what stop signals and SIGCONT do at generation (rule S-41), and whether
    /// the signal is dropped (rules S-11 to S-15).
    fn prepare_signal(&mut self, signal: Signal, task: TaskId, force: bool) -> Option<Dropped> {
        let group = self.tasks[task].group;
        if self.groups[group].group_exit.is_some() {
            return Some(Dropped::GroupExit);
        }
        match signal.default_action() {
            DefaultAction::Stop => self.flush_group_queues(task, SigSet::of(Signal::SIGCONT)),
            DefaultAction::Continue => self.continue_group(task),
            DefaultAction::Terminate | DefaultAction::Core | DefaultAction::Ignore => {}
        }
        self.sig_ignored(signal, task, force)
    }

    /// sig_ignored(): a blocked signal is never dropped: its disposition may change (rule S-12).
    fn sig_ignored(&self, signal: Signal, task: TaskId, force: bool) -> Option<Dropped> {
        let t = &self.tasks[task];
        if t.blocked.union(t.real_blocked).has(signal) {
            return None;
        }
        let kernel_only = SigSet::UNBLOCKABLE.has(signal);
        if Some(t.group) == self.init && kernel_only && !self.init_is_a_program {
            return Some(Dropped::Unkillable); // S-15: the global init, whoever sends
        }
        let group = &self.groups[t.group];
        let action = self.sighands[group.sighand].of(signal);
        if group.unkillable && action.handler == SIG_DFL && !(force && kernel_only) {
            return Some(Dropped::Unkillable);
        }
        action.ignores(signal).then_some(Dropped::Ignored)
    }

    /// signalfd_notify(): whoever polls or reads a signalfd of this process looks again.
    fn signalfd_notify(&mut self, task: TaskId) {
        for thread in self.groups[self.tasks[task].group].tasks.clone() {
            self.publish(Event::Signal(thread));
        }
    }

    /// complete_signal(): chooses the thread (rule S-20) and takes the fatal short cut (S-23).
    fn complete_signal(&mut self, signal: Signal, first: TaskId, shared: bool) {
        let group = self.tasks[first].group;
        let (chosen, why) = self.choose_thread(signal, first, shared);
        let fatal = chosen.is_some_and(|t| self.takes_short_cut(signal, group, t));
        let tid = chosen.map(|t| self.tasks[t].tid);
        self.tell(None, TaskFact::CompleteSignal { signal, chosen: tid, why, fatal }.into());
        let Some(chosen) = chosen else { return };
        if fatal {
            self.groups[group].group_exit = Some(WaitStatus::killed(signal));
            self.groups[group].stop.cancel();
            for thread in self.groups[group].tasks.clone() {
                self.zap_thread(thread);
            }
        } else {
            self.signal_wake_up(chosen, signal == Signal::SIGKILL);
        }
    }

    fn choose_thread(
        &mut self,
        signal: Signal,
        first: TaskId,
        shared: bool,
    ) -> (Option<TaskId>, Choice) {
        if self.wants_signal(signal, first) {
            return (Some(first), Choice::FirstCandidate);
        }
        let group = self.tasks[first].group;
        if !shared || self.groups[group].tasks.len() <= 1 {
            return (None, Choice::OnlyCandidateCannot);
        }
        let start = self.groups[group].curr_target;
        let ring = core::iter::once(start).chain(self.threads_after(start));
        let chosen = ring.into_iter().find(|t| self.wants_signal(signal, *t));
        match chosen {
            Some(thread) => {
                self.groups[group].curr_target = thread;
                (Some(thread), Choice::CurrTarget)
            }
            None => (None, Choice::NobodyWants),
        }
    }

    /// wants_signal() (rule S-21). The running task counts as "on a CPU": it looks at its queues
    /// on its way back anyway.
    fn wants_signal(&self, signal: Signal, task: TaskId) -> bool {
        let Some(t) = self.tasks.get(task) else { return false };
        if t.blocked.has(signal) || t.exiting {
            return false;
        }
        if signal == Signal::SIGKILL {
            return true;
        }
        if t.run == crate::task::Run::Stopped {
            return false;
        }
        self.pick() == Some(task) || !t.sigpending
    }

    /// Does the group end here and now? Core signals don't take the short cut: the chosen thread
    /// dumps first (rule S-24).
    fn takes_short_cut(&self, signal: Signal, group: GroupId, chosen: TaskId) -> bool {
        let action = self.sighands[self.groups[group].sighand].of(signal);
        action.is_fatal(signal)
            && self.groups[group].group_exit.is_none()
            && !self.tasks[chosen].real_blocked.has(signal)
            && signal.default_action() == DefaultAction::Terminate
    }

    /// What a group's death does to each thread: no stop any more, SIGKILL in the private queue,
    /// a wake-up that ends any sleep (rules S-23, X-2).
    pub fn zap_thread(&mut self, thread: TaskId) {
        let Some(t) = self.tasks.get_mut(thread) else { return };
        t.jobctl = JobCtl::default();
        if !t.exiting {
            t.pending.push(Signal::SIGKILL, None);
            self.signal_wake_up(thread, true);
        }
    }

    /// zap_other_threads(): all but `task`, for exit_group and exec.
    pub fn zap_other_threads(&mut self, task: TaskId) {
        let group = self.tasks[task].group;
        self.groups[group].stop.cancel();
        for other in self.threads_after(task) {
            self.zap_thread(other);
        }
    }

    /// send_sig(sig, task, 0): thread-directed, from a call of the task itself (SIGPIPE: S-46).
    pub fn send_sig(&mut self, signal: Signal, task: TaskId) {
        let (pid, uid) = (Pid(self.task_tgid_vnr(task)), self.tasks[task].cred.uid);
        // A standard signal with si_code 0 overrides the limit: it cannot fail.
        let _ = self.send_signal(SigInfo::user(signal, pid, uid), Target::Thread(task));
    }

    /// force_sig_fault(): the CPU refused (rule S-16).
    pub fn force_sig_fault(&mut self, task: TaskId, fault: Fault) {
        /// The exception number of a page fault: the only one that sets cr2.
        const PAGE_FAULT: u64 = 14;
        let Some(info) = SigInfo::fault(&fault) else { return };
        let t = &mut self.tasks[task];
        let cr2 = if fault.trapno == PAGE_FAULT { fault.addr } else { t.last_fault.cr2 };
        t.last_fault = LastFault { trapno: fault.trapno, error: fault.error, cr2 };
        let rip = t.regs.rip;
        let fact = TaskFact::ForceSig { signal: info.signal, address: fault.addr, rip };
        self.tell(Some(task), fact.into());
        self.force_sig_info(task, info, false);
    }

    /// force_sig(): a signal that cannot be dodged, from the kernel.
    pub fn force_sig(&mut self, task: TaskId, signal: Signal) {
        self.force_sig_info(task, SigInfo::kernel(signal), false);
    }

    /// force_sig_info_to_task(): blocked, ignored, or `fatal` (the default whatever the handler):
    /// then its action becomes SIG_DFL and it is unblocked; and a SIG_DFL action kills even a
    /// namespace's init (rule S-16). Where it was pending and blocked already, unblocking it wakes.
    pub(super) fn force_sig_info(&mut self, task: TaskId, info: SigInfo, fatal: bool) {
        let group = self.tasks[task].group;
        let blocked = self.tasks[task].blocked.has(info.signal);
        let action = self.sighands[self.groups[group].sighand].of_mut(info.signal);
        if blocked || fatal || action.handler == SIG_IGN {
            action.handler = SIG_DFL;
            self.tasks[task].blocked.remove(info.signal);
            self.recalc_sigpending(task);
        }
        if self.sighands[self.groups[group].sighand].of(info.signal).handler == SIG_DFL {
            self.groups[group].unkillable = false;
        }
        // Standard, with si_code > 0: it overrides the limit and cannot fail.
        let _ = self.send_signal(info, Target::Thread(task));
    }
}
