//! inotify(7): what is told of files and directories that are watched, in which order. The cases
//! work in a fresh directory below the temporary one.

use guests::process::{fork, fork_check, kill, until_asleep, wait_ok};
use guests::signal::handle;
use guests::sys::{
    self, Fd, Sys, c_path, close, epoll, epoll_ctl, epoll_wait, fcntl, open, poll_bits, scratch,
    small, write,
};
use guests::{Check, ensure, fails, same};
use libc::{
    EACCES, EAGAIN, EBADF, EEXIST, EINTR, EINVAL, ENOENT, ENOTDIR, IN_ACCESS, IN_ALL_EVENTS,
    IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF,
    IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD, IN_MASK_CREATE, IN_MODIFY,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT, IN_ONLYDIR, IN_OPEN, IN_Q_OVERFLOW,
    O_CREAT, O_PATH, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, SIGUSR1,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

guests::cases! {
    a_directory_tells_what_happens_in_it,
    a_file_tells_what_happens_to_it,
    directory_and_file_are_told_one_after_the_other,
    a_new_file_is_created_opened_and_closed,
    truncation_is_a_modification,
    attributes_and_times_are_told,
    directories_come_and_go_with_isdir,
    reading_a_directory_is_an_access,
    a_move_has_two_halves_with_one_cookie,
    a_move_over_a_file_ends_that_files_watch,
    a_deleted_file_ends_its_watch,
    an_open_file_lives_on_after_its_name,
    hard_links_change_the_attributes,
    a_removed_watched_directory_says_so,
    events_like_the_last_are_merged,
    a_mask_chooses_what_is_told,
    a_mask_can_be_replaced_or_added_to,
    a_oneshot_watch_ends_with_its_first_event,
    unlinked_names_can_be_left_out,
    a_removed_watch_is_ignored,
    links_are_followed_unless_told_not_to,
    bad_arguments_are_refused,
    small_buffers_are_refused_and_larger_ones_filled,
    a_reader_waits_for_an_event,
    poll_and_epoll_see_events,
    a_signal_interrupts_a_reader,
    a_full_queue_says_so_once,
    path_descriptors_are_silent,
    writes_by_another_process_are_told,
    copies_between_files_are_told,
    executing_a_file_opens_and_closes_it; then nothing
}

/// Mask, cookie present, name.
type Event = (i32, u32, bool, String);

fn start(flags: i32) -> Sys<Fd> {
    // SAFETY: no memory is passed.
    small("inotify_init1", unsafe { libc::inotify_init1(flags) })
}

fn watch(fd: Fd, path: &Path, mask: u32) -> Sys<i32> {
    let path = c_path(path);
    // SAFETY: a string that ends with a zero.
    small("inotify_add_watch", unsafe { libc::inotify_add_watch(fd, path.as_ptr(), mask) })
}

fn unwatch(fd: Fd, wd: i32) -> Sys<i32> {
    // SAFETY: no memory is passed.
    small("inotify_rm_watch", unsafe { libc::inotify_rm_watch(fd, wd) })
}

fn parse(mut bytes: &[u8]) -> Vec<(Event, u32)> {
    let mut events = vec![];
    while bytes.len() >= 16 {
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| bytes[4 * at + i]));
        let (wd, mask, cookie, len) = (word(0) as i32, word(1), word(2), word(3) as usize);
        let name = bytes[16..16 + len].split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        events.push(((wd, mask, cookie != 0, name), cookie));
        bytes = &bytes[16 + len..];
    }
    events
}

/// All that is there to be read.
fn events(fd: Fd) -> Sys<Vec<Event>> {
    Ok(with_cookies(fd)?.into_iter().map(|(event, _)| event).collect())
}

fn with_cookies(fd: Fd) -> Sys<Vec<(Event, u32)>> {
    if poll_bits(fd)? == 0 {
        return Ok(vec![]);
    }
    sys::read(fd, 1 << 16).map(|bytes| parse(&bytes))
}

fn event(wd: i32, mask: u32, name: &str) -> Event {
    (wd, mask, false, name.to_owned())
}

