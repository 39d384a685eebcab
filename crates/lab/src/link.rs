//! Links: what carries packets between hosts. Unless its link is told to, none overtakes an earlier
//! one of the same direction or is lost. Neighbours: `shape` (what a link does to packets), `world`
//! takes packets from the kernels' outboxes and delivers those that are due.

use crate::shape::{Direction, LinkShape};
use kernel::net::packet::Packet;
use kernel::random::{Purpose, Stream};
use kernel::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

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

/// A packet that does not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// As a clause.
    pub why: &'static str,
    /// The packet.
    pub packet: Box<Packet>,
}

/// All links of a world.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Links {
    seed: u64,
    /// By pair, the lower index first; others have the default.
    shapes: BTreeMap<(usize, usize), LinkShape>,
    /// By sender and receiver.
    directions: BTreeMap<(usize, usize), Direction>,
    /// By arrival; packets that arrive together, in the order of sending.
    flying: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    /// From whom to whom nothing goes.
    cut: BTreeSet<(usize, usize)>,
    /// Hosts whose cable is out.
    unplugged: BTreeSet<usize>,
}

impl Links {
    /// No link yet; `seed` is the root of what their chance decides.
    pub fn new(seed: u64) -> Links {
        Links { seed, ..Links::default() }
    }

    /// Says how both directions between two hosts are.
    pub fn shape(&mut self, a: usize, b: usize, shape: LinkShape) {
        self.shapes.insert((a.min(b), a.max(b)), shape);
    }

    /// Nothing goes from one host to another any more; what is on its way arrives. False: so it was.
    pub fn cut(&mut self, from: usize, to: usize) -> bool {
        self.cut.insert((from, to))
    }

    /// The opposite of `cut`.
    pub fn heal(&mut self, from: usize, to: usize) -> bool {
        self.cut.remove(&(from, to))
    }

    /// A host's cable is pulled out. False: it was.
    pub fn unplug(&mut self, host: usize) -> bool {
        self.unplugged.insert(host)
    }

    /// The opposite of `unplug`.
    pub fn plug(&mut self, host: usize) -> bool {
        self.unplugged.remove(&host)
    }

    /// A packet left a host at `now`.
    ///
    /// # Errors
    /// The packet, when it will not arrive.
    pub fn send(&mut self, now: Instant, flight: Flight) -> Result<(), Lost> {
        let (from, to) = (flight.from, flight.to);
        if self.cut.contains(&(from, to)) {
            return lost("the hosts are partitioned", flight);
        }
        if self.unplugged.contains(&from) || self.unplugged.contains(&to) {
            return lost("a cable is out", flight);
        }
        let shape = self.shapes.get(&(from.min(to), from.max(to))).copied().unwrap_or_default();
        let chance = Stream::new(self.seed, from as u64, to as u64, Purpose::Link);
        let direction = self.directions.entry((from, to)).or_insert_with(|| Direction::new(chance));
        match direction.send(now, &shape, &flight.packet) {
            Err(why) => lost(why, flight),
            Ok(arrivals) => {
                for at in arrivals {
                    self.sent += 1;
                    self.flying.insert((at, self.sent), flight.clone());
                }
                Ok(())
            }
        }
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

fn lost(why: &'static str, flight: Flight) -> Result<(), Lost> {
    Err(Lost { why, packet: Box::new(flight.packet) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::net::packet::{IpChoice, Transport};
    use kernel::time::Duration;
    use std::net::{IpAddr, Ipv4Addr};

    fn flight(from: usize, to: usize, id: u16) -> Flight {
        let choice = IpChoice::default();
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let payload = Transport::Udp { src_port: 1, dst_port: 2, payload: bytes::Bytes::new() };
        Flight { from, to, packet: Packet { src: nowhere, dst: nowhere, id, choice, payload } }
    }

    #[test]
    fn packets_of_one_direction_never_overtake() {
        let mut links = Links::new(1);
        let latency =
            |millis| LinkShape { latency: Duration::from_millis(millis), ..Default::default() };
        links.shape(1, 0, latency(5));
        assert_eq!(links.send(Instant(0), flight(0, 1, 1)), Ok(()));
        links.shape(0, 1, latency(1));
        assert_eq!(links.send(Instant(10), flight(0, 1, 2)), Ok(()));
        assert_eq!(links.send(Instant(20), flight(1, 0, 3)), Ok(()));
        let order: Vec<(u64, u16)> =
            core::iter::from_fn(|| links.arrive()).map(|(at, f)| (at.0, f.packet.id)).collect();
        assert_eq!(order, [(1_000_020, 3), (5_000_000, 1), (5_000_000, 2)]);
    }

    #[test]
    fn the_default_latency_is_a_tenth_of_a_millisecond() {
        let mut links = Links::new(1);
        assert_eq!(links.send(Instant(7), flight(2, 0, 1)), Ok(()));
        assert_eq!(links.next_arrival(), Some(Instant(100_007)));
        assert_eq!(links.in_flight(), 1);
    }

    #[test]
    fn a_partition_has_directions_and_a_cable_has_none() {
        let mut links = Links::new(1);
        let sends =
            |links: &mut Links, from, to| links.send(Instant(0), flight(from, to, 1)).is_ok();
        assert!(links.cut(0, 1) && !links.cut(0, 1));
        assert!(!sends(&mut links, 0, 1) && sends(&mut links, 1, 0));
        assert!(links.heal(0, 1) && sends(&mut links, 0, 1));
        assert!(links.unplug(2) && !sends(&mut links, 2, 0) && !sends(&mut links, 1, 2));
        assert!(links.plug(2) && sends(&mut links, 2, 0));
    }
}
