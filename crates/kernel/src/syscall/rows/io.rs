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
    row!(7, "poll", Kernel::sys_poll, [Ptr, Uint, Int], Full),
    row!(8, "lseek", Kernel::sys_lseek, [Fd, Int, Int], Full),
    row!(16, "ioctl", Kernel::sys_ioctl, [Fd, Hex, Hex], Partial("what the file knows")),
    row!(17, "pread64", Kernel::sys_pread64, [Fd, Ptr, Size, Int], Full),
    row!(18, "pwrite64", Kernel::sys_pwrite64, [Fd, Buf, Size, Int], Full),
    row!(19, "readv", Kernel::sys_readv, [Fd, Ptr, Int], Full),
    row!(20, "writev", Kernel::sys_writev, [Fd, Ptr, Int], Full),
    row!(22, "pipe", Kernel::sys_pipe, [Ptr], Full),
    row!(23, "select", Kernel::sys_select, [Int, Ptr, Ptr, Ptr, Ptr], Full),
    row!(32, "dup", Kernel::sys_dup, [Fd], Full),
    row!(33, "dup2", Kernel::sys_dup2, [Fd, Fd], Full),
    row!(40, "sendfile", Kernel::sys_sendfile, [Fd, Fd, Ptr, Size], Partial("only from files")),
    row!(72, "fcntl", Kernel::sys_fcntl, [Fd, Int, Hex], Partial("no write hints")),
    row!(213, "epoll_create", Kernel::sys_epoll_create, [Int], Full),
    row!(232, "epoll_wait", Kernel::sys_epoll_wait, [Fd, Ptr, Int, Int], Full),
    row!(233, "epoll_ctl", Kernel::sys_epoll_ctl, [Fd, Int, Fd, Ptr], Full),
    row!(270, "pselect6", Kernel::sys_pselect6, [Int, Ptr, Ptr, Ptr, Ptr, Ptr], Full),
    row!(271, "ppoll", Kernel::sys_ppoll, [Ptr, Uint, Ptr, Ptr, Size], Full),
    row!(275, "splice", Kernel::sys_splice, [Fd, Ptr, Fd, Ptr, Size, Hex], Full),
    row!(276, "tee", Kernel::sys_tee, [Fd, Fd, Size, Hex], Full),
    row!(278, "vmsplice", Kernel::sys_vmsplice, [Fd, Ptr, Int, Hex], Full),
    row!(281, "epoll_pwait", Kernel::sys_epoll_pwait, [Fd, Ptr, Int, Int, Ptr, Size], Full),
    row!(282, "signalfd", Kernel::sys_signalfd, [Fd, Ptr, Size], Full),
    row!(283, "timerfd_create", Kernel::sys_timerfd_create, [Int, Hex], Full),
    row!(253, "inotify_init", Kernel::sys_inotify_init, [], Full),
    row!(254, "inotify_add_watch", Kernel::sys_inotify_add_watch, [Fd, Str, Hex], Full),
    row!(255, "inotify_rm_watch", Kernel::sys_inotify_rm_watch, [Fd, Int], Full),
    row!(284, "eventfd", Kernel::sys_eventfd, [Uint], Full),
    row!(286, "timerfd_settime", Kernel::sys_timerfd_settime, [Fd, Hex, Ptr, Ptr], Full),
    row!(287, "timerfd_gettime", Kernel::sys_timerfd_gettime, [Fd, Ptr], Full),
    row!(289, "signalfd4", Kernel::sys_signalfd4, [Fd, Ptr, Size, Hex], Full),
    row!(290, "eventfd2", Kernel::sys_eventfd2, [Uint, Hex], Full),
    row!(291, "epoll_create1", Kernel::sys_epoll_create1, [OpenFlags], Full),
    row!(292, "dup3", Kernel::sys_dup3, [Fd, Fd, OpenFlags], Full),
    row!(293, "pipe2", Kernel::sys_pipe2, [Ptr, OpenFlags], Partial("no O_NOTIFICATION_PIPE")),
    row!(294, "inotify_init1", Kernel::sys_inotify_init1, [OpenFlags], Full),
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
    row!(326, "copy_file_range", Kernel::sys_copy_file_range, [Fd, Ptr, Fd, Ptr, Size, Hex], Full),
    row!(424, "pidfd_send_signal", Kernel::sys_pidfd_send_signal, [Fd, Signal, Ptr, Hex], Full),
    row!(434, "pidfd_open", Kernel::sys_pidfd_open, [Pid, Hex], Full),
    row!(438, "pidfd_getfd", Kernel::sys_pidfd_getfd, [Fd, Fd, Hex], Full),
    row!(436, "close_range", Kernel::sys_close_range, [Fd, Fd, Hex], Full),
    row!(441, "epoll_pwait2", Kernel::sys_epoll_pwait2, [Fd, Ptr, Int, Ptr, Ptr, Size], Full),
];
