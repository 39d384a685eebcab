//! The verdict: which checks of the scenario held. Neighbours: `scenario` (what was to hold),
//! `world` (what became of the processes).

use crate::scenario::{CheckKind, Ending};
use crate::world::{Fate, World};
use kernel::platform::Platform;
use kernel::task::WaitStatus;
use kernel::time::{Duration, Instant};

/// A check that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The line of the scenario that the check begins on.
    pub line: usize,
    /// What was expected and what happened.
    pub message: String,
}

/// The checks that did not hold, in the order of the scenario.
pub fn failures<P: Platform>(world: &World<P>) -> Vec<Failure> {
    let checks = world.scenario.checks.iter();
    let failed = checks.filter_map(|check| {
        let CheckKind::Exits { process, how, within } = &check.kind;
        let message = exits(process, *how, *within, &world.fates[process], world.now())?;
        Some(Failure { line: check.line, message })
    });
    failed.collect()
}

/// "status 3" or "SIGKILL".
pub fn describe(status: WaitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("was killed by {signal:?}"),
        None => format!("exited with status {}", status.code()),
    }
}

fn exits(
    process: &str,
    how: Option<Ending>,
    within: Option<Duration>,
    fate: &Fate,
    now: Instant,
) -> Option<String> {
    let wanted = match how {
        None => "end".to_owned(),
        Some(Ending::Status(status)) => format!("exit with status {status}"),
        Some(Ending::Signal(signal)) => format!("be killed by {signal:?}"),
    };
    let happened = match fate {
        Fate::Waiting => "it never started".to_owned(),
        Fate::NotStarted => "it could not be started".to_owned(),
        Fate::Running(_) => format!("it was still running at {now:?}"),
        Fate::Lost(at) => format!("its host lost its power at {at:?}"),
        Fate::Ended(status, at) => {
            let right = match how {
                None => true,
                Some(Ending::Status(s)) => {
                    status.signal().is_none() && status.code() == u32::from(s)
                }
                Some(Ending::Signal(signal)) => status.signal() == Some(signal),
            };
            let in_time = within.is_none_or(|w| *at <= Instant::ZERO + w);
            match (right, in_time) {
                (true, true) => return None,
                (true, false) => format!("it did so only at {at:?}, not within {:?}", within?),
                (false, _) => format!("it {} at {at:?}", describe(*status)),
            }
        }
    };
    Some(format!("{process} was to {wanted}, but {happened}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::abi::signal::Signal;

    #[test]
    fn a_check_says_what_happened_instead() {
        let second = Instant(1_000_000_000);
        let killed = Fate::Ended(WaitStatus::killed(Signal::SIGKILL), second);
        let check = |how, within: Option<u64>, fate: &Fate| {
            exits("p", how, within.map(Duration::from_millis), fate, second)
        };
        assert_eq!(check(Some(Ending::Signal(Signal::SIGKILL)), Some(1000), &killed), None);
        assert_eq!(check(None, None, &killed), None);
        let late = check(None, Some(999), &killed).unwrap();
        assert!(late.contains("only at 1.000000000s"), "{late}");
        let wrong = check(Some(Ending::Status(9)), None, &killed).unwrap();
        assert!(wrong.contains("was killed by SIGKILL"), "{wrong}");
        let running = check(None, None, &Fate::Running(kernel::task::Pid(2))).unwrap();
        assert!(running.contains("still running"), "{running}");
    }
}
