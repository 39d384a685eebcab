//! splice, vmsplice and sendfile where they stop, refuse, and where they take bytes from. See
//! splice(2), vmsplice(2), sendfile(2).

use guests::net::{connection, recv, send, set_option};
use guests::sys::{Fd, Sys, open, pipe, raw, read, scratch, write};
use guests::{Check, fails, same};
use libc::{EBADF, EFAULT, EINVAL, ESPIPE, O_APPEND, O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR};
use std::path::Path;

guests::cases! {
    splice_takes_bytes_out_of_a_socket,
    splice_stops_at_the_urgent_byte,
    splice_writes_at_the_offset_that_is_given,
    splice_refuses_what_cannot_be_spliced,
    vmsplice_stops_when_the_pipe_is_full,
    sendfile_tells_the_offset_even_at_the_end,
}

fn splice(from: Fd, in_at: *mut i64, to: Fd, out_at: *mut i64, len: i64) -> Sys<i64> {
    let args = [from.into(), in_at as i64, to.into(), out_at as i64, len, 0];
    raw("splice", libc::SYS_splice, args)
}

const HERE: *mut i64 = std::ptr::null_mut();

fn socketpair(kind: i32) -> Sys<(Fd, Fd)> {
    let mut pair = [0; 2];
    // SAFETY: room for two descriptors.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
    guests::sys::check("socketpair", result)?;
    Ok((pair[0], pair[1]))
}

/// splice(2).
fn splice_takes_bytes_out_of_a_socket() -> Check {
    let (reader, writer) = pipe()?;
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
        let (a, b) = socketpair(kind)?;
        write(a, b"through")?;
        same!(splice(b, HERE, writer, HERE, 100)?, 7, "bytes of a socket of kind {kind}");
        same!(read(reader, 100)?, b"through", "what went through");
    }
    let (a, b) = socketpair(libc::SOCK_STREAM)?;
    write(a, b"in parts")?;
    same!(splice(b, HERE, writer, HERE, 3)?, 3, "the first part");
    same!(read(b, 100)?, b"parts", "what stayed in the socket");
    guests::sys::close(a)?;
    same!(splice(b, HERE, writer, HERE, 3)?, 0, "at the end");
    let mut offset = 0;
    fails!(splice(b, &mut offset, writer, HERE, 3), EINVAL);
    fails!(splice(b, HERE, writer, &mut offset, 3), ESPIPE);
    Ok(())
}

/// splice(2), tcp(7): only a read passes the mark.
fn splice_stops_at_the_urgent_byte() -> Check {
    let (reader, writer) = pipe()?;
    for inline in [0, 1] {
        let (client, server) = connection()?;
        set_option(server, libc::SOL_SOCKET, libc::SO_OOBINLINE, inline)?;
        send(client, b"before", 0)?;
        send(client, b"!", libc::MSG_OOB)?;
        send(client, b"after", 0)?;
        same!(splice(server, HERE, writer, HERE, 100)?, 6, "bytes before the mark");
        same!(read(reader, 100)?, b"before", "what went through");
        same!(splice(server, HERE, writer, HERE, 100)?, 0, "at the mark, in line {inline}");
        same!(splice(server, HERE, writer, HERE, 100)?, 0, "and again");
        let next: &[u8] = if inline == 1 { b"!" } else { b"a" };
        same!(recv(server, 1, 0)?, next, "a read goes on");
    }
    Ok(())
}

/// splice(2).
fn splice_writes_at_the_offset_that_is_given() -> Check {
    let file = open(&scratch()?.join("file"), O_CREAT | O_RDWR, 0o600)?;
    let (reader, writer) = pipe()?;
    write(file, b"0123456789")?;
    write(writer, b"abc")?;
    let mut offset = 4;
    same!(splice(reader, HERE, file, &mut offset, 100)?, 3, "bytes");
    same!(offset, 7, "the offset behind them");
    same!(guests::sys::lseek(file, 0, libc::SEEK_CUR)?, 10, "the file's own position");
    guests::sys::lseek(file, 0, libc::SEEK_SET)?;
    same!(read(file, 100)?, b"0123abc789", "the file");
    Ok(())
}

/// splice(2), ERRORS.
fn splice_refuses_what_cannot_be_spliced() -> Check {
    let (reader, writer) = pipe()?;
    let place = scratch()?;
    let appends = open(&place.join("log"), O_CREAT | O_RDWR | O_APPEND, 0o600)?;
    let directory = open(&place, O_DIRECTORY | O_RDONLY, 0)?;
    let zero = open(Path::new("/dev/zero"), O_RDONLY, 0)?;
    let epoll = guests::sys::epoll()?;
    // An empty pipe: what can't be written is refused before anybody waits.
    fails!(splice(reader, HERE, appends, HERE, 1), EINVAL);
    fails!(splice(reader, HERE, epoll, HERE, 1), EINVAL);
    fails!(splice(reader, HERE, zero, HERE, 1), EBADF);
    fails!(splice(directory, HERE, writer, HERE, 1), EINVAL);
    fails!(splice(epoll, HERE, writer, HERE, 1), EINVAL);
    fails!(splice(writer, HERE, writer, HERE, 1), EBADF);
    Ok(())
}

/// vmsplice(2): it waits for room for the first byte only.
fn vmsplice_stops_when_the_pipe_is_full() -> Check {
    let (reader, writer) = pipe()?;
    let bytes = vec![7_u8; 1 << 17];
    let part = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
    let vmsplice = |fd: Fd| {
        raw("vmsplice", libc::SYS_vmsplice, [fd.into(), &raw const part as i64, 1, 0, 0, 0])
    };
    // A page more or less, where the memory does not begin on one.
    let room = vmsplice(writer)?;
    same!((15 * 4096..=16 * 4096).contains(&room), true, "{room} bytes fit");
    same!(read(reader, 1 << 17)?.len() as i64, room, "what is in the pipe");
    Ok(())
}

/// sendfile(2).
fn sendfile_tells_the_offset_even_at_the_end() -> Check {
    let place = scratch()?;
    let from = open(&place.join("from"), O_CREAT | O_RDWR, 0o600)?;
    let to = open(&place.join("to"), O_CREAT | O_RDWR, 0o600)?;
    write(from, b"0123456789")?;
    let page =
        guests::sys::map(4096, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)?;
    let sendfile = |offset: i64| {
        raw("sendfile", libc::SYS_sendfile, [to.into(), from.into(), offset, 10, 0, 0])
    };
    fails!(sendfile(page as i64), EFAULT);
    let mut offset = 10_i64;
    same!(sendfile(&raw mut offset as i64)?, 0, "bytes at the end");
    same!(offset, 10, "the offset");
    Ok(())
}
