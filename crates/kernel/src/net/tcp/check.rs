//! What holds in a connection between any two operations, whatever the other side and the program
//! do: the order of the numbers, queues and counters that agree with them, memory that is charged
//! for, and timers that run exactly when something waits for them. Looked at by the tests of a
//! hostile peer (`tests/hostile.rs`, tests/fuzzing); nothing else calls it.

use super::segment::Flags;
use super::state::{TcpConn, TcpState};
use super::timer::Pending;

/// The sentence, unless the condition holds.
fn holds(condition: bool, what: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what.to_owned()) }
}

impl TcpConn {
    /// Says what does not hold.
    ///
    /// # Errors
    /// The broken invariant, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        self.check_state()?;
        self.check_send_side()?;
        self.check_receive_side()?;
        self.check_timers()
    }

    fn check_state(&self) -> Result<(), String> {
        let listens = matches!(self.state, TcpState::Listen | TcpState::TimeWait);
        holds(!listens, "a connection never listens, and TIME_WAIT is a mini-socket's")?;
        let closing = matches!(
            self.state,
            TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck | TcpState::FinWait2
        );
        holds(!closing || self.snd.fin, "we are closing and have no FIN to send")?;
        let closed = self.state == TcpState::Close;
        holds(self.mini.is_none() || closed, "a mini-socket lives beside its connection")
    }

    fn check_send_side(&self) -> Result<(), String> {
        let snd = &self.snd;
        holds(!snd.una.after(snd.nxt), "SND.UNA is after SND.NXT")?;
        holds(!snd.nxt.after(snd.write_seq), "SND.NXT is after the last byte written")?;
        snd.flight.check(snd.una, snd.nxt)?;
        let syn = snd.flight.front().is_some_and(|first| first.syn);
        // Before the SYN has left it holds the first number, as one in flight does.
        let waits = self.data_end().saturating_since(snd.una + u32::from(syn));
        holds(snd.queue.len() == waits as usize, "the send queue is not what is unacknowledged")?;
        let unsent = (self.state != TcpState::SynSent).then(|| self.data_end().max(snd.nxt));
        snd.skbs.check(snd.nxt, unsent.unwrap_or(snd.nxt))
    }

    fn check_receive_side(&self) -> Result<(), String> {
        let rcv = &self.rcv;
        rcv.queue.check()?;
        holds(
            rcv.queue.len() == self.unread() as usize,
            "the receive queue is not what is unread",
        )?;
        holds(self.rmem_alloc() == rcv.window.charged, "received bytes are not charged for")?;
        rcv.ooo.check(rcv.nxt)?;
        // SO_RCVBUF may have made the buffer smaller than what it held already.
        let fits = self.rmem_alloc() <= self.most_rmem() || self.config.rcvbuf.is_some();
        holds(fits, "more is kept than the buffer and one segment")
    }

    /// What may be kept after a segment was: it may overrun the buffer, nothing more.
    pub fn most_rmem(&self) -> u32 {
        self.rcv.window.rcvbuf + self.config.rx_memory.truesize(u32::from(u16::MAX))
    }

    fn check_timers(&self) -> Result<(), String> {
        let timers = &self.timers;
        if self.state == TcpState::Close {
            let none = timers.pending.is_none() && timers.keepalive.is_none();
            return holds(
                none && self.rcv.ack.deadline.is_none() && self.rcv.compressed.deadline.is_none(),
                "a timer of nobody",
            );
        }
        let waits = !self.snd.flight.is_empty();
        match timers.pending {
            Some(Pending::Rto | Pending::LossProbe | Pending::Reorder) => {
                holds(waits, "a timeout of nothing")
            }
            Some(Pending::Probe0) => holds(!waits, "a window probe beside a flight"),
            None => holds(!waits, "a flight without a timeout"),
        }?;
        // Without a timer and without a flight, what waits would wait for ever.
        let stuck = self.has_send_head() && !waits && timers.pending.is_none();
        let held_back = self.config.cork || self.state == TcpState::SynSent;
        holds(!stuck || held_back, "something waits to be sent and no timer runs")?;
        let owes = self.rcv.ack.deadline.is_some() && !self.rcv.ack.scheduled;
        holds(!owes, "an acknowledgment is timed and not owed")
    }
}

/// The flags that no segment of ours has together.
///
/// # Errors
/// What is wrong with them, as a sentence.
pub fn check_flags(flags: Flags) -> Result<(), String> {
    let both = |a: Flags, b: Flags| flags.has(a) && flags.has(b);
    holds(!both(Flags::SYN, Flags::FIN), "we sent SYN and FIN together")?;
    holds(!both(Flags::SYN, Flags::RST), "we sent SYN and RST together")?;
    holds(!both(Flags::FIN, Flags::RST), "we sent FIN and RST together")?;
    let lone = flags.has(Flags::SYN) || flags.has(Flags::RST) || flags.has(Flags::ACK);
    holds(lone, "we sent a segment without ACK that is no SYN and no RST")
}
