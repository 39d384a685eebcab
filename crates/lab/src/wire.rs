//! Packets as bytes: IPv4 or IPv6 with TCP, UDP or ICMP and right checksums, for whoever shows them to
//! others: the pcap files of the command, and packetdrill, whose packets, of IPv4 only, are also read
//! back. The typed ones are `kernel::net::packet`.

use bytes::Bytes;
use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpEcn, IpNumber, Ipv4Header,
    Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader,
};
use kernel::net::packet::{Discovery, IpChoice, Packet, Transport, Unreachable};
use kernel::net::tcp::{Flags, Options, Segment, Seq};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The bytes of a packet from the IP header on.
pub fn encode(packet: &Packet) -> Vec<u8> {
    let (protocol, body) = match &packet.payload {
        Transport::Tcp { src_port, dst_port, segment } => {
            (IpNumber::TCP, tcp(packet, (*src_port, *dst_port), segment))
        }
        Transport::Udp { src_port, dst_port, payload } => {
            (IpNumber::UDP, udp(packet, (*src_port, *dst_port), payload))
        }
        Transport::Icmp(unreachable) if packet.src.is_ipv4() => (IpNumber::ICMP, icmp(unreachable)),
        Transport::Icmp(unreachable) => (IpNumber::IPV6_ICMP, icmpv6(packet, unreachable)),
        Transport::Neigh(what) => return neigh(packet, *what),
    };
    [ip_header(packet, protocol, body.len()), body].concat()
}

/// The IP header of a packet with `len` bytes after it.
fn ip_header(packet: &Packet, protocol: IpNumber, len: usize) -> Vec<u8> {
    let len = u16::try_from(len).expect("a packet is at most 64 KiB long");
    let choice = packet.choice;
    match (packet.src, packet.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header = Ipv4Header::new(len, choice.ttl, protocol, src.octets(), dst.octets())
                .expect("the length leaves room for the header");
            header.identification = packet.id;
            header.dont_fragment = choice.dont_fragment();
            header.dscp = IpDscp::try_new(choice.tos >> 2).expect("six bits");
            header.ecn = IpEcn::try_new(choice.tos & 3).expect("two bits");
            header.header_checksum = header.calc_header_checksum();
            header.to_bytes().to_vec()
        }
        (src, dst) => Ipv6Header {
            traffic_class: choice.tos,
            flow_label: flow_label(packet),
            payload_length: len,
            next_header: protocol,
            hop_limit: choice.ttl,
            source: v6(src).octets(),
            destination: v6(dst).octets(),
        }
        .to_bytes()
        .to_vec(),
    }
}

/// Linux labels its flows by themselves (net.ipv6.auto_flowlabels), with a random number for each
/// that is never 0. So do we: always the same one between the same ends.
fn flow_label(packet: &Packet) -> Ipv6FlowLabel {
    let (from, to) = (packet.source(), packet.destination());
    let mut hash = 0x811c_9dc5_u32;
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    for byte in [&v6(from.ip()).octets()[..], &v6(to.ip()).octets(), &ports].concat() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    Ipv6FlowLabel::try_new(((hash >> 12) ^ hash) & 0xf_ffff | 1).expect("20 bits")
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    }
}

fn tcp(packet: &Packet, ports: (u16, u16), segment: &Segment) -> Vec<u8> {
    let mut header = TcpHeader::new(ports.0, ports.1, segment.seq.0, segment.window);
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
    let payload = &segment.payload;
    let checksum = match (packet.src, packet.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), payload)
        }
        (src, dst) => header.calc_checksum_ipv6_raw(v6(src).octets(), v6(dst).octets(), payload),
    };
    header.checksum = checksum.expect("a segment fits into an IP packet");
    [&header.to_bytes(), &segment.payload[..]].concat()
}

fn udp(packet: &Packet, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("a datagram fits into an IP packet");
    let mut header =
        UdpHeader { source_port: ports.0, destination_port: ports.1, length, checksum: 0 };
    let checksum = match (packet.src, packet.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), payload)
        }
        (src, dst) => header.calc_checksum_ipv6_raw(v6(src).octets(), v6(dst).octets(), payload),
    };
    header.checksum = checksum.expect("a datagram fits into an IP packet");
    [&header.to_bytes(), payload].concat()
}

/// What an unreachable quotes: an IP header and eight bytes.
fn quoted(unreachable: &Unreachable) -> Vec<u8> {
    let port = |a: &SocketAddr| a.port().to_be_bytes();
    let (from, to) = (&unreachable.from, &unreachable.to);
    // What follows the ports is a UDP length, or a sequence number.
    let datagram = unreachable.protocol == 17;
    let rest = if datagram { [0, 8, 0, 0] } else { unreachable.seq.to_be_bytes() };
    let (src_port, dst_port) = (from.port(), to.port());
    let payload = Transport::Udp { src_port, dst_port, payload: Bytes::new() };
    let (src, dst, choice) = (from.ip(), to.ip(), IpChoice::default());
    let about = Packet { src, dst, id: 0, choice, payload };
    let header = ip_header(&about, IpNumber(unreachable.protocol), 8);
    [&header[..], &port(from), &port(to), &rest].concat()
}

/// Destination unreachable: type 3, the code, and what it quotes.
fn icmp(unreachable: &Unreachable) -> Vec<u8> {
    let quoted = quoted(unreachable);
    let kind = Icmpv4Type::Unknown { type_u8: 3, code_u8: unreachable.code, bytes5to8: [0; 4] };
    let header = Icmpv4Header::with_checksum(kind, &quoted);
    [&header.to_bytes()[..], &quoted].concat()
}

