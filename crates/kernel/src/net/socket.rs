//! The socket layer: what a socket is, and `socket_file_ops`: the `Socket` arms of every operation
//! in `fs/file_operations` (sock_read_iter, sock_write_iter, sock_poll, sock_ioctl, sock_mmap,
//! sock_close, sock_splice_read). A connection is not a socket: after `sock_close` it
//! lives on in `conn` as an orphan. Neighbours: `inet`, `udp`, `unix` (one a family), `calls`.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::arena::Id;
use crate::fact::{NetFact, OpenOn};
use crate::fs::fasync::owner_from_number;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::net::inet::TcpSocket;
use crate::net::inet6::Inet6Options;
use crate::net::msg::MsgFlags;
use crate::net::packet::IpChoice;
use crate::net::timestamping::{Timestamping, TxStamp};
use crate::net::udp::UdpSocket;
use crate::net::unix::UnixSocket;
use crate::platform::UserPtr;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Restart, SysResult, Wait};
use crate::task::TaskId;
use crate::task::nsproxy::NetNs;
use crate::time::{Duration, Instant};
use crate::wait_queue::Event;
use std::collections::VecDeque;

/// SOCK_BINDADDR_LOCK and SOCK_BINDPORT_LOCK: what of an internet socket's name bind(2) chose, and
/// not the kernel, which takes back the rest when there is no connection any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BindLocks {
    /// The address.
    pub addr: bool,
    /// The port.
    pub port: bool,
}

/// Names a [`Socket`].
pub type SocketId = Id<Socket>;

/// SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SockType {
    Stream,
    Dgram,
    SeqPacket,
}

impl SockType {
    /// From the low bits of socket(2)'s type.
    pub fn new(raw: u64) -> Option<SockType> {
        match raw {
            1 => Some(SockType::Stream),
            2 => Some(SockType::Dgram),
            5 => Some(SockType::SeqPacket),
            _ => None,
        }
    }

    /// The number that SO_TYPE reports.
    pub fn number(self) -> u32 {
        match self {
            SockType::Stream => 1,
            SockType::Dgram => 2,
            SockType::SeqPacket => 5,
        }
    }
}

/// Options of every socket (socket(7)).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct SocketOptions {
    pub reuseaddr: bool,
    pub reuseport: bool,
    pub keepalive: bool,
    pub broadcast: bool,
    pub oobinline: bool,
    pub dontroute: bool,
    pub passcred: bool,
    pub timestamping: Timestamping,
    /// SO_LINGER: None is off.
    pub linger: Option<Duration>,
    /// SO_RCVTIMEO and SO_SNDTIMEO: None is for ever.
    pub rcvtimeo: Option<Duration>,
    pub sndtimeo: Option<Duration>,
    /// Stored doubled, as Linux does; None until set.
    pub rcvbuf: Option<u32>,
    pub sndbuf: Option<u32>,
    pub rcvlowat: u32,
    pub priority: u32,
    pub mark: u32,
    /// IP_FREEBIND: bind(2) takes an address that is nobody's.
    pub freebind: bool,
    /// IP_PKTINFO.
    pub pktinfo: bool,
    /// IP_TOS and IP_TTL.
    pub ip: IpChoice,
    /// What a socket of AF_INET6 has beside; nothing in others.
    pub inet6: Option<Inet6Options>,
}

impl SocketOptions {
    /// ipv6_only_sock().
    pub fn is_v6only(&self) -> bool {
        self.inet6.is_some_and(|six| six.v6only)
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            reuseaddr: false,
            reuseport: false,
            keepalive: false,
            broadcast: false,
            oobinline: false,
            dontroute: false,
            passcred: false,
            timestamping: Timestamping::default(),
            freebind: false,
            pktinfo: false,
            linger: None,
            rcvtimeo: None,
            sndtimeo: None,
            rcvbuf: None,
            sndbuf: None,
            rcvlowat: 1,
            priority: 0,
            mark: 0,
            ip: IpChoice::default(),
            inet6: None,
        }
    }
}

