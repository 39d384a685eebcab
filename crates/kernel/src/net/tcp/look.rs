//! How a connection looks from outside: `tcp_poll` (T-39…T-46) and `tcp_get_info`.
//! Neighbours: `state` (what is looked at), the socket room (who asks).

use super::chrono::Chrono;
use super::congestion::CaState;
use super::fact::Ready;
use super::state::{TcpConn, TcpState, Urgent};
use super::stats::Stats;
use super::timer::Pending;
use crate::time::{Duration, Instant};

/// What TCP_INFO, SIOCINQ, SIOCOUTQ and /proc/net/tcp want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpInfo {
    /// `tcpi_state`: the socket's own state, CLOSE when only a mini-socket lives.
    pub state: TcpState,
    /// Received and unread bytes (SIOCINQ).
    pub unread: u32,
    /// Written and unacknowledged (SIOCOUTQ); our FIN counts, and what was never acknowledged does
    /// to the end.
    pub unacked: u32,
    /// Written and unsent (SIOCOUTQNSD), likewise.
    pub unsent: u32,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Its variance.
    pub rttvar: Duration,
    /// Segments in a row that timed out.
    pub retransmits: u32,
    /// Probes in a row without an answer.
    pub probes: u32,
    /// How often the timeout was doubled.
    pub backoff: u32,
    /// Congestion window in segments.
    pub snd_cwnd: u32,
    /// Slow start threshold in segments.
    pub snd_ssthresh: u32,
    /// Payload bytes in a full segment.
    pub snd_mss: u32,
    /// The segment size that we advertised.
    pub advmss: u32,
    /// Segments in flight.
    pub packets_out: u32,
    /// Of these: reported by SACK, taken for lost, sent again.
    pub sacked_out: u32,
    /// See `sacked_out`.
    pub lost_out: u32,
    /// See `sacked_out`.
    pub retrans_out: u32,
    /// Segments that were ever sent again.
    pub total_retrans: u32,
    /// `tcpi_options`: what was agreed, timestamps 1, SACK 2, window scaling 4,
    /// ECN 8, and 16 when it was seen.
    pub options: u8,
    /// Both sides' window scales.
    pub wscale: [u8; 2],
    /// The delay of acknowledgments.
    pub ato: Duration,
    /// The size of the other side's segments, as seen.
    pub rcv_mss: u32,
    /// How far the window that we offer has opened.
    pub rcv_ssthresh: u32,
    /// What the program reads in a round trip.
    pub rcv_space: u32,
    /// When data was last sent, when data and when anything was last received.
    pub last: [Instant; 3],
    /// The MTU of the path.
    pub pmtu: u32,
    /// Size of the receive buffer (SO_RCVBUF).
    pub rcvbuf: u32,
    /// Size of the send buffer (SO_SNDBUF).
    pub sndbuf: u32,
    /// What was counted.
    pub stats: Stats,
    /// The state of loss recovery, as Linux numbers it.
    pub ca_state: u8,
    /// After so many later segments one is taken for lost.
    pub reordering: u32,
    /// How fast the congestion window would let data go, in bytes a second.
    pub pacing_rate: u64,
    /// The shortest round trip, if one was measured.
    pub min_rtt: Option<Duration>,
    /// What kept it busy.
    pub chrono: Chrono,
    /// The other side's window, and ours.
    pub wnd: [u32; 2],
}

/// A line of /proc/net/tcp but for names: `get_tcp4_sock`, `get_timewait4_sock`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcTcp {
    /// The state on the wire.
    pub state: TcpState,
    /// Written and unacknowledged; a FIN counts.
    pub tx_queue: u32,
    /// Received and unread; a FIN counts.
    pub rx_queue: u32,
    /// What the timer is for (0 none, 1 retransmission, 2 keepalive, 3 TIME_WAIT, 4 window probe)
    /// and when it fires.
    pub timer: (u8, Option<Instant>),
    /// `icsk_retransmits`.
    pub retransmits: u32,
    /// `icsk_probes_out`.
    pub probes: u32,
    /// The rest, which a mini-socket has not.
    pub full: Option<ProcTcpFull>,
}

/// What only a full socket has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcTcpFull {
    /// Retransmission timeout.
    pub rto: Duration,
    /// Delay of acknowledgments.
    pub ato: Duration,
    /// Quick acknowledgments left, and whether delaying pays.
    pub quick_pingpong: u32,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Slow start threshold; `None` before the first loss.
    pub ssthresh: Option<u32>,
}

impl TcpConn {
    /// `tcp_inq_hint`: what is left to read; 1 when only the end is.
    pub fn inq_hint(&self) -> u32 {
        self.rcv.nxt.since(self.rcv.copied).max(self.done.into())
    }

    /// What /proc/net/tcp shows.
    pub fn proc_line(&self) -> ProcTcp {
        let (state, timer) = (self.wire_state(), self.proc_timer());
        if self.mini.is_some() {
            let (tx_queue, rx_queue, retransmits, probes) = (0, 0, 0, 0);
            return ProcTcp { state, tx_queue, rx_queue, timer, retransmits, probes, full: None };
        }
        ProcTcp {
            state,
            tx_queue: self.snd.purged.0 + self.snd.write_seq.since(self.snd.una),
            rx_queue: self.rcv.nxt.saturating_since(self.rcv.copied),
            timer,
            retransmits: self.timers.retransmits,
            probes: self.timers.probes_out,
            full: Some(ProcTcpFull {
                rto: self.rtt.rto(),
                ato: self.rcv.ack.ato,
                quick_pingpong: self.rcv.ack.quick << 1 | u32::from(self.rcv.ack.pingpong),
                cwnd: self.cc.cwnd,
                ssthresh: Some(self.cc.ssthresh).filter(|_| !self.cc.in_initial_slow_start()),
            }),
        }
    }

