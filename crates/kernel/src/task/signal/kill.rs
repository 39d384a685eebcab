//! kill(2), tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo: whom, in which order errors are
//! found, and may the sender? Rules S-1 to S-10. Neighbour: `send`, which asks nothing any more.

use super::Target;
use super::restart::SYSCALL_LEN;
use super::siginfo::{SI_TKILL, SIGINFO_SIZE, SigDetail, SigInfo};
use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::platform::Fault;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::{Pid, TaskId};

/// A signal argument before anyone looked at it: 0 probes, others may not exist (rule S-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Probe,
    Signal(Signal),
    Invalid,
}

impl Asked {
    fn new(number: i32) -> Asked {
        match (number, u64::try_from(number).ok().and_then(Signal::new)) {
            (0, _) => Asked::Probe,
            (_, Some(signal)) => Asked::Signal(signal),
            (_, None) => Asked::Invalid,
        }
    }
}

/// SIGSEGV, SEGV_MAPERR; a page fault by a read from user mode.
const NULL_READ: Fault = Fault { signo: 11, code: 1, addr: 0, trapno: 14, error: 4 };

/// What a signal will say of its origin; its number is put in once it is known to exist.
type Origin<'a> = &'a dyn Fn(Signal) -> SigInfo;

impl Kernel {
    /// kill(2).
    pub fn sys_kill(&mut self, call: &mut Call<'_>) -> SysResult {
        let (pid, asked) = (call.int(0), Asked::new(call.int(1)));
        let sender = call.task;
        let (tgid, uid) = self.identity(sender);
        let origin = |signal| SigInfo::user(signal, tgid, uid);
        match pid {
            1.. => {
                let pid = self.find_vpid(sender, pid as u32).ok_or(Errno::ESRCH)?;
                self.kill_pid_info(sender, pid, asked, &origin)?
            }
            i32::MIN => return Err(Errno::ESRCH.into()),
            -1 => self.kill_everyone(sender, asked, &origin)?,
            0 => {
                let pgrp = self.groups[self.tasks[sender].group].pgrp;
                self.kill_pgrp_info(sender, pgrp, asked, &origin)?;
            }
            -0x7fff_ffff..=-2 => {
                let pgrp = self.find_vpid(sender, pid.unsigned_abs()).ok_or(Errno::ESRCH)?;
                self.kill_pgrp_info(sender, pgrp, asked, &origin)?
            }
        }
        Ok(0)
    }

    /// tkill(2).
    pub fn sys_tkill(&mut self, call: &mut Call<'_>) -> SysResult {
        let (tid, asked) = (call.int(0), Asked::new(call.int(1)));
        if tid <= 0 {
            return Err(Errno::EINVAL.into());
        }
        self.do_tkill(call.task, None, tid, asked)
    }

    /// tgkill(2).
    pub fn sys_tgkill(&mut self, call: &mut Call<'_>) -> SysResult {
        let (tgid, tid, asked) = (call.int(0), call.int(1), Asked::new(call.int(2)));
        if tid <= 0 || tgid <= 0 {
            return Err(Errno::EINVAL.into());
        }
        self.do_tkill(call.task, Some(tgid as u32), tid, asked)
    }

    fn do_tkill(&mut self, sender: TaskId, tgid: Option<u32>, tid: i32, asked: Asked) -> SysResult {
        let (pid, uid) = self.identity(sender);
        let origin = |signal| SigInfo { code: SI_TKILL, ..SigInfo::user(signal, pid, uid) };
        let tid = self.find_vpid(sender, tid as u32).ok_or(Errno::ESRCH)?;
        self.do_send_specific(sender, tgid, tid, asked, &origin)?;
        Ok(0)
    }

    /// rt_sigqueueinfo(2): process-directed.
    pub fn sys_rt_sigqueueinfo(&mut self, call: &mut Call<'_>) -> SysResult {
        let (pid, asked) = (call.int(0), Asked::new(call.int(1)));
        let template = self.siginfo_argument(call, 2, asked)?;
        self.check_forgery(call.task, pid, &template)?;
        let origin = |_| template;
        let pid = self.find_vpid(call.task, pid.max(0) as u32).ok_or(Errno::ESRCH)?;
        self.kill_pid_info(call.task, pid, asked, &origin)?;
        Ok(0)
    }

