//! rename(2), renameat(2), renameat2(2): a name moves, over another one or in exchange with it.
//! Unlike overlayfs, a directory of the machine's moves without a copy and never gives EXDEV.
//! Neighbours: `unlink` (may_delete), `dcache` (d_move), `overlay` (whiteouts).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::inode::MAY_WRITE;
use crate::fs::inotify::fsnotify::Moved;
use crate::fs::mount::dev;
use crate::fs::namei::{AT_FDCWD, Last};
use crate::kernel::Kernel;
use crate::platform::{Platform, UserPtr};
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;

const RENAME_NOREPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 2;
const RENAME_WHITEOUT: u32 = 4;

/// What moves where: struct renamedata.
struct Rename {
    task: TaskId,
    old_dir: DentryId,
    old: DentryId,
    new_dir: DentryId,
    new_name: Vec<u8>,
    new: Option<DentryId>,
    flags: u32,
}

impl Kernel {
    /// rename(2).
    pub fn sys_rename(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_renameat2(call, (AT_FDCWD, call.ptr(0)), (AT_FDCWD, call.ptr(1)), 0)
    }

    /// renameat(2).
    pub fn sys_renameat(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_renameat2(call, (call.int(0), call.ptr(1)), (call.int(2), call.ptr(3)), 0)
    }

    /// renameat2(2).
    pub fn sys_renameat2(&mut self, call: &mut Call<'_>) -> SysResult {
        let (old, new) = ((call.int(0), call.ptr(1)), (call.int(2), call.ptr(3)));
        self.do_renameat2(call, old, new, call.arg(4) as u32)
    }

