//! setns(2): into namespaces that others are in, by their files or by a pidfd.
//! Neighbours: `nsproxy` (what namespaces are), `user_namespace`, `fs/nsfs` (the files).

use crate::abi::Errno;
use crate::fs::anon::Anon;
use crate::fs::file::FileKind;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::nsproxy::{CLONE_NAMESPACES, INIT_INUMS, Namespace, NsKind, Nsproxy};
use crate::task::user_namespace::UserNs;
use crate::task::{Cred, TaskId};

/// struct nsset: what the caller has once all of them are entered.
struct Nsset {
    proxy: Nsproxy,
    cred: Cred,
}

impl Kernel {
    /// setns(2): into the namespace of a file of /proc/PID/ns, or into those of a pidfd's process
    /// that `nstype` names. A pid namespace is where children are born from now on.
    pub fn sys_setns(&mut self, call: &mut Call<'_>) -> SysResult {
        let (task, nstype) = (call.task, call.int(1) as u32);
        let file = self.fdget(call, call.int(0))?;
        let FileKind::Anon(id) = self.files[file].kind else { return Err(Errno::EINVAL.into()) };
        let wanted: Vec<Namespace> = match *self.anon.of(id) {
            Anon::Namespace(ns) => {
                if nstype != 0 && nstype != ns.kind().flag() {
                    return Err(Errno::EINVAL.into());
                }
                vec![ns]
            }
            Anon::Pidfd(pidfd) => {
                if nstype == 0 || nstype & !CLONE_NAMESPACES != 0 {
                    return Err(Errno::EINVAL.into());
                }
                let leader = self.groups.get(pidfd.group).map(|group| group.leader);
                let target = pidfd.thread.or(leader);
                let target = target.filter(|t| !self.is_zombie(*t)).ok_or(Errno::ESRCH)?;
                self.ptrace_may_access(task, target).map_err(|_| Errno::EPERM)?;
                // That of users first: the others are entered with what one can do there.
                let kinds = [NsKind::User].into_iter().chain(
                    INIT_INUMS.iter().map(|(kind, _)| *kind).filter(|kind| *kind != NsKind::User),
                );
                let kinds = kinds.filter(|kind| nstype & kind.flag() != 0);
                kinds.map(|kind| self.namespace_of(target, kind)).collect()
            }
            Anon::Eventfd(_)
            | Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Inotify(_)
            | Anon::Mqueue(_) => return Err(Errno::EINVAL.into()),
        };
        let mut set =
            Nsset { proxy: self.tasks[task].nsproxy, cred: self.tasks[task].cred.clone() };
        for ns in &wanted {
            self.install_namespace(task, &mut set, *ns)?;
        }
        if wanted.contains(&Namespace::Ipc(set.proxy.ipc)) {
            self.exit_sem(task);
        }
        self.tasks[task].nsproxy = set.proxy;
        if wanted.contains(&Namespace::Time(set.proxy.time)) {
            self.namespaces.time.freeze(set.proxy.time);
        }
        if wanted.contains(&Namespace::Mnt(set.proxy.mnt)) {
            self.enter_mnt_ns(task, set.proxy.mnt);
        }
        self.release_namespaces();
        self.commit_user_ns(task, set.cred);
        Ok(0)
    }

    /// proc_ns_operations.install: EPERM without CAP_SYS_ADMIN, over what owns the namespace and where
    /// one is by then; EINVAL for a pid namespace that is not one's own or below.
    fn install_namespace(&self, task: TaskId, set: &mut Nsset, ns: Namespace) -> Result<(), Errno> {
        let cred = &self.tasks[task].cred;
        if let Namespace::Time(_) = ns
            && !self.current_is_single_threaded(task)
        {
            return Err(Errno::EUSERS);
        }
        if let Namespace::User(ns) = ns {
            return self.userns_install(task, set, ns);
        }
        let over = self.namespaces.user.caps_over(cred, self.owner_of(ns));
        if !over.has(Cap::SysAdmin) || !set.cred.has_cap(Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        match ns {
            Namespace::User(_) => {}
            Namespace::Pid(ns) => {
                if !self.pids.is_within(ns, self.task_active_pid_ns(task)) {
                    return Err(Errno::EINVAL);
                }
                set.proxy.pid_for_children = ns;
            }
            Namespace::Uts(ns) => set.proxy.uts = ns,
            Namespace::Net(ns) => set.proxy.net = ns,
            Namespace::Ipc(ns) => set.proxy.ipc = ns,
            Namespace::Time(ns) => {
                (set.proxy.time, set.proxy.time_for_children) = (ns, ns);
            }
            Namespace::Mnt(ns) => {
                if !set.cred.has_cap(Cap::SysChroot) {
                    return Err(Errno::EPERM);
                }
                self.may_enter_mnt_ns(task)?;
                set.proxy.mnt = ns;
            }
            Namespace::Cgroup(ns) => set.proxy.cgroup = ns,
        }
        Ok(())
    }

    /// current_is_single_threaded(): does nobody else run in its memory?
    fn current_is_single_threaded(&self, task: TaskId) -> bool {
        let users = self.tasks[task].mm.map_or(1, |mm| self.mms[mm].users);
        self.groups[self.tasks[task].group].tasks.len() == 1 && users == 1
    }

    /// userns_install(): EINVAL for one's own (nobody gains capabilities by entering where he is), for
    /// one of several threads, and for who shares his directories.
    fn userns_install(&self, task: TaskId, set: &mut Nsset, ns: UserNs) -> Result<(), Errno> {
        let t = &self.tasks[task];
        let shares_fs = t.fs.is_some_and(|fs| self.fs_structs[fs].users != 1);
        if ns == t.cred.user_ns || self.groups[t.group].tasks.len() > 1 || shares_fs {
            return Err(Errno::EINVAL);
        }
        if !self.ns_capable(task, ns, Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        set.cred.set_user_ns(ns);
        Ok(())
    }

    /// commit_creds() of who may be in another user namespace: who can do more than before is no
    /// longer dumpable.
    pub(super) fn commit_user_ns(&mut self, task: TaskId, cred: Cred) {
        let more = !self.namespaces.user.cap_issubset(&self.tasks[task].cred, &cred);
        self.tasks[task].cred = cred;
        self.note_changed_cred(task, more);
    }
}
