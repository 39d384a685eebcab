//! Tests of deaths in memory: what goes in which order is shown by whole programs (`lab`); here is
//! what each step decides. Rules.

use super::*;
use crate::abi::signal::{SigSet, Signal};
use crate::fact::Fact;
use crate::syscall::Wait;
use crate::task::exit_notify::cld_code;
use crate::task::signal::sigaction::{SA_NOCLDWAIT, SIG_IGN, SigAction};
use crate::task::signal::testing::World;
use crate::task::signal::{SigDetail, SigInfo, Target};
use crate::task::{Cred, GroupId, Pid};
use crate::time::Duration;

const EXIT_7: WaitStatus = WaitStatus::exited(7);

fn exit(w: &mut World, task: TaskId, code: u64) {
    let done = w.start(task, Kernel::sys_exit, [code, 0, 0, 0, 0, 0]);
    assert_eq!(done, Err(Stop::NoReturn));
}

fn group(w: &World, task: TaskId) -> GroupId {
    w.kernel.tasks[task].group
}

/// Makes `child` a child that the thread `parent` forked, in its session.
fn adopt(w: &mut World, child: TaskId, parent: TaskId) {
    let (c, p) = (group(w, child), group(w, parent));
    let k = &mut w.kernel;
    let init = k.init_task();
    k.tasks[init].children.retain(|it| *it != c);
    let leader = k.groups[p].leader;
    k.tasks[leader].children.push(c);
    k.groups[c].parent = Some(p);
    k.groups[c].session = k.groups[p].session;
    for thread in k.groups[c].tasks.clone() {
        k.tasks[thread].real_parent = Some(parent);
    }
}

/// A parent of two threads that catches SIGCHLD, its child of two threads.
fn family() -> (World, [TaskId; 2], [TaskId; 2]) {
    let mut w = World::new();
    let parent = [w.process(), w.thread()];
    w.catch(parent[0], Signal::SIGCHLD, 0);
    let child = [w.process(), w.thread()];
    adopt(&mut w, child[0], parent[1]);
    w.kernel.facts.clear();
    (w, parent, child)
}

/// si_signo, si_code, si_status of the next signal.
fn heard(w: &mut World, task: TaskId) -> Option<(u8, i32, i32)> {
    let info = w.kernel.dequeue_signal(task, SigSet::EMPTY)?;
    let SigDetail::Child { status, .. } = info.detail else { panic!("{info:?}") };
    Some((info.signal.number(), info.code, status))
}

