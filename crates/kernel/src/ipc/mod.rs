//! System V IPC (sysvipc(7)): what semaphores, message queues and shared memory have in common:
//! identifiers, keys, permissions, and the rows of /proc/sysvipc. By file: `namespace` (who sees what), `sem` (semaphores), `msg` (message queues), `shm` (shared memory); and
//! `mqueue` (POSIX message queues, which share only the room), `sysctl` (the limits). Objects outlive the
//! processes that made them; what a death does to them is in `task/exit`, steps 9 and 10 (rule X-7).

mod mq_transfer;
pub mod mqueue;
pub mod msg;
mod msg_ctl;
pub mod namespace;
pub mod sem;
pub mod shm;
mod shm_ctl;
pub mod sysctl;

use crate::abi::Errno;
use crate::fs::inode::in_group;
use crate::kernel::Kernel;
use crate::task::capability::{Cap, CapSet};
use crate::task::timer::clock::Clock;
use crate::task::user_namespace::{IdKind, OVERFLOW_ID, UserNamespaces, UserNs};
use crate::task::{Cred, Pid, TaskId};
use std::collections::BTreeMap;

/// Always a new object, which no key finds.
pub const IPC_PRIVATE: i32 = 0;
/// Make it if the key has none (`*get`).
pub const IPC_CREAT: i32 = 0o1000;
/// Only make it.
pub const IPC_EXCL: i32 = 0o2000;
/// Fail rather than wait (`semop`, `msgsnd`, `msgrcv`).
pub const IPC_NOWAIT: i32 = 0o4000;
/// The commands that all three `*ctl` have.
pub const IPC_RMID: i32 = 0;
/// See [`IPC_RMID`].
pub const IPC_SET: i32 = 1;
/// See [`IPC_RMID`].
pub const IPC_STAT: i32 = 2;
/// See [`IPC_RMID`].
pub const IPC_INFO: i32 = 3;

/// Permission bits as a request names them, for all three classes at once.
pub const S_IRUGO: i32 = 0o444;
/// See [`S_IRUGO`].
pub const S_IWUGO: i32 = 0o222;
/// See [`S_IRUGO`].
pub const S_IXUGO: i32 = 0o111;

/// IPCMNI: how many objects of a kind there can be; an identifier is sequence × this + index.
const IPCMNI: u32 = 1 << 15;
/// ipc_min_cycle: how far indices go before those that came free are used again.
const IPC_MIN_CYCLE: u32 = 64;

/// All of a host's System V objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ipc {
    /// Semaphore sets, the calls that wait for them, and what is undone at exit.
    pub sem: sem::Semaphores,
    /// Message queues and the calls that wait in them.
    pub msg: msg::Messages,
    /// POSIX message queues.
    pub mq: mqueue::Mqueues,
    /// Segments of shared memory.
    pub shm: shm::SharedMemory,
    /// The namespaces that they are in, with their limits.
    pub spaces: namespace::IpcNamespaces,
}

/// kern_ipc_perm: who may do what with an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct IpcPerm {
    pub key: i32,
    /// The owner, whom IPC_SET can change.
    pub uid: u32,
    pub gid: u32,
    /// Who made it.
    pub cuid: u32,
    pub cgid: u32,
    /// Permission bits, and of shared memory SHM_DEST.
    pub mode: u32,
    /// Set with the identifier.
    pub seq: u16,
}

impl IpcPerm {
    /// A new object's: the caller's.
    pub fn new(cred: &Cred, key: i32, flags: i32) -> IpcPerm {
        let (uid, gid) = (cred.euid, cred.egid);
        IpcPerm { key, uid, gid, cuid: uid, cgid: gid, mode: flags as u32 & 0o777, seq: 0 }
    }

