//! Rows of the system call table: paths, directories and files.
//! Handlers live in the rooms; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::kernel::Kernel;
use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[
    row!(2, "open", Kernel::sys_open, [Str, OpenFlags, Octal], Full),
    row!(4, "stat", Kernel::sys_stat, [Str, Ptr], Full),
    row!(5, "fstat", Kernel::sys_fstat, [Fd, Ptr], Full),
    row!(6, "lstat", Kernel::sys_lstat, [Str, Ptr], Full),
    row!(21, "access", Kernel::sys_access, [Str, Octal], Full),
    row!(78, "getdents", Kernel::sys_getdents, [Fd, Ptr, Size], Full),
    row!(79, "getcwd", Kernel::sys_getcwd, [Ptr, Size], Full),
    row!(80, "chdir", Kernel::sys_chdir, [Str], Full),
    row!(81, "fchdir", Kernel::sys_fchdir, [Fd], Full),
    row!(85, "creat", Kernel::sys_creat, [Str, Octal], Full),
    row!(137, "statfs", Kernel::sys_statfs, [Str, Ptr], Full),
    row!(138, "fstatfs", Kernel::sys_fstatfs, [Fd, Ptr], Full),
    row!(161, "chroot", Kernel::sys_chroot, [Str], Full),
    row!(217, "getdents64", Kernel::sys_getdents64, [Fd, Ptr, Size], Full),
    row!(257, "openat", Kernel::sys_openat, [DirFd, Str, OpenFlags, Octal], Full),
    row!(262, "newfstatat", Kernel::sys_newfstatat, [DirFd, Str, Ptr, Hex], Full),
    row!(269, "faccessat", Kernel::sys_faccessat, [DirFd, Str, Octal], Full),
    row!(332, "statx", Kernel::sys_statx, [DirFd, Str, Hex, Hex, Ptr], Full),
    row!(437, "openat2", Kernel::sys_openat2, [DirFd, Str, Ptr, Size], Partial("RESOLVE_CACHED")),
    row!(439, "faccessat2", Kernel::sys_faccessat2, [DirFd, Str, Octal, Hex], Full),
];
