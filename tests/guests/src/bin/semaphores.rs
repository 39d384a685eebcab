//! System V semaphores: semget, semop, semtimedop, semctl, and SEM_UNDO at exit (X-7 step 9). See
//! sysvipc(7), semop(2), semctl(2). Sets outlive their process: each is removed by a guard.

use guests::process::{
    Pid, clone_fork, fork, fork_check, getpid, kill, kill_and_wait, wait, wait_ok,
};
use guests::signal::{self, handle};
use guests::sys::{Sys, raw, small};
use guests::{Check, ensure, fails, same};
use libc::{
    E2BIG, EACCES, EAGAIN, EEXIST, EFBIG, EIDRM, EINTR, EINVAL, ENOENT, EPERM, ERANGE, GETALL,
    GETNCNT, GETPID, GETVAL, GETZCNT, IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE, IPC_RMID,
    IPC_SET, IPC_STAT, SEM_UNDO, SETALL, SETVAL, SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGUSR1,
};

guests::cases! {
    a_fresh_set_is_zero_and_a_removed_one_is_invalid,
    a_key_finds_its_set,
    operations_are_all_or_nothing,
    nowait_says_eagain,
    values_have_a_range,
    a_sleeper_is_woken_by_what_it_waits_for,
    sleepers_are_served_first_come_first_served,
    a_call_that_cannot_go_on_does_not_hold_up_the_next,
    waiting_for_zero_comes_first,
    a_chain_of_wakes_is_followed,
    counts_and_pids_are_told,
    a_removed_set_ends_its_waits,
    a_caught_signal_is_eintr_even_with_restart,
    stop_and_continue_is_eintr_too,
    a_timeout_is_eagain,
    undo_is_done_at_exit_before_the_parent_knows,
    undo_is_done_after_kill_9,
    undo_wakes_who_waits,
    undo_never_goes_below_zero,
    setval_forgets_what_would_be_undone,
    a_forked_child_undoes_nothing_of_its_parent,
    clone_sysvsem_shares_what_is_undone,
    threads_share_what_is_undone,
    exec_keeps_what_will_be_undone; then die_after_exec
}

/// A set that is removed at the end of the case.
struct Set(i32);

impl Drop for Set {
    fn drop(&mut self) {
        let _ = ctl(self.0, 0, IPC_RMID, 0);
    }
}

fn get(key: i32, count: i32, flags: i32) -> Sys<i32> {
    // SAFETY: no memory is passed.
    small("semget", unsafe { libc::semget(key, count, flags) })
}

/// A private set of zeroes.
fn set(count: i32) -> Sys<Set> {
    get(IPC_PRIVATE, count, 0o600).map(Set)
}

fn ctl(id: i32, num: i32, command: i32, argument: usize) -> Sys<i32> {
    let args = [id.into(), num.into(), command.into(), argument as i64, 0, 0];
    raw("semctl", libc::SYS_semctl, args).map(|value| value as i32)
}

/// One operation: semaphore, change, flags.
type Op = (u16, i16, i32);

