//! Both sides: the real kernel and afterlife, each running tests/guests' `actors` over the same
//! programs in a directory of its own. Neighbours: `mod` (compares), `judge` (asks again).

use super::make::Line;
use crate::native::executable;
use crate::root;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The limit of time for a batch and for a single program, in seconds, as `timeout` takes it. The
/// real side's coordinator gives up earlier, and kills what it has begun.
const LIMIT: [&str; 2] = ["200", "20"];

/// Programs by name.
pub type Programs = BTreeMap<String, Vec<Line>>;
/// What became of each, by name.
pub type Stories = BTreeMap<String, String>;

/// How a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// On the real kernel, all actors on one CPU.
    Real,
    /// The same, where this actor goes before all others.
    First(u8),
    /// On all CPUs.
    Free,
    /// In afterlife.
    Ours,
}

/// The real kernel, as differently as it can be.
pub const REAL: [Side; 6] =
    [Side::Real, Side::First(0), Side::Free, Side::First(1), Side::First(2), Side::First(3)];

/// The programs that run the programs.
#[derive(Clone, Debug)]
pub struct Sides {
    actors: PathBuf,
    afterlife: PathBuf,
    scratch: PathBuf,
}

impl Sides {
    /// Builds them.
    pub fn build(scratch: &Path) -> Result<Sides, String> {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--package=guests", "--package=afterlife"]);
        cargo.args(["--bin=actors", "--bin=afterlife", "--message-format=json"]);
        let output = cargo.current_dir(root()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("generator: cargo: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let find = |name: &str| {
            let mut built = text.lines().filter_map(executable);
            built.find(|it| it.ends_with(name)).ok_or(format!("generator: {name} does not build"))
        };
        let sides = Sides {
            actors: find("actors")?,
            afterlife: find("afterlife")?,
            scratch: scratch.into(),
        };
        Ok(sides)
    }

    /// The same with another afterlife.
    pub fn with(&self, afterlife: PathBuf) -> Sides {
        Sides { afterlife, ..self.clone() }
    }

    /// Runs them on one side; what a side does not tell of a program is an empty story.
    pub fn run(&self, side: Side, programs: &Programs) -> Result<Stories, String> {
        let said = |error: std::io::Error| format!("generator: {error}");
        let directory = self.scratch.join(format!("{side:?}").to_lowercase());
        std::fs::create_dir_all(&directory).map_err(said)?;
        let file = directory.join("programs");
        std::fs::write(&file, text(programs)).map_err(said)?;
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", LIMIT[usize::from(programs.len() == 1)]]);
        let settle = match side {
            Side::Real => "proc".to_owned(),
            Side::First(actor) => format!("first{actor}"),
            Side::Free => "free".to_owned(),
            Side::Ours => "sleep".to_owned(),
        };
        if side == Side::Ours {
            command.arg(&self.afterlife).args(["run", "--"]);
        }
        command.arg(&self.actors).arg(settle);
        command.arg(&file).current_dir(&directory).stdin(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().map_err(said)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            println!(
                "generator: the {side:?} side ended with {}: {}",
                output.status,
                stderr.trim()
            );
        }
        Ok(stories(&String::from_utf8_lossy(&output.stdout)))
    }

    /// One program.
    pub fn one(&self, side: Side, lines: &[Line]) -> Result<String, String> {
        let programs = Programs::from([("one".to_owned(), lines.to_vec())]);
        Ok(self.run(side, &programs)?.remove("one").unwrap_or_default())
    }

    /// The real kernel's and ours, at the same time.
    pub fn both(&self, programs: &Programs) -> Result<(Stories, Stories), String> {
        std::thread::scope(|scope| {
            let real = scope.spawn(|| self.run(Side::Real, programs));
            let ours = self.run(Side::Ours, programs)?;
            let real =
                real.join().map_err(|_| "generator: the real side panicked".to_owned())??;
            Ok((real, ours))
        })
    }
}

/// As `actors` reads them.
pub fn text(programs: &Programs) -> String {
    let mut text = String::new();
    for (name, lines) in programs {
        text += &format!("program {name}\n{}\n", lines.join("\n"));
    }
    text
}

/// Splits what `actors` printed.
fn stories(text: &str) -> Stories {
    let mut stories = Stories::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(new) = line.strip_prefix("program ") {
            new.clone_into(&mut name);
            stories.insert(name.clone(), String::new());
        } else if let Some(story) = stories.get_mut(&name) {
            story.push_str(line);
            story.push('\n');
        }
    }
    stories
}

/// The programs of a kept file, or of one that somebody wrote.
pub fn read(path: &Path) -> Result<Programs, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("generator: {}: {error}", path.display()))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut programs = Programs::new();
    let mut name = stem.clone();
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    for line in lines {
        match line.strip_prefix("program ") {
            Some(new) => name = format!("{stem}:{new}"),
            None => programs.entry(name.clone()).or_default().push(line.to_owned()),
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_split_by_programs() {
        let told = stories("program a\n  1 0 close 3 = 0\n\nprogram b\n");
        assert_eq!(told["a"], "  1 0 close 3 = 0\n");
        assert_eq!(told["b"], "");
    }
}
