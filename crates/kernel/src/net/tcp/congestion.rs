//! The congestion window, in whole segments: slow start, growth as `cubic` says, and proportional rate
//! reduction (RFC 6937). When it is reduced and when that is undone says `recovery`.

use super::cubic::Cubic;
use super::hystart::Sample;
use crate::time::{Duration, Instant};

/// What the loss recovery is doing (`icsk_ca_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CaState {
    /// Nothing is missing.
    #[default]
    Open,
    /// Something may be missing, or was reported out of order.
    Disorder,
    /// The window comes down for a sign of congestion that is no loss: a mark (RFC 3168), or the
    /// own device had no room.
    Cwr,
    /// Fast retransmission (RFC 6675).
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

/// The threshold before the first loss.
const TCP_INFINITE_SSTHRESH: u32 = 0x7fff_ffff;

/// Congestion window and the memory of CUBIC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Congestion {
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Slow start threshold in segments.
    pub ssthresh: u32,
    /// The state of loss recovery.
    pub state: CaState,
    /// cwnd before this reduction, what arrived and what left since (RFC 6937).
    prior_cwnd: u32,
    prr_delivered: u32,
    prr_out: u32,
    cubic: Cubic,
    /// Acknowledged segments not yet turned into growth.
    credit: u32,
}

impl Congestion {
    /// At the start of a connection.
    pub fn new(init_cwnd: u32) -> Congestion {
        Congestion {
            cwnd: init_cwnd,
            ssthresh: TCP_INFINITE_SSTHRESH,
            state: CaState::Open,
            prior_cwnd: 0,
            prr_delivered: 0,
            prr_out: 0,
            cubic: Cubic::default(),
            credit: 0,
        }
    }

    /// `tcp_in_cwnd_reduction`.
    pub fn in_cwnd_reduction(&self) -> bool {
        matches!(self.state, CaState::Cwr | CaState::Recovery)
    }

    /// True below the threshold.
    pub fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// `acked` segments were acknowledged while the window was in full use.
    pub fn grow(&mut self, now: Instant, mut acked: u32) {
        if self.in_slow_start() {
            let room = (self.ssthresh - self.cwnd).min(acked);
            self.cwnd += room;
            acked -= room;
        }
        if acked == 0 {
            return;
        }
        let per_segment = self.cubic.update(now, self.cwnd, acked);
        // What was saved while growth was dear buys one segment only.
        if self.credit >= per_segment {
            self.credit = 0;
            self.cwnd += 1;
        }
        self.credit += acked;
        if self.credit >= per_segment {
            self.cwnd += self.credit / per_segment;
            self.credit %= per_segment;
        }
    }

    /// `tcp_init_cwnd_reduction`: the window comes down step by step from now on.
    pub fn init_cwnd_reduction(&mut self) {
        self.prior_cwnd = self.cwnd;
        self.prr_delivered = 0;
        self.prr_out = 0;
        self.credit = 0;
        self.ssthresh = self.cubic.reduced(self.cwnd);
    }

    /// `tcp_cwnd_reduction`: proportional rate reduction (RFC 6937): as much leaves as arrived, in
    /// the proportion in which the window shrinks; below the threshold one more for each arrival
    /// that shows no further loss.
    pub fn cwnd_reduction(&mut self, in_flight: u32, delivered: u32, lost: bool, advanced: bool) {
        if delivered == 0 || self.prior_cwnd == 0 {
            return;
        }
        self.prr_delivered += delivered;
        let pays = self.prr_delivered.saturating_sub(self.prr_out);
        let count = match self.ssthresh.checked_sub(in_flight) {
            None => {
                let share = u64::from(self.ssthresh) * u64::from(self.prr_delivered);
                let share = share.div_ceil(u64::from(self.prior_cwnd)) as u32;
                share.saturating_sub(self.prr_out)
            }
            Some(room) => (pays.max(delivered) + u32::from(advanced && !lost)).min(room),
        };
        // The first retransmission leaves at once.
        let count = count.max(u32::from(self.prr_out == 0));
        self.cwnd = in_flight + count;
    }

