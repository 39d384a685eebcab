//! T-2…T-22: what the final release of a socket does, row by row, and the orphans after it.
//! Each test is one row of the table in docs/linux-semantics.md, over the in-memory pair.

use super::timers::zero_window;
use super::*;

const LINGER0: Close =
    Close { linger: Some(Duration::ZERO), exiting: true, too_many_orphans: false };

/// A pair in which B received nothing yet, brought into the state that the row names. The victim
/// is A.
fn in_state(state: TcpState) -> Pair {
    let mut pair = Pair::new();
    match state {
        TcpState::Established => {}
        TcpState::CloseWait => pair.shutdown(B, Shutdown::Write),
        TcpState::FinWait1 => {
            pair.partition();
            pair.shutdown(A, Shutdown::Write);
        }
        TcpState::FinWait2 => pair.shutdown(A, Shutdown::Write),
        TcpState::Closing => {
            pair.partition();
            pair.shutdown(A, Shutdown::Write);
            let mut fin = from_peer(&mut pair, A, Flags::FIN | Flags::ACK, b"");
            fin.ack = fin.ack - 1;
            pair.inject(A, &fin);
        }
        TcpState::LastAck => {
            pair.shutdown(B, Shutdown::Write);
            pair.run(ms(10));
            pair.partition();
            pair.shutdown(A, Shutdown::Write);
        }
        other => panic!("no recipe for {other:?}"),
    }
    pair.run(ms(50));
    assert_eq!(pair.a.state(), state);
    pair.clear();
    pair
}

/// The same with five unread bytes at A.
fn with_unread(state: TcpState) -> Pair {
    let mut pair = Pair::new();
    match state {
        TcpState::Established => {
            pair.send(B, b"12345").unwrap();
        }
        TcpState::CloseWait => {
            pair.send(B, b"12345").unwrap();
            pair.shutdown(B, Shutdown::Write);
        }
        TcpState::FinWait1 => {
            pair.partition();
            pair.shutdown(A, Shutdown::Write);
            let mut data = from_peer(&mut pair, A, Flags::ACK, b"12345");
            data.ack = data.ack - 1;
            pair.inject(A, &data);
        }
        TcpState::FinWait2 => {
            pair.shutdown(A, Shutdown::Write);
            pair.run(ms(50));
            pair.send(B, b"12345").unwrap();
        }
        TcpState::Closing => {
            pair.partition();
            pair.shutdown(A, Shutdown::Write);
            let mut data = from_peer(&mut pair, A, Flags::FIN | Flags::ACK, b"12345");
            data.ack = data.ack - 1;
            pair.inject(A, &data);
        }
        TcpState::LastAck => {
            pair.send(B, b"12345").unwrap();
            pair.shutdown(B, Shutdown::Write);
            pair.run(ms(10));
            pair.partition();
            pair.shutdown(A, Shutdown::Write);
        }
        other => panic!("no recipe for {other:?}"),
    }
    pair.run(ms(50));
    assert_eq!((pair.a.state(), pair.a.unread()), (state, 5));
    pair.clear();
    pair
}

#[test]
fn t5_unaccepted_connections_get_a_reset_in_fifo_order() {
    let mut listener: Listener<u8, TcpConn> = Listener::new(TcpConfig::default(), 5);
    let mut clients = Vec::new();
    let now = Instant(1);
    for peer in 0..3u8 {
        let mut out = Output::default();
        let isn = Seq(1000 * u32::from(peer));
        let mut a = TcpConn::connect(TcpConfig::default(), now, isn, &mut out);
        let mut reply = Output::default();
        listener.input(now, peer, &out.segments[0], Seq(77), &mut reply);
        let mut ack = Output::default();
        a.input(now, &reply.segments[0], &mut ack);
        let mut none = Output::default();
        let ListenerEvent::Established(conn) =
            listener.input(now, peer, &ack.segments[0], Seq(0), &mut none)
        else {
            panic!("the third segment completes the handshake");
        };
        listener.push(*conn);
        clients.push(a);
    }
    // One more is still in SYN_RECV: it gets nothing (T-35).
    let mut out = Output::default();
    TcpConn::connect(TcpConfig::default(), now, Seq(9), &mut out);
    listener.input(now, 9, &out.segments[0], Seq(78), &mut Output::default());
    let mut seen = Vec::new();
    for mut conn in listener.close() {
        let mut out = Output::default();
        let outcome = conn.forget_unaccepted(now, &mut out);
        assert_eq!(outcome.sent, CloseSent::Rst(ResetWhy::NotAccepted));
        assert!(conn.is_dead());
        assert_eq!(out.segments.len(), 1);
        seen.push((format!("{:?}", out.segments[0].flags), out.segments[0].ack));
        let client = &mut clients[seen.len() - 1];
        client.input(now, &out.segments[0], &mut Output::default());
        assert_eq!(client.take_error(), Some(crate::abi::Errno::ECONNRESET));
    }
    let want = [1, 1001, 2001].map(|ack| ("[R.]".to_string(), Seq(ack)));
    assert_eq!(seen, want);
    assert_eq!(listener.next_deadline(), None, "no more SYN-ACKs");
}

