//! pidfd_open(2): a process, or a thread, as a file that becomes readable when it is dead (rule
//! pidfd_send_signal(2) is with the other kills, waitid(P_PIDFD) with the other waits.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::fs::anon::Anon;
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::InodeKind;
use crate::fs::procfs::ProcNode;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::pid_namespace::PidNs;
use crate::task::{GroupId, Pid, Run, TaskId};
use crate::wait_queue::Event;

/// PIDFD_THREAD: of one thread. (PIDFD_NONBLOCK is O_NONBLOCK.)
const PIDFD_THREAD: u32 = OFlags::EXCL.0;

/// Whom it is about. Ids of the dead name nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pidfd {
    /// The number it was opened by, and the namespace that it is of.
    pub pid: Pid,
    /// See there.
    pub ns: PidNs,
    /// The process.
    pub group: GroupId,
    /// The thread, with PIDFD_THREAD.
    pub thread: Option<TaskId>,
}

impl Kernel {
    /// pidfd_open(2): ESRCH, or ENOENT for a thread without PIDFD_THREAD. Always close-on-exec.
    pub fn sys_pidfd_open(&mut self, call: &mut Call<'_>) -> SysResult {
        let (pid, flags) = (call.int(0), call.arg(1) as u32);
        if flags & !(OFlags::NONBLOCK.0 | PIDFD_THREAD) != 0 || pid <= 0 {
            return Err(Errno::EINVAL.into());
        }
        let task = self.find_task_by_vpid(call.task, pid).ok_or(Errno::ESRCH)?;
        let pid = self.tasks[task].tid;
        let ns = self.pids.ns_of(pid);
        let group = self.tasks[task].group;
        let thread = (flags & PIDFD_THREAD != 0).then_some(task);
        if thread.is_none() && self.groups[group].leader != task {
            return Err(Errno::ENOENT.into());
        }
        let open = OFlags::RDWR | OFlags(flags);
        self.anon_getfd(call.task, Anon::Pidfd(Pidfd { pid, ns, group, thread }), open, true)
    }

    /// The pidfd of a newborn, for CLONE_PIDFD: of the thread if it is one.
    pub fn pidfd_file(&mut self, task: TaskId, thread: bool) -> FileId {
        let (pid, group) = (self.tasks[task].tid, self.tasks[task].group);
        let pidfd = Pidfd { pid, ns: self.pids.ns_of(pid), group, thread: thread.then_some(task) };
        let flags = if thread { OFlags::RDWR | OFlags(PIDFD_THREAD) } else { OFlags::RDWR };
        self.anon_getfile(Anon::Pidfd(pidfd), flags)
    }

    /// Whom `file` is about: EBADF if it is no pidfd.
    pub fn pidfd_of(&self, file: FileId) -> Result<Pidfd, Errno> {
        match self.files[file].kind {
            FileKind::Anon(id) => match self.anon.of(id) {
                Anon::Pidfd(pidfd) => Ok(*pidfd),
                Anon::Eventfd(_)
                | Anon::Timerfd(_)
                | Anon::Signalfd(_)
                | Anon::Inotify(_)
                | Anon::Mqueue(_)
                | Anon::Namespace(_) => Err(Errno::EBADF),
            },
            _ => Err(Errno::EBADF),
        }
    }

    /// What pidfd_send_signal(2) accepts besides: an open /proc/PID.
    pub fn tgid_pidfd_to_pid(&self, file: FileId) -> Result<Pidfd, Errno> {
        if let (FileKind::Inode, Some(dentry)) = (&self.files[file].kind, self.files[file].dentry())
        {
            let kind = &self.vfs.inodes[self.vfs.dentries[dentry].inode].kind;
            if let InodeKind::Proc(ProcNode::Process(task)) = *kind {
                let t = self.tasks.get(task).ok_or(Errno::ESRCH)?;
                return Ok(Pidfd {
                    pid: t.tid,
                    ns: self.pids.ns_of(t.tid),
                    group: t.group,
                    thread: None,
                });
            }
        }
        self.pidfd_of(file)
    }

    /// pidfd_getfd(2): a descriptor for what another process has open as `fd`; close-on-exec. Unlike
    /// Linux under yama's ptrace_scope 3, which `task/ptrace` tells, this is not refused.
    pub fn sys_pidfd_getfd(&mut self, call: &mut Call<'_>) -> SysResult {
        let (fd, flags) = (call.int(1), call.arg(2));
        if flags as u32 != 0 {
            return Err(Errno::EINVAL.into());
        }
        let pidfd = self.fdget(call, call.int(0))?;
        let pidfd = self.pidfd_of(pidfd)?;
        let task = match pidfd.thread {
            Some(thread) => Some(thread),
            None => self.groups.get(pidfd.group).map(|group| group.leader),
        };
        let task = task.filter(|t| self.tasks.get(*t).is_some()).ok_or(Errno::ESRCH)?;
        self.ptrace_may_access(call.task, task).map_err(|_| Errno::EPERM)?;
        let table = self.tasks[task].files.ok_or(Errno::ESRCH)?;
        let file = self.tables[table].get(fd)?;
        self.files[file].count += 1;
        Ok(self.install_fd(call.task, file, true)? as u64)
    }

    /// pidfd_poll(): readable when all of it is dead, with HUP once it was reaped.
    pub(super) fn pidfd_poll(&self, pidfd: Pidfd) -> PollBits {
        let zombie = |t: TaskId| self.tasks.get(t).map(|t| t.run == Run::Zombie);
        let dead = match (pidfd.thread, self.groups.get(pidfd.group)) {
            (Some(thread), _) => zombie(thread),
            (None, Some(_)) => Some(self.is_reapable(pidfd.group)),
            (None, None) => None,
        };
        match dead {
            None => PollBits::IN | PollBits::RDNORM | PollBits::HUP,
            Some(true) => PollBits::IN | PollBits::RDNORM,
            Some(false) => PollBits::NONE,
        }
    }

    /// pidfd_show_fdinfo(): its number in each namespace from `ns` down, 0 if it is not seen there;
    /// -1 once it was reaped.
    pub(crate) fn pidfd_show_fdinfo(&self, pidfd: Pidfd, ns: PidNs) -> String {
        let alive = self.pids.task(pidfd.pid).is_some_and(|t| self.tasks[t].group == pidfd.group);
        if !alive {
            return "Pid:\t-1\nNSpid:\t-1\n".into();
        }
        let all = match self.pids.pid_nr_ns(pidfd.pid, ns) {
            0 => vec![0],
            _ => self.pids.all_numbers(pidfd.pid, ns),
        };
        let words: Vec<String> = all.iter().map(u32::to_string).collect();
        format!("Pid:\t{}\nNSpid:\t{}\n", all[0], words.join("\t"))
    }

    /// What announces a change of that.
    pub(super) fn pidfd_events(pidfd: Pidfd) -> Vec<Event> {
        vec![Event::Group(pidfd.group)]
    }
}
