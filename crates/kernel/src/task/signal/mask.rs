//! The flag that says "look at your signals before you go on" (TIF_SIGPENDING), the mask, and the
//! temporary masks of sigsuspend, ppoll, pselect and epoll_pwait. Rules S-21, S-26, S-28, S-32,
//! S-36; sigprocmask(2). Neighbours: `send` sets the flag, `syscall` and `restart` ask for it.

use crate::abi::Errno;
use crate::abi::signal::{SigSet, Signal};
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::Call;
use crate::task::{Run, TaskId};

/// SS_ONSTACK, as sigaltstack reports it.
pub const SS_ONSTACK: u32 = 1;
/// SS_DISABLE.
pub const SS_DISABLE: u32 = 2;
/// SS_AUTODISARM.
pub const SS_AUTODISARM: u32 = 1 << 31;

/// sas_ss_sp, sas_ss_size, sas_ss_flags: the alternate stack, as sigaltstack(2) stored it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct AltStack {
    pub sp: u64,
    pub size: u64,
    /// SS_DISABLE (2), SS_AUTODISARM (1 << 31).
    pub flags: u32,
}

impl Default for AltStack {
    fn default() -> Self {
        AltStack { sp: 0, size: 0, flags: SS_DISABLE }
    }
}

impl AltStack {
    /// __on_sig_stack(): does `sp` lie on it? (It grows down, so its end belongs to it.)
    pub fn contains(&self, sp: u64) -> bool {
        sp > self.sp && sp - self.sp <= self.size
    }

    /// on_sig_stack(): is the thread in use of it? One that disarms itself never is.
    pub fn is_in_use(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && self.contains(sp)
    }

    /// sas_ss_flags(): what sigaltstack reports.
    pub fn state(&self, sp: u64) -> u32 {
        match (self.size, self.is_in_use(sp)) {
            (0, _) => SS_DISABLE,
            (_, true) => SS_ONSTACK,
            (_, false) => 0,
        }
    }
}

impl Kernel {
    /// signal_pending(): has `task` to look at its signals? Set by whoever chose this thread, so a
    /// shared signal that went to a sibling does not count (rule S-20).
    pub fn signal_pending(&self, task: TaskId) -> bool {
        self.tasks[task].sigpending
    }

    /// fatal_signal_pending(): SIGKILL in the private queue.
    pub fn fatal_signal_pending(&self, task: TaskId) -> bool {
        let t = &self.tasks[task];
        t.sigpending && t.pending.signal.has(Signal::SIGKILL)
    }

    /// recalc_sigpending(): after the mask or the queues changed.
    pub(crate) fn recalc_sigpending(&mut self, task: TaskId) {
        let t = &self.tasks[task];
        let shared = self.groups[t.group].shared_pending.signal;
        let open = t.pending.signal.union(shared).minus(t.blocked);
        let freezer = t.freezer.trap || t.freezer.frozen;
        self.tasks[task].sigpending = !open.is_empty() || t.jobctl.stop_pending || freezer;
    }

