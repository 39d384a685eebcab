//! Packets as bytes: IPv4 with TCP, UDP or ICMP and right checksums, for whoever shows them to others:
//! the pcap files of the command, and packetdrill, whose packets are also read back. The typed ones
//! are `kernel::net::packet`.

use bytes::Bytes;
use etherparse::{
    Icmpv4Header, Icmpv4Type, IpDscp, IpEcn, IpNumber, Ipv4Header, TcpHeader, UdpHeader,
};
use kernel::net::packet::{IpChoice, Packet, Transport, Unreachable};
use kernel::net::tcp::{Flags, Options, Segment, Seq};
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
    header.dont_fragment = packet.choice.dont_fragment();
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
    header.ece = segment.has(Flags::ECE);
    header.cwr = segment.has(Flags::CWR);
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

/// Reads a packet: an IPv4 header and what is in it.
///
/// # Errors
/// What is wrong with it, or what of it we don't speak, as a clause.
pub fn decode(bytes: &[u8]) -> Result<Packet, String> {
    let (ip, rest) = Ipv4Header::from_slice(bytes).map_err(|error| error.to_string())?;
    let len = usize::from(ip.total_len).checked_sub(ip.header_len());
    let rest = len.and_then(|len| rest.get(..len)).ok_or("it is shorter than its header says")?;
    let payload = match ip.protocol {
        IpNumber::TCP => read_tcp(rest)?,
        IpNumber::UDP => {
            let (udp, payload) = UdpHeader::from_slice(rest).map_err(|error| error.to_string())?;
            let (src_port, dst_port) = (udp.source_port, udp.destination_port);
            Transport::Udp { src_port, dst_port, payload: Bytes::copy_from_slice(payload) }
        }
        IpNumber::ICMP => Transport::Icmp(read_icmp(rest)?),
        other => return Err(format!("its protocol is {}", other.0)),
    };
    let tos = ip.dscp.value() << 2 | ip.ecn.value();
    Ok(Packet {
        src: IpAddr::V4(ip.source.into()),
        dst: IpAddr::V4(ip.destination.into()),
        id: ip.identification,
        choice: IpChoice { tos, ttl: ip.time_to_live, mtu_discover: ip.dont_fragment.into() },
        payload,
    })
}

fn read_tcp(bytes: &[u8]) -> Result<Transport, String> {
    let (header, payload) = TcpHeader::from_slice(bytes).map_err(|error| error.to_string())?;
    // The control bits are one byte of the header; etherparse has taken it apart.
    let segment = Segment {
        seq: Seq(header.sequence_number),
        ack: Seq(header.acknowledgment_number),
        flags: Flags(bytes[13]),
        window: header.window_size,
        urgent: header.urgent_pointer,
        options: Options::decode(header.options.as_slice()),
        payload: Bytes::copy_from_slice(payload),
    };
    let (src_port, dst_port) = (header.source_port, header.destination_port);
    Ok(Transport::Tcp { src_port, dst_port, segment })
}

fn read_icmp(bytes: &[u8]) -> Result<Unreachable, String> {
    let (header, quoted) = Icmpv4Header::from_slice(bytes).map_err(|error| error.to_string())?;
    // Type and code are the first two bytes of every ICMP message (RFC 792).
    let (kind, code) = (bytes[0], bytes[1]);
    if kind != 3 {
        return Err(format!("it is an ICMP message of type {:?}", header.icmp_type));
    }
    let (ip, rest) = Ipv4Header::from_slice(quoted).map_err(|error| error.to_string())?;
    let [a, b, c, d, ..] = *rest else { return Err("it quotes no ports".to_owned()) };
    let end = |address: [u8; 4], port| SocketAddr::new(IpAddr::V4(address.into()), port);
    Ok(Unreachable {
        code,
        protocol: ip.protocol.0,
        from: end(ip.source, u16::from_be_bytes([a, b])),
        to: end(ip.destination, u16::from_be_bytes([c, d])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            choice: IpChoice { tos: 0xb8, ttl: 9, mtu_discover: 1 },
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
        assert_eq!(decode(&bytes), Ok(packet));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn an_unreachable_reads_back() {
        let end = |last, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port);
        let quoted = Unreachable { code: 1, protocol: 6, from: end(1, 7000), to: end(2, 80) };
        let packet = Packet {
            src: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
            dst: end(1, 0).ip(),
            id: 1,
            choice: IpChoice::default(),
            payload: Transport::Icmp(quoted),
        };
        assert_eq!(decode(&encode(&packet)), Ok(packet));
    }
}
