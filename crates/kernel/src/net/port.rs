//! Ports: who is bound to which, and which conflicts (`inet_csk_bind_conflict`, rules T-59, T-60);
//! ephemeral ports from 32768..=60999. Neighbours: `inet` (bind, connect, listen), `udp`.

use crate::abi::Errno;
use crate::net::conn::ConnId;
use crate::net::socket::SocketId;
use crate::random::Stream;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// Who holds a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// A socket that a program bound or connected.
    Socket(SocketId),
    /// A connection that lives on without its socket (orphan, FIN_WAIT2, TIME_WAIT), or one that
    /// was accepted.
    Conn(ConnId),
}

/// One user of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bind {
    /// Which local address; 0.0.0.0 overlaps all of IPv4, :: all of IPv6.
    pub addr: IpAddr,
    /// IPV6_V6ONLY: :: does not overlap IPv4 too.
    pub v6only: bool,
    /// By whom.
    pub owner: Owner,
    /// SO_REUSEADDR at bind.
    pub reuse: bool,
    /// SO_REUSEPORT at bind.
    pub reuseport: bool,
    /// In LISTEN: SO_REUSEADDR does not help against it.
    pub listening: bool,
    /// Effective uid: SO_REUSEPORT shares only among one user's sockets.
    pub uid: u32,
    /// Taken by bind(2), not by connect(2): an ephemeral port that connect took may be taken by
    /// another connect to somewhere else.
    pub explicit: bool,
}

/// The ports of one protocol.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortTable {
    ports: BTreeMap<u16, Vec<Bind>>,
}

/// inet_rcv_saddr_equal(): could a packet be for both? A socket of AF_INET6 that is bound to an
/// address of IPv4 (::ffff:…) has that address here.
fn overlap(a: &Bind, b: &Bind) -> bool {
    match (a.addr, b.addr) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            a.addr == b.addr || a.addr.is_unspecified() || b.addr.is_unspecified()
        }
        (IpAddr::V6(six), IpAddr::V4(_)) => six.is_unspecified() && !a.v6only,
        (IpAddr::V4(_), IpAddr::V6(six)) => six.is_unspecified() && !b.v6only,
    }
}

impl PortTable {
    /// inet_csk_bind_conflict(): does somebody forbid `new` on `port`?
    pub fn conflicts(&self, port: u16, new: &Bind) -> bool {
        let Some(users) = self.ports.get(&port) else { return false };
        users.iter().any(|old| {
            let shared_by_reuse = new.reuse && old.reuse && !old.listening;
            let shared_by_port = new.reuseport && old.reuseport && new.uid == old.uid;
            old.owner != new.owner && overlap(old, new) && !shared_by_reuse && !shared_by_port
        })
    }

    /// udp_lib_lport_inuse(): for datagrams SO_REUSEADDR on both is enough.
    pub fn conflicts_datagram(&self, port: u16, new: &Bind) -> bool {
        let Some(users) = self.ports.get(&port) else { return false };
        users.iter().any(|old| {
            let shared =
                (new.reuse && old.reuse) || (new.reuseport && old.reuseport && new.uid == old.uid);
            old.owner != new.owner && overlap(old, new) && !shared
        })
    }

    /// Records a user of `port`.
    pub fn add(&mut self, port: u16, bind: Bind) {
        self.ports.entry(port).or_default().push(bind);
    }

    /// `owner` does not use `port` any more.
    pub fn remove(&mut self, port: u16, owner: Owner) {
        if let Some(users) = self.ports.get_mut(&port) {
            users.retain(|u| u.owner != owner);
            if users.is_empty() {
                self.ports.remove(&port);
            }
        }
    }

    /// Who uses `port`, in the order of binding.
    pub fn users(&self, port: u16) -> &[Bind] {
        self.ports.get(&port).map_or(&[], |users| users)
    }

    /// True when nobody uses any port.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// The record of `owner` on `port`, to change it (listen, SO_REUSEADDR after bind).
    pub fn of_mut(&mut self, port: u16, owner: Owner) -> Option<&mut Bind> {
        self.ports.get_mut(&port)?.iter_mut().find(|u| u.owner == owner)
    }

    /// Can connect(2) take `port` for a connection whose 4-tuple is free? Not if bind(2) took it.
    pub fn free_for_connect(&self, port: u16) -> bool {
        self.ports.get(&port).is_none_or(|users| users.iter().all(|u| !u.explicit))
    }

