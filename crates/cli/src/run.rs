//! `afterlife run`: makes a world from a scenario or a command, steps it to its end, and shows it.
//! Neighbours: `args` (what was asked for), `command` (the command form), `render` (what is shown),
//! `stop` (Ctrl-C).

use crate::args::RunArgs;
use crate::command;
use crate::guests;
use crate::render::json::Json;
use crate::render::pcap::Pcap;
use crate::render::text::Text;
use crate::render::trace::Trace;
use crate::render::{End, HostName, Names, Renderer};
use crate::stop::{Asked, Stop};
use kernel::platform::Platform;
use kernel::time::Instant;
use lab::scenario::{self, Scenario};
use lab::{LabFact, Options, Record, Step, What, World, verdict};
use platform::ptrace::{self, Ptrace};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

/// Exit status of a failed check.
const FAILED: u8 = 1;
/// Exit status where the reader of our output is gone: what the shell says of SIGPIPE.
pub const BROKEN_PIPE: u8 = 128 + 13;
/// Exit status of bad input and of errors of ours.
pub const ERROR: u8 = 2;

/// Runs what the arguments ask for; the exit status, or a sentence that says why not.
pub fn run(args: &RunArgs) -> Result<u8, String> {
    let mut scenario = match &args.scenario {
        Some(path) => read_scenario(path)?,
        None => command::scenario(args)?,
    };
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    if let Some(until) = args.until {
        scenario.until = Instant::ZERO + until;
    }
    if let Some(root) = args.root.as_ref().filter(|root| !root.is_dir()) {
        return Err(format!("--root {}: there is no such directory", root.display()));
    }
    let config = ptrace::Config { root: args.root.clone(), ..ptrace::Config::default() };
    let platform = Ptrace::new(config).map_err(|e| e.to_string())?;
    let streams = [io::stdin().is_terminal(), io::stdout().is_terminal()];
    let on_terminal = args.scenario.is_none() && streams.contains(&true);
    let stop = Stop::install(on_terminal);
    let stop = stop.map_err(|e| format!("cannot listen for Ctrl-C: {e}"))?;
    let patience = args.patience.unwrap_or(Options::default().patience);
    let options = Options { trace: args.trace, patience };
    let mut world = World::new(platform, scenario, &options);
    guests::install(&mut world);
    let mut show = Show::open(args, &world)?;
    if show.nobody_listens() {
        world.skip_story();
    }
    if args.scenario.is_some() {
        run_scenario(args, &mut world, &mut show, &stop)
    } else {
        command::run(args, &mut world, &mut show, &stop)
    }
}

/// Reads a scenario; the error is a sentence.
pub fn read_scenario(path: &Path) -> Result<Scenario, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| {
        format!("cannot read the scenario {name}: {e}; to run a command, write it after --")
    })?;
    scenario::parse(&name, &text).map_err(|e| e.to_string())
}

fn run_scenario<P: Platform>(
    args: &RunArgs,
    world: &mut World<P>,
    show: &mut Show,
    stop: &Stop,
) -> Result<u8, String> {
    let (mut not_started, mut interrupted) = (None, 0);
    let reason = loop {
        let step = world.step();
        let records: Vec<Record> = world.take_records().collect();
        not_started = not_started.or_else(|| records.iter().find_map(not_started_in));
        show.records(&records)?;
        if not_started.is_some() {
            break "error";
        }
        match stop.take() {
            None | Some(Asked::Resized | Asked::Suspend) => {}
            Some(Asked::Interrupt) => interrupted = 130,
            Some(Asked::Quit) => interrupted = 131,
            Some(Asked::End(signal)) => interrupted = 128 + signal,
        }
        if interrupted > 0 {
            break "interrupted";
        }
        if show.nobody_listens() {
            return Ok(BROKEN_PIPE);
        }
        match step {
            Step::Moved => {}
            Step::Idle => break "idle",
            Step::TimeIsUp => break "until",
        }
    };
    show.end(world, reason)?;
    let replay = args.replay(world.scenario.seed);
    if let Some((process, why)) = not_started {
        let line =
            world.scenario.processes.iter().find(|p| p.name == process).map_or(0, |p| p.line);
        let file = args.scenario.as_deref().unwrap_or(Path::new("")).display().to_string();
        return Err(format!("{file}:{line}: {process} cannot be started: {why}"));
    }
    if interrupted > 0 {
        return Ok(interrupted);
    }
    let failures = verdict::failures(world);
    for failure in &failures {
        let file = args.scenario.as_deref().unwrap_or(Path::new("")).display().to_string();
        eprintln!("{file}:{}: check failed: {}", failure.line, failure.message);
    }
    if failures.is_empty() {
        return Ok(0);
    }
    eprintln!("to see it again: {replay}");
    Ok(FAILED)
}

