//! Reading, writing, seeking and mapping files by inode: what `file_operations` does for
//! `FileKind::Inode` and what exec and mmap ask. Offsets are explicit here: whoever calls moves
//! `f_pos`. Neighbours: `file_bytes` (where the bytes are), `attr` (truncate), `mm`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::signal::Signal;
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::file::{FileId, FileKind};
use crate::fs::file_bytes::{FileBytes, MAX_LFS_FILESIZE, PAGE};
use crate::fs::inode::{InodeId, InodeKind};
use crate::fs::memfd::{F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_WRITE};
use crate::fs::mount::tmpfs::ShmemSbInfo;
use crate::fs::path::Path;
use crate::fs::procfs::ProcNode;
use crate::fs::procfs::system::SystemFile;
use crate::kernel::Kernel;
use crate::platform::{Backing, Platform};
use crate::task::TaskId;
use crate::task::capability::Cap;
use linux_raw_sys::general::{MS_NOATIME, MS_NODIRATIME, MS_RELATIME};

/// SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE.
mod whence {
    pub const SET: u32 = 0;
    pub const CUR: u32 = 1;
    pub const END: u32 = 2;
    pub const DATA: u32 = 3;
    pub const HOLE: u32 = 4;
}

impl Kernel {
    /// The inode that a description is open on, if it has a name in the tree.
    pub fn file_inode(&self, file: FileId) -> Option<InodeId> {
        self.files[file].dentry().map(|dentry| self.vfs.dentries[dentry].inode)
    }

    /// The inode behind a `FileKind::Inode`.
    pub(crate) fn inode_of(&self, file: FileId) -> InodeId {
        self.file_inode(file).expect("a file of the VFS has a dentry")
    }

    /// Reads up to `into.len()` bytes at `offset`; short only at the end. EISDIR for a directory,
    /// EINVAL for what has no bytes.
    pub fn vfs_read_at(
        &mut self,
        inode: InodeId,
        offset: u64,
        into: &mut [u8],
        user: &mut dyn Platform,
    ) -> Result<usize, Errno> {
        match &self.vfs.inodes[inode].kind {
            InodeKind::Regular(bytes) => bytes.read(offset, into, user),
            InodeKind::Directory { .. } => Err(Errno::EISDIR),
            // Texts belong to descriptions: see `inode_read`.
            InodeKind::Proc(_)
            | InodeKind::Cgroup(..)
            | InodeKind::Symlink(_)
            | InodeKind::CharDevice(_)
            | InodeKind::BlockDevice(_)
            | InodeKind::Fifo(_)
            | InodeKind::Socket(_) => Err(Errno::EINVAL),
        }
    }

    /// Up to `len` bytes at `pos` of a `FileKind::Inode`; short only at the end.
    pub fn inode_read(
        &mut self,
        file: FileId,
        pos: u64,
        len: usize,
        user: &mut dyn Platform,
    ) -> Result<Vec<u8>, Errno> {
        let inode = self.inode_of(file);
        if let InodeKind::Proc(node) = self.vfs.inodes[inode].kind {
            return self.proc_read(file, node, pos, len, user);
        }
        if let InodeKind::Cgroup(cgroup, which) = self.vfs.inodes[inode].kind {
            return self.cgroup_read(file, (cgroup, which), pos, len);
        }
        let size = self.vfs.inodes[inode].size();
        let left = usize::try_from(size.saturating_sub(pos)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(left)];
        let got = self.vfs_read_at(inode, pos, &mut bytes, user)?;
        bytes.truncate(got);
        if len > 0 {
            self.file_accessed(file);
        }
        Ok(bytes)
    }

    /// Where a write to `file` that wants `pos` begins, and how many of `len` bytes it may write:
    /// O_APPEND, RLIMIT_FSIZE (SIGXFSZ and EFBIG when not one fits) and the largest size there is.
    pub fn generic_write_checks(
        &mut self,
        task: TaskId,
        file: FileId,
        pos: u64,
        len: usize,
    ) -> Result<(u64, usize), Errno> {
        let inode = self.inode_of(file);
        let append = self.files[file].flags.has(OFlags::APPEND);
        let pos = if append { self.vfs.inodes[inode].size() } else { pos };
        if len == 0 {
            return Ok((pos, 0));
        }
        let room = self.inode_newsize_room(task, pos)?;
        Ok((pos, len.min(usize::try_from(room).unwrap_or(usize::MAX))))
    }

