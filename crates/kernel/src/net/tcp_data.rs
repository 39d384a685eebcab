//! Bytes through a TCP socket: `tcp_sendmsg` and `tcp_recvmsg`, which move between the user's
//! buffers and the connection's queues and wait when there is no room or nothing to read.
//! What the calls return after the other side died is decided in `tcp::send` and `tcp::receive`
//! (rules T-39 to T-46). Neighbours: `msg` calls in, `conn` owns the connection.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::net::conn::ConnId;
use crate::net::inet::TcpUse;
use crate::net::msg::{ControlMessage, MsgFlags, Received};
use crate::net::sockaddr::SockAddr;
use crate::net::socket::SocketId;
use crate::net::tcp::Ready;
use crate::net::tcp::Received as FromTcp;
use crate::net::tcp::SendFlags;
use crate::net::tcp::TxAsk;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Restart, Stop, SysResult};

const SOL_TCP: i32 = 6;
const TCP_CM_INQ: i32 = 36;

/// How much is copied from the user at a time; what the send buffer refuses is copied again later.
const CHUNK: usize = 256 * 1024;

impl Kernel {
    /// tcp_sendmsg(): takes bytes until all are taken, waiting for room (T-21).
    pub fn tcp_sendmsg(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
        to: Option<&SockAddr>,
        ask: TxAsk,
    ) -> SysResult {
        if flags.has(MsgFlags::FASTOPEN) {
            let what = crate::fact::Fact::unsupported("MSG_FASTOPEN", "");
            self.tell(Some(call.task), what);
            return Err(Errno::EOPNOTSUPP.into());
        }
        // A name is ignored on a connected stream socket (sendto(2): EISCONN may be returned, and
        // Linux's TCP does not).
        let _ = to;
        let TcpUse::Connected(conn) = self.tcp_sock(socket).usage else {
            return Err(self.sk_stream_error(call, flags, Errno::EPIPE));
        };
        let total = iov.total();
        loop {
            if call.flight.moved > 0 && (call.flight.moved == total || self.send_would_fail(conn)) {
                return Ok(call.flight.moved as u64);
            }
            let taken = self.tcp_send_some(call, conn, iov, flags, ask)?;
            call.flight.moved += taken;
            if call.flight.moved == total {
                return Ok(total as u64);
            }
            // Over loopback the other side answers now, which may make room.
            self.net_rx_action();
            if taken == 0 && !self.tcp_poll(socket).has(crate::abi::poll::PollBits::OUT) {
                return self.wait_for_space(call, socket, conn, flags, ask);
            }
        }
    }

    /// One chunk into the send buffer: how much of it was taken.
    fn tcp_send_some(
        &mut self,
        call: &mut Call<'_>,
        conn: ConnId,
        iov: &IoVec,
        flags: MsgFlags,
        ask: TxAsk,
    ) -> Result<usize, Stop> {
        let moved = call.flight.moved;
        let chunk = match iov.gather(call, moved, CHUNK.min(iov.total() - moved)) {
            Ok(chunk) => chunk,
            // What was taken before the hole counts (EFAULT is told by the next call).
            Err(_) if moved > 0 => {
                let more = flags.has(MsgFlags::MORE);
                self.with_conn(conn, |tcp, now, out| tcp.send_ends(now, more, out));
                return Err(Stop::Done(moved as u64));
            }
            Err(errno) => return Err(errno.into()),
        };
        let last = moved + chunk.len() == iov.total();
        let how = SendFlags {
            more: flags.has(MsgFlags::MORE),
            oob: flags.has(MsgFlags::OOB) && last,
            eor: flags.has(MsgFlags::EOR) && last,
            begun: moved > 0,
            goes_on: !last,
            ask,
        };
        let sent = self.with_conn(conn, |tcp, now, out| tcp.send(now, &chunk, how, out));
        sent.map_err(|error| {
            if error.sigpipe {
                self.sk_stream_error(call, flags, error.errno)
            } else {
                error.errno.into()
            }
        })
    }

    fn send_would_fail(&self, conn: ConnId) -> bool {
        let ready = self.net.tcp.conns[conn].tcp.poll();
        ready.has(Ready::ERR) || ready.has(Ready::HUP)
    }

    fn wait_for_space(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        conn: ConnId,
        flags: MsgFlags,
        ask: TxAsk,
    ) -> SysResult {
        self.net.tcp.conns[conn].tcp.wants_space();
        let moved = call.flight.moved;
        let timeo = self.net.sockets[socket].options.sndtimeo;
        let wait = self.sock_wait(call, socket, flags, timeo);
        if wait.is_some() {
            self.net.tcp.conns[conn].tcp.write_waits();
        }
        match wait {
            None if moved > 0 => {
                self.with_conn(conn, |tcp, _, _| tcp.tx_timestamp(ask));
                Ok(moved as u64)
            }
            None => Err(Errno::EAGAIN.into()),
            Some(wait) if moved > 0 => Err(wait.with_restart(Restart::Done(moved as u64)).into()),
            Some(wait) => Err(wait.into()),
        }
    }

