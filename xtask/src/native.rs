//! `cargo xtask native`: builds tests/guests and runs every case of every guest program on the real
//! kernel, each in a fresh process with a limit of time. The real kernel is the oracle: a case that
//! fails here is wrong about Linux, whatever afterlife does. Neighbour: `twin`, which runs the same
//! cases here and in afterlife.

use crate::{nobody, root};
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No case waits for a long kernel timer; one that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(30);

struct Options {
    as_nobody: bool,
    times: u32,
    filter: String,
}

/// Runs the cases whose name contains the filter, `--times N` times each.
pub fn run(words: &[&str]) -> Result<(), String> {
    let options = parse(words)?;
    let scratch = nobody::Scratch::new("native")?;
    let mut passed = 0;
    let mut failures = Vec::new();
    for program in programs()? {
        for case in cases(&program)? {
            if !case.contains(&options.filter) {
                continue;
            }
            for _ in 0..options.times {
                match one(&program, &case, options.as_nobody, &scratch.0) {
                    Ok(()) => passed += 1,
                    Err(why) => {
                        println!("FAILED {case}: {why}\n  again: {} {case}", program.display());
                        failures.push(case.clone());
                    }
                }
            }
        }
    }
    println!("native: {passed} passed, {} failed", failures.len());
    if failures.is_empty() { Ok(()) } else { Err(format!("native: {}", failures.join(", "))) }
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options { as_nobody: false, times: 1, filter: String::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--as-nobody" => options.as_nobody = true,
            "--times" => {
                let number = words.next().and_then(|it| it.parse().ok());
                options.times = number.ok_or("native: --times needs a number, as in --times 20")?;
            }
            flag if flag.starts_with('-') => return Err(format!("native: unknown option {flag}")),
            filter => filter.clone_into(&mut options.filter),
        }
    }
    Ok(options)
}

/// Builds the guest programs and gives their paths, in order.
pub fn programs() -> Result<Vec<PathBuf>, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "guests", "--bins", "--message-format=json"]);
    let output = cargo.current_dir(root()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("native: cargo: {error}"))?;
    if !output.status.success() {
        return Err("native: tests/guests does not build".into());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut programs: Vec<PathBuf> = text.lines().filter_map(executable).collect();
    programs.sort();
    Ok(programs)
}

/// The program that a message of cargo says it built.
pub fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}

/// The names of a program's cases; none for the ends of a wire, which have none.
pub fn cases(program: &Path) -> Result<Vec<String>, String> {
    let output = Command::new(program).arg("--list").stderr(Stdio::null()).output();
    let output = output.map_err(|error| format!("native: {}: {error}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// What somebody who starts a program sees of it.
#[derive(PartialEq, Eq, Debug)]
pub struct Seen {
    pub stdout: String,
    pub stderr: String,
    /// As a shell gives it: 128 + n for a death by signal n.
    pub status: i32,
}

/// One case in a fresh process: success is exit status 0 within the limit.
fn one(program: &Path, case: &str, as_nobody: bool, scratch: &Path) -> Result<(), String> {
    let mut command = if as_nobody { nobody::command(program) } else { Command::new(program) };
    match see(command.arg(case), scratch)? {
        Seen { status: 0, .. } => Ok(()),
        Seen { status, stderr, .. } => Err(format!("exit status {status}: {}", stderr.trim())),
    }
}

/// Runs a command to its end, within the limit, and leaves nothing of a failed one behind. Its output
/// goes to files: a pipe would be held open by whom a case leaves behind on purpose.
pub fn see(command: &mut Command, scratch: &Path) -> Result<Seen, String> {
    let said = |error: std::io::Error| error.to_string();
    let (stdout, stderr) = (scratch.join("stdout"), scratch.join("stderr"));
    command.process_group(0).env("TMPDIR", scratch).stdin(Stdio::null());
    command.stdout(File::create(&stdout).map_err(said)?);
    command.stderr(File::create(&stderr).map_err(said)?);
    let mut child = command.spawn().map_err(|error| format!("could not be started: {error}"))?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(said)? {
            Some(status) => break status,
            None if began.elapsed() > LIMIT => {
                end_group(child.id());
                let _ = child.wait();
                return Err(format!("still running after {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    if !status.success() {
        end_group(child.id());
    }
    let read = |path| std::fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned());
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(Seen { stdout: read(stdout).map_err(said)?, stderr: read(stderr).map_err(said)?, status })
}

/// Ends what a failed case leaves behind: its children are in its process group.
pub fn end_group(leader: u32) {
    let _ = Command::new("sh").args(["-c", &format!("kill -KILL -{leader} 2>/dev/null")]).status();
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn options_are_read_and_unknown_ones_refused() {
        let options = parse(&["--times", "20", "fin", "--as-nobody"]).expect("good options");
        assert_eq!((options.times, options.filter.as_str(), options.as_nobody), (20, "fin", true));
        assert!(parse(&["--time"]).is_err());
        assert!(parse(&["--times", "x"]).is_err());
    }
}
