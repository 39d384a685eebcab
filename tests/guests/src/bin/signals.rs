//! Sending signals: addressing, permission, what is dropped, queues, the choice of the thread, the
//! fatal short cut, the order of delivery. Rules S-1 … S-31 of docs/linux-semantics.md.

use guests::process::{
    Gate, fork, fork_check, getpid, gettid, kill, kill_and_wait, pause_for_ever, wait, wait_ok,
};
use guests::signal::{self, full_set, handle, handle_with, log, logged, logged_signals, tgkill};
use guests::sys::{pipe, raw, read, set_limit, small};
use guests::{Check, ensure, fails, same};
use libc::{EAGAIN, EINVAL, EPERM, ESRCH, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};
use std::sync::mpsc;

const SIGRT: i32 = 40;

guests::cases! {
    kill_zero_only_asks,
    bad_signal_numbers_are_refused_after_the_target_was_found,
    kill_int_min_finds_nobody,
    group_kill_reaches_every_member,
    empty_process_group_is_esrch,
    kill_of_a_thread_id_prefers_that_thread,
    tgkill_checks_its_arguments,
    tgkill_reaches_only_its_thread,
    queueinfo_cannot_forge_a_kill,
    sigqueue_carries_a_value,
    kill_says_who_sent_it,
    permission_needs_a_matching_user,
    kill_of_everybody_succeeds_when_all_refuse,
    zombie_accepts_signals_until_it_is_reaped,
    ignored_signal_is_dropped_unless_it_is_blocked,
    default_ignored_signal_is_kept_while_blocked,
    ignoring_discards_what_is_pending,
    setting_default_discards_what_default_ignores,
    fault_with_its_signal_blocked_kills,
    fault_with_its_signal_ignored_kills,
    sent_fault_signal_can_be_ignored,
    standard_signals_collapse_and_realtime_ones_queue,
    private_and_shared_instances_are_both_delivered,
    full_queue_refuses_values_and_keeps_kills,
    sticky_target_takes_every_signal_that_the_leader_blocks,
    fatal_signal_ends_every_thread,
    blocked_sigterm_then_sigkill_reports_nine,
    thread_that_unblocks_takes_the_shared_signal,
    pending_signals_are_delivered_in_the_measured_order,
    last_dequeued_handler_runs_first,
    lowest_fatal_signal_is_the_status,
    default_actions_are_linuxs,
    core_signals_without_a_core_have_no_core_bit,
}

/// S-1.
fn kill_zero_only_asks() -> Check {
    kill(getpid(), 0)?;
    let child = fork(|| pause_for_ever())?;
    kill(child, 0)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    fails!(kill(child, 0), ESRCH);
    Ok(())
}

/// S-1: a missing target gives ESRCH first.
fn bad_signal_numbers_are_refused_after_the_target_was_found() -> Check {
    fails!(kill(getpid(), 65), EINVAL);
    fails!(kill(getpid(), -1), EINVAL);
    let child = fork(|| 0)?;
    fails!(kill(child, 65), EINVAL);
    wait(child)?;
    fails!(kill(child, 65), ESRCH);
    Ok(())
}

/// S-2.
fn kill_int_min_finds_nobody() -> Check {
    fails!(kill(i32::MIN, SIGTERM), ESRCH);
    Ok(())
}

/// S-2, S-4.
fn group_kill_reaches_every_member() -> Check {
    let ready = Gate::new()?;
    let member = |group| {
        fork(move || {
            // SAFETY: no memory is involved.
            unsafe { libc::setpgid(0, group) };
            if ready.open().is_err() {
                return 1;
            }
            pause_for_ever()
        })
    };
    let first = member(0)?;
    ready.wait()?;
    let second = member(first)?;
    ready.wait()?;
    let outside = fork(|| pause_for_ever())?;
    kill(-first, SIGUSR1)?;
    same!(wait(first)?, SIGUSR1, "the first member's status");
    same!(wait(second)?, SIGUSR1, "the second member's status");
    kill(outside, 0)?;
    same!(kill_and_wait(outside, SIGKILL)?, SIGKILL, "the outsider's status");
    Ok(())
}

/// S-4.
fn empty_process_group_is_esrch() -> Check {
    let child = fork(|| 0)?;
    wait(child)?;
    fails!(kill(-child, SIGTERM), ESRCH);
    Ok(())
}

