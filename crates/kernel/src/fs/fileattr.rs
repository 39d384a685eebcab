//! Flags of inodes as chattr(1) sets them (FS_IOC_GETFLAGS, FS_IOC_SETFLAGS), as tmpfs has them:
//! immutable, append-only, no access times, no dump. Neighbours: `create` (inode_permission),
//! `open` (append only), `unlink` (may_delete), `attr` (notify_change).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::file::FileId;
use crate::fs::inode::{Inode, InodeKind};
use crate::fs::mount::dev;
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;

/// FS_IOC_GETFLAGS.
pub const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
/// FS_IOC_SETFLAGS.
pub const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
/// FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR: the same in a longer structure.
pub const FS_IOC_FSXATTR: [u32; 2] = [0x801c_581f, 0x401c_5820];

const FS_IMMUTABLE_FL: u32 = 0x10;
const FS_APPEND_FL: u32 = 0x20;
const FS_NODUMP_FL: u32 = 0x40;
const FS_NOATIME_FL: u32 = 0x80;
/// SHMEM_FL_USER_MODIFIABLE.
const MODIFIABLE: u32 = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL;

impl Inode {
    /// IS_IMMUTABLE(): nothing of it changes.
    pub fn is_immutable(&self) -> bool {
        self.fsflags & FS_IMMUTABLE_FL != 0
    }

    /// IS_APPEND(): it only grows.
    pub fn is_append(&self) -> bool {
        self.fsflags & FS_APPEND_FL != 0
    }

    /// IS_NOATIME(), by its own flag.
    pub fn is_noatime(&self) -> bool {
        self.fsflags & FS_NOATIME_FL != 0
    }

    /// STATX_ATTR_IMMUTABLE, _APPEND and _NODUMP, which have the numbers of the flags.
    pub fn statx_attributes(&self) -> u64 {
        u64::from(self.fsflags & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL))
    }
}

impl Kernel {
    /// Have inodes of this kind such flags?
    pub(crate) fn has_fileattr(&self, dentry: DentryId) -> bool {
        let inode = self.vfs.inode(dentry);
        let stored = matches!(inode.kind, InodeKind::Regular(_) | InodeKind::Directory { .. });
        let none = [dev::DEVPTS, dev::SYSFS, dev::CGROUP2].contains(&inode.dev)
            || self.vfs.is_proc(inode.dev);
        stored && !none
    }

    /// ioctl_getflags(), ioctl_setflags(): ENOTTY where there are none.
    pub(crate) fn fileattr_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        cmd: u32,
        arg: u64,
    ) -> SysResult {
        let path = self.files[file].path.filter(|path| self.has_fileattr(path.dentry));
        let Path { mnt, dentry } = path.ok_or(Errno::ENOTTY)?;
        if FS_IOC_FSXATTR.contains(&cmd) {
            self.tell(Some(call.task), Fact::unsupported("ioctl", "FS_IOC_FSGETXATTR"));
            return Err(Errno::ENOTTY.into());
        }
        if cmd == FS_IOC_GETFLAGS {
            call.write_u32(UserPtr(arg), self.vfs.inode(dentry).fsflags)?;
            return Ok(0);
        }
        let flags = call.read_u32(UserPtr(arg))?;
        self.vfs.mnt_want_write(mnt)?;
        let (cred, inode) = (&self.tasks[call.task].cred, self.vfs.inode(dentry));
        if !inode.owner_or_capable(&self.namespaces.user, cred) {
            return Err(Errno::EPERM.into());
        }
        let changed = flags ^ inode.fsflags;
        if changed & (FS_IMMUTABLE_FL | FS_APPEND_FL) != 0 && !cred.capable(Cap::LinuxImmutable) {
            return Err(Errno::EPERM.into());
        }
        if flags & !MODIFIABLE != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let time = self.current_time();
        let inode = self.vfs.inode_mut(dentry);
        (inode.fsflags, inode.ctime) = (flags, time);
        Ok(0)
    }
}
