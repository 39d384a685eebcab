//! pipe(7): the object ([`Pipe`]: sixteen buffers of a page each, readers, writers), its creation
//! and its end. Neighbours: `read` and `write` (moving bytes, rules F-13 to F-15), `fifo` (open(2) of
//! a FIFO), `file_operations`.

mod fifo;
mod read;
#[cfg(test)]
mod tests;
mod write;

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::arena::Id;
use crate::fact::Fact;
use crate::fs::fasync::{Band, FasyncOn};
use crate::fs::file::{File, FileId, FileKind};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use crate::wait_queue::Event;
use bytes::Bytes;
use std::collections::VecDeque;

/// Names a [`Pipe`].
pub type PipeId = Id<Pipe>;

/// A page: the size of one buffer, and PIPE_BUF.
pub const PAGE_SIZE: usize = 4096;
/// PIPE_DEF_BUFFERS.
const PIPE_DEF_BUFFERS: usize = 16;
/// O_NOTIFICATION_PIPE (O_EXCL).
const O_NOTIFICATION_PIPE: u32 = OFlags::EXCL.0;

/// pipe_buffer: at most a page of bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct PipeBuffer {
    /// The page from its beginning; `start` bytes of it were read already.
    page: Vec<u8>,
    start: usize,
    /// PIPE_BUF_FLAG_PACKET (O_DIRECT): one read takes it all; nothing is merged into it.
    packet: bool,
}

impl PipeBuffer {
    fn len(&self) -> usize {
        self.page.len() - self.start
    }
}

/// pipe_inode_info.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pipe {
    bufs: VecDeque<PipeBuffer>,
    /// How many buffers there may be.
    max_usage: usize,
    /// Descriptions open for reading.
    pub readers: u32,
    /// Descriptions open for writing.
    pub writers: u32,
    /// How often it was opened for reading: what the other end of a FIFO waits for.
    r_counter: u32,
    /// How often it was opened for writing.
    w_counter: u32,
    /// Descriptions that name it, and opens of a FIFO in progress.
    files: u32,
    /// The number in `pipe:[n]`; None for a FIFO, which has a name in the tree.
    pub ino: Option<u64>,
}

impl Pipe {
    fn new(ino: Option<u64>) -> Pipe {
        Pipe {
            bufs: VecDeque::new(),
            max_usage: PIPE_DEF_BUFFERS,
            readers: 0,
            writers: 0,
            r_counter: 0,
            w_counter: 0,
            files: 0,
            ino,
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.bufs.iter().map(PipeBuffer::len).sum()
    }

    /// Nothing to read?
    pub fn is_empty(&self) -> bool {
        self.bufs.is_empty()
    }

    /// How many bytes splice can put into it.
    pub fn free_bytes(&self) -> usize {
        (self.max_usage - self.bufs.len().min(self.max_usage)) * PAGE_SIZE
    }

    /// No free buffer? (There may be room in the last one: poll(2) says no all the same.)
    fn is_full(&self) -> bool {
        self.bufs.len() >= self.max_usage
    }
}

impl Kernel {
    /// pipe(2).
    pub fn sys_pipe(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_pipe2(call, 0)
    }

    /// pipe2(2).
    pub fn sys_pipe2(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(1) as u32;
        self.do_pipe2(call, flags)
    }

    /// Descriptors go to the user before they are installed: EFAULT leaves nothing behind.
    fn do_pipe2(&mut self, call: &mut Call<'_>, flags: u32) -> SysResult {
        let known = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::DIRECT;
        if flags & !(known.0 | O_NOTIFICATION_PIPE) != 0 {
            return Err(Errno::EINVAL.into());
        }
        if flags & O_NOTIFICATION_PIPE != 0 {
            self.tell(Some(call.task), Fact::unsupported("pipe2 O_NOTIFICATION_PIPE", ""));
            return Err(Errno::ENOPKG.into());
        }
        let (task, cloexec) = (call.task, flags & OFlags::CLOEXEC.0 != 0);
        let end = self.rlimit_nofile(task);
        let read = self.table_mut(task).alloc_fd(0, end, cloexec)?;
        let write = match self.table_mut(task).alloc_fd(0, end, cloexec) {
            Ok(fd) => fd,
            Err(errno) => {
                self.table_mut(task).put_unused_fd(read);
                return Err(errno.into());
            }
        };
        let mut pair = read.to_le_bytes().to_vec();
        pair.extend_from_slice(&write.to_le_bytes());
        if let Err(errno) = call.write_user(call.ptr(0), &pair) {
            self.table_mut(task).put_unused_fd(write);
            self.table_mut(task).put_unused_fd(read);
            return Err(errno.into());
        }
        let (reader, writer) = self.create_pipe_files(OFlags(flags & !OFlags::CLOEXEC.0));
        self.table_mut(task).fd_install(read, reader);
        self.table_mut(task).fd_install(write, writer);
        Ok(0)
    }

