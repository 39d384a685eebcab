//! User namespaces: who is who without a map, maps and who may write them, what capabilities count
//! for, numbers in signals and messages, setns, files of namespaces, how deep they nest. See
//! user_namespaces(7). Who may not make one, or may do nothing in it, passes without a word.

use guests::mounting::on_path;
use guests::process::{
    Gate, Pid, clone_fork, exec_self, fork, fork_check, getpid, kill, wait, wait_ok,
};
use guests::signal::{block, queue};
use guests::sys::{Fd, Sys, close, lseek, open, raw, scratch, write};
use guests::{Check, ensure, fails, same};
use libc::{CLONE_FS, CLONE_NEWUSER, CLONE_NEWUTS, SIGCHLD, SIGUSR1};
use libc::{EACCES, EINVAL, ENOSPC, EPERM, ESPIPE};
use std::path::{Path, PathBuf};

guests::cases! {
    nobody_has_a_number_before_the_map_is_written,
    who_made_it_may_map_himself,
    a_map_has_three_numbers_in_a_line,
    the_same_map_is_read_differently_inside_and_outside,
    capabilities_count_for_what_belongs_to_the_namespace,
    an_unmapped_owners_file_is_nobodys_to_change,
    exec_keeps_capabilities_for_the_root_of_the_namespace,
    signals_tell_what_their_receiver_calls_the_sender,
    messages_tell_what_their_receiver_calls_the_sender,
    setns_enters_what_one_made_and_leads_nowhere_else,
    files_tell_whose_a_namespace_is,
    what_is_shared_cannot_be_taken_along,
    a_chroot_is_no_place_for_a_new_one,
    a_privileged_parent_maps_many,
    they_nest_to_a_depth;
    then tell_effective,
}

const OVERFLOW: u32 = 65534;

fn unshare(flags: i32) -> Sys<i64> {
    raw("unshare", libc::SYS_unshare, [flags.into(), 0, 0, 0, 0, 0])
}

fn setns(fd: Fd, kind: i32) -> Sys<i64> {
    raw("setns", libc::SYS_setns, [fd.into(), kind.into(), 0, 0, 0, 0])
}

fn uid() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::getuid() }
}

fn gid() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::getgid() }
}

fn put(path: &str, text: &str) -> Sys<()> {
    let fd = open(Path::new(path), libc::O_WRONLY, 0)?;
    let done = write(fd, text.as_bytes()).map(|_| ());
    close(fd)?;
    done
}

