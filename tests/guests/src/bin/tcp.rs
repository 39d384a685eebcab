//! TCP between the living, over loopback: connecting, names, half-close, options, full buffers.
//! Rules T-36 … T-47 of docs/linux-semantics.md, tcp(7), socket(7).

use guests::net::{
    accept, bind, connect, connection, dial, linger, listen, listener, loopback, name, option,
    port, recv, send, set_option, shutdown, so_error, socket, tcp_state, until_acknowledged,
    until_hung_up, until_readable,
};
use guests::process::{fork_check, wait_ok};
use guests::signal;
use guests::sys::{Fd, close, count, drain, dup, fcntl, poll_bits, poll_one, read, small, write};
use guests::{Check, ensure, fails, same};
use libc::{AF_INET, EADDRINUSE, EAGAIN, ECONNREFUSED, ECONNRESET, EINPROGRESS, EINVAL, EISCONN};
use libc::{ENOTCONN, EPIPE, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, O_NONBLOCK, SO_REUSEADDR};
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, SHUT_RD, SHUT_RDWR, SHUT_WR};
use libc::{SO_KEEPALIVE, SO_TYPE, SOCK_STREAM, SOL_SOCKET};

guests::cases! {
    connect_to_nobody_is_refused,
    nonblocking_connect_is_in_progress_then_done,
    nonblocking_connect_to_nobody_tells_by_so_error,
    accept_without_a_client_would_block,
    clients_are_accepted_in_order,
    names_of_both_ends_agree,
    flags_are_not_inherited_by_accept,
    options_are_inherited_by_accept,
    options_read_back_what_was_set,
    a_segment_is_at_most_half_of_the_greatest_window,
    port_can_be_bound_once,
    bytes_arrive_in_order_and_whole,
    full_buffers_would_block_and_poll_says_so,
    peek_leaves_the_bytes,
    waitall_waits_for_all,
    receive_timeout_would_block,
    fionread_counts_unread_bytes,
    fionread_stops_before_the_urgent_byte,
    siocoutq_counts_what_is_not_acknowledged,
    reset_client_in_the_queue_still_has_its_address,
    vectors_scatter_and_gather,
    pipes_and_sockets_cannot_seek,
    sendfile_feeds_a_socket,
    shut_wr_half_closes,
    shut_rd_is_local_and_data_still_comes,
    shutdown_acts_for_every_sharer,
    shutdown_needs_a_connection,
    shutdown_of_a_listener_resets_its_clients,
    both_fins_leave_a_closed_socket,
    sock_close_is_the_last_reference,
    unconnected_sockets_cannot_talk,
    client_that_resets_before_accept_is_still_accepted,
    connected_socket_cannot_connect_again,
}

/// tcp(7).
fn connect_to_nobody_is_refused() -> Check {
    let (listener, at) = listener(1)?;
    close(listener)?;
    let fd = socket(AF_INET, SOCK_STREAM)?;
    fails!(connect(fd, &loopback(at)), ECONNREFUSED);
    same!(so_error(fd)?, 0, "SO_ERROR after it was told");
    Ok(())
}

fn nonblocking() -> guests::sys::Sys<Fd> {
    socket(AF_INET, SOCK_STREAM | libc::SOCK_NONBLOCK)
}

/// connect(2).
fn nonblocking_connect_is_in_progress_then_done() -> Check {
    let (_listener, at) = listener(1)?;
    let fd = nonblocking()?;
    same!(poll_bits(fd)?, POLLOUT | POLLHUP, "poll bits of a fresh socket");
    fails!(connect(fd, &loopback(at)), EINPROGRESS);
    same!(poll_one(fd, POLLOUT, -1)?, POLLOUT, "poll bits");
    same!(so_error(fd)?, 0, "SO_ERROR");
    same!(tcp_state(fd)?, 1, "the state");
    Ok(())
}

