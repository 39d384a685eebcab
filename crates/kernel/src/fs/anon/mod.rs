//! Anonymous files: objects that exist only behind descriptors. One file a kind; this one has the
//! table of them and hands the operations of `file_operations` on to the kinds.

pub mod eventfd;
mod fdinfo;
pub mod pidfd;
pub mod signalfd;
#[cfg(test)]
mod tests;
pub mod timerfd;

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::fs::anon::eventfd::Eventfd;
use crate::fs::anon::pidfd::Pidfd;
use crate::fs::anon::signalfd::Signalfd;
use crate::fs::anon::timerfd::Timerfd;
use crate::fs::file::{File, FileId, FileKind};
use crate::fs::inotify::Inotify;
use crate::fs::read_write::Direction;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::task::nsproxy::Namespace;
use crate::wait_queue::Event;
use std::collections::{BTreeMap, BTreeSet};

/// One anonymous object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Anon {
    /// eventfd(2).
    Eventfd(Eventfd),
    /// timerfd_create(2).
    Timerfd(Timerfd),
    /// signalfd(2).
    Signalfd(Signalfd),
    /// pidfd_open(2).
    Pidfd(Pidfd),
    /// inotify_init1(2).
    Inotify(Inotify),
    /// mq_open(2): the number of its queue.
    Mqueue(u64),
    /// A file of /proc/PID/ns.
    Namespace(Namespace),
}

/// All anonymous objects of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnonFiles {
    objects: BTreeMap<u64, Anon>,
    /// The last number that a pipe, socket or anonymous object was given: its inode number.
    pub next_ino: u64,
}

impl AnonFiles {
    /// A new inode number for something without a name.
    pub fn new_ino(&mut self) -> u64 {
        self.next_ino += 1;
        self.next_ino
    }

    pub(crate) fn of(&self, id: u64) -> &Anon {
        self.objects.get(&id).expect("a description keeps its anonymous object")
    }

    pub(super) fn of_mut(&mut self, id: u64) -> &mut Anon {
        self.objects.get_mut(&id).expect("a description keeps its anonymous object")
    }
}

impl AnonFiles {
    /// All inotify objects, whose users have limits.
    pub(super) fn inotifies(&self) -> impl Iterator<Item = &Inotify> {
        self.objects.values().filter_map(|object| match object {
            Anon::Inotify(inotify) => Some(inotify),
            Anon::Eventfd(_)
            | Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => None,
        })
    }

    /// The lowest number that no eventfd has: what tells them apart in fdinfo.
    pub(super) fn eventfd_number(&self) -> u32 {
        let taken: BTreeSet<u32> = self.objects.values().filter_map(Anon::eventfd_number).collect();
        (1..).find(|it| !taken.contains(it)).unwrap_or_default()
    }

    /// The message queue that an object is a description of.
    pub(crate) fn mqueue(&self, id: u64) -> Option<u64> {
        match self.of(id) {
            Anon::Mqueue(queue) => Some(*queue),
            Anon::Eventfd(_)
            | Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Inotify(_)
            | Anon::Namespace(_) => None,
        }
    }

    /// Is there an object that is a file of `ns`?
    pub(crate) fn holds_namespace(&self, ns: Namespace) -> bool {
        self.objects.values().any(|object| *object == Anon::Namespace(ns))
    }

    /// The namespace that an object is a file of.
    pub(crate) fn namespace(&self, id: u64) -> Option<Namespace> {
        match self.objects.get(&id) {
            Some(Anon::Namespace(ns)) => Some(*ns),
            Some(
                Anon::Eventfd(_)
                | Anon::Timerfd(_)
                | Anon::Signalfd(_)
                | Anon::Pidfd(_)
                | Anon::Inotify(_)
                | Anon::Mqueue(_),
            )
            | None => None,
        }
    }
}

impl Kernel {
    /// anon_inode_getfd(): a descriptor for a new object. EMFILE.
    pub fn anon_getfd(
        &mut self,
        task: TaskId,
        object: Anon,
        flags: OFlags,
        cloexec: bool,
    ) -> SysResult {
        let file = self.anon_getfile(object, flags);
        Ok(self.install_fd(task, file, cloexec)? as u64)
    }

    /// anon_inode_getfile(): a description of a new object, with one reference.
    pub fn anon_getfile(&mut self, object: Anon, flags: OFlags) -> FileId {
        let id = self.anon.new_ino();
        self.anon.objects.insert(id, object);
        self.files.insert(File::new(FileKind::Anon(id), flags))
    }

    /// .read.
    pub fn anon_read(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        id: u64,
        to: &IoVec,
    ) -> SysResult {
        let nonblock = self.files[file].flags.nonblock();
        match self.anon.of(id) {
            Anon::Eventfd(_) => self.eventfd_read(call, id, nonblock, to),
            Anon::Timerfd(_) => self.timerfd_read(call, id, nonblock, to),
            Anon::Signalfd(signalfd) => {
                let mask = signalfd.mask();
                self.signalfd_read(call, mask, nonblock, to)
            }
            Anon::Inotify(_) => self.inotify_read(call, id, nonblock, to),
            Anon::Pidfd(_) | Anon::Mqueue(_) | Anon::Namespace(_) => Err(Errno::EINVAL.into()),
        }
    }

