//! `cargo xtask generator --planted`: is what is compared able to tell a right kernel from a wrong one?
//! A copy of the sources below target/ gets one fault at a time, and the generator has to find each
//! within its first programs.

use super::sides::{Side, Sides};
use super::{BATCH, judge, make, shrink};
use crate::twin::side_by_side;
use crate::{copy, root};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Within so many programs each has to be found.
const WITHIN: u64 = 1000;

/// A fault: what it is, in which file, and texts with what they become.
struct Fault {
    name: &'static str,
    file: &'static str,
    changes: &'static [(&'static str, &'static str)],
}

const FAULTS: [Fault; 5] = [
    Fault {
        name: "ascending release order (F-6)",
        file: "crates/kernel/src/fs/file.rs",
        changes: &[(
            "while let Some(file) = works.pop() {",
            "works.reverse();\nwhile let Some(file) = works.pop() {",
        )],
    },
    Fault {
        name: "standard signals that queue twice (S-17)",
        file: "crates/kernel/src/task/signal/pending.rs",
        changes: &[("!signal.is_realtime() && self.signal.has(signal)", "signal.number() == 0")],
    },
    Fault {
        name: "round-robin curr_target (S-20)",
        file: "crates/kernel/src/task/signal/send.rs",
        changes: &[(
            "core::iter::once(start).chain(self.threads_after(start))",
            "self.threads_after(start).into_iter().chain(core::iter::once(start))",
        )],
    },
    Fault {
        name: "SIGCHLD before EOF (X-1)",
        file: "crates/kernel/src/task/exit.rs",
        changes: &[
            ("        self.task_work_run(task); //", "//"),
            (
                "        self.exit_notify(task); //",
                "let works = core::mem::take(&mut self.tasks[task].task_works);
                 self.exit_notify(task);
                 works.into_iter().rev().for_each(|file| self.__fput(None, file)); //",
            ),
        ],
    },
    Fault {
        name: "POSIX locks kept until the last close (F-11)",
        file: "crates/kernel/src/fs/file.rs",
        changes: &[(
            "self.locks_remove_posix(table, file);",
            "if refs_left == 0 { self.locks_remove_posix(table, file); }",
        )],
    },
];

/// Plants those whose name contains the filter, one after the other.
pub fn run(sides: &Sides, seed: u64, filter: &str) -> Result<(), String> {
    let tree = root().join("target/generator/tree");
    for name in copy::tracked()? {
        // Listed and gone: a deletion that is not committed.
        if let Ok(bytes) = std::fs::read(root().join(&name)) {
            copy::write(&tree.join(&name), &bytes)?;
        }
    }
    let mut missed = Vec::new();
    let faults: Vec<&Fault> = FAULTS.iter().filter(|fault| fault.name.contains(filter)).collect();
    for fault in &faults {
        // Of the copy: the sources may change meanwhile.
        let path = tree.join(fault.file);
        let right = std::fs::read_to_string(&path)
            .map_err(|error| format!("generator: {}: {error}", fault.file))?;
        copy::write(&path, plant(&right, fault)?.as_bytes())?;
        let wrong = sides.with(build(&tree)?);
        copy::write(&path, right.as_bytes())?;
        if !find(&wrong, fault.name, seed)? {
            println!("generator: planted: {}: NOT FOUND within {WITHIN} programs", fault.name);
            missed.push(fault.name);
        }
    }
    let found = faults.len() - missed.len();
    println!("generator: planted: {found} of {} faults found, seed {seed}", faults.len());
    if missed.is_empty() { Ok(()) } else { Err(format!("generator: missed {}", missed.join(", "))) }
}

fn plant(text: &str, fault: &Fault) -> Result<String, String> {
    let mut text = text.to_owned();
    for (from, to) in fault.changes {
        if text.matches(from).count() != 1 {
            return Err(format!(
                "generator: {}: {} has not exactly one `{from}`; see xtask/src/generator/planted.rs",
                fault.name, fault.file
            ));
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

/// The command of the copy.
fn build(tree: &Path) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package=afterlife", "--bin=afterlife"]).current_dir(tree);
    cargo.env("CARGO_TARGET_DIR", tree.join("target")).env("RUSTFLAGS", "--cap-lints=allow");
    match cargo.status() {
        Ok(status) if status.success() => Ok(tree.join("target/debug/afterlife")),
        Ok(status) => Err(format!("generator: the copy does not build: {status}")),
        Err(error) => Err(format!("generator: cargo: {error}")),
    }
}

/// Whether a program tells the wrong kernel from the real one; prints the first that does.
fn find(wrong: &Sides, name: &str, seed: u64) -> Result<bool, String> {
    for first in (0..WITHIN).step_by(BATCH as usize) {
        let programs = make::programs(seed, first..(first + BATCH).min(WITHIN));
        let (real, ours) = wrong.both(&programs)?;
        for (number, lines) in &programs {
            if real.get(number) == ours.get(number) || !judge::differs(wrong, lines, 3)? {
                continue;
            }
            let small = shrink::shrink(wrong, lines)?;
            let (real, ours) = (wrong.one(Side::Real, &small)?, wrong.one(Side::Ours, &small)?);
            println!("generator: planted: {name}: found by program {number}, shrunk:");
            println!("{}", side_by_side(&real, &ours));
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_still_has_its_place() {
        for fault in &FAULTS {
            let text = std::fs::read_to_string(root().join(fault.file)).expect("a source");
            plant(&text, fault).expect("the place");
        }
    }
}