    /// create_pipe_files(): a new pipe with one description at each end. `flags`: O_NONBLOCK for
    /// both, O_DIRECT for the writing one.
    pub fn create_pipe_files(&mut self, flags: OFlags) -> (FileId, FileId) {
        let mut pipe = Pipe::new(Some(self.anon.new_ino()));
        (pipe.readers, pipe.writers, pipe.files) = (1, 1, 2);
        (pipe.r_counter, pipe.w_counter) = (1, 1);
        let pipe = self.pipes.insert(pipe);
        let read_flags = OFlags::RDONLY | OFlags(flags.0 & OFlags::NONBLOCK.0);
        let reader = self.files.insert(File::new(FileKind::Pipe(pipe), read_flags));
        let writer = self.files.insert(File::new(FileKind::Pipe(pipe), OFlags::WRONLY | flags));
        (reader, writer)
    }

    /// pipe_release(): one description less. When the last of one kind went, the other end hears.
    pub fn pipe_release(&mut self, file: FileId, id: PipeId) {
        let flags = self.files[file].flags;
        self.pipe_put_end(id, flags.readable(), flags.writable());
    }

    fn pipe_put_end(&mut self, id: PipeId, reader: bool, writer: bool) {
        let pipe = &mut self.pipes[id];
        pipe.readers -= u32::from(reader);
        pipe.writers -= u32::from(writer);
        pipe.files -= 1;
        let (readers, writers, files) = (pipe.readers, pipe.writers, pipe.files);
        if (readers == 0) != (writers == 0) {
            let ends = PollBits::ERR | PollBits::HUP;
            self.publish_poll(Event::PipeReaders(id), PollBits::IN | PollBits::RDNORM | ends);
            self.publish_poll(Event::PipeWriters(id), PollBits::OUT | PollBits::WRNORM | ends);
            self.kill_fasync(FasyncOn::PipeReaders(id), Band::In);
            self.kill_fasync(FasyncOn::PipeWriters(id), Band::Out);
        }
        if files == 0 {
            self.free_pipe(id);
        }
    }

    /// free_pipe_info(): data outlives the writer but not both ends (rule F-15).
    fn free_pipe(&mut self, id: PipeId) {
        let pipe = self.pipes.remove(id);
        if pipe.is_some_and(|pipe| pipe.ino.is_none()) {
            self.inode_forget_pipe(id);
        }
    }

    /// pipe_poll(): rules F-13, F-14.
    pub fn pipe_poll(&self, file: FileId, id: PipeId) -> PollBits {
        let (f, pipe) = (&self.files[file], &self.pipes[id]);
        let mut bits = PollBits::NONE;
        if f.flags.readable() {
            if !pipe.is_empty() {
                bits |= PollBits::IN | PollBits::RDNORM;
            }
            if pipe.writers == 0 && f.f_pipe != pipe.w_counter {
                bits |= PollBits::HUP;
            }
        }
        if f.flags.writable() {
            if !pipe.is_full() {
                bits |= PollBits::OUT | PollBits::WRNORM;
            }
            // Other Unices don't do this for FIFOs; Linux does.
            if pipe.readers == 0 {
                bits |= PollBits::ERR;
            }
        }
        bits
    }

    /// What announces a change of `pipe_poll`.
    pub fn pipe_poll_events(&self, file: FileId, id: PipeId) -> Vec<Event> {
        let flags = self.files[file].flags;
        let mut events = Vec::new();
        if flags.readable() {
            events.push(Event::PipeReaders(id));
        }
        if flags.writable() {
            events.push(Event::PipeWriters(id));
        }
        events
    }

    /// F_SETPIPE_SZ: to a power of two pages. EBUSY if more is in it, EPERM above pipe-max-size
    /// without CAP_SYS_RESOURCE.
    pub fn pipe_set_size(&mut self, task: TaskId, id: PipeId, size: u64) -> SysResult {
        if size > 1 << 31 {
            return Err(Errno::EINVAL.into());
        }
        let size = (size as usize).max(PAGE_SIZE).next_power_of_two();
        let privileged = self.tasks[task].cred.capable(Cap::SysResource);
        let pipe = &mut self.pipes[id];
        let slots = size / PAGE_SIZE;
        if slots > pipe.max_usage && size > self.sysctls.pipe_max_size as usize && !privileged {
            return Err(Errno::EPERM.into());
        }
        if slots < pipe.bufs.len() {
            return Err(Errno::EBUSY.into());
        }
        let was_full = pipe.is_full();
        pipe.max_usage = slots;
        if was_full && !pipe.is_full() {
            self.publish_poll(Event::PipeWriters(id), PollBits::OUT | PollBits::WRNORM);
        }
        Ok(size as u64)
    }

    /// F_GETPIPE_SZ.
    pub fn pipe_size(&self, id: PipeId) -> u64 {
        (self.pipes[id].max_usage * PAGE_SIZE) as u64
    }

    /// What tee and splice see: up to `max` bytes from the front, not taken out.
    pub fn pipe_peek(&self, id: PipeId, max: usize) -> Bytes {
        let bytes = self.pipes[id].bufs.iter().flat_map(|b| b.page[b.start..].iter().copied());
        bytes.take(max).collect::<Vec<u8>>().into()
    }
}
