//! The clocks: clock_gettime(2), clock_getres(2), gettimeofday(2), time(2), times(2). CLOCK_REALTIME
//! is `Config::epoch` plus virtual time; CLOCK_MONOTONIC and its kin are the uptime, which the
//! trapped rdtsc shows too; CPU clocks count virtual CPU time. Neighbours: `sleep`, `posix`.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::{GroupId, TaskId};
use crate::time::{Duration, Instant};

/// How long every host is up when the world begins: what rdtsc starts with, one tick a nanosecond.
pub const BOOT_UPTIME: u64 = 1 << 40;
/// One tick of the coarse clocks: CONFIG_HZ=250.
const TICK: u64 = 4_000_000;
/// USER_HZ: clock_t of times(2), si_utime and si_stime, in nanoseconds.
const CLOCK_T: u64 = 10_000_000;

/// What a clock counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// Nanoseconds since 1970 (CLOCK_REALTIME, CLOCK_TAI).
    Realtime,
    /// Nanoseconds since boot (CLOCK_MONOTONIC).
    Monotonic,
    /// The same (CLOCK_BOOTTIME: the host never sleeps), with an offset of its own in time namespaces.
    Boottime,
    /// CPU time of a process.
    ProcessCpu(GroupId),
    /// CPU time of a thread.
    ThreadCpu(TaskId),
}

impl Clock {
    /// Counts CPU time?
    pub fn is_cpu(self) -> bool {
        match self {
            Clock::ProcessCpu(_) | Clock::ThreadCpu(_) => true,
            Clock::Realtime | Clock::Monotonic | Clock::Boottime => false,
        }
    }
}

/// A clock as a program names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockRef {
    /// What it counts.
    pub clock: Clock,
    /// Moves in ticks.
    pub coarse: bool,
    /// Has timers and sleeps (not the raw and coarse ones).
    pub timers: bool,
}

impl Kernel {
    /// clockid_to_kclock(): EINVAL for a clock that does not exist (CLOCK_REALTIME_ALARM and
    /// CLOCK_BOOTTIME_ALARM don't: the host has no RTC).
    pub fn find_clock(&self, task: TaskId, id: i32) -> Result<ClockRef, Errno> {
        let plain = |clock| ClockRef { clock, coarse: false, timers: true };
        let bare = |clock, coarse| ClockRef { clock, coarse, timers: false };
        Ok(match id {
            0 | 11 => plain(Clock::Realtime),
            1 => plain(Clock::Monotonic),
            7 => plain(Clock::Boottime),
            2 => plain(Clock::ProcessCpu(self.tasks[task].group)),
            3 => plain(Clock::ThreadCpu(task)),
            4 => bare(Clock::Monotonic, false),
            5 => bare(Clock::Realtime, true),
            6 => bare(Clock::Monotonic, true),
            ..0 => plain(self.cpu_clock(task, id)?),
            8.. => return Err(Errno::EINVAL),
        })
    }

    /// pid_for_clock(): bits 0–1 say which time (3 would be a descriptor's), bit 2 says thread, the
    /// rest is the complement of the number; 0 is the caller.
    fn cpu_clock(&self, task: TaskId, id: i32) -> Result<Clock, Errno> {
        let (which, thread, pid) = (id & 3, id & 4 != 0, !(id >> 3));
        if which == 3 {
            return Err(Errno::EINVAL);
        }
        let found = match pid {
            0 => task,
            _ => self.find_task_by_vpid(task, pid).ok_or(Errno::EINVAL)?,
        };
        let group = self.tasks[found].group;
        match thread {
            true if group == self.tasks[task].group => Ok(Clock::ThreadCpu(found)),
            false if self.groups[group].leader == found || pid == 0 => Ok(Clock::ProcessCpu(group)),
            true | false => Err(Errno::EINVAL),
        }
    }

    /// A clock's time in nanoseconds; a dead process's stands still at 0.
    pub fn clock_now(&self, clock: Clock) -> u64 {
        match clock {
            Clock::Realtime => self.config.epoch * 1_000_000_000 + self.now.as_nanos(),
            Clock::Monotonic | Clock::Boottime => self.uptime(),
            Clock::ProcessCpu(group) => {
                let (user, system) = self.group_cputime(group);
                nanos(user + system)
            }
            Clock::ThreadCpu(task) => self.tasks.get(task).map_or(0, |t| nanos(t.utime + t.stime)),
        }
    }

    /// Nanoseconds since the host booted.
    pub fn uptime(&self) -> u64 {
        nanos((self.now - self.config.booted) + self.config.uptime)
    }

    /// The moment at which a clock that moves by itself shows `at`.
    pub fn instant_at(&self, clock: Clock, at: u64) -> Instant {
        let base = match clock {
            Clock::Realtime => self.config.epoch * 1_000_000_000,
            Clock::Monotonic | Clock::Boottime => {
                let uptime = Duration::from_nanos(at).saturating_sub(self.config.uptime);
                return self.config.booted + uptime;
            }
            Clock::ProcessCpu(_) | Clock::ThreadCpu(_) => return Instant(u64::MAX),
        };
        Instant(at.saturating_sub(base))
    }

    /// User and system time of a process, with its threads that are gone.
    pub fn group_cputime(&self, group: GroupId) -> (Duration, Duration) {
        let Some(g) = self.groups.get(group) else { return Default::default() };
        g.tasks
            .iter()
            .filter_map(|t| self.tasks.get(*t))
            .fold((g.utime, g.stime), |(u, s), t| (u + t.utime, s + t.stime))
    }

    /// The same in clock ticks, as SIGCHLD reports it.
    pub fn group_clock_ticks(&self, group: GroupId) -> (i64, i64) {
        let (user, system) = self.group_cputime(group);
        (ticks(user), ticks(system))
    }

