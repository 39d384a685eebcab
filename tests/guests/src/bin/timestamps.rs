//! SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING and the error queue: socket(7), and Linux's
//! timestamping.rst.

use guests::net::{
    bind, connection, loopback, name, option, set_option, socket, until_acknowledged,
};
use guests::sys::{Fd, Sys, close, count, poll_one, read, write};
use guests::{Check, ensure, fails, same};
use libc::{
    AF_INET, AF_INET6, EAGAIN, EINVAL, EOPNOTSUPP, MSG_ERRQUEUE, MSG_TRUNC, POLLERR, POLLIN,
    POLLPRI, SO_SELECT_ERR_QUEUE, SO_TIMESTAMP, SO_TIMESTAMPING, SO_TIMESTAMPNS, SOCK_DGRAM,
    SOCK_NONBLOCK, SOCK_STREAM, SOL_IP, SOL_SOCKET,
};
use std::mem::{size_of_val, zeroed};

guests::cases! {
    a_datagram_comes_with_its_time,
    so_timestamping_tells_when_something_arrived,
    a_stream_tells_when_the_last_of_what_is_read_came,
    who_does_not_ask_is_told_nothing,
    a_datagram_that_left_is_in_the_error_queue,
    one_message_may_ask_for_itself,
    the_error_queue_wakes_poll,
    a_stream_numbers_its_bytes,
    writes_in_one_segment_have_one_time,
    the_packet_itself_is_cut_where_it_has_no_room,
    flags_that_do_not_go_together_are_refused,
    options_are_told,
}

const SO_TIMESTAMP_NEW: i32 = 63;
const SO_TIMESTAMPNS_NEW: i32 = 64;
const SO_TIMESTAMPING_NEW: i32 = 65;
const TX_SOFTWARE: u32 = 1 << 1;
const RX_SOFTWARE: u32 = 1 << 3;
const SOFTWARE: u32 = 1 << 4;
const OPT_ID: u32 = 1 << 7;
const TX_SCHED: u32 = 1 << 8;
const TX_ACK: u32 = 1 << 9;
const OPT_TSONLY: u32 = 1 << 11;
const OPT_STATS: u32 = 1 << 12;
const BIND_PHC: u32 = 1 << 15;
const OPT_ID_TCP: u32 = 1 << 16;
const ALONE: u32 = OPT_TSONLY | SOFTWARE | OPT_ID;
/// SCM_TSTAMP_….
const SND: u32 = 0;
const SCHED: u32 = 1;
const ACK: u32 = 2;

/// What recvmsg(2) gave.
struct Message {
    bytes: Vec<u8>,
    flags: i32,
    /// Level, type and data.
    control: Vec<(i32, i32, Vec<u8>)>,
}

fn receive(fd: Fd, room: usize, flags: i32) -> Sys<Message> {
    let mut bytes = vec![0_u8; room];
    let mut control = [0_u64; 64];
    let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: room };
    // SAFETY: a plain struct.
    let mut header: libc::msghdr = unsafe { zeroed() };
    (header.msg_iov, header.msg_iovlen) = (&raw mut iov, 1);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header names what lives here.
    let got = count("recvmsg", unsafe { libc::recvmsg(fd, &raw mut header, flags) })?;
    bytes.truncate(got);
    let all: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (mut at, mut found) = (0, Vec::new());
    while at + 16 <= header.msg_controllen {
        let int = |i: usize| i32::from_ne_bytes([0, 1, 2, 3].map(|k| all[at + i + k]));
        let len = int(0) as usize;
        found.push((int(8), int(12), all[at + 16..at + len].to_vec()));
        at += len.next_multiple_of(8);
    }
    Ok(Message { bytes, flags: header.msg_flags, control: found })
}

/// Two words as nanoseconds: `fraction` of them is one of the second.
fn time(data: &[u8], fraction: u64) -> u64 {
    let word = |i: usize| u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|k| data[8 * i + k]));
    word(0) * 1_000_000_000 + word(1) * fraction
}

