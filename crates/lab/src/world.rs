//! A world: hosts, links, a clock, and a plan of starts and faults, all on one platform. Each host
//! has its own virtual time; [`World::step`] always advances whoever is earliest: a planned event,
//! a packet, a deadline, or a host with a ready task, which runs until it is not the earliest any
//! more. So time moves only when nobody can run, and by what calls cost (invariant 6).
//!
//! Neighbours: `scenario` (what a world is made from), `plan` (starts and faults), `preempt` (guests
//! that do not trap), `link`, `digest`; `record` is what comes out.

use crate::digest::{Digest, Witness};
use crate::link::{Flight, Links, Lost};
use crate::preempt::{Computing, PATIENCE};
use crate::record::{LabFact, Record, What};
use crate::scenario::Scenario;
use bytes::Bytes;
use kernel::abi::signal::Signal;
use kernel::fact::{Fact, TaskFact};
use kernel::platform::{Platform, Trap};
use kernel::task::{Pid, TaskId, WaitStatus};
use kernel::time::{Duration, Instant};
use kernel::{Config, Kernel};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How long a task runs before another ready one of its host gets its turn.
pub(crate) const SLICE: Duration = Duration::from_millis(1);
/// What a trap costs at least, so that a loop of faults does not hold the clock.
const TRAP_COST: Duration = Duration::from_nanos(100);
/// Steps in which no clock moved: more are a bug of ours.
const STANDSTILL: u32 = 1_000_000;

/// One host of a world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its kernel.
    pub kernel: Kernel,
    /// It has no power.
    pub off: bool,
    /// Who runs, and until when before others get their turn.
    pub(crate) slice: Option<(TaskId, Instant)>,
    /// Who does not trap.
    pub(crate) computing: Computing,
}

/// What became of a process of the scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its start lies ahead.
    Waiting,
    /// It could not be started.
    NotStarted,
    /// It runs under this number.
    Running(Pid),
    /// It ended, at that time.
    Ended(WaitStatus, Instant),
    /// Its host lost its power, at that time.
    Lost(Instant),
}

/// How a world is run, beside its scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Render the arguments of calls.
    pub trace: bool,
    /// How long a guest may compute while others wait, in the machine's CPU time.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { trace: false, patience: PATIENCE }
    }
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Something happened.
    Moved,
    /// Nothing will ever happen by itself any more: the end, unless input comes.
    Idle,
    /// The time limit of the scenario is reached.
    TimeIsUp,
}

/// What lies ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// Somebody can run: no time passes before.
    Busy,
    /// Nothing happens before this moment, unless input comes.
    Until(Instant),
    /// Nothing will ever happen by itself.
    Nothing,
}

/// What is due first. The order of the variants decides between things that are due together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Due {
    Plan,
    Packet,
    Deadline(usize),
    Run(usize),
}

/// Hosts, links and a clock.
#[derive(Clone, Debug)]
pub struct World<P> {
    /// Whoever runs the guests.
    pub platform: P,
    /// The hosts, in the scenario's order.
    pub hosts: Vec<Host>,
    /// What the world was made from.
    pub scenario: Scenario,
    /// What became of the scenario's processes, by name.
    pub fates: BTreeMap<String, Fate>,
    pub(crate) names: BTreeMap<(usize, Pid), String>,
    pub(crate) next_planned: usize,
    pub(crate) plan: Vec<(Instant, crate::plan::Planned)>,
    /// See [`Options::patience`].
    pub(crate) patience: Duration,
    /// Virtual time follows the real clock.
    pub(crate) real_time: bool,
    pub(crate) links: Links,
    now: Instant,
    digest: Digest,
    records: Vec<Record>,
    /// Somebody reads the story.
    story: bool,
    pub(crate) standing: u32,
    /// Files that are on every host from each boot on: path, bytes, mode.
    pub(crate) carried: Vec<(Vec<u8>, Bytes, u32)>,
    /// Why this run may not repeat.
    chance: Option<String>,
    unsupported: BTreeMap<String, u64>,
}

/// The addresses of the hosts that share a link with one, if they are to know it.
fn neighbours_of(scenario: &Scenario, host: usize) -> BTreeSet<IpAddr> {
    let shared = scenario.links.iter().filter(|link| link.neighbours);
    let others = shared.filter_map(|link| match link.between {
        (one, other) if one == host => Some(other),
        (one, other) if other == host => Some(one),
        _ => None,
    });
    let mut all = BTreeSet::new();
    for other in others {
        let other = &scenario.hosts[other];
        all.insert(other.address.into());
        all.extend(other.ipv6.map(IpAddr::from));
    }
    all
}

