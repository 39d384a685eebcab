//! What can be asked of mapped memory beside its protection: sealing it, mapping another part of a
//! file in its place, locking it, and what locking forbids. See mseal(2), remap_file_pages(2),
//! msync(2), madvise(2), mlock(2), futex(2). And how much of it is promised: proc_sys_vm(5).

use guests::process::{fork, fork_check, wait_ok};
use guests::sys::{Fd, Sys, close, map, open, raw, scratch};
use guests::{Check, ensure, fails, same};
use libc::{EBUSY, EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM, O_CREAT, O_RDWR};
use libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, PROT_WRITE};

guests::cases! {
    sealed_memory_stays_as_it_is,
    another_part_of_a_file_comes_in_place,
    locked_memory_is_not_taken_away,
    a_futex_beyond_the_end_of_its_file_is_none,
    more_memory_is_promised_than_there_is,
}

const PAGE: usize = 4096;
const ANONYMOUS: i32 = MAP_PRIVATE | MAP_ANONYMOUS;

fn mseal(start: usize, len: usize, flags: i64) -> Sys<i64> {
    raw("mseal", 462, [start as i64, len as i64, flags, 0, 0, 0])
}

fn munmap(start: usize, len: usize) -> Sys<i64> {
    raw("munmap", libc::SYS_munmap, [start as i64, len as i64, 0, 0, 0, 0])
}

fn mprotect(start: usize, len: usize, prot: i32) -> Sys<i64> {
    raw("mprotect", libc::SYS_mprotect, [start as i64, len as i64, prot.into(), 0, 0, 0])
}

fn madvise(start: usize, len: usize, advice: i32) -> Sys<i64> {
    raw("madvise", libc::SYS_madvise, [start as i64, len as i64, advice.into(), 0, 0, 0])
}

/// mseal(2).
fn sealed_memory_stays_as_it_is() -> Check {
    let child = fork_check(|| {
        let at = map(3 * PAGE, PROT_READ, ANONYMOUS, -1, 0)?;
        match mseal(at + PAGE, PAGE, 0) {
            // Before 6.10.
            Err(failed) if failed.errno == ENOSYS => return Ok(()),
            sealed => same!(sealed?, 0, "sealing"),
        }
        fails!(mseal(at, PAGE, 1), EINVAL);
        fails!(mseal(at + 1, PAGE, 0), EINVAL);
        fails!(munmap(at + PAGE, PAGE), EPERM);
        fails!(munmap(at, 3 * PAGE), EPERM);
        fails!(mprotect(at + PAGE, PAGE, PROT_NONE), EPERM);
        fails!(madvise(at + PAGE, PAGE, libc::MADV_DONTNEED), EPERM);
        let over = [at as i64, PAGE as i64 * 3, 1, i64::from(ANONYMOUS | MAP_FIXED), -1, 0];
        fails!(raw("mmap", libc::SYS_mmap, over), EPERM);
        let grow = [(at + PAGE) as i64, PAGE as i64, 2 * PAGE as i64, 1, 0, 0];
        fails!(raw("mremap", libc::SYS_mremap, grow), EPERM);
        same!(mprotect(at, PAGE, PROT_NONE)?, 0, "what is before it");
        same!(munmap(at + 2 * PAGE, PAGE)?, 0, "what is behind it");
        fails!(mseal(at, 3 * PAGE, 0), ENOMEM);
        // What can be written can be emptied too.
        let other = map(PAGE, PROT_READ | PROT_WRITE, ANONYMOUS, -1, 0)?;
        mseal(other, PAGE, 0)?;
        same!(madvise(other, PAGE, libc::MADV_DONTNEED)?, 0, "emptying what can be written");
        Ok(())
    })?;
    wait_ok(child)
}

/// A file of that many pages, each full of its number, mapped shared: where, its descriptor.
fn numbered(pages: usize) -> Result<(usize, Fd), String> {
    let place = scratch()?;
    let path = place.join("pages");
    let bytes: Vec<u8> = (0..pages).flat_map(|page| vec![page as u8; PAGE]).collect();
    std::fs::write(&path, bytes).map_err(|error| error.to_string())?;
    let fd = open(&path, O_RDWR | O_CREAT, 0o600)?;
    let at = map(pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)?;
    let _ = std::fs::remove_dir_all(&place);
    Ok((at, fd))
}

fn byte(at: usize) -> u8 {
    // SAFETY: the caller mapped it.
    unsafe { (at as *const u8).read_volatile() }
}

fn remap_file_pages(start: usize, len: usize, prot: i32, page: usize) -> Sys<i64> {
    let args = [start as i64, len as i64, prot.into(), page as i64, 0, 0];
    raw("remap_file_pages", libc::SYS_remap_file_pages, args)
}

