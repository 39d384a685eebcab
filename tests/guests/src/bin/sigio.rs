//! O_ASYNC: files that send a signal when something can be done with them. Who gets it (F_SETOWN and
//! relatives), which signal with what in its siginfo (F_SETSIG), and what each kind of file tells:
//! pipes, AF_UNIX, TCP, UDP, terminals. fcntl(2) "Managing signals", sigaction(2); rules S-46 and F-22.

use guests::net::{accept, connection, dial, listener, pair, port, send, shutdown, until_state};
use guests::process::{Gate, fork_check, getpid, gettid, until_asleep, wait_ok};
use guests::signal::block;
use guests::sys::{
    Fd, Sys, close, dup, fcntl, open, pipe, poll_one, raw, read, set_limit, small, write,
};
use guests::{Check, ensure, fails, same};
use libc::{EINVAL, ENOTTY, ESRCH, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDBAND};
use libc::{F_GETFL, F_GETOWN, F_SETFL, F_SETOWN, O_ASYNC, O_NONBLOCK, O_RDWR};
use libc::{POLLRDNORM, POLLWRBAND, POLLWRNORM, SIGIO, SIGURG};

guests::cases! {
    a_pipe_tells_of_bytes_of_room_and_of_its_other_end,
    without_f_setsig_it_is_a_plain_sigio_from_the_kernel,
    a_full_queue_turns_the_signal_into_sigio,
    a_unix_stream_tells_of_bytes_and_of_the_end,
    room_is_told_to_who_found_none,
    a_listener_tells_of_connections,
    tcp_tells_of_bytes_of_the_end_and_of_errors,
    a_connect_that_succeeds_is_told,
    udp_tells_of_datagrams_and_of_errors,
    urgent_data_is_told_by_sigurg_to_the_owner,
    a_sleeping_reader_takes_the_bytes_and_no_signal_comes,
    the_owner_may_be_a_thread_a_process_or_a_group,
    another_users_process_gets_nothing,
    the_flag_is_the_descriptions_and_ends_with_it,
    files_that_cannot_tell_say_so,
    a_terminal_tells_of_lines_and_chooses_its_owner,
}

// asm-generic/fcntl.h
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;
const POLL_ERR: i32 = 4;
const POLL_PRI: i32 = 5;
const POLL_HUP: i32 = 6;
const SI_KERNEL: i32 = 0x80;

/// The first real-time signal that the C library leaves to programs.
fn rt() -> i32 {
    libc::SIGRTMIN()
}

/// What a signal says: number, si_code, si_fd, si_band.
type News = (i32, i32, Fd, i64);

/// The next one of these signals that is pending, if any.
fn next(signals: &[i32]) -> Option<News> {
    let set = guests::signal::set(signals);
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: zeroes are a siginfo.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: all three are ours.
    let signal = unsafe { libc::sigtimedwait(&set, &mut info, &now) };
    if signal < 0 {
        return None;
    }
    // SAFETY: si_band and si_fd are the first two words of _sigpoll (asm-generic/siginfo.h).
    let (band, fd) = unsafe {
        let fields = (&raw const info).cast::<u8>().add(16);
        (fields.cast::<i64>().read_unaligned(), fields.add(8).cast::<i32>().read_unaligned())
    };
    Some((signal, info.si_code, fd, band))
}

/// All that is pending of the real-time signal: si_code and band of each, all from this descriptor.
fn told(fd: Fd) -> Result<Vec<(i32, i64)>, String> {
    let mut all = Vec::new();
    while let Some((signal, code, from, band)) = next(&[rt(), SIGIO]) {
        same!((signal, from), (rt(), fd), "the signal and its descriptor");
        all.push((code, band));
    }
    Ok(all)
}

const IN: (i32, i64) = (POLL_IN, (POLLIN | POLLRDNORM) as i64);
const OUT: (i32, i64) = (POLL_OUT, (POLLOUT | POLLWRNORM | POLLWRBAND) as i64);
const ERR: (i32, i64) = (POLL_ERR, POLLERR as i64);
const HUP: (i32, i64) = (POLL_HUP, (POLLHUP | POLLERR) as i64);

