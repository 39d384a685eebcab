//! Bytes that came in order and were not read yet, in the sk_buffs that hold them
//! (`sk_receive_queue`), and what each costs of the receive buffer (`truesize`). A segment joins the
//! sk_buff before it (`tcp_try_coalesce`) and then costs its bytes alone; memory comes back when all
//! of an sk_buff was read. Neighbours: `receive`, which fills and reads; `reassembly`, which has what
//! came too early; `rmem`, which asks whether all of it fits.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// An sk_buff without bytes: itself, room for headers, `skb_shared_info` (`SKB_TRUESIZE`; measured on
/// 6.18 over veth: 832 bytes beside the payload of whatever length).
const SKB_OVERHEAD: u32 = 832;
/// So many pieces of pages has an sk_buff at most.
const MAX_SKB_FRAGS: u32 = 17;
/// The largest of them in bytes: a sender's memory comes in pieces of so many.
const SKB_FRAG: u32 = 32_768;
/// Bytes in an sk_buff that others are collapsed into: what fits into a page beside its administration
/// (`SKB_MAX_ORDER(0, 0)`).
const COLLAPSED: usize = 3776;

/// How a device hands over what it received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RxMemory {
    /// In pieces of pages, as veth, the loopback and most cards do: they are joined.
    #[default]
    Paged,
    /// In one buffer for each packet, as a tun device does: they cannot be joined (measured: 142848
    /// bytes charged for 89560 in segments of 1448). Unlike Linux, small ones are not copied together
    /// into the room behind them: they only cost less.
    Linear,
}

impl RxMemory {
    /// What a segment of `len` bytes costs by itself.
    pub fn truesize(self, len: u32) -> u32 {
        match self {
            RxMemory::Paged => len + SKB_OVERHEAD,
            RxMemory::Linear => len + 856.min(len * 3 / 5 + 16),
        }
    }
}

/// One sk_buff.
#[derive(Clone, PartialEq, Eq, Debug)]
struct SkBuff {
    /// What of it was not read, in the pieces that arrived.
    pieces: VecDeque<Bytes>,
    len: usize,
    truesize: u32,
    frags: u32,
}

/// The queue.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReceiveQueue {
    skbs: VecDeque<SkBuff>,
    charged: u32,
}

