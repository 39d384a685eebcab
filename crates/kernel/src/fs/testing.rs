//! A world of one directory tree for the unit tests of this room: the machine's files in a map,
//! objects in vectors, one guest with a page of memory, and system calls by number.
//! Only compiled for tests.

use crate::abi::Errno;
use crate::kernel::{Config, Kernel};
use crate::platform::{
    GuestId, LowerFiles, LowerKind, LowerStat, MapChange, ObjectId, Platform, Registers, Trap,
    UserMemory, UserPtr,
};
use crate::syscall::call::{Call, InFlight};
use crate::syscall::{Stop, Wait, table};
use crate::task::{Cred, TaskId};
use std::collections::BTreeMap;

/// Where the guest's memory begins.
const BASE: u64 = 0x10_000;

#[derive(Clone, Debug)]
enum Lower {
    File(Vec<u8>, u32),
    Dir(u32),
    Link(Vec<u8>),
}

/// The machine and its one guest.
#[derive(Debug)]
pub struct Tiny {
    files: BTreeMap<Vec<u8>, Lower>,
    pub objects: BTreeMap<ObjectId, Vec<u8>>,
    next: u64,
    pub memory: Vec<u8>,
}

impl Default for Tiny {
    fn default() -> Self {
        let mut tiny = Tiny {
            files: BTreeMap::new(),
            objects: BTreeMap::new(),
            next: 0,
            memory: vec![0; 1 << 16],
        };
        for dir in ["/", "/etc", "/usr", "/usr/bin", "/tmp"] {
            tiny.lower_dir(dir);
        }
        tiny
    }
}

impl Tiny {
    pub fn lower_file(&mut self, path: &str, bytes: &[u8]) {
        self.files.insert(path.into(), Lower::File(bytes.to_vec(), 0o644));
    }

    pub fn lower_mode(&mut self, path: &str, new: u32) {
        match self.files.get_mut(path.as_bytes()) {
            Some(Lower::File(_, mode) | Lower::Dir(mode)) => *mode = new,
            Some(Lower::Link(_)) | None => panic!("{path} has no mode"),
        }
    }

    pub fn lower_dir(&mut self, path: &str) {
        self.files.insert(path.into(), Lower::Dir(0o755));
    }

    pub fn lower_link(&mut self, path: &str, target: &str) {
        self.files.insert(path.into(), Lower::Link(target.into()));
    }
}

impl UserMemory for Tiny {
    fn read_user(&mut self, _: GuestId, from: UserPtr, into: &mut [u8]) -> usize {
        let Some(start) = from.0.checked_sub(BASE).map(|s| s as usize) else { return 0 };
        let len = self.memory.len().saturating_sub(start).min(into.len());
        into[..len].copy_from_slice(&self.memory[start..start + len]);
        len
    }
    fn write_user(&mut self, _: GuestId, to: UserPtr, from: &[u8]) -> usize {
        let Some(start) = to.0.checked_sub(BASE).map(|s| s as usize) else { return 0 };
        let len = self.memory.len().saturating_sub(start).min(from.len());
        self.memory[start..start + len].copy_from_slice(&from[..len]);
        len
    }
}

