//! Tests of the room as a whole: choice of the thread, the fatal short cut, stop and continue,
//! restarts, frames there and back. Each names its rule; S-20, S-29, S-30, S-34, S-41 were measured.

use super::sigaction::{SA_NODEFER, SA_RESTART, SA_SIGINFO, SIG_IGN, SigAction};
use super::siginfo::SigInfo;
use super::testing::World;
use super::{AltStack, Target};
use crate::abi::Errno;
use crate::abi::signal::{SigSet, Signal};
use crate::fact::task::SignalAction;
use crate::fact::{Fact, TaskFact};
use crate::syscall::{InFlight, Restart, Wait};
use crate::task::{Pid, Run, TaskId, WaitStatus};

const ALL: SigSet = SigSet(u64::MAX);

fn sleep(w: &mut World, task: TaskId) {
    w.kernel.tasks[task].run = Run::Blocked(Wait::until(None));
    w.kernel.run_queue.remove(task);
}

fn rt(n: u64) -> Signal {
    Signal::new(n).unwrap()
}

#[test]
fn five_signals_go_to_the_same_thread_while_the_leader_blocks_them() {
    // S-20: curr_target is sticky, not round-robin.
    let mut w = World::new();
    let (leader, first, second) = (w.process(), w.thread(), w.thread());
    w.catch(leader, Signal::SIGUSR1, 0);
    w.kernel.set_current_blocked(leader, ALL);
    for _ in 0..5 {
        w.kill(leader, Signal::SIGUSR1);
        assert!(w.kernel.signal_pending(first) && !w.kernel.signal_pending(second));
        w.go(first);
        assert_eq!(w.kernel.tasks[first].regs.rip, 0x4000 + 10);
        w.kernel.set_current_blocked(first, SigSet::EMPTY);
    }
    let group = w.kernel.tasks[leader].group;
    assert_eq!(w.kernel.groups[group].curr_target, first);
}

#[test]
fn a_thread_named_by_kill_is_the_first_candidate() {
    // S-3.
    let mut w = World::new();
    let (leader, second) = (w.process(), w.thread());
    w.catch(leader, Signal::SIGUSR1, 0);
    w.kill(second, Signal::SIGUSR1);
    assert!(w.kernel.signal_pending(second) && !w.kernel.signal_pending(leader));
}

#[test]
fn a_fatal_signal_ends_the_group_when_it_is_sent() {
    // S-23: every thread has SIGKILL, even a killable sleep ends.
    let mut w = World::new();
    let (leader, second) = (w.process(), w.thread());
    let wait = Wait { killable: true, ..Wait::until(None) };
    w.kernel.tasks[second].run = Run::Blocked(wait);
    w.kernel.run_queue.remove(second);
    w.kill(leader, Signal::SIGTERM);
    let group = w.kernel.tasks[leader].group;
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(15)));
    for task in [leader, second] {
        assert!(w.kernel.fatal_signal_pending(task));
        assert_eq!(w.kernel.tasks[task].run, Run::Ready);
    }
    // S-27: the first status stays; S-11: nothing is queued any more.
    w.kill(leader, Signal::SIGKILL);
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(15)));
}

#[test]
fn a_core_signal_takes_no_short_cut() {
    // S-24.
    let mut w = World::new();
    let leader = w.process();
    w.kill(leader, Signal::SIGQUIT);
    let group = w.kernel.tasks[leader].group;
    assert_eq!(w.kernel.groups[group].group_exit, None);
    w.go(leader);
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(3)), "no dump, no 0x80: S-44");
}

#[test]
fn a_blocked_term_then_kill_is_status_nine() {
    // S-25, S-27: measured 0x9.
    let mut w = World::new();
    let leader = w.process();
    w.kernel.set_current_blocked(leader, ALL);
    w.kill(leader, Signal::SIGTERM);
    let group = w.kernel.tasks[leader].group;
    assert_eq!(w.kernel.groups[group].group_exit, None);
    w.kill(leader, Signal::SIGKILL);
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(9)));
}

#[test]
fn hup_int_and_term_unblocked_together_die_of_the_lowest() {
    // S-31.
    let mut w = World::new();
    let leader = w.process();
    w.kernel.set_current_blocked(leader, ALL);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        w.kill(leader, signal);
    }
    w.kernel.set_current_blocked(leader, SigSet::EMPTY);
    w.go(leader);
    let group = w.kernel.tasks[leader].group;
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(1)));
}

