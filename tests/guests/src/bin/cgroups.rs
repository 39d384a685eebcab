//! Control groups, version 2: directories that are groups, who is in which, birth into one, events,
//! threads apart, what others may, and namespaces. See cgroups(7), cgroup_namespaces(7), clone(2)
//! (CLONE_INTO_CGROUP). Each case works in a group of its own; one that may make none has nothing to
//! say and holds.

use guests::cgroup::{Group, path_of, put, rmdir, sleeper, until};
use guests::mounting::{as_nobody, chmod, mkdir, mount, on_path, on_paths, rename, unlink};
use guests::process::{Gate, Pid, clone_fork, fork_check, getpid, gettid, wait, wait_ok};
use guests::sys::{
    Sys, close, epoll, epoll_ctl, epoll_wait, lseek, open, poll_bits, poll_one, raw, read, write,
};
use guests::{Check, ensure, fails, same};
use libc::{
    CLONE_NEWCGROUP, EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOTDIR,
    EOPNOTSUPP, EPERM, ERANGE, ESRCH, O_CREAT, O_DIRECTORY, O_PATH, O_RDONLY, O_RDWR, O_TRUNC,
    O_WRONLY, POLLERR, POLLIN, POLLOUT, POLLPRI, SIGCHLD,
};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

guests::cases! {
    a_group_is_a_directory_with_files,
    names_in_a_group_are_groups_only,
    numbers_are_read_strictly,
    a_limit_of_groups_is_kept,
    a_process_moves_with_its_threads,
    a_child_is_born_where_clone3_says,
    a_group_in_use_stays,
    a_zombie_is_in_no_bodys_way,
    events_tell_who_polls_them,
    threads_may_be_apart_below_a_domain,
    what_is_given_away_is_moved_within_only,
    a_namespace_begins_at_its_group,
}

/// clone3(2) of a child that exits at once, with CLONE_INTO_CGROUP and these flags; it is reaped.
fn born_into(cgroup: u64, flags: u64) -> Result<Sys<String>, String> {
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    let gate = Gate::new()?;
    let flags = CLONE_INTO_CGROUP | flags;
    let args = [flags, 0, 0, 0, SIGCHLD as u64, 0, 0, 0, 0, 0, cgroup];
    match raw("clone3", libc::SYS_clone3, [args.as_ptr() as i64, 88, 0, 0, 0, 0]) {
        Ok(0) => {
            let _ = gate.wait();
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) }
        }
        Ok(child) => {
            let path = path_of(&child.to_string());
            gate.open()?;
            wait_ok(child as Pid)?;
            path.map(Ok)
        }
        Err(failed) => Ok(Err(failed)),
    }
}

fn a_group_is_a_directory_with_files() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let files = [
        ("cgroup.type", 0o644, "domain\n"),
        ("cgroup.procs", 0o644, ""),
        ("cgroup.threads", 0o644, ""),
        ("cgroup.subtree_control", 0o644, ""),
        ("cgroup.events", 0o444, "populated 0\nfrozen 0\n"),
        ("cgroup.max.descendants", 0o644, "max\n"),
        ("cgroup.max.depth", 0o644, "max\n"),
    ];
    for (name, mode, text) in files {
        same!(g.text(name)?, text, "{name}");
        let meta = fs::metadata(g.at(name)).map_err(|error| error.to_string())?;
        same!((meta.mode(), meta.len()), (0o100_000 | mode, 0), "mode and size of {name}");
    }
    ensure!(g.text("cgroup.stat")?.starts_with("nr_descendants 0\n"), "groups below");
    let meta = fs::metadata(&g.dir).map_err(|error| error.to_string())?;
    same!((meta.mode(), meta.nlink(), meta.len()), (0o40755, 2, 0), "the directory");
    mkdir(&g.at("a"))?;
    mkdir(&g.at("a/b"))?;
    let meta = fs::metadata(&g.dir).map_err(|error| error.to_string())?;
    same!(meta.nlink(), 3, "links of a directory with one in it");
    ensure!(g.text("cgroup.stat")?.starts_with("nr_descendants 2\n"), "two groups below");
    fails!(rmdir(&g.at("a")), EBUSY);
    rmdir(&g.at("a/b"))?;
    rmdir(&g.at("a"))?;
    fails!(open(&g.at("no.such.file"), O_RDONLY, 0), ENOENT);
    Ok(())
}

