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
