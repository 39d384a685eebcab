//! Control groups that stop, kill and count what is in them: cgroup.freeze, cgroup.kill, cpu.stat. See
//! cgroups(7), Documentation/admin-guide/cgroup-v2.rst. Each case works in a group of its own; one
//! that may make none has nothing to say and holds.

use guests::cgroup::{Group, put, rmdir, sleeper, until};
use guests::mounting::mkdir;
use guests::process::{
    Gate, Pid, clone_fork, fork, fork_check, kill, kill_and_wait, until_asleep, wait, wait_ok,
    wait_with,
};
use guests::sys::{Sys, close, epoll, epoll_wait, open, pipe, raw, read, shared_words, write};
use guests::{Check, ensure, fails, same};
use libc::{
    CLONE_VFORK, EINTR, EINVAL, ERANGE, O_DIRECTORY, O_PATH, SIGCHLD, SIGCONT, SIGKILL, SIGSTOP,
    SIGTERM, WUNTRACED,
};
use std::fs;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

guests::cases! {
    a_kill_reaches_all_below,
    a_frozen_group_stands_still,
    a_frozen_call_goes_on_where_it_was,
    death_comes_through_the_frost,
    whoever_comes_into_the_frost_freezes,
    what_is_stopped_is_frozen_too,
    the_parent_of_a_vfork_counts_as_frozen,
    a_signal_waits_for_the_thaw,
    a_groups_time_is_told,
}

fn a_kill_reaches_all_below() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    mkdir(&g.at("a/b"))?;
    let gate = Gate::new()?;
    let outside = sleeper(gate)?;
    let mut inside = Vec::new();
    for name in ["a", "a/b", "a/b"] {
        let child = fork(|| guests::process::pause_for_ever())?;
        g.put(&format!("{name}/cgroup.procs"), &child.to_string())?;
        inside.push(child);
    }
    same!(g.put("cgroup.kill", " 1\n")?, 3, "what is written");
    for child in inside {
        same!(wait(child)?, SIGKILL, "the status of {child}");
    }
    until(&g.at("cgroup.events"), "populated 0")?;
    gate.open()?;
    wait_ok(outside)
}

/// What a child counts, where the parent sees it.
fn counter() -> Sys<(&'static AtomicU32, Pid)> {
    let count = &shared_words()?[0];
    let child = fork(|| {
        loop {
            count.fetch_add(1, SeqCst);
            // SAFETY: no memory is passed.
            unsafe { libc::sched_yield() };
        }
    })?;
    Ok((count, child))
}

/// Waits until it counted on.
fn until_it_counts(count: &AtomicU32) {
    let before = count.load(SeqCst);
    while count.load(SeqCst) == before {
        // SAFETY: no memory is passed.
        unsafe { libc::sched_yield() };
    }
}

fn a_frozen_group_stands_still() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    mkdir(&g.at("a/b"))?;
    let (count, child) = counter()?;
    g.put("a/b/cgroup.procs", &child.to_string())?;
    until_it_counts(count);
    for (wrong, errno) in [("2", ERANGE), ("-1", ERANGE), ("x", EINVAL)] {
        fails!(g.put("cgroup.freeze", wrong), errno);
    }
    g.put("a/cgroup.freeze", "1\n")?;
    until(&g.at("a/cgroup.events"), "frozen 1")?;
    same!(g.text("a/b/cgroup.events")?, "populated 1\nfrozen 1\n", "the group below");
    same!(g.text("cgroup.events")?, "populated 1\nfrozen 0\n", "the group above");
    same!([g.text("a/cgroup.freeze")?, g.text("a/b/cgroup.freeze")?], ["1\n", "0\n"], "wishes");
    let before = count.load(SeqCst);
    for _ in 0..1000 {
        // SAFETY: no memory is passed.
        unsafe { libc::sched_yield() };
    }
    same!(count.load(SeqCst), before, "what it counted meanwhile");
    let stat = format!("/proc/{child}/stat");
    let stat = fs::read_to_string(&stat).map_err(|error| error.to_string())?;
    ensure!(stat.contains(") S "), "it sleeps: {stat}");
    // It is frozen for two reasons, then for one.
    g.put("a/b/cgroup.freeze", "1")?;
    g.put("a/cgroup.freeze", "0")?;
    until(&g.at("a/cgroup.events"), "frozen 0")?;
    same!(g.text("a/b/cgroup.events")?, "populated 1\nfrozen 1\n", "frozen by itself");
    same!(count.load(SeqCst), before, "what it counted meanwhile");
    g.put("a/b/cgroup.freeze", "0")?;
    until_it_counts(count);
    until(&g.at("a/b/cgroup.events"), "frozen 0")?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "its status");
    // Who is born in the frost is frozen from the beginning.
    g.put("a/cgroup.freeze", "1")?;
    rmdir(&g.at("a/b"))?;
    mkdir(&g.at("a/b"))?;
    same!(g.text("a/b/cgroup.events")?, "populated 0\nfrozen 1\n", "a new group");
    let local = g.text("a/b/cgroup.stat.local").unwrap_or("frozen_usec 0".into());
    ensure!(local.starts_with("frozen_usec "), "how long it was frozen: {local}");
    g.put("a/cgroup.freeze", "0")?;
    same!(g.text("a/b/cgroup.events")?, "populated 0\nfrozen 0\n", "a thawed group");
    Ok(())
}