    /// rt_tgsigqueueinfo(2): thread-directed.
    pub fn sys_rt_tgsigqueueinfo(&mut self, call: &mut Call<'_>) -> SysResult {
        let (tgid, tid, asked) = (call.int(0), call.int(1), Asked::new(call.int(2)));
        let template = self.siginfo_argument(call, 3, asked)?;
        if tid <= 0 || tgid <= 0 {
            return Err(Errno::EINVAL.into());
        }
        self.check_forgery(call.task, tid, &template)?;
        let origin = |_| template;
        let tid = self.find_vpid(call.task, tid as u32).ok_or(Errno::ESRCH)?;
        self.do_send_specific(call.task, Some(tgid as u32), tid, asked, &origin)?;
        Ok(0)
    }

    /// pidfd_send_signal(2): kill(2), tkill or killpg of whom a pidfd is about. EBADF if it is none,
    /// ESRCH once that was reaped.
    pub fn sys_pidfd_send_signal(&mut self, call: &mut Call<'_>) -> SysResult {
        const THREAD: u32 = 1;
        const THREAD_GROUP: u32 = 2;
        const PROCESS_GROUP: u32 = 4;
        let (number, flags) = (call.int(1), call.arg(3) as u32);
        if ![0, THREAD, THREAD_GROUP, PROCESS_GROUP].contains(&flags) {
            return Err(Errno::EINVAL.into());
        }
        let file = self.fdget(call, call.int(0))?;
        let pidfd = self.tgid_pidfd_to_pid(file)?;
        let (sender, asked) = (call.task, Asked::new(number));
        let own = self.task_active_pid_ns(sender);
        if !self.pids.is_within(pidfd.ns, own) {
            return Err(Errno::EINVAL.into()); // access_pidfd_pidns(): not ours, nor below
        }
        let (pid, uid) = self.identity(sender);
        let mut template = SigInfo::user(Signal::SIGHUP, pid, uid);
        if !call.ptr(2).is_null() {
            template = self.siginfo_argument(call, 2, asked)?;
            if call.read_u32(call.ptr(2))? as i32 != number {
                return Err(Errno::EINVAL.into());
            }
            // A whole group is never only oneself (measured).
            let pid = self.pid_vnr(sender, pidfd.pid) as i32;
            let to = if flags == PROCESS_GROUP { 0 } else { pid };
            self.check_forgery(sender, to, &template)?;
        }
        let thread = match (flags, pidfd.thread) {
            (THREAD, None) => self.groups.get(pidfd.group).map(|g| g.leader),
            (0 | THREAD, thread) => thread,
            _ => None,
        };
        let origin = |signal| SigInfo { signal, ..template };
        if self.pids.task(pidfd.pid).is_none_or(|t| self.tasks[t].group != pidfd.group) {
            return Err(Errno::ESRCH.into());
        }
        match (flags, thread) {
            (PROCESS_GROUP, _) => self.kill_pgrp_info(sender, pidfd.pid, asked, &origin)?,
            (_, Some(thread)) => {
                let tid = self.tasks.get(thread).ok_or(Errno::ESRCH)?.tid;
                self.do_send_specific(sender, None, tid, asked, &origin)?;
            }
            (_, None) => self.kill_pid_info(sender, pidfd.pid, asked, &origin)?,
        }
        Ok(0)
    }

    fn siginfo_argument(
        &mut self,
        call: &mut Call<'_>,
        i: usize,
        asked: Asked,
    ) -> Result<SigInfo, Errno> {
        let bytes = call.read_array::<SIGINFO_SIZE>(call.ptr(i))?;
        let signal = match asked {
            Asked::Signal(signal) => signal,
            // No signal will be made of it; any number will do for the layout.
            Asked::Probe | Asked::Invalid => Signal::SIGHUP,
        };
        let mut info = SigInfo::from_bytes(signal, &bytes)?;
        // What it says of its user is what it calls it itself.
        if let SigDetail::Kill { uid, .. } | SigDetail::Rt { uid, .. } = &mut info.detail {
            *uid = self.make_kuid(call.task, *uid).unwrap_or(u32::MAX);
        }
        Ok(info)
    }

