//! What cases about file systems share: a tmpfs of one's own in a mount namespace of one's own, calls
//! on paths, and the view of an ordinary user.

use crate::Check;
use crate::process::{fork, wait};
use crate::sys::{Sys, c_path, close, open, raw, scratch, small};
use libc::{EPERM, MS_PRIVATE, MS_REC, O_CREAT, O_WRONLY};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

/// mount(2); the empty type and source are given as such.
pub fn mount(source: &str, at: &Path, fstype: &str, flags: u64, data: &str) -> Sys<()> {
    let [source, fstype, data] = [source, fstype, data].map(|s| CString::new(s).expect("no NUL"));
    let at = c_path(at);
    // SAFETY: strings.
    let result = unsafe {
        libc::mount(source.as_ptr(), at.as_ptr(), fstype.as_ptr(), flags, data.as_ptr().cast())
    };
    small("mount", result).map(drop)
}

/// umount2(2).
pub fn umount(at: &Path, flags: i32) -> Sys<()> {
    // SAFETY: a string.
    small("umount2", unsafe { libc::umount2(c_path(at).as_ptr(), flags) }).map(drop)
}

/// A directory to mount on, in a mount namespace of one's own; None if nothing may be mounted. In a
/// kernel without mount namespaces all is private anyhow.
pub fn place() -> Result<Option<PathBuf>, String> {
    // Root of a user namespace has no say about devices and trusted attributes.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.split_whitespace().last().is_some_and(|count| count != "4294967295") {
        return Ok(None);
    }
    // SAFETY: no memory is passed.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0 {
        mount("none", Path::new("/"), "", MS_REC | MS_PRIVATE, "")?;
    }
    let at = scratch()?.join("at");
    fs::create_dir(&at).map_err(|error| error.to_string())?;
    match mount("guest", &at, "tmpfs", 0, "") {
        Ok(()) => {
            umount(&at, 0)?;
            Ok(Some(at))
        }
        Err(failed) if failed.errno == EPERM => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

/// `place`, with a tmpfs there.
pub fn mounted(flags: u64, data: &str) -> Result<Option<PathBuf>, String> {
    let at = place()?;
    if let Some(at) = &at {
        mount("guest", at, "tmpfs", flags, data)?;
    }
    Ok(at)
}

/// A file that is there from now on.
pub fn touch(path: &Path) -> Sys<()> {
    close(open(path, O_CREAT | O_WRONLY, 0o644)?)
}

/// A call on one path.
pub fn on_path(call: &'static str, number: i64, path: &Path, rest: [i64; 3]) -> Sys<i64> {
    let path = c_path(path);
    raw(call, number, [path.as_ptr() as i64, rest[0], rest[1], rest[2], 0, 0])
}

/// A call on two paths.
pub fn on_paths(call: &'static str, number: i64, from: &Path, to: &Path) -> Sys<i64> {
    let (from, to) = (c_path(from), c_path(to));
    raw(call, number, [from.as_ptr() as i64, to.as_ptr() as i64, 0, 0, 0, 0])
}

/// mkdir(2).
pub fn mkdir(path: &Path) -> Sys<i64> {
    on_path("mkdir", libc::SYS_mkdir, path, [0o755, 0, 0])
}

/// unlink(2).
pub fn unlink(path: &Path) -> Sys<i64> {
    on_path("unlink", libc::SYS_unlink, path, [0; 3])
}

/// rename(2).
pub fn rename(from: &Path, to: &Path) -> Sys<i64> {
    on_paths("rename", libc::SYS_rename, from, to)
}

/// chmod(2).
pub fn chmod(path: &Path, mode: i64) -> Sys<i64> {
    on_path("chmod", libc::SYS_chmod, path, [mode, 0, 0])
}

/// mknod(2).
pub fn mknod(path: &Path, mode: u32, device: u64) -> Sys<i64> {
    on_path("mknod", libc::SYS_mknod, path, [mode.into(), device as i64, 0])
}

/// Runs the closure as an ordinary user in a child.
pub fn as_nobody(body: impl FnOnce() -> Check) -> Check {
    let child = fork(|| {
        // SAFETY: no memory is passed.
        let dropped = unsafe {
            libc::syscall(libc::SYS_setgroups, 0, 0) == 0
                && libc::setresgid(65534, 65534, 65534) == 0
                && libc::setresuid(65534, 65534, 65534) == 0
        };
        match body() {
            Ok(()) if dropped => 0,
            Ok(()) => 1,
            Err(why) => {
                eprintln!("as nobody: {why}");
                2
            }
        }
    })?;
    crate::same!(wait(child)?, 0, "the child's status");
    Ok(())
}
