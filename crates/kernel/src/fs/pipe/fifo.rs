//! fifo_open(): what open(2) of a FIFO does (fifo(7)). Opening one end waits for the other;
//! O_NONBLOCK makes a reader go ahead (and see no HUP before a first writer, rule F-13) and a
//! writer fail with ENXIO. Neighbour: the VFS, which finds the inode and its pipe.

use super::{Pipe, PipeId};
use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::kernel::Kernel;
use crate::syscall::{Call, Progress, Stop, Wait};
use crate::wait_queue::Event;

impl Kernel {
    /// The pipe of a FIFO that nobody has open. The VFS keeps the id in the inode until
    /// `inode_forget_pipe`.
    pub fn fifo_alloc(&mut self) -> PipeId {
        self.pipes.insert(Pipe::new(None))
    }

    /// Opens an end of `id` with `flags`. Returns `f_pipe` for the new description, which
    /// `pipe_release` gives back. ENXIO for a writer without a reader and O_NONBLOCK. Waits for
    /// the other end; a signal takes the open back.
    pub fn fifo_open(
        &mut self,
        call: &mut Call<'_>,
        id: PipeId,
        flags: OFlags,
    ) -> Result<u32, Stop> {
        let (reader, writer) = (flags.readable(), flags.writable());
        if let Progress::Fifo { seen, .. } = call.flight.progress {
            // None: the call is about to end, its end of the FIFO is not there any more.
            let Some(seen) = seen else { return Err(Wait::on(Event::PipeReaders(id)).into()) };
            return self.fifo_wait(call, id, reader, seen);
        }
        let pipe = &mut self.pipes[id];
        // A pipe that is opened anew by /proc/PID/fd/N never waits for its other end.
        let is_pipe = pipe.ino.is_some();
        if !is_pipe && writer && !reader && flags.nonblock() && pipe.readers == 0 {
            if pipe.files == 0 {
                self.free_pipe(id);
            }
            return Err(Errno::ENXIO.into());
        }
        pipe.files += 1;
        pipe.readers += u32::from(reader);
        pipe.writers += u32::from(writer);
        pipe.r_counter += u32::from(reader);
        pipe.w_counter += u32::from(writer);
        let (readers, writers) = (pipe.readers, pipe.writers);
        let (r_counter, w_counter) = (pipe.r_counter, pipe.w_counter);
        // wake_up_partner()
        if (reader && readers == 1) || (writer && writers == 1) {
            self.publish(Event::PipeReaders(id));
            self.publish(Event::PipeWriters(id));
        }
        if is_pipe {
            return Ok(0);
        }
        if reader && !writer && writers == 0 {
            if flags.nonblock() {
                return Ok(w_counter);
            }
            call.flight.progress = Progress::Fifo { pipe: id, seen: Some(w_counter) };
            return self.fifo_wait(call, id, true, w_counter);
        }
        if writer && !reader && readers == 0 {
            call.flight.progress = Progress::Fifo { pipe: id, seen: Some(r_counter) };
            return self.fifo_wait(call, id, false, r_counter);
        }
        Ok(0)
    }

    /// wait_for_partner(): until the other side's counter moves on from `seen`, even if whoever
    /// moved it is gone again.
    fn fifo_wait(
        &mut self,
        call: &mut Call<'_>,
        id: PipeId,
        reader: bool,
        seen: u32,
    ) -> Result<u32, Stop> {
        let pipe = &self.pipes[id];
        let (now, event) = if reader {
            (pipe.w_counter, Event::PipeReaders(id))
        } else {
            (pipe.r_counter, Event::PipeWriters(id))
        };
        if now != seen {
            call.flight.progress = Progress::Fresh;
            return Ok(0);
        }
        if self.signal_pending(call.task) {
            // The call ends here: its end of the FIFO is given back.
            call.flight.progress = Progress::Fifo { pipe: id, seen: None };
            self.pipe_put_end(id, reader, !reader);
        }
        Err(Wait::on(event).into())
    }
}
