//! Rows of the system call table: memory.
//! Handlers live in the rooms; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::kernel::Kernel;
use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[
    row!(9, "mmap", Kernel::sys_mmap, [Ptr, Size, Hex, Hex, Fd, Hex], Partial("no huge pages")),
    row!(10, "mprotect", Kernel::sys_mprotect, [Ptr, Size, Hex], Full),
    row!(11, "munmap", Kernel::sys_munmap, [Ptr, Size], Full),
    row!(12, "brk", Kernel::sys_brk, [Ptr], Full),
    row!(25, "mremap", Kernel::sys_mremap, [Ptr, Size, Size, Hex, Ptr], Partial("no DONTUNMAP")),
    row!(26, "msync", Kernel::sys_msync, [Ptr, Size, Hex], Full),
    row!(27, "mincore", Kernel::sys_mincore, [Ptr, Size, Ptr], Full),
    row!(28, "madvise", Kernel::sys_madvise, [Ptr, Size, Int], Partial("no guard pages")),
    row!(149, "mlock", Kernel::sys_mlock, [Ptr, Size], Hint),
    row!(150, "munlock", Kernel::sys_munlock, [Ptr, Size], Hint),
    row!(151, "mlockall", Kernel::sys_mlockall, [Hex], Hint),
    row!(152, "munlockall", Kernel::sys_munlockall, [], Hint),
    row!(216, "remap_file_pages", Kernel::sys_remap_file_pages, [Ptr, Size, Hex, Uint, Hex], Full),
    row!(
        310,
        "process_vm_readv",
        Kernel::sys_process_vm_readv,
        [Pid, Ptr, Uint, Ptr, Uint, Hex],
        Full
    ),
    row!(
        311,
        "process_vm_writev",
        Kernel::sys_process_vm_writev,
        [Pid, Ptr, Uint, Ptr, Uint, Hex],
        Full
    ),
    row!(325, "mlock2", Kernel::sys_mlock2, [Ptr, Size, Hex], Hint),
    row!(462, "mseal", Kernel::sys_mseal, [Ptr, Size, Hex], Full),
];
