//! What opening a file of procfs does: most texts are made when they are read, by then with the
//! opener's eyes. Neighbours: `mod`, `task` (the files of a process), `task/id_map`.

use super::ProcNode;
use super::task::PidFile;
use crate::abi::Errno;
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::InodeKind;
use crate::kernel::Kernel;
use crate::task::TaskId;

impl Kernel {
    /// .open of what asks who opens it, and when: EACCES for who would write `setgroups` and doesn't
    /// administer the namespace.
    pub(crate) fn proc_open(
        &mut self,
        task: TaskId,
        file: FileId,
        node: ProcNode,
    ) -> Result<(), Errno> {
        self.files[file].f_cred = Some(Box::new(self.tasks[task].cred.clone()));
        match node {
            ProcNode::File(target, PidFile::Mountinfo | PidFile::Mounts) => {
                self.mounts_open(file, target)
            }
            ProcNode::File(target, PidFile::Setgroups) if self.files[file].flags.writable() => {
                self.setgroups_open(task, target)
            }
            _ => Ok(()), // texts are made when they are read
        }
    }

    /// seq_open() takes FMODE_PWRITE away from a file that it makes the text of.
    pub(crate) fn is_seq_file(&self, file: FileId) -> bool {
        let dentry = self.files[file].dentry().filter(|_| self.files[file].kind == FileKind::Inode);
        dentry.is_some_and(|dentry| match self.vfs.inode(dentry).kind {
            InodeKind::Proc(ProcNode::File(_, file)) => file != PidFile::OomScoreAdj,
            _ => false,
        })
    }
}
