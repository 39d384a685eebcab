//! What a link does to the packets on it: the words of tc-netem(8) as values. Neighbours: `link`
//! (which packets), `scenario` (where it is written).

use crate::wire;
use kernel::net::packet::Packet;
use kernel::random::Stream;
use kernel::time::{Duration, Instant};
use std::collections::VecDeque;

/// One way between two hosts unless the scenario says otherwise.
pub const DEFAULT_LATENCY: Duration = Duration::from_micros(100);
/// How many packets wait at most for their turn: the length of Linux's device queues.
pub const DEFAULT_QUEUE: u64 = 1000;
/// What Ethernet adds to a packet where bandwidth is counted.
const ETHERNET_HEADER: u64 = 14;

/// A part of all packets, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Share(pub u32);

impl Share {
    /// Is this packet one of them? None draws nothing, so that links without chance draw none.
    fn takes(self, chance: &mut Stream) -> bool {
        self.0 > 0 && chance.below(1_000_000) < u64::from(self.0)
    }
}

/// How a link treats the packets of both directions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkShape {
    /// One way.
    pub latency: Duration,
    /// A packet takes up to so much more or less, each for itself: they can overtake each other.
    pub jitter: Duration,
    /// Packets that vanish.
    pub loss: Share,
    /// Packets that arrive twice.
    pub duplicate: Share,
    /// Packets that go before all that wait: without the latency.
    pub reorder: Share,
    /// Bits a second, Ethernet's header included; None: a packet takes no time to send.
    pub bandwidth: Option<u64>,
    /// Packets that wait for the ones before them; more are lost.
    pub queue: u64,
}

impl Default for LinkShape {
    fn default() -> LinkShape {
        LinkShape {
            latency: DEFAULT_LATENCY,
            jitter: Duration::ZERO,
            loss: Share(0),
            duplicate: Share(0),
            reorder: Share(0),
            bandwidth: None,
            queue: DEFAULT_QUEUE,
        }
    }
}

/// One direction of a link: what is still to leave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Direction {
    chance: Stream,
    /// When each of the packets in the queue has left.
    departures: VecDeque<Instant>,
    /// Arrival of the last packet that was in order.
    last: Instant,
}

impl Direction {
    /// An empty one.
    pub fn new(chance: Stream) -> Direction {
        Direction { chance, departures: VecDeque::new(), last: Instant::ZERO }
    }

    /// When the copies of a packet that is sent at `now` arrive: none, one or two.
    ///
    /// # Errors
    /// Why it is lost.
    pub fn send(
        &mut self,
        now: Instant,
        shape: &LinkShape,
        packet: &Packet,
    ) -> Result<Vec<Instant>, &'static str> {
        let copies = 1 + usize::from(shape.duplicate.takes(&mut self.chance));
        if shape.loss.takes(&mut self.chance) {
            return Err("the link lost it");
        }
        let mut arrivals = Vec::new();
        for _ in 0..copies {
            arrivals.push(self.one(now, shape, packet)?);
        }
        Ok(arrivals)
    }

    fn one(
        &mut self,
        now: Instant,
        shape: &LinkShape,
        packet: &Packet,
    ) -> Result<Instant, &'static str> {
        let left = self.departs(now, shape, packet)?;
        if shape.reorder.takes(&mut self.chance) {
            return Ok(left);
        }
        if shape.jitter.is_zero() {
            self.last = (left + shape.latency).max(self.last);
            return Ok(self.last);
        }
        let width = 2 * shape.jitter.as_nanos() as u64 + 1;
        let more = Duration::from_nanos(self.chance.below(width));
        Ok(left + (shape.latency + more).saturating_sub(shape.jitter))
    }

    /// When its last bit is on the way.
    fn departs(
        &mut self,
        now: Instant,
        shape: &LinkShape,
        packet: &Packet,
    ) -> Result<Instant, &'static str> {
        let Some(bandwidth) = shape.bandwidth else { return Ok(now) };
        while self.departures.front().is_some_and(|at| *at <= now) {
            self.departures.pop_front();
        }
        // The one that is being sent does not wait any more.
        if self.departures.len() as u64 > shape.queue {
            return Err("the queue of the link is full");
        }
        let bits = (wire::encode(packet).len() as u64 + ETHERNET_HEADER) * 8;
        let nanos = u128::from(bits) * 1_000_000_000 / u128::from(bandwidth);
        let free = self.departures.back().map_or(now, |at| now.max(*at));
        let left = free + Duration::from_nanos(nanos as u64);
        self.departures.push_back(left);
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::net::packet::{IpChoice, Transport};
    use kernel::random::Purpose;
    use std::net::{IpAddr, Ipv4Addr};

    fn packet(bytes: usize) -> Packet {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let payload = bytes::Bytes::from(vec![0; bytes]);
        let payload = Transport::Udp { src_port: 1, dst_port: 2, payload };
        Packet { src: nowhere, dst: nowhere, id: 0, choice: IpChoice::default(), payload }
    }

    fn direction() -> Direction {
        Direction::new(Stream::new(1, 0, 1, Purpose::Link))
    }

    /// How many of 10,000 arrive, and how many copies.
    fn arrivals(shape: &LinkShape) -> (usize, usize) {
        let mut direction = direction();
        let all = (0..10_000).map(|i| direction.send(Instant(i), shape, &packet(1)));
        let arrived: Vec<_> = all.filter_map(Result::ok).collect();
        (arrived.len(), arrived.iter().map(Vec::len).sum())
    }

    #[test]
    fn shares_are_what_they_say() {
        let (arrived, copies) = arrivals(&LinkShape { loss: Share(10_000), ..Default::default() });
        assert!((9_850..9_950).contains(&arrived), "{arrived} of 10,000 with a loss of 1 %");
        assert_eq!(arrived, copies);
        let (arrived, copies) =
            arrivals(&LinkShape { duplicate: Share(100_000), ..Default::default() });
        assert_eq!(arrived, 10_000);
        assert!((10_900..11_100).contains(&copies), "{copies} with a tenth twice");
    }

    #[test]
    fn packets_queue_for_the_bandwidth_and_the_queue_has_an_end() {
        // 1000 bytes with all headers at 8 Mbit/s take a millisecond.
        let shape = LinkShape { bandwidth: Some(8_000_000), queue: 2, ..Default::default() };
        let mut direction = direction();
        let packet = packet(1000 - 14 - 20 - 8);
        let arrive: Vec<_> =
            (0..4).map(|_| direction.send(Instant(0), &shape, &packet).map(|at| at[0].0)).collect();
        let full = Err("the queue of the link is full");
        assert_eq!(arrive, [Ok(1_100_000), Ok(2_100_000), Ok(3_100_000), full]);
        let later = direction.send(Instant(1_000_000), &shape, &packet);
        assert_eq!(later, Ok(vec![Instant(4_100_000)]), "one has left");
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_reorders() {
        let (latency, jitter) = (Duration::from_millis(10), Duration::from_millis(3));
        let shape = LinkShape { latency, jitter, ..Default::default() };
        let mut direction = direction();
        let sent: Vec<u64> = (0..1000)
            .map(|i| direction.send(Instant(i), &shape, &packet(1)).map_or(0, |at| at[0].0 - i))
            .collect();
        assert!(sent.iter().all(|it| (7_000_000..=13_000_000).contains(it)));
        assert!(sent.windows(2).any(|it| it[1] < it[0]), "none overtakes another");
    }
}
