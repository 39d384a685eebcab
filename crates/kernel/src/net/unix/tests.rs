//! Tests of AF_UNIX sockets over the system call table: rules F-16 to F-21, measured on Linux.
//! Neighbour: `skb`, whose tests know what buffers cost.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::abi::signal::Signal;
use crate::fs::testing::{Outcome, Tiny, World};

const CLOSE: u64 = 3;
const STREAM: u64 = 1;
const DGRAM: u64 = 2;
const SEQPACKET: u64 = 5;
const NONBLOCK: u64 = 0o4000;
const SENDTO: u64 = 44;
const RECVFROM: u64 = 45;
const SENDMSG: u64 = 46;
const RECVMSG: u64 = 47;
const MSG_PEEK: u64 = 2;
const BUF: u64 = 0x10_000;

fn pair(w: &mut World, ty: u64) -> (u64, u64) {
    w.sys(53, &[1, ty, 0, World::OUT]).expect("socketpair");
    let out = w.out(8);
    (u64::from(out[0]), u64::from(out[4]))
}

fn send(w: &mut World, fd: u64, len: u64) -> Result<u64, Errno> {
    w.sys(SENDTO, &[fd, BUF, len, 0, 0, 0])
}

fn recv(w: &mut World, fd: u64, len: u64) -> Result<u64, Errno> {
    w.sys(RECVFROM, &[fd, World::OUT, len, 0, 0, 0])
}

fn close(w: &mut World, fd: u64) {
    assert_eq!(w.sys(CLOSE, &[fd]), Ok(0));
}

fn poll(w: &World, fd: u64) -> PollBits {
    let file = w.kernel.table(w.task).get(fd as i32).expect("open");
    w.kernel.file_poll(w.task, file)
}

fn sigpipe(w: &mut World) -> bool {
    let pending = &mut w.kernel.tasks[w.task].pending;
    let there = pending.signal.has(Signal::SIGPIPE);
    *pending = Default::default();
    there
}

/// Blocked, so that init (which ignores what it has no handler for) keeps it pending.
fn world() -> World {
    let mut w = World::new(Tiny::default());
    w.kernel.tasks[w.task].blocked.add(Signal::SIGPIPE);
    w
}

/// sockaddr_un of `path`, with its length.
fn address(w: &mut World, path: &[u8]) -> (u64, u64) {
    let raw = [&[1, 0], path].concat();
    (w.put(&raw), raw.len() as u64)
}

fn bound(w: &mut World, ty: u64, path: &[u8]) -> u64 {
    let fd = w.sys(41, &[1, ty, 0]).expect("socket");
    let (at, len) = address(w, path);
    assert_eq!(w.sys(49, &[fd, at, len]), Ok(0));
    fd
}

fn connect(w: &mut World, fd: u64, path: &[u8]) -> Result<u64, Errno> {
    let (at, len) = address(w, path);
    w.sys(42, &[fd, at, len])
}

const IN: PollBits = PollBits(0x41);
const OUT: PollBits = PollBits(0x304);
const ENDED: PollBits = PollBits(0x2010);

#[test]
fn a_stream_whose_peer_died_with_nothing_unread_ends() {
    // F-16.
    let mut w = world();
    let (a, b) = pair(&mut w, STREAM);
    assert_eq!(poll(&w, a), OUT);
    send(&mut w, b, 5).unwrap();
    close(&mut w, b);
    assert_eq!(poll(&w, a), IN | OUT | ENDED);
    assert_eq!(recv(&mut w, a, 10), Ok(5));
    assert_eq!(recv(&mut w, a, 10), Ok(0));
    assert_eq!(send(&mut w, a, 1), Err(Errno::EPIPE));
    assert!(sigpipe(&mut w));
    assert_eq!(w.sys(SENDTO, &[a, BUF, 1, 0x4000, 0, 0]), Err(Errno::EPIPE));
    assert!(!sigpipe(&mut w), "MSG_NOSIGNAL");
}

