//! epoll(7).

use crate::abi::poll::PollBits;
use crate::arena::Id;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::wait_queue::Event;

/// Names an [`Epoll`].
pub type EpollId = Id<Epoll>;

/// One epoll set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Epoll {}

impl Kernel {
    /// ep_poll_callback(): `event`, which items of `epoll` watch, was published.
    pub fn ep_poll_callback(&mut self, epoll: EpollId, event: Event, key: PollBits) {
        let _ = (epoll, event, key);
    }

    /// ep_eventpoll_poll(): readable when an item has something to report.
    pub fn ep_poll(&self, task: TaskId, epoll: EpollId) -> PollBits {
        let _ = (task, epoll);
        PollBits::NONE
    }

    /// ep_eventpoll_release(): the set is gone, and all its items.
    pub fn ep_release(&mut self, epoll: EpollId) {
        self.epolls.remove(epoll);
    }

    /// eventpoll_release(): out of all epoll sets (rule F-12).
    pub fn eventpoll_release(&mut self, file: FileId) {
        let _ = file;
    }
}
