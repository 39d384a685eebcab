//! open(2), openat(2), openat2(2), creat(2): flags, permissions, creation, truncation, and what each
//! kind of inode does when it is opened. Errors come in Linux's order: flags (EINVAL), path (EFAULT,
//! ENOENT), descriptors (EMFILE), the walk, the file. Neighbours: `namei`, `create` (new inodes),
//! `pipe` (FIFOs), `file_rw` (what is done with the result).

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::file::{File, FileId, FileKind};
use crate::fs::file_bytes::FileBytes;
use crate::fs::inode::{Device, InodeKind, MAY_EXEC, MAY_WRITE};
use crate::fs::inotify::bits::{IN_ACCESS, IN_MODIFY};
use crate::fs::mount::dev;
use crate::fs::namei::{AT_FDCWD, Found, Last, Lookup};
use crate::fs::open_flags::{
    O_TMPFILE_BIT, ONLY_AT_OPEN, OpenFlags, OpenHow, build_open_flags, build_open_how,
};
use crate::fs::path::Path;
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::syscall::{Call, Held, Progress, Stop, SysResult, Wait};
use crate::task::TaskId;
use crate::wait_queue::Event;
use linux_raw_sys::general as raw;

impl Kernel {
    /// open(2).
    pub fn sys_open(&mut self, call: &mut Call<'_>) -> SysResult {
        let how = build_open_how(call.arg(1) as u32, call.arg(2));
        self.do_sys_openat2(call, AT_FDCWD, 0, how)
    }

    /// creat(2).
    pub fn sys_creat(&mut self, call: &mut Call<'_>) -> SysResult {
        let how = build_open_how(raw::O_CREAT | raw::O_WRONLY | raw::O_TRUNC, call.arg(1));
        self.do_sys_openat2(call, AT_FDCWD, 0, how)
    }

    /// openat(2).
    pub fn sys_openat(&mut self, call: &mut Call<'_>) -> SysResult {
        let how = build_open_how(call.arg(2) as u32, call.arg(3));
        self.do_sys_openat2(call, call.int(0), 1, how)
    }

    /// openat2(2): E2BIG for a longer structure that has something in what we don't know.
    pub fn sys_openat2(&mut self, call: &mut Call<'_>) -> SysResult {
        const OPEN_HOW_SIZE: u64 = 24;
        let (how, size) = (call.ptr(2), call.arg(3));
        if size < OPEN_HOW_SIZE {
            return Err(Errno::EINVAL.into());
        }
        if size > 4096 {
            return Err(Errno::E2BIG.into());
        }
        let bytes = call.read_bytes(how, size as usize)?;
        if bytes[OPEN_HOW_SIZE as usize..].iter().any(|b| *b != 0) {
            return Err(Errno::E2BIG.into());
        }
        let word = |i: usize| u64::from_le_bytes(bytes[i..i + 8].try_into().expect("8 bytes"));
        let mut how = OpenHow { flags: word(0), mode: word(8), resolve: word(16) };
        build_open_flags(how)?;
        if how.flags & u64::from(raw::O_PATH) == 0 {
            how.flags |= u64::from(raw::O_LARGEFILE);
        }
        if how.resolve as u32 & raw::RESOLVE_CACHED != 0 {
            // "Not in the cache": callers try again without it.
            self.tell(Some(call.task), Fact::unsupported("openat2 RESOLVE_CACHED", ""));
            return Err(Errno::EAGAIN.into());
        }
        self.do_sys_openat2(call, call.int(0), 1, how)
    }

    fn do_sys_openat2(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: usize,
        how: OpenHow,
    ) -> SysResult {
        if let Progress::Fifo { pipe, seen } = call.flight.progress {
            if seen.is_none() {
                // A signal took the open back, and its descriptor with it.
                return Err(Wait::on(Event::PipeReaders(pipe)).into());
            }
            return self.resume_fifo_open(call, pipe);
        }
        let op = build_open_flags(how)?;
        let task = call.task;
        self.release_dead_objects(call.user);
        let path = call.read_path(call.ptr(path))?;
        if path.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        let end = self.rlimit_nofile(task);
        let cloexec = how.flags & u64::from(raw::O_CLOEXEC) != 0;
        let fd = self.table_mut(task).alloc_fd(0, end, cloexec)?;
        let opened = self.do_filp_open(call, dfd, &path, op);
        self.finish_open(call, fd, opened)
    }

