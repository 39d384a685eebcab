//! Trees of mounts: a part of the tree seen at two places, moves, shared and slave mounts, mount
//! namespaces, another root, and the process numbers of a procfs. See mount(2), umount2(2),
//! mount_namespaces(7), pivot_root(2), proc_pid_mountinfo(5). Each case works in a mount namespace of
//! its own. They need root: a case that may not mount anything has nothing to say and holds.

use guests::mounting::{mkdir, mount, on_path, on_paths, place, rename, touch, umount};
use guests::process::{Gate, clone_fork, fork_check, wait, wait_ok};
use guests::sys::{
    Fd, Sys, c_path, close, epoll, epoll_ctl, epoll_wait, open, poll_bits, raw, read,
};
use guests::{Check, ensure, fails, same};
use libc::{
    CLONE_FS, CLONE_NEWNS, CLONE_NEWPID, EACCES, EAGAIN, EBUSY, EINVAL, ELOOP, ENOENT, ENOTDIR,
    EPERM, EROFS, EXDEV, MNT_DETACH, MNT_EXPIRE, MS_BIND, MS_MOVE, MS_PRIVATE, MS_RDONLY, MS_REC,
    MS_REMOUNT, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, O_CREAT, O_DIRECTORY, O_PATH, O_RDONLY, O_RDWR,
    SIGCHLD,
};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

guests::cases! {
    a_bind_mount_shows_a_part_of_the_tree,
    a_bind_mount_may_be_read_only_alone,
    a_recursive_bind_takes_what_is_mounted_below,
    a_mount_moves,
    a_shared_mount_tells_its_peers_and_slaves,
    a_slave_of_slaves_hears_from_above,
    an_unmount_spares_what_covers_it,
    a_namespace_has_a_tree_of_its_own,
    setns_enters_a_tree_at_its_root,
    a_mountpoint_of_others_can_be_removed,
    a_changed_tree_is_told_to_who_polls_it,
    another_root_takes_the_place_of_the_first,
    a_procfs_shows_the_numbers_of_who_mounted_it,
    an_expired_mount_was_not_used_between,
    a_walk_may_be_held_in_one_mount,
}

/// A tmpfs of one's own with the directories `a`, `b` and `c`.
fn field() -> Result<Option<PathBuf>, String> {
    let Some(at) = place()? else { return Ok(None) };
    let at = at.canonicalize().map_err(|error| error.to_string())?;
    mount("field", &at, "tmpfs", 0, "")?;
    mount("none", &at, "", MS_PRIVATE, "")?;
    for name in ["a", "b", "c"] {
        mkdir(&at.join(name))?;
    }
    Ok(Some(at))
}

fn bind(from: &Path, at: &Path, flags: u64) -> Sys<()> {
    mount(from.to_str().expect("a plain path"), at, "", MS_BIND | flags, "")
}

fn make(at: &Path, kind: u64) -> Sys<()> {
    mount("none", at, "", kind, "")
}

/// What /proc/self/mountinfo says of the topmost mount at `at`: its root, the kinds of its optional
/// fields, and its source. Nothing if nothing is mounted there.
fn info(at: &Path) -> String {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let word = |line: &str, i| line.split(' ').nth(i).unwrap_or_default().to_owned();
    let there = |line: &&str| Path::new(&word(line, 4)) == at;
    let here: Vec<&str> = text.lines().filter(there).collect();
    let covered = |line: &str| here.iter().any(|other| word(other, 1) == word(line, 0));
    let Some(line) = here.iter().find(|line| !covered(line)) else { return String::new() };
    let (head, tail) = line.split_once(" - ").unwrap_or((line, ""));
    let kinds = head.split(' ').skip(6).map(|field| field.split(':').next().unwrap_or_default());
    let kinds: Vec<&str> = kinds.collect();
    format!("{} [{}] {}", word(head, 3), kinds.join(" "), word(tail, 1))
}

