//! POSIX message queues (mq_overview(7)): mq_open(3), mq_unlink, mq_notify, mq_getattr, mq_setattr;
//! sending and receiving are in `mq_transfer`. A queue lives while it has a name or a description
//! is open on it; the descriptor is a file of `fs/anon`. There is no /dev/mqueue. Limits as in
//! /proc/sys/fs/mqueue.

use super::mq_transfer::{MQ_PRIO_MAX, Message, MqWait};
use super::namespace::IpcNs;
use super::sysctl::{HARD_MSGMAX, HARD_MSGSIZEMAX};
use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::abi::signal::Signal;
use crate::fact::Fact;
use crate::fs::anon::Anon;
use crate::fs::file::{FileId, FileKind};
use crate::fs::inode::{MAY_READ, MAY_WRITE, in_group};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::rlimit::RLIMIT_MSGQUEUE;
use crate::task::signal::{SigDetail, SigInfo, Target};
use crate::task::user_namespace::UserNamespaces;
use crate::task::{Cred, Pid, TaskId};
use linux_raw_sys::general as raw;
use std::collections::BTreeMap;

/// What a message is charged beside its text (struct msg_msg), and each priority that there can be
/// (struct posix_msg_tree_node).
const MESSAGE: u64 = 48;
const PRIORITY: u64 = 48;
/// si_code of a notification.
const SI_MESGQ: i32 = -3;
const SIGEV_SIGNAL: u32 = 0;
const SIGEV_NONE: u32 = 1;
const SIGEV_THREAD: u32 = 2;

/// Whoever wants to hear of a first message (mq_notify).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Notify {
    owner: Pid,
    /// What the owner had executed so far: another program gets no signal.
    exec_id: u32,
    /// None with SIGEV_NONE, or for signal 0.
    signal: Option<Signal>,
    value: u64,
}

/// mqueue_inode_info.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mqueue {
    /// Descriptions that are open on it.
    files: u32,
    /// It has its name still.
    named: bool,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Whose RLIMIT_MSGQUEUE it counts against, and how much.
    charged: (u32, u64),
    notify: Option<Notify>,
    pub(super) max_messages: u64,
    pub(super) max_size: u64,
    /// By priority, highest first; first come first served in each.
    pub(super) messages: Vec<Message>,
    pub(super) receivers: Vec<TaskId>,
    pub(super) senders: Vec<TaskId>,
}

impl Mqueue {
    fn permission(&self, users: &UserNamespaces, cred: &Cred, mask: u32) -> Result<(), Errno> {
        let class = if cred.fsuid == self.uid {
            6
        } else if in_group(cred, self.gid) {
            3
        } else {
            0
        };
        let over = users.caps_over_file(cred, self.uid, self.gid).has(Cap::DacOverride);
        if over || self.mode >> class & 7 & mask == mask { Ok(()) } else { Err(Errno::EACCES) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages.len() as u64 >= self.max_messages
    }
}

/// All of a host's POSIX message queues.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mqueues {
    names: BTreeMap<(IpcNs, Vec<u8>), u64>,
    pub(super) queues: BTreeMap<u64, Mqueue>,
    pub(super) waits: BTreeMap<TaskId, MqWait>,
}

impl Mqueues {
    /// The names of a namespace that is no more.
    pub(super) fn forget_names(&mut self, ns: IpcNs) {
        let gone: Vec<u64> =
            self.names.iter().filter(|((at, _), _)| *at == ns).map(|(_, id)| *id).collect();
        self.names.retain(|(at, _), _| *at != ns);
        for id in gone {
            self.queue_mut(id).named = false;
            self.reap(id);
        }
    }

    pub(super) fn queue_mut(&mut self, id: u64) -> &mut Mqueue {
        self.queues.get_mut(&id).expect("a description keeps its queue")
    }

    /// A queue without name and description goes.
    fn reap(&mut self, id: u64) {
        if self.queues.get(&id).is_some_and(|queue| !queue.named && queue.files == 0) {
            self.queues.remove(&id);
        }
    }
}

