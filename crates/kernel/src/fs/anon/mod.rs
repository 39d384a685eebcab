//! Anonymous files: objects that exist only behind descriptors. One file a kind; this one has the
//! table of them and hands the operations of `file_operations` on to the kinds.

pub mod eventfd;

use crate::abi::open::OFlags;
use crate::abi::poll::PollBits;
use crate::fs::anon::eventfd::Eventfd;
use crate::fs::file::{File, FileId, FileKind};
use crate::fs::read_write::Direction;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult};
use crate::task::TaskId;
use crate::wait_queue::Event;
use std::collections::BTreeMap;

/// One anonymous object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Anon {
    /// eventfd(2).
    Eventfd(Eventfd),
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

    fn of(&self, id: u64) -> &Anon {
        self.objects.get(&id).expect("a description keeps its anonymous object")
    }

    fn of_mut(&mut self, id: u64) -> &mut Anon {
        self.objects.get_mut(&id).expect("a description keeps its anonymous object")
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
        let id = self.anon.new_ino();
        self.anon.objects.insert(id, object);
        let file = self.files.insert(File::new(FileKind::Anon(id), flags));
        Ok(self.install_fd(task, file, cloexec)? as u64)
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
        }
    }

    /// Has it .read or .write?
    pub fn anon_can_rw(&self, id: u64, _direction: Direction) -> bool {
        match self.anon.of(id) {
            Anon::Eventfd(_) => true,
        }
    }

    /// Has it noop_llseek?
    pub fn anon_can_seek(&self, id: u64) -> bool {
        match self.anon.of(id) {
            Anon::Eventfd(_) => true,
        }
    }

    /// .poll.
    pub fn anon_poll(&self, _task: TaskId, id: u64) -> PollBits {
        match self.anon.of(id) {
            Anon::Eventfd(eventfd) => eventfd.poll(),
        }
    }

    /// What announces a change of `anon_poll`.
    pub fn anon_poll_events(&self, _task: TaskId, id: u64) -> Vec<Event> {
        match self.anon.of(id) {
            Anon::Eventfd(_) => vec![Event::Anon(id)],
        }
    }

    /// .unlocked_ioctl.
    pub fn anon_ioctl(&mut self, call: &mut Call<'_>, id: u64, cmd: u32) -> SysResult {
        match self.anon.of(id) {
            Anon::Eventfd(_) => self.no_ioctl(call, cmd),
        }
    }

    /// .release.
    pub fn anon_release(&mut self, id: u64) {
        self.anon.objects.remove(&id);
    }

    /// As /proc/self/fd shows it.
    pub fn describe_anon(&self, id: u64) -> &'static str {
        match self.anon.objects.get(&id) {
            Some(Anon::Eventfd(_)) => "anon_inode:[eventfd]",
            None => "anon_inode",
        }
    }
}
