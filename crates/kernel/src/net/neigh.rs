//! Neighbours: who on the same link answers (`net/core/neighbour.c`; ARP, RFC 826; neighbour
//! discovery, RFC 4861, 7.3). Only links that a scenario makes so ask at all (`Config::on_link`):
//! between other hosts there is a router, which always answers. Who does not answer is unreachable
//! (T-57). Neighbour: `ip`, which hands packets in before they leave. Measured on 6.18.

use crate::kernel::Kernel;
use crate::net::packet::{Discovery, IpChoice, Packet, Transport, Unreachable};
use crate::random::{Purpose, Stream};
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};

/// delay_first_probe_time: so long a stale entry is used before somebody asks.
const DELAY_PROBE_TIME: Duration = Duration::from_secs(5);
/// retrans_time_ms: between two questions.
const RETRANS_TIME: Duration = Duration::from_secs(1);
/// base_reachable_time_ms: an entry is fresh for a half of it to one and a half, drawn again every
/// [`RAND_TIME`].
const BASE_REACHABLE_TIME: Duration = Duration::from_secs(30);
const RAND_TIME: Duration = Duration::from_secs(300);
/// ucast_solicit and mcast_solicit: how often is asked, of who was known and of everybody.
const PROBES: u32 = 3;
/// unres_qlen_bytes, and what a waiting packet is charged beyond its payload.
const QUEUE_LEN_BYTES: usize = 212_992;
const PACKET_OVERHEAD: usize = 768;

/// Neighbour unreachability detection: `NUD_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nud {
    /// Everybody is asked for the first time, or again after nobody answered.
    Incomplete,
    /// It answered lately.
    Reachable,
    /// It answered once.
    Stale,
    /// It answered once and is used; if nothing confirms that it is there it is asked.
    Delay,
    /// It is asked.
    Probe,
    /// It did not answer.
    Failed,
}

/// `struct neighbour`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Neighbour {
    state: Nud,
    /// Questions since the state began.
    probes: u32,
    /// When it was last known to be there, and when the entry was last asked for.
    confirmed: Instant,
    used: Instant,
    timer: Option<Instant>,
    /// TCP heard from it: told with the next segment (`sk_dst_pending_confirm`).
    heard: bool,
    /// arp_queue: what waits for its answer.
    queue: VecDeque<Packet>,
}

impl Neighbour {
    /// Nobody asked for it yet, which is as if nobody had answered.
    fn new(now: Instant) -> Neighbour {
        Neighbour {
            state: Nud::Failed,
            probes: 0,
            confirmed: now,
            used: now,
            timer: None,
            heard: false,
            queue: VecDeque::new(),
        }
    }

    /// A packet waits; the oldest go where there are too many. TCP does not send again what still
    /// waits here (`skb_still_in_host_queue`).
    fn enqueue(&mut self, packet: Packet) {
        if self.queue.iter().any(|waiting| is_same_segment(waiting, &packet)) {
            return;
        }
        let charge = |p: &Packet| p.payload_len() + PACKET_OVERHEAD;
        while self.queue.iter().map(charge).sum::<usize>() + charge(&packet) > QUEUE_LEN_BYTES {
            self.queue.pop_front();
        }
        self.queue.push_back(packet);
    }

    /// Its hardware address is known (NUD_VALID).
    fn is_valid(&self) -> bool {
        match self.state {
            Nud::Reachable | Nud::Stale | Nud::Delay | Nud::Probe => true,
            Nud::Incomplete | Nud::Failed => false,
        }
    }
}

fn is_same_segment(a: &Packet, b: &Packet) -> bool {
    let (Transport::Tcp { segment: one, .. }, Transport::Tcp { segment: other, .. }) =
        (&a.payload, &b.payload)
    else {
        return false;
    };
    let same = (one.seq, one.seq_len()) == (other.seq, other.seq_len());
    same && one.seq_len() > 0 && (a.source(), a.destination()) == (b.source(), b.destination())
}

/// The neighbour tables of both families.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Neighbours(BTreeMap<IpAddr, Neighbour>);

impl Neighbours {
    /// The earliest timer.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|n| n.timer).min()
    }

    /// A segment of a connection came from there: the host is.
    pub fn heard_from(&mut self, addr: IpAddr) {
        if let Some(neighbour) = self.0.get_mut(&addr) {
            neighbour.heard = true;
        }
    }
}

impl Kernel {
    /// neigh_rand_reach_time(): drawn for each stretch of five minutes.
    fn reachable_time(&self) -> Duration {
        let stretch = self.now.as_nanos() / RAND_TIME.as_nanos() as u64;
        let (seed, host) = (self.config.seed, self.config.number);
        let base = BASE_REACHABLE_TIME.as_nanos() as u64;
        let drawn = Stream::new(seed, host, stretch, Purpose::Neighbour).below(base);
        Duration::from_nanos(base / 2 + drawn)
    }

