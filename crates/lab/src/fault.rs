//! Faults: what the lab does to processes and hosts at a planned time. Neighbours: `scenario`
//! (where they are written), `world` (where they come to pass).

use crate::shape::LinkShape;
use kernel::abi::signal::Signal;

/// What goes wrong.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// A process of the scenario is sent a signal from outside, which no permission holds up.
    Signal {
        /// Its name in the scenario.
        process: String,
        /// Which signal.
        signal: Signal,
    },
    /// A process crashes: its main thread reads from address 0 (SIGSEGV with SEGV_MAPERR), which it
    /// may handle.
    Crash {
        /// Its name in the scenario.
        process: String,
    },
    /// The OOM killer chose this process: SIGKILL from the kernel, to all that share its memory.
    Oom {
        /// Its name in the scenario.
        process: String,
    },
    /// A host loses its power: nothing is sent, nothing runs or answers (rules P-1, P-2).
    PowerOff {
        /// The host's name.
        host: String,
    },
    /// Its power comes back: a fresh kernel that knows none of the old connections (P-5, P-12,
    /// P-13). Unlike Linux, whose disk keeps what was synced: the files are those of the beginning.
    PowerOn {
        /// The host's name.
        host: String,
    },
    /// From now on nothing that one of two hosts sends arrives at the other (P-2 to P-4, P-10).
    Partition {
        /// Their names.
        between: (String, String),
        /// Only what the first sends is lost.
        one_way: bool,
    },
    /// A partition ends, in both directions.
    Heal {
        /// The names of its hosts.
        between: (String, String),
    },
    /// A host's cable is pulled out: nothing comes in or goes out. Unlike Linux, the host itself is
    /// not told that it has no carrier (IFF_RUNNING).
    Unplug {
        /// The host's name.
        host: String,
    },
    /// The cable is in again.
    Plug {
        /// The host's name.
        host: String,
    },
    /// From now on the link between two hosts is like this.
    Link {
        /// Their names.
        between: (String, String),
        /// What it does to packets.
        shape: LinkShape,
    },
}

impl FaultKind {
    /// Does it strike this process, or the host that it is on?
    pub fn concerns(&self, its_name: &str, its_host: &str) -> bool {
        match self {
            FaultKind::Signal { process, .. }
            | FaultKind::Crash { process }
            | FaultKind::Oom { process } => process == its_name,
            FaultKind::PowerOff { host }
            | FaultKind::PowerOn { host }
            | FaultKind::Unplug { host }
            | FaultKind::Plug { host } => host == its_host,
            FaultKind::Partition { between, .. }
            | FaultKind::Heal { between }
            | FaultKind::Link { between, .. } => between.0 == its_host || between.1 == its_host,
        }
    }
}