fn op_for(id: i32, ops: &[Op], timeout: Option<i64>) -> Sys<()> {
    let make =
        |&(num, op, flags): &Op| libc::sembuf { sem_num: num, sem_op: op, sem_flg: flags as i16 };
    let mut buffers: Vec<libc::sembuf> = ops.iter().map(make).collect();
    let limit =
        timeout.map(|ms| libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
    let limit = limit.as_ref().map_or(std::ptr::null(), |limit| &raw const *limit);
    let args = [id.into(), buffers.as_mut_ptr() as i64, ops.len() as i64, limit as i64, 0, 0];
    raw("semtimedop", libc::SYS_semtimedop, args).map(|_| ())
}

fn op(id: i32, ops: &[Op]) -> Sys<()> {
    op_for(id, ops, None)
}

fn value(id: i32, num: i32) -> Sys<i32> {
    ctl(id, num, GETVAL, 0)
}

fn values(id: i32, count: usize) -> Sys<Vec<u16>> {
    let mut all = vec![0_u16; count];
    ctl(id, 0, GETALL, all.as_mut_ptr() as usize)?;
    Ok(all)
}

/// Returns once so many calls wait for semaphore `num`, to grow (GETNCNT) or to be zero (GETZCNT).
fn until_waiting(id: i32, num: i32, command: i32, count: i32) -> Sys<()> {
    while ctl(id, num, command, 0)? < count {
        std::thread::yield_now();
    }
    Ok(())
}

/// A child that does these operations and ends with 0, or with the errno.
fn child_op(id: i32, ops: &'static [Op]) -> Sys<Pid> {
    fork(move || op(id, ops).map_or_else(|failed| failed.errno, |()| 0))
}

fn code(pid: Pid) -> Sys<i32> {
    wait(pid).map(|status| libc::WEXITSTATUS(status))
}

fn a_fresh_set_is_zero_and_a_removed_one_is_invalid() -> Check {
    let set = set(3)?;
    same!(values(set.0, 3)?, vec![0, 0, 0], "the values");
    ctl(set.0, 0, IPC_RMID, 0)?;
    fails!(value(set.0, 0), EINVAL);
    fails!(op(set.0, &[(0, 1, 0)]), EINVAL);
    fails!(get(IPC_PRIVATE, 0, 0o600), EINVAL);
    fails!(get(IPC_PRIVATE, -1, 0o600), EINVAL);
    fails!(get(IPC_PRIVATE, 32001, 0o600), EINVAL);
    fails!(op(-1, &[(0, 1, 0)]), EINVAL);
    Ok(())
}

fn a_key_finds_its_set() -> Check {
    let key = 0x5e40_0000 | getpid();
    fails!(get(key, 1, 0o600), ENOENT);
    let set = Set(get(key, 2, IPC_CREAT | IPC_EXCL | 0o600)?);
    same!(get(key, 0, 0)?, set.0, "the identifier");
    same!(get(key, 2, IPC_CREAT | 0o600)?, set.0, "the identifier");
    fails!(get(key, 1, IPC_CREAT | IPC_EXCL), EEXIST);
    fails!(get(key, 3, 0), EINVAL);
    let mut status = [0_u8; 104];
    ctl(set.0, 0, IPC_STAT, status.as_mut_ptr() as usize)?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| status[at + i]));
    // SAFETY: no memory is passed.
    let uid = unsafe { libc::geteuid() };
    same!((word(0), word(4), word(12), word(20)), (key as u32, uid, uid, 0o600), "owner and mode");
    same!((word(80), word(48)), (2, 0), "semaphores, and the time of the last operation");
    ensure!(word(64) != 0, "the time of its making is not set");
    op(set.0, &[(0, 1, 0)])?;
    status[20..24].copy_from_slice(&0o640_u32.to_le_bytes());
    ctl(set.0, 0, IPC_SET, status.as_mut_ptr() as usize)?;
    ctl(set.0, 0, IPC_STAT, status.as_mut_ptr() as usize)?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| status[at + i]));
    same!(word(20), 0o640, "the mode that was set");
    ensure!(word(48) != 0, "the time of the last operation is not set");
    // Somebody else, without capabilities.
    let child = fork_check(move || {
        if uid != 0 {
            return Ok(());
        }
        // SAFETY: an empty list of groups; no other memory is passed.
        let left = unsafe {
            libc::setgroups(0, std::ptr::null());
            libc::setresgid(77, 77, 77) + libc::setresuid(77, 77, 77)
        };
        same!(left, 0, "setresgid, setresuid");
        fails!(get(key, 0, 0o400), EACCES);
        fails!(op(set.0, &[(0, 1, 0)]), EACCES);
        fails!(value(set.0, 0), EACCES);
        fails!(ctl(set.0, 0, IPC_RMID, 0), EPERM);
        Ok(())
    })?;
    wait_ok(child)
}

