//! wait4(2) and waitid(2): which children a wait is about, what each has to report, and reaping.
//! Rules. Neighbours: `exit_notify` (makes zombies, release_task), `signal/job_control`
//! (stops and continuations).

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Stop, SysResult, Wait};
use crate::task::exit_notify::cld_code;
use crate::task::rusage::Rusage;
use crate::task::{GroupId, Pid, TaskId, WaitStatus};
use crate::wait_queue::Event;
use linux_raw_sys::general as lx;

const CLD_STOPPED: i32 = 5;
const CLD_CONTINUED: i32 = 6;
const WNOTHREAD: u32 = lx::__WNOTHREAD;
const WALL: u32 = lx::__WALL;
const WCLONE: u32 = lx::__WCLONE;

/// Which children a wait is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// All of them.
    Any,
    /// This one.
    Pid(Pid),
    /// Those in this process group; "mine" is the group that the caller was in when it called.
    Pgrp(Pid),
}

/// One wait: wait_opts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitOpts {
    /// wo_type and wo_pid.
    pub which: Which,
    /// wo_flags.
    pub options: u32,
}

/// What a child had to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Report {
    /// As the parent sees it.
    pid: u32,
    uid: u32,
    /// The status word as wait4 gives it.
    status: u32,
    /// si_code and si_status as waitid gives them.
    code: i32,
    value: i32,
    rusage: Rusage,
}

impl WaitOpts {
    fn has(&self, option: u32) -> bool {
        self.options & option != 0
    }
}

impl Kernel {
    /// wait4(2).
    pub fn sys_wait4(&mut self, call: &mut Call<'_>) -> SysResult {
        let (upid, options) = (call.int(0), call.arg(2) as u32);
        let known = lx::WNOHANG | lx::WUNTRACED | lx::WCONTINUED | WNOTHREAD | WCLONE | WALL;
        if options & !known != 0 {
            return Err(Errno::EINVAL.into());
        }
        let which = match upid {
            i32::MIN => return Err(Errno::ESRCH.into()),
            -1 => Which::Any,
            0 => Which::Pgrp(self.groups[self.tasks[call.task].group].pgrp),
            n if n < 0 => Which::Pgrp(self.waited_for(call.task, n.unsigned_abs())),
            n => Which::Pid(self.waited_for(call.task, n as u32)),
        };
        let opts = WaitOpts { which, options: options | lx::WEXITED };
        let Some(report) = self.do_wait(call, opts)? else { return Ok(0) };
        let (status, rusage) = (call.ptr(1), call.ptr(3));
        if !status.is_null() {
            call.write_u32(status, report.status)?;
        }
        if !rusage.is_null() {
            call.write_user(rusage, &report.rusage.to_bytes())?;
        }
        Ok(u64::from(report.pid))
    }

