//! What processes share and how they take it apart or get at it: kcmp, unshare, pidfd_getfd, numbers
//! that clone3 wishes for, pidfd_send_signal to an open /proc/PID, the core bit of a wait status. See
//! kcmp(2), unshare(2), pidfd_getfd(2), clone3(2), core(5); rules F-1, S-7, S-44, X-24, X-25.

use guests::process::{Gate, clone_fork, fork, fork_check, getpid, pause_for_ever, wait, wait_ok};
use guests::sys::{Fd, Sys, close, dup, fcntl, open, pipe, raw, read, scratch, write};
use guests::{Check, ensure, fails, same};
use libc::{CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_THREAD, CLONE_VM, SIGCHLD, SIGKILL};
use libc::{EBADF, EEXIST, EINVAL, EPERM, ESRCH};
use std::path::Path;

guests::cases! {
    kcmp_tells_the_same_from_others,
    unshare_gives_a_table_of_ones_own,
    unshare_gives_a_directory_of_ones_own,
    unshare_refuses_what_it_cannot_do,
    pidfd_getfd_gets_what_another_has_open,
    pidfd_getfd_checks_its_arguments,
    an_open_proc_directory_is_signalled_as_a_pidfd,
    clone3_gives_the_number_that_it_is_asked_for,
    a_core_signal_sets_the_core_bit_where_there_is_room,
    memory_of_another_process_is_read_and_written,
    personalities_are_told_and_obeyed,
    a_childs_default_timer_slack_is_its_parents_current_one,
}

const KCMP_FILE: i64 = 0;
const KCMP_VM: i64 = 1;
const KCMP_FILES: i64 = 2;
const KCMP_FS: i64 = 3;

fn kcmp(a: i32, b: i32, kind: i64, x: Fd, y: Fd) -> Sys<i64> {
    let args = [a.into(), b.into(), kind, x.into(), y.into(), 0];
    raw("kcmp", libc::SYS_kcmp, args)
}

fn pidfd_open(pid: i32) -> Sys<Fd> {
    raw("pidfd_open", libc::SYS_pidfd_open, [pid.into(), 0, 0, 0, 0, 0]).map(|fd| fd as Fd)
}

fn pidfd_getfd(pidfd: Fd, fd: Fd, flags: i64) -> Sys<Fd> {
    let args = [pidfd.into(), fd.into(), flags, 0, 0, 0];
    raw("pidfd_getfd", libc::SYS_pidfd_getfd, args).map(|fd| fd as Fd)
}

fn unshare(flags: i32) -> Sys<i64> {
    raw("unshare", libc::SYS_unshare, [flags.into(), 0, 0, 0, 0, 0])
}

/// kcmp(2).
fn kcmp_tells_the_same_from_others() -> Check {
    let (reader, writer) = pipe()?;
    let copy = dup(reader)?;
    let me = getpid();
    same!(kcmp(me, me, KCMP_FILE, reader, copy)?, 0, "a duplicate");
    ensure!(kcmp(me, me, KCMP_FILE, reader, writer)? != 0, "two ends of a pipe are the same");
    let child = clone_fork(CLONE_FILES | SIGCHLD, || pause_for_ever())?;
    same!(kcmp(me, child, KCMP_FILES, 0, 0)?, 0, "a shared table");
    ensure!(kcmp(me, child, KCMP_VM, 0, 0)? != 0, "copied memory is the same");
    ensure!(kcmp(me, child, KCMP_FS, 0, 0)? != 0, "a copied directory is the same");
    fails!(kcmp(me, child, 99, 0, 0), EINVAL);
    fails!(kcmp(me, child, KCMP_FILE, reader, 999), EBADF);
    guests::process::kill_and_wait(child, SIGKILL)?;
    fails!(kcmp(me, child, KCMP_FILE, 0, 0), ESRCH);
    Ok(())
}

/// unshare(2), rule F-1.
fn unshare_gives_a_table_of_ones_own() -> Check {
    let (reader, _writer) = pipe()?;
    let child = clone_fork(CLONE_FILES | SIGCHLD, || {
        let apart = unshare(CLONE_FILES).is_ok() && close(reader).is_ok();
        i32::from(!apart)
    })?;
    same!(wait(child)?, 0, "the child's status");
    fcntl(reader, libc::F_GETFD, 0)?;
    Ok(())
}

/// unshare(2).
fn unshare_gives_a_directory_of_ones_own() -> Check {
    let child = clone_fork(CLONE_FS | SIGCHLD, || {
        let apart = unshare(CLONE_FS).is_ok() && std::env::set_current_dir("/proc").is_ok();
        i32::from(!apart)
    })?;
    same!(wait(child)?, 0, "the child's status");
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    ensure!(here != Path::new("/proc"), "the child took us along");
    Ok(())
}

