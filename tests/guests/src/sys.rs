//! System calls as functions that return `Result`: the failed call's name and errno travel by `?`
//! and become the case's sentence. Thin on purpose; a rule about flags is tested by passing flags.

use std::ffi::CString;
use std::path::{Path, PathBuf};

/// A descriptor's number.
pub type Fd = i32;

/// A system call that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// The call.
    pub call: &'static str,
    /// Its errno.
    pub errno: i32,
}

/// What a wrapper returns.
pub type Sys<T> = Result<T, Failed>;

impl From<Failed> for String {
    fn from(failed: Failed) -> String {
        format!("{} failed: {}", failed.call, describe(failed.errno))
    }
}

/// An errno in words.
pub fn describe(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// The calling thread's errno.
pub fn errno() -> i32 {
    // SAFETY: the location is valid for as long as the thread lives.
    unsafe { *libc::__errno_location() }
}

/// Turns libc's −1 into the failure.
pub fn check(call: &'static str, result: impl Into<i64>) -> Sys<i64> {
    match result.into() {
        -1 => Err(Failed { call, errno: errno() }),
        value => Ok(value),
    }
}

/// The same for calls that return a descriptor or another small number.
pub fn small(call: &'static str, result: i32) -> Sys<i32> {
    check(call, result).map(|_| result)
}

/// The same for calls that return a count.
pub fn count(call: &'static str, result: isize) -> Sys<usize> {
    check(call, result as i64).map(|value| value as usize)
}

/// Any system call by number, past the C library.
pub fn raw(call: &'static str, number: i64, args: [i64; 6]) -> Sys<i64> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the callers pass addresses of live objects of the sizes that the call expects.
    check(call, unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// pipe2(2): the reading end and the writing end.
pub fn pipe2(flags: i32) -> Sys<(Fd, Fd)> {
    let mut ends = [0; 2];
    // SAFETY: two descriptors fit.
    small("pipe2", unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    Ok((ends[0], ends[1]))
}

/// pipe(2).
pub fn pipe() -> Sys<(Fd, Fd)> {
    pipe2(0)
}

/// read(2) into a fresh buffer of `size` bytes, cut to what came.
pub fn read(fd: Fd, size: usize) -> Sys<Vec<u8>> {
    let mut buffer = vec![0; size];
    // SAFETY: the buffer has `size` bytes.
    let got = count("read", unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), size) })?;
    buffer.truncate(got);
    Ok(buffer)
}

/// Reads until the end or an error; the bytes before it, and how it ended.
pub fn drain(fd: Fd) -> (Vec<u8>, Sys<()>) {
    let mut all = Vec::new();
    loop {
        match read(fd, 65536) {
            Ok(bytes) if bytes.is_empty() => return (all, Ok(())),
            Ok(bytes) => all.extend(bytes),
            Err(failed) => return (all, Err(failed)),
        }
    }
}

/// write(2).
pub fn write(fd: Fd, bytes: &[u8]) -> Sys<usize> {
    // SAFETY: the slice is valid.
    count("write", unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

/// close(2).
pub fn close(fd: Fd) -> Sys<()> {
    // SAFETY: closing a number has no memory effect.
    small("close", unsafe { libc::close(fd) }).map(|_| ())
}

/// open(2) with a mode.
pub fn open(path: &Path, flags: i32, mode: u32) -> Sys<Fd> {
    let path = c_path(path);
    // SAFETY: a C string.
    small("open", unsafe { libc::open(path.as_ptr(), flags, mode) })
}

/// A path as a C string.
pub fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap_or_default()
}

/// lseek(2).
pub fn lseek(fd: Fd, offset: i64, whence: i32) -> Sys<i64> {
    // SAFETY: no memory is involved.
    check("lseek", unsafe { libc::lseek(fd, offset, whence) })
}

/// dup2(2).
pub fn dup2(from: Fd, to: Fd) -> Sys<Fd> {
    // SAFETY: no memory is involved.
    small("dup2", unsafe { libc::dup2(from, to) })
}

/// dup(2).
pub fn dup(fd: Fd) -> Sys<Fd> {
    // SAFETY: no memory is involved.
    small("dup", unsafe { libc::dup(fd) })
}

/// fcntl(2) with a number.
pub fn fcntl(fd: Fd, command: i32, argument: i32) -> Sys<i32> {
    // SAFETY: these commands take a number.
    small("fcntl", unsafe { libc::fcntl(fd, command, argument) })
}

/// poll(2) on one descriptor: the bits that came back, 0 after the timeout (ms, −1 for none).
pub fn poll_one(fd: Fd, events: i16, timeout: i32) -> Sys<i16> {
    let mut item = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one item.
    small("poll", unsafe { libc::poll(&mut item, 1, timeout) })?;
    Ok(item.revents)
}

/// Every poll bit that a descriptor can show now.
pub fn poll_bits(fd: Fd) -> Sys<i16> {
    poll_one(fd, libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP, 0)
}

/// epoll_create1(2).
pub fn epoll() -> Sys<Fd> {
    // SAFETY: no memory is involved.
    small("epoll_create1", unsafe { libc::epoll_create1(0) })
}

/// epoll_ctl(2).
pub fn epoll_ctl(epoll: Fd, operation: i32, fd: Fd, events: u32, data: u64) -> Sys<()> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: one event.
    small("epoll_ctl", unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }).map(|_| ())
}

/// epoll_wait(2): (events, data) in the kernel's order.
pub fn epoll_wait(epoll: Fd, most: usize, timeout: i32) -> Sys<Vec<(u32, u64)>> {
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; most];
    // SAFETY: `most` events fit.
    let got = small("epoll_wait", unsafe {
        libc::epoll_wait(epoll, events.as_mut_ptr(), most as i32, timeout)
    })?;
    Ok(events.iter().take(got as usize).map(|event| (event.events, event.u64)).collect())
}

/// A limit of this process, soft and hard alike.
pub fn set_limit(which: u32, value: u64) -> Sys<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: a valid struct.
    small("setrlimit", unsafe { libc::setrlimit(which, &limit) }).map(|_| ())
}

/// Shared anonymous memory of one page, for counters that parent and child both see.
pub fn shared_words() -> Sys<&'static [std::sync::atomic::AtomicU32]> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let at = map(4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)?;
    // SAFETY: a fresh page of zeroes that is never unmapped; atomics may be shared.
    Ok(unsafe { std::slice::from_raw_parts(at as *const _, 1024) })
}

/// mmap(2) at an address of the kernel's choice.
pub fn map(length: usize, protection: i32, flags: i32, fd: Fd, offset: i64) -> Sys<usize> {
    // SAFETY: without MAP_FIXED no existing mapping is changed.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd, offset) };
    if at == libc::MAP_FAILED {
        Err(Failed { call: "mmap", errno: errno() })
    } else {
        Ok(at as usize)
    }
}

/// A fresh directory for this process's files. A process of this number that another user had may
/// have left one that cannot be removed: then the next name.
pub fn scratch() -> Result<PathBuf, String> {
    let name = format!("guest-{}", std::process::id());
    let mut path = std::env::temp_dir().join(&name);
    for again in 1.. {
        let _ = std::fs::remove_dir_all(&path);
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && again < 100 => {
                path = std::env::temp_dir().join(format!("{name}-{again}"));
            }
            Err(error) => return Err(format!("{}: {error}", path.display())),
            Ok(()) => break,
        }
    }
    Ok(path)
}

/// Nanoseconds on CLOCK_MONOTONIC.
pub fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
