//! What leaves: `tcp_transmit_skb` puts a header on, `tcp_write_xmit` sends what windows and Nagle
//! allow, `tcp_send_fin`, `tcp_send_ack`, `tcp_send_active_reset` are named as in Linux. Answers to
//! segments without a connection are in `segment::reply_reset`. RFC 9293, 3.8; RFC 5961.

use bytes::Bytes;

use super::chrono::Doing;
use super::fact::{ChallengeWhy, DropWhy, Output, ResetWhy, TcpFact};
use super::options::{Options, Timestamps};
use super::scoreboard::SentSegment;
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::{CwndUsage, TcpConn, TcpState};
use super::timer::Pending;
use super::tso::{Push, Unit};
use crate::time::Instant;

/// How strictly `tcp_write_xmit` holds back a segment that is not full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nagle {
    /// As TCP_NODELAY and TCP_CORK say (RFC 9293, 3.7.4, with Minshall's change).
    AsSet,
    /// More will come (MSG_MORE): hold it.
    Cork,
    /// Send all that the windows allow.
    Off,
}

impl TcpConn {
    /// The millisecond clock of the timestamps option.
    pub(super) fn tcp_clock(&self, now: Instant) -> u32 {
        ((now.as_nanos() / 1_000_000) as u32).wrapping_add(self.config.ts_offset)
    }

    /// The first number after the other side's window.
    pub(super) fn wnd_end(&self) -> Seq {
        self.snd.una + self.snd.wnd
    }

    /// After the last byte that the program wrote: where the FIN stands, if there is one.
    pub(super) fn data_end(&self) -> Seq {
        self.snd.write_seq - u32::from(self.snd.fin)
    }

    /// The first byte of the send queue.
    fn data_start(&self) -> Seq {
        self.snd.una + u32::from(self.snd.flight.front().is_some_and(|s| s.syn))
    }

    /// True when something waits to be sent for the first time.
    pub(super) fn has_send_head(&self) -> bool {
        self.snd.nxt.before(self.snd.write_seq)
    }

    /// The number for a segment without data: SND.NXT, unless the window was taken back
    /// (`tcp_acceptable_seq`).
    fn acceptable_seq(&self) -> Seq {
        let edge = self.wnd_end();
        let beyond = self.snd.nxt.saturating_since(edge);
        if beyond < 1 << self.rcv.window.shift { self.snd.nxt } else { edge }
    }

    fn timestamps(&self, now: Instant) -> Option<Timestamps> {
        self.agreed.timestamps.then(|| Timestamps {
            val: self.tcp_clock(now),
            ecr: self.rcv.ts_recent.map_or(0, |(val, _)| val),
        })
    }

