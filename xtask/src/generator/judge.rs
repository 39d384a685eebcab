//! What a difference means. Two actors that run in one step may do so in either order, so the real
//! kernel does not always tell the same story. A program is run on it several times, as differently
//! as can be: what afterlife does is right if the real kernel does it once. If it never does, only
//! what all its runs have in common can be compared: the steps before the first at which two of them
//! differ. Neighbours: `sides` (runs), `shrink` (asks for smaller and smaller programs).

use super::make::Line;
use super::sides::{REAL, Side, Sides};
use std::collections::BTreeSet;

/// What became of a program that differed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Some run of the real kernel does the same.
    EitherWay,
    /// The real kernel differs from itself, and up to that step afterlife does the same.
    Undetermined,
    /// The real kernel tells nothing, its actors do not come to rest, or it lacks a call.
    Untold,
    /// Afterlife does what the real kernel does not.
    Different,
}

/// Judges one program by so many runs of each kind.
pub fn judge(sides: &Sides, lines: &[Line], runs: usize) -> Result<Verdict, String> {
    let ours = sides.one(Side::Ours, lines)?;
    let mut real = BTreeSet::new();
    for _ in 0..runs {
        for side in REAL {
            let story = sides.one(side, lines)?;
            if story == ours && !story.is_empty() {
                return Ok(Verdict::EitherWay);
            }
            real.insert(story);
        }
    }
    Ok(verdict(&real, &ours))
}

/// Whether it is a difference.
pub fn differs(sides: &Sides, lines: &[Line], runs: usize) -> Result<bool, String> {
    Ok(judge(sides, lines, runs)? == Verdict::Different)
}

fn verdict(real: &BTreeSet<String>, ours: &str) -> Verdict {
    let untold = |story: &String| {
        story.is_empty() || story.contains(UNSETTLED) || story.contains(NO_SUCH_CALL)
    };
    if real.iter().any(untold) {
        return Verdict::Untold;
    }
    let mut stories = real.iter();
    let Some(first) = stories.next() else { return Verdict::Untold };
    let varies = stories.map(|other| parting(first, other)).min().unwrap_or(usize::MAX);
    if parting(first, ours) < varies { Verdict::Different } else { Verdict::Undetermined }
}

/// What `actors` says of a program that it gave up.
const UNSETTLED: &str = "unsettled";
/// This machine's kernel, or whoever guards it, does not have the call.
const NO_SUCH_CALL: &str = " = ENOSYS";

/// The first step at which two stories differ: what was told there by one and not by the other.
fn parting(one: &str, other: &str) -> usize {
    let [a, b]: [Vec<(usize, &str)>; 2] =
        [one, other].map(|story| story.lines().map(|line| (step(line), line)).collect());
    // Each actor's lines are in its order; a line too many on one side moves the others.
    let only = |these: &[(usize, &str)], those: &[(usize, &str)]| {
        these.iter().filter(|it| !those.contains(it)).map(|it| it.0).min()
    };
    let missing = only(&a, &b).into_iter().chain(only(&b, &a)).min();
    let order = a.iter().zip(&b).find(|(a, b)| a != b).map(|(a, b)| a.0.min(b.0));
    missing.or(order).unwrap_or(usize::MAX)
}

/// When what a line tells came to be: `STEP …`, or `STEP … = RESULT (at LATER) …`. Lines about the
/// whole program come last.
fn step(line: &str) -> usize {
    let later = line.split_once(" (at ").and_then(|(_, rest)| rest.split(')').next());
    let own = line.split_whitespace().next();
    later.or(own).and_then(|it| it.parse().ok()).unwrap_or(usize::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "  1 0 close 3 = 0\n  2 0 read 3 1 = 1 (at 4) 7 1\n";

    fn judged(real: &[&str], ours: &str) -> Verdict {
        verdict(&real.iter().map(|it| (*it).to_owned()).collect(), ours)
    }

    #[test]
    fn what_came_late_counts_when_it_came() {
        assert_eq!(step("  2 0 read 3 1 = 1 (at 4) 7 1"), 4);
        assert_eq!(parting(A, "  1 0 close 3 = 0\n"), 4);
        assert_eq!(parting(A, A), usize::MAX);
    }

    #[test]
    fn only_what_the_real_kernel_always_does_is_compared() {
        let other = A.replace("7 1", "8 1");
        let third = A.replace("7 1", "9 1");
        assert_eq!(judged(&[A, &other], &third), Verdict::Undetermined);
        assert_eq!(judged(&[A], &third), Verdict::Different);
        assert_eq!(
            judged(&[A, &other], &third.replace("close 3 = 0", "close 3 = 1")),
            Verdict::Different
        );
    }

    #[test]
    fn a_side_that_tells_nothing_is_no_difference() {
        assert_eq!(judged(&[""], A), Verdict::Untold);
        assert_eq!(judged(&["  unsettled\n"], A), Verdict::Untold);
    }
}
