//! Interval timers: alarm(2), setitimer(2), getitimer(2). ITIMER_REAL counts uptime and is armed
//! again only when its SIGALRM is taken; ITIMER_VIRTUAL and ITIMER_PROF count virtual CPU time and
//! are looked at on the way to user mode. Neighbours: `clock`, `task/signal/pending`.

use super::Arming;
use super::clock::{Clock, nanos, pair, words};
use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::signal::{SigInfo, Target};
use crate::task::{GroupId, TaskId};
use crate::time::Duration;
use std::collections::BTreeMap;

/// Which interval timer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ItimerWhich {
    /// ITIMER_REAL: SIGALRM.
    Real,
    /// ITIMER_VIRTUAL: SIGVTALRM by user time.
    Virtual,
    /// ITIMER_PROF: SIGPROF by user and system time.
    Prof,
}

/// All armed interval timers, and those whose signal is on its way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Itimers(BTreeMap<(ItimerWhich, GroupId), Arming>);

impl Itimers {
    /// The timers of one kind.
    pub(super) fn of(&self, which: ItimerWhich) -> impl Iterator<Item = (GroupId, Arming)> {
        self.0.iter().filter(move |((w, _), _)| *w == which).map(|((_, g), a)| (*g, *a))
    }

    /// Nobody has one.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A process is gone.
    pub(super) fn remove(&mut self, group: GroupId) {
        self.0.retain(|(_, g), _| *g != group);
    }
}

impl Kernel {
    /// alarm(2): the rest of the last one in seconds, rounded, but at least 1 if there was one.
    pub fn sys_alarm(&mut self, call: &mut Call<'_>) -> SysResult {
        let seconds = call.arg(0) as u32;
        let group = self.tasks[call.task].group;
        let value = u64::from(seconds) * 1_000_000_000;
        let (rest, _) = self.do_setitimer(group, ItimerWhich::Real, value, 0);
        let rounded = Duration::from_nanos(rest + 500_000_000).as_secs();
        Ok(if rest > 0 { rounded.max(1) } else { 0 })
    }

    /// setitimer(2). A null new value disarms, as Linux does with a warning.
    pub fn sys_setitimer(&mut self, call: &mut Call<'_>) -> SysResult {
        let (new, old) = (call.ptr(1), call.ptr(2));
        let (interval, value) = match new.is_null() {
            true => (0, 0),
            false => (read_timeval(call, new)?, read_timeval(call, new.add(16))?),
        };
        let which = which(call.int(0))?;
        let group = self.tasks[call.task].group;
        let before = self.do_setitimer(group, which, value, interval);
        if !old.is_null() {
            write_itimerval(call, old, before)?;
        }
        Ok(0)
    }

    /// getitimer(2).
    pub fn sys_getitimer(&mut self, call: &mut Call<'_>) -> SysResult {
        let which = which(call.int(0))?;
        let group = self.tasks[call.task].group;
        let value = self.do_getitimer(group, which);
        write_itimerval(call, call.ptr(1), value)?;
        Ok(0)
    }

    /// Rest and interval in nanoseconds.
    fn do_getitimer(&self, group: GroupId, which: ItimerWhich) -> (u64, u64) {
        let Some(arming) = self.timers.itimers.0.get(&(which, group)) else { return (0, 0) };
        // One whose signal is on its way is not armed: the rest is 0.
        let rest = match arming.expires {
            Some(_) => arming.remaining(self.itimer_now(group, which)),
            None => 0,
        };
        (rest, arming.interval)
    }

    fn do_setitimer(
        &mut self,
        group: GroupId,
        which: ItimerWhich,
        value: u64,
        interval: u64,
    ) -> (u64, u64) {
        let before = self.do_getitimer(group, which);
        if value == 0 {
            self.timers.itimers.0.remove(&(which, group));
            return before;
        }
        let expires = self.itimer_now(group, which).saturating_add(value);
        let arming = Arming { expires: Some(expires), interval, fired: None };
        self.timers.itimers.0.insert((which, group), arming);
        before
    }

    pub(super) fn itimer_now(&self, group: GroupId, which: ItimerWhich) -> u64 {
        match which {
            ItimerWhich::Real => self.clock_now(Clock::Monotonic),
            ItimerWhich::Virtual => nanos(self.group_cputime(group).0),
            ItimerWhich::Prof => self.clock_now(Clock::ProcessCpu(group)),
        }
    }

