//! Priorities, policies and CPUs: hints here, since one task runs at a time until it blocks. Checked
//! as Linux checks them, stored, and returned by their getters. sched(7), getpriority(2),
//! ioprio_set(2). Neighbour: `sched` (who really runs next).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::{Pid, TaskId};

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_BATCH: u32 = 3;
const SCHED_IDLE: u32 = 5;
/// SCHED_RESET_ON_FORK.
const RESET_ON_FORK: u32 = 0x4000_0000;
/// struct sched_attr of version 1.
const SCHED_ATTR_SIZE: u32 = 56;

/// What a task asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SchedParams {
    /// −20..=19.
    pub nice: i32,
    /// SCHED_*.
    pub policy: u32,
    /// 1..=99 for SCHED_FIFO and SCHED_RR, else 0.
    pub priority: u32,
    /// ioprio_set(2): class << 13 | data.
    pub ioprio: u16,
}

impl Kernel {
    /// find_process_by_pid(): 0 is the caller. EINVAL for a negative number, ESRCH.
    fn sched_target(&self, call: &Call<'_>, pid: i32) -> Result<TaskId, Errno> {
        match pid {
            0 => Ok(call.task),
            n if n < 0 => Err(Errno::EINVAL),
            n => self.pids.task(Pid(n as u32)).ok_or(Errno::ESRCH),
        }
    }

    /// May the caller change this task's parameters? EPERM for somebody else's.
    fn may_schedule(&self, call: &Call<'_>, target: TaskId) -> Result<bool, Errno> {
        let (me, them) = (&self.tasks[call.task].cred, &self.tasks[target].cred);
        let mine = [them.uid, them.euid].contains(&me.euid);
        if mine || me.is_privileged() { Ok(me.is_privileged()) } else { Err(Errno::EPERM) }
    }

    /// sched_getscheduler(2).
    pub fn sys_sched_getscheduler(&mut self, call: &mut Call<'_>) -> SysResult {
        let target = self.sched_target(call, call.int(0))?;
        Ok(u64::from(self.tasks[target].sched.policy))
    }

    /// sched_getparam(2).
    pub fn sys_sched_getparam(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.ptr(1).is_null() {
            return Err(Errno::EINVAL.into());
        }
        let target = self.sched_target(call, call.int(0))?;
        let priority = self.tasks[target].sched.priority;
        call.write_u32(call.ptr(1), priority)?;
        Ok(0)
    }

    /// sched_setscheduler(2).
    pub fn sys_sched_setscheduler(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.ptr(2).is_null() || call.int(1) < 0 {
            return Err(Errno::EINVAL.into());
        }
        let priority = call.read_u32(call.ptr(2))?;
        let target = self.sched_target(call, call.int(0))?;
        self.set_policy(call, target, call.arg(1) as u32, priority)?;
        Ok(0)
    }

    /// sched_setparam(2).
    pub fn sys_sched_setparam(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.ptr(1).is_null() {
            return Err(Errno::EINVAL.into());
        }
        let priority = call.read_u32(call.ptr(1))?;
        let target = self.sched_target(call, call.int(0))?;
        let policy = self.tasks[target].sched.policy;
        self.set_policy(call, target, policy, priority)?;
        Ok(0)
    }

    fn set_policy(
        &mut self,
        call: &Call<'_>,
        target: TaskId,
        policy: u32,
        priority: u32,
    ) -> Result<(), Errno> {
        let policy = policy & !RESET_ON_FORK;
        let realtime = match policy {
            SCHED_FIFO | SCHED_RR => true,
            SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => false,
            _ => return Err(Errno::EINVAL), // SCHED_DEADLINE needs sched_setattr
        };
        if realtime != (1..=99).contains(&priority) || (!realtime && priority != 0) {
            return Err(Errno::EINVAL);
        }
        let privileged = self.may_schedule(call, target)?;
        if realtime && !privileged {
            return Err(Errno::EPERM); // RLIMIT_RTPRIO is 0
        }
        let sched = &mut self.tasks[target].sched;
        (sched.policy, sched.priority) = (policy, priority);
        Ok(())
    }

