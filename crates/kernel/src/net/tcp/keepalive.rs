//! Keepalive: is the other side still there? T-54…T-58; RFC 9293, 3.8.4. Linux's keepalive timer also
//! ends the FIN_WAIT2 of an orphan that is still a full socket (T-24).

use super::fact::{GaveUp, Output, ResetWhy, TcpFact};
use super::state::{TcpConn, TcpState};
use crate::time::Instant;

impl TcpConn {
    /// Starts or restarts keepalive after the handshake or a change of its options (T-58).
    pub(super) fn start_keepalive(&mut self, now: Instant) {
        if self.orphan && self.state == TcpState::FinWait2 {
            return;
        }
        self.timers.keepalive = match self.state {
            TcpState::Close | TcpState::Listen | TcpState::TimeWait | TcpState::SynSent => None,
            _ if !self.config.keepalive => None,
            _ => {
                let idle = now.saturating_since(self.idle_since());
                Some(now + self.config.keepidle.saturating_sub(idle))
            }
        };
    }

    fn idle_since(&self) -> Instant {
        self.rcv.heard.max(self.rcv.ack.last)
    }

    /// SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT on a living connection: change them
    /// with `config_mut`, then call this.
    pub fn keepalive_changed(&mut self, now: Instant) {
        self.start_keepalive(now);
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
            return self.tcp_write_err(GaveUp::Keepalive, idle, out);
        }
        out.fact(TcpFact::KeepaliveProbe { unanswered: self.timers.probes_out });
        self.xmit_probe(now, out);
        self.timers.probes_out += 1;
        self.timers.keepalive = Some(now + self.config.keepintvl);
    }
}