fn operations_are_all_or_nothing() -> Check {
    let set = set(3)?;
    op(set.0, &[(0, 5, 0), (1, 2, 0)])?;
    fails!(op(set.0, &[(0, -1, 0), (1, -3, IPC_NOWAIT), (2, 1, 0)]), EAGAIN);
    same!(values(set.0, 3)?, vec![5, 2, 0], "after a failure");
    op(set.0, &[(0, -5, 0), (0, 0, 0), (0, 7, 0), (1, -1, 0)])?;
    same!(values(set.0, 3)?, vec![7, 1, 0], "one semaphore three times");
    fails!(op(set.0, &[(0, -1, 0), (0, 0, IPC_NOWAIT)]), EAGAIN);
    same!(value(set.0, 0)?, 7, "after it");
    fails!(op(set.0, &[(0, 1, 0), (3, 1, 0)]), EFBIG);
    fails!(op(set.0, &[]), EINVAL);
    fails!(op(set.0, &[(0, 1, 0); 501]), E2BIG);
    same!(value(set.0, 0)?, 7, "after all");
    op(set.0, &[(2, 1, 0); 500])?;
    same!(value(set.0, 2)?, 500, "500 operations");
    Ok(())
}

fn nowait_says_eagain() -> Check {
    let set = set(1)?;
    fails!(op(set.0, &[(0, -1, IPC_NOWAIT)]), EAGAIN);
    op(set.0, &[(0, 0, IPC_NOWAIT)])?;
    op(set.0, &[(0, 1, 0)])?;
    fails!(op(set.0, &[(0, 0, IPC_NOWAIT)]), EAGAIN);
    Ok(())
}

fn values_have_a_range() -> Check {
    let set = set(2)?;
    ctl(set.0, 0, SETVAL, 32767)?;
    fails!(op(set.0, &[(0, 1, 0)]), ERANGE);
    fails!(ctl(set.0, 0, SETVAL, 32768), ERANGE);
    fails!(ctl(set.0, 0, SETVAL, usize::MAX), ERANGE);
    fails!(ctl(set.0, 2, SETVAL, 0), EINVAL);
    fails!(ctl(set.0, -1, GETVAL, 0), EINVAL);
    fails!(ctl(set.0, 0, 99, 0), EINVAL);
    let mut all = [1_u16, 40000];
    fails!(ctl(set.0, 0, SETALL, all.as_mut_ptr() as usize), ERANGE);
    same!(values(set.0, 2)?, vec![32767, 0], "unchanged");
    all[1] = 9;
    ctl(set.0, 0, SETALL, all.as_mut_ptr() as usize)?;
    same!(values(set.0, 2)?, vec![1, 9], "all");
    // What would have to be undone has a range too.
    for _ in 0..2 {
        ctl(set.0, 1, SETVAL, 0)?;
        op(set.0, &[(1, 20000, SEM_UNDO)])?;
    }
    op(set.0, &[(1, -20000, 0)])?;
    fails!(op(set.0, &[(1, 20000, SEM_UNDO)]), ERANGE);
    Ok(())
}

fn a_sleeper_is_woken_by_what_it_waits_for() -> Check {
    let set = set(2)?;
    let child = child_op(set.0, &[(0, -2, 0), (1, 3, 0)])?;
    until_waiting(set.0, 0, GETNCNT, 1)?;
    op(set.0, &[(0, 1, 0)])?;
    same!((value(set.0, 0)?, ctl(set.0, 0, GETNCNT, 0)?), (1, 1), "not enough yet");
    op(set.0, &[(0, 2, 0)])?;
    // The waker does it on the sleeper's behalf: it is done when the call returns.
    same!(values(set.0, 2)?, vec![1, 3], "the values");
    same!(ctl(set.0, 1, GETPID, 0)?, child, "who changed it last");
    same!(code(child)?, 0, "the sleeper's call");
    Ok(())
}

