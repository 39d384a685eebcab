//! IPv6 beside IPv4: sockets of AF_INET6, addresses of IPv4 seen through them, and who may be bound
//! beside whom. ipv6(7), RFC 3493. Where the machine has no ::1 every case says so and passes.

use guests::net::{
    accept, address6, bind_bytes, connect_bytes, connection, listen, loopback, option, recv, send,
    set_option, so_error,
};
use guests::net::{
    bind as bind4, connect as connect4, listener as listener4, port as port4, socket,
};
use guests::sys::{Fd, Sys, close, count, poll_one, small};
use guests::{Check, ensure, fails, same};
use libc::{AF_INET, AF_INET6, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, ECONNREFUSED};
use libc::{EINVAL, EMSGSIZE, ENETUNREACH, IPPROTO_IPV6, IPV6_V6ONLY, MSG_DONTWAIT, SO_DOMAIN};
use libc::{SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

guests::cases! {
    both_ends_have_their_addresses,
    dual_stack_listener_shows_mapped_peers,
    v6only_listener_is_not_there_for_ipv4,
    mapped_destination_goes_over_ipv4,
    v6only_socket_meets_no_mapped_address,
    bound_address_decides_over_v6only,
    families_of_both_ends_must_agree,
    no_address_means_this_host,
    addresses_must_be_ours_and_whole,
    freebind_takes_an_address_of_nobody,
    wildcards_conflict_unless_one_is_v6only,
    ipv4_goes_to_the_ipv4_listener_first,
    datagrams_come_from_both_families,
    datagram_to_nobody_is_refused_later,
    datagrams_have_a_greatest_size,
    connected_datagram_socket_has_names,
    options_read_back_what_was_set,
    segments_are_smaller_by_the_header,
    tables_show_them_apart,
}

const ANY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const ONE: Ipv6Addr = Ipv6Addr::LOCALHOST;

/// The address that 127.0.0.1 has for a socket of AF_INET6.
fn mapped() -> Ipv6Addr {
    Ipv4Addr::LOCALHOST.to_ipv6_mapped()
}

fn bind(fd: Fd, at: Ipv6Addr, port: u16) -> Sys<()> {
    bind_bytes(fd, &address6(at, port))
}

fn connect(fd: Fd, at: Ipv6Addr, port: u16) -> Sys<()> {
    connect_bytes(fd, &address6(at, port))
}

fn send_to(fd: Fd, bytes: &[u8], at: Ipv6Addr, port: u16) -> Sys<usize> {
    let to = address6(at, port);
    // SAFETY: valid bytes and address.
    count("sendto", unsafe {
        libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, to.as_ptr().cast(), 28)
    })
}

/// What getsockname(2) or one of its like says; the length that it gives is 28.
fn name(
    fd: Fd,
    call: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut u32) -> i32,
) -> Sys<SocketAddrV6> {
    let (mut bytes, mut length) = ([0; 28], 28);
    // SAFETY: room for an address of that length.
    small("getname", unsafe { call(fd, bytes.as_mut_ptr().cast(), &mut length) })?;
    Ok(address(&bytes, length))
}

fn address(bytes: &[u8; 28], length: u32) -> SocketAddrV6 {
    assert_eq!((length, bytes[0]), (28, AF_INET6 as u8), "length and family of an address");
    let ip: [u8; 16] = bytes[8..24].try_into().expect("16 bytes");
    SocketAddrV6::new(ip.into(), u16::from_be_bytes([bytes[2], bytes[3]]), 0, 0)
}

fn own(fd: Fd) -> Sys<SocketAddrV6> {
    name(fd, libc::getsockname)
}

fn own_ip(fd: Fd) -> Sys<Ipv6Addr> {
    own(fd).map(|name| *name.ip())
}

fn peer(fd: Fd) -> Sys<SocketAddrV6> {
    name(fd, libc::getpeername)
}

fn recv_from(fd: Fd) -> Sys<(Vec<u8>, SocketAddrV6)> {
    let (mut data, mut bytes, mut length) = ([0; 64], [0; 28], 28);
    // SAFETY: room for data and an address.
    let got = count("recvfrom", unsafe {
        let from = bytes.as_mut_ptr().cast();
        libc::recvfrom(fd, data.as_mut_ptr().cast(), 64, 0, from, &mut length)
    })?;
    Ok((data[..got].to_vec(), address(&bytes, length)))
}

