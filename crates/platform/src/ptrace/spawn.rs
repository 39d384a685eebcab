//! Birth of native processes. One *zygote* is made at start: a child of the supervisor whose address
//! space is empty but for the gadget page, whose TSC is trapped and whose seccomp filter allows
//! nothing but injected calls. Every guest is a clone of it or of another guest, made by injection
//! with CLONE_PARENT, so that all are the supervisor's children, and CLONE_FILES, so that
//! descriptors the supervisor opens can be mapped. Threads are CLONE_VM processes: each has a wait
//! status of its own. Neighbours: `inject.rs` makes the calls, `guest.rs` is what comes out.

use super::error::Error;
use super::guest::Guest;
use super::inject::{Call, GADGET, Gadget, SYSCALL_END};
use super::sys::{self, PAGE, SharedPage};
use super::xstate;
use kernel::abi::Errno;
use std::fs;
use std::os::fd::{AsRawFd, RawFd};

/// One past the highest address of a process (TASK_SIZE_MAX with 4-level paging; nothing is mapped
/// above it unless asked for).
const TASK_SIZE: u64 = 0x7fff_ffff_f000;

/// Gives [`Error::Machine`] for a call.
fn machine(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Machine { call, errno }
}

/// Makes the zygote and the supervisor's side of the gadget page.
pub(super) fn zygote() -> Result<(Gadget, Guest), Error> {
    let fd = sys::memfd(c"gadget", PAGE as u64).map_err(machine("memfd_create"))?;
    let mut gadget = Gadget::new(&fd).map_err(machine("mmap"))?;
    // The child needs the stub before it can map it at its place: it inherits this mapping.
    let inherited =
        SharedPage::map(&fd, libc::PROT_READ | libc::PROT_EXEC).map_err(machine("mmap"))?;
    let mut guest = adopt(sys::clone_sleeper().map_err(machine("clone"))?)?;
    // Best effort: without /proc the machine's OOM killer merely has no preference for guests.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", guest.pid), "1000");

    let at = inherited.address();
    let mut calls = Vec::new();
    // Its memory is about to vanish; the machine's kernel would kill the process for that.
    if let Some(rseq) = sys::rseq(guest.pid) {
        let (size, signature) = (rseq.size.into(), rseq.signature.into());
        calls.push(Call::new(libc::SYS_rseq, [rseq.pointer, size, 1, signature]));
    }
    let no_signals = gadget.scratch(at, &0u64.to_ne_bytes());
    let setmask = libc::SIG_SETMASK as u64;
    calls.push(Call::new(libc::SYS_rt_sigprocmask, [setmask, no_signals, 0, 8]));
    calls.push(Call::new(libc::SYS_setsid, []));
    calls.push(map_gadget(fd.as_raw_fd()));
    gadget.inject_at(at, &mut guest, &calls).map_err(|(_, errno)| machine("injection")(errno))?;

    empty(&mut gadget, &mut guest)?;
    confine(&mut gadget, &mut guest)?;
    xstate::reset(guest.pid).map_err(machine("PTRACE_SETREGSET"))?;
    Ok((gadget, guest))
}

