//! Stop and continue, and what signals fork and exec keep. Rules S-34, S-39 … S-43, X-21 and X-28 of
//! docs/linux-semantics.md.

use guests::process::{
    Gate, Pid, exec_self, fork, fork_check, getpid, kill, kill_and_wait, pause_for_ever,
    until_asleep, wait, wait_ok, wait_with,
};
use guests::signal::{self, alarm_every, handle, logged};
use guests::sys::{epoll, epoll_ctl, epoll_wait, monotonic, pipe, poll_one, read, small, write};
use guests::{Check, ensure, fails, same};
use libc::{EINTR, SIGCHLD, SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN};
use libc::{SIGUSR1, SIGUSR2, WCONTINUED, WNOHANG, WUNTRACED};

guests::cases! {
    stop_and_continue_are_reported_once,
    stop_tells_the_parent_unless_it_said_no,
    sigkill_ends_a_stopped_process,
    sigterm_waits_until_the_process_continues,
    sigcont_continues_even_if_ignored,
    stop_and_cont_cancel_each_other_while_blocked,
    nanosleep_goes_on_after_stop_and_cont,
    poll_goes_on_after_stop_and_cont,
    epoll_wait_is_interrupted_by_stop_and_cont,
    orphaned_stopped_group_gets_hup_and_cont,
    orphaned_group_ignores_the_terminals_stop,
    fork_empties_pending_and_keeps_mask_and_handlers,
    fork_does_not_inherit_timers,
    exec_resets_handlers_and_keeps_ignored_mask_and_pending;
    then after_exec,
}

const STOPPED: i32 = 0x7f;
const CONTINUED: i32 = 0xffff;

fn sleeper() -> Result<Pid, String> {
    let ready = Gate::new()?;
    let child = fork(|| {
        if ready.open().is_err() {
            return 1;
        }
        pause_for_ever()
    })?;
    ready.wait()?;
    Ok(child)
}

/// X-21, S-43.
fn stop_and_continue_are_reported_once() -> Check {
    let child = sleeper()?;
    same!(wait_with(child, WNOHANG | WUNTRACED | WCONTINUED)?, (0, 0), "before anything");
    kill(child, SIGSTOP)?;
    let stopped = (child, SIGSTOP << 8 | STOPPED);
    same!(wait_with(child, WUNTRACED)?, stopped, "after the stop");
    same!(wait_with(child, WNOHANG | WUNTRACED)?, (0, 0), "asked again");
    kill(child, SIGCONT)?;
    same!(wait_with(child, WCONTINUED)?, (child, CONTINUED), "after it continued");
    same!(wait_with(child, WNOHANG | WCONTINUED)?, (0, 0), "asked again");
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the end");
    Ok(())
}

/// S-43.
fn stop_tells_the_parent_unless_it_said_no() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGCHLD, libc::SA_RESTART)?;
    let child = sleeper()?;
    kill(child, SIGSTOP)?;
    read(reader, 1)?;
    same!((logged()[0].code, logged()[0].pid), (libc::CLD_STOPPED, child), "si_code, si_pid");
    kill(child, SIGCONT)?;
    read(reader, 1)?;
    same!(logged()[1].code, libc::CLD_CONTINUED, "si_code");
    handle(SIGCHLD, libc::SA_RESTART | libc::SA_NOCLDSTOP)?;
    kill(child, SIGSTOP)?;
    same!(wait_with(child, WUNTRACED)?.0, child, "the stopped child");
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the end");
    read(reader, 1)?;
    let codes: Vec<i32> = logged().iter().skip(2).map(|it| it.code).collect();
    same!(codes, vec![libc::CLD_KILLED], "what was told after SA_NOCLDSTOP");
    Ok(())
}

/// S-26, S-41.
fn sigkill_ends_a_stopped_process() -> Check {
    let child = sleeper()?;
    kill(child, SIGSTOP)?;
    wait_with(child, WUNTRACED)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    Ok(())
}

