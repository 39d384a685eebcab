//! Rows of the system call table: System V semaphores, messages and shared memory.
//! Handlers live in the rooms; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::kernel::Kernel;
use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[
    row!(29, "shmget", Kernel::sys_shmget, [Hex, Size, Octal], Partial("no huge pages")),
    row!(30, "shmat", Kernel::sys_shmat, [Int, Ptr, Hex], Full),
    row!(31, "shmctl", Kernel::sys_shmctl, [Int, Int, Ptr], Full),
    row!(64, "semget", Kernel::sys_semget, [Hex, Int, Octal], Full),
    row!(65, "semop", Kernel::sys_semop, [Int, Ptr, Size], Full),
    row!(66, "semctl", Kernel::sys_semctl, [Int, Int, Int, Hex], Full),
    row!(67, "shmdt", Kernel::sys_shmdt, [Ptr], Full),
    row!(68, "msgget", Kernel::sys_msgget, [Hex, Octal], Full),
    row!(69, "msgsnd", Kernel::sys_msgsnd, [Int, Ptr, Size, Octal], Full),
    row!(70, "msgrcv", Kernel::sys_msgrcv, [Int, Ptr, Size, Int, Octal], Full),
    row!(71, "msgctl", Kernel::sys_msgctl, [Int, Int, Ptr], Full),
    row!(220, "semtimedop", Kernel::sys_semtimedop, [Int, Ptr, Size, Ptr], Full),
    row!(
        240,
        "mq_open",
        Kernel::sys_mq_open,
        [Str, OpenFlags, Octal, Ptr],
        Partial("no /dev/mqueue; fstat and read know no queue")
    ),
    row!(241, "mq_unlink", Kernel::sys_mq_unlink, [Str], Full),
    row!(242, "mq_timedsend", Kernel::sys_mq_timedsend, [Fd, Ptr, Size, Uint, Ptr], Full),
    row!(243, "mq_timedreceive", Kernel::sys_mq_timedreceive, [Fd, Ptr, Size, Ptr, Ptr], Full),
    row!(244, "mq_notify", Kernel::sys_mq_notify, [Fd, Ptr], Partial("no SIGEV_THREAD")),
    row!(245, "mq_getsetattr", Kernel::sys_mq_getsetattr, [Fd, Ptr, Ptr], Full),
];
