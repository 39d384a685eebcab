//! The life of AF_UNIX connections: listen, connect, accept, shutdown. A connection is complete as
//! soon as connect(2) has put its other half into the listener's queue; accept(2) only takes it.

use super::{State, UnixSocket};
use crate::abi::Errno;
use crate::fs::fasync::Band;
use crate::kernel::Kernel;
use crate::net::msg::MsgFlags;
use crate::net::sockaddr::SockAddr;
use crate::net::socket::{SocketId, SocketKind};
use crate::syscall::{Call, Stop, SysResult};
use crate::task::TaskId;
use crate::wait_queue::Event;

impl Kernel {
    /// unix_listen(): EOPNOTSUPP for datagrams, EINVAL without a name or when connected.
    pub fn unix_listen(&mut self, task: TaskId, s: SocketId, backlog: u32) -> Result<(), Errno> {
        if !self.is_connection_based(s) {
            return Err(Errno::EOPNOTSUPP);
        }
        let peercred = self.unix_cred(task);
        let unix = self.unix_mut(s);
        if unix.name.is_empty() || unix.state == State::Established {
            return Err(Errno::EINVAL);
        }
        let more = backlog as usize > unix.backlog;
        unix.backlog = backlog as usize;
        unix.state = State::Listen;
        unix.peercred = peercred;
        if more {
            self.publish_all(Event::UnixPeer(s));
        }
        Ok(())
    }

    /// unix_stream_connect() and unix_dgram_connect().
    pub fn unix_connect(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        to: &SockAddr,
        nonblock: bool,
    ) -> SysResult {
        match to {
            SockAddr::Unix(path) if self.is_connection_based(s) => {
                self.unix_stream_connect(call, s, path, nonblock)
            }
            SockAddr::Unix(path) => self.unix_dgram_connect(call, s, path),
            SockAddr::Unspec if !self.is_connection_based(s) => {
                if let Some(old) = self.unix_mut(s).peer.take() {
                    self.unix_mut(s).state = State::Close;
                    self.unix_dgram_disconnected(call.task, s, old);
                }
                Ok(0)
            }
            SockAddr::Unspec | SockAddr::Inet(_) | SockAddr::Inet6(_) | SockAddr::Other(_) => {
                Err(Errno::EINVAL.into())
            }
        }
    }

    /// Waits while the listener's queue is full (EAGAIN if it must not wait).
    fn unix_stream_connect(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        path: &[u8],
        nonblock: bool,
    ) -> SysResult {
        if self.net.sockets[s].options.passcred {
            self.unix_autobind(s)?;
        }
        let other = self.unix_find_other(call, path, s)?;
        let listener = self.unix(other);
        if listener.state != State::Listen || listener.rcv_shutdown {
            return Err(Errno::ECONNREFUSED.into());
        }
        if listener.is_recvq_full() {
            let flags = if nonblock { MsgFlags::DONTWAIT } else { MsgFlags(0) };
            return Err(self.unix_wait_for_peer(call, s, other, flags));
        }
        match self.unix(s).state {
            State::Close => {}
            State::Established => return Err(Errno::EISCONN.into()),
            State::Listen => return Err(Errno::EINVAL.into()),
        }
        let half = UnixSocket {
            state: State::Established,
            peer: Some(s),
            name: self.unix(other).name.clone(),
            peercred: self.unix_cred(call.task),
            ..UnixSocket::new()
        };
        let mut made = self.net.sockets[other].clone();
        made.kind = SocketKind::Unix(half);
        let half = self.net.sockets.insert(made);
        let peercred = self.unix(other).peercred;
        let unix = self.unix_mut(s);
        unix.state = State::Established;
        unix.peer = Some(half);
        unix.peercred = peercred;
        self.unix_mut(other).accept_queue.push_back(half);
        self.unix_data_ready(other);
        Ok(0)
    }

