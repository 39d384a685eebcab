//! Tests of who is chosen, what is queued, and whom it wakes. Rules S-12 to S-29; see `tests` for the
//! room as a whole.

use super::siginfo::{SI_QUEUE, SIGINFO_SIZE, SigDetail, SigInfo};
use super::testing::World;
use super::{SigPending, Target};
use crate::abi::Errno;
use crate::abi::signal::{SigSet, Signal};
use crate::fact::{Fact, TaskFact};
use crate::platform::{Fault, Trap};
use crate::syscall::{Call, SysResult, Wait};
use crate::task::{Cred, Pid, Run, TaskId, WaitStatus};

const ALL: SigSet = SigSet(u64::MAX);
const USR1: Signal = Signal::SIGUSR1;
const USR2: Signal = Signal::SIGUSR2;

fn rt(n: u64) -> Signal {
    Signal::new(n).unwrap()
}

fn sleep(w: &mut World, task: TaskId, killable: bool) {
    w.kernel.tasks[task].run = Run::Blocked(Wait { killable, ..Wait::until(None) });
    w.kernel.run_queue.remove(task);
}

/// A process with three threads that catches USR1 and USR2.
fn three() -> (World, [TaskId; 3]) {
    let mut w = World::new();
    let threads = [w.process(), w.thread(), w.thread()];
    w.catch(threads[0], USR1, 0);
    w.catch(threads[0], USR2, 0);
    (w, threads)
}

fn pending(w: &World, threads: [TaskId; 3]) -> [bool; 3] {
    threads.map(|t| w.kernel.signal_pending(t))
}

#[test]
fn only_sigkill_ends_a_killable_sleep() {
    // S-26: a vfork parent.
    let (mut w, [leader, ..]) = three();
    sleep(&mut w, leader, true);
    let info = SigInfo::user(USR1, Pid(0), 0);
    w.kernel.send_signal(info, Target::Thread(leader)).unwrap();
    assert!(w.kernel.signal_pending(leader) && w.kernel.tasks[leader].is_blocked());
    assert!(!w.kernel.fatal_signal_pending(leader));
    w.kill(leader, Signal::SIGKILL);
    assert!(w.kernel.fatal_signal_pending(leader) && w.kernel.is_ready(leader));
}

#[test]
fn a_stopped_thread_is_woken_by_sigkill_only() {
    // S-21, S-41: another thread is chosen; nothing but KILL and CONT moves a stopped one.
    let (mut w, threads) = three();
    w.kernel.tasks[threads[0]].run = Run::Stopped;
    w.kernel.run_queue.remove(threads[0]);
    w.kill(threads[0], USR1);
    assert_eq!(pending(&w, threads), [false, true, false]);
    w.kernel.signal_wake_up(threads[0], false);
    assert_eq!(w.kernel.tasks[threads[0]].run, Run::Stopped);
    w.kernel.signal_wake_up(threads[0], true);
    assert_eq!(w.kernel.tasks[threads[0]].run, Run::Ready);
    // Who is not stopped is not put into the run queue again.
    w.kernel.wake_up_stopped(threads[0]);
    let queued = (0..9).filter_map(|_| {
        let first = w.kernel.run_queue.first()?;
        w.kernel.run_queue.remove(first);
        Some(first)
    });
    assert_eq!(queued.filter(|t| *t == threads[0]).count(), 1);
}

#[test]
fn the_running_thread_takes_another_signal() {
    // S-21: it looks at its queues on its way back anyway.
    let (mut w, threads) = three();
    assert_eq!(w.kernel.pick(), Some(threads[0]));
    w.kill(threads[0], USR1);
    w.kill(threads[0], USR2);
    assert_eq!(pending(&w, threads), [true, false, false]);
    // One that has something to do and does not run is passed over.
    sleep(&mut w, threads[0], false);
    w.kill(threads[0], Signal::SIGUSR2);
    w.catch(threads[0], Signal::SIGHUP, 0);
    w.kill(threads[0], Signal::SIGHUP);
    assert!(w.kernel.signal_pending(threads[1]));
}

#[test]
fn a_private_signal_waits_for_its_thread() {
    // S-18, S-20.
    let (mut w, threads) = three();
    w.kernel.set_current_blocked(threads[1], SigSet::of(USR1));
    let info = SigInfo::user(USR1, Pid(0), 0);
    w.kernel.send_signal(info, Target::Thread(threads[1])).unwrap();
    assert_eq!(pending(&w, threads), [false; 3]);
    assert!(w.kernel.tasks[threads[1]].pending.signal.has(USR1));
}