fn sleepers_are_served_first_come_first_served() -> Check {
    let set = set(1)?;
    let mut children = vec![];
    for n in 1..=4 {
        children.push(child_op(set.0, &[(0, -1, 0)])?);
        until_waiting(set.0, 0, GETNCNT, n)?;
    }
    for (n, child) in children.iter().enumerate() {
        op(set.0, &[(0, 1, 0)])?;
        same!(ctl(set.0, 0, GETPID, 0)?, *child, "number {n}");
        same!(code(*child)?, 0, "its call");
    }
    Ok(())
}

fn a_call_that_cannot_go_on_does_not_hold_up_the_next() -> Check {
    let set = set(1)?;
    let big = child_op(set.0, &[(0, -3, 0)])?;
    until_waiting(set.0, 0, GETNCNT, 1)?;
    let small = child_op(set.0, &[(0, -1, 0)])?;
    until_waiting(set.0, 0, GETNCNT, 2)?;
    op(set.0, &[(0, 2, 0)])?;
    same!(code(small)?, 0, "the one that asks for less");
    same!(value(set.0, 0)?, 1, "the rest");
    op(set.0, &[(0, 2, 0)])?;
    same!(code(big)?, 0, "the other");
    Ok(())
}

fn waiting_for_zero_comes_first() -> Check {
    let set = set(2)?;
    op(set.0, &[(0, 1, 0)])?;
    let refill = child_op(set.0, &[(1, -1, 0), (0, 1, 0)])?;
    until_waiting(set.0, 1, GETNCNT, 1)?;
    let zero = child_op(set.0, &[(0, 0, 0)])?;
    until_waiting(set.0, 0, GETZCNT, 1)?;
    same!(ctl(set.0, 0, GETNCNT, 0)?, 0, "nobody waits for more");
    // At once zero and refillable: who waits for zero sees it.
    op(set.0, &[(0, -1, 0), (1, 1, 0)])?;
    same!((code(zero)?, code(refill)?), (0, 0), "both calls");
    same!(values(set.0, 2)?, vec![1, 0], "the values");
    Ok(())
}

fn a_chain_of_wakes_is_followed() -> Check {
    let set = set(3)?;
    let last = child_op(set.0, &[(2, -1, 0)])?;
    until_waiting(set.0, 2, GETNCNT, 1)?;
    let middle = child_op(set.0, &[(1, -1, 0), (2, 1, 0)])?;
    until_waiting(set.0, 1, GETNCNT, 1)?;
    let first = child_op(set.0, &[(0, -1, 0), (1, 1, 0)])?;
    until_waiting(set.0, 0, GETNCNT, 1)?;
    op(set.0, &[(0, 1, 0)])?;
    same!(values(set.0, 3)?, vec![0, 0, 0], "all done at once");
    same!((code(first)?, code(middle)?, code(last)?), (0, 0, 0), "the calls");
    Ok(())
}

fn counts_and_pids_are_told() -> Check {
    let set = set(2)?;
    same!(ctl(set.0, 0, GETPID, 0)?, 0, "nobody yet");
    op(set.0, &[(0, 1, 0)])?;
    same!(ctl(set.0, 0, GETPID, 0)?, getpid(), "us");
    let child = child_op(set.0, &[(0, 1, 0)])?;
    same!(code(child)?, 0, "the child's call");
    same!(ctl(set.0, 0, GETPID, 0)?, child, "a process that is gone");
    // Of several operations the one that blocks is counted.
    let waits = child_op(set.0, &[(0, -1, 0), (1, -1, 0)])?;
    until_waiting(set.0, 1, GETNCNT, 1)?;
    same!(ctl(set.0, 0, GETNCNT, 0)?, 0, "it does not wait for the first");
    op(set.0, &[(0, -2, 0)])?;
    same!((ctl(set.0, 0, GETNCNT, 0)?, ctl(set.0, 1, GETNCNT, 0)?), (1, 0), "now it does");
    kill_and_wait(waits, SIGKILL)?;
    same!(ctl(set.0, 0, GETNCNT, 0)?, 0, "after its death");
    Ok(())
}

