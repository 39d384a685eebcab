//! /proc/net: tcp, tcp6, udp, udp6, unix (what netstat(8) and lsof(8) read), if_inet6, dev, route. Listeners first, then
//! connections, those without a socket (orphans, TIME_WAIT) included. Unlike Linux, the order is
//! that of the kernel's tables, not of hash buckets. Neighbours: `task`, `net`.

use crate::kernel::Kernel;
use crate::net::inet::{TcpSocket, TcpUse};
use crate::net::socket::{SocketId, SocketKind};
use crate::net::tcp::{ProcTcp, TcpState};
use crate::net::tcp_listen::TcpListener;
use crate::task::TaskId;
use crate::task::user_namespace::{IdKind, UserNs};
use crate::time::Duration;
use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const TCP_HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
    uid  timeout inode";
const UDP_HEAD: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt  \
    \u{20} uid  timeout inode ref pointer drops";
const TCP6_HEAD: &str = "  sl  local_address                         remote_address                        \
    st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const UDP6_HEAD: &str = "  sl  local_address                         remote_address                        \
    st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const UNIX_HEAD: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const ROUTE_HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\t\
    IRTT";
const DEV_HEAD: &str = "Inter-|   Receive                                                |  Transmit\n \
    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop \
    fifo colls carrier compressed\n";

/// Where Linux shows a kernel pointer to root.
const NO_POINTER: &str = "0000000000000000";

/// jiffies_to_clock_t(): hundredths of a second.
fn clock_t(time: Duration) -> u128 {
    time.as_millis() / 10
}

/// Address and port in hexadecimal, the address as it lies in memory; IPv4 in a table of IPv6 as
/// ::ffff:….
fn hex(addr: SocketAddr, six: bool) -> String {
    let words = match addr.ip() {
        IpAddr::V4(four) if !six => return hex_of(&four.octets(), addr.port()),
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    };
    hex_of(&words.octets(), addr.port())
}

fn hex_of(octets: &[u8], port: u16) -> String {
    let mut text = String::new();
    for word in octets.chunks_exact(4) {
        let word = u32::from_le_bytes(word.try_into().expect("4 bytes"));
        let _ = write!(text, "{word:08X}");
    }
    text + &format!(":{port:04X}")
}