fn get(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// Can we make a namespace and be root in it? A child tries.
fn permitted() -> Result<bool, String> {
    let child = fork(|| {
        let (uid, gid) = (uid(), gid());
        if unshare(CLONE_NEWUSER | CLONE_NEWUTS).is_err() {
            return 1;
        }
        i32::from(become_root(uid, gid).is_err())
    })?;
    Ok(wait(child)? == 0)
}

/// Maps root to who we were.
fn become_root(uid: u32, gid: u32) -> Sys<()> {
    put("/proc/self/setgroups", "deny")?;
    put("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    put("/proc/self/gid_map", &format!("0 {gid} 1\n"))
}

/// `body` in a user namespace without a map, told who we were; nothing where that is forbidden.
fn unmapped(body: impl FnOnce(u32, u32) -> Check) -> Check {
    if !permitted()? {
        return Ok(());
    }
    let child = fork_check(|| {
        let (uid, gid) = (uid(), gid());
        unshare(CLONE_NEWUSER)?;
        body(uid, gid)
    })?;
    wait_ok(child)
}

/// `body` as root of a user namespace of one user.
fn as_root(body: impl FnOnce(u32, u32) -> Check) -> Check {
    unmapped(|uid, gid| {
        become_root(uid, gid)?;
        body(uid, gid)
    })
}

/// CapEff of the caller.
fn effective() -> Result<u64, String> {
    let status = get("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).ok_or("no CapEff")?;
    u64::from_str_radix(line, 16).map_err(|error| error.to_string())
}

fn all_capabilities() -> Result<u64, String> {
    let last: u32 = get("/proc/sys/kernel/cap_last_cap")?.trim().parse().map_err(|_| "a number")?;
    Ok((1 << (last + 1)) - 1)
}

fn nobody_has_a_number_before_the_map_is_written() -> Check {
    unmapped(|_, _| {
        same!((uid(), gid()), (OVERFLOW, OVERFLOW), "ours");
        same!(get("/proc/self/uid_map")?, "", "the map");
        same!(get("/proc/self/gid_map")?, "", "the other map");
        same!(effective()?, all_capabilities()?, "capabilities");
        let status = get("/proc/self/status")?;
        ensure!(status.contains("Uid:\t65534\t65534\t65534\t65534\n"), "{status}");
        let file = std::fs::metadata("/").map_err(|error| error.to_string())?;
        same!(std::os::unix::fs::MetadataExt::uid(&file), OVERFLOW, "root");
        fails!(raw("setuid", libc::SYS_setuid, [0; 6]), EINVAL);
        fails!(raw("setresgid", libc::SYS_setresgid, [0, -1, -1, 0, 0, 0]), EINVAL);
        same!(raw("setresgid", libc::SYS_setresgid, [-1, -1, -1, 0, 0, 0])?, 0, "no change");
        fails!(raw("setgroups", libc::SYS_setgroups, [0; 6]), EPERM);
        same!(raw("setfsuid", libc::SYS_setfsuid, [0; 6])?, OVERFLOW.into(), "setfsuid");
        // Without a number one makes no namespace.
        fails!(unshare(CLONE_NEWUSER), EPERM);
        Ok(())
    })
}

fn who_made_it_may_map_himself() -> Check {
    unmapped(|uid_before, gid_before| {
        // Somebody else, two of them, and groups as long as setgroups(2) is allowed.
        fails!(put("/proc/self/uid_map", &format!("0 {} 1", uid_before + 1)), EPERM);
        fails!(put("/proc/self/uid_map", &format!("0 {uid_before} 2")), EPERM);
        fails!(put("/proc/self/gid_map", &format!("0 {gid_before} 1")), EPERM);
        same!(get("/proc/self/setgroups")?, "allow\n", "setgroups");
        fails!(put("/proc/self/setgroups", "no"), EINVAL);
        become_root(uid_before, gid_before)?;
        same!((uid(), gid()), (0, 0), "ours");
        same!(get("/proc/self/setgroups")?, "deny\n", "setgroups then");
        fails!(put("/proc/self/setgroups", "allow"), EPERM);
        fails!(put("/proc/self/setgroups", "deny"), EPERM);
        fails!(raw("setgroups", libc::SYS_setgroups, [0; 6]), EPERM);
        fails!(put("/proc/self/uid_map", &format!("0 {uid_before} 1")), EPERM);
        same!(raw("setuid", libc::SYS_setuid, [0; 6])?, 0, "root may be root");
        fails!(raw("setuid", libc::SYS_setuid, [1, 0, 0, 0, 0, 0]), EINVAL);
        put("/proc/self/projid_map", "0 5 10\n")?;
        same!(get("/proc/self/projid_map")?, "         0          5         10\n", "projects");
        Ok(())
    })
}

fn a_map_has_three_numbers_in_a_line() -> Check {
    unmapped(|uid_before, _| {
        let lines = [
            String::new(),
            "x".into(),
            "0 0".into(),
            format!("0 {uid_before} 0"),
            format!("0 {uid_before} 1 1"),
            format!("0 {uid_before} 1\n\n"),
            format!("-1 {uid_before} 1"),
            format!("4294967295 {uid_before} 1"),
            "0 10 5\n4 100 1\n".into(),
            "0 10 5\n9 14 1\n".into(),
            "4294967290 10 10".into(),
            format!("0 0 1\n{}", " ".repeat(5000)),
        ];
        for line in lines.iter().skip(1) {
            fails!(put("/proc/self/uid_map", line), EINVAL);
        }
        let fd = open(Path::new("/proc/self/uid_map"), libc::O_RDWR, 0)?;
        let one = format!("7 {uid_before} 1");
        let args = [fd.into(), one.as_ptr() as i64, one.len() as i64, 1, 0, 0];
        fails!(raw("pwrite", libc::SYS_pwrite64, args), ESPIPE);
        same!(lseek(fd, 1, libc::SEEK_SET)?, 1, "position");
        fails!(write(fd, one.as_bytes()), EINVAL);
        same!(lseek(fd, 0, libc::SEEK_SET)?, 0, "position");
        same!(write(fd, one.as_bytes())?, one.len(), "bytes");
        same!(uid(), 7, "ours");
        Ok(())
    })
}

fn the_same_map_is_read_differently_inside_and_outside() -> Check {
    if !permitted()? {
        return Ok(());
    }
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let (uid_here, gid_here) = (uid(), gid());
    let child = fork_check(|| {
        unshare(CLONE_NEWUSER)?;
        ready.open()?;
        go.wait()?;
        let line = format!("{:>10} {uid_here:>10} {:>10}\n", 5, 1);
        same!(get("/proc/self/uid_map")?, line, "our parent's number");
        same!((uid(), gid()), (5, 6), "ours");
        let status = get("/proc/self/status")?;
        ensure!(status.contains("\nUid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6\n"), "{status}");
        Ok(())
    })?;
    ready.wait()?;
    // Who made it is who we are: the parent may write as well.
    let done = put(&format!("/proc/{child}/uid_map"), &format!("5 {uid_here} 1"))
        .and_then(|()| put(&format!("/proc/{child}/setgroups"), "deny"))
        .and_then(|()| put(&format!("/proc/{child}/gid_map"), &format!("6 {gid_here} 1")));
    let inside = get(&format!("/proc/{child}/status"));
    let map = get(&format!("/proc/{child}/uid_map"));
    go.open()?;
    wait_ok(child)?;
    done?;
    same!(map?, format!("{:>10} {uid_here:>10} {:>10}\n", 5, 1), "seen from here");
    let wanted = format!("\nUid:\t{uid_here}\t{uid_here}\t{uid_here}\t{uid_here}\n");
    let inside = inside?;
    ensure!(inside.contains(&wanted), "{inside}");
    fails!(put("/proc/self/uid_map", "0 0 1"), EPERM);
    Ok(())
}

fn capabilities_count_for_what_belongs_to_the_namespace() -> Check {
    as_root(|_, _| {
        let name = b"inside";
        let sethostname = || {
            let args = [name.as_ptr() as i64, name.len() as i64, 0, 0, 0, 0];
            raw("sethostname", libc::SYS_sethostname, args)
        };
        same!(effective()?, all_capabilities()?, "capabilities");
        fails!(sethostname(), EPERM);
        unshare(CLONE_NEWUTS)?;
        same!(sethostname()?, 0, "a hostname of our own");
        let time = [0i64; 2];
        let args = [libc::CLOCK_REALTIME.into(), time.as_ptr() as i64, 0, 0, 0, 0];
        fails!(raw("clock_settime", libc::SYS_clock_settime, args), EPERM);
        same!(raw("chroot", libc::SYS_chroot, [c"/".as_ptr() as i64, 0, 0, 0, 0, 0])?, 0, "chroot");
        // They can be given up, and are gone then.
        let header = [0x2008_0522u32, 0];
        let none = [0u32; 6];
        let args = [header.as_ptr() as i64, none.as_ptr() as i64, 0, 0, 0, 0];
        same!(raw("capset", libc::SYS_capset, args)?, 0, "capset");
        fails!(sethostname(), EPERM);
        Ok(())
    })
}

fn an_unmapped_owners_file_is_nobodys_to_change() -> Check {
    let place = entered()?;
    let mine = PathBuf::from("mine");
    std::fs::write(&mine, b"x").map_err(|error| error.to_string())?;
    as_root(|_, _| {
        let chmod = |path: &Path, mode| on_path("chmod", libc::SYS_chmod, path, [mode, 0, 0]);
        let chown = |path: &Path, uid, gid| on_path("chown", libc::SYS_chown, path, [uid, gid, 0]);
        same!(chmod(&mine, 0)?, 0, "chmod");
        let file = std::fs::metadata(&mine).map_err(|error| error.to_string())?;
        same!(std::os::unix::fs::MetadataExt::uid(&file), 0, "ours is root's");
        close(open(&mine, libc::O_RDWR, 0)?)?;
        fails!(chown(&mine, 1, -1), EINVAL);
        same!(chown(&mine, 0, 0)?, 0, "to ourselves");
        // /proc belongs to the host's root, whom we call nobody unless it is us.
        let proc = std::fs::metadata("/proc/sys").map_err(|error| error.to_string())?;
        if std::os::unix::fs::MetadataExt::uid(&proc) == OVERFLOW {
            fails!(chmod(Path::new("/proc/sys"), 0o777), EPERM);
            fails!(open(Path::new("/proc/sys/kernel/hostname"), libc::O_WRONLY, 0), EACCES);
        }
        Ok(())
    })?;
    std::fs::remove_dir_all(&place).map_err(|error| error.to_string())
}

/// A directory of our own, which is where we are: the way to it may be closed to who is root only in
/// a namespace.
fn entered() -> Result<PathBuf, String> {
    let place = scratch()?;
    std::env::set_current_dir(&place).map_err(|error| error.to_string())?;
    Ok(place)
}

/// What `--then tell_effective WANTED` checks.
fn tell_effective() -> Check {
    let wanted = std::env::args().nth(3).ok_or("no argument")?;
    let wanted = if wanted == "all" { all_capabilities()? } else { 0 };
    same!(effective()?, wanted, "capabilities after exec");
    Ok(())
}

fn exec_keeps_capabilities_for_the_root_of_the_namespace() -> Check {
    as_root(|_, _| Err(exec_self("tell_effective", &["all"])))?;
    unmapped(|uid_before, _| {
        put("/proc/self/uid_map", &format!("9 {uid_before} 1"))?;
        Err(exec_self("tell_effective", &["none"]))
    })
}

/// The sender of the next SIGUSR1: its number and its user.
fn sender() -> Result<(Pid, u32), String> {
    let set = guests::signal::set(&[SIGUSR1]);
    // SAFETY: valid memory; the record of a signal sent by a process has these fields.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::sigwaitinfo(&set, &mut info) != SIGUSR1 {
            return Err("sigwaitinfo failed".into());
        }
        Ok((info.si_pid(), info.si_uid()))
    }
}

fn signals_tell_what_their_receiver_calls_the_sender() -> Check {
    if !permitted()? {
        return Ok(());
    }
    block(&[SIGUSR1])?;
    let (me, uid_here) = (getpid(), uid());
    let ready = Gate::new()?;
    let child = fork_check(|| {
        let (uid_before, gid_before) = (uid(), gid());
        unshare(CLONE_NEWUSER)?;
        ready.open()?;
        same!(sender()?, (me, OVERFLOW), "nobody yet");
        become_root(uid_before, gid_before)?;
        kill(me, SIGUSR1)?;
        same!(sender()?, (me, 0), "root here");
        queue(me, SIGUSR1, 5)?;
        Ok(())
    })?;
    ready.wait()?;
    kill(child, SIGUSR1)?;
    same!(sender()?, (child, uid_here), "by kill");
    kill(child, SIGUSR1)?;
    same!(sender()?, (child, uid_here), "by sigqueue");
    wait_ok(child)
}

fn messages_tell_what_their_receiver_calls_the_sender() -> Check {
    let peer = |fd: Fd| -> Result<u32, String> {
        let mut cred = [0u32; 3];
        let mut len = 12u32;
        // SAFETY: valid memory of that length.
        let done = unsafe {
            let (value, len) = (cred.as_mut_ptr().cast(), &raw mut len);
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, value, len)
        };
        guests::sys::small("getsockopt", done)?;
        Ok(cred[1])
    };
    let (a, b) = guests::net::pair(libc::SOCK_STREAM)?;
    same!(peer(a)?, uid(), "here");
    unmapped(|uid_before, gid_before| {
        same!(peer(b)?, OVERFLOW, "before the map");
        become_root(uid_before, gid_before)?;
        same!(peer(b)?, 0, "after it");
        Ok(())
    })?;
    close(a)?;
    Ok(close(b)?)
}

