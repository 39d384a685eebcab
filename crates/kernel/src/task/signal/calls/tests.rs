//! Tests of the calls themselves: arguments, errors and what is written back. Rules S-17, S-32,
//! S-37, S-48, S-49; sigaction(2), sigprocmask(2), sigpending(2), sigtimedwait(2), sigaltstack(2).

use super::*;
use crate::task::signal::sigaction::{SA_RESTART, SIG_DFL};
use crate::task::signal::testing::World;
use crate::time::Duration;

const NEW: u64 = 0x2000;
const OLD: u64 = 0x2100;
const USR1: u64 = 10;
const KILL: u64 = 9;

fn world() -> (World, TaskId) {
    let mut w = World::new();
    let task = w.process();
    (w, task)
}

/// Writes words to guest memory.
fn put(w: &mut World, at: u64, words: &[u64]) {
    for (i, word) in words.iter().enumerate() {
        w.memory.put(at + 8 * i as u64, &word.to_le_bytes());
    }
}

#[test]
fn sigaction_sets_asks_and_refuses() {
    // S-48.
    let (mut w, task) = world();
    let action = |w: &mut World, args: [u64; 4]| {
        let [signal, new, old, size] = args;
        w.call(task, Kernel::sys_rt_sigaction, [signal, new, old, size, 0, 0])
    };
    put(&mut w, NEW, &[0x4444, SA_RESTART, 0x9000, 0x200]);
    assert_eq!(action(&mut w, [USR1, NEW, 0, 4]), Err(Errno::EINVAL), "sigsetsize");
    assert_eq!(action(&mut w, [USR1, NEW, 0, 16]), Err(Errno::EINVAL), "sigsetsize");
    assert_eq!(action(&mut w, [USR1, 8 << 30, 0, 8]), Err(Errno::EFAULT));
    assert_eq!(action(&mut w, [USR1, NEW, OLD, 8]), Ok(0));
    assert_eq!(w.memory.word(OLD), SIG_DFL, "what was before");
    assert_eq!(action(&mut w, [USR1, 0, OLD, 8]), Ok(0));
    let told = [0, 8, 16, 24].map(|i| w.memory.word(OLD + i));
    assert_eq!(told, [0x4444, SA_RESTART, 0x9000, 0x200]);
    assert_eq!(action(&mut w, [USR1, 0, 0, 8]), Ok(0));
    for signal in [KILL, 19] {
        assert_eq!(action(&mut w, [signal, NEW, 0, 8]), Err(Errno::EINVAL));
        assert_eq!(action(&mut w, [signal, 0, OLD, 8]), Ok(0), "asking is allowed");
        assert_eq!(w.memory.word(OLD), SIG_DFL);
    }
    for signal in [0, 65, u64::MAX] {
        assert_eq!(action(&mut w, [signal, 0, 0, 8]), Err(Errno::EINVAL));
    }
}

#[test]
fn ignoring_a_signal_throws_away_what_is_pending() {
    // S-17: explicitly, or because its default is to be ignored; nothing else is thrown away.
    let (mut w, task) = world();
    w.kernel.set_current_blocked(task, SigSet(u64::MAX));
    for signal in [Signal::SIGUSR1, Signal::SIGCHLD, Signal::SIGTERM] {
        w.catch(task, signal, 0);
        w.kill(task, signal);
    }
    let group = w.kernel.tasks[task].group;
    let pending = |w: &World| w.kernel.groups[group].shared_pending.signal;
    put(&mut w, NEW, &[SIG_IGN, 0, 0, 0]);
    w.call(task, Kernel::sys_rt_sigaction, [USR1, NEW, 0, 8, 0, 0]).unwrap();
    assert!(!pending(&w).has(Signal::SIGUSR1) && pending(&w).has(Signal::SIGCHLD));
    put(&mut w, NEW, &[SIG_DFL, 0, 0, 0]);
    w.call(task, Kernel::sys_rt_sigaction, [17, NEW, 0, 8, 0, 0]).unwrap();
    w.call(task, Kernel::sys_rt_sigaction, [15, NEW, 0, 8, 0, 0]).unwrap();
    assert_eq!(pending(&w), SigSet::of(Signal::SIGTERM));
}

