//! The two ends of `cargo xtask twin`: `wire server PORT` holds one connection for each row of the
//! close table (state × unread × data that found no room at the peer × SO_LINGER 0 × TCP_LINGER2 < 0 ×
//! shared with a child × what the peer does afterwards) and waits to be killed, as its child does, which
//! shares some of them (`server6`: for clients of either family); `wire client HOST PORT` is the other
//! end of all of them, and prints for each row what its calls returned after the deaths. Both walk the rows in the same order, one by one, and
//! agree on it over a connection of their own, so that the wire tells the same story whenever it is
//! told: between two steps the client naps longer than an ACK is delayed. It has no cases of its own.

use guests::net::{
    accept, address6, bind, bind_bytes, connect, connect_bytes, linger, listen, loopback, recv,
    send, set_option, shutdown, so_error, socket, tcp_state, until_readable, until_state,
};
use guests::process::{fork, pause_for_ever};
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
    /// The server's FIN waits behind data that finds no room.
    FinWait1,
    FinWait2,
    /// As FinWait1, and the client's FIN came.
    Closing,
    /// As CloseWait, and the server's FIN waits behind data.
    LastAck,
    /// Both FINs, the server's first.
    TimeWait,
    /// Both FINs, the client's first.
    Closed,
    /// Nobody accepts it; with a FIN of the client's or without.
    Queued,
    QueuedHalf,
}

use State::*;

const STATES: [State; 10] = [
    Established,
    CloseWait,
    FinWait1,
    FinWait2,
    Closing,
    LastAck,
    TimeWait,
    Closed,
    Queued,
    QueuedHalf,
];

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Row {
    state: State,
    unread: bool,
    linger0: bool,
    linger2: bool,
    /// The client writes after the death; else it only closes.
    writes: bool,
    /// A child of the server's holds it too, and dies later.
    shared: bool,
    /// The server wrote more than the client has room for.
    pending: bool,
}

/// The rows; over IPv6 without those whose data waits for room: there 6.18 itself offers sometimes 24
/// bytes less (2 runs of 16).
fn rows(six: bool) -> Vec<Row> {
    let mut rows = vec![];
    for state in STATES {
        for bits in 0..64 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let (unread, linger0, linger2, writes) = (bit(0), bit(1), bit(2), bit(3));
            let (shared, pending) = (bit(4), bit(5));
            let row = Row { state, unread, linger0, linger2, writes, shared, pending };
            if row.can_be() && !(six && row.pending) {
                rows.push(row);
            }
        }
    }
    rows
}

impl Row {
    fn can_be(self) -> bool {
        match self.state {
            Established | CloseWait => true,
            FinWait1 | Closing | LastAck => self.pending,
            FinWait2 | TimeWait | Closed => !self.pending,
            // Options of a connection that nobody accepted are the listener's.
            Queued | QueuedHalf => !(self.linger0 || self.linger2 || self.shared || self.pending),
        }
    }

    fn queued(self) -> bool {
        matches!(self.state, Queued | QueuedHalf)
    }

    /// The client's FIN comes before anything of the server's.
    fn client_ends(self) -> bool {
        matches!(self.state, CloseWait | LastAck | Closed | QueuedHalf)
    }

    /// The server says that it has no more.
    fn server_ends(self) -> bool {
        matches!(self.state, FinWait1 | FinWait2 | Closing | LastAck | TimeWait | Closed)
    }

