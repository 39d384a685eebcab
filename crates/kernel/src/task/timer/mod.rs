//! Timers of processes: interval timers (`itimer`: alarm, setitimer), POSIX timers (`posix`), and
//! the clocks that they and the sleeping calls read (`clock`, `sleep`). All are values here; time
//! moves outside, and `Kernel::expire` serves what is due. setitimer(2), timer_create(2).
//! Neighbours: `task/signal`, which arms an interval timer again when its signal is taken.

pub mod clock;
pub mod itimer;
pub mod posix;
pub mod sleep;

use crate::kernel::Kernel;
use crate::task::GroupId;
use crate::time::{Duration, Instant};
use clock::Clock;
use itimer::{ItimerWhich, Itimers};
use posix::{PosixTimer, TimerId};
use std::collections::BTreeMap;

/// All timers of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timers {
    itimers: Itimers,
    posix: BTreeMap<(GroupId, TimerId), PosixTimer>,
    /// The next id of each process that ever made a POSIX timer.
    next_id: BTreeMap<GroupId, TimerId>,
}

/// A deadline and its period on some clock, in its nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Arming {
    /// When it expires; `None` while it is disarmed or waits for its signal to be taken.
    pub expires: Option<u64>,
    /// The period; 0 for a timer that fires once.
    pub interval: u64,
    /// When it last fired, while its signal is on its way: the period counts from there.
    pub fired: Option<u64>,
}

impl Arming {
    /// hrtimer_forward(): armed again for the first moment of its period after `now`; how many
    /// periods were passed over without a signal. A timer that fires once stays disarmed.
    pub fn rearm(&mut self, now: u64) -> u64 {
        let Some(fired) = self.fired.take() else { return 0 };
        if self.interval == 0 {
            return 0;
        }
        let passed = now.saturating_sub(fired) / self.interval;
        self.expires = Some(fired.saturating_add((passed + 1).saturating_mul(self.interval)));
        passed
    }

    /// It is due: takes note.
    pub fn fire(&mut self) {
        self.fired = self.expires.take();
    }

    /// Nanoseconds until it expires; 0 only if it is disarmed (a due one has 1 left).
    pub fn remaining(&self, now: u64) -> u64 {
        match (self.expires, self.fired) {
            (Some(at), _) => at.saturating_sub(now).max(1),
            // Between its signal's generation and delivery: the next moment of its period.
            (None, Some(fired)) if self.interval > 0 => {
                self.interval - now.saturating_sub(fired) % self.interval
            }
            (None, Some(_) | None) => 0,
        }
    }
}

impl Kernel {
    /// Serves the timers that are due, earliest first; of equals the interval timers first.
    pub fn run_timers(&mut self) {
        enum Due {
            Itimer(GroupId),
            Posix(GroupId, TimerId),
        }
        let now = self.now;
        let mut due: Vec<(Instant, Due)> = Vec::new();
        for (group, arming) in self.timers.itimers.of(ItimerWhich::Real) {
            let at = arming.expires.map(|n| self.instant_at(Clock::Monotonic, n));
            due.extend(at.filter(|at| *at <= now).map(|at| (at, Due::Itimer(group))));
        }
        for ((group, id), timer) in &self.timers.posix {
            let at = self.posix_deadline(timer).filter(|at| *at <= now);
            due.extend(at.map(|at| (at, Due::Posix(*group, *id))));
        }
        due.sort_by_key(|(at, _)| *at);
        for (_, timer) in due {
            match timer {
                Due::Itimer(group) => self.it_real_fn(group),
                Due::Posix(group, id) => self.posix_timer_fn(group, id, self.pick()),
            }
        }
    }

    /// The earliest armed timer on a clock that moves by itself.
    pub fn next_timer_deadline(&self) -> Option<Instant> {
        let real = self.timers.itimers.of(ItimerWhich::Real);
        let real =
            real.filter_map(|(_, a)| a.expires).map(|n| self.instant_at(Clock::Monotonic, n));
        let posix = self.timers.posix.values().filter_map(|t| self.posix_deadline(t));
        real.chain(posix).min()
    }

