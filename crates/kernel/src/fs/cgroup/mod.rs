//! Control groups, version 2 (cgroups(7), Documentation/admin-guide/cgroup-v2.rst) without any
//! controller: a tree of groups that each task is in one of. Here are the tree and who is populated;
//! `dir` makes and removes groups, `files` reads and writes what is in their directories, `attach`
//! moves tasks, `threaded` says where a process's threads may be apart. There is one hierarchy, and
//! its file system is there from the boot on, mounted at /sys/fs/cgroup.

mod attach;
mod dir;
mod files;
mod threaded;

use crate::arena::{Arena, Id};
use crate::fs::dcache::{DentryId, Vfs};
use crate::fs::file::FileId;
use crate::fs::inotify::bits::IN_MODIFY;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::wait_queue::Event;
use std::collections::BTreeMap;

pub use files::CgroupFile;

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
    /// How often `events` changed, and once more (kernfs_open_node.event).
    event: u64,
    /// Tasks in it that have not exited, in the order of their coming.
    tasks: Vec<TaskId>,
    /// How many of these are true: it has tasks; a child is populated (for each).
    populated: u32,
    /// dom_cgrp: whose resources its tasks use; its own unless it is threaded.
    dom: CgroupId,
    /// cgroup.max.depth and cgroup.max.descendants.
    max_depth: i32,
    max_descendants: i32,
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
            tasks: Vec::new(),
            populated: 0,
            dom: CgroupId::nobody(),
            max_depth: i32::MAX,
            max_descendants: i32::MAX,
        }
    }
}

/// All control groups of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cgroups {
    all: Arena<Cgroup>,
    /// Where everybody begins.
    pub root: CgroupId,
    /// The last inode number of their file system.
    ino: u64,
    /// What an open file was last read at (kernfs_open_file.event); nothing before it is read.
    seen: BTreeMap<FileId, u64>,
}

impl Cgroups {
    /// The root group, in the file system that the boot mounted.
    pub(crate) fn new(vfs: &mut Vfs) -> Cgroups {
        let mut all = Arena::default();
        let root = all.insert(Cgroup::new(None, b""));
        all[root].dom = root;
        let mut cgroups = Cgroups { all, root, ino: 0, seen: BTreeMap::new() };
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

    /// cgroup_path_ns_locked(): where it is as seen from `root`: "/", "/a/b", "/../c".
    fn path_from(&self, cgroup: CgroupId, root: CgroupId) -> Vec<u8> {
        let above: Vec<CgroupId> = self.and_ancestors(cgroup).collect();
        let up = self.and_ancestors(root).take_while(|at| !above.contains(at)).count();
        let shared = self.and_ancestors(root).find(|at| above.contains(at));
        let down = above.iter().take_while(|at| Some(**at) != shared);
        let names: Vec<Vec<u8>> = down.map(|at| [b"/", &self.all[*at].name[..]].concat()).collect();
        let mut path = b"/..".repeat(up);
        names.iter().rev().for_each(|name| path.extend_from_slice(name));
        if path.is_empty() { b"/".to_vec() } else { path }
    }
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

    /// cgroup_file_notify() of cgroup.events: whoever polls it or watches it is told. Unlike Linux,
    /// which tells of changes within 10 ms only once, at each.
    fn cgroup_file_notify(&mut self, cgroup: CgroupId) {
        let Some(events) = self.cgroups.all[cgroup].events else { return };
        self.cgroups.all[cgroup].event += 1;
        self.publish(Event::Cgroup(cgroup));
        if !self.cgroups.all[cgroup].dead {
            self.fsnotify_dentry(events, IN_MODIFY);
        }
    }

    /// The text of /proc/PID/cgroup for `reader`, as seen from the root of its cgroup namespace.
    pub(crate) fn proc_cgroup_show(&self, task: TaskId, reader: TaskId) -> Vec<u8> {
        let cgroup = self.tasks[task].cgroup;
        let path = self.cgroups.path_from(cgroup, self.cgroup_ns_root(reader));
        let end: &[u8] = if self.cgroups.all[cgroup].dead { b" (deleted)\n" } else { b"\n" };
        [b"0::", &path[..], end].concat()
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
            self.cgroups.all.remove(at);
        }
    }
}
