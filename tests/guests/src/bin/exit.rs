//! Dying and being waited for: statuses, threads, notification, waiting, families. Rules X-1 … X-32
//! of docs/linux-semantics.md; what peers see of a death is in fates.rs and files.rs.

use guests::process::{
    Gate, Pid, clone_fork, exec_self, fork, fork_check, getpid, gettid, kill, kill_and_wait,
    pause_for_ever, wait, wait_ok, wait_with,
};
use guests::signal::{self, handle, logged, logged_signals};
use guests::sys::{Fd, Sys, close, pipe, poll_one, raw, read, shared_words, small, write};
use guests::{Check, ensure, fails, same};
use libc::{EAGAIN, ECHILD, EINVAL, ESRCH, P_ALL, P_PID, P_PIDFD, SIGCHLD, SIGKILL, SIGTERM};
use libc::{WEXITED, WNOHANG, WNOWAIT, WSTOPPED};
use std::sync::atomic::Ordering;

guests::cases! {
    exit_status_is_the_low_byte,
    exit_group_ends_every_thread,
    leader_exits_then_the_last_threads_code_counts,
    leader_gone_then_group_exit_gives_the_groups_code,
    leader_gone_then_sigkill_gives_nine,
    leader_that_exits_is_a_hidden_zombie,
    sigkill_ends_a_blocked_read,
    sigchld_tells_who_and_how,
    sigchld_for_a_killed_child_names_the_signal,
    ignored_sigchld_reaps_by_itself,
    nocldwait_reaps_and_still_signals,
    sigchlds_collapse_and_every_zombie_stays,
    wait_checks_its_arguments,
    wait_selects_by_process_group,
    wait_with_nohang_does_not_wait,
    any_thread_may_wait,
    waitid_checks_its_arguments,
    waitid_fills_in_what_happened,
    waitid_nowait_leaves_the_event,
    waitid_by_pidfd,
    pidfd_is_readable_for_a_zombie,
    exit_signal_zero_is_quiet_and_needs_wall,
    child_of_a_dead_thread_stays_in_the_family,
    orphan_goes_to_the_subreaper,
    zombie_orphan_is_announced_to_the_subreaper,
    parent_death_signal_comes_with_the_parent,
    parent_death_signal_comes_with_the_threads_end,
    pids_of_the_living_differ,
    exec_from_a_thread_takes_the_leaders_pid,
    vfork_parent_waits_for_the_exit,
    vfork_parent_waits_for_the_exec,
    reaping_adds_the_childs_time_and_auto_reaping_does_not,
    spawned_program_starts_in_its_parents_memory;
    then exec_succeeded, thread_became_leader,
}

///
fn exit_status_is_the_low_byte() -> Check {
    same!(wait(fork(|| 0x1ff)?)?, 0xff00, "after exit(0x1ff)");
    same!(wait(fork(|| 256)?)?, 0, "after exit(256)");
    same!(wait(fork(|| -1)?)?, 0xff00, "after exit(-1)");
    Ok(())
}

/// Ends this thread only.
fn exit_thread(status: i32) -> ! {
    // SAFETY: this thread holds nothing that others need.
    unsafe { libc::syscall(libc::SYS_exit, status) };
    unreachable!("exit returned")
}

///
fn exit_group_ends_every_thread() -> Check {
    let (reader, writer) = pipe()?;
    let child = fork(|| {
        let _ = close(reader);
        for _ in 0..3 {
            std::thread::spawn(|| pause_for_ever());
        }
        // SAFETY: ends the process.
        std::thread::spawn(|| unsafe { libc::_exit(3) });
        pause_for_ever()
    })?;
    close(writer)?;
    same!(read(reader, 1)?, b"", "the pipe ends when the last thread is gone");
    same!(wait(child)?, 3 << 8, "the status");
    Ok(())
}

/// A child whose leader exits with `first`; then a second thread, once allowed, ends by `then`.
fn leaderless(first: i32, then: impl FnOnce() + Send + 'static) -> Result<(Pid, Gate), String> {
    let (gone, go) = (Gate::new()?, Gate::new()?);
    let child = fork(|| {
        let leader = gettid();
        std::thread::spawn(move || {
            let _ = until_leader_is_gone(leader).and_then(|()| Ok(gone.open()?));
            let _ = go.wait();
            then();
        });
        exit_thread(first)
    })?;
    gone.wait()?;
    Ok((child, go))
}

