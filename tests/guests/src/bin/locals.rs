//! Pipes, AF_UNIX sockets and UDP: what is left when one end dies. Rules F-9, F-13 … F-21 of
//! docs/linux-semantics.md, pipe(7), unix(7), udp(7).

use guests::net::{
    accept, bind, connect, listen, loopback, option, pair, port, recv, send, shutdown, so_error,
    socket,
};
use guests::process::{
    Gate, fork, fork_check, getpid, kill_and_wait, pause_for_ever, until_asleep, wait_ok,
};
use guests::signal;
use guests::sys::{
    Fd, Sys, close, count, drain, fcntl, pipe, pipe2, poll_bits, poll_one, read, small, write,
};
use guests::{Check, ensure, fails, same};
use libc::{AF_UNIX, EADDRINUSE, EAGAIN, ECONNREFUSED, ECONNRESET, EMSGSIZE, ENOENT, ENOTCONN};
use libc::{EPIPE, EPROTOTYPE, MSG_DONTWAIT, O_NONBLOCK, POLLERR, POLLHUP, POLLIN, POLLOUT};
use libc::{POLLRDHUP, SIGKILL, SIGPIPE, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

guests::cases! {
    last_writer_gone_drains_then_ends,
    last_reader_gone_breaks_the_pipe,
    blocked_writer_returns_what_it_wrote_and_gets_sigpipe,
    ignored_sigpipe_leaves_epipe,
    full_pipe_would_block,
    small_pipe_writes_are_atomic,
    pipe_data_outlives_the_writer,
    fifo_opens_when_both_ends_came,
    pipe_size_can_be_changed,
    stream_peer_dies_empty,
    stream_peer_dies_with_unread_data,
    seqpacket_peer_dies_empty,
    seqpacket_peer_dies_with_unread_data,
    datagram_peer_dies,
    unix_listener_dies,
    abstract_name_goes_with_its_socket,
    unix_names_must_exist_and_fit,
    descriptor_in_flight_survives_its_sender,
    descriptor_in_flight_goes_with_the_receiver,
    circle_of_sockets_in_flight_is_collected_when_another_goes,
    credentials_of_the_peer,
    seqpackets_keep_their_edges,
    unix_stream_half_closes,
    datagrams_arrive_whole_and_are_cut,
    datagram_to_nobody_is_refused_later,
    connected_datagram_socket_hears_only_its_peer,
    datagrams_keep_senders_apart,
}

const GONE: i16 = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;

/// F-13.
fn last_writer_gone_drains_then_ends() -> Check {
    let (reader, writer) = pipe()?;
    write(writer, b"rest")?;
    close(writer)?;
    same!(poll_bits(reader)?, POLLIN | POLLHUP, "poll bits with data");
    same!(read(reader, 64)?, b"rest", "read");
    same!(poll_bits(reader)?, POLLHUP, "poll bits without");
    same!(read(reader, 64)?, b"", "read");
    Ok(())
}

/// F-14.
fn last_reader_gone_breaks_the_pipe() -> Check {
    let (reader, writer) = pipe()?;
    signal::handle(SIGPIPE, 0)?;
    close(reader)?;
    same!(poll_bits(writer)?, POLLOUT | POLLERR, "poll bits");
    same!(write(writer, b"")?, 0, "an empty write");
    same!(signal::logged(), vec![], "signals after it");
    fails!(write(writer, b"x"), EPIPE);
    same!(signal::logged_signals(), vec![SIGPIPE], "signals");
    Ok(())
}

/// F-14.
fn blocked_writer_returns_what_it_wrote_and_gets_sigpipe() -> Check {
    let (reader, writer) = pipe()?;
    let ready = Gate::new()?;
    let child = fork_check(|| {
        close(reader)?;
        signal::handle(SIGPIPE, 0)?;
        ready.open()?;
        same!(write(writer, &[0; 100_000])?, 65536, "written");
        same!(signal::logged_signals(), vec![SIGPIPE], "signals");
        Ok(())
    })?;
    ready.wait()?;
    until_asleep(child, child)?;
    close(reader)?;
    wait_ok(child)
}

/// F-15.
fn ignored_sigpipe_leaves_epipe() -> Check {
    let (reader, writer) = pipe()?;
    close(reader)?;
    signal::ignore(SIGPIPE)?;
    fails!(write(writer, b"x"), EPIPE);
    signal::default(SIGPIPE)?;
    signal::block(&[SIGPIPE])?;
    fails!(write(writer, b"x"), EPIPE);
    same!(signal::pending(), vec![SIGPIPE], "pending");
    Ok(())
}

/// F-15, pipe(7).
fn full_pipe_would_block() -> Check {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    fails!(read(reader, 1), EAGAIN);
    same!(write(writer, &[1; 70_000])?, 65536, "written");
    fails!(write(writer, b"x"), EAGAIN);
    same!(poll_bits(writer)?, 0, "poll bits when full");
    read(reader, 4096)?;
    same!(poll_bits(writer)?, POLLOUT, "poll bits with a page of room");
    Ok(())
}

/// pipe(7).
fn small_pipe_writes_are_atomic() -> Check {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    write(writer, &[1; 65536 - 4095])?;
    fails!(write(writer, &[2; 4096]), EAGAIN);
    same!(write(writer, &[2; 5000])? > 0, true, "a write of more than PIPE_BUF may be cut");
    read(reader, 1)?;
    Ok(())
}

/// F-15.
fn pipe_data_outlives_the_writer() -> Check {
    let (reader, writer) = pipe()?;
    let child = fork_check(|| {
        write(writer, &[3; 5000])?;
        pause_for_ever()
    })?;
    close(writer)?;
    poll_one(reader, POLLIN, -1)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    let (got, end) = drain(reader);
    end?;
    same!(got.len(), 5000, "bytes");
    Ok(())
}

/// fifo(7), F-13.
fn fifo_opens_when_both_ends_came() -> Check {
    let path = guests::sys::scratch()?.join("fifo");
    let name = guests::sys::c_path(&path);
    // SAFETY: a C string.
    small("mkfifo", unsafe { libc::mkfifo(name.as_ptr(), 0o600) })?;
    let open = |flags| guests::sys::open(&path, flags, 0);
    fails!(open(libc::O_WRONLY | O_NONBLOCK), libc::ENXIO);
    let early = open(libc::O_RDONLY | O_NONBLOCK)?;
    same!(poll_bits(early)?, 0, "poll bits before a first writer");
    same!(read(early, 1)?, b"", "read without a writer");
    close(early)?;
    let child = fork_check(|| {
        write(open(libc::O_WRONLY)?, b"through")?;
        Ok(())
    })?;
    let reader = open(libc::O_RDONLY)?;
    let (got, end) = drain(reader);
    end?;
    same!(got, b"through", "read");
    let _ = std::fs::remove_file(&path);
    wait_ok(child)
}

/// fcntl(2).
fn pipe_size_can_be_changed() -> Check {
    let (_reader, writer) = pipe2(O_NONBLOCK)?;
    same!(fcntl(writer, libc::F_GETPIPE_SZ, 0)?, 65536, "the size");
    same!(fcntl(writer, libc::F_SETPIPE_SZ, 4096)?, 4096, "the new size");
    same!(write(writer, &[0; 10_000])?, 4096, "written");
    same!(fcntl(writer, libc::F_SETPIPE_SZ, 1)?, 4096, "a page is the least");
    Ok(())
}

/// A pair whose other end belongs to a process that is killed; `unread` bytes wait for it and
/// `queued` bytes from it for us.
fn bereaved(kind: i32, unread: bool, queued: bool) -> Result<Fd, String> {
    let (near, far) = pair(kind)?;
    if unread {
        send(near, b"unread", 0)?;
    }
    if queued {
        send(far, b"queued", 0)?;
    }
    let child = fork(|| pause_for_ever())?;
    close(far)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    signal::handle(SIGPIPE, 0)?;
    Ok(near)
}

/// F-16.
fn stream_peer_dies_empty() -> Check {
    let fd = bereaved(SOCK_STREAM, false, true)?;
    same!(poll_bits(fd)?, GONE, "poll bits");
    same!(read(fd, 64)?, b"queued", "read");
    same!((read(fd, 64)?, read(fd, 64)?), (vec![], vec![]), "read again");
    fails!(send(fd, b"x", 0), EPIPE);
    same!(signal::logged_signals(), vec![SIGPIPE], "signals");
    Ok(())
}

/// F-17.
fn stream_peer_dies_with_unread_data() -> Check {
    let fd = bereaved(SOCK_STREAM, true, true)?;
    same!(poll_bits(fd)?, GONE | POLLERR, "poll bits");
    fails!(send(fd, b"x", 0), EPIPE);
    same!(signal::logged_signals(), vec![SIGPIPE], "signals");
    same!(read(fd, 64)?, b"queued", "read");
    fails!(read(fd, 64), ECONNRESET);
    same!(read(fd, 64)?, b"", "read after the error");
    Ok(())
}

/// F-16.
fn seqpacket_peer_dies_empty() -> Check {
    let fd = bereaved(SOCK_SEQPACKET, false, false)?;
    same!(poll_bits(fd)?, GONE, "poll bits");
    fails!(send(fd, b"x", 0), EPIPE);
    same!(signal::logged(), vec![], "signals");
    same!(recv(fd, 64, 0)?, b"", "recv");
    Ok(())
}

/// F-17.
fn seqpacket_peer_dies_with_unread_data() -> Check {
    let fd = bereaved(SOCK_SEQPACKET, true, true)?;
    same!(poll_bits(fd)?, GONE | POLLERR, "poll bits");
    fails!(recv(fd, 64, 0), ECONNRESET);
    same!(recv(fd, 64, 0)?, b"queued", "recv");
    same!(recv(fd, 64, 0)?, b"", "recv again");
    Ok(())
}

/// F-18.
fn datagram_peer_dies() -> Check {
    let fd = bereaved(SOCK_DGRAM, true, true)?;
    same!(poll_bits(fd)?, POLLIN | POLLOUT, "poll bits");
    same!(recv(fd, 64, 0)?, b"queued", "recv");
    fails!(recv(fd, 64, MSG_DONTWAIT), EAGAIN);
    fails!(send(fd, b"x", 0), ECONNREFUSED);
    fails!(send(fd, b"x", 0), ENOTCONN);
    Ok(())
}

/// An AF_UNIX address; a name that begins with '\0' is abstract.
fn unix_address(name: &[u8]) -> (libc::sockaddr_un, u32) {
    // SAFETY: zero is valid for every field.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = AF_UNIX as u16;
    for (slot, byte) in address.sun_path.iter_mut().zip(name) {
        *slot = *byte as i8;
    }
    let ends_in_zero = u32::from(name.first() != Some(&0));
    (address, 2 + name.len() as u32 + ends_in_zero)
}

fn unix_bind(fd: Fd, name: &[u8]) -> Sys<()> {
    let (address, length) = unix_address(name);
    // SAFETY: a valid address of that length.
    small("bind", unsafe { libc::bind(fd, (&raw const address).cast(), length) }).map(|_| ())
}

fn unix_connect(fd: Fd, name: &[u8]) -> Sys<()> {
    let (address, length) = unix_address(name);
    // SAFETY: a valid address of that length.
    small("connect", unsafe { libc::connect(fd, (&raw const address).cast(), length) }).map(|_| ())
}

fn unix_name(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// F-19.
fn unix_listener_dies() -> Check {
    let path = guests::sys::scratch()?.join("socket");
    let at = unix_name(&path);
    let ready = Gate::new()?;
    let child = fork_check(|| {
        let listener = socket(AF_UNIX, SOCK_STREAM)?;
        unix_bind(listener, &at)?;
        listen(listener, 4)?;
        ready.open()?;
        pause_for_ever()
    })?;
    ready.wait()?;
    let client = socket(AF_UNIX, SOCK_STREAM)?;
    unix_connect(client, &at)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    same!(poll_bits(client)?, GONE | POLLERR, "poll bits");
    fails!(read(client, 8), ECONNRESET);
    same!(read(client, 8)?, b"", "read again");
    signal::ignore(SIGPIPE)?;
    fails!(write(client, b"x"), EPIPE);
    let again = socket(AF_UNIX, SOCK_STREAM)?;
    fails!(unix_connect(again, &at), ECONNREFUSED);
    fails!(unix_bind(again, &at), EADDRINUSE);
    std::fs::remove_file(&path).map_err(|error| format!("the name is gone: {error}"))
}

/// F-19.
fn abstract_name_goes_with_its_socket() -> Check {
    let at = format!("\0guest-{}", getpid()).into_bytes();
    let listener = socket(AF_UNIX, SOCK_STREAM)?;
    unix_bind(listener, &at)?;
    listen(listener, 1)?;
    let client = socket(AF_UNIX, SOCK_STREAM)?;
    unix_connect(client, &at)?;
    let accepted = accept(listener)?;
    write(client, b"hello")?;
    same!(read(accepted, 8)?, b"hello", "read");
    close(listener)?;
    let other = socket(AF_UNIX, SOCK_STREAM)?;
    fails!(unix_connect(other, &at), ECONNREFUSED);
    unix_bind(other, &at)?;
    Ok(())
}

/// unix(7).
fn unix_names_must_exist_and_fit() -> Check {
    let directory = guests::sys::scratch()?;
    let fd = socket(AF_UNIX, SOCK_STREAM)?;
    fails!(unix_connect(fd, &unix_name(&directory.join("nothing"))), ENOENT);
    let file = directory.join("file");
    std::fs::write(&file, b"").map_err(|error| error.to_string())?;
    fails!(unix_connect(fd, &unix_name(&file)), ECONNREFUSED);
    let datagram = socket(AF_UNIX, SOCK_DGRAM)?;
    let at = unix_name(&directory.join("datagram"));
    unix_bind(datagram, &at)?;
    fails!(unix_connect(fd, &at), EPROTOTYPE);
    let _ = std::fs::remove_dir_all(&directory);
    Ok(())
}

/// Sends (or receives) one byte with one descriptor.
fn pass(socket: Fd, passed: Option<Fd>) -> Sys<Fd> {
    let mut byte = 1_u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = [0_u64; 4];
    // SAFETY: the control buffer has room for one descriptor and is aligned.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        if let Some(fd) = passed {
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
            return count("sendmsg", libc::sendmsg(socket, &message, 0)).map(|_| fd);
        }
        count("recvmsg", libc::recvmsg(socket, &mut message, 0))?;
        let header = libc::CMSG_FIRSTHDR(&message);
        if header.is_null() {
            return Err(guests::sys::Failed { call: "recvmsg without a descriptor", errno: 0 });
        }
        Ok(libc::CMSG_DATA(header).cast::<i32>().read_unaligned())
    }
}

