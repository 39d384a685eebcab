//! Buffers between AF_UNIX sockets, and what they cost. A sender is charged the *true size* of each
//! buffer until the receiver has consumed it whole; that decides how many bytes a writer gets in.
//! The sizes were measured on Linux 6.18 (4 KiB pages): see the tests.

use super::State;
use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::fasync::{Band, FasyncOn};
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::net::msg::MsgFlags;
use crate::net::socket::SocketId;
use crate::syscall::{Call, Restart, Stop};
use crate::task::TaskId;
use crate::wait_queue::Event;
use bytes::Bytes;

/// net.core.wmem_default.
pub const SNDBUF_DEFAULT: usize = 212_992;
const PAGE: usize = 4096;
/// sizeof(struct sk_buff), as allocated.
const SKB: usize = 256;
/// sizeof(struct skb_shared_info), as allocated.
const SHARED_INFO: usize = 320;
/// The smallest block for a buffer's head.
const SMALL_HEAD: usize = 512;
/// SKB_MAX_HEAD(0): data that fits into the head of a page.
const MAX_HEAD: usize = PAGE - SHARED_INFO;
/// UNIX_SKB_FRAGS_SZ: data in pages behind the head of a stream buffer.
const STREAM_FRAGS: usize = 8 * PAGE;
/// SKB_MAX_ALLOC: data in the head of a datagram.
const MAX_ALLOC: usize = 4 * PAGE - SHARED_INFO;
/// MAX_SKB_FRAGS pages.
const MAX_FRAGS: usize = 17 * PAGE;

/// One buffer: a piece of a stream, or a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skb {
    /// What is left of its bytes.
    pub data: Bytes,
    /// What its sender is charged.
    pub truesize: usize,
    /// Who sent it (and may be gone).
    pub owner: SocketId,
    /// The sender's name.
    pub from: Vec<u8>,
    /// SCM_CREDENTIALS: pid, uid, gid.
    pub cred: Option<[u32; 3]>,
    /// SCM_RIGHTS: each holds a reference (rule F-20).
    pub rights: Vec<FileId>,
}

/// How many bytes of `left` go into the next buffer of a stream whose sender has `sndbuf`.
pub fn stream_chunk(left: usize, sndbuf: usize) -> usize {
    left.min((sndbuf / 2).saturating_sub(64).max(1)).min(MAX_HEAD + STREAM_FRAGS)
}

/// What a stream buffer of `len` bytes costs: the pages behind the head are filled first.
pub fn stream_truesize(len: usize) -> usize {
    let paged = len.saturating_sub(MAX_HEAD).next_multiple_of(PAGE);
    SKB + head(len - paged.min(len)) + paged
}

/// What a datagram of `len` bytes costs: the head is filled first.
pub fn dgram_truesize(len: usize) -> usize {
    let paged = len.saturating_sub(MAX_ALLOC).min(MAX_FRAGS).next_multiple_of(PAGE);
    SKB + head(len - paged.min(len)) + paged
}

/// kmalloc's block for a head with `len` bytes of data.
fn head(len: usize) -> usize {
    (len.next_multiple_of(64) + SHARED_INFO).next_power_of_two().max(SMALL_HEAD)
}

impl Kernel {
    /// sock_alloc_send_pskb(): may `s` send one more buffer? Its error first, then EPIPE after a
    /// shutdown; then it waits until less than the send buffer is in use.
    pub(super) fn unix_alloc_space(
        &mut self,
        call: &Call<'_>,
        s: SocketId,
        flags: MsgFlags,
    ) -> Result<(), Stop> {
        if let Some(errno) = self.unix_take_error(s) {
            return Err(errno.into());
        }
        if self.unix(s).send_shutdown {
            return Err(Errno::EPIPE.into());
        }
        if self.unix(s).wmem < self.unix_sndbuf(s) {
            return Ok(());
        }
        self.unix_mut(s).async_nospace = true;
        let timeo = self.net.sockets[s].options.sndtimeo;
        match self.sock_wait(call, s, flags, timeo) {
            Some(wait) => Err(wait.into()),
            None => Err(Errno::EAGAIN.into()),
        }
    }

    /// Queues `skb` at `to`; its owner is charged.
    pub(super) fn unix_queue(&mut self, to: SocketId, skb: Skb) {
        self.unix_mut(skb.owner).wmem += skb.truesize;
        self.unix_mut(to).receive_queue.push_back(skb);
        self.unix_data_ready(to);
    }

