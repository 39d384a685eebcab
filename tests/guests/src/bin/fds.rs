//! Descriptor tables, open files and their release: sharing, lowest free number, close-on-exec, the
//! order of final releases, locks. Rules F-1 … F-12, X-8 and X-13 of docs/linux-semantics.md.
//!
//! The order of releases is observed without a race: the write ends of several pipes die in one
//! process, and an epoll instance in the other lists its ready items in the order in which they
//! became ready.

use guests::net;
use guests::process::{
    Gate, Pid, clone_fork, exec_self, fork, fork_check, getpid, kill, kill_and_wait,
    pause_for_ever, until_asleep, wait, wait_ok,
};
use guests::signal;
use guests::sys::{
    self, Fd, Sys, close, dup, dup2, epoll, epoll_ctl, epoll_wait, fcntl, lseek, pipe, poll_bits,
    poll_one, raw, read, set_limit, small, write,
};
use guests::{Check, ensure, fails, same};
use libc::{EAGAIN, EBADF, EINVAL, EMFILE, O_CREAT, O_RDWR, SIGCHLD, SIGKILL};
use std::sync::mpsc;

guests::cases! {
    lowest_free_descriptor_is_taken,
    descriptors_end_at_the_limit,
    dup2_closes_what_was_there,
    dup2_onto_itself_does_nothing_and_dup3_refuses,
    fcntl_dup_takes_the_lowest_from_its_minimum,
    close_frees_the_number_at_once,
    duplicates_share_offset_and_flags_but_not_close_on_exec,
    forked_descriptors_share_the_offset,
    exec_closes_what_is_marked_and_nothing_else,
    clone_files_shares_the_table_until_the_last_sharer_dies,
    killed_processes_pipe_gives_end_of_file,
    forked_child_keeps_the_pipe_open,
    fdinfo_tells_what_an_object_is,
    final_releases_run_in_descending_order,
    duplicate_is_released_at_its_highest_number,
    single_closes_release_at_once_in_their_own_order,
    close_range_releases_in_descending_order,
    close_on_exec_releases_in_descending_order,
    release_precedes_waitpid_and_sigchld_and_pidfd,
    release_precedes_the_wait_with_many_threads,
    close_during_a_read_keeps_the_file_until_it_returns,
    posix_locks_go_with_any_close,
    posix_locks_die_with_their_owner,
    flock_belongs_to_the_description,
    flock_outlives_the_descriptor_while_the_file_is_mapped,
    epoll_item_outlives_its_descriptor,
    epoll_item_goes_with_the_last_reference;
    then after_exec, exec_and_release,
}

/// F-3.
fn lowest_free_descriptor_is_taken() -> Check {
    let fds: Vec<Fd> = (0..4).map(|_| dup(0)).collect::<Sys<_>>()?;
    ensure!(fds.windows(2).all(|two| two[1] == two[0] + 1), "not in a row: {fds:?}");
    close(fds[2])?;
    close(fds[1])?;
    same!(dup(0)?, fds[1], "the first");
    same!(dup(0)?, fds[2], "the second");
    same!(dup(0)?, fds[3] + 1, "the third");
    // Whole words of the bitmap fill up and come free again.
    let many: Vec<Fd> = (0..200).map(|_| dup(0)).collect::<Sys<_>>()?;
    close(many[70])?;
    close(many[3])?;
    same!((dup(0)?, dup(0)?), (many[3], many[70]), "two holes in a long table");
    Ok(())
}

/// F-3.
fn descriptors_end_at_the_limit() -> Check {
    set_limit(libc::RLIMIT_NOFILE, 20)?;
    let mut last = 0;
    let refused = loop {
        match dup(0) {
            Ok(fd) => last = fd,
            Err(failed) => break failed,
        }
    };
    same!((last, refused.errno), (19, EMFILE), "the last number, and the errno after it");
    fails!(pipe(), EMFILE);
    fails!(dup2(0, 20), EBADF);
    fails!(fcntl(0, libc::F_DUPFD, 20), EINVAL);
    close(7)?;
    same!(dup(0)?, 7, "the hole");
    Ok(())
}