/// Signals of this file come to us, as the real-time signal.
fn watch(fd: Fd) -> Check {
    block(&[rt(), SIGIO, SIGURG])?;
    fcntl(fd, F_SETOWN, getpid())?;
    fcntl(fd, F_SETSIG, rt())?;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0)? | O_ASYNC)?;
    Ok(())
}

fn a_pipe_tells_of_bytes_of_room_and_of_its_other_end() -> Check {
    let (r, w) = pipe()?;
    watch(r)?;
    watch(w)?;
    let both = |news: &mut Vec<(Fd, i32, i64)>| {
        while let Some((_, code, fd, band)) = next(&[rt()]) {
            news.push((fd, code, band));
        }
    };
    let mut news = Vec::new();
    write(w, b"one")?;
    both(&mut news);
    same!(news, [(r, IN.0, IN.1)], "after a write");
    write(w, b"two")?;
    news.clear();
    both(&mut news);
    same!(news, [(r, IN.0, IN.1)], "after another one");
    read(r, 1)?;
    news.clear();
    both(&mut news);
    same!(news, [(w, OUT.0, OUT.1)], "after a read");
    fcntl(r, F_SETFL, fcntl(r, F_GETFL, 0)? | O_NONBLOCK)?;
    read(r, 10)?;
    ensure!(read(r, 10).is_err(), "it is empty");
    news.clear();
    both(&mut news);
    let out = (w, OUT.0, OUT.1);
    same!(news, [out, out], "after a read, and after one that found nothing");
    // Who sleeps in a read tells of room when it wakes; who writes, of bytes before it sleeps too.
    fcntl(r, F_SETFL, O_ASYNC)?;
    let reader = fork_check(|| {
        read(r, 1)?;
        Ok(())
    })?;
    until_asleep(reader, reader)?;
    news.clear();
    both(&mut news);
    same!(news, [], "a reader sleeps");
    write(w, b"x")?;
    wait_ok(reader)?;
    let writer = fork_check(|| {
        write(w, &[b'y'; 70_000])?;
        Ok(())
    })?;
    until_asleep(writer, writer)?;
    // Who is woken may tell before who woke it: only what is told is compared from here on.
    let sorted = |news: &mut Vec<(Fd, i32, i64)>| {
        news.clear();
        both(news);
        news.sort_unstable();
    };
    sorted(&mut news);
    same!(news, [(r, IN.0, IN.1), (r, IN.0, IN.1), out], "it read; a writer sleeps");
    read(r, 66_000)?;
    wait_ok(writer)?;
    sorted(&mut news);
    same!(news, [(r, IN.0, IN.1), out], "the writer is done");
    read(r, 66_000)?;
    close(w)?;
    sorted(&mut news);
    same!(news, [(r, IN.0, IN.1), out], "after the last writer's close");
    Ok(())
}

fn without_f_setsig_it_is_a_plain_sigio_from_the_kernel() -> Check {
    let (r, w) = pipe()?;
    watch(r)?;
    fcntl(r, F_SETSIG, 0)?;
    write(w, b"one")?;
    write(w, b"two")?;
    same!(next(&[SIGIO, rt()]), Some((SIGIO, SI_KERNEL, 0, 0)), "the signal");
    same!(next(&[SIGIO, rt()]), None, "one for two writes: SIGIO does not queue");
    // Said explicitly, SIGIO has its story too.
    fcntl(r, F_SETSIG, SIGIO)?;
    write(w, b"three")?;
    same!(next(&[SIGIO]), Some((SIGIO, IN.0, r, IN.1)), "SIGIO by F_SETSIG");
    Ok(())
}

fn a_full_queue_turns_the_signal_into_sigio() -> Check {
    let (r, w) = pipe()?;
    watch(r)?;
    set_limit(libc::RLIMIT_SIGPENDING, 0)?;
    write(w, b"one")?;
    same!(next(&[rt()]), None, "the real-time signal");
    same!(next(&[SIGIO]).map(|it| (it.0, it.1)), Some((SIGIO, SI_KERNEL)), "instead of it");
    Ok(())
}

