//! What an internet socket is called: what bind(2) chose stays, what connect(2) or the first datagram
//! added goes again when connect(2) to AF_UNSPEC ends the connection. ip(7), udp(7), connect(2). Over
//! loopback.

use guests::net::{
    accept, bind, bind_bytes, connect, connect_bytes, dial, errno_of, listener, loopback, name,
    own_settings, port, set_option, socket,
};
use guests::sys::{Fd, Sys, close, read, write};
use guests::{Check, cases, ensure, fails, same};
use libc::{AF_INET, AF_INET6, EADDRNOTAVAIL, ECONNREFUSED, EINVAL, ENOTCONN};
use libc::{SOCK_DGRAM, SOCK_STREAM};

cases! {
    a_datagram_socket_keeps_what_bind_chose,
    a_stream_socket_keeps_its_port_in_name_only,
    a_port_that_nobody_chose_is_free_again,
    a_refused_connection_leaves_no_port,
    many_at_once_may_be_bound_to,
    who_speaks_to_many_at_once,
    a_client_that_chose_its_port_takes_over_its_time_wait,
}

/// connect(2) to AF_UNSPEC.
fn unspec(fd: Fd) -> Sys<()> {
    connect_bytes(fd, &[0; 16])
}

/// Address and port as getsockname(2) tells them, in host order.
fn called(fd: Fd) -> Sys<(u32, u16)> {
    let name = name(fd, false)?;
    Ok((u32::from_be(name.sin_addr.s_addr), u16::from_be(name.sin_port)))
}

const LO: u32 = 0x7f00_0001;

/// 0.0.0.0 or 127.0.0.1 and a port.
fn at(ip: u32, port: u16) -> libc::sockaddr_in {
    let mut address = loopback(port);
    address.sin_addr.s_addr = ip.to_be();
    address
}

/// Binds to a free port of those that are not given out by themselves.
fn bind_somewhere(fd: Fd, ip: u32) -> Sys<u16> {
    let first = 10_000 + (std::process::id() % 20_000) as u16;
    let mut tried = (first..32_000).map(|number| (number, bind(fd, &at(ip, number))));
    let bound =
        tried.find(|(_, bound)| !matches!(bound, Err(why) if why.errno == libc::EADDRINUSE));
    let (number, bound) = bound.expect("a free port");
    bound.map(|()| number)
}

fn a_datagram_socket_keeps_what_bind_chose() -> Check {
    let server = socket(AF_INET, SOCK_DGRAM)?;
    bind(server, &loopback(0))?;
    let there = loopback(port(server)?);
    for ip in [None, Some(0), Some(LO)] {
        for chosen in [false, true] {
            let fd = socket(AF_INET, SOCK_DGRAM)?;
            let number = match (ip, chosen) {
                (Some(ip), true) => bind_somewhere(fd, ip)?,
                (Some(ip), false) => bind(fd, &at(ip, 0)).map(|()| 0)?,
                (None, true) => continue,
                (None, false) => 0,
            };
            let before = called(fd)?;
            connect(fd, &there)?;
            same!(called(fd)?.0, LO, "connected, bound to {ip:?} and {number}");
            ensure!(before.1 == 0 || called(fd)?.1 == before.1, "its port is what it was");
            unspec(fd)?;
            let wanted = (ip.unwrap_or(0), number);
            same!(called(fd)?, wanted, "disconnected, bound to {ip:?} and {number}");
            fails!(name(fd, true), ENOTCONN);
            // Without a port it may be bound again.
            let errno = errno_of(bind(fd, &loopback(0)));
            same!(errno, if chosen { EINVAL } else { 0 }, "bind again");
            connect(fd, &there)?;
            same!(called(fd)?.0, LO, "connected again");
        }
    }
    let fd = socket(AF_INET, SOCK_DGRAM)?;
    connect(fd, &there)?;
    write(fd, b"x")?;
    unspec(fd)?;
    fails!(write(fd, b"x"), libc::EDESTADDRREQ);
    Ok(())
}

fn a_stream_socket_keeps_its_port_in_name_only() -> Check {
    let (server, number) = listener(8)?;
    for ip in [None, Some(0), Some(LO)] {
        let fd = socket(AF_INET, SOCK_STREAM)?;
        if let Some(ip) = ip {
            bind(fd, &at(ip, 0))?;
        }
        connect(fd, &loopback(number))?;
        let first = called(fd)?;
        same!(first.0, LO, "connected, bound to {ip:?}");
        accept(server)?;
        unspec(fd)?;
        same!(called(fd)?, (ip.unwrap_or(0), first.1), "disconnected, bound to {ip:?}");
        connect(fd, &loopback(number))?;
        accept(server)?;
        same!(called(fd)?.0, LO, "connected again");
        unspec(fd)?;
        bind(fd, &loopback(0))?;
        ensure!(called(fd)?.1 != 0, "bound again");
    }
    let fd = socket(AF_INET, SOCK_STREAM)?;
    let chosen = bind_somewhere(fd, 0)?;
    connect(fd, &loopback(number))?;
    unspec(fd)?;
    same!(called(fd)?, (0, chosen), "a port that was chosen");
    fails!(bind(fd, &loopback(0)), EINVAL);
    connect(fd, &loopback(number))?;
    same!(called(fd)?, (LO, chosen), "and the next connection has it");
    Ok(())
}

