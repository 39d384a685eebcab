//! Target: TCP of a host between a hostile peer, a program and the clock. The beginning of the input
//! chooses the state to begin in (all eleven, with or without their program); the rest is a row of
//! deeds: segments with any flags, numbers near the window and far from it, lying options; ICMP;
//! socket calls; time. After each deed the invariants of `kernel::net::tcp` and of its tables hold and
//! every fact can be shown; when the program is killed and time goes on, nothing is left.
//! Neighbours: `puppet` (the host), `peer` (who sends the segments).

use crate::choices::Choices;
use crate::peer::{Aim, Peer};
use crate::puppet::{ADDRESS, MEMORY, Outcome, Puppet};
use kernel::net::conn::ConnId;
use kernel::net::tcp::Flags;
use kernel::time::Duration;
use std::collections::BTreeMap;

/// Deeds of one input at most.
const DEEDS: usize = 400;
/// Segments that one deed may cause.
const FLOOD: usize = 4000;
/// Expiries after which an abandoned host must be silent.
const LAST_EXPIRIES: usize = 5000;
/// The port that is listened on.
const PORT: u16 = 7000;

const FIN: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// Calls by their numbers.
mod nr {
    pub const READ: u64 = 0;
    pub const CLOSE: u64 = 3;
    pub const POLL: u64 = 7;
    pub const IOCTL: u64 = 16;
    pub const DUP: u64 = 32;
    pub const SOCKET: u64 = 41;
    pub const CONNECT: u64 = 42;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SHUTDOWN: u64 = 48;
    pub const BIND: u64 = 49;
    pub const LISTEN: u64 = 50;
    pub const SETSOCKOPT: u64 = 54;
    pub const GETSOCKOPT: u64 = 55;
    pub const ACCEPT4: u64 = 288;
}

/// SOCK_NONBLOCK and MSG_DONTWAIT.
const NONBLOCK: u64 = 0o4000;
const DONTWAIT: u64 = 0x40;
/// Where structures lie in the puppet's memory; data come behind.
const STRUCTURE: u64 = 0;
const DATA: u64 = 256;

/// Socket options: level, name, and a value for each choice.
const OPTIONS: [(u64, u64); 20] = [
    (1, 2),  // SO_REUSEADDR
    (1, 7),  // SO_SNDBUF
    (1, 8),  // SO_RCVBUF
    (1, 9),  // SO_KEEPALIVE
    (1, 10), // SO_OOBINLINE
    (1, 13), // SO_LINGER
    (1, 18), // SO_RCVLOWAT
    (1, 20), // SO_RCVTIMEO
    (6, 1),  // TCP_NODELAY
    (6, 2),  // TCP_MAXSEG
    (6, 3),  // TCP_CORK
    (6, 4),  // TCP_KEEPIDLE
    (6, 5),  // TCP_KEEPINTVL
    (6, 6),  // TCP_KEEPCNT
    (6, 7),  // TCP_SYNCNT
    (6, 8),  // TCP_LINGER2
    (6, 9),  // TCP_DEFER_ACCEPT
    (6, 10), // TCP_WINDOW_CLAMP
    (6, 12), // TCP_QUICKACK
    (6, 18), // TCP_USER_TIMEOUT
];

/// Everything that takes part.
struct Stage {
    puppet: Puppet,
    peer: Peer,
    /// Sockets of the program, oldest first; some are closed again.
    fds: Vec<u64>,
    /// What each connection kept when we last looked.
    kept: BTreeMap<ConnId, u32>,
}

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut stage = Stage {
        puppet: Puppet::default(),
        peer: Peer::new(ADDRESS),
        fds: Vec::new(),
        kept: BTreeMap::new(),
    };
    stage.begin(choices.byte());
    for _ in 0..DEEDS {
        if choices.is_empty() {
            break;
        }
        stage.deed(&mut choices);
        stage.settle();
    }
    stage.end();
}

impl Stage {
    /// What follows from a deed: calls go on, packets are seen, and everything still holds.
    fn settle(&mut self) {
        if let Outcome::Returned(number, value) = self.puppet.resume() {
            self.note(number, value);
        }
        let packets = self.puppet.drain();
        assert!(packets.len() < FLOOD, "{} packets for one deed", packets.len());
        self.peer.see(&packets);
        let held = self.puppet.kernel.net.tcp.check();
        assert_eq!(held, Ok(()), "an invariant of TCP");
        let mut kept = BTreeMap::new();
        for (id, conn) in self.puppet.kernel.net.tcp.conns.iter() {
            let (now, most) = (conn.tcp.rmem_alloc(), conn.tcp.most_rmem());
            let grew = now > self.kept.get(&id).copied().unwrap_or(0);
            assert!(!grew || now <= most, "{now} bytes are kept, and {most} may be");
            kept.insert(id, now);
        }
        self.kept = kept;
    }

    fn note(&mut self, number: u64, value: i64) {
        if [nr::SOCKET, nr::ACCEPT4, nr::DUP].contains(&number) && value >= 0 {
            self.fds.push(value as u64);
        }
    }

