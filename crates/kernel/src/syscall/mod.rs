//! The door in: a guest trapped ([`Kernel::enter`]), or a task that was woken runs its in-flight
//! call again ([`Kernel::resume`]); both end on the way back to user mode, where signals are taken.
//! Rows of the table are in `syscall/rows/`, one file a room; handlers live in the rooms.
//! Neighbours: `task/signal` (get_signal, restart), `wait_queue`.

pub mod absent;
pub mod call;
pub mod cost;
pub mod document;
pub mod in_vain;
pub mod iovec;
pub mod rows;
pub mod table;
pub mod trace;

pub use call::{Call, Held, InFlight, Progress};

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::platform::{Platform, Trap};
use crate::task::{Run, TaskId};
use crate::time::{Duration, Instant};
use crate::wait_queue::Event;
use absent::Absent;

/// What becomes of a call that a signal interrupts (rules S-34, S-35). The first four are Linux's
/// kernel-internal codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// ERESTARTSYS: again iff no handler ran or the handler has SA_RESTART; else EINTR.
    Sys,
    /// ERESTARTNOINTR: always again.
    NoIntr,
    /// ERESTARTNOHAND: again iff no handler ran; else EINTR.
    NoHand,
    /// ERESTART_RESTARTBLOCK: EINTR with a handler; else restart_syscall goes on, which keeps the
    /// in-flight record (its deadline) as it is.
    Block,
    /// Plain EINTR, whatever the signal does.
    Eintr,
    /// The call ends with what it has done so far.
    Done(u64),
    /// The call ends with this error.
    Error(Errno),
}

/// A call has to wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    /// What may end the wait.
    pub on: Vec<Event>,
    /// When it ends by itself: the handler is run again then and must look at the clock.
    pub until: Option<Instant>,
    /// What a signal makes of it.
    pub restart: Restart,
    /// One of several such sleepers is woken at a time (accept, futex).
    pub exclusive: bool,
    /// Only fatal signals interrupt (vfork).
    pub killable: bool,
}

impl Wait {
    /// Waits for one event, without limit, restartable (ERESTARTSYS).
    pub fn on(event: Event) -> Wait {
        Wait {
            on: vec![event],
            until: None,
            restart: Restart::Sys,
            exclusive: false,
            killable: false,
        }
    }

    /// Waits for time or a signal only.
    pub fn until(deadline: Option<Instant>) -> Wait {
        Wait { until: deadline, on: Vec::new(), ..Wait::on(Event::Console) }
    }

    /// The same with a deadline.
    #[must_use]
    pub fn with_deadline(self, until: Option<Instant>) -> Wait {
        Wait { until, ..self }
    }

    /// The same with another answer to signals.
    #[must_use]
    pub fn with_restart(self, restart: Restart) -> Wait {
        Wait { restart, ..self }
    }

    /// The same as an exclusive wait.
    #[must_use]
    pub fn exclusive(self) -> Wait {
        Wait { exclusive: true, ..self }
    }
}

/// Why a handler has no result (yet).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It failed.
    Errno(Errno),
    /// It ends early with this result (a copy hit a hole after something was moved).
    Done(u64),
    /// It must wait; the in-flight record holds all that it did so far.
    Wait(Wait),
    /// There is nothing to return to: the task died, or the handler replaced all its registers
    /// (exec, sigreturn).
    NoReturn,
}

impl From<Errno> for Stop {
    fn from(e: Errno) -> Stop {
        Stop::Errno(e)
    }
}

impl From<Wait> for Stop {
    fn from(w: Wait) -> Stop {
        Stop::Wait(w)
    }
}

/// What a handler returns: the value for rax, or why there is none.
pub type SysResult = Result<u64, Stop>;

/// What a wait in a loop costs where somebody else can run. Unlike Linux, which on one CPU lets the
/// loop burn the rest of its slice (milliseconds) and on several ends it within microseconds: programs
/// that wait so were written for several CPUs, and give themselves time for that.
const SPUN: Duration = Duration::from_micros(100);