/// F-20.
fn descriptor_in_flight_survives_its_sender() -> Check {
    let (near, far) = pair(SOCK_STREAM)?;
    let child = fork_check(|| {
        let (reader, writer) = pipe()?;
        write(writer, b"from the dead")?;
        pass(far, Some(reader))?;
        Ok(())
    })?;
    wait_ok(child)?;
    same!(read(pass(near, None)?, 64)?, b"from the dead", "read");
    Ok(())
}

/// F-20.
fn descriptor_in_flight_goes_with_the_receiver() -> Check {
    let (near, far) = pair(SOCK_STREAM)?;
    let (reader, writer) = pipe()?;
    pass(near, Some(writer))?;
    close(writer)?;
    same!(poll_bits(reader)?, 0, "poll bits while it is in flight");
    close(far)?;
    same!(poll_bits(reader)?, POLLHUP, "poll bits when the receiver is gone");
    Ok(())
}

/// F-21, F-9: the collector is a kernel thread; what it puts last is released later than the close
/// that made it garbage, so it is waited for.
fn circle_of_sockets_in_flight_is_collected_when_another_goes() -> Check {
    let (left, right) = pair(SOCK_STREAM)?;
    let (inside, outside) = pair(SOCK_STREAM)?;
    // Each end lies in the other's queue, and one of them has a third socket with it.
    pass(left, Some(left))?;
    pass(right, Some(right))?;
    pass(left, Some(inside))?;
    for fd in [left, right, inside] {
        close(fd)?;
    }
    let (other, another) = pair(SOCK_STREAM)?;
    close(other)?;
    close(another)?;
    same!(poll_one(outside, POLLIN, 10_000)? & POLLHUP, POLLHUP, "poll bits of the one outside");
    Ok(())
}

