//! mount(2) and what it changes, device nodes, loop devices. Each case works on a tmpfs of its own in
//! a mount namespace of its own. It needs root: a case that may not mount anything has nothing to
//! say and holds.

use guests::mounting::{
    as_nobody, chmod, mkdir, mknod, mount, mounted, on_path, on_paths, place, rename, touch,
    umount, unlink,
};
use guests::sys::{self, Fd, Sys, c_path, close, lseek, open, raw, read, scratch, small, write};
use guests::{Check, ensure, fails, same};
use libc::{
    EACCES, EAGAIN, EBUSY, EEXIST, EINVAL, ELOOP, ENODEV, ENOENT, ENOSPC, ENOTDIR, ENXIO, EPERM,
    EROFS, EXDEV, MNT_DETACH, MNT_EXPIRE, MS_BIND, MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID,
    MS_RDONLY, MS_REMOUNT, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

guests::cases! {
    a_mounted_tmpfs_is_seen_until_it_is_unmounted,
    a_busy_mount_stays_and_a_detached_one_lives_on_unseen,
    a_read_only_mount_refuses_every_change,
    a_remount_changes_flags_and_limits,
    a_tmpfs_is_full_when_its_pages_or_inodes_are,
    mount_flags_forbid_devices_programs_and_links,
    access_times_move_as_the_mount_says,
    an_unmount_ends_watches,
    mount_checks_its_arguments,
    only_root_mounts,
    device_nodes_name_drivers_or_nothing,
    a_loop_device_shows_a_file,
}

const NOSYMFOLLOW: u64 = 256;

/// The fields behind the path in this mount's line of /proc/self/mountinfo and /proc/mounts.
fn shown(at: &Path) -> Option<(String, String)> {
    let at = format!(" {} ", at.display());
    let line = |file: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.contains(&at))?;
        let (_, rest) = line.split_once(&at)?;
        // How inodes are numbered and labelled is the machine's business.
        let words = [",inode64", ",inode32", ",seclabel"];
        Some(words.iter().fold(rest.to_owned(), |rest, word| rest.replace(word, "")))
    };
    Some((line("/proc/self/mountinfo")?, line("/proc/mounts")?))
}

fn statfs(at: &Path) -> Sys<libc::statfs> {
    // SAFETY: an all-zero statfs is valid, and filled by the call.
    unsafe {
        let mut buffer = std::mem::zeroed();
        small("statfs", libc::statfs(c_path(at).as_ptr(), &mut buffer)).map(|_| buffer)
    }
}

