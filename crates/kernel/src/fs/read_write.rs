//! read(2), write(2) and their relatives with offsets and vectors; lseek(2). The order of refusals
//! is Linux's: EBADF (no such descriptor), ESPIPE (no positions), EBADF (not open for this),
//! EINVAL (kind cannot), then the buffers. A list of buffers is imported once and kept in the
//! record; bytes are copied when there is room. Neighbours: `file_operations`, `sendfile`.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::fs::file::FileId;
use crate::fs::inotify::bits::{IN_ACCESS, IN_MODIFY};
use crate::kernel::Kernel;
use crate::syscall::iovec::{IoVec, access_ok};
use crate::syscall::{Call, Stop, SysResult};

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the file to the user.
    Read,
    /// From the user to the file.
    Write,
}

/// How arguments 1 and 2 describe the user's memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An address and a length.
    Buffer,
    /// A list of those and their number.
    Vector,
}

/// RWF_HIPRI, RWF_DSYNC, RWF_SYNC: nothing to do in a kernel without a disk.
const RWF_WITHOUT_EFFECT: u32 = 0x1 | 0x2 | 0x4;

impl Kernel {
    /// read(2).
    pub fn sys_read(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_rw(call, Direction::Read, Shape::Buffer, None)
    }

    /// write(2).
    pub fn sys_write(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_rw(call, Direction::Write, Shape::Buffer, None)
    }

    /// readv(2).
    pub fn sys_readv(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_rw(call, Direction::Read, Shape::Vector, None)
    }

    /// writev(2).
    pub fn sys_writev(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_rw(call, Direction::Write, Shape::Vector, None)
    }

    /// pread64(2).
    pub fn sys_pread64(&mut self, call: &mut Call<'_>) -> SysResult {
        let pos = position(call.arg(3))?;
        self.do_rw(call, Direction::Read, Shape::Buffer, Some(pos))
    }

    /// pwrite64(2).
    pub fn sys_pwrite64(&mut self, call: &mut Call<'_>) -> SysResult {
        let pos = position(call.arg(3))?;
        self.do_rw(call, Direction::Write, Shape::Buffer, Some(pos))
    }

    /// preadv(2).
    pub fn sys_preadv(&mut self, call: &mut Call<'_>) -> SysResult {
        let pos = position(call.arg(3))?;
        self.do_rw(call, Direction::Read, Shape::Vector, Some(pos))
    }

    /// pwritev(2).
    pub fn sys_pwritev(&mut self, call: &mut Call<'_>) -> SysResult {
        let pos = position(call.arg(3))?;
        self.do_rw(call, Direction::Write, Shape::Vector, Some(pos))
    }

    /// preadv2(2).
    pub fn sys_preadv2(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_rw2(call, Direction::Read)
    }

    /// pwritev2(2).
    pub fn sys_pwritev2(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_rw2(call, Direction::Write)
    }

    /// Offset −1 means the file's own position. EOPNOTSUPP for a flag that we don't have.
    fn do_rw2(&mut self, call: &mut Call<'_>, direction: Direction) -> SysResult {
        let pos = match call.arg(3) {
            u64::MAX => None,
            offset => Some(position(offset)?),
        };
        let flags = call.arg(5) as u32;
        if flags & !RWF_WITHOUT_EFFECT != 0 {
            let detail = format!("{direction:?} {flags:#x}");
            self.tell(Some(call.task), Fact::unsupported("preadv2/pwritev2 flags", detail));
            return Err(Errno::EOPNOTSUPP.into());
        }
        self.do_rw(call, direction, Shape::Vector, pos)
    }

    /// vfs_read(), vfs_write() and their vectors: checks, imports the buffers once, dispatches.
    fn do_rw(
        &mut self,
        call: &mut Call<'_>,
        direction: Direction,
        shape: Shape,
        pos: Option<u64>,
    ) -> SysResult {
        let file = self.fdget(call, call.int(0))?;
        let seq = direction == Direction::Write && self.is_seq_file(file);
        if pos.is_some() && (seq || !self.file_has_positions(file)) {
            return Err(Errno::ESPIPE.into());
        }
        self.check_rw_mode(file, direction)?;
        let buffers = match call.flight.iovec.take() {
            Some(buffers) => buffers,
            None => import(call, shape)?,
        };
        if shape == Shape::Vector && buffers.total() == 0 {
            return Ok(0);
        }
        let result = match direction {
            Direction::Read => self.file_read_iter(call, file, &buffers, pos),
            Direction::Write => self.file_write_iter(call, file, &buffers, pos),
        };
        call.flight.iovec = Some(buffers);
        if let Ok(1..) | Err(Stop::Done(1..)) = result {
            let mask = if direction == Direction::Read { IN_ACCESS } else { IN_MODIFY };
            self.fsnotify_file(file, mask);
        }
        result
    }

    /// FMODE_READ or FMODE_WRITE, then FMODE_CAN_READ or FMODE_CAN_WRITE.
    fn check_rw_mode(&self, file: FileId, direction: Direction) -> Result<(), Errno> {
        let flags = self.files[file].flags;
        let open = match direction {
            Direction::Read => flags.readable(),
            Direction::Write => flags.writable(),
        };
        if !open {
            return Err(Errno::EBADF);
        }
        if !self.file_can_rw(file, direction) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// lseek(2).
    pub fn sys_lseek(&mut self, call: &mut Call<'_>) -> SysResult {
        let file = self.fdget(call, call.int(0))?;
        let whence = call.arg(2) as u32;
        if whence > 4 {
            return Err(Errno::EINVAL.into());
        }
        self.file_llseek(call, file, call.arg(1) as i64, whence)
    }
}

/// The buffers that arguments 1 and 2 name.
fn import(call: &mut Call<'_>, shape: Shape) -> Result<IoVec, Errno> {
    match shape {
        Shape::Buffer => {
            access_ok(call.ptr(1), call.arg(2))?;
            Ok(IoVec::single(call.ptr(1), call.arg(2)))
        }
        Shape::Vector => IoVec::import(call, call.ptr(1), call.arg(2)),
    }
}

/// An explicit offset: EINVAL if negative.
fn position(offset: u64) -> Result<u64, Errno> {
    if offset > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(offset) }
}
