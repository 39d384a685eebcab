//! T-24…T-32 and T-50…T-56: orphans, mini-sockets, and how long a connection lives in silence.
//! Virtual time is moved to each deadline; nothing sleeps.

use super::*;
use crate::abi::Errno;

/// Runs until A's state on the wire is CLOSE; says when, in seconds.
fn dies_after(pair: &mut Pair, limit: u64) -> f64 {
    let start = pair.now;
    while pair.a.wire_state() != TcpState::Close {
        assert!((pair.now - start) < secs(limit), "still {:?}", pair.a.wire_state());
        pair.run(ms(100));
    }
    (pair.now - start).as_secs_f64()
}

fn near(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b}");
}

fn fin_wait2_orphan() -> Pair {
    let mut pair = Pair::new();
    pair.close(A);
    pair.run(ms(60));
    assert_eq!(pair.a.wire_state(), TcpState::FinWait2);
    pair.clear();
    pair
}

#[test]
fn t24_an_orphan_leaves_fin_wait2_silently() {
    for (config, want) in [
        (TcpConfig::default(), 60.0),
        (TcpConfig { fin_timeout: secs(3), ..TcpConfig::default() }, 3.0),
        (TcpConfig { linger2: Linger2::For(secs(5)), ..TcpConfig::default() }, 5.0),
        (TcpConfig { linger2: Linger2::For(secs(100)), ..TcpConfig::default() }, 80.0),
    ] {
        let mut pair = Pair::with(config, TcpConfig::default());
        pair.close(A);
        pair.run(ms(60));
        pair.clear();
        // 100 s: a full socket for 100 - 60, then a mini-socket for 100 - 60 again.
        near(dies_after(&mut pair, 200), want, 0.2);
        assert!(pair.sent(A).is_empty() && pair.a.is_dead());
    }
}

#[test]
fn t24_a_negative_linger2_answers_the_ack_with_a_reset() {
    let config = TcpConfig { linger2: Linger2::Never, ..TcpConfig::default() };
    let mut pair = Pair::with(config, TcpConfig::default());
    pair.close(A);
    pair.run(ms(60));
    assert_eq!(pair.sent(A), ["[F.]", "[R]"]);
    assert!(pair.a.is_dead());
}

fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn t25_a_fin_wait2_mini_socket_answers() {
    // A bare ACK is ignored.
    let mut pair = fin_wait2_orphan();
    let mini_nxt = pair.a.rcv.nxt;
    let seg = |flags: Flags, seq: Seq, payload: &'static [u8]| Segment {
        seq,
        ack: ISS_A + 2,
        flags,
        window: 500,
        payload: bytes::Bytes::from_static(payload),
        ..Segment::default()
    };
    pair.inject(A, &seg(Flags::ACK, mini_nxt, b""));
    assert!(pair.sent(A).is_empty());
    // Out of window: ACK, at most one per half second.
    pair.inject(A, &seg(Flags::ACK, mini_nxt - 10, b""));
    pair.inject(A, &seg(Flags::SYN, mini_nxt + 1_000_000, b""));
    assert_eq!(pair.sent(A), ["[.]"]);
    // A reset in the window kills silently.
    pair.inject(A, &seg(Flags::RST, mini_nxt + 5, b""));
    assert_eq!((pair.sent(A).len(), pair.a.is_dead()), (1, true));
    // Each measured on 6.18 with a raw peer: what comes, the answer, whether the mini-socket is gone.
    let (syn, ack, fin, rst) = (Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST);
    let table = [
        (seg(syn, mini_nxt, b""), vec!["[R.]"], true),
        (seg(syn, mini_nxt + 100, b""), vec!["[R.]"], true),
        (seg(syn | ack, mini_nxt, b""), vec!["[R]"], true),
        (seg(syn, mini_nxt - 1000, b""), vec!["[.]"], false),
        (seg(rst, mini_nxt, b""), vec![], true),
        (seg(rst, mini_nxt - 10, b""), vec!["[.]"], false),
        (seg(ack | fin, mini_nxt + 1, b""), vec!["[R]"], true),
        (seg(Flags::PSH, mini_nxt, b"x"), vec![], false),
        (seg(ack, mini_nxt - 1, b"x"), vec!["[.]"], false),
    ];
    for (segment, answers, gone) in table {
        let mut pair = fin_wait2_orphan();
        pair.inject(A, &segment);
        assert_eq!((pair.sent(A), pair.a.is_dead()), (owned(answers), gone), "{segment:?}");
    }
    // Payload, also with FIN: reset, gone.
    for flags in [Flags::ACK, Flags::ACK | Flags::FIN] {
        let mut pair = fin_wait2_orphan();
        pair.inject(A, &seg(flags, mini_nxt, b"data"));
        assert_eq!((pair.sent(A), pair.a.is_dead()), (vec!["[R]".to_string()], true));
    }
    // The bare FIN: ACK and TIME_WAIT for 60 s.
    let mut pair = fin_wait2_orphan();
    pair.run(secs(30));
    pair.inject(A, &seg(Flags::ACK | Flags::FIN, mini_nxt, b""));
    assert_eq!((pair.sent(A), pair.a.wire_state()), (vec!["[.]".into()], TcpState::TimeWait));
    near(dies_after(&mut pair, 70), 60.0, 0.2);
}

