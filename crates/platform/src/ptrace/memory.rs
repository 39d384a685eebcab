//! Bytes in a guest's memory: process_vm_readv(2) and process_vm_writev(2), which honour the
//! protections of the mappings and stop at the first hole, as copy_from_user and copy_to_user do.
//! They don't grow stacks: those are mapped whole. Neighbour: `map.rs` makes the mappings.

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
