//! `cargo xtask throughput`: a gibibyte from one host to another over 10 Gbit/s, on the real kernel and
//! here, by the same program over the same link (tests/guests/examples/throughput). Fails when the times
//! differ by more than a tenth, or when afterlife's memory grows while the bytes pass. The real side
//! needs root and /dev/net/tun; where they are missing it says so and fails.

use crate::nobody::Scratch;
use crate::root;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What goes through.
const BYTES: u64 = 1 << 30;
/// Of the link.
const BITS_A_SECOND: u64 = 10_000_000_000;
/// More packets than a send buffer of `tcp_wmem`'s 4 MiB has: with fewer it is decided by how fast the
/// real machine can fill a queue whether some are dropped.
const QUEUE: u64 = 4000;
/// How far the times may differ.
const TOLERANCE: f64 = 0.1;
/// By how much memory may grow after the first tenth, in KiB: what an allocator needs to settle.
const SETTLING: u64 = 2048;

/// One transfer.
struct Case {
    name: &'static str,
    latency_ms: u64,
    loss_percent: u64,
    /// How often on each side. What else the machine does only slows the real side down, so the
    /// fastest counts; what chance decides evens out over a gibibyte.
    real: u64,
    ours: u64,
}

const CASES: [Case; 3] = [
    Case { name: "1 ms", latency_ms: 1, loss_percent: 0, real: 7, ours: 1 },
    Case { name: "100 ms", latency_ms: 100, loss_percent: 0, real: 2, ours: 1 },
    Case { name: "1 ms, 1 % loss", latency_ms: 1, loss_percent: 1, real: 2, ours: 2 },
];

/// Measures the cases whose name contains the filter.
pub fn run(filter: &str) -> Result<(), String> {
    let programs = Programs::build()?;
    println!("throughput: {} MiB, 10 Gbit/s, latency one way, queue {QUEUE}", BYTES >> 20);
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        if let Err(why) = programs.compare(case) {
            println!("throughput: {}: {why}", case.name);
            failed.push(case.name);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("throughput: failed: {}", failed.join("; "))),
    }
}

/// What is run.
struct Programs {
    afterlife: PathBuf,
    throughput: PathBuf,
}

