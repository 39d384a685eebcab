//! Control groups, version 2 (cgroups(7), Documentation/admin-guide/cgroup-v2.rst) without any
//! controller: a tree of groups that each task is in one of. Here are the tree and who is populated;
//! `dir` makes and removes groups, `files` reads and writes what is in their directories, `attach`
//! moves tasks, `freezer` stops them, `threaded` says where a process's threads may be apart. There is
//! one hierarchy, and its file system is there from the boot on, mounted at /sys/fs/cgroup.

mod attach;
mod cputime;
mod dir;
mod files;
mod freezer;
mod notify;
mod options;
mod threaded;

use crate::abi::Errno;
use crate::arena::{Arena, Id};
use crate::fs::dcache::{DentryId, Vfs};
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::nsproxy::CgroupNs;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

pub use cputime::Cputime;
pub use files::CgroupFile;
pub use freezer::{Freezer, TaskFreezer};
pub use options::CgroupRootFlags;
pub(crate) use options::features;

/// Names a [`Cgroup`].
pub type CgroupId = Id<Cgroup>;

/// CGROUP2_SUPER_MAGIC.
pub const MAGIC: u64 = 0x6367_7270;

/// One control group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cgroup {
    /// None for the root.
    pub parent: Option<CgroupId>,
    /// Those that were not removed, the oldest first.
    pub children: Vec<CgroupId>,
    /// It was removed; a zombie or a namespace still knows it.
    pub dead: bool,
    /// Its name in its parent; empty for the root.
    name: Vec<u8>,
    /// Its directory, and two files there.
    dir: DentryId,
    procs: DentryId,
    /// The root has none.
    events: Option<DentryId>,
    /// How often it was told that `events` changed, and once more (kernfs_open_node.event).
    event: u64,
    /// When that was told last.
    notified_at: Option<Instant>,
    /// Tasks in it that have not exited, in the order of their coming.
    tasks: Vec<TaskId>,
    /// How many of these are true: it has tasks; a child is populated (for each).
    populated: u32,
    /// dom_cgrp: whose resources its tasks use; its own unless it is threaded.
    dom: CgroupId,
    /// cgroup.max.depth and cgroup.max.descendants.
    max_depth: i32,
    max_descendants: i32,
    freezer: Freezer,
    cputime: Cputime,
}

impl Cgroup {
    fn new(parent: Option<CgroupId>, name: &[u8]) -> Cgroup {
        Cgroup {
            parent,
            children: Vec::new(),
            dead: false,
            name: name.to_vec(),
            dir: DentryId::nobody(),
            procs: DentryId::nobody(),
            events: None,
            event: 1,
            notified_at: None,
            tasks: Vec::new(),
            populated: 0,
            dom: CgroupId::nobody(),
            max_depth: i32::MAX,
            max_descendants: i32::MAX,
            freezer: Freezer::default(),
            cputime: Cputime::default(),
        }
    }
}

/// What an open file knows (struct cgroup_file_ctx, kernfs_open_file).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct CgroupFileCtx {
    /// Where its opener was.
    ns: CgroupNs,
    /// How often it had changed when it was last shown.
    event: Option<u64>,
}

/// All control groups of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cgroups {
    all: Arena<Cgroup>,
    /// Where everybody begins.
    pub root: CgroupId,
    /// The last inode number of their file system.
    ino: u64,
    /// Open files.
    open: BTreeMap<FileId, CgroupFileCtx>,
    /// Whose cgroup.events is to be told of, and when.
    notify: BTreeSet<(Instant, CgroupId)>,
}

impl Cgroups {
    /// The root group, in the file system that the boot mounted.
    pub(crate) fn new(vfs: &mut Vfs) -> Cgroups {
        let mut all = Arena::default();
        let root = all.insert(Cgroup::new(None, b""));
        all[root].dom = root;
        let mut cgroups =
            Cgroups { all, root, ino: 0, open: BTreeMap::new(), notify: BTreeSet::new() };
        cgroups.fill_root(vfs);
        cgroups
    }

    /// The group itself and those above it, upwards.
    fn and_ancestors(&self, cgroup: CgroupId) -> impl Iterator<Item = CgroupId> {
        core::iter::successors(Some(cgroup), |at| self.all[*at].parent)
    }

    /// cgroup_is_descendant(): is it `ancestor` or below it?
    fn is_descendant(&self, cgroup: CgroupId, ancestor: CgroupId) -> bool {
        self.and_ancestors(cgroup).any(|at| at == ancestor)
    }

    /// The group itself and those below it that were not removed, parents first.
    fn and_descendants(&self, cgroup: CgroupId) -> Vec<CgroupId> {
        let mut all = vec![cgroup];
        for child in &self.all[cgroup].children {
            all.extend(self.and_descendants(*child));
        }
        all
    }

