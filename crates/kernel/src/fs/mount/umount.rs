//! umount2(2): a file system leaves the tree, at once if nobody uses it (else EBUSY), with
//! MNT_DETACH in any case; then it goes when its last user does. Neighbours: `calls`, `dcache`,
//! `inotify` (whoever watched hears of it).

use super::{Mount, dev};
use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::dcache::{Child, DentryId};
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
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
        let at = self.user_path_at(call.task, AT_FDCWD, &path, lookup, call.user)?;
        if !self.tasks[call.task].cred.capable(Cap::SysAdmin) {
            return Err(Errno::EPERM.into());
        }
        let index = self.mount_at(at)?;
        let dev = self.vfs.mounts[index].dev;
        if dev < dev::FIRST_MOUNTED {
            // Linux would let it go; here the kernel itself relies on it.
            let what = String::from_utf8_lossy(&path).into_owned();
            self.tell(Some(call.task), Fact::unsupported("umount of the boot's", what));
            return Err(Errno::EBUSY.into());
        }
        self.do_umount(index, flags)?;
        self.release_dead_objects(call.user);
        Ok(0)
    }

    /// do_umount().
    fn do_umount(&mut self, index: usize, flags: u32) -> Result<(), Errno> {
        let Mount { dev, root, expiry, .. } = self.vfs.mounts[index];
        let busy = self.is_mount_busy(dev) || self.has_mounts_on(dev);
        if flags & raw::MNT_EXPIRE != 0 {
            if flags & (raw::MNT_FORCE | raw::MNT_DETACH) != 0 {
                return Err(Errno::EINVAL);
            }
            if busy {
                return Err(Errno::EBUSY);
            }
            if !expiry {
                self.vfs.mounts[index].expiry = true;
                return Err(Errno::EAGAIN);
            }
        }
        if busy && flags & raw::MNT_DETACH == 0 {
            return Err(Errno::EBUSY);
        }
        self.detach_mount(root);
        Ok(())
    }

    /// Is anything mounted on a directory of `dev`?
    fn has_mounts_on(&self, dev: u32) -> bool {
        self.vfs.mounts.iter().any(|mount| {
            let covered = self.vfs.dentries[mount.root].covers;
            covered.is_some_and(|dentry| self.vfs.inode(dentry).dev == dev)
        })
    }

    /// umount_tree(): this mount and all that are on it leave the tree.
    fn detach_mount(&mut self, root: DentryId) {
        let dev = self.vfs.inode(root).dev;
        let on_it = |mount: &&Mount| {
            let covered = self.vfs.dentries[mount.root].covers;
            covered.is_some_and(|dentry| self.vfs.inode(dentry).dev == dev)
        };
        let above: Vec<DentryId> =
            self.vfs.mounts.iter().filter(on_it).map(|mount| mount.root).collect();
        for root in above {
            self.detach_mount(root);
        }
        if let Some(mount) = self.vfs.mounts.iter_mut().find(|mount| mount.root == root) {
            mount.attached = false;
        }
        if let Some(covered) = self.vfs.dentries[root].covers.take() {
            self.vfs.dentries[covered].mounted = None;
            self.dput(covered);
        }
    }

    /// kill_litter_super() of each file system that is in no tree and that nobody uses any more.
    pub(crate) fn release_detached(&mut self) {
        if self.vfs.mounts.iter().all(|mount| mount.attached) {
            return;
        }
        let dead = |mount: &&Mount| !mount.attached && !self.is_mount_busy(mount.dev);
        let dead: Vec<(u32, DentryId)> =
            self.vfs.mounts.iter().filter(dead).map(|mount| (mount.dev, mount.root)).collect();
        for (dev, root) in dead {
            self.fsnotify_unmount(dev);
            self.shrink_dcache_for_umount(root);
            self.vfs.mounts.retain(|mount| mount.dev != dev);
            self.vfs.shmem.remove(&dev);
        }
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
