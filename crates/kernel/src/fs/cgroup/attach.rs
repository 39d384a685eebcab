//! Which control group a task is in: it is born in its parent's or in the one that clone3(2) names
//! (CLONE_INTO_CGROUP), is moved by a write to cgroup.procs or cgroup.threads, and leaves when it
//! exits (step 16 of rule X-7). Neighbours: `task/fork`, `task/exit`, `threaded`.

use super::CgroupId;
use super::files::kstrtoint;
use crate::abi::Errno;
use crate::fs::file::FileId;
use crate::fs::inode::MAY_WRITE;
use crate::kernel::Kernel;
use crate::task::clone_args::CloneArgs;
use crate::task::nsproxy::CgroupNs;
use crate::task::{Cred, TaskId};
use linux_raw_sys::general as lx;

impl Kernel {
    /// cgroup_css_set_fork(): the group that a child of `task` is born in. EBADF if the descriptor
    /// of CLONE_INTO_CGROUP is no directory of a group, ENOENT if that was removed, EACCES without
    /// leave to write there.
    pub(crate) fn cgroup_can_fork(
        &self,
        task: TaskId,
        args: &CloneArgs,
    ) -> Result<CgroupId, Errno> {
        let own = self.tasks[task].cgroup;
        let Some(fd) = args.into_cgroup() else { return Ok(own) };
        let file = self.table(task).get(fd)?;
        let to = self.cgroup_get_from_file(file)?;
        let cred = &self.tasks[task].cred;
        self.cgroup_may_write(to, cred)?;
        let ns = self.tasks[task].nsproxy.cgroup;
        self.cgroup_attach_permissions((own, to), (cred, ns), !args.has(lx::CLONE_THREAD))?;
        Ok(to)
    }

    /// cgroup_post_fork(): a newborn task is in its group.
    pub(crate) fn cgroup_post_fork(&mut self, child: TaskId, cgroup: CgroupId) {
        self.tasks[child].cgroup = cgroup;
        self.cgroup_join(child, cgroup);
        if self.cgroups.is_freezing(cgroup) {
            // It freezes before it does anything; until then the group may stay frozen.
            self.tasks[child].freezer.trap = true;
            self.tasks[child].sigpending = true;
        }
    }

    /// cgroup_exit(): an exiting task leaves its group; /proc/PID/cgroup goes on to name it.
    pub(crate) fn cgroup_exit(&mut self, task: TaskId) {
        let cgroup = self.tasks[task].cgroup;
        self.cgroup_leave(task, cgroup);
        self.cgroup_update_frozen(cgroup);
    }

    fn cgroup_join(&mut self, task: TaskId, cgroup: CgroupId) {
        let c = &mut self.cgroups.all[cgroup];
        c.tasks.push(task);
        if c.tasks.len() == 1 {
            self.cgroup_update_populated(cgroup, true);
        }
    }

    pub(super) fn cgroup_leave(&mut self, task: TaskId, cgroup: CgroupId) {
        let c = &mut self.cgroups.all[cgroup];
        c.tasks.retain(|other| *other != task);
        if c.tasks.is_empty() {
            self.cgroup_update_populated(cgroup, false);
        }
    }

    /// cgroup_procs_write(), cgroup_threads_write(): a process, or a single thread, moves into the
    /// group. 0 means the writer. EINVAL for what is no number, ESRCH for nobody's.
    pub(super) fn cgroup_procs_write(
        &mut self,
        (writer, file): (TaskId, FileId),
        to: CgroupId,
        bytes: &[u8],
        threadgroup: bool,
    ) -> Result<(), Errno> {
        let pid = kstrtoint(bytes).map_err(|_| Errno::EINVAL)?;
        let task = match pid {
            0 => writer,
            1.. => self.find_task_by_vpid(writer, pid).ok_or(Errno::ESRCH)?,
            _negative => return Err(Errno::EINVAL),
        };
        let group = self.tasks[task].group;
        let task = if threadgroup { self.groups[group].leader } else { task };
        let from = self.tasks[task].cgroup;
        // With the opener's credentials: an inherited descriptor gives no more.
        let opener = self.files[file].f_cred.clone().unwrap_or_default();
        let ns = self.cgroups.opened(file).ns;
        self.cgroup_attach_permissions((from, to), (&opener, ns), threadgroup)?;
        let threads = if threadgroup { self.groups[group].tasks.clone() } else { vec![task] };
        for thread in threads {
            if !self.tasks[thread].exiting && self.tasks[thread].cgroup != to {
                self.cgroup_migrate(thread, to);
            }
        }
        Ok(())
    }

    /// css_set_move_task(), cgroup_freezer_migrate_task().
    pub(super) fn cgroup_migrate(&mut self, task: TaskId, to: CgroupId) {
        let from = core::mem::replace(&mut self.tasks[task].cgroup, to);
        self.cgroup_join(task, to);
        self.cgroup_leave(task, from);
        let freezing = self.cgroups.is_freezing(to);
        if freezing || self.cgroups.is_freezing(from) || self.tasks[task].freezer.frozen {
            self.cgroup_update_frozen(to);
            self.cgroup_update_frozen(from);
            self.cgroup_freeze_task(task, freezing);
        }
    }

    /// cgroup_attach_permissions(): EACCES unless `cred` may write cgroup.procs of the nearest group
    /// above both; EOPNOTSUPP for a group that is no valid domain, and for a thread that would leave
    /// its process's domain.
    pub(super) fn cgroup_attach_permissions(
        &self,
        (from, to): (CgroupId, CgroupId),
        (cred, ns): (&Cred, CgroupNs),
        threadgroup: bool,
    ) -> Result<(), Errno> {
        let groups = &self.cgroups;
        let mut above = groups.and_ancestors(from);
        let common = above.find(|at| groups.is_descendant(to, *at));
        self.cgroup_may_write(common.expect("the root is above all"), cred)?;
        self.cgroup_is_delegated(from, ns)?;
        self.cgroup_is_delegated(to, ns)?;
        // cgroup_migrate_vet_dst(): no controllers, so tasks may be anywhere in a domain.
        let (from_dom, to_dom) = (groups.all[from].dom, groups.all[to].dom);
        if !groups.is_valid_domain(to_dom) || !threadgroup && from_dom != to_dom {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(())
    }

    /// cgroup_may_write(): EACCES unless `cred` may write its cgroup.procs.
    fn cgroup_may_write(&self, cgroup: CgroupId, cred: &Cred) -> Result<(), Errno> {
        self.inode_permission(self.cgroups.all[cgroup].procs, cred, MAY_WRITE)
    }
}
