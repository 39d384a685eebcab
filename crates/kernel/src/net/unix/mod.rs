//! AF_UNIX sockets (unix(7)): what one is, its names and its readiness. `bind` finds sockets by
//! name, `connect` has the life of connections (listen, connect, accept, shutdown), `release` their
//! end (rules F-16 to F-19), `stream` and `dgram` move bytes in `skb`s, `scm` carries descriptors
//! and credentials, `gc` frees sockets that only messages still name (rule F-21).

mod bind;
mod connect;
mod dgram;
mod gc;
mod release;
mod scm;
mod skb;
mod stream;
#[cfg(test)]
mod tests;

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::Fact;
use crate::fs::fasync::{Band, FasyncOn};
use crate::fs::inode::InodeId;
use crate::fs::mount::MountId;
use crate::kernel::Kernel;
use crate::net::socket::{SockType, SocketId, SocketKind};
use crate::task::TaskId;
use crate::wait_queue::Event;
use skb::Skb;
use std::collections::VecDeque;

/// net.unix.max_dgram_qlen: how many datagrams from strangers wait at a socket, and the backlog
/// before listen(2) sets one.
const MAX_DGRAM_QLEN: usize = 10;

/// sk_state of an AF_UNIX socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// TCP_CLOSE.
    Close,
    /// TCP_LISTEN.
    Listen,
    /// TCP_ESTABLISHED; a connected datagram socket too.
    Established,
}

/// How a socket's name is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    /// In the file system, seen through this mount.
    Path(InodeId, MountId),
    /// By its bytes.
    Abstract,
}

/// The AF_UNIX part of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnixSocket {
    state: State,
    /// unix_peer(). May name a socket that is gone (SOCK_DEAD).
    peer: Option<SocketId>,
    /// sun_path of its name, as `SockAddr::Unix` has it; empty without one.
    name: Vec<u8>,
    /// It is found by that name (accepted sockets only carry their listener's).
    bound: Option<Bound>,
    /// What the peer's name was when it died.
    dead_peer_name: Vec<u8>,
    /// SOCKWQ_ASYNC_NOSPACE: a sender found no room; SIGIO tells when there is some.
    async_nospace: bool,
    receive_queue: VecDeque<Skb>,
    /// A listener's connections that nobody accepted yet.
    accept_queue: VecDeque<SocketId>,
    /// sk_max_ack_backlog.
    backlog: usize,
    /// sk_wmem_alloc: bytes of buffers that it sent and nobody consumed.
    wmem: usize,
    /// RCV_SHUTDOWN, SEND_SHUTDOWN.
    rcv_shutdown: bool,
    send_shutdown: bool,
    /// sk_err.
    error: Option<Errno>,
    /// SO_PEERCRED: pid, uid, gid.
    peercred: [u32; 3],
}

impl UnixSocket {
    fn new() -> UnixSocket {
        UnixSocket {
            state: State::Close,
            peer: None,
            name: Vec::new(),
            bound: None,
            dead_peer_name: Vec::new(),
            async_nospace: false,
            receive_queue: VecDeque::new(),
            accept_queue: VecDeque::new(),
            backlog: MAX_DGRAM_QLEN,
            wmem: 0,
            rcv_shutdown: false,
            send_shutdown: false,
            error: None,
            peercred: [0, u32::MAX, u32::MAX],
        }
    }

    /// unix_recvq_full(): one more than the backlog has room.
    fn is_recvq_full(&self) -> bool {
        let waiting = match self.state {
            State::Listen => self.accept_queue.len(),
            State::Close | State::Established => self.receive_queue.len(),
        };
        waiting > self.backlog
    }
}

