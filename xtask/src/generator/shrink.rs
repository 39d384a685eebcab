//! From a program that differs to the smallest that still does: what stays is what a kept program shows.
//! Neighbour: `judge`, which is asked about each smaller one.

use super::judge::differs;
use super::make::Line;
use super::sides::Sides;

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