/// F-3.
fn dup2_closes_what_was_there() -> Check {
    let (reader, writer) = pipe()?;
    same!(dup2(0, writer)?, writer, "the number");
    same!(read(reader, 1)?, b"", "the pipe's only writer is gone");
    fails!(dup2(999, 0), EBADF);
    fails!(dup2(0, -1), EBADF);
    Ok(())
}

/// F-3.
fn dup2_onto_itself_does_nothing_and_dup3_refuses() -> Check {
    let (reader, _writer) = sys::pipe2(libc::O_CLOEXEC)?;
    same!(dup2(reader, reader)?, reader, "the number");
    same!(fcntl(reader, libc::F_GETFD, 0)?, libc::FD_CLOEXEC, "the mark is kept");
    // SAFETY: no memory is involved.
    fails!(small("dup3", unsafe { libc::dup3(reader, reader, 0) }), EINVAL);
    Ok(())
}

/// F-3.
fn fcntl_dup_takes_the_lowest_from_its_minimum() -> Check {
    same!(fcntl(0, libc::F_DUPFD, 50)?, 50, "the first");
    same!(fcntl(0, libc::F_DUPFD_CLOEXEC, 50)?, 51, "the second");
    same!(fcntl(51, libc::F_GETFD, 0)?, libc::FD_CLOEXEC, "its mark");
    same!(fcntl(50, libc::F_GETFD, 0)?, 0, "the first one's mark");
    Ok(())
}

/// F-4.
fn close_frees_the_number_at_once() -> Check {
    let fd = dup(0)?;
    close(fd)?;
    fails!(close(fd), EBADF);
    fails!(read(fd, 1), EBADF);
    fails!(write(fd, b"x"), EBADF);
    same!(poll_one(fd, libc::POLLIN, 0)?, libc::POLLNVAL, "poll bits");
    Ok(())
}

fn file_with(text: &[u8]) -> Result<Fd, String> {
    let path = sys::scratch()?.join("file");
    let fd = sys::open(&path, O_RDWR | O_CREAT | libc::O_TRUNC, 0o600)?;
    write(fd, text)?;
    lseek(fd, 0, libc::SEEK_SET)?;
    std::fs::remove_file(&path).map_err(|error| error.to_string())?;
    Ok(fd)
}

/// F-1.
fn duplicates_share_offset_and_flags_but_not_close_on_exec() -> Check {
    let fd = file_with(b"abcdef")?;
    let other = dup(fd)?;
    same!(read(fd, 2)?, b"ab", "by the first");
    same!(read(other, 2)?, b"cd", "by the second");
    fcntl(fd, libc::F_SETFL, libc::O_APPEND)?;
    same!(fcntl(other, libc::F_GETFL, 0)? & libc::O_APPEND, libc::O_APPEND, "O_APPEND");
    fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC)?;
    same!(fcntl(other, libc::F_GETFD, 0)?, 0, "the other's close-on-exec mark");
    Ok(())
}

/// F-2.
fn forked_descriptors_share_the_offset() -> Check {
    let fd = file_with(b"abcdef")?;
    let child = fork(|| i32::from(read(fd, 4).is_err()))?;
    same!(wait(child)?, 0, "the child's status");
    same!(read(fd, 4)?, b"ef", "what is left for the parent");
    Ok(())
}

/// F-8.
fn exec_closes_what_is_marked_and_nothing_else() -> Check {
    let child = fork_check(|| {
        dup2(0, 60)?;
        dup2(0, 61)?;
        fcntl(61, libc::F_SETFD, libc::FD_CLOEXEC)?;
        Err(exec_self("after_exec", &[]))
    })?;
    same!(wait(child)?, 0, "the status");
    Ok(())
}

fn after_exec() -> Check {
    same!(fcntl(60, libc::F_GETFD, 0)?, 0, "the unmarked one");
    fails!(fcntl(61, libc::F_GETFD, 0), EBADF);
    Ok(())
}

