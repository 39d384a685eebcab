//! POSIX message queues past the C library: mq_open, mq_unlink, mq_timedsend, mq_timedreceive,
//! mq_notify, mq_getsetattr. See mq_overview(7). Queues outlive their process: each is unlinked by a
//! guard.

use guests::process::{Pid, fork, fork_check, getpid, kill, kill_and_wait, until_asleep, wait_ok};
use guests::signal::{self, handle};
use guests::sys::{Fd, Sys, close, dup, fcntl, poll_bits, raw};
use guests::{Check, ensure, fails, same};
use libc::{
    EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EINTR, EINVAL, EMSGSIZE, ENOENT, ETIMEDOUT, O_CREAT,
    O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, POLLIN, POLLOUT, SIGKILL, SIGUSR1,
};
use std::ffi::CString;

guests::cases! {
    messages_come_out_by_priority_and_age,
    a_name_finds_its_queue,
    an_unlinked_queue_lives_while_it_is_open,
    attributes_are_told_and_limited,
    sizes_are_checked,
    access_modes_are_checked,
    a_receiver_waits_for_a_message,
    a_full_queue_makes_senders_wait,
    waiting_has_an_end,
    a_signal_interrupts_or_restarts,
    a_dead_receiver_takes_nothing,
    poll_sees_messages_and_room,
    a_notification_comes_once_and_only_for_the_first_message,
    who_waits_comes_before_who_is_notified,
    one_process_is_notified_at_a_time,
    closing_and_dying_end_a_notification,
    bad_arguments_are_refused,
    limits_are_those_of_the_namespace,
}

/// A queue's name, which is unlinked at the end of the case.
struct Name(CString);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = self.unlink();
    }
}

impl Name {
    fn new() -> Name {
        let name = Name(CString::new(format!("guest-{}", getpid())).unwrap_or_default());
        let _ = name.unlink();
        name
    }

    fn unlink(&self) -> Sys<i64> {
        raw("mq_unlink", libc::SYS_mq_unlink, [self.0.as_ptr() as i64, 0, 0, 0, 0, 0])
    }

    fn open(&self, flags: i32, sizes: Option<(i64, i64)>) -> Sys<Fd> {
        let attr = sizes.map(|(messages, size)| [0, messages, size, 0, 0, 0, 0, 0]);
        let attr = attr.as_ref().map_or(0, |attr: &[i64; 8]| attr.as_ptr() as i64);
        let args = [self.0.as_ptr() as i64, flags.into(), 0o600, attr, 0, 0];
        raw("mq_open", libc::SYS_mq_open, args).map(|fd| fd as Fd)
    }

    /// A queue of two messages of 16 bytes.
    fn create(&self) -> Sys<Fd> {
        self.open(O_CREAT | O_EXCL | O_RDWR, Some((2, 16)))
    }
}

/// A moment on the real-time clock, so many milliseconds from now.
fn deadline(ms: i64) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid struct.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    let (nanos, second) = (now.tv_nsec + ms * 1_000_000, 1_000_000_000);
    let whole = now.tv_sec + nanos.div_euclid(second);
    libc::timespec { tv_sec: whole, tv_nsec: nanos.rem_euclid(second) }
}

fn send_until(fd: Fd, text: &[u8], priority: i64, until: Option<libc::timespec>) -> Sys<()> {
    let until = until.as_ref().map_or(0, |until| &raw const *until as i64);
    let args = [fd.into(), text.as_ptr() as i64, text.len() as i64, priority, until, 0];
    raw("mq_timedsend", libc::SYS_mq_timedsend, args).map(|_| ())
}

fn send(fd: Fd, text: &[u8], priority: i64) -> Sys<()> {
    send_until(fd, text, priority, None)
}

fn receive_until(fd: Fd, room: usize, until: Option<libc::timespec>) -> Sys<(Vec<u8>, u32)> {
    let until = until.as_ref().map_or(0, |until| &raw const *until as i64);
    let (mut text, mut priority) = (vec![0; room], 99_u32);
    let (to, at) = (text.as_mut_ptr() as i64, &raw mut priority as i64);
    let args = [fd.into(), to, room as i64, at, until, 0];
    let got = raw("mq_timedreceive", libc::SYS_mq_timedreceive, args)?;
    text.truncate(got as usize);
    Ok((text, priority))
}

fn receive(fd: Fd) -> Sys<(Vec<u8>, u32)> {
    receive_until(fd, 16, None)
}

