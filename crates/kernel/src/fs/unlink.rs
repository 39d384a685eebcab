//! Making and removing names: mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2),
//! readlink(2). Errors come in the order of Linux's namei.
//! Neighbours: `create`, `namei` (walks), `rename`, `overlay` (whiteouts).

use crate::abi::Errno;
use crate::abi::stat::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID,
};
use crate::fs::dcache::DentryId;
use crate::fs::file_bytes::FileBytes;
use crate::fs::inode::{Device, InodeKind, MAY_EXEC, MAY_READ, MAY_WRITE};
use crate::fs::mount::dev;
use crate::fs::namei::{AT_FDCWD, Found, Last, Link, Lookup};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::{Platform, UserPtr};
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use linux_raw_sys::general as raw;

const AT_REMOVEDIR: u32 = raw::AT_REMOVEDIR;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const AT_EMPTY_PATH: u32 = raw::AT_EMPTY_PATH;

impl Kernel {
    /// filename_create(): the directory and the name for something new. EEXIST if it is there,
    /// ENOENT for a slash behind what is to be no directory.
    pub fn filename_create(
        &mut self,
        task: TaskId,
        dfd: i32,
        path: &[u8],
        is_dir: bool,
        user: &mut dyn Platform,
    ) -> Result<(Path, Vec<u8>), Errno> {
        let (dir, name) = self.filename_parentat(task, dfd, path, user)?;
        let Last::Norm(last) = name.last else { return Err(Errno::EEXIST) };
        if self.lookup(dir.dentry, &last, user)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if name.slash && !is_dir {
            return Err(Errno::ENOENT);
        }
        self.vfs.mnt_want_write(dir.mnt)?;
        match self.vfs.inode(dir.dentry).dev {
            dev if self.vfs.is_proc(dev) => Err(Errno::ENOENT),
            dev::DEVPTS => Err(Errno::EPERM),
            _ => Ok((dir, last)),
        }
    }

    /// mkdir(2).
    pub fn sys_mkdir(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_mkdirat(call, AT_FDCWD, call.ptr(0), call.arg(1) as u32)
    }