    /// When a POSIX timer fires by itself: not if it only counts (SIGEV_NONE) or counts CPU time.
    fn posix_deadline(&self, timer: &PosixTimer) -> Option<Instant> {
        match timer.clock {
            Clock::Realtime | Clock::Monotonic | Clock::Boottime => {
                let at = timer.arming.expires.filter(|_| timer.notifies())?;
                Some(self.instant_at(timer.clock, at))
            }
            Clock::ProcessCpu(_) | Clock::ThreadCpu(_) => None,
        }
    }

    /// How much CPU time the ready tasks use at least before the next timer that counts it is due.
    pub fn next_cpu_timer(&self) -> Option<Duration> {
        let limit = self.run_queue.iter().filter_map(|t| self.cpu_limit_remaining(t)).min();
        if self.timers.itimers.is_empty() && self.timers.posix.is_empty() {
            return limit;
        }
        let of = |which| self.timers.itimers.of(which).map(move |timer| (which, timer));
        let itimers = of(ItimerWhich::Virtual).chain(of(ItimerWhich::Prof));
        // That of a process that sleeps is looked at when it goes to user mode.
        let runs = |group| self.run_queue.iter().any(|t| self.tasks[t].group == group);
        let itimers = itimers.filter(|(_, (group, _))| runs(*group));
        let itimers = itimers.filter_map(|(which, (group, arming))| {
            Some(arming.expires?.saturating_sub(self.itimer_now(group, which)))
        });
        let counting = self.timers.posix.values().filter(|t| t.clock.is_cpu() && t.notifies());
        let posix = counting.filter_map(|timer| {
            Some(timer.arming.expires?.saturating_sub(self.clock_now(timer.clock)))
        });
        itimers.chain(posix).map(Duration::from_nanos).chain(limit).min()
    }

    /// run_posix_cpu_timers(): timers on CPU clocks, looked at on the way to user mode, where
    /// virtual CPU time has just moved.
    pub fn run_posix_cpu_timers(&mut self, task: crate::task::TaskId) {
        self.check_cpu_limit(task);
        if self.timers.itimers.is_empty() && self.timers.posix.is_empty() {
            return;
        }
        self.check_cpu_itimers(task);
        let due: Vec<(GroupId, TimerId)> = self
            .timers
            .posix
            .iter()
            .filter(|(_, t)| t.notifies() && t.clock.is_cpu())
            .filter(|(_, t)| t.arming.expires.is_some_and(|at| at <= self.clock_now(t.clock)))
            .map(|(key, _)| *key)
            .collect();
        for (group, id) in due {
            self.posix_timer_fn(group, id, Some(task));
        }
    }

    /// exit_itimers(), for exec and for the last thread that exits (rule X-7, step 4): POSIX timers
    /// go with their pending signals (rule S-40). Alarm and setitimer survive exec, not death.
    pub fn exit_itimers(&mut self, task: crate::task::TaskId) {
        let group = self.tasks[task].group;
        self.exit_posix_timers(group);
        if self.groups[group].group_exit.is_some() {
            self.timers.itimers.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_counts_from_the_last_moment_it_fired() {
        let mut arming = Arming { expires: Some(100), interval: 10, fired: None };
        arming.fire();
        assert_eq!((arming.expires, arming.remaining(103)), (None, 7));
        assert_eq!(arming.rearm(125), 2, "110 and 120 went by");
        assert_eq!(arming.expires, Some(130));
    }

    #[test]
    fn a_timer_that_fires_once_stays_disarmed() {
        let mut arming = Arming { expires: Some(100), interval: 0, fired: None };
        assert_eq!(arming.remaining(100), 1);
        arming.fire();
        assert_eq!((arming.rearm(125), arming.expires, arming.remaining(125)), (0, None, 0));
    }
}
