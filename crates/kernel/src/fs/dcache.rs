//! The directory tree: names (dentries), which inode each names, and what is mounted where.
//! A dentry is in the tree while it is hashed; unlinked, it lives on while files, calls or its own
//! children refer to it (`count`). Working and root directories are not counted: whoever drops a
//! dentry looks at them (`Kernel::dput`). Neighbours: `inode`, `overlay` (what is looked up lazily),
//! `namei` (walks), `mount` (what is there at boot).

use crate::abi::stat::Timespec;
use crate::arena::{Arena, Id};
use crate::fs::cgroup::CgroupRootFlags;
use crate::fs::dir::DirSnapshot;
use crate::fs::dnotify::Dnotify;
use crate::fs::file::FileId;
use crate::fs::file_bytes::FileBytes;
use crate::fs::inode::{Inode, InodeId, InodeKind};
use crate::fs::lease::Lease;
use crate::fs::locks::InodeLocks;
use crate::fs::loop_device::LoopDevice;
use crate::fs::mount::namespace::MntNamespaces;
use crate::fs::mount::show::MountList;
use crate::fs::mount::tmpfs::ShmemSbInfo;
use crate::fs::mount::{Mount, MountId, SuperBlock};
use crate::fs::path::Path;
use crate::kernel::Kernel;
use crate::platform::{LowerKind, ObjectId, Platform};
use crate::task::GroupId;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names a [`Dentry`].
pub type DentryId = Id<Dentry>;

/// What a directory knows of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Child {
    /// It was looked up or made.
    Dentry(DentryId),
    /// The machine has it; listed, not yet looked up. The inode number is reserved.
    Lower {
        /// Its number.
        ino: u64,
        /// What the listing said.
        kind: LowerKind,
    },
    /// The machine has it, and here it was removed.
    Whiteout,
}

/// One name in the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dentry {
    /// The last component of its path; empty for the root of a file system.
    pub name: Vec<u8>,
    /// The directory that it is in, or was in; None for the root of a file system.
    pub parent: Option<DentryId>,
    /// What it names.
    pub inode: InodeId,
    /// Names in it, if it is a directory.
    pub children: BTreeMap<Vec<u8>, Child>,
    /// References by files, calls and children.
    pub count: u32,
    /// In the tree; false once unlinked.
    pub hashed: bool,
    /// How many mounts are on it, each seen through another one (DCACHE_MOUNTED).
    pub mounted: u32,
}

/// All mounted file systems of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vfs {
    /// All names.
    pub dentries: Arena<Dentry>,
    /// All files.
    pub inodes: Arena<Inode>,
    /// The root of the host's own tree.
    pub root: Path,
    /// File systems, by their numbers.
    pub supers: BTreeMap<u32, SuperBlock>,
    /// All mounts, in the order of their making.
    pub mounts: BTreeMap<MountId, Mount>,
    /// mount_hashtable: what is mounted where.
    pub(super) mountpoints: BTreeMap<Path, MountId>,
    /// Unmounted ones, which somebody may still use.
    pub(super) detached: Vec<MountId>,
    /// Those that MNT_EXPIRE saw unused (mnt_expiry_mark); the next use takes the mark off.
    pub(super) expiring: BTreeSet<MountId>,
    /// Who sees which tree of mounts.
    pub(super) mnt_namespaces: MntNamespaces,
    /// Open lists of mounts.
    pub(super) mount_lists: BTreeMap<FileId, MountList>,
    /// The last [`MountId`].
    pub(super) mnt_id_ctr: u32,
    /// Where memfds are: a file system that nobody can walk to.
    pub shm_mnt: MountId,
    /// What fits into the file systems that mount(2) made, by their numbers.
    pub shmem: BTreeMap<u32, ShmemSbInfo>,
    /// Loop devices, by number.
    pub loops: Vec<LoopDevice>,
    /// Names that open directories were listed with.
    pub snapshots: BTreeMap<FileId, DirSnapshot>,
    /// Memory objects that no file has any more; the platform is told at the next chance.
    pub dead_objects: Vec<ObjectId>,
    /// inotify's watches by inode.
    pub marks: BTreeMap<InodeId, Vec<crate::fs::inotify::Mark>>,
    /// Watched inodes that were freed; those who watch are told at once.
    pub(crate) dead_watched: Vec<InodeId>,
    /// The last cookie of a move.
    pub(crate) sync_cookie: u32,
    /// File locks by inode.
    pub locks: BTreeMap<InodeId, InodeLocks>,
    /// F_SETLEASE.
    pub leases: BTreeMap<InodeId, Vec<Lease>>,
    /// F_NOTIFY, the newest first.
    pub dnotify: BTreeMap<InodeId, Vec<Dnotify>>,
    /// Bytes of memory that files take; see `Kernel::change_bytes`.
    pub resident: u64,
    /// Texts of /proc files, by the description that reads them.
    pub proc_texts: BTreeMap<FileId, Arc<Vec<u8>>>,
    /// /proc/PID/oom_score_adj where it was set: a hint, nobody is ever killed for memory.
    pub oom_score_adj: BTreeMap<GroupId, i32>,
    /// Options of the file system of control groups.
    pub cgroup_flags: CgroupRootFlags,
    /// CLOCK_REALTIME at the beginning of the world.
    pub epoch: u64,
    pub(crate) next_ino: u64,
}

