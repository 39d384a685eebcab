//! fork(2), vfork(2), clone(2), clone3(2): one function, `copy_process`, that copies or shares piece
//! by piece what the flags say, each step with its fact. Rules S-39, F-1, F-2, X-16, X-25.
//! Neighbours: `clone_args` (what is asked for), `exec`, `exit`, `fs/fdtable` (dup_fd), `mm` (dup_mm).

use crate::abi::Errno;
use crate::fact::TaskFact;
use crate::fs::fdtable::TableId;
use crate::kernel::Kernel;
use crate::mm::{MmId, TASK_SIZE};
use crate::platform::{GuestId, MapChange, Registers, UserPtr};
use crate::random::{Purpose, Stream};
use crate::syscall::{Call, Progress, Restart, Stop, SysResult, Wait};
use crate::task::capability::Cap;
use crate::task::clone_args::CloneArgs;
use crate::task::init::blank_task;
use crate::task::nsproxy::Nsproxy;
use crate::task::pid::NewPid;
use crate::task::pid_namespace::PidNs;
use crate::task::rlimit::RLIMIT_NPROC;
use crate::task::signal::AltStack;
use crate::task::{FsId, GroupId, Pid, SigHandId, Task, TaskId, ThreadGroup};
use crate::wait_queue::Event;
use linux_raw_sys::general as lx;

/// What can fail of a birth, done before anything of the child is visible.
struct Born {
    pid: NewPid,
    guest: GuestId,
    mm: MmId,
}

impl Kernel {
    /// fork(2).
    pub fn sys_fork(&mut self, call: &mut Call<'_>) -> SysResult {
        self.kernel_clone(call, CloneArgs::fork())
    }

    /// vfork(2).
    pub fn sys_vfork(&mut self, call: &mut Call<'_>) -> SysResult {
        self.kernel_clone(call, CloneArgs::vfork())
    }

    /// clone(2).
    pub fn sys_clone(&mut self, call: &mut Call<'_>) -> SysResult {
        let args = CloneArgs::clone(&call.flight.args)?;
        self.kernel_clone(call, args)
    }

    /// clone3(2).
    pub fn sys_clone3(&mut self, call: &mut Call<'_>) -> SysResult {
        let len = call.arg(1) as usize;
        if len > 4096 {
            return Err(Errno::E2BIG.into());
        }
        let bytes = call.read_bytes(call.ptr(0), len)?;
        let args = CloneArgs::clone3(&bytes)?;
        self.kernel_clone(call, args)
    }

    /// kernel_clone(): the child, then for vfork the wait until it lets go of the memory.
    fn kernel_clone(&mut self, call: &mut Call<'_>, args: CloneArgs) -> SysResult {
        if let Progress::Vfork { child, pid } = call.flight.progress {
            return self.wait_for_vfork_done(call.task, child, pid);
        }
        if self.signal_pending(call.task) {
            // The signal first, then the fork again (rule S-39).
            return Err(Wait::until(None).with_restart(Restart::NoIntr).into());
        }
        let (child, pid) = self.copy_process(call, &args)?;
        // Its number as the caller sees it.
        let pid = Pid(self.pid_vnr(call.task, pid));
        if args.has(lx::CLONE_PARENT_SETTID) {
            // Linux ignores a bad address here.
            let _ = call.write_u32(UserPtr(args.parent_tid), pid.0);
        }
        self.wake_up_new_task(call.task, child, args.has(lx::CLONE_THREAD));
        if args.has(lx::CLONE_VFORK) {
            self.tasks[child].vfork_parent = Some(call.task);
            call.flight.progress = Progress::Vfork { child, pid };
            self.cgroup_enter_frozen(call.task);
            return self.wait_for_vfork_done(call.task, child, pid);
        }
        Ok(u64::from(pid.0))
    }

    /// wait_for_vfork_done(): killable only (rule X-16).
    fn wait_for_vfork_done(&mut self, task: TaskId, child: TaskId, pid: Pid) -> SysResult {
        let borrowed = self.tasks.get(child).is_some_and(|c| c.vfork_parent == Some(task));
        if borrowed {
            return Err(Wait { killable: true, ..Wait::on(Event::Vfork(task)) }.into());
        }
        self.cgroup_leave_frozen(task, false);
        Ok(u64::from(pid.0))
    }

