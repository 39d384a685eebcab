//! What reaches a process that dies already, or that cannot be killed, and who runs before its files
//! are closed. Rules S-11, S-15, X-11 of docs/linux-semantics.md.

use guests::process::{clone_fork, fork, fork_check, getpid, kill, pause_for_ever, wait, wait_ok};
use guests::signal::{queue, tgkill};
use guests::sys::{close, pipe, poll_one, read, write};
use guests::{Check, ensure, same};
use libc::{EPERM, POLLHUP, POLLIN, SIGCHLD, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1};

guests::cases! {
    who_dies_takes_no_more_signals_and_nobody_is_told,
    the_init_of_the_host_cannot_be_killed_or_stopped,
    a_vfork_parent_may_run_before_the_childs_files_are_closed,
}

/// S-11: until it is a zombie, and then until it is reaped.
fn who_dies_takes_no_more_signals_and_nobody_is_told() -> Check {
    for _ in 0..20 {
        let child = fork(|| pause_for_ever())?;
        kill(child, SIGKILL)?;
        kill(child, SIGTERM)?;
        kill(child, SIGSTOP)?;
        tgkill(child, child, SIGUSR1)?;
        queue(child, libc::SIGRTMIN(), 1)?;
        same!(wait(child)?, SIGKILL, "what it died of");
    }
    Ok(())
}

/// S-15, and of a container's init S-13: who may signal it is told of success.
fn the_init_of_the_host_cannot_be_killed_or_stopped() -> Check {
    if getpid() == 1 {
        return Ok(());
    }
    for signal in [SIGKILL, SIGSTOP] {
        let sent = kill(1, signal).map_err(|failed| failed.errno);
        ensure!(matches!(sent, Ok(()) | Err(EPERM)), "signal {signal}: {sent:?}");
    }
    let stat = std::fs::read_to_string("/proc/1/stat").map_err(|error| error.to_string())?;
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    ensure!(matches!(state, Some('S' | 'R' | 'D')), "init is in state {state:?}");
    Ok(())
}

/// the parent goes on when the memory is given back; the files follow. The child has a copy of
/// the memory, so that our stack is safe.
fn a_vfork_parent_may_run_before_the_childs_files_are_closed() -> Check {
    let (reader, writer) = pipe()?;
    let child = fork_check(|| {
        let (theirs, ours) = pipe()?;
        let vforked = clone_fork(libc::CLONE_VFORK | SIGCHLD, || 3)?;
        // It holds copies of both ends until its table is closed; sooner or later it is.
        close(ours)?;
        same!(poll_one(theirs, POLLIN, -1)?, POLLHUP, "the pipe without its writers");
        same!(wait(vforked)?, 3 << 8, "the child's end");
        write(writer, b"!")?;
        Ok(())
    })?;
    same!(read(reader, 1)?, b"!", "the parent's word");
    wait_ok(child)
}
