//! A procfs as a whole: each mount(2) of one makes one, which shows the processes of its mounter's pid
//! namespace under their numbers there. Neighbours: `system` (the files without a process),
//! `fs/mount/super_block`.

use super::{ProcNode, system};
use crate::fs::dcache::{Child, DentryId, Vfs};
use crate::fs::inode::InodeKind;
use crate::kernel::Kernel;
use crate::task::pid_namespace::PidNs;

impl Vfs {
    /// proc_pid_ns(): whose numbers a procfs shows.
    pub(crate) fn proc_pid_ns(&self, dev: u32) -> PidNs {
        self.super_of(dev).map_or(PidNs::INIT, |sb| sb.pid_ns)
    }

    /// proc_fill_super(): the root of a procfs and the files that are there from its beginning.
    pub(crate) fn fill_proc(&mut self, root: DentryId) {
        self.inode_mut(root).kind = InodeKind::Proc(ProcNode::Root);
        self.inode_mut(root).mode = 0o555;
        let (time, dev) = (self.inode(root).mtime, self.inode(root).dev);
        let links = [("self", ProcNode::SelfLink), ("thread-self", ProcNode::ThreadSelf)];
        for (name, node) in links {
            let inode = self.new_inode(dev, InodeKind::Proc(node), node.mode(), time);
            self.d_add(root, name.as_bytes(), inode);
        }
        for (name, target) in [("mounts", "self/mounts"), ("net", "self/net")] {
            let kind = InodeKind::Symlink(target.into());
            let inode = self.new_inode(dev, kind, 0o777, time);
            self.d_add(root, name.as_bytes(), inode);
        }
        for (path, file) in system::FILES {
            let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
            let dir = self.ensure_dir_in(root, dir.as_bytes());
            self.inode_mut(dir).mode = 0o555;
            let kind = InodeKind::Proc(ProcNode::System(*file));
            let inode = self.new_inode(dev, kind, file.mode(), time);
            self.d_add(dir, name.as_bytes(), inode);
        }
    }
}

impl Kernel {
    /// proc_flush_pid(): directories of processes that were reaped go from this procfs.
    pub(super) fn proc_flush(&mut self, root: DentryId) {
        let known: Vec<DentryId> = self.vfs.dentries[root]
            .children
            .values()
            .filter_map(|child| if let Child::Dentry(d) = child { Some(*d) } else { None })
            .collect();
        for dentry in known {
            if !self.proc_revalidate(dentry) {
                self.d_invalidate(dentry);
            }
        }
    }

    /// d_invalidate(): a dentry of procfs and all below it leave the tree, with what is mounted there.
    pub(super) fn d_invalidate(&mut self, dentry: DentryId) {
        let mut gone = Vec::new();
        let mut todo = vec![dentry];
        while let Some(at) = todo.pop() {
            for child in self.vfs.dentries[at].children.values() {
                if let Child::Dentry(child) = child {
                    todo.push(*child);
                }
            }
            self.vfs.d_delete(at, false);
            gone.push(at);
        }
        for dentry in gone.into_iter().rev() {
            self.detach_mounts(dentry);
            self.dentry_reap(dentry);
        }
    }
}