/// O_NONBLOCK, most messages, their size, how many there are.
fn attributes(fd: Fd, flags: Option<i64>) -> Sys<[i64; 4]> {
    let new = [flags.unwrap_or(0), 0, 0, 0, 0, 0, 0, 0];
    let mut old = [0_i64; 8];
    let from = flags.map_or(0, |_| new.as_ptr() as i64);
    let args = [fd.into(), from, old.as_mut_ptr() as i64, 0, 0, 0];
    raw("mq_getsetattr", libc::SYS_mq_getsetattr, args)?;
    Ok([old[0], old[1], old[2], old[3]])
}

/// SIGUSR1 with value 7 (way 0), nothing (1), or the end of it.
fn notify(fd: Fd, way: Option<i32>) -> Sys<i64> {
    let mut event = [0_i32; 16];
    (event[0], event[2], event[3]) = (7, SIGUSR1, way.unwrap_or(0));
    let event = way.map_or(0, |_| event.as_ptr() as i64);
    raw("mq_notify", libc::SYS_mq_notify, [fd.into(), event, 0, 0, 0, 0])
}

/// A child that receives this.
fn receiver(fd: Fd, expected: &'static [u8]) -> Result<Pid, String> {
    let child = fork_check(move || {
        same!(receive(fd)?.0, expected, "what was received");
        Ok(())
    })?;
    until_asleep(child, child)?;
    Ok(child)
}

fn messages_come_out_by_priority_and_age() -> Check {
    let name = Name::new();
    let fd = name.open(O_CREAT | O_RDWR, Some((5, 16)))?;
    for (text, priority) in [(b"a", 1), (b"b", 5), (b"c", 1), (b"d", 32767), (b"e", 5)] {
        send(fd, text, priority)?;
    }
    let expected: [(&[u8], u32); 5] = [(b"d", 32767), (b"b", 5), (b"e", 5), (b"a", 1), (b"c", 1)];
    for (text, priority) in expected {
        same!(receive(fd)?, (text.to_vec(), priority), "the next");
    }
    Ok(())
}

fn a_name_finds_its_queue() -> Check {
    let name = Name::new();
    fails!(name.open(O_RDWR, None), ENOENT);
    let fd = name.create()?;
    same!(fcntl(fd, libc::F_GETFD, 0)?, libc::FD_CLOEXEC, "close on exec");
    fails!(name.open(O_CREAT | O_EXCL | O_RDWR, None), EEXIST);
    let other = name.open(O_CREAT | O_RDWR, Some((9, 9)))?;
    same!(attributes(other, None)?, [0, 2, 16, 0], "the old queue's sizes");
    send(fd, b"x", 0)?;
    same!(receive(other)?.0, b"x", "through the other");
    let bad =
        |name: &str| Name(CString::new(name).unwrap_or_default()).open(O_CREAT | O_RDWR, None);
    fails!(bad("/a"), EACCES);
    fails!(bad("a/b"), EACCES);
    fails!(bad(".."), EACCES);
    fails!(bad(""), ENOENT);
    fails!(bad(&"x".repeat(256)), libc::ENAMETOOLONG);
    Ok(())
}

fn an_unlinked_queue_lives_while_it_is_open() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    send(fd, b"kept", 0)?;
    name.unlink()?;
    fails!(name.unlink(), ENOENT);
    fails!(name.open(O_RDWR, None), ENOENT);
    let second = name.create()?;
    same!(attributes(second, None)?[3], 0, "messages of a new queue of this name");
    let copy = dup(fd)?;
    close(fd)?;
    same!(receive(copy)?.0, b"kept", "the message");
    Ok(())
}

fn attributes_are_told_and_limited() -> Check {
    let name = Name::new();
    fails!(name.open(O_CREAT | O_RDWR, Some((0, 16))), EINVAL);
    fails!(name.open(O_CREAT | O_RDWR, Some((2, 0))), EINVAL);
    fails!(name.open(O_CREAT | O_RDWR, Some((-1, 16))), EINVAL);
    fails!(name.open(O_CREAT | O_RDWR, Some((65537, 16))), EINVAL);
    fails!(name.open(O_RDWR, Some((2, 16))), ENOENT);
    let fd = name.create()?;
    send(fd, b"x", 0)?;
    same!(attributes(fd, None)?, [0, 2, 16, 1], "at first");
    same!(attributes(fd, Some(O_NONBLOCK.into()))?, [0, 2, 16, 1], "what was");
    same!(attributes(fd, None)?[0], i64::from(O_NONBLOCK), "what is");
    fails!(attributes(fd, Some(1)), EINVAL);
    fails!(attributes(0, None), EBADF);
    let child = fork_check(|| {
        guests::sys::set_limit(libc::RLIMIT_MSGQUEUE, 100)?;
        let other = Name(CString::new(format!("guest-{}", getpid())).unwrap_or_default());
        fails!(other.open(O_CREAT | O_RDWR, Some((2, 16))), libc::EMFILE);
        Ok(())
    })?;
    wait_ok(child)
}

