//! pipe_write(): a write of at most PIPE_BUF bytes goes in whole or not at all, because its odd
//! bytes are merged into the last page or get one of their own. A writer that has lost its
//! readers gets SIGPIPE, and the partial count if it has one (rule F-14).

use super::{PAGE_SIZE, PipeBuffer, PipeId};
use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::abi::signal::Signal;
use crate::fs::fasync::{Band, FasyncOn};
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Progress, Restart, Stop, SysResult, Wait};
use crate::wait_queue::Event;

impl Kernel {
    /// Writes all of `from`, waiting for room as often as needed; `flight.moved` counts.
    pub fn pipe_write(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        id: PipeId,
        from: &IoVec,
    ) -> SysResult {
        let total = from.total();
        if total == 0 {
            return Ok(0);
        }
        let before = call.flight.moved;
        let fresh = call.flight.progress == Progress::Fresh;
        let result = self.pipe_fill(call, file, id, from, total);
        if call.flight.moved > before {
            // Also if it was not empty: edge-triggered epoll items count on it.
            self.publish_poll(Event::PipeReaders(id), PollBits::IN | PollBits::RDNORM);
        }
        if fresh || call.flight.moved > before || !matches!(result, Err(Stop::Wait(_))) {
            // At the end and before each sleep, whether or not anything went in (measured).
            self.kill_fasync(FasyncOn::PipeReaders(id), Band::In);
        }
        let done = call.flight.moved as u64;
        match result {
            Ok(()) => Ok(done),
            Err(Stop::Errno(_)) if done > 0 => Ok(done),
            Err(Stop::Wait(wait)) if done > 0 => Err(wait.with_restart(Restart::Done(done)).into()),
            Err(stop) => Err(stop),
        }
    }

    fn pipe_fill(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        id: PipeId,
        from: &IoVec,
        total: usize,
    ) -> Result<(), Stop> {
        if self.pipes[id].readers == 0 {
            self.send_sig(Signal::SIGPIPE, call.task);
            return Err(Errno::EPIPE.into());
        }
        let flags = self.files[file].flags;
        // Only on the way in: after a sleep Linux goes on in fresh pages.
        if call.flight.progress == Progress::Fresh {
            self.pipe_merge(call, id, from, total)?;
            call.flight.progress = Progress::Committed(0);
        }
        while call.flight.moved < total {
            if self.pipes[id].is_full() {
                if flags.nonblock() {
                    return Err(Errno::EAGAIN.into());
                }
                return Err(Wait::on(Event::PipeWriters(id)).into());
            }
            let want = PAGE_SIZE.min(total - call.flight.moved);
            let page = from.gather(call, call.flight.moved, want)?;
            if page.len() < want {
                // A page that could not be filled is not inserted.
                return Err(Errno::EFAULT.into());
            }
            call.flight.moved += want;
            let packet = flags.has(OFlags::DIRECT);
            self.pipes[id].bufs.push_back(PipeBuffer { page, start: 0, packet });
        }
        Ok(())
    }

    /// The bytes beyond whole pages go into the last page, if they fit there.
    fn pipe_merge(
        &mut self,
        call: &mut Call<'_>,
        id: PipeId,
        from: &IoVec,
        total: usize,
    ) -> Result<(), Errno> {
        let chars = total % PAGE_SIZE;
        let Some(last) = self.pipes[id].bufs.back_mut() else { return Ok(()) };
        if chars == 0 || last.packet || last.page.len() + chars > PAGE_SIZE {
            return Ok(());
        }
        let bytes = from.gather(call, 0, chars)?;
        if bytes.len() < chars {
            return Err(Errno::EFAULT);
        }
        last.page.extend_from_slice(&bytes);
        call.flight.moved += chars;
        Ok(())
    }

    /// Puts kernel bytes into the pipe as splice does: one buffer a page; returns how many went in.
    pub fn pipe_splice_in(&mut self, id: PipeId, bytes: &[u8]) -> usize {
        let pipe = &mut self.pipes[id];
        let mut done = 0;
        for chunk in bytes.chunks(PAGE_SIZE) {
            if pipe.is_full() {
                break;
            }
            pipe.bufs.push_back(PipeBuffer { page: chunk.to_vec(), start: 0, packet: false });
            done += chunk.len();
        }
        if done > 0 {
            // wakeup_pipe_readers() of splice names no bits.
            self.publish(Event::PipeReaders(id));
            self.kill_fasync(FasyncOn::PipeReaders(id), Band::In);
        }
        done
    }
}
