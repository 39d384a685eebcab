//! The CPU's extended state (x87, SSE, AVX …) in XSAVE's standard format: 512 bytes of FXSAVE, 64 of
//! header, then the components. Rules S-50 to S-52 say what signal frames do with it. Neighbours:
//! `spawn.rs` starts guests with the initial state; the kernel crate reads and writes the rest.

use super::sys::{self, Pid};
use kernel::abi::Errno;

/// Offset of the software bytes' mask of components in what the regset gives.
const SW_FEATURES: usize = 464;
/// Offset of XSTATE_BV.
const XSTATE_BV: usize = 512;
/// Where the header ends.
const HEADER_END: usize = 576;
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

/// Puts the state; `false` if the CPU would refuse it.
pub(super) fn set(pid: Pid, area: &[u8]) -> bool {
    sys::setxstate(pid, area).is_ok()
}
