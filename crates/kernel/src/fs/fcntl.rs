//! fcntl(2): descriptor flags, status flags, duplicates, owners, pipe sizes. Record locks are
//! `locks`' business. What is not here fails as on a Linux without it, loudly.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::fasync::{Whose, owner_from_number};
use crate::fs::file::{FileId, FileKind};
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::{Pid, TaskId};
use linux_raw_sys::general as raw;

/// Do two descriptors share a description?
const F_DUPFD_QUERY: u32 = 1027;
/// Did this open make the file?
const F_CREATED_QUERY: u32 = 1028;
/// SETFL_MASK: what F_SETFL may change. O_ASYNC is .fasync's.
const SETFL_MASK: u32 =
    OFlags::APPEND.0 | OFlags::NONBLOCK.0 | OFlags::DIRECT.0 | OFlags::NOATIME.0;

impl Kernel {
    /// fcntl(2). O_PATH descriptors know only the commands about descriptors.
    pub fn sys_fcntl(&mut self, call: &mut Call<'_>) -> SysResult {
        let (fd, cmd) = (call.int(0), call.arg(1) as u32);
        let file = self.fdget_raw(call, fd)?;
        if self.files[file].flags.has(OFlags::PATH) && !works_on_path(cmd) {
            return Err(Errno::EBADF.into());
        }
        let arg = call.arg(2);
        match cmd {
            raw::F_DUPFD => self.f_dupfd(call, file, arg, false),
            raw::F_DUPFD_CLOEXEC => self.f_dupfd(call, file, arg, true),
            raw::F_GETFD => Ok(u64::from(self.table(call.task).close_on_exec(fd))),
            raw::F_SETFD => {
                let on = arg & u64::from(raw::FD_CLOEXEC) != 0;
                self.table_mut(call.task).set_close_on_exec(fd, on);
                Ok(0)
            }
            raw::F_GETFL => Ok(u64::from(self.files[file].flags.0)),
            raw::F_SETFL => self.setfl(call, file, arg as u32),
            raw::F_GETLK
            | raw::F_SETLK
            | raw::F_SETLKW
            | raw::F_OFD_GETLK
            | raw::F_OFD_SETLK
            | raw::F_OFD_SETLKW => self.fcntl_lock(call, file, cmd),
            raw::F_SETOWN
            | raw::F_GETOWN
            | raw::F_SETSIG
            | raw::F_GETSIG
            | raw::F_SETOWN_EX
            | raw::F_GETOWN_EX => self.fcntl_owner(call, file, cmd, arg),
            raw::F_SETPIPE_SZ | raw::F_GETPIPE_SZ => match self.files[file].kind {
                FileKind::Pipe(pipe) if cmd == raw::F_SETPIPE_SZ => {
                    // An unsigned int: what is above 32 bits is refused as too large.
                    self.pipe_set_size(call.task, pipe, arg)
                }
                FileKind::Pipe(pipe) => Ok(self.pipe_size(pipe)),
                _ => Err(Errno::EBADF.into()),
            },
            raw::F_SETLEASE => self.fcntl_setlease(call, file, arg as u32),
            raw::F_GETLEASE => self.fcntl_getlease(file),
            raw::F_NOTIFY => self.fcntl_dirnotify(call, file, arg as u32),
            F_DUPFD_QUERY => {
                let other = self.fdget_raw(call, arg as i32)?;
                Ok(u64::from(other == file))
            }
            F_CREATED_QUERY => Ok(self.files[file].created.into()),
            raw::F_ADD_SEALS | raw::F_GET_SEALS => self.fcntl_seals(call, file, cmd, arg),
            _ => {
                self.tell(Some(call.task), Fact::unsupported("fcntl", format!("{cmd} {arg:#x}")));
                Err(Errno::EINVAL.into())
            }
        }
    }

    /// F_DUPFD: the lowest free descriptor that is at least `from`. EINVAL above the limit.
    fn f_dupfd(&mut self, call: &Call<'_>, file: FileId, from: u64, cloexec: bool) -> SysResult {
        let from = from as u32 as usize;
        if from >= self.rlimit_nofile(call.task) {
            return Err(Errno::EINVAL.into());
        }
        self.dup_to_lowest(call.task, file, from, cloexec)
    }

