//! `tcp_ack`: what an acknowledgment does. It moves SND.UNA and the window, measures the round trip,
//! takes in SACK blocks, and lets the congestion window grow; what is lost say `rack` and `recovery`.
//! RFC 9293, 3.10.7.4 (fifth); RFC 2018 and 2883 (SACK); RFC 8985, 7.4; RFC 5961, 5.

use super::chrono::Doing;
use super::congestion::CaState;
use super::fact::{ChallengeWhy, DropWhy, Output, TcpFact};
use super::hystart::Sample;
use super::output::Nagle;
use super::recovery::{AckWork, Rexmit};
use super::scoreboard::Acked;
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::TcpConn;
use super::timer::Pending;
use super::tso::GSO_MAX_SIZE;
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
    pub(super) fn emulated_sacks(&self) -> u32 {
        if self.agreed.sack {
            return 0;
        }
        self.snd.dupacks.min(self.snd.flight.packets_out().saturating_sub(1))
    }

    /// `tcp_ack`.
    pub(super) fn tcp_ack(&mut self, now: Instant, s: &Segment, out: &mut Output) -> AckVerdict {
        if s.ack.before(self.snd.una) {
            return self.old_ack(now, s, out);
        }
        if s.ack.after(self.snd.nxt) {
            return AckVerdict::Bad;
        }
        self.rcv.heard = now;
        self.timers.probes_out = 0;
        self.soft_err = None;

        let prior_una = self.snd.una;
        let had_flight = !self.snd.flight.is_empty();
        let delivered = self.stats.delivered;
        let lost = self.snd.flight.lost_ever();
        let window_moved = self.update_window(now, s);
        self.ecn_accept_cwr(s);
        let ece = self.ecn_echo(s);
        let mut work = AckWork { echo: s.options.timestamps, ece, ..AckWork::default() };
        let highest = self.snd.flight.highest_sacked();
        self.take_sacks(now, s, prior_una, &mut work);
        let acked = self.clean_rtx_queue(now, s, highest, &mut work);
        self.tx_acked(out);
        work.advanced = self.snd.una != prior_una;
        work.dupack = had_flight
            && !work.advanced
            && s.seq_len() == 0
            && !window_moved
            && acked.segments == 0
            && !work.dsack;
        self.count_duplicates(acked.segments, &work);
        self.rack.update_reo_wnd();
        self.process_tlp_ack(s, &work, window_moved);
        let dubious = work.dupack
            || work.sacked
            || work.ece
            || self.cc.state != CaState::Open
            || (!had_flight && work.dsack);
        let rexmit = if dubious { self.fastretrans_alert(now, &mut work) } else { Rexmit::None };
        if (acked.segments > 0 || self.head_is_younger(now, &work)) && !work.reorder_timer {
            self.set_xmit_timer(now);
        }
        let delivered = self.stats.delivered.wrapping_sub(delivered);
        let newly_lost = self.snd.flight.lost_ever() != lost;
        self.cong_control(now, delivered, newly_lost, &work);
        self.xmit_recovery(now, rexmit, out);
        if !had_flight {
            self.ack_probe(now);
        }
        AckVerdict::Good
    }

    /// SACK reported something that was sent before the oldest segment was (again): the timeout of
    /// that one begins anew.
    fn head_is_younger(&self, now: Instant, work: &AckWork) -> bool {
        let head = self.snd.flight.front().map(|s| now.saturating_since(s.at));
        work.sacked && head.is_some_and(|age| self.rack.rtt > age)
    }

    /// An acknowledgment that was overtaken: its SACK blocks may still say something new.
    fn old_ack(&mut self, now: Instant, s: &Segment, out: &mut Output) -> AckVerdict {
        if s.ack.before(self.snd.una - self.snd.max_window) {
            // RFC 5961, 5.2: too old to be anything but forged.
            self.challenge(now, ChallengeWhy::Ack, s, out);
            return AckVerdict::Bad;
        }
        if self.agreed.sack && !s.options.sacks.is_empty() {
            let delivered = self.stats.delivered;
            let lost = self.snd.flight.lost_ever();
            let mut work = AckWork { echo: s.options.timestamps, ..AckWork::default() };
            self.take_sacks(now, s, self.snd.una, &mut work);
            let rexmit = self.fastretrans_alert(now, &mut work);
            let delivered = self.stats.delivered.wrapping_sub(delivered);
            let newly_lost = self.snd.flight.lost_ever() != lost;
            if self.cc.in_cwnd_reduction() {
                self.cc.cwnd_reduction(self.in_flight(), delivered, newly_lost, false);
            }
            self.xmit_recovery(now, rexmit, out);
        }
        AckVerdict::Old
    }

    /// Without SACK each duplicate says that a segment arrived (`tcp_add_reno_sack`), and an
    /// acknowledgment takes them back (`tcp_remove_reno_sacks`).
    fn count_duplicates(&mut self, acked: u32, work: &AckWork) {
        if self.agreed.sack {
            return;
        }
        if work.advanced {
            // One segment filled the hole; the others had been counted when they arrived.
            let fresh = acked.saturating_sub(self.snd.dupacks).max(u32::from(acked > 0));
            self.stats.delivered += fresh;
            self.snd.dupacks = match self.cc.state {
                CaState::Recovery | CaState::Loss => {
                    self.snd.dupacks.saturating_sub(acked.saturating_sub(1))
                }
                CaState::Open | CaState::Disorder | CaState::Cwr => 0,
            };
        } else if work.dupack {
            let before = self.emulated_sacks();
            self.snd.dupacks += 1;
            self.stats.delivered += self.emulated_sacks().saturating_sub(before);
        }
    }

    /// `tcp_process_tlp_ack` (RFC 8985, 7.4): did the tail loss probe repair a loss?
    fn process_tlp_ack(&mut self, s: &Segment, work: &AckWork, window_moved: bool) {
        let Some(high) = self.snd.probe_high.filter(|high| !s.ack.before(*high)) else { return };
        if !self.snd.probe_retrans || work.dsack_tlp {
            // New data, or both copies arrived.
            self.snd.probe_high = None;
        } else if s.ack.after(high) {
            self.reduce_for_probe();
        } else if !work.advanced && !work.sacked && !window_moved && s.seq_len() == 0 {
            // A duplicate: both copies arrived.
            self.snd.probe_high = None;
        }
    }

    /// `tcp_cong_control`.
    fn cong_control(&mut self, now: Instant, delivered: u32, lost: bool, work: &AckWork) {
        match self.cc.state {
            CaState::Cwr | CaState::Recovery => {
                self.cc.cwnd_reduction(self.in_flight(), delivered, lost, work.advanced);
            }
            CaState::Open | CaState::Disorder | CaState::Loss => {
                // `tcp_may_raise_cwnd`: with much reordering SACK is progress enough.
                let raises = work.advanced
                    || (self.recovery.reordering > self.config.reordering && work.sacked);
                if raises {
                    self.grow(now, delivered);
                }
            }
        }
    }

    /// `tcp_xmit_recovery`.
    fn xmit_recovery(&mut self, now: Instant, rexmit: Rexmit, out: &mut Output) {
        match rexmit {
            Rexmit::None => return,
            Rexmit::Lost => {}
            Rexmit::New => {
                self.push_pending_frames(now, Nagle::Off, out);
                if self.snd.nxt.after(self.recovery.high) {
                    return;
                }
                self.recovery.frto = false;
            }
        }
        self.retransmit_lost(now, out);
    }

    /// RFC 9293: SND.WND moves only with newer segments than the one that set it. Returns true if
    /// this is one, and so no duplicate.
    fn update_window(&mut self, now: Instant, s: &Segment) -> bool {
        let shift = if s.has(Flags::SYN) { 0 } else { self.snd.wscale };
        let window = u32::from(s.window) << shift;
        let newer = s.ack.after(self.snd.una)
            || s.seq.after(self.snd.wl1)
            || (s.seq == self.snd.wl1 && (window > self.snd.wnd || window == 0));
        if !newer {
            return false;
        }
        self.snd.wl1 = s.seq;
        if self.snd.wnd != window && self.has_send_head() {
            self.slow_start_after_idle_check(now);
        }
        self.snd.wnd = window;
        self.snd.max_window = self.snd.max_window.max(window);
        true
    }

    /// `tcp_clean_rtx_queue`: forgets what is acknowledged, measures the round trip.
    /// `highest` is what SACK had reported before.
    fn clean_rtx_queue(
        &mut self,
        now: Instant,
        s: &Segment,
        highest: Option<Seq>,
        work: &mut AckWork,
    ) -> Acked {
        if s.ack == self.snd.una {
            return Acked::default();
        }
        let syn = self.snd.flight.front().is_some_and(|first| first.syn);
        let data_start = self.snd.una + u32::from(syn);
        let data = s.ack.min(self.data_end()).saturating_since(data_start);
        self.snd.queue.advance(data as usize);
        let (min_rtt, high) = (self.rtt.min(), self.recovery.high);
        let (rack, mut low, mut fresh) = (&mut self.rack, None::<Seq>, 0);
        let acked = self.snd.flight.ack_to(s.ack, |s| {
            if s.sacked {
                return;
            }
            fresh += 1;
            if !s.ever_retransmitted {
                low = Some(low.map_or(s.seq, |low| low.min(s.seq)));
                work.orig_sacked |= !s.end().after(high);
            }
            rack.advance(now, s, min_rtt);
        });
        if self.agreed.sack {
            self.stats.delivered += fresh;
            // A hole was filled by what was sent once: it only came late.
            if let (Some(low), Some(highest)) = (low, highest) {
                self.check_sack_reordering(low, highest);
            }
        }
        self.stats.bytes_acked += u64::from(s.ack.since(self.snd.una));
        self.snd.una = s.ack;
        if self.snd.up.is_some_and(|up| !up.after(s.ack)) {
            self.snd.up = None;
        }
        if self.snd.flight.is_empty() {
            self.chrono_stop(now, Doing::Busy);
        }
        self.timers.retransmits = 0;
        if self.snd.flight.retrans_out() == 0 {
            self.timers.retrans_stamp = None;
        }
        // The handshake says nothing to it.
        if let Some(at) = acked.last_sent_at.filter(|_| !syn) {
            self.measured_for_cubic(now, now.saturating_since(at));
        }
        if let Some(sample) = self.measure(now, s, acked) {
            self.rtt.sample(sample, &self.config);
            self.timers.backoff = 0;
        }
        acked
    }

    /// The round trip of the last segment acknowledged.
    fn measured_for_cubic(&mut self, now: Instant, rtt: Duration) {
        // Four of the largest units at the pace of the window, at most 1 ms.
        let micros = 4 * GSO_MAX_SIZE * 1_000_000 / self.pacing_rate().max(1);
        let burst = Duration::from_micros(micros.min(1000));
        let (una, nxt, cwnd) = (self.snd.una, self.snd.nxt, self.cc.cwnd);
        self.cc.measured(now, Sample { rtt, una, nxt, cwnd, burst });
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

    /// `tcp_sacktag_write_queue`: marks what SACK blocks cover.
    fn take_sacks(&mut self, now: Instant, s: &Segment, prior_una: Seq, work: &mut AckWork) {
        if !self.agreed.sack || s.options.sacks.is_empty() {
            return;
        }
        let dsack = self.check_dsack(s, prior_una, work);
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        let (min_rtt, high) = (self.rtt.min(), self.recovery.high);
        let highest = self.snd.flight.highest_sacked().unwrap_or(una);
        let (rack, mut low, mut new) = (&mut self.rack, None::<Seq>, 0);
        for &(start, end) in s.options.sacks.iter().skip(usize::from(dsack)) {
            if !start.before(end) || end.after(nxt) || !end.after(una) {
                continue;
            }
            new += self.snd.flight.sack(start, end, |s| {
                rack.advance(now, s, min_rtt);
                if !s.ever_retransmitted {
                    low = Some(low.map_or(s.seq, |low| low.min(s.seq)));
                    work.orig_sacked |= !s.end().after(high);
                }
            });
        }
        self.stats.delivered += new;
        work.sacked = new > 0;
        let believed = self.cc.state != CaState::Loss || self.recovery.undo_marker.is_some();
        if let (Some(low), true) = (low, believed) {
            self.check_sack_reordering(low, highest);
        }
    }

    /// `tcp_check_dsack` (RFC 2883): does the first block report something received twice?
    fn check_dsack(&mut self, s: &Segment, prior_una: Seq, work: &mut AckWork) -> bool {
        let Some(&(start, end)) = s.options.sacks.first() else { return false };
        let inside = |&(a, b): &(Seq, Seq)| !start.before(a) && !end.after(b);
        let below = start.before(s.ack);
        if !start.before(end) || !(below || s.options.sacks.get(1).is_some_and(inside)) {
            return false;
        }
        // `tcp_dsack_seen`: is it about something that was sent twice?
        let (len, mss) = (end.since(start), self.mss_cache());
        if len > self.snd.max_window {
            return false;
        }
        let segments = len.div_ceil(mss);
        self.stats.dsack_dups = self.stats.dsack_dups.saturating_add(segments);
        if self.stats.dsack_dups > self.snd.total_retrans {
            return false;
        }
        work.dsack = true;
        self.rack.dsack_seen = true;
        work.dsack_tlp = len <= mss && self.snd.probe_retrans && self.snd.probe_high == Some(end);
        if let Some(marker) = self.recovery.undo_marker
            && !end.after(prior_una.max(s.ack))
            && end.after(marker)
            && self.recovery.undo_retrans > 0
        {
            let left = self.recovery.undo_retrans - i64::from(segments);
            self.recovery.undo_retrans = left.max(0);
        }
        true
    }

    /// `tcp_xmit_retransmit_queue`: lost segments again, as far as the congestion window allows.
    pub(super) fn retransmit_lost(&mut self, now: Instant, out: &mut Output) {
        while self.in_flight() < self.cc.cwnd {
            let Some(i) = self.snd.flight.next_lost() else { return };
            let seq = self.snd.flight.get(i).map_or(self.snd.una, |s| s.seq);
            out.fact(TcpFact::Retransmit { seq, n: self.timers.retransmits });
            let sent = self.retransmit_unit(now, i, out);
            self.timers.retrans_stamp.get_or_insert(now);
            if !sent {
                return;
            }
            if i == 0 && self.timers.pending != Some(Pending::Reorder) {
                self.timers.pending = None;
                self.rearm_rto(now);
            }
        }
    }

    /// What left as one unit and is lost as a whole leaves as one again, with PSH at its end.
    /// False: the device had no room.
    fn retransmit_unit(&mut self, now: Instant, first: usize, out: &mut Output) -> bool {
        let (mut i, most) = (first, self.tso_segs() as usize);
        loop {
            if !self.tcp_retransmit_skb(now, i, out) {
                return false;
            }
            let goes_on = self.snd.flight.goes_with_next(i) && i + 1 - first < most;
            if !goes_on || self.in_flight() >= self.cc.cwnd {
                break;
            }
            i += 1;
        }
        if i > first
            && let Some(last) = out.segments.last_mut()
        {
            last.flags = last.flags | Flags::PSH;
        }
        true
    }

    /// The congestion window grows only if it was what limited us (RFC 7661).
    fn grow(&mut self, now: Instant, acked: u32) {
        let usage = self.snd.usage;
        let limited =
            usage.limited || (self.cc.in_slow_start() && self.cc.cwnd < 2 * usage.max_packets_out);
        if limited {
            self.cc.grow(now, acked);
        }
    }

    /// A segment without ACK (RFC 9293, 3.10.7.4: "if the ACK bit is off, drop").
    pub(super) fn drop_without_ack(s: &Segment, out: &mut Output) {
        out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::NoAck });
    }
}
