//! The network layer: which way a packet goes (`ip_output`), what arrives (`ip_rcv`), the loopback
//! device, and ICMP errors. On Linux a packet sent to `lo` is received in a softirq before the
//! sender's call returns; here likewise: it waits in `Net::backlog` until the operation that sent
//! it is complete (the "socket lock" is free again) and is received then, within the same call.

use crate::abi::Errno;
use crate::fact::NetFact;
use crate::kernel::Kernel;
use crate::net::packet::{IpChoice, Packet, Transport, Unreachable};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// icmp_err_convert for destination unreachable: the error, and whether a datagram socket hears of it.
fn icmp_error(code: u8) -> (Errno, bool) {
    match code {
        0 | 11 => (Errno::ENETUNREACH, false),
        6 | 9 => (Errno::ENETUNREACH, true),
        2 => (Errno::ENOPROTOOPT, true),
        3 => (Errno::ECONNREFUSED, true),
        4 => (Errno::EMSGSIZE, false),
        5 => (Errno::EOPNOTSUPP, false),
        // Host unreachable, by its type of service too.
        1 | 12 => (Errno::EHOSTUNREACH, false),
        // 7, 8, 10 and the administrative ones.
        _ => (Errno::EHOSTUNREACH, true),
    }
}

/// icmpv6_err_convert(), likewise (RFC 4443, 3.1).
fn icmpv6_error(code: u8) -> (Errno, bool) {
    match code {
        0 => (Errno::ENETUNREACH, false),
        4 => (Errno::ECONNREFUSED, true),
        // Prohibited, the policy failed, the route is rejected.
        1 | 5 | 6 => (Errno::EACCES, true),
        // 2 beyond the scope of the source, 3 address unreachable.
        2 | 3 => (Errno::EHOSTUNREACH, false),
        _ => (Errno::EPROTO, true),
    }
}

