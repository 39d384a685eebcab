//! A segment arrives (RFC 9293, 3.10.7): one function per group of states, the clause or rule on
//! each arm. What an acknowledgment does is in `ack`, what data does in `receive`.

use super::ack::AckVerdict;
use super::close::Orphaned;
use super::config::TCP_DELACK_MAX;
use super::delack::TCP_MAX_QUICKACKS;
use super::fact::{ChallengeWhy, DropWhy, Output, Ready, ReplyWhy, TcpFact};
use super::segment::{Flags, Segment};
use super::seq::Seq;
use super::state::{TcpConn, TcpState};
use crate::abi::Errno;
use crate::time::{Duration, Instant};

/// RFC 7323, 5.5: a timestamp older than this says nothing.
const PAWS_24_DAYS: Duration = Duration::from_secs(60 * 60 * 24 * 24);

/// Whether the next step of RFC 9293's list is to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Go,
    Drop,
}

impl TcpConn {
    /// A segment for this 4-tuple came.
    pub fn input(&mut self, now: Instant, s: &Segment, out: &mut Output) {
        if self.mini.is_some() {
            return self.mini_input(now, s, out);
        }
        self.stats.segs_in += 1;
        self.stats.data_segs_in += u32::from(!s.is_empty());
        match self.state {
            // T-26: the 4-tuple is nobody's.
            TcpState::Close => out.reply_reset(s, ReplyWhy::NoSocket),
            TcpState::SynSent => self.rcv_synsent_state_process(now, s, out),
            TcpState::SynRecv
            | TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Closing => self.rcv_synchronized(now, s, out),
            TcpState::Listen | TcpState::TimeWait => {
                unreachable!("a listener and a mini-socket are values of their own")
            }
        }
    }

