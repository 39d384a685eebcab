//! stat(2) and its relatives, statx(2), statfs(2), access(2). Every open file has a stat, also those
//! without a name: pipes, sockets and anonymous files get fixed devices and numbers of ours.
//! Neighbours: `abi/stat` (layouts), `namei`, `mount` (file systems).

use crate::abi::Errno;
use crate::abi::stat::{S_IFCHR, S_IFIFO, S_IFREG, S_IFSOCK, Stat, Statfs};
use crate::fs::console::StreamKind;
use crate::fs::dcache::{DentryId, Vfs};
use crate::fs::file::{FileId, FileKind};
use crate::fs::file_bytes::PAGE;
use crate::fs::inode::{InodeKind, MAY_EXEC, MAY_WRITE, access_override_creds};
use crate::fs::mount::{MountId, dev, tmpfs};
use crate::fs::namei::{AT_FDCWD, Found, Lookup};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use linux_raw_sys::general as raw;

const AT_SYMLINK_NOFOLLOW: u32 = raw::AT_SYMLINK_NOFOLLOW;
const AT_NO_AUTOMOUNT: u32 = 0x800;
const AT_EMPTY_PATH: u32 = raw::AT_EMPTY_PATH;
const AT_EACCESS: u32 = 0x200;
/// Where unique mount ids begin.
const MNT_UNIQUE_ID_OFFSET: u64 = 1 << 31;

impl Kernel {
    /// vfs_getattr() of a name.
    pub fn path_stat(&self, path: Path) -> Stat {
        Stat {
            mnt_id: self.vfs.mounts[&path.mnt].id,
            mnt_id_unique: MNT_UNIQUE_ID_OFFSET + u64::from(path.mnt.0),
            mount_root: self.vfs.is_mount_root(path),
            ..self.dentry_stat(path.dentry)
        }
    }

    /// The same without what the mount says.
    fn dentry_stat(&self, dentry: DentryId) -> Stat {
        let inode = self.vfs.inode(dentry);
        let (rdev, blocks) = match &inode.kind {
            InodeKind::CharDevice(device) => (device.rdev(), 0),
            InodeKind::BlockDevice(rdev) => (*rdev, 0),
            InodeKind::Regular(bytes) => ((0, 0), bytes.allocated() / 512),
            InodeKind::Directory { .. }
            | InodeKind::Symlink(_)
            | InodeKind::Fifo(_)
            | InodeKind::Proc(_)
            | InodeKind::Cgroup(..)
            | InodeKind::Socket(_) => ((0, 0), 0),
        };
        Stat {
            dev: (0, inode.dev),
            ino: inode.ino,
            mode: inode.file_type() | inode.mode,
            nlink: inode.nlink,
            uid: inode.uid,
            gid: inode.gid,
            rdev,
            size: self.inode_size(dentry),
            blksize: PAGE as u32,
            blocks,
            atime: inode.atime,
            mtime: inode.mtime,
            ctime: inode.ctime,
            btime: inode.btime,
            mnt_id: 0,
            mnt_id_unique: 0,
            mount_root: false,
            dio_align: match inode.kind {
                InodeKind::BlockDevice(rdev) => self.vfs.bdev_dio_align(rdev),
                _ => 0, // regular files in memory have no direct I/O
            },
            attributes: (
                inode.statx_attributes(),
                if self.has_fileattr(dentry) { 0x70 } else { 0 },
            ),
        }
    }

    /// i_size: a directory of tmpfs has twenty bytes for each name (BOGO_DIRENT_SIZE), its own two
    /// included.
    fn inode_size(&self, dentry: DentryId) -> u64 {
        let inode = self.vfs.inode(dentry);
        let tmpfs = self.vfs.shmem.contains_key(&inode.dev)
            || [dev::SHM, dev::DEVTMPFS].contains(&inode.dev);
        if inode.is_dir() && tmpfs {
            return 20 * (2 + self.vfs.dentries[dentry].children.len() as u64);
        }
        inode.size()
    }

