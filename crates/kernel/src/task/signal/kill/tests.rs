//! Tests of kill(2) and its relatives: who is found, which error comes first, what the receiver
//! reads of the sender. Rules S-1 to S-10; kill(2), tgkill(2), rt_sigqueueinfo(2),
//! pidfd_send_signal(2).

use super::*;
use crate::abi::signal::SigSet;
use crate::fs::fdtable::FdTable;
use crate::task::Cred;
use crate::task::signal::SigDetail;
use crate::task::signal::testing::World;

fn kill(w: &mut World, from: TaskId, pid: i64, signal: u64) -> Result<u64, Errno> {
    w.call(from, Kernel::sys_kill, [pid as u64, signal, 0, 0, 0, 0])
}

#[test]
fn the_target_is_looked_for_before_the_number_is_looked_at() {
    // S-1, S-2.
    let mut w = World::new();
    let a = w.process();
    let own = i64::from(w.kernel.tasks[a].tid.0);
    assert_eq!(kill(&mut w, a, 999, 77), Err(Errno::ESRCH));
    assert_eq!(kill(&mut w, a, own, 65), Err(Errno::EINVAL));
    assert_eq!(kill(&mut w, a, own, 0), Ok(0));
    assert_eq!(kill(&mut w, a, i64::from(i32::MIN), 9), Err(Errno::ESRCH));
    assert_eq!(kill(&mut w, a, -999, 0), Err(Errno::ESRCH), "an empty group");
}

#[test]
fn a_number_that_is_no_signal_precedes_eperm() {
    // S-1, S-9.
    let mut w = World::new();
    let root = w.process();
    let victim = i64::from(w.kernel.tasks[root].tid.0);
    let user = w.process();
    w.kernel.tasks[user].cred = Cred::user(1000, 1000);
    assert_eq!(kill(&mut w, user, victim, 99), Err(Errno::EINVAL));
    assert_eq!(kill(&mut w, user, victim, 15), Err(Errno::EPERM));
    // SIGCONT within the session.
    assert_eq!(kill(&mut w, user, victim, 18), Err(Errno::EPERM));
    let session = w.kernel.groups[w.kernel.tasks[root].group].session;
    let group = w.kernel.tasks[user].group;
    w.kernel.groups[group].session = session;
    assert_eq!(kill(&mut w, user, victim, 18), Ok(0));
    // The saved uid of the target counts, its effective one does not.
    w.kernel.tasks[root].cred.suid = 1000;
    assert_eq!(kill(&mut w, user, victim, 0), Ok(0));
}

#[test]
fn killing_everyone_without_permission_succeeds() {
    // S-5.
    let mut w = World::new();
    let user = w.process();
    w.kernel.tasks[user].cred = Cred::user(1000, 1000);
    assert_eq!(kill(&mut w, user, -1, 15), Err(Errno::ESRCH), "nobody else");
    let other = w.process();
    assert_eq!(kill(&mut w, user, -1, 15), Ok(0));
    assert!(!w.kernel.signal_pending(other));
}

#[test]
fn tgkill_wants_positive_numbers_and_the_right_process() {
    // S-6.
    let mut w = World::new();
    let a = w.process();
    let own = u64::from(w.kernel.tasks[a].tid.0);
    let b = w.process();
    let tid = u64::from(w.kernel.tasks[b].tid.0);
    let mut tgkill = |tgid, tid| w.call(a, Kernel::sys_tgkill, [tgid, tid, 0, 0, 0, 0]);
    assert_eq!(tgkill(0, tid), Err(Errno::EINVAL));
    assert_eq!(tgkill(own, tid), Err(Errno::ESRCH));
    assert_eq!(tgkill(tid, tid), Ok(0));
}

