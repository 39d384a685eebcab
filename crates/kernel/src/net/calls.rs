//! The socket system calls but for data and options: socket, socketpair, bind, listen, accept,
//! connect, getsockname, getpeername, shutdown. Each finds its socket and goes on in the family.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::file::{File, FileId, FileKind};
use crate::kernel::Kernel;
use crate::net::inet::TcpSocket;
use crate::net::inet6::Inet6Options;
use crate::net::msg::MsgFlags;
use crate::net::sockaddr::{AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, SIN6_LEN_RFC2133, SockAddr};
use crate::net::socket::{BindLocks, SockType, Socket, SocketId, SocketKind, SocketOptions};
use crate::net::udp::UdpSocket;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::capability::Cap;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::VecDeque;

const SOCK_TYPE_MASK: u64 = 0xf;
const SOCK_NONBLOCK: u64 = 0x800;
const SOCK_CLOEXEC: u64 = 0x80000;
const SOCK_RAW: u64 = 3;
const IPPROTO_TCP: u64 = 6;
const IPPROTO_UDP: u64 = 17;

impl Kernel {
    /// A socket of `kind` made by `task`.
    pub fn sock_alloc(&mut self, task: TaskId, ty: SockType, kind: SocketKind) -> SocketId {
        let (uid, pid) = (self.tasks[task].cred.euid, self.groups[self.tasks[task].group].tgid.0);
        let (rcvbuf, sndbuf) = match kind {
            // Those grow by themselves, unless an option was set.
            SocketKind::Tcp(_) => (None, None),
            SocketKind::Udp(_) | SocketKind::Unix(_) => {
                (Some(self.sysctls.rmem[0]), Some(self.sysctls.wmem[0]))
            }
        };
        let options = SocketOptions { rcvbuf, sndbuf, ..SocketOptions::default() };
        let (userlocks, net) = (BindLocks::default(), self.tasks[task].nsproxy.net);
        let errors = VecDeque::new();
        self.net.sockets.insert(Socket { userlocks, net, ty, kind, options, errors, uid, pid })
    }

    /// sock_alloc_file() with the flags of socket(2): the description for a new socket.
    pub fn sock_alloc_file(&mut self, task: TaskId, socket: SocketId, flags: u64) -> FileId {
        let nonblock =
            if flags & SOCK_NONBLOCK != 0 { OFlags::NONBLOCK } else { OFlags::default() };
        let mut file = File::new(FileKind::Socket(socket), OFlags::RDWR | nonblock);
        file.opened_by = Some(self.groups[self.tasks[task].group].tgid);
        self.files.insert(file)
    }

    fn install_socket(&mut self, call: &Call<'_>, socket: SocketId, flags: u64) -> SysResult {
        let file = self.sock_alloc_file(call.task, socket, flags);
        Ok(self.install_fd(call.task, file, flags & SOCK_CLOEXEC != 0)? as u64)
    }

