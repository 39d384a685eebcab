//! Guests that do not trap. One that provably spins gives up the CPU by itself; where all ready
//! tasks of a host do, its time moves on to the next thing that can change what they see. One that
//! computes is left alone as long as nobody waits, or for [`Options::patience`]. Then it is
//! pre-empted where the real clock found it, virtual time moves on, and the run may not repeat.
//! Neighbours: `world` (whose time it is), `platform::ptrace::watchdog` (who finds out).
//!
//! [`Options::patience`]: crate::world::Options::patience

use crate::scenario::DEFAULT_UNTIL;
use crate::world::{SLICE, World};
use kernel::platform::{Platform, Trap};
use kernel::task::TaskId;
use kernel::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// How long a guest may compute while others wait, unless somebody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How much of the time that a guest computed passes before others who are ready get the CPU. Long for
/// Linux's scheduler, but no longer than what the watchdog lets pass before it looks again: a world in
/// which computing and being interrupted take turns goes on as fast as the real clock.
const TURN: Duration = Duration::from_millis(100);

/// The tasks of a host that do not trap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Computing {
    /// Since something happened on the host that one of its tasks could see, these were found to
    /// spin.
    spinning: BTreeSet<TaskId>,
    /// How much of the time that each computed since its last trap was turned into virtual time.
    counted: BTreeMap<TaskId, Duration>,
    /// The virtual time that has to pass before each goes on computing.
    owed: BTreeMap<TaskId, Duration>,
}

impl Computing {
    /// Something happened on the host: whoever spins may see it.
    pub(crate) fn something_happened(&mut self) {
        self.spinning.clear();
    }

    /// A task trapped.
    pub(crate) fn trapped(&mut self, task: TaskId, trap: Trap) {
        self.counted.remove(&task);
        if trap == Trap::Spin {
            self.spinning.insert(task);
        } else {
            self.spinning.clear();
        }
    }
}

impl<P: Platform> World<P> {
    /// If all that a host can do is spin, its time moves on to the next thing that can change what
    /// its tasks see; to the end of the world if there is none.
    pub(crate) fn let_spin(&mut self, index: usize) {
        let host = &self.hosts[index];
        let spinning = &host.computing.spinning;
        if spinning.is_empty() || !host.kernel.run_queue.iter().all(|t| spinning.contains(&t)) {
            return;
        }
        let end = self.scenario.until + Duration::from_nanos(1);
        let at = self.first_due(Some(index)).map_or(end, |(at, _)| at.min(end));
        self.hosts[index].kernel.spin_until(at);
    }

    /// A task computes, for `spent` of the machine's CPU time since its last trap. In a run that may
    /// not repeat anyway nobody has to be patient with it.
    pub(crate) fn computes(&mut self, index: usize, task: TaskId, spent: Duration) {
        self.standing = 0;
        let counted = self.hosts[index].computing.counted.get(&task).copied().unwrap_or_default();
        let patience = if self.chance().is_some() { Duration::ZERO } else { self.patience };
        if spent < patience || spent <= counted || !self.somebody_waits(index) {
            return;
        }
        let passed = self.passes(spent).saturating_sub(self.passes(counted));
        let host = &mut self.hosts[index];
        host.computing.counted.insert(task, spent);
        host.computing.something_happened();
        host.slice = None;
        host.kernel.preempt(task, spent, passed);
        // It had the CPU before the others get it, whatever they do to it then.
        let turn = self.elapses(index, task, passed.min(TURN));
        let host = &mut self.hosts[index];
        host.computing.owed.insert(task, passed.saturating_sub(turn));
        let t = &host.kernel.tasks[task];
        let (name, pid) = (String::from_utf8_lossy(&t.comm).into_owned(), t.tid.0);
        let (at, host) = (t.regs.rip, &host.name);
        let why = format!(
            "{name}[{pid}] on {host} computed for {spent:.1?} without a system call while others \
             waited, and was pre-empted at {at:#x}"
        );
        self.leave_to_chance(why);
        self.drain(index);
    }

    /// Lets the virtual time pass that a task was pre-empted for, up to the next thing that happens:
    /// timers and faults come at their time. False if there is none, or no more: what a signal makes
    /// of the task is not late for what it computed before.
    pub(crate) fn lets_time_pass(&mut self, index: usize, task: TaskId) -> bool {
        let Some(owed) = self.hosts[index].computing.owed.remove(&task) else { return false };
        if !self.hosts[index].kernel.goes_on_in_user_mode(task) {
            return false;
        }
        let time = self.elapses(index, task, owed);
        if time.is_zero() {
            return false; // a timer that counts CPU time is due: it is looked at on the way
        }
        if owed > time {
            self.hosts[index].computing.owed.insert(task, owed - time);
        }
        true
    }

    /// The task computes for so much virtual time, or up to the next thing that happens: for how
    /// long it was.
    fn elapses(&mut self, index: usize, task: TaskId, most: Duration) -> Duration {
        let now = self.hosts[index].kernel.now;
        let due = self.first_due(Some(index)).map(|(at, _)| at.saturating_since(now));
        // Another host may be at this very moment, and would be so again.
        let due = due.map(|due| if due.is_zero() { SLICE } else { due });
        let host = &mut self.hosts[index];
        let time = [due, host.kernel.next_cpu_timer()].into_iter().flatten().fold(most, Ord::min);
        host.kernel.now = now + time;
        host.kernel.tasks[task].utime += time;
        time
    }

    /// Does anything in the world depend on this host's time, or on its CPU? A time limit that
    /// nobody set does not count: it is there for worlds that never end.
    fn somebody_waits(&self, index: usize) -> bool {
        let kernel = &self.hosts[index].kernel;
        kernel.run_queue.len() > 1
            || kernel.next_cpu_timer().is_some()
            || self.scenario.until < DEFAULT_UNTIL
            || self.first_due(Some(index)).is_some()
    }

    /// The virtual time that it takes to compute for so long: the same, up to twice the patience;
    /// then twice as much for each further patience, so that whatever is awaited comes in bounded
    /// time. Where virtual time is to follow the real clock, it does.
    fn passes(&self, computed: Duration) -> Duration {
        let patience = self.patience.max(Duration::from_millis(1)).as_nanos();
        let steady = 2 * patience;
        let Some(beyond) = computed.as_nanos().checked_sub(steady).filter(|_| !self.real_time)
        else {
            return computed;
        };
        let doubled = steady << (beyond / patience).min(50);
        let passed = doubled + (doubled / patience).saturating_mul(beyond % patience);
        Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