    /// do_filp_open(): a description with one reference.
    fn do_filp_open(
        &mut self,
        call: &mut Call<'_>,
        dfd: i32,
        path: &[u8],
        op: OpenFlags,
    ) -> Result<FileId, Stop> {
        let task = call.task;
        if op.has(O_TMPFILE_BIT) {
            let lookup = Lookup { directory: true, ..op.lookup };
            let dir = self.user_path_at(task, dfd, path, lookup, call.user)?;
            return Ok(self.do_tmpfile(task, dir, op)?);
        }
        if op.has(raw::O_PATH) {
            return match self.filename_lookup(task, dfd, path, op.lookup, call.user)? {
                Found::Path(path) => Ok(self.dentry_open(task, path, FileKind::Inode, op.flags)),
                Found::File(file) => {
                    let what = self.describe_file(file).to_string();
                    self.tell(Some(task), Fact::unsupported("O_PATH of a nameless file", what));
                    Err(Errno::ENXIO.into())
                }
                Found::Namespace(ns) => Ok(self.ns_open(task, ns, op)?),
            };
        }
        let (found, created) = self.open_last_lookups(task, dfd, path, op, call.user)?;
        self.do_open(call, found, op, created)
    }

    /// link_path_walk and open_last_lookups(): finds the file, or makes it; says which.
    fn open_last_lookups(
        &mut self,
        task: TaskId,
        dfd: i32,
        path: &[u8],
        op: OpenFlags,
        user: &mut dyn Platform,
    ) -> Result<(Found, bool), Errno> {
        if !op.has(raw::O_CREAT) {
            return Ok((self.filename_lookup(task, dfd, path, op.lookup, user)?, false));
        }
        let mut nd = self.path_init(task, dfd, path, op.lookup.resolve)?;
        let mut path = path.to_vec();
        loop {
            let name = self.link_path_walk(&mut nd, &path, user)?;
            let last = match &name.last {
                Last::Norm(last) if name.slash => {
                    // "a/" can't be made by open; Linux says so before it looks whether it is there.
                    let _ = last;
                    return Err(Errno::EISDIR);
                }
                Last::Norm(last) => last,
                Last::Root | Last::Dot | Last::DotDot => {
                    self.walk_component(&mut nd, &name.last, true, user)?;
                    return Ok((Found::Path(nd.at), false));
                }
            };
            let Some(child) = self.lookup(nd.at.dentry, last, user)? else {
                self.vfs.mnt_want_write(nd.at.mnt)?;
                let kind = InodeKind::Regular(FileBytes::default());
                let made = self.create_in(task, nd.at.dentry, last, kind, op.mode)?;
                return Ok((Found::Path(nd.at.with(made)), true));
            };
            let there = self.follow_mount(&nd, nd.at.with(child))?;
            if !(op.lookup.follow && self.vfs.inode(there.dentry).is_symlink()) {
                return Ok((Found::Path(there), false));
            }
            match self.pick_link(&mut nd, there)? {
                Some(target) => path = target,
                None => return Ok((nd.nameless.unwrap_or(Found::Path(nd.at)), false)),
            }
        }
    }

    /// do_open(): the checks on what was found, then the opening, then O_TRUNC.
    fn do_open(
        &mut self,
        call: &mut Call<'_>,
        found: Found,
        op: OpenFlags,
        created: bool,
    ) -> Result<FileId, Stop> {
        if op.has(raw::O_CREAT) && op.has(raw::O_EXCL) && !created {
            return Err(Errno::EEXIST.into());
        }
        let path = match found {
            Found::Path(path) => path,
            Found::File(_) | Found::Namespace(_) if op.lookup.directory => {
                return Err(Errno::ENOTDIR.into());
            }
            Found::Namespace(ns) => return Ok(self.ns_open(call.task, ns, op)?),
            Found::File(file) => return self.reopen_nameless(call, file, op),
        };
        let dentry = path.dentry;
        let inode = self.vfs.inode(dentry);
        if inode.is_dir() && op.has(raw::O_CREAT) {
            return Err(Errno::EISDIR.into());
        }
        if op.lookup.directory && !inode.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        if !created && let Err(errno) = self.may_open(call.task, path, op) {
            self.tell_fixed_sysctl(call.task, path.dentry, op.writable());
            return Err(errno.into());
        }
        if self.vfs.inode(dentry).is_reg() {
            let inode = self.vfs.dentries[dentry].inode;
            self.break_lease(inode, op.writable(), op.has(raw::O_NONBLOCK))?;
        }
        let file = self.vfs_open(call, path, op)?;
        self.files[file].created = created;
        self.fsnotify_open(file);
        if op.has(raw::O_TRUNC)
            && !created
            && self.vfs.inode(dentry).is_reg()
            && let Err(errno) = self.do_truncate(dentry, 0, call.user)
        {
            self.fput(Some(call.task), file);
            return Err(errno.into());
        }
        if op.has(raw::O_TRUNC) && !created && self.vfs.inode(dentry).is_reg() {
            self.fsnotify_dentry(dentry, IN_MODIFY);
        }
        Ok(file)
    }