#[test]
fn a_stream_whose_peer_died_with_data_unread_is_reset() {
    // F-17.
    let mut w = world();
    let (a, b) = pair(&mut w, STREAM);
    send(&mut w, a, 3).unwrap();
    send(&mut w, b, 5).unwrap();
    close(&mut w, b);
    assert_eq!(poll(&w, a), IN | OUT | ENDED | PollBits::ERR);
    assert_eq!(send(&mut w, a, 1), Err(Errno::EPIPE), "does not consume the error");
    assert!(sigpipe(&mut w));
    assert_eq!(recv(&mut w, a, 10), Ok(5));
    assert_eq!(recv(&mut w, a, 10), Err(Errno::ECONNRESET));
    assert_eq!(recv(&mut w, a, 10), Ok(0));
}

#[test]
fn packets_tell_the_reset_before_the_packet_and_send_no_sigpipe() {
    // F-16, F-17.
    let mut w = world();
    let (a, b) = pair(&mut w, SEQPACKET);
    send(&mut w, a, 3).unwrap();
    send(&mut w, b, 5).unwrap();
    close(&mut w, b);
    assert_eq!(recv(&mut w, a, 10), Err(Errno::ECONNRESET));
    assert_eq!(recv(&mut w, a, 10), Ok(5));
    assert_eq!(recv(&mut w, a, 10), Ok(0));
    assert_eq!(send(&mut w, a, 1), Err(Errno::EPIPE));
    assert!(!sigpipe(&mut w));
    assert_eq!(poll(&w, a), IN | OUT | ENDED);
}

#[test]
fn a_datagram_peer_dies_silently() {
    // F-18.
    let mut w = world();
    let (a, b) = pair(&mut w, DGRAM);
    send(&mut w, a, 3).unwrap();
    send(&mut w, b, 5).unwrap();
    close(&mut w, b);
    assert_eq!(poll(&w, a), IN | OUT);
    assert_eq!(recv(&mut w, a, 10), Ok(5));
    assert_eq!(poll(&w, a), OUT);
    w.begin(RECVFROM, &[a, World::OUT, 10, 0, 0, 0]).waiting();
    assert_eq!(send(&mut w, a, 1), Err(Errno::ECONNREFUSED));
    assert_eq!(send(&mut w, a, 1), Err(Errno::ENOTCONN));
}

#[test]
fn a_listener_that_dies_resets_whom_it_did_not_accept() {
    // F-19.
    let mut w = world();
    let l = bound(&mut w, STREAM, b"/tmp/s\0");
    assert_eq!(w.sys(50, &[l, 1]), Ok(0));
    assert_eq!(poll(&w, l), PollBits::NONE);
    let c = w.sys(41, &[1, STREAM, 0]).unwrap();
    assert_eq!(poll(&w, c), OUT | PollBits::HUP);
    assert_eq!(connect(&mut w, c, b"/tmp/s\0"), Ok(0));
    assert_eq!(poll(&w, l), IN);
    close(&mut w, l);
    assert_eq!(poll(&w, c), IN | OUT | ENDED | PollBits::ERR);
    assert_eq!(recv(&mut w, c, 1), Err(Errno::ECONNRESET));
    assert_eq!(recv(&mut w, c, 1), Ok(0));
    assert_eq!(send(&mut w, c, 1), Err(Errno::EPIPE));
    let d = w.sys(41, &[1, STREAM, 0]).unwrap();
    assert_eq!(connect(&mut w, d, b"/tmp/s\0"), Err(Errno::ECONNREFUSED));
    let (at, len) = address(&mut w, b"/tmp/s\0");
    assert_eq!(w.sys(49, &[d, at, len]), Err(Errno::EADDRINUSE));
    assert_eq!(connect(&mut w, d, b"/tmp/none\0"), Err(Errno::ENOENT));
}

#[test]
fn abstract_names_vanish_with_their_socket() {
    // F-19.
    let mut w = world();
    let l = bound(&mut w, STREAM, b"\0name");
    let other = w.sys(41, &[1, STREAM, 0]).unwrap();
    let (at, len) = address(&mut w, b"\0name");
    assert_eq!(w.sys(49, &[other, at, len]), Err(Errno::EADDRINUSE));
    close(&mut w, l);
    assert_eq!(w.sys(49, &[other, at, len]), Ok(0));
    assert_eq!(w.sys(49, &[other, at, len]), Err(Errno::EINVAL));
}

