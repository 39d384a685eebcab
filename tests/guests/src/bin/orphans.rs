//! What is left of a connection whose last descriptor is gone: how /proc/net/tcp shows it, who has
//! its port, who waits for it with SO_LINGER when it is not close(2) that closes, and how long its
//! network namespace lives. Rules T-4, T-33, T-38 and P-15 of docs/linux-semantics.md. Over loopback.

use guests::net::{
    accept, bind, bind_bytes, connect_bytes, connection, dial, errno_of, linger, listen, listener,
    loopback, own_settings, port, send, set_option, shutdown, socket, tcp_state, until_readable,
    until_state,
};
use guests::process::{exec_self, fork_check, kill_and_wait, pause_for_ever, wait_ok};
use guests::sys::{Fd, Sys, close, drain, dup2, fcntl, monotonic, poll_bits, raw, read, write};
use guests::{Check, cases, ensure, same};
use libc::{MSG_DONTWAIT, POLLIN, POLLOUT, SHUT_WR};
use std::path::Path;

cases! {
    dup2_over_a_lingering_socket_waits,
    close_range_waits_for_each_lingering_socket,
    exec_waits_for_what_it_closes,
    end_of_a_blocked_call_waits_for_the_socket_that_it_held,
    orphan_has_its_owner_and_no_inode,
    mini_socket_has_neither_owner_nor_inode,
    queued_connection_has_no_inode_and_the_listener_counts_it,
    orphan_holds_its_port,
    listener_lives_as_long_as_its_last_holder,
    connections_of_others_outlive_the_listener,
    a_network_namespace_lives_as_long_as_its_last_socket;
    then after_exec,
}

/// Our end with its peer's room full and SO_LINGER of a second, and the bytes that were taken.
fn blocked() -> Result<(Fd, Fd, usize), String> {
    let (near, far) = connection()?;
    set_option(near, libc::SOL_SOCKET, libc::SO_SNDBUF, 65_536)?;
    let mut sent = 0;
    while let Ok(length) = send(near, &[b'd'; 4096], MSG_DONTWAIT) {
        sent += length;
    }
    linger(near, 1)?;
    Ok((near, far, sent))
}

/// All that was taken arrives, then the end.
fn arrives(far: Fd, sent: usize) -> Check {
    let (got, end) = drain(far);
    end?;
    same!(got.len(), sent, "bytes before the end");
    Ok(())
}

fn since(before: u64) -> u64 {
    (monotonic() - before) / 1_000_000
}

/// T-4: and the call's result is what it would have been.
fn dup2_over_a_lingering_socket_waits() -> Check {
    let (near, far, sent) = blocked()?;
    let before = monotonic();
    same!(dup2(0, near)?, near, "dup2");
    let took = since(before);
    ensure!((990..1900).contains(&took), "dup2 took {took} ms");
    arrives(far, sent)
}

/// T-4: one after the other; the second one's FIN leaves only when the first one is waited for.
fn close_range_waits_for_each_lingering_socket() -> Check {
    let (first, first_far, first_sent) = blocked()?;
    let (second, second_far, second_sent) = blocked()?;
    fcntl(first, libc::F_SETFD, 0)?;
    let (low, high) = (100, 101);
    dup2(first, low)?;
    dup2(second, high)?;
    close(first)?;
    close(second)?;
    let before = monotonic();
    raw("close_range", libc::SYS_close_range, [low.into(), high.into(), 0, 0, 0, 0])?;
    let took = since(before);
    ensure!((1980..3800).contains(&took), "close_range took {took} ms");
    arrives(first_far, first_sent)?;
    arrives(second_far, second_sent)
}

/// T-4: the wait is over before the new program runs.
fn exec_waits_for_what_it_closes() -> Check {
    let child = fork_check(|| {
        let (near, far, sent) = blocked()?;
        fcntl(near, libc::F_SETFD, libc::FD_CLOEXEC)?;
        fcntl(far, libc::F_SETFD, 0)?;
        let words = [far.to_string(), sent.to_string(), monotonic().to_string()];
        Err(exec_self("after_exec", &words.each_ref().map(String::as_str)))
    })?;
    wait_ok(child)
}

fn after_exec() -> Check {
    let numbers = std::env::args().skip(3).map(|word| word.parse::<u64>());
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let [far, sent, before] = numbers[..] else { return Err(format!("{numbers:?}")) };
    let took = since(before);
    ensure!((990..1900).contains(&took), "exec took {took} ms");
    arrives(far as Fd, sent as usize)
}

