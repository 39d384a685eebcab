//! What is left behind: nothing, whether guests are released, the platform is dropped, or the
//! supervisor is killed.

mod common;
use common::*;
use kernel::platform::{Platform, Trap};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// True while a process of that id exists, a zombie included.
fn exists(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn two_hundred_guests_leave_nothing_behind() {
    // In a process of its own: other tests open descriptors too.
    alone("count_what_two_hundred_guests_leave");
}

#[test]
#[ignore = "run by two_hundred_guests_leave_nothing_behind"]
fn count_what_two_hundred_guests_leave() {
    let mut p = platform();
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("fd").count();
    let before = descriptors();
    let mut pids = Vec::new();
    for _ in 0..100 {
        let (guest, mut regs) = start(&mut p, &SYSCALL);
        let other = p.fork(guest, true).expect("fork");
        let object = p.object_create(PAGE).expect("object");
        assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
        pids.extend(p.native_pids());
        p.object_release(object);
        p.release(guest);
        p.release(other);
    }
    assert_eq!(descriptors(), before);
    let zygote = p.native_pids();
    assert_eq!(zygote.len(), 1);
    let left: Vec<i32> = pids.into_iter().filter(|pid| exists(*pid) && *pid != zygote[0]).collect();
    assert_eq!(left, []);
}

#[test]
fn dropping_the_platform_leaves_nobody() {
    let mut p = platform();
    let (guest, _) = start(&mut p, &SYSCALL);
    p.fork(guest, false).expect("fork");
    p.fork(guest, true).expect("fork");
    let pids = p.native_pids();
    assert_eq!((pids.len(), pids.iter().all(|pid| exists(*pid))), (4, true));
    drop(p);
    assert!(!pids.into_iter().any(exists));
}

#[test]
fn guests_live_apart_from_the_supervisor() {
    let mut p = platform();
    start(&mut p, &SYSCALL);
    let pids = p.native_pids();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", pids[0]));
    let stat = read("stat").expect("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let zygote = pids[1].to_string();
    assert_eq!(fields[1], std::process::id().to_string(), "a child of the supervisor");
    assert_eq!((fields[2], fields[3]), (zygote.as_str(), zygote.as_str()), "a session of its own");
    assert_eq!(read("oom_score_adj").expect("oom").trim(), "1000");
    assert_eq!(read("comm").expect("comm").trim(), "afterlife-guest");
}

#[test]
#[ignore = "run by a_killed_supervisor_leaves_nobody"]
fn be_a_supervisor_until_killed() {
    let mut p = platform();
    // One guest stopped, one that shares, one running for ever (jmp self).
    let (guest, _) = start(&mut p, &SYSCALL);
    p.fork(guest, true).expect("fork");
    let (forever, mut regs) = start(&mut p, &[0x0f, 0x05, 0xff, 0xc0, 0xeb, 0xfc]);
    assert_eq!(p.run(forever, &mut regs), Trap::Syscall);
    println!("\npids {:?}", p.native_pids());
    p.run(forever, &mut regs);
}

#[test]
fn a_killed_supervisor_leaves_nobody() {
    let mut supervisor = Command::new(std::env::current_exe().expect("exe"))
        .args(["--exact", "be_a_supervisor_until_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let lines = BufReader::new(supervisor.stdout.take().expect("stdout")).lines();
    let pids = lines.map_while(Result::ok).find_map(|line| {
        let list = line.strip_prefix("pids [")?.strip_suffix(']')?.to_owned();
        Some(list.split(", ").map(|pid| pid.parse().expect("pid")).collect::<Vec<i32>>())
    });
    let pids = pids.expect("the supervisor said who its guests are");
    assert_eq!(pids.len(), 4);
    supervisor.kill().expect("kill");
    supervisor.wait().expect("wait");
    // They are dying; init reaps them. No sleep: yield until they are gone, or for ever.
    while pids.iter().any(|pid| alive(*pid)) {
        std::thread::yield_now();
    }
}

/// True while a process runs: dead ones wait for whoever inherited them.
fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains("afterlife-guest") && !stat.contains(") Z ") && !stat.contains(") X ")
}

/// Runs one ignored test of this file in a process of its own.
fn alone(test: &str) {
    let status = Command::new(std::env::current_exe().expect("exe"))
        .args(["--exact", test, "--ignored"])
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("spawn").success(), "{test} failed: run it with --ignored");
}