    /// copy_process(): a new task that is not running yet.
    fn copy_process(
        &mut self,
        call: &mut Call<'_>,
        args: &CloneArgs,
    ) -> Result<(TaskId, Pid), Stop> {
        let task = call.task;
        self.tell(Some(task), TaskFact::CopyProcess { flags: args.flags }.into());
        self.may_clone(task, args)?;
        let pidfd = self.pidfd_prepare(call, args)?;
        let newborn = self.create_new_namespaces(task, args.flags);
        let newborn = newborn.and_then(|(nsproxy, cred)| {
            let cgroup = self.cgroup_can_fork(task, args)?;
            Ok((nsproxy, cred, cgroup, self.copy_mm(call, args, nsproxy)?))
        });
        let (nsproxy, cred, cgroup, born) = newborn.inspect_err(|_| {
            self.release_namespaces();
            if let Some(fd) = pidfd {
                self.table_mut(task).put_unused_fd(fd);
            }
        })?;
        let pid = born.pid.pid;
        let mut child = self.dup_task_struct(task, args);
        child.files = self.copy_files(task, args);
        child.fs = self.copy_fs(task, args);
        let own = self.tasks[task].nsproxy.mnt;
        if let Some(fs) = child.fs.filter(|_| own != nsproxy.mnt) {
            self.fs_struct_to_ns(fs, own, nsproxy.mnt);
        }
        child.undo_list = self.copy_semundo(task, args.has(lx::CLONE_SYSVSEM));
        let sighand = self.copy_sighand(task, args);
        child.mm = Some(born.mm);
        child.guest = Some(born.guest);
        child.regs = copy_thread(&self.tasks[task].regs, args);
        child.tid = pid;
        (child.nsproxy, child.cred) = (nsproxy, cred);
        self.pids.publish_names(&born.pid);
        let child = self.tasks.insert(child);
        if !args.has(lx::CLONE_VM) {
            self.timens_on_fork(child);
        }
        match sighand {
            Some(sighand) => self.copy_signal(task, child, sighand, args),
            None => self.join_group(task, child),
        }
        self.pids.attach(pid, child);
        self.cgroup_post_fork(child, cgroup);
        if args.has(lx::CLONE_NEWCGROUP) {
            self.set_cgroup_ns_root(nsproxy.cgroup, cgroup);
        }
        self.tell(Some(task), TaskFact::AllocPid { pid }.into());
        if args.has(lx::CLONE_CHILD_SETTID) {
            // schedule_tail() of the child; a bad address is ignored there too.
            let tid = self.task_pid_vnr(child).to_le_bytes();
            call.user.write_user(born.guest, UserPtr(args.child_tid), &tid);
        }
        if let Some(fd) = pidfd {
            let file = self.pidfd_file(child, args.has(lx::CLONE_THREAD));
            self.table_mut(task).fd_install(fd, file);
        }
        Ok((child, pid))
    }

    /// pidfd_prepare() for CLONE_PIDFD: a reserved descriptor, told to the caller before anything is
    /// born, since that can fail.
    fn pidfd_prepare(
        &mut self,
        call: &mut Call<'_>,
        args: &CloneArgs,
    ) -> Result<Option<i32>, Errno> {
        if !args.has(lx::CLONE_PIDFD) {
            return Ok(None);
        }
        let end = self.rlimit_nofile(call.task);
        let fd = self.table_mut(call.task).alloc_fd(0, end, true)?;
        if let Err(errno) = call.write_u32(UserPtr(args.pidfd), fd as u32) {
            self.table_mut(call.task).put_unused_fd(fd);
            return Err(errno);
        }
        Ok(Some(fd))
    }

