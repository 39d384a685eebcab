//! Explicit congestion notification: who asks, who answers, and what a mark does at either end.
//! RFC 3168; settings of ip-sysctl. Neighbour: `ecn`.

use super::super::congestion::CaState;
use super::*;

fn ecn(setting: u8) -> TcpConfig {
    TcpConfig { ecn: setting, ..TcpConfig::default() }
}

#[test]
fn only_who_asks_gets_it_and_6_18_asks_nobody() {
    for (a, b, syns, agreed) in [
        (2, 2, ["[S]", "[S.]"], false),
        (1, 2, ["[SEW]", "[SE.]"], true),
        (1, 1, ["[SEW]", "[SE.]"], true),
        (1, 0, ["[SEW]", "[S.]"], false),
    ] {
        let mut pair = Pair::connecting(ecn(a), ecn(b));
        pair.run(ms(10));
        let first: Vec<_> = pair.log.iter().take(2).map(|l| format!("[{}]", l.2.flags)).collect();
        assert_eq!(first, syns, "tcp_ecn {a} and {b}");
        assert_eq!(pair.a.info().options & 8 > 0, agreed);
        assert_eq!(pair.b().info().options & 8 > 0, agreed);
    }
}

#[test]
fn a_syn_that_was_not_answered_asks_no_more() {
    let mut pair = Pair::connecting(ecn(1), ecn(2));
    pair.partition();
    pair.run(ms(1500));
    assert_eq!(pair.last(A).flags, Flags::SYN);
}

#[test]
fn new_data_speaks_it_and_nothing_else_does() {
    let mut pair = Pair::with(ecn(1), ecn(2));
    pair.send(A, &[7; 100]).unwrap();
    assert_eq!(pair.last(A).ecn, ECT_0);
    pair.run(ms(50));
    assert_eq!(pair.last(B).ecn, 0, "an acknowledgment");
    pair.partition();
    pair.send(A, &[7; 100]).unwrap();
    pair.run(ms(400));
    assert_eq!(pair.last(A).ecn, 0, "sent again");
}

#[test]
fn a_mark_is_echoed_until_the_sender_slowed_down() {
    let mut pair = Pair::with(ecn(1), ecn(2));
    pair.reads_at_once = true;
    // A router marks the first segment.
    pair.drop = Box::new(|_, _| true);
    pair.send(A, &[7; 1448]).unwrap();
    let mut marked = pair.last(A).clone();
    marked.ecn = CE;
    pair.drop = Box::new(|_, _| false);
    pair.inject(B, &marked);
    assert!(pair.last(B).has(Flags::ECE), "at once");
    let cwnd = pair.a.info().snd_cwnd;
    pair.run(ms(1));
    assert_eq!(pair.a.cc.state, CaState::Cwr);
    assert_eq!(pair.a.info().snd_ssthresh, cwnd * 717 / 1024);
    pair.clear();
    pair.send(A, &[7; 1448]).unwrap();
    pair.send(A, &[7; 1448]).unwrap();
    pair.run(ms(50));
    let cwr: Vec<bool> =
        pair.log.iter().filter(|l| l.1 == A).map(|l| l.2.has(Flags::CWR)).collect();
    assert_eq!(cwr, [true, false], "told once, with new data");
    assert!(!pair.last(B).has(Flags::ECE), "and heard");
    assert_eq!(pair.a.cc.state, CaState::Open);
    assert_eq!(pair.b().info().options & 16, 16, "TCPI_OPT_ECN_SEEN");
    assert_eq!((pair.a.check(), pair.b().check()), (Ok(()), Ok(())));
}
