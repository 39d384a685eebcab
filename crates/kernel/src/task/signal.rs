//! Signals: the data of the room (dispositions, queues) and the small questions that others ask.
//! Grows into a folder: send, complete_signal, get_signal, frame, the calls.

use crate::abi::signal::{SigSet, Signal};
use crate::arena::Id;
use crate::kernel::Kernel;
use crate::platform::{Fault, Platform};
use crate::task::{Pid, TaskId};
use std::collections::VecDeque;

/// Names a [`SigHand`].
pub type SigHandId = Id<SigHand>;

/// One disposition, as sigaction(2) stores it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SigAction {
    /// 0 = SIG_DFL, 1 = SIG_IGN, else the handler's address.
    pub handler: u64,
    /// SA_*.
    pub flags: u64,
    /// sa_restorer.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

/// sighand_struct: the dispositions, shared by CLONE_SIGHAND.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigHand {
    /// How many tasks share it.
    pub users: u32,
    /// By signal number − 1.
    pub action: [SigAction; 64],
}

impl SigHand {
    /// All at SIG_DFL, one user.
    pub fn new() -> SigHand {
        SigHand { users: 1, action: [SigAction::default(); 64] }
    }

    /// The disposition of `signal`.
    pub fn of(&self, signal: Signal) -> &SigAction {
        &self.action[usize::from(signal.number()) - 1]
    }

    /// The disposition of `signal`, to change it.
    pub fn of_mut(&mut self, signal: Signal) -> &mut SigAction {
        &mut self.action[usize::from(signal.number()) - 1]
    }
}

impl Default for SigHand {
    fn default() -> Self {
        SigHand::new()
    }
}

/// What siginfo tells of a signal's origin (rules S-46, S-47).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SigDetail {
    /// kill, tkill: pid and real uid of the sender.
    Kill { pid: Pid, uid: u32 },
    /// sigqueue and friends.
    Rt { pid: Pid, uid: u32, value: u64 },
    /// SIGCHLD.
    Child { pid: Pid, uid: u32, status: i32, utime: i64, stime: i64 },
    /// A synchronous fault, with the CPU's exception number and error code for the frame.
    Fault { addr: u64, trapno: u64, error: u64 },
    /// A POSIX timer.
    Timer { id: i32, overrun: i32, value: u64 },
    /// SIGIO.
    Poll { band: i64, fd: i32 },
    /// seccomp or a bad call.
    Sys { addr: u64, nr: i32, arch: u32 },
    /// As rt_sigqueueinfo gave it: bytes 16.. of siginfo.
    Raw([u8; 112]),
}

/// One queued signal: `kernel_siginfo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigInfo {
    /// Which.
    pub signal: Signal,
    /// si_errno.
    pub errno: i32,
    /// si_code.
    pub code: i32,
    /// The rest.
    pub detail: SigDetail,
}

/// `struct sigpending`: a bitmap and a FIFO of records (rule S-18).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SigPending {
    /// Which signals are pending.
    pub signal: SigSet,
    /// Their records, oldest first; a pending signal may have lost its record (rule S-19).
    pub list: VecDeque<SigInfo>,
}

/// sas_ss_sp, sas_ss_size, sas_ss_flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct AltStack {
    pub sp: u64,
    pub size: u64,
    /// SS_DISABLE (2), SS_AUTODISARM (1 << 31).
    pub flags: u32,
}

impl Default for AltStack {
    fn default() -> Self {
        AltStack { sp: 0, size: 0, flags: 2 }
    }
}

/// Job control of one group (rules S-41 to S-43, X-21).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupStop {
    /// The signal that stopped the group, while it is stopped.
    pub stopped_by: Option<Signal>,
    /// A stop that no wait(2) has reported yet.
    pub stop_unreported: bool,
    /// A continuation that no wait(2) has reported yet.
    pub continue_unreported: bool,
}

impl Kernel {
    /// signal_pending(): has `task` a signal to take before it returns to user mode?
    pub fn signal_pending(&self, task: TaskId) -> bool {
        let t = &self.tasks[task];
        let group = &self.groups[t.group];
        let pending = t.pending.signal.union(group.shared_pending.signal);
        !pending.minus(t.blocked).is_empty() || t.pending.signal.has(Signal::SIGKILL)
    }

    /// fatal_signal_pending(): SIGKILL in the private queue.
    pub fn fatal_signal_pending(&self, task: TaskId) -> bool {
        self.tasks[task].pending.signal.has(Signal::SIGKILL)
    }

    /// send_sig(sig, task, 0): a signal from a call of the task itself, thread-directed (SIGPIPE).
    pub fn send_sig(&mut self, signal: Signal, task: TaskId) {
        let (pid, uid) = (self.groups[self.tasks[task].group].tgid, self.tasks[task].cred.uid);
        let info = SigInfo { signal, errno: 0, code: 0, detail: SigDetail::Kill { pid, uid } };
        let pending = &mut self.tasks[task].pending;
        if !pending.signal.has(signal) {
            pending.signal.add(signal);
            pending.list.push_back(info);
        }
    }

    /// force_sig_fault(): the CPU refused (rule S-16).
    pub fn force_sig_fault(&mut self, task: TaskId, fault: Fault) {
        let _ = (task, fault);
    }

    /// exit_to_user_mode_loop: final puts, signals, restart, until nothing is left to do.
    pub fn exit_to_user_mode(&mut self, task: TaskId, user: &mut dyn Platform) {
        let _ = user;
        self.task_work_run(task);
    }

    /// The native process behind `task` was killed from outside: it dies as by SIGKILL.
    pub fn guest_vanished(&mut self, task: TaskId, user: &mut dyn Platform) {
        let _ = (task, user);
    }
}
