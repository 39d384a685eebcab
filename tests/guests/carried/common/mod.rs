//! What the guest programs share: the few C functions that std does not offer, and their results in
//! words. Built with each program by `crates/cli/build.rs`; runs on real Linux and in afterlife.
#![allow(dead_code)]

use std::ffi::{c_int, c_short, c_void};
use std::net::Ipv4Addr;

/// struct pollfd.
#[repr(C)]
pub struct PollFd {
    pub fd: c_int,
    pub events: c_short,
    pub revents: c_short,
}

/// struct linger.
#[repr(C)]
pub struct Linger {
    pub onoff: c_int,
    pub linger: c_int,
}

unsafe extern "C" {
    pub fn fork() -> c_int;
    pub fn pause() -> c_int;
    pub fn kill(pid: c_int, signal: c_int) -> c_int;
    pub fn close(fd: c_int) -> c_int;
    pub fn read(fd: c_int, buf: *mut c_void, len: usize) -> isize;
    pub fn write(fd: c_int, buf: *const c_void, len: usize) -> isize;
    pub fn poll(fds: *mut PollFd, n: u64, timeout: c_int) -> c_int;
    pub fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32)
    -> c_int;
}

/// The last error of a C function, by name.
pub fn errno() -> String {
    let number = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let names = [
        (9, "EBADF"),
        (11, "EAGAIN"),
        (22, "EINVAL"),
        (32, "EPIPE"),
        (104, "ECONNRESET"),
        (107, "ENOTCONN"),
        (110, "ETIMEDOUT"),
        (111, "ECONNREFUSED"),
        (113, "EHOSTUNREACH"),
    ];
    let name = names.iter().find(|(n, _)| *n == number).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| format!("errno {number}"))
}

/// A result of read(2) or write(2): the number, or the error's name.
pub fn outcome(result: isize) -> String {
    if result < 0 { errno() } else { result.to_string() }
}

/// The bits of poll(2) by name.
pub fn bits(revents: c_short) -> String {
    let names =
        [(1, "IN"), (2, "PRI"), (4, "OUT"), (8, "ERR"), (16, "HUP"), (0x2000, "RDHUP")];
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| revents & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "0".to_owned() } else { set.join("|") }
}

/// An address, or a name that /etc/hosts knows.
pub fn resolve(host: &str) -> Option<Ipv4Addr> {
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name == host).then_some(address)
    })
}