impl Vfs {
    /// A number for a new inode.
    pub fn new_ino(&mut self) -> u64 {
        self.next_ino += 1;
        self.next_ino
    }

    /// CLOCK_REALTIME at `now`, for the times of inodes.
    pub fn current_time(&self, now: Instant) -> Timespec {
        let nanos = now.as_nanos();
        Timespec {
            sec: (self.epoch + nanos / 1_000_000_000) as i64,
            nsec: (nanos % 1_000_000_000) as u32,
        }
    }

    /// A new inode on file system `dev`, root's, with all times `time`, that nothing names yet.
    pub fn new_inode(&mut self, dev: u32, kind: InodeKind, mode: u32, time: Timespec) -> InodeId {
        let nlink = if matches!(kind, InodeKind::Directory { below: None, .. }) { 2 } else { 1 };
        let ino = self.new_ino();
        self.count_inode(dev, true);
        self.inodes.insert(Inode {
            ino,
            dev,
            kind,
            mode,
            uid: 0,
            gid: 0,
            nlink,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
            i_count: 0,
            probed: false,
            linkable: false,
            seals: None,
            shown_below: false,
            xattrs: BTreeMap::new(),
            fsflags: 0,
        })
    }

    /// A directory got or lost a subdirectory. Those with the machine's below count no links, as
    /// in overlayfs: one link says "unknown".
    pub fn count_subdir(&mut self, dir: DentryId, more: bool) {
        let inode = self.inode_mut(dir);
        if let InodeKind::Directory { below: None, .. } = inode.kind {
            inode.nlink = if more { inode.nlink + 1 } else { inode.nlink - 1 };
        }
    }

    /// The inode that `dentry` names.
    pub fn inode(&self, dentry: DentryId) -> &Inode {
        &self.inodes[self.dentries[dentry].inode]
    }

    /// The inode that `dentry` names, to change it.
    pub fn inode_mut(&mut self, dentry: DentryId) -> &mut Inode {
        &mut self.inodes[self.dentries[dentry].inode]
    }

    /// d_make_root(): a dentry without a name or parent.
    pub fn d_make_root(&mut self, inode: InodeId) -> DentryId {
        self.inodes[inode].i_count += 1;
        self.dentries.insert(Dentry {
            name: Vec::new(),
            parent: None,
            inode,
            children: BTreeMap::new(),
            count: 1,
            hashed: true,
            mounted: 0,
        })
    }

    /// d_add(): `name` in `parent` names `inode` from now on.
    pub fn d_add(&mut self, parent: DentryId, name: &[u8], inode: InodeId) -> DentryId {
        let dentry = self.d_make_root(inode);
        let d = &mut self.dentries[dentry];
        d.name = name.to_vec();
        d.parent = Some(parent);
        d.count = 0;
        let p = &mut self.dentries[parent];
        p.count += 1;
        p.children.insert(name.to_vec(), Child::Dentry(dentry));
        dentry
    }

    /// A dentry outside the tree (O_TMPFILE, memfd): in `parent` for its path only.
    pub fn d_tmpfile(&mut self, parent: DentryId, name: &[u8], inode: InodeId) -> DentryId {
        let dentry = self.d_make_root(inode);
        let d = &mut self.dentries[dentry];
        d.name = name.to_vec();
        d.parent = Some(parent);
        d.count = 0;
        d.hashed = false;
        self.dentries[parent].count += 1;
        dentry
    }

    /// What takes the place of a name that is removed: a whiteout if the machine has one below.
    fn leave(&mut self, parent: DentryId, name: &[u8], below: bool) {
        let children = &mut self.dentries[parent].children;
        if below {
            children.insert(name.to_vec(), Child::Whiteout);
        } else {
            children.remove(name);
        }
    }

    /// d_delete(): the name leaves the tree. `below` says that the machine has it too. The dentry
    /// is gone if nothing refers to it.
    pub fn d_delete(&mut self, dentry: DentryId, below: bool) {
        let d = &mut self.dentries[dentry];
        d.hashed = false;
        let (name, parent) = (d.name.clone(), d.parent.expect("a root is never unlinked"));
        self.leave(parent, &name, below);
    }

