//! Why guests cannot be run on this machine: each error is one sentence that says what to do.
//! Neighbour: `spawn.rs`, where they arise.

use kernel::abi::Errno;
use std::fmt;

/// The platform could not be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// ptrace(2) is refused: by Yama, a container's seccomp profile, or a security module.
    PtraceDenied(Errno),
    /// The kernel refuses to unmap the vDSO (CONFIG_MSEAL_SYSTEM_MAPPINGS).
    SealedMappings,
    /// A system call that every Linux since 5.3 has failed.
    Machine {
        /// The call.
        call: &'static str,
        /// What it said.
        errno: Errno,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::PtraceDenied(errno) => write!(
                f,
                "this machine does not let a process trace its own children (ptrace: {errno}): \
                 set `sysctl kernel.yama.ptrace_scope=1`, or in a container add \
                 `--cap-add=SYS_PTRACE` or a seccomp profile that allows ptrace"
            ),
            Error::SealedMappings => write!(
                f,
                "this kernel seals the vDSO of every process, so that no empty address space can \
                 be made for a guest: boot a kernel without CONFIG_MSEAL_SYSTEM_MAPPINGS"
            ),
            Error::Machine { call, errno } => write!(
                f,
                "the machine refused a call needed to make guests ({call}: {errno}): check its \
                 limits on memory and processes (`ulimit -a`) and the container's seccomp profile"
            ),
        }
    }
}

impl std::error::Error for Error {}