/// S-25, S-41.
fn sigterm_waits_until_the_process_continues() -> Check {
    let child = sleeper()?;
    kill(child, SIGSTOP)?;
    wait_with(child, WUNTRACED)?;
    kill(child, SIGTERM)?;
    same!(wait_with(child, WNOHANG)?, (0, 0), "while it is stopped");
    same!(kill_and_wait(child, SIGCONT)?, SIGTERM, "the status");
    Ok(())
}

/// S-41.
fn sigcont_continues_even_if_ignored() -> Check {
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let child = fork_check(|| {
        signal::ignore(SIGCONT)?;
        signal::block(&[SIGCONT])?;
        ready.open()?;
        Ok(go.wait()?)
    })?;
    ready.wait()?;
    kill(child, SIGSTOP)?;
    wait_with(child, WUNTRACED)?;
    kill(child, SIGCONT)?;
    same!(wait_with(child, WCONTINUED)?, (child, CONTINUED), "after SIGCONT");
    go.open()?;
    wait_ok(child)
}

/// S-41.
fn stop_and_cont_cancel_each_other_while_blocked() -> Check {
    signal::block(&[SIGTSTP, SIGTTIN, SIGCONT])?;
    kill(getpid(), SIGTSTP)?;
    same!(signal::pending(), vec![SIGTSTP], "after SIGTSTP");
    kill(getpid(), SIGCONT)?;
    same!(signal::pending(), vec![SIGCONT], "after SIGCONT");
    kill(getpid(), SIGTTIN)?;
    same!(signal::pending(), vec![SIGTTIN], "after SIGTTIN");
    Ok(())
}

/// Stops and continues a child once it sleeps in the call under test.
fn interrupt(child: Pid) -> Check {
    until_asleep(child, child)?;
    kill(child, SIGSTOP)?;
    same!(wait_with(child, WUNTRACED)?.0, child, "the stopped child");
    Ok(kill(child, SIGCONT)?)
}

/// S-34: the rest is slept, from the original deadline.
fn nanosleep_goes_on_after_stop_and_cont() -> Check {
    let ready = Gate::new()?;
    let child = fork_check(|| {
        let time = libc::timespec { tv_sec: 0, tv_nsec: 300_000_000 };
        ready.open()?;
        let since = monotonic();
        // SAFETY: valid structs.
        small("nanosleep", unsafe { libc::nanosleep(&time, std::ptr::null_mut()) })?;
        ensure!(monotonic() - since >= 300_000_000, "it slept too short");
        Ok(())
    })?;
    ready.wait()?;
    interrupt(child)?;
    wait_ok(child)
}

/// S-34.
fn poll_goes_on_after_stop_and_cont() -> Check {
    let (reader, writer) = pipe()?;
    let ready = Gate::new()?;
    let child = fork_check(|| {
        ready.open()?;
        same!(poll_one(reader, libc::POLLIN, -1)?, libc::POLLIN, "poll bits");
        Ok(())
    })?;
    ready.wait()?;
    interrupt(child)?;
    same!(wait_with(child, WCONTINUED)?, (child, CONTINUED), "after SIGCONT");
    until_asleep(child, child)?;
    write(writer, b"x")?;
    wait_ok(child)
}

/// S-34: it returns plain EINTR, although no handler ran.
fn epoll_wait_is_interrupted_by_stop_and_cont() -> Check {
    let (reader, _writer) = pipe()?;
    let ready = Gate::new()?;
    let child = fork_check(|| {
        let epoll = epoll()?;
        epoll_ctl(epoll, libc::EPOLL_CTL_ADD, reader, libc::EPOLLIN as u32, 0)?;
        ready.open()?;
        fails!(epoll_wait(epoll, 1, -1), EINTR);
        Ok(())
    })?;
    ready.wait()?;
    interrupt(child)?;
    wait_ok(child)
}

