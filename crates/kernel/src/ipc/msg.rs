//! System V message queues: msgget(2), msgsnd(2), msgrcv(2). A message goes straight to the first
//! receiver that waits for its like (pipelined_send); a sender that found the queue full tries again
//! when there is room for its message. Neighbours: `msg_ctl` (msgctl), `ipc` (identifiers).

use super::namespace::{AllIds, IpcId, IpcNs};
use super::{IPC_NOWAIT, IpcPerm, S_IRUGO, S_IWUGO};
use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::syscall::{Call, Progress, Restart, Stop, SysResult, Wait};
use crate::task::TaskId;
use crate::wait_queue::Event;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Cut a message that is too long.
const MSG_NOERROR: i32 = 0o10000;
/// Any type but the one that is named.
const MSG_EXCEPT: i32 = 0o20000;
/// Copy message number `msgtyp`, leave it in the queue.
const MSG_COPY: i32 = 0o40000;
/// Unlike Linux, where the host's memory says it (ENOMEM): the most messages in all queues.
const MOST_MESSAGES: usize = 1 << 20;

/// msg_msg: one message.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Message {
    kind: i64,
    text: Arc<[u8]>,
}

/// msg_queue.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct MsgQueue {
    messages: VecDeque<Message>,
    /// Bytes of all messages.
    pub cbytes: u64,
    /// The most of them.
    pub qbytes: u64,
    pub stime: i64,
    pub rtime: i64,
    pub ctime: i64,
    /// Who sent and received last; 0 for nobody.
    pub lspid: u32,
    pub lrpid: u32,
    receivers: Vec<TaskId>,
    senders: Vec<TaskId>,
}

impl MsgQueue {
    /// q_qnum: messages in it.
    pub fn qnum(&self) -> usize {
        self.messages.len()
    }

    /// msg_fits_inqueue().
    fn fits(&self, size: u64) -> bool {
        size + self.cbytes <= self.qbytes && (self.qnum() as u64) < self.qbytes
    }
}

/// Which messages a receiver takes (convert_mode).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Search {
    Any,
    Equal(i64),
    NotEqual(i64),
    /// The lowest type up to this.
    LessEqual(i64),
    /// By its place in the queue (MSG_COPY).
    Number(i64),
}

impl Search {
    fn new(kind: i64, flags: i32) -> Search {
        match kind {
            _ if flags & MSG_COPY != 0 => Search::Number(kind),
            0 => Search::Any,
            ..0 => Search::LessEqual(kind.checked_neg().unwrap_or(i64::MAX)),
            1.. if flags & MSG_EXCEPT != 0 => Search::NotEqual(kind),
            1.. => Search::Equal(kind),
        }
    }

    /// testmsg().
    fn takes(self, message: &Message) -> bool {
        match self {
            Search::Any | Search::Number(_) => true,
            Search::Equal(kind) => message.kind == kind,
            Search::NotEqual(kind) => message.kind != kind,
            Search::LessEqual(kind) => message.kind <= kind,
        }
    }

    /// find_msg(): its place in the queue.
    fn find(self, messages: &VecDeque<Message>) -> Option<usize> {
        let mut taken = messages.iter().enumerate().filter(|(_, m)| self.takes(m));
        match self {
            Search::LessEqual(_) => taken.min_by_key(|(_, m)| m.kind).map(|(i, _)| i),
            Search::Number(n) => usize::try_from(n).ok().filter(|n| *n < messages.len()),
            Search::Any | Search::Equal(_) | Search::NotEqual(_) => taken.next().map(|(i, _)| i),
        }
    }
}

/// A call that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
enum MsgWait {
    /// msg_receiver. `done`: what it got; EAGAIN when it has to look again.
    Receiver { id: IpcId, search: Search, max: u64, done: Option<Result<Message, Errno>> },
    /// msg_sender. `woken`: it has to try again, or its queue is gone.
    Sender { id: IpcId, message: Message, woken: bool },
}

/// All of a host's message queues.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Messages {
    /// The queues.
    pub ids: AllIds<MsgQueue>,
    waits: BTreeMap<TaskId, MsgWait>,
}

