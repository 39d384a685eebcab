//! The rows of the system call table, one file a room, in the order of their numbers. Handlers are
//! methods of `Kernel` in the rooms themselves.
// tidy: table

/// One row: `row!(62, "kill", Kernel::sys_kill, [Pid, Signal], Full)`.
macro_rules! row {
    ($nr:literal, $name:literal, $handler:expr, [$($arg:ident),*], $($support:tt)+) => {
        $crate::syscall::table::Row {
            nr: $nr,
            name: $name,
            args: &[$($crate::syscall::table::Arg::$arg),*],
            handler: $handler,
            support: { #[allow(unused_imports)] use $crate::syscall::table::Support::*; $($support)+ },
        }
    };
}

pub mod fs;
pub mod io;
pub mod ipc;
pub mod mm;
pub mod net;
pub mod process;
pub mod signal;

use super::table::Row;

/// All rooms' rows.
pub const ROOMS: &[&[Row]] =
    &[signal::ROWS, process::ROWS, mm::ROWS, io::ROWS, ipc::ROWS, fs::ROWS, net::ROWS];
