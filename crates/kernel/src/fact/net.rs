//! Facts of the net room: what sockets did at their end, and every segment that left or arrived.
//! Neighbours: `net/socket`, `net/ip`, `net/tcp`.

use crate::fact::file::OpenOn;
use crate::net::packet::Packet;
use crate::net::tcp::CloseOutcome;
use crate::net::tcp::TcpFact;
use core::net::SocketAddr;

/// What happened to a socket, a connection or a packet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum NetFact {
    /// A packet left this host's stack (loopback included).
    Sent { packet: Box<Packet>, loopback: bool },
    /// A packet arrived at this host's stack.
    Received { packet: Box<Packet>, loopback: bool },
    /// sock_close → inet_release/unix_release.
    SockClose { what: OpenOn },
    /// unix_release_sock and what the peer is told (rules F-16 to F-19).
    UnixRelease { what: String, decision: &'static str },
    /// tcp_close (or the end of a connection that nobody accepted) and what it decided, in the
    /// normative order of T.2. Told before the segment that follows from it leaves.
    TcpClose { local: SocketAddr, remote: SocketAddr, outcome: CloseOutcome },
    /// A step inside TCP, for one connection.
    Tcp { local: SocketAddr, remote: SocketAddr, step: TcpFact },
}
