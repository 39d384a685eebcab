//! The plan of a world: which process starts when and which fault comes to pass when. Neighbours:
//! `scenario` (where it is written), `world` (whose clock it runs on).

use crate::fault::FaultKind;
use crate::record::LabFact;
use crate::scenario::{ProcessSpec, Scenario, User};
use crate::world::{Fate, World};
use kernel::Kernel;
use kernel::abi::Errno;
use kernel::fact::Fact;
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

/// Starts and faults by time; at the same time an init first, then other starts, each kind in the scenario's order.
pub fn plan(scenario: &Scenario) -> Vec<(Instant, Planned)> {
    let starts = scenario.processes.iter().enumerate();
    let starts = starts.map(|(i, p)| (Instant::ZERO + p.start, Planned::Start(i)));
    let faults = scenario.faults.iter().enumerate();
    let faults = faults.map(|(i, f)| (Instant::ZERO + f.at, Planned::Fault(i)));
    let mut plan: Vec<_> = starts.chain(faults).collect();
    let is_init = |planned: &Planned| match planned {
        Planned::Start(i) => scenario.processes[*i].init,
        Planned::Fault(_) => false,
    };
    plan.sort_by_key(|(at, planned)| (*at, !is_init(planned)));
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

    /// What goes wrong with one process, if it is running.
    fn process_fault(&mut self, process: &str, fault: FaultKind, at: Instant) {
        let spec = self.scenario.processes.iter().find(|p| p.name == *process);
        let host = spec.expect("the scenario's names were checked").host;
        let Fate::Running(pid) = self.fates[process] else {
            let missed = Some(format!("{process} is not running"));
            self.tell(at, Some(host), LabFact::Fault { fault, missed });
            return;
        };
        self.catch_up(host, at);
        self.tell(at, Some(host), LabFact::Fault { fault: fault.clone(), missed: None });
        let kernel = &mut self.hosts[host].kernel;
        match fault {
            FaultKind::Crash { .. } => kernel.crash_from_outside(pid),
            FaultKind::Oom { .. } => kernel.oom_kill_process(pid),
            FaultKind::Signal { signal, .. } => {
                kernel.kill_from_outside(pid, signal);
            }
            // These strike hosts and links.
            FaultKind::PowerOff { .. } | FaultKind::PowerOn { .. } => {}
            FaultKind::Unplug { .. } | FaultKind::Plug { .. } => {}
            FaultKind::Partition { .. } | FaultKind::Heal { .. } | FaultKind::Link { .. } => {}
        }
        self.drain(host);
    }

    fn fault(&mut self, index: usize, at: Instant) {
        let fault = self.scenario.faults[index].kind.clone();
        match &fault {
            FaultKind::Signal { process, .. }
            | FaultKind::Crash { process }
            | FaultKind::Oom { process } => self.process_fault(&process.clone(), fault, at),
            FaultKind::PowerOff { host } => {
                let host = self.host_named(host);
                self.power_off(host, fault, at);
            }
            FaultKind::PowerOn { host } => {
                let host = self.host_named(host);
                self.power_on(host, fault, at);
            }
            FaultKind::Unplug { .. }
            | FaultKind::Plug { .. }
            | FaultKind::Partition { .. }
            | FaultKind::Heal { .. }
            | FaultKind::Link { .. } => self.link_fault(fault, at),
        }
    }

    /// What goes wrong with links.
    fn link_fault(&mut self, fault: FaultKind, at: Instant) {
        let (changes, so_it_was) = match &fault {
            FaultKind::Partition { between: (a, b), one_way } => {
                let (a, b) = (self.host_named(a), self.host_named(b));
                let there = self.links.cut(a, b);
                let back = !*one_way && self.links.cut(b, a);
                (there || back, "they are partitioned")
            }
            FaultKind::Heal { between: (a, b) } => {
                let (a, b) = (self.host_named(a), self.host_named(b));
                let there = self.links.heal(a, b);
                (self.links.heal(b, a) || there, "they are connected")
            }
            FaultKind::Unplug { host } => (self.links.unplug(self.host_named(host)), "it is out"),
            FaultKind::Plug { host } => (self.links.plug(self.host_named(host)), "it is in"),
            FaultKind::Link { between: (a, b), shape } => {
                let (a, b) = (self.host_named(a), self.host_named(b));
                self.links.shape(a, b, *shape);
                (true, "")
            }
            // These strike processes and hosts.
            FaultKind::Signal { .. } | FaultKind::Crash { .. } | FaultKind::Oom { .. } => return,
            FaultKind::PowerOff { .. } | FaultKind::PowerOn { .. } => return,
        };
        let missed = (!changes).then(|| so_it_was.to_owned());
        self.tell(at, None, LabFact::Fault { fault, missed });
    }

    fn host_named(&self, name: &str) -> usize {
        let host = self.hosts.iter().position(|h| h.name == name);
        host.expect("the scenario's names were checked")
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
        for process in self.scenario.processes.iter().filter(|p| p.host == host) {
            match self.fates.get_mut(&process.name) {
                Some(fate @ Fate::Running(_)) => *fate = Fate::Lost(at),
                Some(Fate::Waiting | Fate::NotStarted | Fate::Ended(..) | Fate::Lost(_)) | None => {
                }
            }
        }
        self.names.retain(|(on, _), _| *on != host);
    }

    /// The host boots: no time passes until its kernel answers.
    fn power_on(&mut self, host: usize, fault: FaultKind, at: Instant) {
        if !self.hosts[host].off {
            let missed = Some("the host has power".to_owned());
            self.tell(at, Some(host), LabFact::Fault { fault, missed });
            return;
        }
        let before = &mut self.hosts[host];
        let written = before.kernel.vfs.resident;
        before.kernel = Kernel::boot(before.kernel.config.next_boot(at));
        for (path, bytes, mode) in &self.carried {
            before.kernel.vfs.add_file(path, bytes, *mode);
        }
        let lost = written.saturating_sub(before.kernel.vfs.resident);
        before.off = false;
        before.slice = None;
        before.computing = Default::default();
        self.tell(at, Some(host), LabFact::Fault { fault, missed: None });
        if lost > 0 {
            let detail =
                format!("{lost} bytes of files that it wrote before the power-off are gone");
            let fact = Fact::unsupported("a disk that outlives a power-off", detail);
            self.hosts[host].kernel.tell(None, fact);
            self.drain(host);
        }
        let again = self.scenario.processes.iter().enumerate().filter(|(_, p)| p.host == host);
        let again: Vec<_> = again.filter(|(_, p)| p.at_boot).map(|(i, p)| (i, p.start)).collect();
        for (i, start) in again {
            let first = self.plan.split_off(self.next_planned);
            self.plan.extend(first.into_iter().filter(|(_, p)| *p != Planned::Start(i)));
            let when = at + start;
            let later = self.plan[self.next_planned..].partition_point(|(due, _)| *due <= when);
            self.plan.insert(self.next_planned + later, (when, Planned::Start(i)));
        }
    }
}

fn spawn(spec: ProcessSpec, cred: Cred) -> Spawn {
    let envp = spec.env.into_iter().map(|(name, value)| [name, b"=".to_vec(), value].concat());
    let ProcessSpec { command: argv, cwd, umask, stdio, init, .. } = spec;
    Spawn { argv, envp: envp.collect(), cwd, cred, umask, stdio, init }
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
