//! How a process ends. `do_group_exit` kills the other threads and ends the caller; `do_exit` takes
//! one task apart in the order that rule X-7 tells, which is what everybody else can observe: locks
//! and joiners first, then memory, then descriptors, then what their last references release (the
//! FIN), and only then the parent hears of it. Rules. Neighbours: `exit_notify` (the
//! family), `wait` (who reaps), `fs/fdtable` (exit_files), `fs/file` (task_work_run),
//! `signal` (exit_signals, zap_other_threads).

use crate::fact::TaskFact;
use crate::kernel::Kernel;
use crate::platform::{Platform, UserPtr};
use crate::syscall::{Call, Stop, SysResult};
use crate::task::{Run, TaskId, WaitStatus};
use crate::wait_queue::Event;

impl Kernel {
    /// exit(2): this thread only (rule X-3).
    pub fn sys_exit(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_exit(call.task, WaitStatus::exited(call.arg(0)), call.user);
        Err(Stop::NoReturn)
    }

    /// exit_group(2): the whole process.
    pub fn sys_exit_group(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_group_exit(call.task, WaitStatus::exited(call.arg(0)), call.user);
        Err(Stop::NoReturn)
    }

    /// do_group_exit(): the first who comes here says how the process ends; the others are killed
    /// and find that said already (rules X-2, S-27). A thread that an exec kills ends with 0, and
    /// the process lives on.
    pub fn do_group_exit(&mut self, task: TaskId, status: WaitStatus, user: &mut dyn Platform) {
        let group = self.tasks[task].group;
        let g = &self.groups[group];
        let status = match (g.group_exit, g.group_exec_task) {
            (Some(recorded), _) => recorded,
            (None, Some(_)) => WaitStatus(0),
            (None, None) => {
                self.groups[group].group_exit = Some(status);
                self.zap_other_threads(task);
                status
            }
        };
        let threads = self.groups[group].tasks.len();
        self.tell(Some(task), TaskFact::DoGroupExit { status, threads }.into());
        self.do_exit(task, status, user);
    }

    /// do_exit(): the end of one task. The order is rule X-7; nothing may be moved.
    pub fn do_exit(&mut self, task: TaskId, status: WaitStatus, user: &mut dyn Platform) {
        self.exit_signals(task); //                     3: PF_EXITING; signals go to others
        let last = self.record_exit(task, status);
        if last {
            self.exit_itimers(task); //                 4: no timer fires any more
        }
        self.mm_release(task, user); //                 5–7: robust futexes, CLEARTID, vfork parent
        self.exit_mm(task, user); //                    8: memory; mapped files are queued first
        self.exit_sem(task); //                         9: System V semaphores: what SEM_UNDO owes
        //                                              10: exit_shm: see ipc/shm
        self.exit_files(task); //                       11: descriptors, ascending
        self.exit_fs(task); //                          12: cwd, root, umask
        if last {
            self.disassociate_ctty(task, true); //          13: the session's terminal
        }
        //                                              14: no namespaces here
        self.task_work_run(task); //                    15: the final puts: FIN, RST, EOF
        self.cgroup_exit(task); //                      16: its control group
        self.exit_notify(task); //                      17: children, parent, zombie
    }

    /// synchronize_group_exit() and exit_code: is this the last thread? Then its code is the
    /// process's, unless there is one already (rules ).
    fn record_exit(&mut self, task: TaskId, status: WaitStatus) -> bool {
        let group = self.tasks[task].group;
        let last = self.groups[group].tasks.iter().all(|t| self.tasks[*t].exiting);
        let t = &mut self.tasks[task];
        t.exit_code = status;
        t.in_flight = None;
        t.restart_block = None;
        if last && self.groups[group].group_exit.is_none() {
            self.groups[group].group_exit = Some(status);
        }
        self.tell(Some(task), TaskFact::DoExit { status, last }.into());
        last
    }

    /// mm_release(), by exec and exit: what others in the same memory are told before it goes
    /// (rules ).
    pub(crate) fn mm_release(&mut self, task: TaskId, user: &mut dyn Platform) {
        if self.tasks[task].mm.is_some() {
            self.futex_exit_release(task, user);
            self.clear_child_tid(task, user);
        }
        self.complete_vfork_done(task);
    }

    /// CLONE_CHILD_CLEARTID: a zero and one waiter woken, if somebody else is left in this memory to
    /// see it (rule X-15). Errors are the program's own business.
    fn clear_child_tid(&mut self, task: TaskId, user: &mut dyn Platform) {
        let t = &mut self.tasks[task];
        let at = core::mem::take(&mut t.clear_child_tid);
        let (Some(mm), Some(guest)) = (t.mm, t.guest) else { return };
        if at.is_null() || self.mms[mm].users <= 1 {
            return;
        }
        user.write_user(guest, at, &0u32.to_le_bytes());
        self.wake_child_tid(task, at);
    }

    /// FUTEX_WAKE of one waiter at `at`, not private: as pthread_join waits for it.
    fn wake_child_tid(&mut self, task: TaskId, at: UserPtr) {
        if let Ok(key) = self.futex_key(task, at, true) {
            self.futex_wake_one(key);
        }
    }

    /// complete_vfork_done(): the parent that lent its memory goes on (rule X-16).
    pub(crate) fn complete_vfork_done(&mut self, task: TaskId) {
        if let Some(parent) = self.tasks[task].vfork_parent.take() {
            self.publish(Event::Vfork(parent));
        }
    }

    /// exit_mm(): the guest is released; with the last user of the address space its memory goes,
    /// before any descriptor (rules ).
    fn exit_mm(&mut self, task: TaskId, user: &mut dyn Platform) {
        let t = &mut self.tasks[task];
        t.rseq = None;
        let (mm, guest) = (t.mm.take(), t.guest.take());
        if let Some(guest) = guest {
            user.release(guest);
        }
        let Some(mm) = mm else { return };
        let last = self.mms[mm].users == 1;
        self.tell(Some(task), TaskFact::ExitMm { last }.into());
        self.mmput(task, mm, user);
    }

    /// exit_fs(): one user of root, cwd and umask less.
    fn exit_fs(&mut self, task: TaskId) {
        let Some(fs) = self.tasks[task].fs.take() else { return };
        self.tell(Some(task), TaskFact::ExitFs.into());
        self.free_fs_struct(fs);
        self.release_namespaces();
    }

    /// Dead but not reaped?
    pub fn is_zombie(&self, task: TaskId) -> bool {
        self.tasks.get(task).is_none_or(|t| t.run == Run::Zombie)
    }
}

#[cfg(test)]
mod tests;
