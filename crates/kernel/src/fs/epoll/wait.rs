//! epoll_wait(2), epoll_pwait(2), epoll_pwait2(2). Each item on the ready list is looked at again;
//! level-triggered ones that still have something to report go back to its end. A signal ends the
//! wait with EINTR, whatever its handler's flags (rule S-35).

use super::{EPOLLET, EPOLLONESHOT, EpollId, PRIVATE};
use crate::abi::Errno;
use crate::fs::file::FileKind;
use crate::fs::poll::{PollProgress, TimeLayout};
use crate::kernel::Kernel;
use crate::syscall::iovec::access_ok;
use crate::syscall::{Call, Progress, Restart, Stop, SysResult, Wait};
use crate::time::Duration;
use crate::wait_queue::Event;

/// Size of a packed `struct epoll_event`.
const EPOLL_EVENT: u64 = 12;

impl Kernel {
    /// epoll_wait(2): milliseconds; negative is for ever.
    pub fn sys_epoll_wait(&mut self, call: &mut Call<'_>) -> SysResult {
        self.take_ms_deadline(call);
        self.do_epoll_wait(call)
    }

    /// epoll_pwait(2): with a temporary mask.
    pub fn sys_epoll_pwait(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.flight.progress == Progress::Fresh {
            let (mask, size) = (call.ptr(4), call.arg(5));
            self.set_user_sigmask(call, mask, size)?;
        }
        self.take_ms_deadline(call);
        let result = self.do_epoll_wait(call);
        self.end_mask_unless_interrupted(call, result)
    }

    /// epoll_pwait2(2): with a timespec.
    pub fn sys_epoll_pwait2(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.flight.progress == Progress::Fresh {
            let (tsp, mask, size) = (call.ptr(3), call.ptr(4), call.arg(5));
            call.flight.until = self.read_timeout(call, tsp, TimeLayout::Timespec)?;
            self.set_user_sigmask(call, mask, size)?;
        }
        let result = self.do_epoll_wait(call);
        self.end_mask_unless_interrupted(call, result)
    }

    fn take_ms_deadline(&self, call: &mut Call<'_>) {
        if call.flight.progress == Progress::Fresh {
            let timeout = u64::try_from(call.int(3)).ok();
            call.flight.until = timeout.map(|ms| self.now + Duration::from_millis(ms));
        }
    }

    fn end_mask_unless_interrupted(&mut self, call: &Call<'_>, result: SysResult) -> SysResult {
        if !matches!(result, Err(Stop::Wait(_))) {
            self.restore_saved_sigmask(call.task);
        }
        result
    }

    /// ep_poll().
    fn do_epoll_wait(&mut self, call: &mut Call<'_>) -> SysResult {
        let max = call.int(2);
        if max <= 0 || max > i32::MAX / EPOLL_EVENT as i32 {
            return Err(Errno::EINVAL.into());
        }
        access_ok(call.ptr(1), max as u64 * EPOLL_EVENT)?;
        let file = self.fdget(call, call.int(0))?;
        let FileKind::Epoll(epoll) = self.files[file].kind else {
            return Err(Errno::EINVAL.into());
        };
        call.flight.progress = Progress::Poll(PollProgress::Epoll);
        let sent = self.ep_send_events(call, epoll, max as usize)?;
        if sent > 0 || call.flight.until.is_some_and(|until| self.now >= until) {
            return Ok(sent);
        }
        Err(Wait::on(Event::Epoll(epoll))
            .exclusive()
            .with_restart(Restart::Eintr)
            .with_deadline(call.flight.until)
            .into())
    }

    /// ep_send_events(): from the front of the ready list. What is not reached stays in front;
    /// then another waiter gets its turn. EFAULT only if nothing was sent.
    fn ep_send_events(&mut self, call: &mut Call<'_>, epoll: EpollId, max: usize) -> SysResult {
        let mut list = core::mem::take(&mut self.epolls[epoll].ready);
        let (mut sent, mut fault) = (0, false);
        while sent < max as u64 {
            let Some(key) = list.pop_front() else { break };
            let bits = self.ep_item_poll(call.task, epoll, key);
            self.mounts_polled(key.file);
            if bits.is_empty() {
                continue;
            }
            let item = &self.epolls[epoll].items[&key];
            let mut event = bits.0.to_le_bytes().to_vec();
            event.extend_from_slice(&item.data.to_le_bytes());
            let at = call.ptr(1).add(sent * EPOLL_EVENT);
            if call.write_user(at, &event).is_err() {
                list.push_front(key);
                fault = true;
                break;
            }
            sent += 1;
            let ep = &mut self.epolls[epoll];
            if let Some(item) = ep.items.get_mut(&key) {
                if item.events & EPOLLONESHOT != 0 {
                    item.events &= PRIVATE;
                } else if item.events & EPOLLET == 0 {
                    ep.ready.push_back(key);
                }
            }
        }
        let ep = &mut self.epolls[epoll];
        list.append(&mut ep.ready);
        ep.ready = list;
        if !ep.ready.is_empty() && sent > 0 {
            self.wake_sleepers(Event::Epoll(epoll));
        }
        if fault && sent == 0 { Err(Errno::EFAULT.into()) } else { Ok(sent) }
    }
}
