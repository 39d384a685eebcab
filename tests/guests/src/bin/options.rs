//! What options do that change when TCP acknowledges, what urgent data does to its reader, and how
//! socket options keep times. tcp(7), socket(7). Over loopback, both ends in one process.

use guests::net::{
    accept, bind, connect, connection, dial, listener, option, recv, send, set_option, socket,
    until_readable,
};
use guests::sys::{Fd, Sys, close, fcntl, poll_bits, small, write};
use guests::{Check, cases, ensure, fails, same};
use libc::{AF_INET, EAGAIN, EINVAL, ENOTCONN, IPPROTO_TCP, MSG_DONTWAIT, MSG_OOB, MSG_PEEK};
use libc::{POLLIN, POLLPRI, SO_OOBINLINE, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_STREAM, SOL_SOCKET};
use libc::{TCP_DEFER_ACCEPT, TCP_QUICKACK};

cases! {
    without_quickack_the_handshakes_ack_comes_with_data,
    who_has_to_be_spoken_to_first_saves_that_ack_too,
    quickack_is_kept_and_inherited,
    a_second_urgent_byte_takes_the_first_ones_place,
    urgent_bytes_where_there_can_be_none,
    urgent_bytes_in_line,
    timeouts_are_kept_in_ticks,
}

/// tcpi_segs_in.
fn segments_in(fd: Fd) -> Result<u32, String> {
    let (mut info, mut length) = ([0_u8; 144], 144_u32);
    let to = info.as_mut_ptr().cast();
    // SAFETY: that many bytes of room.
    let got = unsafe { libc::getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, to, &mut length) };
    small("getsockopt", got)?;
    Ok(u32::from_ne_bytes(info[140..144].try_into().map_err(|_| "four bytes")?))
}

/// How many segments a server has got when it has the first byte of a client that was prepared so.
fn segments_until_data(prepare: impl Fn(Fd) -> Sys<()>) -> Result<u32, String> {
    let (fd, number) = listener(1)?;
    let client = socket(AF_INET, SOCK_STREAM)?;
    prepare(client)?;
    connect(client, &guests::net::loopback(number))?;
    write(client, b"x")?;
    let served = accept(fd)?;
    until_readable(served)?;
    let count = segments_in(served)?;
    for fd in [fd, client, served] {
        close(fd)?;
    }
    Ok(count)
}

/// The ACK waits for 200 ms at most; a machine that takes longer from connect(2) to write(2) gets other
/// chances.
fn saved_by(prepare: impl Fn(Fd) -> Sys<()>) -> Check {
    let plain = segments_until_data(|_| Ok(()))?;
    for _ in 0..20 {
        if segments_until_data(&prepare)? == plain - 1 {
            return Ok(());
        }
    }
    Err("the handshake's ACK comes by itself".to_owned())
}

fn without_quickack_the_handshakes_ack_comes_with_data() -> Check {
    saved_by(|fd| set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 0))
}

fn who_has_to_be_spoken_to_first_saves_that_ack_too() -> Check {
    saved_by(|fd| set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1))
}

fn quickack_is_kept_and_inherited() -> Check {
    let quickack = |fd| option(fd, IPPROTO_TCP, TCP_QUICKACK);
    let (fd, number) = listener(1)?;
    same!(quickack(fd)?, 1, "of a fresh one");
    set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 0)?;
    same!(quickack(fd)?, 0, "of the listener");
    let client = dial(number)?;
    same!(quickack(accept(fd)?)?, 0, "of the accepted one");
    same!(quickack(client)?, 1, "of the client");
    Ok(())
}

/// Waits for POLLPRI and the byte behind it.
fn until_urgent(fd: Fd, byte: u8) -> Check {
    guests::sys::poll_one(fd, POLLPRI, -1)?;
    loop {
        match recv(fd, 1, MSG_OOB | MSG_PEEK) {
            Ok(got) if got == [byte] => return Ok(()),
            Ok(_) => std::thread::yield_now(),
            Err(why) if why.errno == EAGAIN => std::thread::yield_now(),
            Err(why) => return Err(why.into()),
        }
    }
}

