//! The structures of the task room, named and grouped as in Linux's `task_struct`, `signal_struct`
//! and `fs_struct`. No behaviour beyond small questions; see the other files of the room.

use crate::abi::signal::{SigSet, Signal};
use crate::arena::Id;
use crate::fs::cgroup::{CgroupId, TaskFreezer};
use crate::fs::fdtable::TableId;
use crate::fs::file::FileId;
use crate::fs::path::Path;
use crate::mm::MmId;
use crate::net::conn::ConnId;
use crate::platform::{GuestId, Registers, UserPtr};
use crate::random::{Purpose, Stream};
use crate::syscall::{InFlight, Restart, Wait};
use crate::task::capability::CapSet;
use crate::task::pid::Pid;
use crate::task::rlimit::Rlimits;
use crate::task::rseq::Rseq;
use crate::task::signal::{AltStack, JobCtl, LastFault, SigHandId, SigPending};
use crate::task::user_namespace::UserNs;
use crate::time::{Duration, Instant};
use crate::wait_queue::Event;

/// Names a task.
pub type TaskId = Id<Task>;
/// Names a thread group.
pub type GroupId = Id<ThreadGroup>;
/// Names a [`Fs`].
pub type FsId = Id<Fs>;

/// The status word that wait(2) reports: `exit code << 8`, or the signal, | 0x80 with a core dump
/// (rule X-1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// exit(n) or exit_group(n).
    pub const fn exited(code: u64) -> WaitStatus {
        WaitStatus(((code & 0xff) << 8) as u32)
    }

    /// Death by `signal`, no core.
    pub const fn killed(signal: Signal) -> WaitStatus {
        WaitStatus(signal.number() as u32)
    }

    /// The signal of a death by signal.
    pub fn signal(self) -> Option<Signal> {
        Signal::new(u64::from(self.0 & 0x7f))
    }

    /// The exit code of an orderly exit.
    pub const fn code(self) -> u32 {
        (self.0 >> 8) & 0xff
    }
}

/// What a task is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Run {
    /// It can run: in user mode, or its in-flight call again.
    Ready,
    /// Its in-flight call waits.
    Blocked(Wait),
    /// Job control stopped it; only SIGCONT and SIGKILL act (rule S-41).
    Stopped,
    /// Its control group is frozen; only the thaw and SIGKILL act.
    Frozen,
    /// Dead, not yet reaped: only pid, status and times are left.
    Zombie,
}

/// Virtual credentials (credentials(7)); root's by default. Ids are the host's own (kuid_t), whatever
/// the user namespace calls them: `user_namespace` translates.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Cred {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Vec<u32>,
    pub cap_inheritable: CapSet,
    pub cap_permitted: CapSet,
    pub cap_effective: CapSet,
    /// PR_CAPBSET_DROP: what execve can give at most.
    pub cap_bset: CapSet,
    pub cap_ambient: CapSet,
    /// PR_SET_SECUREBITS, PR_SET_KEEPCAPS.
    pub securebits: u32,
    /// Where its capabilities count.
    pub user_ns: UserNs,
}

impl Default for Cred {
    fn default() -> Cred {
        Cred::user(0, 0)
    }
}

impl Cred {
    /// A user with one group and no supplementary ones.
    pub fn user(uid: u32, gid: u32) -> Cred {
        let caps = if uid == 0 { CapSet::FULL } else { CapSet::EMPTY };
        Cred {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: Vec::new(),
            cap_inheritable: CapSet::EMPTY,
            cap_permitted: caps,
            cap_effective: caps,
            cap_bset: CapSet::FULL,
            cap_ambient: CapSet::EMPTY,
            securebits: 0,
            user_ns: UserNs::INIT,
        }
    }
}