    /// waitid(2).
    pub fn sys_waitid(&mut self, call: &mut Call<'_>) -> SysResult {
        let (idtype, id, options) = (call.arg(0) as u32, call.int(1), call.arg(3) as u32);
        let states = lx::WEXITED | lx::WSTOPPED | lx::WCONTINUED;
        let known = states | lx::WNOHANG | lx::WNOWAIT | WNOTHREAD | WCLONE | WALL;
        if options & !known != 0 || options & states == 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut nonblock = false;
        let which = match idtype {
            lx::P_ALL => Which::Any,
            lx::P_PID if id > 0 => Which::Pid(self.waited_for(call.task, id as u32)),
            lx::P_PGID if id > 0 => Which::Pgrp(self.waited_for(call.task, id as u32)),
            lx::P_PGID if id == 0 => Which::Pgrp(self.groups[self.tasks[call.task].group].pgrp),
            lx::P_PIDFD if id >= 0 => {
                let file = self.fdget(call, id)?;
                nonblock = self.files[file].flags.nonblock() && options & lx::WNOHANG == 0;
                Which::Pid(self.pidfd_of(file)?.pid)
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        let options = if nonblock { options | lx::WNOHANG } else { options };
        let report = self.do_wait(call, WaitOpts { which, options })?;
        if nonblock && report.is_none() {
            return Err(Errno::EAGAIN.into());
        }
        let (infop, rusage) = (call.ptr(2), call.ptr(4));
        if !rusage.is_null()
            && let Some(report) = report
        {
            call.write_user(rusage, &report.rusage.to_bytes())?;
        }
        if !infop.is_null() {
            write_siginfo(call, infop, report)?;
        }
        Ok(0)
    }

    /// find_get_pid(): who is meant by a number; nobody's number is nobody.
    fn waited_for(&self, task: TaskId, nr: u32) -> Pid {
        self.find_vpid(task, nr).unwrap_or_default()
    }

    /// do_wait(): the first child that has something to report; ECHILD where there is no child that
    /// ever could; `None` for WNOHANG.
    fn do_wait(&mut self, call: &mut Call<'_>, opts: WaitOpts) -> Result<Option<Report>, Stop> {
        let task = call.task;
        let group = self.tasks[task].group;
        // Once it slept, what it asked for at first counts: its own process group may be another now.
        let opts = match call.flight.progress {
            Progress::Wait(first) => first,
            _ => opts,
        };
        let mut eligible = false;
        for child in self.children_in_order(task) {
            if !self.is_eligible(task, child, opts) {
                continue;
            }
            // A zombie has nothing to wait for but its end.
            eligible |= opts.has(lx::WEXITED) || !self.is_reapable(child);
            if let Some(report) = self.wait_consider_task(group, child, opts) {
                return Ok(Some(report));
            }
        }
        if !eligible {
            return Err(Errno::ECHILD.into());
        }
        if opts.has(lx::WNOHANG) {
            return Ok(None);
        }
        call.flight.progress = Progress::Wait(opts);
        Err(Wait::on(Event::Child(group)).into())
    }

    /// __wake_up_parent(): who waits for this child looks again. Who waits for others sleeps on, even
    /// if there are none left for it (child_wait_callback, rule X-20).
    pub(in crate::task) fn wake_up_parent(&mut self, parent: GroupId, child: GroupId) {
        for sleeper in self.waits.sleepers(Event::Child(parent)) {
            let flight = self.tasks[sleeper].in_flight.as_ref();
            let should_wake = match flight.map(|it| &it.progress) {
                Some(Progress::Wait(opts)) => self.is_about(sleeper, child, *opts),
                Some(_) | None => true,
            };
            if should_wake {
                self.try_to_wake_up(sleeper);
            }
        }
    }

    /// eligible_pid(), and __WNOTHREAD.
    fn is_about(&self, task: TaskId, child: GroupId, opts: WaitOpts) -> bool {
        let c = &self.groups[child];
        let right = match opts.which {
            Which::Any => true,
            Which::Pid(pid) => c.tgid == pid,
            Which::Pgrp(pgrp) => c.pgrp == pgrp,
        };
        right && (!opts.has(WNOTHREAD) || self.tasks[c.leader].real_parent == Some(task))
    }

    /// The children of a process as one of its threads sees them: its own first, then those of the
    /// threads after it; each thread's in the order in which it got them.
    fn children_in_order(&self, task: TaskId) -> Vec<GroupId> {
        let leader = self.groups[self.tasks[task].group].leader;
        let children = &self.tasks[leader].children;
        let mut ring = self.threads_after(task);
        ring.insert(0, task);
        let turn = |child: &GroupId| {
            let parent = self.tasks[self.groups[*child].leader].real_parent;
            ring.iter().position(|thread| Some(*thread) == parent)
        };
        let mut children = children.clone();
        // Stable; nobody is without a turn (None comes first).
        children.sort_by_key(turn);
        children
    }

    /// eligible_child(): the right one, forked by the right thread, with the right kind of exit
    /// signal (clone children are those that don't send SIGCHLD).
    fn is_eligible(&self, task: TaskId, child: GroupId, opts: WaitOpts) -> bool {
        let is_clone = self.groups[child].exit_signal != Some(Signal::SIGCHLD);
        self.is_about(task, child, opts) && (opts.has(WALL) || is_clone == opts.has(WCLONE))
    }

    /// wait_consider_task(): dead before stopped before continued (rule X-21).
    fn wait_consider_task(
        &mut self,
        parent: GroupId,
        child: GroupId,
        opts: WaitOpts,
    ) -> Option<Report> {
        if self.is_reapable(child) {
            return opts.has(lx::WEXITED).then(|| self.wait_task_zombie(parent, child, opts));
        }
        let c = &self.groups[child];
        if opts.has(lx::WSTOPPED)
            && c.stop.stop_unreported
            && let Some(signal) = c.stop.stopped_by
        {
            if !opts.has(lx::WNOWAIT) {
                self.groups[child].stop.stop_unreported = false;
            }
            let number = i32::from(signal.number());
            return Some(self.report(child, (number as u32) << 8 | 0x7f, CLD_STOPPED, number));
        }
        if opts.has(lx::WCONTINUED) && c.stop.continue_unreported {
            if !opts.has(lx::WNOWAIT) {
                self.groups[child].stop.continue_unreported = false;
            }
            let number = i32::from(Signal::SIGCONT.number());
            return Some(self.report(child, 0xffff, CLD_CONTINUED, number));
        }
        None
    }

    /// wait_task_zombie(): the status, and unless WNOWAIT the end of the child; its times are its
    /// parent's children's now (rule X-23).
    fn wait_task_zombie(&mut self, parent: GroupId, child: GroupId, opts: WaitOpts) -> Report {
        let c = &self.groups[child];
        let status: WaitStatus = c.group_exit.unwrap_or(self.tasks[c.leader].exit_code);
        let (code, value) = cld_code(status);
        let report = self.report(child, status.0, code, value);
        if !opts.has(lx::WNOWAIT) {
            let Rusage { utime, stime, .. } = report.rusage;
            let p = &mut self.groups[parent];
            p.cutime += utime;
            p.cstime += stime;
            self.release_task(child);
        }
        report
    }

    fn report(&self, child: GroupId, status: u32, code: i32, value: i32) -> Report {
        let c = &self.groups[child];
        let mut rusage = self.rusage_of_group(child);
        rusage.utime += c.cutime;
        rusage.stime += c.cstime;
        let kuid = self.tasks[c.leader].cred.uid;
        let uid = c.parent.map_or(0, |p| self.uid_seen_by(self.groups[p].leader, kuid));
        let pid = c.parent.map_or(0, |p| self.pid_vnr(self.groups[p].leader, c.tgid));
        Report { pid, uid, status, code, value, rusage }
    }
}

/// What waitid fills in of siginfo: the rest is left as it is. All zero when nothing was ready.
fn write_siginfo(call: &mut Call<'_>, to: UserPtr, report: Option<Report>) -> Result<(), Errno> {
    let (signo, code, pid, uid, value) = match report {
        Some(r) => (u32::from(Signal::SIGCHLD.number()), r.code, r.pid, r.uid, r.value),
        None => (0, 0, 0, 0, 0),
    };
    for (offset, word) in
        [(0, signo), (4, 0), (8, code as u32), (16, pid), (20, uid), (24, value as u32)]
    {
        call.write_u32(to.add(offset), word)?;
    }
    Ok(())
}
