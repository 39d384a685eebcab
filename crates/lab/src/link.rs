//! Links: what carries packets between hosts. A packet takes its pair's latency and never
//! overtakes an earlier one of the same direction. Neighbour: `world` takes packets from the
//! kernels' outboxes and delivers those that are due.

use kernel::net::packet::Packet;
use kernel::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// One way between two hosts unless the scenario says otherwise.
pub const DEFAULT_LATENCY: Duration = Duration::from_micros(100);

/// A packet on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flight {
    /// Index of the sending host.
    pub from: usize,
    /// Index of the receiving host.
    pub to: usize,
    /// What is carried.
    pub packet: Packet,
}

/// All links of a world.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Links {
    /// By pair, the lower index first.
    latency: BTreeMap<(usize, usize), Duration>,
    /// Arrival of the last packet of each direction.
    last: BTreeMap<(usize, usize), Instant>,
    /// By arrival; packets that arrive together, in the order of sending.
    flying: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    /// Pairs between which nothing goes, the lower index first.
    cut: BTreeSet<(usize, usize)>,
}

impl Links {
    /// Sets the latency of both directions between two hosts.
    pub fn set_latency(&mut self, a: usize, b: usize, latency: Duration) {
        self.latency.insert((a.min(b), a.max(b)), latency);
    }

    /// Nothing goes between two hosts any more; what is on its way arrives. False: so it was.
    pub fn cut(&mut self, a: usize, b: usize) -> bool {
        self.cut.insert((a.min(b), a.max(b)))
    }

    /// The opposite of `cut`.
    pub fn heal(&mut self, a: usize, b: usize) -> bool {
        self.cut.remove(&(a.min(b), a.max(b)))
    }

    /// Is there a way between two hosts?
    pub fn connects(&self, a: usize, b: usize) -> bool {
        !self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// A packet left a host at `now`.
    pub fn send(&mut self, now: Instant, flight: Flight) {
        let (from, to) = (flight.from, flight.to);
        let pair = (from.min(to), from.max(to));
        let latency = self.latency.get(&pair).copied().unwrap_or(DEFAULT_LATENCY);
        let last = self.last.entry((from, to)).or_default();
        *last = (now + latency).max(*last);
        self.sent += 1;
        self.flying.insert((*last, self.sent), flight);
    }

    /// When the next packet arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next packet, with the time of its arrival.
    pub fn arrive(&mut self) -> Option<(Instant, Flight)> {
        let ((at, _), flight) = self.flying.pop_first()?;
        Some((at, flight))
    }

    /// Packets on their way.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::net::packet::{IpChoice, Transport};
    use std::net::{IpAddr, Ipv4Addr};

    fn flight(from: usize, to: usize, id: u16) -> Flight {
        let choice = IpChoice::default();
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let payload = Transport::Udp { src_port: 1, dst_port: 2, payload: bytes::Bytes::new() };
        Flight { from, to, packet: Packet { src: nowhere, dst: nowhere, id, choice, payload } }
    }

    #[test]
    fn packets_of_one_direction_never_overtake() {
        let mut links = Links::default();
        links.set_latency(1, 0, Duration::from_millis(5));
        links.send(Instant(0), flight(0, 1, 1));
        links.set_latency(0, 1, Duration::from_millis(1));
        links.send(Instant(10), flight(0, 1, 2));
        links.send(Instant(20), flight(1, 0, 3));
        let order: Vec<(u64, u16)> =
            core::iter::from_fn(|| links.arrive()).map(|(at, f)| (at.0, f.packet.id)).collect();
        assert_eq!(order, [(1_000_020, 3), (5_000_000, 1), (5_000_000, 2)]);
    }

    #[test]
    fn the_default_latency_is_a_tenth_of_a_millisecond() {
        let mut links = Links::default();
        links.send(Instant(7), flight(2, 0, 1));
        assert_eq!(links.next_arrival(), Some(Instant(100_007)));
        assert_eq!(links.in_flight(), 1);
    }
}