/// connect(2).
fn nonblocking_connect_to_nobody_tells_by_so_error() -> Check {
    let (listener, at) = listener(1)?;
    close(listener)?;
    let fd = nonblocking()?;
    fails!(connect(fd, &loopback(at)), EINPROGRESS);
    let bits = poll_one(fd, POLLOUT, -1)?;
    same!(bits, POLLOUT | POLLERR | POLLHUP, "poll bits");
    same!(so_error(fd)?, ECONNREFUSED, "SO_ERROR");
    same!(so_error(fd)?, 0, "SO_ERROR again");
    Ok(())
}

/// accept(2).
fn accept_without_a_client_would_block() -> Check {
    let (listener, at) = listener(1)?;
    fcntl(listener, libc::F_SETFL, O_NONBLOCK)?;
    fails!(accept(listener), EAGAIN);
    same!(poll_bits(listener)?, 0, "poll bits");
    let _client = dial(at)?;
    same!(poll_one(listener, POLLIN, -1)?, POLLIN, "poll bits with a client");
    accept(listener)?;
    fails!(accept(listener), EAGAIN);
    Ok(())
}

/// accept(2).
fn clients_are_accepted_in_order() -> Check {
    let (listener, at) = listener(8)?;
    let clients: Vec<Fd> = (0..4).map(|_| dial(at)).collect::<guests::sys::Sys<_>>()?;
    for client in clients {
        let accepted = accept(listener)?;
        same!(name(accepted, true)?.sin_port, name(client, false)?.sin_port, "the client's port");
    }
    Ok(())
}

/// getsockname(2), getpeername(2).
fn names_of_both_ends_agree() -> Check {
    let (near, far) = connection()?;
    let pair = |fd| -> guests::sys::Sys<_> {
        let (mine, theirs) = (name(fd, false)?, name(fd, true)?);
        Ok([(mine.sin_addr.s_addr, mine.sin_port), (theirs.sin_addr.s_addr, theirs.sin_port)])
    };
    let (near, mut far) = (pair(near)?, pair(far)?);
    far.reverse();
    same!(near, far, "the names of the two ends");
    same!(near[0].0, loopback(0).sin_addr.s_addr, "the address");
    Ok(())
}

/// accept(2): Linux does not hand on file flags.
fn flags_are_not_inherited_by_accept() -> Check {
    let (listener, at) = listener(2)?;
    fcntl(listener, libc::F_SETFL, O_NONBLOCK)?;
    let _clients = (dial(at)?, dial(at)?);
    until_readable(listener)?;
    let plain = accept(listener)?;
    same!(fcntl(plain, libc::F_GETFL, 0)? & O_NONBLOCK, 0, "O_NONBLOCK");
    until_readable(listener)?;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let null = std::ptr::null_mut;
    // SAFETY: null address and length are allowed together.
    let other =
        small("accept4", unsafe { libc::accept4(listener, null(), std::ptr::null_mut(), flags) })?;
    same!(fcntl(other, libc::F_GETFL, 0)? & O_NONBLOCK, O_NONBLOCK, "O_NONBLOCK by accept4");
    same!(fcntl(other, libc::F_GETFD, 0)?, libc::FD_CLOEXEC, "close-on-exec by accept4");
    Ok(())
}

/// T-58, T-59.
fn options_are_inherited_by_accept() -> Check {
    let (listener, at) = listener(1)?;
    set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)?;
    set_option(listener, SOL_SOCKET, SO_KEEPALIVE, 1)?;
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77)?;
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let _client = dial(at)?;
    let fd = accept(listener)?;
    same!(option(fd, SOL_SOCKET, SO_REUSEADDR)?, 1, "SO_REUSEADDR");
    same!(option(fd, SOL_SOCKET, SO_KEEPALIVE)?, 1, "SO_KEEPALIVE");
    same!(option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE)?, 77, "TCP_KEEPIDLE");
    same!(option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)?, 1, "TCP_NODELAY");
    Ok(())
}

