//! Everything that can be told afterwards. A step of the walk from kill(2) to FIN is a typed fact
//! emitted inside the function that it names; renderers invent none. The lab orders the facts of
//! its hosts, the command prints them. One enum a room: `task`, `file`, `net`.

pub mod file;
pub mod net;
pub mod task;

pub use file::{FileFact, OpenOn};
pub use net::NetFact;
pub use task::TaskFact;

use crate::task::Pid;
use crate::time::{Duration, Instant};

/// One fact of one host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// Whose process did it, where somebody did.
    pub pid: Option<Pid>,
    /// Which of its threads.
    pub tid: Option<Pid>,
    /// What.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Fact {
    /// A system call returned (or never will). In a box, as packets are: most facts are small, and
    /// there are many.
    Syscall(Box<SyscallFact>),
    /// A system call went to sleep for the first time.
    Blocked {
        /// Its number.
        nr: u64,
        /// rdi, rsi, rdx, r10, r8, r9.
        args: [u64; 6],
    },
    /// Something that Linux has and this kernel has not was asked for.
    Unsupported {
        /// The call, option or flag.
        name: String,
        /// Its arguments, for the curious.
        detail: String,
    },
    /// A guest that computed was pre-empted where the real machine's clock decided: the run is not
    /// deterministic any more.
    Preempted {
        /// Where: its rip.
        at: u64,
        /// The real CPU time for which it has computed without a system call or fault.
        computed: Duration,
        /// The virtual time that passes for it now.
        passed: Duration,
    },
    /// Bytes that a guest wrote to the console.
    Output {
        /// 1 or 2.
        stream: u8,
        /// The bytes.
        bytes: bytes::Bytes,
    },
    /// Tasks: births, signals, deaths.
    Task(TaskFact),
    /// Descriptors and files.
    File(FileFact),
    /// Sockets, connections, segments.
    Net(NetFact),
}

/// A system call that is over.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SyscallFact {
    /// When it was entered.
    pub entered: Instant,
    /// Its number.
    pub nr: u64,
    /// rdi, rsi, rdx, r10, r8, r9.
    pub args: [u64; 6],
    /// The arguments as strace would print them, where tracing is on.
    pub shown: Option<String>,
    /// rax; none for exit, exec and sigreturn.
    pub result: Option<u64>,
}

impl Fact {
    /// A loud "not here".
    pub fn unsupported(name: &str, detail: impl Into<String>) -> Fact {
        Fact::Unsupported { name: name.to_owned(), detail: detail.into() }
    }
}

impl From<TaskFact> for Fact {
    fn from(f: TaskFact) -> Fact {
        Fact::Task(f)
    }
}
impl From<FileFact> for Fact {
    fn from(f: FileFact) -> Fact {
        Fact::File(f)
    }
}
impl From<NetFact> for Fact {
    fn from(f: NetFact) -> Fact {
        Fact::Net(f)
    }
}
