//! One half-open request: a SYN that was answered with a SYN-ACK (`request_sock`, `tcp_check_req`).
//! It becomes a full connection with the third segment of the handshake. T-35, T-36, T-52.

use super::config::{TCP_MSS_DEFAULT, TCP_TIMEOUT_INIT, TcpConfig};
use super::ecn;
use super::fact::{ChallengeWhy, DropWhy, Output, ReplyWhy, TcpFact};
use super::look::ProcTcp;
use super::options::{Options, Timestamps};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::{TcpConn, TcpState};
use super::window::Window;
use crate::time::{Duration, Instant};

/// A request in SYN_RECV.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    theirs: Options,
    /// They asked for ECN, and get it.
    ecn: bool,
    irs: Seq,
    iss: Seq,
    /// The window of our SYN-ACK.
    window: u32,
    shift: u8,
    ts_recent: u32,
    born: Instant,
    /// SYN-ACKs that timed out (`num_timeout`).
    pub(super) timeouts: u32,
    /// SYN-ACKs sent beyond the first.
    resent: u32,
    /// An ACK came, but nobody had room for it.
    acked: bool,
    /// The request queue was full: nothing is kept of this one but what the other side's ACK tells,
    /// so it is not counted, not asked again, and taken in as it is (`syncookies`).
    pub(super) cookie: bool,
    pub(super) deadline: Instant,
    last_oow: Option<Instant>,
}

/// What a segment did to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Checked {
    /// It stays as it is.
    Stay,
    /// It is gone.
    Dropped,
    /// The handshake is complete.
    Complete,
}

impl Request {
    /// What /proc/net/tcp shows: `get_openreq4`.
    pub fn proc_line(&self) -> ProcTcp {
        ProcTcp {
            state: TcpState::SynRecv,
            tx_queue: 0,
            rx_queue: 0,
            timer: (1, Some(self.deadline)),
            retransmits: self.timeouts,
            probes: 0,
            full: None,
        }
    }

    /// The number of its SYN-ACK.
    pub(super) fn iss(&self) -> Seq {
        self.iss
    }

    pub(super) fn new(config: &TcpConfig, now: Instant, iss: Seq, syn: &Segment) -> Request {
        let theirs = syn.options.clone();
        let ts = config.timestamps && theirs.timestamps.is_some();
        let mut window = Window::new(config);
        window.start_behind(config, ts);
        let shift = if theirs.wscale.is_some() { window.shift } else { 0 };
        Request {
            ts_recent: theirs.timestamps.map_or(0, |ts| ts.val),
            theirs,
            ecn: ecn::asked_by(syn, config.ecn),
            irs: syn.seq,
            iss,
            window: window.wnd,
            shift,
            born: now,
            timeouts: 0,
            resent: 0,
            acked: false,
            cookie: false,
            deadline: now + TCP_TIMEOUT_INIT,
            last_oow: None,
        }
    }

    /// The same as a cookie: it has room for one of four segment sizes, and the rest only in a
    /// timestamp; it is good until the second minute after this one begins.
    pub(super) fn cookie(config: &TcpConfig, now: Instant, iss: Seq, syn: &Segment) -> Request {
        const MSSTAB: [u16; 4] = [536, 1300, 1440, 1460];
        const MINUTE: u64 = 60_000_000_000;
        let mut syn = syn.clone();
        if !config.timestamps || syn.options.timestamps.is_none() {
            (syn.options.wscale, syn.options.sack_permitted) = (None, false);
        }
        let asked = syn.options.mss.unwrap_or(TCP_MSS_DEFAULT as u16);
        let kept = MSSTAB.into_iter().rfind(|mss| *mss <= asked);
        syn.options.mss = Some(kept.unwrap_or(MSSTAB[0]));
        let deadline = Instant((now.as_nanos() / MINUTE + 2) * MINUTE);
        Request { cookie: true, deadline, ..Request::new(config, now, iss, &syn) }
    }

    fn timestamps(&self, config: &TcpConfig, now: Instant) -> Option<Timestamps> {
        let clock = ((now.as_nanos() / 1_000_000) as u32).wrapping_add(config.ts_offset);
        (config.timestamps && self.theirs.timestamps.is_some())
            .then_some(Timestamps { val: clock, ecr: self.ts_recent })
    }

    /// `tcp_make_synack`: offers what the SYN offered and we can.
    pub(super) fn synack(&self, config: &TcpConfig, now: Instant) -> Segment {
        let wscale = config.window_scaling && self.theirs.wscale.is_some();
        Segment {
            seq: self.iss,
            ack: self.irs + 1,
            flags: Flags::SYN | Flags::ACK | if self.ecn { Flags::ECE } else { Flags(0) },
            window: self.window.min(65_535) as u16,
            options: Options {
                mss: Some(config.advertised_mss() as u16),
                wscale: wscale.then_some(self.shift),
                sack_permitted: config.sack && self.theirs.sack_permitted,
                timestamps: self.timestamps(config, now),
                sacks: Vec::new(),
            },
            ..Segment::default()
        }
    }

    fn ack(&self, config: &TcpConfig, now: Instant) -> Segment {
        Segment {
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: Flags::ACK,
            window: (self.window >> self.shift) as u16,
            options: Options { timestamps: self.timestamps(config, now), ..Options::default() },
            ..Segment::default()
        }
    }

