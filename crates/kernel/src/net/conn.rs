//! Connections and where segments go: the table from 4-tuple to connection (`inet_ehashtables`),
//! from port to listener (`inet_lhash2`), their timers, and `tcp_rcv`. A connection belongs to a
//! socket until `inet_release`; then it lives on by itself until it is dead. Everything that
//! touches a [`TcpConn`] goes through [`Kernel::with_conn`], which sends what it wants sent, tells
//! what happened, wakes who waits, and keeps the timers and the tables true.
//! Neighbours: `inet` (sockets), `tcp` (the protocol, sans I/O), `ip`.

use crate::abi::Errno;
use crate::arena::{Arena, Id};
use crate::fact::NetFact;
use crate::kernel::Kernel;
use crate::net::packet::{IpChoice, Transport, Unreachable};
use crate::net::port::{Bind, Owner};
use crate::net::socket::SocketId;
use crate::net::tcp::Seq;
use crate::net::tcp::TcpConfig;
use crate::net::tcp::TcpConn;
use crate::net::tcp::{Flags, Segment, reply_reset};
use crate::net::tcp::{Output, Ready, ReplyWhy, TcpFact};
use crate::random::{Purpose, Stream};
use crate::time::Instant;
use crate::wait_queue::Event;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

/// The bits of the type of service that belong to ECN and not to the program.
pub(super) const INET_ECN_MASK: u8 = 3;

/// Names a [`Connection`].
pub type ConnId = Id<Connection>;

/// The 4-tuple: our address and theirs.
pub type FourTuple = (SocketAddr, SocketAddr);

/// One connection with its addresses and, while it has one, its socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    /// The protocol's part.
    pub tcp: TcpConn,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Whose it is. None: in an accept queue, or an orphan.
    pub socket: Option<SocketId>,
    /// In whose accept queue it waits.
    pub queued_at: Option<SocketId>,
    /// Whose it was or is going to be, while it has no socket (T-33).
    pub uid: u32,
    /// Of a socket of AF_INET6, though it may speak IPv4.
    pub inet6: bool,
    /// A close(2) waits for its FIN to be acknowledged (T-4).
    pub lingered_on: bool,
    /// In the table of 4-tuples.
    hashed: bool,
    /// Its entry in the table of timers.
    deadline: Option<Instant>,
}

/// A listening socket, as segments find it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Listening {
    addr: IpAddr,
    v6only: bool,
    socket: SocketId,
}

/// All connections of a host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Connections {
    /// All of them, by id.
    pub conns: Arena<Connection>,
    by_tuple: BTreeMap<FourTuple, ConnId>,
    /// Listening sockets by port; several with different addresses, or with SO_REUSEPORT.
    listeners: BTreeMap<u16, Vec<Listening>>,
    timers: BTreeSet<(Instant, ConnId)>,
    listener_timers: BTreeSet<(Instant, SocketId)>,
}

impl Connections {
    /// The connection of a 4-tuple.
    pub fn find(&self, tuple: FourTuple) -> Option<ConnId> {
        self.by_tuple.get(&tuple).copied()
    }

    /// The earliest timer of all.
    pub fn next_deadline(&self) -> Option<Instant> {
        let conns = self.timers.first().map(|(at, _)| *at);
        let listeners = self.listener_timers.first().map(|(at, _)| *at);
        [conns, listeners].into_iter().flatten().min()
    }

    /// A socket began to listen.
    pub fn add_listener(&mut self, at: SocketAddr, v6only: bool, socket: SocketId) {
        let new = Listening { addr: at.ip(), v6only, socket };
        self.listeners.entry(at.port()).or_default().push(new);
    }

    /// It stopped.
    pub fn remove_listener(&mut self, port: u16, socket: SocketId) {
        if let Some(all) = self.listeners.get_mut(&port) {
            all.retain(|l| l.socket != socket);
            if all.is_empty() {
                self.listeners.remove(&port);
            }
        }
        self.listener_timers.retain(|(_, s)| *s != socket);
    }