fn setns_enters_what_one_made_and_leads_nowhere_else() -> Check {
    if !permitted()? {
        return Ok(());
    }
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let outside = open(Path::new("/proc/self/ns/user"), libc::O_RDONLY, 0)?;
    fails!(setns(outside, 0), EINVAL);
    fails!(setns(outside, CLONE_NEWUTS), EINVAL);
    let child = fork_check(|| {
        let (uid_before, gid_before) = (uid(), gid());
        unshare(CLONE_NEWUSER | CLONE_NEWUTS)?;
        become_root(uid_before, gid_before)?;
        fails!(setns(outside, CLONE_NEWUSER), EPERM);
        ready.open()?;
        go.wait()?;
        Ok(())
    })?;
    ready.wait()?;
    let entered = fork_check(|| {
        let open_ns = |name| open(Path::new(&format!("/proc/{child}/ns/{name}")), 0, 0);
        let (user, uts) = (open_ns("user")?, open_ns("uts")?);
        setns(user, CLONE_NEWUSER)?;
        same!((uid(), gid()), (0, 0), "root there");
        same!(effective()?, all_capabilities()?, "capabilities");
        setns(uts, 0)?;
        fails!(setns(user, 0), EINVAL);
        fails!(setns(outside, 0), EPERM);
        Ok(())
    })?;
    let done = wait_ok(entered);
    // All at once, by a pidfd.
    let both = fork_check(|| {
        let args = [child.into(), 0, 0, 0, 0, 0];
        let pidfd = raw("pidfd_open", libc::SYS_pidfd_open, args)? as Fd;
        setns(pidfd, CLONE_NEWUTS | CLONE_NEWUSER)?;
        same!(uid(), 0, "root there");
        Ok(())
    })?;
    let both = wait_ok(both);
    go.open()?;
    wait_ok(child)?;
    done?;
    both
}

