//! `tcp_ack`: what an acknowledgment does. It moves SND.UNA and the window, measures the round trip,
//! finds losses by duplicate acknowledgments and SACK, and lets the congestion window grow.
//! RFC 9293, 3.10.7.4 (fifth); RFC 6675; RFC 6582 without SACK; RFC 5961, 5.

use super::congestion::CaState;
use super::fact::{ChallengeWhy, DropWhy, Output, TcpFact};
use super::scoreboard::{Acked, REORDERING};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::TcpConn;
use crate::time::{Duration, Instant};

/// How an acknowledgment was judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AckVerdict {
    /// In order; it may be a duplicate.
    Good,
    /// Older than SND.UNA, but from the present window: the rest of the segment counts.
    Old,
    /// Absurdly old, or for something never sent: drop the segment.
    Bad,
}

impl TcpConn {
    /// `tcp_packets_in_flight`.
    pub(super) fn in_flight(&self) -> u32 {
        self.snd.flight.in_flight(self.emulated_sacks())
    }

    /// Without SACK each duplicate acknowledgment stands for a segment that arrived.
    fn emulated_sacks(&self) -> u32 {
        if self.agreed.sack {
            return 0;
        }
        self.snd.dupacks.min(self.snd.flight.packets_out().saturating_sub(1))
    }

    /// `tcp_ack`.
    pub(super) fn tcp_ack(&mut self, now: Instant, s: &Segment, out: &mut Output) -> AckVerdict {
        if s.ack.before(self.snd.una) {
            if s.ack.before(self.snd.una - self.snd.max_window) {
                // RFC 5961, 5.2: too old to be anything but forged.
                self.challenge(now, ChallengeWhy::Ack, s, out);
                return AckVerdict::Bad;
            }
            self.take_sacks(s);
            self.find_losses(out);
            self.retransmit_lost(now, out);
            return AckVerdict::Old;
        }
        if s.ack.after(self.snd.nxt) {
            return AckVerdict::Bad;
        }
        self.rcv.heard = now;
        self.timers.probes_out = 0;
        self.soft_err = None;

        let prior_una = self.snd.una;
        let had_flight = !self.snd.flight.is_empty();
        let window_moved = self.update_window(s);
        let acked = self.clean_rtx_queue(now, s);
        let sacked = self.take_sacks(s);
        let advanced = self.snd.una != prior_una;
        if advanced {
            self.snd.dupacks = 0;
        } else if had_flight && s.is_empty() && !window_moved && !s.has(Flags::FIN) {
            self.snd.dupacks += u32::from(sacked > 0 || !self.agreed.sack);
        }
        self.recover(advanced, out);
        if advanced {
            self.grow(now, acked.segments);
            self.rearm_rto(now);
        }
        self.retransmit_lost(now, out);
        if advanced {
            self.schedule_loss_probe(now);
        }
        if !had_flight {
            self.ack_probe(now);
        }
        AckVerdict::Good
    }

    /// RFC 9293: SND.WND moves only with newer segments than the one that set it. Returns true if
    /// it changed.
    fn update_window(&mut self, s: &Segment) -> bool {
        let shift = if s.has(Flags::SYN) { 0 } else { self.snd.wscale };
        let window = u32::from(s.window) << shift;
        let newer = s.ack.after(self.snd.una)
            || s.seq.after(self.snd.wl1)
            || (s.seq == self.snd.wl1 && (window > self.snd.wnd || window == 0));
        if !newer {
            return false;
        }
        self.snd.wl1 = s.seq;
        let changed = window != self.snd.wnd;
        self.snd.wnd = window;
        self.snd.max_window = self.snd.max_window.max(window);
        changed
    }

    /// `tcp_clean_rtx_queue`: forgets what is acknowledged, measures the round trip.
    fn clean_rtx_queue(&mut self, now: Instant, s: &Segment) -> Acked {
        if s.ack == self.snd.una {
            return Acked::default();
        }
        let syn = self.snd.flight.front().is_some_and(|first| first.syn);
        let data_start = self.snd.una + u32::from(syn);
        let data = s.ack.min(self.data_end()).saturating_since(data_start);
        self.snd.queue.advance(data as usize);
        let acked = self.snd.flight.ack_to(s.ack);
        self.stats.bytes_acked += u64::from(s.ack.since(self.snd.una));
        self.snd.una = s.ack;
        while self.snd.push.front().is_some_and(|m| !m.after(s.ack)) {
            self.snd.push.pop_front();
        }
        if self.snd.up.is_some_and(|up| !up.after(s.ack)) {
            self.snd.up = None;
        }
        if self.snd.probe_high.is_some_and(|high| !s.ack.before(high)) {
            self.snd.probe_high = None;
        }
        self.timers.retransmits = 0;
        if self.snd.flight.retrans_out() == 0 {
            self.timers.retrans_stamp = None;
        }
        if let Some(sample) = self.measure(now, s, acked) {
            self.rtt.sample(sample, &self.config);
            self.timers.backoff = 0;
        }
        acked
    }