#[test]
fn sigprocmask_adds_removes_and_sets() {
    // S-32.
    let (mut w, task) = world();
    let mask = |w: &mut World, how: i64, set: Option<u64>, old: u64| {
        if let Some(set) = set {
            put(w, NEW, &[set]);
        }
        let new = if set.is_some() { NEW } else { 0 };
        w.call(task, Kernel::sys_rt_sigprocmask, [how as u64, new, old, 8, 0, 0])
    };
    assert_eq!(mask(&mut w, 2, Some(0b1100), OLD), Ok(0));
    assert_eq!((w.memory.word(OLD), w.kernel.tasks[task].blocked), (0, SigSet(0b1100)));
    assert_eq!(mask(&mut w, 0, Some(0b0110), OLD), Ok(0));
    assert_eq!((w.memory.word(OLD), w.kernel.tasks[task].blocked), (0b1100, SigSet(0b1110)));
    assert_eq!(mask(&mut w, 1, Some(0b0011), 0), Ok(0));
    assert_eq!(w.kernel.tasks[task].blocked, SigSet(0b1100));
    assert_eq!(mask(&mut w, 3, Some(0), OLD), Err(Errno::EINVAL));
    assert_eq!(mask(&mut w, 3, None, OLD), Ok(0), "how counts only with a set");
    assert_eq!((w.memory.word(OLD), w.kernel.tasks[task].blocked), (0b1100, SigSet(0b1100)));
    let wrong = w.call(task, Kernel::sys_rt_sigprocmask, [2, NEW, 0, 4, 0, 0]);
    assert_eq!(wrong, Err(Errno::EINVAL), "sigsetsize");
    assert_eq!(mask(&mut w, 2, Some(u64::MAX), 0), Ok(0));
    assert_eq!(w.kernel.tasks[task].blocked, SigSet(u64::MAX).minus(SigSet::UNBLOCKABLE));
}

#[test]
fn sigpending_tells_what_is_blocked_and_pending_in_as_many_bytes_as_asked() {
    let (mut w, task) = world();
    w.kernel.set_current_blocked(task, SigSet(u64::MAX));
    w.kill(task, Signal::SIGUSR1);
    let info = SigInfo::user(Signal::new(40).unwrap(), crate::task::Pid(1), 0);
    w.kernel.send_signal(info, crate::task::signal::Target::Thread(task)).unwrap();
    let mut pending = |to: u64, size: u64| {
        put(&mut w, OLD, &[u64::MAX]);
        let told = w.call(task, Kernel::sys_rt_sigpending, [to, size, 0, 0, 0, 0]);
        (told, w.memory.word(OLD))
    };
    let both = 1 << 9 | 1 << 39;
    assert_eq!(pending(OLD, 8), (Ok(0), both));
    assert_eq!(pending(OLD, 4), (Ok(0), both & 0xffff_ffff | 0xffff_ffff << 32));
    assert_eq!(pending(OLD, 0), (Ok(0), u64::MAX));
    assert_eq!(pending(OLD, 9), (Err(Errno::EINVAL), u64::MAX));
    assert_eq!(pending(0, 8), (Err(Errno::EFAULT), u64::MAX));
}

#[test]
fn sigtimedwait_ends_when_its_time_is_over() {
    // S-37: EAGAIN exactly then, and the mask is as it was.
    let (mut w, task) = world();
    w.kernel.set_current_blocked(task, SigSet::of(Signal::SIGUSR1));
    put(&mut w, NEW, &[SigSet::of(Signal::SIGUSR1).0, 0]);
    put(&mut w, 0x2200, &[1, 500_000_000]);
    w.trap(task, 128, [NEW, 0, 0x2200, 8, 0, 0]);
    assert!(w.kernel.tasks[task].is_blocked());
    let until = w.kernel.next_deadline().expect("the end of the time");
    let entered = w.kernel.tasks[task].in_flight.as_ref().unwrap().entered;
    assert_eq!(until - entered, Duration::from_millis(1500));
    w.kernel.now = until;
    w.kernel.expire();
    assert!(w.kernel.resume(task, &mut w.memory));
    assert_eq!(w.kernel.tasks[task].regs.rax, Errno::EAGAIN.as_result());
    assert_eq!(w.kernel.tasks[task].blocked, SigSet::of(Signal::SIGUSR1));
    assert_eq!(w.kernel.tasks[task].real_blocked, SigSet::EMPTY);
    for size in [4, 16] {
        let wrong = w.call(task, Kernel::sys_rt_sigtimedwait, [NEW, 0, 0, size, 0, 0]);
        assert_eq!(wrong, Err(Errno::EINVAL));
        let wrong = w.call(task, Kernel::sys_rt_sigsuspend, [NEW, size, 0, 0, 0, 0]);
        assert_eq!(wrong, Err(Errno::EINVAL));
    }
}

