//! Pseudoterminals: lines, echo, keys that send signals, flow control, who controls a terminal and
//! what a session gets when its leader or its terminal goes. Rules of
//! docs/linux-semantics.md; man pages: pty(7), termios(3), ioctl_tty(2).

use guests::process::{
    Gate, Pid, fork, fork_check, getpid, kill_and_wait, pause_for_ever, wait, wait_ok,
};
use guests::signal::{block, default, handle, ignore, logged_signals, tell, timed_wait};
use guests::sys::{Fd, Sys, close, drain, open, pipe, poll_bits, poll_one, read, small, write};
use guests::{Check, ensure, fails, same};
use libc::{EACCES, EAGAIN, EIO, ENOENT, ENOTTY, ENXIO, EPERM, O_NOCTTY, O_NONBLOCK, O_RDWR};
use libc::{SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGTTIN, SIGTTOU, SIGWINCH, WUNTRACED};
use std::path::PathBuf;

guests::cases! {
    a_new_pair_is_locked_and_its_slave_belongs_to_its_opener,
    lines_echo_and_poll,
    a_raw_slave_reads_as_vmin_and_vtime_say,
    the_last_slave_that_closes_ends_the_masters_reads,
    a_master_that_closes_hangs_the_slave_up,
    a_key_signals_the_foreground_group_only,
    a_background_reader_is_stopped_and_a_writer_may_go_on,
    stop_and_start_keys_hold_the_output,
    packet_mode_tells_the_master_what_happened,
    a_new_size_is_told_to_the_foreground_group,
    a_terminal_is_taken_and_given_up,
    a_leaders_exit_hangs_up_the_foreground_group_only,
    a_hang_up_reaches_the_leader_and_at_its_exit_the_foreground,
    the_buffer_between_both_ends_is_bounded,
}

// asm-generic/ioctls.h: the news of packet mode.
const TIOCPKT_FLUSHREAD: u8 = 1;
const TIOCPKT_STOP: u8 = 4;
const TIOCPKT_START: u8 = 8;
const TIOCPKT_NOSTOP: u8 = 16;
const TIOCPKT_DOSTOP: u8 = 32;

/// A fresh pair: the master, and the slave's path.
fn pair() -> Result<(Fd, PathBuf), String> {
    let master = open("/dev/ptmx".as_ref(), O_RDWR | O_NOCTTY, 0)?;
    set(master, libc::TIOCSPTLCK, 0)?;
    Ok((master, format!("/dev/pts/{}", get(master, libc::TIOCGPTN)?).into()))
}

/// Both ends, open, nobody's controlling terminal.
fn both() -> Result<(Fd, Fd), String> {
    let (master, path) = pair()?;
    Ok((master, open(&path, O_RDWR | O_NOCTTY, 0)?))
}

/// An ioctl that gives a number.
fn get(fd: Fd, command: u64) -> Sys<i32> {
    let mut value: i32 = 0;
    // SAFETY: one int.
    small("ioctl", unsafe { libc::ioctl(fd, command, &mut value) }).map(|_| value)
}

/// An ioctl that takes the address of a number.
fn set(fd: Fd, command: u64, value: i32) -> Sys<()> {
    // SAFETY: one int.
    small("ioctl", unsafe { libc::ioctl(fd, command, &value) }).map(|_| ())
}

/// An ioctl that takes a number.
fn order(fd: Fd, command: u64, value: i64) -> Sys<i32> {
    // SAFETY: no memory is involved.
    small("ioctl", unsafe { libc::ioctl(fd, command, value) })
}

fn settings(fd: Fd) -> Sys<libc::termios> {
    // SAFETY: all zeroes are a termios.
    let mut it: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: one termios.
    small("tcgetattr", unsafe { libc::tcgetattr(fd, &mut it) }).map(|_| it)
}

fn apply(fd: Fd, change: impl FnOnce(&mut libc::termios)) -> Sys<()> {
    let mut it = settings(fd)?;
    change(&mut it);
    // SAFETY: one termios.
    small("tcsetattr", unsafe { libc::tcsetattr(fd, libc::TCSANOW, &it) }).map(|_| ())
}