/// The leader's task shows as a zombie while others live.
fn until_leader_is_gone(leader: Pid) -> Check {
    let path = format!("/proc/self/task/{leader}/stat");
    loop {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        if text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) {
            return Ok(());
        }
        std::thread::yield_now();
    }
}

///
fn leader_exits_then_the_last_threads_code_counts() -> Check {
    let (child, go) = leaderless(1, || exit_thread(2))?;
    go.open()?;
    same!(wait(child)?, 2 << 8, "the status");
    Ok(())
}

///
fn leader_gone_then_group_exit_gives_the_groups_code() -> Check {
    // SAFETY: ends the process.
    let (child, go) = leaderless(1, || unsafe { libc::_exit(3) })?;
    go.open()?;
    let info = waitid(P_PID, child, WEXITED | WNOWAIT)?;
    same!((info.code, info.status), (libc::CLD_EXITED, 3), "si_code and si_status");
    same!(wait(child)?, 3 << 8, "the status");
    Ok(())
}

///
fn leader_gone_then_sigkill_gives_nine() -> Check {
    let (child, _go) = leaderless(1, || pause_for_ever())?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    Ok(())
}

///
fn leader_that_exits_is_a_hidden_zombie() -> Check {
    signal::block(&[SIGCHLD])?;
    let (child, go) = leaderless(1, || exit_thread(0))?;
    let pidfd = pidfd(child)?;
    same!(wait_with(child, WNOHANG)?, (0, 0), "waitpid");
    same!(poll_one(pidfd, libc::POLLIN, 0)?, 0, "the pidfd's poll bits");
    same!(signal::pending(), vec![], "pending");
    kill(child, 0)?;
    go.open()?;
    same!(wait(child)?, 0, "the status");
    Ok(())
}

/// S-26, X-33.
fn sigkill_ends_a_blocked_read() -> Check {
    let (reader, _writer) = pipe()?;
    let child = fork(|| i32::from(read(reader, 1).is_err()))?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    Ok(())
}

///
fn sigchld_tells_who_and_how() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGCHLD, libc::SA_RESTART)?;
    let child = fork(|| 7)?;
    read(reader, 1)?;
    same!((logged()[0].code, logged()[0].pid), (libc::CLD_EXITED, child), "si_code, si_pid");
    same!(wait(child)?, 7 << 8, "the status");
    Ok(())
}

///
fn sigchld_for_a_killed_child_names_the_signal() -> Check {
    let child = fork(|| pause_for_ever())?;
    kill(child, SIGTERM)?;
    let info = waitid(P_PID, child, WEXITED)?;
    same!((info.code, info.status), (libc::CLD_KILLED, SIGTERM), "si_code, si_status");
    Ok(())
}

///
fn ignored_sigchld_reaps_by_itself() -> Check {
    signal::ignore(SIGCHLD)?;
    let child = fork(|| 0)?;
    fails!(wait(child), ECHILD);
    fails!(kill(child, 0), ESRCH);
    Ok(())
}

///
fn nocldwait_reaps_and_still_signals() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGCHLD, libc::SA_NOCLDWAIT | libc::SA_RESTART)?;
    let child = fork(|| 5)?;
    read(reader, 1)?;
    same!(logged()[0].pid, child, "si_pid");
    fails!(wait(child), ECHILD);
    Ok(())
}

///
fn sigchlds_collapse_and_every_zombie_stays() -> Check {
    signal::block(&[SIGCHLD])?;
    handle(SIGCHLD, 0)?;
    let mut children = vec![];
    for _ in 0..3 {
        children.push(fork(|| 0)?);
    }
    for child in &children {
        waitid(P_PID, *child, WEXITED | WNOWAIT)?;
    }
    signal::unblock(&[SIGCHLD])?;
    same!(logged_signals(), vec![SIGCHLD], "deliveries");
    for child in children {
        same!(wait(child)?, 0, "the status");
    }
    Ok(())
}

///
fn wait_checks_its_arguments() -> Check {
    fails!(wait(-1), ECHILD);
    fails!(wait_with(-1, WNOHANG), ECHILD);
    fails!(wait(1), ECHILD);
    fails!(wait_with(-1, 0x10), EINVAL);
    fails!(wait(i32::MIN), ESRCH);
    Ok(())
}