    /// signal_wake_up(): sets the flag and ends the sleep; a fatal signal also ends killable
    /// sleeps and stops (rule S-26). A task in user mode sees the flag when it is next resumed.
    pub(crate) fn signal_wake_up(&mut self, task: TaskId, fatal: bool) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        t.sigpending = true;
        match &t.run {
            Run::Blocked(wait) if fatal || !wait.killable => self.try_to_wake_up(task),
            Run::Stopped if fatal => self.wake_up_stopped(task),
            // It looks at what it may take, and sleeps again.
            Run::Frozen => self.wake_up_frozen(task),
            // Asleep until the child of its vfork, or stopped: takes it later.
            Run::Blocked(_) | Run::Stopped => {}
            // It runs anyway, or never again.
            Run::Ready | Run::Zombie => {}
        }
    }

    /// A stopped task goes on, through get_signal again.
    pub(super) fn wake_up_stopped(&mut self, task: TaskId) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        if t.run == Run::Stopped {
            t.run = Run::Ready;
            t.sigpending = true;
            self.run_queue.push(task);
        }
    }

    /// set_current_blocked(): SIGKILL and SIGSTOP are left out (S-32); shared signals that this
    /// thread blocks from now on are offered to the others (S-28).
    pub(crate) fn set_current_blocked(&mut self, task: TaskId, mask: SigSet) {
        let mask = mask.minus(SigSet::UNBLOCKABLE);
        let t = &self.tasks[task];
        let newly = mask.minus(t.blocked);
        if t.sigpending {
            self.retarget_shared_pending(task, newly);
        }
        self.tasks[task].blocked = mask;
        self.recalc_sigpending(task);
    }

    /// retarget_shared_pending(): `task` will not take the shared signals in `which`: wakes others
    /// that may (rule S-28).
    pub(super) fn retarget_shared_pending(&mut self, task: TaskId, which: SigSet) {
        let group = self.tasks[task].group;
        let shared = self.groups[group].shared_pending.signal;
        let mut retarget = shared.minus(shared.minus(which));
        for other in self.threads_after(task) {
            if retarget.is_empty() {
                return;
            }
            let Some(t) = self.tasks.get(other) else { continue };
            let takes = retarget.minus(t.blocked);
            if t.exiting || takes.is_empty() {
                continue;
            }
            retarget = retarget.minus(takes);
            if !t.sigpending {
                self.signal_wake_up(other, false);
            }
        }
    }

    /// The other threads of the group, circularly from the one after `task` (while_each_thread).
    pub(in crate::task) fn threads_after(&self, task: TaskId) -> Vec<TaskId> {
        let threads = &self.groups[self.tasks[task].group].tasks;
        let at = threads.iter().position(|t| *t == task).unwrap_or(0);
        let (before, from) = threads.split_at(at);
        from.iter().chain(before).copied().filter(|t| *t != task).collect()
    }

    /// set_user_sigmask(): installs the temporary mask at `ptr` (none if null) for the rest of this
    /// call (rule S-36). Run again it changes nothing. EINVAL if `size` is not 8, EFAULT.
    /// The old mask comes back when the call ends, or is what the handler's frame restores.
    pub fn set_user_sigmask(
        &mut self,
        call: &mut Call<'_>,
        ptr: UserPtr,
        size: u64,
    ) -> Result<(), Errno> {
        if ptr.is_null() || self.tasks[call.task].saved_sigmask.is_some() {
            return Ok(());
        }
        if size != 8 {
            return Err(Errno::EINVAL);
        }
        let mask = SigSet(call.read_u64(ptr)?);
        self.set_temporary_mask(call.task, mask);
        Ok(())
    }

    /// Installs `mask` for the rest of this call.
    pub(super) fn set_temporary_mask(&mut self, task: TaskId, mask: SigSet) {
        self.tasks[task].saved_sigmask = Some(self.tasks[task].blocked);
        self.set_current_blocked(task, mask);
    }

    /// restore_saved_sigmask(): the temporary mask, if there is one, ends without a handler.
    pub fn restore_saved_sigmask(&mut self, task: TaskId) {
        let Some(t) = self.tasks.get_mut(task) else { return };
        if let Some(mask) = t.saved_sigmask.take() {
            self.set_current_blocked(task, mask);
        }
    }

    /// sigmask_to_save(): what a frame stores and sigreturn brings back (rule S-36).
    pub(super) fn sigmask_to_save(&self, task: TaskId) -> SigSet {
        let t = &self.tasks[task];
        t.saved_sigmask.unwrap_or(t.blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::signal::testing::World;

    #[test]
    fn blocking_a_signal_offers_it_to_a_sibling() {
        // S-28.
        let mut w = World::new();
        let (leader, second) = (w.process(), w.thread());
        let usr1 = SigSet::of(Signal::SIGUSR1);
        w.catch(leader, Signal::SIGUSR1, 0);
        w.kernel.tasks[second].run = Run::Blocked(crate::syscall::Wait::until(None));
        w.kill(leader, Signal::SIGUSR1);
        assert!(w.kernel.signal_pending(leader) && !w.kernel.signal_pending(second));
        w.kernel.set_current_blocked(leader, usr1);
        assert!(!w.kernel.signal_pending(leader) && w.kernel.signal_pending(second));
        assert_eq!(w.kernel.tasks[second].run, Run::Ready);
    }

    #[test]
    fn kill_and_stop_cannot_be_blocked() {
        // S-32.
        let mut w = World::new();
        let leader = w.process();
        w.kernel.set_current_blocked(leader, SigSet(u64::MAX));
        assert_eq!(w.kernel.tasks[leader].blocked, SigSet(u64::MAX).minus(SigSet::UNBLOCKABLE));
    }

    #[test]
    fn a_stack_that_disarms_itself_is_never_in_use() {
        // S-49.
        let stack = AltStack { sp: 0x1000, size: 0x1000, flags: 0 };
        assert_eq!((stack.state(0x1000), stack.state(0x2000), stack.state(0x2001)), (0, 1, 0));
        let disarming = AltStack { flags: SS_AUTODISARM, ..stack };
        assert_eq!(disarming.state(0x1800), 0);
        assert_eq!(AltStack::default().state(0x1800), SS_DISABLE);
    }
}
