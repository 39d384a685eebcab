//! procfs (proc(5)): what is in /proc and how it is found. Files without a process are made at boot
//! (`root`, `system`), directories of processes appear when they are looked up and go when their process is
//! reaped. Texts are made when a file is read at its beginning, and kept for that description, as
//! seq_file does. Neighbours: `task` (files of a process), `memory` (of its address space), `net`
//! (its network), `link` (magic links), `system` (files of the host).

mod config;
pub mod link;
pub mod memory;
pub mod net;
mod open;
mod root;
pub mod sysctl;
pub mod sysctl_args;
pub mod system;
pub mod task;
pub mod tunable;

use crate::abi::Errno;
use crate::abi::stat::{S_IFDIR, S_IFLNK, S_IFREG};
use crate::fs::dcache::{Child, DentryId};
use crate::fs::file::FileId;
use crate::fs::inode::{InodeId, InodeKind};
use crate::fs::nsfs;
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::task::TaskId;
use crate::task::pid_namespace::PidNs;
use crate::task::user_namespace::UserNs;
use std::sync::Arc;
use system::SystemFile;
use task::{PROCESS_ONLY, PidFile, Reader, THREAD_FILES};

/// The magic links in a process's directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum PidLink {
    Cwd,
    Exe,
    Root,
}

/// What an inode of procfs is. Those of a process name the task that they are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum ProcNode {
    /// /proc itself.
    Root,
    /// /proc/self and /proc/thread-self.
    SelfLink,
    ThreadSelf,
    /// /proc/PID and /proc/PID/task/TID.
    Process(TaskId),
    Thread(TaskId),
    /// Directories in those.
    TaskDir(TaskId),
    FdDir(TaskId),
    FdinfoDir(TaskId),
    NetDir(TaskId),
    NsDir(TaskId),
    /// A link in the last one, by its place in `nsfs::LINKS`.
    Ns(TaskId, usize),
    /// /proc/PID/fd/N and /proc/PID/fdinfo/N.
    Fd(TaskId, i32),
    Fdinfo(TaskId, i32),
    Link(TaskId, PidLink),
    File(TaskId, PidFile),
    /// A file of the host.
    System(SystemFile),
}

impl ProcNode {
    /// The type bits of st_mode.
    pub fn file_type(self) -> u32 {
        match self {
            ProcNode::Root
            | ProcNode::Process(_)
            | ProcNode::Thread(_)
            | ProcNode::TaskDir(_)
            | ProcNode::FdDir(_)
            | ProcNode::FdinfoDir(_)
            | ProcNode::NetDir(_)
            | ProcNode::NsDir(_) => S_IFDIR,
            ProcNode::SelfLink
            | ProcNode::ThreadSelf
            | ProcNode::Fd(..)
            | ProcNode::Ns(..)
            | ProcNode::Link(..) => S_IFLNK,
            ProcNode::Fdinfo(..) | ProcNode::File(..) | ProcNode::System(_) => S_IFREG,
        }
    }

    /// Permission bits.
    fn mode(self) -> u32 {
        match self {
            ProcNode::Root
            | ProcNode::Process(_)
            | ProcNode::Thread(_)
            | ProcNode::TaskDir(_)
            | ProcNode::NetDir(_)
            | ProcNode::FdinfoDir(_) => 0o555,
            ProcNode::NsDir(_) => 0o511,
            ProcNode::FdDir(_) => 0o500,
            ProcNode::SelfLink
            | ProcNode::ThreadSelf
            | ProcNode::Fd(..)
            | ProcNode::Ns(..)
            | ProcNode::Link(..) => 0o777,
            ProcNode::Fdinfo(..) => 0o444,
            ProcNode::File(_, file) => file.mode(),
            ProcNode::System(file) => file.mode(),
        }
    }

    /// i_size: what Linux says of links that it can't measure beforehand.
    pub fn size(self) -> u64 {
        if let ProcNode::Fd(..) = self { 64 } else { 0 }
    }

    /// The task that it is about.
    fn task(self) -> Option<TaskId> {
        match self {
            ProcNode::Root | ProcNode::SelfLink | ProcNode::ThreadSelf | ProcNode::System(_) => {
                None
            }
            ProcNode::Process(t)
            | ProcNode::Thread(t)
            | ProcNode::TaskDir(t)
            | ProcNode::FdDir(t)
            | ProcNode::FdinfoDir(t)
            | ProcNode::NetDir(t)
            | ProcNode::NsDir(t)
            | ProcNode::Ns(t, _)
            | ProcNode::Fd(t, _)
            | ProcNode::Fdinfo(t, _)
            | ProcNode::Link(t, _)
            | ProcNode::File(t, _) => Some(t),
        }
    }
}