/// What a socket is, by family and type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SocketKind {
    /// AF_INET or AF_INET6, SOCK_STREAM.
    Tcp(TcpSocket),
    /// AF_INET or AF_INET6, SOCK_DGRAM.
    Udp(UdpSocket),
    /// AF_UNIX, any type.
    Unix(UnixSocket),
}

/// One socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// What bind(2) chose.
    pub userlocks: BindLocks,
    /// `sk_net`: that of its maker, whatever becomes of it.
    pub net: NetNs,
    /// SO_TYPE.
    pub ty: SockType,
    /// Its family's part.
    pub kind: SocketKind,
    /// Its options.
    pub options: SocketOptions,
    /// The error queue (MSG_ERRQUEUE).
    pub errors: VecDeque<TxStamp>,
    /// Effective uid of its maker.
    pub uid: u32,
    /// Pid of its maker (SO_PEERCRED, the story).
    pub pid: u32,
}

impl Socket {
    /// SOCK_STREAM of AF_INET or AF_INET6.
    pub fn is_stream(&self) -> bool {
        matches!(self.kind, SocketKind::Tcp(_))
    }

    /// SOCK_DGRAM of AF_INET or AF_INET6.
    pub fn is_datagram(&self) -> bool {
        matches!(self.kind, SocketKind::Udp(_))
    }
}

/// What a socket call remembers between two runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SocketProgress {
    /// A send: what is to be sent, imported at entry.
    Send(Box<crate::net::msg::Outgoing>),
    /// A receive: where it goes, imported at entry.
    Recv(Box<crate::net::msg::Incoming>),
    /// connect(2) is on its way: the SYN was sent by this call.
    Connecting,
    /// recvmmsg, sendmmsg: messages done so far.
    Many(u32),
}

impl Kernel {
    /// The socket of a held file; ENOTSOCK for any other kind.
    pub fn sock_of(&self, file: FileId) -> Result<SocketId, Errno> {
        match self.files[file].kind {
            crate::fs::file::FileKind::Socket(socket) => Ok(socket),
            crate::fs::file::FileKind::Inode
            | crate::fs::file::FileKind::Pipe(_)
            | crate::fs::file::FileKind::Epoll(_)
            | crate::fs::file::FileKind::Anon(_)
            | crate::fs::file::FileKind::Null
            | crate::fs::file::FileKind::Zero
            | crate::fs::file::FileKind::Full
            | crate::fs::file::FileKind::Urandom
            | crate::fs::file::FileKind::Loop(_)
            | crate::fs::file::FileKind::LoopControl
            | crate::fs::file::FileKind::PtyMaster(_)
            | crate::fs::file::FileKind::PtySlave(_)
            | crate::fs::file::FileKind::Console(_) => Err(Errno::ENOTSOCK),
        }
    }

    /// .read_iter: read(2) is recvmsg without flags or address.
    pub fn sock_read_iter(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        nonblock: bool,
        iov: &IoVec,
    ) -> SysResult {
        if iov.total() == 0 {
            return Ok(0);
        }
        let flags = if nonblock { MsgFlags::DONTWAIT } else { MsgFlags(0) };
        let received = self.sock_recvmsg(call, socket, iov, flags)?;
        self.drop_rights(call, &received);
        Ok(received.len as u64)
    }

    /// .write_iter: write(2) is sendmsg without flags or address.
    pub fn sock_write_iter(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        nonblock: bool,
        iov: &IoVec,
    ) -> SysResult {
        let flags = if nonblock { MsgFlags::DONTWAIT } else { MsgFlags(0) };
        self.sock_sendmsg(call, socket, iov, flags, None, &[])
    }