fn a_frozen_call_goes_on_where_it_was() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let (reader, writer) = pipe()?;
    let gate = Gate::new()?;
    let child = fork_check(|| {
        close(writer)?;
        gate.open()?;
        // read(2) starts again; epoll_wait(2) does not.
        same!(read(reader, 9)?, b"x", "after the thaw");
        let set = epoll()?;
        gate.open()?;
        fails!(epoll_wait(set, 1, -1), EINTR);
        Ok(())
    })?;
    g.put("cgroup.procs", &child.to_string())?;
    for _call in 0..2 {
        gate.wait()?;
        until_asleep(child, child)?;
        g.put("cgroup.freeze", "1")?;
        until(&g.at("cgroup.events"), "frozen 1")?;
        write(writer, b"x")?;
        g.put("cgroup.freeze", "0")?;
    }
    wait_ok(child)
}

fn death_comes_through_the_frost() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let (_count, child) = counter()?;
    let (_other, second) = counter()?;
    g.put("cgroup.freeze", "1")?;
    for child in [child, second] {
        g.put("cgroup.procs", &child.to_string())?;
    }
    until(&g.at("cgroup.events"), "frozen 1")?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "killed");
    same!(g.text("cgroup.events")?, "populated 1\nfrozen 1\n", "the other one");
    // Whatever is deadly is.
    same!(kill_and_wait(second, SIGTERM)?, SIGTERM, "killed by another signal");
    same!(g.text("cgroup.events")?, "populated 0\nfrozen 1\n", "nobody is frozen");
    g.put("cgroup.freeze", "0")?;
    let (_count, third) = counter()?;
    g.put("cgroup.freeze", "1")?;
    g.put("cgroup.procs", &third.to_string())?;
    until(&g.at("cgroup.events"), "frozen 1")?;
    g.put("cgroup.kill", "1")?;
    same!(wait(third)?, SIGKILL, "killed with all");
    Ok(())
}

fn whoever_comes_into_the_frost_freezes() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    mkdir(&g.at("c"))?;
    g.put("a/cgroup.freeze", "1")?;
    same!(g.text("a/cgroup.events")?, "populated 0\nfrozen 1\n", "nobody is not frozen");
    let (count, child) = counter()?;
    g.put("a/cgroup.procs", &child.to_string())?;
    until(&g.at("a/cgroup.events"), "frozen 1")?;
    let before = count.load(SeqCst);
    // It moves while it is frozen, and goes on there.
    g.put("c/cgroup.procs", &child.to_string())?;
    until_it_counts(count);
    ensure!(count.load(SeqCst) > before, "it counts again");
    same!(g.text("a/cgroup.events")?, "populated 0\nfrozen 1\n", "where it was");
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "its status");
    // Birth into the frost.
    let dir = open(&g.at("a"), O_PATH | O_DIRECTORY, 0)?;
    let count = &shared_words()?[0];
    let args = [1u64 << 33, 0, 0, 0, SIGCHLD as u64, 0, 0, 0, 0, 0, dir as u64];
    let born = raw("clone3", libc::SYS_clone3, [args.as_ptr() as i64, 88, 0, 0, 0, 0])?;
    if born == 0 {
        count.store(1, SeqCst);
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) }
    }
    until(&g.at("a/cgroup.events"), "frozen 1")?;
    same!(count.load(SeqCst), 0, "what a child did that was born there");
    g.put("a/cgroup.freeze", "0")?;
    wait_ok(born as Pid)?;
    same!(count.load(SeqCst), 1, "what it did after the thaw");
    Ok(())
}

