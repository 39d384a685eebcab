//! Signals: handlers that write down what they saw, masks as lists, interval timers that interrupt.
//! The log is a fixed array of atomics, so that the handler is async-signal-safe.

use crate::sys::{Fd, Sys, raw, small};
use libc::{c_int, c_void, siginfo_t};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// What a handler is.
pub type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// One delivery, as the handler saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The signal's number.
    pub signal: i32,
    /// si_code.
    pub code: i32,
    /// si_pid.
    pub pid: i32,
    /// si_value's number.
    pub value: i32,
    /// The thread on which the handler ran.
    pub tid: i32,
}

const MOST: usize = 256;
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static LOG: [[AtomicI32; 5]; MOST] = [const { [const { AtomicI32::new(0) }; 5] }; MOST];
static TELL: AtomicI32 = AtomicI32::new(-1);

/// The handler that writes deliveries down and, after `tell`, one byte per delivery to a pipe.
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "only the kernel calls it")]
pub extern "C" fn log(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo; errno is this thread's.
    let (code, pid, value, saved) = unsafe {
        let info = &*info;
        (info.si_code, info.si_pid(), info.si_value().sival_ptr as i32, crate::sys::errno())
    };
    let at = LENGTH.fetch_add(1, Ordering::SeqCst) % MOST;
    let entry = [signal, code, pid, value, crate::process::gettid()];
    for (slot, number) in LOG[at].iter().zip(entry) {
        slot.store(number, Ordering::SeqCst);
    }
    let tell = TELL.load(Ordering::SeqCst);
    if tell >= 0 {
        let _ = crate::sys::write(tell, &[signal as u8]);
    }
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() = saved };
}

/// What `log` has written down.
pub fn logged() -> Vec<Delivery> {
    let length = LENGTH.load(Ordering::SeqCst).min(MOST);
    let entry = |slots: &[AtomicI32; 5]| {
        let [signal, code, pid, value, tid] = slots.each_ref().map(|it| it.load(Ordering::SeqCst));
        Delivery { signal, code, pid, value, tid }
    };
    LOG.iter().take(length).map(entry).collect()
}

/// Only the numbers of the signals that were logged.
pub fn logged_signals() -> Vec<i32> {
    logged().iter().map(|delivery| delivery.signal).collect()
}

/// From now on `log` writes each signal's number to this descriptor.
pub fn tell(fd: Fd) {
    TELL.store(fd, Ordering::SeqCst);
}

/// A set of signals.
pub fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset initialises it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Every signal that a program may block.
pub fn full_set() -> libc::sigset_t {
    // SAFETY: sigfillset initialises it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        set
    }
}

/// The members of a set.
pub fn members(set: &libc::sigset_t) -> Vec<i32> {
    // SAFETY: a valid set.
    (1..=64).filter(|&signal| unsafe { libc::sigismember(set, signal) } == 1).collect()
}

/// Installs a handler (SA_SIGINFO is added) with a mask for its time.
pub fn handle_with(signal: i32, handler: Handler, flags: i32, mask: libc::sigset_t) -> Sys<()> {
    // SAFETY: a valid struct; the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags | libc::SA_SIGINFO;
        action.sa_mask = mask;
        small("sigaction", libc::sigaction(signal, &action, std::ptr::null_mut())).map(|_| ())
    }
}

/// Installs `log`.
pub fn handle(signal: i32, flags: i32) -> Sys<()> {
    handle_with(signal, log, flags, set(&[]))
}

/// SIG_IGN or SIG_DFL, with flags.
pub fn dispose(signal: i32, what: usize, flags: i32) -> Sys<()> {
    // SAFETY: a valid struct.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = what;
        action.sa_flags = flags;
        small("sigaction", libc::sigaction(signal, &action, std::ptr::null_mut())).map(|_| ())
    }
}

/// SIG_IGN.
pub fn ignore(signal: i32) -> Sys<()> {
    dispose(signal, libc::SIG_IGN, 0)
}

/// SIG_DFL.
pub fn default(signal: i32) -> Sys<()> {
    dispose(signal, libc::SIG_DFL, 0)
}

/// The disposition: SIG_DFL, SIG_IGN or an address.
pub fn disposition(signal: i32) -> Sys<usize> {
    // SAFETY: a valid struct.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        small("sigaction", libc::sigaction(signal, std::ptr::null(), &mut action))?;
        Ok(action.sa_sigaction)
    }
}

fn change(how: i32, set: &libc::sigset_t) -> Sys<()> {
    // SAFETY: a valid set.
    let result = unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
    if result == 0 {
        return Ok(());
    }
    Err(crate::sys::Failed { call: "sigprocmask", errno: result })
}

/// Blocks signals in this thread.
pub fn block(signals: &[i32]) -> Sys<()> {
    change(libc::SIG_BLOCK, &set(signals))
}

/// Unblocks signals in this thread.
pub fn unblock(signals: &[i32]) -> Sys<()> {
    change(libc::SIG_UNBLOCK, &set(signals))
}

/// Blocks everything that can be blocked.
pub fn block_all() -> Sys<()> {
    change(libc::SIG_SETMASK, &full_set())
}

/// This thread's mask.
pub fn mask() -> Vec<i32> {
    // SAFETY: a valid set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        members(&set)
    }
}

/// What is pending for this thread, privately or shared.
pub fn pending() -> Vec<i32> {
    // SAFETY: a valid set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigpending(&mut set);
        members(&set)
    }
}

/// tgkill(2).
pub fn tgkill(group: i32, tid: i32, signal: i32) -> Sys<()> {
    let args = [group.into(), tid.into(), signal.into(), 0, 0, 0];
    raw("tgkill", libc::SYS_tgkill, args).map(|_| ())
}

/// sigqueue(3): rt_sigqueueinfo(2) with SI_QUEUE and a value.
pub fn queue(pid: i32, signal: i32, value: usize) -> Sys<()> {
    let value = libc::sigval { sival_ptr: value as *mut c_void };
    // SAFETY: no memory is passed.
    small("sigqueue", unsafe { libc::sigqueue(pid, signal, value) }).map(|_| ())
}

/// rt_sigtimedwait(2), at most `timeout` ms: the number and si_code. Past the C library, which turns
/// SI_TKILL into SI_USER.
pub fn timed_wait(signals: &[i32], timeout: i64) -> Sys<(i32, i32)> {
    let set = set(signals);
    let limit = libc::timespec { tv_sec: timeout / 1000, tv_nsec: timeout % 1000 * 1_000_000 };
    let mut info = [0_i32; 32];
    let (set, limit) = ((&raw const set) as i64, (&raw const limit) as i64);
    let args = [set, info.as_mut_ptr() as i64, limit, 8, 0, 0];
    let signal = raw("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, args)?;
    Ok((signal as i32, info[2]))
}

/// SIGALRM every `micros` µs from now on: whatever sleeps is interrupted, if not by this one then by
/// the next. 0 ends it.
pub fn alarm_every(micros: i64) -> Sys<()> {
    let each = libc::timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 };
    let value = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: valid structs.
    small("setitimer", unsafe { libc::setitimer(libc::ITIMER_REAL, &value, std::ptr::null_mut()) })
        .map(|_| ())
}