///
fn wait_selects_by_process_group() -> Check {
    let mine = fork(|| 1)?;
    let ready = Gate::new()?;
    let other = fork(|| {
        // SAFETY: no memory is involved.
        unsafe { libc::setpgid(0, 0) };
        i32::from(ready.open().is_err())
    })?;
    ready.wait()?;
    same!(wait_with(-other, 0)?, (other, 0), "by the other's group");
    fails!(wait(-other), ECHILD);
    same!(wait_with(0, 0)?, (mine, 1 << 8), "by one's own group");
    Ok(())
}

///
fn wait_with_nohang_does_not_wait() -> Check {
    let go = Gate::new()?;
    let child = fork(|| i32::from(go.wait().is_err()))?;
    same!(wait_with(child, WNOHANG)?, (0, 0), "while it lives");
    go.open()?;
    same!(wait(child)?, 0, "the status");
    Ok(())
}

///
fn any_thread_may_wait() -> Check {
    let child = fork(|| 4)?;
    let waiter = std::thread::spawn(move || wait(child));
    let status = waiter.join().map_err(|_| "the thread panicked")??;
    same!(status, 4 << 8, "the status");
    Ok(())
}

/// What waitid(2) says.
#[derive(Debug, PartialEq, Eq)]
struct Info {
    signal: i32,
    code: i32,
    pid: Pid,
    uid: u32,
    status: i32,
}

fn waitid(by: libc::idtype_t, id: i32, options: i32) -> Sys<Info> {
    // SAFETY: a valid struct.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        small("waitid", libc::waitid(by, id as u32, &mut info, options))?;
        let (pid, uid, status) = (info.si_pid(), info.si_uid(), info.si_status());
        Ok(Info { signal: info.si_signo, code: info.si_code, pid, uid, status })
    }
}

fn pidfd(pid: Pid) -> Sys<Fd> {
    raw("pidfd_open", libc::SYS_pidfd_open, [pid.into(), 0, 0, 0, 0, 0]).map(|fd| fd as Fd)
}

///
fn waitid_checks_its_arguments() -> Check {
    fails!(waitid(P_ALL, 0, 0), EINVAL);
    fails!(waitid(P_ALL, 0, WNOHANG), EINVAL);
    fails!(waitid(P_PID, 0, WEXITED), EINVAL);
    fails!(waitid(P_ALL, 0, WEXITED), ECHILD);
    fails!(waitid(9, 0, WEXITED), EINVAL);
    Ok(())
}

///
fn waitid_fills_in_what_happened() -> Check {
    let go = Gate::new()?;
    let child = fork(|| {
        let _ = go.wait();
        9
    })?;
    let nothing = Info { signal: 0, code: 0, pid: 0, uid: 0, status: 0 };
    same!(waitid(P_ALL, 0, WEXITED | WNOHANG)?, nothing, "while nothing is ready");
    kill(child, libc::SIGSTOP)?;
    let stopped = waitid(P_PID, child, WSTOPPED)?;
    same!((stopped.code, stopped.status), (libc::CLD_STOPPED, libc::SIGSTOP), "code, status");
    kill(child, libc::SIGCONT)?;
    go.open()?;
    // SAFETY: no memory is involved.
    let uid = unsafe { libc::getuid() };
    let ended = Info { signal: SIGCHLD, code: libc::CLD_EXITED, pid: child, uid, status: 9 };
    same!(waitid(P_PID, child, WEXITED)?, ended, "the end");
    Ok(())
}

///
fn waitid_nowait_leaves_the_event() -> Check {
    let child = fork(|| 1)?;
    let first = waitid(P_PID, child, WEXITED | WNOWAIT)?;
    same!(waitid(P_PID, child, WEXITED | WNOWAIT)?, first, "asked twice");
    same!(wait(child)?, 1 << 8, "the status");
    fails!(waitid(P_PID, child, WEXITED), ECHILD);
    Ok(())
}

///
fn waitid_by_pidfd() -> Check {
    let go = Gate::new()?;
    let child = fork(|| i32::from(go.wait().is_err()))?;
    let number = i64::from(child);
    let nonblocking = [number, i64::from(libc::O_NONBLOCK), 0, 0, 0, 0];
    let fd = raw("pidfd_open", libc::SYS_pidfd_open, nonblocking)? as Fd;
    fails!(waitid(P_PIDFD, fd, WEXITED), EAGAIN);
    go.open()?;
    same!(poll_one(fd, libc::POLLIN, -1)? & libc::POLLIN, libc::POLLIN, "poll bits");
    same!(waitid(P_PIDFD, fd, WEXITED)?.pid, child, "the pid");
    Ok(())
}

