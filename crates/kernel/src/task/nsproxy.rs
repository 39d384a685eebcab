//! Which namespaces a task has (namespaces(7)): `nsproxy`, unshare(2) and clone(2) of namespaces,
//! and who owns them. Those of processes are in `pid_namespace`, those of users in `user_namespace`,
//! those of clocks in `time_namespace`, those of mounts in `fs/mount/namespace`, those of IPC in
//! `ipc/namespace`; those of names (UTS), networks and control groups here. Neighbours: `setns`,
//! `unshare`, `fork`, `fs/nsfs` (the files that stand for them).

use crate::abi::Errno;
use crate::fs::cgroup::CgroupId;
use crate::fs::mount::namespace::MntNs;
use crate::ipc::namespace::IpcNs;
use crate::kernel::Kernel;
use crate::task::capability::Cap;
use crate::task::pid_namespace::PidNs;
use crate::task::time_namespace::{TimeNamespaces, TimeNs};
use crate::task::user_namespace::{UserNamespaces, UserNs};
use crate::task::{Cred, TaskId};
use linux_raw_sys::general as lx;

/// CLONE_NEWTIME.
pub const CLONE_NEWTIME: u32 = 0x80;
/// What makes namespaces.
pub const CLONE_NAMESPACES: u32 = lx::CLONE_NEWNS
    | lx::CLONE_NEWCGROUP
    | lx::CLONE_NEWUTS
    | lx::CLONE_NEWIPC
    | lx::CLONE_NEWUSER
    | lx::CLONE_NEWPID
    | lx::CLONE_NEWNET
    | CLONE_NEWTIME;
/// PROC_*_INIT_INO and those after it: the files of the first namespaces.
pub(super) const INIT_INUMS: [(NsKind, u32); 8] = [
    (NsKind::Ipc, 0xefff_ffff),
    (NsKind::Uts, 0xefff_fffe),
    (NsKind::User, 0xefff_fffd),
    (NsKind::Pid, 0xefff_fffc),
    (NsKind::Cgroup, 0xefff_fffb),
    (NsKind::Time, 0xefff_fffa),
    (NsKind::Net, 0xefff_fff9),
    (NsKind::Mnt, 0xefff_fff8),
];
/// Where the numbers of later ones begin.
const FIRST_INUM: u32 = 0xf000_0000;

/// A kind of namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum NsKind {
    Cgroup,
    Ipc,
    Mnt,
    Net,
    Pid,
    Time,
    User,
    Uts,
}

impl NsKind {
    /// Its name before the number of its file.
    pub fn name(self) -> &'static str {
        match self {
            NsKind::Cgroup => "cgroup",
            NsKind::Ipc => "ipc",
            NsKind::Mnt => "mnt",
            NsKind::Net => "net",
            NsKind::Pid => "pid",
            NsKind::Time => "time",
            NsKind::User => "user",
            NsKind::Uts => "uts",
        }
    }

    /// The flag that makes one.
    pub fn flag(self) -> u32 {
        match self {
            NsKind::Cgroup => lx::CLONE_NEWCGROUP,
            NsKind::Ipc => lx::CLONE_NEWIPC,
            NsKind::Mnt => lx::CLONE_NEWNS,
            NsKind::Net => lx::CLONE_NEWNET,
            NsKind::Pid => lx::CLONE_NEWPID,
            NsKind::Time => CLONE_NEWTIME,
            NsKind::User => lx::CLONE_NEWUSER,
            NsKind::Uts => lx::CLONE_NEWUTS,
        }
    }
}

/// One namespace of any kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Namespace {
    /// Of processes.
    Pid(PidNs),
    /// Of the host's names.
    Uts(UtsNs),
    /// Of networks.
    Net(NetNs),
    /// Of mounts.
    Mnt(MntNs),
    /// Of users.
    User(UserNs),
    /// Of clocks.
    Time(TimeNs),
    /// Of System V's objects and POSIX message queues.
    Ipc(IpcNs),
    /// Of control groups.
    Cgroup(CgroupNs),
}

