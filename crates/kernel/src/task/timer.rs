//! Timers of processes: alarm, setitimer, POSIX timers.

use crate::kernel::Kernel;
use crate::time::Instant;

/// All armed timers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timers {}

impl Kernel {
    /// Serves timers that are due.
    pub fn run_timers(&mut self) {}

    /// The earliest armed timer.
    pub fn next_timer_deadline(&self) -> Option<Instant> {
        None
    }
}
