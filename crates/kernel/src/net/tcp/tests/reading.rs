//! T-39…T-46: what the surviving program sees.
//! Reads, writes and poll bits after FIN, RST and RST after FIN, over the in-memory pair.

use super::*;
use crate::abi::Errno;

const RESET: Flags = Flags::RST;
const DEAD: Ready = Ready(Ready::IN.0 | Ready::OUT.0 | Ready::HUP.0 | Ready::RDHUP.0);

fn epipe(sigpipe: bool, errno: Errno) -> Result<usize, SendError> {
    Err(SendError { errno, sigpipe })
}

/// A received three bytes and then a reset.
fn reset() -> Pair {
    let mut pair = Pair::new();
    pair.send(B, b"abc").unwrap();
    pair.run(ms(50));
    let rst = from_peer(&mut pair, A, RESET, b"");
    pair.inject(A, &rst);
    assert_eq!(pair.a.poll(), DEAD | Ready::ERR);
    assert!(pair.wake[0].has(Ready::ERR));
    pair
}

#[test]
fn t39_after_a_fin_reads_end_and_the_first_write_works() {
    let mut pair = Pair::new();
    pair.send(B, b"last").unwrap();
    pair.close(B);
    pair.run(ms(60));
    assert_eq!(pair.a.state(), TcpState::CloseWait);
    assert_eq!(pair.a.poll(), Ready::IN | Ready::OUT | Ready::RDHUP);
    assert_eq!(pair.drain(A), b"last");
    for _ in 0..3 {
        assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
    }
    assert_eq!(pair.a.take_error(), None);
    assert_eq!(pair.send(A, b"x"), Ok(1));
    pair.clear();
    pair.run(ms(10));
    assert_eq!(pair.sent(B), ["[R]"], "T-25: the mini-socket answers data with a reset");
    // T-41.
    assert_eq!(pair.a.poll(), DEAD | Ready::ERR);
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
    assert_eq!(pair.send(A, b"x"), epipe(true, Errno::EPIPE));
    assert_eq!(pair.a.poll(), DEAD);
}

#[test]
fn t40_a_reset_is_told_exactly_once_by_read() {
    let mut pair = reset();
    assert_eq!(pair.recv(A, 9), Ok(Received::Data(bytes::Bytes::from_static(b"abc"))));
    assert_eq!(pair.recv(A, 9), Err(Errno::ECONNRESET));
    assert_eq!(pair.a.poll(), DEAD);
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
    assert_eq!(pair.send(A, b"x"), epipe(true, Errno::EPIPE));
}

#[test]
fn t40_a_reset_is_told_exactly_once_by_write_without_a_signal() {
    let mut pair = reset();
    assert_eq!(pair.send(A, b"x"), epipe(false, Errno::ECONNRESET));
    assert_eq!(pair.send(A, b"x"), epipe(true, Errno::EPIPE));
    assert_eq!(pair.drain(A), b"abc");
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
}

#[test]
fn t40_a_reset_is_told_exactly_once_by_so_error() {
    let mut pair = reset();
    assert_eq!(pair.a.take_error(), Some(Errno::ECONNRESET));
    assert_eq!(pair.a.take_error(), None);
    assert_eq!(pair.a.poll(), DEAD);
    assert_eq!(pair.drain(A), b"abc");
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
}

#[test]
fn t41_a_reset_after_a_fin_is_no_error_to_a_reader() {
    let mut pair = Pair::new();
    pair.send(B, b"abc").unwrap();
    pair.shutdown(B, Shutdown::Write);
    pair.run(ms(60));
    let rst = from_peer(&mut pair, A, RESET, b"");
    pair.inject(A, &rst);
    assert_eq!(pair.a.poll(), DEAD | Ready::ERR);
    assert_eq!(pair.drain(A), b"abc");
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
    assert!(pair.a.poll().has(Ready::ERR), "until SO_ERROR or a write consumes it");
    assert_eq!(pair.send(A, b"x"), epipe(true, Errno::EPIPE), "also the first time");
}

#[test]
fn t44_half_closed_keeps_sending_and_the_other_side_waits_without_limit() {
    let mut pair = Pair::new();
    pair.shutdown(A, Shutdown::Write);
    pair.run(ms(60));
    assert_eq!((pair.a.state(), pair.b().state()), (TcpState::FinWait2, TcpState::CloseWait));
    assert_eq!(pair.a.poll(), Ready::OUT, "measured: OUT only until data");
    pair.run(secs(4000));
    assert_eq!(pair.a.state(), TcpState::FinWait2);
    assert_eq!(pair.send(B, b"still here"), Ok(10));
    pair.run(ms(10));
    assert_eq!(pair.drain(A), b"still here");
    assert_eq!(pair.send(A, b"x"), epipe(true, Errno::EPIPE));
}

