//! The character devices that are kinds of their own: /dev/zero, /dev/full, /dev/urandom.
//! /dev/null needs no code. See null(4), full(4), random(4). Neighbour: `file_operations`.

use crate::abi::Errno;
use crate::fs::file::FileId;
use crate::fs::inode::{Device, InodeKind};
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};

/// How much is made at a time.
const CHUNK: usize = 1 << 16;

impl Kernel {
    /// /dev/zero, /dev/full: as many zeroes as fit. EFAULT if not one did.
    pub fn zero_read(&mut self, call: &mut Call<'_>, to: &IoVec) -> SysResult {
        fill(call, to, |_| {})
    }

    /// /dev/urandom: the stream that getrandom(2) draws from.
    pub fn urandom_read(&mut self, call: &mut Call<'_>, to: &IoVec) -> SysResult {
        let group = self.tasks[call.task].group;
        fill(call, to, |bytes| self.groups[group].random.fill(bytes))
    }

    /// Is it /dev/random? Both are kind `Urandom`.
    pub fn is_dev_random(&self, file: FileId) -> bool {
        let dentry = self.files[file].dentry();
        dentry.is_some_and(|d| self.vfs.inode(d).kind == InodeKind::CharDevice(Device::Random))
    }

    /// random_ioctl(): RNDGETENTCNT says that the pool is full. EINVAL for what it does not know.
    pub fn random_ioctl(&mut self, call: &mut Call<'_>, cmd: u32) -> SysResult {
        const RNDGETENTCNT: u32 = 0x8004_5200;
        if cmd == RNDGETENTCNT {
            call.write_u32(call.ptr(2), 256)?;
            return Ok(0);
        }
        self.no_ioctl(call, cmd).or(Err(Errno::EINVAL.into()))
    }

    /// /dev/urandom takes entropy from everybody and believes none of it.
    pub fn urandom_write(&mut self, call: &mut Call<'_>, from: &IoVec) -> SysResult {
        let mut done = 0;
        while done < from.total() {
            match from.gather(call, done, CHUNK) {
                Ok(bytes) => done += bytes.len(),
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(done as u64)
    }
}

/// Fills `to` in chunks that `make` makes out of zeroes.
fn fill(call: &mut Call<'_>, to: &IoVec, mut make: impl FnMut(&mut [u8])) -> SysResult {
    let (total, mut done) = (to.total(), 0);
    while done < total {
        let mut chunk = vec![0; CHUNK.min(total - done)];
        make(&mut chunk);
        match to.scatter(call, done, &chunk) {
            Ok(put) if put == chunk.len() => done += put,
            Ok(put) => return Ok((done + put) as u64),
            Err(_) if done > 0 => break,
            Err(_) => return Err(Errno::EFAULT.into()),
        }
    }
    Ok(done as u64)
}
