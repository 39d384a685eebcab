//! What cases about control groups share: a group of one's own in a hierarchy that is mounted for the
//! case, and waiting for what cgroup.events tells.

use crate::Check;
use crate::mounting::{mkdir, mount, on_path, place};
use crate::process::{Gate, Pid, fork, getpid, wait};
use crate::sys::{Sys, close, lseek, open, poll_one, read, write};
use libc::{EACCES, EAGAIN, EEXIST, EPERM, EROFS, O_RDONLY, O_WRONLY, POLLPRI};
use std::fs;
use std::path::{Path, PathBuf};

/// A group of one's own; it and those directly below it go when the case is over.
pub struct Group {
    /// Its directory.
    pub dir: PathBuf,
    /// Where it is, as /proc/PID/cgroup tells.
    path: String,
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only a case that failed leaves somebody there.
        let _ = self.put("cgroup.freeze", "0");
        let _ = self.put("cgroup.kill", "1");
        while wait(-1).is_ok() {}
        for name in ["a/b", "a", "c", ""] {
            let _ = fs::remove_dir(self.at(name));
        }
    }
}

impl Group {
    /// None where no group can be made.
    pub fn new() -> Result<Option<Group>, String> {
        let Some(at) = place()? else { return Ok(None) };
        let Some((at, above)) = hierarchy(at)? else { return Ok(None) };
        for again in 0.. {
            let name = format!("guests-{}-{again}", getpid());
            let group = Group { dir: at.join(&name), path: format!("{above}/{name}") };
            match mkdir(&group.dir) {
                Ok(_) => return Ok(Some(group)),
                Err(failed) if failed.errno == EEXIST && again < 9 => std::mem::forget(group),
                Err(failed) if [EACCES, EPERM, EROFS, EAGAIN].contains(&failed.errno) => break,
                Err(failed) => return Err(failed.into()),
            }
        }
        Ok(None)
    }

    /// A file or directory of it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What a file of it says.
    pub fn text(&self, name: &str) -> Result<String, String> {
        fs::read_to_string(self.at(name)).map_err(|error| format!("{name}: {error}"))
    }

    /// One write.
    pub fn put(&self, name: &str, text: &str) -> Sys<usize> {
        put(&self.at(name), text)
    }

    /// What /proc/PID/cgroup says of the group `name` in it.
    pub fn path(&self, name: &str) -> String {
        if name.is_empty() { self.path.clone() } else { format!("{}/{name}", self.path) }
    }
}

/// Where the hierarchy is mounted, and the path of what is seen there. Mounting it anew would change
/// its options on a real machine, so that is done only where it is nowhere, at `at`.
fn hierarchy(at: PathBuf) -> Result<Option<(PathBuf, String)>, String> {
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let line = text.lines().rfind(|line| line.contains(" - cgroup2 "));
    if let Some(line) = line {
        let words: Vec<&str> = line.split(' ').collect();
        let above = words[3].trim_end_matches('/').to_owned();
        return Ok(Some((words[4].into(), above)));
    }
    let mounted = mount("none", &at, "cgroup2", 0, "");
    Ok(mounted.is_ok().then(|| (at, String::new())))
}

/// One write to a file.
pub fn put(path: &Path, text: &str) -> Sys<usize> {
    let fd = open(path, O_WRONLY, 0)?;
    let put = write(fd, text.as_bytes());
    close(fd)?;
    put
}

/// The path in the one hierarchy, by /proc/`who`/cgroup.
pub fn path_of(who: &str) -> Result<String, String> {
    let path = format!("/proc/{who}/cgroup");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    line.map(str::to_owned).ok_or_else(|| format!("no hierarchy in {text}"))
}

/// rmdir(2).
pub fn rmdir(path: &Path) -> Sys<i64> {
    on_path("rmdir", libc::SYS_rmdir, path, [0; 3])
}

/// A child that waits for the gate.
pub fn sleeper(gate: Gate) -> Sys<Pid> {
    fork(move || gate.wait().is_err().into())
}

/// Waits until a file of events has this line; it is polled for changes, as it is meant to be.
pub fn until(events: &Path, line: &str) -> Check {
    let fd = open(events, O_RDONLY, 0)?;
    loop {
        lseek(fd, 0, libc::SEEK_SET)?;
        let text = String::from_utf8_lossy(&read(fd, 99)?).into_owned();
        if text.lines().any(|found| found == line) {
            return Ok(close(fd)?);
        }
        poll_one(fd, POLLPRI, -1)?;
    }
}