    /// may_open(): does the file grant what is asked for?
    fn may_open(&self, task: TaskId, path: Path, op: OpenFlags) -> Result<(), Errno> {
        let dentry = path.dentry;
        let inode = self.vfs.inode(dentry);
        let cred = &self.tasks[task].cred;
        if inode.is_symlink() {
            return Err(Errno::ELOOP);
        }
        if inode.is_dir() && op.acc_mode & MAY_WRITE != 0 {
            return Err(Errno::EISDIR);
        }
        if inode.is_device() && self.vfs.mnt_has(path.mnt, raw::MS_NODEV) {
            return Err(Errno::EACCES);
        }
        self.inode_permission(dentry, cred, op.acc_mode)?;
        let overwrites = op.writable() && !op.has(raw::O_APPEND) || op.has(raw::O_TRUNC);
        if inode.is_append() && overwrites {
            return Err(Errno::EPERM);
        }
        if op.has(raw::O_NOATIME) && !inode.owner_or_capable(&self.namespaces.user, cred) {
            return Err(Errno::EPERM);
        }
        let stored = inode.is_reg() || inode.is_dir();
        let writes = stored && (op.writable() || op.has(raw::O_TRUNC));
        if writes { self.vfs.mnt_want_write(path.mnt) } else { Ok(()) }
    }

    /// vfs_open(): what opening does, by kind.
    fn vfs_open(&mut self, call: &mut Call<'_>, path: Path, op: OpenFlags) -> Result<FileId, Stop> {
        let (task, dentry) = (call.task, path.dentry);
        let kind = match &self.vfs.inode(dentry).kind {
            InodeKind::Regular(_) => {
                if op.writable() && self.is_executed(dentry) {
                    return Err(Errno::ETXTBSY.into());
                }
                self.probe_lower(dentry, call.user)?;
                FileKind::Inode
            }
            InodeKind::Directory { .. } | InodeKind::Proc(_) | InodeKind::Cgroup(..) => {
                FileKind::Inode
            }
            InodeKind::CharDevice(device) => match device {
                Device::Null => FileKind::Null,
                Device::Zero => FileKind::Zero,
                Device::Full => FileKind::Full,
                Device::Random | Device::Urandom => FileKind::Urandom,
                Device::Tty => self.tty_open_current(task)?,
                Device::Ptmx => self.ptmx_open(task)?,
                Device::Pts(index) => self.pts_open(task, *index, op.flags)?,
                // Nobody sits at the machine's own console.
                Device::Console | Device::Other(..) => return Err(Errno::ENXIO.into()),
                Device::LoopControl => FileKind::LoopControl,
            },
            InodeKind::BlockDevice(rdev) => self.blkdev_open(*rdev, op.writable())?,
            InodeKind::Fifo(_) => return self.open_fifo(call, path, op.flags),
            // Sockets are connected to, not opened; links were ELOOP already.
            InodeKind::Socket(_) | InodeKind::Symlink(_) => return Err(Errno::ENXIO.into()),
        };
        let file = self.dentry_open(task, path, kind, op.flags);
        if let InodeKind::Proc(node) = self.vfs.inode(dentry).kind {
            self.proc_open(task, file, node).inspect_err(|_| self.fput(Some(task), file))?;
        }
        if let InodeKind::Cgroup(cgroup, _) = self.vfs.inode(dentry).kind {
            self.cgroup_open(task, file, cgroup).inspect_err(|_| self.fput(Some(task), file))?;
        }
        Ok(file)
    }

