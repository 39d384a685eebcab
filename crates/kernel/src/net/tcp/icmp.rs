//! ICMP errors about segments of a connection (`tcp_v4_err`, `tcp_v6_err`; T-49): what they end, and
//! what they only say about the path. Neighbours: `timer`, whose backing off they may take back;
//! `conn`, which finds the connection.

use super::fact::{Output, Ready};
use super::seq::Seq;
use super::state::{TcpConn, TcpState};
use super::timer::Pending;
use crate::abi::Errno;
use crate::time::{Duration, Instant};

impl TcpConn {
    /// Is what the ICMP error quotes in flight? Another was made up, or is of an old connection
    /// (`LINUX_MIB_OUTOFWINDOWICMPS`; RFC 5927, 4.1).
    pub fn in_flight_at(&self, seq: Seq) -> bool {
        !seq.before(self.snd.una) && !seq.after(self.snd.nxt)
    }

    /// An ICMP unreachable came for this connection (T-49): fatal in SYN_SENT and SYN_RECV, later
    /// only remembered for the case of a timeout.
    pub fn unreachable(&mut self, errno: Errno, out: &mut Output) {
        match self.state {
            TcpState::SynSent | TcpState::SynRecv => {
                self.err = Some(errno);
                out.wake |= Ready::ERR;
                out.bell.error = true;
                self.tcp_done(out);
            }
            TcpState::Close | TcpState::Listen | TcpState::TimeWait => {}
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Closing => self.soft_err = Some(errno),
        }
    }

    /// `tcp_ld_RTO_revert` (RFC 6069): the segment that was sent again did not get lost in a crowd,
    /// its way is not there: one doubling of the timeout is taken back, and if that time is over
    /// already the segment is sent at once.
    pub fn ld_rto_revert(&mut self, now: Instant, seq: Seq, out: &mut Output) {
        let synchronized = !matches!(
            self.state,
            TcpState::SynSent | TcpState::SynRecv | TcpState::Close | TcpState::Listen
        );
        let again = seq == self.snd.una && self.timers.retransmits > 0 && self.timers.backoff > 0;
        let Some(head) = self.snd.flight.front().filter(|_| again && synchronized) else { return };
        let since = head.at;
        self.timers.backoff -= 1;
        self.rtt.set_rto(&self.config);
        for _ in 0..self.timers.backoff {
            self.rtt.back_off(&self.config);
        }
        let left = self.rtt.rto().saturating_sub(now.saturating_since(since));
        if left > Duration::ZERO {
            self.arm(Pending::Rto, now + left);
        } else {
            self.retransmit_timer(now, out);
        }
    }
}