#[test]
fn a_forged_origin_is_only_for_oneself() {
    // S-7.
    let mut w = World::new();
    let a = w.process();
    let own = u64::from(w.kernel.tasks[a].tid.0);
    let b = w.process();
    let other = u64::from(w.kernel.tasks[b].tid.0);
    w.memory.put(0x1000, &[0; 128]);
    let mut queue = |pid| w.call(a, Kernel::sys_rt_sigqueueinfo, [pid, 10, 0x1000, 0, 0, 0]);
    assert_eq!(queue(other), Err(Errno::EPERM));
    assert_eq!(queue(own), Ok(0));
    w.memory.put(0x1008, &(-1i32).to_le_bytes());
    let queued = w.call(a, Kernel::sys_rt_sigqueueinfo, [other, 10, 0x1000, 0, 0, 0]);
    assert_eq!(queued, Ok(0));
}

/// A process that blocks everything, and its number.
fn deaf(w: &mut World) -> (TaskId, u64) {
    let task = w.process();
    w.kernel.set_current_blocked(task, SigSet(u64::MAX));
    (task, u64::from(w.kernel.tasks[task].tid.0))
}

/// What a task would read of its next signal: number, si_code, si_pid, si_uid.
fn next(w: &mut World, task: TaskId) -> Option<(u8, i32, u32, u32)> {
    let info = w.kernel.dequeue_signal(task, SigSet::EMPTY)?;
    let SigDetail::Kill { pid, uid } = info.detail else { panic!("{info:?}") };
    Some((info.signal.number(), info.code, pid.0, uid))
}

#[test]
fn the_receiver_reads_who_sent_it() {
    // S-46: SI_USER with the real uid by kill, SI_TKILL by tkill and tgkill.
    let mut w = World::new();
    let (sender, pid) = deaf(&mut w);
    w.kernel.tasks[sender].cred = Cred { euid: 0, suid: 0, ..Cred::user(77, 77) };
    let thread = w.thread();
    let (victim, to) = deaf(&mut w);
    let from = pid as u32;
    assert_eq!(w.call(thread, Kernel::sys_kill, [to, 10, 0, 0, 0, 0]), Ok(0));
    assert_eq!(next(&mut w, victim), Some((10, 0, from, 77)), "si_pid is the process");
    assert_eq!(w.call(thread, Kernel::sys_tkill, [to, 12, 0, 0, 0, 0]), Ok(0));
    assert_eq!(next(&mut w, victim), Some((12, SI_TKILL, from, 77)));
    assert_eq!(w.call(sender, Kernel::sys_tgkill, [to, to, 15, 0, 0, 0]), Ok(0));
    assert_eq!(next(&mut w, victim), Some((15, SI_TKILL, from, 77)));
    assert_eq!(next(&mut w, victim), None);
    // S-6.
    for tid in [0, -1] {
        let tkill = w.call(sender, Kernel::sys_tkill, [tid as u64, 10, 0, 0, 0, 0]);
        assert_eq!(tkill, Err(Errno::EINVAL));
    }
    assert_eq!(w.call(sender, Kernel::sys_tkill, [999, 10, 0, 0, 0, 0]), Err(Errno::ESRCH));
    assert_eq!(w.call(sender, Kernel::sys_tkill, [1, 0, 0, 0, 0, 0]), Ok(0), "PID 1 can be probed");
}

#[test]
fn a_queued_record_arrives_under_the_number_of_the_call() {
    // S-7, S-46: si_signo is the argument, whatever the record says.
    let mut w = World::new();
    let (sender, _) = deaf(&mut w);
    let (victim, to) = deaf(&mut w);
    w.memory.put(0x1000, &[0; 128]);
    w.memory.put(0x1000, &12_u32.to_le_bytes());
    w.memory.put(0x1008, &(-1_i32).to_le_bytes());
    let queued = w.call(sender, Kernel::sys_rt_sigqueueinfo, [to, 40, 0x1000, 0, 0, 0]);
    assert_eq!(queued, Ok(0));
    let info = w.kernel.dequeue_signal(victim, SigSet::EMPTY).unwrap();
    assert_eq!((info.signal.number(), info.code), (40, -1));
    let mut queue = |tgid: u64, tid: u64| {
        w.call(sender, Kernel::sys_rt_tgsigqueueinfo, [tgid, tid, 41, 0x1000, 0, 0])
    };
    let minus = -1_i64 as u64;
    for (tgid, tid) in [(0, to), (to, 0), (minus, to), (to, minus)] {
        assert_eq!(queue(tgid, tid), Err(Errno::EINVAL), "S-6");
    }
    assert_eq!(queue(to, 999), Err(Errno::ESRCH));
    assert_eq!(queue(to, to), Ok(0));
    let info = w.kernel.dequeue_signal(victim, SigSet::EMPTY).unwrap();
    assert_eq!((info.signal.number(), info.code), (41, -1));
}

