//! Choices come from one place: a root seed, split into counter streams by (host, process,
//! purpose), so that one process's draw never shifts another's. SplitMix64 over a counter: the
//! state is a value that can be compared and cloned.

/// What a stream of random numbers is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// getrandom(2), /dev/urandom and AT_RANDOM of one process.
    Getrandom,
    /// Initial sequence numbers.
    Isn,
    /// Ephemeral ports.
    Port,
    /// Which ready task runs next.
    Scheduling,
    /// Loss, jitter, reordering on a link.
    Link,
    /// Timestamps' offset of TCP connections.
    Timestamp,
    /// The seed of a host's next boot.
    Boot,
    /// How long a neighbour is taken to be there.
    Neighbour,
    /// Who of a group with SO_REUSEPORT gets what comes.
    ReusePort,
}

/// One stream of random numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stream {
    key: u64,
    counter: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream of `purpose` for `owner` (a pid, a link's number; 0 for the host itself) on
    /// `host`, under the root `seed`.
    pub fn new(seed: u64, host: u64, owner: u64, purpose: Purpose) -> Stream {
        let mut key = mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
        for part in [host, owner, purpose as u64] {
            key = mix(key.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(part.wrapping_add(1)));
        }
        Stream { key, counter: 0 }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.key.wrapping_add(self.counter))
    }

    /// A number below `bound` (which must not be 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-32 for the small bounds used here.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Fills `into`.
    pub fn fill(&mut self, into: &mut [u8]) {
        for chunk in into.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_owners_differ_and_repeat() {
        let draw = |owner| Stream::new(1, 2, owner, Purpose::Isn).next_u64();
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
