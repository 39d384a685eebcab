//! File operations on what the VFS knows: regular files and directories. The arms of
//! `file_operations` for `FileKind::Inode` lead here; bytes are moved between the user's buffers
//! and `file_rw`. Neighbours: `file_operations`, `file_rw`, `ioctl`.

use crate::abi::Errno;
use crate::fs::file::FileId;
use crate::fs::fileattr::{FS_IOC_FSXATTR, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS};
use crate::fs::inode::InodeKind;
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;

/// How much is moved at a time.
const CHUNK: usize = 1 << 17;

/// ioctl FIONREAD.
const FIONREAD: u32 = 0x541b;

/// EINVAL for bytes that would end behind the largest offset.
fn rw_verify_area(pos: u64, len: usize) -> Result<(), Errno> {
    let end = pos.checked_add(len as u64);
    if end.is_some_and(|end| end <= i64::MAX as u64) { Ok(()) } else { Err(Errno::EINVAL) }
}

impl Kernel {
    /// generic_file_read_iter(): at `pos`, or at the file's position, which moves.
    pub fn inode_read_iter(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        to: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        let start = pos.unwrap_or(self.files[file].pos);
        rw_verify_area(start, to.total())?;
        let mut done = 0;
        while done < to.total() {
            let want = (to.total() - done).min(CHUNK);
            let moved = self
                .inode_read(file, start + done as u64, want, call.user)
                .and_then(|bytes| Ok((bytes.len(), to.scatter(call, done, &bytes)?)));
            let (got, put) = match moved {
                Ok(moved) => moved,
                // What was moved before counts.
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            done += put;
            if put < want || got < want {
                break;
            }
        }
        if pos.is_none() {
            self.files[file].pos = start + done as u64;
        }
        Ok(done as u64)
    }

    /// generic_file_write_iter(): at `pos`, at the end with O_APPEND, or at the file's position.
    pub fn inode_write_iter(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        from: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        let mut at = pos.unwrap_or(self.files[file].pos);
        rw_verify_area(at, from.total())?;
        let mut done = 0;
        while done < from.total() {
            let want = (from.total() - done).min(CHUNK);
            let moved = from.gather(call, done, want).and_then(|bytes| {
                let (put, end) = self.inode_write(call.task, file, at, &bytes, call.user)?;
                Ok((put, end, put < want))
            });
            match moved {
                Ok((put, end, last)) => {
                    done += put;
                    at = end;
                    if last {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        if pos.is_none() && done > 0 {
            self.files[file].pos = at;
        }
        Ok(done as u64)
    }

    /// generic_file_llseek(), SEEK_DATA and SEEK_HOLE included; directories too.
    pub fn inode_llseek(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        offset: i64,
        whence: u32,
    ) -> SysResult {
        let _ = call;
        Ok(self.inode_seek(file, offset, whence)?)
    }

    /// FIONREAD on a regular file, and the flags of `fileattr`.
    pub fn inode_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        cmd: u32,
        arg: u64,
    ) -> SysResult {
        if [FS_IOC_GETFLAGS, FS_IOC_SETFLAGS].contains(&cmd) || FS_IOC_FSXATTR.contains(&cmd) {
            return self.fileattr_ioctl(call, file, cmd, arg);
        }
        let inode = &self.vfs.inodes[self.inode_of(file)];
        match &inode.kind {
            InodeKind::Regular(_) | InodeKind::Cgroup(..) if cmd == FIONREAD => {
                let left = inode.size() as i64 - self.files[file].pos as i64;
                call.write_u32(UserPtr(arg), left as u32)?;
                Ok(0)
            }
            InodeKind::Regular(_)
            | InodeKind::Directory { .. }
            | InodeKind::Symlink(_)
            | InodeKind::CharDevice(_)
            | InodeKind::BlockDevice(_)
            | InodeKind::Fifo(_)
            | InodeKind::Proc(_)
            | InodeKind::Cgroup(..)
            | InodeKind::Socket(_) => self.no_ioctl(call, cmd),
        }
    }

    /// The last reference to the description is gone (the inode may live on by its name): what was
    /// kept for it goes.
    pub fn inode_release(&mut self, task: Option<TaskId>, file: FileId) {
        let _ = task;
        self.vfs.snapshots.remove(&file);
        self.vfs.proc_texts.remove(&file);
        self.mounts_release(file);
        self.cgroup_file_release(file);
    }

    /// The FIFO whose inode names `pipe` has nobody left: its inode forgets the id.
    pub fn inode_forget_pipe(&mut self, pipe: PipeId) {
        for (_, inode) in self.vfs.inodes.iter_mut() {
            if inode.kind == InodeKind::Fifo(Some(pipe)) {
                inode.kind = InodeKind::Fifo(None);
            }
        }
    }

    /// The path, for the story.
    pub fn describe_inode(&self, file: FileId) -> String {
        match self.files[file].path {
            Some(path) => {
                String::from_utf8_lossy(&self.vfs.d_path(path, self.vfs.root)).into_owned()
            }
            None => "file".into(),
        }
    }
}
