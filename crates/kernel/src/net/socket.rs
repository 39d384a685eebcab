//! The socket layer.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::arena::Id;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};
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

// The `Socket` arms of fs/file_operations; no socket exists yet.
impl Kernel {
    /// sock_read_iter(): recvmsg without flags; `to` behind `flight.moved` is free.
    pub fn sock_read_iter(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        nonblock: bool,
        to: &IoVec,
    ) -> SysResult {
        let _ = (call, socket, nonblock, to);
        Err(Errno::EINVAL.into())
    }

    /// sock_write_iter(): sendmsg without flags.
    pub fn sock_write_iter(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        nonblock: bool,
        from: &IoVec,
    ) -> SysResult {
        let _ = (call, socket, nonblock, from);
        Err(Errno::EINVAL.into())
    }

    /// sock_poll(). Changes are published as `Event::Socket`.
    pub fn sock_poll(&self, socket: SocketId) -> PollBits {
        let _ = socket;
        PollBits::NONE
    }

    /// sock_ioctl().
    pub fn sock_ioctl(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        cmd: u32,
        arg: u64,
    ) -> SysResult {
        let _ = (socket, arg);
        self.no_ioctl(call, cmd)
    }

    /// sock_fasync(): SIGIO on or off.
    pub fn sock_fasync(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        on: bool,
    ) -> Result<(), Errno> {
        let _ = (call, socket, on);
        Ok(())
    }
}