impl Messages {
    /// Messages and bytes in all queues of a namespace.
    pub fn in_use(&self, ns: IpcNs) -> (usize, u64) {
        let add = |(n, bytes), q: &MsgQueue| (n + q.qnum(), bytes + q.cbytes);
        self.ids.of(ns).iter().map(|queue| &queue.what).fold((0, 0), add)
    }

    /// Takes a call out of the queue that it waits in.
    pub(super) fn unlink(&mut self, task: TaskId) {
        let Some(wait) = self.waits.remove(&task) else { return };
        let (MsgWait::Receiver { id, .. } | MsgWait::Sender { id, .. }) = wait;
        if let Ok(queue) = self.ids.get_mut(id) {
            queue.what.receivers.retain(|t| *t != task);
            queue.what.senders.retain(|t| *t != task);
        }
    }
}

impl Kernel {
    /// msgget(2).
    pub fn sys_msgget(&mut self, call: &mut Call<'_>) -> SysResult {
        let (key, flags) = (call.int(0), call.int(1));
        let (ns, caps) = (self.ipc_ns(call.task), self.ipc_caps(call.task));
        let cred = &self.tasks[call.task].cred;
        if let Some(id) = self.ipc.msg.ids.of(ns).find((cred, caps), key, flags, |_| false)? {
            return Ok(id as u64);
        }
        let queue = MsgQueue {
            messages: VecDeque::new(),
            cbytes: 0,
            qbytes: self.ipc_limits(call.task).msgmnb.into(),
            stime: 0,
            rtime: 0,
            ctime: self.real_seconds(),
            lspid: 0,
            lrpid: 0,
            receivers: Vec::new(),
            senders: Vec::new(),
        };
        let most = self.ipc_limits(call.task).msgmni as usize;
        let ids = self.ipc.msg.ids.of_mut(ns);
        Ok(ids.add(IpcPerm::new(cred, key, flags), queue, most)? as u64)
    }

    /// msgsnd(2).
    pub fn sys_msgsnd(&mut self, call: &mut Call<'_>) -> SysResult {
        let (buf, size, flags) = (call.ptr(1), call.arg(2), call.int(3));
        if call.flight.progress == Progress::IpcWait {
            return self.msgsnd_again(call);
        }
        let kind = call.read_u64(buf)? as i64;
        let id = self.ipc_id(call)?;
        if size > self.ipc_limits(call.task).msgmax.into() || kind < 1 {
            return Err(Errno::EINVAL.into());
        }
        let text = call.read_bytes(buf.add(8), size as usize)?.into();
        let message = Message { kind, text };
        if self.msgsnd(call.task, id, &message)? {
            return Ok(0);
        }
        if flags & IPC_NOWAIT != 0 {
            return Err(Errno::EAGAIN.into());
        }
        self.ss_add(call, id, message)
    }

    /// ss_add(): to the end of the senders that wait for room.
    fn ss_add(&mut self, call: &mut Call<'_>, id: IpcId, message: Message) -> SysResult {
        self.ipc.msg.ids.get_mut(id)?.what.senders.push(call.task);
        let wait = MsgWait::Sender { id, message, woken: false };
        self.ipc.msg.waits.insert(call.task, wait);
        call.flight.progress = Progress::IpcWait;
        Err(self.msg_sleep(call))
    }

    /// A sender that waits runs again: it tries anew if somebody made room; EIDRM if the queue is
    /// gone.
    fn msgsnd_again(&mut self, call: &mut Call<'_>) -> SysResult {
        let wait = self.ipc.msg.waits.get(&call.task).cloned();
        let Some(MsgWait::Sender { id, message, woken: true }) = wait else {
            return Err(self.msg_sleep(call));
        };
        if self.ipc.msg.ids.get(id).is_err() {
            self.ipc.msg.unlink(call.task);
            return Err(Errno::EIDRM.into());
        }
        if self.signal_pending(call.task) {
            return Err(self.msg_sleep(call));
        }
        self.ipc.msg.unlink(call.task);
        if self.msgsnd(call.task, id, &message)? {
            return Ok(0);
        }
        self.ss_add(call, id, message)
    }