    fn do_renameat2(
        &mut self,
        call: &mut Call<'_>,
        old: (i32, UserPtr),
        new: (i32, UserPtr),
        flags: u32,
    ) -> SysResult {
        let (old_path, new_path) = (call.read_path(old.1)?, call.read_path(new.1)?);
        let exchange = flags & RENAME_EXCHANGE != 0;
        if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) != 0
            || (exchange && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) != 0)
        {
            return Err(Errno::EINVAL.into());
        }
        if flags & RENAME_WHITEOUT != 0 {
            self.tell(Some(call.task), Fact::unsupported("renameat2 RENAME_WHITEOUT", ""));
            return Err(Errno::EINVAL.into());
        }
        let task = call.task;
        let (old_dir, from) = self.filename_parentat(task, old.0, &old_path, call.user)?;
        let (new_dir, to) = self.filename_parentat(task, new.0, &new_path, call.user)?;
        if old_dir.mnt != new_dir.mnt {
            return Err(Errno::EXDEV.into());
        }
        let Last::Norm(old_name) = from.last else { return Err(Errno::EBUSY.into()) };
        let Last::Norm(new_name) = to.last else {
            let noreplace = flags & RENAME_NOREPLACE != 0;
            return Err(if noreplace { Errno::EEXIST } else { Errno::EBUSY }.into());
        };
        self.vfs.mnt_want_write(old_dir.mnt)?;
        let (old_dir, new_dir) = (old_dir.dentry, new_dir.dentry);
        if [old_dir, new_dir].iter().any(|dir| self.vfs.inode(*dir).dev == dev::DEVPTS) {
            return Err(Errno::EPERM.into());
        }
        let old = self.lookup(old_dir, &old_name, call.user)?.ok_or(Errno::ENOENT)?;
        let new = self.lookup(new_dir, &new_name, call.user)?;
        if new.is_none() && self.vfs.is_proc(self.vfs.inode(new_dir).dev) {
            return Err(Errno::ENOENT.into());
        }
        if flags & RENAME_NOREPLACE != 0 && new.is_some() {
            return Err(Errno::EEXIST.into());
        }
        if exchange {
            let new = new.ok_or(Errno::ENOENT)?;
            if to.slash && !self.vfs.inode(new).is_dir() {
                return Err(Errno::ENOTDIR.into());
            }
        }
        if !self.vfs.inode(old).is_dir() && (from.slash || (!exchange && to.slash)) {
            return Err(Errno::ENOTDIR.into());
        }
        if self.vfs.is_subdir(new_dir, old) {
            return Err(Errno::EINVAL.into());
        }
        if new.is_some_and(|new| self.vfs.is_subdir(old_dir, new)) {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY }.into());
        }
        let rename = Rename { task, old_dir, old, new_dir, new_name, new, flags };
        self.vfs_rename(&rename, call.user)?;
        Ok(0)
    }

    /// vfs_rename(): permissions, then the move.
    fn vfs_rename(&mut self, r: &Rename, user: &mut dyn Platform) -> Result<(), Errno> {
        let inode = |dentry: DentryId| self.vfs.dentries[dentry].inode;
        if r.new.is_some_and(|new| inode(new) == inode(r.old)) {
            return Ok(());
        }
        let exchange = r.flags & RENAME_EXCHANGE != 0;
        let is_dir = self.vfs.inode(r.old).is_dir();
        self.may_delete(r.task, r.old_dir, r.old, is_dir)?;
        let new_is_dir = r.new.is_some_and(|new| self.vfs.inode(new).is_dir());
        match r.new {
            None => self.may_create(r.task, r.new_dir)?,
            Some(new) if exchange => self.may_delete(r.task, r.new_dir, new, new_is_dir)?,
            Some(new) => self.may_delete(r.task, r.new_dir, new, is_dir)?,
        }
        if r.old_dir != r.new_dir {
            // ".." of a directory that moves is rewritten.
            let cred = &self.tasks[r.task].cred;
            if is_dir {
                self.inode_permission(r.old, cred, MAY_WRITE)?;
            }
            if let Some(new) = r.new.filter(|_| exchange && new_is_dir) {
                self.inode_permission(new, cred, MAY_WRITE)?;
            }
        }
        if self.vfs.is_cgroup(r.old) {
            // kernfs_iop_rename() knows no flags, and control groups have no .rename.
            return Err(if r.flags == 0 { Errno::EPERM } else { Errno::EINVAL });
        }
        let old_name = self.vfs.dentries[r.old].name.clone();
        match r.new {
            Some(new) if exchange => {
                self.vfs.d_exchange(r.old, new);
                self.move_dir_link(is_dir, r.old_dir, r.new_dir);
                self.move_dir_link(new_is_dir, r.new_dir, r.old_dir);
            }
            new => self.replace_name(r, new, is_dir, user)?,
        }
        let time = self.current_time();
        self.vfs.inode_mut(r.old).ctime = time;
        self.touch_dir(r.old_dir);
        self.touch_dir(r.new_dir);
        let target = r.new.filter(|_| !exchange);
        let (old_dir, dentry) = (r.old_dir, r.old);
        let inode = target.map(|target| self.vfs.dentries[target].inode);
        self.fsnotify_move(&Moved { old_dir, old_name: &old_name, dentry, target: inode });
        if let Some(dentry) = r.new.filter(|_| exchange) {
            let (old_dir, old_name) = (r.new_dir, &r.new_name);
            self.fsnotify_move(&Moved { old_dir, old_name, dentry, target: None });
        }
        if let Some(target) = target {
            self.dentry_reap(target);
        }
        self.release_dead_objects(user);
        Ok(())
    }

    /// `old` takes the name of `new`, which goes.
    fn replace_name(
        &mut self,
        r: &Rename,
        new: Option<DentryId>,
        is_dir: bool,
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        if let Some(new) = new {
            if is_dir && !self.vfs.is_empty(new, user)? {
                return Err(Errno::ENOTEMPTY);
            }
            self.drop_link(r.new_dir, new);
            self.vfs.d_delete(new, false);
            self.detach_mounts(new);
        }
        let old_name = self.vfs.dentries[r.old].name.clone();
        let below = self.vfs.has_below(r.old_dir, &old_name, user);
        self.vfs.d_move(r.old, r.new_dir, &r.new_name, below);
        self.move_dir_link(is_dir, r.old_dir, r.new_dir);
        Ok(())
    }

    /// A directory that moves takes its ".." from one parent's link count to the other's.
    fn move_dir_link(&mut self, is_dir: bool, from: DentryId, to: DentryId) {
        if is_dir {
            self.vfs.count_subdir(from, false);
            self.vfs.count_subdir(to, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Tiny, World};

    const RENAME: u64 = 82;
    const MKDIR: u64 = 83;

    fn world() -> World {
        let mut user = Tiny::default();
        user.lower_dir("/d");
        user.lower_file("/d/x", b"x");
        user.lower_dir("/d/sub");
        user.lower_file("/d/sub/y", b"y");
        World::new(user)
    }

    #[test]
    fn a_machines_directory_moves_with_all_that_is_in_it() {
        let mut w = world();
        assert_eq!(w.paths(RENAME, "/d", "/tmp/e"), Ok(0));
        assert_eq!(w.read("/tmp/e/sub/y"), Ok(b"y".to_vec()));
        assert_eq!(w.read("/d/x"), Err(Errno::ENOENT));
        assert_eq!(w.paths(RENAME, "/tmp/e/x", "/tmp/e/sub/y"), Ok(0));
        assert_eq!(w.read("/tmp/e/sub/y"), Ok(b"x".to_vec()));
        assert_eq!(w.names("/tmp/e"), [".", "..", "sub"]);
    }

    #[test]
    fn errors_come_in_linuxs_order() {
        let mut w = world();
        assert_eq!(w.paths(RENAME, "/d", "/d/sub/z"), Err(Errno::EINVAL));
        assert_eq!(w.paths(RENAME, "/d/sub", "/d"), Err(Errno::ENOTEMPTY));
        assert_eq!(w.paths(RENAME, "/d/x", "/d/sub"), Err(Errno::EISDIR));
        assert_eq!(w.paths(RENAME, "/d/sub", "/d/x"), Err(Errno::ENOTDIR));
        assert_eq!(w.paths(RENAME, "/d/x", "/d/z/"), Err(Errno::ENOTDIR));
        assert_eq!(w.paths(RENAME, "/d/.", "/e"), Err(Errno::EBUSY));
        assert_eq!(w.paths(RENAME, "/d/none", "/e"), Err(Errno::ENOENT));
        assert_eq!(w.paths(RENAME, "/d/x", "/dev/shm/x"), Err(Errno::EXDEV));
        assert_eq!(w.paths(RENAME, "/d/x", "/d/x"), Ok(0));
        assert_eq!(w.path(MKDIR, "/full", &[0o755]), Ok(0));
        w.write("/full/f", b"").unwrap();
        assert_eq!(w.paths(RENAME, "/d/sub", "/full"), Err(Errno::ENOTEMPTY));
    }

    #[test]
    fn two_names_change_places() {
        let mut w = world();
        let (a, b) = (w.str("/d/x"), w.str("/d/sub"));
        let cwd = -100_i64 as u64;
        assert_eq!(w.sys(316, &[cwd, a, cwd, b, 2]), Ok(0));
        assert_eq!(w.read("/d/sub"), Ok(b"x".to_vec()));
        assert_eq!(w.read("/d/x/y"), Ok(b"y".to_vec()));
        assert_eq!(w.sys(316, &[cwd, a, cwd, b, 1]), Err(Errno::EEXIST));
    }
}
