//! Running test programs against a living mutant: the first test that fails ends the trial, a
//! program that does not end in time counts as a failure too (a mutant may loop for ever), and so
//! does one that wants more memory than any test needs.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What a mutant may take of the address space, in KiB.
const MEMORY: u32 = 6 << 20;

/// A test executable.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Its package's directory, where cargo would run it.
    pub package: PathBuf,
    /// Its address space is bounded: it runs no guests, which may map what they like.
    pub bounded: bool,
}

/// How a trial ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Every test passed.
    Survived,
    /// This test failed, or the program as a whole.
    Caught(String),
    /// It did not end.
    TimedOut,
}

/// Runs the tests of a program whose name contains the filter, with the mutant of this number (0:
/// none) alive.
pub fn run(
    program: &Program,
    filter: &str,
    mutant: usize,
    limit: Duration,
) -> Result<Outcome, String> {
    let bound = if program.bounded { format!("ulimit -v {MEMORY}; ") } else { String::new() };
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{bound}exec \"$0\" \"$1\"")]);
    command.arg(&program.path).arg(filter);
    command.env("AFTERLIFE_MUTANT", mutant.to_string()).env("RUST_BACKTRACE", "0");
    command.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let said = |error| format!("mutants: {}: {error}", program.path.display());
    let mut child = command.spawn().map_err(said)?;
    let (sender, receiver) = channel();
    let stdout = child.stdout.take();
    // Not joined: whoever else holds the pipe open must not hold us.
    std::thread::spawn(move || {
        let lines = stdout.into_iter().flat_map(|out| BufReader::new(out).lines());
        for line in lines.map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + limit;
    let early = loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(name) = failed(&line) {
                    break Some(Outcome::Caught(name.to_owned()));
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some(Outcome::TimedOut),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    if early.is_some() {
        // Guests of afterlife die with it; helpers of a test are in its group.
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    }
    let status = child.wait().map_err(said)?;
    Ok(match early {
        Some(outcome) => outcome,
        None if status.success() => Outcome::Survived,
        None => Outcome::Caught(format!("the program ended with {status}")),
    })
}

/// The name of the test of which the line says that it failed.
fn failed(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?
        .trim_end()
        .strip_suffix("FAILED")?
        .split(" ...")
        .next()
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::failed;

    #[test]
    fn the_failed_test_is_named() {
        assert_eq!(failed("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed("test a::b     ... FAILED"), Some("a::b"));
        assert_eq!(failed("test a::b ... ok"), None);
        assert_eq!(failed("test result: FAILED. 1 passed; 1 failed"), None);
    }
}
