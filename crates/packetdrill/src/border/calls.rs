//! The functions of packetdrill's table, one a system call, and those for packets and time. Neighbour:
//! `mod` (the table, and how pointers become slices).

use super::{Any, Bytes, DRILL, given, inout, pieces, plain, result, turn, wanted, word};
use crate::turn::Turn;
use core::ffi::{c_int, c_long, c_longlong, c_uint, c_ulong};
use core::ptr::null_mut;
use kernel::time::Duration;
use libc::{epoll_event, iovec, msghdr, off_t, pollfd, socklen_t, timeval};
use std::sync::PoisonError;

pub(super) extern "C" fn free(_: Any) {
    *DRILL.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

pub(super) extern "C" fn socket(_: Any, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    plain(libc::SYS_socket, [word(domain), word(kind), word(protocol), 0, 0, 0])
}

pub(super) extern "C" fn listen(_: Any, fd: c_int, backlog: c_int) -> c_int {
    plain(libc::SYS_listen, [word(fd), word(backlog), 0, 0, 0, 0])
}

pub(super) extern "C" fn fcntl(_: Any, fd: c_int, command: c_int, argument: c_long) -> c_int {
    plain(libc::SYS_fcntl, [word(fd), word(command), argument as u64, 0, 0, 0])
}

pub(super) extern "C" fn close(_: Any, fd: c_int) -> c_int {
    plain(libc::SYS_close, [word(fd), 0, 0, 0, 0, 0])
}

pub(super) extern "C" fn shutdown(_: Any, fd: c_int, how: c_int) -> c_int {
    plain(libc::SYS_shutdown, [word(fd), word(how), 0, 0, 0, 0])
}

pub(super) extern "C" fn epoll_create(_: Any, size: c_int) -> c_int {
    plain(libc::SYS_epoll_create, [word(size), 0, 0, 0, 0, 0])
}

/// fd, bytes in, length.
unsafe fn named(nr: c_long, fd: c_int, name: Bytes, len: socklen_t) -> c_int {
    let name = unsafe { given(name, len as usize) };
    let value = turn(|mut turn| {
        let at = turn.put(name);
        turn.call(nr as u64, [word(fd), at, len.into(), 0, 0, 0]).1
    });
    result(value) as c_int
}

pub(super) unsafe extern "C" fn bind(_: Any, fd: c_int, name: Bytes, len: socklen_t) -> c_int {
    unsafe { named(libc::SYS_bind, fd, name, len) }
}

pub(super) unsafe extern "C" fn connect(_: Any, fd: c_int, name: Bytes, len: socklen_t) -> c_int {
    unsafe { named(libc::SYS_connect, fd, name, len) }
}

pub(super) unsafe extern "C" fn accept(_: Any, fd: c_int, name: Any, len: *mut socklen_t) -> c_int {
    let (name, len) = unsafe { with_len(name, len) };
    let value = turn(|mut turn| {
        let (at, len_at) = (turn.put(name.as_deref()), turn.put(len.as_deref()));
        let (mut turn, value) = turn.call(libc::SYS_accept as u64, [word(fd), at, len_at, 0, 0, 0]);
        turn.get(at, name);
        turn.get(len_at, len);
        value
    });
    result(value) as c_int
}

/// A buffer whose length stands at `len`, and that length.
unsafe fn with_len<'a>(
    at: Any,
    len: *mut socklen_t,
) -> (Option<&'a mut [u8]>, Option<&'a mut [u8]>) {
    // SAFETY: the length is there or NULL, and says how much is at `at`.
    let room = if len.is_null() { 0 } else { unsafe { *len as usize } };
    unsafe { (wanted(at, room), inout(len, 1)) }
}

pub(super) unsafe extern "C" fn read(_: Any, fd: c_int, into: Any, len: usize) -> isize {
    let into = unsafe { wanted(into, len) };
    result(turn(|mut turn| {
        let at = turn.put(into.as_deref());
        let (mut turn, value) =
            turn.call(libc::SYS_read as u64, [word(fd), at, len as u64, 0, 0, 0]);
        turn.get(at, into);
        value
    })) as isize
}

