//! Address spaces and what a process can read about itself: mmap, mprotect, mremap, brk, fork's
//! copies, /proc/self, limits, identity. See mmap(2), proc(5), getrlimit(2), uname(2).

use guests::process::{exec_self, fork_check, getpid, wait, wait_ok};
use guests::sys::{
    self, Sys, check, count, map, open, raw, read, scratch, shared_words, small, write,
};
use guests::{Check, ensure, fails, same};
use libc::{EACCES, EFAULT, EINVAL, ENODEV, ENOMEM, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE};
use libc::{MAP_SHARED, O_CREAT, O_RDONLY, O_RDWR, PROT_NONE, PROT_READ, PROT_WRITE, SIGSEGV};
use std::sync::atomic::Ordering;

guests::cases! {
    fork_returns_twice_with_copies_of_memory,
    shared_memory_is_shared_with_a_forked_child,
    private_file_mapping_keeps_its_writes,
    shared_file_mapping_and_file_are_one,
    mapping_outlives_its_descriptor_and_name,
    map_checks_its_arguments,
    fixed_mapping_replaces_a_part,
    noreplace_mapping_refuses,
    unmapped_memory_faults,
    protection_can_be_changed,
    kernel_writes_respect_protection,
    remap_grows_and_keeps_the_bytes,
    break_moves_up_and_down,
    dontneed_gives_zeroes,
    memfd_is_a_file_without_a_name,
    bad_pointers_are_efault,
    partly_readable_buffers_are_written_in_part,
    proc_exe_and_fd_are_links,
    proc_maps_shows_the_mappings,
    proc_status_tells_names_and_numbers,
    proc_cmdline_has_the_arguments,
    process_groups_and_sessions,
    names_of_the_process_can_be_set,
    limits_can_be_lowered_and_not_raised,
    uname_says_linux,
    getrandom_differs_each_time,
    exec_passes_arguments_and_environment,
    exec_errors_are_linuxs,
    scripts_run_by_their_first_line;
    then check_arguments,
}

const RW: i32 = PROT_READ | PROT_WRITE;
const PRIVATE: i32 = MAP_PRIVATE | MAP_ANONYMOUS;

/// The bytes at an address that the case has mapped.
fn bytes(at: usize, length: usize) -> Vec<u8> {
    // SAFETY: the callers have mapped it readable.
    unsafe { std::slice::from_raw_parts(at as *const u8, length) }.to_vec()
}

/// Writes to an address that the case has mapped.
fn put(at: usize, bytes: &[u8]) {
    // SAFETY: the callers have mapped it writable.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
}

/// Whether touching the address kills a child with SIGSEGV.
fn faults(touch: impl FnOnce()) -> Result<bool, String> {
    sys::set_limit(libc::RLIMIT_CORE, 0)?;
    let child = fork_check(|| {
        touch();
        Ok(())
    })?;
    Ok(wait(child)? == SIGSEGV)
}

/// fork(2).
fn fork_returns_twice_with_copies_of_memory() -> Check {
    let mut value = vec![1_u8; 100_000];
    let at = map(4096, RW, PRIVATE, -1, 0)?;
    put(at, b"parent");
    let child = fork_check(|| {
        value[50_000] = 2;
        put(at, b"child ");
        same!(bytes(at, 6), b"child ", "in the child");
        Ok(())
    })?;
    wait_ok(child)?;
    same!((value[50_000], bytes(at, 6)), (1, b"parent".to_vec()), "in the parent");
    Ok(())
}

/// mmap(2).
fn shared_memory_is_shared_with_a_forked_child() -> Check {
    let words = shared_words()?;
    let child = fork_check(|| {
        words[3].store(42, Ordering::SeqCst);
        Ok(())
    })?;
    wait_ok(child)?;
    same!(words[3].load(Ordering::SeqCst), 42, "the child's write");
    Ok(())
}

