//! nsfs: the files that stand for namespaces, reached by /proc/PID/ns (namespaces(7)). Whoever holds
//! one open may enter its namespace with setns(2); ioctl(2) asks what it is (ioctl_nsfs(2)).
//! Neighbours: `task/nsproxy` (what namespaces are), `procfs/link` (the way here).

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::stat::{S_IFREG, Stat};
use crate::fs::anon::Anon;
use crate::fs::anon::pidfd::Pidfd;
use crate::fs::file::FileId;
use crate::fs::inode::MAY_WRITE;
use crate::fs::mount::dev;
use crate::fs::open_flags::OpenFlags;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::task::nsproxy::{Namespace, NsKind};
use crate::task::user_namespace::UserNs;

const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;

/// The first of PIDFD_GET_*_NAMESPACE.
const PIDFD_GET_CGROUP_NAMESPACE: u32 = 0xff01;

/// The links in /proc/PID/ns.
pub const LINKS: [(&str, NsKind); 10] = [
    ("cgroup", NsKind::Cgroup),
    ("ipc", NsKind::Ipc),
    ("mnt", NsKind::Mnt),
    ("net", NsKind::Net),
    ("pid", NsKind::Pid),
    ("pid_for_children", NsKind::Pid),
    ("time", NsKind::Time),
    ("time_for_children", NsKind::Time),
    ("user", NsKind::User),
    ("uts", NsKind::Uts),
];

impl Kernel {
    /// ns_get_path(): what the link number `i` of [`LINKS`] of `task` leads to. None if it is dead,
    /// or if its next child would be the first of its namespace.
    pub(crate) fn ns_link(&self, task: TaskId, i: usize) -> Option<Namespace> {
        let (name, kind) = LINKS[i];
        if self.is_zombie(task) {
            return None;
        }
        let proxy = self.tasks[task].nsproxy;
        match name {
            "pid_for_children" => {
                let ns = proxy.pid_for_children;
                self.pids.has_child_reaper(ns).then_some(Namespace::Pid(ns))
            }
            "time_for_children" => Some(Namespace::Time(proxy.time_for_children)),
            _ => Some(self.namespace_of(task, kind)),
        }
    }

    /// pidfd_ioctl(): a descriptor of a namespace that the process has. ESRCH for the dead, EACCES for
    /// who may not look into it.
    pub(crate) fn pidfd_ioctl(&mut self, call: &mut Call<'_>, pidfd: Pidfd, cmd: u32) -> SysResult {
        // Their numbers are in the order of the links.
        let link = cmd.checked_sub(PIDFD_GET_CGROUP_NAMESPACE).map(|i| i as usize);
        let Some(link) = link.filter(|i| *i < LINKS.len()) else {
            return self.no_ioctl(call, cmd);
        };
        let leader = self.groups.get(pidfd.group).map(|group| group.leader);
        let target = pidfd.thread.or(leader).filter(|t| self.tasks.get(*t).is_some());
        let target = target.ok_or(Errno::ESRCH)?;
        if call.arg(2) != 0 {
            return Err(Errno::EINVAL.into());
        }
        if self.is_zombie(target) {
            return Err(Errno::ESRCH.into());
        }
        self.ptrace_may_access(call.task, target)?;
        let ns = match LINKS[link] {
            ("pid_for_children", _) => Namespace::Pid(self.tasks[target].nsproxy.pid_for_children),
            _ => self.ns_link(target, link).ok_or(Errno::ESRCH)?,
        };
        self.anon_getfd(call.task, Anon::Namespace(ns), OFlags::RDONLY, true)
    }

    /// ns_get_name(): `pid:[4026531836]`.
    pub(crate) fn ns_name(&self, ns: Namespace) -> String {
        format!("{}:[{}]", ns.kind().name(), self.ns_inum(ns))
    }

    /// What stat(2) tells of it.
    pub(crate) fn ns_stat(&self, ns: Namespace) -> Stat {
        let boot = self.vfs.current_time(crate::time::Instant::ZERO);
        Stat {
            dev: (0, dev::NSFS),
            ino: self.ns_inum(ns).into(),
            mode: S_IFREG | 0o444,
            nlink: 1,
            blksize: 4096,
            atime: boot,
            mtime: boot,
            ctime: boot,
            ..Stat::default()
        }
    }

    /// A description of a namespace. EACCES for who would write to it.
    pub(crate) fn ns_open(
        &mut self,
        task: TaskId,
        ns: Namespace,
        op: OpenFlags,
    ) -> Result<FileId, Errno> {
        if op.acc_mode & MAY_WRITE != 0 && !self.tasks[task].cred.capable(Cap::DacOverride) {
            return Err(Errno::EACCES);
        }
        let flags = OFlags(op.flags & !crate::fs::open_flags::ONLY_AT_OPEN);
        Ok(self.anon_getfile(Anon::Namespace(ns), flags))
    }

    /// ns_ioctl(): EPERM for the parent of the first of its kind, EINVAL where there are no parents.
    pub(crate) fn ns_ioctl(&mut self, call: &mut Call<'_>, ns: Namespace, cmd: u32) -> SysResult {
        let found = match (cmd, ns) {
            (NS_GET_NSTYPE, _) => return Ok(ns.kind().flag().into()),
            (NS_GET_OWNER_UID, Namespace::User(ns)) => {
                let owner = self.namespaces.user.get(ns).owner;
                call.write_u32(call.ptr(2), self.uid_seen_by(call.task, owner))?;
                return Ok(0);
            }
            (NS_GET_USERNS | NS_GET_PARENT, Namespace::User(UserNs::INIT)) => {
                return Err(Errno::EPERM.into());
            }
            (NS_GET_USERNS, _) | (NS_GET_PARENT, Namespace::User(_)) => {
                // ns_get_owner(): one's own or one below.
                let owner = self.owner_of(ns);
                if !self.namespaces.user.is_within(owner, self.tasks[call.task].cred.user_ns) {
                    return Err(Errno::EPERM.into());
                }
                Namespace::User(owner)
            }
            (NS_GET_PARENT, Namespace::Pid(ns)) => {
                let own = self.task_active_pid_ns(call.task);
                let parent = self.pids.parent_of(ns).ok_or(Errno::EPERM)?;
                if !self.pids.is_within(parent, own) {
                    return Err(Errno::EPERM.into());
                }
                Namespace::Pid(parent)
            }
            (NS_GET_OWNER_UID | NS_GET_PARENT, _) => return Err(Errno::EINVAL.into()),
            (_, _) => return self.no_ioctl(call, cmd),
        };
        self.anon_getfd(call.task, Anon::Namespace(found), OFlags::RDONLY, true)
    }
}
