//! What the family hears of a death: children get a new parent (`forget_original_parent`), the
//! parent gets its signal (`do_notify_parent`), the dead become zombies or are gone at once
//! (`release_task`). Rules. Neighbours: `exit` (calls
//! `exit_notify` last), `wait` (reaps), `signal/job_control` (is_orphaned_pgrp).

use crate::abi::signal::Signal;
use crate::fact::TaskFact;
use crate::kernel::Kernel;
use crate::task::signal::{SigDetail, SigInfo, Target};
use crate::task::{GroupId, Pid, Run, TaskId, WaitStatus};
use crate::wait_queue::Event;

/// SA_NOCLDWAIT.
const SA_NOCLDWAIT: u64 = 2;
const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_DUMPED: i32 = 3;

impl Kernel {
    /// exit_notify(): the last thing that a task does.
    pub(crate) fn exit_notify(&mut self, task: TaskId) {
        let group = self.tasks[task].group;
        if self.is_init_dying(group) {
            self.zap_all_processes();
        } else if let Some(ns) = self.dying_child_reaper(group) {
            self.zap_pid_ns_processes(ns, group);
        } else {
            self.forget_original_parent(task);
        }
        if self.groups[group].tasks.iter().all(|t| self.tasks[*t].exiting) {
            self.kill_orphaned_pgrp(group, None);
        }
        self.leave_wait_queues(task);
        self.try_to_wake_up(task); // a guest that vanished in its sleep has a deadline no more
        self.run_queue.remove(task);
        self.tasks[task].run = Run::Zombie;
        // An exec may wait for this thread, and pidfds of threads look.
        self.publish(Event::Group(group));
        if self.groups[group].leader != task {
            // A thread that is no leader is reaped at once (rule X-17).
            self.release_thread(task);
        }
        self.notify_if_group_is_empty(group);
    }

    /// A leader is announced when it is the last of its group (rule X-6), and PID 1 of a namespace
    /// when it is the last there.
    fn notify_if_group_is_empty(&mut self, group: GroupId) {
        let alone = self.is_reapable(group);
        if Some(group) == self.init {
            self.notify_if_init_is_alone();
        } else if alone && self.do_notify_parent(group) {
            self.release_task(group);
        }
    }

    fn is_init_dying(&self, group: GroupId) -> bool {
        let all = || self.groups[group].tasks.iter().all(|t| self.tasks[*t].exiting);
        Some(group) == self.init && all()
    }

    /// zap_pid_ns_processes() of the host: nobody outlives PID 1, and nobody is born any more (rule
    ///
    fn zap_all_processes(&mut self) {
        self.pids.disable();
        let init = self.init_group();
        self.sighands[self.groups[init].sighand].of_mut(Signal::SIGCHLD).handler = 1;
        let others: Vec<GroupId> =
            self.groups.iter().map(|(id, _)| id).filter(|id| *id != init).collect();
        for group in others {
            // Never refused, from the kernel itself.
            let _ = self.send_signal(SigInfo::kernel(Signal::SIGKILL), Target::Group(group));
        }
    }

    /// PID 1's parent, which is outside, hears of its death when nobody else is left.
    fn notify_if_init_is_alone(&mut self) {
        let init = self.init_group();
        let leader = self.groups[init].leader;
        let g = &self.groups[init];
        let dead = g.tasks.len() == 1 && self.tasks[leader].run == Run::Zombie;
        if dead && self.groups.iter().count() == 1 {
            let status = g.group_exit.unwrap_or(self.tasks[leader].exit_code);
            let (parent, autoreap) = (None, false);
            let fact = TaskFact::ExitNotify { status, signal: None, parent, autoreap };
            self.tell(Some(leader), fact.into());
        }
    }

