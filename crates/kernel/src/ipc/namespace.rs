//! IPC namespaces (ipc_namespaces(7)): each has its own identifiers and keys of all three kinds, its
//! own names of POSIX message queues, and its own limits. What is in one ends when nobody has it any
//! more, neither as a process nor as a file. Neighbours: `mod` (identifiers), `task/nsproxy` (who has
//! which).

use super::sysctl::IpcSysctls;
use super::{IpcIds, IpcObject};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::Call;
use crate::task::TaskId;
use crate::task::capability::CapSet;
use crate::task::nsproxy::Namespace;
use crate::task::user_namespace::UserNs;

/// Names an IPC namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct IpcNs(u32);

impl IpcNs {
    /// The host's own.
    pub const INIT: IpcNs = IpcNs(0);
}

/// One object of a kind, wherever on the host: its namespace, and its identifier there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub struct IpcId {
    pub ns: IpcNs,
    pub id: i32,
}

/// What a namespace has besides its objects. Unlike Linux's, it stays known when it is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IpcNamespace {
    /// The limits of all kinds.
    pub sysctls: IpcSysctls,
    /// The user namespace that it belongs to.
    pub owner: UserNs,
    /// The number of its file (/proc/PID/ns/ipc); the host's own is known elsewhere.
    pub inum: u32,
    /// Its objects are gone, since nobody can come back.
    dead: bool,
}

/// All of a host's, its own first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpcNamespaces(Vec<IpcNamespace>);

impl Default for IpcNamespaces {
    fn default() -> IpcNamespaces {
        IpcNamespaces(vec![IpcNamespace::default()])
    }
}

impl IpcNamespaces {
    /// One of them.
    pub fn get(&self, ns: IpcNs) -> &IpcNamespace {
        &self.0[ns.0 as usize]
    }

    /// The same, to change.
    pub fn get_mut(&mut self, ns: IpcNs) -> &mut IpcNamespace {
        &mut self.0[ns.0 as usize]
    }
}

/// The objects of one kind in all namespaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllIds<T>(Vec<IpcIds<T>>);

impl<T> Default for AllIds<T> {
    fn default() -> AllIds<T> {
        AllIds(vec![IpcIds::default()])
    }
}

impl<T> AllIds<T> {
    /// Those of one namespace.
    pub fn of(&self, ns: IpcNs) -> &IpcIds<T> {
        &self.0[ns.0 as usize]
    }

    /// The same, to change.
    pub fn of_mut(&mut self, ns: IpcNs) -> &mut IpcIds<T> {
        &mut self.0[ns.0 as usize]
    }

    /// All there are.
    pub fn iter(&self) -> impl Iterator<Item = &IpcObject<T>> {
        self.0.iter().flat_map(IpcIds::iter)
    }

    /// EINVAL for an identifier that is none, or no more.
    pub fn get(&self, id: IpcId) -> Result<&IpcObject<T>, Errno> {
        self.of(id.ns).get(id.id)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: IpcId) -> Result<&mut IpcObject<T>, Errno> {
        self.of_mut(id.ns).get_mut(id.id)
    }

    /// ipc_rmid().
    pub fn remove(&mut self, id: IpcId) -> Option<IpcObject<T>> {
        self.of_mut(id.ns).remove(id.id)
    }

    fn grow(&mut self) {
        self.0.push(IpcIds::default());
    }
}

impl Kernel {
    /// Where `task` finds its objects.
    pub(crate) fn ipc_ns(&self, task: TaskId) -> IpcNs {
        self.tasks[task].nsproxy.ipc
    }

    /// The identifier that is a call's first argument. EINVAL below zero.
    pub(super) fn ipc_id(&self, call: &Call<'_>) -> Result<IpcId, Errno> {
        let (ns, id) = (self.ipc_ns(call.task), call.int(0));
        if id < 0 { Err(Errno::EINVAL) } else { Ok(IpcId { ns, id }) }
    }

    /// The limits that `task` meets.
    pub(super) fn ipc_limits(&self, task: TaskId) -> &IpcSysctls {
        &self.ipc.spaces.get(self.ipc_ns(task)).sysctls
    }

    /// Which capabilities `task` has over the objects that it finds.
    pub(super) fn ipc_caps(&self, task: TaskId) -> CapSet {
        let owner = self.ipc.spaces.get(self.ipc_ns(task)).owner;
        self.namespaces.user.caps_over(&self.tasks[task].cred, owner)
    }

    /// create_ipc_ns(): an empty one, with the limits that the host begins with.
    pub(crate) fn create_ipc_ns(&mut self, owner: UserNs, inum: u32) -> IpcNs {
        let ipc = &mut self.ipc;
        let new = IpcNamespace { owner, inum, ..IpcNamespace::default() };
        ipc.spaces.0.push(new);
        ipc.sem.ids.grow();
        ipc.msg.ids.grow();
        ipc.shm.ids.grow();
        IpcNs(ipc.spaces.0.len() as u32 - 1)
    }

    /// put_ipc_ns() of all that nobody has any more.
    pub(crate) fn release_ipc_namespaces(&mut self) {
        for i in 1..self.ipc.spaces.0.len() {
            let ns = IpcNs(i as u32);
            let has = |task: &crate::task::Task| task.fs.is_some() && task.nsproxy.ipc == ns;
            let used = self.tasks.iter().any(|(_, task)| has(task))
                || self.anon.holds_namespace(Namespace::Ipc(ns));
            if !used && !self.ipc.spaces.get(ns).dead {
                self.ipc.spaces.get_mut(ns).dead = true;
                self.free_ipc_ns(ns);
            }
        }
    }

    /// free_ipc_ns(): what is attached stays so; all else goes.
    fn free_ipc_ns(&mut self, ns: IpcNs) {
        *self.ipc.sem.ids.of_mut(ns) = IpcIds::default();
        *self.ipc.msg.ids.of_mut(ns) = IpcIds::default();
        let segments: Vec<i32> = self.ipc.shm.ids.of(ns).iter().map(|shm| shm.id).collect();
        for id in segments {
            self.shm_rmid(IpcId { ns, id });
        }
        self.ipc.mq.forget_names(ns);
    }
}
