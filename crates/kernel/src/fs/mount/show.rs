//! /proc/PID/mounts and /proc/PID/mountinfo (proc(5)): one line for each mount that is in the tree,
//! in the order of mounting. Neighbours: `fs/procfs/task`.

use super::Mount;
use crate::fs::dcache::Vfs;
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
    /// Where a mount is seen.
    fn mount_path(&self, mount: &Mount) -> Vec<u8> {
        self.d_path(mount.root, self.root)
    }

    /// mnt_id of the mount that a mount is on; the root's own is on 1.
    fn mount_parent(&self, mount: &Mount) -> u64 {
        let covered = self.dentries[mount.root].covers;
        let parent = covered.and_then(|dentry| self.mount_of(self.inode(dentry).dev));
        parent.map_or(1, |parent| parent.id)
    }

    fn own_options(&self, mount: &Mount) -> String {
        self.shmem.get(&mount.dev).map_or_else(|| mount.options.clone(), |sb| sb.show())
    }
}

impl Kernel {
    fn attached_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.vfs.mounts.iter().filter(|mount| mount.attached)
    }

    /// show_vfsmnt().
    pub(crate) fn proc_mounts(&self) -> String {
        let line = |m: &Mount| {
            format!(
                "{} {} {} {}{}{}{} 0 0\n",
                mangle(&m.source),
                mangle(&self.vfs.mount_path(m)),
                m.fstype,
                ro(m.is_readonly()),
                words(m.sb_flags, &SB_OPTIONS),
                words(m.flags, &MNT_OPTIONS),
                self.vfs.own_options(m)
            )
        };
        self.attached_mounts().map(line).collect()
    }

    /// show_mountinfo().
    pub(crate) fn proc_mountinfo(&self) -> String {
        let line = |m: &Mount| {
            format!(
                "{} {} 0:{} / {} {}{} - {} {} {}{}{}\n",
                m.id,
                self.vfs.mount_parent(m),
                m.dev,
                mangle(&self.vfs.mount_path(m)),
                ro(m.has(raw::MS_RDONLY)),
                words(m.flags, &MNT_OPTIONS),
                m.fstype,
                mangle(&m.source),
                ro(m.sb_flags & raw::MS_RDONLY != 0),
                words(m.sb_flags, &SB_OPTIONS),
                self.vfs.own_options(m)
            )
        };
        self.attached_mounts().map(line).collect()
    }
}