fn files_tell_whose_a_namespace_is() -> Check {
    const NS_GET_USERNS: i64 = 0xb701;
    const NS_GET_PARENT: i64 = 0xb702;
    const NS_GET_OWNER_UID: i64 = 0xb704;
    let ioctl = |fd: Fd, what, arg: i64| {
        raw("ioctl", libc::SYS_ioctl, [fd.into(), what, arg, 0, 0, 0]).map(|fd| fd as Fd)
    };
    let link = |path: &str| std::fs::read_link(path).map_err(|error| error.to_string());
    let outside = open(Path::new("/proc/self/ns/user"), libc::O_RDONLY, 0)?;
    as_root(|_, _| {
        unshare(CLONE_NEWUTS)?;
        let uts = open(Path::new("/proc/self/ns/uts"), libc::O_RDONLY, 0)?;
        let own = link("/proc/self/ns/user")?;
        let owner = ioctl(uts, NS_GET_USERNS, 0)?;
        same!(link(&format!("/proc/self/fd/{owner}"))?, own, "the owner of our names");
        let mut who = 99u32;
        same!(ioctl(owner, NS_GET_OWNER_UID, &raw mut who as i64)?, 0, "asking");
        same!(who, 0, "who made it");
        fails!(ioctl(owner, NS_GET_PARENT, 0), EPERM);
        fails!(ioctl(outside, NS_GET_PARENT, 0), EPERM);
        fails!(ioctl(uts, NS_GET_OWNER_UID, &raw mut who as i64), EINVAL);
        // One below.
        let (uid_before, gid_before) = (uid(), gid());
        let child = fork_check(|| {
            unshare(CLONE_NEWUSER)?;
            become_root(uid_before, gid_before)?;
            Ok(())
        })?;
        wait_ok(child)
    })?;
    Ok(close(outside)?)
}

