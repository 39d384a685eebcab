//! What `cargo xtask bench` measures, as a guest program: `bench WHAT …` prints `begin` and `end`
//! around the part that counts, and whoever reads the output takes the time (a guest's own clock is
//! virtual). The same program runs natively. Not a program of cases: see `src/case.rs` for those.

use guests::sys::{Fd, pipe, read, set_limit, write};
use guests::{net, process};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["getppid", rounds] => getppid(number(rounds)?),
        ["death", connections] => death(number(connections)?),
        ["receive", port] => receive(port),
        ["send", host, port, megabytes] => send(host, port, number(megabytes)?),
        ["hold", port] => hold(port),
        ["keepalive", host, port] => keepalive(host, port),
        _ => Err(format!("bench: no such measurement: {}", words.join(" "))),
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("bench: not a number: {word}"))
}

fn mark(word: &str) -> Result<(), String> {
    Ok(write(1, format!("{word}\n").as_bytes()).map(|_| ())?)
}

fn getppid(rounds: u64) -> Result<(), String> {
    mark("begin")?;
    for _ in 0..rounds {
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    mark("end")
}

/// kill -9 of a process that holds so many established connections, to the last end of file at
/// their peer.
fn death(connections: u64) -> Result<(), String> {
    set_limit(libc::RLIMIT_NOFILE, connections + 64)?;
    let (listener, port) = net::listener(128)?;
    let (accepted, accepts) = pipe()?;
    let victim = process::fork(|| i32::from(accept_all(listener, accepts).is_err()))?;
    let address = net::loopback(port);
    let mut last = -1;
    for _ in 0..connections {
        last = net::socket(libc::AF_INET, libc::SOCK_STREAM)?;
        net::connect(last, &address)?;
        read(accepted, 1)?;
    }
    mark("begin")?;
    process::kill(victim, libc::SIGKILL)?;
    process::wait(victim)?;
    let rest = read(last, 1)?;
    mark("end")?;
    if rest.is_empty() { Ok(()) } else { Err("bench: bytes came from the dead".into()) }
}

fn accept_all(listener: Fd, accepts: Fd) -> Result<(), String> {
    loop {
        net::accept(listener)?;
        write(accepts, b".")?;
    }
}

fn receive(port: &str) -> Result<(), String> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).map_err(|e| e.to_string())?;
    let (mut stream, _) = listener.accept().map_err(|e| e.to_string())?;
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).map_err(|e| e.to_string())? {
            0 => break,
            more => total += more,
        }
    }
    println!("{total} bytes");
    Ok(())
}

fn send(host: &str, port: &str, megabytes: u64) -> Result<(), String> {
    let mut stream = TcpStream::connect(format!("{host}:{port}")).map_err(|e| e.to_string())?;
    let chunk = vec![b'x'; 1 << 18];
    for _ in 0..megabytes * 4 {
        stream.write_all(&chunk).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn hold(port: &str) -> Result<(), String> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).map_err(|e| e.to_string())?;
    let _stream = listener.accept().map_err(|e| e.to_string())?;
    process::pause_for_ever()
}

/// Waits on an idle connection until keepalive gives it up.
fn keepalive(host: &str, port: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(format!("{host}:{port}")).map_err(|e| e.to_string())?;
    net::set_option(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    match stream.read(&mut [0]) {
        Err(error) if error.raw_os_error() == Some(libc::ETIMEDOUT) => {
            println!("ETIMEDOUT");
            Ok(())
        }
        other => Err(format!("bench: the read gave {other:?}, expected ETIMEDOUT")),
    }
}
