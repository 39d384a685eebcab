//! Running a guest's own code until it traps: registers in, PTRACE_SYSEMU, wait, registers out, and
//! what the stop means. Signals from outside are dropped. Neighbours: `fault.rs` decodes signal
//! stops.

use super::fault;
use super::guest::Guest;
use super::sys::{self, Resume, Stop};
use super::watchdog::{Tick, Watchdog};
use kernel::abi::Errno;
use kernel::platform::{Fault, Registers, Trap};

/// Selectors of 64-bit and 32-bit user code.
const USER_CS: u64 = 0x33;
/// PTRACE_EVENT_STOP: PTRACE_INTERRUPT, or a group stop because somebody sent SIGSTOP.
const EVENT_STOP: i32 = 128;
/// PTRACE_EVENT_SECCOMP.
const EVENT_SECCOMP: i32 = 7;
/// The flag of an x32 system call's number.
const X32_SYSCALL_BIT: u64 = 0x4000_0000;

/// See [`kernel::platform::Platform::run`].
pub(super) fn run(guest: &mut Guest, regs: &mut Registers, watchdog: &Watchdog) -> Trap {
    regs.orig_rax = u64::MAX;
    if let Err(errno) = load(guest, regs) {
        return if guest.gone { Trap::Gone } else { refused(errno) };
    }
    watchdog.enter(guest);
    let trap = until_trap(guest, regs, watchdog).unwrap_or(Trap::Gone);
    watchdog.leave(guest);
    if !matches!(trap, Trap::Computing { .. }) {
        guest.computing = None;
    }
    trap
}

fn until_trap(guest: &mut Guest, regs: &mut Registers, watchdog: &Watchdog) -> Result<Trap, Errno> {
    loop {
        guest.resume(Resume::Sysemu)?;
        let mut stop = guest.wait()?;
        if stop == Stop::Event(EVENT_STOP) {
            guest.refresh()?;
            match watchdog.tick(guest)? {
                Tick::Nothing => continue,
                Tick::Computing(spent) => {
                    *regs = guest.context;
                    return Ok(Trap::Computing { spent });
                }
                Tick::Spin => {
                    *regs = guest.context;
                    return Ok(Trap::Spin);
                }
                Tick::Stopped(at) => stop = at,
            }
        }
        if let Some(trap) = stopped(guest, stop, regs)? {
            return Ok(trap);
        }
    }
}

/// Makes the native registers what the kernel crate says, if they are not.
fn load(guest: &mut Guest, regs: &Registers) -> Result<(), Errno> {
    if *regs == guest.context {
        return Ok(());
    }
    if let Err(errno) = sys::setregs(guest.pid, regs) {
        guest.lost(errno);
        let _ = guest.refresh(); // some were set
        return Err(errno);
    }
    guest.context = *regs;
    Ok(())
}

/// Registers that the CPU cannot hold (a bad selector in a signal frame): what the return to user
/// mode makes of them is a general protection fault.
fn refused(_: Errno) -> Trap {
    Trap::Fault(Fault { signo: libc::SIGSEGV as u8, code: 0x80, addr: 0, trapno: 13, error: 0 })
}

/// What a stop means; `None` if it means nothing to the guest.
fn stopped(guest: &mut Guest, stop: Stop, regs: &mut Registers) -> Result<Option<Trap>, Errno> {
    match stop {
        Stop::Ended => Err(guest.ended()),
        Stop::Syscall => {
            take(guest, regs)?;
            Ok(Some(door(guest, regs)))
        }
        Stop::Event(EVENT_SECCOMP) => {
            take(guest, regs)?;
            vsyscall(guest, regs).map(Some)
        }
        // A group stop: somebody outside sent SIGSTOP.
        Stop::Event(_) => Ok(None),
        Stop::Signal(signal) => {
            let info = sys::getsiginfo(guest.pid).map_err(|errno| guest.lost(errno))?;
            if !fault::is_fault(signal, &info) {
                return Ok(None);
            }
            guest.refresh()?;
            *regs = guest.context;
            Ok(Some(fault::decode(guest, regs, &info)))
        }
    }
}

/// Reads the registers at a stop.
fn take(guest: &mut Guest, regs: &mut Registers) -> Result<(), Errno> {
    *regs = sys::getregs(guest.pid).map_err(|errno| guest.lost(errno))?;
    guest.context = Registers { orig_rax: u64::MAX, ..*regs };
    Ok(())
}

