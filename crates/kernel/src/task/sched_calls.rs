//! Priorities, policies and CPUs: hints here, since one task runs at a time until it blocks. Checked
//! as Linux checks them, stored, and returned by their getters. sched(7), getpriority(2),
//! ioprio_set(2). Neighbours: `sched` (who really runs next), `fork` (children inherit).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::task::rlimit::{RLIMIT_NICE, RLIMIT_RTPRIO};

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_BATCH: u32 = 3;
const SCHED_IDLE: u32 = 5;
/// SCHED_RESET_ON_FORK.
const RESET_ON_FORK: u32 = 0x4000_0000;
/// struct sched_attr of version 1.
const SCHED_ATTR_SIZE: u32 = 56;
const SCHED_ATTR_SIZE_VER0: u32 = 48;
const SCHED_DEADLINE: u32 = 6;
/// SCHED_FLAG_*: reset on fork, reclaim and overrun (for deadlines), keep what was, clamp.
const FLAG_RESET_ON_FORK: u32 = 1;
const KEEP_POLICY: u32 = 8;
const KEEP_PARAMS: u32 = 16;
const KNOWN_FLAGS: u32 = FLAG_RESET_ON_FORK | 2 | 4 | KEEP_POLICY | KEEP_PARAMS;
const UTIL_CLAMP: u32 = 0x60;
/// sysctl_sched_base_slice of a machine with one CPU, in nanoseconds: what 6.12 and later tell of
/// a task that asked for no slice of its own.
const BASE_SLICE: u32 = 700_000;

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
    /// SCHED_DEADLINE's runtime, deadline and period in nanoseconds: stored, never scheduled by.
    pub deadline: [u64; 3],
    /// SCHED_RESET_ON_FORK: children start without what follows from privilege.
    pub reset_on_fork: bool,
}

impl SchedParams {
    /// Who stands before whom in the kernel's queues: the real-time priority, 100 for
    /// SCHED_DEADLINE, 0 for all others.
    pub fn rank(self) -> u32 {
        match self.policy {
            SCHED_DEADLINE => 100,
            SCHED_FIFO | SCHED_RR => self.priority,
            _other => 0,
        }
    }

    /// sched_fork(): a deadline is nothing to inherit.
    pub fn may_not_fork(self) -> bool {
        self.policy == SCHED_DEADLINE && !self.reset_on_fork
    }

    /// sched_fork(): what a child starts with.
    pub fn of_child(self) -> SchedParams {
        if !self.reset_on_fork {
            return self;
        }
        let realtime = matches!(self.policy, SCHED_FIFO | SCHED_RR | SCHED_DEADLINE);
        SchedParams {
            policy: if realtime { SCHED_OTHER } else { self.policy },
            priority: 0,
            deadline: [0; 3],
            nice: if realtime { 0 } else { self.nice.max(0) },
            reset_on_fork: false,
            ..self
        }
    }
}

impl Kernel {
    /// find_process_by_pid(): 0 is the caller. EINVAL for a negative number, ESRCH.
    fn sched_target(&self, call: &Call<'_>, pid: i32) -> Result<TaskId, Errno> {
        match pid {
            0 => Ok(call.task),
            n if n < 0 => Err(Errno::EINVAL),
            n => self.find_task_by_vpid(call.task, n).ok_or(Errno::ESRCH),
        }
    }

    /// May the caller change this task's parameters? EPERM for somebody else's.
    fn may_schedule(&self, call: &Call<'_>, target: TaskId) -> Result<bool, Errno> {
        let (me, them) = (&self.tasks[call.task].cred, &self.tasks[target].cred);
        let mine = [them.uid, them.euid].contains(&me.euid);
        if mine || self.ns_capable(call.task, them.user_ns, Cap::SysNice) {
            Ok(me.capable(Cap::SysNice))
        } else {
            Err(Errno::EPERM)
        }
    }

    /// sched_getscheduler(2).
    pub fn sys_sched_getscheduler(&mut self, call: &mut Call<'_>) -> SysResult {
        let target = self.sched_target(call, call.int(0))?;
        let sched = self.tasks[target].sched;
        Ok(u64::from(sched.policy | if sched.reset_on_fork { RESET_ON_FORK } else { 0 }))
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
        let asked = call.arg(1) as u32;
        let (policy, reset_on_fork) = (asked & !RESET_ON_FORK, asked & RESET_ON_FORK != 0);
        let sched = self.tasks[target].sched;
        let new = SchedParams { policy, priority, reset_on_fork, ..sched };
        self.set_policy(call, target, new)?;
        Ok(0)
    }

