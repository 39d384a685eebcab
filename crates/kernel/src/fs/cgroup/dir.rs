//! Directories of control groups: mkdir(2) makes a group with its files, rmdir(2) removes an empty
//! one. Nothing else can be made, linked, renamed or removed there (kernfs has no such operations).
//! Neighbours: `files` (what the files say), `fs/unlink` (the calls), `mount/boot`.

use super::files::BASE_FILES;
use super::{Cgroup, CgroupId, Cgroups, Freezer};
use crate::abi::Errno;
use crate::fs::dcache::{Child, DentryId, Vfs};
use crate::fs::file::FileId;
use crate::fs::inode::InodeKind;
use crate::fs::mount::dev;
use crate::kernel::Kernel;
use crate::task::TaskId;

impl Cgroups {
    /// kernfs numbers its inodes itself.
    fn next_ino(&mut self) -> u64 {
        self.ino += 1;
        self.ino
    }

    /// cgroup_setup_root(): the root's directory is that of the file system.
    pub(super) fn fill_root(&mut self, vfs: &mut Vfs) {
        let dir = vfs.supers[&dev::CGROUP2].root;
        vfs.inode_mut(dir).mode = 0o555;
        self.css_populate_dir(vfs, self.root, dir);
    }

    /// css_populate_dir(): the files of a group, owned by who owns the directory.
    fn css_populate_dir(&mut self, vfs: &mut Vfs, cgroup: CgroupId, dir: DentryId) {
        vfs.inode_mut(dir).ino = self.next_ino();
        let (uid, gid, time) = {
            let inode = vfs.inode(dir);
            (inode.uid, inode.gid, inode.ctime)
        };
        self.all[cgroup].dir = dir;
        let is_root = cgroup == self.root;
        for (file, name, mode, on_root) in BASE_FILES {
            if is_root && !on_root {
                continue;
            }
            let inode = vfs.new_inode(dev::CGROUP2, InodeKind::Cgroup(cgroup, file), mode, time);
            vfs.inodes[inode].ino = self.next_ino();
            (vfs.inodes[inode].uid, vfs.inodes[inode].gid) = (uid, gid);
            let dentry = vfs.d_add(dir, name.as_bytes(), inode);
            match file {
                super::CgroupFile::Procs => self.all[cgroup].procs = dentry,
                super::CgroupFile::Events => self.all[cgroup].events = Some(dentry),
                _nobody_looks_for_others => {}
            }
        }
    }

    /// cgroup_check_hierarchy_limits(): EAGAIN where a group above wants no more.
    fn check_hierarchy_limits(&self, parent: CgroupId) -> Result<(), Errno> {
        for (level, at) in self.and_ancestors(parent).enumerate() {
            let c = &self.all[at];
            let below = self.and_descendants(at).len() - 1;
            if below as i64 >= i64::from(c.max_descendants)
                || level as i64 >= i64::from(c.max_depth)
            {
                return Err(Errno::EAGAIN);
            }
        }
        Ok(())
    }
}

impl Kernel {
    /// cgroup_mkdir(): a new group named `name` in `dir`, where no such name is. EINVAL for a line
    /// break, which would make /proc/PID/cgroup ambiguous.
    pub(crate) fn cgroup_mkdir(
        &mut self,
        task: TaskId,
        dir: DentryId,
        name: &[u8],
        mode: u32,
    ) -> Result<(), Errno> {
        self.may_create(task, dir)?;
        if name.contains(&b'\n') {
            return Err(Errno::EINVAL);
        }
        let parent = self.cgroup_of_dir(dir)?;
        self.cgroups.check_hierarchy_limits(parent)?;
        let kind = InodeKind::Directory { below: None, listed: true };
        let made = self.create_in(task, dir, name, kind, mode)?;
        let cgroup = self.cgroups.all.insert(Cgroup::new(Some(parent), name));
        self.cgroups.all[cgroup].dom = cgroup;
        let freezing = self.cgroups.is_freezing(parent);
        self.cgroups.all[cgroup].freezer = Freezer::of_new(freezing, self.now);
        self.cgroups.all[parent].children.push(cgroup);
        self.cgroups.css_populate_dir(&mut self.vfs, cgroup, made);
        Ok(())
    }

    /// cgroup_rmdir(): EBUSY for a group with tasks or groups in it. Who may was asked before.
    pub(crate) fn cgroup_rmdir(&mut self, dir: DentryId) -> Result<(), Errno> {
        let cgroup = self.cgroup_of_dir(dir)?;
        let c = &mut self.cgroups.all[cgroup];
        if c.populated > 0 || !c.children.is_empty() {
            return Err(Errno::EBUSY);
        }
        c.dead = true;
        let parent = c.parent.expect("the root is a mount's, which nobody removes");
        self.cgroups.all[parent].children.retain(|child| *child != cgroup);
        self.kernfs_remove(dir);
        self.cgroup_update_frozen(parent);
        self.cgroup_put(cgroup);
        Ok(())
    }

    /// kernfs_remove(): a directory and its files leave the tree. As far as inotify is concerned
    /// nothing was deleted but a name: there is neither IN_DELETE_SELF nor IN_IGNORED.
    fn kernfs_remove(&mut self, dir: DentryId) {
        let files: Vec<DentryId> = self.vfs.dentries[dir]
            .children
            .values()
            .filter_map(|child| if let Child::Dentry(file) = child { Some(*file) } else { None })
            .collect();
        for file in files {
            self.vfs.d_delete(file, false);
            self.detach_mounts(file);
            self.dentry_reap(file);
        }
        let d = &self.vfs.dentries[dir];
        let (parent, name) = (d.parent.expect("the root stays"), d.name.clone());
        self.vfs.count_subdir(parent, false);
        self.vfs.d_delete(dir, false);
        self.detach_mounts(dir);
        self.touch_dir(parent);
        self.dentry_reap(dir);
        self.fsnotify_delete(parent, &name, true);
    }

    /// The group whose directory it is. ENOENT if it was removed, EBADF if it is none.
    fn cgroup_of_dir(&self, dir: DentryId) -> Result<CgroupId, Errno> {
        let inode = self.vfs.inode(dir);
        if inode.dev != dev::CGROUP2 || !inode.is_dir() {
            return Err(Errno::EBADF);
        }
        let mut all = self.cgroups.all.iter().filter(|(_, c)| c.dir == dir && !c.dead);
        all.next().map(|(id, _)| id).ok_or(Errno::ENOENT)
    }

    /// cgroup_get_from_file(): the group whose directory is open there.
    pub(super) fn cgroup_get_from_file(&self, file: FileId) -> Result<CgroupId, Errno> {
        self.cgroup_of_dir(self.files[file].dentry().ok_or(Errno::EBADF)?)
    }
}

impl Vfs {
    /// Is it on the file system of control groups?
    pub(crate) fn is_cgroup(&self, dentry: DentryId) -> bool {
        self.inode(dentry).dev == dev::CGROUP2
    }
}