    /// inet_lookup_listener(): a listener on exactly this address before one on all; for IPv4 one of
    /// AF_INET before one of AF_INET6, which takes it unless IPV6_V6ONLY is set. Several share one
    /// address by SO_REUSEPORT.
    pub(super) fn find_listeners(&self, to: SocketAddr) -> Vec<SocketId> {
        let Some(all) = self.listeners.get(&to.port()) else { return Vec::new() };
        let on = |addr: IpAddr| all.iter().find(|l| l.addr == addr);
        let dual = || on(Ipv6Addr::UNSPECIFIED.into()).filter(|l| to.is_ipv6() || !l.v6only);
        let wild = || match to {
            SocketAddr::V4(_) => on(Ipv4Addr::UNSPECIFIED.into()).or_else(dual),
            SocketAddr::V6(_) => dual(),
        };
        let Some(best) = on(to.ip()).or_else(wild) else { return Vec::new() };
        let same = |l: &&Listening| (l.addr, l.v6only) == (best.addr, best.v6only);
        all.iter().filter(same).map(|l| l.socket).collect()
    }

    /// What holds between any two operations: see `tcp::check`; and the tables agree with the
    /// connections. For tests of hostile peers.
    ///
    /// # Errors
    /// The broken invariant, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        let mut timed = 0;
        for (id, conn) in self.conns.iter() {
            conn.tcp.check()?;
            let deadline = conn.tcp.next_deadline();
            let entered = deadline.is_none_or(|at| self.timers.contains(&(at, id)));
            timed += usize::from(deadline.is_some());
            let found = self.find((conn.local, conn.remote)) == Some(id);
            let why = match () {
                () if conn.deadline != deadline || !entered => "its timer is not in the table",
                () if conn.hashed != conn.tcp.is_hashed() => "it is not hashed as its state says",
                () if conn.hashed && !found => "its 4-tuple is not in the table",
                () if conn.tcp.is_dead() && conn.socket.is_none() => "it is dead and still there",
                () => continue,
            };
            return Err(format!("{why}: {conn:?}"));
        }
        let hashed = self.conns.iter().filter(|(_, conn)| conn.hashed).count();
        if (self.timers.len(), self.by_tuple.len()) != (timed, hashed) {
            return Err("the tables have entries of nobody".to_owned());
        }
        Ok(())
    }

    /// Notes when a listener's handshakes need its timer next.
    pub fn set_listener_deadline(&mut self, socket: SocketId, at: Option<Instant>) {
        self.listener_timers.retain(|(_, s)| *s != socket);
        if let Some(at) = at {
            self.listener_timers.insert((at, socket));
        }
    }
}

impl Kernel {
    /// The configuration of a socket's connection to `remote`: MTU by device, the choices for its IP
    /// header, and the timestamp offset, which belongs to the pair of addresses (secure_tcp_ts_off),
    /// so that a handshake and the connection that comes of it have the same clock.
    pub fn tcp_config_for(&self, socket: SocketId, remote: IpAddr) -> TcpConfig {
        let mtu = if self.is_local_address(remote) { 65_536 } else { 1500 };
        let (seed, host) = (self.config.seed, self.config.number);
        let (pair, network_header) = match remote {
            IpAddr::V4(four) => (u64::from(u32::from(four)), 20),
            IpAddr::V6(six) => (u128::from(six) as u64 ^ (u128::from(six) >> 64) as u64, 40),
        };
        let IpChoice { tos, ttl, mtu_discover } = self.ip_choice(socket, remote);
        let ts_offset = Stream::new(seed, host, pair, Purpose::Timestamp).next_u64() as u32;
        TcpConfig {
            mtu,
            network_header,
            ts_offset,
            tos,
            ttl,
            mtu_discover,
            ..self.tcp_effective_config(socket)
        }
    }

