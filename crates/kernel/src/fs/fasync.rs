//! O_ASYNC: a file that sends a signal when something can be done with it. `fasync_helper` puts a
//! description on its object's list, `kill_fasync` goes through the list when the object's readiness
//! changes, `send_sigio` signals the owner (F_SETOWN) with the signal of F_SETSIG or SIGIO; a
//! socket's urgent data is SIGURG to its owner (`send_sigurg`). fcntl(2), "Managing signals";
//! rules S-46, F-22. Neighbours: `fs/fcntl` and `fs/ioctl` (who ask for it), `fs/pipe`, `net`, `tty` (who
//! call `kill_fasync` where Linux does), `task/signal`.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::abi::signal::Signal;
use crate::fs::file::{File, FileId, FileKind};
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::net::socket::SocketId;
use crate::net::tcp::Bell;
use crate::task::signal::{SigDetail, SigInfo, Target};
use crate::task::{Pid, TaskId};
use crate::tty::TtyId;
use crate::wait_queue::Event;
use linux_raw_sys::general as raw;
use std::collections::BTreeMap;

/// `fasync_list`: whose readiness is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FasyncOn {
    /// `pipe->fasync_readers`.
    PipeReaders(PipeId),
    /// `pipe->fasync_writers`.
    PipeWriters(PipeId),
    /// `wq->fasync_list` of a socket.
    Socket(SocketId),
    /// `tty->fasync` of a terminal: a slave, or the console.
    Tty(TtyId),
    /// `tty->fasync` of a pseudoterminal's master.
    TtyMaster(TtyId),
}

/// The lists: descriptions with the descriptor that switched O_ASYNC on, the newest first.
pub type FasyncLists = BTreeMap<FasyncOn, Vec<(FileId, i32)>>;

/// si_code of SIGIO: what happened (asm-generic/siginfo.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Band {
    /// POLL_IN: there is something to read.
    In,
    /// POLL_OUT: there is room.
    Out,
    /// POLL_MSG: a lease is to be given back, or a directory changed.
    Msg,
    /// POLL_ERR: an error.
    Err,
    /// POLL_PRI: urgent data.
    Pri,
    /// POLL_HUP: both directions are shut.
    Hup,
}

impl Band {
    /// The code and `band_table`'s poll bits of it.
    fn code(self) -> (i32, PollBits) {
        match self {
            Band::In => (1, PollBits::IN | PollBits::RDNORM),
            Band::Out => (2, PollBits::OUT | PollBits::WRNORM | PollBits::WRBAND),
            Band::Msg => (3, PollBits::IN | PollBits::RDNORM | PollBits::MSG),
            Band::Err => (4, PollBits::ERR),
            Band::Pri => (5, PollBits::PRI | PollBits::RDBAND),
            Band::Hup => (6, PollBits::HUP | PollBits::ERR),
        }
    }
}

/// SI_SIGIO: the code of a signal whose own codes mean something else.
const SI_SIGIO: i32 = -5;

/// Whom `f_owner` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// F_OWNER_TID.
    Thread(Pid),
    /// F_OWNER_PID, F_SETOWN with a positive number.
    Process(Pid),
    /// F_OWNER_PGRP, F_SETOWN with a negative one.
    Group(Pid),
}

/// `fown_struct`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fown {
    /// Who gets the signals; nobody at first.
    pub whose: Option<Whose>,
    /// F_SETSIG; 0 is SIGIO without a story.
    pub signum: u32,
    /// Who set the owner: real and effective user.
    pub uid: u32,
    /// See `uid`.
    pub euid: u32,
}

impl Kernel {
    /// The list that a description would be on. `None` where Linux has no .fasync; for the console
    /// see [`FileKind::Console`]: it has a terminal, or stands for a file of the machine.
    pub fn fasync_of(&self, file: FileId) -> Option<Vec<FasyncOn>> {
        let f = &self.files[file];
        match f.kind {
            FileKind::Pipe(pipe) => {
                let mut lists = Vec::new();
                if f.flags.readable() {
                    lists.push(FasyncOn::PipeReaders(pipe));
                }
                if f.flags.writable() {
                    lists.push(FasyncOn::PipeWriters(pipe));
                }
                Some(lists)
            }
            FileKind::Socket(socket) => Some(vec![FasyncOn::Socket(socket)]),
            FileKind::PtySlave(tty) => Some(vec![FasyncOn::Tty(tty)]),
            FileKind::PtyMaster(tty) => Some(vec![FasyncOn::TtyMaster(tty)]),
            FileKind::Console(_)
            | FileKind::Inode
            | FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::Loop(_)
            | FileKind::LoopControl => None,
        }
    }