fn a_mounted_tmpfs_is_seen_until_it_is_unmounted() -> Check {
    let Some(at) = place()? else { return Ok(()) };
    let below = fs::metadata(&at).map_err(|e| e.to_string())?;
    mount("a guest", &at, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=750,nr_inodes=9")?;
    let above = fs::metadata(&at).map_err(|e| e.to_string())?;
    ensure!(below.dev() != above.dev(), "a mounted file system has the device number of another");
    same!((above.mode() & 0o7777, above.nlink()), (0o750, 2), "the root's mode and links");
    let (info, mounts) = shown(&at).ok_or("no line for the mount")?;
    let options = "size=1024k,nr_inodes=9,mode=750";
    let line = format!("rw,nosuid,nodev,relatime - tmpfs a\\040guest rw,{options}");
    same!(info, line, "mountinfo");
    same!(mounts, format!("tmpfs rw,nosuid,nodev,relatime,{options} 0 0"), "mounts");
    touch(&at.join("f"))?;
    let stat = statfs(&at)?;
    same!((stat.f_type, stat.f_blocks, stat.f_bfree), (0x0102_1994, 256, 256), "blocks");
    same!((stat.f_files, stat.f_ffree), (9, 7), "inodes");
    same!(fs::metadata(&at).map_err(|e| e.to_string())?.len(), 60, "the root's size with a name");
    let mut ustat = [0u8; 32];
    let ask = [above.dev() as i64, ustat.as_mut_ptr() as i64, 0, 0, 0, 0];
    raw("ustat", libc::SYS_ustat, ask)?;
    same!((&ustat[..4], &ustat[8..12]), (&[0, 1, 0, 0][..], &[7, 0, 0, 0][..]), "ustat");
    fails!(raw("ustat", libc::SYS_ustat, [0xffff, ask[1], 0, 0, 0, 0]), EINVAL);
    let elsewhere = at.with_file_name("f");
    fails!(rename(&at.join("f"), &elsewhere), EXDEV);
    fails!(on_paths("link", libc::SYS_link, &at.join("f"), &elsewhere), EXDEV);
    fails!(on_path("rmdir", libc::SYS_rmdir, &at, [0; 3]), EBUSY);
    umount(&at, 0)?;
    ensure!(shown(&at).is_none(), "an unmounted file system is listed");
    ensure!(!at.join("f").exists(), "a file of an unmounted file system is there");
    fails!(umount(&at, 0), EINVAL);
    Ok(())
}

fn a_busy_mount_stays_and_a_detached_one_lives_on_unseen() -> Check {
    let Some(at) = mounted(0, "")? else { return Ok(()) };
    let file = open(&at.join("f"), O_CREAT | O_RDWR, 0o644)?;
    fails!(umount(&at, 0), EBUSY);
    fails!(mount("guest", &at, "tmpfs", MS_REMOUNT | MS_RDONLY, ""), EBUSY);
    mkdir(&at.join("d"))?;
    mount("inner", &at.join("d"), "tmpfs", 0, "")?;
    close(file)?;
    fails!(umount(&at, 0), EBUSY);
    fails!(on_path("rmdir", libc::SYS_rmdir, &at.join("d"), [0; 3]), EBUSY);
    fails!(rename(&at.join("d"), &at.join("e")), EBUSY);
    let file = open(&at.join("f"), O_RDWR, 0)?;
    umount(&at, MNT_DETACH)?;
    ensure!(shown(&at).is_none() && shown(&at.join("d")).is_none(), "detached mounts are listed");
    ensure!(!at.join("f").exists(), "a file of a detached file system is found");
    write(file, b"still")?;
    lseek(file, 0, libc::SEEK_SET)?;
    same!(read(file, 9)?, b"still", "a file of a detached file system");
    close(file)?;
    mount("guest", &at, "tmpfs", 0, "")?;
    fails!(umount(&at, MNT_EXPIRE), EAGAIN);
    umount(&at, MNT_EXPIRE)?;
    Ok(())
}

fn a_read_only_mount_refuses_every_change() -> Check {
    let Some(at) = mounted(0, "")? else { return Ok(()) };
    let (f, d, none) = (at.join("f"), at.join("d"), at.join("none"));
    touch(&f)?;
    mkdir(&d)?;
    mount("guest", &at, "tmpfs", MS_REMOUNT | MS_RDONLY, "")?;
    let (info, _) = shown(&at).ok_or("no line for the mount")?;
    same!(info, "ro,relatime - tmpfs guest ro", "mountinfo");
    fails!(open(&f, O_WRONLY, 0), EROFS);
    fails!(open(&f, O_RDONLY | O_TRUNC, 0), EROFS);
    fails!(open(&none, O_CREAT | O_WRONLY, 0o644), EROFS);
    fails!(open(&at, libc::O_TMPFILE | O_RDWR, 0o644), EROFS);
    fails!(open(&at.join("none/x"), O_CREAT | O_WRONLY, 0o644), ENOENT);
    close(open(&f, O_CREAT | O_RDONLY, 0o644)?)?;
    fails!(mkdir(&none), EROFS);
    fails!(mkdir(&f), EEXIST);
    fails!(unlink(&f), EROFS);
    fails!(unlink(&none), EROFS);
    fails!(on_path("rmdir", libc::SYS_rmdir, &d, [0; 3]), EROFS);
    fails!(rename(&f, &none), EROFS);
    fails!(on_paths("link", libc::SYS_link, &f, &none), EROFS);
    fails!(on_paths("symlink", libc::SYS_symlink, &f, &none), EROFS);
    fails!(mknod(&none, libc::S_IFIFO | 0o644, 0), EROFS);
    fails!(chmod(&f, 0o600), EROFS);
    fails!(on_path("chown", libc::SYS_chown, &f, [0, 0, 0]), EROFS);
    fails!(on_path("truncate", libc::SYS_truncate, &f, [0, 0, 0]), EROFS);
    fails!(on_path("utime", libc::SYS_utime, &f, [0; 3]), EROFS);
    fails!(on_path("access", libc::SYS_access, &f, [libc::W_OK.into(), 0, 0]), EROFS);
    // SAFETY: an all-zero statvfs is valid, and filled by the call.
    let seen: libc::statvfs = unsafe {
        let mut buffer = std::mem::zeroed();
        small("statvfs", libc::statvfs(c_path(&at).as_ptr(), &mut buffer))?;
        buffer
    };
    same!(seen.f_flag & libc::ST_RDONLY, libc::ST_RDONLY, "ST_RDONLY");
    umount(&at, 0)?;
    Ok(())
}

fn a_remount_changes_flags_and_limits() -> Check {
    let Some(at) = mounted(MS_NOATIME, "size=64k")? else { return Ok(()) };
    let f = at.join("f");
    touch(&f)?;
    let line = |at: &Path| shown(at).map(|(info, _)| info).ok_or("no line for the mount");
    same!(line(&at)?, "rw,noatime - tmpfs guest rw,size=64k", "at first");
    mount("", &at, "", MS_REMOUNT | MS_NOEXEC, "size=32k")?;
    same!(line(&at)?, "rw,noexec,noatime - tmpfs guest rw,size=32k", "limited");
    mount("", &at, "", MS_REMOUNT | MS_BIND | MS_RDONLY, "")?;
    same!(line(&at)?, "ro,noatime - tmpfs guest rw,size=32k", "only the mount read-only");
    fails!(open(&f, O_WRONLY, 0), EROFS);
    mount("", &at, "", MS_REMOUNT, "")?;
    let file = open(&f, O_WRONLY, 0)?;
    write(file, &[1; 9000])?;
    fails!(mount("", &at, "", MS_REMOUNT, "size=8k"), EINVAL);
    mount("", &at, "", MS_REMOUNT, "size=12k")?;
    fails!(mount("", &at, "", MS_REMOUNT, "size=16k,nonsense"), EINVAL);
    close(file)?;
    fails!(mount("", &f, "", MS_REMOUNT, ""), EINVAL);
    umount(&at, 0)?;
    Ok(())
}

fn a_tmpfs_is_full_when_its_pages_or_inodes_are() -> Check {
    let Some(at) = mounted(0, "size=16k,nr_inodes=4")? else { return Ok(()) };
    let file = open(&at.join("f"), O_CREAT | O_RDWR, 0o644)?;
    same!(write(file, &[1; 20_000])?, 16_384, "bytes that fit");
    fails!(write(file, b"x"), ENOSPC);
    same!(statfs(&at)?.f_bfree, 0, "free blocks");
    // SAFETY: no memory is passed.
    let punch = |from, len| unsafe {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        small("fallocate", libc::fallocate(file, mode, from, len))
    };
    punch(4096, 8192)?;
    same!(statfs(&at)?.f_bfree, 2, "free blocks after a hole");
    // SAFETY: no memory is passed.
    let reserve = |from, len| unsafe { small("fallocate", libc::fallocate(file, 0, from, len)) };
    reserve(16_384, 4096)?;
    same!(statfs(&at)?.f_bfree, 1, "free blocks after a reservation");
    fails!(reserve(20_480, 8192), ENOSPC);
    mkdir(&at.join("d"))?;
    touch(&at.join("g"))?;
    fails!(touch(&at.join("h")), ENOSPC);
    fails!(mkdir(&at.join("e")), ENOSPC);
    unlink(&at.join("g"))?;
    touch(&at.join("h"))?;
    close(file)?;
    umount(&at, 0)?;
    Ok(())
}

fn mount_flags_forbid_devices_programs_and_links() -> Check {
    let Some(at) = mounted(0, "")? else { return Ok(()) };
    let (null, program, link) = (at.join("null"), at.join("program"), at.join("link"));
    mknod(&null, libc::S_IFCHR | 0o666, libc::makedev(1, 3))?;
    fs::write(&program, "#!/bin/sh\n").map_err(|e| e.to_string())?;
    chmod(&program, 0o755)?;
    symlink("program", &link).map_err(|e| e.to_string())?;
    close(open(&null, O_RDONLY, 0)?)?;
    on_path("access", libc::SYS_access, &program, [libc::X_OK.into(), 0, 0])?;
    let flags = MS_REMOUNT | MS_NODEV | MS_NOEXEC | NOSYMFOLLOW;
    mount("guest", &at, "tmpfs", flags, "")?;
    fails!(open(&null, O_RDONLY, 0), EACCES);
    fails!(on_path("access", libc::SYS_access, &program, [libc::X_OK.into(), 0, 0]), EACCES);
    let arguments = [std::ptr::null::<libc::c_char>()];
    let none = arguments.as_ptr() as i64;
    fails!(on_path("execve", libc::SYS_execve, &program, [none, none, 0]), EACCES);
    fails!(open(&link, O_RDONLY, 0), ELOOP);
    let file = open(&program, O_RDONLY, 0)?;
    let code = libc::PROT_READ | libc::PROT_EXEC;
    fails!(sys::map(4096, code, libc::MAP_PRIVATE, file, 0), EPERM);
    close(file)?;
    umount(&at, 0)?;
    Ok(())
}

/// The access time of a file, in seconds, after it was set to `from` and the file was read.
fn read_from(path: &Path, from: i64) -> Result<i64, String> {
    let times = [from, 0, 1_000_000_000, 0];
    let at = c_path(path);
    let ask = [libc::AT_FDCWD.into(), at.as_ptr() as i64, times.as_ptr() as i64, 0, 0, 0];
    raw("utimensat", libc::SYS_utimensat, ask)?;
    fs::read(path).map_err(|error| error.to_string())?;
    Ok(fs::metadata(path).map_err(|error| error.to_string())?.atime())
}

fn access_times_move_as_the_mount_says() -> Check {
    let Some(at) = mounted(MS_NOATIME, "")? else { return Ok(()) };
    let f = at.join("f");
    fs::write(&f, "text").map_err(|error| error.to_string())?;
    let far = 1 << 32;
    same!(read_from(&f, 1)?, 1, "noatime");
    mount("guest", &at, "tmpfs", MS_REMOUNT | libc::MS_RELATIME, "")?;
    ensure!(read_from(&f, 1)? > 1, "relatime leaves a time that is before the last change");
    same!(read_from(&f, far)?, far, "relatime, and a time after the last change");
    mount("guest", &at, "tmpfs", MS_REMOUNT | libc::MS_STRICTATIME, "")?;
    ensure!(read_from(&f, far)? < far, "strictatime leaves a time as it was");
    mount("guest", &at, "tmpfs", MS_REMOUNT | MS_RDONLY, "")?;
    let before = fs::metadata(&f).map_err(|error| error.to_string())?.atime_nsec();
    fs::read(&f).map_err(|error| error.to_string())?;
    let after = fs::metadata(&f).map_err(|error| error.to_string())?.atime_nsec();
    same!(before, after, "a time where nothing can be written");
    umount(&at, 0)?;
    Ok(())
}

fn an_unmount_ends_watches() -> Check {
    let Some(at) = mounted(0, "")? else { return Ok(()) };
    touch(&at.join("f"))?;
    // SAFETY: no memory is passed.
    let inotify = small("inotify_init1", unsafe { libc::inotify_init1(libc::IN_NONBLOCK) })?;
    let path = c_path(&at.join("f"));
    // SAFETY: a string.
    let wd = unsafe { libc::inotify_add_watch(inotify, path.as_ptr(), libc::IN_MODIFY) };
    let wd = small("inotify_add_watch", wd)?;
    umount(&at, 0)?;
    let bytes = read(inotify, 999)?;
    let word = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().expect("4 bytes"));
    same!(bytes.len(), 32, "the bytes of two events");
    same!((word(0), word(4)), (wd as u32, libc::IN_UNMOUNT), "the first event");
    same!((word(16), word(20)), (wd as u32, libc::IN_IGNORED), "the second");
    close(inotify)?;
    Ok(())
}

