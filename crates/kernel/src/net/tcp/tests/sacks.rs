//! What acknowledgments report: bytes that came twice (RFC 2883), and holes, of which the other side
//! hears three times at once and then now and then. Seen on 6.18 over veth and tun devices.

use super::*;

/// `len` bytes for B that begin `at` bytes behind what it expects.
fn piece(pair: &mut Pair, at: i64, len: usize) -> Segment {
    let s = from_peer(pair, B, Flags::ACK, b"");
    let seq = Seq((i64::from(s.seq.0) + at) as u32);
    Segment { seq, payload: vec![7; len].into(), ..s }
}

/// The blocks of B's last acknowledgment, counted from what B expected first.
fn blocks(pair: &Pair, base: Seq) -> Vec<(i64, i64)> {
    let count = |seq: Seq| i64::from(seq.0.wrapping_sub(base.0) as i32);
    pair.last(B).options.sacks.iter().map(|(s, e)| (count(*s), count(*e))).collect()
}

#[test]
fn what_came_twice_is_reported_once() {
    let mut pair = Pair::new();
    let base = pair.b().rcv.nxt;
    pair.send(A, &[7; 1000]).unwrap();
    pair.run(ms(100));
    let again = piece(&mut pair, -1000, 1000);
    pair.inject(B, &again);
    assert_eq!(blocks(&pair, base), [(0, 1000)]);
    // The next acknowledgment says nothing of it.
    let next = piece(&mut pair, 0, 1000);
    pair.inject(B, &next);
    pair.run(ms(100));
    assert_eq!(blocks(&pair, base), []);
    // Half of it is new: only the other half came twice.
    let half = piece(&mut pair, -500, 1000);
    pair.inject(B, &half);
    pair.run(ms(100));
    assert_eq!(blocks(&pair, base), [(1500, 2000)]);
    // Ahead of a hole: the block behind says where it belongs.
    let ahead = piece(&mut pair, 500, 1000);
    pair.inject(B, &ahead);
    assert_eq!(blocks(&pair, base), [(3000, 4000)]);
    pair.inject(B, &ahead);
    assert_eq!(blocks(&pair, base), [(3000, 4000), (3000, 4000)]);
    assert_eq!(pair.b().check(), Ok(()));
}

#[test]
fn tcp_dsack_says_whether_it_is_reported() {
    let mut pair =
        Pair::with(TcpConfig::default(), TcpConfig { dsack: false, ..TcpConfig::default() });
    pair.send(A, &[7; 1000]).unwrap();
    pair.run(ms(100));
    let again = piece(&mut pair, -1000, 1000);
    pair.clear();
    pair.inject(B, &again);
    assert_eq!((pair.sent(B).len(), pair.last(B).options.sacks.len()), (1, 0));
}

#[test]
fn the_fourth_acknowledgment_of_a_hole_waits_for_others() {
    let mut pair = Pair::new();
    // Quick acknowledgments come first.
    pair.send(A, &[7; 30 * 1448]).unwrap();
    pair.run(ms(200));
    pair.drain(B);
    pair.b().rcv.ack.quick = 0;
    pair.clear();
    for n in 1..=20 {
        let ahead = piece(&mut pair, n * 1000, 1000);
        pair.b().rcv.ack.quick = 0;
        pair.inject(B, &ahead);
    }
    assert_eq!(pair.sent(B).len(), 3);
    pair.run(ms(2));
    assert_eq!(pair.sent(B).len(), 4, "seventeen as one");
    let base = pair.b().rcv.nxt;
    assert_eq!(blocks(&pair, base), [(1000, 21_000)]);
    assert_eq!(pair.b().check(), Ok(()));
}
