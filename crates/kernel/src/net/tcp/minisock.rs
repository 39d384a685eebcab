//! What is left of a connection when the socket needs it no more: TIME_WAIT, and the FIN_WAIT2 of an
//! orphan (`tcp_timewait_state_process`). T-25, T-29; RFC 9293, 3.10.7.4; RFC 1337; RFC 6191.

use super::config::TCP_TIMEWAIT_LEN;
use super::fact::{ChallengeWhy, DropWhy, Output, ReplyWhy, TcpFact};
use super::options::{Options, Timestamps};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::{TcpConn, TcpState};
use crate::time::{Duration, Instant};

/// A mini-socket: enough to answer old segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MiniSock {
    /// `tw_substate`: true for FIN_WAIT2.
    fin_wait2: bool,
    rcv_nxt: Seq,
    snd_nxt: Seq,
    rcv_wnd: u32,
    shift: u8,
    ts_recent: Option<u32>,
    rfc1337: bool,
    invalid_ratelimit: Duration,
    deadline: Instant,
    last_oow_ack: Option<Instant>,
}

/// What the mini-socket makes of a segment.
enum Fate {
    Stay,
    Kill,
    Ack,
    Reset,
}

impl MiniSock {
    /// TIME_WAIT or FIN_WAIT2.
    pub fn state(&self) -> TcpState {
        if self.fin_wait2 { TcpState::FinWait2 } else { TcpState::TimeWait }
    }

    /// When it vanishes.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn restart(&mut self, now: Instant) {
        self.deadline = now + TCP_TIMEWAIT_LEN;
    }

    fn is_old_timestamp(&self, s: &Segment) -> bool {
        match (self.ts_recent, s.options.timestamps) {
            (Some(recent), Some(ts)) => Seq(ts.val).before(Seq(recent)),
            _ => false,
        }
    }

    fn note_timestamp(&mut self, s: &Segment) {
        if let (Some(_), Some(ts)) = (self.ts_recent, s.options.timestamps) {
            self.ts_recent = Some(ts.val);
        }
    }

    fn in_window(&self, s: &Segment) -> bool {
        let edge = self.rcv_nxt + self.rcv_wnd;
        s.seq == self.rcv_nxt
            || (s.end().after(self.rcv_nxt) && s.seq.before(edge))
            || (s.seq == edge && s.seq_len() == 0)
    }

    /// A SYN that may begin a new connection: the ISN that Linux gives it.
    fn recycle(&self, s: &Segment) -> Option<Seq> {
        if self.fin_wait2 || s.flags.0 & (Flags::SYN | Flags::RST | Flags::ACK).0 != Flags::SYN.0 {
            return None;
        }
        let newer = match (self.ts_recent, s.options.timestamps) {
            (Some(recent), Some(ts)) => Seq(recent).before(Seq(ts.val)),
            _ => false,
        };
        let fresh = !self.is_old_timestamp(s) && (s.seq.after(self.rcv_nxt) || newer);
        fresh.then(|| self.snd_nxt + 65_537)
    }

    fn limited_ack(&mut self, now: Instant, s: &Segment, out: &mut Output) -> Fate {
        let limited = s.is_empty() || s.has(Flags::SYN);
        let recent = |at: Instant| now.saturating_since(at) < self.invalid_ratelimit;
        if limited && self.last_oow_ack.is_some_and(recent) {
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::RateLimited });
            return Fate::Stay;
        }
        self.last_oow_ack = Some(now);
        out.fact(TcpFact::ChallengeAck { why: ChallengeWhy::OutOfWindow });
        Fate::Ack
    }

    /// T-25.
    fn fin_wait2(&mut self, now: Instant, s: &Segment, out: &mut Output) -> Fate {
        if self.is_old_timestamp(s) || !self.in_window(s) {
            return self.limited_ack(now, s, out);
        }
        if s.has(Flags::RST) {
            return Fate::Kill;
        }
        if s.has(Flags::SYN) && !s.seq.before(self.rcv_nxt) {
            out.reply_reset(s, ReplyWhy::SynInWindow);
            return Fate::Reset;
        }
        if !s.has(Flags::ACK) || s.seq_len() == 0 || !s.end().after(self.rcv_nxt) {
            return Fate::Stay;
        }
        if !s.has(Flags::FIN) || s.end() != self.rcv_nxt + 1 {
            // Nobody is left to read it.
            out.reply_reset(s, ReplyWhy::DataInFinWait2);
            return Fate::Reset;
        }
        self.fin_wait2 = false;
        self.rcv_nxt = s.end();
        self.note_timestamp(s);
        self.restart(now);
        out.fact(TcpFact::StateChange { from: TcpState::FinWait2, to: TcpState::TimeWait });
        Fate::Ack
    }

    /// T-29.
    fn time_wait(&mut self, now: Instant, s: &Segment, out: &mut Output) -> Fate {
        let old = self.is_old_timestamp(s);
        if !old && s.seq == self.rcv_nxt && (s.seq_len() == 0 || s.has(Flags::RST)) {
            if s.has(Flags::RST) && !self.rfc1337 {
                return Fate::Kill;
            }
            self.restart(now);
            self.note_timestamp(s);
            return Fate::Stay;
        }
        if self.recycle(s).is_some() {
            // The caller found no listener for the SYN.
            return Fate::Ack;
        }
        if s.has(Flags::RST) {
            out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::RstOutOfWindow });
            return Fate::Stay;
        }
        if old || s.has(Flags::ACK) {
            self.restart(now);
        }
        self.limited_ack(now, s, out)
    }

    fn ack(&self, clock: u32) -> Segment {
        let timestamps = self.ts_recent.map(|ecr| Timestamps { val: clock, ecr });
        Segment {
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: (self.rcv_wnd >> self.shift).min(65_535) as u16,
            options: Options { timestamps, ..Options::default() },
            ..Segment::default()
        }
    }
}

