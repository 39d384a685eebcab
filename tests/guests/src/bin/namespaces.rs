//! Namespaces of processes and of names: numbers as each side sees them, the first process of a pid
//! namespace and its death, setns by pidfd and by file, a hostname of one's own. See
//! pid_namespaces(7), uts_namespaces(7), setns(2), ioctl_nsfs(2); rules S-13, S-14, X-26, X-31.
//! Who may not make namespaces passes without a word.

use guests::process::{
    Gate, Pid, clone_fork, fork, getpid, kill, kill_and_wait, pause_for_ever, wait, wait_ok,
};
use guests::signal::{block, default};
use guests::sys::{Fd, Sys, close, open, pipe, raw, read, write};
use guests::{Check, ensure, fails, same};
use libc::{CLONE_NEWPID, CLONE_NEWUTS, CLONE_THREAD, SIGCHLD, SIGKILL, SIGTERM, SIGUSR1};
use libc::{EBADF, EINVAL, ENOMEM, ENOSPC, ENOSYS, EPERM, ESRCH};
use std::path::Path;

guests::cases! {
    a_new_pid_namespace_counts_from_one,
    the_first_process_takes_only_what_it_handles,
    a_signal_from_above_comes_from_nobody,
    nobody_outlives_the_first_process,
    orphans_go_to_the_first_process,
    a_pid_namespace_is_for_children,
    setns_enters_the_namespaces_of_a_pidfd,
    files_of_namespaces_tell_what_they_are,
    a_pidfd_tells_its_numbers,
    a_hostname_of_ones_own,
    a_network_of_ones_own_has_only_a_loopback,
    clone3_gives_a_number_in_each_namespace,
    objects_of_system_v_are_those_of_the_namespace,
    a_queue_is_found_by_name_in_its_own_namespace,
    clocks_of_a_time_namespace_are_its_childrens,
    absolute_times_are_those_of_the_namespace,
    offsets_are_set_before_somebody_lives_there,
}

fn unshare(flags: i32) -> Sys<i64> {
    raw("unshare", libc::SYS_unshare, [flags.into(), 0, 0, 0, 0, 0])
}

fn setns(fd: Fd, kind: i32) -> Sys<i64> {
    raw("setns", libc::SYS_setns, [fd.into(), kind.into(), 0, 0, 0, 0])
}

fn pidfd_open(pid: Pid) -> Sys<Fd> {
    raw("pidfd_open", libc::SYS_pidfd_open, [pid.into(), 0, 0, 0, 0, 0]).map(|fd| fd as Fd)
}

fn getppid() -> Pid {
    // SAFETY: no memory is involved.
    unsafe { libc::getppid() }
}

fn exit(result: Check) -> i32 {
    match result {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("in the child: {why}");
            99
        }
    }
}

/// A child in new namespaces; None where that is not permitted (or there may be none at all).
fn child_in(flags: i32, body: impl FnOnce() -> Check) -> Result<Option<Pid>, String> {
    match clone_fork(flags | SIGCHLD, || exit(body())) {
        Err(failed) if [EPERM, ENOSPC, ENOSYS, EINVAL].contains(&failed.errno) => Ok(None),
        made => Ok(Some(made?)),
    }
}

/// A child that runs `body` after unshare(2), unless that is not permitted.
fn apart(flags: i32, body: impl FnOnce() -> Check) -> Check {
    let child = fork(|| match unshare(flags) {
        Err(failed) if [EPERM, ENOSPC, ENOSYS, EINVAL].contains(&failed.errno) => 0,
        made => exit(made.map_err(String::from).and_then(|_| body())),
    })?;
    wait_ok(child)
}

/// pid_namespaces(7), "The namespace init process".
fn a_new_pid_namespace_counts_from_one() -> Check {
    let outside = getpid();
    let child = child_in(CLONE_NEWPID, || {
        same!((getpid(), getppid()), (1, 0), "the first one and its parent");
        let second = fork(|| exit(same_numbers()))?;
        same!(second, 2, "its child");
        wait_ok(second)?;
        fails!(kill(outside, 0), ESRCH);
        // SAFETY: no memory is involved.
        same!(unsafe { libc::getpgid(0) }, 0, "a group that cannot be seen");
        Ok(())
    })?;
    child.map_or(Ok(()), wait_ok)
}

fn same_numbers() -> Check {
    same!((getpid(), getppid()), (2, 1), "the second one and its parent");
    Ok(())
}

