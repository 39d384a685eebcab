//! What can be done with an open file description: one match per operation over all kinds, the
//! counterpart of Linux's `struct file_operations` (the article's `socket_file_ops` is the
//! `Socket` arm of each). Neighbours: `pipe`, `epoll`, `anon`, `console`, `device`,
//! `inode_operations`, `net/socket`.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::OpenOn;
use crate::fs::file::{FileId, FileKind};
use crate::fs::read_write::Direction;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::wait_queue::Event;

/// DEFAULT_POLLMASK: what poll says of a file that has no .poll.
const DEFAULT_POLLMASK: PollBits = PollBits(0x145);

impl Kernel {
    /// .read_iter: into `to`, behind the `flight.moved` bytes that are there already; returns the
    /// bytes of the whole call. `pos` is an explicit offset (pread), else the file's own is used
    /// and moved.
    pub fn file_read_iter(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        to: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        match self.files[file].kind {
            FileKind::Inode => self.inode_read_iter(call, file, to, pos),
            FileKind::Pipe(pipe) => self.pipe_read(call, file, pipe, to),
            FileKind::Socket(socket) => {
                let nonblock = self.files[file].flags.nonblock();
                self.sock_read_iter(call, socket, nonblock, to)
            }
            // No .read: `file_can_rw` refused it already.
            FileKind::Epoll(_) => Err(Errno::EINVAL.into()),
            FileKind::Anon(anon) => self.anon_read(call, file, anon, to),
            FileKind::Null => Ok(0),
            FileKind::Zero | FileKind::Full => self.zero_read(call, to),
            FileKind::Urandom => self.urandom_read(call, to),
            FileKind::Loop(number) => self.loop_read(call, file, number, to, pos),
            FileKind::LoopControl => Err(Errno::EINVAL.into()),
            FileKind::Console(stream) => self.console_read(call, file, stream, to),
            FileKind::PtyMaster(tty) => self.pty_master_read(call, file, tty, to),
            FileKind::PtySlave(tty) => self.pty_slave_read(call, file, tty, to),
        }
    }

    /// .write_iter: the counterpart; `flight.moved` bytes of `from` were taken already.
    pub fn file_write_iter(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        from: &IoVec,
        pos: Option<u64>,
    ) -> SysResult {
        match self.files[file].kind {
            FileKind::Inode => self.inode_write_iter(call, file, from, pos),
            FileKind::Pipe(pipe) => self.pipe_write(call, file, pipe, from),
            FileKind::Socket(socket) => {
                let nonblock = self.files[file].flags.nonblock();
                self.sock_write_iter(call, socket, nonblock, from)
            }
            FileKind::Epoll(_) => Err(Errno::EINVAL.into()),
            FileKind::Anon(anon) => self.anon_write(call, file, anon, from),
            // The bytes are not even looked at.
            FileKind::Null | FileKind::Zero => Ok(from.total() as u64),
            FileKind::Full if from.total() == 0 => Ok(0),
            FileKind::Full => Err(Errno::ENOSPC.into()),
            FileKind::Urandom => self.urandom_write(call, from),
            FileKind::Loop(number) => self.loop_write(call, file, number, from, pos),
            FileKind::LoopControl => Err(Errno::EINVAL.into()),
            FileKind::Console(stream) => self.console_write(call, stream, from),
            FileKind::PtyMaster(tty) => self.pty_master_write(call, file, tty, from),
            FileKind::PtySlave(tty) => self.pty_slave_write(call, file, tty, from),
        }
    }