fn now() -> u64 {
    // SAFETY: a plain struct, filled here.
    let mut t: libc::timespec = unsafe { zeroed() };
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn udp() -> Sys<Fd> {
    let fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK)?;
    bind(fd, &loopback(0))?;
    Ok(fd)
}

fn send_to(fd: Fd, to: Fd, bytes: &[u8]) -> Sys<usize> {
    let address = name(to, false)?;
    let (at, len) = ((&raw const address).cast(), size_of_val(&address) as u32);
    // SAFETY: bytes and an address of these lengths.
    count("sendto", unsafe { libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, at, len) })
}

/// The same with ancillary data of socket(7).
fn send_with(fd: Fd, to: Fd, kind: i32, data: &[u8]) -> Sys<usize> {
    let mut address = name(to, false)?;
    let mut control = [0_u8; 64];
    control[..8].copy_from_slice(&(16 + data.len()).to_ne_bytes());
    control[8..12].copy_from_slice(&SOL_SOCKET.to_ne_bytes());
    control[12..16].copy_from_slice(&kind.to_ne_bytes());
    control[16..16 + data.len()].copy_from_slice(data);
    let mut iov = libc::iovec { iov_base: c"with".as_ptr().cast_mut().cast(), iov_len: 4 };
    // SAFETY: a plain struct.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = (&raw mut address).cast();
    header.msg_namelen = size_of_val(&address) as u32;
    (header.msg_iov, header.msg_iovlen) = (&raw mut iov, 1);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = (16 + data.len()).next_multiple_of(8);
    // SAFETY: the header names what lives here.
    count("sendmsg", unsafe { libc::sendmsg(fd, &raw const header, 0) })
}

/// The first entry of the error queue: what happened, to which byte or datagram, when.
fn event(fd: Fd) -> Result<(u32, u32, u64), String> {
    let message = receive(fd, 0, MSG_ERRQUEUE)?;
    let kinds: Vec<(i32, i32)> = message.control.iter().map(|c| (c.0, c.1)).collect();
    same!(kinds, [(SOL_SOCKET, SO_TIMESTAMPING), (SOL_IP, libc::IP_RECVERR)], "what comes with it");
    let error = &message.control[1].2;
    let int = |i: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|k| error[i + k]));
    same!((error.len(), int(0), error[4]), (32, libc::ENOMSG as u32, 4), "sock_extended_err");
    Ok((int(8), int(12), time(&message.control[0].2, 1)))
}

/// Returns once something is in the error queue.
fn until_error(fd: Fd) -> Check {
    same!(poll_one(fd, 0, -1)? & POLLERR, POLLERR, "poll");
    Ok(())
}

/// Linux begins to look at the clock some time after the first socket asked for it
/// (net_enable_timestamp). Returns once it does, and goes on while the descriptor is open.
fn clock() -> Sys<Fd> {
    let fd = udp()?;
    set_option(fd, SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE | SOFTWARE)?;
    loop {
        send_to(fd, fd, b"now?")?;
        poll_one(fd, POLLIN, -1)?;
        if !receive(fd, 10, 0)?.control.is_empty() {
            return Ok(fd);
        }
        std::thread::yield_now();
    }
}

fn a_datagram_comes_with_its_time() -> Check {
    clock()?;
    let (from, to) = (udp()?, udp()?);
    let kinds = [
        (SO_TIMESTAMP, 1000),
        (SO_TIMESTAMPNS, 1),
        (SO_TIMESTAMP_NEW, 1000),
        (SO_TIMESTAMPNS_NEW, 1),
    ];
    for (kind, fraction) in kinds {
        set_option(to, SOL_SOCKET, kind, 1)?;
        let before = now();
        send_to(from, to, b"abc")?;
        poll_one(to, POLLIN, -1)?;
        let message = receive(to, 10, 0)?;
        let (level, got, data) = &message.control[0];
        same!((*level, *got, data.len()), (SOL_SOCKET, kind, 16), "the ancillary data");
        same!((message.control.len(), &message.bytes[..]), (1, &b"abc"[..]), "and nothing else");
        let at = time(data, fraction);
        ensure!(at + 1000 >= before && at <= now(), "{kind}: not in between: {at}");
        set_option(to, SOL_SOCKET, kind, 0)?;
    }
    Ok(())
}

