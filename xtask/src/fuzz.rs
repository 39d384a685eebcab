//! `cargo xtask fuzz`: every fuzz target (tests/fuzzing, behind `fuzz/fuzz_targets`) for a while under
//! libFuzzer, one after the other, beginning with the kept corpus. What libFuzzer adds on the way
//! stays in `fuzz/target/corpus`; an input that is a finding is in `fuzz/artifacts/TARGET` and named at
//! the end. cargo-fuzz is installed if it is missing; on stable Rust its flags need RUSTC_BOOTSTRAP.

use crate::ci::finish;
use crate::root;
use std::process::Command;

/// The cargo-fuzz that this was written for.
const CARGO_FUZZ: &str = "0.13.2";
/// How long each target runs, unless told otherwise.
const SECONDS: u64 = 600;
/// The longest inputs: longer ones say nothing that shorter ones don't.
const TARGETS: [(&str, u32); 4] =
    [("syscalls", 2048), ("tcp_input", 1024), ("scenario", 2048), ("elf", 1024)];
/// Seconds after which one input counts as a finding, because it hangs.
const TIMEOUT: u32 = 30;

/// `[--seconds N] [TARGET]`: runs all targets, or one; the error names those with a finding.
pub fn run(words: &[&str]) -> Result<(), String> {
    let (seconds, filter) = parse(words)?;
    let targets: Vec<_> =
        TARGETS.iter().filter(|(name, _)| filter.is_none_or(|f| f == *name)).collect();
    if targets.is_empty() {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        return Err(format!("fuzz: there is no such target; there are {names}"));
    }
    install()?;
    let mut cargo = Command::new("cargo");
    cargo.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "build", "--sanitizer", "none"]);
    finish(cargo)?;
    let mut found = Vec::new();
    for (name, longest) in targets {
        println!("fuzz: {name}, {seconds} s");
        if let Err(why) = one(name, *longest, seconds) {
            println!("{why}");
            found.push(*name);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let all = found.join(", ");
    Err(format!(
        "fuzz: a finding in {all}: the input is in fuzz/artifacts, and again with `cargo fuzz run -s none TARGET FILE` and RUSTC_BOOTSTRAP=1"
    ))
}

fn parse<'a>(words: &[&'a str]) -> Result<(u64, Option<&'a str>), String> {
    let (mut seconds, mut filter) = (SECONDS, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let number = words.next().and_then(|it| it.parse().ok());
                seconds = number.ok_or("fuzz: --seconds needs a number, as in --seconds 600")?;
            }
            flag if flag.starts_with('-') => return Err(format!("fuzz: unknown option {flag}")),
            target => filter = Some(target),
        }
    }
    Ok((seconds, filter))
}

fn install() -> Result<(), String> {
    let version = Command::new("cargo").args(["fuzz", "--version"]).output();
    let there = |out: std::process::Output| {
        String::from_utf8_lossy(&out.stdout).trim() == format!("cargo-fuzz {CARGO_FUZZ}")
    };
    if version.is_ok_and(there) {
        return Ok(());
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "cargo-fuzz", "--locked", "--force", "--version", CARGO_FUZZ]);
    finish(cargo)
}

/// Runs one target; what libFuzzer says goes to a file, its last line to us. No sanitizer: there is
/// no `unsafe` in what is fuzzed, and without one it runs several times as many inputs.
fn one(name: &str, longest: u32, seconds: u64) -> Result<(), String> {
    let grown = format!("fuzz/target/corpus/{name}");
    let kept = format!("fuzz/corpus/{name}");
    let log = root().join(format!("fuzz/target/{name}.log"));
    let failed = |error: std::io::Error| format!("fuzz: {name}: {error}");
    std::fs::create_dir_all(root().join(&grown)).map_err(failed)?;
    let mut cargo = Command::new("cargo");
    cargo.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", "--sanitizer", "none", name]);
    cargo.args([&grown, &kept]).arg("--");
    cargo.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={longest}"));
    cargo.arg(format!("-timeout={TIMEOUT}")).arg("-print_final_stats=1");
    cargo.stderr(std::fs::File::create(&log).map_err(failed)?);
    let result = finish(cargo);
    let said = std::fs::read(&log).map_err(failed)?;
    println!("fuzz: {name}: {}", summary(&String::from_utf8_lossy(&said), result.is_ok()));
    result
}

/// The line that counts inputs and coverage, or what a finding said.
fn summary(said: &str, good: bool) -> String {
    if good {
        let done = said.lines().rfind(|line| line.contains("DONE"));
        return done.unwrap_or("libFuzzer did not say how it went").replace('\t', " ");
    }
    let from = said.lines().position(|line| line.contains("panicked") || line.contains("ERROR"));
    let lines: Vec<&str> = said.lines().collect();
    let from = from.unwrap_or(lines.len().saturating_sub(40));
    lines[from..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::{SECONDS, parse, summary};

    #[test]
    fn a_target_and_a_time_may_be_given() {
        assert_eq!(parse(&[]), Ok((SECONDS, None)));
        assert_eq!(parse(&["--seconds", "5", "elf"]), Ok((5, Some("elf"))));
        assert!(parse(&["--seconds"]).is_err());
        assert!(parse(&["--minutes", "5"]).is_err());
    }

    #[test]
    fn a_good_run_is_one_line_and_a_finding_is_told_in_full() {
        let said = "#1\tINITED cov: 2\n#9\tDONE   cov: 3 ft: 4\nDone 9 runs in 1 second(s)\n";
        assert_eq!(summary(said, true), "#9 DONE   cov: 3 ft: 4");
        let said = "#1\tINITED\nthread panicked at x\nattempt to add\n";
        assert_eq!(summary(said, false), "thread panicked at x\nattempt to add");
    }
}