    /// fasync_helper(): on the lists, or off them. tty_fasync() makes whoever switches it on the
    /// owner, if there is none.
    pub fn fasync_helper(&mut self, task: TaskId, fd: i32, file: FileId, on: bool) {
        let lists = self.fasync_of(file).unwrap_or_default();
        self.take_off_lists(file);
        let flags = &mut self.files[file].flags;
        flags.0 = if on { flags.0 | OFlags::ASYNC.0 } else { flags.0 & !OFlags::ASYNC.0 };
        if !on {
            return;
        }
        for list in lists {
            self.fasync.entry(list).or_default().insert(0, (file, fd));
            if let FasyncOn::Tty(tty) | FasyncOn::TtyMaster(tty) = list
                && self.files[file].owner.whose.is_none()
            {
                let foreground = self.ttys[tty].pgrp.filter(|_| list == FasyncOn::Tty(tty));
                let process = self.groups[self.tasks[task].group].tgid;
                let whose = foreground.map_or(Whose::Process(process), Whose::Group);
                self.f_setown(task, file, Some(whose));
            }
        }
    }

    /// The release of a description that is on a list takes it off.
    pub fn take_off_lists(&mut self, file: FileId) {
        if !self.files[file].flags.has(OFlags::ASYNC) {
            return;
        }
        self.fasync.retain(|_, list| {
            list.retain(|(on, _)| *on != file);
            !list.is_empty()
        });
    }

    /// f_modown().
    pub fn f_setown(&mut self, task: TaskId, file: FileId, whose: Option<Whose>) {
        let cred = &self.tasks[task].cred;
        let (uid, euid) = (cred.uid, cred.euid);
        let owner = &mut self.files[file].owner;
        *owner = Fown { whose, uid, euid, signum: owner.signum };
    }

    /// f_getown(): positive for a thread or process, negative for a group, 0 for nobody or nobody
    /// any more, or out of the sight of `task`.
    pub fn f_getown(&self, task: TaskId, file: FileId) -> i32 {
        match self.files[file].owner.whose {
            Some(Whose::Thread(pid) | Whose::Process(pid)) if self.pids.task(pid).is_some() => {
                self.pid_vnr(task, pid) as i32
            }
            Some(Whose::Group(pgrp)) if self.is_pgrp(pgrp) => -(self.pid_vnr(task, pgrp) as i32),
            Some(Whose::Thread(_) | Whose::Process(_) | Whose::Group(_)) | None => 0,
        }
    }

    /// kill_fasync(): the object's readiness changed as `band` says.
    pub fn kill_fasync(&mut self, on: FasyncOn, band: Band) {
        // Almost nobody uses it.
        if self.fasync.is_empty() {
            return;
        }
        for (file, fd) in self.fasync.get(&on).cloned().unwrap_or_default() {
            self.send_sigio(file, fd, band);
        }
    }

    /// sock_wake_async() with SOCK_WAKE_WAITD: nothing is told while somebody sleeps in a read of
    /// the socket, who takes it.
    pub fn sock_wake_waitd(&mut self, socket: SocketId, band: Band) {
        if self.fasync.is_empty() {
            return;
        }
        let sleepers = self.waits.sleepers(Event::Socket(socket));
        if !sleepers.iter().any(|task| self.sleeps_in_read(*task)) {
            self.kill_fasync(FasyncOn::Socket(socket), band);
        }
    }

    fn sleeps_in_read(&self, task: TaskId) -> bool {
        let reads = [raw::__NR_read, raw::__NR_readv, raw::__NR_recvfrom, raw::__NR_recvmsg];
        let flight = self.tasks[task].in_flight.as_ref();
        flight.is_some_and(|flight| reads.contains(&(flight.nr as u32)))
    }

