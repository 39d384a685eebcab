//! System V message queues: msgget, msgsnd, msgrcv, msgctl. See sysvipc(7), msgop(2), msgctl(2).
//! Queues outlive their process: each is removed by a guard.

use guests::process::{Pid, fork_check, getpid, kill, kill_and_wait, wait, wait_ok};
use guests::signal::{self, handle};
use guests::sys::{Sys, raw, small};
use guests::{Check, ensure, fails, same};
use libc::{
    E2BIG, EACCES, EAGAIN, EEXIST, EFAULT, EIDRM, EINTR, EINVAL, ENOENT, ENOMSG, EPERM, IPC_CREAT,
    IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT, MSG_COPY, MSG_EXCEPT,
    MSG_NOERROR, SIGCONT, SIGKILL, SIGSTOP, SIGUSR1,
};

guests::cases! {
    messages_come_out_in_their_order,
    a_type_chooses_the_message,
    long_messages_are_refused_or_cut,
    a_key_finds_its_queue,
    a_receiver_is_given_its_message,
    receivers_are_served_by_type_and_turn,
    a_receiver_with_too_little_room_gets_e2big_and_the_next_the_message,
    a_full_queue_makes_senders_wait,
    a_sender_that_fits_overtakes_one_that_does_not,
    the_number_of_messages_is_limited_too,
    a_removed_queue_ends_its_waits,
    a_caught_signal_is_eintr_even_with_restart,
    stop_and_continue_goes_on_waiting,
    a_dead_receiver_takes_nothing,
    status_tells_sizes_processes_and_times,
    a_larger_queue_lets_senders_go_on,
    other_users_are_refused,
    a_copy_leaves_the_message,
    bad_arguments_are_refused,
    the_next_identifier_can_be_chosen_in_a_namespace_of_one_s_own,
}

/// A queue that is removed at the end of the case.
struct Queue(i32);

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = ctl(self.0, IPC_RMID, 0);
    }
}

fn get(key: i32, flags: i32) -> Sys<i32> {
    // SAFETY: no memory is passed.
    small("msgget", unsafe { libc::msgget(key, flags) })
}

/// A private queue.
fn queue() -> Sys<Queue> {
    get(IPC_PRIVATE, 0o600).map(Queue)
}

fn ctl(id: i32, command: i32, buffer: usize) -> Sys<i32> {
    let args = [id.into(), command.into(), buffer as i64, 0, 0, 0];
    raw("msgctl", libc::SYS_msgctl, args).map(|value| value as i32)
}

fn status(id: i32) -> Sys<libc::msqid_ds> {
    // SAFETY: a plain struct.
    let mut ds: libc::msqid_ds = unsafe { std::mem::zeroed() };
    ctl(id, IPC_STAT, &raw mut ds as usize)?;
    Ok(ds)
}

fn send(id: i32, kind: i64, text: &[u8], flags: i32) -> Sys<()> {
    let bytes = [&kind.to_le_bytes(), text].concat();
    let args = [id.into(), bytes.as_ptr() as i64, text.len() as i64, flags.into(), 0, 0];
    raw("msgsnd", libc::SYS_msgsnd, args).map(|_| ())
}

/// Type and text of the message.
fn receive(id: i32, kind: i64, room: usize, flags: i32) -> Sys<(i64, Vec<u8>)> {
    let mut bytes = vec![0; 8 + room];
    let args = [id.into(), bytes.as_mut_ptr() as i64, room as i64, kind, flags.into(), 0];
    let got = raw("msgrcv", libc::SYS_msgrcv, args)? as usize;
    let number = i64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[i]));
    Ok((number, bytes[8..8 + got].to_vec()))
}

