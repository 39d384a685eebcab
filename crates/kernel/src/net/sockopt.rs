//! setsockopt and getsockopt: socket(7), ip(7), ipv6(7), tcp(7), as far as something here looks at the
//! value. An option that is not in these tables is told as unsupported and refused with
//! ENOPROTOOPT, as by a Linux without it. Hints without observable effect are stored and returned.

use crate::abi::Errno;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::net::sockaddr::{AF_INET, AF_INET6, AF_UNIX};
use crate::net::socket::{SocketId, SocketKind};
use crate::net::tcp::TICK;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::task::{Pid, TaskId};
use crate::time::Duration;
use linux_raw_sys::net as raw;

const SOL_SOCKET: i32 = 1;
const SOL_IP: i32 = 0;
const SOL_IPV6: i32 = 41;
const SOL_TCP: i32 = 6;

/// SOCK_MIN_SNDBUF: the least send buffer in bytes.
pub(crate) const MIN_SNDBUF: u32 = 4608;
/// The same of receive buffers.
pub(crate) const MIN_RCVBUF: u32 = 2304;

/// The options of `timestamping` that are switches.
const TIMESTAMPS: [u32; 5] = [
    raw::SO_TIMESTAMP_OLD,
    raw::SO_TIMESTAMP_NEW,
    raw::SO_TIMESTAMPNS_OLD,
    raw::SO_TIMESTAMPNS_NEW,
    raw::SO_SELECT_ERR_QUEUE,
];

fn duration_from_timeval(raw: &[u8]) -> Result<Option<Duration>, Errno> {
    if raw.len() < 16 {
        return Err(Errno::EINVAL);
    }
    let word = |i: usize| i64::from_le_bytes(raw[i..i + 8].try_into().expect("8 bytes"));
    let (sec, usec) = (word(0), word(8));
    if !(0..1_000_000).contains(&usec) {
        return Err(Errno::EDOM);
    }
    if sec < 0 || (sec == 0 && usec == 0) {
        // Negative means "at once" on Linux, which for a socket is the same as for ever of zero
        // length; 0 switches the timeout off.
        return Ok(if sec < 0 { Some(Duration::ZERO) } else { None });
    }
    // Kept in ticks of the timer, rounded up.
    let tick = TICK.as_micros() as u64;
    let usec = (usec as u64).div_ceil(tick) * tick;
    Ok(Some(Duration::from_secs(sec as u64) + Duration::from_micros(usec)))
}

fn timeval(timeo: Option<Duration>) -> Vec<u8> {
    let t = timeo.unwrap_or_default();
    let mut raw = (t.as_secs() as i64).to_le_bytes().to_vec();
    raw.extend_from_slice(&i64::from(t.subsec_micros()).to_le_bytes());
    raw
}

impl Kernel {
    /// setsockopt(2).
    pub fn sys_setsockopt(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        let (level, name, at) = (call.int(1), call.int(2), call.ptr(3));
        let len = call.int(4);
        if len < 0 {
            return Err(Errno::EINVAL.into());
        }
        let value = call.read_bytes(at, (len as usize).min(256))?;
        let acting = self.net.acting.replace(call.task);
        let result = match level {
            SOL_SOCKET => self.set_socket_option(socket, name as u32, &value),
            SOL_TCP if self.is_tcp(socket) => self.set_tcp_option(socket, name as u32, &value),
            SOL_IP if self.is_inet(socket) => self.set_ip_option(socket, name as u32, &value),
            SOL_IPV6 => self.set_ipv6_option(socket, name as u32, &value),
            _ => Err(Errno::ENOPROTOOPT),
        };
        self.net_rx_action();
        self.net.acting = acting;
        if let Err(Errno::ENOPROTOOPT) = result {
            self.tell_option(call, "setsockopt", level, name);
        }
        result?;
        Ok(0)
    }