    /// A round trip from a segment that was sent once, or else from the timestamp echoed.
    fn measure(&self, now: Instant, s: &Segment, acked: Acked) -> Option<Duration> {
        if let Some(at) = acked.sent_at {
            return Some(now.saturating_since(at));
        }
        let ts = s.options.timestamps.filter(|ts| self.agreed.timestamps && ts.ecr != 0)?;
        let ms = self.tcp_clock(now).wrapping_sub(ts.ecr);
        (ms < 1 << 30).then(|| Duration::from_millis(u64::from(ms)))
    }

    /// Marks what SACK blocks cover; returns how many segments are new.
    fn take_sacks(&mut self, s: &Segment) -> u32 {
        if !self.agreed.sack {
            return 0;
        }
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        let plausible =
            |&&(start, end): &&(Seq, Seq)| start.before(end) && !end.after(nxt) && end.after(una);
        let blocks = s.options.sacks.iter().filter(plausible);
        blocks.map(|&(start, end)| self.snd.flight.sack(start, end)).sum()
    }

    /// Enters, continues and leaves loss recovery.
    fn recover(&mut self, advanced: bool, out: &mut Output) {
        let before = self.cc.state;
        if advanced {
            self.cc.acked(self.snd.una);
        }
        match (before, self.cc.state) {
            (CaState::Recovery { .. }, CaState::Recovery { .. }) if advanced => {
                // A partial acknowledgment: the next hole is lost too (RFC 6582, 3.2).
                let fresh = self.snd.flight.front().is_some_and(|s| !s.ever_retransmitted);
                if fresh {
                    self.snd.flight.mark_front_lost();
                }
            }
            _ => {}
        }
        self.find_losses(out);
    }

    /// Fast retransmission: three segments above a hole arrived.
    fn find_losses(&mut self, _out: &mut Output) {
        let found = if self.agreed.sack {
            self.snd.flight.mark_lost_by_sack() > 0
        } else {
            self.cc.state == CaState::Open
                && self.snd.dupacks >= REORDERING
                && self.snd.flight.mark_front_lost()
        };
        if found && self.cc.state == CaState::Open {
            self.cc.enter_recovery(self.snd.nxt);
        }
    }

    /// `tcp_xmit_retransmit_queue`: lost segments again, as far as the congestion window allows.
    fn retransmit_lost(&mut self, now: Instant, out: &mut Output) {
        while self.in_flight() < self.cc.cwnd.max(1) {
            let Some(i) = self.snd.flight.next_lost() else { return };
            let seq = self.snd.flight.get(i).map_or(self.snd.una, |s| s.seq);
            out.fact(TcpFact::Retransmit { seq, n: self.timers.retransmits });
            let first = self.snd.flight.retrans_out() == 0;
            self.tcp_retransmit_skb(now, i, out);
            self.timers.retrans_stamp.get_or_insert(now);
            if first {
                self.rearm_rto(now);
            }
        }
    }

    /// The congestion window grows only if it was what limited us (RFC 7661).
    fn grow(&mut self, now: Instant, acked: u32) {
        let usage = self.snd.usage;
        let limited =
            usage.limited || (self.cc.in_slow_start() && self.cc.cwnd < 2 * usage.max_packets_out);
        match self.cc.state {
            CaState::Open | CaState::Loss { .. } if limited || self.cc.cwnd == 1 => {
                self.cc.grow(now, acked, self.rtt.srtt().unwrap_or_default());
            }
            CaState::Open | CaState::Loss { .. } | CaState::Recovery { .. } => {}
        }
    }

    /// A segment without ACK (RFC 9293, 3.10.7.4: "if the ACK bit is off, drop").
    pub(super) fn drop_without_ack(s: &Segment, out: &mut Output) {
        out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::NoAck });
    }
}
