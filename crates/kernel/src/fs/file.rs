//! Open file descriptions (`struct file`) and their end: `filp_close` → `fput` → `__fput`.
//! A description lives as long as someone holds a reference: slots of tables, calls in progress,
//! messages in flight, mappings. The last `fput` queues the release on the task's LIFO list, which
//! runs on the way back to user mode or at step 15 of do_exit (rules F-6, X-7); that is why FINs
//! leave in descending order of descriptors. What a release does is in `fs/file_operations`.

use crate::abi::open::OFlags;
use crate::arena::Id;
use crate::fact::{FileFact, TaskFact};
use crate::fs::dcache::DentryId;
use crate::fs::epoll::EpollId;
use crate::fs::fasync::Fown;
use crate::fs::fdtable::TableId;
use crate::fs::path::Path;
use crate::fs::pipe::PipeId;
use crate::kernel::Kernel;
use crate::net::socket::SocketId;
use crate::task::{Cred, Pid, TaskId};
use crate::tty::TtyId;

/// Names a [`File`].
pub type FileId = Id<File>;

/// What a description is open on; every operation of `fs/file_operations` matches all of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A regular file, directory, symlink (O_PATH) or device of the VFS: see `File::path`.
    Inode,
    /// One end (or, for a FIFO opened O_RDWR, both) of a pipe; the flags say which.
    Pipe(PipeId),
    /// A socket.
    Socket(SocketId),
    /// An epoll set.
    Epoll(EpollId),
    /// eventfd, timerfd, signalfd, pidfd, …: see `fs/anon`.
    Anon(u64),
    /// /dev/null.
    Null,
    /// /dev/zero.
    Zero,
    /// /dev/full.
    Full,
    /// /dev/urandom and /dev/random.
    Urandom,
    /// /dev/loopN.
    Loop(u32),
    /// /dev/loop-control.
    LoopControl,
    /// Stream 0, 1 or 2 of the command's console; 3 is its terminal, opened by name.
    Console(u8),
    /// A pseudoterminal's master.
    PtyMaster(TtyId),
    /// A pseudoterminal's slave.
    PtySlave(TtyId),
}

/// One open file description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// What it is open on.
    pub kind: FileKind,
    /// f_path: its name in the tree, where it has one; holds a reference to the dentry.
    pub path: Option<Path>,
    /// f_pos.
    pub pos: u64,
    /// f_flags.
    pub flags: OFlags,
    /// f_count.
    pub count: u32,
    /// f_owner: who gets SIGIO and SIGURG (F_SETOWN, F_SETSIG).
    pub owner: Fown,
    /// f_pipe: how many writers a FIFO had had when this description was opened on it without
    /// one (rule F-13); 0 otherwise.
    pub f_pipe: u32,
    /// FMODE_CREATED: this open made the file.
    pub created: bool,
    /// f_cred: who opened it, where that is asked for later (files of procfs).
    pub f_cred: Option<Box<Cred>>,
    /// The process that made it, for the story.
    pub opened_by: Option<Pid>,
}

impl File {
    /// A description with one reference.
    pub fn new(kind: FileKind, flags: OFlags) -> File {
        File {
            kind,
            path: None,
            pos: 0,
            flags,
            count: 1,
            owner: Fown::default(),
            f_pipe: 0,
            created: false,
            f_cred: None,
            opened_by: None,
        }
    }

    /// Its name, whatever mount it was reached by.
    pub fn dentry(&self) -> Option<DentryId> {
        self.path.map(|path| path.dentry)
    }
}

impl Kernel {
    /// filp_close(): one descriptor gives up its description. POSIX locks that this table owns on
    /// the inode go now (rule F-11), the release waits (rule F-6).
    pub fn filp_close(&mut self, task: TaskId, table: TableId, fd: i32, file: FileId) {
        self.filp_flush(task, table, fd, file);
        self.fput(Some(task), file);
    }

    /// filp_flush(): what a closed descriptor does at once, before its reference goes.
    pub fn filp_flush(&mut self, task: TaskId, table: TableId, fd: i32, file: FileId) {
        let what = self.describe_file(file);
        let refs_left = self.files[file].count - 1;
        self.tell(Some(task), FileFact::FilpClose { fd, what, refs_left }.into());
        self.mqueue_flush(task, file);
        self.dnotify_flush(table, file);
        self.locks_remove_posix(table, file);
    }

    /// fput_close_sync(): the reference of a close(2); the last one releases at once (rule F-4).
    pub fn fput_close_sync(&mut self, task: TaskId, file: FileId) {
        let f = &mut self.files[file];
        f.count -= 1;
        if f.count == 0 {
            let what = self.describe_file(file);
            self.tell(Some(task), FileFact::Fput { what, deferred: false }.into());
            self.__fput(Some(task), file);
        }
    }

    /// fput(): one reference less. The last one queues the release on the task's list; without a
    /// task (a message in flight that dies with its socket) it is released at once.
    pub fn fput(&mut self, task: Option<TaskId>, file: FileId) {
        let f = &mut self.files[file];
        f.count -= 1;
        if f.count > 0 {
            return;
        }
        let what = self.describe_file(file);
        self.tell(task, FileFact::Fput { what, deferred: task.is_some() }.into());
        match task {
            Some(t) => self.tasks[t].task_works.push(file),
            None => self.__fput(None, file),
        }
    }

    /// task_work_run(): releases what was put, last put first, until nothing is left (a release
    /// may put more), or until one lingers: the others wait with it (T-4).
    pub fn task_work_run(&mut self, task: TaskId) {
        loop {
            let Some(t) = self.tasks.get_mut(task) else { return };
            let mut works = core::mem::take(&mut t.task_works);
            if works.is_empty() {
                return;
            }
            if self.tasks[task].exiting {
                let releases = works.len();
                self.tell(Some(task), TaskFact::TaskWorkRun { releases }.into());
            }
            while let Some(file) = works.pop() {
                self.__fput(Some(task), file);
                if self.tasks[task].lingering.is_some() {
                    // What was put meanwhile comes after the rest of these.
                    self.tasks[task].task_works.append(&mut works);
                    return;
                }
            }
        }
    }

    /// __fput(): the last reference is gone (rule F-10): out of epoll sets, flock and lease locks
    /// off, then the release of its kind, then its name.
    pub fn __fput(&mut self, task: Option<TaskId>, file: FileId) {
        let what = self.describe_file(file);
        self.tell(task, FileFact::FinalFput { what }.into());
        self.fsnotify_close(file);
        self.eventpoll_release(file);
        self.locks_remove_file(file);
        self.locks_remove_lease(file);
        self.take_off_lists(file);
        self.file_release(task, file);
        let Some(f) = self.files.remove(file) else { return };
        if let Some(path) = f.path {
            self.path_put(path);
        }
    }
}