    /// How many groups below it were removed and are still known to somebody.
    fn nr_dying_descendants(&self, cgroup: CgroupId) -> usize {
        let below = |(id, c): &(CgroupId, &Cgroup)| c.dead && self.is_descendant(*id, cgroup);
        self.all.iter().filter(below).count()
    }

    /// Its path in the file system: "/", "/a/b".
    fn path(&self, cgroup: CgroupId) -> Vec<u8> {
        let mut names: Vec<&[u8]> =
            self.and_ancestors(cgroup).map(|at| &self.all[at].name[..]).collect();
        names.reverse();
        if names.len() == 1 { b"/".to_vec() } else { names.join(&b'/') }
    }

    /// cgroup_path_ns_locked(): where it is as seen from `root`.
    fn path_from(&self, cgroup: CgroupId, root: CgroupId) -> Vec<u8> {
        kernfs_path_from_node(&self.path(cgroup), &self.path(root))
    }
}

/// kernfs_path_from_node(): "/a/b" as seen from "/a" is "/b", and "/c" is "/../c".
pub(crate) fn kernfs_path_from_node(path: &[u8], root: &[u8]) -> Vec<u8> {
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        let names = path.split(|b| *b == b'/').filter(|name| !name.is_empty());
        names.map(<[u8]>::to_vec).collect()
    };
    let (path, root) = (names(path), names(root));
    let shared = path.iter().zip(&root).take_while(|(a, b)| a == b).count();
    let mut text = b"/..".repeat(root.len() - shared);
    for name in &path[shared..] {
        text.push(b'/');
        text.extend_from_slice(name);
    }
    if text.is_empty() { b"/".to_vec() } else { text }
}

impl Kernel {
    /// cgroup_update_populated(): a group got its first task or lost its last, which those above it
    /// may hear too.
    fn cgroup_update_populated(&mut self, cgroup: CgroupId, more: bool) {
        let mut next = Some(cgroup);
        while let Some(at) = next {
            let c = &mut self.cgroups.all[at];
            let before = c.populated;
            c.populated = if more { before + 1 } else { before - 1 };
            if (before == 0) == (c.populated == 0) {
                return;
            }
            next = c.parent;
            self.cgroup_file_notify(at);
        }
    }

    /// The text of /proc/PID/cgroup for `reader`, as seen from the root of its cgroup namespace.
    pub(crate) fn proc_cgroup_show(&self, task: TaskId, reader: TaskId) -> Vec<u8> {
        let cgroup = self.tasks[task].cgroup;
        let path = self.cgroups.path_from(cgroup, self.task_cgroup_root(reader));
        let end: &[u8] = if self.cgroups.all[cgroup].dead { b" (deleted)\n" } else { b"\n" };
        [b"0::", &path[..], end].concat()
    }

    /// The group that `task` sees as the root.
    fn task_cgroup_root(&self, task: TaskId) -> CgroupId {
        self.cgroup_ns_root(self.tasks[task].nsproxy.cgroup)
    }

    /// The path of the group that `task` sees as the root.
    pub(crate) fn cgroup_ns_path(&self, task: TaskId) -> Vec<u8> {
        self.cgroups.path(self.task_cgroup_root(task))
    }

    /// cgroup_do_get_tree(): what `task` sees when it mounts the hierarchy. ENOENT if the root of its
    /// namespace was removed.
    pub(crate) fn cgroup_mount_root(&self, task: TaskId) -> Result<DentryId, Errno> {
        let root = &self.cgroups.all[self.task_cgroup_root(task)];
        if root.dead { Err(Errno::ENOENT) } else { Ok(root.dir) }
    }

    /// A task is gone, or never came to life: its group forgets it. One that was removed goes with
    /// the last who knows it, and those above it that only it kept.
    pub(crate) fn cgroup_release(&mut self, task: TaskId, cgroup: CgroupId) {
        if self.cgroups.all.get(cgroup).is_some_and(|c| c.tasks.contains(&task)) {
            self.cgroup_leave(task, cgroup);
        }
        self.cgroup_put(cgroup);
    }

    /// css_put(): frees a removed group that neither task, namespace nor removed child knows.
    fn cgroup_put(&mut self, cgroup: CgroupId) {
        let mut next = Some(cgroup);
        while let Some(at) = next {
            let Some(c) = self.cgroups.all.get(at).filter(|c| c.dead) else { return };
            let known = self.tasks.iter().any(|(_, t)| t.cgroup == at)
                || self.namespaces.is_cgroup_root(at)
                || self.cgroups.all.iter().any(|(_, other)| other.parent == Some(at));
            if known {
                return;
            }
            next = c.parent;
            let cputime = c.cputime;
            self.cgroups.all.remove(at);
            if let Some(above) = next {
                self.cgroups.all[above].cputime.add(cputime);
            }
        }
    }
}

#[cfg(test)]
mod tests;
