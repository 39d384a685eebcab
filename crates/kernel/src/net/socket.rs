//! The socket layer.

use crate::arena::Id;
use crate::kernel::Kernel;
use crate::task::TaskId;

/// Names a [`Socket`].
pub type SocketId = Id<Socket>;

/// One socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {}

/// What a socket call remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SocketProgress {}

impl Kernel {
    /// sock_close(): the release of a socket's description.
    pub fn sock_close(&mut self, task: Option<TaskId>, socket: SocketId) {
        let _ = (task, socket);
    }

    /// A few words for the story.
    pub fn describe_socket(&self, socket: SocketId) -> String {
        let _ = socket;
        "socket".into()
    }
}