    /// get_timespec64() and timespec64_valid(): EFAULT, EINVAL.
    pub fn read_timespec(&self, call: &mut Call<'_>, from: UserPtr) -> Result<Duration, Errno> {
        let bytes: [u8; 16] = call.read_array(from)?;
        let (sec, nsec) = words(&bytes);
        match (u64::try_from(sec), u32::try_from(nsec)) {
            (Ok(sec), Ok(nsec)) if nsec < 1_000_000_000 => Ok(Duration::new(sec, nsec)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// put_timespec64().
    pub fn write_timespec(
        &self,
        call: &mut Call<'_>,
        to: UserPtr,
        time: Duration,
    ) -> Result<(), Errno> {
        call.write_user(to, &pair(time.as_secs(), u64::from(time.subsec_nanos())))
    }

    /// clock_gettime(2).
    pub fn sys_clock_gettime(&mut self, call: &mut Call<'_>) -> SysResult {
        let found = self.find_clock(call.task, call.int(0))?;
        let now = self.clock_now(found.clock);
        let shown = if found.coarse { now / TICK * TICK } else { now };
        let shown = shown.saturating_add_signed(self.timens_offset(call.task, found.clock));
        self.write_timespec(call, call.ptr(1), Duration::from_nanos(shown))?;
        Ok(0)
    }

    /// clock_getres(2).
    pub fn sys_clock_getres(&mut self, call: &mut Call<'_>) -> SysResult {
        let found = self.find_clock(call.task, call.int(0))?;
        let resolution = Duration::from_nanos(if found.coarse { TICK } else { 1 });
        if !call.ptr(1).is_null() {
            self.write_timespec(call, call.ptr(1), resolution)?;
        }
        Ok(0)
    }

    /// clock_settime(2): nobody here has CAP_SYS_TIME; only CLOCK_REALTIME could be set at all.
    pub fn sys_clock_settime(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.int(0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.read_timespec(call, call.ptr(1))?;
        self.refuse_to_set_time(call.task, "clock_settime");
        Err(Errno::EPERM.into())
    }

    /// settimeofday(2): as clock_settime.
    pub fn sys_settimeofday(&mut self, call: &mut Call<'_>) -> SysResult {
        self.refuse_to_set_time(call.task, "settimeofday");
        Err(Errno::EPERM.into())
    }

    fn refuse_to_set_time(&mut self, task: TaskId, name: &str) {
        if self.tasks[task].cred.capable(Cap::SysTime) {
            self.tell(Some(task), Fact::unsupported(name, "virtual time cannot be set"));
        }
    }

    /// gettimeofday(2): the time zone is UTC.
    pub fn sys_gettimeofday(&mut self, call: &mut Call<'_>) -> SysResult {
        let (tv, tz) = (call.ptr(0), call.ptr(1));
        let now = Duration::from_nanos(self.clock_now(Clock::Realtime));
        if !tv.is_null() {
            call.write_user(tv, &pair(now.as_secs(), u64::from(now.subsec_micros())))?;
        }
        if !tz.is_null() {
            call.write_u64(tz, 0)?;
        }
        Ok(0)
    }

    /// time(2).
    pub fn sys_time(&mut self, call: &mut Call<'_>) -> SysResult {
        let seconds = self.clock_now(Clock::Realtime) / 1_000_000_000;
        if !call.ptr(0).is_null() {
            call.write_u64(call.ptr(0), seconds)?;
        }
        Ok(seconds)
    }

    /// times(2).
    pub fn sys_times(&mut self, call: &mut Call<'_>) -> SysResult {
        let group = self.tasks[call.task].group;
        let (utime, stime) = self.group_clock_ticks(group);
        let g = &self.groups[group];
        let (cutime, cstime) = (ticks(g.cutime), ticks(g.cstime));
        if !call.ptr(0).is_null() {
            let mut bytes = [0; 32];
            for (chunk, n) in bytes.chunks_exact_mut(8).zip([utime, stime, cutime, cstime]) {
                chunk.copy_from_slice(&n.to_le_bytes());
            }
            call.write_user(call.ptr(0), &bytes)?;
        }
        Ok(self.uptime() / CLOCK_T)
    }
}

/// A duration in nanoseconds, at most 584 years.
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// nsec_to_clock_t().
fn ticks(d: Duration) -> i64 {
    (nanos(d) / CLOCK_T) as i64
}

/// Two longs, as timespec and timeval are laid out.
pub(super) fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}

/// The two longs again.
pub(super) fn words(bytes: &[u8; 16]) -> (i64, i64) {
    let long = |i: usize| i64::from_le_bytes(bytes[i..i + 8].try_into().expect("8"));
    (long(0), long(8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::signal::testing::World;

    #[test]
    fn clocks_count_from_their_own_beginnings() {
        let mut w = World::new();
        let task = w.process();
        w.kernel.now = Instant(1_500_000_000);
        let mut read = |id: u64| {
            let result = w.call(task, Kernel::sys_clock_gettime, [id, 0x1000, 0, 0, 0, 0]);
            result.map(|_| (w.memory.word(0x1000), w.memory.word(0x1008)))
        };
        assert_eq!(read(0), Ok((1_767_225_601, 500_000_000)));
        assert_eq!(read(1), Ok((1101, 11_627_776)));
        assert_eq!(read(6), Ok((1101, 8_000_000)), "coarse: whole ticks");
        assert_eq!(read(8), Err(Errno::EINVAL), "measured: no RTC");
        assert_eq!(read(10), Err(Errno::EINVAL));
        assert_eq!(read(2), Ok((0, 0)));
    }
}