impl LowerFiles for Tiny {
    fn lower_stat(&mut self, path: &[u8]) -> Result<LowerStat, Errno> {
        let (kind, mode, size) = match self.files.get(path).ok_or(Errno::ENOENT)? {
            Lower::File(bytes, mode) => (LowerKind::Regular, *mode, bytes.len() as u64),
            Lower::Dir(mode) => (LowerKind::Directory, *mode, 4096),
            Lower::Link(target) => (LowerKind::Symlink, 0o777, target.len() as u64),
        };
        Ok(LowerStat { kind, mode, uid: 0, gid: 0, size, nlink: 1 })
    }
    fn lower_list(&mut self, path: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno> {
        let Some(Lower::Dir(_)) = self.files.get(path) else { return Err(Errno::ENOENT) };
        let mut prefix = path.to_vec();
        if prefix != b"/" {
            prefix.push(b'/');
        }
        let names: Vec<Vec<u8>> = self
            .files
            .keys()
            .filter_map(|p| p.strip_prefix(&prefix[..]))
            .filter(|rest| !rest.is_empty() && !rest.contains(&b'/'))
            .map(<[u8]>::to_vec)
            .collect();
        let kind = |name: &Vec<u8>| self.files[&[&prefix[..], name].concat()].clone();
        Ok(names
            .into_iter()
            .map(|name| match kind(&name) {
                Lower::File(..) => (name, LowerKind::Regular),
                Lower::Dir(_) => (name, LowerKind::Directory),
                Lower::Link(_) => (name, LowerKind::Symlink),
            })
            .collect())
    }
    fn lower_readlink(&mut self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        match self.files.get(path) {
            Some(Lower::Link(target)) => Ok(target.clone()),
            Some(Lower::File(..) | Lower::Dir(_)) => Err(Errno::EINVAL),
            None => Err(Errno::ENOENT),
        }
    }
    fn lower_read(&mut self, path: &[u8], offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let Some(Lower::File(bytes, mode)) = self.files.get(path) else {
            return Err(Errno::ENOENT);
        };
        if *mode == 0 {
            return Err(Errno::EACCES);
        }
        let start = (offset as usize).min(bytes.len());
        let len = (bytes.len() - start).min(into.len());
        into[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }
}

impl Platform for Tiny {
    fn user_range(&self) -> (u64, u64) {
        (0x10_000, 0x7fff_ffff_f000)
    }
    fn spawn(&mut self) -> Result<GuestId, Errno> {
        Ok(GuestId(0))
    }
    fn fork(&mut self, _: GuestId, _: bool) -> Result<GuestId, Errno> {
        Err(Errno::EAGAIN)
    }
    fn release(&mut self, _: GuestId) {}
    fn change_map(&mut self, _: GuestId, _: &[MapChange]) -> Result<(), (usize, Errno)> {
        Ok(())
    }
    fn run(&mut self, _: GuestId, _: &mut Registers) -> Trap {
        Trap::Gone
    }
    fn xstate(&mut self, _: GuestId) -> Vec<u8> {
        Vec::new()
    }
    fn set_xstate(&mut self, _: GuestId, _: &[u8]) -> bool {
        false
    }
    fn resident(&mut self, _guest: GuestId) -> u64 {
        0
    }
    fn xfeatures(&self) -> u64 {
        3
    }
    fn hwcap(&self) -> (u64, u64) {
        (0, 0)
    }
    fn object_create(&mut self, size: u64) -> Result<ObjectId, Errno> {
        self.next += 1;
        self.objects.insert(ObjectId(self.next), vec![0; size as usize]);
        Ok(ObjectId(self.next))
    }
    fn object_read(&mut self, id: ObjectId, offset: u64, into: &mut [u8]) -> usize {
        let bytes = &self.objects[&id];
        let start = (offset as usize).min(bytes.len());
        let len = (bytes.len() - start).min(into.len());
        into[..len].copy_from_slice(&bytes[start..start + len]);
        len
    }
    fn object_write(&mut self, id: ObjectId, offset: u64, from: &[u8]) {
        let start = offset as usize;
        let bytes = self.objects.get_mut(&id).expect("a living object");
        bytes[start..start + from.len()].copy_from_slice(from);
    }
    fn object_resize(&mut self, id: ObjectId, size: u64) -> Result<(), Errno> {
        self.objects.get_mut(&id).expect("a living object").resize(size as usize, 0);
        Ok(())
    }
    fn object_release(&mut self, id: ObjectId) {
        self.objects.remove(&id);
    }
}

/// What became of a call.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, in tests")]
pub enum Outcome {
    /// It returned.
    Done(Result<u64, Errno>),
    /// It waits.
    Waits(InFlight, Wait),
}

impl Outcome {
    /// The record of a call that waits.
    pub fn waiting(self) -> InFlight {
        match self {
            Outcome::Waits(flight, _) => flight,
            Outcome::Done(result) => panic!("it returned {result:?}"),
        }
    }
}

/// A booted kernel, its machine, and a task that makes calls (init's, as root).
pub struct World {
    pub kernel: Kernel,
    pub user: Tiny,
    pub task: TaskId,
    /// Where the next string goes in the guest's memory.
    cursor: usize,
}

impl World {
    pub fn new(user: Tiny) -> World {
        let kernel = Kernel::boot(Config::default());
        let task = kernel.init_task();
        World { kernel, user, task, cursor: 0 }
    }

    /// Puts bytes into the guest's memory; gives their address.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        if self.cursor + bytes.len() > 0x8000 {
            self.cursor = 0;
        }
        let at = self.cursor;
        self.user.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.cursor = (at + bytes.len()).next_multiple_of(8);
        BASE + at as u64
    }

    /// A NUL-terminated string in the guest's memory.
    pub fn str(&mut self, text: &str) -> u64 {
        self.put(&[text.as_bytes(), b"\0"].concat())
    }

    /// Where calls write to: the second half of the memory.
    pub const OUT: u64 = BASE + 0x8000;

    /// `len` bytes of what a call wrote there.
    pub fn out(&self, len: usize) -> Vec<u8> {
        self.user.memory[0x8000..0x8000 + len].to_vec()
    }