/// A socket of AF_INET6 for both families or, with `only`, for IPv6.
fn six(kind: i32, only: bool) -> Sys<Fd> {
    let fd = socket(AF_INET6, kind)?;
    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, i32::from(only))?;
    Ok(fd)
}

fn listener(at: Ipv6Addr, port: u16, only: bool) -> Sys<(Fd, u16)> {
    let fd = six(SOCK_STREAM, only)?;
    bind(fd, at, port)?;
    listen(fd, 4)?;
    Ok((fd, own(fd)?.port()))
}

/// No ::1 here?
fn absent() -> bool {
    let bound = socket(AF_INET6, SOCK_DGRAM).and_then(|fd| {
        let bound = bind(fd, ONE, 0);
        close(fd).and(bound)
    });
    if bound.is_err() {
        eprintln!("skipped: there is no ::1 here");
    }
    bound.is_err()
}

/// A port that nobody has in either family, outside of the range from which others are given some.
fn free_port() -> Sys<u16> {
    let first = 10_000 + (std::process::id() % 20_000) as u16;
    for port in first..32_000 {
        let (stream, datagram) = (six(SOCK_STREAM, false)?, six(SOCK_DGRAM, false)?);
        let taken = bind(stream, ANY, port).is_err() || bind(datagram, ANY, port).is_err();
        close(stream)?;
        close(datagram)?;
        if !taken {
            return Ok(port);
        }
    }
    panic!("all ports are taken");
}

fn both_ends_have_their_addresses() -> Check {
    if absent() {
        return Ok(());
    }
    let (server, port) = listener(ONE, 0, false)?;
    let near = six(SOCK_STREAM, false)?;
    same!(own(near)?, SocketAddrV6::new(ANY, 0, 0, 0), "the name of a new socket");
    connect(near, ONE, port)?;
    let (mut bytes, mut length) = ([0; 28], 8);
    // SAFETY: room for more than the 8 bytes that are asked for.
    let far =
        small("accept", unsafe { libc::accept(server, bytes.as_mut_ptr().cast(), &mut length) })?;
    same!((length, &bytes[8..]), (28, &[0; 20][..]), "length, and what is beyond the room");
    same!(peer(near)?, SocketAddrV6::new(ONE, port, 0, 0), "the server, to the client");
    same!(own(far)?, peer(near)?, "the server, to itself");
    same!(peer(far)?, own(near)?, "the client, to the server");
    same!(own_ip(near)?, ONE, "the client");
    for fd in [near, far] {
        same!(option(fd, SOL_SOCKET, SO_DOMAIN)?, AF_INET6, "SO_DOMAIN");
    }
    send(near, b"there", 0)?;
    same!(recv(far, 64, 0)?, b"there", "received");
    send(far, b"back", 0)?;
    same!(recv(near, 64, 0)?, b"back", "received");
    Ok(())
}

fn dual_stack_listener_shows_mapped_peers() -> Check {
    if absent() {
        return Ok(());
    }
    let (server, port) = listener(ANY, 0, false)?;
    let near = socket(AF_INET, SOCK_STREAM)?;
    connect4(near, &loopback(port))?;
    let far = accept(server)?;
    same!(own(far)?, SocketAddrV6::new(mapped(), port, 0, 0), "our end");
    same!(peer(far)?, SocketAddrV6::new(mapped(), port4(near)?, 0, 0), "the other end");
    same!(option(far, SOL_SOCKET, SO_DOMAIN)?, AF_INET6, "SO_DOMAIN");
    same!(option(far, IPPROTO_IPV6, IPV6_V6ONLY)?, 0, "IPV6_V6ONLY");
    send(near, b"x", 0)?;
    same!(recv(far, 8, 0)?, b"x", "received");
    Ok(())
}

fn v6only_listener_is_not_there_for_ipv4() -> Check {
    if absent() {
        return Ok(());
    }
    let (_, port) = listener(ANY, free_port()?, true)?;
    fails!(connect4(socket(AF_INET, SOCK_STREAM)?, &loopback(port)), ECONNREFUSED);
    connect(six(SOCK_STREAM, false)?, ONE, port)?;
    Ok(())
}

