//! AF_INET and AF_INET6 stream sockets: what bind, listen, accept, connect, send, recv, shutdown and close mean
//! for a socket that may have a connection (`inet_stream_ops`). Follows tcp(7), ip(7). The
//! connection itself is in `conn`, its protocol in `tcp`; options are in `tcp_sockopt`.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::{NetFact, OpenOn};
use crate::fs::fasync::{Band, FasyncOn};
use crate::kernel::Kernel;
use crate::net::conn::{ConnId, Connection, FourTuple};
use crate::net::msg::MsgFlags;
use crate::net::port::{Bind, Owner};
use crate::net::sockaddr::SockAddr;
use crate::net::socket::{SockType, SocketId, SocketKind, SocketProgress};
use crate::net::tcp::Ready;
use crate::net::tcp::Seq;
use crate::net::tcp::TcpConfig;
use crate::net::tcp::{Close, Shutdown};
use crate::net::tcp::{TcpConn, TcpState};
use crate::net::tcp_listen::TcpListener;
use crate::syscall::{Call, Progress, Restart, Stop, SysResult, Wait};
use crate::task::TaskId;
use crate::wait_queue::Event;
use core::net::{IpAddr, SocketAddr};

/// What a TCP socket is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TcpUse {
    /// Neither listening nor connected.
    Idle,
    /// Listening, with its handshakes and accept queue.
    Listening(Box<TcpListener>),
    /// Connecting, connected, or with a connection that has ended.
    Connected(ConnId),
}

/// The TCP part of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpSocket {
    /// What bind(2) (or listen's and connect's autobind) gave it; port 0 before.
    pub bound: SocketAddr,
    /// The port of the last connection, if it is not bound any more: getsockname(2) tells it still.
    pub last_port: u16,
    /// What it is doing.
    pub usage: TcpUse,
    /// Settings for the connection or listener to come; a living connection has its own copy.
    pub config: TcpConfig,
    /// RCV_SHUTDOWN before a connection: shutdown(2) failed, but it holds for what comes (measured).
    pub shut_rd: bool,
    /// SEND_SHUTDOWN, likewise.
    pub shut_wr: bool,
    /// TCP_DEFER_ACCEPT in seconds, as getsockopt tells it.
    pub defer_accept: u32,
    /// SS_CONNECTING: a connect has not been told its outcome.
    pub connecting: bool,
}

impl TcpSocket {
    /// Unbound, which is `any` address of its family, and idle.
    pub fn new(config: TcpConfig, any: IpAddr) -> TcpSocket {
        TcpSocket {
            bound: SocketAddr::new(any, 0),
            last_port: 0,
            usage: TcpUse::Idle,
            config,
            shut_rd: false,
            shut_wr: false,
            defer_accept: 0,
            connecting: false,
        }
    }

    /// Neither listening nor with a connection.
    pub fn is_idle(&self) -> bool {
        matches!(self.usage, TcpUse::Idle)
    }

    /// SO_ACCEPTCONN.
    pub fn is_listening(&self) -> bool {
        matches!(self.usage, TcpUse::Listening(_))
    }
}

