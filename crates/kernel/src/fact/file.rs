//! Facts of the file room: which descriptors were closed and which descriptions released.
//! Neighbours: `fs/fdtable`, `fs/file`.

use crate::net::tcp::TcpState;
use core::fmt;
use core::net::SocketAddr;
use std::borrow::Cow;

/// What a description is open on. A connection is not put into words here: its death tells of it
/// five times, and mostly nobody reads them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum OpenOn {
    /// A path, `pipe:[3] (read end)`, `epoll set`.
    Words(Cow<'static, str>),
    /// A TCP connection with its state at that moment.
    Tcp {
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Before what is told happens to it.
        state: TcpState,
    },
}

impl fmt::Display for OpenOn {
    /// `TCP 10.0.0.1:7000→10.0.0.2:40000 ESTABLISHED`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenOn::Words(words) => f.write_str(words),
            OpenOn::Tcp { local, remote, state } => {
                write!(f, "TCP {local}→{remote} {}", state.name())
            }
        }
    }
}

impl From<&'static str> for OpenOn {
    fn from(words: &'static str) -> OpenOn {
        OpenOn::Words(words.into())
    }
}

impl From<String> for OpenOn {
    fn from(words: String) -> OpenOn {
        OpenOn::Words(words.into())
    }
}

/// What happened to a descriptor or an open file description. Named after Linux's functions.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum FileFact {
    /// close_files goes through the table: ascending (rule F-6).
    CloseFiles { open: usize },
    /// One slot was closed; `refs_left` of its description remain elsewhere.
    FilpClose { fd: i32, what: OpenOn, refs_left: u32 },
    /// The last reference went: the release is queued (LIFO) or, in a plain close, done at once.
    Fput { what: OpenOn, deferred: bool },
    /// The release itself.
    FinalFput { what: OpenOn },
}
