//! The program's way in: `tcp_sendmsg` with its errors (T-39…T-42), the size of the send buffer and
//! its autotuning, urgent data, and the options that act on the send queue.

use super::chrono::Doing;
use super::config::TcpConfig;
use super::fact::{Output, Ready};
use super::output::Nagle;
use super::state::{TcpConn, TcpState};
use super::tso::Push;
use super::tstamp::TxAsk;
use crate::abi::Errno;
use crate::time::Instant;

/// What Linux charges for an sk_buff beside its bytes.
const SKB_OVERHEAD: u32 = 832;

/// Why nothing could be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendError {
    /// What send(2) returns.
    pub errno: Errno,
    /// SIGPIPE goes to the calling thread, unless MSG_NOSIGNAL is given (T-43).
    pub sigpipe: bool,
}

/// How to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SendFlags {
    /// MSG_MORE: more will follow at once.
    pub more: bool,
    /// MSG_OOB: the last byte is urgent.
    pub oob: bool,
    /// MSG_EOR: nothing that is written later shares a segment with this.
    pub eor: bool,
    /// The same call wrote bytes before these.
    pub begun: bool,
    /// The same call goes on behind these at once: whether they leave is decided then.
    pub goes_on: bool,
    /// What is to be told of its last byte.
    pub ask: TxAsk,
}

impl TcpConn {
    /// `tcp_sendmsg`: how many bytes were taken into the send buffer. `Ok(0)` means that the caller
    /// has to wait (or return EAGAIN): the buffer is full, or the handshake isn't finished. Wait for
    /// `Ready::OUT`.
    ///
    /// # Errors
    /// EPIPE after our side was shut down or the connection ended, with SIGPIPE; before that, once,
    /// the pending error (T-40).
    pub fn send(
        &mut self,
        now: Instant,
        data: &[u8],
        flags: SendFlags,
        out: &mut Output,
    ) -> Result<usize, SendError> {
        match self.state {
            TcpState::Established | TcpState::CloseWait => {}
            // `sk_stream_wait_connect`.
            TcpState::SynSent | TcpState::SynRecv if self.err.is_none() => return Ok(0),
            TcpState::SynSent
            | TcpState::SynRecv
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::Closing
            | TcpState::LastAck
            | TcpState::TimeWait
            | TcpState::Close
            | TcpState::Listen => return Err(self.stream_error()),
        }
        if self.err.is_some() || self.shut_wr {
            return Err(self.stream_error());
        }
        let taken = self.queue_bytes(now, data, flags, out);
        if taken < data.len() {
            self.snd.nospace = true;
        }
        if taken == 0 {
            return Ok(0);
        }
        let complete = taken == data.len();
        if complete && flags.goes_on {
            return Ok(taken);
        }
        if flags.oob && complete {
            self.snd.up = Some(self.snd.write_seq);
        }
        if flags.eor && complete {
            self.snd.skbs.mark_eor();
        }
        if complete {
            self.tx_timestamp(flags.ask);
        }
        match (complete, flags.more) {
            (false, _) => self.tcp_push(now, Nagle::Off, out),
            (true, true) => self.tcp_push(now, Nagle::Cork, out),
            (true, false) => self.tcp_push(now, Nagle::AsSet, out),
        }
        Ok(taken)
    }

    /// `tcp_push`: what was written may leave.
    fn tcp_push(&mut self, now: Instant, nagle: Nagle, out: &mut Output) {
        if nagle != Nagle::Cork || self.forced_push() {
            self.mark_push();
        }
        self.push_pending_frames(now, nagle, out);
    }

    /// A call that was to go on ends here: what it wrote may leave.
    pub fn send_ends(&mut self, now: Instant, more: bool, out: &mut Output) {
        self.tcp_push(now, if more { Nagle::Cork } else { Nagle::AsSet }, out);
    }

    /// `sk_stream_error`: the pending error, or EPIPE; the signal comes with EPIPE only.
    fn stream_error(&mut self) -> SendError {
        let errno = self.err.take().unwrap_or(Errno::EPIPE);
        SendError { errno, sigpipe: errno == Errno::EPIPE }
    }

    /// Fills sk_buff after sk_buff while there is room when one is begun, as Linux does: the last
    /// one may exceed the limit. A full one is pushed on its way at once, so that what it leaves
    /// behind, when the windows take only a part of it, has room again.
    fn queue_bytes(
        &mut self,
        now: Instant,
        data: &[u8],
        flags: SendFlags,
        out: &mut Output,
    ) -> usize {
        let goal = self.size_goal();
        let mut taken = 0;
        while taken < data.len() {
            let mut room = self.snd.skbs.tail_room(self.snd.nxt, goal);
            if room == 0 {
                if !self.stream_memory_free() {
                    break;
                }
                if self.snd.skbs.len() == 0 {
                    self.chrono.start(now, Doing::Busy);
                }
                self.slow_start_after_idle_check(now);
                self.snd.skbs.entail(self.snd.write_seq);
                room = goal;
            }
            let n = (room as usize).min(data.len() - taken);
            self.snd.queue.push(&data[taken..taken + n]);
            self.snd.skbs.fill(n as u32, taken == 0 && !flags.begun);
            self.snd.write_seq += n as u32;
            taken += n;
            let ends = taken == data.len() && !flags.goes_on;
            if ends || n < room as usize {
                break;
            }
            if self.forced_push() {
                self.mark_push();
                self.push_pending_frames(now, Nagle::Off, out);
            } else if self.snd.skbs.len() == 1 {
                self.tcp_write_xmit(now, Nagle::Off, Push::One, out);
            }
        }
        taken
    }

