//! The lab's doors to processes: start one as a child of the built-in init, take the power away
//! (`kill_from_outside` is in `signal/kill`). Neighbours: `exec` (loads the program), `exit`;
//! `lab::world` calls these.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::platform::Platform;
use crate::task::{Cred, Pid};

/// What standard input, output and error of a started process are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stdio {
    /// /dev/null for input, the console for output (a scenario's process).
    Null,
    /// The console for all three (`afterlife run -- COMMAND`).
    Console,
}

/// A process to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spawn {
    /// Program and arguments. A program without a slash is searched for in `envp`'s PATH.
    pub argv: Vec<Vec<u8>>,
    /// `NAME=value` strings.
    pub envp: Vec<Vec<u8>>,
    /// Its working directory, absolute.
    pub cwd: Vec<u8>,
    /// Whose process it is.
    pub cred: Cred,
    /// Its descriptors 0, 1, 2.
    pub stdio: Stdio,
}

/// Why a process could not be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpawnError {
    /// What execve(2) would say.
    pub errno: Errno,
    /// Which step failed on what, as a clause: "no file of that name in PATH=/bin:/usr/bin".
    pub why: String,
}

impl Kernel {
    /// Starts a process as a child of PID 1. Nothing of it is left when it fails.
    pub fn spawn_process(
        &mut self,
        spawn: Spawn,
        user: &mut dyn Platform,
    ) -> Result<Pid, SpawnError> {
        let _ = (spawn, user);
        Err(SpawnError { errno: Errno::ENOSYS, why: "this kernel has no exec yet".into() })
    }

    /// The host loses its power: every guest is released, nothing is sent, nothing runs again.
    pub fn power_off(&mut self, user: &mut dyn Platform) {
        let guests: Vec<_> = self.tasks.iter_mut().filter_map(|(_, t)| t.guest.take()).collect();
        for guest in guests {
            user.release(guest);
        }
    }
}
