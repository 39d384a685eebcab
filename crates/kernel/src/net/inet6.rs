//! What addresses mean to sockets of AF_INET and AF_INET6 (`inet6_bind`, `ipv6(7)`). A socket of
//! AF_INET6 speaks IPv4 too, unless IPV6_V6ONLY is set: to programs such addresses look like
//! ::ffff:10.0.0.1, but everything behind this file knows them as IPv4. Neighbours: `calls` and the
//! families, `sockaddr` (the bytes), `ipv6_sockopt` (the options).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::net::packet::IpChoice;
use crate::net::sockaddr::{AF_INET6, SockAddr};
use crate::net::socket::{BindLocks, SocketId};
use crate::task::TaskId;
use crate::task::capability::Cap;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What a socket of AF_INET6 has beside what one of AF_INET has (`struct ipv6_pinfo`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Inet6Options {
    /// IPV6_V6ONLY: no IPv4 through this socket. Set by bind(2) to an address of IPv6.
    pub v6only: bool,
    /// IPV6_RECVPKTINFO.
    pub recvpktinfo: bool,
    /// IPV6_TCLASS, IPV6_UNICAST_HOPS and IPV6_MTU_DISCOVER.
    pub ip: IpChoice,
}

impl Kernel {
    /// The address that means every own one, in this socket's family.
    pub fn any_address(&self, socket: SocketId) -> IpAddr {
        match self.net.sockets[socket].options.inet6 {
            Some(_) => Ipv6Addr::UNSPECIFIED.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// An address as this socket's program gets to see it.
    pub fn sockaddr(&self, socket: SocketId, addr: SocketAddr) -> SockAddr {
        match (addr, self.net.sockets[socket].options.inet6) {
            (SocketAddr::V4(four), None) => SockAddr::Inet(four),
            (SocketAddr::V4(four), Some(_)) => {
                let mapped = four.ip().to_ipv6_mapped();
                SockAddr::Inet6(SocketAddrV6::new(mapped, four.port(), 0, 0))
            }
            (SocketAddr::V6(six), _) => SockAddr::Inet6(six),
        }
    }

    /// What the sender chose of the header of a packet to `remote`.
    pub fn ip_choice(&self, socket: SocketId, remote: IpAddr) -> IpChoice {
        let options = &self.net.sockets[socket].options;
        match (remote, options.inet6) {
            (IpAddr::V6(_), Some(six)) => six.ip,
            (IpAddr::V4(_), _) | (IpAddr::V6(_), None) => options.ip,
        }
    }

    /// inet_bind(), inet6_bind(): where a socket may be bound. A port below
    /// net.ipv4.ip_unprivileged_port_start needs privilege.
    ///
    /// # Errors
    /// EAFNOSUPPORT, EACCES, EADDRNOTAVAIL when the address is not ours; EINVAL for ::ffff:… with
    /// IPV6_V6ONLY, a multicast address, or a link-local one without its scope.
    pub fn inet_bind_address(
        &mut self,
        task: TaskId,
        socket: SocketId,
        addr: &SockAddr,
    ) -> Result<SocketAddr, Errno> {
        let six = self.net.sockets[socket].options.inet6;
        let (at, six) = match (addr, six) {
            (SockAddr::Inet(four), None) => {
                // Unlike inet6_bind(), this one looks at the address first.
                self.own_address(socket, (*four.ip()).into())?;
                (SocketAddr::V4(*four), None)
            }
            (SockAddr::Inet6(at), Some(six)) => (unmapped(*at), Some((*at, six))),
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let datagram = self.net.sockets[socket].is_datagram();
        if six.is_some_and(|(at, _)| at.ip().is_multicast() && !datagram) {
            return Err(Errno::EINVAL);
        }
        let low = (1..self.sysctls.unprivileged_port_start).contains(&at.port());
        if low && !self.tasks[task].cred.capable(Cap::NetBindService) {
            return Err(Errno::EACCES);
        }
        if let Some((given, options)) = six {
            if at.is_ipv4() && options.v6only {
                return Err(Errno::EINVAL);
            }
            if needs_scope(*given.ip()) {
                return Err(self.link_local(given.scope_id()));
            }
            self.own_address(socket, at.ip())?;
        }
        Ok(at)
    }

    fn own_address(&self, socket: SocketId, addr: IpAddr) -> Result<(), Errno> {
        let free = self.net.sockets[socket].options.freebind;
        // Many at once may be bound to, and are no source.
        let many = addr.is_multicast() || addr == IpAddr::V4(Ipv4Addr::BROADCAST);
        let ours = addr.is_unspecified() || self.is_local_address(addr) || many || free;
        if ours { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }
    }

    /// An address of one link in bind(2): it needs an interface. Unlike Linux's, our interfaces have no
    /// such address.
    fn link_local(&self, scope: u32) -> Errno {
        match scope {
            0 => Errno::EINVAL,
            1 | 2 => Errno::EADDRNOTAVAIL,
            3.. => Errno::ENODEV,
        }
    }

    /// bind(2) chose `at`, or what of it is not left open. An address of IPv6 leaves no room for IPv4
    /// (`sk_ipv6only`).
    pub fn inet_bound(&mut self, socket: SocketId, at: SocketAddr) {
        let locks = BindLocks { addr: !at.ip().is_unspecified(), port: at.port() != 0 };
        self.net.sockets[socket].userlocks = locks;
        if let (Some(six), SocketAddr::V6(at)) = (&mut self.net.sockets[socket].options.inet6, at)
            && !at.ip().is_unspecified()
        {
            six.v6only = true;
        }
    }

    /// To whom connect(2) or sendto(2) goes; `bound` is the socket's own address. No address means
    /// this host itself.
    ///
    /// # Errors
    /// EAFNOSUPPORT; ENETUNREACH for ::ffff:… where only IPv6 is spoken, or for many at once; EINVAL
    /// for a link-local one without its scope.
    pub fn inet_destination(
        &mut self,
        socket: SocketId,
        bound: IpAddr,
        to: &SockAddr,
    ) -> Result<SocketAddr, Errno> {
        let s = &self.net.sockets[socket];
        let datagram = s.is_datagram();
        let to = match (to, s.options.inet6) {
            (SockAddr::Inet(to), None) => return self.inet4_destination(socket, *to),
            // Datagrams go to an address of IPv4 as it is, too.
            (SockAddr::Inet(_), Some(six)) if datagram && six.v6only => {
                return Err(Errno::ENETUNREACH);
            }
            (SockAddr::Inet(to), Some(_)) if datagram => {
                return self.inet4_destination(socket, *to);
            }
            (SockAddr::Inet6(given), Some(six)) => match unmapped(*given) {
                SocketAddr::V4(_) if six.v6only => return Err(Errno::ENETUNREACH),
                SocketAddr::V4(to) => return self.inet4_destination(socket, to),
                SocketAddr::V6(_) => *given,
            },
            // Too short to be one.
            (SockAddr::Other(AF_INET6), Some(_)) => return Err(Errno::EINVAL),
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        if to.ip().is_multicast() || to.ip().is_unicast_link_local() {
            return Err(self.no_such_destination(to, datagram));
        }
        let ip = match (to.ip().is_unspecified(), bound) {
            (true, IpAddr::V4(four)) if !four.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            (true, _) => Ipv6Addr::LOCALHOST.into(),
            (false, _) => (*to.ip()).into(),
        };
        Ok(SocketAddr::new(ip, to.port()))
    }

    /// The same of IPv4. No stream goes to many at once (ENETUNREACH); a datagram to all on a network
    /// needs SO_BROADCAST (EACCES).
    fn inet4_destination(&self, socket: SocketId, to: SocketAddrV4) -> Result<SocketAddr, Errno> {
        let s = &self.net.sockets[socket];
        // Of the network, and of the loopback.
        let all = [Ipv4Addr::BROADCAST, Ipv4Addr::new(127, 255, 255, 255)].contains(to.ip());
        match s.is_datagram() {
            false if all || to.ip().is_multicast() => Err(Errno::ENETUNREACH),
            true if all && !s.options.broadcast => Err(Errno::EACCES),
            false | true => Ok(loopback_for_any(to)),
        }
    }

    fn no_such_destination(&mut self, to: SocketAddrV6, datagram: bool) -> Errno {
        match (to.ip().is_multicast(), datagram, to.scope_id()) {
            (true, false, _) => return Errno::ENETUNREACH,
            (false, _, 0) => return Errno::EINVAL,
            (true, true, _) | (false, _, _) => {}
        }
        let what = format!("{to}: multicast and link-local addresses of IPv6");
        self.tell(self.net.acting, Fact::unsupported("connect or send", what));
        Errno::ENETUNREACH
    }
}

/// __ipv6_addr_needs_scope_id(): an address that each link has for itself.
fn needs_scope(addr: Ipv6Addr) -> bool {
    let scope = addr.octets()[1] & 0xf;
    addr.is_unicast_link_local() || addr.is_multicast() && matches!(scope, 1 | 2)
}

/// ::ffff:10.0.0.1 is 10.0.0.1. Flow label and scope don't make another address.
fn unmapped(addr: SocketAddrV6) -> SocketAddr {
    match addr.ip().to_ipv4_mapped() {
        Some(four) => SocketAddrV4::new(four, addr.port()).into(),
        None => SocketAddrV6::new(*addr.ip(), addr.port(), 0, 0).into(),
    }
}

fn loopback_for_any(to: SocketAddrV4) -> SocketAddr {
    let ip = if to.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *to.ip() };
    SocketAddrV4::new(ip, to.port()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_one_of_ipv4() {
        let six = |text: &str| text.parse::<SocketAddrV6>().unwrap();
        assert_eq!(unmapped(six("[::ffff:10.0.0.1]:7")).to_string(), "10.0.0.1:7");
        assert_eq!(unmapped(six("[::10.0.0.1]:7")).to_string(), "[::a00:1]:7");
        assert_eq!(unmapped(six("[fe80::1%3]:7")).to_string(), "[fe80::1]:7");
    }
}