    /// Sends it if there is room. EINVAL, EACCES, ENOMEM.
    fn msgsnd(&mut self, task: TaskId, id: IpcId, message: &Message) -> Result<bool, Errno> {
        let full = self.ipc.msg.in_use(id.ns).0 >= MOST_MESSAGES;
        let caps = self.ipc_caps(task);
        let (pid, now) = (self.tgid(task).0, self.real_seconds());
        let queue = self.ipc.msg.ids.get_mut(id)?;
        queue.perm.check(&self.tasks[task].cred, caps, S_IWUGO)?;
        let size = message.text.len() as u64;
        if !queue.what.fits(size) {
            return Ok(false);
        }
        (queue.what.lspid, queue.what.stime) = (pid, now);
        if self.pipelined_send(id, message) {
            return Ok(true);
        }
        if full {
            return Err(Errno::ENOMEM);
        }
        let queue = &mut self.ipc.msg.ids.get_mut(id)?.what;
        queue.messages.push_back(message.clone());
        queue.cbytes += size;
        Ok(true)
    }

    /// pipelined_send(): to the first receiver that takes it; those for whom it is too long get
    /// E2BIG on the way.
    fn pipelined_send(&mut self, id: IpcId, message: &Message) -> bool {
        let Ok(queue) = self.ipc.msg.ids.get(id) else { return false };
        for task in queue.what.receivers.clone() {
            let wait = self.ipc.msg.waits.get(&task);
            let Some(MsgWait::Receiver { search, max, .. }) = wait else { continue };
            if !search.takes(message) {
                continue;
            }
            if *max < message.text.len() as u64 {
                self.end_receive(id, task, Err(Errno::E2BIG));
                continue;
            }
            let (pid, now) = (self.tasks[task].tid.0, self.real_seconds());
            if let Ok(queue) = self.ipc.msg.ids.get_mut(id) {
                (queue.what.lrpid, queue.what.rtime) = (pid, now);
            }
            self.end_receive(id, task, Ok(message.clone()));
            return true;
        }
        false
    }

    /// The receiver's call ends with this.
    fn end_receive(&mut self, id: IpcId, task: TaskId, result: Result<Message, Errno>) {
        if let Ok(queue) = self.ipc.msg.ids.get_mut(id) {
            queue.what.receivers.retain(|t| *t != task);
        }
        if let Some(MsgWait::Receiver { done, .. }) = self.ipc.msg.waits.get_mut(&task) {
            *done = Some(result);
        }
        self.publish(Event::Ipc(task));
    }

    /// expunge_all(): no receiver waits any more.
    pub(super) fn expunge_all(&mut self, id: IpcId, receivers: &[TaskId], errno: Errno) {
        for task in receivers {
            self.end_receive(id, *task, Err(errno));
        }
    }

    /// Who waits in the queue: receivers and senders.
    pub(super) fn msg_sleepers(&self, id: IpcId) -> (Vec<TaskId>, Vec<TaskId>) {
        let queue = self.ipc.msg.ids.get(id).map(|queue| &queue.what);
        queue.map(|q| (q.receivers.clone(), q.senders.clone())).unwrap_or_default()
    }

    /// ss_wakeup(): senders whose message fits now try again; the others go behind them.
    pub(super) fn ss_wakeup(&mut self, id: IpcId) {
        let (mut woken, mut left) = (Vec::new(), Vec::new());
        for task in self.msg_sleepers(id).1 {
            let size = match self.ipc.msg.waits.get(&task) {
                Some(MsgWait::Sender { message, .. }) => message.text.len() as u64,
                Some(MsgWait::Receiver { .. }) | None => continue,
            };
            let fits = self.ipc.msg.ids.get(id).is_ok_and(|queue| queue.what.fits(size));
            if fits { &mut woken } else { &mut left }.push(task);
        }
        self.wake_senders(&woken);
        if let Ok(queue) = self.ipc.msg.ids.get_mut(id) {
            queue.what.senders = [woken, left].concat();
        }
    }

    /// They have to look again.
    pub(super) fn wake_senders(&mut self, senders: &[TaskId]) {
        for &task in senders {
            if let Some(MsgWait::Sender { woken, .. }) = self.ipc.msg.waits.get_mut(&task) {
                *woken = true;
            }
            self.publish(Event::Ipc(task));
        }
    }

