//! Pid namespaces (pid_namespaces(7)): a process has a number in its own namespace and in every one
//! above. The first process of a namespace is its PID 1: it inherits orphans, only signals from
//! above kill it (rules S-13, S-14), and nobody outlives it (`zap_pid_ns_processes`, rule X-31).
//! Neighbours: `pid` (the host's own numbers), `nsproxy` (who has which), `exit_notify`.

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::task::pid::{NewPid, Pid, PidTable, next_free, wished};
use crate::task::signal::{SigInfo, Target};
use crate::task::user_namespace::UserNs;
use crate::task::{GroupId, Run, TaskId};
use std::collections::BTreeMap;

/// MAX_PID_NS_LEVEL.
const MAX_LEVEL: u32 = 32;
/// PID_MAX_LIMIT: where a namespace below the host's ends counting.
const PID_MAX_LIMIT: u32 = 1 << 22;

/// Names a pid namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PidNs(u32);

impl PidNs {
    /// The host's own.
    pub const INIT: PidNs = PidNs(0);

    /// Where it stands among those below the host's.
    pub(super) fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// One namespace below the host's own. Unlike Linux's, it stays known when nobody is left in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PidNamespace {
    parent: PidNs,
    owner: UserNs,
    /// The numbers that are taken here, and whose they are.
    pub(super) numbers: BTreeMap<u32, Pid>,
    last: u32,
    /// PID 1 is dead: nobody is born here any more.
    disabled: bool,
    /// PID 1, which orphans are handed to.
    child_reaper: Option<GroupId>,
    /// The number of its file (/proc/PID/ns/pid).
    pub inum: u32,
}

impl PidTable {
    /// create_pid_namespace(): ENOSPC if it were too deep.
    pub fn create_pid_namespace(
        &mut self,
        parent: PidNs,
        owner: UserNs,
        inum: u32,
    ) -> Result<PidNs, Errno> {
        if self.level(parent) >= MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        self.namespaces.push(PidNamespace {
            parent,
            owner,
            numbers: BTreeMap::new(),
            last: 0,
            disabled: false,
            child_reaper: None,
            inum,
        });
        Ok(PidNs(self.namespaces.len() as u32))
    }

    /// The user namespace that it belongs to.
    pub fn owner_of(&self, ns: PidNs) -> UserNs {
        self.namespace(ns).map_or(UserNs::INIT, |ns| ns.owner)
    }

    /// How many are above it.
    pub fn level(&self, ns: PidNs) -> u32 {
        self.lineage(ns).len() as u32
    }

    /// A namespace and those above it but the host's, outermost first.
    fn lineage(&self, ns: PidNs) -> Vec<PidNs> {
        let mut lineage = Vec::new();
        let mut at = ns;
        while at != PidNs::INIT {
            lineage.push(at);
            at = self.namespaces[at.index()].parent;
        }
        lineage.reverse();
        lineage
    }

    /// The one that it was made in; none above the host's.
    pub fn parent_of(&self, ns: PidNs) -> Option<PidNs> {
        (ns != PidNs::INIT).then(|| self.namespaces[ns.index()].parent)
    }

    /// Is `ns` the same as `above` or below it?
    pub fn is_within(&self, ns: PidNs, above: PidNs) -> bool {
        above == PidNs::INIT || self.lineage(ns).contains(&above)
    }

    /// The namespace's own record; the host's has none.
    pub fn namespace(&self, ns: PidNs) -> Option<&PidNamespace> {
        (ns != PidNs::INIT).then(|| &self.namespaces[ns.index()])
    }

