//! epoll(7): sets of items, keyed by (description, descriptor) (rule F-12), and the list of those
//! that may have something to report, in the order in which they became ready. A publication puts
//! items on the list (`ep_poll_callback`); epoll_wait looks at each again. Neighbours: `ctl`
//! (epoll_ctl), `wait` (epoll_wait), `wait_queue` (who watches what).

mod ctl;
#[cfg(test)]
mod tests;
mod wait;

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::arena::Id;
use crate::fs::file::{File, FileId, FileKind};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::wait_queue::Event;
use std::collections::{BTreeMap, VecDeque};

/// Names an [`Epoll`].
pub type EpollId = Id<Epoll>;

/// EPOLLEXCLUSIVE: one of several sets is told.
const EPOLLEXCLUSIVE: u32 = 1 << 28;
/// EPOLLWAKEUP: a hint without effect here; nobody suspends.
const EPOLLWAKEUP: u32 = 1 << 29;
/// EPOLLONESHOT: silent after one report, until modified.
const EPOLLONESHOT: u32 = 1 << 30;
/// EPOLLET: edge-triggered.
const EPOLLET: u32 = 1 << 31;
/// EP_PRIVATE_BITS: not events.
const PRIVATE: u32 = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET;

/// epoll_filefd: what an item is found by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct ItemKey {
    file: FileId,
    fd: i32,
}

/// epitem.
#[derive(Clone, PartialEq, Eq, Debug)]
struct EpItem {
    /// Events and flags, as epoll_ctl gave them, with ERR and HUP.
    events: u32,
    /// epoll_data.
    data: u64,
    /// What it watches.
    on: Vec<Event>,
}

/// One epoll set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Epoll {
    items: BTreeMap<ItemKey, EpItem>,
    /// rdllist: items that may have something to report, first come first.
    ready: VecDeque<ItemKey>,
    /// Items by what they watch.
    watching: BTreeMap<Event, Vec<ItemKey>>,
}

impl Kernel {
    /// ep_show_fdinfo(): a line for everything that it watches.
    pub(crate) fn ep_show_fdinfo(&self, epoll: EpollId) -> String {
        let mut text = String::new();
        for (key, item) in &self.epolls[epoll].items {
            let stat = self.file_stat(key.file);
            let (fd, events, data, pos) =
                (key.fd, item.events, item.data, self.files[key.file].pos);
            let sdev = stat.dev.0 << 20 | stat.dev.1;
            text.push_str(&format!(
                "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:{pos} ino:{:x} sdev:{sdev:x}\n",
                stat.ino
            ));
        }
        text
    }
}

impl Epoll {
    fn mark_ready(&mut self, key: ItemKey) -> bool {
        let fresh = !self.ready.contains(&key);
        if fresh {
            self.ready.push_back(key);
        }
        fresh
    }
}

impl Kernel {
    /// epoll_create(2): the size is a relic, but must be positive.
    pub fn sys_epoll_create(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.int(0) <= 0 {
            return Err(Errno::EINVAL.into());
        }
        self.do_epoll_create(call, false)
    }

    /// epoll_create1(2).
    pub fn sys_epoll_create1(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(0) as u32;
        if flags & !OFlags::CLOEXEC.0 != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.do_epoll_create(call, flags != 0)
    }

    fn do_epoll_create(&mut self, call: &mut Call<'_>, cloexec: bool) -> SysResult {
        let epoll = self.epolls.insert(Epoll::default());
        let file = self.files.insert(File::new(FileKind::Epoll(epoll), OFlags::RDWR));
        Ok(self.install_fd(call.task, file, cloexec)? as u64)
    }

    /// ep_poll_callback(): `event` was published for `key`. Items that watch it and want `key` go
    /// to the ready list; whoever sleeps in epoll_wait is woken. True when an EPOLLEXCLUSIVE item
    /// found a sleeper.
    pub fn ep_poll_callback(
        &mut self,
        epoll: EpollId,
        event: Event,
        key: PollBits,
        exclusive: bool,
    ) -> bool {
        let Some(ep) = self.epolls.get_mut(epoll) else { return false };
        let (mut told, mut took) = (false, false);
        let mut items = ep.watching.get(&event).cloned().unwrap_or_default();
        if !exclusive {
            items.reverse(); // the last one is at the head of the object's wait queue
        }
        for item in items {
            let events = ep.items[&item].events;
            // A disabled item (EPOLLONESHOT) asks for nothing.
            let wants = events & !PRIVATE != 0 && key.0 & events != 0;
            if wants && exclusive == (events & EPOLLEXCLUSIVE != 0) {
                ep.mark_ready(item);
                told = true;
                let in_out = key & (PollBits::IN | PollBits::OUT);
                took |= key == PollBits(u32::MAX) || in_out.0 & events == in_out.0;
            }
        }
        let waited_for = !self.waits.sleepers(Event::Epoll(epoll)).is_empty();
        if told {
            self.publish_poll(Event::Epoll(epoll), PollBits::IN | PollBits::RDNORM);
        }
        took && waited_for
    }

    /// ep_item_poll(): what an item would report now.
    fn ep_item_poll(&self, task: TaskId, epoll: EpollId, key: ItemKey) -> PollBits {
        let events = self.epolls[epoll].items.get(&key).map_or(0, |item| item.events);
        self.file_poll(task, key.file) & PollBits(events & !PRIVATE)
    }

    /// ep_eventpoll_poll(): readable when an item has something to report.
    pub fn ep_poll(&self, task: TaskId, epoll: EpollId) -> PollBits {
        let any = self.epolls[epoll]
            .ready
            .iter()
            .any(|key| !self.ep_item_poll(task, epoll, *key).is_empty());
        if any { PollBits::IN | PollBits::RDNORM } else { PollBits::NONE }
    }

    /// ep_remove().
    fn ep_remove(&mut self, epoll: EpollId, key: ItemKey) {
        let ep = &mut self.epolls[epoll];
        let Some(item) = ep.items.remove(&key) else { return };
        ep.ready.retain(|k| *k != key);
        for event in item.on {
            if let Some(keys) = ep.watching.get_mut(&event) {
                keys.retain(|k| *k != key);
                if keys.is_empty() {
                    ep.watching.remove(&event);
                }
            }
            self.waits.unwatch(event, epoll, item.events & EPOLLEXCLUSIVE != 0);
        }
    }

    /// ep_eventpoll_release(): the set is gone, and all its items.
    pub fn ep_release(&mut self, epoll: EpollId) {
        let keys: Vec<ItemKey> = self.epolls[epoll].items.keys().copied().collect();
        for key in keys {
            self.ep_remove(epoll, key);
        }
        self.epolls.remove(epoll);
    }

    /// eventpoll_release(): the description is at its end: out of all sets (rule F-12).
    pub fn eventpoll_release(&mut self, file: FileId) {
        let range = ItemKey { file, fd: i32::MIN }..=ItemKey { file, fd: i32::MAX };
        let of = |ep: &Epoll| ep.items.range(range.clone()).map(|(k, _)| *k).collect::<Vec<_>>();
        let found: Vec<(EpollId, Vec<ItemKey>)> =
            self.epolls.iter().map(|(id, ep)| (id, of(ep))).collect();
        for (epoll, keys) in found {
            for key in keys {
                self.ep_remove(epoll, key);
            }
        }
    }
}
