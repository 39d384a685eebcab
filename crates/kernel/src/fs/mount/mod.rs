//! Mounts: which file system is seen where, with which flags. Each file system here is mounted
//! once, so that a mount is found by the device number of its inodes; which dentry it covers stands
//! in the dentries. Neighbours: `boot` (what is mounted from the beginning), `calls` (mount(2)),
//! `umount` (umount2(2)), `tmpfs` (its options and limits), `show` (/proc/mounts), `dcache`.

pub mod boot;
pub mod calls;
mod show;
pub mod tmpfs;
pub mod umount;

pub use boot::dev;

use crate::abi::Errno;
use crate::fs::dcache::{DentryId, Vfs};
use crate::kernel::Kernel;
use linux_raw_sys::general as raw;

/// One mounted file system: struct mount and struct super_block together. Unlike Linux, no file
/// system is mounted twice: there are no bind mounts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// mnt_id.
    pub id: u64,
    /// Minor number of st_dev; the major is 0.
    pub dev: u32,
    /// The root of the file system.
    pub root: DentryId,
    /// What mount(2) was told to mount; a word without meaning for file systems in memory.
    pub source: Vec<u8>,
    /// Its type's name.
    pub fstype: &'static str,
    /// Of the mount: MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW and the atime ones.
    pub flags: u32,
    /// Of the file system: MS_RDONLY, MS_SYNCHRONOUS, MS_DIRSYNC, MS_MANDLOCK, MS_LAZYTIME.
    pub sb_flags: u32,
    /// The options of its own that /proc/mounts shows, each after a comma.
    pub options: String,
    /// f_type of statfs(2).
    pub magic: u64,
    /// In the tree; false once it was unmounted with MNT_DETACH while in use.
    pub attached: bool,
    /// MNT_EXPIRE saw it unused. Unlike Linux, uses that are over by now do not take the mark off.
    pub expiry: bool,
}

impl Mount {
    /// Is this flag of the mount set?
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Neither by the mount nor by the file system writable.
    pub fn is_readonly(&self) -> bool {
        (self.flags | self.sb_flags) & raw::MS_RDONLY != 0
    }
}

impl Vfs {
    /// The mount of the file system with this number. None for what is mounted nowhere: memfds,
    /// pipes, sockets.
    pub fn mount_of(&self, dev: u32) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.dev == dev)
    }

    /// Has the mount of `dentry` this flag (MS_NODEV, MS_NOEXEC, …)?
    pub fn mnt_has(&self, dentry: DentryId, flag: u32) -> bool {
        self.mount_of(self.inode(dentry).dev).is_some_and(|mount| mount.has(flag))
    }

    /// mnt_want_write(): EROFS where nothing can be changed.
    pub fn mnt_want_write(&self, dentry: DentryId) -> Result<(), Errno> {
        let mount = self.mount_of(self.inode(dentry).dev);
        if mount.is_some_and(Mount::is_readonly) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// path_noexec(): may nothing be executed that is on the file system of `dentry`?
    pub fn path_noexec(&self, dentry: DentryId) -> bool {
        self.mnt_has(dentry, raw::MS_NOEXEC)
    }
}

impl Kernel {
    /// Is somebody using the file system `dev`: a file open on it, a process working or rooted
    /// there, a socket bound there?
    fn is_mount_busy(&self, dev: u32) -> bool {
        let there = |dentry: DentryId| self.vfs.inode(dentry).dev == dev;
        self.files.iter().any(|(_, file)| file.dentry.is_some_and(there))
            || self.fs_structs.iter().any(|(_, fs)| there(fs.pwd) || there(fs.root))
            || self.unix_is_bound_on(dev)
    }

    /// mnt_get_writers(), and files without a name: is something on `dev` open for writing, or
    /// waiting to be deleted?
    fn has_writers(&self, dev: u32) -> bool {
        self.files.iter().any(|(_, file)| {
            file.dentry.map(|dentry| self.vfs.inode(dentry)).is_some_and(|inode| {
                inode.dev == dev && (inode.nlink == 0 || inode.is_reg() && file.flags.writable())
            })
        })
    }
}
