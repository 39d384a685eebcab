//! Reads a scenario from TOML. Unknown keys, bad units, names that name nothing and duplicates are
//! errors that name file and line and say what to do. Neighbours: `addresses`, `faults`,
//! `section`, `units`.

use super::addresses::{NamedHost, give_addresses, parse_address, parse_ipv6};
use super::section::{Found, Section, Source, sections, suggestion};
use super::sysctls::read_sysctls;
use super::{
    Check, CheckKind, DEFAULT_ENV, DEFAULT_SEED, DEFAULT_UNTIL, Ending, LinkSpec, ProcessSpec,
    Scenario, User, parse_bandwidth, parse_duration, parse_share, parse_signal, parse_user,
};
use crate::shape::{LinkShape, Share};
use kernel::task::spawn::Stdio;
use kernel::time::{Duration, Instant};
use std::fmt;
use toml::de::DeTable;

/// What is wrong with a scenario, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for ScenarioError {}

// The keys of each table; docs/scenarios.md explains them.
const ROOT: [&str; 7] = ["seed", "until", "host", "process", "link", "fault", "check"];
const HOST: [&str; 4] = ["name", "address", "ipv6", "sysctls"];
const PROCESS: [&str; 9] =
    ["name", "host", "command", "start", "at-boot", "init", "user", "cwd", "env"];
pub(super) const LINK: [&str; 9] = [
    "between",
    "neighbours",
    "latency",
    "jitter",
    "loss",
    "duplicate",
    "reorder",
    "bandwidth",
    "queue",
];
const EXITS: [&str; 4] = ["process", "status", "signal", "within"];

pub(super) type Result<T> = core::result::Result<T, ScenarioError>;

/// Reads the scenario in `text`; `file` is what errors call it.
pub fn parse(file: &str, text: &str) -> Result<Scenario> {
    let source = Source { file, text };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |s| s.start);
        source.error(at, format!("this is not TOML: {}", error.message().replace('\n', ", ")))
    })?;
    let root = Section::of_table(&source, "a scenario", document.get_ref(), 0, &ROOT)?;
    let mut reader = Reader { source: &source, hosts: Vec::new(), processes: Vec::new() };
    reader.read_hosts(&root)?;
    reader.read_processes(&root)?;
    let links = reader.read_links(&root)?;
    let faults = reader.read_faults(&root)?;
    let checks = reader.read_checks(&root)?;
    let until = root.parsed("until", parse_duration)?;
    let seed = root.integer("seed", i64::MAX as u64)?;
    let hosts = give_addresses(&source, reader.hosts)?;
    if reader.processes.is_empty() {
        let message = "there is nothing to run: write a [[process]] with command = [\"program\"]";
        return Err(source.error(0, message));
    }
    Ok(Scenario {
        seed: seed.map_or(DEFAULT_SEED, |f| f.value),
        until: until.map_or(DEFAULT_UNTIL, |f| Instant::ZERO + f.value),
        hosts,
        processes: reader.processes,
        links,
        faults,
        checks,
    })
}

pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    hosts: Vec<NamedHost>,
    processes: Vec<ProcessSpec>,
}

impl<'a> Reader<'a> {
    fn read_hosts(&mut self, root: &Section<'a>) -> Result<()> {
        for host in sections(self.source, root, "host", "[[host]]", &HOST)? {
            let name = host.require("name", host.parsed("name", host_name)?, "name = \"a\"")?;
            if self.hosts.iter().any(|h| h.name == name.value) {
                let message = format!("there are two hosts named {:?}: rename one", name.value);
                return Err(self.source.error(name.at, message));
            }
            let address = host.parsed("address", parse_address)?;
            let ipv6 = host.parsed("ipv6", parse_ipv6)?;
            let sysctls = read_sysctls(self.source, &host)?;
            self.hosts.push(NamedHost { name: name.value, address, ipv6, sysctls });
        }
        Ok(())
    }

    /// The index of a host; hosts exist by being named.
    fn host(&mut self, name: &str) -> usize {
        self.hosts.iter().position(|h| h.name == name).unwrap_or_else(|| {
            let name = name.to_owned();
            self.hosts.push(NamedHost { name, address: None, ipv6: None, sysctls: Vec::new() });
            self.hosts.len() - 1
        })
    }

    fn read_processes(&mut self, root: &Section<'a>) -> Result<()> {
        for process in sections(self.source, root, "process", "[[process]]", &PROCESS)? {
            self.read_process(&process)?;
        }
        Ok(())
    }

