//! Rows of the system call table: descriptors, pipes, reading and writing, polling.
//! Handlers live in the rooms; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::kernel::Kernel;
use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[
    row!(0, "read", Kernel::sys_read, [Fd, Ptr, Size], Full),
    row!(1, "write", Kernel::sys_write, [Fd, Buf, Size], Full),
    row!(3, "close", Kernel::sys_close, [Fd], Full),
    row!(8, "lseek", Kernel::sys_lseek, [Fd, Int, Int], Full),
    row!(16, "ioctl", Kernel::sys_ioctl, [Fd, Hex, Hex], Partial("what the file knows")),
    row!(17, "pread64", Kernel::sys_pread64, [Fd, Ptr, Size, Int], Full),
    row!(18, "pwrite64", Kernel::sys_pwrite64, [Fd, Buf, Size, Int], Full),
    row!(19, "readv", Kernel::sys_readv, [Fd, Ptr, Int], Full),
    row!(20, "writev", Kernel::sys_writev, [Fd, Ptr, Int], Full),
    row!(22, "pipe", Kernel::sys_pipe, [Ptr], Full),
    row!(32, "dup", Kernel::sys_dup, [Fd], Full),
    row!(33, "dup2", Kernel::sys_dup2, [Fd, Fd], Full),
    row!(72, "fcntl", Kernel::sys_fcntl, [Fd, Int, Hex], Partial("no leases, seals, notify")),
    row!(284, "eventfd", Kernel::sys_eventfd, [Uint], Full),
    row!(290, "eventfd2", Kernel::sys_eventfd2, [Uint, Hex], Full),
    row!(292, "dup3", Kernel::sys_dup3, [Fd, Fd, OpenFlags], Full),
    row!(293, "pipe2", Kernel::sys_pipe2, [Ptr, OpenFlags], Partial("no O_NOTIFICATION_PIPE")),
    row!(295, "preadv", Kernel::sys_preadv, [Fd, Ptr, Int, Int], Full),
    row!(296, "pwritev", Kernel::sys_pwritev, [Fd, Ptr, Int, Int], Full),
    row!(
        327,
        "preadv2",
        Kernel::sys_preadv2,
        [Fd, Ptr, Int, Int],
        Partial("no RWF_NOWAIT, RWF_APPEND")
    ),
    row!(
        328,
        "pwritev2",
        Kernel::sys_pwritev2,
        [Fd, Ptr, Int, Int],
        Partial("no RWF_NOWAIT, RWF_APPEND")
    ),
    row!(436, "close_range", Kernel::sys_close_range, [Fd, Fd, Hex], Full),
];