    /// alloc_pid(): a number in `ns` and each namespace above. `wishes` are clone3's, innermost
    /// first. EINVAL where nobody but PID 1 can be the first; ENOMEM where PID 1 is dead.
    pub fn alloc_pid_in(&mut self, ns: PidNs, wishes: &[i32]) -> Result<NewPid, Errno> {
        let lineage = self.lineage(ns);
        if wishes.len() > lineage.len() + 1 {
            return Err(Errno::EINVAL);
        }
        let mut numbers = Vec::new();
        for (i, ns) in lineage.iter().rev().enumerate() {
            let space = &self.namespaces[ns.index()];
            let taken = |n: u32| space.numbers.contains_key(&n);
            let number = match wishes.get(i) {
                Some(wish) if *wish != 1 && space.child_reaper.is_none() => {
                    return Err(Errno::EINVAL);
                }
                Some(wish) => wished(*wish, PID_MAX_LIMIT, taken)?,
                None => next_free(space.last, PID_MAX_LIMIT, taken)?,
            };
            numbers.push((*ns, number, wishes.get(i).is_none()));
        }
        if numbers.iter().any(|(ns, ..)| self.namespaces[ns.index()].disabled) {
            return Err(Errno::ENOMEM);
        }
        let pid = self.alloc_pid(wishes.get(lineage.len()).copied())?;
        for (ns, number, _) in numbers.iter().filter(|(.., counted)| *counted) {
            self.namespaces[ns.index()].last = *number;
        }
        numbers.reverse();
        Ok(NewPid { pid, numbers: numbers.into_iter().map(|(ns, n, _)| (ns, n)).collect() })
    }

    /// A new number gets its names below the host's namespace.
    pub fn publish_names(&mut self, new: &NewPid) {
        for (ns, number) in &new.numbers {
            self.namespaces[ns.index()].numbers.insert(*number, new.pid);
        }
        if !new.numbers.is_empty() {
            self.names.insert(new.pid, new.numbers.clone());
        }
    }

    /// ns_of_pid(): the innermost namespace that it has a number in.
    pub fn ns_of(&self, pid: Pid) -> PidNs {
        self.names.get(&pid).and_then(|names| names.last()).map_or(PidNs::INIT, |(ns, _)| *ns)
    }

    /// pid_nr_ns(): what it is called in `ns`; 0 where it cannot be seen.
    pub fn pid_nr_ns(&self, pid: Pid, ns: PidNs) -> u32 {
        if ns == PidNs::INIT {
            return pid.0;
        }
        let names = self.names.get(&pid).map_or(&[][..], |names| names);
        names.iter().find(|(at, _)| *at == ns).map_or(0, |(_, number)| *number)
    }

    /// All names of a number from the host's down to its own.
    pub fn all_numbers(&self, pid: Pid, below: PidNs) -> Vec<u32> {
        let names = self.names.get(&pid).map_or(&[][..], |names| names);
        let from = names.iter().position(|(ns, _)| *ns == below).unwrap_or(0);
        let outer = (below == PidNs::INIT).then_some(pid.0);
        outer.into_iter().chain(names[from..].iter().map(|(_, number)| *number)).collect()
    }

    /// find_pid_ns(): whose number `nr` is in `ns`.
    pub fn find_pid_ns(&self, nr: u32, ns: PidNs) -> Option<Pid> {
        if ns == PidNs::INIT {
            return Some(Pid(nr));
        }
        self.namespaces[ns.index()].numbers.get(&nr).copied()
    }

    /// What alloc_pid() counts on from in `ns`.
    pub fn last_in(&self, ns: PidNs) -> u32 {
        self.namespace(ns).map_or(self.last(), |space| space.last)
    }

    /// Numbering in `ns` goes on after `last`. EINVAL if there is no such number.
    pub fn set_last_in(&mut self, ns: PidNs, last: u32) -> Result<(), Errno> {
        match ns {
            PidNs::INIT => self.set_last(last),
            _ if last >= PID_MAX_LIMIT => Err(Errno::EINVAL),
            _ => {
                self.namespaces[ns.index()].last = last;
                Ok(())
            }
        }
    }

    /// The highest number and one that /proc/sys/kernel/pid_max shows.
    pub fn pid_max_in(&self, ns: PidNs) -> u32 {
        if ns == PidNs::INIT { self.pid_max } else { PID_MAX_LIMIT }
    }

