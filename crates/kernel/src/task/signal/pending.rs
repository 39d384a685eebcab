//! The queues: a bitmap and a FIFO of records, one per thread and one per group, and the order in
//! which they are emptied. Rules S-17, S-18, S-19, S-29, S-37.

use super::siginfo::{SI_USER, SigDetail, SigInfo};
use crate::abi::signal::{SigSet, Signal};
use crate::kernel::Kernel;
use crate::task::rlimit::RLIMIT_SIGPENDING;
use crate::task::{Pid, TaskId};
use std::collections::VecDeque;

/// SYNCHRONOUS_MASK: SEGV, BUS, ILL, TRAP, FPE, SYS come before all others.
const SYNCHRONOUS: SigSet = SigSet::of(Signal::SIGSEGV)
    .union(SigSet::of(Signal::SIGBUS))
    .union(SigSet::of(Signal::SIGILL))
    .union(SigSet::of(Signal::SIGTRAP))
    .union(SigSet::of(Signal::SIGFPE))
    .union(SigSet::of(Signal::SIGSYS));

/// `struct sigpending`: a bitmap and a FIFO of records (rule S-18).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SigPending {
    /// Which signals are pending.
    pub signal: SigSet,
    /// Their records, oldest first; a pending signal may have lost its record (rule S-19).
    pub list: VecDeque<SigInfo>,
}

impl SigPending {
    /// legacy_queue(): a standard signal that is pending already; the first record wins.
    pub fn holds_standard(&self, signal: Signal) -> bool {
        !signal.is_realtime() && self.signal.has(signal)
    }

    /// Adds a record, or only the bit where the limit lost the record.
    pub fn push(&mut self, signal: Signal, record: Option<SigInfo>) {
        self.signal.add(signal);
        self.list.extend(record);
    }

    /// next_signal(): the one to take of those not in `blocked`: the lowest synchronous one, else
    /// the lowest.
    pub fn next(&self, blocked: SigSet) -> Option<Signal> {
        let open = self.signal.minus(blocked);
        let others = open.minus(SYNCHRONOUS);
        let urgent = open.minus(others);
        if urgent.is_empty() { open.iter().next() } else { urgent.iter().next() }
    }

    /// collect_signal(): takes the oldest record of `signal`; the bit goes with the last one.
    pub fn collect(&mut self, signal: Signal) -> SigInfo {
        let Some(at) = self.list.iter().position(|info| info.signal == signal) else {
            self.signal.remove(signal);
            return SigInfo::user(signal, Pid(0), 0);
        };
        let info = self.list.remove(at).expect("position() found it");
        if !self.list.iter().any(|other| other.signal == signal) {
            self.signal.remove(signal);
        }
        info
    }

    /// The oldest synchronous fault (a positive si_code) that is not blocked.
    fn collect_synchronous(&mut self, blocked: SigSet) -> Option<SigInfo> {
        let open = self.signal.minus(blocked);
        if open.minus(SYNCHRONOUS) == open {
            return None;
        }
        let at = self
            .list
            .iter()
            .position(|info| info.code > SI_USER && SYNCHRONOUS.has(info.signal))?;
        let info = self.list.remove(at).expect("position() found it");
        if !self.list.iter().any(|other| other.signal == info.signal) {
            self.signal.remove(info.signal);
        }
        Some(info)
    }

    /// flush_sigqueue_mask(): throws away all of `set`.
    pub fn flush(&mut self, set: SigSet) {
        if self.signal.minus(set) == self.signal {
            return;
        }
        self.signal = self.signal.minus(set);
        self.list.retain(|info| !set.has(info.signal));
    }

    /// Throws away the records of POSIX timers that `gone` names (deletion, exec: rule S-40).
    pub fn flush_timers(&mut self, gone: impl Fn(i32) -> bool) {
        let dead = |info: &SigInfo| matches!(info.detail, SigDetail::Timer { id, .. } if gone(id));
        let touched: Vec<Signal> = self.list.iter().filter(|i| dead(i)).map(|i| i.signal).collect();
        self.list.retain(|info| !dead(info));
        for signal in touched {
            if !self.list.iter().any(|info| info.signal == signal) {
                self.signal.remove(signal);
            }
        }
    }
}

impl Kernel {
    /// dequeue_signal(): takes the next signal not in `blocked`, private queue first (rule S-29).
    /// Timers whose signal it was are armed again; signals of timers that were set anew or deleted
    /// meanwhile are passed over.
    pub fn dequeue_signal(&mut self, task: TaskId, blocked: SigSet) -> Option<SigInfo> {
        let group = self.tasks[task].group;
        let mut taken = None;
        while taken.is_none() {
            let private = self.tasks[task].pending.next(blocked);
            let shared = self.groups[group].shared_pending.next(blocked);
            let info = match (private, shared) {
                (Some(signal), _) => self.tasks[task].pending.collect(signal),
                (None, Some(signal)) => self.groups[group].shared_pending.collect(signal),
                (None, None) => break, // woken for nothing: the flag goes
            };
            if private.is_none() && info.signal == Signal::SIGALRM {
                self.posixtimer_rearm_itimer(group);
            }
            taken = self.posixtimer_deliver(group, info);
        }
        self.recalc_sigpending(task);
        taken
    }