    /// .write.
    pub fn anon_write(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        id: u64,
        from: &IoVec,
    ) -> SysResult {
        let nonblock = self.files[file].flags.nonblock();
        match self.anon.of(id) {
            Anon::Eventfd(_) => self.eventfd_write(call, id, nonblock, from),
            Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Inotify(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => Err(Errno::EINVAL.into()),
        }
    }

    /// Has it .read or .write?
    pub fn anon_can_rw(&self, id: u64, direction: Direction) -> bool {
        match self.anon.of(id) {
            Anon::Eventfd(_) => true,
            Anon::Timerfd(_) | Anon::Signalfd(_) | Anon::Inotify(_) => direction == Direction::Read,
            Anon::Pidfd(_) | Anon::Mqueue(_) | Anon::Namespace(_) => false,
        }
    }

    /// Has it noop_llseek?
    pub fn anon_can_seek(&self, id: u64) -> bool {
        match self.anon.of(id) {
            Anon::Eventfd(_) | Anon::Timerfd(_) | Anon::Signalfd(_) | Anon::Inotify(_) => true,
            Anon::Pidfd(_) | Anon::Mqueue(_) | Anon::Namespace(_) => false,
        }
    }

    /// .poll.
    pub fn anon_poll(&self, task: TaskId, id: u64) -> PollBits {
        match self.anon.of(id) {
            Anon::Eventfd(eventfd) => eventfd.poll(),
            Anon::Timerfd(timerfd) => self.timerfd_poll(timerfd),
            Anon::Signalfd(signalfd) => self.signalfd_poll(task, signalfd),
            Anon::Pidfd(pidfd) => self.pidfd_poll(*pidfd),
            Anon::Inotify(inotify) => inotify.poll(),
            Anon::Mqueue(queue) => self.mqueue_poll(*queue),
            // It has no .poll: always ready.
            Anon::Namespace(_) => {
                PollBits::IN | PollBits::RDNORM | PollBits::OUT | PollBits::WRNORM
            }
        }
    }

    /// What announces a change of `anon_poll`.
    pub fn anon_poll_events(&self, task: TaskId, id: u64) -> Vec<Event> {
        match self.anon.of(id) {
            Anon::Eventfd(_) | Anon::Timerfd(_) | Anon::Inotify(_) => vec![Event::Anon(id)],
            Anon::Signalfd(_) => vec![Event::Signal(task)],
            Anon::Pidfd(pidfd) => Kernel::pidfd_events(*pidfd),
            Anon::Mqueue(queue) => vec![Event::Anon(*queue)],
            Anon::Namespace(_) => Vec::new(),
        }
    }

    /// .unlocked_ioctl.
    pub fn anon_ioctl(&mut self, call: &mut Call<'_>, id: u64, cmd: u32) -> SysResult {
        match self.anon.of(id) {
            Anon::Eventfd(_) | Anon::Timerfd(_) | Anon::Signalfd(_) | Anon::Mqueue(_) => {
                self.no_ioctl(call, cmd)
            }
            Anon::Pidfd(pidfd) => self.pidfd_ioctl(call, *pidfd, cmd),
            Anon::Namespace(ns) => self.ns_ioctl(call, *ns, cmd),
            Anon::Inotify(_) => self.inotify_ioctl(call, id, cmd),
        }
    }

    /// .release.
    pub fn anon_release(&mut self, id: u64) {
        match self.anon.of(id) {
            Anon::Inotify(_) => self.inotify_release(id),
            Anon::Mqueue(queue) => self.mqueue_release(*queue),
            Anon::Eventfd(_) | Anon::Timerfd(_) | Anon::Signalfd(_) => {}
            Anon::Pidfd(_) | Anon::Namespace(_) => {}
        }
        let gone = self.anon.objects.remove(&id);
        if let Some(Anon::Namespace(_)) = gone {
            self.release_namespaces();
        }
    }

    /// As /proc/self/fd shows it.
    pub fn describe_anon(&self, id: u64) -> &'static str {
        match self.anon.objects.get(&id) {
            Some(Anon::Eventfd(_)) => "anon_inode:[eventfd]",
            Some(Anon::Timerfd(_)) => "anon_inode:[timerfd]",
            Some(Anon::Signalfd(_)) => "anon_inode:[signalfd]",
            Some(Anon::Pidfd(_)) => "anon_inode:[pidfd]",
            Some(Anon::Inotify(_)) => "anon_inode:inotify",
            Some(Anon::Mqueue(_)) => "mqueue",
            Some(Anon::Namespace(_)) => "namespace",
            None => "anon_inode",
        }
    }
}