impl Kernel {
    /// unix_create(): `raw` is the type's number. SOCK_RAW is SOCK_DGRAM by another name.
    pub fn unix_create(
        &mut self,
        task: TaskId,
        raw: u64,
        protocol: u64,
    ) -> Result<SocketId, Errno> {
        const PF_UNIX: u64 = 1;
        if protocol != 0 && protocol != PF_UNIX {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let ty = match raw {
            1 => SockType::Stream,
            2 | 3 => SockType::Dgram,
            5 => SockType::SeqPacket,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        Ok(self.sock_alloc(task, ty, SocketKind::Unix(UnixSocket::new())))
    }

    /// The AF_UNIX part of a socket that lives.
    fn unix(&self, s: SocketId) -> &UnixSocket {
        self.unix_get(s).expect("an AF_UNIX socket that lives")
    }

    fn unix_mut(&mut self, s: SocketId) -> &mut UnixSocket {
        match &mut self.net.sockets[s].kind {
            SocketKind::Unix(unix) => unix,
            SocketKind::Tcp(_) | SocketKind::Udp(_) => unreachable!("{s:?} is no AF_UNIX socket"),
        }
    }

    /// The same for a peer that may be dead.
    fn unix_get(&self, s: SocketId) -> Option<&UnixSocket> {
        match &self.net.sockets.get(s)?.kind {
            SocketKind::Unix(unix) => Some(unix),
            SocketKind::Tcp(_) | SocketKind::Udp(_) => None,
        }
    }

    fn is_stream(&self, s: SocketId) -> bool {
        self.net.sockets[s].ty == SockType::Stream
    }

    /// STREAM and SEQPACKET have connections.
    fn is_connection_based(&self, s: SocketId) -> bool {
        self.net.sockets[s].ty != SockType::Dgram
    }

    /// sk_sndbuf.
    fn unix_sndbuf(&self, s: SocketId) -> usize {
        self.net.sockets[s].options.sndbuf.map_or(skb::SNDBUF_DEFAULT, |n| n as usize)
    }

    /// What SO_PEERCRED tells others of `task`.
    fn unix_cred(&self, task: TaskId) -> [u32; 3] {
        let t = &self.tasks[task];
        [self.groups[t.group].tgid.0, t.cred.euid, t.cred.egid]
    }

    /// socketpair(2): each is the other's peer.
    pub fn unix_socketpair(&mut self, task: TaskId, a: SocketId, b: SocketId) {
        let peercred = self.unix_cred(task);
        for (s, other) in [(a, b), (b, a)] {
            let unix = self.unix_mut(s);
            unix.peer = Some(other);
            unix.peercred = peercred;
            unix.state = State::Established;
        }
    }

    /// unix_writable(): a quarter of the buffer at most is in use.
    fn unix_writable(&self, s: SocketId) -> bool {
        let unix = self.unix(s);
        unix.state != State::Listen && (unix.wmem + 1) * 4 <= self.unix_sndbuf(s)
    }

    /// unix_poll() and unix_dgram_poll().
    pub fn unix_poll(&self, s: SocketId) -> PollBits {
        let unix = self.unix(s);
        let mut bits = PollBits::NONE;
        if unix.error.is_some() {
            bits |= PollBits::ERR;
        }
        if unix.rcv_shutdown && unix.send_shutdown {
            bits |= PollBits::HUP;
        }
        if unix.rcv_shutdown {
            bits |= PollBits::RDHUP | PollBits::IN | PollBits::RDNORM;
        }
        if !unix.receive_queue.is_empty() || !unix.accept_queue.is_empty() {
            bits |= PollBits::IN | PollBits::RDNORM;
        }
        if self.is_connection_based(s) && unix.state == State::Close {
            bits |= PollBits::HUP;
        }
        if self.unix_writable(s) && !self.peer_holds_back(s) {
            bits |= PollBits::OUT | PollBits::WRNORM | PollBits::WRBAND;
        }
        bits
    }

    /// A datagram socket whose peer talks to others and has its queue full is not writable.
    fn peer_holds_back(&self, s: SocketId) -> bool {
        let peer = self.unix(s).peer.filter(|_| !self.is_stream(s));
        match peer.and_then(|p| self.unix_get(p)) {
            Some(other) => other.peer != Some(s) && other.is_recvq_full(),
            None => false,
        }
    }

    /// sk_data_ready().
    fn unix_data_ready(&mut self, s: SocketId) {
        let key = PollBits::IN | PollBits::PRI | PollBits::RDNORM | PollBits::RDBAND;
        self.publish_poll(Event::Socket(s), key);
        if self.is_stream(s) {
            self.sock_wake_waitd(s, Band::In);
        } else {
            self.kill_fasync(FasyncOn::Socket(s), Band::In);
        }
    }

    /// SIOCINQ: all bytes of a stream or of packets, the first datagram. EINVAL on a listener.
    pub fn unix_inq(&self, s: SocketId) -> Result<u32, Errno> {
        let unix = self.unix(s);
        if unix.state == State::Listen {
            return Err(Errno::EINVAL);
        }
        let lens = unix.receive_queue.iter().map(|skb| skb.data.len());
        let bytes: usize =
            if self.is_connection_based(s) { lens.sum() } else { lens.take(1).sum() };
        Ok(bytes as u32)
    }

    /// SIOCOUTQ: bytes of buffers on their way.
    pub fn unix_outq(&self, s: SocketId) -> Result<u32, Errno> {
        Ok(self.unix(s).wmem as u32)
    }

    /// sun_path of its own name, as `SockAddr::Unix` has it.
    pub fn unix_name(&self, s: SocketId) -> Vec<u8> {
        self.unix(s).name.clone()
    }

    /// The peer's name, also of one that died. ENOTCONN.
    pub fn unix_peername(&self, s: SocketId) -> Result<Vec<u8>, Errno> {
        let unix = self.unix(s);
        let peer = unix.peer.ok_or(Errno::ENOTCONN)?;
        Ok(self.unix_get(peer).map_or(&unix.dead_peer_name, |other| &other.name).clone())
    }

    /// pid, uid, gid of the peer.
    pub fn unix_peercred(&self, s: SocketId) -> [u32; 3] {
        self.unix(s).peercred
    }

    /// sock_error(): the pending error, once.
    pub fn unix_take_error(&mut self, s: SocketId) -> Option<Errno> {
        self.unix_mut(s).error.take()
    }

    /// SO_ACCEPTCONN.
    pub fn unix_is_listening(&self, s: SocketId) -> bool {
        self.unix(s).state == State::Listen
    }

    /// A few words for the story: `unix stream /run/x, connected, 5 bytes unread`.
    pub fn describe_unix(&self, s: SocketId) -> String {
        let unix = self.unix(s);
        let ty = match self.net.sockets[s].ty {
            SockType::Stream => "stream",
            SockType::Dgram => "dgram",
            SockType::SeqPacket => "seqpacket",
        };
        let state = match (unix.state, unix.peer) {
            (State::Listen, _) => "listening",
            (_, Some(peer)) if self.unix_get(peer).is_none() => "peer gone",
            (_, Some(_)) => "connected",
            (State::Close | State::Established, None) => "unconnected",
        };
        let unread: usize = unix.receive_queue.iter().map(|skb| skb.data.len()).sum();
        let name = String::from_utf8_lossy(&unix.name).replace('\0', "@");
        let name = if name.is_empty() { String::new() } else { format!(" {name}") };
        format!("unix {ty}{name}, {state}, {unread} bytes unread")
    }

    /// MSG_OOB on AF_UNIX is not here: as a Linux without CONFIG_AF_UNIX_OOB.
    fn unix_no_oob(&mut self, task: TaskId) -> Errno {
        self.tell(Some(task), Fact::unsupported("MSG_OOB on AF_UNIX", ""));
        Errno::EOPNOTSUPP
    }
}