/// Reads exactly these bytes; what is typed and echoed takes a moment on a real kernel.
fn shows(fd: Fd, expected: &[u8], what: &str) -> Check {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        ensure!(poll_one(fd, libc::POLLIN, 10_000)? != 0, "{what}: only {got:?} came");
        got.extend(read(fd, expected.len() - got.len())?);
    }
    same!(got, expected, "{what}");
    Ok(())
}

/// A process that leads a session of its own with this terminal, and runs the body.
fn session(path: PathBuf, body: impl FnOnce(Fd) -> Check) -> Sys<Pid> {
    fork_check(move || {
        // SAFETY: no memory is involved.
        small("setsid", unsafe { libc::setsid() })?;
        let terminal = open(&path, O_RDWR, 0)?;
        body(terminal)
    })
}

fn setpgid(pid: Pid, pgrp: Pid) -> Sys<i32> {
    // SAFETY: no memory is involved.
    small("setpgid", unsafe { libc::setpgid(pid, pgrp) })
}

/// A child in a process group of its own, which has arrived at its pause.
fn job() -> Result<Pid, String> {
    let ready = Gate::new()?;
    let child = fork(|| {
        if default(SIGINT).is_err() || setpgid(0, 0).is_err() || ready.open().is_err() {
            return 1;
        }
        pause_for_ever()
    })?;
    ready.wait()?;
    Ok(child)
}

fn a_new_pair_is_locked_and_its_slave_belongs_to_its_opener() -> Check {
    let master = open("/dev/ptmx".as_ref(), O_RDWR | O_NOCTTY, 0)?;
    let path = PathBuf::from(format!("/dev/pts/{}", get(master, libc::TIOCGPTN)?));
    fails!(open(&path, O_RDWR | O_NOCTTY, 0), EIO);
    same!(poll_bits(master)?, libc::POLLOUT, "a master whose slave was never open");
    set(master, libc::TIOCSPTLCK, 0)?;
    let slave = open(&path, O_RDWR | O_NOCTTY, 0)?;
    let peer = order(master, libc::TIOCGPTPEER, i64::from(O_RDWR | O_NOCTTY))?;
    write(peer, b"x")?;
    shows(master, b"x", "through TIOCGPTPEER")?;
    // SAFETY: a zeroed stat, filled by fstat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: one stat.
    small("fstat", unsafe { libc::fstat(slave, &mut stat) })?;
    // SAFETY: no memory is involved.
    same!(stat.st_uid, unsafe { libc::geteuid() }, "the owner");
    same!(libc::major(stat.st_rdev), 136, "the major number");
    same!(settings(slave)?.c_lflag, 0x8a3b, "c_lflag");
    same!(settings(master)?.c_iflag, 0x500, "c_iflag, asked at the master");
    fails!(open("/dev/pts/new".as_ref(), O_RDWR | libc::O_CREAT, 0o600), EACCES);
    close(master)?;
    fails!(open(&path, O_RDWR | O_NOCTTY, 0), ENOENT);
    Ok(())
}

fn lines_echo_and_poll() -> Check {
    let (master, slave) = both()?;
    write(master, b"ab")?;
    shows(master, b"ab", "the echo")?;
    same!(poll_bits(slave)?, libc::POLLOUT, "half a line");
    write(master, b"x\x7fc\n")?;
    shows(master, b"x\x08 \x08c\r\n", "the echo of the rest")?;
    same!(poll_bits(slave)?, libc::POLLIN | libc::POLLOUT, "a line");
    same!(get(slave, libc::FIONREAD)?, 4, "FIONREAD");
    same!(read(slave, 2)?, b"ab", "the beginning");
    same!(read(slave, 100)?, b"c\n", "the rest");
    write(master, b"no end\x04\x04")?;
    same!(read(slave, 100)?, b"no end", "before ^D");
    same!(read(slave, 100)?, b"", "the second ^D");
    shows(master, b"no end", "^D is not echoed")?;
    write(slave, b"one\ntwo\n")?;
    shows(master, b"one\r\ntwo\r\n", "output")?;
    apply(slave, |it| it.c_lflag &= !libc::ECHO)?;
    write(master, b"quiet\n")?;
    same!(read(slave, 100)?, b"quiet\n", "without echo");
    same!(poll_bits(master)?, libc::POLLOUT, "nothing to read");
    Ok(())
}

