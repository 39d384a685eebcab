//! What leaves because nothing came: the tail loss probe (RFC 8985, 7), window probes, what a timeout
//! forgets, and which ICMP errors are believed. Compared with 6.18 through tests/packetdrill.

use super::super::congestion::CaState;
use super::super::timer::Pending;
use super::*;

fn record(pair: &mut Pair, len: usize) {
    let eor = SendFlags { eor: true, ..SendFlags::default() };
    let sent = pair.with_conn(A, |c, now, out| c.send(now, &vec![7; len], eor, out));
    assert_eq!(sent, Ok(len));
}

#[test]
fn a_loss_probe_comes_a_tick_after_two_segments_on_a_link_without_delay() {
    let mut pair = Pair::new();
    pair.partition();
    let start = pair.now;
    pair.send(A, &[7; 2 * 1448]).unwrap();
    pair.clear();
    pair.run(ms(230));
    assert_eq!(pair.times(A, start), [0.004, 0.208], "the timeout counts from the probe");
}

#[test]
fn a_loss_probe_is_sent_while_the_window_is_reduced_for_a_mark() {
    let mut pair = Pair::new();
    pair.partition();
    pair.a.enter_cwr();
    pair.send(A, &[7; 2 * 1448]).unwrap();
    assert_eq!((pair.a.cc.state, pair.a.timers.pending), (CaState::Cwr, Some(Pending::LossProbe)));
}

#[test]
fn a_loss_probe_takes_nothing_of_the_next_record() {
    let mut pair = Pair::new();
    pair.partition();
    pair.send(A, &[7; 10 * 1448]).unwrap();
    record(&mut pair, 300);
    record(&mut pair, 300);
    pair.clear();
    pair.run(ms(20));
    assert_eq!((pair.sent(A).len(), pair.last(A).len()), (1, 300));
    assert_eq!((pair.a.in_flight(), pair.a.cc.cwnd), (11, 10), "although the window is full");
    assert_eq!(pair.a.check(), Ok(()));
}

#[test]
fn a_window_probe_takes_nothing_of_the_next_record() {
    let mut pair = Pair::new();
    let mut closed = from_peer(&mut pair, A, Flags::ACK, b"");
    closed.window = 0;
    pair.inject(A, &closed);
    record(&mut pair, 1200);
    record(&mut pair, 300);
    pair.inject(A, &Segment { window: 1, ..closed.clone() });
    pair.partition();
    pair.clear();
    pair.run(ms(300));
    assert_eq!((pair.sent(A), pair.last(A).len()), (vec!["[P.]".to_owned()], 1024));
    let opened = Segment { ack: pair.a.snd.nxt, window: 500, ..closed };
    pair.clear();
    pair.inject(A, &opened);
    assert_eq!((pair.sent(A)[0].as_str(), pair.log[0].2.len()), ("[P.]", 176), "its rest");
    assert_eq!(pair.a.check(), Ok(()));
}

#[test]
fn a_second_timeout_forgets_the_path_again() {
    let mut pair = Pair::new();
    pair.partition();
    pair.send(A, &[7; 5 * 1448]).unwrap();
    pair.run(ms(220));
    assert_eq!(pair.a.cc.state, CaState::Loss);
    let forgotten = pair.a.cc.clone();
    let now = pair.now;
    pair.a.cc.grow(now, 20);
    assert_ne!(pair.a.cc, forgotten, "it learned something");
    pair.run(ms(420));
    assert_eq!((pair.a.timers.retransmits, pair.a.cc.ssthresh), (2, forgotten.ssthresh));
    assert_eq!(pair.a.cc, forgotten);
}

#[test]
fn waiting_for_more_from_the_program_is_no_windows_fault() {
    // `tcp_tso_should_defer`: an acknowledgment is near, the windows take all that there is.
    let mut pair = Pair::new();
    pair.partition();
    pair.send(A, &[7; 7 * 1448]).unwrap();
    pair.run(Duration::from_micros(150));
    pair.send(A, &[7; 2 * 1448]).unwrap();
    assert_eq!(pair.a.in_flight(), 7, "the second call waits for an acknowledgment");
    assert!(!pair.a.snd.usage.limited);
    assert_eq!(pair.a.chrono.ticks(pair.now + secs(1))[1], 0, "and not for the window");
}

#[test]
fn t49_an_error_about_what_is_not_in_flight_is_of_another_connection() {
    let mut pair = Pair::new();
    pair.partition();
    pair.send(A, b"ten bytes.").unwrap();
    let (una, nxt) = (pair.a.snd.una, pair.a.snd.nxt);
    let believed = [una - 1, una, nxt, nxt + 1].map(|seq| pair.a.in_flight_at(seq));
    assert_eq!(believed, [false, true, true, false]);
}