#[test]
fn t45_shutdown_for_reading_is_local() {
    let mut pair = Pair::new();
    pair.shutdown(A, Shutdown::Read);
    assert!(pair.sent(A).is_empty());
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
    pair.send(B, b"later").unwrap();
    pair.run(ms(60));
    assert_eq!(pair.sent(A), ["[.]"], "still acknowledged");
    assert_eq!(pair.drain(A), b"later", "and readable");
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
}

#[test]
fn t45_data_after_shutdown_of_both_ways_is_answered_with_a_reset() {
    let mut pair = Pair::new();
    pair.shutdown(A, Shutdown::Both);
    pair.run(ms(60));
    pair.clear();
    pair.send(B, b"late").unwrap();
    pair.run(ms(60));
    assert_eq!(pair.sent(A), ["[R]"]);
    assert_eq!(pair.a.take_error(), Some(Errno::ECONNRESET));
}

#[test]
fn t46_both_fins_done_and_the_descriptor_open() {
    let mut pair = Pair::new();
    pair.shutdown(A, Shutdown::Write);
    pair.run(ms(60));
    pair.shutdown(B, Shutdown::Write);
    pair.run(ms(60));
    assert_eq!((pair.a.state(), pair.a.wire_state()), (TcpState::Close, TcpState::TimeWait));
    assert_eq!((pair.b().state(), pair.b().wire_state()), (TcpState::Close, TcpState::Close));
    for side in [A, B] {
        assert_eq!(pair.conn(side).poll(), DEAD);
        assert_eq!(pair.conn(side).take_error(), None);
        assert_eq!(pair.send(side, b"x"), epipe(true, Errno::EPIPE));
        assert_eq!(pair.recv(side, 9), Ok(Received::Eof));
    }
}

#[test]
fn t47_shutdown_in_syn_sent_aborts_and_without_connection_is_enotconn() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.shutdown(A, Shutdown::Both);
    assert_eq!((pair.a.state(), pair.sent(A).len()), (TcpState::Close, 1));
    let again = pair.with_conn(A, |c, now, out| c.shutdown(now, Shutdown::Both, out));
    assert_eq!(again, Err(Errno::ENOTCONN));
}

#[test]
fn urgent_data_is_read_apart_and_the_stream_stops_before_it() {
    let mut pair = Pair::new();
    let oob = SendFlags { oob: true, ..SendFlags::default() };
    pair.send(B, b"before").unwrap();
    pair.with_conn(B, |c, now, out| c.send(now, b"!", oob, out)).unwrap();
    pair.send(B, b"after").unwrap();
    pair.run(ms(60));
    assert!(pair.a.poll().has(Ready::PRI | Ready::IN));
    assert_eq!(pair.recv(A, 99), Ok(Received::Data(bytes::Bytes::from_static(b"before"))));
    assert!(pair.a.at_mark());
    assert_eq!(pair.a.recv_urgent(false), Ok(Some(b'!')));
    assert_eq!(pair.a.recv_urgent(false), Err(Errno::EINVAL));
    assert!(!pair.a.poll().has(Ready::PRI));
    assert_eq!(pair.recv(A, 99), Ok(Received::Data(bytes::Bytes::from_static(b"after"))));
    assert_eq!(pair.recv(A, 99), Ok(Received::WouldBlock));
}

#[test]
fn t49_an_unreachable_is_fatal_only_before_the_handshake() {
    let mut pair = Pair::connecting(TcpConfig::default(), TcpConfig::default());
    pair.a.unreachable(Errno::EHOSTUNREACH, &mut Output::default());
    assert_eq!(pair.a.state(), TcpState::Close);
    assert_eq!(pair.a.take_error(), Some(Errno::EHOSTUNREACH));
    let mut pair = Pair::new();
    pair.a.unreachable(Errno::EHOSTUNREACH, &mut Output::default());
    assert_eq!((pair.a.state(), pair.a.take_error()), (TcpState::Established, None));
}

#[test]
fn text_behind_a_fin_is_read_and_a_second_fin_is_no_byte() {
    // RFC 9293, 3.10.7.4 ignores text after a FIN; Linux's tcp_rcv_state_process takes it where the
    // segment begins before RCV.NXT. Found by the hostile peer: the second FIN was read as a byte.
    let mut pair = Pair::new();
    let fin = from_peer(&mut pair, A, Flags::FIN | Flags::ACK, b"");
    pair.inject(A, &fin);
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
    let mut more = from_peer(&mut pair, A, Flags::FIN | Flags::ACK, b"xyz");
    more.seq = more.seq - 1;
    pair.inject(A, &more);
    assert_eq!(pair.a.check(), Ok(()));
    assert_eq!(pair.a.unread(), 2);
    assert_eq!(pair.drain(A), b"yz");
    assert_eq!(pair.recv(A, 9), Ok(Received::Eof));
}