impl Namespace {
    /// What kind it is.
    pub fn kind(self) -> NsKind {
        match self {
            Namespace::Pid(_) => NsKind::Pid,
            Namespace::Uts(_) => NsKind::Uts,
            Namespace::Net(_) => NsKind::Net,
            Namespace::Mnt(_) => NsKind::Mnt,
            Namespace::User(_) => NsKind::User,
            Namespace::Time(_) => NsKind::Time,
            Namespace::Ipc(_) => NsKind::Ipc,
            Namespace::Cgroup(_) => NsKind::Cgroup,
        }
    }
}

/// Names a UTS namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct UtsNs(u32);

/// Names a network namespace. Those below the host's have a loopback that is down, and no
/// interface; internet sockets cannot be made in them (loudly).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct NetNs(u32);

impl NetNs {
    /// The one that the host's interface is in.
    pub const INIT: NetNs = NetNs(0);
}

/// Names a cgroup namespace (cgroup_namespaces(7)): which control group is the root that one sees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct CgroupNs(u32);

/// A cgroup namespace below the host's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CgroupNamespace {
    root: CgroupId,
    owner: UserNs,
    inum: u32,
}

/// net.ipv4.conf.*.tag of one network namespace: all, default, lo. The number means nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetConf {
    /// By their place above.
    pub tags: [i32; 3],
    owner: UserNs,
    inum: u32,
}

/// The names of one UTS namespace below the host's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UtsNamespace {
    hostname: String,
    domainname: String,
    owner: UserNs,
    inum: u32,
}

/// The namespaces of all kinds but those of processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespaces {
    /// setdomainname(2) of the host's own.
    domainname: String,
    uts: Vec<UtsNamespace>,
    /// The host's own network first.
    net: Vec<NetConf>,
    /// User namespaces.
    pub user: UserNamespaces,
    /// Time namespaces.
    pub time: TimeNamespaces,
    cgroup: Vec<CgroupNamespace>,
    made: u32,
}

impl Namespaces {
    /// Is this control group the root of a namespace?
    pub(crate) fn is_cgroup_root(&self, cgroup: CgroupId) -> bool {
        self.cgroup.iter().any(|ns| ns.root == cgroup)
    }
}

impl Default for Namespaces {
    fn default() -> Namespaces {
        Namespaces {
            domainname: "(none)".into(),
            uts: Vec::new(),
            net: vec![NetConf::default()],
            user: UserNamespaces::default(),
            time: TimeNamespaces::default(),
            cgroup: Vec::new(),
            made: 0,
        }
    }
}

/// Which namespaces a task has besides that of its own number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Nsproxy {
    /// Where its children are born.
    pub pid_for_children: PidNs,
    /// Where it gets its host's name.
    pub uts: UtsNs,
    /// Which network its sockets are in.
    pub net: NetNs,
    /// Which tree of mounts it sees.
    pub mnt: MntNs,
    /// Where it finds System V's objects and POSIX message queues.
    pub ipc: IpcNs,
    /// Which control group is the root that it sees.
    pub cgroup: CgroupNs,
    /// What its clocks show.
    pub time: TimeNs,
    /// What its children's clocks are to show.
    pub time_for_children: TimeNs,
}

impl Kernel {
    /// put_nsproxy(): somebody left namespaces, or never came into new ones.
    pub(crate) fn release_namespaces(&mut self) {
        self.release_mnt_namespaces();
        self.release_ipc_namespaces();
    }

