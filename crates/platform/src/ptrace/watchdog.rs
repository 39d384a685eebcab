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
        Ok(Watchdog { timer: Timer::new(patience)?, patience })
    }

    pub(super) fn enter(&self, guest: &Guest) {
        self.timer.enter(guest.pid);
    }

    pub(super) fn leave(&self) {
        self.timer.leave();
    }

    /// An interruption of a run. The first since the last trap may come early; then it looks at the
    /// 1st, 2nd, 4th, 8th …, each time for twice as long, so that looking takes a bounded part of a
    /// long computation's time.
    pub(super) fn tick(&self, guest: &mut Guest) -> Result<Tick, Errno> {
        let computing = guest.computes();
        let periods = computing.ticks - 1;
        if periods.is_power_of_two() {
            let steps = FIRST_LOOK.saturating_mul(periods).min(LONGEST_LOOK);
            match spin::search(guest, steps)? {
                Tick::Nothing => {}
                tick @ (Tick::Computing(_) | Tick::Spin | Tick::Stopped(_)) => return Ok(tick),
            }
        }
        // On a busy machine real time passes without any of its own.
        let computes = computing.spent >= self.patience;
        Ok(if computes { Tick::Computing(computing.spent) } else { Tick::Nothing })
    }
}