pub(super) unsafe extern "C" fn recv(
    _: Any,
    fd: c_int,
    into: Any,
    len: usize,
    flags: c_int,
) -> isize {
    let none = core::ptr::null_mut();
    unsafe { recvfrom(none, fd, into, len, flags, none, core::ptr::null_mut()) }
}

pub(super) unsafe extern "C" fn recvfrom(
    _: Any,
    fd: c_int,
    into: Any,
    len: usize,
    flags: c_int,
    name: Any,
    name_len: *mut socklen_t,
) -> isize {
    let into = unsafe { wanted(into, len) };
    let (name, name_len) = unsafe { with_len(name, name_len) };
    result(turn(|mut turn| {
        let at = turn.put(into.as_deref());
        let (name_at, len_at) = (turn.put(name.as_deref()), turn.put(name_len.as_deref()));
        let args = [word(fd), at, len as u64, word(flags), name_at, len_at];
        let (mut turn, value) = turn.call(libc::SYS_recvfrom as u64, args);
        turn.get(at, into);
        turn.get(name_at, name);
        turn.get(len_at, name_len);
        value
    })) as isize
}

pub(super) unsafe extern "C" fn write(_: Any, fd: c_int, from: Bytes, len: usize) -> isize {
    let from = unsafe { given(from, len) };
    result(turn(|mut turn| {
        let at = turn.put(from);
        turn.call(libc::SYS_write as u64, [word(fd), at, len as u64, 0, 0, 0]).1
    })) as isize
}

pub(super) unsafe extern "C" fn send(
    _: Any,
    fd: c_int,
    from: Bytes,
    len: usize,
    flags: c_int,
) -> isize {
    unsafe { sendto(core::ptr::null_mut(), fd, from, len, flags, core::ptr::null(), 0) }
}

pub(super) unsafe extern "C" fn sendto(
    _: Any,
    fd: c_int,
    from: Bytes,
    len: usize,
    flags: c_int,
    name: Bytes,
    name_len: socklen_t,
) -> isize {
    let (from, name) = unsafe { (given(from, len), given(name, name_len as usize)) };
    result(turn(|mut turn| {
        let (at, name_at) = (turn.put(from), turn.put(name));
        let args = [word(fd), at, len as u64, word(flags), name_at, name_len.into()];
        turn.call(libc::SYS_sendto as u64, args).1
    })) as isize
}

/// A vector in memory, with all that it names: where it is, and where each piece is.
fn put_vector(turn: &mut Turn<'_>, pieces: &[Option<&mut [u8]>]) -> (u64, Vec<u64>) {
    let places: Vec<u64> = pieces.iter().map(|piece| turn.put(piece.as_deref())).collect();
    let lens = pieces.iter().map(|piece| piece.as_ref().map_or(0, |piece| piece.len() as u64));
    let words = places.iter().copied().zip(lens).flat_map(|(at, len)| [at, len]);
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    (turn.put(Some(&bytes)), places)
}

/// readv or writev.
unsafe fn vectored(nr: c_long, fd: c_int, vector: *const iovec, count: c_int) -> isize {
    let pieces = unsafe { pieces(vector, usize::try_from(count).unwrap_or(0)) };
    result(turn(|mut turn| {
        let (mut at, places) = put_vector(&mut turn, &pieces);
        if vector.is_null() {
            at = 0;
        }
        let (mut turn, value) = turn.call(nr as u64, [word(fd), at, word(count), 0, 0, 0]);
        if nr == libc::SYS_readv {
            places.into_iter().zip(pieces).for_each(|(at, piece)| turn.get(at, piece));
        }
        value
    })) as isize
}

pub(super) unsafe extern "C" fn readv(
    _: Any,
    fd: c_int,
    vector: *const iovec,
    count: c_int,
) -> isize {
    unsafe { vectored(libc::SYS_readv, fd, vector, count) }
}

pub(super) unsafe extern "C" fn writev(
    _: Any,
    fd: c_int,
    vector: *const iovec,
    count: c_int,
) -> isize {
    unsafe { vectored(libc::SYS_writev, fd, vector, count) }
}

/// A message header in memory, with all that it names: where it is, and what is where.
struct Message<'a> {
    at: u64,
    places: Vec<(u64, Option<&'a mut [u8]>)>,
}