/// Returns once the process waits in a System V call: its state, and where it is.
fn until_waiting(pid: Pid, call: i64) -> Check {
    loop {
        guests::process::until_asleep(pid, pid)?;
        let path = format!("/proc/{pid}/syscall");
        match std::fs::read_to_string(&path) {
            // Not shown here (no such file, or it is not ours to read): asleep is all that we know.
            Err(_) => return Ok(()),
            Ok(text) if text.starts_with(&format!("{call} ")) => return Ok(()),
            Ok(_) => std::thread::yield_now(),
        }
    }
}

/// A child that receives this.
fn receiver(id: i32, kind: i64, expected: (i64, &'static [u8])) -> Result<Pid, String> {
    let child = fork_check(move || {
        let (kind, text) = receive(id, kind, 100, 0)?;
        same!((kind, &text[..]), expected, "what was received");
        Ok(())
    })?;
    until_waiting(child, libc::SYS_msgrcv)?;
    Ok(child)
}

/// A child that sends this.
fn sender(id: i32, kind: i64, size: usize) -> Result<Pid, String> {
    let child = fork_check(move || Ok(send(id, kind, &vec![b'x'; size], 0)?))?;
    until_waiting(child, libc::SYS_msgsnd)?;
    Ok(child)
}

fn messages_come_out_in_their_order() -> Check {
    let queue = queue()?;
    fails!(receive(queue.0, 0, 10, IPC_NOWAIT), ENOMSG);
    send(queue.0, 7, b"one", 0)?;
    send(queue.0, 3, b"", 0)?;
    send(queue.0, 7, b"three", 0)?;
    same!(receive(queue.0, 0, 10, 0)?, (7, b"one".to_vec()), "the first");
    same!(receive(queue.0, 0, 10, 0)?, (3, vec![]), "the second, without text");
    same!(receive(queue.0, 0, 10, 0)?, (7, b"three".to_vec()), "the third");
    Ok(())
}

fn a_type_chooses_the_message() -> Check {
    let queue = queue()?;
    for (kind, text) in [(5, b"a"), (2, b"b"), (9, b"c"), (2, b"d"), (1, b"e")] {
        send(queue.0, kind, text, 0)?;
    }
    let take = |kind, flags| receive(queue.0, kind, 1, flags | IPC_NOWAIT);
    fails!(take(4, 0), ENOMSG);
    same!(take(2, 0)?, (2, b"b".to_vec()), "the first of its type");
    same!(take(5, MSG_EXCEPT)?, (9, b"c".to_vec()), "the first of another type");
    same!(take(-4, 0)?, (1, b"e".to_vec()), "the lowest type up to 4");
    same!(take(-4, 0)?, (2, b"d".to_vec()), "the next one");
    fails!(take(-4, 0), ENOMSG);
    same!(take(i64::MIN, 0)?, (5, b"a".to_vec()), "the lowest of all");
    Ok(())
}

fn long_messages_are_refused_or_cut() -> Check {
    let queue = queue()?;
    send(queue.0, 1, b"long text", 0)?;
    fails!(receive(queue.0, 0, 4, 0), E2BIG);
    same!(status(queue.0)?.msg_qnum, 1, "it is still there");
    same!(receive(queue.0, 0, 4, MSG_NOERROR)?, (1, b"long".to_vec()), "the beginning");
    same!(status(queue.0)?.msg_qnum, 0, "the rest is gone");
    fails!(send(queue.0, 1, &[0; 8193], 0), EINVAL);
    send(queue.0, 1, &[0; 8192], 0)?;
    Ok(())
}

fn a_key_finds_its_queue() -> Check {
    let key = 0x5e50_0000 | getpid();
    fails!(get(key, 0o600), ENOENT);
    let queue = Queue(get(key, IPC_CREAT | IPC_EXCL | 0o600)?);
    same!(get(key, 0)?, queue.0, "the identifier");
    same!(get(key, IPC_CREAT)?, queue.0, "the identifier");
    fails!(get(key, IPC_CREAT | IPC_EXCL), EEXIST);
    ctl(queue.0, IPC_RMID, 0)?;
    fails!(get(key, 0), ENOENT);
    fails!(send(queue.0, 1, b"", 0), EINVAL);
    Ok(())
}

fn a_receiver_is_given_its_message() -> Check {
    let queue = queue()?;
    let child = receiver(queue.0, 0, (4, b"hello"))?;
    send(queue.0, 4, b"hello", 0)?;
    // It went straight to the receiver.
    let ds = status(queue.0)?;
    same!((ds.msg_qnum, ds.msg_lrpid), (0, child), "messages, and who received last");
    wait_ok(child)
}

fn receivers_are_served_by_type_and_turn() -> Check {
    let queue = queue()?;
    let three = receiver(queue.0, 3, (3, b"c"))?;
    let low = receiver(queue.0, -2, (2, b"b"))?;
    let any = receiver(queue.0, 0, (5, b"e"))?;
    send(queue.0, 5, b"e", 0)?;
    wait_ok(any)?;
    send(queue.0, 2, b"b", 0)?;
    wait_ok(low)?;
    send(queue.0, 3, b"c", 0)?;
    wait_ok(three)?;
    same!(status(queue.0)?.msg_qnum, 0, "messages");
    Ok(())
}

fn a_receiver_with_too_little_room_gets_e2big_and_the_next_the_message() -> Check {
    let queue = queue()?;
    let id = queue.0;
    let small = fork_check(move || {
        fails!(receive(id, 0, 2, 0), E2BIG);
        Ok(())
    })?;
    until_waiting(small, libc::SYS_msgrcv)?;
    let large = receiver(id, 0, (1, b"three"))?;
    send(id, 1, b"three", 0)?;
    wait_ok(small)?;
    wait_ok(large)
}

fn a_full_queue_makes_senders_wait() -> Check {
    let queue = queue()?;
    for _ in 0..2 {
        send(queue.0, 1, &[0; 8192], IPC_NOWAIT)?;
    }
    fails!(send(queue.0, 1, b"x", IPC_NOWAIT), EAGAIN);
    send(queue.0, 1, b"", IPC_NOWAIT)?;
    let ds = status(queue.0)?;
    same!((ds.__msg_cbytes, ds.msg_qnum, ds.msg_qbytes), (16384, 3, 16384), "bytes, messages");
    let child = sender(queue.0, 2, 8192)?;
    receive(queue.0, 1, 8192, 0)?;
    wait_ok(child)?;
    same!(receive(queue.0, 2, 8192, 0)?.1.len(), 8192, "the late message");
    Ok(())
}

fn a_sender_that_fits_overtakes_one_that_does_not() -> Check {
    let queue = queue()?;
    send(queue.0, 1, &[0; 8192], 0)?;
    send(queue.0, 1, &[0; 8190], 0)?;
    send(queue.0, 9, b"xx", 0)?;
    let large = sender(queue.0, 2, 3)?;
    let small = sender(queue.0, 3, 2)?;
    receive(queue.0, 9, 10, 0)?;
    wait_ok(small)?;
    same!(receive(queue.0, 3, 10, IPC_NOWAIT)?.1.len(), 2, "the small one");
    receive(queue.0, 1, 8192, 0)?;
    wait_ok(large)?;
    same!(receive(queue.0, 2, 10, IPC_NOWAIT)?.1.len(), 3, "the large one");
    Ok(())
}

fn the_number_of_messages_is_limited_too() -> Check {
    let queue = queue()?;
    let mut ds = status(queue.0)?;
    ds.msg_qbytes = 5;
    ctl(queue.0, IPC_SET, &raw mut ds as usize)?;
    for _ in 0..5 {
        send(queue.0, 1, b"", IPC_NOWAIT)?;
    }
    fails!(send(queue.0, 1, b"", IPC_NOWAIT), EAGAIN);
    Ok(())
}

fn a_removed_queue_ends_its_waits() -> Check {
    let (empty, full) = (queue()?, queue()?);
    let (empty_id, full_id) = (empty.0, full.0);
    send(full_id, 1, &[0; 8192], 0)?;
    send(full_id, 1, &[0; 8192], 0)?;
    let receives = fork_check(move || {
        fails!(receive(empty_id, 0, 10, 0), EIDRM);
        Ok(())
    })?;
    until_waiting(receives, libc::SYS_msgrcv)?;
    let sends = fork_check(move || {
        fails!(send(full_id, 1, b"x", 0), EIDRM);
        Ok(())
    })?;
    until_waiting(sends, libc::SYS_msgsnd)?;
    ctl(empty_id, IPC_RMID, 0)?;
    ctl(full_id, IPC_RMID, 0)?;
    wait_ok(receives)?;
    wait_ok(sends)
}

fn a_caught_signal_is_eintr_even_with_restart() -> Check {
    let queue = queue()?;
    let id = queue.0;
    let child = fork_check(move || {
        handle(SIGUSR1, libc::SA_RESTART)?;
        fails!(receive(id, 0, 10, 0), EINTR);
        same!(signal::logged_signals(), vec![SIGUSR1], "the handler");
        Ok(())
    })?;
    until_waiting(child, libc::SYS_msgrcv)?;
    kill(child, SIGUSR1)?;
    wait_ok(child)
}

fn stop_and_continue_goes_on_waiting() -> Check {
    let queue = queue()?;
    let child = receiver(queue.0, 0, (1, b"late"))?;
    kill(child, SIGSTOP)?;
    let (_, stopped) = guests::process::wait_with(child, libc::WUNTRACED)?;
    ensure!(libc::WIFSTOPPED(stopped), "it did not stop: {stopped:#x}");
    kill(child, SIGCONT)?;
    until_waiting(child, libc::SYS_msgrcv)?;
    send(queue.0, 1, b"late", 0)?;
    wait_ok(child)
}

fn a_dead_receiver_takes_nothing() -> Check {
    let queue = queue()?;
    let child = receiver(queue.0, 0, (1, b""))?;
    kill_and_wait(child, SIGKILL)?;
    send(queue.0, 1, b"for us", 0)?;
    same!(receive(queue.0, 0, 10, IPC_NOWAIT)?, (1, b"for us".to_vec()), "the message");
    Ok(())
}

fn status_tells_sizes_processes_and_times() -> Check {
    let queue = queue()?;
    let ds = status(queue.0)?;
    same!((ds.msg_lspid, ds.msg_lrpid, ds.msg_qbytes), (0, 0, 16384), "a fresh queue");
    same!((ds.msg_stime, ds.msg_rtime), (0, 0), "its times");
    ensure!(ds.msg_ctime != 0, "no time of making");
    send(queue.0, 1, b"abc", 0)?;
    let ds = status(queue.0)?;
    same!((ds.msg_lspid, ds.msg_qnum, ds.__msg_cbytes), (getpid(), 1, 3), "after sending");
    let id = queue.0;
    let child = fork_check(move || Ok(receive(id, 0, 9, 0).map(|_| ())?))?;
    same!(wait(child)?, 0, "the receiver");
    let ds = status(queue.0)?;
    same!((ds.msg_lrpid, ds.msg_qnum, ds.__msg_cbytes), (child, 0, 0), "after receiving");
    ensure!(ds.msg_stime != 0 && ds.msg_rtime != 0, "{} {}", ds.msg_stime, ds.msg_rtime);
    Ok(())
}

fn a_larger_queue_lets_senders_go_on() -> Check {
    let queue = queue()?;
    let mut ds = status(queue.0)?;
    ds.msg_qbytes = 1;
    ctl(queue.0, IPC_SET, &raw mut ds as usize)?;
    let child = sender(queue.0, 1, 2)?;
    ds.msg_qbytes = 2;
    ctl(queue.0, IPC_SET, &raw mut ds as usize)?;
    wait_ok(child)?;
    same!(status(queue.0)?.msg_qnum, 1, "messages");
    Ok(())
}

fn other_users_are_refused() -> Check {
    let queue = queue()?;
    let id = queue.0;
    // SAFETY: no memory is passed.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    let child = fork_check(move || {
        // SAFETY: an empty list of groups; no other memory is passed.
        let left = unsafe {
            libc::setgroups(0, std::ptr::null());
            libc::setresgid(77, 77, 77) + libc::setresuid(77, 77, 77)
        };
        same!(left, 0, "setresgid, setresuid");
        fails!(send(id, 1, b"", 0), EACCES);
        fails!(receive(id, 0, 1, IPC_NOWAIT), EACCES);
        fails!(status(id), EACCES);
        fails!(ctl(id, IPC_RMID, 0), EPERM);
        // Of its own queue it may set the size, up to the limit.
        let own = self::queue()?;
        let mut ds = status(own.0)?;
        ds.msg_qbytes = 16385;
        fails!(ctl(own.0, IPC_SET, &raw mut ds as usize), EPERM);
        ds.msg_qbytes = 10;
        ctl(own.0, IPC_SET, &raw mut ds as usize)?;
        same!(status(own.0)?.msg_qbytes, 10, "the size that was set");
        Ok(())
    })?;
    wait_ok(child)
}