    /// sched_setparam(2).
    pub fn sys_sched_setparam(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.ptr(1).is_null() {
            return Err(Errno::EINVAL.into());
        }
        let priority = call.read_u32(call.ptr(1))?;
        let target = self.sched_target(call, call.int(0))?;
        let sched = self.tasks[target].sched;
        self.set_policy(call, target, SchedParams { priority, ..sched })?;
        Ok(0)
    }

    /// __sched_setscheduler(): checks, and takes in what was asked for.
    fn set_policy(
        &mut self,
        call: &Call<'_>,
        target: TaskId,
        new: SchedParams,
    ) -> Result<(), Errno> {
        let realtime = match new.policy {
            SCHED_FIFO | SCHED_RR => true,
            SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => false,
            SCHED_DEADLINE => {
                check_deadline(new.deadline)?;
                false
            }
            _ => return Err(Errno::EINVAL),
        };
        if realtime != (1..=99).contains(&new.priority) || (!realtime && new.priority != 0) {
            return Err(Errno::EINVAL);
        }
        let old = self.tasks[target].sched;
        if !self.may_schedule(call, target)? && self.takes_privilege(target, old, new) {
            return Err(Errno::EPERM);
        }
        let [runtime, _, period] = new.deadline;
        if new.policy == SCHED_DEADLINE && runtime > period / 100 * 95 {
            return Err(Errno::EBUSY); // sched_rt_runtime_us of one CPU
        }
        if new.policy == SCHED_DEADLINE {
            let what = "SCHED_DEADLINE is stored; tasks run in their order all the same";
            self.tell(Some(call.task), Fact::unsupported("sched_setattr", what));
        }
        self.tasks[target].sched = new;
        Ok(())
    }

    /// user_check_sched_setscheduler(): what the limits do not let everybody do.
    fn takes_privilege(&self, target: TaskId, old: SchedParams, new: SchedParams) -> bool {
        let rtprio = self.rlimit(target, RLIMIT_RTPRIO);
        let realtime = matches!(new.policy, SCHED_FIFO | SCHED_RR);
        let nicer = !realtime && new.nice < old.nice && !self.can_nice(target, new.nice);
        let raised = realtime
            && ((new.policy != old.policy && rtprio == 0)
                || (new.priority > old.priority && u64::from(new.priority) > rtprio));
        let leaves_idle = old.policy == SCHED_IDLE
            && new.policy != SCHED_IDLE
            && !self.can_nice(target, old.nice);
        new.policy == SCHED_DEADLINE
            || nicer
            || raised
            || leaves_idle
            || (old.reset_on_fork && !new.reset_on_fork)
    }

    /// is_nice_reduction(): does RLIMIT_NICE let a task be so nice to itself?
    fn can_nice(&self, target: TaskId, nice: i32) -> bool {
        (20 - nice) as u64 <= self.rlimit(target, RLIMIT_NICE)
    }

