//! Listening TCP sockets: listen, accept, what arrives for a listener, and its end
//! (`inet_connection_sock`; rules T-5, T-34 to T-38). The protocol of handshakes is in
//! `tcp::listener`; connections are born into `conn` and wait here by name.

use crate::abi::Errno;
use crate::fact::NetFact;
use crate::fs::fasync::{Band, FasyncOn};
use crate::kernel::Kernel;
use crate::net::conn::{ConnId, FourTuple};
use crate::net::inet::TcpUse;
use crate::net::msg::MsgFlags;
use crate::net::port::Owner;
use crate::net::socket::SocketId;
use crate::net::tcp::Output;
use crate::net::tcp::Segment;
use crate::net::tcp::Seq;
use crate::net::tcp::{Listener, ListenerEvent};
use crate::syscall::{Call, Stop};
use crate::task::TaskId;
use crate::wait_queue::Event;
use core::net::SocketAddr;

/// Handshakes by 4-tuple, and the accept queue.
pub type TcpListener = Listener<FourTuple, ConnId>;

impl Kernel {
    fn listener_mut(&mut self, socket: SocketId) -> Option<&mut TcpListener> {
        match &mut self.tcp_sock_mut(socket).usage {
            TcpUse::Listening(listener) => Some(listener),
            TcpUse::Idle | TcpUse::Connected(_) => None,
        }
    }

    /// inet_listen(): autobinds, takes the port for listening (EADDRINUSE: T-60); a second listen
    /// changes the backlog only. EINVAL on a connected socket.
    pub fn inet_listen(
        &mut self,
        task: TaskId,
        socket: SocketId,
        backlog: u32,
    ) -> Result<(), Errno> {
        let _ = task;
        match &mut self.tcp_sock_mut(socket).usage {
            TcpUse::Listening(listener) => {
                listener.set_backlog(backlog);
                return Ok(());
            }
            TcpUse::Connected(_) => return Err(Errno::EINVAL),
            TcpUse::Idle => {}
        }
        if self.tcp_sock(socket).bound.port() == 0 {
            let any = self.tcp_sock(socket).bound;
            self.tcp_bind(socket, any)?;
        }
        let bound = self.tcp_sock(socket).bound;
        let mut bind = self.bind_record(socket, bound.ip(), true);
        bind.listening = true;
        if self.net.tcp_ports.conflicts(bound.port(), &bind) {
            return Err(Errno::EADDRINUSE);
        }
        if let Some(own) = self.net.tcp_ports.of_mut(bound.port(), Owner::Socket(socket)) {
            own.listening = true;
        }
        let config = self.tcp_effective_config(socket);
        let listener = Listener::new(config, backlog);
        self.tcp_sock_mut(socket).usage = TcpUse::Listening(Box::new(listener));
        let v6only = self.net.sockets[socket].options.is_v6only();
        self.net.tcp.add_listener(bound, v6only, socket);
        Ok(())
    }

    /// inet_csk_accept(): the oldest connection, also when it was reset meanwhile (T-37). EINVAL
    /// when the socket does not listen (any more: T-47).
    pub fn inet_accept(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        flags: MsgFlags,
    ) -> Result<SocketId, Stop> {
        let listener = self.listener_mut(socket).ok_or(Errno::EINVAL)?;
        match listener.accept() {
            Some(conn) => Ok(self.socket_for_conn(call.task, socket, conn)),
            None => Err(self.accept_wait(call, socket, flags)?.into()),
        }
    }

