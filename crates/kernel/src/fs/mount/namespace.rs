//! Mount namespaces (mount_namespaces(7)): each has a tree of mounts of its own, first a copy of its
//! maker's, in which the maker's root and working directory move to the copies. A namespace dies
//! with the last process or descriptor that has it, and its tree is unmounted. Neighbours:
//! `task/nsproxy` (who has which), `tree` (copies), `show` (who reads a list keeps its namespace).

use super::MountId;
use super::tree::CloneAs;
use crate::abi::Errno;
use crate::fs::dcache::Vfs;
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::task::capability::Cap;
use crate::task::nsproxy::Namespace;
use crate::task::user_namespace::UserNs;
use crate::task::{FsId, TaskId};
use crate::wait_queue::Event;
use std::collections::BTreeMap;

/// Names a mount namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct MntNs(u32);

impl MntNs {
    /// The host's own.
    pub const INIT: MntNs = MntNs(0);
}

/// One mount namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MntNamespace {
    /// The root of its tree; None once that was unmounted.
    pub root: Option<MountId>,
    /// mnt_id of the rootfs that Linux has below the root. Nothing can be seen of it but this.
    pub rootfs: u64,
    /// Counts changes of the tree, for who polls a list of mounts.
    pub event: u64,
    /// The user namespace that it belongs to.
    pub owner: UserNs,
    /// The number of its file (/proc/PID/ns/mnt); the host's own is known elsewhere.
    pub inum: u32,
}

/// All of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MntNamespaces {
    /// By name.
    pub known: BTreeMap<MntNs, MntNamespace>,
    made: u32,
}

impl Vfs {
    /// alloc_mnt_ns(): one without a tree yet.
    pub(super) fn alloc_mnt_ns(&mut self, owner: UserNs, inum: u32) -> MntNs {
        let ns = MntNs(self.mnt_namespaces.made);
        self.mnt_namespaces.made += 1;
        let rootfs = if ns == MntNs::INIT { 1 } else { self.free_mnt_id() };
        let new = MntNamespace { root: None, rootfs, event: 0, owner, inum };
        self.mnt_namespaces.known.insert(ns, new);
        ns
    }

    /// One that somebody has.
    pub fn mnt_ns(&self, ns: MntNs) -> &MntNamespace {
        &self.mnt_namespaces.known[&ns]
    }

    pub(super) fn mnt_ns_mut(&mut self, ns: MntNs) -> &mut MntNamespace {
        self.mnt_namespaces.known.get_mut(&ns).expect("somebody has it")
    }

    /// What is seen at the root of a namespace.
    pub(crate) fn mnt_ns_root(&self, ns: MntNs) -> Option<Path> {
        let root = self.mnt_ns(ns).root?;
        Some(self.traverse_mounts(self.mnt_root(root)))
    }
}

impl Kernel {
    /// may_mount(): EPERM without CAP_SYS_ADMIN over what owns the mount namespace.
    pub(super) fn may_mount(&self, task: TaskId) -> Result<(), Errno> {
        let owner = self.vfs.mnt_ns(self.tasks[task].nsproxy.mnt).owner;
        if self.ns_capable(task, owner, Cap::SysAdmin) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// check_mnt(): is the mount in the namespace of `task`?
    pub(super) fn check_mnt(&self, task: TaskId, mnt: MountId) -> bool {
        self.vfs.mounts[&mnt].ns == Some(self.tasks[task].nsproxy.mnt)
    }

    /// touch_mnt_namespace(): who polls its list is told.
    pub(super) fn touch_mnt_namespace(&mut self, ns: MntNs) {
        self.vfs.mnt_ns_mut(ns).event += 1;
        self.publish_all(Event::Mounts(ns));
    }

    /// copy_mnt_ns(): a namespace with a copy of another one's tree; for another user namespace one
    /// that hears of mounts and tells of none, and shows all that hid something still hiding it. EINVAL where that has none any
    /// more. Unless somebody gets it, it goes with `release_mnt_namespaces`.
    pub(crate) fn copy_mnt_ns(
        &mut self,
        ns: MntNs,
        owner: UserNs,
        inum: u32,
    ) -> Result<MntNs, Errno> {
        let root = self.vfs.mnt_ns(ns).root.ok_or(Errno::EINVAL)?;
        let foreign = owner != self.vfs.mnt_ns(ns).owner;
        let new = self.vfs.alloc_mnt_ns(owner, inum);
        let kind = if foreign { CloneAs::SharedToSlave } else { CloneAs::Peer };
        let copy = self.vfs.copy_tree(self.vfs.mnt_root(root), kind, true);
        if foreign {
            self.vfs.lock_mnt_tree(copy);
        }
        self.vfs.commit_tree(copy, new);
        self.vfs.mnt_ns_mut(new).root = Some(copy);
        Ok(new)
    }

    /// The end of copy_mnt_ns(): root and working directory of `fs` are the same places in the copy
    /// `new`, which was made just now, of the tree of `old`.
    pub(crate) fn fs_struct_to_ns(&mut self, fs: FsId, old: MntNs, new: MntNs) {
        let (Some(from), Some(to)) = (self.vfs.mnt_ns(old).root, self.vfs.mnt_ns(new).root) else {
            return;
        };
        let pairs = self.vfs.mount_tree(from).into_iter().zip(self.vfs.mount_tree(to));
        let copies: BTreeMap<MountId, MountId> = pairs.collect();
        let fs = &mut self.fs_structs[fs];
        for path in [&mut fs.root, &mut fs.pwd] {
            path.mnt = copies.get(&path.mnt).copied().unwrap_or(path.mnt);
        }
    }

    /// mntns_install(), its checks: EINVAL while the working directory is shared.
    pub(crate) fn may_enter_mnt_ns(&self, task: TaskId) -> Result<(), Errno> {
        let fs = self.tasks[task].fs.expect("a living task has an fs_struct");
        if self.fs_structs[fs].users == 1 { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// mntns_install(): root and working directory are the namespace's root.
    pub(crate) fn enter_mnt_ns(&mut self, task: TaskId, ns: MntNs) {
        if let Some(root) = self.vfs.mnt_ns_root(ns) {
            let fs = self.tasks[task].fs.expect("a living task has an fs_struct");
            self.set_fs_pwd(fs, root);
            self.set_fs_root(fs, root);
        }
    }

    /// Has anybody this namespace: a process, a descriptor of its file or of a list of its mounts?
    fn is_mnt_ns_used(&self, ns: MntNs) -> bool {
        let has = |task: &crate::task::Task| task.fs.is_some() && task.nsproxy.mnt == ns;
        self.tasks.iter().any(|(_, task)| has(task))
            || self.anon.holds_namespace(Namespace::Mnt(ns))
            || self.vfs.mount_lists.values().any(|list| list.ns == ns)
    }

    /// put_mnt_ns() of all that nobody has any more: their trees are unmounted.
    pub(crate) fn release_mnt_namespaces(&mut self) {
        if self.vfs.mnt_namespaces.known.len() == 1 {
            return;
        }
        let known = self.vfs.mnt_namespaces.known.keys().copied();
        let dead = |ns: &MntNs| *ns != MntNs::INIT && !self.is_mnt_ns_used(*ns);
        for ns in known.filter(dead).collect::<Vec<_>>() {
            if let Some(root) = self.vfs.mnt_ns(ns).root {
                self.umount_tree(root);
            }
            self.vfs.mnt_namespaces.known.remove(&ns);
        }
        self.release_detached();
    }
}