#[test]
fn t6_a_close_in_syn_sent_sends_nothing() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.clear();
    let outcome = pair.close(A);
    assert_eq!(outcome.sent, CloseSent::Nothing(Silence::SynSent));
    assert_eq!((outcome.from, outcome.next), (TcpState::SynSent, TcpState::Close));
    assert!(pair.a.is_dead());
    pair.run(ms(10));
    // A late SYN-ACK gets a reply RST.
    assert_eq!(pair.sent(A), ["[R]"]);
}

#[test]
fn t7_established_sends_fin_and_becomes_an_orphan() {
    let mut pair = in_state(TcpState::Established);
    let outcome = pair.close(A);
    assert_eq!(outcome.sent, CloseSent::Fin { unsent: 0 });
    assert_eq!((outcome.next, outcome.unread), (TcpState::FinWait1, 0));
    assert!(pair.a.is_orphan() && !pair.a.is_dead());
    pair.run(ms(60));
    assert_eq!(pair.sent(A), ["[F.]"]);
    assert_eq!(pair.a.wire_state(), TcpState::FinWait2);
    assert_eq!(pair.b().state(), TcpState::CloseWait);
    assert_eq!(pair.b().poll(), Ready::IN | Ready::OUT | Ready::RDHUP);
}

#[test]
fn t8_t11_t14_t18_unread_data_makes_a_reset_in_every_state() {
    for state in [
        TcpState::Established,
        TcpState::CloseWait,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::Closing,
        TcpState::LastAck,
    ] {
        for how in [Close::default(), LINGER0] {
            let mut pair = with_unread(state);
            let nxt = (pair.a.snd.nxt, pair.a.rcv.nxt);
            let outcome = pair.close_as(A, how);
            assert_eq!(outcome.sent, CloseSent::Rst(ResetWhy::Unread), "{state:?}");
            assert_eq!((outcome.unread, outcome.next), (5, TcpState::Close));
            assert!(pair.a.is_dead());
            assert_eq!(pair.sent(A), ["[R.]"]);
            // T-24a.
            let rst = pair.last(A);
            assert_eq!((rst.seq, rst.ack, rst.header_len()), (nxt.0, nxt.1, 32));
            assert_ne!(rst.window, 0);
        }
    }
}

#[test]
fn t9_t12_t15_t18_linger_zero_aborts() {
    for (state, sent) in [
        (TcpState::Established, CloseSent::Rst(ResetWhy::Linger0)),
        (TcpState::CloseWait, CloseSent::Rst(ResetWhy::Linger0)),
        (TcpState::FinWait1, CloseSent::Rst(ResetWhy::Linger0)),
        (TcpState::FinWait2, CloseSent::Rst(ResetWhy::Linger0)),
        (TcpState::Closing, CloseSent::Nothing(Silence::FinAlreadyOut)),
        (TcpState::LastAck, CloseSent::Nothing(Silence::FinAlreadyOut)),
    ] {
        let mut pair = in_state(state);
        let outcome = pair.close_as(A, LINGER0);
        assert_eq!((outcome.sent, outcome.next), (sent, TcpState::Close), "{state:?}");
        let wire: &[&str] = if matches!(sent, CloseSent::Rst(_)) { &["[R.]"] } else { &[] };
        assert_eq!(pair.sent(A), wire);
        assert!(pair.a.is_dead());
    }
}

#[test]
fn t10_the_second_closer_ends_without_time_wait() {
    let mut pair = in_state(TcpState::CloseWait);
    let outcome = pair.close(A);
    assert_eq!((outcome.sent, outcome.next), (CloseSent::Fin { unsent: 0 }, TcpState::LastAck));
    pair.run(ms(10));
    assert_eq!(pair.sent(A), ["[F.]"]);
    assert!(pair.a.is_dead());
    assert_eq!(pair.b().wire_state(), TcpState::TimeWait);
}

