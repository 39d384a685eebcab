//! Data on its way in: `tcp_data_queue`, `tcp_fin`, urgent data, the decision when to acknowledge,
//! and the program's side, `tcp_recvmsg`. RFC 9293, 3.10.7.4 (sixth to eighth); T-2, T-39…T-45.

use bytes::Bytes;

use super::delack::TCP_MAX_QUICKACKS;
use super::fact::{DropWhy, Output, Ready, TcpFact};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::{TcpConn, TcpState, Urgent};
use super::window::WriteEnd;
use crate::abi::Errno;
use crate::time::Instant;

/// What a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// Bytes, at least one.
    Data(Bytes),
    /// Nothing yet: wait for `Ready::IN`, or EAGAIN.
    WouldBlock,
    /// The end: read(2) returns 0, now and ever after.
    Eof,
}

impl TcpConn {
    /// What brings nothing new is acknowledged at once, if acknowledgments may be quick.
    fn out_of_window(&mut self) {
        self.quickly();
        self.rcv.ack.scheduled = true;
    }

    /// `tcp_enter_quickack_mode`: something is wrong, the other side should hear of it.
    pub(super) fn quickly(&mut self) {
        let (wnd, mss) = (self.rcv.window.wnd, self.rcv.window.rcv_mss);
        self.rcv.ack.enter_quickack_mode(wnd, mss, TCP_MAX_QUICKACKS);
    }

