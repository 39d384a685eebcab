//! Changing what a file is: chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2), umask(2) and
//! their relatives; sync(2), which has nothing to do in memory. Neighbours: `inode` (permissions),
//! `file_rw` (do_truncate), `stat`.

use crate::abi::Errno;
use crate::abi::stat::{S_IALLUGO, S_ISGID, Timespec};
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::file::{FileId, FileKind};
use crate::fs::file_bytes::MAX_LFS_FILESIZE;
use crate::fs::inode::{MAY_WRITE, in_group};
use crate::fs::inotify::bits::{IN_ACCESS, IN_ATTRIB, IN_MODIFY};
use crate::fs::memfd::{F_SEAL_FUTURE_WRITE, F_SEAL_WRITE};
use crate::fs::namei::{AT_FDCWD, Found, Lookup};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use linux_raw_sys::general as raw;

const AT_SYMLINK_NOFOLLOW: u32 = raw::AT_SYMLINK_NOFOLLOW;
const AT_EMPTY_PATH: u32 = raw::AT_EMPTY_PATH;
const FALLOC_FL_KEEP_SIZE: u32 = 1;
const FALLOC_FL_PUNCH_HOLE: u32 = 2;

impl Kernel {
    /// The named file whose attributes a descriptor's holder wants to change. Unlike Linux, pipes
    /// and sockets keep theirs: EPERM, loudly.
    fn attr_file(&mut self, call: &Call<'_>, file: FileId) -> Result<Path, Errno> {
        match self.files[file].path {
            Some(path) => Ok(path),
            None => {
                let what = self.describe_file(file).to_string();
                self.tell(
                    Some(call.task),
                    Fact::unsupported("attributes of a nameless file", what),
                );
                Err(Errno::EPERM)
            }
        }
    }