    /// All that can be refused before anything is made.
    fn may_clone(&mut self, task: TaskId, args: &CloneArgs) -> Result<(), Errno> {
        args.check()?;
        let group = self.tasks[task].group;
        if args.has(lx::CLONE_PARENT) && self.groups[group].unkillable {
            return Err(Errno::EINVAL);
        }
        if args.has(lx::CLONE_THREAD)
            && self.task_active_pid_ns(task) != self.tasks[task].nsproxy.pid_for_children
        {
            return Err(Errno::EINVAL);
        }
        if args.has(lx::CLONE_SETTLS) && args.tls >= TASK_SIZE {
            return Err(Errno::EPERM);
        }
        if self.tasks.len() >= self.config.threads_max {
            return Err(Errno::EAGAIN);
        }
        if let Some(table) = self.tasks[task].files.filter(|_| !args.has(lx::CLONE_FILES)) {
            self.may_dup_fd(table)?;
        }
        if self.tasks[task].sched.may_not_fork() {
            return Err(Errno::EAGAIN);
        }
        let uid = self.tasks[task].cred.uid;
        let mine = self.tasks.iter().filter(|(_, t)| t.cred.uid == uid).count() as u64;
        let cred = &self.tasks[task].cred;
        let privileged = uid == 0 || cred.capable(Cap::SysResource) || cred.capable(Cap::SysAdmin);
        if mine >= self.rlimit(task, RLIMIT_NPROC) && !privileged {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// alloc_pid(): the next number in each namespace, or those that clone3 wishes for. EPERM for
    /// wishes without CAP_CHECKPOINT_RESTORE.
    fn alloc_pid(
        &mut self,
        call: &mut Call<'_>,
        args: &CloneArgs,
        ns: PidNs,
    ) -> Result<NewPid, Errno> {
        let (set_tid, size) = args.set_tid;
        let bytes = call.read_bytes(UserPtr(set_tid), 4 * size as usize)?;
        let words = bytes.chunks_exact(4);
        let wishes: Vec<i32> =
            words.map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let users = &self.namespaces.user;
        let caps = users.caps_over(&self.tasks[call.task].cred, self.pids.owner_of(ns));
        if !wishes.is_empty() && !caps.checkpoint_restore() {
            return Err(match wishes.len() as u32 > self.pids.level(ns) + 1 || wishes[0] < 1 {
                true => Errno::EINVAL,
                false => Errno::EPERM,
            });
        }
        self.pids.alloc_pid_in(ns, &wishes)
    }

    /// alloc_pid() and copy_mm() with its native side: memory shared or copied, the guest made.
    fn copy_mm(
        &mut self,
        call: &mut Call<'_>,
        args: &CloneArgs,
        nsproxy: Nsproxy,
    ) -> Result<Born, Errno> {
        let at = self.space(call.task);
        let pid = self.alloc_pid(call, args, nsproxy.pid_for_children)?;
        if args.has(lx::CLONE_VM) {
            let guest = call.user.fork(at.guest, true)?;
            self.mms[at.mm].users += 1;
            return Ok(Born { pid, guest, mm: at.mm });
        }
        let (mm, changes): (MmId, Vec<MapChange>) = self.dup_mm(call.task, at.mm, call.user)?;
        let native = call.user.fork(at.guest, false).and_then(|guest| {
            match call.user.change_map(guest, &changes) {
                Ok(()) => Ok(guest),
                Err((_, errno)) => {
                    call.user.release(guest);
                    Err(errno)
                }
            }
        });
        match native {
            Ok(guest) => Ok(Born { pid, guest, mm }),
            Err(errno) => {
                self.mmput(call.task, mm, call.user);
                Err(errno)
            }
        }
    }

    /// dup_task_struct() and what copy_process() resets: pending signals, timers, times, locks and
    /// lists of the parent are not the child's (rule S-39).
    fn dup_task_struct(&mut self, task: TaskId, args: &CloneArgs) -> Task {
        let comm = self.tasks[task].comm.clone();
        self.tell(Some(task), TaskFact::DupTaskStruct { comm }.into());
        let parent = &self.tasks[task];
        let at = |flag, address| if args.has(flag) { UserPtr(address) } else { UserPtr::NULL };
        let keeps_altstack = !args.has(lx::CLONE_VM) || args.has(lx::CLONE_VFORK);
        Task {
            group: parent.group,
            comm: parent.comm.clone(),
            set_child_tid: at(lx::CLONE_CHILD_SETTID, args.child_tid),
            clear_child_tid: at(lx::CLONE_CHILD_CLEARTID, args.child_tid),
            rseq: if args.has(lx::CLONE_VM) { None } else { parent.rseq },
            blocked: parent.blocked,
            sas_ss: if keeps_altstack { parent.sas_ss } else { AltStack::default() },
            cred: parent.cred.clone(),
            no_new_privs: parent.no_new_privs,
            personality: parent.personality,
            timer_slack: parent.timer_slack,
            default_timer_slack: parent.timer_slack,
            sched: parent.sched.of_child(),
            start_time: self.now,
            ..blank_task()
        }
    }

    /// copy_files(): shared with CLONE_FILES, else copied (rules F-1, F-2).
    fn copy_files(&mut self, task: TaskId, args: &CloneArgs) -> Option<TableId> {
        let table = self.tasks[task].files?;
        if args.has(lx::CLONE_FILES) {
            self.tables[table].count += 1;
            return Some(table);
        }
        Some(self.dup_fd(table))
    }

    /// copy_fs(): shared with CLONE_FS, else copied.
    fn copy_fs(&mut self, task: TaskId, args: &CloneArgs) -> Option<FsId> {
        let fs = self.tasks[task].fs?;
        if args.has(lx::CLONE_FS) {
            self.fs_structs[fs].users += 1;
            return Some(fs);
        }
        Some(self.copy_fs_struct(fs))
    }

    /// copy_sighand(): shared with CLONE_SIGHAND, else copied; None for a thread, which has its
    /// group's.
    fn copy_sighand(&mut self, task: TaskId, args: &CloneArgs) -> Option<SigHandId> {
        let sighand = self.groups[self.tasks[task].group].sighand;
        if args.has(lx::CLONE_THREAD) {
            return None;
        }
        if args.has(lx::CLONE_SIGHAND) {
            self.sighands[sighand].users += 1;
            return Some(sighand);
        }
        let mut copy = self.sighands[sighand].clone();
        copy.users = 1;
        if args.clears_sighand() {
            copy.flush_signal_handlers();
        }
        Some(self.sighands.insert(copy))
    }

    /// copy_signal(): the new process, in its family, process group and session.
    fn copy_signal(&mut self, task: TaskId, child: TaskId, sighand: SigHandId, args: &CloneArgs) {
        let group = self.tasks[task].group;
        let pid = self.tasks[child].tid;
        let g = &self.groups[group];
        let (pgrp, session, rlimits) = (g.pgrp, g.session, g.rlimits.clone());
        let tty = g.tty;
        let sibling = args.has(lx::CLONE_PARENT);
        let (parent, exec_id, exit_signal) = if sibling {
            (g.parent, g.parent_exec_id, g.exit_signal)
        } else {
            (Some(group), g.self_exec_id, args.exit_signal)
        };
        let real_parent = if sibling { self.tasks[task].real_parent } else { Some(task) };
        let self_exec_id = g.self_exec_id;
        let config = &self.config;
        let owner = self.pids.ever(pid);
        let random = Stream::new(config.seed, config.number, owner, Purpose::Getrandom);
        let born = self.groups.insert(ThreadGroup {
            tgid: pid,
            parent,
            sighand,
            exit_signal,
            pgrp,
            session,
            tty,
            rlimits,
            self_exec_id,
            parent_exec_id: exec_id,
            random,
            ..ThreadGroup::blank(child)
        });
        self.pids.keep(pgrp);
        self.pids.keep(session);
        self.tasks[child].group = born;
        if self.pids.is_child_reaper(pid) {
            self.pids.set_child_reaper(pid, born);
            self.groups[born].unkillable = true;
        }
        self.tasks[child].real_parent = real_parent;
        if let Some(parent) = parent {
            let parent = self.groups[parent].leader;
            self.tasks[parent].children.push(born);
        }
    }

    /// CLONE_THREAD: one more in the same group.
    fn join_group(&mut self, task: TaskId, child: TaskId) {
        let group: GroupId = self.tasks[task].group;
        self.tasks[child].real_parent = self.tasks[task].real_parent;
        self.groups[group].tasks.push(child);
    }

    /// wake_up_new_task(): it may run; the parent goes on first.
    fn wake_up_new_task(&mut self, task: TaskId, child: TaskId, thread: bool) {
        let pid = self.tasks[child].tid;
        self.tell(Some(task), TaskFact::WakeUpNewTask { pid, thread }.into());
        self.run_queue.push(child);
    }
}

/// copy_thread(): the child returns from the same call with 0, on its own stack and TLS if it was
/// given any.
fn copy_thread(parent: &Registers, args: &CloneArgs) -> Registers {
    let mut regs = *parent;
    regs.rax = 0;
    regs.orig_rax = u64::MAX;
    if args.stack != 0 {
        regs.rsp = args.stack;
    }
    if args.has(lx::CLONE_SETTLS) {
        regs.fs_base = args.tls;
    }
    regs
}