/// Rules S-13 and S-14.
fn the_first_process_takes_only_what_it_handles() -> Check {
    let (tried, never) = (Gate::new()?, Gate::new()?);
    let child = child_in(CLONE_NEWPID, || {
        let second = fork(|| {
            let sent = [SIGKILL, SIGTERM].map(|signal| kill(1, signal).is_ok());
            i32::from(sent != [true, true])
        })?;
        wait_ok(second)?;
        tried.open()?;
        never.wait().map_err(String::from)
    })?;
    let Some(child) = child else { return Ok(()) };
    tried.wait()?;
    kill(child, SIGTERM)?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "how it ended");
    Ok(())
}

/// si_pid and si_uid of the next blocked signal.
fn sender_of(signal: i32) -> Result<(i32, Pid), String> {
    // SAFETY: one set, one record.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let got = libc::sigwaitinfo(&set, &mut info);
        Ok((got, info.si_pid()))
    }
}

/// Rule S-14; sigaction(2), "The siginfo_t argument".
fn a_signal_from_above_comes_from_nobody() -> Check {
    block(&[SIGUSR1, SIGCHLD])?;
    let (ready, me) = (Gate::new()?, getpid());
    let child = child_in(CLONE_NEWPID, || {
        ready.open()?;
        same!(sender_of(SIGUSR1)?, (SIGUSR1, 0), "from above");
        let second = fork(|| i32::from(kill(1, SIGUSR1).is_err()))?;
        same!(sender_of(SIGUSR1)?, (SIGUSR1, 2), "from within");
        same!(sender_of(SIGCHLD)?, (SIGCHLD, 2), "its child's death");
        wait_ok(second)
    })?;
    let Some(child) = child else { return Ok(()) };
    ready.wait()?;
    kill(child, SIGUSR1)?;
    same!(sender_of(SIGCHLD)?, (SIGCHLD, child), "its death as we see it");
    ensure!(me != child, "a number of its own");
    wait_ok(child)
}

/// Rule X-31.
fn nobody_outlives_the_first_process() -> Check {
    apart(CLONE_NEWPID, || {
        let (reader, writer) = pipe()?;
        let ready = Gate::new()?;
        let first = fork(|| {
            let second = fork(|| {
                let _ = ready.open();
                pause_for_ever()
            });
            match second {
                Ok(_) => pause_for_ever(),
                Err(_) => 1,
            }
        })?;
        close(writer)?;
        ready.wait()?;
        same!(kill_and_wait(first, SIGKILL)?, SIGKILL, "the first one's end");
        // Whoever had the other end is gone by now.
        same!(guests::sys::poll_bits(reader)?, libc::POLLHUP, "the pipe");
        fails!(fork(|| 0), ENOMEM);
        Ok(())
    })
}

/// Rule X-26.
fn orphans_go_to_the_first_process() -> Check {
    let child = child_in(CLONE_NEWPID, || {
        let (reader, writer) = pipe()?;
        let gate = Gate::new()?;
        let middle = fork(|| {
            let orphan = fork(|| {
                let waited = gate.wait().is_ok();
                let told = write(writer, &[getppid() as u8]).is_ok();
                i32::from(!(waited && told))
            });
            i32::from(orphan.is_err())
        })?;
        wait_ok(middle)?;
        gate.open()?;
        same!(read(reader, 1)?, [1], "the orphan's parent");
        same!(wait(3)?, 0, "the orphan's end");
        Ok(())
    })?;
    child.map_or(Ok(()), wait_ok)
}

/// unshare(2), CLONE_NEWPID.
fn a_pid_namespace_is_for_children() -> Check {
    let me = std::fs::read_link("/proc/self/ns/pid").map_err(|error| error.to_string())?;
    apart(CLONE_NEWPID, || {
        let link = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}"));
        same!(link("pid").map_err(|error| error.to_string())?, me, "our own");
        ensure!(link("pid_for_children").is_err(), "nobody was born there yet");
        fails!(unshare(CLONE_NEWPID), EINVAL);
        let flags = (libc::CLONE_VM | libc::CLONE_SIGHAND | CLONE_THREAD).into();
        fails!(raw("clone", libc::SYS_clone, [flags, 0, 0, 0, 0, 0]), EINVAL);
        let first = fork(|| i32::from(getpid() != 1))?;
        ensure!(first > 1, "its number here");
        ensure!(link("pid_for_children").is_ok_and(|other| other != me), "the children's");
        wait_ok(first)
    })
}

