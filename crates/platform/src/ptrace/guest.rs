//! A guest: one native process, always stopped unless `run.rs` or `inject.rs` waits for it.
//! Neighbour: `spawn.rs` makes them.

use super::sys::{self, Pid, Resume, Stop};
use kernel::abi::Errno;
use kernel::platform::Registers;
use std::time::Duration;

/// One native process and what its CPU would go on with.
#[derive(Debug)]
pub(super) struct Guest {
    pub pid: Pid,
    /// The registers that the native process holds. `orig_rax` is −1 here always: what matters is
    /// that no native call is ever restarted.
    pub context: Registers,
    /// Killed from outside, and reaped.
    pub gone: bool,
    /// It was interrupted since its last trap.
    pub computing: Option<Computing>,
    /// It spun lately: for so many runs more the watchdog looks sooner.
    pub spun: u32,
}

/// How long a guest has computed without a trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Computing {
    /// The CPU time that it had used at the first interruption.
    pub since: Duration,
    /// The CPU time that it used from then to the last one.
    pub spent: Duration,
    /// When it is to be looked at, in periods of the watchdog's patience.
    pub next_look: u32,
}

impl Guest {
    /// A child of ours, from now on killed and reaped when this is dropped.
    pub(super) fn new(pid: Pid) -> Guest {
        Guest { pid, context: Registers::default(), gone: false, computing: None, spun: 0 }
    }

    /// Waits for its first stop.
    pub(super) fn first_stop(&mut self) -> Result<(), Errno> {
        self.wait()?;
        self.refresh()
    }

    /// Reads the registers that the native process holds.
    pub(super) fn refresh(&mut self) -> Result<(), Errno> {
        self.context = sys::getregs(self.pid).map_err(|errno| self.lost(errno))?;
        self.context.orig_rax = u64::MAX;
        Ok(())
    }

    /// It was interrupted while it computed; how that looks now.
    pub(super) fn computes(&mut self) -> &mut Computing {
        // Without a clock it would compute for ever, as far as anybody can tell.
        let now = sys::cpu_time(self.pid).unwrap_or_default();
        let first = Computing { since: now, spent: Duration::ZERO, next_look: 1 };
        let computing = self.computing.get_or_insert(first);
        computing.spent = now.saturating_sub(computing.since);
        computing
    }

    /// The CPU time since [`Guest::computes`] went into looking at it.
    pub(super) fn was_looked_at(&mut self) {
        let now = sys::cpu_time(self.pid).unwrap_or_default();
        if let Some(computing) = &mut self.computing {
            computing.since = now.saturating_sub(computing.spent);
        }
    }

    /// Lets it go on.
    pub(super) fn resume(&mut self, how: Resume) -> Result<(), Errno> {
        sys::resume(self.pid, how).map_err(|errno| self.lost(errno))
    }

    /// Waits for its next stop; ESRCH if it ended instead.
    pub(super) fn wait(&mut self) -> Result<Stop, Errno> {
        match sys::wait(self.pid) {
            Stop::Ended => Err(self.ended()),
            stop @ (Stop::Syscall | Stop::Event(_) | Stop::Signal(_)) => Ok(stop),
        }
    }

    /// Looks at the errno of a ptrace request that failed: ESRCH means that the process was killed
    /// from outside. Gives the errno back.
    pub(super) fn lost(&mut self, errno: Errno) -> Errno {
        if errno == Errno::ESRCH && !self.gone {
            self.kill();
        }
        errno
    }

    /// It ended and was reaped.
    pub(super) fn ended(&mut self) -> Errno {
        self.gone = true;
        Errno::ESRCH
    }

    /// Kills and reaps it.
    pub(super) fn kill(&mut self) {
        if !self.gone {
            sys::kill(self.pid);
            while sys::wait(self.pid) != Stop::Ended {}
            self.gone = true;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}
