//! FUTEX_WAIT, FUTEX_WAKE, their bitset forms, FUTEX_WAKE_OP, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE.
//! futex(2), rules S-34, S-35. Neighbours: `futex` (the queues), `robust`, `waitv`.

use super::{Awaits, FutexProgress, MATCH_ANY, Waiter};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::FutexKey;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Restart, SysResult, Wait};
use crate::task::timer::clock::Clock;
use crate::wait_queue::Event;

/// What a wait waits for.
pub(super) struct Awaited {
    /// Where.
    pub address: UserPtr,
    /// Without FUTEX_PRIVATE_FLAG.
    pub shared: bool,
    /// What the word must be.
    pub value: u32,
    /// Which wakes count.
    pub bitset: u32,
}

impl Kernel {
    /// FUTEX_WAIT: a relative timeout.
    pub(super) fn futex_wait_relative(&mut self, call: &mut Call<'_>, shared: bool) -> SysResult {
        // Taken once: a restarted wait keeps its deadline.
        if call.flight.until.is_none() && !call.ptr(3).is_null() {
            let time = self.read_timespec(call, call.ptr(3))?;
            call.flight.until = Some(self.now + time);
        }
        self.futex_wait(call, shared, MATCH_ANY)
    }

    /// FUTEX_WAIT_BITSET: an absolute one.
    pub(super) fn futex_wait_bitset(
        &mut self,
        call: &mut Call<'_>,
        shared: bool,
        clock: Clock,
        bitset: u32,
    ) -> SysResult {
        if call.flight.until.is_none() {
            call.flight.until = self.futex_absolute_timeout(call, call.ptr(3), clock)?;
        }
        self.futex_wait(call, shared, bitset)
    }

    fn futex_wait(&mut self, call: &mut Call<'_>, shared: bool, bitset: u32) -> SysResult {
        let (address, value) = (call.ptr(0), call.arg(2) as u32);
        let restart = match call.flight.until {
            Some(_) => Restart::Block,
            None => Restart::Sys,
        };
        self.futex_wait_for(call, &Awaited { address, shared, value, bitset }, restart)
    }

    /// EAGAIN if the word has changed, ETIMEDOUT; 0 when woken. A signal takes it out of its queue;
    /// if the call goes on afterwards it looks at the word again, as Linux does.
    pub(super) fn futex_wait_for(
        &mut self,
        call: &mut Call<'_>,
        awaited: &Awaited,
        restart: Restart,
    ) -> SysResult {
        let task = call.task;
        if matches!(call.flight.progress, Progress::Futex(_)) {
            if !self.futexes.is_queued(task, 0) {
                return Ok(0);
            }
        } else {
            if awaited.bitset == 0 {
                return Err(Errno::EINVAL.into());
            }
            let key = self.futex_key(task, awaited.address, awaited.shared)?;
            if call.read_u32(awaited.address)? != awaited.value {
                return Err(Errno::EAGAIN.into());
            }
            let waiter = self.futex_waiter(task, 0, awaited.bitset, Awaits::Wake);
            self.futexes.queue(key, waiter);
            call.flight.progress = Progress::Futex(FutexProgress { slots: 1 });
        }
        self.futex_sleep(call, restart)
    }

    /// Queued in slot 0 and not woken: ETIMEDOUT when the time is over; who has a signal leaves the
    /// queue first and looks at the word again if the call goes on.
    pub(super) fn futex_sleep(&mut self, call: &mut Call<'_>, restart: Restart) -> SysResult {
        let task = call.task;
        if call.flight.until.is_some_and(|until| until <= self.now) {
            self.futexes.unqueue(task, 0);
            return Err(Errno::ETIMEDOUT.into());
        }
        if self.signal_pending(task) {
            self.futexes.unqueue(task, 0);
            call.flight.progress = Progress::Fresh;
        }
        let wait = Wait::on(Event::Futex(task)).with_deadline(call.flight.until);
        Err(wait.with_restart(restart).into())
    }

    /// FUTEX_WAKE and FUTEX_WAKE_BITSET. As in Linux, 0 and less wake one.
    pub(super) fn futex_wake(
        &mut self,
        call: &mut Call<'_>,
        address: UserPtr,
        shared: bool,
        count: i32,
        bitset: u32,
    ) -> SysResult {
        if bitset == 0 {
            return Err(Errno::EINVAL.into());
        }
        let key = self.futex_key(call.task, address, shared)?;
        let count = u32::try_from(count).unwrap_or(0).max(1);
        Ok(u64::from(self.futex_wake_bitset(key, count, bitset)?))
    }

    /// Wakes the first `count` waiters at `key`; says how many there were.
    ///
    /// # Errors
    /// EINVAL at one who waits for a lock, or to be moved to one; those before it are woken.
    fn futex_wake_key(&mut self, key: FutexKey, count: u32) -> Result<u32, Errno> {
        self.futex_wake_bitset(key, count, MATCH_ANY)
    }

    /// What a death wakes at `key`. One who waits there for a lock is not woken, and nobody is there
    /// to be told.
    pub fn futex_wake_one(&mut self, key: FutexKey) {
        let _refused = self.futex_wake_key(key, 1);
    }

    fn futex_wake_bitset(&mut self, key: FutexKey, count: u32, bitset: u32) -> Result<u32, Errno> {
        let mut woken = 0;
        for waiter in self.futexes.waiters(key).to_vec() {
            match waiter.awaits {
                Awaits::Lock { .. } | Awaits::Requeue { .. } => return Err(Errno::EINVAL),
                Awaits::Wake if waiter.bitset & bitset == 0 => continue,
                Awaits::Wake => self.futex_wake_waiter(&waiter),
            }
            woken += 1;
            if woken == count {
                break;
            }
        }
        Ok(woken)
    }

