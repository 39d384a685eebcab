//! Inodes: what a file is, apart from its names. Numbers are counted by us and times are virtual,
//! so that nothing leaks from the machine. An inode lives while a dentry names it (`i_count`);
//! `nlink` is only what stat(2) tells. Who may do what with one is decided here too
//! (path_resolution(7), "Permissions"). Neighbours: `dcache` (names), `file_bytes` (contents).

use crate::abi::Errno;
use crate::abi::stat::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID,
    S_ISVTX, Timespec,
};
use crate::arena::Id;
use crate::fs::cgroup::{CgroupFile, CgroupId};
use crate::fs::file_bytes::FileBytes;
use crate::fs::mount::dev;
use crate::fs::pipe::PipeId;
use crate::fs::procfs::ProcNode;
use crate::net::socket::SocketId;
use crate::task::Cred;
use crate::task::capability::{Cap, CapSet};
use crate::task::user_namespace::{IdKind, UserNamespaces};
use std::collections::BTreeMap;

/// Names an [`Inode`].
pub type InodeId = Id<Inode>;

/// Permission to execute, or to search a directory.
pub const MAY_EXEC: u32 = 1;
/// Permission to write.
pub const MAY_WRITE: u32 = 2;
/// Permission to read.
pub const MAY_READ: u32 = 4;

/// The major number of loop devices.
pub const LOOP_MAJOR: u32 = 7;

/// A device that the kernel itself serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Device {
    Null,
    Zero,
    Full,
    Random,
    Urandom,
    Tty,
    Console,
    Ptmx,
    /// /dev/loop-control.
    LoopControl,
    /// One that has no driver here, by major and minor number.
    Other(u32, u32),
    /// /dev/pts/N.
    Pts(u32),
}

impl Device {
    /// All of them that are always there.
    pub const ALL: [Device; 9] = [
        Device::Null,
        Device::Zero,
        Device::Full,
        Device::Random,
        Device::Urandom,
        Device::Tty,
        Device::Console,
        Device::Ptmx,
        Device::LoopControl,
    ];

    /// (major, minor), as Documentation/admin-guide/devices.txt lists them.
    pub const fn rdev(self) -> (u32, u32) {
        match self {
            Device::Null => (1, 3),
            Device::Zero => (1, 5),
            Device::Full => (1, 7),
            Device::Random => (1, 8),
            Device::Urandom => (1, 9),
            Device::Tty => (5, 0),
            Device::Console => (5, 1),
            Device::Ptmx => (5, 2),
            Device::LoopControl => (10, 237),
            Device::Other(major, minor) => (major, minor),
            Device::Pts(index) => (136, index),
        }
    }
}

/// What an inode is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InodeKind {
    /// A regular file.
    Regular(FileBytes),
    /// A directory; its children are in its dentry.
    Directory {
        /// The machine's directory that shows through, if one does.
        below: Option<Vec<u8>>,
        /// All names of `below` are among the dentry's children.
        listed: bool,
    },
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice(Device),
    /// A block device, by its numbers.
    BlockDevice((u32, u32)),
    /// A FIFO, with its pipe while somebody has it open.
    Fifo(Option<PipeId>),
    /// A file, link or directory of /proc whose text is made when it is asked for.
    Proc(ProcNode),
    /// A file in the directory of a control group.
    Cgroup(CgroupId, CgroupFile),
    /// The name of an AF_UNIX socket, with the socket while it lives. The machine's own sockets
    /// and devices are shown as sockets without one.
    Socket(Option<SocketId>),
}

/// One file, directory, link or device.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Inode {
    pub ino: u64,
    /// Minor number of st_dev: which file system (`mount`).
    pub dev: u32,
    pub kind: InodeKind,
    /// Permission bits (07777), no type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub atime: Timespec,
    pub mtime: Timespec,
    pub ctime: Timespec,
    pub btime: Timespec,
    /// Dentries that name it.
    pub i_count: u32,
    /// The machine said that it can be read (asked once, at the first open).
    pub probed: bool,
    /// Made by O_TMPFILE without O_EXCL: link(2) may give it a name (I_LINKABLE).
    pub linkable: bool,
    /// F_SEAL_* of a memfd; None for all other files.
    pub seals: Option<u32>,
    /// A machine's file that was mapped shared: see `Kernel::mmap_backing`.
    pub shown_below: bool,
    /// Extended attributes by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// FS_*_FL, as chattr(1) sets them: see `fileattr`.
    pub fsflags: u32,
}

impl Inode {
    /// The type bits of st_mode.
    pub fn file_type(&self) -> u32 {
        match &self.kind {
            InodeKind::Regular(_) | InodeKind::Cgroup(..) => S_IFREG,
            InodeKind::Directory { .. } => S_IFDIR,
            InodeKind::Symlink(_) => S_IFLNK,
            InodeKind::CharDevice(_) => S_IFCHR,
            InodeKind::BlockDevice(_) => S_IFBLK,
            InodeKind::Fifo(_) => S_IFIFO,
            InodeKind::Socket(_) => S_IFSOCK,
            InodeKind::Proc(node) => node.file_type(),
        }
    }

    /// d_type of getdents(2) for this inode.
    pub fn d_type(&self) -> u8 {
        d_type(self.file_type())
    }

    /// A directory?
    pub fn is_dir(&self) -> bool {
        self.file_type() == S_IFDIR
    }

    /// A symbolic link?
    pub fn is_symlink(&self) -> bool {
        self.file_type() == S_IFLNK
    }