fn names_in_a_group_are_groups_only() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let (new, old, procs) = (g.at("new"), g.at("a"), g.at("cgroup.procs"));
    mkdir(&old)?;
    fails!(open(&new, O_CREAT | O_WRONLY, 0o644), EACCES);
    fails!(on_paths("symlink", libc::SYS_symlink, Path::new("x"), &new), EPERM);
    fails!(on_paths("link", libc::SYS_link, &procs, &new), EPERM);
    fails!(on_path("mknod", libc::SYS_mknod, &new, [0o010_644, 0, 0]), EPERM);
    fails!(unlink(&procs), EPERM);
    fails!(rename(&procs, &new), EPERM);
    fails!(rename(&old, &new), EPERM);
    fails!(mkdir(&g.at("a\nb")), EINVAL);
    fails!(mkdir(&procs), EEXIST);
    fails!(rmdir(&procs), ENOTDIR);
    fails!(open(&g.dir, libc::O_TMPFILE | O_RDWR, 0o600), EOPNOTSUPP);
    close(open(&procs, O_WRONLY | O_TRUNC, 0)?)?;
    same!(on_path("truncate", libc::SYS_truncate, &procs, [0; 3])?, 0, "truncate");
    mkdir(&g.at("c"))?;
    chmod(&g.at("c"), 0o700)?;
    let mode = fs::metadata(g.at("c")).map_err(|error| error.to_string())?.permissions().mode();
    same!(mode, 0o40700, "a changed mode");
    Ok(())
}

fn numbers_are_read_strictly() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    for bad in ["x", "-1", "0 1", "99999999999", " "] {
        fails!(g.put("cgroup.procs", bad), EINVAL);
    }
    same!(g.put("cgroup.procs", "")?, 0, "nothing written");
    fails!(g.put("cgroup.procs", "0x7fffffff"), ESRCH);
    fails!(g.put("cgroup.threads", "2147483647\n"), ESRCH);
    let page = " ".repeat(4096);
    fails!(g.put("cgroup.procs", &(page + "0")), libc::E2BIG);
    fails!(g.put("cgroup.subtree_control", "+no-such-controller"), EINVAL);
    fails!(g.put("cgroup.subtree_control", "memory"), EINVAL);
    for (wrong, errno) in [("0", ERANGE), ("2", ERANGE), ("x", EINVAL)] {
        fails!(g.put("cgroup.kill", wrong), errno);
    }
    for file in ["cgroup.controllers", "cgroup.events", "cgroup.stat", "cgroup.type"] {
        fails!(g.put(file, "x"), EINVAL);
    }
    let kill = open(&g.at("cgroup.kill"), O_RDONLY, 0)?;
    fails!(read(kill, 9), EINVAL);
    for file in ["cgroup.max.depth", "cgroup.max.descendants"] {
        for (text, shown) in [("0x10 \n", "16\n"), ("0", "0\n"), ("010", "8\n"), ("max", "max\n")] {
            same!(g.put(file, text)?, text.len(), "{file}");
            same!(g.text(file)?, shown, "{file}");
        }
        fails!(g.put(file, "-1"), ERANGE);
        fails!(g.put(file, "2147483648"), ERANGE);
        fails!(g.put(file, "x"), EINVAL);
    }
    Ok(())
}

fn a_limit_of_groups_is_kept() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    g.put("cgroup.max.depth", "1")?;
    fails!(mkdir(&g.at("a/b")), EAGAIN);
    g.put("cgroup.max.depth", "max")?;
    g.put("cgroup.max.descendants", "1")?;
    fails!(mkdir(&g.at("a/b")), EAGAIN);
    fails!(mkdir(&g.at("c")), EAGAIN);
    fails!(mkdir(&g.at("a\nb")), EINVAL);
    g.put("cgroup.max.descendants", "2")?;
    mkdir(&g.at("a/b"))?;
    Ok(())
}