fn so_timestamping_tells_when_something_arrived() -> Check {
    clock()?;
    let (from, to) = (udp()?, udp()?);
    set_option(to, SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE | SOFTWARE)?;
    let before = now();
    send_to(from, to, b"abc")?;
    poll_one(to, POLLIN, -1)?;
    let message = receive(to, 10, 0)?;
    let (level, kind, data) = &message.control[0];
    same!((*level, *kind, data.len()), (SOL_SOCKET, SO_TIMESTAMPING, 48), "three times");
    let at = time(data, 1);
    ensure!((before..=now()).contains(&at), "not in between: {at}");
    same!(data[16..], [0; 32], "no device tells its own");
    set_option(to, SOL_SOCKET, SO_TIMESTAMPING_NEW, RX_SOFTWARE)?;
    send_to(from, to, b"abc")?;
    poll_one(to, POLLIN, -1)?;
    same!(receive(to, 10, 0)?.control.len(), 0, "without SOF_TIMESTAMPING_SOFTWARE");
    set_option(to, SOL_SOCKET, SO_TIMESTAMP, 1)?;
    set_option(to, SOL_SOCKET, SO_TIMESTAMPING_NEW, RX_SOFTWARE | SOFTWARE)?;
    send_to(from, to, b"abc")?;
    poll_one(to, POLLIN, -1)?;
    let kinds: Vec<i32> = receive(to, 10, 0)?.control.iter().map(|c| c.1).collect();
    same!(kinds, [SO_TIMESTAMP_NEW, SO_TIMESTAMPING_NEW], "both");
    Ok(())
}

fn a_stream_tells_when_the_last_of_what_is_read_came() -> Check {
    clock()?;
    let (near, far) = connection()?;
    set_option(far, SOL_SOCKET, SO_TIMESTAMPNS, 1)?;
    let before = now();
    write(near, b"ab")?;
    poll_one(far, POLLIN, -1)?;
    let message = receive(far, 1, 0)?;
    same!((message.control.len(), message.control[0].1), (1, SO_TIMESTAMPNS), "what comes with it");
    let at = time(&message.control[0].2, 1);
    ensure!((before..=now()).contains(&at), "not in between: {at}");
    same!(receive(far, 1, 0)?.control[0].2, message.control[0].2, "the rest came with it");
    close(near)?;
    poll_one(far, POLLIN, -1)?;
    same!(receive(far, 1, 0)?.control.len(), 0, "nothing was read");
    Ok(())
}

fn who_does_not_ask_is_told_nothing() -> Check {
    let (from, to) = (udp()?, udp()?);
    send_to(from, to, b"abc")?;
    poll_one(to, POLLIN, -1)?;
    same!(receive(to, 10, 0)?.control.len(), 0, "a datagram");
    fails!(receive(from, 10, MSG_ERRQUEUE).map(|m| m.flags), EAGAIN);
    let (near, far) = connection()?;
    write(near, b"ab")?;
    same!(receive(far, 10, 0)?.control.len(), 0, "a stream");
    // It never waits.
    fails!(receive(near, 10, MSG_ERRQUEUE).map(|m| m.flags), EAGAIN);
    Ok(())
}