    /// A description of what is at `path`, no questions asked.
    pub fn dentry_open(&mut self, task: TaskId, path: Path, kind: FileKind, flags: u32) -> FileId {
        let mut file = File::new(kind, OFlags(flags & !ONLY_AT_OPEN));
        self.vfs.dget(path.dentry);
        file.path = Some(path);
        file.opened_by = Some(self.groups[self.tasks[task].group].tgid);
        self.files.insert(file)
    }

    /// A FIFO: the pipe is made by the first who opens it.
    fn open_fifo(&mut self, call: &mut Call<'_>, path: Path, flags: u32) -> Result<FileId, Stop> {
        let pipe = match self.vfs.inode(path.dentry).kind {
            InodeKind::Fifo(Some(pipe)) => pipe,
            _ => self.fifo_alloc(),
        };
        self.vfs.inode_mut(path.dentry).kind = InodeKind::Fifo(Some(pipe));
        // Until the open is done the description has no end of the pipe that it could release.
        let file = self.dentry_open(call.task, path, FileKind::Inode, flags);
        self.open_pipe_end(call, file, pipe)
    }

    /// fifo_open() with `file` as its future description. If it has to wait, the call holds `file`
    /// meanwhile.
    fn open_pipe_end(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        pipe: PipeId,
    ) -> Result<FileId, Stop> {
        match self.fifo_open(call, pipe, self.files[file].flags) {
            Ok(f_pipe) => {
                self.files[file].kind = FileKind::Pipe(pipe);
                self.files[file].f_pipe = f_pipe;
                Ok(file)
            }
            Err(Stop::Wait(wait)) => {
                call.flight.held.push(Held { fd: -1, file });
                Err(Stop::Wait(wait))
            }
            Err(stop) => {
                self.fput(Some(call.task), file);
                Err(stop)
            }
        }
    }

    /// Goes on with an open that waits for the other end of a FIFO: the description and the
    /// descriptor are there since the first run.
    fn resume_fifo_open(&mut self, call: &mut Call<'_>, pipe: PipeId) -> SysResult {
        let held = call.flight.held.pop().expect("an open that waits holds its file");
        let opened = self.open_pipe_end(call, held.file, pipe);
        if opened.is_ok() {
            self.fsnotify_open(held.file);
        }
        self.finish_open(call, held.fd, opened)
    }

    /// fd_install(), or put_unused_fd() if the open failed. While it waits the descriptor stays
    /// reserved.
    fn finish_open(
        &mut self,
        call: &mut Call<'_>,
        fd: i32,
        opened: Result<FileId, Stop>,
    ) -> SysResult {
        let waits = matches!(call.flight.progress, Progress::Fifo { seen: Some(_), .. });
        match opened {
            Ok(file) => {
                self.table_mut(call.task).fd_install(fd, file);
                Ok(fd as u64)
            }
            Err(stop) if waits => {
                if let Some(held) = call.flight.held.last_mut() {
                    held.fd = fd;
                }
                Err(stop)
            }
            Err(stop) => {
                self.table_mut(call.task).put_unused_fd(fd);
                Err(stop)
            }
        }
    }

    /// Opens anew what a nameless description is open on (/proc/PID/fd/N of a pipe or console).
    fn reopen_nameless(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        op: OpenFlags,
    ) -> Result<FileId, Stop> {
        let flags = OFlags(op.flags & !ONLY_AT_OPEN);
        let kind = self.files[file].kind;
        match kind {
            FileKind::Pipe(pipe) => {
                let file = self.files.insert(File::new(FileKind::Null, flags));
                self.open_pipe_end(call, file, pipe)
            }
            FileKind::Null
            | FileKind::Zero
            | FileKind::Full
            | FileKind::Urandom
            | FileKind::Console(_) => Ok(self.files.insert(File::new(kind, flags))),
            // sock_no_open, anon_inode: no way in but the descriptor. (Pseudoterminals have names.)
            FileKind::PtyMaster(_) | FileKind::PtySlave(_) => Err(Errno::ENXIO.into()),
            FileKind::Loop(_) | FileKind::LoopControl => Err(Errno::ENXIO.into()),
            FileKind::Anon(id) => match self.anon.namespace(id) {
                Some(ns) => Ok(self.ns_open(call.task, ns, op)?),
                None => Err(Errno::ENXIO.into()),
            },
            FileKind::Inode | FileKind::Socket(_) | FileKind::Epoll(_) => Err(Errno::ENXIO.into()),
        }
    }

