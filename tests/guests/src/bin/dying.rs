//! What reaches a process that dies already, or that cannot be killed, or is only stopped, and who runs
//! before its files are closed. Rules S-11, S-15, X-11, P-14 of docs/linux-semantics.md.

use guests::net::{accept, dial, listener, so_error, tcp_state, until_acknowledged};
use guests::process::{
    clone_fork, fork, fork_check, getpid, kill, kill_and_wait, pause_for_ever, wait, wait_ok,
    wait_with,
};
use guests::signal::{queue, tgkill};
use guests::sys::{close, pipe, poll_bits, poll_one, read, write};
use guests::{Check, ensure, same};
use libc::{ECONNRESET, EPERM, POLLHUP, POLLIN, POLLOUT, SIGCHLD, SIGKILL, SIGSTOP, SIGTERM};
use libc::{SIGUSR1, WUNTRACED};

guests::cases! {
    who_dies_takes_no_more_signals_and_nobody_is_told,
    the_init_of_the_host_cannot_be_killed_or_stopped,
    a_vfork_parent_may_run_before_the_childs_files_are_closed,
    a_stopped_process_is_none_of_the_deaths,
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

/// P-14: the kernel of a stopped process goes on. It acknowledges, and completes handshakes; whoever
/// waits for more than that learns of it only when the process is killed.
fn a_stopped_process_is_none_of_the_deaths() -> Check {
    let (listener, port) = listener(4)?;
    let peer = dial(port)?;
    let served = accept(listener)?;
    let child = fork(|| pause_for_ever())?;
    close(served)?;
    close(listener)?;
    kill(child, SIGSTOP)?;
    same!(wait_with(child, WUNTRACED)?.1, SIGSTOP << 8 | 0x7f, "the child");
    same!(write(peer, b"hello")?, 5, "a write");
    until_acknowledged(peer)?;
    same!(poll_bits(peer)?, POLLOUT, "nothing is heard");
    let late = dial(port)?;
    same!(tcp_state(late)?, 1, "who came later");
    same!(write(late, b"hello")?, 5, "a write of his");
    until_acknowledged(late)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the child");
    for (end, who) in [(peer, "who was served"), (late, "who came later")] {
        same!(so_error(end)?, ECONNRESET, "{who}");
    }
    Ok(())
}