#[test]
fn private_signals_are_taken_first_and_faults_before_lower_numbers() {
    // S-29, appendix A 39: shared {1,5,10,11,12,15,34,35,40×4} and private {12,15}.
    let mut w = World::new();
    let leader = w.process();
    w.kernel.set_current_blocked(leader, ALL);
    for n in [1, 5, 10, 11, 12, 15, 34, 35, 40, 40, 40, 40] {
        w.kill(leader, rt(n));
    }
    for n in [15, 12] {
        let info = SigInfo::user(rt(n), Pid(7), 0);
        w.kernel.send_signal(info, Target::Thread(leader)).unwrap();
    }
    let mut order = Vec::new();
    while let Some(info) = w.kernel.dequeue_signal(leader, SigSet::EMPTY) {
        order.push(info.signal.number());
    }
    assert_eq!(order, [12, 15, 5, 11, 1, 10, 12, 15, 34, 35, 40, 40, 40, 40]);
}

#[test]
fn the_last_frame_built_runs_first() {
    // S-30: 1, 10, 15 pending, handlers that mask nothing: execution begins with 15.
    let mut w = World::new();
    let leader = w.process();
    w.kernel.set_current_blocked(leader, ALL);
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTERM] {
        w.catch(leader, signal, SA_NODEFER);
        w.kill(leader, signal);
    }
    w.kernel.set_current_blocked(leader, SigSet::EMPTY);
    w.go(leader);
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(w.kernel.tasks[leader].regs.rip - 0x4000);
        w.kernel.tasks[leader].regs.rsp += 8;
        w.trap(leader, 15, [0; 6]);
    }
    assert_eq!(order, [15, 10, 1]);
    assert_eq!(w.kernel.tasks[leader].regs.rip, 0x1000);
}

#[test]
fn a_frame_goes_there_and_back() {
    // S-50, S-52.
    let mut w = World::new();
    let leader = w.process();
    w.catch(leader, Signal::SIGUSR2, SA_SIGINFO);
    w.memory.xstate[160] = 0xab;
    w.memory.xstate[512] = 3;
    w.kernel.tasks[leader].regs.rbx = 77;
    w.kernel.tasks[leader].regs.eflags = 0x10_0d55; // with DF and TF, that the handler loses
    let before = w.kernel.tasks[leader].regs;
    w.kill(leader, Signal::SIGUSR2);
    w.go(leader);
    let in_handler = w.kernel.tasks[leader].regs;
    assert_eq!((in_handler.rdi, in_handler.rax, in_handler.rip), (12, 0, 0x400c));
    assert_eq!((in_handler.rsi, in_handler.rdx), (in_handler.rsp + 312, in_handler.rsp + 8));
    assert_eq!(in_handler.eflags & 0x500, 0);
    assert_eq!((w.memory.xstate[160], w.memory.xstate[0]), (0, 0x7f), "init state");
    assert!(w.kernel.tasks[leader].blocked.has(Signal::SIGUSR2));
    w.kernel.tasks[leader].regs.rbx = 1;
    w.kernel.tasks[leader].regs.rsp += 8;
    w.trap(leader, 15, [0; 6]);
    let after = w.kernel.tasks[leader].regs;
    assert_eq!((after.rbx, after.rsp, after.rip), (77, before.rsp, before.rip));
    assert_eq!(after.eflags, before.eflags);
    assert_eq!(w.memory.xstate[160], 0xab);
    assert_eq!(w.kernel.tasks[leader].blocked, SigSet::EMPTY);
}

#[test]
fn a_bad_frame_is_sigsegv() {
    // S-52.
    let mut w = World::new();
    let leader = w.process();
    w.kernel.tasks[leader].regs.rsp = 0x7fff_0000_0000;
    w.trap(leader, 15, [0; 6]);
    let group = w.kernel.tasks[leader].group;
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(11)));
}

