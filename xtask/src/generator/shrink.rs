//! From a program that differs to the smallest that still does, and whether Linux itself does not
//! always do the same: two actors that run in one step may do so in either order. What afterlife
//! does is right if the real kernel does it once in several runs.

use super::make::Line;
use super::sides::{Side, Sides};

/// Whether afterlife does what no run of the real kernel does, in so many runs of each kind.
pub fn differs(sides: &Sides, lines: &[Line], runs: usize) -> Result<bool, String> {
    let ours = sides.one(Side::Ours, lines)?;
    for _ in 0..runs {
        for side in [Side::Real, Side::Fifo, Side::Free] {
            if sides.one(side, lines)? == ours {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Removes steps, by halves and then one by one, as long as the program still differs.
pub fn shrink(sides: &Sides, lines: &[Line]) -> Result<Vec<Line>, String> {
    let mut kept = lines.to_vec();
    let mut size = kept.len().div_ceil(2);
    loop {
        let (mut at, before) = (0, kept.len());
        while at < kept.len() {
            let until = (at + size).min(kept.len());
            let tried = [&kept[..at], &kept[until..]].concat();
            if !tried.is_empty() && differs(sides, &tried, 1)? {
                kept = tried;
            } else {
                at = until;
            }
        }
        if size == 1 && kept.len() == before {
            return Ok(kept);
        }
        size = size.div_ceil(2).max(1);
    }
}