impl ReceiveQueue {
    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.skbs.is_empty()
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.skbs.iter().map(|skb| skb.len).sum()
    }

    /// What it costs of the receive buffer.
    pub fn charged(&self) -> u32 {
        self.charged
    }

    /// `tcp_queue_rcv`: more bytes came; `joins`: they may share an sk_buff with those before them.
    pub fn push(&mut self, bytes: Bytes, joins: bool, memory: RxMemory) {
        let len = bytes.len();
        let frags = (len as u32).div_ceil(SKB_FRAG);
        let fits = |last: &&mut SkBuff| {
            joins && memory == RxMemory::Paged && last.frags + frags <= MAX_SKB_FRAGS
        };
        match self.skbs.back_mut().filter(fits) {
            Some(last) => {
                last.pieces.push_back(bytes);
                last.len += len;
                last.truesize += len as u32;
                last.frags += frags;
                self.charged += len as u32;
            }
            None => {
                let truesize = memory.truesize(len as u32);
                let pieces = VecDeque::from([bytes]);
                self.charged += truesize;
                self.skbs.push_back(SkBuff { pieces, len, truesize, frags });
            }
        }
    }

    /// The first `n` bytes, or all if there are fewer; they stay.
    pub fn peek(&self, n: usize) -> Bytes {
        let mut pieces = self.skbs.iter().flat_map(|skb| &skb.pieces);
        match pieces.clone().next() {
            Some(first) if first.len() >= n => return first.slice(..n),
            Some(_) | None => {}
        }
        let mut all = BytesMut::with_capacity(n);
        while all.len() < n
            && let Some(piece) = pieces.next()
        {
            all.extend_from_slice(&piece[..piece.len().min(n - all.len())]);
        }
        all.freeze()
    }

    /// The first `n` bytes were read.
    pub fn consume(&mut self, mut n: usize) {
        while n > 0
            && let Some(skb) = self.skbs.front_mut()
        {
            let Some(first) = skb.pieces.front_mut() else { return };
            let taken = n.min(first.len());
            *first = first.slice(taken..);
            if first.is_empty() {
                skb.pieces.pop_front();
            }
            n -= taken;
            skb.len -= taken;
            if skb.len == 0 {
                self.charged -= skb.truesize;
                self.skbs.pop_front();
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = ReceiveQueue::default();
    }

    /// `tcp_collapse`: from the first sk_buff on that is `bloated` (what it costs and has is asked),
    /// all become sk_buffs of a page each.
    pub fn collapse(&mut self, bloated: impl Fn(u32, usize) -> bool) {
        let found = self.skbs.iter().position(|skb| bloated(skb.truesize, skb.len));
        let Some(first) = found else { return };
        let rest = self.skbs.split_off(first);
        let mut all = BytesMut::new();
        for piece in rest.iter().flat_map(|skb| &skb.pieces) {
            all.extend_from_slice(piece);
        }
        let mut all = all.freeze();
        while !all.is_empty() {
            let piece = all.split_to(all.len().min(COLLAPSED));
            let len = piece.len();
            // A power of two holds it and `skb_shared_info`.
            let truesize = (len as u32 + 320).next_power_of_two() + 256;
            self.skbs.push_back(SkBuff { pieces: [piece].into(), len, truesize, frags: 0 });
        }
        self.charged = self.skbs.iter().map(|skb| skb.truesize).sum();
    }

    /// What holds between two calls (see `check`).
    pub fn check(&self) -> Result<(), String> {
        for skb in &self.skbs {
            let len: usize = skb.pieces.iter().map(Bytes::len).sum();
            if len != skb.len || len == 0 || skb.pieces.iter().any(Bytes::is_empty) {
                return Err(format!("an sk_buff of {} bytes has {len}", skb.len));
            }
        }
        let charged: u32 = self.skbs.iter().map(|skb| skb.truesize).sum();
        if charged == self.charged { Ok(()) } else { Err("bytes are not charged for".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(size: usize, count: usize, memory: RxMemory) -> ReceiveQueue {
        let mut queue = ReceiveQueue::default();
        (0..count).for_each(|_| queue.push(vec![7; size].into(), true, memory));
        queue
    }

    #[test]
    fn segments_are_joined_seventeen_at_a_time() {
        // Measured on 6.18 over veth with SO_MEMINFO, a pause behind each segment.
        for (size, count, charged) in
            [(1, 17, 849), (1, 18, 1682), (100, 17, 2532), (100, 18, 3464), (600, 17, 11_032)]
        {
            assert_eq!(
                filled(size, count, RxMemory::Paged).charged(),
                charged,
                "{count} of {size}"
            );
        }
        // A tun device.
        assert_eq!(filled(1448, 62, RxMemory::Linear).charged(), 142_848);
    }

    #[test]
    fn memory_comes_back_with_the_last_byte_of_an_sk_buff() {
        let mut queue = filled(1000, 20, RxMemory::Paged);
        assert_eq!(queue.charged(), 20_000 + 2 * 832);
        queue.consume(16_999);
        assert_eq!((queue.len(), queue.charged()), (3001, 20_000 + 2 * 832));
        queue.consume(1);
        assert_eq!((queue.len(), queue.charged()), (3000, 3000 + 832));
        assert_eq!((queue.peek(1500).len(), queue.check()), (1500, Ok(())));
        queue.consume(3000);
        assert_eq!((queue.is_empty(), queue.charged()), (true, 0));
    }

    #[test]
    fn crumbs_are_collapsed_and_large_sk_buffs_are_not() {
        let mut queue = filled(1448, 17, RxMemory::Paged);
        let large = queue.charged();
        (0..8000).for_each(|_| queue.push(vec![7; 1].into(), true, RxMemory::Paged));
        queue.collapse(|truesize, len| truesize as usize / 2 > len);
        assert_eq!(queue.len(), 17 * 1448 + 8000);
        assert_eq!(queue.charged(), large + 2 * (4096 + 256) + 1024 + 256);
        assert_eq!(queue.check(), Ok(()));
    }
}
