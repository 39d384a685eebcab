//! The calls that set dispositions, masks and stacks, and those that wait for a signal.
//! Rules S-17, S-32, S-36, S-37, S-48, S-49; sigaction(2), sigprocmask(2), sigsuspend(2),
//! sigtimedwait(2), sigaltstack(2), pause(2). Neighbours: `mask`, `pending`.

use super::AltStack;
use super::mask::{SS_AUTODISARM, SS_DISABLE, SS_ONSTACK};
use super::sigaction::{SIG_IGN, SigAction};
use super::siginfo::SigInfo;
use crate::abi::Errno;
use crate::abi::signal::{SigSet, Signal};
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Restart, SysResult, Wait};
use crate::task::TaskId;

/// sizeof(sigset_t) in the kernel.
const SIGSET_SIZE: u64 = 8;
/// MINSIGSTKSZ.
const MINSIGSTKSZ: u64 = 2048;

impl Kernel {
    /// rt_sigaction(2). EINVAL for KILL and STOP unless they are only asked about (rule S-48).
    pub fn sys_rt_sigaction(&mut self, call: &mut Call<'_>) -> SysResult {
        let (new, old) = (call.ptr(1), call.ptr(2));
        if call.arg(3) != SIGSET_SIZE {
            return Err(Errno::EINVAL.into());
        }
        let action = match new.is_null() {
            true => None,
            false => Some(SigAction::from_bytes(&call.read_array(new)?)),
        };
        let signal = u64::try_from(call.int(0)).ok().and_then(Signal::new).ok_or(Errno::EINVAL)?;
        if action.is_some() && SigSet::UNBLOCKABLE.has(signal) {
            return Err(Errno::EINVAL.into());
        }
        let sighand = self.groups[self.tasks[call.task].group].sighand;
        let before = *self.sighands[sighand].of(signal);
        if let Some(action) = action {
            self.do_sigaction(call.task, signal, action);
        }
        if !old.is_null() {
            call.write_user(old, &before.to_bytes())?;
        }
        Ok(0)
    }

    /// do_sigaction(): ignoring a signal throws away what is pending of it, blocked or not (S-17);
    /// periodic timers keep theirs back until it is not ignored any more.
    fn do_sigaction(&mut self, task: TaskId, signal: Signal, action: SigAction) {
        let group = self.tasks[task].group;
        let sighand = self.groups[group].sighand;
        let before = core::mem::replace(self.sighands[sighand].of_mut(signal), action);
        if action.ignores(signal) {
            self.posixtimer_sig_ignore(group, signal);
            self.flush_group_queues(task, SigSet::of(signal));
        } else if before.handler == SIG_IGN {
            self.posixtimer_sig_unignore(task, signal);
        }
    }

    /// rt_sigprocmask(2).
    pub fn sys_rt_sigprocmask(&mut self, call: &mut Call<'_>) -> SysResult {
        let (how, new, old) = (call.int(0), call.ptr(1), call.ptr(2));
        if call.arg(3) != SIGSET_SIZE {
            return Err(Errno::EINVAL.into());
        }
        let before = self.tasks[call.task].blocked;
        if !new.is_null() {
            let set = SigSet(call.read_u64(new)?).minus(SigSet::UNBLOCKABLE);
            let mask = match how {
                0 => before.union(set), // SIG_BLOCK
                1 => before.minus(set), // SIG_UNBLOCK
                2 => set,               // SIG_SETMASK
                _ => return Err(Errno::EINVAL.into()),
            };
            self.set_current_blocked(call.task, mask);
        }
        if !old.is_null() {
            call.write_u64(old, before.0)?;
        }
        Ok(0)
    }

    /// rt_sigpending(2): what is pending in either queue and blocked.
    pub fn sys_rt_sigpending(&mut self, call: &mut Call<'_>) -> SysResult {
        let size = call.arg(1);
        if size > SIGSET_SIZE {
            return Err(Errno::EINVAL.into());
        }
        let t = &self.tasks[call.task];
        let pending = t.pending.signal.union(self.groups[t.group].shared_pending.signal);
        let blocked = pending.minus(pending.minus(t.blocked));
        call.write_user(call.ptr(0), &blocked.0.to_le_bytes()[..size as usize])?;
        Ok(0)
    }

    /// rt_sigsuspend(2): a temporary mask, until a handler runs (rules S-35, S-36).
    pub fn sys_rt_sigsuspend(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.arg(1) != SIGSET_SIZE {
            return Err(Errno::EINVAL.into());
        }
        if self.tasks[call.task].saved_sigmask.is_none() {
            let mask = SigSet(call.read_u64(call.ptr(0))?);
            self.set_temporary_mask(call.task, mask);
        }
        Err(Wait::until(None).with_restart(Restart::NoHand).into())
    }

