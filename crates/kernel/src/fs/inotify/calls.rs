//! inotify_init1(2), inotify_add_watch(2), inotify_rm_watch(2).
//! Neighbours: `inotify` (objects and events), `namei`.

use super::bits::IN_ALL_EVENTS;
use super::{Inotify, Mark};
use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fs::anon::Anon;
use crate::fs::file::FileKind;
use crate::fs::inode::{InodeId, MAY_READ};
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use std::collections::{BTreeMap, VecDeque};

const IN_ONLYDIR: u32 = 0x0100_0000;
const IN_DONT_FOLLOW: u32 = 0x0200_0000;
const IN_EXCL_UNLINK: u32 = 0x0400_0000;
const IN_MASK_CREATE: u32 = 0x1000_0000;
const IN_MASK_ADD: u32 = 0x2000_0000;
const IN_ONESHOT: u32 = 0x8000_0000;
/// ALL_INOTIFY_BITS: these, all events, and what only reads give (IN_UNMOUNT, IN_Q_OVERFLOW,
/// IN_IGNORED, IN_ISDIR).
const KNOWN: u32 = IN_ALL_EVENTS
    | 0x4000_e000
    | IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_EXCL_UNLINK
    | IN_MASK_CREATE
    | IN_MASK_ADD
    | IN_ONESHOT;
/// fs.inotify.max_user_instances and max_user_watches.
const MAX_USER_INSTANCES: usize = 128;
const MAX_USER_WATCHES: usize = 65536;

impl Kernel {
    /// inotify_init(2).
    pub fn sys_inotify_init(&mut self, call: &mut Call<'_>) -> SysResult {
        self.do_inotify_init(call, 0)
    }

    /// inotify_init1(2).
    pub fn sys_inotify_init1(&mut self, call: &mut Call<'_>) -> SysResult {
        let flags = call.arg(0) as u32;
        self.do_inotify_init(call, flags)
    }

    fn do_inotify_init(&mut self, call: &mut Call<'_>, flags: u32) -> SysResult {
        if flags & !(OFlags::CLOEXEC.0 | OFlags::NONBLOCK.0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let uid = self.tasks[call.task].cred.euid;
        if self.anon.inotifies().filter(|other| other.uid == uid).count() >= MAX_USER_INSTANCES {
            return Err(Errno::EMFILE.into());
        }
        let (watches, events) = (BTreeMap::new(), VecDeque::new());
        let object = Anon::Inotify(Inotify { uid, watches, next_wd: 1, events });
        let open = OFlags(flags & OFlags::NONBLOCK.0);
        self.anon_getfd(call.task, object, open, flags & OFlags::CLOEXEC.0 != 0)
    }

    /// The inotify object behind a descriptor. EBADF, EINVAL.
    fn inotify_of(&mut self, call: &mut Call<'_>) -> Result<u64, Errno> {
        let file = self.fdget(call, call.int(0))?;
        let FileKind::Anon(id) = self.files[file].kind else { return Err(Errno::EINVAL) };
        match self.anon.of(id) {
            Anon::Inotify(_) => Ok(id),
            Anon::Eventfd(_)
            | Anon::Timerfd(_)
            | Anon::Signalfd(_)
            | Anon::Pidfd(_)
            | Anon::Mqueue(_)
            | Anon::Namespace(_) => Err(Errno::EINVAL),
        }
    }

    /// inotify_add_watch(2): the watch descriptor, a new one or that of the inode's old watch.
    pub fn sys_inotify_add_watch(&mut self, call: &mut Call<'_>) -> SysResult {
        let (path, mask) = (call.ptr(1), call.arg(2) as u32);
        if mask & !KNOWN != 0 || mask == 0 {
            return Err(Errno::EINVAL.into());
        }
        let both = IN_MASK_ADD | IN_MASK_CREATE;
        if self.fdget(call, call.int(0)).is_ok() && mask & both == both {
            return Err(Errno::EINVAL.into());
        }
        let id = self.inotify_of(call)?;
        let path = call.read_path(path)?;
        let follow = mask & IN_DONT_FOLLOW == 0;
        let lookup = Lookup { follow, directory: mask & IN_ONLYDIR != 0, ..Lookup::FOLLOW };
        let path = self.user_path_at(call.task, AT_FDCWD, &path, lookup, call.user)?;
        self.inode_permission(path.dentry, &self.tasks[call.task].cred, MAY_READ)?;
        let inode = self.vfs.dentries[path.dentry].inode;
        Ok(self.inotify_update_watch(id, inode, mask)? as u64)
    }

    fn inotify_update_watch(&mut self, id: u64, inode: InodeId, mask: u32) -> Result<i32, Errno> {
        let new = Mark {
            group: id,
            wd: 0,
            mask: mask & IN_ALL_EVENTS,
            oneshot: mask & IN_ONESHOT != 0,
            excl_unlink: mask & IN_EXCL_UNLINK != 0,
        };
        let marks = self.vfs.marks.entry(inode).or_default();
        if let Some(old) = marks.iter_mut().find(|mark| mark.group == id) {
            if mask & IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            let keeps = mask & IN_MASK_ADD != 0;
            *old = Mark {
                wd: old.wd,
                mask: if keeps { old.mask } else { 0 } | new.mask,
                oneshot: keeps && old.oneshot || new.oneshot,
                excl_unlink: keeps && old.excl_unlink || new.excl_unlink,
                ..new
            };
            return Ok(old.wd);
        }
        let uid = self.inotify_mut(id).uid;
        let of_user = self.anon.inotifies().filter(|other| other.uid == uid);
        if of_user.map(|other| other.watches.len()).sum::<usize>() >= MAX_USER_WATCHES {
            self.vfs.forget_marks(inode, |_| false);
            return Err(Errno::ENOSPC);
        }
        // Numbers are not used again while the greater ones last.
        let inotify = self.inotify_mut(id);
        let wd = inotify.next_wd;
        inotify.next_wd = wd.checked_add(1).unwrap_or(1);
        inotify.watches.insert(wd, inode);
        self.vfs.marks.entry(inode).or_default().push(Mark { wd, ..new });
        Ok(wd)
    }

    /// inotify_rm_watch(2): EINVAL for a descriptor that is none of its own.
    pub fn sys_inotify_rm_watch(&mut self, call: &mut Call<'_>) -> SysResult {
        let wd = call.int(1);
        let id = self.inotify_of(call)?;
        if !self.inotify_mut(id).watches.contains_key(&wd) {
            return Err(Errno::EINVAL.into());
        }
        self.inotify_destroy_mark(id, wd);
        Ok(0)
    }
}