impl TcpConn {
    /// `tcp_time_wait`: the mini-socket takes over for `timeout`, the connection itself is done.
    pub(super) fn tcp_time_wait(
        &mut self,
        now: Instant,
        state: TcpState,
        timeout: Duration,
        out: &mut Output,
    ) {
        out.fact(TcpFact::TimeWait { state, timeout });
        if self.state != state {
            out.fact(TcpFact::StateChange { from: self.state, to: state });
        }
        self.mini = Some(MiniSock {
            fin_wait2: state == TcpState::FinWait2,
            rcv_nxt: self.rcv.nxt,
            snd_nxt: self.snd.nxt,
            rcv_wnd: self.rcv.window.current(self.rcv.nxt),
            shift: self.rcv.window.shift,
            ts_recent: self.rcv.ts_recent.filter(|_| self.agreed.timestamps).map(|t| t.0),
            rfc1337: self.config.rfc1337,
            invalid_ratelimit: self.config.invalid_ratelimit,
            deadline: now + timeout,
            last_oow_ack: None,
        });
        self.tcp_done_quietly(out);
    }

    /// Asked before `input` when `wire_state` is TIME_WAIT: if this SYN may begin a new connection
    /// and the port has a listener, call `bury` and give the SYN to the listener with this ISN.
    /// Without a listener go on with `input`, which answers with an ACK (T-29).
    pub fn recycles(&self, s: &Segment) -> Option<Seq> {
        self.mini.as_ref().and_then(|mini| mini.recycle(s))
    }

    /// `tcp_twsk_unique`: may a connection of the same 4-tuple take the place of this mini-socket? Only
    /// with a timestamp, by which old segments are known: to whoever `bound` its port at once, else
    /// (`tcp_tw_reuse` 2) over the loopback from a second of TIME_WAIT on. Its ISN.
    pub fn twsk_unique(&self, now: Instant, bound: bool, loopback: bool) -> Option<Seq> {
        /// `tcp_tw_reuse_delay`.
        const DELAY: Duration = Duration::from_secs(1);
        let mini = self.mini.as_ref().filter(|mini| mini.ts_recent.is_some())?;
        let left = mini.deadline.saturating_since(now);
        let old = !mini.fin_wait2 && left + DELAY < TCP_TIMEWAIT_LEN;
        (bound || loopback && old).then(|| mini.snd_nxt + 65_537)
    }

    /// Ends the mini-socket at once (`inet_twsk_deschedule_put`).
    pub fn bury(&mut self, out: &mut Output) {
        self.mini_expired(out);
    }

    pub(super) fn mini_expired(&mut self, out: &mut Output) {
        if let Some(mini) = self.mini.take() {
            out.fact(TcpFact::StateChange { from: mini.state(), to: TcpState::Close });
        }
    }

    pub(super) fn mini_input(&mut self, now: Instant, s: &Segment, out: &mut Output) {
        let clock = self.tcp_clock(now);
        let Some(mini) = &mut self.mini else { return };
        let fate =
            if mini.fin_wait2 { mini.fin_wait2(now, s, out) } else { mini.time_wait(now, s, out) };
        match fate {
            Fate::Stay => {}
            Fate::Ack => out.segments.push(mini.ack(clock)),
            Fate::Kill | Fate::Reset => self.mini_expired(out),
        }
    }
}
