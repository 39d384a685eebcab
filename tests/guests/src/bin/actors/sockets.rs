//! Calls on unix sockets: pairs, listeners, data and descriptors in messages.
//! Neighbours: `io` (read and write them too), `files` (their names).

use super::actor::{Actor, Call, address, sys};
use super::files::path;

const AF_UNIX: i64 = libc::AF_UNIX as i64;

pub const CALLS: &[(&str, Call)] = &[
    ("socketpair", socketpair),
    ("socket", |a, [kind, at, ..]| a.place(sys(libc::SYS_socket, &[AF_UNIX, kind, 0]), at)),
    ("bind", |_, [fd, number, ..]| with_name(libc::SYS_bind, fd, number)),
    ("connect", |_, [fd, number, ..]| with_name(libc::SYS_connect, fd, number)),
    ("listen", |_, [fd, backlog, ..]| sys(libc::SYS_listen, &[fd, backlog])),
    ("accept", |a, [fd, flags, at, ..]| a.place(sys(libc::SYS_accept4, &[fd, 0, 0, flags]), at)),
    ("shutdown", |_, [fd, how, ..]| sys(libc::SYS_shutdown, &[fd, how])),
    ("send", |a, [fd, count, flags, ..]| {
        let buffer = a.bytes(count);
        sys(libc::SYS_sendto, &[fd, buffer.as_ptr() as i64, buffer.len() as i64, flags, 0, 0])
    }),
    ("recv", |a, [fd, count, flags, ..]| {
        let mut buffer = vec![0_u8; count.clamp(0, 1 << 18) as usize];
        let (to, size) = (buffer.as_mut_ptr() as i64, buffer.len() as i64);
        let got = sys(libc::SYS_recvfrom, &[fd, to, size, flags, 0, 0]);
        super::io::bytes_told(a, &buffer[..got.clamp(0, size) as usize]);
        got
    }),
    ("sendfd", |a, [fd, what, count, flags, ..]| message(a, fd, Some(what), count, flags)),
    ("recvfd", recvfd),
    ("so_error", |a, [fd, ..]| option(a, fd, libc::SO_ERROR.into())),
    ("so_acceptconn", |a, [fd, ..]| option(a, fd, libc::SO_ACCEPTCONN.into())),
    ("peercred", peercred),
];

fn socketpair(actor: &mut Actor, [kind, one, two, ..]: [i64; 6]) -> i64 {
    let mut ends = [0_i32; 2];
    let result = sys(libc::SYS_socketpair, &[AF_UNIX, kind, 0, address(&mut ends)]);
    if result == 0 {
        let [a, b] = ends.map(i64::from);
        actor.more.extend([a, b]);
        if b == one {
            actor.place(b, two);
            actor.place(a, one);
        } else {
            actor.place(a, one);
            actor.place(b, two);
        }
    }
    result
}

fn with_name(call: i64, fd: i64, number: i64) -> i64 {
    // SAFETY: all zero is an address.
    let mut name: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    name.sun_family = libc::AF_UNIX as u16;
    for (to, from) in name.sun_path.iter_mut().zip(path(2, number)) {
        *to = from as libc::c_char;
    }
    sys(call, &[fd, address(&mut name), size_of_val(&name) as i64])
}

/// A control message with one descriptor, aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Default)]
struct Rights {
    length: u64,
    level: i32,
    kind: i32,
    fds: [i32; 2],
}

fn message(actor: &mut Actor, fd: i64, what: Option<i64>, count: i64, flags: i64) -> i64 {
    let mut buffer = actor.bytes(count);
    let mut rights =
        Rights { length: 20, level: libc::SOL_SOCKET, kind: libc::SCM_RIGHTS, fds: [0; 2] };
    rights.fds[0] = what.unwrap_or(0) as i32;
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zero is a message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = std::ptr::from_mut(&mut rights).cast();
    message.msg_controllen = 24;
    sys(libc::SYS_sendmsg, &[fd, address(&mut message), flags])
}

/// recvmsg(2) with room for one descriptor, which goes to the number `at`.
fn recvfd(actor: &mut Actor, [fd, count, flags, at, ..]: [i64; 6]) -> i64 {
    let mut buffer = vec![0_u8; count.clamp(0, 1 << 16) as usize];
    let mut rights = Rights::default();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zero is a message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = std::ptr::from_mut(&mut rights).cast();
    message.msg_controllen = 24;
    let got = sys(libc::SYS_recvmsg, &[fd, address(&mut message), flags]);
    if got >= 0 {
        let controls = message.msg_controllen as i64;
        let new = if controls > 0 { i64::from(rights.fds[0]) } else { -1 };
        actor.more.extend([message.msg_flags.into(), controls, new]);
        super::io::bytes_told(actor, &buffer[..got.clamp(0, count) as usize]);
        actor.place(new, at);
    }
    got
}

fn option(actor: &mut Actor, fd: i64, name: i64) -> i64 {
    let (mut value, mut size) = (0_i32, 4_u32);
    let (out, length) = (address(&mut value), address(&mut size));
    let result = sys(libc::SYS_getsockopt, &[fd, libc::SOL_SOCKET.into(), name, out, length]);
    actor.more.push(value.into());
    result
}

fn peercred(actor: &mut Actor, [fd, ..]: [i64; 6]) -> i64 {
    let (mut cred, mut size) = ([0_i32; 3], 12_u32);
    let (out, length) = (address(&mut cred), address(&mut size));
    let name = libc::SO_PEERCRED.into();
    let result = sys(libc::SYS_getsockopt, &[fd, libc::SOL_SOCKET.into(), name, out, length]);
    if result == 0 {
        actor.more.push(actor.who(cred[0].into()));
    }
    result
}