#[test]
fn a_frame_that_cannot_be_written_is_sigsegv_even_with_its_handler() {
    // S-33.
    let mut w = World::new();
    let leader = w.process();
    w.catch(leader, Signal::SIGUSR1, 0);
    w.catch(leader, Signal::SIGSEGV, 0);
    w.kernel.tasks[leader].regs.rsp = 64;
    w.kill(leader, Signal::SIGUSR1);
    w.go(leader);
    let group = w.kernel.tasks[leader].group;
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(11)));
    // With an alternate stack the handler of SIGSEGV runs.
    let leader = w.process();
    w.catch(leader, Signal::SIGUSR1, 0);
    w.catch(leader, Signal::SIGSEGV, super::sigaction::SA_ONSTACK);
    w.kernel.tasks[leader].sas_ss = AltStack { sp: 0x60_0000, size: 0x4000, flags: 0 };
    w.kernel.tasks[leader].regs.rsp = 64;
    w.kill(leader, Signal::SIGUSR1);
    w.go(leader);
    assert_eq!(w.kernel.tasks[leader].regs.rip, 0x4000 + 11);
}

#[test]
fn a_forced_fault_cannot_be_blocked_or_ignored() {
    // S-16: measured; the handler does not run.
    let fault = crate::platform::Fault { signo: 11, code: 1, addr: 0x10, trapno: 14, error: 6 };
    for blocked in [true, false] {
        let mut w = World::new();
        let leader = w.process();
        if blocked {
            w.catch(leader, Signal::SIGSEGV, 0);
            w.kernel.set_current_blocked(leader, ALL);
        } else {
            w.set(leader, Signal::SIGSEGV, SigAction { handler: SIG_IGN, ..SigAction::default() });
        }
        w.kernel.enter(leader, crate::platform::Trap::Fault(fault), &mut w.memory);
        let group = w.kernel.tasks[leader].group;
        assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(11)));
    }
}

#[test]
fn stop_and_continue_clear_each_other() {
    // S-41: measured; TSTP pending → CONT clears it, then TTIN clears CONT.
    let mut w = World::new();
    let leader = w.process();
    let group = w.kernel.tasks[leader].group;
    w.kernel.set_current_blocked(leader, ALL);
    let shared = |w: &World| w.kernel.groups[group].shared_pending.signal;
    w.kill(leader, Signal::SIGTSTP);
    assert_eq!(shared(&w), SigSet::of(Signal::SIGTSTP));
    w.kill(leader, Signal::SIGCONT);
    assert_eq!(shared(&w), SigSet::of(Signal::SIGCONT));
    w.kill(leader, Signal::SIGTTIN);
    assert_eq!(shared(&w), SigSet::of(Signal::SIGTTIN));
}

#[test]
fn the_last_thread_that_stops_tells_the_parent() {
    // S-43: si_status is the stop signal, CLD_STOPPED.
    let mut w = World::new();
    let parent = w.process();
    w.catch(parent, Signal::SIGCHLD, 0);
    let (leader, second) = (w.process(), w.thread());
    let group = w.kernel.tasks[leader].group;
    w.kernel.groups[group].parent = Some(w.kernel.tasks[parent].group);
    w.kernel.tasks[leader].real_parent = Some(parent);
    sleep(&mut w, second);
    w.kill(leader, Signal::SIGSTOP);
    w.go(leader);
    assert_eq!(w.kernel.tasks[leader].run, Run::Stopped);
    assert_eq!(w.kernel.groups[group].stop.stopped_by, None);
    assert!(w.kernel.signal_pending(second), "woken to stop too");
    w.go(second);
    let stop = &w.kernel.groups[group].stop;
    assert_eq!((stop.stopped_by, stop.stop_unreported), (Some(Signal::SIGSTOP), true));
    let info = w.kernel.dequeue_signal(parent, SigSet::EMPTY).unwrap().to_bytes();
    assert_eq!((info[0], info[8], info[24]), (17, 5, 19));
    // Only SIGKILL and SIGCONT act; SIGTERM waits (and kills right after SIGCONT).
    w.kill(leader, Signal::SIGTERM);
    assert_eq!(w.kernel.groups[group].group_exit, None);
    w.kill(leader, Signal::SIGCONT);
    assert!(w.kernel.is_ready(leader) && w.kernel.is_ready(second));
    assert!(w.kernel.groups[group].stop.continue_unreported);
    w.go(leader);
    let info = w.kernel.dequeue_signal(parent, SigSet::EMPTY).unwrap().to_bytes();
    assert_eq!((info[8], info[24]), (6, 18), "CLD_CONTINUED");
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(15)));
}

