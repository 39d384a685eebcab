//! /proc/net: tcp, udp, unix (what netstat(8) and lsof(8) read), dev and route. Listeners first, then
//! connections, those without a socket (orphans, TIME_WAIT) included. Unlike Linux, the order is
//! that of the kernel's tables, not of hash buckets. Neighbours: `task`, `net`.

use crate::kernel::Kernel;
use crate::net::socket::{SocketId, SocketKind};
use crate::net::tcp::TcpState;
use core::fmt::Write;
use core::net::{Ipv4Addr, SocketAddrV4};

const TCP_HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
    uid  timeout inode";
const UDP_HEAD: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt  \
    \u{20} uid  timeout inode ref pointer drops";
const UNIX_HEAD: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const ROUTE_HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\t\
    IRTT";
const DEV_HEAD: &str = "Inter-|   Receive                                                |  Transmit\n \
    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop \
    fifo colls carrier compressed\n";

/// One line of tcp or udp.
struct Line {
    local: SocketAddrV4,
    remote: SocketAddrV4,
    state: u8,
    unread: u32,
    socket: Option<SocketId>,
}

/// Address and port in hexadecimal, the address as it lies in memory.
fn hex(addr: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_le_bytes(addr.ip().octets()), addr.port())
}

impl Kernel {
    /// A socket's number in `socket:[n]`.
    pub(crate) fn socket_ino(&self, socket: SocketId) -> u64 {
        0x2000_0000 + socket.number()
    }

    fn proc_net_line(&self, line: &Line) -> String {
        let uid = line.socket.and_then(|s| self.net.sockets.get(s)).map_or(0, |s| s.uid);
        let ino = line.socket.map_or(0, |s| self.socket_ino(s));
        format!(
            "{} {} {:02X} 00000000:{:08X} 00:00000000 00000000 {uid:>5}        0 {ino}",
            hex(line.local),
            hex(line.remote),
            line.state,
            line.unread
        )
    }

    /// tcp.
    pub(crate) fn proc_net_tcp(&self) -> String {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let mut lines = Vec::new();
        for (id, socket) in self.net.sockets.iter() {
            if let SocketKind::Tcp(tcp) = &socket.kind
                && tcp.is_listening()
            {
                let (local, state) = (tcp.bound, TcpState::Listen as u8);
                lines.push(Line { local, remote: any, state, unread: 0, socket: Some(id) });
            }
        }
        for (_, conn) in self.net.tcp.conns.iter().filter(|(_, c)| c.tcp.is_hashed()) {
            lines.push(Line {
                local: conn.local,
                remote: conn.remote,
                state: conn.tcp.wire_state() as u8,
                unread: conn.tcp.unread(),
                socket: conn.socket,
            });
        }
        let mut text = format!("{TCP_HEAD:<149}\n");
        for (i, line) in lines.iter().enumerate() {
            let rest = format!("{} 1 0000000000000000 20 4 0 10 -1", self.proc_net_line(line));
            let _ = writeln!(text, "{:<149}", format!("{i:>4}: {rest}"));
        }
        text
    }

    /// udp.
    pub(crate) fn proc_net_udp(&self) -> String {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let mut text = format!("{UDP_HEAD:<127}\n");
        for (id, socket) in self.net.sockets.iter() {
            let SocketKind::Udp(udp) = &socket.kind else { continue };
            if udp.local.port() == 0 {
                continue;
            }
            let state = if udp.peer.is_some() { TcpState::Established } else { TcpState::Close };
            let remote = udp.peer.unwrap_or(any);
            let (local, state) = (udp.local, state as u8);
            let line = Line { local, remote, state, unread: 0, socket: Some(id) };
            let rest = format!("{} 2 0000000000000000 0", self.proc_net_line(&line));
            let _ = writeln!(text, "{:<127}", format!("{:>5}: {rest}", local.port()));
        }
        text
    }

    /// unix.
    pub(crate) fn proc_net_unix(&self) -> Vec<u8> {
        let mut text = UNIX_HEAD.as_bytes().to_vec();
        for (id, socket) in self.net.sockets.iter() {
            if !matches!(socket.kind, SocketKind::Unix(_)) {
                continue;
            }
            let listening = self.unix_is_listening(id);
            let flags = if listening { 0x10000 } else { 0 };
            let state = if self.unix_peername(id).is_ok() { 3 } else { 1 };
            let (ty, ino) = (socket.ty.number(), self.socket_ino(id));
            let row =
                format!("{:016x}: 00000002 00000000 {flags:08X} {ty:04X} {state:02X} {ino:>5}", 0);
            text.extend_from_slice(row.as_bytes());
            let mut name = self.unix_name(id);
            if !name.is_empty() {
                // Abstract names begin with a NUL, shown as @.
                name.iter_mut().take(1).filter(|b| **b == 0).for_each(|b| *b = b'@');
                while name.last() == Some(&0) {
                    name.pop();
                }
                text.push(b' ');
                text.extend_from_slice(&name);
            }
            text.push(b'\n');
        }
        text
    }

    /// route: one network, everything is on the link.
    pub(crate) fn proc_net_route(&self) -> String {
        let row = "eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0";
        format!("{ROUTE_HEAD:<127}\n{row:<127}\n")
    }

    /// dev: the interfaces; nobody counts.
    pub(crate) fn proc_net_dev(&self) -> String {
        let row = |name: &str| {
            let zeroes = "       0       0    0    0    0     0          0         0        0       \
                0    0    0    0     0       0          0";
            format!("{name:>6}:{zeroes}\n")
        };
        format!("{DEV_HEAD}{}{}", row("lo"), row("eth0"))
    }
}
