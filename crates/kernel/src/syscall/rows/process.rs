//! Rows of the system call table: processes, credentials, limits and the system's names.
//! Handlers live in the rooms; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::kernel::Kernel;
use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[
    row!(24, "sched_yield", Kernel::sys_sched_yield, [], Full),
    row!(204, "sched_getaffinity", Kernel::sys_sched_getaffinity, [Pid, Size, Ptr], Full),
];
