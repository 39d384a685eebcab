//! System V shared memory: shmget, shmat, shmdt, shmctl, and what fork, exec and death do to
//! attachments. See sysvipc(7), shmop(2), shmctl(2). Segments outlive their process: each is removed
//! by a guard.

use guests::process::{
    Gate, exec_self, fork, fork_check, futex_wait, futex_wake, getpid, kill_and_wait,
    pause_for_ever, until_asleep, wait, wait_ok,
};
use guests::sys::{Sys, check, raw, small};
use guests::{Check, ensure, fails, same};
use libc::{
    EACCES, EEXIST, EINVAL, ENOENT, EPERM, IPC_CREAT, IPC_EXCL, IPC_PRIVATE, IPC_RMID, IPC_SET,
    IPC_STAT, SHM_RDONLY, SHM_REMAP, SHM_RND, SIGKILL, SIGSEGV,
};
use std::sync::atomic::{AtomicU32, Ordering};

guests::cases! {
    two_attachments_are_the_same_bytes,
    a_child_inherits_attachments,
    a_key_finds_its_segment,
    a_removed_segment_lives_until_the_last_detach,
    exit_and_kill_9_detach,
    exec_detaches,
    munmap_detaches,
    detach_takes_the_pieces_that_are_left,
    detach_wants_the_address_of_an_attachment,
    read_only_attachments_refuse_writes,
    addresses_have_rules,
    remap_replaces_what_is_there,
    status_tells_size_processes_and_times,
    other_users_are_refused,
    futexes_in_it_are_the_same_in_two_processes,
    maps_shows_its_name; then count_attachments
}

const PAGE: usize = 4096;

/// A segment that is removed at the end of the case.
struct Segment(i32);

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = ctl(self.0, IPC_RMID, 0);
    }
}

fn get(key: i32, size: usize, flags: i32) -> Sys<i32> {
    // SAFETY: no memory is passed.
    small("shmget", unsafe { libc::shmget(key, size, flags) })
}

/// A private segment.
fn segment(size: usize) -> Sys<Segment> {
    get(IPC_PRIVATE, size, 0o600).map(Segment)
}

fn at(id: i32, address: usize, flags: i32) -> Sys<usize> {
    // SAFETY: only SHM_REMAP replaces memory, and the case owns what it names.
    let got = unsafe { libc::shmat(id, address as *const _, flags) };
    check("shmat", got as i64).map(|address| address as usize)
}

fn detach(address: usize) -> Sys<i32> {
    // SAFETY: the case does not use the memory afterwards.
    small("shmdt", unsafe { libc::shmdt(address as *const _) })
}

fn ctl(id: i32, command: i32, buffer: usize) -> Sys<i32> {
    let args = [id.into(), command.into(), buffer as i64, 0, 0, 0];
    raw("shmctl", libc::SYS_shmctl, args).map(|value| value as i32)
}

fn status(id: i32) -> Sys<libc::shmid_ds> {
    // SAFETY: a plain struct.
    let mut ds: libc::shmid_ds = unsafe { std::mem::zeroed() };
    ctl(id, IPC_STAT, &raw mut ds as usize)?;
    Ok(ds)
}

fn attachments(id: i32) -> Sys<u64> {
    status(id).map(|ds| ds.shm_nattch)
}

/// A word of memory that a case has attached.
fn word(address: usize) -> &'static AtomicU32 {
    // SAFETY: attached by the case, aligned, and shared as atomics may be.
    unsafe { &*(address as *const AtomicU32) }
}

fn two_attachments_are_the_same_bytes() -> Check {
    let segment = segment(2 * PAGE + 1)?;
    let (a, b) = (at(segment.0, 0, 0)?, at(segment.0, 0, 0)?);
    ensure!(a != b && a.is_multiple_of(PAGE), "{a:#x} and {b:#x}");
    same!(word(a).load(Ordering::SeqCst), 0, "fresh memory");
    word(a + 2 * PAGE).store(7, Ordering::SeqCst);
    same!(word(b + 2 * PAGE).load(Ordering::SeqCst), 7, "through the other");
    // The last page is there as a whole.
    word(b + 3 * PAGE - 4).store(8, Ordering::SeqCst);
    same!(attachments(segment.0)?, 2, "attachments");
    detach(a)?;
    same!(attachments(segment.0)?, 1, "after a detach");
    same!(word(b + 2 * PAGE).load(Ordering::SeqCst), 7, "still there");
    detach(b)?;
    let again = at(segment.0, 0, 0)?;
    same!(word(again + 2 * PAGE).load(Ordering::SeqCst), 7, "after all were detached");
    fails!(at(-1, 0, 0), EINVAL);
    fails!(at(segment.0 + 1, 0, 0), EINVAL);
    Ok(())
}