fn sizes_are_checked() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    fails!(send(fd, &[0; 17], 0), EMSGSIZE);
    send(fd, &[1; 16], 0)?;
    send(fd, b"", 0)?;
    fails!(receive_until(fd, 15, None), EMSGSIZE);
    same!(receive_until(fd, 40, None)?.0, [1; 16], "the long one");
    same!(receive(fd)?.0, b"", "the empty one");
    Ok(())
}

fn access_modes_are_checked() -> Check {
    let name = Name::new();
    let _both = name.create()?;
    let (reader, writer) = (name.open(O_RDONLY, None)?, name.open(O_WRONLY, None)?);
    fails!(send(reader, b"x", 0), EBADF);
    fails!(receive(writer), EBADF);
    send(writer, b"x", 0)?;
    same!(receive(reader)?.0, b"x", "the message");
    fails!(send(0, b"x", 0), EBADF);
    fails!(name.open(O_WRONLY | O_RDWR, None), EINVAL);
    Ok(())
}

fn a_receiver_waits_for_a_message() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    let first = receiver(fd, b"one")?;
    let second = receiver(fd, b"two")?;
    send(fd, b"one", 0)?;
    same!(attributes(fd, None)?[3], 0, "it went straight to the receiver");
    wait_ok(first)?;
    send(fd, b"two", 9)?;
    wait_ok(second)
}

fn a_full_queue_makes_senders_wait() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    send(fd, b"1", 0)?;
    send(fd, b"2", 0)?;
    let child = fork_check(|| Ok(send(fd, b"urgent", 5)?))?;
    until_asleep(child, child)?;
    same!(receive(fd)?.0, b"1", "the first");
    // The sender's message took its place at once, ahead of what was there.
    same!(attributes(fd, None)?[3], 2, "messages");
    same!(receive(fd)?, (b"urgent".to_vec(), 5), "the next");
    wait_ok(child)?;
    attributes(fd, Some(O_NONBLOCK.into()))?;
    send(fd, b"3", 0)?;
    fails!(send(fd, b"4", 0), EAGAIN);
    Ok(())
}

fn waiting_has_an_end() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    let begun = guests::sys::monotonic();
    fails!(receive_until(fd, 16, Some(deadline(30))), ETIMEDOUT);
    // The two clocks are read one after the other.
    ensure!(guests::sys::monotonic() - begun >= 29_000_000, "it came too early");
    fails!(receive_until(fd, 16, Some(deadline(-1000))), ETIMEDOUT);
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    fails!(receive_until(fd, 16, Some(bad)), EINVAL);
    send_until(fd, b"1", 0, Some(deadline(-1000)))?;
    send(fd, b"2", 0)?;
    fails!(send_until(fd, b"3", 0, Some(deadline(10))), ETIMEDOUT);
    same!(attributes(fd, None)?[3], 2, "messages");
    Ok(())
}

fn a_signal_interrupts_or_restarts() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    for flags in [0, libc::SA_RESTART] {
        let child = fork_check(move || {
            handle(SIGUSR1, flags)?;
            if flags == 0 {
                fails!(receive(fd), EINTR);
            } else {
                same!(receive(fd)?.0, b"after", "the message");
            }
            same!(signal::logged_signals(), vec![SIGUSR1], "the handler");
            Ok(())
        })?;
        until_asleep(child, child)?;
        kill(child, SIGUSR1)?;
        if flags != 0 {
            send(fd, b"after", 0)?;
        }
        wait_ok(child)?;
    }
    Ok(())
}

fn a_dead_receiver_takes_nothing() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    let child = receiver(fd, b"")?;
    kill_and_wait(child, SIGKILL)?;
    send(fd, b"for us", 0)?;
    same!(receive(fd)?.0, b"for us", "the message");
    Ok(())
}

fn poll_sees_messages_and_room() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    let both = POLLIN | POLLOUT;
    same!(poll_bits(fd)? & both, POLLOUT, "an empty queue");
    send(fd, b"1", 0)?;
    same!(poll_bits(fd)? & both, both, "one message");
    send(fd, b"2", 0)?;
    same!(poll_bits(fd)? & both, POLLIN, "a full queue");
    Ok(())
}