fn mount_checks_its_arguments() -> Check {
    let Some(at) = place()? else { return Ok(()) };
    let nowhere = at.join("nowhere");
    fails!(mount("x", &nowhere, "tmpfs", 0, ""), ENOENT);
    fails!(mount("x", &at, "no-such-type", 0, ""), ENODEV);
    fails!(mount("x", &at, "", 0, ""), ENODEV);
    fails!(mount("x", Path::new("/etc/passwd"), "tmpfs", 0, ""), ENOTDIR);
    fails!(mount("x", &at, "tmpfs", 0, "size=many"), EINVAL);
    fails!(mount("x", &at, "tmpfs", 0, "nonsense"), EINVAL);
    fails!(mount("x", &at, "tmpfs", MS_REMOUNT, ""), EINVAL);
    fails!(umount(&at, 0), EINVAL);
    fails!(umount(&nowhere, 0), ENOENT);
    fails!(umount(&at, 1 << 6), EINVAL);
    let path = c_path(&at);
    let at = path.as_ptr() as i64;
    fails!(raw("mount", libc::SYS_mount, [0, at, 0, 0, 0, 0]), EINVAL);
    fails!(raw("mount", libc::SYS_mount, [0, 0, 0, 0, 0, 0]), libc::EFAULT);
    Ok(())
}