/// unix(7).
fn credentials_of_the_peer() -> Check {
    let (near, _far) = pair(SOCK_STREAM)?;
    let mut who = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = 12_u32;
    // SAFETY: room for a ucred.
    small("getsockopt", unsafe {
        let to = (&raw mut who).cast();
        libc::getsockopt(near, libc::SOL_SOCKET, libc::SO_PEERCRED, to, &mut length)
    })?;
    // SAFETY: no memory is involved.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    same!((who.pid, who.uid, who.gid), (getpid(), uid, gid), "pid, uid, gid");
    Ok(())
}

/// unix(7).
fn seqpackets_keep_their_edges() -> Check {
    let (near, far) = pair(SOCK_SEQPACKET)?;
    send(near, b"one", 0)?;
    send(near, b"three", 0)?;
    same!(recv(far, 64, 0)?, b"one", "the first");
    same!(recv(far, 2, 0)?, b"th", "the second, cut");
    fails!(recv(far, 64, MSG_DONTWAIT), EAGAIN);
    Ok(())
}

/// shutdown(2).
fn unix_stream_half_closes() -> Check {
    let (near, far) = pair(SOCK_STREAM)?;
    shutdown(near, libc::SHUT_WR)?;
    same!(read(far, 8)?, b"", "the other end reads");
    same!(poll_bits(far)?, POLLIN | POLLOUT | POLLRDHUP, "the other end's poll bits");
    write(far, b"still")?;
    same!(read(near, 8)?, b"still", "this end reads");
    Ok(())
}

