//! New inodes and their names: what open(O_CREAT), mkdir(2), mknod(2), symlink(2), bind(2) and
//! memfd_create(2) have in common. Neighbours: `dir` (the calls), `open`.

use crate::abi::Errno;
use crate::abi::stat::S_ISGID;
use crate::fs::dcache::DentryId;
use crate::fs::inode::{InodeId, InodeKind, MAY_EXEC, MAY_WRITE, in_group};
use crate::fs::mount::dev;
use crate::fs::procfs::ProcNode;
use crate::kernel::Kernel;
use crate::task::capability::Cap;
use crate::task::user_namespace::UserNs;
use crate::task::{Cred, TaskId};
use linux_raw_sys::general as raw;

impl Kernel {
    /// inode_permission(): generic_permission, after EROFS for file systems that never change.
    pub fn inode_permission(&self, dentry: DentryId, cred: &Cred, mask: u32) -> Result<(), Errno> {
        let inode = self.vfs.inode(dentry);
        let stored = inode.is_dir() || inode.is_reg() || inode.is_symlink();
        let sb = self.vfs.super_of(inode.dev).filter(|_| mask & MAY_WRITE != 0 && stored);
        if sb.is_some_and(|sb| sb.flags & raw::MS_RDONLY != 0) {
            return Err(Errno::EROFS);
        }
        if mask & MAY_WRITE != 0 && inode.is_immutable() {
            return Err(Errno::EPERM);
        }
        if mask & MAY_WRITE != 0
            && let InodeKind::Proc(ProcNode::System(file)) = inode.kind
            && file.is_sysctl()
            && inode.mode & 0o222 == 0
        {
            // proc_sys_permission(): not even root writes what has no write bit; ipc_permissions()
            // gives it to who restores processes.
            let caps = self.namespaces.user.caps_over(cred, UserNs::INIT);
            let restores = file.is_for_restorers() && caps.checkpoint_restore();
            return if restores { Ok(()) } else { Err(Errno::EACCES) };
        }
        inode.permission(&self.namespaces.user, cred, mask)
    }

    /// may_create(): may `task` put a new name into `dir`? ENOENT if the directory was removed.
    pub fn may_create(&self, task: TaskId, dir: DentryId) -> Result<(), Errno> {
        if !self.vfs.dentries[dir].hashed {
            return Err(Errno::ENOENT);
        }
        self.inode_permission(dir, &self.tasks[task].cred, MAY_WRITE | MAY_EXEC)
    }

    /// inode_init_owner(): a new inode as if made in `dir`, owned by `task`; `mode` is cut by the
    /// umask (links have none).
    pub fn new_inode_in(
        &mut self,
        task: TaskId,
        dir: DentryId,
        kind: InodeKind,
        mode: u32,
    ) -> Result<InodeId, Errno> {
        self.vfs.has_inode_left(self.vfs.inode(dir).dev)?;
        let is_dir = matches!(kind, InodeKind::Directory { .. });
        let mut mode = match kind {
            InodeKind::Symlink(_) => 0o777,
            _ => mode & !self.fs(task).umask & 0o7777,
        };
        let cred = &self.tasks[task].cred;
        let parent = self.vfs.inode(dir);
        let users = &self.namespaces.user;
        let (uid, mut gid) = (cred.fsuid, cred.fsgid);
        if parent.mode & S_ISGID != 0 {
            gid = parent.gid;
            if is_dir {
                mode |= S_ISGID;
            } else if mode & (S_ISGID | 0o010) == S_ISGID | 0o010
                && !in_group(cred, gid)
                && !users.caps_over_file(cred, parent.uid, gid).has(Cap::Fsetid)
            {
                mode &= !S_ISGID;
            }
        }
        let (dev, time) = (parent.dev, self.current_time());
        let inode = self.vfs.new_inode(dev, kind, mode, time);
        self.vfs.inodes[inode].uid = uid;
        self.vfs.inodes[inode].gid = gid;
        Ok(inode)
    }

    /// A new file named `name` in `dir`, where no such name is. EACCES, ENOENT by [`may_create`].
    ///
    /// [`may_create`]: Kernel::may_create
    pub fn create_in(
        &mut self,
        task: TaskId,
        dir: DentryId,
        name: &[u8],
        kind: InodeKind,
        mode: u32,
    ) -> Result<DentryId, Errno> {
        if self.vfs.is_proc(self.vfs.inode(dir).dev) {
            // Looking up what is not there says ENOENT before anybody asks for permission.
            return Err(Errno::ENOENT);
        }
        if self.vfs.inode(dir).dev == dev::DEVPTS {
            return Err(Errno::EACCES); // no .create
        }
        self.may_create(task, dir)?;
        let is_dir = matches!(kind, InodeKind::Directory { .. });
        if self.vfs.is_cgroup(dir) && !is_dir {
            // No .create; and none of the others.
            let file = matches!(kind, InodeKind::Regular(_));
            return Err(if file { Errno::EACCES } else { Errno::EPERM });
        }
        let inode = self.new_inode_in(task, dir, kind, mode)?;
        if is_dir {
            self.vfs.count_subdir(dir, true);
        }
        self.touch_dir(dir);
        let dentry = self.vfs.d_add(dir, name, inode);
        self.fsnotify_create(dir, dentry);
        Ok(dentry)
    }

    /// The names in `dir` changed: mtime and ctime.
    pub fn touch_dir(&mut self, dir: DentryId) {
        let time = self.current_time();
        let inode = self.vfs.inode_mut(dir);
        (inode.mtime, inode.ctime) = (time, time);
    }
}