#[test]
fn a_process_group_hears_all_and_says_one_error() {
    // S-4: success if one member accepts, whoever was asked last.
    let mut w = World::new();
    let (first, number) = deaf(&mut w);
    let (second, _) = deaf(&mut w);
    let (user, _) = deaf(&mut w);
    let pgrp = w.kernel.groups[w.kernel.tasks[first].group].pgrp;
    for task in [second, user] {
        let group = w.kernel.tasks[task].group;
        w.kernel.groups[group].pgrp = pgrp;
    }
    w.kernel.tasks[user].cred = Cred::user(1000, 1000);
    let to = -(number as i64);
    assert_eq!(kill(&mut w, user, to, 10), Ok(0), "itself is enough");
    assert_eq!(next(&mut w, user).map(|it| it.0), Some(10));
    assert_eq!((next(&mut w, first), next(&mut w, second)), (None, None));
    assert_eq!(kill(&mut w, first, 0, 12), Ok(0), "zero: the own group");
    for task in [first, second, user] {
        assert_eq!(next(&mut w, task).map(|it| (it.0, it.2)), Some((12, number as u32)));
    }
    let group = w.kernel.tasks[user].group;
    w.kernel.groups[group].pgrp = Pid(999);
    assert_eq!(kill(&mut w, user, to, 10), Err(Errno::EPERM), "nobody accepts");
    w.kernel.tasks[second].cred = Cred::user(1000, 1000);
    assert_eq!(kill(&mut w, user, to, 10), Ok(0));
    assert_eq!((next(&mut w, first), next(&mut w, second).map(|it| it.0)), (None, Some(10)));
    // From the kernel: SI_KERNEL, and the others hear nothing.
    w.kernel.kill_pgrp(pgrp, Signal::SIGHUP);
    let info = [first, second].map(|task| w.kernel.dequeue_signal(task, SigSet::EMPTY).unwrap());
    assert_eq!(info.map(|it| (it.signal.number(), it.code)), [(1, 0x80); 2]);
    assert_eq!(w.kernel.dequeue_signal(user, SigSet::EMPTY), None);
}

#[test]
fn outside_there_is_no_sender() {
    // S-14: si_pid 0 of an ancestor namespace.
    let mut w = World::new();
    let (victim, to) = deaf(&mut w);
    assert!(w.kernel.kill_from_outside(Pid(to as u32), Signal::SIGTERM));
    assert_eq!(next(&mut w, victim), Some((15, 0, 0, 0)));
    assert!(!w.kernel.kill_from_outside(Pid(999), Signal::SIGTERM));
}

