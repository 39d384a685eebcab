//! Wait queues as values: who sleeps on which event, in the order of going to sleep. Publishing an
//! event makes its sleepers ready; each then runs its in-flight call again, which either finishes
//! or waits anew (keeping its place: `Wait::since`). Epoll items hear of every publication too,
//! whether or not anyone sleeps: edge triggering lives on that (architecture, invariant 3).

use crate::abi::poll::PollBits;
use crate::fs::epoll::EpollId;
use crate::fs::inode::InodeId;
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::net::conn::ConnId;
use crate::net::socket::SocketId;
use crate::task::{GroupId, TaskId};
use std::collections::BTreeMap;

/// Something that can be waited for. An event says that the state of its object changed; whoever
/// is woken looks again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// A pipe or FIFO got bytes, or its other end changed (rd_wait).
    PipeReaders(PipeId),
    /// A pipe or FIFO got room, or its other end changed (wr_wait).
    PipeWriters(PipeId),
    /// Readiness of a socket changed.
    Socket(SocketId),
    /// A connection whose close lingers got its FIN acknowledged (rule T-4).
    Conn(ConnId),
    /// An epoll set has something to report, or lost it.
    Epoll(EpollId),
    /// An object of `fs::anon` (eventfd, timerfd, signalfd, …), by its number.
    Anon(u64),
    /// A child of this group died, stopped or continued.
    Child(GroupId),
    /// This group's state is of interest to a pidfd or to an exec that waits for its threads.
    Group(GroupId),
    /// A vfork child of this task left its borrowed address space (rule X-16).
    Vfork(TaskId),
    /// A futex wake marked this task (task/futex keeps its own queues).
    Futex(TaskId),
    /// A signal that this task waits for with sigtimedwait or pause arrived.
    Signal(TaskId),
    /// Input, or the end of it, came to the console.
    Console,
    /// A lock on this inode was released, or its FIFO got a reader or writer.
    Inode(InodeId),
}

/// One entry of a wait queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sleeper {
    /// The moment (a counter) at which it first went to sleep in this call.
    place: u64,
    task: TaskId,
    /// WQ_FLAG_EXCLUSIVE: only one of these is woken by a `publish`.
    exclusive: bool,
}

/// Sleepers by event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WaitQueues {
    sleepers: BTreeMap<Event, Vec<Sleeper>>,
    /// Epoll sets that watch an event, with how many of their items do.
    watchers: BTreeMap<Event, BTreeMap<EpollId, u32>>,
    counter: u64,
}

impl WaitQueues {
    /// A new place at the end of all queues.
    pub fn next_place(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Puts `task` to sleep on `event` at `place`.
    pub fn add(&mut self, event: Event, place: u64, task: TaskId, exclusive: bool) {
        let queue = self.sleepers.entry(event).or_default();
        let at = queue.partition_point(|s| s.place <= place);
        queue.insert(at, Sleeper { place, task, exclusive });
    }

    /// Takes `task` out of the queue of `event`.
    pub fn remove(&mut self, event: Event, task: TaskId) {
        if let Some(queue) = self.sleepers.get_mut(&event) {
            queue.retain(|s| s.task != task);
            if queue.is_empty() {
                self.sleepers.remove(&event);
            }
        }
    }

    /// Who sleeps on `event`, first sleeper first.
    pub fn sleepers(&self, event: Event) -> Vec<TaskId> {
        self.sleepers.get(&event).map(|q| q.iter().map(|s| s.task).collect()).unwrap_or_default()
    }

    /// One more item of `epoll` watches `event`.
    pub fn watch(&mut self, event: Event, epoll: EpollId) {
        *self.watchers.entry(event).or_default().entry(epoll).or_default() += 1;
    }

    /// One item of `epoll` less watches `event`.
    pub fn unwatch(&mut self, event: Event, epoll: EpollId) {
        let Some(sets) = self.watchers.get_mut(&event) else { return };
        if let Some(count) = sets.get_mut(&epoll) {
            *count -= 1;
            if *count == 0 {
                sets.remove(&epoll);
            }
        }
        if sets.is_empty() {
            self.watchers.remove(&event);
        }
    }

    /// The epoll sets that watch `event`.
    pub fn watchers(&self, event: Event) -> Vec<EpollId> {
        self.watchers.get(&event).map(|s| s.keys().copied().collect()).unwrap_or_default()
    }
}

impl Kernel {
    /// wake_up(): the state of `event`'s object changed. All ordinary sleepers become ready, and
    /// the first exclusive one that still sleeps; epoll items take note. Sleepers stay in their
    /// queues until they ran again (`Kernel::resume` takes them out).
    pub fn publish(&mut self, event: Event) {
        self.publish_poll(event, PollBits(u32::MAX));
    }

    /// wake_up_poll(): the same, naming what may have become ready, so that an edge-triggered
    /// epoll item that waits for something else stays silent.
    pub fn publish_poll(&mut self, event: Event, key: PollBits) {
        let queue = self.waits.sleepers.get(&event).cloned().unwrap_or_default();
        let mut exclusive_left = 1;
        for sleeper in queue {
            if sleeper.exclusive {
                if exclusive_left == 0 || !self.tasks[sleeper.task].is_blocked() {
                    continue;
                }
                exclusive_left -= 1;
            }
            self.try_to_wake_up(sleeper.task);
        }
        self.tell_epoll(event, key);
    }

    /// wake_up_all(): exclusive sleepers too (a listener that shuts down).
    pub fn publish_all(&mut self, event: Event) {
        for task in self.waits.sleepers(event) {
            self.try_to_wake_up(task);
        }
        self.tell_epoll(event, PollBits(u32::MAX));
    }

    fn tell_epoll(&mut self, event: Event, key: PollBits) {
        for epoll in self.waits.watchers(event) {
            self.ep_poll_callback(epoll, event, key);
        }
    }
}
