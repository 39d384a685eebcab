//! memfd_create(2): a regular file without a name. It is an inode of its own on tmpfs, opened by a
//! dentry outside the tree. Neighbours: `fs/create`, `fs/open` (O_TMPFILE). Seals are not here.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::file::FileKind;
use crate::fs::file_bytes::FileBytes;
use crate::fs::inode::InodeKind;
use crate::fs::mount::dev;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};

const MFD_CLOEXEC: u32 = 1;
const MFD_ALLOW_SEALING: u32 = 2;
const MFD_NOEXEC_SEAL: u32 = 8;
const MFD_EXEC: u32 = 0x10;
/// MFD_NAME_MAX_LEN: NAME_MAX without `memfd:`.
const NAME_MAX: usize = 255 - 6;

impl Kernel {
    /// memfd_create(2). EINVAL for unknown flags and for a name that is too long. Sealing is told as
    /// unsupported where it is asked for: adding a seal fails later.
    pub fn sys_memfd_create(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(1) as u32;
        let known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
        if flags & !known != 0 {
            let detail = format!("{flags:#x}");
            self.tell(Some(call.task), Fact::unsupported("memfd_create flags", detail));
            return Err(Errno::EINVAL.into());
        }
        if flags & MFD_EXEC != 0 && flags & MFD_NOEXEC_SEAL != 0 {
            return Err(Errno::EINVAL.into());
        }
        if flags & MFD_NOEXEC_SEAL != 0 {
            self.tell(Some(call.task), Fact::unsupported("memfd_create MFD_NOEXEC_SEAL", ""));
            return Err(Errno::EINVAL.into());
        }
        let name = call.read_cstr(call.ptr(0), NAME_MAX + 1, Errno::EINVAL)?;
        let task = call.task;
        let kind = InodeKind::Regular(FileBytes::default());
        let time = self.current_time();
        let inode = self.vfs.new_inode(dev::TMPFS, kind, 0o777, time);
        let cred = &self.tasks[task].cred;
        (self.vfs.inodes[inode].uid, self.vfs.inodes[inode].gid) = (cred.fsuid, cred.fsgid);
        self.vfs.inodes[inode].nlink = 0;
        let name = [b"memfd:", &name[..]].concat();
        let dentry = self.vfs.d_tmpfile(self.vfs.root, &name, inode);
        let open = OFlags::RDWR.0 | OFlags::LARGEFILE.0;
        let file = self.dentry_open(task, dentry, FileKind::Inode, open);
        Ok(self.install_fd(task, file, flags & MFD_CLOEXEC != 0)? as u64)
    }
}