#[test]
fn who_has_nothing_to_look_at_offers_nothing() {
    // S-28: retarget_shared_pending only for who was chosen, to who may take it.
    let (mut w, threads) = three();
    w.kill(threads[1], USR1);
    assert_eq!(pending(&w, threads), [false, true, false]);
    w.kernel.set_current_blocked(threads[0], SigSet::of(USR1));
    assert_eq!(pending(&w, threads), [false, true, false]);
    // The third blocks it, and the first is dying: nobody is woken for it.
    w.kernel.set_current_blocked(threads[0], SigSet::EMPTY);
    w.kernel.tasks[threads[0]].sigpending = false;
    w.kernel.tasks[threads[0]].exiting = true;
    w.kernel.set_current_blocked(threads[2], SigSet::of(USR1));
    w.kernel.set_current_blocked(threads[1], SigSet::of(USR1));
    assert_eq!(pending(&w, threads), [false; 3]);
}

#[test]
fn the_next_thread_round_the_group_is_offered_it_first() {
    // S-28: while_each_thread, from the one after.
    let (mut w, threads) = three();
    w.kill(threads[1], USR1);
    w.kernel.set_current_blocked(threads[1], SigSet::of(USR1));
    assert_eq!(pending(&w, threads), [false, false, true]);
    assert_eq!(w.kernel.threads_after(threads[1]), [threads[2], threads[0]]);
    assert_eq!(w.kernel.threads_after(threads[2]), [threads[0], threads[1]]);
}

/// ppoll's and its kind's use of a mask.
fn sys_with_mask(kernel: &mut crate::Kernel, call: &mut Call<'_>) -> SysResult {
    kernel.set_user_sigmask(call, call.ptr(0), call.arg(1))?;
    Ok(0)
}

#[test]
fn a_temporary_mask_holds_for_one_call() {
    // S-36.
    let (mut w, [task, ..]) = three();
    let before = SigSet::of(USR2);
    w.kernel.set_current_blocked(task, before);
    w.memory.put(0x2000, &ALL.0.to_le_bytes());
    let mut with = |at: u64, size| w.call(task, sys_with_mask, [at, size, 0, 0, 0, 0]);
    assert_eq!(with(0, 77), Ok(0), "no mask: the size does not count");
    assert_eq!(with(0x2000, 4), Err(Errno::EINVAL));
    assert_eq!(with(0x2000, 16), Err(Errno::EINVAL));
    assert_eq!(with(8 << 30, 8), Err(Errno::EFAULT));
    assert_eq!(with(0x2000, 8), Ok(0));
    assert_eq!(w.kernel.tasks[task].blocked, ALL.minus(SigSet::UNBLOCKABLE));
    assert_eq!(w.kernel.tasks[task].saved_sigmask, Some(before));
    // Run again it changes nothing.
    w.memory.put(0x2000, &[0; 8]);
    assert_eq!(w.call(task, sys_with_mask, [0x2000, 8, 0, 0, 0, 0]), Ok(0));
    assert_eq!(w.kernel.tasks[task].blocked, ALL.minus(SigSet::UNBLOCKABLE));
    w.kernel.restore_saved_sigmask(task);
    let t = &w.kernel.tasks[task];
    assert_eq!((t.blocked, t.saved_sigmask), (before, None));
    w.kernel.restore_saved_sigmask(task);
    assert_eq!(w.kernel.tasks[task].blocked, before);
}

#[test]
fn the_limit_counts_all_processes_of_the_receivers_user() {
    // S-19.
    let mut w = World::new();
    let (task, same, other) = (w.process(), w.process(), w.process());
    w.kernel.tasks[other].cred = Cred::user(1000, 1000);
    for t in [task, same, other] {
        let group = w.kernel.tasks[t].group;
        w.kernel.groups[group].rlimits.0[crate::task::rlimit::RLIMIT_SIGPENDING].soft = 2;
        w.kernel.set_current_blocked(t, ALL);
    }
    let queued = SigInfo { code: SI_QUEUE, ..SigInfo::user(rt(40), Pid(1), 0) };
    assert_eq!(w.kernel.send_signal(queued, Target::Thread(same)), Ok(()));
    assert_eq!(w.kernel.send_signal(queued, Target::Process(same)), Ok(()));
    assert_eq!(w.kernel.send_signal(queued, Target::Thread(task)), Err(Errno::EAGAIN));
    assert_eq!(w.kernel.send_signal(queued, Target::Thread(other)), Ok(()), "another user");
    // What is never refused: standard signals from the kernel or kill keep their record, a timer's
    // record was allocated with the timer.
    let group = w.kernel.tasks[task].group;
    let records = |w: &World| w.kernel.groups[group].shared_pending.list.len();
    w.kernel.send_signal(SigInfo::user(USR1, Pid(1), 0), Target::Process(task)).unwrap();
    assert_eq!(records(&w), 1);
    let detail = SigDetail::Timer { id: 1, overrun: 0, value: 0 };
    let timer = SigInfo { detail, code: super::siginfo::SI_TIMER, ..queued };
    assert_eq!(w.kernel.send_signal(timer, Target::Process(task)), Ok(()));
    assert_eq!(records(&w), 2);
}

