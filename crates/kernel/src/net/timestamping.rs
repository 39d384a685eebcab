//! SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING: when something arrived, as ancillary data beside
//! it, and when something left, in the socket's error queue (MSG_ERRQUEUE, POLLERR). Follows socket(7)
//! and Linux's timestamping.rst; measured on 6.18. A device here has no clock of its own: flags for
//! such are taken and nothing follows, as on Linux's loopback. Neighbours: `msg`, `sockopt`; `udp` and
//! `tcp::tstamp`, which say what happens.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::Fact;
use crate::fs::fasync::{Band, FasyncOn};
use crate::kernel::Kernel;
use crate::net::inet::TcpUse;
use crate::net::msg::{ControlMessage, MsgFlags, Received};
use crate::net::socket::{SocketId, SocketKind};
use crate::net::sockopt::int_option;
use crate::net::tcp::{Seq, TcpState, TxAsk, TxEvent};
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Stop};
use crate::time::Instant;
use crate::wait_queue::Event;
use linux_raw_sys::net as raw;

const TX_HARDWARE: u32 = 1;
const TX_SOFTWARE: u32 = 1 << 1;
const RX_SOFTWARE: u32 = 1 << 3;
const SOFTWARE: u32 = 1 << 4;
const OPT_ID: u32 = 1 << 7;
const TX_SCHED: u32 = 1 << 8;
const TX_ACK: u32 = 1 << 9;
const OPT_CMSG: u32 = 1 << 10;
const OPT_TSONLY: u32 = 1 << 11;
const OPT_STATS: u32 = 1 << 12;
const BIND_PHC: u32 = 1 << 15;
const OPT_ID_TCP: u32 = 1 << 16;
const OPT_RX_FILTER: u32 = 1 << 17;
/// SOF_TIMESTAMPING_MASK of 6.18.
const MASK: u32 = (1 << 19) - 1;
/// SOF_TIMESTAMPING_TX_RECORD_MASK: what ancillary data may ask for of one message.
const TX_RECORD_MASK: u32 = TX_HARDWARE | TX_SOFTWARE | TX_SCHED | TX_ACK;
/// What an entry of the error queue is charged.
const ENTRY: u32 = 768;
const SOL_SOCKET: i32 = 1;
const ENOMSG: u32 = 42;
const SO_EE_ORIGIN_TIMESTAMPING: u8 = 4;

/// What a socket asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timestamping {
    /// SO_TIMESTAMPING (`sk_tsflags`).
    flags: u32,
    /// The options of 2019 were used, whose ancillary data has a type of its own (SOCK_TSTAMP_NEW).
    new: bool,
    /// SO_TIMESTAMP or SO_TIMESTAMPNS (SOCK_RCVTSTAMP).
    rcv: bool,
    /// It is nanoseconds (SOCK_RCVTSTAMPNS).
    nanos: bool,
    /// It ever was on: what arrives has its time since (SOCK_TIMESTAMP).
    ever: bool,
    /// SO_SELECT_ERR_QUEUE: POLLPRI beside POLLERR.
    select_err: bool,
    /// The number of the next datagram, or where a stream's numbers begin (`sk_tskey`).
    key: u32,
}

impl Timestamping {
    /// What arrives is to have its time.
    pub fn on_arrival(&self) -> bool {
        self.ever || self.flags & RX_SOFTWARE != 0
    }
}

/// Something left: an entry of the error queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxStamp {
    at: Instant,
    what: TxEvent,
    key: u32,
    /// The packet itself is not beside it.
    alone: bool,
}

impl Kernel {
    /// sock_set_timestamp(), and SO_SELECT_ERR_QUEUE.
    pub(super) fn sock_set_timestamp(&mut self, socket: SocketId, name: u32, on: bool) {
        let t = &mut self.net.sockets[socket].options.timestamping;
        let nanos = matches!(name, raw::SO_TIMESTAMPNS_OLD | raw::SO_TIMESTAMPNS_NEW);
        match (name, on) {
            (raw::SO_SELECT_ERR_QUEUE, _) => t.select_err = on,
            (_, false) => (t.rcv, t.nanos) = (false, false),
            (_, true) => {
                t.new = matches!(name, raw::SO_TIMESTAMP_NEW | raw::SO_TIMESTAMPNS_NEW);
                (t.rcv, t.nanos, t.ever) = (true, nanos, true);
            }
        }
        self.socket_options_changed(socket);
    }

    /// getsockopt(2) of the same: the number.
    pub(super) fn sock_get_timestamp(&self, socket: SocketId, name: u32) -> u32 {
        let t = self.net.sockets[socket].options.timestamping;
        let on = match name {
            raw::SO_TIMESTAMP_OLD => t.rcv && !t.new && !t.nanos,
            raw::SO_TIMESTAMPNS_OLD => t.nanos && !t.new,
            raw::SO_TIMESTAMP_NEW => t.rcv && t.new,
            raw::SO_TIMESTAMPNS_NEW => t.nanos && t.new,
            _ => t.select_err,
        };
        on.into()
    }

