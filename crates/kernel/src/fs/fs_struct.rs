//! `fs_struct` as processes share and copy it: root, working directory and umask. Neighbours:
//! `task/fork` (copy_fs), `task/exit` (exit_fs), `dcache` (whoever works in an unlinked directory
//! keeps it).

use crate::kernel::Kernel;
use crate::task::{Fs, FsId, TaskId};

impl Kernel {
    /// copy_fs_struct(): one of one's own, with the same contents.
    pub fn copy_fs_struct(&mut self, old: FsId) -> FsId {
        let copy = Fs { users: 1, ..self.fs_structs[old].clone() };
        self.fs_structs.insert(copy)
    }

    /// unshare_fs_struct(): one of one's own, if it was shared.
    pub fn unshare_fs(&mut self, task: TaskId) {
        let old = self.tasks[task].fs.expect("a living task has a working directory");
        if self.fs_structs[old].users > 1 {
            self.fs_structs[old].users -= 1;
            self.tasks[task].fs = Some(self.copy_fs_struct(old));
        }
    }

    /// current_chrooted(): is its root another than its mount namespace's?
    pub fn current_chrooted(&self, task: TaskId) -> bool {
        let fs = self.tasks[task].fs.map(|fs| &self.fs_structs[fs]);
        let top = self.vfs.mnt_ns_root(self.tasks[task].nsproxy.mnt);
        fs.is_some_and(|fs| Some(fs.root) != top)
    }

    /// free_fs_struct(): one user less; the last lets go of its directories.
    pub fn free_fs_struct(&mut self, fs: FsId) {
        self.fs_structs[fs].users -= 1;
        if self.fs_structs[fs].users > 0 {
            return;
        }
        if let Some(gone) = self.fs_structs.remove(fs) {
            self.dentry_reap(gone.pwd.dentry);
            self.dentry_reap(gone.root.dentry);
            self.release_detached();
        }
    }
}
