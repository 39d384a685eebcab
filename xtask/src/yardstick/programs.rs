//! The table of the programs: which of Linux's own tests one gcc line makes a static program of. Left
//! out are those that change the machine (the clock, time zone, suspend), that need devices or
//! libraries, and those about parts that afterlife has not at all (bpf, controllers of
//! cgroups, mounts).

/// One program of the yardstick.
pub struct Program {
    /// Its source below tools/testing/selftests, without `.c`.
    pub source: &'static str,
    /// Further words of the gcc line.
    pub gcc: &'static [&'static str],
    /// What the program is called with.
    pub arguments: &'static [&'static str],
    /// How many seconds it may take natively.
    pub seconds: u64,
}

impl Program {
    /// `pidfd/pidfd_wait`
    pub fn name(&self) -> String {
        self.source.to_owned()
    }

    /// The group that it counts in: its directory.
    pub fn group(&self) -> &'static str {
        self.source.rsplit_once('/').map_or(self.source, |(directory, _)| directory)
    }
}

const fn plain(source: &'static str) -> Program {
    Program { source, gcc: &[], arguments: &[], seconds: 10 }
}

const fn slow(source: &'static str) -> Program {
    Program { source, gcc: &[], arguments: &[], seconds: 60 }
}

const fn cgroup(source: &'static str) -> Program {
    Program { source, gcc: &["cgroup_util.c"], arguments: &[], seconds: 60 }
}

/// In the order in which they run.
pub const PROGRAMS: &[Program] = &[
    Program {
        source: "nolibc/nolibc-test",
        gcc: &[
            "nolibc-test-linkage.c",
            "-nostdlib",
            "-fno-stack-protector",
            "-include",
            "../../../include/nolibc/nolibc.h",
            "-I../../../include/nolibc",
            "-lgcc",
        ],
        arguments: &[],
        seconds: 20,
    },
    plain("sigaltstack/sas"),
    plain("x86/sigaltstack"),
    plain("x86/sigtrap_loop"),
    plain("x86/syscall_nt"),
    plain("x86/single_step_syscall"),
    plain("x86/syscall_numbering"),
    plain("x86/fsgsbase"),
    plain("clone3/clone3"),
    plain("timens/timens"),
    plain("timens/timerfd"),
    plain("timens/timer"),
    plain("timens/clock_nanosleep"),
    plain("timens/procfs"),
    plain("timens/exec"),
    plain("timens/futex"),
    plain("timens/vfork_exec"),
    plain("clone3/clone3_clear_sighand"),
    plain("clone3/clone3_set_tid"),
    plain("pidfd/pidfd_fdinfo_test"),
    plain("pidfd/pidfd_getfd_test"),
    plain("pidfd/pidfd_open_test"),
    slow("pidfd/pidfd_poll_test"),
    plain("pidfd/pidfd_setns_test"),
    slow("pidfd/pidfd_test"),
    plain("pidfd/pidfd_wait"),
    cgroup("cgroup/test_core"),
    cgroup("cgroup/test_kill"),
    cgroup("cgroup/test_freezer"),
    plain("pid_namespace/regression_enomem"),
    plain("exec/execveat"),
    plain("exec/non-regular"),
    plain("exec/null-argv"),
    plain("exec/recursion-depth"),
    slow("timers/posix_timers"),
    slow("timers/nanosleep"),
    slow("timers/nsleep-lat"),
    slow("timers/set-timer-lat"),
    Program { source: "timers/threadtest", gcc: &[], arguments: &["-t", "2"], seconds: 60 },
    Program {
        source: "timers/inconsistency-check",
        gcc: &[],
        arguments: &["-t", "1"],
        seconds: 60,
    },
    slow("timers/mqueue-lat"),
    plain("futex/functional/futex_requeue"),
    plain("futex/functional/futex_requeue_pi"),
    plain("futex/functional/futex_requeue_pi_mismatched_ops"),
    plain("futex/functional/futex_requeue_pi_signal_restart"),
    plain("futex/functional/futex_wait"),
    plain("futex/functional/futex_wait_private_mapped_file"),
    plain("futex/functional/futex_wait_timeout"),
    plain("futex/functional/futex_wait_uninitialized_heap"),
    plain("futex/functional/futex_wait_wouldblock"),
    plain("futex/functional/futex_waitv"),
    Program {
        source: "filesystems/epoll/epoll_wakeup_test",
        gcc: &[],
        arguments: &[],
        seconds: 180,
    },
    slow("filesystems/eventfd/eventfd_test"),
    plain("filesystems/devpts_pts"),
    plain("filelock/ofdlocks"),
    plain("core/close_range_test"),
    plain("core/unshare_test"),
    plain("kcmp/kcmp_test"),
    plain("mincore/mincore_selftest"),
    plain("mqueue/mq_open_tests"),
    plain("ipc/msgque"),
    plain("prctl/set-process-name"),
    plain("proc/fd-001-lookup"),
    plain("proc/fd-002-posix-eq"),
    plain("proc/proc-loadavg-001"),
    plain("proc/proc-self-syscall"),
    plain("proc/proc-self-wchan"),
    slow("proc/proc-uptime-001"),
    plain("proc/proc-uptime-002"),
    plain("proc/self"),
    plain("proc/thread-self"),
    plain("splice/default_file_splice_read"),
    plain("tty/tty_tstamp_update"),
    plain("rlimits/rlimits-per-userns"),
];