    /// A segment for a listener: a SYN, or what follows it. `isn` is given when a SYN reopens a
    /// TIME_WAIT connection (T-29).
    pub fn listener_input(
        &mut self,
        socket: SocketId,
        from: SocketAddr,
        to: SocketAddr,
        segment: &Segment,
        isn: Option<Seq>,
    ) {
        let isn = isn.unwrap_or_else(|| self.draw_isn());
        let now = self.now;
        let config = self.tcp_config_for(socket, from.ip());
        let Some(listener) = self.listener_mut(socket) else { return };
        listener.config = config;
        let mut out = Output::default();
        let event = listener.input(now, (to, from), segment, isn, &mut out);
        self.update_listener_timer(socket);
        match event {
            ListenerEvent::None => self.emit_for(socket, to, from, out),
            ListenerEvent::Established(tcp) => {
                let bind = self.bind_record(socket, to.ip(), false);
                let conn = self.add_conn(*tcp, (to, from), None, bind);
                let waiting = &mut self.net.tcp.conns[conn];
                waiting.queued_at = Some(socket);
                waiting.uid = self.net.sockets[socket].uid;
                waiting.inet6 = self.net.sockets[socket].options.inet6.is_some();
                if let Some(listener) = self.listener_mut(socket) {
                    listener.push(conn);
                }
                self.after_conn(conn, out);
                self.kill_fasync(FasyncOn::Socket(socket), Band::In);
            }
        }
    }

    /// Sends and tells what a handshake wants, which has no connection yet.
    fn emit_for(&mut self, socket: SocketId, local: SocketAddr, remote: SocketAddr, out: Output) {
        let choice = self.ip_choice(socket, remote.ip());
        self.tell_tcp_facts(local, remote, &out.facts);
        for segment in out.segments {
            self.tcp_transmit(local, remote, choice, segment);
        }
    }

    fn update_listener_timer(&mut self, socket: SocketId) {
        let deadline = self.listener_mut(socket).and_then(|l| l.next_deadline());
        self.net.tcp.set_listener_deadline(socket, deadline);
    }

    /// The timer of a listener's handshakes (T-52).
    pub fn listener_expire(&mut self, socket: SocketId) {
        let now = self.now;
        let all = self.listener_mut(socket).map(|l| l.expire(now)).unwrap_or_default();
        for ((local, remote), out) in all {
            self.emit_for(socket, local, remote, out);
        }
        self.update_listener_timer(socket);
    }

    /// An ICMP unreachable about a SYN-ACK (T-52a).
    pub fn listener_unreachable(
        &mut self,
        socket: SocketId,
        ends: (SocketAddr, SocketAddr),
        seq: Seq,
    ) {
        if let Some(listener) = self.listener_mut(socket) {
            listener.unreachable(&ends, seq);
        }
        self.update_listener_timer(socket);
    }

    /// inet_csk_listen_stop(): who is in the accept queue gets `[R.]`, first come first served;
    /// handshakes vanish without a word (T-5, T-34, T-35). With tcp_migrate_req others of its SO_REUSEPORT
    /// group take both over.
    pub fn inet_csk_listen_stop(&mut self, task: Option<TaskId>, socket: SocketId) {
        let port = self.tcp_sock(socket).bound.port();
        self.net.tcp.remove_listener(port, socket);
        if let Some(own) = self.net.tcp_ports.of_mut(port, Owner::Socket(socket)) {
            own.listening = false;
        }
        let usage = core::mem::replace(&mut self.tcp_sock_mut(socket).usage, TcpUse::Idle);
        let TcpUse::Listening(mut listener) = usage else { return };
        for (tuple, request) in listener.take_requests() {
            if let Some(other) = self.reuseport_migrate_sock(tuple) {
                self.listener_mut(other).expect("it listens").migrate(tuple, request);
                self.update_listener_timer(other);
            }
        }
        for conn in listener.close() {
            let c = &self.net.tcp.conns[conn];
            let (local, remote) = (c.local, c.remote);
            if let Some(other) = self.reuseport_migrate_sock((local, remote)) {
                self.net.tcp.conns[conn].queued_at = Some(other);
                self.listener_mut(other).expect("it listens").push(conn);
                self.publish(Event::Socket(other));
                self.kill_fasync(FasyncOn::Socket(other), Band::In);
                continue;
            }
            let c = &mut self.net.tcp.conns[conn];
            c.queued_at = None;
            let mut out = Output::default();
            let outcome = c.tcp.forget_unaccepted(self.now, &mut out);
            self.tell(task, NetFact::TcpClose { local, remote, outcome }.into());
            self.after_conn(conn, out);
        }
        self.publish_all(Event::Socket(socket));
    }
}