#[test]
fn a_stopped_group_dies_of_kill() {
    // S-26.
    let mut w = World::new();
    let leader = w.process();
    w.kill(leader, Signal::SIGSTOP);
    w.go(leader);
    w.kill(leader, Signal::SIGKILL);
    assert!(w.kernel.is_ready(leader));
    w.go(leader);
    assert_eq!(w.kernel.tasks[leader].run, Run::Zombie);
}

#[test]
fn tstp_does_not_stop_an_orphaned_group() {
    // S-42: the parent is init, so nobody could continue it.
    let mut w = World::new();
    let leader = w.process();
    w.kill(leader, Signal::SIGTSTP);
    w.go(leader);
    assert_eq!(w.kernel.tasks[leader].run, Run::Ready);
}

/// What a call that was interrupted with `restart` finds in rax and rip, with a handler or without.
fn interrupted(restart: Restart, flags: u64, handled: bool) -> (u64, u64) {
    let mut w = World::new();
    let task = w.process();
    let regs = &mut w.kernel.tasks[task].regs;
    (regs.orig_rax, regs.rax, regs.rip) = (7, Errno::EINTR.as_result(), 0x1002);
    let kept = InFlight::new(7, [0; 6], w.kernel.now);
    w.kernel.tasks[task].restart = Some((restart, Some(kept)));
    if handled {
        w.catch(task, Signal::SIGUSR1, flags);
        w.kill(task, Signal::SIGUSR1);
        w.go(task);
        let frame = w.kernel.tasks[task].regs.rsp;
        return (w.memory.word(frame + 48 + 104), w.memory.word(frame + 48 + 128));
    }
    w.go(task);
    let regs = &w.kernel.tasks[task].regs;
    (regs.rax, regs.rip)
}

#[test]
fn one_place_decides_about_restarts() {
    // S-34.
    let eintr = (Errno::EINTR.as_result(), 0x1002);
    let again = (7, 0x1000);
    assert_eq!(interrupted(Restart::Sys, 0, true), eintr);
    assert_eq!(interrupted(Restart::Sys, SA_RESTART, true), again);
    assert_eq!(interrupted(Restart::NoIntr, 0, true), again);
    assert_eq!(interrupted(Restart::NoHand, SA_RESTART, true), eintr);
    assert_eq!(interrupted(Restart::Block, SA_RESTART, true), eintr);
    assert_eq!(interrupted(Restart::Sys, 0, false), again);
    assert_eq!(interrupted(Restart::NoIntr, 0, false), again);
    assert_eq!(interrupted(Restart::NoHand, 0, false), again);
    assert_eq!(interrupted(Restart::Block, 0, false), (219, 0x1000));
}

#[test]
fn sigsuspend_saves_the_old_mask_in_the_frame() {
    // S-36.
    let mut w = World::new();
    let task = w.process();
    w.kernel.set_current_blocked(task, SigSet::of(Signal::SIGUSR1));
    w.catch(task, Signal::SIGUSR1, 0);
    w.memory.put(0x2000, &[0; 8]);
    w.trap(task, 130, [0x2000, 8, 0, 0, 0, 0]);
    assert!(w.kernel.tasks[task].is_blocked());
    w.kill(task, Signal::SIGUSR1);
    assert!(w.kernel.resume(task, &mut w.memory));
    let regs = w.kernel.tasks[task].regs;
    assert_eq!(regs.rip, 0x4000 + 10);
    assert_eq!(w.memory.word(regs.rsp + 48 + 104), Errno::EINTR.as_result());
    assert_eq!(w.memory.word(regs.rsp + 8 + 296), SigSet::of(Signal::SIGUSR1).0);
    assert_eq!(w.kernel.tasks[task].saved_sigmask, None);
}

