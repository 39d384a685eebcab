//! Changes of an address space, made by the guest's own native process: a list of changes becomes a
//! list of injected calls (one stop). Everything is MAP_FIXED inside the user range; the kernel crate
//! has checked it against its areas. Neighbours: `inject.rs`, `object.rs`, `lower.rs`.

use super::USER_RANGE;
use super::guest::Guest;
use super::inject::{BATCH, Call, Gadget};
use super::lower::Lower;
use super::object::Objects;
use super::sys::PAGE;
use kernel::abi::Errno;
use kernel::platform::{Backing, MapChange, Prot};

/// Applies the changes in order. On error: the first that failed, later ones were not tried.
pub(super) fn change_map(
    gadget: &mut Gadget,
    guest: &mut Guest,
    objects: &Objects,
    lower: &mut Lower,
    changes: &[MapChange],
) -> Result<(), (usize, Errno)> {
    // In batches, so that the lower layer keeps the descriptors of one batch open.
    for (batch, changes) in changes.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let mut calls = Vec::with_capacity(changes.len());
        let mut refused = Ok(());
        for (index, change) in changes.iter().enumerate() {
            match translate(change, objects, lower) {
                Ok(call) => calls.push(call),
                Err(errno) => {
                    refused = Err((first + index, errno));
                    break;
                }
            }
        }
        let failed = |(index, errno)| (first + index, machine(errno));
        gadget.inject(guest, &calls).map_err(failed)?;
        refused?;
    }
    Ok(())
}

/// A guest that vanished has no memory left: ESRCH is no errno of a memory call.
fn machine(errno: Errno) -> Errno {
    if errno == Errno::ESRCH { Errno::ENOMEM } else { errno }
}

/// On x86 a page that can be written or executed can be read. The machine's kernel knows that only
/// in its page tables: process_vm_readv would refuse such an area.
fn readable(prot: Prot) -> u64 {
    u64::from(if prot == 0 { 0 } else { prot | libc::PROT_READ as Prot })
}

/// Page-aligned, not empty, inside the user range. Anything else is a bug of the kernel crate.
fn check(start: u64, len: u64) {
    let aligned = (start | len).is_multiple_of(PAGE as u64) && len != 0;
    let end = start.checked_add(len);
    let inside = start >= USER_RANGE.0 && end.is_some_and(|end| end <= USER_RANGE.1);
    assert!(aligned && inside, "{start:#x}+{len:#x} is no range of a guest's pages");
}

/// The call for one change.
fn translate(change: &MapChange, objects: &Objects, lower: &mut Lower) -> Result<Call, Errno> {
    Ok(match change {
        MapChange::Map { start, len, prot, backing } => {
            check(*start, *len);
            mmap(*start, *len, *prot, backing, objects, lower)?
        }
        MapChange::Unmap { start, len } => {
            check(*start, *len);
            Call::new(libc::SYS_munmap, [*start, *len])
        }
        MapChange::Protect { start, len, prot } => {
            check(*start, *len);
            Call::new(libc::SYS_mprotect, [*start, *len, readable(*prot)])
        }
        MapChange::Move { from, old_len, to, new_len } => {
            check(*from, *old_len);
            check(*to, *new_len);
            mremap(*from, *old_len, *to, *new_len)
        }
        MapChange::Discard { start, len } => {
            check(*start, *len);
            Call::new(libc::SYS_madvise, [*start, *len, libc::MADV_DONTNEED as u64])
        }
    })
}

/// Private anonymous memory is MAP_NORESERVE: what guests may have is accounted by the kernel crate.
fn mmap(
    start: u64,
    len: u64,
    prot: Prot,
    backing: &Backing,
    objects: &Objects,
    lower: &mut Lower,
) -> Result<Call, Errno> {
    let (flags, fd, offset) = match backing {
        Backing::Anonymous => {
            (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0)
        }
        Backing::Lower { path, offset } => {
            (libc::MAP_PRIVATE | libc::MAP_NORESERVE, lower.fd(path)?, *offset)
        }
        Backing::Object { id, offset, shared: true } => {
            (libc::MAP_SHARED, objects.fd(*id), *offset)
        }
        Backing::Object { id, offset, shared: false } => {
            (libc::MAP_PRIVATE | libc::MAP_NORESERVE, objects.fd(*id), *offset)
        }
    };
    let flags = (flags | libc::MAP_FIXED) as u64;
    Ok(Call::new(libc::SYS_mmap, [start, len, readable(prot), flags, fd as u64, offset]))
}

/// In place it shrinks or grows, for which the room behind is free as the areas say; else the ranges
/// are disjoint, or the machine's kernel says EINVAL as for the guest's own call.
fn mremap(from: u64, old_len: u64, to: u64, new_len: u64) -> Call {
    if from == to {
        return Call::new(libc::SYS_mremap, [from, old_len, new_len, 0]);
    }
    let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
    Call::new(libc::SYS_mremap, [from, old_len, new_len, flags, to])
}