/// Who stands on the first one when the second one comes does not get it as data, whether or not it
/// was read; who has not come so far does.
fn a_second_urgent_byte_takes_the_first_ones_place() -> Check {
    for read in [false, true] {
        let (near, far) = connection()?;
        send(near, b"1", MSG_OOB)?;
        until_urgent(far, b'1')?;
        if read {
            same!(recv(far, 1, MSG_OOB)?, b"1", "the first one");
        }
        send(near, b"2", MSG_OOB)?;
        until_urgent(far, b'2')?;
        same!(recv(far, 9, MSG_OOB)?, b"2", "the second one");
        fails!(recv(far, 9, MSG_DONTWAIT), EAGAIN);
    }
    let (near, far) = connection()?;
    send(near, b"a", 0)?;
    send(near, b"1", MSG_OOB)?;
    until_urgent(far, b'1')?;
    send(near, b"2", MSG_OOB)?;
    until_urgent(far, b'2')?;
    same!(recv(far, 9, 0)?, b"a1", "data, of which the first one is part now");
    same!(recv(far, 9, MSG_OOB)?, b"2", "the second one");
    Ok(())
}

fn urgent_bytes_where_there_can_be_none() -> Check {
    let fresh = socket(AF_INET, SOCK_STREAM)?;
    fails!(recv(fresh, 1, MSG_OOB), EINVAL);
    fails!(recv(fresh, 1, 0), ENOTCONN);
    bind(fresh, &guests::net::loopback(0))?;
    guests::net::listen(fresh, 1)?;
    fails!(recv(fresh, 1, MSG_OOB), ENOTCONN);
    let (near, far) = connection()?;
    fails!(recv(far, 1, MSG_OOB), EINVAL);
    send(near, b"x", MSG_OOB)?;
    until_urgent(far, b'x')?;
    same!(recv(far, 9, MSG_OOB)?, b"x", "the byte");
    fails!(recv(far, 1, MSG_OOB), EINVAL);
    same!(poll_bits(far)? & POLLPRI, 0, "POLLPRI after it");
    Ok(())
}

/// SO_OOBINLINE: the byte is data, the mark stays where it is.
fn urgent_bytes_in_line() -> Check {
    let (near, far) = connection()?;
    set_option(far, SOL_SOCKET, SO_OOBINLINE, 1)?;
    fcntl(far, libc::F_SETFL, libc::O_NONBLOCK)?;
    send(near, b"ab", 0)?;
    send(near, b"X", MSG_OOB)?;
    guests::sys::poll_one(far, POLLPRI, -1)?;
    fails!(recv(far, 1, MSG_OOB), EINVAL);
    same!(poll_bits(far)? & POLLIN, POLLIN, "POLLIN");
    same!(recv(far, 9, 0)?, b"ab", "up to the mark");
    guests::sys::poll_one(far, POLLIN, -1)?;
    same!(recv(far, 9, 0)?, b"X", "the byte itself");
    Ok(())
}

fn timeval(fd: Fd, name: i32, micros: i64) -> Result<i64, String> {
    let set = libc::timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 };
    set_option(fd, SOL_SOCKET, name, set)?;
    let mut got = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut length = size_of_val(&got) as u32;
    let to = (&raw mut got).cast();
    // SAFETY: room for a timeval.
    small("getsockopt", unsafe { libc::getsockopt(fd, SOL_SOCKET, name, to, &mut length) })?;
    Ok(got.tv_sec * 1_000_000 + got.tv_usec)
}

/// Rounded up to the period of the timer, which is 10 ms at most.
fn timeouts_are_kept_in_ticks() -> Check {
    let fd = socket(AF_INET, SOCK_STREAM)?;
    for name in [SO_RCVTIMEO, SO_SNDTIMEO] {
        let tick = timeval(fd, name, 1)?;
        ensure!([1000, 4000, 10_000].contains(&tick) || 1_000_000 % tick < 4000, "a tick {tick}");
        for micros in [0, 1, 49_999, 50_001, 999_999, 7_000_001] {
            let got = timeval(fd, name, micros)?;
            same!(got, (micros + tick - 1) / tick * tick, "{micros} µs in ticks of {tick}");
        }
    }
    Ok(())
}
