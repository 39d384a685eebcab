//! epoll(7).

use crate::arena::Id;
use crate::kernel::Kernel;
use crate::wait_queue::Event;

/// Names an [`Epoll`].
pub type EpollId = Id<Epoll>;

/// One epoll set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Epoll {}

impl Kernel {
    /// ep_poll_callback(): `event`, which items of `epoll` watch, was published.
    pub fn ep_poll_callback(&mut self, epoll: EpollId, event: Event) {
        let _ = (epoll, event);
    }
}
