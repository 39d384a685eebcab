//! `client HOST PORT ROLE`: connects, says its role, waits until something happens to the
//! connection (five seconds at most), and prints what its calls return then: poll(2)'s bits, read,
//! write, and a second write once the answer to the first has come. With the role `keepalive` it
//! sets SO_KEEPALIVE, waits for ever and says for how long.

mod common;

use common::{PollFd, bits, outcome, poll, read, resolve, setsockopt, write};
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::Instant;

const IN: i16 = 1;
const OUT: i16 = 4;
const RDHUP: i16 = 0x2000;
const SOL_SOCKET: i32 = 1;
const SO_KEEPALIVE: i32 = 9;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, host, port, role] = args.as_slice() else {
        eprintln!("usage: client HOST PORT ROLE");
        return ExitCode::from(2);
    };
    let (Some(address), Ok(port)) = (resolve(host), port.parse::<u16>()) else {
        eprintln!("client: no host {host} in /etc/hosts, or no port {port}");
        return ExitCode::from(2);
    };
    let mut stream = match TcpStream::connect((address, port)) {
        Ok(stream) => stream,
        Err(error) => {
            eprintln!("client: connect: {error}");
            return ExitCode::from(1);
        }
    };
    let first = match role.as_str() {
        // Nobody will ever read this.
        "unread" => "unread\nhello".to_owned(),
        role => format!("{role}\n"),
    };
    if let Err(error) = stream.write_all(first.as_bytes()) {
        eprintln!("client: write: {error}");
        return ExitCode::from(1);
    }
    let fd = stream.as_raw_fd();
    if role == "keepalive" {
        println!("{role} to {host}: {}", keep_alive(fd));
        return ExitCode::SUCCESS;
    }
    if wait(fd, IN | RDHUP, 5000) == 0 {
        let written = send(fd);
        let later = wait(fd, IN | RDHUP, 1000);
        println!("{role}: poll → nothing for 5 s, write → {written}, poll → {}", silence(later));
        return ExitCode::SUCCESS;
    }
    println!("{role}: {}", results(fd));
    ExitCode::SUCCESS
}

/// What the calls return now.
fn results(fd: i32) -> String {
    let ready = bits(wait(fd, IN | OUT | RDHUP, 0));
    let mut buffer = [0_u8; 16];
    // SAFETY: the buffer has the length that is given.
    let got = outcome(unsafe { read(fd, buffer.as_mut_ptr().cast(), buffer.len()) });
    let first = send(fd);
    // The answer to a byte that nobody takes any more is a reset, which ends the connection: POLLHUP.
    wait(fd, 0, 1000);
    let second = send(fd);
    format!("poll → {ready}, read → {got}, write → {first}, write → {second}")
}

/// Never writes again; the kernel asks now and then whether the other side is still there.
fn keep_alive(fd: i32) -> String {
    let on = 1_i32;
    // SAFETY: the pointer and the length are those of an int.
    unsafe { setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, (&raw const on).cast(), 4) };
    let begun = Instant::now();
    wait(fd, IN | RDHUP, -1);
    let waited = begun.elapsed().as_secs_f64();
    format!("nothing for {waited:.1} s, then {}", results(fd))
}

/// poll(2) on one descriptor; the bits that it reports.
fn wait(fd: i32, events: i16, timeout_ms: i32) -> i16 {
    let mut one = PollFd { fd, events, revents: 0 };
    // SAFETY: one struct pollfd that lives here.
    unsafe { poll(&raw mut one, 1, timeout_ms) };
    one.revents
}

/// Writes a byte; std ignores SIGPIPE, so that EPIPE is returned.
fn send(fd: i32) -> String {
    // SAFETY: a pointer to one byte.
    outcome(unsafe { write(fd, b"x".as_ptr().cast(), 1) })
}

fn silence(revents: i16) -> String {
    if revents == 0 { "nothing for 1 s".to_owned() } else { bits(revents) }
}