    /// dequeue_synchronous_signal(): a fault comes before everything else, so that its frame shows
    /// the registers as they were.
    pub fn dequeue_synchronous_signal(&mut self, task: TaskId) -> Option<SigInfo> {
        let t = &mut self.tasks[task];
        let info = t.pending.collect_synchronous(t.blocked)?;
        self.recalc_sigpending(task);
        Some(info)
    }

    /// Is there room for one more record under the receiver's RLIMIT_SIGPENDING? The records of
    /// all its user's processes count (rule S-19). Unlike Linux, counted when asked for.
    pub(super) fn sigqueue_has_room(&self, receiver: TaskId) -> bool {
        let t = &self.tasks[receiver];
        let limit = self.groups[t.group].rlimits.0[RLIMIT_SIGPENDING].soft;
        let uid = t.cred.uid;
        let private: usize = self
            .tasks
            .iter()
            .filter(|(_, t)| t.cred.uid == uid)
            .map(|(_, t)| t.pending.list.len())
            .sum();
        let shared: usize = self
            .groups
            .iter()
            .filter(|(_, g)| self.tasks.get(g.leader).is_some_and(|t| t.cred.uid == uid))
            .map(|(_, g)| g.shared_pending.list.len())
            .sum();
        ((private + shared) as u64) < limit
    }

    /// Throws away all of `set` from the shared and every private queue of the group of `task`.
    pub(super) fn flush_group_queues(&mut self, task: TaskId, set: SigSet) {
        let group = self.tasks[task].group;
        self.groups[group].shared_pending.flush(set);
        for thread in self.groups[group].tasks.clone() {
            if let Some(t) = self.tasks.get_mut(thread) {
                t.pending.flush(set);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: u64) -> SigInfo {
        SigInfo::user(Signal::new(n).unwrap(), Pid(1), 0)
    }

    fn queue(numbers: &[u64]) -> SigPending {
        let mut q = SigPending::default();
        for n in numbers {
            let info = numbered(*n);
            if !q.holds_standard(info.signal) {
                q.push(info.signal, Some(info));
            }
        }
        q
    }

    #[test]
    fn shared_signals_leave_in_the_measured_order() {
        // S-29, appendix A 39: 5,11 are synchronous, then ascending, real-time FIFO.
        let mut q = queue(&[12, 40, 1, 34, 15, 5, 40, 10, 11, 40, 35, 40, 15]);
        let mut order = Vec::new();
        while let Some(signal) = q.next(SigSet::EMPTY) {
            order.push(q.collect(signal).signal.number());
        }
        assert_eq!(order, [5, 11, 1, 10, 12, 15, 34, 35, 40, 40, 40, 40]);
        assert_eq!(q, SigPending::default());
    }

    #[test]
    fn a_standard_signal_is_queued_once_and_the_first_record_wins() {
        // S-18.
        let mut q = SigPending::default();
        let first = SigInfo::user(Signal::SIGUSR1, Pid(5), 1);
        q.push(Signal::SIGUSR1, Some(first));
        assert!(q.holds_standard(Signal::SIGUSR1));
        assert_eq!(q.collect(Signal::SIGUSR1), first);
    }

    #[test]
    fn a_lost_record_is_delivered_without_a_sender() {
        // S-19 (b).
        let mut q = SigPending::default();
        let rt = Signal::new(40).unwrap();
        q.push(rt, None);
        q.push(rt, None);
        assert_eq!(q.collect(rt), SigInfo::user(rt, Pid(0), 0));
        assert_eq!(q.next(SigSet::EMPTY), None);
    }

    #[test]
    fn a_fault_is_taken_before_a_lower_numbered_signal() {
        // S-29 (2): only with a positive si_code.
        let mut q = queue(&[1, 4]);
        assert_eq!(q.collect_synchronous(SigSet::EMPTY), None);
        let fault = SigInfo {
            signal: Signal::SIGSEGV,
            errno: 0,
            code: 1,
            detail: SigDetail::Fault { addr: 0 },
        };
        q.push(Signal::SIGSEGV, Some(fault));
        assert_eq!(q.collect_synchronous(SigSet::of(Signal::SIGSEGV)), Some(fault));
        assert_eq!(q.next(SigSet::EMPTY), Some(Signal::SIGILL));
    }
}
