//! Semaphore sets: semget(2), semop(2), semtimedop(2), and SEM_UNDO at exit (exit_sem, rule X-7
//! step 9). A call that would block is queued; whoever changes the set performs what has become
//! possible on the sleepers' behalf, first come first served, as Linux does: a sleeper that runs
//! again only finds its result. Neighbours: `sem/ctl` (semctl), `ipc` (identifiers, permissions).

pub mod ctl;

use super::namespace::{AllIds, IpcId, IpcNs};
use super::{IPC_NOWAIT, IpcPerm, S_IRUGO, S_IWUGO};
use crate::abi::Errno;
use crate::arena::{Arena, Id};
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Restart, SysResult, Wait};
use crate::task::{Pid, TaskId};
use crate::wait_queue::Event;
use std::collections::BTreeMap;

/// Undo this operation when the process ends.
const SEM_UNDO: i32 = 0x1000;
/// The greatest value of a semaphore, and of what is undone.
pub const SEMVMX: i32 = 32767;
/// Unlike Linux, where the host's memory says it (ENOMEM): the most semaphores in all sets.
const MOST_SEMAPHORES: u64 = 1 << 22;

/// One semaphore.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sem {
    /// semval.
    pub value: i32,
    /// sempid: the process that changed it last, 0 for none.
    pub pid: u32,
}

/// sem_array: one set.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct SemArray {
    pub sems: Vec<Sem>,
    pub otime: i64,
    pub ctime: i64,
    /// Whose calls wait, in the order in which they came.
    pending: Vec<TaskId>,
}

/// struct sembuf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SemBuf {
    num: u16,
    op: i16,
    flags: i32,
}

/// sem_queue: a call that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
struct SemQueue {
    id: IpcId,
    ops: Vec<SemBuf>,
    /// The operation that is not possible yet.
    blocking: usize,
    pid: Pid,
    undo: Option<UndoId>,
    /// How it ended, once somebody else has ended it.
    status: Option<Result<(), Errno>>,
}

impl SemQueue {
    /// Does it change anything, or only wait for zeroes?
    fn alters(&self) -> bool {
        self.ops.iter().any(|op| op.op != 0)
    }
}

/// Names an [`UndoList`].
pub type UndoId = Id<UndoList>;

/// sem_undo_list: what is undone when the last thread that shares it (CLONE_SYSVSEM) ends; the set
/// that was used first last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndoList {
    users: u32,
    undos: Vec<SemUndo>,
}

/// sem_undo: the adjustments for one set.
#[derive(Clone, PartialEq, Eq, Debug)]
struct SemUndo {
    id: IpcId,
    adjust: BTreeMap<u16, i32>,
}

/// All of a host's semaphores.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Semaphores {
    /// The sets.
    pub ids: AllIds<SemArray>,
    undo_lists: Arena<UndoList>,
    queues: BTreeMap<TaskId, SemQueue>,
}

/// What became of an attempt.
enum Attempt {
    Done,
    /// It has to wait, for this operation.
    Blocked(usize),
    Failed(Errno),
}

/// perform_atomic_semop(): all operations in their order, or none.
fn perform_atomic_semop(array: &mut SemArray, q: &SemQueue, undo: Option<&mut SemUndo>) -> Attempt {
    let mut changed: BTreeMap<u16, i32> = BTreeMap::new();
    let mut adjusted: BTreeMap<u16, i32> = BTreeMap::new();
    for (i, op) in q.ops.iter().enumerate() {
        let value = changed.get(&op.num).copied();
        let value = value.unwrap_or(array.sems[usize::from(op.num)].value);
        let result = value + i32::from(op.op);
        if op.op == 0 && value != 0 || result < 0 {
            let fails = op.flags & IPC_NOWAIT != 0;
            return if fails { Attempt::Failed(Errno::EAGAIN) } else { Attempt::Blocked(i) };
        }
        if result > SEMVMX {
            return Attempt::Failed(Errno::ERANGE);
        }
        if let (true, Some(undo)) = (op.flags & SEM_UNDO != 0, &undo) {
            let old = adjusted.get(&op.num).or_else(|| undo.adjust.get(&op.num));
            let new = old.copied().unwrap_or(0) - i32::from(op.op);
            if !(-SEMVMX - 1..=SEMVMX).contains(&new) {
                return Attempt::Failed(Errno::ERANGE);
            }
            adjusted.insert(op.num, new);
        }
        changed.insert(op.num, result);
    }
    for (num, value) in changed {
        array.sems[usize::from(num)] = Sem { value, pid: q.pid.0 };
    }
    if let Some(undo) = undo {
        undo.adjust.extend(adjusted);
    }
    Attempt::Done
}