fn unshare(flags: i32) -> Sys<i64> {
    raw("unshare", libc::SYS_unshare, [flags.into(), 0, 0, 0, 0, 0])
}

fn chdir(at: &Path) -> Sys<i64> {
    on_path("chdir", libc::SYS_chdir, at, [0; 3])
}

fn ns() -> Result<String, String> {
    let link = fs::read_link("/proc/self/ns/mnt").map_err(|error| error.to_string())?;
    Ok(link.to_string_lossy().into_owned())
}

/// stx_mnt_id, and whether it is the root of its mount.
fn mnt_id(at: &Path) -> Result<(u64, bool), String> {
    let (mut buffer, path) = ([0u64; 32], c_path(at));
    let into = buffer.as_mut_ptr() as i64;
    raw(
        "statx",
        libc::SYS_statx,
        [libc::AT_FDCWD.into(), path.as_ptr() as i64, 0, 0x1000, into, 0],
    )?;
    Ok((buffer[18], buffer[1] & 0x2000 != 0))
}

fn a_bind_mount_shows_a_part_of_the_tree() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let [a, b, file] = [at.join("a"), at.join("b"), at.join("file")];
    mkdir(&a.join("d"))?;
    touch(&a.join("f"))?;
    touch(&file)?;
    fails!(bind(&a, &file, 0), ENOTDIR);
    fails!(bind(&file, &b, 0), ENOTDIR);
    fails!(bind(&at.join("none"), &b, 0), ENOENT);
    fails!(mount("", &b, "", MS_BIND, ""), EINVAL);
    bind(&a, &b, 0)?;
    same!(info(&b), "/a [] field", "the line of the bind mount");
    let dev =
        |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).map_err(|e| e.to_string());
    same!(dev(&b.join("f"))?, dev(&a.join("f"))?, "the same file");
    let (own, other) = (mnt_id(&a)?, mnt_id(&b)?);
    ensure!(own.0 != other.0, "two mounts have one mnt_id");
    same!((own.1, other.1), (false, true), "STATX_ATTR_MOUNT_ROOT");
    same!(mnt_id(&b.join("d"))?, (other.0, false), "a directory in the mount");
    fails!(rename(&b.join("f"), &at.join("g")), EXDEV);
    fails!(on_paths("link", libc::SYS_link, &b.join("f"), &at.join("g")), EXDEV);
    rename(&b.join("f"), &b.join("g"))?;
    ensure!(a.join("g").exists(), "a name that changed is not seen at the other place");
    bind(&b.join("g"), &file, 0)?;
    same!(info(&file), "/a/g [] field", "the line of a file");
    chdir(&b.join("d"))?;
    let cwd = std::env::current_dir().map_err(|error| error.to_string())?;
    same!(cwd, b.join("d"), "the working directory has the name that it was reached by");
    fails!(umount(&b, 0), EBUSY);
    chdir(Path::new(".."))?;
    chdir(Path::new(".."))?;
    same!(dev(Path::new("."))?, dev(&at)?, "above the root of a mount is where it is mounted");
    fails!(on_path("rmdir", libc::SYS_rmdir, &b, [0; 3]), EBUSY);
    fails!(on_path("unlink", libc::SYS_unlink, &file, [0; 3]), EBUSY);
    umount(&b, 0)?;
    Ok(())
}

