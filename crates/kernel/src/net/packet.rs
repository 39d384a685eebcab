//! Packets as typed values: what travels between hosts. The command encodes them for pcap files;
//! nothing here knows about bytes on a wire. Follows RFC 791, 768, 792.

use crate::net::tcp::Segment;
use core::net::{IpAddr, SocketAddr};

/// One IP packet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// From whom.
    pub src: IpAddr,
    /// To whom.
    pub dst: IpAddr,
    /// The IP identification field.
    pub id: u16,
    /// What the sender chose of the header.
    pub choice: IpChoice,
    /// What is in it.
    pub payload: Transport,
}

/// What a sender may choose of the IP header (ip(7): IP_TOS, IP_TTL). On Linux a part of
/// `struct ipcm_cookie`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IpChoice {
    /// The type of service: DSCP and the two bits of ECN.
    pub tos: u8,
    /// The time to live. Every host is one hop away, so it never runs out.
    pub ttl: u8,
    /// IP_MTU_DISCOVER, as the program gave it.
    pub mtu_discover: u8,
}

impl IpChoice {
    /// The header says "don't fragment" (`ip_dont_fragment`): with IP_PMTUDISC_WANT, DO and PROBE.
    pub fn dont_fragment(&self) -> bool {
        matches!(self.mtu_discover, 1..=3)
    }
}

impl Default for IpChoice {
    /// `ip_default_ttl` is 64, `ip_no_pmtu_disc` 0: IP_PMTUDISC_WANT.
    fn default() -> IpChoice {
        IpChoice { tos: 0, ttl: 64, mtu_discover: 1 }
    }
}

/// The transport layer of a packet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Transport {
    Tcp { src_port: u16, dst_port: u16, segment: Segment },
    Udp { src_port: u16, dst_port: u16, payload: bytes::Bytes },
    Icmp(Unreachable),
    Neigh(Discovery),
}

/// ARP, or to IPv6 neighbour discovery: the packet's source asks for the hardware address of its
/// destination, or tells its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Discovery {
    /// Who has it? Asked of everybody, or of who had it.
    Solicit {
        /// Of everybody.
        everyone: bool,
    },
    /// I have it.
    Advertise,
}

/// ICMP destination unreachable (type 3, of ICMPv6 1), with what it quotes of the packet that it is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Unreachable {
    /// 0 net, 1 host, 2 protocol, 3 port; of ICMPv6 0 no route, 3 address, 4 port.
    pub code: u8,
    /// IP protocol of the quoted packet: 6 TCP, 17 UDP.
    pub protocol: u8,
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// The sequence number of a segment; of a datagram 0.
    pub seq: u32,
}

impl Unreachable {
    /// Nobody is at the port.
    pub fn port(protocol: u8, from: SocketAddr, to: SocketAddr) -> Unreachable {
        Unreachable { code: if to.is_ipv4() { 3 } else { 4 }, protocol, from, to, seq: 0 }
    }

    /// Nobody is at the address.
    pub fn host(protocol: u8, from: SocketAddr, to: SocketAddr, seq: u32) -> Unreachable {
        Unreachable { code: if to.is_ipv4() { 1 } else { 3 }, protocol, from, to, seq }
    }

    /// Does a SYN-ACK's request end by it (`tcp_req_err`)? Measured on 6.18: with IPv4 if the net or the
    /// host is not there, with IPv6 if the port is not, or somebody forbids it.
    pub fn ends_a_request(&self) -> bool {
        if self.from.is_ipv4() { self.code <= 1 } else { !matches!(self.code, 0 | 2 | 3) }
    }

    /// Does it say of a segment that its way is not there (RFC 6069)? ICMPv6 only if there is no
    /// route, as Linux takes it.
    pub fn is_of_the_way(&self) -> bool {
        if self.from.is_ipv4() { self.code <= 1 } else { self.code == 0 }
    }
}

impl Packet {
    /// Bytes behind the transport header.
    pub fn payload_len(&self) -> usize {
        match &self.payload {
            Transport::Tcp { segment, .. } => segment.payload.len(),
            Transport::Udp { payload, .. } => payload.len(),
            Transport::Icmp(_) | Transport::Neigh(_) => 0,
        }
    }

    /// Source address and port; port 0 for ICMP.
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(self.src, self.ports().0)
    }

    /// Destination address and port; port 0 for ICMP.
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.dst, self.ports().1)
    }

    fn ports(&self) -> (u16, u16) {
        match &self.payload {
            Transport::Tcp { src_port, dst_port, .. }
            | Transport::Udp { src_port, dst_port, .. } => (*src_port, *dst_port),
            Transport::Icmp(_) | Transport::Neigh(_) => (0, 0),
        }
    }
}