unsafe fn put_message<'a>(turn: &mut Turn<'_>, message: &msghdr) -> Message<'a> {
    // SAFETY: the header names what the caller has.
    let (name, control, pieces) = unsafe {
        let name = wanted(message.msg_name, message.msg_namelen as usize);
        let control = wanted(message.msg_control, message.msg_controllen);
        (name, control, pieces(message.msg_iov, message.msg_iovlen))
    };
    let (vector, places) = put_vector(turn, &pieces);
    let (name_at, control_at) = (turn.put(name.as_deref()), turn.put(control.as_deref()));
    let words = [
        name_at,
        message.msg_namelen.into(),
        vector,
        message.msg_iovlen as u64,
        control_at,
        message.msg_controllen as u64,
        message.msg_flags as u64,
    ];
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    let at = turn.put(Some(&bytes));
    let mut places: Vec<_> = places.into_iter().zip(pieces).collect();
    places.push((name_at, name));
    places.push((control_at, control));
    Message { at, places }
}

pub(super) unsafe extern "C" fn recvmsg(
    _: Any,
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: it is there, or NULL.
    let Some(header) = (unsafe { message.as_mut() }) else {
        return plain(libc::SYS_recvmsg, [word(fd), 0, word(flags), 0, 0, 0]) as isize;
    };
    result(turn(|mut turn| {
        let Message { at, places } = unsafe { put_message(&mut turn, header) };
        let args = [word(fd), at, word(flags), 0, 0, 0];
        let (mut turn, value) = turn.call(libc::SYS_recvmsg as u64, args);
        let mut words = [0; 56];
        turn.get(at, Some(&mut words));
        places.into_iter().for_each(|(at, piece)| turn.get(at, piece));
        let int = |at| i32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
        header.msg_namelen = int(8) as socklen_t;
        header.msg_controllen = int(40) as usize;
        header.msg_flags = int(48);
        value
    })) as isize
}

pub(super) unsafe extern "C" fn sendmsg(
    _: Any,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: it is there, or NULL.
    let Some(header) = (unsafe { message.as_ref() }) else {
        return plain(libc::SYS_sendmsg, [word(fd), 0, word(flags), 0, 0, 0]) as isize;
    };
    result(turn(|mut turn| {
        let Message { at, .. } = unsafe { put_message(&mut turn, header) };
        turn.call(libc::SYS_sendmsg as u64, [word(fd), at, word(flags), 0, 0, 0]).1
    })) as isize
}

pub(super) unsafe extern "C" fn ioctl(
    _: Any,
    fd: c_int,
    request: c_ulong,
    value: *mut c_int,
) -> c_int {
    // packetdrill asks only for numbers (SIOCINQ and its like).
    let number = unsafe { inout(value, 1) };
    let done = turn(|mut turn| {
        let at = turn.put(number.as_deref());
        let (mut turn, done) = turn.call(libc::SYS_ioctl as u64, [word(fd), request, at, 0, 0, 0]);
        turn.get(at, number);
        done
    });
    result(done) as c_int
}

pub(super) unsafe extern "C" fn getsockopt_of_host(
    _: Any,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: Any,
    len: *mut socklen_t,
) -> c_int {
    let (value, len) = unsafe { with_len(value, len) };
    let done = turn(|mut turn| {
        let (at, len_at) = (turn.put(value.as_deref()), turn.put(len.as_deref()));
        let args = [word(fd), word(level), word(name), at, len_at, 0];
        let (mut turn, done) = turn.call(libc::SYS_getsockopt as u64, args);
        turn.get(at, value);
        turn.get(len_at, len);
        done
    });
    result(done) as c_int
}

pub(super) unsafe extern "C" fn setsockopt(
    _: Any,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: Bytes,
    len: socklen_t,
) -> c_int {
    let value = unsafe { given(value, len as usize) };
    let done = turn(|mut turn| {
        let at = turn.put(value);
        let args = [word(fd), word(level), word(name), at, len.into(), 0];
        turn.call(libc::SYS_setsockopt as u64, args).1
    });
    result(done) as c_int
}

