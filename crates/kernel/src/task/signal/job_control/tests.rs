//! Tests of stops that are not complete, of who hears of them, of orphaned groups, and of threads
//! that exit meanwhile. Rules S-22, S-28, S-41 to S-43, X-28.

use super::*;
use crate::syscall::Stop;
use crate::task::WaitStatus;
use crate::task::signal::sigaction::{SIG_DFL, SigAction};
use crate::task::signal::testing::World;

/// A parent of two threads, and a child of three that the second of them forked.
struct Family {
    w: World,
    parent: [TaskId; 2],
    child: [TaskId; 3],
}

fn family() -> Family {
    let mut w = World::new();
    let parent = [w.process(), w.thread()];
    w.catch(parent[0], Signal::SIGCHLD, 0);
    let child = [w.process(), w.thread(), w.thread()];
    let group = w.kernel.tasks[child[0]].group;
    w.kernel.groups[group].parent = Some(w.kernel.tasks[parent[0]].group);
    w.kernel.tasks[child[0]].real_parent = Some(parent[1]);
    for task in parent {
        w.kernel.run_queue.remove(task);
        w.kernel.tasks[task].run = Run::Blocked(crate::syscall::Wait::until(None));
    }
    Family { w, parent, child }
}

impl Family {
    fn group(&self) -> GroupId {
        self.w.kernel.tasks[self.child[0]].group
    }

    /// si_code and si_status of the SIGCHLD that the parent has.
    fn heard(&mut self) -> Option<(i32, i32)> {
        let info = self.w.kernel.dequeue_signal(self.parent[0], SigSet::EMPTY)?;
        let SigDetail::Child { status, .. } = info.detail else { panic!("{info:?}") };
        Some((info.code, status))
    }
}

#[test]
fn a_stop_that_sigcont_cuts_short_is_told_without_its_signal() {
    // S-43: CLD_STOPPED, and group_exit_code is cleared already.
    let mut f = family();
    f.w.kill(f.child[0], Signal::SIGSTOP);
    f.w.go(f.child[0]);
    assert_eq!(f.w.kernel.groups[f.group()].stop.stop_count, 2);
    assert_eq!(f.heard(), None, "two have not stopped yet");
    f.w.kill(f.child[0], Signal::SIGCONT);
    assert!(f.w.kernel.is_ready(f.child[0]));
    assert!(f.w.kernel.groups[f.group()].stop.continue_unreported);
    assert_eq!(f.heard(), None, "when a thread next runs");
    f.w.go(f.child[1]);
    assert_eq!(f.heard(), Some((CLD_STOPPED, 0)));
    for task in f.child {
        f.w.go(task);
        assert_eq!(f.w.kernel.tasks[task].run, Run::Ready);
    }
    assert_eq!(f.heard(), None);
    // SIGCONT for who is not stopped tells nothing.
    f.w.kill(f.child[0], Signal::SIGCONT);
    f.w.go(f.child[0]);
    let stop = &f.w.kernel.groups[f.group()].stop;
    assert_eq!((stop.cld, f.heard()), (None, None));
}

#[test]
fn threads_that_are_dying_are_not_waited_for() {
    // S-43: a leader that has exited stays in the group; a stop is complete without it.
    let mut f = family();
    let exit = f.w.start(f.child[0], Kernel::sys_exit, [0; 6]);
    assert_eq!(exit, Err(Stop::NoReturn));
    f.w.kill(f.child[1], Signal::SIGSTOP);
    f.w.go(f.child[1]);
    assert_eq!(f.w.kernel.groups[f.group()].stop.stop_count, 1);
    f.w.go(f.child[2]);
    assert_eq!(f.heard(), Some((CLD_STOPPED, 19)));
    assert_eq!(f.w.kernel.groups[f.group()].stop.stopped_by, Some(Signal::SIGSTOP));
    assert_eq!(f.w.kernel.tasks[f.child[0]].run, Run::Zombie);
}

#[test]
fn a_second_stop_signal_changes_nothing_for_who_is_stopped() {
    // Job control of a group that is stopped already: no new signal, nothing told.
    let mut f = family();
    f.w.kill(f.child[0], Signal::SIGSTOP);
    f.child.iter().for_each(|task| f.w.go(*task));
    assert_eq!(f.heard(), Some((CLD_STOPPED, 19)));
    f.w.kernel.do_signal_stop(f.child[0], Signal::SIGTSTP);
    let stop = &f.w.kernel.groups[f.group()].stop;
    assert_eq!((stop.stopped_by, stop.stopping_by), (Some(Signal::SIGSTOP), None));
    assert_eq!((stop.stop_count, f.heard()), (0, None));
}

#[test]
fn a_thread_that_exits_completes_the_stop_of_the_others() {
    // S-22, S-43: exit_signals gives its part back.
    let mut f = family();
    f.w.kill(f.child[0], Signal::SIGSTOP);
    f.w.go(f.child[0]);
    f.w.go(f.child[1]);
    assert_eq!(f.heard(), None);
    let exit = f.w.start(f.child[2], Kernel::sys_exit, [0; 6]);
    assert_eq!(exit, Err(Stop::NoReturn));
    assert_eq!(f.heard(), Some((CLD_STOPPED, 19)));
}

