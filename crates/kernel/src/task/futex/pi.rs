//! Priority-inheriting locks: FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI.
//! The kernel hands the lock to the first waiter of the highest real-time priority; nobody runs
//! sooner for it, so there is nothing to inherit. futex(2), "Priority-inheritance futexes".
//! Neighbours: `requeue_pi` (who comes from a condition variable), `robust` (a dying owner).

use super::robust::{OWNER_DIED, TID_MASK, WAITERS};
use super::{Awaits, FutexProgress, MATCH_ANY, Waiter};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::FutexKey;
use crate::platform::{Platform, UserPtr};
use crate::syscall::{Call, Progress, Restart, SysResult};
use crate::task::TaskId;
use crate::task::timer::clock::Clock;
use crate::wait_queue::Event;

/// Who wants which lock.
pub(super) struct Taker {
    /// Who.
    pub task: TaskId,
    /// Where the caller sees its word.
    pub word: UserPtr,
    /// The lock.
    pub key: FutexKey,
    /// A free one is marked as one that others wait for at once.
    pub contended: bool,
}

impl Kernel {
    /// FUTEX_LOCK_PI: EDEADLK if it is ours, ESRCH if its owner does not exist, ETIMEDOUT. A signal
    /// restarts it, whatever the handler's flags (-ERESTARTNOINTR).
    pub(super) fn futex_lock_pi(
        &mut self,
        call: &mut Call<'_>,
        shared: bool,
        clock: Clock,
    ) -> SysResult {
        let task = call.task;
        if matches!(call.flight.progress, Progress::Futex(_)) {
            if !self.futexes.is_queued(task, 0) {
                return Ok(0); // whoever unlocked it wrote our number into the word
            }
        } else {
            if call.flight.until.is_none() {
                call.flight.until = self.futex_absolute_timeout(call, call.ptr(3), clock)?;
            }
            let word = call.ptr(0);
            let key = self.futex_key(task, word, shared)?;
            let taker = Taker { task, word, key, contended: false };
            let Some(owner) = self.lock_pi_atomic(call, &taker)? else { return Ok(0) };
            let awaits = Awaits::Lock { word, owner };
            self.futexes.queue(key, self.futex_waiter(task, 0, MATCH_ANY, awaits));
            call.flight.progress = Progress::Futex(FutexProgress { slots: 1 });
        }
        self.futex_sleep(call, Restart::NoIntr)
    }

    /// FUTEX_TRYLOCK_PI: EAGAIN instead of waiting.
    pub(super) fn futex_trylock_pi(&mut self, call: &mut Call<'_>, shared: bool) -> SysResult {
        let (task, word) = (call.task, call.ptr(0));
        let key = self.futex_key(task, word, shared)?;
        match self.lock_pi_atomic(call, &Taker { task, word, key, contended: false })? {
            None => Ok(0),
            Some(_) => Err(Errno::EAGAIN.into()),
        }
    }

    /// futex_lock_pi_atomic(): takes a free lock (`None`), or marks it as contended and says who
    /// owns it.
    pub(super) fn lock_pi_atomic(
        &mut self,
        call: &mut Call<'_>,
        taker: &Taker,
    ) -> Result<Option<TaskId>, Errno> {
        let word = call.read_u32(taker.word)?;
        let tid = self.task_pid_vnr(taker.task);
        let owner = word & TID_MASK;
        if owner == tid {
            return Err(Errno::EDEADLK);
        }
        match self.futexes.waiters(taker.key).first() {
            Some(first) => {
                let owner = first.owner().ok_or(Errno::EINVAL)?;
                call.write_u32(taker.word, word | WAITERS)?;
                return Ok(Some(owner));
            }
            None if owner == 0 => {
                let contended = if taker.contended { WAITERS } else { 0 };
                call.write_u32(taker.word, word & OWNER_DIED | tid | contended)?;
                return Ok(None);
            }
            None => {}
        }
        call.write_u32(taker.word, word | WAITERS)?;
        let found =
            self.find_task_by_vpid(taker.task, owner as i32).filter(|t| !self.tasks[*t].exiting);
        found.map(Some).ok_or(Errno::ESRCH)
    }

    /// FUTEX_UNLOCK_PI: EPERM unless it is ours.
    pub(super) fn futex_unlock_pi(&mut self, call: &mut Call<'_>, shared: bool) -> SysResult {
        let word = call.read_u32(call.ptr(0))?;
        if word & TID_MASK != self.task_pid_vnr(call.task) {
            return Err(Errno::EPERM.into());
        }
        let key = self.futex_key(call.task, call.ptr(0), shared)?;
        let Some(first) = self.futexes.waiters(key).first().copied() else {
            call.write_u32(call.ptr(0), 0)?;
            return Ok(0);
        };
        first.owner().ok_or(Errno::EINVAL)?;
        call.write_u32(call.ptr(0), WAITERS | self.task_pid_vnr(first.task))?;
        self.hand_over(key, first);
        Ok(0)
    }

    /// The lock is `first`'s now; those behind it wait for it.
    fn hand_over(&mut self, key: FutexKey, first: Waiter) {
        self.futexes.unqueue(first.task, first.slot);
        if let Some(queue) = self.futexes.queues.get_mut(&key) {
            for waiter in queue.iter_mut() {
                if let Awaits::Lock { owner, .. } = &mut waiter.awaits {
                    *owner = first.task;
                }
            }
        }
        self.publish(Event::Futex(first.task));
    }

    /// exit_pi_state_list(): contended locks that a dying task owns go to their first waiters,
    /// who find OWNER_DIED.
    pub(super) fn exit_pi_state_list(&mut self, task: TaskId, user: &mut dyn Platform) {
        let mut owned: Vec<FutexKey> = self
            .futexes
            .pi_waiters()
            .filter(|(_, w)| w.owner() == Some(task))
            .map(|(key, _)| key)
            .collect();
        owned.dedup();
        for key in owned {
            let Some(first) = self.futexes.waiters(key).first().copied() else { continue };
            let (Awaits::Lock { word: at, .. }, Some(guest)) =
                (first.awaits, self.tasks[first.task].guest)
            else {
                continue;
            };
            let word = WAITERS | OWNER_DIED | self.task_pid_vnr(first.task);
            // Its memory may be unmapped by now: then the waiter finds out by itself.
            user.write_user(guest, UserPtr(at.0), &word.to_le_bytes());
            self.hand_over(key, first);
        }
    }
}
