//! Settings of the host whose effect only the wire shows: `tcp_invalid_ratelimit`,
//! `tcp_slow_start_after_idle`, `tcp_syncookies`, `tcp_max_syn_backlog`; and TCP_DEFER_ACCEPT. How many
//! requests fit, and when the deferred ones are let in, was measured on 6.18.

use super::super::timer::Pending;
use super::*;

fn syn(options: bool) -> Segment {
    let timestamps = options.then_some(Timestamps { val: 7, ecr: 0 });
    let wscale = options.then_some(10);
    let options = Options {
        mss: Some(1460),
        wscale,
        sack_permitted: options,
        timestamps,
        ..Options::default()
    };
    Segment { seq: ISS_A, flags: Flags::SYN, window: 64_240, options, ..Segment::default() }
}

/// What peers number 0 to `count` get for a SYN each: the SYN-ACK, or nothing.
fn answers(listener: &mut Listener<u32, u32>, count: u32, options: bool) -> Vec<Option<Segment>> {
    let one = |peer| {
        let mut out = Output::default();
        listener.input(Instant(1_000_000_000), peer, &syn(options), ISS_B, &mut out);
        out.segments.pop()
    };
    (0..count).map(one).collect()
}

#[test]
fn t1_tcp_invalid_ratelimit_says_how_often_strangers_are_answered() {
    for (limit, answered) in [(500, 3), (100, 5), (0, 10)] {
        let config = TcpConfig { invalid_ratelimit: ms(limit), ..TcpConfig::default() };
        let mut pair = Pair::with(config, TcpConfig::default());
        let mut rst = from_peer(&mut pair, A, Flags::RST, b"");
        rst.seq += 100;
        for burst in 0..5 {
            if burst > 0 {
                pair.run(ms(300));
            }
            pair.inject(A, &rst);
            pair.inject(A, &rst);
        }
        assert_eq!(pair.sent(A).len(), answered, "{limit} ms: at 0, 0.6 and 1.2 s");
    }
}

#[test]
fn a_pause_makes_the_window_small_again_only_if_the_setting_says_so() {
    for (slow_start_after_idle, again) in [(true, 10), (false, 40)] {
        let config = TcpConfig { slow_start_after_idle, ..TcpConfig::default() };
        let mut pair = Pair::with(config, TcpConfig::default());
        pair.a.cc.cwnd = 40;
        pair.send(A, b"x").unwrap();
        pair.run(secs(60));
        pair.a.cc.cwnd = 40;
        pair.send(A, b"x").unwrap();
        assert_eq!(pair.a.info().snd_cwnd, again, "{slow_start_after_idle}");
    }
}

#[test]
fn without_cookies_the_backlog_and_one_more_are_all_there_is() {
    let config = TcpConfig { syncookies: 0, ..TcpConfig::default() };
    let mut listener = Listener::new(config, 3);
    let heard = answers(&mut listener, 10, true).iter().filter(|a| a.is_some()).count();
    assert_eq!((heard, listener.requests().count()), (4, 4));
    // A quarter of tcp_max_syn_backlog is kept for those who were heard before: nobody here.
    let config = TcpConfig { syncookies: 0, max_syn_backlog: 8, ..TcpConfig::default() };
    let heard = answers(&mut Listener::new(config, 100), 20, true);
    assert_eq!(heard.iter().filter(|a| a.is_some()).count(), 7);
}

#[test]
fn a_cookie_is_sent_once_and_knows_options_only_by_a_timestamp() {
    for (options, shift) in [(true, Some(10)), (false, None)] {
        let mut listener: Listener<u32, u32> = Listener::new(TcpConfig::default(), 0);
        let sent = answers(&mut listener, 3, options);
        let last = sent[2].as_ref().expect("a cookie");
        assert_eq!((last.options.wscale, last.options.sack_permitted), (shift, options));
        assert_eq!(listener.requests().count(), 1, "who has a cookie does not count");
        // The one request is asked again, the two cookies are not.
        let again = listener.expire(Instant(2_000_000_000));
        assert_eq!(again.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), [0]);
        // An ACK of it makes a connection, within two minutes.
        let mut ack = Segment { seq: ISS_A + 1, ack: ISS_B + 1, flags: Flags::ACK, ..syn(options) };
        ack.options = Options { timestamps: ack.options.timestamps, ..Options::default() };
        let mut input = |now, peer| {
            let mut out = Output::default();
            (listener.input(now, peer, &ack, ISS_B, &mut out), out.segments)
        };
        let (event, sent) = input(Instant(59_000_000_000), 1);
        assert!(matches!(event, ListenerEvent::Established(_)) && sent.is_empty());
        listener.expire(Instant(120_000_000_000));
        let mut out = Output::default();
        listener.input(Instant(120_000_000_000), 2, &ack, ISS_B, &mut out);
        assert_eq!(out.segments[0].flags, Flags::RST, "it is too old");
    }
}

#[test]
fn who_has_to_send_first_is_asked_again_only_at_the_end() {
    // TCP_DEFER_ACCEPT of 5 s is 7 s, three timeouts: after the ACK silence, then one more SYN-ACK,
    // whose ACK is enough.
    let config = TcpConfig { defer_accept: 3, ..TcpConfig::default() };
    let mut pair = Pair::connecting(TcpConfig::default(), config);
    let start = pair.now;
    pair.run(secs(6));
    assert!(pair.b.is_none());
    assert_eq!(pair.times(B, start).len(), 1, "{:?}", pair.times(B, start));
    pair.run(secs(3));
    assert_eq!(pair.b().state(), TcpState::Established);
    let times = pair.times(B, start);
    assert!(times.len() == 2 && (times[1] - 7.0).abs() < 0.01, "{times:?}");
}

#[test]
fn tcp_early_retrans_says_whether_there_are_loss_probes() {
    // 3 and 4 do today what they did long ago; the others switched the probe off.
    for (early_retrans, pending) in [(0, Pending::Rto), (2, Pending::Rto), (3, Pending::LossProbe)]
    {
        let mut pair =
            Pair::with(TcpConfig { early_retrans, ..TcpConfig::default() }, TcpConfig::default());
        pair.partition();
        pair.send(A, b"xy").unwrap();
        assert_eq!(pair.a.timers.pending, Some(pending), "{early_retrans}");
    }
}

#[test]
fn tcp_frto_says_whether_a_timeout_may_have_been_premature() {
    for (frto, suspected) in [(0, false), (2, true)] {
        let mut pair = Pair::with(TcpConfig { frto, ..TcpConfig::default() }, TcpConfig::default());
        pair.partition();
        pair.send(A, b"xy").unwrap();
        pair.run(secs(1));
        assert!(pair.a.timers.retransmits > 0);
        assert_eq!(pair.a.recovery.frto, suspected, "{frto}");
    }
}

#[test]
fn tcp_reordering_is_where_a_connection_begins() {
    let config = TcpConfig { reordering: 7, ..TcpConfig::default() };
    assert_eq!(Pair::with(config, TcpConfig::default()).a.info().reordering, 7);
}
