//! Trees of mounts: what is on what, copies of them, and putting one somewhere. Neighbours:
//! `bind` (mount(2) of what is mounted already), `namespace` (a tree for each), `umount`.

use super::namespace::MntNs;
use super::{Mount, MountId};
use crate::abi::Errno;
use crate::fs::dcache::{DentryId, Vfs};
use crate::fs::path::Path;
use crate::kernel::Kernel;

/// mnt_id of the first mount. Unlike Linux, which begins with its own mounts.
const FIRST_MNT_ID: u64 = 20;

impl Vfs {
    /// mnt_alloc_id(): the lowest that is free.
    pub(super) fn free_mnt_id(&self) -> u64 {
        let mounts = self.mounts.values().map(|mount| mount.id);
        let spaces = self.mnt_namespaces.known.values().map(|ns| ns.rootfs);
        let taken: Vec<u64> = mounts.chain(spaces).collect();
        (FIRST_MNT_ID..).find(|id| !taken.contains(id)).expect("numbers do not end")
    }

    /// alloc_vfsmnt(): one that is in no tree yet.
    pub(super) fn alloc_vfsmnt(
        &mut self,
        dev: u32,
        root: DentryId,
        source: Vec<u8>,
        flags: u32,
    ) -> MountId {
        let id = self.free_mnt_id();
        self.mnt_id_ctr += 1;
        let mnt = MountId(self.mnt_id_ctr);
        self.dget(root);
        let (parent, ns, expiry) = (None, None, false);
        self.mounts.insert(mnt, Mount { id, dev, root, source, flags, parent, ns, expiry });
        mnt
    }

    /// clone_mnt(): another one of the same file system, with its root at `root`.
    pub(super) fn clone_mnt(&mut self, mnt: MountId, root: DentryId) -> MountId {
        let Mount { dev, source, flags, .. } = self.mounts[&mnt].clone();
        self.alloc_vfsmnt(dev, root, source, flags)
    }

    /// The mounts that are on this one, the oldest first.
    pub(super) fn mounts_on(&self, mnt: MountId) -> impl Iterator<Item = MountId> {
        let on_it = move |mount: &Mount| mount.parent.is_some_and(|at| at.mnt == mnt);
        self.mounts.iter().filter(move |(_, mount)| on_it(mount)).map(|(mnt, _)| *mnt)
    }

    /// It and all that are on it and on those, as next_mnt() goes through them.
    pub(super) fn mount_tree(&self, mnt: MountId) -> Vec<MountId> {
        let mut tree = Vec::new();
        let mut todo = vec![mnt];
        while let Some(at) = todo.pop() {
            tree.push(at);
            let mut above: Vec<MountId> = self.mounts_on(at).collect();
            above.reverse();
            todo.append(&mut above);
        }
        tree
    }

    /// copy_tree(): a copy of the mount, with its root at `from`, and of all that are on it below
    /// that.
    pub(super) fn copy_tree(&mut self, from: Path) -> MountId {
        let copy = self.clone_mnt(from.mnt, from.dentry);
        self.copy_mounts_on(from.mnt, copy);
        copy
    }

    fn copy_mounts_on(&mut self, old: MountId, new: MountId) {
        let root = self.mounts[&new].root;
        for mnt in self.mounts_on(old).collect::<Vec<_>>() {
            let Mount { root: mnt_root, parent, .. } = self.mounts[&mnt];
            let at = parent.expect("it is on one").dentry;
            if self.is_subdir(at, root) {
                let copy = self.clone_mnt(mnt, mnt_root);
                self.attach_mnt(copy, Path { mnt: new, dentry: at });
                self.copy_mounts_on(mnt, copy);
            }
        }
    }

    /// attach_mnt(): `mnt` is seen at `at` from now on, whatever was seen there before.
    pub(super) fn attach_mnt(&mut self, mnt: MountId, at: Path) {
        self.mounts.get_mut(&mnt).expect("somebody just made it").parent = Some(at);
        self.dget(at.dentry);
        self.dentries[at.dentry].mounted += 1;
        self.mountpoints.insert(at, mnt);
    }

    /// detach_mnt(): it is nowhere now. Gives where it was, for the caller to put.
    pub(super) fn detach_mnt(&mut self, mnt: MountId) -> Option<Path> {
        let at = self.mounts.get_mut(&mnt)?.parent.take()?;
        self.mountpoints.remove(&at);
        self.dentries[at.dentry].mounted -= 1;
        Some(at)
    }

    /// commit_tree(): a tree belongs to a namespace from now on.
    pub(super) fn commit_tree(&mut self, mnt: MountId, ns: MntNs) {
        for mnt in self.mount_tree(mnt) {
            self.mounts.get_mut(&mnt).expect("it is in the tree").ns = Some(ns);
        }
    }
}

impl Kernel {
    /// graft_tree(): puts a tree that is nowhere on `at`. ENOTDIR for a directory on a file and a
    /// file on a directory, ENOENT where the directory was removed.
    pub(super) fn graft_tree(&mut self, mnt: MountId, at: Path) -> Result<(), Errno> {
        let root = self.vfs.mounts[&mnt].root;
        if self.vfs.inode(at.dentry).is_dir() != self.vfs.inode(root).is_dir() {
            return Err(Errno::ENOTDIR);
        }
        self.attach_recursive_mnt(mnt, at);
        Ok(())
    }

    /// attach_recursive_mnt(): a tree is on `at` from now on, and in that one's namespace.
    pub(super) fn attach_recursive_mnt(&mut self, mnt: MountId, at: Path) {
        self.vfs.attach_mnt(mnt, at);
        if let Some(ns) = self.vfs.mounts[&at.mnt].ns {
            self.vfs.commit_tree(mnt, ns);
            self.touch_mnt_namespace(ns);
        }
    }
}