fn a_raw_slave_reads_as_vmin_and_vtime_say() -> Check {
    let (master, slave) = both()?;
    let raw = |min: u8, time: u8| {
        apply(slave, |it| {
            // SAFETY: one termios.
            unsafe { libc::cfmakeraw(it) };
            (it.c_cc[libc::VMIN], it.c_cc[libc::VTIME]) = (min, time);
        })
    };
    raw(0, 0)?;
    same!(read(slave, 10)?, b"", "VMIN 0, VTIME 0, nothing there");
    raw(0, 1)?;
    let before = guests::sys::monotonic();
    same!(read(slave, 10)?, b"", "VMIN 0, VTIME 1");
    ensure!(guests::sys::monotonic() - before >= 90_000_000, "it did not wait 0.1 s");
    raw(3, 0)?;
    write(master, b"ab")?;
    same!(poll_one(slave, libc::POLLIN, 20)?, 0, "two of three bytes");
    write(master, b"cd")?;
    same!(poll_one(slave, libc::POLLIN, 10_000)?, libc::POLLIN, "more than three");
    same!(read(slave, 10)?, b"abcd", "VMIN 3");
    raw(5, 1)?;
    write(master, b"xy")?;
    same!(read(slave, 10)?, b"xy", "VMIN 5, VTIME 1: a pause ends it");
    raw(1, 0)?;
    write(master, b"\x03\x04\r\n")?;
    same!(read(slave, 10)?, b"\x03\x04\r\n", "keys are bytes");
    same!(poll_bits(master)?, libc::POLLOUT, "no echo");
    Ok(())
}

fn the_last_slave_that_closes_ends_the_masters_reads() -> Check {
    let (master, path) = pair()?;
    let slave = open(&path, O_RDWR | O_NOCTTY, 0)?;
    write(slave, b"bye")?;
    close(slave)?;
    let hup = libc::POLLHUP | libc::POLLOUT;
    same!(poll_bits(master)?, hup | libc::POLLIN, "closed, with data");
    shows(master, b"bye", "what was written before")?;
    fails!(read(master, 10), EIO);
    same!(poll_bits(master)?, hup, "closed");
    let slave = open(&path, O_RDWR | O_NOCTTY, 0)?;
    same!(poll_bits(master)?, libc::POLLOUT, "opened again");
    write(slave, b"again")?;
    shows(master, b"again", "opened again")?;
    // A reader that waits is told.
    let closer = fork(|| {
        guests::process::until_asleep(getppid(), getppid()).ok();
        0
    })?;
    close(slave)?;
    fails!(read(master, 10), EIO);
    wait_ok(closer)
}

fn getppid() -> Pid {
    // SAFETY: no memory is involved.
    unsafe { libc::getppid() }
}

///
fn a_master_that_closes_hangs_the_slave_up() -> Check {
    let (master, slave) = both()?;
    write(master, b"left\n")?;
    shows(master, b"left\r\n", "the echo")?;
    close(master)?;
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLERR | libc::POLLHUP;
    same!(poll_bits(slave)?, all, "hung up");
    same!(read(slave, 10)?, b"", "a read");
    fails!(write(slave, b"x"), EIO);
    fails!(settings(slave).map(|_| ()), EIO);
    fails!(order(slave, libc::TIOCSCTTY, 0), EIO);
    fails!(set(slave, libc::TIOCSPGRP, 1), ENOTTY);
    Ok(())
}

