//! poll(2) and ppoll(2). Descriptors are copied at entry and their files held for as long as the
//! call lasts; each look asks the table anew, as Linux does. Deadlines are taken once. Neighbours:
//! `select`, `epoll`, `file_operations` (file_poll), `task/signal` (the temporary mask, rule S-36).

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::select::SelectSets;
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::{Call, Progress, Restart, SysResult, Wait};
use crate::task::TaskId;
use crate::task::prctl::STICKY_TIMEOUTS;
use crate::time::{Duration, Instant};

/// What a poll, select or epoll_wait remembers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PollProgress {
    /// poll, ppoll: the descriptors and what is asked of each.
    Fds(Vec<PollFd>),
    /// select, pselect: the three sets.
    Select(SelectSets),
    /// epoll_wait: nothing more than its deadline.
    Epoll,
}

/// One entry of poll's array; `revents` goes straight to the user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollFd {
    fd: i32,
    events: u16,
}

/// Size of `struct pollfd`.
const POLLFD: u64 = 8;
/// RLIMIT-independent answers: always told, asked or not.
const ALWAYS: PollBits = PollBits(0x8 | 0x10);

impl Kernel {
    /// poll(2): milliseconds; negative is for ever.
    pub fn sys_poll(&mut self, call: &mut Call<'_>) -> SysResult {
        let timeout = call.int(2);
        if call.flight.progress == Progress::Fresh {
            call.flight.until =
                u64::try_from(timeout).ok().map(|ms| self.now + Duration::from_millis(ms));
        }
        self.do_poll(call, Restart::Block)
    }

    /// ppoll(2): with a temporary mask; what is left of the time is written back.
    pub fn sys_ppoll(&mut self, call: &mut Call<'_>) -> SysResult {
        let (tsp, mask, size) = (call.ptr(2), call.ptr(3), call.arg(4));
        if call.flight.progress == Progress::Fresh {
            call.flight.until = self.read_timeout(call, tsp, TimeLayout::Timespec)?;
            self.set_user_sigmask(call, mask, size)?;
        }
        let result = self.do_poll(call, Restart::NoHand);
        self.poll_select_finish(call, tsp, TimeLayout::Timespec, result)
    }

    /// do_sys_poll(): imports once, looks, waits.
    fn do_poll(&mut self, call: &mut Call<'_>, restart: Restart) -> SysResult {
        if call.flight.progress == Progress::Fresh {
            let fds = self.import_pollfds(call)?;
            call.flight.progress = Progress::Poll(PollProgress::Fds(fds));
        }
        let Progress::Poll(PollProgress::Fds(fds)) = call.flight.progress.clone() else {
            unreachable!("poll keeps its descriptors");
        };
        if call.flight.held.is_empty() {
            // The first look, or restart_syscall goes on, which keeps no references.
            for entry in &fds {
                self.hold_for_poll(call, entry.fd);
            }
        }
        let revents: Vec<u16> = fds.iter().map(|entry| self.do_pollfd(call.task, *entry)).collect();
        let ready = revents.iter().filter(|r| **r != 0).count();
        let over = call.flight.until.is_some_and(|until| self.now >= until);
        if ready > 0 || over || self.signal_pending(call.task) {
            for held in call.flight.held.clone() {
                self.mounts_polled(held.file);
            }
            for (i, bits) in revents.iter().enumerate() {
                let at = call.ptr(0).add(i as u64 * POLLFD + 6);
                call.write_user(at, &bits.to_le_bytes())?;
            }
        }
        if ready > 0 || over {
            return Ok(ready as u64);
        }
        Err(self.poll_wait(call).with_restart(restart).into())
    }

    fn import_pollfds(&mut self, call: &mut Call<'_>) -> Result<Vec<PollFd>, Errno> {
        let count = call.arg(1) as u32 as usize;
        if count > self.rlimit_nofile(call.task) {
            return Err(Errno::EINVAL);
        }
        let raw = call.read_bytes(call.ptr(0), count * POLLFD as usize)?;
        let entry = |b: &[u8]| PollFd {
            fd: i32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            events: u16::from_le_bytes([b[4], b[5]]),
        };
        Ok(raw.chunks_exact(POLLFD as usize).map(entry).collect())
    }

