//! The end as the program wants it: `tcp_close`, `tcp_shutdown`, `tcp_disconnect`. The order of tests
//! in `close` is normative (linux-semantics T.2): queue, CLOSE, unread → RST, linger 0 → abort,
//! state table, then the orphan. RFC 9293, 3.10.4; RFC 2525, 2.17 for the RST after unread data.

use super::chrono::Doing;
use super::config::TCP_TIMEWAIT_LEN;
use super::fact::{Output, ResetWhy, TcpFact};
use super::state::{TcpConn, TcpState};
use crate::abi::Errno;
use crate::time::{Duration, Instant};

/// How a descriptor's last reference goes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Close {
    /// SO_LINGER: `None` when off, else its time.
    pub linger: Option<Duration>,
    /// The closing task is exiting: it never lingers (T-3).
    pub exiting: bool,
    /// The host has as many orphans as it may have (T-23).
    pub too_many_orphans: bool,
}

/// What `close` decided, for the story.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CloseOutcome {
    /// The state before.
    pub from: TcpState,
    /// Received bytes that nobody read.
    pub unread: u32,
    /// What was sent.
    pub sent: CloseSent,
    /// The state afterwards, that of the mini-socket included.
    pub next: TcpState,
    /// The caller must wait at most so long, or until `lingers` turns false or a signal comes, and
    /// then call `adjudge_to_death` (T-4).
    pub linger: Option<Duration>,
}

/// The segment that a close causes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseSent {
    /// `tcp_send_fin`; it waits behind this many unsent bytes if the windows say so.
    Fin {
        /// Bytes accepted and not yet transmitted before the call.
        unsent: u32,
    },
    /// `tcp_send_active_reset`.
    Rst(ResetWhy),
    /// Nothing, for this reason.
    Nothing(Silence),
}

/// Why a close sends nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Silence {
    /// There is no connection (any more): reset, both FINs done, or never connected (T-19).
    NoConnection,
    /// The handshake was not finished: the other side will find out (T-6).
    SynSent,
    /// Our FIN was sent earlier, by shutdown (T-13, T-16, T-17).
    FinSentBefore,
    /// Aborted in CLOSING or LAST_ACK with the FIN already out (T-18).
    FinAlreadyOut,
}

/// shutdown(2)'s argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// SHUT_RD.
    Read,
    /// SHUT_WR.
    Write,
    /// SHUT_RDWR.
    Both,
}

/// Where an orphan goes in FIN_WAIT2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Orphaned {
    /// Into a mini-socket.
    Mini,
    /// It stays a full socket until its timer.
    Full,
    /// A negative TCP_LINGER2: it is to be reset.
    Reset,
}

impl TcpConn {
    /// `tcp_close`: the last descriptor is gone. Afterwards the connection is an orphan, unless
    /// `linger` in the outcome says that the caller has to wait first.
    pub fn close(&mut self, now: Instant, how: Close, out: &mut Output) -> CloseOutcome {
        let from = self.wire_state();
        self.shut_rd = true;
        self.shut_wr = true;
        let unread = self.receive_queue_purge();
        let sent = if self.state == TcpState::Close {
            CloseSent::Nothing(Silence::NoConnection)
        } else if unread > 0 {
            self.tcp_send_active_reset(now, ResetWhy::Unread, out);
            self.write_queue_purge(now);
            self.tcp_done(out);
            CloseSent::Rst(ResetWhy::Unread)
        } else if how.linger == Some(Duration::ZERO) {
            self.tcp_disconnect(now, ResetWhy::Linger0, out)
        } else {
            self.tcp_close_state(now, out)
        };
        let linger = how.linger.filter(|_| !how.exiting && self.lingers());
        let mut outcome = CloseOutcome { from, unread, sent, next: from, linger };
        if linger.is_none()
            && let Some(why) = self.adjudge_to_death(now, how.too_many_orphans, out)
        {
            outcome.sent = CloseSent::Rst(why);
        }
        outcome.next = self.wire_state();
        outcome
    }

    /// True while a lingering close has to wait: our FIN is not acknowledged (T-4).
    pub fn lingers(&self) -> bool {
        matches!(self.state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck)
    }

