//! A thin safe skin over the machine's system calls: ptrace(2), wait(2), process_vm_readv(2),
//! memfd_create(2), clone(2). All `unsafe` of the project is in this file and its child `timer.rs`, and in no other. Each
//! function says what the call can fail with; none keeps state. Neighbours: everything in this room.

pub(super) mod timer;

use kernel::abi::Errno;
use kernel::platform::Registers;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A native process id. Never shown to guests.
pub(super) type Pid = libc::pid_t;

/// Bytes in a page.
pub(super) const PAGE: usize = 4096;

const NT_X86_XSTATE: usize = 0x202;
const PTRACE_SYSEMU: libc::c_uint = 31;
const PTRACE_SYSEMU_SINGLESTEP: libc::c_uint = 32;
const PTRACE_GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;

/// Why a traced process stopped, from its wait status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// At the entry of a system call (PTRACE_O_TRACESYSGOOD).
    Syscall,
    /// A ptrace event: 7 is PTRACE_EVENT_SECCOMP, 128 PTRACE_EVENT_STOP.
    Event(i32),
    /// About to receive a signal.
    Signal(i32),
    /// It is no more (and reaped).
    Ended,
}

/// How to let a stopped process go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Resume {
    /// Native system calls work (injection).
    Cont,
    /// System calls stop at their entry and are swallowed (guest code).
    Sysemu,
    /// As `Sysemu`, for one instruction (watchdog).
    Step,
}