fn mapped_destination_goes_over_ipv4() -> Check {
    if absent() {
        return Ok(());
    }
    let (server, port) = listener4(1)?;
    let near = six(SOCK_STREAM, false)?;
    connect(near, mapped(), port)?;
    let far = accept(server)?;
    same!(own_ip(near)?, mapped(), "our end");
    same!(peer(near)?, SocketAddrV6::new(mapped(), port, 0, 0), "the other end");
    same!(guests::net::name(far, true)?.sin_port.to_be(), own(near)?.port(), "our port, to them");
    Ok(())
}

fn v6only_socket_meets_no_mapped_address() -> Check {
    if absent() {
        return Ok(());
    }
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        fails!(connect(six(kind, true)?, mapped(), 9), ENETUNREACH);
        fails!(bind(six(kind, true)?, mapped(), 0), EINVAL);
        fails!(bind(six(kind, true)?, Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 0), EINVAL);
    }
    fails!(send_to(six(SOCK_DGRAM, true)?, b"x", mapped(), 9), ENETUNREACH);
    // An address of IPv4 as such is another error.
    fails!(connect4(six(SOCK_DGRAM, true)?, &loopback(9)), EAFNOSUPPORT);
    Ok(())
}

fn bound_address_decides_over_v6only() -> Check {
    if absent() {
        return Ok(());
    }
    for (at, only) in [(ANY, 0), (ONE, 1), (mapped(), 0)] {
        let fd = six(SOCK_STREAM, false)?;
        bind(fd, at, 0)?;
        same!(own_ip(fd)?, at, "the address");
        same!(option(fd, IPPROTO_IPV6, IPV6_V6ONLY)?, only, "IPV6_V6ONLY on {at}");
        fails!(set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0_i32), EINVAL);
    }
    Ok(())
}

fn families_of_both_ends_must_agree() -> Check {
    if absent() {
        return Ok(());
    }
    let four = |fd: Fd, length: usize| {
        let mut bytes = [0; 28];
        bytes[0] = AF_INET as u8;
        bytes[4..8].copy_from_slice(&[127, 0, 0, 1]);
        (connect_bytes(fd, &bytes[..length]), bind_bytes(fd, &bytes[..length]))
    };
    for (length, errno) in [(16, EINVAL), (28, EAFNOSUPPORT)] {
        let (connected, bound) = four(six(SOCK_STREAM, false)?, length);
        fails!(connected, errno);
        fails!(bound, errno);
    }
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = socket(AF_INET, kind)?;
        fails!(bind(fd, ONE, 0), EAFNOSUPPORT);
        fails!(connect(fd, ONE, 9), EAFNOSUPPORT);
        let fd = six(kind, false)?;
        bind(fd, ONE, 0)?;
        fails!(connect(fd, mapped(), 9), ENETUNREACH);
        let fd = six(kind, false)?;
        bind(fd, mapped(), 0)?;
        fails!(connect(fd, ONE, 9), EAFNOSUPPORT);
    }
    Ok(())
}

fn no_address_means_this_host() -> Check {
    if absent() {
        return Ok(());
    }
    let (_, port) = listener(ANY, 0, false)?;
    let none = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
    for (bound, to, got) in [(ANY, ANY, ONE), (ANY, none, mapped()), (mapped(), ANY, mapped())] {
        let fd = six(SOCK_STREAM, false)?;
        bind(fd, bound, 0)?;
        connect(fd, to, port)?;
        same!(peer(fd)?, SocketAddrV6::new(got, port, 0, 0), "{to} from {bound}");
        same!(own_ip(fd)?, got, "our own, {to} from {bound}");
    }
    Ok(())
}