fn a_notification_comes_once_and_only_for_the_first_message() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    signal::block(&[SIGUSR1])?;
    let mut info = [0_i32; 32];
    let mut take = || -> Sys<(i32, i32, i32)> {
        let set = signal::set(&[SIGUSR1]);
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let (set, zero) = ((&raw const set) as i64, (&raw const zero) as i64);
        let args = [set, info.as_mut_ptr() as i64, zero, 8, 0, 0];
        raw("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, args)?;
        // si_code, si_pid, si_value
        Ok((info[2], info[4], info[6]))
    };
    send(fd, b"1", 0)?;
    notify(fd, Some(0))?;
    send(fd, b"2", 0)?;
    fails!(take(), EAGAIN);
    receive(fd)?;
    receive(fd)?;
    let child = fork(|| i32::from(send(fd, b"3", 0).is_err()))?;
    wait_ok(child)?;
    same!(take()?, (-3, child, 7), "SI_MESGQ, the sender, the value");
    receive(fd)?;
    send(fd, b"4", 0)?;
    fails!(take(), EAGAIN);
    Ok(())
}

fn who_waits_comes_before_who_is_notified() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    signal::block(&[SIGUSR1])?;
    notify(fd, Some(0))?;
    let child = receiver(fd, b"x")?;
    send(fd, b"x", 0)?;
    wait_ok(child)?;
    same!(signal::pending(), vec![], "signals");
    send(fd, b"y", 0)?;
    same!(signal::pending(), vec![SIGUSR1], "signals after a message that nobody waited for");
    Ok(())
}

fn one_process_is_notified_at_a_time() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    notify(fd, Some(1))?;
    fails!(notify(fd, Some(0)), EBUSY);
    let child = fork_check(|| {
        fails!(notify(fd, Some(1)), EBUSY);
        // Not its own: nothing happens.
        notify(fd, None)?;
        fails!(notify(fd, Some(1)), EBUSY);
        Ok(())
    })?;
    // Its close of an inherited descriptor ends nothing of ours.
    wait_ok(child)?;
    fails!(notify(fd, Some(1)), EBUSY);
    notify(fd, None)?;
    notify(fd, Some(1))?;
    Ok(())
}

fn closing_and_dying_end_a_notification() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    notify(fd, Some(1))?;
    close(dup(fd)?)?;
    notify(fd, Some(1))?;
    notify(fd, None)?;
    let child = fork(|| i32::from(notify(fd, Some(1)).is_err()))?;
    wait_ok(child)?;
    notify(fd, Some(1))?;
    Ok(())
}

fn bad_arguments_are_refused() -> Check {
    let name = Name::new();
    let fd = name.create()?;
    fails!(send(fd, b"x", 32768), EINVAL);
    fails!(notify(fd, Some(5)), EINVAL);
    fails!(notify(0, Some(1)), EBADF);
    fails!(receive(999), EBADF);
    let args = [fd.into(), 8, 1, 0, 0, 0];
    fails!(raw("mq_timedsend", libc::SYS_mq_timedsend, args), libc::EFAULT);
    Ok(())
}

/// mq_overview(7), /proc interfaces; in a namespace of its own, where that is permitted.
fn limits_are_those_of_the_namespace() -> Check {
    let set = |file: &str, text: &str| std::fs::write(format!("/proc/sys/fs/mqueue/{file}"), text);
    let child = fork_check(|| {
        // SAFETY: no memory is involved.
        if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 || set("msg_default", "3").is_err() {
            return Ok(());
        }
        let refused = |it: std::io::Result<()>| it.err().and_then(|it| it.raw_os_error());
        same!(refused(set("msg_max", "0")), Some(EINVAL), "no message");
        same!(refused(set("msgsize_max", "127")), Some(EINVAL), "no room");
        same!(refused(set("msg_max", "2 9")), None, "the first number counts");
        let name = Name::new();
        let queue = name.open(O_CREAT | O_RDWR, None)?;
        let mut attr = [0_i64; 8];
        let args = [queue.into(), 0, attr.as_mut_ptr() as i64, 0, 0, 0];
        raw("mq_getsetattr", libc::SYS_mq_getsetattr, args)?;
        same!((attr[1], attr[2]), (2, 8192), "what a queue is made for");
        Ok(())
    })?;
    wait_ok(child)
}