fn only_root_mounts() -> Check {
    let Some(at) = mounted(0, "")? else { return Ok(()) };
    as_nobody(|| {
        fails!(mount("x", Path::new("/nowhere/at/all"), "tmpfs", 0, ""), ENOENT);
        fails!(mount("x", Path::new("/"), "tmpfs", 0, ""), EPERM);
        fails!(umount(Path::new("/"), 0), EPERM);
        Ok(())
    })?;
    umount(&at, 0)?;
    Ok(())
}

fn device_nodes_name_drivers_or_nothing() -> Check {
    let Some(at) = mounted(0, "")? else { return Ok(()) };
    let [null, none, block] = ["null", "none", "block"].map(|name| at.join(name));
    mknod(&null, libc::S_IFCHR | 0o666, libc::makedev(1, 3))?;
    mknod(&none, libc::S_IFCHR | 0o666, libc::makedev(4000, 77_777))?;
    mknod(&block, libc::S_IFBLK | 0o660, libc::makedev(4000, 3))?;
    let file = open(&null, O_RDWR, 0)?;
    same!((write(file, b"gone")?, read(file, 4)?), (4, vec![]), "a node for /dev/null");
    close(file)?;
    fails!(open(&none, O_RDONLY, 0), ENXIO);
    fails!(open(&block, O_RDONLY, 0), ENXIO);
    let stat = |path: &Path| fs::symlink_metadata(path).map_err(|error| error.to_string());
    let seen = stat(&none)?;
    let expected = (libc::S_IFCHR, libc::makedev(4000, 77_777));
    same!((seen.mode() & libc::S_IFMT, seen.rdev()), expected, "a node's type and number");
    same!(stat(&block)?.mode() & libc::S_IFMT, libc::S_IFBLK, "a block device's type");
    umount(&at, 0)?;
    Ok(())
}

