//! Which namespaces a task has (namespaces(7)): `nsproxy`, unshare(2) and clone(2) of namespaces,
//! setns(2). Those of processes are in `pid_namespace`, those of names (UTS) and networks here; of the
//! others there is one of each, which nobody can leave (loudly). Neighbours: `fs/nsfs` (the files that
//! stand for them), `unshare`, `fork`.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::anon::Anon;
use crate::fs::file::FileKind;
use crate::fs::mount::namespace::MntNs;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::task::pid_namespace::PidNs;
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
/// Those that are here.
const HERE: u32 = lx::CLONE_NEWPID | lx::CLONE_NEWUTS | lx::CLONE_NEWNET | lx::CLONE_NEWNS;
/// PROC_*_INIT_INO and those after it: the files of the first namespaces.
const INIT_INUMS: [(NsKind, u32); 8] = [
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
    /// The only one of its kind.
    Only(NsKind),
}

impl Namespace {
    /// What kind it is.
    pub fn kind(self) -> NsKind {
        match self {
            Namespace::Pid(_) => NsKind::Pid,
            Namespace::Uts(_) => NsKind::Uts,
            Namespace::Net(_) => NsKind::Net,
            Namespace::Mnt(_) => NsKind::Mnt,
            Namespace::Only(kind) => kind,
        }
    }
}

/// Names a UTS namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct UtsNs(u32);

/// Names a network namespace. Those below the host's have a loopback that is down, and no
/// interface; internet sockets cannot be made in them (loudly). Unlike Linux's, they share the
/// abstract names of AF_UNIX with the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct NetNs(u32);

impl NetNs {
    /// The one that the host's interface is in.
    pub const INIT: NetNs = NetNs(0);
}

/// net.ipv4.conf.*.tag of one network namespace: all, default, lo. The number means nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetConf {
    /// By their place above.
    pub tags: [i32; 3],
    inum: u32,
}

/// The names of one UTS namespace below the host's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UtsNamespace {
    hostname: String,
    domainname: String,
    inum: u32,
}

/// The namespaces that tasks made, but those of processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespaces {
    /// setdomainname(2) of the host's own.
    domainname: String,
    uts: Vec<UtsNamespace>,
    /// The host's own network first.
    net: Vec<NetConf>,
    made: u32,
}