/// T-4, F-5: a thread in recv holds the socket; close returns at once, and recv waits in its stead.
fn end_of_a_blocked_call_waits_for_the_socket_that_it_held() -> Check {
    let (near, far, sent) = blocked()?;
    let (tid, tell) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let _ = tid.send(guests::process::gettid());
        let got = read(near, 1);
        (got, monotonic())
    });
    let tid = tell.recv().map_err(|e| e.to_string())?;
    guests::process::until_asleep(guests::process::getpid(), tid)?;
    let before = monotonic();
    close(near)?;
    let took = since(before);
    ensure!(took < 500, "close took {took} ms");
    write(far, b"x")?;
    let (got, at) = reader.join().map_err(|_| "the reader panicked")?;
    same!(got?, b"x", "read");
    let took = (at - before) / 1_000_000;
    ensure!((990..1900).contains(&took), "read took {took} ms");
    arrives(far, sent)
}

/// The columns of /proc/net/tcp of the socket with this local and remote port.
fn line(local: u16, remote: u16) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string("/proc/net/tcp").map_err(|e| e.to_string())?;
    let ends = [format!("0100007F:{local:04X}"), format!("0100007F:{remote:04X}")];
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines = text.lines().map(columns);
    let found = lines.find(|c| c.get(1) == Some(&ends[0]) && c.get(2) == Some(&ends[1]));
    found.ok_or_else(|| format!("no line for {ends:?} in\n{text}"))
}

/// State, queues, uid and inode.
fn shown(local: u16, remote: u16) -> Result<String, String> {
    let columns = line(local, remote)?;
    let column = |n: usize| columns.get(n).map_or("?", String::as_str);
    let inode = if column(9) == "0" { "0" } else { "an inode" };
    Ok(format!("{} {} uid {} {inode}", column(3), column(4), column(7)))
}

fn uid() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::geteuid() }
}

/// T-33: FIN_WAIT1, with all that was taken and is not acknowledged.
fn orphan_has_its_owner_and_no_inode() -> Check {
    let (near, far, _) = blocked()?;
    linger_off(near)?;
    let ports = (port(near)?, port(far)?);
    let before = line(ports.0, ports.1)?;
    close(near)?;
    let after = line(ports.0, ports.1)?;
    same!((before[3].as_str(), after[3].as_str()), ("01", "04"), "states");
    same!((before[7].clone(), after[7].clone()), (uid().to_string(), uid().to_string()), "uid");
    ensure!(before[9] != "0", "the inode of the living one");
    same!(after[9], "0", "inode");
    ensure!(!after[4].starts_with("00000000"), "tx_queue {}", after[4]);
    Ok(())
}

fn linger_off(fd: Fd) -> Check {
    let off = libc::linger { l_onoff: 0, l_linger: 0 };
    Ok(set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, off)?)
}

/// T-33: FIN_WAIT2 and TIME_WAIT belong to nobody, and only their timer is told.
fn mini_socket_has_neither_owner_nor_inode() -> Check {
    let (near, far) = connection()?;
    let (local, remote) = (port(near)?, port(far)?);
    same!(shown(local, remote)?, format!("01 00000000:00000000 uid {} an inode", uid()), "first");
    close(near)?;
    until_readable(far)?;
    // The acknowledgment of the FIN is delayed.
    while line(local, remote)?[3] == "04" {
        std::thread::yield_now();
    }
    same!(shown(local, remote)?, "05 00000000:00000000 uid 0 0", "FIN_WAIT2");
    close(far)?;
    same!(shown(local, remote)?, "06 00000000:00000000 uid 0 0", "TIME_WAIT");
    let timer = line(local, remote)?[5].clone();
    let left = timer.strip_prefix("03:").and_then(|t| u32::from_str_radix(t, 16).ok());
    ensure!(left.is_some_and(|left| (5000..=6100).contains(&left)), "timer {timer}");
    Ok(())
}

/// A connection that nobody accepted is its listener's owner's.
fn queued_connection_has_no_inode_and_the_listener_counts_it() -> Check {
    let (fd, number) = listener(8)?;
    let client = dial(number)?;
    send(client, b"hello", 0)?;
    until_readable(fd)?;
    let remote = port(client)?;
    let wanted = format!("01 00000000:00000005 uid {} 0", uid());
    same!(shown(number, remote)?, wanted, "queued");
    let served = accept(fd)?;
    until_readable(served)?;
    let wanted = format!("01 00000000:00000005 uid {} an inode", uid());
    same!(shown(number, remote)?, wanted, "accepted");
    Ok(())
}

/// T-33, T-59.
fn orphan_holds_its_port() -> Check {
    let (near, far, sent) = blocked()?;
    linger_off(near)?;
    let number = port(near)?;
    close(near)?;
    let other = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    same!(errno_of(bind(other, &loopback(number))), libc::EADDRINUSE, "bind");
    arrives(far, sent)
}