fn a_unix_stream_tells_of_bytes_and_of_the_end() -> Check {
    let (a, b) = pair(libc::SOCK_STREAM)?;
    watch(a)?;
    write(b, b"x")?;
    write(b, b"y")?;
    same!(told(a)?, [IN, IN], "two writes");
    write(a, b"z")?;
    read(b, 1)?;
    same!(told(a)?, [], "the peer read, and nobody had waited for room");
    shutdown(b, libc::SHUT_WR)?;
    same!(told(a)?, [IN], "the peer shut its direction");
    close(b)?;
    same!(told(a)?, [HUP], "the peer is gone");
    let (a, b) = pair(libc::SOCK_DGRAM)?;
    watch(a)?;
    send(b, b"packet", 0)?;
    same!(told(a)?, [IN], "a datagram");
    Ok(())
}

fn room_is_told_to_who_found_none() -> Check {
    for tcp in [false, true] {
        let (a, b) = if tcp { connection()? } else { pair(libc::SOCK_STREAM)? };
        watch(a)?;
        fcntl(a, F_SETFL, O_ASYNC | O_NONBLOCK)?;
        fcntl(b, F_SETFL, O_NONBLOCK)?;
        let drain = || while read(b, 1 << 20).is_ok_and(|got| !got.is_empty()) {};
        write(a, b"x")?;
        poll_one(b, POLLIN, -1)?;
        drain();
        same!(told(a)?, [], "there was room all the time");
        while send(a, &[b'x'; 65_536], 0).is_ok() {}
        while poll_one(a, POLLOUT, 0)? == 0 {
            drain();
        }
        same!(told(a)?, [OUT], "room for one who had been refused, tcp: {tcp}");
    }
    Ok(())
}

fn a_listener_tells_of_connections() -> Check {
    let (fd, number) = listener(5)?;
    watch(fd)?;
    let one = dial(number)?;
    same!(told(fd)?, [IN], "a connection");
    let server = accept(fd)?;
    same!(told(fd)?, [], "accept itself");
    // Linux: what is accepted does not inherit it.
    same!(fcntl(server, F_GETFL, 0)? & O_ASYNC, 0, "the flag of what was accepted");
    close(one)?;
    Ok(())
}

fn tcp_tells_of_bytes_of_the_end_and_of_errors() -> Check {
    let (a, b) = connection()?;
    watch(a)?;
    send(b, b"x", 0)?;
    poll_one(a, POLLIN, -1)?;
    same!(told(a)?, [IN], "bytes");
    shutdown(b, libc::SHUT_WR)?;
    until_state(a, 8)?;
    same!(told(a)?, [IN, IN], "the FIN: the state changed, and there is something to read");
    close(b)?;
    send(a, b"to nobody", 0)?;
    poll_one(a, POLLHUP, -1)?;
    same!(told(a)?, [ERR], "the RST");
    let (a, b) = connection()?;
    shutdown(a, libc::SHUT_WR)?;
    watch(a)?;
    close(b)?;
    poll_one(a, POLLHUP, -1)?;
    same!(told(a)?, [HUP, IN], "the FIN after our own");
    let nobody = guests::net::socket(libc::AF_INET, libc::SOCK_STREAM)?;
    let (fd, number) = listener(5)?;
    close(fd)?;
    watch(nobody)?;
    ensure!(guests::net::connect(nobody, &guests::net::loopback(number)).is_err(), "refused");
    same!(told(nobody)?, [ERR, ERR], "a refused connection, and its end");
    Ok(())
}

fn a_connect_that_succeeds_is_told() -> Check {
    let (fd, number) = listener(5)?;
    let client = guests::net::socket(libc::AF_INET, libc::SOCK_STREAM)?;
    watch(client)?;
    guests::net::connect(client, &guests::net::loopback(number))?;
    same!(told(client)?, [OUT], "established");
    close(fd)?;
    Ok(())
}

fn udp_tells_of_datagrams_and_of_errors() -> Check {
    let a = guests::net::socket(libc::AF_INET, libc::SOCK_DGRAM)?;
    let b = guests::net::socket(libc::AF_INET, libc::SOCK_DGRAM)?;
    guests::net::bind(a, &guests::net::loopback(0))?;
    guests::net::connect(b, &guests::net::loopback(port(a)?))?;
    watch(a)?;
    watch(b)?;
    send(b, b"x", 0)?;
    poll_one(a, POLLIN, -1)?;
    let mut news = Vec::new();
    while let Some((_, code, fd, _)) = next(&[rt()]) {
        news.push((fd, code));
    }
    same!(news, [(a, POLL_IN)], "a datagram");
    close(a)?;
    send(b, b"x", 0)?;
    poll_one(b, 0, -1)?;
    same!(told(b)?, [ERR], "nobody is there");
    Ok(())
}