fn what_is_stopped_is_frozen_too() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let (count, child) = counter()?;
    g.put("cgroup.procs", &child.to_string())?;
    kill(child, SIGSTOP)?;
    same!(wait_with(child, WUNTRACED)?.0, child, "it stopped");
    g.put("cgroup.freeze", "1")?;
    until(&g.at("cgroup.events"), "frozen 1")?;
    let before = count.load(SeqCst);
    // Continued, it is still in the frost; then only stopped; then neither.
    kill(child, SIGCONT)?;
    same!(g.text("cgroup.events")?, "populated 1\nfrozen 1\n", "continued");
    kill(child, SIGSTOP)?;
    g.put("cgroup.freeze", "0")?;
    same!(wait_with(child, WUNTRACED)?.0, child, "it stopped again");
    same!(g.text("cgroup.events")?, "populated 1\nfrozen 0\n", "thawed and stopped");
    same!(count.load(SeqCst), before, "what it counted meanwhile");
    kill(child, SIGCONT)?;
    until_it_counts(count);
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "its status");
    Ok(())
}

fn the_parent_of_a_vfork_counts_as_frozen() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let (born, gate) = (Gate::new()?, Gate::new()?);
    let elsewhere = g.dir.parent().ok_or("a group is in one")?.join("cgroup.procs");
    let parent = fork_check(|| {
        g.put("cgroup.procs", "0")?;
        let child = clone_fork(CLONE_VFORK | SIGCHLD, || {
            let moved = put(&elsewhere, "0").and_then(|_| born.open()).and_then(|()| gate.wait());
            moved.is_err().into()
        })?;
        wait_ok(child)
    })?;
    born.wait()?;
    g.put("cgroup.freeze", "1")?;
    until(&g.at("cgroup.events"), "frozen 1")?;
    same!(g.text("cgroup.events")?, "populated 1\nfrozen 1\n", "the parent alone");
    gate.open()?;
    until(&g.at("cgroup.events"), "frozen 1")?;
    same!(wait_with(parent, libc::WNOHANG)?.0, 0, "a frozen parent");
    g.put("cgroup.freeze", "0")?;
    wait_ok(parent)
}

fn a_signal_waits_for_the_thaw() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    let count = &shared_words()?[0];
    let gate = Gate::new()?;
    let child = fork_check(|| {
        guests::signal::block(&[libc::SIGUSR1])?;
        gate.open()?;
        // SAFETY: a set of signals and no record.
        let took = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigaddset(&mut set, libc::SIGUSR1);
            // Freezing interrupts it, once.
            let first = libc::sigwaitinfo(&set, std::ptr::null_mut());
            (first, libc::sigwaitinfo(&set, std::ptr::null_mut()))
        };
        same!(took, (-1, libc::SIGUSR1), "two waits");
        count.store(1, SeqCst);
        Ok(())
    })?;
    gate.wait()?;
    g.put("cgroup.procs", &child.to_string())?;
    until_asleep(child, child)?;
    g.put("cgroup.freeze", "1")?;
    until(&g.at("cgroup.events"), "frozen 1")?;
    kill(child, libc::SIGUSR1)?;
    until_asleep(child, child)?;
    same!(g.text("cgroup.events")?, "populated 1\nfrozen 1\n", "with a signal");
    same!(count.load(SeqCst), 0, "a signal in the frost");
    g.put("cgroup.freeze", "0")?;
    wait_ok(child)?;
    Ok(())
}

fn a_groups_time_is_told() -> Check {
    let Some(g) = Group::new()? else { return Ok(()) };
    mkdir(&g.at("a"))?;
    let usage = |name: &str| -> Result<u64, String> {
        let text = g.text(name)?;
        let first = text.lines().next().and_then(|line| line.strip_prefix("usage_usec "));
        first.and_then(|n| n.parse().ok()).ok_or(format!("no usage in {text}"))
    };
    same!(usage("a/cpu.stat")?, 0, "nobody's time");
    let (count, child) = counter()?;
    g.put("a/cgroup.procs", &child.to_string())?;
    while usage("a/cpu.stat")? < 1000 {
        until_it_counts(count);
    }
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "its status");
    rmdir(&g.at("a"))?;
    ensure!(usage("cpu.stat")? >= 1000, "what those below took that are gone");
    Ok(())
}