fn file(text: &[u8]) -> Result<(std::path::PathBuf, sys::Fd), String> {
    let path = scratch()?.join("file");
    let fd = open(&path, O_RDWR | O_CREAT, 0o600)?;
    write(fd, text)?;
    Ok((path, fd))
}

fn remove(path: &std::path::Path) -> Check {
    std::fs::remove_file(path).map_err(|error| error.to_string())
}

fn contents(path: &std::path::Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| error.to_string())
}

/// mmap(2).
fn private_file_mapping_keeps_its_writes() -> Check {
    let (path, fd) = file(b"original")?;
    let at = map(4096, RW, MAP_PRIVATE, fd, 0)?;
    same!(bytes(at, 10), b"original\0\0", "the mapping, zero behind the end");
    put(at, b"CHANGED");
    same!(contents(&path)?, b"original", "the file");
    remove(&path)
}

/// mmap(2).
fn shared_file_mapping_and_file_are_one() -> Check {
    let (path, fd) = file(b"original")?;
    let at = map(4096, RW, MAP_SHARED, fd, 0)?;
    put(at, b"MAP");
    same!(contents(&path)?, b"MAPginal", "the file after a write to memory");
    sys::lseek(fd, 3, libc::SEEK_SET)?;
    write(fd, b"file!")?;
    same!(bytes(at, 8), b"MAPfile!", "memory after a write to the file");
    let other = map(4096, PROT_READ, MAP_SHARED, open(&path, O_RDONLY, 0)?, 0)?;
    put(at, b"both");
    same!(bytes(other, 8), b"bothile!", "another mapping");
    remove(&path)
}

/// mmap(2).
fn mapping_outlives_its_descriptor_and_name() -> Check {
    let (path, fd) = file(b"still here")?;
    let at = map(4096, PROT_READ, MAP_SHARED, fd, 0)?;
    sys::close(fd)?;
    remove(&path)?;
    same!(bytes(at, 10), b"still here", "the mapping");
    Ok(())
}