    /// consume_skb(), kfree_skb(): the owner gets its room back, and what was carried is dropped.
    pub(super) fn unix_free_skb(&mut self, task: Option<TaskId>, skb: Skb) {
        for file in skb.rights {
            self.fput(task, file);
        }
        if self.unix_get(skb.owner).is_none() {
            return;
        }
        self.unix_mut(skb.owner).wmem -= skb.truesize;
        // unix_write_space(): only when a good deal is free.
        if self.unix_writable(skb.owner) {
            let key = PollBits::OUT | PollBits::WRNORM | PollBits::WRBAND;
            self.publish_poll(Event::Socket(skb.owner), key);
            // SOCK_WAKE_SPACE: only who found no room is told.
            if core::mem::take(&mut self.unix_mut(skb.owner).async_nospace) {
                self.kill_fasync(FasyncOn::Socket(skb.owner), Band::Out);
            }
        }
    }

    /// A datagram was taken from `s`: whoever waits for its queue goes on, sleeping or polling.
    pub(super) fn unix_wake_peer_wait(&mut self, s: SocketId) {
        let key = PollBits::OUT | PollBits::WRNORM | PollBits::WRBAND;
        self.publish_poll(Event::UnixPeer(s), key);
        if self.unix(s).state == State::Listen {
            return;
        }
        let held_back: Vec<SocketId> = self
            .net
            .sockets
            .iter()
            .map(|(id, _)| id)
            .filter(|id| self.unix_get(*id).is_some_and(|u| u.peer == Some(s)))
            .filter(|id| self.unix(s).peer != Some(*id))
            .collect();
        for sender in held_back {
            self.publish_poll(Event::Socket(sender), key);
        }
    }
}

/// The same stop for a call that moved `moved` bytes already: they count, whatever ends it.
pub(super) fn partial(stop: Stop, moved: usize) -> Stop {
    match stop {
        _ if moved == 0 => stop,
        Stop::Errno(_) | Stop::Done(_) => Stop::Done(moved as u64),
        Stop::Wait(wait) => Stop::Wait(wait.with_restart(Restart::Done(moved as u64))),
        Stop::NoReturn => Stop::NoReturn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a non-blocking writer gets in by writes of `len` bytes, as a stream and as datagrams.
    fn stream_fill(len: usize) -> (usize, usize) {
        let (mut bytes, mut wmem) = (0, 0);
        'outer: loop {
            let mut left = len;
            while left > 0 {
                if wmem >= SNDBUF_DEFAULT {
                    break 'outer;
                }
                let chunk = stream_chunk(left, SNDBUF_DEFAULT);
                wmem += stream_truesize(chunk);
                bytes += chunk;
                left -= chunk;
            }
        }
        (bytes, wmem)
    }

    fn dgram_fill(len: usize) -> (usize, usize) {
        let (mut bytes, mut wmem) = (0, 0);
        while wmem < SNDBUF_DEFAULT {
            wmem += dgram_truesize(len);
            bytes += len;
        }
        (bytes, wmem)
    }

    #[test]
    fn a_writer_gets_in_as_many_bytes_as_on_linux() {
        // Measured on 6.18.44: length of a write, bytes in all, SIOCOUTQ.
        for (len, bytes, wmem) in [
            (1, 278, 213_504),
            (100, 27_800, 213_504),
            (1000, 93_000, 214_272),
            (2000, 98_000, 213_248),
            (3000, 147_000, 213_248),
            (4000, 176_000, 214_016),
            (4096, 180_224, 214_016),
            (8000, 192_000, 215_040),
            (10_000, 170_000, 213_248),
            (32_768, 229_376, 234_752),
            (65_536, 233_152, 238_336),
            (300_000, 219_264, 222_720),
        ] {
            assert_eq!(stream_fill(len), (bytes, wmem), "stream, {len}");
        }
        for (len, bytes, wmem) in [
            (1, 278, 213_504),
            (1000, 93_000, 214_272),
            (4000, 104_000, 219_648),
            (8000, 104_000, 216_320),
            (10_000, 130_000, 216_320),
            (32_768, 196_608, 222_720),
            (65_536, 262_144, 279_552),
            (100_000, 300_000, 307_968),
            (106_496, 212_992, 270_848),
            (200_000, 400_000, 401_920),
        ] {
            assert_eq!(dgram_fill(len), (bytes, wmem), "datagrams, {len}");
        }
    }
}