impl Kernel {
    /// mq_open(2): a descriptor, close-on-exec.
    pub fn sys_mq_open(&mut self, call: &mut Call<'_>) -> SysResult {
        let (flags, mode) = (call.arg(1) as u32, call.arg(2) as u32);
        let attr = match call.ptr(3) {
            attr if attr.is_null() => None,
            attr => Some(call.read_array::<64>(attr)?),
        };
        let name = call.read_path(call.ptr(0))?;
        let end = self.rlimit_nofile(call.task);
        let fd = self.table_mut(call.task).alloc_fd(0, end, true)?;
        let opened = self.do_mq_open(call.task, name, flags, mode, attr.as_ref());
        let queue = opened.inspect_err(|_| self.table_mut(call.task).put_unused_fd(fd))?;
        self.ipc.mq.queue_mut(queue).files += 1;
        let keeps = raw::O_ACCMODE | raw::O_NONBLOCK;
        let file = self.anon_getfile(Anon::Mqueue(queue), OFlags(flags & keeps));
        self.table_mut(call.task).fd_install(fd, file);
        Ok(fd as u64)
    }

    /// The queue of this name, made if that was asked for.
    fn do_mq_open(
        &mut self,
        task: TaskId,
        name: Vec<u8>,
        flags: u32,
        mode: u32,
        attr: Option<&[u8; 64]>,
    ) -> Result<u64, Errno> {
        check_name(&name)?;
        let name = (self.ipc_ns(task), name);
        let Some(&id) = self.ipc.mq.names.get(&name) else {
            if flags & raw::O_CREAT == 0 {
                return Err(Errno::ENOENT);
            }
            return self.mqueue_create(task, name, mode, attr);
        };
        if flags & raw::O_CREAT != 0 && flags & raw::O_EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        let mask = match flags & raw::O_ACCMODE {
            raw::O_RDONLY => MAY_READ,
            raw::O_WRONLY => MAY_WRITE,
            raw::O_RDWR => MAY_READ | MAY_WRITE,
            _ => return Err(Errno::EINVAL),
        };
        let (users, cred) = (&self.namespaces.user, &self.tasks[task].cred);
        self.ipc.mq.queues[&id].permission(users, cred, mask)?;
        Ok(id)
    }

