//! UDP sockets (udp(7)): a queue of datagrams, an optional peer, ICMP errors for connected ones.
//! Neighbours: `calls` and `msg` call in, `ip` delivers.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::Fact;
use crate::fs::fasync::{Band, FasyncOn};
use crate::kernel::Kernel;
use crate::net::inet6::Inet6Options;
use crate::net::msg::ControlMessage;
use crate::net::msg::{MsgFlags, Received};
use crate::net::packet::{Transport, Unreachable};
use crate::net::pktinfo::pktinfo_of;
use crate::net::port::Owner;
use crate::net::sockaddr::SockAddr;
use crate::net::socket::{SocketId, SocketKind};
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Stop, SysResult};
use crate::time::Instant;
use crate::wait_queue::Event;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

/// What a queued datagram is charged beyond its bytes (an sk_buff and its rounded head).
const DATAGRAM_OVERHEAD: usize = 768;
/// The longest UDP payload in an IPv4 packet, and in an IPv6 packet, whose length is without header.
const MAX_PAYLOAD: usize = 65_507;
const MAX_PAYLOAD6: usize = 65_527;

/// One datagram in a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    from: SocketAddr,
    to: IpAddr,
    payload: Bytes,
    /// When it arrived, if somebody wanted to know.
    at: Option<Instant>,
}

/// The UDP part of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UdpSocket {
    /// The local address; port 0 before it is bound.
    pub local: SocketAddr,
    /// Whom connect(2) named.
    pub peer: Option<SocketAddr>,
    queue: VecDeque<Datagram>,
    charged: usize,
    /// sk_err, from ICMP.
    pub error: Option<Errno>,
    shut_rd: bool,
    shut_wr: bool,
}

impl UdpSocket {
    /// Unbound, which is `any` address of its family, unconnected, empty.
    pub fn new(any: IpAddr) -> UdpSocket {
        UdpSocket {
            local: SocketAddr::new(any, 0),
            peer: None,
            queue: VecDeque::new(),
            charged: 0,
            error: None,
            shut_rd: false,
            shut_wr: false,
        }
    }

    /// Length of the first datagram in the queue (FIONREAD), 0 if there is none.
    pub fn first_len(&self) -> usize {
        self.queue.front().map_or(0, |d| d.payload.len())
    }

    /// `UDP 10.0.0.1:53`.
    pub fn describe(&self) -> String {
        match self.peer {
            Some(peer) => format!("UDP {}→{peer}", self.local),
            None => format!("UDP {}", self.local),
        }
    }

    /// How well this socket matches a datagram (compute_score); None if not at all. `six` is what it
    /// has of AF_INET6: such a one takes IPv4 too, if no other does and it may.
    fn score(&self, six: Option<Inet6Options>, from: SocketAddr, to: SocketAddr) -> Option<u32> {
        if self.local.port() != to.port() {
            return None;
        }
        let mut score = 1 + u32::from(six.is_none());
        if self.local.ip() == to.ip() {
            score += 4;
        } else {
            let family = self.local.is_ipv6() == to.is_ipv6();
            let mapped = to.is_ipv4() && six.is_some_and(|six| !six.v6only);
            if !self.local.ip().is_unspecified() || !family && !mapped {
                return None;
            }
        }
        if let Some(peer) = self.peer {
            if peer != from {
                return None;
            }
            score += 8;
        }
        Some(score)
    }
}

impl Kernel {
    fn udp(&self, socket: SocketId) -> &UdpSocket {
        match &self.net.sockets[socket].kind {
            SocketKind::Udp(udp) => udp,
            SocketKind::Tcp(_) | SocketKind::Unix(_) => unreachable!("dispatched by kind"),
        }
    }

    fn udp_mut(&mut self, socket: SocketId) -> &mut UdpSocket {
        match &mut self.net.sockets[socket].kind {
            SocketKind::Udp(udp) => udp,
            SocketKind::Tcp(_) | SocketKind::Unix(_) => unreachable!("dispatched by kind"),
        }
    }

    /// bind(2) on a UDP socket: EINVAL when it is bound already, EADDRNOTAVAIL, EADDRINUSE.
    pub fn udp_bind(&mut self, socket: SocketId, addr: SocketAddr) -> Result<(), Errno> {
        if self.udp(socket).local.port() != 0 {
            return Err(Errno::EINVAL);
        }
        self.udp_get_port(socket, addr)
    }

    /// udp_v4_get_port(), udp_v6_get_port(): takes the port, an ephemeral one for 0.
    fn udp_get_port(&mut self, socket: SocketId, addr: SocketAddr) -> Result<(), Errno> {
        let bind = self.bind_record(socket, addr.ip(), true);
        let ports = &self.net.udp_ports;
        let port = match addr.port() {
            0 => {
                let mut draw = self.net.port_stream.clone();
                let range = self.sysctls.local_port_range;
                let found = ports
                    .find_for_bind(&mut draw, range, |p| !ports.conflicts_datagram(p, &bind))?;
                self.net.port_stream = draw;
                found
            }
            port if ports.conflicts_datagram(port, &bind) => return Err(Errno::EADDRINUSE),
            port => port,
        };
        self.net.udp_ports.add(port, bind);
        self.udp_mut(socket).local = SocketAddr::new(addr.ip(), port);
        Ok(())
    }

