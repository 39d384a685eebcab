//! A device whose queue is full, and what TCP_INFO says of a sender's time. Compared with 6.18 through
//! packetdrill's scripts user-timeout-probe, cubic-rack-reo-timeout-… and tcp-info-rwnd-limited.

use super::super::congestion::CaState;
use super::super::timer::Pending;
use super::*;
use crate::abi::Errno;

#[test]
fn t53_a_full_device_is_tried_every_half_second_until_the_user_timeout() {
    let mut pair = Pair::new();
    pair.a.config_mut().user_timeout = Some(secs(3));
    pair.a.set_device_full(true);
    assert_eq!(pair.send(A, b"never leaves"), Ok(12));
    assert_eq!((pair.a.cc.state, pair.a.timers.pending), (CaState::Cwr, Some(Pending::Probe0)));
    assert_eq!((pair.a.snd.nxt, pair.a.check()), (pair.a.snd.una, Ok(())));
    pair.run(ms(3200));
    assert_eq!(pair.a.state(), TcpState::Established);
    pair.run(ms(100));
    assert_eq!((pair.a.state(), pair.a.take_error()), (TcpState::Close, Some(Errno::ETIMEDOUT)));
    let info = pair.a.info();
    assert_eq!((info.probes, info.backoff), (6, 0), "6.18 counts them, and does not double");
    assert!(pair.sent(A).is_empty());
}

#[test]
fn what_found_no_room_leaves_when_there_is() {
    let mut pair = Pair::new();
    pair.a.set_device_full(true);
    pair.send(A, &[7; 3000]).unwrap();
    pair.run(ms(100));
    pair.a.set_device_full(false);
    pair.run(secs(1));
    assert_eq!(pair.drain(B), [7; 3000]);
    assert_eq!(pair.a.check(), Ok(()));
}

#[test]
fn a_retransmission_without_room_is_not_in_flight_and_waits_half_a_second() {
    let mut pair = Pair::new();
    pair.partition();
    pair.send(A, b"lost").unwrap();
    pair.clear();
    pair.a.set_device_full(true);
    // The loss probe finds no room either; the timeout comes as if it had.
    pair.run(ms(500));
    assert_eq!((pair.a.cc.state, pair.a.info().retrans_out), (CaState::Loss, 0));
    let (tries, backoff) = (pair.a.timers.retransmits, pair.a.timers.backoff);
    assert!(tries > 0 && backoff == 0, "{tries} tries, {backoff} doublings");
    pair.run(ms(500));
    assert_eq!(pair.a.timers.retransmits, tries + 1);
    pair.a.set_device_full(false);
    pair.run(ms(500));
    assert_eq!((pair.sent(A), pair.a.timers.backoff), (vec!["[P.]".to_owned()], 1));
    assert_eq!(pair.a.check(), Ok(()));
}

#[test]
fn time_before_a_closed_window_is_told() {
    let mut pair = Pair::new();
    let mut closed = from_peer(&mut pair, A, Flags::ACK, b"");
    closed.window = 0;
    pair.inject(A, &closed);
    pair.partition();
    pair.send(A, &[7; 1000]).unwrap();
    pair.run(ms(100));
    let told = pair.a.info().chrono.ticks(pair.now);
    assert_eq!(told, [25, 25, 0], "ticks of 4 ms: busy, of these before the window, the buffer");
}