fn a_key_signals_the_foreground_group_only() -> Check {
    let (master, path) = pair()?;
    let (reader, writer) = pipe()?;
    let leader = session(path, move |terminal| {
        handle(SIGINT, 0)?;
        ignore(SIGTTOU)?;
        let foreground = job()?;
        let background = job()?;
        set(terminal, libc::TIOCSPGRP, foreground)?;
        same!(get(terminal, libc::TIOCGPGRP)?, foreground, "TIOCGPGRP");
        same!(get(terminal, libc::TIOCGSID)?, getpid(), "TIOCGSID");
        write(writer, b"!")?;
        same!(wait(foreground)?, SIGINT, "the foreground job");
        same!(kill_and_wait(background, SIGKILL)?, SIGKILL, "the background job");
        same!(logged_signals(), Vec::<i32>::new(), "the leader");
        Ok(())
    })?;
    read(reader, 1)?;
    // What was typed before goes with it, and so does ^C itself but for its echo.
    write(master, b"gone\x03")?;
    wait_ok(leader)?;
    shows(master, b"^C", "the echo")
}

fn a_background_reader_is_stopped_and_a_writer_may_go_on() -> Check {
    let (master, path) = pair()?;
    let leader = session(path, |terminal| {
        let reads = move || {
            fork(move || {
                let _ = setpgid(0, 0);
                i32::from(read(terminal, 10).is_err())
            })
        };
        let reader = reads()?;
        same!(guests::process::wait_with(reader, WUNTRACED)?.1, SIGTTIN << 8 | 0x7f, "a reader");
        kill_and_wait(reader, SIGKILL)?;
        ignore(SIGTTIN)?;
        same!(wait(reads()?)?, 1 << 8, "one that ignores SIGTTIN: EIO");
        default(SIGTTIN)?;
        let writes = move || {
            fork(move || {
                let _ = setpgid(0, 0);
                i32::from(write(terminal, b"w").is_err())
            })
        };
        same!(wait(writes()?)?, 0, "a writer");
        apply(terminal, |it| it.c_lflag |= libc::TOSTOP)?;
        let writer = writes()?;
        let stopped = guests::process::wait_with(writer, WUNTRACED)?.1;
        same!(stopped, SIGTTOU << 8 | 0x7f, "a writer with TOSTOP");
        kill_and_wait(writer, SIGKILL)?;
        let sets = fork(move || {
            let _ = setpgid(0, 0);
            i32::from(apply(terminal, |it| it.c_lflag &= !libc::TOSTOP).is_err())
        })?;
        same!(guests::process::wait_with(sets, WUNTRACED)?.1, SIGTTOU << 8 | 0x7f, "one that sets");
        kill_and_wait(sets, SIGKILL)?;
        Ok(())
    })?;
    wait_ok(leader)?;
    shows(master, b"w", "what was written")
}

fn stop_and_start_keys_hold_the_output() -> Check {
    let (master, slave) = both()?;
    write(master, b"\x13")?;
    same!(poll_one(slave, libc::POLLOUT, 20)?, 0, "stopped");
    guests::sys::fcntl(slave, libc::F_SETFL, O_NONBLOCK)?;
    fails!(write(slave, b"held"), EAGAIN);
    write(master, b"\x11")?;
    same!(poll_one(slave, libc::POLLOUT, 10_000)?, libc::POLLOUT, "started");
    write(slave, b"free")?;
    shows(master, b"free", "the output")?;
    order(slave, libc::TCXONC, libc::TCOOFF.into())?;
    fails!(write(slave, b"held"), EAGAIN);
    order(slave, libc::TCXONC, libc::TCOON.into())?;
    write(slave, b"!")?;
    shows(master, b"!", "the output")?;
    order(slave, libc::TCXONC, libc::TCIOFF.into())?;
    shows(master, b"\x13", "TCIOFF")
}

