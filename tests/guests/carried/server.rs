//! `server PORT N`: accepts N connections, does with each what its first line asks for, and then
//! only waits to be killed. What becomes of the connections then is up to the kernel.
//!
//!   idle     keeps the connection and reads all that comes up to here
//!   unread   the same, but the client sent more, which stays unread
//!   linger0  sets SO_LINGER to zero seconds
//!   shared   forks; the child holds this connection, and nothing else, and waits too
//!
//! Further clients stay in the accept queue.

mod common;

use common::{Linger, close, fork, pause, read, setsockopt};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::ExitCode;

const SOL_SOCKET: i32 = 1;
const SO_LINGER: i32 = 13;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let port = args.next().and_then(|a| a.parse::<u16>().ok());
    let connections = args.next().and_then(|a| a.parse::<usize>().ok());
    let (Some(port), Some(connections)) = (port, connections) else {
        eprintln!("usage: server PORT CONNECTIONS");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(("0.0.0.0", port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("server: cannot listen on port {port}: {error}");
            return ExitCode::from(1);
        }
    };
    let mut held = vec![listener.as_raw_fd()];
    for _ in 0..connections {
        let fd = match listener.accept() {
            Ok((stream, _)) => stream.into_raw_fd(),
            Err(error) => {
                eprintln!("server: accept: {error}");
                return ExitCode::from(1);
            }
        };
        held.push(fd);
        match first_line(fd).as_str() {
            "linger0" => linger0(fd),
            "shared" => share(fd, &held),
            _ => {}
        }
    }
    // SAFETY: no arguments; returns only when a handler ran, and there is none.
    unsafe { pause() };
    ExitCode::SUCCESS
}

/// Reads to the end of the line and not a byte further.
fn first_line(fd: i32) -> String {
    let mut line = Vec::new();
    loop {
        let mut byte = 0_u8;
        // SAFETY: one byte that lives here.
        let got = unsafe { read(fd, (&raw mut byte).cast(), 1) };
        if got != 1 || byte == b'\n' {
            return String::from_utf8_lossy(&line).into_owned();
        }
        line.push(byte);
    }
}

fn linger0(fd: i32) {
    let linger = Linger { onoff: 1, linger: 0 };
    // SAFETY: the pointer and the length are those of a struct linger.
    unsafe { setsockopt(fd, SOL_SOCKET, SO_LINGER, (&raw const linger).cast(), 8) };
}

/// The child keeps `fd` of all that is held.
fn share(fd: i32, held: &[i32]) {
    // SAFETY: this program has one thread.
    if unsafe { fork() } != 0 {
        return;
    }
    for other in held.iter().filter(|other| **other != fd) {
        // SAFETY: the child never uses these again.
        unsafe { close(*other) };
    }
    loop {
        // SAFETY: no arguments.
        unsafe { pause() };
    }
}
