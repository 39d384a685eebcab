//! Leases and directory notification: fcntl's F_SETLEASE, F_GETLEASE, F_NOTIFY, F_CREATED_QUERY and
//! F_DUPFD_QUERY. See fcntl(2), fcntl_setlease(2), F_NOTIFY(2const).

use guests::process::{Gate, fork, fork_check, until_asleep, wait_ok};
use guests::signal::block;
use guests::sys::{Fd, close, dup, fcntl, open, read, scratch, write};
use guests::{Check, fails, same};
use libc::{EAGAIN, EBADF, EINVAL, ENOTDIR, F_RDLCK, F_UNLCK, F_WRLCK, SIGIO, SIGRTMIN};
use libc::{O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use std::path::{Path, PathBuf};

guests::cases! {
    a_lease_needs_a_file_that_nobody_else_has_open,
    an_open_waits_for_the_lease_s_holder,
    a_reader_waits_for_a_write_lease_to_be_less,
    an_open_that_may_not_wait_is_refused,
    a_lease_goes_with_its_description,
    a_directory_tells_what_changes_in_it,
    a_description_knows_whether_it_made_the_file,
}

const F_SETLEASE: i32 = 1024;
const F_GETLEASE: i32 = 1025;
const F_NOTIFY: i32 = 1026;
const F_DUPFD_QUERY: i32 = 1027;
const F_CREATED_QUERY: i32 = 1028;
const F_SETSIG: i32 = 10;

fn lease(fd: Fd) -> Result<i32, String> {
    fcntl(fd, F_GETLEASE, 0).map_err(String::from)
}

/// A file in a directory of its own; where leases are not permitted (another file system than
/// Linux's own), None.
fn file() -> Result<Option<(PathBuf, PathBuf)>, String> {
    let place = scratch()?;
    let path = place.join("leased");
    std::fs::write(&path, "text").map_err(|error| error.to_string())?;
    let fd = open(&path, O_RDONLY, 0)?;
    let possible = fcntl(fd, F_SETLEASE, F_WRLCK).is_ok();
    close(fd)?;
    if !possible {
        clean(&place, &path);
        return Ok(None);
    }
    Ok(Some((place, path)))
}

fn clean(place: &Path, path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir(place);
}

/// fcntl_setlease(2), ERRORS.
fn a_lease_needs_a_file_that_nobody_else_has_open() -> Check {
    let Some((place, path)) = file()? else { return Ok(()) };
    let reader = open(&path, O_RDONLY, 0)?;
    same!(lease(reader)?, F_UNLCK, "at first");
    fails!(fcntl(reader, F_SETLEASE, 77), EINVAL);
    fails!(fcntl(reader, F_SETLEASE, F_UNLCK), EAGAIN);
    let other = open(&path, O_RDONLY, 0)?;
    fails!(fcntl(reader, F_SETLEASE, F_WRLCK), EAGAIN);
    fcntl(reader, F_SETLEASE, F_RDLCK)?;
    fcntl(other, F_SETLEASE, F_RDLCK)?;
    same!((lease(reader)?, lease(other)?), (F_RDLCK, F_RDLCK), "two readers");
    fcntl(other, F_SETLEASE, F_UNLCK)?;
    close(other)?;
    fcntl(reader, F_SETLEASE, F_WRLCK)?;
    same!(lease(reader)?, F_WRLCK, "alone");
    close(reader)?;
    let writer = open(&path, O_RDWR, 0)?;
    fails!(fcntl(writer, F_SETLEASE, F_RDLCK), EAGAIN);
    fcntl(writer, F_SETLEASE, F_WRLCK)?;
    close(writer)?;
    let dir = open(&place, O_RDONLY, 0)?;
    fails!(fcntl(dir, F_SETLEASE, F_RDLCK), EINVAL);
    clean(&place, &path);
    Ok(())
}

/// The next of a blocked signal: its si_code and si_fd.
fn told(signal: i32) -> Result<(i32, Fd), String> {
    // SAFETY: one set, one record, whose si_fd stands behind si_band.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        let mut info: libc::siginfo_t = std::mem::zeroed();
        same!(libc::sigwaitinfo(&set, &mut info), signal, "the signal");
        let fd = *(&raw const info).cast::<i32>().add(6);
        Ok((info.si_code, fd))
    }
}

