//! When to acknowledge: at once while the other side is in slow start (quick acknowledgments), with
//! every second full segment, otherwise delayed by 40 to 200 ms in the hope of riding on data
//! (RFC 9293, 3.8.6.3; Linux's `icsk_ack`).

use super::config::{TCP_ATO_MIN, TCP_DELACK_MAX, TICK};
use crate::time::{Duration, Instant};

/// Quick acknowledgments at the start of a connection and after a pause.
pub const TCP_MAX_QUICKACKS: u32 = 16;

/// The state of the delayed acknowledgment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DelayedAck {
    /// An acknowledgment is owed.
    pub scheduled: bool,
    /// It must not be delayed (`ICSK_ACK_NOW`).
    pub now: bool,
    /// What it acknowledges found no room: it offers no window (`ICSK_ACK_NOMEM`).
    pub nomem: bool,
    /// Small segments arrived since the last acknowledgment: acknowledge when they are read.
    pub pushed: u8,
    /// Quick acknowledgments left.
    pub quick: u32,
    /// The program answers what it gets: delay (interactive session).
    pub pingpong: bool,
    /// The present delay; zero before the first data.
    pub ato: Duration,
    /// When data last came.
    pub last: Instant,
    /// When the owed acknowledgment leaves at the latest.
    pub deadline: Option<Instant>,
}

impl DelayedAck {
    /// True when acknowledgments are not delayed.
    pub fn in_quickack_mode(&self) -> bool {
        self.quick > 0 && !self.pingpong
    }

    /// `tcp_enter_quickack_mode`, for at most so many.
    pub fn enter_quickack_mode(&mut self, rcv_wnd: u32, rcv_mss: u32, most: u32) {
        self.incr_quickack(rcv_wnd, rcv_mss, most);
        self.pingpong = false;
        self.ato = TCP_ATO_MIN;
    }

    fn incr_quickack(&mut self, rcv_wnd: u32, rcv_mss: u32, most: u32) {
        let acks = match rcv_wnd / (2 * rcv_mss.max(1)) {
            0 => 2, // less than two segments fit: for both
            acks => acks.min(most),
        };
        self.quick = self.quick.max(acks);
    }

    /// Data came (`tcp_event_data_recv`): adapts the delay to the pace of arrivals.
    pub fn data_received(&mut self, now: Instant, rcv_wnd: u32, rcv_mss: u32, rto: Duration) {
        self.scheduled = true;
        let pause = now.saturating_since(self.last);
        if self.ato.is_zero() {
            self.incr_quickack(rcv_wnd, rcv_mss, TCP_MAX_QUICKACKS);
            self.ato = TCP_ATO_MIN;
        } else if pause <= TCP_ATO_MIN / 2 {
            self.ato = self.ato / 2 + TCP_ATO_MIN / 2;
        } else if pause < self.ato {
            self.ato = (self.ato / 2 + pause).min(rto);
        } else if pause > rto {
            self.incr_quickack(rcv_wnd, rcv_mss, TCP_MAX_QUICKACKS);
        }
        self.last = now;
    }

    /// We sent data: an answer to what just came makes the session interactive.
    pub fn data_sent(&mut self, now: Instant) {
        if now.saturating_since(self.last) < self.ato {
            self.pingpong = true;
        }
    }

    /// An acknowledgment left.
    pub fn sent(&mut self) {
        // `tcp_dec_quickack_mode`: only one that was owed counts.
        if core::mem::take(&mut self.scheduled) && self.quick > 0 {
            self.quick -= 1;
            if self.quick == 0 {
                self.ato = TCP_ATO_MIN;
            }
        }
        self.now = false;
        self.nomem = false;
        self.pushed = 0;
        self.deadline = None;
    }

    /// `tcp_send_delayed_ack`: arms the timer. Returns true if waiting makes no sense because the
    /// old deadline is about to pass.
    pub fn delay(&mut self, now: Instant, srtt: Option<Duration>) -> bool {
        self.scheduled = true;
        // Before the first data there is no estimate: the next tick (a FIN on a connection that
        // never received data was acknowledged after 2.5 ms, after data 40 ms; measured).
        let mut ato = if self.ato.is_zero() { TICK } else { self.ato };
        if ato > TCP_ATO_MIN {
            let most = if self.pingpong || self.pushed > 0 {
                TCP_DELACK_MAX
            } else {
                Duration::from_millis(500)
            };
            let most = srtt.map_or(most, |rtt| most.min(rtt.max(TCP_ATO_MIN)));
            ato = ato.min(most);
        }
        let at = now + ato.min(TCP_DELACK_MAX);
        if let Some(old) = self.deadline {
            if old <= now + ato / 4 {
                return true;
            }
            self.deadline = Some(old.min(at));
        } else {
            self.deadline = Some(at);
        }
        false
    }

    /// The timer fired: the guess was wrong, so delay longer or stop being interactive.
    pub fn timed_out(&mut self, rto: Duration) {
        self.deadline = None;
        if self.pingpong {
            self.pingpong = false;
            self.ato = TCP_ATO_MIN;
        } else {
            self.ato = (self.ato * 2).min(rto);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segments_are_acknowledged_at_once_then_delayed_by_40_ms() {
        let mut d = DelayedAck::default();
        let now = Instant(1);
        d.data_received(now, 64_240, 1448, Duration::from_secs(1));
        assert!(d.in_quickack_mode());
        d.sent();
        d.sent(); // with data of ours, when none was owed
        for _ in 0..15 {
            assert!(d.in_quickack_mode());
            d.scheduled = true;
            d.sent();
        }
        assert!(!d.in_quickack_mode());
        assert!(!d.delay(now, None));
        assert_eq!(d.deadline, Some(now + Duration::from_millis(40)));
    }
}