    /// `forced_push`: half of the greatest window was written since the last mark.
    fn forced_push(&self) -> bool {
        self.snd.write_seq.after(self.snd.pushed + self.snd.max_window / 2)
    }

    /// `tcp_mark_push`: the end of a write carries PSH, and of writes that share an sk_buff the last.
    fn mark_push(&mut self) {
        self.snd.skbs.mark_push();
        self.snd.pushed = self.snd.write_seq;
    }

    /// `sk_stream_memory_free`: another sk_buff may be begun.
    fn stream_memory_free(&self) -> bool {
        self.wmem_queued() < self.snd.sndbuf && self.unsent() < self.notsent_lowat()
    }

    /// `tcp_notsent_lowat`: the socket's own, or the host's.
    fn notsent_lowat(&self) -> u32 {
        match self.config.own_notsent_lowat {
            0 => self.config.notsent_lowat,
            own => own,
        }
    }

    /// Bytes in one full sk_buff (`tcp_xmit_size_goal`).
    pub(super) fn size_goal(&self) -> u32 {
        let mss = self.mss();
        (65_536.min(self.snd.max_window / 2) / mss * mss).max(mss)
    }

    /// `sk_wmem_queued`.
    pub fn wmem_queued(&self) -> u32 {
        let bytes = self.snd.queue.len() as u32;
        bytes + bytes.div_ceil(self.size_goal()) * SKB_OVERHEAD
    }

    /// `sk_stream_is_writeable`: at least a third of the buffer is free, and half of what may be
    /// unsent.
    pub(super) fn is_writeable(&self) -> bool {
        let queued = self.wmem_queued();
        let unsent = u64::from(self.unsent());
        self.snd.sndbuf.saturating_sub(queued) >= queued / 2
            && 2 * unsent < u64::from(self.notsent_lowat())
    }

    /// `tcp_sndbuf_expand`: room for two congestion windows.
    pub(super) fn tcp_sndbuf_expand(&mut self) {
        if self.config.sndbuf.is_some() {
            return;
        }
        let per_segment = (self.snd.mss_clamp.max(self.mss()) + 512).next_power_of_two() + 256;
        let segments = self.config.init_cwnd.max(self.cc.cwnd).max(self.recovery.reordering + 1);
        let want = 2u64 * u64::from(segments) * u64::from(per_segment);
        let most = u64::from(self.config.wmem[2]);
        self.snd.sndbuf = self.snd.sndbuf.max(want.min(most) as u32);
    }

    /// `tcp_check_space`: acknowledgments made room; wakes whoever was told that there is none.
    pub(super) fn check_space(&mut self, now: Instant, out: &mut Output) {
        if !self.snd.nospace {
            return;
        }
        if self.in_flight() < self.cc.cwnd {
            self.tcp_sndbuf_expand();
        }
        if self.is_writeable() {
            self.snd.nospace = false;
            self.chrono_stop(now, Doing::SndbufLimited);
            out.wake |= Ready::OUT;
            out.bell.space = !self.shut_wr;
        }
    }

    /// Somebody is going to sleep for room (or polled OUT and was refused): remember to wake.
    pub fn wants_space(&mut self) {
        self.snd.nospace = true;
    }

    /// Somebody sleeps until the handshake is done, to send then.
    pub fn write_waits(&mut self) {
        self.snd.write_pending = self.state == TcpState::SynSent;
    }

    /// TCP_NODELAY. Setting it sends what was held back, by TCP_CORK too (`TCP_NAGLE_PUSH`; tcp(7)).
    pub fn set_nodelay(&mut self, now: Instant, on: bool, out: &mut Output) {
        self.config.nodelay = on;
        if on {
            self.push_pending_frames(now, Nagle::Off, out);
        }
    }

    /// TCP_CORK. Clearing it sends what was held back.
    pub fn set_cork(&mut self, now: Instant, on: bool, out: &mut Output) {
        self.config.cork = on;
        if !on {
            self.push_pending_frames(now, Nagle::Off, out);
        }
    }

    /// SO_SNDBUF, already doubled and bounded: ends autotuning.
    pub fn set_sndbuf(&mut self, bytes: u32) {
        self.config.sndbuf = Some(bytes);
        self.snd.sndbuf = bytes;
    }

    /// Changes settings that act only when they are next looked at (TCP_LINGER2, TCP_USER_TIMEOUT,
    /// SO_RCVLOWAT, SO_OOBINLINE…). For the others there are setters.
    pub fn config_mut(&mut self) -> &mut TcpConfig {
        &mut self.config
    }
}
