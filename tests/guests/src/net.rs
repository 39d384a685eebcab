//! Sockets: TCP over loopback, AF_UNIX pairs, options, states, and `victim`: a process with one end
//! of a connection that waits to be killed. Beside sys.rs; used by the programs about networks.

use crate::process::{Gate, Pid, fork, pause_for_ever};
use crate::signal;
use crate::sys::{Failed, Fd, Sys, close, count, poll_one, raw, small, write};
use crate::{Check, fails, same};
use std::mem::{size_of, zeroed};
use std::net::Ipv6Addr;

/// socket(2).
pub fn socket(domain: i32, kind: i32) -> Sys<Fd> {
    // SAFETY: no memory is involved.
    small("socket", unsafe { libc::socket(domain, kind, 0) })
}

/// socketpair(2) of AF_UNIX.
pub fn pair(kind: i32) -> Sys<(Fd, Fd)> {
    let mut ends = [0; 2];
    // SAFETY: two descriptors fit.
    small("socketpair", unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok((ends[0], ends[1]))
}

/// 127.0.0.1 and a port in host order.
pub fn loopback(port: u16) -> libc::sockaddr_in {
    // SAFETY: zero is valid for every field.
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    address
}

/// bind(2) to an IPv4 address.
pub fn bind(fd: Fd, address: &libc::sockaddr_in) -> Sys<()> {
    let length = size_of::<libc::sockaddr_in>() as u32;
    // SAFETY: a valid address of that length.
    small("bind", unsafe { libc::bind(fd, (&raw const *address).cast(), length) }).map(|_| ())
}

/// connect(2) to an IPv4 address.
pub fn connect(fd: Fd, address: &libc::sockaddr_in) -> Sys<()> {
    let length = size_of::<libc::sockaddr_in>() as u32;
    // SAFETY: a valid address of that length.
    small("connect", unsafe { libc::connect(fd, (&raw const *address).cast(), length) }).map(|_| ())
}

/// A `struct sockaddr_in6`, without flow label and scope.
pub fn address6(at: Ipv6Addr, port: u16) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&port.to_be_bytes());
    bytes[8..24].copy_from_slice(&at.octets());
    bytes
}

/// bind(2) to the bytes of an address, right or wrong.
pub fn bind_bytes(fd: Fd, address: &[u8]) -> Sys<()> {
    // SAFETY: an address of that length.
    small("bind", unsafe { libc::bind(fd, address.as_ptr().cast(), address.len() as u32) })
        .map(|_| ())
}

/// connect(2), likewise.
pub fn connect_bytes(fd: Fd, address: &[u8]) -> Sys<()> {
    // SAFETY: an address of that length.
    small("connect", unsafe { libc::connect(fd, address.as_ptr().cast(), address.len() as u32) })
        .map(|_| ())
}

/// listen(2).
pub fn listen(fd: Fd, backlog: i32) -> Sys<()> {
    // SAFETY: no memory is involved.
    small("listen", unsafe { libc::listen(fd, backlog) }).map(|_| ())
}

/// accept(2).
pub fn accept(fd: Fd) -> Sys<Fd> {
    // SAFETY: null address and length are allowed together.
    small("accept", unsafe { libc::accept(fd, std::ptr::null_mut(), std::ptr::null_mut()) })
}

/// The local port, in host order.
pub fn port(fd: Fd) -> Sys<u16> {
    name(fd, false).map(|address| u16::from_be(address.sin_port))
}

/// getsockname(2), or getpeername(2).
pub fn name(fd: Fd, peer: bool) -> Sys<libc::sockaddr_in> {
    let mut address = loopback(0);
    let mut length = size_of::<libc::sockaddr_in>() as u32;
    let to = (&raw mut address).cast();
    // SAFETY: room for an address of that length.
    let result = unsafe {
        if peer {
            libc::getpeername(fd, to, &mut length)
        } else {
            libc::getsockname(fd, to, &mut length)
        }
    };
    small(if peer { "getpeername" } else { "getsockname" }, result).map(|_| address)
}

