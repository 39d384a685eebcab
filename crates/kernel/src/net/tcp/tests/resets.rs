//! T-48: which resets count, and what Linux answers to those that don't.
//! Segments are injected by hand at, beside and outside the window.

use super::*;
use crate::abi::Errno;

fn rst_at(pair: &mut Pair, offset: i32) -> Segment {
    let mut rst = from_peer(pair, A, Flags::RST, b"");
    rst.seq = Seq(rst.seq.0.wrapping_add(offset as u32));
    rst
}

#[test]
fn t48_an_exact_reset_counts_others_in_the_window_are_challenged() {
    let mut pair = Pair::new();
    let rst = rst_at(&mut pair, 100);
    pair.inject(A, &rst);
    assert_eq!((pair.a.state(), pair.sent(A)), (TcpState::Established, vec!["[.]".into()]));
    // At most one answer per half second (T-1).
    pair.inject(A, &rst);
    assert_eq!(pair.sent(A).len(), 1);
    // Outside: silence.
    let rst = rst_at(&mut pair, -10);
    pair.inject(A, &rst);
    assert_eq!((pair.a.state(), pair.sent(A).len()), (TcpState::Established, 1));
    let rst = rst_at(&mut pair, 0);
    pair.inject(A, &rst);
    assert_eq!((pair.a.state(), pair.sent(A).len()), (TcpState::Close, 1));
    assert_eq!(pair.a.take_error(), Some(Errno::ECONNRESET));
}

#[test]
fn t48_one_before_counts_after_a_fin() {
    let mut pair = Pair::new();
    pair.shutdown(B, Shutdown::Write);
    pair.run(ms(50));
    let rst = rst_at(&mut pair, -1);
    pair.inject(A, &rst);
    assert_eq!(pair.a.state(), TcpState::Close);
    assert_eq!(pair.a.take_error(), Some(Errno::EPIPE));
}

#[test]
fn t48_a_reset_at_the_edge_of_the_highest_sack_block_counts() {
    let mut pair = Pair::new();
    let mut early = from_peer(&mut pair, A, Flags::ACK, b"early");
    early.seq += 10;
    pair.inject(A, &early);
    assert_eq!(pair.last(A).options.sacks.len(), 1);
    let rst = rst_at(&mut pair, 15);
    pair.inject(A, &rst);
    assert_eq!(pair.a.state(), TcpState::Close);
}

#[test]
fn t48_a_syn_on_a_living_connection_is_challenged() {
    let mut pair = Pair::new();
    let syn = from_peer(&mut pair, A, Flags::SYN, b"");
    pair.inject(A, &syn);
    assert_eq!((pair.a.state(), pair.sent(A)), (TcpState::Established, vec!["[.]".into()]));
}

#[test]
fn t48_paws_does_not_protect_from_a_reset() {
    let mut pair = Pair::new();
    let mut rst = rst_at(&mut pair, 0);
    rst.options.timestamps = Some(Timestamps { val: 0, ecr: 0 });
    pair.inject(A, &rst);
    assert_eq!(pair.a.state(), TcpState::Close);
}

#[test]
fn t42_a_reset_refuses_a_connect_only_with_an_acceptable_ack() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    let mut rst = Segment { flags: Flags::RST, ..Segment::default() };
    pair.inject(A, &rst);
    assert_eq!(pair.a.state(), TcpState::SynSent);
    rst.flags = Flags::RST | Flags::ACK;
    rst.ack = ISS_A + 1;
    pair.inject(A, &rst);
    assert_eq!(pair.a.state(), TcpState::Close);
    assert_eq!(pair.a.take_error(), Some(Errno::ECONNREFUSED));
}

#[test]
fn an_out_of_window_segment_is_answered_with_an_ack() {
    let mut pair = Pair::new();
    let mut old = from_peer(&mut pair, A, Flags::ACK, b"");
    old.seq = old.seq - 10;
    pair.inject(A, &old);
    assert_eq!(pair.sent(A), ["[.]"]);
}

#[test]
fn t26_a_closed_connection_answers_with_a_reset() {
    let mut pair = Pair::new();
    let fin = from_peer(&mut pair, A, Flags::FIN | Flags::ACK, b"");
    let rst = rst_at(&mut pair, 0);
    pair.inject(A, &rst);
    pair.inject(A, &fin);
    assert_eq!(pair.sent(A), ["[R]"]);
}

#[test]
fn t49_what_an_unreachable_said_is_told_once_by_so_error() {
    let mut pair = Pair::new();
    pair.with_conn(A, |c, _, out| c.unreachable(Errno::EHOSTUNREACH, out));
    assert!(!pair.a.poll().has(Ready::ERR), "it is no pending error");
    assert_eq!(pair.a.take_error(), None);
    assert_eq!((pair.a.so_error(), pair.a.so_error()), (Some(Errno::EHOSTUNREACH), None));
}