    /// inet_csk_find_open_port(): a port for bind(2) to port 0 out of ip_local_port_range, odd ones
    /// first as Linux prefers them there. EADDRINUSE when all are taken.
    pub fn find_for_bind(
        &self,
        draw: &mut Stream,
        range: (u16, u16),
        free: impl Fn(u16) -> bool,
    ) -> Result<u16, Errno> {
        ephemeral(draw, range, 1, free).ok_or(Errno::EADDRINUSE)
    }

    /// __inet_hash_connect(): a port for connect(2), even ones first. EADDRNOTAVAIL when all are
    /// taken.
    pub fn find_for_connect(
        &self,
        draw: &mut Stream,
        range: (u16, u16),
        free: impl Fn(u16) -> bool,
    ) -> Result<u16, Errno> {
        ephemeral(draw, range, 0, free).ok_or(Errno::EADDRNOTAVAIL)
    }
}

/// Goes once round the ports of one parity from a drawn start, then round the other parity.
fn ephemeral(
    draw: &mut Stream,
    (low, high): (u16, u16),
    parity: u16,
    free: impl Fn(u16) -> bool,
) -> Option<u16> {
    let pairs = (high - low) / 2 + 1;
    let start = draw.below(u64::from(pairs)) as u16;
    for parity in [parity, 1 - parity] {
        for step in 0..pairs {
            let port = u32::from(low)
                + 2 * ((u32::from(start) + u32::from(step)) % u32::from(pairs))
                + u32::from(parity);
            if let Ok(port) = u16::try_from(port)
                && port <= high
                && free(port)
            {
                return Some(port);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    const RANGE: (u16, u16) = (32_768, 60_999);
    use super::*;
    use crate::arena::Id;
    use crate::random::Purpose;
    use core::net::Ipv4Addr;

    fn bind(owner: Owner, reuse: bool, listening: bool) -> Bind {
        Bind {
            addr: Ipv4Addr::UNSPECIFIED.into(),
            v6only: false,
            owner,
            reuse,
            reuseport: false,
            listening,
            uid: 0,
            explicit: true,
        }
    }

    #[test]
    fn reuseaddr_helps_against_remains_but_not_against_a_listener() {
        // T-59.
        let mut table = PortTable::default();
        let new = Owner::Socket(Id::nobody());
        let conn = Id::nobody();
        table.add(80, bind(Owner::Conn(conn), true, false));
        assert!(table.conflicts(80, &bind(new, false, false)));
        assert!(!table.conflicts(80, &bind(new, true, false)));
        table.of_mut(80, Owner::Conn(conn)).unwrap().listening = true;
        assert!(table.conflicts(80, &bind(new, true, false)));
    }

    #[test]
    fn both_wildcards_overlap_unless_one_is_for_v6_only() {
        let at = |addr: &str, v6only| Bind {
            addr: addr.parse().unwrap(),
            v6only,
            ..bind(Owner::Socket(Id::nobody()), false, false)
        };
        let meet = |a: &Bind, b: &Bind| [overlap(a, b), overlap(b, a)];
        assert_eq!(meet(&at("::", false), &at("0.0.0.0", false)), [true; 2]);
        assert_eq!(meet(&at("::", false), &at("127.0.0.1", false)), [true; 2]);
        assert_eq!(meet(&at("::", true), &at("0.0.0.0", false)), [false; 2]);
        assert_eq!(meet(&at("::1", true), &at("0.0.0.0", false)), [false; 2]);
        assert_eq!(meet(&at("::", true), &at("::1", true)), [true; 2]);
        assert_eq!(meet(&at("::", true), &at("::", false)), [true; 2]);
    }

    #[test]
    fn connect_draws_even_ports_and_bind_odd_ones() {
        let table = PortTable::default();
        let mut draw = Stream::new(1, 0, 0, Purpose::Port);
        assert_eq!(table.find_for_connect(&mut draw, RANGE, |_| true).unwrap() % 2, 0);
        assert_eq!(table.find_for_bind(&mut draw, RANGE, |_| true).unwrap() % 2, 1);
        assert_eq!(table.find_for_bind(&mut draw, RANGE, |_| false), Err(Errno::EADDRINUSE));
    }
}
