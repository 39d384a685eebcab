//! What can be done with an open file description: one match per operation over all kinds, the
//! counterpart of Linux's `struct file_operations` (the article's `socket_file_ops` is the
//! `Socket` arm of each). Neighbours: `pipe`, `epoll`, `anon`, `console`, `inode`, `net/socket`.

use crate::fs::dcache::DentryId;
use crate::fs::fdtable::TableId;
use crate::fs::file::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::task::TaskId;

impl Kernel {
    /// .release: the last reference to a description went.
    pub fn file_release(&mut self, task: Option<TaskId>, file: FileId) {
        match self.files[file].kind {
            FileKind::Inode => {}
            FileKind::Pipe(_) => {}
            FileKind::Socket(socket) => self.sock_close(task, socket),
            FileKind::Epoll(_) => {}
            FileKind::Anon(_) => {}
            // Nothing is behind these that could be released.
            FileKind::Null | FileKind::Zero | FileKind::Urandom | FileKind::Console(_) => {}
        }
    }

    /// A few words for the story: `TCP 10.0.0.1:7000→10.0.0.2:40000`, `pipe:[3] (read)`, a path.
    pub fn describe_file(&self, file: FileId) -> String {
        match self.files[file].kind {
            FileKind::Inode => "file".into(),
            FileKind::Pipe(_) => "pipe".into(),
            FileKind::Socket(socket) => self.describe_socket(socket),
            FileKind::Epoll(_) => "epoll".into(),
            FileKind::Anon(_) => "anon".into(),
            FileKind::Null => "/dev/null".into(),
            FileKind::Zero => "/dev/zero".into(),
            FileKind::Urandom => "/dev/urandom".into(),
            FileKind::Console(0) => "stdin".into(),
            FileKind::Console(1) => "stdout".into(),
            FileKind::Console(2) => "stderr".into(),
            FileKind::Console(_) => "/dev/tty".into(),
        }
    }

    /// Out of all epoll sets (rule F-12).
    pub fn eventpoll_release(&mut self, file: FileId) {
        let _ = file;
    }

    /// POSIX locks of `table` on the file's inode go (rule F-11).
    pub fn locks_remove_posix(&mut self, table: TableId, file: FileId) {
        let _ = (table, file);
    }

    /// flock and OFD locks of the description go (rule F-11).
    pub fn locks_remove_file(&mut self, file: FileId) {
        let _ = file;
    }

    /// One reference to a name in the tree less.
    pub fn dput(&mut self, dentry: DentryId) {
        let _ = dentry;
    }
}
