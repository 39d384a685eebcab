//! Time: retransmission, tail loss probe and window probe share one timer as in Linux
//! (`icsk_retransmit_timer`); beside it the delayed acknowledgment. The keepalive timer is in
//! `keepalive`. T-31, T-32, T-50…T-53; RFC 6298; RFC 9293, 3.8.3, 3.8.6.1.

use super::config::{TCP_TIMEOUT_MIN, TCP_TIMEOUT_MIN_US, TICK, whole_ticks};
use super::congestion::CaState;
use super::fact::{GaveUp, Output, Ready, TcpFact};
use super::output::Nagle;
use super::state::{TcpConn, TcpState};
use super::tso::Push;
use crate::abi::Errno;
use crate::time::{Duration, Instant};

/// What the retransmission timer waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pending {
    /// Retransmission timeout.
    Rto,
    /// Tail loss probe (RFC 8985, 7).
    LossProbe,
    /// What may only be reordered is lost then (RFC 8985, 6.3).
    Reorder,
    /// Zero window probe.
    Probe0,
}

/// The timers of a connection and what they count.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timers {
    /// What the retransmission timer is for.
    pub pending: Option<Pending>,
    /// When it fires; meaningful with `pending`.
    pub at: Instant,
    /// SO_KEEPALIVE and orphaned FIN_WAIT2.
    pub keepalive: Option<Instant>,
    /// Timeouts in a row (`icsk_retransmits`).
    pub retransmits: u32,
    /// How often the timeout is doubled.
    pub backoff: u32,
    /// Probes in a row without an answer.
    pub probes_out: u32,
    /// When window probing began.
    pub probes_since: Option<Instant>,
    /// When the first retransmission left (`retrans_stamp`).
    pub retrans_stamp: Option<Instant>,
}

impl Timers {
    /// `tcp_clear_xmit_timers`: none runs; what they counted stays for TCP_INFO.
    pub fn clear(&mut self) {
        self.pending = None;
        self.keepalive = None;
    }
}

/// `TCP_RESOURCE_PROBE_INTERVAL`: when to try again what the own device had no room for.
const RESOURCE_PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// What `retries` timeouts take at least, from `base` doubling up to `max`: Linux gives up by this
/// clock, not by counting (T-50: 924.6 s for 15).
pub fn model_timeout(retries: u32, base: Duration, max: Duration) -> Duration {
    let doublings = (max.as_nanos() / base.as_nanos().max(1)).max(1).ilog2();
    if retries <= doublings {
        base * ((2 << retries) - 1)
    } else {
        base * ((2 << doublings) - 1) + max * (retries - doublings)
    }
}

