//! signal(7): numbers, names, default actions, sets.
//! Neighbours: `task/signal` decides what becomes of them. Rules S-1, S-32, S-45.

use core::fmt;

/// A signal number, 1..=64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

/// What a signal does at SIG_DFL (rule S-45).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// Ends the group.
    Terminate,
    /// Ends the group with a core dump where dumps are allowed (rule S-44).
    Core,
    /// Nothing.
    Ignore,
    /// Stops the group.
    Stop,
    /// SIGCONT: nothing at delivery; it continued the group at generation (rule S-41).
    Continue,
}

macro_rules! signals {
    ($($name:ident = $value:literal $action:ident,)*) => {
        #[allow(missing_docs)]
        impl Signal {
            $(pub const $name: Signal = Signal($value);)*

            /// `"SIGKILL"`; real-time signals are named by [`Signal`]'s `Debug`.
            pub const fn standard_name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The action at SIG_DFL; real-time signals terminate.
            pub const fn default_action(self) -> DefaultAction {
                match self.0 {
                    $($value => DefaultAction::$action,)*
                    _ => DefaultAction::Terminate,
                }
            }
        }
    };
}

signals! {
    SIGHUP = 1 Terminate, SIGINT = 2 Terminate, SIGQUIT = 3 Core, SIGILL = 4 Core, SIGTRAP = 5 Core,
    SIGABRT = 6 Core, SIGBUS = 7 Core, SIGFPE = 8 Core, SIGKILL = 9 Terminate,
    SIGUSR1 = 10 Terminate, SIGSEGV = 11 Core, SIGUSR2 = 12 Terminate, SIGPIPE = 13 Terminate,
    SIGALRM = 14 Terminate, SIGTERM = 15 Terminate, SIGSTKFLT = 16 Terminate, SIGCHLD = 17 Ignore,
    SIGCONT = 18 Continue, SIGSTOP = 19 Stop, SIGTSTP = 20 Stop, SIGTTIN = 21 Stop,
    SIGTTOU = 22 Stop, SIGURG = 23 Ignore, SIGXCPU = 24 Core, SIGXFSZ = 25 Core,
    SIGVTALRM = 26 Terminate, SIGPROF = 27 Terminate, SIGWINCH = 28 Ignore, SIGIO = 29 Terminate,
    SIGPWR = 30 Terminate, SIGSYS = 31 Core,
}

impl Signal {
    /// The first real-time signal as the kernel counts (glibc keeps 32 and 33 for itself).
    pub const SIGRTMIN: u8 = 32;
    /// The highest signal.
    pub const MAX: u8 = 64;

    /// `None` unless 1..=64.
    pub const fn new(number: u64) -> Option<Signal> {
        if number >= 1 && number <= 64 { Some(Signal(number as u8)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// 32..=64: every instance is queued (rule S-19).
    pub const fn is_realtime(self) -> bool {
        self.0 >= Signal::SIGRTMIN
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standard_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "SIGRT_{}", self.0),
        }
    }
}

/// A set of signals; bit n−1 stands for signal n, as in the kernel's `sigset_t`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: SigSet = SigSet(0);
    /// SIGKILL and SIGSTOP, which can never be blocked (rule S-32).
    pub const UNBLOCKABLE: SigSet = SigSet(1 << 8 | 1 << 18);

    /// The set of one.
    pub const fn of(signal: Signal) -> SigSet {
        SigSet(1 << (signal.0 - 1))
    }

    /// sigismember(3).
    pub const fn has(self, signal: Signal) -> bool {
        self.0 & SigSet::of(signal).0 != 0
    }

    /// sigaddset(3).
    pub fn add(&mut self, signal: Signal) {
        self.0 |= SigSet::of(signal).0;
    }

    /// sigdelset(3).
    pub fn remove(&mut self, signal: Signal) {
        self.0 &= !SigSet::of(signal).0;
    }

    /// Both.
    #[must_use]
    pub const fn union(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub const fn minus(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }

    /// True when nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=64).map(Signal).filter(move |s| self.has(*s))
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
