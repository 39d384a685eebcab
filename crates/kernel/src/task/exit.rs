//! How a process ends, as far as the signal room needs it until the process room lands: whoever
//! has the whole of do_exit replaces this file. Rules.

use crate::fact::TaskFact;
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::task::{Run, TaskId, WaitStatus};

impl Kernel {
    /// do_group_exit(): the first who comes here says how the process ends (rule X-2).
    pub fn do_group_exit(&mut self, task: TaskId, status: WaitStatus, user: &mut dyn Platform) {
        let group = self.tasks[task].group;
        let status = self.groups[group].group_exit.unwrap_or(status);
        self.groups[group].group_exit = Some(status);
        let threads = self.groups[group].tasks.len();
        self.tell(Some(task), TaskFact::DoGroupExit { status, threads }.into());
        self.zap_other_threads(task);
        self.exit_signals(task);
        self.exit_files(task);
        self.task_work_run(task);
        let t = &mut self.tasks[task];
        (t.exit_code, t.run) = (status, Run::Zombie);
        if let Some(guest) = t.guest.take() {
            user.release(guest);
        }
        self.run_queue.remove(task);
    }
}