/// socket(7), tcp(7).
fn options_read_back_what_was_set() -> Check {
    let fd = socket(AF_INET, SOCK_STREAM)?;
    same!(option(fd, SOL_SOCKET, SO_TYPE)?, SOCK_STREAM, "SO_TYPE");
    same!(option(fd, SOL_SOCKET, libc::SO_DOMAIN)?, AF_INET, "SO_DOMAIN");
    same!(option(fd, SOL_SOCKET, libc::SO_PROTOCOL)?, libc::IPPROTO_TCP, "SO_PROTOCOL");
    same!(option(fd, SOL_SOCKET, libc::SO_ACCEPTCONN)?, 0, "SO_ACCEPTCONN");
    for what in [SO_REUSEADDR, SO_KEEPALIVE] {
        same!(option(fd, SOL_SOCKET, what)?, 0, "option {what} at first");
        set_option(fd, SOL_SOCKET, what, 1)?;
        same!(option(fd, SOL_SOCKET, what)?, 1, "option {what} when set");
    }
    set_option(fd, SOL_SOCKET, libc::SO_RCVBUF, 10_000)?;
    same!(option(fd, SOL_SOCKET, libc::SO_RCVBUF)?, 20_000, "SO_RCVBUF is doubled");
    fails!(set_option(fd, SOL_SOCKET, 9999, 1), libc::ENOPROTOOPT);
    fails!(set_option(0, SOL_SOCKET, SO_KEEPALIVE, 1), libc::ENOTSOCK);
    listen(fd, 1)?;
    same!(option(fd, SOL_SOCKET, libc::SO_ACCEPTCONN)?, 1, "SO_ACCEPTCONN of a listener");
    Ok(())
}

/// What TCP_MAXSEG reads: on loopback the windows are smaller than two segments.
fn a_segment_is_at_most_half_of_the_greatest_window() -> Check {
    let (client, served) = connection()?;
    let largest = |fd| option(fd, libc::IPPROTO_TCP, libc::TCP_MAXSEG);
    // Of the SYN-ACK's window, which is not scaled, and of the ACK's, which is.
    same!((largest(client)?, largest(served)?), (32_741, 32_768), "when it was made");
    write(client, &[b'x'; 100])?;
    until_readable(served)?;
    until_acknowledged(client)?;
    same!(largest(client)?, 32_768, "after an acknowledgment");
    Ok(())
}

/// bind(2).
fn port_can_be_bound_once() -> Check {
    let (_listener, at) = listener(1)?;
    let other = socket(AF_INET, SOCK_STREAM)?;
    fails!(bind(other, &loopback(at)), EADDRINUSE);
    set_option(other, SOL_SOCKET, SO_REUSEADDR, 1)?;
    fails!(bind(other, &loopback(at)), EADDRINUSE);
    bind(other, &loopback(0))?;
    ensure!(port(other)? != at && port(other)? != 0, "the kernel's choice is {}", port(other)?);
    fails!(bind(other, &loopback(0)), EINVAL);
    Ok(())
}

