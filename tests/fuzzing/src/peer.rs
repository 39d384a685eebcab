//! The hostile peer of `tcp_input`: it sees what the host sends, so that it knows which numbers would
//! fit, and then sends what it likes. It can do whatever an attacker on the wire can, as long as it
//! fits into a TCP header.

use crate::choices::Choices;
use kernel::net::packet::{IpChoice, Packet, Transport, Unreachable};
use kernel::net::tcp::{Flags, Options, Segment, Seq, Timestamps};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The peer's address.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Connections that it knows at most.
const FLOWS: usize = 8;
/// The port of the host that new connections go to.
const PORT: u16 = 7000;
/// Its initial sequence numbers: near the point where they wrap.
const ISS: Seq = Seq(0xffff_f000);

/// What the peer saw of one connection.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// The host's port and the peer's.
    ports: (u16, u16),
    /// The number that the host expects next, by its last acknowledgment.
    expected: Seq,
    /// After the last number that the host sent.
    sent: Seq,
    /// The oldest number that it sent and the peer did not acknowledge.
    unacked: Seq,
    /// The host's last timestamp.
    clock: u32,
    /// The peer's.
    own_clock: u32,
}

/// A segment as it deviates from the one that would be right.
#[derive(Clone, Debug)]
pub struct Aim {
    /// Which connection, modulo how many there are.
    pub flow: usize,
    /// A connection that did not exist before.
    pub fresh: bool,
    /// The control bits.
    pub flags: Flags,
    /// Added to the number that the host expects.
    pub seq: u32,
    /// Added to the number that acknowledges everything.
    pub ack: u32,
    /// Acknowledge nothing new.
    pub withhold: bool,
    /// Payload bytes.
    pub len: usize,
    /// The window.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// Segment size and window scale of a SYN.
    pub syn: (u16, u8),
    /// Added to the peer's clock, and to what it echoes; None: no timestamps.
    pub clock: Option<(u32, u32)>,
    /// SACK blocks: from the oldest unacknowledged number on, start and length.
    pub sacks: Vec<(u32, u32)>,
}

impl Default for Aim {
    fn default() -> Aim {
        Aim {
            flow: 0,
            fresh: false,
            flags: Flags::ACK,
            seq: 0,
            ack: 0,
            withhold: false,
            len: 0,
            window: 500,
            urgent: 0,
            syn: (1460, 7),
            clock: Some((0, 0)),
            sacks: Vec::new(),
        }
    }
}

/// The peer.
#[derive(Clone, Debug)]
pub struct Peer {
    host: Ipv4Addr,
    flows: Vec<Flow>,
    /// How many connections it began.
    begun: u16,
}

impl Peer {
    /// A peer of the host at that address.
    pub fn new(host: Ipv4Addr) -> Peer {
        Peer { host, flows: Vec::new(), begun: 0 }
    }

    fn flow(&mut self, ports: (u16, u16)) -> &mut Flow {
        let known = self.flows.iter().position(|flow| flow.ports == ports);
        let at = known.unwrap_or_else(|| {
            if self.flows.len() == FLOWS {
                self.flows.remove(0);
            }
            let zero = Seq(0);
            let (sent, unacked) = (zero, zero);
            self.flows.push(Flow {
                ports,
                expected: ISS,
                sent,
                unacked,
                clock: 0,
                own_clock: 1000,
            });
            self.flows.len() - 1
        });
        &mut self.flows[at]
    }

    /// Looks at what the host sent.
    pub fn see(&mut self, packets: &[Packet]) {
        for packet in packets {
            let Transport::Tcp { src_port, dst_port, segment } = &packet.payload else { continue };
            let flow = self.flow((*src_port, *dst_port));
            if segment.has(Flags::SYN) {
                flow.unacked = segment.seq;
                flow.sent = segment.end();
            } else if segment.end().after(flow.sent) {
                flow.sent = segment.end();
            }
            if segment.has(Flags::ACK) {
                flow.expected = segment.ack;
            }
            if let Some(timestamps) = segment.options.timestamps {
                flow.clock = timestamps.val;
            }
        }
    }