impl Kernel {
    /// The guest of `task` trapped: `task.regs` holds its state.
    pub fn enter(&mut self, task: TaskId, trap: Trap, user: &mut dyn Platform) {
        match trap {
            Trap::Syscall => self.enter_syscall(task, user),
            Trap::ForeignSyscall { door, number } => {
                self.tell(Some(task), Fact::unsupported(door, format!("call {number}")));
                self.tasks[task].regs.rax = Errno::ENOSYS.as_result();
            }
            Trap::Fault(fault) => self.force_sig_fault(task, fault),
            Trap::Tsc { length } => self.answer_tsc(task, length),
            // It burned CPU without effect: time moves, and others get their turn.
            Trap::Spin => self.yield_cpu(task, SPUN),
            // It is to go on; or `preempt` is called.
            Trap::Computing { .. } => {}
            Trap::Gone => self.guest_vanished(task, user),
        }
        self.exit_to_user_mode(task, user);
    }

    /// `task` was picked to run: finishes its in-flight call if it has one and takes its signals.
    /// True when it is to run in user mode now.
    pub fn resume(&mut self, task: TaskId, user: &mut dyn Platform) -> bool {
        if !self.is_ready(task) {
            return false;
        }
        self.leave_wait_queues(task);
        if self.tasks[task].in_flight.is_some() {
            self.run_call(task, user);
        }
        self.exit_to_user_mode(task, user);
        self.is_ready(task) && self.tasks[task].in_flight.is_none()
    }

    fn enter_syscall(&mut self, task: TaskId, user: &mut dyn Platform) {
        let regs = &self.tasks[task].regs;
        let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        let mut flight = InFlight::new(regs.orig_rax, args, self.now);
        let surcharge = in_vain::surcharge(self.tasks[task].asked_in_vain);
        let cost = self.config.syscall_cost * cost::units(&flight) + surcharge;
        self.now = self.now + cost;
        // The instructions on the way to the call: a program's own time never stands still.
        let own = self.config.syscall_cost / 4;
        self.account_cputime(task, own, cost - own);
        flight.entered = self.now;
        if let (true, Some(guest)) = (self.config.trace, self.tasks[task].guest) {
            flight.shown = trace::show_args(flight.nr, &flight.args, guest, user);
        }
        self.tasks[task].in_flight = Some(flight);
        self.tasks[task].restart = None;
        self.run_call(task, user);
    }

    /// The only start and rerun of a handler, and the only finish of a call.
    fn run_call(&mut self, task: TaskId, user: &mut dyn Platform) {
        let Some(flight) = self.tasks[task].in_flight.take() else { return };
        let Some(guest) = self.tasks[task].guest else { return };
        let mut call = Call { task, guest, flight, user };
        let who = self.who(task);
        let result = self.run_handler(&mut call);
        if cfg!(debug_assertions) && self.config.check_reruns {
            self.check_rerun(&mut call, &result);
        }
        let flight = call.flight;
        match result {
            Ok(value) | Err(Stop::Done(value)) => self.return_from_call(task, flight, value),
            Err(Stop::Errno(errno)) => self.return_from_call(task, flight, errno.as_result()),
            Err(Stop::NoReturn) => {
                self.tell_return(who, &flight, None);
                self.release_held(task, flight);
            }
            Err(Stop::Wait(wait)) if self.interrupts(task, &wait) => {
                self.interrupt_call(task, flight, wait.restart);
            }
            Err(Stop::Wait(wait)) => self.block(task, flight, wait),
        }
    }

    fn run_handler(&mut self, call: &mut Call<'_>) -> SysResult {
        if let Some(row) = table::row(call.flight.nr) {
            return (row.handler)(self, call);
        }
        // A number that Linux 6.18 has no call for either (None) is ENOSYS there too.
        if let Some((name, Absent::Missing(what))) = absent::absent(call.flight.nr) {
            self.tell(Some(call.task), Fact::unsupported(name, what));
        }
        Err(Stop::Errno(Errno::ENOSYS))
    }

    /// Invariant 3: a handler that waits, run again at once, waits again and changes nothing.
    fn check_rerun(&mut self, call: &mut Call<'_>, result: &SysResult) {
        let Err(Stop::Wait(first)) = result else { return };
        let (kernel, flight) = (self.clone(), call.flight.clone());
        let again = self.run_handler(call);
        let nr = flight.nr;
        assert_eq!(again, Err(Stop::Wait(first.clone())), "call {nr} waits differently at a rerun");
        assert_eq!(call.flight, flight, "the rerun of call {nr} changed its record");
        assert!(*self == kernel, "the rerun of call {nr} changed the kernel");
    }

    /// The call returned by itself: its temporary mask ends before any signal is looked at (S-36).
    fn return_from_call(&mut self, task: TaskId, flight: InFlight, value: u64) {
        self.restore_saved_sigmask(task);
        self.finish_call(task, flight, value);
    }