impl TcpConn {
    /// When `expire` wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let retransmit = self.timers.pending.map(|_| self.timers.at);
        let mini = self.mini.as_ref().map(|mini| mini.deadline());
        let acks = [self.rcv.ack.deadline, self.rcv.compressed.deadline];
        let others = [retransmit, self.timers.keepalive, mini];
        acks.into_iter().chain(others).flatten().min()
    }

    /// Time came: runs every timer whose deadline has passed.
    pub fn expire(&mut self, now: Instant, out: &mut Output) {
        if self.mini.as_ref().is_some_and(|mini| mini.deadline() <= now) {
            self.mini_expired(out);
        }
        if self.rcv.ack.deadline.is_some_and(|at| at <= now) {
            self.delack_timer(now, out);
        }
        if self.rcv.compressed.deadline.is_some_and(|at| at <= now) {
            self.compressed_ack_kick(now, out);
        }
        if self.timers.pending.is_some() && self.timers.at <= now {
            match self.timers.pending.take() {
                Some(Pending::Rto) => self.retransmit_timer(now, out),
                Some(Pending::LossProbe) => self.send_loss_probe(now, out),
                Some(Pending::Reorder) => self.rack_reo_timeout(now, out),
                Some(Pending::Probe0) => self.probe_timer(now, out),
                None => {}
            }
        }
        if self.timers.keepalive.is_some_and(|at| at <= now) {
            self.timers.keepalive = None;
            self.keepalive_timer(now, out);
        }
    }

    pub(super) fn arm(&mut self, what: Pending, at: Instant) {
        self.timers.pending = Some(what);
        self.timers.at = at;
    }

    /// `tcp_rearm_rto`: counted from now while anything is in flight, else off.
    pub(super) fn rearm_rto(&mut self, now: Instant) {
        if self.snd.flight.is_empty() {
            if self.timers.pending != Some(Pending::Probe0) {
                self.timers.pending = None;
            }
        } else {
            let mut timeout = self.rtt.rto();
            if matches!(self.timers.pending, Some(Pending::LossProbe | Pending::Reorder)) {
                // These took its place: the time since the oldest segment left counts.
                let age = self.snd.flight.front().map(|s| now.saturating_since(s.at));
                timeout = timeout.saturating_sub(age.unwrap_or_default());
                timeout = whole_ticks(timeout.max(Duration::from_micros(1)));
            }
            self.arm(Pending::Rto, now + timeout);
        }
    }

    /// `tcp_set_xmit_timer`: something arrived, so time counts from now: a probe, or the timeout.
    pub(super) fn set_xmit_timer(&mut self, now: Instant) {
        let probes = self.timers.pending.is_some_and(|it| it != Pending::Probe0);
        if probes && !self.snd.flight.is_empty() {
            self.arm(Pending::Rto, now + self.rtt.rto());
            self.schedule_loss_probe(now);
        } else {
            self.rearm_rto(now);
        }
    }

    /// `tcp_clamp_rto_to_user_timeout`: after a timeout, the last before TCP_USER_TIMEOUT runs out is
    /// cut to what is left (T-53). No other timer is.
    fn clamp_rto_to_user_timeout(&self, now: Instant) -> Duration {
        match (self.config.user_timeout, self.timers.retrans_stamp) {
            (Some(limit), Some(since)) => {
                let left = limit.saturating_sub(now.saturating_since(since));
                self.rtt.rto().min(whole_ticks(left).max(TICK))
            }
            _ => self.rtt.rto(),
        }
    }

    /// A SYN met an old connection (P-12): our `[R]` ends it, so the SYN is worth a second try at
    /// once. Not if it was one already.
    pub(super) fn retry_syn_soon(&mut self, now: Instant) {
        if self.timers.retransmits == 0 {
            self.arm(Pending::Rto, now + TCP_TIMEOUT_MIN);
        }
    }

    /// `tcp_schedule_loss_probe`: two round trips after the last segment, instead of the RTO.
    pub(super) fn schedule_loss_probe(&mut self, now: Instant) {
        let open = matches!(self.cc.state, CaState::Open | CaState::Cwr);
        let synchronized = !matches!(self.state, TcpState::SynSent | TcpState::SynRecv);
        let flight = self.snd.flight.packets_out();
        let probes = matches!(self.config.early_retrans, 3 | 4);
        if !probes || !self.agreed.sack || !open || !synchronized || flight == 0 {
            return;
        }
        if self.snd.probe_high.is_some() || self.timers.pending != Some(Pending::Rto) {
            return;
        }
        let timeout = match self.rtt.srtt() {
            // A lone segment's ACK may be delayed by the other side.
            Some(rtt) if flight == 1 => whole_ticks(rtt * 2 + self.config.rto_min),
            Some(rtt) => whole_ticks(rtt * 2 + TCP_TIMEOUT_MIN_US),
            None => super::config::TCP_TIMEOUT_INIT,
        };
        self.arm(Pending::LossProbe, self.timers.at.min(now + timeout));
    }

    /// `tcp_send_loss_probe`: a new segment if there is one, else the last one again.
    fn send_loss_probe(&mut self, now: Instant, out: &mut Output) {
        let seq = self.snd.nxt;
        if self.has_send_head() && self.snd_wnd_test() {
            out.fact(TcpFact::LossProbe { seq });
            if self.tcp_write_xmit(now, Nagle::Off, Push::Probe, out) > 0 {
                self.snd.probe_high = Some(self.snd.nxt);
                self.snd.probe_retrans = false;
            }
            return self.rearm_rto(now);
        }
        if let Some(last) = self.snd.flight.last_index() {
            let seq = self.snd.flight.get(last).map_or(seq, |s| s.seq);
            out.fact(TcpFact::LossProbe { seq });
            if self.tcp_retransmit_skb(now, last, out) {
                self.snd.probe_high = Some(self.snd.nxt);
                self.snd.probe_retrans = true;
            }
        }
        self.rearm_rto(now);
    }

    /// `tcp_retransmit_timer`.
    pub(super) fn retransmit_timer(&mut self, now: Instant, out: &mut Output) {
        if self.snd.flight.is_empty() || self.write_timeout(now, out) {
            return;
        }
        self.enter_loss(now);
        self.timers.retransmits += 1;
        self.stats.total_rto = self.stats.total_rto.saturating_add(1);
        self.timers.retrans_stamp.get_or_insert(now);
        let seq = self.snd.una;
        out.fact(TcpFact::Retransmit { seq, n: self.timers.retransmits });
        let oldest = self.snd.flight.next_lost().unwrap_or(0);
        if !self.tcp_retransmit_skb(now, oldest, out) {
            return self.arm(Pending::Rto, now + RESOURCE_PROBE_INTERVAL);
        }
        // V-3: since 6.5 the first timeouts of a SYN are not doubled.
        let linear = self.state == TcpState::SynSent
            && self.timers.retransmits <= self.config.syn_linear_timeouts;
        if !linear {
            self.timers.backoff += 1;
            self.rtt.back_off(&self.config);
        }
        self.arm(Pending::Rto, now + self.clamp_rto_to_user_timeout(now));
    }

    /// `tcp_write_timeout`: true when the connection was given up.
    fn write_timeout(&mut self, now: Instant, out: &mut Output) -> bool {
        let (by, gone) = match self.state {
            TcpState::SynSent => {
                let most = self.config.syn_retries + self.config.syn_linear_timeouts;
                let tired = self.timers.retransmits >= most;
                (GaveUp::Syn, tired || self.user_timeout_over(now))
            }
            TcpState::SynRecv => {
                let tired = self.timers.retransmits >= self.config.synack_retries;
                (GaveUp::SynAck, tired || self.user_timeout_over(now))
            }
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::Closing
            | TcpState::CloseWait
            | TcpState::LastAck => {
                let alive = self.rtt.rto() < self.config.rto_max;
                let retries =
                    if self.orphan { self.orphan_retries(alive) } else { self.config.retries2 };
                (GaveUp::Retransmission, self.retransmits_timed_out(now, retries))
            }
            TcpState::Close | TcpState::TimeWait | TcpState::Listen => return true,
        };
        if gone {
            let since = self.timers.retrans_stamp.unwrap_or(now);
            self.tcp_write_err(now, by, now.saturating_since(since), out);
        }
        gone
    }

    /// `retransmits_timed_out`: by the clock, from the first retransmission.
    fn retransmits_timed_out(&self, now: Instant, retries: u32) -> bool {
        let Some(since) = self.timers.retrans_stamp else { return false };
        let limit = self
            .config
            .user_timeout
            .unwrap_or_else(|| model_timeout(retries, self.config.rto_min, self.config.rto_max));
        now.saturating_since(since) >= limit
    }

    fn user_timeout_over(&self, now: Instant) -> bool {
        match (self.config.user_timeout, self.timers.retrans_stamp) {
            (Some(limit), Some(since)) => now.saturating_since(since) >= limit,
            _ => false,
        }
    }

    /// `tcp_orphan_retries` (T-1): 8 while alive, 0 once backed off or after an ICMP error.
    fn orphan_retries(&self, alive: bool) -> u32 {
        match (self.config.orphan_retries, alive) {
            (_, false) if self.soft_err.is_some() => 0,
            (0, true) => 8,
            (retries, _) => retries,
        }
    }

    /// `tcp_write_err`: gives up silently; the program gets the soft error or ETIMEDOUT.
    pub(super) fn tcp_write_err(
        &mut self,
        now: Instant,
        by: GaveUp,
        after: Duration,
        out: &mut Output,
    ) {
        let error = self.soft_err.take().unwrap_or(Errno::ETIMEDOUT);
        out.fact(TcpFact::TimeoutGaveUp { by, error, after });
        self.err = Some(error);
        out.wake |= Ready::ERR;
        out.bell.error = true;
        self.write_queue_purge(now);
        self.tcp_done(out);
    }

    /// `tcp_check_probe_timer`: something waits, nothing is in flight, so no ACK will free it.
    pub(super) fn check_probe_timer(&mut self, now: Instant) {
        if self.snd.flight.is_empty() && self.has_send_head() && self.timers.pending.is_none() {
            let wait = self.rtt.rto().max(self.config.rto_min);
            self.arm(Pending::Probe0, now + self.clamp_probe0(now, wait));
        }
    }

    /// `tcp_probe0_when`.
    fn probe0_interval(&self) -> Duration {
        let base = self.rtt.rto().max(self.config.rto_min);
        let doubled =
            base.saturating_mul(1u32.checked_shl(self.timers.backoff).unwrap_or(u32::MAX));
        doubled.min(self.config.rto_max)
    }

    fn clamp_probe0(&self, now: Instant, wait: Duration) -> Duration {
        match (self.config.user_timeout, self.timers.probes_since) {
            (Some(limit), Some(since)) => {
                let left = limit.saturating_sub(now.saturating_since(since));
                wait.min(left.max(TCP_TIMEOUT_MIN))
            }
            _ => wait,
        }
    }

    /// `tcp_ack_probe`: an acknowledgment while the window kept us from sending.
    pub(super) fn ack_probe(&mut self, now: Instant) {
        if !self.has_send_head() || !self.snd.flight.is_empty() {
            return;
        }
        let first = self.snd.nxt + self.unsent().min(self.segment_size()).max(1);
        if !first.after(self.wnd_end()) {
            self.timers.backoff = 0;
            self.timers.probes_since = None;
            if self.timers.pending == Some(Pending::Probe0) {
                self.timers.pending = None;
            }
        } else if self.timers.pending == Some(Pending::Probe0) {
            let wait = self.clamp_probe0(now, self.probe0_interval());
            self.arm(Pending::Probe0, now + wait);
        }
    }

    /// `tcp_probe_timer` (T-32).
    fn probe_timer(&mut self, now: Instant, out: &mut Output) {
        if !self.snd.flight.is_empty() || !self.has_send_head() {
            self.timers.probes_out = 0;
            self.timers.probes_since = None;
            return;
        }
        let since = *self.timers.probes_since.get_or_insert(now);
        let silence = now.saturating_since(since);
        let over = self.config.user_timeout.is_some_and(|limit| silence >= limit && since != now);
        let mut most = self.config.retries2;
        let mut given_up = false;
        if self.orphan {
            let alive = self.probe0_interval() < self.config.rto_max;
            most = self.orphan_retries(alive);
            given_up = !alive && self.timers.backoff >= most;
        }
        if over || given_up || self.timers.probes_out >= most {
            return self.tcp_write_err(now, GaveUp::ZeroWindow, silence, out);
        }
        self.send_probe0(now, out);
    }

    /// `tcp_send_probe0`: as much as the window takes, or an empty segment with an old number.
    fn send_probe0(&mut self, now: Instant, out: &mut Output) {
        out.fact(TcpFact::WindowProbe { unanswered: self.timers.probes_out });
        let sent = self.write_wakeup(now, out);
        if !self.snd.flight.is_empty() || !self.has_send_head() {
            self.timers.probes_out = 0;
            self.timers.backoff = 0;
            self.timers.probes_since = None;
            return;
        }
        self.timers.probes_out += 1;
        if sent && self.timers.backoff < self.config.retries2 {
            self.timers.backoff += 1;
        }
        let wait = if sent { self.probe0_interval() } else { RESOURCE_PROBE_INTERVAL };
        let wait = self.clamp_probe0(now, wait);
        self.arm(Pending::Probe0, now + wait);
    }

    /// `tcp_write_wakeup`. False: the device had no room.
    fn write_wakeup(&mut self, now: Instant, out: &mut Output) -> bool {
        let room = self.wnd_end().saturating_since(self.snd.nxt);
        if !self.has_send_head() || room == 0 {
            return self.xmit_probe(now, out);
        }
        // Of the first sk_buff, and what is left of it is to be pushed too.
        let head = self.head_len();
        let len = head.min(self.segment_size()).min(room);
        let fin = self.snd.fin && len == self.unsent() && len < room;
        self.snd.skbs.push_head();
        if self.snd.pushed.before(self.snd.nxt + head) {
            self.snd.pushed = self.snd.nxt + head;
        }
        let sent = self.send_new(now, len, fin, true, out);
        if sent {
            self.rearm_rto(now);
        }
        sent
    }

    fn delack_timer(&mut self, now: Instant, out: &mut Output) {
        if self.rcv.ack.scheduled && self.state != TcpState::Close {
            self.rcv.ack.timed_out(self.rtt.rto());
            self.tcp_send_ack(now, out);
        } else {
            self.rcv.ack.deadline = None;
        }
    }

    /// Sends what was held back and arms the probe timer if need be (`tcp_data_snd_check`).
    pub(super) fn data_snd_check(&mut self, now: Instant, out: &mut Output) {
        self.push_pending_frames(now, Nagle::AsSet, out);
        self.check_space(now, out);
    }
}