impl<P: Platform> World<P> {
    /// Boots the hosts of `scenario`; nothing has run yet.
    pub fn new(platform: P, scenario: Scenario, options: &Options) -> World<P> {
        let names: BTreeMap<_, _> =
            scenario.hosts.iter().map(|h| (h.name.clone(), h.address)).collect();
        let with6 = scenario.hosts.iter().filter(|h| h.name6);
        let names6: BTreeMap<_, _> =
            with6.filter_map(|h| Some((h.name.clone(), h.ipv6?))).collect();
        let boot = |(number, host): (usize, &crate::scenario::HostSpec)| Host {
            name: host.name.clone(),
            kernel: Kernel::boot(Config {
                hostname: host.name.clone(),
                number: number as u64,
                address: host.address,
                address6: host.ipv6,
                sysctls: host.sysctls.clone(),
                on_link: neighbours_of(&scenario, number),
                names: names.clone(),
                names6: names6.clone(),
                seed: scenario.seed,
                trace: options.trace,
                ..Config::default()
            }),
            off: false,
            slice: None,
            computing: Computing::default(),
        };
        let hosts = scenario.hosts.iter().enumerate().map(boot).collect();
        let mut links = Links::new(scenario.seed);
        for link in &scenario.links {
            links.shape(link.between.0, link.between.1, link.shape);
        }
        let fates = scenario.processes.iter().map(|p| (p.name.clone(), Fate::Waiting)).collect();
        World {
            platform,
            hosts,
            fates,
            names: BTreeMap::new(),
            next_planned: 0,
            patience: options.patience,
            real_time: false,
            plan: crate::plan::plan(&scenario),
            links,
            now: Instant::ZERO,
            digest: Digest::new(scenario.seed),
            records: Vec::new(),
            story: true,
            standing: 0,
            carried: Vec::new(),
            chance: None,
            unsupported: BTreeMap::new(),
            scenario,
        }
    }

    /// Puts a file on every host, now and at each later boot.
    pub fn carry(&mut self, path: &[u8], bytes: Bytes, mode: u32) {
        for host in &mut self.hosts {
            host.kernel.vfs.add_file(path, &bytes, mode);
        }
        self.carried.push((path.to_vec(), bytes, mode));
    }

    /// The virtual time up to which everything has happened.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The digest of what happened so far.
    pub fn digest(&self) -> String {
        self.digest.hex()
    }

    /// What the real machine or its user decided first, if anything: such a run may not repeat.
    pub fn chance(&self) -> Option<&str> {
        self.chance.as_deref()
    }

    /// From now on the run depends on something outside the world.
    pub fn leave_to_chance(&mut self, why: impl Into<String>) {
        self.chance.get_or_insert_with(|| why.into());
    }

    /// From now on virtual time follows the real clock ([`World::let_pass`]), for guests that
    /// compute too.
    pub fn follow_the_real_clock(&mut self, why: impl Into<String>) {
        self.leave_to_chance(why);
        self.real_time = true;
    }

    /// What was asked for and is not here, with how often.
    pub fn unsupported(&self) -> &BTreeMap<String, u64> {
        &self.unsupported
    }

    /// Takes the facts that were not taken yet, in order.
    pub fn take_records(&mut self) -> std::vec::IntoIter<Record> {
        core::mem::take(&mut self.records).into_iter()
    }

    /// Nobody reads the story: from now on only what guests print and what the lab itself does is
    /// there to take. The digest is the same.
    pub fn skip_story(&mut self) {
        self.story = false;
    }

    /// Lets the earliest thing happen.
    pub fn step(&mut self) -> Step {
        let Some((at, due)) = self.first_due(None) else { return Step::Idle };
        if at > self.scenario.until {
            self.now = self.scenario.until;
            return Step::TimeIsUp;
        }
        if at > self.now {
            self.now = at;
            self.standing = 0;
        }
        self.standing += 1;
        assert!(
            self.standing < STANDSTILL,
            "the world stands still at {:?} with {due:?} due (seed {}): a bug in afterlife",
            self.now,
            self.scenario.seed,
        );
        match due {
            Due::Plan => self.fire_planned(at),
            Due::Packet => self.deliver(),
            Due::Deadline(host) => {
                self.catch_up(host, at);
                self.hosts[host].kernel.expire();
                self.drain(host);
            }
            Due::Run(host) => self.run_host(host),
        }
        Step::Moved
    }