fn what_is_shared_cannot_be_taken_along() -> Check {
    let clone = |flags: i32| clone_fork(flags | SIGCHLD, || 0);
    fails!(clone(CLONE_NEWUSER | CLONE_FS), EINVAL);
    let thread = libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_VM;
    let args = [i64::from(CLONE_NEWUSER | thread), 0, 0, 0, 0, 0];
    fails!(raw("clone", libc::SYS_clone, args), EINVAL);
    let (sent, received) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || received.recv());
    let result = unshare(CLONE_NEWUSER);
    drop(sent);
    let _ = other.join();
    fails!(result, EINVAL);
    if !permitted()? {
        return Ok(());
    }
    let child = fork_check(|| {
        let child = clone_fork(CLONE_NEWUSER | SIGCHLD, || i32::from(uid() != OVERFLOW))?;
        wait_ok(child)
    })?;
    wait_ok(child)
}

fn a_chroot_is_no_place_for_a_new_one() -> Check {
    let place = entered()?;
    let root = c".";
    as_root(|_, _| {
        raw("chroot", libc::SYS_chroot, [root.as_ptr() as i64, 0, 0, 0, 0, 0])?;
        fails!(unshare(CLONE_NEWUSER), EPERM);
        Ok(())
    })?;
    std::fs::remove_dir_all(&place).map_err(|error| error.to_string())
}