    /// What an attribute call names: a path, or with AT_EMPTY_PATH a descriptor.
    fn attr_target(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: UserPtr,
        flags: u32,
    ) -> Result<Path, Errno> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        let path = call.read_path(path)?;
        let lookup = Lookup {
            follow: flags & AT_SYMLINK_NOFOLLOW == 0,
            empty: flags & AT_EMPTY_PATH != 0,
            ..Lookup::NOFOLLOW
        };
        match self.filename_lookup(call.task, dfd, &path, lookup, call.user)? {
            Found::Path(path) => Ok(path),
            Found::File(file) => self.attr_file(call, file),
            // ns_prune_dentry's inodes refuse all changes.
            Found::Namespace(_) => Err(Errno::EPERM),
        }
    }

    /// File systems whose attributes nobody changes.
    fn may_setattr(&self, path: Path) -> Result<(), Errno> {
        self.vfs.mnt_want_write(path.mnt)?;
        let proc = self.vfs.is_proc(self.vfs.inode(path.dentry).dev);
        if proc { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// notify_change(): nobody changes mode, owner or set times of these.
    fn is_unchangeable(&self, dentry: DentryId) -> Result<(), Errno> {
        let inode = self.vfs.inode(dentry);
        if inode.is_immutable() || inode.is_append() { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// chmod(2).
    pub fn sys_chmod(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = self.attr_target(call, AT_FDCWD, call.ptr(0), 0)?;
        self.chmod_common(call.task, path, call.arg(1) as u32)
    }

    /// fchmod(2).
    pub fn sys_fchmod(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.fd_lookup(call.task, call.int(0))?;
        let path = self.attr_file(call, file)?;
        self.chmod_common(call.task, path, call.arg(1) as u32)
    }

    /// fchmodat(2): without flags.
    pub fn sys_fchmodat(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = self.attr_target(call, call.int(0), call.ptr(1), 0)?;
        self.chmod_common(call.task, path, call.arg(2) as u32)
    }

    /// fchmodat2(2).
    pub fn sys_fchmodat2(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = self.attr_target(call, call.int(0), call.ptr(1), call.arg(3) as u32)?;
        self.chmod_common(call.task, path, call.arg(2) as u32)
    }

    /// chmod_common(): the owner or root; a link has no mode of its own (EOPNOTSUPP).
    fn chmod_common(&mut self, task: TaskId, path: Path, mode: u32) -> SysResult {
        let dentry = path.dentry;
        self.may_setattr(path)?;
        self.is_unchangeable(dentry)?;
        let (time, cred) = (self.current_time(), &self.tasks[task].cred);
        let inode = self.vfs.inode(dentry);
        if !inode.owner_or_capable(&self.namespaces.user, cred) {
            return Err(Errno::EPERM.into());
        }
        if inode.is_symlink() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let mut mode = mode & S_IALLUGO;
        let caps = self.namespaces.user.caps_over_file(cred, inode.uid, inode.gid);
        if !in_group(cred, inode.gid) && !caps.has(Cap::Fsetid) {
            mode &= !S_ISGID;
        }
        let inode = self.vfs.inode_mut(dentry);
        inode.mode = mode;
        inode.ctime = time;
        self.fsnotify_dentry(dentry, IN_ATTRIB);
        Ok(0)
    }

    /// chown(2).
    pub fn sys_chown(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = self.attr_target(call, AT_FDCWD, call.ptr(0), 0)?;
        self.chown_common(call.task, path, call.arg(1) as u32, call.arg(2) as u32)
    }

    /// lchown(2).
    pub fn sys_lchown(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = self.attr_target(call, AT_FDCWD, call.ptr(0), AT_SYMLINK_NOFOLLOW)?;
        self.chown_common(call.task, path, call.arg(1) as u32, call.arg(2) as u32)
    }

    /// fchown(2).
    pub fn sys_fchown(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.fd_lookup(call.task, call.int(0))?;
        let path = self.attr_file(call, file)?;
        self.chown_common(call.task, path, call.arg(1) as u32, call.arg(2) as u32)
    }

    /// fchownat(2).
    pub fn sys_fchownat(&mut self, call: &mut Call<'_>) -> SysResult {
        let path = self.attr_target(call, call.int(0), call.ptr(1), call.arg(4) as u32)?;
        self.chown_common(call.task, path, call.arg(2) as u32, call.arg(3) as u32)
    }

    /// chown_common(): −1 leaves an id as it is. The owner may give the file to a group of theirs,
    /// only root to another user.
    fn chown_common(&mut self, task: TaskId, path: Path, uid: u32, gid: u32) -> SysResult {
        let uid = if uid == u32::MAX { uid } else { self.make_kuid(task, uid)? };
        let gid = if gid == u32::MAX { gid } else { self.make_kgid(task, gid)? };
        let dentry = path.dentry;
        self.may_setattr(path)?;
        self.is_unchangeable(dentry)?;
        let (time, cred, inode) =
            (self.current_time(), &self.tasks[task].cred, self.vfs.inode(dentry));
        let caps = self.namespaces.user.caps_over_file(cred, inode.uid, inode.gid);
        let root = caps.has(Cap::Chown);
        let owner = cred.fsuid == inode.uid;
        let uid_ok = uid == u32::MAX || (owner && uid == inode.uid);
        let gid_ok = gid == u32::MAX || (owner && (gid == inode.gid || in_group(cred, gid)));
        let owner_may = uid_ok && gid_ok;
        if !root && !owner_may {
            return Err(Errno::EPERM.into());
        }
        let inode = self.vfs.inode_mut(dentry);
        if uid != u32::MAX {
            inode.uid = uid;
        }
        if gid != u32::MAX {
            inode.gid = gid;
        }
        inode.kill_suid();
        inode.ctime = time;
        if uid != u32::MAX || gid != u32::MAX {
            self.fsnotify_dentry(dentry, IN_ATTRIB);
        }
        Ok(0)
    }

    /// truncate(2).
    pub fn sys_truncate(&mut self, call: &mut Call<'_>) -> SysResult {
        let size = u64::try_from(call.arg(1) as i64).map_err(|_| Errno::EINVAL)?;
        let path = self.attr_target(call, AT_FDCWD, call.ptr(0), 0)?;
        let dentry = path.dentry;
        let inode = self.vfs.inode(dentry);
        if inode.is_dir() {
            return Err(Errno::EISDIR.into());
        }
        if !inode.is_reg() {
            return Err(Errno::EINVAL.into());
        }
        self.vfs.mnt_want_write(path.mnt)?;
        self.inode_permission(dentry, &self.tasks[call.task].cred, MAY_WRITE)?;
        if self.vfs.inode(dentry).is_append() {
            return Err(Errno::EPERM.into());
        }
        if self.is_executed(dentry) {
            return Err(Errno::ETXTBSY.into());
        }
        self.break_lease(self.vfs.dentries[dentry].inode, true, false)?;
        self.truncate_to(call, dentry, size)
    }

    /// ftruncate(2): EINVAL unless the descriptor is open for writing on a regular file.
    pub fn sys_ftruncate(&mut self, call: &mut Call<'_>) -> SysResult {
        let size = u64::try_from(call.arg(1) as i64).map_err(|_| Errno::EINVAL)?;
        let file = self.fd_lookup(call.task, call.int(0))?;
        let f = &self.files[file];
        if f.dentry().is_some_and(|dentry| self.vfs.inode(dentry).is_append()) {
            return Err(Errno::EPERM.into());
        }
        match f.dentry() {
            Some(dentry) if self.vfs.inode(dentry).is_reg() && f.flags.writable() => {
                self.truncate_to(call, dentry, size)
            }
            Some(_) | None => Err(Errno::EINVAL.into()),
        }
    }

    fn truncate_to(&mut self, call: &mut Call<'_>, dentry: DentryId, size: u64) -> SysResult {
        if size > self.vfs.inode(dentry).size() {
            self.inode_newsize_ok(call.task, size)?;
        }
        self.do_truncate(dentry, size, call.user)?;
        let inode = self.vfs.dentries[dentry].inode;
        self.file_modified(call.task, inode);
        self.fsnotify_dentry(dentry, IN_MODIFY);
        Ok(0)
    }

    /// fallocate(2) as tmpfs does it: room, or a hole.
    pub fn sys_fallocate(&mut self, call: &mut Call<'_>) -> SysResult {
        let (mode, offset, len) = (call.arg(1) as u32, call.arg(2) as i64, call.arg(3) as i64);
        let file = self.fd_lookup(call.task, call.int(0))?;
        if offset < 0 || len <= 0 {
            return Err(Errno::EINVAL.into());
        }
        let punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        if ![0, FALLOC_FL_KEEP_SIZE, punch].contains(&mode) {
            self.tell(Some(call.task), Fact::unsupported("fallocate", format!("mode {mode:#x}")));
            return Err(Errno::EOPNOTSUPP.into());
        }
        if !self.files[file].flags.writable() {
            return Err(Errno::EBADF.into());
        }
        let flags = self.files[file].dentry().map(|dentry| self.vfs.inode(dentry));
        let append = flags.is_some_and(|inode| inode.is_append());
        if append && mode & !FALLOC_FL_KEEP_SIZE != 0 || flags.is_some_and(|i| i.is_immutable()) {
            return Err(Errno::EPERM.into());
        }
        let stat = self.file_stat(file);
        let dentry = self.files[file].dentry().filter(|d| self.vfs.inode(*d).is_reg());
        let Some(dentry) = dentry else {
            let fifo = stat.mode & crate::abi::stat::S_IFMT == crate::abi::stat::S_IFIFO;
            return Err(if fifo { Errno::ESPIPE } else { Errno::ENODEV }.into());
        };
        let (offset, len) = (offset as u64, len as u64);
        let end = offset + len;
        if end > MAX_LFS_FILESIZE {
            return Err(Errno::EFBIG.into());
        }
        if mode == punch {
            let inode = self.vfs.dentries[dentry].inode;
            self.check_seals(inode, F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
            self.change_bytes(inode, |bytes| bytes.punch_hole(offset, len, call.user))?;
        } else {
            let grows = mode == 0 && end > stat.size;
            if grows {
                self.inode_newsize_ok(call.task, end)?;
                self.check_resize_seals(self.vfs.dentries[dentry].inode, end)?;
            }
            let inode = self.vfs.dentries[dentry].inode;
            self.shmem_fallocate(inode, offset, len)?;
            if grows {
                self.do_truncate(dentry, end, call.user)?;
            }
        }
        let inode = self.vfs.dentries[dentry].inode;
        self.file_modified(call.task, inode);
        self.fsnotify_file(file, IN_MODIFY);
        Ok(0)
    }

    /// utimensat(2); without a path it is futimens(3).
    pub fn sys_utimensat(&mut self, call: &mut Call<'_>) -> SysResult {
        let times = call.ptr(2);
        let times = if times.is_null() { None } else { Some(read_times(call, times, 1)?) };
        if times == Some([NewTime::Omit; 2]) {
            return Ok(0);
        }
        let (dfd, path, flags) = (call.int(0), call.ptr(1), call.arg(3) as u32);
        if path.is_null() && dfd != AT_FDCWD {
            if flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            let file = self.fd_lookup(call.task, dfd)?;
            let path = self.attr_file(call, file)?;
            return self.vfs_utimes(call.task, path, times);
        }
        let path = self.attr_target(call, dfd, path, flags)?;
        self.vfs_utimes(call.task, path, times)
    }

    /// futimesat(2): microseconds.
    pub fn sys_futimesat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_futimesat(call, call.int(0), call.ptr(1), call.ptr(2))
    }

    /// utimes(2): microseconds.
    pub fn sys_utimes(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_futimesat(call, AT_FDCWD, call.ptr(0), call.ptr(1))
    }

    fn do_futimesat(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: UserPtr,
        times: UserPtr,
    ) -> SysResult {
        let times = if times.is_null() { None } else { Some(read_times(call, times, 1000)?) };
        if path.is_null() {
            let file = self.fd_lookup(call.task, dfd)?;
            let path = self.attr_file(call, file)?;
            return self.vfs_utimes(call.task, path, times);
        }
        let path = self.attr_target(call, dfd, path, 0)?;
        self.vfs_utimes(call.task, path, times)
    }

    /// utime(2): seconds.
    pub fn sys_utime(&mut self, call: &mut Call<'_>) -> SysResult {
        let at = call.ptr(1);
        let mut times = None;
        if !at.is_null() {
            let (atime, mtime) = (call.read_u64(at)? as i64, call.read_u64(at.add(8))? as i64);
            times = Some([atime, mtime].map(|sec| NewTime::At(Timespec { sec, nsec: 0 })));
        }
        let path = self.attr_target(call, AT_FDCWD, call.ptr(0), 0)?;
        self.vfs_utimes(call.task, path, times)
    }

    /// vfs_utimes(): "now" is for whoever may write (else EACCES), other times for the owner (else
    /// EPERM).
    fn vfs_utimes(&mut self, task: TaskId, path: Path, times: Option<[NewTime; 2]>) -> SysResult {
        let dentry = path.dentry;
        self.may_setattr(path)?;
        let now = self.current_time();
        let times = times.unwrap_or([NewTime::Now; 2]);
        if times != [NewTime::Now; 2] {
            self.is_unchangeable(dentry)?;
        } else if self.vfs.inode(dentry).is_immutable() {
            return Err(Errno::EPERM.into());
        }
        let (cred, inode) = (&self.tasks[task].cred, self.vfs.inode(dentry));
        if !inode.owner_or_capable(&self.namespaces.user, cred) {
            if times != [NewTime::Now; 2] {
                return Err(Errno::EPERM.into());
            }
            self.inode_permission(dentry, cred, MAY_WRITE)?;
        }
        let inode = self.vfs.inode_mut(dentry);
        for (time, new) in [&mut inode.atime, &mut inode.mtime].into_iter().zip(times) {
            match new {
                NewTime::Now => *time = now,
                NewTime::At(at) => *time = at,
                NewTime::Omit => {}
            }
        }
        inode.ctime = now;
        // fsnotify_change(): one time only looks like an access or a change.
        let mask = match times.map(|time| time != NewTime::Omit) {
            [true, true] => IN_ATTRIB,
            [true, false] => IN_ACCESS,
            [false, true] => IN_MODIFY,
            [false, false] => 0,
        };
        self.fsnotify_dentry(dentry, mask);
        Ok(0)
    }

    /// umask(2).
    pub fn sys_umask(&mut self, call: &mut Call<'_>) -> SysResult {
        let fs = self.tasks[call.task].fs.expect("a living task has an fs_struct");
        let new = call.arg(0) as u32 & 0o777;
        Ok(u64::from(core::mem::replace(&mut self.fs_structs[fs].umask, new)))
    }

    /// sync(2): memory is as safe as it will ever be. (What a power-off loses it loses with the
    /// whole host.)
    pub fn sys_sync(&mut self, _call: &mut Call<'_>) -> SysResult {
        Ok(0)
    }

    /// fsync(2), fdatasync(2): EINVAL for what can't be synchronized.
    pub fn sys_fsync(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.fd_lookup(call.task, call.int(0))?;
        let f = &self.files[file];
        let stored = f.dentry().is_some_and(|d| {
            let inode = self.vfs.inode(d);
            inode.is_reg() || inode.is_dir() || matches!(f.kind, FileKind::Loop(_))
        });
        if stored { Ok(0) } else { Err(Errno::EINVAL.into()) }
    }

    /// syncfs(2).
    pub fn sys_syncfs(&mut self, call: &mut Call<'_>) -> SysResult {
        self.fd_lookup(call.task, call.int(0))?;
        Ok(0)
    }

    /// posix_fadvise(2): checked, and of no effect where nothing is read ahead.
    pub fn sys_fadvise64(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.fd_lookup(call.task, call.int(0))?;
        let (len, advice) = (call.arg(2) as i64, call.int(3));
        let stat = self.file_stat(file);
        if stat.mode & crate::abi::stat::S_IFMT == crate::abi::stat::S_IFIFO {
            return Err(Errno::ESPIPE.into());
        }
        let known = (0..=5).contains(&advice);
        if known && len >= 0 { Ok(0) } else { Err(Errno::EINVAL.into()) }
    }

    /// readahead(2): the same; only for regular files open for reading.
    pub fn sys_readahead(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.fd_lookup(call.task, call.int(0))?;
        if !self.files[file].flags.readable() {
            return Err(Errno::EBADF.into());
        }
        let regular = self.files[file].dentry().is_some_and(|d| self.vfs.inode(d).is_reg());
        if regular { Ok(0) } else { Err(Errno::EINVAL.into()) }
    }

    /// sync_file_range(2).
    pub fn sys_sync_file_range(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.fd_lookup(call.task, call.int(0))?;
        let (offset, len, flags) = (call.arg(1) as i64, call.arg(2) as i64, call.arg(3) as u32);
        if flags & !7 != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
            return Err(Errno::EINVAL.into());
        }
        match self.files[file].dentry().map(|dentry| self.vfs.inode(dentry)) {
            Some(inode) if inode.is_reg() || inode.is_dir() || inode.is_symlink() => Ok(0),
            Some(_) if matches!(self.files[file].kind, FileKind::Loop(_)) => Ok(0),
            Some(_) | None => Err(Errno::ESPIPE.into()),
        }
    }
}

/// One of the two times that utimensat(2) sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NewTime {
    Now,
    Omit,
    At(Timespec),
}

/// Two timespecs or, with `scale` 1000, timevals. EINVAL for fractions of more than a second.
fn read_times(call: &mut Call<'_>, at: UserPtr, scale: u64) -> Result<[NewTime; 2], Errno> {
    const UTIME_NOW: u64 = 0x3fff_ffff;
    const UTIME_OMIT: u64 = 0x3fff_fffe;
    let mut times = [NewTime::Omit; 2];
    let mut words = [0; 4];
    for (i, word) in words.iter_mut().enumerate() {
        *word = call.read_u64(at.add(8 * i as u64))?;
    }
    for (i, time) in times.iter_mut().enumerate() {
        let (sec, fraction) = (words[2 * i], words[2 * i + 1]);
        *time = match fraction {
            UTIME_NOW if scale == 1 => NewTime::Now,
            UTIME_OMIT if scale == 1 => NewTime::Omit,
            _ if fraction >= 1_000_000_000 / scale => return Err(Errno::EINVAL),
            _ => {
                let nsec = (fraction * scale) as u32;
                NewTime::At(Timespec { sec: sec as i64, nsec })
            }
        };
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Tiny, World};

    const TRUNCATE: u64 = 76;
    const CHMOD: u64 = 90;
    const CHOWN: u64 = 92;

    #[test]
    fn only_the_owner_and_root_change_modes_and_only_root_gives_files_away() {
        let mut w = World::new(Tiny::default());
        w.write("/tmp/f", b"").unwrap();
        assert_eq!(w.path(CHMOD, "/tmp/f", &[0o4755]), Ok(0));
        assert_eq!(w.path(CHOWN, "/tmp/f", &[1000, 1000]), Ok(0));
        assert_eq!(w.path(4, "/tmp/f", &[World::OUT]), Ok(0));
        assert_eq!(w.out(28)[24..28], 0o100_755_u32.to_le_bytes());
        w.become_user(1000, 1000);
        assert_eq!(w.path(CHMOD, "/tmp/f", &[0o600]), Ok(0));
        assert_eq!(w.path(CHOWN, "/tmp/f", &[0, u64::from(u32::MAX)]), Err(Errno::EPERM));
        assert_eq!(w.path(CHMOD, "/tmp", &[0o777]), Err(Errno::EPERM));
        w.become_user(1001, 1001);
        assert_eq!(w.path(TRUNCATE, "/tmp/f", &[0]), Err(Errno::EACCES));
    }

    #[test]
    fn truncation_has_limits() {
        let mut w = World::new(Tiny::default());
        w.write("/tmp/f", b"12345").unwrap();
        assert_eq!(w.path(TRUNCATE, "/tmp/f", &[u64::MAX]), Err(Errno::EINVAL));
        assert_eq!(w.path(TRUNCATE, "/tmp", &[0]), Err(Errno::EISDIR));
        assert_eq!(w.path(TRUNCATE, "/dev/null", &[0]), Err(Errno::EINVAL));
        assert_eq!(w.path(TRUNCATE, "/tmp/f", &[7]), Ok(0));
        assert_eq!(w.read("/tmp/f"), Ok(b"12345\0\0".to_vec()));
        let group = w.kernel.init_group();
        w.kernel.groups[group].rlimits.0[1].soft = 10;
        assert_eq!(w.path(TRUNCATE, "/tmp/f", &[11]), Err(Errno::EFBIG));
        assert_eq!(w.path(TRUNCATE, "/tmp/f", &[2]), Ok(0));
    }
}