/// unshare(2), ERRORS.
fn unshare_refuses_what_it_cannot_do() -> Check {
    fails!(unshare(1), EINVAL);
    fails!(unshare(-1), EINVAL);
    // Alone, there is nothing to take apart.
    same!(unshare(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)?, 0, "alone");
    let (release, wait_here) = (Gate::new()?, Gate::new()?);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = release.open();
            let _ = wait_here.wait();
        });
        release.wait()?;
        let refused = [CLONE_THREAD, CLONE_SIGHAND, CLONE_VM].map(unshare);
        wait_here.open()?;
        for result in refused {
            fails!(result, EINVAL);
        }
        Ok(())
    })
}

/// pidfd_getfd(2).
fn pidfd_getfd_gets_what_another_has_open() -> Check {
    let (reader, writer) = pipe()?;
    let (told, tells) = pipe()?;
    let child = fork(move || {
        let ours = pipe().and_then(|(r, w)| write(w, b"theirs").map(|_| r));
        let Ok(ours) = ours else { return 1 };
        let said = write(tells, &[ours as u8]).is_ok();
        let _ = read(reader, 1);
        i32::from(!said)
    })?;
    let theirs = Fd::from(read(told, 1)?[0]);
    let pidfd = pidfd_open(child)?;
    let got = pidfd_getfd(pidfd, theirs, 0)?;
    same!(fcntl(got, libc::F_GETFD, 0)?, libc::FD_CLOEXEC, "its flags");
    same!(read(got, 9)?, b"theirs", "what is in it");
    write(writer, b"x")?;
    same!(wait(child)?, 0, "the child's status");
    fails!(pidfd_getfd(pidfd, theirs, 0), ESRCH);
    Ok(())
}

/// pidfd_getfd(2), ERRORS.
fn pidfd_getfd_checks_its_arguments() -> Check {
    let myself = pidfd_open(getpid())?;
    let (reader, _writer) = pipe()?;
    fails!(pidfd_getfd(myself, reader, 1), EINVAL);
    fails!(pidfd_getfd(myself, 999, 0), EBADF);
    fails!(pidfd_getfd(reader, 0, 0), EBADF);
    fails!(pidfd_getfd(999, 0, 0), EBADF);
    Ok(())
}

/// pidfd_send_signal(2), rules S-7, X-24.
fn an_open_proc_directory_is_signalled_as_a_pidfd() -> Check {
    let child = fork(|| pause_for_ever())?;
    let path = format!("/proc/{child}");
    let dir = open(Path::new(&path), libc::O_DIRECTORY | libc::O_RDONLY, 0)?;
    let send = |fd: Fd| {
        let args = [fd.into(), SIGKILL.into(), 0, 0, 0, 0];
        raw("pidfd_send_signal", libc::SYS_pidfd_send_signal, args)
    };
    let (reader, _writer) = pipe()?;
    fails!(send(reader), EBADF);
    let proc = open(Path::new("/proc"), libc::O_DIRECTORY | libc::O_RDONLY, 0)?;
    fails!(send(proc), EBADF);
    send(dir)?;
    same!(wait(child)?, SIGKILL, "the child's status");
    fails!(send(dir), ESRCH);
    Ok(())
}

/// clone3 of a child with this number, which exits at once.
fn clone3_as(wish: &[i32]) -> Sys<i64> {
    let mut args = [0_u64; 11];
    args[4] = SIGCHLD as u64;
    args[8] = wish.as_ptr() as u64;
    args[9] = wish.len() as u64;
    let call = [args.as_ptr() as i64, size_of_val(&args) as i64, 0, 0, 0, 0];
    let pid = raw("clone3", libc::SYS_clone3, call)?;
    if pid == 0 {
        // SAFETY: the child has nothing to clean up.
        unsafe { libc::_exit(0) }
    }
    Ok(pid)
}

/// clone3(2), rule X-25: who may not choose gets EPERM.
fn clone3_gives_the_number_that_it_is_asked_for() -> Check {
    let child = fork_check(|| {
        let first = fork(|| 0)?;
        wait_ok(first)?;
        fails!(clone3_as(&[first; 33]), EINVAL);
        // SAFETY: no arguments.
        if unsafe { libc::geteuid() } != 0 {
            fails!(clone3_as(&[first]), EPERM);
            return Ok(());
        }
        match clone3_as(&[first]) {
            // Somebody else got the number meanwhile.
            Err(failed) if failed.errno == EEXIST => {}
            // Root without CAP_CHECKPOINT_RESTORE, as in a container.
            Err(failed) if failed.errno == EPERM => return Ok(()),
            got => {
                same!(got?, i64::from(first), "the number");
                wait_ok(first)?;
            }
        }
        fails!(clone3_as(&[getpid()]), EEXIST);
        fails!(clone3_as(&[-1]), EINVAL);
        fails!(clone3_as(&[0]), EINVAL);
        fails!(clone3_as(&[1 << 30]), EINVAL);
        Ok(())
    })?;
    wait_ok(child)
}

