//! unix_stream_sendmsg() and unix_stream_recvmsg(): bytes in pieces. What calls return after the
//! other side died: rules F-16, F-17.

use super::State;
use super::scm::Scm;
use super::skb::{Skb, partial, stream_chunk, stream_truesize};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::net::msg::{ControlMessage, MsgFlags, Received};
use crate::net::sockaddr::SockAddr;
use crate::net::socket::SocketId;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Stop, SysResult};

impl Kernel {
    /// Sends all of `iov`, waiting for room. EPIPE, with SIGPIPE, only if nothing went.
    pub(super) fn unix_stream_sendmsg(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
        to: Option<&SockAddr>,
        control: &[ControlMessage],
    ) -> SysResult {
        let scm = self.scm_send(call, control)?;
        if to.is_some() {
            return Err(match self.unix(s).state {
                State::Established => Errno::EISCONN.into(),
                State::Close | State::Listen => Errno::EOPNOTSUPP.into(),
            });
        }
        let Some(peer) = self.unix(s).peer else { return Err(Errno::ENOTCONN.into()) };
        let result = self.unix_stream_fill(call, s, peer, iov, flags, &scm);
        let moved = call.flight.moved;
        match result {
            Ok(()) => Ok(moved as u64),
            Err(Stop::Errno(Errno::EPIPE)) if moved == 0 && self.pipe_is_broken(s, peer) => {
                Err(self.sk_stream_error(call, flags, Errno::EPIPE))
            }
            Err(stop) => Err(partial(stop, moved)),
        }
    }

    fn pipe_is_broken(&self, s: SocketId, peer: SocketId) -> bool {
        self.unix(s).send_shutdown || self.unix_get(peer).is_none_or(|o| o.rcv_shutdown)
    }

    fn unix_stream_fill(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        peer: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
        scm: &Scm,
    ) -> Result<(), Stop> {
        // A call that slept for room asks for its error and for room before anything else.
        if self.unix(s).send_shutdown && call.flight.place == 0 {
            return Err(Errno::EPIPE.into());
        }
        while call.flight.moved < iov.total() {
            self.unix_alloc_space(call, s, flags)?;
            let left = iov.total() - call.flight.moved;
            let len = stream_chunk(left, self.unix_sndbuf(s));
            let data = iov.gather(call, call.flight.moved, len)?;
            if data.len() < len {
                return Err(Errno::EFAULT.into());
            }
            if self.unix_get(peer).is_none_or(|other| other.rcv_shutdown) {
                return Err(Errno::EPIPE.into());
            }
            // Descriptors travel with the first piece.
            let rights = if call.flight.moved == 0 { self.scm_get_files(scm) } else { Vec::new() };
            let skb = Skb {
                data: data.into(),
                truesize: stream_truesize(len),
                owner: s,
                from: self.unix(s).name.clone(),
                cred: self.scm_cred(call.task, s, Some(peer), scm),
                rights,
            };
            self.unix_queue(peer, skb);
            call.flight.moved += len;
        }
        Ok(())
    }

    /// Reads what is there, at least one byte (all of it with MSG_WAITALL). First the queue, then
    /// the error once, then 0 for ever.
    pub(super) fn unix_stream_recvmsg(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        if self.unix(s).state != State::Established {
            return Err(Errno::EINVAL.into());
        }
        let total = iov.total();
        let lowat = self.net.sockets[s].options.rcvlowat as usize;
        let target = if flags.has(MsgFlags::WAITALL) { total } else { lowat.min(total) }.max(1);
        let mut received = Received { len: call.flight.moved, ..Received::default() };
        let mut first_cred = None;
        loop {
            if self.unix(s).receive_queue.is_empty() {
                if received.len >= target {
                    break;
                }
                match self.unix_stream_dry(call, s, flags) {
                    Ok(()) => break,
                    Err(_) if received.len > call.flight.moved && flags.has(MsgFlags::PEEK) => {
                        break;
                    }
                    Err(stop) => {
                        call.flight.moved = received.len;
                        return Err(partial(stop, received.len));
                    }
                }
            }
            let go_on = if flags.has(MsgFlags::PEEK) {
                self.unix_stream_peek(call, s, iov, &mut received)?
            } else {
                self.unix_stream_take(call, s, iov, &mut received, &mut first_cred)?
            };
            if !go_on || received.len >= total {
                break;
            }
        }
        Ok(received)
    }

