//! fsnotify: where files change, one of these is called, and those who watch are told: first whoever
//! watches the directory (with the name), then whoever watches the file itself. Nothing is done
//! while nobody watches anything. Neighbours: `inotify` (marks and events).

use super::What;
use super::bits::{
    IN_ACCESS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF,
    IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN, IN_UNMOUNT,
};
use crate::abi::open::OFlags;
use crate::fs::dcache::DentryId;
use crate::fs::dnotify::FS_RENAME;
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::{InodeId, InodeKind};
use crate::kernel::Kernel;

/// A move, for [`Kernel::fsnotify_move`].
pub(crate) struct Moved<'a> {
    /// Where from.
    pub old_dir: DentryId,
    /// Its name there.
    pub old_name: &'a [u8],
    /// What, where it is by now.
    pub dentry: DentryId,
    /// What lost its name by it.
    pub target: Option<InodeId>,
}

impl Kernel {
    fn is_watched(&self) -> bool {
        !self.vfs.marks.is_empty() || !self.vfs.dnotify.is_empty()
    }

    /// IN_ISDIR for a directory.
    fn isdir(&self, inode: InodeId) -> u32 {
        if self.vfs.inodes[inode].is_dir() { IN_ISDIR } else { 0 }
    }

    /// fsnotify_file(): something was done by this description; not with O_PATH ones. Who watches a
    /// directory does not hear of reads and writes of the FIFOs and devices in it: their times would
    /// not tell him either (measured on 6.18).
    pub(crate) fn fsnotify_file(&mut self, file: FileId, mask: u32) {
        if !self.is_watched() || self.files[file].flags.has(OFlags::PATH) {
            return;
        }
        let Some(dentry) = self.files[file].dentry() else { return };
        let inode = self.vfs.dentries[dentry].inode;
        let is_special = match self.vfs.inodes[inode].kind {
            InodeKind::CharDevice(_)
            | InodeKind::BlockDevice(_)
            | InodeKind::Fifo(_)
            | InodeKind::Socket(_) => true,
            InodeKind::Regular(_) | InodeKind::Proc(_) | InodeKind::Cgroup(..) => false,
            InodeKind::Directory { .. } | InodeKind::Symlink(_) => false,
        };
        if is_special && mask & (IN_ACCESS | IN_MODIFY) != 0 {
            let unlinked = !self.vfs.dentries[dentry].hashed;
            self.tell_marks(inode, &What { mask, unlinked, ..What::default() });
        } else {
            self.fsnotify_parent(dentry, mask, true);
        }
    }

    /// fsnotify_open().
    pub(crate) fn fsnotify_open(&mut self, file: FileId) {
        self.fsnotify_file(file, IN_OPEN);
    }

    /// fsnotify_close(): nothing of a description whose open failed (no FMODE_OPENED): one of a FIFO
    /// that never got an end of the pipe.
    pub(crate) fn fsnotify_close(&mut self, file: FileId) {
        let f = &self.files[file];
        if let (FileKind::Inode, Some(dentry)) = (f.kind, f.dentry())
            && matches!(self.vfs.inode(dentry).kind, InodeKind::Fifo(_))
        {
            return;
        }
        let writable = self.files[file].flags.writable();
        self.fsnotify_file(file, if writable { IN_CLOSE_WRITE } else { IN_CLOSE_NOWRITE });
    }

    /// fsnotify_dentry(), fsnotify_change(): something was done to what is named so.
    pub(crate) fn fsnotify_dentry(&mut self, dentry: DentryId, mask: u32) {
        if self.is_watched() {
            self.fsnotify_parent(dentry, mask, false);
        }
    }

    /// fsnotify_parent(): the directory that it is in, then the file itself.
    fn fsnotify_parent(&mut self, dentry: DentryId, mask: u32, by_path: bool) {
        let d = &self.vfs.dentries[dentry];
        let (inode, parent, name) = (d.inode, d.parent, d.name.clone());
        let unlinked = by_path && !d.hashed;
        let what = What { mask: mask | self.isdir(inode), unlinked, ..What::default() };
        // A memfd is in no directory, whatever its dentry says.
        if let Some(parent) = parent.filter(|_| self.vfs.inodes[inode].seals.is_none()) {
            let dir = self.vfs.dentries[parent].inode;
            self.tell_marks(dir, &What { name: &name, ..what });
        }
        self.tell_marks(inode, &what);
    }