    /// .poll.
    pub fn sock_poll(&self, socket: SocketId) -> PollBits {
        let ready = match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_poll(socket),
            SocketKind::Udp(_) => self.udp_poll(socket),
            SocketKind::Unix(_) => self.unix_poll(socket),
        };
        ready | self.poll_errors(socket)
    }

    /// .unlocked_ioctl: SIOCINQ (FIONREAD), SIOCOUTQ, SIOCOUTQNSD (TCP only), SIOCATMARK.
    pub fn sock_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        socket: SocketId,
        cmd: u32,
        arg: u64,
    ) -> SysResult {
        const FIONREAD: u32 = 0x541b;
        const SIOCOUTQ: u32 = 0x5411;
        const SIOCOUTQNSD: u32 = 0x894b;
        const SIOCATMARK: u32 = 0x8905;
        const FIOSETOWN: u32 = 0x8901;
        const SIOCSPGRP: u32 = 0x8902;
        const FIOGETOWN: u32 = 0x8903;
        const SIOCGPGRP: u32 = 0x8904;
        let tcp = matches!(self.net.sockets[socket].kind, SocketKind::Tcp(_));
        let value = match cmd {
            SIOCOUTQNSD if tcp => self.tcp_outq_nsd(socket)?,
            FIONREAD => self.sock_inq(socket)?,
            SIOCOUTQ => self.sock_outq(socket)?,
            SIOCATMARK => self.sock_atmark(socket)?,
            FIOGETOWN | SIOCGPGRP => self.f_getown(call.task, file) as u32,
            FIOSETOWN | SIOCSPGRP => {
                let whose = owner_from_number(call.read_u32(UserPtr(arg))? as i32)?;
                return self.set_owner(call.task, file, whose);
            }
            _ => return self.no_ioctl(call, cmd),
        };
        call.write_u32(UserPtr(arg), value)?;
        Ok(0)
    }

    fn sock_inq(&self, socket: SocketId) -> Result<u32, Errno> {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_inq(socket),
            SocketKind::Udp(udp) => Ok(udp.first_len() as u32),
            SocketKind::Unix(_) => self.unix_inq(socket),
        }
    }

    fn sock_outq(&self, socket: SocketId) -> Result<u32, Errno> {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_outq(socket),
            // A datagram leaves at once; nothing of it is charged to the socket afterwards.
            SocketKind::Udp(_) => Ok(0),
            SocketKind::Unix(_) => self.unix_outq(socket),
        }
    }

    fn sock_atmark(&self, socket: SocketId) -> Result<u32, Errno> {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_atmark(socket),
            SocketKind::Udp(_) | SocketKind::Unix(_) => Err(Errno::ENOTTY),
        }
    }

    /// .mmap: Linux's sock_no_mmap.
    pub fn sock_mmap(&self, _socket: SocketId) -> Errno {
        Errno::ENODEV
    }

    /// .release: the last reference to the socket's description went. What goes out on the wire is
    /// decided in the family's release: inet_release → tcp_close, unix_release.
    pub fn sock_close(&mut self, task: Option<TaskId>, socket: SocketId) {
        let what = self.describe_socket(socket);
        self.tell(task, NetFact::SockClose { what }.into());
        let acting = core::mem::replace(&mut self.net.acting, task);
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.inet_release(task, socket),
            SocketKind::Udp(_) => self.udp_release(socket),
            SocketKind::Unix(_) => self.unix_release(task, socket),
        }
        self.net.sockets.remove(socket);
        self.net_rx_action();
        self.net.acting = acting;
    }

    /// What it is, for the story.
    pub fn describe_socket(&self, socket: SocketId) -> OpenOn {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.describe_tcp(socket),
            SocketKind::Udp(udp) => udp.describe().into(),
            SocketKind::Unix(_) => self.describe_unix(socket).into(),
        }
    }

    /// How a blocking socket call waits: until `timeo` after its entry, EINTR instead of a restart
    /// when there is a timeout (sock_intr_errno, rule S-35). `None` when it must not or cannot wait
    /// any longer: EAGAIN.
    pub fn sock_wait(
        &self,
        call: &Call<'_>,
        socket: SocketId,
        flags: MsgFlags,
        timeo: Option<Duration>,
    ) -> Option<Wait> {
        if flags.has(MsgFlags::DONTWAIT) {
            return None;
        }
        let until: Option<Instant> = timeo.map(|t| call.flight.entered + t);
        if until.is_some_and(|u| self.now >= u) {
            return None;
        }
        let restart = if timeo.is_some() { Restart::Eintr } else { Restart::Sys };
        Some(Wait::on(Event::Socket(socket)).with_deadline(until).with_restart(restart))
    }
}
