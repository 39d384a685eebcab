//! Injection: making a guest's native process call its own kernel. All guests have one page mapped
//! at [`GADGET`], read and execute only, which the supervisor writes: a stub that loops over a list
//! of calls and ends in `int3`. A batch costs one stop however long it is. Neighbours: `map.rs` and
//! `spawn.rs` write the lists; `run.rs` runs guest code, which can call nothing.

use super::guest::Guest;
use super::sys::{self, PAGE, Resume, SharedPage, Stop};
use kernel::abi::Errno;
use std::os::fd::OwnedFd;

/// Where the page is in every guest: above what the kernel hands out.
pub(super) const GADGET: u64 = 0x7fff_f000_0000;

/// The stub. r12 points to the next entry of the list, r13 behind the last. It stops at the first
/// call that fails: rax has the last result, r12 says which call.
#[rustfmt::skip]
const STUB: [u8; 64] = {
    let code = [
        0x4d, 0x39, 0xec,             //  0 next: cmp r12, r13
        0x74, 0x32,                   //  3       je done
        0x49, 0x8b, 0x04, 0x24,       //  5       mov rax, [r12]
        0x49, 0x8b, 0x7c, 0x24, 0x08, //  9       mov rdi, [r12 + 8]
        0x49, 0x8b, 0x74, 0x24, 0x10, // 14       mov rsi, [r12 + 16]
        0x49, 0x8b, 0x54, 0x24, 0x18, // 19       mov rdx, [r12 + 24]
        0x4d, 0x8b, 0x54, 0x24, 0x20, // 24       mov r10, [r12 + 32]
        0x4d, 0x8b, 0x44, 0x24, 0x28, // 29       mov r8,  [r12 + 40]
        0x4d, 0x8b, 0x4c, 0x24, 0x30, // 34       mov r9,  [r12 + 48]
        0x0f, 0x05,                   // 39       syscall
        0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, // 41 cmp rax, -4095
        0x73, 0x06,                   // 47       jae done
        0x49, 0x83, 0xc4, 0x40,       // 49       add r12, 64
        0xeb, 0xc9,                   // 53       jmp next
    ];
    let mut stub = [0xcc; 64];        // 55 done: int3
    let mut i = 0;
    while i < code.len() {
        stub[i] = code[i];
        i += 1;
    }
    stub
};

/// The address behind the stub's `syscall`: the only one from which guests may call.
pub(super) const SYSCALL_END: u64 = GADGET + 41;
/// The offset behind the stub's `int3`.
const DONE: u64 = 56;
/// Where the list of calls begins, one entry per 64 bytes.
const LIST: usize = 64;
const ENTRY: usize = 64;
/// Calls that fit into one batch.
pub(super) const BATCH: usize = 56;
/// Behind the list: room for what pointers among the arguments point to.
const SCRATCH: usize = LIST + BATCH * ENTRY;

/// One native system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Call {
    pub nr: libc::c_long,
    pub args: [u64; 6],
}

impl Call {
    /// A call with the arguments given; the others are zero.
    pub(super) fn new<const N: usize>(nr: libc::c_long, given: [u64; N]) -> Call {
        let mut args = [0; 6];
        args[..N].copy_from_slice(&given);
        Call { nr, args }
    }
}

/// The supervisor's side of the page.
#[derive(Debug)]
pub(super) struct Gadget {
    page: SharedPage,
}

impl Gadget {
    /// Writes the stub into the first page of `fd`.
    pub(super) fn new(fd: &OwnedFd) -> Result<Gadget, Errno> {
        let mut page = SharedPage::map(fd, libc::PROT_READ | libc::PROT_WRITE)?;
        page.write(0, &STUB);
        Ok(Gadget { page })
    }

    /// Puts bytes where calls at `base` can point to; gives their address in the guest.
    pub(super) fn scratch(&mut self, base: u64, bytes: &[u8]) -> u64 {
        self.page.write(SCRATCH, bytes);
        base + SCRATCH as u64
    }

    /// Makes `guest` do the calls in order, through the page at [`GADGET`]. Gives the last result;
    /// on error the index of the first call that failed, later ones were not made. A guest that was
    /// killed from outside fails with ESRCH.
    pub(super) fn inject(
        &mut self,
        guest: &mut Guest,
        calls: &[Call],
    ) -> Result<u64, (usize, Errno)> {
        self.inject_at(GADGET, guest, calls)
    }

    /// As [`Gadget::inject`], with the page at `base`.
    pub(super) fn inject_at(
        &mut self,
        base: u64,
        guest: &mut Guest,
        calls: &[Call],
    ) -> Result<u64, (usize, Errno)> {
        let mut result = 0;
        for (batch, calls) in calls.chunks(BATCH).enumerate() {
            let done = batch * BATCH;
            let failed = |(index, errno)| (done + index, errno);
            result = self.inject_batch(base, guest, calls).map_err(failed)?;
        }
        Ok(result)
    }

    fn inject_batch(
        &mut self,
        base: u64,
        guest: &mut Guest,
        calls: &[Call],
    ) -> Result<u64, (usize, Errno)> {
        let mut list = [0u8; PAGE];
        for (call, entry) in calls.iter().zip(list.chunks_exact_mut(ENTRY)) {
            entry[..8].copy_from_slice(&call.nr.to_ne_bytes());
            for (arg, word) in call.args.iter().zip(entry[8..].chunks_exact_mut(8)) {
                word.copy_from_slice(&arg.to_ne_bytes());
            }
        }
        self.page.write(LIST, &list[..calls.len() * ENTRY]);

        let first = base + LIST as u64;
        let mut regs = guest.context;
        (regs.rip, regs.r12, regs.r13) = (base, first, first + (calls.len() * ENTRY) as u64);
        regs.eflags = 0x202; // neither TF nor DF
        sys::setregs(guest.pid, &regs).map_err(|errno| (0, guest.lost(errno)))?;
        self.run_stub(base, guest).map_err(|errno| (0, errno))?;

        let regs = guest.context;
        let index = ((regs.r12 - first) / ENTRY as u64) as usize;
        if index < calls.len() {
            return Err((index, Errno::from_raw((regs.rax as i64).wrapping_neg() as i32)));
        }
        Ok(regs.rax)
    }

    /// Runs the stub to its end; foreign signals and the watchdog's interruptions are dropped.
    fn run_stub(&mut self, base: u64, guest: &mut Guest) -> Result<(), Errno> {
        loop {
            guest.resume(Resume::Cont)?;
            match guest.wait()? {
                Stop::Ended | Stop::Event(_) | Stop::Syscall => continue,
                Stop::Signal(signal) => {
                    guest.refresh()?;
                    if signal == libc::SIGTRAP && guest.context.rip == base + DONE {
                        return Ok(());
                    }
                    let info = sys::getsiginfo(guest.pid).map_err(|errno| guest.lost(errno))?;
                    let fault = matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGILL);
                    assert!(
                        !(fault && info.code > 0),
                        "the injection stub faulted at {:#x}: {info:?}",
                        guest.context.rip
                    );
                }
            }
        }
    }
}
