//! The stream of facts of a whole world: what its kernels told, with the host's number, and what
//! the lab itself did. Ordered by the lab, printed by renderers. Neighbour: `world`.

use crate::fault::FaultKind;
use kernel::abi::Errno;
use kernel::fact::Fact;
use kernel::net::packet::Packet;
use kernel::task::{Pid, WaitStatus};
use kernel::time::Instant;

/// One fact of a world.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// On which host, by its index in `World::hosts`, where one is concerned.
    pub host: Option<usize>,
    /// Whose process did it.
    pub pid: Option<Pid>,
    /// Which of its threads.
    pub tid: Option<Pid>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum What {
    /// Something that a kernel told.
    Kernel(Fact),
    /// Something that the lab did.
    Lab(LabFact),
}

/// What the lab did.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum LabFact {
    /// A process of the plan was started.
    Started {
        /// Its name in the scenario.
        process: String,
        /// Its number on its host.
        pid: Pid,
        /// What was started.
        command: Vec<Vec<u8>>,
    },
    /// A process of the plan could not be started.
    NotStarted {
        /// Its name in the scenario.
        process: String,
        /// What execve(2) would say.
        errno: Errno,
        /// Which step failed on what.
        why: String,
    },
    /// A process of the plan ended.
    Ended {
        /// Its name in the scenario.
        process: String,
        /// Its number on its host.
        pid: Pid,
        /// How.
        status: WaitStatus,
    },
    /// A fault of the plan came to pass.
    Fault {
        /// Which.
        fault: FaultKind,
        /// Why it hit nothing, if it did not.
        missed: Option<String>,
    },
    /// Bytes came to a host's standard input; none stand for its end.
    Input {
        /// The bytes.
        bytes: bytes::Bytes,
    },
    /// A packet did not arrive.
    Dropped {
        /// Which.
        packet: Box<Packet>,
        /// Why.
        why: &'static str,
    },
}