fn a_privileged_parent_maps_many() -> Check {
    if !permitted()? {
        return Ok(());
    }
    let place = entered()?;
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let made = PathBuf::from("made");
    let child = fork_check(|| {
        unshare(CLONE_NEWUSER)?;
        ready.open()?;
        go.wait()?;
        if get("/proc/self/uid_map")?.is_empty() || get("/proc/self/gid_map")?.is_empty() {
            return Ok(()); // our parent may not
        }
        raw("setgroups", libc::SYS_setgroups, [2, [3u32, 4].as_ptr() as i64, 0, 0, 0, 0])?;
        raw("setresgid", libc::SYS_setresgid, [2, 2, 2, 0, 0, 0])?;
        raw("setresuid", libc::SYS_setresuid, [0, 0, 0, 0, 0, 0])?;
        same!(effective()?, all_capabilities()?, "root's");
        raw("setresuid", libc::SYS_setresuid, [1, 1, 1, 0, 0, 0])?;
        same!(effective()?, 0, "a user's");
        fails!(raw("setuid", libc::SYS_setuid, [0; 6]), EPERM);
        fails!(raw("setuid", libc::SYS_setuid, [50, 0, 0, 0, 0, 0]), EINVAL);
        same!(get("/proc/self/status")?.contains("\nGroups:\t3 4 \n"), true, "groups");
        close(open(&made, libc::O_CREAT | libc::O_WRONLY, 0o600)?)?;
        Ok(())
    })?;
    ready.wait()?;
    let groups = put(&format!("/proc/{child}/gid_map"), "0 200000 10\n");
    let users = put(&format!("/proc/{child}/uid_map"), "0 100000 10\n");
    std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .map_err(|error| error.to_string())?;
    go.open()?;
    wait_ok(child)?;
    if groups.and(users).is_ok() {
        let file = std::fs::metadata(&made).map_err(|error| error.to_string())?;
        let owner = (
            std::os::unix::fs::MetadataExt::uid(&file),
            std::os::unix::fs::MetadataExt::gid(&file),
        );
        same!(owner, (100_001, 200_002), "who made it, as we see it");
    }
    std::fs::remove_dir_all(&place).map_err(|error| error.to_string())
}

fn they_nest_to_a_depth() -> Check {
    as_root(|_, _| {
        let mut deep = 1;
        loop {
            match unshare(CLONE_NEWUSER) {
                Err(failed) if failed.errno == ENOSPC => break,
                made => made?,
            };
            become_root(0, 0)?;
            deep += 1;
        }
        // Where we are not in the first one ourselves, or where there is a lower limit, fewer.
        ensure!(deep <= 33, "{deep} levels");
        Ok(())
    })
}