    /// mkdirat(2).
    pub fn sys_mkdirat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_mkdirat(call, call.int(0), call.ptr(1), call.arg(2) as u32)
    }

    fn do_mkdirat(&mut self, call: &mut Call<'_>, dfd: i32, path: UserPtr, mode: u32) -> SysResult {
        let path = call.read_path(path)?;
        let (dir, name) = self.filename_create(call.task, dfd, &path, true, call.user)?;
        if self.vfs.is_cgroup(dir.dentry) {
            self.cgroup_mkdir(call.task, dir.dentry, &name, mode & 0o1777)?;
            return Ok(0);
        }
        // Nothing of the machine's shows through in a new directory.
        let kind = InodeKind::Directory { below: None, listed: true };
        self.create_in(call.task, dir.dentry, &name, kind, mode & 0o1777)?;
        Ok(0)
    }

    /// mknod(2).
    pub fn sys_mknod(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_mknodat(call, AT_FDCWD, call.ptr(0), call.arg(1) as u32, call.arg(2))
    }

    /// mknodat(2).
    pub fn sys_mknodat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_mknodat(call, call.int(0), call.ptr(1), call.arg(2) as u32, call.arg(3))
    }

    fn do_mknodat(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: UserPtr,
        mode: u32,
        rdev: u64,
    ) -> SysResult {
        let kind = match mode & S_IFMT {
            0 | S_IFREG => InodeKind::Regular(FileBytes::default()),
            S_IFIFO => InodeKind::Fifo(None),
            S_IFSOCK => InodeKind::Socket(None),
            // Which device it would be is looked at when the name was found to be free.
            S_IFCHR | S_IFBLK => InodeKind::CharDevice(Device::Null),
            S_IFDIR => return Err(Errno::EPERM.into()),
            _ => return Err(Errno::EINVAL.into()),
        };
        let path = call.read_path(path)?;
        let (dir, name) = self.filename_create(call.task, dfd, &path, false, call.user)?;
        let kind = match kind {
            InodeKind::CharDevice(_) => self.device_node(call.task, dir.dentry, mode, rdev)?,
            kind => kind,
        };
        self.create_in(call.task, dir.dentry, &name, kind, mode)?;
        Ok(0)
    }

    /// A device node of root's. Opening it is ENXIO if there is no such device.
    /// new_decode_dev(): the numbers are in the low 32 bits.
    fn device_node(
        &mut self,
        task: TaskId,
        dir: DentryId,
        mode: u32,
        rdev: u64,
    ) -> Result<InodeKind, Errno> {
        self.may_create(task, dir)?;
        if !self.tasks[task].cred.capable(Cap::Mknod) {
            return Err(Errno::EPERM);
        }
        let rdev = rdev as u32;
        let (major, minor) = ((rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xf_ff00));
        let device = Device::ALL.into_iter().find(|d| d.rdev() == (major, minor));
        Ok(match device {
            Some(device) if mode & S_IFMT == S_IFCHR => InodeKind::CharDevice(device),
            None if mode & S_IFMT == S_IFCHR => InodeKind::CharDevice(Device::Other(major, minor)),
            _ => InodeKind::BlockDevice((major, minor)),
        })
    }

    /// symlink(2).
    pub fn sys_symlink(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_symlinkat(call, call.ptr(0), AT_FDCWD, call.ptr(1))
    }

    /// symlinkat(2).
    pub fn sys_symlinkat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_symlinkat(call, call.ptr(0), call.int(1), call.ptr(2))
    }

    fn do_symlinkat(
        &mut self,
        call: &mut Call<'_>,
        target: UserPtr,
        dfd: i32,
        path: UserPtr,
    ) -> SysResult {
        let target = call.read_path(target)?;
        if target.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        let path = call.read_path(path)?;
        let (dir, name) = self.filename_create(call.task, dfd, &path, false, call.user)?;
        self.create_in(call.task, dir.dentry, &name, InodeKind::Symlink(target), 0o777)?;
        Ok(0)
    }

    /// link(2).
    pub fn sys_link(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_linkat(call, (AT_FDCWD, call.ptr(0)), (AT_FDCWD, call.ptr(1)), 0)
    }

    /// linkat(2).
    pub fn sys_linkat(&mut self, call: &mut Call<'_>) -> SysResult {
        let (old, new) = ((call.int(0), call.ptr(1)), (call.int(2), call.ptr(3)));
        self.do_linkat(call, old, new, call.arg(4) as u32)
    }

    fn do_linkat(
        &mut self,
        call: &mut Call<'_>,
        old: (i32, UserPtr),
        new: (i32, UserPtr),
        flags: u32,
    ) -> SysResult {
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let task = call.task;
        let empty = flags & AT_EMPTY_PATH != 0;
        let old_path = call.read_path(old.1)?;
        if empty && old_path.is_empty() && !self.tasks[task].cred.capable(Cap::DacReadSearch) {
            return Err(Errno::ENOENT.into());
        }
        let follow = flags & AT_SYMLINK_FOLLOW != 0;
        let lookup = Lookup { follow, empty, ..Lookup::NOFOLLOW };
        let source = self.filename_lookup(task, old.0, &old_path, lookup, call.user)?;
        let new_path = call.read_path(new.1)?;
        let (dir, name) = self.filename_create(task, new.0, &new_path, false, call.user)?;
        // What has no name is on a file system of its own.
        let Found::Path(source) = source else { return Err(Errno::EXDEV.into()) };
        if source.mnt != dir.mnt {
            return Err(Errno::EXDEV.into());
        }
        self.may_linkat(task, source.dentry)?;
        self.vfs_link(task, source.dentry, dir.dentry, &name)?;
        Ok(0)
    }

    /// may_linkat() with fs.protected_hardlinks = 1: others' files only if they are plain, not
    /// set-id, and readable and writable for the caller.
    fn may_linkat(&self, task: TaskId, source: DentryId) -> Result<(), Errno> {
        let (cred, inode) = (&self.tasks[task].cred, self.vfs.inode(source));
        if inode.owner_or_capable(&self.namespaces.user, cred) {
            return Ok(());
        }
        let set_id = inode.mode & S_ISUID != 0 || inode.mode & (S_ISGID | 0o010) == S_ISGID | 0o010;
        let usable = self.inode_permission(source, cred, MAY_READ | MAY_WRITE).is_ok();
        if inode.is_reg() && !set_id && usable { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn vfs_link(
        &mut self,
        task: TaskId,
        source: DentryId,
        dir: DentryId,
        name: &[u8],
    ) -> Result<(), Errno> {
        self.may_create(task, dir)?;
        let dev = self.vfs.inode(dir).dev;
        if [dev::DEVPTS, dev::CGROUP2].contains(&dev)
            || self.vfs.is_proc(dev)
            || self.vfs.inode(source).is_dir()
            || self.vfs.inode(source).is_append()
            || self.vfs.inode(source).is_immutable()
        {
            return Err(Errno::EPERM);
        }
        let time = self.current_time();
        let inode = self.vfs.inode_mut(source);
        if inode.nlink == 0 && !inode.linkable {
            return Err(Errno::ENOENT);
        }
        inode.nlink += 1;
        inode.ctime = time;
        let inode = self.vfs.dentries[source].inode;
        let dentry = self.vfs.d_add(dir, name, inode);
        self.touch_dir(dir);
        self.fsnotify_link_count(inode);
        self.fsnotify_create(dir, dentry);
        Ok(())
    }

    /// unlink(2).
    pub fn sys_unlink(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = call.read_path(call.ptr(0))?;
        self.do_unlinkat(call, AT_FDCWD, &path)
    }

    /// rmdir(2).
    pub fn sys_rmdir(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = call.read_path(call.ptr(0))?;
        self.do_rmdir(call, AT_FDCWD, &path)
    }

    /// unlinkat(2).
    pub fn sys_unlinkat(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(2) as u32;
        if flags & !AT_REMOVEDIR != 0 {
            return Err(Errno::EINVAL.into());
        }
        let path = call.read_path(call.ptr(1))?;
        if flags & AT_REMOVEDIR != 0 {
            self.do_rmdir(call, call.int(0), &path)
        } else {
            self.do_unlinkat(call, call.int(0), &path)
        }
    }

    fn do_unlinkat(&mut self, call: &mut Call<'_>, dfd: i32, path: &[u8]) -> SysResult {
        let (dir, name) = self.filename_parentat(call.task, dfd, path, call.user)?;
        let Last::Norm(last) = name.last else { return Err(Errno::EISDIR.into()) };
        self.vfs.mnt_want_write(dir.mnt)?;
        let dir = dir.dentry;
        let victim = self.lookup(dir, &last, call.user)?.ok_or(Errno::ENOENT)?;
        if name.slash {
            let dir = self.vfs.inode(victim).is_dir();
            return Err(if dir { Errno::EISDIR } else { Errno::ENOTDIR }.into());
        }
        self.may_delete(call.task, dir, victim, false)?;
        self.remove_name(victim, call.user);
        Ok(0)
    }

    fn do_rmdir(&mut self, call: &mut Call<'_>, dfd: i32, path: &[u8]) -> SysResult {
        let (dir, name) = self.filename_parentat(call.task, dfd, path, call.user)?;
        let last = match name.last {
            Last::Norm(last) => last,
            Last::DotDot => return Err(Errno::ENOTEMPTY.into()),
            Last::Dot => return Err(Errno::EINVAL.into()),
            Last::Root => return Err(Errno::EBUSY.into()),
        };
        self.vfs.mnt_want_write(dir.mnt)?;
        let dir = dir.dentry;
        let victim = self.lookup(dir, &last, call.user)?.ok_or(Errno::ENOENT)?;
        self.may_delete(call.task, dir, victim, true)?;
        if self.vfs.is_cgroup(victim) {
            self.cgroup_rmdir(victim)?;
            return Ok(0);
        }
        if !self.vfs.is_empty(victim, call.user)? {
            return Err(Errno::ENOTEMPTY.into());
        }
        self.remove_name(victim, call.user);
        Ok(0)
    }

    /// may_delete(): may `task` take `victim` out of `dir`, by a call that wants a directory or
    /// wants none?
    pub fn may_delete(
        &self,
        task: TaskId,
        dir: DentryId,
        victim: DentryId,
        want_dir: bool,
    ) -> Result<(), Errno> {
        let cred = &self.tasks[task].cred;
        self.inode_permission(dir, cred, MAY_WRITE | MAY_EXEC)?;
        let (parent, inode) = (self.vfs.inode(dir), self.vfs.inode(victim));
        if parent.is_append()
            || parent.sticky_forbids(&self.namespaces.user, cred, inode)
            || inode.is_append()
            || inode.is_immutable()
        {
            return Err(Errno::EPERM);
        }
        match (want_dir, inode.is_dir()) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) | (false, false) => {}
        }
        if self.is_local_mountpoint(task, victim) {
            return Err(Errno::EBUSY);
        }
        let kernfs = parent.dev == dev::CGROUP2 && !want_dir;
        let fixed = parent.dev == dev::DEVPTS || kernfs || self.vfs.is_proc(parent.dev);
        if fixed { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// The name goes; the file with it, unless it has others or is open.
    pub fn remove_name(&mut self, victim: DentryId, user: &mut dyn Platform) {
        let d = &self.vfs.dentries[victim];
        let (dir, name) = (d.parent.expect("a root has no name"), d.name.clone());
        let (inode, is_dir) = (d.inode, self.vfs.inode(victim).is_dir());
        let below = self.vfs.has_below(dir, &name, user);
        self.drop_link(dir, victim);
        if !is_dir {
            self.fsnotify_link_count(inode);
        }
        self.vfs.d_delete(victim, below);
        self.detach_mounts(victim);
        self.touch_dir(dir);
        self.dentry_reap(victim);
        self.fsnotify_delete(dir, &name, is_dir);
        self.release_dead_objects(user);
    }

    /// The link counts after `victim` left `dir`: a directory's "." and ".." go with it.
    pub fn drop_link(&mut self, dir: DentryId, victim: DentryId) {
        let time = self.current_time();
        let inode = self.vfs.inode_mut(victim);
        inode.ctime = time;
        if inode.is_dir() {
            inode.nlink = 0;
            self.vfs.count_subdir(dir, false);
        } else {
            inode.nlink = inode.nlink.saturating_sub(1);
        }
    }

    /// readlink(2).
    pub fn sys_readlink(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_readlinkat(call, AT_FDCWD, 0)
    }

    /// readlinkat(2): an empty path means the descriptor itself, if it is open on a link.
    pub fn sys_readlinkat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_readlinkat(call, call.int(0), 1)
    }

    fn do_readlinkat(&mut self, call: &mut Call<'_>, dfd: i32, first: usize) -> SysResult {
        let (into, size) = (call.ptr(first + 1), call.int(first + 2));
        if size <= 0 {
            return Err(Errno::EINVAL.into());
        }
        let path = call.read_path(call.ptr(first))?;
        let lookup = Lookup { empty: first == 1, ..Lookup::NOFOLLOW };
        let not_a_link = if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL };
        let link = match self.filename_lookup(call.task, dfd, &path, lookup, call.user)? {
            Found::Path(path) if self.vfs.inode(path.dentry).is_symlink() => path.dentry,
            Found::Path(_) | Found::File(_) | Found::Namespace(_) => {
                return Err(not_a_link.into());
            }
        };
        let mut text = match self.get_link(call.task, link)? {
            Link::Path(target) => target,
            Link::Jump(found) => self.found_path(call.task, found),
        };
        text.truncate(size as usize);
        call.write_user(into, &text)?;
        Ok(text.len() as u64)
    }

    /// What a magic link shows when it is read: a path, or `pipe:[n]`.
    pub fn found_path(&self, task: TaskId, found: Found) -> Vec<u8> {
        match found {
            Found::Path(path) => self.vfs.d_path(path, self.fs(task).root),
            Found::File(file) => self.nameless_path(file),
            Found::Namespace(ns) => self.ns_name(ns).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Tiny, World};

    const MKDIR: u64 = 83;
    const RMDIR: u64 = 84;
    const UNLINK: u64 = 87;
    const LINK: u64 = 86;
    const SYMLINK: u64 = 88;
    const STAT: u64 = 4;

    fn world() -> World {
        let mut user = Tiny::default();
        user.lower_file("/etc/passwd", b"root");
        user.lower_dir("/d");
        user.lower_file("/d/x", b"x");
        World::new(user)
    }

    #[test]
    fn a_machines_file_that_was_removed_stays_away() {
        let mut w = world();
        assert_eq!(w.path(UNLINK, "/d/x", &[]), Ok(0));
        assert_eq!(w.read("/d/x"), Err(Errno::ENOENT));
        assert_eq!(w.names("/d"), [".", ".."]);
        w.write("/d/x", b"new").unwrap();
        assert_eq!(w.read("/d/x"), Ok(b"new".to_vec()));
        assert_eq!(w.path(UNLINK, "/d/x", &[]), Ok(0));
        assert_eq!(w.read("/d/x"), Err(Errno::ENOENT));
        assert_eq!(w.path(RMDIR, "/d", &[]), Ok(0));
        assert_eq!(w.path(MKDIR, "/d", &[0o755]), Ok(0));
        assert_eq!(w.names("/d"), [".", ".."]);
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let mut w = world();
        w.write("/tmp/f", b"bytes").unwrap();
        let fd = w.open("/tmp/f", 0, 0).unwrap();
        assert_eq!(w.path(UNLINK, "/tmp/f", &[]), Ok(0));
        let file = w.kernel.table(w.task).get(fd).unwrap();
        assert_eq!(w.kernel.inode_read(file, 0, 9, &mut w.user), Ok(b"bytes".to_vec()));
        assert_eq!(w.kernel.describe_inode(file), "/tmp/f (deleted)");
        let inodes = w.kernel.vfs.inodes.len();
        w.close(fd);
        assert_eq!(w.kernel.vfs.inodes.len(), inodes - 1);
    }

    #[test]
    fn a_removed_working_directory_is_still_one() {
        let mut w = world();
        assert_eq!(w.path(MKDIR, "/tmp/gone", &[0o755]), Ok(0));
        assert_eq!(w.path(80, "/tmp/gone", &[]), Ok(0));
        assert_eq!(w.path(RMDIR, "/tmp/gone", &[]), Ok(0));
        assert_eq!(w.sys(79, &[World::OUT, 100]), Err(Errno::ENOENT));
        assert_eq!(w.open("f", 0o101, 0o644), Err(Errno::ENOENT));
        assert_eq!(w.path(STAT, "../..", &[World::OUT]), Ok(0));
        let dentries = w.kernel.vfs.dentries.len();
        assert_eq!(w.path(80, "/", &[]), Ok(0));
        assert_eq!(w.kernel.vfs.dentries.len(), dentries - 1);
    }

    #[test]
    fn errors_come_in_linuxs_order() {
        let mut w = world();
        assert_eq!(w.path(MKDIR, "/d", &[0]), Err(Errno::EEXIST));
        assert_eq!(w.path(MKDIR, "/", &[0]), Err(Errno::EEXIST));
        assert_eq!(w.path(MKDIR, "/nowhere/x", &[0]), Err(Errno::ENOENT));
        assert_eq!(w.path(UNLINK, "/d", &[]), Err(Errno::EISDIR));
        assert_eq!(w.path(UNLINK, "/d/x/", &[]), Err(Errno::ENOTDIR));
        assert_eq!(w.path(RMDIR, "/d", &[]), Err(Errno::ENOTEMPTY));
        assert_eq!(w.path(RMDIR, "/d/.", &[]), Err(Errno::EINVAL));
        assert_eq!(w.path(RMDIR, "/d/..", &[]), Err(Errno::ENOTEMPTY));
        assert_eq!(w.path(RMDIR, "/d/x", &[]), Err(Errno::ENOTDIR));
        assert_eq!(w.path(RMDIR, "/dev", &[]), Err(Errno::EBUSY));
        assert_eq!(w.paths(LINK, "/d", "/e"), Err(Errno::EPERM));
        assert_eq!(w.paths(LINK, "/d/x", "/dev/shm/x"), Err(Errno::EXDEV));
        assert_eq!(w.paths(SYMLINK, "", "/e"), Err(Errno::ENOENT));
        assert_eq!(w.paths(SYMLINK, "x", "/e/"), Err(Errno::ENOENT));
    }

    #[test]
    fn two_names_of_one_file_share_it() {
        let mut w = world();
        assert_eq!(w.paths(LINK, "/etc/passwd", "/tmp/p"), Ok(0));
        w.write("/tmp/p", b"changed").unwrap();
        assert_eq!(w.read("/etc/passwd"), Ok(b"changed".to_vec()));
        assert_eq!(w.path(STAT, "/etc/passwd", &[World::OUT]), Ok(0));
        assert_eq!(w.out(17)[16], 2);
        assert_eq!(w.path(UNLINK, "/etc/passwd", &[]), Ok(0));
        assert_eq!(w.read("/tmp/p"), Ok(b"changed".to_vec()));
    }

    #[test]
    fn in_a_sticky_directory_only_owners_remove() {
        let mut w = world();
        w.write("/tmp/f", b"").unwrap();
        w.become_user(1000, 1000);
        assert_eq!(w.path(UNLINK, "/tmp/f", &[]), Err(Errno::EPERM));
        w.write("/tmp/mine", b"").unwrap();
        assert_eq!(w.path(UNLINK, "/tmp/mine", &[]), Ok(0));
        assert_eq!(w.path(UNLINK, "/etc/passwd", &[]), Err(Errno::EACCES));
        assert_eq!(w.paths(LINK, "/etc/passwd", "/tmp/p"), Err(Errno::EPERM));
    }
}