/// tcp(7): four megabytes each way at once.
fn bytes_arrive_in_order_and_whole() -> Check {
    let (near, far) = connection()?;
    let data: Vec<u8> =
        (0..4 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sent = data.clone();
    let pump = move |fd| {
        let mut rest = &sent[..];
        while !rest.is_empty() {
            rest = &rest[write(fd, rest)?..];
        }
        shutdown(fd, SHUT_WR)
    };
    let threads = [near, far].map(|fd| {
        let pump = pump.clone();
        std::thread::spawn(move || pump(fd))
    });
    let other = std::thread::spawn(move || drain(far));
    let (here, end) = drain(near);
    end?;
    let (there, end) = other.join().map_err(|_| "the thread panicked")?;
    end?;
    for thread in threads {
        thread.join().map_err(|_| "the thread panicked")??;
    }
    ensure!(here == data && there == data, "{} and {} bytes came", here.len(), there.len());
    Ok(())
}

/// tcp(7), poll(2).
fn full_buffers_would_block_and_poll_says_so() -> Check {
    let (near, far) = connection()?;
    let chunk = vec![7; 64 << 10];
    let mut sent = 0;
    let refused = loop {
        match send(near, &chunk, MSG_DONTWAIT) {
            Ok(length) => sent += length,
            // What is on its way may still make room: only a full socket without POLLOUT ends it.
            Err(_) if poll_bits(near)? & POLLOUT != 0 => {}
            Err(failed) => break failed,
        }
    };
    same!(refused.errno, EAGAIN, "the refusal");
    same!(poll_bits(near)?, 0, "poll bits when full");
    let mut got = 0;
    while got < sent {
        got += recv(far, 1 << 20, 0)?.len();
    }
    same!(poll_one(near, POLLOUT, -1)?, POLLOUT, "poll bits when drained");
    same!(got, sent, "bytes");
    Ok(())
}

/// recv(2).
fn peek_leaves_the_bytes() -> Check {
    let (near, far) = connection()?;
    write(near, b"hello")?;
    same!(recv(far, 2, MSG_PEEK)?, b"he", "peeked");
    same!(recv(far, 64, MSG_PEEK)?, b"hello", "peeked again");
    same!(recv(far, 64, 0)?, b"hello", "read");
    fails!(recv(far, 64, MSG_DONTWAIT), EAGAIN);
    Ok(())
}

/// recv(2).
fn waitall_waits_for_all() -> Check {
    let (near, far) = connection()?;
    write(near, b"one ")?;
    let child = fork_check(|| {
        write(near, b"two ")?;
        write(near, b"three")?;
        Ok(())
    })?;
    same!(recv(far, 13, MSG_WAITALL)?, b"one two three", "read");
    wait_ok(child)
}

/// socket(7).
fn receive_timeout_would_block() -> Check {
    let (near, _far) = connection()?;
    let limit = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
    set_option(near, SOL_SOCKET, libc::SO_RCVTIMEO, limit)?;
    let since = guests::sys::monotonic();
    fails!(recv(near, 1, 0), EAGAIN);
    ensure!(guests::sys::monotonic() - since >= 20_000_000, "it waited too short");
    Ok(())
}

fn queued(fd: Fd, what: u64) -> guests::sys::Sys<i32> {
    let mut bytes = 0;
    // SAFETY: these write one int.
    small("ioctl", unsafe { libc::ioctl(fd, what, &mut bytes) })?;
    Ok(bytes)
}

const SIOCOUTQ: u64 = 0x5411;
const SIOCOUTQNSD: u64 = 0x894b;

/// tcp(7): SIOCOUTQ; the FIN has a number too, and a reset does not empty the count.
fn siocoutq_counts_what_is_not_acknowledged() -> Check {
    let (near, far) = connection()?;
    let both =
        |fd| -> guests::sys::Sys<_> { Ok((queued(fd, SIOCOUTQ)?, queued(fd, SIOCOUTQNSD)?)) };
    same!(both(near)?, (0, 0), "nothing sent");
    write(near, b"hello")?;
    same!(both(near)?, (0, 0), "acknowledged at once");
    set_option(near, SOL_SOCKET, libc::SO_SNDBUF, 65_536)?;
    let mut sent = 5;
    while let Ok(length) = send(near, &[b'd'; 4096], MSG_DONTWAIT) {
        sent += length as i32;
    }
    let (unacked, unsent) = both(near)?;
    // What was sent has come, though it need not be acknowledged yet.
    same!(unsent + unread(far)?, sent, "unsent and received");
    ensure!(0 < unsent && unsent <= unacked, "{unsent} unsent of {unacked}");
    shutdown(near, SHUT_WR)?;
    same!(both(near)?, (unacked + 1, unsent + 1), "with the FIN");
    linger(far, 0)?;
    close(far)?;
    same!(both(near)?, (unacked + 1, unsent + 1), "after the reset");
    let (listener, _) = listener(1)?;
    fails!(queued(listener, SIOCOUTQ), EINVAL);
    fails!(queued(listener, SIOCOUTQNSD), EINVAL);
    fails!(unread(listener), EINVAL);
    Ok(())
}

/// tcp(7): SIOCINQ; the byte itself is not in the stream.
fn fionread_stops_before_the_urgent_byte() -> Check {
    let (near, far) = connection()?;
    write(near, b"ab")?;
    send(near, b"X", libc::MSG_OOB)?;
    write(near, b"cd")?;
    poll_one(far, libc::POLLPRI, -1)?;
    same!(unread(far)?, 2, "before the byte");
    same!(read(far, 8)?, b"ab", "read");
    same!(unread(far)?, 0, "at the byte");
    same!(read(far, 8)?, b"cd", "read past it");
    Ok(())
}

fn unread(fd: Fd) -> guests::sys::Sys<i32> {
    let mut bytes = 0_i32;
    // SAFETY: room for an int.
    small("ioctl", unsafe { libc::ioctl(fd, libc::FIONREAD, &mut bytes) })?;
    Ok(bytes)
}

/// tcp(7).
fn fionread_counts_unread_bytes() -> Check {
    let (near, far) = connection()?;
    same!(unread(far)?, 0, "at first");
    write(near, b"hello")?;
    until_readable(far)?;
    same!(unread(far)?, 5, "with five bytes");
    read(far, 2)?;
    same!(unread(far)?, 3, "with three left");
    Ok(())
}

/// readv(2), writev(2).
fn vectors_scatter_and_gather() -> Check {
    let (near, far) = connection()?;
    let part =
        |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
    let parts = [part(b"ab"), part(b""), part(b"cdef")];
    // SAFETY: three valid parts.
    same!(count("writev", unsafe { libc::writev(near, parts.as_ptr(), 3) })?, 6, "written");
    until_readable(far)?;
    let (mut first, mut second) = ([0_u8; 4], [0_u8; 4]);
    let room = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: 4 },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: 4 },
    ];
    // SAFETY: two valid parts.
    same!(count("readv", unsafe { libc::readv(far, room.as_ptr(), 2) })?, 6, "read");
    same!((&first, &second), (b"abcd", b"ef\0\0"), "the parts");
    Ok(())
}

