//! The lab's doors to processes: start one as a child of the built-in init, take the power away
//! (`kill_from_outside` is in `signal/kill`). Neighbours: `exec` (loads the program), `exit`;
//! `lab::world` calls these.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::signal::Signal;
use crate::fs::console::StreamKind;
use crate::fs::fdtable::{FdTable, TableId};
use crate::fs::file::{File, FileId, FileKind};
use crate::fs::inode::MAY_EXEC;
use crate::fs::namei::{AT_FDCWD, Lookup};
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::random::{Purpose, Stream};
use crate::task::binprm::Opener;
use crate::task::init::blank_task;
use crate::task::{Cred, Fs, Pid, Run, SigHand, TaskId, ThreadGroup, WaitStatus};

/// What standard input, output and error of a started process are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stdio {
    /// /dev/null for input, the console for output (a scenario's process).
    Null,
    /// The console for all three (`afterlife run -- COMMAND`).
    Console,
}

/// A process to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spawn {
    /// Program and arguments. A program without a slash is searched for in `envp`'s PATH.
    pub argv: Vec<Vec<u8>>,
    /// `NAME=value` strings.
    pub envp: Vec<Vec<u8>>,
    /// Its working directory, absolute.
    pub cwd: Vec<u8>,
    /// Whose process it is.
    pub cred: Cred,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its descriptors 0, 1, 2.
    pub stdio: Stdio,
    /// It is PID 1, in place of the built-in init.
    pub init: bool,
}

/// Why a process could not be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpawnError {
    /// What execve(2) would say.
    pub errno: Errno,
    /// Which step failed on what, as a clause: "no file of that name in PATH=/bin:/usr/bin".
    pub why: String,
}

impl Kernel {
    /// Starts a process as a child of the built-in init; or as PID 1; or, beside a PID 1 that is a
    /// program, as a process whose parent is outside (`docker exec`). Nothing of it is left when it
    /// fails.
    pub fn spawn_process(
        &mut self,
        spawn: Spawn,
        user: &mut dyn Platform,
    ) -> Result<Pid, SpawnError> {
        let task = if spawn.init { self.newborn_init(&spawn)? } else { self.newborn(&spawn)? };
        let spawned_init = spawn.init;
        match self.exec_newborn(task, spawn, user) {
            Ok(()) => Ok(self.tasks[task].tid),
            Err(error) if spawned_init => {
                // The built-in one goes on.
                self.init_is_a_program = false;
                Err(error)
            }
            Err(error) => {
                self.bury_newborn(task, user);
                Err(error)
            }
        }
    }

    /// A task and process without a program: its own session, standard descriptors, no memory.
    fn newborn(&mut self, spawn: &Spawn) -> Result<TaskId, SpawnError> {
        let pid = self.pids.alloc_pid(None).map_err(|errno| match errno {
            Errno::ENOMEM => error(errno, "the host's PID 1 is dead: nobody is born any more"),
            _ => error(errno, "no process number is free"),
        })?;
        let parent = Some(self.init_group()).filter(|_| !self.init_is_a_program);
        let parent_task = parent.map(|group| self.groups[group].leader);
        let mut task = blank_task();
        task.tid = pid;
        task.cred = spawn.cred.clone();
        task.real_parent = parent_task;
        task.start_time = self.now;
        task.fs = Some(self.fs_structs.insert(Fs {
            users: 1,
            root: self.vfs.root,
            pwd: self.vfs.root,
            umask: spawn.umask,
        }));
        let task = self.tasks.insert(task);
        self.cgroup_post_fork(task, self.cgroups.root);
        let sighand = self.sighands.insert(SigHand::new());
        let owner = self.pids.ever(pid);
        let config = &self.config;
        let random = Stream::new(config.seed, config.number, owner, Purpose::Getrandom);
        let group = ThreadGroup {
            tgid: pid,
            parent,
            sighand,
            exit_signal: Some(Signal::SIGCHLD),
            pgrp: pid,
            session: pid,
            random,
            ..ThreadGroup::blank(task)
        };
        let group = self.groups.insert(group);
        self.tasks[task].group = group;
        if let Some(parent) = parent_task {
            self.tasks[parent].children.push(group);
        }
        self.pids.attach(pid, task);
        self.pids.keep(pid);
        self.pids.keep(pid);
        self.tasks[task].files = Some(self.standard_files(spawn.stdio));
        if let (Stdio::Console, Some(tty)) = (spawn.stdio, self.console.tty) {
            // As after login: its session has the terminal, and it is in the foreground.
            self.proc_set_tty(group, tty);
        }
        Ok(task)
    }