    fn name(self) -> String {
        let Row { state, unread, linger0, linger2, writes, shared, pending } = self;
        let marks = [
            (unread, " unread"),
            (pending, " pending"),
            (linger0, " linger0"),
            (linger2, " linger2"),
            (shared, " shared"),
        ];
        let marks: String = marks.iter().filter(|mark| mark.0).map(|mark| mark.1).collect();
        format!("{state:?}{marks}{}", if writes { ", write" } else { ", close" })
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

/// The client's room, and what is too much for it, by less than a segment: what leaves when there is
/// room again does so at once.
const ROOM: i32 = 4096;
const TOO_MUCH: usize = 5_300;

/// Prepares its end of each row, says so over a connection of its own, and waits. Its child holds the
/// shared ones too, and another such connection.
fn server(port: u16, six: bool) -> Result<(), String> {
    // Those that nobody accepts have a listener of their own.
    let listeners = [listener_on(port + 1, six)?, listener_on(port, six)?];
    let notices = [accept(listeners[1])?, accept(listeners[1])?];
    let mut ends = vec![];
    for row in rows(six).into_iter().filter(|row| !row.queued()) {
        let fd = accept(listeners[1])?;
        prepare(row, fd)?;
        ends.push((row, fd));
        write(notices[0], b".")?;
    }
    read(notices[0], 1)?;
    for (_, fd) in ends.iter().filter(|(row, _)| row.state == Closing) {
        until_state(*fd, 11)?;
    }
    fork(|| {
        for fd in listeners.iter().chain(&notices[..1]) {
            let _ = close(*fd);
        }
        for (_, fd) in ends.iter().filter(|(row, _)| !row.shared) {
            let _ = close(*fd);
        }
        pause_for_ever()
    })?;
    close(notices[1])?;
    write(notices[0], b"!")?;
    pause_for_ever()
}

/// Brings the server's end where it is to be.
fn prepare(row: Row, fd: Fd) -> Sys<()> {
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
    if row.pending {
        write(fd, &[b'p'; TOO_MUCH])?;
    }
    if row.server_ends() {
        shutdown(fd, SHUT_WR)?;
    }
    match row.state {
        FinWait2 => until_state(fd, 5),
        TimeWait | Closed => until_state(fd, 7),
        // The client's FIN comes later.
        Closing => until_state(fd, 4),
        FinWait1 => until_state(fd, 4),
        LastAck => until_state(fd, 9),
        Established | CloseWait | Queued | QueuedHalf => Ok(()),
    }
}

fn dial(host: &str, port: u16, room: Option<i32>) -> Result<Fd, String> {
    let room_for = |fd| match room {
        Some(room) => set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, room),
        None => Ok(()),
    };
    match host.parse().map_err(|_| format!("{host} is not an address"))? {
        IpAddr::V4(ip) => {
            let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
            room_for(fd)?;
            let mut address = loopback(port);
            address.sin_addr.s_addr = u32::from(ip).to_be();
            connect(fd, &address)?;
            Ok(fd)
        }
        IpAddr::V6(ip) => {
            let fd = socket(libc::AF_INET6, libc::SOCK_STREAM)?;
            room_for(fd)?;
            connect_bytes(fd, &address6(ip, port))?;
            Ok(fd)
        }
    }
}

/// Brings the client's end of a row where it is to be, but for the last FIN of Closing.
fn begin(row: Row, host: &str, port: u16) -> Result<Fd, String> {
    let room = row.pending.then_some(ROOM);
    let fd = dial(host, if row.queued() { port + 1 } else { port }, room)?;
    if row.unread {
        write(fd, b"hello")?;
    }
    if row.client_ends() {
        shutdown(fd, SHUT_WR)?;
    }
    match row.state {
        CloseWait | LastAck | QueuedHalf => until_state(fd, 5)?,
        FinWait2 => drop(read(fd, 1)?),
        TimeWait => {
            read(fd, 1)?;
            shutdown(fd, SHUT_WR)?;
            poll_one(fd, POLLHUP, -1)?;
        }
        Closed => drop(poll_one(fd, POLLHUP, -1)?),
        Established | Queued | FinWait1 | Closing => {}
    }
    Ok(fd)
}

fn client(host: &str, port: u16) -> Result<(), String> {
    signal::ignore(libc::SIGPIPE)?;
    let notices = [dial(host, port, None)?, dial(host, port, None)?];
    let mut ends = vec![];
    for row in rows(host.contains(':')) {
        ends.push(End { row, fd: begin(row, host, port)?, said: vec![] });
        if !row.queued() {
            read(notices[0], 1)?;
        }
    }
    nap();
    for end in ends.iter().filter(|end| end.row.state == Closing) {
        shutdown(end.fd, SHUT_WR)?;
    }
    write(notices[0], b"!")?;
    read(notices[0], 1)?;
    nap();
    println!("ready");
    // The server is killed.
    read(notices[0], 1)?;
    nap();
    ends.iter_mut().filter(|end| end.row.shared).try_for_each(End::while_shared)?;
    nap();
    println!("the child's turn");
    // Its child is killed.
    read(notices[1], 1)?;
    nap();
    for step in [End::look, End::write, End::write, End::error, End::read, End::read, End::read] {
        ends.iter_mut().try_for_each(step)?;
        nap();
    }
    ends.iter_mut().try_for_each(End::close)?;
    nap();
    for end in ends {
        println!("{}: {}", end.row.name(), end.said.join(", "));
    }
    Ok(())
}

/// Longer than an ACK is delayed, shorter than anything is sent again.
fn nap() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

fn words<T: std::fmt::Debug>(result: Sys<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(failed) => format!("errno {}", failed.errno),
    }
}

/// The client's end of a row, and what its calls returned.
struct End {
    row: Row,
    fd: Fd,
    said: Vec<String>,
}

impl End {
    fn say(&mut self, what: String) -> Sys<()> {
        self.said.push(what);
        Ok(())
    }

    /// The server is dead, its child is not.
    fn while_shared(&mut self) -> Sys<()> {
        self.look()?;
        self.write()
    }

    fn look(&mut self) -> Sys<()> {
        self.say(format!("bits {:#x} state {}", poll_bits(self.fd)?, tcp_state(self.fd)?))
    }

    /// If that is what this row does.
    fn write(&mut self) -> Sys<()> {
        if self.row.writes {
            self.say(format!("write {}", words(send(self.fd, b"x", 0))))?;
        }
        Ok(())
    }

    fn error(&mut self) -> Sys<()> {
        self.look()?;
        if self.row.writes {
            self.say(format!("SO_ERROR {}", so_error(self.fd)?))?;
        }
        Ok(())
    }

    /// All that is there.
    fn read(&mut self) -> Sys<()> {
        let read = recv(self.fd, 2 * TOO_MUCH, MSG_DONTWAIT).map(|bytes| bytes.len());
        self.say(format!("read {}", words(read)))
    }

    fn close(&mut self) -> Sys<()> {
        self.look()?;
        let closed = words(close(self.fd));
        self.say(format!("close {closed}"))
    }
}