#[test]
fn t13_t16_t17_after_shutdown_a_close_sends_nothing() {
    for (state, next) in [
        (TcpState::FinWait1, TcpState::FinWait1),
        (TcpState::FinWait2, TcpState::FinWait2),
        (TcpState::Closing, TcpState::Closing),
        (TcpState::LastAck, TcpState::LastAck),
    ] {
        let mut pair = in_state(state);
        let outcome = pair.close(A);
        assert_eq!(outcome.sent, CloseSent::Nothing(Silence::FinSentBefore), "{state:?}");
        assert_eq!(outcome.next, next);
        assert!(pair.sent(A).is_empty() && pair.a.is_orphan());
    }
}

#[test]
fn t16_a_negative_linger2_resets_in_fin_wait2() {
    let mut pair = in_state(TcpState::FinWait2);
    pair.a.config_mut().linger2 = Linger2::Never;
    let outcome = pair.close(A);
    assert_eq!(outcome.sent, CloseSent::Rst(ResetWhy::Linger2));
    assert_eq!((pair.sent(A), pair.a.is_dead()), (vec!["[R.]".to_string()], true));
}

#[test]
fn t19_after_both_fins_or_a_reset_a_close_sends_nothing() {
    let mut pair = with_unread(TcpState::FinWait2);
    pair.shutdown(B, Shutdown::Write);
    pair.run(ms(60));
    assert_eq!((pair.a.state(), pair.a.wire_state()), (TcpState::Close, TcpState::TimeWait));
    pair.clear();
    // T-46: the descriptor is still open.
    assert_eq!(pair.a.poll(), Ready::IN | Ready::OUT | Ready::HUP | Ready::RDHUP);
    assert_eq!(pair.a.info().state, TcpState::Close);
    let outcome = pair.close(A);
    assert_eq!(outcome.sent, CloseSent::Nothing(Silence::NoConnection));
    assert_eq!((outcome.unread, outcome.next), (5, TcpState::TimeWait));
    assert!(pair.sent(A).is_empty());
    // The mini-socket runs on alone, for 60 s.
    pair.run(secs(59));
    assert!(!pair.a.is_dead());
    pair.run(secs(2));
    assert!(pair.a.is_dead());
}

#[test]
fn t2_peeked_and_partly_read_data_is_unread_but_a_gap_is_not() {
    let mut pair = with_unread(TcpState::Established);
    let peeked = pair.with_conn(A, |c, now, out| c.recv(now, 5, true, out));
    assert_eq!(peeked, Ok(Received::Data(bytes::Bytes::from_static(b"12345"))));
    assert_eq!(pair.close(A).unread, 5);

    let mut pair = with_unread(TcpState::Established);
    pair.recv(A, 4).unwrap();
    assert_eq!(pair.close(A).sent, CloseSent::Rst(ResetWhy::Unread));

    let mut pair = with_unread(TcpState::Established);
    pair.recv(A, 5).unwrap();
    assert_eq!(pair.close(A).sent, CloseSent::Fin { unsent: 0 });

    // Received after SHUT_RD.
    let mut pair = Pair::new();
    pair.shutdown(A, Shutdown::Read);
    pair.send(B, b"late").unwrap();
    pair.run(ms(10));
    assert_eq!(pair.close(A).sent, CloseSent::Rst(ResetWhy::Unread));

    // Out of order: the hole hides it.
    let mut pair = Pair::new();
    let mut early = from_peer(&mut pair, A, Flags::ACK, b"early");
    early.seq += 10;
    pair.inject(A, &early);
    assert_eq!(pair.close(A).sent, CloseSent::Fin { unsent: 0 });
}

#[test]
fn t2_an_unread_urgent_byte_counts() {
    let mut pair = Pair::new();
    let oob = SendFlags { oob: true, ..SendFlags::default() };
    pair.with_conn(B, |c, now, out| c.send(now, b"!", oob, out)).unwrap();
    pair.run(ms(10));
    assert_eq!(pair.last(B).flags.to_string(), "PU.");
    assert!(pair.a.poll().has(Ready::PRI));
    assert_eq!(pair.close(A).sent, CloseSent::Rst(ResetWhy::Unread));
}

