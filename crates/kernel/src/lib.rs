//! One Linux host as a value: tasks, signals, descriptor tables, files, sockets and TCP, without
//! I/O, threads, a clock or `unsafe`. `Clone` is a checkpoint.
//!
//! The rooms, in the order in which a process dies: [`syscall`] (kill(2) traps, its row of the
//! table), [`task`] (`send_signal` → `complete_signal` → `get_signal` → `do_group_exit` → `do_exit`),
//! [`fs`] (`exit_files` → `close_files` → `filp_close` → `fput`), [`net`] (`sock_close` →
//! `tcp_close` → FIN, RST or silence), [`tty`] (a session leader's death hangs up its terminal),
//! [`ipc`] (System V's). [`mm`] keeps the areas of address spaces; the bytes belong
//! to whoever implements [`platform::Platform`]. What can be told afterwards is a [`fact`].
//!
//! Principles: blocking is data ([`syscall::Wait`]); time and packets are arguments; unknown is
//! loud ([`fact::Fact::Unsupported`]); a guest's mistake becomes an errno or a signal, ours panics.
#![forbid(unsafe_code)]

pub mod abi;
pub mod arena;
pub mod fact;
pub mod fs;
pub mod ipc;
pub mod kernel;
pub mod mm;
pub mod net;
pub mod platform;
pub mod random;
pub mod syscall;
pub mod task;
pub mod time;
pub mod tty;
pub mod wait_queue;

pub use kernel::{Config, Kernel};
