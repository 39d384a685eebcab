//! sendfile(2) and copy_file_range(2): bytes from a file to another without the user. sendfile moves
//! them in chunks; a chunk that was read and not yet written is kept in the record. Neighbours:
//! `splice` (through pipes), `file_operations`, `file_rw`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::file::{FileId, FileKind};
use crate::fs::inotify::bits::{IN_ACCESS, IN_MODIFY};
use crate::kernel::Kernel;
use crate::platform::UserPtr;
use crate::syscall::call::MAX_RW_COUNT;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Progress, Restart, Stop, SysResult};
use bytes::Bytes;

/// How much is read at a time.
const CHUNK: u64 = 1 << 16;

/// What a sendfile or splice remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpliceProgress {
    /// Bytes that were read; `flight.moved` of them were written.
    pub chunk: Bytes,
    /// How many bytes earlier chunks moved.
    pub before: u64,
    /// Where in the source `chunk` begins.
    pub pos: u64,
    /// How many bytes of `chunk` were taken out of the source pipe (splice).
    pub taken: usize,
    /// What the write remembers.
    pub inner: Box<Progress>,
}

impl Kernel {
    /// sendfile(2): from a file with positions to anything that can be written.
    pub fn sys_sendfile(&mut self, call: &mut Call<'_>) -> SysResult {
        let (out_fd, in_fd, offset_at) = (call.int(0), call.int(1), call.ptr(2));
        let count = call.arg(3).min(MAX_RW_COUNT);
        let mut state = match call.flight.progress.clone() {
            Progress::Splice(state) => state,
            _ => {
                let pos = self.sendfile_start(call, offset_at)?;
                Box::new(SpliceProgress { pos, ..SpliceProgress::default() })
            }
        };
        let (from, out) = (self.fdget(call, in_fd)?, self.fdget(call, out_fd)?);
        loop {
            if state.chunk.is_empty() {
                let want = (count - state.before).min(CHUNK) as usize;
                let bytes = self.sendfile_read(call, from, state.pos, want);
                state.chunk = match bytes {
                    Ok(bytes) if bytes.is_empty() => {
                        self.sendfile_set_pos(call, from, offset_at, state.pos)?;
                        return Ok(state.before);
                    }
                    Ok(bytes) => bytes,
                    Err(_) if state.before > 0 => return Ok(state.before),
                    Err(errno) => return Err(errno.into()),
                };
                call.flight.moved = 0;
            }
            let (whole, result) =
                (state.chunk.len() as u64, self.splice_write(call, out, &mut state));
            let moved = call.flight.moved as u64;
            self.sendfile_set_pos(call, from, offset_at, state.pos + moved)?;
            let done = state.before + moved;
            match result {
                Ok(()) if moved == whole => {
                    state.before = done;
                    state.pos += moved;
                    state.chunk = Bytes::new();
                }
                Ok(()) => return Ok(done),
                Err(Stop::Errno(_)) if done > 0 => return Ok(done),
                Err(Stop::Wait(wait)) => {
                    call.flight.progress = Progress::Splice(state);
                    let wait = if done > 0 { wait.with_restart(Restart::Done(done)) } else { wait };
                    return Err(wait.into());
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Writes what is left of the chunk; `flight.moved` says how much of it has gone.
    pub(super) fn splice_write(
        &mut self,
        call: &mut Call<'_>,
        out: FileId,
        state: &mut SpliceProgress,
    ) -> Result<(), Stop> {
        call.flight.progress = core::mem::take(&mut *state.inner);
        let bytes = IoVec::kernel(state.chunk.clone());
        let result = self.file_write_iter(call, out, &bytes, None);
        *state.inner = core::mem::take(&mut call.flight.progress);
        match result {
            Ok(done) | Err(Stop::Done(done)) => {
                call.flight.moved = done as usize;
                *state.inner = Progress::Fresh;
                self.fsnotify_file(out, IN_MODIFY);
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    /// The checks of do_sendfile, in its order; where the source begins.
    fn sendfile_start(&mut self, call: &mut Call<'_>, offset_at: UserPtr) -> Result<u64, Errno> {
        let (out_fd, in_fd) = (call.int(0), call.int(1));
        let given = match offset_at.is_null() {
            true => None,
            false => Some(call.read_u64(offset_at)?),
        };
        let from = self.fdget(call, in_fd)?;
        if !self.files[from].flags.readable() {
            return Err(Errno::EBADF);
        }
        if given.is_some() && !self.file_has_positions(from) {
            return Err(Errno::ESPIPE);
        }
        let pos = given.unwrap_or(self.files[from].pos);
        if pos > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        let out = self.fdget(call, out_fd)?;
        if !self.files[out].flags.writable() {
            return Err(Errno::EBADF);
        }
        if self.files[out].flags.has(OFlags::APPEND) {
            return Err(Errno::EINVAL);
        }
        Ok(pos)
    }

    /// Up to `len` bytes of a file at `pos`. EINVAL, loudly, from what has none.
    pub(super) fn sendfile_read(
        &mut self,
        call: &mut Call<'_>,
        from: FileId,
        pos: u64,
        len: usize,
    ) -> Result<Bytes, Errno> {
        match self.files[from].kind {
            FileKind::Inode => {
                // A directory has no .splice_read.
                let no_dir = |errno| if errno == Errno::EISDIR { Errno::EINVAL } else { errno };
                let bytes = self.inode_read(from, pos, len, call.user).map_err(no_dir)?;
                if !bytes.is_empty() {
                    self.fsnotify_file(from, IN_ACCESS);
                }
                Ok(bytes.into())
            }
            FileKind::Null => Ok(Bytes::new()),
            FileKind::Zero | FileKind::Full => Ok(vec![0; len].into()),
            FileKind::Pipe(_)
            | FileKind::Socket(_)
            | FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Urandom
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_)
            | FileKind::Console(_) => {
                let what = self.describe_file(from).to_string();
                self.tell(Some(call.task), Fact::unsupported("sendfile or splice from", what));
                Err(Errno::EINVAL)
            }
        }
    }

    fn sendfile_set_pos(
        &mut self,
        call: &mut Call<'_>,
        from: FileId,
        offset_at: UserPtr,
        pos: u64,
    ) -> Result<(), Errno> {
        if offset_at.is_null() {
            self.files[from].pos = pos;
            return Ok(());
        }
        call.write_u64(offset_at, pos)
    }

    /// copy_file_range(2): between regular files of one file system (EXDEV).
    pub fn sys_copy_file_range(&mut self, call: &mut Call<'_>) -> SysResult {
        let (fd_in, in_at, fd_out, out_at) = (call.int(0), call.ptr(1), call.int(2), call.ptr(3));
        let (from, out) = (self.fdget(call, fd_in)?, self.fdget(call, fd_out)?);
        let pos_in = self.range_position(call, from, in_at)?;
        let pos_out = self.range_position(call, out, out_at)?;
        if call.arg(5) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let len = self.copy_range_checks(from, out, pos_in, pos_out, call.arg(4))?;
        let mut done = 0;
        while done < len {
            let want = (len - done).min(CHUNK) as usize;
            let moved = self.inode_read(from, pos_in + done, want, call.user).and_then(|bytes| {
                if bytes.is_empty() {
                    return Ok(0);
                }
                let (task, at) = (call.task, pos_out + done);
                self.inode_write(task, out, at, &bytes, call.user).map(|(put, _)| put)
            });
            match moved {
                Ok(0) => break,
                Ok(put) => done += put as u64,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        if done > 0 {
            self.fsnotify_file(from, IN_ACCESS);
            self.fsnotify_file(out, IN_MODIFY);
            self.sendfile_set_pos(call, from, in_at, pos_in + done)?;
            self.sendfile_set_pos(call, out, out_at, pos_out + done)?;
        }
        Ok(done)
    }

    fn range_position(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        at: UserPtr,
    ) -> Result<u64, Errno> {
        if at.is_null() { Ok(self.files[file].pos) } else { call.read_u64(at) }
    }

    /// generic_copy_file_checks() and its caller's: how many bytes may be asked for.
    fn copy_range_checks(
        &self,
        from: FileId,
        out: FileId,
        pos_in: u64,
        pos_out: u64,
        len: u64,
    ) -> Result<u64, Errno> {
        let inode = |file: FileId| match (self.files[file].kind, self.files[file].dentry()) {
            (FileKind::Inode, Some(dentry)) => Some(self.vfs.dentries[dentry].inode),
            _ => None,
        };
        let (Some(a), Some(b)) = (inode(from), inode(out)) else { return Err(Errno::EINVAL) };
        let (ia, ib) = (&self.vfs.inodes[a], &self.vfs.inodes[b]);
        if ia.is_dir() || ib.is_dir() {
            return Err(Errno::EISDIR);
        }
        if !ia.is_reg() || !ib.is_reg() {
            return Err(Errno::EINVAL);
        }
        let to = self.files[out].flags;
        if !self.files[from].flags.readable() || !to.writable() || to.has(OFlags::APPEND) {
            return Err(Errno::EBADF);
        }
        if ia.dev != ib.dev {
            return Err(Errno::EXDEV);
        }
        let (end_in, end_out) = (pos_in.checked_add(len), pos_out.checked_add(len));
        let most = i64::MAX as u64;
        if end_in.is_none_or(|end| end > most) || end_out.is_none_or(|end| end > most) {
            return Err(Errno::EOVERFLOW);
        }
        let len = len.min(ia.size().saturating_sub(pos_in)).min(MAX_RW_COUNT);
        if a == b && pos_out + len > pos_in && pos_out < pos_in + len {
            return Err(Errno::EINVAL);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Outcome, Tiny, World};

    #[test]
    fn sendfile_goes_on_where_a_full_pipe_stopped_it() {
        let mut w = World::new(Tiny::default());
        w.write("/tmp/f", &[7; 200_000]).unwrap();
        let f = w.open("/tmp/f", 0, 0).unwrap() as u64;
        w.sys(293, &[World::OUT, 0]).unwrap();
        let (r, wr) = (u64::from(w.out(8)[0]), u64::from(w.out(8)[4]));
        let mut flight = w.begin(40, &[wr, f, 0, 1 << 20]).waiting();
        let mut drained = 0;
        let sent = loop {
            drained += w.sys(0, &[r, World::OUT, 0x7000]).unwrap();
            match w.again(flight) {
                Outcome::Done(done) => break done,
                Outcome::Waits(next, _) => flight = next,
            }
        };
        assert_eq!(sent, Ok(200_000));
        assert_eq!(w.sys(8, &[f, 0, 1]), Ok(200_000), "the position moved");
        assert!(drained < 200_000);
        assert_eq!(w.sys(40, &[wr, r, 0, 10]), Err(Errno::EINVAL), "not from a pipe");
    }

    #[test]
    fn a_range_is_copied_and_may_not_overlap_itself() {
        let mut w = World::new(Tiny::default());
        w.write("/tmp/a", b"0123456789").unwrap();
        let a = w.open("/tmp/a", 2, 0).unwrap() as u64;
        let b = w.open("/tmp/b", 0o102, 0o644).unwrap() as u64;
        let at = w.put(&4u64.to_le_bytes());
        assert_eq!(w.sys(326, &[a, at, b, 0, 100, 0]), Ok(6));
        assert_eq!(w.read("/tmp/b").unwrap(), b"456789");
        assert_eq!(w.sys(326, &[a, at, b, 0, 100, 0]), Ok(0));
        let zero = w.put(&0u64.to_le_bytes());
        let two = w.put(&2u64.to_le_bytes());
        assert_eq!(w.sys(326, &[a, zero, a, two, 5, 0]), Err(Errno::EINVAL));
        assert_eq!(w.sys(326, &[a, zero, b, 0, 5, 1]), Err(Errno::EINVAL));
    }
}