/// S-3: process-directed, but the named thread is the first candidate.
fn kill_of_a_thread_id_prefers_that_thread() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGUSR1, 0)?;
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = send.send(gettid());
        pause_for_ever()
    });
    let tid = receive.recv().map_err(|error| error.to_string())?;
    kill(tid, SIGUSR1)?;
    read(reader, 1)?;
    same!(logged()[0].tid, tid, "the thread that took the signal");
    same!(logged()[0].code, libc::SI_USER, "si_code");
    Ok(())
}

/// S-6.
fn tgkill_checks_its_arguments() -> Check {
    let me = getpid();
    fails!(tgkill(me, 0, 0), EINVAL);
    fails!(tgkill(0, me, 0), EINVAL);
    fails!(tgkill(-1, me, 0), EINVAL);
    let child = fork(|| 0)?;
    fails!(tgkill(me, child, 0), ESRCH);
    tgkill(child, child, 0)?;
    wait(child)?;
    fails!(tgkill(child, child, 0), ESRCH);
    fails!(raw("tkill", libc::SYS_tkill, [0; 6]), EINVAL);
    Ok(())
}

/// S-6: the private queue; si_code SI_TKILL.
fn tgkill_reaches_only_its_thread() -> Check {
    handle(SIGUSR1, 0)?;
    signal::block(&[SIGUSR1])?;
    let (send, receive) = mpsc::channel();
    let (resume, resumed) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _ = send.send(gettid());
        let _ = resumed.recv();
        signal::pending()
    });
    let tid = receive.recv().map_err(|error| error.to_string())?;
    tgkill(getpid(), tid, SIGUSR1)?;
    same!(signal::pending(), vec![], "what is pending for the leader");
    resume.send(()).map_err(|error| error.to_string())?;
    let pending = thread.join().map_err(|_| "the thread panicked")?;
    same!(pending, vec![SIGUSR1], "what is pending for the thread");
    tgkill(getpid(), gettid(), SIGUSR1)?;
    signal::unblock(&[SIGUSR1])?;
    same!((logged()[0].code, logged()[0].pid), (libc::SI_TKILL, getpid()), "si_code and si_pid");
    Ok(())
}

fn queue_info(pid: i32, number: i32, code: i32) -> guests::sys::Sys<i64> {
    let mut info = [0_i32; 32];
    info[2] = code; // si_code; si_signo is overwritten by the call's argument
    info[3] = 0;
    info[6] = 77; // si_value
    let at = info.as_mut_ptr() as i64;
    raw("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, [pid.into(), number.into(), at, 0, 0, 0])
}

/// S-7.
fn queueinfo_cannot_forge_a_kill() -> Check {
    let child = fork(|| {
        if signal::ignore(SIGUSR1).is_err() {
            return 1;
        }
        pause_for_ever()
    })?;
    fails!(queue_info(child, SIGUSR1, libc::SI_USER), EPERM);
    fails!(queue_info(child, SIGUSR1, libc::SI_TKILL), EPERM);
    fails!(queue_info(child, SIGUSR1, 0x80), EPERM);
    queue_info(child, 0, libc::SI_QUEUE)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    handle(SIGUSR2, 0)?;
    queue_info(getpid(), SIGUSR2, libc::SI_USER)?;
    same!(logged_signals(), vec![SIGUSR2], "oneself may be told anything; logged");
    Ok(())
}

/// S-7, S-47.
fn sigqueue_carries_a_value() -> Check {
    handle(SIGRT, 0)?;
    signal::queue(getpid(), SIGRT, 4711)?;
    let seen = logged();
    same!(seen.len(), 1, "deliveries");
    same!((seen[0].value, seen[0].code), (4711, libc::SI_QUEUE), "value and code");
    same!(seen[0].pid, getpid(), "si_pid");
    Ok(())
}

/// S-8.
fn kill_says_who_sent_it() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGUSR1, libc::SA_RESTART)?;
    let parent = getpid();
    let child = fork(move || i32::from(kill(parent, SIGUSR1).is_err()))?;
    read(reader, 1)?;
    same!((logged()[0].code, logged()[0].pid), (libc::SI_USER, child), "si_code and si_pid");
    same!(wait(child)?, 0, "the sender's status");
    Ok(())
}

/// S-9.
fn permission_needs_a_matching_user() -> Check {
    // SAFETY: no memory is involved.
    if unsafe { libc::geteuid() } != 0 {
        return of_another_user_is_refused();
    }
    let parent = getpid();
    let child = fork_check(move || {
        // SAFETY: no memory is involved.
        small("setuid", unsafe { libc::setuid(65534) })?;
        fails!(kill(parent, 0), EPERM);
        fails!(kill(parent, SIGTERM), EPERM);
        kill(getpid(), 0)?;
        // The same session: SIGCONT is allowed to anybody.
        kill(parent, libc::SIGCONT)?;
        Ok(())
    })?;
    wait_ok(child)
}