impl Programs {
    /// Builds them, optimised.
    fn build() -> Result<Programs, String> {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--quiet", "--message-format=json"]);
        cargo.args(["--package=afterlife", "--bin=afterlife"]);
        cargo.args(["--package=guests", "--example=throughput"]);
        let output = cargo.current_dir(root()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("throughput: cargo: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let built: Vec<PathBuf> = text.lines().filter_map(crate::native::executable).collect();
        let find = |name: &str| {
            let found = built.iter().find(|path| path.file_name().is_some_and(|it| it == name));
            found.cloned().ok_or(format!("throughput: {name} does not build"))
        };
        Ok(Programs { afterlife: find("afterlife")?, throughput: find("throughput")? })
    }

    /// Both sides of a case, as a line each; the error is what does not hold.
    fn compare(&self, case: &Case) -> Result<(), String> {
        let (ours, memory) = self.ours(case)?;
        let growth = memory.iter().max().unwrap_or(&0) - memory.first().unwrap_or(&0);
        println!("throughput: {}: afterlife {}", case.name, words(&ours));
        let mib: Vec<String> =
            memory.iter().map(|kib| format!("{:.1}", *kib as f64 / 1024.)).collect();
        println!("throughput: {}: its memory at 10 % … 100 %: {} MiB", case.name, mib.join(" "));
        let real = self.real(case).map_err(|why| {
            format!("NOT MEASURED on the real kernel, which takes root and /dev/net/tun: {why}")
        })?;
        println!("throughput: {}: real kernel {}", case.name, words(&real));
        let ratio = least(&real) / least(&ours);
        println!("throughput: {}: afterlife's is {ratio:.3} of the real throughput", case.name);
        if (ratio - 1.).abs() > TOLERANCE {
            return Err("more than a tenth apart".into());
        }
        if growth > SETTLING {
            return Err(format!("memory grows by {growth} KiB"));
        }
        Ok(())
    }

    /// Seconds of each run on the real kernel, sorted. Where nothing is lost, segments that follow each
    /// other arrive joined, as over veth: one by one they would be too many for this machine.
    fn real(&self, case: &Case) -> Result<Vec<f64>, String> {
        let joined = u64::from(case.loss_percent == 0);
        let (latency, loss) = (case.latency_ms * 1_000_000, case.loss_percent * 10_000);
        let one = |seed: u64| {
            let mut command = Command::new(&self.throughput);
            command.arg("link").arg(format!("latency={latency}")).arg(format!("loss={loss}"));
            command.arg(format!("bandwidth={BITS_A_SECOND}")).arg(format!("queue={QUEUE}"));
            command.arg(format!("bytes={BYTES}")).arg(format!("joined={joined}"));
            transfer(command.arg(format!("seed={seed}"))).map(|(took, _)| took)
        };
        sorted((1..=case.real).map(one).collect::<Result<_, _>>()?)
    }

    /// Virtual seconds of each run here, sorted, and the memory of the first after each tenth, in KiB.
    fn ours(&self, case: &Case) -> Result<(Vec<f64>, Vec<u64>), String> {
        let scratch = Scratch::new("throughput")?;
        let (mut times, mut memory) = (Vec::new(), Vec::new());
        for seed in 1..=case.ours {
            let path = scratch.0.join("throughput.toml");
            let text = self.scenario(case, seed);
            std::fs::write(&path, text).map_err(|error| format!("throughput: {error}"))?;
            let (took, tenths) = transfer(Command::new(&self.afterlife).arg("run").arg(&path))?;
            times.push(took);
            if seed == 1 {
                memory = tenths;
            }
        }
        Ok((sorted(times)?, memory))
    }

    fn scenario(&self, case: &Case, seed: u64) -> String {
        let program = self.throughput.display();
        let Case { latency_ms, loss_percent, .. } = case;
        format!(
            "seed = {seed}\n\
             [[link]]\nbetween = [\"a\", \"b\"]\nlatency = \"{latency_ms}ms\"\n\
             bandwidth = \"{BITS_A_SECOND}bit/s\"\nqueue = {QUEUE}\nloss = \"{loss_percent}%\"\n\
             [[process]]\nname = \"receiver\"\nhost = \"a\"\n\
             command = [\"{program}\", \"receive\", \"7000\"]\n\
             [[process]]\nname = \"sender\"\nhost = \"b\"\nstart = \"1ms\"\n\
             command = [\"{program}\", \"send\", \"a\", \"7000\", \"{BYTES}\"]\n"
        )
    }
}

/// Runs one transfer: its seconds, and the memory of the process that was started here after each tenth.
fn transfer(command: &mut Command) -> Result<(f64, Vec<u64>), String> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("{command:?}: {error}"))?;
    let (mut took, mut memory) = (None, Vec::new());
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.map_err(|error| error.to_string())?;
        if line.contains("sent ") && line.contains(" % after ") {
            memory.push(resident(child.id())?);
        }
        let nanos = line.split_once("took ").and_then(|(_, rest)| rest.split(' ').next());
        took = nanos.and_then(|it| it.parse::<u64>().ok()).or(took);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    match took {
        Some(nanos) if status.success() => Ok((nanos as f64 / 1e9, memory)),
        _ => Err(format!("{command:?} ended with {status}")),
    }
}

/// VmRSS of a process, in KiB.
fn resident(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(Path::new(&path));
    let status = status.map_err(|error| format!("throughput: {path}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().split(' ').next()?.parse().ok());
    kib.ok_or(format!("throughput: {path} has no VmRSS"))
}

fn sorted(mut times: Vec<f64>) -> Result<Vec<f64>, String> {
    times.sort_by(f64::total_cmp);
    if times.is_empty() { Err("nothing was run".into()) } else { Ok(times) }
}

fn least(times: &[f64]) -> f64 {
    times.first().copied().unwrap_or(f64::NAN)
}

fn words(times: &[f64]) -> String {
    let rate = BYTES as f64 / 1e6 / least(times);
    let all: Vec<String> = times.iter().map(|it| format!("{it:.3}")).collect();
    format!("{rate:.1} MB/s ({} s)", all.join(", "))
}