fn touch(path: &Path) -> Check {
    fs::write(path, b"text").map_err(|error| format!("{}: {error}", path.display()))
}

/// The result of std's own wrappers.
fn done<T>(result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// A directory with a file `f`.
fn place() -> Result<(PathBuf, PathBuf), String> {
    let dir = scratch()?;
    touch(&dir.join("f"))?;
    Ok((dir.clone(), dir.join("f")))
}

fn a_directory_tells_what_happens_in_it() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_ALL_EVENTS)?;
    same!(wd, 1, "the first watch");
    let f = open(&file, O_RDWR, 0)?;
    sys::read(f, 2)?;
    write(f, b"x")?;
    close(f)?;
    let expected = [IN_OPEN, IN_ACCESS, IN_MODIFY, IN_CLOSE_WRITE].map(|mask| event(wd, mask, "f"));
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn a_file_tells_what_happens_to_it() -> Check {
    let (_, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_ALL_EVENTS)?;
    close(open(&file, O_RDONLY, 0)?)?;
    let f = open(&file, O_WRONLY, 0)?;
    // Nothing written, nothing told.
    write(f, b"")?;
    close(f)?;
    let expected =
        [IN_OPEN, IN_CLOSE_NOWRITE, IN_OPEN, IN_CLOSE_WRITE].map(|mask| event(wd, mask, ""));
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn directory_and_file_are_told_one_after_the_other() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let (on_file, on_dir) = (watch(fd, &file, IN_OPEN)?, watch(fd, &dir, IN_OPEN)?);
    same!((on_file, on_dir), (1, 2), "the watches");
    let _open = open(&file, O_RDONLY, 0)?;
    let expected = [event(on_dir, IN_OPEN, "f"), event(on_file, IN_OPEN, "")];
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn a_new_file_is_created_opened_and_closed() -> Check {
    let (dir, _) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_ALL_EVENTS)?;
    close(open(&dir.join("new"), O_CREAT | O_WRONLY | O_TRUNC, 0o600)?)?;
    done(symlink("f", dir.join("link")))?;
    let expected = [
        event(wd, IN_CREATE, "new"),
        event(wd, IN_OPEN, "new"),
        event(wd, IN_CLOSE_WRITE, "new"),
        event(wd, IN_CREATE, "link"),
    ];
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn truncation_is_a_modification() -> Check {
    let (_, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_ALL_EVENTS)?;
    let f = open(&file, O_WRONLY | O_TRUNC, 0)?;
    // SAFETY: no memory is passed.
    small("ftruncate", unsafe { libc::ftruncate(f, 5) })?;
    close(f)?;
    let mut told = events(fd)?;
    // Which of the first two comes first differs between kernels.
    told[..2].sort();
    let masks = [IN_MODIFY, IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE].map(|mask| event(wd, mask, ""));
    let merged = [IN_MODIFY, IN_OPEN, IN_CLOSE_WRITE].map(|mask| event(wd, mask, ""));
    ensure!(told == masks || told == merged, "{told:?}");
    Ok(())
}

fn attributes_and_times_are_told() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let on_dir = watch(fd, &dir, IN_ALL_EVENTS)?;
    done(fs::set_permissions(&file, fs::Permissions::from_mode(0o640)))?;
    same!(events(fd)?, [event(on_dir, IN_ATTRIB, "f")], "chmod");
    let path = c_path(&file);
    let set = |atime: i64, mtime: i64| {
        let time = |nsec| libc::timespec { tv_sec: 1, tv_nsec: nsec };
        let times = [time(atime), time(mtime)];
        // SAFETY: a string and two times.
        small("utimensat", unsafe { libc::utimensat(-100, path.as_ptr(), times.as_ptr(), 0) })
    };
    set(0, 0)?;
    set(0, libc::UTIME_OMIT)?;
    set(libc::UTIME_OMIT, 0)?;
    set(libc::UTIME_OMIT, libc::UTIME_OMIT)?;
    let expected = [IN_ATTRIB, IN_ACCESS, IN_MODIFY].map(|mask| event(on_dir, mask, "f"));
    same!(events(fd)?, expected, "utimensat");
    // SAFETY: a string; the ids stay as they are.
    let own = unsafe { (libc::geteuid(), libc::getegid()) };
    small("chown", unsafe { libc::chown(path.as_ptr(), own.0, own.1) })?;
    same!(events(fd)?, [event(on_dir, IN_ATTRIB, "f")], "chown");
    Ok(())
}

