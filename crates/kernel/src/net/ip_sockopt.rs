//! Options of ip(7) on a socket and on one message: IP_TOS and IP_TTL, which show on the wire,
//! IP_FREEBIND and IP_PKTINFO. All others are refused as by a Linux without them. Neighbours: `sockopt` (who asks),
//! `ip` (who puts them into the header).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::net::conn::INET_ECN_MASK;
use crate::net::ipv6_sockopt::byte_or;
use crate::net::msg::ControlMessage;
use crate::net::packet::IpChoice;
use crate::net::pktinfo::pktinfo_in;
use crate::net::socket::{SocketId, SocketKind, SocketOptions};
use crate::net::timestamping::is_timestamping;
use crate::syscall::Call;
use core::net::IpAddr;
use linux_raw_sys::net as raw;

const SOL_SOCKET: i32 = 1;
const SOL_IP: i32 = 0;
const SOL_IPV6: i32 = 41;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;

/// SO_PRIORITY as it follows from the type of service (rt_tos2priority, measured).
fn priority_of(tos: u8) -> u32 {
    [0, 2, 6, 4][usize::from(tos >> 3 & 3)]
}

/// An option's value: an int, or a byte if there is no room for more.
fn value_of(value: &[u8]) -> i32 {
    match value {
        [a, b, c, d, ..] => i32::from_le_bytes([*a, *b, *c, *d]),
        [byte, ..] => i32::from(*byte),
        [] => 0,
    }
}

/// IP_TTL: 1 to 255.
fn ttl_of(int: i32) -> Result<u8, Errno> {
    u8::try_from(int).ok().filter(|ttl| *ttl > 0).ok_or(Errno::EINVAL)
}

