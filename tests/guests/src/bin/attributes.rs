//! Extended attributes and the flags that chattr(1) sets. Each case works on a tmpfs of its own; one
//! that may not mount anything has nothing to say and holds.

use guests::mounting::{as_nobody, chmod, mknod, mounted, on_path, on_paths, rename, touch};
use guests::mounting::{mount, umount, unlink};
use guests::sys::{self, Fd, Sys, c_path, close, open, raw, small, write};
use guests::{Check, fails, same};
use libc::{
    EACCES, EEXIST, EINVAL, ENODATA, EOPNOTSUPP, EPERM, ERANGE, EROFS, MS_RDONLY, MS_REMOUNT,
    O_RDONLY, O_TRUNC, O_WRONLY,
};
use std::ffi::CString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

guests::cases! {
    attributes_are_set_read_listed_and_removed,
    attributes_have_limits_and_owners,
    immutable_and_append_only_files,
}

const FS_IOC_GETFLAGS: i64 = 0x8008_6601;
const FS_IOC_SETFLAGS: i64 = 0x4008_6602;
const IMMUTABLE: u32 = 0x10;
const APPEND: u32 = 0x20;

fn setxattr(path: &Path, name: &str, value: &[u8], flags: i32) -> Sys<()> {
    let (path, name) = (c_path(path), CString::new(name).expect("no NUL"));
    // SAFETY: strings and a live buffer.
    let result = unsafe {
        let value_at = value.as_ptr().cast();
        libc::lsetxattr(path.as_ptr(), name.as_ptr(), value_at, value.len(), flags)
    };
    small("setxattr", result).map(drop)
}

fn getxattr(path: &Path, name: &str, size: usize) -> Sys<Vec<u8>> {
    let (path, name) = (c_path(path), CString::new(name).expect("no NUL"));
    let mut value = vec![0; size];
    // SAFETY: strings and a live buffer.
    let got =
        unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), size) };
    value.truncate(sys::count("getxattr", got)?);
    Ok(value)
}