#[test]
fn t26_after_expiry_the_late_fin_gets_a_reset() {
    let config = TcpConfig { fin_timeout: secs(3), ..TcpConfig::default() };
    let mut pair = Pair::with(config, TcpConfig::default());
    pair.close(A);
    pair.run(secs(4));
    pair.clear();
    pair.close(B);
    pair.run(ms(60));
    assert_eq!((pair.sent(B), pair.sent(A)), (vec!["[F.]".into()], vec!["[R]".into()]));
    assert!(pair.b().is_dead());
}

#[test]
fn t27_data_for_an_orphan_in_fin_wait1_resets_and_loses_what_was_unsent() {
    for shut in [false, true] {
        let mut pair = Pair::new();
        // The first flight fills the congestion window and is never acknowledged.
        pair.drop = Box::new(|side, _| side == A);
        pair.send(A, &[7; 40_000]).unwrap();
        pair.close(A);
        pair.clear();
        pair.send(B, b"crossing").unwrap();
        if shut {
            pair.shutdown(B, Shutdown::Write);
        }
        pair.run(ms(1));
        assert_eq!(pair.sent(A)[0], "[R]");
        assert!(pair.a.is_dead());
    }
}

#[test]
fn t28_simultaneous_close_goes_through_closing_to_time_wait() {
    let mut pair = Pair::new();
    pair.close(A);
    pair.close(B);
    assert_eq!(pair.b().state(), TcpState::FinWait1);
    pair.run(Duration::from_micros(150));
    assert_eq!(pair.a.state(), TcpState::Closing);
    assert_eq!(pair.sent(A), ["[F.]", "[.]"]);
    pair.run(ms(10));
    assert_eq!(pair.a.wire_state(), TcpState::TimeWait);
    assert_eq!(pair.b().wire_state(), TcpState::TimeWait);
}

#[test]
fn simultaneous_open_establishes_both() {
    let now = Instant(1_000);
    let (mut out_a, mut out_b) = (Output::default(), Output::default());
    let mut a = TcpConn::connect(TcpConfig::default(), now, ISS_A, &mut out_a);
    let mut b = TcpConn::connect(TcpConfig::default(), now, ISS_B, &mut out_b);
    for _ in 0..4 {
        let (from_a, from_b) = (core::mem::take(&mut out_a), core::mem::take(&mut out_b));
        from_b.segments.iter().for_each(|s| a.input(now, s, &mut out_a));
        from_a.segments.iter().for_each(|s| b.input(now, s, &mut out_b));
    }
    assert_eq!((a.state(), b.state()), (TcpState::Established, TcpState::Established));
    let mut out = Output::default();
    assert_eq!(a.send(now, b"hi", SendFlags::default(), &mut out), Ok(2));
    b.input(now, &out.segments[0], &mut Output::default());
    assert_eq!(b.unread(), 2);
}

