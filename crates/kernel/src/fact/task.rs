//! Facts of the task room: the steps of a birth, a signal and a death, each named after the
//! function that emits it. Neighbours: `task/fork`, `task/exec`, `task/signal`, `task/exit`.

use crate::abi::signal::Signal;
use crate::task::{Pid, WaitStatus};

/// What happened to a task. Variants are named after Linux's functions.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum TaskFact {
    // Birth.
    CopyProcess {
        flags: u64,
    },
    DupTaskStruct {
        comm: Vec<u8>,
    },
    AllocPid {
        pid: Pid,
    },
    WakeUpNewTask {
        pid: Pid,
        thread: bool,
    },
    Exec {
        path: Vec<u8>,
        argv: Vec<Vec<u8>>,
        interpreter: Option<Vec<u8>>,
    },

    // A signal on its way.
    SendSignal {
        signal: Signal,
        to: Pid,
        group: bool,
        /// Why it was dropped, or what of it.
        dropped: Option<Dropped>,
    },
    /// complete_signal chose a thread; `fatal` says that it took the short cut (rule S-23).
    CompleteSignal {
        signal: Signal,
        chosen: Option<Pid>,
        why: Choice,
        fatal: bool,
    },
    GetSignal {
        signal: Signal,
        action: SignalAction,
    },
    SetupRtFrame {
        signal: Signal,
        handler: u64,
        frame: u64,
    },
    RtSigreturn {
        to: u64,
    },
    /// A synchronous fault was forced (rule S-16).
    ForceSig {
        signal: Signal,
        address: u64,
        rip: u64,
    },
    Stopped {
        signal: Signal,
    },
    Continued,

    // Death.
    DoGroupExit {
        status: WaitStatus,
        threads: usize,
    },
    DoExit {
        status: WaitStatus,
        last: bool,
    },
    ExitMm {
        last: bool,
    },
    ExitFiles {
        last: bool,
        open: usize,
    },
    ExitFs,
    TaskWorkRun {
        releases: usize,
    },
    Reparent {
        child: Pid,
        to: Pid,
    },
    ExitNotify {
        status: WaitStatus,
        signal: Option<Signal>,
        parent: Option<Pid>,
        autoreap: bool,
    },
    Reaped {
        pid: Pid,
        status: WaitStatus,
    },
}

/// Why a signal was not queued, or not wholly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dropped {
    /// The group is dying already (rule S-11).
    GroupExit,
    /// Ignored, and not blocked (rule S-12).
    Ignored,
    /// PID 1 has no handler for it (rules S-13 to S-15).
    Unkillable,
    /// The same standard signal is pending in that queue (rule S-18).
    AlreadyPending,
    /// Over RLIMIT_SIGPENDING: only its siginfo is lost (rule S-19 b).
    Record,
    /// Over RLIMIT_SIGPENDING: EAGAIN (rule S-19 a).
    Limit,
}

/// How complete_signal came to its choice (rules S-20, S-21).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Choice {
    /// The thread that was named, or the leader, wants it.
    FirstCandidate,
    /// The first from curr_target on that wants it.
    CurrTarget,
    /// There is one candidate only, and it blocks it, is stopped, or has other signals to take
    /// first: it finds this one then.
    OnlyCandidateCannot,
    /// All threads block it, are stopped, or have other signals to take first.
    NobodyWants,
}

/// What get_signal decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum SignalAction {
    Handler,
    Ignore,
    Stop,
    Terminate,
    CoreDump,
}