    /// sched_getattr(2).
    pub fn sys_sched_getattr(&mut self, call: &mut Call<'_>) -> SysResult {
        let (size, flags) = (call.arg(2) as u32, call.arg(3) as u32);
        if call.ptr(1).is_null() || !(48..=4096).contains(&size) || flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        let target = self.sched_target(call, call.int(0))?;
        let sched = self.tasks[target].sched;
        let mut bytes = vec![0; SCHED_ATTR_SIZE.min(size) as usize];
        let words = [(0, SCHED_ATTR_SIZE.min(size)), (4, sched.policy), (20, sched.priority)];
        for (at, word) in words.into_iter().chain([(16, sched.nice as u32)]) {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        call.write_user(call.ptr(1), &bytes)?;
        Ok(0)
    }

    /// sched_get_priority_max(2).
    pub fn sys_sched_get_priority_max(&mut self, call: &mut Call<'_>) -> SysResult {
        priority_bound(call, 99)
    }

    /// sched_get_priority_min(2).
    pub fn sys_sched_get_priority_min(&mut self, call: &mut Call<'_>) -> SysResult {
        priority_bound(call, 1)
    }

    /// sched_rr_get_interval(2): 100 ms for SCHED_RR, none for SCHED_FIFO, a slice else.
    pub fn sys_sched_rr_get_interval(&mut self, call: &mut Call<'_>) -> SysResult {
        let target = self.sched_target(call, call.int(0))?;
        let nanos: u64 = match self.tasks[target].sched.policy {
            SCHED_RR => 100_000_000,
            SCHED_FIFO => 0,
            _ => 3_000_000,
        };
        call.write_u64(call.ptr(1), 0)?;
        call.write_u64(call.ptr(1).add(8), nanos)?;
        Ok(0)
    }

    /// sched_setaffinity(2): the mask must have our one CPU in it.
    pub fn sys_sched_setaffinity(&mut self, call: &mut Call<'_>) -> SysResult {
        let len = call.arg(1).min(8) as usize;
        let bytes = call.read_bytes(call.ptr(2), len)?;
        let target = self.sched_target(call, call.int(0))?;
        self.may_schedule(call, target)?;
        if bytes.first().is_some_and(|b| b & 1 != 0) { Ok(0) } else { Err(Errno::EINVAL.into()) }
    }

    /// getcpu(2): CPU 0 of node 0.
    pub fn sys_getcpu(&mut self, call: &mut Call<'_>) -> SysResult {
        for i in [0, 1] {
            if !call.ptr(i).is_null() {
                call.write_u32(call.ptr(i), 0)?;
            }
        }
        Ok(0)
    }

    /// Tasks that getpriority and setpriority mean: one, a process group's, or a user's.
    fn priority_targets(&self, call: &Call<'_>) -> Result<Vec<TaskId>, Errno> {
        let (which, who) = (call.int(0), call.int(1));
        let me = &self.tasks[call.task];
        let found: Vec<TaskId> = match which {
            0 if who == 0 => vec![call.task],
            0 => self.pids.task(Pid(who as u32)).into_iter().collect(),
            1 => {
                let own = self.groups[me.group].pgrp;
                let pgrp = if who == 0 { own } else { Pid(who as u32) };
                let in_group = |t: &TaskId| self.groups[self.tasks[*t].group].pgrp == pgrp;
                self.pids.iter().map(|(_, t)| t).filter(in_group).collect()
            }
            2 => {
                let uid = if who == 0 { me.cred.uid } else { who as u32 };
                let of_user = |t: &TaskId| self.tasks[*t].cred.uid == uid;
                self.pids.iter().map(|(_, t)| t).filter(of_user).collect()
            }
            _ => return Err(Errno::EINVAL),
        };
        if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
    }

    /// getpriority(2): 20 − nice, of the most favoured one.
    pub fn sys_getpriority(&mut self, call: &mut Call<'_>) -> SysResult {
        let targets = self.priority_targets(call)?;
        let best = targets.iter().map(|t| 20 - self.tasks[*t].sched.nice).max();
        Ok(best.unwrap_or(0) as u64)
    }

    /// setpriority(2): EACCES to become nicer to oneself without privilege.
    pub fn sys_setpriority(&mut self, call: &mut Call<'_>) -> SysResult {
        let nice = call.int(2).clamp(-20, 19);
        for target in self.priority_targets(call)? {
            let privileged = self.may_schedule(call, target)?;
            if nice < self.tasks[target].sched.nice && !privileged {
                return Err(Errno::EACCES.into());
            }
            self.tasks[target].sched.nice = nice;
        }
        Ok(0)
    }

    /// ioprio_get(2), for one task.
    pub fn sys_ioprio_get(&mut self, call: &mut Call<'_>) -> SysResult {
        let target = self.ioprio_target(call)?;
        Ok(u64::from(self.tasks[target].sched.ioprio))
    }

    /// ioprio_set(2), for one task.
    pub fn sys_ioprio_set(&mut self, call: &mut Call<'_>) -> SysResult {
        let ioprio = call.arg(2) as u16;
        let (class, data) = (ioprio >> 13, ioprio & 0x1fff);
        if class > 3 || data > 7 || (class == 0 && data != 0) {
            return Err(Errno::EINVAL.into());
        }
        let target = self.ioprio_target(call)?;
        let privileged = self.may_schedule(call, target)?;
        if class == 1 && !privileged {
            return Err(Errno::EPERM.into());
        }
        self.tasks[target].sched.ioprio = ioprio;
        Ok(0)
    }

    /// IOPRIO_WHO_PROCESS; for groups and users the leader's stands for all.
    fn ioprio_target(&self, call: &Call<'_>) -> Result<TaskId, Errno> {
        match (call.int(0), call.int(1)) {
            (1..=3, 0) => Ok(call.task),
            (1..=3, who) => self.pids.task(Pid(who as u32)).ok_or(Errno::ESRCH),
            _ => Err(Errno::EINVAL),
        }
    }
}

fn priority_bound(call: &Call<'_>, realtime: u64) -> SysResult {
    match call.arg(0) as u32 {
        SCHED_FIFO | SCHED_RR => Ok(realtime),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | 6 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}