fn a_datagram_that_left_is_in_the_error_queue() -> Check {
    let (from, to) = (udp()?, udp()?);
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, TX_SCHED | TX_SOFTWARE | TX_ACK | ALONE)?;
    let before = now();
    send_to(from, to, b"abc")?;
    send_to(from, to, b"")?;
    let mut all = Vec::new();
    for _ in 0..4 {
        until_error(from)?;
        let (what, which, at) = event(from)?;
        ensure!((before..=now()).contains(&at), "not in between: {at}");
        all.push((what, which));
    }
    same!(all, [(SCHED, 0), (SND, 0), (SCHED, 1), (SND, 1)], "in this order");
    fails!(receive(from, 10, MSG_ERRQUEUE).map(|m| m.flags), EAGAIN);
    // It counts on, unless the numbers were off meanwhile.
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | ALONE)?;
    send_to(from, to, b"abc")?;
    same!(event(from).map(|e| (e.0, e.1))?, (SND, 2), "the third");
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | ALONE & !OPT_ID)?;
    send_to(from, to, b"abc")?;
    same!(event(from).map(|e| (e.0, e.1))?, (SND, 0), "without a number");
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | ALONE)?;
    send_to(from, to, b"abc")?;
    send_to(from, to, b"abc")?;
    same!(event(from).map(|e| (e.0, e.1))?, (SND, 0), "from the beginning");
    same!(event(from).map(|e| (e.0, e.1))?, (SND, 1), "and the next");
    Ok(())
}

fn one_message_may_ask_for_itself() -> Check {
    let (from, to) = (udp()?, udp()?);
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, ALONE)?;
    send_to(from, to, b"untold")?;
    send_with(from, to, SO_TIMESTAMPING, &TX_SOFTWARE.to_ne_bytes())?;
    send_with(from, to, SO_TIMESTAMPING_NEW, &TX_SCHED.to_ne_bytes())?;
    same!(event(from).map(|e| (e.0, e.1))?, (SND, 0), "the first that asked");
    same!(event(from).map(|e| (e.0, e.1))?, (SCHED, 1), "the second");
    fails!(receive(from, 10, MSG_ERRQUEUE).map(|m| m.flags), EAGAIN);
    fails!(send_with(from, to, SO_TIMESTAMPING, &SOFTWARE.to_ne_bytes()), EINVAL);
    fails!(send_with(from, to, SO_TIMESTAMPING, &[0; 8]), EINVAL);
    Ok(())
}

fn the_error_queue_wakes_poll() -> Check {
    let (from, to) = (udp()?, udp()?);
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | ALONE)?;
    same!(poll_one(from, POLLPRI, 0)?, 0, "nothing yet");
    send_to(from, to, b"abc")?;
    same!(poll_one(from, POLLPRI | POLLIN, -1)?, POLLERR, "an entry");
    set_option(from, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1)?;
    same!(poll_one(from, POLLPRI | POLLIN, -1)?, POLLERR | POLLPRI, "with SO_SELECT_ERR_QUEUE");
    fails!(read(from, 10), EAGAIN);
    same!(option(from, SOL_SOCKET, libc::SO_ERROR)?, 0, "it is no error of the socket");
    event(from)?;
    same!(poll_one(from, POLLPRI | POLLIN, 0)?, 0, "taken");
    Ok(())
}

fn a_stream_numbers_its_bytes() -> Check {
    let (near, far) = connection()?;
    write(near, b"before")?;
    same!(read(far, 10)?, b"before", "what came before");
    // Until that is acknowledged its bytes would count.
    until_acknowledged(near)?;
    set_option(near, SOL_SOCKET, SO_TIMESTAMPING, TX_SCHED | TX_SOFTWARE | TX_ACK | ALONE)?;
    for end in [4, 9] {
        write(near, b"hello")?;
        same!(read(far, 10)?, b"hello", "what came");
        let times = told_of(near, &[SCHED, SND, ACK], end)?;
        ensure!(times.is_sorted(), "in this order: {times:?}");
    }
    Ok(())
}

/// What is told of one byte, in this order, and when it was. On a machine under load it may be sent
/// again, which is told too.
fn told_of(fd: Fd, kinds: &[u32], byte: u32) -> Result<Vec<u64>, String> {
    let mut times = Vec::new();
    while times.len() < kinds.len() {
        until_error(fd)?;
        let (what, which, at) = event(fd)?;
        let again = which < byte || kinds[..times.len()].contains(&what);
        if again && what != ACK {
            continue;
        }
        same!((what, which), (kinds[times.len()], byte), "what is told next");
        times.push(at);
    }
    Ok(times)
}

