//! AF_UNIX sockets (unix(7)). The family is not there yet: a socket of it cannot be made, so nobody
//! gets to the other functions, which say what the socket layer will ask for.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::net::msg::{ControlMessage, MsgFlags, Received};
use crate::net::sockaddr::SockAddr;
use crate::net::socket::SocketId;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Stop, SysResult};
use crate::task::TaskId;

/// The AF_UNIX part of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnixSocket {}

#[allow(missing_docs)]
impl Kernel {
    /// unix_create(): `raw` is the type's number.
    pub fn unix_create(
        &mut self,
        task: TaskId,
        raw: u64,
        protocol: u64,
    ) -> Result<SocketId, Errno> {
        let what = format!("AF_UNIX type {raw} protocol {protocol}");
        self.tell(Some(task), Fact::unsupported("socket", what));
        Err(Errno::EAFNOSUPPORT)
    }
    pub fn unix_socketpair(&mut self, _a: SocketId, _b: SocketId) {}
    pub fn unix_bind(
        &mut self,
        _call: &mut Call<'_>,
        _s: SocketId,
        _path: &[u8],
    ) -> Result<(), Errno> {
        Err(Errno::EAFNOSUPPORT)
    }
    pub fn unix_listen(&mut self, _task: TaskId, _s: SocketId, _backlog: u32) -> Result<(), Errno> {
        Err(Errno::EAFNOSUPPORT)
    }
    pub fn unix_accept(
        &mut self,
        _call: &mut Call<'_>,
        _s: SocketId,
        _flags: MsgFlags,
    ) -> Result<SocketId, Stop> {
        Err(Errno::EAFNOSUPPORT.into())
    }
    pub fn unix_connect(
        &mut self,
        _call: &mut Call<'_>,
        _s: SocketId,
        _to: &SockAddr,
        _nonblock: bool,
    ) -> SysResult {
        Err(Errno::EAFNOSUPPORT.into())
    }
    pub fn unix_shutdown(&mut self, _s: SocketId, _rd: bool, _wr: bool) -> Result<(), Errno> {
        Err(Errno::EAFNOSUPPORT)
    }
    pub fn unix_sendmsg(
        &mut self,
        _call: &mut Call<'_>,
        _s: SocketId,
        _iov: &IoVec,
        _flags: MsgFlags,
        _to: Option<&SockAddr>,
        _control: &[ControlMessage],
    ) -> SysResult {
        Err(Errno::EAFNOSUPPORT.into())
    }
    pub fn unix_recvmsg(
        &mut self,
        _call: &mut Call<'_>,
        _s: SocketId,
        _iov: &IoVec,
        _flags: MsgFlags,
    ) -> Result<Received, Stop> {
        Err(Errno::EAFNOSUPPORT.into())
    }
    pub fn unix_poll(&self, _s: SocketId) -> PollBits {
        PollBits::NONE
    }
    pub fn unix_inq(&self, _s: SocketId) -> Result<u32, Errno> {
        Err(Errno::EAFNOSUPPORT)
    }
    pub fn unix_outq(&self, _s: SocketId) -> Result<u32, Errno> {
        Err(Errno::EAFNOSUPPORT)
    }
    /// sun_path of its own name, as `SockAddr::Unix` has it.
    pub fn unix_name(&self, _s: SocketId) -> Vec<u8> {
        Vec::new()
    }
    pub fn unix_peername(&self, _s: SocketId) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTCONN)
    }
    /// pid, uid, gid of the peer.
    pub fn unix_peercred(&self, _s: SocketId) -> [u32; 3] {
        [0, u32::MAX, u32::MAX]
    }
    pub fn unix_take_error(&mut self, _s: SocketId) -> Option<Errno> {
        None
    }
    pub fn unix_is_listening(&self, _s: SocketId) -> bool {
        false
    }
    pub fn unix_release(&mut self, _task: Option<TaskId>, _s: SocketId) {}
    pub fn describe_unix(&self, _s: SocketId) -> String {
        "unix".into()
    }
}