    /// it_real_fn(): SIGALRM from the kernel; armed again when the signal is taken.
    pub(super) fn it_real_fn(&mut self, group: GroupId) {
        let Some(arming) = self.timers.itimers.0.get_mut(&(ItimerWhich::Real, group)) else {
            return;
        };
        arming.fire();
        if arming.interval == 0 {
            self.timers.itimers.0.remove(&(ItimerWhich::Real, group));
        }
        self.send_itimer_signal(Target::Group(group), Signal::SIGALRM);
    }

    /// posixtimer_rearm_itimer(): a SIGALRM was dequeued from the shared queue.
    pub fn posixtimer_rearm_itimer(&mut self, group: GroupId) {
        let now = self.clock_now(Clock::Monotonic);
        if let Some(arming) = self.timers.itimers.0.get_mut(&(ItimerWhich::Real, group)) {
            arming.rearm(now);
        }
    }

    /// check_cpu_itimer(): armed again at once.
    /// Whoever used up the time is the first candidate.
    pub(super) fn check_cpu_itimers(&mut self, task: TaskId) {
        let group = self.tasks[task].group;
        let kinds =
            [(ItimerWhich::Virtual, Signal::SIGVTALRM), (ItimerWhich::Prof, Signal::SIGPROF)];
        for (which, signal) in kinds {
            let now = self.itimer_now(group, which);
            let Some(arming) = self.timers.itimers.0.get_mut(&(which, group)) else { continue };
            if arming.expires.is_none_or(|at| at > now) {
                continue;
            }
            arming.fire();
            arming.rearm(now);
            if arming.expires.is_none() {
                self.timers.itimers.0.remove(&(which, group));
            }
            self.send_itimer_signal(Target::Process(task), signal);
        }
    }

    fn send_itimer_signal(&mut self, to: Target, signal: Signal) {
        // Standard, from the kernel: it overrides the limit and cannot fail.
        let _ = self.send_signal(SigInfo::kernel(signal), to);
    }
}

fn which(number: i32) -> Result<ItimerWhich, Errno> {
    match number {
        0 => Ok(ItimerWhich::Real),
        1 => Ok(ItimerWhich::Virtual),
        2 => Ok(ItimerWhich::Prof),
        _ => Err(Errno::EINVAL),
    }
}

/// A struct timeval in nanoseconds; EINVAL for one that is none.
fn read_timeval(call: &mut Call<'_>, from: UserPtr) -> Result<u64, Errno> {
    let (sec, usec) = words(&call.read_array(from)?);
    match (u64::try_from(sec), u32::try_from(usec)) {
        (Ok(sec), Ok(usec)) if usec < 1_000_000 => {
            Ok(sec.saturating_mul(1_000_000_000).saturating_add(u64::from(usec) * 1000))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// it_interval, then it_value. A rest below a microsecond shows as one.
fn write_itimerval(
    call: &mut Call<'_>,
    to: UserPtr,
    (rest, interval): (u64, u64),
) -> Result<(), Errno> {
    let timeval = |n: u64| pair(n / 1_000_000_000, n % 1_000_000_000 / 1000);
    let rest = if rest > 0 { rest.max(1000) } else { 0 };
    call.write_user(to, &timeval(interval))?;
    call.write_user(to.add(16), &timeval(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::signal::testing::World;
    use crate::time::Instant;

    #[test]
    fn an_interval_timer_fires_again_only_once_its_signal_was_taken() {
        let mut w = World::new();
        let task = w.process();
        w.catch(task, Signal::SIGALRM, 0);
        let group = w.kernel.tasks[task].group;
        w.kernel.do_setitimer(group, ItimerWhich::Real, 100, 10);
        assert_eq!(w.kernel.next_timer_deadline(), Some(Instant(100)));
        w.kernel.now = Instant(100);
        w.kernel.expire();
        assert!(w.kernel.signal_pending(task));
        assert_eq!(w.kernel.next_timer_deadline(), None, "SIGALRM is still pending");
        w.kernel.now = Instant(135);
        w.go(task);
        assert_eq!(w.kernel.next_timer_deadline(), Some(Instant(140)));
    }

    #[test]
    fn alarm_rounds_and_never_says_zero_for_one_that_was_armed() {
        let mut w = World::new();
        let task = w.process();
        let alarm = |w: &mut World, n| w.call(task, Kernel::sys_alarm, [n, 0, 0, 0, 0, 0]);
        assert_eq!(alarm(&mut w, 10), Ok(0));
        w.kernel.now = Instant(400_000_000);
        assert_eq!(alarm(&mut w, 1), Ok(10));
        w.kernel.now = Instant(1_300_000_000);
        assert_eq!(alarm(&mut w, 0), Ok(1));
        assert_eq!(alarm(&mut w, 0), Ok(0));
    }
}