/// A loop device bound to `file`. Another process may take the one that was free: then the next.
fn bind(control: Fd, file: Fd) -> Result<Option<(PathBuf, Fd)>, String> {
    loop {
        let free = raw("ioctl", libc::SYS_ioctl, [control.into(), 0x4c82, 0, 0, 0, 0])?;
        let path = PathBuf::from(format!("/dev/loop{free}"));
        let Ok(device) = open(&path, O_RDWR, 0) else { return Ok(None) };
        match raw("ioctl", libc::SYS_ioctl, [device.into(), 0x4c00, file.into(), 0, 0, 0]) {
            Ok(_) => return Ok(Some((path, device))),
            Err(failed) if failed.errno == EBUSY => close(device)?,
            Err(failed) => return Err(failed.into()),
        }
    }
}

fn a_loop_device_shows_a_file() -> Check {
    let backing = scratch()?.join("image");
    let Ok(control) = open(Path::new("/dev/loop-control"), O_RDWR, 0) else { return Ok(()) };
    let file = open(&backing, O_CREAT | O_RDWR, 0o600)?;
    // SAFETY: no memory is passed.
    small("ftruncate", unsafe { libc::ftruncate(file, 1 << 20) })?;
    let Some((path, device)) = bind(control, file)? else { return Ok(()) };
    let checked = check_loop(&path, device, file);
    raw("ioctl", libc::SYS_ioctl, [device.into(), 0x4c01, 0, 0, 0, 0])?;
    close(device)?;
    checked
}