    /// A newborn process that is number 1 of its namespace is its child_reaper.
    pub fn is_child_reaper(&self, pid: Pid) -> bool {
        let names = self.names.get(&pid).and_then(|names| names.last());
        names.is_some_and(|(_, number)| *number == 1)
    }

    /// Can it be entered: was its PID 1 born?
    pub fn has_child_reaper(&self, ns: PidNs) -> bool {
        self.namespace(ns).is_none_or(|space| space.child_reaper.is_some())
    }

    /// The namespace's PID 1 was born.
    pub fn set_child_reaper(&mut self, pid: Pid, group: GroupId) {
        let ns = self.ns_of(pid);
        self.namespaces[ns.index()].child_reaper = Some(group);
    }

    /// The namespace that a process is PID 1 of, below the host's.
    fn reaped_by(&self, tgid: Pid, group: GroupId) -> Option<PidNs> {
        let ns = self.ns_of(tgid);
        self.namespace(ns).filter(|space| space.child_reaper == Some(group)).map(|_| ns)
    }
}

impl Kernel {
    /// task_active_pid_ns().
    pub fn task_active_pid_ns(&self, task: TaskId) -> PidNs {
        self.pids.ns_of(self.tasks[task].tid)
    }

    /// pid_vnr(): what `task` calls a number; 0 for who is not in its namespace or below.
    pub fn pid_vnr(&self, task: TaskId, pid: Pid) -> u32 {
        self.pids.pid_nr_ns(pid, self.task_active_pid_ns(task))
    }

    /// task_tgid_vnr(): what a task calls its own process.
    pub fn task_tgid_vnr(&self, task: TaskId) -> u32 {
        self.pid_vnr(task, self.groups[self.tasks[task].group].tgid)
    }

    /// task_pid_vnr(): what a task calls itself.
    pub fn task_pid_vnr(&self, task: TaskId) -> u32 {
        self.pid_vnr(task, self.tasks[task].tid)
    }

    /// find_vpid(): whom `task` means by a number; a number of nobody means itself nobody.
    pub fn find_vpid(&self, task: TaskId, nr: u32) -> Option<Pid> {
        self.pids.find_pid_ns(nr, self.task_active_pid_ns(task))
    }

    /// find_task_by_vpid().
    pub fn find_task_by_vpid(&self, task: TaskId, nr: i32) -> Option<TaskId> {
        let nr = u32::try_from(nr).ok()?;
        self.find_vpid(task, nr).and_then(|pid| self.pids.task(pid))
    }

    /// The namespace whose PID 1 all of `group` is, if all of it is dying.
    pub(super) fn dying_child_reaper(&self, group: GroupId) -> Option<PidNs> {
        let g = &self.groups[group];
        let dying = g.tasks.iter().all(|t| self.tasks[*t].exiting);
        self.pids.reaped_by(g.tgid, group).filter(|_| dying)
    }

    /// zap_pid_ns_processes(): nobody outlives PID 1, and nobody is born any more (rule X-31). What
    /// is dead already is reaped; who dies from now on is reaped at once.
    pub(super) fn zap_pid_ns_processes(&mut self, ns: PidNs, init: GroupId) {
        self.pids.namespaces[ns.index()].disabled = true;
        self.sighands[self.groups[init].sighand].of_mut(Signal::SIGCHLD).handler = 1;
        let pids: Vec<Pid> = self.pids.namespaces[ns.index()].numbers.values().copied().collect();
        for pid in pids {
            let Some(task) = self.pids.task(pid) else { continue };
            let group = self.tasks[task].group;
            if group != init && self.groups[group].leader == task {
                // Never refused, from the kernel itself.
                let _ = self.send_signal(SigInfo::kernel(Signal::SIGKILL), Target::Group(group));
            }
        }
        let leader = self.groups[init].leader;
        for child in self.tasks[leader].children.clone() {
            if self.is_reapable(child) {
                self.release_task(child);
            }
        }
    }

