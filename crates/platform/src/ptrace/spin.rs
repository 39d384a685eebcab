//! Does a guest spin? It is single-stepped. If it comes back to a state where it has been, all
//! registers included and memory unchanged in between, it will do so for ever: nobody else runs. The
//! canonical place in such a cycle is the state with the lowest rip (then the lowest registers): it
//! doesn't depend on where the search began. Stores that write what is already there (a lock that is
//! held, taken again) change nothing. Neighbours: `watchdog.rs` asks, `decode.rs` knows the stores.

use super::decode::Code;
use super::fault;
use super::guest::Guest;
use super::sys::{self, Resume, Stop};
use super::watchdog::Tick;
use super::xstate;
use kernel::abi::Errno;
use kernel::platform::Registers;

/// `si_code` of a single step.
const TRAP_TRACE: i32 = 2;
/// The trap flag, and the resume flag, which the CPU sets as it likes.
const EFLAGS_TF: u64 = 0x100;
const EFLAGS_RF: u64 = 0x1_0000;

/// The order in which states of a cycle are compared.
type Key = (u64, [u64; 27]);

fn key(regs: &Registers) -> Key {
    let regs = Registers { eflags: regs.eflags & !EFLAGS_RF, ..*regs };
    (regs.rip, sys::words(&regs))
}

/// Brent's way to find a cycle: an anchor to compare with, moved ahead at powers of two.
struct Cycle {
    anchor: Key,
    extended: Vec<u8>,
    lowest: Key,
    length: u32,
    limit: u32,
}

impl Cycle {
    fn from(guest: &mut Guest, limit: u32) -> Result<Cycle, Errno> {
        let anchor = key(&guest.context);
        Ok(Cycle { anchor, extended: extended(guest)?, lowest: anchor, length: 0, limit })
    }

    /// Takes in the state after one more step; true if it closes the cycle.
    fn closes(&mut self, guest: &mut Guest) -> Result<bool, Errno> {
        let now = key(&guest.context);
        if now == self.anchor && extended(guest)? == self.extended {
            return Ok(true);
        }
        self.length += 1;
        self.lowest = self.lowest.min(now);
        if self.length == self.limit {
            *self = Cycle::from(guest, self.limit * 2)?;
        }
        Ok(false)
    }
}

fn extended(guest: &mut Guest) -> Result<Vec<u8>, Errno> {
    xstate::get(guest.pid).map_err(|errno| guest.lost(errno))
}

/// What one step came to.
enum Step {
    /// One instruction was executed; true if memory is as it was.
    Done(bool),
    /// It cannot be stepped; let it run.
    Unfit,
    /// Something else than a step.
    Other(Tick),
}

/// Steps `guest`, whose registers were read, for at most `steps` instructions.
pub(super) fn search(guest: &mut Guest, steps: u32) -> Result<Tick, Errno> {
    let mut cycle = Cycle::from(guest, 1)?;
    for _ in 0..steps {
        match step(guest)? {
            Step::Done(true) => {
                if cycle.closes(guest)? {
                    return settle(guest, &cycle.lowest);
                }
            }
            Step::Done(false) => cycle = Cycle::from(guest, 1)?,
            Step::Unfit => return Ok(Tick::Nothing),
            Step::Other(tick) => return Ok(tick),
        }
    }
    Ok(Tick::Nothing)
}

/// Goes once more round the cycle to its canonical place.
fn settle(guest: &mut Guest, lowest: &Key) -> Result<Tick, Errno> {
    while key(&guest.context) != *lowest {
        match step(guest)? {
            Step::Done(_) => {}
            Step::Unfit => unreachable!("all of the cycle was stepped before"),
            Step::Other(tick) => return Ok(tick),
        }
    }
    Ok(Tick::Spin)
}

/// Executes one instruction.
fn step(guest: &mut Guest) -> Result<Step, Errno> {
    let code = Code::at(guest.pid, guest.context.rip);
    if code.unfit_for_stepping() || guest.context.eflags & EFLAGS_TF != 0 {
        return Ok(Step::Unfit);
    }
    let stores = code.stores(&guest.context);
    let before = contents(guest, &stores);
    // Once begun a step is waited for: its SIGTRAP must not be taken for the guest's own.
    loop {
        guest.resume(Resume::Step)?;
        match guest.wait()? {
            Stop::Signal(signal) => {
                let info = sys::getsiginfo(guest.pid).map_err(|errno| guest.lost(errno))?;
                if signal == libc::SIGTRAP && info.code == TRAP_TRACE {
                    break;
                }
                if fault::is_fault(signal, &info) {
                    return Ok(Step::Other(Tick::Stopped(Stop::Signal(signal))));
                }
            }
            // The timer again, or a group stop. The step is still to come, or its SIGTRAP is.
            Stop::Event(128) => {}
            stop @ (Stop::Event(_) | Stop::Syscall | Stop::Ended) => {
                return Ok(Step::Other(Tick::Stopped(stop)));
            }
        }
    }
    guest.refresh()?;
    Ok(Step::Done(before.is_some() && before == contents(guest, &stores)))
}

/// The bytes at these places; `None` if they cannot be told.
fn contents(guest: &Guest, places: &[(u64, u64)]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for (at, len) in places {
        let mut bytes = vec![0; *len as usize];
        let got = sys::read_memory(guest.pid, *at, &mut bytes);
        if bytes.is_empty() || got < bytes.len() {
            return None;
        }
        all.extend(bytes);
    }
    Some(all)
}
