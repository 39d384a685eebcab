//! mount(2) of what is mounted already: MS_BIND shows a part of the tree at another place too,
//! MS_MOVE takes a mount elsewhere; pivot_root(2) changes the places of two. Neighbours: `calls`,
//! `tree`.

use super::MountId;
use super::tree::CloneAs;
use crate::abi::Errno;
use crate::fs::inode::InodeKind;
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::fs::path::Path;
use crate::fs::procfs::ProcNode;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;

impl Kernel {
    /// lock_mount(): what a new mount would be on. ENOENT for what lost its name, and for a link
    /// of /proc/PID/fd and a file of fdinfo, which others would fall for (dont_mount()).
    pub(super) fn lock_mount(&self, at: Path) -> Result<Path, Errno> {
        let there = self.vfs.traverse_mounts(at);
        let cant_mount = match self.vfs.inode(there.dentry).kind {
            InodeKind::Proc(node) => matches!(node, ProcNode::Fd(..) | ProcNode::Fdinfo(..)),
            _ => false, // not procfs
        };
        let gone = !self.vfs.dentries[there.dentry].hashed;
        if gone || cant_mount { Err(Errno::ENOENT) } else { Ok(there) }
    }

    /// do_loopback(): what is at `from`, with MS_REC all that is mounted below too, is seen at `at`.
    pub(super) fn do_loopback(
        &mut self,
        task: TaskId,
        from: Path,
        at: Path,
        recurse: bool,
    ) -> Result<(), Errno> {
        let at = self.lock_mount(at)?;
        if !self.check_mnt(task, at.mnt) || !self.check_mnt(task, from.mnt) {
            return Err(Errno::EINVAL);
        }
        if self.vfs.mounts[&from.mnt].unbindable {
            return Err(Errno::EINVAL);
        }
        if !recurse && self.vfs.has_locked_children(from) {
            return Err(Errno::EINVAL);
        }
        let copy = match recurse {
            true => self.vfs.copy_tree(from, CloneAs::Peer, false),
            false => self.vfs.clone_mnt(from.mnt, from.dentry, CloneAs::Peer),
        };
        self.vfs.mounts.get_mut(&copy).expect("it was just made").locked = false;
        self.graft_tree(copy, at).inspect_err(|_| self.umount_tree(copy))
    }

    /// do_move_mount(): EINVAL for what is no mount, not in this namespace or on a shared mount; ELOOP
    /// onto itself, as the root always is.
    pub(super) fn do_move_mount(
        &mut self,
        task: TaskId,
        from: Path,
        at: Path,
    ) -> Result<(), Errno> {
        let at = self.lock_mount(at)?;
        let on = self.vfs.mounts[&from.mnt].parent;
        let shared = |mnt: MountId| self.vfs.mounts[&mnt].group.is_some();
        let unbindable = |mnt: &MountId| self.vfs.mounts[mnt].unbindable;
        let is_dir = |path: Path| self.vfs.inode(path.dentry).is_dir();
        if !self.check_mnt(task, at.mnt)
            || !self.check_mnt(task, from.mnt)
            || !self.vfs.is_mount_root(from)
            || self.vfs.mounts[&from.mnt].locked
            || on.is_some_and(|on| shared(on.mnt))
            || is_dir(from) != is_dir(at)
            || shared(at.mnt) && self.vfs.mount_tree(from.mnt).iter().any(unbindable)
        {
            return Err(Errno::EINVAL);
        }
        if self.vfs.lineage(at.mnt).contains(&from.mnt) {
            return Err(Errno::ELOOP);
        }
        let old = self.vfs.detach_mnt(from.mnt);
        self.attach_recursive_mnt(from.mnt, at);
        if let Some(old) = old {
            self.path_put(old);
        }
        Ok(())
    }

