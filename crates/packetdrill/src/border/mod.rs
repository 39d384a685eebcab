//! The border to C: the table of functions that packetdrill calls, and the one symbol by which it
//! asks for it. Here pointers become slices and errors become errno, and nothing else happens: the
//! only `unsafe` of this crate. Every call has the number and the arguments of the system call of its
//! name (syscalls(2)). `calls` has the functions, `preloaded` those that packetdrill calls by name. Neighbour: `turn`.
#![allow(unsafe_code)]

mod calls;
mod preloaded;

use crate::turn::{Drill, Turn};
use calls::{
    accept, bind, close, connect, epoll_create, epoll_ctl, epoll_wait, fcntl, free,
    getsockopt_of_host, gettimeofday, ioctl, listen, netdev_receive, netdev_send, pipe, poll, read,
    readv, recv, recvfrom, recvmsg, send, sendmsg, sendto, setsockopt, shutdown, socket, splice,
    usleep, write, writev,
};
use core::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use libc::{epoll_event, iovec, msghdr, off_t, pollfd, socklen_t, timeval};
use std::sync::{Arc, Mutex, PoisonError};

/// The host of the script that runs. packetdrill runs one at a time.
static DRILL: Mutex<Option<Arc<Drill>>> = Mutex::new(None);

type Any = *mut c_void;
type Bytes = *const c_void;

/// What packetdrill asks for: data of ours, which is the first argument of every function, and the
/// functions, in this order.
#[repr(C)]
pub struct Interface {
    userdata: Any,
    free: extern "C" fn(Any),
    socket: extern "C" fn(Any, c_int, c_int, c_int) -> c_int,
    bind: unsafe extern "C" fn(Any, c_int, Bytes, socklen_t) -> c_int,
    listen: extern "C" fn(Any, c_int, c_int) -> c_int,
    accept: unsafe extern "C" fn(Any, c_int, Any, *mut socklen_t) -> c_int,
    connect: unsafe extern "C" fn(Any, c_int, Bytes, socklen_t) -> c_int,
    read: unsafe extern "C" fn(Any, c_int, Any, usize) -> isize,
    readv: unsafe extern "C" fn(Any, c_int, *const iovec, c_int) -> isize,
    recv: unsafe extern "C" fn(Any, c_int, Any, usize, c_int) -> isize,
    recvfrom: unsafe extern "C" fn(Any, c_int, Any, usize, c_int, Any, *mut socklen_t) -> isize,
    recvmsg: unsafe extern "C" fn(Any, c_int, *mut msghdr, c_int) -> isize,
    write: unsafe extern "C" fn(Any, c_int, Bytes, usize) -> isize,
    writev: unsafe extern "C" fn(Any, c_int, *const iovec, c_int) -> isize,
    send: unsafe extern "C" fn(Any, c_int, Bytes, usize, c_int) -> isize,
    sendto: unsafe extern "C" fn(Any, c_int, Bytes, usize, c_int, Bytes, socklen_t) -> isize,
    sendmsg: unsafe extern "C" fn(Any, c_int, *const msghdr, c_int) -> isize,
    fcntl: extern "C" fn(Any, c_int, c_int, c_long) -> c_int,
    ioctl: unsafe extern "C" fn(Any, c_int, c_ulong, *mut c_int) -> c_int,
    close: extern "C" fn(Any, c_int) -> c_int,
    shutdown: extern "C" fn(Any, c_int, c_int) -> c_int,
    getsockopt: unsafe extern "C" fn(Any, c_int, c_int, c_int, Any, *mut socklen_t) -> c_int,
    setsockopt: unsafe extern "C" fn(Any, c_int, c_int, c_int, Bytes, socklen_t) -> c_int,
    poll: unsafe extern "C" fn(Any, *mut pollfd, c_ulong, c_int) -> c_int,
    netdev_send: unsafe extern "C" fn(Any, Bytes, usize) -> c_int,
    netdev_receive: unsafe extern "C" fn(Any, Any, *mut usize, *mut c_longlong) -> c_int,
    usleep: extern "C" fn(Any, c_uint) -> c_int,
    gettimeofday: unsafe extern "C" fn(Any, *mut timeval, Any) -> c_int,
    epoll_create: extern "C" fn(Any, c_int) -> c_int,
    epoll_ctl: unsafe extern "C" fn(Any, c_int, c_int, c_int, *const epoll_event) -> c_int,
    epoll_wait: unsafe extern "C" fn(Any, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pipe: unsafe extern "C" fn(Any, *mut c_int) -> c_int,
    splice: unsafe extern "C" fn(Any, c_int, *mut off_t, c_int, *mut off_t, usize, c_uint) -> isize,
}

/// packetdrill's way in: boots a host and fills the table.
///
/// # Safety
/// `flags` is NULL or a string, `interface` has room for the table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(
    flags: *const c_char,
    interface: *mut Interface,
) {
    // SAFETY: the caller's promise.
    let flags = if flags.is_null() { c"" } else { unsafe { CStr::from_ptr(flags) } };
    match Drill::new(&flags.to_string_lossy()) {
        Ok(drill) => *DRILL.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(drill)),
        Err(why) => {
            eprintln!("{why}");
            std::process::exit(2);
        }
    }
    let table = Interface {
        userdata: core::ptr::null_mut(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt: getsockopt_of_host,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: the caller's promise.
    unsafe { interface.write(table) };
}

fn drill() -> Option<Arc<Drill>> {
    DRILL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The host's turn, for `f`.
fn turn<R>(f: impl FnOnce(Turn<'_>) -> R) -> R {
    let drill = drill().expect("packetdrill asks for the table before it calls");
    f(drill.turn())
}

/// A result as C has it: −1 and errno for an error.
fn result(value: i64) -> i64 {
    if (-4095..0).contains(&value) {
        // SAFETY: errno is the thread's own.
        unsafe { *libc::__errno_location() = -value as c_int };
        return -1;
    }
    value
}

/// A call whose arguments are all numbers.
fn plain(nr: c_long, args: [u64; 6]) -> c_int {
    result(turn(|turn| turn.call(nr as u64, args).1)) as c_int
}

fn word(value: c_int) -> u64 {
    i64::from(value) as u64
}

/// What the caller gives. NULL is none.
unsafe fn given<'a>(at: Bytes, len: usize) -> Option<&'a [u8]> {
    // SAFETY: so many bytes are there, as the caller of the call says, unless it gives NULL.
    (!at.is_null()).then(|| unsafe { core::slice::from_raw_parts(at.cast(), len) })
}

/// Where the caller wants something. NULL is none.
unsafe fn wanted<'a>(at: Any, len: usize) -> Option<&'a mut [u8]> {
    // SAFETY: as above.
    (!at.is_null()).then(|| unsafe { core::slice::from_raw_parts_mut(at.cast(), len) })
}

/// A value of the caller's, as bytes that go in and out.
unsafe fn inout<'a, T>(at: *mut T, count: usize) -> Option<&'a mut [u8]> {
    // SAFETY: as above, for `count` values.
    unsafe { wanted(at.cast(), count * size_of::<T>()) }
}

/// The pieces of a vector of buffers.
unsafe fn pieces<'a>(vector: *const iovec, count: usize) -> Vec<Option<&'a mut [u8]>> {
    if vector.is_null() {
        return Vec::new();
    }
    // SAFETY: `count` of them are there, and each names what the caller has.
    let vector = unsafe { core::slice::from_raw_parts(vector, count) };
    vector.iter().map(|piece| unsafe { wanted(piece.iov_base, piece.iov_len) }).collect()
}