impl Kernel {
    /// The child `name` of a directory of procfs that is made of processes.
    pub(crate) fn proc_lookup(
        &mut self,
        dir: DentryId,
        parent: ProcNode,
        name: &[u8],
    ) -> Option<DentryId> {
        if let Some(Child::Dentry(known)) = self.vfs.dentries[dir].children.get(name) {
            let known = *known;
            if self.proc_revalidate(known) {
                return Some(known);
            }
            self.d_invalidate(known);
        }
        let dev = self.vfs.inode(dir).dev;
        let node = self.proc_child(parent, name, self.vfs.proc_pid_ns(dev))?;
        let inode = self.proc_inode(dev, node);
        Some(self.vfs.d_add(dir, name, inode))
    }

    /// pid_revalidate(): does a name in procfs still stand for what it stood for? Its owner is
    /// whoever the process is now.
    fn proc_revalidate(&mut self, dentry: DentryId) -> bool {
        let inode = self.vfs.dentries[dentry].inode;
        let InodeKind::Proc(node) = self.vfs.inodes[inode].kind else { return true };
        let Some(task) = node.task() else { return true };
        if self.tasks.get(task).is_none() {
            return false;
        }
        if let ProcNode::Fd(_, fd) | ProcNode::Fdinfo(_, fd) = node
            && self.proc_file_of(task, fd).is_none()
        {
            return false;
        }
        let cred = &self.tasks[task].cred;
        let (uid, gid) = (cred.euid, cred.egid);
        let mode = self.proc_mode(node);
        let inode = &mut self.vfs.inodes[inode];
        (inode.uid, inode.gid, inode.mode) = (uid, gid, mode);
        true
    }

    fn proc_inode(&mut self, dev: u32, node: ProcNode) -> InodeId {
        let time = self.current_time();
        let mode = self.proc_mode(node);
        let inode = self.vfs.new_inode(dev, InodeKind::Proc(node), mode, time);
        if let Some(task) = node.task() {
            let cred = &self.tasks[task].cred;
            let (uid, gid) = (cred.euid, cred.egid);
            let inode = &mut self.vfs.inodes[inode];
            (inode.uid, inode.gid) = (uid, gid);
        }
        inode
    }

    /// The mode of a link in fd/ says how the descriptor is open.
    fn proc_mode(&self, node: ProcNode) -> u32 {
        let ProcNode::Fd(task, fd) = node else { return node.mode() };
        let Some(file) = self.proc_file_of(task, fd) else { return 0 };
        let flags = self.files[file].flags;
        let read = if flags.readable() { 0o500 } else { 0 };
        let write = if flags.writable() { 0o300 } else { 0 };
        read | write
    }

    /// What descriptor `fd` of `task` is open on.
    pub(crate) fn proc_file_of(&self, task: TaskId, fd: i32) -> Option<FileId> {
        let table = self.tasks.get(task)?.files?;
        self.tables[table].get(fd).ok()
    }

    /// What a name in a directory of processes stands for.
    fn proc_child(&self, parent: ProcNode, name: &[u8], ns: PidNs) -> Option<ProcNode> {
        match parent {
            ProcNode::Root => {
                let task = self.pids.task(self.pids.find_pid_ns(number(name)?, ns)?)?;
                // A thread is found by its number too, though it is not listed.
                Some(ProcNode::Process(task))
            }
            ProcNode::TaskDir(leader) => {
                let task = self.pids.task(self.pids.find_pid_ns(number(name)?, ns)?)?;
                let same = self.tasks[task].group == self.tasks[leader].group;
                same.then_some(ProcNode::Thread(task))
            }
            ProcNode::Process(task) => match name {
                b"task" => Some(ProcNode::TaskDir(task)),
                b"net" => Some(ProcNode::NetDir(task)),
                _ => thread_child(task, name, THREAD_FILES)
                    .or_else(|| pid_file(task, name, PROCESS_ONLY)),
            },
            ProcNode::Thread(task) => thread_child(task, name, THREAD_FILES),
            ProcNode::FdDir(task) => {
                let fd = i32::try_from(number(name)?).ok()?;
                self.proc_file_of(task, fd).map(|_| ProcNode::Fd(task, fd))
            }
            ProcNode::FdinfoDir(task) => {
                let fd = i32::try_from(number(name)?).ok()?;
                self.proc_file_of(task, fd).map(|_| ProcNode::Fdinfo(task, fd))
            }
            ProcNode::NetDir(task) => task::NET_FILES
                .iter()
                .find(|(known, _)| known.as_bytes() == name)
                .map(|(_, file)| ProcNode::File(task, *file)),
            ProcNode::NsDir(task) => nsfs::LINKS
                .iter()
                .position(|(known, _)| known.as_bytes() == name)
                .map(|i| ProcNode::Ns(task, i)),
            ProcNode::SelfLink
            | ProcNode::ThreadSelf
            | ProcNode::Fd(..)
            | ProcNode::Fdinfo(..)
            | ProcNode::Ns(..)
            | ProcNode::Link(..)
            | ProcNode::File(..)
            | ProcNode::System(_) => None,
        }
    }