/// What `siginfo` says of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SigInfo {
    /// `si_signo`.
    pub signo: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`; meaningless unless the signal is a fault.
    pub addr: u64,
}

/// A registration for restartable sequences, which libc made for the supervisor's thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rseq {
    pub pointer: u64,
    pub size: u32,
    pub signature: u32,
}

/// The errno of the system call that just failed.
fn last_errno() -> Errno {
    from_io(&std::io::Error::last_os_error())
}

/// The errno in an I/O error, EIO if it carries none.
pub(super) fn from_io(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn check(result: libc::c_long) -> Result<u64, Errno> {
    if result < 0 { Err(last_errno()) } else { Ok(result as u64) }
}

/// One ptrace request. The raw system call, not libc's wrapper, whose PEEK conventions differ.
///
/// # Safety
/// `addr` and `data` must be what `request` expects: where it writes, memory that may be written.
unsafe fn ptrace(request: libc::c_uint, pid: Pid, addr: usize, data: usize) -> Result<u64, Errno> {
    // SAFETY: passed on to the caller; a bad pid is an error, not undefined behaviour.
    check(unsafe { libc::syscall(libc::SYS_ptrace, request as libc::c_long, pid, addr, data) })
}

/// Attaches without stopping, with `options` in force from the first moment.
pub(super) fn seize(pid: Pid, options: libc::c_int) -> Result<(), Errno> {
    // SAFETY: PTRACE_SEIZE takes no pointers.
    unsafe { ptrace(libc::PTRACE_SEIZE, pid, 0, options as usize) }.map(drop)
}

/// Asks a seized process to stop with event 128. Async-signal-safe.
pub(super) fn interrupt(pid: Pid) -> Result<(), Errno> {
    // SAFETY: PTRACE_INTERRUPT takes no pointers.
    unsafe { ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0) }.map(drop)
}

/// Lets a stopped process go on, whatever signal it stopped for being dropped. ESRCH if it is not
/// stopped, that is, being killed.
pub(super) fn resume(pid: Pid, how: Resume) -> Result<(), Errno> {
    let request = match how {
        Resume::Cont => libc::PTRACE_CONT,
        Resume::Sysemu => PTRACE_SYSEMU,
        Resume::Step => PTRACE_SYSEMU_SINGLESTEP,
    };
    // SAFETY: these requests take a signal number and no pointers.
    unsafe { ptrace(request, pid, 0, 0) }.map(drop)
}

/// Waits until `pid` stops or ends. A process that is not our child any more has ended.
pub(super) fn wait(pid: Pid) -> Stop {
    let mut status = 0;
    loop {
        // SAFETY: status is ours to write; no rusage is asked for.
        let got = unsafe { libc::wait4(pid, &mut status, libc::__WALL, std::ptr::null_mut()) };
        if got == pid {
            break;
        }
        if last_errno() != Errno::EINTR {
            return Stop::Ended;
        }
    }
    if !libc::WIFSTOPPED(status) {
        return Stop::Ended;
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (0, sig) if sig == libc::SIGTRAP | 0x80 => Stop::Syscall,
        (0, sig) => Stop::Signal(sig),
        (event, _) => Stop::Event(event),
    }
}

/// SIGKILL.
pub(super) fn kill(pid: Pid) {
    // SAFETY: no memory is involved. ESRCH is no news.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

macro_rules! registers {
    ($($name:ident)*) => {
        fn from_native(native: &libc::user_regs_struct) -> Registers {
            Registers { $($name: native.$name,)* }
        }

        fn to_native(regs: &Registers) -> libc::user_regs_struct {
            libc::user_regs_struct { $($name: regs.$name,)* }
        }

        /// The registers as words in the order of `struct user_regs_struct`.
        pub(super) fn words(regs: &Registers) -> [u64; 27] {
            [$(regs.$name,)*]
        }
    };
}
registers!(r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss
    fs_base gs_base ds es fs gs);

/// PTRACE_GETREGS.
pub(super) fn getregs(pid: Pid) -> Result<Registers, Errno> {
    let mut native = to_native(&Registers::default());
    // SAFETY: the request writes one user_regs_struct to data.
    unsafe { ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut native as usize) }?;
    Ok(from_native(&native))
}

/// PTRACE_SETREGS. EIO if the CPU cannot hold the values; some may have been set then.
pub(super) fn setregs(pid: Pid, regs: &Registers) -> Result<(), Errno> {
    let native = to_native(regs);
    // SAFETY: the request reads one user_regs_struct from data.
    unsafe { ptrace(libc::PTRACE_SETREGS, pid, 0, &raw const native as usize) }.map(drop)
}

/// PTRACE_GETSIGINFO.
pub(super) fn getsiginfo(pid: Pid) -> Result<SigInfo, Errno> {
    // SAFETY: siginfo_t is plain data; the request writes one to data, and si_addr reads a field
    // of the union that is initialised in any case.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        ptrace(libc::PTRACE_GETSIGINFO, pid, 0, &raw mut info as usize)?;
        Ok(SigInfo { signo: info.si_signo, code: info.si_code, addr: info.si_addr() as u64 })
    }
}

/// PTRACE_GETREGSET of the extended state, in XSAVE's standard format.
pub(super) fn getxstate(pid: Pid) -> Result<Vec<u8>, Errno> {
    let mut area = vec![0; 16384];
    let mut iov = libc::iovec { iov_base: area.as_mut_ptr().cast(), iov_len: area.len() };
    // SAFETY: the request writes at most iov_len bytes and puts their number into iov.
    unsafe { ptrace(libc::PTRACE_GETREGSET, pid, NT_X86_XSTATE, &raw mut iov as usize) }?;
    area.truncate(iov.iov_len);
    Ok(area)
}

/// PTRACE_SETREGSET of the extended state. EINVAL or EFAULT if the CPU would refuse it.
pub(super) fn setxstate(pid: Pid, area: &[u8]) -> Result<(), Errno> {
    let mut iov = libc::iovec { iov_base: area.as_ptr().cast_mut().cast(), iov_len: area.len() };
    // SAFETY: the request reads at most iov_len bytes from area.
    unsafe { ptrace(libc::PTRACE_SETREGSET, pid, NT_X86_XSTATE, &raw mut iov as usize) }.map(drop)
}

/// The rseq registration of a stopped process; `None` if it has none.
pub(super) fn rseq(pid: Pid) -> Option<Rseq> {
    let mut words = [0u64; 3];
    let data = words.as_mut_ptr() as usize;
    // SAFETY: the request writes one struct ptrace_rseq_configuration of 24 bytes.
    unsafe { ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, size_of_val(&words), data) }.ok()?;
    let (size, signature) = (words[1] as u32, (words[1] >> 32) as u32);
    (words[0] != 0).then_some(Rseq { pointer: words[0], size, signature })
}

/// process_vm_readv(2): how many bytes could be read before the first hole.
pub(super) fn read_memory(pid: Pid, from: u64, into: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: from as *mut _, iov_len: into.len() };
    // SAFETY: local describes `into`; remote is only meaningful in the other process.
    let got = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    usize::try_from(got).unwrap_or(0)
}

/// process_vm_writev(2): how many bytes could be written before the first hole.
pub(super) fn write_memory(pid: Pid, to: u64, from: &[u8]) -> usize {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = libc::iovec { iov_base: to as *mut _, iov_len: from.len() };
    // SAFETY: local describes `from`, which is only read.
    let got = unsafe { libc::process_vm_writev(pid, &local, 1, &remote, 1, 0) };
    usize::try_from(got).unwrap_or(0)
}

/// memfd_create(2), closed on exec, of `size` zero bytes.
pub(super) fn memfd(name: &CStr, size: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: name is a C string; a descriptor that the call returns is ours alone.
    let fd = unsafe {
        let raw = check(libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC).into())?;
        OwnedFd::from_raw_fd(raw as RawFd)
    };
    truncate(&fd, size)?;
    Ok(fd)
}

/// ftruncate(2).
pub(super) fn truncate(fd: &OwnedFd, size: u64) -> Result<(), Errno> {
    let size = libc::off_t::try_from(size).map_err(|_| Errno::EFBIG)?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::ftruncate(fd.as_raw_fd(), size) }.into()).map(drop)
}

/// One page of memory that the supervisor shares with its guests: it writes, they read and execute.
#[derive(Debug)]
pub(super) struct SharedPage {
    at: *mut u8,
}

impl SharedPage {
    /// Maps the first page of `fd` with these protections.
    pub(super) fn map(fd: &OwnedFd, prot: libc::c_int) -> Result<SharedPage, Errno> {
        let fd = fd.as_raw_fd();
        // SAFETY: no address is given, so nothing that exists is replaced.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, prot, libc::MAP_SHARED, fd, 0) };
        if at == libc::MAP_FAILED { Err(last_errno()) } else { Ok(SharedPage { at: at.cast() }) }
    }

    /// Its address in the supervisor.
    pub(super) fn address(&self) -> u64 {
        self.at as u64
    }

    /// Writes bytes at an offset. Panics beyond the page's end. The page must be writable.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= PAGE, "the gadget page is too small");
        // SAFETY: inside our page by the line above; no reference into it exists, and the guests
        // that see it are stopped.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(offset), bytes.len()) };
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the page is ours and nobody holds a reference into it.
        unsafe { libc::munmap(self.at.cast(), PAGE) };
    }
}

/// Makes a copy of this process that shares its descriptor table and sleeps for ever, all signals
/// blocked. It is killed when the calling thread ends.
pub(super) fn clone_sleeper() -> Result<Pid, Errno> {
    // SAFETY: the child runs on its own copy of this stack, calls nothing but raw system calls (the
    // process may have other threads), and never returns. With all signals blocked none of the
    // supervisor's handlers can run in it. The masks are plain data.
    unsafe {
        let parent = libc::getpid();
        let (mut all, mut old): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        let flags = libc::CLONE_FILES | libc::SIGCHLD;
        let pid = libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0);
        if pid == 0 {
            libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            while libc::syscall(libc::SYS_getppid) == libc::c_long::from(parent) {
                libc::syscall(libc::SYS_pause);
            }
            libc::syscall(libc::SYS_exit_group, 0);
        }
        let pid = check(pid);
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut());
        pid.map(|pid| pid as Pid)
    }
}

/// The CPU time that `pid` has used so far.
pub(super) fn cpu_time(pid: Pid) -> Result<Duration, Errno> {
    /// What a CPU clock counts, in the two low bits of its number: all that the scheduler gave.
    const CPUCLOCK_SCHED: libc::clockid_t = 2;
    let clock = (!pid << 3) | CPUCLOCK_SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec.
    check(unsafe { libc::clock_gettime(clock, &mut time) }.into())?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The CPUs that this thread may run on.
pub(super) fn affinity() -> Result<libc::cpu_set_t, Errno> {
    // SAFETY: cpu_set_t is plain data of the size that is given.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of_val(&set), &mut set).into())?;
        Ok(set)
    }
}

/// sched_setaffinity(2) for this thread.
pub(super) fn set_affinity(set: &libc::cpu_set_t) -> Result<(), Errno> {
    // SAFETY: the call reads a cpu_set_t of the size that is given.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(set), set) }.into()).map(drop)
}

/// The set of the one CPU that this thread is on.
pub(super) fn current_cpu() -> Result<libc::cpu_set_t, Errno> {
    // SAFETY: CPU_SET checks its bounds.
    unsafe {
        let cpu = check(libc::sched_getcpu().into())?;
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        Ok(set)
    }
}

/// Raises the soft limit of open descriptors to the hard one: each memory object takes one.
pub(super) fn raise_nofile() {
    // SAFETY: rlimit is plain data. Failure leaves the old limit, with which small worlds run.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// AT_HWCAP and AT_HWCAP2 of the machine.
pub(super) fn hwcap() -> (u64, u64) {
    // SAFETY: getauxval has no preconditions.
    unsafe { (libc::getauxval(libc::AT_HWCAP), libc::getauxval(libc::AT_HWCAP2)) }
}
