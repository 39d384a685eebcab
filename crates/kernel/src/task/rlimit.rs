//! Resource limits of a process: getrlimit(2). Defaults are those of a Debian login, fixed so that
//! the machine's own limits don't leak.

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::signal::{SigInfo, Target};
use crate::task::timer::clock::Clock;
use crate::task::{GroupId, TaskId};
use crate::time::Duration;

/// One limit; `u64::MAX` is RLIM_INFINITY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Rlimit {
    pub soft: u64,
    pub hard: u64,
}

/// RLIMIT_CPU.
pub const RLIMIT_CPU: usize = 0;
/// RLIMIT_DATA.
pub const RLIMIT_DATA: usize = 2;
/// RLIMIT_STACK.
pub const RLIMIT_STACK: usize = 3;
/// RLIMIT_CORE.
pub const RLIMIT_CORE: usize = 4;
/// RLIMIT_NOFILE.
pub const RLIMIT_NOFILE: usize = 7;
/// RLIMIT_NPROC.
pub const RLIMIT_NPROC: usize = 6;
/// RLIMIT_MEMLOCK.
pub const RLIMIT_MEMLOCK: usize = 8;
/// RLIMIT_AS.
pub const RLIMIT_AS: usize = 9;
/// RLIMIT_SIGPENDING.
pub const RLIMIT_SIGPENDING: usize = 11;
/// Bytes of POSIX message queues.
pub const RLIMIT_MSGQUEUE: usize = 12;

/// RLIMIT_NICE.
pub const RLIMIT_NICE: usize = 13;
/// RLIMIT_RTPRIO.
pub const RLIMIT_RTPRIO: usize = 14;

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

impl Kernel {
    /// rlimit(): the soft limit of `task`'s process.
    pub fn rlimit(&self, task: TaskId, which: usize) -> u64 {
        self.groups[self.tasks[task].group].rlimits.0[which].soft
    }

    /// The CPU time in nanoseconds at which a process meets its next limit on it.
    fn next_cpu_limit(&self, group: GroupId) -> Option<u64> {
        let Rlimit { soft, hard } = self.groups[group].rlimits.0[RLIMIT_CPU];
        let seconds = soft.min(hard);
        (seconds != u64::MAX).then(|| seconds.saturating_mul(1_000_000_000))
    }

    /// How much more CPU time `task`'s process may use before it meets RLIMIT_CPU.
    pub fn cpu_limit_remaining(&self, task: TaskId) -> Option<Duration> {
        let group = self.tasks[task].group;
        let used = self.clock_now(Clock::ProcessCpu(group));
        self.next_cpu_limit(group).map(|limit| Duration::from_nanos(limit.saturating_sub(used)))
    }

    /// check_process_timers(), its part on RLIMIT_CPU: SIGKILL at the hard limit; SIGXCPU at the soft
    /// one, which moves on by a second.
    pub fn check_cpu_limit(&mut self, task: TaskId) {
        if self.cpu_limit_remaining(task) != Some(Duration::ZERO) {
            return;
        }
        let group = self.tasks[task].group;
        let seconds = self.clock_now(Clock::ProcessCpu(group)) / 1_000_000_000;
        let limit = &mut self.groups[group].rlimits.0[RLIMIT_CPU];
        let signal = if seconds >= limit.hard {
            Signal::SIGKILL
        } else {
            limit.soft += 1;
            Signal::SIGXCPU
        };
        // From the kernel, to itself: it cannot fail.
        let _ = self.send_signal(SigInfo::kernel(signal), Target::Process(task));
    }

    /// getrlimit(2).
    pub fn sys_getrlimit(&mut self, call: &mut Call<'_>) -> SysResult {
        let which = resource(call.arg(0))?;
        let limit = self.groups[self.tasks[call.task].group].rlimits.0[which];
        write_limit(call, call.ptr(1), limit)?;
        Ok(0)
    }

