//! The congestion window: slow start and CUBIC (RFC 9438), Linux's default, in whole segments and
//! integer arithmetic. Unlike Linux there is no HyStart, no proportional rate reduction and no undo
//! of spurious reductions.

use super::seq::Seq;
use crate::time::{Duration, Instant};

/// What the loss recovery is doing (`icsk_ca_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CaState {
    /// Nothing is missing.
    #[default]
    Open,
    /// Fast retransmission until `high` is acknowledged (RFC 6675).
    Recovery {
        /// What was sent when the loss was found.
        high: Seq,
    },
    /// After a retransmission timeout, until `high` is acknowledged.
    Loss {
        /// What was sent when the timer fired.
        high: Seq,
    },
}

/// Congestion window and the memory of CUBIC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Congestion {
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Slow start threshold in segments.
    pub ssthresh: u32,
    /// The state of loss recovery.
    pub state: CaState,
    /// cwnd before the last reduction.
    w_max: u32,
    /// When the present growth began.
    epoch: Option<Instant>,
    /// Time from the epoch until cwnd reaches `origin` again, in ms.
    k: u64,
    origin: u32,
    /// What Reno would have, in thousandths of a segment.
    w_est: u64,
    /// Acknowledged segments not yet turned into growth.
    credit: u32,
}

impl Congestion {
    /// At the start of a connection.
    pub fn new(init_cwnd: u32) -> Congestion {
        Congestion {
            cwnd: init_cwnd,
            ssthresh: u32::MAX,
            state: CaState::Open,
            w_max: 0,
            epoch: None,
            k: 0,
            origin: 0,
            w_est: 0,
            credit: 0,
        }
    }

    /// True below the threshold.
    pub fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// `acked` segments were acknowledged while the window was in full use.
    pub fn grow(&mut self, now: Instant, mut acked: u32, srtt: Duration) {
        if self.in_slow_start() {
            let room = (self.ssthresh - self.cwnd).min(acked);
            self.cwnd += room;
            acked -= room;
        }
        if acked == 0 {
            return;
        }
        let per_segment = self.cubic(now, acked, srtt);
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

    /// How many acknowledged segments one more segment of window costs (RFC 9438, 4.2–4.5).
    fn cubic(&mut self, now: Instant, acked: u32, srtt: Duration) -> u32 {
        let cwnd = u64::from(self.cwnd);
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => {
                self.epoch = Some(now);
                self.w_est = cwnd * 1000;
                self.credit = 0;
                let gap = self.w_max.saturating_sub(self.cwnd);
                self.origin = self.w_max.max(self.cwnd);
                // K = cbrt(gap / 0.4) in seconds; in ms under the root: gap * 10^9 / 0.4.
                self.k = cube_root(u64::from(gap) * 2_500_000_000);
                now
            }
        };
        let t = (now + srtt).saturating_since(epoch).as_millis() as u64;
        let d = u128::from(t.abs_diff(self.k));
        let delta = u64::try_from(d * d * d * 4 / 10_000_000_000).unwrap_or(u64::MAX);
        let origin = u64::from(self.origin);
        let target =
            if t < self.k { origin.saturating_sub(delta) } else { origin.saturating_add(delta) };
        // Reno-friendly region: 3(1-b)/(1+b) = 0.529 segments per window with b = 0.7.
        self.w_est += 529 * u64::from(acked) / cwnd.max(1);
        let target = target.max(self.w_est / 1000).min(cwnd + cwnd / 2);
        if target > cwnd {
            (cwnd / (target - cwnd)).clamp(2, u64::from(u32::MAX)) as u32
        } else {
            (100 * cwnd).min(u64::from(u32::MAX)) as u32
        }
    }

    /// Multiplicative decrease: the new threshold, at 0.7 of the window (RFC 9438, 4.6, 4.7).
    fn reduce(&mut self) {
        self.epoch = None;
        // Fast convergence: give way when the window did not reach its old height.
        self.w_max = if self.cwnd < self.w_max { self.cwnd * 17 / 20 } else { self.cwnd };
        self.ssthresh = (self.cwnd * 7 / 10).max(2);
    }

    /// Loss found by duplicate acknowledgments.
    pub fn enter_recovery(&mut self, high: Seq) {
        self.reduce();
        self.cwnd = self.ssthresh;
        self.state = CaState::Recovery { high };
    }

    /// Loss found by the retransmission timer: down to one segment.
    pub fn enter_loss(&mut self, high: Seq) {
        if !matches!(self.state, CaState::Loss { .. }) {
            self.reduce();
        }
        self.cwnd = 1;
        self.state = CaState::Loss { high };
    }

    /// Ends recovery once everything sent before the loss is acknowledged.
    pub fn acked(&mut self, una: Seq) {
        match self.state {
            CaState::Open => {}
            CaState::Recovery { high } => {
                if !una.before(high) {
                    self.cwnd = self.ssthresh;
                    self.state = CaState::Open;
                }
            }
            CaState::Loss { high } => {
                if !una.before(high) {
                    self.state = CaState::Open;
                }
            }
        }
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
        self.epoch = None;
    }
}

/// The integer cube root, by bisection.
fn cube_root(n: u64) -> u64 {
    let (mut low, mut high) = (0u64, 2_642_245);
    while low < high {
        let mid = (low + high).div_ceil(2);
        if mid * mid * mid <= n { low = mid } else { high = mid - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_start_doubles_and_a_loss_leaves_seven_tenths() {
        let mut c = Congestion::new(10);
        c.grow(Instant::ZERO, 10, Duration::ZERO);
        assert_eq!(c.cwnd, 20);
        c.enter_recovery(Seq(5));
        assert_eq!((c.cwnd, c.ssthresh), (14, 14));
        c.acked(Seq(5));
        assert_eq!(c.state, CaState::Open);
    }

    #[test]
    fn cubic_comes_back_to_its_old_height_after_k() {
        let mut c = Congestion::new(100);
        c.enter_recovery(Seq(0));
        c.acked(Seq(0));
        // K = cbrt(30 / 0.4) = 4.2 s.
        let rtt = Duration::from_millis(100);
        let mut now = Instant::ZERO;
        for _ in 0..42 {
            c.grow(now, c.cwnd, rtt);
            now = now + rtt;
        }
        assert!((96..=103).contains(&c.cwnd), "{}", c.cwnd);
    }

    #[test]
    fn cube_roots_are_exact() {
        assert_eq!(cube_root(27_000), 30);
        assert_eq!(cube_root(26_999), 29);
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }
}
