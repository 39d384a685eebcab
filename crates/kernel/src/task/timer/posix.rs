//! POSIX timers: timer_create(2) and its kin. A timer with a period is armed again when its signal
//! is taken; the periods that went by meanwhile are its overrun. Neighbours: `task/signal/pending`
//! (which calls `posixtimer_deliver`), `clock`.

use super::Arming;
use super::clock::{Clock, nanos, pair};
use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::signal::siginfo::SI_TIMER;
use crate::task::signal::{SigDetail, SigInfo, Target};
use crate::task::{GroupId, TaskId};

/// A timer's number, counted from 0 in each process.
pub type TimerId = i32;

/// TIMER_ABSTIME.
const TIMER_ABSTIME: i32 = 1;
const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_SIGNAL_THREAD_ID: i32 = 4;

/// What a timer does when it fires: `struct sigevent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigEvent {
    /// `None` for SIGEV_NONE.
    signal: Option<Signal>,
    /// The thread of SIGEV_THREAD_ID; else the process gets it.
    thread: Option<TaskId>,
    /// sigev_value.
    value: u64,
}

/// One timer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PosixTimer {
    /// What it counts.
    pub clock: Clock,
    /// When it fires.
    pub arming: Arming,
    event: SigEvent,
    /// it_overrun_last: of the signal that was delivered last.
    overrun: i32,
    /// Set anew while its signal was pending: that signal is passed over when its turn comes.
    stale: bool,
    /// It fired while its signal was ignored: the signal comes when it is ignored no more.
    ignored: bool,
}

impl PosixTimer {
    /// Sends signals?
    pub fn notifies(&self) -> bool {
        self.event.signal.is_some()
    }
}

impl Kernel {
    /// timer_create(2).
    pub fn sys_timer_create(&mut self, call: &mut Call<'_>) -> SysResult {
        let (event, id_ptr) = (call.ptr(1), call.ptr(2));
        let bytes = match event.is_null() {
            true => None,
            false => Some(call.read_array::<64>(event)?),
        };
        let clock = self.find_timer_clock(call.task, call.int(0))?;
        let group = self.tasks[call.task].group;
        let id = self.timers.next_id.get(&group).copied().unwrap_or(0);
        let event = match bytes {
            Some(bytes) => self.good_sigevent(call.task, &bytes)?,
            None => SigEvent { signal: Some(Signal::SIGALRM), thread: None, value: id as u64 },
        };
        call.write_u32(id_ptr, id as u32)?;
        self.timers.next_id.insert(group, id.wrapping_add(1) & i32::MAX);
        let timer = PosixTimer {
            clock,
            arming: Arming::default(),
            event,
            overrun: 0,
            stale: false,
            ignored: false,
        };
        self.timers.posix.insert((group, id), timer);
        Ok(0)
    }

