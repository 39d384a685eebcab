//! The round-trip time and the retransmission timeout that follows from it: RFC 6298, with Linux's
//! floor (`tcp_rto_min`) under the variance instead of under the sum, so that the timeout is never
//! shorter than the smoothed time plus 200 ms. It is a whole number of timer ticks.

use super::config::{TCP_TIMEOUT_INIT, TcpConfig, whole_ticks};
use crate::time::Duration;

/// Smoothed round-trip time, its variance, and the backed-off timeout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rtt {
    srtt: Option<Duration>,
    var: Duration,
    rto: Duration,
    min: Duration,
}

impl Default for Rtt {
    fn default() -> Rtt {
        Rtt { srtt: None, var: Duration::ZERO, rto: TCP_TIMEOUT_INIT, min: Duration::MAX }
    }
}

impl Rtt {
    /// Takes in the time between a segment that was sent once and its acknowledgment (Karn's rule
    /// is the caller's).
    pub fn sample(&mut self, m: Duration, config: &TcpConfig) {
        self.min = self.min.min(m);
        match self.srtt {
            None => {
                self.srtt = Some(m);
                self.var = m / 2;
            }
            Some(srtt) => {
                self.var = (self.var * 3 + m.abs_diff(srtt)) / 4;
                self.srtt = Some((srtt * 7 + m) / 8);
            }
        }
        self.set_rto(config);
    }

    /// The timeout from the present estimate: takes back any backoff.
    pub fn set_rto(&mut self, config: &TcpConfig) {
        self.rto = match self.srtt {
            None => TCP_TIMEOUT_INIT,
            Some(srtt) => {
                whole_ticks(srtt + (self.var * 4).max(config.rto_min)).min(config.rto_max)
            }
        };
    }

    /// Doubles the timeout, up to `tcp_rto_max` (RFC 6298, 5.5).
    pub fn back_off(&mut self, config: &TcpConfig) {
        self.rto = (self.rto * 2).min(config.rto_max);
    }

    /// The retransmission timeout, backed off as it is.
    pub fn rto(&self) -> Duration {
        self.rto
    }

    /// The smoothed round-trip time, when there was a measurement.
    pub fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    /// The shortest round trip ever measured.
    pub fn min(&self) -> Option<Duration> {
        self.srtt.map(|_| self.min)
    }

    /// The variance of the round-trip time (TCP_INFO).
    pub fn var(&self) -> Duration {
        self.var
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_the_smoothed_time_and_at_least_200_ms_more() {
        let c = TcpConfig::default();
        let mut rtt = Rtt::default();
        assert_eq!(rtt.rto(), Duration::from_secs(1));
        rtt.sample(Duration::from_millis(10), &c);
        assert_eq!(rtt.rto(), Duration::from_millis(212));
        rtt.back_off(&c);
        assert_eq!(rtt.rto(), Duration::from_millis(424));
        for _ in 0..20 {
            rtt.back_off(&c);
        }
        assert_eq!(rtt.rto(), Duration::from_secs(120));
        rtt.sample(Duration::from_millis(10), &c);
        assert_eq!(rtt.rto(), Duration::from_millis(212));
    }
}