    /// PID 1 as it is before it runs its program (kernel_init): no signal is ignored any more.
    fn newborn_init(&mut self, spawn: &Spawn) -> Result<TaskId, SpawnError> {
        if self.init_is_a_program || self.groups.iter().count() > 1 {
            return Err(error(Errno::EBUSY, "another process of this host began before its init"));
        }
        self.init_is_a_program = true;
        let (task, group) = (self.init_task(), self.init_group());
        let files = self.standard_files(spawn.stdio);
        let t = &mut self.tasks[task];
        t.cred = spawn.cred.clone();
        t.start_time = self.now;
        t.run = Run::Ready;
        let empty = t.files.replace(files);
        let fs = t.fs.expect("init has one");
        self.fs_structs[fs].umask = spawn.umask;
        self.sighands[self.groups[group].sighand] = SigHand::new();
        if let Some(empty) = empty {
            self.tables.remove(empty);
        }
        if let (Stdio::Console, Some(tty)) = (spawn.stdio, self.console.tty) {
            self.proc_set_tty(group, tty);
        }
        Ok(task)
    }

    /// Descriptors 0, 1, 2. As on a login, the console is one description with three descriptors
    /// only in spirit: each has its own, so that a program may change the flags of one.
    fn standard_files(&mut self, stdio: Stdio) -> TableId {
        let input = match stdio {
            Stdio::Null => FileKind::Null,
            Stdio::Console => FileKind::Console(0),
        };
        let mut table = FdTable::default();
        for kind in [input, FileKind::Console(1), FileKind::Console(2)] {
            let file = self.files.insert(File::new(kind, OFlags::RDWR | OFlags::LARGEFILE));
            let fd = table.alloc_fd(0, 3, false).expect("a fresh table has room");
            table.fd_install(fd, file);
        }
        self.tables.insert(table)
    }

    fn exec_newborn(
        &mut self,
        task: TaskId,
        spawn: Spawn,
        user: &mut dyn Platform,
    ) -> Result<(), SpawnError> {
        let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let pwd = self.enter_directory(task, &spawn.cwd, user);
        pwd.map_err(|e| {
            let cwd = shown(&spawn.cwd);
            error(e, format!("the working directory {cwd} cannot be entered in the guest's files"))
        })?;
        self.name_terminal(task, user);
        let (path, file) = self.find_program(task, &spawn, user)?;
        let mut held = Vec::new();
        let opener = Opener { task, user: &mut *user, held: &mut held };
        let (argv, envp) = (spawn.argv, spawn.envp);
        let bprm = self.search_binary_handler(opener, path.clone(), file, argv, envp);
        let started =
            bprm.map_err(|e| error(e, not_executable(e, &shown(&path)))).and_then(|bprm| {
                let guest = user.spawn();
                let guest = guest.map_err(|e| error(e, "the platform has no guest left"))?;
                self.tell(Some(task), bprm.fact());
                self.start_program(task, guest, &bprm, user)
                    .map_err(|e| error(e, format!("{} cannot be loaded", shown(&path))))
            });
        for held in held.into_iter().rev() {
            self.fput(None, held.file);
        }
        self.task_work_run(task);
        started?;
        self.run_queue.push(task);
        Ok(())
    }

    /// chdir(2).
    fn enter_directory(
        &mut self,
        task: TaskId,
        path: &[u8],
        user: &mut dyn Platform,
    ) -> Result<(), Errno> {
        let lookup = Lookup { directory: true, ..Lookup::FOLLOW };
        let dir = self.user_path_at(task, AT_FDCWD, path, lookup, user)?;
        self.inode_permission(dir.dentry, &self.tasks[task].cred, MAY_EXEC)?;
        let fs = self.tasks[task].fs.expect("a newborn has one");
        self.set_fs_pwd(fs, dir);
        Ok(())
    }