///
fn pidfd_is_readable_for_a_zombie() -> Check {
    let go = Gate::new()?;
    let child = fork(|| i32::from(go.wait().is_err()))?;
    let fd = pidfd(child)?;
    same!(poll_one(fd, libc::POLLIN, 0)?, 0, "poll bits while it lives");
    go.open()?;
    same!(poll_one(fd, libc::POLLIN, -1)? & libc::POLLIN, libc::POLLIN, "poll bits of a zombie");
    wait(child)?;
    same!(poll_one(fd, libc::POLLIN, 0)? & libc::POLLIN, libc::POLLIN, "poll bits once reaped");
    Ok(())
}

///
fn exit_signal_zero_is_quiet_and_needs_wall() -> Check {
    signal::block(&[SIGCHLD])?;
    let child = clone_fork(0, || 6)?;
    fails!(wait(child), ECHILD);
    same!(wait_with(child, libc::__WALL)?, (child, 6 << 8), "with __WALL");
    same!(signal::pending(), vec![], "pending");
    Ok(())
}

///
fn child_of_a_dead_thread_stays_in_the_family() -> Check {
    let go = Gate::new()?;
    let forker = std::thread::spawn(move || fork(|| i32::from(go.wait().is_err())));
    let child = forker.join().map_err(|_| "the thread panicked")??;
    go.open()?;
    same!(wait(child)?, 0, "the status");
    Ok(())
}

fn become_subreaper() -> Check {
    // SAFETY: no memory is involved.
    small("prctl", unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    Ok(())
}

///
fn orphan_goes_to_the_subreaper() -> Check {
    become_subreaper()?;
    let me = getpid();
    let (orphaned, (reader, writer)) = (Gate::new()?, pipe()?);
    let parent = fork_check(|| {
        let orphan = fork_check(|| {
            orphaned.wait()?;
            // SAFETY: no memory is involved.
            same!(unsafe { libc::getppid() }, me, "the new parent");
            Ok(())
        })?;
        write(writer, &orphan.to_ne_bytes())?;
        Ok(())
    })?;
    wait_ok(parent)?;
    let bytes = read(reader, 4)?;
    let orphan = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    orphaned.open()?;
    wait_ok(orphan)
}

///
fn zombie_orphan_is_announced_to_the_subreaper() -> Check {
    become_subreaper()?;
    let parent = fork_check(|| {
        let zombie = fork(|| 5)?;
        waitid(P_PID, zombie, WEXITED | WNOWAIT)?;
        Ok(())
    })?;
    wait_ok(parent)?;
    same!(wait(-1)?, 5 << 8, "the zombie's status");
    fails!(wait(-1), ECHILD);
    Ok(())
}

/// A process that writes one byte when its parent-death signal comes.
fn mourner(writer: Fd, ready: Gate) -> Sys<Pid> {
    fork_check(move || {
        signal::tell(writer);
        handle(libc::SIGUSR1, 0)?;
        // SAFETY: no memory is involved.
        small("prctl", unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1) })?;
        ready.open()?;
        pause_for_ever()
    })
}

///
fn parent_death_signal_comes_with_the_parent() -> Check {
    become_subreaper()?;
    let ((reader, writer), ready) = (pipe()?, Gate::new()?);
    let parent = fork_check(|| {
        mourner(writer, ready)?;
        pause_for_ever()
    })?;
    ready.wait()?;
    same!(kill_and_wait(parent, SIGKILL)?, SIGKILL, "the parent's status");
    same!(read(reader, 1)?, [libc::SIGUSR1 as u8], "the signal");
    let orphan = waitid_any_alive()?;
    same!(orphan, 0, "nobody else has ended");
    Ok(())
}

/// 0 while children live and none has ended.
fn waitid_any_alive() -> Sys<Pid> {
    waitid(P_ALL, 0, WEXITED | WNOHANG).map(|info| info.pid)
}

/// the parent is the *thread* that forked.
fn parent_death_signal_comes_with_the_threads_end() -> Check {
    let ((reader, writer), ready) = (pipe()?, Gate::new()?);
    let forker = std::thread::spawn(move || {
        let child = mourner(writer, ready);
        let _ = ready.wait();
        child
    });
    let child = forker.join().map_err(|_| "the thread panicked")??;
    same!(read(reader, 1)?, [libc::SIGUSR1 as u8], "the signal");
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the child's status");
    Ok(())
}