    /// The names in a directory of processes: files by name, processes by number.
    fn proc_names(&self, dir: ProcNode, ns: PidNs) -> Vec<Vec<u8>> {
        let text = |name: &str| name.as_bytes().to_vec();
        let decimal = |n: u64| n.to_string().into_bytes();
        match dir {
            ProcNode::Root => {
                let groups = self.pids.iter().filter(|(pid, t)| {
                    self.tasks.get(*t).is_some_and(|t| self.groups[t.group].tgid == *pid)
                });
                let mut pids: Vec<u32> =
                    groups.map(|(pid, _)| self.pids.pid_nr_ns(pid, ns)).collect();
                pids.retain(|pid| *pid != 0);
                pids.sort_unstable();
                pids.into_iter().map(|pid| decimal(pid.into())).collect()
            }
            ProcNode::TaskDir(task) => {
                let group = &self.groups[self.tasks[task].group];
                let mut tids: Vec<u32> = group
                    .tasks
                    .iter()
                    .map(|t| self.pids.pid_nr_ns(self.tasks[*t].tid, ns))
                    .collect();
                tids.sort_unstable();
                tids.into_iter().map(|tid| decimal(tid.into())).collect()
            }
            ProcNode::FdDir(task) | ProcNode::FdinfoDir(task) => match self.tasks[task].files {
                Some(t) => self.tables[t].iter().map(|(fd, _)| decimal(fd as u64)).collect(),
                None => Vec::new(),
            },
            ProcNode::Process(_) | ProcNode::Thread(_) => {
                let process = matches!(dir, ProcNode::Process(_));
                let only = if process { PROCESS_ONLY } else { &[] };
                let files = THREAD_FILES.iter().chain(only);
                let mut names: Vec<Vec<u8>> = files.map(|(name, _)| text(name)).collect();
                names.extend(["cwd", "exe", "fd", "fdinfo", "ns", "root"].map(text));
                if process {
                    names.extend(["net", "task"].map(text));
                }
                names.sort();
                names
            }
            ProcNode::NetDir(_) => task::NET_FILES.iter().map(|(name, _)| text(name)).collect(),
            ProcNode::NsDir(_) => nsfs::LINKS.iter().map(|(name, _)| text(name)).collect(),
            ProcNode::SelfLink
            | ProcNode::ThreadSelf
            | ProcNode::Fd(..)
            | ProcNode::Fdinfo(..)
            | ProcNode::Ns(..)
            | ProcNode::Link(..)
            | ProcNode::File(..)
            | ProcNode::System(_) => Vec::new(),
        }
    }

    /// Lists a directory of processes. ENOENT if the process is gone.
    pub(crate) fn proc_list(
        &mut self,
        dir: DentryId,
        node: ProcNode,
    ) -> Result<Vec<(Vec<u8>, u64, u8)>, Errno> {
        if node.task().is_some_and(|task| self.tasks.get(task).is_none()) {
            return Err(Errno::ENOENT);
        }
        if node == ProcNode::Root {
            self.proc_flush(dir);
        }
        let mut entries = Vec::new();
        let mut names = self.proc_names(node, self.vfs.proc_pid_ns(self.vfs.inode(dir).dev));
        if node == ProcNode::Root {
            let fixed = |name: &&Vec<u8>| number(name).is_none();
            let mut all: Vec<Vec<u8>> =
                self.vfs.dentries[dir].children.keys().filter(fixed).cloned().collect();
            all.append(&mut names);
            names = all;
        }
        for name in names {
            if let Some(child) = self.proc_lookup(dir, node, &name) {
                let inode = self.vfs.inode(child);
                entries.push((name, inode.ino, inode.d_type()));
            }
        }
        Ok(entries)
    }

