//! The two ends of `cargo xtask twin`: `wire server PORT` holds one connection for each row of the
//! close table (state × unread × SO_LINGER 0 × TCP_LINGER2 < 0 × what the peer does afterwards) and
//! waits to be killed (`server6`: for clients of either family); `wire client HOST PORT` is the other end of all of them, and prints for each
//! row what its calls returned after the death. Both walk the rows in the same order, one by one,
//! so that the wire tells the same story whenever it is told. It has no cases of its own.

use guests::net::{
    accept, address6, bind, bind_bytes, connect, connect_bytes, linger, listen, loopback, recv,
    send, set_option, shutdown, so_error, socket, tcp_state, until_readable, until_state,
};
use guests::process::pause_for_ever;
use guests::signal;
use guests::sys::{Fd, Sys, close, poll_bits, poll_one, read, write};
use libc::{MSG_DONTWAIT, POLLHUP, POLLRDHUP, SHUT_WR};
use std::net::{IpAddr, Ipv6Addr};
use std::process::ExitCode;

/// Where the connection is when the server dies, as the server sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Established,
    CloseWait,
    FinWait2,
    /// Both FINs, the server's first.
    TimeWait,
    /// Both FINs, the client's first.
    Closed,
    /// Nobody accepts it; with a FIN of the client's or without.
    Queued,
    QueuedHalf,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Row {
    state: State,
    unread: bool,
    linger0: bool,
    linger2: bool,
    /// The client writes after the death; else it only closes.
    writes: bool,
}

fn rows() -> Vec<Row> {
    let mut rows = vec![];
    for state in [
        State::Established,
        State::CloseWait,
        State::FinWait2,
        State::TimeWait,
        State::Closed,
        State::Queued,
        State::QueuedHalf,
    ] {
        for bits in 0..16 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let (unread, linger0, linger2, writes) = (bit(0), bit(1), bit(2), bit(3));
            let queued = matches!(state, State::Queued | State::QueuedHalf);
            // Options of a connection that nobody accepted are the listener's.
            if !queued || !linger0 && !linger2 {
                rows.push(Row { state, unread, linger0, linger2, writes });
            }
        }
    }
    rows
}

impl Row {
    fn queued(self) -> bool {
        matches!(self.state, State::Queued | State::QueuedHalf)
    }

