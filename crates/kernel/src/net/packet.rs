//! Packets as typed values; the command encodes them for pcap files.

use core::net::IpAddr;

/// One IP packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// From whom.
    pub src: IpAddr,
    /// To whom.
    pub dst: IpAddr,
    /// The IP identification field.
    pub id: u16,
    /// What is in it.
    pub payload: Transport,
}

/// The transport layer of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Transport {
    Udp { src_port: u16, dst_port: u16, payload: bytes::Bytes },
}