fn a_process_moves_with_its_threads() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    let child = fork_check(|| {
        let (ready, done) = (Gate::new()?, Gate::new()?);
        let thread = std::thread::spawn(move || -> Result<i32, String> {
            ready.open()?;
            done.wait()?;
            same!(path_of("thread-self")?.ends_with("/a"), true, "where the thread is");
            Ok(gettid())
        });
        ready.wait()?;
        g.put("a/cgroup.procs", "0\n")?;
        same!(path_of("self")?, g.path("a"), "where the process is");
        same!(g.text("a/cgroup.procs")?, format!("{}\n", getpid()), "its processes");
        same!(g.text("cgroup.procs")?, "", "processes of the group above");
        let threads = g.text("a/cgroup.threads")?;
        let own = threads.lines().filter(|line| *line == getpid().to_string()).count();
        same!((threads.lines().count(), own), (2, 1), "its threads");
        same!(g.text("a/cgroup.events")?, "populated 1\nfrozen 0\n", "events");
        same!(g.text("cgroup.events")?, "populated 1\nfrozen 0\n", "events above");
        done.open()?;
        let tid = thread.join().map_err(|_| "the thread panicked")??;
        ensure!(threads.contains(&tid.to_string()), "{tid} is in {threads}");
        let born = fork_check(|| {
            same!(path_of("self")?, g.path("a"), "where a child is");
            g.put("cgroup.procs", &getpid().to_string())?;
            same!(path_of("self")?, g.path(""), "where it went");
            Ok(())
        })?;
        wait_ok(born)?;
        Ok(())
    })?;
    wait_ok(child)
}

fn a_child_is_born_where_clone3_says() -> Check {
    const CLONE_NEWPID: u64 = libc::CLONE_NEWPID as u64;
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    let dir = open(&g.at("a"), O_PATH | O_DIRECTORY, 0)?;
    same!(born_into(dir as u64, 0)?, Ok(g.path("a")), "by O_PATH");
    let readable = open(&g.at("a"), O_RDONLY | O_DIRECTORY, 0)?;
    same!(born_into(readable as u64, CLONE_NEWPID)?, Ok(g.path("a")), "by O_RDONLY");
    let procs = open(&g.at("a/cgroup.procs"), O_RDWR, 0)?;
    let elsewhere = open(Path::new("/"), O_RDONLY | O_DIRECTORY, 0)?;
    for fd in [procs, elsewhere, 999] {
        fails!(born_into(fd as u64, 0)?, EBADF);
    }
    for number in [1 << 31, 1 << 32, u64::MAX] {
        fails!(born_into(number, 0)?, EINVAL);
    }
    let args = [1u64 << 33, 0, 0, 0, SIGCHLD as u64, 0, 0, 0, 0, 0, dir as u64];
    // As short as it was before there was this flag.
    fails!(raw("clone3", libc::SYS_clone3, [args.as_ptr() as i64, 80, 0, 0, 0, 0]), EINVAL);
    as_nobody(|| {
        fails!(born_into(dir as u64, 0)?, EACCES);
        Ok(())
    })?;
    rmdir(&g.at("a"))?;
    fails!(born_into(dir as u64, 0)?, ENOENT);
    Ok(())
}

fn a_group_in_use_stays() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let gate = Gate::new()?;
    mkdir(&g.at("a"))?;
    let child = sleeper(gate)?;
    g.put("a/cgroup.procs", &child.to_string())?;
    fails!(rmdir(&g.at("a")), EBUSY);
    g.put("cgroup.procs", &child.to_string())?;
    let dir = open(&g.at("a"), O_RDONLY | O_DIRECTORY, 0)?;
    let procs = open(&g.at("a/cgroup.procs"), O_RDWR, 0)?;
    rmdir(&g.at("a"))?;
    fails!(read(procs, 9), ENODEV);
    fails!(write(procs, b"0"), ENODEV);
    fails!(open(Path::new(&format!("/proc/self/fd/{procs}")), O_RDONLY, 0), ENODEV);
    same!(poll_bits(procs)? & (POLLPRI | POLLERR), POLLPRI | POLLERR, "poll");
    let name = c"b".as_ptr() as i64;
    let again = raw("mkdirat", libc::SYS_mkdirat, [dir.into(), name, 0o755, 0, 0, 0]);
    fails!(again, ENOENT);
    fails!(rmdir(&g.dir), EBUSY);
    gate.open()?;
    wait_ok(child)
}

