//! What a TCP peer sees when a process is killed: the five fates (FIN, RST for unread data, RST for
//! linger 0, RST for a client not yet accepted, nothing) and their neighbours, over loopback. Rules
//! T-2 … T-22, T-34 … T-43, T-59, T-60, F-2, F-6 and X-8 of docs/linux-semantics.md.
//!
//! Once the parent knows of the death, everything has been sent and, on loopback, received; so
//! no case waits for the wire, except for answers to what the peer itself sends afterwards.

use guests::net::{
    accept, bind, connection, dial, linger, listen, listener, loopback, port, recv, send,
    set_option, shutdown, so_error, socket, tcp_state, until_hung_up, until_readable, victim,
    victim_with, write_is_epipe,
};
use guests::process::{Gate, Pid, fork, fork_check, kill_and_wait, pause_for_ever, until_asleep};
use guests::signal;
use guests::sys::{
    Fd, close, drain, dup2, epoll, epoll_ctl, epoll_wait, fcntl, pipe, poll_bits, read, write,
};
use guests::{Check, ensure, fails, same};
use libc::{EADDRINUSE, ECONNREFUSED, ECONNRESET, EPIPE, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK};
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, SHUT_RD, SHUT_WR, SIGKILL, SIGPIPE};

guests::cases! {
    peer_of_a_killed_process_reads_the_end,
    write_after_the_fin_is_answered_by_a_reset,
    unread_data_turns_the_fin_into_a_reset,
    reset_is_told_once_by_so_error,
    reset_is_told_once_by_write_without_sigpipe,
    peeked_data_is_unread,
    partly_read_data_is_unread,
    data_after_shut_rd_is_unread,
    data_before_a_fin_is_unread,
    linger_zero_resets,
    linger_ten_does_not_delay_a_death,
    linger_zero_resets_after_the_peers_fin_too,
    clients_not_yet_accepted_are_reset_in_order,
    not_yet_accepted_client_with_data_is_reset,
    killed_listener_refuses_new_clients,
    forked_child_keeps_the_connection_open,
    fate_is_decided_at_the_last_holders_death,
    all_data_arrives_before_the_fin,
    interrupted_sends_bytes_arrive_too,
    unread_data_throws_the_send_queue_away,
    received_bytes_stay_readable_before_the_reset,
    death_in_close_wait_ends_both_directions,
    unread_data_after_ones_own_fin_resets_silently_for_readers,
    death_in_fin_wait_2_is_silent_until_the_peer_writes,
    fins_leave_in_descending_order,
    fin_precedes_sigchld,
    blocked_reader_gets_the_reset,
    nosignal_suppresses_only_the_signal,
    port_of_a_first_closer_needs_reuseaddr,
    port_of_a_reset_connection_is_free,
    port_is_taken_while_a_child_holds_the_listener,
}

const DATA_END: i16 = POLLIN | POLLOUT | POLLRDHUP;
const RESET: i16 = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP;
const GONE: i16 = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;

/// The victim's end is left idle.
fn idle(_: Fd) -> Check {
    Ok(())
}

fn killed(child: Pid) -> Check {
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the victim's status");
    Ok(())
}

/// T-40: everything after the one ECONNRESET.
fn reset_was_told(peer: Fd) -> Check {
    same!(read(peer, 8)?, b"", "read after the error");
    same!(poll_bits(peer)?, GONE, "poll bits after the error");
    same!(so_error(peer)?, 0, "SO_ERROR after the error");
    write_is_epipe(peer)
}

/// T-40: poll bits, one ECONNRESET, then the end.
fn is_reset(peer: Fd) -> Check {
    same!(poll_bits(peer)?, RESET, "poll bits");
    same!(tcp_state(peer)?, CLOSE, "the state");
    fails!(read(peer, 8), ECONNRESET);
    reset_was_told(peer)
}

/// T-39: an orderly end.
fn is_ended(peer: Fd) -> Check {
    same!(poll_bits(peer)?, DATA_END, "poll bits");
    same!(tcp_state(peer)?, CLOSE_WAIT, "the state");
    same!(read(peer, 8)?, b"", "read");
    same!(read(peer, 8)?, b"", "read again");
    same!(so_error(peer)?, 0, "SO_ERROR");
    Ok(())
}