    /// vfs_getattr() of an open file of any kind.
    pub fn file_stat(&self, file: FileId) -> Stat {
        let f = &self.files[file];
        if let Some(path) = f.path {
            return self.path_stat(path);
        }
        if let FileKind::Anon(id) = f.kind
            && let Some(ns) = self.anon.namespace(id)
        {
            return self.ns_stat(ns);
        }
        let tty = (dev::DEVPTS, S_IFCHR | 0o600, (136, 0));
        let null = (dev::DEVTMPFS, S_IFCHR | 0o666, (1, 3));
        let (dev, mode, rdev) = match f.kind {
            FileKind::Pipe(_) => (dev::PIPEFS, S_IFIFO | 0o600, (0, 0)),
            FileKind::Socket(_) => (dev::SOCKFS, S_IFSOCK | 0o777, (0, 0)),
            FileKind::Epoll(_) | FileKind::Anon(_) => (dev::ANON_INODEFS, 0o600, (0, 0)),
            FileKind::Inode => (dev::TMPFS, S_IFREG | 0o600, (0, 0)),
            // They always have a dentry.
            FileKind::PtyMaster(tty) | FileKind::PtySlave(tty) => {
                (dev::DEVPTS, S_IFCHR | 0o600, self.ttys[tty].rdev())
            }
            FileKind::Console(stream) => match self.console.kind(stream) {
                StreamKind::Pipe => (dev::PIPEFS, S_IFIFO | 0o600, (0, 0)),
                StreamKind::File => (dev::TMPFS, S_IFREG | 0o644, (0, 0)),
                StreamKind::Tty => tty,
                StreamKind::Null => null,
            },
            FileKind::Null => null,
            FileKind::Zero | FileKind::Full | FileKind::Urandom => null,
            // They always have a dentry.
            FileKind::Loop(_) | FileKind::LoopControl => null,
        };
        let boot = self.vfs.current_time(crate::time::Instant::ZERO);
        Stat {
            dev: (0, dev),
            ino: self.nameless_ino(file),
            mode,
            nlink: 1,
            rdev,
            blksize: PAGE as u32,
            atime: boot,
            mtime: boot,
            ctime: boot,
            ..Stat::default()
        }
    }