/// Two UDP sockets on loopback, with their ports.
fn datagram_sockets() -> Sys<[(Fd, u16); 2]> {
    let one = || -> Sys<(Fd, u16)> {
        let fd = socket(libc::AF_INET, SOCK_DGRAM)?;
        bind(fd, &loopback(0))?;
        Ok((fd, port(fd)?))
    };
    Ok([one()?, one()?])
}

fn send_to(fd: Fd, bytes: &[u8], port: u16) -> Sys<usize> {
    let address = loopback(port);
    let length = size_of::<libc::sockaddr_in>() as u32;
    // SAFETY: valid bytes and address.
    count("sendto", unsafe {
        let to = (&raw const address).cast();
        libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, to, length)
    })
}

/// udp(7).
fn datagrams_arrive_whole_and_are_cut() -> Check {
    let [(a, _), (b, to)] = datagram_sockets()?;
    send_to(a, b"hello", to)?;
    send_to(a, b"", to)?;
    send_to(a, b"world", to)?;
    same!(recv(b, 2, 0)?, b"he", "the first, cut");
    same!(recv(b, 64, 0)?, b"", "an empty one");
    same!(recv(b, 64, 0)?, b"world", "the third");
    fails!(recv(b, 64, MSG_DONTWAIT), EAGAIN);
    fails!(send_to(a, &[0; 65508], to), EMSGSIZE);
    Ok(())
}

