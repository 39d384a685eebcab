//! futex_waitv(2) and the calls of futex2: futex_wake, futex_wait, futex_requeue as system calls of
//! their own (Linux 6.7). They take their size and scope as flags, and only 32-bit words exist.
//! Neighbours: `waitwake`, which does the work.

use super::waitwake::Awaited;
use super::{Awaits, FutexProgress, MATCH_ANY};
use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::mm::FutexKey;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Restart, SysResult, Wait};
use crate::task::timer::clock::Clock;
use crate::wait_queue::Event;

/// FUTEX2_SIZE_U32.
const SIZE_U32: u32 = 2;
/// FUTEX2_SIZE_MASK.
const SIZE_MASK: u32 = 3;
/// FUTEX2_NUMA and FUTEX2_MPOL.
const NUMA: u32 = 4 | 8;
/// FUTEX2_PRIVATE.
const PRIVATE: u32 = 128;
/// FUTEX_WAITV_MAX.
const WAITV_MAX: u32 = 128;
/// sizeof(struct futex_waitv): val, uaddr, flags, reserved.
const ENTRY: usize = 24;

impl Kernel {
    /// The scope in a flags word: EINVAL for another size or an unknown flag.
    fn futex2_shared(&mut self, call: &Call<'_>, flags: u32) -> Result<bool, Errno> {
        if flags & !(SIZE_MASK | NUMA | PRIVATE) != 0 || flags & SIZE_MASK != SIZE_U32 {
            return Err(Errno::EINVAL);
        }
        if flags & NUMA != 0 {
            let fact = Fact::unsupported("futex2: NUMA futexes", format!("flags {flags:#x}"));
            self.tell(Some(call.task), fact);
            return Err(Errno::EINVAL);
        }
        Ok(flags & PRIVATE == 0)
    }

    fn futex2_clock(clockid: i32) -> Result<Clock, Errno> {
        match clockid {
            0 => Ok(Clock::Realtime),
            1 => Ok(Clock::Monotonic),
            _ => Err(Errno::EINVAL),
        }
    }

    /// futex_wake(2): address, mask, how many (0 wakes nobody here), flags.
    pub fn sys_futex_wake(&mut self, call: &mut Call<'_>) -> SysResult {
        let shared = self.futex2_shared(call, call.arg(3) as u32)?;
        let mask = u32::try_from(call.arg(1)).map_err(|_| Errno::EINVAL)?;
        if call.int(2) == 0 && mask != 0 {
            self.futex_key(call.task, call.ptr(0), shared)?;
            return Ok(0);
        }
        self.futex_wake(call, call.ptr(0), shared, call.int(2), mask)
    }

    /// futex_wait(2): address, value, mask, flags, absolute timeout, clock.
    pub fn sys_futex_wait(&mut self, call: &mut Call<'_>) -> SysResult {
        let shared = self.futex2_shared(call, call.arg(3) as u32)?;
        let small = |n: u64| u32::try_from(n).map_err(|_| Errno::EINVAL);
        let (value, bitset) = (small(call.arg(1))?, small(call.arg(2))?);
        if call.flight.until.is_none() && !call.ptr(4).is_null() {
            let clock = Kernel::futex2_clock(call.int(5))?;
            call.flight.until = self.futex_absolute_timeout(call, call.ptr(4), clock)?;
        }
        let awaited = Awaited { address: call.ptr(0), shared, value, bitset };
        self.futex_wait_for(call, &awaited, Restart::Sys)
    }