    /// `tcp_close_state`: the table of T-6…T-17.
    pub(super) fn tcp_close_state(&mut self, now: Instant, out: &mut Output) -> CloseSent {
        let unsent = self.unsent();
        let next = match self.state {
            // T-7.
            TcpState::Established | TcpState::SynRecv => TcpState::FinWait1,
            // T-10.
            TcpState::CloseWait => TcpState::LastAck,
            // T-6: there is nobody to tell.
            TcpState::SynSent => {
                self.write_queue_purge(now);
                self.tcp_done(out);
                return CloseSent::Nothing(Silence::SynSent);
            }
            // T-13, T-16, T-17.
            TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck => {
                return CloseSent::Nothing(Silence::FinSentBefore);
            }
            TcpState::Close | TcpState::TimeWait | TcpState::Listen => {
                return CloseSent::Nothing(Silence::NoConnection);
            }
        };
        self.set_state(next, out);
        self.tcp_send_fin(now, out);
        CloseSent::Fin { unsent }
    }

    /// `tcp_disconnect`: both queues are thrown away, the other side is told by RST if it needs to
    /// know. The 4-tuple is free afterwards.
    pub(super) fn tcp_disconnect(
        &mut self,
        now: Instant,
        why: ResetWhy,
        out: &mut Output,
    ) -> CloseSent {
        let sent = match self.state {
            // RFC 9293, 3.10.5 (ABORT): SYN-RECEIVED to CLOSE-WAIT send a reset.
            TcpState::SynRecv
            | TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait => CloseSent::Rst(why),
            // T-18: only if the FIN has not left.
            TcpState::Closing | TcpState::LastAck if self.snd.nxt != self.snd.write_seq => {
                CloseSent::Rst(why)
            }
            TcpState::Closing | TcpState::LastAck => CloseSent::Nothing(Silence::FinAlreadyOut),
            TcpState::SynSent => CloseSent::Nothing(Silence::SynSent),
            TcpState::Close | TcpState::TimeWait | TcpState::Listen => {
                CloseSent::Nothing(Silence::NoConnection)
            }
        };
        match sent {
            CloseSent::Rst(why) => {
                self.tcp_send_active_reset(now, why, out);
                self.err = Some(Errno::ECONNRESET);
            }
            CloseSent::Nothing(Silence::SynSent) => self.err = Some(Errno::ECONNRESET),
            CloseSent::Nothing(_) | CloseSent::Fin { .. } => {}
        }
        self.write_queue_purge(now);
        self.receive_queue_purge();
        self.tcp_done(out);
        sent
    }

    /// The listener dies and nobody accepted this connection (`inet_child_forget`; T-5, T-34).
    pub fn forget_unaccepted(&mut self, now: Instant, out: &mut Output) -> CloseOutcome {
        let from = self.wire_state();
        let unread = self.unread();
        self.orphan = true;
        let sent = self.tcp_disconnect(now, ResetWhy::NotAccepted, out);
        CloseOutcome { from, unread, sent, next: self.wire_state(), linger: None }
    }

    /// connect(2) with AF_UNSPEC.
    pub fn disconnect(&mut self, now: Instant, out: &mut Output) -> CloseSent {
        let sent = self.tcp_disconnect(now, ResetWhy::Disconnect, out);
        self.err = None;
        sent
    }

    /// The second half of `tcp_close`: the connection becomes an orphan. Called by `close` itself,
    /// or by the caller after lingering. Returns why it was reset after all, if it was.
    pub fn adjudge_to_death(
        &mut self,
        now: Instant,
        too_many_orphans: bool,
        out: &mut Output,
    ) -> Option<ResetWhy> {
        self.orphan = true;
        if self.state == TcpState::FinWait2 {
            match self.enter_orphan_fin_wait2(now, false, out) {
                Orphaned::Mini | Orphaned::Full => {}
                Orphaned::Reset => {
                    self.tcp_send_active_reset(now, ResetWhy::Linger2, out);
                    self.tcp_done(out);
                    return Some(ResetWhy::Linger2);
                }
            }
        }
        if self.state != TcpState::Close && too_many_orphans {
            self.tcp_send_active_reset(now, ResetWhy::TooManyOrphans, out);
            self.write_queue_purge(now);
            self.tcp_done(out);
            return Some(ResetWhy::TooManyOrphans);
        }
        None
    }