impl Kernel {
    /// do_ip_setsockopt().
    pub(super) fn set_ip_option(
        &mut self,
        socket: SocketId,
        name: u32,
        value: &[u8],
    ) -> Result<(), Errno> {
        let int = value_of(value);
        let s = &mut self.net.sockets[socket];
        match name {
            raw::IP_TOS => {
                let mut tos = int as u8;
                if let SocketKind::Tcp(_) = s.kind {
                    tos = tos & !INET_ECN_MASK | s.options.ip.tos & INET_ECN_MASK;
                }
                if tos != s.options.ip.tos {
                    s.options.ip.tos = tos;
                    s.options.priority = priority_of(tos);
                }
            }
            raw::IP_TTL if value.is_empty() => return Err(Errno::EINVAL),
            raw::IP_TTL if int == -1 => s.options.ip.ttl = IpChoice::default().ttl,
            raw::IP_TTL => s.options.ip.ttl = ttl_of(int)?,
            // IP_PMTUDISC_DONT to IP_PMTUDISC_OMIT. No packet of ours is longer than the path takes.
            raw::IP_MTU_DISCOVER if (0..=5).contains(&int) => {
                s.options.ip.mtu_discover = int as u8;
            }
            raw::IP_MTU_DISCOVER => return Err(Errno::EINVAL),
            raw::IP_FREEBIND if value.is_empty() => return Err(Errno::EINVAL),
            raw::IP_FREEBIND => s.options.freebind = int != 0,
            raw::IP_PKTINFO => s.options.pktinfo = int != 0,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.socket_options_changed(socket);
        Ok(())
    }

    /// do_ip_getsockopt().
    pub(super) fn get_ip_option(&self, socket: SocketId, name: u32) -> Result<Vec<u8>, Errno> {
        let SocketOptions { ip, freebind, pktinfo, .. } = self.net.sockets[socket].options;
        match name {
            raw::IP_TOS => Ok(u32::from(ip.tos).to_le_bytes().to_vec()),
            raw::IP_MTU_DISCOVER => Ok(u32::from(ip.mtu_discover).to_le_bytes().to_vec()),
            raw::IP_PKTINFO => Ok(u32::from(pktinfo).to_le_bytes().to_vec()),
            raw::IP_FREEBIND => Ok(u32::from(freebind).to_le_bytes().to_vec()),
            raw::IP_TTL => Ok(u32::from(ip.ttl).to_le_bytes().to_vec()),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// sock_cmsg_send(): what socket(7) knows of ancillary data. Descriptors and credentials mean
    /// nothing to AF_INET, on Linux too; other levels are not its business. What is to be told of the
    /// message: SOF_TIMESTAMPING_….
    pub(super) fn sock_cmsg_send(
        &mut self,
        call: &Call<'_>,
        socket: SocketId,
        control: &[ControlMessage],
    ) -> Result<u32, Errno> {
        let known = |m: &ControlMessage| {
            matches!(m.kind, SCM_RIGHTS | SCM_CREDENTIALS) || is_timestamping(m)
        };
        match control.iter().find(|m| m.level == SOL_SOCKET && !known(m)) {
            Some(message) => Err(self.refuse_cmsg(call, message)),
            None => self.tx_flags(socket, control),
        }
    }

    fn refuse_cmsg(&mut self, call: &Call<'_>, message: &ControlMessage) -> Errno {
        let what = format!("level {}, type {}", message.level, message.kind);
        self.tell(Some(call.task), Fact::unsupported("ancillary data", what));
        Errno::EINVAL
    }

    /// ip_cmsg_send(), ip6_datagram_send_ctl(): the header of one datagram to `remote`, by the socket's
    /// options and its ancillary data, its source if that says so, and what is to be told of it.
    pub(super) fn ip_cmsg_send(
        &mut self,
        call: &Call<'_>,
        socket: SocketId,
        remote: IpAddr,
        control: &[ControlMessage],
    ) -> Result<(IpChoice, Option<IpAddr>, u32), Errno> {
        let stamps = self.sock_cmsg_send(call, socket, control)?;
        let mut choice = self.ip_choice(socket, remote);
        let (six, mut source) = (self.net.sockets[socket].options.inet6.is_some(), None);
        let level = if remote.is_ipv4() { SOL_IP } else { SOL_IPV6 };
        for message in control {
            if let Some(from) = pktinfo_in(message, remote, six)? {
                source = self.pktinfo_source(call, from, remote)?;
                continue;
            }
            if message.level != level {
                continue;
            }
            let int = value_of(&message.data);
            match (level, message.kind as u32, message.data.len()) {
                (SOL_IP, raw::IP_TOS, 1 | 4) => {
                    choice.tos = u8::try_from(int).map_err(|_| Errno::EINVAL)?;
                }
                (SOL_IP, raw::IP_TTL, 4) => choice.ttl = ttl_of(int)?,
                (SOL_IP, raw::IP_TOS | raw::IP_TTL, _) => return Err(Errno::EINVAL),
                (SOL_IPV6, raw::IPV6_TCLASS, 4) => choice.tos = byte_or(int, choice.tos)?,
                (SOL_IPV6, raw::IPV6_HOPLIMIT, 4) => choice.ttl = byte_or(int, choice.ttl)?,
                (SOL_IPV6, raw::IPV6_TCLASS | raw::IPV6_HOPLIMIT, _) => return Err(Errno::EINVAL),
                _ => return Err(self.refuse_cmsg(call, message)),
            }
        }
        Ok((choice, source, stamps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_follows_from_the_type_of_service() {
        // Measured on 6.18.
        let got = [0, 4, 8, 0x10, 0x18, 0x20, 0x28, 0xb8, 0xfc].map(priority_of);
        assert_eq!(got, [0, 0, 2, 6, 4, 0, 2, 4, 4]);
    }

    #[test]
    fn values_are_ints_or_bytes() {
        assert_eq!(
            [&[16][..], &[255, 255, 255, 255], &[1, 0, 0, 0, 9], &[]].map(value_of),
            [16, -1, 1, 0]
        );
        assert_eq!([1, 255].map(ttl_of), [Ok(1), Ok(255)]);
        assert_eq!([0, 256, -2].map(ttl_of), [Err(Errno::EINVAL); 3]);
    }
}