    /// Only to oneself may a process claim that the kernel or tkill sent it (rule S-7).
    fn check_forgery(&self, sender: TaskId, to: i32, info: &SigInfo) -> Result<(), Errno> {
        let own = i64::from(self.task_pid_vnr(sender)) == i64::from(to);
        if (info.code >= 0 || info.code == SI_TKILL) && !own { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Who is sending: its process as it calls that itself, and real uid.
    fn identity(&self, sender: TaskId) -> (Pid, u32) {
        (Pid(self.task_tgid_vnr(sender)), self.tasks[sender].cred.uid)
    }

    /// kill_pid_info(): any thread's number will do; it is the first candidate (rule S-3).
    fn kill_pid_info(
        &mut self,
        sender: TaskId,
        pid: Pid,
        asked: Asked,
        origin: Origin<'_>,
    ) -> Result<(), Errno> {
        let task = self.pids.task(pid).ok_or(Errno::ESRCH)?;
        self.group_send_sig_info(sender, task, asked, origin)
    }

    /// group_send_sig_info(): permission, then the shared queue.
    fn group_send_sig_info(
        &mut self,
        sender: TaskId,
        task: TaskId,
        asked: Asked,
        origin: Origin<'_>,
    ) -> Result<(), Errno> {
        match self.check_kill_permission(sender, task, asked, origin)? {
            Some(info) => self.send_signal_of(sender, info, Target::Process(task)),
            None => Ok(()),
        }
    }

    /// do_send_specific(): one thread, of the process `tgid` if that is given (rule S-6).
    fn do_send_specific(
        &mut self,
        sender: TaskId,
        tgid: Option<u32>,
        tid: Pid,
        asked: Asked,
        origin: Origin<'_>,
    ) -> Result<(), Errno> {
        let task = self.pids.task(tid).ok_or(Errno::ESRCH)?;
        let process = self.groups[self.tasks[task].group].tgid;
        if tgid.is_some_and(|tgid| self.find_vpid(sender, tgid) != Some(process)) {
            return Err(Errno::ESRCH);
        }
        match self.check_kill_permission(sender, task, asked, origin)? {
            Some(info) => self.send_signal_of(sender, info, Target::Thread(task)),
            None => Ok(()),
        }
    }

    /// kill_pgrp_info(): success if one member accepts, else the error of the last one (S-4).
    /// Unlike Linux, which goes by the time of joining, the youngest process comes first.
    fn kill_pgrp_info(
        &mut self,
        sender: TaskId,
        pgrp: Pid,
        asked: Asked,
        origin: Origin<'_>,
    ) -> Result<(), Errno> {
        let members = self.pgrp_leaders(pgrp);
        let mut outcome = Err(Errno::ESRCH);
        for task in members.into_iter().rev() {
            let result = self.group_send_sig_info(sender, task, asked, origin);
            if outcome != Ok(()) {
                outcome = result;
            }
        }
        outcome
    }

    /// kill(-1): everyone that the caller sees but its init and its own process. EPERM counts for
    /// nothing (S-5).
    fn kill_everyone(
        &mut self,
        sender: TaskId,
        asked: Asked,
        origin: Origin<'_>,
    ) -> Result<(), Errno> {
        let own = self.tasks[sender].group;
        let everyone = self.leaders(|kernel, task| {
            let t = &kernel.tasks[task];
            kernel.pid_vnr(sender, t.tid) > 1 && t.group != own
        });
        let mut outcome = if everyone.is_empty() { Err(Errno::ESRCH) } else { Ok(()) };
        for task in everyone {
            match self.group_send_sig_info(sender, task, asked, origin) {
                Err(Errno::EPERM) => {}
                other => outcome = other,
            }
        }
        outcome
    }

    /// Leaders of processes by ascending pid.
    fn leaders(&self, wanted: impl Fn(&Kernel, TaskId) -> bool) -> Vec<TaskId> {
        let leads = |task: TaskId| self.groups[self.tasks[task].group].leader == task;
        self.pids.iter().map(|(_, t)| t).filter(|t| leads(*t) && wanted(self, *t)).collect()
    }

    /// check_kill_permission(): EINVAL for a number that is no signal, EPERM (rule S-9). The
    /// signal to send, `None` for a probe.
    fn check_kill_permission(
        &self,
        sender: TaskId,
        target: TaskId,
        asked: Asked,
        origin: Origin<'_>,
    ) -> Result<Option<SigInfo>, Errno> {
        let info = match asked {
            Asked::Invalid => return Err(Errno::EINVAL),
            Asked::Probe => None,
            Asked::Signal(signal) => Some(origin(signal)),
        };
        // Unlike Linux, si_code is not looked at: a positive one is only for oneself (S-7).
        if self.may_signal(sender, target) {
            return Ok(info);
        }
        let session = |t: TaskId| self.groups[self.tasks[t].group].session;
        match asked {
            Asked::Signal(Signal::SIGCONT) if session(sender) == session(target) => Ok(info),
            Asked::Signal(_) | Asked::Probe | Asked::Invalid => Err(Errno::EPERM),
        }
    }

    /// kill_ok_by_cred(): the target's effective uid is never looked at.
    pub(crate) fn may_signal(&self, sender: TaskId, target: TaskId) -> bool {
        let (s, t) = (&self.tasks[sender], &self.tasks[target]);
        let (sc, tc) = (&s.cred, &t.cred);
        s.group == t.group
            || [sc.euid, sc.uid].iter().any(|id| *id == tc.suid || *id == tc.uid)
            || self.ns_capable(sender, tc.user_ns, Cap::Kill)
    }

    /// The leaders of a group's processes, by ascending pid.
    pub fn pgrp_leaders(&self, pgrp: Pid) -> Vec<TaskId> {
        self.leaders(|kernel, task| kernel.groups[kernel.tasks[task].group].pgrp == pgrp)
    }

    /// A kernel-originated signal to every process of `pgrp` (a terminal's, an orphaned group's).
    pub fn kill_pgrp(&mut self, pgrp: Pid, signal: Signal) {
        for task in self.pgrp_leaders(pgrp).into_iter().rev() {
            // Without a record to lose there is no limit to meet.
            let _ = self.send_signal(SigInfo::kernel(signal), Target::Process(task));
        }
    }

    /// The main thread of a process reads from address 0, wherever it is: a fault as the CPU reports
    /// it, which the process may handle. A handler that returns comes back to the same instruction.
    pub fn crash_from_outside(&mut self, pid: Pid) {
        let Some(task) = self.pids.task(pid) else { return };
        let group = self.tasks[task].group;
        let mut threads = self.groups[group].tasks.iter().copied();
        if let Some(alive) = threads.find(|thread| !self.tasks[*thread].exiting) {
            self.tasks[alive].crashes_at = Some(self.tasks[alive].regs.rip);
            self.force_sig_fault(alive, NULL_READ);
        }
    }

    /// A handler returned: to where the task crashes, or to a call before it that begins again?
    pub(super) fn crash_again(&mut self, task: TaskId) {
        let rip = self.tasks[task].regs.rip;
        if self.tasks[task]
            .crashes_at
            .is_some_and(|at| at == rip || at == rip.wrapping_add(SYSCALL_LEN))
        {
            self.force_sig_fault(task, NULL_READ);
        }
    }

    /// oom_kill_process(): SIGKILL from the kernel for the victim, and for all who share its memory.
    pub fn oom_kill_process(&mut self, pid: Pid) {
        let Some(victim) = self.pids.task(pid) else { return };
        let mm = self.tasks[victim].mm;
        let sharers =
            self.leaders(|k, task| task == victim || mm.is_some() && k.tasks[task].mm == mm);
        for task in sharers {
            // From the kernel: never refused.
            let _ = self.send_signal(SigInfo::kernel(Signal::SIGKILL), Target::Process(task));
        }
    }

    /// A signal from outside the world: as kill(2) from an ancestor pid namespace, si_pid 0.
    /// False if there is no such process. The built-in PID 1 takes none (rule S-15), one that
    /// is a program SIGKILL and SIGSTOP, and what it handles (rule S-14).
    pub fn kill_from_outside(&mut self, pid: Pid, signal: Signal) -> bool {
        let Some(task) = self.pids.task(pid) else { return false };
        let info = SigInfo::user(signal, Pid(0), 0);
        self.send_signal(info, Target::Process(task)).is_ok()
    }
}

#[cfg(test)]
mod tests;