/// A in TIME_WAIT, B gone.
fn time_wait() -> Pair {
    let mut pair = Pair::new();
    pair.close(A);
    pair.run(ms(60));
    pair.close(B);
    pair.run(ms(60));
    assert_eq!(pair.a.wire_state(), TcpState::TimeWait);
    pair.clear();
    pair
}

#[test]
fn t29_time_wait_answers_and_starts_again() {
    let mut pair = time_wait();
    let nxt = ISS_B + 2;
    let seg = |flags: Flags, seq: Seq| Segment { seq, ack: ISS_A + 2, flags, ..Segment::default() };
    pair.partition();
    pair.run(secs(30));
    pair.inject(A, &seg(Flags::FIN | Flags::ACK, nxt - 1));
    assert_eq!(pair.sent(A), ["[.]"]);
    assert_eq!(pair.last(A).ack, nxt);
    pair.run(secs(40));
    pair.inject(A, &seg(Flags::ACK, nxt));
    assert_eq!(pair.sent(A).len(), 1, "an in-order ACK restarts silently");
    near(dies_after(&mut pair, 70), 60.0, 0.2);

    let mut pair = time_wait();
    pair.inject(A, &seg(Flags::RST, nxt));
    assert!(pair.a.is_dead() && pair.sent(A).is_empty());
}

#[test]
fn t29_a_new_syn_recycles_time_wait_only_for_a_listener() {
    let mut pair = time_wait();
    let syn = Segment { seq: ISS_B + 100_000, flags: Flags::SYN, ..Segment::default() };
    assert_eq!(pair.a.recycles(&syn), Some(ISS_A + 2 + 65_537));
    let old = Segment { seq: ISS_B, flags: Flags::SYN, ..Segment::default() };
    assert_eq!(pair.a.recycles(&old), None);
    pair.inject(A, &syn);
    assert_eq!(pair.sent(A), ["[.]"], "no listener: ACK, not RST");
    pair.a.bury(&mut Output::default());
    assert!(pair.a.is_dead());
}

#[test]
fn t30_a_retransmission_merges_data_and_fin() {
    let mut pair = Pair::new();
    pair.partition();
    pair.send(A, b"data").unwrap();
    pair.close(A);
    assert_eq!(pair.sent(A), ["[P.]", "[F.]"]);
    pair.run(ms(500));
    let merged = pair.log.iter().find(|l| l.2.has(Flags::FIN) && l.2.len() == 4);
    assert!(merged.is_some_and(|l| l.2.has(Flags::PSH)));
}

#[test]
fn t31_an_orphan_gives_up_after_eight_backoffs_as_measured() {
    let mut pair = Pair::new();
    pair.partition();
    let start = pair.now;
    pair.close(A);
    let died = dies_after(&mut pair, 200);
    // Measured on 6.18 (0.2 is the tail loss probe).
    let want = [0.0, 0.2, 0.4, 0.84, 1.7, 3.3, 6.9, 13.5, 26.8, 54.3];
    let times = pair.times(A, start);
    assert_eq!(times.len(), want.len(), "{times:?}");
    times.iter().zip(want).for_each(|(t, w)| near(*t, w, 0.05 * w + 0.05));
    near(died, 107.8, 5.5);
    assert!(pair.sent(A).iter().all(|f| f == "[F.]"), "silent at the end");
}

/// B's window is closed, A has more to send.
pub fn zero_window(config: TcpConfig) -> Pair {
    let mut pair = Pair::with(config, TcpConfig::default());
    while pair.send(A, &[7; 65_536]).unwrap() > 0 {
        pair.run(ms(20));
    }
    pair.run(secs(1));
    assert_eq!(pair.a.snd.wnd, 0);
    assert!(pair.a.info().unacked > 0);
    pair
}