    fn read_process(&mut self, process: &Section<'a>) -> Result<()> {
        let source = self.source;
        let example = "command = [\"sleep\", \"1\"]";
        let command = process.require("command", process.strings("command")?, example)?;
        let Some(program) = command.value.first().filter(|p| !p.value.is_empty()) else {
            let message = format!("command names no program: write for example {example}");
            return Err(source.error(command.at, message));
        };
        let name = match process.string("name")? {
            Some(Found { value, at }) => Found { value: value.to_owned(), at },
            None => {
                let base = program.value.rsplit('/').next().unwrap_or(program.value);
                Found { value: base.to_owned(), at: program.at }
            }
        };
        if name.value.is_empty() || name.value.contains(char::is_control) {
            let message = format!(
                "{:?} cannot be shown as the name of a process: write for example name = \"server\"",
                name.value
            );
            return Err(source.error(name.at, message));
        }
        if self.processes.iter().any(|p| p.name == name.value) {
            let message = format!(
                "there are two processes named {:?}: give this one a name of its own, as in \
                 name = \"{}2\"",
                name.value, name.value
            );
            return Err(source.error(name.at, message));
        }
        let host = process.parsed("host", host_name)?.map_or("a".to_owned(), |f| f.value);
        let cwd = process.parsed("cwd", absolute)?.map_or("/".to_owned(), |f| f.value);
        let user = process.parsed("user", parse_user)?;
        let given = process.string_table("env")?;
        let fixed = DEFAULT_ENV.into_iter().filter(|(n, _)| given.iter().all(|(g, _)| g != n));
        let env = fixed.chain(given.iter().copied());
        let host = self.host(&host);
        let start = process.parsed("start", parse_duration)?;
        let init = process.boolean("init")?.unwrap_or(false);
        if init && let Some(start) = start.as_ref().filter(|start| start.value > Duration::ZERO) {
            let message = "an init starts with its host: take this line away";
            return Err(source.error(start.at, message.to_owned()));
        }
        if init && let Some(other) = self.processes.iter().find(|p| p.init && p.host == host) {
            let message = format!(
                "{:?} is this host's init already, and a host has only one PID 1: take init = true \
                 away from one of them",
                other.name
            );
            return Err(source.error(process.at, message));
        }
        let spec = ProcessSpec {
            name: name.value,
            host,
            command: command.value.iter().map(|a| a.value.as_bytes().to_vec()).collect(),
            start: start.map_or(Duration::ZERO, |f| f.value),
            at_boot: init || process.boolean("at-boot")?.unwrap_or(false),
            init,
            user: user.map_or(User::Ids { uid: 0, gid: 0, groups: Vec::new() }, |f| f.value),
            cwd: cwd.into_bytes(),
            env: env.map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect(),
            umask: 0o022,
            stdio: Stdio::Null,
            line: source.line(process.at),
        };
        self.processes.push(spec);
        Ok(())
    }

    pub(super) fn known_host(&self, name: &Found<&str>) -> Result<usize> {
        self.hosts.iter().position(|h| h.name == name.value).ok_or_else(|| {
            let near = suggestion(name.value, self.hosts.iter().map(|h| h.name.as_str()));
            let known: Vec<&str> = self.hosts.iter().map(|h| h.name.as_str()).collect();
            let known = known.join(", ");
            let message = format!("there is no host {:?}{near} (hosts: {known})", name.value);
            self.source.error(name.at, message)
        })
    }

    pub(super) fn known_process(&self, name: &Found<&str>) -> Result<String> {
        let names = || self.processes.iter().map(|p| p.name.as_str());
        if names().any(|n| n == name.value) {
            return Ok(name.value.to_owned());
        }
        let near = suggestion(name.value, names());
        let known = names().collect::<Vec<_>>().join(", ");
        let message = format!("there is no process {:?}{near} (processes: {known})", name.value);
        Err(self.source.error(name.at, message))
    }

    /// Two hosts, as a link or a partition names them.
    pub(super) fn two_hosts(
        &self,
        key: &str,
        names: &Found<Vec<Found<&str>>>,
    ) -> Result<(usize, usize)> {
        let [a, b] = names.value.as_slice() else {
            let message = format!("{key} must name two hosts, as in {key} = [\"a\", \"b\"]");
            return Err(self.source.error(names.at, message));
        };
        let pair = (self.known_host(a)?, self.known_host(b)?);
        if pair.0 == pair.1 {
            let message = "a link needs two different hosts; a host reaches itself by its loopback";
            return Err(self.source.error(names.at, message));
        }
        Ok(pair)
    }