///
fn pids_of_the_living_differ() -> Check {
    let mut living = vec![getpid()];
    for _ in 0..20 {
        let child = fork(|| pause_for_ever())?;
        ensure!(child > 0 && !living.contains(&child), "pid {child} is taken: {living:?}");
        living.push(child);
    }
    for child in living.into_iter().skip(1) {
        kill_and_wait(child, SIGKILL)?;
    }
    same!(gettid(), getpid(), "the first thread's number");
    Ok(())
}

///
fn exec_from_a_thread_takes_the_leaders_pid() -> Check {
    let child = fork(|| {
        std::thread::spawn(|| {
            let number = getpid().to_string();
            eprintln!("{}", exec_self("thread_became_leader", &[&number]));
            // SAFETY: ends the process.
            unsafe { libc::_exit(1) }
        });
        pause_for_ever()
    })?;
    same!(wait(child)?, 0, "the status");
    Ok(())
}

fn thread_became_leader() -> Check {
    let before = std::env::args().nth(3).unwrap_or_default();
    same!((getpid().to_string(), gettid()), (before, getpid()), "pid and tid after the exec");
    Ok(())
}

fn exec_succeeded() -> Check {
    Ok(())
}

/// the child writes before the parent goes on. CLONE_VFORK without CLONE_VM, so that the
/// child has a stack of its own.
fn vfork_parent_waits_for_the_exit() -> Check {
    let words = shared_words()?;
    let child = clone_fork(libc::CLONE_VFORK | SIGCHLD, || {
        for _ in 0..100 {
            std::thread::yield_now();
        }
        words[0].store(1, Ordering::SeqCst);
        0
    })?;
    same!(words[0].load(Ordering::SeqCst), 1, "the word that the child wrote");
    same!(wait(child)?, 0, "the status");
    Ok(())
}

///
fn vfork_parent_waits_for_the_exec() -> Check {
    let words = shared_words()?;
    let child = clone_fork(libc::CLONE_VFORK | SIGCHLD, || {
        words[0].store(1, Ordering::SeqCst);
        eprintln!("{}", exec_self("exec_succeeded", &[]));
        1
    })?;
    same!(words[0].load(Ordering::SeqCst), 1, "the word that the child wrote");
    same!(wait(child)?, 0, "the status");
    Ok(())
}

/// posix_spawn(3) is CLONE_VM | CLONE_VFORK on a stack of its own; its errors come back.
fn spawned_program_starts_in_its_parents_memory() -> Check {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = std::process::Command::new(program).args(["--then", "exec_succeeded"]).output();
    let output = run.map_err(|error| error.to_string())?;
    same!(output.status.code(), Some(0), "the status");
    same!(output.stdout, b"ok exec_succeeded\n", "what it said");
    let missing = std::process::Command::new("/nowhere/to/be/found").status();
    same!(missing.err().and_then(|it| it.raw_os_error()), Some(libc::ENOENT), "no such program");
    Ok(())
}

/// User and system time in microseconds.
fn cpu_time(who: i32) -> Sys<i64> {
    // SAFETY: all zero is a struct rusage, and it is valid for the call.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        small("getrusage", libc::getrusage(who, &mut usage))?;
        let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
        Ok(micros(usage.ru_utime) + micros(usage.ru_stime))
    }
}

///
fn reaping_adds_the_childs_time_and_auto_reaping_does_not() -> Check {
    const MUCH: i64 = 30_000;
    let busy = || {
        while cpu_time(libc::RUSAGE_SELF)? < MUCH {}
        Ok(())
    };
    let (reader, writer) = pipe()?;
    let child = fork_check(busy)?;
    close(writer)?;
    same!(read(reader, 1)?, b"", "the pipe ends with the child");
    same!(cpu_time(libc::RUSAGE_CHILDREN)?, 0, "the children's time before it is reaped");
    wait_ok(child)?;
    let reaped = cpu_time(libc::RUSAGE_CHILDREN)?;
    ensure!(reaped >= MUCH, "the children's time is {reaped} µs after it was reaped");
    signal::ignore(SIGCHLD)?;
    let child = fork_check(busy)?;
    // It returns when there is no child left.
    fails!(wait(child), ECHILD);
    same!(cpu_time(libc::RUSAGE_CHILDREN)?, reaped, "the children's time after an auto-reaped one");
    Ok(())
}
