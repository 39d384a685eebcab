//! eventfd(2): a counter that reads wait for, all of it at once or, as a semaphore, one at a time.
//! Neighbour: `anon`, which hands the operations here.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::fs::anon::Anon;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult, Wait};
use crate::wait_queue::Event;

/// EFD_SEMAPHORE.
const EFD_SEMAPHORE: u32 = 1;

/// The counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Eventfd {
    count: u64,
    semaphore: bool,
    /// Tells it from the others in fdinfo.
    number: u32,
}

impl Anon {
    /// Of an eventfd: what tells it from the others.
    pub(super) fn eventfd_number(&self) -> Option<u32> {
        match self {
            Anon::Eventfd(it) => Some(it.number),
            Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Inotify(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => None,
        }
    }
}

impl Eventfd {
    /// eventfd_show_fdinfo().
    pub(super) fn fdinfo(&self) -> String {
        let (count, number, semaphore) = (self.count, self.number, u32::from(self.semaphore));
        format!(
            "eventfd-count: {count:16x}\neventfd-id: {number}\neventfd-semaphore: {semaphore}\n"
        )
    }

    /// Readable above 0; writable as long as 1 can be added.
    pub fn poll(&self) -> PollBits {
        let mut bits = PollBits::NONE;
        if self.count > 0 {
            bits |= PollBits::IN;
        }
        if self.count == u64::MAX {
            bits |= PollBits::ERR;
        }
        if self.count < u64::MAX - 1 {
            bits |= PollBits::OUT;
        }
        bits
    }
}

impl Kernel {
    /// eventfd(2).
    pub fn sys_eventfd(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_eventfd(call, 0)
    }

    /// eventfd2(2).
    pub fn sys_eventfd2(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(1) as u32;
        self.do_eventfd(call, flags)
    }

    fn do_eventfd(&mut self, call: &mut Call<'_>, flags: u32) -> SysResult {
        let known = EFD_SEMAPHORE | OFlags::CLOEXEC.0 | OFlags::NONBLOCK.0;
        if flags & !known != 0 {
            return Err(Errno::EINVAL.into());
        }
        let count = u64::from(call.arg(0) as u32);
        let (semaphore, number) = (flags & EFD_SEMAPHORE != 0, self.anon.eventfd_number());
        let object = Anon::Eventfd(Eventfd { count, semaphore, number });
        let open = OFlags::RDWR | OFlags(flags & OFlags::NONBLOCK.0);
        self.anon_getfd(call.task, object, open, flags & OFlags::CLOEXEC.0 != 0)
    }

    fn eventfd(&mut self, id: u64) -> &mut Eventfd {
        match self.anon.of_mut(id) {
            Anon::Eventfd(eventfd) => eventfd,
            Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Inotify(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => {
                unreachable!("{id} is asked as an eventfd")
            }
        }
    }

    /// eventfd_read(): takes all of the counter, or 1 of a semaphore.
    pub(super) fn eventfd_read(
        &mut self,
        call: &mut Call<'_>,
        id: u64,
        nonblock: bool,
        to: &IoVec,
    ) -> SysResult {
        if to.total() < 8 {
            return Err(Errno::EINVAL.into());
        }
        let eventfd = self.eventfd(id);
        if eventfd.count == 0 {
            if nonblock {
                return Err(Errno::EAGAIN.into());
            }
            return Err(Wait::on(Event::Anon(id)).into());
        }
        let value = if eventfd.semaphore { 1 } else { eventfd.count };
        eventfd.count -= value;
        self.publish_poll(Event::Anon(id), PollBits::OUT);
        // As in Linux, a fault loses the value.
        if to.scatter(call, 0, &value.to_le_bytes()) != Ok(8) {
            return Err(Errno::EFAULT.into());
        }
        Ok(8)
    }

    /// eventfd_write(): adds; waits while the sum would reach 2^64 − 1.
    pub(super) fn eventfd_write(
        &mut self,
        call: &mut Call<'_>,
        id: u64,
        nonblock: bool,
        from: &IoVec,
    ) -> SysResult {
        if from.total() != 8 {
            return Err(Errno::EINVAL.into());
        }
        let bytes = from.gather(call, 0, 8)?;
        let value = u64::from_le_bytes(bytes.try_into().map_err(|_| Errno::EFAULT)?);
        if value == u64::MAX {
            return Err(Errno::EINVAL.into());
        }
        let eventfd = self.eventfd(id);
        if u64::MAX - eventfd.count <= value {
            if nonblock {
                return Err(Errno::EAGAIN.into());
            }
            return Err(Wait::on(Event::Anon(id)).into());
        }
        eventfd.count += value;
        self.publish_poll(Event::Anon(id), PollBits::IN);
        Ok(8)
    }
}