    fn tell_option(&mut self, call: &Call<'_>, which: &str, level: i32, name: i32) {
        let what = format!("level {level}, option {name}");
        self.tell(Some(call.task), Fact::unsupported(which, what));
    }

    pub(super) fn is_tcp(&self, socket: SocketId) -> bool {
        matches!(self.net.sockets[socket].kind, SocketKind::Tcp(_))
    }

    fn is_inet(&self, socket: SocketId) -> bool {
        !matches!(self.net.sockets[socket].kind, SocketKind::Unix(_))
    }

    fn set_socket_option(
        &mut self,
        socket: SocketId,
        name: u32,
        value: &[u8],
    ) -> Result<(), Errno> {
        match name {
            raw::SO_LINGER => return self.set_linger(socket, value),
            raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => {
                self.net.sockets[socket].options.rcvtimeo = duration_from_timeval(value)?;
                return Ok(());
            }
            raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => {
                self.net.sockets[socket].options.sndtimeo = duration_from_timeval(value)?;
                return Ok(());
            }
            raw::SO_TIMESTAMPING_OLD | raw::SO_TIMESTAMPING_NEW if self.is_inet(socket) => {
                return self.sock_set_timestamping(socket, name, value);
            }
            _ => {}
        }
        let int = int_option(value)?;
        let on = int != 0;
        if self.is_inet(socket) && TIMESTAMPS.contains(&name) {
            self.sock_set_timestamp(socket, name, on);
            return Ok(());
        }
        let privileged =
            self.net.acting.is_some_and(|task| self.tasks[task].cred.capable(Cap::NetAdmin));
        let (rmem_max, wmem_max) = (self.sysctls.rmem[1], self.sysctls.wmem[1]);
        let options = &mut self.net.sockets[socket].options;
        match name {
            raw::SO_REUSEADDR => options.reuseaddr = on,
            raw::SO_REUSEPORT => options.reuseport = on,
            raw::SO_KEEPALIVE => options.keepalive = on,
            raw::SO_BROADCAST => options.broadcast = on,
            raw::SO_OOBINLINE => options.oobinline = on,
            raw::SO_PASSCRED => options.passcred = on,
            raw::SO_DONTROUTE => options.dontroute = on,
            raw::SO_RCVLOWAT => {
                options.rcvlowat = if int < 0 { i32::MAX as u32 } else { int.max(1) as u32 };
            }
            // A negative size is more than any.
            raw::SO_SNDBUF => options.sndbuf = Some(doubled(int as u32, wmem_max, MIN_SNDBUF)),
            raw::SO_RCVBUF => options.rcvbuf = Some(doubled(int as u32, rmem_max, MIN_RCVBUF)),
            raw::SO_SNDBUFFORCE | raw::SO_RCVBUFFORCE if !privileged => return Err(Errno::EPERM),
            raw::SO_SNDBUFFORCE => {
                options.sndbuf = Some(doubled(int.max(0) as u32, u32::MAX, MIN_SNDBUF));
            }
            raw::SO_RCVBUFFORCE => {
                options.rcvbuf = Some(doubled(int.max(0) as u32, u32::MAX, MIN_RCVBUF));
            }
            // A hint: nothing here queues by priority.
            raw::SO_PRIORITY if (0..=6).contains(&int) || privileged => {
                options.priority = int as u32;
            }
            raw::SO_PRIORITY => return Err(Errno::EPERM),
            raw::SO_TYPE | raw::SO_PROTOCOL | raw::SO_DOMAIN | raw::SO_ERROR => {
                return Err(Errno::ENOPROTOOPT);
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.socket_options_changed(socket);
        Ok(())
    }

    fn set_linger(&mut self, socket: SocketId, value: &[u8]) -> Result<(), Errno> {
        if value.len() < 8 {
            return Err(Errno::EINVAL);
        }
        let on = int_option(value)? != 0;
        let seconds = int_option(&value[4..])?;
        // A negative time is for ever, as Linux's MAX_SCHEDULE_TIMEOUT.
        let time =
            u64::try_from(seconds).map_or(Duration::from_secs(u64::MAX / 4), Duration::from_secs);
        self.net.sockets[socket].options.linger = on.then_some(time);
        Ok(())
    }

    /// getsockopt(2).
    pub fn sys_getsockopt(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        let (level, name) = (call.int(1), call.int(2));
        let (at, len_at) = (call.ptr(3), call.ptr(4));
        let room = call.read_u32(len_at)? as i32;
        if room < 0 {
            return Err(Errno::EINVAL.into());
        }
        let result = match level {
            SOL_SOCKET => self.get_socket_option(call.task, socket, name as u32),
            SOL_TCP if self.is_tcp(socket) => self.get_tcp_option(socket, name as u32),
            SOL_IP if self.is_inet(socket) => self.get_ip_option(socket, name as u32),
            SOL_IPV6 if self.is_inet(socket) => self.get_ipv6_option(socket, name as u32),
            _ => Err(Errno::ENOPROTOOPT),
        };
        if let Err(Errno::ENOPROTOOPT) = result {
            self.tell_option(call, "getsockopt", level, name);
        }
        let mut value = result?;
        if matches!(level, SOL_IP | SOL_IPV6) && room < 4 && value[1..] == [0; 3] {
            value.truncate(1); // as a byte where an int has no room
        }
        let len = value.len().min(room as usize);
        call.write_user(at, &value[..len])?;
        call.write_u32(len_at, len as u32)?;
        Ok(0)
    }

    fn get_socket_option(
        &mut self,
        task: TaskId,
        socket: SocketId,
        name: u32,
    ) -> Result<Vec<u8>, Errno> {
        if name == raw::SO_ERROR {
            let errno = self.sock_error(socket);
            return Ok(errno.map_or(0, Errno::raw).to_le_bytes().to_vec());
        }
        let s = &self.net.sockets[socket];
        let o = &s.options;
        let protocol = match s.kind {
            SocketKind::Tcp(_) => 6,
            SocketKind::Udp(_) => 17,
            SocketKind::Unix(_) => 0,
        };
        let domain = match (&s.kind, o.inet6) {
            (SocketKind::Unix(_), _) => AF_UNIX,
            (SocketKind::Tcp(_) | SocketKind::Udp(_), None) => AF_INET,
            (SocketKind::Tcp(_) | SocketKind::Udp(_), Some(_)) => AF_INET6,
        };
        let inet = self.is_inet(socket);
        let number = match name {
            name if inet && TIMESTAMPS.contains(&name) => self.sock_get_timestamp(socket, name),
            raw::SO_TIMESTAMPING_OLD | raw::SO_TIMESTAMPING_NEW if inet => {
                return Ok(self.sock_get_timestamping(socket, name));
            }
            raw::SO_TYPE => s.ty.number(),
            raw::SO_PROTOCOL => protocol,
            raw::SO_DOMAIN => u32::from(domain),
            raw::SO_REUSEADDR => o.reuseaddr.into(),
            raw::SO_REUSEPORT => o.reuseport.into(),
            raw::SO_KEEPALIVE => o.keepalive.into(),
            raw::SO_BROADCAST => o.broadcast.into(),
            raw::SO_OOBINLINE => o.oobinline.into(),
            raw::SO_PASSCRED => o.passcred.into(),
            raw::SO_DONTROUTE => o.dontroute.into(),
            raw::SO_RCVLOWAT => o.rcvlowat,
            raw::SO_SNDLOWAT => 1,
            raw::SO_PRIORITY => o.priority,
            raw::SO_SNDBUF => self.sock_sndbuf(socket),
            raw::SO_RCVBUF => self.sock_rcvbuf(socket),
            raw::SO_ACCEPTCONN => self.sock_is_listening(socket).into(),
            raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => return Ok(timeval(o.rcvtimeo)),
            raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => return Ok(timeval(o.sndtimeo)),
            raw::SO_LINGER => {
                let seconds = o.linger.map_or(0, |l| l.as_secs().min(i32::MAX as u64) as u32);
                let mut value = u32::from(o.linger.is_some()).to_le_bytes().to_vec();
                value.extend_from_slice(&seconds.to_le_bytes());
                return Ok(value);
            }
            raw::SO_MEMINFO => return Ok(self.sk_get_meminfo(socket)),
            raw::SO_PEERCRED => return self.sock_peercred(task, socket),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_le_bytes().to_vec())
    }

    fn sock_error(&mut self, socket: SocketId) -> Option<Errno> {
        match &mut self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_take_error(socket),
            SocketKind::Udp(udp) => udp.error.take(),
            SocketKind::Unix(_) => self.unix_take_error(socket),
        }
    }

    fn sock_is_listening(&self, socket: SocketId) -> bool {
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(tcp) => tcp.is_listening(),
            SocketKind::Udp(_) => false,
            SocketKind::Unix(_) => self.unix_is_listening(socket),
        }
    }