#[test]
fn sigtimedwait_takes_what_it_waits_for_and_nothing_else() {
    // S-37: a fatal signal of the set takes no short cut, and ignored ones are not dropped.
    let mut w = World::new();
    let task = w.process();
    let set = SigSet::of(Signal::SIGTERM).union(SigSet::of(Signal::SIGWINCH));
    w.kernel.set_current_blocked(task, set);
    w.memory.put(0x2000, &set.0.to_le_bytes());
    for signal in [Signal::SIGTERM, Signal::SIGWINCH] {
        w.trap(task, 128, [0x2000, 0x2100, 0, 8, 0, 0]);
        assert!(w.kernel.tasks[task].is_blocked());
        w.kill(task, signal);
        assert!(w.kernel.resume(task, &mut w.memory));
        assert_eq!(w.kernel.tasks[task].regs.rax, u64::from(signal.number()));
        assert_eq!(w.kernel.tasks[task].blocked, set);
        assert_eq!(w.memory.int(0x2100), u32::from(signal.number()));
    }
    w.memory.put(0x2200, &[0; 16]);
    w.trap(task, 128, [0x2000, 0, 0x2200, 8, 0, 0]);
    assert_eq!(w.kernel.tasks[task].regs.rax, Errno::EAGAIN.as_result());
    w.catch(task, Signal::SIGUSR1, SA_RESTART);
    w.trap(task, 128, [0x2000, 0, 0, 8, 0, 0]);
    w.kill(task, Signal::SIGUSR1);
    assert!(w.kernel.resume(task, &mut w.memory));
    let frame = w.kernel.tasks[task].regs.rsp;
    assert_eq!(w.memory.word(frame + 48 + 104), Errno::EINTR.as_result());
}

#[test]
fn the_limit_counts_what_the_receiver_has_queued() {
    // S-19: measured with a limit of 3.
    let mut w = World::new();
    let task = w.process();
    let group = w.kernel.tasks[task].group;
    w.kernel.groups[group].rlimits.0[crate::task::rlimit::RLIMIT_SIGPENDING].soft = 3;
    w.kernel.set_current_blocked(task, ALL);
    let queued = SigInfo { code: super::siginfo::SI_QUEUE, ..SigInfo::user(rt(40), Pid(1), 0) };
    let mut send = |info| w.kernel.send_signal(info, Target::Process(task));
    for _ in 0..3 {
        assert_eq!(send(queued), Ok(()));
    }
    assert_eq!(send(queued), Err(Errno::EAGAIN));
    assert_eq!(send(SigInfo::user(rt(41), Pid(9), 9)), Ok(()));
    assert_eq!(send(SigInfo::user(rt(41), Pid(9), 9)), Ok(()));
    assert_eq!(send(SigInfo { signal: Signal::SIGUSR1, ..queued }), Ok(()));
    let pending = w.kernel.groups[group].shared_pending.clone();
    assert_eq!(pending.list.len(), 3);
    assert!(pending.signal.has(rt(41)) && pending.signal.has(Signal::SIGUSR1));
    assert_eq!(
        w.kernel.dequeue_signal(task, SigSet(!(1 << 40))).unwrap().detail,
        super::SigDetail::Kill { pid: Pid(0), uid: 0 }
    );
}

#[test]
fn init_cannot_be_killed() {
    // S-15.
    let mut w = World::new();
    for signal in [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGTERM] {
        assert!(w.kernel.kill_from_outside(Pid(1), signal));
    }
    let init = w.kernel.init_group();
    assert_eq!(w.kernel.groups[init].group_exit, None);
    assert!(w.kernel.groups[init].shared_pending.signal.is_empty());
}

#[test]
fn siginfo_is_written_only_for_who_asked() {
    // S-50: SA_SIGINFO; the place for it is there all the same.
    for (flags, signo) in [(SA_SIGINFO, 10), (0, 0xee)] {
        let mut w = World::new();
        let task = w.process();
        w.memory.put(0x7f_f000, &[0xee; 0x1000]);
        w.catch(task, Signal::SIGUSR1, flags);
        w.kill(task, Signal::SIGUSR1);
        w.go(task);
        let frame = w.kernel.tasks[task].regs.rsp;
        assert_eq!(w.memory.int(frame + 312) & 0xff, signo);
        assert_eq!(w.kernel.tasks[task].regs.rsi, frame + 312);
    }
}

#[test]
fn a_handler_without_a_restorer_is_sigsegv() {
    // S-48: SA_RESTORER is mandatory on x86-64.
    let mut w = World::new();
    let task = w.process();
    let action = SigAction { handler: 0x4000, restorer: 0x9000, ..SigAction::default() };
    w.set(task, Signal::SIGUSR1, action);
    w.kill(task, Signal::SIGUSR1);
    w.go(task);
    let group = w.kernel.tasks[task].group;
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(11)));
}

