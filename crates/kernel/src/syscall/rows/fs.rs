//! Rows of the system call table: paths, directories and files.
//! Handlers live in the rooms; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[];
