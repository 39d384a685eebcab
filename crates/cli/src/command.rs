//! `afterlife run -- COMMAND`: one command in a fresh world of one host, with its output and exit
//! status as if it ran natively. Environment, directory, user and group are the caller's; the files
//! are the machine's under a private layer. stdin is read when a guest wants it and the world
//! stands still. Neighbours: `run`, `args`; the kernel's `fs/console`.

use crate::args::RunArgs;
use crate::run::Show;
use crate::stop::Stop;
use kernel::abi::Errno;
use kernel::abi::signal::Signal;
use kernel::fact::Fact;
use kernel::fs::console::{Console, StreamKind};
use kernel::platform::Platform;
use kernel::task::spawn::Stdio;
use kernel::time::Duration;
use lab::scenario::{DEFAULT_SEED, DEFAULT_UNTIL, HostSpec, ProcessSpec, Scenario, User};
use lab::world::Fate;
use lab::{LabFact, Record, Step, What, World};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The name of the one process of the plan.
const MAIN: &str = "command";
/// How much virtual time other processes get after the command's end.
const AFTERMATH: Duration = Duration::from_secs(60);
/// What the shell says of a death by SIGPIPE: our own output's reader is gone.
const BROKEN_PIPE: u8 = 128 + 13;

/// A world for the command alone.
pub fn scenario(args: &RunArgs) -> Result<Scenario, String> {
    let cwd = std::env::current_dir().map_err(|e| format!("there is no current directory: {e}"))?;
    let me = std::fs::metadata("/proc/self").map_err(|e| format!("cannot look at /proc: {e}"))?;
    let process = ProcessSpec {
        name: MAIN.to_owned(),
        host: 0,
        command: args.command.iter().map(|w| w.as_bytes().to_vec()).collect(),
        start: Duration::ZERO,
        user: User::Ids { uid: me.uid(), gid: me.gid() },
        cwd: cwd.into_os_string().into_vec(),
        env: std::env::vars_os().map(|(n, v)| (n.into_vec(), v.into_vec())).collect(),
        stdio: Stdio::Console,
        line: 0,
    };
    Ok(Scenario {
        seed: DEFAULT_SEED,
        until: DEFAULT_UNTIL,
        hosts: vec![HostSpec { name: "a".to_owned(), address: Ipv4Addr::new(10, 0, 0, 1) }],
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
    let streams = [stream(&io::stdin()), stream(&io::stdout()), stream(&io::stderr())];
    world.hosts[0].kernel.console = Console::new(streams);
    let mut interrupts = 0;
    let (reason, status) = loop {
        let step = world.step();
        let records: Vec<Record> = world.take_records().collect();
        show.records(&records)?;
        if pass_on(&records).is_err() {
            break ("broken pipe", BROKEN_PIPE);
        }
        if let Some((errno, why)) = records.iter().find_map(not_started) {
            show.end(world, "error")?;
            let program = args.command[0].to_string_lossy().into_owned();
            let _ = writeln!(io::stderr(), "afterlife: cannot run {program}: {why} ({errno:?})");
            return Ok(if errno == Errno::ENOENT { 127 } else { 126 });
        }
        if stop.take() {
            interrupts += 1;
            if interrupts > 1 {
                break ("interrupted", 130);
            }
            interrupt(world);
        }
        if let Fate::Ended(status, at) = world.fates[MAIN] {
            let status = status.signal().map_or(status.code() as u8, |s| 128 + s.number());
            let alone = world.hosts[0].kernel.groups.len() <= 1;
            if alone || step != Step::Moved || world.now() > at + AFTERMATH {
                break ("exited", status);
            }
        }
        match step {
            Step::Moved => {}
            Step::Idle if world.hosts[0].kernel.console_wants_input() => feed(world)?,
            Step::Idle => {
                show.end(world, "idle")?;
                return Err(stuck(args, world));
            }
            Step::TimeIsUp => break ("until", 124),
        }
    };
    show.end(world, reason)?;
    Ok(status)
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

/// Gives the guests what stdin has, or its end.
fn feed<P: Platform>(world: &mut World<P>) -> Result<(), String> {
    let mut bytes = vec![0; 1 << 16];
    let len = io::stdin().lock().read(&mut bytes).map_err(|e| format!("cannot read stdin: {e}"))?;
    world.input(0, &bytes[..len]);
    Ok(())
}

/// Ctrl-C: SIGINT to the foreground process group.
fn interrupt<P: Platform>(world: &mut World<P>) {
    let kernel = &world.hosts[0].kernel;
    let foreground = kernel.console.tty.as_ref().and_then(|tty| tty.pgrp);
    let main = match world.fates[MAIN] {
        Fate::Running(pid) => kernel.pids.task(pid),
        Fate::Waiting | Fate::NotStarted | Fate::Ended(..) => None,
    };
    let own = main.map(|task| kernel.groups[kernel.tasks[task].group].pgrp);
    if let Some(pgrp) = foreground.or(own) {
        world.signal_group(0, pgrp, Signal::SIGINT);
    }
}

/// What one of our own streams is.
fn stream(of: &(impl AsFd + IsTerminal)) -> StreamKind {
    if of.is_terminal() {
        return StreamKind::Tty;
    }
    let Ok(owned) = of.as_fd().try_clone_to_owned() else { return StreamKind::Null };
    let Ok(metadata) = File::from(owned).metadata() else { return StreamKind::Null };
    let kind = metadata.file_type();
    if kind.is_file() {
        StreamKind::File
    } else if kind.is_char_device() && metadata.rdev() == 0x103 {
        StreamKind::Null
    } else {
        // Pipes, sockets and other devices: bytes come in order and end.
        StreamKind::Pipe
    }
}