fn a_child_inherits_attachments() -> Check {
    let segment = segment(PAGE)?;
    let a = at(segment.0, 0, 0)?;
    let child = fork_check(|| {
        same!(attachments(segment.0)?, 2, "in the child");
        word(a).store(5, Ordering::SeqCst);
        detach(a)?;
        same!(attachments(segment.0)?, 1, "after its detach");
        Ok(())
    })?;
    wait_ok(child)?;
    same!(word(a).load(Ordering::SeqCst), 5, "what the child wrote");
    same!(attachments(segment.0)?, 1, "afterwards");
    Ok(())
}

fn a_key_finds_its_segment() -> Check {
    let key = 0x5e60_0000 | getpid();
    fails!(get(key, 1, 0o600), ENOENT);
    fails!(get(key, 0, IPC_CREAT | 0o600), EINVAL);
    let segment = Segment(get(key, 5000, IPC_CREAT | IPC_EXCL | 0o600)?);
    same!(get(key, 0, 0)?, segment.0, "the identifier");
    same!(get(key, 5000, IPC_CREAT)?, segment.0, "the identifier");
    fails!(get(key, 5001, 0), EINVAL);
    fails!(get(key, 1, IPC_CREAT | IPC_EXCL), EEXIST);
    same!(status(segment.0)?.shm_perm.__key, key, "the key");
    Ok(())
}

fn a_removed_segment_lives_until_the_last_detach() -> Check {
    let key = 0x5e60_0000 | getpid();
    let segment = Segment(get(key, PAGE, IPC_CREAT | IPC_EXCL | 0o600)?);
    let a = at(segment.0, 0, 0)?;
    word(a).store(3, Ordering::SeqCst);
    ctl(segment.0, IPC_RMID, 0)?;
    fails!(get(key, 0, 0), ENOENT);
    let ds = status(segment.0)?;
    same!((ds.shm_perm.mode, ds.shm_perm.__key), (0o1600, 0), "marked, and without a key");
    let b = at(segment.0, 0, 0)?;
    same!(word(b).load(Ordering::SeqCst), 3, "a late attachment");
    detach(a)?;
    same!(attachments(segment.0)?, 1, "one is left");
    detach(b)?;
    fails!(status(segment.0), EINVAL);
    Ok(())
}

/// with the memory.
fn exit_and_kill_9_detach() -> Check {
    let segment = segment(PAGE)?;
    let child = fork(|| i32::from(at(segment.0, 0, 0).is_err()))?;
    same!(wait(child)?, 0, "the child");
    let ds = status(segment.0)?;
    same!((ds.shm_nattch, ds.shm_lpid), (0, child), "after its exit");
    let gate = Gate::new()?;
    let child = fork(|| {
        if at(segment.0, 0, 0).is_ok() && gate.open().is_ok() {
            pause_for_ever();
        }
        1
    })?;
    gate.wait()?;
    ctl(segment.0, IPC_RMID, 0)?;
    same!(attachments(segment.0)?, 1, "the victim's");
    kill_and_wait(child, SIGKILL)?;
    fails!(status(segment.0), EINVAL);
    Ok(())
}

fn exec_detaches() -> Check {
    let segment = segment(PAGE)?;
    let child = fork_check(|| {
        at(segment.0, 0, 0)?;
        Err(exec_self("count_attachments", &[&segment.0.to_string()]))
    })?;
    wait_ok(child)
}

fn count_attachments() -> Check {
    let id = std::env::args().nth(3).and_then(|word| word.parse().ok()).unwrap_or(-1);
    same!(attachments(id)?, 0, "in the new program");
    Ok(())
}

fn munmap_detaches() -> Check {
    let segment = segment(PAGE)?;
    let a = at(segment.0, 0, 0)?;
    // SAFETY: not used afterwards.
    small("munmap", unsafe { libc::munmap(a as *mut _, PAGE) })?;
    same!(attachments(segment.0)?, 0, "attachments");
    fails!(detach(a), EINVAL);
    Ok(())
}

fn detach_takes_the_pieces_that_are_left() -> Check {
    let segment = segment(4 * PAGE)?;
    let a = at(segment.0, 0, 0)?;
    // SAFETY: not used afterwards.
    small("munmap", unsafe { libc::munmap((a + PAGE) as *mut _, PAGE) })?;
    same!(attachments(segment.0)?, 2, "an attachment in two pieces");
    fails!(detach(a + 2 * PAGE), EINVAL);
    detach(a)?;
    same!(attachments(segment.0)?, 0, "both are gone");
    Ok(())
}

fn detach_wants_the_address_of_an_attachment() -> Check {
    let segment = segment(2 * PAGE)?;
    let a = at(segment.0, 0, 0)?;
    fails!(detach(a + 1), EINVAL);
    fails!(detach(a + PAGE), EINVAL);
    detach(a)?;
    fails!(detach(a), EINVAL);
    let anonymous = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let other = guests::sys::map(PAGE, libc::PROT_READ, anonymous, -1, 0)?;
    fails!(detach(other), EINVAL);
    Ok(())
}

