//! epoll_ctl(2): adding, changing and removing items. The order of refusals is Linux's: EFAULT,
//! EBADF, EPERM (no .poll), EINVAL, ELOOP, then EEXIST or ENOENT.

use super::{EPOLLET, EPOLLEXCLUSIVE, EPOLLWAKEUP, EpItem, EpollId, ItemKey, PRIVATE};
use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::file::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::wait_queue::Event;

const EPOLL_CTL_ADD: i32 = 1;
const EPOLL_CTL_DEL: i32 = 2;
const EPOLL_CTL_MOD: i32 = 3;
/// EP_MAX_NESTS: how many sets may hang below a set.
const EP_MAX_NESTS: usize = 4;
/// EPOLLEXCLUSIVE_OK_BITS: what may be asked together with it.
const EXCLUSIVE_OK: u32 =
    PollBits::IN.0 | PollBits::OUT.0 | ALWAYS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/// ERR and HUP are reported without being asked for.
const ALWAYS: u32 = PollBits::ERR.0 | PollBits::HUP.0;

impl Kernel {
    /// epoll_ctl(2).
    pub fn sys_epoll_ctl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (epfd, op, fd) = (call.int(0), call.int(1), call.int(2));
        let (mut events, mut data) = (0, 0);
        if op != EPOLL_CTL_DEL {
            // struct epoll_event is packed on x86-64.
            let raw: [u8; 12] = call.read_array(call.ptr(3))?;
            events = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
            data = u64::from_le_bytes(raw[4..].try_into().expect("8 bytes"));
        }
        let set = self.fdget(call, epfd)?;
        let target = self.fdget(call, fd)?;
        if !self.file_can_poll(target) {
            return Err(Errno::EPERM.into());
        }
        let FileKind::Epoll(epoll) = self.files[set].kind else {
            return Err(Errno::EINVAL.into());
        };
        if set == target {
            return Err(Errno::EINVAL.into());
        }
        self.check_exclusive(op, events, target)?;
        let key = ItemKey { file: target, fd };
        if let (EPOLL_CTL_ADD, FileKind::Epoll(inner)) = (op, self.files[target].kind) {
            self.ep_loop_check(epoll, inner)?;
        }
        let known = self.epolls[epoll].items.get(&key).map(|item| item.events);
        match (op, known) {
            (EPOLL_CTL_ADD, Some(_)) => Err(Errno::EEXIST.into()),
            (EPOLL_CTL_ADD, None) => self.ep_insert(call.task, epoll, key, events, data),
            (EPOLL_CTL_DEL, Some(_)) => {
                self.ep_remove(epoll, key);
                Ok(0)
            }
            (EPOLL_CTL_MOD, Some(old)) if old & EPOLLEXCLUSIVE != 0 => Err(Errno::EINVAL.into()),
            (EPOLL_CTL_MOD, Some(_)) => self.ep_modify(call.task, epoll, key, events, data),
            (EPOLL_CTL_DEL | EPOLL_CTL_MOD, None) => Err(Errno::ENOENT.into()),
            (_, _) => Err(Errno::EINVAL.into()),
        }
    }

    /// EPOLLEXCLUSIVE only when added, not on sets, and only with some events.
    fn check_exclusive(&self, op: i32, events: u32, target: FileId) -> Result<(), Errno> {
        if op == EPOLL_CTL_DEL || events & EPOLLEXCLUSIVE == 0 {
            return Ok(());
        }
        let nested = matches!(self.files[target].kind, FileKind::Epoll(_));
        if op != EPOLL_CTL_ADD || nested || events & !EXCLUSIVE_OK != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn ep_insert(
        &mut self,
        task: TaskId,
        epoll: EpollId,
        key: ItemKey,
        events: u32,
        data: u64,
    ) -> SysResult {
        let events = events | ALWAYS;
        let on = self.poll_events(task, key.file);
        for event in &on {
            self.waits.watch(*event, epoll, events & EPOLLEXCLUSIVE != 0);
            self.epolls[epoll].watching.entry(*event).or_default().push(key);
        }
        self.epolls[epoll].items.insert(key, EpItem { events, data, on });
        self.ep_look(task, epoll, key);
        Ok(0)
    }

    fn ep_modify(
        &mut self,
        task: TaskId,
        epoll: EpollId,
        key: ItemKey,
        events: u32,
        data: u64,
    ) -> SysResult {
        if let Some(item) = self.epolls[epoll].items.get_mut(&key) {
            item.events = events | ALWAYS;
            item.data = data;
        }
        self.ep_look(task, epoll, key);
        Ok(0)
    }

    /// An item that is ready when it is added or changed goes to the list.
    fn ep_look(&mut self, task: TaskId, epoll: EpollId, key: ItemKey) {
        let enabled = self.epolls[epoll].items[&key].events & !PRIVATE != 0;
        let ready = enabled && !self.ep_item_poll(task, epoll, key).is_empty();
        if ready && self.epolls[epoll].mark_ready(key) {
            self.publish_poll(Event::Epoll(epoll), PollBits::IN | PollBits::RDNORM);
        }
    }

    /// ep_loop_check(): ELOOP if `inner` already watches `epoll`, or if sets would be nested too
    /// deep.
    fn ep_loop_check(&self, epoll: EpollId, inner: EpollId) -> Result<(), Errno> {
        let below = self.ep_depth_below(inner, epoll, 0)?;
        if below + 1 + self.ep_depth_above(epoll) > EP_MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        Ok(())
    }

    /// How deep sets hang below `at`; ELOOP if `forbidden` is one of them.
    fn ep_depth_below(
        &self,
        at: EpollId,
        forbidden: EpollId,
        so_far: usize,
    ) -> Result<usize, Errno> {
        if at == forbidden || so_far > EP_MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        let mut depth = 0;
        for key in self.epolls[at].items.keys() {
            if let FileKind::Epoll(next) = self.files[key.file].kind {
                depth = depth.max(1 + self.ep_depth_below(next, forbidden, so_far + 1)?);
            }
        }
        Ok(depth)
    }

    /// How many sets there are above `at` on the longest way up.
    fn ep_depth_above(&self, at: EpollId) -> usize {
        let watches = |key: &ItemKey| self.files[key.file].kind == FileKind::Epoll(at);
        self.epolls
            .iter()
            .filter(|(_, ep)| ep.items.keys().any(watches))
            .map(|(id, _)| 1 + self.ep_depth_above(id))
            .max()
            .unwrap_or(0)
    }
}
