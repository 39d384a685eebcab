//! Children: fork with a closure, wait with a raw status, gates to order two processes, and a way to
//! know that another thread or process sleeps in the kernel.

use crate::sys::{Fd, Sys, close, pipe, read, small, write};
use std::sync::atomic::AtomicU32;

/// A process's number.
pub type Pid = i32;

/// A process that runs the closure and then exits with its result.
pub fn fork(body: impl FnOnce() -> i32) -> Sys<Pid> {
    // SAFETY: the child runs only the closure and leaves by _exit.
    match small("fork", unsafe { libc::fork() })? {
        0 => {
            let status = body();
            // SAFETY: ends the process.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(pid),
    }
}

/// As `fork`, for a body that is a check: status 0 when it holds, else 99 and a sentence.
pub fn fork_check(body: impl FnOnce() -> Result<(), String>) -> Sys<Pid> {
    fork(|| match body() {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("in the child: {why}");
            99
        }
    })
}

/// clone(2) without a stack of its own: like fork, with these flags and this exit signal. The flags
/// must not share the memory.
pub fn clone_fork(flags: i32, body: impl FnOnce() -> i32) -> Sys<Pid> {
    let args = [i64::from(flags), 0, 0, 0, 0, 0];
    match crate::sys::raw("clone", libc::SYS_clone, args)? {
        0 => {
            let status = body();
            // SAFETY: ends the process.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(pid as Pid),
    }
}

/// waitpid(2): the pid (0 if none is ready) and the raw status.
pub fn wait_with(pid: Pid, options: i32) -> Sys<(Pid, i32)> {
    let mut status = 0;
    // SAFETY: one status.
    let found = small("waitpid", unsafe { libc::waitpid(pid, &mut status, options) })?;
    Ok((found, status))
}

/// Waits for a child's end: its raw status.
pub fn wait(pid: Pid) -> Sys<i32> {
    wait_with(pid, 0).map(|(_, status)| status)
}

/// Waits for a child whose body is a check.
pub fn wait_ok(pid: Pid) -> Result<(), String> {
    match wait(pid)? {
        0 => Ok(()),
        status => Err(format!("the child ended with status {status:#x}")),
    }
}

/// kill(2).
pub fn kill(pid: Pid, signal: i32) -> Sys<()> {
    // SAFETY: no memory is involved.
    small("kill", unsafe { libc::kill(pid, signal) }).map(|_| ())
}

/// kill(2) and the wait.
pub fn kill_and_wait(pid: Pid, signal: i32) -> Sys<i32> {
    kill(pid, signal)?;
    wait(pid)
}

/// This process's number.
pub fn getpid() -> Pid {
    // SAFETY: no memory is involved.
    unsafe { libc::getpid() }
}

/// This thread's number.
pub fn gettid() -> Pid {
    // SAFETY: no memory is involved.
    unsafe { libc::gettid() }
}

/// Sleeps until a signal comes, for ever.
pub fn pause_for_ever() -> ! {
    loop {
        // SAFETY: no memory is involved.
        unsafe { libc::pause() };
    }
}

/// Something that one process waits for and another one opens. Make it before fork.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    reader: Fd,
    writer: Fd,
}

impl Gate {
    /// A closed gate, on descriptors above 100, out of the way of tests that count descriptors.
    pub fn new() -> Sys<Gate> {
        let (reader, writer) = pipe()?;
        let high = |fd| {
            let moved = crate::sys::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100)?;
            close(fd)?;
            Ok(moved)
        };
        Ok(Gate { reader: high(reader)?, writer: high(writer)? })
    }

    /// Lets one waiter through.
    pub fn open(&self) -> Sys<()> {
        write(self.writer, b"!").map(|_| ())
    }

    /// Waits until somebody opened it.
    pub fn wait(&self) -> Sys<()> {
        read(self.reader, 1).map(|_| ())
    }
}

/// Returns once the thread `tid` of process `pid` sleeps in the kernel, by /proc/PID/task/TID/stat.
pub fn until_asleep(pid: Pid, tid: Pid) -> Result<(), String> {
    let path = format!("/proc/{pid}/task/{tid}/stat");
    loop {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let state = text.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        if state == Some('S') {
            return Ok(());
        }
        std::thread::yield_now();
    }
}

/// futex(2) FUTEX_WAIT: sleeps while the word has this value; spurious returns are possible.
pub fn futex_wait(word: &AtomicU32, value: u32) -> Sys<i64> {
    let args = [word.as_ptr() as i64, i64::from(libc::FUTEX_WAIT), i64::from(value), 0, 0, 0];
    crate::sys::raw("futex", libc::SYS_futex, args)
}

/// futex(2) FUTEX_WAKE: wakes at most `most` waiters; how many it woke.
pub fn futex_wake(word: &AtomicU32, most: i32) -> Sys<i64> {
    let args = [word.as_ptr() as i64, i64::from(libc::FUTEX_WAKE), i64::from(most), 0, 0, 0];
    crate::sys::raw("futex", libc::SYS_futex, args)
}

/// Runs this program again: `PROGRAM --then NAME ARGS…`. Returns only on failure.
pub fn exec_self(name: &str, args: &[&str]) -> String {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return format!("/proc/self/exe: {error}"),
    };
    let mut words = vec![crate::sys::c_path(&program)];
    words.extend(
        ["--then", name].iter().chain(args).filter_map(|word| std::ffi::CString::new(*word).ok()),
    );
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: null-terminated arrays of C strings that outlive the call.
    unsafe { libc::execv(words[0].as_ptr(), pointers.as_ptr()) };
    format!("execv failed: {}", crate::sys::describe(crate::sys::errno()))
}
