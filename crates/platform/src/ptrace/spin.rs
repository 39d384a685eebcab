//! Does a guest spin? It is single-stepped. If it comes back to a state where it has been, registers
//! and memory, it will do so for ever: nobody else runs. What it writes in between counts as long as it
//! differs: a lock that is held and taken again changes nothing, a counter of references goes up and
//! down. The canonical place in such a cycle is the state with the lowest rip (then the lowest
//! registers, then memory): it doesn't depend on where the search began. Neighbours: `watchdog.rs`
//! asks, `decode.rs` knows the stores.

use super::decode::Code;
use super::fault;
use super::guest::Guest;
use super::sys::{self, Resume, Stop};
use super::watchdog::Tick;
use super::xstate;
use kernel::abi::Errno;
use kernel::platform::Registers;
use std::cmp::Ordering;
use std::collections::BTreeMap;

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

/// The bytes at one place in memory, before and after a store.
struct Store {
    at: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Memory as it differs from what it was at the anchor of a cycle.
#[derive(Default)]
struct Changes {
    /// What each byte that was written was at the anchor, and what it is.
    bytes: BTreeMap<u64, (u8, u8)>,
    /// How many of them differ.
    different: usize,
}

impl Changes {
    fn note(&mut self, store: &Store) {
        let written = store.before.iter().zip(&store.after).zip(store.at..);
        for ((before, after), at) in written {
            let byte = self.bytes.entry(at).or_insert((*before, *before));
            self.different -= usize::from(byte.0 != byte.1);
            byte.1 = *after;
            self.different += usize::from(byte.0 != byte.1);
        }
    }

    /// What is there now, in the order of addresses.
    fn now(&self) -> Vec<u8> {
        self.bytes.values().map(|byte| byte.1).collect()
    }
}

/// Brent's way to find a cycle: an anchor to compare with, moved ahead at powers of two.
struct Cycle {
    anchor: Key,
    extended: Vec<u8>,
    changes: Changes,
    lowest: Key,
    /// In how many states since the anchor the registers were the lowest.
    times: u32,
    length: u32,
    limit: u32,
}

impl Cycle {
    fn from(guest: &mut Guest, limit: u32) -> Result<Cycle, Errno> {
        let anchor = key(&guest.context);
        let (extended, changes) = (extended(guest)?, Changes::default());
        Ok(Cycle { anchor, extended, changes, lowest: anchor, times: 1, length: 0, limit })
    }

    /// Takes in what one more step wrote and the state after it; true if it closes the cycle.
    fn closes(&mut self, guest: &mut Guest, stores: &[Store]) -> Result<bool, Errno> {
        stores.iter().for_each(|store| self.changes.note(store));
        let now = key(&guest.context);
        self.length += 1;
        if self.is_back(guest, now)? {
            return Ok(true);
        }
        match now.cmp(&self.lowest) {
            Ordering::Less => (self.lowest, self.times) = (now, 1),
            Ordering::Equal => self.times += 1,
            Ordering::Greater => {}
        }
        if self.length == self.limit {
            *self = Cycle::from(guest, self.limit * 2)?;
        }
        Ok(false)
    }

    fn is_back(&self, guest: &mut Guest, now: Key) -> Result<bool, Errno> {
        Ok(now == self.anchor && self.changes.different == 0 && extended(guest)? == self.extended)
    }

    /// Goes on from the anchor to the canonical place: where the registers are the lowest, and of
    /// several such states where memory is, which takes one more round to learn.
    fn settle(mut self, guest: &mut Guest) -> Result<Tick, Errno> {
        let mut lowest = None;
        for _ in 0..if self.times > 1 { self.length } else { 0 } {
            lowest = lowest.into_iter().chain(self.memory_if_lowest(guest)).min();
            if let Some(tick) = self.go_on(guest)? {
                return Ok(tick);
            }
        }
        loop {
            let here = self.memory_if_lowest(guest);
            if here.is_some() && (lowest.is_none() || here == lowest) {
                return Ok(Tick::Spin);
            }
            if let Some(tick) = self.go_on(guest)? {
                return Ok(tick);
            }
        }
    }

    fn memory_if_lowest(&self, guest: &Guest) -> Option<Vec<u8>> {
        (key(&guest.context) == self.lowest).then(|| self.changes.now())
    }

    /// One step of a cycle that is known; something else if something else came.
    fn go_on(&mut self, guest: &mut Guest) -> Result<Option<Tick>, Errno> {
        match step(guest)? {
            Step::Done(stores) => stores.iter().for_each(|store| self.changes.note(store)),
            Step::Blind | Step::Unfit => unreachable!("all of the cycle was stepped before"),
            Step::Other(tick) => return Ok(Some(tick)),
        }
        Ok(None)
    }
}

fn extended(guest: &mut Guest) -> Result<Vec<u8>, Errno> {
    xstate::get(guest.pid).map_err(|errno| guest.lost(errno))
}

/// What one step came to.
enum Step {
    /// One instruction was executed, which wrote this.
    Done(Vec<Store>),
    /// One instruction was executed; what it wrote cannot be told.
    Blind,
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
            Step::Done(stores) => {
                if cycle.closes(guest, &stores)? {
                    return cycle.settle(guest);
                }
            }
            Step::Blind => cycle = Cycle::from(guest, 1)?,
            Step::Unfit => return Ok(Tick::Nothing),
            Step::Other(tick) => return Ok(tick),
        }
    }
    Ok(Tick::Nothing)
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
    let (Some(before), Some(after)) = (before, contents(guest, &stores)) else {
        return Ok(Step::Blind);
    };
    let written = stores.iter().zip(before).zip(after);
    let store =
        |(((at, _), before), after): ((&(u64, u64), _), _)| Store { at: *at, before, after };
    Ok(Step::Done(written.map(store).collect()))
}

/// The bytes at each of these places; `None` if they cannot be told.
fn contents(guest: &Guest, places: &[(u64, u64)]) -> Option<Vec<Vec<u8>>> {
    let read = |(at, len): &(u64, u64)| {
        let mut bytes = vec![0; *len as usize];
        let got = sys::read_memory(guest.pid, *at, &mut bytes);
        (!bytes.is_empty() && got == bytes.len()).then_some(bytes)
    };
    places.iter().map(read).collect()
}
