//! inotify(7): a descriptor from which changes of watched files and directories are read. A watch
//! is a mark on an inode; what happens to files is told by `fsnotify`. Neighbours: `fsnotify` (the
//! hooks), `calls` (inotify_init1, inotify_add_watch, inotify_rm_watch), `anon`.

pub mod calls;
pub mod fsnotify;

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::anon::Anon;
use crate::fs::inode::InodeId;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult, Wait};
use crate::wait_queue::Event;
use std::collections::{BTreeMap, VecDeque};

/// What a program can watch for, and read.
#[allow(missing_docs)]
pub mod bits {
    pub const IN_ACCESS: u32 = 0x1;
    pub const IN_MODIFY: u32 = 0x2;
    pub const IN_ATTRIB: u32 = 0x4;
    pub const IN_CLOSE_WRITE: u32 = 0x8;
    pub const IN_CLOSE_NOWRITE: u32 = 0x10;
    pub const IN_OPEN: u32 = 0x20;
    pub const IN_MOVED_FROM: u32 = 0x40;
    pub const IN_MOVED_TO: u32 = 0x80;
    pub const IN_CREATE: u32 = 0x100;
    pub const IN_DELETE: u32 = 0x200;
    pub const IN_DELETE_SELF: u32 = 0x400;
    pub const IN_MOVE_SELF: u32 = 0x800;
    pub const IN_ALL_EVENTS: u32 = 0xfff;
    pub const IN_UNMOUNT: u32 = 0x2000;
    pub const IN_Q_OVERFLOW: u32 = 0x4000;
    pub const IN_IGNORED: u32 = 0x8000;
    pub const IN_ISDIR: u32 = 0x4000_0000;
}
use bits::{IN_ALL_EVENTS, IN_IGNORED, IN_Q_OVERFLOW};

/// sizeof(struct inotify_event) without its name.
const EVENT: usize = 16;
/// fs.inotify.max_queued_events.
const MAX_QUEUED_EVENTS: usize = 16384;

/// A watch, as the inode knows it (fsnotify_mark).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The inotify object, by its number in `anon`.
    group: u64,
    /// The watch descriptor in it.
    wd: i32,
    /// IN_* of interest.
    mask: u32,
    /// IN_ONESHOT.
    oneshot: bool,
    /// IN_EXCL_UNLINK: not what happens by names that are gone.
    excl_unlink: bool,
}

/// inotify_event_info.
#[derive(Clone, PartialEq, Eq, Debug)]
struct InotifyEvent {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl InotifyEvent {
    /// struct inotify_event and the name, filled up with zeroes to a multiple of 16.
    fn encode(&self) -> Vec<u8> {
        let room =
            if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(EVENT) };
        let words = [self.wd as u32, self.mask, self.cookie, room as u32];
        let mut bytes = words.map(u32::to_le_bytes).concat();
        bytes.extend_from_slice(&self.name);
        bytes.resize(EVENT + room, 0);
        bytes
    }
}

/// An inotify object (fsnotify_group).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inotify {
    /// Whose limits it counts against.
    uid: u32,
    watches: BTreeMap<i32, InodeId>,
    next_wd: i32,
    events: VecDeque<InotifyEvent>,
}

impl Kernel {
    /// inotify_show_fdinfo(): a line for each watch. Unlike Linux, without file handles.
    pub(crate) fn inotify_fdinfo(&self, inotify: &Inotify) -> String {
        let mut text = String::new();
        for (wd, inode) in &inotify.watches {
            let mark = self.vfs.marks.get(inode).and_then(|all| all.iter().find(|it| it.wd == *wd));
            let Some(mark) = mark else { continue };
            let (ino, sdev) = (self.vfs.inodes[*inode].ino, self.vfs.inodes[*inode].dev);
            let mask = mark.mask;
            text.push_str(&format!(
                "inotify wd:{wd:x} ino:{ino:x} sdev:{sdev:x} mask:{mask:x} ignored_mask:0 \n"
            ));
        }
        text
    }
}

impl Inotify {
    /// fsnotify_add_event() with inotify_merge(): an event like the last one is dropped; the one
    /// for which there is no room any more says so. True if somebody has to be told.
    fn add(&mut self, event: InotifyEvent) -> bool {
        let last = self.events.back();
        if self.events.len() >= MAX_QUEUED_EVENTS {
            if last.is_some_and(|last| last.mask == IN_Q_OVERFLOW) {
                return false;
            }
            let overflow =
                InotifyEvent { wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: Vec::new() };
            self.events.push_back(overflow);
            return true;
        }
        // The cookie is not looked at, as in Linux.
        let same = |last: &InotifyEvent| {
            (last.wd, last.mask, &last.name) == (event.wd, event.mask, &event.name)
                && last.mask & IN_IGNORED == 0
        };
        if last.is_some_and(same) {
            return false;
        }
        self.events.push_back(event);
        true
    }