    /// The machine may refuse to show a file that virtual root may read: its error, at the first
    /// open.
    fn probe_lower(&mut self, dentry: DentryId, user: &mut dyn Platform) -> Result<(), Errno> {
        let inode = self.vfs.inode_mut(dentry);
        if inode.probed {
            return Ok(());
        }
        if let InodeKind::Regular(FileBytes::Lower(below)) = &inode.kind {
            user.lower_read(&below.path, 0, &mut [0; 1])?;
        }
        inode.probed = true;
        Ok(())
    }

    /// Does a process execute this file (deny_write_access)?
    pub fn is_executed(&self, dentry: DentryId) -> bool {
        let inode = self.vfs.dentries[dentry].inode;
        let executed = |file: FileId| self.file_inode(file) == Some(inode);
        self.mms.iter().any(|(_, mm)| mm.exe_file.is_some_and(executed))
    }

    /// O_TMPFILE: a file in `dir` without a name.
    fn do_tmpfile(&mut self, task: TaskId, path: Path, op: OpenFlags) -> Result<FileId, Errno> {
        self.vfs.mnt_want_write(path.mnt)?;
        let dir = path.dentry;
        let cred = &self.tasks[task].cred;
        self.inode_permission(dir, cred, MAY_WRITE | MAY_EXEC)?;
        let dev = self.vfs.inode(dir).dev;
        if self.vfs.is_proc(dev) || [dev::DEVPTS, dev::CGROUP2].contains(&dev) {
            return Err(Errno::EOPNOTSUPP);
        }
        let kind = InodeKind::Regular(FileBytes::default());
        let inode = self.new_inode_in(task, dir, kind, op.mode)?;
        self.vfs.inodes[inode].nlink = 0;
        self.vfs.inodes[inode].linkable = !op.has(raw::O_EXCL);
        let name = format!("#{}", self.vfs.inodes[inode].ino);
        let dentry = self.vfs.d_tmpfile(dir, name.as_bytes(), inode);
        let flags = op.flags & !(O_TMPFILE_BIT | raw::O_DIRECTORY);
        Ok(self.dentry_open(task, path.with(dentry), FileKind::Inode, flags))
    }

    /// do_open_execat(): opens a program or interpreter for exec. EACCES unless it is a regular
    /// file that may be executed.
    pub fn open_exec(
        &mut self,
        task: TaskId,
        path: &[u8],
        user: &mut dyn Platform,
    ) -> Result<FileId, Errno> {
        self.open_exec_at(task, AT_FDCWD, path, Lookup::FOLLOW, user)
    }

    /// The same for execveat(2).
    pub fn open_exec_at(
        &mut self,
        task: TaskId,
        dfd: i32,
        path: &[u8],
        lookup: Lookup,
        user: &mut dyn Platform,
    ) -> Result<FileId, Errno> {
        let Found::Path(path) = self.filename_lookup(task, dfd, path, lookup, user)? else {
            return Err(Errno::EACCES);
        };
        let dentry = path.dentry;
        let inode = self.vfs.inode(dentry);
        if inode.is_symlink() {
            return Err(Errno::ELOOP);
        }
        if !inode.is_reg() || self.vfs.path_noexec(path) {
            return Err(Errno::EACCES);
        }
        let cred = self.tasks[task].cred.clone();
        self.inode_permission(dentry, &cred, MAY_EXEC)?;
        if self.is_open_for_writing(dentry) {
            return Err(Errno::ETXTBSY);
        }
        self.probe_lower(dentry, user)?;
        let file = self.dentry_open(task, path, FileKind::Inode, raw::O_RDONLY | raw::O_LARGEFILE);
        self.fsnotify_open(file);
        // Whoever executes a file reads its head.
        self.fsnotify_file(file, IN_ACCESS);
        Ok(file)
    }