/// setns(2).
fn setns_enters_the_namespaces_of_a_pidfd() -> Check {
    fails!(setns(-1, 0), EBADF);
    let (reader, _writer) = pipe()?;
    fails!(setns(reader, 0), EINVAL);
    let (ready, never) = (Gate::new()?, Gate::new()?);
    let first = child_in(CLONE_NEWPID | CLONE_NEWUTS, || {
        // SAFETY: four bytes.
        let named = unsafe { libc::sethostname(c"over".as_ptr(), 4) };
        same!(named, 0, "sethostname");
        ready.open()?;
        never.wait().map_err(String::from)
    })?;
    let Some(first) = first else { return Ok(()) };
    ready.wait()?;
    let visitor = fork(|| exit(visit(first)))?;
    let visited = wait_ok(visitor);
    same!(kill_and_wait(first, SIGKILL)?, SIGKILL, "the first one's end");
    visited
}

fn visit(first: Pid) -> Check {
    let pidfd = pidfd_open(first)?;
    fails!(setns(pidfd, 0), EINVAL);
    fails!(setns(pidfd, CLONE_THREAD), EINVAL);
    same!(setns(pidfd, CLONE_NEWPID | CLONE_NEWUTS)?, 0, "setns");
    same!(hostname()?, "over", "the name there");
    let born = fork(|| i32::from((getpid(), getppid()) != (2, 0)))?;
    wait_ok(born)?;
    let file = open(Path::new("/proc/self/ns/pid"), libc::O_RDONLY, 0)?;
    fails!(setns(file, CLONE_NEWUTS), EINVAL);
    same!(setns(file, CLONE_NEWPID)?, 0, "home again");
    let born = fork(|| i32::from(getppid() == 0))?;
    wait_ok(born)
}

fn hostname() -> Result<String, String> {
    let mut bytes = [0; 65];
    // SAFETY: as long as it says.
    let got = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), 64) };
    same!(got, 0, "gethostname");
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(64);
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// ioctl_nsfs(2).
fn files_of_namespaces_tell_what_they_are() -> Check {
    const NS_GET_PARENT: i64 = 0xb702;
    const NS_GET_NSTYPE: i64 = 0xb703;
    let ioctl = |fd: Fd, what: i64| raw("ioctl", libc::SYS_ioctl, [fd.into(), what, 0, 0, 0, 0]);
    for (name, kind) in [("pid", CLONE_NEWPID), ("uts", CLONE_NEWUTS)] {
        let path = format!("/proc/self/ns/{name}");
        let file = open(Path::new(&path), libc::O_RDONLY, 0)?;
        same!(ioctl(file, NS_GET_NSTYPE)?, i64::from(kind), "{name}");
        let link = std::fs::read_link(&path).map_err(|error| error.to_string())?;
        let shown = std::fs::read_link(format!("/proc/self/fd/{file}"));
        same!(shown.map_err(|error| error.to_string())?, link, "{name} by its descriptor");
        let number = std::fs::metadata(&path).map_err(|error| error.to_string())?;
        let number = std::os::unix::fs::MetadataExt::ino(&number);
        same!(link.to_string_lossy(), format!("{name}:[{number}]"), "its text");
        fails!(read(file, 1), EINVAL);
        if name == "uts" {
            fails!(ioctl(file, NS_GET_PARENT), EINVAL);
        }
    }
    let child = child_in(CLONE_NEWPID, || {
        let file = open(Path::new("/proc/thread-self/ns/uts"), libc::O_RDONLY, 0)?;
        close(file).map_err(String::from)
    })?;
    child.map_or(Ok(()), wait_ok)
}

/// proc_pid_fdinfo(5).
fn a_pidfd_tells_its_numbers() -> Check {
    let gate = Gate::new()?;
    let Some(child) = child_in(CLONE_NEWPID, || gate.wait().map_err(String::from))? else {
        return Ok(());
    };
    let pidfd = pidfd_open(child)?;
    let told = || {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}"));
        let text = text.map_err(|error| error.to_string())?;
        let rows =
            text.lines().filter(|line| line.starts_with("Pid:") || line.starts_with("NSpid:"));
        Ok::<_, String>(rows.collect::<Vec<_>>().join(" "))
    };
    let alive = told()?;
    // PIDFD_GET_PID_NAMESPACE, which Linux has since 6.11.
    let ioctl = |arg| raw("ioctl", libc::SYS_ioctl, [pidfd.into(), 0xff05, arg, 0, 0, 0]);
    let there = match ioctl(0) {
        Err(failed) if failed.errno == libc::ENOTTY => None,
        opened => Some(opened? as Fd),
    };
    if let Some(ns) = there {
        let link = |path: String| std::fs::read_link(path).map_err(|error| error.to_string());
        let [ours, own] = [format!("self/fd/{ns}"), format!("{child}/ns/pid")];
        same!(link(format!("/proc/{ours}"))?, link(format!("/proc/{own}"))?, "its namespace");
        fails!(ioctl(1), EINVAL);
    }
    gate.open()?;
    wait_ok(child)?;
    // In a namespace of a container there are more numbers before those.
    ensure!(alive.starts_with(&format!("Pid:\t{child} ")), "{alive}");
    ensure!(alive.ends_with(&format!("\t{child}\t1")), "{alive}");
    same!(told()?, "Pid:\t-1 NSpid:\t-1", "once it is reaped");
    Ok(())
}