    /// RFC 9293, 3.10.7.3.
    fn rcv_synsent_state_process(&mut self, now: Instant, s: &Segment, out: &mut Output) {
        if s.has(Flags::ACK) {
            // First: the acknowledgment must cover our SYN and nothing that we never sent.
            if !s.ack.after(self.snd.una) || s.ack.after(self.snd.nxt) {
                self.retry_syn_soon(now);
                return out.reply_reset(s, ReplyWhy::BadAck);
            }
            if s.has(Flags::RST) {
                return self.tcp_reset(now, s, out);
            }
        } else if s.has(Flags::RST) {
            return out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::RstWithoutAck });
        }
        if !s.has(Flags::SYN) {
            return Self::drop_without_ack(s, out);
        }
        self.rcv.nxt = s.seq + 1;
        self.rcv.copied = self.rcv.nxt;
        self.rcv.window.wup = self.rcv.nxt;
        self.snd.wl1 = s.seq;
        self.agree(now, &s.options);
        if s.has(Flags::ACK) {
            self.ecn_rcv_synack(s);
            // 6.18 forgets the linear timeouts of the SYN with its acknowledgment.
            self.tcp_ack(now, s, out);
            self.rtt.set_rto(&self.config);
            self.snd.wl1 = s.seq;
            self.finish_connect(now, out);
            self.ack_synack(now, out);
            self.data_snd_check(now, out);
        } else {
            // Simultaneous open: both SYNs crossed.
            self.set_state(TcpState::SynRecv, out);
            self.snd.wnd = u32::from(s.window);
            self.snd.max_window = self.snd.wnd;
            self.transmit_syn(now, Flags::SYN | Flags::ACK, out);
        }
    }

    /// The third segment of the handshake: saved where data will carry it in a few ticks.
    fn ack_synack(&mut self, now: Instant, out: &mut Output) {
        let answers = self.rcv.ack.pingpong;
        if !answers && !self.snd.write_pending && self.config.defer_accept == 0 {
            return self.tcp_send_ack(now, out);
        }
        let window = self.rcv.window.current(self.rcv.nxt);
        let ack = &mut self.rcv.ack;
        ack.enter_quickack_mode(window, self.rcv.window.rcv_mss, TCP_MAX_QUICKACKS);
        ack.scheduled = true;
        ack.deadline = Some(now + TCP_DELACK_MAX);
    }

    /// The handshake is done (`tcp_finish_connect`, and the SYN_RECV arm of the state machine).
    fn finish_connect(&mut self, now: Instant, out: &mut Output) {
        self.set_state(TcpState::Established, out);
        self.rcv.heard = now;
        self.snd.last = now;
        self.rcv.ack.last = now;
        self.tcp_sndbuf_expand();
        self.rcv.window.initialize_rcv_mss(self.mss());
        self.start_keepalive(now);
        out.bell.connected = true;
        out.wake_all();
    }

    /// RFC 9293, 3.10.7.4: SYN-RECEIVED and everything after it.
    fn rcv_synchronized(&mut self, now: Instant, s: &Segment, out: &mut Output) {
        if self.tcp_validate_incoming(now, s, out) == Step::Drop {
            return;
        }
        // Fifth: the ACK bit off: drop.
        if !s.has(Flags::ACK) {
            return Self::drop_without_ack(s, out);
        }
        self.note_timestamp(now, s);
        if self.check_ack(now, s, out) == Step::Drop
            || self.ack_moves_state(now, s, out) == Step::Drop
        {
            return;
        }
        // Sixth: URG. Seventh: text. Eighth: FIN.
        if self.takes_text(s) {
            self.tcp_urg(s, out);
            if self.reader_is_gone(s) {
                // T-27, T-45: data for a reader who is gone.
                self.tcp_reset_quietly(now, out);
                return out.reply_reset(s, ReplyWhy::DataAfterClose);
            }
            self.tcp_data_queue(now, s, out);
        }
        if self.state == TcpState::Close {
            return;
        }
        self.data_snd_check(now, out);
        self.ack_snd_check(now, out);
    }

    /// First to fourth: sequence number, RST, SYN (`tcp_validate_incoming`).
    fn tcp_validate_incoming(&mut self, now: Instant, s: &Segment, out: &mut Output) -> Step {
        // T-48: an old timestamp does not protect from a RST.
        if !s.has(Flags::RST) && self.paws_rejects(now, s) {
            self.challenge(now, ChallengeWhy::Paws, s, out);
            return Step::Drop;
        }
        if !self.tcp_sequence(s) {
            if s.has(Flags::RST) && !self.reset_check(s) {
                out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::RstOutOfWindow });
            } else if s.has(Flags::RST) {
                self.tcp_reset(now, s, out);
            } else if s.has(Flags::SYN) {
                self.challenge(now, ChallengeWhy::Syn, s, out);
            } else {
                self.challenge(now, ChallengeWhy::OutOfWindow, s, out);
            }
            return Step::Drop;
        }
        if s.has(Flags::RST) {
            if s.seq == self.rcv.nxt
                || self.rcv.ooo.highest_edge() == Some(s.seq)
                || self.reset_check(s)
            {
                self.tcp_reset(now, s, out);
            } else {
                self.challenge(now, ChallengeWhy::RstInWindow, s, out);
            }
            return Step::Drop;
        }
        if s.has(Flags::SYN) {
            // The SYN-ACK that ends a simultaneous open repeats their SYN.
            let ends_open = self.state == TcpState::SynRecv
                && s.has(Flags::ACK)
                && s.seq + 1 == self.rcv.nxt
                && s.end() == self.rcv.nxt
                && s.ack == self.snd.nxt;
            if !ends_open {
                self.challenge(now, ChallengeWhy::Syn, s, out);
                return Step::Drop;
            }
        }
        Step::Go
    }

    /// `tcp_sequence`: some of it lies in the window (RFC 9293, 3.4). Linux is generous at the left
    /// edge (RCV.WUP instead of RCV.NXT) and accepts one segment that overruns the right edge if
    /// nothing is unread.
    fn tcp_sequence(&self, s: &Segment) -> bool {
        if s.end().before(self.rcv.window.wup) {
            return false;
        }
        let edge = self.rcv.nxt + self.rcv.window.current(self.rcv.nxt);
        if s.end().after(edge) {
            return !s.seq.after(edge) && self.rcv.queue.is_empty();
        }
        true
    }

    /// A reset one before RCV.NXT is good after a FIN (T-48).
    fn reset_check(&self, s: &Segment) -> bool {
        s.seq == self.rcv.nxt - 1
            && matches!(self.state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing)
    }

    /// RFC 7323, 5.3, with Linux's exception for pure duplicates that came a little late.
    fn paws_rejects(&self, now: Instant, s: &Segment) -> bool {
        let (Some((recent, since)), Some(ts)) = (self.rcv.ts_recent, s.options.timestamps) else {
            return false;
        };
        if !self.agreed.timestamps || !Seq(ts.val).before(Seq(recent)) {
            return false;
        }
        let stale = now.saturating_since(since) > PAWS_24_DAYS;
        let disordered_ack = s.seq_len() == 0
            && s.seq == self.rcv.nxt
            && s.ack == self.snd.una
            && Seq(recent).since(Seq(ts.val)) <= self.rtt.rto().as_millis() as u32;
        !stale && !disordered_ack
    }

    /// TS.Recent follows segments that cover our last acknowledgment (RFC 7323, 4.3).
    fn note_timestamp(&mut self, now: Instant, s: &Segment) {
        if let Some(ts) = s.options.timestamps
            && self.agreed.timestamps
            && !s.seq.after(self.rcv.last_ack_sent)
        {
            self.rcv.ts_recent = Some((ts.val, now));
        }
    }

    /// Fifth, the acknowledgment itself.
    fn check_ack(&mut self, now: Instant, s: &Segment, out: &mut Output) -> Step {
        let first = self.state == TcpState::SynRecv;
        if first && (s.ack.before(self.snd.nxt) || s.ack.after(self.snd.nxt)) {
            // RFC 9293: "If SND.UNA < SEG.ACK =< SND.NXT … otherwise send a reset".
            out.reply_reset(s, ReplyWhy::BadAck);
            return Step::Drop;
        }
        let too_new = s.ack.after(self.snd.nxt);
        match self.tcp_ack(now, s, out) {
            AckVerdict::Good => Step::Go,
            AckVerdict::Old => Step::Go,
            AckVerdict::Bad => {
                let established = self.state == TcpState::Established;
                if too_new && !established {
                    self.challenge(now, ChallengeWhy::Ack, s, out);
                } else if too_new {
                    out.fact(TcpFact::Dropped { flags: s.flags, why: DropWhy::OldAck });
                }
                Step::Drop
            }
        }
    }

    /// What an acceptable acknowledgment means to the state.
    fn ack_moves_state(&mut self, now: Instant, s: &Segment, out: &mut Output) -> Step {
        let all_acked = self.snd.fin && self.snd.una == self.snd.write_seq;
        match self.state {
            TcpState::SynRecv => {
                self.snd.wl1 = s.seq;
                let shift = if s.has(Flags::SYN) { 0 } else { self.snd.wscale };
                self.snd.wnd = u32::from(s.window) << shift;
                self.snd.max_window = self.snd.max_window.max(self.snd.wnd);
                self.finish_connect(now, out);
                if self.shut_wr {
                    // The program shut its side down before or during a simultaneous open: the
                    // FIN leaves now (since 6.9 not earlier).
                    self.tcp_close_state(now, out);
                }
                Step::Go
            }
            TcpState::FinWait1 if all_acked => self.fin_acked(now, s, out),
            // T-28: their FIN was here already.
            TcpState::Closing if all_acked => {
                let time = super::config::TCP_TIMEWAIT_LEN;
                self.tcp_time_wait(now, TcpState::TimeWait, time, out);
                Step::Drop
            }
            // T-10: no TIME_WAIT for the second closer.
            TcpState::LastAck if all_acked => {
                self.tcp_done(out);
                Step::Drop
            }
            TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => Step::Go,
            TcpState::Established | TcpState::FinWait2 | TcpState::CloseWait => Step::Go,
            TcpState::SynSent | TcpState::TimeWait | TcpState::Close | TcpState::Listen => {
                Step::Drop
            }
        }
    }

    /// FIN_WAIT1 and our FIN is acknowledged (T-24).
    fn fin_acked(&mut self, now: Instant, s: &Segment, out: &mut Output) -> Step {
        self.set_state(TcpState::FinWait2, out);
        self.shut_wr = true;
        if !self.orphan {
            // T-44: a living socket waits without limit.
            out.wake_all();
            return Step::Go;
        }
        if self.reader_is_gone(s) {
            self.tcp_done(out);
            out.reply_reset(s, ReplyWhy::DataAfterClose);
            return Step::Drop;
        }
        match self.enter_orphan_fin_wait2(now, s.has(Flags::FIN), out) {
            Orphaned::Reset => {
                self.tcp_done(out);
                out.reply_reset(s, ReplyWhy::Linger2);
                Step::Drop
            }
            Orphaned::Mini => Step::Drop,
            Orphaned::Full => Step::Go,
        }
    }

    /// Text and FIN are looked at in these states only.
    fn takes_text(&self, s: &Segment) -> bool {
        match self.state {
            TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2 => true,
            // After their FIN nothing can follow; what comes is old and gets an ACK.
            TcpState::CloseWait | TcpState::Closing | TcpState::LastAck => {
                s.seq.before(self.rcv.nxt)
            }
            TcpState::SynSent
            | TcpState::SynRecv
            | TcpState::TimeWait
            | TcpState::Close
            | TcpState::Listen => false,
        }
    }

    /// New payload after both our sides are shut down (T-27, T-45).
    fn reader_is_gone(&self, s: &Segment) -> bool {
        let data_end = s.seq + s.len();
        matches!(self.state, TcpState::FinWait1 | TcpState::FinWait2)
            && self.shut_rd
            && !s.is_empty()
            && data_end.after(self.rcv.nxt)
    }

    /// `tcp_reset`: a valid RST came. What is received stays readable (T-22, T-40).
    fn tcp_reset(&mut self, now: Instant, s: &Segment, out: &mut Output) {
        debug_assert!(s.has(Flags::RST), "only a RST resets");
        self.tcp_reset_quietly(now, out);
    }

    fn tcp_reset_quietly(&mut self, now: Instant, out: &mut Output) {
        let error = match self.state {
            TcpState::SynSent => Errno::ECONNREFUSED, // T-42
            TcpState::CloseWait => Errno::EPIPE,      // T-41
            TcpState::Close => return,
            TcpState::SynRecv
            | TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::LastAck
            | TcpState::Closing
            | TcpState::TimeWait
            | TcpState::Listen => Errno::ECONNRESET, // T-40
        };
        out.fact(TcpFact::Reset { error, state: self.state });
        self.err = Some(error);
        self.write_queue_purge(now);
        self.tcp_done(out);
        if !self.orphan {
            out.wake |= Ready::ERR;
            out.bell.error = true;
        }
    }
}