fn directories_come_and_go_with_isdir() -> Check {
    let (dir, _) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_CREATE | IN_DELETE | IN_ATTRIB)?;
    done(fs::create_dir(dir.join("d")))?;
    done(fs::set_permissions(dir.join("d"), fs::Permissions::from_mode(0o700)))?;
    done(fs::remove_dir(dir.join("d")))?;
    let expected = [IN_CREATE, IN_ATTRIB, IN_DELETE].map(|mask| event(wd, mask | IN_ISDIR, "d"));
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn reading_a_directory_is_an_access() -> Check {
    let (dir, _) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_ALL_EVENTS)?;
    same!(done(fs::read_dir(&dir))?.count(), 1, "names");
    let expected =
        [IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE].map(|mask| event(wd, mask | IN_ISDIR, ""));
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn a_move_has_two_halves_with_one_cookie() -> Check {
    let (dir, file) = place()?;
    done(fs::create_dir(dir.join("d")))?;
    let fd = start(0)?;
    let (a, b) = (watch(fd, &dir, IN_ALL_EVENTS)?, watch(fd, &dir.join("d"), IN_ALL_EVENTS)?);
    let f = watch(fd, &file, IN_ALL_EVENTS)?;
    done(fs::rename(&file, dir.join("d/g")))?;
    let told = with_cookies(fd)?;
    let moved = |wd, mask, name: &str| (wd, mask, true, name.to_owned());
    let expected =
        [moved(a, IN_MOVED_FROM, "f"), moved(b, IN_MOVED_TO, "g"), event(f, IN_MOVE_SELF, "")];
    let plain: Vec<Event> = told.iter().map(|(event, _)| event.clone()).collect();
    same!(plain, expected, "the events");
    same!(told[0].1, told[1].1, "the cookies");
    done(fs::rename(dir.join("d"), dir.join("e")))?;
    let again = with_cookies(fd)?;
    same!(again[0].0, moved(a, IN_MOVED_FROM | IN_ISDIR, "d"), "a directory's first half");
    ensure!(again[0].1 != told[0].1, "another move has the same cookie");
    same!(again[2].0, event(b, IN_MOVE_SELF, ""), "without IN_ISDIR");
    Ok(())
}

fn a_move_over_a_file_ends_that_files_watch() -> Check {
    let (dir, file) = place()?;
    touch(&dir.join("g"))?;
    let fd = start(0)?;
    let wd = watch(fd, &dir.join("g"), IN_ALL_EVENTS)?;
    done(fs::rename(&file, dir.join("g")))?;
    let expected = [IN_ATTRIB, IN_DELETE_SELF, IN_IGNORED].map(|mask| event(wd, mask, ""));
    same!(events(fd)?, expected, "the events");
    fails!(unwatch(fd, wd), EINVAL);
    Ok(())
}

fn a_deleted_file_ends_its_watch() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_ALL_EVENTS)?;
    let on_dir = watch(fd, &dir, IN_DELETE)?;
    done(fs::remove_file(&file))?;
    let expected = [
        event(wd, IN_ATTRIB, ""),
        event(wd, IN_DELETE_SELF, ""),
        event(wd, IN_IGNORED, ""),
        event(on_dir, IN_DELETE, "f"),
    ];
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn an_open_file_lives_on_after_its_name() -> Check {
    let (dir, file) = place()?;
    let f = open(&file, O_RDWR, 0)?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_ALL_EVENTS)?;
    let on_dir = watch(fd, &dir, IN_ALL_EVENTS)?;
    done(fs::remove_file(&file))?;
    let expected = [event(wd, IN_ATTRIB, ""), event(on_dir, IN_DELETE, "f")];
    same!(events(fd)?, expected, "after unlink");
    write(f, b"x")?;
    let expected = [event(on_dir, IN_MODIFY, "f"), event(wd, IN_MODIFY, "")];
    same!(events(fd)?, expected, "after a write");
    close(f)?;
    let expected = [
        event(on_dir, IN_CLOSE_WRITE, "f"),
        event(wd, IN_CLOSE_WRITE, ""),
        event(wd, IN_DELETE_SELF, ""),
        event(wd, IN_IGNORED, ""),
    ];
    same!(events(fd)?, expected, "after close");
    Ok(())
}