fn a_bind_mount_may_be_read_only_alone() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let [a, b] = [at.join("a"), at.join("b")];
    bind(&a, &b, MS_RDONLY)?;
    touch(&b.join("f"))?;
    let held = open(&b.join("f"), O_RDWR, 0)?;
    let read_only = MS_REMOUNT | MS_BIND | MS_RDONLY;
    fails!(mount("none", &b, "", read_only, ""), EBUSY);
    close(held)?;
    mount("none", &b, "", read_only, "")?;
    fails!(open(&b.join("f"), O_RDWR, 0), EROFS);
    fails!(open(&b.join("g"), O_CREAT | O_RDWR, 0o644), EROFS);
    fails!(mkdir(&b.join("d")), EROFS);
    let write = [libc::W_OK.into(), 0, 0];
    fails!(on_path("access", libc::SYS_access, &b.join("f"), write), EROFS);
    on_path("access", libc::SYS_access, &a.join("f"), write)?;
    close(open(&a.join("f"), O_RDWR, 0)?)?;
    touch(&a.join("g"))?;
    close(open(&b.join("g"), O_RDONLY, 0)?)?;
    fails!(mount("none", &b.join("g"), "", read_only, ""), EINVAL);
    mount("none", &b, "", MS_REMOUNT | MS_BIND, "")?;
    close(open(&b.join("f"), O_RDWR, 0)?).map_err(Into::into)
}

fn a_recursive_bind_takes_what_is_mounted_below() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let [a, b, c] = [at.join("a"), at.join("b"), at.join("c")];
    mkdir(&a.join("d"))?;
    mkdir(&a.join("e"))?;
    mount("inner", &a.join("d"), "tmpfs", 0, "")?;
    mount("hidden", &a.join("e"), "tmpfs", 0, "")?;
    make(&a.join("e"), MS_UNBINDABLE)?;
    same!(info(&a.join("e")), "/ [unbindable] hidden", "an unbindable mount");
    bind(&a, &b, MS_REC)?;
    bind(&a, &c, 0)?;
    same!(info(&b.join("d")), "/ [] inner", "what is mounted below, with MS_REC");
    same!(info(&b.join("e")), "", "what is unbindable");
    same!(info(&c.join("d")), "", "what is mounted below, without MS_REC");
    fails!(bind(&a.join("e"), &c, 0), EINVAL);
    fails!(umount(&b, 0), EBUSY);
    umount(&b, MNT_DETACH)?;
    same!(info(&b.join("d")), "", "what was on a detached mount");
    same!(info(&a.join("d")), "/ [] inner", "the original");
    Ok(())
}

fn a_mount_moves() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let [a, b, c] = [at.join("a"), at.join("b"), at.join("c")];
    let shift =
        |from: &Path, to: &Path| mount(from.to_str().expect("a plain path"), to, "", MS_MOVE, "");
    mount("one", &a, "tmpfs", 0, "")?;
    mkdir(&a.join("d"))?;
    mount("two", &a.join("d"), "tmpfs", 0, "")?;
    touch(&a.join("d/f"))?;
    let open_file = open(&a.join("d/f"), O_RDONLY, 0)?;
    fails!(shift(&a, &a.join("d")), ELOOP);
    fails!(shift(&b, &c), EINVAL);
    shift(&a, &b)?;
    same!(info(&a), "", "where it was");
    same!(info(&b), "/ [] one", "where it is");
    ensure!(b.join("d/f").exists(), "what was on it is not there");
    let link = fs::read_link(format!("/proc/self/fd/{open_file}")).map_err(|e| e.to_string())?;
    same!(link, b.join("d/f"), "the name of an open file");
    make(&b, MS_SHARED)?;
    fails!(shift(&b.join("d"), &c), EINVAL);
    Ok(())
}