    /// Nothing to read: the pending error, the end (Ok), or a wait.
    fn unix_stream_dry(
        &mut self,
        call: &Call<'_>,
        s: SocketId,
        flags: MsgFlags,
    ) -> Result<(), Stop> {
        if let Some(errno) = self.unix_take_error(s) {
            return Err(errno.into());
        }
        if self.unix(s).rcv_shutdown {
            return Ok(());
        }
        let timeo = self.net.sockets[s].options.rcvtimeo;
        match self.sock_wait(call, s, flags, timeo) {
            Some(wait) => Err(wait.into()),
            None => Err(Errno::EAGAIN.into()),
        }
    }

    /// Consumes from the first piece. False when the call must end here: descriptors came, the
    /// piece was not taken whole, or the next one is from another writer and somebody wants to know.
    fn unix_stream_take(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        received: &mut Received,
        first_cred: &mut Option<Option<[u32; 3]>>,
    ) -> Result<bool, Stop> {
        let passcred = self.net.sockets[s].options.passcred;
        let skb = &self.unix(s).receive_queue[0];
        if passcred && first_cred.is_some_and(|cred| cred != skb.cred) {
            return Ok(false);
        }
        let chunk = skb.data.len().min(iov.total() - received.len);
        let bytes = skb.data.slice(..chunk);
        if iov.scatter(call, received.len, &bytes) != Ok(chunk) {
            return if received.len == 0 { Err(Errno::EFAULT.into()) } else { Ok(false) };
        }
        self.scm_recv_name(s, 0, received);
        if passcred && first_cred.is_none() {
            *first_cred = Some(self.unix(s).receive_queue[0].cred);
            self.scm_recv_cred(call.task, s, 0, received);
        }
        received.len += chunk;
        let skb = &mut self.unix_mut(s).receive_queue[0];
        let _ = skb.data.split_to(chunk);
        let rights = core::mem::take(&mut skb.rights);
        let carried = !rights.is_empty();
        received.rights.extend(rights);
        if !skb.data.is_empty() {
            return Ok(false);
        }
        if let Some(skb) = self.unix_mut(s).receive_queue.pop_front() {
            self.unix_free_skb(Some(call.task), skb);
        }
        Ok(!carried)
    }

    /// MSG_PEEK: piece after piece up to one that carries descriptors; references are added.
    fn unix_stream_peek(
        &mut self,
        call: &mut Call<'_>,
        s: SocketId,
        iov: &IoVec,
        received: &mut Received,
    ) -> Result<bool, Stop> {
        let passcred = self.net.sockets[s].options.passcred;
        for i in 0..self.unix(s).receive_queue.len() {
            let skb = &self.unix(s).receive_queue[i];
            let chunk = skb.data.len().min(iov.total() - received.len);
            if (passcred && i > 0 && skb.cred != self.unix(s).receive_queue[0].cred) || chunk == 0 {
                break;
            }
            let (bytes, rights) = (skb.data.slice(..chunk), skb.rights.clone());
            if iov.scatter(call, received.len, &bytes) != Ok(chunk) {
                if received.len == 0 {
                    return Err(Errno::EFAULT.into());
                }
                break;
            }
            self.scm_recv_name(s, i, received);
            if passcred && i == 0 {
                self.scm_recv_cred(call.task, s, 0, received);
            }
            received.len += chunk;
            if !rights.is_empty() {
                self.scm_peek_files(&rights, received);
                break;
            }
        }
        Ok(false)
    }
}