    /// do_notify_parent(): signal and wake-up for the parent. True if nobody will wait for this
    /// child: it is to be reaped at once (rule X-18).
    fn do_notify_parent(&mut self, group: GroupId) -> bool {
        let g = &self.groups[group];
        let status = g.group_exit.unwrap_or(self.tasks[g.leader].exit_code);
        let Some(parent) = g.parent else {
            // Its parent is outside, and reaps it at once.
            let (signal, parent, autoreap) = (None, None, true);
            let fact = TaskFact::ExitNotify { status, signal, parent, autoreap };
            self.tell(Some(g.leader), fact.into());
            self.publish(Event::Group(group));
            return true;
        };
        let mut signal = g.exit_signal;
        if signal.is_some() && g.parent_exec_id != self.groups[parent].self_exec_id {
            signal = Some(Signal::SIGCHLD);
        }
        let info = signal.map(|s| self.child_info(group, s, status));
        let mut autoreap = false;
        if signal == Some(Signal::SIGCHLD) {
            let action = self.sighands[self.groups[parent].sighand].of(Signal::SIGCHLD);
            let ignored = action.handler == 1;
            autoreap = ignored || action.flags & SA_NOCLDWAIT != 0;
            if ignored {
                signal = None;
            }
        }
        let leader = self.groups[group].leader;
        let to = Some(self.groups[parent].tgid);
        let fact = TaskFact::ExitNotify { status, signal, parent: to, autoreap };
        self.tell(Some(leader), fact.into());
        if let (Some(_), Some(info)) = (signal, info) {
            // SIGCHLD and friends from the kernel: never refused, dropped if ignored. The thread that
            // forked the child is the first candidate, as for stops.
            let forker = self.tasks[leader].real_parent;
            let to = forker.filter(|t| self.tasks.get(*t).is_some_and(|t| t.group == parent));
            let _ = self.send_signal(info, to.map_or(Target::Group(parent), Target::Process));
        }
        self.wake_up_parent(parent, group);
        self.publish(Event::Group(group));
        autoreap
    }

    /// The siginfo of a death; the status is the group's, also where the leader left with another
    /// (rule X-5, as in 6.18).
    fn child_info(&self, group: GroupId, signal: Signal, status: WaitStatus) -> SigInfo {
        let g = &self.groups[group];
        let leader = &self.tasks[g.leader];
        let (code, reported) = cld_code(status);
        let (utime, stime) = self.group_clock_ticks(group);
        SigInfo {
            signal,
            errno: 0,
            code,
            detail: SigDetail::Child {
                pid: self.pid_for_parent(group),
                uid: leader.cred.uid,
                status: reported,
                utime,
                stime,
            },
        }
    }

    /// release_task() of a leader that is alone: the process is gone, its number is free.
    pub(crate) fn release_task(&mut self, group: GroupId) {
        let leader = self.groups[group].leader;
        let pid = self.groups[group].tgid;
        let status = self.groups[group].group_exit.unwrap_or(self.tasks[leader].exit_code);
        self.tell(Some(leader), TaskFact::Reaped { pid, status }.into());
        let child_reapers = self.child_reapers(pid);
        self.release_thread(leader);
        let Some(g) = self.groups.remove(group) else { return };
        // pidfds of it say HUP from now on.
        self.publish(Event::Group(group));
        self.pids.unkeep(g.pgrp);
        self.pids.unkeep(g.session);
        self.put_sighand(g.sighand);
        if let Some(parent) = g.parent {
            let parent = self.groups[parent].leader;
            self.tasks[parent].children.retain(|c| *c != group);
        }
        for reaper in child_reapers {
            if self.groups.get(reaper).is_some() {
                self.notify_if_group_is_empty(reaper);
            }
        }
        self.notify_if_init_is_alone();
    }

    /// What a process is called by its parent.
    pub(crate) fn pid_for_parent(&self, group: GroupId) -> Pid {
        let g = &self.groups[group];
        Pid(g.parent.map_or(0, |parent| self.pid_vnr(self.groups[parent].leader, g.tgid)))
    }

    /// __exit_signal(): a thread's times go to its group, its number is free.
    pub(crate) fn release_thread(&mut self, task: TaskId) {
        let Some(t) = self.tasks.remove(task) else { return };
        if self.pids.task(t.tid) == Some(task) {
            self.pids.detach(t.tid);
        }
        self.run_queue.remove(task);
        let g = &mut self.groups[t.group];
        g.utime += t.utime;
        g.stime += t.stime;
        g.tasks.retain(|other| *other != task);
        let group = t.group;
        self.cgroup_release(task, t.cgroup);
        self.publish(Event::Group(group));
    }

    /// One process less shares these dispositions.
    fn put_sighand(&mut self, sighand: crate::task::SigHandId) {
        self.sighands[sighand].users -= 1;
        if self.sighands[sighand].users == 0 {
            self.sighands.remove(sighand);
        }
    }

    /// forget_original_parent(): the children that this *thread* forked get another parent: a living
    /// thread of the same process, else the nearest living subreaper above, else init (rule X-26).
    fn forget_original_parent(&mut self, task: TaskId) {
        let group = self.tasks[task].group;
        let leader = self.groups[group].leader;
        let sibling = self.groups[group].tasks.iter().copied().find(|t| !self.tasks[*t].exiting);
        let reaper = sibling.unwrap_or_else(|| self.find_new_reaper(group));
        for child in self.tasks[leader].children.clone() {
            let mine = self.tasks[self.groups[child].leader].real_parent == Some(task);
            self.send_pdeath_signals(child, task, reaper);
            if sibling.is_some() && !mine {
                continue; // its place among its parent's children stays
            }
            if sibling.is_some() {
                // Behind those that the sibling has.
                self.tasks[leader].children.retain(|c| *c != child);
                self.tasks[leader].children.push(child);
            } else {
                self.reparent_leader(child, group, reaper);
            }
        }
    }