    /// A regular file?
    pub fn is_reg(&self) -> bool {
        self.file_type() == S_IFREG
    }

    /// A character or block device?
    pub fn is_device(&self) -> bool {
        [S_IFCHR, S_IFBLK].contains(&self.file_type())
    }

    /// i_size as stat(2) tells it.
    pub fn size(&self) -> u64 {
        match &self.kind {
            InodeKind::Regular(bytes) => bytes.size(),
            InodeKind::Symlink(target) => target.len() as u64,
            InodeKind::Directory { .. } if self.dev == dev::CGROUP2 => 0,
            InodeKind::Directory { .. } => 4096,
            InodeKind::Proc(node) => node.size(),
            InodeKind::CharDevice(_)
            | InodeKind::BlockDevice(_)
            | InodeKind::Fifo(_)
            | InodeKind::Cgroup(..)
            | InodeKind::Socket(_) => 0,
        }
    }

    /// generic_permission(): may `cred` do `mask` (MAY_*)? Root may all but execute what nobody may.
    pub fn permission(&self, users: &UserNamespaces, cred: &Cred, mask: u32) -> Result<(), Errno> {
        let class = if cred.fsuid == self.uid {
            6
        } else if in_group(cred, self.gid) {
            3
        } else {
            0
        };
        if (self.mode >> class) & 7 & mask == mask {
            return Ok(());
        }
        let reads = if self.is_dir() { mask & MAY_WRITE == 0 } else { mask == MAY_READ };
        let executable = self.is_dir() || self.mode & 0o111 != 0;
        let caps = users.caps_over_file(cred, self.uid, self.gid);
        let over = caps.has(Cap::DacOverride) && (mask & MAY_EXEC == 0 || executable);
        if over || reads && caps.has(Cap::DacReadSearch) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// inode_owner_or_capable(): may `cred` change mode and times?
    pub fn owner_or_capable(&self, users: &UserNamespaces, cred: &Cred) -> bool {
        let known = users.from_kid(cred.user_ns, IdKind::User, self.uid).is_some();
        cred.fsuid == self.uid || known && cred.has_cap(Cap::Fowner)
    }

    /// What a write or a change of owner takes away: set-user-id, and set-group-id where the group
    /// may execute.
    pub fn kill_suid(&mut self) {
        if self.is_reg() {
            self.mode &= !S_ISUID;
            if self.mode & 0o010 != 0 {
                self.mode &= !S_ISGID;
            }
        }
    }

    /// check_sticky(): true if this directory's sticky bit forbids `cred` to remove `victim`.
    pub fn sticky_forbids(&self, users: &UserNamespaces, cred: &Cred, victim: &Inode) -> bool {
        self.mode & S_ISVTX != 0
            && cred.fsuid != victim.uid
            && cred.fsuid != self.uid
            && !users.caps_over_file(cred, victim.uid, victim.gid).has(Cap::Fowner)
    }
}

/// d_type of getdents(2) for the type bits of a mode.
pub const fn d_type(file_type: u32) -> u8 {
    ((file_type & S_IFMT) >> 12) as u8
}

/// in_group_p(): fsgid or one of the supplementary groups.
pub fn in_group(cred: &Cred, gid: u32) -> bool {
    cred.fsgid == gid || cred.groups.contains(&gid)
}

/// `cred` with its real ids in place of the file-system ones: what access(2) asks with. `root` is
/// who is root in its user namespace.
pub fn access_override_creds(cred: &Cred, root: Option<u32>) -> Cred {
    let cap_effective = if Some(cred.uid) == root { cred.cap_permitted } else { CapSet::EMPTY };
    Cred { fsuid: cred.uid, fsgid: cred.gid, cap_effective, ..cred.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32) -> Inode {
        Inode {
            ino: 1,
            dev: 1,
            kind: InodeKind::Regular(FileBytes::default()),
            mode,
            uid: 10,
            gid: 20,
            nlink: 1,
            atime: Timespec::default(),
            mtime: Timespec::default(),
            ctime: Timespec::default(),
            btime: Timespec::default(),
            i_count: 1,
            probed: false,
            linkable: false,
            seals: None,
            shown_below: false,
            xattrs: BTreeMap::new(),
            fsflags: 0,
        }
    }

    #[test]
    fn the_owners_class_decides_even_when_others_may_more() {
        let owner = Cred::user(10, 20);
        assert_eq!(
            file(0o077).permission(&UserNamespaces::default(), &owner, MAY_READ),
            Err(Errno::EACCES)
        );
        let member = Cred { groups: vec![20], ..Cred::user(11, 99) };
        assert_eq!(
            file(0o707).permission(&UserNamespaces::default(), &member, MAY_READ),
            Err(Errno::EACCES)
        );
        assert_eq!(
            file(0o704).permission(&UserNamespaces::default(), &Cred::user(11, 99), MAY_READ),
            Ok(())
        );
    }

    #[test]
    fn root_executes_only_what_somebody_may_execute() {
        let root = Cred::default();
        assert_eq!(
            file(0o000).permission(&UserNamespaces::default(), &root, MAY_READ | MAY_WRITE),
            Ok(())
        );
        assert_eq!(
            file(0o666).permission(&UserNamespaces::default(), &root, MAY_EXEC),
            Err(Errno::EACCES)
        );
        assert_eq!(file(0o001).permission(&UserNamespaces::default(), &root, MAY_EXEC), Ok(()));
    }
}
