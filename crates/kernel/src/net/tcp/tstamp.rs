//! What SO_TIMESTAMPING asks of a sender: to be told when the last byte of a write leaves, each time,
//! and when it is acknowledged (`tcp_tx_timestamp`, `tcp_ack_tstamp`; Linux's timestamping.rst). An
//! sk_buff has one mark: what is written into it later takes it along. Neighbours: `send`, which marks;
//! `output` and `ack`, which say what happens; the socket room's `timestamping`, which tells.

use super::fact::Output;
use super::seq::Seq;
use super::state::TcpConn;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxAsk {
    /// SOF_TIMESTAMPING_TX_SCHED: given to the device's queue.
    pub sched: bool,
    /// SOF_TIMESTAMPING_TX_SOFTWARE: given to the device.
    pub software: bool,
    /// SOF_TIMESTAMPING_TX_ACK: acknowledged.
    pub ack: bool,
    /// Any flag of that kind: then the byte is marked, though nothing may follow from it.
    pub any: bool,
}

/// What happened, by Linux's SCM_TSTAMP_….
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TxEvent {
    /// SCM_TSTAMP_SND.
    Sent = 0,
    /// SCM_TSTAMP_SCHED.
    Scheduled = 1,
    /// SCM_TSTAMP_ACK.
    Acked = 2,
}

/// A byte that somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TxMark {
    pub key: Seq,
    ask: TxAsk,
}

impl TcpConn {
    /// `tcp_tx_timestamp`: the last byte of the last sk_buff, which may have left already.
    pub fn tx_timestamp(&mut self, ask: TxAsk) {
        let start = match self.snd.skbs.tail_start(self.snd.nxt) {
            Some(start) => Some(start),
            None => self.snd.flight.last_unit_start(),
        };
        let Some(start) = start.filter(|_| ask.any) else { return };
        let mut mark = TxMark { key: self.data_end() - 1, ask };
        while let Some(old) = self.snd.marks.pop_back_if(|old| !old.key.before(start)) {
            mark.ask.sched |= old.ask.sched;
            mark.ask.software |= old.ask.software;
            mark.ask.ack |= old.ask.ack;
        }
        self.snd.marks.push_back(mark);
    }

    /// `len` bytes from `seq` on left, for the first time or again.
    pub(super) fn tx_left(&self, seq: Seq, len: u32, out: &mut Output) {
        let inside = |mark: &&TxMark| !mark.key.before(seq) && mark.key.before(seq + len);
        for TxMark { key, ask } in self.snd.marks.iter().filter(inside) {
            out.stamps.extend(ask.sched.then_some((TxEvent::Scheduled, *key)));
            out.stamps.extend(ask.software.then_some((TxEvent::Sent, *key)));
        }
    }

    /// `tcp_ack_tstamp`: all before SND.UNA is acknowledged.
    pub(super) fn tx_acked(&mut self, out: &mut Output) {
        let una = self.snd.una;
        while let Some(mark) = self.snd.marks.pop_front_if(|mark| mark.key.before(una)) {
            out.stamps.extend(mark.ask.ack.then_some((TxEvent::Acked, mark.key)));
        }
    }

    /// From which number SOF_TIMESTAMPING_OPT_ID counts: what is not acknowledged yet, or with
    /// SOF_TIMESTAMPING_OPT_ID_TCP what was not written yet.
    pub fn tskey(&self, written: bool) -> u32 {
        if written { self.snd.write_seq.0 } else { self.snd.una.0 }
    }
}