fn check_loop(path: &Path, device: Fd, file: Fd) -> Check {
    let kind = fs::metadata(path).map_err(|error| error.to_string())?.mode() & libc::S_IFMT;
    same!(kind, libc::S_IFBLK, "the node's type");
    let mut size = 0u64;
    let ask = [device.into(), 0x8008_1272, &raw mut size as i64, 0, 0, 0];
    raw("ioctl", libc::SYS_ioctl, ask)?;
    same!(size, 1 << 20, "BLKGETSIZE64");
    let mut status = [0u8; 232];
    let ask = [device.into(), 0x4c05, status.as_mut_ptr() as i64, 0, 0, 0];
    raw("ioctl", libc::SYS_ioctl, ask)?;
    status[56..60].copy_from_slice(b"name");
    let set = [device.into(), 0x4c04, status.as_ptr() as i64, 0, 0, 0];
    raw("ioctl", libc::SYS_ioctl, set)?;
    status.fill(0);
    raw("ioctl", libc::SYS_ioctl, ask)?;
    same!(&status[56..61], b"name\0", "the name that was set");
    fails!(raw("ioctl", libc::SYS_ioctl, [device.into(), 0x4c00, file.into(), 0, 0, 0]), EBUSY);
    lseek(device, 5000, libc::SEEK_SET)?;
    write(device, b"through")?;
    small("fsync", unsafe { libc::fsync(device) })?; // SAFETY: no memory is passed.
    lseek(file, 5000, libc::SEEK_SET)?;
    same!(read(file, 7)?, b"through", "what the file has");
    lseek(device, 5000, libc::SEEK_SET)?;
    same!(read(device, 7)?, b"through", "what the device has");
    same!(lseek(device, 0, libc::SEEK_END)?, 1 << 20, "its end");
    fails!(write(device, b"x"), ENOSPC);
    same!(read(device, 9)?, b"", "behind the end");
    fails!(lseek(device, 1, libc::SEEK_END), EINVAL);
    Ok(())
}