/// mmap(2).
fn map_checks_its_arguments() -> Check {
    let (path, _) = file(b"x")?;
    let reading = open(&path, O_RDONLY, 0)?;
    fails!(map(0, RW, PRIVATE, -1, 0), EINVAL);
    fails!(map(4096, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    fails!(map(4096, PROT_READ, MAP_SHARED, reading, 1), EINVAL);
    fails!(map(4096, RW, MAP_SHARED, reading, 0), EACCES);
    fails!(map(4096, PROT_READ, MAP_SHARED, 999, 0), libc::EBADF);
    fails!(map(4096, PROT_READ, MAP_SHARED, sys::pipe()?.0, 0), ENODEV);
    let (near, _) = guests::net::pair(libc::SOCK_STREAM)?;
    fails!(map(4096, PROT_READ, MAP_SHARED, near, 0), ENODEV);
    fails!(map(1 << 60, RW, PRIVATE, -1, 0), ENOMEM);
    map(4096, RW, MAP_PRIVATE, reading, 0)?;
    remove(&path)
}

fn map_at(at: usize, length: usize, flags: i32) -> Sys<usize> {
    let args = [at as i64, length as i64, RW.into(), (PRIVATE | flags).into(), -1, 0];
    raw("mmap", libc::SYS_mmap, args).map(|at| at as usize)
}

/// mmap(2).
fn fixed_mapping_replaces_a_part() -> Check {
    let at = map(3 * 4096, RW, PRIVATE, -1, 0)?;
    for page in 0..3 {
        put(at + page * 4096, b"old");
    }
    same!(map_at(at + 4096, 4096, MAP_FIXED)?, at + 4096, "the address");
    let pages = [0, 1, 2].map(|page| bytes(at + page * 4096, 3));
    same!(pages, [b"old".to_vec(), vec![0; 3], b"old".to_vec()], "the three pages");
    fails!(map_at(at + 1, 4096, MAP_FIXED), EINVAL);
    Ok(())
}

/// mmap(2).
fn noreplace_mapping_refuses() -> Check {
    let at = map(8192, RW, PRIVATE, -1, 0)?;
    fails!(map_at(at, 4096, libc::MAP_FIXED_NOREPLACE), libc::EEXIST);
    raw("munmap", libc::SYS_munmap, [at as i64, 4096, 0, 0, 0, 0])?;
    same!(map_at(at, 4096, libc::MAP_FIXED_NOREPLACE)?, at, "the address");
    Ok(())
}

/// munmap(2).
fn unmapped_memory_faults() -> Check {
    let at = map(3 * 4096, RW, PRIVATE, -1, 0)?;
    raw("munmap", libc::SYS_munmap, [at as i64 + 4096, 4096, 0, 0, 0, 0])?;
    put(at, b"x");
    put(at + 8192, b"x");
    same!(faults(|| put(at + 4096, b"x"))?, true, "a fault in the hole");
    fails!(raw("munmap", libc::SYS_munmap, [at as i64 + 1, 4096, 0, 0, 0, 0]), EINVAL);
    Ok(())
}

fn protect(at: usize, length: usize, protection: i32) -> Sys<()> {
    let args = [at as i64, length as i64, protection.into(), 0, 0, 0];
    raw("mprotect", libc::SYS_mprotect, args).map(|_| ())
}

/// mprotect(2).
fn protection_can_be_changed() -> Check {
    let at = map(8192, RW, PRIVATE, -1, 0)?;
    put(at, b"x");
    protect(at, 4096, PROT_READ)?;
    same!(bytes(at, 1), b"x", "a read-only page");
    same!(faults(|| put(at, b"y"))?, true, "a fault on writing");
    same!(faults(|| put(at + 4096, b"y"))?, false, "a fault on its neighbour");
    protect(at, 4096, PROT_NONE)?;
    same!(faults(|| drop(bytes(at, 1)))?, true, "a fault on reading");
    protect(at, 4096, RW)?;
    same!(bytes(at, 1), b"x", "the page again");
    fails!(protect(at + 1, 4096, RW), EINVAL);
    let args = [at as i64, 4096, 0, 0, 0, 0];
    raw("munmap", libc::SYS_munmap, args)?;
    fails!(protect(at, 4096, RW), ENOMEM);
    Ok(())
}

/// read(2), EFAULT.
fn kernel_writes_respect_protection() -> Check {
    let at = map(4096, PROT_READ, PRIVATE, -1, 0)?;
    let (reader, writer) = sys::pipe()?;
    write(writer, b"x")?;
    fails!(raw("read", libc::SYS_read, [reader.into(), at as i64, 1, 0, 0, 0]), EFAULT);
    same!(read(reader, 1)?, b"x", "the byte is still there");
    Ok(())
}

/// mremap(2).
fn remap_grows_and_keeps_the_bytes() -> Check {
    let at = map(4096, RW, PRIVATE, -1, 0)?;
    put(at, b"kept");
    let remap = |old: i64, new: i64, flags: i32| {
        raw("mremap", libc::SYS_mremap, [at as i64, old, new, flags.into(), 0, 0])
    };
    let moved = remap(4096, 1 << 20, libc::MREMAP_MAYMOVE)? as usize;
    same!(bytes(moved, 4), b"kept", "the bytes");
    put(moved + (1 << 20) - 1, b"x");
    if moved != at {
        same!(faults(|| drop(bytes(at, 1)))?, true, "a fault at the old place");
    }
    Ok(())
}

/// brk(2).
fn break_moves_up_and_down() -> Check {
    let brk = |at: i64| raw("brk", libc::SYS_brk, [at, 0, 0, 0, 0, 0]);
    let start = (brk(0)? + 4095) & !4095;
    same!(brk(start + 8192)?, start + 8192, "after it grew");
    put(start as usize, b"heap");
    same!(bytes(start as usize, 4), b"heap", "the new memory");
    same!(brk(start)?, start, "after it shrank");
    same!(brk(start + 4096)?, start + 4096, "after it grew again");
    same!(bytes(start as usize, 4), [0; 4], "the memory is new");
    same!(brk(1)?, start + 4096, "a senseless break is refused by saying where it is");
    Ok(())
}

/// madvise(2).
fn dontneed_gives_zeroes() -> Check {
    let at = map(8192, RW, PRIVATE, -1, 0)?;
    put(at, b"old");
    put(at + 4096, b"old");
    let advise =
        |advice: i32| raw("madvise", libc::SYS_madvise, [at as i64, 4096, advice.into(), 0, 0, 0]);
    advise(libc::MADV_DONTNEED)?;
    same!((bytes(at, 3), bytes(at + 4096, 3)), (vec![0; 3], b"old".to_vec()), "the two pages");
    fails!(advise(9999), EINVAL);
    Ok(())
}

/// memfd_create(2).
fn memfd_is_a_file_without_a_name() -> Check {
    // SAFETY: a C string.
    let fd = small("memfd_create", unsafe { libc::memfd_create(c"guest".as_ptr(), 0) })?;
    write(fd, b"hello")?;
    let at = map(4096, RW, MAP_SHARED, fd, 0)?;
    put(at, b"J");
    sys::lseek(fd, 0, libc::SEEK_SET)?;
    same!(read(fd, 8)?, b"Jello", "read");
    let link =
        std::fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|error| error.to_string())?;
    same!(link.to_string_lossy(), "/memfd:guest (deleted)", "its link in /proc");
    Ok(())
}

/// errno(3).
fn bad_pointers_are_efault() -> Check {
    let (_, writer) = sys::pipe()?;
    fails!(raw("write", libc::SYS_write, [writer.into(), 8, 1, 0, 0, 0]), EFAULT);
    fails!(raw("pipe", libc::SYS_pipe, [8, 0, 0, 0, 0, 0]), EFAULT);
    fails!(raw("uname", libc::SYS_uname, [8, 0, 0, 0, 0, 0]), EFAULT);
    fails!(raw("nanosleep", libc::SYS_nanosleep, [8, 0, 0, 0, 0, 0]), EFAULT);
    fails!(raw("stat", libc::SYS_stat, [8, 8, 0, 0, 0, 0]), EFAULT);
    fails!(raw("rt_sigaction", libc::SYS_rt_sigaction, [10, 8, 0, 8, 0, 0]), EFAULT);
    Ok(())
}

/// write(2).
fn partly_readable_buffers_are_written_in_part() -> Check {
    let at = map(8192, RW, PRIVATE, -1, 0)?;
    raw("munmap", libc::SYS_munmap, [at as i64 + 4096, 4096, 0, 0, 0, 0])?;
    let (path, fd) = file(b"")?;
    let args = [fd.into(), at as i64 + 4090, 100, 0, 0, 0];
    same!(raw("write", libc::SYS_write, args)?, 6, "written");
    remove(&path)
}

fn proc(name: &str) -> Result<String, String> {
    std::fs::read_to_string(format!("/proc/self/{name}")).map_err(|error| error.to_string())
}

/// proc(5).
fn proc_exe_and_fd_are_links() -> Check {
    let link = |name: &str| {
        let target = std::fs::read_link(format!("/proc/self/{name}"));
        target.map(|it| it.to_string_lossy().into_owned()).map_err(|error| error.to_string())
    };
    let program = link("exe")?;
    ensure!(program.ends_with("/memory"), "/proc/self/exe is {program}");
    let (path, fd) = file(b"x")?;
    let real = std::fs::canonicalize(&path).map_err(|error| error.to_string())?;
    same!(link(&format!("fd/{fd}"))?, real.to_string_lossy(), "the file");
    let (reader, _) = sys::pipe()?;
    let pipe = link(&format!("fd/{reader}"))?;
    ensure!(pipe.starts_with("pipe:["), "the pipe is {pipe}");
    remove(&path)?;
    same!(link(&format!("fd/{fd}"))?, format!("{} (deleted)", real.display()), "the removed file");
    same!(std::fs::read_link("/proc/self").ok(), Some(getpid().to_string().into()), "/proc/self");
    let listed = std::fs::read_dir("/proc/self/fd").map_err(|error| error.to_string())?;
    let mine = fd.to_string();
    let names: Vec<_> = listed.flatten().map(|it| it.file_name().into_string()).collect();
    ensure!(names.contains(&Ok(mine)), "/proc/self/fd lists {names:?}");
    Ok(())
}

/// proc(5).
fn proc_maps_shows_the_mappings() -> Check {
    let (path, fd) = file(b"x")?;
    let at = map(4096, PROT_READ, MAP_PRIVATE, fd, 0)?;
    let maps = proc("maps")?;
    let start = format!("{at:x}-{:x} r--p 00000000 ", at + 4096);
    let line = maps.lines().find(|line| line.starts_with(&start)).ok_or("no line for the file")?;
    ensure!(line.ends_with("/file"), "the file's line is {line}");
    ensure!(maps.contains("[stack]") && maps.contains("/memory"), "no stack or program");
    remove(&path)
}

/// proc(5).
fn proc_status_tells_names_and_numbers() -> Check {
    let status = proc("status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    // SAFETY: no memory is involved.
    let (parent, uid) = unsafe { (libc::getppid(), libc::getuid()) };
    same!(field("Name"), Some("memory".into()), "Name");
    same!(field("Pid"), Some(getpid().to_string()), "Pid");
    same!(field("PPid"), Some(parent.to_string()), "PPid");
    same!(field("Threads"), Some("1".into()), "Threads");
    let first = field("Uid").and_then(|it| it.split('\t').next().map(str::to_owned));
    same!(first, Some(uid.to_string()), "Uid");
    Ok(())
}

/// proc(5).
fn proc_cmdline_has_the_arguments() -> Check {
    let line = proc("cmdline")?;
    ensure!(line.ends_with("\0proc_cmdline_has_the_arguments\0"), "it is {line:?}");
    same!(proc("comm")?, "memory\n", "comm");
    Ok(())
}

/// setpgid(2), setsid(2).
fn process_groups_and_sessions() -> Check {
    let child = fork_check(|| {
        // SAFETY: no memory is involved.
        unsafe {
            small("setpgid", libc::setpgid(0, 0))?;
            same!(libc::getpgrp(), getpid(), "the group");
            fails!(small("setsid", libc::setsid()), libc::EPERM);
        }
        let session = fork_check(|| {
            // SAFETY: no memory is involved.
            unsafe {
                same!(small("setsid", libc::setsid())?, getpid(), "the session");
                same!((libc::getsid(0), libc::getpgrp()), (getpid(), getpid()), "session, group");
                fails!(small("setpgid", libc::setpgid(0, 0)), libc::EPERM);
            }
            Ok(())
        })?;
        wait_ok(session)
    })?;
    wait_ok(child)
}

/// prctl(2), PR_SET_NAME.
fn names_of_the_process_can_be_set() -> Check {
    // SAFETY: a C string.
    small("prctl", unsafe { libc::prctl(libc::PR_SET_NAME, c"a-very-long-name-indeed".as_ptr()) })?;
    same!(proc("comm")?, "a-very-long-nam\n", "cut to fifteen");
    Ok(())
}

fn limit(which: u32) -> Sys<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid struct.
    small("getrlimit", unsafe { libc::getrlimit(which, &mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// getrlimit(2).
fn limits_can_be_lowered_and_not_raised() -> Check {
    sys::set_limit(libc::RLIMIT_NOFILE, 100)?;
    same!(limit(libc::RLIMIT_NOFILE)?, (100, 100), "the limit");
    let child = fork_check(|| {
        same!(limit(libc::RLIMIT_NOFILE)?, (100, 100), "the child's limit");
        // SAFETY: no memory is involved. An ordinary user stays who he is.
        unsafe { libc::setuid(65534) };
        fails!(sys::set_limit(libc::RLIMIT_NOFILE, 101), libc::EPERM);
        Ok(())
    })?;
    wait_ok(child)?;
    let upside_down = libc::rlimit { rlim_cur: 11, rlim_max: 10 };
    // SAFETY: a valid struct.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &upside_down) };
    fails!(small("setrlimit", result), EINVAL);
    Ok(())
}

/// uname(2).
fn uname_says_linux() -> Check {
    // SAFETY: a valid struct, filled with C strings.
    let (system, machine) = unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        small("uname", libc::uname(&mut name))?;
        let text = |field: &[libc::c_char]| {
            std::ffi::CStr::from_ptr(field.as_ptr()).to_string_lossy().into_owned()
        };
        (text(&name.sysname), text(&name.machine))
    };
    same!((system.as_str(), machine.as_str()), ("Linux", "x86_64"), "system and machine");
    Ok(())
}

/// getrandom(2).
fn getrandom_differs_each_time() -> Check {
    let draw = || -> Sys<[u8; 16]> {
        let mut bytes = [0; 16];
        // SAFETY: sixteen bytes of room.
        count("getrandom", unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), 16, 0) })?;
        Ok(bytes)
    };
    let (first, second) = (draw()?, draw()?);
    ensure!(first != second && first != [0; 16], "{first:?} and {second:?}");
    Ok(())
}

/// execve(2).
fn exec_passes_arguments_and_environment() -> Check {
    let child = fork_check(|| {
        // SAFETY: C strings; this process has one thread.
        small("setenv", unsafe { libc::setenv(c"GUEST".as_ptr(), c"here".as_ptr(), 1) })?;
        Err(exec_self("check_arguments", &["", "two words", "ä"]))
    })?;
    wait_ok(child)
}

fn check_arguments() -> Check {
    let args: Vec<String> = std::env::args().skip(3).collect();
    same!(args, vec!["", "two words", "ä"], "the arguments");
    same!(std::env::var("GUEST").ok(), Some("here".into()), "the environment");
    Ok(())
}

fn exec(path: &std::path::Path) -> Sys<i64> {
    let name = sys::c_path(path);
    let words = [name.as_ptr(), std::ptr::null()];
    // SAFETY: null-terminated arrays of C strings.
    check("execve", unsafe {
        libc::execve(name.as_ptr(), words.as_ptr(), words[1..].as_ptr().cast())
    })
}

/// execve(2).
fn exec_errors_are_linuxs() -> Check {
    let directory = scratch()?;
    let program = directory.join("program");
    fails!(exec(&program), libc::ENOENT);
    std::fs::write(&program, b"no program").map_err(|error| error.to_string())?;
    fails!(exec(&program), EACCES);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&program, mode).map_err(|error| error.to_string())?;
    fails!(exec(&program), libc::ENOEXEC);
    fails!(exec(&directory), EACCES);
    fails!(exec(&program.join("below")), libc::ENOTDIR);
    std::fs::write(&program, b"#!/nowhere/to/be/found\n").map_err(|error| error.to_string())?;
    fails!(exec(&program), libc::ENOENT);
    std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())
}

/// execve(2): `#!` with one argument, then the script's name.
fn scripts_run_by_their_first_line() -> Check {
    let directory = scratch()?;
    let script = directory.join("script");
    std::fs::write(&script, b"#!/bin/sh -e\ntest \"$0\" = \"${0%/script}/script\" && exit 5\n")
        .map_err(|error| error.to_string())?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).map_err(|error| error.to_string())?;
    let child = fork_check(|| exec(&script).map(|_| ()).map_err(String::from))?;
    same!(wait(child)?, 5 << 8, "the script's status");
    std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())
}
