//! Datagrams and sequenced packets, and the entry for all types: `unix_sendmsg`, `unix_recvmsg`.
//! What a survivor sees: rules F-16 and F-17 (SEQPACKET), F-18 (DGRAM).

use super::State;
use super::skb::{Skb, dgram_truesize};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::net::msg::{ControlMessage, MsgFlags, Received};
use crate::net::sockaddr::SockAddr;
use crate::net::socket::{SockType, SocketId};
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Stop, SysResult};

impl Kernel {
    /// sendmsg(2) on an AF_UNIX socket.
    pub fn unix_sendmsg(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
        to: Option<&SockAddr>,
        control: &[ControlMessage],
    ) -> SysResult {
        if flags.has(MsgFlags::OOB) {
            return Err(self.unix_no_oob(call.task).into());
        }
        match self.net.sockets[s].ty {
            SockType::Stream => self.unix_stream_sendmsg(call, s, iov, flags, to, control),
            SockType::Dgram => self.unix_dgram_sendmsg(call, s, iov, flags, to, control),
            SockType::SeqPacket => {
                if let Some(errno) = self.unix_take_error(s) {
                    return Err(errno.into());
                }
                if self.unix(s).state != State::Established {
                    return Err(Errno::ENOTCONN.into());
                }
                self.unix_dgram_sendmsg(call, s, iov, flags, None, control)
            }
        }
    }

    /// recvmsg(2) on an AF_UNIX socket.
    pub fn unix_recvmsg(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        if flags.has(MsgFlags::OOB) {
            return Err(self.unix_no_oob(call.task).into());
        }
        match self.net.sockets[s].ty {
            SockType::Stream => self.unix_stream_recvmsg(call, s, iov, flags),
            SockType::Dgram => self.unix_dgram_recvmsg(call, s, iov, flags),
            SockType::SeqPacket if self.unix(s).state != State::Established => {
                Err(Errno::ENOTCONN.into())
            }
            SockType::SeqPacket => self.unix_dgram_recvmsg(call, s, iov, flags),
        }
    }

    /// unix_dgram_sendmsg(): one datagram, to `to` or to the peer. EMSGSIZE if it can't fit.
    fn unix_dgram_sendmsg(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
        to: Option<&SockAddr>,
        control: &[ControlMessage],
    ) -> SysResult {
        let scm = self.scm_send(call, control)?;
        let path = match to {
            None => None,
            Some(SockAddr::Unix(path)) if !path.is_empty() => Some(path),
            Some(_) => return Err(Errno::EINVAL.into()),
        };
        if path.is_none() && self.unix(s).peer.is_none() {
            return Err(Errno::ENOTCONN.into());
        }
        if self.net.sockets[s].options.passcred {
            self.unix_autobind(s)?;
        }
        let len = iov.total();
        if len > self.unix_sndbuf(s) - 32 {
            return Err(Errno::EMSGSIZE.into());
        }
        self.unix_alloc_space(call, s, flags)?;
        let data = iov.gather(call, 0, len)?;
        if data.len() < len {
            return Err(Errno::EFAULT.into());
        }
        let other = match path {
            Some(path) => self.unix_find_other(call, path, s)?,
            None => self.unix_living_peer(call, s)?,
        };
        self.unix_dgram_may_queue(call, s, other, flags)?;
        let skb = Skb {
            data: data.into(),
            truesize: dgram_truesize(len),
            owner: s,
            from: self.unix(s).name.clone(),
            cred: self.scm_cred(call.task, s, Some(other), &scm),
            rights: self.scm_get_files(&scm),
        };
        self.unix_queue(other, skb);
        Ok(len as u64)
    }

    /// The peer, if it lives. A datagram socket that finds it dead is disconnected: ECONNREFUSED
    /// now, ENOTCONN later (rule F-18). EPIPE for packets, without a signal (rule F-16).
    fn unix_living_peer(&mut self, call: &Call<'_>, s: SocketId) -> Result<SocketId, Errno> {
        let peer = self.unix(s).peer.ok_or(Errno::ENOTCONN)?;
        if self.unix_get(peer).is_some() {
            return Ok(peer);
        }
        if self.is_connection_based(s) {
            return Err(Errno::EPIPE);
        }
        let unix = self.unix_mut(s);
        unix.peer = None;
        unix.state = State::Close;
        self.unix_dgram_disconnected(call.task, s, peer);
        Err(Errno::ECONNREFUSED)
    }

    /// EPERM if `other` listens to somebody else, EPIPE if it was shut down; waits while its queue
    /// is full (not between two that are each other's peer: there the send buffer decides).
    fn unix_dgram_may_queue(
        &self,
        call: &Call<'_>,
        s: SocketId,
        other: SocketId,
        flags: MsgFlags,
    ) -> Result<(), Stop> {
        if !self.unix_may_send(s, other) {
            return Err(Errno::EPERM.into());
        }
        let to = self.unix(other);
        if to.rcv_shutdown {
            return Err(Errno::EPIPE.into());
        }
        if other != s && to.peer != Some(s) && to.is_recvq_full() {
            return Err(self.unix_wait_for_peer(call, s, other, flags));
        }
        Ok(())
    }

    /// unix_dgram_recvmsg(): one datagram; the error before anything that is queued (rule F-17).
    fn unix_dgram_recvmsg(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        if let Some(errno) = self.unix_take_error(s) {
            return Err(errno.into());
        }
        if self.unix(s).receive_queue.is_empty() {
            return self.unix_dgram_dry(call, s, flags);
        }
        let mut received = Received::default();
        let whole = self.unix(s).receive_queue[0].data.clone();
        let size = iov.total().min(whole.len());
        if size < whole.len() {
            received.flags = received.flags.with(MsgFlags::TRUNC);
        }
        self.scm_recv_name(s, 0, &mut received);
        if self.net.sockets[s].options.passcred {
            self.scm_recv_cred(call.task, s, 0, &mut received);
        }
        received.len = if flags.has(MsgFlags::TRUNC) { whole.len() } else { size };
        let copied = iov.scatter(call, 0, &whole[..size]);
        let faulted = copied != Ok(size);
        if flags.has(MsgFlags::PEEK) {
            if !faulted {
                let rights = self.unix(s).receive_queue[0].rights.clone();
                self.scm_peek_files(&rights, &mut received);
            }
        } else {
            let was_full = self.unix(s).is_recvq_full();
            if let Some(mut skb) = self.unix_mut(s).receive_queue.pop_front() {
                if !faulted {
                    received.rights = core::mem::take(&mut skb.rights);
                }
                // As in Linux, a fault loses the datagram.
                self.unix_free_skb(Some(call.task), skb);
            }
            if was_full {
                self.unix_wake_peer_wait(s);
            }
        }
        if faulted { Err(Errno::EFAULT.into()) } else { Ok(received) }
    }

    /// No datagram: 0 after a shutdown (a DGRAM that must not wait says EAGAIN), else a wait.
    fn unix_dgram_dry(
        &mut self,
        call: &Call<'_>,
        s: SocketId,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        let over = self.unix(s).rcv_shutdown;
        if over && self.net.sockets[s].ty == SockType::SeqPacket {
            return Ok(Received::default());
        }
        let timeo = self.net.sockets[s].options.rcvtimeo;
        match self.sock_wait(call, s, flags, timeo) {
            None => Err(Errno::EAGAIN.into()),
            Some(_) if over => Ok(Received::default()),
            Some(wait) => Err(wait.exclusive().into()),
        }
    }
}
