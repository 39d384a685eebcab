//! Sending and receiving: sendto, sendmsg, sendmmsg, recvfrom, recvmsg, recvmmsg. The header and
//! the iovec are imported once, at entry; the families do the rest (`tcp_sendmsg`, `udp_sendmsg`,
//! `unix_sendmsg` and their counterparts). Follows send(2), recv(2).

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::fact::Fact;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::net::sockaddr::SockAddr;
use crate::net::socket::{SocketId, SocketKind, SocketProgress};
use crate::net::timestamping::tx_ask;
use crate::platform::UserPtr;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Progress, Restart, Stop, SysResult};

/// MSG_* flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MsgFlags(pub u32);

#[allow(missing_docs)]
impl MsgFlags {
    pub const OOB: MsgFlags = MsgFlags(1);
    pub const PEEK: MsgFlags = MsgFlags(2);
    pub const DONTROUTE: MsgFlags = MsgFlags(4);
    pub const CTRUNC: MsgFlags = MsgFlags(8);
    pub const TRUNC: MsgFlags = MsgFlags(0x20);
    pub const DONTWAIT: MsgFlags = MsgFlags(0x40);
    pub const EOR: MsgFlags = MsgFlags(0x80);
    pub const WAITALL: MsgFlags = MsgFlags(0x100);
    pub const NOSIGNAL: MsgFlags = MsgFlags(0x4000);
    pub const MORE: MsgFlags = MsgFlags(0x8000);
    pub const WAITFORONE: MsgFlags = MsgFlags(0x10000);
    pub const ERRQUEUE: MsgFlags = MsgFlags(0x2000);
    pub const FASTOPEN: MsgFlags = MsgFlags(0x2000_0000);
    pub const ZEROCOPY: MsgFlags = MsgFlags(0x400_0000);
    pub const CMSG_CLOEXEC: MsgFlags = MsgFlags(0x4000_0000);

    /// True when any bit of `other` is set.
    pub const fn has(self, other: MsgFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: MsgFlags) -> MsgFlags {
        MsgFlags(self.0 | other.0)
    }
}

/// One ancillary message (cmsg(3)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlMessage {
    /// cmsg_level.
    pub level: i32,
    /// cmsg_type.
    pub kind: i32,
    /// Its data, without header and padding.
    pub data: Vec<u8>,
}

/// What a send imported at entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The bytes' places.
    pub iov: IoVec,
    /// To whom.
    pub to: Option<SockAddr>,
    /// Ancillary data.
    pub control: Vec<ControlMessage>,
}

/// What a receive imported at entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// Where the bytes go.
    pub iov: IoVec,
    /// Where the address goes: msg_name, and how much room there is.
    pub name: (UserPtr, u32),
    /// Where ancillary data goes, and how much room there is.
    pub control: (UserPtr, u64),
    /// The msghdr itself, for the lengths and flags that come back.
    pub header: UserPtr,
}

/// What a receive got.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// What the call returns.
    pub len: usize,
    /// From whom, where the family says so.
    pub from: Option<SockAddr>,
    /// msg_flags.
    pub flags: MsgFlags,
    /// Ancillary data.
    pub control: Vec<ControlMessage>,
    /// Descriptions that came with SCM_RIGHTS; each holds a reference that passes to the receiver.
    pub rights: Vec<FileId>,
}

const MSGHDR_LEN: usize = 56;
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;