/// F-1.
fn clone_files_shares_the_table_until_the_last_sharer_dies() -> Check {
    let (reader, writer) = pipe()?;
    let owner = fork_check(|| {
        // Both sharers have this table; only the second one opens the duplicate.
        let shared =
            clone_fork(libc::CLONE_FILES | SIGCHLD, || i32::from(dup2(writer, 70).is_err()))?;
        same!(wait(shared)?, 0, "the sharer's status");
        write(70, b"still open")?;
        Ok(())
    })?;
    close(writer)?;
    same!(read(reader, 64)?, b"still open", "what came through the sharer's descriptor");
    wait_ok(owner)?;
    same!(read(reader, 64)?, b"", "after the last sharer's end");
    Ok(())
}

/// F-2, F-13, X-8.
fn killed_processes_pipe_gives_end_of_file() -> Check {
    let (reader, writer) = pipe()?;
    let child = fork_check(|| {
        write(writer, b"last words")?;
        pause_for_ever()
    })?;
    close(writer)?;
    same!(read(reader, 64)?, b"last words", "what it wrote");
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    same!(poll_bits(reader)?, libc::POLLHUP, "poll bits");
    same!(read(reader, 64)?, b"", "after its death");
    Ok(())
}

/// F-2, X-13.
fn forked_child_keeps_the_pipe_open() -> Check {
    let ((reader, writer), (pids, tell)) = (pipe()?, pipe()?);
    let parent = fork_check(|| {
        let child = fork(|| pause_for_ever())?;
        write(tell, &child.to_ne_bytes())?;
        pause_for_ever()
    })?;
    close(writer)?;
    let bytes = read(pids, 4)?;
    let child = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    same!(kill_and_wait(parent, SIGKILL)?, SIGKILL, "the parent's status");
    same!(poll_bits(reader)?, 0, "poll bits while the child lives");
    kill(child, SIGKILL)?;
    same!(read(reader, 1)?, b"", "after the child's death");
    Ok(())
}

/// Pipes whose write ends are at these numbers in a child that `end`s; the order in which the read
/// ends became ready, by number.
fn release_order(numbers: &[Fd], end: impl FnOnce(&[Fd]) -> Check) -> Result<Vec<Fd>, String> {
    let epoll = fcntl(epoll()?, libc::F_DUPFD_CLOEXEC, 200)?;
    let mut writers = vec![];
    for number in numbers {
        let (reader, writer) = pipe()?;
        let high = fcntl(reader, libc::F_DUPFD_CLOEXEC, 210)?;
        close(reader)?;
        writers.push(fcntl(writer, libc::F_DUPFD_CLOEXEC, 300)?);
        close(writer)?;
        epoll_ctl(epoll, libc::EPOLL_CTL_ADD, high, libc::EPOLLIN as u32, *number as u64)?;
    }
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let child = fork_check(|| {
        for (number, writer) in numbers.iter().zip(&writers) {
            dup2(*writer, *number)?;
            close(*writer)?;
        }
        ready.open()?;
        go.wait()?;
        end(numbers)
    })?;
    ready.wait()?;
    for writer in writers {
        close(writer)?;
    }
    same!(epoll_wait(epoll, 64, 0)?, vec![], "ready before the end");
    go.open()?;
    wait_ok(child)?;
    let events = epoll_wait(epoll, 64, 0)?;
    Ok(events.into_iter().map(|(_, number)| number as Fd).collect())
}

const FROM_14: [Fd; 6] = [14, 15, 16, 17, 18, 19];

/// F-6.
fn final_releases_run_in_descending_order() -> Check {
    same!(release_order(&FROM_14, |_| Ok(()))?, vec![19, 18, 17, 16, 15, 14], "after exit");
    Ok(())
}

/// F-7: the file at 14 is also at 60.
fn duplicate_is_released_at_its_highest_number() -> Check {
    let order = release_order(&FROM_14, |_| {
        dup2(14, 60)?;
        Ok(())
    })?;
    same!(order, vec![14, 19, 18, 17, 16, 15], "after exit");
    Ok(())
}

