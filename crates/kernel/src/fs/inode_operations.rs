//! File operations on what the VFS knows: regular files, directories, FIFOs' inodes. The arms of
//! `file_operations` for `FileKind::Inode` lead here.
//! First version, until the VFS has inodes with bytes: loud and EIO-like where bytes are needed.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::file::FileId;
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;

impl Kernel {
    /// generic_file_read_iter(): at `pos`, or at the file's position, which moves.
    pub fn inode_read_iter(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        to: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        let _ = (file, to, pos);
        self.tell(Some(call.task), Fact::unsupported("read of an inode", ""));
        Err(Errno::EIO.into())
    }

    /// generic_file_write_iter(): at `pos`, at the end with O_APPEND, or at the file's position.
    pub fn inode_write_iter(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        from: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        let _ = (file, from, pos);
        self.tell(Some(call.task), Fact::unsupported("write of an inode", ""));
        Err(Errno::EIO.into())
    }

    /// generic_file_llseek(), SEEK_DATA and SEEK_HOLE included; directories too.
    pub fn inode_llseek(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        offset: i64,
        whence: u32,
    ) -> SysResult {
        let _ = (file, offset, whence);
        self.tell(Some(call.task), Fact::unsupported("lseek on an inode", ""));
        Err(Errno::EINVAL.into())
    }

    /// FIONREAD on a regular file, and the device's own.
    pub fn inode_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        cmd: u32,
        arg: u64,
    ) -> SysResult {
        let _ = (file, arg);
        self.no_ioctl(call, cmd)
    }

    /// The last description of this open is gone (the inode may live on by its name).
    pub fn inode_release(&mut self, task: Option<TaskId>, file: FileId) {
        let _ = (task, file);
    }

    /// The FIFO whose inode names `pipe` has nobody left: its inode forgets the id.
    pub fn inode_forget_pipe(&mut self, pipe: PipeId) {
        let _ = pipe;
    }

    /// The path, for the story.
    pub fn describe_inode(&self, file: FileId) -> String {
        let _ = file;
        "file".into()
    }

    /// One reference to a name in the tree less.
    pub fn dput(&mut self, dentry: DentryId) {
        let _ = dentry;
    }
}