    fn call(&mut self, number: u64, args: [u64; 6]) {
        if let Outcome::Returned(number, value) = self.puppet.call(number, args) {
            self.note(number, value);
        }
    }

    fn segment(&mut self, aim: &Aim) {
        let packet = self.peer.segment(aim);
        self.puppet.kernel.deliver(packet);
    }

    /// The state to begin in.
    fn begin(&mut self, which: u8) {
        let which = which % 16;
        if which == 0 {
            return;
        }
        if which < 7 {
            self.begin_passively(which);
        } else {
            self.begin_actively(which);
        }
    }

    /// 1 LISTEN, 2 SYN_RECV, 3 ESTABLISHED and not accepted, 4 accepted, 5 with unread data,
    /// 6 CLOSE_WAIT.
    fn begin_passively(&mut self, which: u8) {
        self.listen();
        let syn = Aim { flags: Flags::SYN, fresh: true, ..Aim::default() };
        let ack = Aim::default();
        let data = Aim { len: 100, ..Aim::default() };
        let fin = Aim { flags: FIN, ..Aim::default() };
        for (least, aim) in [(2, syn), (3, ack), (5, data), (6, fin)] {
            if which < least {
                break;
            }
            self.segment(&aim);
            self.settle();
            if least == 3 && which >= 4 {
                self.call(nr::ACCEPT4, [self.fds[0], 0, 0, NONBLOCK, 0, 0]);
            }
        }
    }

    /// 7 SYN_SENT, 8 ESTABLISHED, 9 FIN_WAIT1, 10 FIN_WAIT2, 11 CLOSING, 12 TIME_WAIT, 13 LAST_ACK,
    /// 14 and 15 an orphan's FIN_WAIT1 and FIN_WAIT2.
    fn begin_actively(&mut self, which: u8) {
        self.call(nr::SOCKET, [2, 1 | NONBLOCK, 0, 0, 0, 0]);
        self.connect(0, [10, 0, 0, 2], PORT);
        self.settle();
        if which == 7 {
            return;
        }
        self.segment(&Aim { flags: SYN_ACK, ..Aim::default() });
        self.settle();
        if which == 13 {
            self.segment(&Aim { flags: FIN, ..Aim::default() });
        }
        if which >= 13 {
            self.call(nr::CLOSE, [self.fds[0], 0, 0, 0, 0, 0]);
        } else if which > 8 {
            self.call(nr::SHUTDOWN, [self.fds[0], 1, 0, 0, 0, 0]);
        }
        // Acknowledges all that was sent so far, but not the FIN that follows in the same deed.
        let crossing = Aim { flags: FIN, ..Aim::default() };
        if which == 11 {
            self.segment(&crossing);
        }
        self.settle();
        match which {
            10 | 15 => self.segment(&Aim::default()),
            12 => self.segment(&crossing),
            _ => {}
        }
        self.settle();
    }

    fn listen(&mut self) {
        self.call(nr::SOCKET, [2, 1 | NONBLOCK, 0, 0, 0, 0]);
        let fd = self.fds[0];
        self.address([0, 0, 0, 0], PORT);
        let structure = self.puppet.memory + STRUCTURE;
        self.call(nr::BIND, [fd, structure, 16, 0, 0, 0]);
        self.call(nr::LISTEN, [fd, 3, 0, 0, 0, 0]);
        self.settle();
    }

    /// Puts a `struct sockaddr_in` where structures lie.
    fn address(&mut self, ip: [u8; 4], port: u16) {
        let [high, low] = port.to_be_bytes();
        let sockaddr = [2, 0, high, low, ip[0], ip[1], ip[2], ip[3], 0, 0, 0, 0, 0, 0, 0, 0];
        self.puppet.poke(STRUCTURE, &sockaddr);
    }

    fn connect(&mut self, which: usize, ip: [u8; 4], port: u16) {
        self.address(ip, port);
        let fd = self.fds.get(which).copied().unwrap_or(99);
        self.call(nr::CONNECT, [fd, self.puppet.memory + STRUCTURE, 16, 0, 0, 0]);
    }

    fn deed(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() {
            0..=127 => {
                let aim = self.peer.aim(choices);
                self.segment(&aim);
            }
            128..=151 => {
                let next = self.puppet.kernel.next_deadline();
                next.into_iter().for_each(|at| self.puppet.advance(at));
            }
            152..=167 => {
                let time = Duration::from_millis(u64::from(choices.u16()));
                self.puppet.advance(self.puppet.kernel.now + time);
            }
            168..=171 => {
                let packet = self.peer.icmp(choices);
                self.puppet.kernel.deliver(packet);
            }
            172..=173 => self.puppet.kill(),
            174..=255 => self.app(choices),
        }
    }