/// F-8.
fn single_closes_release_at_once_in_their_own_order() -> Check {
    let order = release_order(&FROM_14, |numbers| {
        for number in numbers {
            close(*number)?;
        }
        Ok(())
    })?;
    same!(order, FROM_14.to_vec(), "after single closes");
    Ok(())
}

/// F-6.
fn close_range_releases_in_descending_order() -> Check {
    let order = release_order(&FROM_14, |_| {
        raw("close_range", libc::SYS_close_range, [14, 19, 0, 0, 0, 0])?;
        Ok(())
    })?;
    same!(order, vec![19, 18, 17, 16, 15, 14], "after close_range");
    Ok(())
}

/// F-6, F-8.
fn close_on_exec_releases_in_descending_order() -> Check {
    let order = release_order(&FROM_14, |numbers| {
        for number in numbers {
            fcntl(*number, libc::F_SETFD, libc::FD_CLOEXEC)?;
        }
        Err(exec_self("exec_and_release", &[]))
    })?;
    same!(order, vec![19, 18, 17, 16, 15, 14], "after exec");
    Ok(())
}

fn exec_and_release() -> Check {
    fails!(fcntl(14, libc::F_GETFD, 0), EBADF);
    Ok(())
}

/// A child that holds the write end; killed, its end is awaited by `how`; then the pipe has ended.
fn release_before(how: impl Fn(Pid) -> Check) -> Check {
    let (reader, writer) = pipe()?;
    let child = fork(|| pause_for_ever())?;
    close(writer)?;
    kill(child, SIGKILL)?;
    how(child)?;
    same!(poll_bits(reader)?, libc::POLLHUP, "poll bits once the death is known");
    close(reader)?;
    Ok(())
}

///
fn release_precedes_waitpid_and_sigchld_and_pidfd() -> Check {
    release_before(|child| {
        same!(wait(child)?, SIGKILL, "the status");
        Ok(())
    })?;
    release_before(|child| {
        let args = [child.into(), 0, 0, 0, 0, 0];
        let fd = raw("pidfd_open", libc::SYS_pidfd_open, args)? as Fd;
        poll_one(fd, libc::POLLIN, -1)?;
        Ok(())
    })?;
    // The zombie of the round before may still announce itself: start from a clean queue.
    wait(-1)?;
    signal::block(&[SIGCHLD])?;
    while signal::timed_wait(&[SIGCHLD], 0).is_ok() {}
    release_before(|_| {
        same!(signal::timed_wait(&[SIGCHLD], 20_000)?.0, SIGCHLD, "the signal");
        Ok(())
    })
}

///
fn release_precedes_the_wait_with_many_threads() -> Check {
    let (reader, writer) = pipe()?;
    let ready = Gate::new()?;
    let child = fork(|| {
        for _ in 0..20 {
            std::thread::spawn(move || {
                let _ = ready.open();
                pause_for_ever()
            });
        }
        pause_for_ever()
    })?;
    close(writer)?;
    for _ in 0..20 {
        ready.wait()?;
    }
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    same!(poll_bits(reader)?, libc::POLLHUP, "poll bits once the death is known");
    Ok(())
}

/// F-5.
fn close_during_a_read_keeps_the_file_until_it_returns() -> Check {
    let (near, far) = net::pair(libc::SOCK_STREAM)?;
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = send.send(guests::process::gettid());
        read(near, 8)
    });
    let tid = receive.recv().map_err(|error| error.to_string())?;
    until_asleep(getpid(), tid)?;
    // The channel may make it sleep as well; the read itself is told by its number being taken.
    let call = format!("/proc/self/task/{tid}/syscall");
    while std::fs::read_to_string(&call).is_ok_and(|text| !text.starts_with("0 ")) {
        std::thread::yield_now();
    }
    close(near)?;
    fails!(read(near, 1), EBADF);
    same!(poll_bits(far)?, libc::POLLOUT, "the peer's poll bits after the close");
    write(far, b"hello")?;
    let got = thread.join().map_err(|_| "the thread panicked")??;
    same!(got, b"hello", "what the blocked read got");
    same!(poll_one(far, libc::POLLIN, -1)? & libc::POLLHUP, libc::POLLHUP, "then the peer's bits");
    Ok(())
}

