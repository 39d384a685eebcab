//! The built-in init: PID 1 of every host. It has no guest and never runs; it ignores SIGCHLD, so
//! that orphans which end as its children are reaped at once (rules ), and it is
//! SIGNAL_UNKILLABLE (rules S-13 to S-15).

use crate::abi::signal::{SigSet, Signal};
use crate::fs::cgroup::{CgroupId, TaskFreezer};
use crate::kernel::Kernel;
use crate::platform::{Registers, UserPtr};
use crate::random::{Purpose, Stream};
use crate::syscall::Wait;
use crate::task::nsproxy::Nsproxy;
use crate::task::prctl::TIMER_SLACK;
use crate::task::sched_calls::SchedParams;
use crate::task::signal::{AltStack, JobCtl, LastFault, SigHand, SigPending};
use crate::task::{Cred, Fs, GroupId, Run, Task, TaskId, ThreadGroup, WaitStatus};
use crate::time::{Duration, Instant};

impl Kernel {
    /// Makes PID 1; the first thing that a kernel does after boot.
    pub(crate) fn start_init(&mut self) {
        let pid = self.pids.alloc_pid(None).expect("a fresh table has room");
        let mut sighand = SigHand::new();
        sighand.of_mut(Signal::SIGCHLD).handler = 1;
        let sighand = self.sighands.insert(sighand);
        let root = self.vfs.root;
        let fs = self.fs_structs.insert(Fs { users: 1, root, pwd: root, umask: 0o022 });
        let files = self.tables.insert(crate::fs::fdtable::FdTable::default());
        let mut task = blank_task();
        task.tid = pid;
        task.start_time = self.now;
        task.comm = b"init".to_vec();
        task.files = Some(files);
        task.fs = Some(fs);
        task.run = Run::Blocked(Wait::until(None));
        let task = self.tasks.insert(task);
        self.cgroup_post_fork(task, self.cgroups.root);
        let random = Stream::new(self.config.seed, self.config.number, 1, Purpose::Getrandom);
        let group = self.groups.insert(ThreadGroup {
            tgid: pid,
            sighand,
            pgrp: pid,
            session: pid,
            unkillable: true,
            did_exec: true,
            random,
            ..ThreadGroup::blank(task)
        });
        self.tasks[task].group = group;
        self.pids.attach(pid, task);
        self.pids.keep(pid);
        self.pids.keep(pid);
        self.init = Some(group);
    }

    /// The group of PID 1.
    pub fn init_group(&self) -> GroupId {
        self.init.expect("start_init ran at boot")
    }

    /// PID 1's only thread.
    pub fn init_task(&self) -> TaskId {
        self.groups[self.init_group()].leader
    }
}

/// A task with nothing set; its group and its control group must be set before anyone looks.
pub(crate) fn blank_task() -> Task {
    Task {
        tid: crate::task::Pid(0),
        group: GroupId::nobody(),
        comm: Vec::new(),
        run: Run::Ready,
        exiting: false,
        exit_code: WaitStatus(0),
        real_parent: None,
        children: Vec::new(),
        pdeath_signal: None,
        in_flight: None,
        waiting_on: Vec::new(),
        restart: None,
        restart_block: None,
        guest: None,
        regs: Registers::default(),
        mm: None,
        set_child_tid: UserPtr::NULL,
        clear_child_tid: UserPtr::NULL,
        robust_list: UserPtr::NULL,
        rseq: None,
        sigpending: false,
        jobctl: JobCtl::default(),
        crashes_at: None,
        last_fault: LastFault::default(),
        blocked: SigSet::EMPTY,
        real_blocked: SigSet::EMPTY,
        saved_sigmask: None,
        pending: SigPending::default(),
        sas_ss: AltStack::default(),
        files: None,
        fs: None,
        task_works: Vec::new(),
        undo_list: None,
        lingering: None,
        cred: Cred::default(),
        nsproxy: Nsproxy::default(),
        cgroup: CgroupId::nobody(),
        freezer: TaskFreezer::default(),
        no_new_privs: false,
        personality: 0,
        timer_slack: TIMER_SLACK,
        default_timer_slack: TIMER_SLACK,
        sched: SchedParams::default(),
        utime: Duration::ZERO,
        stime: Duration::ZERO,
        asked_in_vain: 0,
        start_time: Instant::ZERO,
        vfork_parent: None,
    }
}