    /// Reads a file of procfs: the text is made at its beginning and kept for the description.
    pub(crate) fn proc_read(
        &mut self,
        file: FileId,
        node: ProcNode,
        pos: u64,
        len: usize,
        user: &mut dyn Platform,
    ) -> Result<Vec<u8>, Errno> {
        if pos == 0 || !self.vfs.proc_texts.contains_key(&file) {
            // Unlike Linux, the reader is whose process opened it.
            let opener = self.files[file].opened_by.and_then(|pid| self.pids.task(pid));
            let user_ns = self.files[file].f_cred.as_ref().map_or(UserNs::INIT, |c| c.user_ns);
            let pid_ns = self.vfs.proc_pid_ns(self.vfs.inodes[self.inode_of(file)].dev);
            let reader = Reader { task: opener.unwrap_or(self.init_task()), user_ns, pid_ns };
            let text = match node {
                ProcNode::File(_, PidFile::Mountinfo) => self.mounts_show(file, true).into(),
                ProcNode::File(_, PidFile::Mounts) => self.mounts_show(file, false).into(),
                _ => self.proc_show(reader, node, user)?,
            };
            self.vfs.proc_texts.insert(file, Arc::new(text));
        }
        let text = &self.vfs.proc_texts[&file];
        let start = usize::try_from(pos).unwrap_or(usize::MAX).min(text.len());
        Ok(text[start..text.len().min(start.saturating_add(len))].to_vec())
    }

    /// The text of a file, as `reader` sees it. ESRCH if its process is gone.
    fn proc_show(
        &mut self,
        reader: Reader,
        node: ProcNode,
        user: &mut dyn Platform,
    ) -> Result<Vec<u8>, Errno> {
        if node.task().is_some_and(|task| self.tasks.get(task).is_none()) {
            return Err(Errno::ESRCH);
        }
        match node {
            ProcNode::System(file) => Ok(self.proc_system(reader.task, file)),
            ProcNode::File(task, file) => self.proc_pid_file(task, file, reader, user),
            ProcNode::Fdinfo(task, fd) => Ok(self.proc_fdinfo(task, fd, reader.pid_ns)),
            ProcNode::Root
            | ProcNode::Process(_)
            | ProcNode::Thread(_)
            | ProcNode::TaskDir(_)
            | ProcNode::FdDir(_)
            | ProcNode::FdinfoDir(_)
            | ProcNode::NetDir(_)
            | ProcNode::NsDir(_) => Err(Errno::EISDIR),
            ProcNode::SelfLink
            | ProcNode::ThreadSelf
            | ProcNode::Fd(..)
            | ProcNode::Ns(..)
            | ProcNode::Link(..) => Err(Errno::EINVAL),
        }
    }
}

/// What a process's and a thread's directory both have.
fn thread_child(task: TaskId, name: &[u8], files: &[(&str, PidFile)]) -> Option<ProcNode> {
    Some(match name {
        b"cwd" => ProcNode::Link(task, PidLink::Cwd),
        b"exe" => ProcNode::Link(task, PidLink::Exe),
        b"root" => ProcNode::Link(task, PidLink::Root),
        b"fd" => ProcNode::FdDir(task),
        b"fdinfo" => ProcNode::FdinfoDir(task),
        b"ns" => ProcNode::NsDir(task),
        _ => {
            return pid_file(task, name, files);
        }
    })
}

fn pid_file(task: TaskId, name: &[u8], files: &[(&str, PidFile)]) -> Option<ProcNode> {
    let (_, file) = files.iter().find(|(known, _)| known.as_bytes() == name)?;
    Some(ProcNode::File(task, *file))
}

