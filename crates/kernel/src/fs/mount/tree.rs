//! Trees of mounts: what is on what, copies of them, and putting one somewhere. Neighbours:
//! `bind` (mount(2) of what is mounted already), `namespace` (a tree for each), `umount`.

use super::namespace::MntNs;
use super::{Mount, MountId};
use crate::abi::Errno;
use crate::fs::dcache::{DentryId, Vfs};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::task::user_namespace::UserNs;
use linux_raw_sys::general as raw;

/// mnt_id of the first mount. Unlike Linux, which begins with its own mounts.
const FIRST_MNT_ID: u64 = 20;

/// How a copy of a mount hears of what happens on the original (CL_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloneAs {
    /// As that does: a peer of a shared one, a slave of the same master.
    Peer,
    /// CL_SLAVE: as its slave.
    Slave,
    /// CL_SHARED_TO_SLAVE: as its slave if it is shared, else as it does.
    SharedToSlave,
    /// CL_SLAVE | CL_MAKE_SHARED: as its slave, and the first of a group.
    SharedSlave,
}

/// In `locked_flags`: access times are as they are (MNT_LOCK_ATIME).
pub(super) const LOCK_ATIME: u32 = 1 << 31;

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
        let mount = Mount {
            id,
            dev,
            root,
            source,
            flags,
            parent: None,
            ns: None,
            group: None,
            master: None,
            unbindable: false,
            locked: false,
            locked_flags: 0,
        };
        self.mounts.insert(mnt, mount);
        mnt
    }

    /// clone_mnt(): another one of the same file system, with its root at `root`. Copies of
    /// unbindable ones, in a new namespace, are not unbindable (measured on 6.18).
    pub(super) fn clone_mnt(&mut self, mnt: MountId, root: DentryId, kind: CloneAs) -> MountId {
        let Mount { dev, source, flags, group, master, locked, locked_flags, .. } =
            self.mounts[&mnt].clone();
        let (group, master) = match kind {
            CloneAs::Peer => (group, master),
            CloneAs::Slave => (None, group),
            CloneAs::SharedToSlave => (None, group.or(master)),
            CloneAs::SharedSlave => (Some(self.alloc_group_id()), group),
        };
        let copy = self.alloc_vfsmnt(dev, root, source, flags);
        let mount = self.mounts.get_mut(&copy).expect("it was just made");
        (mount.group, mount.master) = (group, master);
        (mount.locked, mount.locked_flags) = (locked, locked_flags);
        copy
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
    /// that; of unbindable ones only with `all` (CL_COPY_UNBINDABLE).
    pub(super) fn copy_tree(&mut self, from: Path, kind: CloneAs, all: bool) -> MountId {
        let top = self.clone_mnt(from.mnt, from.dentry, kind);
        let mut todo = vec![(from.mnt, top)];
        while let Some((old, new)) = todo.pop() {
            let root = self.mounts[&new].root;
            let on_old: Vec<MountId> = self.mounts_on(old).collect();
            let mut copied = Vec::new();
            for mnt in on_old {
                let Mount { root: mnt_root, parent, unbindable, .. } = self.mounts[&mnt];
                let at = parent.expect("it is on one").dentry;
                if self.is_subdir(at, root) && (all || !unbindable) {
                    let copy = self.clone_mnt(mnt, mnt_root, kind);
                    self.attach_mnt(copy, Path { mnt: new, dentry: at });
                    copied.push((mnt, copy));
                }
            }
            todo.extend(copied.into_iter().rev());
        }
        top
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
        // Something else may have taken its place already.
        if self.mountpoints.get(&at) == Some(&mnt) {
            self.mountpoints.remove(&at);
        }
        self.dentries[at.dentry].mounted -= 1;
        Some(at)
    }

    /// mnt_change_mountpoint(): it is elsewhere now.
    pub(super) fn change_mountpoint(&mut self, mnt: MountId, at: Path) {
        if let Some(old) = self.detach_mnt(mnt) {
            self.attach_mnt(mnt, at);
            // Nobody unlinked it: something is mounted there.
            self.dentries[old.dentry].count -= 1;
        }
    }

    /// lock_mnt_tree(): none of it can be taken away on its own, and what it forbids stays forbidden.
    pub(super) fn lock_mnt_tree(&mut self, mnt: MountId) {
        let kept = raw::MS_RDONLY | raw::MS_NODEV | raw::MS_NOSUID | raw::MS_NOEXEC;
        for id in self.mount_tree(mnt) {
            let mount = self.mounts.get_mut(&id).expect("it is in the tree");
            mount.locked_flags = LOCK_ATIME | mount.flags & kept;
            mount.locked = id != mnt;
        }
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

    /// attach_recursive_mnt(): a tree is on `at` from now on, and in that one's namespace; copies of
    /// it are wherever `at` is seen by peers and slaves, below what is mounted there already.
    pub(super) fn attach_recursive_mnt(&mut self, mnt: MountId, at: Path) {
        let copies = self.vfs.propagate_mnt(at, mnt);
        self.attach_and_commit(mnt, at);
        for (copy, at) in copies {
            if let Some(before) = self.vfs.lookup_mnt(at) {
                let above = self.vfs.mnt_root(copy);
                self.vfs.change_mountpoint(before, above);
            }
            self.attach_and_commit(copy, at);
            if self.owner_of_tree(mnt) != self.owner_of_tree(copy) {
                self.vfs.lock_mnt_tree(copy);
            }
        }
    }

    /// The user namespace that the tree of a mount belongs to.
    fn owner_of_tree(&self, mnt: MountId) -> Option<UserNs> {
        self.vfs.mounts[&mnt].ns.map(|ns| self.vfs.mnt_ns(ns).owner)
    }

    fn attach_and_commit(&mut self, mnt: MountId, at: Path) {
        self.vfs.attach_mnt(mnt, at);
        if let Some(ns) = self.vfs.mounts[&at.mnt].ns {
            self.vfs.commit_tree(mnt, ns);
            self.touch_mnt_namespace(ns);
        }
    }
}
