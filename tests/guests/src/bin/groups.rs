//! SO_REUSEPORT: sockets that share an address and port, who gets what comes, what happens to the
//! connections of one that leaves, and which ports are given out. socket(7), ip(7); rules T-34, T-35,
//! T-38, T-59. Settings are changed in a network namespace of one's own; who may not make one passes
//! those cases without a word. Over loopback.

use guests::net::{
    accept, bind, connect, dial, errno_of, listen, loopback, own_settings, port, recv, send,
    set_option, set_sysctl, socket, until_hung_up, until_readable,
};
use guests::sys::{Fd, Sys, close, poll_bits, poll_one, write};
use guests::{Check, cases, ensure, fails, same};
use libc::{AF_INET, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ECONNRESET, MSG_DONTWAIT, POLLIN};
use libc::{SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

cases! {
    listeners_of_a_group_share_the_connections,
    datagrams_of_one_peer_meet_one_socket,
    a_connected_socket_takes_what_its_peer_sends,
    of_two_with_so_reuseaddr_the_later_gets_the_datagrams,
    who_came_without_the_option_is_no_member,
    queued_connections_die_with_their_listener,
    queued_connections_move_if_tcp_migrate_req_says_so,
    ephemeral_ports_come_from_the_range,
    a_range_that_is_used_up_is_told,
}

fn member(kind: i32, at: u16, option: i32) -> Sys<Fd> {
    let fd = socket(AF_INET, kind)?;
    set_option(fd, SOL_SOCKET, option, 1)?;
    bind(fd, &loopback(at))?;
    if kind == SOCK_STREAM {
        listen(fd, 128)?;
    }
    Ok(fd)
}

/// Three listeners on one port.
fn listeners() -> Sys<([Fd; 3], u16)> {
    let first = member(SOCK_STREAM, 0, SO_REUSEPORT)?;
    let at = port(first)?;
    let next = || member(SOCK_STREAM, at, SO_REUSEPORT);
    Ok(([first, next()?, next()?], at))
}

/// Accepts all that are queued; how many.
fn accept_all(fd: Fd) -> Sys<usize> {
    let mut count = 0;
    while poll_bits(fd)? & POLLIN != 0 {
        accept(fd)?;
        count += 1;
    }
    Ok(count)
}

/// With 64 peers the chance that one of three gets nobody is one in 10¹¹.
fn listeners_of_a_group_share_the_connections() -> Check {
    let (group, at) = listeners()?;
    for _ in 0..64 {
        dial(at)?;
    }
    let mut counts = Vec::new();
    for fd in group {
        counts.push(accept_all(fd)?);
    }
    same!(counts.iter().sum::<usize>(), 64, "all together of {counts:?}");
    ensure!(counts.iter().all(|count| *count > 0), "each gets some: {counts:?}");
    Ok(())
}

fn datagrams_of_one_peer_meet_one_socket() -> Check {
    let first = member(SOCK_DGRAM, 0, SO_REUSEPORT)?;
    let at = port(first)?;
    let second = member(SOCK_DGRAM, at, SO_REUSEPORT)?;
    let mut got = [0, 0];
    for _ in 0..64 {
        let peer = socket(AF_INET, SOCK_DGRAM)?;
        connect(peer, &loopback(at))?;
        for text in [b"one", b"two"] {
            write(peer, text)?;
        }
        let number = usize::from(poll_bits(first)? & POLLIN == 0);
        let fd = [first, second][number];
        same!(recv(fd, 9, 0)?, b"one", "the first datagram");
        same!(recv(fd, 9, MSG_DONTWAIT)?, b"two", "the second at the same socket");
        got[number] += 1;
    }
    ensure!(got[0] > 0 && got[1] > 0, "each gets some: {got:?}");
    Ok(())
}

fn a_connected_socket_takes_what_its_peer_sends() -> Check {
    let first = member(SOCK_DGRAM, 0, SO_REUSEPORT)?;
    let at = port(first)?;
    let others = [member(SOCK_DGRAM, at, SO_REUSEPORT)?, member(SOCK_DGRAM, at, SO_REUSEPORT)?];
    for _ in 0..8 {
        let peer = socket(AF_INET, SOCK_DGRAM)?;
        connect(peer, &loopback(at))?;
        connect(others[0], &loopback(port(peer)?))?;
        write(peer, b"x")?;
        same!(recv(others[0], 9, MSG_DONTWAIT)?, b"x", "at the connected one");
    }
    Ok(())
}

fn of_two_with_so_reuseaddr_the_later_gets_the_datagrams() -> Check {
    let first = member(SOCK_DGRAM, 0, SO_REUSEADDR)?;
    let at = port(first)?;
    // A number that was free before the first is no earlier than it.
    let second = member(SOCK_DGRAM, at, SO_REUSEADDR)?;
    let peer = socket(AF_INET, SOCK_DGRAM)?;
    connect(peer, &loopback(at))?;
    write(peer, b"x")?;
    same!(recv(second, 9, MSG_DONTWAIT)?, b"x", "the later one");
    close(second)?;
    write(peer, b"y")?;
    same!(recv(first, 9, MSG_DONTWAIT)?, b"y", "the one that is left");
    Ok(())
}

fn who_came_without_the_option_is_no_member() -> Check {
    let (_, at) = listeners()?;
    let other = socket(AF_INET, SOCK_STREAM)?;
    fails!(bind(other, &loopback(at)), EADDRINUSE);
    set_option(other, SOL_SOCKET, SO_REUSEADDR, 1)?;
    fails!(bind(other, &loopback(at)), EADDRINUSE);
    set_option(other, SOL_SOCKET, SO_REUSEPORT, 1)?;
    bind(other, &loopback(at))?;
    Ok(())
}

/// Clients whose connections were reset; the others are unharmed.
fn reset_among(clients: &[Fd]) -> Result<usize, String> {
    let mut count = 0;
    for fd in clients {
        match recv(*fd, 1, MSG_DONTWAIT).map_err(|failed| failed.errno) {
            Err(ECONNRESET) => count += 1,
            Err(EAGAIN) => {}
            other => return Err(format!("recv: {other:?}")),
        }
    }
    Ok(count)
}

/// T-34: those of the others stay, those to come go to the others.
fn queued_connections_die_with_their_listener() -> Check {
    // Else with the settings of the machine, which nobody changes.
    let _ = own_settings();
    let ([left, right, third], at) = listeners()?;
    close(third)?;
    let clients: Vec<Fd> = (0..64).map(|_| dial(at)).collect::<Sys<_>>()?;
    close(left)?;
    let reset = reset_among(&clients)?;
    let late: Vec<Fd> = (0..16).map(|_| dial(at)).collect::<Sys<_>>()?;
    same!(accept_all(right)?, 64 - reset + 16, "accepted by the one that is left");
    ensure!((1..64).contains(&reset), "{reset} were reset");
    same!(reset_among(&late)?, 0, "late ones that were reset");
    Ok(())
}

/// T-34, the exception: in the order of their handshakes, with what they sent.
fn queued_connections_move_if_tcp_migrate_req_says_so() -> Check {
    if own_settings().is_err() {
        return Ok(());
    }
    set_sysctl("net/ipv4/tcp_migrate_req", "1")?;
    let ([left, right, third], at) = listeners()?;
    close(third)?;
    let clients: Vec<Fd> = (0..64).map(|_| dial(at)).collect::<Sys<_>>()?;
    for fd in &clients {
        send(*fd, b"hello", 0)?;
    }
    close(left)?;
    same!(reset_among(&clients)?, 0, "reset");
    for _ in 0..64 {
        let served = accept(right)?;
        until_readable(served)?;
        same!(recv(served, 9, 0)?, b"hello", "what was sent to the other");
    }
    close(right)?;
    let last = socket(AF_INET, SOCK_STREAM)?;
    same!(errno_of(connect(last, &loopback(at))), libc::ECONNREFUSED, "nobody is left");
    let ([only, second, third], at) = listeners()?;
    close(second)?;
    close(third)?;
    let client = dial(at)?;
    close(only)?;
    until_hung_up(client)?;
    same!(reset_among(&[client])?, 1, "reset by the last one");
    Ok(())
}

fn ephemeral_ports_come_from_the_range() -> Check {
    if own_settings().is_err() {
        return Ok(());
    }
    set_sysctl("net/ipv4/ip_local_port_range", "40000 40019")?;
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        for _ in 0..20 {
            let fd = socket(AF_INET, kind)?;
            bind(fd, &loopback(0))?;
            let at = port(fd)?;
            ensure!((40_000..40_020).contains(&at), "bind chose {at}");
        }
        fails!(bind(socket(AF_INET, kind)?, &loopback(0)), EADDRINUSE);
    }
    Ok(())
}

/// Connections to two ports may share a port of ours, two to the same may not.
fn a_range_that_is_used_up_is_told() -> Check {
    if own_settings().is_err() {
        return Ok(());
    }
    let servers = [member(SOCK_STREAM, 0, SO_REUSEADDR)?, member(SOCK_STREAM, 0, SO_REUSEADDR)?];
    let ports = [port(servers[0])?, port(servers[1])?];
    // Away from those that were given to the servers.
    let low = if ports.iter().any(|at| *at < 50_000) { 55_000 } else { 40_000 };
    set_sysctl("net/ipv4/ip_local_port_range", &format!("{low} {}", low + 3))?;
    for at in ports {
        let mut ours = Vec::new();
        for _ in 0..4 {
            ours.push(port(dial(at)?)?);
        }
        ours.sort_unstable();
        same!(ours, (low..low + 4).collect::<Vec<u16>>(), "ports of the clients");
        fails!(dial(at), EADDRNOTAVAIL);
    }
    same!(poll_one(servers[0], POLLIN, 1000)?, POLLIN, "poll of a server");
    Ok(())
}