/// T-7, T-39.
fn peer_of_a_killed_process_reads_the_end() -> Check {
    let (child, peer) = victim(idle)?;
    same!(poll_bits(peer)?, POLLOUT, "poll bits before");
    killed(child)?;
    is_ended(peer)
}

/// T-39, T-41.
fn write_after_the_fin_is_answered_by_a_reset() -> Check {
    let (child, peer) = victim(idle)?;
    killed(child)?;
    same!(write(peer, b"x")?, 1, "the first write");
    until_hung_up(peer)?;
    same!(poll_bits(peer)?, RESET, "poll bits after the reset");
    same!(read(peer, 8)?, b"", "read: never an error after a FIN");
    write_is_epipe(peer)?;
    same!(poll_bits(peer)?, GONE, "poll bits after the error was told");
    let (child, peer) = victim(idle)?;
    killed(child)?;
    write(peer, b"x")?;
    until_hung_up(peer)?;
    same!(so_error(peer)?, EPIPE, "SO_ERROR");
    Ok(())
}

/// The victim has five bytes that it did not read.
fn with_unread() -> Result<(Pid, Fd), String> {
    let hello = |peer| Ok(write(peer, b"hello").map(|_| ())?);
    victim_with(hello, |fd| Ok(until_readable(fd)?))
}

/// T-8, T-40.
fn unread_data_turns_the_fin_into_a_reset() -> Check {
    let (child, peer) = with_unread()?;
    killed(child)?;
    is_reset(peer)
}

/// T-40.
fn reset_is_told_once_by_so_error() -> Check {
    let (child, peer) = with_unread()?;
    killed(child)?;
    same!(so_error(peer)?, ECONNRESET, "SO_ERROR");
    reset_was_told(peer)
}

/// T-40.
fn reset_is_told_once_by_write_without_sigpipe() -> Check {
    let (child, peer) = with_unread()?;
    killed(child)?;
    signal::handle(SIGPIPE, 0)?;
    fails!(write(peer, b"x"), ECONNRESET);
    same!(signal::logged(), vec![], "signals");
    reset_was_told(peer)
}

/// T-2.
fn peeked_data_is_unread() -> Check {
    let hello = |peer| Ok(write(peer, b"hello").map(|_| ())?);
    let (child, peer) = victim_with(hello, |fd| {
        same!(recv(fd, 64, MSG_PEEK)?, b"hello", "peeked");
        Ok(())
    })?;
    killed(child)?;
    is_reset(peer)
}

/// T-2.
fn partly_read_data_is_unread() -> Check {
    let hello = |peer| Ok(write(peer, b"hello").map(|_| ())?);
    let (child, peer) = victim_with(hello, |fd| {
        same!(read(fd, 4)?, b"hell", "read");
        Ok(())
    })?;
    killed(child)?;
    is_reset(peer)?;
    let hello = |peer| Ok(write(peer, b"hello").map(|_| ())?);
    let (child, peer) = victim_with(hello, |fd| {
        same!(read(fd, 5)?, b"hello", "read");
        Ok(())
    })?;
    killed(child)?;
    is_ended(peer)
}

/// T-2, T-45.
fn data_after_shut_rd_is_unread() -> Check {
    let (child, peer) = victim(|fd| Ok(shutdown(fd, SHUT_RD)?))?;
    same!(poll_bits(peer)?, POLLOUT, "poll bits: SHUT_RD is local");
    write(peer, b"x")?;
    killed(child)?;
    is_reset(peer)
}

/// T-2, T-11.
fn data_before_a_fin_is_unread() -> Check {
    let half_close = |peer| {
        write(peer, b"hello")?;
        Ok(shutdown(peer, SHUT_WR)?)
    };
    let (child, peer) = victim_with(half_close, |fd| Ok(until_readable(fd)?))?;
    killed(child)?;
    fails!(read(peer, 8), ECONNRESET);
    reset_was_told(peer)
}

/// T-9.
fn linger_zero_resets() -> Check {
    let (child, peer) = victim(|fd| Ok(linger(fd, 0)?))?;
    killed(child)?;
    is_reset(peer)
}