/// Attaches to a child and stops it.
fn adopt(pid: sys::Pid) -> Result<Guest, Error> {
    let options =
        libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACESECCOMP;
    let mut guest = Guest::new(pid);
    let stopped = sys::seize(pid, options)
        .and_then(|()| sys::interrupt(pid))
        .and_then(|()| guest.first_stop());
    match stopped {
        Ok(()) => Ok(guest),
        Err(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => {
            Err(Error::PtraceDenied(errno))
        }
        Err(errno) => Err(machine("PTRACE_SEIZE")(errno)),
    }
}

fn map_gadget(fd: RawFd) -> Call {
    let prot = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let flags = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
    Call::new(libc::SYS_mmap, [GADGET, PAGE as u64, prot, flags, fd as u64, 0])
}

/// Unmaps everything but the gadget page: the supervisor's image, its stacks, vdso and vvar.
fn empty(gadget: &mut Gadget, guest: &mut Guest) -> Result<(), Error> {
    let above = GADGET + PAGE as u64;
    let calls = [
        Call::new(libc::SYS_munmap, [0, GADGET]),
        Call::new(libc::SYS_munmap, [above, TASK_SIZE - above]),
    ];
    match gadget.inject(guest, &calls) {
        Ok(_) => Ok(()),
        Err((_, Errno::EPERM)) => Err(Error::SealedMappings),
        Err((_, errno)) => Err(machine("munmap")(errno)),
    }
}

/// Closes the ways around the trap: rdtsc faults, and the one door that PTRACE_SYSEMU leaves open,
/// the vsyscall page, meets a filter that allows calls from the stub only. SYSEMU comes before
/// seccomp, so that guests pay nothing for it.
fn confine(gadget: &mut Gadget, guest: &mut Guest) -> Result<(), Error> {
    let (high, low) = ((SYSCALL_END >> 32) as u32, SYSCALL_END as u32);
    // struct seccomp_data has the instruction pointer at offset 8. Codes: BPF_LD|BPF_W|BPF_ABS,
    // BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K.
    let filter: [(u16, u8, u8, u32); 6] = [
        (0x20, 0, 0, 12),
        (0x15, 0, 3, high),
        (0x20, 0, 0, 8),
        (0x15, 0, 1, low),
        (0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
        (0x06, 0, 0, libc::SECCOMP_RET_TRACE),
    ];
    // struct sock_fprog (length, padding, pointer), then the instructions, then the name.
    let mut bytes = vec![0u8; 16];
    for (code, jt, jf, k) in filter {
        bytes.extend_from_slice(&code.to_ne_bytes());
        bytes.extend_from_slice(&[jt, jf]);
        bytes.extend_from_slice(&k.to_ne_bytes());
    }
    let name_offset = bytes.len() as u64;
    bytes.extend_from_slice(b"afterlife-guest\0");
    let program = gadget.scratch(GADGET, &bytes);
    bytes[..2].copy_from_slice(&(filter.len() as u16).to_ne_bytes());
    bytes[8..16].copy_from_slice(&(program + 16).to_ne_bytes());
    gadget.scratch(GADGET, &bytes);

    let prctl = |option: i32, value: u64| Call::new(libc::SYS_prctl, [option as u64, value]);
    let calls = [
        prctl(libc::PR_SET_NAME, program + name_offset),
        prctl(libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV as u64),
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1),
        Call::new(libc::SYS_seccomp, [libc::SECCOMP_SET_MODE_FILTER as u64, 0, program]),
    ];
    let names = ["PR_SET_NAME", "PR_SET_TSC", "PR_SET_NO_NEW_PRIVS", "seccomp"];
    match gadget.inject(guest, &calls) {
        Ok(_) => Ok(()),
        Err((index, errno)) => Err(machine(names[index])(errno)),
    }
}

/// A copy of `parent`, or a sharer of its memory, stopped. Registers of all kinds are the parent's.
/// SETTID, CLEARTID and SETTLS flags are never passed: the kernel crate does what they mean.
pub(super) fn fork(
    gadget: &mut Gadget,
    parent: &mut Guest,
    share_memory: bool,
) -> Result<Guest, Errno> {
    // CLONE_PTRACE: seized like the parent, with its options, from the child's first moment.
    let mut flags = libc::CLONE_PARENT | libc::CLONE_PTRACE | libc::CLONE_FILES | libc::SIGCHLD;
    if share_memory {
        flags |= libc::CLONE_VM;
    }
    let call = Call::new(libc::SYS_clone, [flags as u64]);
    let born = gadget.inject(parent, &[call]).map_err(|(_, errno)| errno);
    // One that was killed from outside meanwhile: fork(2) knows no ESRCH.
    let again = |errno| if errno == Errno::ESRCH { Errno::EAGAIN } else { errno };
    let mut child = Guest::new(born.map_err(again)? as sys::Pid);
    child.first_stop().map_err(again)?;
    Ok(child)
}
