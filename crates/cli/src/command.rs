//! `afterlife run -- COMMAND`: one command in a fresh world of one host, with its output and exit
//! status as if it ran natively. Environment, directory, umask, user and groups are the caller's; the
//! files are the machine's under a private layer. What the user does (Ctrl-C, Ctrl-Z, a window of
//! another size) reaches the foreground process group. Neighbours: `run`, `args`, `stop`; `console`
//! has the streams and the terminal.

use crate::args::RunArgs;
use crate::console::Console;
use crate::run::{BROKEN_PIPE, Show, complain};
use crate::stop::{Asked, Stop};
use kernel::abi::Errno;
use kernel::abi::signal::Signal;
use kernel::fact::Fact;
use kernel::platform::Platform;
use kernel::task::signal::sigaction::SIG_DFL;
use kernel::task::spawn::Stdio;
use kernel::task::{Pid, ThreadGroup};
use kernel::time::{Duration, Instant};
use lab::scenario::{self, DEFAULT_SEED, DEFAULT_UNTIL, HostSpec, ProcessSpec, Scenario};
use lab::world::Fate;
use lab::{LabFact, Record, Step, What, World};
use rustix::fs::Mode;
use rustix::process;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The name of the one process of the plan.
const MAIN: &str = "command";
/// How much virtual time other processes get after the command's end.
const AFTERMATH: Duration = Duration::from_secs(60);
/// How much real time they get at most.
const AFTERMATH_REAL: std::time::Duration = std::time::Duration::from_secs(2);
/// Two Ctrl-C this near to each other end the run.
const TWICE: std::time::Duration = std::time::Duration::from_secs(1);
/// Exit status where the world ended before the command did, as of timeout(1).
const NEVER_ENDED: u8 = 124;

/// A world for the command alone.
pub fn scenario(args: &RunArgs) -> Result<Scenario, String> {
    let cwd = std::env::current_dir().map_err(|e| {
        format!("the current directory cannot be used: {e}; change to one that exists")
    })?;
    let groups = process::getgroups().map_err(|e| format!("cannot ask for the groups: {e}"))?;
    let user = scenario::User::Ids {
        uid: process::geteuid().as_raw(),
        gid: process::getegid().as_raw(),
        groups: groups.into_iter().map(|gid| gid.as_raw()).collect(),
    };
    // There is no asking without setting.
    let umask = process::umask(Mode::empty());
    process::umask(umask);
    let process = ProcessSpec {
        at_boot: false,
        init: false,
        name: MAIN.to_owned(),
        host: 0,
        command: args.command.iter().map(|w| w.as_bytes().to_vec()).collect(),
        start: Duration::ZERO,
        user,
        cwd: cwd.into_os_string().into_vec(),
        env: std::env::vars_os().map(|(n, v)| (n.into_vec(), v.into_vec())).collect(),
        umask: umask.bits(),
        stdio: Stdio::Console,
        line: 0,
    };
    Ok(Scenario {
        seed: DEFAULT_SEED,
        until: DEFAULT_UNTIL,
        hosts: vec![HostSpec {
            name: "a".to_owned(),
            address: Ipv4Addr::new(10, 0, 0, 1),
            ipv6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
            name6: false,
            sysctls: Vec::new(),
        }],
        processes: vec![process],
        links: Vec::new(),
        faults: Vec::new(),
        checks: Vec::new(),
    })
}

/// Runs the world to the end of the command; its exit status.
pub fn run<P: Platform>(
    args: &RunArgs,
    world: &mut World<P>,
    show: &mut Show,
    stop: &Stop,
) -> Result<u8, String> {
    let mut console = Console::open(world);
    let mut user = User { interrupted: None };
    let mut leftover = None;
    let (reason, status) = loop {
        if let Some(asked) = stop.take()
            && let Some(status) = user.asks(asked, &mut console, world)
        {
            break ("interrupted", status);
        }
        // What the command left behind gets no more input.
        if leftover.is_none() && !console.wait(world, stop)? {
            continue;
        }
        let step = world.step();
        let records: Vec<Record> = world.take_records().collect();
        show.records(&records)?;
        if pass_on(&records).is_err() {
            break ("broken pipe", BROKEN_PIPE);
        }
        console.follow(world)?;
        if let Some((errno, why)) = records.iter().find_map(not_started) {
            show.end(world, "error")?;
            let program = args.command[0].to_string_lossy();
            let _ = writeln!(io::stderr(), "afterlife: cannot run {program}: {why} ({errno:?})");
            return Ok(if errno == Errno::ENOENT { 127 } else { 126 });
        }
        if let Fate::Ended(status, at) = world.fates[MAIN] {
            let left = leftover.get_or_insert_with(|| Leftover::from(at));
            if left.is_over(world, step) {
                break (
                    "exited",
                    status.signal().map_or(status.code() as u8, |s| 128 + s.number()),
                );
            }
        }
        match step {
            Step::Moved => {}
            Step::Idle => {
                show.end(world, "idle")?;
                complain(&stuck(args, world));
                return Ok(NEVER_ENDED);
            }
            Step::TimeIsUp => {
                show.end(world, "until")?;
                complain(&format!(
                    "the command did not end in {:?} of virtual time; --until TIME gives it another",
                    world.scenario.until.saturating_since(Instant::ZERO),
                ));
                return Ok(NEVER_ENDED);
            }
        }
    };
    show.end(world, reason)?;
    Ok(status)
}

