//! /proc/PID/mounts and /proc/PID/mountinfo (proc(5)): one line for each mount that is in the tree,
//! in the order of mounting. Neighbours: `fs/procfs/task`.

use super::MountId;
use crate::fs::dcache::Vfs;
use crate::fs::path::Path;
use crate::kernel::Kernel;
use linux_raw_sys::general as raw;

/// show_sb_opts().
const SB_OPTIONS: [(u32, &str); 4] = [
    (raw::MS_SYNCHRONOUS, ",sync"),
    (raw::MS_DIRSYNC, ",dirsync"),
    (raw::MS_MANDLOCK, ",mand"),
    (raw::MS_LAZYTIME, ",lazytime"),
];

/// show_mnt_opts().
const MNT_OPTIONS: [(u32, &str); 7] = [
    (raw::MS_NOSUID, ",nosuid"),
    (raw::MS_NODEV, ",nodev"),
    (raw::MS_NOEXEC, ",noexec"),
    (raw::MS_NOATIME, ",noatime"),
    (raw::MS_NODIRATIME, ",nodiratime"),
    (raw::MS_RELATIME, ",relatime"),
    (raw::MS_NOSYMFOLLOW, ",nosymfollow"),
];

fn words(flags: u32, names: &[(u32, &str)]) -> String {
    names.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect()
}

fn ro(readonly: bool) -> &'static str {
    if readonly { "ro" } else { "rw" }
}

/// mangle(): what would end a field is written in octal.
fn mangle(text: &[u8]) -> String {
    let mut out = String::new();
    for byte in String::from_utf8_lossy(text).chars() {
        match byte {
            ' ' | '\t' | '\n' | '\\' | '#' => out.push_str(&format!("\\{:03o}", byte as u32)),
            _ => out.push(byte),
        }
    }
    out
}

impl Vfs {
    /// show_sb_opts() and show_options().
    fn super_options(&self, dev: u32) -> String {
        let flags = self.supers[&dev].flags;
        let own = self.shmem.get(&dev).map_or_else(String::new, |sb| sb.show());
        words(flags, &SB_OPTIONS) + &own
    }

    /// show_vfsmnt().
    fn show_vfsmnt(&self, mnt: MountId, root: Path) -> Option<String> {
        let m = &self.mounts[&mnt];
        let sb = &self.supers[&m.dev];
        Some(format!(
            "{} {} {} {}{}{} 0 0\n",
            mangle(&m.source),
            mangle(&self.path_below(self.mnt_root(mnt), root)?),
            sb.fstype,
            ro(self.mnt_is_readonly(mnt)),
            words(m.flags, &MNT_OPTIONS),
            self.super_options(m.dev)
        ))
    }

    /// show_mountinfo(). The root of the tree is on mount 1.
    fn show_mountinfo(&self, mnt: MountId, root: Path) -> Option<String> {
        let m = &self.mounts[&mnt];
        let sb = &self.supers[&m.dev];
        Some(format!(
            "{} {} 0:{} {} {} {}{} - {} {} {}{}\n",
            m.id,
            m.parent.map_or(1, |at| self.mounts[&at.mnt].id),
            m.dev,
            mangle(&self.dentry_path(m.root)),
            mangle(&self.path_below(self.mnt_root(mnt), root)?),
            ro(m.has(raw::MS_RDONLY)),
            words(m.flags, &MNT_OPTIONS),
            sb.fstype,
            mangle(&m.source),
            ro(sb.flags & raw::MS_RDONLY != 0),
            self.super_options(m.dev)
        ))
    }
}

impl Kernel {
    fn attached_mounts(&self) -> impl Iterator<Item = MountId> {
        self.vfs.mounts.iter().filter(|(_, mount)| mount.attached).map(|(mnt, _)| *mnt)
    }

    /// /proc/PID/mounts.
    pub(crate) fn proc_mounts(&self) -> String {
        let line = |mnt| self.vfs.show_vfsmnt(mnt, self.vfs.root);
        self.attached_mounts().filter_map(line).collect()
    }

    /// /proc/PID/mountinfo.
    pub(crate) fn proc_mountinfo(&self) -> String {
        let line = |mnt| self.vfs.show_mountinfo(mnt, self.vfs.root);
        self.attached_mounts().filter_map(line).collect()
    }
}