    /// An orphan whose FIN is acknowledged (T-24): up to 60 s as a mini-socket; longer times begin
    /// as a full socket. With a FIN in the same segment the full socket still has to see it.
    pub(super) fn enter_orphan_fin_wait2(
        &mut self,
        now: Instant,
        fin_follows: bool,
        out: &mut Output,
    ) -> Orphaned {
        let Some(time) = self.config.fin_time(self.rtt.rto()) else {
            return Orphaned::Reset;
        };
        if time > TCP_TIMEWAIT_LEN {
            self.timers.keepalive = Some(now + (time - TCP_TIMEWAIT_LEN));
            Orphaned::Full
        } else if fin_follows {
            self.timers.keepalive = Some(now + time);
            Orphaned::Full
        } else {
            self.tcp_time_wait(now, TcpState::FinWait2, time, out);
            Orphaned::Mini
        }
    }

    /// The timer of a full orphan in FIN_WAIT2: the rest of its time as a mini-socket. Unlike Linux,
    /// there is no reset here for shorter times: those never are full orphans when a timer fires.
    pub(super) fn orphan_fin_wait2_timer(&mut self, now: Instant, out: &mut Output) {
        let time = self.config.fin_time(self.rtt.rto()).unwrap_or_default();
        let rest = time.saturating_sub(TCP_TIMEWAIT_LEN);
        self.tcp_time_wait(now, TcpState::FinWait2, rest, out);
    }

    /// `tcp_shutdown` and what `inet_shutdown` does around it. Acts on all who share the socket
    /// (T-47).
    ///
    /// # Errors
    /// ENOTCONN when there is no connection.
    pub fn shutdown(&mut self, now: Instant, how: Shutdown, out: &mut Output) -> Result<(), Errno> {
        let (rd, wr) = (how != Shutdown::Write, how != Shutdown::Read);
        match self.state {
            // An error, but it has its effect (measured).
            TcpState::Close => {
                self.shut_rd |= rd;
                self.shut_wr |= wr;
                out.wake_all();
                return Err(Errno::ENOTCONN);
            }
            // T-47: a handshake is aborted, and the socket is as new but for its error (measured).
            TcpState::SynSent => {
                self.tcp_disconnect(now, ResetWhy::Disconnect, out);
                self.shut_rd = false;
                self.shut_wr = false;
                return Ok(());
            }
            TcpState::Established
            | TcpState::SynRecv
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::TimeWait
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Listen
            | TcpState::Closing => {}
        }
        // SHUT_RD sends nothing (T-45).
        self.shut_rd |= rd;
        if wr {
            self.shut_wr = true;
            // In SYN_RECV the FIN waits for the end of the handshake (`ack_moves_state`).
            let open = [TcpState::Established, TcpState::CloseWait];
            if open.contains(&self.state) {
                self.tcp_close_state(now, out);
            }
        }
        out.wake_all();
        Ok(())
    }

    /// What a shutdown before connect left behind.
    pub fn born_shut(&mut self, rd: bool, wr: bool) {
        self.shut_rd = rd;
        self.shut_wr = wr;
    }

    /// `tcp_done`: CLOSE; no timers; whoever sleeps looks again.
    pub(super) fn tcp_done(&mut self, out: &mut Output) {
        let from = self.state;
        self.tcp_done_quietly(out);
        if from != TcpState::Close {
            out.fact(TcpFact::StateChange { from, to: TcpState::Close });
        }
    }

    /// The same without the fact, when a mini-socket takes over.
    pub(super) fn tcp_done_quietly(&mut self, out: &mut Output) {
        self.state = TcpState::Close;
        self.timers.clear();
        self.rcv.ack.deadline = None;
        self.compressed_ack_sent();
        self.shut_rd = true;
        self.shut_wr = true;
        if !self.orphan {
            out.wake_all();
        }
    }

    /// `tcp_write_queue_purge`: what the other side did not get it never will.
    pub(super) fn write_queue_purge(&mut self, now: Instant) {
        self.snd.queue.clear();
        self.snd.flight.clear();
        self.snd.skbs.clear();
        self.snd.marks.clear();
        self.snd.fin = false;
        // What was purged before was all: a connection without a queue accepts no more.
        if self.snd.una != self.snd.write_seq {
            let (seq, end) = (self.snd.nxt, self.snd.write_seq);
            self.snd.purged = (end.since(self.snd.una), end.saturating_since(seq));
        }
        self.snd.una = self.snd.nxt;
        self.snd.write_seq = self.snd.nxt;
        self.timers.pending = None;
        self.timers.backoff = 0;
        self.chrono.stop(now, Doing::Busy, true);
    }
}