fn hard_links_change_the_attributes() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_ALL_EVENTS)?;
    let on_dir = watch(fd, &dir, IN_ALL_EVENTS)?;
    done(fs::hard_link(&file, dir.join("g")))?;
    done(fs::remove_file(&file))?;
    let expected = [
        event(wd, IN_ATTRIB, ""),
        event(on_dir, IN_CREATE, "g"),
        event(wd, IN_ATTRIB, ""),
        event(on_dir, IN_DELETE, "f"),
    ];
    same!(events(fd)?, expected, "the events");
    close(open(&dir.join("g"), O_RDONLY, 0)?)?;
    same!(events(fd)?[1], event(wd, IN_OPEN, ""), "by its other name");
    Ok(())
}

fn a_removed_watched_directory_says_so() -> Check {
    let (dir, _) = place()?;
    let sub = dir.join("d");
    done(fs::create_dir(&sub))?;
    let fd = start(0)?;
    let wd = watch(fd, &sub, IN_ALL_EVENTS)?;
    done(fs::remove_dir(&sub))?;
    let expected = [IN_DELETE_SELF, IN_IGNORED].map(|mask| event(wd, mask, ""));
    same!(events(fd)?, expected, "the events");
    fails!(watch(fd, &sub, IN_ALL_EVENTS), ENOENT);
    Ok(())
}

fn events_like_the_last_are_merged() -> Check {
    let (_, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_MODIFY | IN_ACCESS)?;
    let f = open(&file, O_RDWR, 0)?;
    for _ in 0..3 {
        write(f, b"x")?;
    }
    sys::read(f, 1)?;
    write(f, b"x")?;
    let expected = [IN_MODIFY, IN_ACCESS, IN_MODIFY].map(|mask| event(wd, mask, ""));
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn a_mask_chooses_what_is_told() -> Check {
    let (dir, file) = place()?;
    let (first, second) = (start(0)?, start(0)?);
    let a = watch(first, &dir, IN_CLOSE_WRITE)?;
    let b = watch(second, &dir, IN_OPEN)?;
    touch(&file)?;
    same!(events(first)?, [event(a, IN_CLOSE_WRITE, "f")], "the first");
    same!(events(second)?, [event(b, IN_OPEN, "f")], "the second");
    close(second)?;
    touch(&file)?;
    same!(events(first)?, [event(a, IN_CLOSE_WRITE, "f")], "after the other was closed");
    Ok(())
}

fn a_mask_can_be_replaced_or_added_to() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_OPEN)?;
    same!(watch(fd, &dir, IN_CLOSE_WRITE)?, wd, "the same inode");
    touch(&file)?;
    same!(events(fd)?, [event(wd, IN_CLOSE_WRITE, "f")], "replaced");
    same!(watch(fd, &dir, IN_OPEN | IN_MASK_ADD)?, wd, "the same inode");
    touch(&file)?;
    same!(events(fd)?.len(), 2, "events after adding");
    fails!(watch(fd, &dir, IN_OPEN | IN_MASK_CREATE), EEXIST);
    fails!(watch(fd, &file, IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
    same!(watch(fd, &file, IN_OPEN | IN_MASK_CREATE)?, wd + 1, "a new one");
    Ok(())
}

fn a_oneshot_watch_ends_with_its_first_event() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_ALL_EVENTS | IN_ONESHOT)?;
    touch(&file)?;
    same!(events(fd)?.len(), 2, "events");
    touch(&file)?;
    same!(events(fd)?, [], "nothing more");
    same!(watch(fd, &dir, IN_OPEN)?, wd + 1, "the next number");
    Ok(())
}