fn writes_in_one_segment_have_one_time() -> Check {
    let (near, far) = connection()?;
    set_option(near, libc::IPPROTO_TCP, libc::TCP_CORK, 1)?;
    let flags = TX_SOFTWARE | TX_ACK | ALONE | OPT_ID_TCP;
    set_option(near, SOL_SOCKET, SO_TIMESTAMPING, flags)?;
    write(near, b"one")?;
    write(near, b"two")?;
    same!(poll_one(near, 0, 0)?, 0, "nothing left");
    set_option(near, libc::IPPROTO_TCP, libc::TCP_CORK, 0)?;
    same!(read(far, 10)?, b"onetwo", "what came");
    told_of(near, &[SND, ACK], 5).map(|_| ())
}

fn the_packet_itself_is_cut_where_it_has_no_room() -> Check {
    let (from, to) = (udp()?, udp()?);
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | SOFTWARE)?;
    send_to(from, to, b"abc")?;
    // Where an administrator says so only the privileged are given packets.
    let allowed = std::fs::read_to_string("/proc/sys/net/core/tstamp_allow_data");
    if allowed.is_ok_and(|text| text.trim() == "0") {
        return Ok(());
    }
    same!(receive(from, 0, MSG_ERRQUEUE)?.flags, MSG_ERRQUEUE | MSG_TRUNC, "with the packet");
    set_option(from, SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | ALONE)?;
    send_to(from, to, b"abc")?;
    same!(receive(from, 0, MSG_ERRQUEUE)?.flags, MSG_ERRQUEUE, "without");
    Ok(())
}

fn flags_that_do_not_go_together_are_refused() -> Check {
    let stream = socket(AF_INET, SOCK_STREAM)?;
    let set = |flags: u32| set_option(stream, SOL_SOCKET, SO_TIMESTAMPING, flags);
    fails!(set(1 << 31), EINVAL);
    fails!(set(OPT_ID_TCP), EINVAL);
    fails!(set(OPT_STATS), EINVAL);
    fails!(set(BIND_PHC), EOPNOTSUPP);
    // A stream has no numbers before it is connected; datagrams have.
    fails!(set(OPT_ID), EINVAL);
    set_option(udp()?, SOL_SOCKET, SO_TIMESTAMPING, OPT_ID)?;
    set(TX_SOFTWARE)?;
    same!(option(stream, SOL_SOCKET, SO_TIMESTAMPING)?, TX_SOFTWARE as i32, "what is set");
    Ok(())
}

fn options_are_told() -> Check {
    let kinds = [SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW];
    let told = |fd: Fd| kinds.map(|kind| option(fd, SOL_SOCKET, kind));
    let expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]];
    for (kind, expected) in kinds.into_iter().zip(expected) {
        let fd = socket(AF_INET6, SOCK_DGRAM).or_else(|_| socket(AF_INET, SOCK_DGRAM))?;
        same!(told(fd), [0; 4].map(Ok), "at first");
        set_option(fd, SOL_SOCKET, kind, 1)?;
        same!(told(fd), expected.map(Ok), "after {kind}");
        set_option(fd, SOL_SOCKET, kind, 0)?;
        same!(told(fd), [0; 4].map(Ok), "off again");
    }
    let fd = udp()?;
    set_option(fd, SOL_SOCKET, SO_TIMESTAMPING, SOFTWARE)?;
    let both = |fd: Fd| [SO_TIMESTAMPING, SO_TIMESTAMPING_NEW].map(|k| option(fd, SOL_SOCKET, k));
    same!(both(fd), [16, 0].map(Ok), "the new one tells only what was set by it");
    set_option(fd, SOL_SOCKET, SO_TIMESTAMPING_NEW, TX_SOFTWARE)?;
    same!(both(fd), [2, 2].map(Ok), "the old one tells both");
    Ok(())
}