#[test]
fn an_exiting_thread_hands_over_what_it_was_chosen_for() {
    // S-22, S-28.
    let mut f = family();
    f.w.catch(f.child[0], Signal::SIGUSR1, 0);
    f.w.kernel.set_current_blocked(f.child[0], SigSet::of(Signal::SIGUSR1));
    f.w.kill(f.child[0], Signal::SIGUSR1);
    let chosen = f.child[1];
    assert!(f.w.kernel.signal_pending(chosen) && !f.w.kernel.signal_pending(f.child[2]));
    assert_eq!(f.w.kernel.groups[f.group()].curr_target, chosen);
    f.w.kernel.exit_signals(chosen);
    assert!(f.w.kernel.tasks[chosen].exiting);
    assert!(f.w.kernel.signal_pending(f.child[2]) && !f.w.kernel.signal_pending(f.child[0]));
    assert_eq!(f.w.kernel.groups[f.group()].curr_target, f.child[2]);
    // Who was chosen for nothing hands nothing over, and another's turn stays.
    let mut f = family();
    f.w.catch(f.child[0], Signal::SIGUSR1, 0);
    f.w.kill(f.child[0], Signal::SIGUSR1);
    f.w.kernel.exit_signals(f.child[1]);
    assert!(f.w.kernel.signal_pending(f.child[0]) && !f.w.kernel.signal_pending(f.child[2]));
    assert_eq!(f.w.kernel.groups[f.group()].curr_target, f.child[0]);
}

#[test]
fn the_thread_that_forked_hears_of_stops_first() {
    // S-20, S-43; who wants no SIGCHLD for stops gets none.
    let told = |action: SigAction, forker_exits: bool| {
        let mut f = family();
        f.w.set(f.parent[0], Signal::SIGCHLD, action);
        f.w.kernel.tasks[f.parent[1]].exiting = forker_exits;
        f.w.kill(f.child[0], Signal::SIGSTOP);
        f.child.iter().for_each(|task| f.w.go(*task));
        f.parent.map(|task| f.w.kernel.signal_pending(task))
    };
    let handler = SigAction { handler: 0x4000, ..SigAction::default() };
    assert_eq!(told(handler, false), [false, true]);
    assert_eq!(told(handler, true), [true, false]);
    assert_eq!(told(SigAction { flags: SA_NOCLDSTOP, ..handler }, false), [false; 2]);
    assert_eq!(told(SigAction { handler: SIG_IGN, ..handler }, false), [false; 2]);
    assert_eq!(told(SigAction { handler: SIG_DFL, ..handler }, false), [false; 2]);
}

#[test]
fn death_cancels_a_stop() {
    // S-23, S-26.
    let mut f = family();
    f.w.kill(f.child[0], Signal::SIGSTOP);
    f.child.iter().for_each(|task| f.w.go(*task));
    f.heard();
    assert_eq!(f.w.kernel.tasks[f.child[0]].run, Run::Stopped);
    f.w.kill(f.child[0], Signal::SIGKILL);
    let g = &f.w.kernel.groups[f.group()];
    assert_eq!((g.group_exit, &g.stop), (Some(WaitStatus(9)), &GroupStop::default()));
    assert!(f.child.iter().all(|task| f.w.kernel.is_ready(*task)));
}

#[test]
fn a_group_is_orphaned_when_nobody_in_the_session_could_continue_it() {
    //
    let (mut w, b) = (World::new(), Pid(7777));
    let (parent, child, other) = (w.process(), w.process(), w.process());
    let group = |w: &World, task: TaskId| w.kernel.tasks[task].group;
    let (p, c, o) = (group(&w, parent), group(&w, child), group(&w, other));
    let session = w.kernel.groups[p].session;
    let of_parent = w.kernel.groups[p].pgrp;
    let k = &mut w.kernel;
    (k.groups[c].parent, k.groups[c].pgrp, k.groups[c].session) = (Some(p), b, session);
    assert!(!k.is_orphaned_pgrp(b, None));
    assert!(k.is_orphaned_pgrp(b, Some(c)), "without itself");
    assert!(!k.is_orphaned_pgrp(b, Some(o)));
    assert!(k.is_orphaned_pgrp(Pid(8888), None), "empty");
    // The parent in another session, or in the same group.
    k.groups[p].session = Pid(1234);
    assert!(k.is_orphaned_pgrp(b, None));
    (k.groups[p].session, k.groups[p].pgrp) = (session, b);
    assert!(k.is_orphaned_pgrp(b, None));
    k.groups[p].pgrp = of_parent;
    assert!(!k.is_orphaned_pgrp(b, None));
    // A child of init, whatever its session; another member holds the group.
    let init = k.init_group();
    k.groups[init].session = session;
    k.groups[c].parent = Some(init);
    assert!(k.is_orphaned_pgrp(b, None));
    (k.groups[o].parent, k.groups[o].pgrp, k.groups[o].session) = (Some(p), b, session);
    assert!(!k.is_orphaned_pgrp(b, None));
    // A dead member holds nothing.
    k.tasks[other].run = Run::Zombie;
    assert!(k.is_orphaned_pgrp(b, None));
    // Stopped jobs: of this group only.
    assert!(!k.has_stopped_jobs(b));
    k.groups[p].stop.stopped_by = Some(Signal::SIGSTOP);
    assert!(!k.has_stopped_jobs(b));
    k.groups[c].stop.stopped_by = Some(Signal::SIGSTOP);
    assert!(k.has_stopped_jobs(b) && !k.has_stopped_jobs(Pid(8888)));
}

#[test]
fn a_member_with_a_living_thread_counts() {
    // a leader that exited alone leaves its process alive.
    let mut f = family();
    let (group, parent) = (f.group(), f.w.kernel.tasks[f.parent[0]].group);
    let pgrp = f.w.kernel.groups[group].pgrp;
    f.w.kernel.groups[group].session = f.w.kernel.groups[parent].session;
    assert!(!f.w.kernel.is_orphaned_pgrp(pgrp, None));
    let exit = f.w.start(f.child[0], Kernel::sys_exit, [0; 6]);
    assert_eq!(exit, Err(Stop::NoReturn));
    assert!(!f.w.kernel.is_orphaned_pgrp(pgrp, None));
}
