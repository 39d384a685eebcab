//! Futexes of real-time programs: who waits with a priority, and condition variables whose waiters
//! move to a lock that the kernel hands over. futex(2), FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI.

use guests::process::{futex_wake, getpid, gettid, until_asleep};
use guests::signal::{handle, logged_signals, tgkill};
use guests::sys::{Sys, monotonic, raw};
use guests::{Check, ensure, fails, same};
use libc::{EAGAIN, EINVAL, ETIMEDOUT, SIGUSR1, timespec};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};

guests::cases! {
    waiters_move_to_the_lock_in_their_order,
    the_first_waiter_takes_a_free_lock_at_once,
    the_two_calls_belong_together,
    a_signal_restarts_the_wait_before_the_move_and_ends_it_afterwards,
    a_wait_for_the_lock_ends_with_its_time,
    who_has_a_real_time_priority_is_woken_first,
}

const LOCK_PI: i64 = 6;
const UNLOCK_PI: i64 = 7;
const WAIT_REQUEUE_PI: i64 = 11;
const CMP_REQUEUE_PI: i64 = 12;
const PRIVATE: i64 = 128;
const WAITERS: u32 = 1 << 31;

/// A condition's word and its lock's.
struct Pair {
    condition: AtomicU32,
    lock: AtomicU32,
}

impl Pair {
    const fn new() -> Pair {
        Pair { condition: AtomicU32::new(0), lock: AtomicU32::new(0) }
    }

    /// FUTEX_WAIT_REQUEUE_PI.
    fn wait(&self, until: Option<&timespec>) -> Sys<i64> {
        let (word, lock) = (self.condition.as_ptr() as i64, self.lock.as_ptr() as i64);
        let until = until.map_or(0, |it| std::ptr::from_ref(it) as i64);
        raw("futex", libc::SYS_futex, [word, WAIT_REQUEUE_PI | PRIVATE, 0, until, lock, 0])
    }

    /// FUTEX_CMP_REQUEUE_PI: one and `more`.
    fn requeue(&self, more: i64, value: i64) -> Sys<i64> {
        let (word, lock) = (self.condition.as_ptr() as i64, self.lock.as_ptr() as i64);
        raw("futex", libc::SYS_futex, [word, CMP_REQUEUE_PI | PRIVATE, 1, more, lock, value])
    }

    fn lock(&self) -> Sys<i64> {
        pi(&self.lock, LOCK_PI)
    }

    fn unlock(&self) -> Sys<i64> {
        pi(&self.lock, UNLOCK_PI)
    }

    /// `many` threads that wait; each tells its number and what the call returned when it has the
    /// lock, and unlocks it. Returns when all of them sleep.
    fn waiters(&'static self, many: usize) -> Result<(Vec<i32>, Woken), String> {
        let (told, woken) = channel();
        let mut tids = Vec::new();
        for number in 0..many {
            let (told, (tid, its)) = (told.clone(), channel());
            std::thread::spawn(move || {
                let _ = tid.send(gettid());
                let waited = self.wait(None).map_err(|it| it.errno);
                let owns = self.lock.load(Ordering::SeqCst) & !WAITERS == gettid() as u32;
                let _ = told.send((number, waited, owns));
                let _ = self.unlock();
            });
            let tid = its.recv().map_err(|error| error.to_string())?;
            until_asleep(getpid(), tid)?;
            tids.push(tid);
        }
        Ok((tids, woken))
    }
}

type Woken = Receiver<(usize, Result<i64, i32>, bool)>;

fn pi(word: &AtomicU32, operation: i64) -> Sys<i64> {
    raw("futex", libc::SYS_futex, [word.as_ptr() as i64, operation | PRIVATE, 0, 0, 0, 0])
}

/// futex(2).
fn waiters_move_to_the_lock_in_their_order() -> Check {
    static PAIR: Pair = Pair::new();
    let (tids, woken) = PAIR.waiters(3)?;
    PAIR.lock()?;
    fails!(PAIR.requeue(99, 7), EAGAIN);
    same!(PAIR.requeue(1, 0)?, 2, "moved");
    same!(PAIR.requeue(99, 0)?, 1, "moved then");
    same!(PAIR.requeue(99, 0)?, 0, "moved at last");
    same!(PAIR.lock.load(Ordering::SeqCst), gettid() as u32 | WAITERS, "the lock's word");
    ensure!(woken.try_recv().is_err(), "one of {tids:?} has the lock of another");
    PAIR.unlock()?;
    for number in 0..3 {
        same!(woken.recv().ok(), Some((number, Ok(0), true)), "the next owner");
    }
    Ok(())
}

/// futex(2).
fn the_first_waiter_takes_a_free_lock_at_once() -> Check {
    static PAIR: Pair = Pair::new();
    let (_, woken) = PAIR.waiters(1)?;
    same!(PAIR.requeue(0, 0)?, 1, "who has the lock");
    same!(woken.recv().ok(), Some((0, Ok(0), true)), "the owner");
    Ok(())
}

