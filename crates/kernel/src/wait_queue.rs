//! Wait queues as values: who sleeps on which event. Publishing an event makes its sleepers ready, in
//! Linux's order: add_wait_queue() puts ordinary ones at the head, so the last comes first, and
//! exclusive ones at the tail. Each then runs its in-flight call again, which either finishes or
//! waits anew (keeping its place: `Wait::since`). Epoll items hear of every publication too,
//! whether or not anyone sleeps: edge triggering lives on that (architecture, invariant 3).

use crate::abi::poll::PollBits;
use crate::fs::cgroup::CgroupId;
use crate::fs::epoll::EpollId;
use crate::fs::inode::InodeId;
use crate::fs::mount::namespace::MntNs;
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::net::conn::ConnId;
use crate::net::socket::SocketId;
use crate::task::{GroupId, TaskId};
use crate::tty::TtyId;
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
    /// An AF_UNIX socket's queue got room, or it died (peer_wait): who sends or connects to it.
    UnixPeer(SocketId),
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
    /// Somebody ended the call with which this task waits in a queue of `ipc`.
    Ipc(TaskId),
    /// A signal was queued that this task may read with a signalfd (rule S-38).
    Signal(TaskId),
    /// Input, or the end of it, came to the console.
    Console,
    /// A pseudoterminal's slave got input or room, or lost its master.
    TtySlave(TtyId),
    /// A pseudoterminal's master got output or room, or lost its slave.
    TtyMaster(TtyId),
    /// The tree of this mount namespace changed.
    Mounts(MntNs),
    /// cgroup.events of this group changed.
    Cgroup(CgroupId),
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

/// An epoll set that watches an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Watcher {
    epoll: EpollId,
    exclusive: bool,
    /// How many of its items do.
    items: u32,
}

/// Sleepers by event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WaitQueues {
    sleepers: BTreeMap<Event, Vec<Sleeper>>,
    /// Epoll sets that watch an event, with how many of their items do.
    watchers: BTreeMap<Event, Vec<Watcher>>,
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

    /// Who sleeps on `event`, in the order of waking.
    pub fn sleepers(&self, event: Event) -> Vec<TaskId> {
        self.in_order(event).iter().map(|sleeper| sleeper.task).collect()
    }

    /// Ordinary sleepers, the last one first; then exclusive ones, the first one first. An epoll set
    /// has two queues: first that of epoll_wait, whose exclusive sleepers go to the head too, then
    /// that of whoever polls the set itself.
    fn in_order(&self, event: Event) -> Vec<Sleeper> {
        let queue = self.sleepers.get(&event).map(Vec::as_slice).unwrap_or_default();
        let ordinary = queue.iter().rev().filter(|sleeper| !sleeper.exclusive);
        let exclusive = queue.iter().filter(|sleeper| sleeper.exclusive);
        match event {
            Event::Epoll(_) => exclusive.rev().chain(ordinary).copied().collect(),
            _ => ordinary.chain(exclusive).copied().collect(),
        }
    }

    /// One more item of `epoll` watches `event`; `exclusive` with EPOLLEXCLUSIVE.
    pub fn watch(&mut self, event: Event, epoll: EpollId, exclusive: bool) {
        let sets = self.watchers.entry(event).or_default();
        match sets.iter_mut().find(|w| w.epoll == epoll && w.exclusive == exclusive) {
            Some(watcher) => watcher.items += 1,
            None => sets.push(Watcher { epoll, exclusive, items: 1 }),
        }
    }

    /// One item of `epoll` less watches `event`.
    pub fn unwatch(&mut self, event: Event, epoll: EpollId, exclusive: bool) {
        let Some(sets) = self.watchers.get_mut(&event) else { return };
        if let Some(at) = sets.iter().position(|w| w.epoll == epoll && w.exclusive == exclusive) {
            sets[at].items -= 1;
            if sets[at].items == 0 {
                sets.remove(at);
            }
        }
        if sets.is_empty() {
            self.watchers.remove(&event);
        }
    }

    /// The epoll sets that watch `event`, with EPOLLEXCLUSIVE or without, in the order of sleepers.
    pub fn watchers(&self, event: Event, exclusive: bool) -> Vec<EpollId> {
        let sets = self.watchers.get(&event).map(Vec::as_slice).unwrap_or_default();
        let mut sets: Vec<EpollId> =
            sets.iter().filter(|w| w.exclusive == exclusive).map(|w| w.epoll).collect();
        if !exclusive {
            sets.reverse();
        }
        sets
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
        let exclusive_left = self.wake_sleepers(event);
        self.tell_epoll(event, key, exclusive_left);
    }

    /// wake_up(), of sleepers only: all ordinary ones and the first exclusive one. True when no
    /// exclusive one was there to be woken.
    pub fn wake_sleepers(&mut self, event: Event) -> bool {
        let queue = self.waits.in_order(event);
        let mut exclusive_left = true;
        for sleeper in queue {
            if sleeper.exclusive {
                if !exclusive_left || !self.tasks[sleeper.task].is_blocked() {
                    continue;
                }
                exclusive_left = false;
            }
            self.try_to_wake_up(sleeper.task);
        }
        exclusive_left
    }

    /// wake_up_all(): exclusive sleepers too (a listener that shuts down).
    pub fn publish_all(&mut self, event: Event) {
        let key = PollBits(u32::MAX);
        for task in self.waits.sleepers(event) {
            self.try_to_wake_up(task);
        }
        for exclusive in [false, true] {
            for epoll in self.waits.watchers(event, exclusive) {
                self.ep_poll_callback(epoll, event, key, exclusive);
            }
        }
    }

    /// All ordinary epoll items, and exclusive ones up to the first that takes it.
    fn tell_epoll(&mut self, event: Event, key: PollBits, mut exclusive_left: bool) {
        for epoll in self.waits.watchers(event, false) {
            self.ep_poll_callback(epoll, event, key, false);
        }
        for epoll in self.waits.watchers(event, true) {
            if exclusive_left {
                exclusive_left = !self.ep_poll_callback(epoll, event, key, true);
            }
        }
    }
}
