//! Seeded bytes and seeded changes to bytes, for the bounded runs of ordinary tests. libFuzzer has
//! better ones; these need no compiler but ours. Neighbour: `tests/corpus.rs`.

/// A small generator of numbers (xorshift64).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The row of numbers that belongs to `seed`.
    pub fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `bound`, which must not be 0.
    pub fn next(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next(256) as u8).collect()
    }
}

/// `bytes` with one to four changes: a byte set, a bit turned, a piece cut, doubled, or taken over
/// from `other`.
pub fn mutate(draw: &mut Draw, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..=draw.next(4) {
        let at = draw.next(changed.len() + 1);
        let end = (at + draw.next(16)).min(changed.len());
        match draw.next(6) {
            0 => changed.insert(at, draw.next(256) as u8),
            1 if at < changed.len() => changed[at] ^= 1 << draw.next(8),
            2 if at < changed.len() => changed[at] = draw.next(256) as u8,
            3 => drop(changed.drain(at..end)),
            4 => {
                let piece = changed[at..end].to_vec();
                changed.splice(at..at, piece);
            }
            _ => {
                let from = draw.next(other.len() + 1);
                let to = (from + draw.next(32)).min(other.len());
                changed.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    changed
}
