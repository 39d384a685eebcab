//! Tasks: what a thread and a process are. [`Task`] is one thread (`task_struct`), [`ThreadGroup`]
//! one process (`signal_struct`), [`SigHand`] the dispositions, an object of its own because
//! CLONE_SIGHAND shares it across groups; [`Fs`] likewise (CLONE_FS).
//!
//! The life of a process by file: `fork` (copy_process) → `exec` → `signal/` (send_signal,
//! complete_signal, get_signal, frames) → `exit` (do_group_exit, do_exit) → `wait`. Beside them:
//! `pid` (numbers), `pid_namespace`, `nsproxy`, `sched` (who runs next), `futex`, `timer`, `cred`,
//! `capability`, `user_namespace`, `time_namespace`.

pub mod binfmt_script;
pub mod binprm;
pub mod capability;
pub mod clone_args;
pub mod cred;
pub mod elf;
pub mod exec;
pub mod exit;
pub mod exit_notify;
pub mod fork;
pub mod futex;
pub mod id_map;
pub mod ids;
pub mod init;
pub mod kcmp;
pub mod nsproxy;
pub mod pid;
pub mod pid_namespace;
pub mod prctl;
pub mod ptrace;
pub mod random;
pub mod rlimit;
pub mod rseq;
pub mod rusage;
pub mod sched;
pub mod sched_calls;
pub mod session;
pub mod setns;
pub mod signal;
pub mod spawn;
pub mod system;
pub mod task_struct;
pub mod time_namespace;
pub mod timer;
pub mod unshare;
pub mod user_namespace;
pub mod wait;

pub use pid::Pid;
pub use signal::{SigHand, SigHandId};
pub use task_struct::{Cred, Fs, FsId, GroupId, Run, Task, TaskId, ThreadGroup, WaitStatus};