    /// setfl(): EPERM for O_NOATIME on somebody else's file is the VFS's to say; O_DIRECT needs a
    /// file that can do it.
    fn setfl(&mut self, call: &mut Call<'_>, file: FileId, flags: u32) -> SysResult {
        let old = self.files[file].flags.0;
        let append = (old ^ flags) & OFlags::APPEND.0 != 0;
        let only =
            self.files[file].dentry().is_some_and(|dentry| self.vfs.inode(dentry).is_append());
        if append && only {
            return Err(Errno::EPERM.into());
        }
        let is_pipe = matches!(self.files[file].kind, FileKind::Pipe(_));
        if flags & OFlags::DIRECT.0 & !old != 0 && !is_pipe {
            self.tell(Some(call.task), Fact::unsupported("fcntl F_SETFL O_DIRECT", ""));
            return Err(Errno::EINVAL.into());
        }
        // Where there is no .fasync, the flag means nothing, as on Linux.
        let wanted = flags & OFlags::ASYNC.0 != 0;
        if wanted != (old & OFlags::ASYNC.0 != 0) && self.fasync_of(file).is_some() {
            self.fasync_helper(call.task, call.int(0), file, wanted);
        } else if wanted && matches!(self.files[file].kind, FileKind::Console(_)) {
            self.tell(Some(call.task), Fact::unsupported("fcntl F_SETFL O_ASYNC", "the console"));
            return Err(Errno::EINVAL.into());
        }
        let old = self.files[file].flags.0;
        self.files[file].flags = OFlags((old & !SETFL_MASK) | (flags & SETFL_MASK));
        Ok(0)
    }

    /// F_SETOWN and its relatives: who gets SIGIO, SIGURG.
    fn fcntl_owner(&mut self, call: &mut Call<'_>, file: FileId, cmd: u32, arg: u64) -> SysResult {
        match cmd {
            raw::F_SETOWN => self.set_owner(call.task, file, owner_from_number(arg as i32)?),
            raw::F_GETOWN => Ok(i64::from(self.f_getown(call.task, file)) as u64),
            raw::F_SETSIG if arg > 64 => Err(Errno::EINVAL.into()),
            raw::F_SETSIG => {
                self.files[file].owner.signum = arg as u32;
                Ok(0)
            }
            raw::F_GETSIG => Ok(u64::from(self.files[file].owner.signum)),
            raw::F_SETOWN_EX => {
                let kind = call.read_u32(call.ptr(2))?;
                let pid = Pid(call.read_u32(call.ptr(2).add(4))?);
                let whose = match kind {
                    raw::F_OWNER_TID => Whose::Thread(pid),
                    raw::F_OWNER_PID => Whose::Process(pid),
                    raw::F_OWNER_PGRP => Whose::Group(pid),
                    _ => return Err(Errno::EINVAL.into()),
                };
                self.set_owner(call.task, file, Some(whose).filter(|_| pid.0 != 0))
            }
            // F_GETOWN_EX
            _ => {
                let kind = match self.files[file].owner.whose {
                    Some(Whose::Thread(_)) => raw::F_OWNER_TID,
                    Some(Whose::Process(_)) => raw::F_OWNER_PID,
                    Some(Whose::Group(_)) => raw::F_OWNER_PGRP,
                    None => raw::F_OWNER_TID,
                };
                call.write_u32(call.ptr(2), kind)?;
                call.write_u32(call.ptr(2).add(4), self.f_getown(call.task, file).unsigned_abs())?;
                Ok(0)
            }
        }
    }

    /// f_setown(), with the number as `task` knows it. ESRCH for one that nobody has.
    pub fn set_owner(&mut self, task: TaskId, file: FileId, whose: Option<Whose>) -> SysResult {
        let find = |named: Pid| self.find_vpid(task, named.0).filter(|pid| self.pid_is_known(*pid));
        let whose = match whose {
            None => None,
            Some(Whose::Thread(tid)) => Some(Whose::Thread(find(tid).ok_or(Errno::ESRCH)?)),
            Some(Whose::Process(pid)) => Some(Whose::Process(find(pid).ok_or(Errno::ESRCH)?)),
            Some(Whose::Group(pgrp)) => Some(Whose::Group(find(pgrp).ok_or(Errno::ESRCH)?)),
        };
        self.f_setown(task, file, whose);
        Ok(0)
    }
}

/// check_fcntl_cmd(): commands that an O_PATH descriptor knows.
fn works_on_path(cmd: u32) -> bool {
    matches!(cmd, raw::F_DUPFD | raw::F_DUPFD_CLOEXEC | raw::F_GETFD | raw::F_SETFD | raw::F_GETFL)
}
