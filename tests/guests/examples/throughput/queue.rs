//! What a link does to the packets of one direction: what `crates/lab/src/shape.rs` does in afterlife, so
//! that both sides have the same link. Times are nanoseconds of CLOCK_MONOTONIC.

use std::collections::VecDeque;

/// What Ethernet adds to a packet where bandwidth is counted.
const ETHERNET_HEADER: u64 = 14;

/// How a link treats the packets of both directions.
#[derive(Clone, Copy)]
pub struct Shape {
    /// One way, in nanoseconds.
    pub latency: u64,
    /// Bits a second.
    pub bandwidth: u64,
    /// Packets that wait at most.
    pub queue: usize,
    /// So many of a million are lost.
    pub loss: u64,
    /// Of what chance decides.
    pub seed: u64,
}

/// One direction.
pub struct Direction {
    shape: Shape,
    chance: u64,
    departures: VecDeque<u64>,
    /// Packets that vanished.
    pub lost: u64,
    /// Packets that found the queue full.
    pub full: u64,
}

impl Direction {
    /// An empty one; `number` tells it from the other.
    pub fn new(shape: Shape, number: u64) -> Direction {
        let chance = shape.seed * 2 + number;
        Direction { shape, chance, departures: VecDeque::new(), lost: 0, full: 0 }
    }

    /// When a packet of so many bytes that is sent at `now` arrives; None: never.
    pub fn send(&mut self, now: u64, bytes: u64) -> Option<u64> {
        if self.shape.loss > 0 && self.draw() % 1_000_000 < self.shape.loss {
            self.lost += 1;
            return None;
        }
        while self.departures.front().is_some_and(|at| *at <= now) {
            self.departures.pop_front();
        }
        // The one that is being sent does not wait any more.
        if self.departures.len() > self.shape.queue {
            self.full += 1;
            return None;
        }
        let nanos = (bytes + ETHERNET_HEADER) * 8 * 1_000_000_000 / self.shape.bandwidth;
        let left = self.departures.back().map_or(now, |at| now.max(*at)) + nanos;
        self.departures.push_back(left);
        Some(left + self.shape.latency)
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