    /// neigh_output(): a packet to a host on the same link leaves, or waits until that one answers.
    pub(super) fn neigh_output(&mut self, packet: Packet) {
        let (now, dst) = (self.now, packet.dst);
        let entry = self.net.neighbours.0.entry(dst).or_insert_with(|| Neighbour::new(now));
        if matches!(packet.payload, Transport::Tcp { .. }) && core::mem::take(&mut entry.heard) {
            entry.confirmed = now;
        }
        match entry.state {
            Nud::Reachable => {}
            Nud::Delay | Nud::Probe => entry.used = now,
            Nud::Stale => {
                entry.used = now;
                entry.state = Nud::Delay;
                entry.timer = Some(now + DELAY_PROBE_TIME);
            }
            Nud::Incomplete | Nud::Failed => {
                entry.used = now;
                let source = packet.src;
                entry.enqueue(packet);
                if entry.state == Nud::Failed {
                    entry.state = Nud::Incomplete;
                    entry.probes = 1;
                    entry.timer = Some(now + RETRANS_TIME);
                    self.neigh_send(source, dst, Discovery::Solicit { everyone: true });
                }
                return;
            }
        }
        self.dev_queue_xmit(packet);
    }

    fn neigh_send(&mut self, src: IpAddr, dst: IpAddr, what: Discovery) {
        let choice = IpChoice { ttl: 255, ..IpChoice::default() };
        let packet = Packet { src, dst, id: 0, choice, payload: Transport::Neigh(what) };
        self.dev_queue_xmit(packet);
    }

    /// arp_process(), ndisc_rcv(): somebody asks for us, or answers.
    pub(super) fn neigh_rcv(&mut self, from: IpAddr, to: IpAddr, what: Discovery) {
        match what {
            Discovery::Solicit { .. } => {
                // Who asks is there.
                self.neigh_update(from, Nud::Stale);
                self.neigh_send(to, from, Discovery::Advertise);
            }
            // An answer to nobody's question makes no entry.
            Discovery::Advertise if self.net.neighbours.0.contains_key(&from) => {
                self.neigh_update(from, Nud::Reachable);
            }
            Discovery::Advertise => {}
        }
    }

    /// neigh_update(): the hardware address of `addr` is known from now on; what waited leaves.
    fn neigh_update(&mut self, addr: IpAddr, state: Nud) {
        let (now, fresh) = (self.now, self.reachable_time());
        let entry = self.net.neighbours.0.entry(addr).or_insert_with(|| Neighbour::new(now));
        if state == Nud::Stale && entry.is_valid() {
            return;
        }
        entry.state = state;
        entry.timer = None;
        if state == Nud::Reachable {
            entry.confirmed = now;
            entry.timer = Some(now + fresh);
        }
        for packet in core::mem::take(&mut entry.queue) {
            self.neigh_output(packet);
        }
    }

    /// Serves the entries whose time has come.
    pub(super) fn neigh_expire(&mut self) {
        let now = self.now;
        let due = |n: &Neighbour| n.timer.is_some_and(|at| at <= now);
        let all = self.net.neighbours.0.iter();
        let due: Vec<IpAddr> = all.filter(|(_, n)| due(n)).map(|(addr, _)| *addr).collect();
        for addr in due {
            self.neigh_timer_handler(addr);
        }
    }

    /// neigh_timer_handler().
    fn neigh_timer_handler(&mut self, addr: IpAddr) {
        let (now, fresh) = (self.now, self.reachable_time());
        let Some(entry) = self.net.neighbours.0.get_mut(&addr) else { return };
        (entry.state, entry.timer) = match entry.state {
            Nud::Reachable if now < entry.confirmed + fresh => {
                (Nud::Reachable, Some(entry.confirmed + fresh))
            }
            Nud::Reachable if now <= entry.used + DELAY_PROBE_TIME => {
                (Nud::Delay, Some(now + DELAY_PROBE_TIME))
            }
            Nud::Reachable => (Nud::Stale, None),
            // The far end of a connection was heard from meanwhile.
            Nud::Delay if now <= entry.confirmed + DELAY_PROBE_TIME => {
                (Nud::Reachable, Some(now.max(entry.confirmed + fresh)))
            }
            Nud::Delay => {
                entry.probes = 0;
                (Nud::Probe, Some(now + RETRANS_TIME))
            }
            Nud::Probe | Nud::Incomplete if entry.probes >= PROBES => (Nud::Failed, None),
            state @ (Nud::Probe | Nud::Incomplete) => (state, Some(now + RETRANS_TIME)),
            state @ (Nud::Stale | Nud::Failed) => (state, None),
        };
        let everyone = entry.state == Nud::Incomplete;
        match entry.state {
            Nud::Probe | Nud::Incomplete => {
                entry.probes += 1;
                let own = match entry.queue.front() {
                    Some(waiting) => waiting.src,
                    None => self.own_address_for(addr),
                };
                self.neigh_send(own, addr, Discovery::Solicit { everyone });
            }
            Nud::Failed => {
                for packet in core::mem::take(&mut entry.queue) {
                    self.link_failure(&packet);
                }
            }
            Nud::Reachable | Nud::Stale | Nud::Delay => {}
        }
    }