    /// What TCP did for a socket, in the order in which Linux tells it.
    pub fn tcp_wake_async(&mut self, socket: SocketId, bell: Bell) {
        if self.fasync.is_empty() && !bell.urgent {
            return;
        }
        let list = FasyncOn::Socket(socket);
        if bell.connected {
            self.kill_fasync(list, Band::Out);
        }
        if bell.urgent && self.send_sigurg(socket) {
            self.kill_fasync(list, Band::Pri);
        }
        if bell.urgent_byte {
            self.sock_wake_waitd(socket, Band::In);
        }
        if let Some(both) = bell.fin {
            self.sock_wake_waitd(socket, if both { Band::Hup } else { Band::In });
        }
        if bell.received {
            self.sock_wake_waitd(socket, Band::In);
        }
        if bell.space {
            self.kill_fasync(list, Band::Out);
        }
        if bell.error {
            self.kill_fasync(list, Band::Err);
        }
    }

    /// send_sigio(): one description's owner is told.
    pub(super) fn send_sigio(&mut self, file: FileId, fd: i32, band: Band) {
        let signum = Signal::new(self.files[file].owner.signum.into());
        let (code, bits) = band.code();
        for target in self.owners(file) {
            let told = signum.is_some_and(|signal| {
                let code = if has_codes_of_its_own(signal) { SI_SIGIO } else { code };
                let detail = SigDetail::Poll { band: i64::from(bits.0), fd };
                self.send_signal(SigInfo { signal, errno: 0, code, detail }, target).is_ok()
            });
            if !told {
                // Without F_SETSIG, or when its queue is full: the plain one, which is never refused.
                let _ = self.send_signal(SigInfo::kernel(Signal::SIGIO), target);
            }
        }
    }

    /// send_sigurg(): true if the socket has an owner.
    fn send_sigurg(&mut self, socket: SocketId) -> bool {
        let is_owned = |f: &File| f.kind == FileKind::Socket(socket) && f.owner.whose.is_some();
        let Some(file) = self.files.iter().find(|(_, f)| is_owned(f)).map(|(id, _)| id) else {
            return false;
        };
        for target in self.owners(file) {
            // From the kernel: never refused.
            let _ = self.send_signal(SigInfo::kernel(Signal::SIGURG), target);
        }
        true
    }

    /// Those of a description's owners that its setter may signal (sigio_perm).
    fn owners(&self, file: FileId) -> Vec<Target> {
        let owner = &self.files[file].owner;
        let may = |task: &TaskId| {
            let cred = &self.tasks[*task].cred;
            let theirs = [cred.uid, cred.suid];
            owner.euid == 0 || theirs.contains(&owner.euid) || theirs.contains(&owner.uid)
        };
        match owner.whose {
            None => Vec::new(),
            Some(Whose::Thread(tid)) => {
                self.pids.task(tid).filter(may).map(Target::Thread).into_iter().collect()
            }
            Some(Whose::Process(pid)) => {
                self.pids.task(pid).filter(may).map(Target::Process).into_iter().collect()
            }
            Some(Whose::Group(pgrp)) => {
                let members = self.pgrp_leaders(pgrp).into_iter().rev();
                members.filter(may).map(Target::Process).collect()
            }
        }
    }

    /// Is there such a process, thread, group or session for F_SETOWN (find_vpid)?
    pub fn pid_is_known(&self, pid: Pid) -> bool {
        self.pids.task(pid).is_some() || self.is_pgrp(pid)
    }

    fn is_pgrp(&self, pgrp: Pid) -> bool {
        !self.pgrp_leaders(pgrp).is_empty()
    }
}

/// sig_specific_sicodes(): positive codes of these mean something else than POLL_IN.
fn has_codes_of_its_own(signal: Signal) -> bool {
    [
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGTRAP,
        Signal::SIGCHLD,
        Signal::SIGSYS,
    ]
    .contains(&signal)
}

/// A description's owner as F_SETOWN names it: a process, or minus a group.
///
/// # Errors
/// EINVAL for the smallest number, which has no positive one.
pub fn owner_from_number(who: i32) -> Result<Option<Whose>, Errno> {
    match who {
        0 => Ok(None),
        i32::MIN => Err(Errno::EINVAL),
        1.. => Ok(Some(Whose::Process(Pid(who as u32)))),
        _ => Ok(Some(Whose::Group(Pid(who.unsigned_abs())))),
    }
}