/// remap_file_pages(2).
fn another_part_of_a_file_comes_in_place() -> Check {
    let (at, fd) = numbered(4)?;
    same!(remap_file_pages(at, PAGE, 0, 3)?, 0, "the last page first");
    same!(remap_file_pages(at + 3 * PAGE, PAGE, 0, 0)?, 0, "the first page last");
    let seen = [0, 1, 2, 3].map(|page| byte(at + page * PAGE));
    same!(seen, [3, 1, 2, 0], "the pages");
    // SAFETY: mapped, to be written.
    unsafe { (at as *mut u8).write_volatile(77) };
    let mut page = [0; 1];
    let read = raw(
        "pread64",
        libc::SYS_pread64,
        [fd.into(), page.as_mut_ptr() as i64, 1, 3 * PAGE as i64, 0, 0],
    );
    same!((read?, page), (1, [77]), "the file");
    fails!(remap_file_pages(at, PAGE, PROT_READ, 0), EINVAL);
    fails!(remap_file_pages(at, 0, 0, 0), EINVAL);
    let private = map(PAGE, PROT_READ, ANONYMOUS, -1, 0)?;
    fails!(remap_file_pages(private, PAGE, 0, 0), EINVAL);
    close(fd).map_err(String::from)
}

/// The number of a row of /proc/self/smaps for the area at `at`, in KiB.
fn smaps(at: usize, row: &str) -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/self/smaps").map_err(|error| error.to_string())?;
    let head = format!("{at:08x}-");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&head));
    let line = lines.find(|line| line.starts_with(row)).ok_or("no such area")?;
    let number = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("{line}: no number"))
}

/// mlock(2), msync(2), madvise(2).
fn locked_memory_is_not_taken_away() -> Check {
    const MLOCK_SIZE: usize = 2 * PAGE;
    let (at, fd) = numbered(2)?;
    same!(smaps(at, "Locked:")?, 0, "at first");
    let args = [at as i64, MLOCK_SIZE as i64, 0, 0, 0, 0];
    match raw("mlock", libc::SYS_mlock, args) {
        // RLIMIT_MEMLOCK leaves no room.
        Err(failed) if [EPERM, ENOMEM].contains(&failed.errno) => return Ok(()),
        locked => same!(locked?, 0, "locking"),
    }
    same!(smaps(at, "Locked:")?, 8, "locked");
    let sync =
        |flags: i32| raw("msync", libc::SYS_msync, [at as i64, PAGE as i64, flags.into(), 0, 0, 0]);
    fails!(sync(libc::MS_INVALIDATE), EBUSY);
    same!(sync(libc::MS_SYNC)?, 0, "writing back");
    fails!(madvise(at, PAGE, libc::MADV_DONTNEED), EINVAL);
    fails!(madvise(at, PAGE, libc::MADV_FREE), EINVAL);
    raw("munlock", libc::SYS_munlock, args)?;
    same!(sync(libc::MS_INVALIDATE)?, 0, "unlocked");
    same!(madvise(at, PAGE, libc::MADV_DONTNEED)?, 0, "taken away");
    same!(byte(at + PAGE), 1, "and read again");
    close(fd).map_err(String::from)
}

/// futex(2), EFAULT.
fn a_futex_beyond_the_end_of_its_file_is_none() -> Check {
    const FUTEX_WAKE: i64 = 1;
    let (at, fd) = numbered(2)?;
    let wake = |at: usize| raw("futex", libc::SYS_futex, [at as i64, FUTEX_WAKE, 1, 0, 0, 0]);
    same!(wake(at + PAGE)?, 0, "nobody waits");
    raw("ftruncate", libc::SYS_ftruncate, [fd.into(), PAGE as i64, 0, 0, 0, 0])?;
    fails!(wake(at + PAGE), EFAULT);
    same!(wake(at)?, 0, "the part that is left");
    let nothing = map(PAGE, PROT_NONE, ANONYMOUS, -1, 0)?;
    fails!(wake(nothing), EFAULT);
    ensure!(wake(nothing + 1).is_err(), "an address between words");
    close(fd).map_err(String::from)
}

/// proc_sys_vm(5): overcommit_memory 0, the default, refuses only what is obviously too much, also
/// in a fork.
fn more_memory_is_promised_than_there_is() -> Check {
    let read = |path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    if read("/proc/sys/vm/overcommit_memory")?.trim() != "0" {
        return Ok(());
    }
    // SAFETY: sysinfo fills in the struct.
    let info = unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        libc::sysinfo(&mut info);
        info
    };
    let all = (info.totalram + info.totalswap) as usize * info.mem_unit as usize;
    let (half, rw) = ((all / 2).next_multiple_of(PAGE), PROT_READ | PROT_WRITE);
    fails!(map(2 * all, rw, ANONYMOUS, -1, 0), ENOMEM);
    let child = fork_check(|| {
        let lowest = (0..4).try_fold(usize::MAX, |low, _| {
            Ok::<usize, String>(low.min(map(half, rw, ANONYMOUS, -1, 0)?))
        })?;
        // They are one area, and too much for a copy.
        fails!(fork(|| 0), ENOMEM);
        munmap(lowest, 3 * half)?;
        let copy = fork(|| 0)?;
        same!(guests::process::wait(copy)?, 0, "a copy of a quarter");
        Ok(())
    })?;
    wait_ok(child)
}
