//! File systems: the types that mount(2) knows, how one is made, and its end with its last mount. tmpfs
//! and ramfs are made anew, procfs too, for the pid namespace of who mounts it; of sysfs, cgroup2
//! and devtmpfs there is one. Neighbours: `calls` (do_new_mount), `tmpfs`, `procfs/root`, `umount`.

use super::tmpfs::{self, ShmemOptions, ShmemSbInfo};
use super::{MountId, SuperBlock, dev};
use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::cgroup::CgroupRootFlags;
use crate::fs::dcache::{Child, DentryId, Vfs};
use crate::fs::inode::InodeKind;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::task::nsproxy::NsKind;
use crate::task::pid_namespace::PidNs;
use crate::task::user_namespace::UserNs;
use linux_raw_sys::general as raw;

/// RAMFS_MAGIC.
const RAMFS: u64 = 0x8584_58f6;
/// PROC_SUPER_MAGIC.
const PROC: u64 = 0x9fa0;

impl Kernel {
    /// vfs_get_tree(): the file system of this type, a new one where there can be several. EPERM
    /// without CAP_SYS_ADMIN over what it would belong to.
    pub(super) fn get_tree(
        &mut self,
        task: TaskId,
        fstype: &[u8],
        flags: u32,
        data: &[u8],
    ) -> Result<u32, Errno> {
        let pid_ns = self.task_active_pid_ns(task);
        let owner = match fstype {
            b"tmpfs" | b"ramfs" | b"sysfs" => self.tasks[task].cred.user_ns,
            b"proc" => self.pids.owner_of(pid_ns),
            b"devtmpfs" => UserNs::INIT,
            b"cgroup2" => self.owner_of(self.namespace_of(task, NsKind::Cgroup)),
            _ => {
                let what = format!("file system {}", String::from_utf8_lossy(fstype));
                self.tell(Some(task), Fact::unsupported("mount", what));
                return Err(Errno::ENODEV);
            }
        };
        if !self.ns_capable(task, owner, Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        match fstype {
            b"tmpfs" => self.shmem_get_tree(task, flags, data),
            b"ramfs" => self.ramfs_get_tree(task, flags, data),
            b"cgroup2" => {
                let flags = CgroupRootFlags::parse(data)?;
                self.apply_cgroup_root_flags(task, flags);
                Ok(dev::CGROUP2)
            }
            _ if !data.is_empty() => {
                let [fstype, data] = [fstype, data].map(String::from_utf8_lossy);
                self.tell(Some(task), Fact::unsupported("mount", format!("{fstype} -o {data}")));
                Err(Errno::EINVAL)
            }
            b"proc" => Ok(self.proc_get_tree(flags, owner, pid_ns)),
            b"sysfs" => Ok(dev::SYSFS),
            _devtmpfs => Ok(dev::DEVTMPFS),
        }
    }

    fn shmem_get_tree(&mut self, task: TaskId, flags: u32, data: &[u8]) -> Result<u32, Errno> {
        let options = self.shmem_options(task, data)?;
        let cred = &self.tasks[task].cred;
        let (owner, user_ns) = ((cred.fsuid, cred.fsgid), cred.user_ns);
        let info = ShmemSbInfo::new(&options, self.config.memory, owner);
        let dev = self.vfs.get_anon_bdev();
        let root = info.root();
        self.vfs.shmem.insert(dev, info);
        let root = self.new_root(dev, root);
        let (magic, pid_ns) = (tmpfs::MAGIC, PidNs::INIT);
        let sb = SuperBlock { root, fstype: "tmpfs", flags, magic, user_ns, pid_ns };
        self.vfs.supers.insert(dev, sb);
        Ok(dev)
    }

    /// ramfs knows one option and ignores all others.
    fn ramfs_get_tree(&mut self, task: TaskId, flags: u32, data: &[u8]) -> Result<u32, Errno> {
        let mut mode = 0o755;
        for word in String::from_utf8_lossy(data).split(',') {
            if let Some(octal) = word.strip_prefix("mode=") {
                mode = u32::from_str_radix(octal, 8).map_err(|_| Errno::EINVAL)? & 0o7777;
            }
        }
        let cred = &self.tasks[task].cred;
        let (owner, user_ns) = ((mode, cred.fsuid, cred.fsgid), cred.user_ns);
        let dev = self.vfs.get_anon_bdev();
        let root = self.new_root(dev, owner);
        let (magic, pid_ns) = (RAMFS, PidNs::INIT);
        let sb = SuperBlock { root, fstype: "ramfs", flags, magic, user_ns, pid_ns };
        self.vfs.supers.insert(dev, sb);
        Ok(dev)
    }

    fn proc_get_tree(&mut self, flags: u32, user_ns: UserNs, pid_ns: PidNs) -> u32 {
        let dev = self.vfs.get_anon_bdev();
        let root = self.new_root(dev, (0o555, 0, 0));
        let sb = SuperBlock { root, fstype: "proc", flags, magic: PROC, user_ns, pid_ns };
        self.vfs.supers.insert(dev, sb);
        self.vfs.fill_proc(root);
        dev
    }

    /// The root of a new file system, with its mode and owner.
    fn new_root(&mut self, dev: u32, (mode, uid, gid): (u32, u32, u32)) -> DentryId {
        let time = self.current_time();
        let kind = InodeKind::Directory { below: None, listed: true };
        let inode = self.vfs.new_inode(dev, kind, mode, time);
        (self.vfs.inodes[inode].uid, self.vfs.inodes[inode].gid) = (uid, gid);
        self.vfs.d_make_root(inode)
    }

    /// mount_too_revealing(): EPERM for a procfs or sysfs in a user namespace whose mounts have none
    /// that is seen whole: part of it was hidden on purpose.
    pub(super) fn mount_too_revealing(
        &self,
        task: TaskId,
        dev: u32,
        flags: u32,
    ) -> Result<(), Errno> {
        let ns = self.tasks[task].nsproxy.mnt;
        let fstype = self.vfs.supers[&dev].fstype;
        if self.vfs.mnt_ns(ns).owner == UserNs::INIT || !["proc", "sysfs"].contains(&fstype) {
            return Ok(());
        }
        let whole = |mnt: MountId| {
            let mount = &self.vfs.mounts[&mnt];
            let sb = &self.vfs.supers[&mount.dev];
            let kept = mount.locked_flags & raw::MS_RDONLY & !flags == 0;
            let hidden = |on: MountId| self.vfs.mounts[&on].locked;
            sb.fstype == fstype
                && mount.root == sb.root
                && kept
                && !self.vfs.mounts_on(mnt).any(hidden)
        };
        let mut here = self.vfs.mounts.iter().filter(|(_, mount)| mount.ns == Some(ns));
        if here.any(|(mnt, _)| whole(*mnt)) { Ok(()) } else { Err(Errno::EPERM) }
    }

    pub(super) fn shmem_options(
        &mut self,
        task: TaskId,
        data: &[u8],
    ) -> Result<ShmemOptions, Errno> {
        let parsed = ShmemOptions::parse(data, self.config.memory);
        let mut options = parsed.map_err(|(errno, ours)| {
            if let Some(option) = ours {
                self.tell(Some(task), Fact::unsupported("mount", format!("tmpfs option {option}")));
            }
            errno
        })?;
        if let Some(uid) = &mut options.uid {
            *uid = self.make_kuid(task, *uid)?;
        }
        if let Some(gid) = &mut options.gid {
            *gid = self.make_kgid(task, *gid)?;
        }
        Ok(options)
    }

    /// deactivate_super(): a file system that is mounted nowhere any more is gone. Those of the
    /// boot stay.
    pub(super) fn deactivate_super(&mut self, dev: u32) {
        if dev < dev::FIRST_MOUNTED || self.vfs.mounts.values().any(|mount| mount.dev == dev) {
            return;
        }
        let Some(root) = self.vfs.supers.get(&dev).map(|sb| sb.root) else { return };
        self.fsnotify_unmount(dev);
        self.shrink_dcache_for_umount(root);
        self.vfs.supers.remove(&dev);
        self.vfs.shmem.remove(&dev);
    }

    /// Frees all names below `root`, and it.
    fn shrink_dcache_for_umount(&mut self, root: DentryId) {
        let mut all = vec![root];
        let mut next = 0;
        while let Some(at) = all.get(next).copied() {
            for child in self.vfs.dentries[at].children.values() {
                if let Child::Dentry(child) = child {
                    all.push(*child);
                }
            }
            next += 1;
        }
        for dentry in all.into_iter().rev() {
            if dentry == root {
                let d = &mut self.vfs.dentries[root];
                (d.hashed, d.count) = (false, d.count - 1);
            } else {
                self.vfs.d_delete(dentry, false);
            }
            self.dentry_reap(dentry);
        }
    }
}

impl Vfs {
    /// get_anon_bdev(): the lowest number that no file system has.
    fn get_anon_bdev(&self) -> u32 {
        let mut number = dev::FIRST_MOUNTED;
        while self.supers.contains_key(&number) {
            number += 1;
        }
        number
    }
}
