//! The memory that the coordinator and all actors share: the program, who is who, and the logs. A
//! memfd under a number that no program touches, so that an actor finds it again after exec. Only
//! atomics: nobody needs `unsafe` to look into it, and a handler may write into it.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// The descriptor of this memory.
pub const FD: i32 = 900;
/// Processes and threads of one program.
pub const ACTORS: usize = 8;
/// Steps of one program.
pub const STEPS: usize = 200;
/// Words that a step, and a record of the log, may have beside its head.
pub const WORDS: usize = 6;
/// System V objects: two sets of semaphores, two queues.
pub const IDS: usize = 4;
const LOG: usize = 6000;

/// One step: who, what (the number of the call), with which arguments.
#[repr(C)]
pub struct Step {
    pub actor: AtomicI64,
    pub call: AtomicI64,
    pub args: [AtomicI64; WORDS],
}

/// One actor.
#[repr(C)]
pub struct Slot {
    /// The number of the step that it may make, from 1; a futex.
    pub token: AtomicU32,
    /// The number of the last step that it finished.
    pub done: AtomicU32,
    /// Its thread's and its process's number; 0 before it is born.
    pub tid: AtomicU32,
    pub tgid: AtomicU32,
    /// Between images: its tid is about to change.
    pub execing: AtomicU32,
    length: AtomicU32,
    log: [AtomicI64; LOG],
}

/// All of it.
#[repr(C)]
pub struct Shared {
    /// The step that is being made.
    pub now: AtomicU32,
    /// The coordinator's number, for names outside of its directory.
    pub coordinator: AtomicU32,
    /// The kernel's numbers of System V objects, plus one; 0 is none.
    pub ids: [AtomicI64; IDS],
    pub steps: [Step; STEPS],
    pub slots: [Slot; ACTORS],
}

/// Makes the memory, all zero.
pub fn make() -> &'static Shared {
    // SAFETY: a name, a fresh descriptor, and its whole size.
    unsafe {
        let fd = libc::memfd_create(c"actors".as_ptr(), 0);
        libc::ftruncate(fd, size_of::<Shared>() as i64);
        libc::dup2(fd, FD);
        libc::close(fd);
    }
    find()
}

/// Maps the memory that `make` made.
pub fn find() -> &'static Shared {
    let (size, prot) = (size_of::<Shared>(), libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the object has this size and is never unmapped; all of it is atomics, for which every
    // pattern of bits is a value.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), size, prot, libc::MAP_SHARED, FD, 0);
        assert!(at != libc::MAP_FAILED, "actors: the shared memory cannot be mapped");
        &*at.cast::<Shared>()
    }
}

impl Shared {
    /// Everything about the last program is forgotten.
    pub fn clear(&self) {
        for slot in &self.slots {
            for word in
                [&slot.token, &slot.done, &slot.tid, &slot.tgid, &slot.execing, &slot.length]
            {
                word.store(0, Ordering::SeqCst);
            }
        }
    }

    /// The actor with this pid; −1 is nobody we know, and numbers that are no pids stay.
    pub fn who(&self, pid: i64) -> i64 {
        if pid <= 0 {
            return pid;
        }
        let is = |slot: &Slot| i64::from(slot.tid.load(Ordering::SeqCst)) == pid;
        match self.slots.iter().position(is) {
            Some(slot) => 100 + slot as i64,
            None => 199,
        }
    }

    /// The pid of an argument: an actor's number, or a number that stands for itself (−1, 0), or a
    /// process that is not there.
    pub fn pid(&self, actor: i64) -> i64 {
        match usize::try_from(actor).ok().and_then(|it| it.checked_sub(100)) {
            None => actor,
            Some(slot) => match self.slots.get(slot).map(|it| it.tid.load(Ordering::SeqCst)) {
                None | Some(0) => i64::from(i32::MAX),
                Some(tid) => i64::from(tid),
            },
        }
    }
}

impl Slot {
    /// Appends a record. Whoever interrupts the writer comes behind it.
    pub fn log(&self, record: &[i64]) {
        let length = record.len() as u32 + 1;
        let at = self.length.fetch_add(length, Ordering::SeqCst) as usize;
        if at + record.len() < LOG {
            self.log[at].store(record.len() as i64, Ordering::SeqCst);
            for (word, value) in self.log[at + 1..].iter().zip(record) {
                word.store(*value, Ordering::SeqCst);
            }
        }
    }

    /// The records, in order.
    pub fn records(&self) -> Vec<Vec<i64>> {
        let length = (self.length.load(Ordering::SeqCst) as usize).min(LOG);
        let mut words = self.log[..length].iter().map(|it| it.load(Ordering::SeqCst));
        let mut records = Vec::new();
        while let Some(length) = words.next() {
            records.push(words.by_ref().take(length as usize).collect());
        }
        records
    }
}