///
fn orphaned_stopped_group_gets_hup_and_cont() -> Check {
    let (reader, writer) = pipe()?;
    let parent = fork_check(|| {
        // SAFETY: no memory is involved.
        small("setsid", unsafe { libc::setsid() })?;
        let ready = Gate::new()?;
        let job = fork_check(|| {
            // SAFETY: no memory is involved.
            small("setpgid", unsafe { libc::setpgid(0, 0) })?;
            signal::tell(writer);
            handle(SIGHUP, 0)?;
            handle(SIGCONT, 0)?;
            ready.open()?;
            pause_for_ever()
        })?;
        ready.wait()?;
        kill(job, SIGSTOP)?;
        same!(wait_with(job, WUNTRACED)?.0, job, "the stopped job");
        write(writer, &job.to_ne_bytes())?;
        Ok(())
    })?;
    wait_ok(parent)?;
    let number = read(reader, 4)?;
    let job = i32::from_ne_bytes([number[0], number[1], number[2], number[3]]);
    let mut told = vec![read(reader, 1)?[0], read(reader, 1)?[0]];
    told.sort_unstable();
    same!(told, vec![SIGHUP as u8, SIGCONT as u8], "the signals that the job got");
    Ok(kill(job, SIGKILL)?)
}

/// S-42.
fn orphaned_group_ignores_the_terminals_stop() -> Check {
    let child = fork_check(|| {
        // SAFETY: no memory is involved. A new session's group is orphaned.
        small("setsid", unsafe { libc::setsid() })?;
        for number in [SIGTSTP, SIGTTIN, libc::SIGTTOU] {
            kill(getpid(), number)?;
        }
        Ok(())
    })?;
    same!(wait_with(child, WUNTRACED)?, (child, 0), "pid and status");
    Ok(())
}

/// S-39.
fn fork_empties_pending_and_keeps_mask_and_handlers() -> Check {
    signal::block(&[SIGUSR1])?;
    signal::ignore(SIGUSR2)?;
    handle(SIGTERM, 0)?;
    kill(getpid(), SIGUSR1)?;
    let child = fork_check(|| {
        same!(signal::pending(), vec![], "pending in the child");
        same!(signal::mask(), vec![SIGUSR1], "the mask in the child");
        same!(signal::disposition(SIGUSR2)?, libc::SIG_IGN, "SIGUSR2 in the child");
        kill(getpid(), SIGTERM)?;
        same!(logged().len(), 1, "deliveries in the child");
        Ok(())
    })?;
    wait_ok(child)?;
    same!(signal::pending(), vec![SIGUSR1], "pending in the parent");
    Ok(())
}

/// S-39.
fn fork_does_not_inherit_timers() -> Check {
    handle(libc::SIGALRM, libc::SA_RESTART)?;
    alarm_every(100_000_000)?;
    let child = fork_check(|| {
        // SAFETY: valid structs.
        let left = unsafe {
            let mut value: libc::itimerval = std::mem::zeroed();
            libc::getitimer(libc::ITIMER_REAL, &mut value);
            value.it_value.tv_sec + value.it_value.tv_usec + libc::alarm(0) as i64
        };
        same!(left, 0, "what is left of the timer in the child");
        Ok(())
    })?;
    wait_ok(child)?;
    // SAFETY: no memory is involved.
    let left = unsafe { libc::alarm(0) };
    ensure!((99..=101).contains(&left), "{left} s are left in the parent");
    Ok(())
}

/// S-40.
fn exec_resets_handlers_and_keeps_ignored_mask_and_pending() -> Check {
    let child = fork_check(|| {
        handle(SIGTERM, 0)?;
        signal::ignore(SIGUSR2)?;
        signal::block(&[SIGUSR1])?;
        kill(getpid(), SIGUSR1)?;
        Err(exec_self("after_exec", &[]))
    })?;
    same!(wait(child)?, 0, "the status");
    Ok(())
}

fn after_exec() -> Check {
    same!(signal::disposition(SIGTERM)?, libc::SIG_DFL, "the handled one");
    same!(signal::disposition(SIGUSR2)?, libc::SIG_IGN, "the ignored one");
    same!(signal::mask(), vec![SIGUSR1], "the mask");
    same!(signal::pending(), vec![SIGUSR1], "what is pending");
    Ok(())
}