const POLL_MSG: i32 = 3;

/// fcntl_setlease(2), lease breaking.
fn an_open_waits_for_the_lease_s_holder() -> Check {
    let Some((place, path)) = file()? else { return Ok(()) };
    let signal = SIGRTMIN();
    block(&[signal])?;
    let fd = open(&path, O_RDONLY, 0)?;
    fcntl(fd, F_SETSIG, signal)?;
    fcntl(fd, F_SETLEASE, F_RDLCK)?;
    let tells = Gate::new()?;
    let breaker = fork_check(|| {
        let writer = open(&path, O_WRONLY, 0)?;
        write(writer, b"T")?;
        tells.open().map_err(String::from)
    })?;
    same!(told(signal)?, (POLL_MSG, fd), "what the holder is told");
    same!(lease(fd)?, F_UNLCK, "what it is to be");
    until_asleep(breaker, breaker)?;
    same!(read(fd, 4)?, b"text", "the file until then");
    fcntl(fd, F_SETLEASE, F_UNLCK)?;
    tells.wait()?;
    wait_ok(breaker)?;
    same!(std::fs::read(&path).ok(), Some(b"Text".to_vec()), "the file then");
    clean(&place, &path);
    Ok(())
}

/// fcntl_setlease(2): a F_WRLCK becomes a F_RDLCK for a reader.
fn a_reader_waits_for_a_write_lease_to_be_less() -> Check {
    let Some((place, path)) = file()? else { return Ok(()) };
    block(&[SIGIO])?;
    let fd = open(&path, O_RDONLY, 0)?;
    fcntl(fd, F_SETLEASE, F_WRLCK)?;
    let breaker = fork(|| i32::from(open(&path, O_RDONLY, 0).is_err()))?;
    let set = guests::signal::set(&[SIGIO]);
    let mut got = 0;
    // SAFETY: one set, one number.
    unsafe { libc::sigwait(&set, &mut got) };
    same!((got, lease(fd)?), (SIGIO, F_RDLCK), "what it is to be");
    fcntl(fd, F_SETLEASE, F_RDLCK)?;
    wait_ok(breaker)?;
    same!(lease(fd)?, F_RDLCK, "what is left");
    // To truncate it takes the end of the lease.
    let breaker = fork(|| {
        let cut = std::fs::OpenOptions::new().write(true).open(&path);
        i32::from(cut.and_then(|file| file.set_len(1)).is_err())
    })?;
    // SAFETY: one set, one number.
    unsafe { libc::sigwait(&set, &mut got) };
    same!(lease(fd)?, F_UNLCK, "for a writer");
    fcntl(fd, F_SETLEASE, F_UNLCK)?;
    wait_ok(breaker)?;
    clean(&place, &path);
    Ok(())
}

/// open(2), EWOULDBLOCK.
fn an_open_that_may_not_wait_is_refused() -> Check {
    let Some((place, path)) = file()? else { return Ok(()) };
    block(&[SIGIO])?;
    let fd = open(&path, O_RDONLY, 0)?;
    fcntl(fd, F_SETLEASE, F_RDLCK)?;
    close(open(&path, O_RDONLY | O_NONBLOCK, 0)?)?;
    same!(guests::signal::pending(), [0; 0], "a reader is no matter");
    fails!(open(&path, O_WRONLY | O_NONBLOCK, 0), EAGAIN);
    same!(guests::signal::pending(), [SIGIO], "a writer is");
    fcntl(fd, F_SETLEASE, F_UNLCK)?;
    close(open(&path, O_WRONLY | O_NONBLOCK, 0)?)?;
    clean(&place, &path);
    Ok(())
}