    /// ipcperms(): are all the bits of `wanted` granted? `caps` are those over its namespace. EACCES.
    pub fn check(&self, cred: &Cred, caps: CapSet, wanted: i32) -> Result<(), Errno> {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) as u32 & 7;
        let granted = if cred.euid == self.cuid || cred.euid == self.uid {
            self.mode >> 6
        } else if in_group(cred, self.cgid) || in_group(cred, self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        let missing = wanted & !granted & 7;
        if missing == 0 || caps.has(Cap::IpcOwner) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// ipcctl_obtain_check(): only owner, maker and root remove and change. EPERM.
    pub fn check_owner(&self, cred: &Cred, caps: CapSet) -> Result<(), Errno> {
        let own = cred.euid == self.cuid || cred.euid == self.uid;
        if own || caps.has(Cap::SysAdmin) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Owner and maker as a user namespace calls them: uid, gid, cuid, cgid.
    fn owners_seen_in(&self, users: &UserNamespaces, ns: UserNs) -> [u32; 4] {
        let seen = |kind, id| users.from_kid(ns, kind, id).unwrap_or(OVERFLOW_ID);
        let (user, group) = (IdKind::User, IdKind::Group);
        [seen(user, self.uid), seen(group, self.gid), seen(user, self.cuid), seen(group, self.cgid)]
    }

    /// struct ipc64_perm, for who is in the user namespace `ns`.
    pub fn encode(&self, users: &UserNamespaces, ns: UserNs) -> [u8; 48] {
        let mut bytes = [0; 48];
        let [uid, gid, cuid, cgid] = self.owners_seen_in(users, ns);
        let words = [self.key as u32, uid, gid, cuid, cgid, self.mode];
        for (i, word) in words.into_iter().enumerate() {
            bytes[4 * i..4 * i + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[24..26].copy_from_slice(&self.seq.to_le_bytes());
        bytes
    }

    /// ipc_update_perm(): IPC_SET's owner, group and mode, by who is in `ns`. EINVAL for ids that are
    /// nobody's.
    pub fn update(
        &mut self,
        bytes: &[u8; 48],
        users: &UserNamespaces,
        ns: UserNs,
    ) -> Result<(), Errno> {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        let (uid, gid, mode) = (word(4), word(8), word(20));
        let uid = users.make_kid(ns, IdKind::User, uid).ok_or(Errno::EINVAL)?;
        let gid = users.make_kid(ns, IdKind::Group, gid).ok_or(Errno::EINVAL)?;
        (self.uid, self.gid) = (uid, gid);
        self.mode = self.mode & !0o777 | mode & 0o777;
        Ok(())
    }
}

/// One object with its identifier.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct IpcObject<T> {
    pub id: i32,
    pub perm: IpcPerm,
    pub what: T,
}

/// ipc_ids: the objects of one kind in one namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpcIds<T> {
    by_index: BTreeMap<u32, IpcObject<T>>,
    by_key: BTreeMap<i32, u32>,
    /// Where the search for a free index begins.
    next: u32,
    last: Option<u32>,
    seq: u16,
    /// kernel.*_next_id: the identifier that the next object gets, once.
    pub next_id: Option<i32>,
}

impl<T> Default for IpcIds<T> {
    fn default() -> IpcIds<T> {
        let (by_index, by_key) = (BTreeMap::new(), BTreeMap::new());
        IpcIds { by_index, by_key, next: 0, last: None, seq: 0, next_id: None }
    }
}

impl<T> IpcIds<T> {
    /// All objects by index.
    pub fn iter(&self) -> impl Iterator<Item = &IpcObject<T>> {
        self.by_index.values()
    }

    /// How many there are.
    pub fn in_use(&self) -> usize {
        self.by_index.len()
    }

    /// ipc_get_maxidx(), as the `*_INFO` commands return it: 0 where there is none.
    pub fn max_index(&self) -> u64 {
        self.by_index.keys().next_back().copied().unwrap_or(0).into()
    }

    /// ipc_addid(): a new object. ENOSPC with `limit` of them.
    pub fn add(&mut self, perm: IpcPerm, what: T, limit: usize) -> Result<i32, Errno> {
        if self.in_use() >= limit.min(IPCMNI as usize) {
            return Err(Errno::ENOSPC);
        }
        let (index, seq) = self.alloc()?;
        let id = (u32::from(seq) << 15 | index) as i32;
        if perm.key != IPC_PRIVATE {
            self.by_key.insert(perm.key, index);
        }
        let perm = IpcPerm { seq, ..perm };
        self.by_index.insert(index, IpcObject { id, perm, what });
        Ok(id)
    }

    /// ipc_idr_alloc(): index and sequence of a new object. ENOSPC.
    fn alloc(&mut self) -> Result<(u32, u16), Errno> {
        if let Some(wanted) = self.next_id.take() {
            // That identifier, or with its sequence the next index that is free.
            let free = |i: &u32| !self.by_index.contains_key(i);
            let index = (wanted as u32 % IPCMNI..IPCMNI).find(free).ok_or(Errno::ENOSPC)?;
            return Ok((index, (wanted as u32 / IPCMNI) as u16));
        }
        let cycle = (self.in_use() as u32 * 3 / 2).clamp(IPC_MIN_CYCLE, IPCMNI);
        let free = |i: &u32| !self.by_index.contains_key(i);
        let index = (self.next..cycle).find(free).or_else(|| (0..cycle).find(free));
        let index = index.ok_or(Errno::ENOSPC)?;
        self.next = index + 1;
        // An identifier that comes round again is another one.
        if self.last.is_some_and(|last| index <= last) {
            self.seq = (self.seq + 1) % (1 << 15);
        }
        self.last = Some(index);
        Ok((index, self.seq))
    }

    /// ipc_obtain_object_check(): EINVAL for an identifier that is none, or no more.
    pub fn get(&self, id: i32) -> Result<&IpcObject<T>, Errno> {
        let found = self.by_index.get(&(id as u32 % IPCMNI));
        found.filter(|o| o.id == id).ok_or(Errno::EINVAL)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: i32) -> Result<&mut IpcObject<T>, Errno> {
        let found = self.by_index.get_mut(&(id as u32 % IPCMNI));
        found.filter(|o| o.id == id).ok_or(Errno::EINVAL)
    }

    /// ipc_obtain_object_idr(): by index, whatever the sequence (`*_STAT`).
    pub fn at_index(&self, index: i32) -> Result<&IpcObject<T>, Errno> {
        self.by_index.get(&(index as u32 % IPCMNI)).ok_or(Errno::EINVAL)
    }

    /// ipc_set_key_private(): no key finds it any more.
    pub fn forget_key(&mut self, id: i32) {
        if let Ok(object) = self.get_mut(id) {
            let key = core::mem::replace(&mut object.perm.key, IPC_PRIVATE);
            if key != IPC_PRIVATE {
                self.by_key.remove(&key);
            }
        }
    }

    /// ipc_rmid().
    pub fn remove(&mut self, id: i32) -> Option<IpcObject<T>> {
        self.get(id).ok()?;
        let gone = self.by_index.remove(&(id as u32 % IPCMNI))?;
        if gone.perm.key != IPC_PRIVATE {
            self.by_key.remove(&gone.perm.key);
        }
        Some(gone)
    }

    /// ipcget(): the object of `key`, or None where a new one is to be made. ENOENT, EEXIST,
    /// EINVAL if it is `too_small`, EACCES.
    pub fn find(
        &self,
        (cred, caps): (&Cred, CapSet),
        key: i32,
        flags: i32,
        too_small: impl Fn(&T) -> bool,
    ) -> Result<Option<i32>, Errno> {
        if key == IPC_PRIVATE {
            return Ok(None);
        }
        let Some(index) = self.by_key.get(&key) else {
            return if flags & IPC_CREAT == 0 { Err(Errno::ENOENT) } else { Ok(None) };
        };
        let object = &self.by_index[index];
        if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        if too_small(&object.what) {
            return Err(Errno::EINVAL);
        }
        object.perm.check(cred, caps, flags)?;
        Ok(Some(object.id))
    }
}

impl Kernel {
    /// ktime_get_real_seconds().
    pub(crate) fn real_seconds(&self) -> i64 {
        (self.clock_now(Clock::Realtime) / 1_000_000_000) as i64
    }

    /// /proc/sysvipc: the columns uid, gid, cuid, cgid for `reader`.
    fn ipc_owner_columns(&self, reader: TaskId, perm: &IpcPerm) -> String {
        let ns = self.tasks[reader].cred.user_ns;
        let ids = perm.owners_seen_in(&self.namespaces.user, ns);
        ids.map(|id| format!(" {id:5}")).concat()
    }

    /// task_tgid().
    pub(crate) fn tgid(&self, task: TaskId) -> Pid {
        self.groups[self.tasks[task].group].tgid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perm(key: i32) -> IpcPerm {
        IpcPerm::new(&Cred::user(1, 1), key, 0o640)
    }

    #[test]
    fn identifiers_are_used_again_with_another_sequence() {
        let mut ids: IpcIds<u8> = IpcIds::default();
        for i in 0..64 {
            let id = ids.add(perm(0), 0, 100).unwrap();
            assert_eq!(id, i);
            ids.remove(id);
        }
        assert_eq!(ids.add(perm(0), 0, 100), Ok(1 << 15));
        assert_eq!(ids.get(0), Err(Errno::EINVAL));
        assert_eq!(ids.at_index(0).unwrap().id, 1 << 15);
    }

    #[test]
    fn the_next_identifier_can_be_chosen_once() {
        let mut ids: IpcIds<u8> = IpcIds { next_id: Some(7 << 15 | 9), ..IpcIds::default() };
        assert_eq!(ids.add(perm(0), 0, 100), Ok(7 << 15 | 9));
        assert_eq!(ids.add(perm(0), 0, 100), Ok(0));
        ids.next_id = Some(9);
        assert_eq!(ids.add(perm(0), 0, 100), Ok(10), "its index is in use");
    }

    #[test]
    fn a_key_finds_its_object_until_it_is_removed() {
        let mut ids: IpcIds<u8> = IpcIds::default();
        let owner = Cred::user(1, 1);
        let find = |ids: &IpcIds<u8>, flags| ids.find((&owner, CapSet::EMPTY), 7, flags, |_| false);
        assert_eq!(find(&ids, 0), Err(Errno::ENOENT));
        let id = ids.add(perm(7), 0, 100).unwrap();
        assert_eq!(find(&ids, IPC_CREAT), Ok(Some(id)));
        assert_eq!(find(&ids, IPC_CREAT | IPC_EXCL), Err(Errno::EEXIST));
        ids.remove(id);
        assert_eq!(find(&ids, IPC_CREAT), Ok(None));
    }

    #[test]
    fn modes_are_for_owner_group_and_others() {
        let perm = perm(0);
        assert_eq!(perm.check(&Cred::user(1, 9), CapSet::EMPTY, S_IRUGO | S_IWUGO), Ok(()));
        assert_eq!(perm.check(&Cred::user(2, 1), CapSet::EMPTY, S_IRUGO), Ok(()));
        assert_eq!(perm.check(&Cred::user(2, 1), CapSet::EMPTY, S_IWUGO), Err(Errno::EACCES));
        assert_eq!(perm.check(&Cred::user(2, 2), CapSet::EMPTY, S_IRUGO), Err(Errno::EACCES));
        assert_eq!(perm.check(&Cred::user(0, 0), CapSet::FULL, S_IWUGO), Ok(()));
        assert_eq!(perm.check_owner(&Cred::user(2, 1), CapSet::EMPTY), Err(Errno::EPERM));
    }
}