fn read_only_attachments_refuse_writes() -> Check {
    let segment = segment(PAGE)?;
    let a = at(segment.0, 0, SHM_RDONLY)?;
    same!(word(a).load(Ordering::SeqCst), 0, "reading");
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: it fails.
    fails!(small("mprotect", unsafe { libc::mprotect(a as *mut _, PAGE, both) }), EACCES);
    let child = fork(|| {
        word(a).store(1, Ordering::SeqCst);
        0
    })?;
    let status = wait(child)?;
    same!(libc::WTERMSIG(status), SIGSEGV, "writing");
    Ok(())
}

fn addresses_have_rules() -> Check {
    let segment = segment(2 * PAGE)?;
    let hole = at(segment.0, 0, 0)?;
    detach(hole)?;
    fails!(at(segment.0, hole + 8, 0), EINVAL);
    same!(at(segment.0, hole + 8, SHM_RND)?, hole, "rounded down");
    fails!(at(segment.0, hole, 0), EINVAL);
    fails!(at(segment.0, hole + PAGE, 0), EINVAL);
    fails!(at(segment.0, 0, SHM_REMAP), EINVAL);
    detach(hole)?;
    same!(at(segment.0, hole, 0)?, hole, "where it was asked for");
    same!(attachments(segment.0)?, 1, "failures don't count");
    Ok(())
}

fn remap_replaces_what_is_there() -> Check {
    let (first, second) = (segment(PAGE)?, segment(PAGE)?);
    let a = at(first.0, 0, 0)?;
    word(a).store(1, Ordering::SeqCst);
    same!(at(second.0, a, SHM_REMAP)?, a, "the address");
    same!(word(a).load(Ordering::SeqCst), 0, "the other's bytes");
    same!((attachments(first.0)?, attachments(second.0)?), (0, 1), "attachments");
    Ok(())
}

fn status_tells_size_processes_and_times() -> Check {
    let segment = segment(100)?;
    let ds = status(segment.0)?;
    same!((ds.shm_segsz, ds.shm_nattch, ds.shm_perm.mode), (100, 0, 0o600), "size and mode");
    same!((ds.shm_cpid, ds.shm_lpid), (getpid(), 0), "processes");
    same!((ds.shm_atime, ds.shm_dtime), (0, 0), "not attached yet");
    ensure!(ds.shm_ctime != 0, "no time of making");
    let a = at(segment.0, 0, 0)?;
    let mut ds = status(segment.0)?;
    same!(ds.shm_lpid, getpid(), "who attached");
    ensure!(ds.shm_atime != 0 && ds.shm_dtime == 0, "{} {}", ds.shm_atime, ds.shm_dtime);
    detach(a)?;
    ensure!(status(segment.0)?.shm_dtime != 0, "no time of the detach");
    ds.shm_perm.mode = 0o444;
    ctl(segment.0, IPC_SET, &raw mut ds as usize)?;
    same!(status(segment.0)?.shm_perm.mode, 0o444, "the mode that was set");
    fails!(ctl(segment.0, 77, 0), EINVAL);
    Ok(())
}

fn other_users_are_refused() -> Check {
    let segment = segment(PAGE)?;
    // SAFETY: no memory is passed.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    let child = fork_check(|| {
        // SAFETY: an empty list of groups; no other memory is passed.
        let left = unsafe {
            libc::setgroups(0, std::ptr::null());
            libc::setresgid(77, 77, 77) + libc::setresuid(77, 77, 77)
        };
        same!(left, 0, "setresgid, setresuid");
        fails!(at(segment.0, 0, SHM_RDONLY), EACCES);
        fails!(status(segment.0), EACCES);
        fails!(ctl(segment.0, IPC_RMID, 0), EPERM);
        Ok(())
    })?;
    wait_ok(child)
}

fn futexes_in_it_are_the_same_in_two_processes() -> Check {
    let segment = segment(PAGE)?;
    let (a, b) = (at(segment.0, 0, 0)?, at(segment.0, 0, 0)?);
    let child = fork_check(|| {
        while word(a).load(Ordering::SeqCst) == 0 {
            let _ = futex_wait(word(a), 0);
        }
        Ok(())
    })?;
    until_asleep(child, child)?;
    word(b).store(1, Ordering::SeqCst);
    futex_wake(word(b), 1)?;
    wait_ok(child)
}

fn maps_shows_its_name() -> Check {
    let key = 0x5e60_0000 | getpid();
    let segment = Segment(get(key, PAGE, IPC_CREAT | IPC_EXCL | 0o600)?);
    let a = at(segment.0, 0, 0)?;
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let line = maps.lines().find(|line| line.starts_with(&format!("{a:x}-")));
    let line = line.ok_or("no line of maps begins with its address")?;
    let words: Vec<&str> = line.split_whitespace().collect();
    same!((words[1], words[2]), ("rw-s", "00000000"), "protection and offset");
    same!(words[4], segment.0.to_string(), "its identifier as an inode");
    same!(words[5..].join(" "), format!("/SYSV{key:08x} (deleted)"), "its name");
    Ok(())
}