impl Kernel {
    /// sock_sendmsg(): to the family. EPIPE comes with SIGPIPE where the family says so, unless
    /// MSG_NOSIGNAL (T-43).
    pub fn sock_sendmsg(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
        to: Option<&SockAddr>,
        control: &[ControlMessage],
    ) -> SysResult {
        // MSG_ZEROCOPY means nothing without SO_ZEROCOPY, which is refused.
        let acting = self.net.acting.replace(call.task);
        let result = match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => match self.sock_cmsg_send(call, socket, control) {
                Ok(stamps) => self.tcp_sendmsg(call, socket, iov, flags, to, tx_ask(stamps)),
                Err(errno) => Err(errno.into()),
            },
            SocketKind::Udp(_) => self.udp_sendmsg(call, socket, iov, flags, to, control),
            SocketKind::Unix(_) => self.unix_sendmsg(call, socket, iov, flags, to, control),
        };
        self.net_rx_action();
        self.net.acting = acting;
        result
    }

    /// sock_recvmsg(): from the family.
    pub fn sock_recvmsg(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        iov: &IoVec,
        flags: MsgFlags,
    ) -> Result<Received, Stop> {
        if flags.has(MsgFlags::ERRQUEUE) {
            return self.inet_recv_error(call, socket, iov);
        }
        let acting = self.net.acting.replace(call.task);
        let result = match &self.net.sockets[socket].kind {
            SocketKind::Tcp(_) => self.tcp_recvmsg(call, socket, iov, flags),
            SocketKind::Udp(_) => self.udp_recvmsg(call, socket, iov, flags),
            SocketKind::Unix(_) => self.unix_recvmsg(call, socket, iov, flags),
        };
        self.net_rx_action();
        self.net.acting = acting;
        result
    }

    /// EPIPE with its signal: SI_USER-like, thread-directed (rule S-46, T-43).
    pub fn sk_stream_error(&mut self, call: &Call<'_>, flags: MsgFlags, errno: Errno) -> Stop {
        if errno == Errno::EPIPE && !flags.has(MsgFlags::NOSIGNAL) {
            self.send_sig(Signal::SIGPIPE, call.task);
        }
        Stop::Errno(errno)
    }

    fn msg_flags(&self, file: FileId, raw: u64) -> MsgFlags {
        let flags = MsgFlags(raw as u32);
        if self.files[file].flags.nonblock() { flags.with(MsgFlags::DONTWAIT) } else { flags }
    }

    /// sendto(2), and send(2), which glibc makes of it.
    pub fn sys_sendto(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        let outgoing = match &call.flight.progress {
            Progress::Socket(SocketProgress::Send(o)) => o.as_ref().clone(),
            _ => {
                let (at, len) = (call.ptr(4), call.arg(5));
                let to = if at.is_null() { None } else { Some(SockAddr::read(call, at, len)?) };
                let iov = IoVec::single(call.ptr(1), call.arg(2));
                self.keep_outgoing(call, Outgoing { iov, to, control: Vec::new() })
            }
        };
        let flags = self.msg_flags(file, call.arg(3));
        self.sock_sendmsg(call, socket, &outgoing.iov, flags, outgoing.to.as_ref(), &[])
    }

    fn keep_outgoing(&self, call: &mut Call<'_>, outgoing: Outgoing) -> Outgoing {
        call.flight.progress = Progress::Socket(SocketProgress::Send(Box::new(outgoing.clone())));
        outgoing
    }

    /// sendmsg(2).
    pub fn sys_sendmsg(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        let flags = self.msg_flags(file, call.arg(2));
        let header = call.ptr(1);
        self.send_one(call, socket, header, flags)
    }

    fn send_one(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        header: UserPtr,
        flags: MsgFlags,
    ) -> SysResult {
        let outgoing = match &call.flight.progress {
            Progress::Socket(SocketProgress::Send(o)) => o.as_ref().clone(),
            _ => {
                let imported = import_outgoing(call, header)?;
                self.keep_outgoing(call, imported)
            }
        };
        let Outgoing { iov, to, control } = outgoing;
        self.sock_sendmsg(call, socket, &iov, flags, to.as_ref(), &control)
    }

    /// sendmmsg(2): as many as go; the error of a later one is told by the next call.
    pub fn sys_sendmmsg(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        let flags = self.msg_flags(file, call.arg(3));
        let (vec, count) = (call.ptr(1), call.arg(2).min(1024) as usize);
        while call.flight.messages < count {
            let header = vec.add(call.flight.messages as u64 * 64);
            match self.send_one(call, socket, header, flags) {
                Ok(len) => {
                    call.write_u32(header.add(MSGHDR_LEN as u64), len as u32)?;
                    call.flight.messages += 1;
                    call.flight.moved = 0;
                    call.flight.progress = Progress::Fresh;
                }
                Err(stop) => return Err(after_messages(stop, call.flight.messages)),
            }
        }
        Ok(call.flight.messages as u64)
    }

    /// recvfrom(2), and recv(2), which glibc makes of it.
    pub fn sys_recvfrom(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        let iov = IoVec::single(call.ptr(1), call.arg(2));
        let flags = self.msg_flags(file, call.arg(3));
        let received = self.sock_recvmsg(call, socket, &iov, flags)?;
        self.drop_rights(call, &received);
        let (at, len_at) = (call.ptr(4), call.ptr(5));
        if !at.is_null() {
            match &received.from {
                Some(from) => from.write(call, at, len_at)?,
                None => call.write_u32(len_at, 0)?,
            }
        }
        Ok(received.len as u64)
    }

    /// A receive without room for ancillary data loses the descriptors that came with it.
    pub fn drop_rights(&mut self, call: &Call<'_>, received: &Received) {
        for file in &received.rights {
            self.fput(Some(call.task), *file);
        }
    }

    /// recvmsg(2).
    pub fn sys_recvmsg(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        let flags = self.msg_flags(file, call.arg(2));
        let header = call.ptr(1);
        self.recv_one(call, socket, header, flags)
    }

    fn recv_one(
        &mut self,
        call: &mut Call<'_>,
        socket: SocketId,
        header: UserPtr,
        flags: MsgFlags,
    ) -> SysResult {
        let incoming = match &call.flight.progress {
            Progress::Socket(SocketProgress::Recv(i)) => i.as_ref().clone(),
            _ => {
                let imported = import_incoming(call, header)?;
                let kept = SocketProgress::Recv(Box::new(imported.clone()));
                call.flight.progress = Progress::Socket(kept);
                imported
            }
        };
        let received = self.sock_recvmsg(call, socket, &incoming.iov, flags)?;
        self.finish_recvmsg(call, &incoming, flags, received)
    }

    /// Writes back name, control messages and flags.
    fn finish_recvmsg(
        &mut self,
        call: &mut Call<'_>,
        incoming: &Incoming,
        flags: MsgFlags,
        received: Received,
    ) -> SysResult {
        let mut out_flags = received.flags.with(MsgFlags(flags.0 & MsgFlags::CMSG_CLOEXEC.0));
        let (name_at, room) = incoming.name;
        if !name_at.is_null() {
            let raw = received.from.as_ref().map(SockAddr::encode).unwrap_or_default();
            call.write_user(name_at, &raw[..raw.len().min(room as usize)])?;
            call.write_u32(incoming.header.add(8), raw.len() as u32)?;
        }
        let (control_at, control_room) = incoming.control;
        let mut used = 0u64;
        for message in &received.control {
            used = put_cmsg(call, control_at, control_room, used, message, &mut out_flags)?;
        }
        if !received.rights.is_empty() {
            let cloexec = flags.has(MsgFlags::CMSG_CLOEXEC);
            let room = (control_at, control_room);
            used =
                self.scm_detach_fds(call, &received.rights, room, used, cloexec, &mut out_flags)?;
        }
        call.write_u64(incoming.header.add(40), used)?;
        call.write_u32(incoming.header.add(48), out_flags.0)?;
        Ok(received.len as u64)
    }

    /// scm_detach_fds(): installs as many as there is room for and drops the rest (MSG_CTRUNC).
    fn scm_detach_fds(
        &mut self,
        call: &mut Call<'_>,
        rights: &[FileId],
        (at, room): (UserPtr, u64),
        used: u64,
        cloexec: bool,
        flags: &mut MsgFlags,
    ) -> Result<u64, Errno> {
        let fits = (room.saturating_sub(used + 16) / 4).min(rights.len() as u64) as usize;
        let mut data = Vec::new();
        for (i, file) in rights.iter().enumerate() {
            if i >= fits {
                *flags = flags.with(MsgFlags::CTRUNC);
                self.fput(Some(call.task), *file);
                continue;
            }
            match self.install_fd(call.task, *file, cloexec) {
                Ok(fd) => data.extend_from_slice(&fd.to_le_bytes()),
                Err(_) => *flags = flags.with(MsgFlags::CTRUNC),
            }
        }
        if data.is_empty() {
            return Ok(used);
        }
        let message = ControlMessage { level: SOL_SOCKET, kind: SCM_RIGHTS, data };
        put_cmsg(call, at, room, used, &message, flags)
    }

    /// recvmmsg(2). The timeout is looked at after each message, as Linux does.
    pub fn sys_recvmmsg(&mut self, call: &mut Call<'_>) -> SysResult {
        let fd = call.int(0);
        let file = self.fdget(call, fd)?;
        let socket = self.sock_of(file)?;
        if !call.ptr(4).is_null() {
            self.tell(Some(call.task), Fact::unsupported("recvmmsg with a timeout", ""));
            return Err(Errno::EINVAL.into());
        }
        let mut flags = self.msg_flags(file, call.arg(3));
        let (vec, count) = (call.ptr(1), call.arg(2).min(1024) as usize);
        while call.flight.messages < count {
            if call.flight.messages > 0 && flags.has(MsgFlags::WAITFORONE) {
                flags = flags.with(MsgFlags::DONTWAIT);
            }
            let header = vec.add(call.flight.messages as u64 * 64);
            match self.recv_one(call, socket, header, flags) {
                Ok(len) => {
                    call.write_u32(header.add(MSGHDR_LEN as u64), len as u32)?;
                    call.flight.messages += 1;
                    call.flight.moved = 0;
                    call.flight.progress = Progress::Fresh;
                }
                Err(stop) => return Err(after_messages(stop, call.flight.messages)),
            }
        }
        Ok(call.flight.messages as u64)
    }
}

