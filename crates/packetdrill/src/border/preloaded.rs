//! The functions that packetdrill calls by their symbols and not by its table: close(2), getsockopt(2)
//! of blocks of code, sendfile(2). With `LD_PRELOAD` they are these: the host's for what is the host's,
//! else the machine's. Neighbour: `calls`.

use super::calls::{close, getsockopt_of_host};
use super::{Any, drill, result, turn, word};
use crate::host::FIRST_FD;
use core::ffi::{c_int, c_void};
use libc::{off_t, socklen_t};

/// Does a call that packetdrill makes directly, by a symbol that was preloaded, mean the host?
fn of_host(fd: c_int) -> bool {
    fd >= FIRST_FD && drill().is_some()
}

/// `close` for everybody in a process that this library was preloaded into: the host's for what is
/// the host's, else the machine's. packetdrill calls it at the end, for what a script left open.
#[unsafe(export_name = "close")]
extern "C" fn preloaded_close(fd: c_int) -> c_int {
    if of_host(fd) {
        return close(core::ptr::null_mut(), fd);
    }
    // SAFETY: the caller's own descriptor, which it closes.
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}

/// `getsockopt` likewise: blocks of code call it.
///
/// # Safety
/// As getsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: Any,
    len: *mut socklen_t,
) -> c_int {
    if of_host(fd) {
        return unsafe { getsockopt_of_host(core::ptr::null_mut(), fd, level, name, value, len) };
    }
    // SAFETY: what the caller promised to getsockopt(2) holds for the system call too.
    unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) as c_int }
}

/// Most bytes of a file that a script sends.
const MOST: usize = 1 << 20;

/// The bytes of one of packetdrill's own files. None: they can't be read.
fn file_bytes(fd: c_int, offset: *mut off_t, count: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count.min(MOST)];
    let into = bytes.as_mut_ptr().cast::<c_void>();
    // SAFETY: `into` has room for so many bytes; the offset is there, or NULL.
    let got = unsafe {
        match offset.as_ref() {
            Some(at) => libc::pread(fd, into, bytes.len(), *at),
            None => libc::read(fd, into, bytes.len()),
        }
    };
    bytes.truncate(usize::try_from(got).ok()?);
    Some(bytes)
}

/// `sendfile` of one of packetdrill's files into a socket of the host: the host sends a file of its own
/// with the same bytes.
///
/// # Safety
/// As sendfile(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    count: usize,
) -> isize {
    if !of_host(to) {
        // SAFETY: what the caller promised to sendfile(2) holds for the system call too.
        return unsafe { libc::syscall(libc::SYS_sendfile, to, from, offset, count) as isize };
    }
    let Some(bytes) = file_bytes(from, offset, count) else { return -1 };
    let value = turn(|mut turn| {
        let (name, data) = (turn.put(Some(b"sendfile\0")), turn.put(Some(&bytes)));
        let at = turn.put(Some(&0u64.to_le_bytes()));
        let (turn, file) = turn.call(libc::SYS_memfd_create as u64, [name, 0, 0, 0, 0, 0]);
        let file = file as u64;
        let (turn, _) =
            turn.call(libc::SYS_write as u64, [file, data, bytes.len() as u64, 0, 0, 0]);
        let (turn, sent) =
            turn.call(libc::SYS_sendfile as u64, [word(to), file, at, count as u64, 0, 0]);
        turn.call(libc::SYS_close as u64, [file, 0, 0, 0, 0, 0]);
        sent
    });
    // SAFETY: the offset is there, or NULL.
    if let (Some(at), Ok(sent)) = (unsafe { offset.as_mut() }, off_t::try_from(value.max(0))) {
        *at += sent;
    }
    result(value) as isize
}

/// The same by its other name.
///
/// # Safety
/// As sendfile(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    count: usize,
) -> isize {
    unsafe { sendfile(to, from, offset, count) }
}