    /// unix_wait_for_peer(): until `other`'s queue has room.
    pub(super) fn unix_wait_for_peer(
        &self,
        call: &Call<'_>,
        s: SocketId,
        other: SocketId,
        flags: MsgFlags,
    ) -> Stop {
        let timeo = self.net.sockets[s].options.sndtimeo;
        match self.sock_wait(call, s, flags, timeo) {
            Some(mut wait) => {
                wait.on = vec![Event::UnixPeer(other)];
                wait.exclusive().into()
            }
            None => Errno::EAGAIN.into(),
        }
    }

    /// unix_dgram_connect(): a default destination, and only its datagrams are taken. EPERM if it
    /// has chosen another.
    fn unix_dgram_connect(&mut self, call: &mut Call<'_>, s: SocketId, path: &[u8]) -> SysResult {
        if self.net.sockets[s].options.passcred {
            self.unix_autobind(s)?;
        }
        let other = self.unix_find_other(call, path, s)?;
        if !self.unix_may_send(s, other) {
            return Err(Errno::EPERM.into());
        }
        let unix = self.unix_mut(s);
        unix.state = State::Established;
        let old = unix.peer.replace(other);
        self.unix_mut(other).state = State::Established;
        if let Some(old) = old.filter(|old| *old != other) {
            self.unix_dgram_disconnected(call.task, s, old);
        }
        Ok(0)
    }

    /// unix_may_send(): `other` is free, or `s` is whom it talks to.
    pub(super) fn unix_may_send(&self, s: SocketId, other: SocketId) -> bool {
        self.unix(other).peer.is_none_or(|peer| peer == s)
    }

    /// unix_dgram_disconnected(): what `old` sent to `s` is lost; if `old` still talks to `s`, it
    /// is told by ECONNRESET.
    pub(super) fn unix_dgram_disconnected(&mut self, task: TaskId, s: SocketId, old: SocketId) {
        let lost = core::mem::take(&mut self.unix_mut(s).receive_queue);
        if !lost.is_empty() {
            for skb in lost {
                self.unix_free_skb(Some(task), skb);
            }
            self.unix_wake_peer_wait(s);
            if self.unix_get(old).is_some_and(|o| o.peer == Some(s)) {
                self.unix_mut(old).error = Some(Errno::ECONNRESET);
                self.publish(Event::Socket(old));
            }
        }
        if self.unix_get(old).is_some() {
            self.unix_mut(old).state = State::Close;
        }
    }

    /// unix_accept(): the next connection; waits, exclusively. EINVAL after shutdown or without
    /// listen(2).
    pub fn unix_accept(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        flags: MsgFlags,
    ) -> Result<SocketId, Stop> {
        if !self.is_connection_based(s) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if self.unix(s).state != State::Listen {
            return Err(Errno::EINVAL.into());
        }
        if let Some(errno) = self.unix_take_error(s) {
            return Err(errno.into());
        }
        if let Some(half) = self.unix_mut(s).accept_queue.pop_front() {
            self.publish(Event::UnixPeer(s));
            return Ok(half);
        }
        let timeo = self.net.sockets[s].options.rcvtimeo;
        match self.sock_wait(call, s, flags, timeo) {
            None => Err(Errno::EAGAIN.into()),
            Some(_) if self.unix(s).rcv_shutdown => Err(Errno::EINVAL.into()),
            Some(wait) => Err(wait.exclusive().into()),
        }
    }

    /// unix_shutdown(): also the peer's other direction, where there is a connection. Never fails.
    pub fn unix_shutdown(&mut self, s: SocketId, rd: bool, wr: bool) -> Result<(), Errno> {
        let unix = self.unix_mut(s);
        unix.rcv_shutdown |= rd;
        unix.send_shutdown |= wr;
        let peer = unix.peer;
        self.publish_all(Event::Socket(s));
        let peer = peer.filter(|p| self.is_connection_based(s) && self.unix_get(*p).is_some());
        if let Some(peer) = peer {
            let other = self.unix_mut(peer);
            other.rcv_shutdown |= wr;
            other.send_shutdown |= rd;
            let both = other.rcv_shutdown && other.send_shutdown;
            self.publish_all(Event::Socket(peer));
            if both {
                self.sock_wake_waitd(peer, Band::Hup);
            } else if wr {
                self.sock_wake_waitd(peer, Band::In);
            }
        }
        Ok(())
    }
}