/// futex(2), ERRORS: EINVAL.
fn the_two_calls_belong_together() -> Check {
    static PAIR: Pair = Pair::new();
    static OTHER: AtomicU32 = AtomicU32::new(0);
    let (_, woken) = PAIR.waiters(1)?;
    same!(futex_wake(&PAIR.condition, 1)?, 0, "a futex without FUTEX_PRIVATE_FLAG is another one");
    the_two_refuse_each_other(&PAIR, &OTHER)?;
    same!(PAIR.requeue(0, 0)?, 1, "who has the lock");
    same!(woken.recv().ok(), Some((0, Ok(0), true)), "the owner");
    Ok(())
}

fn the_two_refuse_each_other(pair: &'static Pair, other: &AtomicU32) -> Check {
    let (word, lock) = (pair.condition.as_ptr() as i64, pair.lock.as_ptr() as i64);
    let futex = |args| raw("futex", libc::SYS_futex, args);
    fails!(futex([word, 1 | PRIVATE, 1, 0, 0, 0]), EINVAL);
    fails!(futex([word, 3 | PRIVATE, 1, 1, other.as_ptr() as i64, 0]), EINVAL);
    fails!(futex([word, CMP_REQUEUE_PI | PRIVATE, 1, 1, other.as_ptr() as i64, 0]), EINVAL);
    fails!(futex([word, CMP_REQUEUE_PI | PRIVATE, 2, 1, lock, 0]), EINVAL);
    fails!(futex([word, CMP_REQUEUE_PI | PRIVATE, 1, -1, lock, 0]), EINVAL);
    fails!(futex([word, CMP_REQUEUE_PI | PRIVATE, 1, 1, word, 0]), EINVAL);
    fails!(futex([word, WAIT_REQUEUE_PI | PRIVATE, 0, 0, word, 0]), EINVAL);
    fails!(futex([word, WAIT_REQUEUE_PI | PRIVATE, 7, 0, lock, 0]), EAGAIN);
    Ok(())
}

/// signal(7): restarted whatever the handler's flags say; afterwards EAGAIN.
fn a_signal_restarts_the_wait_before_the_move_and_ends_it_afterwards() -> Check {
    static PAIR: Pair = Pair::new();
    handle(SIGUSR1, 0)?;
    let (tids, woken) = PAIR.waiters(1)?;
    PAIR.lock()?;
    tgkill(getpid(), tids[0], SIGUSR1)?;
    while logged_signals().is_empty() {
        std::thread::yield_now();
    }
    until_asleep(getpid(), tids[0])?;
    same!(PAIR.requeue(0, 0)?, 1, "moved");
    ensure!(woken.try_recv().is_err(), "the signal ended the wait");
    tgkill(getpid(), tids[0], SIGUSR1)?;
    same!(woken.recv().ok(), Some((0, Err(EAGAIN), false)), "what the signal ended");
    PAIR.unlock()?;
    Ok(())
}

/// futex(2): the time is absolute, on the monotonic clock.
fn a_wait_for_the_lock_ends_with_its_time() -> Check {
    let pair = Pair::new();
    let end = monotonic() + 10_000_000;
    let until =
        timespec { tv_sec: (end / 1_000_000_000) as i64, tv_nsec: (end % 1_000_000_000) as i64 };
    fails!(pair.wait(Some(&until)), ETIMEDOUT);
    ensure!(monotonic() >= end, "it waited too short");
    Ok(())
}

/// sched(7): equals keep their order; nothing to see without the privilege.
fn who_has_a_real_time_priority_is_woken_first() -> Check {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let (told, woken) = channel();
    for priority in [0, 1, 3, 0, 2, 3] {
        let (told, (ready, is_ready)) = (told.clone(), channel());
        std::thread::spawn(move || {
            let param = libc::sched_param { sched_priority: priority };
            let policy = if priority == 0 { libc::SCHED_OTHER } else { libc::SCHED_FIFO };
            // SAFETY: the parameter outlives the call.
            let set = unsafe { libc::sched_setscheduler(0, policy, &raw const param) } == 0;
            let _ = ready.send((gettid(), set));
            let _ = raw("futex", libc::SYS_futex, [WORD.as_ptr() as i64, 0, 0, 0, 0, 0]);
            let _ = told.send(priority);
        });
        let (tid, set) = is_ready.recv().map_err(|error| error.to_string())?;
        if !set {
            return Ok(());
        }
        until_asleep(getpid(), tid)?;
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        same!(futex_wake(&WORD, 1)?, 1, "woken");
        order.push(woken.recv().map_err(|error| error.to_string())?);
    }
    same!(order, [3, 3, 2, 1, 0, 0], "the order of the priorities");
    Ok(())
}
