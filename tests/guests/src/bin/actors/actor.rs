//! An actor: waits for its token, makes the call of the step, writes down what it returned, and waits
//! again. It waits on a futex with the mask that the program gave it, so signals reach it there.

use super::shared::{self, Shared, Slot, WORDS};
use super::{files, io, ipc, polling, process, signals, sockets};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// A call: what it does with its arguments, and what it returned, an errno being negative.
pub type Call = fn(&mut Actor, [i64; WORDS]) -> i64;

/// Kinds of records.
pub const RESULT: i64 = 0;
pub const SIGNAL: i64 = 1;

thread_local! {
    static WHO: Cell<usize> = const { Cell::new(0) };
}

/// The actor that runs this thread.
pub fn me() -> usize {
    WHO.get()
}

/// What a call can reach.
pub struct Actor {
    pub shared: &'static Shared,
    pub slot: usize,
    /// What the call says beside its result.
    pub more: Vec<i64>,
}

/// All calls, by name.
pub fn calls() -> impl Iterator<Item = (&'static str, Call)> {
    let rooms = [
        process::CALLS,
        signals::CALLS,
        io::CALLS,
        files::CALLS,
        sockets::CALLS,
        polling::CALLS,
        ipc::CALLS,
    ];
    rooms.into_iter().flatten().copied()
}

/// A system call; a failed one gives its negative errno.
pub fn sys(number: i64, args: &[i64]) -> i64 {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let [a, b, c, d, e, f] = all;
    // SAFETY: the callers pass addresses of live objects of the sizes that the call expects.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        -1 => i64::from(-guests::sys::errno()),
        value => value,
    }
}

/// The address of something, as an argument.
pub fn address<T>(of: &mut T) -> i64 {
    std::ptr::from_mut(of) as i64
}

/// futex(2), FUTEX_WAIT.
pub fn futex_wait(word: &AtomicU32, value: u32) {
    let address = word.as_ptr() as i64;
    sys(libc::SYS_futex, &[address, i64::from(libc::FUTEX_WAIT), i64::from(value), 0]);
}

/// futex(2), FUTEX_WAKE of all.
pub fn futex_wake(word: &AtomicU32) {
    let address = word.as_ptr() as i64;
    sys(libc::SYS_futex, &[address, i64::from(libc::FUTEX_WAKE), i64::from(i32::MAX)]);
}

/// An actor's life, in a process or a thread of its own.
pub fn act(shared: &'static Shared, slot: usize) -> ! {
    WHO.set(slot);
    let calls: Vec<Call> = calls().map(|(_, call)| call).collect();
    let mut actor = Actor { shared, slot, more: Vec::new() };
    loop {
        let step = actor.token();
        let of = &shared.steps[step as usize - 1];
        let args = of.args.each_ref().map(|it| it.load(Ordering::SeqCst));
        actor.more.clear();
        let result = calls[of.call.load(Ordering::SeqCst) as usize](&mut actor, args);
        actor.finish(step, result);
    }
}

/// After exec: the same actor in a new image.
pub fn come_back(slot: usize) -> ! {
    let shared = shared::find();
    WHO.set(slot);
    let mut actor = Actor { shared, slot, more: Vec::new() };
    actor.register(sys(libc::SYS_gettid, &[]));
    actor.me().execing.store(0, Ordering::SeqCst);
    let step = actor.me().token.load(Ordering::SeqCst);
    actor.more = process::after_exec();
    actor.finish(step, 0);
    act(shared, slot)
}

impl Actor {
    /// Its place in the shared memory.
    pub fn me(&self) -> &'static Slot {
        &self.shared.slots[self.slot]
    }

    /// Writes down who it is.
    pub fn register(&self, tid: i64) {
        self.me().tgid.store(sys(libc::SYS_getpid, &[]) as u32, Ordering::SeqCst);
        self.me().tid.store(tid as u32, Ordering::SeqCst);
    }

    fn token(&self) -> u32 {
        loop {
            let done = self.me().done.load(Ordering::SeqCst);
            let token = self.me().token.load(Ordering::SeqCst);
            if token != done {
                return token;
            }
            futex_wait(&self.me().token, done);
        }
    }

    fn finish(&self, step: u32, result: i64) {
        let now = self.shared.now.load(Ordering::SeqCst);
        let mut record = vec![RESULT, i64::from(now), i64::from(step), result];
        record.extend(&self.more);
        self.me().log(&record);
        self.me().done.store(step, Ordering::SeqCst);
    }

    /// Says a pid as an actor.
    pub fn who(&self, pid: i64) -> i64 {
        self.shared.who(pid)
    }

    /// The pid that an argument stands for.
    pub fn pid(&self, actor: i64) -> i64 {
        self.shared.pid(actor)
    }

    /// Moves a new descriptor to the number that the program gives it, and returns the number that
    /// the kernel gave it; an error stays one.
    pub fn place(&self, fd: i64, at: i64) -> i64 {
        if fd >= 0 && fd != at {
            let flags = sys(libc::SYS_fcntl, &[fd, i64::from(libc::F_GETFD)]);
            let cloexec = if flags == 1 { i64::from(libc::O_CLOEXEC) } else { 0 };
            sys(libc::SYS_dup3, &[fd, at, cloexec]);
            sys(libc::SYS_close, &[fd]);
        }
        fd
    }
}
