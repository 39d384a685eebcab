//! Resource limits of a process: getrlimit(2). Defaults are those of a Debian login, fixed so that
//! the machine's own limits don't leak.

/// One limit; `u64::MAX` is RLIM_INFINITY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Rlimit {
    pub soft: u64,
    pub hard: u64,
}

/// RLIMIT_STACK.
pub const RLIMIT_STACK: usize = 3;
/// RLIMIT_CORE.
pub const RLIMIT_CORE: usize = 4;
/// RLIMIT_NOFILE.
pub const RLIMIT_NOFILE: usize = 7;
/// RLIMIT_NPROC.
pub const RLIMIT_NPROC: usize = 6;
/// RLIMIT_AS.
pub const RLIMIT_AS: usize = 9;
/// RLIMIT_SIGPENDING.
pub const RLIMIT_SIGPENDING: usize = 11;

/// All sixteen, by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rlimits(pub [Rlimit; 16]);

impl Default for Rlimits {
    fn default() -> Self {
        const INF: u64 = u64::MAX;
        let mut limits = [Rlimit { soft: INF, hard: INF }; 16];
        limits[RLIMIT_STACK] = Rlimit { soft: 8 << 20, hard: INF };
        limits[RLIMIT_CORE] = Rlimit { soft: 0, hard: INF };
        limits[RLIMIT_NPROC] = Rlimit { soft: 31_000, hard: 31_000 };
        limits[RLIMIT_NOFILE] = Rlimit { soft: 1024, hard: 1 << 20 };
        limits[8] = Rlimit { soft: 8 << 20, hard: 8 << 20 }; // RLIMIT_MEMLOCK
        limits[RLIMIT_SIGPENDING] = Rlimit { soft: 31_000, hard: 31_000 };
        limits[12] = Rlimit { soft: 819_200, hard: 819_200 }; // RLIMIT_MSGQUEUE
        limits[13] = Rlimit { soft: 0, hard: 0 }; // RLIMIT_NICE
        limits[14] = Rlimit { soft: 0, hard: 0 }; // RLIMIT_RTPRIO
        Rlimits(limits)
    }
}
