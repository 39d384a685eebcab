//! IP_PKTINFO and IPV6_RECVPKTINFO (ip(7), ipv6(7), RFC 3542, 6): which address and interface a
//! datagram came to, and which it is to go from. Interface 1 is the loopback, 2 the one to the others.
//! A datagram that is to leave by the other interface than its way is refused loudly.
//! Neighbours: `ip_sockopt` (other ancillary data), `udp` (who sends and receives).

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::net::msg::ControlMessage;
use crate::net::socket::SocketOptions;
use crate::syscall::Call;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net as raw;

const SOL_IP: i32 = 0;
const SOL_IPV6: i32 = 41;
/// The numbers of the interfaces.
const LO: i32 = 1;
const ETH0: i32 = 2;

/// What a sender's pktinfo asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SendFrom {
    /// The source address; unspecified leaves it to the route.
    addr: IpAddr,
    /// The interface; 0 leaves it to the route.
    ifindex: i32,
}

/// The interface that an address is reached by.
fn interface_of(addr: IpAddr) -> i32 {
    if addr.is_loopback() { LO } else { ETH0 }
}

/// ip_cmsg_recv_pktinfo(), ip6_datagram_recv_common_ctl(): what the receiver of a datagram to `to` is
/// told, if it wants to be.
pub(super) fn pktinfo_of(options: &SocketOptions, to: IpAddr) -> Vec<ControlMessage> {
    let ifindex = interface_of(to).to_le_bytes();
    let mut told = Vec::new();
    if options.inet6.is_some_and(|six| six.recvpktinfo) {
        let addr = match to {
            IpAddr::V4(four) => four.to_ipv6_mapped(),
            IpAddr::V6(six) => six,
        };
        let data = [&addr.octets()[..], &ifindex].concat();
        told.push(ControlMessage { level: SOL_IPV6, kind: raw::IPV6_PKTINFO as i32, data });
    }
    if let IpAddr::V4(four) = to
        && options.pktinfo
    {
        // ipi_ifindex, ipi_spec_dst, ipi_addr.
        let data = [ifindex, four.octets(), four.octets()].concat();
        told.push(ControlMessage { level: SOL_IP, kind: raw::IP_PKTINFO as i32, data });
    }
    told
}

/// The pktinfo in `message`, of a datagram to `remote`, if it is one.
///
/// # Errors
/// EINVAL for a wrong length, or an address of the other family.
pub(super) fn pktinfo_in(
    message: &ControlMessage,
    remote: IpAddr,
    six: bool,
) -> Result<Option<SendFrom>, Errno> {
    let number = |at: usize| -> Option<i32> {
        Some(i32::from_le_bytes(message.data.get(at..at + 4)?.try_into().ok()?))
    };
    match (message.level, message.kind as u32) {
        (SOL_IP, raw::IP_PKTINFO) if remote.is_ipv4() => {
            let exact = message.data.len() == 12;
            let (ifindex, addr) =
                number(0).zip(number(4)).filter(|_| exact).ok_or(Errno::EINVAL)?;
            let addr = Ipv4Addr::from(addr.to_le_bytes()).into();
            Ok(Some(SendFrom { addr, ifindex }))
        }
        (SOL_IPV6, raw::IPV6_PKTINFO) if six => {
            let ifindex = number(16).ok_or(Errno::EINVAL)?;
            let octets: [u8; 16] = message.data[..16].try_into().expect("16 bytes");
            let addr = Ipv6Addr::from(octets);
            let addr = match (remote, addr.to_ipv4_mapped()) {
                (IpAddr::V4(_), Some(four)) => four.into(),
                (IpAddr::V4(_), None) => return Err(Errno::EINVAL),
                (IpAddr::V6(_), _) => addr.into(),
            };
            Ok(Some(SendFrom { addr, ifindex }))
        }
        _ => Ok(None),
    }
}

impl Kernel {
    /// The source of a datagram to `remote` that is to go `from` there; None leaves it to the route.
    ///
    /// # Errors
    /// ENODEV without such an interface; ENETUNREACH (IPv4) or EINVAL (IPv6) when the address is not
    /// ours, or not that interface's.
    pub(super) fn pktinfo_source(
        &mut self,
        call: &Call<'_>,
        from: SendFrom,
        remote: IpAddr,
    ) -> Result<Option<IpAddr>, Errno> {
        let SendFrom { addr, ifindex } = from;
        if !(0..=ETH0).contains(&ifindex) {
            return Err(Errno::ENODEV);
        }
        let foreign = !addr.is_unspecified() && !self.is_local_address(addr);
        let elsewhere = addr.is_ipv6() && addr.is_loopback() && ifindex == ETH0;
        if foreign || elsewhere {
            return Err(if remote.is_ipv4() { Errno::ENETUNREACH } else { Errno::EINVAL });
        }
        if ifindex != 0 && ifindex != interface_of(remote) {
            let what = format!("to {remote} by interface {ifindex}");
            self.tell(Some(call.task), Fact::unsupported("IP_PKTINFO", what));
            return Err(Errno::ENETUNREACH);
        }
        Ok(Some(addr).filter(|addr| !addr.is_unspecified()))
    }
}
