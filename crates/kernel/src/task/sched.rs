//! Who runs next: a FIFO of ready tasks. A task runs until it blocks, yields, exits or ends its
//! slice; the lab asks. Sleep and wake-up (`try_to_wake_up`) are here too, with the sleepers'
//! deadlines in order.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult, Wait};
use crate::task::{Run, TaskId};
use crate::time::{Duration, Instant};
use std::collections::{BTreeSet, VecDeque};

/// Ready tasks in the order in which they will run, and those that sleep until some time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunQueue {
    ready: VecDeque<TaskId>,
    asleep: BTreeSet<(Instant, TaskId)>,
}

impl RunQueue {
    /// A task became ready: to the end of the queue.
    pub fn push(&mut self, task: TaskId) {
        if !self.ready.contains(&task) {
            self.ready.push_back(task);
        }
    }

    /// A ready task goes to sleep, until some time if one is given.
    pub fn sleep(&mut self, task: TaskId, until: Option<Instant>) {
        self.remove(task);
        self.asleep.extend(until.map(|at| (at, task)));
    }

    /// A task that went to sleep so is ready again: to the end of the queue.
    pub fn wake(&mut self, task: TaskId, until: Option<Instant>) {
        if let Some(at) = until {
            self.asleep.remove(&(at, task));
        }
        self.push(task);
    }

    /// It is not ready any more.
    pub fn remove(&mut self, task: TaskId) {
        self.ready.retain(|t| *t != task);
    }

    /// sched_yield: to the end of the queue, if it is in it.
    pub fn yield_task(&mut self, task: TaskId) {
        if self.ready.contains(&task) {
            self.remove(task);
            self.ready.push_back(task);
        }
    }

    /// Who is next.
    pub fn first(&self) -> Option<TaskId> {
        self.ready.front().copied()
    }

    /// All ready tasks, in the order in which they will run.
    pub fn iter(&self) -> impl Iterator<Item = TaskId> {
        self.ready.iter().copied()
    }

    /// How many are ready.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// True when nobody can run.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

impl Kernel {
    /// The task that is to run now on this host, if any can.
    pub fn pick(&self) -> Option<TaskId> {
        self.run_queue.first()
    }

    /// Its slice is over: the others first.
    pub fn end_slice(&mut self, task: TaskId) {
        self.run_queue.yield_task(task);
    }

    /// Alive and ready to run?
    pub fn is_ready(&self, task: TaskId) -> bool {
        self.tasks.get(task).is_some_and(|t| t.run == Run::Ready)
    }

    /// try_to_wake_up(TASK_NORMAL): a sleeper becomes ready. Others are left as they are: a ready
    /// task runs anyway, a stopped one needs SIGCONT, a frozen one its group's thaw, a zombie never runs again.
    pub fn try_to_wake_up(&mut self, task: TaskId) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        match t.run {
            Run::Blocked(Wait { until, .. }) => {
                t.run = Run::Ready;
                self.run_queue.wake(task, until);
            }
            Run::Ready | Run::Stopped | Run::Frozen | Run::Zombie => {}
        }
    }

    /// Sleepers whose time is up become ready; their handlers look at the clock.
    pub fn wake_expired_sleepers(&mut self) {
        let due = self.run_queue.asleep.iter().take_while(|(at, _)| *at <= self.now);
        let due: Vec<TaskId> = due.map(|(_, task)| *task).collect();
        for task in due {
            self.try_to_wake_up(task);
        }
    }

    /// The earliest deadline of a sleeping call.
    pub fn next_sleeper_deadline(&self) -> Option<Instant> {
        self.run_queue.asleep.first().map(|(at, _)| *at)
    }

    /// All ready tasks compute in circles: what they see does not change before `at`, or before a
    /// timer that counts CPU time is due. They share the time in equal parts.
    pub fn spin_until(&mut self, at: Instant) {
        let at = self.next_cpu_timer().map_or(at, |left| at.min(self.now + left));
        if at > self.now && !self.run_queue.is_empty() {
            let part = at.saturating_since(self.now) / self.run_queue.len() as u32;
            for task in self.run_queue.ready.clone() {
                self.account_cputime(task, part, Duration::ZERO);
            }
            self.now = at;
        }
    }

    /// sched_yield(2).
    pub fn sys_sched_yield(&mut self, call: &mut Call<'_>) -> SysResult {
        self.run_queue.yield_task(call.task);
        Ok(0)
    }

    /// sched_getaffinity(2): one CPU; returns the size of the kernel's mask in bytes.
    pub fn sys_sched_getaffinity(&mut self, call: &mut Call<'_>) -> SysResult {
        let (pid, len, mask) = (call.int(0), call.arg(1), call.ptr(2));
        if pid < 0 || (pid > 0 && self.find_task_by_vpid(call.task, pid).is_none()) {
            return Err(Errno::ESRCH.into());
        }
        if len < 8 || len % 8 != 0 {
            return Err(Errno::EINVAL.into());
        }
        call.write_u64(mask, 1)?;
        Ok(8)
    }
}