fn not_started_in(record: &Record) -> Option<(String, String)> {
    match &record.what {
        What::Lab(LabFact::NotStarted { process, errno, why }) => {
            Some((process.clone(), format!("{why} ({errno:?})")))
        }
        _ => None,
    }
}

/// All that is shown of a run.
pub struct Show {
    names: Names,
    renderers: Vec<Box<dyn Renderer>>,
}

impl Show {
    /// Opens the outputs that the arguments ask for.
    fn open<P: Platform>(args: &RunArgs, world: &World<P>) -> Result<Show, String> {
        let host = |h: &lab::world::Host| HostName {
            name: h.name.clone(),
            address: h.kernel.config.address,
        };
        let names = Names::new(world.hosts.iter().map(host).collect());
        let mut renderers: Vec<Box<dyn Renderer>> = Vec::new();
        let json_on_stdout = args.json.as_deref() == Some(Path::new("-"));
        if args.scenario.is_some() && !json_on_stdout {
            let paste = "your own: afterlife run --verbose -- sh -c \
                         'YOUR-SERVER & sleep 1; kill -9 $!; wait $!; echo $?'";
            let to = io::LineWriter::new(io::stdout());
            renderers.push(Box::new(Text::new(to, args.verbose, paste.to_owned())));
        }
        if args.scenario.is_none() && args.verbose {
            renderers.push(Box::new(Text::new(io::stderr(), true, String::new())));
        }
        if args.trace {
            let to: Box<dyn Write> = if args.scenario.is_some() {
                Box::new(io::stdout())
            } else {
                Box::new(io::stderr())
            };
            renderers.push(Box::new(Trace::new(to)));
        }
        match args.json.as_deref() {
            None => {}
            Some(_) if json_on_stdout => {
                renderers.push(Box::new(Json::new(BufWriter::new(io::stdout()))));
            }
            Some(path) => renderers.push(Box::new(Json::new(create(path)?))),
        }
        if let Some(path) = args.pcap.as_deref() {
            let epoch = world.hosts.first().map_or(0, |h| h.kernel.config.epoch);
            let pcap = Pcap::new(create(path)?, &names, epoch);
            renderers.push(Box::new(pcap.map_err(|e| format!("{}: {e}", path.display()))?));
        }
        Ok(Show { names, renderers })
    }

    /// Shows facts. An output whose reader is gone is given up quietly.
    pub fn records(&mut self, records: &[Record]) -> Result<(), String> {
        for record in records {
            self.names.learn(record);
            let names = &self.names;
            each(&mut self.renderers, |renderer| renderer.record(record, names))?;
        }
        Ok(())
    }

    /// Is everybody gone who listened? There is no reason to go on then.
    fn nobody_listens(&self) -> bool {
        self.renderers.is_empty()
    }

    /// Shows the end; all files are whole afterwards.
    pub fn end<P: Platform>(
        &mut self,
        world: &World<P>,
        reason: &'static str,
    ) -> Result<(), String> {
        let end = End {
            at: world.now(),
            digest: world.digest(),
            seed: world.scenario.seed,
            chance: world.chance().map(str::to_owned),
            unsupported: world.unsupported().iter().map(|(n, t)| (n.clone(), *t)).collect(),
            reason,
        };
        let names = &self.names;
        each(&mut self.renderers, |renderer| renderer.end(&end, names))
    }
}

fn each(
    renderers: &mut Vec<Box<dyn Renderer>>,
    mut show: impl FnMut(&mut Box<dyn Renderer>) -> io::Result<()>,
) -> Result<(), String> {
    let mut failed = None;
    renderers.retain_mut(|renderer| match show(renderer) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => false,
        Err(e) => {
            failed = Some(format!("cannot write what was asked for: {e}; is the disk full?"));
            false
        }
    });
    failed.map_or(Ok(()), Err)
}

fn create(path: &Path) -> Result<BufWriter<File>, String> {
    let file = File::create(path);
    let file = file.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(BufWriter::new(file))
}

/// Prints an error of ours.
pub fn complain(message: &str) -> u8 {
    let _ = writeln!(io::stderr(), "afterlife: {message}");
    ERROR
}
