//! The way of a death, where one step must come before another or a choice must fall on the right
//! thread: what the other programs' subjects leave between them. Rules S-21, S-22, S-24, T-6, X-7.

use guests::net::{connect, dial, listener, loopback, socket, tcp_state};
use guests::process::{Gate, fork, getpid, gettid, kill, kill_and_wait, pause_for_ever, wait};
use guests::signal::{self, handle, logged};
use guests::sys::{
    Fd, close, epoll, epoll_ctl, epoll_wait, fcntl, pipe, poll_bits, raw, read, set_limit,
};
use guests::{Check, ensure, same};
use libc::{EPOLLIN, SIGKILL, SIGQUIT, SIGUSR1};
use std::sync::mpsc;

guests::cases! {
    descriptors_are_released_before_the_parent_is_told,
    connection_in_syn_sent_ends_without_a_word,
    exited_leader_is_not_chosen,
    target_moves_on_when_its_thread_exits,
    core_signal_goes_to_a_thread_that_wants_it,
}

const SYN_SENT: u8 = 2;

/// step 15 before step 17, as the order in which an epoll set became ready tells.
fn descriptors_are_released_before_the_parent_is_told() -> Check {
    for _ in 0..10 {
        let (reader, writer) = pipe()?;
        let child = fork(|| pause_for_ever())?;
        close(writer)?;
        let pidfd = raw("pidfd_open", libc::SYS_pidfd_open, [child.into(), 0, 0, 0, 0, 0])? as Fd;
        let set = epoll()?;
        // Added in the other order, so that the order of adding cannot be what is seen.
        epoll_ctl(set, libc::EPOLL_CTL_ADD, pidfd, EPOLLIN as u32, 17)?;
        epoll_ctl(set, libc::EPOLL_CTL_ADD, reader, EPOLLIN as u32, 15)?;
        same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
        let order: Vec<u64> = epoll_wait(set, 8, 0)?.iter().map(|(_, step)| *step).collect();
        same!(order, vec![15, 17], "the steps, in the order in which they were seen");
        for fd in [reader, pidfd, set] {
            close(fd)?;
        }
    }
    Ok(())
}

/// T-6, T-36: the listener's queue is full, so the SYN is not answered; the caller dies, and the
/// listener never hears of it.
fn connection_in_syn_sent_ends_without_a_word() -> Check {
    let (listening, port) = listener(0)?;
    let _waiting = dial(port)?;
    same!(poll_bits(listening)?, libc::POLLIN, "poll bits of the listener");
    let caller = socket(libc::AF_INET, libc::SOCK_STREAM)?;
    fcntl(caller, libc::F_SETFL, libc::O_NONBLOCK)?;
    guests::fails!(connect(caller, &loopback(port)), libc::EINPROGRESS);
    same!(tcp_state(caller)?, SYN_SENT, "the state of the third connection");
    let child = fork(|| pause_for_ever())?;
    close(caller)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    let accepted = guests::net::accept(listening)?;
    same!(poll_bits(accepted)?, libc::POLLOUT, "poll bits of the connection that was there");
    same!(poll_bits(listening)?, 0, "poll bits of the listener: nobody else came");
    Ok(())
}

/// S-21: a thread that exits takes no signals; another one does.
fn exited_leader_is_not_chosen() -> Check {
    let (reader, writer) = pipe()?;
    let ready = Gate::new()?;
    let child = fork(|| {
        signal::tell(writer);
        if handle(SIGUSR1, 0).is_err() {
            return 1;
        }
        std::thread::spawn(move || {
            let _ = ready.open();
            pause_for_ever()
        });
        // SAFETY: the leader ends here; nothing of its stack is used by the other thread.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        0
    })?;
    ready.wait()?;
    kill(child, SIGUSR1)?;
    // The handler of the thread that took it writes a byte.
    same!(read(reader, 1)?.len(), 1, "bytes from the handler");
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    Ok(())
}

/// S-22: the leader blocks the signal, so it goes to the current target until that thread ends.
fn target_moves_on_when_its_thread_exits() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGUSR1, libc::SA_NODEFER)?;
    let (send, receive) = mpsc::channel();
    let mut ends = Vec::new();
    for _ in 0..3 {
        let (tell, told) = pipe()?;
        let send = send.clone();
        let thread = std::thread::spawn(move || {
            let _ = send.send(gettid());
            // Interrupted by the handler, it waits again.
            while read(tell, 1).is_err() {}
        });
        let tid = receive.recv().map_err(|error| error.to_string())?;
        ends.push((tid, told, Some(thread)));
    }
    signal::block(&[SIGUSR1])?;
    let mut takers = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            kill(getpid(), SIGUSR1)?;
            read(reader, 1)?;
        }
        let deliveries = logged();
        let [.., before, last] = deliveries.as_slice() else { return Err("no delivery".into()) };
        same!(last.tid, before.tid, "the thread that takes the second of two");
        ensure!(!takers.contains(&last.tid), "a thread took a signal after its end");
        takers.push(last.tid);
        let taker = ends.iter_mut().find(|(tid, ..)| *tid == last.tid);
        let Some((_, told, thread)) = taker else { return Err("a stranger took it".into()) };
        guests::sys::write(*told, b"x")?;
        if let Some(thread) = thread.take() {
            thread.join().map_err(|_| "a thread panicked")?;
        }
    }
    same!(takers.len(), 3, "threads that took signals in turn");
    Ok(())
}

/// S-24: the leader blocks it; the other thread takes it, and all end.
fn core_signal_goes_to_a_thread_that_wants_it() -> Check {
    set_limit(libc::RLIMIT_CORE, 0)?;
    let ready = Gate::new()?;
    let child = fork(|| {
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = send.send(());
            pause_for_ever()
        });
        let blocked = receive.recv().is_ok() && signal::block(&[SIGQUIT]).is_ok();
        if !blocked || ready.open().is_err() {
            return 1;
        }
        pause_for_ever()
    })?;
    ready.wait()?;
    kill(child, SIGQUIT)?;
    same!(wait(child)?, SIGQUIT, "the status");
    Ok(())
}
