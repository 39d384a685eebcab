//! Rows of the system call table: sockets.
//! Handlers live in `net/{calls,msg,sockopt}`; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::kernel::Kernel;
use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[
    row!(41, "socket", Kernel::sys_socket, [Int, Hex, Int], Partial("AF_INET and AF_UNIX only")),
    row!(42, "connect", Kernel::sys_connect, [Fd, Ptr, Size], Full),
    row!(43, "accept", Kernel::sys_accept, [Fd, Ptr, Ptr], Full),
    row!(44, "sendto", Kernel::sys_sendto, [Fd, Buf, Size, Hex, Ptr, Size], Full),
    row!(45, "recvfrom", Kernel::sys_recvfrom, [Fd, Ptr, Size, Hex, Ptr, Ptr], Full),
    row!(46, "sendmsg", Kernel::sys_sendmsg, [Fd, Ptr, Hex], Full),
    row!(47, "recvmsg", Kernel::sys_recvmsg, [Fd, Ptr, Hex], Full),
    row!(48, "shutdown", Kernel::sys_shutdown, [Fd, Int], Full),
    row!(49, "bind", Kernel::sys_bind, [Fd, Ptr, Size], Full),
    row!(50, "listen", Kernel::sys_listen, [Fd, Int], Full),
    row!(51, "getsockname", Kernel::sys_getsockname, [Fd, Ptr, Ptr], Full),
    row!(52, "getpeername", Kernel::sys_getpeername, [Fd, Ptr, Ptr], Full),
    row!(53, "socketpair", Kernel::sys_socketpair, [Int, Hex, Int, Ptr], Full),
    row!(
        54,
        "setsockopt",
        Kernel::sys_setsockopt,
        [Fd, Int, Int, Ptr, Size],
        Partial("options that no rule names")
    ),
    row!(
        55,
        "getsockopt",
        Kernel::sys_getsockopt,
        [Fd, Int, Int, Ptr, Ptr],
        Partial("options that no rule names")
    ),
    row!(288, "accept4", Kernel::sys_accept4, [Fd, Ptr, Ptr, Hex], Full),
    row!(299, "recvmmsg", Kernel::sys_recvmmsg, [Fd, Ptr, Uint, Hex, Ptr], Partial("timeout")),
    row!(307, "sendmmsg", Kernel::sys_sendmmsg, [Fd, Ptr, Uint, Hex], Full),
];
