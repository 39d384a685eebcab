//! A queue of bytes made of chunks that are moved, not copied: the send buffer from the first
//! unacknowledged byte to the last one that the program wrote. Retransmissions are cut from it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Small writes are gathered into chunks of this many bytes.
const GATHER: usize = 4096;

/// Bytes in chunks, each with its place in the stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ByteQueue {
    /// (offset in the stream, bytes); contiguous.
    chunks: VecDeque<(u64, Bytes)>,
    start: u64,
    end: u64,
}

impl ByteQueue {
    /// How many bytes are queued.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// True when nothing is queued.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Appends. Small writes are joined with the chunk before them.
    pub fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let join = |last: &Bytes| last.len() + data.len() <= GATHER;
        match self.chunks.back_mut().filter(|(_, last)| join(last)) {
            Some((_, last)) => {
                let mut both = match core::mem::take(last).try_into_mut() {
                    Ok(alone) => alone,
                    Err(shared) => {
                        let mut copy = BytesMut::with_capacity(GATHER);
                        copy.extend_from_slice(&shared);
                        copy
                    }
                };
                both.extend_from_slice(data);
                *last = both.freeze();
            }
            None => self.chunks.push_back((self.end, Bytes::copy_from_slice(data))),
        }
        self.end += data.len() as u64;
    }

    /// Drops `n` bytes at the front.
    pub fn advance(&mut self, n: usize) {
        self.start += n as u64;
        debug_assert!(self.start <= self.end, "acknowledged more than was written");
        while let Some((at, chunk)) = self.chunks.front() {
            if at + chunk.len() as u64 > self.start {
                break;
            }
            self.chunks.pop_front();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.start = self.end;
    }

    /// `len` bytes from `offset` (counted from the front). Copies only across a chunk's border.
    pub fn slice(&self, offset: usize, len: usize) -> Bytes {
        if len == 0 {
            return Bytes::new();
        }
        let from = self.start + offset as u64;
        let mut i = self.chunks.partition_point(|(at, c)| at + c.len() as u64 <= from);
        let (at, chunk) = &self.chunks[i];
        let skip = (from - at) as usize;
        if skip + len <= chunk.len() {
            return chunk.slice(skip..skip + len);
        }
        let mut joined = BytesMut::with_capacity(len);
        joined.extend_from_slice(&chunk[skip..]);
        while joined.len() < len {
            i += 1;
            let chunk = &self.chunks[i].1;
            joined.extend_from_slice(&chunk[..chunk.len().min(len - joined.len())]);
        }
        joined.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cross_chunks_and_survive_the_advance() {
        let mut q = ByteQueue::default();
        let all: Vec<u8> = (0..20_000u32).map(|i| i as u8).collect();
        q.push(&all[..10]);
        q.push(&all[10..3000]);
        q.push(&all[3000..11_000]);
        q.push(&all[11_000..]);
        assert_eq!(q.slice(2990, 8020), all[2990..11_010]);
        q.advance(3500);
        assert_eq!(q.slice(0, 16_500), all[3500..]);
        assert_eq!(q.slice(16_499, 1), all[19_999..]);
        q.advance(16_500);
        assert!(q.is_empty());
        q.push(b"x");
        assert_eq!(q.slice(0, 1), &b"x"[..]);
        assert_eq!(q.len(), 1);
    }
}