    /// A call that may wait; run twice if it does, as in debug builds (invariant 3).
    pub fn begin(&mut self, nr: u64, args: &[u64]) -> Outcome {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        let first = self.again(InFlight::new(nr, six, self.kernel.now));
        let Outcome::Waits(flight, wait) = first else { return first };
        let kernel = self.kernel.clone();
        let second = self.again(flight.clone());
        assert_eq!(second, Outcome::Waits(flight, wait), "a rerun of call {nr} differs");
        assert!(kernel == self.kernel, "a rerun of call {nr} changed the kernel");
        second
    }

    /// Runs a waiting call again.
    pub fn again(&mut self, flight: InFlight) -> Outcome {
        let mut call = Call { task: self.task, guest: GuestId(0), flight, user: &mut self.user };
        let row = table::row(call.flight.nr).expect("the table has this call");
        let result = (row.handler)(&mut self.kernel, &mut call);
        let flight = call.flight;
        let done = match result {
            Err(Stop::Wait(wait)) => return Outcome::Waits(flight, wait),
            Ok(value) | Err(Stop::Done(value)) => Ok(value),
            Err(Stop::Errno(errno)) => Err(errno),
            Err(Stop::NoReturn) => panic!("call {} does not return", flight.nr),
        };
        for held in flight.held {
            self.kernel.fput(Some(self.task), held.file);
        }
        self.kernel.task_work_run(self.task);
        Outcome::Done(done)
    }

    /// The system call with this name. Panics if it waits.
    pub fn sys(&mut self, nr: u64, args: &[u64]) -> Result<u64, Errno> {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        let flight = InFlight::new(nr, six, self.kernel.now);
        let mut call = Call { task: self.task, guest: GuestId(0), flight, user: &mut self.user };
        let row = table::row(nr).expect("the table has this call");
        let result = (row.handler)(&mut self.kernel, &mut call);
        for held in call.flight.held {
            self.kernel.fput(Some(self.task), held.file);
        }
        self.kernel.task_work_run(self.task);
        match result {
            Ok(value) | Err(Stop::Done(value)) => Ok(value),
            Err(Stop::Errno(errno)) => Err(errno),
            Err(stop) => panic!("call {nr} stopped: {stop:?}"),
        }
    }

    /// open(2).
    pub fn open(&mut self, path: &str, flags: u32, mode: u32) -> Result<i32, Errno> {
        let path = self.str(path);
        self.sys(2, &[path, u64::from(flags), u64::from(mode)]).map(|fd| fd as i32)
    }

    /// Closes without close(2), which is another room's.
    pub fn close(&mut self, fd: i32) {
        let file = self.kernel.table_mut(self.task).take(fd).expect("an open descriptor");
        let table = self.kernel.tasks[self.task].files.expect("a table");
        self.kernel.filp_close(self.task, table, fd, file);
        self.kernel.task_work_run(self.task);
    }

    /// A call on one path and numbers.
    pub fn path(&mut self, nr: u64, path: &str, rest: &[u64]) -> Result<u64, Errno> {
        let path = self.str(path);
        self.sys(nr, &[&[path], rest].concat())
    }

    /// A call on two paths.
    pub fn paths(&mut self, nr: u64, a: &str, b: &str) -> Result<u64, Errno> {
        let (a, b) = (self.str(a), self.str(b));
        self.sys(nr, &[a, b])
    }

    /// The bytes of a file, by a fresh description.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        let fd = self.open(path, 0, 0)?;
        let file = self.kernel.table(self.task).get(fd).expect("just opened");
        let bytes = self.kernel.inode_read(file, 0, 1 << 20, &mut self.user);
        self.close(fd);
        bytes
    }

    /// Writes a file anew.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let fd = self.open(path, 0o1 | 0o100 | 0o1000, 0o666)?;
        let file = self.kernel.table(self.task).get(fd).expect("just opened");
        let done = self.kernel.inode_write(self.task, file, 0, bytes, &mut self.user);
        self.close(fd);
        done.map(|_| ())
    }

    /// The names in a directory.
    pub fn names(&mut self, path: &str) -> Vec<String> {
        let fd = self.open(path, 0o200_000, 0).expect("a directory");
        let len = self.sys(217, &[fd as u64, World::OUT, 0x8000]).expect("getdents64") as usize;
        self.close(fd);
        let (bytes, mut at, mut names) = (self.out(len), 0, Vec::new());
        while at < len {
            let reclen = usize::from(u16::from_le_bytes([bytes[at + 16], bytes[at + 17]]));
            let name = &bytes[at + 19..at + reclen];
            let end = name.iter().position(|b| *b == 0).expect("a NUL");
            names.push(String::from_utf8_lossy(&name[..end]).into_owned());
            at += reclen;
        }
        names
    }

    /// From now on the task is this user.
    pub fn become_user(&mut self, uid: u32, gid: u32) {
        self.kernel.tasks[self.task].cred = Cred::user(uid, gid);
    }
}
