//! `cargo xtask yardstick`: Linux's own tests as a yardstick. Debian's package `linux-source-6.12`
//! carries nolibc-test and the kselftests; those that one gcc line makes a static program of
//! (programs.rs) are built outside the repository (source.rs), run on the real kernel and in
//! afterlife, and compared check by check (checks.rs). `held.txt` holds the line: what passed once
//! must go on passing; `ci` runs only what stands there, and only in afterlife.

mod checks;
mod programs;
mod source;

use crate::{native, nobody, root};
use checks::Checks;
use programs::Program;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What passes in afterlife and must go on passing: a line a check, `PROGRAM: CHECK`.
const HELD: &str = "xtask/src/yardstick/held.txt";
/// How many seconds a program may take in afterlife.
const HERE: u64 = 120;
/// Checks of one that takes longer than this are not held: `ci` has no time for it.
const SHORT: Duration = Duration::from_secs(10);

/// Both sides of every program whose name contains the filter, N of M by group and the differences.
/// `--hold` writes what passes on both sides into `held.txt`, next to what stands there already.
pub fn run(words: &[&str]) -> Result<(), String> {
    let hold = words.contains(&"--hold");
    let filter = words.iter().find(|it| !it.starts_with('-')).copied().unwrap_or_default();
    let chosen: Vec<&Program> =
        programs::PROGRAMS.iter().filter(|it| it.name().contains(filter)).collect();
    let built = source::build(&chosen)?;
    let afterlife = afterlife()?;
    let mut held = read_held()?;
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for program in &chosen {
        let Some(path) = built.get(program.source) else { continue };
        let natively = one(Command::new(path), program, path, program.seconds)?;
        let began = Instant::now();
        let here = one(in_afterlife(&afterlife, path), program, path, HERE)?;
        let short = began.elapsed() < SHORT;
        let count = groups.entry(program.group()).or_default();
        for check in natively.passed() {
            count.1 += 1;
            if here.passes(check) {
                count.0 += 1;
                if here.ended() && short {
                    held.insert(format!("{}: {check}", program.name()));
                }
            } else {
                println!("yardstick: {}: {check}: here {}", program.name(), here.says(check));
            }
        }
    }
    for (group, (here, natively)) in &groups {
        println!("yardstick: {group}: {here} of {natively} checks that pass natively");
    }
    let sum = groups.values().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    println!("yardstick: {} of {} in {} programs", sum.0, sum.1, built.len());
    if hold {
        let text: String = held.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(root().join(HELD), text).map_err(|error| format!("{HELD}: {error}"))?;
    }
    Ok(())
}

/// Where Linux's tests are unpacked. The error is a sentence.
pub fn tests_of_linux() -> Result<PathBuf, String> {
    source::tree()
}

/// The step of `ci`: what `held.txt` holds passes in afterlife. Where the sources cannot be had, a
/// sentence says so, and nothing fails.
pub fn held() -> Result<(), String> {
    if let Err(why) = source::tree() {
        println!("ci: skipped: {why}");
        return Ok(());
    }
    let held = read_held()?;
    let named: BTreeSet<&str> = held.iter().filter_map(|it| it.split(": ").next()).collect();
    let chosen: Vec<&Program> =
        programs::PROGRAMS.iter().filter(|it| named.contains(it.name().as_str())).collect();
    let built = source::build(&chosen)?;
    let afterlife = afterlife()?;
    let (mut passed, mut failed) = (0, Vec::new());
    for program in chosen {
        let Some(path) = built.get(program.source) else { continue };
        let here = one(in_afterlife(&afterlife, path), program, path, HERE)?;
        let prefix = format!("{}: ", program.name());
        let lines = held.iter().filter_map(|line| line.strip_prefix(&prefix));
        let (good, bad): (Vec<&str>, Vec<&str>) = lines.partition(|check| here.passes(check));
        passed += good.len();
        if bad.is_empty() {
            continue;
        }
        // What this machine's own kernel does not pass, it cannot show us either.
        let natively = one(Command::new(path), program, path, program.seconds)?;
        for check in bad {
            let (real, ours) = (natively.says(check), here.says(check));
            println!("yardstick: {prefix}{check}: here {ours}, natively {real}");
            println!("  again: {}", in_afterlife_line(&afterlife, path));
            if natively.passes(check) {
                failed.push(format!("{prefix}{check}"));
            }
        }
    }
    println!("yardstick: {passed} held checks passed, {} failed", failed.len());
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("yardstick: what passed once does not any more: {}", failed.join("; ")))
}

fn read_held() -> Result<BTreeSet<String>, String> {
    let text = std::fs::read_to_string(root().join(HELD));
    let text = text.map_err(|error| format!("yardstick: {HELD}: {error}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The debug build of the command.
fn afterlife() -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "afterlife", "--message-format=json"]);
    let output = cargo.current_dir(root()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("yardstick: cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let built = text.lines().filter_map(native::executable).find(|it| it.ends_with("afterlife"));
    built.ok_or_else(|| "yardstick: afterlife does not build".to_owned())
}

fn in_afterlife(afterlife: &Path, program: &Path) -> Command {
    let mut command = Command::new(afterlife);
    command.args(["run", "--"]).arg(program);
    command
}

fn in_afterlife_line(afterlife: &Path, program: &Path) -> String {
    format!("{} run -- {}", afterlife.display(), program.display())
}

/// Runs a program in its own directory, at most as long as it may take, and reads its checks.
fn one(
    mut command: Command,
    program: &Program,
    path: &Path,
    seconds: u64,
) -> Result<Checks, String> {
    let said = |error| format!("yardstick: {}: {error}", program.name());
    let scratch = nobody::Scratch::new("yardstick")?;
    let (mut reader, writer) = std::io::pipe().map_err(said)?;
    command
        .args(program.arguments)
        .current_dir(path.parent().unwrap_or(path))
        .env("TMPDIR", &scratch.0)
        .process_group(0)
        .stdin(Stdio::null())
        .stderr(writer.try_clone().map_err(said)?)
        .stdout(writer);
    let mut child = command.spawn().map_err(said)?;
    drop(command);
    let output = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(said)? {
            Some(status) => break Some(status),
            None if began.elapsed() > Duration::from_secs(seconds) => break None,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    native::end_group(child.id());
    let _ = child.wait();
    let text = output.join().map_err(|_| said(std::io::Error::other("its output is lost")))?;
    Ok(checks::read(&text, status))
}