    /// It is in no queue any more, and runs.
    pub(super) fn futex_wake_waiter(&mut self, waiter: &Waiter) {
        self.futexes.unqueue(waiter.task, waiter.slot);
        self.publish(Event::Futex(waiter.task));
    }

    /// FUTEX_REQUEUE, and with an expected value FUTEX_CMP_REQUEUE: wakes `val` waiters and moves
    /// up to `val2` more to the other futex; how many it was in all.
    pub(super) fn futex_requeue(
        &mut self,
        call: &mut Call<'_>,
        shared: bool,
        expected: Option<u32>,
    ) -> SysResult {
        let (wake, requeue) = (call.int(2), call.int(3));
        let (Ok(wake), Ok(requeue)) = (usize::try_from(wake), usize::try_from(requeue)) else {
            return Err(Errno::EINVAL.into());
        };
        let from = self.futex_key(call.task, call.ptr(0), shared)?;
        let to = self.futex_key(call.task, call.ptr(4), shared)?;
        if let Some(expected) = expected
            && call.read_u32(call.ptr(0))? != expected
        {
            return Err(Errno::EAGAIN.into());
        }
        self.requeue_waiters(from, to, wake, requeue)
    }

    /// Wakes the first `wake` waiters and moves `requeue` more; how many it was in all.
    ///
    /// # Errors
    /// EINVAL at one who waits for a lock, or to be moved to one; those before it are where they
    /// belong.
    pub(super) fn requeue_waiters(
        &mut self,
        from: FutexKey,
        to: FutexKey,
        wake: usize,
        requeue: usize,
    ) -> SysResult {
        let all = wake.saturating_add(requeue);
        let touched: Vec<Waiter> = self.futexes.waiters(from).iter().take(all).copied().collect();
        for (i, waiter) in touched.iter().enumerate() {
            if waiter.awaits != Awaits::Wake {
                return Err(Errno::EINVAL.into());
            }
            if i < wake {
                self.futex_wake_waiter(waiter);
            } else if from != to {
                self.futexes.unqueue(waiter.task, waiter.slot);
                self.futexes.queue(to, *waiter);
            }
        }
        Ok(touched.len() as u64)
    }

    /// FUTEX_WAKE_OP: changes the second word, wakes at the first, and at the second if its old
    /// value compares.
    pub(super) fn futex_wake_op(&mut self, call: &mut Call<'_>, shared: bool) -> SysResult {
        let first = self.futex_key(call.task, call.ptr(0), shared)?;
        let second = self.futex_key(call.task, call.ptr(4), shared)?;
        let (wake, wake2) = (call.int(2), call.int(3));
        let old = call.read_u32(call.ptr(4))? as i32;
        let (new, compares) = wake_op(call.arg(5) as u32, old).ok_or(Errno::ENOSYS)?;
        call.write_u32(call.ptr(4), new as u32)?;
        let compares = compares.ok_or(Errno::ENOSYS)?;
        let at_least_one = |n: i32| u32::try_from(n).unwrap_or(0).max(1);
        let mut woken = self.futex_wake_key(first, at_least_one(wake))?;
        if compares {
            woken += self.futex_wake_key(second, at_least_one(wake2))?;
        }
        Ok(u64::from(woken))
    }
}

/// futex_atomic_op_inuser(): the new word, and whether the old one compares. `None` for an unknown
/// operation or comparison (the operation is done before the comparison is looked at).
fn wake_op(encoded: u32, old: i32) -> Option<(i32, Option<bool>)> {
    let sign_extend = |bits: u32| ((bits << 20) as i32) >> 20;
    let (op, cmp) = (encoded >> 28 & 7, encoded >> 24 & 15);
    let (mut operand, compared) =
        (sign_extend(encoded >> 12 & 0xfff), sign_extend(encoded & 0xfff));
    if encoded >> 31 != 0 {
        operand = 1 << (operand & 31); // FUTEX_OP_OPARG_SHIFT
    }
    let new = match op {
        0 => operand,
        1 => old.wrapping_add(operand),
        2 => old | operand,
        3 => old & !operand,
        4 => old ^ operand,
        _ => return None,
    };
    let compares = match cmp {
        0 => Some(old == compared),
        1 => Some(old != compared),
        2 => Some(old < compared),
        3 => Some(old <= compared),
        4 => Some(old > compared),
        5 => Some(old >= compared),
        _ => None,
    };
    Some((new, compares))
}

#[cfg(test)]
mod tests {
    use super::wake_op;

    #[test]
    fn wake_op_decodes_as_glibc_encodes() {
        // pthread_cond_signal of old: FUTEX_OP_CLEAR_WAKE_IF_GT_ONE = (4 << 24) | 1.
        assert_eq!(wake_op(4 << 24 | 1, 2), Some((0, Some(true))));
        assert_eq!(wake_op(4 << 24 | 1, 1), Some((0, Some(false))));
        // add −1, compare equal to −1.
        assert_eq!(wake_op(1 << 28 | 0xfff << 12 | 0xfff, -1), Some((-2, Some(true))));
        // or 1 << 5.
        assert_eq!(wake_op(0xa << 28 | 5 << 12, 1), Some((33, Some(false))));
        assert_eq!(wake_op(5 << 28, 1), None);
    }
}