    fn read_links(&self, root: &Section<'a>) -> Result<Vec<LinkSpec>> {
        let mut links: Vec<LinkSpec> = Vec::new();
        for link in sections(self.source, root, "link", "[[link]]", &LINK)? {
            let between = link.strings("between")?;
            let between = link.require("between", between, "between = [\"a\", \"b\"]")?;
            let pair = self.two_hosts("between", &between)?;
            let same = |l: &LinkSpec| l.between == pair || l.between == (pair.1, pair.0);
            if links.iter().any(same) {
                let message = "there are two links between these hosts: remove one";
                return Err(self.source.error(between.at, message));
            }
            let neighbours = link.boolean("neighbours")?.unwrap_or(false);
            links.push(LinkSpec { between: pair, shape: read_shape(&link)?, neighbours });
        }
        Ok(links)
    }

    fn read_checks(&self, root: &Section<'a>) -> Result<Vec<Check>> {
        let checks = sections(self.source, root, "check", "[[check]]", &["exits"])?;
        checks.iter().map(|check| self.read_check(check)).collect()
    }

    fn read_check(&self, check: &Section<'a>) -> Result<Check> {
        let example = "exits = { process = \"client\", status = 0, within = \"30s\" }";
        let exits = check.section("exits", "exits", &EXITS)?;
        let exits = check.require("exits", exits, example)?;
        let process = exits.require("process", exits.string("process")?, example)?;
        let status = exits.integer("status", 255)?;
        let signal = exits.parsed("signal", parse_signal)?;
        let how = match (status, signal) {
            (Some(status), None) => Some(Ending::Status(status.value as u8)),
            (None, Some(signal)) => Some(Ending::Signal(signal.value)),
            (None, None) => None,
            (Some(_), Some(signal)) => {
                let message = "a process ends with a status or by a signal: remove one of the two";
                return Err(self.source.error(signal.at, message));
            }
        };
        let within = exits.parsed("within", parse_duration)?.map(|f| f.value);
        let kind = CheckKind::Exits { process: self.known_process(&process)?, how, within };
        Ok(Check { line: self.source.line(check.at), kind })
    }
}

fn host_name(text: &str) -> core::result::Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if text.is_empty() || text.len() > 64 || !text.chars().all(good) || text == "localhost" {
        let message = "is no name for a host: use up to 64 letters, digits, '-' and '.', and not \
                       \"localhost\"";
        return Err(format!("{text:?} {message}"));
    }
    Ok(text.to_owned())
}

fn absolute(text: &str) -> core::result::Result<String, String> {
    let bad = || format!("{text:?} must be an absolute path, as in \"/tmp\"");
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err(bad()) }
}

/// What a link does to packets, as `[[link]]` and the fault `link` say it.
pub(super) fn read_shape(table: &Section<'_>) -> Result<LinkShape> {
    let default = LinkShape::default();
    let time = |key| Ok(table.parsed(key, parse_duration)?.map(|it| it.value));
    let share = |key| Ok(table.parsed(key, parse_share)?.map_or(Share(0), |it| it.value));
    let shape = LinkShape {
        latency: time("latency")?.unwrap_or(default.latency),
        jitter: time("jitter")?.unwrap_or_default(),
        loss: share("loss")?,
        duplicate: share("duplicate")?,
        reorder: share("reorder")?,
        bandwidth: table.parsed("bandwidth", parse_bandwidth)?.map(|it| it.value),
        queue: table.integer("queue", u32::MAX.into())?.map_or(default.queue, |it| it.value),
    };
    let hours = Duration::from_secs(24 * 3600);
    if shape.latency > hours || shape.jitter > hours {
        return Err(table.error("a link that takes more than a day: write a shorter time"));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::faults::KINDS;

    #[test]
    fn every_key_is_in_the_document() {
        let document = include_str!("../../../../docs/scenarios.md");
        for key in [&HOST[..], &PROCESS, &LINK, &EXITS, &KINDS, &["seed", "until", "at"]].concat() {
            assert!(document.contains(&format!("{key} = ")), "{key}");
        }
        for table in ROOT.into_iter().filter(|key| !["seed", "until"].contains(key)) {
            assert!(document.contains(&format!("[[{table}]]")), "{table}");
        }
    }
}