/// One thread.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Task {
    /// The thread's number; the leader's is the process's.
    pub tid: Pid,
    pub group: GroupId,
    pub comm: Vec<u8>,
    pub run: Run,
    /// PF_EXITING: do_exit began.
    pub exiting: bool,
    /// This thread's own exit status, once it has one.
    pub exit_code: WaitStatus,
    /// The task (not only the process) that forked it: for PDEATHSIG and __WNOTHREAD.
    pub real_parent: Option<TaskId>,
    /// Children in the order of their birth (leaders only).
    pub children: Vec<GroupId>,
    pub pdeath_signal: Option<Signal>,

    // In a call.
    pub in_flight: Option<InFlight>,
    pub waiting_on: Vec<Event>,
    /// What exit_to_user_mode has to decide about an interrupted call.
    pub restart: Option<(Restart, Option<InFlight>)>,
    /// restart_block: what restart_syscall goes on with.
    pub restart_block: Option<InFlight>,

    // The guest.
    pub guest: Option<GuestId>,
    pub regs: Registers,
    pub mm: Option<MmId>,
    pub set_child_tid: UserPtr,
    pub clear_child_tid: UserPtr,
    pub robust_list: UserPtr,
    pub rseq: Option<Rseq>,

    // Signals.
    /// TIF_SIGPENDING: has to look at its signals before it goes on. Not inherited by fork.
    pub sigpending: bool,
    /// This thread's part in a group stop. Not inherited by fork.
    pub jobctl: JobCtl,
    /// A crash from outside: where the instruction is that reads from address 0, whenever it is
    /// reached.
    pub crashes_at: Option<u64>,
    /// What the last fault left for later frames to show.
    pub last_fault: LastFault,
    pub blocked: SigSet,
    pub real_blocked: SigSet,
    pub saved_sigmask: Option<SigSet>,
    pub pending: SigPending,
    /// sas_ss_sp, sas_ss_size, sas_ss_flags.
    pub sas_ss: AltStack,

    // Files.
    pub files: Option<TableId>,
    pub fs: Option<FsId>,
    /// task_works: final puts that wait for the way back to user mode, first queued first; run
    /// LIFO (rules F-6, X-10).
    pub task_works: Vec<FileId>,

    /// sysvsem.undo_list: semaphore operations to undo at exit.
    pub undo_list: Option<crate::ipc::sem::UndoId>,

    /// A connection on which a close(2) with SO_LINGER waits, and until when (rule T-4).
    pub lingering: Option<(ConnId, Instant)>,

    pub cred: Cred,
    /// Its namespaces, but that of its own number.
    pub nsproxy: crate::task::nsproxy::Nsproxy,
    /// Its control group.
    pub cgroup: CgroupId,
    pub freezer: TaskFreezer,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// personality(2): stored, see `task/prctl`.
    pub personality: u32,
    /// PR_SET_TIMERSLACK, nanoseconds: a hint.
    pub timer_slack: u64,
    /// What PR_SET_TIMERSLACK 0 goes back to: the parent's when this task was born.
    pub default_timer_slack: u64,
    /// Nice value and policy: hints.
    pub sched: crate::task::sched_calls::SchedParams,
    /// CPU time in user mode and in calls, as virtual time counts it.
    pub utime: Duration,
    pub stime: Duration,
    /// Calls in a row that asked for what only time changes (syscall/in_vain).
    pub asked_in_vain: u32,
    pub start_time: Instant,
    /// The vfork parent that waits for this child to drop its borrowed mm.
    pub vfork_parent: Option<TaskId>,
}

impl Task {
    /// Asleep in a call?
    pub fn is_blocked(&self) -> bool {
        matches!(self.run, Run::Blocked(_))
    }
}

/// One process.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct ThreadGroup {
    /// The process id.
    pub tgid: Pid,
    /// The first thread (after exec: the one that called it).
    pub leader: TaskId,
    /// Living threads and a leader that is a zombie, in the order of their birth.
    pub tasks: Vec<TaskId>,
    /// None only for PID 1.
    pub parent: Option<GroupId>,
    pub sighand: SigHandId,
    pub shared_pending: SigPending,
    pub curr_target: TaskId,
    /// SIGNAL_GROUP_EXIT and group_exit_code.
    pub group_exit: Option<WaitStatus>,
    /// An exec in this thread waits for the others to die (group_exec_task).
    pub group_exec_task: Option<TaskId>,
    /// Job control: what the group was stopped by, and which events wait(2) may still report.
    pub stop: signal::GroupStop,
    /// What the parent is sent at death; None for 0 (rule X-17).
    pub exit_signal: Option<Signal>,
    pub pgrp: Pid,
    pub session: Pid,
    /// The controlling terminal (signal->tty).
    pub tty: Option<TtyId>,
    /// The foreground group of a terminal that hung up, for the session leader's exit.
    pub tty_old_pgrp: Option<Pid>,
    /// SIGNAL_UNKILLABLE: PID 1.
    pub unkillable: bool,
    pub is_child_subreaper: bool,
    /// Did exec since fork (setpgid of a child fails then).
    pub did_exec: bool,
    /// How many execs this process did, and its parent when it was forked: a parent that is another
    /// program by now gets SIGCHLD, whatever was asked for (rule X-17).
    pub self_exec_id: u32,
    pub parent_exec_id: u32,
    /// getrandom(2) and AT_RANDOM of this process.
    pub random: Stream,
    pub rlimits: Rlimits,
    /// Times of reaped children.
    pub cutime: Duration,
    pub cstime: Duration,
    /// Times of threads that are gone already.
    pub utime: Duration,
    pub stime: Duration,
}

impl ThreadGroup {
    /// A process of one thread with nothing set; number, family and handlers must be set before
    /// anyone looks.
    pub(crate) fn blank(leader: TaskId) -> ThreadGroup {
        ThreadGroup {
            tgid: Pid(0),
            leader,
            tasks: vec![leader],
            parent: None,
            sighand: SigHandId::nobody(),
            shared_pending: SigPending::default(),
            curr_target: leader,
            group_exit: None,
            group_exec_task: None,
            stop: signal::GroupStop::default(),
            exit_signal: None,
            pgrp: Pid(0),
            session: Pid(0),
            tty: None,
            tty_old_pgrp: None,
            unkillable: false,
            is_child_subreaper: false,
            did_exec: false,
            self_exec_id: 0,
            parent_exec_id: 0,
            random: Stream::new(0, 0, 0, Purpose::Getrandom),
            rlimits: Rlimits::default(),
            cutime: Duration::ZERO,
            cstime: Duration::ZERO,
            utime: Duration::ZERO,
            stime: Duration::ZERO,
        }
    }
}

use crate::task::signal;
use crate::tty::TtyId;

/// fs_struct: what CLONE_FS shares.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Fs {
    pub users: u32,
    pub root: Path,
    pub pwd: Path,
    pub umask: u32,
}
