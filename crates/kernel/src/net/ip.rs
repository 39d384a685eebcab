//! The network layer: which way a packet goes (`ip_output`), what arrives (`ip_rcv`), the loopback
//! device, and ICMP errors. On Linux a packet sent to `lo` is received in a softirq before the
//! sender's call returns; here likewise: it waits in `Net::backlog` until the operation that sent
//! it is complete (the "socket lock" is free again) and is received then, within the same call.

use crate::fact::NetFact;
use crate::kernel::Kernel;
use crate::net::packet::{IpChoice, Packet, Transport, Unreachable};
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

impl Kernel {
    /// Is `addr` one of this host's own?
    pub fn is_local_address(&self, addr: Ipv4Addr) -> bool {
        addr.is_loopback() || addr == self.config.address
    }

    /// ip_route_output(): the source address for a packet to `dst` (ip(7): 0.0.0.0 means us).
    pub fn source_for(&self, dst: Ipv4Addr) -> Ipv4Addr {
        if dst.is_loopback() || dst.is_unspecified() {
            Ipv4Addr::LOCALHOST
        } else {
            self.config.address
        }
    }

    /// ip_queue_xmit(): sends a packet on its way.
    pub fn ip_output(
        &mut self,
        src: Ipv4Addr,
        dst: Ipv4Addr,
        choice: IpChoice,
        payload: Transport,
    ) {
        let id = self.net.next_ip_id(&payload);
        let packet = Packet { src: IpAddr::V4(src), dst: IpAddr::V4(dst), id, choice, payload };
        let loopback = self.is_local_address(dst);
        let fact = NetFact::Sent { packet: Box::new(packet.clone()), loopback };
        self.tell(self.net.acting, fact.into());
        if loopback {
            self.net.backlog.push_back(packet);
        } else {
            self.outbox.push_back(packet);
        }
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

    /// ip_rcv(): a packet came in by the network interface.
    pub fn ip_rcv(&mut self, packet: Packet) {
        let fact = NetFact::Received { packet: Box::new(packet.clone()), loopback: false };
        self.tell(None, fact.into());
        let IpAddr::V4(dst) = packet.dst else { return };
        // A host doesn't forward, and takes no loopback addresses from outside (martians).
        if dst == self.config.address {
            self.ip_local_deliver(packet);
            self.net_rx_action();
        }
    }

    fn ip_local_deliver(&mut self, packet: Packet) {
        let (source, destination) = (packet.source(), packet.destination());
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (source, destination) else { return };
        match packet.payload {
            Transport::Tcp { segment, .. } => {
                self.tcp_v4_rcv(from, to, packet.choice.tos, segment);
            }
            Transport::Udp { payload, .. } => self.udp_rcv(from, to, payload),
            Transport::Icmp(unreachable) => self.icmp_unreach(&unreachable),
        }
    }

    /// icmp_send(DEST_UNREACH): tells the sender of a packet that nobody wants it.
    pub fn icmp_send_unreach(
        &mut self,
        code: u8,
        protocol: u8,
        from: SocketAddrV4,
        to: SocketAddrV4,
    ) {
        let quoted =
            Unreachable { code, protocol, from: SocketAddr::V4(from), to: SocketAddr::V4(to) };
        // IPTOS_PREC_INTERNETCONTROL: errors are urgent.
        let choice = IpChoice { tos: 0xc0, ..IpChoice::default() };
        self.ip_output(*to.ip(), *from.ip(), choice, Transport::Icmp(quoted));
    }

    /// icmp_unreach(): an error about a packet that we sent.
    fn icmp_unreach(&mut self, icmp: &Unreachable) {
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (icmp.from, icmp.to) else { return };
        match icmp.protocol {
            6 => self.tcp_v4_err(local, remote, icmp.code),
            17 => self.udp_err(local, remote, icmp.code),
            // We send nothing else, so nothing else is quoted to us.
            _ => {}
        }
    }
}