/// uts_namespaces(7).
fn a_hostname_of_ones_own() -> Check {
    let before = hostname()?;
    apart(CLONE_NEWUTS, || {
        // SAFETY: four bytes each.
        let named = unsafe {
            [libc::sethostname(c"mine".as_ptr(), 4), libc::setdomainname(c"here".as_ptr(), 4)]
        };
        same!(named, [0, 0], "naming");
        same!(hostname()?, "mine", "the name");
        let child = fork(|| i32::from(hostname().as_deref() != Ok("mine")))?;
        wait_ok(child)
    })?;
    same!(hostname()?, before, "the name outside");
    default(SIGTERM).map_err(String::from)
}

/// network_namespaces(7).
fn a_network_of_ones_own_has_only_a_loopback() -> Check {
    let link = || std::fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string());
    let outside = link()?;
    apart(libc::CLONE_NEWNET, || {
        ensure!(link()? != outside, "its file");
        let text = std::fs::read_to_string("/proc/self/net/dev");
        let text = text.map_err(|error| error.to_string())?;
        let mut names = text.lines().skip(2).filter_map(|line| line.split(':').next());
        ensure!(names.any(|name| name.trim() == "lo"), "no loopback: {text}");
        let tcp = std::fs::read_to_string("/proc/self/net/tcp");
        same!(tcp.map_err(|error| error.to_string())?.lines().count(), 1, "connections");
        let (reader, writer) = guests::net::pair(libc::SOCK_STREAM)?;
        write(writer, b"x")?;
        same!(read(reader, 1)?, b"x", "a pair of sockets");
        Ok(())
    })?;
    same!(link()?, outside, "our own");
    Ok(())
}

/// clone3(2), set_tid.
fn clone3_gives_a_number_in_each_namespace() -> Check {
    apart(CLONE_NEWPID, || {
        fails!(clone3_as(&[7]), EINVAL);
        let (told, tells) = pipe()?;
        let first = clone3_as(&[1])?;
        if first == 0 {
            let born = clone3_as(&[9]);
            match born {
                Ok(0) => {
                    let _ = write(tells, &[getpid() as u8]);
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(0) }
                }
                Ok(9) => {
                    let status = wait(9);
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(i32::from(status.is_err())) }
                }
                // SAFETY: ends the process.
                _ => unsafe { libc::_exit(2) },
            }
        }
        same!(read(told, 1)?, [9], "the wished one");
        wait_ok(first as Pid)
    })
}

/// struct clone_args up to set_tid_size.
fn clone3_as(wishes: &[i32]) -> Sys<i64> {
    let mut args = [0u64; 11];
    args[4] = SIGCHLD as u64;
    args[8] = wishes.as_ptr() as u64;
    args[9] = wishes.len() as u64;
    raw("clone3", 435, [args.as_ptr() as i64, 88, 0, 0, 0, 0])
}

/// CLONE_NEWTIME.
const CLONE_NEWTIME: i32 = 0x80;
/// What is added to the clocks, in seconds.
const AHEAD: i64 = 1_000_000;