    /// find_new_reaper(): the nearest ancestor in the same pid namespace that is a subreaper with a
    /// living thread, or the namespace's init.
    fn find_new_reaper(&self, group: GroupId) -> TaskId {
        let tgid = self.groups[group].tgid;
        let ns = self.pids.ns_of(tgid);
        let mut above = self.groups[group].parent;
        while let Some(ancestor) = above {
            let g = &self.groups[ancestor];
            if self.pids.ns_of(g.tgid) != ns {
                break;
            }
            if g.is_child_subreaper
                && let Some(alive) = g.tasks.iter().find(|t| !self.tasks[**t].exiting)
            {
                return *alive;
            }
            above = g.parent;
        }
        self.child_reaper(tgid)
    }

    /// Each thread of `child` that `dying` forked has a new real parent, and gets its PDEATHSIG
    /// (rule X-27).
    fn send_pdeath_signals(&mut self, child: GroupId, dying: TaskId, reaper: TaskId) {
        let (tgid, uid) = (self.groups[self.tasks[dying].group].tgid, self.tasks[dying].cred.uid);
        for thread in self.groups[child].tasks.clone() {
            if self.tasks[thread].real_parent != Some(dying) {
                continue;
            }
            self.tasks[thread].real_parent = Some(reaper);
            if let Some(signal) = self.tasks[thread].pdeath_signal
                && self.may_signal(dying, thread)
            {
                // From above its namespace it comes from nobody.
                let pid = Pid(self.pid_vnr(thread, tgid));
                let detail = SigDetail::Kill { pid, uid };
                let info = SigInfo { signal, errno: 0, code: 0, detail };
                // A standard signal cannot fail, a lost real-time record is lost in Linux too.
                let _ = self.send_signal(info, Target::Process(thread));
            }
        }
    }

    /// reparent_leader(): `child` leaves the family of `father`.
    fn reparent_leader(&mut self, child: GroupId, father: GroupId, reaper: TaskId) {
        let to = self.tasks[reaper].group;
        let (old_leader, new_leader) = (self.groups[father].leader, self.groups[to].leader);
        self.tasks[old_leader].children.retain(|c| *c != child);
        self.tasks[new_leader].children.push(child);
        let exec_id = self.groups[to].self_exec_id;
        let g = &mut self.groups[child];
        g.parent = Some(to);
        g.parent_exec_id = exec_id;
        g.exit_signal = Some(Signal::SIGCHLD);
        let (pid, to) = (g.tgid, self.groups[to].tgid);
        self.tell(Some(old_leader), TaskFact::Reparent { child: pid, to }.into());
        self.notify_if_group_is_empty(child);
        if self.groups.get(child).is_some() {
            self.kill_orphaned_pgrp(child, Some(father));
        }
    }

    /// kill_orphaned_pgrp(): if the exit of `group` (as a member, or, with `parent`, as the parent
    /// of one) leaves a process group with stopped members without anybody who could continue
    /// them, they get SIGHUP and SIGCONT (rule X-28).
    fn kill_orphaned_pgrp(&mut self, group: GroupId, parent: Option<GroupId>) {
        let g = &self.groups[group];
        let (pgrp, session) = (g.pgrp, g.session);
        let ignored = if parent.is_some() { None } else { Some(group) };
        let Some(parent) = parent.or(g.parent) else { return };
        let p = &self.groups[parent];
        let was_held = p.pgrp != pgrp && p.session == session;
        if !was_held || !self.is_orphaned_pgrp(pgrp, ignored) || !self.has_stopped_jobs(pgrp) {
            return;
        }
        for signal in [Signal::SIGHUP, Signal::SIGCONT] {
            self.kill_pgrp(pgrp, signal);
        }
    }
}

/// si_code and si_status of a death.
pub fn cld_code(status: WaitStatus) -> (i32, i32) {
    match status.signal() {
        Some(signal) if status.0 & 0x80 != 0 => (CLD_DUMPED, i32::from(signal.number())),
        Some(signal) => (CLD_KILLED, i32::from(signal.number())),
        None => (CLD_EXITED, status.code() as i32),
    }
}