#[test]
fn what_was_blocked_is_judged_when_it_is_delivered() {
    // S-12, S-13: ignored by now, or sent to a namespace's init.
    let mut w = World::new();
    let task = w.process();
    let group = w.kernel.tasks[task].group;
    w.kernel.set_current_blocked(task, ALL);
    w.kill(task, Signal::SIGTERM);
    w.kill(task, Signal::SIGCHLD);
    w.set(task, Signal::SIGTERM, SigAction { handler: SIG_IGN, ..SigAction::default() });
    w.kernel.set_current_blocked(task, SigSet::EMPTY);
    w.go(task);
    let regs = w.kernel.tasks[task].regs;
    assert_eq!((w.kernel.groups[group].group_exit, regs.rip), (None, 0x1000));
    assert!(w.kernel.groups[group].shared_pending.signal.is_empty());
    // A namespace's init: everything at its default is discarded, but KILL and STOP from outside.
    w.kernel.groups[group].unkillable = true;
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP] {
        w.kernel.set_current_blocked(task, ALL);
        w.kill(task, signal);
        assert!(w.kernel.groups[group].shared_pending.signal.has(signal));
        w.kernel.set_current_blocked(task, SigSet::EMPTY);
        w.go(task);
        assert_eq!(w.kernel.groups[group].group_exit, None, "{signal:?}");
        assert_eq!(w.kernel.tasks[task].run, Run::Ready, "{signal:?}");
    }
    w.kernel.tasks[task].pending.push(Signal::SIGSTOP, None);
    w.kernel.signal_wake_up(task, false);
    w.go(task);
    assert_eq!(w.kernel.tasks[task].run, Run::Stopped);
}

#[test]
fn a_thread_that_an_exec_killed_leaves_the_process_alive() {
    // X-32, S-27: it ends with 0, and the group is not dying.
    let mut w = World::new();
    let (leader, second) = (w.process(), w.thread());
    let group = w.kernel.tasks[leader].group;
    w.kernel.groups[group].group_exec_task = Some(leader);
    w.kernel.zap_thread(second);
    w.go(second);
    assert_eq!(w.kernel.groups[group].group_exit, None);
    assert_eq!(w.kernel.groups[group].tasks, [leader]);
    assert!(!w.kernel.tasks[leader].exiting);
}

#[test]
fn a_core_is_asked_for_only_with_a_limit() {
    // S-44. Each signal's story: what it does, and whether a dump was wanted.
    let story = |signal: Signal, limit: u64| {
        let mut w = World::new();
        let task = w.process();
        let group = w.kernel.tasks[task].group;
        w.kernel.groups[group].rlimits.0[crate::task::rlimit::RLIMIT_CORE].soft = limit;
        w.kernel.set_current_blocked(task, ALL);
        w.kill(task, signal);
        w.kernel.set_current_blocked(task, SigSet::EMPTY);
        w.kernel.facts.clear();
        w.go(task);
        let wanted = w.kernel.facts.iter().any(|e| matches!(e.fact, Fact::Unsupported { .. }));
        let action = w.kernel.facts.iter().find_map(|e| match e.fact {
            Fact::Task(TaskFact::GetSignal { signal: told, action }) if told == signal => {
                Some(action)
            }
            _ => None,
        });
        (action, wanted)
    };
    assert_eq!(story(Signal::SIGQUIT, 4095), (Some(SignalAction::CoreDump), false));
    assert_eq!(story(Signal::SIGQUIT, 4096), (Some(SignalAction::CoreDump), true));
    assert_eq!(story(Signal::SIGTERM, 4096), (Some(SignalAction::Terminate), false));
}

#[test]
fn a_guest_that_vanished_died_of_sigkill() {
    let mut w = World::new();
    let task = w.process();
    let group = w.kernel.tasks[task].group;
    w.kernel.guest_vanished(task, &mut w.memory);
    assert_eq!(w.kernel.groups[group].group_exit, Some(WaitStatus(9)));
    assert_eq!(w.kernel.tasks[task].run, Run::Zombie);
}