#[test]
fn a_namespaces_init_dies_of_kill_and_stop_from_the_kernel_only() {
    // S-13, S-14.
    let accepts = |signal: Signal, kernel: bool| {
        let mut w = World::new();
        let task = w.process();
        let group = w.kernel.tasks[task].group;
        w.kernel.groups[group].unkillable = true;
        let user = SigInfo::user(signal, Pid(1), 0);
        let info = if kernel { SigInfo::kernel(signal) } else { user };
        w.kernel.send_signal(info, Target::Process(task)).unwrap();
        w.kernel.signal_pending(task)
    };
    assert!(accepts(Signal::SIGKILL, true) && accepts(Signal::SIGSTOP, true));
    assert!(!accepts(Signal::SIGKILL, false) && !accepts(Signal::SIGSTOP, false));
    assert!(!accepts(Signal::SIGTERM, true) && !accepts(Signal::SIGTERM, false));
}

#[test]
fn the_story_says_who_sent_it() {
    let (mut w, threads) = three();
    let sender = w.process();
    let pid = w.kernel.tasks[sender].tid;
    w.kernel.facts.clear();
    let queued = SigDetail::Rt { pid, uid: 0, value: 0 };
    for detail in [SigDetail::Kill { pid, uid: 0 }, queued, SigDetail::Raw([0; 32])] {
        let info = SigInfo { detail, ..SigInfo::user(USR1, pid, 0) };
        w.kernel.send_signal(info, Target::Process(threads[0])).unwrap();
    }
    let sent = w.kernel.facts.iter().filter_map(|e| match e.fact {
        Fact::Task(TaskFact::SendSignal { .. }) => Some(e.pid),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [Some(pid), Some(pid), None]);
}

#[test]
fn a_fault_kills_a_namespaces_init_unless_it_is_handled() {
    // S-16; and only a page fault sets cr2 (S-50).
    let fault = |trapno| Fault { signo: 11, code: 1, addr: 0x10 + trapno, trapno, error: 6 };
    let mut w = World::new();
    let task = w.process();
    let group = w.kernel.tasks[task].group;
    w.kernel.groups[group].unkillable = true;
    w.catch(task, Signal::SIGSEGV, 0);
    w.kernel.enter(task, Trap::Fault(fault(14)), &mut w.memory);
    assert!(w.kernel.groups[group].unkillable);
    assert_eq!(w.kernel.tasks[task].last_fault.cr2, 0x1e);
    w.kernel.set_current_blocked(task, SigSet::EMPTY);
    w.set(task, Signal::SIGSEGV, super::sigaction::SigAction::default());
    w.kernel.enter(task, Trap::Fault(fault(13)), &mut w.memory);
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(11)));
    let left = w.kernel.tasks[task].last_fault;
    assert_eq!((left.cr2, left.trapno, left.error), (0x1e, 13, 6));
}

#[test]
fn a_fault_comes_before_a_lower_number_that_somebody_sent() {
    // S-29: the frame of the fault shows the registers as they were.
    let mut w = World::new();
    let task = w.process();
    w.catch(task, Signal::SIGILL, 0);
    w.catch(task, Signal::SIGSEGV, 0);
    let sent = SigInfo::user(Signal::SIGILL, Pid(1), 0);
    w.kernel.send_signal(sent, Target::Thread(task)).unwrap();
    let fault = Fault { signo: 11, code: 1, addr: 0x10, trapno: 14, error: 6 };
    w.kernel.enter(task, Trap::Fault(fault), &mut w.memory);
    let regs = w.kernel.tasks[task].regs;
    assert_eq!(regs.rip, 0x4000 + 4, "the frame built last runs first");
    assert_eq!(w.memory.word(regs.rsp + 48 + 128), 0x4000 + 11);
}

