//! The two ends of the second half of `cargo xtask twin`: what a client is told, and when, while its
//! server's host or the way to it is gone. `dark server PORT SCENE` holds one connection for each row
//! of the scene; `dark client HOST PORT SCENE` has the other ends, says "ready", acts on some of them
//! a second later and on others three seconds after that, and prints for each row when it was told
//! something and what its calls returned then. What happens between is up to whoever runs it. It has
//! no cases of its own. Rules T-53 to T-58, P-2 to P-13 of docs/linux-semantics.md.

use guests::net::{
    accept, bind, connect, linger, listen, loopback, recv, send, set_option, shutdown, socket,
    until_readable,
};
use guests::process::pause_for_ever;
use guests::signal;
use guests::sys::{Fd, Sys, monotonic, poll_bits, poll_one, read, write};
use libc::{IPPROTO_TCP, MSG_DONTWAIT, POLLIN, POLLRDHUP, SHUT_RD, SHUT_WR, SOL_SOCKET};
use std::process::ExitCode;
use std::time::Duration;

/// What a client does with its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Nothing,
    Write,
    ShutWr,
    Close,
}

/// How the connection is when it is left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Idle,
    /// The client has written more than the server's window takes.
    Full,
    /// The server has written, the client has not read.
    Unread,
    /// The server has shut its side.
    CloseWait,
    /// The client has shut its side.
    FinWait2,
    /// The client has shut its reading side.
    ShutRd,
}

/// TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT.
type Keep = (i32, i32, i32);

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Row {
    before: Before,
    keep: Option<Keep>,
    /// TCP_USER_TIMEOUT in milliseconds.
    limit: u32,
    /// A second after "ready".
    first: Act,
    /// Four seconds after "ready".
    second: Act,
    /// The server writes a second after "ready".
    answers: bool,
    leaves: Option<Leave>,
}

/// What the server does with its end a second after "ready"; it is killed later, and nothing of it
/// has arrived meanwhile.
#[derive(Clone, Copy, Debug)]
struct Leave {
    /// It shuts its side: FIN_WAIT1, or LAST_ACK after the client's FIN.
    shuts: bool,
    /// It writes so many bytes before.
    writes: usize,
    /// The client's byte is not read.
    unread: bool,
    linger0: bool,
    /// TCP_LINGER2 is negative.
    linger2: bool,
}

/// When the client is ready, in milliseconds after its start.
const SETTLED: u64 = 3500;

const IDLE: Row = Row {
    before: Before::Idle,
    keep: None,
    limit: 0,
    first: Act::Nothing,
    second: Act::Nothing,
    answers: false,
    leaves: None,
};

fn keeps(keep: Keep, limit: u32) -> Row {
    Row { keep: Some(keep), limit, ..IDLE }
}

fn first(act: Act) -> Row {
    Row { first: act, ..IDLE }
}

fn second(before: Before, act: Act) -> Row {
    Row { before, second: act, ..IDLE }
}

/// Deaths that nobody hears of before the way is open again: ESTABLISHED, FIN_WAIT1, CLOSE_WAIT and
/// LAST_ACK × unread × SO_LINGER 0 × data on the way × what the client does then.
fn dying() -> Vec<Row> {
    let mut rows = vec![];
    for before in [Before::Idle, Before::FinWait2] {
        for bits in 0..32 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let writes = if bit(3) { 4 } else { 0 };
            let (shuts, unread, linger0) = (bit(0), bit(1), bit(2));
            let leaves = Some(Leave { shuts, writes, unread, linger0, linger2: false });
            let act = match before {
                Before::FinWait2 => Act::Close,
                _ => Act::Write,
            };
            let second = if bit(4) { act } else { Act::Nothing };
            rows.push(Row { before, leaves, second, ..IDLE });
        }
    }
    for second in [Act::Nothing, Act::Write, Act::ShutWr, Act::Close] {
        let leave = Leave { shuts: true, writes: 0, unread: false, linger0: false, linger2: true };
        rows.push(Row { leaves: Some(leave), second, ..IDLE });
        rows.push(Row { leaves: Some(Leave { shuts: false, ..leave }), second, ..IDLE });
    }
    rows
}

