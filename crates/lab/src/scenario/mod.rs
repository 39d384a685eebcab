//! A scenario: seed, hosts, processes, links, faults, checks, as a value. It is read from TOML
//! (`parse`, with units in `units` and one section at a time in `section`) or built by the command.
//! Neighbours: `world` (what it becomes), `verdict` (its checks).
//!
//! All times count from the beginning of the world, `within` of a check too.

mod addresses;
mod faults;
mod parse;
mod section;
mod sysctls;
mod units;

pub use parse::{ScenarioError, parse};
pub use units::{parse_bandwidth, parse_duration, parse_share, parse_signal, parse_user};

use crate::fault::FaultKind;
use crate::shape::LinkShape;
use kernel::abi::signal::Signal;
use kernel::task::spawn::Stdio;
use kernel::time::{Duration, Instant};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The seed of a world that was given none.
pub const DEFAULT_SEED: u64 = 1;
/// When a world ends that has not ended by itself: a day.
pub const DEFAULT_UNTIL: Instant = Instant(86_400_000_000_000);
/// The environment of a scenario's processes, before `env`.
pub const DEFAULT_ENV: [(&str, &str); 3] = [
    ("PATH", "/opt/afterlife/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
];

/// Everything that a world is made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// The root of all choices.
    pub seed: u64,
    /// The world ends here even if more could happen.
    pub until: Instant,
    /// Hosts; others name them by index.
    pub hosts: Vec<HostSpec>,
    /// Processes in the order of the file.
    pub processes: Vec<ProcessSpec>,
    /// Links that are not as the default.
    pub links: Vec<LinkSpec>,
    /// Faults in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// What must hold at the end.
    pub checks: Vec<Check>,
}

/// One host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostSpec {
    /// Its name, which resolves inside the world.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its IPv6 address. None: it has no IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// Its name resolves to its IPv6 address too: the scenario gave it one.
    pub name6: bool,
    /// Settings under /proc/sys that it boots with: name and value.
    pub sysctls: Vec<(String, String)>,
}

/// Whose process it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum User {
    /// A name of /etc/passwd.
    Name(String),
    /// Numbers.
    Ids {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
    },
}

/// One process to be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessSpec {
    /// By which faults and checks name it.
    pub name: String,
    /// Index of its host.
    pub host: usize,
    /// Program and arguments.
    pub command: Vec<Vec<u8>>,
    /// When it starts.
    pub start: Duration,
    /// It starts again, so long after each time that its host's power comes back.
    pub at_boot: bool,
    /// It is its host's PID 1, and starts with it.
    pub init: bool,
    /// Whose it is.
    pub user: User,
    /// Its working directory.
    pub cwd: Vec<u8>,
    /// Its environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its standard streams.
    pub stdio: Stdio,
    /// The line of the file that it begins on; 0 if it comes from no file.
    pub line: usize,
}

/// One link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkSpec {
    /// Indices of its two hosts.
    pub between: (usize, usize),
    /// What it does to packets.
    pub shape: LinkShape,
    /// The hosts ask for each other's hardware address, and notice who does not answer.
    pub neighbours: bool,
}

/// One fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaultSpec {
    /// When.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
}

/// Something that must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// The line of the file that it begins on.
    pub line: usize,
    /// What.
    pub kind: CheckKind,
}

/// What must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// A process ends, in the way and time that are given.
    Exits {
        /// Its name.
        process: String,
        /// With which exit status or by which signal; None: in any way.
        how: Option<Ending>,
        /// How long after the beginning of the world at most.
        within: Option<Duration>,
    },
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It exits with this status.
    Status(u8),
    /// This signal kills it.
    Signal(Signal),
}