/// `0.0.0.0:0` or `[::]:0`.
fn nobody(six: bool) -> SocketAddr {
    let any =
        if six { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    SocketAddr::new(any, 0)
}

impl Kernel {
    /// A socket's number in `socket:[n]`.
    pub(crate) fn socket_ino(&self, socket: SocketId) -> u64 {
        0x2000_0000 + socket.number()
    }

    /// Owner as `seq_ns` calls it, column `timeout`, and inode of a socket.
    fn proc_net_owner(&self, socket: SocketId, seq_ns: UserNs) -> String {
        let uid = self.munged(seq_ns, IdKind::User, self.net.sockets[socket].uid);
        format!("{uid:>5} {:>8} {}", 0, self.socket_ino(socket))
    }

    /// tcp: `tcp4_seq_show`; tcp6: `tcp6_seq_show`, with the sockets of AF_INET6.
    pub(crate) fn proc_net_tcp(&self, six: bool, seq_ns: UserNs) -> String {
        let seen = |kuid| self.munged(seq_ns, IdKind::User, kuid);
        let any = nobody(six);
        let mut lines = Vec::new();
        for (id, socket) in self.net.sockets.iter() {
            let SocketKind::Tcp(TcpSocket { usage: TcpUse::Listening(listener), bound, .. }) =
                &socket.kind
            else {
                continue;
            };
            if socket.options.inet6.is_some() != six {
                continue;
            }
            lines.push((*bound, any, self.proc_tcp_listener(listener, id, seq_ns)));
            for ((local, remote), request) in listener.requests() {
                let line = self.proc_tcp_line(&request.proc_line(), seen(socket.uid), 0);
                lines.push((*local, *remote, line));
            }
        }
        for (_, conn) in
            self.net.tcp.conns.iter().filter(|(_, c)| c.tcp.is_hashed() && c.inet6 == six)
        {
            let line = conn.tcp.proc_line();
            // An orphan has its owner still but no inode, a mini-socket neither (T-33).
            let socket = conn.socket.and_then(|s| self.net.sockets.get(s));
            let uid = line.full.map_or(0, |_| seen(socket.map_or(conn.uid, |s| s.uid)));
            let ino = line.full.and(conn.socket).map_or(0, |s| self.socket_ino(s));
            lines.push((conn.local, conn.remote, self.proc_tcp_line(&line, uid, ino)));
        }
        let mut text = if six { TCP6_HEAD.to_owned() } else { format!("{TCP_HEAD:<149}\n") };
        for (i, (local, remote, rest)) in lines.iter().enumerate() {
            let line = format!("{i:>4}: {} {} {rest}", hex(*local, six), hex(*remote, six));
            let width = if six { 0 } else { 149 };
            let _ = writeln!(text, "{line:<width$}");
        }
        text
    }

    fn proc_tcp_listener(
        &self,
        listener: &TcpListener,
        socket: SocketId,
        seq_ns: UserNs,
    ) -> String {
        let state = TcpState::Listen as u8;
        let (waiting, owner) = (listener.len(), self.proc_net_owner(socket, seq_ns));
        format!(
            "{state:02X} 00000000:{waiting:08X} 00:00000000 00000000 {owner} 1 {NO_POINTER} 100 0 0 10 0"
        )
    }

    /// From the state on. The pointer is hidden, as it is from everybody but root.
    fn proc_tcp_line(&self, line: &ProcTcp, uid: u32, ino: u64) -> String {
        let state = line.state as u8;
        let (timer, at) = line.timer;
        let when = at.map_or(Duration::ZERO, |at| at.saturating_since(self.now));
        let head = format!(
            "{state:02X} {:08X}:{:08X} {timer:02X}:{:08X} {:08X} {uid:>5} {:>8} {ino}",
            line.tx_queue,
            line.rx_queue,
            clock_t(when),
            line.retransmits,
            line.probes
        );
        match line.full {
            None => format!("{head} 3 {NO_POINTER}"),
            Some(full) => {
                let ssthresh = full.ssthresh.map_or(-1, i64::from);
                let (rto, ato) = (clock_t(full.rto), clock_t(full.ato));
                let refs = 1 + u8::from(timer > 0);
                let (quick, cwnd) = (full.quick_pingpong, full.cwnd);
                format!("{head} {refs} {NO_POINTER} {rto} {ato} {quick} {cwnd} {ssthresh}")
            }
        }
    }

    /// udp, and udp6 with the sockets of AF_INET6.
    pub(crate) fn proc_net_udp(&self, six: bool, seq_ns: UserNs) -> String {
        let mut text = if six { UDP6_HEAD.to_owned() } else { format!("{UDP_HEAD:<127}\n") };
        for (id, socket) in self.net.sockets.iter() {
            let SocketKind::Udp(udp) = &socket.kind else { continue };
            if udp.local.port() == 0 || socket.options.inet6.is_some() != six {
                continue;
            }
            let state = if udp.peer.is_some() { TcpState::Established } else { TcpState::Close };
            let remote = udp.peer.unwrap_or(nobody(six));
            let (local, state) = (udp.local, state as u8);
            let owner = self.proc_net_owner(id, seq_ns);
            let line = format!(
                "{:>5}: {} {} {state:02X} 00000000:00000000 00:00000000 00000000 {owner} 2 \
                 {NO_POINTER} 0",
                local.port(),
                hex(local, six),
                hex(remote, six),
            );
            let width = if six { 0 } else { 127 };
            let _ = writeln!(text, "{line:<width$}");
        }
        text
    }

    /// unix.
    pub(crate) fn proc_net_unix(&self, reader: TaskId) -> Vec<u8> {
        let net = self.tasks[reader].nsproxy.net;
        let mut text = UNIX_HEAD.as_bytes().to_vec();
        for (id, socket) in self.net.sockets.iter() {
            if !matches!(socket.kind, SocketKind::Unix(_)) || socket.net != net {
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

    /// if_inet6: address, number of the interface, length of the prefix, scope, flags (IFA_F_PERMANENT)
    /// and name. Nothing where IPv6 is off.
    pub(crate) fn proc_net_if_inet6(&self, only_lo: bool) -> String {
        let Some(own) = self.config.address6 else { return String::new() };
        let hex = |ip: Ipv6Addr| format!("{:032x}", u128::from(ip));
        let eth0 = format!("{} 02 40 00 80     eth0\n", hex(own));
        let lo = format!("{} 01 80 10 80       lo\n", hex(Ipv6Addr::LOCALHOST));
        if only_lo { lo } else { eth0 + &lo }
    }

    /// sockstat6: how many sockets of AF_INET6 are in use: listening, connected, bound.
    pub(crate) fn proc_net_sockstat6(&self, nobody: bool) -> String {
        let (mut tcp, mut udp) = (0, 0);
        for (_, s) in self.net.sockets.iter().filter(|(_, s)| s.options.inet6.is_some() && !nobody)
        {
            match &s.kind {
                SocketKind::Tcp(listens) => tcp += usize::from(listens.is_listening()),
                SocketKind::Udp(bound) => udp += usize::from(bound.local.port() != 0),
                SocketKind::Unix(_) => {}
            }
        }
        let conns = self.net.tcp.conns.iter().filter(|(_, c)| c.inet6 && c.tcp.is_hashed());
        tcp += conns.filter(|(_, c)| c.tcp.proc_line().full.is_some() && !nobody).count();
        format!(
            "TCP6: inuse {tcp}\nUDP6: inuse {udp}\nUDPLITE6: inuse 0\nRAW6: inuse 0\n\
             FRAG6: inuse 0 memory 0\n"
        )
    }

    /// dev: the interfaces; nobody counts.
    pub(crate) fn proc_net_dev(&self, only_lo: bool) -> String {
        let row = |name: &str| {
            let zeroes = "       0       0    0    0    0     0          0         0        0       \
                0    0    0    0     0       0          0";
            format!("{name:>6}:{zeroes}\n")
        };
        let eth0 = if only_lo { String::new() } else { row("eth0") };
        format!("{DEV_HEAD}{}{eth0}", row("lo"))
    }
}