    /// sock_set_timestamping(): EINVAL for what is unknown or does not go together.
    pub(super) fn sock_set_timestamping(
        &mut self,
        socket: SocketId,
        name: u32,
        value: &[u8],
    ) -> Result<(), Errno> {
        let flags = int_option(value)? as u32;
        let lacks = |option, other| flags & option != 0 && flags & other == 0;
        if flags & !MASK != 0 || lacks(OPT_ID_TCP, OPT_ID) {
            return Err(Errno::EINVAL);
        }
        let before = self.net.sockets[socket].options.timestamping.flags;
        let mut key = self.net.sockets[socket].options.timestamping.key;
        if flags & OPT_ID != 0 && before & OPT_ID == 0 {
            key = self.first_tskey(socket, flags & OPT_ID_TCP != 0)?;
        }
        if lacks(OPT_STATS, OPT_TSONLY) {
            return Err(Errno::EINVAL);
        }
        if flags & BIND_PHC != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if flags & (OPT_STATS | OPT_CMSG) != 0 {
            let what = format!("flags {:#x}", flags & (OPT_STATS | OPT_CMSG));
            self.tell(self.net.acting, Fact::unsupported("SO_TIMESTAMPING", what));
            return Err(Errno::EINVAL);
        }
        let t = &mut self.net.sockets[socket].options.timestamping;
        (t.flags, t.key, t.new) = (flags, key, name == raw::SO_TIMESTAMPING_NEW);
        self.socket_options_changed(socket);
        Ok(())
    }

    fn first_tskey(&self, socket: SocketId, written: bool) -> Result<u32, Errno> {
        let SocketKind::Tcp(tcp) = &self.net.sockets[socket].kind else { return Ok(0) };
        let TcpUse::Connected(conn) = tcp.usage else { return Err(Errno::EINVAL) };
        let tcp = &self.net.tcp.conns[conn].tcp;
        if tcp.state() == TcpState::Close { Err(Errno::EINVAL) } else { Ok(tcp.tskey(written)) }
    }

    /// getsockopt(2) of SO_TIMESTAMPING: `struct so_timestamping`. The new one tells only what was set
    /// by it.
    pub(super) fn sock_get_timestamping(&self, socket: SocketId, name: u32) -> Vec<u8> {
        let t = self.net.sockets[socket].options.timestamping;
        let flags = if name == raw::SO_TIMESTAMPING_NEW && !t.new { 0 } else { t.flags };
        [flags.to_le_bytes(), [0; 4]].concat()
    }

    /// sock_cmsg_send(): the flags for one message, which may have some of its own.
    pub(super) fn tx_flags(
        &self,
        socket: SocketId,
        control: &[ControlMessage],
    ) -> Result<u32, Errno> {
        let mut flags = self.net.sockets[socket].options.timestamping.flags;
        for message in control.iter().filter(|m| is_timestamping(m)) {
            let bytes: [u8; 4] = message.data[..].try_into().map_err(|_| Errno::EINVAL)?;
            let own = u32::from_le_bytes(bytes);
            if own & !TX_RECORD_MASK != 0 {
                return Err(Errno::EINVAL);
            }
            flags = flags & !TX_RECORD_MASK | own;
        }
        Ok(flags)
    }

    /// A datagram leaves: its number is the next one, if one is asked for.
    pub(super) fn udp_tx_timestamp(&mut self, socket: SocketId, flags: u32) {
        let ask = tx_ask(flags);
        let t = &mut self.net.sockets[socket].options.timestamping;
        let mut key = 0;
        if flags & OPT_ID != 0 && flags & TX_RECORD_MASK & !TX_ACK != 0 {
            key = t.key;
            t.key = t.key.wrapping_add(1);
        }
        let events = [(ask.sched, TxEvent::Scheduled), (ask.software, TxEvent::Sent)];
        for (_, what) in events.into_iter().filter(|(asked, _)| *asked) {
            self.sock_queue_err(socket, what, key);
        }
    }

    /// The byte `key` of a stream left, or arrived.
    pub(super) fn tcp_tx_event(&mut self, socket: SocketId, what: TxEvent, key: Seq) {
        let base = self.net.sockets[socket].options.timestamping.key;
        self.sock_queue_err(socket, what, key.0.wrapping_sub(base));
    }

    /// sock_queue_err_skb(): nothing where the receive buffer has no room.
    fn sock_queue_err(&mut self, socket: SocketId, what: TxEvent, key: u32) {
        let room = self.sock_rcvbuf(socket);
        let at = self.now;
        let s = &mut self.net.sockets[socket];
        let flags = s.options.timestamping.flags;
        if (s.errors.len() as u32 + 1) * ENTRY >= room {
            return;
        }
        let key = if flags & OPT_ID != 0 { key } else { 0 };
        let alone = flags & OPT_TSONLY != 0;
        s.errors.push_back(TxStamp { at, what, key, alone });
        self.sk_error_report(socket);
    }