/// T-3.
fn linger_ten_does_not_delay_a_death() -> Check {
    let (child, peer) = victim(|fd| Ok(linger(fd, 10)?))?;
    killed(child)?;
    is_ended(peer)
}

/// T-12.
fn linger_zero_resets_after_the_peers_fin_too() -> Check {
    let (child, peer) = victim_with(
        |peer| Ok(shutdown(peer, SHUT_WR)?),
        |fd| {
            same!(read(fd, 8)?, b"", "read");
            Ok(linger(fd, 0)?)
        },
    )?;
    killed(child)?;
    fails!(read(peer, 8), ECONNRESET);
    reset_was_told(peer)
}

/// A listener in a child that never accepts; the child, its port, and `many` clients.
fn not_accepting(many: usize) -> Result<(Pid, u16, Vec<Fd>), String> {
    let (listener, port) = listener(16)?;
    let child = fork(|| pause_for_ever())?;
    close(listener)?;
    let clients = (0..many).map(|_| dial(port)).collect::<guests::sys::Sys<_>>()?;
    Ok((child, port, clients))
}

/// T-5, T-34: in the order in which they came.
fn clients_not_yet_accepted_are_reset_in_order() -> Check {
    let (child, _, clients) = not_accepting(5)?;
    let epoll = epoll()?;
    for client in &clients {
        epoll_ctl(epoll, libc::EPOLL_CTL_ADD, *client, libc::EPOLLIN as u32, *client as u64)?;
    }
    killed(child)?;
    let order: Vec<Fd> = epoll_wait(epoll, 8, 0)?.into_iter().map(|it| it.1 as Fd).collect();
    same!(order, clients, "the order of the resets");
    for client in clients {
        is_reset(client)?;
    }
    Ok(())
}

/// T-34.
fn not_yet_accepted_client_with_data_is_reset() -> Check {
    let (child, _, clients) = not_accepting(2)?;
    write(clients[0], b"hello")?;
    shutdown(clients[1], SHUT_WR)?;
    killed(child)?;
    is_reset(clients[0])?;
    fails!(read(clients[1], 8), ECONNRESET);
    Ok(())
}

/// T-35.
fn killed_listener_refuses_new_clients() -> Check {
    let (child, port, _) = not_accepting(0)?;
    close(dial(port)?)?;
    killed(child)?;
    fails!(dial(port), ECONNREFUSED);
    Ok(())
}

/// A victim whose forked child shares the connection: (victim, its child, our end).
fn with_heir() -> Result<(Pid, Pid, Fd), String> {
    let (pids, tell) = pipe()?;
    let (child, peer) = victim(|_| {
        let heir = fork(|| pause_for_ever())?;
        write(tell, &heir.to_ne_bytes())?;
        Ok(())
    })?;
    let bytes = read(pids, 4)?;
    let heir = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok((child, heir, peer))
}

fn adopt_orphans() -> Check {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    same!(result, 0, "prctl");
    Ok(())
}

/// F-2, X-13: the fifth fate is silence.
fn forked_child_keeps_the_connection_open() -> Check {
    adopt_orphans()?;
    let (child, heir, peer) = with_heir()?;
    killed(child)?;
    same!(poll_bits(peer)?, POLLOUT, "poll bits after the parent's death");
    write(peer, b"hello")?;
    same!(poll_bits(peer)?, POLLOUT, "poll bits after a write");
    killed(heir)?;
    is_reset(peer)
}