fn unlinked_names_can_be_left_out() -> Check {
    let (dir, file) = place()?;
    let f = open(&file, O_RDWR, 0)?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_ALL_EVENTS | IN_EXCL_UNLINK)?;
    write(f, b"x")?;
    done(fs::remove_file(&file))?;
    write(f, b"x")?;
    close(f)?;
    let expected = [IN_MODIFY, IN_DELETE].map(|mask| event(wd, mask, "f"));
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn a_removed_watch_is_ignored() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_ALL_EVENTS)?;
    unwatch(fd, wd)?;
    touch(&file)?;
    same!(events(fd)?, [event(wd, IN_IGNORED, "")], "the last event");
    fails!(unwatch(fd, wd), EINVAL);
    fails!(unwatch(fd, 77), EINVAL);
    same!(watch(fd, &dir, IN_OPEN)?, wd + 1, "numbers are not used again");
    Ok(())
}

fn links_are_followed_unless_told_not_to() -> Check {
    let (dir, file) = place()?;
    done(symlink("f", dir.join("link")))?;
    done(symlink("nothing", dir.join("dangling")))?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_OPEN)?;
    same!(watch(fd, &dir.join("link"), IN_OPEN)?, wd, "the file behind the link");
    ensure!(watch(fd, &dir.join("link"), IN_OPEN | IN_DONT_FOLLOW)? != wd, "the link itself");
    fails!(watch(fd, &dir.join("dangling"), IN_OPEN), ENOENT);
    watch(fd, &dir.join("dangling"), IN_OPEN | IN_DONT_FOLLOW)?;
    Ok(())
}

fn bad_arguments_are_refused() -> Check {
    let (dir, file) = place()?;
    fails!(start(0x1_0000), EINVAL);
    let fd = start(libc::IN_CLOEXEC | libc::IN_NONBLOCK)?;
    same!(fcntl(fd, libc::F_GETFD, 0)?, libc::FD_CLOEXEC, "close on exec");
    fails!(sys::read(fd, 100), EAGAIN);
    fails!(write(fd, b"x"), EBADF);
    fails!(watch(999, &dir, IN_OPEN), EBADF);
    fails!(watch(0, &dir, IN_OPEN), EINVAL);
    fails!(watch(fd, &dir, 0), EINVAL);
    fails!(watch(fd, &dir, 0x1000), EINVAL);
    fails!(watch(fd, &dir.join("nothing"), IN_OPEN), ENOENT);
    fails!(watch(fd, &file, IN_OPEN | IN_ONLYDIR), ENOTDIR);
    watch(fd, &dir, IN_OPEN | IN_ONLYDIR)?;
    // Who may not read a file may not watch it.
    done(fs::set_permissions(&file, fs::Permissions::from_mode(0o200)))?;
    // SAFETY: no memory is passed.
    if unsafe { libc::geteuid() } != 0 {
        fails!(watch(fd, &file, IN_OPEN), EACCES);
    }
    Ok(())
}

fn small_buffers_are_refused_and_larger_ones_filled() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_OPEN | IN_CLOSE_WRITE)?;
    touch(&file)?;
    fails!(sys::read(fd, 31), EINVAL);
    let mut bytes = 0_i32;
    // SAFETY: one number.
    small("ioctl", unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut bytes) })?;
    same!(bytes, 64, "FIONREAD");
    let first = parse(&sys::read(fd, 63)?);
    same!(first[0].0, event(wd, IN_OPEN, "f"), "the first");
    same!(first.len(), 1, "events that fit");
    same!(sys::read(fd, 100)?.len(), 32, "the rest");
    Ok(())
}

fn a_reader_waits_for_an_event() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_CLOSE_WRITE)?;
    let child = fork_check(|| {
        same!(parse(&sys::read(fd, 100)?)[0].0, event(wd, IN_CLOSE_WRITE, "f"), "the event");
        Ok(())
    })?;
    until_asleep(child, child)?;
    touch(&file)?;
    wait_ok(child)
}