#[test]
fn a_queue_loses_what_is_thrown_away_and_nothing_else() {
    // S-17, S-40, S-41.
    let timer = |id| SigInfo {
        detail: SigDetail::Timer { id, overrun: 0, value: 0 },
        ..SigInfo::user(rt(40), Pid(0), 0)
    };
    let mut queue = SigPending::default();
    for info in [timer(1), timer(2), SigInfo::user(USR1, Pid(3), 0), SigInfo::user(USR2, Pid(3), 0)]
    {
        queue.push(info.signal, Some(info));
    }
    queue.flush_timers(|id| id == 1);
    assert_eq!((queue.list.len(), queue.signal.has(rt(40))), (3, true));
    queue.flush_timers(|id| id == 2);
    assert_eq!((queue.list.len(), queue.signal.has(rt(40))), (2, false));
    assert!(queue.signal.has(USR1) && queue.signal.has(USR2));
    queue.flush(SigSet::of(USR1).union(SigSet::of(Signal::SIGHUP)));
    assert_eq!(queue.signal, SigSet::of(USR2));
    assert_eq!(queue.list.iter().map(|it| it.signal).collect::<Vec<_>>(), [USR2]);
}

#[test]
fn two_faults_of_one_number_are_taken_one_by_one() {
    let mut w = World::new();
    let task = w.process();
    let fault = |addr| SigInfo {
        code: 1,
        detail: SigDetail::Fault { addr },
        ..SigInfo::user(Signal::SIGSEGV, Pid(0), 0)
    };
    let queue = &mut w.kernel.tasks[task].pending;
    queue.push(USR1, Some(SigInfo::user(USR1, Pid(0), 0)));
    queue.push(Signal::SIGSEGV, Some(fault(1)));
    queue.push(Signal::SIGSEGV, Some(fault(2)));
    let mut take = || w.kernel.dequeue_synchronous_signal(task).map(|it| it.detail);
    assert_eq!(take(), Some(SigDetail::Fault { addr: 1 }));
    assert_eq!(take(), Some(SigDetail::Fault { addr: 2 }));
    assert_eq!(take(), None);
    assert_eq!(w.kernel.tasks[task].pending.signal, SigSet::of(USR1));
    assert!(w.kernel.signal_pending(task));
}

#[test]
fn only_sigalrm_from_the_group_arms_the_real_timer_again() {
    // setitimer(2): a periodic ITIMER_REAL waits until its signal was taken.
    let mut w = World::new();
    let task = w.process();
    w.kernel.set_current_blocked(task, ALL);
    for (at, word) in [(0x2000, 1_u64), (0x2008, 0), (0x2010, 1), (0x2018, 0)] {
        w.memory.put(at, &word.to_le_bytes());
    }
    w.trap(task, 38, [0, 0x2000, 0, 0, 0, 0]);
    let fire = |w: &mut World| {
        w.kernel.now = w.kernel.next_deadline().expect("armed");
        w.kernel.expire();
    };
    fire(&mut w);
    assert_eq!(w.kernel.next_deadline(), None, "until it is taken");
    w.kill(task, USR1);
    let alarm = SigInfo::user(Signal::SIGALRM, Pid(0), 0);
    w.kernel.send_signal(alarm, Target::Thread(task)).unwrap();
    let mut take = |blocked| w.kernel.dequeue_signal(task, blocked).map(|it| it.signal);
    let alrm = SigSet::of(Signal::SIGALRM);
    assert_eq!(take(SigSet::EMPTY), Some(Signal::SIGALRM), "the private one, from somebody");
    assert_eq!(take(alrm), Some(USR1));
    assert_eq!(w.kernel.next_deadline(), None);
    assert_eq!(
        w.kernel.dequeue_signal(task, SigSet::EMPTY).map(|it| it.signal),
        Some(Signal::SIGALRM)
    );
    assert!(w.kernel.next_deadline().is_some());
}

#[test]
fn a_record_with_an_unknown_layout_must_be_short() {
    // S-7: measured on 6.18 for every number and code below.
    let long = |signal: u64, code: i32| {
        let mut bytes = [0; SIGINFO_SIZE];
        bytes[8..12].copy_from_slice(&code.to_le_bytes());
        bytes[100] = 1;
        SigInfo::from_bytes(rt(signal), &bytes).is_ok()
    };
    let limits =
        [(4, 11), (8, 15), (11, 10), (7, 5), (5, 6), (17, 6), (31, 2), (29, 6), (10, 6), (40, 6)];
    for (signal, limit) in limits {
        for code in 1..20 {
            assert_eq!(long(signal, code), code <= limit, "{signal} {code}");
        }
    }
    for code in -70..1 {
        assert_eq!(long(10, code), code >= -7 || code == -60, "{code}");
    }
    assert!(long(10, 0x80) && !long(10, 0x81));
    // Short ones are all welcome.
    let mut bytes = [0; SIGINFO_SIZE];
    bytes[8..12].copy_from_slice(&(-50_i32).to_le_bytes());
    bytes[47] = 1;
    assert!(SigInfo::from_bytes(USR1, &bytes).is_ok());
    bytes[48] = 1;
    assert_eq!(SigInfo::from_bytes(USR1, &bytes), Err(Errno::E2BIG));
}