fn a_copy_leaves_the_message() -> Check {
    let queue = queue()?;
    send(queue.0, 4, b"zero", 0)?;
    send(queue.0, 5, b"one", 0)?;
    let copy = |n, room, flags| receive(queue.0, n, room, MSG_COPY | flags);
    same!(copy(1, 10, IPC_NOWAIT)?, (5, b"one".to_vec()), "number 1");
    same!(copy(0, 10, IPC_NOWAIT)?, (4, b"zero".to_vec()), "number 0");
    fails!(copy(2, 10, IPC_NOWAIT), ENOMSG);
    fails!(copy(0, 2, IPC_NOWAIT), E2BIG);
    fails!(copy(0, 2, IPC_NOWAIT | MSG_NOERROR), EINVAL);
    fails!(copy(0, 10, 0), EINVAL);
    fails!(copy(0, 10, IPC_NOWAIT | MSG_EXCEPT), EINVAL);
    same!(status(queue.0)?.msg_qnum, 2, "messages");
    Ok(())
}

fn bad_arguments_are_refused() -> Check {
    let queue = queue()?;
    fails!(send(queue.0, 0, b"", 0), EINVAL);
    fails!(send(queue.0, -1, b"", 0), EINVAL);
    fails!(send(-1, 1, b"", 0), EINVAL);
    fails!(receive(-1, 1, 1, 0), EINVAL);
    fails!(ctl(queue.0, 99, 0), EINVAL);
    fails!(ctl(queue.0, IPC_STAT, 8), EFAULT);
    let args = [queue.0.into(), 8, 1, 0, 0, 0];
    fails!(raw("msgsnd", libc::SYS_msgsnd, args), EFAULT);
    Ok(())
}

/// proc_sys_kernel(5): kernel.msg_next_id, for who restores processes; not where a namespace is
/// not permitted, for the setting is the whole host's.
fn the_next_identifier_can_be_chosen_in_a_namespace_of_one_s_own() -> Check {
    const FILE: &str = "/proc/sys/kernel/msg_next_id";
    let child = fork_check(|| {
        // SAFETY: no memory is involved.
        if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0
            || std::fs::write(FILE, "65545").is_err()
        {
            return Ok(());
        }
        let get = || raw("msgget", libc::SYS_msgget, [0, 0o600, 0, 0, 0, 0]);
        same!(get()?, 65545, "the chosen identifier");
        let text = std::fs::read_to_string(FILE).map_err(|error| error.to_string())?;
        same!(text, "-1\n", "what is chosen for the one after");
        same!(get()?, 0, "the next identifier");
        Ok(())
    })?;
    wait_ok(child)
}