#[test]
fn t32_a_closed_window_is_probed_for_ever_while_alive() {
    let mut pair = zero_window(TcpConfig::default());
    pair.clear();
    pair.run(secs(5000));
    assert_eq!(pair.a.state(), TcpState::Established);
    let probes = pair.sent(A).len();
    assert!((40..60).contains(&probes), "{probes}");
    assert_eq!(pair.last(A).seq, pair.a.snd.una - 1);
    // The reader wakes up and everything flows.
    let unread = pair.b().unread() as usize;
    let mut got = pair.drain(B).len();
    assert_eq!(got, unread);
    for _ in 0..20 {
        pair.run(ms(100));
        got += pair.drain(B).len();
    }
    assert_eq!(pair.a.info().unacked, 0);
    assert!(got > unread);
}

#[test]
fn t32_an_orphan_with_a_closed_window_dies_silently_when_backed_off() {
    let mut pair = zero_window(TcpConfig::default());
    pair.clear();
    pair.close(A);
    let died = dies_after(&mut pair, 1000);
    near(died, 340.9, 15.0);
    assert!(pair.sent(A).iter().all(|f| f == "[.]"));
    // The other side learns when its reader drains.
    assert_eq!(pair.b().state(), TcpState::Established);
    pair.clear();
    pair.drain(B);
    pair.run(ms(10));
    assert_eq!(pair.sent(A), ["[R]"]);
    assert_eq!(pair.b().take_error(), Some(Errno::ECONNRESET));
}

#[test]
fn t50_the_survivor_gives_up_after_924_seconds_and_a_timer() {
    let mut pair = Pair::new();
    pair.partition();
    let start = pair.now;
    pair.send(A, b"lost").unwrap();
    let died = dies_after(&mut pair, 2000);
    let want = [
        0.0, 0.21, 0.42, 0.83, 1.7, 3.3, 6.7, 13.3, 26.7, 53.0, 106.0, 213.0, 334.0, 454.0, 575.0,
        694.0, 815.0,
    ];
    let times = pair.times(A, start);
    assert_eq!(times.len(), want.len(), "{times:?}");
    times.iter().zip(want).for_each(|(t, w)| near(*t, w, 0.05 * w + 0.05));
    near(died, 935.8, 10.0);
    assert_eq!(pair.a.poll(), Ready::IN | Ready::OUT | Ready::RDHUP | Ready::HUP | Ready::ERR);
    assert_eq!(pair.a.take_error(), Some(Errno::ETIMEDOUT));
    let late = pair.send(A, b"x");
    assert_eq!(late, Err(SendError { errno: Errno::EPIPE, sigpipe: true }));
}

#[test]
fn t51_a_syn_is_sent_eleven_times() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.partition();
    let start = pair.now;
    let died = dies_after(&mut pair, 200);
    let times = pair.times(A, start);
    let want = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0, 19.0, 35.0, 67.0];
    assert_eq!(times.len(), want.len(), "{times:?}");
    times.iter().zip(want).for_each(|(t, w)| near(*t, w, 0.01));
    near(died, 131.0, 0.2);
    assert_eq!(pair.a.take_error(), Some(Errno::ETIMEDOUT));
}

#[test]
fn t52_a_syn_ack_is_sent_six_times() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.drop = Box::new(|side, _| side == B);
    let start = pair.now;
    pair.a.config_mut().syn_retries = 0;
    pair.a.config_mut().syn_linear_timeouts = 0;
    pair.run(secs(100));
    let times = pair.times(B, start);
    assert_eq!(times.len(), 6, "{times:?}");
    let want = [0.0, 1.0, 3.0, 7.0, 15.0, 31.0];
    times.iter().zip(want).for_each(|(t, w)| near(*t, w, 0.01));
    assert_eq!(pair.listener.as_ref().unwrap().requests().count(), 0);
}

#[test]
fn t53_user_timeout_ends_retransmission() {
    let config = TcpConfig { user_timeout: Some(secs(5)), ..TcpConfig::default() };
    let mut pair = Pair::with(config, TcpConfig::default());
    pair.partition();
    pair.send(A, b"lost").unwrap();
    near(dies_after(&mut pair, 20), 5.5, 0.2);
    assert_eq!(pair.a.take_error(), Some(Errno::ETIMEDOUT));
}