fn a_zombie_is_in_no_bodys_way() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    let gate = Gate::new()?;
    let child = sleeper(gate)?;
    g.put("a/cgroup.procs", &child.to_string())?;
    gate.open()?;
    until(&g.at("a/cgroup.events"), "populated 0")?;
    // SAFETY: a zeroed siginfo_t is a valid place for the answer.
    let zombie = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, child as u32, &mut info, libc::WEXITED | libc::WNOWAIT)
    };
    same!(zombie, 0, "waitid");
    same!(path_of(&child.to_string())?, g.path("a"), "where a zombie is");
    same!(g.text("a/cgroup.procs")?, "", "processes");
    rmdir(&g.at("a"))?;
    same!(path_of(&child.to_string())?, g.path("a") + " (deleted)", "where it was");
    wait_ok(child)
}

fn events_tell_who_polls_them() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let news = POLLPRI | POLLERR;
    mkdir(&g.at("a"))?;
    let (above, own) = (g.at("cgroup.events"), g.at("a/cgroup.events"));
    let (above, own) = (open(&above, O_RDONLY, 0)?, open(&own, O_RDONLY, 0)?);
    same!(poll_bits(own)?, POLLIN | POLLOUT | news, "before the first read");
    same!(read(own, 99)?, b"populated 0\nfrozen 0\n", "events");
    read(above, 99)?;
    same!(poll_bits(own)?, POLLIN | POLLOUT, "after it");
    // A list without a line was not shown.
    let procs = open(&g.at("a/cgroup.procs"), O_RDONLY, 0)?;
    read(procs, 99)?;
    same!(poll_bits(procs)?, POLLIN | POLLOUT | news, "an empty list");
    let other = open(&g.at("a/cgroup.subtree_control"), O_RDONLY, 0)?;
    same!(poll_bits(other)?, POLLIN | POLLOUT | news, "another file, not read");
    read(other, 99)?;
    let set = epoll()?;
    epoll_ctl(set, libc::EPOLL_CTL_ADD, own, libc::EPOLLPRI as u32 | libc::EPOLLET as u32, 1)?;
    same!(epoll_wait(set, 9, 0)?, [], "nothing happened");
    let gate = Gate::new()?;
    let child = sleeper(gate)?;
    g.put("a/cgroup.procs", &child.to_string())?;
    let bits = news as u32;
    same!(epoll_wait(set, 9, -1)?, [(bits, 1)], "somebody came");
    same!(poll_one(above, POLLPRI, -1)?, news, "the group above");
    same!(poll_bits(other)?, POLLIN | POLLOUT, "another file tells nothing");
    lseek(own, 0, libc::SEEK_SET)?;
    same!(read(own, 99)?, b"populated 1\nfrozen 0\n", "events");
    gate.open()?;
    wait_ok(child)?;
    same!(poll_one(own, POLLPRI, -1)?, news, "it went");
    until(&g.at("a/cgroup.events"), "populated 0")
}

fn threads_may_be_apart_below_a_domain() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    mkdir(&g.at("a/b"))?;
    fails!(g.put("a/cgroup.type", "domain"), EINVAL);
    let gate = Gate::new()?;
    let child = sleeper(gate)?;
    g.put("a/cgroup.procs", &child.to_string())?;
    fails!(g.put("a/cgroup.type", "threaded"), EOPNOTSUPP);
    gate.open()?;
    wait_ok(child)?;
    until(&g.at("a/cgroup.events"), "populated 0")?;
    for _again in 0..2 {
        g.put("a/cgroup.type", "threaded\n")?;
    }
    let kind = |name: &str| g.text(&format!("{name}cgroup.type"));
    let kinds = [kind("")?, kind("a/")?, kind("a/b/")?];
    same!(kinds, ["domain threaded\n", "threaded\n", "domain invalid\n"], "types");
    fails!(read(open(&g.at("a/cgroup.procs"), O_RDONLY, 0)?, 9), EOPNOTSUPP);
    fails!(g.put("a/cgroup.kill", "1"), EOPNOTSUPP);
    fails!(g.put("a/b/cgroup.procs", "0"), EOPNOTSUPP);
    fails!(g.put("a/cgroup.threads", "0"), EOPNOTSUPP);
    let child = fork_check(|| {
        g.put("cgroup.procs", "0")?;
        let apart = || -> Check {
            let procs = g.at("cgroup.procs");
            g.put("a/cgroup.threads", "0")?;
            same!(path_of("thread-self")?, g.path("a"), "where the thread is");
            same!(path_of("self")?, g.path(""), "where the process is");
            same!(g.text("a/cgroup.threads")?, format!("{}\n", gettid()), "threads there");
            same!(g.text("cgroup.threads")?, format!("{}\n", getpid()), "threads above");
            same!(g.text("cgroup.procs")?, format!("{}\n", getpid()), "processes above");
            put(&procs, &gettid().to_string())?;
            same!(path_of("thread-self")?, g.path(""), "where the thread went");
            Ok(())
        };
        std::thread::scope(|scope| scope.spawn(apart).join()).map_err(|_| "the thread panicked")?
    })?;
    wait_ok(child)
}

