//! cpu.stat: the time that the tasks of a group took, while they were in it or below it. Every group
//! tells it, even without a cpu controller. Neighbours: `syscall` and `task/sched` (where time passes).

use super::{CgroupId, Cgroups};
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::time::Duration;

/// struct task_cputime of a group: by tasks in it, and in groups below it that are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cputime {
    user: Duration,
    system: Duration,
    /// The part of `user` by tasks with a nice value above 0.
    nice: Duration,
}

impl Cputime {
    pub(super) fn add(&mut self, other: Cputime) {
        self.user += other.user;
        self.system += other.system;
        self.nice += other.nice;
    }
}

impl Cgroups {
    /// cgroup_base_stat_cputime_show().
    pub(super) fn cpu_stat_show(&self, cgroup: CgroupId) -> String {
        let mut sum = Cputime::default();
        let below = self.all.iter().filter(|(id, _)| self.is_descendant(*id, cgroup));
        below.for_each(|(_, c)| sum.add(c.cputime));
        let [user, system, nice] = [sum.user, sum.system, sum.nice].map(|time| time.as_micros());
        let usage = (sum.user + sum.system).as_micros();
        format!("usage_usec {usage}\nuser_usec {user}\nsystem_usec {system}\nnice_usec {nice}\n")
    }
}

impl Kernel {
    /// account_user_time(), account_system_time(): a task used the CPU for so long.
    pub(crate) fn account_cputime(&mut self, task: TaskId, user: Duration, system: Duration) {
        let t = &mut self.tasks[task];
        t.utime += user;
        t.stime += system;
        let nice = if t.sched.nice > 0 { user } else { Duration::ZERO };
        if let Some(c) = self.cgroups.all.get_mut(t.cgroup) {
            c.cputime.add(Cputime { user, system, nice });
        }
    }
}
