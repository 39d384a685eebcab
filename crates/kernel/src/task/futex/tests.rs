//! Tests of the futex room: waking, moving, timing out, interruption, and what a death leaves.
//! futex(2); rules S-34, S-35, X-14.

use super::robust::{OWNER_DIED, WAITERS};
use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::platform::GuestId;
use crate::task::signal::sigaction::SA_RESTART;
use crate::task::signal::testing::World;
use crate::task::{Run, TaskId};
use crate::time::Instant;

const FUTEX: u64 = 202;
const WAIT: u64 = 128;
const WAKE: u64 = 129;
const WORD: u64 = 0x6000;

fn waiting(w: &mut World, task: TaskId) {
    w.trap(task, FUTEX, [WORD, WAIT, 0, 0, 0, 0]);
    assert!(w.kernel.tasks[task].is_blocked());
}

fn futex(w: &mut World, task: TaskId, args: [u64; 6]) -> Result<u64, Errno> {
    w.call(task, Kernel::sys_futex, args)
}

#[test]
fn a_woken_waiter_does_not_look_at_the_word_again() {
    let mut w = World::new();
    let (a, b) = (w.process(), w.thread());
    waiting(&mut w, b);
    assert_eq!(futex(&mut w, a, [WORD, WAKE, 1, 0, 0, 0]), Ok(1));
    w.memory.put(WORD, &[9]);
    assert!(w.kernel.resume(b, &mut w.memory));
    assert_eq!(w.kernel.tasks[b].regs.rax, 0);
    assert_eq!(w.kernel.futexes, Default::default());
}

#[test]
fn waiters_are_woken_in_the_order_of_their_arrival() {
    let mut w = World::new();
    let (a, b, c) = (w.process(), w.thread(), w.thread());
    waiting(&mut w, c);
    waiting(&mut w, b);
    assert_eq!(futex(&mut w, a, [WORD, WAKE, 0, 0, 0, 0]), Ok(1), "0 wakes one, as in Linux");
    assert!(w.kernel.is_ready(c) && !w.kernel.is_ready(b));
}