impl Default for Namespaces {
    fn default() -> Namespaces {
        Namespaces {
            domainname: "(none)".into(),
            uts: Vec::new(),
            net: vec![NetConf::default()],
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
}

impl Kernel {
    /// copy_namespaces() and create_new_namespaces(): what `task`, or its child, has after `flags`.
    /// EPERM without CAP_SYS_ADMIN; loudly for kinds that there is one of.
    pub(super) fn create_new_namespaces(
        &mut self,
        task: TaskId,
        flags: u64,
    ) -> Result<Nsproxy, Errno> {
        let flags = flags as u32 & CLONE_NAMESPACES;
        let mut proxy = self.tasks[task].nsproxy;
        if flags == 0 {
            return Ok(proxy);
        }
        if flags & !HERE != 0 {
            let what = format!("flags {:#x}", flags & !HERE);
            self.tell(Some(task), Fact::unsupported("new namespaces", what));
            return Err(Errno::EPERM);
        }
        if !self.tasks[task].cred.capable(Cap::SysAdmin) {
            return Err(Errno::EPERM);
        }
        if flags & lx::CLONE_NEWUTS != 0 {
            let (hostname, domainname) = self.utsname(task);
            let inum = self.new_inum();
            self.namespaces.uts.push(UtsNamespace { hostname, domainname, inum });
            proxy.uts = UtsNs(self.namespaces.uts.len() as u32);
        }
        if flags & lx::CLONE_NEWNET != 0 {
            let inum = self.new_inum();
            // `all` and `default` are as the host's are now, the loopback as `default`.
            let [all, default, _] = self.namespaces.net[0].tags;
            self.namespaces.net.push(NetConf { tags: [all, default, default], inum });
            proxy.net = NetNs(self.namespaces.net.len() as u32 - 1);
        }
        if flags & lx::CLONE_NEWPID != 0 {
            if self.task_active_pid_ns(task) != proxy.pid_for_children {
                return Err(Errno::EINVAL);
            }
            let inum = self.new_inum();
            let parent = proxy.pid_for_children;
            proxy.pid_for_children = self.pids.create_pid_namespace(parent, inum)?;
        }
        if flags & lx::CLONE_NEWNS != 0 {
            let inum = self.new_inum();
            proxy.mnt = self.copy_mnt_ns(proxy.mnt, inum)?;
        }
        Ok(proxy)
    }

    fn new_inum(&mut self) -> u32 {
        self.namespaces.made += 1;
        FIRST_INUM + self.namespaces.made
    }

    /// The inode number of a namespace's file.
    pub fn ns_inum(&self, ns: Namespace) -> u32 {
        let made = match ns {
            Namespace::Pid(ns) => self.pids.namespace(ns).map(|ns| ns.inum),
            Namespace::Uts(UtsNs(0)) | Namespace::Net(NetNs(0)) | Namespace::Only(_) => None,
            Namespace::Mnt(MntNs::INIT) => None,
            Namespace::Mnt(ns) => Some(self.vfs.mnt_ns(ns).inum),
            Namespace::Net(NetNs(n)) => Some(self.namespaces.net[n as usize].inum),
            Namespace::Uts(UtsNs(n)) => Some(self.namespaces.uts[n as usize - 1].inum),
        };
        let first = INIT_INUMS.iter().find(|(kind, _)| *kind == ns.kind());
        made.or(first.map(|(_, inum)| *inum)).expect("each kind has a first one")
    }

    /// Which namespace of a kind a task has.
    pub fn namespace_of(&self, task: TaskId, kind: NsKind) -> Namespace {
        match kind {
            NsKind::Pid => Namespace::Pid(self.task_active_pid_ns(task)),
            NsKind::Uts => Namespace::Uts(self.tasks[task].nsproxy.uts),
            NsKind::Net => Namespace::Net(self.tasks[task].nsproxy.net),
            NsKind::Mnt => Namespace::Mnt(self.tasks[task].nsproxy.mnt),
            NsKind::Cgroup | NsKind::Ipc | NsKind::Time | NsKind::User => Namespace::Only(kind),
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
                let kinds = INIT_INUMS.iter().map(|(kind, _)| *kind);
                let kinds = kinds.filter(|kind| nstype & kind.flag() != 0);
                kinds.map(|kind| self.namespace_of(target, kind)).collect()
            }
            Anon::Eventfd(_)
            | Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Inotify(_)
            | Anon::Mqueue(_) => return Err(Errno::EINVAL.into()),
        };
        let mut proxy = self.tasks[task].nsproxy;
        for ns in &wanted {
            self.install_namespace(task, &mut proxy, *ns)?;
        }
        self.tasks[task].nsproxy = proxy;
        if wanted.contains(&Namespace::Mnt(proxy.mnt)) {
            self.enter_mnt_ns(task, proxy.mnt);
            self.release_mnt_namespaces();
        }
        Ok(0)
    }

    /// proc_ns_operations.install: EPERM without CAP_SYS_ADMIN; EINVAL for a pid namespace that is
    /// not one's own or below, and for one's own user namespace.
    fn install_namespace(
        &self,
        task: TaskId,
        proxy: &mut Nsproxy,
        ns: Namespace,
    ) -> Result<(), Errno> {
        let privileged = self.tasks[task].cred.capable(Cap::SysAdmin);
        match ns {
            Namespace::Only(NsKind::User) => return Err(Errno::EINVAL),
            _ if !privileged => return Err(Errno::EPERM),
            Namespace::Pid(ns) => {
                if !self.pids.is_within(ns, self.task_active_pid_ns(task)) {
                    return Err(Errno::EINVAL);
                }
                proxy.pid_for_children = ns;
            }
            Namespace::Uts(ns) => proxy.uts = ns,
            Namespace::Net(ns) => proxy.net = ns,
            Namespace::Mnt(ns) => {
                if !self.tasks[task].cred.capable(Cap::SysChroot) {
                    return Err(Errno::EPERM);
                }
                self.may_enter_mnt_ns(task)?;
                proxy.mnt = ns;
            }
            // It is there already.
            Namespace::Only(_) => {}
        }
        Ok(())
    }
}