    fn udp_autobind(&mut self, socket: SocketId) -> Result<(), Errno> {
        if self.udp(socket).local.port() != 0 {
            return Ok(());
        }
        let any = self.udp(socket).local;
        self.udp_get_port(socket, any).map_err(|_| Errno::EAGAIN)
    }

    /// connect(2): names the peer; AF_UNSPEC forgets it.
    pub fn udp_connect(&mut self, socket: SocketId, to: &SockAddr) -> Result<(), Errno> {
        if *to == SockAddr::Unspec {
            self.udp_disconnect(socket);
            return Ok(());
        }
        if matches!(to, SockAddr::Inet(_)) && self.net.sockets[socket].options.is_v6only() {
            return Err(Errno::EAFNOSUPPORT);
        }
        let bound = self.udp(socket).local.ip();
        let to = self.inet_destination(socket, bound, to)?;
        let source = self.ip_route_output(bound, to.ip())?;
        self.udp_autobind(socket)?;
        let udp = self.udp_mut(socket);
        udp.peer = Some(to);
        if bound.is_unspecified() {
            udp.local = SocketAddr::new(source, udp.local.port());
        }
        Ok(())
    }

    /// __udp_disconnect(): no peer any more, and no name but what bind(2) chose of it.
    fn udp_disconnect(&mut self, socket: SocketId) {
        let (any, locks) = (self.any_address(socket), self.net.sockets[socket].userlocks);
        let udp = self.udp_mut(socket);
        udp.peer = None;
        if !locks.addr {
            udp.local = SocketAddr::new(any, udp.local.port());
        }
        if !locks.port {
            let port = udp.local.port();
            udp.local.set_port(0);
            self.net.udp_ports.remove(port, Owner::Socket(socket));
        }
    }

    /// udp_sendmsg().
    pub fn udp_sendmsg(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
        to: Option<&SockAddr>,
        control: &[ControlMessage],
    ) -> SysResult {
        if flags.has(MsgFlags::OOB) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if flags.has(MsgFlags::MORE) {
            self.tell(Some(call.task), Fact::unsupported("MSG_MORE on UDP", ""));
            return Err(Errno::EINVAL.into());
        }
        let six = self.net.sockets[socket].options.inet6.is_some();
        let to = match to {
            // To one of AF_INET6 no address is as none.
            Some(to) if *to != SockAddr::Unspec || !six => {
                self.inet_destination(socket, self.udp(socket).local.ip(), to)?
            }
            Some(_) | None => self.udp(socket).peer.ok_or(Errno::EDESTADDRREQ)?,
        };
        let source = self.ip_route_output(self.udp(socket).local.ip(), to.ip())?;
        if iov.total() > if to.is_ipv4() { MAX_PAYLOAD } else { MAX_PAYLOAD6 } {
            return Err(Errno::EMSGSIZE.into());
        }
        if to.port() == 0 {
            return Err(Errno::EINVAL.into());
        }
        if self.udp(socket).shut_wr {
            return Err(self.sk_stream_error(call, flags, Errno::EPIPE));
        }
        let (choice, from, stamps) = self.ip_cmsg_send(call, socket, to.ip(), control)?;
        let source = from.map_or(Ok(source), |from| self.ip_route_output(from, to.ip()))?;
        if let Some(error) = self.udp_mut(socket).error.take() {
            return Err(error.into());
        }
        self.udp_autobind(socket)?;
        let payload = Bytes::from(iov.gather(call, 0, iov.total())?);
        if payload.len() < iov.total() {
            return Err(Errno::EFAULT.into());
        }
        let local = self.udp(socket).local;
        let len = payload.len() as u64;
        let datagram = Transport::Udp { src_port: local.port(), dst_port: to.port(), payload };
        self.ip_output(source, to.ip(), choice, datagram);
        self.udp_tx_timestamp(socket, stamps);
        Ok(len)
    }