    fn finish_call(&mut self, task: TaskId, flight: InFlight, value: u64) {
        let t = &mut self.tasks[task];
        t.regs.rax = value;
        t.asked_in_vain = match in_vain::is_in_vain(&flight, value) {
            true => t.asked_in_vain.saturating_add(1),
            false => 0,
        };
        let who = self.who(task);
        self.tell_return(who, &flight, Some(value));
        self.release_held(task, flight);
    }

    /// Drops the references that the call held. The task may be dead by now; then its last
    /// references went with `do_exit`, and these are dropped on its behalf.
    fn release_held(&mut self, task: TaskId, flight: InFlight) {
        let doer = self.tasks.get(task).filter(|t| !t.exiting).map(|_| task);
        for held in flight.held.into_iter().rev() {
            self.fput(doer, held.file);
        }
    }

    /// Does a signal that is pending now end this wait?
    fn interrupts(&self, task: TaskId, wait: &Wait) -> bool {
        if wait.killable { self.fatal_signal_pending(task) } else { self.signal_pending(task) }
    }

    fn interrupt_call(&mut self, task: TaskId, flight: InFlight, restart: Restart) {
        match restart {
            Restart::Done(value) => self.finish_call(task, flight, value),
            Restart::Error(errno) => self.finish_call(task, flight, errno.as_result()),
            Restart::Eintr => self.finish_call(task, flight, Errno::EINTR.as_result()),
            Restart::Sys | Restart::NoIntr | Restart::NoHand => {
                self.tasks[task].restart = Some((restart, None));
                self.finish_call(task, flight, Errno::EINTR.as_result());
            }
            Restart::Block => {
                let kept = flight.clone_without_held();
                self.tasks[task].restart = Some((restart, Some(kept)));
                self.finish_call(task, flight, Errno::EINTR.as_result());
            }
        }
    }

    fn block(&mut self, task: TaskId, mut flight: InFlight, wait: Wait) {
        if flight.place == 0 {
            flight.place = self.waits.next_place();
            self.tell_blocked(task, &flight);
        }
        let place = flight.place;
        self.tasks[task].in_flight = Some(flight);
        self.sleep_at(task, place, wait);
    }

    /// Puts a task to sleep that is in no call: it is on its way to user mode and goes on from there.
    pub fn sleep_on(&mut self, task: TaskId, wait: Wait) {
        let place = self.waits.next_place();
        self.sleep_at(task, place, wait);
    }

    fn sleep_at(&mut self, task: TaskId, place: u64, wait: Wait) {
        for event in &wait.on {
            self.waits.add(*event, place, task, wait.exclusive);
        }
        let t = &mut self.tasks[task];
        t.waiting_on = wait.on.clone();
        let until = wait.until;
        t.run = Run::Blocked(wait);
        self.run_queue.sleep(task, until);
    }

    /// Takes a woken task out of the queues that it slept in.
    pub fn leave_wait_queues(&mut self, task: TaskId) {
        for event in core::mem::take(&mut self.tasks[task].waiting_on) {
            self.waits.remove(event, task);
        }
    }

    fn answer_tsc(&mut self, task: TaskId, length: u8) {
        let t = &mut self.tasks[task];
        self.now = self.now + Duration::from_nanos(20) + in_vain::surcharge(t.asked_in_vain);
        t.asked_in_vain = t.asked_in_vain.saturating_add(1);
        // One tick a nanosecond, from a start that no program takes for "just booted".
        let ticks = self.uptime();
        let regs = &mut self.tasks[task].regs;
        regs.rax = ticks & 0xffff_ffff;
        regs.rdx = ticks >> 32;
        if length == 3 {
            regs.rcx = 0; // IA32_TSC_AUX: cpu 0, node 0
        }
        regs.rip += u64::from(length);
    }

    /// `task`, which has computed for `computed` of the machine's CPU time without a trap, has to
    /// let others run; `passed` is the virtual time that this takes, which the lab lets pass.
    pub fn preempt(&mut self, task: TaskId, computed: Duration, passed: Duration) {
        let at = self.tasks[task].regs.rip;
        self.tell(Some(task), Fact::Preempted { at, computed, passed });
        self.yield_cpu(task, Duration::ZERO);
    }

    fn yield_cpu(&mut self, task: TaskId, spent: Duration) {
        self.now = self.now + spent;
        self.account_cputime(task, spent, Duration::ZERO);
        self.rseq_preempt(task);
        self.run_queue.yield_task(task);
    }
}
