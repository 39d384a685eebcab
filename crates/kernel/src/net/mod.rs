//! The network of one host. A socket call decodes its arguments in `calls`, `msg` and `sockopt`,
//! finds its [`socket::Socket`] and goes on in its family: `inet` (TCP's socket side) over `conn`
//! (connections, demultiplexing) over the sans-I/O [`tcp`]; `udp`; `unix`. Packets leave and arrive
//! in `ip`, by way of `neigh` where hosts share a link; `inet6` knows what addresses mean to either
//! family; `port` knows who is bound where, `reuseport` who of several gets what comes. The walk of a death passes `socket::sock_close` → `inet` →
//! `tcp::close`.

pub mod calls;
pub mod conn;
pub mod inet;
pub mod inet6;
pub mod ip;
mod ip_sockopt;
mod ipv6_sockopt;
pub mod msg;
pub mod neigh;
pub mod packet;
mod pktinfo;
pub mod port;
mod reuseport;
pub mod sockaddr;
pub mod socket;
pub mod sockopt;
pub mod tcp;
pub mod tcp_data;
mod tcp_info;
pub mod tcp_listen;
pub mod tcp_sockopt;
pub mod timestamping;
pub mod udp;
pub mod unix;

use crate::arena::Arena;
use crate::fs::procfs::sysctl::TcpSysctls;
use crate::kernel::{Config, Kernel};
use crate::net::conn::Connections;
use crate::net::neigh::Neighbours;
use crate::net::packet::{Packet, Transport};
use crate::net::port::PortTable;
use crate::net::socket::Socket;
use crate::random::{Purpose, Stream};
use crate::task::TaskId;
use crate::time::Instant;
use std::collections::VecDeque;

/// All network state of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Net {
    /// All sockets.
    pub sockets: Arena<Socket>,
    /// TCP connections and listeners, with or without a socket.
    pub tcp: Connections,
    /// /proc/sys/net/ipv4/tcp_*.
    pub sysctls: TcpSysctls,
    /// Hosts on the same link.
    pub neighbours: Neighbours,
    /// TCP ports.
    pub tcp_ports: PortTable,
    /// UDP ports.
    pub udp_ports: PortTable,
    /// Packets on the loopback device.
    pub backlog: VecDeque<Packet>,
    /// The queue of `eth0` is full: what is given to it is dropped, and TCP is told (`NET_XMIT_DROP`).
    /// Nothing in a lab fills it: links have their queues behind it.
    pub tx_full: bool,
    /// net_rx_action is running: what is sent now waits for its loop.
    pub in_rx_action: bool,
    /// On whose behalf packets are sent now, for the facts.
    pub acting: Option<TaskId>,
    /// Draws ephemeral ports.
    pub port_stream: Stream,
    /// Draws initial sequence numbers.
    pub isn_stream: Stream,
    ip_id: u16,
}

impl Net {
    /// Interfaces `lo` and `eth0`, no sockets.
    pub fn new(config: &Config) -> Net {
        let stream = |purpose| Stream::new(config.seed, config.number, 0, purpose);
        Net {
            sockets: Arena::default(),
            tcp: Connections::default(),
            sysctls: TcpSysctls::default(),
            neighbours: Neighbours::default(),
            tcp_ports: PortTable::default(),
            udp_ports: PortTable::default(),
            backlog: VecDeque::new(),
            tx_full: false,
            in_rx_action: false,
            acting: None,
            port_stream: stream(Purpose::Port),
            isn_stream: stream(Purpose::Isn),
            ip_id: 0,
        }
    }

    /// The identification field: 0 for a reply RST (T-24b), else counted.
    fn next_ip_id(&mut self, payload: &Transport) -> u16 {
        if let Transport::Tcp { segment, .. } = payload
            && segment.has(tcp::Flags::RST)
            && segment.window == 0
        {
            return 0;
        }
        self.ip_id = self.ip_id.wrapping_add(1);
        self.ip_id
    }
}

impl Kernel {
    /// Serves the timers of connections and neighbours that are due.
    pub fn net_expire(&mut self) {
        self.tcp_expire();
        self.neigh_expire();
        self.net_rx_action();
    }

    /// The earliest of them.
    pub fn net_next_deadline(&self) -> Option<Instant> {
        let timers = [self.net.tcp.next_deadline(), self.net.neighbours.next_deadline()];
        timers.into_iter().flatten().min()
    }
}
