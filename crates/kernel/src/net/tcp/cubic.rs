//! CUBIC (RFC 9438), Linux's default: after slow start the window comes back to its old height along
//! a cubic curve, and goes on beyond it. Integers and units are Linux's, for they decide at which
//! acknowledgment the window opens: time in 1/1024 s, taken from timer ticks; C = 0.4, beta = 717/1024.
//! Neighbours: `congestion` (the window), `hystart` (the end of slow start).

use super::config::{TICK, jiffies};
use super::hystart::{HyStart, Sample};
use crate::time::{Duration, Instant};

/// C times 1024, for the round trip of 100 ms for which it was chosen.
const C_SCALED: u64 = 410;
/// Timer ticks in a second.
const HZ: u64 = 250;
/// A window that did not change is not looked at again for so many ticks (1/32 s).
const LOOK_AGAIN: u64 = HZ / 32;
/// Where the old height is unknown, a segment at least for so many acknowledged ones.
const UNKNOWN: u32 = 20;

/// What is remembered of the path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Cubic {
    /// The window before the last reduction, or a little less; 0 when none is known.
    w_max: u32,
    /// The tick at which the present growth began.
    epoch: Option<u64>,
    /// Time from the epoch until the window reaches `origin`, in 1/1024 s.
    k: u64,
    origin: u32,
    /// The window that Reno would have, and what was acknowledged towards its next segment.
    reno: u32,
    reno_credit: u32,
    /// So many acknowledged segments make room for one more.
    per_segment: u32,
    /// The window and the tick when that was computed.
    looked: (u32, u64),
    /// The shortest round trip.
    delay_min: Option<Duration>,
    hystart: HyStart,
}

impl Cubic {
    /// Beyond slow start: how many acknowledged segments one more segment of window costs
    /// (`bictcp_update`; RFC 9438, 4.2–4.5).
    pub fn update(&mut self, now: Instant, cwnd: u32, acked: u32) -> u32 {
        let tick = jiffies(now);
        self.reno_credit += acked;
        if self.looked.0 == cwnd && tick.saturating_sub(self.looked.1) <= LOOK_AGAIN {
            return self.per_segment;
        }
        // At most once a tick; Reno may be faster all the same.
        if self.epoch.is_none() || tick != self.looked.1 {
            self.looked = (cwnd, tick);
            self.per_segment = self.curve(tick, cwnd, acked);
        }
        self.per_segment = self.per_segment.min(self.as_reno(cwnd)).max(2);
        self.per_segment
    }

    fn curve(&mut self, tick: u64, cwnd: u32, acked: u32) -> u32 {
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => {
                self.epoch = Some(tick);
                self.reno_credit = acked;
                self.reno = cwnd;
                self.origin = self.w_max.max(cwnd);
                let gap = u64::from(self.origin - cwnd);
                self.k = cube_root((1 << 40) / C_SCALED * gap);
                tick
            }
        };
        let delay = self.delay_min.unwrap_or_default().as_nanos().div_ceil(TICK.as_nanos());
        let t = ((tick - epoch + delay as u64) << 10) / HZ;
        let offset = u128::from(t.abs_diff(self.k));
        let delta = (u128::from(C_SCALED) * offset * offset * offset) >> 40;
        let delta = u32::try_from(delta).unwrap_or(u32::MAX);
        let target = match t < self.k {
            true => self.origin.saturating_sub(delta),
            false => self.origin.saturating_add(delta),
        };
        let cost = if target > cwnd { cwnd / (target - cwnd) } else { cwnd.saturating_mul(100) };
        // The curve is too flat at its beginning while nothing is known of the path.
        if self.w_max == 0 { cost.min(UNKNOWN) } else { cost }
    }

    /// Reno with CUBIC's reduction grows by 8/15 of a segment a round trip (RFC 9438, 4.3).
    fn as_reno(&mut self, cwnd: u32) -> u32 {
        let round = (u64::from(cwnd) * 15 / 8) as u32;
        while self.reno_credit > round {
            self.reno_credit -= round;
            self.reno += 1;
        }
        cwnd.checked_div(self.reno.saturating_sub(cwnd)).unwrap_or(u32::MAX)
    }

    /// The threshold after a loss: 0.7 of the window (RFC 9438, 4.6), and fast convergence (4.7): give
    /// way when the window did not reach its old height.
    pub fn reduced(&mut self, cwnd: u32) -> u32 {
        self.epoch = None;
        self.w_max = if cwnd < self.w_max { cwnd * (1024 + 717) / 2048 } else { cwnd };
        (cwnd * 717 / 1024).max(2)
    }

    /// `bictcp_reset`: after a timeout the memory is of a path that is no more.
    pub fn reset(&mut self) {
        *self = Cubic::default();
    }

    /// `CA_EVENT_TX_START`: it sends again after nothing was on its way for `idle`. The curve stands
    /// still meanwhile.
    pub fn idled(&mut self, now: Instant, idle: Duration) {
        let now = jiffies(now);
        let idle = (idle.as_nanos() / TICK.as_nanos()) as u64;
        self.epoch = self.epoch.map(|epoch| (epoch + idle).min(now));
    }

    /// `cubictcp_acked`: a round trip was measured. True when slow start is to end here. Round trips
    /// of the second after a reduction say nothing.
    pub fn measured(&mut self, now: Instant, slow_start: bool, sample: Sample) -> bool {
        if self.epoch.is_some_and(|epoch| jiffies(now) - epoch < HZ) {
            return false;
        }
        let rtt = sample.rtt.max(Duration::from_micros(1));
        let least = self.delay_min.map_or(rtt, |least| least.min(rtt));
        self.delay_min = Some(least);
        slow_start && self.hystart.update(now, least, sample)
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
    fn cube_roots_are_exact() {
        assert_eq!(cube_root(27_000), 30);
        assert_eq!(cube_root(26_999), 29);
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }

    #[test]
    fn a_window_of_unknown_height_grows_by_a_segment_for_twenty() {
        // packetdrill's cubic-rto-ss-ca-cwnd-bump: after a timeout nothing is known.
        let mut c = Cubic::default();
        assert_eq!(c.update(Instant(1_000_000_000), 7, 1), 20);
        assert_eq!(c.reduced(7), 4);
        assert!(c.update(Instant(2_000_000_000), 7, 1) > 20);
    }

    #[test]
    fn what_idles_does_not_climb_the_curve() {
        let at = |ms: u64| Instant(ms * 1_000_000);
        let mut idle = Cubic::default();
        idle.reduced(100);
        let mut busy = idle.clone();
        idle.update(at(1000), 70, 1);
        busy.update(at(1000), 70, 1);
        idle.idled(at(9000), Duration::from_secs(8));
        assert!(idle.update(at(9100), 70, 1) > busy.update(at(9100), 70, 1));
    }
}