/// PID 1 is another user's almost everywhere; where it is ours (a container's), there is nobody to ask. A
/// session of our own, because PID 1's may be ours and SIGCONT is allowed within one.
fn of_another_user_is_refused() -> Check {
    let owner = std::fs::metadata("/proc/1").map(|one| std::os::unix::fs::MetadataExt::uid(&one));
    // SAFETY: no memory is involved.
    if owner.is_ok_and(|owner| owner == unsafe { libc::getuid() }) {
        return Ok(());
    }
    let child = fork_check(|| {
        // SAFETY: no memory is involved.
        small("setsid", unsafe { libc::setsid() })?;
        fails!(kill(1, 0), EPERM);
        fails!(kill(1, libc::SIGCONT), EPERM);
        Ok(())
    })?;
    wait_ok(child)
}

/// S-5. Needs root, to become a user who has no other process.
fn kill_of_everybody_succeeds_when_all_refuse() -> Check {
    // SAFETY: no memory is involved.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    let child = fork_check(|| {
        // The first may be no user where the numbers are mapped (user_namespaces(7)).
        // SAFETY: no memory is involved.
        let gone = unsafe { libc::setuid(1_987_654_321) == 0 || libc::setuid(65534) == 0 };
        ensure!(gone, "no other user to become");
        // The parent, at least, is root's.
        kill(-1, 0)?;
        Ok(())
    })?;
    wait_ok(child)
}

/// S-10.
fn zombie_accepts_signals_until_it_is_reaped() -> Check {
    let child = fork(|| 7)?;
    // SAFETY: a valid struct; WNOWAIT leaves the zombie.
    small("waitid", unsafe {
        let mut info = std::mem::zeroed();
        libc::waitid(libc::P_PID, child as u32, &mut info, libc::WEXITED | libc::WNOWAIT)
    })?;
    kill(child, 0)?;
    kill(child, SIGKILL)?;
    same!(wait(child)?, 7 << 8, "the status");
    fails!(kill(child, 0), ESRCH);
    Ok(())
}

/// S-12.
fn ignored_signal_is_dropped_unless_it_is_blocked() -> Check {
    signal::ignore(SIGUSR1)?;
    kill(getpid(), SIGUSR1)?;
    signal::block(&[SIGUSR1])?;
    same!(signal::pending(), vec![], "pending after the unblocked one");
    kill(getpid(), SIGUSR1)?;
    same!(signal::pending(), vec![SIGUSR1], "pending after the blocked one");
    handle(SIGUSR1, 0)?;
    signal::unblock(&[SIGUSR1])?;
    same!(logged_signals(), vec![SIGUSR1], "the handler that was installed meanwhile ran");
    Ok(())
}

/// S-12, S-45.
fn default_ignored_signal_is_kept_while_blocked() -> Check {
    signal::block(&[libc::SIGWINCH])?;
    kill(getpid(), libc::SIGWINCH)?;
    same!(signal::pending(), vec![libc::SIGWINCH], "pending");
    signal::unblock(&[libc::SIGWINCH])?;
    same!(signal::pending(), vec![], "pending after it was unblocked");
    Ok(())
}

/// S-17.
fn ignoring_discards_what_is_pending() -> Check {
    signal::block(&[SIGUSR1, SIGUSR2])?;
    kill(getpid(), SIGUSR1)?;
    tgkill(getpid(), gettid(), SIGUSR1)?;
    kill(getpid(), SIGUSR2)?;
    signal::ignore(SIGUSR1)?;
    same!(signal::pending(), vec![SIGUSR2], "pending");
    Ok(())
}

/// S-17: SIG_DFL discards only what the default ignores.
fn setting_default_discards_what_default_ignores() -> Check {
    signal::block(&[SIGUSR1, libc::SIGURG])?;
    handle(libc::SIGURG, 0)?;
    handle(SIGUSR1, 0)?;
    kill(getpid(), libc::SIGURG)?;
    kill(getpid(), SIGUSR1)?;
    signal::default(libc::SIGURG)?;
    signal::default(SIGUSR1)?;
    same!(signal::pending(), vec![SIGUSR1], "pending");
    Ok(())
}

