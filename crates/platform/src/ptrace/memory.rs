//! Bytes in a guest's memory: process_vm_readv(2) and process_vm_writev(2), which honour the
//! protections of the mappings and stop at the first hole, as copy_from_user and copy_to_user do.
//! They don't grow stacks: those are mapped whole. And how many there are (proc_pid_smaps(5)).
//! Neighbour: `map.rs` makes the mappings.

use super::Ptrace;
use super::sys;
use kernel::platform::{GuestId, UserMemory, UserPtr};

impl UserMemory for Ptrace {
    fn read_user(&mut self, guest: GuestId, from: UserPtr, into: &mut [u8]) -> usize {
        self.live(guest).map_or(0, |guest| sys::read_memory(guest.pid, from.0, into))
    }

    fn write_user(&mut self, guest: GuestId, to: UserPtr, from: &[u8]) -> usize {
        self.live(guest).map_or(0, |guest| sys::write_memory(guest.pid, to.0, from))
    }
}

/// Bytes of private memory that a process touched; pages that it shares with copies of itself count
/// in parts. None if the machine does not tell.
pub fn resident(pid: sys::Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}