    /// tcp_recvmsg(): what is there, or the first byte that comes; all that was asked for with
    /// MSG_WAITALL.
    pub fn tcp_recvmsg(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        let TcpUse::Connected(conn) = self.tcp_sock(socket).usage else {
            let tcp = self.tcp_sock(socket);
            return match (tcp.is_listening(), flags.has(MsgFlags::OOB), tcp.shut_rd) {
                // No urgent byte, whatever else.
                (false, true, _) => Err(Errno::EINVAL.into()),
                (false, false, true) => Ok(Received::default()),
                (true, _, _) | (false, false, false) => Err(Errno::ENOTCONN.into()),
            };
        };
        if flags.has(MsgFlags::OOB) {
            return self.tcp_recv_urg(call, conn, iov, flags);
        }
        let want = iov.total();
        let peek = flags.has(MsgFlags::PEEK);
        let target = if flags.has(MsgFlags::WAITALL) {
            want
        } else {
            (self.net.sockets[socket].options.rcvlowat as usize).clamp(1, want.max(1))
        };
        loop {
            let moved = call.flight.moved;
            if moved > 0 && (moved == want || self.recv_stops(conn)) {
                break;
            }
            // tcp(7): with MSG_TRUNC the bytes are thrown away.
            let thrown = flags.has(MsgFlags::TRUNC);
            let mut copy = |bytes: &[u8]| match thrown {
                true => Ok(bytes.len()),
                false => iov.scatter(call, moved, bytes),
            };
            let got = self.with_conn(conn, |tcp, now, out| {
                tcp.recv_into(now, want - moved, peek, out, &mut copy)
            });
            let got = match got {
                // The buffer has a hole: what came before it counts.
                Err(Errno::EFAULT) if moved > 0 => break,
                got => got?,
            };
            match got {
                FromTcp::Data(bytes) if bytes.is_empty() => break,
                FromTcp::Data(bytes) => {
                    call.flight.moved += bytes.len();
                    if peek {
                        break;
                    }
                }
                FromTcp::Eof => break,
                FromTcp::WouldBlock if moved >= target => break,
                FromTcp::WouldBlock => return self.wait_for_data(call, socket, flags),
            }
        }
        let mut control = Vec::new();
        if let Some(at) = self.net.tcp.conns[conn].tcp.rx_stamp().filter(|_| call.flight.moved > 0)
        {
            control = self.sock_recv_timestamp(socket, Some(at), true);
        }
        control.extend(self.tcp_inq_hint(socket));
        Ok(Received { len: call.flight.moved, control, ..Received::default() })
    }

    /// TCP_INQ: how much is left to read, as an ancillary message; after a FIN never nothing, so that
    /// the program goes on to the end.
    fn tcp_inq_hint(&self, socket: SocketId) -> Option<ControlMessage> {
        let tcp = self.tcp_of(socket).filter(|_| self.tcp_sock(socket).config.inq)?;
        let data = tcp.inq_hint().to_le_bytes().to_vec();
        Some(ControlMessage { level: SOL_TCP, kind: TCP_CM_INQ, data })
    }

    /// A read that has something goes no further: at the urgent mark, or before an error.
    fn recv_stops(&self, conn: ConnId) -> bool {
        let tcp = &self.net.tcp.conns[conn].tcp;
        tcp.at_mark() || tcp.unread() == 0 && tcp.poll().has(Ready::ERR)
    }

    fn wait_for_data(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        let moved = call.flight.moved;
        let timeo = self.net.sockets[socket].options.rcvtimeo;
        match self.sock_wait(call, socket, flags, timeo) {
            None if moved > 0 => Ok(Received { len: moved, ..Received::default() }),
            None => Err(Errno::EAGAIN.into()),
            Some(wait) if moved > 0 => Err(wait.with_restart(Restart::Done(moved as u64)).into()),
            Some(wait) => Err(wait.into()),
        }
    }

    /// tcp_recv_urg(): MSG_OOB.
    fn tcp_recv_urg(
        &mut self,
        call: &mut Call<'_>,
        conn: ConnId,
        iov: &IoVec,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        let peek = flags.has(MsgFlags::PEEK);
        let Some(byte) = self.net.tcp.conns[conn].tcp.recv_urgent(peek)? else {
            return Ok(Received::default());
        };
        let len = iov.scatter(call, 0, &[byte][..iov.total().min(1)])?;
        let cut = if len == 0 { MsgFlags::TRUNC } else { MsgFlags(0) };
        Ok(Received { len, flags: MsgFlags::OOB.with(cut), ..Received::default() })
    }

    /// SIOCINQ: EINVAL on a listener.
    pub fn tcp_inq(&self, socket: SocketId) -> Result<u32, Errno> {
        match self.tcp_sock(socket).usage {
            TcpUse::Listening(_) => Err(Errno::EINVAL),
            TcpUse::Idle => Ok(0),
            TcpUse::Connected(conn) => Ok(self.net.tcp.conns[conn].tcp.inq()),
        }
    }

    /// SIOCOUTQ: EINVAL on a listener.
    pub fn tcp_outq(&self, socket: SocketId) -> Result<u32, Errno> {
        match self.tcp_sock(socket).usage {
            TcpUse::Listening(_) => Err(Errno::EINVAL),
            TcpUse::Idle => Ok(0),
            TcpUse::Connected(conn) => Ok(self.net.tcp.conns[conn].tcp.info().unacked),
        }
    }

    /// SIOCOUTQNSD: EINVAL on a listener.
    pub fn tcp_outq_nsd(&self, socket: SocketId) -> Result<u32, Errno> {
        match self.tcp_sock(socket).usage {
            TcpUse::Listening(_) => Err(Errno::EINVAL),
            TcpUse::Idle => Ok(0),
            TcpUse::Connected(conn) => Ok(self.net.tcp.conns[conn].tcp.info().unsent),
        }
    }

    /// tcp_read_sock(): splice(2) never passes an urgent byte, in line or not; it gives 0 there
    /// (measured).
    pub fn tcp_splice_stops(&self, socket: SocketId) -> bool {
        self.is_tcp(socket)
            && self.tcp_of(socket).is_some_and(|tcp| tcp.at_mark() && tcp.unread() > 0)
    }

    /// SIOCATMARK.
    pub fn tcp_atmark(&self, socket: SocketId) -> Result<u32, Errno> {
        Ok(self.tcp_of(socket).is_some_and(|tcp| tcp.at_mark()).into())
    }
}