    /// `tcp_poll`. The caller adds what depends on the socket and not on the connection.
    pub fn poll(&self) -> Ready {
        let mut ready = Ready::NONE;
        if (self.shut_rd && self.shut_wr) || self.state == TcpState::Close {
            ready |= Ready::HUP;
        }
        if self.shut_rd {
            ready |= Ready::IN | Ready::RDHUP;
        }
        if !matches!(self.state, TcpState::SynSent | TcpState::SynRecv) {
            if self.stream_is_readable() {
                ready |= Ready::IN;
            }
            if self.shut_wr || self.is_writeable() {
                ready |= Ready::OUT;
            }
            if matches!(self.rcv.urgent, Urgent::Valid(..)) {
                ready |= Ready::PRI;
            }
        }
        if self.err.is_some() {
            ready |= Ready::ERR;
        }
        ready
    }

    fn stream_is_readable(&self) -> bool {
        let mut target = self.config.rcvlowat.max(1);
        if !self.config.oob_inline && self.rcv.urgent.seq() == Some(self.rcv.copied) {
            target += 1;
        }
        self.unread() >= target
    }

    /// `tcp_inq`: bytes that one read could give; it stops before an urgent byte that is not in
    /// line (measured).
    pub fn inq(&self) -> u32 {
        match self.rcv.urgent.seq() {
            Some(at)
                if !self.config.oob_inline
                    && !at.before(self.rcv.copied)
                    && at.before(self.rcv.copied + self.unread()) =>
            {
                at.since(self.rcv.copied)
            }
            Some(_) | None => self.unread(),
        }
    }

    /// The timer that /proc/net/tcp shows (`get_tcp4_sock`, `get_timewait4_sock`): its number there,
    /// and when it fires.
    fn proc_timer(&self) -> (u8, Option<Instant>) {
        match (&self.mini, self.timers.pending, self.timers.keepalive) {
            (Some(mini), _, _) => (3, Some(mini.deadline())),
            (None, Some(Pending::Rto | Pending::LossProbe | Pending::Reorder), _) => {
                (1, Some(self.timers.at))
            }
            (None, Some(Pending::Probe0), _) => (4, Some(self.timers.at)),
            (None, None, Some(at)) => (2, Some(at)),
            (None, None, None) => (0, None),
        }
    }

    /// TCP_INFO and the queue ioctls.
    pub fn info(&self) -> TcpInfo {
        let (una, nxt) = self.snd.purged;
        let unacked = una + self.snd.write_seq.since(self.snd.una);
        let unsent = nxt + self.snd.write_seq.saturating_since(self.snd.nxt);
        let quiet = matches!(self.state, TcpState::SynSent | TcpState::SynRecv);
        TcpInfo {
            state: self.state,
            unread: self.inq(),
            unacked: if quiet { 0 } else { unacked },
            unsent: if quiet { 0 } else { unsent },
            rto: self.rtt.rto(),
            rtt: self.rtt.srtt().unwrap_or_default(),
            rttvar: self.rtt.var(),
            retransmits: self.timers.retransmits,
            probes: self.timers.probes_out,
            backoff: self.timers.backoff,
            snd_cwnd: self.cc.cwnd,
            snd_ssthresh: self.cc.ssthresh,
            snd_mss: self.mss_cache(),
            advmss: self.config.advertised_mss() - if self.agreed.timestamps { 12 } else { 0 },
            packets_out: self.snd.flight.packets_out(),
            sacked_out: self.snd.flight.sacked_out(),
            lost_out: self.snd.flight.lost_out(),
            retrans_out: self.snd.flight.retrans_out(),
            total_retrans: self.snd.total_retrans,
            options: u8::from(self.agreed.timestamps)
                | u8::from(self.agreed.sack) << 1
                | u8::from(self.agreed.wscale) << 2
                | u8::from(self.agreed.ecn) << 3
                | u8::from(self.ecn.seen) << 4,
            wscale: [self.snd.wscale, if self.agreed.wscale { self.rcv.window.shift } else { 0 }],
            ato: self.rcv.ack.ato,
            rcv_mss: self.rcv.window.rcv_mss,
            rcv_ssthresh: self.rcv.window.ssthresh,
            rcv_space: self.rcv.window.space.0,
            last: [self.snd.last, self.rcv.ack.last, self.rcv.heard],
            pmtu: self.config.pmtu(),
            rcvbuf: self.rcv.window.rcvbuf,
            sndbuf: self.snd.sndbuf,
            stats: self.stats,
            ca_state: match self.cc.state {
                CaState::Open => 0,
                CaState::Disorder => 1,
                CaState::Cwr => 2,
                CaState::Recovery => 3,
                CaState::Loss => 4,
            },
            reordering: self.recovery.reordering,
            pacing_rate: self.pacing_rate(),
            min_rtt: self.rtt.min(),
            chrono: self.chrono,
            wnd: [self.snd.wnd, self.rcv.window.wnd],
        }
    }
}