/// F-2.
fn fate_is_decided_at_the_last_holders_death() -> Check {
    adopt_orphans()?;
    let (child, heir, peer) = with_heir()?;
    killed(child)?;
    killed(heir)?;
    is_ended(peer)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// T-7, T-21.
fn all_data_arrives_before_the_fin() -> Check {
    let data = pattern(100_000);
    let (child, peer) = victim(|fd| {
        let mut rest = &data[..];
        while !rest.is_empty() {
            rest = &rest[write(fd, rest)?..];
        }
        Ok(())
    })?;
    killed(child)?;
    let (got, end) = drain(peer);
    end?;
    ensure!(got == data, "{} bytes came, not the {} that were sent", got.len(), data.len());
    Ok(())
}

/// A child that fills the connection until a send blocks; how much whole sends took before.
fn blocked_sender(unread: bool) -> Result<(Pid, Fd, usize), String> {
    let (port_of, tell) = pipe()?;
    let (listener, at) = listener(1)?;
    let ready = Gate::new()?;
    let child = fork_check(|| {
        let fd = accept(listener)?;
        ready.wait()?;
        if unread {
            until_readable(fd)?;
        }
        let chunk = pattern(251 * 16);
        let mut taken = 0_usize;
        loop {
            match send(fd, &chunk, MSG_DONTWAIT) {
                Ok(length) if length == chunk.len() => taken += length,
                _ => break,
            }
        }
        write(tell, &taken.to_ne_bytes())?;
        // Too much for the rest of the room: it blocks with a part of it taken.
        let big = pattern(64 << 20);
        write(fd, &big)?;
        Ok(())
    })?;
    close(listener)?;
    let peer = dial(at)?;
    if unread {
        write(peer, b"unread")?;
    }
    ready.open()?;
    let bytes = read(port_of, 8)?;
    let mut number = [0; 8];
    number.copy_from_slice(&bytes);
    until_asleep(child, child)?;
    Ok((child, peer, usize::from_ne_bytes(number)))
}

/// T-21.
fn interrupted_sends_bytes_arrive_too() -> Check {
    let (child, peer, taken) = blocked_sender(false)?;
    killed(child)?;
    let (got, end) = drain(peer);
    end?;
    ensure!(got.len() >= taken, "{} bytes came of {taken} taken before", got.len());
    Ok(())
}

/// T-22.
fn unread_data_throws_the_send_queue_away() -> Check {
    let (child, peer, taken) = blocked_sender(true)?;
    killed(child)?;
    let (got, end) = drain(peer);
    fails!(end, ECONNRESET);
    ensure!(!got.is_empty() && got.len() < taken, "{} bytes came of {taken}", got.len());
    Ok(())
}

/// T-22, T-40.
fn received_bytes_stay_readable_before_the_reset() -> Check {
    let hello = |peer| Ok(write(peer, b"hello").map(|_| ())?);
    let (child, peer) = victim_with(hello, |fd| {
        until_readable(fd)?;
        write(fd, b"answer")?;
        Ok(())
    })?;
    killed(child)?;
    same!(poll_bits(peer)?, RESET, "poll bits");
    same!(read(peer, 64)?, b"answer", "read");
    fails!(read(peer, 64), ECONNRESET);
    reset_was_told(peer)
}

/// T-10, T-46.
fn death_in_close_wait_ends_both_directions() -> Check {
    let (child, peer) = victim_with(
        |peer| Ok(shutdown(peer, SHUT_WR)?),
        |fd| {
            same!(read(fd, 8)?, b"", "read");
            Ok(())
        },
    )?;
    killed(child)?;
    same!(poll_bits(peer)?, GONE, "poll bits");
    same!((read(peer, 8)?, so_error(peer)?), (vec![], 0), "read and SO_ERROR");
    same!(tcp_state(peer)?, CLOSE, "the state");
    write_is_epipe(peer)
}

/// T-14, T-41.
fn unread_data_after_ones_own_fin_resets_silently_for_readers() -> Check {
    let hello = |peer| Ok(write(peer, b"hello").map(|_| ())?);
    let (child, peer) = victim_with(hello, |fd| {
        until_readable(fd)?;
        Ok(shutdown(fd, SHUT_WR)?)
    })?;
    same!(read(peer, 8)?, b"", "read before the death");
    killed(child)?;
    same!(poll_bits(peer)?, RESET, "poll bits");
    same!(read(peer, 8)?, b"", "read after it");
    write_is_epipe(peer)
}

/// T-16, T-25.
fn death_in_fin_wait_2_is_silent_until_the_peer_writes() -> Check {
    let (child, peer) = victim(|fd| Ok(shutdown(fd, SHUT_WR)?))?;
    same!(read(peer, 8)?, b"", "read before the death");
    killed(child)?;
    same!(poll_bits(peer)?, DATA_END, "poll bits");
    same!(write(peer, b"x")?, 1, "the first write");
    until_hung_up(peer)?;
    write_is_epipe(peer)
}

/// F-6, on the wire.
fn fins_leave_in_descending_order() -> Check {
    const NUMBERS: [Fd; 5] = [50, 51, 52, 53, 54];
    let epoll = epoll()?;
    let mut ends = vec![];
    for number in NUMBERS {
        let (near, far) = connection()?;
        let far = fcntl(far, libc::F_DUPFD_CLOEXEC, 100).and_then(|high| {
            close(far)?;
            Ok(high)
        })?;
        epoll_ctl(epoll, libc::EPOLL_CTL_ADD, near, libc::EPOLLIN as u32, number as u64)?;
        ends.push(far);
    }
    let ready = Gate::new()?;
    let child = fork_check(|| {
        for (number, end) in NUMBERS.iter().zip(&ends) {
            dup2(*end, *number)?;
            close(*end)?;
        }
        ready.open()?;
        pause_for_ever()
    })?;
    ready.wait()?;
    for end in ends {
        close(end)?;
    }
    killed(child)?;
    let order: Vec<u64> = epoll_wait(epoll, 8, 0)?.into_iter().map(|it| it.1).collect();
    same!(order, vec![54, 53, 52, 51, 50], "the order of the FINs");
    Ok(())
}

///
fn fin_precedes_sigchld() -> Check {
    signal::block(&[libc::SIGCHLD])?;
    let (child, peer) = victim(idle)?;
    guests::process::kill(child, SIGKILL)?;
    same!(signal::timed_wait(&[libc::SIGCHLD], 20_000)?.0, libc::SIGCHLD, "the signal");
    same!(recv(peer, 8, MSG_DONTWAIT)?, b"", "a read that does not wait");
    Ok(())
}

/// T-42.
fn blocked_reader_gets_the_reset() -> Check {
    let (child, peer) = with_unread()?;
    let reader = std::thread::spawn(move || read(peer, 8));
    killed(child)?;
    let result = reader.join().map_err(|_| "the thread panicked")?;
    fails!(result, ECONNRESET);
    Ok(())
}

/// T-43.
fn nosignal_suppresses_only_the_signal() -> Check {
    let (child, peer) = victim(idle)?;
    killed(child)?;
    signal::handle(SIGPIPE, 0)?;
    write(peer, b"x")?;
    until_hung_up(peer)?;
    fails!(send(peer, b"x", MSG_NOSIGNAL), EPIPE);
    same!(signal::logged(), vec![], "signals");
    write_is_epipe(peer)
}

fn reusing(reuse: i32) -> guests::sys::Sys<Fd> {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, reuse)?;
    Ok(fd)
}