fn a_shared_mount_tells_its_peers_and_slaves() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let [a, b, c] = [at.join("a"), at.join("b"), at.join("c")];
    mount("base", &a, "tmpfs", 0, "")?;
    make(&a, MS_SHARED)?;
    for name in ["x", "y", "z"] {
        mkdir(&a.join(name))?;
    }
    bind(&a, &b, 0)?;
    bind(&a, &c, 0)?;
    make(&c, MS_SLAVE)?;
    same!(info(&b), "/ [shared] base", "a peer");
    same!(info(&c), "/ [master] base", "a slave");
    mount("new", &b.join("x"), "tmpfs", 0, "")?;
    same!(info(&a.join("x")), "/ [shared] new", "on the peer");
    same!(info(&c.join("x")), "/ [master] new", "on the slave");
    mount("own", &c.join("y"), "tmpfs", 0, "")?;
    same!(info(&a.join("y")), "", "what is mounted on a slave, on its master");
    // What comes from the master is put below what the slave has there.
    mount("late", &a.join("y"), "tmpfs", 0, "")?;
    same!(info(&c.join("y")), "/ [] own", "what covers it");
    umount(&c.join("y"), 0)?;
    same!(info(&c.join("y")), "/ [master] late", "what was below");
    umount(&a.join("x"), 0)?;
    same!([info(&b.join("x")), info(&c.join("x"))], ["", ""], "unmounted everywhere");
    make(&c, MS_PRIVATE)?;
    same!(info(&c), "/ [] base", "a private one");
    mount("last", &a.join("z"), "tmpfs", 0, "")?;
    same!(info(&c.join("z")), "", "nothing is told to a private one");
    fails!(make(&a.join("x"), MS_SHARED), EINVAL);
    fails!(make(&a, MS_SHARED | MS_SLAVE), EINVAL);
    Ok(())
}

fn a_slave_of_slaves_hears_from_above() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let [a, b, c] = [at.join("a"), at.join("b"), at.join("c")];
    mount("base", &a, "tmpfs", 0, "")?;
    make(&a, MS_SHARED)?;
    mkdir(&a.join("x"))?;
    bind(&a, &b, 0)?;
    make(&b, MS_SLAVE)?;
    make(&b, MS_SHARED)?;
    bind(&b, &c, 0)?;
    make(&c, MS_SLAVE)?;
    same!(info(&b), "/ [shared master] base", "slave and shared");
    mount("new", &a.join("x"), "tmpfs", 0, "")?;
    same!(info(&b.join("x")), "/ [shared master] new", "on the first");
    same!(info(&c.join("x")), "/ [master] new", "on the second");
    umount(&b.join("x"), 0)?;
    ensure!(!info(&a.join("x")).is_empty() && info(&c.join("x")).is_empty(), "down, and not up");
    // The group between them goes out of sight, and then away.
    umount(&b, 0)?;
    same!(info(&c), "/ [master] base", "a slave of its master's master");
    umount(&a.join("x"), 0)?;
    mount("again", &a.join("x"), "tmpfs", 0, "")?;
    ensure!(!info(&c.join("x")).is_empty(), "it hears no more");
    Ok(())
}

fn an_unmount_spares_what_covers_it() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let [a, b] = [at.join("a"), at.join("b")];
    mount("base", &a, "tmpfs", 0, "")?;
    make(&a, MS_SHARED)?;
    mkdir(&a.join("x"))?;
    bind(&a, &b, 0)?;
    make(&b, MS_SLAVE)?;
    mount("first", &a.join("x"), "tmpfs", 0, "")?;
    mkdir(&a.join("x/d"))?;
    mount("cover", &b.join("x"), "tmpfs", 0, "")?;
    umount(&a.join("x"), 0)?;
    same!(info(&b.join("x")), "/ [] cover", "what covered the copy");
    umount(&b.join("x"), 0)?;
    same!(info(&b.join("x")), "", "the copy below");
    mount("first", &a.join("x"), "tmpfs", 0, "")?;
    mkdir(&a.join("x/d"))?;
    mount("inner", &b.join("x/d"), "tmpfs", 0, "")?;
    umount(&a.join("x"), 0)?;
    same!(info(&b.join("x")), "/ [] first", "a copy with something on it");
    Ok(())
}