fn what_is_given_away_is_moved_within_only() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    for name in ["", "cgroup.procs", "cgroup.threads"] {
        on_path("chown", libc::SYS_chown, &g.at(name), [65534, 65534, 0])?;
    }
    mkdir(&g.at("c"))?;
    let inherited = open(&g.at("c/cgroup.procs"), O_WRONLY, 0)?;
    as_nobody(|| {
        mkdir(&g.at("a"))?;
        for name in ["a", "a/cgroup.procs", "a/cgroup.kill"] {
            let meta = fs::metadata(g.at(name)).map_err(|error| error.to_string())?;
            same!((meta.uid(), meta.gid()), (65534, 65534), "the owner of {name}");
        }
        fails!(g.put("cgroup.procs", "0"), EACCES);
        fails!(g.put("c/cgroup.procs", "0"), EACCES);
        fails!(mkdir(&g.at("c/x")), EACCES);
        let dir = open(&g.dir, O_PATH | O_DIRECTORY, 0)?;
        fails!(born_into(dir as u64, 0)?, EACCES);
        // What counts is who opened it.
        write(inherited, b"0")?;
        g.put("a/cgroup.procs", "0")?;
        same!(path_of("self")?, g.path("a"), "where it moved to");
        same!(born_into(dir as u64, 0)?, Ok(g.path("")), "within");
        Ok(())
    })?;
    until(&g.at("cgroup.events"), "populated 0")
}

fn a_namespace_begins_at_its_group() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    mkdir(&g.at("a/b"))?;
    mkdir(&g.at("c"))?;
    let outer = getpid().to_string();
    let gate = Gate::new()?;
    let sibling = sleeper(gate)?;
    g.put("c/cgroup.procs", &sibling.to_string())?;
    let child = fork_check(|| {
        g.put("a/cgroup.procs", "0")?;
        let unshared = raw("unshare", libc::SYS_unshare, [CLONE_NEWCGROUP.into(), 0, 0, 0, 0, 0]);
        unshared?;
        same!(path_of("self")?, "/", "one's own group");
        same!(path_of(&sibling.to_string())?, "/../c", "a group beside");
        ensure!(path_of(&outer)?.starts_with("/../.."), "a group above: {}", path_of(&outer)?);
        let below = fork_check(|| {
            g.put("a/b/cgroup.procs", "0")?;
            same!(path_of("self")?, "/b", "a group below");
            Ok(())
        })?;
        wait_ok(below)?;
        let root = clone_fork(CLONE_NEWCGROUP | SIGCHLD, || match path_of("self").as_deref() {
            Ok("/") => 0,
            _ => 1,
        })?;
        same!(wait(root)?, 0, "a child with a namespace of its own");
        // What is mounted here begins there too.
        mount("none", &g.at("c"), "cgroup2", 0, "")?;
        same!(g.text("c/cgroup.procs")?, format!("{}\n", getpid()), "processes of the root");
        same!(mounted_root(&g.at("c"))?, "/", "its root");
        guests::mounting::umount(&g.at("c"), 0)?;
        Ok(())
    })?;
    wait_ok(child)?;
    gate.open()?;
    wait_ok(sibling)?;
    until(&g.at("cgroup.events"), "populated 0")
}

/// The root of the mount at this place, by /proc/self/mountinfo.
fn mounted_root(at: &Path) -> Result<String, String> {
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut here = words.filter(|words| words.get(4).is_some_and(|there| Path::new(there) == at));
    here.next_back().map(|words| words[3].to_owned()).ok_or(format!("nothing at {at:?}"))
}