    /// pivot_root(2): the root of the caller's namespace goes to `put_old`, `new_root` takes its
    /// place; so do all processes that were there.
    pub fn sys_pivot_root(&mut self, call: &mut Call<'_>) -> SysResult {
        let task = call.task;
        self.may_mount(task)?;
        let lookup = Lookup { directory: true, ..Lookup::FOLLOW };
        let path = call.read_path(call.ptr(0))?;
        let new = self.user_path_at(task, AT_FDCWD, &path, lookup, call.user)?;
        let path = call.read_path(call.ptr(1))?;
        let old = self.user_path_at(task, AT_FDCWD, &path, lookup, call.user)?;
        let (old, root) = (self.lock_mount(old)?, self.fs(task).root);
        self.may_pivot_root(task, root, new, old)?;
        let covered = self.vfs.detach_mnt(new.mnt);
        let place = self.vfs.detach_mnt(root.mnt);
        self.vfs.attach_mnt(root.mnt, old);
        let ns = self.tasks[task].nsproxy.mnt;
        match place {
            Some(place) => self.vfs.attach_mnt(new.mnt, place),
            None => self.vfs.mnt_ns_mut(ns).root = Some(new.mnt),
        }
        self.touch_mnt_namespace(ns);
        for put in [covered, place].into_iter().flatten() {
            self.path_put(put);
        }
        self.chroot_fs_refs(root, new);
        Ok(0)
    }

    /// The checks of path_pivot_root(), in their order.
    fn may_pivot_root(&self, task: TaskId, root: Path, new: Path, old: Path) -> Result<(), Errno> {
        let shared = |mnt: MountId| self.vfs.mounts[&mnt].group.is_some();
        let on = |mnt: MountId| self.vfs.mounts[&mnt].parent.map(|at| at.mnt);
        if shared(old.mnt)
            || on(new.mnt).is_some_and(shared)
            || on(root.mnt).is_some_and(shared)
            || !self.check_mnt(task, root.mnt)
            || !self.check_mnt(task, new.mnt)
            || self.vfs.mounts[&new.mnt].locked
        {
            return Err(Errno::EINVAL);
        }
        if !self.vfs.dentries[new.dentry].hashed {
            return Err(Errno::ENOENT);
        }
        if new.mnt == root.mnt || old.mnt == root.mnt {
            return Err(Errno::EBUSY);
        }
        // What Linux asks besides, that the root is on something, always holds: on the rootfs.
        if !self.vfs.is_mount_root(root)
            || !self.vfs.is_mount_root(new)
            || self.vfs.mounts[&new.mnt].parent.is_none()
            || !self.vfs.is_path_reachable(old, new)
            || !self.vfs.is_path_reachable(new, root)
        {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// chroot_fs_refs(): who was rooted or working at `old` is at `new`.
    fn chroot_fs_refs(&mut self, old: Path, new: Path) {
        for (_, fs) in self.fs_structs.iter_mut() {
            for path in [&mut fs.root, &mut fs.pwd] {
                if *path == old {
                    *path = new;
                }
            }
        }
    }
}

impl crate::fs::dcache::Vfs {
    /// A mount and those that it is on, up to the root.
    pub(super) fn lineage(&self, mnt: MountId) -> Vec<MountId> {
        let mut lineage = vec![mnt];
        let mut at = mnt;
        while let Some(parent) = self.mounts[&at].parent {
            at = parent.mnt;
            lineage.push(at);
        }
        lineage
    }

    /// has_locked_children(): would a copy without them show what is hidden?
    fn has_locked_children(&self, from: Path) -> bool {
        self.mounts.values().any(|mount| {
            let below = |at: Path| at.mnt == from.mnt && self.is_subdir(at.dentry, from.dentry);
            mount.locked && mount.parent.is_some_and(below)
        })
    }

    /// is_path_reachable(): does one come up to `root` from `path`?
    pub(super) fn is_path_reachable(&self, path: Path, root: Path) -> bool {
        let mut at = path;
        while at.mnt != root.mnt {
            match self.mounts[&at.mnt].parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        self.is_subdir(at.dentry, root.dentry)
    }
}