// tidy: long, because it is a table
/// The rows of a scene, and how long it is watched from "ready" on.
fn scene(name: &str) -> Result<(Vec<Row>, u64), String> {
    let full = |keep, limit| Row { before: Before::Full, keep, limit, ..IDLE };
    let limited = |limit| Row { limit, ..first(Act::Write) };
    let kept = |keep, limit| Row { keep: Some(keep), limit, ..first(Act::Write) };
    Ok(match name {
        // Nothing is wrong but the reader, who does not read.
        "full" => (
            vec![
                full(None, 1000),
                full(None, 3000),
                full(Some((1, 1, 3)), 3000),
                full(Some((1, 1, 3)), 0),
                full(None, 0),
            ],
            6,
        ),
        // The host never answers again.
        "gone" => (
            vec![
                IDLE,
                limited(1000),
                limited(2000),
                limited(3000),
                limited(5000),
                keeps((1, 1, 1), 0),
                keeps((2, 1, 3), 0),
                keeps((1, 1, 9), 0),
                keeps((2, 1, 3), 1000),
                keeps((2, 1, 3), 2000),
                keeps((2, 1, 3), 3500),
                keeps((2, 1, 9), 4000),
                keeps((1, 1, 9), 3000),
                keeps((1, 3, 3), 2500),
                keeps((5, 1, 3), 3000),
                keeps((2, 1, 3), 8000),
                kept((3, 1, 3), 0),
                kept((3, 1, 3), 3000),
                kept((2, 1, 3), 1000),
                Row { keep: Some((2, 1, 3)), ..second(Before::Unread, Act::Nothing) },
                Row { keep: Some((2, 1, 3)), ..second(Before::CloseWait, Act::Nothing) },
                Row { keep: Some((2, 1, 3)), ..second(Before::FinWait2, Act::Nothing) },
                Row { limit: 2000, ..first(Act::ShutWr) },
                Row { limit: 2000, before: Before::CloseWait, ..first(Act::ShutWr) },
            ],
            12,
        ),
        // The host comes back, and knows nobody.
        "reboot" => (
            vec![
                IDLE,
                first(Act::Write),
                first(Act::ShutWr),
                Row { before: Before::CloseWait, ..first(Act::Write) },
                Row { before: Before::CloseWait, ..first(Act::ShutWr) },
                Row { before: Before::Unread, ..first(Act::Write) },
                second(Before::Idle, Act::Write),
                second(Before::Idle, Act::ShutWr),
                second(Before::Idle, Act::Close),
                second(Before::Unread, Act::Write),
                second(Before::Unread, Act::Close),
                second(Before::CloseWait, Act::Write),
                second(Before::CloseWait, Act::ShutWr),
                second(Before::CloseWait, Act::Close),
                second(Before::FinWait2, Act::Nothing),
                second(Before::FinWait2, Act::Close),
                second(Before::ShutRd, Act::Write),
                second(Before::Full, Act::Nothing),
                keeps((3, 1, 9), 0),
                Row { before: Before::FinWait2, ..keeps((3, 1, 9), 0) },
                Row { before: Before::CloseWait, ..keeps((3, 1, 9), 0) },
            ],
            6,
        ),
        // The way is gone for two and a half seconds.
        "healed" => (
            vec![
                IDLE,
                first(Act::Write),
                Row { answers: true, ..IDLE },
                first(Act::ShutWr),
                Row { before: Before::CloseWait, ..first(Act::ShutWr) },
                Row { before: Before::FinWait2, answers: true, ..IDLE },
                keeps((2, 2, 9), 0),
                second(Before::Idle, Act::Write),
                Row { limit: 10_000, ..first(Act::Write) },
            ],
            7,
        ),
        // The server dies while the way is gone, in any state.
        "dying" => (dying(), 7),
        // The way is gone as long, and the server dies meanwhile.
        "late" => (
            vec![
                IDLE,
                first(Act::Write),
                first(Act::ShutWr),
                Row { answers: true, ..IDLE },
                second(Before::Unread, Act::Write),
                Row { before: Before::CloseWait, ..first(Act::Write) },
                second(Before::FinWait2, Act::Nothing),
                second(Before::Full, Act::Nothing),
                keeps((4, 1, 9), 0),
            ],
            7,
        ),
        _ => return Err(format!("there is no scene {name}")),
    })
}