fn addresses_must_be_ours_and_whole() -> Check {
    if absent() {
        return Ok(());
    }
    let foreign: Ipv6Addr = "2001:db8::1".parse().expect("an address");
    let local: Ipv6Addr = "fe80::1".parse().expect("an address");
    let many: Ipv6Addr = "ff02::1".parse().expect("an address");
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = six(kind, false)?;
        fails!(bind(fd, foreign, 0), EADDRNOTAVAIL);
        // A link-local address needs its interface.
        fails!(bind(fd, local, 0), EINVAL);
        fails!(connect(six(kind, false)?, local, 9), EINVAL);
        fails!(bind_bytes(fd, &address6(ONE, 0)[..23]), EINVAL);
        fails!(connect_bytes(six(kind, false)?, &address6(ONE, 9)[..23]), EINVAL);
        // RFC 2133 knew no sin6_scope_id.
        bind_bytes(fd, &address6(ONE, 0)[..24])?;
        fails!(bind(fd, ONE, 0), EINVAL);
    }
    let fd = six(SOCK_STREAM, false)?;
    fails!(bind(fd, many, 0), EINVAL);
    fails!(connect(fd, many, 9), ENETUNREACH);
    Ok(())
}

/// ip(7), IP_FREEBIND.
fn freebind_takes_an_address_of_nobody() -> Check {
    let fd = socket(libc::AF_INET, SOCK_STREAM)?;
    let mut nobody = loopback(0);
    // TEST-NET-3 (RFC 5737).
    nobody.sin_addr.s_addr = u32::from(Ipv4Addr::new(203, 0, 113, 9)).to_be();
    let all = std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind").unwrap_or_default();
    if all.trim() != "1" {
        fails!(bind4(fd, &nobody), EADDRNOTAVAIL);
    }
    same!(option(fd, libc::IPPROTO_IP, libc::IP_FREEBIND)?, 0, "at first");
    set_option(fd, libc::IPPROTO_IP, libc::IP_FREEBIND, 1)?;
    same!(option(fd, libc::IPPROTO_IP, libc::IP_FREEBIND)?, 1, "when it is set");
    bind4(fd, &nobody)?;
    listen(fd, 1)?;
    Ok(())
}

/// Which of two sockets excludes the other: 0.0.0.0, 127.0.0.1, ::, :: for IPv6 only, ::1,
/// ::ffff:127.0.0.1.
fn wildcards_conflict_unless_one_is_v6only() -> Check {
    if absent() {
        return Ok(());
    }
    let port = free_port()?;
    let none = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
    // Plain ones are of AF_INET; then the address, and whether it is for IPv6 only.
    let all = [
        (true, none, false),
        (true, mapped(), false),
        (false, ANY, false),
        (false, ANY, true),
        (false, ONE, false),
        (false, mapped(), false),
    ];
    let meet = |a: (bool, Ipv6Addr, bool), b: (bool, Ipv6Addr, bool)| match (a.1, b.1) {
        (x, y) if x.to_ipv4_mapped().is_some() == y.to_ipv4_mapped().is_some() => {
            x == y || [x, y].iter().any(|it| [ANY, none].contains(it))
        }
        (x, _) if x.to_ipv4_mapped().is_none() => x == ANY && !a.2,
        (_, y) => y == ANY && !b.2,
    };
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        for (reuse, listens) in
            [(0, false), (SO_REUSEADDR, false), (SO_REUSEADDR, true), (SO_REUSEPORT, true)]
        {
            for (one, other) in all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b))) {
                let first = bound(kind, one, port, reuse)?;
                if listens && kind == SOCK_STREAM {
                    listen(first, 1)?;
                }
                let second = bound(kind, other, port, reuse);
                let shares = reuse == SO_REUSEPORT
                    || reuse == SO_REUSEADDR && !(listens && kind == SOCK_STREAM);
                if meet(one, other) && !shares {
                    fails!(second, EADDRINUSE);
                } else {
                    let second = second.map_err(|_| format!("{other:?} not beside {one:?}"))?;
                    close(second)?;
                }
                close(first)?;
            }
        }
    }
    Ok(())
}

fn bound(kind: i32, (four, at, only): (bool, Ipv6Addr, bool), port: u16, reuse: i32) -> Sys<Fd> {
    let fd = if four { socket(AF_INET, kind)? } else { six(kind, only)? };
    if reuse != 0 {
        set_option(fd, SOL_SOCKET, reuse, 1_i32)?;
    }
    let bound = if four {
        let mut address = loopback(port);
        let octets = at.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
        address.sin_addr.s_addr = u32::from_ne_bytes(octets);
        bind4(fd, &address)
    } else {
        bind(fd, at, port)
    };
    bound.inspect_err(|_| close(fd).expect("it is open")).map(|()| fd)
}