#[test]
fn t3_t4_only_a_living_closer_lingers() {
    let linger = Some(secs(10));
    let mut pair = in_state(TcpState::Established);
    let dying = Close { linger, exiting: true, ..Close::default() };
    assert_eq!(pair.close_as(A, dying).linger, None);
    assert!(pair.a.is_orphan());

    let mut pair = in_state(TcpState::Established);
    let living = Close { linger, ..Close::default() };
    assert_eq!(pair.close_as(A, living).linger, linger);
    assert!(pair.a.lingers() && !pair.a.is_orphan());
    pair.run(ms(50));
    assert!(!pair.a.lingers());
    pair.with_conn(A, |c, now, out| c.adjudge_to_death(now, false, out));
    assert_eq!(pair.a.wire_state(), TcpState::FinWait2);
    assert!(pair.a.is_orphan());
}

#[test]
fn t20_a_corked_tail_leaves_with_the_fin() {
    let mut pair = Pair::new();
    pair.with_conn(A, |c, now, out| c.set_cork(now, true, out));
    pair.send(A, b"tail").unwrap();
    assert!(pair.sent(A).is_empty());
    assert_eq!(pair.close(A).sent, CloseSent::Fin { unsent: 4 });
    assert_eq!((pair.sent(A), pair.last(A).len()), (vec!["[FP.]".to_string()], 4));
}

#[test]
fn t20_t21_the_fin_waits_behind_data_and_the_data_arrives() {
    let mut pair = Pair::new();
    let data: Vec<u8> = (0..200_000u32).map(|i| (i / 7) as u8).collect();
    let taken = pair.send(A, &data).unwrap();
    assert!(taken > 14_480 && taken < data.len());
    let outcome = pair.close(A);
    assert!(matches!(outcome.sent, CloseSent::Fin { unsent } if unsent > 0));
    assert_eq!(outcome.next, TcpState::FinWait1, "at once, although the FIN waits");
    assert!(!pair.sent(A).iter().any(|f| f.contains('F')));
    let mut got = Vec::new();
    for _ in 0..50 {
        pair.run(ms(20));
        got.extend(pair.drain(B));
    }
    assert!(got == data[..taken]);
    assert_eq!(pair.recv(B, 1), Ok(Received::Eof));
}

#[test]
fn t22_a_reset_throws_the_send_queue_away() {
    let mut pair = Pair::new();
    pair.send(B, b"unread").unwrap();
    pair.run(ms(50));
    let taken = pair.send(A, &[7; 60_000]).unwrap();
    let outcome = pair.close(A);
    assert_eq!(outcome.sent, CloseSent::Rst(ResetWhy::Unread));
    pair.run(ms(50));
    let got = pair.drain(B);
    assert!(!got.is_empty() && got.len() < taken, "{} of {taken}", got.len());
    // `drain` ended with the one ECONNRESET.
    assert_eq!(pair.recv(B, 1), Ok(Received::Eof));
}

#[test]
fn t23_too_many_orphans_reset() {
    let mut pair = in_state(TcpState::Established);
    let how = Close { too_many_orphans: true, ..Close::default() };
    assert_eq!(pair.close_as(A, how).sent, CloseSent::Rst(ResetWhy::TooManyOrphans));
    assert!(pair.a.is_dead());
}

#[test]
fn t18_last_ack_with_an_unsent_fin_still_aborts_with_a_reset() {
    // B's window is closed, so A's FIN waits behind its data.
    let mut pair = zero_window(TcpConfig::default());
    pair.shutdown(B, Shutdown::Write);
    pair.run(ms(50));
    pair.shutdown(A, Shutdown::Write);
    assert_eq!(pair.a.state(), TcpState::LastAck);
    let unacked = pair.a.info().unacked;
    pair.clear();
    let outcome = pair.close_as(A, LINGER0);
    assert_eq!(outcome.sent, CloseSent::Rst(ResetWhy::Linger0));
    assert_eq!((pair.sent(A), unacked > 0), (vec!["[R.]".into()], true));
}

#[test]
fn what_a_reset_threw_away_is_still_counted_and_its_memory_is_free() {
    // SIOCOUTQ after a reset, as measured: write_seq - snd_una stays what it was.
    let mut pair = Pair::new();
    pair.partition();
    pair.send(A, b"0123456789").unwrap();
    let before = pair.a.info();
    assert_eq!(before.unacked, 10);
    let mut reset = from_peer(&mut pair, A, Flags::RST | Flags::ACK, b"");
    reset.ack = pair.a.snd.una;
    pair.wake = [Ready::NONE; 2];
    pair.clear();
    pair.inject(A, &reset);
    let (from, to) = (TcpState::Established, TcpState::Close);
    let changes = pair.facts.iter().filter(|(_, f)| matches!(f, TcpFact::StateChange { .. }));
    assert_eq!(changes.collect::<Vec<_>>(), [&(A, TcpFact::StateChange { from, to })]);
    assert!(pair.wake[0].has(Ready::HUP), "sleepers look again");
    assert_eq!((pair.a.info().unacked, pair.a.info().unsent), (10, before.unsent));
    assert!(pair.a.snd.queue.is_empty() && pair.a.snd.flight.is_empty());
    assert_eq!((pair.a.next_deadline(), pair.a.snd.una), (None, pair.a.snd.write_seq));
    // A second purge changes nothing (disconnect on what is closed).
    pair.with_conn(A, |c, now, out| c.disconnect(now, out));
    assert_eq!(pair.a.info().unacked, 10);
}