fn a_namespace_has_a_tree_of_its_own() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let (a, before) = (at.join("a"), ns()?);
    same!(
        clone_fork(CLONE_NEWNS | CLONE_FS | SIGCHLD, || 0).map_err(|e| e.errno),
        Err(EINVAL),
        "both"
    );
    mount("outer", &a, "tmpfs", 0, "")?;
    mkdir(&a.join("d"))?;
    chdir(&a.join("d"))?;
    let listed = || fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string());
    let count = listed()?.lines().count();
    let child = clone_fork(CLONE_NEWNS | SIGCHLD, || {
        let body = || -> Check {
            ensure!(ns()? != before, "a new namespace has the number of the old");
            same!(listed()?.lines().count(), count, "mounts in the copy");
            mount("inner", &at.join("b"), "tmpfs", 0, "")?;
            umount(&a, MNT_DETACH)?;
            // Who works there goes on to.
            mkdir(Path::new("e"))?;
            fails!(umount(&a, 0), EINVAL);
            Ok(())
        };
        match body() {
            Ok(()) => 0,
            Err(why) => {
                eprintln!("in the namespace: {why}");
                1
            }
        }
    })?;
    same!(wait(child)?, 0, "the child's status");
    ensure!(a.join("d/e").exists(), "the copy of a mount shows another file system");
    same!(info(&at.join("b")), "", "what was mounted in the namespace");
    let peers = at.join("c");
    mount("shared", &peers, "tmpfs", 0, "")?;
    make(&peers, MS_SHARED)?;
    mkdir(&peers.join("x"))?;
    let child = fork_check(|| {
        unshare(CLONE_NEWNS)?;
        mount("told", &peers.join("x"), "tmpfs", 0, "")?;
        Ok(())
    })?;
    wait_ok(child)?;
    same!(info(&peers.join("x")), "/ [shared] told", "after the namespace died");
    Ok(())
}

fn setns_enters_a_tree_at_its_root() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    chdir(&at)?;
    let (ready, done) = (Gate::new()?, Gate::new()?);
    let child = fork_check(|| {
        unshare(CLONE_NEWNS)?;
        mount("inner", &at.join("b"), "tmpfs", 0, "")?;
        ready.open()?;
        done.wait()?;
        Ok(())
    })?;
    ready.wait()?;
    let entered = fork_check(|| {
        let file = open(Path::new(&format!("/proc/{child}/ns/mnt")), O_RDONLY, 0)?;
        let setns = [file.into(), CLONE_NEWNS.into(), 0, 0, 0, 0];
        let sharing = clone_fork(CLONE_FS | SIGCHLD, || {
            let entered = raw("setns", libc::SYS_setns, setns);
            i32::from(entered.map_err(|failed| failed.errno) != Err(EINVAL))
        })?;
        same!(wait(sharing)?, 0, "who shares the working directory");
        raw("setns", libc::SYS_setns, setns)?;
        same!(info(&at.join("b")), "/ [] inner", "a mount of the namespace");
        let cwd = std::env::current_dir().map_err(|error| error.to_string())?;
        same!(cwd, Path::new("/"), "the working directory");
        Ok(())
    })?;
    wait_ok(entered)?;
    done.open()?;
    wait_ok(child)?;
    Ok(())
}

fn a_mountpoint_of_others_can_be_removed() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let (ready, done) = (Gate::new()?, Gate::new()?);
    let (b, file) = (at.join("b"), at.join("file"));
    touch(&file)?;
    let child = fork_check(|| {
        unshare(CLONE_NEWNS)?;
        mount("inner", &b, "tmpfs", 0, "")?;
        bind(&at.join("file"), &at.join("file"), 0)?;
        fails!(on_path("rmdir", libc::SYS_rmdir, &b, [0; 3]), EBUSY);
        fails!(rename(&b, &at.join("d")), EBUSY);
        ready.open()?;
        done.wait()?;
        same!([info(&b), info(&file)], ["", ""], "what was on names that are gone");
        ensure!(!b.exists() && !file.exists(), "the names are there");
        Ok(())
    })?;
    ready.wait()?;
    on_path("rmdir", libc::SYS_rmdir, &b, [0; 3])?;
    rename(&at.join("a"), &at.join("d"))?;
    on_path("unlink", libc::SYS_unlink, &file, [0; 3])?;
    done.open()?;
    wait_ok(child)?;
    Ok(())
}

