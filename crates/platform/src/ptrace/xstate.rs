//! The CPU's extended state (x87, SSE, AVX …) in XSAVE's standard format: 512 bytes of FXSAVE, 64 of
//! header, then the components. Rules S-50 to S-52 say what signal frames do with it. Neighbours:
//! `spawn.rs` starts guests with the initial state; the kernel crate reads and writes the rest.

use super::sys::{self, Pid};
use kernel::abi::Errno;
use std::arch::x86_64::__cpuid_count;
use std::ops::Range;
use std::sync::OnceLock;

/// Offset of the software bytes' mask of components in what the regset gives.
const SW_FEATURES: usize = 464;
/// Offset of XSTATE_BV.
const XSTATE_BV: usize = 512;
/// Where the header ends.
const HEADER_END: usize = 576;
/// The components in the first 512 bytes: x87 and SSE.
const LEGACY: u64 = 3;
/// The component of protection keys: its value after exec is the machine's default, not zero.
const PKRU: u64 = 1 << 9;

fn word(area: &[u8], offset: usize) -> u64 {
    let bytes = area.get(offset..offset + 8);
    bytes.map_or(0, |b| u64::from_ne_bytes(b.try_into().expect("eight bytes")))
}

/// The mask of the components that the machine's kernel has enabled for user space.
pub(super) fn features(area: &[u8]) -> u64 {
    word(area, SW_FEATURES)
}

/// Gives a stopped process the state after exec: all components initial, FCW 0x37f, MXCSR 0x1f80.
pub(super) fn reset(pid: Pid) -> Result<(), Errno> {
    let mut area = sys::getxstate(pid)?;
    let keep = word(&area, XSTATE_BV) & PKRU;
    area[..HEADER_END].fill(0);
    area[0..2].copy_from_slice(&0x37fu16.to_ne_bytes());
    area[24..28].copy_from_slice(&0x1f80u32.to_ne_bytes());
    area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&keep.to_ne_bytes());
    sys::setxstate(pid, &area)
}

/// The state, with an XSTATE_BV that depends on it alone. The CPU's own says what it believes to be
/// in use, which differs from run to run. Like Linux in a signal frame we say that x87 and SSE are;
/// the other components are if they are not all zero, which is their initial state.
pub(super) fn get(pid: Pid) -> Result<Vec<u8>, Errno> {
    let mut area = sys::getxstate(pid)?;
    if area.len() < HEADER_END {
        return Ok(area);
    }
    let mut used = LEGACY;
    let features = features(&area);
    for (component, place) in places().iter().filter(|(which, _)| features >> which & 1 != 0) {
        let bytes = area.get(place.clone()).unwrap_or_default();
        if bytes.iter().any(|byte| *byte != 0) {
            used |= 1 << component;
        }
    }
    area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&used.to_ne_bytes());
    Ok(area)
}

/// Where the components behind the header are in the standard format: CPUID leaf 13 has sizes and
/// offsets. Asked once: under a hypervisor CPUID is slow.
fn places() -> &'static [(u32, Range<usize>)] {
    static PLACES: OnceLock<Vec<(u32, Range<usize>)>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let leaf = |component| (component, __cpuid_count(0xd, component));
        (2..63)
            .map(leaf)
            .map(|(component, leaf)| (component, leaf.ebx as usize..(leaf.ebx + leaf.eax) as usize))
            .collect()
    })
}

/// Puts the state; `false` if the CPU would refuse it.
pub(super) fn set(pid: Pid, area: &[u8]) -> bool {
    sys::setxstate(pid, area).is_ok()
}
