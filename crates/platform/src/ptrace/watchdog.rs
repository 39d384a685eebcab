//! Guests that do not trap. A long computation is legal and never pre-empted; a guest that spins
//! (waits in a loop for what another guest or a signal will change) must give up the CPU, at a place
//! that is the same in every run. The timer only decides when to look, `spin.rs` decides from the
//! guest's state alone. Ctrl-C ends a run too: that is the one place that depends on real time.

use super::guest::Guest;
use super::spin;
use super::sys::{Stop, timer::Timer};
use kernel::abi::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Instructions to step at the first look: most spinning loops are shorter than 50.
const FIRST_LOOK: u32 = 200;
/// Instructions to step at most.
const LONGEST_LOOK: u32 = 20_000;

/// What came of an interruption.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tick {
    /// Go on.
    Nothing,
    /// Somebody asked for it.
    Preempt,
    /// It spins; its registers are those of the canonical place in the cycle.
    Spin,
    /// It stopped for a reason of its own.
    Stopped(Stop),
}

/// The timer and the request.
#[derive(Debug)]
pub(super) struct Watchdog {
    timer: Timer,
    pub requested: Arc<AtomicBool>,
}

impl Watchdog {
    pub(super) fn new(patience: Duration) -> Result<Watchdog, Errno> {
        Ok(Watchdog { timer: Timer::new(patience)?, requested: Arc::default() })
    }

    /// True once per request.
    pub(super) fn take_request(&self) -> bool {
        self.requested.load(Ordering::Relaxed) && self.requested.swap(false, Ordering::Relaxed)
    }

    pub(super) fn enter(&self, guest: &Guest) {
        self.timer.enter(guest.pid);
    }

    pub(super) fn leave(&self) {
        self.timer.leave();
    }

    /// The `nth` interruption of one run. The first may come early in it; then it looks at the 1st,
    /// 2nd, 4th, 8th …, each time for twice as long, so that looking takes a bounded part of a long
    /// computation's time.
    pub(super) fn tick(&self, guest: &mut Guest, nth: u32) -> Result<Tick, Errno> {
        if self.take_request() {
            return Ok(Tick::Preempt);
        }
        let periods = nth - 1;
        if !periods.is_power_of_two() {
            return Ok(Tick::Nothing);
        }
        let steps = FIRST_LOOK.saturating_mul(periods).min(LONGEST_LOOK);
        spin::search(guest, steps, &self.requested)
    }
}
