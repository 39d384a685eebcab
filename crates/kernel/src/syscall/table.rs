//! The system call table: one row per call that exists here. A row says its number, name,
//! arguments (for the trace), handler, and how much of Linux's call is there.

use super::rows;
use super::{Call, SysResult};
use crate::kernel::Kernel;

/// How an argument is printed in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Arg {
    Int,
    Uint,
    Hex,
    Fd,
    /// A directory descriptor (AT_FDCWD is printed by name).
    DirFd,
    Ptr,
    /// A NUL-terminated string.
    Str,
    /// A buffer whose length is the next argument.
    Buf,
    Size,
    Pid,
    Signal,
    Octal,
    OpenFlags,
}

/// How much of Linux's call is here (architecture, invariant 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// All that the man page says, as far as anyone found out.
    Full,
    /// The words say what is missing; using that emits `Fact::Unsupported`.
    Partial(&'static str),
    /// A hint without observable effect: validated, stored where a getter returns it.
    Hint,
}

/// A handler: arguments and progress in the call, the rest in the kernel.
pub type Handler = fn(&mut Kernel, &mut Call<'_>) -> SysResult;

/// One system call.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Row {
    pub nr: u64,
    pub name: &'static str,
    pub args: &'static [Arg],
    pub handler: Handler,
    pub support: Support,
}

/// One past the highest number of x86-64 Linux 6.18 (file_setattr is 469).
pub const TABLE_LEN: usize = 480;

const fn build() -> [Option<Row>; TABLE_LEN] {
    let mut table = [None; TABLE_LEN];
    let mut room = 0;
    while room < rows::ROOMS.len() {
        let mut i = 0;
        while i < rows::ROOMS[room].len() {
            let row = rows::ROOMS[room][i];
            assert!(table[row.nr as usize].is_none(), "two rows have the same number");
            table[row.nr as usize] = Some(row);
            i += 1;
        }
        room += 1;
    }
    table
}

static TABLE: [Option<Row>; TABLE_LEN] = build();

/// The row of call `nr`.
pub fn row(nr: u64) -> Option<&'static Row> {
    TABLE.get(usize::try_from(nr).ok()?)?.as_ref()
}