/// Processes that outlive the command. Natively they would go on; here they have some time to
/// finish, and go with the world.
struct Leftover {
    until: Instant,
    begun: std::time::Instant,
}

impl Leftover {
    /// The command ended `at`.
    fn from(at: Instant) -> Leftover {
        Leftover { until: at + AFTERMATH, begun: std::time::Instant::now() }
    }

    /// Is nothing left, or the time over?
    fn is_over<P: Platform>(&self, world: &mut World<P>, step: Step) -> bool {
        let alone = world.hosts[0].kernel.groups.len() <= 1;
        if alone || step != Step::Moved || world.now() > self.until {
            return true;
        }
        let late = self.begun.elapsed() > AFTERMATH_REAL;
        if late {
            world.leave_to_chance("processes that the command left behind were cut off");
        }
        late
    }
}

/// What the user did to the run so far.
struct User {
    /// The last Ctrl-C or Ctrl-\.
    interrupted: Option<std::time::Instant>,
}

impl User {
    /// The user asked for something; the exit status if the run is to end.
    fn asks<P: Platform>(
        &mut self,
        asked: Asked,
        console: &mut Console,
        world: &mut World<P>,
    ) -> Option<u8> {
        let signal = match asked {
            Asked::End(signal) => return Some(128 + signal),
            Asked::Interrupt => Signal::SIGINT,
            Asked::Quit => Signal::SIGQUIT,
            Asked::Suspend => Signal::SIGTSTP,
            Asked::Resized => {
                if let Some(winsize) = console.winsize() {
                    world.resize(0, winsize);
                }
                return None;
            }
        };
        if asked == Asked::Suspend {
            if suspends_all(world) {
                // Stopping oneself cannot fail in a way that leaves anything to do.
                let _ = console.suspend();
                return None;
            }
        } else {
            let now = std::time::Instant::now();
            let before = self.interrupted.replace(now);
            if before.is_some_and(|before| now.duration_since(before) < TWICE) {
                return Some(128 + signal.number());
            }
        }
        if let Some(pgrp) = foreground(world) {
            world.signal_group(0, pgrp, signal);
        }
        None
    }
}

/// The foreground process group; without a terminal, the command's.
fn foreground<P: Platform>(world: &World<P>) -> Option<Pid> {
    let tty = world.hosts[0].kernel.console_tty();
    tty.and_then(|tty| tty.pgrp).or_else(|| Some(command_group(world)?.pgrp))
}

fn command_group<P: Platform>(world: &World<P>) -> Option<&ThreadGroup> {
    let kernel = &world.hosts[0].kernel;
    match world.fates[MAIN] {
        Fate::Running(pid) => Some(&kernel.groups[kernel.tasks[kernel.pids.task(pid)?].group]),
        Fate::Waiting | Fate::NotStarted | Fate::Ended(..) | Fate::Lost(_) => None,
    }
}

/// Does Ctrl-Z stop the run itself? A command without job control of its own would be stopped
/// natively, and its shell is outside.
fn suspends_all<P: Platform>(world: &World<P>) -> bool {
    let Some(command) = command_group(world) else { return true };
    let action = world.hosts[0].kernel.sighands[command.sighand].of(Signal::SIGTSTP);
    foreground(world) == Some(command.pgrp) && action.handler == SIG_DFL
}

fn stuck<P: Platform>(args: &RunArgs, world: &World<P>) -> String {
    let replay = args.replay(world.scenario.seed);
    format!(
        "the command waits for something that can never happen (at {:?}): no process can run, no \
         timer is set and no input is awaited; to see where it waits: {}",
        world.now(),
        replay.replacen("afterlife run", "afterlife run --trace", 1),
    )
}

/// Writes what the guests wrote.
fn pass_on(records: &[Record]) -> io::Result<()> {
    for record in records {
        if let What::Kernel(Fact::Output { stream, bytes }) = &record.what {
            if *stream == 2 {
                io::stderr().write_all(bytes)?;
            } else {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()?;
            }
        }
    }
    Ok(())
}

fn not_started(record: &Record) -> Option<(Errno, String)> {
    match &record.what {
        What::Lab(LabFact::NotStarted { errno, why, .. }) => Some((*errno, why.clone())),
        _ => None,
    }
}
