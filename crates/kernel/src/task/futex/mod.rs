//! futex(2): queues by key, in the order of arrival. A waiter that is not in its queue any more was
//! woken: a rerun never looks at the word again, and a requeue just moves the entry.
//! `waitwake` (wait, wake, wake-op, requeue), `pi` (locks that the kernel hands over), `requeue_pi`
//! (from a condition variable to such a lock), `waitv` (futex_waitv and the calls of futex2), `robust`
//! (what a death does, rule X-14).
//! Neighbours: `mm/key` (what makes two addresses the same futex), `task/exit`.

pub mod pi;
pub mod requeue_pi;
pub mod robust;
pub mod waitv;
pub mod waitwake;

#[cfg(test)]
mod tests;

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::FutexKey;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::timer::clock::{Clock, nanos};
use crate::time::Instant;
use std::collections::BTreeMap;

/// FUTEX_BITSET_MATCH_ANY.
pub const MATCH_ANY: u32 = u32::MAX;
/// FUTEX_PRIVATE_FLAG.
const PRIVATE: u32 = 128;
/// FUTEX_CLOCK_REALTIME.
const CLOCK_REALTIME: u32 = 256;

/// One entry of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    /// Who waits.
    pub task: TaskId,
    /// Which of its futexes this is: 0 but for futex_waitv.
    pub slot: u32,
    /// Which wakes it hears.
    pub bitset: u32,
    /// Its real-time priority; 0 for everybody else. Higher ones stand before lower ones.
    pub rank: u32,
    /// What it waits for there.
    pub awaits: Awaits,
}

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaits {
    /// A wake.
    Wake,
    /// A lock that the kernel hands over.
    Lock {
        /// Where its word is in the waiter's memory.
        word: UserPtr,
        /// Who owns it.
        owner: TaskId,
    },
    /// To be moved to the lock at `lock` (FUTEX_WAIT_REQUEUE_PI).
    Requeue {
        /// Where the word of that lock is in the waiter's memory.
        word: UserPtr,
        /// The lock.
        lock: FutexKey,
    },
}

impl Waiter {
    /// Who owns the lock that it waits for.
    fn owner(&self) -> Option<TaskId> {
        match self.awaits {
            Awaits::Lock { owner, .. } => Some(owner),
            Awaits::Wake | Awaits::Requeue { .. } => None,
        }
    }
}

/// All futex queues of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FutexQueues {
    queues: BTreeMap<FutexKey, Vec<Waiter>>,
    /// In which queue a waiter is; not here: it was woken.
    places: BTreeMap<(TaskId, u32), FutexKey>,
}

impl FutexQueues {
    /// futex_queue(): behind all who have its priority or a higher one (the plist of Linux).
    pub fn queue(&mut self, key: FutexKey, waiter: Waiter) {
        let queue = self.queues.entry(key).or_default();
        let at = queue.partition_point(|it| it.rank >= waiter.rank);
        queue.insert(at, waiter);
        self.places.insert((waiter.task, waiter.slot), key);
    }

    /// Still waiting?
    pub fn is_queued(&self, task: TaskId, slot: u32) -> bool {
        self.places.contains_key(&(task, slot))
    }

    /// futex_unqueue(): false if it was woken already.
    pub fn unqueue(&mut self, task: TaskId, slot: u32) -> bool {
        let Some(key) = self.places.remove(&(task, slot)) else { return false };
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.retain(|w| (w.task, w.slot) != (task, slot));
            if queue.is_empty() {
                self.queues.remove(&key);
            }
        }
        true
    }

    /// Who waits at `key`, first come first.
    pub fn waiters(&self, key: FutexKey) -> &[Waiter] {
        self.queues.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Its entry while it waits.
    fn waiter(&self, task: TaskId, slot: u32) -> Option<&Waiter> {
        let key = self.places.get(&(task, slot))?;
        self.waiters(*key).iter().find(|it| (it.task, it.slot) == (task, slot))
    }

    /// Everything that `task` waits for is forgotten: it dies.
    pub fn forget(&mut self, task: TaskId) {
        let slots: Vec<u32> =
            self.places.range((task, 0)..=(task, u32::MAX)).map(|((_, s), _)| *s).collect();
        for slot in slots {
            self.unqueue(task, slot);
        }
    }

    /// All waiters of locks that the kernel hands over.
    fn pi_waiters(&self) -> impl Iterator<Item = (FutexKey, &Waiter)> {
        self.queues
            .iter()
            .flat_map(|(k, q)| q.iter().filter(|w| w.owner().is_some()).map(|w| (*k, w)))
    }
}

/// What a futex wait remembers: that it is queued. What it waits for is in [`FutexQueues`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FutexProgress {
    /// How many futexes it waits for.
    pub slots: u32,
}

impl Kernel {
    /// futex(2).
    pub fn sys_futex(&mut self, call: &mut Call<'_>) -> SysResult {
        let op = call.arg(1) as u32;
        let shared = op & PRIVATE == 0;
        let realtime = op & CLOCK_REALTIME != 0;
        let command = op & !(PRIVATE | CLOCK_REALTIME);
        // WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2 only.
        if realtime && ![9, 11, 13].contains(&command) {
            return Err(Errno::ENOSYS.into());
        }
        let bits = call.arg(5) as u32;
        match command {
            0 => self.futex_wait_relative(call, shared),
            1 => self.futex_wake(call, call.ptr(0), shared, call.int(2), MATCH_ANY),
            3 => self.futex_requeue(call, shared, None),
            4 => self.futex_requeue(call, shared, Some(bits)),
            5 => self.futex_wake_op(call, shared),
            6 | 13 => {
                let clock =
                    if realtime || command == 6 { Clock::Realtime } else { Clock::Monotonic };
                self.futex_lock_pi(call, shared, clock)
            }
            7 => self.futex_unlock_pi(call, shared),
            8 => self.futex_trylock_pi(call, shared),
            9 => {
                let clock = if realtime { Clock::Realtime } else { Clock::Monotonic };
                self.futex_wait_bitset(call, shared, clock, bits)
            }
            10 => self.futex_wake(call, call.ptr(0), shared, call.int(2), bits),
            11 => {
                let clock = if realtime { Clock::Realtime } else { Clock::Monotonic };
                self.futex_wait_requeue_pi(call, shared, clock)
            }
            12 => self.futex_cmp_requeue_pi(call, shared, bits),
            // FUTEX_FD (2) is gone from Linux.
            _ => Err(Errno::ENOSYS.into()),
        }
    }

    /// What `task` adds to a queue.
    fn futex_waiter(&self, task: TaskId, slot: u32, bitset: u32, awaits: Awaits) -> Waiter {
        Waiter { task, slot, bitset, rank: self.tasks[task].sched.rank(), awaits }
    }

    /// futex_init_timeout() of an absolute time: `None` without one.
    fn futex_absolute_timeout(
        &mut self,
        call: &mut Call<'_>,
        ptr: UserPtr,
        clock: Clock,
    ) -> Result<Option<Instant>, Errno> {
        if ptr.is_null() {
            return Ok(None);
        }
        let time = self.read_timespec(call, ptr)?;
        let at = self.timens_to_host(call.task, clock, nanos(time));
        Ok(Some(self.instant_at(clock, at)))
    }
}
