//! FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: waiters of a condition variable move to the
//! queue of a lock that the kernel hands over; the first takes it at once if it is free. The two
//! belong together: each refuses waiters of other calls. futex(2), "Priority-inheritance futexes".
//! Neighbours: `pi` (the lock), `waitwake` (the other requeues).

use super::pi::Taker;
use super::{Awaits, FutexProgress, MATCH_ANY, Waiter};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::FutexKey;
use crate::syscall::{Call, Progress, Restart, SysResult};
use crate::task::TaskId;
use crate::task::timer::clock::Clock;

impl Kernel {
    /// FUTEX_WAIT_REQUEUE_PI: 0 when the lock is ours. EAGAIN if the word has changed or a signal
    /// came when we waited for the lock already; a signal before that restarts the call, whatever
    /// the handler's flags (-ERESTARTNOINTR); ETIMEDOUT.
    pub(super) fn futex_wait_requeue_pi(
        &mut self,
        call: &mut Call<'_>,
        shared: bool,
        clock: Clock,
    ) -> SysResult {
        let task = call.task;
        if matches!(call.flight.progress, Progress::Futex(_)) {
            let moved = match self.futexes.waiter(task, 0) {
                None => return Ok(0), // whoever gave us the lock wrote our number into its word
                Some(waiter) => waiter.owner().is_some(),
            };
            let timed_out = call.flight.until.is_some_and(|until| until <= self.now);
            if moved && !timed_out && self.signal_pending(task) {
                self.futexes.unqueue(task, 0);
                return Err(Errno::EAGAIN.into());
            }
        } else {
            if call.flight.until.is_none() {
                call.flight.until = self.futex_absolute_timeout(call, call.ptr(3), clock)?;
            }
            let (address, word) = (call.ptr(0), call.ptr(4));
            if address == word {
                return Err(Errno::EINVAL.into());
            }
            let lock = self.futex_key(task, word, shared)?;
            let key = self.futex_key(task, address, shared)?;
            if call.read_u32(address)? != call.arg(2) as u32 {
                return Err(Errno::EAGAIN.into());
            }
            if key == lock {
                return Err(Errno::EINVAL.into());
            }
            let awaits = Awaits::Requeue { word, lock };
            self.futexes.queue(key, self.futex_waiter(task, 0, MATCH_ANY, awaits));
            call.flight.progress = Progress::Futex(FutexProgress { slots: 1 });
        }
        self.futex_sleep(call, Restart::NoIntr)
    }

    /// FUTEX_CMP_REQUEUE_PI: the first waiter gets the lock or waits for it, and so do up to `val2`
    /// more; how many it was in all.
    pub(super) fn futex_cmp_requeue_pi(
        &mut self,
        call: &mut Call<'_>,
        shared: bool,
        expected: u32,
    ) -> SysResult {
        let (address, word) = (call.ptr(0), call.ptr(4));
        let more = usize::try_from(call.int(3)).map_err(|_negative| Errno::EINVAL)?;
        // More than one cannot own the lock, and none would be a wake that is lost.
        if address == word || call.int(2) != 1 {
            return Err(Errno::EINVAL.into());
        }
        let key = self.futex_key(call.task, address, shared)?;
        let lock = self.futex_key(call.task, word, shared)?;
        if key == lock {
            return Err(Errno::EINVAL.into());
        }
        if call.read_u32(address)? != expected {
            return Err(Errno::EAGAIN.into());
        }
        let waiters = self.futexes.waiters(key).to_vec();
        let Some(first) = waiters.first() else { return Ok(0) };
        requeues_to(first, lock)?;
        let taker = Taker { task: first.task, word, key: lock, contended: more > 0 };
        let (owner, rest) = match self.lock_pi_atomic(call, &taker)? {
            Some(owner) => (owner, waiters.as_slice()),
            None => {
                self.futex_wake_waiter(first);
                (first.task, &waiters[1..])
            }
        };
        let taken = waiters.len() - rest.len();
        let rest = &rest[..rest.len().min(more.saturating_add(1) - taken)];
        for waiter in rest {
            self.requeue_to_lock(waiter, lock, owner)?;
        }
        Ok((taken + rest.len()) as u64)
    }

    /// rt_mutex_start_proxy_lock(): from now on it waits for the lock.
    fn requeue_to_lock(
        &mut self,
        waiter: &Waiter,
        lock: FutexKey,
        owner: TaskId,
    ) -> Result<(), Errno> {
        let word = requeues_to(waiter, lock)?;
        if waiter.task == owner {
            return Err(Errno::EDEADLK);
        }
        self.futexes.unqueue(waiter.task, waiter.slot);
        self.futexes.queue(lock, Waiter { awaits: Awaits::Lock { word, owner }, ..*waiter });
        Ok(())
    }
}

/// Where it sees the word of the lock.
///
/// # Errors
/// EINVAL for one who waits for something else, or for another lock.
fn requeues_to(waiter: &Waiter, lock: FutexKey) -> Result<crate::platform::UserPtr, Errno> {
    match waiter.awaits {
        Awaits::Requeue { word, lock: named } if named == lock => Ok(word),
        Awaits::Requeue { .. } | Awaits::Wake | Awaits::Lock { .. } => Err(Errno::EINVAL),
    }
}