fn ipv4_goes_to_the_ipv4_listener_first() -> Check {
    if absent() {
        return Ok(());
    }
    let port = free_port()?;
    let none = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
    let dual = bound(SOCK_STREAM, (false, ANY, false), port, SO_REUSEPORT)?;
    let four = bound(SOCK_STREAM, (true, none, false), port, SO_REUSEPORT)?;
    listen(dual, 1)?;
    listen(four, 1)?;
    let near = six(SOCK_STREAM, false)?;
    connect(near, mapped(), port)?;
    same!(guests::net::name(accept(four)?, true)?.sin_port.to_be(), own(near)?.port(), "its port");
    let near = six(SOCK_STREAM, false)?;
    connect(near, ONE, port)?;
    same!(peer(accept(dual)?)?, own(near)?, "whom the other accepts");
    Ok(())
}

fn datagrams_come_from_both_families() -> Check {
    if absent() {
        return Ok(());
    }
    let server = six(SOCK_DGRAM, false)?;
    bind(server, ANY, 0)?;
    let port = own(server)?.port();
    let near = six(SOCK_DGRAM, false)?;
    send_to(near, b"six", ONE, port)?;
    send_to(near, b"mapped", mapped(), port)?;
    let four = socket(AF_INET, SOCK_DGRAM)?;
    connect4(four, &loopback(port))?;
    send(four, b"four", 0)?;
    let from = own(near)?.port();
    same!(own_ip(near)?, ANY, "the sender's own name");
    let expected =
        [(&b"six"[..], ONE, from), (b"mapped", mapped(), from), (b"four", mapped(), port4(four)?)];
    for (bytes, ip, port) in expected {
        same!(recv_from(server)?, (bytes.to_vec(), SocketAddrV6::new(ip, port, 0, 0)), "received");
    }
    fails!(recv(server, 8, MSG_DONTWAIT), EAGAIN);
    Ok(())
}

fn datagram_to_nobody_is_refused_later() -> Check {
    if absent() {
        return Ok(());
    }
    let gone = six(SOCK_DGRAM, false)?;
    bind(gone, ANY, 0)?;
    let port = own(gone)?.port();
    let both = [six(SOCK_DGRAM, false)?, six(SOCK_DGRAM, false)?];
    connect(both[0], ONE, port)?;
    connect(both[1], mapped(), port)?;
    close(gone)?;
    for fd in both {
        send(fd, b"x", 0)?;
        poll_one(fd, 0, -1)?;
        same!(so_error(fd)?, ECONNREFUSED, "SO_ERROR");
    }
    Ok(())
}

fn datagrams_have_a_greatest_size() -> Check {
    if absent() {
        return Ok(());
    }
    let fd = six(SOCK_DGRAM, false)?;
    let bytes = vec![0; 65_528];
    same!(send_to(fd, &bytes[..65_527], ONE, 9)?, 65_527, "to IPv6");
    fails!(send_to(fd, &bytes, ONE, 9), EMSGSIZE);
    same!(send_to(fd, &bytes[..65_507], mapped(), 9)?, 65_507, "to IPv4");
    fails!(send_to(fd, &bytes[..65_508], mapped(), 9), EMSGSIZE);
    Ok(())
}

fn connected_datagram_socket_has_names() -> Check {
    if absent() {
        return Ok(());
    }
    for ip in [ONE, mapped()] {
        let fd = six(SOCK_DGRAM, false)?;
        connect(fd, ip, 9)?;
        same!(own_ip(fd)?, ip, "its own");
        ensure!(own(fd)?.port() != 0, "it has no port");
        same!(peer(fd)?, SocketAddrV6::new(ip, 9, 0, 0), "its peer");
    }
    Ok(())
}