    /// Looks at family, type and protocol of socket(2) and socketpair(2).
    fn sock_create(&mut self, call: &Call<'_>) -> Result<SocketId, Errno> {
        let (family, raw_type, protocol) = (call.arg(0), call.arg(1), call.arg(2));
        if raw_type & !(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
            return Err(Errno::EINVAL);
        }
        let raw = raw_type & SOCK_TYPE_MASK;
        let task = call.task;
        match u16::try_from(family) {
            Ok(AF_UNIX) => self.unix_create(task, raw, protocol),
            Ok(AF_INET | AF_INET6) if self.has_no_network(task) => {
                let what = "an internet socket in a network namespace of one's own";
                self.tell(Some(task), Fact::unsupported("socket", what));
                Err(Errno::EAFNOSUPPORT)
            }
            Ok(AF_INET) => self.inet_create(task, None, raw, protocol),
            Ok(AF_INET6) => {
                let v6only = self.sysctls.bindv6only & 1 != 0;
                let six = Inet6Options { v6only, ..Inet6Options::default() };
                self.inet_create(task, Some(six), raw, protocol)
            }
            Ok(family @ 3..=45) => {
                let what = format!("family {family}, type {raw}, protocol {protocol}");
                self.tell(Some(task), Fact::unsupported("socket", what));
                Err(Errno::EAFNOSUPPORT)
            }
            Ok(AF_UNSPEC | 46..) | Err(_) => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// inet_create(), inet6_create(): which protocol for which type.
    fn inet_create(
        &mut self,
        task: TaskId,
        six: Option<Inet6Options>,
        raw: u64,
        protocol: u64,
    ) -> Result<SocketId, Errno> {
        let any = match six {
            Some(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        match (raw, protocol) {
            (1, 0 | IPPROTO_TCP) => {
                let kind = SocketKind::Tcp(TcpSocket::new(self.net.sysctls.config.clone(), any));
                let socket = self.sock_alloc(task, SockType::Stream, kind);
                self.net.sockets[socket].options.inet6 = six;
                Ok(socket)
            }
            (2, 0 | IPPROTO_UDP) => {
                let kind = SocketKind::Udp(UdpSocket::new(any));
                let socket = self.sock_alloc(task, SockType::Dgram, kind);
                self.net.sockets[socket].options.inet6 = six;
                Ok(socket)
            }
            (1 | 2, _) => {
                let what = format!("internet socket of type {raw} protocol {protocol}");
                self.tell(Some(task), Fact::unsupported("socket", what));
                Err(Errno::EPROTONOSUPPORT)
            }
            (SOCK_RAW, _) => {
                if !self.tasks[task].cred.capable(Cap::NetRaw) {
                    return Err(Errno::EPERM);
                }
                let what = format!("raw IP socket, protocol {protocol}");
                self.tell(Some(task), Fact::unsupported("socket", what));
                Err(Errno::EPROTONOSUPPORT)
            }
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// socket(2).
    pub fn sys_socket(&mut self, call: &mut Call<'_>) -> SysResult {
        let socket = self.sock_create(call)?;
        let flags = call.arg(1);
        self.install_socket(call, socket, flags)
    }

    /// socketpair(2): AF_UNIX only (EOPNOTSUPP for others).
    pub fn sys_socketpair(&mut self, call: &mut Call<'_>) -> SysResult {
        let first = self.sock_create(call)?;
        let second = self.sock_create(call)?;
        let flags = call.arg(1);
        let unix = matches!(self.net.sockets[first].kind, SocketKind::Unix(_));
        let files = [first, second].map(|s| self.sock_alloc_file(call.task, s, flags));
        if !unix {
            for file in files {
                self.fput(Some(call.task), file);
            }
            return Err(Errno::EOPNOTSUPP.into());
        }
        self.unix_socketpair(call.task, first, second);
        let cloexec = flags & SOCK_CLOEXEC != 0;
        let fds = match self.install_fd(call.task, files[0], cloexec) {
            Ok(a) => match self.install_fd(call.task, files[1], cloexec) {
                Ok(b) => [a, b],
                Err(errno) => {
                    self.close_fd(call.task, a);
                    return Err(errno.into());
                }
            },
            Err(errno) => {
                self.fput(Some(call.task), files[1]);
                return Err(errno.into());
            }
        };
        let raw: Vec<u8> = fds.iter().flat_map(|fd| fd.to_le_bytes()).collect();
        let at = call.ptr(3);
        if let Err(errno) = call.write_user(at, &raw) {
            for fd in fds {
                self.close_fd(call.task, fd);
            }
            return Err(errno.into());
        }
        Ok(0)
    }

    fn close_fd(&mut self, task: TaskId, fd: i32) {
        if let Some(file) = self.table_mut(task).take(fd) {
            self.fput(Some(task), file);
        }
    }

    fn held_socket(&mut self, call: &mut Call<'_>) -> Result<(FileId, SocketId), Errno> {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        Ok((file, self.sock_of(file)?))
    }

    /// bind(2).
    pub fn sys_bind(&mut self, call: &mut Call<'_>) -> SysResult {
        let (_, socket) = self.held_socket(call)?;
        let (at, len) = (call.ptr(1), call.arg(2));
        let addr = SockAddr::read(call, at, len)?;
        self.inet6_length(socket, len)?;
        match (&self.net.sockets[socket].kind, addr) {
            (SocketKind::Unix(_), SockAddr::Unix(path)) => self.unix_bind(call, socket, &path)?,
            (SocketKind::Unix(_), _) => return Err(Errno::EINVAL.into()),
            (SocketKind::Tcp(_), addr) => {
                let at = self.inet_bind_address(call.task, socket, &addr)?;
                self.tcp_bind(socket, at)?;
                self.inet_bound(socket, at);
            }
            (SocketKind::Udp(_), addr) => {
                let at = self.inet_bind_address(call.task, socket, &addr)?;
                self.udp_bind(socket, at)?;
                self.inet_bound(socket, at);
            }
        }
        Ok(0)
    }

    /// A socket of AF_INET6 looks at an address's length before its family: EINVAL below 24.
    fn inet6_length(&self, socket: SocketId, len: u64) -> Result<(), Errno> {
        let six = self.net.sockets[socket].options.inet6.is_some();
        let short = (len as usize) < SIN6_LEN_RFC2133;
        if six && short { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// listen(2).
    pub fn sys_listen(&mut self, call: &mut Call<'_>) -> SysResult {
        let (_, socket) = self.held_socket(call)?;
        let backlog = (call.arg(1) as u32).min(self.sysctls.somaxconn);
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.inet_listen(call.task, socket, backlog)?,
            SocketKind::Unix(_) => self.unix_listen(call.task, socket, backlog)?,
            SocketKind::Udp(_) => return Err(Errno::EOPNOTSUPP.into()),
        }
        Ok(0)
    }

    /// accept(2).
    pub fn sys_accept(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_accept(call, 0)
    }

    /// accept4(2).
    pub fn sys_accept4(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(3);
        if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.do_accept(call, flags)
    }

    fn do_accept(&mut self, call: &mut Call<'_>, flags: u64) -> SysResult {
        let (file, socket) = self.held_socket(call)?;
        let wait = if self.files[file].flags.nonblock() { MsgFlags::DONTWAIT } else { MsgFlags(0) };
        let accepted = match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.inet_accept(call, socket, wait)?,
            SocketKind::Unix(_) => self.unix_accept(call, socket, wait)?,
            SocketKind::Udp(_) => return Err(Errno::EOPNOTSUPP.into()),
        };
        let new_file = self.sock_alloc_file(call.task, accepted, flags);
        let (at, len_at) = (call.ptr(1), call.ptr(2));
        if !at.is_null() {
            // A connection that was reset in the queue is returned all the same, with its
            // address (T-37; measured), although getpeername(2) no longer tells it.
            let name = match &self.net.sockets[accepted].kind {
                SocketKind::Tcp(_) => {
                    self.tcp_remote(accepted).map(|at| self.sockaddr(accepted, at))
                }
                SocketKind::Udp(_) | SocketKind::Unix(_) => self.sock_peername(accepted),
            };
            let name = name.map_err(|_| Errno::ECONNABORTED);
            let told = name.and_then(|name| name.write(call, at, len_at));
            if let Err(errno) = told {
                self.fput(Some(call.task), new_file);
                return Err(errno.into());
            }
        }
        Ok(self.install_fd(call.task, new_file, flags & SOCK_CLOEXEC != 0)? as u64)
    }

    /// connect(2).
    pub fn sys_connect(&mut self, call: &mut Call<'_>) -> SysResult {
        let (file, socket) = self.held_socket(call)?;
        let (at, len) = (call.ptr(1), call.arg(2));
        let addr = SockAddr::read(call, at, len)?;
        if self.net.sockets[socket].is_stream() && addr != SockAddr::Unspec {
            self.inet6_length(socket, len)?;
        }
        let nonblock = self.files[file].flags.nonblock();
        let acting = self.net.acting.replace(call.task);
        let result = match (&self.net.sockets[socket].kind, addr) {
            (SocketKind::Tcp(_), addr) => self.inet_stream_connect(call, socket, &addr, nonblock),
            (SocketKind::Udp(_), addr) => {
                self.udp_connect(socket, &addr).map(|()| 0).map_err(Into::into)
            }
            (SocketKind::Unix(_), addr) => self.unix_connect(call, socket, &addr, nonblock),
        };
        self.net_rx_action();
        self.net.acting = acting;
        result
    }

    fn sock_name(&self, socket: SocketId) -> SockAddr {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.sockaddr(socket, self.tcp_name(socket)),
            SocketKind::Udp(udp) => self.sockaddr(socket, udp.local),
            SocketKind::Unix(_) => SockAddr::Unix(self.unix_name(socket)),
        }
    }

    fn sock_peername(&self, socket: SocketId) -> Result<SockAddr, Errno> {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_peername(socket).map(|at| self.sockaddr(socket, at)),
            SocketKind::Udp(udp) => {
                udp.peer.map(|at| self.sockaddr(socket, at)).ok_or(Errno::ENOTCONN)
            }
            SocketKind::Unix(_) => self.unix_peername(socket).map(SockAddr::Unix),
        }
    }

    /// getsockname(2).
    pub fn sys_getsockname(&mut self, call: &mut Call<'_>) -> SysResult {
        let (_, socket) = self.held_socket(call)?;
        let (at, len_at) = (call.ptr(1), call.ptr(2));
        self.sock_name(socket).write(call, at, len_at)?;
        Ok(0)
    }

    /// getpeername(2).
    pub fn sys_getpeername(&mut self, call: &mut Call<'_>) -> SysResult {
        let (_, socket) = self.held_socket(call)?;
        let (at, len_at) = (call.ptr(1), call.ptr(2));
        self.sock_peername(socket)?.write(call, at, len_at)?;
        Ok(0)
    }

    /// shutdown(2): at once for all who share the socket, unlike close (T-47).
    pub fn sys_shutdown(&mut self, call: &mut Call<'_>) -> SysResult {
        let (_, socket) = self.held_socket(call)?;
        let how = call.arg(1) as u32;
        if how > 2 {
            return Err(Errno::EINVAL.into());
        }
        let (rd, wr) = (how != 1, how != 0);
        let acting = self.net.acting.replace(call.task);
        let result = match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.inet_shutdown(socket, rd, wr),
            SocketKind::Udp(_) => self.udp_shutdown(socket, rd, wr),
            SocketKind::Unix(_) => self.unix_shutdown(socket, rd, wr),
        };
        self.net_rx_action();
        self.net.acting = acting;
        result?;
        Ok(0)
    }
}