fn a_port_that_nobody_chose_is_free_again() -> Check {
    // Where nobody else takes it.
    let _ = own_settings();
    let server = socket(AF_INET, SOCK_DGRAM)?;
    bind(server, &loopback(0))?;
    let fd = socket(AF_INET, SOCK_DGRAM)?;
    connect(fd, &loopback(port(server)?))?;
    let number = port(fd)?;
    unspec(fd)?;
    bind(socket(AF_INET, SOCK_DGRAM)?, &loopback(number))?;
    Ok(())
}

fn a_refused_connection_leaves_no_port() -> Check {
    let _ = own_settings();
    let (server, number) = listener(8)?;
    close(server)?;
    let fd = socket(AF_INET, SOCK_STREAM)?;
    fails!(connect(fd, &loopback(number)), ECONNREFUSED);
    let (ip, first) = called(fd)?;
    same!(ip, 0, "its address");
    let other = socket(AF_INET, SOCK_STREAM)?;
    bind(other, &loopback(first))?;
    fails!(connect(fd, &loopback(number)), ECONNREFUSED);
    ensure!(called(fd)?.1 != first, "another port the second time");
    fails!(dial(number), ECONNREFUSED);
    Ok(())
}

/// 224.0.0.1, 255.255.255.255, ff05::1; an address that only one link knows needs the link's number.
fn many_at_once_may_be_bound_to() -> Check {
    for (kind, ip) in [
        (SOCK_DGRAM, 0xe000_0001),
        (SOCK_STREAM, 0xe000_0001),
        (SOCK_DGRAM, u32::MAX),
        (SOCK_STREAM, u32::MAX),
    ] {
        let fd = socket(AF_INET, kind)?;
        bind(fd, &at(ip, 0))?;
        same!(called(fd)?.0, ip, "getsockname of kind {kind}");
    }
    fails!(bind(socket(AF_INET, SOCK_DGRAM)?, &at(0x0800_0808, 0)), EADDRNOTAVAIL);
    if guests::net::has_no_ipv6() {
        return Ok(());
    }
    let address = |text: &str| guests::net::address6(text.parse().expect("an address"), 0);
    bind_bytes(socket(AF_INET6, SOCK_DGRAM)?, &address("ff05::1"))?;
    bind_bytes(socket(AF_INET6, SOCK_DGRAM)?, &address("ff0e::1"))?;
    for (kind, text) in [(SOCK_STREAM, "ff05::1"), (SOCK_DGRAM, "ff02::1"), (SOCK_DGRAM, "fe80::1")]
    {
        fails!(bind_bytes(socket(AF_INET6, kind)?, &address(text)), EINVAL);
    }
    Ok(())
}

/// No stream goes to many; a datagram to all of a network only with SO_BROADCAST.
fn who_speaks_to_many_at_once() -> Check {
    for ip in [0xe000_0001, u32::MAX, 0x7fff_ffff] {
        fails!(connect(socket(AF_INET, SOCK_STREAM)?, &at(ip, 9)), libc::ENETUNREACH);
    }
    let fd = socket(AF_INET, SOCK_DGRAM)?;
    fails!(connect(fd, &at(0x7fff_ffff, 9)), libc::EACCES);
    set_option(fd, libc::SOL_SOCKET, libc::SO_BROADCAST, 1)?;
    connect(fd, &at(0x7fff_ffff, 9))?;
    same!(called(fd)?.0, LO, "its own address");
    Ok(())
}

/// T-59 on the other side: connect(2) from the port that the last connection to the same server had. The
/// old one has to have timestamps, and both sockets SO_REUSEADDR; without that bind(2) says no.
fn a_client_that_chose_its_port_takes_over_its_time_wait() -> Check {
    let (server, number) = listener(8)?;
    let first = socket(AF_INET, SOCK_STREAM)?;
    set_option(first, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let chosen = bind_somewhere(first, LO)?;
    connect(first, &loopback(number))?;
    let mut served = accept(server)?;
    let mut client = first;
    for _ in 0..3 {
        close(client)?;
        same!(read(served, 1)?, b"", "the end of the last one");
        close(served)?;
        fails!(bind(socket(AF_INET, SOCK_STREAM)?, &loopback(chosen)), libc::EADDRINUSE);
        client = socket(AF_INET, SOCK_STREAM)?;
        set_option(client, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        bind(client, &loopback(chosen))?;
        connect(client, &loopback(number))?;
        served = accept(server)?;
        write(client, b"x")?;
        same!(read(served, 9)?, b"x", "over the new one");
    }
    // But not from under one that lives.
    let other = socket(AF_INET, SOCK_STREAM)?;
    set_option(other, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    bind(other, &loopback(chosen))?;
    fails!(connect(other, &loopback(number)), EADDRNOTAVAIL);
    Ok(())
}
