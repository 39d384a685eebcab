//! What a system call of a guest costs at least on this machine: the bare loop of a supervisor that
//! decides nothing. `cargo xtask bench` holds what an emulated call costs against it.
//! Neighbour: `run.rs`, which does the same with all that a platform must know.

use super::sys::{self, Resume, Stop};
use super::{Config, Error, Ptrace};
use kernel::abi::Errno;
use kernel::platform::{Backing, GuestId, MapChange, Platform, Registers, UserMemory, UserPtr};
use std::time::{Duration, Instant};

/// Where the looping program is.
const CODE: u64 = 0x1_0000;

/// Registers in, PTRACE_SYSEMU, wait, registers out, `rounds` times on one pinned CPU: how long
/// that takes altogether.
pub fn bare_sysemu_loop(rounds: u32) -> Result<Duration, Error> {
    let mut p = Ptrace::new(Config::default())?;
    let failed = |call| move |errno| Error::Machine { call, errno };
    let (guest, mut regs) = looping(&mut p).map_err(failed("spawn"))?;
    let pid = p.guests[&guest].pid;
    let start = Instant::now();
    for _ in 0..rounds {
        sys::setregs(pid, &regs).map_err(failed("PTRACE_SETREGS"))?;
        sys::resume(pid, Resume::Sysemu).map_err(failed("PTRACE_SYSEMU"))?;
        if sys::wait(pid) != Stop::Syscall {
            return Err(failed("wait4")(Errno::ECHILD));
        }
        regs = sys::getregs(pid).map_err(failed("PTRACE_GETREGS"))?;
    }
    Ok(start.elapsed())
}

/// A guest that calls getppid for ever.
pub(super) fn looping(p: &mut Ptrace) -> Result<(GuestId, Registers), Errno> {
    let guest = p.spawn()?;
    let map = MapChange::Map { start: CODE, len: 4096, prot: 7, backing: Backing::Anonymous };
    p.change_map(guest, &[map]).map_err(|(_, errno)| errno)?;
    // mov eax, 110; syscall; jmp back
    p.write_user(guest, UserPtr(CODE), &[0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]);
    let regs = Registers { rip: CODE, cs: 0x33, ss: 0x2b, eflags: 0x202, ..Registers::default() };
    Ok((guest, regs))
}
