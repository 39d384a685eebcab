//! The plan of a world: which process starts when and which fault comes to pass when. Neighbours:
//! `scenario` (where it is written), `world` (whose clock it runs on).

use crate::fault::FaultKind;
use crate::record::LabFact;
use crate::scenario::{ProcessSpec, Scenario, User};
use crate::world::{Fate, World};
use kernel::abi::Errno;
use kernel::platform::{LowerFiles, Platform};
use kernel::task::Cred;
use kernel::task::spawn::{Spawn, SpawnError};
use kernel::time::Instant;

/// One entry of the plan, by index into the scenario's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planned {
    /// A process starts.
    Start(usize),
    /// A fault comes to pass.
    Fault(usize),
}

/// Starts and faults by time; at the same time starts first, each kind in the scenario's order.
pub fn plan(scenario: &Scenario) -> Vec<(Instant, Planned)> {
    let starts = scenario.processes.iter().enumerate();
    let starts = starts.map(|(i, p)| (Instant::ZERO + p.start, Planned::Start(i)));
    let faults = scenario.faults.iter().enumerate();
    let faults = faults.map(|(i, f)| (Instant::ZERO + f.at, Planned::Fault(i)));
    let mut plan: Vec<_> = starts.chain(faults).collect();
    plan.sort_by_key(|(at, _)| *at);
    plan
}

impl<P: Platform> World<P> {
    /// The next entry of the plan is due.
    pub(crate) fn fire_planned(&mut self, at: Instant) {
        let (_, planned) = self.plan[self.next_planned];
        self.next_planned += 1;
        match planned {
            Planned::Start(i) => self.start(i, at),
            Planned::Fault(i) => self.fault(i, at),
        }
    }

    fn start(&mut self, index: usize, at: Instant) {
        let spec = self.scenario.processes[index].clone();
        let (process, host) = (spec.name.clone(), spec.host);
        if self.hosts[host].off {
            let why = format!("host {} has no power", self.hosts[host].name);
            self.not_started(at, host, process, SpawnError { errno: Errno::EHOSTDOWN, why });
            return;
        }
        self.catch_up(host, at);
        let cred = match resolve(&mut self.platform, &spec.user) {
            Ok(cred) => cred,
            Err(error) => return self.not_started(at, host, process, error),
        };
        let command = spec.command.clone();
        let (kernel, mut user) = self.kernel_and_user(host);
        match kernel.spawn_process(spawn(spec, cred), &mut user) {
            Ok(pid) => {
                self.fates.insert(process.clone(), Fate::Running(pid));
                self.names.insert((host, pid), process.clone());
                self.tell(at, Some(host), LabFact::Started { process, pid, command });
                self.drain(host);
            }
            Err(error) => {
                self.drain(host);
                self.not_started(at, host, process, error);
            }
        }
    }

    fn not_started(&mut self, at: Instant, host: usize, process: String, error: SpawnError) {
        self.fates.insert(process.clone(), Fate::NotStarted);
        let SpawnError { errno, why } = error;
        self.tell(at, Some(host), LabFact::NotStarted { process, errno, why });
    }

    fn fault(&mut self, index: usize, at: Instant) {
        let fault = self.scenario.faults[index].kind.clone();
        match &fault {
            FaultKind::Signal { process, signal } => {
                let spec = self.scenario.processes.iter().find(|p| p.name == *process);
                let host = spec.expect("the scenario's names were checked").host;
                let Fate::Running(pid) = self.fates[process] else {
                    let missed = Some(format!("{process} is not running"));
                    self.tell(at, Some(host), LabFact::Fault { fault, missed });
                    return;
                };
                let signal = *signal;
                self.catch_up(host, at);
                self.tell(at, Some(host), LabFact::Fault { fault, missed: None });
                self.hosts[host].kernel.kill_from_outside(pid, signal);
                self.drain(host);
            }
            FaultKind::PowerOff { host } => {
                let host = self.hosts.iter().position(|h| h.name == *host);
                let host = host.expect("the scenario's names were checked");
                self.power_off(host, fault, at);
            }
        }
    }

    fn power_off(&mut self, host: usize, fault: FaultKind, at: Instant) {
        if self.hosts[host].off {
            let missed = Some("the host is off already".to_owned());
            self.tell(at, Some(host), LabFact::Fault { fault, missed });
            return;
        }
        self.catch_up(host, at);
        self.tell(at, Some(host), LabFact::Fault { fault, missed: None });
        let (kernel, mut user) = self.kernel_and_user(host);
        kernel.power_off(&mut user);
        // Whatever it still had to say dies with it; packets that left before are on their way.
        kernel.outbox.clear();
        kernel.facts.clear();
        self.hosts[host].off = true;
    }
}

fn spawn(spec: ProcessSpec, cred: Cred) -> Spawn {
    let envp = spec.env.into_iter().map(|(name, value)| [name, b"=".to_vec(), value].concat());
    let ProcessSpec { command: argv, cwd, umask, stdio, .. } = spec;
    Spawn { argv, envp: envp.collect(), cwd, cred, umask, stdio }
}

/// Credentials of a user, whose name is looked up in the machine's /etc/passwd.
fn resolve(files: &mut impl LowerFiles, user: &User) -> Result<Cred, SpawnError> {
    let name = match user {
        User::Ids { uid, gid, groups } => {
            return Ok(Cred { groups: groups.clone(), ..Cred::user(*uid, *gid) });
        }
        User::Name(name) if name == "root" => return Ok(Cred::user(0, 0)),
        User::Name(name) => name,
    };
    let mut passwd = vec![0; 1 << 20];
    let len = files.lower_read(b"/etc/passwd", 0, &mut passwd).unwrap_or(0);
    let passwd = String::from_utf8_lossy(&passwd[..len]).into_owned();
    let ids = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Cred::user(uid, gid))
    });
    ids.ok_or_else(|| SpawnError {
        errno: Errno::EINVAL,
        why: format!("/etc/passwd knows no user {name}; write user = \"UID:GID\" instead"),
    })
}