#[test]
fn a_full_backlog_makes_connect_wait() {
    let mut w = world();
    let l = bound(&mut w, STREAM, b"\0full");
    w.sys(50, &[l, 0]).unwrap();
    let [a, b, c] = [0, 0, NONBLOCK].map(|f| w.sys(41, &[1, STREAM | f, 0]).unwrap());
    assert_eq!(connect(&mut w, a, b"\0full"), Ok(0));
    assert_eq!(connect(&mut w, c, b"\0full"), Err(Errno::EAGAIN));
    let (at, len) = address(&mut w, b"\0full");
    let flight = w.begin(42, &[b, at, len]).waiting();
    let accepted = w.sys(43, &[l, 0, 0]).unwrap();
    assert_eq!(w.again(flight), Outcome::Done(Ok(0)));
    send(&mut w, a, 4).unwrap();
    assert_eq!(recv(&mut w, accepted, 10), Ok(4));
    w.sys(43, &[l, 0, 0]).unwrap();
    assert_eq!(connect(&mut w, a, b"\0full"), Err(Errno::EISCONN));
}

#[test]
fn a_stranger_waits_when_ten_datagrams_are_queued() {
    // max_dgram_qlen: measured, eleven go.
    let mut w = world();
    let r = bound(&mut w, DGRAM, b"\0r");
    let s = w.sys(41, &[1, DGRAM | NONBLOCK, 0]).unwrap();
    assert_eq!(connect(&mut w, s, b"\0r"), Ok(0));
    let sent = (0..20).take_while(|_| send(&mut w, s, 1).is_ok()).count();
    assert_eq!(sent, 11);
    assert_eq!(poll(&w, s), PollBits::NONE);
    assert_eq!(recv(&mut w, r, 10), Ok(1));
    assert_eq!(poll(&w, s), OUT);
}

#[test]
fn datagrams_are_cut_and_peeked_at() {
    let mut w = world();
    let (a, b) = pair(&mut w, DGRAM);
    send(&mut w, a, 10).unwrap();
    send(&mut w, a, 0).unwrap();
    assert_eq!(w.sys(RECVFROM, &[b, World::OUT, 4, MSG_PEEK, 0, 0]), Ok(4));
    assert_eq!(w.sys(RECVFROM, &[b, World::OUT, 4, 0x20, 0, 0]), Ok(10), "MSG_TRUNC");
    assert_eq!(recv(&mut w, b, 4), Ok(0));
    assert_eq!(w.sys(SENDTO, &[a, BUF, 212_992, 0, 0, 0]), Err(Errno::EMSGSIZE));
}

#[test]
fn shutdown_closes_both_views_of_a_direction() {
    let mut w = world();
    let (a, b) = pair(&mut w, STREAM);
    assert_eq!(w.sys(48, &[a, 1]), Ok(0));
    assert_eq!(poll(&w, b), IN | OUT | PollBits::RDHUP);
    assert_eq!(recv(&mut w, b, 1), Ok(0));
    assert_eq!(send(&mut w, b, 1), Ok(1));
    assert_eq!(send(&mut w, a, 1), Err(Errno::EPIPE));
    assert_eq!(recv(&mut w, a, 10), Ok(1));
}

/// A msghdr with `len` bytes and one SCM_RIGHTS message, to send or to receive with.
fn rights_message(w: &mut World, fd: u32) -> u64 {
    let iov = [BUF.to_le_bytes(), 4u64.to_le_bytes()].concat();
    let iov = w.put(&iov);
    let mut cmsg = 20u64.to_le_bytes().to_vec();
    cmsg.extend([1u32, 1, fd, 0].iter().flat_map(|v| v.to_le_bytes()));
    let control = w.put(&cmsg);
    let words = [0, 0, iov, 1, control, 24, 0];
    let raw: Vec<u8> = words.iter().flat_map(|v: &u64| v.to_le_bytes()).collect();
    w.put(&raw)
}

fn received_fd(w: &World, message: u64) -> u64 {
    let at = (message - BUF) as usize;
    let word = |i: usize| u64::from_le_bytes(w.user.memory[at + i..at + i + 8].try_into().unwrap());
    assert_eq!(word(40), 24, "the length of the control messages");
    let cmsg = (word(32) - BUF) as usize;
    u64::from(w.user.memory[cmsg + 16])
}