impl Semaphores {
    /// Does what `q` wants, if that is possible now.
    fn attempt(&mut self, q: &SemQueue) -> Attempt {
        let Ok(array) = self.ids.get_mut(q.id) else { return Attempt::Failed(Errno::EIDRM) };
        let undo = q.undo.map(|list| {
            let undos = &mut self.undo_lists[list].undos;
            if !undos.iter().any(|u| u.id == q.id) {
                undos.push(SemUndo { id: q.id, adjust: BTreeMap::new() });
            }
            undos.iter_mut().find(|u| u.id == q.id).expect("it was just made")
        });
        perform_atomic_semop(&mut array.what, q, undo)
    }

    /// unlink_queue().
    fn unlink(&mut self, task: TaskId) -> Option<SemQueue> {
        let q = self.queues.remove(&task)?;
        if let Ok(array) = self.ids.get_mut(q.id) {
            array.what.pending.retain(|t| *t != task);
        }
        Some(q)
    }

    /// What all undo lists hold for a set is forgotten (IPC_RMID), or for these of its semaphores.
    fn forget_undos(&mut self, id: IpcId, which: Option<core::ops::Range<u16>>) {
        for (_, list) in self.undo_lists.iter_mut() {
            match &which {
                None => list.undos.retain(|undo| undo.id != id),
                Some(nums) => {
                    let undos = list.undos.iter_mut().filter(|undo| undo.id == id);
                    undos.for_each(|undo| undo.adjust.retain(|num, _| !nums.contains(num)));
                }
            }
        }
    }
}

impl Kernel {
    /// semget(2).
    pub fn sys_semget(&mut self, call: &mut Call<'_>) -> SysResult {
        let (key, count, flags) = (call.int(0), call.int(1), call.int(2));
        let [semmsl, semmns, _, semmni] = self.ipc_limits(call.task).sem;
        if !u32::try_from(count).is_ok_and(|it| it <= semmsl) {
            return Err(Errno::EINVAL.into());
        }
        let (ns, caps) = (self.ipc_ns(call.task), self.ipc_caps(call.task));
        let cred = &self.tasks[call.task].cred;
        let ids = self.ipc.sem.ids.of(ns);
        if let Some(id) = ids.find((cred, caps), key, flags, |a| count as usize > a.sems.len())? {
            return Ok(id as u64);
        }
        if count == 0 {
            return Err(Errno::EINVAL.into());
        }
        let used = self.semaphores_in_use(ns) + count as u64;
        if used > semmns.into() {
            return Err(Errno::ENOSPC.into());
        }
        if used > MOST_SEMAPHORES {
            return Err(Errno::ENOMEM.into());
        }
        let sems = vec![Sem::default(); count as usize];
        let array = SemArray { sems, otime: 0, ctime: self.real_seconds(), pending: Vec::new() };
        let perm = IpcPerm::new(cred, key, flags);
        Ok(self.ipc.sem.ids.of_mut(ns).add(perm, array, semmni as usize)? as u64)
    }