fn a_removed_set_ends_its_waits() -> Check {
    let set = set(2)?;
    op(set.0, &[(1, 1, 0)])?;
    let grow = child_op(set.0, &[(0, -1, SEM_UNDO)])?;
    until_waiting(set.0, 0, GETNCNT, 1)?;
    let zero = child_op(set.0, &[(1, 0, 0)])?;
    until_waiting(set.0, 1, GETZCNT, 1)?;
    ctl(set.0, 0, IPC_RMID, 0)?;
    same!((code(grow)?, code(zero)?), (EIDRM, EIDRM), "the waits");
    Ok(())
}

fn a_caught_signal_is_eintr_even_with_restart() -> Check {
    let set = set(1)?;
    let child = fork_check(|| {
        handle(SIGUSR1, libc::SA_RESTART)?;
        fails!(op(set.0, &[(0, -1, 0)]), EINTR);
        same!(signal::logged_signals(), vec![SIGUSR1], "the handler");
        Ok(())
    })?;
    until_waiting(set.0, 0, GETNCNT, 1)?;
    kill(child, SIGUSR1)?;
    wait_ok(child)?;
    same!(ctl(set.0, 0, GETNCNT, 0)?, 0, "who waits afterwards");
    Ok(())
}

fn stop_and_continue_is_eintr_too() -> Check {
    let set = set(1)?;
    let child = fork_check(|| {
        fails!(op(set.0, &[(0, -1, 0)]), EINTR);
        Ok(())
    })?;
    until_waiting(set.0, 0, GETNCNT, 1)?;
    kill(child, SIGSTOP)?;
    let (_, status) = guests::process::wait_with(child, libc::WUNTRACED)?;
    ensure!(libc::WIFSTOPPED(status), "it did not stop: {status:#x}");
    kill(child, SIGCONT)?;
    wait_ok(child)
}

fn a_timeout_is_eagain() -> Check {
    let set = set(1)?;
    let begun = guests::sys::monotonic();
    fails!(op_for(set.0, &[(0, -1, 0)], Some(30)), EAGAIN);
    ensure!(guests::sys::monotonic() - begun >= 30_000_000, "it came too early");
    fails!(op_for(set.0, &[(0, -1, 0)], Some(0)), EAGAIN);
    fails!(op_for(set.0, &[(0, -1, 0)], Some(-1000)), EINVAL);
    op_for(set.0, &[(0, 1, 0)], Some(0))?;
    op_for(set.0, &[(0, -1, 0)], Some(1000))?;
    Ok(())
}

/// step 9 comes before step 17.
fn undo_is_done_at_exit_before_the_parent_knows() -> Check {
    let set = set(2)?;
    op(set.0, &[(0, 10, 0)])?;
    let child = fork(|| {
        let ops = [(0, -3, SEM_UNDO), (0, -1, 0), (1, 4, SEM_UNDO)];
        i32::from(op(set.0, &ops).is_err() || values(set.0, 2) != Ok(vec![6, 4]))
    })?;
    same!(code(child)?, 0, "the child's calls");
    same!(values(set.0, 2)?, vec![9, 0], "the values");
    same!(ctl(set.0, 0, GETPID, 0)?, child, "who changed it last");
    Ok(())
}

fn undo_is_done_after_kill_9() -> Check {
    let set = set(2)?;
    op(set.0, &[(0, 1, 0)])?;
    let child = fork(|| {
        let done = op(set.0, &[(0, -1, SEM_UNDO)]).and_then(|()| op(set.0, &[(1, -1, 0)]));
        i32::from(done.is_err())
    })?;
    until_waiting(set.0, 1, GETNCNT, 1)?;
    same!(value(set.0, 0)?, 0, "taken");
    kill_and_wait(child, SIGKILL)?;
    same!(value(set.0, 0)?, 1, "given back");
    Ok(())
}