    fn sk_error_report(&mut self, socket: SocketId) {
        self.publish(Event::Socket(socket));
        self.kill_fasync(FasyncOn::Socket(socket), Band::Err);
    }

    /// What the error queue adds to poll(2).
    pub(super) fn poll_errors(&self, socket: SocketId) -> PollBits {
        let s = &self.net.sockets[socket];
        match (s.errors.is_empty(), s.options.timestamping.select_err) {
            (true, _) => PollBits::default(),
            (false, false) => PollBits::ERR,
            (false, true) => PollBits::ERR | PollBits::PRI,
        }
    }

    /// sock_recv_timestamp(): the ancillary data about something that arrived (or left) then. `None`:
    /// nobody looked at the clock.
    pub(super) fn sock_recv_timestamp(
        &self,
        socket: SocketId,
        at: Option<Instant>,
        arrived: bool,
    ) -> Vec<ControlMessage> {
        let t = self.net.sockets[socket].options.timestamping;
        let mut all = Vec::new();
        // SO_TIMESTAMP came later than the datagram: the time is now.
        let at = at.or(t.rcv.then_some(self.now));
        let Some(at) = at.map(|at| self.config.epoch * 1_000_000_000 + at.as_nanos()) else {
            return all;
        };
        let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
        if t.rcv {
            let kind = match (t.nanos, t.new) {
                (false, false) => raw::SO_TIMESTAMP_OLD,
                (false, true) => raw::SO_TIMESTAMP_NEW,
                (true, false) => raw::SO_TIMESTAMPNS_OLD,
                (true, true) => raw::SO_TIMESTAMPNS_NEW,
            };
            let fraction = if t.nanos { nanos } else { nanos / 1000 };
            all.push(socket_message(kind, [seconds, fraction].map(u64::to_le_bytes).concat()));
        }
        let filtered = arrived && t.flags & OPT_RX_FILTER != 0 && t.flags & RX_SOFTWARE == 0;
        if t.flags & SOFTWARE != 0 && !filtered {
            let kind = if t.new { raw::SO_TIMESTAMPING_NEW } else { raw::SO_TIMESTAMPING_OLD };
            let words = [seconds, nanos, 0, 0, 0, 0];
            all.push(socket_message(kind, words.map(u64::to_le_bytes).concat()));
        }
        all
    }

    /// inet_recv_error(): the first entry of the error queue; EAGAIN without one. Never waits.
    pub(super) fn inet_recv_error(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        iov: &IoVec,
    ) -> Result<Received, Stop> {
        let Some(stamp) = self.net.sockets[socket].errors.pop_front() else {
            return Err(Errno::EAGAIN.into());
        };
        let mut flags = MsgFlags::ERRQUEUE;
        if !stamp.alone {
            // Linux gives the packet, from its link-layer header on.
            flags = flags.with(MsgFlags::TRUNC);
            if iov.total() > 0 {
                let what =
                    "the packet beside a timestamp; SOF_TIMESTAMPING_OPT_TSONLY leaves it out";
                self.tell(Some(call.task), Fact::unsupported("MSG_ERRQUEUE", what));
            }
        }
        let mut control = self.sock_recv_timestamp(socket, Some(stamp.at), false);
        let six = self.net.sockets[socket].options.inet6.is_some();
        let (level, kind, offender) = if six { (41, 25, 28) } else { (0, 11, 16) };
        // struct sock_extended_err, and the address of nobody.
        let mut data = ENOMSG.to_le_bytes().to_vec();
        data.extend_from_slice(&[SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0]);
        data.extend_from_slice(&(stamp.what as u32).to_le_bytes());
        data.extend_from_slice(&stamp.key.to_le_bytes());
        data.resize(16 + offender, 0);
        control.push(ControlMessage { level, kind, data });
        if !self.net.sockets[socket].errors.is_empty() {
            self.sk_error_report(socket);
        }
        Ok(Received { len: 0, flags, control, ..Received::default() })
    }
}

/// Ancillary data that asks for the times of one message.
pub(super) fn is_timestamping(message: &ControlMessage) -> bool {
    let known = [raw::SO_TIMESTAMPING_OLD, raw::SO_TIMESTAMPING_NEW];
    message.level == SOL_SOCKET && known.contains(&(message.kind as u32))
}

/// What flags ask of a sender.
pub(super) fn tx_ask(flags: u32) -> TxAsk {
    TxAsk {
        sched: flags & TX_SCHED != 0,
        software: flags & TX_SOFTWARE != 0,
        ack: flags & TX_ACK != 0,
        any: flags & TX_RECORD_MASK != 0,
    }
}

fn socket_message(kind: u32, data: Vec<u8>) -> ControlMessage {
    ControlMessage { level: SOL_SOCKET, kind: kind as i32, data }
}