    /// fsnotify_inode(): the inode only.
    fn fsnotify_inode(&mut self, inode: InodeId, mask: u32) {
        if self.is_watched() {
            let mask = mask | self.isdir(inode);
            self.tell_marks(inode, &What { mask, ..What::default() });
        }
    }

    /// fsnotify_link_count(): it has a name more or less.
    pub(crate) fn fsnotify_link_count(&mut self, inode: InodeId) {
        self.fsnotify_inode(inode, IN_ATTRIB);
    }

    /// fsnotify_create(), fsnotify_mkdir(), fsnotify_link(): a new name.
    pub(crate) fn fsnotify_create(&mut self, dir: DentryId, dentry: DentryId) {
        if self.is_watched() {
            let d = &self.vfs.dentries[dentry];
            let (inode, name) = (d.inode, d.name.clone());
            let mask = IN_CREATE | self.isdir(inode);
            let dir = self.vfs.dentries[dir].inode;
            self.tell_marks(dir, &What { mask, name: &name, ..What::default() });
        }
    }

    /// fsnotify_delete(): `name`, of a directory or not, is no more in `dir`.
    pub(crate) fn fsnotify_delete(&mut self, dir: DentryId, name: &[u8], is_dir: bool) {
        if self.is_watched() {
            let mask = IN_DELETE | if is_dir { IN_ISDIR } else { 0 };
            let dir = self.vfs.dentries[dir].inode;
            self.tell_marks(dir, &What { mask, name, ..What::default() });
        }
    }

    /// fsnotify_move(): both directories are told, with the same cookie, then what lost its name,
    /// then what moved.
    pub(crate) fn fsnotify_move(&mut self, moved: &Moved<'_>) {
        self.vfs.sync_cookie = self.vfs.sync_cookie.wrapping_add(1);
        if !self.is_watched() {
            return;
        }
        let cookie = self.vfs.sync_cookie;
        let d = &self.vfs.dentries[moved.dentry];
        let (inode, new_name) = (d.inode, d.name.clone());
        let new_dir = d.parent.expect("a root never moves");
        let isdir = self.isdir(inode);
        if new_dir == moved.old_dir {
            self.dnotify_handle_event(self.vfs.dentries[new_dir].inode, FS_RENAME);
        }
        let halves =
            [(moved.old_dir, IN_MOVED_FROM, moved.old_name), (new_dir, IN_MOVED_TO, &new_name)];
        for (dir, mask, name) in halves {
            let dir = self.vfs.dentries[dir].inode;
            self.tell_marks(dir, &What { mask: mask | isdir, name, cookie, ..What::default() });
        }
        if let Some(target) = moved.target {
            self.fsnotify_link_count(target);
        }
        self.tell_marks(inode, &What { mask: IN_MOVE_SELF, ..What::default() });
    }

    /// fsnotify_unmount_inodes(): the file system `dev` goes: IN_UNMOUNT, whether or not it was
    /// asked for, and the end of the watches.
    pub(crate) fn fsnotify_unmount(&mut self, dev: u32) {
        let there = |inode: &&InodeId| self.vfs.inodes[**inode].dev == dev;
        let watched: Vec<InodeId> = self.vfs.marks.keys().filter(there).copied().collect();
        for inode in watched {
            for mark in self.vfs.marks.get(&inode).cloned().unwrap_or_default() {
                self.tell_mark(mark, &What { mask: IN_UNMOUNT, ..What::default() });
                self.inotify_destroy_mark(mark.group, mark.wd);
            }
        }
    }

    /// fsnotify_inoderemove(): inodes that were freed, having had no name left: IN_DELETE_SELF, and
    /// the end of their watches.
    pub(crate) fn fsnotify_dead_inodes(&mut self) {
        for inode in core::mem::take(&mut self.vfs.dead_watched) {
            self.tell_marks(inode, &What { mask: IN_DELETE_SELF, ..What::default() });
            for mark in self.vfs.marks.get(&inode).cloned().unwrap_or_default() {
                self.inotify_destroy_mark(mark.group, mark.wd);
            }
        }
    }
}