fn packet_mode_tells_the_master_what_happened() -> Check {
    let (master, slave) = both()?;
    set(master, libc::TIOCPKT, 1)?;
    write(slave, b"data")?;
    shows(master, b"\0data", "data")?;
    order(slave, libc::TCFLSH, libc::TCIFLUSH.into())?;
    let news = libc::POLLPRI | libc::POLLIN;
    same!(poll_bits(master)? & news, news, "news");
    same!(read(master, 10)?, [TIOCPKT_FLUSHREAD], "TCIFLUSH");
    apply(slave, |it| it.c_iflag &= !libc::IXON)?;
    same!(read(master, 10)?, [TIOCPKT_NOSTOP], "no IXON");
    apply(slave, |it| it.c_iflag |= libc::IXON)?;
    same!(read(master, 10)?, [TIOCPKT_DOSTOP], "IXON");
    order(slave, libc::TCXONC, libc::TCOOFF.into())?;
    same!(read(master, 10)?, [TIOCPKT_STOP], "TCOOFF");
    order(slave, libc::TCXONC, libc::TCOON.into())?;
    same!(read(master, 10)?, [TIOCPKT_START], "TCOON");
    Ok(())
}

fn a_new_size_is_told_to_the_foreground_group() -> Check {
    let (master, path) = pair()?;
    let (reader, writer) = pipe()?;
    let leader = session(path, move |terminal| {
        block(&[SIGWINCH])?;
        write(writer, b"!")?;
        same!(timed_wait(&[SIGWINCH], 10)?.0, SIGWINCH, "the signal");
        // SAFETY: all zeroes are a winsize.
        let mut size: libc::winsize = unsafe { std::mem::zeroed() };
        // SAFETY: one winsize.
        small("ioctl", unsafe { libc::ioctl(terminal, libc::TIOCGWINSZ, &mut size) })?;
        same!((size.ws_row, size.ws_col), (7, 11), "the size");
        Ok(())
    })?;
    read(reader, 1)?;
    let size = libc::winsize { ws_row: 7, ws_col: 11, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: one winsize.
    small("ioctl", unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &size) })?;
    wait_ok(leader)
}

fn a_terminal_is_taken_and_given_up() -> Check {
    let (_master, path) = pair()?;
    let child = fork_check(move || {
        // SAFETY: no memory is involved.
        small("setsid", unsafe { libc::setsid() })?;
        fails!(open("/dev/tty".as_ref(), O_RDWR, 0), ENXIO);
        let terminal = open(&path, O_RDWR | O_NOCTTY, 0)?;
        fails!(get(terminal, libc::TIOCGPGRP), ENOTTY);
        fails!(open("/dev/tty".as_ref(), O_RDWR, 0), ENXIO);
        order(terminal, libc::TIOCSCTTY, 0)?;
        same!(get(terminal, libc::TIOCGPGRP)?, getpid(), "the foreground group");
        let by_name = open("/dev/tty".as_ref(), O_RDWR, 0)?;
        same!(get(by_name, libc::TIOCGSID)?, getpid(), "the session, by /dev/tty");
        let other = path.clone();
        let stranger = fork_check(move || {
            // SAFETY: no memory is involved.
            small("setsid", unsafe { libc::setsid() })?;
            let terminal = open(&other, O_RDWR, 0)?;
            fails!(get(terminal, libc::TIOCGPGRP), ENOTTY);
            fails!(order(terminal, libc::TIOCSCTTY, 0), EPERM);
            Ok(())
        })?;
        wait_ok(stranger)?;
        // TIOCNOTTY of the leader: SIGHUP and SIGCONT to the foreground group, itself.
        let (reader, writer) = pipe()?;
        tell(writer);
        handle(SIGHUP, 0)?;
        handle(SIGCONT, 0)?;
        order(terminal, libc::TIOCNOTTY, 0)?;
        let mut told = [read(reader, 1)?, read(reader, 1)?].concat();
        told.sort_unstable();
        same!(told, [SIGHUP as u8, SIGCONT as u8], "the signals");
        fails!(open("/dev/tty".as_ref(), O_RDWR, 0), ENXIO);
        fails!(order(terminal, libc::TIOCNOTTY, 0), ENOTTY);
        Ok(())
    })?;
    wait_ok(child)
}

