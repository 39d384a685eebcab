//! /proc/net: tcp, udp, unix (what netstat(8) and lsof(8) read), dev and route. Listeners first, then
//! connections, those without a socket (orphans, TIME_WAIT) included. Unlike Linux, the order is
//! that of the kernel's tables, not of hash buckets. Neighbours: `task`, `net`.

use crate::kernel::Kernel;
use crate::net::conn::Connection;
use crate::net::socket::{SocketId, SocketKind};
use crate::net::tcp::TcpState;
use crate::time::Instant;
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
    unacked: u32,
    unread: u32,
    /// Its number, when it fires, how often it did, and how many probes are out.
    timer: (u8, Option<Instant>, u32, u32),
    uid: u32,
    ino: u64,
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
        let (timer, at, retransmits, probes) = line.timer;
        let left = at.map_or(0, |at| at.saturating_since(self.now).as_millis() / 10);
        format!(
            "{} {} {:02X} {:08X}:{:08X} {timer:02X}:{left:08X} {retransmits:08X} {:>5} {probes:>8} {}",
            hex(line.local),
            hex(line.remote),
            line.state,
            line.unacked,
            line.unread,
            line.uid,
            line.ino
        )
    }

    /// A line of a socket that only has an owner.
    fn socket_line(&self, id: SocketId, local: SocketAddrV4, remote: SocketAddrV4) -> Line {
        let uid = self.net.sockets[id].uid;
        let (timer, ino) = ((0, None, 0, 0), self.socket_ino(id));
        Line { local, remote, state: 0, unacked: 0, unread: 0, timer, uid, ino }
    }

    /// tcp. Pointers are zero, and `ato` and quick ACKs are not told.
    pub(crate) fn proc_net_tcp(&self) -> String {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let mut lines = Vec::new();
        for (id, socket) in self.net.sockets.iter() {
            if let SocketKind::Tcp(tcp) = &socket.kind
                && tcp.is_listening()
            {
                let line = self.socket_line(id, tcp.bound, any);
                let line = Line { state: TcpState::Listen as u8, ..line };
                lines
                    .push(format!("{} 1 0000000000000000 100 0 0 10 0", self.proc_net_line(&line)));
            }
        }
        for (_, conn) in self.net.tcp.conns.iter().filter(|(_, c)| c.tcp.is_hashed()) {
            lines.push(self.proc_net_connection(conn));
        }
        let mut text = format!("{TCP_HEAD:<149}\n");
        for (i, line) in lines.iter().enumerate() {
            let _ = writeln!(text, "{:<149}", format!("{i:>4}: {line}"));
        }
        text
    }

    /// One connection: an orphan has its owner still but no inode, a mini-socket neither (T-33).
    fn proc_net_connection(&self, conn: &Connection) -> String {
        let tcp = &conn.tcp;
        let (timer, at) = tcp.proc_timer();
        let (local, remote, state) = (conn.local, conn.remote, tcp.wire_state());
        let blank = Line {
            local,
            remote,
            state: state as u8,
            unacked: 0,
            unread: 0,
            timer: (timer, at, 0, 0),
            uid: 0,
            ino: 0,
        };
        if state != tcp.state() {
            return format!("{} 3 0000000000000000", self.proc_net_line(&blank));
        }
        let info = tcp.info();
        let socket = conn.socket.and_then(|s| self.net.sockets.get(s));
        let line = Line {
            unacked: info.unacked,
            unread: tcp.unread(),
            timer: (timer, at, info.retransmits, info.probes),
            uid: socket.map_or(conn.uid, |s| s.uid),
            ino: conn.socket.map_or(0, |s| self.socket_ino(s)),
            ..blank
        };
        let rto = info.rto.as_millis() / 10;
        // Without a loss yet it is the greatest number, shown as -1.
        let (cwnd, ssthresh) = (info.snd_cwnd, info.snd_ssthresh as i32);
        format!("{} 2 0000000000000000 {rto} 0 0 {cwnd} {ssthresh}", self.proc_net_line(&line))
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
            let line = Line { state, ..self.socket_line(id, local, remote) };
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
