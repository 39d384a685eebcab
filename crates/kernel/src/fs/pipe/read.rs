//! pipe_read(): takes what is there, across buffers, and waits only for a first byte. A buffer
//! whose copy faults stays as it was. Rules F-13, F-15.

use super::PipeId;
use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::fasync::{Band, FasyncOn};
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Stop, SysResult, Wait};
use crate::wait_queue::Event;

impl Kernel {
    /// Reads into `to`. 0 at the end (no writer left); EAGAIN, or waits, while it is empty.
    pub fn pipe_read(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        id: PipeId,
        to: &IoVec,
    ) -> SysResult {
        let total = to.total();
        if total == 0 {
            return Ok(0);
        }
        let result = self.pipe_read_once(call, file, id, to, total);
        if !matches!(result, Err(Stop::Wait(_))) {
            // Also if nothing was read (measured).
            self.kill_fasync(FasyncOn::PipeWriters(id), Band::Out);
        }
        result
    }

    fn pipe_read_once(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        id: PipeId,
        to: &IoVec,
        total: usize,
    ) -> SysResult {
        let was_full = self.pipes[id].is_full();
        let (done, fault) = self.pipe_take(call, id, to, total);
        if was_full && !self.pipes[id].is_full() {
            self.publish_poll(Event::PipeWriters(id), PollBits::OUT | PollBits::WRNORM);
        }
        if done > 0 {
            return Ok(done as u64);
        }
        if let Some(errno) = fault {
            return Err(errno.into());
        }
        if self.pipes[id].writers == 0 {
            return Ok(0);
        }
        if self.files[file].flags.nonblock() {
            return Err(Errno::EAGAIN.into());
        }
        Err(Wait::on(Event::PipeReaders(id)).into())
    }

    /// Moves up to `total` bytes to the user; says how many and whether a copy faulted.
    fn pipe_take(
        &mut self,
        call: &mut Call<'_>,
        id: PipeId,
        to: &IoVec,
        mut total: usize,
    ) -> (usize, Option<Errno>) {
        let pipe = &mut self.pipes[id];
        let mut done = 0;
        while total > 0 {
            let Some(buf) = pipe.bufs.front_mut() else { break };
            let chars = buf.len().min(total);
            let bytes = &buf.page[buf.start..buf.start + chars];
            if to.scatter(call, done, bytes) != Ok(chars) {
                return (done, Some(Errno::EFAULT));
            }
            done += chars;
            buf.start += chars;
            total -= chars;
            if buf.packet {
                // One packet a read; the rest of it is lost.
                pipe.bufs.pop_front();
                break;
            }
            if buf.len() == 0 {
                pipe.bufs.pop_front();
            }
        }
        (done, None)
    }

    /// Takes `count` bytes from the front without a copy to the user (splice).
    pub fn pipe_consume(&mut self, id: PipeId, mut count: usize) {
        let pipe = &mut self.pipes[id];
        let mut need_wakeup = false;
        while count > 0 {
            let Some(buf) = pipe.bufs.front_mut() else { break };
            let chars = buf.len().min(count);
            buf.start += chars;
            count -= chars;
            if buf.len() == 0 {
                pipe.bufs.pop_front();
                need_wakeup = true;
            }
        }
        // wakeup_pipe_writers(): for each buffer that went, also if the pipe was not full.
        if need_wakeup {
            self.publish(Event::PipeWriters(id));
            self.kill_fasync(FasyncOn::PipeWriters(id), Band::Out);
        }
    }
}