    /// d_move(): `dentry` is `name` in `parent` from now on; what was there must have been deleted.
    pub fn d_move(&mut self, dentry: DentryId, parent: DentryId, name: &[u8], below: bool) {
        let d = &mut self.dentries[dentry];
        let (old_name, old_parent) = (d.name.clone(), d.parent.expect("a root never moves"));
        d.name = name.to_vec();
        d.parent = Some(parent);
        self.leave(old_parent, &old_name, below);
        self.dentries[parent].count += 1;
        self.dentries[old_parent].count -= 1;
        self.dentries[parent].children.insert(name.to_vec(), Child::Dentry(dentry));
    }

    /// d_exchange(): two names change places.
    pub fn d_exchange(&mut self, a: DentryId, b: DentryId) {
        let place = |d: &Dentry| (d.name.clone(), d.parent.expect("a root never moves"));
        let (name_a, parent_a) = place(&self.dentries[a]);
        let (name_b, parent_b) = place(&self.dentries[b]);
        for (dentry, name, parent) in [(a, name_b, parent_b), (b, name_a, parent_a)] {
            self.dentries[dentry].name = name.clone();
            self.dentries[dentry].parent = Some(parent);
            self.dentries[parent].children.insert(name, Child::Dentry(dentry));
        }
    }

    /// One reference more.
    pub fn dget(&mut self, dentry: DentryId) -> DentryId {
        self.dentries[dentry].count += 1;
        dentry
    }

    /// Frees an unlinked dentry that nothing refers to, then its parent if that was the last
    /// reference to it, and so on; inodes go with their last name.
    fn dentry_kill(&mut self, dentry: DentryId, in_use: &[DentryId]) {
        let mut next = Some(dentry);
        while let Some(id) = next {
            let Some(d) = self.dentries.get(id) else { return };
            if d.hashed || d.count > 0 || in_use.contains(&id) {
                return;
            }
            let d = self.dentries.remove(id).expect("it was there");
            self.iput(d.inode);
            if let Some(parent) = d.parent {
                self.dentries[parent].count -= 1;
            }
            next = d.parent;
        }
    }

    /// iput(): one name less; the last one frees the inode and its bytes.
    fn iput(&mut self, inode: InodeId) {
        self.inodes[inode].i_count -= 1;
        if self.inodes[inode].i_count > 0 {
            return;
        }
        let id = inode;
        let inode = self.inodes.remove(id).expect("it was there");
        self.count_inode(inode.dev, false);
        if inode.nlink > 0 {
            // A name of procfs that became invalid: nobody deleted anything.
            self.marks.remove(&id);
        } else if self.marks.contains_key(&id) {
            self.dead_watched.push(id);
        }
        if let InodeKind::Regular(bytes) = inode.kind {
            self.resident -= bytes.resident();
            self.count_bytes(inode.dev, bytes.allocated(), 0);
            if let FileBytes::Object { id, .. } = bytes {
                self.dead_objects.push(id);
            }
        }
    }

    /// is_subdir(): is `dentry` at or below `ancestor` in one file system?
    pub fn is_subdir(&self, dentry: DentryId, ancestor: DentryId) -> bool {
        let mut at = Some(dentry);
        while let Some(id) = at {
            if id == ancestor {
                return true;
            }
            at = self.dentries[id].parent;
        }
        false
    }
}

impl Kernel {
    /// One reference to a name in the tree less.
    pub fn dput(&mut self, dentry: DentryId) {
        self.vfs.dentries[dentry].count -= 1;
        self.dentry_reap(dentry);
        self.release_detached();
    }

    /// Frees `dentry` if it is unlinked and nothing needs it: no file, call or child (counted), no
    /// process that works or is rooted there (looked up).
    pub fn dentry_reap(&mut self, dentry: DentryId) {
        if self.vfs.dentries.get(dentry).is_none_or(|d| d.hashed || d.count > 0) {
            return;
        }
        let dirs: Vec<DentryId> =
            self.fs_structs.iter().flat_map(|(_, fs)| [fs.pwd.dentry, fs.root.dentry]).collect();
        self.vfs.dentry_kill(dentry, &dirs);
        self.fsnotify_dead_inodes();
    }

    /// Tells the platform of memory objects whose files are gone.
    pub fn release_dead_objects(&mut self, user: &mut dyn Platform) {
        for id in core::mem::take(&mut self.vfs.dead_objects) {
            user.object_release(id);
        }
    }

    /// CLOCK_REALTIME now, for the times of inodes.
    pub fn current_time(&self) -> Timespec {
        self.vfs.current_time(self.now)
    }
}
