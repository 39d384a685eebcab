//! Packets as bytes: IPv4 with TCP, UDP or ICMP and right checksums, for pcap files. Neighbours:
//! `pcap`; the typed packets are `kernel::net::packet`.

use etherparse::{
    Icmpv4Header, Icmpv4Type, IpDscp, IpEcn, IpNumber, Ipv4Header, TcpHeader, UdpHeader,
};
use kernel::net::packet::{Packet, Transport, Unreachable};
use kernel::net::tcp::{Flags, Segment};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The bytes of a packet from the IP header on.
pub fn encode(packet: &Packet) -> Vec<u8> {
    let (src, dst) = (v4(packet.src), v4(packet.dst));
    let (protocol, body) = match &packet.payload {
        Transport::Tcp { src_port, dst_port, segment } => {
            (IpNumber::TCP, tcp((src, *src_port), (dst, *dst_port), segment))
        }
        Transport::Udp { src_port, dst_port, payload } => {
            let header = UdpHeader::with_ipv4_checksum(
                *src_port,
                *dst_port,
                &ip_header(src, dst, IpNumber::UDP, payload.len() + 8),
                payload,
            );
            let header = header.expect("a datagram fits into an IP packet");
            (IpNumber::UDP, [&header.to_bytes(), &payload[..]].concat())
        }
        Transport::Icmp(unreachable) => (IpNumber::ICMP, icmp(unreachable)),
    };
    let mut header = ip_header(src, dst, protocol, body.len());
    header.identification = packet.id;
    header.time_to_live = packet.choice.ttl;
    header.dscp = IpDscp::try_new(packet.choice.tos >> 2).expect("six bits");
    header.ecn = IpEcn::try_new(packet.choice.tos & 3).expect("two bits");
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes(), &body[..]].concat()
}

fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => v6.to_ipv4().unwrap_or(Ipv4Addr::UNSPECIFIED),
    }
}

fn ip_header(src: Ipv4Addr, dst: Ipv4Addr, protocol: IpNumber, len: usize) -> Ipv4Header {
    let len = u16::try_from(len).expect("a packet is at most 64 KiB long");
    let mut header = Ipv4Header::new(len, 64, protocol, src.octets(), dst.octets())
        .expect("the length leaves room for the header");
    header.dont_fragment = true;
    header.header_checksum = header.calc_header_checksum();
    header
}

fn tcp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), segment: &Segment) -> Vec<u8> {
    let mut header = TcpHeader::new(from.1, to.1, segment.seq.0, segment.window);
    header.acknowledgment_number = if segment.has(Flags::ACK) { segment.ack.0 } else { 0 };
    header.fin = segment.has(Flags::FIN);
    header.syn = segment.has(Flags::SYN);
    header.rst = segment.has(Flags::RST);
    header.psh = segment.has(Flags::PSH);
    header.ack = segment.has(Flags::ACK);
    header.urg = segment.has(Flags::URG);
    header.urgent_pointer = segment.urgent;
    let mut options = Vec::new();
    segment.options.encode(&mut options);
    header.set_options_raw(&options).expect("options take at most 40 bytes");
    let len = header.header_len() + segment.payload.len();
    let ip = ip_header(from.0, to.0, IpNumber::TCP, len);
    let checksum = header.calc_checksum_ipv4(&ip, &segment.payload);
    header.checksum = checksum.expect("a segment fits into an IP packet");
    [&header.to_bytes(), &segment.payload[..]].concat()
}

/// Destination unreachable: the type, and what it quotes (an IP header and eight bytes).
fn icmp(unreachable: &Unreachable) -> Vec<u8> {
    let port = |a: &SocketAddr| a.port().to_be_bytes();
    let (from, to) = (&unreachable.from, &unreachable.to);
    let protocol = IpNumber(unreachable.protocol);
    let quoted_header = ip_header(v4(from.ip()), v4(to.ip()), protocol, 8);
    // What follows the ports is a UDP length, or a sequence number that is not kept.
    let rest: [u8; 4] = if unreachable.protocol == 17 { [0, 8, 0, 0] } else { [0; 4] };
    let quoted = [&quoted_header.to_bytes()[..], &port(from), &port(to), &rest].concat();
    let kind = Icmpv4Type::Unknown { type_u8: 3, code_u8: unreachable.code, bytes5to8: [0; 4] };
    let header = Icmpv4Header::with_checksum(kind, &quoted);
    [&header.to_bytes()[..], &quoted].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kernel::net::packet::IpChoice;

    #[test]
    fn a_segment_reads_back_with_right_checksums() {
        let segment = Segment {
            flags: Flags::FIN | Flags::ACK,
            window: 502,
            payload: Bytes::from_static(b"hello"),
            ..Segment::default()
        };
        let packet = Packet {
            src: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            dst: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
            id: 7,
            choice: IpChoice { tos: 0xb8, ttl: 9 },
            payload: Transport::Tcp { src_port: 7000, dst_port: 40000, segment },
        };
        let bytes = encode(&packet);
        let (ip, rest) = Ipv4Header::from_slice(&bytes).unwrap();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        assert_eq!((ip.dscp.value(), ip.ecn.value(), ip.time_to_live), (46, 0, 9));
        assert_eq!((ip.identification, ip.total_len as usize), (7, bytes.len()));
        let (tcp, payload) = TcpHeader::from_slice(rest).unwrap();
        assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, payload).unwrap());
        assert!(tcp.fin && tcp.ack && !tcp.rst);
        assert_eq!(payload, b"hello");
    }
}