    /// msgrcv(2).
    pub fn sys_msgrcv(&mut self, call: &mut Call<'_>) -> SysResult {
        let (size, flags) = (call.arg(2), call.int(4));
        if call.flight.progress == Progress::IpcWait {
            let wait = self.ipc.msg.waits.get(&call.task).cloned();
            let Some(MsgWait::Receiver { done: Some(done), .. }) = wait else {
                return Err(self.msg_sleep(call));
            };
            self.ipc.msg.unlink(call.task);
            match done {
                Ok(message) => return do_msg_fill(call, &message, size),
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let copies = flags & MSG_COPY != 0;
        let id = self.ipc_id(call)?;
        if (size as i64) < 0 || copies && flags & (MSG_EXCEPT | IPC_NOWAIT) != IPC_NOWAIT {
            return Err(Errno::EINVAL.into());
        }
        let search = Search::new(call.arg(3) as i64, flags);
        let queue = self.ipc.msg.ids.get(id)?;
        queue.perm.check(&self.tasks[call.task].cred, self.ipc_caps(call.task), S_IRUGO)?;
        let Some(place) = search.find(&queue.what.messages) else {
            return self.wait_for_message(call, id, search, flags);
        };
        let message = queue.what.messages[place].clone();
        if size < message.text.len() as u64 && flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG.into());
        }
        if copies {
            if size.min(self.ipc_limits(call.task).msgmax.into()) < message.text.len() as u64 {
                return Err(Errno::EINVAL.into());
            }
            return do_msg_fill(call, &message, size);
        }
        let (pid, now) = (self.tgid(call.task).0, self.real_seconds());
        let queue = &mut self.ipc.msg.ids.get_mut(id)?.what;
        queue.messages.remove(place);
        queue.cbytes -= message.text.len() as u64;
        (queue.lrpid, queue.rtime) = (pid, now);
        self.ss_wakeup(id);
        do_msg_fill(call, &message, size)
    }

    /// ENOMSG, or to the end of the receivers.
    fn wait_for_message(
        &mut self,
        call: &mut Call<'_>,
        id: IpcId,
        search: Search,
        flags: i32,
    ) -> SysResult {
        if flags & IPC_NOWAIT != 0 {
            return Err(Errno::ENOMSG.into());
        }
        let max = if flags & MSG_NOERROR != 0 { i32::MAX as u64 } else { call.arg(2) };
        let wait = MsgWait::Receiver { id, search, max, done: None };
        self.ipc.msg.waits.insert(call.task, wait);
        self.ipc.msg.ids.get_mut(id)?.what.receivers.push(call.task);
        call.flight.progress = Progress::IpcWait;
        Err(self.msg_sleep(call))
    }

    /// Until somebody ends the wait, or a signal does (ERESTARTNOHAND).
    fn msg_sleep(&mut self, call: &mut Call<'_>) -> Stop {
        if self.signal_pending(call.task) {
            self.ipc.msg.unlink(call.task);
        }
        Wait::on(Event::Ipc(call.task)).with_restart(Restart::NoHand).into()
    }
}

/// do_msg_fill(): the type and as much of the text as there is room for.
fn do_msg_fill(call: &mut Call<'_>, message: &Message, size: u64) -> SysResult {
    let len = message.text.len().min(usize::try_from(size).unwrap_or(usize::MAX));
    let to = call.ptr(1);
    call.write_u64(to, message.kind as u64)?;
    call.write_user(to.add(8), &message.text[..len])?;
    Ok(len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_finds_its_like() {
        let message = |kind| Message { kind, text: Arc::new([]) };
        let queue: VecDeque<Message> = [5, 2, 9, 2, 1].map(message).into();
        let find = |kind, flags| Search::new(kind, flags).find(&queue);
        assert_eq!(find(0, 0), Some(0));
        assert_eq!(find(2, 0), Some(1));
        assert_eq!(find(5, MSG_EXCEPT), Some(1));
        assert_eq!(find(-4, 0), Some(4));
        assert_eq!(find(-1, 0), Some(4));
        assert_eq!(find(7, 0), None);
        assert_eq!(find(i64::MIN, 0), Some(4));
        assert_eq!((find(2, MSG_COPY), find(5, MSG_COPY)), (Some(2), None));
    }
}
