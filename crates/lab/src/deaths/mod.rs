//! Every way to die, side by side: the same scenario, the same moment, one death a world. What each
//! is made of (`DEATHS`) and the scenario with it instead of its own faults ([`Plan`]); what came of
//! it is seen by `watch`. The command `afterlife deaths` shows it. Rules P-1 … P-14.

mod watch;

pub use watch::{Called, Outcome, Peer, Sent, watch};

use crate::fault::FaultKind;
use crate::scenario::{FaultSpec, Scenario};
use kernel::abi::signal::Signal;
use kernel::time::Duration;

/// One step of a death: so long after the moment.
type StepOf = (Duration, Blow);

/// What strikes the process, or the host that it is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blow {
    Signal(Signal),
    Crash,
    Oom,
    PowerOff,
    PowerOn,
    /// From all other hosts.
    Partition,
    Heal,
}

/// A way to die.
#[derive(Debug)]
pub struct Death {
    /// As in "kill -9".
    pub name: &'static str,
    steps: &'static [StepOf],
}

const AT_ONCE: Duration = Duration::ZERO;
/// How long a host is off that comes back: longer than a handshake, shorter than any time-out.
const REBOOT: Duration = Duration::from_secs(10);
/// How long a partition lasts that heals.
const HEALS: Duration = Duration::from_secs(30);

/// All of them; the last is no death, but looks like one.
pub const DEATHS: &[Death] = &[
    Death { name: "kill -9", steps: &[(AT_ONCE, Blow::Signal(Signal::SIGKILL))] },
    Death { name: "SIGTERM", steps: &[(AT_ONCE, Blow::Signal(Signal::SIGTERM))] },
    Death { name: "crash (SIGSEGV)", steps: &[(AT_ONCE, Blow::Crash)] },
    Death { name: "out of memory", steps: &[(AT_ONCE, Blow::Oom)] },
    Death { name: "power-off", steps: &[(AT_ONCE, Blow::PowerOff)] },
    Death {
        name: "power-off, on after 10 s",
        steps: &[(AT_ONCE, Blow::PowerOff), (REBOOT, Blow::PowerOn)],
    },
    Death { name: "partition", steps: &[(AT_ONCE, Blow::Partition)] },
    Death { name: "partition for 30 s", steps: &[(AT_ONCE, Blow::Partition), (HEALS, Blow::Heal)] },
    Death {
        name: "kill -9 in a partition of 30 s",
        steps: &[
            (AT_ONCE, Blow::Partition),
            (AT_ONCE, Blow::Signal(Signal::SIGKILL)),
            (HEALS, Blow::Heal),
        ],
    },
    Death { name: "frozen (SIGSTOP)", steps: &[(AT_ONCE, Blow::Signal(Signal::SIGSTOP))] },
];

/// Who dies in a scenario, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The process's name.
    pub process: String,
    /// The moment.
    pub at: Duration,
}

impl Plan {
    /// The process that the scenario calls so, at the given moment or when the scenario's first fault
    /// strikes it or its host. The error is a sentence.
    pub fn new(scenario: &Scenario, process: &str, at: Option<Duration>) -> Result<Plan, String> {
        let Some(spec) = scenario.processes.iter().find(|it| it.name == process) else {
            let names: Vec<&str> = scenario.processes.iter().map(|it| it.name.as_str()).collect();
            return Err(format!(
                "the scenario has no process {process}; it has {}",
                names.join(", ")
            ));
        };
        let host = &scenario.hosts[spec.host].name;
        let strikes = scenario.faults.iter().filter(|it| it.kind.concerns(process, host));
        let at = at.or_else(|| strikes.map(|it| it.at).min()).ok_or_else(|| {
            format!("no fault of the scenario strikes {process}: say when it dies, as in --at 5s")
        })?;
        Ok(Plan { process: process.to_owned(), at })
    }

    /// The scenario in which it dies so: without the faults that strike it or its host, and without
    /// checks.
    pub fn scenario(&self, scenario: &Scenario, death: &Death) -> Scenario {
        let mut scenario = scenario.clone();
        let spec = scenario.processes.iter().find(|it| it.name == self.process);
        let host = spec.expect("`new` found it").host;
        let name = scenario.hosts[host].name.clone();
        scenario.checks.clear();
        scenario.faults.retain(|it| !it.kind.concerns(&self.process, &name));
        for (later, blow) in death.steps {
            for kind in self.kinds(*blow, &scenario, &name) {
                scenario.faults.push(FaultSpec { at: self.at + *later, kind });
            }
        }
        scenario
    }

    /// The faults that a blow is, in this scenario.
    fn kinds(&self, blow: Blow, scenario: &Scenario, host: &str) -> Vec<FaultKind> {
        let process = self.process.clone();
        let named = host.to_owned();
        let others = scenario.hosts.iter().map(|it| it.name.clone()).filter(|it| it != host);
        match blow {
            Blow::Signal(signal) => vec![FaultKind::Signal { process, signal }],
            Blow::Crash => vec![FaultKind::Crash { process }],
            Blow::Oom => vec![FaultKind::Oom { process }],
            Blow::PowerOff => vec![FaultKind::PowerOff { host: named }],
            Blow::PowerOn => vec![FaultKind::PowerOn { host: named }],
            Blow::Partition => others
                .map(|it| FaultKind::Partition { between: (named.clone(), it), one_way: false })
                .collect(),
            Blow::Heal => {
                others.map(|it| FaultKind::Heal { between: (named.clone(), it) }).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    const TEXT: &str = "
[[process]]
command = [\"server\"]
[[process]]
command = [\"client\"]
host = \"b\"
[[process]]
name = \"third\"
command = [\"client\"]
host = \"c\"
[[fault]]
at = \"7s\"
power-off = \"a\"
[[fault]]
at = \"3s\"
kill = \"client\"
[[fault]]
at = \"6s\"
partition = [\"a\", \"b\"]
";

    #[test]
    fn the_moment_is_the_first_fault_that_strikes_it_or_its_host() {
        let scenario = parse("test.toml", TEXT).unwrap();
        let at = |process, at| Plan::new(&scenario, process, at).map(|plan| plan.at);
        assert_eq!(at("server", None), Ok(Duration::from_secs(6)));
        assert_eq!(at("client", None), Ok(Duration::from_secs(3)));
        assert_eq!(at("server", Some(Duration::from_secs(1))), Ok(Duration::from_secs(1)));
        assert!(at("third", None).unwrap_err().contains("--at 5s"));
        assert!(at("nobody", None).unwrap_err().ends_with("it has server, client, third"));
    }

    #[test]
    fn a_death_replaces_the_faults_that_strike_the_same() {
        let scenario = parse("test.toml", TEXT).unwrap();
        let plan = Plan::new(&scenario, "server", None).unwrap();
        let partition = DEATHS.iter().find(|it| it.name == "partition for 30 s").unwrap();
        let faults = plan.scenario(&scenario, partition).faults;
        let between = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = [
            (3, FaultKind::Signal { process: "client".to_owned(), signal: Signal::SIGKILL }),
            (6, FaultKind::Partition { between: between("a", "b"), one_way: false }),
            (6, FaultKind::Partition { between: between("a", "c"), one_way: false }),
            (36, FaultKind::Heal { between: between("a", "b") }),
            (36, FaultKind::Heal { between: between("a", "c") }),
        ];
        let expected =
            expected.map(|(at, kind)| FaultSpec { at: Duration::from_secs(at), kind }).to_vec();
        assert_eq!(faults, expected);
    }
}