impl Kernel {
    /// The TCP part of a socket that was dispatched as one.
    pub fn tcp_sock(&self, socket: SocketId) -> &TcpSocket {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(tcp) => tcp,
            SocketKind::Udp(_) | SocketKind::Unix(_) => unreachable!("dispatched by kind"),
        }
    }

    /// The same, to change it.
    pub fn tcp_sock_mut(&mut self, socket: SocketId) -> &mut TcpSocket {
        match &mut self.net.sockets[socket].kind {
            SocketKind::Tcp(tcp) => tcp,
            SocketKind::Udp(_) | SocketKind::Unix(_) => unreachable!("dispatched by kind"),
        }
    }

    /// Its connection, if it has or had one.
    pub fn tcp_conn_of(&self, socket: SocketId) -> Option<ConnId> {
        match self.tcp_sock(socket).usage {
            TcpUse::Connected(conn) => Some(conn),
            TcpUse::Idle | TcpUse::Listening(_) => None,
        }
    }

    /// The protocol value of its connection.
    pub fn tcp_of(&self, socket: SocketId) -> Option<&TcpConn> {
        self.tcp_conn_of(socket).map(|c| &self.net.tcp.conns[c].tcp)
    }

    /// A record for the table of ports, in this socket's name and with its options.
    pub fn bind_record(&self, socket: SocketId, addr: IpAddr, explicit: bool) -> Bind {
        let s = &self.net.sockets[socket];
        Bind {
            addr,
            v6only: s.options.is_v6only(),
            owner: Owner::Socket(socket),
            reuse: s.options.reuseaddr,
            reuseport: s.options.reuseport,
            listening: false,
            uid: s.uid,
            explicit,
        }
    }

    /// inet_bind(): EINVAL when it is bound or connected already, EADDRINUSE (T-59).
    pub fn tcp_bind(&mut self, socket: SocketId, addr: SocketAddr) -> Result<(), Errno> {
        let tcp = self.tcp_sock(socket);
        if tcp.bound.port() != 0 || tcp.usage != TcpUse::Idle {
            return Err(Errno::EINVAL);
        }
        let bind = self.bind_record(socket, addr.ip(), true);
        let ports = &self.net.tcp_ports;
        let port = match addr.port() {
            0 => {
                let mut draw = self.net.port_stream.clone();
                let range = self.sysctls.local_port_range;
                let found =
                    ports.find_for_bind(&mut draw, range, |p| !ports.conflicts(p, &bind))?;
                self.net.port_stream = draw;
                found
            }
            port if ports.conflicts(port, &bind) => return Err(Errno::EADDRINUSE),
            port => port,
        };
        self.net.tcp_ports.add(port, bind);
        self.tcp_sock_mut(socket).bound = SocketAddr::new(addr.ip(), port);
        Ok(())
    }

    /// inet_stream_connect(): starts a handshake, or looks how an earlier one is going.
    pub fn inet_stream_connect(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        to: &SockAddr,
        nonblock: bool,
    ) -> SysResult {
        if call.flight.progress == Progress::Fresh {
            if *to == SockAddr::Unspec {
                return self.tcp_disconnect(socket);
            }
            let to = to.clone();
            let tcp = self.tcp_sock(socket);
            match (&tcp.usage, tcp.connecting) {
                (TcpUse::Listening(_), _) => return Err(Errno::EISCONN.into()),
                (TcpUse::Connected(_), true) if nonblock && self.still_connecting(socket) => {
                    return Err(Errno::EALREADY.into());
                }
                (TcpUse::Connected(_), true) => {}
                (TcpUse::Connected(conn), false) => {
                    if self.net.tcp.conns[*conn].tcp.state() != TcpState::Close {
                        return Err(Errno::EISCONN.into());
                    }
                    self.detach_conn(socket);
                    self.tcp_connect(socket, &to)?;
                }
                (TcpUse::Idle, _) => self.tcp_connect(socket, &to)?,
            }
            call.flight.progress = Progress::Socket(SocketProgress::Connecting);
            if nonblock && self.still_connecting(socket) {
                return Err(Errno::EINPROGRESS.into());
            }
            // A handshake over loopback is done before connect(2) looks again.
            self.net_rx_action();
        }
        if self.still_connecting(socket) {
            let timeo = self.net.sockets[socket].options.sndtimeo;
            let flags = if nonblock { MsgFlags::DONTWAIT } else { MsgFlags(0) };
            return Err(match self.sock_wait(call, socket, flags, timeo) {
                Some(wait) => Stop::Wait(wait),
                None => Errno::EINPROGRESS.into(),
            });
        }
        self.connect_outcome(socket)
    }

    fn still_connecting(&self, socket: SocketId) -> bool {
        self.tcp_of(socket)
            .is_some_and(|t| matches!(t.state(), TcpState::SynSent | TcpState::SynRecv))
    }

    /// The handshake is over: connected, or the error that ended it (ECONNABORTED without one).
    fn connect_outcome(&mut self, socket: SocketId) -> SysResult {
        self.tcp_sock_mut(socket).connecting = false;
        let Some(conn) = self.tcp_conn_of(socket) else { return Err(Errno::ECONNABORTED.into()) };
        if self.net.tcp.conns[conn].tcp.state() != TcpState::Close {
            return Ok(0);
        }
        let error = self.net.tcp.conns[conn].tcp.take_error();
        self.detach_conn(socket);
        // tcp_disconnect() reports once more.
        self.kill_fasync(FasyncOn::Socket(socket), Band::Err);
        Err(error.unwrap_or(Errno::ECONNABORTED).into())
    }

    /// tcp_v4_connect(), tcp_v6_connect(): picks addresses and port, sends the SYN.
    fn tcp_connect(&mut self, socket: SocketId, to: &SockAddr) -> Result<(), Errno> {
        let bound = self.tcp_sock(socket).bound;
        let remote = self.inet_destination(socket, bound.ip(), to)?;
        let local_ip = self.ip_route_output(bound.ip(), remote.ip())?;
        let port = if bound.port() != 0 {
            let tuple = (SocketAddr::new(local_ip, bound.port()), remote);
            if !self.inet_check_established(tuple, true) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            bound.port()
        } else {
            let mut draw = self.net.port_stream.clone();
            let range = self.sysctls.local_port_range;
            let port = self.net.tcp_ports.find_for_connect(&mut draw, range, |p| {
                let tuple = (SocketAddr::new(local_ip, p), remote);
                self.net.tcp_ports.free_for_connect(p) && self.inet_check_established(tuple, false)
            })?;
            self.net.port_stream = draw;
            port
        };
        let local = SocketAddr::new(local_ip, port);
        let config = self.tcp_config_for(socket, remote.ip());
        let isn = self.draw_isn();
        let isn = self.take_over_timewait((local, remote)).unwrap_or(isn);
        let mut out = crate::net::tcp::Output::default();
        let mut tcp = TcpConn::connect(config, self.now, isn, &mut out);
        let before = self.tcp_sock(socket);
        tcp.born_shut(before.shut_rd, before.shut_wr);
        let bind = self.bind_record(socket, local_ip, bound.port() != 0);
        let conn = self.add_conn(tcp, (local, remote), Some(socket), bind);
        self.net.tcp.conns[conn].inet6 = self.net.sockets[socket].options.inet6.is_some();
        let s = self.tcp_sock_mut(socket);
        s.usage = TcpUse::Connected(conn);
        s.connecting = true;
        self.after_conn(conn, out);
        Ok(())
    }

    /// __inet_check_established(): is nobody on this 4-tuple, or only a TIME_WAIT that makes room?
    fn inet_check_established(&self, tuple: FourTuple, bound: bool) -> bool {
        let loopback = tuple.0.ip().is_loopback() || tuple.1.ip().is_loopback();
        self.net.tcp.find(tuple).is_none_or(|conn| {
            self.net.tcp.conns[conn].tcp.twsk_unique(self.now, bound, loopback).is_some()
        })
    }

    /// The mini-socket that made room is gone; the ISN that follows from its sequence numbers.
    fn take_over_timewait(&mut self, tuple: FourTuple) -> Option<Seq> {
        let conn = self.net.tcp.find(tuple)?;
        let isn = self.net.tcp.conns[conn].tcp.twsk_unique(self.now, true, true);
        self.with_conn(conn, |tcp, _, out| tcp.bury(out));
        isn
    }

    /// connect with AF_UNSPEC: tcp_disconnect(), after which the socket is as new (but for its
    /// binding).
    fn tcp_disconnect(&mut self, socket: SocketId) -> SysResult {
        self.kill_fasync(FasyncOn::Socket(socket), Band::Err);
        let tcp = self.tcp_sock_mut(socket);
        (tcp.connecting, tcp.shut_rd, tcp.shut_wr) = (false, false, false);
        if let Some(conn) = self.tcp_conn_of(socket) {
            self.with_conn(conn, |tcp, now, out| tcp.disconnect(now, out));
            self.detach_conn(socket);
        }
        Ok(0)
    }

    /// The socket lets go of a connection that is CLOSE.
    fn detach_conn(&mut self, socket: SocketId) {
        let TcpUse::Connected(conn) = self.tcp_sock(socket).usage else { return };
        self.tcp_sock_mut(socket).usage = TcpUse::Idle;
        self.net.tcp.conns[conn].socket = None;
        let used = self.net.tcp.conns[conn].local.port();
        let close = Close { exiting: true, ..Close::default() };
        self.with_conn(conn, |tcp, now, out| tcp.close(now, close, out));
        self.inet_put_port(socket, used);
    }

    /// inet_put_port(): a port that bind(2) did not choose is free again; the next connection gets
    /// another (measured).
    fn inet_put_port(&mut self, socket: SocketId, used: u16) {
        if self.net.sockets[socket].userlocks.port {
            return;
        }
        let tcp = self.tcp_sock_mut(socket);
        let port = tcp.bound.port();
        tcp.bound.set_port(0);
        tcp.last_port = used;
        self.net.tcp_ports.remove(port, Owner::Socket(socket));
    }

    /// inet_shutdown(). ENOTCONN where there is nothing to shut (T-47).
    pub fn inet_shutdown(&mut self, socket: SocketId, rd: bool, wr: bool) -> Result<(), Errno> {
        match self.tcp_sock(socket).usage {
            TcpUse::Idle => {
                let tcp = self.tcp_sock_mut(socket);
                tcp.shut_rd |= rd;
                tcp.shut_wr |= wr;
                self.publish_all(Event::Socket(socket));
                Err(Errno::ENOTCONN)
            }
            TcpUse::Listening(_) => {
                if rd {
                    self.inet_csk_listen_stop(None, socket);
                    self.publish_all(Event::Socket(socket));
                }
                Ok(())
            }
            TcpUse::Connected(conn) => {
                let how = match (rd, wr) {
                    (true, true) => Shutdown::Both,
                    (true, false) => Shutdown::Read,
                    (false, _) => Shutdown::Write,
                };
                if self.net.tcp.conns[conn].tcp.state() == TcpState::SynSent {
                    // Aborted: another connect may follow (T-47).
                    self.tcp_sock_mut(socket).connecting = false;
                }
                let result = self.with_conn(conn, |tcp, now, out| tcp.shutdown(now, how, out));
                self.publish_all(Event::Socket(socket));
                result
            }
        }
    }

    /// inet_release() → tcp_close(): the end of a socket; what goes out is decided by the
    /// connection's state (T-2 to T-19). An explicit close with SO_LINGER waits afterwards: see
    /// `linger_in_close`.
    pub fn inet_release(&mut self, task: Option<TaskId>, socket: SocketId) {
        let exiting = task.is_none_or(|t| self.tasks.get(t).is_none_or(|t| t.exiting));
        let linger = self.net.sockets[socket].options.linger;
        let port = self.tcp_sock(socket).bound.port();
        match self.tcp_sock(socket).usage {
            // Nothing was ever sent: nothing to say.
            TcpUse::Idle => {}
            TcpUse::Listening(_) => self.inet_csk_listen_stop(task, socket),
            TcpUse::Connected(conn) => {
                self.net.tcp.conns[conn].socket = None;
                self.net.tcp.conns[conn].uid = self.net.sockets[socket].uid;
                let too_many_orphans = self.too_many_orphans();
                self.tcp_close(task, conn, Close { linger, exiting, too_many_orphans });
            }
        }
        self.net.tcp_ports.remove(port, Owner::Socket(socket));
    }

    /// tcp_close(), with the fact that says what was decided and why.
    pub fn tcp_close(&mut self, task: Option<TaskId>, conn: ConnId, close: Close) {
        let c = &self.net.tcp.conns[conn];
        let (local, remote) = (c.local, c.remote);
        // The decision is told before the segment that follows from it leaves.
        let mut out = crate::net::tcp::Output::default();
        let now = self.now;
        let outcome = self.net.tcp.conns[conn].tcp.close(now, close, &mut out);
        self.tell(task, NetFact::TcpClose { local, remote, outcome }.into());
        if let (Some(time), Some(task)) = (outcome.linger, task) {
            self.net.tcp.conns[conn].lingered_on = true;
            self.tasks[task].lingering = Some((conn, self.now + time));
        }
        self.after_conn(conn, out);
    }

    /// sk_stream_wait_close(): the second half of a close(2) with SO_LINGER: waits until the FIN is
    /// acknowledged, the time is over or a signal comes, and returns 0 in all cases (T-4). Called
    /// again after each wait.
    pub fn linger_in_close(&mut self, call: &mut Call<'_>) -> SysResult {
        self.linger(call.task).map_or(Ok(0), |wait| Err(wait.into()))
    }

    /// What a task that lingers has to wait for. When there is nothing any more the connection
    /// becomes an orphan, as it would have without SO_LINGER.
    pub fn linger(&mut self, task: TaskId) -> Option<Wait> {
        let (conn, until) = self.tasks[task].lingering?;
        self.net_rx_action();
        let lingers = self.net.tcp.conns[conn].tcp.lingers();
        if lingers && self.now < until && !self.signal_pending(task) {
            return Some(Wait::on(Event::Conn(conn)).with_deadline(Some(until)));
        }
        self.tasks[task].lingering = None;
        self.net.tcp.conns[conn].lingered_on = false;
        self.with_conn(conn, |tcp, now, out| tcp.adjudge_to_death(now, false, out));
        self.net_rx_action();
        None
    }

    /// tcp_poll(), with what only the socket knows.
    pub fn tcp_poll(&self, socket: SocketId) -> PollBits {
        let ready = match &self.tcp_sock(socket).usage {
            // TCP_CLOSE: OUT because write fails at once, HUP because nothing is connected.
            TcpUse::Idle if self.tcp_sock(socket).shut_rd => {
                Ready::IN | Ready::OUT | Ready::HUP | Ready::RDHUP
            }
            TcpUse::Idle => Ready::OUT | Ready::HUP,
            TcpUse::Listening(listener) => listener.poll(),
            TcpUse::Connected(conn) => self.net.tcp.conns[*conn].tcp.poll(),
        };
        let mut bits = PollBits(ready.0);
        if ready.has(Ready::IN) {
            bits |= PollBits::RDNORM;
        }
        if ready.has(Ready::OUT) {
            bits |= PollBits::WRNORM;
        }
        bits
    }

    /// SO_ERROR, which clears it (T-40).
    pub fn tcp_take_error(&mut self, socket: SocketId) -> Option<Errno> {
        let conn = self.tcp_conn_of(socket)?;
        self.net.tcp.conns[conn].tcp.so_error()
    }

    /// getsockname(2).
    pub fn tcp_name(&self, socket: SocketId) -> SocketAddr {
        match self.tcp_sock(socket).usage {
            TcpUse::Connected(conn) => self.net.tcp.conns[conn].local,
            TcpUse::Listening(_) => self.tcp_sock(socket).bound,
            TcpUse::Idle => {
                let TcpSocket { mut bound, last_port, .. } = *self.tcp_sock(socket);
                if bound.port() == 0 {
                    bound.set_port(last_port);
                }
                bound
            }
        }
    }

    /// Whom accept(2) tells of: the other end, dead or alive.
    pub fn tcp_remote(&self, socket: SocketId) -> Result<SocketAddr, Errno> {
        let conn = self.tcp_conn_of(socket).ok_or(Errno::ENOTCONN)?;
        Ok(self.net.tcp.conns[conn].remote)
    }

    /// getpeername(2): ENOTCONN unless connected; a connection that was reset has no peer (T-37).
    pub fn tcp_peername(&self, socket: SocketId) -> Result<SocketAddr, Errno> {
        let conn = self.tcp_conn_of(socket).ok_or(Errno::ENOTCONN)?;
        let conn = &self.net.tcp.conns[conn];
        match conn.tcp.state() {
            TcpState::Close | TcpState::SynSent => Err(Errno::ENOTCONN),
            TcpState::Established
            | TcpState::SynRecv
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::TimeWait
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Listen
            | TcpState::Closing => Ok(conn.remote),
        }
    }

    /// `TCP 10.0.0.1:7000→10.0.0.2:40000 ESTABLISHED`.
    pub fn describe_tcp(&self, socket: SocketId) -> OpenOn {
        let tcp = self.tcp_sock(socket);
        match &tcp.usage {
            TcpUse::Idle => "TCP CLOSE".into(),
            TcpUse::Listening(listener) => {
                let waiting = listener.len();
                format!("TCP {} LISTEN, {waiting} not accepted", tcp.bound).into()
            }
            TcpUse::Connected(conn) => {
                let c = &self.net.tcp.conns[*conn];
                OpenOn::Tcp { local: c.local, remote: c.remote, state: c.tcp.state() }
            }
        }
    }

    /// tcp_too_many_orphans(): are there too many, with the one that just became one (T-23)?
    fn too_many_orphans(&self) -> bool {
        let most = self.net.sysctls.max_orphans as usize;
        let conns = &self.net.tcp.conns;
        let orphan = |c: &Connection| c.socket.is_none() && c.queued_at.is_none();
        // Counted only where there could be so many.
        conns.len() > most && conns.iter().filter(|(_, c)| orphan(c)).count() > most
    }

    /// The socket of a new connection that accept(2) returns.
    pub fn socket_for_conn(&mut self, task: TaskId, listener: SocketId, conn: ConnId) -> SocketId {
        let options = self.net.sockets[listener].options.clone();
        let tcp = TcpSocket {
            bound: SocketAddr::new(self.any_address(listener), 0),
            last_port: 0,
            usage: TcpUse::Connected(conn),
            config: self.tcp_sock(listener).config.clone(),
            shut_rd: false,
            shut_wr: false,
            defer_accept: 0,
            connecting: false,
        };
        let socket = self.sock_alloc(task, SockType::Stream, SocketKind::Tcp(tcp));
        // Options are inherited from the listener (T-58, T-59).
        self.net.sockets[socket].options = options;
        let c = &mut self.net.tcp.conns[conn];
        c.socket = Some(socket);
        c.queued_at = None;
        socket
    }

    /// How accept(2) waits: exclusively, so that one connection wakes one sleeper.
    pub fn accept_wait(
        &self,
        call: &Call<'_>,
        socket: SocketId,
        flags: MsgFlags,
    ) -> Result<Wait, Errno> {
        let timeo = self.net.sockets[socket].options.rcvtimeo;
        let mut wait = self.sock_wait(call, socket, flags, timeo).ok_or(Errno::EAGAIN)?;
        if timeo.is_some() {
            wait.restart = Restart::Eintr;
        }
        Ok(wait.exclusive())
    }
}