    /// sched_setattr(2): E2BIG if the size is not one of struct sched_attr's, with the right one
    /// put into it.
    pub fn sys_sched_setattr(&mut self, call: &mut Call<'_>) -> SysResult {
        let attr = call.ptr(1);
        if attr.is_null() || call.int(0) < 0 || call.arg(2) as u32 != 0 {
            return Err(Errno::EINVAL.into());
        }
        let size = match call.read_u32(attr)? {
            0 => SCHED_ATTR_SIZE_VER0,
            size => size,
        };
        let known = SCHED_ATTR_SIZE.min(size) as usize;
        let rest = |call: &mut Call<'_>| {
            call.read_bytes(attr.add(SCHED_ATTR_SIZE.into()), size as usize - known)
        };
        if !(SCHED_ATTR_SIZE_VER0..=4096).contains(&size) || rest(call)?.iter().any(|b| *b != 0) {
            call.write_u32(attr, SCHED_ATTR_SIZE)?;
            return Err(Errno::E2BIG.into());
        }
        let bytes = call.read_bytes(attr, known)?;
        let word = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().expect("4 bytes"));
        let long = |i: usize| u64::from_le_bytes(bytes[i..i + 8].try_into().expect("8 bytes"));
        let (policy, flags, nice, priority) = (word(4), word(8), word(16) as i32, word(20));
        let target = self.sched_target(call, call.int(0))?;
        if flags & UTIL_CLAMP != 0 {
            let what = format!("policy {policy}, flags {flags:#x}");
            self.tell(Some(call.task), Fact::unsupported("sched_setattr", what));
        }
        if flags & !(KNOWN_FLAGS | UTIL_CLAMP) != 0 {
            return Err(Errno::EINVAL.into());
        }
        if flags & UTIL_CLAMP != 0 {
            return Err(Errno::EOPNOTSUPP.into()); // CONFIG_UCLAMP_TASK is off
        }
        let old = self.tasks[target].sched;
        let keeps = flags & KEEP_PARAMS != 0;
        let new = SchedParams {
            // With KEEP_PARAMS the policy stays too (measured).
            policy: if flags & (KEEP_POLICY | KEEP_PARAMS) != 0 { old.policy } else { policy },
            nice: if keeps { old.nice } else { nice.clamp(-20, 19) },
            priority: if keeps { old.priority } else { priority },
            deadline: match (keeps, policy) {
                (true, _) => old.deadline,
                (false, SCHED_DEADLINE) => {
                    let [runtime, deadline, period] = [24, 32, 40].map(long);
                    [runtime, deadline, if period == 0 { deadline } else { period }]
                }
                (false, _) => [0; 3],
            },
            reset_on_fork: flags & FLAG_RESET_ON_FORK != 0,
            ..old
        };
        self.set_policy(call, target, new)?;
        Ok(0)
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
        let realtime = matches!(sched.policy, SCHED_FIFO | SCHED_RR);
        let words = [
            (0, SCHED_ATTR_SIZE.min(size)),
            (4, sched.policy),
            (8, u32::from(sched.reset_on_fork)),
            (16, if realtime { 0 } else { sched.nice as u32 }),
            (20, sched.priority),
            (24, if realtime { 0 } else { BASE_SLICE }),
        ];
        for (at, word) in words {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        if sched.policy == SCHED_DEADLINE {
            bytes[16..20].fill(0);
            for (at, long) in [24, 32, 40].into_iter().zip(sched.deadline) {
                bytes[at..at + 8].copy_from_slice(&long.to_le_bytes());
            }
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
            SCHED_FIFO | SCHED_DEADLINE => 0,
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
            0 => self.find_task_by_vpid(call.task, who).into_iter().collect(),
            1 => {
                let own = self.groups[me.group].pgrp;
                let named = self.find_vpid(call.task, who as u32);
                let pgrp = if who == 0 { Some(own) } else { named };
                let in_group = |t: &TaskId| Some(self.groups[self.tasks[*t].group].pgrp) == pgrp;
                self.pids.iter().map(|(_, t)| t).filter(in_group).collect()
            }
            2 => {
                let named = self.make_kuid(call.task, who as u32).map_err(|_| Errno::ESRCH);
                let uid = if who == 0 { me.cred.uid } else { named? };
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
            let nicer = nice < self.tasks[target].sched.nice;
            if nicer && !privileged && !self.can_nice(target, nice) {
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
            (1..=3, who) => self.find_task_by_vpid(call.task, who).ok_or(Errno::ESRCH),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// __checkparam_dl(): EINVAL unless runtime <= deadline <= period, none too short or too long.
fn check_deadline([runtime, deadline, period]: [u64; 3]) -> Result<(), Errno> {
    /// sched_dl_period_min_us and sched_dl_period_max_us, in nanoseconds.
    const PERIODS: core::ops::RangeInclusive<u64> = 100_000..=(1 << 22) * 1000;
    /// 1 << DL_SCALE.
    const LEAST_RUNTIME: u64 = 1024;
    let good = deadline != 0
        && runtime >= LEAST_RUNTIME
        && (runtime..=period).contains(&deadline)
        && PERIODS.contains(&period);
    if good { Ok(()) } else { Err(Errno::EINVAL) }
}

fn priority_bound(call: &Call<'_>, realtime: u64) -> SysResult {
    match call.arg(0) as u32 {
        SCHED_FIFO | SCHED_RR => Ok(realtime),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE | 6 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}