fn options_read_back_what_was_set() -> Check {
    if absent() {
        return Ok(());
    }
    let of = |fd, name| option(fd, IPPROTO_IPV6, name);
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = socket(AF_INET6, kind)?;
        for (name, default, good, bad) in [
            (libc::IPV6_UNICAST_HOPS, 64, [0, 1, 255], [-2, 256]),
            (libc::IPV6_TCLASS, 0, [0, 0x10, 0xb8], [-2, 256]),
            (libc::IPV6_MTU_DISCOVER, 1, [0, 5, 1], [-1, 6]),
        ] {
            same!(of(fd, name)?, default, "the default of option {name}");
            for value in good {
                set_option(fd, IPPROTO_IPV6, name, value)?;
                same!(of(fd, name)?, value, "option {name}");
            }
            for value in bad {
                fails!(set_option(fd, IPPROTO_IPV6, name, value), EINVAL);
            }
            fails!(set_option(fd, IPPROTO_IPV6, name, 1_u8), EINVAL);
        }
        set_option(fd, IPPROTO_IPV6, libc::IPV6_TCLASS, 0xff)?;
        let ecn = if kind == SOCK_STREAM { 0xfc } else { 0xff };
        same!(of(fd, libc::IPV6_TCLASS)?, ecn, "IPV6_TCLASS with the bits of ECN");
        set_option(fd, IPPROTO_IPV6, libc::IPV6_TCLASS, -1)?;
        same!(of(fd, libc::IPV6_TCLASS)? & 0xfc, 0, "IPV6_TCLASS, taken back");
        // What it has of IPv4 is its own.
        set_option(fd, libc::IPPROTO_IP, libc::IP_TOS, 0x10)?;
        same!(option(fd, libc::IPPROTO_IP, libc::IP_TOS)?, 0x10, "IP_TOS");
        fails!(of(socket(AF_INET, kind)?, libc::IPV6_TCLASS), libc::EOPNOTSUPP);
    }
    Ok(())
}

/// The segment size that the loopback allows, 20 bytes less for IPv6 and 40 more than IPv4's packets.
fn segments_are_smaller_by_the_header() -> Check {
    if absent() {
        return Ok(());
    }
    let (server, port) = listener(ONE, 0, false)?;
    let near = six(SOCK_STREAM, false)?;
    connect(near, ONE, port)?;
    accept(server)?;
    let advmss = |fd: Fd| -> Sys<u32> {
        let (mut info, mut length) = ([0_u8; 104], 104_u32);
        // SAFETY: that many bytes of room.
        small("getsockopt", unsafe {
            let to = info.as_mut_ptr().cast();
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, to, &mut length)
        })?;
        Ok(u32::from_ne_bytes(info[84..88].try_into().expect("4 bytes")))
    };
    let (four, _) = connection()?;
    let mtu = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap_or_default();
    if mtu.trim().parse() == Ok(65_536) || mtu.is_empty() {
        same!((advmss(near)?, advmss(four)?), (65_476 - 12, 65_495 - 12), "the sizes");
    }
    Ok(())
}

fn tables_show_them_apart() -> Check {
    if absent() {
        return Ok(());
    }
    let (server, port) = listener(ANY, 0, false)?;
    let near = socket(AF_INET, SOCK_STREAM)?;
    connect4(near, &loopback(port))?;
    let far = accept(server)?;
    let line = |table: &str, local: &str, remote: &str| {
        let text = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        text.contains(&format!(" {local} {remote} "))
    };
    let zeroes = "00000000000000000000000000000000";
    let mapped = "0000000000000000FFFF00000100007F";
    let other = peer(far)?.port();
    ensure!(
        line("tcp6", &format!("{zeroes}:{port:04X}"), &format!("{zeroes}:0000")),
        "no listener"
    );
    let [a, b] = [format!("{mapped}:{port:04X}"), format!("{mapped}:{other:04X}")];
    ensure!(line("tcp6", &a, &b), "the accepted one is not in tcp6");
    ensure!(!line("tcp6", &b, &a), "the one of AF_INET is in tcp6");
    let [a, b] = [format!("0100007F:{port:04X}"), format!("0100007F:{other:04X}")];
    ensure!(line("tcp", &b, &a), "the one of AF_INET is not in tcp");
    ensure!(!line("tcp", &a, &b), "the accepted one is in tcp");
    let datagram = six(SOCK_DGRAM, false)?;
    bind(datagram, ONE, 0)?;
    let port = own(datagram)?.port();
    let local = format!("00000000000000000000000001000000:{port:04X}");
    ensure!(line("udp6", &local, &format!("{zeroes}:0000")), "no datagram socket");
    Ok(())
}