    /// __udp4_lib_lookup(), __udp6_lib_lookup(): the best match; of several the one that was bound
    /// last, or with SO_REUSEPORT the one that the hash says.
    fn udp_lib_lookup(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketId> {
        let users = self.net.udp_ports.users(to.port());
        let scored: Vec<(u32, SocketId)> = users
            .iter()
            .filter_map(|user| {
                let Owner::Socket(id) = user.owner else { return None };
                let six = self.net.sockets[id].options.inet6;
                self.udp(id).score(six, from, to).map(|score| (score, id))
            })
            .collect();
        let best = scored.iter().map(|(score, _)| *score).max()?;
        let all: Vec<SocketId> =
            scored.into_iter().filter(|(score, _)| *score == best).map(|(_, id)| id).collect();
        let last = *all.last()?;
        let shared = users.iter().any(|user| user.owner == Owner::Socket(last) && user.reuseport);
        if shared && self.udp(last).peer.is_none() {
            return self.reuseport_select_sock((to, from), &all);
        }
        Some(last)
    }

    /// udp_rcv(): a datagram arrived; the best match takes it, an ICMP says that nobody does.
    pub fn udp_rcv(&mut self, from: SocketAddr, to: SocketAddr, payload: Bytes) {
        let Some(socket) = self.udp_lib_lookup(from, to) else {
            self.icmp_send(to.ip(), Unreachable::port(17, from, to));
            return;
        };
        let limit = self.sock_rcvbuf(socket) as usize;
        let timestamping = self.net.sockets[socket].options.timestamping;
        let at = timestamping.on_arrival().then_some(self.now);
        let udp = self.udp_mut(socket);
        // Linux admits a datagram as long as the buffer isn't over its limit yet.
        if udp.charged > limit {
            return;
        }
        udp.charged += payload.len() + DATAGRAM_OVERHEAD;
        udp.queue.push_back(Datagram { from, to: to.ip(), payload, at });
        self.publish(Event::Socket(socket));
        self.kill_fasync(FasyncOn::Socket(socket), Band::In);
    }

    /// udp_err(): an ICMP about what we sent; only a connected socket hears of it.
    pub fn udp_err(&mut self, local: SocketAddr, remote: SocketAddr, errno: Errno) {
        let found = self.net.sockets.iter().find_map(|(id, s)| match &s.kind {
            SocketKind::Udp(u) if u.local.port() == local.port() && u.peer == Some(remote) => {
                Some(id)
            }
            SocketKind::Udp(_) | SocketKind::Tcp(_) | SocketKind::Unix(_) => None,
        });
        let Some(socket) = found else { return };
        self.udp_mut(socket).error = Some(errno);
        self.publish(Event::Socket(socket));
        self.kill_fasync(FasyncOn::Socket(socket), Band::Err);
    }

    /// udp_recvmsg().
    pub fn udp_recvmsg(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        let udp = self.udp_mut(socket);
        if let Some(error) = udp.error.take() {
            return Err(error.into());
        }
        let Some(datagram) = udp.queue.front().cloned() else {
            if udp.shut_rd {
                return Ok(Received::default());
            }
            let timeo = self.net.sockets[socket].options.rcvtimeo;
            return match self.sock_wait(call, socket, flags, timeo) {
                Some(wait) => Err(wait.exclusive().into()),
                None => Err(Errno::EAGAIN.into()),
            };
        };
        if !flags.has(MsgFlags::PEEK) {
            udp.queue.pop_front();
            udp.charged -= datagram.payload.len() + DATAGRAM_OVERHEAD;
        }
        let take = datagram.payload.len().min(iov.total());
        iov.scatter(call, 0, &datagram.payload[..take])?;
        let cut = take < datagram.payload.len();
        let len = if flags.has(MsgFlags::TRUNC) { datagram.payload.len() } else { take };
        Ok(Received {
            len,
            from: Some(self.sockaddr(socket, datagram.from)),
            flags: if cut { MsgFlags::TRUNC } else { MsgFlags(0) },
            control: {
                let mut control = self.sock_recv_timestamp(socket, datagram.at, true);
                control.extend(pktinfo_of(&self.net.sockets[socket].options, datagram.to));
                control
            },
            ..Received::default()
        })
    }

    /// udp_poll(), with datagram_poll()'s bits.
    pub fn udp_poll(&self, socket: SocketId) -> PollBits {
        let udp = self.udp(socket);
        let mut bits = PollBits::OUT | PollBits::WRNORM | PollBits::WRBAND;
        if udp.error.is_some() {
            bits |= PollBits::ERR;
        }
        if udp.shut_rd {
            bits |= PollBits::RDHUP | PollBits::IN | PollBits::RDNORM;
        }
        if udp.shut_rd && udp.shut_wr {
            bits |= PollBits::HUP;
        }
        if !udp.queue.is_empty() {
            bits |= PollBits::IN | PollBits::RDNORM;
        }
        bits
    }

    /// shutdown(2): ENOTCONN without a peer.
    pub fn udp_shutdown(&mut self, socket: SocketId, rd: bool, wr: bool) -> Result<(), Errno> {
        let udp = self.udp_mut(socket);
        let connected = udp.peer.is_some();
        udp.shut_rd |= rd;
        udp.shut_wr |= wr;
        self.publish_all(Event::Socket(socket));
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    /// The socket's port is free again.
    pub fn udp_release(&mut self, socket: SocketId) {
        let port = self.udp(socket).local.port();
        self.net.udp_ports.remove(port, Owner::Socket(socket));
    }
}