/// name_to_int(): a decimal number without leading zeroes.
fn number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use crate::abi::Errno;
    use crate::fs::testing::{Tiny, World};
    use crate::task::Cred;

    fn readlink(w: &mut World, path: &str) -> Result<String, Errno> {
        let len = w.path(89, path, &[World::OUT, 100])? as usize;
        Ok(String::from_utf8(w.out(len)).unwrap())
    }

    #[test]
    fn self_is_whoever_asks() {
        let mut w = World::new(Tiny::default());
        assert_eq!(readlink(&mut w, "/proc/self"), Ok("1".into()));
        assert_eq!(readlink(&mut w, "/proc/thread-self"), Ok("1/task/1".into()));
        assert_eq!(w.read("/proc/self/comm"), Ok(b"init\n".to_vec()));
        assert_eq!(w.read("/proc/1/task/1/comm"), Ok(b"init\n".to_vec()));
        assert_eq!(w.read("/proc/2/comm"), Err(Errno::ENOENT));
        assert_eq!(w.read("/proc/01/comm"), Err(Errno::ENOENT));
        let status = String::from_utf8(w.read("/proc/self/status").unwrap()).unwrap();
        assert!(status.starts_with("Name:\tinit\nUmask:\t0022\n"), "{status}");
        let stat = String::from_utf8(w.read("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(stat.split(' ').count(), 52, "{stat}");
    }

    #[test]
    fn links_of_descriptors_jump_and_go_with_the_descriptor() {
        let mut w = World::new(Tiny::default());
        w.write("/tmp/f", b"bytes").unwrap();
        let fd = w.open("/tmp/f", 0, 0).unwrap();
        let link = format!("/proc/self/fd/{fd}");
        assert_eq!(readlink(&mut w, &link), Ok("/tmp/f".into()));
        assert_eq!(w.path(87, "/tmp/f", &[]), Ok(0));
        assert_eq!(readlink(&mut w, &link), Ok("/tmp/f (deleted)".into()));
        assert_eq!(w.read(&link), Ok(b"bytes".to_vec()));
        assert_eq!(w.read(&format!("/dev/fd/{fd}")), Ok(b"bytes".to_vec()));
        let listed = w.names("/proc/self/fd");
        assert_eq!(listed, [".", "..", "0", "1"]);
        w.close(fd);
        assert_eq!(w.path(4, &link, &[World::OUT]), Err(Errno::ENOENT));
        assert_eq!(readlink(&mut w, "/proc/self/cwd"), Ok("/".into()));
    }

    #[test]
    fn nobody_makes_or_removes_names() {
        // Measured on 6.18.
        let mut w = World::new(Tiny::default());
        assert_eq!(w.path(83, "/proc/x", &[0]), Err(Errno::ENOENT));
        assert_eq!(w.open("/proc/x", 0o101, 0), Err(Errno::ENOENT));
        assert_eq!(w.path(87, "/proc/version", &[]), Err(Errno::EPERM));
        assert_eq!(w.path(84, "/proc/sys", &[]), Err(Errno::EPERM));
        assert_eq!(w.paths(82, "/proc/version", "/proc/v"), Err(Errno::ENOENT));
        assert_eq!(w.open("/proc/sys/kernel/osrelease", 1, 0), Err(Errno::EACCES));
    }

    #[test]
    fn a_thread_names_itself() {
        let mut w = World::new(Tiny::default());
        w.write("/proc/self/comm", b"a-name-that-is-too-long\n").unwrap();
        assert_eq!(w.read("/proc/self/comm"), Ok(b"a-name-that-is-\n".to_vec()));
        assert_eq!(w.write("/proc/self/oom_score_adj", b"1001"), Err(Errno::EINVAL));
        w.write("/proc/self/oom_score_adj", b"500\n").unwrap();
        assert_eq!(w.read("/proc/self/oom_score_adj"), Ok(b"500\n".to_vec()));
    }

    #[test]
    fn root_sets_tcp_for_the_host_and_nobody_else_does() {
        let mut w = World::new(Tiny::default());
        let path = "/proc/sys/net/ipv4/tcp_retries2";
        w.write(path, b"7\n").unwrap();
        assert_eq!(w.read(path), Ok(b"7\n".to_vec()));
        assert_eq!(w.kernel.net.sysctls.config.retries2, 7);
        assert_eq!(w.write(path, b"256"), Err(Errno::EINVAL));
        assert_eq!(w.write("/proc/sys/net/ipv4/tcp_fastopen", b"1"), Err(Errno::EACCES));
        let task = w.task;
        w.kernel.tasks[task].cred = Cred::user(1000, 1000);
        assert_eq!(w.open(path, 1, 0), Err(Errno::EACCES));
    }

    #[test]
    fn the_hosts_files_are_there() {
        let mut w = World::new(Tiny::default());
        assert_eq!(w.read("/proc/sys/kernel/pid_max"), Ok(b"32768\n".to_vec()));
        assert_eq!(w.read("/proc/sys/kernel/random/uuid").map(|t| t.len()), Ok(37));
        assert_eq!(
            w.read("/proc/mounts").map(|t| t.starts_with(b"overlay / overlay rw")),
            Ok(true)
        );
        let all = w.names("/proc");
        assert!(all.contains(&"1".into()) && all.contains(&"self".into()));
        let loops = crate::fs::loop_device::LOOP_MIN_COUNT as usize;
        assert_eq!(w.names("/dev").len(), 2 + 8 + loops + 4 + 2 + 1);
    }
}