    /// Has it .read_iter or .write_iter at all (FMODE_CAN_READ, FMODE_CAN_WRITE)?
    pub fn file_can_rw(&self, file: FileId, direction: Direction) -> bool {
        match self.files[file].kind {
            FileKind::Epoll(_) | FileKind::LoopControl => false,
            FileKind::Anon(anon) => self.anon_can_rw(anon, direction),
            // Directories have .read: it says EISDIR.
            FileKind::Inode
            | FileKind::Pipe(_)
            | FileKind::Socket(_)
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::Loop(_)
            | FileKind::Console(_)
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_) => true,
        }
    }

    /// FMODE_PREAD and FMODE_PWRITE: can a read name its offset?
    pub fn file_has_positions(&self, file: FileId) -> bool {
        match self.files[file].kind {
            FileKind::Inode
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::Urandom => true,
            FileKind::Pipe(_)
            | FileKind::Socket(_)
            | FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Console(_)
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_) => false,
        }
    }

    /// .llseek: ESPIPE where there is none.
    pub fn file_llseek(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        offset: i64,
        whence: u32,
    ) -> SysResult {
        match self.files[file].kind {
            FileKind::Inode => self.inode_llseek(call, file, offset, whence),
            FileKind::Loop(number) => self.loop_llseek(file, number, offset, whence),
            FileKind::Pipe(_)
            | FileKind::Socket(_)
            | FileKind::LoopControl
            | FileKind::Console(_)
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_) => Err(Errno::ESPIPE.into()),
            FileKind::Anon(anon) if !self.anon_can_seek(anon) => Err(Errno::ESPIPE.into()),
            // noop_llseek and null_lseek: the position is 0 and stays there.
            FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom => Ok(0),
        }
    }

    /// .poll: what is ready now. `task` asks: a signalfd shows each reader its own signals.
    pub fn file_poll(&self, task: TaskId, file: FileId) -> PollBits {
        match self.files[file].kind {
            FileKind::Pipe(pipe) => self.pipe_poll(file, pipe),
            FileKind::Socket(socket) => self.sock_poll(socket),
            FileKind::Epoll(epoll) => self.ep_poll(task, epoll),
            FileKind::Anon(anon) => self.anon_poll(task, anon),
            FileKind::Console(stream) => self.console_poll(stream),
            FileKind::PtyMaster(tty) => self.pty_master_poll(tty),
            FileKind::PtySlave(tty) => self.pty_slave_poll(tty),
            FileKind::Urandom if self.is_dev_random(file) => PollBits::IN | PollBits::RDNORM,
            FileKind::Inode => {
                let tells = self.mounts_poll(file).or_else(|| self.cgroup_poll(file));
                tells.unwrap_or(DEFAULT_POLLMASK)
            }
            FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::Urandom => DEFAULT_POLLMASK,
        }
    }

    /// Has it .poll? epoll_ctl(2) says EPERM where there is none.
    pub fn file_can_poll(&self, file: FileId) -> bool {
        match self.files[file].kind {
            FileKind::Pipe(_)
            | FileKind::Socket(_)
            | FileKind::Epoll(_)
            | FileKind::Anon(_)
            | FileKind::Console(_)
            | FileKind::PtyMaster(_)
            | FileKind::PtySlave(_) => true,
            // /dev/random has .poll, /dev/urandom has not.
            FileKind::Urandom => self.is_dev_random(file),
            // Of all files with a name only lists of mounts and what is in control groups.
            FileKind::Inode => self.mounts_of(file).is_some() || self.cgroup_file(file).is_some(),
            FileKind::Null
            | FileKind::Zero
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::Full => false,
        }
    }

    /// The events that announce a change of `file_poll` to `task`; empty where it never changes.
    pub fn poll_events(&self, task: TaskId, file: FileId) -> Vec<Event> {
        match self.files[file].kind {
            FileKind::Pipe(pipe) => self.pipe_poll_events(file, pipe),
            FileKind::Socket(socket) => vec![Event::Socket(socket)],
            FileKind::Epoll(epoll) => vec![Event::Epoll(epoll)],
            FileKind::Anon(anon) => self.anon_poll_events(task, anon),
            FileKind::Console(_) => vec![Event::Console],
            FileKind::PtyMaster(tty) => vec![Event::TtyMaster(tty)],
            FileKind::PtySlave(tty) => vec![Event::TtySlave(tty)],
            FileKind::Inode => {
                let group = self.cgroup_file(file).map(|(cgroup, _)| Event::Cgroup(cgroup));
                self.mounts_of(file).map(Event::Mounts).or(group).into_iter().collect()
            }
            FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Loop(_)
            | FileKind::LoopControl
            | FileKind::Urandom => Vec::new(),
        }
    }

    /// .unlocked_ioctl, after what every file knows (`fs/ioctl`).
    pub fn file_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        cmd: u32,
        arg: u64,
    ) -> SysResult {
        match self.files[file].kind {
            FileKind::Inode => self.inode_ioctl(call, file, cmd, arg),
            FileKind::Pipe(pipe) => self.pipe_ioctl(call, pipe, cmd),
            FileKind::Socket(socket) => self.sock_ioctl(call, file, socket, cmd, arg),
            FileKind::Anon(anon) => self.anon_ioctl(call, anon, cmd),
            FileKind::Console(stream) => self.console_ioctl(call, stream, cmd),
            FileKind::PtyMaster(tty) => self.pty_master_ioctl(call, file, tty, cmd),
            FileKind::PtySlave(tty) => self.pty_slave_ioctl(call, file, tty, cmd),
            FileKind::Epoll(_) | FileKind::Null | FileKind::Zero | FileKind::Full => {
                self.no_ioctl(call, cmd)
            }
            FileKind::Urandom => self.random_ioctl(call, cmd),
            FileKind::Loop(number) => self.loop_ioctl(call, file, number, cmd, arg),
            FileKind::LoopControl => self.loop_control_ioctl(call, cmd),
        }
    }

    /// .release: the last reference to a description went.
    pub fn file_release(&mut self, task: Option<TaskId>, file: FileId) {
        match self.files[file].kind {
            FileKind::Inode => self.inode_release(task, file),
            FileKind::Pipe(pipe) => self.pipe_release(file, pipe),
            FileKind::Socket(socket) => self.sock_close(task, socket),
            FileKind::Epoll(epoll) => self.ep_release(epoll),
            FileKind::Anon(anon) => self.anon_release(anon),
            // Nothing is behind these that could be released.
            FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::LoopControl
            | FileKind::Console(_) => {}
            FileKind::Loop(number) => self.loop_release(task, number),
            FileKind::PtyMaster(tty) => self.pty_master_close(tty),
            FileKind::PtySlave(tty) => self.pty_slave_close(tty),
        }
    }

    /// What it is open on, for the story.
    pub fn describe_file(&self, file: FileId) -> OpenOn {
        let f = &self.files[file];
        match f.kind {
            FileKind::Inode => self.describe_inode(file).into(),
            FileKind::Pipe(pipe) => {
                let ino = self.pipes.get(pipe).and_then(|p| p.ino);
                let end = match (f.flags.readable(), f.flags.writable()) {
                    (true, false) => "read end",
                    (false, true) => "write end",
                    (true, true) | (false, false) => "both ends",
                };
                match ino {
                    Some(ino) => format!("pipe:[{ino}] ({end})").into(),
                    None => format!("FIFO ({end})").into(),
                }
            }
            FileKind::Socket(socket) => self.describe_socket(socket),
            FileKind::Epoll(_) => "epoll set".into(),
            FileKind::Anon(anon) => self.describe_anon(anon).into(),
            FileKind::Null => "/dev/null".into(),
            FileKind::Zero => "/dev/zero".into(),
            FileKind::Full => "/dev/full".into(),
            FileKind::Urandom => "/dev/urandom".into(),
            FileKind::Loop(number) => format!("/dev/loop{number}").into(),
            FileKind::LoopControl => "/dev/loop-control".into(),
            FileKind::Console(0) => "stdin".into(),
            FileKind::Console(1) => "stdout".into(),
            FileKind::Console(2) => "stderr".into(),
            FileKind::Console(_) => "/dev/pts/0".into(),
            FileKind::PtyMaster(_) => "/dev/ptmx".into(),
            FileKind::PtySlave(tty) => format!("/dev/pts/{}", self.ttys[tty].index).into(),
        }
    }
}