/// fcntl_setlease(2): "associated with the open file description".
fn a_lease_goes_with_its_description() -> Check {
    let Some((place, path)) = file()? else { return Ok(()) };
    let fd = open(&path, O_RDONLY, 0)?;
    fcntl(fd, F_SETLEASE, F_RDLCK)?;
    let copy = dup(fd)?;
    close(fd)?;
    same!(lease(copy)?, F_RDLCK, "by another descriptor");
    let child = fork(|| i32::from(lease(copy) != Ok(F_RDLCK)))?;
    wait_ok(child)?;
    same!(lease(copy)?, F_RDLCK, "after the child's exit");
    close(copy)?;
    close(open(&path, O_WRONLY | O_NONBLOCK, 0)?)?;
    clean(&place, &path);
    Ok(())
}

/// F_NOTIFY(2const).
fn a_directory_tells_what_changes_in_it() -> Check {
    const DN_CREATE: i32 = 4;
    const DN_RENAME: i32 = 0x10;
    const DN_ATTRIB: i32 = 0x20;
    const DN_MULTISHOT: i32 = i32::MIN;
    let signal = SIGRTMIN();
    block(&[signal])?;
    let place = scratch()?;
    let (path, other) = (place.join("a"), place.join("b"));
    let dir = open(&place, O_RDONLY, 0)?;
    fcntl(dir, F_SETSIG, signal)?;
    fcntl(dir, F_NOTIFY, DN_CREATE)?;
    std::fs::write(&path, "").map_err(|error| error.to_string())?;
    same!(told(signal)?, (POLL_MSG, dir), "a new file");
    std::fs::write(&other, "").map_err(|error| error.to_string())?;
    same!(guests::signal::pending(), [0; 0], "only once");
    let file = open(&path, O_RDONLY, 0)?;
    fails!(fcntl(file, F_NOTIFY, DN_CREATE), ENOTDIR);
    fcntl(dir, F_NOTIFY, DN_RENAME | DN_ATTRIB | DN_MULTISHOT)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).map_err(|error| error.to_string())?;
    same!(told(signal)?, (POLL_MSG, dir), "a changed mode");
    std::fs::rename(&path, &other).map_err(|error| error.to_string())?;
    same!(told(signal)?, (POLL_MSG, dir), "a new name");
    // Its attributes too: its target has a name less.
    while guests::signal::pending() == [signal] {
        told(signal)?;
    }
    fcntl(dir, F_NOTIFY, 0)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&other, mode).map_err(|error| error.to_string())?;
    same!(guests::signal::pending(), [0; 0], "no more");
    clean(&place, &other);
    Ok(())
}

/// fcntl(2).
fn a_description_knows_whether_it_made_the_file() -> Check {
    let place = scratch()?;
    let path = place.join("made");
    let made = open(&path, O_CREAT | O_RDWR, 0o600)?;
    let again = open(&path, O_CREAT | O_RDWR, 0o600)?;
    // Before 6.12 there is no such question.
    if fcntl(made, F_CREATED_QUERY, 0).is_ok() {
        same!(fcntl(made, F_CREATED_QUERY, 0)?, 1, "who made it");
        same!(fcntl(again, F_CREATED_QUERY, 0)?, 0, "who found it");
    }
    if fcntl(made, F_DUPFD_QUERY, made).is_ok() {
        let copy = dup(made)?;
        same!(fcntl(made, F_DUPFD_QUERY, copy)?, 1, "a duplicate");
        same!(fcntl(made, F_DUPFD_QUERY, again)?, 0, "another description");
        fails!(fcntl(made, F_DUPFD_QUERY, 999), EBADF);
    }
    clean(&place, &path);
    Ok(())
}