#[test]
fn sigaltstack_sets_asks_and_refuses() {
    // S-49.
    let (mut w, task) = world();
    let set = |w: &mut World, sp: u64, flags: u32, size: u64, old: u64| {
        put(w, NEW, &[sp, u64::from(flags), size]);
        w.call(task, Kernel::sys_sigaltstack, [NEW, old, 0, 0, 0, 0])
    };
    let ask = |w: &mut World| {
        put(w, OLD, &[7, 7, 7]);
        w.call(task, Kernel::sys_sigaltstack, [0, OLD, 0, 0, 0, 0]).unwrap();
        (w.memory.word(OLD), w.memory.int(OLD + 8), w.memory.word(OLD + 16))
    };
    assert_eq!(ask(&mut w), (0, SS_DISABLE, 0));
    assert_eq!(set(&mut w, 0x60_0000, 0, 2047, OLD), Err(Errno::ENOMEM));
    assert_eq!(set(&mut w, 0x60_0000, SS_ONSTACK, 2047, 0), Err(Errno::ENOMEM));
    for flags in [4, SS_DISABLE | SS_ONSTACK, 1 << 30] {
        assert_eq!(set(&mut w, 0x60_0000, flags, 4096, 0), Err(Errno::EINVAL));
    }
    assert_eq!(ask(&mut w), (0, SS_DISABLE, 0), "nothing of this had an effect");
    assert_eq!(set(&mut w, 0x60_0000, 0, 2048, OLD), Ok(0));
    assert_eq!(w.memory.int(OLD + 8), SS_DISABLE, "what was before");
    assert_eq!(ask(&mut w), (0x60_0000, 0, 2048));
    assert_eq!(set(&mut w, 0x61_0000, SS_ONSTACK | SS_AUTODISARM, 4096, 0), Ok(0));
    assert_eq!(ask(&mut w), (0x61_0000, SS_AUTODISARM, 4096));
    // One that disarms itself is never in use; another that is in use cannot be changed.
    w.kernel.tasks[task].regs.rsp = 0x61_0800;
    assert_eq!(ask(&mut w), (0x61_0000, SS_AUTODISARM, 4096));
    assert_eq!(set(&mut w, 0x61_0000, 0, 4096, 0), Ok(0));
    assert_eq!(ask(&mut w), (0x61_0000, SS_ONSTACK, 4096));
    assert_eq!(set(&mut w, 0x60_0000, 0, 2048, 0), Err(Errno::EPERM));
    assert_eq!(set(&mut w, 0, SS_DISABLE, 0, 0), Err(Errno::EPERM));
    w.kernel.tasks[task].regs.rsp = 0x62_0000;
    assert_eq!(set(&mut w, 0x1234, SS_DISABLE | SS_AUTODISARM, 77, 0), Ok(0));
    assert_eq!(ask(&mut w), (0, SS_DISABLE | SS_AUTODISARM, 0));
}

#[test]
fn a_periodic_timer_that_was_ignored_comes_back() {
    // S-17: its record is kept back while the signal is ignored, and queued when it no longer is.
    let (mut w, task) = world();
    let group = w.kernel.tasks[task].group;
    let set = |w: &mut World, handler: u64| {
        put(w, NEW, &[handler, 0, 0, 0]);
        w.call(task, Kernel::sys_rt_sigaction, [USR1, NEW, 0, 8, 0, 0]).unwrap();
    };
    let pending = |w: &World| w.kernel.groups[group].shared_pending.signal.has(Signal::SIGUSR1);
    set(&mut w, SIG_IGN);
    put(&mut w, 0x2200, &[0, USR1, 0, 0, 0, 0, 0, 0]);
    w.trap(task, 222, [1, 0x2200, 0x2300, 0, 0, 0]);
    let id = u64::from(w.memory.int(0x2300));
    put(&mut w, 0x2400, &[1, 0, 1, 0]);
    w.trap(task, 223, [id, 0, 0x2400, 0, 0, 0]);
    w.kernel.now = w.kernel.next_deadline().expect("armed");
    w.kernel.expire();
    assert!(!pending(&w));
    set(&mut w, SIG_IGN);
    assert!(!pending(&w), "still ignored");
    set(&mut w, 0x4444);
    assert!(pending(&w));
}