    /// One call of the program.
    fn app(&mut self, choices: &mut Choices<'_>) {
        let which = choices.below(self.fds.len().max(1));
        let fd = self.fds.get(which).copied().unwrap_or(99);
        let (structure, data) = (self.puppet.memory + STRUCTURE, self.puppet.memory + DATA);
        let len = |choices: &mut Choices<'_>| {
            choices.of(&[0, 1, 7, 1000, 1448, 20_000, MEMORY - DATA, 300])
        };
        match choices.below(20) {
            0..=3 => {
                let flags = choices.of(&[0, 0, 1, 0x8000, 0x4000]) | DONTWAIT;
                self.call(nr::SENDTO, [fd, data, len(choices), flags, 0, 0]);
            }
            4..=6 => {
                let flags = choices.of(&[0, 0, 1, 2, 0x20, 0x100]) | DONTWAIT;
                self.call(nr::RECVFROM, [fd, data, len(choices), flags, 0, 0]);
            }
            7 => self.call(nr::READ, [fd, data, len(choices), 0, 0, 0]),
            8 => self.call(nr::SHUTDOWN, [fd, u64::from(choices.byte() % 4), 0, 0, 0, 0]),
            9 => self.call(nr::CLOSE, [fd, 0, 0, 0, 0, 0]),
            10 => self.call(nr::ACCEPT4, [fd, 0, 0, NONBLOCK, 0, 0]),
            11 | 12 => self.set_option(fd, choices),
            13 => {
                let (level, name) = choices.of(&[(1, 4), (6, 11), (6, 2), (1, 8), (6, 23), (6, 9)]);
                self.puppet.poke(STRUCTURE, &[255, 0, 0, 0]);
                self.call(nr::GETSOCKOPT, [fd, level, name, data, structure, 0]);
            }
            14 => {
                let request = choices.of(&[0x541b, 0x5411, 0x894b, 0x8905]);
                self.call(nr::IOCTL, [fd, request, structure, 0, 0, 0]);
            }
            15 => {
                let pollfd = [fd as u8, 0, 0, 0, 0xff, 0x7f, 0, 0];
                self.puppet.poke(STRUCTURE, &pollfd);
                self.call(nr::POLL, [structure, 1, u64::from(choices.byte()), 0, 0, 0]);
            }
            16 => {
                let kind = 1 | if choices.byte() & 7 == 7 { 0 } else { NONBLOCK };
                self.call(nr::SOCKET, [2, kind, 0, 0, 0, 0]);
            }
            17 => {
                let ip = choices.of(&[[10, 0, 0, 2], [127, 0, 0, 1], [10, 0, 0, 1], [0; 4]]);
                self.connect(which, ip, PORT + u16::from(choices.byte() & 1));
            }
            18 => {
                // AF_UNSPEC dissolves.
                self.puppet.poke(STRUCTURE, &[0; 16]);
                self.call(nr::CONNECT, [fd, structure, 16, 0, 0, 0]);
            }
            _ => self.bind_listen_or_dup(fd, choices),
        }
    }

    fn bind_listen_or_dup(&mut self, fd: u64, choices: &mut Choices<'_>) {
        match choices.below(3) {
            0 => self.call(nr::DUP, [fd, 0, 0, 0, 0, 0]),
            1 => self.call(nr::LISTEN, [fd, u64::from(choices.byte() & 7), 0, 0, 0, 0]),
            _ => {
                self.address([0, 0, 0, 0], PORT + u16::from(choices.byte() & 1));
                self.call(nr::BIND, [fd, self.puppet.memory + STRUCTURE, 16, 0, 0, 0]);
            }
        }
    }

    fn set_option(&mut self, fd: u64, choices: &mut Choices<'_>) {
        let (level, name) = choices.of(&OPTIONS);
        let value = match choices.byte() {
            small @ 0..=127 => u32::from(small),
            128..=191 => u32::from(choices.u16()),
            192..=223 => choices.u32(),
            _ => u32::MAX,
        };
        // An orphan, too, retries for as long as TCP_USER_TIMEOUT says: minutes are enough.
        let value = if (level, name) == (6, 18) { value % (1 << 20) } else { value };
        // SO_LINGER and the timeouts take two words: the flag or seconds, and the rest.
        let words = [value, choices.byte().into(), 0, 0];
        self.puppet.poke(STRUCTURE, &words.map(u32::to_le_bytes).concat());
        let len = match (level, name) {
            (1, 13) => 8,
            (1, 20) => 16,
            _ => 4,
        };
        self.call(nr::SETSOCKOPT, [fd, level, name, self.puppet.memory + STRUCTURE, len, 0]);
    }

    /// The program dies, nobody answers any more, and time goes on: nothing is left.
    fn end(&mut self) {
        self.puppet.kill();
        self.settle();
        for expiry in 0.. {
            let left = &self.puppet.kernel.net.tcp.conns;
            assert!(expiry < LAST_EXPIRIES, "orphans live for ever: {left:?}");
            let Some(at) = self.puppet.kernel.next_deadline() else { break };
            self.puppet.advance(at);
            self.settle();
        }
        let net = &self.puppet.kernel.net;
        assert!(net.tcp.conns.is_empty(), "connections are left: {:?}", net.tcp.conns);
        assert!(net.sockets.is_empty(), "sockets are left: {:?}", net.sockets);
        assert!(net.tcp_ports.is_empty(), "ports are left: {:?}", net.tcp_ports);
    }
}