    /// ns->used_sems.
    pub(crate) fn semaphores_in_use(&self, ns: IpcNs) -> u64 {
        self.ipc.sem.ids.of(ns).iter().map(|array| array.what.sems.len() as u64).sum()
    }

    /// semop(2).
    pub fn sys_semop(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_semtimedop(call, UserPtr::NULL)
    }

    /// semtimedop(2).
    pub fn sys_semtimedop(&mut self, call: &mut Call<'_>) -> SysResult {
        let timeout = call.ptr(3);
        self.do_semtimedop(call, timeout)
    }

    fn do_semtimedop(&mut self, call: &mut Call<'_>, timeout: UserPtr) -> SysResult {
        if call.flight.progress == Progress::IpcWait {
            return self.semop_sleep(call);
        }
        let count = call.arg(2) as u32 as u64;
        if !timeout.is_null() && call.flight.until.is_none() {
            let time = self.read_timespec(call, timeout)?;
            call.flight.until = Some(self.now + time);
        }
        if count > self.ipc_limits(call.task).sem[2].into() {
            return Err(Errno::E2BIG.into());
        }
        let bytes = call.read_bytes(call.ptr(1), 6 * count as usize)?;
        if count == 0 {
            return Err(Errno::EINVAL.into());
        }
        let id = self.ipc_id(call)?;
        let ops: Vec<SemBuf> = bytes.chunks_exact(6).map(sembuf).collect();
        let q = self.sem_queue(call.task, id, ops)?;
        let alters = q.alters();
        match self.ipc.sem.attempt(&q) {
            Attempt::Done => {
                self.set_semotime(id);
                if alters {
                    self.update_queue(id);
                }
                Ok(0)
            }
            Attempt::Failed(errno) => Err(errno.into()),
            Attempt::Blocked(blocking) => {
                self.ipc.sem.queues.insert(call.task, SemQueue { blocking, ..q });
                self.ipc.sem.ids.get_mut(id)?.what.pending.push(call.task);
                call.flight.progress = Progress::IpcWait;
                self.semop_sleep(call)
            }
        }
    }

    /// The checks of __do_semtimedop(), and what it would queue. EINVAL, EFBIG, EACCES.
    fn sem_queue(&mut self, task: TaskId, id: IpcId, ops: Vec<SemBuf>) -> Result<SemQueue, Errno> {
        let undoes = ops.iter().any(|op| op.flags & SEM_UNDO != 0);
        let mut q =
            SemQueue { id, ops, blocking: 0, pid: self.tgid(task), undo: None, status: None };
        let array = self.ipc.sem.ids.get(id)?;
        if q.ops.iter().any(|op| usize::from(op.num) >= array.what.sems.len()) {
            return Err(Errno::EFBIG);
        }
        let wanted = if q.alters() { S_IWUGO } else { S_IRUGO };
        array.perm.check(&self.tasks[task].cred, self.ipc_caps(task), wanted)?;
        if undoes {
            q.undo = Some(self.undo_list(task));
        }
        Ok(q)
    }

    /// Until somebody else ended the call, time is up (EAGAIN), or a signal comes: EINTR, never
    /// restarted (signal(7)).
    fn semop_sleep(&mut self, call: &mut Call<'_>) -> SysResult {
        let task = call.task;
        let status = self.ipc.sem.queues.get(&task).map(|q| q.status);
        if let Some(Some(status)) = status {
            self.ipc.sem.unlink(task);
            return Ok(status.map(|()| 0)?);
        }
        if call.flight.until.is_some_and(|until| until <= self.now) {
            self.ipc.sem.unlink(task);
            return Err(Errno::EAGAIN.into());
        }
        if self.signal_pending(task) {
            self.ipc.sem.unlink(task);
        }
        let wait = Wait::on(Event::Ipc(task)).with_deadline(call.flight.until);
        Err(wait.with_restart(Restart::Eintr).into())
    }