#[test]
fn a_descriptor_in_flight_outlives_its_sender() {
    // F-20.
    let mut w = world();
    let (a, b) = pair(&mut w, STREAM);
    w.sys(293, &[World::OUT, 0]).unwrap();
    let (r, wr) = (u64::from(w.out(8)[0]), u64::from(w.out(8)[4]));
    let message = rights_message(&mut w, wr as u32);
    assert_eq!(w.sys(SENDMSG, &[a, message, 0]), Ok(4));
    close(&mut w, wr);
    close(&mut w, a);
    let reader = w.begin(0, &[r, World::OUT, 1]).waiting();
    let message = rights_message(&mut w, 0);
    assert_eq!(w.sys(RECVMSG, &[b, message, 0]), Ok(4));
    let got = received_fd(&w, message);
    assert_eq!(w.sys(1, &[got, BUF, 1]), Ok(1));
    assert_eq!(w.again(reader), Outcome::Done(Ok(1)));
}

#[test]
fn a_descriptor_dies_with_the_socket_that_did_not_read_it() {
    // F-20.
    let mut w = world();
    let (a, b) = pair(&mut w, DGRAM);
    w.sys(293, &[World::OUT, 0]).unwrap();
    let (r, wr) = (u64::from(w.out(8)[0]), u64::from(w.out(8)[4]));
    let message = rights_message(&mut w, wr as u32);
    assert_eq!(w.sys(SENDMSG, &[a, message, 0]), Ok(4));
    close(&mut w, wr);
    let reader = w.begin(0, &[r, World::OUT, 1]).waiting();
    close(&mut w, b);
    assert_eq!(w.again(reader), Outcome::Done(Ok(0)));
}

#[test]
fn a_cycle_of_messages_is_freed_when_another_unix_socket_goes() {
    // F-21.
    let mut w = world();
    let (a, b) = pair(&mut w, STREAM);
    w.sys(293, &[World::OUT, 0]).unwrap();
    let (r, wr) = (u64::from(w.out(8)[0]), u64::from(w.out(8)[4]));
    for (from, carried) in [(a, a), (b, b), (a, wr)] {
        let message = rights_message(&mut w, carried as u32);
        assert_eq!(w.sys(SENDMSG, &[from, message, 0]), Ok(4));
    }
    for fd in [wr, a, b] {
        close(&mut w, fd);
    }
    let reader = w.begin(0, &[r, World::OUT, 1]).waiting();
    let other = w.sys(41, &[1, DGRAM, 0]).unwrap();
    let reader = w.again(reader).waiting();
    close(&mut w, other);
    assert_eq!(w.again(reader), Outcome::Done(Ok(0)));
    assert!(w.kernel.net.sockets.is_empty());
}

#[test]
fn a_blocked_writer_goes_on_when_the_reader_made_room() {
    let mut w = world();
    let (a, b) = pair(&mut w, STREAM);
    let mut flight = None;
    for _ in 0..20 {
        match w.begin(SENDTO, &[a, BUF, 0x7000, 0, 0, 0]) {
            Outcome::Done(done) => assert_eq!(done, Ok(0x7000)),
            Outcome::Waits(f, _) => {
                flight = Some(f);
                break;
            }
        }
    }
    let flight = flight.expect("the buffer fills");
    assert_eq!(poll(&w, a), PollBits::NONE);
    while recv(&mut w, b, 0x7000) == Ok(0x7000) && poll(&w, a) == PollBits::NONE {}
    assert_eq!(w.again(flight), Outcome::Done(Ok(0x7000)));
}

#[test]
fn the_name_of_the_sender_comes_with_a_datagram() {
    let mut w = world();
    let r = bound(&mut w, DGRAM, b"\0to");
    let s = bound(&mut w, DGRAM, b"/tmp/from\0");
    let (at, len) = address(&mut w, b"\0to");
    assert_eq!(w.sys(SENDTO, &[s, BUF, 3, 0, at, len]), Ok(3));
    let len_at = w.put(&110u32.to_le_bytes());
    let name_at = World::OUT + 64;
    assert_eq!(w.sys(RECVFROM, &[r, World::OUT, 9, 0, name_at, len_at]), Ok(3));
    assert_eq!(w.out(64 + 12)[64..], *b"\x01\0/tmp/from\0".first_chunk::<12>().unwrap());
}
