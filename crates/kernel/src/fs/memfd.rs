//! memfd_create(2): a file without a name, and its seals (fcntl(2), "File Sealing").
//! Neighbours: `fcntl`, `file_rw` and `attr` (which honour the seals), `locks`.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::file::{FileId, FileKind};
use crate::fs::file_bytes::FileBytes;
use crate::fs::inode::{InodeId, InodeKind};
use crate::fs::mount::dev;
use crate::kernel::Kernel;
use crate::mm::Pin;
use crate::syscall::{Call, SysResult};
use linux_raw_sys::general as raw;

/// No more seals may be added.
const F_SEAL_SEAL: u32 = raw::F_SEAL_SEAL;
/// The file may not get shorter.
pub const F_SEAL_SHRINK: u32 = raw::F_SEAL_SHRINK;
/// The file may not get longer.
pub const F_SEAL_GROW: u32 = raw::F_SEAL_GROW;
/// The file may not be written, in any way.
pub const F_SEAL_WRITE: u32 = raw::F_SEAL_WRITE;
/// The file may not be written but by mappings that are there.
pub const F_SEAL_FUTURE_WRITE: u32 = 0x10;
const ALL_SEALS: u32 =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;
const F_SEAL_EXEC: u32 = 0x20;

impl Kernel {
    /// memfd_create(2).
    pub fn sys_memfd_create(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(1) as u32;
        let known = raw::MFD_CLOEXEC
            | raw::MFD_ALLOW_SEALING
            | raw::MFD_NOEXEC_SEAL
            | raw::MFD_EXEC
            | raw::MFD_HUGETLB;
        let both = raw::MFD_EXEC | raw::MFD_NOEXEC_SEAL;
        if flags & !known != 0 || flags & both == both {
            return Err(Errno::EINVAL.into());
        }
        if flags & raw::MFD_HUGETLB != 0 {
            self.tell(Some(call.task), Fact::unsupported("memfd_create MFD_HUGETLB", ""));
            return Err(Errno::ENOSYS.into());
        }
        // 249 bytes and "memfd:" make NAME_MAX.
        let name = call.read_cstr(call.ptr(0), 250, Errno::EINVAL)?;
        let time = self.current_time();
        let kind = InodeKind::Regular(FileBytes::default());
        let noexec = flags & raw::MFD_NOEXEC_SEAL != 0;
        let mode = if noexec { 0o666 } else { 0o777 };
        let inode = self.vfs.new_inode(dev::TMPFS, kind, mode, time);
        let cred = &self.tasks[call.task].cred;
        let (uid, gid) = (cred.fsuid, cred.fsgid);
        let i = &mut self.vfs.inodes[inode];
        (i.uid, i.gid, i.nlink) = (uid, gid, 0);
        i.seals = Some(if noexec {
            F_SEAL_EXEC
        } else if flags & raw::MFD_ALLOW_SEALING != 0 {
            0
        } else {
            F_SEAL_SEAL
        });
        let root = self.vfs.mnt_root(self.vfs.shm_mnt);
        let dentry = self.vfs.d_tmpfile(root.dentry, &[b"memfd:", &name[..]].concat(), inode);
        let open = raw::O_RDWR | raw::O_LARGEFILE;
        let file = self.dentry_open(call.task, root.with(dentry), FileKind::Inode, open);
        let fd = self.install_fd(call.task, file, flags & raw::MFD_CLOEXEC != 0)?;
        Ok(fd as u64)
    }

    /// F_ADD_SEALS, F_GET_SEALS: EINVAL where the file is no memfd, EPERM for a sealed one.
    pub fn fcntl_seals(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        cmd: u32,
        seals: u64,
    ) -> SysResult {
        let _ = call;
        let inode = self.file_inode(file).ok_or(Errno::EINVAL)?;
        let old = self.vfs.inodes[inode].seals.ok_or(Errno::EINVAL)?;
        if cmd == raw::F_GET_SEALS {
            return Ok(u64::from(old));
        }
        if !self.files[file].flags.writable() {
            return Err(Errno::EPERM.into());
        }
        let new = seals as u32;
        if new & !ALL_SEALS != 0 {
            return Err(Errno::EINVAL.into());
        }
        if old & F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM.into());
        }
        if new & F_SEAL_WRITE != 0 && old & F_SEAL_WRITE == 0 && self.is_mapped_writable(inode) {
            return Err(Errno::EBUSY.into());
        }
        self.vfs.inodes[inode].seals = Some(old | new);
        Ok(0)
    }

    /// Is `inode` mapped shared, by a description that may write?
    fn is_mapped_writable(&self, inode: InodeId) -> bool {
        self.mms.iter().any(|(_, mm)| {
            mm.areas.iter().any(|(_, vma)| match vma.pin {
                Some(Pin::File(file)) => {
                    vma.flags.shared
                        && self.files[file].flags.writable()
                        && self.file_inode(file) == Some(inode)
                }
                Some(Pin::Shmem(_) | Pin::SysV(_)) | None => false,
            })
        })
    }

    /// EPERM if a seal forbids `what` (F_SEAL_* bits, any of them).
    pub fn check_seals(&self, inode: InodeId, what: u32) -> Result<(), Errno> {
        match self.vfs.inodes[inode].seals {
            Some(seals) if seals & what != 0 => Err(Errno::EPERM),
            Some(_) | None => Ok(()),
        }
    }

    /// The seals that a change of size is up against.
    pub fn check_resize_seals(&self, inode: InodeId, new: u64) -> Result<(), Errno> {
        let old = self.vfs.inodes[inode].size();
        match new.cmp(&old) {
            core::cmp::Ordering::Less => self.check_seals(inode, F_SEAL_SHRINK),
            core::cmp::Ordering::Equal => Ok(()),
            core::cmp::Ordering::Greater => self.check_seals(inode, F_SEAL_GROW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::{Tiny, World};

    const MEMFD_CREATE: u64 = 319;
    const FTRUNCATE: u64 = 77;
    const FCNTL: u64 = 72;

    #[test]
    fn seals_stay_and_forbid() {
        let mut w = World::new(Tiny::default());
        let name = w.str("x");
        let fd = w.sys(MEMFD_CREATE, &[name, u64::from(raw::MFD_ALLOW_SEALING)]).unwrap();
        assert_eq!(w.sys(FTRUNCATE, &[fd, 100]), Ok(0));
        let add = u64::from(raw::F_ADD_SEALS);
        assert_eq!(w.sys(FCNTL, &[fd, add, u64::from(F_SEAL_SHRINK)]), Ok(0));
        assert_eq!(w.sys(FTRUNCATE, &[fd, 99]), Err(Errno::EPERM));
        assert_eq!(w.sys(FTRUNCATE, &[fd, 101]), Ok(0));
        let both = u64::from(F_SEAL_WRITE | F_SEAL_SEAL);
        assert_eq!(w.sys(FCNTL, &[fd, add, both]), Ok(0));
        let file = w.kernel.table(w.task).get(fd as i32).unwrap();
        let written = w.kernel.inode_write(w.task, file, 0, b"x", &mut w.user);
        assert_eq!(written, Err(Errno::EPERM));
        assert_eq!(w.sys(FCNTL, &[fd, add, 1]), Err(Errno::EPERM));
        assert_eq!(w.sys(FCNTL, &[fd, u64::from(raw::F_GET_SEALS), 0]), Ok(0xb));
        assert_eq!(w.kernel.describe_inode(file), "/memfd:x (deleted)");
    }
}
