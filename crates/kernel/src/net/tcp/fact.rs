//! What comes out of this room: segments to send, wake-ups for sleepers and epoll, and typed facts
//! that say which step was taken and why. Renderers invent none: each fact is emitted inside the
//! function that it names.

use core::ops::{BitOr, BitOrAssign};

use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::TcpState;
use super::tstamp::TxEvent;
use crate::abi::Errno;
use crate::time::Duration;

/// poll(2) bits, with Linux's numbers. The poll room adds RDNORM to IN and WRNORM to OUT.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready(pub u32);

impl Ready {
    /// Nothing.
    pub const NONE: Ready = Ready(0);
    /// There is something to read, or the end.
    pub const IN: Ready = Ready(0x001);
    /// There is urgent data.
    pub const PRI: Ready = Ready(0x002);
    /// There is room to write, or writing fails at once.
    pub const OUT: Ready = Ready(0x004);
    /// An error is pending (SO_ERROR).
    pub const ERR: Ready = Ready(0x008);
    /// Both directions are shut down.
    pub const HUP: Ready = Ready(0x010);
    /// The other side will send nothing more.
    pub const RDHUP: Ready = Ready(0x2000);

    /// True when all bits of `other` are set.
    pub const fn has(self, other: Ready) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Ready {
    type Output = Ready;
    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

impl core::fmt::Debug for Ready {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        const NAMES: [(Ready, &str); 6] = [
            (Ready::IN, "IN"),
            (Ready::PRI, "PRI"),
            (Ready::OUT, "OUT"),
            (Ready::ERR, "ERR"),
            (Ready::HUP, "HUP"),
            (Ready::RDHUP, "RDHUP"),
        ];
        let mut first = true;
        for (_, name) in NAMES.iter().filter(|(bit, _)| self.has(*bit)) {
            f.write_str(if first { "" } else { "|" })?;
            f.write_str(name)?;
            first = false;
        }
        if first { f.write_str("0") } else { Ok(()) }
    }
}

/// Why `tcp_send_active_reset` was called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResetWhy {
    /// Closed while received data was unread (T-8, T-11, T-14, T-18).
    Unread,
    /// Closed with SO_LINGER set to 0 (T-9, T-12, T-15, T-18).
    Linger0,
    /// The listener was closed before anybody accepted this connection (T-5, T-34).
    NotAccepted,
    /// Closed in FIN_WAIT2 with a negative TCP_LINGER2 (T-16).
    Linger2,
    /// The other side answered no keepalive probe (T-54, T-56).
    KeepaliveTimeout,
    /// `connect` with AF_UNSPEC (`tcp_disconnect`).
    Disconnect,
    /// There are too many orphans (T-23).
    TooManyOrphans,
}

/// Why a segment was answered with a reset (`tcp_v4_send_reset`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReplyWhy {
    /// There is no connection and no listener (any more).
    NoSocket,
    /// It acknowledges something that was never sent.
    BadAck,
    /// Data came for a connection whose reader is gone (T-27, T-45).
    DataAfterClose,
    /// Data came for a FIN_WAIT2 mini-socket (T-25).
    DataInFinWait2,
    /// The FIN of an orphan with negative TCP_LINGER2 was acknowledged (T-24).
    Linger2,
    /// A SYN came in the window of a FIN_WAIT2 mini-socket or a half-open request.
    SynInWindow,
    /// The accept queue is full and `tcp_abort_on_overflow` is set (T-36).
    AcceptQueueFull,
}

/// Why an ACK was sent that the stream itself did not need.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChallengeWhy {
    /// A reset in the window, but not at its left edge (T-48; RFC 5961, 3.2).
    RstInWindow,
    /// A SYN on a synchronized connection (T-48; RFC 5961, 4.2).
    Syn,
    /// The acknowledgment is too old or too new (RFC 5961, 5.2).
    Ack,
    /// The segment lies outside the window.
    OutOfWindow,
    /// The timestamp is older than the last one (RFC 7323, 5.3).
    Paws,
}

/// Which timer gave the connection up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GaveUp {
    /// The SYN was not answered (T-51).
    Syn,
    /// Data or FIN were not acknowledged (T-31, T-50).
    Retransmission,
    /// The window stayed closed (T-32).
    ZeroWindow,
    /// Keepalive probes were not answered (T-54).
    Keepalive,
    /// The SYN-ACK was not answered (T-52).
    SynAck,
}

