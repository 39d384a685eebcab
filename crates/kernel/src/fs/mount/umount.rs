//! umount2(2): a file system leaves the tree, at once if nobody uses it (else EBUSY), with
//! MNT_DETACH in any case; then it goes when its last user does. Neighbours: `calls`, `dcache`,
//! `inotify` (whoever watched hears of it).

use super::MountId;
use crate::abi::Errno;
use crate::fs::dcache::DentryId;
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use linux_raw_sys::general as raw;

/// Do not follow a link at the end.
const UMOUNT_NOFOLLOW: u32 = 8;

impl Kernel {
    /// umount2(2).
    pub fn sys_umount2(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(1) as u32;
        let known = raw::MNT_FORCE | raw::MNT_DETACH | raw::MNT_EXPIRE | UMOUNT_NOFOLLOW;
        if flags & !known != 0 {
            return Err(Errno::EINVAL.into());
        }
        let path = call.read_path(call.ptr(0))?;
        let lookup = Lookup { follow: flags & UMOUNT_NOFOLLOW == 0, ..Lookup::NOFOLLOW };
        // The walk of this call is no use of the mount.
        let expiring = self.vfs.expiring.clone();
        let at = self.user_path_at(call.task, AT_FDCWD, &path, lookup, call.user)?;
        if expiring.contains(&at.mnt) {
            self.vfs.expiring.insert(at.mnt);
        }
        self.may_mount(call.task)?;
        let mnt = self.mount_at(call.task, at)?;
        if self.vfs.mounts[&mnt].locked {
            return Err(Errno::EINVAL.into());
        }
        self.do_umount(call.task, mnt, flags)?;
        self.release_dead_objects(call.user);
        Ok(0)
    }

    /// do_umount(). The caller's own root becomes read-only instead.
    fn do_umount(&mut self, task: TaskId, mnt: MountId, flags: u32) -> Result<(), Errno> {
        let own_root = self.fs(task).root.mnt == mnt;
        let busy = self.propagate_mount_busy(mnt);
        if flags & raw::MNT_EXPIRE != 0 {
            if own_root || flags & (raw::MNT_FORCE | raw::MNT_DETACH) != 0 {
                return Err(Errno::EINVAL);
            }
            if busy {
                return Err(Errno::EBUSY);
            }
            if self.vfs.expiring.insert(mnt) {
                return Err(Errno::EAGAIN);
            }
        }
        if own_root && flags & raw::MNT_DETACH == 0 {
            return self.sb_make_readonly(task, self.vfs.mounts[&mnt].dev);
        }
        if busy && flags & raw::MNT_DETACH == 0 {
            return Err(Errno::EBUSY);
        }
        let mut set = self.vfs.mount_tree(mnt);
        set.extend(self.vfs.propagate_umount(&set));
        self.umount_all(set);
        self.release_detached();
        Ok(())
    }

    /// Is `mnt`, or what would be unmounted with it, in use?
    fn propagate_mount_busy(&self, mnt: MountId) -> bool {
        self.is_mount_busy(mnt)
            || self.vfs.mounts_on(mnt).next().is_some()
            || self.vfs.unmounted_with(mnt).into_iter().any(|mnt| self.is_mount_busy(mnt))
    }

    /// umount_tree(): this mount and all that are on it leave their tree; nobody else hears of it.
    pub(super) fn umount_tree(&mut self, mnt: MountId) {
        self.umount_all(self.vfs.mount_tree(mnt));
    }

    /// The end of umount_tree().
    fn umount_all(&mut self, set: Vec<MountId>) {
        for mnt in set.into_iter().rev() {
            self.vfs.change_mnt_propagation(mnt, raw::MS_PRIVATE);
            let covered = self.vfs.detach_mnt(mnt);
            self.vfs.detached.push(mnt);
            self.vfs.expiring.remove(&mnt);
            let mount = self.vfs.mounts.get_mut(&mnt).expect("it was in the tree");
            if let Some(ns) = mount.ns.take() {
                let space = self.vfs.mnt_ns_mut(ns);
                space.root = space.root.filter(|root| *root != mnt);
                self.touch_mnt_namespace(ns);
            }
            if let Some(covered) = covered {
                self.path_put(covered);
            }
        }
    }

    /// __detach_mounts(): `dentry` lost its name; what other namespaces mounted there goes.
    pub(crate) fn detach_mounts(&mut self, dentry: DentryId) {
        if self.vfs.dentries.get(dentry).is_none_or(|d| d.mounted == 0) {
            return;
        }
        let there = |at: &Path| at.dentry == dentry;
        let mounts = self.vfs.mountpoints.iter().filter(|(at, _)| there(at));
        for mnt in mounts.map(|(_, mnt)| *mnt).collect::<Vec<_>>() {
            self.umount_tree(mnt);
        }
        self.release_detached();
    }

    /// is_local_mountpoint(): has the namespace of `task` something mounted on `dentry`?
    pub(crate) fn is_local_mountpoint(&self, task: TaskId, dentry: DentryId) -> bool {
        let here = |(at, mnt): (&Path, &MountId)| at.dentry == dentry && self.check_mnt(task, *mnt);
        self.vfs.dentries[dentry].mounted > 0 && self.vfs.mountpoints.iter().any(here)
    }

    /// cleanup_mnt() of each mount that is in no tree and that nobody uses any more. The host's
    /// first root is never forgotten: processes are born there.
    pub(crate) fn release_detached(&mut self) {
        if self.vfs.detached.is_empty() {
            return;
        }
        let dead = |mnt: &&MountId| **mnt != self.vfs.root.mnt && !self.is_mount_busy(**mnt);
        let dead: Vec<MountId> = self.vfs.detached.iter().filter(dead).copied().collect();
        for mnt in dead {
            self.vfs.detached.retain(|other| *other != mnt);
            if let Some(mount) = self.vfs.mounts.remove(&mnt) {
                self.dput(mount.root);
                self.deactivate_super(mount.dev);
            }
        }
    }
}
