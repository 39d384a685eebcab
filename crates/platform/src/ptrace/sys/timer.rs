//! A timer whose signal handler interrupts the guest that this thread waits for. The handler does it
//! itself: a flag looked at after wait4's EINTR would lose alarms. The timer starts with the first
//! run and stops itself a tick after the last, so that an idle supervisor sleeps in peace.

use super::{Errno, check, interrupt, last_errno};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

/// What the handler looks at. It runs in the thread that owns it (SIGEV_THREAD_ID).
struct Watch {
    /// The process to interrupt, 0 for none.
    running: AtomicI32,
    /// The period in which the timer ticks, in nanoseconds; 0 if it does not.
    period: AtomicU64,
    /// The timer, [`NONE`] for none.
    timer: AtomicPtr<libc::c_void>,
    /// How many platforms of this thread use it.
    users: AtomicI32,
}

thread_local! {
    // No destructor and no lazy start: a signal handler may use it.
    static WATCH: Watch = const {
        Watch {
            running: AtomicI32::new(0),
            period: AtomicU64::new(0),
            timer: AtomicPtr::new(NONE),
            users: AtomicI32::new(0),
        }
    };
}

/// No timer. Not null: timer_create(2) calls the first timer of a process 0.
const NONE: *mut libc::c_void = std::ptr::without_provenance_mut(usize::MAX);

/// The signal: an arbitrary one of those that no terminal and no libc sends.
fn signal() -> libc::c_int {
    libc::SIGRTMAX() - 2
}

/// A user of this thread's timer, which all platforms of the thread share: one runs at a time.
#[derive(Debug)]
pub(in super::super) struct Timer {
    not_send: PhantomData<*mut ()>,
}

impl Timer {
    /// Makes the timer of this thread if it has none.
    pub(in super::super) fn new() -> Result<Timer, Errno> {
        let timer = Timer { not_send: PhantomData };
        if WATCH.with(|watch| watch.users.fetch_add(1, Ordering::SeqCst)) == 0 {
            Timer::create()?;
        }
        Ok(timer)
    }

    fn create() -> Result<(), Errno> {
        // SAFETY: all structures are plain data that the calls read, or write as `timer`. The
        // handler is async-signal-safe: it touches atomics and makes two system calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = tick as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            check(libc::sigaction(signal(), &action, std::ptr::null_mut()).into())?;
            let mut mask: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&mut mask, signal());
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &mask, std::ptr::null_mut());
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal();
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer = NONE;
            check(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer).into())?;
            WATCH.with(|watch| {
                watch.timer.store(timer, Ordering::SeqCst);
                watch.period.store(0, Ordering::SeqCst);
            });
        }
        Ok(())
    }

    /// From now on `pid` is interrupted at each tick, and this is how often it ticks.
    pub(in super::super) fn enter(&self, pid: super::Pid, period: Duration) {
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        WATCH.with(|watch| {
            watch.running.store(pid, Ordering::SeqCst);
            if watch.period.swap(nanos, Ordering::SeqCst) != nanos {
                set(watch, period);
            }
        });
    }

    /// As [`Timer::enter`]; the first period begins now.
    pub(in super::super) fn enter_anew(&self, pid: super::Pid, period: Duration) {
        WATCH.with(|watch| watch.period.store(0, Ordering::SeqCst));
        self.enter(pid, period);
    }

    /// Nobody is interrupted any more; one interruption may still be on its way.
    pub(in super::super) fn leave(&self) {
        WATCH.with(|watch| watch.running.store(0, Ordering::SeqCst));
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        WATCH.with(|watch| {
            if watch.users.fetch_sub(1, Ordering::SeqCst) > 1 {
                return;
            }
            let timer = watch.timer.swap(NONE, Ordering::SeqCst);
            if timer != NONE {
                // SAFETY: the timer was created by `create` and is deleted once. A signal that is
                // still on its way finds nobody running and no timer.
                unsafe { libc::timer_delete(timer) };
            }
        });
    }
}

/// Makes the timer tick with a period; zero stops it.
fn set(watch: &Watch, period: Duration) {
    let timer = watch.timer.load(Ordering::SeqCst);
    if timer == NONE {
        return;
    }
    let period = libc::timespec {
        tv_sec: period.as_secs() as libc::time_t,
        tv_nsec: period.subsec_nanos().into(),
    };
    let spec = libc::itimerspec { it_interval: period, it_value: period };
    // SAFETY: the timer lives while it is in `watch`; timer_settime is async-signal-safe.
    unsafe { libc::timer_settime(timer, 0, &spec, std::ptr::null_mut()) };
}

/// The signal handler.
extern "C" fn tick(_: libc::c_int) {
    let errno = last_errno();
    WATCH.with(|watch| match watch.running.load(Ordering::SeqCst) {
        0 => {
            watch.period.store(0, Ordering::SeqCst);
            set(watch, Duration::ZERO);
        }
        pid => drop(interrupt(pid)),
    });
    // SAFETY: errno is this thread's own; the interrupted code must find what it left.
    unsafe { *libc::__errno_location() = errno.raw() };
}
