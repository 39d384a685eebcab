//! Options of ipv6(7): IPV6_V6ONLY and what shows in the header. All others are refused as by a
//! Linux without them. Neighbours: `ip_sockopt` (the same of IPv4), `inet6` (what they mean).

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::net::conn::INET_ECN_MASK;
use crate::net::packet::IpChoice;
use crate::net::socket::{SocketId, SocketKind};
use crate::net::sockopt::int_option;
use linux_raw_sys::net as raw;

impl Kernel {
    /// do_ipv6_setsockopt().
    pub(super) fn set_ipv6_option(
        &mut self,
        socket: SocketId,
        name: u32,
        value: &[u8],
    ) -> Result<(), Errno> {
        let s = &mut self.net.sockets[socket];
        let bound = match &s.kind {
            SocketKind::Tcp(tcp) => tcp.bound.port() != 0 || !tcp.is_idle(),
            SocketKind::Udp(udp) => udp.local.port() != 0,
            SocketKind::Unix(_) => return Err(Errno::ENOPROTOOPT),
        };
        let stream = matches!(s.kind, SocketKind::Tcp(_));
        let Some(six) = &mut s.options.inet6 else { return Err(Errno::ENOPROTOOPT) };
        let int = int_option(value);
        match name {
            // Too late once others may have relied on it.
            raw::IPV6_V6ONLY if bound => return Err(Errno::EINVAL),
            raw::IPV6_V6ONLY => six.v6only = int? != 0,
            raw::IPV6_RECVPKTINFO => six.recvpktinfo = int? != 0,
            raw::IPV6_UNICAST_HOPS => six.ip.ttl = byte_or(int?, IpChoice::default().ttl)?,
            raw::IPV6_TCLASS => {
                let mut tclass = byte_or(int?, 0)?;
                if stream {
                    tclass = tclass & !INET_ECN_MASK | six.ip.tos & INET_ECN_MASK;
                }
                six.ip.tos = tclass;
            }
            // As IP_MTU_DISCOVER: no packet of ours is longer than the path takes.
            raw::IPV6_MTU_DISCOVER => match int? {
                int @ 0..=5 => six.ip.mtu_discover = int as u8,
                _ => return Err(Errno::EINVAL),
            },
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.socket_options_changed(socket);
        Ok(())
    }

    /// do_ipv6_getsockopt().
    pub(super) fn get_ipv6_option(&self, socket: SocketId, name: u32) -> Result<Vec<u8>, Errno> {
        let six = self.net.sockets[socket].options.inet6.ok_or(Errno::EOPNOTSUPP)?;
        let number = match name {
            raw::IPV6_V6ONLY => u32::from(six.v6only),
            raw::IPV6_RECVPKTINFO => u32::from(six.recvpktinfo),
            raw::IPV6_UNICAST_HOPS => six.ip.ttl.into(),
            raw::IPV6_TCLASS => six.ip.tos.into(),
            raw::IPV6_MTU_DISCOVER => six.ip.mtu_discover.into(),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_le_bytes().to_vec())
    }
}

/// 0 to 255; −1 takes an earlier choice back.
pub(super) fn byte_or(int: i32, default: u8) -> Result<u8, Errno> {
    if int == -1 { Ok(default) } else { u8::try_from(int).map_err(|_| Errno::EINVAL) }
}