#[test]
fn the_last_thread_gives_the_process_its_code() {
    // the leader goes first; its zombie waits for the other, and nobody hears of it.
    let (mut w, parent, child) = family();
    let g = group(&w, child[0]);
    w.memory.put(0x2000, &[0; 24]);
    w.memory.put(0x2010, &5_u64.to_le_bytes());
    w.trap(child[0], 38, [0, 0x2000, 0, 0, 0, 0]);
    assert!(w.kernel.next_deadline().is_some(), "ITIMER_REAL");
    exit(&mut w, child[0], 1);
    assert_eq!(w.kernel.groups[g].group_exit, None);
    assert_eq!(w.kernel.tasks[child[0]].exit_code, WaitStatus::exited(1));
    assert!(w.kernel.is_zombie(child[0]) && !w.kernel.is_zombie(child[1]));
    assert!(w.kernel.next_deadline().is_some(), "the timer is the process's");
    assert_eq!(heard(&mut w, parent[0]), None);
    exit(&mut w, child[1], 2);
    assert_eq!(w.kernel.groups[g].group_exit, Some(WaitStatus::exited(2)));
    assert_eq!((w.kernel.groups[g].tasks.len(), w.kernel.next_deadline()), (1, None));
    assert!(w.kernel.tasks.get(child[1]).is_none() && w.kernel.is_zombie(child[1]), "X-17");
    assert_eq!(heard(&mut w, parent[0]), Some((17, 1, 2)));
    let last = w.kernel.facts.iter().filter_map(|e| match e.fact {
        Fact::Task(TaskFact::DoExit { last, .. }) => Some(last),
        _ => None,
    });
    assert_eq!(last.collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_thread_that_exits_leaves_its_process_alone() {
    // its times stay with the group, its number is free.
    let (mut w, parent, child) = family();
    let (g, tid) = (group(&w, child[0]), w.kernel.tasks[child[1]].tid);
    w.kernel.groups[g].utime = Duration::from_secs(1);
    w.kernel.groups[g].stime = Duration::from_secs(2);
    w.kernel.tasks[child[1]].utime = Duration::from_secs(10);
    w.kernel.tasks[child[1]].stime = Duration::from_secs(20);
    exit(&mut w, child[1], 1);
    assert_eq!(
        (w.kernel.groups[g].group_exit, w.kernel.groups[g].tasks.clone()),
        (None, vec![child[0]])
    );
    let times = (w.kernel.groups[g].utime, w.kernel.groups[g].stime);
    assert_eq!(times, (Duration::from_secs(11), Duration::from_secs(22)));
    assert_eq!((w.kernel.pids.task(tid), heard(&mut w, parent[0])), (None, None));
    assert!(!w.kernel.tasks[child[0]].exiting);
}

#[test]
fn the_first_who_ends_the_process_says_how() {
    // X-2, S-27.
    let (mut w, parent, child) = family();
    let g = group(&w, child[0]);
    let done = w.start(child[1], Kernel::sys_exit_group, [7, 0, 0, 0, 0, 0]);
    assert_eq!((done, w.kernel.groups[g].group_exit), (Err(Stop::NoReturn), Some(EXIT_7)));
    assert!(w.kernel.fatal_signal_pending(child[0]));
    w.go(child[0]);
    assert_eq!(w.kernel.groups[g].group_exit, Some(EXIT_7));
    assert_eq!(heard(&mut w, parent[0]), Some((17, 1, 7)));
    assert_eq!(w.kernel.tasks[child[0]].exit_code, EXIT_7);
}

#[test]
fn a_tid_is_cleared_if_somebody_is_left_to_see_it() {
    // a zero and one waiter.
    let (mut w, _, child) = family();
    w.memory.put(0x3000, &7_u32.to_le_bytes());
    w.kernel.tasks[child[1]].clear_child_tid = UserPtr(0x3000);
    w.trap(child[0], 202, [0x3000, 0, 7, 0, 0, 0]);
    assert!(w.kernel.tasks[child[0]].is_blocked(), "FUTEX_WAIT");
    exit(&mut w, child[1], 0);
    assert_eq!(w.memory.int(0x3000), 0);
    assert!(w.kernel.is_ready(child[0]));
    // Alone in its memory: nobody looks.
    w.memory.put(0x3000, &7_u32.to_le_bytes());
    w.kernel.tasks[child[0]].clear_child_tid = UserPtr(0x3000);
    exit(&mut w, child[0], 0);
    assert_eq!(w.memory.int(0x3000), 7);
}

#[test]
fn memory_goes_with_its_last_user() {
    //
    let (mut w, _, child) = family();
    let mm = w.kernel.tasks[child[0]].mm.unwrap();
    let fs = w.kernel.tasks[w.kernel.init_task()].fs.unwrap();
    w.kernel.tasks[child[0]].fs = Some(fs);
    w.kernel.fs_structs[fs].users += 1;
    let users = w.kernel.fs_structs[fs].users;
    exit(&mut w, child[1], 0);
    assert_eq!(w.kernel.mms[mm].users, 1);
    exit(&mut w, child[0], 0);
    let t = &w.kernel.tasks[child[0]];
    assert_eq!((t.mm, t.guest, t.fs), (None, None, None));
    assert!(w.kernel.mms.get(mm).is_none());
    assert_eq!(w.kernel.fs_structs[fs].users, users - 1);
    let steps = w.kernel.facts.iter().filter_map(|e| match e.fact {
        Fact::Task(TaskFact::ExitMm { last }) => Some(format!("mm {last}")),
        Fact::Task(TaskFact::ExitFs) => Some("fs".into()),
        _ => None,
    });
    assert_eq!(steps.collect::<Vec<_>>(), ["mm false", "mm true", "fs"]);
}

#[test]
fn a_vfork_parent_goes_on() {
    //
    let (mut w, parent, child) = family();
    let wait = Wait { killable: true, ..Wait::on(Event::Vfork(parent[1])) };
    w.kernel.sleep_on(parent[1], wait);
    assert!(w.kernel.tasks[parent[1]].is_blocked());
    w.kernel.tasks[child[1]].vfork_parent = Some(parent[1]);
    exit(&mut w, child[1], 0);
    assert!(w.kernel.is_ready(parent[1]));
}

#[test]
fn the_parent_hears_with_the_signal_that_it_asked_for() {
    // exit_signal; SIGCHLD from another program's child; none; reaped at once.
    let died = |exit_signal: Option<Signal>, parent_did_exec: bool, action: SigAction| {
        let (mut w, parent, child) = family();
        w.set(parent[0], Signal::SIGCHLD, action);
        w.catch(parent[0], Signal::SIGUSR1, 0);
        let (p, c) = (group(&w, parent[0]), group(&w, child[0]));
        w.kernel.groups[c].exit_signal = exit_signal;
        w.kernel.groups[p].self_exec_id += u32::from(parent_did_exec);
        let pid = w.kernel.groups[c].tgid;
        exit(&mut w, child[1], 0);
        exit(&mut w, child[0], 7);
        let reaped = w.kernel.groups.get(c).is_none();
        let leader = w.kernel.groups[p].leader;
        assert_eq!(w.kernel.tasks[leader].children.is_empty(), reaped);
        assert_eq!(w.kernel.pids.task(pid).is_none(), reaped);
        (heard(&mut w, parent[0]).map(|it| it.0), reaped)
    };
    let handler = SigAction { handler: 0x4000, ..SigAction::default() };
    let ignored = SigAction { handler: SIG_IGN, ..handler };
    let no_zombies = SigAction { flags: SA_NOCLDWAIT, ..handler };
    let (chld, usr1) = (Some(Signal::SIGCHLD), Some(Signal::SIGUSR1));
    assert_eq!(died(chld, false, handler), (Some(17), false));
    assert_eq!(died(chld, false, no_zombies), (Some(17), true));
    assert_eq!(died(chld, false, ignored), (None, true));
    assert_eq!(died(usr1, false, ignored), (Some(10), false));
    assert_eq!(died(usr1, false, no_zombies), (Some(10), false));
    assert_eq!(died(usr1, true, handler), (Some(17), false));
    assert_eq!(died(None, true, handler), (None, false));
    assert_eq!(died(None, false, ignored), (None, false));
}

#[test]
fn what_a_reaped_process_held_is_free() {
    let (mut w, parent, child) = family();
    let c = group(&w, child[0]);
    let sighand = w.kernel.groups[c].sighand;
    let pid = w.kernel.groups[c].tgid;
    let other = w.process();
    adopt(&mut w, other, parent[0]);
    let o = group(&w, other);
    exit(&mut w, child[1], 0);
    // Dispositions that another process shares stay.
    w.kernel.sighands[sighand].users = 2;
    exit(&mut w, child[0], 0);
    w.kernel.release_task(c);
    assert_eq!(w.kernel.sighands[sighand].users, 1);
    assert!(w.kernel.groups.get(c).is_none() && w.kernel.tasks.get(child[0]).is_none());
    assert_eq!(w.kernel.tasks[parent[0]].children, [o], "the other child stays");
    assert_eq!(w.kernel.pids.task(pid), None);
    let reaped =
        w.kernel.facts.iter().any(
            |e| matches!(e.fact, Fact::Task(TaskFact::Reaped { pid: told, .. }) if told == pid),
        );
    assert!(reaped);
    let sighand = w.kernel.groups[o].sighand;
    exit(&mut w, other, 0);
    w.kernel.release_task(o);
    assert!(w.kernel.sighands.get(sighand).is_none());
}

#[test]
fn children_of_a_thread_stay_with_its_process() {
    // PDEATHSIG goes with the thread that forked, to its own children only.
    let (mut w, parent, child) = family();
    let other = w.process();
    adopt(&mut w, other, parent[0]);
    for task in [child[0], child[1], other] {
        w.kernel.tasks[task].pdeath_signal = Some(Signal::SIGUSR1);
        w.kernel.set_current_blocked(task, SigSet(u64::MAX));
    }
    let pending = |w: &World, task| w.kernel.groups[group(w, task)].shared_pending.signal;
    exit(&mut w, parent[1], 0);
    let (p, c) = (group(&w, parent[0]), group(&w, child[0]));
    assert_eq!(
        (w.kernel.groups[c].parent, w.kernel.groups[c].exit_signal),
        (Some(p), Some(Signal::SIGCHLD))
    );
    assert_eq!(w.kernel.tasks[child[0]].real_parent, Some(parent[0]));
    assert_eq!(w.kernel.tasks[child[1]].real_parent, Some(parent[0]));
    assert_eq!(pending(&w, child[0]), SigSet::of(Signal::SIGUSR1));
    assert!(pending(&w, other).is_empty());
    let info = w.kernel.dequeue_signal(child[0], SigSet::EMPTY).unwrap();
    let detail = SigDetail::Kill { pid: w.kernel.groups[p].tgid, uid: 0 };
    assert_eq!((info.code, info.detail), (0, detail));
    let moved =
        w.kernel.facts.iter().any(|e| matches!(e.fact, Fact::Task(TaskFact::Reparent { .. })));
    assert!(!moved);
    // One without permission sends none.
    w.kernel.tasks[parent[0]].cred = Cred::user(1000, 1000);
    w.kernel.tasks[other].cred = Cred::user(1000, 1000);
    exit(&mut w, parent[0], 0);
    assert_eq!(w.kernel.groups[c].parent, w.kernel.init);
    assert!(pending(&w, child[0]).is_empty());
    assert_eq!(pending(&w, other), SigSet::of(Signal::SIGUSR1));
}

#[test]
fn orphans_go_to_the_nearest_living_subreaper() {
    //
    let reaper = |grandparent_subreaps: bool, exits: usize| {
        let mut w = World::new();
        let far = w.process();
        let near = [w.process(), w.thread()];
        adopt(&mut w, near[0], far);
        let (parent, child) = (w.process(), w.process());
        adopt(&mut w, parent, near[0]);
        adopt(&mut w, child, parent);
        let (f, n) = (group(&w, far), group(&w, near[0]));
        w.kernel.groups[f].is_child_subreaper = true;
        w.kernel.groups[n].is_child_subreaper = grandparent_subreaps;
        for thread in &near[..exits] {
            w.kernel.tasks[*thread].exiting = true;
        }
        let c = group(&w, child);
        w.kernel.groups[c].exit_signal = Some(Signal::SIGUSR1);
        exit(&mut w, parent, 0);
        assert_eq!(w.kernel.groups[c].exit_signal, Some(Signal::SIGCHLD));
        let to = w.kernel.groups[c].parent.unwrap();
        let leader = w.kernel.groups[to].leader;
        assert!(w.kernel.tasks[leader].children.contains(&c));
        assert_eq!(w.kernel.tasks[parent].children, []);
        let real = w.kernel.tasks[child].real_parent.unwrap();
        [far, near[0], near[1]].iter().position(|it| *it == real).unwrap()
    };
    assert_eq!(reaper(true, 0), 1);
    assert_eq!(reaper(true, 1), 2, "its living thread");
    assert_eq!(reaper(true, 2), 0, "it is dying itself");
    assert_eq!(reaper(false, 0), 0);
}

#[test]
fn a_dead_orphan_is_announced_to_its_new_parent() {
    // init does not wait for strangers here, but hears of them.
    let (mut w, parent, child) = family();
    let far = w.process();
    w.catch(far, Signal::SIGCHLD, 0);
    adopt(&mut w, parent[0], far);
    let f = group(&w, far);
    w.kernel.groups[f].is_child_subreaper = true;
    exit(&mut w, child[1], 0);
    exit(&mut w, child[0], 5);
    assert_eq!(heard(&mut w, far), None);
    w.kernel.set_current_blocked(far, SigSet(u64::MAX));
    exit(&mut w, parent[1], 0);
    assert_eq!(heard(&mut w, far), None);
    exit(&mut w, parent[0], 6);
    assert_eq!(heard(&mut w, far), Some((17, 1, 5)), "first the orphan, then its parent");
    // Two of one number collapse: the record of the first is kept (S-18).
    assert_eq!(heard(&mut w, far), None);
    // A sibling that was not its child stays where it is.
    assert_eq!(w.kernel.tasks[far].children.len(), 2);
}

/// Is `stopped` told to go on when `dying` exits? Signals that it has: SIGHUP and SIGCONT.
fn orphaned(change: impl Fn(&mut World, [GroupId; 3])) -> bool {
    // A shell that leads the session, its job, a member of the job's group that the job forked.
    let mut w = World::new();
    let (shell, job, member) = (w.process(), w.process(), w.process());
    adopt(&mut w, job, shell);
    adopt(&mut w, member, job);
    let groups = [shell, job, member].map(|task| group(&w, task));
    w.kernel.groups[groups[2]].pgrp = w.kernel.groups[groups[1]].pgrp;
    w.kernel.groups[groups[2]].stop.stopped_by = Some(Signal::SIGSTOP);
    w.kernel.tasks[member].run = Run::Stopped;
    w.kernel.run_queue.remove(member);
    w.catch(member, Signal::SIGHUP, 0);
    w.catch(member, Signal::SIGCONT, 0);
    change(&mut w, groups);
    exit(&mut w, job, 0);
    let pending = w.kernel.groups[groups[2]].shared_pending.signal;
    assert_eq!(pending.has(Signal::SIGHUP), pending.has(Signal::SIGCONT));
    pending.has(Signal::SIGHUP)
}

#[test]
fn a_stopped_job_that_loses_its_last_link_gets_hup_and_cont() {
    //
    assert!(orphaned(|_, _| {}));
    let stays = |w: &mut World, [shell, job, _]: [GroupId; 3]| {
        // Another member is a child of the shell.
        let third = w.process();
        let shell = w.kernel.groups[shell].leader;
        adopt(w, third, shell);
        let g = w.kernel.tasks[third].group;
        w.kernel.groups[g].pgrp = w.kernel.groups[job].pgrp;
    };
    assert!(!orphaned(stays), "the third holds the group");
    assert!(
        !orphaned(|w, [.., member]| w.kernel.groups[member].stop.stopped_by = None),
        "nobody stopped"
    );
    let other_session = |w: &mut World, [shell, ..]: [GroupId; 3]| {
        w.kernel.groups[shell].session = Pid(4242);
    };
    assert!(!orphaned(other_session), "it was orphaned before");
    let same_group = |w: &mut World, [shell, job, _]: [GroupId; 3]| {
        w.kernel.groups[shell].pgrp = w.kernel.groups[job].pgrp;
    };
    assert!(!orphaned(same_group), "the link was not in another group");
}

#[test]
fn a_parents_death_orphans_the_jobs_of_its_children() {
    // X-28, as the parent: the shell dies, its stopped job in a group of its own is told.
    let mut w = World::new();
    let (shell, job) = (w.process(), w.process());
    adopt(&mut w, job, shell);
    let j = group(&w, job);
    w.kernel.groups[j].stop.stopped_by = Some(Signal::SIGTSTP);
    w.kernel.tasks[job].run = Run::Stopped;
    w.kernel.run_queue.remove(job);
    w.catch(job, Signal::SIGHUP, 0);
    exit(&mut w, shell, 0);
    let pending = w.kernel.groups[j].shared_pending.signal;
    assert!(pending.has(Signal::SIGHUP));
    assert!(w.kernel.is_ready(job), "SIGCONT, which is ignored, continues it");
}

#[test]
fn a_death_has_a_code_and_a_status() {
    // S-46, X-1.
    assert_eq!(cld_code(WaitStatus::exited(7)), (1, 7));
    assert_eq!(cld_code(WaitStatus::killed(Signal::SIGKILL)), (2, 9));
    assert_eq!(cld_code(WaitStatus(11 | 0x80)), (3, 11));
    assert_eq!(cld_code(WaitStatus(0)), (1, 0));
}

#[test]
fn a_sleeper_that_dies_leaves_its_queues() {
    // A guest that vanished in its sleep: no deadline and no wake-up of the dead.
    let (mut w, _, child) = family();
    w.memory.put(0x2000, &[0; 16]);
    w.memory.put(0x2000, &9_u64.to_le_bytes());
    w.trap(child[0], 35, [0x2000, 0, 0, 0, 0, 0]);
    assert!(w.kernel.next_deadline().is_some() && w.kernel.tasks[child[0]].is_blocked());
    exit(&mut w, child[1], 0);
    w.kernel.guest_vanished(child[0], &mut w.memory);
    assert_eq!((w.kernel.next_deadline(), w.kernel.is_zombie(child[0])), (None, true));
    let info = SigInfo::user(Signal::SIGTERM, Pid(0), 0);
    assert_eq!(w.kernel.send_signal(info, Target::Process(child[0])), Ok(()), "S-10");
    assert!(w.kernel.is_zombie(child[0]));
}

#[test]
fn the_thread_that_forked_hears_of_the_death_first() {
    let (mut w, parent, child) = family();
    for task in child {
        exit(&mut w, task, 7);
    }
    let pending = parent.map(|task| w.kernel.tasks[task].sigpending);
    assert_eq!(pending, [false, true]);
}

#[test]
fn a_dead_threads_children_go_behind_its_siblings() {
    // and keep their order.
    let (mut w, parent, child) = family();
    let [second, third] = [(); 2].map(|()| w.process());
    adopt(&mut w, second, parent[0]);
    adopt(&mut w, third, parent[1]);
    exit(&mut w, parent[1], 0);
    let order = [second, child[0], third].map(|task| group(&w, task));
    assert_eq!(w.kernel.tasks[parent[0]].children, order);
}
