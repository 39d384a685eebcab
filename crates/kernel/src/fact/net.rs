//! Facts of the net room: what sockets did at their end, and every segment that left or arrived.
//! Neighbours: `net/socket`, `net/ip`, `net/tcp`.

use crate::net::packet::Packet;
use core::net::SocketAddr;

/// What happened to a socket, a connection or a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum NetFact {
    /// A packet left this host's stack (loopback included).
    Sent { packet: Packet, loopback: bool },
    /// A packet arrived at this host's stack.
    Received { packet: Packet, loopback: bool },
    /// sock_close → inet_release/unix_release.
    SockClose { what: String },
    /// tcp_close and what it decided: the normative order of T.2.
    TcpClose {
        local: SocketAddr,
        remote: Option<SocketAddr>,
        state: &'static str,
        unread: usize,
        decision: String,
    },
    /// A step inside TCP, for one connection.
    Tcp { local: SocketAddr, remote: SocketAddr, step: String },
}