/// Nanoseconds on a clock.
fn clock(id: libc::clockid_t) -> Result<i64, String> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: valid memory.
    guests::sys::small("clock_gettime", unsafe { libc::clock_gettime(id, &mut time) })?;
    Ok(time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

fn set_offsets(text: &str) -> Sys<()> {
    let fd = open(Path::new("/proc/self/timens_offsets"), libc::O_WRONLY, 0)?;
    let done = write(fd, text.as_bytes()).map(|_| ());
    close(fd)?;
    done
}

fn offsets() -> Result<String, String> {
    std::fs::read_to_string("/proc/self/timens_offsets").map_err(|error| error.to_string())
}

/// A task that made a time namespace with clocks that are ahead, unless that is not permitted.
fn ahead(body: impl FnOnce() -> Check) -> Check {
    apart(CLONE_NEWTIME, || {
        // CAP_SYS_TIME is another capability than that of unshare(2).
        match set_offsets(&format!("monotonic {AHEAD} 0\nboottime {} 5\n", 2 * AHEAD)) {
            Err(failed) if failed.errno == EPERM => Ok(()),
            done => done.map_err(String::from).and_then(|()| body()),
        }
    })
}

/// time_namespaces(7).
fn clocks_of_a_time_namespace_are_its_childrens() -> Check {
    ahead(|| {
        let link = |name| {
            let path = format!("/proc/self/ns/{name}");
            std::fs::read_link(path).map_err(|error| error.to_string())
        };
        let (own, next) = (link("time")?, link("time_for_children")?);
        ensure!(own != next, "{own:?} is where our children are to be");
        let (monotonic, boottime) = (clock(libc::CLOCK_MONOTONIC)?, clock(libc::CLOCK_BOOTTIME)?);
        let real = clock(libc::CLOCK_REALTIME)?;
        let second = 1_000_000_000;
        let child = fork(|| {
            exit((|| {
                same!((link("time")?, link("time_for_children")?), (next.clone(), next), "there");
                let (m, b) = (clock(libc::CLOCK_MONOTONIC)?, clock(libc::CLOCK_BOOTTIME)?);
                ensure!(m >= monotonic + AHEAD * second, "{m} after {monotonic}");
                ensure!(m < monotonic + 2 * AHEAD * second, "{m} long after {monotonic}");
                ensure!(b >= boottime + 2 * AHEAD * second + 5, "{b} after {boottime}");
                ensure!(clock(libc::CLOCK_MONOTONIC_RAW)? >= AHEAD * second, "raw");
                ensure!(clock(libc::CLOCK_REALTIME)? < real + AHEAD * second, "real time");
                let uptime = std::fs::read_to_string("/proc/uptime");
                let uptime = uptime.map_err(|error| error.to_string())?;
                let seconds: i64 =
                    uptime.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                ensure!(seconds >= 2 * AHEAD, "uptime {uptime}");
                Ok(())
            })())
        })?;
        wait_ok(child)?;
        ensure!(clock(libc::CLOCK_MONOTONIC)? < monotonic + AHEAD * second, "ours went along");
        same!(link("time")?, own, "where we are");
        Ok(())
    })
}

/// clock_nanosleep(2), timerfd_settime(2), timer_settime(2): what is over there already.
fn absolute_times_are_those_of_the_namespace() -> Check {
    ahead(|| {
        let before = clock(libc::CLOCK_MONOTONIC)?;
        let child = fork(|| {
            exit((|| {
                // Long after the host's time, and over here.
                let at = before + AHEAD * 1_000_000_000;
                let (tv_sec, tv_nsec) = (at / 1_000_000_000, at % 1_000_000_000);
                let time = libc::timespec { tv_sec, tv_nsec };
                // SAFETY: valid memory.
                let slept = unsafe {
                    let flags = libc::TIMER_ABSTIME;
                    libc::clock_nanosleep(libc::CLOCK_MONOTONIC, flags, &time, std::ptr::null_mut())
                };
                same!(slept, 0, "the sleep");
                let args = [libc::CLOCK_MONOTONIC.into(), 0, 0, 0, 0, 0];
                let fd = raw("timerfd_create", libc::SYS_timerfd_create, args)? as Fd;
                let spec = [0, 0, tv_sec, tv_nsec];
                let args = [fd.into(), 1, spec.as_ptr() as i64, 0, 0, 0];
                raw("timerfd_settime", libc::SYS_timerfd_settime, args)?;
                same!(read(fd, 8)?, 1u64.to_le_bytes(), "expirations");
                Ok(())
            })())
        })?;
        wait_ok(child)
    })
}

/// /proc/PID/timens_offsets.
fn offsets_are_set_before_somebody_lives_there() -> Check {
    // The host's own have been lived in since it booted (or are not ours to change).
    if let Ok(()) = set_offsets("monotonic 1 0") {
        return Err("the host's clocks were changed".into());
    }
    ahead(|| {
        let shown =
            format!("monotonic  {AHEAD:>10} {:>9}\nboottime   {:>10} {:>9}\n", 0, 2 * AHEAD, 5);
        same!(offsets()?, shown, "what is shown");
        for bad in ["realtime 1 0", "monotonic 1", "monotonic 1 1000000000", "monotonic x 0"] {
            fails!(set_offsets(bad), EINVAL);
        }
        fails!(set_offsets("monotonic -9000000000 0"), libc::ERANGE);
        fails!(set_offsets("1 9000000000 0"), libc::ERANGE);
        set_offsets("7 -1 0")?;
        let shown = format!("monotonic  {AHEAD:>10} {:>9}\nboottime   {:>10} {:>9}\n", 0, -1, 0);
        same!(offsets()?, shown, "what is shown then");
        let child = fork(|| exit(offsets().map(|_| ())))?;
        wait_ok(child)?;
        fails!(set_offsets("7 -1 0"), libc::EACCES);
        Ok(())
    })
}

const IPC_CREAT: i64 = 0o1000;

fn msgget(key: i64, flags: i64) -> Sys<i64> {
    raw("msgget", libc::SYS_msgget, [key, flags, 0, 0, 0, 0])
}

fn msgctl(id: i64, command: i32) -> Sys<i64> {
    let mut told = [0u64; 16];
    let args = [id, command.into(), told.as_mut_ptr() as i64, 0, 0, 0];
    raw("msgctl", libc::SYS_msgctl, args)
}

/// ipc_namespaces(7), sysvipc(7).
fn objects_of_system_v_are_those_of_the_namespace() -> Check {
    let key = 0x4146_0000 + i64::from(getpid());
    let ours = msgget(key, IPC_CREAT | 0o600)?;
    let outside = open(Path::new("/proc/self/ns/ipc"), libc::O_RDONLY, 0)?;
    let done = apart(libc::CLONE_NEWIPC, || {
        fails!(msgget(key, 0), libc::ENOENT);
        fails!(msgctl(ours, libc::IPC_STAT), EINVAL);
        let first = msgget(key, IPC_CREAT | 0o600)?;
        same!(first, 0, "the first of a namespace");
        let table = std::fs::read_to_string("/proc/sysvipc/msg");
        same!(table.map_err(|error| error.to_string())?.lines().count(), 2, "lines");
        let shm = raw("shmget", libc::SYS_shmget, [0, 4096, 0o600, 0, 0, 0])?;
        let at = raw("shmat", libc::SYS_shmat, [shm, 0, 0, 0, 0, 0])? as *mut u8;
        raw("shmctl", libc::SYS_shmctl, [shm, libc::IPC_RMID.into(), 0, 0, 0, 0])?;
        setns(outside, libc::CLONE_NEWIPC)?;
        same!(msgget(key, 0)?, ours, "ours again");
        // What is attached outlives the namespace.
        // SAFETY: attached above.
        unsafe { at.write_volatile(7) };
        // SAFETY: as above.
        same!(unsafe { at.read_volatile() }, 7, "a byte");
        raw("shmdt", libc::SYS_shmdt, [at as i64, 0, 0, 0, 0, 0])?;
        Ok(())
    });
    msgctl(ours, libc::IPC_RMID)?;
    close(outside)?;
    done
}

/// mq_overview(7), ipc_namespaces(7).
fn a_queue_is_found_by_name_in_its_own_namespace() -> Check {
    let name = std::ffi::CString::new(format!("afterlife-{}", getpid())).map_err(|_| "a name")?;
    let name = name.as_ptr() as i64;
    let mq_open = |flags: i32| {
        raw("mq_open", libc::SYS_mq_open, [name, flags.into(), 0o600, 0, 0, 0]).map(|fd| fd as Fd)
    };
    let unlink = || raw("mq_unlink", libc::SYS_mq_unlink, [name, 0, 0, 0, 0, 0]);
    let create = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    let ours = match mq_open(create) {
        Err(failed) if failed.errno == libc::EMFILE => return Ok(()), // RLIMIT_MSGQUEUE
        made => made?,
    };
    let done = apart(libc::CLONE_NEWIPC, || {
        fails!(mq_open(libc::O_RDWR), libc::ENOENT);
        // A descriptor is open wherever its task goes.
        let args = [ours.into(), c"x".as_ptr() as i64, 1, 0, 0, 0];
        raw("mq_timedsend", libc::SYS_mq_timedsend, args)?;
        fails!(unlink(), libc::ENOENT);
        match mq_open(create) {
            Err(failed) if failed.errno == libc::EMFILE => return Ok(()),
            made => close(made?)?,
        }
        unlink()?;
        Ok(())
    });
    unlink()?;
    close(ours)?;
    done
}
