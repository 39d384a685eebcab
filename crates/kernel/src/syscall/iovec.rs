//! Scattered user buffers: readv(2), writev(2), sendmsg(2). The list is imported once, at entry
//! (import_iovec), and kept in the in-flight record; the bytes are copied when there is room for
//! them, as Linux does. Neighbours: `fs/read_write`, `net/msg`.

use crate::abi::Errno;
use crate::platform::UserPtr;
use crate::syscall::Call;
use crate::syscall::call::MAX_RW_COUNT;

/// The most segments that one call may name (UIO_MAXIOV).
pub const UIO_MAXIOV: u64 = 1024;

/// access_ok(): does the buffer lie below the end of user addresses? EFAULT before anything moves.
pub fn access_ok(at: UserPtr, len: u64) -> Result<(), Errno> {
    const TASK_SIZE_MAX: u64 = 0x7fff_ffff_f000;
    match at.0.checked_add(len) {
        Some(end) if end <= TASK_SIZE_MAX => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// How much is copied from the user at a time.
const STEP: usize = 1 << 16;

/// An imported list of user buffers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IoVec {
    parts: Vec<(UserPtr, usize)>,
    /// Bytes of the kernel's own instead (sendfile, splice): only to gather from.
    kernel: Option<bytes::Bytes>,
    /// Room for so many bytes in the kernel instead (splice): only to scatter to. They go to
    /// `InFlight::sink`.
    sink: Option<usize>,
}

impl IoVec {
    /// One buffer; its length is cut to MAX_RW_COUNT.
    pub fn single(at: UserPtr, len: u64) -> IoVec {
        let parts = vec![(at, len.min(MAX_RW_COUNT) as usize)];
        IoVec { parts, ..IoVec::default() }
    }

    /// Bytes that are in the kernel already (sendfile, splice), to be written.
    pub fn kernel(bytes: bytes::Bytes) -> IoVec {
        IoVec { kernel: Some(bytes), ..IoVec::default() }
    }

    /// Room for `len` bytes in `InFlight::sink`, to be read into (splice).
    pub fn sink(len: usize) -> IoVec {
        IoVec { sink: Some(len), ..IoVec::default() }
    }

    /// import_iovec(): `count` pairs of address and length. EINVAL for too many segments or a
    /// negative length, EFAULT for an unreadable list; the sum is cut to MAX_RW_COUNT.
    pub fn import(call: &mut Call<'_>, list: UserPtr, count: u64) -> Result<IoVec, Errno> {
        if count > UIO_MAXIOV {
            return Err(Errno::EINVAL);
        }
        let raw = call.read_bytes(list, count as usize * 16)?;
        let mut left = MAX_RW_COUNT;
        let mut parts = Vec::with_capacity(count as usize);
        for pair in raw.chunks_exact(16) {
            let word = |i: usize| u64::from_le_bytes(pair[i..i + 8].try_into().expect("8 bytes"));
            let (base, len) = (word(0), word(8));
            if len > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
            let len = len.min(left);
            access_ok(UserPtr(base), len)?;
            left -= len;
            parts.push((UserPtr(base), len as usize));
        }
        Ok(IoVec { parts, ..IoVec::default() })
    }

    /// Bytes in all.
    pub fn total(&self) -> usize {
        match (&self.kernel, self.sink) {
            (Some(bytes), _) => bytes.len(),
            (None, Some(room)) => room,
            (None, None) => self.parts.iter().map(|(_, len)| len).sum(),
        }
    }

    /// The pieces that lie behind the first `skip` bytes, `max` bytes at the most.
    fn pieces(&self, mut skip: usize, mut max: usize) -> Vec<(UserPtr, usize)> {
        let mut pieces = Vec::new();
        for (at, len) in &self.parts {
            if skip >= *len {
                skip -= len;
                continue;
            }
            let take = (len - skip).min(max);
            if take > 0 {
                pieces.push((at.add(skip as u64), take));
            }
            max -= take;
            skip = 0;
            if max == 0 {
                break;
            }
        }
        pieces
    }

    /// Copies up to `max` bytes that lie behind the first `skip` from the user. Stops at the first
    /// unreadable byte; EFAULT only when not even one could be read. Room is made for what is readable,
    /// not for what is claimed: a length of 2 GiB costs the caller nothing.
    pub fn gather(&self, call: &mut Call<'_>, skip: usize, max: usize) -> Result<Vec<u8>, Errno> {
        if let Some(kernel) = &self.kernel {
            let from = skip.min(kernel.len());
            return Ok(kernel[from..kernel.len().min(from.saturating_add(max))].to_vec());
        }
        let mut bytes = Vec::new();
        for (at, len) in self.pieces(skip, max) {
            let mut done = 0;
            while done < len {
                let (start, want) = (bytes.len(), STEP.min(len - done));
                bytes.resize(start + want, 0);
                let from = at.add(done as u64);
                let got = call.user.read_user(call.guest, from, &mut bytes[start..]);
                bytes.truncate(start + got);
                if got < want {
                    return if bytes.is_empty() { Err(Errno::EFAULT) } else { Ok(bytes) };
                }
                done += want;
            }
        }
        Ok(bytes)
    }

    /// Copies `bytes` to the user, behind the first `skip` bytes of the buffers. Returns how many
    /// fitted; EFAULT only when not even one did although there were some.
    pub fn scatter(&self, call: &mut Call<'_>, skip: usize, bytes: &[u8]) -> Result<usize, Errno> {
        if let Some(room) = self.sink {
            let fits = bytes.len().min(room.saturating_sub(skip));
            call.flight.sink.extend_from_slice(&bytes[..fits]);
            return Ok(fits);
        }
        let mut done = 0;
        for (at, len) in self.pieces(skip, bytes.len()) {
            let put = call.user.write_user(call.guest, at, &bytes[done..done + len]);
            done += put;
            if put < len {
                return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::InFlight;
    use crate::task::signal::testing::{TOP, World};

    #[test]
    fn a_length_of_two_gigabytes_costs_what_is_readable_of_it() {
        // Found by the target `syscalls`: the room for all of it was made first.
        let mut w = World::new();
        let task = w.process();
        let guest = w.kernel.tasks[task].guest.unwrap();
        let flight = InFlight::new(1, [0; 6], w.kernel.now);
        let mut call = Call { task, guest, flight, user: &mut w.memory };
        let all = IoVec { parts: vec![(UserPtr(TOP - 5000), 0x7fff_f000)], ..IoVec::default() };
        let bytes = all.gather(&mut call, 0, all.total()).unwrap();
        assert_eq!(bytes.len(), 5000);
        assert!(bytes.capacity() <= 2 * STEP);
    }
}