fn urgent_data_is_told_by_sigurg_to_the_owner() -> Check {
    let (a, b) = connection()?;
    block(&[SIGURG, SIGIO, rt()])?;
    fcntl(a, F_SETOWN, getpid())?;
    send(b, b"!", libc::MSG_OOB)?;
    poll_one(a, POLLPRI, -1)?;
    same!(next(&[SIGURG]).map(|it| (it.0, it.1)), Some((SIGURG, SI_KERNEL)), "without O_ASYNC");
    same!(next(&[SIGIO, rt()]), None, "no SIGIO without O_ASYNC");
    watch(a)?;
    send(b, b"!", libc::MSG_OOB)?;
    while next(&[SIGURG]).is_none() {}
    let pri = (POLL_PRI, i64::from(POLLPRI | POLLRDBAND));
    same!(told(a)?, [pri, IN, IN], "with O_ASYNC: the pointer, the byte, the segment");
    Ok(())
}

fn a_sleeping_reader_takes_the_bytes_and_no_signal_comes() -> Check {
    let (a, b) = connection()?;
    watch(a)?;
    let reader = fork_check(|| {
        same!(read(a, 1)?, b"x", "what it reads");
        Ok(())
    })?;
    until_asleep(reader, reader)?;
    send(b, b"x", 0)?;
    wait_ok(reader)?;
    same!(told(a)?, [], "somebody waited for the bytes");
    Ok(())
}

/// struct f_owner_ex.
#[repr(C)]
struct Owner {
    kind: i32,
    pid: i32,
}
const F_SETOWN_EX: i64 = 15;
const F_GETOWN_EX: i64 = 16;

fn own(fd: Fd, command: i64, owner: &mut Owner) -> Sys<()> {
    let at = (owner as *mut Owner) as i64;
    raw("fcntl", libc::SYS_fcntl, [fd.into(), command, at, 0, 0, 0]).map(|_| ())
}

fn the_owner_may_be_a_thread_a_process_or_a_group() -> Check {
    let (r, w) = pipe()?;
    same!(fcntl(r, F_GETOWN, 0)?, 0, "nobody at first");
    same!(fcntl(r, F_GETSIG, 0)?, 0, "and no signal");
    watch(r)?;
    fails!(fcntl(r, F_SETOWN, 999_999), ESRCH);
    fails!(fcntl(r, F_SETSIG, 65), EINVAL);
    let mut owner = Owner { kind: 0, pid: gettid() };
    own(r, F_SETOWN_EX, &mut owner)?;
    same!(fcntl(r, F_GETOWN, 0)?, gettid(), "the thread");
    owner.kind = 7;
    own(r, F_GETOWN_EX, &mut owner)?;
    same!((owner.kind, owner.pid), (0, gettid()), "F_OWNER_TID");
    write(w, b"x")?;
    same!(told(r)?, [IN], "to the thread");
    fails!(own(r, F_SETOWN_EX, &mut Owner { kind: 3, pid: 1 }), EINVAL);
    fails!(own(r, F_SETOWN_EX, &mut Owner { kind: 1, pid: 999_999 }), ESRCH);
    // A group: each of its processes gets one.
    let child = Gate::new()?;
    let ready = Gate::new()?;
    let in_group = fork_check(|| {
        // SAFETY: plain.
        unsafe { libc::setpgid(0, 0) };
        block(&[rt()])?;
        ready.open()?;
        child.wait()?;
        same!(told(r)?, [IN], "the group's member");
        Ok(())
    })?;
    ready.wait()?;
    fcntl(r, F_SETOWN, -in_group)?;
    same!(fcntl(r, F_GETOWN, 0)?, -in_group, "the group");
    own(r, F_GETOWN_EX, &mut owner)?;
    same!((owner.kind, owner.pid), (2, in_group), "F_OWNER_PGRP");
    write(w, b"x")?;
    child.open()?;
    wait_ok(in_group)?;
    same!(told(r)?, [], "we are in another group");
    same!(fcntl(r, F_GETOWN, 0)?, 0, "an owner that is gone is nobody");
    // Nobody: no signal.
    fcntl(r, F_SETOWN, 0)?;
    write(w, b"x")?;
    same!(told(r)?, [], "without an owner");
    Ok(())
}