    /// mqueue_create_attr(). ENOSPC, EINVAL, EMFILE beyond RLIMIT_MSGQUEUE.
    fn mqueue_create(
        &mut self,
        task: TaskId,
        name: (IpcNs, Vec<u8>),
        mode: u32,
        attr: Option<&[u8; 64]>,
    ) -> Result<u64, Errno> {
        let cred = &self.tasks[task].cred;
        let privileged = cred.capable(Cap::SysResource);
        let limits = self.ipc_limits(task);
        let names = self.ipc.mq.names.keys().filter(|(ns, _)| *ns == name.0);
        if names.count() >= limits.mq_queues_max as usize && !privileged {
            return Err(Errno::ENOSPC);
        }
        let word = |bytes: &[u8; 64], at: usize| {
            i64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]))
        };
        let default = (
            limits.mq_msg_max.min(limits.mq_msg_default).into(),
            limits.mq_msgsize_max.min(limits.mq_msgsize_default).into(),
        );
        let wanted = attr.map_or(default, |b| (word(b, 8), word(b, 16)));
        let most = match privileged {
            true => (HARD_MSGMAX, HARD_MSGSIZEMAX),
            false => (limits.mq_msg_max, limits.mq_msgsize_max),
        };
        let within =
            |value: i64, most| u64::try_from(value).ok().filter(|n| (1..=most).contains(n));
        let max_messages = within(wanted.0, most.0.into()).ok_or(Errno::EINVAL)?;
        let max_size = within(wanted.1, most.1.into()).ok_or(Errno::EINVAL)?;
        let bytes =
            max_messages * (max_size + MESSAGE) + max_messages.min(MQ_PRIO_MAX.into()) * PRIORITY;
        let uid = cred.uid;
        let of_user = self.ipc.mq.queues.values().filter(|queue| queue.charged.0 == uid);
        let used: u64 = of_user.map(|queue| queue.charged.1).sum();
        if used + bytes > self.rlimit(task, RLIMIT_MSGQUEUE) {
            return Err(Errno::EMFILE);
        }
        let cred = &self.tasks[task].cred;
        let queue = Mqueue {
            files: 0,
            named: true,
            mode: mode & !self.fs(task).umask & 0o777,
            uid: cred.fsuid,
            gid: cred.fsgid,
            charged: (uid, bytes),
            notify: None,
            max_messages,
            max_size,
            messages: Vec::new(),
            receivers: Vec::new(),
            senders: Vec::new(),
        };
        let id = self.anon.new_ino();
        self.ipc.mq.queues.insert(id, queue);
        self.ipc.mq.names.insert(name, id);
        Ok(id)
    }

    /// mq_unlink(2): the name goes; the directory is sticky.
    pub fn sys_mq_unlink(&mut self, call: &mut Call<'_>) -> SysResult {
        let name = call.read_path(call.ptr(0))?;
        check_name(&name)?;
        let name = (self.ipc_ns(call.task), name);
        let id = *self.ipc.mq.names.get(&name).ok_or(Errno::ENOENT)?;
        let cred = &self.tasks[call.task].cred;
        let queue = &self.ipc.mq.queues[&id];
        let caps = self.namespaces.user.caps_over_file(cred, queue.uid, queue.gid);
        if cred.fsuid != queue.uid && !caps.has(Cap::Fowner) {
            return Err(Errno::EPERM.into());
        }
        self.ipc.mq.names.remove(&name);
        self.ipc.mq.queue_mut(id).named = false;
        self.ipc.mq.reap(id);
        Ok(0)
    }

    /// The queue behind a descriptor, and its description. EBADF for anything else.
    pub(super) fn mqueue_of(&mut self, call: &mut Call<'_>) -> Result<(u64, FileId), Errno> {
        let file = self.fdget(call, call.int(0))?;
        Ok((self.mqueue_of_file(file).ok_or(Errno::EBADF)?, file))
    }

    fn mqueue_of_file(&self, file: FileId) -> Option<u64> {
        let FileKind::Anon(id) = self.files[file].kind else { return None };
        self.anon.mqueue(id)
    }

    /// mqueue_flush_file(): a process that closes a descriptor hears no more.
    pub(crate) fn mqueue_flush(&mut self, task: TaskId, file: FileId) {
        let Some(id) = self.mqueue_of_file(file) else { return };
        let pid = self.tgid(task);
        let queue = self.ipc.mq.queue_mut(id);
        if queue.notify.is_some_and(|notify| notify.owner == pid) {
            queue.notify = None;
        }
    }

    /// One description less.
    pub(crate) fn mqueue_release(&mut self, id: u64) {
        self.ipc.mq.queue_mut(id).files -= 1;
        self.ipc.mq.reap(id);
    }

    /// mqueue_poll_file().
    pub(crate) fn mqueue_poll(&self, id: u64) -> PollBits {
        let queue = &self.ipc.mq.queues[&id];
        let mut bits = PollBits::NONE;
        if !queue.messages.is_empty() {
            bits |= PollBits::IN | PollBits::RDNORM;
        }
        if !queue.is_full() {
            bits |= PollBits::OUT | PollBits::WRNORM;
        }
        bits
    }

    /// mq_getsetattr(2): O_NONBLOCK can be set; sizes and the number of messages are told.
    pub fn sys_mq_getsetattr(&mut self, call: &mut Call<'_>) -> SysResult {
        let (new, old) = (call.ptr(1), call.ptr(2));
        let nonblock = u64::from(raw::O_NONBLOCK);
        let set = match new.is_null() {
            true => None,
            false => Some(u64::from_le_bytes(
                *call.read_array::<64>(new)?.first_chunk().ok_or(Errno::EFAULT)?,
            )),
        };
        if set.is_some_and(|flags| flags & !nonblock != 0) {
            return Err(Errno::EINVAL.into());
        }
        let (id, file) = self.mqueue_of(call)?;
        let queue = &self.ipc.mq.queues[&id];
        let flags = u64::from(self.files[file].flags.0) & nonblock;
        let told = [flags, queue.max_messages, queue.max_size, queue.messages.len() as u64];
        if let Some(set) = set {
            let flags = &mut self.files[file].flags.0;
            *flags = *flags & !raw::O_NONBLOCK | set as u32;
        }
        if !old.is_null() {
            let bytes = [&told.map(u64::to_le_bytes).concat()[..], &[0; 32]].concat();
            call.write_user(old, &bytes)?;
        }
        Ok(0)
    }

    /// mq_notify(2): one process at a time is told of the next first message. EBUSY.
    pub fn sys_mq_notify(&mut self, call: &mut Call<'_>) -> SysResult {
        let wanted = match call.ptr(1) {
            event if event.is_null() => None,
            event => Some(self.mq_sigevent(call.task, call.read_array::<64>(event)?)?),
        };
        let (id, _) = self.mqueue_of(call)?;
        let pid = self.tgid(call.task);
        let old = &mut self.ipc.mq.queue_mut(id).notify;
        match (wanted, &old) {
            (None, Some(notify)) if notify.owner == pid => *old = None,
            (None, _) => {}
            (Some(_), Some(_)) => return Err(Errno::EBUSY.into()),
            (Some(notify), None) => *old = Some(notify),
        }
        Ok(0)
    }

    /// struct sigevent. EINVAL for an unknown way or a bad signal.
    fn mq_sigevent(&mut self, task: TaskId, bytes: [u8; 64]) -> Result<Notify, Errno> {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        let value = u64::from(word(0)) | u64::from(word(4)) << 32;
        let signal = match (word(12), word(8)) {
            (SIGEV_NONE, _) | (SIGEV_SIGNAL, 0) => None,
            (SIGEV_SIGNAL, number) => Some(Signal::new(number.into()).ok_or(Errno::EINVAL)?),
            (SIGEV_THREAD, _) => {
                // The C library makes a thread of a netlink message: there is no netlink.
                self.tell(Some(task), Fact::unsupported("mq_notify SIGEV_THREAD", ""));
                return Err(Errno::EBADF);
            }
            _ => return Err(Errno::EINVAL),
        };
        let exec_id = self.groups[self.tasks[task].group].self_exec_id;
        Ok(Notify { owner: self.tgid(task), exec_id, signal, value })
    }

    /// __do_notify(): the queue was empty and nobody waited: who asked for it is told, once.
    pub(super) fn mq_do_notify(&mut self, sender: TaskId, id: u64) {
        let queue = self.ipc.mq.queue_mut(id);
        let Some(notify) = queue.notify.take_if(|_| queue.messages.len() == 1) else { return };
        let (tgid, uid) = (self.tgid(sender), self.tasks[sender].cred.uid);
        let Some(signal) = notify.signal else { return };
        let Some(owner) = self.pids.task(notify.owner) else { return };
        let group = self.tasks[owner].group;
        if self.groups[group].self_exec_id == notify.exec_id {
            let pid = Pid(self.pid_vnr(owner, tgid));
            let detail = SigDetail::Rt { pid, uid, value: notify.value };
            let info = SigInfo { signal, errno: 0, code: SI_MESGQ, detail };
            // A full queue of signals loses it, as any other.
            let _ = self.send_signal(info, Target::Group(group));
        }
    }
}

/// lookup_one_len(): a name of one component.
fn check_name(name: &[u8]) -> Result<(), Errno> {
    match name {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        _ if name.contains(&b'/') => Err(Errno::EACCES),
        _ if name.len() > 255 => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}
