//! A call in progress: its number, arguments and everything that it has done so far ([`InFlight`],
//! which is data), and its handler's view of it ([`Call`]) with the copies from and to the user.
//! Linux copies what it needs at entry; so do handlers here, into the record, so that another
//! thread cannot change it between two runs.

use crate::abi::Errno;
use crate::fs::file::FileId;
use crate::platform::{GuestId, Platform, UserPtr};
use crate::task::TaskId;
use crate::time::Instant;

/// A file that a call holds while it is in progress (rule F-5), and the descriptor it came by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The descriptor as the guest named it.
    pub fd: i32,
    /// The description.
    pub file: FileId,
}

/// What a handler needs to remember between two runs. Each room has its own variants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Progress {
    /// Nothing yet.
    #[default]
    Fresh,
    /// Bytes that were copied from the user at entry and are still to be moved.
    Bytes(bytes::Bytes),
    /// The state of a poll, select or epoll_wait.
    Poll(crate::fs::poll::PollProgress),
    /// The state of a futex wait.
    Futex(crate::task::futex::FutexProgress),
    /// The state of a socket call.
    Socket(crate::net::socket::SocketProgress),
    /// A child that a vfork waits for.
    Vfork {
        /// Its task, as long as it is there.
        child: TaskId,
        /// Its number, which the call returns.
        pid: crate::task::Pid,
    },
    /// wait4 or waitid, and for which children.
    Wait(crate::task::wait::WaitOpts),
    /// What a sendfile or splice has read and not yet written.
    Splice(Box<crate::fs::sendfile::SpliceProgress>),
    /// A sleep's deadline was taken.
    Sleep,
    /// It waits in a queue of `ipc`, where whoever ends the wait leaves the result.
    IpcWait,
    /// An open of a FIFO waits until the other end was opened more often than `seen`.
    Fifo {
        /// The FIFO's pipe.
        pipe: crate::fs::pipe::PipeId,
        /// How often that was when the wait began; None once a signal took the open back.
        seen: Option<u32>,
    },
    /// A record lock that somebody else has.
    Lock(crate::fs::locks::LockProgress),
    /// exec waits for the other threads to die.
    Exec(Box<crate::task::binprm::Binprm>),
    /// The call has already had its effect and only waits (sigsuspend's mask, linger).
    Committed(u64),
}

/// A system call in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InFlight {
    /// The number from orig_rax.
    pub nr: u64,
    /// rdi, rsi, rdx, r10, r8, r9 at entry.
    pub args: [u64; 6],
    /// Its arguments as strace would show them, where the kernel traces.
    pub shown: Option<String>,
    /// When it was entered.
    pub entered: Instant,
    /// When it times out; taken once.
    pub until: Option<Instant>,
    /// Descriptions that it holds.
    pub held: Vec<Held>,
    /// The buffers that it reads or writes, imported once.
    pub iovec: Option<crate::syscall::iovec::IoVec>,
    /// What was read into the kernel instead of to the user (splice from a socket).
    pub sink: Vec<u8>,
    /// Bytes moved so far (of the current message, in sendmmsg and recvmmsg).
    pub moved: usize,
    /// Messages done so far (sendmmsg, recvmmsg).
    pub messages: usize,
    /// The rest.
    pub progress: Progress,
    /// Its place in wait queues; 0 before it slept for the first time.
    pub place: u64,
}

impl InFlight {
    /// A call that has done nothing yet.
    pub fn new(nr: u64, args: [u64; 6], entered: Instant) -> InFlight {
        InFlight {
            nr,
            args,
            shown: None,
            entered,
            until: None,
            held: Vec::new(),
            iovec: None,
            sink: Vec::new(),
            moved: 0,
            messages: 0,
            progress: Progress::Fresh,
            place: 0,
        }
    }

    /// What restart_syscall goes on with: the record without the references.
    pub fn clone_without_held(&self) -> InFlight {
        InFlight { held: Vec::new(), ..self.clone() }
    }
}

