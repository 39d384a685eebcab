//! The way back to user mode: final puts, signals, and what becomes of a call that a signal
//! interrupted. The one place that decides about restarts (rules S-34, S-35); restart_syscall(2).
//! Neighbours: `syscall` (which interrupted the call), `get_signal`, `frame`.

use super::get_signal::KSignal;
use super::sigaction::SA_RESTART;
use crate::abi::Errno;
use crate::abi::signal::{SigSet, Signal};
use crate::fact::TaskFact;
use crate::kernel::Kernel;
use crate::platform::{Platform, Registers};
use crate::syscall::{Call, Restart, Stop, SysResult, table};
use crate::task::TaskId;

/// __NR_restart_syscall.
const NR_RESTART_SYSCALL: u64 = 219;
/// The length of the `syscall` instruction.
pub(super) const SYSCALL_LEN: u64 = 2;

impl Kernel {
    /// exit_to_user_mode_loop(): final puts, signals, restart, until nothing is left to do. A task
    /// that waits in a call, stopped or died is not on its way to user mode.
    pub fn exit_to_user_mode(&mut self, task: TaskId, user: &mut dyn Platform) {
        loop {
            if self.lingers_on_the_way(task) {
                return;
            }
            self.task_work_run(task);
            if !self.is_going_to_user_mode(task) {
                return;
            }
            if self.tasks[task].lingering.is_some() {
                continue;
            }
            self.run_posix_cpu_timers(task);
            if !self.signal_pending(task) {
                break;
            }
            match self.get_signal(task, user) {
                Some(ksig) => self.handle_signal(task, &ksig, user),
                None if self.is_going_to_user_mode(task) => break,
                None => return,
            }
        }
        self.restart_without_handler(task);
        self.restore_saved_sigmask(task);
        if self.signal_pending(task) {
            // The old mask lets something in that the temporary one held back.
            return self.exit_to_user_mode(task, user);
        }
        self.rseq_handle_notify_resume(task, user);
    }

    /// Is `task` on its way to user mode with nothing to do before?
    pub fn goes_on_in_user_mode(&self, task: TaskId) -> bool {
        self.is_going_to_user_mode(task) && !self.signal_pending(task)
    }

    fn is_going_to_user_mode(&self, task: TaskId) -> bool {
        self.is_ready(task)
            && self.tasks.get(task).is_some_and(|t| !t.exiting && t.in_flight.is_none())
    }

    /// A final put by dup2, close_range, exec or the end of a blocked call waits for SO_LINGER where
    /// Linux does: after the call, before user mode. True while it waits (T-4).
    fn lingers_on_the_way(&mut self, task: TaskId) -> bool {
        if !self.is_going_to_user_mode(task) {
            return false;
        }
        let Some(wait) = self.linger(task) else { return false };
        self.sleep_on(task, wait);
        true
    }

    /// handle_signal(): first what becomes of the interrupted call, then the frame; the mask of
    /// the handler comes last (rule S-33).
    fn handle_signal(&mut self, task: TaskId, ksig: &KSignal, user: &mut dyn Platform) {
        if let Some((restart, _)) = self.tasks[task].restart.take() {
            let again = match restart {
                Restart::NoIntr => true,
                Restart::Sys => ksig.action.flags & SA_RESTART != 0,
                Restart::NoHand | Restart::Block => false,
                // These ended the call where they were met.
                Restart::Eintr | Restart::Done(_) | Restart::Error(_) => false,
            };
            if again {
                restart_call(&mut self.tasks[task].regs);
            }
        }
        self.rseq_signal_deliver(task, user);
        match self.setup_rt_frame(task, ksig, user) {
            Ok(frame) => {
                let (signal, handler) = (ksig.info.signal, ksig.action.handler);
                let fact = TaskFact::SetupRtFrame { signal, handler, frame };
                self.tell(Some(task), fact.into());
                self.signal_delivered(task, ksig);
            }
            Err(_) => self.force_sigsegv(task, ksig.info.signal),
        }
    }

    /// signal_delivered(): the mask while the handler runs; an alternate stack that disarms itself
    /// does (rule S-49).
    fn signal_delivered(&mut self, task: TaskId, ksig: &KSignal) {
        self.tasks[task].saved_sigmask = None;
        let mut mask = self.tasks[task].blocked.union(ksig.action.mask);
        if ksig.action.flags & super::sigaction::SA_NODEFER == 0 {
            mask = mask.union(SigSet::of(ksig.info.signal));
        }
        self.set_current_blocked(task, mask);
        let sas = &mut self.tasks[task].sas_ss;
        if sas.flags & super::mask::SS_AUTODISARM != 0 {
            *sas = super::AltStack::default();
        }
    }

    /// force_sigsegv(): the frame could not be written. If it was SIGSEGV's own, it is fatal.
    pub(super) fn force_sigsegv(&mut self, task: TaskId, signal: Signal) {
        let info = super::SigInfo::kernel(Signal::SIGSEGV);
        let fact = TaskFact::ForceSig {
            signal: Signal::SIGSEGV,
            address: self.tasks[task].regs.rsp,
            rip: self.tasks[task].regs.rip,
        };
        self.tell(Some(task), fact.into());
        self.force_sig_info(task, info, signal == Signal::SIGSEGV);
    }

    /// No handler ran: the interrupted call starts again, or restart_syscall goes on with it.
    fn restart_without_handler(&mut self, task: TaskId) {
        let t = &mut self.tasks[task];
        let Some((restart, kept)) = t.restart.take() else { return };
        match restart {
            Restart::Sys | Restart::NoIntr | Restart::NoHand => restart_call(&mut t.regs),
            Restart::Block => {
                restart_call(&mut t.regs);
                t.regs.rax = NR_RESTART_SYSCALL;
                t.restart_block = kept;
            }
            // These ended the call where they were met.
            Restart::Eintr | Restart::Done(_) | Restart::Error(_) => {}
        }
    }

    /// restart_syscall(2): the interrupted call goes on with its deadline; EINTR if there is none
    /// (a handler ran meanwhile: sigreturn forgets the block).
    pub fn sys_restart_syscall(&mut self, call: &mut Call<'_>) -> SysResult {
        let kept = self.tasks[call.task].restart_block.take();
        let Some((kept, row)) =
            kept.and_then(|k| Some((table::row(k.nr)?, k)).map(|(r, k)| (k, r)))
        else {
            return Err(Stop::Errno(Errno::EINTR));
        };
        // From now on the record is the interrupted call's: reruns go to its own handler.
        call.flight = crate::syscall::InFlight { place: 0, ..kept };
        (row.handler)(self, call)
    }
}

/// The guest executes its `syscall` instruction again, with the number in rax.
fn restart_call(regs: &mut Registers) {
    regs.rip = regs.rip.wrapping_sub(SYSCALL_LEN);
    regs.rax = regs.orig_rax;
}