fn another_users_process_gets_nothing() -> Check {
    // SAFETY: plain.
    if unsafe { libc::getuid() } != 0 {
        return Ok(());
    }
    let (r, w) = pipe()?;
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let other = fork_check(|| {
        block(&[SIGIO])?;
        ready.open()?;
        go.wait()?;
        same!(next(&[SIGIO]).is_some(), false, "root's process is not a user's to signal");
        Ok(())
    })?;
    ready.wait()?;
    let user = fork_check(|| {
        // SAFETY: plain.
        same!(unsafe { libc::setresuid(65_534, 65_534, 65_534) }, 0, "setresuid");
        fcntl(r, F_SETOWN, other)?;
        fcntl(r, F_SETFL, O_ASYNC)?;
        write(w, b"x")?;
        Ok(())
    })?;
    wait_ok(user)?;
    go.open()?;
    wait_ok(other)?;
    Ok(())
}

fn the_flag_is_the_descriptions_and_ends_with_it() -> Check {
    let (r, w) = pipe()?;
    let copy = dup(r)?;
    watch(copy)?;
    ensure!(fcntl(r, F_GETFL, 0)? & O_ASYNC != 0, "a duplicate has the flag");
    write(w, b"x")?;
    same!(told(copy)?, [IN], "one signal, with the descriptor that set it");
    close(copy)?;
    write(w, b"x")?;
    same!(told(copy)?, [IN], "even after that one is closed");
    fcntl(r, F_SETFL, 0)?;
    write(w, b"x")?;
    same!(told(copy)?, [], "switched off");
    let mut on: i32 = 1;
    // SAFETY: one int.
    small("ioctl", unsafe { libc::ioctl(r, libc::FIOASYNC, &mut on) })?;
    write(w, b"x")?;
    same!(told(r)?, [IN], "switched on by FIOASYNC");
    close(r)?;
    Ok(())
}

fn files_that_cannot_tell_say_so() -> Check {
    let null = open("/dev/null".as_ref(), O_RDWR, 0)?;
    let mut on: i32 = 1;
    // SAFETY: one int.
    fails!(small("ioctl", unsafe { libc::ioctl(null, libc::FIOASYNC, &mut on) }), ENOTTY);
    fcntl(null, F_SETFL, O_ASYNC)?;
    same!(fcntl(null, F_GETFL, 0)? & O_ASYNC, 0, "F_SETFL ignores it");
    Ok(())
}

fn a_terminal_tells_of_lines_and_chooses_its_owner() -> Check {
    let master = open("/dev/ptmx".as_ref(), O_RDWR | libc::O_NOCTTY, 0)?;
    let (mut number, mut lock): (i32, i32) = (0, 0);
    // SAFETY: one int each.
    unsafe {
        small("ioctl", libc::ioctl(master, libc::TIOCGPTN, &mut number))?;
        small("ioctl", libc::ioctl(master, libc::TIOCSPTLCK, &mut lock))?;
    }
    let slave = format!("/dev/pts/{number}");
    let slave = open(slave.as_ref(), O_RDWR | libc::O_NOCTTY, 0)?;
    block(&[SIGIO, rt()])?;
    fcntl(slave, F_SETSIG, rt())?;
    fcntl(slave, F_SETFL, O_RDWR | O_ASYNC)?;
    same!(fcntl(slave, F_GETOWN, 0)?, getpid(), "whoever switches it on owns it");
    write(master, b"ab")?;
    poll_one(master, POLLIN, -1)?;
    same!(told(slave)?, [], "half a line");
    write(master, b"c\n")?;
    poll_one(slave, POLLIN, -1)?;
    same!(told(slave)?, [IN], "a line");
    Ok(())
}