/// lseek(2), pread(2).
fn pipes_and_sockets_cannot_seek() -> Check {
    let (near, _far) = connection()?;
    let (reader, _writer) = guests::sys::pipe()?;
    for fd in [near, reader] {
        fails!(guests::sys::lseek(fd, 0, libc::SEEK_CUR), libc::ESPIPE);
        let mut byte = 0_u8;
        // SAFETY: one byte.
        let result = unsafe { libc::pread(fd, (&raw mut byte).cast(), 1, 0) };
        fails!(count("pread", result), libc::ESPIPE);
    }
    Ok(())
}

/// sendfile(2).
fn sendfile_feeds_a_socket() -> Check {
    let (near, far) = connection()?;
    let path = guests::sys::scratch()?.join("file");
    std::fs::write(&path, b"hello world").map_err(|error| error.to_string())?;
    let file = guests::sys::open(&path, libc::O_RDONLY, 0)?;
    let mut offset = 6;
    // SAFETY: a valid offset.
    let sent = count("sendfile", unsafe { libc::sendfile(near, file, &mut offset, 100) })?;
    same!((sent, offset), (5, 11), "how many, and the offset");
    same!(recv(far, 5, MSG_WAITALL)?, b"world", "received");
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// T-44.
fn shut_wr_half_closes() -> Check {
    let (near, far) = connection()?;
    shutdown(near, SHUT_WR)?;
    same!(read(far, 8)?, b"", "the other end reads");
    same!(poll_bits(far)?, POLLIN | POLLOUT | POLLRDHUP, "the other end's poll bits");
    signal::ignore(libc::SIGPIPE)?;
    fails!(write(near, b"x"), EPIPE);
    write(far, b"still")?;
    same!(read(near, 8)?, b"still", "this end reads");
    same!(poll_bits(near)?, POLLOUT, "this end's poll bits");
    Ok(())
}

/// T-45.
fn shut_rd_is_local_and_data_still_comes() -> Check {
    let (near, far) = connection()?;
    shutdown(near, SHUT_RD)?;
    same!(read(near, 8)?, b"", "read on empty");
    same!(poll_bits(far)?, POLLOUT, "the other end's poll bits");
    write(far, b"hello")?;
    let mut got = read(near, 8)?;
    while got.is_empty() {
        got = read(near, 8)?;
    }
    same!(got, b"hello", "read");
    Ok(())
}

/// T-47.
fn shutdown_acts_for_every_sharer() -> Check {
    let (near, far) = connection()?;
    let child = fork_check(|| Ok(shutdown(near, SHUT_WR)?))?;
    wait_ok(child)?;
    same!(read(far, 8)?, b"", "the other end reads");
    signal::ignore(libc::SIGPIPE)?;
    fails!(write(near, b"x"), EPIPE);
    Ok(())
}

/// T-47.
fn shutdown_needs_a_connection() -> Check {
    let fd = socket(AF_INET, SOCK_STREAM)?;
    fails!(shutdown(fd, SHUT_WR), ENOTCONN);
    fails!(shutdown(fd, 3), EINVAL);
    fails!(shutdown(0, SHUT_WR), libc::ENOTSOCK);
    Ok(())
}

/// T-47.
fn shutdown_of_a_listener_resets_its_clients() -> Check {
    let (listener, at) = listener(1)?;
    let client = dial(at)?;
    shutdown(listener, SHUT_RDWR)?;
    until_hung_up(client)?;
    fails!(read(client, 8), ECONNRESET);
    fails!(accept(listener), EINVAL);
    Ok(())
}

/// T-46.
fn both_fins_leave_a_closed_socket() -> Check {
    let (near, far) = connection()?;
    shutdown(near, SHUT_WR)?;
    shutdown(far, SHUT_WR)?;
    until_hung_up(near)?;
    until_hung_up(far)?;
    for fd in [near, far] {
        same!(poll_bits(fd)?, POLLIN | POLLOUT | POLLHUP | POLLRDHUP, "poll bits");
        same!((read(fd, 8)?, so_error(fd)?), (vec![], 0), "read, SO_ERROR");
        same!(tcp_state(fd)?, 7, "the state");
    }
    Ok(())
}

/// F-1, F-10.
fn sock_close_is_the_last_reference() -> Check {
    let (near, far) = connection()?;
    let other = dup(near)?;
    close(near)?;
    same!(poll_bits(far)?, POLLOUT, "the other end after one close of two");
    write(other, b"x")?;
    same!(read(far, 8)?, b"x", "the other end reads");
    close(other)?;
    same!(read(far, 8)?, b"", "the other end after the last close");
    Ok(())
}

/// tcp(7).
fn unconnected_sockets_cannot_talk() -> Check {
    let fd = socket(AF_INET, SOCK_STREAM)?;
    fails!(read(fd, 1), ENOTCONN);
    fails!(name(fd, true), ENOTCONN);
    fails!(accept(fd), EINVAL);
    signal::ignore(libc::SIGPIPE)?;
    fails!(write(fd, b"x"), EPIPE);
    Ok(())
}

/// T-37.
fn client_that_resets_before_accept_is_still_accepted() -> Check {
    let (listener, at) = listener(1)?;
    let client = dial(at)?;
    write(client, b"hey")?;
    linger(client, 0)?;
    close(client)?;
    let fd = accept(listener)?;
    until_hung_up(fd)?;
    fails!(name(fd, true), ENOTCONN);
    same!(read(fd, 8)?, b"hey", "read");
    fails!(read(fd, 8), ECONNRESET);
    same!(read(fd, 8)?, b"", "read again");
    Ok(())
}

/// T-37: accept tells whose it was, getpeername does not.
fn reset_client_in_the_queue_still_has_its_address() -> Check {
    let (listener, at) = listener(1)?;
    let client = dial(at)?;
    let from = port(client)?;
    linger(client, 0)?;
    close(client)?;
    let (mut address, mut length) = (loopback(0), 16_u32);
    // SAFETY: room for an address of that length.
    let fd =
        small("accept", unsafe { libc::accept(listener, (&raw mut address).cast(), &mut length) })?;
    same!((u16::from_be(address.sin_port), length), (from, 16), "the address");
    fails!(name(fd, true), ENOTCONN);
    Ok(())
}

/// connect(2).
fn connected_socket_cannot_connect_again() -> Check {
    let (_listener, at) = listener(2)?;
    let fd = dial(at)?;
    fails!(connect(fd, &loopback(at)), EISCONN);
    fails!(listen(fd, 1), EINVAL);
    Ok(())
}