#[test]
fn a_reset_orphan_wakes_nobody() {
    let mut pair = in_state(TcpState::Established);
    pair.partition();
    pair.close(A);
    let mut reset = from_peer(&mut pair, A, Flags::RST, b"");
    reset.ack = pair.a.snd.una;
    pair.wake = [Ready::NONE; 2];
    pair.inject(A, &reset);
    assert!(pair.a.is_dead());
    assert_eq!(pair.wake[0], Ready::NONE);
}

#[test]
fn t47_shutdown_of_a_closed_connection_adds_to_what_is_shut() {
    // Measured: ENOTCONN, and it has its effect; what a reset shut stays shut.
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        let mut pair = in_state(TcpState::Established);
        let reset = from_peer(&mut pair, A, Flags::RST, b"");
        pair.inject(A, &reset);
        let poll = pair.a.poll();
        let told = pair.with_conn(A, |c, now, out| c.shutdown(now, how, out));
        assert_eq!(told, Err(crate::abi::Errno::ENOTCONN));
        assert_eq!((pair.a.shut_rd, pair.a.shut_wr, pair.a.poll()), (true, true, poll));
    }
    for (how, shut) in [(Shutdown::Read, (true, false)), (Shutdown::Write, (false, true))] {
        let mut pair = in_state(TcpState::Established);
        let reset = from_peer(&mut pair, A, Flags::RST, b"");
        pair.inject(A, &reset);
        // As a socket that never was connected, and then is shut down.
        pair.a.born_shut(false, false);
        let told = pair.with_conn(A, |c, now, out| c.shutdown(now, how, out));
        assert_eq!(told, Err(crate::abi::Errno::ENOTCONN));
        assert_eq!((pair.a.shut_rd, pair.a.shut_wr), shut);
    }
}

#[test]
fn a_shutdown_before_connect_holds_afterwards() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.a.born_shut(true, false);
    pair.run(ms(10));
    assert_eq!(pair.a.state(), TcpState::Established);
    assert_eq!(pair.recv(A, 1), Ok(Received::Eof));
    assert_eq!(pair.send(A, b"x"), Ok(1));
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.a.born_shut(false, true);
    pair.run(ms(10));
    assert_eq!(pair.recv(A, 1), Ok(Received::WouldBlock));
    assert_eq!(pair.send(A, b"x").unwrap_err().errno, crate::abi::Errno::EPIPE);
}

#[test]
fn a_shutdown_before_a_simultaneous_open_sends_its_fin_after_it() {
    // Found by fuzzing with a socket that connects to itself: FIN_WAIT1 without a FIN lasts for ever.
    for before in [true, false] {
        let (now, mut out) = (Instant(1_000_000_000), Output::default());
        let mut conn = TcpConn::connect(TcpConfig::default(), now, ISS_A, &mut out);
        conn.born_shut(false, before);
        let syn = Segment { seq: ISS_B, flags: Flags::SYN, window: 500, ..Segment::default() };
        conn.input(now, &syn, &mut out);
        assert_eq!(conn.state(), TcpState::SynRecv);
        if !before {
            conn.shutdown(now, Shutdown::Write, &mut out).unwrap();
            assert_eq!(conn.state(), TcpState::SynRecv, "since 6.9 the FIN waits");
        }
        let mut out = Output::default();
        let ack = Segment { seq: ISS_B + 1, ack: ISS_A + 1, flags: Flags::ACK, ..syn };
        conn.input(now, &ack, &mut out);
        let flags: Vec<String> = out.segments.iter().map(|s| s.flags.to_string()).collect();
        assert_eq!((conn.state(), flags.join(" ").as_str()), (TcpState::FinWait1, "F."));
        assert!(conn.next_deadline().is_some());
        assert_eq!(conn.check(), Ok(()));
    }
}