#[test]
fn a_changed_word_is_eagain_and_a_misaligned_one_einval() {
    let mut w = World::new();
    let a = w.process();
    assert_eq!(futex(&mut w, a, [WORD, WAIT, 1, 0, 0, 0]), Err(Errno::EAGAIN));
    assert_eq!(futex(&mut w, a, [WORD + 1, WAIT, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(futex(&mut w, a, [WORD, 9 | 128, 0, 0, 0, 0]), Err(Errno::EINVAL), "no bits");
    assert_eq!(futex(&mut w, a, [WORD, 256 | WAKE, 1, 0, 0, 0]), Err(Errno::ENOSYS));
}

#[test]
fn requeued_waiters_hear_the_other_futex() {
    let mut w = World::new();
    let (a, b, c) = (w.process(), w.thread(), w.thread());
    waiting(&mut w, b);
    waiting(&mut w, c);
    let other = WORD + 4;
    assert_eq!(futex(&mut w, a, [WORD, 4 | 128, 1, 9, other, 1]), Err(Errno::EAGAIN));
    assert_eq!(futex(&mut w, a, [WORD, 4 | 128, 1, 9, other, 0]), Ok(2));
    assert!(w.kernel.is_ready(b) && !w.kernel.is_ready(c));
    assert_eq!(futex(&mut w, a, [WORD, WAKE, 9, 0, 0, 0]), Ok(0));
    assert_eq!(futex(&mut w, a, [other, WAKE, 9, 0, 0, 0]), Ok(1));
}

#[test]
fn a_timed_wait_ends_and_leaves_its_queue() {
    let mut w = World::new();
    let a = w.process();
    w.memory.put(0x2000, &[0; 8]);
    w.memory.put(0x2008, &1000u64.to_le_bytes());
    w.trap(a, FUTEX, [WORD, WAIT, 0, 0x2000, 0, 0]);
    let deadline = w.kernel.next_deadline();
    w.kernel.now = deadline.unwrap_or(Instant::ZERO);
    w.kernel.expire();
    assert!(w.kernel.resume(a, &mut w.memory));
    assert_eq!(w.kernel.tasks[a].regs.rax, Errno::ETIMEDOUT.as_result());
    assert_eq!(w.kernel.futexes, Default::default());
}

#[test]
fn a_signal_takes_a_waiter_out_of_its_queue() {
    // S-35: without a timeout it starts again under SA_RESTART.
    let mut w = World::new();
    let a = w.process();
    w.catch(a, Signal::SIGUSR1, SA_RESTART);
    waiting(&mut w, a);
    w.kill(a, Signal::SIGUSR1);
    assert!(w.kernel.resume(a, &mut w.memory));
    assert_eq!(w.kernel.futexes, Default::default());
    let frame = w.kernel.tasks[a].regs.rsp;
    assert_eq!(w.memory.word(frame + 48 + 104), FUTEX);
}

#[test]
fn waitv_says_which_one_was_woken() {
    let mut w = World::new();
    let (a, b) = (w.process(), w.thread());
    for i in 0..2u64 {
        w.memory.put(0x2000 + i * 24, &0u64.to_le_bytes());
        w.memory.put(0x2008 + i * 24, &(WORD + i * 4).to_le_bytes());
        w.memory.put(0x2010 + i * 24, &130u64.to_le_bytes());
    }
    w.trap(b, 449, [0x2000, 2, 0, 0, 0, 0]);
    assert!(w.kernel.tasks[b].is_blocked());
    assert_eq!(futex(&mut w, a, [WORD + 4, WAKE, 1, 0, 0, 0]), Ok(1));
    assert!(w.kernel.resume(b, &mut w.memory));
    assert_eq!(w.kernel.tasks[b].regs.rax, 1);
    assert_eq!(w.kernel.futexes, Default::default());
}

#[test]
fn a_dead_owner_is_told_in_its_robust_list() {
    // OWNER_DIED, WAITERS kept, one waiter woken; a bad entry ends the walk silently.
    let mut w = World::new();
    let (a, b) = (w.process(), w.thread());
    let tid = w.kernel.tasks[b].tid.0;
    let put = |w: &mut World, at: u64, word: u64| w.memory.put(at, &word.to_le_bytes());
    // head at 0x7000 → entry at 0x7100 → entry beyond the memory; locks 8 bytes behind entries.
    put(&mut w, 0x7000, 0x7100);
    put(&mut w, 0x7008, 8);
    put(&mut w, 0x7010, 0);
    put(&mut w, 0x7100, 0x7fff_0000_0000);
    w.memory.put(0x7108, &(WAITERS | tid).to_le_bytes());
    w.trap(a, FUTEX, [0x7108, 0, u64::from(WAITERS | tid), 0, 0, 0]);
    assert!(w.kernel.tasks[a].is_blocked());
    assert_eq!(w.call(b, Kernel::sys_set_robust_list, [0x7000, 24, 0, 0, 0, 0]), Ok(0));
    w.kernel.futex_exit_release(b, &mut w.memory);
    assert_eq!(w.memory.int(0x7108), WAITERS | OWNER_DIED);
    assert_eq!(w.kernel.tasks[a].run, Run::Ready);
}

#[test]
fn a_pi_lock_goes_to_the_first_waiter() {
    let mut w = World::new();
    let (a, b) = (w.process(), w.thread());
    w.kernel.tasks[b].guest = Some(GuestId(9));
    let (ta, tb) = (w.kernel.tasks[a].tid.0, w.kernel.tasks[b].tid.0);
    assert_eq!(futex(&mut w, a, [WORD, 6 | 128, 0, 0, 0, 0]), Ok(0));
    assert_eq!(w.memory.int(WORD), ta);
    assert_eq!(futex(&mut w, a, [WORD, 6 | 128, 0, 0, 0, 0]), Err(Errno::EDEADLK));
    assert_eq!(futex(&mut w, b, [WORD, 8 | 128, 0, 0, 0, 0]), Err(Errno::EAGAIN));
    assert_eq!(futex(&mut w, b, [WORD, 7 | 128, 0, 0, 0, 0]), Err(Errno::EPERM));
    w.trap(b, FUTEX, [WORD, 6 | 128, 0, 0, 0, 0]);
    assert_eq!(w.memory.int(WORD), WAITERS | ta);
    w.kernel.futex_exit_release(a, &mut w.memory);
    assert_eq!(w.memory.int(WORD), WAITERS | OWNER_DIED | tb);
    assert!(w.kernel.resume(b, &mut w.memory));
    assert_eq!(w.kernel.tasks[b].regs.rax, 0);
    assert_eq!(futex(&mut w, b, [WORD, 7 | 128, 0, 0, 0, 0]), Ok(0));
    assert_eq!(w.memory.int(WORD), 0);
}
