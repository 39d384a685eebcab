//! The interpreter of `cargo xtask generator`: runs programs of system calls, which several processes
//! and threads make in turn, and prints what each call and each signal handler saw, without anything
//! that differs from run to run (a process is the number of its actor). The same on the real kernel
//! and in afterlife.
//!
//! `actors SETTLE FILE`: the file holds programs (`program N`, then a line `ACTOR CALL ARGUMENTS…` for
//! each step). `coordinator` deals the steps and waits after each one until nobody runs, so a call may
//! block: it ends in whichever step ends it. `actor` makes the calls, which are in `process`, `signals`,
//! `io`, `files`, `sockets`, `polling` and `ipc`; `shared` is the memory between them all.
#![no_main]

mod actor;
mod coordinator;
mod files;
mod io;
mod ipc;
mod polling;
mod process;
mod settle;
mod shared;
mod signals;
mod sockets;

use std::ffi::{CStr, c_char, c_int};

/// Not Rust's own: its runtime would ignore SIGPIPE, handle SIGSEGV and open closed descriptors.
#[unsafe(no_mangle)]
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "only the C library calls it")]
pub extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let words: Vec<&str> = (0..argc as usize)
        // SAFETY: argv has argc strings.
        .map(|i| unsafe { CStr::from_ptr(*argv.add(i)) }.to_str().unwrap_or_default())
        .collect();
    match words.as_slice() {
        [_, "--actor", slot] => actor::come_back(slot.parse().unwrap_or_default()),
        [_, settle, file] => coordinator::run(settle, file),
        _ => {
            eprintln!("usage: actors proc|firstN|free|sleep FILE");
            2
        }
    }
}