    fn sock_sndbuf(&self, socket: SocketId) -> u32 {
        let set = self.net.sockets[socket].options.sndbuf;
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_sndbuf(socket),
            SocketKind::Udp(_) | SocketKind::Unix(_) => set.unwrap_or(self.sysctls.wmem[0]),
        }
    }

    /// SO_RCVBUF.
    pub(super) fn sock_rcvbuf(&self, socket: SocketId) -> u32 {
        let set = self.net.sockets[socket].options.rcvbuf;
        match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_rcvbuf(socket),
            SocketKind::Udp(_) | SocketKind::Unix(_) => set.unwrap_or(self.sysctls.rmem[0]),
        }
    }

    /// sk_get_meminfo(): what is received and its limit, what is being sent and its limit. Nothing is
    /// reserved ahead here, nor waits for a busy socket, nor is counted when dropped.
    fn sk_get_meminfo(&self, socket: SocketId) -> Vec<u8> {
        let (received, queued) = match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_memory(socket),
            SocketKind::Udp(_) | SocketKind::Unix(_) => (0, 0),
        };
        let (rcvbuf, sndbuf) = (self.sock_rcvbuf(socket), self.sock_sndbuf(socket));
        let words = [received, rcvbuf, 0, sndbuf, 0, queued, 0, 0, 0];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn sock_peercred(&self, task: TaskId, socket: SocketId) -> Result<Vec<u8>, Errno> {
        let [pid, uid, gid] = match &self.net.sockets[socket].kind {
            SocketKind::Unix(_) => {
                let [pid, uid, gid] = self.unix_peercred(socket);
                [
                    self.pid_vnr(task, Pid(pid)),
                    self.uid_seen_by(task, uid),
                    self.gid_seen_by(task, gid),
                ]
            }
            // sk_peer_pid is never set: pid 0 and the overflow ids of "nobody".
            SocketKind::Tcp(_) | SocketKind::Udp(_) => [0, u32::MAX, u32::MAX],
        };
        Ok([pid, uid, gid].iter().flat_map(|v| v.to_le_bytes()).collect())
    }
}

/// What SO_SNDBUF and SO_RCVBUF make of a size: doubled for what is kept beside the bytes.
fn doubled(asked: u32, most: u32, least: u32) -> u32 {
    (asked.min(most).min(i32::MAX as u32 / 2) * 2).max(least)
}

/// The `int` at the beginning of an option's value; EINVAL when it is too short.
pub(super) fn int_option(value: &[u8]) -> Result<i32, Errno> {
    let bytes = value.get(..4).ok_or(Errno::EINVAL)?;
    Ok(i32::from_le_bytes(bytes.try_into().expect("4 bytes")))
}