fn undo_wakes_who_waits() -> Check {
    let set = set(2)?;
    op(set.0, &[(0, 1, 0)])?;
    let holder = fork(|| {
        let done = op(set.0, &[(0, -1, SEM_UNDO)]).and_then(|()| op(set.0, &[(1, -1, 0)]));
        i32::from(done.is_err())
    })?;
    until_waiting(set.0, 1, GETNCNT, 1)?;
    let waiter = child_op(set.0, &[(0, -1, 0)])?;
    until_waiting(set.0, 0, GETNCNT, 1)?;
    kill(holder, SIGKILL)?;
    same!(code(waiter)?, 0, "the waiter's call");
    wait(holder)?;
    Ok(())
}

fn undo_never_goes_below_zero() -> Check {
    let set = set(2)?;
    let child = child_op(set.0, &[(0, 5, SEM_UNDO), (1, 1, 0)])?;
    same!(code(child)?, 0, "the first");
    let child = fork(|| {
        let done = op(set.0, &[(0, 5, SEM_UNDO)]).and_then(|()| op(set.0, &[(0, -3, 0)]));
        i32::from(done.is_err())
    })?;
    same!(code(child)?, 0, "the second");
    same!(value(set.0, 0)?, 0, "not −3");
    Ok(())
}

fn setval_forgets_what_would_be_undone() -> Check {
    let set = set(2)?;
    let child = fork(|| {
        let done = op(set.0, &[(0, 5, SEM_UNDO), (1, 5, SEM_UNDO)]);
        i32::from(done.is_err() || ctl(set.0, 0, SETVAL, 8).is_err())
    })?;
    same!(code(child)?, 0, "the child's calls");
    same!(values(set.0, 2)?, vec![8, 0], "only the other is undone");
    Ok(())
}

fn a_forked_child_undoes_nothing_of_its_parent() -> Check {
    let set = set(1)?;
    let parent = fork(|| {
        let done = op(set.0, &[(0, 2, SEM_UNDO)]);
        let grandchild = child_op(set.0, &[(0, 3, SEM_UNDO)]).and_then(code);
        i32::from(done.is_err() || grandchild != Ok(0) || value(set.0, 0) != Ok(2))
    })?;
    same!(code(parent)?, 0, "2 after the grandchild's exit");
    same!(value(set.0, 0)?, 0, "0 after the child's");
    Ok(())
}

fn clone_sysvsem_shares_what_is_undone() -> Check {
    let set = set(1)?;
    let parent = fork(|| {
        let done = op(set.0, &[(0, 2, SEM_UNDO)]);
        let sharer = clone_fork(libc::CLONE_SYSVSEM | SIGCHLD, || {
            i32::from(op(set.0, &[(0, 3, SEM_UNDO)]).is_err())
        });
        i32::from(done.is_err() || sharer.and_then(code) != Ok(0) || value(set.0, 0) != Ok(5))
    })?;
    same!(code(parent)?, 0, "5 after the sharer's exit");
    same!(value(set.0, 0)?, 0, "0 after both");
    Ok(())
}

fn threads_share_what_is_undone() -> Check {
    let set = set(1)?;
    let id = set.0;
    let child = fork(move || {
        let thread = std::thread::spawn(move || op(id, &[(0, 4, SEM_UNDO)]).is_ok());
        i32::from(!thread.join().unwrap_or(false) || value(id, 0) != Ok(4))
    })?;
    same!(code(child)?, 0, "4 after the thread's end");
    same!(value(id, 0)?, 0, "0 after the process's");
    Ok(())
}

fn exec_keeps_what_will_be_undone() -> Check {
    let set = set(1)?;
    let id = set.0;
    let child = fork_check(move || {
        op(id, &[(0, 6, SEM_UNDO)])?;
        Err(guests::process::exec_self("die_after_exec", &[&id.to_string()]))
    })?;
    wait_ok(child)?;
    same!(value(id, 0)?, 0, "after the new program's exit");
    Ok(())
}

fn die_after_exec() -> Check {
    let id = std::env::args().nth(3).and_then(|word| word.parse().ok()).unwrap_or(-1);
    same!(value(id, 0)?, 6, "in the new program");
    Ok(())
}