    /// Segments left while the window is being reduced.
    pub fn sent(&mut self, segments: u32) {
        if self.in_cwnd_reduction() {
            self.prr_out += segments;
        }
    }

    /// `tcp_current_ssthresh`: what to come back to.
    pub fn current_ssthresh(&self) -> u32 {
        match self.state {
            CaState::Cwr | CaState::Recovery => self.ssthresh,
            CaState::Open | CaState::Disorder | CaState::Loss => {
                self.ssthresh.max(self.cwnd / 2 + self.cwnd / 4)
            }
        }
    }

    /// The retransmission timer fired, for the first time in this window: the threshold.
    pub fn reduce_at_loss(&mut self) {
        self.prior_cwnd = self.cwnd;
        self.ssthresh = self.cubic.reduced(self.cwnd);
    }

    /// The retransmission timer fired: nothing is known of the path from now on.
    pub fn enter_loss(&mut self, cwnd: u32) {
        self.cwnd = cwnd;
        self.state = CaState::Loss;
        self.credit = 0;
        self.cubic.reset();
    }

    /// A round trip was measured: slow start may end by it.
    pub(super) fn measured(&mut self, now: Instant, sample: Sample) {
        if self.cubic.measured(now, self.in_slow_start(), sample) {
            self.ssthresh = self.cwnd;
        }
    }

    /// Data leaves for the first time after nothing was on its way for `idle`.
    pub fn tx_start(&mut self, now: Instant, idle: Duration) {
        self.cubic.idled(now, idle);
    }

    /// Before the first loss (`tcp_in_initial_slowstart`).
    pub fn in_initial_slow_start(&self) -> bool {
        self.ssthresh >= TCP_INFINITE_SSTHRESH
    }

    /// The reduction was needless (`tcp_reno_undo_cwnd`).
    pub fn undo(&mut self, prior_ssthresh: u32) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
        self.ssthresh = self.ssthresh.max(prior_ssthresh);
    }

    /// After idling for `idle`, halve once per timeout down to the initial window
    /// (`tcp_slow_start_after_idle`; RFC 9293 via RFC 5681, 4.1).
    pub fn restart(&mut self, mut idle: Duration, rto: Duration, init_cwnd: u32) {
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        let floor = init_cwnd.min(self.cwnd);
        while idle > rto && self.cwnd > floor {
            self.cwnd /= 2;
            idle -= rto;
        }
        self.cwnd = self.cwnd.max(floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_start_doubles_and_a_loss_leaves_seven_tenths() {
        let mut c = Congestion::new(10);
        c.grow(Instant::ZERO, 10);
        assert_eq!(c.cwnd, 20);
        c.init_cwnd_reduction();
        assert_eq!((c.cwnd, c.ssthresh), (20, 14));
        // RFC 6937: after ten arrivals of twenty, seven may have left.
        c.state = CaState::Recovery;
        c.cwnd_reduction(19, 1, true, false);
        assert_eq!(c.cwnd, 20);
        c.sent(1);
        c.cwnd_reduction(15, 9, false, false);
        assert_eq!(c.cwnd, 15 + 6);
        c.undo(u32::MAX);
        assert_eq!((c.cwnd, c.ssthresh), (21, u32::MAX));
    }

    #[test]
    fn cubic_comes_back_to_its_old_height_after_k() {
        let mut c = Congestion::new(100);
        c.init_cwnd_reduction();
        c.cwnd = c.ssthresh;
        // K = cbrt(30 / 0.4) = 4.2 s.
        let rtt = Duration::from_millis(100);
        let mut now = Instant::ZERO;
        for _ in 0..42 {
            c.grow(now, c.cwnd);
            now = now + rtt;
        }
        assert!((96..=103).contains(&c.cwnd), "{}", c.cwnd);
    }
}
