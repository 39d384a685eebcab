//! RACK (RFC 8985): a segment is lost when one that was sent later has arrived, and a little time for
//! reordering has passed. Without SACK the third duplicate decides (RFC 6582). Names from Linux's
//! tcp_recovery.c. Neighbours: `scoreboard` (what is marked), `recovery` (what follows), `timer`.

use super::config::{TCP_TIMEOUT_MIN_US, whole_ticks};
use super::congestion::CaState;
use super::scoreboard::SentSegment;
use super::seq::Seq;
use super::state::TcpConn;
use super::timer::Pending;
use crate::time::{Duration, Instant};

/// How long a wider reordering window lasts: so many recoveries.
const REO_WND_PERSIST: u8 = 16;

/// The latest segment that arrived, by the time at which it was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rack {
    /// When it was sent, and its end: what was sent together is ordered by sequence number.
    sent: (Instant, Seq),
    /// The round trip that it took.
    pub rtt: Duration,
    /// It is another than when losses were last looked for.
    pub advanced: bool,
    /// The reordering window, in quarters of the shortest round trip.
    steps: u8,
    persist: u8,
    /// The other side reported a needless retransmission.
    pub dsack_seen: bool,
}

impl Rack {
    pub fn new(iss: Seq) -> Rack {
        Rack {
            sent: (Instant::ZERO, iss),
            rtt: Duration::ZERO,
            advanced: false,
            steps: 1,
            persist: 0,
            dsack_seen: false,
        }
    }

    /// `tcp_rack_advance`: a segment arrived.
    pub fn advance(&mut self, now: Instant, s: &SentSegment, min_rtt: Option<Duration>) {
        let rtt = now.saturating_since(s.at);
        if s.ever_retransmitted && min_rtt.is_some_and(|least| rtt < least) {
            // Too soon to be the retransmission's arrival: the first one made it.
            return;
        }
        self.advanced = true;
        self.rtt = rtt;
        if self.after((s.at, s.end())) {
            self.sent = (s.at, s.end());
        }
    }

    /// `tcp_rack_sent_after`: was something sent at `other` before the latest arrival, or is it it?
    fn after(&self, other: (Instant, Seq)) -> bool {
        other.0 > self.sent.0 || (other.0 == self.sent.0 && other.1.after(self.sent.1))
    }

    /// Was `s` sent before the latest arrival?
    pub fn passed(&self, s: &SentSegment) -> bool {
        self.sent.0 > s.at || (self.sent.0 == s.at && self.sent.1.after(s.end()))
    }

    /// `tcp_rack_update_reo_wnd`: needless retransmissions widen the window (RFC 8985, 6.2).
    pub fn update_reo_wnd(&mut self) {
        if self.dsack_seen {
            self.steps = self.steps.saturating_add(1);
            self.dsack_seen = false;
            self.persist = REO_WND_PERSIST;
        } else if self.persist == 0 {
            self.steps = 1;
        }
    }

    /// A recovery ended without reordering, or was undone.
    pub fn recovered(&mut self, undone: bool) {
        self.persist = match undone {
            true => (self.persist + 1).min(REO_WND_PERSIST),
            false => self.persist.saturating_sub(1),
        };
    }
}

impl TcpConn {
    /// `tcp_rack_reo_wnd`: how long a gap may be reordering.
    fn rack_reo_wnd(&self) -> Duration {
        if self.stats.reord_seen == 0 {
            let recovering = matches!(self.cc.state, CaState::Recovery | CaState::Loss);
            if recovering || self.snd.flight.sacked_out() >= self.recovery.reordering {
                return Duration::ZERO;
            }
        }
        let quarter = self.rtt.min().unwrap_or_default() / 4;
        let most = self.rtt.srtt().unwrap_or_default();
        (quarter * u32::from(self.rack.steps)).min(most)
    }

    /// `tcp_rack_mark_lost`: true when the reordering timer was armed.
    fn rack_mark_lost(&mut self, now: Instant) -> bool {
        if !core::mem::take(&mut self.rack.advanced) {
            return false;
        }
        let Some(wait) = self.rack_detect_loss(now) else { return false };
        self.arm_reo_timer(now, wait);
        true
    }

    /// What is given `wait` more to come: in whole ticks, and not beyond the retransmission timeout.
    fn arm_reo_timer(&mut self, now: Instant, wait: Duration) {
        let timeout = whole_ticks(wait + TCP_TIMEOUT_MIN_US).min(self.rtt.rto());
        self.arm(Pending::Reorder, now + timeout);
    }

    /// `tcp_rack_detect_loss`: marks what is lost; how long to wait for the rest.
    fn rack_detect_loss(&mut self, now: Instant) -> Option<Duration> {
        let limit = self.rack.rtt + self.rack_reo_wnd();
        self.snd.flight.rack_detect_loss(now, &self.rack, limit)
    }

    /// `tcp_identify_packet_loss`. Gives whether the reordering timer runs now.
    pub(super) fn identify_packet_loss(&mut self, now: Instant, advanced: bool) -> bool {
        if self.snd.flight.is_empty() {
            return false;
        }
        if self.agreed.sack {
            return self.rack_mark_lost(now);
        }
        // `tcp_newreno_mark_lost`: the third duplicate, or a partial acknowledgment.
        let lost = match self.cc.state {
            CaState::Open | CaState::Disorder | CaState::Cwr => {
                self.emulated_sacks() >= self.recovery.reordering
            }
            CaState::Recovery => advanced,
            CaState::Loss => false,
        };
        if lost {
            self.snd.flight.mark_front_lost();
        }
        false
    }

    /// `tcp_rack_reo_timeout`: what was given time did not come.
    pub(super) fn rack_reo_timeout(&mut self, now: Instant, out: &mut super::fact::Output) {
        let before = self.in_flight();
        let wait = self.rack_detect_loss(now);
        if let Some(wait) = wait {
            self.arm_reo_timer(now, wait);
        }
        if self.in_flight() != before {
            if self.cc.state != CaState::Recovery {
                self.enter_recovery(false);
                self.cc.cwnd_reduction(self.in_flight(), 1, true, false);
            }
            self.retransmit_lost(now, out);
        }
        if self.timers.pending.is_none() {
            self.rearm_rto(now);
        }
    }
}
