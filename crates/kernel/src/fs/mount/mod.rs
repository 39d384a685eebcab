//! Mounts: which file system is seen where, with which flags. A file system (`SuperBlock`) can be
//! seen by several mounts, and a mount by the processes of one namespace. Neighbours: `boot` (what
//! is mounted from the beginning), `calls` and `bind` (mount(2)), `umount` (umount2(2)), `tree`, `super_block`,
//! `pnode` (propagation),
//! `namespace`, `tmpfs` (its options and limits), `show` (/proc/mounts), `fs/path` (steps between
//! mounts), `dcache`.

mod bind;
pub mod boot;
pub mod calls;
pub mod namespace;
mod pnode;
pub mod show;
mod super_block;
pub mod tmpfs;
mod tree;
pub mod umount;

pub use boot::dev;

use crate::abi::Errno;
use crate::fs::dcache::{DentryId, Vfs};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::task::pid_namespace::PidNs;
use crate::task::user_namespace::UserNs;
use linux_raw_sys::general as raw;
use namespace::MntNs;
use pnode::PeerGroup;

/// Names a [`Mount`]. Later ones are greater, and none is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct MountId(pub u32);

/// One file system (struct super_block).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SuperBlock {
    /// Its root, which it holds a reference to.
    pub root: DentryId,
    /// Its type's name.
    pub fstype: &'static str,
    /// MS_RDONLY, MS_SYNCHRONOUS, MS_DIRSYNC, MS_MANDLOCK, MS_LAZYTIME.
    pub flags: u32,
    /// f_type of statfs(2).
    pub magic: u64,
    /// s_user_ns: whose root may change it.
    pub user_ns: UserNs,
    /// Whose numbers a procfs shows; of others the host's.
    pub pid_ns: PidNs,
}

/// One mount (struct mount).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// mnt_id, as guests see it; used again, unlike a [`MountId`].
    pub id: u64,
    /// Its file system: the minor number of st_dev; the major is 0.
    pub dev: u32,
    /// What of that one sees at its place; it holds a reference.
    pub root: DentryId,
    /// What mount(2) was told to mount; a word without meaning for file systems in memory.
    pub source: Vec<u8>,
    /// MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW and the atime ones.
    pub flags: u32,
    /// Where it is seen (mnt_parent, mnt_mountpoint); None for the root of a tree, and for one that
    /// is in none. It holds a reference.
    pub parent: Option<Path>,
    /// Whose tree it is in (mnt_ns); None once it was unmounted, and for the kernel's own.
    pub ns: Option<MntNs>,
    /// Its peer group, if it is shared.
    pub group: Option<PeerGroup>,
    /// The group that it is a slave of.
    pub master: Option<PeerGroup>,
    /// MNT_UNBINDABLE: it is shown nowhere else.
    pub unbindable: bool,
    /// MNT_LOCKED: what it hides stays hidden from a user namespace that did not mount it.
    pub locked: bool,
    /// MNT_LOCK_*: flags that such a user namespace cannot take off.
    pub locked_flags: u32,
}

impl Mount {
    /// Is this flag of the mount set?
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

impl Vfs {
    /// The file system with this number. None for those without mounts: pipes, sockets.
    pub fn super_of(&self, dev: u32) -> Option<&SuperBlock> {
        self.supers.get(&dev)
    }

    /// Is it a procfs?
    pub fn is_proc(&self, dev: u32) -> bool {
        self.super_of(dev).is_some_and(|sb| sb.fstype == "proc")
    }

    /// Neither by the mount nor by its file system writable (__mnt_is_readonly()).
    pub fn mnt_is_readonly(&self, mnt: MountId) -> bool {
        let mount = &self.mounts[&mnt];
        let of_sb = self.super_of(mount.dev).map_or(0, |sb| sb.flags);
        (mount.flags | of_sb) & raw::MS_RDONLY != 0
    }

    /// mnt_want_write(): EROFS where nothing can be changed.
    pub fn mnt_want_write(&self, mnt: MountId) -> Result<(), Errno> {
        if self.mnt_is_readonly(mnt) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Has a mount this flag (MS_NODEV, MS_NOEXEC, …)?
    pub fn mnt_has(&self, mnt: MountId, flag: u32) -> bool {
        self.mounts[&mnt].has(flag)
    }

    /// path_noexec(): may nothing be executed that is seen through this mount?
    pub fn path_noexec(&self, path: Path) -> bool {
        self.mnt_has(path.mnt, raw::MS_NOEXEC)
    }
}

impl Kernel {
    /// Does anybody use this mount: a file open through it, a process working or rooted there, a
    /// socket bound there?
    fn is_mount_busy(&self, mnt: MountId) -> bool {
        let there = |path: Path| path.mnt == mnt;
        self.files.iter().any(|(_, file)| file.path.is_some_and(there))
            || self.fs_structs.iter().any(|(_, fs)| there(fs.pwd) || there(fs.root))
            || self.vfs.mount_lists.values().any(|list| there(list.root))
            || self.unix_is_bound_on(mnt)
    }

    /// sb_prepare_remount_readonly(), and files without a name: is something on `dev` open for
    /// writing, or waiting to be deleted?
    fn has_writers(&self, dev: u32) -> bool {
        self.files.iter().any(|(_, file)| {
            file.dentry().map(|dentry| self.vfs.inode(dentry)).is_some_and(|inode| {
                inode.dev == dev && (inode.nlink == 0 || inode.is_reg() && file.flags.writable())
            })
        })
    }

    /// mnt_hold_writers(): is something open for writing through this mount?
    fn mnt_has_writers(&self, mnt: MountId) -> bool {
        let written = |path: Path| path.mnt == mnt && self.vfs.inode(path.dentry).is_reg();
        self.files.iter().any(|(_, file)| file.flags.writable() && file.path.is_some_and(written))
    }
}