    /// update_queue(): whatever waits and has become possible is done, those that wait for zero
    /// first, then first come first served; after each change from the beginning.
    fn update_queue(&mut self, id: IpcId) {
        while self.update_queue_once(id) {}
    }

    /// True if a call that changes something was done.
    fn update_queue_once(&mut self, id: IpcId) -> bool {
        let Ok(array) = self.ipc.sem.ids.get(id) else { return false };
        let pending = array.what.pending.clone();
        for alters in [false, true] {
            for &task in &pending {
                let Some(q) = self.ipc.sem.queues.get(&task).cloned() else { continue };
                if q.status.is_some() || q.alters() != alters {
                    continue;
                }
                let status = match self.ipc.sem.attempt(&q) {
                    Attempt::Blocked(blocking) => {
                        self.ipc.sem.queues.get_mut(&task).expect("as above").blocking = blocking;
                        continue;
                    }
                    Attempt::Failed(errno) => Err(errno),
                    Attempt::Done => Ok(()),
                };
                self.wake_up_sem_queue(task, status);
                if status.is_ok() {
                    self.set_semotime(id);
                    if alters {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// wake_up_sem_queue_prepare(): the call of `task` ends with `status`.
    fn wake_up_sem_queue(&mut self, task: TaskId, status: Result<(), Errno>) {
        let sem = &mut self.ipc.sem;
        let Some(q) = sem.queues.get_mut(&task) else { return };
        q.status = Some(status);
        if let Ok(array) = sem.ids.get_mut(q.id) {
            array.what.pending.retain(|t| *t != task);
        }
        self.publish(Event::Ipc(task));
    }

    fn set_semotime(&mut self, id: IpcId) {
        let now = self.real_seconds();
        if let Ok(array) = self.ipc.sem.ids.get_mut(id) {
            array.what.otime = now;
        }
    }

    /// get_undo_list(): the caller's list, made when it is first needed.
    fn undo_list(&mut self, task: TaskId) -> UndoId {
        if let Some(list) = self.tasks[task].undo_list {
            return list;
        }
        let list = self.ipc.sem.undo_lists.insert(UndoList { users: 1, undos: Vec::new() });
        self.tasks[task].undo_list = Some(list);
        list
    }

    /// copy_semundo(): the list is shared with CLONE_SYSVSEM; else the child has none.
    pub(crate) fn copy_semundo(&mut self, task: TaskId, shared: bool) -> Option<UndoId> {
        if !shared {
            return None;
        }
        let list = self.undo_list(task);
        self.ipc.sem.undo_lists[list].users += 1;
        Some(list)
    }

    /// exit_sem(): the last sharer of an undo list undoes, the set used last first; values stay
    /// between 0 and SEMVMX.
    pub(crate) fn exit_sem(&mut self, task: TaskId) {
        self.ipc.sem.unlink(task);
        self.ipc.msg.unlink(task);
        self.ipc.mq.unlink(task);
        let Some(list) = self.tasks[task].undo_list.take() else { return };
        self.ipc.sem.undo_lists[list].users -= 1;
        if self.ipc.sem.undo_lists[list].users > 0 {
            return;
        }
        let Some(list) = self.ipc.sem.undo_lists.remove(list) else { return };
        let pid = self.tgid(task).0;
        for undo in list.undos.into_iter().rev() {
            let Ok(array) = self.ipc.sem.ids.get_mut(undo.id) else { continue };
            for (num, adjust) in undo.adjust.into_iter().filter(|(_, adjust)| *adjust != 0) {
                let sem = &mut array.what.sems[usize::from(num)];
                *sem = Sem { value: (sem.value + adjust).clamp(0, SEMVMX), pid };
            }
            self.set_semotime(undo.id);
            self.update_queue(undo.id);
        }
    }
}

fn sembuf(bytes: &[u8]) -> SemBuf {
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    SemBuf { num: half(0), op: half(2) as i16, flags: i32::from(half(4)) }
}