/// How a child ends that aborts with this limit of a core's size, in a directory of its own.
fn status_of_an_abort(limit: u64) -> Result<i32, String> {
    let place = scratch()?;
    let child = fork(move || {
        let there = std::env::set_current_dir(&place).is_ok();
        if !there || guests::sys::set_limit(libc::RLIMIT_CORE, limit).is_err() {
            return 1;
        }
        // SAFETY: it ends this process.
        unsafe { libc::abort() }
    })?;
    Ok(wait(child)?)
}

/// core(5), rule S-44.
fn a_core_signal_sets_the_core_bit_where_there_is_room() -> Check {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a place for the limits.
    unsafe { libc::getrlimit(libc::RLIMIT_CORE, &mut limit) };
    same!(status_of_an_abort(0)?, libc::SIGABRT, "without room");
    if limit.rlim_max >= 1 << 16 {
        same!(status_of_an_abort(1 << 16)?, libc::SIGABRT | 0x80, "with room");
    }
    Ok(())
}

/// process_vm_readv(2) and process_vm_writev(2).
fn memory_of_another_process_is_read_and_written() -> Check {
    let word = [0x11_u8; 8];
    let child = fork(|| pause_for_ever())?;
    let move_bytes = |number: i64, pid: i32, mine: &mut [u8], theirs: usize, flags: i64| {
        let local = libc::iovec { iov_base: mine.as_mut_ptr().cast(), iov_len: mine.len() };
        let remote = libc::iovec { iov_base: theirs as *mut _, iov_len: mine.len() };
        let lists = [&raw const local as i64, &raw const remote as i64];
        raw("process_vm", number, [pid.into(), lists[0], 1, lists[1], 1, flags])
    };
    let at = word.as_ptr() as usize;
    let (readv, writev) = (libc::SYS_process_vm_readv, libc::SYS_process_vm_writev);
    let mut bytes = [0x22_u8; 8];
    same!(move_bytes(writev, child, &mut bytes, at, 0)?, 8, "bytes written");
    same!(word, [0x11; 8], "our own word");
    let mut back = [0; 8];
    same!(move_bytes(readv, child, &mut back, at, 0)?, 8, "bytes read");
    same!(back, [0x22; 8], "the child's word");
    fails!(move_bytes(readv, child, &mut back, at, 1), EINVAL);
    fails!(move_bytes(readv, child, &mut back, 8, 0), libc::EFAULT);
    guests::process::kill_and_wait(child, SIGKILL)?;
    fails!(move_bytes(readv, child, &mut back, at, 0), ESRCH);
    Ok(())
}

/// personality(2): STICKY_TIMEOUTS, UNAME26.
fn personalities_are_told_and_obeyed() -> Check {
    let persona = |flags: i64| raw("personality", libc::SYS_personality, [flags, 0, 0, 0, 0, 0]);
    let before = persona(0xffff_ffff)?;
    persona(i64::from(libc::STICKY_TIMEOUTS) | i64::from(libc::UNAME26))?;
    let both = i64::from(libc::STICKY_TIMEOUTS) | i64::from(libc::UNAME26);
    same!(persona(0xffff_ffff)?, both, "what was set");
    // SAFETY: uname writes into the struct; select waits on nothing for a moment.
    let (release, left) = unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&mut names);
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 1000 };
        let none = std::ptr::null_mut();
        libc::select(0, none, none, none, &mut time);
        (std::ffi::CStr::from_ptr(names.release.as_ptr()).to_bytes().to_vec(), time.tv_usec)
    };
    ensure!(release.starts_with(b"2.6."), "the release is {release:?}");
    same!(left, 1000, "the time that select was given");
    persona(before)?;
    Ok(())
}

/// prctl(2): PR_SET_TIMERSLACK.
fn a_childs_default_timer_slack_is_its_parents_current_one() -> Check {
    let slack =
        |option: i32, value: i64| raw("prctl", libc::SYS_prctl, [option.into(), value, 0, 0, 0, 0]);
    slack(libc::PR_SET_TIMERSLACK, 70_000)?;
    let child = fork_check(|| {
        slack(libc::PR_SET_TIMERSLACK, 5)?;
        slack(libc::PR_SET_TIMERSLACK, 0)?;
        same!(slack(libc::PR_GET_TIMERSLACK, 0)?, 70_000, "the child's default");
        Ok(())
    })?;
    wait_ok(child)
}