    /// good_sigevent(): EINVAL for an unknown way, a bad signal, a thread of somebody else.
    fn good_sigevent(&self, task: TaskId, bytes: &[u8; 64]) -> Result<SigEvent, Errno> {
        let int = |i: usize| i32::from_le_bytes(bytes[i..i + 4].try_into().expect("4"));
        let value = u64::from_le_bytes(bytes[0..8].try_into().expect("8"));
        let (signo, notify, tid) = (int(8), int(12), int(16));
        let signal = u64::try_from(signo).ok().and_then(Signal::new).ok_or(Errno::EINVAL);
        match notify {
            SIGEV_NONE => Ok(SigEvent { signal: None, thread: None, value }),
            SIGEV_SIGNAL | SIGEV_THREAD => {
                Ok(SigEvent { signal: Some(signal?), thread: None, value })
            }
            SIGEV_SIGNAL_THREAD_ID => {
                let thread = self.find_task_by_vpid(task, tid).ok_or(Errno::EINVAL)?;
                if self.tasks[thread].group != self.tasks[task].group {
                    return Err(Errno::EINVAL);
                }
                Ok(SigEvent { signal: Some(signal?), thread: Some(thread), value })
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn timer_argument(&self, call: &Call<'_>) -> Result<(GroupId, TimerId), Errno> {
        let key = (self.tasks[call.task].group, call.int(0));
        if self.timers.posix.contains_key(&key) { Ok(key) } else { Err(Errno::EINVAL) }
    }

    /// timer_settime(2). A signal of the old setting stays pending and is never delivered (6.18).
    pub fn sys_timer_settime(&mut self, call: &mut Call<'_>) -> SysResult {
        let (flags, new, old) = (call.int(1), call.ptr(2), call.ptr(3));
        if new.is_null() {
            return Err(Errno::EINVAL.into());
        }
        let interval = nanos(self.read_timespec(call, new)?);
        let value = nanos(self.read_timespec(call, new.add(16))?);
        let key = self.timer_argument(call)?;
        let before = self.posix_itimerspec(key);
        let stale = self.timer_signal_is_pending(key.0, key.1);
        let clock = self.timers.posix[&key].clock;
        let now = self.clock_now(clock);
        let expires = match (value, flags & TIMER_ABSTIME) {
            (0, _) => None,
            (at, TIMER_ABSTIME) => Some(self.timens_to_host(call.task, clock, at)),
            (after, _) => Some(now.saturating_add(after)),
        };
        if let Some(timer) = self.timers.posix.get_mut(&key) {
            timer.arming = Arming { expires, interval, fired: None };
            (timer.overrun, timer.stale, timer.ignored) = (0, stale, false);
        }
        if !old.is_null() {
            call.write_user(old, &before)?;
        }
        // One that lies in the past already fires at once.
        self.run_timers();
        Ok(0)
    }

    /// timer_gettime(2).
    pub fn sys_timer_gettime(&mut self, call: &mut Call<'_>) -> SysResult {
        let key = self.timer_argument(call)?;
        let spec = self.posix_itimerspec(key);
        call.write_user(call.ptr(1), &spec)?;
        Ok(0)
    }

    /// it_interval and it_value.
    fn posix_itimerspec(&self, key: (GroupId, TimerId)) -> [u8; 32] {
        let timer = &self.timers.posix[&key];
        let now = self.clock_now(timer.clock);
        let rest = match (timer.notifies(), timer.arming.expires, timer.arming.interval) {
            // SIGEV_NONE: nobody fires it, it is only looked at.
            (false, Some(at), 0) if at <= now => 0,
            (false, Some(at), period) if at <= now => period - (now - at) % period,
            (true | false, _, _) => timer.arming.remaining(now),
        };
        let timespec = |n: u64| pair(n / 1_000_000_000, n % 1_000_000_000);
        let mut spec = [0; 32];
        spec[..16].copy_from_slice(&timespec(timer.arming.interval));
        spec[16..].copy_from_slice(&timespec(rest));
        spec
    }

    /// timer_getoverrun(2): of the last signal that was taken.
    pub fn sys_timer_getoverrun(&mut self, call: &mut Call<'_>) -> SysResult {
        let key = self.timer_argument(call)?;
        Ok(self.timers.posix[&key].overrun as u64)
    }

    /// timer_delete(2). A pending signal of it is passed over when its turn comes.
    pub fn sys_timer_delete(&mut self, call: &mut Call<'_>) -> SysResult {
        let key = self.timer_argument(call)?;
        self.timers.posix.remove(&key);
        Ok(0)
    }

    /// posix_timer_fn(): the timer is due; `current` has the CPU.
    pub(super) fn posix_timer_fn(&mut self, group: GroupId, id: TimerId, current: Option<TaskId>) {
        let queued = self.timer_signal_is_pending(group, id);
        let Some(timer) = self.timers.posix.get_mut(&(group, id)) else { return };
        timer.arming.fire();
        timer.stale = false; // a record of its last setting serves for this one
        if !queued {
            self.posixtimer_send_sigqueue(group, id, current);
        }
    }

    /// posixtimer_send_sigqueue(): a periodic timer whose signal is ignored keeps it back. A thread
    /// of the process that has the CPU is the first candidate: others need not be woken.
    fn posixtimer_send_sigqueue(&mut self, group: GroupId, id: TimerId, current: Option<TaskId>) {
        let ours = |t: &TaskId| self.tasks[*t].group == group && !self.tasks[*t].exiting;
        let process = current.filter(ours).map_or(Target::Group(group), Target::Process);
        let Some(timer) = self.timers.posix.get(&(group, id)) else { return };
        let Some(signal) = timer.event.signal else { return };
        // The thread of SIGEV_THREAD_ID may be gone: then nobody gets it.
        let to = timer.event.thread.map_or(process, Target::Thread);
        let detail = SigDetail::Timer { id, overrun: 0, value: timer.event.value };
        // Its record was allocated with the timer: no limit applies.
        let _ = self.send_signal(SigInfo { signal, errno: 0, code: SI_TIMER, detail }, to);
        let dropped = !self.timer_signal_is_pending(group, id);
        if let Some(timer) = self.timers.posix.get_mut(&(group, id)) {
            timer.ignored = dropped && timer.arming.interval > 0;
        }
    }

    /// posixtimer_sig_ignore(): `signal` is ignored from now on, pending ones go.
    pub(crate) fn posixtimer_sig_ignore(&mut self, group: GroupId, signal: Signal) {
        for ((g, _), timer) in &mut self.timers.posix {
            let fired = timer.arming.fired.is_some() && timer.arming.interval > 0;
            if *g == group && timer.event.signal == Some(signal) && fired && !timer.stale {
                timer.ignored = true;
            }
        }
    }

    /// posixtimer_sig_unignore(): timers that kept `signal` back send it (measured on 6.18).
    pub(crate) fn posixtimer_sig_unignore(&mut self, task: TaskId, signal: Signal) {
        let group = self.tasks[task].group;
        let kept = |t: &PosixTimer| t.ignored && t.event.signal == Some(signal);
        let all = self.timers.posix.iter();
        let ids: Vec<TimerId> =
            all.filter(|((g, _), t)| *g == group && kept(t)).map(|((_, id), _)| *id).collect();
        for id in ids {
            self.posixtimer_send_sigqueue(group, id, Some(task));
        }
    }

    fn timer_signal_is_pending(&self, group: GroupId, timer: TimerId) -> bool {
        let mine =
            |info: &SigInfo| matches!(info.detail, SigDetail::Timer { id, .. } if id == timer);
        let g = &self.groups[group];
        g.shared_pending.list.iter().any(mine)
            || g.tasks
                .iter()
                .filter_map(|t| self.tasks.get(*t))
                .any(|t| t.pending.list.iter().any(mine))
    }

    /// posixtimer_deliver_signal(): a timer's signal is taken: its overrun is known now, and the
    /// timer is armed again. `None` for one that was set anew or deleted since. Other signals pass.
    pub fn posixtimer_deliver(&mut self, group: GroupId, info: SigInfo) -> Option<SigInfo> {
        let SigDetail::Timer { id, value, .. } = info.detail else { return Some(info) };
        let clock = self.timers.posix.get(&(group, id))?.clock;
        let now = self.clock_now(clock);
        let timer = self.timers.posix.get_mut(&(group, id))?;
        if core::mem::take(&mut timer.stale) {
            return None;
        }
        let passed = timer.arming.rearm(now);
        timer.overrun = i32::try_from(passed).unwrap_or(i32::MAX); // DELAYTIMER_MAX
        let detail = SigDetail::Timer { id, overrun: timer.overrun, value };
        Some(SigInfo { detail, ..info })
    }

    /// All POSIX timers of a process go, and their signals.
    pub(super) fn exit_posix_timers(&mut self, group: GroupId) {
        self.timers.posix.retain(|(g, _), _| *g != group);
        self.timers.next_id.remove(&group);
        let g = &mut self.groups[group];
        g.shared_pending.flush_timers(|_| true);
        for thread in g.tasks.clone() {
            if let Some(t) = self.tasks.get_mut(thread) {
                t.pending.flush_timers(|_| true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::signal::sigaction::SA_SIGINFO;
    use crate::task::signal::testing::World;
    use crate::time::Instant;

    #[test]
    fn periods_that_go_by_before_delivery_are_the_overrun() {
        let mut w = World::new();
        let task = w.process();
        w.catch(task, Signal::SIGALRM, SA_SIGINFO);
        let group = w.kernel.tasks[task].group;
        let create = [1, 0, 0x1000, 0, 0, 0];
        assert_eq!(w.call(task, Kernel::sys_timer_create, create), Ok(0));
        w.memory.put(0x2000, &pair(0, 10));
        w.memory.put(0x2010, &pair(0, 100));
        let set = [0, 0, 0x2000, 0, 0, 0];
        assert_eq!(w.call(task, Kernel::sys_timer_settime, set), Ok(0));
        w.kernel.now = Instant(100);
        w.kernel.expire();
        w.kernel.now = Instant(125);
        w.go(task);
        assert_eq!(w.kernel.timers.posix[&(group, 0)].overrun, 2);
        assert_eq!(w.kernel.next_timer_deadline(), Some(Instant(130)));
        let frame = w.kernel.tasks[task].regs.rsp;
        assert_eq!(
            (w.memory.int(frame + 312 + 8), w.memory.int(frame + 312 + 20)),
            (-2i32 as u32, 2)
        );
    }

    #[test]
    fn a_deleted_timers_signal_is_never_delivered() {
        let mut w = World::new();
        let task = w.process();
        let create = [1, 0, 0x1000, 0, 0, 0];
        assert_eq!(w.call(task, Kernel::sys_timer_create, create), Ok(0));
        let group = w.kernel.tasks[task].group;
        w.kernel.set_current_blocked(task, crate::abi::signal::SigSet(u64::MAX));
        w.kernel.posix_timer_fn(group, 0, None);
        assert!(w.kernel.groups[group].shared_pending.signal.has(Signal::SIGALRM));
        assert_eq!(w.call(task, Kernel::sys_timer_delete, [0; 6]), Ok(0));
        // Measured on 6.18: it stays visible, and is passed over.
        assert!(w.kernel.groups[group].shared_pending.signal.has(Signal::SIGALRM));
        let all = crate::abi::signal::SigSet::EMPTY;
        assert_eq!(w.kernel.dequeue_signal(task, all), None);
        assert!(w.kernel.groups[group].shared_pending.signal.is_empty());
        assert_eq!(w.call(task, Kernel::sys_timer_delete, [0; 6]), Err(Errno::EINVAL));
    }
}