/// SIGHUP for the foreground group, nothing for others, and the slave stays usable.
fn a_leaders_exit_hangs_up_the_foreground_group_only() -> Check {
    let (master, path) = pair()?;
    let slave = open(&path, O_RDWR | O_NOCTTY, 0)?;
    let (reader, writer) = pipe()?;
    // SAFETY: no memory is involved.
    small("prctl", unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    let leader = session(path, move |terminal| {
        let (foreground, background) = (job()?, job()?);
        set(terminal, libc::TIOCSPGRP, foreground)?;
        let pids = [foreground.to_le_bytes(), background.to_le_bytes()].concat();
        write(writer, &pids)?;
        Ok(())
    })?;
    let pids = read(reader, 8)?;
    let pid = |at: usize| i32::from_le_bytes([pids[at], pids[at + 1], pids[at + 2], pids[at + 3]]);
    wait_ok(leader)?;
    same!(wait(pid(0))?, SIGHUP, "the foreground job");
    same!(guests::process::wait_with(pid(4), libc::WNOHANG)?.0, 0, "the background job lives");
    kill_and_wait(pid(4), SIGKILL)?;
    write(slave, b"alive")?;
    shows(master, b"alive", "the slave is usable")?;
    same!(get(master, libc::TIOCGPGRP)?, 0, "nobody is in the foreground");
    Ok(())
}

/// SIGHUP and SIGCONT for the leader, and for the foreground group when the leader exits.
fn a_hang_up_reaches_the_leader_and_at_its_exit_the_foreground() -> Check {
    let (master, path) = pair()?;
    let (reader, writer) = pipe()?;
    // SAFETY: no memory is involved.
    small("prctl", unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    let leader = session(path, move |terminal| {
        close(master)?;
        block(&[SIGHUP, SIGCONT])?;
        let foreground = job()?;
        set(terminal, libc::TIOCSPGRP, foreground)?;
        write(writer, &foreground.to_le_bytes())?;
        same!(timed_wait(&[SIGHUP], 10)?.0, SIGHUP, "the leader's first signal");
        same!(timed_wait(&[SIGCONT], 10)?.0, SIGCONT, "its second");
        fails!(open("/dev/tty".as_ref(), O_RDWR, 0), ENXIO);
        same!(read(terminal, 1)?, b"", "a read");
        same!(guests::process::wait_with(foreground, libc::WNOHANG)?.0, 0, "the foreground lives");
        Ok(())
    })?;
    let pid = read(reader, 4)?;
    let foreground = i32::from_le_bytes([pid[0], pid[1], pid[2], pid[3]]);
    close(master)?;
    wait_ok(leader)?;
    // It inherited the blocked SIGHUP.
    same!(kill_and_wait(foreground, SIGKILL)?, SIGKILL, "the foreground");
    Ok(())
}

fn the_buffer_between_both_ends_is_bounded() -> Check {
    let (master, slave) = both()?;
    guests::sys::fcntl(slave, libc::F_SETFL, O_NONBLOCK)?;
    guests::sys::fcntl(master, libc::F_SETFL, O_NONBLOCK)?;
    apply(slave, |it| it.c_lflag &= !libc::ECHO)?;
    let fill = |fd: Fd, bytes: &[u8]| -> Result<usize, String> {
        let mut done = 0;
        loop {
            match write(fd, bytes) {
                Ok(count) => done += count,
                Err(failed) if failed.errno == EAGAIN => return Ok(done),
                Err(failed) => return Err(failed.into()),
            }
            ensure!(done < 1 << 20, "no end of it");
        }
    };
    let written = fill(slave, &[b'o'; 1000])?;
    let (shown, end) = drain(master);
    fails!(end, EAGAIN);
    same!(shown.len(), written, "what the master read");
    same!(read(master, 1).map_err(|it| it.errno), Err(EAGAIN), "nothing is left");
    // A line that is too long keeps its beginning and its end.
    write(master, &[b'q'; 6000])?;
    write(master, b"\n")?;
    same!(poll_one(slave, libc::POLLIN, 10_000)?, libc::POLLIN, "the line");
    let line = read(slave, 10_000)?;
    same!((line.len(), line[line.len() - 1]), (4096, b'\n'), "its length and end");
    Ok(())
}
