//! Threaded control groups (cgroup.type): below a domain, the threads of a process may be in several
//! groups. A group that became threaded stays so. Neighbours: `attach` (what may move where).

use super::{CgroupId, Cgroups};
use crate::abi::Errno;
use crate::kernel::Kernel;

impl Cgroups {
    /// cgroup_is_threaded(): its tasks use the resources of a group above.
    pub(super) fn is_threaded(&self, cgroup: CgroupId) -> bool {
        self.all[cgroup].dom != cgroup
    }

    /// cgroup_is_mixable(): the root may have threaded and other children.
    fn is_mixable(&self, cgroup: CgroupId) -> bool {
        self.all[cgroup].parent.is_none()
    }

    /// cgroup_can_be_thread_root(): may it have threaded children?
    pub(super) fn can_be_thread_root(&self, cgroup: CgroupId) -> bool {
        let domain = |child: &CgroupId| !self.is_threaded(*child) && self.all[*child].populated > 0;
        self.is_mixable(cgroup)
            || !self.is_threaded(cgroup) && !self.all[cgroup].children.iter().any(domain)
    }

    /// cgroup_is_thread_root(): it has threaded children.
    fn is_thread_root(&self, cgroup: CgroupId) -> bool {
        let threaded = |child: &CgroupId| self.is_threaded(*child);
        !self.is_threaded(cgroup) && self.all[cgroup].children.iter().any(threaded)
    }

    /// cgroup_is_valid_domain(): may tasks be in it?
    pub(super) fn is_valid_domain(&self, cgroup: CgroupId) -> bool {
        let breaks =
            |at: CgroupId| self.is_threaded(at) || !self.is_mixable(at) && self.is_thread_root(at);
        !self.is_threaded(cgroup) && !self.and_ancestors(cgroup).skip(1).any(breaks)
    }

    /// cgroup_type_show().
    pub(super) fn type_of(&self, cgroup: CgroupId) -> &'static str {
        if self.is_threaded(cgroup) {
            "threaded"
        } else if !self.is_valid_domain(cgroup) {
            "domain invalid"
        } else if self.is_thread_root(cgroup) {
            "domain threaded"
        } else {
            "domain"
        }
    }

    /// Groups whose tasks use the resources of `domain`: itself and the threaded ones below it.
    pub(super) fn domain_members(&self, domain: CgroupId) -> Vec<CgroupId> {
        let mut all = self.and_descendants(domain);
        all.retain(|at| self.all[*at].dom == domain);
        all
    }
}

impl Kernel {
    /// cgroup_type_write(): only "threaded", for a group without tasks whose parent's domain can be
    /// a thread root (EOPNOTSUPP). Those below it that are threaded already follow.
    pub(super) fn cgroup_type_write(&mut self, cgroup: CgroupId, to: &[u8]) -> Result<(), Errno> {
        if to != b"threaded" {
            return Err(Errno::EINVAL);
        }
        let groups = &mut self.cgroups;
        if groups.is_threaded(cgroup) {
            return Ok(());
        }
        let parent = groups.all[cgroup].parent.expect("the root has no cgroup.type");
        let dom = groups.all[parent].dom;
        if groups.all[cgroup].populated > 0
            || !groups.is_valid_domain(dom)
            || !groups.can_be_thread_root(dom)
        {
            return Err(Errno::EOPNOTSUPP);
        }
        for at in groups.and_descendants(cgroup) {
            if at == cgroup || groups.is_threaded(at) {
                groups.all[at].dom = dom;
            }
        }
        Ok(())
    }
}