/// A server with SO_REUSEADDR and one connection that dies; its port, and our end.
fn dead_server(prepare: impl FnOnce(Fd) -> Check) -> Result<(u16, Fd), String> {
    let listener = reusing(1)?;
    bind(listener, &loopback(0))?;
    listen(listener, 1)?;
    let at = port(listener)?;
    let ready = Gate::new()?;
    let child = fork_check(|| {
        prepare(accept(listener)?)?;
        ready.open()?;
        pause_for_ever()
    })?;
    close(listener)?;
    let peer = dial(at)?;
    ready.wait()?;
    killed(child)?;
    Ok((at, peer))
}

/// T-59.
fn port_of_a_first_closer_needs_reuseaddr() -> Check {
    let (at, _peer) = dead_server(idle)?;
    fails!(bind(reusing(0)?, &loopback(at)), EADDRINUSE);
    let again = reusing(1)?;
    bind(again, &loopback(at))?;
    listen(again, 1)?;
    close(dial(at)?)?;
    Ok(())
}

/// T-59.
fn port_of_a_reset_connection_is_free() -> Check {
    let (at, _peer) = dead_server(|fd| Ok(linger(fd, 0)?))?;
    bind(reusing(0)?, &loopback(at))?;
    Ok(())
}

/// T-60.
fn port_is_taken_while_a_child_holds_the_listener() -> Check {
    let listener = reusing(1)?;
    bind(listener, &loopback(0))?;
    listen(listener, 1)?;
    let at = port(listener)?;
    let child = fork(|| pause_for_ever())?;
    close(listener)?;
    fails!(bind(reusing(1)?, &loopback(at)), EADDRINUSE);
    killed(child)?;
    bind(reusing(1)?, &loopback(at))?;
    Ok(())
}