fn a_changed_tree_is_told_to_who_polls_it() -> Check {
    const NEWS: i16 = libc::POLLERR | libc::POLLPRI;
    let Some(at) = field()? else { return Ok(()) };
    let list = open(Path::new("/proc/self/mountinfo"), O_RDONLY, 0)?;
    let news = |file: Fd| poll_bits(file).map(|bits| bits & NEWS);
    same!(news(list)?, 0, "nothing happened");
    mount("new", &at.join("a"), "tmpfs", 0, "")?;
    same!(news(list)?, NEWS, "a mount");
    same!(news(list)?, 0, "told once");
    let set = epoll()?;
    epoll_ctl(set, libc::EPOLL_CTL_ADD, list, libc::EPOLLPRI as u32, 7)?;
    same!(epoll_wait(set, 1, 0)?, [], "nothing for the set");
    umount(&at.join("a"), 0)?;
    let both = (libc::EPOLLPRI | libc::EPOLLERR) as u32;
    same!(epoll_wait(set, 1, -1)?, [(both, 7)], "an unmount");
    same!(epoll_wait(set, 1, 0)?, [], "told once");
    let child = fork_check(|| {
        unshare(CLONE_NEWNS)?;
        mount("inner", &at.join("a"), "tmpfs", 0, "").map_err(Into::into)
    })?;
    wait_ok(child)?;
    same!(news(list)?, 0, "a mount in another namespace");
    let text = read(list, 1 << 16)?;
    ensure!(!text.is_empty(), "the list is empty");
    Ok(())
}

fn another_root_takes_the_place_of_the_first() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    // Of a chroot, or of what the machine started with, nothing can take the place.
    let top = info(Path::new("/"));
    if !mnt_id(Path::new("/"))?.1 || top.ends_with("rootfs") {
        return Ok(());
    }
    let (new, old) = (at.join("a"), at.join("a/old"));
    let pivot = |new: &Path, old: &Path| on_paths("pivot_root", libc::SYS_pivot_root, new, old);
    mkdir(&old)?;
    fails!(pivot(&new, &old), EINVAL);
    mount("root", &new, "tmpfs", 0, "")?;
    mkdir(&old)?;
    mkdir(&new.join("here"))?;
    fails!(pivot(Path::new("/"), &old), EBUSY);
    fails!(pivot(&new, &at), EINVAL);
    let outside = open(&at, O_PATH | O_DIRECTORY, 0)?;
    chdir(Path::new("/"))?;
    match pivot(&new, &old) {
        Err(failed) if failed.errno == EPERM => return Ok(()), // a container's filter
        turned => turned?,
    };
    ensure!(Path::new("/here").exists(), "the root is not the new one");
    let cwd = std::env::current_dir().map_err(|error| error.to_string())?;
    same!(cwd, Path::new("/"), "the working directory");
    ensure!(Path::new("here").exists(), "the working directory is not in the new root");
    ensure!(Path::new("/old/proc").exists(), "the old root is not where it was put");
    raw("fchdir", libc::SYS_fchdir, [outside.into(), 0, 0, 0, 0, 0])?;
    let cwd = std::env::current_dir().map_err(|error| error.to_string())?;
    ensure!(cwd.starts_with("/old"), "what was outside is called {}", cwd.display());
    chdir(Path::new("/"))?;
    close(outside)?;
    umount(Path::new("/old"), MNT_DETACH)?;
    ensure!(!Path::new("/old/proc").exists(), "the old root is there");
    Ok(())
}