    fn own_address_for(&self, addr: IpAddr) -> IpAddr {
        match (addr, self.config.address6) {
            (IpAddr::V6(_), Some(six)) => six.into(),
            (IpAddr::V4(_), _) | (IpAddr::V6(_), None) => self.config.address.into(),
        }
    }

    /// ipv4_link_failure(), ip6_link_failure(): this host tells itself that another is unreachable.
    fn link_failure(&mut self, packet: &Packet) {
        let (protocol, seq) = match &packet.payload {
            Transport::Tcp { segment, .. } => (6, segment.seq.0),
            Transport::Udp { .. } => (17, 0),
            // Nothing is told about what tells something itself.
            Transport::Icmp(_) | Transport::Neigh(_) => return,
        };
        let (from, to) = (packet.source(), packet.destination());
        self.icmp_send(packet.src, Unreachable::host(protocol, from, to, seq));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn host() -> Kernel {
        let config = crate::kernel::Config { on_link: [OTHER].into(), ..Default::default() };
        Kernel::boot(config)
    }

    /// A datagram to the other host.
    fn send(host: &mut Kernel, payload: usize) {
        let payload = bytes::Bytes::from(vec![0; payload]);
        let datagram = Transport::Udp { src_port: 1, dst_port: 2, payload };
        let own = host.config.address.into();
        host.ip_output(own, OTHER, IpChoice::default(), datagram);
    }

    /// What left since: q for a question of everybody, p of it alone, a an answer, d a datagram.
    fn left(host: &mut Kernel) -> String {
        let letter = |packet: Packet| match packet.payload {
            Transport::Neigh(Discovery::Solicit { everyone: true }) => 'q',
            Transport::Neigh(Discovery::Solicit { everyone: false }) => 'p',
            Transport::Neigh(Discovery::Advertise) => 'a',
            Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Icmp(_) => 'd',
        };
        host.outbox.drain(..).map(letter).collect()
    }

    /// Lets the time of the table's timers come up to `secs` after the beginning.
    fn until(host: &mut Kernel, secs: u64) -> String {
        let mut seen = String::new();
        while let Some(at) = host.net.neighbours.next_deadline() {
            if at > Instant::ZERO + Duration::from_secs(secs) {
                break;
            }
            host.now = at;
            host.neigh_expire();
            seen += &left(host);
        }
        host.now = Instant::ZERO + Duration::from_secs(secs);
        seen
    }

    #[test]
    fn who_does_not_answer_three_questions_is_unreachable() {
        let mut host = host();
        host.now = Instant::ZERO;
        send(&mut host, 1);
        send(&mut host, 1);
        assert_eq!(left(&mut host), "q", "one question, two wait");
        assert_eq!(until(&mut host, 2), "qq");
        assert!(host.net.backlog.is_empty());
        assert_eq!(until(&mut host, 3), "");
        assert_eq!(host.net.backlog.len(), 2, "an ICMP to ourselves for each (T-57)");
        send(&mut host, 1);
        assert_eq!(left(&mut host), "q", "the next one asks again");
    }

    #[test]
    fn who_falls_silent_is_asked_after_a_while_and_then_given_up() {
        let mut host = host();
        host.now = Instant::ZERO;
        send(&mut host, 1);
        let own = host.config.address.into();
        host.neigh_rcv(OTHER, own, Discovery::Advertise);
        assert_eq!(left(&mut host), "qd");
        // Fresh for 15 to 45 s, then as it is until somebody uses it.
        assert_eq!(until(&mut host, 50), "");
        send(&mut host, 1);
        assert_eq!((left(&mut host), until(&mut host, 54)), ("d".to_owned(), String::new()));
        assert_eq!(until(&mut host, 57), "ppp", "5 s later it is asked");
        send(&mut host, 1);
        assert_eq!(left(&mut host), "d", "and used meanwhile");
        assert_eq!(until(&mut host, 58), "");
        send(&mut host, 1);
        assert_eq!(left(&mut host), "q", "nobody answered: everybody is asked");
    }

    #[test]
    fn a_connection_that_goes_on_needs_no_questions() {
        let mut host = host();
        host.now = Instant::ZERO;
        let own = host.config.address.into();
        host.neigh_rcv(OTHER, own, Discovery::Solicit { everyone: true });
        assert_eq!(left(&mut host), "a", "who asks is there");
        for second in 1..200 {
            until(&mut host, second);
            host.net.neighbours.heard_from(OTHER);
            let segment = crate::net::tcp::Segment::default();
            let segment = Transport::Tcp { src_port: 1, dst_port: 2, segment };
            host.ip_output(own, OTHER, IpChoice::default(), segment);
            assert_eq!(left(&mut host), "d", "at {second} s");
        }
    }

    #[test]
    fn the_queue_forgets_its_oldest() {
        let mut host = host();
        for _ in 0..400 {
            send(&mut host, 1000);
        }
        let own = host.config.address.into();
        host.neigh_rcv(OTHER, own, Discovery::Advertise);
        assert_eq!(left(&mut host).len(), 1 + QUEUE_LEN_BYTES / (1000 + PACKET_OVERHEAD));
    }
}