    /// What the next step will find.
    pub fn outlook(&self) -> Outlook {
        match self.first_due(None) {
            None => Outlook::Nothing,
            Some((_, Due::Run(_))) => Outlook::Busy,
            Some((at, Due::Plan | Due::Packet | Due::Deadline(_))) if at > self.now => {
                Outlook::Until(at)
            }
            Some((_, Due::Plan | Due::Packet | Due::Deadline(_))) => Outlook::Busy,
        }
    }

    /// Time passes while nothing happens, at most until something does.
    pub fn let_pass(&mut self, until: Instant) {
        let until = match self.outlook() {
            Outlook::Busy => self.now,
            Outlook::Until(at) => until.min(at),
            Outlook::Nothing => until,
        };
        if until > self.now {
            self.now = until;
            self.standing = 0;
        }
    }

    /// The earliest thing that can happen, without what the tasks of host `but` do.
    pub(crate) fn first_due(&self, but: Option<usize>) -> Option<(Instant, Due)> {
        let plan = self.plan.get(self.next_planned).map(|(at, _)| (*at, Due::Plan));
        let packet = self.links.next_arrival().map(|at| (at, Due::Packet));
        let hosts = self.hosts.iter().enumerate().filter(|(_, host)| !host.off);
        let deadlines = hosts.clone().filter_map(|(i, host)| {
            let at = host.kernel.next_deadline()?;
            Some((at.max(host.kernel.now), Due::Deadline(i)))
        });
        let ready = hosts
            .filter(|(i, _)| Some(*i) != but)
            .filter_map(|(i, host)| host.kernel.pick().map(|_| (host.kernel.now, Due::Run(i))));
        [plan, packet].into_iter().flatten().chain(deadlines).chain(ready).min()
    }

    /// The host's clock is not behind `at` any more.
    pub(crate) fn catch_up(&mut self, host: usize, at: Instant) {
        let host = &mut self.hosts[host];
        host.kernel.now = host.kernel.now.max(at);
        host.computing.something_happened();
    }

    /// Runs the host's next task through one trap.
    fn run_host(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let Some(task) = host.kernel.pick() else { return };
        if self.lets_time_pass(index, task) {
            return;
        }
        let host = &mut self.hosts[index];
        let before = host.kernel.now;
        let goes_on = host.kernel.goes_on_in_user_mode(task);
        let end = match host.slice {
            Some((holder, end)) if holder == task => end,
            _ => before + SLICE,
        };
        host.slice = Some((task, end));
        let mut user = Witness { platform: &mut self.platform, digest: &mut self.digest };
        let runs = host.kernel.resume(task, &mut user);
        if !runs || !goes_on {
            host.computing.something_happened();
        }
        if runs {
            let t = &mut host.kernel.tasks[task];
            let guest = t.guest.expect("a task that is to run has a guest");
            let mut regs = t.regs;
            user.set_time(before);
            let trap = user.run(guest, &mut regs);
            host.kernel.tasks[task].regs = regs;
            if let Trap::Computing { spent } = trap {
                return self.computes(index, task, spent);
            }
            host.kernel.enter(task, trap, &mut user);
            host.kernel.now = host.kernel.now.max(before + TRAP_COST);
            host.computing.trapped(task, trap);
        }
        if host.kernel.now >= end {
            host.kernel.end_slice(task);
            host.slice = None;
        }
        self.drain(index);
        self.let_spin(index);
    }

    /// The next packet arrives, unless its host is off.
    fn deliver(&mut self) {
        let Some((at, flight)) = self.links.arrive() else { return };
        let Flight { to, packet, .. } = flight;
        if self.hosts[to].off {
            let why = "the host has no power";
            self.tell(at, Some(to), LabFact::Dropped { packet: Box::new(packet), why });
            return;
        }
        self.catch_up(to, at);
        self.hosts[to].kernel.deliver(packet);
        self.drain(to);
    }

    /// Bytes came to a host's console; none stand for the end of input.
    pub fn input(&mut self, host: usize, bytes: &[u8]) {
        let now = self.now;
        self.catch_up(host, now);
        self.tell(now, Some(host), LabFact::Input { bytes: bytes.to_vec().into() });
        let kernel = &mut self.hosts[host].kernel;
        if bytes.is_empty() {
            kernel.console_eof();
        } else {
            kernel.console_input(bytes);
        }
        self.drain(host);
    }

