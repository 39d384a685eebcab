//! The `[[fault]]` tables of a scenario file: when, and exactly one of what can go wrong. Neighbours:
//! `parse` (all other tables), `crate::fault` (what they mean).

use super::FaultSpec;
use super::parse::{LINK, Reader, Result, read_shape};
use super::section::{Found, Section, sections};
use super::{parse_duration, parse_signal};
use crate::fault::FaultKind;
use kernel::abi::signal::Signal;

/// What can go wrong, by the key that says so.
pub(super) const KINDS: [&str; 11] = [
    "kill",
    "terminate",
    "crash",
    "oom",
    "power-off",
    "power-on",
    "partition",
    "heal",
    "unplug",
    "plug",
    "link",
];

impl<'a> Reader<'a> {
    /// All of them.
    pub(super) fn read_faults(&self, root: &Section<'a>) -> Result<Vec<FaultSpec>> {
        let known = [&["at", "signal", "one-way"][..], &KINDS, &LINK[2..]].concat();
        let faults = sections(self.source, root, "fault", "[[fault]]", &known)?;
        faults.iter().map(|fault| self.read_fault(fault)).collect()
    }

    fn read_fault(&self, fault: &Section<'a>) -> Result<FaultSpec> {
        let at = fault.require("at", fault.parsed("at", parse_duration)?, "at = \"5s\"")?.value;
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| fault.has(kind)).collect();
        let signal = fault.parsed("signal", parse_signal)?;
        if let (Some(signal), false) = (&signal, fault.has("kill")) {
            let message = "signal says with what kill kills: write kill = \"PROCESS\" beside it";
            return Err(self.source.error(signal.at, message));
        }
        let one_way = fault.boolean("one-way")?;
        if one_way.is_some() && !fault.has("partition") {
            let message = "one-way says that only what the first host of a partition sends is \
                           lost: write partition = [\"HOST\", \"HOST\"] beside it";
            return Err(fault.error(message));
        }
        if let (Some(key), false) = (LINK[2..].iter().find(|it| fault.has(it)), fault.has("link")) {
            let message = format!(
                "{key} says how a link is from now on: write link = [\"HOST\", \"HOST\"] beside it"
            );
            return Err(fault.error(message));
        }
        let [kind] = kinds.as_slice() else {
            let message = "[[fault]] needs exactly one of kill = \"PROCESS\", terminate = \
                           \"PROCESS\", crash = \"PROCESS\", oom = \"PROCESS\", power-off = \
                           \"HOST\", power-on = \"HOST\", partition = [\"HOST\", \"HOST\"], heal = \
                           [\"HOST\", \"HOST\"], unplug = \"HOST\", plug = \"HOST\", link = \
                           [\"HOST\", \"HOST\"]";
            return Err(fault.error(message));
        };
        let kind = match *kind {
            "kill" | "terminate" => FaultKind::Signal {
                process: self.one(fault, kind, |name| self.known_process(name))?,
                signal: match signal {
                    Some(signal) => signal.value,
                    None if *kind == "kill" => Signal::SIGKILL,
                    None => Signal::SIGTERM,
                },
            },
            "crash" => FaultKind::Crash {
                process: self.one(fault, kind, |name| self.known_process(name))?,
            },
            "oom" => {
                FaultKind::Oom { process: self.one(fault, kind, |name| self.known_process(name))? }
            }
            "power-off" => FaultKind::PowerOff { host: self.one_host(fault, kind)? },
            "power-on" => FaultKind::PowerOn { host: self.one_host(fault, kind)? },
            "partition" => FaultKind::Partition {
                between: self.pair(fault, kind)?,
                one_way: one_way.unwrap_or_default(),
            },
            "unplug" => FaultKind::Unplug { host: self.one_host(fault, kind)? },
            "plug" => FaultKind::Plug { host: self.one_host(fault, kind)? },
            "link" => {
                FaultKind::Link { between: self.pair(fault, kind)?, shape: read_shape(fault)? }
            }
            _ => FaultKind::Heal { between: self.pair(fault, kind)? },
        };
        Ok(FaultSpec { at, kind })
    }

    /// The value of a key that is there and is a name that `read` knows.
    fn one<T>(
        &self,
        fault: &Section<'a>,
        key: &str,
        read: impl Fn(&Found<&'a str>) -> Result<T>,
    ) -> Result<T> {
        read(&fault.require(key, fault.string(key)?, &format!("{key} = \"NAME\""))?)
    }

    fn one_host(&self, fault: &Section<'a>, key: &str) -> Result<String> {
        self.one(fault, key, |name| self.known_host(name).map(|_| name.value.to_owned()))
    }

    fn pair(&self, fault: &Section<'a>, key: &str) -> Result<(String, String)> {
        let example = format!("{key} = [\"a\", \"b\"]");
        let names = fault.require(key, fault.strings(key)?, &example)?;
        self.two_hosts(key, &names)?;
        let name = |i: usize| names.value[i].value.to_owned();
        Ok((name(0), name(1)))
    }
}