    /// The number of a file without a name: the one in `pipe:[n]`, `socket:[n]`.
    pub fn nameless_ino(&self, file: FileId) -> u64 {
        match self.files[file].kind {
            FileKind::Pipe(pipe) => self.pipes[pipe].ino.unwrap_or(0),
            FileKind::Socket(socket) => self.socket_ino(socket),
            // All anonymous files share one inode.
            FileKind::Epoll(_) | FileKind::Anon(_) => 1057,
            FileKind::Inode
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_) => 12,
            FileKind::Console(stream) => 13 + u64::from(stream),
        }
    }

    /// What /proc/PID/fd/N shows for a file without a name.
    pub fn nameless_path(&self, file: FileId) -> Vec<u8> {
        let ino = self.nameless_ino(file);
        match self.files[file].kind {
            FileKind::Pipe(_) => format!("pipe:[{ino}]").into(),
            FileKind::Socket(_) => format!("socket:[{ino}]").into(),
            FileKind::Epoll(_) => b"anon_inode:[eventpoll]".to_vec(),
            FileKind::Anon(anon) => match self.anon.namespace(anon) {
                Some(ns) => self.ns_name(ns).into(),
                None => self.describe_anon(anon).into(),
            },
            FileKind::Console(stream) => match self.console.kind(stream) {
                StreamKind::Pipe => format!("pipe:[{ino}]").into(),
                StreamKind::Tty => b"/dev/pts/0".to_vec(),
                StreamKind::Null => b"/dev/null".to_vec(),
                StreamKind::File => format!("/console/{stream}").into(),
            },
            FileKind::Null => b"/dev/null".to_vec(),
            FileKind::Zero => b"/dev/zero".to_vec(),
            FileKind::Full => b"/dev/full".to_vec(),
            FileKind::Urandom => b"/dev/urandom".to_vec(),
            FileKind::PtyMaster(_)
            | FileKind::PtySlave(_)
            | FileKind::Loop(_)
            | FileKind::LoopControl => self.describe_file(file).to_string().into_bytes(),
            FileKind::Inode => b"/".to_vec(),
        }
    }

    /// stat(2).
    pub fn sys_stat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_stat(call, AT_FDCWD, call.ptr(0), call.ptr(1), 0)
    }

    /// lstat(2).
    pub fn sys_lstat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_stat(call, AT_FDCWD, call.ptr(0), call.ptr(1), AT_SYMLINK_NOFOLLOW)
    }

    /// fstat(2).
    pub fn sys_fstat(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.table(call.task).get(call.int(0))?;
        let stat = self.cp_stat(call.task, self.file_stat(file));
        call.write_user(call.ptr(1), &stat.to_stat())?;
        Ok(0)
    }

    /// newfstatat(2), which is fstatat(3).
    pub fn sys_newfstatat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_stat(call, call.int(0), call.ptr(1), call.ptr(2), call.arg(3) as u32)
    }

    fn do_stat(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: UserPtr,
        into: UserPtr,
        flags: u32,
    ) -> SysResult {
        let stat = self.vfs_statx(call, dfd, path, flags)?;
        call.write_user(into, &stat.to_stat())?;
        Ok(0)
    }

    /// vfs_statx(): by path, or by descriptor with AT_EMPTY_PATH and an empty (or no) path.
    fn vfs_statx(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: UserPtr,
        flags: u32,
    ) -> Result<Stat, Errno> {
        let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | raw::AT_STATX_SYNC_TYPE;
        if flags & !known != 0 {
            return Err(Errno::EINVAL);
        }
        let empty = flags & AT_EMPTY_PATH != 0;
        let path = if empty && path.is_null() { Vec::new() } else { call.read_path(path)? };
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        let lookup = Lookup { follow, empty, ..Lookup::NOFOLLOW };
        let stat = match self.filename_lookup(call.task, dfd, &path, lookup, call.user)? {
            Found::Path(path) => self.path_stat(path),
            Found::File(file) => self.file_stat(file),
            Found::Namespace(ns) => self.ns_stat(ns),
        };
        Ok(self.cp_stat(call.task, stat))
    }

    /// cp_new_stat(): the owners as the caller's user namespace calls them.
    fn cp_stat(&self, task: TaskId, stat: Stat) -> Stat {
        let (uid, gid) = (self.uid_seen_by(task, stat.uid), self.gid_seen_by(task, stat.gid));
        Stat { uid, gid, ..stat }
    }

    /// statx(2).
    pub fn sys_statx(&mut self, call: &mut Call<'_>) -> SysResult {
        let (flags, mask) = (call.arg(2) as u32, call.arg(3) as u32);
        if mask & raw::STATX__RESERVED != 0
            || flags & raw::AT_STATX_SYNC_TYPE == raw::AT_STATX_SYNC_TYPE
        {
            return Err(Errno::EINVAL.into());
        }
        let stat = self.vfs_statx(call, call.int(0), call.ptr(1), flags)?;
        call.write_user(call.ptr(4), &stat.to_statx(mask))?;
        Ok(0)
    }

    /// access(2).
    pub fn sys_access(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_faccessat(call, AT_FDCWD, call.ptr(0), call.arg(1) as u32, 0)
    }

    /// faccessat(2), without flags.
    pub fn sys_faccessat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_faccessat(call, call.int(0), call.ptr(1), call.arg(2) as u32, 0)
    }

    /// faccessat2(2).
    pub fn sys_faccessat2(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_faccessat(call, call.int(0), call.ptr(1), call.arg(2) as u32, call.arg(3) as u32)
    }

    fn do_faccessat(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: UserPtr,
        mode: u32,
        flags: u32,
    ) -> SysResult {
        if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let path = call.read_path(path)?;
        let lookup = Lookup {
            follow: flags & AT_SYMLINK_NOFOLLOW == 0,
            empty: flags & AT_EMPTY_PATH != 0,
            ..Lookup::NOFOLLOW
        };
        let effective = self.tasks[call.task].cred.clone();
        let cred = if flags & AT_EACCESS != 0 {
            effective.clone()
        } else {
            access_override_creds(&effective, self.make_kuid(call.task, 0).ok())
        };
        // The walk is done with those credentials too.
        self.tasks[call.task].cred = cred.clone();
        let found = self.filename_lookup(call.task, dfd, &path, lookup, call.user);
        self.tasks[call.task].cred = effective;
        match found? {
            Found::Path(path) => self.access_path(path, &cred, mode)?,
            Found::File(file) => {
                // What has no name is its maker's, readable and writable.
                let executable = self.file_stat(file).mode & 0o111 != 0;
                if mode & MAY_EXEC != 0 && !executable {
                    return Err(Errno::EACCES.into());
                }
            }
            Found::Namespace(_) => {
                let write = mode & MAY_WRITE != 0 && !cred.capable(Cap::DacOverride);
                if mode & MAY_EXEC != 0 || write {
                    return Err(Errno::EACCES.into());
                }
            }
        }
        Ok(0)
    }

    /// The end of do_faccessat().
    fn access_path(&self, path: Path, cred: &crate::task::Cred, mode: u32) -> Result<(), Errno> {
        let inode = self.vfs.inode(path.dentry);
        if mode & MAY_EXEC != 0 && inode.is_reg() && self.vfs.path_noexec(path) {
            return Err(Errno::EACCES);
        }
        self.inode_permission(path.dentry, cred, mode & (MAY_EXEC | MAY_WRITE | 4))?;
        let stored = inode.is_reg() || inode.is_dir() || inode.is_symlink();
        if mode & MAY_WRITE != 0 && stored { self.vfs.mnt_want_write(path.mnt) } else { Ok(()) }
    }

    /// ustat(2): free blocks and inodes of a mounted file system, by its device number.
    pub fn sys_ustat(&mut self, call: &mut Call<'_>) -> SysResult {
        let dev = call.arg(0) as u32;
        let (major, minor) = ((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xf_ff00));
        self.vfs.super_of(minor).filter(|_| major == 0).ok_or(Errno::EINVAL)?;
        let statfs = self.statfs_of(minor, None);
        let mut out = [0; 32];
        out[..4].copy_from_slice(&(statfs.bfree as u32).to_le_bytes());
        out[8..16].copy_from_slice(&statfs.ffree.to_le_bytes());
        call.write_user(call.ptr(1), &out)?;
        Ok(0)
    }

    /// statfs(2).
    pub fn sys_statfs(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = call.read_path(call.ptr(0))?;
        let found = self.filename_lookup(call.task, AT_FDCWD, &path, Lookup::FOLLOW, call.user)?;
        self.write_statfs(call, found)
    }

    /// fstatfs(2).
    pub fn sys_fstatfs(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.table(call.task).get(call.int(0))?;
        self.write_statfs(call, self.files[file].path.map_or(Found::File(file), Found::Path))
    }

    fn write_statfs(&mut self, call: &mut Call<'_>, found: Found) -> SysResult {
        let (dev, mnt) = match found {
            Found::Path(path) => (self.vfs.inode(path.dentry).dev, Some(path.mnt)),
            Found::File(file) => (self.file_stat(file).dev.1, None),
            Found::Namespace(_) => (dev::NSFS, None),
        };
        let statfs = self.statfs_of(dev, mnt);
        call.write_user(call.ptr(1), &statfs.to_bytes())?;
        Ok(0)
    }

    /// Size and kind of a file system, by its minor number. Everything writable is memory: all of
    /// the host's for `/`, half of it elsewhere, as tmpfs has it, and what mount(2) was told.
    fn statfs_of(&self, minor: u32, mnt: Option<MountId>) -> Statfs {
        const ST_VALID: u64 = 0x20;
        const ST_RELATIME: u64 = 0x1000;
        let sb = self.vfs.super_of(minor);
        let magic = match minor {
            dev::PIPEFS => 0x5049_5045,
            dev::NSFS => 0x6e73_6673,
            dev::SOCKFS => 0x534f_434b,
            dev::ANON_INODEFS => 0x0904_1934,
            dev::TMPFS => tmpfs::MAGIC,
            _ => sb.map_or(0, |sb| sb.magic),
        };
        let all = self.config.memory / PAGE;
        let free = all.saturating_sub(self.vfs.resident / PAGE);
        let [blocks, bfree, files, ffree] = match (minor, self.vfs.shmem.get(&minor)) {
            (_, Some(sb)) => {
                let (bfree, ffree) = (sb.free_blocks(), sb.free_inodes());
                [sb.max_blocks, bfree.unwrap_or(0), sb.max_inodes, ffree.unwrap_or(0)]
            }
            (dev::OVERLAY, None) => [all, free, 1 << 20, 1 << 19],
            (dev::SHM | dev::DEVTMPFS | dev::TMPFS, None) => {
                [all / 2, free.min(all / 2), 1 << 20, 1 << 19]
            }
            _ => [0; 4], // nothing can be put there
        };
        Statfs {
            kind: magic,
            bsize: PAGE,
            blocks,
            bfree,
            files,
            ffree,
            fsid: u64::from(minor),
            namelen: 255,
            flags: ST_VALID | mnt.map_or(ST_RELATIME, |mnt| self.vfs.statfs_flags(mnt)),
        }
    }
}

impl Vfs {
    /// calculate_f_flags(): ST_* of a mount. They are MS_* but for two.
    fn statfs_flags(&self, mnt: MountId) -> u64 {
        const ST_RELATIME: u32 = 0x1000;
        const ST_NOSYMFOLLOW: u32 = 0x2000;
        let same =
            raw::MS_NOSUID | raw::MS_NODEV | raw::MS_NOEXEC | raw::MS_NOATIME | raw::MS_NODIRATIME;
        let of_sb = raw::MS_SYNCHRONOUS | raw::MS_MANDLOCK;
        let mount = &self.mounts[&mnt];
        let sb_flags = self.super_of(mount.dev).map_or(0, |sb| sb.flags);
        let mut flags = mount.flags & same | sb_flags & of_sb;
        for (mount_has, flag) in [
            (self.mnt_is_readonly(mnt), raw::MS_RDONLY),
            (mount.has(raw::MS_RELATIME), ST_RELATIME),
            (mount.has(raw::MS_NOSYMFOLLOW), ST_NOSYMFOLLOW),
        ] {
            flags |= if mount_has { flag } else { 0 };
        }
        u64::from(flags)
    }
}
