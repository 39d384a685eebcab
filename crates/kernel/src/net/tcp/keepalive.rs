//! Keepalive: is the other side still there? T-54…T-58; RFC 9293, 3.8.4. Linux's keepalive timer also
//! ends the FIN_WAIT2 of an orphan that is still a full socket (T-24).

use super::fact::{GaveUp, Output, ResetWhy, TcpFact};
use super::state::{TcpConn, TcpState};
use crate::time::{Duration, Instant};

impl TcpConn {
    /// After the handshake: a whole TCP_KEEPIDLE from now on.
    pub(super) fn start_keepalive(&mut self, now: Instant) {
        if self.keeps_alive() {
            self.timers.keepalive = Some(now + self.config.keepidle);
        }
    }

    /// `tcp_set_keepalive`: SO_KEEPALIVE on a living connection. Switched on, it waits a whole
    /// TCP_KEEPIDLE from now on, however long the silence is already (T-58, measured).
    pub fn set_keepalive(&mut self, now: Instant, on: bool) {
        self.config.keepalive = on;
        if self.keeps_alive() {
            self.timers.keepalive = Some(now + self.config.keepidle);
        } else if !on && !self.orphan {
            self.timers.keepalive = None;
        }
    }

    /// `tcp_sock_set_keepidle_locked`: TCP_KEEPIDLE on a living connection counts from what was last
    /// heard (T-58).
    pub fn set_keepidle(&mut self, now: Instant, time: Duration) {
        self.config.keepidle = time;
        if self.keeps_alive() {
            let idle = now.saturating_since(self.idle_since());
            self.timers.keepalive = Some(now + time.saturating_sub(idle));
        }
    }

    fn keeps_alive(&self) -> bool {
        self.config.keepalive
            && !self.orphan
            && match self.state {
                TcpState::Close | TcpState::Listen | TcpState::TimeWait => false,
                // The handshake's end starts it.
                TcpState::SynSent => false,
                TcpState::SynRecv
                | TcpState::Established
                | TcpState::FinWait1
                | TcpState::FinWait2
                | TcpState::CloseWait
                | TcpState::LastAck
                | TcpState::Closing => true,
            }
    }

    fn idle_since(&self) -> Instant {
        self.rcv.heard.max(self.rcv.ack.last)
    }

    /// `tcp_keepalive_timer`.
    pub(super) fn keepalive_timer(&mut self, now: Instant, out: &mut Output) {
        if self.orphan && self.state == TcpState::FinWait2 {
            return self.orphan_fin_wait2_timer(now, out);
        }
        let dead = matches!(self.state, TcpState::Close | TcpState::SynSent);
        if !self.config.keepalive || dead {
            return;
        }
        // T-55: with data on the way the retransmission timer decides.
        if !self.snd.flight.is_empty() || self.has_send_head() {
            self.timers.keepalive = Some(now + self.config.keepidle);
            return;
        }
        let idle = now.saturating_since(self.idle_since());
        if idle < self.config.keepidle {
            self.timers.keepalive = Some(now + (self.config.keepidle - idle));
            return;
        }
        let out_of_patience = match self.config.user_timeout {
            // T-56.
            Some(limit) => idle >= limit && self.timers.probes_out > 0,
            None => self.timers.probes_out >= self.config.keepcnt,
        };
        if out_of_patience {
            self.tcp_send_active_reset(now, ResetWhy::KeepaliveTimeout, out);
            // T-57: silence under probes alone is ETIMEDOUT or the soft error.
            return self.tcp_write_err(now, GaveUp::Keepalive, idle, out);
        }
        out.fact(TcpFact::KeepaliveProbe { unanswered: self.timers.probes_out });
        self.xmit_probe(now, out);
        self.timers.probes_out += 1;
        self.timers.keepalive = Some(now + self.config.keepintvl);
    }
}
