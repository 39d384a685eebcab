//! The segments in flight: what Linux keeps in the retransmission queue, without the bytes (those
//! are in the `ByteQueue`). Counts what was selectively acknowledged, taken for lost and sent again
//! (RFC 6675, with Linux's names).

use std::collections::VecDeque;

use super::rack::Rack;
use super::seq::Seq;
use crate::time::{Duration, Instant};

/// One transmitted segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentSegment {
    /// Its first sequence number.
    pub seq: Seq,
    /// Payload bytes.
    pub len: u32,
    /// It carries our SYN.
    pub syn: bool,
    /// It carries our FIN.
    pub fin: bool,
    /// When it was last sent.
    pub at: Instant,
    /// The end of the unit in which it was sent first (see `tso`).
    pub unit: Seq,
    /// It carries PSH.
    pub push: bool,
    /// A record ends with it (MSG_EOR).
    pub eor: bool,
    /// It was sent more than once: its acknowledgment measures nothing (Karn).
    pub ever_retransmitted: bool,
    /// A retransmission of it is in flight.
    pub retransmitted: bool,
    /// Selectively acknowledged.
    pub sacked: bool,
    /// Taken for lost.
    pub lost: bool,
}

impl SentSegment {
    /// `len` bytes from `seq` on, sent at `at` for the first time.
    pub fn new(seq: Seq, len: u32, at: Instant) -> SentSegment {
        SentSegment {
            seq,
            len,
            syn: false,
            fin: false,
            at,
            unit: seq + len,
            push: false,
            eor: false,
            ever_retransmitted: false,
            retransmitted: false,
            sacked: false,
            lost: false,
        }
    }

    /// The same with our SYN.
    pub fn with_syn(mut self) -> SentSegment {
        self.syn = true;
        self
    }

    /// The sequence number after it.
    pub fn end(&self) -> Seq {
        self.seq + self.len + u32::from(self.syn) + u32::from(self.fin)
    }
}

/// What an acknowledgment removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Acked {
    /// Whole segments.
    pub segments: u32,
    /// When the first removed segment was sent, if none of the removed was sent twice.
    pub sent_at: Option<Instant>,
    /// The same of the last.
    pub last_sent_at: Option<Instant>,
}

/// The transmitted and unacknowledged segments, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scoreboard {
    segments: VecDeque<SentSegment>,
    sacked: u32,
    lost: u32,
    retransmitted: u32,
    /// How many were ever taken for lost (`tp->lost`).
    lost_ever: u32,
}

impl Scoreboard {
    /// How many segments were ever taken for lost.
    pub fn lost_ever(&self) -> u32 {
        self.lost_ever
    }

    /// The end of the youngest segment that was selectively acknowledged (`tcp_highest_sack_seq`).
    pub fn highest_sacked(&self) -> Option<Seq> {
        if self.sacked == 0 {
            return None;
        }
        self.segments.iter().rev().find(|s| s.sacked).map(SentSegment::end)
    }

    /// `packets_out`.
    pub fn packets_out(&self) -> u32 {
        self.segments.len() as u32
    }

    /// True when everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// `sacked_out`.
    pub fn sacked_out(&self) -> u32 {
        self.sacked
    }

    /// `lost_out`.
    pub fn lost_out(&self) -> u32 {
        self.lost
    }

    /// `retrans_out`.
    pub fn retrans_out(&self) -> u32 {
        self.retransmitted
    }

    /// What is thought to be in the network (`tcp_packets_in_flight`). `extra_sacked` stands for
    /// duplicate acknowledgments of a peer without SACK.
    pub fn in_flight(&self, extra_sacked: u32) -> u32 {
        (self.packets_out() + self.retransmitted)
            .saturating_sub(self.sacked + self.lost + extra_sacked)
    }

    /// A new segment left.
    pub fn push(&mut self, segment: SentSegment) {
        self.segments.push_back(segment);
    }

    /// The last `count` segments left as one unit, which ends with the last of them.
    pub fn join_unit(&mut self, count: u32) {
        let Some(end) = self.segments.back().map(SentSegment::end) else { return };
        self.segments.iter_mut().rev().take(count as usize).for_each(|s| s.unit = end);
    }

    /// Where the unit begins that left last.
    pub fn last_unit_start(&self) -> Option<Seq> {
        let unit = self.segments.back()?.unit;
        self.segments.iter().rev().take_while(|s| s.unit == unit).last().map(|s| s.seq)
    }

    /// Are the segments at `i` and behind it of one unit, and both to be sent again?
    pub fn goes_with_next(&self, i: usize) -> bool {
        let (Some(s), Some(next)) = (self.segments.get(i), self.segments.get(i + 1)) else {
            return false;
        };
        s.unit == next.unit && next.lost && !next.retransmitted
    }