/// T-38: of two forked workers and their parent, all but one die; nothing happens to those in the
/// queue, and the last holder accepts them.
fn listener_lives_as_long_as_its_last_holder() -> Check {
    let (fd, number) = listener(8)?;
    let workers = [fork_check(|| pause_for_ever())?, fork_check(|| pause_for_ever())?];
    let queued = dial(number)?;
    kill_and_wait(workers[0], libc::SIGKILL)?;
    same!(poll_bits(queued)?, POLLOUT, "poll after the first death");
    let late = dial(number)?;
    kill_and_wait(workers[1], libc::SIGKILL)?;
    same!((poll_bits(queued)?, poll_bits(late)?), (POLLOUT, POLLOUT), "poll after the second");
    for _ in [queued, late] {
        accept(fd)?;
    }
    same!((poll_bits(queued)?, poll_bits(late)?), (POLLOUT, POLLOUT), "poll after accept");
    close(fd)?;
    same!((poll_bits(queued)?, poll_bits(late)?), (POLLOUT, POLLOUT), "poll after close");
    Ok(())
}

/// T-38: connections that another process accepted are unaffected by the listener's end.
fn connections_of_others_outlive_the_listener() -> Check {
    let (fd, number) = listener(8)?;
    let worker = fork_check(move || {
        let served = accept(fd)?;
        close(fd)?;
        same!(read(served, 16)?, b"after", "read in the worker");
        shutdown(served, SHUT_WR)?;
        until_state(served, 7)?;
        Ok(())
    })?;
    let client = dial(number)?;
    // The worker's connection, and one that nobody accepts.
    let queued = dial(number)?;
    until_accepted(client, number)?;
    close(fd)?;
    guests::net::until_hung_up(queued)?;
    same!(tcp_state(client)?, 1, "state of the accepted one");
    write(client, b"after")?;
    until_readable(client)?;
    same!(poll_bits(client)? & POLLIN, POLLIN, "poll");
    close(client)?;
    wait_ok(worker)
}

/// Waits until the connection has an inode on its server's side.
fn until_accepted(client: Fd, number: u16) -> Check {
    let remote = port(client)?;
    while !shown(number, remote)?.ends_with("an inode") {
        std::thread::yield_now();
    }
    Ok(())
}

/// A socket of AF_UNIX with an abstract name, which is known in its network namespace only.
fn abstract_socket(listens: bool) -> Sys<Fd> {
    let name = format!("afterlife-{}", guests::process::getpid());
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.push(0);
    address.extend_from_slice(name.as_bytes());
    let fd = socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
    if listens {
        bind_bytes(fd, &address)?;
        listen(fd, 4)?;
    } else {
        connect_bytes(fd, &address)?;
    }
    Ok(fd)
}

/// P-15: its processes leave it, and all that holds it are sockets: connections in it go on and end as
/// always, and names in it stay apart. Who may not make a namespace passes without a word.
fn a_network_namespace_lives_as_long_as_its_last_socket() -> Check {
    let namespace = || guests::sys::open(Path::new("/proc/self/ns/net"), libc::O_RDONLY, 0);
    let setns = |fd: Fd| {
        let kind = i64::from(libc::CLONE_NEWNET);
        raw("setns", libc::SYS_setns, [fd.into(), kind, 0, 0, 0, 0])
    };
    let outside = namespace()?;
    if own_settings().is_err() {
        return Ok(());
    }
    let (near, far) = connection()?;
    let new = i64::from(libc::CLONE_NEWNET);
    raw("unshare", libc::SYS_unshare, [new, 0, 0, 0, 0, 0])?;
    let inside = abstract_socket(true)?;
    let (first, second) = guests::net::pair(libc::SOCK_STREAM)?;
    let again = namespace()?;
    setns(outside)?;
    // Nobody lives there now.
    same!(errno_of(abstract_socket(false)), libc::ECONNREFUSED, "its name outside");
    let here = abstract_socket(true)?;
    abstract_socket(false)?;
    write(near, b"still")?;
    until_readable(far)?;
    same!(read(far, 9)?, b"still", "what its connection carries");
    write(first, b"x")?;
    same!(read(second, 9)?, b"x", "what its pair carries");
    close(near)?;
    until_readable(far)?;
    same!((read(far, 9)?, tcp_state(far)?), (Vec::new(), 8), "the end of a connection, CLOSE_WAIT");
    same!(poll_bits(inside)?, 0, "poll of the listener inside");
    setns(again)?;
    abstract_socket(false)?;
    same!(poll_bits(inside)?, POLLIN, "poll after somebody came back");
    same!(poll_bits(here)?, POLLIN, "poll of the one outside, who has one");
    Ok(())
}
