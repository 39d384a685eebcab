//! `cargo xtask full`: what is too long for `.ci/run`: mutation testing, fuzzing, the generator, the twin on the
//! real kernel, throughput. What each part said last is kept in docs/full.md, with its date and commit; a part
//! that is run anew replaces its own section only. `--resume` lets the mutants that were caught already rest.

use crate::root;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The parts: names of our own commands.
const PARTS: [&str; 5] = ["mutants", "fuzz", "twin", "generator", "throughput"];
/// Where the results are.
const RESULTS: &str = "docs/full.md";
const HEAD: &str = "# What is too long for every change

Written by `cargo xtask full [--resume] [PART]`; each section is what its command said last.
";

/// Runs all parts, or those that the words name; the error names those that failed.
pub fn run(words: &[&str]) -> Result<(), String> {
    let named: Vec<&str> = words.iter().filter(|it| !it.starts_with('-')).copied().collect();
    if let Some(unknown) = named.iter().find(|it| !PARTS.contains(it)) {
        return Err(format!("full: there is no part `{unknown}`; there are {}", PARTS.join(", ")));
    }
    let mut failed = Vec::new();
    for part in PARTS.into_iter().filter(|it| named.is_empty() || named.contains(it)) {
        let options: &[&str] = match part {
            "mutants" if words.contains(&"--resume") => &["--resume"],
            "generator" => &["--programs", "10000", "--times", "2", "--planted"],
            _ => &[],
        };
        let section = one(part, options, &mut failed)?;
        let path = root().join(RESULTS);
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, replace(&old, part, &section))
            .map_err(|error| format!("full: {RESULTS}: {error}"))?;
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("full: {} failed; see {RESULTS}", failed.join(", "))),
    }
}

/// Runs one part as a command of its own, shows what it says, and keeps the lines that begin with its
/// name.
fn one(part: &str, options: &[&str], failed: &mut Vec<String>) -> Result<String, String> {
    let began = Instant::now();
    // Of what was there when it began: the part copies or builds it first.
    let commit = commit()?;
    let said = |error| format!("full: {part}: {error}");
    let ourselves = std::env::current_exe().map_err(said)?;
    let mut command = Command::new(ourselves);
    command.arg(part).args(options).current_dir(root()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(said)?;
    let mut kept = String::new();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.map_err(said)?;
        println!("{line}");
        if let Some(rest) = line.strip_prefix(part).and_then(|it| it.strip_prefix(": ")) {
            kept.push_str(rest);
            kept.push('\n');
        }
    }
    let status = child.wait().map_err(said)?;
    if !status.success() {
        failed.push(part.to_owned());
    }
    let outcome = if status.success() { "passed" } else { "failed" };
    let seconds = began.elapsed().as_secs();
    let date = first_line("date", &["-u", "+%F"])?;
    let line = [&["cargo xtask", part], options].concat().join(" ");
    Ok(format!(
        "## {part}\n`{line}`, {date}, commit {commit}: {outcome} after {seconds} s.\n```text\n{kept}```\n"
    ))
}

fn commit() -> Result<String, String> {
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"])?;
    let changes = first_line("git", &["status", "--porcelain", "--untracked-files=no"])?;
    Ok(if changes.is_empty() { commit } else { format!("{commit} with changes") })
}

fn first_line(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let output = output.map_err(|error| format!("full: {program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// The results with this part's section new, in the order of the parts.
fn replace(old: &str, part: &str, section: &str) -> String {
    let mut text = HEAD.to_owned();
    for name in PARTS {
        if name == part {
            text += &format!("\n{section}");
        } else if let Some((_, rest)) = old.split_once(&format!("\n## {name}\n")) {
            let kept = rest.split("\n## ").next().unwrap_or(rest).trim_end();
            text += &format!("\n## {name}\n{kept}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_replaces_its_own_section_only() {
        let first = replace("", "fuzz", "## fuzz\none\n");
        let second = replace(&first, "mutants", "## mutants\n```\ntwo\n```\n");
        assert_eq!(second, format!("{HEAD}\n## mutants\n```\ntwo\n```\n\n## fuzz\none\n"));
        let third = replace(&second, "fuzz", "## fuzz\nthree\n");
        assert_eq!(third, second.replace("one", "three"));
    }
}