#[test]
fn t53_user_timeout_ends_window_probing_of_the_living() {
    let config = TcpConfig { user_timeout: Some(secs(5)), ..TcpConfig::default() };
    let mut pair = zero_window(config);
    assert!(dies_after(&mut pair, 20) < 8.0);
    assert_eq!(pair.a.take_error(), Some(Errno::ETIMEDOUT));
}

fn keepalive(idle: u64, count: u32) -> TcpConfig {
    TcpConfig {
        keepalive: true,
        keepidle: secs(idle),
        keepintvl: secs(1),
        keepcnt: count,
        ..TcpConfig::default()
    }
}

#[test]
fn t54_keepalive_probes_then_resets() {
    let mut pair = Pair::with(keepalive(2, 3), TcpConfig::default());
    let start = pair.now;
    pair.run(secs(10));
    assert_eq!(pair.a.state(), TcpState::Established, "answered probes keep it alive");
    assert!(pair.sent(A).len() >= 4 && pair.sent(A).len() == pair.sent(B).len());
    assert_eq!(pair.last(A).seq, pair.a.snd.una - 1);
    let heard = pair.a.rcv.heard - start;
    pair.partition();
    pair.clear();
    dies_after(&mut pair, 20);
    let times = pair.times(A, start + heard);
    assert_eq!(pair.sent(A), ["[.]", "[.]", "[.]", "[R.]"]);
    times.iter().zip([2.0, 3.0, 4.0, 5.0]).for_each(|(t, w)| near(*t, w, 0.1));
    assert_eq!(pair.recv(A, 1), Err(Errno::ETIMEDOUT));
    assert_eq!(pair.recv(A, 1), Ok(Received::Eof));
}

#[test]
fn t55_keepalive_waits_while_data_is_on_the_way() {
    let mut pair = Pair::with(keepalive(2, 3), TcpConfig::default());
    pair.partition();
    pair.send(A, b"lost").unwrap();
    pair.run(secs(40));
    assert_eq!(pair.a.state(), TcpState::Established);
}

#[test]
fn t56_user_timeout_replaces_the_probe_count() {
    let config = TcpConfig { user_timeout: Some(secs(4)), ..keepalive(2, 9) };
    let mut pair = Pair::with(config, TcpConfig::default());
    pair.partition();
    near(dies_after(&mut pair, 20), 4.0, 0.2);
    assert_eq!(pair.sent(A).last().unwrap(), "[R.]");
    assert_eq!(pair.a.take_error(), Some(Errno::ETIMEDOUT));
}

#[test]
fn t58_so_keepalive_waits_a_whole_idle_time_and_tcp_keepidle_counts_what_is_over() {
    // Three seconds of silence are over when the option comes (measured: the first probe 3.08 s
    // after SO_KEEPALIVE with TCP_KEEPIDLE 3, however old the last segment was).
    for (late_idle, first) in [(false, 3.0), (true, 0.0)] {
        let mut pair =
            Pair::with(TcpConfig { keepalive: late_idle, ..keepalive(3, 9) }, keepalive(3, 9));
        if late_idle {
            pair.a.config_mut().keepidle = secs(7200);
            pair.with_conn(A, |c, now, _| c.set_keepidle(now, secs(7200)));
        }
        pair.run(secs(3));
        pair.clear();
        let start = pair.now;
        pair.with_conn(A, |c, now, _| match late_idle {
            true => c.set_keepidle(now, secs(3)),
            false => c.set_keepalive(now, true),
        });
        pair.run(secs(4));
        near(pair.times(A, start)[0], first, 0.1);
    }
}

#[test]
fn t57_a_soft_error_is_told_instead_of_a_timeout() {
    let config = TcpConfig { user_timeout: Some(secs(8)), ..TcpConfig::default() };
    let mut pair = Pair::with(config, TcpConfig::default());
    pair.partition();
    pair.send(A, b"lost").unwrap();
    pair.a.unreachable(Errno::EHOSTUNREACH, &mut Output::default());
    dies_after(&mut pair, 20);
    assert_eq!(pair.recv(A, 1), Err(Errno::EHOSTUNREACH));
}