/// Which door a system call came through. The `syscall` instruction leaves rip in rcx and the flags
/// in r11, which no other door does. A guest that puts them there itself before `int 0x80` gets the
/// call of that number: it deceives only itself.
fn door(guest: &Guest, regs: &Registers) -> Trap {
    let foreign = |door| Trap::ForeignSyscall { door, number: regs.orig_rax };
    let fast = regs.cs == USER_CS && regs.rcx == regs.rip && regs.r11 == regs.eflags;
    if !fast {
        let mut code = [0; 2];
        sys::read_memory(guest.pid, regs.rip.wrapping_sub(2), &mut code);
        match (code, regs.cs) {
            ([0x0f, 0x05], USER_CS) => {} // a CPU with FRED leaves rcx and r11 alone
            ([0x0f, 0x05], _) => return foreign("32-bit syscall"),
            ([0xcd, 0x80], _) => return foreign("int 0x80"),
            _ => return foreign("sysenter"),
        }
    }
    if regs.orig_rax & X32_SYSCALL_BIT != 0 && regs.orig_rax >> 32 == 0 {
        return foreign("x32");
    }
    Trap::Syscall
}

/// The vsyscall page: the filter stopped the machine's kernel while it emulates a call there. The
/// instruction pointer must not be changed now (the kernel would kill); let it skip the call and
/// return to the caller, and stop it there. The guest is then behind the call, as at other doors.
fn vsyscall(guest: &mut Guest, regs: &mut Registers) -> Result<Trap, Errno> {
    let number = regs.orig_rax;
    let skip = Registers { orig_rax: u64::MAX, rax: Errno::ENOSYS.as_result(), ..*regs };
    let pid = guest.pid;
    sys::setregs(pid, &skip).map_err(|errno| guest.lost(errno))?;
    sys::interrupt(pid).map_err(|errno| guest.lost(errno))?;
    guest.resume(Resume::Sysemu)?;
    // The interruption comes before foreign signals and before any instruction.
    guest.wait()?;
    take(guest, regs)?;
    regs.orig_rax = number;
    Ok(Trap::ForeignSyscall { door: "vsyscall", number })
}

#[cfg(test)]
mod tests {
    use super::super::cost::looping;
    use super::super::{Config, Ptrace};
    use super::*;
    use kernel::platform::{Backing, MapChange, Platform, UserMemory, UserPtr};
    use std::time::Instant;

    const CODE: u64 = 0x1_0000;
    const ROUNDS: u32 = 20_000;

    fn micros(name: &str, rounds: u32, mut work: impl FnMut()) {
        let start = Instant::now();
        (0..rounds).for_each(|_| work());
        println!("{name}: {:.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -p afterlife-platform -- --ignored --nocapture cost"]
    fn what_things_cost() {
        let mut p = Ptrace::new(Config::default()).expect("platform");
        let (guest, mut regs) = looping(&mut p).expect("a guest");
        micros("trap through run()", ROUNDS, || {
            assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
            regs.rax = 1;
        });
        let pid = p.guests[&guest].pid;
        micros("bare loop: setregs, sysemu, wait, getregs", ROUNDS, || {
            sys::setregs(pid, &regs).expect("setregs");
            sys::resume(pid, Resume::Sysemu).expect("resume");
            assert_eq!(sys::wait(pid), Stop::Syscall);
            regs = sys::getregs(pid).expect("getregs");
        });
        p.guests.get_mut(&guest).expect("live").refresh().expect("refresh");
        let mut word = [0; 8];
        micros("read 8 bytes", ROUNDS, || {
            assert_eq!(p.read_user(guest, UserPtr(CODE), &mut word), 8)
        });
        let discard = MapChange::Discard { start: CODE + 4096, len: 4096 };
        let map =
            MapChange::Map { start: CODE + 4096, len: 4096, prot: 3, backing: Backing::Anonymous };
        micros("1 change of the map", 2000, || {
            p.change_map(guest, std::slice::from_ref(&map)).expect("map")
        });
        let ten: Vec<MapChange> = (0..5).flat_map(|_| [map.clone(), discard.clone()]).collect();
        micros("10 changes of the map", 2000, || p.change_map(guest, &ten).expect("map"));
        micros("spawn and release", 1000, || {
            let guest = p.spawn().expect("spawn");
            p.release(guest);
        });
        for (name, share) in [("fork and release", false), ("thread and release", true)] {
            micros(name, 1000, || {
                let child = p.fork(guest, share).expect("fork");
                p.release(child);
            });
        }
        micros("a platform, made and dropped", 50, || {
            Ptrace::new(Config::default()).expect("platform");
        });
    }
}
