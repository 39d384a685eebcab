//! The two ends of a transfer. Its time is what the sender measures, from before connect(2) to the byte
//! with which the receiver says that it has everything. After each tenth the sender says what TCP_INFO
//! tells, so that whoever reads it sees how far it is, and the curve.

use guests::sys::{Sys, errno, monotonic, small};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// What goes through one call.
const CHUNK: usize = 1 << 18;

/// Accepts one connection and reads it to its end.
pub fn receive(listener: &TcpListener) -> Result<(), String> {
    let (mut stream, _) = listener.accept().map_err(|e| e.to_string())?;
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).map_err(|e| e.to_string())? {
            0 => break,
            more => total += more,
        }
    }
    println!("received {total}");
    stream.write_all(b".").map_err(|e| e.to_string())
}

/// Sends so many bytes, with the congestion control that afterlife has.
pub fn send(
    bytes: u64,
    connect: impl FnOnce() -> std::io::Result<TcpStream>,
) -> Result<(), String> {
    let began = monotonic();
    let mut stream = connect().map_err(|e| e.to_string())?;
    cubic(&stream)?;
    let chunk = vec![b'x'; CHUNK];
    let (mut sent, mut tenth) = (0, 1);
    while sent < bytes {
        let some = (bytes - sent).min(CHUNK as u64);
        stream.write_all(&chunk[..some as usize]).map_err(|e| e.to_string())?;
        sent += some;
        if sent * 10 >= bytes * tenth {
            let now = monotonic() - began;
            println!("sent {tenth}0 % after {now} ns: {}", info(&stream)?);
            tenth += 1;
        }
    }
    stream.shutdown(std::net::Shutdown::Write).map_err(|e| e.to_string())?;
    stream.read_exact(&mut [0]).map_err(|e| e.to_string())?;
    println!("took {} ns: {}", monotonic() - began, info(&stream)?);
    Ok(())
}

fn cubic(stream: &TcpStream) -> Result<(), String> {
    let (name, fd) = (b"cubic", stream.as_raw_fd());
    let (level, option, length) = (libc::IPPROTO_TCP, libc::TCP_CONGESTION, name.len() as u32);
    // SAFETY: the pointer and the length are those of the name.
    let set = unsafe { libc::setsockopt(fd, level, option, name.as_ptr().cast(), length) };
    if set == 0 { Ok(()) } else { Err(format!("throughput: no cubic: errno {}", errno())) }
}

/// Some of TCP_INFO's words; the first two are bytes.
fn info(stream: &TcpStream) -> Sys<String> {
    let mut words = [0_u32; 26];
    let mut length = size_of_val(&words) as u32;
    let (fd, level, option) = (stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the pointer and the length are those of the words.
    let got =
        unsafe { libc::getsockopt(fd, level, option, words.as_mut_ptr().cast(), &raw mut length) };
    small("getsockopt", got)?;
    let (unacked, rtt, ssthresh, cwnd, resent) =
        (words[6], words[17], words[19], words[20], words[25]);
    Ok(format!("cwnd {cwnd} ssthresh {ssthresh} rtt {rtt} us unacked {unacked} resent {resent}"))
}