impl Row {
    fn name(self) -> String {
        let mut name = format!("{:?}", self.before);
        if let Some((idle, interval, count)) = self.keep {
            name += &format!(" keepalive {idle}/{interval}/{count}");
        }
        if self.limit != 0 {
            name += &format!(" limit {}", self.limit);
        }
        for (act, when) in [(self.first, "first"), (self.second, "second")] {
            if act != Act::Nothing {
                name += &format!(" {when} {act:?}");
            }
        }
        if self.answers {
            name += " answers";
        }
        if let Some(Leave { shuts, writes, unread, linger0, linger2 }) = self.leaves {
            let marks = [
                (shuts, " shuts"),
                (writes > 0, " writes"),
                (unread, " unread"),
                (linger0, " linger0"),
                (linger2, " linger2"),
            ];
            name.extend(marks.iter().filter(|mark| mark.0).map(|mark| mark.1));
        }
        name
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let result = match words.as_slice() {
        ["--list"] => Ok(()),
        ["server", port, name] => number(port).and_then(|port| server(port, &scene(name)?.0)),
        ["client", host, port, name] => number(port).and_then(|port| client(host, port, name)),
        _ => Err("usage: dark server PORT SCENE | dark client HOST PORT SCENE".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("dark: {why}");
            ExitCode::FAILURE
        }
    }
}

fn number(word: &str) -> Result<u16, String> {
    word.parse().map_err(|_| format!("{word} is not a port"))
}

fn server(port: u16, rows: &[Row]) -> Result<(), String> {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    set_option(fd, SOL_SOCKET, libc::SO_RCVBUF, 4096)?;
    let mut address = loopback(port);
    address.sin_addr.s_addr = 0;
    bind(fd, &address)?;
    listen(fd, 64)?;
    let mut ends = vec![];
    for row in rows {
        let end = accept(fd)?;
        match row.before {
            Before::Unread => drop(write(end, b"hello")?),
            Before::CloseWait => shutdown(end, SHUT_WR)?,
            Before::Idle | Before::Full | Before::FinWait2 | Before::ShutRd => {}
        }
        ends.push(end);
    }
    let notice = accept(fd)?;
    read(notice, 1)?;
    for (row, end) in rows.iter().zip(&ends) {
        if row.keep.is_some() && row.before != Before::CloseWait && row.before != Before::Full {
            write(*end, b"y")?;
        }
    }
    write(notice, b"!")?;
    nap(1000);
    for (row, end) in rows.iter().zip(&ends) {
        if row.answers {
            write(*end, b"late")?;
        }
        if let Some(leave) = row.leaves {
            leave.act(*end)?;
        }
    }
    pause_for_ever()
}

impl Leave {
    fn act(self, end: Fd) -> Sys<()> {
        if !self.unread {
            read(end, 1)?;
        }
        if self.linger0 {
            linger(end, 0)?;
        }
        if self.linger2 {
            set_option(end, IPPROTO_TCP, libc::TCP_LINGER2, -1)?;
        }
        if self.writes > 0 {
            write(end, &b"late"[..self.writes])?;
        }
        if self.shuts {
            shutdown(end, SHUT_WR)?;
        }
        Ok(())
    }
}

fn dial(host: &str, port: u16) -> Result<Fd, String> {
    let ip: std::net::Ipv4Addr = host.parse().map_err(|_| format!("{host} is not an address"))?;
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    let mut address = loopback(port);
    address.sin_addr.s_addr = u32::from(ip).to_be();
    connect(fd, &address)?;
    Ok(fd)
}

/// Brings its end into the state of the row.
fn prepare(fd: Fd, row: Row) -> Result<(), String> {
    if row.leaves.is_some() {
        write(fd, b"x")?;
    }
    match row.before {
        Before::Idle => {}
        Before::Full => {}
        Before::Unread => until_readable(fd)?,
        Before::CloseWait => drop(poll_one(fd, POLLRDHUP, -1)?),
        Before::FinWait2 => {
            shutdown(fd, SHUT_WR)?;
            guests::net::until_state(fd, 5)?;
        }
        Before::ShutRd => shutdown(fd, SHUT_RD)?,
    }
    Ok(())
}

/// Keepalive counts from the byte that comes last; a full window from the write.
fn arm(fd: Fd, row: Row) -> Result<(), String> {
    if row.keep.is_some() && row.before == Before::Unread {
        until_bytes(fd, 6)?;
    } else if row.keep.is_some() && !matches!(row.before, Before::CloseWait | Before::Full) {
        read(fd, 1)?;
    }
    if row.limit != 0 {
        set_option(fd, IPPROTO_TCP, libc::TCP_USER_TIMEOUT, row.limit)?;
    }
    if let Some((idle, interval, count)) = row.keep {
        set_option(fd, IPPROTO_TCP, libc::TCP_KEEPIDLE, idle)?;
        set_option(fd, IPPROTO_TCP, libc::TCP_KEEPINTVL, interval)?;
        set_option(fd, IPPROTO_TCP, libc::TCP_KEEPCNT, count)?;
        set_option(fd, SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    }
    if row.before == Before::Full {
        while send(fd, &[b'f'; 4096], MSG_DONTWAIT).is_ok() {}
    }
    Ok(())
}

fn until_bytes(fd: Fd, many: usize) -> Sys<()> {
    while recv(fd, many, libc::MSG_PEEK)?.len() < many {
        nap(1);
    }
    Ok(())
}

fn act(fd: Fd, act: Act) -> Option<String> {
    let said = match act {
        Act::Nothing => return None,
        Act::Write => format!("write {}", words(send(fd, b"x", 0))),
        Act::ShutWr => format!("shutdown {}", words(shutdown(fd, SHUT_WR))),
        Act::Close => format!("close {}", words(guests::sys::close(fd))),
    };
    Some(said)
}

/// A row while it is watched.
struct End {
    row: Row,
    fd: Fd,
    said: Vec<String>,
    /// When it was told something, in nanoseconds from "ready" on.
    told: Option<u64>,
    closed: bool,
}

fn client(host: &str, port: u16, name: &str) -> Result<(), String> {
    let begun = monotonic();
    signal::ignore(libc::SIGPIPE)?;
    let (rows, seconds) = scene(name)?;
    let mut ends = vec![];
    for row in rows {
        let fd = dial(host, port)?;
        prepare(fd, row)?;
        ends.push(End { row, fd, said: vec![], told: None, closed: false });
    }
    let notice = dial(host, port)?;
    // However long that took.
    nap(SETTLED.saturating_sub((monotonic() - begun) / 1_000_000));
    write(notice, b"?")?;
    read(notice, 1)?;
    for end in &ends {
        arm(end.fd, end.row)?;
    }
    println!("ready");
    let ready = monotonic();
    watch(&mut ends, ready, 1000)?;
    perform(&mut ends, |row| row.first)?;
    watch(&mut ends, ready, 4000)?;
    perform(&mut ends, |row| row.second)?;
    watch(&mut ends, ready, seconds * 1000)?;
    for end in &mut ends {
        println!("{}", told(end)?);
    }
    for end in ends.iter().filter(|end| !end.closed) {
        // So that a run ends at once with everything said.
        linger(end.fd, 0)?;
        guests::sys::close(end.fd)?;
        nap(5);
    }
    Ok(())
}

fn perform(ends: &mut [End], which: impl Fn(&Row) -> Act) -> Sys<()> {
    for end in ends {
        let what = which(&end.row);
        end.said.extend(act(end.fd, what));
        end.closed |= what == Act::Close;
    }
    Ok(())
}

/// Looks until a moment; notes when an end is first told that something happened.
fn watch(ends: &mut [End], ready: u64, until_ms: u64) -> Sys<()> {
    loop {
        let now = (monotonic() - ready) / 1_000_000;
        if now >= until_ms {
            return Ok(());
        }
        let mut items: Vec<libc::pollfd> = ends.iter().map(item).collect();
        let timeout = (until_ms - now) as i32;
        // SAFETY: as many items as there are.
        let got = unsafe { libc::poll(items.as_mut_ptr(), items.len() as u64, timeout) };
        guests::sys::small("poll", got)?;
        for (end, item) in ends.iter_mut().zip(items) {
            if item.revents != 0 {
                end.told = Some(monotonic() - ready);
            }
        }
    }
}

/// What is news to a row: a FIN is none in CLOSE_WAIT, nor are bytes that lie there.
fn item(end: &End) -> libc::pollfd {
    let events = match end.row.before {
        Before::Idle | Before::FinWait2 | Before::Full => POLLIN | POLLRDHUP,
        Before::Unread => POLLRDHUP,
        Before::CloseWait | Before::ShutRd => 0,
    };
    let fd = if end.told.is_some() || end.closed { -1 } else { end.fd };
    libc::pollfd { fd, events, revents: 0 }
}

fn nap(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn words<T: std::fmt::Debug>(result: Sys<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(failed) => format!("errno {}", failed.errno),
    }
}

/// `NAME: SECONDS: what its calls returned`; SECONDS is "never" if nobody told it anything.
fn told(end: &mut End) -> Sys<String> {
    let End { row, fd, .. } = *end;
    // What room there is in a full buffer depends on its bookkeeping.
    if !end.closed && (row.before != Before::Full || end.told.is_some()) {
        end.said.push(format!("bits {:#x}", poll_bits(fd)?));
        for size in [16, 16] {
            end.said.push(format!("read {}", words(recv(fd, size, MSG_DONTWAIT))));
        }
        end.said.push(format!("write {}", words(send(fd, b"x", MSG_DONTWAIT))));
        nap(20);
        end.said.push(format!("bits {:#x}", poll_bits(fd)?));
    }
    let at = end.told.map_or("never".into(), |at| format!("{:.3}", at as f64 / 1e9));
    Ok(format!("{}: {at}: {}", row.name(), end.said.join(", ")))
}