#[test]
fn a_pidfd_sends_to_whom_it_is_about() {
    // pidfd_send_signal(2); errors, scopes and the forged group were measured.
    const AT: u64 = 0x1000;
    let mut w = World::new();
    let (task, own) = deaf(&mut w);
    let table = w.kernel.tables.insert(FdTable::default());
    w.kernel.tasks[task].files = Some(table);
    let second = w.thread();
    let tid = u64::from(w.kernel.tasks[second].tid.0);
    let open = |w: &mut World, pid, flags| {
        w.call(task, Kernel::sys_pidfd_open, [pid, flags, 0, 0, 0, 0]).unwrap()
    };
    let (process, thread) = (open(&mut w, own, 0), open(&mut w, tid, 0o200));
    let send = |w: &mut World, fd: u64, signal: u64, info: u64, flags: u64| {
        w.call(task, Kernel::sys_pidfd_send_signal, [fd, signal, info, flags, 0, 0])
    };
    for flags in [3, 5, 6, 7, 8, 9, 16] {
        assert_eq!(send(&mut w, process, 10, 0, flags), Err(Errno::EINVAL), "{flags}");
    }
    let group = w.kernel.tasks[task].group;
    // Which queue: shared, the leader's, the second thread's.
    let queue = |w: &mut World, fd, flags| {
        assert_eq!(send(w, fd, 10, 0, flags), Ok(0));
        let shared = w.kernel.groups[group].shared_pending.signal;
        let queues =
            [shared, w.kernel.tasks[task].pending.signal, w.kernel.tasks[second].pending.signal];
        let at = queues.iter().position(|it| it.has(Signal::SIGUSR1)).unwrap();
        let taker = if at == 2 { second } else { task };
        assert_eq!(next(w, taker), Some((10, 0, own as u32, 0)));
        at
    };
    let (shared, leaders, seconds) = (0, 1, 2);
    assert_eq!(queue(&mut w, process, 0), shared);
    assert_eq!(queue(&mut w, process, 1), leaders);
    assert_eq!(queue(&mut w, process, 2), shared);
    assert_eq!(queue(&mut w, thread, 0), seconds);
    assert_eq!(queue(&mut w, thread, 1), seconds);
    assert_eq!(queue(&mut w, thread, 2), shared);
    assert_eq!(queue(&mut w, process, 4), shared);
    assert_eq!(send(&mut w, process, 99, 0, 0), Err(Errno::EINVAL));
    // A record: its number must be the argument; what claims to be from the kernel is only for
    // oneself, and a process group is more than that.
    w.memory.put(AT, &[0; 128]);
    w.memory.put(AT, &10_u32.to_le_bytes());
    assert_eq!(send(&mut w, process, 12, AT, 0), Err(Errno::EINVAL));
    assert_eq!(send(&mut w, process, 10, AT, 4), Err(Errno::EPERM));
    assert_eq!(send(&mut w, process, 10, AT, 0), Ok(0));
    let code = w.kernel.dequeue_signal(task, SigSet::EMPTY).map(|it| it.code);
    assert_eq!(code, Some(0), "as the record says");
    w.memory.put(AT + 8, &(-1_i32).to_le_bytes());
    assert_eq!(send(&mut w, process, 10, AT, 4), Ok(0));
}

#[test]
fn the_oom_killer_takes_who_shares_the_memory_and_nobody_else() {
    let mut w = World::new();
    let [victim, sharer, other] = [(); 3].map(|()| w.process());
    w.kernel.tasks[sharer].mm = w.kernel.tasks[victim].mm;
    // Who has no memory any more shares none with the dead.
    let [late, gone] = [(); 2].map(|()| w.process());
    w.kernel.tasks[late].mm = None;
    w.kernel.tasks[gone].mm = None;
    let mut oom = |task: TaskId| {
        let pid = Pid(w.kernel.tasks[task].tid.0);
        w.kernel.oom_kill_process(pid);
        [victim, sharer, other, late, gone].map(|task| w.kernel.signal_pending(task))
    };
    assert_eq!(oom(victim), [true, true, false, false, false]);
    assert_eq!(oom(late), [true, true, false, true, false]);
}

#[test]
fn a_crash_comes_again_when_its_handler_returns_to_it() {
    let mut w = World::new();
    let task = w.process();
    w.catch(task, Signal::SIGSEGV, 0);
    let (at, pid) = (w.kernel.tasks[task].regs.rip, w.kernel.tasks[task].tid);
    w.kernel.crash_from_outside(pid);
    for _ in 0..2 {
        w.go(task);
        assert_ne!(w.kernel.tasks[task].regs.rip, at, "in the handler");
        w.kernel.tasks[task].regs.rsp += 8; // its `ret`
        w.trap(task, 15, [0; 6]); // rt_sigreturn
    }
    // Elsewhere it does not.
    w.go(task);
    w.kernel.tasks[task].crashes_at = Some(at + 100);
    w.kernel.tasks[task].regs.rsp += 8;
    w.trap(task, 15, [0; 6]);
    assert!(!w.kernel.signal_pending(task));
    assert_eq!(w.kernel.tasks[task].regs.rip, at);
}