    /// Is a process dead, with nothing left to wait for: neither threads (rule X-6) nor, for PID 1
    /// of a namespace, others in that (rule X-31)?
    pub(crate) fn is_reapable(&self, group: GroupId) -> bool {
        let g = &self.groups[group];
        let dead = g.tasks.len() == 1 && self.tasks[g.leader].run == Run::Zombie;
        dead && !self.outlived(group)
    }

    /// Is it the PID 1 of a namespace in which others are left?
    pub(crate) fn outlived(&self, group: GroupId) -> bool {
        let ns = self.pids.reaped_by(self.groups[group].tgid, group);
        ns.and_then(|ns| self.pids.namespace(ns)).is_some_and(|space| space.numbers.len() > 1)
    }

    /// Those who are PID 1 of a namespace that `pid` has a number in, innermost first.
    pub(super) fn child_reapers(&self, pid: Pid) -> Vec<GroupId> {
        let names = self.pids.names.get(&pid).map_or(&[][..], |names| names);
        let spaces = names.iter().rev().map(|(ns, _)| &self.pids.namespaces[ns.index()]);
        spaces.filter_map(|space| space.child_reaper).collect()
    }

    /// find_child_reaper(): who inherits the orphans of `pid`'s namespace.
    pub(super) fn child_reaper(&self, pid: Pid) -> TaskId {
        let reaper = self.child_reapers(pid).first().copied().unwrap_or(self.init_group());
        let reaper = &self.groups[reaper];
        let alive = reaper.tasks.iter().find(|t| !self.tasks[**t].exiting);
        alive.copied().unwrap_or(reaper.leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_number_in_each_namespace_above() {
        let mut pids = PidTable::default();
        assert_eq!(pids.alloc_pid(None), Ok(Pid(1)));
        let outer = pids.create_pid_namespace(PidNs::INIT, UserNs::INIT, 5).unwrap();
        let inner = pids.create_pid_namespace(outer, UserNs::INIT, 6).unwrap();
        let wished = pids.alloc_pid_in(outer, &[7]);
        assert_eq!(wished, Err(Errno::EINVAL), "the first one can only be PID 1");
        let first = pids.alloc_pid_in(outer, &[]).unwrap();
        assert_eq!((first.pid, &first.numbers[..]), (Pid(2), &[(outer, 1)][..]));
        pids.publish_names(&first);
        pids.keep(first.pid);
        let second = pids.alloc_pid_in(inner, &[1, 9]);
        assert_eq!(second, Err(Errno::EINVAL), "of the outer one no PID 1 is known");
        let second = pids.alloc_pid_in(inner, &[1]).unwrap();
        assert_eq!((second.pid, &second.numbers[..]), (Pid(3), &[(outer, 2), (inner, 1)][..]));
        pids.publish_names(&second);
        pids.keep(second.pid);
        assert_eq!((pids.pid_nr_ns(Pid(3), outer), pids.pid_nr_ns(Pid(2), inner)), (2, 0));
        assert_eq!((pids.find_pid_ns(1, inner), pids.ns_of(Pid(3))), (Some(Pid(3)), inner));
        assert_eq!(pids.all_numbers(Pid(3), PidNs::INIT), [3, 2, 1]);
        pids.unkeep(Pid(3));
        assert_eq!((pids.find_pid_ns(1, inner), pids.find_pid_ns(2, outer)), (None, None));
    }

    #[test]
    fn namespaces_nest_to_a_depth() {
        let mut pids = PidTable::default();
        let mut ns = PidNs::INIT;
        for _ in 0..MAX_LEVEL {
            ns = pids.create_pid_namespace(ns, UserNs::INIT, 0).unwrap();
        }
        assert_eq!(pids.create_pid_namespace(ns, UserNs::INIT, 0), Err(Errno::ENOSPC));
        assert!(pids.is_within(ns, PidNs::INIT) && !pids.is_within(PidNs::INIT, ns));
    }
}