fn lock(fd: Fd, kind: i32, command: i32) -> Sys<()> {
    // SAFETY: valid structs.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = kind as i16;
        small("fcntl", libc::fcntl(fd, command, &lock)).map(|_| ())
    }
}

/// Whether another process could take the POSIX lock now.
fn lock_is_free(path: &std::path::Path) -> Result<bool, String> {
    let child = fork(|| {
        let Ok(fd) = sys::open(path, O_RDWR, 0) else { return 2 };
        match lock(fd, libc::F_WRLCK, libc::F_SETLK) {
            Ok(()) => 0,
            Err(failed) if failed.errno == EAGAIN => 1,
            Err(_) => 3,
        }
    })?;
    match wait(child)? >> 8 {
        0 => Ok(true),
        1 => Ok(false),
        other => Err(format!("the prober ended with {other}")),
    }
}

/// F-11.
fn posix_locks_go_with_any_close() -> Check {
    let path = sys::scratch()?.join("lock");
    let fd = sys::open(&path, O_RDWR | O_CREAT, 0o600)?;
    lock(fd, libc::F_WRLCK, libc::F_SETLK)?;
    same!(lock_is_free(&path)?, false, "free while it is held");
    let other = sys::open(&path, O_RDWR, 0)?;
    close(other)?;
    same!(lock_is_free(&path)?, true, "free after another descriptor of the file was closed");
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// F-11: not kept by the forked child that shares the description.
fn posix_locks_die_with_their_owner() -> Check {
    let path = sys::scratch()?.join("lock");
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let owner = fork_check(|| {
        let fd = sys::open(&path, O_RDWR | O_CREAT, 0o600)?;
        lock(fd, libc::F_WRLCK, libc::F_SETLK)?;
        fork(|| i32::from(go.wait().is_err()))?;
        ready.open()?;
        pause_for_ever()
    })?;
    ready.wait()?;
    same!(lock_is_free(&path)?, false, "free while the owner lives");
    same!(kill_and_wait(owner, SIGKILL)?, SIGKILL, "the status");
    same!(lock_is_free(&path)?, true, "free after its death");
    go.open()?;
    let _ = std::fs::remove_file(&path);
    Ok(())
}

fn flock(fd: Fd, operation: i32) -> Sys<()> {
    // SAFETY: no memory is involved.
    small("flock", unsafe { libc::flock(fd, operation | libc::LOCK_NB) }).map(|_| ())
}

/// F-11.
fn flock_belongs_to_the_description() -> Check {
    let path = sys::scratch()?.join("lock");
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let (alive, held) = pipe()?;
    let owner = fork_check(|| {
        let fd = sys::open(&path, O_RDWR | O_CREAT, 0o600)?;
        flock(fd, libc::LOCK_EX)?;
        fork(|| i32::from(go.wait().is_err()))?;
        ready.open()?;
        pause_for_ever()
    })?;
    close(held)?;
    ready.wait()?;
    let mine = sys::open(&path, O_RDWR, 0)?;
    fails!(flock(mine, libc::LOCK_EX), EAGAIN);
    same!(kill_and_wait(owner, SIGKILL)?, SIGKILL, "the status");
    fails!(flock(mine, libc::LOCK_EX), EAGAIN);
    go.open()?;
    same!(read(alive, 1)?, b"", "the pipe ends with the owner's child");
    // The pipe has a higher number than the file had… or a lower one: wait for the lock itself.
    // SAFETY: no memory is involved.
    small("flock", unsafe { libc::flock(mine, libc::LOCK_EX) })?;
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// F-4, X-10: the mapping has a reference of its own.
fn flock_outlives_the_descriptor_while_the_file_is_mapped() -> Check {
    let path = sys::scratch()?.join("mapped");
    let (fd, other) =
        (sys::open(&path, O_RDWR | O_CREAT, 0o600)?, sys::open(&path, O_RDWR, 0o600)?);
    write(fd, b"mapped")?;
    let at = sys::map(4096, libc::PROT_READ, libc::MAP_SHARED, fd, 0)?;
    flock(fd, libc::LOCK_EX)?;
    close(fd)?;
    fails!(flock(other, libc::LOCK_EX), EAGAIN);
    // SAFETY: nobody uses the mapping.
    small("munmap", unsafe { libc::munmap(at as *mut _, 4096) })?;
    flock(other, libc::LOCK_EX)?;
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// F-12.
fn epoll_item_outlives_its_descriptor() -> Check {
    let (reader, writer) = pipe()?;
    let epoll = epoll()?;
    epoll_ctl(epoll, libc::EPOLL_CTL_ADD, reader, libc::EPOLLIN as u32, 7)?;
    let other = dup(reader)?;
    close(reader)?;
    write(writer, b"x")?;
    same!(epoll_wait(epoll, 8, 0)?, vec![(libc::EPOLLIN as u32, 7)], "events");
    fails!(epoll_ctl(epoll, libc::EPOLL_CTL_DEL, reader, 0, 0), EBADF);
    close(other)?;
    same!(epoll_wait(epoll, 8, 0)?, vec![], "events after the last descriptor");
    Ok(())
}

/// F-10, F-12.
fn epoll_item_goes_with_the_last_reference() -> Check {
    let (reader, writer) = pipe()?;
    let epoll = epoll()?;
    epoll_ctl(epoll, libc::EPOLL_CTL_ADD, reader, libc::EPOLLIN as u32, 7)?;
    write(writer, b"x")?;
    close(reader)?;
    same!(epoll_wait(epoll, 8, 0)?, vec![], "events");
    let rest = dup(0)?;
    same!(rest, reader, "the number is free");
    Ok(())
}

/// proc_pid_fdinfo(5).
fn fdinfo_tells_what_an_object_is() -> Check {
    let told = |fd: Fd| {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"));
        let text = text.map_err(|error| error.to_string())?;
        // Position, flags, mount and inode come first; an eventfd's number is the machine's.
        let own = text.lines().skip(4).filter(|line| !line.starts_with("eventfd-id"));
        Ok::<String, String>(own.collect::<Vec<_>>().join("\n"))
    };
    let counter = raw("eventfd2", libc::SYS_eventfd2, [500, 1, 0, 0, 0, 0])? as Fd;
    let semaphore = "eventfd-count:              1f4\neventfd-semaphore: 1";
    same!(told(counter)?, semaphore, "of an eventfd");
    let timer = raw("timerfd_create", libc::SYS_timerfd_create, [7, 0, 0, 0, 0, 0])? as Fd;
    let disarmed = "clockid: 7\nticks: 0\nsettime flags: 00\nit_value: (0, 0)\nit_interval: (0, 0)";
    same!(told(timer)?, disarmed, "of a timerfd");
    let mask = signal::set(&[SIGCHLD, SIGKILL]);
    let args = [-1, (&raw const mask) as i64, 8, 0, 0, 0];
    let signals = raw("signalfd4", libc::SYS_signalfd4, args)? as Fd;
    same!(told(signals)?, "sigmask:\t0000000000010000", "of a signalfd");
    let set = epoll()?;
    same!(told(set)?, "", "of an empty epoll set");
    epoll_ctl(set, libc::EPOLL_CTL_ADD, counter, libc::EPOLLIN as u32, 77)?;
    let watched = format!("tfd: {counter:8} events:       19 data:               4d  pos:0 ");
    ensure!(told(set)?.starts_with(&watched), "of an epoll set: {}", told(set)?);
    [counter, timer, signals, set].into_iter().try_for_each(close)?;
    Ok(())
}