impl Kernel {
    /// Is `addr` one of this host's own?
    pub fn is_local_address(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(four) => four.is_loopback() || four == self.config.address,
            // Without an address of its own IPv6 is off, on the loopback too.
            IpAddr::V6(six) => {
                self.config.address6.is_some_and(|own| six == own || six.is_loopback())
            }
        }
    }

    /// ip_route_output_key(), ip6_dst_lookup(): the source address of a packet to `dst` from a socket
    /// that is bound to `bound`. One network, and everything is on the link.
    ///
    /// # Errors
    /// EINVAL from the loopback to another host; EAFNOSUPPORT from a mapped address to one of IPv6; EADDRNOTAVAIL where IPv6 is off.
    pub fn ip_route_output(&self, bound: IpAddr, dst: IpAddr) -> Result<IpAddr, Errno> {
        let many = bound.is_multicast() || bound == IpAddr::V4(Ipv4Addr::BROADCAST);
        let bound = match bound {
            IpAddr::V4(_) if many => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) if many => Ipv6Addr::UNSPECIFIED.into(),
            one => one,
        };
        match (bound, dst) {
            // No host sends from its loopback to others (`__mkroute_output`; measured).
            (IpAddr::V4(four), IpAddr::V4(_))
                if four.is_loopback() && !self.is_local_address(dst) =>
            {
                Err(Errno::EINVAL)
            }
            (IpAddr::V4(four), IpAddr::V4(_)) if !four.is_unspecified() => Ok(bound),
            (_, IpAddr::V4(four)) if four.is_loopback() => Ok(Ipv4Addr::LOCALHOST.into()),
            (_, IpAddr::V4(_)) => Ok(self.config.address.into()),
            (IpAddr::V4(_), IpAddr::V6(_)) => Err(Errno::EAFNOSUPPORT),
            (IpAddr::V6(six), IpAddr::V6(_)) if !six.is_unspecified() => Ok(bound),
            (IpAddr::V6(_), IpAddr::V6(six)) => match self.config.address6 {
                None => Err(Errno::EADDRNOTAVAIL),
                Some(_) if six.is_loopback() => Ok(Ipv6Addr::LOCALHOST.into()),
                Some(own) => Ok(own.into()),
            },
        }
    }

    /// ip_queue_xmit(), ip6_xmit(): sends a packet on its way.
    pub fn ip_output(&mut self, src: IpAddr, dst: IpAddr, choice: IpChoice, payload: Transport) {
        // IPv6 numbers only what it fragments.
        let id = if dst.is_ipv4() { self.net.next_ip_id(&payload) } else { 0 };
        let packet = Packet { src, dst, id, choice, payload };
        let loopback = self.is_local_address(dst);
        if loopback {
            self.tell_sent(&packet, true);
            self.net.backlog.push_back(packet);
        } else if self.config.on_link.contains(&dst) {
            self.neigh_output(packet);
        } else {
            self.dev_queue_xmit(packet);
        }
    }

    /// dev_queue_xmit(): a packet leaves by the network interface.
    pub(super) fn dev_queue_xmit(&mut self, packet: Packet) {
        self.tell_sent(&packet, false);
        if !self.net.tx_full {
            self.outbox.push_back(packet);
        }
    }

    fn tell_sent(&mut self, packet: &Packet, loopback: bool) {
        let fact = NetFact::Sent { packet: Box::new(packet.clone()), loopback };
        self.tell(self.net.acting, fact.into());
    }

    /// net_rx_action(): receives what was sent to `lo`. Called at the end of every operation that
    /// may have sent something; what it sends itself is received in the same loop.
    pub fn net_rx_action(&mut self) {
        if self.net.in_rx_action {
            return;
        }
        self.net.in_rx_action = true;
        let acting = self.net.acting.take();
        while let Some(packet) = self.net.backlog.pop_front() {
            self.ip_local_deliver(packet);
        }
        self.net.acting = acting;
        self.net.in_rx_action = false;
    }

    /// ip_rcv(), ipv6_rcv(): a packet came in by the network interface.
    pub fn ip_rcv(&mut self, packet: Packet) {
        let fact = NetFact::Received { packet: Box::new(packet.clone()), loopback: false };
        self.tell(None, fact.into());
        // A host doesn't forward, and takes no loopback addresses from outside (martians).
        if self.is_local_address(packet.dst) && !packet.dst.is_loopback() {
            self.ip_local_deliver(packet);
            self.net_rx_action();
        }
    }

    fn ip_local_deliver(&mut self, packet: Packet) {
        let (from, to) = (packet.source(), packet.destination());
        match packet.payload {
            Transport::Tcp { segment, .. } => {
                self.tcp_rcv(from, to, packet.choice.tos, segment);
            }
            Transport::Udp { payload, .. } => self.udp_rcv(from, to, payload),
            Transport::Icmp(unreachable) => self.icmp_unreach(&unreachable),
            Transport::Neigh(what) => self.neigh_rcv(packet.src, packet.dst, what),
        }
    }

    /// icmp_send(), icmpv6_send(): an error about a packet to its sender, from the address `src`.
    pub fn icmp_send(&mut self, src: IpAddr, about: Unreachable) {
        let dst = about.from.ip();
        // IPTOS_PREC_INTERNETCONTROL: errors are urgent, but to IPv6.
        let tos = if dst.is_ipv4() { 0xc0 } else { 0 };
        let choice = IpChoice { tos, ..IpChoice::default() };
        self.ip_output(src, dst, choice, Transport::Icmp(about));
    }

    /// icmp_unreach(): an error about a packet that we sent.
    fn icmp_unreach(&mut self, icmp: &Unreachable) {
        let (local, remote) = (icmp.from, icmp.to);
        let known = if local.is_ipv4() { icmp_error } else { icmpv6_error };
        let (errno, fatal) = known(icmp.code);
        match icmp.protocol {
            6 => self.tcp_err(icmp, errno),
            17 if fatal => self.udp_err(local, remote, errno),
            // We send nothing else, so nothing else is quoted to us.
            _ => {}
        }
    }
}