    /// pause(2).
    pub fn sys_pause(&mut self, _call: &mut Call<'_>) -> SysResult {
        Err(Wait::until(None).with_restart(Restart::NoHand).into())
    }

    /// rt_sigtimedwait(2): takes a signal of the set, waiting for one if there is a timeout other
    /// than zero. While it sleeps the set is unblocked, and remembered as blocked (rule S-37).
    pub fn sys_rt_sigtimedwait(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.arg(3) != SIGSET_SIZE {
            return Err(Errno::EINVAL.into());
        }
        let task = call.task;
        match call.flight.progress {
            Progress::Committed(set) => self.sigtimedwait_again(call, SigSet(set)),
            _ => {
                let set = SigSet(call.read_u64(call.ptr(0))?).minus(SigSet::UNBLOCKABLE);
                let timeout = match call.ptr(2) {
                    UserPtr::NULL => None,
                    ptr => Some(self.read_timespec(call, ptr)?),
                };
                let others = SigSet(u64::MAX).minus(set);
                if let Some(info) = self.dequeue_signal(task, others) {
                    return self.sigtimedwait_done(call, &info);
                }
                if timeout.is_some_and(|t| t.is_zero()) {
                    return Err(Errno::EAGAIN.into());
                }
                call.flight.until = timeout.map(|t| self.now + t);
                call.flight.progress = Progress::Committed(set.0);
                let before = self.tasks[task].blocked;
                self.tasks[task].real_blocked = before;
                self.tasks[task].blocked = before.minus(set);
                self.recalc_sigpending(task);
                self.sigtimedwait_again(call, set)
            }
        }
    }

    /// Woken, or asked again: a signal of the set, the end of the time, another signal, or sleep.
    fn sigtimedwait_again(&mut self, call: &mut Call<'_>, set: SigSet) -> SysResult {
        let task = call.task;
        let interrupted = self.signal_pending(task);
        let expired = call.flight.until.is_some_and(|until| until <= self.now);
        if !interrupted && !expired {
            return Err(Wait::until(call.flight.until).with_restart(Restart::Eintr).into());
        }
        let before = core::mem::take(&mut self.tasks[task].real_blocked);
        self.set_current_blocked(task, before);
        match self.dequeue_signal(task, SigSet(u64::MAX).minus(set)) {
            Some(info) => self.sigtimedwait_done(call, &info),
            None if expired => Err(Errno::EAGAIN.into()),
            None => Err(Errno::EINTR.into()),
        }
    }

    fn sigtimedwait_done(&mut self, call: &mut Call<'_>, info: &SigInfo) -> SysResult {
        let to = call.ptr(1);
        if !to.is_null() {
            call.write_user(to, &info.to_bytes())?;
        }
        Ok(u64::from(info.signal.number()))
    }

    /// sigaltstack(2).
    pub fn sys_sigaltstack(&mut self, call: &mut Call<'_>) -> SysResult {
        let (new, old) = (call.ptr(0), call.ptr(1));
        let wanted = match new.is_null() {
            true => None,
            false => Some(stack_from_bytes(&call.read_array(new)?)),
        };
        let rsp = self.tasks[call.task].regs.rsp;
        let before = self.tasks[call.task].sas_ss;
        if let Some(stack) = wanted {
            self.do_sigaltstack(call.task, stack)?;
        }
        if !old.is_null() {
            let flags = before.state(rsp) | before.flags & SS_AUTODISARM;
            call.write_user(old, &stack_to_bytes(&AltStack { flags, ..before }))?;
        }
        Ok(0)
    }

    /// do_sigaltstack(): EPERM on it, EINVAL, ENOMEM if it is too small (rule S-49).
    pub(super) fn do_sigaltstack(&mut self, task: TaskId, new: AltStack) -> Result<(), Errno> {
        let t = &mut self.tasks[task];
        if t.sas_ss.is_in_use(t.regs.rsp) {
            return Err(Errno::EPERM);
        }
        match new.flags & !SS_AUTODISARM {
            SS_DISABLE => t.sas_ss = AltStack { sp: 0, size: 0, flags: new.flags },
            0 | SS_ONSTACK if new.size < MINSIGSTKSZ => return Err(Errno::ENOMEM),
            0 | SS_ONSTACK => t.sas_ss = new,
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}

/// stack_t: ss_sp, ss_flags, padding, ss_size.
fn stack_from_bytes(bytes: &[u8; 24]) -> AltStack {
    let word = |i: usize| u64::from_le_bytes(bytes[i..i + 8].try_into().expect("8"));
    AltStack { sp: word(0), flags: word(8) as u32, size: word(16) }
}

fn stack_to_bytes(stack: &AltStack) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[0..8].copy_from_slice(&stack.sp.to_le_bytes());
    bytes[8..12].copy_from_slice(&stack.flags.to_le_bytes());
    bytes[16..24].copy_from_slice(&stack.size.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests;