    /// inode_newsize_ok(): may a file grow to `size`? EFBIG, with SIGXFSZ for RLIMIT_FSIZE.
    pub fn inode_newsize_ok(&mut self, task: TaskId, size: u64) -> Result<(), Errno> {
        match size {
            0 => Ok(()),
            size => self.inode_newsize_room(task, size - 1).map(|_| ()),
        }
    }

    /// How many bytes a file may hold beyond `pos`; EFBIG (with SIGXFSZ where the limit is the
    /// process's) if none.
    fn inode_newsize_room(&mut self, task: TaskId, pos: u64) -> Result<u64, Errno> {
        let limit = self.groups[self.tasks[task].group].rlimits.0[1].soft;
        if pos >= limit {
            self.send_sig(Signal::SIGXFSZ, task);
            return Err(Errno::EFBIG);
        }
        if pos >= MAX_LFS_FILESIZE {
            return Err(Errno::EFBIG);
        }
        Ok(limit.min(MAX_LFS_FILESIZE) - pos)
    }

    /// Writes at `pos` (or the end, with O_APPEND). Returns how many bytes, and the position behind
    /// them.
    pub fn inode_write(
        &mut self,
        task: TaskId,
        file: FileId,
        pos: u64,
        from: &[u8],
        user: &mut dyn Platform,
    ) -> Result<(usize, u64), Errno> {
        if let InodeKind::Proc(node) = self.vfs.inodes[self.inode_of(file)].kind {
            let done = match node {
                ProcNode::File(target, what) => {
                    self.proc_write((task, file), target, what, (pos, from))?
                }
                ProcNode::System(SystemFile::Tcp(setting)) => {
                    self.tcp_sysctl_write(task, setting, from)?
                }
                ProcNode::System(SystemFile::Tunable(which)) => {
                    self.tunable_write(task, which, from)?
                }
                _ => return Err(Errno::EIO),
            };
            return Ok((done, pos + done as u64));
        }
        if let Some(at) = self.cgroup_file(file) {
            let done = self.cgroup_write((task, file), at, from)?;
            return Ok((done, pos + done as u64));
        }
        let (pos, len) = self.generic_write_checks(task, file, pos, from.len())?;
        if len == 0 {
            return Ok((0, pos));
        }
        let inode = self.inode_of(file);
        self.check_seals(inode, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
        if pos + len as u64 > self.vfs.inodes[inode].size() {
            self.check_seals(inode, F_SEAL_GROW)?;
        }
        self.note_shown_below(task, inode);
        if self.vfs.resident + len as u64 > self.config.memory {
            return Err(Errno::ENOSPC);
        }
        let len = self.shmem_room(inode, pos, len)?;
        self.change_bytes(inode, |bytes| bytes.write(pos, &from[..len], user))?;
        self.file_modified(task, inode);
        Ok((len, pos + len as u64))
    }

    /// file_modified(): mtime and ctime; set-id bits go unless root writes.
    pub fn file_modified(&mut self, task: TaskId, inode: InodeId) {
        let time = self.current_time();
        let root = self.tasks[task].cred.capable(Cap::Fsetid);
        let inode = &mut self.vfs.inodes[inode];
        (inode.mtime, inode.ctime) = (time, time);
        if !root {
            inode.kill_suid();
        }
    }

    /// file_accessed(): something was read, if only that there is nothing more. Of a directory that
    /// the machine's shows through nothing is kept, as in overlayfs.
    pub(super) fn file_accessed(&mut self, file: FileId) {
        if !self.files[file].flags.has(OFlags::NOATIME) {
            self.touch_atime(file);
        }
    }

    /// touch_atime(): the file was read. With relatime its atime moves when it is not later than
    /// mtime or ctime, or a day old.
    fn touch_atime(&mut self, file: FileId) {
        let now = self.current_time();
        let Some(Path { mnt, dentry }) = self.files[file].path else { return };
        if self.vfs.mnt_is_readonly(mnt) || self.vfs.mnt_has(mnt, MS_NOATIME) {
            return;
        }
        let dir = match &self.vfs.inode(dentry).kind {
            InodeKind::Directory { below, .. } if below.is_some() => return,
            kind => matches!(kind, InodeKind::Directory { .. }),
        };
        if dir && self.vfs.mnt_has(mnt, MS_NODIRATIME) {
            return;
        }
        let always = !self.vfs.mnt_has(mnt, MS_RELATIME);
        let inode = self.vfs.inode_mut(dentry);
        if inode.is_noatime() {
            return;
        }
        let old = inode.atime <= inode.mtime || inode.atime <= inode.ctime;
        if always || old || now.sec - inode.atime.sec >= 24 * 3600 {
            inode.atime = now;
        }
    }

    /// .llseek of a `FileKind::Inode`: the new position. EINVAL for one that can't be, ENXIO for
    /// SEEK_DATA and SEEK_HOLE beyond the end.
    pub fn inode_seek(&mut self, file: FileId, offset: i64, whence: u32) -> Result<u64, Errno> {
        let inode = &self.vfs.inodes[self.inode_of(file)];
        let size = inode.size();
        let (dir, pos) = (inode.is_dir(), self.files[file].pos);
        let new = match whence {
            whence::SET => Some(offset),
            whence::CUR => (pos as i64).checked_add(offset),
            // The end of a directory is where no entry is.
            whence::END if dir => i64::MAX.checked_add(offset),
            whence::END => (size as i64).checked_add(offset),
            whence::DATA | whence::HOLE if !dir => {
                let at = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                let InodeKind::Regular(bytes) = &inode.kind else { return Err(Errno::EINVAL) };
                let found = if whence == whence::DATA {
                    bytes.seek_data(at)?
                } else {
                    bytes.seek_hole(at)?
                };
                Some(found as i64)
            }
            _ => return Err(Errno::EINVAL),
        };
        let new = match new {
            Some(new) if new >= 0 => new as u64,
            Some(_) => return Err(Errno::EINVAL),
            None if whence == whence::CUR => return Err(Errno::EOVERFLOW),
            None => return Err(Errno::EINVAL),
        };
        self.files[file].pos = new;
        if new == 0 {
            self.vfs.snapshots.remove(&file);
        }
        Ok(new)
    }

    /// .mmap: where the bytes of a mapping of `file` at `offset` come from. A private mapping of an
    /// untouched machine's file shows that file; so does a shared one that can't be written.
    /// Everything else moves the bytes into an object. ENODEV for what can't be mapped.
    pub fn mmap_backing(
        &mut self,
        file: FileId,
        offset: u64,
        shared: bool,
        user: &mut dyn Platform,
    ) -> Result<Backing, Errno> {
        match self.files[file].kind {
            FileKind::Inode => {}
            FileKind::Zero => return Ok(Backing::Anonymous),
            FileKind::Loop(_) => {
                self.tell(None, Fact::unsupported("mmap", "of a block device"));
                return Err(Errno::ENODEV);
            }
            FileKind::Pipe(_)
            | FileKind::Socket(_)
            | FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Null
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::LoopControl
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_)
            | FileKind::Console(_) => return Err(Errno::ENODEV),
        }
        let writable = shared && self.files[file].flags.writable();
        let inode = self.inode_of(file);
        if writable {
            self.check_seals(inode, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
        }
        let InodeKind::Regular(bytes) = &mut self.vfs.inodes[inode].kind else {
            return Err(Errno::ENODEV);
        };
        match bytes {
            FileBytes::Lower(below) if !writable => {
                let path = below.path.clone();
                self.vfs.inodes[inode].shown_below |= shared;
                Ok(Backing::Lower { path, offset })
            }
            FileBytes::Lower(_) | FileBytes::Memory(_) | FileBytes::Object { .. } => {
                self.note_shown_below(self.init_task(), inode);
                let id = self.change_bytes(inode, |bytes| bytes.to_object(user))?;
                Ok(Backing::Object { id, offset, shared })
            }
        }
    }

    /// Changes the bytes of a regular file, and counts what memory they take then. EINVAL for
    /// what is none.
    pub(crate) fn change_bytes<R>(
        &mut self,
        inode: InodeId,
        change: impl FnOnce(&mut FileBytes) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let dev = self.vfs.inodes[inode].dev;
        let InodeKind::Regular(bytes) = &mut self.vfs.inodes[inode].kind else {
            return Err(Errno::EINVAL);
        };
        // Counting pages takes time; only a file system with limits asks for it.
        let limited = self.vfs.shmem.contains_key(&dev);
        let size =
            |bytes: &FileBytes| (bytes.resident(), if limited { bytes.allocated() } else { 0 });
        let before = size(bytes);
        let result = change(bytes);
        let after = size(bytes);
        self.vfs.resident = self.vfs.resident - before.0 + after.0;
        self.vfs.count_bytes(dev, before.1, after.1);
        result
    }

    /// shmem_fallocate(): takes room for a range, or ENOSPC.
    pub(crate) fn shmem_fallocate(
        &mut self,
        inode: InodeId,
        offset: u64,
        len: u64,
    ) -> Result<(), Errno> {
        let InodeKind::Regular(bytes) = &self.vfs.inodes[inode].kind else {
            return Err(Errno::ENODEV);
        };
        let missing = bytes.missing(offset, len);
        let sb = self.vfs.shmem.get(&self.vfs.inodes[inode].dev);
        let room = self.config.memory.saturating_sub(self.vfs.resident) / PAGE;
        let free = sb.and_then(ShmemSbInfo::free_blocks).map_or(room, |free| free.min(room));
        if missing > free {
            return Err(Errno::ENOSPC);
        }
        self.change_bytes(inode, |bytes| {
            bytes.reserve(offset, len);
            Ok(())
        })
    }

    /// How many of `len` bytes at `pos` fit on the file system of `inode`. ENOSPC if not one.
    fn shmem_room(&self, inode: InodeId, pos: u64, len: usize) -> Result<usize, Errno> {
        let inode = &self.vfs.inodes[inode];
        let free = self.vfs.shmem.get(&inode.dev).and_then(ShmemSbInfo::free_blocks);
        let (Some(free), InodeKind::Regular(bytes)) = (free, &inode.kind) else { return Ok(len) };
        match bytes.room_for(pos, len, free) {
            0 => Err(Errno::ENOSPC),
            fits => Ok(fits),
        }
    }

    /// A machine's file gets bytes of its own although somebody has it mapped shared, read only:
    /// that mapping will not show them. Loud, because Linux would.
    fn note_shown_below(&mut self, task: TaskId, inode: InodeId) {
        let i = &mut self.vfs.inodes[inode];
        if i.shown_below {
            i.shown_below = false;
            let fact = Fact::unsupported("write under a shared mapping", "of the machine's file");
            self.tell(Some(task), fact);
        }
    }

    /// do_truncate(): to `size` bytes. The caller checked permissions and limits.
    pub fn do_truncate(
        &mut self,
        dentry: DentryId,
        size: u64,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let time = self.current_time();
        self.check_resize_seals(self.vfs.dentries[dentry].inode, size)?;
        if let InodeKind::Proc(_) | InodeKind::Cgroup(..) = self.vfs.inode(dentry).kind {
            return Ok(()); // simple_setattr: nothing to cut
        }
        self.change_bytes(self.vfs.dentries[dentry].inode, |bytes| bytes.truncate(size, user))?;
        let inode = self.vfs.inode_mut(dentry);
        (inode.mtime, inode.ctime) = (time, time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fact::Fact;
    use crate::fs::testing::{Tiny, World};
    use crate::platform::Backing;

    #[test]
    fn memory_for_files_runs_out_and_comes_back() {
        let mut w = World::new(Tiny::default());
        let used = w.kernel.vfs.resident;
        w.kernel.config.memory = used + 8192;
        w.write("/tmp/f", &[1; 8192]).unwrap();
        assert_eq!(w.write("/tmp/g", &[1; 100]), Err(Errno::ENOSPC));
        assert_eq!(w.path(87, "/tmp/f", &[]), Ok(0));
        assert_eq!(w.kernel.vfs.resident, used);
        w.write("/tmp/g", &[1; 100]).unwrap();
    }

    #[test]
    fn a_private_mapping_of_a_machines_file_leaves_it_there_and_a_written_one_moves_it() {
        let mut user = Tiny::default();
        user.lower_file("/usr/bin/x", b"elf");
        let mut w = World::new(user);
        let fd = w.open("/usr/bin/x", 2, 0).unwrap();
        let file = w.kernel.table(w.task).get(fd).unwrap();
        let lower = Backing::Lower { path: b"/usr/bin/x".to_vec(), offset: 0 };
        assert_eq!(w.kernel.mmap_backing(file, 0, false, &mut w.user), Ok(lower.clone()));
        let read_only = w.open("/usr/bin/x", 0, 0).unwrap();
        let read_only = w.kernel.table(w.task).get(read_only).unwrap();
        assert_eq!(w.kernel.mmap_backing(read_only, 0, true, &mut w.user), Ok(lower));
        let shared = w.kernel.mmap_backing(file, 0, true, &mut w.user).unwrap();
        let Backing::Object { id, shared: true, .. } = shared else { panic!("{shared:?}") };
        assert_eq!(w.user.objects[&id], b"elf");
        // Whoever has it mapped read only is out of step now: not silently.
        let loud = |f: &crate::fact::Entry| matches!(f.fact, Fact::Unsupported { .. });
        assert!(w.kernel.facts.iter().any(loud));
        w.kernel.inode_write(w.task, file, 0, b"E", &mut w.user).unwrap();
        assert_eq!(w.user.objects[&id], b"Elf");
    }
}
