//! Process groups and sessions: setpgid(2), getpgid(2), setsid(2), getsid(2). Neighbours: `pid`
//! (numbers stay taken while a group or session uses them), `exit_notify` (orphaned groups).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::{GroupId, Pid};

impl Kernel {
    /// The process of `pid`, 0 being the caller's; ESRCH.
    fn group_of_pid(&self, call: &Call<'_>, pid: i32) -> Result<GroupId, Errno> {
        match pid {
            0 => Ok(self.tasks[call.task].group),
            n => {
                let task = self.find_task_by_vpid(call.task, n).ok_or(Errno::ESRCH)?;
                Ok(self.tasks[task].group)
            }
        }
    }

    /// setpgid(2): oneself or a child that did no exec yet, to a group of the same session.
    pub fn sys_setpgid(&mut self, call: &mut Call<'_>) -> SysResult {
        let (pid, pgid) = (call.int(0), call.int(1));
        if pgid < 0 {
            return Err(Errno::EINVAL.into());
        }
        let me = self.tasks[call.task].group;
        let target = self.group_of_pid(call, pid)?;
        let t = &self.groups[target];
        if pid != 0 && self.find_vpid(call.task, pid as u32) != Some(t.tgid) {
            return Err(Errno::EINVAL.into()); // a thread's number
        }
        if target != me {
            if t.parent != Some(me) {
                return Err(Errno::ESRCH.into());
            }
            if t.session != self.groups[me].session {
                return Err(Errno::EPERM.into());
            }
            if t.did_exec {
                return Err(Errno::EACCES.into());
            }
        }
        if t.session == t.tgid {
            return Err(Errno::EPERM.into()); // a session's leader
        }
        let (tgid, session) = (t.tgid, t.session);
        let pgrp = match pgid {
            0 => tgid,
            // Nobody's number is no group's either.
            _ => self.find_vpid(call.task, pgid as u32).ok_or(Errno::EPERM)?,
        };
        let exists = self.groups.iter().any(|(_, g)| g.pgrp == pgrp && g.session == session);
        if pgrp != tgid && !exists {
            return Err(Errno::EPERM.into());
        }
        self.change_pgrp(target, pgrp);
        Ok(0)
    }

    fn change_pgrp(&mut self, group: GroupId, pgrp: Pid) {
        self.pids.keep(pgrp);
        let old = core::mem::replace(&mut self.groups[group].pgrp, pgrp);
        self.pids.unkeep(old);
    }

    /// getpgid(2).
    pub fn sys_getpgid(&mut self, call: &mut Call<'_>) -> SysResult {
        let group = self.group_of_pid(call, call.int(0))?;
        Ok(u64::from(self.pid_vnr(call.task, self.groups[group].pgrp)))
    }

    /// getpgrp(2).
    pub fn sys_getpgrp(&mut self, call: &mut Call<'_>) -> SysResult {
        let pgrp = self.groups[self.tasks[call.task].group].pgrp;
        Ok(u64::from(self.pid_vnr(call.task, pgrp)))
    }

    /// getsid(2).
    pub fn sys_getsid(&mut self, call: &mut Call<'_>) -> SysResult {
        let group = self.group_of_pid(call, call.int(0))?;
        Ok(u64::from(self.pid_vnr(call.task, self.groups[group].session)))
    }

    /// setsid(2): EPERM for who leads a process group already.
    pub fn sys_setsid(&mut self, call: &mut Call<'_>) -> SysResult {
        let group = self.tasks[call.task].group;
        let tgid = self.groups[group].tgid;
        if self.groups.iter().any(|(_, g)| g.pgrp == tgid) {
            return Err(Errno::EPERM.into());
        }
        self.start_session(group);
        Ok(u64::from(self.pid_vnr(call.task, tgid)))
    }

    /// A process becomes the leader of a session and process group of its own.
    pub(crate) fn start_session(&mut self, group: GroupId) {
        let tgid = self.groups[group].tgid;
        self.change_pgrp(group, tgid);
        self.pids.keep(tgid);
        // proc_clear_tty()
        self.groups[group].tty = None;
        let old = core::mem::replace(&mut self.groups[group].session, tgid);
        self.pids.unkeep(old);
    }
}