#[test]
fn a_stop_and_a_handler_of_sigcont_interrupt_a_call() {
    // S-34, S-35: what becomes of the call is decided when the thread goes on, not when it stops.
    let mut w = World::new();
    let task = w.process();
    w.catch(task, Signal::SIGCONT, 0);
    w.memory.put(0x2000, &[0; 8]);
    w.trap(task, 34, [0; 6]);
    assert!(w.kernel.tasks[task].is_blocked());
    w.kill(task, Signal::SIGSTOP);
    w.kernel.resume(task, &mut w.memory);
    assert_eq!(w.kernel.tasks[task].run, Run::Stopped);
    w.kill(task, Signal::SIGCONT);
    assert!(w.kernel.resume(task, &mut w.memory));
    let regs = w.kernel.tasks[task].regs;
    assert_eq!(regs.rip, 0x4000 + 18);
    assert_eq!(w.memory.word(regs.rsp + 48 + 104), Errno::EINTR.as_result());
}

#[test]
fn who_waits_in_a_call_is_not_on_its_way_to_user_mode() {
    let (mut w, [task, ..]) = three();
    w.trap(task, 34, [0; 6]);
    w.kernel.tasks[task].pending.push(USR1, None);
    w.kernel.tasks[task].sigpending = true;
    w.go(task);
    assert_eq!((w.kernel.tasks[task].regs.rip, w.kernel.signal_pending(task)), (0x1002, true));
    // Woken, and its call not run again yet.
    w.kernel.try_to_wake_up(task);
    assert!(w.kernel.is_ready(task) && w.kernel.tasks[task].in_flight.is_some());
    w.go(task);
    assert_eq!((w.kernel.tasks[task].regs.rip, w.kernel.signal_pending(task)), (0x1002, true));
    assert!(w.kernel.resume(task, &mut w.memory));
    assert_eq!(w.kernel.tasks[task].regs.rip, 0x4000 + 10);
}

#[test]
fn a_stack_disarms_itself_only_if_it_was_asked_to() {
    // S-49.
    use super::AltStack;
    use super::mask::SS_AUTODISARM;
    for flags in [0, SS_AUTODISARM] {
        let mut w = World::new();
        let task = w.process();
        w.catch(task, USR1, super::sigaction::SA_ONSTACK);
        let stack = AltStack { sp: 0x60_0000, size: 0x4000, flags };
        w.kernel.tasks[task].sas_ss = stack;
        w.kill(task, USR1);
        w.go(task);
        let regs = w.kernel.tasks[task].regs;
        assert!(regs.rsp > 0x60_0000 && regs.rsp < 0x60_4000);
        let now = if flags == 0 { stack } else { AltStack::default() };
        assert_eq!(w.kernel.tasks[task].sas_ss, now);
        // sigreturn arms it again.
        w.kernel.tasks[task].regs.rsp += 8;
        w.trap(task, 15, [0; 6]);
        assert_eq!(w.kernel.tasks[task].sas_ss, stack);
    }
}

#[test]
fn restart_syscall_goes_on_with_the_record_and_a_new_place() {
    // S-35: the deadline is kept, the place in wait queues is not.
    let mut w = World::new();
    let task = w.process();
    let mut kept = crate::syscall::InFlight::new(34, [0; 6], w.kernel.now);
    (kept.place, kept.moved) = (7, 3);
    w.kernel.tasks[task].restart_block = Some(kept.clone());
    let flight = crate::syscall::InFlight::new(219, [0; 6], w.kernel.now);
    let guest = w.kernel.tasks[task].guest.unwrap();
    let mut call = Call { task, guest, flight, user: &mut w.memory };
    assert!(w.kernel.sys_restart_syscall(&mut call).is_err(), "pause waits");
    kept.place = 0;
    assert_eq!(call.flight, kept);
    assert_eq!(w.kernel.tasks[task].restart_block, None);
    let again = w.call(task, crate::Kernel::sys_restart_syscall, [0; 6]);
    assert_eq!(again, Err(Errno::EINTR));
}
