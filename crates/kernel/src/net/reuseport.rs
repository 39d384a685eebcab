//! SO_REUSEPORT (socket(7), `sock_reuseport`): sockets of one user on one address and port share what
//! comes. A hash of the 4-tuple decides whose it is, so that one peer always meets the same socket
//! while the group stays as it is; the hash is secret, that is, it follows from the host's seed. What a
//! closed listener leaves goes to another of its group only with tcp_migrate_req (T-34, T-35).
//! Neighbours: `conn` and `udp` (who ask), `tcp_listen` (who leaves).

use crate::kernel::Kernel;
use crate::net::conn::FourTuple;
use crate::net::inet::TcpUse;
use crate::net::socket::{SocketId, SocketKind};
use crate::random::{Purpose, Stream};
use core::net::{IpAddr, SocketAddr};

/// A number that stands for an address and port.
fn number(at: SocketAddr) -> u64 {
    let ip = match at.ip() {
        IpAddr::V4(four) => u64::from(u32::from(four)),
        IpAddr::V6(six) => (u128::from(six) >> 64) as u64 ^ u128::from(six) as u64,
    };
    ip.rotate_left(16) ^ u64::from(at.port())
}

impl Kernel {
    /// reuseport_select_sock(): which of a group, in the order in which they joined it, gets what
    /// `remote` sends to `local`.
    pub(super) fn reuseport_select_sock(
        &self,
        (local, remote): FourTuple,
        group: &[SocketId],
    ) -> Option<SocketId> {
        if group.len() < 2 {
            return group.first().copied();
        }
        let (seed, host) = (self.config.seed, self.config.number);
        let both = number(local).rotate_left(32) ^ number(remote);
        let hash = Stream::new(seed, host, both, Purpose::ReusePort).below(group.len() as u64);
        group.get(hash as usize).copied()
    }

    /// __inet_lookup_listener(): who listens for `remote` on `local`; a handshake that has begun stays
    /// with its listener.
    pub(super) fn inet_lookup_listener(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketId> {
        let group = self.net.tcp.find_listeners(local);
        let began = |socket: &SocketId| match &self.net.sockets[*socket].kind {
            SocketKind::Tcp(tcp) => match &tcp.usage {
                TcpUse::Listening(listener) => listener.has_request(&(local, remote)),
                TcpUse::Idle | TcpUse::Connected(_) => false,
            },
            SocketKind::Udp(_) | SocketKind::Unix(_) => false,
        };
        let theirs = group.iter().copied().filter(|_| group.len() > 1).find(began);
        theirs.or_else(|| self.reuseport_select_sock((local, remote), &group))
    }

    /// reuseport_migrate_sock(): who takes over a connection of a listener that is gone.
    pub(super) fn reuseport_migrate_sock(&self, tuple: FourTuple) -> Option<SocketId> {
        let group = self.net.tcp.find_listeners(tuple.0);
        let may = self.net.sysctls.migrate_req;
        if may { self.reuseport_select_sock(tuple, &group) } else { None }
    }
}