    /// `tcp_data_queue`: an acceptable segment with data or FIN.
    pub(super) fn tcp_data_queue(&mut self, now: Instant, s: &Segment, out: &mut Output) {
        let fin = s.has(Flags::FIN);
        if s.is_empty() && !fin {
            return;
        }
        if s.seq.after(self.rcv.nxt) {
            return self.data_queue_ofo(now, s, fin, out);
        }
        let old = self.rcv.nxt.since(s.seq);
        if old >= s.len() + u32::from(fin) {
            // Sent again: our acknowledgment was lost.
            self.dsack_set(s.seq, s.end());
            return self.out_of_window();
        }
        if old > 0 {
            self.dsack_set(s.seq, self.rcv.nxt);
        }
        if self.rcv.window.current(self.rcv.nxt) == 0 && s.len() > old {
            self.out_of_window();
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::ZeroWindow });
            return;
        }
        if !self.try_rmem_schedule(None) {
            // Since 6.14 the other side is told at once. A FIN alone takes no room (measured).
            self.rcv.ack.nomem = true;
            self.rcv.ack.now = true;
            self.rcv.ack.scheduled = true;
            out.wake |= Ready::IN;
            if !self.rcv.queue.is_empty() && s.len() > old {
                out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::ReceiveBufferFull });
                return;
            }
        }
        let fresh = s.payload.slice(old.min(s.len()) as usize..);
        if !fresh.is_empty() {
            self.accept_bytes(now, fresh, out);
            self.event_data_recv(now, s);
            self.data_ecn_check(s);
        }
        let had_hole = !self.rcv.ooo.is_empty();
        if fin {
            return self.tcp_fin(now, out);
        }
        if let Some((start, end)) = self.rcv.ooo.overlaps(s.seq, self.rcv.nxt).first() {
            self.dsack_extend(*start, (*end).max(self.rcv.nxt));
        }
        let (more, fin) = self.rcv.ooo.take(self.rcv.nxt);
        for bytes in more {
            self.accept_bytes(now, bytes, out);
        }
        self.rcv.window.charged = self.rmem_alloc();
        if fin {
            return self.tcp_fin(now, out);
        }
        if had_hole && self.rcv.ooo.is_empty() {
            // RFC 5681, 4.2: acknowledge at once what fills a hole.
            self.rcv.ack.now = true;
        }
    }

    /// The time of what came last is that of all that waits to be read: sk_buffs are joined in the
    /// queue (measured). Unlike Linux, what waited for a hole to be filled has the time of that.
    fn accept_bytes(&mut self, now: Instant, bytes: Bytes, out: &mut Output) {
        if self.config.rx_stamps {
            self.rcv.stamp = Some(now);
        } else if self.rcv.queue.is_empty() {
            self.rcv.stamp = None;
        }
        let joins = self.joins_the_last(now);
        self.rcv.nxt += bytes.len() as u32;
        self.stats.bytes_received += bytes.len() as u64;
        self.rcv.queue.push(bytes, joins, self.config.rx_memory);
        self.rcv.window.charged = self.rmem_alloc();
        out.wake |= Ready::IN;
        out.bell.received = true;
    }

    /// Does what comes share an sk_buff with what came before it? Measured on 6.18 over veth: segments
    /// of one burst do not where the buffer has room for less than four (4344 bytes cost 6840 with
    /// SO_RCVBUF 4096, 5176 with 6000). The sender has the memory of the first until it looks at the
    /// acknowledgment; why that shows in small buffers alone is not known.
    fn joins_the_last(&self, now: Instant) -> bool {
        let w = &self.rcv.window;
        let burst = self.rcv.last_ack_at.is_none_or(|at| at >= now);
        let acked = self.rcv.last_ack_sent == self.rcv.nxt && !burst;
        w.full_space() >= 4 * w.rcv_mss || acked
    }

    fn data_queue_ofo(&mut self, now: Instant, s: &Segment, fin: bool, out: &mut Output) {
        self.data_ecn_check(s);
        if !self.try_rmem_schedule(Some(s.seq)) {
            out.wake |= Ready::IN;
            return out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::ReceiveBufferFull });
        }
        self.stats.rcv_ooopack += 1;
        for (at, (start, end)) in self.rcv.ooo.overlaps(s.seq, s.end()).into_iter().enumerate() {
            // What is there already at its beginning is told whatever was to be told before.
            if at == 0 && start == s.seq {
                self.dsack_set(start, end);
            } else {
                self.dsack_extend(start, end);
            }
        }
        self.compressed_ack_first(now, s.seq, s.end(), out);
        self.rcv.ooo.insert(s.seq, &s.payload, fin, self.config.rx_memory);
        self.rcv.window.charged = self.rmem_alloc();
        self.rcv.ack.scheduled = true;
    }

    /// `tcp_event_data_recv`.
    fn event_data_recv(&mut self, now: Instant, s: &Segment) {
        let options = if self.agreed.timestamps { 12 } else { 0 };
        let advmss = self.config.advertised_mss() - options;
        let pushed = &mut self.rcv.ack.pushed;
        match self.rcv.window.measure_rcv_mss(s, 20 + options, advmss) {
            WriteEnd::No => {}
            WriteEnd::Full => *pushed = (*pushed).max(1),
            WriteEnd::Short => *pushed = (*pushed + 1).min(2),
        }
        let (wnd, mss, rto) = (self.rcv.window.wnd, self.rcv.window.rcv_mss, self.rtt.rto());
        self.rcv.ack.data_received(now, wnd, mss, rto);
        // Whoever sends into a window that grows is told of it at once.
        if s.len() >= 128 && self.rcv.window.grow(s.len(), advmss) {
            self.rcv.ack.quick |= 1;
        }
    }

    /// `tcp_fin`: the other side has sent everything.
    fn tcp_fin(&mut self, now: Instant, out: &mut Output) {
        self.rcv.nxt += 1;
        self.stats.bytes_received += 1; // as Linux counts it
        self.rcv.fins += 1;
        self.done = true;
        self.shut_rd = true;
        self.rcv.ack.scheduled = true;
        self.rcv.ooo.clear();
        self.rcv.window.charged = self.rmem_alloc();
        match self.state {
            TcpState::SynRecv | TcpState::Established => {
                self.set_state(TcpState::CloseWait, out);
                self.rcv.ack.pingpong = true;
            }
            // T-28: the FINs crossed.
            TcpState::FinWait1 => {
                self.tcp_send_ack(now, out);
                self.set_state(TcpState::Closing, out);
            }
            TcpState::FinWait2 => {
                self.tcp_send_ack(now, out);
                let time = super::config::TCP_TIMEWAIT_LEN;
                self.tcp_time_wait(now, TcpState::TimeWait, time, out);
            }
            // A FIN sent again is not new; one behind text that follows the first changes nothing.
            TcpState::CloseWait | TcpState::Closing | TcpState::LastAck => {}
            // Nothing is received in these states.
            TcpState::SynSent | TcpState::TimeWait | TcpState::Close | TcpState::Listen => {}
        }
        if !self.orphan {
            out.wake_all();
            out.bell.fin = Some(self.shut_wr);
            out.bell.received = true;
        }
    }

    /// `__tcp_select_window`: the window that could be offered now. With less than half of the buffer
    /// free, acknowledgments are no longer quick (measured: the third segment into a buffer for four
    /// waits 40 ms, and so does what repeats it).
    pub(super) fn select_window(&mut self) -> u32 {
        if self.rcv.window.is_half_full() {
            self.rcv.ack.quick = 0;
        }
        self.rcv.window.selectable()
    }

    /// `tcp_ack_snd_check`: acknowledge now, later, or not at all.
    pub(super) fn ack_snd_check(&mut self, now: Instant, out: &mut Output) {
        if !self.rcv.ack.scheduled || self.state == TcpState::Close {
            return;
        }
        let w = &self.rcv.window;
        let (two, offered) = (self.rcv.nxt.since(w.wup) > w.rcv_mss, w.wnd);
        let read = self.unread() < self.config.rcvlowat;
        let two_segments = two && (read || self.select_window() >= offered);
        let at_once = two_segments || self.rcv.ack.in_quickack_mode() || self.rcv.ack.now;
        let waits = match (at_once, self.rcv.ooo.is_empty()) {
            (true, _) => false,
            (false, true) => !self.rcv.ack.delay(now, self.rtt.srtt()),
            (false, false) => self.compress_ack(now),
        };
        if !waits {
            self.tcp_send_ack(now, out);
        }
    }

    /// `tcp_urg`: notes the urgent pointer and keeps the byte when it is here (RFC 9293, 3.8.5; the
    /// pointer is read as pointing behind the byte, as all systems do).
    pub(super) fn tcp_urg(&mut self, s: &Segment, out: &mut Output) {
        if s.has(Flags::URG) && s.urgent > 0 {
            let at = s.seq + u32::from(s.urgent) - 1;
            let stale = self.rcv.copied.after(at) || at.before(self.rcv.nxt);
            let known = self.rcv.urgent.seq().is_some_and(|old| !at.after(old));
            if !stale && !known {
                // Who has read up to the old one does not get it as data now.
                let old = self.rcv.urgent.seq() == Some(self.rcv.copied);
                if old && !self.config.oob_inline && self.unread() > 0 {
                    self.take_bytes(1, false);
                }
                self.rcv.urgent = Urgent::Announced(at);
                out.wake |= Ready::PRI;
                out.bell.urgent = true;
            }
        }
        if let Urgent::Announced(at) = self.rcv.urgent {
            let offset = at.since(s.seq);
            if !at.before(s.seq) && offset < s.len() {
                self.rcv.urgent = Urgent::Valid(at, s.payload[offset as usize]);
                out.wake |= Ready::PRI;
                out.bell.urgent_byte = true;
            }
        }
    }

    /// `tcp_recvmsg`: up to `max` bytes; with `peek` they stay. Stops before the urgent byte and
    /// leaves that one out, unless SO_OOBINLINE is set. Reading opens the window, so an ACK may be
    /// in `out`.
    ///
    /// # Errors
    /// The pending error, once (T-40), but not after a FIN (T-41). ENOTCONN when there never was a
    /// connection.
    pub fn recv(
        &mut self,
        now: Instant,
        max: usize,
        peek: bool,
        out: &mut Output,
    ) -> Result<Received, Errno> {
        self.recv_into(now, max, peek, out, &mut |bytes| Ok(bytes.len()))
    }

    /// The same, for a reader who may be unable to take all of it: `copy` says how much it took, and
    /// the rest stays.
    ///
    /// # Errors
    /// As `recv`, or what `copy` says.
    pub fn recv_into(
        &mut self,
        now: Instant,
        max: usize,
        peek: bool,
        out: &mut Output,
        copy: &mut dyn FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Result<Received, Errno> {
        if max == 0 {
            return Ok(Received::Data(Bytes::new()));
        }
        self.skip_urgent(peek);
        let available = self.readable_now(peek).min(max as u32);
        if available > 0 {
            let mut data = self.take_bytes(available, true);
            data.truncate(copy(&data)?);
            if !peek {
                self.consume(data.len() as u32);
                let copied = self.rcv.copied;
                let rtt = self.rtt.srtt();
                let advmss = self.config.advertised_mss();
                let grow = self.config.moderate_rcvbuf;
                self.rcv.window.adjust(now, copied, rtt, advmss, grow);
                self.cleanup_rbuf(now, out);
            }
            return Ok(Received::Data(data));
        }
        if self.done {
            return Ok(Received::Eof);
        }
        if let Some(err) = self.err.take() {
            return Err(err);
        }
        if self.shut_rd {
            return Ok(Received::Eof);
        }
        match self.state {
            TcpState::Close | TcpState::Listen => Err(Errno::ENOTCONN),
            TcpState::SynSent
            | TcpState::SynRecv
            | TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::TimeWait
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Closing => Ok(Received::WouldBlock),
        }
    }

    /// The reader stands on the urgent byte: step over it.
    fn skip_urgent(&mut self, peek: bool) {
        let Some(at) = self.rcv.urgent.seq() else { return };
        let here = at == self.rcv.copied && self.unread() > 0;
        if here && !peek {
            if !self.config.oob_inline {
                self.take_bytes(1, false);
            }
            self.rcv.urgent = Urgent::None;
        }
    }

    /// Bytes up to the urgent mark.
    fn readable_now(&self, _peek: bool) -> u32 {
        match self.rcv.urgent.seq() {
            Some(at) if at.after(self.rcv.copied) => self.unread().min(at.since(self.rcv.copied)),
            Some(_) | None => self.unread(),
        }
    }

    fn take_bytes(&mut self, n: u32, peek: bool) -> Bytes {
        let data = self.rcv.queue.peek(n as usize);
        if !peek {
            self.consume(n);
        }
        data
    }

    /// `n` bytes of the queue were read.
    fn consume(&mut self, n: u32) {
        self.rcv.copied += n;
        self.rcv.queue.consume(n as usize);
        self.rcv.window.charged = self.rmem_alloc();
    }

    /// `tcp_cleanup_rbuf`: the program read; tell the other side if that is worth a segment.
    fn cleanup_rbuf(&mut self, now: Instant, out: &mut Output) {
        if !matches!(
            self.state,
            TcpState::Established
                | TcpState::FinWait1
                | TcpState::FinWait2
                | TcpState::CloseWait
                | TcpState::Closing
                | TcpState::LastAck
        ) {
            return;
        }
        let w = &self.rcv.window;
        let a = &self.rcv.ack;
        let drained = w.charged == 0 && (a.pushed >= 2 || (a.pushed == 1 && !a.pingpong));
        let mut ack = a.scheduled && (self.rcv.nxt.since(w.wup) > w.rcv_mss || drained);
        if !ack && !self.shut_rd {
            let current = w.current(self.rcv.nxt);
            if 2 * current <= w.full_space() {
                let new = w.selectable();
                ack = new > 0 && new >= 2 * current;
            }
        }
        if ack {
            self.tcp_send_ack(now, out);
        }
    }

    /// `recv` with MSG_OOB: the urgent byte.
    ///
    /// # Errors
    /// EINVAL when there is none, it was read already, or SO_OOBINLINE is set; EAGAIN when it is
    /// announced but not here; ENOTCONN without a connection.
    pub fn recv_urgent(&mut self, peek: bool) -> Result<Option<u8>, Errno> {
        match self.rcv.urgent {
            _ if self.config.oob_inline => Err(Errno::EINVAL),
            Urgent::None | Urgent::Read(_) => Err(Errno::EINVAL),
            Urgent::Valid(at, byte) => {
                if !peek {
                    self.rcv.urgent = Urgent::Read(at);
                }
                Ok(Some(byte))
            }
            Urgent::Announced(_) if self.state == TcpState::Close || self.shut_rd => Ok(None),
            Urgent::Announced(_) => Err(Errno::EAGAIN),
        }
    }

    /// When the last of what was read came, if that was to be told then.
    pub fn rx_stamp(&self) -> Option<Instant> {
        self.rcv.stamp
    }

    /// SIOCATMARK: the next byte to read is the urgent one.
    pub fn at_mark(&self) -> bool {
        self.rcv.urgent.seq() == Some(self.rcv.copied)
    }

    /// Forgets everything that was received and not read. Returns how many bytes that were.
    pub(super) fn receive_queue_purge(&mut self) -> u32 {
        let unread = self.unread();
        self.rcv.copied = self.rcv.nxt - self.rcv.fins;
        self.rcv.queue.clear();
        self.rcv.window.charged = self.rmem_alloc();
        self.rcv.urgent = Urgent::None;
        unread
    }

    /// SO_RCVBUF, already doubled and bounded.
    pub fn set_rcvbuf(&mut self, bytes: u32) {
        self.config.rcvbuf = Some(bytes);
        self.rcv.window.set_rcvbuf(bytes);
    }

    /// TCP_QUICKACK: acknowledge at once (and what is owed, now), or be interactive.
    pub fn set_quickack(&mut self, now: Instant, value: i32, out: &mut Output) {
        self.rcv.ack.pingpong = value == 0;
        if value != 0 && self.rcv.ack.scheduled {
            self.tcp_send_ack(now, out);
            // An even number acknowledges this once.
            self.rcv.ack.pingpong = value & 1 == 0;
        }
    }

    /// Does the program not answer what it gets (`!inet_csk_in_pingpong_mode`)?
    pub fn quickack(&self) -> bool {
        !self.rcv.ack.pingpong
    }

    /// The first sequence number that the other side sent data with; for tests and traces.
    pub fn rcv_nxt(&self) -> Seq {
        self.rcv.nxt
    }
}
