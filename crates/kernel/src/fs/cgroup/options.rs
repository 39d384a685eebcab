//! Options of the hierarchy, as mount(2) gives and /proc/PID/mounts shows them. All but nsdelegate are
//! about controllers, of which there are none, or about how fast things go: they are kept and shown.
//! Neighbours: `attach` and `files`, which ask for nsdelegate; `fs/mount/super_block`.

use super::CgroupId;
use crate::abi::Errno;
use crate::fs::dcache::Vfs;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::nsproxy::CgroupNs;

/// cgroup2_fs_parameters, in the order in which they are shown.
const NAMES: [&str; 6] = [
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
];

/// What is set of them, by their places.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CgroupRootFlags([bool; NAMES.len()]);

impl CgroupRootFlags {
    /// cgroup2_parse_param(). EINVAL for what is none of them.
    pub(crate) fn parse(data: &[u8]) -> Result<CgroupRootFlags, Errno> {
        let mut flags = CgroupRootFlags::default();
        for word in data.split(|b| *b == b',').filter(|word| !word.is_empty()) {
            let place = NAMES.iter().position(|name| name.as_bytes() == word);
            flags.0[place.ok_or(Errno::EINVAL)?] = true;
        }
        Ok(flags)
    }

    /// cgroup_show_options(): each after a comma.
    pub(crate) fn show(self) -> String {
        let set = NAMES.iter().zip(self.0).filter(|(_, set)| *set);
        set.map(|(name, _)| format!(",{name}")).collect()
    }
}

/// The text of /sys/kernel/cgroup/features.
pub(crate) fn features() -> String {
    NAMES.map(|name| format!("{name}\n")).concat()
}

impl Vfs {
    /// CGRP_ROOT_NS_DELEGATE: who is in a cgroup namespace stays within it.
    fn is_ns_delegated(&self) -> bool {
        self.cgroup_flags.0[0]
    }
}

impl Kernel {
    /// apply_cgroup_root_flags(): the last who mounts the hierarchy decides, unless he is in a
    /// namespace below the host's.
    pub(crate) fn apply_cgroup_root_flags(&mut self, task: TaskId, flags: CgroupRootFlags) {
        if self.tasks[task].nsproxy.cgroup == CgroupNs::default() {
            self.vfs.cgroup_flags = flags;
        }
    }

    /// Is a group the root of the namespace `ns`, which may not change itself?
    pub(super) fn is_delegated_root(&self, cgroup: CgroupId, ns: CgroupNs) -> bool {
        self.vfs.is_ns_delegated() && ns != CgroupNs::default() && self.cgroup_ns_root(ns) == cgroup
    }

    /// ENOENT for a group that `ns` does not show, where that is what counts.
    pub(super) fn cgroup_is_delegated(&self, cgroup: CgroupId, ns: CgroupNs) -> Result<(), Errno> {
        let outside = !self.cgroups.is_descendant(cgroup, self.cgroup_ns_root(ns));
        if self.vfs.is_ns_delegated() && outside { Err(Errno::ENOENT) } else { Ok(()) }
    }
}
