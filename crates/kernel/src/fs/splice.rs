//! splice(2), tee(2) and vmsplice(2). Pages are never shared here: bytes are copied, which programs
//! cannot tell unless they change memory that they gave away. Neighbours: `pipe`, `sendfile`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::signal::Signal;
use crate::fs::file::{FileId, FileKind};
use crate::fs::pipe::PipeId;
use crate::fs::sendfile::SpliceProgress;
use crate::kernel::Kernel;
use crate::net::socket::SocketId;
use crate::platform::UserPtr;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Progress, Restart, Stop, SysResult, Wait};
use crate::wait_queue::Event;

/// SPLICE_F_MOVE, SPLICE_F_NONBLOCK, SPLICE_F_MORE, SPLICE_F_GIFT: the others are hints.
const SPLICE_F_ALL: u32 = 0xf;
const SPLICE_F_NONBLOCK: u32 = 2;

/// Both ends of a splice.
struct Ends {
    from: FileId,
    out: FileId,
    in_at: UserPtr,
    out_at: UserPtr,
    len: usize,
    nonblock: bool,
}

impl Kernel {
    fn pipe_of(&self, file: FileId) -> Option<PipeId> {
        match self.files[file].kind {
            FileKind::Pipe(pipe) => Some(pipe),
            FileKind::Inode
            | FileKind::Socket(_)
            | FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_)
            | FileKind::Console(_) => None,
        }
    }

    /// splice(2): one end at least is a pipe (EINVAL); a pipe has no offset (ESPIPE).
    pub fn sys_splice(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(5) as u32;
        if call.arg(4) == 0 {
            return Ok(0);
        }
        if flags & !SPLICE_F_ALL != 0 {
            return Err(Errno::EINVAL.into());
        }
        let (fd_in, fd_out) = (call.int(0), call.int(2));
        let (from, out) = (self.fdget(call, fd_in)?, self.fdget(call, fd_out)?);
        if !self.files[from].flags.readable() || !self.files[out].flags.writable() {
            return Err(Errno::EBADF.into());
        }
        let ends = Ends {
            from,
            out,
            in_at: call.ptr(1),
            out_at: call.ptr(3),
            len: call.arg(4).min(crate::syscall::call::MAX_RW_COUNT) as usize,
            nonblock: flags & SPLICE_F_NONBLOCK != 0,
        };
        let (a, b) = (self.pipe_of(from), self.pipe_of(out));
        if a.is_some() && !ends.in_at.is_null() || b.is_some() && !ends.out_at.is_null() {
            return Err(Errno::ESPIPE.into());
        }
        match (a, b) {
            (None, None) => Err(Errno::EINVAL.into()),
            (Some(a), Some(b)) if a == b => Err(Errno::EINVAL.into()),
            (Some(a), Some(b)) => {
                let moved = self.splice_pipe_to_pipe(call, &ends, a, b)?;
                self.pipe_consume(a, moved as usize);
                Ok(moved)
            }
            (None, Some(b)) => match self.files[from].kind {
                FileKind::Socket(socket) => self.splice_socket_to_pipe(call, &ends, socket, b),
                _ => self.splice_file_to_pipe(call, &ends, b),
            },
            (Some(a), None) => self.splice_from_pipe(call, &ends, a),
        }
    }

    /// tee(2): as splice between two pipes, but the source keeps its bytes.
    pub fn sys_tee(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(3) as u32;
        if flags & !SPLICE_F_ALL != 0 {
            return Err(Errno::EINVAL.into());
        }
        if call.arg(2) == 0 {
            return Ok(0);
        }
        let (fd_in, fd_out) = (call.int(0), call.int(1));
        let (from, out) = (self.fdget(call, fd_in)?, self.fdget(call, fd_out)?);
        if !self.files[from].flags.readable() || !self.files[out].flags.writable() {
            return Err(Errno::EBADF.into());
        }
        let (Some(a), Some(b)) = (self.pipe_of(from), self.pipe_of(out)) else {
            return Err(Errno::EINVAL.into());
        };
        if a == b {
            return Err(Errno::EINVAL.into());
        }
        let ends = Ends {
            from,
            out,
            in_at: UserPtr::NULL,
            out_at: UserPtr::NULL,
            len: call.arg(2).min(crate::syscall::call::MAX_RW_COUNT) as usize,
            nonblock: flags & SPLICE_F_NONBLOCK != 0,
        };
        self.splice_pipe_to_pipe(call, &ends, a, b)
    }

    /// Copies what is in `a` into `b`, as much as there is room; waits for a first byte and for
    /// room. The source is not changed.
    fn splice_pipe_to_pipe(
        &mut self,
        call: &mut Call<'_>,
        ends: &Ends,
        a: PipeId,
        b: PipeId,
    ) -> SysResult {
        let wait_in = |k: &Kernel| ends.nonblock || k.files[ends.from].flags.nonblock();
        if self.pipes[a].is_empty() && self.pipes[a].writers > 0 {
            return Err(match wait_in(self) {
                true => Errno::EAGAIN.into(),
                false => Wait::on(Event::PipeReaders(a)).into(),
            });
        }
        // Even at the end of the source, nobody at the other end is SIGPIPE.
        self.splice_wait_for_room(call, ends, b)?;
        let bytes = self.pipe_peek(a, ends.len);
        Ok(self.pipe_splice_in(b, &bytes) as u64)
    }

    /// wait_for_space(): EPIPE with SIGPIPE without readers.
    fn splice_wait_for_room(
        &mut self,
        call: &Call<'_>,
        ends: &Ends,
        pipe: PipeId,
    ) -> Result<(), Stop> {
        if self.pipes[pipe].readers == 0 {
            self.send_sig(Signal::SIGPIPE, call.task);
            return Err(Errno::EPIPE.into());
        }
        if self.pipes[pipe].free_bytes() > 0 {
            return Ok(());
        }
        if ends.nonblock || self.files[ends.out].flags.nonblock() {
            return Err(Errno::EAGAIN.into());
        }
        Err(Wait::on(Event::PipeWriters(pipe)).into())
    }

    fn splice_file_to_pipe(&mut self, call: &mut Call<'_>, ends: &Ends, pipe: PipeId) -> SysResult {
        let given = match ends.in_at.is_null() {
            true => None,
            false if !self.file_has_positions(ends.from) => return Err(Errno::EINVAL.into()),
            false => Some(call.read_u64(ends.in_at)?),
        };
        self.splice_wait_for_room(call, ends, pipe)?;
        let pos = given.unwrap_or(self.files[ends.from].pos);
        let want = ends.len.min(self.pipes[pipe].free_bytes());
        let bytes = self.sendfile_read(call, ends.from, pos, want)?;
        let done = self.pipe_splice_in(pipe, &bytes) as u64;
        match given {
            Some(_) => call.write_u64(ends.in_at, pos + done)?,
            None => self.files[ends.from].pos = pos + done,
        }
        Ok(done)
    }

    /// sock_splice_read(): what a receive gives, as much as there is room in the pipe.
    fn splice_socket_to_pipe(
        &mut self,
        call: &mut Call<'_>,
        ends: &Ends,
        socket: SocketId,
        pipe: PipeId,
    ) -> SysResult {
        if !ends.in_at.is_null() {
            return Err(Errno::EINVAL.into());
        }
        self.splice_wait_for_room(call, ends, pipe)?;
        if self.tcp_splice_stops(socket) {
            return Ok(0);
        }
        let nonblock = ends.nonblock || self.files[ends.from].flags.nonblock();
        let room = IoVec::sink(ends.len.min(self.pipes[pipe].free_bytes()));
        let done = self.sock_read_iter(call, socket, nonblock, &room)?;
        let bytes = core::mem::take(&mut call.flight.sink);
        self.pipe_splice_in(pipe, &bytes);
        Ok(done)
    }

    /// Has this kind of file a .splice_write?
    fn can_splice_write(&self, file: FileId) -> bool {
        match self.files[file].kind {
            FileKind::Inode
            | FileKind::Pipe(_)
            | FileKind::Socket(_)
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Urandom
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_)
            | FileKind::Console(_) => true,
            FileKind::Epoll(_) | FileKind::Anon(_) | FileKind::Full => false,
        }
    }

    /// From a pipe to anything that can be written, at the file's position or at one that is given.
    fn splice_from_pipe(&mut self, call: &mut Call<'_>, ends: &Ends, pipe: PipeId) -> SysResult {
        if self.files[ends.out].flags.has(OFlags::APPEND) || !self.can_splice_write(ends.out) {
            return Err(Errno::EINVAL.into());
        }
        if ends.out_at.is_null() {
            return self.splice_from_pipe_here(call, ends, pipe);
        }
        if !self.file_has_positions(ends.out) {
            return Err(Errno::EINVAL.into());
        }
        let given = call.read_u64(ends.out_at)?;
        let own = core::mem::replace(&mut self.files[ends.out].pos, given);
        let result = self.splice_from_pipe_here(call, ends, pipe);
        let now = core::mem::replace(&mut self.files[ends.out].pos, own);
        if result.is_ok() {
            call.write_u64(ends.out_at, now)?;
        }
        result
    }

    /// All that is in the pipe, up to the length.
    fn splice_from_pipe_here(
        &mut self,
        call: &mut Call<'_>,
        ends: &Ends,
        pipe: PipeId,
    ) -> SysResult {
        let mut state = match call.flight.progress.clone() {
            Progress::Splice(state) => state,
            _ => {
                let chunk = self.pipe_peek(pipe, ends.len);
                if chunk.is_empty() {
                    return match self.pipes[pipe].writers {
                        0 => Ok(0),
                        _ if ends.nonblock => Err(Errno::EAGAIN.into()),
                        _ => Err(Wait::on(Event::PipeReaders(pipe)).into()),
                    };
                }
                Box::new(SpliceProgress { chunk, ..SpliceProgress::default() })
            }
        };
        let result = self.splice_write(call, ends.out, &mut state);
        let moved = call.flight.moved;
        self.pipe_consume(pipe, moved - state.taken);
        state.taken = moved;
        match result {
            Ok(()) => Ok(moved as u64),
            Err(Stop::Errno(_)) if moved > 0 => Ok(moved as u64),
            Err(Stop::Wait(wait)) => {
                call.flight.progress = Progress::Splice(state);
                let wait =
                    if moved > 0 { wait.with_restart(Restart::Done(moved as u64)) } else { wait };
                Err(wait.into())
            }
            Err(stop) => Err(stop),
        }
    }

    /// vmsplice(2): user memory into a pipe, or out of one.
    pub fn sys_vmsplice(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(3) as u32;
        if flags & !SPLICE_F_ALL != 0 {
            return Err(Errno::EINVAL.into());
        }
        let file = self.fdget(call, call.int(0))?;
        let Some(pipe) = self.pipe_of(file) else { return Err(Errno::EBADF.into()) };
        let buffers = match call.flight.iovec.take() {
            Some(buffers) => buffers,
            None => IoVec::import(call, call.ptr(1), call.arg(2))?,
        };
        let result = if self.files[file].flags.writable() {
            self.pipe_write(call, file, pipe, &buffers)
        } else {
            self.pipe_read(call, file, pipe, &buffers)
        };
        call.flight.iovec = Some(buffers);
        match (result, call.flight.moved) {
            // It waits for the first byte only, or for room for it.
            (Err(Stop::Wait(_)), moved @ 1..) => Ok(moved as u64),
            (Err(Stop::Wait(_)), 0) if flags & SPLICE_F_NONBLOCK != 0 => Err(Errno::EAGAIN.into()),
            (result, _) => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Tiny, World};

    const BUF: u64 = 0x10_000;
    const SPLICE: u64 = 275;
    const TEE: u64 = 276;

    fn pipe(w: &mut World) -> (u64, u64) {
        w.sys(293, &[World::OUT, 0]).unwrap();
        (u64::from(w.out(8)[0]), u64::from(w.out(8)[4]))
    }

    #[test]
    fn bytes_go_from_a_file_through_a_pipe_into_another() {
        let mut w = World::new(Tiny::default());
        w.write("/tmp/a", b"0123456789").unwrap();
        let a = w.open("/tmp/a", 0, 0).unwrap() as u64;
        let b = w.open("/tmp/b", 0o101, 0o644).unwrap() as u64;
        let (r, wr) = pipe(&mut w);
        assert_eq!(w.sys(SPLICE, &[a, 0, b, 0, 5, 0]), Err(Errno::EINVAL));
        let at = w.put(&3u64.to_le_bytes());
        assert_eq!(w.sys(SPLICE, &[r, at, b, 0, 5, 0]), Err(Errno::ESPIPE));
        assert_eq!(w.sys(SPLICE, &[a, at, wr, 0, 5, 0]), Ok(5));
        assert_eq!(w.sys(SPLICE, &[r, 0, b, 0, 100, 0]), Ok(5));
        assert_eq!(w.read("/tmp/b").unwrap(), b"34567");
        assert_eq!(w.sys(SPLICE, &[r, 0, b, 0, 100, 2]), Err(Errno::EAGAIN));
    }

    #[test]
    fn tee_leaves_the_bytes_where_they_are() {
        let mut w = World::new(Tiny::default());
        let ((r, wr), (r2, wr2)) = (pipe(&mut w), pipe(&mut w));
        w.sys(1, &[wr, BUF, 8]).unwrap();
        assert_eq!(w.sys(TEE, &[r, wr2, 5, 0]), Ok(5));
        assert_eq!(w.sys(0, &[r, World::OUT, 100]), Ok(8));
        assert_eq!(w.sys(0, &[r2, World::OUT, 100]), Ok(5));
        assert_eq!(w.sys(TEE, &[r, wr, 5, 0]), Err(Errno::EINVAL));
        w.begin(TEE, &[r, wr2, 5, 0]).waiting();
    }
}
