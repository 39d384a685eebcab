//! Rows of the system call table: signals, timers and futexes.
//! Handlers live in the rooms; see `syscall/table.rs` for what a row says.
// tidy: table

use crate::kernel::Kernel;
use crate::syscall::table::Row;

/// The rows.
pub const ROWS: &[Row] = &[
    row!(13, "rt_sigaction", Kernel::sys_rt_sigaction, [Signal, Ptr, Ptr, Size], Full),
    row!(14, "rt_sigprocmask", Kernel::sys_rt_sigprocmask, [Int, Ptr, Ptr, Size], Full),
    row!(15, "rt_sigreturn", Kernel::sys_rt_sigreturn, [], Full),
    row!(34, "pause", Kernel::sys_pause, [], Full),
    row!(35, "nanosleep", Kernel::sys_nanosleep, [Ptr, Ptr], Full),
    row!(36, "getitimer", Kernel::sys_getitimer, [Int, Ptr], Full),
    row!(37, "alarm", Kernel::sys_alarm, [Uint], Full),
    row!(38, "setitimer", Kernel::sys_setitimer, [Int, Ptr, Ptr], Full),
    row!(62, "kill", Kernel::sys_kill, [Pid, Signal], Full),
    row!(96, "gettimeofday", Kernel::sys_gettimeofday, [Ptr, Ptr], Full),
    row!(100, "times", Kernel::sys_times, [Ptr], Full),
    row!(127, "rt_sigpending", Kernel::sys_rt_sigpending, [Ptr, Size], Full),
    row!(128, "rt_sigtimedwait", Kernel::sys_rt_sigtimedwait, [Ptr, Ptr, Ptr, Size], Full),
    row!(129, "rt_sigqueueinfo", Kernel::sys_rt_sigqueueinfo, [Pid, Signal, Ptr], Full),
    row!(130, "rt_sigsuspend", Kernel::sys_rt_sigsuspend, [Ptr, Size], Full),
    row!(131, "sigaltstack", Kernel::sys_sigaltstack, [Ptr, Ptr], Full),
    row!(164, "settimeofday", Kernel::sys_settimeofday, [Ptr, Ptr], Partial("always EPERM")),
    row!(200, "tkill", Kernel::sys_tkill, [Pid, Signal], Full),
    row!(201, "time", Kernel::sys_time, [Ptr], Full),
    row!(202, "futex", Kernel::sys_futex, [Ptr, Int, Uint, Ptr, Ptr, Hex], Full),
    row!(219, "restart_syscall", Kernel::sys_restart_syscall, [], Full),
    row!(222, "timer_create", Kernel::sys_timer_create, [Int, Ptr, Ptr], Full),
    row!(223, "timer_settime", Kernel::sys_timer_settime, [Int, Int, Ptr, Ptr], Full),
    row!(224, "timer_gettime", Kernel::sys_timer_gettime, [Int, Ptr], Full),
    row!(225, "timer_getoverrun", Kernel::sys_timer_getoverrun, [Int], Full),
    row!(226, "timer_delete", Kernel::sys_timer_delete, [Int], Full),
    row!(227, "clock_settime", Kernel::sys_clock_settime, [Int, Ptr], Partial("always EPERM")),
    row!(228, "clock_gettime", Kernel::sys_clock_gettime, [Int, Ptr], Full),
    row!(229, "clock_getres", Kernel::sys_clock_getres, [Int, Ptr], Full),
    row!(
        230,
        "clock_nanosleep",
        Kernel::sys_clock_nanosleep,
        [Int, Int, Ptr, Ptr],
        Partial("not on CPU clocks")
    ),
    row!(234, "tgkill", Kernel::sys_tgkill, [Pid, Pid, Signal], Full),
    row!(273, "set_robust_list", Kernel::sys_set_robust_list, [Ptr, Size], Full),
    row!(274, "get_robust_list", Kernel::sys_get_robust_list, [Pid, Ptr, Ptr], Full),
    row!(297, "rt_tgsigqueueinfo", Kernel::sys_rt_tgsigqueueinfo, [Pid, Pid, Signal, Ptr], Full),
    row!(334, "rseq", Kernel::sys_rseq, [Ptr, Uint, Int, Hex], Full),
    row!(
        449,
        "futex_waitv",
        Kernel::sys_futex_waitv,
        [Ptr, Uint, Hex, Ptr, Int],
        Partial("not NUMA futexes")
    ),
    row!(
        454,
        "futex_wake",
        Kernel::sys_futex_wake,
        [Ptr, Hex, Int, Hex],
        Partial("not NUMA futexes")
    ),
    row!(
        455,
        "futex_wait",
        Kernel::sys_futex_wait,
        [Ptr, Hex, Hex, Hex, Ptr, Int],
        Partial("not NUMA futexes")
    ),
    row!(
        456,
        "futex_requeue",
        Kernel::sys_futex_requeue,
        [Ptr, Hex, Int, Int],
        Partial("not NUMA futexes")
    ),
];
