//! The network of one host: sockets, UDP, AF_UNIX, ports and routes, and the sans-I/O [`tcp`].

pub mod packet;
pub mod socket;
pub mod tcp;

use crate::kernel::{Config, Kernel};
use crate::net::packet::Packet;
use crate::time::Instant;

/// All network state of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Net {
    /// All sockets.
    pub sockets: crate::arena::Arena<socket::Socket>,
}

impl Net {
    /// Interfaces `lo` and `eth0`, no sockets.
    pub fn new(_config: &Config) -> Net {
        Net { sockets: crate::arena::Arena::default() }
    }
}

impl Kernel {
    /// ip_rcv(): a packet arrived.
    pub fn ip_rcv(&mut self, packet: Packet) {
        let _ = packet;
    }

    /// Serves connection timers that are due.
    pub fn net_expire(&mut self) {}

    /// The earliest connection timer.
    pub fn net_next_deadline(&self) -> Option<Instant> {
        None
    }
}