    /// copy_namespaces() and create_new_namespaces(): what `task`, or its child, has after `flags`,
    /// and the credentials that it has then: what is new belongs to their user namespace. EPERM
    /// without CAP_SYS_ADMIN there.
    pub(crate) fn create_new_namespaces(
        &mut self,
        task: TaskId,
        flags: u64,
    ) -> Result<(Nsproxy, Cred), Errno> {
        let flags = flags as u32 & CLONE_NAMESPACES;
        let (mut proxy, mut cred) = (self.tasks[task].nsproxy, self.tasks[task].cred.clone());
        if flags == 0 {
            return Ok((proxy, cred));
        }
        if flags & lx::CLONE_NEWUSER != 0 {
            self.create_user_ns(task, &mut cred)?;
        }
        let owner = cred.user_ns;
        if flags & !lx::CLONE_NEWUSER != 0 && !cred.has_cap(Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        if flags & lx::CLONE_NEWUTS != 0 {
            let (hostname, domainname) = self.utsname(task);
            let inum = self.new_inum();
            self.namespaces.uts.push(UtsNamespace { hostname, domainname, owner, inum });
            proxy.uts = UtsNs(self.namespaces.uts.len() as u32);
        }
        if flags & lx::CLONE_NEWNET != 0 {
            let inum = self.new_inum();
            // `all` and `default` are as the host's are now, the loopback as `default`.
            let [all, default, _] = self.namespaces.net[0].tags;
            self.namespaces.net.push(NetConf { tags: [all, default, default], owner, inum });
            proxy.net = NetNs(self.namespaces.net.len() as u32 - 1);
        }
        if flags & lx::CLONE_NEWPID != 0 {
            if self.task_active_pid_ns(task) != proxy.pid_for_children {
                return Err(Errno::EINVAL);
            }
            let inum = self.new_inum();
            let parent = proxy.pid_for_children;
            proxy.pid_for_children = self.pids.create_pid_namespace(parent, owner, inum)?;
        }
        if flags & lx::CLONE_NEWNS != 0 {
            let inum = self.new_inum();
            proxy.mnt = self.copy_mnt_ns(proxy.mnt, owner, inum)?;
        }
        if flags & lx::CLONE_NEWCGROUP != 0 {
            let inum = self.new_inum();
            let root = self.tasks[task].cgroup;
            self.namespaces.cgroup.push(CgroupNamespace { root, owner, inum });
            proxy.cgroup = CgroupNs(self.namespaces.cgroup.len() as u32);
        }
        if flags & lx::CLONE_NEWIPC != 0 {
            let inum = self.new_inum();
            proxy.ipc = self.create_ipc_ns(owner, inum);
        }
        if flags & CLONE_NEWTIME != 0 {
            let inum = self.new_inum();
            let old = proxy.time_for_children;
            proxy.time_for_children = self.namespaces.time.clone_of(old, owner, inum);
        }
        Ok((proxy, cred))
    }

    pub(super) fn new_inum(&mut self) -> u32 {
        self.namespaces.made += 1;
        FIRST_INUM + self.namespaces.made
    }

    /// The inode number of a namespace's file.
    pub fn ns_inum(&self, ns: Namespace) -> u32 {
        let made = match ns {
            Namespace::Pid(ns) => self.pids.namespace(ns).map(|ns| ns.inum),
            Namespace::Uts(UtsNs(0))
            | Namespace::Net(NetNs(0))
            | Namespace::Cgroup(CgroupNs(0)) => None,
            Namespace::Cgroup(CgroupNs(n)) => Some(self.namespaces.cgroup[n as usize - 1].inum),
            Namespace::Mnt(MntNs::INIT) => None,
            Namespace::Mnt(ns) => Some(self.vfs.mnt_ns(ns).inum),
            Namespace::Ipc(IpcNs::INIT) => None,
            Namespace::Ipc(ns) => Some(self.ipc.spaces.get(ns).inum),
            Namespace::Time(TimeNs::INIT) => None,
            Namespace::Time(ns) => Some(self.namespaces.time.get(ns).inum),
            Namespace::User(UserNs::INIT) => None,
            Namespace::User(ns) => Some(self.namespaces.user.get(ns).inum),
            Namespace::Net(NetNs(n)) => Some(self.namespaces.net[n as usize].inum),
            Namespace::Uts(UtsNs(n)) => Some(self.namespaces.uts[n as usize - 1].inum),
        };
        let first = INIT_INUMS.iter().find(|(kind, _)| *kind == ns.kind());
        made.or(first.map(|(_, inum)| *inum)).expect("each kind has a first one")
    }

    /// The user namespace that a namespace belongs to; of one of users, its parent (the host's own is
    /// its own).
    pub fn owner_of(&self, ns: Namespace) -> UserNs {
        match ns {
            Namespace::Pid(ns) => self.pids.owner_of(ns),
            Namespace::Uts(UtsNs(0)) | Namespace::Cgroup(CgroupNs(0)) => UserNs::INIT,
            Namespace::Cgroup(CgroupNs(n)) => self.namespaces.cgroup[n as usize - 1].owner,
            Namespace::Uts(UtsNs(n)) => self.namespaces.uts[n as usize - 1].owner,
            Namespace::Net(NetNs(n)) => self.namespaces.net[n as usize].owner,
            Namespace::Mnt(ns) => self.vfs.mnt_ns(ns).owner,
            Namespace::Time(ns) => self.namespaces.time.get(ns).owner,
            Namespace::Ipc(ns) => self.ipc.spaces.get(ns).owner,
            Namespace::User(ns) => self.namespaces.user.get(ns).parent.unwrap_or_default(),
        }
    }

    /// Which namespace of a kind a task has.
    pub fn namespace_of(&self, task: TaskId, kind: NsKind) -> Namespace {
        match kind {
            NsKind::Pid => Namespace::Pid(self.task_active_pid_ns(task)),
            NsKind::Uts => Namespace::Uts(self.tasks[task].nsproxy.uts),
            NsKind::Net => Namespace::Net(self.tasks[task].nsproxy.net),
            NsKind::Mnt => Namespace::Mnt(self.tasks[task].nsproxy.mnt),
            NsKind::User => Namespace::User(self.tasks[task].cred.user_ns),
            NsKind::Time => Namespace::Time(self.tasks[task].nsproxy.time),
            NsKind::Ipc => Namespace::Ipc(self.tasks[task].nsproxy.ipc),
            NsKind::Cgroup => Namespace::Cgroup(self.tasks[task].nsproxy.cgroup),
        }
    }

    /// The control group that is the root of a namespace.
    pub(crate) fn cgroup_ns_root(&self, ns: CgroupNs) -> CgroupId {
        match ns {
            CgroupNs(0) => self.cgroups.root,
            CgroupNs(n) => self.namespaces.cgroup[n as usize - 1].root,
        }
    }

    /// A cgroup namespace that a clone(2) made begins where the child is born.
    pub(super) fn set_cgroup_ns_root(&mut self, ns: CgroupNs, root: CgroupId) {
        if let CgroupNs(n @ 1..) = ns {
            self.namespaces.cgroup[n as usize - 1].root = root;
        }
    }

    /// net.ipv4.conf of the network that `task` is in.
    pub fn net_conf(&mut self, task: TaskId) -> &mut NetConf {
        &mut self.namespaces.net[self.tasks[task].nsproxy.net.0 as usize]
    }

    /// Is `task` in a network namespace that has nothing but a loopback which is down?
    pub fn has_no_network(&self, task: TaskId) -> bool {
        self.tasks[task].nsproxy.net != NetNs::INIT
    }

    /// The host's name and its domain's, as `task` sees them.
    pub fn utsname(&self, task: TaskId) -> (String, String) {
        match self.tasks[task].nsproxy.uts {
            UtsNs(0) => (self.config.hostname.clone(), self.namespaces.domainname.clone()),
            UtsNs(n) => {
                let uts = &self.namespaces.uts[n as usize - 1];
                (uts.hostname.clone(), uts.domainname.clone())
            }
        }
    }

    /// The same, to change: the host's name, or its domain's.
    pub(crate) fn utsname_mut(&mut self, task: TaskId, domain: bool) -> &mut String {
        match (self.tasks[task].nsproxy.uts, domain) {
            (UtsNs(0), false) => &mut self.config.hostname,
            (UtsNs(0), true) => &mut self.namespaces.domainname,
            (UtsNs(n), false) => &mut self.namespaces.uts[n as usize - 1].hostname,
            (UtsNs(n), true) => &mut self.namespaces.uts[n as usize - 1].domainname,
        }
    }
}
