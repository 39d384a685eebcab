//! /proc/PID/mounts and /proc/PID/mountinfo (proc(5)): one line for each mount of the process's
//! namespace that can be seen from its root. What is shown is settled when the file is opened; poll(2)
//! tells of changes. Neighbours: `fs/procfs`, `namespace`.

use super::namespace::MntNs;
use super::{Mount, MountId, dev};
use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::cgroup::kernfs_path_from_node;
use crate::fs::dcache::Vfs;
use crate::fs::file::FileId;
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::task::TaskId;
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
    fn rootfs_id(&self, root: &Mount) -> u64 {
        root.ns.map_or(1, |ns| self.mnt_ns(ns).rootfs)
    }

    /// show_sb_opts() and show_options().
    fn super_options(&self, dev: u32) -> String {
        let flags = self.supers[&dev].flags;
        let own = match dev {
            dev::CGROUP2 => self.cgroup_flags.show(),
            _tmpfs_or_none => self.shmem.get(&dev).map_or_else(String::new, |sb| sb.show()),
        };
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

    /// The optional fields of mountinfo.
    fn propagation_words(&self, mnt: MountId, root: Path) -> String {
        let m = &self.mounts[&mnt];
        let mut words = m.group.map_or_else(String::new, |group| format!(" shared:{group}"));
        if let Some(master) = m.master {
            words += &format!(" master:{master}");
            let from = self.dominating_id(mnt, root).filter(|from| *from != master);
            words += &from.map_or_else(String::new, |from| format!(" propagate_from:{from}"));
        }
        words + if m.unbindable { " unbindable" } else { "" }
    }

    /// show_mountinfo(). The root of the tree is on mount 1. Control groups are told as seen from
    /// `cgroup_root`.
    fn show_mountinfo(&self, mnt: MountId, root: Path, cgroup_root: &[u8]) -> Option<String> {
        let m = &self.mounts[&mnt];
        let sb = &self.supers[&m.dev];
        let path = match m.dev {
            dev::CGROUP2 => kernfs_path_from_node(&self.dentry_path(m.root), cgroup_root),
            _same_for_all => self.dentry_path(m.root),
        };
        Some(format!(
            "{} {} 0:{} {} {} {}{}{} - {} {} {}{}\n",
            m.id,
            m.parent.map_or_else(|| self.rootfs_id(m), |at| self.mounts[&at.mnt].id),
            m.dev,
            mangle(&path),
            mangle(&self.path_below(self.mnt_root(mnt), root)?),
            ro(m.has(raw::MS_RDONLY)),
            words(m.flags, &MNT_OPTIONS),
            self.propagation_words(mnt, root),
            sb.fstype,
            mangle(&m.source),
            ro(sb.flags & raw::MS_RDONLY != 0),
            self.super_options(m.dev)
        ))
    }
}

/// What an open list of mounts shows (struct proc_mounts).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountList {
    /// Whose mounts.
    pub ns: MntNs,
    /// As seen from where.
    pub root: Path,
    /// Which changes of the namespace poll(2) has told of.
    event: u64,
}

impl Kernel {
    /// mounts_open_common(): a list of the mounts of `task`. ENOENT, EINVAL for the dead.
    pub(crate) fn mounts_open(&mut self, file: FileId, task: TaskId) -> Result<(), Errno> {
        let fs = self.tasks[task].fs.ok_or(Errno::EINVAL)?;
        let (ns, root) = (self.tasks[task].nsproxy.mnt, self.fs_structs[fs].root);
        self.vfs.dget(root.dentry);
        let event = self.vfs.mnt_ns(ns).event;
        self.vfs.mount_lists.insert(file, MountList { ns, root, event });
        Ok(())
    }

    /// mounts_release().
    pub(crate) fn mounts_release(&mut self, file: FileId) {
        if let Some(list) = self.vfs.mount_lists.remove(&file) {
            self.path_put(list.root);
            self.release_mnt_namespaces();
        }
    }

    /// The text of an open list, one line for each mount, the oldest first.
    pub(crate) fn mounts_show(&self, file: FileId, info: bool) -> String {
        let Some(MountList { ns, root, .. }) = self.vfs.mount_lists.get(&file) else {
            return String::new();
        };
        let here = self.vfs.mounts.iter().filter(|(_, mount)| mount.ns == Some(*ns));
        // Unlike Linux, the reader is whose process opened it.
        let opener = self.files[file].opened_by.and_then(|pid| self.pids.task(pid));
        let cgroup_root = self.cgroup_ns_path(opener.unwrap_or(self.init_task()));
        let line = |(mnt, _): (&MountId, &Mount)| match info {
            true => self.vfs.show_mountinfo(*mnt, *root, &cgroup_root),
            false => self.vfs.show_vfsmnt(*mnt, *root),
        };
        here.filter_map(line).collect()
    }

    /// The namespace whose changes an open list waits for.
    pub(crate) fn mounts_of(&self, file: FileId) -> Option<MntNs> {
        self.vfs.mount_lists.get(&file).map(|list| list.ns)
    }

    /// mounts_poll(): POLLERR and POLLPRI when the tree changed. None for a file that is no list.
    pub(crate) fn mounts_poll(&self, file: FileId) -> Option<PollBits> {
        let list = self.vfs.mount_lists.get(&file)?;
        let changed = self.vfs.mnt_ns(list.ns).event != list.event;
        let news = if changed { PollBits::ERR | PollBits::PRI } else { PollBits(0) };
        Some(PollBits::IN | PollBits::RDNORM | news)
    }

    /// The rest of mounts_poll(): somebody was told, by poll(2), select(2) or an epoll set.
    pub(crate) fn mounts_polled(&mut self, file: FileId) {
        if let Some(ns) = self.mounts_of(file) {
            let event = self.vfs.mnt_ns(ns).event;
            self.vfs.mount_lists.get_mut(&file).expect("it was just there").event = event;
        }
    }
}