fn a_procfs_shows_the_numbers_of_who_mounted_it() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let text = |path: &str| fs::read_to_string(at.join(path)).map_err(|error| error.to_string());
    let link = |path: &str| fs::read_link(at.join(path)).map_err(|error| error.to_string());
    mkdir(&at.join("b/d"))?;
    let child = clone_fork(CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, || {
        let body = || -> Check {
            match mount("proc", &at.join("a"), "proc", 0, "") {
                // Some containers keep it to themselves.
                Err(failed) if [EPERM, EACCES].contains(&failed.errno) => return Ok(()),
                mounted => mounted?,
            }
            same!(link("a/self")?, Path::new("1"), "self");
            same!(link("a/thread-self")?, Path::new("1/task/1"), "thread-self");
            let status = text("a/self/status")?;
            let field = |name: &str| -> String {
                let line = status.lines().find(|line| line.starts_with(name));
                line.unwrap_or_default().to_owned()
            };
            same!(field("Pid:"), "Pid:\t1", "the number");
            same!(field("PPid:"), "PPid:\t0", "a parent outside");
            same!(field("NSpid:"), "NSpid:\t1", "all numbers");
            ensure!(text("a/1/stat")?.starts_with("1 ("), "the number in stat");
            let names = fs::read_dir(at.join("a")).map_err(|error| error.to_string())?;
            let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
            let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            same!(names.filter(is_number).collect::<Vec<_>>(), ["1"], "the processes");
            let outer = fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
            let all = outer.lines().find(|l| l.starts_with("NSpid:")).unwrap_or_default();
            ensure!(all.split('\t').count() > 2, "numbers in the procfs of the host: {all}");
            mount("files", &at.join("c"), "ramfs", 0, "mode=700,unknown=1")?;
            touch(&at.join("c/f"))?;
            Ok(())
        };
        match body() {
            Ok(()) => 0,
            Err(why) => {
                eprintln!("in the namespaces: {why}");
                1
            }
        }
    })?;
    same!(wait(child)?, 0, "the child's status");
    same!(info(&at.join("a")), "", "a mount of the namespace");
    Ok(())
}

fn an_expired_mount_was_not_used_between() -> Check {
    let Some(at) = field()? else { return Ok(()) };
    let a = at.join("a");
    mount("idle", &a, "tmpfs", 0, "")?;
    fails!(umount(&a, MNT_EXPIRE), EAGAIN);
    on_path("access", libc::SYS_access, &a, [libc::F_OK.into(), 0, 0])?;
    fails!(umount(&a, MNT_EXPIRE), EAGAIN);
    fails!(umount(&a, MNT_EXPIRE | MNT_DETACH), EINVAL);
    umount(&a, MNT_EXPIRE)?;
    same!(info(&a), "", "an expired mount");
    let link = at.join("link");
    on_paths("symlink", libc::SYS_symlink, &a, &link)?;
    mount("idle", &a, "tmpfs", 0, "")?;
    fails!(umount(&link, libc::UMOUNT_NOFOLLOW), EINVAL);
    umount(&link, 0)?;
    Ok(())
}

fn a_walk_may_be_held_in_one_mount() -> Check {
    const RESOLVE_NO_XDEV: u64 = 1;
    let Some(at) = field()? else { return Ok(()) };
    mkdir(&at.join("a/d"))?;
    bind(&at.join("a"), &at.join("b"), 0)?;
    let dir = open(&at, O_PATH | O_DIRECTORY, 0)?;
    let openat2 = |path: &str| {
        let (how, path) = ([O_PATH as u64, 0, RESOLVE_NO_XDEV], c_path(Path::new(path)));
        let (path, how) = (path.as_ptr() as i64, how.as_ptr() as i64);
        let fd = raw("openat2", libc::SYS_openat2, [dir.into(), path, how, 24, 0, 0])?;
        close(fd as Fd)
    };
    openat2("a/d")?;
    openat2("a/d/..")?;
    fails!(openat2("b"), EXDEV);
    fails!(openat2("b/d"), EXDEV);
    fails!(openat2(".."), EXDEV);
    Ok(())
}