    /// `tcp_transmit_skb`: header, options, window; an ACK that leaves is no longer owed. False: the
    /// device had no room, which is a sign of congestion.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        mut flags: Flags,
        seq: Seq,
        payload: Bytes,
        out: &mut Output,
    ) -> bool {
        let sacks = self.write_sacks();
        let options = Options { timestamps: self.timestamps(now), sacks, ..Options::default() };
        let mut urgent = 0;
        if let Some(up) = self.snd.up
            && seq.before(up)
            && up.since(seq) <= 0xffff
        {
            flags = flags | Flags::URG;
            urgent = up.since(seq) as u16;
        }
        let window = match self.rcv.ack.nomem {
            true => self.rcv.window.close(self.rcv.nxt),
            false => {
                self.select_window();
                self.rcv.window.offer(self.rcv.nxt)
            }
        };
        let ack = self.rcv.nxt;
        self.rcv.ack.sent();
        self.compressed_ack_sent();
        self.rcv.last_ack_sent = ack;
        self.rcv.last_ack_at = Some(now);
        self.stats.segs_out += 1;
        self.stats.bytes_sent += payload.len() as u64;
        self.stats.data_segs_out += u32::from(!payload.is_empty());
        let fresh = !payload.is_empty() && !seq.before(self.snd.nxt);
        let (flags, ecn) = self.ecn_send(flags, fresh);
        if self.device_full {
            self.enter_cwr();
            return false;
        }
        out.segments.push(Segment { seq, ack, flags, window, urgent, options, ecn, payload });
        true
    }

    /// Sends our SYN (or SYN-ACK, on a simultaneous open) for the first time or again.
    pub(super) fn transmit_syn(&mut self, now: Instant, flags: Flags, out: &mut Output) {
        let answer = flags.has(Flags::ACK);
        let config = &self.config;
        let options = Options {
            mss: Some(config.advertised_mss() as u16),
            wscale: (if answer { self.agreed.wscale } else { config.window_scaling })
                .then_some(self.rcv.window.shift),
            sack_permitted: if answer { self.agreed.sack } else { config.sack },
            timestamps: (if answer { self.agreed.timestamps } else { config.timestamps }).then(
                || Timestamps {
                    val: self.tcp_clock(now),
                    ecr: self.rcv.ts_recent.map_or(0, |(val, _)| val),
                },
            ),
            sacks: Vec::new(),
        };
        self.stats.segs_out += 1;
        let flags = self.ecn_send_syn(flags);
        let window = self.rcv.window.wnd.min(65_535) as u16;
        let ack = if answer { self.rcv.nxt } else { Seq(0) };
        let seq = self.snd.una;
        out.segments.push(Segment { seq, ack, flags, window, options, ..Segment::default() });
    }

    /// The SYN enters the flight.
    pub(super) fn send_first(&mut self, now: Instant, flags: Flags, out: &mut Output) {
        self.transmit_syn(now, flags, out);
        let seq = self.snd.una;
        self.snd.nxt = seq + 1;
        self.snd.flight.push(SentSegment::new(seq, 0, now).with_syn());
        self.rearm_rto(now);
    }

    /// Payload bytes of a full segment now: SACK blocks take room, and no segment is longer than
    /// half the greatest window that the other side ever offered.
    pub(super) fn segment_size(&self) -> u32 {
        let blocks = self.eff_sacks() as u32;
        let sacks = if blocks > 0 { 4 + 8 * blocks } else { 0 };
        self.mss_cache().saturating_sub(sacks).max(28)
    }

    /// `mss_cache`: payload bytes of a full segment without SACK blocks, but not more than half of the
    /// greatest window that the other side ever offered (`tcp_bound_to_half_wnd`).
    pub(super) fn mss_cache(&self) -> u32 {
        match self.snd.max_window {
            0 => self.mss(),
            small if small <= super::config::TCP_MSS_DEFAULT => self.mss().min(small.max(28)),
            max => self.mss().min(max / 2),
        }
    }

    /// `tcp_write_xmit`: sends new segments while congestion window, the other side's window and
    /// Nagle allow. Returns how many.
    pub(super) fn tcp_write_xmit(
        &mut self,
        now: Instant,
        nagle: Nagle,
        push: Push,
        out: &mut Output,
    ) -> u32 {
        let mut sent = 0;
        let (mut cwnd_limited, mut rwnd_limited) = (false, false);
        let was_empty = self.snd.flight.is_empty();
        while self.has_send_head() && (push == Push::All || sent == 0) {
            self.tcp_grow_skb(push);
            match self.next_unit(now, nagle, push) {
                Unit::Send(len) => {
                    let left = self.send_unit(now, len, out);
                    sent += left;
                    if left == 0 {
                        break;
                    }
                }
                Unit::Held => break,
                Unit::RwndLimited => {
                    rwnd_limited = true;
                    break;
                }
                Unit::CwndLimited => {
                    cwnd_limited = true;
                    break;
                }
            }
        }
        if rwnd_limited {
            self.chrono.start(now, Doing::RwndLimited);
        } else {
            self.chrono_stop(now, Doing::RwndLimited);
        }
        cwnd_limited |= self.in_flight() >= self.cc.cwnd;
        if sent > 0 || cwnd_limited {
            self.cwnd_validate(now, cwnd_limited);
        }
        self.cc.sent(sent);
        if sent > 0 {
            if was_empty || self.timers.pending != Some(Pending::Rto) {
                self.rearm_rto(now);
            }
            if push != Push::Probe {
                self.schedule_loss_probe(now);
            }
        }
        sent
    }

    /// Sends `len` bytes as one unit: the last of several segments carries PSH, so that the other
    /// side's device hands all of them up (since 5.5; measured). Returns how many.
    fn send_unit(&mut self, now: Instant, len: u32, out: &mut Output) -> u32 {
        let mss = self.segment_size();
        let (mut left, mut sent) = (len, 0);
        loop {
            let piece = left.min(mss);
            left -= piece;
            let fin = self.snd.fin && piece == self.unsent() && self.fin_fits(piece);
            if !self.send_new(now, piece, fin, false, out) {
                return sent;
            }
            sent += 1;
            if left == 0 {
                // Not noted anywhere: sent again alone it carries none.
                self.snd.flight.join_unit(sent);
                if sent > 1
                    && let Some(last) = out.segments.last_mut()
                {
                    last.flags = last.flags | Flags::PSH;
                }
                return sent;
            }
        }
    }

    /// Is there room in the other side's window for the FIN behind so many bytes?
    fn fin_fits(&self, len: u32) -> bool {
        !(self.snd.nxt + len + 1).after(self.wnd_end())
    }

    /// `tcp_cwnd_validate`: notes how far the congestion window is used, for one window of data.
    fn cwnd_validate(&mut self, now: Instant, limited: bool) {
        let out = self.snd.flight.packets_out();
        let usage = self.snd.usage;
        if !self.snd.una.before(usage.until)
            || limited
            || (!usage.limited && out > usage.max_packets_out)
        {
            self.snd.usage = CwndUsage { limited, max_packets_out: out, until: self.snd.nxt };
        }
        let open = matches!(self.state, TcpState::Established | TcpState::CloseWait);
        if !limited && open && self.snd.nospace && !self.has_send_head() {
            self.chrono.start(now, Doing::SndbufLimited);
        }
    }

    /// `tcp_chrono_stop`.
    pub(super) fn chrono_stop(&mut self, now: Instant, what: Doing) {
        let idle = self.snd.flight.is_empty() && !self.has_send_head();
        self.chrono.stop(now, what, idle);
    }

    /// Nagle, as Minshall changed it: a small segment waits while another small one is unanswered.
    pub(super) fn held_back(&self, nagle: Nagle) -> bool {
        let small_in_flight = self.snd.small.after(self.snd.una)
            && !self.snd.small.after(self.snd.nxt)
            && !self.snd.flight.is_empty();
        match nagle {
            Nagle::Off => false,
            Nagle::Cork => true,
            Nagle::AsSet if self.snd.up.is_some_and(|up| up.after(self.snd.una)) => false,
            Nagle::AsSet => self.config.cork || (!self.config.nodelay && small_in_flight),
        }
    }

    /// `tcp_slow_start_after_idle_check`: the program writes again, or the window opens
    /// for what waits, and nothing is out.
    pub(super) fn slow_start_after_idle_check(&mut self, now: Instant) {
        let idle = now.saturating_since(self.snd.last);
        let wanted = self.config.slow_start_after_idle && self.snd.flight.is_empty();
        if wanted && idle > self.rtt.rto() {
            self.cc.restart(idle, self.rtt.rto(), self.config.init_cwnd);
        }
    }

    /// Sends `len` new bytes, and the FIN if it comes next, as one segment. PSH is on it if an
    /// sk_buff that has it ends there, or with `push`. False: the device had no room.
    pub(super) fn send_new(
        &mut self,
        now: Instant,
        len: u32,
        fin: bool,
        push: bool,
        out: &mut Output,
    ) -> bool {
        let mss = self.segment_size();
        let mut s = SentSegment::new(self.snd.nxt, len, now);
        s.fin = fin;
        (s.push, s.eor) = self.snd.skbs.marks_at(s.seq + len);
        s.push |= push;
        if !self.transmit_sent(now, &s, out) {
            return false;
        }
        self.snd.skbs.sent(s.seq + len);
        self.snd.nxt = s.end();
        if len > 0 {
            if len < mss {
                self.snd.small = s.end();
            }
            if self.in_flight() == 0 {
                self.cc.tx_start(now, now.saturating_since(self.snd.last));
            }
            self.snd.last = now;
            self.rcv.ack.data_sent(now);
        }
        self.snd.flight.push(s);
        true
    }

    fn transmit_sent(&mut self, now: Instant, s: &SentSegment, out: &mut Output) -> bool {
        if s.syn {
            let answer = self.state == TcpState::SynRecv;
            let flags = if answer { Flags::SYN | Flags::ACK } else { Flags::SYN };
            self.transmit_syn(now, flags, out);
            return true;
        }
        let mut flags = Flags::ACK;
        if s.push {
            flags = flags | Flags::PSH;
        }
        if s.fin {
            flags = flags | Flags::FIN;
        }
        let offset = s.seq.since(self.data_start()) as usize;
        let payload = self.snd.queue.slice(offset, s.len as usize);
        let sent = self.transmit(now, flags, s.seq, payload, out);
        if sent {
            self.tx_left(s.seq, s.len, out);
        }
        sent
    }

    /// `tcp_retransmit_skb`: the segment at place `i` of the flight, once more. False: the device had
    /// no room.
    pub(super) fn tcp_retransmit_skb(&mut self, now: Instant, i: usize, out: &mut Output) -> bool {
        let s = self.snd.flight.collapse(i, self.segment_size()).clone();
        let sent = self.transmit_sent(now, &s, out);
        if sent {
            self.snd.flight.retransmitted(i, now);
        }
        self.snd.total_retrans += 1;
        self.recovery.retrans_stamp.get_or_insert(now);
        if self.recovery.undo_retrans < 0 {
            self.recovery.undo_retrans = 0;
        }
        self.recovery.undo_retrans += 1;
        self.stats.bytes_retrans += u64::from(s.len);
        if sent {
            self.cc.sent(1);
        }
        sent
    }

    /// `tcp_push`, `__tcp_push_pending_frames`: sends what may be sent; if nothing is in flight
    /// and something waits all the same, the window is closed: arm the probe timer.
    pub(super) fn push_pending_frames(&mut self, now: Instant, nagle: Nagle, out: &mut Output) {
        if !self.has_send_head() || self.state == TcpState::SynSent {
            return;
        }
        if self.tcp_write_xmit(now, nagle, Push::All, out) == 0 {
            self.check_probe_timer(now);
        }
    }

    /// `tcp_send_fin`: the FIN goes onto the last unsent segment or follows alone (T-20), and the
    /// tail is no longer held back.
    pub(super) fn tcp_send_fin(&mut self, now: Instant, out: &mut Output) {
        out.fact(TcpFact::SendFin { unsent: self.unsent() });
        self.snd.fin = true;
        self.snd.write_seq += 1;
        self.push_pending_frames(now, Nagle::Off, out);
    }

    /// `tcp_send_ack`.
    pub(super) fn tcp_send_ack(&mut self, now: Instant, out: &mut Output) {
        if self.state != TcpState::Close {
            let seq = self.acceptable_seq();
            self.transmit(now, Flags::ACK, seq, Bytes::new(), out);
        }
    }

    /// An ACK that asks the other side to answer: one number too old (`tcp_xmit_probe_skb`).
    pub(super) fn xmit_probe(&mut self, now: Instant, out: &mut Output) -> bool {
        self.transmit(now, Flags::ACK, self.snd.una - 1, Bytes::new(), out)
    }

    /// `tcp_send_active_reset`: `[R.]` at SND.NXT, never sent again (T-24a).
    pub(super) fn tcp_send_active_reset(&mut self, now: Instant, why: ResetWhy, out: &mut Output) {
        out.fact(TcpFact::SendActiveReset { why });
        let seq = self.acceptable_seq();
        self.transmit(now, Flags::RST | Flags::ACK, seq, Bytes::new(), out);
    }

    /// `tcp_send_challenge_ack` (RFC 5961, 7 leaves the limit to us: 6.18 has none per host) and
    /// the answer to out-of-window segments, at most one per `tcp_invalid_ratelimit` and connection.
    pub(super) fn challenge(
        &mut self,
        now: Instant,
        why: ChallengeWhy,
        to: &Segment,
        out: &mut Output,
    ) {
        // Linux doesn't limit answers to data, except that a SYN always counts.
        let limited = to.is_empty() || to.has(Flags::SYN);
        if limited {
            let limit = self.config.invalid_ratelimit;
            let recent = |at: Instant| now.saturating_since(at) < limit;
            if self.rcv.last_oow_ack.is_some_and(recent) {
                out.fact(TcpFact::Dropped { flags: to.flags, why: DropWhy::RateLimited });
                return;
            }
            self.rcv.last_oow_ack = Some(now);
        }
        out.fact(TcpFact::ChallengeAck { why });
        self.dsack_of_dropped(why, to);
        self.tcp_send_ack(now, out);
    }
}