    /// setrlimit(2).
    pub fn sys_setrlimit(&mut self, call: &mut Call<'_>) -> SysResult {
        let new = read_limit(call, call.ptr(1))?;
        let which = resource(call.arg(0))?;
        self.do_prlimit(call.task, call.task, which, Some(new))?;
        Ok(0)
    }

    /// prlimit64(2).
    pub fn sys_prlimit64(&mut self, call: &mut Call<'_>) -> SysResult {
        let (pid, new, old) = (call.int(0), call.ptr(2), call.ptr(3));
        let new = if new.is_null() { None } else { Some(read_limit(call, new)?) };
        let target = match pid {
            0 => call.task,
            n => self.find_task_by_vpid(call.task, n).ok_or(Errno::ESRCH)?,
        };
        let (me, them) = (&self.tasks[call.task].cred, &self.tasks[target].cred);
        let same = [them.uid, them.euid, them.suid] == [me.uid; 3]
            && [them.gid, them.egid, them.sgid] == [me.gid; 3];
        if target != call.task
            && !same
            && !self.ns_capable(call.task, them.user_ns, Cap::SysResource)
        {
            return Err(Errno::EPERM.into());
        }
        let which = resource(call.arg(1))?;
        let before = self.do_prlimit(call.task, target, which, new)?;
        if !old.is_null() {
            write_limit(call, old, before)?;
        }
        Ok(0)
    }

    /// do_prlimit(): returns the old limit. EINVAL if soft > hard, EPERM to raise the hard one.
    fn do_prlimit(
        &mut self,
        task: TaskId,
        target: TaskId,
        which: usize,
        new: Option<Rlimit>,
    ) -> Result<Rlimit, Errno> {
        let nr_open = u64::from(self.sysctls.nr_open);
        let privileged = self.tasks[task].cred.capable(Cap::SysResource);
        let limit = &mut self.groups[self.tasks[target].group].rlimits.0[which];
        let old = *limit;
        if let Some(new) = new {
            if new.soft > new.hard {
                return Err(Errno::EINVAL);
            }
            let too_many_files = which == RLIMIT_NOFILE && new.hard > nr_open;
            if too_many_files || (new.hard > old.hard && !privileged) {
                return Err(Errno::EPERM);
            }
            *limit = new;
        }
        Ok(old)
    }
}

fn resource(number: u64) -> Result<usize, Errno> {
    usize::try_from(number as u32).ok().filter(|n| *n < 16).ok_or(Errno::EINVAL)
}

fn read_limit(call: &mut Call<'_>, from: UserPtr) -> Result<Rlimit, Errno> {
    Ok(Rlimit { soft: call.read_u64(from)?, hard: call.read_u64(from.add(8))? })
}

fn write_limit(call: &mut Call<'_>, to: UserPtr, limit: Rlimit) -> Result<(), Errno> {
    call.write_u64(to, limit.soft)?;
    call.write_u64(to.add(8), limit.hard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::signal::testing::World;

    #[test]
    fn the_soft_limit_on_cpu_time_says_sigxcpu_each_second_and_the_hard_one_kills() {
        let mut w = World::new();
        let task = w.process();
        let group = w.kernel.tasks[task].group;
        w.kernel.groups[group].rlimits.0[RLIMIT_CPU] = Rlimit { soft: 1, hard: 3 };
        let mut after = |millis| {
            w.kernel.tasks[task].utime = Duration::from_millis(millis);
            w.kernel.check_cpu_limit(task);
            let pending = &mut w.kernel.groups[group].shared_pending.signal;
            let came = [Signal::SIGXCPU, Signal::SIGKILL].map(|s| pending.has(s));
            pending.remove(Signal::SIGXCPU);
            (came, w.kernel.cpu_limit_remaining(task))
        };
        let left = |millis| Some(Duration::from_millis(millis));
        assert_eq!(after(999), ([false, false], left(1)));
        assert_eq!(after(1000), ([true, false], left(1000)));
        assert_eq!(after(1500), ([false, false], left(500)));
        assert_eq!(after(2000), ([true, false], left(1000)));
        assert_eq!(after(3000), ([false, true], left(0)));
    }
}