/// sendmmsg and recvmmsg return how many messages were done before whatever stopped them, an error
/// or a signal; the message in the middle counts if bytes of it moved.
fn after_messages(stop: Stop, done: usize) -> Stop {
    match stop {
        Stop::Errno(_) if done > 0 => Stop::Done(done as u64),
        Stop::Done(_) => Stop::Done(done as u64 + 1),
        Stop::Wait(wait) if matches!(wait.restart, Restart::Done(_)) => {
            wait.with_restart(Restart::Done(done as u64 + 1)).into()
        }
        Stop::Wait(wait) if done > 0 => wait.with_restart(Restart::Done(done as u64)).into(),
        Stop::Errno(_) | Stop::Wait(_) | Stop::NoReturn => stop,
    }
}

struct RawHeader {
    name: UserPtr,
    name_len: u32,
    iov: IoVec,
    control: UserPtr,
    control_len: u64,
}

fn import_header(call: &mut Call<'_>, at: UserPtr) -> Result<RawHeader, Errno> {
    let raw: [u8; MSGHDR_LEN] = call.read_array(at)?;
    let word = |i: usize| u64::from_le_bytes(raw[i..i + 8].try_into().expect("8 bytes"));
    let name_len = word(8) as u32;
    if (name_len as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    if word(24) > 1024 {
        return Err(Errno::EMSGSIZE);
    }
    let iov = IoVec::import(call, UserPtr(word(16)), word(24))?;
    Ok(RawHeader {
        name: UserPtr(word(0)),
        name_len: if word(0) == 0 { 0 } else { name_len.min(128) },
        iov,
        control: UserPtr(word(32)),
        control_len: word(40),
    })
}

fn import_outgoing(call: &mut Call<'_>, at: UserPtr) -> Result<Outgoing, Errno> {
    let header = import_header(call, at)?;
    let to = if header.name_len == 0 {
        None
    } else {
        Some(SockAddr::read(call, header.name, u64::from(header.name_len))?)
    };
    let control = if header.control_len == 0 {
        Vec::new()
    } else {
        if header.control_len > 131_072 {
            return Err(Errno::ENOBUFS);
        }
        parse_cmsgs(&call.read_bytes(header.control, header.control_len as usize)?)?
    };
    Ok(Outgoing { iov: header.iov, to, control })
}

fn import_incoming(call: &mut Call<'_>, at: UserPtr) -> Result<Incoming, Errno> {
    let header = import_header(call, at)?;
    Ok(Incoming {
        iov: header.iov,
        name: (header.name, header.name_len),
        control: (header.control, header.control_len),
        header: at,
    })
}

/// CMSG_FIRSTHDR, CMSG_NXTHDR. EINVAL for a header that does not fit.
fn parse_cmsgs(mut raw: &[u8]) -> Result<Vec<ControlMessage>, Errno> {
    let mut messages = Vec::new();
    while raw.len() >= 16 {
        let len = u64::from_le_bytes(raw[..8].try_into().expect("8 bytes"));
        let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        if len < 16 || len > raw.len() {
            return Err(Errno::EINVAL);
        }
        let int = |i: usize| i32::from_le_bytes(raw[i..i + 4].try_into().expect("4 bytes"));
        messages.push(ControlMessage { level: int(8), kind: int(12), data: raw[16..len].to_vec() });
        raw = raw.get(len.next_multiple_of(8)..).unwrap_or(&[]);
    }
    Ok(messages)
}

/// put_cmsg(): appends one message at `used`; what does not fit is cut (MSG_CTRUNC).
fn put_cmsg(
    call: &mut Call<'_>,
    at: UserPtr,
    room: u64,
    used: u64,
    message: &ControlMessage,
    flags: &mut MsgFlags,
) -> Result<u64, Errno> {
    let left = room.saturating_sub(used);
    if at.is_null() || left < 16 {
        *flags = flags.with(MsgFlags::CTRUNC);
        return Ok(used);
    }
    let mut len = 16 + message.data.len() as u64;
    if len > left {
        *flags = flags.with(MsgFlags::CTRUNC);
        len = left;
    }
    let mut raw = len.to_le_bytes().to_vec();
    raw.extend_from_slice(&message.level.to_le_bytes());
    raw.extend_from_slice(&message.kind.to_le_bytes());
    raw.extend_from_slice(&message.data[..(len - 16) as usize]);
    call.write_user(at.add(used), &raw)?;
    Ok(used + len.next_multiple_of(8).min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_found_at_their_aligned_places() {
        let mut raw = 20u64.to_le_bytes().to_vec();
        raw.extend_from_slice(&1i32.to_le_bytes());
        raw.extend_from_slice(&1i32.to_le_bytes());
        raw.extend_from_slice(&7i32.to_le_bytes());
        raw.extend_from_slice(&[0; 4]);
        raw.extend_from_slice(&16u64.to_le_bytes());
        raw.extend_from_slice(&[0; 8]);
        let messages = parse_cmsgs(&raw).unwrap();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].data, 7i32.to_le_bytes());
        assert_eq!(parse_cmsgs(&[1; 16]), Err(Errno::EINVAL));
    }
}
