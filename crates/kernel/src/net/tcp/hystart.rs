//! HyStart: slow start ends before there is a loss, when acknowledgments come in a train as long as
//! half a round trip, or when round trips grow (Ha and Rhee, 2011; `hystart_update` in Linux's
//! tcp_cubic.c). A sender whose bursts are acknowledged at once goes on doubling: over 40 ms and without
//! a bottleneck 6.18 left slow start at windows of 1300 to 6000 segments (measured).
//! Neighbour: `cubic` (which measures, and keeps the shortest round trip).

use super::seq::Seq;
use crate::time::{Duration, Instant};

/// Below this window nothing is decided (`hystart_low_window`).
const LOW_WINDOW: u32 = 16;
/// Acknowledgments this close together are one train (`hystart_ack_delta_us`).
const ACK_DELTA: Duration = Duration::from_millis(2);
/// Round trips to be measured before their growth means anything.
const MIN_SAMPLES: u32 = 8;
/// By how much a round trip must have grown: an eighth, within these bounds.
const GROWTH: [Duration; 2] = [Duration::from_millis(4), Duration::from_millis(16)];

/// What is remembered of the round that is measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HyStart {
    /// It was decided.
    found: bool,
    /// The shortest round trip of this round.
    current: Duration,
    samples: u32,
    round_start: Instant,
    last_ack: Instant,
    /// The round ends when this is acknowledged.
    end: Option<Seq>,
}

impl Default for HyStart {
    fn default() -> HyStart {
        HyStart {
            found: false,
            current: Duration::MAX,
            samples: 0,
            round_start: Instant::ZERO,
            last_ack: Instant::ZERO,
            end: None,
        }
    }
}

/// What an acknowledgment that measured a round trip says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sample {
    /// The round trip of the last segment that it acknowledges.
    pub rtt: Duration,
    /// SND.UNA after it.
    pub una: Seq,
    /// SND.NXT.
    pub nxt: Seq,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// How long a burst may take at the pace of the window (`hystart_ack_delay`).
    pub burst: Duration,
}

impl HyStart {
    /// In slow start: true when it is to end here. `least`: the shortest round trip ever.
    pub fn update(&mut self, now: Instant, least: Duration, sample: Sample) -> bool {
        if self.found {
            return false;
        }
        if self.end.is_none_or(|end| sample.una.after(end)) {
            (self.round_start, self.last_ack) = (now, now);
            self.end = Some(sample.nxt);
            (self.current, self.samples) = (Duration::MAX, 0);
        }
        if sample.cwnd < LOW_WINDOW {
            return false;
        }
        if now.saturating_since(self.last_ack) <= ACK_DELTA {
            self.last_ack = now;
            let train = now.saturating_since(self.round_start);
            self.found |= train > (least + sample.burst) / 2;
        }
        self.current = self.current.min(sample.rtt);
        if self.samples < MIN_SAMPLES {
            self.samples += 1;
        } else {
            let [low, high] = GROWTH;
            self.found |= self.current > least + (least / 8).clamp(low, high);
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(100);

    fn sample(rtt: u64, una: u32) -> Sample {
        let rtt = Duration::from_millis(rtt);
        Sample { rtt, una: Seq(una), nxt: Seq(una + 100), cwnd: 20, burst: Duration::ZERO }
    }

    #[test]
    fn a_train_of_half_a_round_trip_ends_slow_start() {
        let mut h = HyStart::default();
        let at = |ms: u64| Instant(ms * 1_000_000);
        assert!(!h.update(at(100), LEAST, sample(100, 1)));
        let done = (101..200).find(|ms| h.update(at(*ms), LEAST, sample(100, 2)));
        assert_eq!(done, Some(151));
    }

    #[test]
    fn more_than_eight_longer_round_trips_end_slow_start() {
        let mut h = HyStart::default();
        let at = |ms: u64| Instant(ms * 1_000_000);
        assert!(!h.update(at(100), LEAST, sample(100, 1)));
        let done = (0..20u32).find(|n| {
            let now = at(300 + 10 * u64::from(*n));
            h.update(now, LEAST, sample(140, 200 + n))
        });
        assert_eq!(done, Some(8));
    }
}
