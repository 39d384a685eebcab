//! What a signal stop means: the fault behind it with the exception number and error code that the
//! signal frame reports (rules S-46, S-50), or a trapped rdtsc. ptrace gives neither number nor
//! code: both are worked out from siginfo and the instruction. Neighbour: `decode.rs` reads it.

use super::decode::Code;
use super::guest::Guest;
use super::sys::SigInfo;
use iced_x86::{Code as Op, Mnemonic};
use kernel::platform::{Fault, Registers, Trap};

const SI_KERNEL: i32 = 0x80;
const SEGV_MAPERR: i32 = 1;
const FPE_INTDIV: i32 = 1;
const BUS_ADRALN: i32 = 1;

/// Error code bits of a page fault.
const PF_PROT: u64 = 1;
const PF_WRITE: u64 = 2;
const PF_USER: u64 = 4;
const PF_INSTR: u64 = 16;

/// A fault of the guest's own instruction, not a signal that somebody sent: terminals and kill(2)
/// from outside reach native processes, but no guest.
pub(super) fn is_fault(signal: i32, info: &SigInfo) -> bool {
    let synchronous =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP].contains(&signal);
    synchronous && info.code > 0
}

/// The trap behind a signal stop. rip is on the faulting instruction, behind it for `int3`.
pub(super) fn decode(guest: &Guest, regs: &Registers, info: &SigInfo) -> Trap {
    let code = Code::at(guest.pid, regs.rip);
    if info.signo == libc::SIGSEGV
        && info.code == SI_KERNEL
        && let Mnemonic::Rdtsc | Mnemonic::Rdtscp = code.mnemonic()
    {
        return Trap::Tsc { length: code.len() };
    }
    let (trapno, error) = exception(regs, info, &code);
    let addr = if info.code == SI_KERNEL { 0 } else { info.addr };
    Trap::Fault(Fault { signo: info.signo as u8, code: info.code, addr, trapno, error })
}

/// The CPU's exception number and error code.
fn exception(regs: &Registers, info: &SigInfo, code: &Code) -> (u64, u64) {
    match (info.signo, info.code) {
        // A general protection fault; its error code is 0 but for the gates of the IDT.
        (libc::SIGSEGV, SI_KERNEL) => match code.mnemonic() {
            Mnemonic::Int => (13, u64::from(code.immediate8()) << 3 | 2),
            _ => (13, 0),
        },
        (libc::SIGSEGV, why) => (14, page_fault(regs, info.addr, why, code)),
        (libc::SIGBUS, SI_KERNEL) => (12, 0), // a stack segment fault: rsp or rbp not canonical
        (libc::SIGBUS, BUS_ADRALN) => (17, 0),
        (libc::SIGBUS, _) => (14, page_fault(regs, info.addr, SEGV_MAPERR, code)),
        (libc::SIGILL, _) => (6, 0),
        (libc::SIGFPE, FPE_INTDIV) => (0, 0),
        (libc::SIGFPE, _) => (if code.is_x87() { 16 } else { 19 }, 0),
        (libc::SIGTRAP, SI_KERNEL) => (3, 0),
        (_, _) => (1, 0), // single step (TF), int1, hardware breakpoints
    }
}

/// The error code of a page fault. Unlike the CPU we call a page present if its mapping exists.
fn page_fault(regs: &Registers, addr: u64, why: i32, code: &Code) -> u64 {
    let mut error = PF_USER;
    if why != SEGV_MAPERR {
        error |= PF_PROT;
    }
    match code.op() {
        // It could not be read: the fetch itself faulted, at rip or at the next page.
        Op::INVALID if addr.wrapping_sub(regs.rip) < 15 => error |= PF_INSTR,
        _ if code.writes(regs, addr) => error |= PF_WRITE,
        _ => {}
    }
    error
}