    /// futex_requeue(2): two entries (from, to), flags 0, how many to wake and to move.
    pub fn sys_futex_requeue(&mut self, call: &mut Call<'_>) -> SysResult {
        if call.arg(1) as u32 != 0 || call.ptr(0).is_null() {
            return Err(Errno::EINVAL.into());
        }
        let entries = self.futexv_entries(call, 2)?;
        let (wake, requeue) = (usize::try_from(call.int(2)), usize::try_from(call.int(3)));
        let (Ok(wake), Ok(requeue)) = (wake, requeue) else { return Err(Errno::EINVAL.into()) };
        let from = self.futex_key(call.task, entries[0].address, entries[0].shared)?;
        let to = self.futex_key(call.task, entries[1].address, entries[1].shared)?;
        if call.read_u32(entries[0].address)? != entries[0].value {
            return Err(Errno::EAGAIN.into());
        }
        self.requeue_waiters(from, to, wake, requeue)
    }

    /// futex_waitv(2): sleeps on up to 128 futexes; the index of one that was woken.
    pub fn sys_futex_waitv(&mut self, call: &mut Call<'_>) -> SysResult {
        let (count, flags) = (call.arg(1) as u32, call.arg(2) as u32);
        if flags != 0 || count == 0 || count > WAITV_MAX || call.ptr(0).is_null() {
            return Err(Errno::EINVAL.into());
        }
        let task = call.task;
        if let Progress::Futex(progress) = &call.flight.progress {
            let slots = progress.slots;
            if let Some(woken) = (0..slots).rev().find(|s| !self.futexes.is_queued(task, *s)) {
                self.futexes.forget(task);
                return Ok(u64::from(woken));
            }
        } else {
            if call.flight.until.is_none() && !call.ptr(3).is_null() {
                let clock = Kernel::futex2_clock(call.int(4))?;
                call.flight.until = self.futex_absolute_timeout(call, call.ptr(3), clock)?;
            }
            let entries = self.futexv_entries(call, count)?;
            self.futex_wait_multiple_setup(call, &entries)?;
            call.flight.progress = Progress::Futex(FutexProgress { slots: count });
        }
        if call.flight.until.is_some_and(|until| until <= self.now) {
            self.futexes.forget(task);
            return Err(Errno::ETIMEDOUT.into());
        }
        if self.signal_pending(task) {
            self.futexes.forget(task);
            call.flight.progress = Progress::Fresh;
        }
        Err(Wait::on(Event::Futex(task)).with_deadline(call.flight.until).into())
    }

    /// futex_parse_waitv().
    fn futexv_entries(&mut self, call: &mut Call<'_>, count: u32) -> Result<Vec<Awaited>, Errno> {
        let mut entries = Vec::new();
        for i in 0..count {
            let at = call.ptr(0).add(u64::from(i) * ENTRY as u64);
            let bytes: [u8; ENTRY] = call.read_array(at)?;
            let word = |o: usize| u64::from_le_bytes(bytes[o..o + 8].try_into().expect("8"));
            let (flags, reserved) = (word(16) as u32, word(16) >> 32);
            let shared = self.futex2_shared(call, flags)?;
            if reserved != 0 {
                return Err(Errno::EINVAL);
            }
            let value = u32::try_from(word(0)).map_err(|_| Errno::EINVAL)?;
            let address = UserPtr(word(8));
            entries.push(Awaited { address, shared, value, bitset: MATCH_ANY });
        }
        Ok(entries)
    }

    /// All keys first, then all words: EAGAIN if one has changed, and nothing is queued.
    fn futex_wait_multiple_setup(
        &mut self,
        call: &mut Call<'_>,
        entries: &[Awaited],
    ) -> Result<(), Errno> {
        let keys = entries
            .iter()
            .map(|e| self.futex_key(call.task, e.address, e.shared))
            .collect::<Result<Vec<FutexKey>, Errno>>()?;
        for entry in entries {
            if call.read_u32(entry.address)? != entry.value {
                return Err(Errno::EAGAIN);
            }
        }
        for (slot, key) in keys.into_iter().enumerate() {
            let slot = slot as u32;
            let waiter = self.futex_waiter(call.task, slot, MATCH_ANY, Awaits::Wake);
            self.futexes.queue(key, waiter);
        }
        Ok(())
    }
}