/// udp(7): the ICMP answer is told by the next call.
fn datagram_to_nobody_is_refused_later() -> Check {
    let [(a, _), (b, to)] = datagram_sockets()?;
    close(b)?;
    connect(a, &loopback(to))?;
    same!(send(a, b"x", 0)?, 1, "the first send");
    poll_one(a, 0, -1)?;
    same!(so_error(a)?, ECONNREFUSED, "SO_ERROR");
    send(a, b"x", 0)?;
    fails!(recv(a, 8, 0), ECONNREFUSED);
    Ok(())
}

/// udp(7).
fn connected_datagram_socket_hears_only_its_peer() -> Check {
    let [(a, from), (b, to)] = datagram_sockets()?;
    let [(stranger, _), _] = datagram_sockets()?;
    connect(a, &loopback(to))?;
    send_to(stranger, b"stranger", from)?;
    send_to(b, b"peer", from)?;
    same!(recv(a, 64, 0)?, b"peer", "received");
    fails!(recv(a, 64, MSG_DONTWAIT), EAGAIN);
    Ok(())
}

/// udp(7), recvfrom(2).
fn datagrams_keep_senders_apart() -> Check {
    let [(a, a_port), (b, to)] = datagram_sockets()?;
    let [(c, c_port), _] = datagram_sockets()?;
    send_to(a, b"a", to)?;
    send_to(c, b"c", to)?;
    for expected in [a_port, c_port] {
        let (mut byte, mut address) = (0_u8, loopback(0));
        let mut length = size_of::<libc::sockaddr_in>() as u32;
        // SAFETY: room for a byte and an address.
        count("recvfrom", unsafe {
            let from = (&raw mut address).cast();
            libc::recvfrom(b, (&raw mut byte).cast(), 1, 0, from, &mut length)
        })?;
        same!(u16::from_be(address.sin_port), expected, "the sender's port");
    }
    ensure!(option(b, libc::SOL_SOCKET, libc::SO_TYPE)? == SOCK_DGRAM, "SO_TYPE is another");
    Ok(())
}