    /// `tcp_check_req`: a segment for the 4-tuple of this request. `full`: the accept queue has no
    /// room.
    pub(super) fn check(
        &mut self,
        config: &TcpConfig,
        now: Instant,
        s: &Segment,
        full: bool,
        out: &mut Output,
    ) -> Checked {
        let old = match (self.theirs.timestamps, s.options.timestamps) {
            (Some(_), Some(ts)) => Seq(ts.val).before(Seq(self.ts_recent)),
            _ => false,
        };
        let syn_alone = s.flags.0 & (Flags::SYN | Flags::ACK | Flags::RST).0 == Flags::SYN.0;
        if s.seq == self.irs && syn_alone && !old {
            self.syn_again(config, now, s, out);
            return Checked::Stay;
        }
        if s.has(Flags::ACK) && s.ack != self.iss + 1 && !s.has(Flags::RST) {
            // RFC 9293, 3.10.7.4, SYN-RECEIVED: a bad acknowledgment is answered by a reset.
            out.reply_reset(s, ReplyWhy::BadAck);
            return Checked::Stay;
        }
        let edge = self.irs + 1 + self.window;
        let in_window = s.seq == self.irs + 1
            || (s.end().after(self.irs + 1) && s.seq.before(edge))
            || (s.seq == edge && s.seq_len() == 0);
        if old || !in_window {
            self.out_of_window(config, now, s, out);
            return Checked::Stay;
        }
        if s.has(Flags::RST) && self.cookie {
            return Checked::Stay;
        }
        if s.has(Flags::RST) {
            return Checked::Dropped;
        }
        if s.has(Flags::SYN) {
            out.reply_reset(s, ReplyWhy::SynInWindow);
            return Checked::Dropped;
        }
        if !s.has(Flags::ACK) {
            return Checked::Stay;
        }
        self.third_segment(config, s, full, out)
    }

    fn third_segment(
        &mut self,
        config: &TcpConfig,
        s: &Segment,
        full: bool,
        out: &mut Output,
    ) -> Checked {
        let bare = s.end() == self.irs + 1;
        if bare && self.timeouts < config.defer_accept && !self.cookie {
            self.acked = true;
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::DeferAccept });
            return Checked::Stay;
        }
        if full && config.abort_on_overflow && !self.cookie {
            out.reply_reset(s, ReplyWhy::AcceptQueueFull);
            return Checked::Dropped;
        }
        if full {
            // T-36: the request stays; the next SYN-ACK will make them try again.
            self.acked = true;
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::AcceptQueueFull });
            return Checked::Stay;
        }
        Checked::Complete
    }

    fn limited(&mut self, config: &TcpConfig, now: Instant, out: &mut Output, s: &Segment) -> bool {
        let recent = |at: Instant| now.saturating_since(at) < config.invalid_ratelimit;
        if self.last_oow.is_some_and(recent) {
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::RateLimited });
            return true;
        }
        self.last_oow = Some(now);
        false
    }

    fn syn_again(&mut self, config: &TcpConfig, now: Instant, s: &Segment, out: &mut Output) {
        if !self.limited(config, now, out, s) {
            self.resent += 1;
            out.segments.push(self.synack(config, now));
            if !self.cookie {
                self.deadline = now + self.interval(config);
            }
        }
    }

    fn out_of_window(&mut self, config: &TcpConfig, now: Instant, s: &Segment, out: &mut Output) {
        if !s.has(Flags::RST) && !self.limited(config, now, out, s) {
            out.fact(TcpFact::ChallengeAck { why: ChallengeWhy::OutOfWindow });
            out.segments.push(self.ack(config, now));
        }
    }

    fn interval(&self, config: &TcpConfig) -> Duration {
        let doubled = 1u32.checked_shl(self.timeouts).unwrap_or(u32::MAX);
        TCP_TIMEOUT_INIT.saturating_mul(doubled).min(config.rto_max)
    }

    /// The SYN-ACK timer (`reqsk_timer_handler`): false when the request is given up.
    pub(super) fn timeout(
        &mut self,
        config: &TcpConfig,
        now: Instant,
        most: u32,
        out: &mut Output,
    ) -> bool {
        if self.cookie {
            return false;
        }
        // syn_ack_recalc(): who waits for data is asked again only at the end of that time.
        let deferred = config.defer_accept;
        let (expired, ask) = match self.acked && deferred > 0 {
            true => (self.timeouts >= most.max(deferred), self.timeouts + 1 >= deferred),
            false => (self.timeouts >= most, true),
        };
        if expired {
            let by = super::fact::GaveUp::SynAck;
            let error = crate::abi::Errno::ETIMEDOUT;
            let after = now.saturating_since(self.born);
            out.fact(TcpFact::TimeoutGaveUp { by, error, after });
            return false;
        }
        self.timeouts += 1;
        if ask {
            self.resent += 1;
            out.fact(TcpFact::Retransmit { seq: self.iss, n: self.timeouts });
            out.segments.push(self.synack(config, now));
        }
        self.deadline = now + self.interval(config);
        true
    }

    /// `tcp_create_openreq_child`: the full connection, still in SYN_RECV; it has to see the third
    /// segment itself.
    pub(super) fn into_conn(self, config: &TcpConfig, now: Instant) -> TcpConn {
        let mut conn = TcpConn::new(config.clone(), now, self.iss, TcpState::SynRecv);
        conn.rcv.nxt = self.irs + 1;
        conn.rcv.copied = conn.rcv.nxt;
        conn.rcv.last_ack_sent = conn.rcv.nxt;
        conn.agreed.ecn = self.ecn;
        conn.agree(now, &self.theirs);
        conn.rcv.ts_recent = conn.rcv.ts_recent.map(|_| (self.ts_recent, self.born));
        conn.rcv.window.start_behind(config, conn.agreed.timestamps);
        conn.rcv.window.wup = conn.rcv.nxt;
        conn.snd.una = self.iss + 1;
        conn.snd.nxt = self.iss + 1;
        conn.snd.write_seq = self.iss + 1;
        conn.snd.wl1 = self.irs;
        if self.resent == 0 {
            conn.rtt.sample(now.saturating_since(self.born), config);
        }
        conn
    }
}
