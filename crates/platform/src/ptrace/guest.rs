//! A guest: one native process, always stopped unless `run.rs` or `inject.rs` waits for it.
//! Neighbour: `spawn.rs` makes them.

use super::sys::{self, Pid};
use kernel::abi::Errno;
use kernel::platform::Registers;

/// One native process and what its CPU would go on with.
#[derive(Debug)]
pub(super) struct Guest {
    pub pid: Pid,
    /// The registers that the native process holds. `orig_rax` is −1 here always: what matters is
    /// that no native call is ever restarted.
    pub context: Registers,
    /// Killed from outside, and reaped.
    pub gone: bool,
}

impl Guest {
    /// A process that is stopped.
    pub(super) fn stopped(pid: Pid) -> Result<Guest, Errno> {
        let mut guest = Guest { pid, context: Registers::default(), gone: false };
        guest.refresh()?;
        Ok(guest)
    }

    /// Reads the registers that the native process holds.
    pub(super) fn refresh(&mut self) -> Result<(), Errno> {
        self.context = sys::getregs(self.pid).map_err(|errno| self.lost(errno))?;
        self.context.orig_rax = u64::MAX;
        Ok(())
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
            while sys::wait(self.pid) != sys::Stop::Ended {}
            self.gone = true;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}