    /// do_pollfd(): negative descriptors are skipped; what is not open is NVAL.
    fn do_pollfd(&self, task: TaskId, entry: PollFd) -> u16 {
        if entry.fd < 0 {
            return 0;
        }
        match self.fd_lookup(task, entry.fd) {
            Err(_) => PollBits::NVAL.0 as u16,
            Ok(file) => {
                let asked = PollBits(u32::from(entry.events)) | ALWAYS;
                (self.file_poll(task, file) & asked).0 as u16
            }
        }
    }

    /// __pollwait(): the file is held, and its events are waited for, until the call ends.
    pub fn hold_for_poll(&mut self, call: &mut Call<'_>, fd: i32) {
        if let Ok(file) = self.fd_lookup(call.task, fd) {
            self.hold(call, fd, file);
        }
    }

    /// The wait for any change of the files that the call holds.
    pub fn poll_wait(&self, call: &Call<'_>) -> Wait {
        let mut on: Vec<_> = call
            .flight
            .held
            .iter()
            .flat_map(|held| self.poll_events(call.task, held.file))
            .collect();
        on.sort();
        on.dedup();
        Wait { on, ..Wait::until(call.flight.until) }
    }

    /// poll_select_set_timeout(): the moment at which a relative time at `from` is over; None for
    /// NULL. EINVAL for negative times or nanoseconds that make a second.
    pub fn read_timeout(
        &self,
        call: &mut Call<'_>,
        from: UserPtr,
        layout: TimeLayout,
    ) -> Result<Option<Instant>, Errno> {
        if from.is_null() {
            return Ok(None);
        }
        let sec = call.read_u64(from)? as i64;
        let part = call.read_u64(from.add(8))? as i64;
        let (sec, nanos) = match layout {
            TimeLayout::Timespec => (sec, part),
            TimeLayout::Timeval => {
                (sec.checked_add(part / 1_000_000).ok_or(Errno::EINVAL)?, part % 1_000_000 * 1000)
            }
        };
        if sec < 0 || !(0..1_000_000_000).contains(&nanos) {
            return Err(Errno::EINVAL);
        }
        Ok(Some(self.now + Duration::new(sec as u64, nanos as u32)))
    }

    /// poll_select_finish(): the temporary mask ends unless a handler is to run (rule S-36), and
    /// the rest of the time goes to the user. If it can't, the call is not restarted.
    pub fn poll_select_finish(
        &mut self,
        call: &mut Call<'_>,
        at: UserPtr,
        layout: TimeLayout,
        result: SysResult,
    ) -> SysResult {
        let waits = matches!(result, Err(crate::syscall::Stop::Wait(_)));
        if !waits {
            self.restore_saved_sigmask(call.task);
        }
        let interrupted = waits && self.signal_pending(call.task);
        let sticky = self.tasks[call.task].personality & STICKY_TIMEOUTS != 0;
        if let (true, true, Err(crate::syscall::Stop::Wait(wait))) = (sticky, interrupted, &result)
        {
            return Err(wait.clone().with_restart(Restart::Eintr).into());
        }
        // A time of zero is left alone; so is one that is still running.
        let zero = call.flight.until.is_none_or(|until| until <= call.flight.entered);
        if zero || sticky || (waits && !interrupted) {
            return result;
        }
        let left = call.flight.until.map_or(Duration::ZERO, |until| until - self.now);
        let part = match layout {
            TimeLayout::Timespec => u64::from(left.subsec_nanos()),
            TimeLayout::Timeval => u64::from(left.subsec_micros()),
        };
        let mut bytes = left.as_secs().to_le_bytes().to_vec();
        bytes.extend_from_slice(&part.to_le_bytes());
        match (call.write_user(at, &bytes), result) {
            (Err(_), Err(crate::syscall::Stop::Wait(wait))) => {
                Err(wait.with_restart(Restart::Eintr).into())
            }
            (_, result) => result,
        }
    }
}

/// How a time lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeLayout {
    /// Seconds and nanoseconds.
    Timespec,
    /// Seconds and microseconds.
    Timeval,
}
