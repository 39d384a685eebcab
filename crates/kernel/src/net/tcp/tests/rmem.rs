//! A receive buffer that holds more than it should: what is dropped, what is told to the other side,
//! and what makes room. Compared with 6.18 over loopback.

use super::*;

/// B's program has set SO_RCVBUF to `then` (as getsockopt(2) says it) while its window was open, and
/// `unread` bytes lie in its queue.
fn shrunk(unread: usize, then: u32) -> Pair {
    let mut pair = Pair::with(TcpConfig::loopback(), TcpConfig::loopback());
    pair.b().set_rcvbuf(then);
    pair.send(A, &vec![b'x'; unread]).unwrap();
    pair.run(ms(50));
    pair.clear();
    pair
}

#[test]
fn a_shrunk_receive_buffer_closes_the_window_instead_of_growing() {
    // Found by the target `tcp_input`: with a window scale of 10 there were always 1024 bytes left.
    let mut pair = shrunk(20_000, 2304);
    assert_eq!(pair.b().unread(), 20_000, "an empty queue takes one segment of any size");
    pair.send(A, &[b'y'; 5000]).unwrap();
    pair.run(ms(1));
    assert_eq!(pair.b().unread(), 20_000);
    assert_eq!(pair.last(B).window, 0, "measured: [.] win 0 for each of them");
    let why = DropWhy::ReceiveBufferFull;
    assert!(pair.facts.contains(&(B, TcpFact::Dropped { flags: Flags::PSH | Flags::ACK, why })));
    // Sent again until there is room.
    assert_eq!(pair.drain(B).len(), 20_000);
    pair.run(secs(2));
    assert_eq!(pair.drain(B).len(), 5000);
}

#[test]
fn a_fin_alone_is_taken_though_the_buffer_is_full() {
    let mut pair = shrunk(20_000, 2304);
    pair.close(A);
    pair.run(ms(1));
    assert_eq!(pair.b().state(), TcpState::CloseWait);
    assert_eq!(pair.last(B).window, 0, "measured");
}

#[test]
fn bytes_that_come_one_by_one_fit_into_the_buffer_as_large_pieces() {
    let mut pair =
        Pair::with(TcpConfig { nodelay: true, ..TcpConfig::loopback() }, TcpConfig::loopback());
    for _ in 0..60_000 {
        assert_eq!(pair.send(A, b"x"), Ok(1));
        pair.run(Duration::from_micros(200));
    }
    // 6.18 keeps 100,000 of them, and SO_RCVBUF stays as it was.
    assert_eq!((pair.b().unread(), pair.b().rcv.window.rcvbuf), (60_000, 131_072));
    assert_eq!(pair.b().check(), Ok(()));
    assert_eq!(pair.drain(B).len(), 60_000);
}

#[test]
fn pieces_ahead_of_a_hole_go_first_when_the_buffer_is_full() {
    let mut pair = Pair::new();
    let mut s = from_peer(&mut pair, B, Flags::ACK, &[b'z'; 1000]);
    for n in 1..=20 {
        s.seq += 2000;
        pair.inject(B, &s);
        assert_eq!(pair.b().rmem_alloc(), n * 1832);
    }
    pair.b().set_rcvbuf(10_000);
    // The next is the highest: nothing makes room for it, and nothing acknowledges it.
    s.seq += 2000;
    pair.clear();
    pair.inject(B, &s);
    assert_eq!((pair.b().rmem_alloc(), pair.sent(B).len()), (20 * 1832, 0));
    // What fills a part of the hole does.
    s.seq = pair.b().rcv.nxt + 1000;
    pair.inject(B, &s);
    assert!(pair.b().rmem_alloc() <= 10_000 + 1832, "{}", pair.b().rmem_alloc());
    assert_eq!(pair.b().rcv.ooo.sacks().len(), 1, "what was reported is forgotten");
    assert_eq!(pair.b().check(), Ok(()));
}