/// The hardware address that a host has by its address.
fn hardware(address: IpAddr) -> [u8; 6] {
    let [.., a, b, c, d] = v6(address).octets();
    [2, 0, a, b, c, d]
}

/// ARP (RFC 826), which is no IP packet; or a neighbour solicitation or advertisement (RFC 4861, 4.3).
fn neigh(packet: &Packet, what: Discovery) -> Vec<u8> {
    let own = hardware(packet.src);
    let answer = what == Discovery::Advertise;
    if let (IpAddr::V4(src), IpAddr::V4(dst)) = (packet.src, packet.dst) {
        let head = [0, 1, 8, 0, 6, 4, 0, 1 + u8::from(answer)];
        let theirs = if answer { hardware(packet.dst) } else { [0; 6] };
        return [&head[..], &own, &src.octets(), &theirs, &dst.octets()].concat();
    }
    let mut to = v6(packet.dst).octets();
    let target = if answer { v6(packet.src) } else { v6(packet.dst) };
    if what == (Discovery::Solicit { everyone: true }) {
        // ff02::1:ff and the last three bytes.
        to = [&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff], &to[13..]]
            .concat()
            .try_into()
            .expect("16");
    }
    // RFC 4861's flags: solicited, override; the option is the hardware address of the source.
    let (kind, flags) = if answer { (136, [0x60, 0, 0, 0]) } else { (135, [0; 4]) };
    let option = [&[1 + u8::from(answer), 1][..], &own].concat();
    let body = [&target.octets()[..], &option].concat();
    let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: 0, bytes5to8: flags };
    let icmp = Icmpv6Header::with_checksum(kind, v6(packet.src).octets(), to, &body);
    let icmp = icmp.expect("it fits into an IP packet");
    let sent = Packet { dst: IpAddr::V6(to.into()), ..packet.clone() };
    let header = ip_header(&sent, IpNumber::IPV6_ICMP, 8 + body.len());
    [&header[..], &icmp.to_bytes(), &body].concat()
}

/// Likewise, type 1 (RFC 4443, 3.1).
fn icmpv6(packet: &Packet, unreachable: &Unreachable) -> Vec<u8> {
    let quoted = quoted(unreachable);
    let kind = Icmpv6Type::Unknown { type_u8: 1, code_u8: unreachable.code, bytes5to8: [0; 4] };
    let (src, dst) = (v6(packet.src).octets(), v6(packet.dst).octets());
    let header = Icmpv6Header::with_checksum(kind, src, dst, &quoted);
    let header = header.expect("it fits into an IP packet");
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
        ecn: 0, // in the header of IP
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
    let [a, b, c, d, e, f, g, h, ..] = *rest else { return Err("it quotes no ports".to_owned()) };
    let end = |address: [u8; 4], port| SocketAddr::new(IpAddr::V4(address.into()), port);
    Ok(Unreachable {
        code,
        protocol: ip.protocol.0,
        from: end(ip.source, u16::from_be_bytes([a, b])),
        to: end(ip.destination, u16::from_be_bytes([c, d])),
        seq: if ip.protocol.0 == 6 { u32::from_be_bytes([e, f, g, h]) } else { 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

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
        let quoted =
            Unreachable { code: 1, protocol: 6, from: end(1, 7000), to: end(2, 80), seq: 77 };
        let packet = Packet {
            src: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
            dst: end(1, 0).ip(),
            id: 1,
            choice: IpChoice::default(),
            payload: Transport::Icmp(quoted),
        };
        assert_eq!(decode(&encode(&packet)), Ok(packet));
    }

    #[test]
    fn packets_of_ipv6_have_right_checksums() {
        let host = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        let (src, dst) = (host(1), host(2));
        let choice = IpChoice { tos: 0xb8, ttl: 9, mtu_discover: 1 };
        let segment = Segment { payload: Bytes::from_static(b"hello"), ..Segment::default() };
        let payload = Transport::Tcp { src_port: 7000, dst_port: 40000, segment };
        let bytes = encode(&Packet { src, dst, id: 0, choice, payload });
        let (ip, rest) = Ipv6Header::from_slice(&bytes).unwrap();
        assert_eq!((ip.traffic_class, ip.hop_limit), (0xb8, 9));
        assert_eq!(usize::from(ip.payload_length), bytes.len() - 40);
        assert_ne!(ip.flow_label.value(), 0);
        let (tcp, payload) = TcpHeader::from_slice(rest).unwrap();
        assert_eq!(tcp.checksum, tcp.calc_checksum_ipv6(&ip, payload).unwrap());

        let end = |last, port| SocketAddr::new(host(last), port);
        let quoted =
            Unreachable { code: 4, protocol: 17, from: end(1, 7000), to: end(2, 53), seq: 0 };
        let payload = Transport::Icmp(quoted);
        let bytes = encode(&Packet { src: dst, dst: src, id: 0, choice, payload });
        let (ip, rest) = Ipv6Header::from_slice(&bytes).unwrap();
        let (icmp, quoted) = Icmpv6Header::from_slice(rest).unwrap();
        let sum = icmp.icmp_type.calc_checksum(ip.source, ip.destination, quoted);
        assert_eq!(icmp.checksum, sum.unwrap());
        assert_eq!((rest[0], rest[1], quoted.len()), (1, 4, 48));
    }
}