    /// The real user typed a signal (Ctrl-C): it goes to a whole process group. When that happens
    /// is up to the real world, so the run is not deterministic any more.
    pub fn signal_group(&mut self, host: usize, pgrp: Pid, signal: Signal) {
        self.leave_to_chance("the user sent a signal");
        let now = self.now;
        self.catch_up(host, now);
        self.hosts[host].kernel.kill_pgrp(pgrp, signal);
        self.drain(host);
    }

    /// The window of a host's terminal has another size.
    pub fn resize(&mut self, host: usize, winsize: [u16; 4]) {
        self.leave_to_chance("the window's size changed");
        let now = self.now;
        self.catch_up(host, now);
        self.hosts[host].kernel.console_resize(winsize);
        self.drain(host);
    }

    /// Takes what a kernel put out: packets to the links, facts to the stream.
    pub(crate) fn drain(&mut self, index: usize) {
        let kernel = &mut self.hosts[index].kernel;
        let now = kernel.now;
        let mut facts = core::mem::take(&mut kernel.facts);
        let packets = core::mem::take(&mut kernel.outbox);
        for entry in facts.drain(..) {
            self.note(index, &entry.fact, entry.pid, entry.tid, entry.at);
            let what = What::Kernel(entry.fact);
            let (at, host) = (entry.at, Some(index));
            self.record(Record { at, host, pid: entry.pid, tid: entry.tid, what });
        }
        // The next step's facts go where these were: fresh memory is what they cost most.
        self.hosts[index].kernel.facts = facts;
        for packet in packets {
            match self.hosts.iter().position(|h| h.kernel.is_local_address(packet.dst)) {
                Some(to) => {
                    let sent = self.links.send(now, Flight { from: index, to, packet });
                    if let Err(Lost { why, packet }) = sent {
                        self.tell(now, Some(index), LabFact::Dropped { packet, why });
                    }
                }
                None => {
                    let why = "no host has this address";
                    self.tell(now, Some(index), LabFact::Dropped { packet: Box::new(packet), why });
                }
            }
        }
    }

    /// What the world itself learns from a kernel's fact.
    fn note(&mut self, host: usize, fact: &Fact, pid: Option<Pid>, tid: Option<Pid>, at: Instant) {
        match fact {
            // The last thread's exit_notify tells the process's status; for a leader that left
            // before the others, the last one's comes later and wins.
            Fact::Task(TaskFact::ExitNotify { status, .. }) => {
                let Some(pid) = pid.filter(|_| pid == tid) else { return };
                let Some(process) = self.names.get(&(host, pid)).cloned() else { return };
                self.fates.insert(process.clone(), Fate::Ended(*status, at));
                self.tell(at, Some(host), LabFact::Ended { process, pid, status: *status });
            }
            Fact::Task(TaskFact::Reaped { pid, .. }) => {
                self.names.remove(&(host, *pid));
            }
            Fact::Unsupported { name, .. } => {
                *self.unsupported.entry(name.clone()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Adds a fact of the lab's own.
    pub(crate) fn tell(&mut self, at: Instant, host: Option<usize>, fact: LabFact) {
        let pid = match &fact {
            LabFact::Started { pid, .. } | LabFact::Ended { pid, .. } => Some(*pid),
            LabFact::NotStarted { .. }
            | LabFact::Fault { .. }
            | LabFact::Input { .. }
            | LabFact::Dropped { .. } => None,
        };
        self.record(Record { at, host, pid, tid: pid, what: What::Lab(fact) });
    }

    /// Facts go into the digest without what a trace shows of them: it must not change with one.
    fn record(&mut self, mut record: Record) {
        let trace = match &mut record.what {
            What::Kernel(Fact::Syscall(call)) => call.shown.take(),
            What::Kernel(_) | What::Lab(_) => None,
        };
        self.digest.fact(&record);
        if let (What::Kernel(Fact::Syscall(call)), Some(trace)) = (&mut record.what, trace) {
            call.shown = Some(trace);
        }
        if self.story || matches!(record.what, What::Lab(_) | What::Kernel(Fact::Output { .. })) {
            self.records.push(record);
        }
    }

    /// The platform as the digest's witness, and one host's kernel.
    pub(crate) fn kernel_and_user(&mut self, host: usize) -> (&mut Kernel, Witness<'_, P>) {
        let user = Witness { platform: &mut self.platform, digest: &mut self.digest };
        (&mut self.hosts[host].kernel, user)
    }
}
