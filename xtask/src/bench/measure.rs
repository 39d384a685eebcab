//! How `bench` measures: builds the three programs for release, runs one natively or in afterlife,
//! and takes the time between the lines `begin` and `end` of its output. Neighbour: `mod.rs`, which
//! says what is measured.

use crate::root;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The programs that are measured.
pub struct Programs {
    afterlife: PathBuf,
    bench: PathBuf,
    bare: PathBuf,
}

/// One measurement.
pub struct Run {
    /// From `begin` to `end`.
    pub took: Duration,
    /// The most memory that the process had used at `begin`, in bytes.
    pub memory: u64,
}

/// Something that can be measured again.
pub type Measure<'a> = &'a dyn Fn() -> Result<f64, String>;

/// What several measurements of the same gave, sorted.
pub struct Series(Vec<f64>);

impl Series {
    /// What counts: what else the machine does only ever adds.
    pub fn least(&self) -> f64 {
        self.0[0]
    }

    /// `2.91 µs (to 7.30, median 3.05)`.
    pub fn words(&self, unit: &str) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        let median = self.0[self.0.len() / 2];
        format!("{least:.2} {unit} (to {most:.2}, median {median:.2})")
    }
}

/// Measures each so many times, in turns, so that what else the machine does meets all alike.
pub fn in_turns<const N: usize>(
    times: u32,
    measures: [Measure<'_>; N],
) -> Result<[Series; N], String> {
    let mut all = [const { Series(Vec::new()) }; N];
    for _ in 0..times {
        for (measure, series) in measures.iter().zip(&mut all) {
            series.0.push(measure()?);
        }
    }
    for series in &mut all {
        series.0.sort_by(f64::total_cmp);
    }
    Ok(all)
}

/// Start to end of /bin/true on the real kernel, in milliseconds.
pub fn native_true() -> Result<f64, String> {
    start_to_end(&mut Command::new("true")).map(|took| took.as_secs_f64() * 1e3)
}

fn start_to_end(command: &mut Command) -> Result<Duration, String> {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).status();
    let took = began.elapsed();
    match status {
        Ok(status) if status.success() => Ok(took),
        Ok(status) => Err(format!("bench: {command:?} ended with {status}")),
        Err(error) => Err(format!("bench: {command:?} could not be started: {error}")),
    }
}

impl Programs {
    /// Builds them, optimised.
    pub fn build() -> Result<Programs, String> {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--quiet", "--message-format=json"]);
        cargo.args(["--package=afterlife", "--bin=afterlife", "--package=guests"]);
        cargo.args(["--package=afterlife-platform", "--example=bench", "--example=bare_sysemu"]);
        let output = cargo.current_dir(root()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("bench: cargo: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let built: Vec<PathBuf> = text.lines().filter_map(crate::native::executable).collect();
        let find = |name: &str| {
            let found = built.iter().find(|path| path.file_name().is_some_and(|it| it == name));
            found.cloned().ok_or(format!("bench: {name} does not build"))
        };
        Ok(Programs {
            afterlife: find("afterlife")?,
            bench: find("bench")?,
            bare: find("bare_sysemu")?,
        })
    }

    /// One round of the bare loop, in microseconds.
    pub fn bare_loop(&self, rounds: u32) -> Result<f64, String> {
        let output = Command::new(&self.bare).arg(rounds.to_string()).output();
        let output = output.map_err(|error| format!("bench: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let nanos = text.trim().parse::<f64>();
        nanos.map(|it| it / 1e3).map_err(|_| "bench: the bare loop gave no number".into())
    }

    /// A measurement of the bench guest in afterlife.
    pub fn ours(&self, words: &[&str]) -> Result<Run, String> {
        let mut command = Command::new(&self.afterlife);
        between_marks(command.args(["run", "--"]).arg(&self.bench).args(words))
    }

    /// The same on the real kernel.
    pub fn native(&self, words: &[&str]) -> Result<Run, String> {
        between_marks(Command::new(&self.bench).args(words))
    }

    /// Start to end of afterlife with these arguments, in milliseconds.
    pub fn start_to_end(&self, words: &[&str]) -> Result<f64, String> {
        let took = start_to_end(Command::new(&self.afterlife).args(words))?;
        Ok(took.as_secs_f64() * 1e3)
    }

    /// Start to end of a scenario with one bench guest on host `a` and one on host `b`; the story
    /// must contain `expected`.
    pub fn two_hosts(
        &self,
        first: &[&str],
        second: &[&str],
        power_off: Option<&str>,
        expected: &str,
    ) -> Result<Duration, String> {
        let scratch = crate::nobody::Scratch::new("bench")?;
        let path = scratch.0.join("bench.toml");
        let process = |host: &str, start: &str, words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            let (bench, words) = (self.bench.display().to_string(), words.join(", "));
            format!(
                "[[process]]\nname = \"on-{host}\"\nhost = \"{host}\"\nstart = \"{start}\"\n\
                 command = [{bench:?}, {words}]\n"
            )
        };
        let mut scenario = process("a", "0ms", first) + &process("b", "1ms", second);
        if let Some(host) = power_off {
            scenario += &format!("[[fault]]\nat = \"1s\"\npower-off = \"{host}\"\n");
        }
        std::fs::write(&path, scenario).map_err(|error| format!("bench: {error}"))?;
        self.story(&path, expected)
    }

    fn story(&self, scenario: &Path, expected: &str) -> Result<Duration, String> {
        let began = Instant::now();
        let output = Command::new(&self.afterlife).arg("run").arg(scenario).output();
        let took = began.elapsed();
        let output = output.map_err(|error| format!("bench: {error}"))?;
        let story = String::from_utf8_lossy(&output.stdout);
        if story.contains(expected) {
            return Ok(took);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("bench: the story has no `{expected}`:\n{story}{said}"))
    }
}

/// Runs a program that prints `begin` and `end`.
fn between_marks(command: &mut Command) -> Result<Run, String> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("bench: {command:?}: {error}"))?;
    let mut marks = Vec::new();
    let mut memory = 0;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            if line.map_err(|error| error.to_string())? == "begin" {
                memory = peak_memory(child.id());
            }
            marks.push(Instant::now());
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    match marks.as_slice() {
        [begin, end] if status.success() => Ok(Run { took: *end - *begin, memory }),
        _ => Err(format!("bench: {command:?} ended with {status} and {} marks", marks.len())),
    }
}

/// VmHWM of a process, in bytes.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|it| it.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
