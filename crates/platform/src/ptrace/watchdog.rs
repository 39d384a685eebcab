//! Guests that do not trap. A long computation is legal; a guest that spins (waits in a loop for
//! what another guest or a signal will change) must give up the CPU, at a place that is the same in
//! every run. The timer only decides when to look, `spin.rs` decides from the guest's state alone.
//! Whoever computes on is shown to the caller at each tick, which costs it nothing: the lab decides
//! whether somebody has waited too long (`lab::preempt`), the command whether the user typed Ctrl-C.

use super::guest::Guest;
use super::spin;
use super::sys::{Stop, timer::Timer};
use kernel::abi::Errno;
use std::time::Duration;

/// Instructions to step at the first look: most spinning loops are shorter than 50.
const FIRST_LOOK: u32 = 200;
/// Instructions to step at most.
const LONGEST_LOOK: u32 = 20_000;
/// Whoever spun lately is looked at so soon: threads that hand over to each other by spinning do it
/// again and again, and each wait would take all of the patience. Long beside a trap.
const SOON: Duration = Duration::from_micros(250);
/// For so many runs it counts as lately.
const LATELY: u32 = 16;

/// What came of an interruption.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tick {
    /// It goes on.
    Nothing,
    /// It computes, for as long as this.
    Computing(Duration),
    /// It spins; its registers are those of the canonical place in the cycle.
    Spin,
    /// It stopped for a reason of its own.
    Stopped(Stop),
}

/// The timer.
#[derive(Debug)]
pub(super) struct Watchdog {
    timer: Timer,
    patience: Duration,
}

impl Watchdog {
    pub(super) fn new(patience: Duration) -> Result<Watchdog, Errno> {
        Ok(Watchdog { timer: Timer::new()?, patience })
    }

    /// A run begins.
    pub(super) fn enter(&self, guest: &Guest) {
        match guest.spun {
            0 => self.timer.enter(guest.pid, self.patience),
            1.. => self.timer.enter_anew(guest.pid, SOON.min(self.patience)),
        }
    }

    /// It ended.
    pub(super) fn leave(&self, guest: &mut Guest) {
        self.timer.leave();
        guest.spun = guest.spun.saturating_sub(1);
    }

    /// An interruption of a run: is the guest one that spins?
    pub(super) fn tick(&self, guest: &mut Guest) -> Result<Tick, Errno> {
        self.timer.enter(guest.pid, self.patience); // looking is not to be interrupted all the time
        let tick = match guest.spun {
            0 => self.look_in_time(guest)?,
            1.. => spin::search(guest, FIRST_LOOK)?,
        };
        match tick {
            Tick::Spin => guest.spun = LATELY,
            Tick::Nothing | Tick::Computing(_) => guest.spun = 0, // it is as others are
            Tick::Stopped(_) => {}
        }
        Ok(tick)
    }

    /// An interruption of any other. It is looked at after 1, 2, 4, 8 … periods of CPU time, each time
    /// for twice as long, so that looking takes a bounded part of a long computation's time.
    fn look_in_time(&self, guest: &mut Guest) -> Result<Tick, Errno> {
        let computing = guest.computes();
        let spent = computing.spent;
        // Nearly a period counts as one: ticks are not as exact as clocks.
        let periods = (spent + self.patience / 4).as_nanos() / self.patience.as_nanos().max(1);
        let periods = u32::try_from(periods).unwrap_or(u32::MAX / 2);
        if periods == 0 {
            return Ok(Tick::Nothing); // on a busy machine real time passes without any of its own
        }
        if periods >= computing.next_look {
            computing.next_look = (periods + 1).next_power_of_two();
            let steps = FIRST_LOOK.saturating_mul(periods).min(LONGEST_LOOK);
            match spin::search(guest, steps)? {
                Tick::Nothing => guest.was_looked_at(),
                tick @ (Tick::Computing(_) | Tick::Spin | Tick::Stopped(_)) => return Ok(tick),
            }
        }
        Ok(Tick::Computing(spent))
    }
}
