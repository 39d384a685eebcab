//! What SO_TIMESTAMPING is told. Compared with 6.18 through packetdrill's timestamping scripts and
//! tests/guests/src/bin/timestamps.rs.

use super::super::{TxAsk, TxEvent};
use super::*;

const ASK: TxAsk = TxAsk { sched: true, software: true, ack: true, any: true };

fn write(pair: &mut Pair, len: usize, ask: TxAsk) -> Vec<(TxEvent, Seq)> {
    let flags = SendFlags { ask, ..SendFlags::default() };
    let now = pair.now;
    let mut out = Output::default();
    assert_eq!(pair.a.send(now, &vec![7; len], flags, &mut out), Ok(len));
    let stamps = out.stamps.clone();
    pair.take(A, out);
    stamps
}

#[test]
fn the_last_byte_of_a_write_is_told_when_it_leaves_and_when_it_is_acknowledged() {
    let mut pair = Pair::new();
    let key = pair.a.snd.nxt + 2999;
    let left = [(TxEvent::Scheduled, key), (TxEvent::Sent, key)];
    assert_eq!(write(&mut pair, 3000, ASK), left);
    let mut ack = from_peer(&mut pair, A, Flags::ACK, b"");
    let mut out = Output::default();
    for (number, told) in [(key, vec![]), (key + 1, vec![(TxEvent::Acked, key)])] {
        ack.ack = number;
        pair.a.input(pair.now, &ack, &mut out);
        assert_eq!(out.stamps, told);
    }
    assert_eq!(pair.a.snd.marks.len(), 0);
}

#[test]
fn an_sk_buff_has_one_mark_and_keeps_what_was_asked_of_the_first_half() {
    let mut pair = Pair::new();
    pair.a.config_mut().cork = true;
    let (first, second) = (pair.a.snd.nxt + 9, pair.a.snd.nxt + 29);
    assert_eq!(write(&mut pair, 10, TxAsk { software: false, ..ASK }), []);
    assert_eq!(write(&mut pair, 20, TxAsk { ack: false, sched: false, ..ASK }), []);
    let keys: Vec<Seq> = pair.a.snd.marks.iter().map(|mark| mark.key).collect();
    assert_eq!((keys, second.after(first)), (vec![second], true));
    let (now, mut out) = (pair.now, Output::default());
    pair.a.set_cork(now, false, &mut out);
    assert_eq!(out.stamps, [(TxEvent::Scheduled, second), (TxEvent::Sent, second)]);
}