    /// A fresh initial sequence number.
    pub fn draw_isn(&mut self) -> Seq {
        Seq(self.net.isn_stream.next_u64() as u32)
    }

    /// Enters a connection into the tables. Its port is taken until it is dead (T-59).
    pub fn add_conn(
        &mut self,
        tcp: TcpConn,
        (local, remote): FourTuple,
        socket: Option<SocketId>,
        bind: Bind,
    ) -> ConnId {
        let conn = self.net.tcp.conns.insert(Connection {
            tcp,
            local,
            remote,
            socket,
            queued_at: None,
            uid: 0,
            inet6: false,
            lingered_on: false,
            hashed: true,
            deadline: None,
        });
        self.net.tcp.by_tuple.insert((local, remote), conn);
        self.net.tcp_ports.add(local.port(), Bind { owner: Owner::Conn(conn), ..bind });
        conn
    }

    /// Runs `f` on a connection and does all that follows from it.
    pub fn with_conn<R>(
        &mut self,
        conn: ConnId,
        f: impl FnOnce(&mut TcpConn, Instant, &mut Output) -> R,
    ) -> R {
        let mut out = Output::default();
        let full = self.net.tx_full && !self.is_local_address(self.net.tcp.conns[conn].remote.ip());
        let tcp = &mut self.net.tcp.conns[conn].tcp;
        tcp.set_device_full(full);
        let result = f(tcp, self.now, &mut out);
        self.after_conn(conn, out);
        result
    }

    /// What follows from an operation: segments, facts, wake-ups, timers, tables.
    pub fn after_conn(&mut self, conn: ConnId, out: Output) {
        let Connection { local, remote, socket, queued_at, .. } = self.net.tcp.conns[conn];
        let lingered_on = self.net.tcp.conns[conn].lingered_on;
        let TcpConfig { tos, ttl, mtu_discover, .. } = *self.net.tcp.conns[conn].tcp.config();
        let choice = IpChoice { tos, ttl, mtu_discover };
        self.tell_tcp_facts(local, remote, &out.facts);
        for mut segment in out.segments {
            let tos = choice.tos | core::mem::take(&mut segment.ecn);
            self.tcp_transmit(local, remote, IpChoice { tos, ..choice }, segment);
        }
        self.update_conn_tables(conn);
        if lingered_on {
            self.publish(Event::Conn(conn));
        }
        if out.wake != Ready::NONE
            && let Some(socket) = socket.or(queued_at)
        {
            self.publish(Event::Socket(socket));
        }
        if let Some(socket) = socket {
            for (what, key) in out.stamps {
                self.tcp_tx_event(socket, what, key);
            }
            self.tcp_wake_async(socket, out.bell);
        }
    }

    /// tcp_transmit_skb(): one segment to the network layer.
    pub fn tcp_transmit(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        choice: IpChoice,
        segment: Segment,
    ) {
        let (src_port, dst_port) = (local.port(), remote.port());
        let payload = Transport::Tcp { src_port, dst_port, segment };
        self.ip_output(local.ip(), remote.ip(), choice, payload);
    }

    /// Tells what TCP did for one connection.
    pub fn tell_tcp_facts(&mut self, local: SocketAddr, remote: SocketAddr, facts: &[TcpFact]) {
        for fact in facts {
            let fact = NetFact::Tcp { local, remote, step: fact.clone() };
            self.tell(self.net.acting, fact.into());
        }
    }