    /// Bytes to read (FIONREAD).
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.encode().len()).sum()
    }

    /// Readable while an event is there.
    pub(super) fn poll(&self) -> PollBits {
        if self.events.is_empty() { PollBits::NONE } else { PollBits::IN | PollBits::RDNORM }
    }
}

impl Kernel {
    pub(super) fn inotify_mut(&mut self, id: u64) -> &mut Inotify {
        match self.anon.of_mut(id) {
            Anon::Inotify(inotify) => inotify,
            Anon::Eventfd(_)
            | Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => {
                unreachable!("{id} is asked as an inotify object")
            }
        }
    }

    /// inotify_read(): as many whole events as fit; EINVAL if not even the first one does.
    pub(super) fn inotify_read(
        &mut self,
        call: &mut Call<'_>,
        id: u64,
        nonblock: bool,
        to: &IoVec,
    ) -> SysResult {
        let mut done = 0;
        while let Some(event) = self.inotify_mut(id).events.front() {
            let bytes = event.encode();
            if done + bytes.len() > to.total() {
                return if done > 0 { Ok(done as u64) } else { Err(Errno::EINVAL.into()) };
            }
            // As in Linux, a fault loses the event.
            self.inotify_mut(id).events.pop_front();
            if to.scatter(call, done, &bytes) != Ok(bytes.len()) {
                return Err(Errno::EFAULT.into());
            }
            done += bytes.len();
        }
        match done {
            0 if nonblock => Err(Errno::EAGAIN.into()),
            0 => Err(Wait::on(Event::Anon(id)).into()),
            _ => Ok(done as u64),
        }
    }

    /// inotify_ioctl(): FIONREAD.
    pub(super) fn inotify_ioctl(&mut self, call: &mut Call<'_>, id: u64, cmd: u32) -> SysResult {
        if cmd != linux_raw_sys::ioctl::FIONREAD {
            return self.no_ioctl(call, cmd);
        }
        let bytes = self.inotify_mut(id).bytes() as u32;
        call.write_u32(call.ptr(2), bytes)?;
        Ok(0)
    }

    /// inotify_release(): its marks leave their inodes.
    pub(super) fn inotify_release(&mut self, id: u64) {
        let inodes: Vec<InodeId> = self.inotify_mut(id).watches.values().copied().collect();
        for inode in inodes {
            self.vfs.forget_marks(inode, |mark| mark.group == id);
        }
    }

    /// inotify_handle_inode_event(): tells the marks of `inode` that are interested.
    fn tell_marks(&mut self, inode: InodeId, what: &What<'_>) {
        self.dnotify_handle_event(inode, what.mask);
        let Some(marks) = self.vfs.marks.get(&inode) else { return };
        for mark in marks.clone() {
            if mark.mask & what.mask & IN_ALL_EVENTS == 0 || mark.excl_unlink && what.unlinked {
                continue;
            }
            self.tell_mark(mark, what);
            if mark.oneshot {
                self.inotify_destroy_mark(mark.group, mark.wd);
            }
        }
    }

    fn tell_mark(&mut self, mark: Mark, what: &What<'_>) {
        let (mask, cookie, name) = (what.mask, what.cookie, what.name.to_vec());
        let event = InotifyEvent { wd: mark.wd, mask, cookie, name };
        if self.inotify_mut(mark.group).add(event) {
            self.publish_poll(Event::Anon(mark.group), PollBits::IN | PollBits::RDNORM);
        }
    }

    /// fsnotify_destroy_mark(): the watch goes, and the last that is heard of it is IN_IGNORED.
    fn inotify_destroy_mark(&mut self, group: u64, wd: i32) {
        let Some(inode) = self.inotify_mut(group).watches.remove(&wd) else { return };
        let mark = Mark { group, wd, mask: 0, oneshot: false, excl_unlink: false };
        self.tell_mark(mark, &What { mask: IN_IGNORED, ..What::default() });
        self.vfs.forget_marks(inode, |mark| mark.group == group);
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Default)]
struct What<'a> {
    /// IN_*, with IN_ISDIR.
    mask: u32,
    /// The name in the watched directory, if it happened to something in one.
    name: &'a [u8],
    /// Ties the two halves of a move together.
    cookie: u32,
    /// It happened by way of a name that is gone.
    unlinked: bool,
}

impl crate::fs::Vfs {
    /// Marks of `inode` that go.
    fn forget_marks(&mut self, inode: InodeId, gone: impl Fn(&Mark) -> bool) {
        if let Some(marks) = self.marks.get_mut(&inode) {
            marks.retain(|mark| !gone(mark));
            if marks.is_empty() {
                self.marks.remove(&inode);
            }
        }
    }
}