    /// The client's FIN comes before anything of the server's.
    fn client_ends(self) -> bool {
        matches!(self.state, State::CloseWait | State::Closed | State::QueuedHalf)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let result = match words.as_slice() {
        ["--list"] => Ok(()),
        ["server", port] => number(port).and_then(|port| server(port, false)),
        ["server6", port] => number(port).and_then(|port| server(port, true)),
        ["client", host, port] => number(port).and_then(|port| client(host, port)),
        _ => Err("usage: wire server|server6 PORT | wire client HOST PORT".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("wire: {why}");
            ExitCode::FAILURE
        }
    }
}

fn number(word: &str) -> Result<u16, String> {
    word.parse().map_err(|_| format!("{word} is not a port"))
}

fn listener_on(port: u16, six: bool) -> Sys<Fd> {
    let fd = socket(if six { libc::AF_INET6 } else { libc::AF_INET }, libc::SOCK_STREAM)?;
    if six {
        bind_bytes(fd, &address6(Ipv6Addr::UNSPECIFIED, port))?;
    } else {
        let mut address = loopback(port);
        address.sin_addr.s_addr = 0;
        bind(fd, &address)?;
    }
    listen(fd, 64)?;
    Ok(fd)
}

/// Prepares its end of each row, says so over a connection of its own, and waits.
fn server(port: u16, six: bool) -> Result<(), String> {
    // Those that nobody accepts have a listener of their own.
    listener_on(port + 1, six)?;
    let listener = listener_on(port, six)?;
    for row in rows().into_iter().filter(|row| !row.queued()) {
        let fd = accept(listener)?;
        if row.linger0 {
            linger(fd, 0)?;
        }
        if row.linger2 {
            set_option(fd, libc::IPPROTO_TCP, libc::TCP_LINGER2, -1)?;
        }
        if row.unread {
            until_readable(fd)?;
        }
        if row.client_ends() {
            poll_one(fd, POLLRDHUP, -1)?;
        }
        if matches!(row.state, State::FinWait2 | State::TimeWait | State::Closed) {
            shutdown(fd, SHUT_WR)?;
        }
        match row.state {
            State::FinWait2 => until_state(fd, 5)?,
            State::TimeWait | State::Closed => until_state(fd, 7)?,
            State::Established | State::CloseWait | State::Queued | State::QueuedHalf => {}
        }
    }
    write(accept(listener)?, b"!")?;
    pause_for_ever()
}

fn dial(host: &str, port: u16) -> Result<Fd, String> {
    match host.parse().map_err(|_| format!("{host} is not an address"))? {
        IpAddr::V4(ip) => {
            let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
            let mut address = loopback(port);
            address.sin_addr.s_addr = u32::from(ip).to_be();
            connect(fd, &address)?;
            Ok(fd)
        }
        IpAddr::V6(ip) => {
            let fd = socket(libc::AF_INET6, libc::SOCK_STREAM)?;
            connect_bytes(fd, &address6(ip, port))?;
            Ok(fd)
        }
    }
}

fn client(host: &str, port: u16) -> Result<(), String> {
    signal::ignore(libc::SIGPIPE)?;
    let mut ends = vec![];
    for row in rows() {
        let fd = dial(host, if row.queued() { port + 1 } else { port })?;
        if row.unread {
            write(fd, b"hello")?;
        }
        if row.client_ends() {
            shutdown(fd, SHUT_WR)?;
            // The server's kernel knows; and one row is over before the next one begins.
            poll_one(fd, 0, 0)?;
        }
        match row.state {
            State::CloseWait | State::QueuedHalf => until_state(fd, 5)?,
            State::FinWait2 => drop(read(fd, 1)?),
            State::TimeWait => {
                read(fd, 1)?;
                shutdown(fd, SHUT_WR)?;
                poll_one(fd, POLLHUP, -1)?;
            }
            State::Closed => drop(poll_one(fd, POLLHUP, -1)?),
            State::Established | State::Queued => {}
        }
        ends.push((row, fd));
    }
    let notice = dial(host, port)?;
    read(notice, 1)?;
    println!("ready");
    // The server is killed.
    read(notice, 1)?;
    nap(200);
    for (row, fd) in ends {
        let Row { state, unread, linger0, linger2, writes } = row;
        let told = told(fd, writes)?;
        let marks = [(unread, " unread"), (linger0, " linger0"), (linger2, " linger2")];
        let marks: String = marks.iter().filter(|mark| mark.0).map(|mark| mark.1).collect();
        println!("{state:?}{marks}{}: {told}", if writes { ", write" } else { ", close" });
    }
    Ok(())
}

fn nap(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

fn words<T: std::fmt::Debug>(result: Sys<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(failed) => format!("errno {}", failed.errno),
    }
}

/// What the calls return on one row, in the order in which they are made.
fn told(fd: Fd, writes: bool) -> Sys<String> {
    let look =
        || -> Sys<String> { Ok(format!("bits {:#x} state {}", poll_bits(fd)?, tcp_state(fd)?)) };
    let mut said = vec![look()?];
    if writes {
        for _ in 0..2 {
            said.push(format!("write {}", words(send(fd, b"x", 0))));
            nap(5);
            said.push(look()?);
        }
        said.push(format!("SO_ERROR {}", so_error(fd)?));
    }
    said.push(format!("read {}", words(recv(fd, 8, MSG_DONTWAIT))));
    said.push(format!("close {}", words(close(fd))));
    nap(5);
    Ok(said.join(", "))
}