fn poll_and_epoll_see_events() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    watch(fd, &dir, IN_CLOSE_WRITE)?;
    let set = epoll()?;
    epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN as u32, 7)?;
    same!((poll_bits(fd)?, epoll_wait(set, 4, 0)?), (0, vec![]), "nothing yet");
    touch(&file)?;
    ensure!(poll_bits(fd)? & libc::POLLIN != 0, "poll sees nothing");
    same!(epoll_wait(set, 4, -1)?, vec![(libc::EPOLLIN as u32, 7)], "epoll");
    events(fd)?;
    same!(poll_bits(fd)?, 0, "after reading");
    Ok(())
}

fn a_signal_interrupts_a_reader() -> Check {
    let fd = start(0)?;
    let child = fork_check(|| {
        handle(SIGUSR1, 0)?;
        fails!(sys::read(fd, 100), EINTR);
        Ok(())
    })?;
    until_asleep(child, child)?;
    kill(child, SIGUSR1)?;
    wait_ok(child)
}

fn a_full_queue_says_so_once() -> Check {
    let (_, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &file, IN_OPEN | IN_CLOSE_NOWRITE)?;
    let limit = done(fs::read_to_string("/proc/sys/fs/inotify/max_queued_events"))?;
    let limit: usize = limit.trim().parse().map_err(|_| "not a number")?;
    if limit > 20_000 {
        return Ok(());
    }
    for _ in 0..limit / 2 + 2 {
        close(open(&file, O_RDONLY, 0)?)?;
    }
    let mut told = vec![];
    while poll_bits(fd)? != 0 {
        told.extend(events(fd)?);
    }
    same!(told.len(), limit + 1, "events");
    same!(told[limit], event(-1, IN_Q_OVERFLOW, ""), "the last");
    same!(told[limit - 1], event(wd, IN_CLOSE_NOWRITE, ""), "the one before");
    Ok(())
}

fn path_descriptors_are_silent() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    watch(fd, &dir, IN_ALL_EVENTS)?;
    close(open(&file, O_PATH, 0)?)?;
    done(fs::metadata(&file))?;
    same!(events(fd)?, [], "the events");
    Ok(())
}

fn writes_by_another_process_are_told() -> Check {
    let (dir, file) = place()?;
    let fd = start(0)?;
    let wd = watch(fd, &dir, IN_ALL_EVENTS)?;
    // The descriptor is closed by the death.
    let child = fork(|| {
        let opened = open(&file, O_WRONLY, 0);
        i32::from(opened.and_then(|f| write(f, b"x")).is_err())
    })?;
    wait_ok(child)?;
    let expected = [IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE].map(|mask| event(wd, mask, "f"));
    same!(events(fd)?, expected, "the events");
    Ok(())
}

fn copies_between_files_are_told() -> Check {
    let (dir, file) = place()?;
    let (from, to) = (open(&file, O_RDONLY, 0)?, open(&dir.join("g"), O_CREAT | O_WRONLY, 0o600)?);
    let fd = start(0)?;
    let (a, b) = (watch(fd, &file, IN_ACCESS)?, watch(fd, &dir.join("g"), IN_MODIFY)?);
    // SAFETY: the descriptor's own offset is used.
    let sent = unsafe { libc::sendfile(to, from, std::ptr::null_mut(), 4) };
    same!(sys::count("sendfile", sent)?, 4, "bytes sent");
    same!(events(fd)?, [event(a, IN_ACCESS, ""), event(b, IN_MODIFY, "")], "sendfile");
    Ok(())
}

fn executing_a_file_opens_and_closes_it() -> Check {
    // A copy, which nobody else executes meanwhile.
    let program = scratch()?.join("program");
    done(fs::copy(done(std::env::current_exe())?, &program))?;
    let fd = start(libc::IN_CLOEXEC)?;
    let wd = watch(fd, &program, IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE)?;
    let status = done(std::process::Command::new(&program).args(["--then", "nothing"]).status())?;
    ensure!(status.success(), "{status}");
    let told = events(fd)?;
    same!(told[..2], [event(wd, IN_OPEN, ""), event(wd, IN_ACCESS, "")], "at the beginning");
    same!(told.last(), Some(&event(wd, IN_CLOSE_NOWRITE, "")), "at the end");
    Ok(())
}

fn nothing() -> Check {
    Ok(())
}