fn fault() -> i32 {
    // SAFETY: it is not: address 8 is unmapped, and that is what is wanted.
    unsafe { std::ptr::read_volatile(std::ptr::without_provenance::<i32>(8)) }
}

fn no_core() -> Check {
    Ok(set_limit(libc::RLIMIT_CORE, 0)?)
}

/// S-16.
fn fault_with_its_signal_blocked_kills() -> Check {
    no_core()?;
    let child = fork_check(|| {
        handle(libc::SIGSEGV, 0)?;
        signal::block(&[libc::SIGSEGV])?;
        fault();
        Ok(())
    })?;
    same!(wait(child)?, libc::SIGSEGV, "the status");
    Ok(())
}

/// S-16.
fn fault_with_its_signal_ignored_kills() -> Check {
    no_core()?;
    let child = fork_check(|| {
        signal::ignore(libc::SIGSEGV)?;
        fault();
        Ok(())
    })?;
    same!(wait(child)?, libc::SIGSEGV, "the status");
    Ok(())
}

/// S-16.
fn sent_fault_signal_can_be_ignored() -> Check {
    signal::ignore(libc::SIGSEGV)?;
    kill(getpid(), libc::SIGSEGV)?;
    Ok(())
}

/// S-18, S-19.
fn standard_signals_collapse_and_realtime_ones_queue() -> Check {
    for number in [SIGUSR1, SIGRT] {
        handle(number, 0)?;
    }
    signal::block(&[SIGUSR1, SIGRT])?;
    for value in 1..=3 {
        signal::queue(getpid(), SIGUSR1, value)?;
        signal::queue(getpid(), SIGRT, value)?;
    }
    signal::unblock(&[SIGUSR1])?;
    same!(logged_signals(), vec![SIGUSR1], "the standard signal");
    same!(logged()[0].value, 1, "the first siginfo wins; value");
    // One frame on top of the other: keep them apart by masking SIGRT in its own handler.
    signal::unblock(&[SIGRT])?;
    let values: Vec<i32> = logged().iter().skip(1).map(|delivery| delivery.value).collect();
    same!(values, vec![1, 2, 3], "the real-time signal's values");
    Ok(())
}

/// S-18.
fn private_and_shared_instances_are_both_delivered() -> Check {
    handle(SIGUSR1, 0)?;
    signal::block(&[SIGUSR1])?;
    kill(getpid(), SIGUSR1)?;
    tgkill(getpid(), gettid(), SIGUSR1)?;
    kill(getpid(), SIGUSR1)?;
    signal::unblock(&[SIGUSR1])?;
    let codes: Vec<i32> = logged().iter().map(|delivery| delivery.code).collect();
    same!(codes, vec![libc::SI_TKILL, libc::SI_USER], "private first, then shared; si_code");
    Ok(())
}

/// S-19. Other processes of the user count too, so the limit may be reached early.
fn full_queue_refuses_values_and_keeps_kills() -> Check {
    set_limit(libc::RLIMIT_SIGPENDING, 3)?;
    handle(SIGRT, 0)?;
    signal::block(&[SIGRT, SIGUSR1])?;
    let mut queued = 0;
    let refused = loop {
        match signal::queue(getpid(), SIGRT, 1) {
            Ok(()) => queued += 1,
            Err(failed) => break failed,
        }
        ensure!(queued <= 3, "{queued} signals were queued over a limit of 3");
    };
    same!(refused.errno, EAGAIN, "the refusal");
    kill(getpid(), SIGRT)?;
    signal::queue(getpid(), SIGUSR1, 1)?;
    same!(signal::pending(), vec![SIGUSR1, SIGRT], "pending");
    Ok(())
}

/// S-20: curr_target stays where it is.
fn sticky_target_takes_every_signal_that_the_leader_blocks() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGUSR1, libc::SA_NODEFER)?;
    let (send, receive) = mpsc::channel();
    for _ in 0..3 {
        let send = send.clone();
        std::thread::spawn(move || {
            let _ = send.send(());
            pause_for_ever()
        });
    }
    signal::block(&[SIGUSR1])?;
    for _ in 0..3 {
        receive.recv().map_err(|error| error.to_string())?;
    }
    for _ in 0..5 {
        kill(getpid(), SIGUSR1)?;
        read(reader, 1)?;
    }
    let takers: Vec<i32> = logged().iter().map(|delivery| delivery.tid).collect();
    same!(takers, vec![takers[0]; 5], "the threads that took the five signals");
    ensure!(takers[0] != gettid(), "the leader blocks it and yet took it");
    Ok(())
}