    /// The segment at `i`, oldest first.
    pub fn get(&self, i: usize) -> Option<&SentSegment> {
        self.segments.get(i)
    }

    /// The oldest segment.
    pub fn front(&self) -> Option<&SentSegment> {
        self.segments.front()
    }

    /// The youngest segment's place.
    pub fn last_index(&self) -> Option<usize> {
        self.segments.len().checked_sub(1)
    }

    /// The place of the first lost segment whose retransmission is not in flight.
    pub fn next_lost(&self) -> Option<usize> {
        if self.lost == 0 {
            return None;
        }
        self.segments.iter().position(|s| s.lost && !s.retransmitted)
    }

    /// Forgets everything (`tcp_write_queue_purge`).
    pub fn clear(&mut self) {
        *self = Scoreboard::default();
    }

    /// Removes what `ack` covers. A segment covered in part is shortened.
    /// `each` sees every segment that is removed.
    pub fn ack_to(&mut self, ack: Seq, mut each: impl FnMut(&SentSegment)) -> Acked {
        let mut acked = Acked::default();
        let mut karn = true;
        let (mut first, mut last) = (None, None);
        while let Some(s) = self.segments.front_mut() {
            if s.end().after(ack) {
                if ack.after(s.seq) {
                    let cut = ack.since(s.seq) - u32::from(s.syn);
                    s.syn = false;
                    s.len -= cut;
                    s.seq = ack;
                }
                break;
            }
            let s = self.segments.pop_front().expect("front exists");
            self.sacked -= u32::from(s.sacked);
            self.lost -= u32::from(s.lost);
            self.retransmitted -= u32::from(s.retransmitted);
            karn &= !s.ever_retransmitted;
            if !s.sacked {
                first.get_or_insert(s.at);
                last = Some(s.at);
            }
            acked.segments += 1;
            each(&s);
        }
        acked.sent_at = first.filter(|_| karn);
        acked.last_sent_at = last.filter(|_| karn);
        acked
    }

    /// Marks what the block covers; returns how many segments are new in it. `each` sees them as they
    /// were before.
    pub fn sack(&mut self, start: Seq, end: Seq, mut each: impl FnMut(&SentSegment)) -> u32 {
        let mut new = 0;
        for s in self.segments.iter_mut().rev() {
            if !s.end().after(start) {
                break;
            }
            if s.sacked || s.seq.before(start) || s.end().after(end) {
                continue;
            }
            each(s);
            s.sacked = true;
            self.lost -= u32::from(core::mem::take(&mut s.lost));
            self.retransmitted -= u32::from(core::mem::take(&mut s.retransmitted));
            new += 1;
        }
        self.sacked += new;
        new
    }

    /// `tcp_rack_detect_loss`: takes for lost what was sent before the latest arrival, and longer than
    /// `limit` ago; gives how long the youngest of the others has still to wait.
    pub fn rack_detect_loss(
        &mut self,
        now: Instant,
        rack: &Rack,
        limit: Duration,
    ) -> Option<Duration> {
        if self.sacked == 0 && self.retransmitted == 0 && self.lost == 0 {
            // Nothing arrived out of order: all that is left was sent later.
            return None;
        }
        let mut wait: Option<Duration> = None;
        for i in 0..self.segments.len() {
            let s = &self.segments[i];
            if s.sacked || (s.lost && !s.retransmitted) || !rack.passed(s) {
                continue;
            }
            let age = now.saturating_since(s.at);
            match limit.checked_sub(age).filter(|left| !left.is_zero()) {
                None => self.mark_lost(i),
                Some(left) => wait = Some(wait.map_or(left, |most| most.max(left))),
            }
        }
        wait
    }

    /// `tcp_mark_skb_lost`: a retransmission of it that was in flight is lost too.
    fn mark_lost(&mut self, i: usize) {
        let s = &mut self.segments[i];
        if !s.lost {
            self.lost += 1;
            self.lost_ever += 1;
        } else if s.retransmitted {
            self.lost_ever += 1;
        }
        s.lost = true;
        if core::mem::take(&mut s.retransmitted) {
            self.retransmitted -= 1;
        }
    }

    /// Takes the oldest segment for lost; false when it was already.
    pub fn mark_front_lost(&mut self) -> bool {
        let fresh = self.segments.front().is_some_and(|s| !s.lost && !s.sacked);
        if fresh {
            self.mark_lost(0);
        }
        fresh
    }

    /// Nothing was lost after all.
    pub fn unmark_lost(&mut self) {
        self.segments.iter_mut().for_each(|s| s.lost = false);
        self.lost = 0;
    }