    fn update_conn_tables(&mut self, id: ConnId) {
        let tcp = &mut self.net.tcp;
        let conn = &mut tcp.conns[id];
        let deadline = conn.tcp.next_deadline();
        if deadline != conn.deadline {
            if let Some(old) = conn.deadline.take() {
                tcp.timers.remove(&(old, id));
            }
            if let Some(new) = deadline {
                tcp.timers.insert((new, id));
            }
            conn.deadline = deadline;
        }
        let (tuple, port) = ((conn.local, conn.remote), conn.local.port());
        if conn.hashed && !conn.tcp.is_hashed() {
            conn.hashed = false;
            tcp.by_tuple.remove(&tuple);
            self.net.tcp_ports.remove(port, Owner::Conn(id));
        }
        let conn = &self.net.tcp.conns[id];
        let unowned = conn.socket.is_none() && conn.queued_at.is_none() && !conn.lingered_on;
        if conn.tcp.is_dead() && unowned {
            self.net.tcp.conns.remove(id);
        }
    }

    /// tcp_v4_rcv(), tcp_v6_rcv(): a segment arrived: to its connection, its listener, or nobody.
    pub fn tcp_rcv(&mut self, from: SocketAddr, to: SocketAddr, tos: u8, mut segment: Segment) {
        segment.ecn = tos & INET_ECN_MASK;
        let listener = self.inet_lookup_listener(to, from);
        if let Some(conn) = self.net.tcp.find((to, from)) {
            if segment.has(Flags::ACK) {
                self.net.neighbours.heard_from(from.ip());
            }
            // A SYN may reopen a TIME_WAIT connection, if somebody listens (T-29).
            let reopens = self.net.tcp.conns[conn].tcp.recycles(&segment);
            if let (Some(listener), Some(isn)) = (listener, reopens) {
                self.with_conn(conn, |tcp, _, out| tcp.bury(out));
                self.listener_input(listener, from, to, &segment, Some(isn));
            } else {
                self.with_conn(conn, |tcp, now, out| tcp.input(now, &segment, out));
            }
            return;
        }
        match listener {
            Some(listener) => self.listener_input(listener, from, to, &segment, None),
            None => self.tcp_send_reset(from, to, tos, &segment),
        }
    }

    /// tcp_v4_send_reset(), tcp_v6_send_reset(): nobody there, `[R]` or `[R.]` (T-24b), with the
    /// service class that was asked with.
    fn tcp_send_reset(&mut self, from: SocketAddr, to: SocketAddr, tos: u8, segment: &Segment) {
        if let Some(reset) = reply_reset(segment) {
            let fact = TcpFact::SendReset { why: ReplyWhy::NoSocket };
            self.tell_tcp_facts(to, from, &[fact]);
            let choice = IpChoice { tos: tos & !INET_ECN_MASK, ..IpChoice::default() };
            self.tcp_transmit(to, from, choice, reset);
        }
    }

    /// tcp_v4_err(), tcp_v6_err(): an ICMP about a segment of ours (T-49, T-52a). What quotes a number
    /// that is not in flight is not believed.
    pub fn tcp_err(&mut self, icmp: &Unreachable, errno: Errno) {
        let (local, remote) = (icmp.from, icmp.to);
        let seq = Seq(icmp.seq);
        if let Some(conn) = self.net.tcp.find((local, remote)) {
            self.with_conn(conn, |tcp, now, out| {
                if !tcp.in_flight_at(seq) {
                    return;
                }
                if icmp.is_of_the_way() {
                    tcp.ld_rto_revert(now, seq, out);
                }
                tcp.unreachable(errno, out);
            });
        } else if let Some(listener) = self.inet_lookup_listener(local, remote)
            && icmp.ends_a_request()
        {
            self.listener_unreachable(listener, (local, remote), seq);
        }
    }

    /// Serves the timers of connections and listeners that are due.
    pub fn tcp_expire(&mut self) {
        while let Some(&(at, conn)) = self.net.tcp.timers.first() {
            if at > self.now {
                break;
            }
            self.with_conn(conn, |tcp, now, out| tcp.expire(now, out));
            self.net_rx_action();
        }
        while let Some(&(at, socket)) = self.net.tcp.listener_timers.first() {
            if at > self.now {
                break;
            }
            self.listener_expire(socket);
            self.net_rx_action();
        }
    }
}
