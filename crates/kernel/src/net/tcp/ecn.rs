//! Explicit congestion notification (RFC 3168): a router marks what it would else have dropped, the
//! receiver echoes it until it hears that the sender slowed down. `tcp_ecn` 2, the default, takes it
//! from whoever asks and asks nobody. Unlike Linux there is no AccECN (`tcp_ecn` 3 to 5).
//! Neighbours: `output` and `request` (what is sent), `ack` and `receive` (what came), `recovery`.

use super::segment::{Flags, Segment};
use super::state::TcpConn;

/// The ECN field of an IP header (RFC 3168, 5): the sender speaks it; congestion was met.
pub const ECT_0: u8 = 2;
/// See [`ECT_0`].
pub const CE: u8 = 3;

/// How many acknowledgments leave at once when a mark is met or missed.
const QUICKACKS: u32 = 2;

/// What is to be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ecn {
    /// Congestion was met: ECE until CWR comes (`TCP_ECN_DEMAND_CWR`).
    demand_cwr: bool,
    /// We slowed down: CWR with the next new data (`TCP_ECN_QUEUE_CWR`).
    queue_cwr: bool,
    /// Packets that speak it came (`TCP_ECN_SEEN`).
    pub seen: bool,
}

/// `tcp_ecn_create_request`: does this SYN ask for it, and may it? One that asks for congestion to be
/// marked on itself is not of RFC 3168.
pub(super) fn asked_by(syn: &Segment, setting: u8) -> bool {
    setting > 0 && syn.has(Flags::ECE | Flags::CWR) && syn.ecn == 0
}

impl TcpConn {
    /// Our first SYN asks; sent again it does not, in case that asking is what is in the way
    /// (`tcp_ecn_fallback`).
    pub(super) fn ecn_send_syn(&self, flags: Flags) -> Flags {
        let asks = self.config.ecn == 1 && self.timers.retransmits == 0;
        let syn = flags.has(Flags::SYN) && !flags.has(Flags::ACK);
        if asks && syn { flags | Flags::ECE | Flags::CWR } else { flags }
    }

    /// `tcp_ecn_rcv_synack`.
    pub(super) fn ecn_rcv_synack(&mut self, s: &Segment) {
        self.agreed.ecn = self.config.ecn == 1 && s.has(Flags::ECE) && !s.has(Flags::CWR);
    }

    /// `tcp_ecn_send`: flags and ECN field of a segment. Only new data speaks it, and tells that we
    /// slowed down. `fresh`: it is new data.
    pub(super) fn ecn_send(&mut self, mut flags: Flags, fresh: bool) -> (Flags, u8) {
        if !self.agreed.ecn {
            return (flags, 0);
        }
        if fresh && core::mem::take(&mut self.ecn.queue_cwr) {
            flags = flags | Flags::CWR;
        }
        if self.ecn.demand_cwr {
            flags = flags | Flags::ECE;
        }
        (flags, if fresh { ECT_0 } else { 0 })
    }

    /// `tcp_ecn_accept_cwr`: the other side slowed down. Its window may be very small now, so data is
    /// acknowledged at once.
    pub(super) fn ecn_accept_cwr(&mut self, s: &Segment) {
        if s.has(Flags::CWR) && !s.has(Flags::SYN) {
            self.ecn.demand_cwr = false;
            self.rcv.ack.now |= s.seq_len() > 0;
        }
    }

    /// `tcp_data_ecn_check`: was congestion met on the way here?
    pub(super) fn data_ecn_check(&mut self, s: &Segment) {
        if !self.agreed.ecn {
            return;
        }
        let (wnd, mss) = (self.rcv.window.wnd, self.rcv.window.rcv_mss);
        match s.ecn {
            // Probably sent again.
            0 if self.ecn.seen => self.rcv.ack.enter_quickack_mode(wnd, mss, QUICKACKS),
            0 => {}
            CE => {
                if !self.ecn.demand_cwr {
                    self.rcv.ack.enter_quickack_mode(wnd, mss, QUICKACKS);
                    self.ecn.demand_cwr = true;
                }
                self.ecn.seen = true;
            }
            _ => self.ecn.seen = true,
        }
    }

    /// `tcp_ecn_rcv_ecn_echo`: did ours meet congestion?
    pub(super) fn ecn_echo(&self, s: &Segment) -> bool {
        self.agreed.ecn && s.has(Flags::ECE) && !s.has(Flags::SYN)
    }

    /// `tcp_ecn_queue_cwr`: the window comes down; the other side is to know.
    pub(super) fn ecn_queue_cwr(&mut self) {
        self.ecn.queue_cwr = self.agreed.ecn;
    }

    /// `tcp_ecn_withdraw_cwr`: it did not, after all.
    pub(super) fn ecn_withdraw_cwr(&mut self) {
        self.ecn.queue_cwr = false;
    }
}