    /// Has anybody this file open for writing (i_writecount)?
    fn is_open_for_writing(&self, dentry: DentryId) -> bool {
        let inode = self.vfs.dentries[dentry].inode;
        self.files.iter().any(|(_, f)| {
            f.kind == FileKind::Inode
                && f.flags.writable()
                && f.dentry().is_some_and(|d| self.vfs.dentries[d].inode == inode)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Tiny, World};
    use linux_raw_sys::general::*;

    fn world() -> World {
        let mut user = Tiny::default();
        user.lower_file("/etc/passwd", b"root");
        user.lower_file("/etc/shadow", b"secret");
        user.lower_mode("/etc/shadow", 0);
        user.lower_link("/etc/link", "passwd");
        user.lower_link("/etc/new", "made");
        World::new(user)
    }

    #[test]
    fn a_file_is_created_once_and_truncated_later() {
        let mut w = world();
        assert_eq!(w.open("/tmp/f", O_WRONLY, 0), Err(Errno::ENOENT));
        w.write("/tmp/f", b"hello").unwrap();
        assert_eq!(w.read("/tmp/f"), Ok(b"hello".to_vec()));
        assert_eq!(w.open("/tmp/f", O_CREAT | O_EXCL | O_WRONLY, 0o600), Err(Errno::EEXIST));
        w.write("/tmp/f", b"x").unwrap();
        assert_eq!(w.read("/tmp/f"), Ok(b"x".to_vec()));
        assert_eq!(w.names("/tmp"), [".", "..", "f"]);
    }

    #[test]
    fn a_write_to_a_machines_file_stays_here() {
        let mut w = world();
        let fd = w.open("/etc/passwd", O_WRONLY | O_APPEND, 0).unwrap();
        let file = w.kernel.table(w.task).get(fd).unwrap();
        w.kernel.inode_write(w.task, file, 0, b":x", &mut w.user).unwrap();
        assert_eq!(w.read("/etc/passwd"), Ok(b"root:x".to_vec()));
        assert_eq!(w.read("/etc/link"), Ok(b"root:x".to_vec()));
    }

    #[test]
    fn errors_come_in_linuxs_order() {
        let mut w = world();
        assert_eq!(w.open("/etc/passwd", O_RDONLY | O_DIRECTORY, 0), Err(Errno::ENOTDIR));
        assert_eq!(w.open("/etc/link", O_RDONLY | O_NOFOLLOW, 0), Err(Errno::ELOOP));
        assert_eq!(
            w.open("/etc/link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, 0),
            Err(Errno::ENOTDIR)
        );
        assert!(w.open("/etc/link", O_PATH | O_NOFOLLOW, 0).is_ok());
        assert_eq!(w.open("/etc", O_WRONLY, 0), Err(Errno::EISDIR));
        assert_eq!(w.open("/etc", O_CREAT, 0), Err(Errno::EISDIR));
        assert_eq!(w.open("/etc", O_CREAT | O_EXCL, 0), Err(Errno::EEXIST));
        assert_eq!(w.open("/etc/x/", O_CREAT | O_WRONLY, 0), Err(Errno::EISDIR));
        assert_eq!(w.open("/etc/link", O_CREAT | O_EXCL | O_WRONLY, 0), Err(Errno::EEXIST));
        assert_eq!(w.open("/tmp", O_TMPFILE, 0), Err(Errno::EINVAL));
        assert_eq!(w.open("/tmp", O_CREAT | O_DIRECTORY, 0), Err(Errno::EINVAL));
        assert_eq!(w.open("/etc/shadow", O_RDONLY, 0), Err(Errno::EACCES));
    }

    #[test]
    fn creating_through_a_dangling_link_makes_its_target() {
        let mut w = world();
        w.write("/etc/new", b"1").unwrap();
        assert_eq!(w.read("/etc/made"), Ok(b"1".to_vec()));
    }

    #[test]
    fn a_tmpfile_has_no_name_and_goes_with_its_last_descriptor() {
        let mut w = world();
        let (inodes, dentries) = (w.kernel.vfs.inodes.len(), w.kernel.vfs.dentries.len());
        let fd = w.open("/tmp", O_TMPFILE | O_RDWR, 0o600).unwrap();
        assert_eq!(w.kernel.vfs.inodes.len(), inodes + 1);
        assert_eq!(w.names("/tmp"), [".", ".."]);
        w.close(fd);
        assert_eq!((w.kernel.vfs.inodes.len(), w.kernel.vfs.dentries.len()), (inodes, dentries));
    }

    #[test]
    fn descriptors_run_out_before_the_path_is_walked() {
        let mut w = world();
        let group = w.kernel.init_group();
        w.kernel.groups[group].rlimits.0[7].soft = 0;
        assert_eq!(w.open("/nowhere", O_RDONLY, 0), Err(Errno::EMFILE));
        assert_eq!(w.open("", O_RDONLY, 0), Err(Errno::ENOENT));
    }
}