pub(super) unsafe extern "C" fn poll(
    _: Any,
    fds: *mut pollfd,
    count: c_ulong,
    timeout: c_int,
) -> c_int {
    let fds = unsafe { inout(fds, count as usize) };
    let value = turn(|mut turn| {
        let at = turn.put(fds.as_deref());
        let args = [at, count, word(timeout), 0, 0, 0];
        let (mut turn, value) = turn.call(libc::SYS_poll as u64, args);
        turn.get(at, fds);
        value
    });
    result(value) as c_int
}

pub(super) unsafe extern "C" fn epoll_ctl(
    _: Any,
    epoll: c_int,
    op: c_int,
    fd: c_int,
    event: *const epoll_event,
) -> c_int {
    let event = unsafe { given(event.cast(), size_of::<epoll_event>()) };
    let value = turn(|mut turn| {
        let at = turn.put(event);
        turn.call(libc::SYS_epoll_ctl as u64, [word(epoll), word(op), word(fd), at, 0, 0]).1
    });
    result(value) as c_int
}

pub(super) unsafe extern "C" fn epoll_wait(
    _: Any,
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    let events = unsafe { inout(events, usize::try_from(most).unwrap_or(0)) };
    let value = turn(|mut turn| {
        let at = turn.put(events.as_deref());
        let args = [word(epoll), at, word(most), word(timeout), 0, 0];
        let (mut turn, value) = turn.call(libc::SYS_epoll_wait as u64, args);
        turn.get(at, events);
        value
    });
    result(value) as c_int
}

pub(super) unsafe extern "C" fn pipe(_: Any, ends: *mut c_int) -> c_int {
    let ends = unsafe { inout(ends, 2) };
    let value = turn(|mut turn| {
        let at = turn.put(ends.as_deref());
        let (mut turn, value) = turn.call(libc::SYS_pipe as u64, [at, 0, 0, 0, 0, 0]);
        turn.get(at, ends);
        value
    });
    result(value) as c_int
}

pub(super) unsafe extern "C" fn splice(
    _: Any,
    from: c_int,
    from_at: *mut off_t,
    to: c_int,
    to_at: *mut off_t,
    len: usize,
    flags: c_uint,
) -> isize {
    // packetdrill gives the address of what stands in the script: a NULL there is a 0 here.
    let meant = |at: *mut off_t| if unsafe { at.as_ref() } == Some(&0) { null_mut() } else { at };
    let (from_at, to_at) = unsafe { (inout(meant(from_at), 1), inout(meant(to_at), 1)) };
    result(turn(|mut turn| {
        let (a, b) = (turn.put(from_at.as_deref()), turn.put(to_at.as_deref()));
        let args = [word(from), a, word(to), b, len as u64, flags.into()];
        let (mut turn, value) = turn.call(libc::SYS_splice as u64, args);
        turn.get(a, from_at);
        turn.get(b, to_at);
        value
    })) as isize
}

pub(super) unsafe extern "C" fn netdev_send(_: Any, packet: Bytes, len: usize) -> c_int {
    let packet = unsafe { given(packet, len) };
    turn(|turn| turn.deliver(packet.unwrap_or_default()));
    0
}

/// Success without a byte stands for "nothing will ever come": after a failure packetdrill would
/// ask again for ever.
pub(super) unsafe extern "C" fn netdev_receive(
    _: Any,
    into: Any,
    len: *mut usize,
    at: *mut c_longlong,
) -> c_int {
    let received = turn(|turn| turn.receive());
    // SAFETY: packetdrill gives all three.
    unsafe {
        let (time, bytes) = received.unwrap_or_default();
        let room = wanted(into, *len).unwrap_or_default();
        room[..bytes.len()].copy_from_slice(&bytes);
        *len = bytes.len();
        *at = time as c_longlong;
    }
    0
}

pub(super) extern "C" fn usleep(_: Any, micros: c_uint) -> c_int {
    turn(|turn| turn.sleep(Duration::from_micros(micros.into())));
    0
}

pub(super) unsafe extern "C" fn gettimeofday(_: Any, into: *mut timeval, _: Any) -> c_int {
    let micros = turn(|turn| turn.time()) as i64;
    let time = timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 };
    // SAFETY: packetdrill gives it.
    unsafe { into.write(time) };
    0
}