/// A TCP listener on a free loopback port, and the port.
pub fn listener(backlog: i32) -> Sys<(Fd, u16)> {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    bind(fd, &loopback(0))?;
    listen(fd, backlog)?;
    Ok((fd, port(fd)?))
}

/// A TCP connection to a loopback port.
pub fn dial(port: u16) -> Sys<Fd> {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    connect(fd, &loopback(port))?;
    Ok(fd)
}

/// A TCP connection with both ends in this process: (the one that connected, the accepted one).
pub fn connection() -> Sys<(Fd, Fd)> {
    let (listener, port) = listener(1)?;
    let near = dial(port)?;
    let far = accept(listener)?;
    close(listener)?;
    Ok((near, far))
}

/// setsockopt(2) with a plain struct or number.
pub fn set_option<T>(fd: Fd, level: i32, name: i32, value: T) -> Sys<()> {
    let length = size_of::<T>() as u32;
    // SAFETY: the value has that length.
    small("setsockopt", unsafe {
        libc::setsockopt(fd, level, name, (&raw const value).cast(), length)
    })
    .map(|_| ())
}

/// getsockopt(2) of a number.
pub fn option(fd: Fd, level: i32, name: i32) -> Sys<i32> {
    let (mut value, mut length) = (0_i32, 4_u32);
    // SAFETY: four bytes of room.
    small("getsockopt", unsafe {
        libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut length)
    })?;
    Ok(value)
}

/// SO_ERROR, which takes the error away.
pub fn so_error(fd: Fd) -> Sys<i32> {
    option(fd, libc::SOL_SOCKET, libc::SO_ERROR)
}

/// The state of a TCP connection, tcpi_state: 1 ESTABLISHED, 7 CLOSE, 8 CLOSE_WAIT, 10 LISTEN, …
pub fn tcp_state(fd: Fd) -> Sys<u8> {
    let mut info = [0_u8; 104];
    let mut length = 104_u32;
    // SAFETY: that many bytes of room.
    small("getsockopt", unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    })?;
    Ok(info[0])
}

/// SO_LINGER.
pub fn linger(fd: Fd, seconds: i32) -> Sys<()> {
    let value = libc::linger { l_onoff: 1, l_linger: seconds };
    set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, value)
}

/// shutdown(2).
pub fn shutdown(fd: Fd, how: i32) -> Sys<()> {
    // SAFETY: no memory is involved.
    small("shutdown", unsafe { libc::shutdown(fd, how) }).map(|_| ())
}

/// send(2).
pub fn send(fd: Fd, bytes: &[u8], flags: i32) -> Sys<usize> {
    // SAFETY: the slice is valid.
    count("send", unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// recv(2), at most `size` bytes.
pub fn recv(fd: Fd, size: usize, flags: i32) -> Sys<Vec<u8>> {
    let mut buffer = vec![0; size];
    // SAFETY: the buffer has `size` bytes.
    let got = count("recv", unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), size, flags) })?;
    buffer.truncate(got);
    Ok(buffer)
}

/// Waits until bytes can be read from a socket that this process will not read.
pub fn until_readable(fd: Fd) -> Sys<()> {
    poll_one(fd, libc::POLLIN, -1).map(|_| ())
}

/// Waits until the connection was reset or ended in both directions.
pub fn until_hung_up(fd: Fd) -> Sys<()> {
    poll_one(fd, 0, -1).map(|_| ())
}

/// Waits until the connection is in this state (TCP_INFO's number), which no call waits for.
pub fn until_state(fd: Fd, state: u8) -> Sys<()> {
    while tcp_state(fd)? != state {
        // The other side's acknowledgment may be delayed by 40 ms.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Ok(())
}

/// Waits until all that was written was acknowledged, which takes 40 ms at most.
pub fn until_acknowledged(fd: Fd) -> Sys<()> {
    let mut left: i32 = 1;
    while left != 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        let address = &raw mut left as i64;
        raw("ioctl", libc::SYS_ioctl, [fd.into(), libc::TIOCOUTQ as i64, address, 0, 0, 0])?;
    }
    Ok(())
}

