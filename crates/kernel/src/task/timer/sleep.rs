//! nanosleep(2) and clock_nanosleep(2). A relative sleep that a signal interrupts keeps its
//! deadline in the restart block and writes the rest of its time (rule S-34); an absolute one is
//! simply called again. Neighbours: `clock`, `task/signal/restart`.

use super::clock::{Clock, nanos};
use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Restart, SysResult, Wait};
use crate::task::TaskId;

/// CLOCK_THREAD_CPUTIME_ID.
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
/// TIMER_ABSTIME.
const TIMER_ABSTIME: i32 = 1;

impl Kernel {
    /// nanosleep(2): CLOCK_MONOTONIC.
    pub fn sys_nanosleep(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.flight.progress == Progress::Fresh {
            let time = self.read_timespec(call, call.ptr(0))?;
            call.flight.until = Some(self.now + time);
            call.flight.progress = Progress::Sleep;
        }
        let rest = call.ptr(1);
        self.do_nanosleep(call, rest)
    }

    /// clock_nanosleep(2).
    pub fn sys_clock_nanosleep(&mut self, call: &mut Call<'_>) -> SysResult {
        let absolute = call.int(1) & TIMER_ABSTIME != 0;
        if call.flight.progress == Progress::Fresh {
            let id = call.int(0);
            let clock = self.find_timer_clock(call.task, id)?;
            if id == CLOCK_THREAD_CPUTIME_ID {
                return Err(Errno::EOPNOTSUPP.into()); // it would never pass
            }
            let time = self.read_timespec(call, call.ptr(2))?;
            if clock.is_cpu() {
                let detail = format!("{clock:?}");
                self.tell(
                    Some(call.task),
                    Fact::unsupported("clock_nanosleep on CPU time", detail),
                );
                return Err(Errno::EOPNOTSUPP.into());
            }
            call.flight.until = Some(match absolute {
                true => {
                    let at = self.timens_to_host(call.task, clock, nanos(time));
                    self.instant_at(clock, at)
                }
                false => self.now + time,
            });
            call.flight.progress = Progress::Sleep;
        }
        let rest = if absolute { UserPtr::NULL } else { call.ptr(3) };
        if absolute {
            return self.sleep_until(call, Restart::NoHand);
        }
        self.do_nanosleep(call, rest)
    }

    /// do_nanosleep() of a relative sleep: interrupted, it says how much is left.
    fn do_nanosleep(&mut self, call: &mut Call<'_>, rest: UserPtr) -> SysResult {
        let result = self.sleep_until(call, Restart::Block);
        if result.is_err() && self.signal_pending(call.task) && !rest.is_null() {
            let until = call.flight.until.unwrap_or(self.now);
            self.write_timespec(call, rest, until - self.now)?;
        }
        result
    }

    fn sleep_until(&mut self, call: &mut Call<'_>, restart: Restart) -> SysResult {
        match call.flight.until {
            Some(until) if until > self.now => {
                Err(Wait::until(Some(until)).with_restart(restart).into())
            }
            Some(_) | None => Ok(0),
        }
    }

    /// The clock that a sleep or a POSIX timer names: EINVAL if there is none, EOPNOTSUPP if it
    /// has no timers (the raw and coarse ones; the alarm clocks, for want of an RTC).
    pub fn find_timer_clock(&self, task: TaskId, id: i32) -> Result<Clock, Errno> {
        match (id, self.find_clock(task, id)) {
            (8 | 9, _) => Err(Errno::EOPNOTSUPP),
            (_, Ok(found)) if found.timers => Ok(found.clock),
            (_, Ok(_)) => Err(Errno::EOPNOTSUPP),
            (_, Err(errno)) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::abi::signal::Signal;
    use crate::task::Run;
    use crate::task::signal::testing::World;
    use crate::time::{Duration, Instant};

    const NANOSLEEP: u64 = 35;

    fn asleep_for_ten_seconds(w: &mut World) -> crate::task::TaskId {
        let task = w.process();
        w.memory.put(0x2000, &super::super::clock::pair(10, 0));
        w.trap(task, NANOSLEEP, [0x2000, 0x2100, 0, 0, 0, 0]);
        assert!(matches!(w.kernel.tasks[task].run, Run::Blocked(_)));
        task
    }

    #[test]
    fn a_caught_signal_ends_a_sleep_and_the_rest_is_told() {
        // S-34, S-35: EINTR despite SA_RESTART.
        let mut w = World::new();
        let task = asleep_for_ten_seconds(&mut w);
        w.catch(task, Signal::SIGUSR1, crate::task::signal::sigaction::SA_RESTART);
        w.kernel.now = w.kernel.now + Duration::from_secs(4);
        w.kill(task, Signal::SIGUSR1);
        assert!(w.kernel.resume(task, &mut w.memory));
        let regs = w.kernel.tasks[task].regs;
        assert_eq!(regs.rip, 0x4000 + 10);
        assert_eq!(w.memory.word(regs.rsp + 48 + 104), Errno::EINTR.as_result());
        assert_eq!((w.memory.word(0x2100), w.memory.word(0x2108)), (6, 0));
    }

    #[test]
    fn a_sleep_goes_on_after_stop_and_continue() {
        // S-34: measured; the original deadline stays.
        let mut w = World::new();
        let task = asleep_for_ten_seconds(&mut w);
        let deadline = w.kernel.next_deadline();
        w.kill(task, Signal::SIGSTOP);
        assert!(!w.kernel.resume(task, &mut w.memory));
        assert_eq!(w.kernel.tasks[task].run, Run::Stopped);
        w.kernel.now = w.kernel.now + Duration::from_secs(4);
        w.kill(task, Signal::SIGCONT);
        assert!(w.kernel.resume(task, &mut w.memory));
        let regs = w.kernel.tasks[task].regs;
        assert_eq!((regs.rax, regs.rip), (219, 0x1000));
        w.trap(task, 219, [0; 6]);
        assert_eq!(w.kernel.next_deadline(), deadline);
        w.kernel.now = deadline.unwrap_or(Instant::ZERO);
        w.kernel.expire();
        assert!(w.kernel.resume(task, &mut w.memory));
        assert_eq!(w.kernel.tasks[task].regs.rax, 0);
    }

    #[test]
    fn restart_syscall_without_a_block_is_eintr() {
        let mut w = World::new();
        let task = w.process();
        w.trap(task, 219, [0; 6]);
        assert_eq!(w.kernel.tasks[task].regs.rax, Errno::EINTR.as_result());
    }
}