fn removexattr(path: &Path, name: &str) -> Sys<()> {
    let (path, name) = (c_path(path), CString::new(name).expect("no NUL"));
    // SAFETY: strings.
    small("removexattr", unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}

fn listxattr(path: &Path, size: usize) -> Sys<Vec<String>> {
    let path = c_path(path);
    let mut list = vec![0u8; size];
    // SAFETY: a string and a live buffer.
    let got = unsafe { libc::llistxattr(path.as_ptr(), list.as_mut_ptr().cast(), size) };
    list.truncate(sys::count("listxattr", got)?);
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<String> = names.map(|n| String::from_utf8_lossy(n).into_owned()).collect();
    // In which order they come is nobody's business; a label of the machine's is not ours.
    names.retain(|name| name != "security.selinux");
    names.sort();
    Ok(names)
}

/// A tmpfs whose files have user.* attributes; Linux before 6.6 has none.
fn with_attributes() -> Result<Option<PathBuf>, String> {
    let Some(at) = mounted(0, "")? else { return Ok(None) };
    touch(&at.join("f"))?;
    match setxattr(&at.join("f"), "user.probe", b"", 0) {
        Ok(()) => removexattr(&at.join("f"), "user.probe")?,
        Err(failed) if failed.errno == EOPNOTSUPP => return Ok(None),
        Err(failed) => return Err(failed.into()),
    }
    Ok(Some(at))
}

fn attributes_are_set_read_listed_and_removed() -> Check {
    let Some(at) = with_attributes()? else { return Ok(()) };
    let f = at.join("f");
    for name in ["user.a", "trusted.a", "security.a"] {
        fails!(getxattr(&f, name, 9), ENODATA);
        fails!(setxattr(&f, name, b"one", libc::XATTR_REPLACE), ENODATA);
        setxattr(&f, name, b"one", libc::XATTR_CREATE)?;
        fails!(setxattr(&f, name, b"two", libc::XATTR_CREATE), EEXIST);
        setxattr(&f, name, b"three", libc::XATTR_REPLACE)?;
        same!(getxattr(&f, name, 9)?, b"three", "the value of {name}");
        fails!(getxattr(&f, name, 4), ERANGE);
    }
    same!(listxattr(&f, 99)?, ["security.a", "trusted.a", "user.a"], "the names");
    fails!(listxattr(&f, 5), ERANGE);
    removexattr(&f, "user.a")?;
    fails!(removexattr(&f, "user.a"), ENODATA);
    same!(listxattr(&f, 99)?, ["security.a", "trusted.a"], "the names that are left");
    mount("guest", &at, "tmpfs", MS_REMOUNT | MS_RDONLY, "")?;
    fails!(setxattr(&f, "trusted.a", b"", 0), EROFS);
    fails!(removexattr(&f, "trusted.a"), EROFS);
    umount(&at, 0)?;
    Ok(())
}

fn attributes_have_limits_and_owners() -> Check {
    let Some(at) = with_attributes()? else { return Ok(()) };
    let [f, fifo, link] = ["f", "fifo", "link"].map(|name| at.join(name));
    mknod(&fifo, libc::S_IFIFO | 0o666, 0)?;
    symlink("f", &link).map_err(|error| error.to_string())?;
    for special in [&fifo, &link] {
        fails!(setxattr(special, "user.a", b"", 0), EPERM);
        fails!(getxattr(special, "user.a", 0), ENODATA);
        setxattr(special, "trusted.a", b"t", 0)?;
    }
    setxattr(&f, "user.big", &[1; 65_536], 0)?;
    fails!(setxattr(&f, "user.big", &[1; 65_537], 0), libc::E2BIG);
    fails!(setxattr(&f, "user.", b"", 0), EINVAL);
    fails!(setxattr(&f, "", b"", 0), ERANGE);
    fails!(setxattr(&f, &format!("user.{}", "n".repeat(251)), b"", 0), ERANGE);
    fails!(setxattr(&f, "nonsense", b"", 0), EOPNOTSUPP);
    fails!(setxattr(&f, "user.a", b"", 4), EINVAL);
    setxattr(&f, "trusted.a", b"t", 0)?;
    let (f, at2) = (f.clone(), at.clone());
    as_nobody(move || {
        fails!(getxattr(&f, "trusted.a", 9), ENODATA);
        fails!(setxattr(&f, "trusted.a", b"", 0), EPERM);
        fails!(setxattr(&f, "security.a", b"", 0), EPERM);
        fails!(setxattr(&f, "user.a", b"", 0), EACCES);
        fails!(setxattr(&at2, "user.a", b"", 0), EPERM);
        same!(listxattr(&f, 99)?, ["user.big"], "what nobody sees");
        Ok(())
    })?;
    umount(&at, 0)?;
    Ok(())
}

fn flags(path: &Path, change: Option<u32>) -> Sys<u32> {
    let file = open(path, O_RDONLY, 0)?;
    let mut word = change.unwrap_or(0);
    let command = if change.is_some() { FS_IOC_SETFLAGS } else { FS_IOC_GETFLAGS };
    let done = raw("ioctl", libc::SYS_ioctl, [file.into(), command, &raw mut word as i64, 0, 0, 0]);
    close(file)?;
    done.map(|_| word)
}

fn immutable_and_append_only_files() -> Check {
    let Some(at) = mounted(0, "")? else { return Ok(()) };
    let (f, g) = (at.join("f"), at.join("g"));
    touch(&f)?;
    match flags(&f, None) {
        // tmpfs has them since Linux 6.0.
        Err(failed) if failed.errno == libc::ENOTTY => return Ok(()),
        seen => same!(seen?, 0, "the flags of a new file"),
    }
    flags(&f, Some(IMMUTABLE))?;
    same!(flags(&f, None)?, IMMUTABLE, "the flags");
    fails!(open(&f, O_WRONLY, 0), EPERM);
    close(open(&f, O_RDONLY, 0)?)?;
    fails!(unlink(&f), EPERM);
    fails!(rename(&f, &g), EPERM);
    fails!(on_paths("link", libc::SYS_link, &f, &g), EPERM);
    fails!(chmod(&f, 0o600), EPERM);
    fails!(on_path("utime", libc::SYS_utime, &f, [0; 3]), EPERM);
    fails!(on_path("truncate", libc::SYS_truncate, &f, [0; 3]), EPERM);
    flags(&f, Some(APPEND))?;
    fails!(open(&f, O_WRONLY, 0), EPERM);
    fails!(open(&f, O_WRONLY | libc::O_APPEND | O_TRUNC, 0), EPERM);
    let file: Fd = open(&f, O_WRONLY | libc::O_APPEND, 0)?;
    write(file, b"more")?;
    // SAFETY: no memory is passed.
    fails!(small("fcntl", unsafe { libc::fcntl(file, libc::F_SETFL, 0) }), EPERM);
    fails!(small("ftruncate", unsafe { libc::ftruncate(file, 0) }), EPERM);
    close(file)?;
    fails!(unlink(&f), EPERM);
    on_path("utime", libc::SYS_utime, &f, [0; 3])?;
    fails!(flags(&f, Some(1)), EOPNOTSUPP);
    let path = f.clone();
    as_nobody(move || {
        fails!(flags(&path, Some(0)), EPERM);
        Ok(())
    })?;
    flags(&f, Some(0))?;
    unlink(&f)?;
    umount(&at, 0)?;
    Ok(())
}
