//! mq_timedsend(2) and mq_timedreceive(2). A message goes straight to the first receiver that
//! waits; when a message is taken, the first sender that waits gets its own in. Whoever sleeps
//! finds its call done. Neighbour: `mqueue` (queues, names, notification).

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, SysResult, Wait};
use crate::task::TaskId;
use crate::task::timer::clock::{Clock, nanos};
use crate::wait_queue::Event;
use std::sync::Arc;

/// MQ_PRIO_MAX.
pub(super) const MQ_PRIO_MAX: u32 = 32768;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    priority: u32,
    text: Arc<[u8]>,
}

/// ext_wait_queue: a call that waits, in the queue of this number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum MqWait {
    Receiver { queue: u64, got: Option<Message> },
    Sender { queue: u64, message: Message, done: bool },
}

impl super::mqueue::Mqueue {
    /// msg_insert(): behind those of its priority.
    fn insert(&mut self, message: Message) {
        let at = self.messages.partition_point(|other| other.priority >= message.priority);
        self.messages.insert(at, message);
    }
}

impl super::mqueue::Mqueues {
    /// Takes a call out of the queue that it waits in.
    pub(super) fn unlink(&mut self, task: TaskId) {
        let Some(wait) = self.waits.remove(&task) else { return };
        let (MqWait::Receiver { queue, .. } | MqWait::Sender { queue, .. }) = wait;
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.receivers.retain(|t| *t != task);
            queue.senders.retain(|t| *t != task);
        }
    }

    /// Bytes of all messages of the host.
    fn bytes(&self) -> u64 {
        let messages = self.queues.values().flat_map(|queue| &queue.messages);
        messages.map(|message| message.text.len() as u64).sum()
    }
}

impl Kernel {
    /// The absolute timeout, on CLOCK_REALTIME; taken once. EFAULT, EINVAL.
    fn mq_timeout(&mut self, call: &mut Call<'_>, at: UserPtr) -> Result<(), Errno> {
        if !at.is_null() && call.flight.until.is_none() {
            let time = self.read_timespec(call, at)?;
            call.flight.until = Some(self.instant_at(Clock::Realtime, nanos(time)));
        }
        Ok(())
    }

    /// mq_timedsend(2).
    pub fn sys_mq_timedsend(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.flight.progress == Progress::IpcWait {
            if let Some(MqWait::Sender { done: true, .. }) = self.ipc.mq.waits.get(&call.task) {
                self.ipc.mq.unlink(call.task);
                return Ok(0);
            }
            return self.mq_sleep(call);
        }
        let (text, len, priority) = (call.ptr(1), call.arg(2), call.arg(3) as u32);
        let timeout = call.ptr(4);
        self.mq_timeout(call, timeout)?;
        if priority >= MQ_PRIO_MAX {
            return Err(Errno::EINVAL.into());
        }
        let (id, file) = self.mqueue_of(call)?;
        if !self.files[file].flags.writable() {
            return Err(Errno::EBADF.into());
        }
        if len > self.ipc.mq.queue_mut(id).max_size {
            return Err(Errno::EMSGSIZE.into());
        }
        let text = call.read_bytes(text, len as usize)?.into();
        let message = Message { priority, text };
        let queue = self.ipc.mq.queue_mut(id);
        if !queue.is_full() {
            return self.mq_put(call.task, id, message);
        }
        if self.files[file].flags.nonblock() {
            return Err(Errno::EAGAIN.into());
        }
        queue.senders.push(call.task);
        let wait = MqWait::Sender { queue: id, message, done: false };
        self.ipc.mq.waits.insert(call.task, wait);
        call.flight.progress = Progress::IpcWait;
        self.mq_sleep(call)
    }

    /// There is room: to the first receiver that waits (pipelined_send), or into the queue.
    fn mq_put(&mut self, sender: TaskId, id: u64, message: Message) -> SysResult {
        let memory = self.config.memory;
        let queue = self.ipc.mq.queue_mut(id);
        if queue.receivers.is_empty() {
            queue.insert(message);
            // Unlike Linux, which finds out later, memory is refused before it is given.
            if self.ipc.mq.bytes() > memory {
                self.ipc.mq.queue_mut(id).messages.pop();
                return Err(Errno::ENOMEM.into());
            }
            self.mq_do_notify(sender, id);
            self.publish_poll(Event::Anon(id), PollBits::IN | PollBits::RDNORM);
            return Ok(0);
        }
        let receiver = queue.receivers.remove(0);
        if let Some(MqWait::Receiver { got, .. }) = self.ipc.mq.waits.get_mut(&receiver) {
            *got = Some(message);
        }
        self.publish(Event::Ipc(receiver));
        Ok(0)
    }

    /// mq_timedreceive(2): the oldest message of the highest priority.
    pub fn sys_mq_timedreceive(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.flight.progress == Progress::IpcWait {
            let wait = self.ipc.mq.waits.get(&call.task).cloned();
            if let Some(MqWait::Receiver { got: Some(message), .. }) = wait {
                self.ipc.mq.unlink(call.task);
                return store_message(call, &message);
            }
            return self.mq_sleep(call);
        }
        let timeout = call.ptr(4);
        self.mq_timeout(call, timeout)?;
        let (id, file) = self.mqueue_of(call)?;
        if !self.files[file].flags.readable() {
            return Err(Errno::EBADF.into());
        }
        let queue = self.ipc.mq.queue_mut(id);
        if call.arg(2) < queue.max_size {
            return Err(Errno::EMSGSIZE.into());
        }
        if !queue.messages.is_empty() {
            let message = queue.messages.remove(0);
            self.pipelined_receive(id);
            return store_message(call, &message);
        }
        if self.files[file].flags.nonblock() {
            return Err(Errno::EAGAIN.into());
        }
        queue.receivers.push(call.task);
        self.ipc.mq.waits.insert(call.task, MqWait::Receiver { queue: id, got: None });
        call.flight.progress = Progress::IpcWait;
        self.mq_sleep(call)
    }

    /// pipelined_receive(): there is room for the first sender that waits.
    fn pipelined_receive(&mut self, id: u64) {
        let queue = self.ipc.mq.queue_mut(id);
        if queue.senders.is_empty() {
            self.publish_poll(Event::Anon(id), PollBits::OUT | PollBits::WRNORM);
            return;
        }
        let sender = queue.senders.remove(0);
        let wait = self.ipc.mq.waits.get_mut(&sender);
        if let Some(MqWait::Sender { message, done, .. }) = wait {
            *done = true;
            let message = message.clone();
            self.ipc.mq.queue_mut(id).insert(message);
        }
        self.publish(Event::Ipc(sender));
    }

    /// wq_sleep(): until somebody ends the call, a signal comes (ERESTARTSYS), or time is up.
    fn mq_sleep(&mut self, call: &mut Call<'_>) -> SysResult {
        if self.signal_pending(call.task) {
            self.ipc.mq.unlink(call.task);
        } else if call.flight.until.is_some_and(|until| until <= self.now) {
            self.ipc.mq.unlink(call.task);
            return Err(Errno::ETIMEDOUT.into());
        }
        Err(Wait::on(Event::Ipc(call.task)).with_deadline(call.flight.until).into())
    }
}

/// Priority and text to the receiver.
fn store_message(call: &mut Call<'_>, message: &Message) -> SysResult {
    let (to, priority) = (call.ptr(1), call.ptr(3));
    if !priority.is_null() {
        call.write_u32(priority, message.priority)?;
    }
    call.write_user(to, &message.text)?;
    Ok(message.text.len() as u64)
}