/// A handler's view of its call.
pub struct Call<'a> {
    /// The caller.
    pub task: TaskId,
    /// Its native context, for copies.
    pub guest: GuestId,
    /// The record; what is put here survives a wait.
    pub flight: InFlight,
    /// Whoever runs the guests.
    pub user: &'a mut dyn Platform,
}

/// The most that one read or write moves (read(2), "On Linux").
pub const MAX_RW_COUNT: u64 = 0x7fff_f000;

impl Call<'_> {
    /// Argument `i` as it stands in its register.
    pub fn arg(&self, i: usize) -> u64 {
        self.flight.args[i]
    }

    /// Argument `i` as a C `int`.
    pub fn int(&self, i: usize) -> i32 {
        self.flight.args[i] as i32
    }

    /// Argument `i` as an address.
    pub fn ptr(&self, i: usize) -> UserPtr {
        UserPtr(self.flight.args[i])
    }

    /// copy_from_user: all of it or EFAULT.
    pub fn read_user(&mut self, from: UserPtr, into: &mut [u8]) -> Result<(), Errno> {
        if into.is_empty() {
            return Ok(());
        }
        if self.user.read_user(self.guest, from, into) == into.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// copy_to_user: all of it or EFAULT (what fitted before the hole is written).
    pub fn write_user(&mut self, to: UserPtr, from: &[u8]) -> Result<(), Errno> {
        if from.is_empty() {
            return Ok(());
        }
        if self.user.write_user(self.guest, to, from) == from.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// `len` bytes from the user.
    pub fn read_bytes(&mut self, from: UserPtr, len: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; len];
        self.read_user(from, &mut bytes)?;
        Ok(bytes)
    }

    /// A fixed-size array of bytes from the user.
    pub fn read_array<const N: usize>(&mut self, from: UserPtr) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.read_user(from, &mut bytes)?;
        Ok(bytes)
    }

    /// A little-endian 32-bit word from the user.
    pub fn read_u32(&mut self, from: UserPtr) -> Result<u32, Errno> {
        Ok(u32::from_le_bytes(self.read_array(from)?))
    }

    /// A little-endian 64-bit word from the user.
    pub fn read_u64(&mut self, from: UserPtr) -> Result<u64, Errno> {
        Ok(u64::from_le_bytes(self.read_array(from)?))
    }

    /// Writes a 32-bit word.
    pub fn write_u32(&mut self, to: UserPtr, value: u32) -> Result<(), Errno> {
        self.write_user(to, &value.to_le_bytes())
    }

    /// Writes a 64-bit word.
    pub fn write_u64(&mut self, to: UserPtr, value: u64) -> Result<(), Errno> {
        self.write_user(to, &value.to_le_bytes())
    }

    /// strncpy_from_user: the string without its NUL. `too_long` (ENAMETOOLONG for paths, E2BIG
    /// for arguments) when there is none within `max` bytes; EFAULT when the memory ends before.
    pub fn read_cstr(
        &mut self,
        from: UserPtr,
        max: usize,
        too_long: Errno,
    ) -> Result<Vec<u8>, Errno> {
        let mut string = Vec::new();
        while string.len() < max {
            // Up to the end of the page at first: the next one may not be there.
            let at = from.add(string.len() as u64);
            let chunk = (4096 - (at.0 % 4096) as usize).min(max - string.len());
            let mut bytes = vec![0; chunk];
            let got = self.user.read_user(self.guest, at, &mut bytes);
            if let Some(end) = bytes[..got].iter().position(|b| *b == 0) {
                string.extend_from_slice(&bytes[..end]);
                return Ok(string);
            }
            if got < chunk {
                return Err(Errno::EFAULT);
            }
            string.extend_from_slice(&bytes);
        }
        Err(too_long)
    }

    /// getname(): a path argument; PATH_MAX is 4096 with the NUL. May be empty.
    pub fn read_path(&mut self, from: UserPtr) -> Result<Vec<u8>, Errno> {
        self.read_cstr(from, 4096, Errno::ENAMETOOLONG)
    }
}