/// One step that this room took.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum TcpFact {
    /// `tcp_set_state`. TIME_WAIT and FIN_WAIT2 mini-sockets count as states here.
    StateChange {
        /// The state before.
        from: TcpState,
        /// The state after.
        to: TcpState,
    },
    /// `tcp_send_fin`: the FIN is queued; it leaves at once unless it waits behind data.
    SendFin {
        /// Bytes accepted from the program and not yet transmitted that go before it.
        unsent: u32,
    },
    /// `tcp_send_active_reset`: `[R.]` with our own sequence number (T-24a).
    SendActiveReset {
        /// Why.
        why: ResetWhy,
    },
    /// `tcp_v4_send_reset`: a reset in answer to a segment (T-24b).
    SendReset {
        /// Why.
        why: ReplyWhy,
    },
    /// `tcp_reset`: a reset from the other side took effect.
    Reset {
        /// What the program will learn.
        error: Errno,
        /// The state in which it struck.
        state: TcpState,
    },
    /// `tcp_retransmit_skb`: a segment was sent again.
    Retransmit {
        /// Which one.
        seq: Seq,
        /// How many timeouts in a row there were: 0 for a fast retransmission.
        n: u32,
    },
    /// `tcp_send_loss_probe`.
    LossProbe {
        /// Which segment was sent again (or for the first time).
        seq: Seq,
    },
    /// `tcp_send_probe0`: the window is closed, we asked.
    WindowProbe {
        /// How many probes in a row were not answered.
        unanswered: u32,
    },
    /// `tcp_keepalive_timer` asked whether the other side is there.
    KeepaliveProbe {
        /// How many probes in a row were not answered.
        unanswered: u32,
    },
    /// `tcp_write_err`: the connection was given up.
    TimeoutGaveUp {
        /// By which timer.
        by: GaveUp,
        /// What the program will learn.
        error: Errno,
        /// Silence, counted from the first retransmission or probe.
        after: Duration,
    },
    /// `tcp_send_challenge_ack` and `tcp_send_dupack`.
    ChallengeAck {
        /// Why.
        why: ChallengeWhy,
    },
    /// A segment was dropped without an answer.
    Dropped {
        /// Its flags.
        flags: Flags,
        /// Why.
        why: DropWhy,
    },
    /// `tcp_time_wait`: a mini-socket took over.
    TimeWait {
        /// TIME_WAIT or FIN_WAIT2.
        state: TcpState,
        /// How long it stays if nothing comes.
        timeout: Duration,
    },
}

/// Why a segment got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropWhy {
    /// A reset outside the window (T-48).
    RstOutOfWindow,
    /// Neither SYN, RST nor ACK.
    NoAck,
    /// An answer would exceed the rate limit (T-1).
    RateLimited,
    /// An acknowledgment older than everything in flight.
    OldAck,
    /// The window is closed.
    ZeroWindow,
    /// No room in the receive buffer, although the window was open (`TCPRcvQDrop`, `TCPOFODrop`).
    ReceiveBufferFull,
    /// The accept queue is full (T-36).
    AcceptQueueFull,
    /// There are too many half-open requests, and no cookies (`tcp_syncookies` 0).
    RequestQueueFull,
    /// TCP_DEFER_ACCEPT waits for data.
    DeferAccept,
    /// A reset in SYN_SENT without an acceptable acknowledgment (T-48).
    RstWithoutAck,
    /// Not a SYN, on a listener.
    NotSyn,
}

/// What a call into this room left to be done by its caller.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    /// To be sent, in this order.
    pub segments: Vec<Segment>,
    /// What happened, in this order.
    pub facts: Vec<TcpFact>,
    /// For whom the bell tolls: bits whose sleepers Linux would wake (`sk_data_ready`,
    /// `sk_write_space`, `sk_state_change`, `sk_error_report`), whether or not `poll` changed.
    pub wake: Ready,
    /// The same for O_ASYNC.
    pub bell: Bell,
    /// Of bytes that somebody waits for (SO_TIMESTAMPING).
    pub stamps: Vec<(TxEvent, Seq)>,
}

/// What Linux tells those who asked for SIGIO and SIGURG: its calls of `sk_wake_async`, which are not
/// those of its wake-ups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bell {
    /// The handshake is done: POLL_OUT.
    pub connected: bool,
    /// A new urgent pointer: SIGURG and POLL_PRI.
    pub urgent: bool,
    /// Its byte is here: POLL_IN.
    pub urgent_byte: bool,
    /// The other side's FIN: POLL_IN, or POLL_HUP if our own direction is shut (`true`).
    pub fin: Option<bool>,
    /// Something to read: POLL_IN.
    pub received: bool,
    /// Room for whoever found none: POLL_OUT.
    pub space: bool,
    /// An error is pending: POLL_ERR.
    pub error: bool,
}

impl Output {
    pub(super) fn fact(&mut self, fact: TcpFact) {
        self.facts.push(fact);
    }

    /// `sk_state_change`: everybody looks again.
    pub(super) fn wake_all(&mut self) {
        self.wake |= Ready::IN | Ready::OUT | Ready::HUP | Ready::RDHUP | Ready::ERR;
    }

    /// `tcp_v4_send_reset`.
    pub(super) fn reply_reset(&mut self, to: &Segment, why: ReplyWhy) {
        if let Some(reset) = super::segment::reply_reset(to) {
            self.segments.push(reset);
            self.fact(TcpFact::SendReset { why });
        }
    }
}
