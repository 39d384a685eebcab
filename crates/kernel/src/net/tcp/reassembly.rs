//! What arrived ahead of a hole (`out_of_order_queue`): kept in order and without overlaps until
//! the hole is filled; reported to the other side as SACK blocks (RFC 2018, 4: the most recent
//! first).

use std::collections::VecDeque;

use bytes::Bytes;

use super::receive_queue::RxMemory;
use super::seq::Seq;

/// Blocks that are remembered (`TCP_NUM_SACKS`).
const MAX_BLOCKS: usize = 4;

/// A run of bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Piece {
    seq: Seq,
    bytes: Bytes,
    /// What it costs of the receive buffer. Unlike Linux, nothing ahead of a hole is joined.
    cost: u32,
}

impl Piece {
    fn end(&self) -> Seq {
        self.seq + self.bytes.len() as u32
    }
}

/// Out-of-order data, and the place of an out-of-order FIN.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reassembly {
    /// Non-overlapping, ascending.
    pieces: VecDeque<Piece>,
    charged: u32,
    /// Where the stream ends, if a FIN came early.
    fin: Option<Seq>,
    /// The pieces' blocks, the most recently changed first.
    blocks: Vec<(Seq, Seq)>,
}

impl Reassembly {
    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.fin.is_none()
    }

    /// What it costs of the receive buffer.
    pub fn charged(&self) -> u32 {
        self.charged
    }

    /// `tcp_prune_ofo_queue`: drops the highest pieces until no more than `most` is charged, but none
    /// below `seq`, which waits to be kept. An early FIN and the blocks to report go with them.
    pub fn prune(&mut self, most: u32, seq: Option<Seq>) {
        while self.charged > most
            && let Some(last) = self.pieces.back()
            && !seq.is_some_and(|seq| seq.after(last.seq))
        {
            self.charged -= last.cost;
            self.pieces.pop_back();
            self.fin = None;
            self.blocks.clear();
        }
    }

    /// The blocks to report.
    pub fn sacks(&self) -> &[(Seq, Seq)] {
        &self.blocks[..self.blocks.len().min(MAX_BLOCKS)]
    }

    /// The right edge of the highest block: a reset there counts as exact (T-48).
    pub fn highest_edge(&self) -> Option<Seq> {
        self.blocks.iter().map(|b| b.1).reduce(Seq::max)
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Reassembly::default();
    }

    /// Which block the bytes from `start` to `end` would join; behind the last if none.
    pub fn block_of(&self, start: Seq, end: Seq) -> usize {
        let touches = |(s, e): &(Seq, Seq)| !e.before(start) && !s.after(end);
        self.blocks.iter().position(touches).unwrap_or(self.blocks.len())
    }

    /// Which of the bytes from `seq` to `end` are there already.
    pub fn overlaps(&self, seq: Seq, end: Seq) -> Vec<(Seq, Seq)> {
        let touching = self.pieces.iter().filter(|p| p.seq.before(end) && p.end().after(seq));
        touching.map(|piece| (piece.seq.max(seq), piece.end().min(end))).collect()
    }

    /// Stores bytes; what is already there stays. True if anything was new.
    pub fn insert(&mut self, seq: Seq, payload: &Bytes, fin: bool, memory: RxMemory) -> bool {
        let end = seq + payload.len() as u32;
        let mut news = fin && self.fin.is_none();
        if fin {
            self.fin = Some(end);
        }
        let mut at = seq;
        let mut i = self.pieces.iter().take_while(|piece| !piece.end().after(seq)).count();
        while at.before(end) {
            let stop = self.pieces.get(i).map_or(end, |piece| piece.seq.min(end));
            if at.before(stop) {
                let (from, to) = (at.since(seq) as usize, stop.since(seq) as usize);
                let cost = memory.truesize((to - from) as u32);
                let bytes = payload.slice(from..to);
                self.pieces.insert(i, Piece { seq: at, bytes, cost });
                self.charged += cost;
                news = true;
                i += 1;
            }
            let Some(piece) = self.pieces.get(i) else { break };
            at = piece.end();
            i += 1;
        }
        if end != seq || fin {
            self.note(seq, end + u32::from(fin));
        }
        news
    }

    fn note(&mut self, mut start: Seq, mut end: Seq) {
        self.blocks.retain(|&(s, e)| {
            let apart = e.before(start) || s.after(end);
            if !apart {
                start = start.min(s);
                end = end.max(e);
            }
            apart
        });
        self.blocks.insert(0, (start, end));
    }

    /// What holds in a queue behind `nxt` (see `check`).
    pub fn check(&self, nxt: Seq) -> Result<(), String> {
        let mut at = nxt;
        let charged: u32 = self.pieces.iter().map(|piece| piece.cost).sum();
        if charged != self.charged {
            return Err("pieces ahead of a hole are not charged for".into());
        }
        for Piece { seq, bytes, .. } in &self.pieces {
            let first = at == nxt;
            if bytes.is_empty() || seq.before(at) || (first && *seq == nxt) {
                return Err(format!("a piece at {seq:?} of {} bytes behind {at:?}", bytes.len()));
            }
            at = *seq + bytes.len() as u32;
        }
        match self.blocks.iter().find(|(start, end)| !start.before(*end)) {
            Some(block) => Err(format!("an empty block {block:?}")),
            None => Ok(()),
        }
    }

    /// Takes out what now follows `nxt` directly: bytes, and whether the FIN follows them.
    pub fn take(&mut self, mut nxt: Seq) -> (Vec<Bytes>, bool) {
        let mut ready = Vec::new();
        while self.pieces.front().is_some_and(|piece| !piece.seq.after(nxt))
            && let Some(Piece { seq, bytes, cost, .. }) = self.pieces.pop_front()
        {
            self.charged -= cost;
            let old = nxt.since(seq) as usize;
            if old < bytes.len() {
                nxt += (bytes.len() - old) as u32;
                ready.push(bytes.slice(old..));
            }
        }
        let fin = self.fin.is_some_and(|end| !end.after(nxt));
        if fin {
            self.clear();
        } else {
            self.blocks.retain(|b| b.1.after(nxt));
        }
        (ready, fin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_come_out_whole() {
        let all: Vec<u8> = (0..100).collect();
        let piece = |a: usize, b: usize| Bytes::copy_from_slice(&all[a..b]);
        let base = Seq(u32::MAX - 50);
        let mut r = Reassembly::default();
        assert!(r.insert(base + 60, &piece(60, 80), false, RxMemory::Paged));
        assert!(r.insert(base + 20, &piece(20, 40), false, RxMemory::Paged));
        assert_eq!(r.sacks(), [(base + 20, base + 40), (base + 60, base + 80)]);
        assert!(r.insert(base + 10, &piece(10, 70), false, RxMemory::Paged));
        assert!(!r.insert(base + 15, &piece(15, 75), false, RxMemory::Paged));
        assert!(r.insert(base + 80, &piece(80, 100), true, RxMemory::Paged));
        assert_eq!(r.sacks(), [(base + 10, base + 101)]);
        let (none, fin) = r.take(base);
        assert!(none.is_empty() && !fin);
        let (ready, fin) = r.take(base + 10);
        assert_eq!(ready.concat(), all[10..]);
        assert!(fin && r.is_empty());
    }
}