/// S-23.
fn fatal_signal_ends_every_thread() -> Check {
    let ready = Gate::new()?;
    let child = fork(|| {
        for _ in 0..3 {
            std::thread::spawn(move || {
                let _ = ready.open();
                pause_for_ever()
            });
        }
        pause_for_ever()
    })?;
    for _ in 0..3 {
        ready.wait()?;
    }
    same!(kill_and_wait(child, SIGTERM)?, SIGTERM, "the status");
    Ok(())
}

/// S-27.
fn blocked_sigterm_then_sigkill_reports_nine() -> Check {
    let ready = Gate::new()?;
    let child = fork(|| {
        if signal::block(&[SIGTERM]).and_then(|()| ready.open()).is_err() {
            return 1;
        }
        pause_for_ever()
    })?;
    ready.wait()?;
    kill(child, SIGTERM)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    Ok(())
}

/// S-20, S-28.
fn thread_that_unblocks_takes_the_shared_signal() -> Check {
    handle(SIGUSR1, 0)?;
    signal::block(&[SIGUSR1])?;
    kill(getpid(), SIGUSR1)?;
    let thread = std::thread::spawn(|| {
        let _ = signal::unblock(&[SIGUSR1]);
        gettid()
    });
    let tid = thread.join().map_err(|_| "the thread panicked")?;
    same!(logged().len(), 1, "deliveries");
    same!(logged()[0].tid, tid, "the thread that took it");
    Ok(())
}

/// S-29.
fn pending_signals_are_delivered_in_the_measured_order() -> Check {
    let shared = [1, 5, 10, 11, 12, 15, 34, 35, 40, 40, 40, 40];
    let private = [12, 15];
    for number in shared {
        handle_with(number, log, 0, full_set())?;
    }
    signal::block_all()?;
    for number in shared.into_iter().rev() {
        kill(getpid(), number)?;
    }
    for number in private {
        tgkill(getpid(), gettid(), number)?;
    }
    signal::unblock(&shared)?;
    let order: Vec<(i32, bool)> =
        logged().iter().map(|it| (it.signal, it.code == libc::SI_TKILL)).collect();
    let mut expected = vec![(12, true), (15, true)];
    expected.extend([5, 11, 1, 10, 12, 15, 34, 35, 40, 40, 40, 40].map(|number| (number, false)));
    same!(order, expected, "(signal, private?) in the order of delivery");
    Ok(())
}

/// S-30.
fn last_dequeued_handler_runs_first() -> Check {
    let numbers = [1, 10, 15];
    for number in numbers {
        handle(number, 0)?;
    }
    signal::block(&numbers)?;
    for number in numbers {
        kill(getpid(), number)?;
    }
    signal::unblock(&numbers)?;
    same!(logged_signals(), vec![15, 10, 1], "the order of execution");
    Ok(())
}

/// S-31.
fn lowest_fatal_signal_is_the_status() -> Check {
    let child = fork_check(|| {
        let numbers = [SIGTERM, SIGINT, libc::SIGHUP];
        signal::block(&numbers)?;
        for number in numbers {
            kill(getpid(), number)?;
        }
        signal::unblock(&numbers)?;
        Ok(())
    })?;
    same!(wait(child)?, libc::SIGHUP, "the status");
    Ok(())
}

/// S-45, for every signal; 32 and 33 belong to the C library.
fn default_actions_are_linuxs() -> Check {
    no_core()?;
    for number in (1..=64).filter(|number| ![32, 33].contains(number)) {
        let child = fork(move || {
            let _ = kill(getpid(), number);
            0
        })?;
        let (_, status) = guests::process::wait_with(child, libc::WUNTRACED)?;
        let expected = match number {
            libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH => 0,
            // TSTP, TTIN and TTOU may find an orphaned process group, which ignores them (S-42).
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU if status == 0 => 0,
            SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => number << 8 | 0x7f,
            _ => number,
        };
        same!(status, expected, "the status after signal {number}");
        if status & 0xff == 0x7f {
            kill_and_wait(child, SIGKILL)?;
        }
    }
    Ok(())
}

/// S-44.
fn core_signals_without_a_core_have_no_core_bit() -> Check {
    no_core()?;
    for number in [libc::SIGQUIT, libc::SIGABRT, libc::SIGSEGV, libc::SIGXCPU] {
        let child = fork(|| pause_for_ever())?;
        same!(kill_and_wait(child, number)?, number, "the status");
    }
    Ok(())
}