    /// `tcp_timeout_mark_lost`: takes everything for lost but what was sent less than a round trip
    /// ago. If the oldest was selectively acknowledged the other side has dropped it again: then
    /// nothing is believed.
    pub fn timeout_mark_lost(&mut self, now: Instant, rtt: Duration) {
        let reneged = self.segments.front().is_some_and(|s| s.sacked);
        if reneged {
            self.segments.iter_mut().for_each(|s| s.sacked = false);
            self.sacked = 0;
        }
        for i in 0..self.segments.len() {
            let s = &self.segments[i];
            let recent = !reneged && i > 0 && now.saturating_since(s.at) < rtt;
            if !s.sacked && !recent {
                self.mark_lost(i);
            }
        }
    }

    /// The segment at `i` is to be sent again. Following segments are merged into it while all fit
    /// into `mss` bytes (`tcp_retrans_try_collapse`, T-30).
    pub fn collapse(&mut self, i: usize, mss: u32) -> &SentSegment {
        while self.can_merge(i, mss) {
            let next = self.segments.remove(i + 1).expect("can_merge looked at it");
            self.lost -= u32::from(next.lost);
            self.retransmitted -= u32::from(next.retransmitted);
            let s = &mut self.segments[i];
            s.len += next.len;
            s.fin |= next.fin;
            s.push |= next.push;
            s.eor = next.eor;
            s.unit = next.unit;
        }
        &self.segments[i]
    }

    /// It was, at `now`.
    pub fn retransmitted(&mut self, i: usize, now: Instant) {
        let s = &mut self.segments[i];
        if !s.retransmitted {
            self.retransmitted += 1;
        }
        s.retransmitted = true;
        s.ever_retransmitted = true;
        s.at = now;
    }

    /// What holds in a scoreboard of `una..nxt` (see `check`).
    pub fn check(&self, una: Seq, nxt: Seq) -> Result<(), String> {
        let mut at = una;
        let mut counts = (0, 0, 0);
        for s in &self.segments {
            if s.seq != at || s.end() == at {
                return Err(format!("the flight has a hole or an empty segment at {at:?}: {s:?}"));
            }
            at = s.end();
            counts.0 += u32::from(s.sacked);
            counts.1 += u32::from(s.lost);
            counts.2 += u32::from(s.retransmitted);
            if s.sacked && s.lost {
                return Err(format!("both lost and selectively acknowledged: {s:?}"));
            }
        }
        if at != nxt {
            return Err(format!("the flight ends at {at:?} and not at {nxt:?}"));
        }
        if counts != (self.sacked, self.lost, self.retransmitted) {
            return Err(format!("the counts {counts:?} are not those of {self:?}"));
        }
        Ok(())
    }

    fn can_merge(&self, i: usize, mss: u32) -> bool {
        let (Some(s), Some(next)) = (self.segments.get(i), self.segments.get(i + 1)) else {
            return false;
        };
        !s.syn && !s.fin && !s.eor && !s.sacked && !next.sacked && s.len + next.len <= mss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(n: u32) -> Scoreboard {
        let mut b = Scoreboard::default();
        for i in 0..n {
            let mut s = SentSegment::new(Seq(i * 100), 100, Instant(u64::from(i)));
            s.fin = i + 1 == n;
            b.push(s);
        }
        b
    }

    #[test]
    fn what_was_sent_before_the_latest_arrival_is_lost_after_the_limit() {
        // RFC 8985, 6.2, step 5.
        let mut b = flight(5);
        let mut rack = Rack::new(Seq(0));
        let now = Instant(100);
        assert_eq!(b.sack(Seq(200), Seq(300), |s| rack.advance(now, s, None)), 1);
        let limit = Duration::from_nanos(100);
        assert_eq!(b.rack_detect_loss(now, &rack, limit), Some(Duration::from_nanos(1)));
        assert_eq!((b.lost_out(), b.next_lost()), (1, Some(0)));
        assert_eq!(b.in_flight(0), 3);
        b.retransmitted(0, Instant(109));
        assert_eq!((b.in_flight(0), b.next_lost()), (4, None));
        let acked = b.ack_to(Seq(400), |_| {});
        assert_eq!((acked.segments, acked.sent_at), (4, None));
        assert_eq!((b.packets_out(), b.sacked_out(), b.lost_out(), b.retrans_out()), (1, 0, 0, 0));
    }

    #[test]
    fn a_retransmission_takes_the_fin_with_it() {
        let mut b = flight(2);
        let s = b.collapse(0, 1448);
        assert_eq!((s.len, s.fin, s.end()), (200, true, Seq(201)));
        assert_eq!(b.packets_out(), 1);
    }

    #[test]
    fn half_an_acknowledged_segment_stays() {
        let mut b = flight(1);
        assert_eq!(b.ack_to(Seq(40), |_| {}).segments, 0);
        assert_eq!((b.front().unwrap().seq, b.front().unwrap().len), (Seq(40), 60));
    }
}
