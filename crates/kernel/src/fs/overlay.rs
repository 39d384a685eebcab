//! The private in-memory layer above the machine's files, as overlayfs does it: a directory with a
//! `below` path asks the machine for names that it does not know itself, removed names leave
//! whiteouts, listings are merged and sorted. Unlike overlayfs, a renamed directory keeps its
//! `below` path, so nothing is copied and EXDEV never comes. Neighbours: `dcache`, `namei`, `dir`.

use crate::abi::Errno;
use crate::abi::stat::Timespec;
use crate::fs::dcache::{Child, DentryId, Vfs};
use crate::fs::file_bytes::{Below, FileBytes};
use crate::fs::inode::{Inode, InodeId, InodeKind};
use crate::platform::{LowerKind, LowerStat, Platform};
use std::collections::BTreeMap;

/// `dir` + "/" + `name`.
fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
    [dir, slash, name].concat()
}

impl Vfs {
    /// The child `name` of directory `dir`; None if there is none. The inode number of a machine's
    /// file is counted when its name is first met. ENAMETOOLONG beyond 255 bytes.
    pub fn lookup(
        &mut self,
        dir: DentryId,
        name: &[u8],
        user: &mut dyn Platform,
    ) -> Result<Option<DentryId>, Errno> {
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        let reserved = match self.dentries[dir].children.get(name) {
            Some(Child::Dentry(dentry)) => return Ok(Some(*dentry)),
            Some(Child::Whiteout) => return Ok(None),
            Some(Child::Lower { ino, .. }) => Some(*ino),
            None => None,
        };
        let InodeKind::Directory { below: Some(below), listed } = &self.inode(dir).kind else {
            return Ok(None);
        };
        if *listed && reserved.is_none() {
            return Ok(None);
        }
        let path = join(below, name);
        let stat = match user.lower_stat(&path) {
            Ok(stat) => stat,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let inode = self.lower_inode(dir, path, stat, reserved, user)?;
        Ok(Some(self.d_add(dir, name, inode)))
    }

    /// An inode for one of the machine's files.
    fn lower_inode(
        &mut self,
        dir: DentryId,
        path: Vec<u8>,
        stat: LowerStat,
        reserved: Option<u64>,
        user: &mut dyn Platform,
    ) -> Result<InodeId, Errno> {
        let kind = match stat.kind {
            LowerKind::Regular => {
                InodeKind::Regular(FileBytes::Lower(Below { path, len: stat.size }))
            }
            LowerKind::Directory => InodeKind::Directory { below: Some(path), listed: false },
            LowerKind::Symlink => InodeKind::Symlink(user.lower_readlink(&path)?),
            // The machine's own devices, sockets and FIFOs: by name only.
            LowerKind::Other => InodeKind::Socket(None),
        };
        let ino = reserved.unwrap_or_else(|| self.new_ino());
        let epoch = Timespec { sec: self.epoch as i64, nsec: 0 };
        Ok(self.inodes.insert(Inode {
            ino,
            dev: self.inode(dir).dev,
            kind,
            mode: stat.mode & 0o7777,
            uid: stat.uid,
            gid: stat.gid,
            nlink: if stat.kind == LowerKind::Directory { 1 } else { stat.nlink },
            atime: epoch,
            mtime: epoch,
            ctime: epoch,
            btime: epoch,
            i_count: 0,
            probed: false,
            linkable: false,
            seals: None,
            shown_below: false,
            xattrs: BTreeMap::new(),
            fsflags: 0,
        }))
    }

    /// All names of directory `dir`, sorted by byte, with inode number and d_type; without "." and
    /// "..". The machine is asked once. EACCES and friends are the machine's.
    pub fn list(
        &mut self,
        dir: DentryId,
        user: &mut dyn Platform,
    ) -> Result<Vec<(Vec<u8>, u64, u8)>, Errno> {
        if let InodeKind::Directory { below: Some(below), listed: false } = &self.inode(dir).kind {
            let names = match user.lower_list(&below.clone()) {
                Ok(names) => names,
                // A directory of ours (a mount point, /opt/afterlife) that the machine has not.
                Err(Errno::ENOENT | Errno::ENOTDIR) => Vec::new(),
                Err(errno) => return Err(errno),
            };
            for (name, kind) in names {
                if !self.dentries[dir].children.contains_key(&name) {
                    let ino = self.new_ino();
                    self.dentries[dir].children.insert(name, Child::Lower { ino, kind });
                }
            }
            if let InodeKind::Directory { listed, .. } = &mut self.inode_mut(dir).kind {
                *listed = true;
            }
        }
        let children = &self.dentries[dir].children;
        let entries = children.iter().filter_map(|(name, child)| match child {
            Child::Dentry(dentry) => {
                let inode = self.inode(*dentry);
                Some((name.clone(), inode.ino, inode.d_type()))
            }
            Child::Lower { ino, kind } => Some((name.clone(), *ino, lower_d_type(*kind))),
            Child::Whiteout => None,
        });
        Ok(entries.collect())
    }

    /// Has directory `dir` no names? (rmdir, rename)
    pub fn is_empty(&mut self, dir: DentryId, user: &mut dyn Platform) -> Result<bool, Errno> {
        Ok(self.list(dir, user)?.is_empty())
    }

    /// Would the machine's file of this name show through if ours went?
    pub fn has_below(&self, dir: DentryId, name: &[u8], user: &mut dyn Platform) -> bool {
        match &self.inode(dir).kind {
            InodeKind::Directory { below: Some(below), .. } => {
                user.lower_stat(&join(below, name)).is_ok()
            }
            InodeKind::Directory { below: None, .. }
            | InodeKind::Regular(_)
            | InodeKind::Symlink(_)
            | InodeKind::CharDevice(_)
            | InodeKind::BlockDevice(_)
            | InodeKind::Fifo(_)
            | InodeKind::Proc(_)
            | InodeKind::Cgroup(..)
            | InodeKind::Socket(_) => false,
        }
    }
}

fn lower_d_type(kind: LowerKind) -> u8 {
    match kind {
        LowerKind::Regular => 8,
        LowerKind::Directory => 4,
        LowerKind::Symlink => 10,
        LowerKind::Other => 12,
    }
}