    /// Standard streams that are the terminal are open on /dev/pts/0, so that ttyname(3) finds it.
    fn name_terminal(&mut self, task: TaskId, user: &mut dyn Platform) {
        let lookup = Lookup::FOLLOW;
        let Ok(tty) = self.user_path_at(task, AT_FDCWD, b"/dev/pts/0", lookup, user) else {
            return;
        };
        for fd in 0..3 {
            let Ok(file) = self.table(task).get(fd) else { continue };
            let FileKind::Console(stream) = self.files[file].kind else { continue };
            if self.console.kind(stream) == StreamKind::Tty {
                self.vfs.dget(tty.dentry);
                self.files[file].path = Some(tty);
            }
        }
    }

    /// execvp(3): a name without a slash is looked for in PATH.
    fn find_program(
        &mut self,
        task: TaskId,
        spawn: &Spawn,
        user: &mut dyn Platform,
    ) -> Result<(Vec<u8>, FileId), SpawnError> {
        let name = spawn.argv.first().filter(|n| !n.is_empty());
        let name = name.ok_or_else(|| error(Errno::ENOENT, "there is no command"))?.clone();
        let text = String::from_utf8_lossy(&name).into_owned();
        if name.contains(&b'/') {
            let file = self.open_exec(task, &name, user);
            return file.map(|f| (name, f)).map_err(|e| error(e, not_executable(e, &text)));
        }
        let path = spawn.envp.iter().find_map(|v| v.strip_prefix(b"PATH="));
        let path = path.unwrap_or(b"/bin:/usr/bin").to_vec();
        let mut worst = Errno::ENOENT;
        for dir in path.split(|b| *b == b':') {
            let dir = if dir.is_empty() { b"." } else { dir };
            let candidate = [dir, b"/", &name].concat();
            match self.open_exec(task, &candidate, user) {
                Ok(file) => return Ok((candidate, file)),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => worst = errno,
            }
        }
        let path = String::from_utf8_lossy(&path).into_owned();
        Err(error(worst, format!("{text} is not in PATH={path}; install it or write its path")))
    }

    /// What a failed start leaves is taken away again, without a word to anybody.
    fn bury_newborn(&mut self, task: TaskId, user: &mut dyn Platform) {
        let group = self.tasks[task].group;
        if let Some(guest) = self.tasks[task].guest.take() {
            user.release(guest);
        }
        if let Some(mm) = self.tasks[task].mm.take() {
            self.mmput(task, mm, user);
        }
        if let Some(table) = self.tasks[task].files.take() {
            self.put_files_struct(task, table);
        }
        if let Some(fs) = self.tasks[task].fs.take() {
            self.free_fs_struct(fs);
        }
        self.task_work_run(task);
        self.groups[group].group_exit = Some(WaitStatus::exited(127));
        self.release_task(group);
    }

    /// The host loses its power: every guest is released, nothing is sent, nothing runs again.
    pub fn power_off(&mut self, user: &mut dyn Platform) {
        let guests: Vec<_> = self.tasks.iter_mut().filter_map(|(_, t)| t.guest.take()).collect();
        for guest in guests {
            user.release(guest);
        }
    }
}

/// Why a file cannot be executed, and what to do about it.
fn not_executable(errno: Errno, path: &str) -> String {
    match errno {
        Errno::ENOENT => format!("{path}, or the interpreter that it names, does not exist"),
        Errno::EACCES => format!("{path} is no file that its user may execute; see chmod(1)"),
        Errno::ENOEXEC => format!(
            "{path} is neither an ELF program for x86-64 nor a script that begins with #!; build \
             it for x86-64 Linux or name its interpreter"
        ),
        _ => format!("{path} cannot be executed"),
    }
}

fn error(errno: Errno, why: impl Into<String>) -> SpawnError {
    SpawnError { errno, why: why.into() }
}