/// A write that fails with EPIPE and raises SIGPIPE (T-40, T-41).
pub fn write_is_epipe(fd: Fd) -> Check {
    signal::handle(libc::SIGPIPE, 0)?;
    let before = signal::logged().len();
    fails!(write(fd, b"x"), libc::EPIPE);
    same!(signal::logged().len(), before + 1, "deliveries of SIGPIPE");
    Ok(())
}

/// A child that accepts one connection, prepares it with `prepare`, and then sleeps until it is
/// killed. Returns the child and our end of the connection, after `prepare`.
pub fn victim(prepare: impl FnOnce(Fd) -> Result<(), String>) -> Result<(Pid, Fd), String> {
    victim_with(|_| Ok(()), prepare)
}

/// As `victim`; `before` acts on our end after connect and before `prepare` acts on the victim's.
pub fn victim_with(
    before: impl FnOnce(Fd) -> Result<(), String>,
    prepare: impl FnOnce(Fd) -> Result<(), String>,
) -> Result<(Pid, Fd), String> {
    let (listener, port) = listener(1)?;
    let (ready, done) = (Gate::new()?, Gate::new()?);
    let child = fork(|| {
        let body = || -> Result<(), String> {
            let connection = accept(listener)?;
            close(listener)?;
            ready.wait()?;
            prepare(connection)?;
            done.open()?;
            pause_for_ever()
        };
        body().map_or_else(
            |why| {
                eprintln!("victim: {why}");
                99
            },
            |()| 0,
        )
    })?;
    close(listener)?;
    let near = dial(port)?;
    before(near)?;
    ready.open()?;
    done.wait()?;
    Ok((child, near))
}

/// A failure in words that does not come from a call.
pub fn errno_of<T>(result: Sys<T>) -> i32 {
    result.err().map_or(0, |Failed { errno, .. }| errno)
}

/// Goes into a network namespace of one's own, with the settings that a kernel boots with and a
/// loopback that is up, so that nothing of the machine changes. Where such a one has no internet
/// sockets (in afterlife, whose hosts are nobody else's) this process stays where it is.
///
/// # Errors
/// Why there is none.
pub fn own_settings() -> Result<(), String> {
    let before = crate::sys::open(std::path::Path::new("/proc/self/ns/net"), libc::O_RDONLY, 0)?;
    let new = i64::from(libc::CLONE_NEWNET);
    raw("unshare", libc::SYS_unshare, [new, 0, 0, 0, 0, 0]).map_err(String::from)?;
    let fd = match socket(libc::AF_INET, libc::SOCK_DGRAM) {
        Ok(fd) => fd,
        Err(failed) if failed.errno == libc::EAFNOSUPPORT => {
            raw("setns", libc::SYS_setns, [before.into(), new, 0, 0, 0, 0])?;
            return Ok(close(before)?);
        }
        Err(failed) => return Err(failed.into()),
    };
    // struct ifreq: a name of 16 bytes, then the flags.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&((libc::IFF_UP | libc::IFF_RUNNING) as u16).to_ne_bytes());
    let address = request.as_mut_ptr() as i64;
    raw("ioctl", libc::SYS_ioctl, [fd.into(), libc::SIOCSIFFLAGS as i64, address, 0, 0, 0])?;
    close(fd)?;
    Ok(close(before)?)
}

/// Reads a setting under /proc/sys.
pub fn sysctl(name: &str) -> Result<String, String> {
    let path = format!("/proc/sys/{name}");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.trim_end().replace('\t', " "))
}

/// Writes a setting under /proc/sys.
pub fn set_sysctl(name: &str, value: &str) -> Check {
    let path = format!("/proc/sys/{name}");
    std::fs::write(&path, value).map_err(|error| format!("{path}: {error}"))
}

/// No ::1 here?
pub fn has_no_ipv6() -> bool {
    let bound = socket(libc::AF_INET6, libc::SOCK_DGRAM).and_then(|fd| {
        let bound = bind_bytes(fd, &address6(Ipv6Addr::LOCALHOST, 0));
        close(fd).and(bound)
    });
    bound.is_err()
}