    /// What the input says about the next segment.
    pub fn aim(&self, choices: &mut Choices<'_>) -> Aim {
        let shape = choices.byte();
        let mut aim = Aim { flow: usize::from(shape & 7), ..Aim::default() };
        aim.fresh = shape & 0xf8 == 0xf8;
        aim.flags = match choices.byte() {
            0..=95 => Flags::ACK,
            96..=127 => Flags::ACK | Flags::FIN,
            128..=143 => Flags::SYN,
            144..=159 => Flags::SYN | Flags::ACK,
            160..=175 => Flags::RST,
            176..=183 => Flags::RST | Flags::ACK,
            184..=191 => Flags::URG | Flags::ACK,
            any => Flags(any & 63),
        };
        aim.len = choices.of(&[0, 0, 1, 7, 100, 536, 1448, 9000, 0, 40]);
        // One bit for each thing that is not as it should be.
        let lies = if shape & 8 == 8 { choices.byte() } else { 0 };
        if lies & 1 == 1 {
            aim.seq = offset(choices);
        }
        if lies & 2 == 2 {
            aim.ack = offset(choices);
        }
        if lies & 4 == 4 {
            aim.window = choices.u16();
        }
        if lies & 8 == 8 {
            aim.urgent = choices.u16();
        }
        if lies & 16 == 16 {
            aim.syn = (choices.u16(), choices.byte());
        }
        if lies & 32 == 32 {
            let absent = choices.byte() & 1 == 1;
            aim.clock = (!absent).then(|| (offset(choices), offset(choices)));
        }
        if lies & 64 == 64 {
            let blocks = 1 + choices.below(3);
            aim.sacks = (0..blocks).map(|_| (offset(choices), choices.u16().into())).collect();
        }
        aim.withhold = lies & 128 == 128;
        aim
    }

    /// The segment that is meant.
    pub fn segment(&mut self, aim: &Aim) -> Packet {
        let ports = match self.flows.get(aim.flow % self.flows.len().max(1)) {
            Some(flow) if !aim.fresh => flow.ports,
            _ => {
                self.begun += 1;
                (PORT, 40_000 + self.begun % 16)
            }
        };
        let flow = self.flow(ports);
        if !aim.withhold {
            flow.unacked = flow.sent;
        }
        flow.own_clock += 1;
        let syn = aim.flags.has(Flags::SYN);
        // A SYN takes no SACK blocks: the header has room for one or the other.
        let blocks = aim.sacks.iter().filter(|_| !syn);
        let block = |&(start, len): &(u32, u32)| {
            let start = flow.unacked + start;
            (start, start + len)
        };
        let options = Options {
            mss: syn.then_some(aim.syn.0),
            wscale: syn.then_some(aim.syn.1),
            sack_permitted: syn,
            timestamps: aim.clock.map(|(val, ecr)| Timestamps {
                val: flow.own_clock.wrapping_add(val),
                ecr: flow.clock.wrapping_add(ecr),
            }),
            sacks: blocks.map(block).collect(),
        };
        let segment = Segment {
            seq: flow.expected + aim.seq,
            ack: flow.unacked + aim.ack,
            flags: aim.flags,
            window: aim.window,
            urgent: aim.urgent,
            options,
            ecn: 0, // in the header of IP
            payload: vec![b'x'; aim.len].into(),
        };
        let (dst_port, src_port) = ports;
        self.packet(Transport::Tcp { src_port, dst_port, segment })
    }

    /// Something on the way says that a connection's segments cannot be delivered.
    pub fn icmp(&self, choices: &mut Choices<'_>) -> Packet {
        let which = choices.below(self.flows.len().max(1));
        let ports = self.flows.get(which).map_or((PORT, 40_000), |flow| flow.ports);
        let from = SocketAddr::new(IpAddr::V4(self.host), ports.0);
        let to = SocketAddr::new(IpAddr::V4(ADDRESS), ports.1);
        let code = choices.byte();
        self.packet(Transport::Icmp(Unreachable { code, protocol: 6, from, to, seq: 0 }))
    }

    fn packet(&self, payload: Transport) -> Packet {
        let (src, dst) = (IpAddr::V4(ADDRESS), IpAddr::V4(self.host));
        Packet { src, dst, id: 0, choice: IpChoice::default(), payload }
    }
}

/// A number to add: small either way, half the circle, or anything.
fn offset(choices: &mut Choices<'_>) -> u32 {
    match choices.byte() {
        small @ 0..=63 => u32::from(small),
        64..=127 => u32::from(choices.byte()).wrapping_neg(),
        128..=175 => u32::from(choices.u16()),
        176..=223 => u32::from(choices.u16()).wrapping_neg(),
        224..=231 => 1 << 31,
        232..=255 => choices.u32(),
    }
}
