//! `cargo xtask generator`: random but seeded programs of system calls over processes, threads,
//! signals, descriptors, pipes, unix sockets, files and locks, run by tests/guests' `actors` on the
//! real kernel and in afterlife, and compared call by call. What differs is shrunk to the smallest
//! program; what was found before is kept in tests/guests/generated and runs first.
//!
//! `make` (with `random`, `model`, `subjects`, `files`) makes programs, `sides` runs them, `shrink`
//! makes them small, `planted` puts faults into a copy of the kernel that this has to find.

mod files;
mod make;
mod model;
mod planted;
mod random;
mod shrink;
mod sides;
mod subjects;

use crate::nobody::Scratch;
use crate::root;
use crate::twin::side_by_side;
use make::Line;
use sides::{Programs, Sides};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where shrunken programs are.
const KEPT: &str = "tests/guests/generated";
/// Programs that run in one process of each side.
const BATCH: u64 = 250;
/// After so many different ones there is enough to do.
const ENOUGH: usize = 10;

struct Options {
    programs: u64,
    seed: u64,
    planted: bool,
    file: Option<PathBuf>,
}

/// Runs what the words say.
pub fn run(words: &[&str]) -> Result<(), String> {
    let options = parse(words)?;
    let scratch = Scratch::new("generator")?;
    let sides = Sides::build(&scratch.0)?;
    if let Some(file) = &options.file {
        return one_file(&sides, file);
    }
    if options.planted {
        return planted::run(&sides, options.seed);
    }
    let began = Instant::now();
    let (kept, mut different) = (kept()?, Vec::new());
    let known = compare(&sides, &kept, &mut Table::default())?;
    for (name, _) in known {
        println!("generator: DIFFERS AGAIN: {KEPT}/{name}");
        different.push(name);
    }
    println!("generator: {} kept programs, {} differ", kept.len(), different.len());
    let mut table = Table::default();
    for first in (0..options.programs).step_by(BATCH as usize) {
        let numbers = first..(first + BATCH).min(options.programs);
        let batch = make::programs(options.seed, numbers);
        for (name, lines) in compare(&sides, &batch, &mut table)? {
            tell(&sides, options.seed, &name, &lines)?;
            different.push(name);
        }
        if different.len() >= ENOUGH {
            println!("generator: enough differences; stopped after program {}", first + BATCH);
            break;
        }
    }
    table.print();
    println!(
        "generator: seed {}, {} programs, {} calls, {} differ, {} as Linux may do too, {:.0} s",
        options.seed,
        table.programs,
        table.calls(),
        different.len(),
        table.either_way,
        began.elapsed().as_secs_f64()
    );
    if different.is_empty() {
        Ok(())
    } else {
        Err(format!("generator: different from the real kernel: {}", different.join(", ")))
    }
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options { programs: 500, seed: 1, planted: false, file: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|it| it.parse().ok());
            number.ok_or(format!("generator: {word} needs a number, as in {word} 1000"))
        };
        match *word {
            "--programs" => options.programs = number()?,
            "--seed" => options.seed = number()?,
            "--planted" => options.planted = true,
            flag if flag.starts_with('-') => {
                return Err(format!("generator: unknown option {flag}"));
            }
            file => options.file = Some(file.into()),
        }
    }
    Ok(options)
}

/// A file of programs, both stories side by side.
fn one_file(sides: &Sides, file: &Path) -> Result<(), String> {
    let programs = sides::read(file)?;
    let (real, ours) = sides.both(&programs)?;
    let mut differ = 0;
    for name in programs.keys() {
        let [real, ours] = [&real, &ours].map(|it| it.get(name).cloned().unwrap_or_default());
        println!("program {name}\n{}", side_by_side(&real, &ours));
        differ += usize::from(real != ours);
    }
    if differ == 0 { Ok(()) } else { Err(format!("generator: {differ} differ")) }
}

/// The kept programs, by file.
fn kept() -> Result<Programs, String> {
    let mut programs = Programs::new();
    let directory = std::fs::read_dir(root().join(KEPT));
    let directory = directory.map_err(|error| format!("generator: {KEPT}: {error}"))?;
    for entry in directory.flatten() {
        programs.extend(sides::read(&entry.path())?);
    }
    Ok(programs)
}

/// Runs programs on both sides: those that differ, and that differ again when they run alone.
fn compare(
    sides: &Sides,
    programs: &Programs,
    table: &mut Table,
) -> Result<Vec<(String, Vec<Line>)>, String> {
    let (real, ours) = sides.both(programs)?;
    let mut different = Vec::new();
    for (name, lines) in programs {
        table.count(real.get(name));
        if real.get(name) == ours.get(name) && real.contains_key(name) {
            continue;
        }
        if shrink::differs(sides, lines, 3)? {
            different.push((name.clone(), lines.clone()));
        } else {
            table.either_way += 1;
        }
    }
    Ok(different)
}

/// Shrinks a program that differs and prints it.
fn tell(sides: &Sides, seed: u64, name: &str, lines: &[Line]) -> Result<(), String> {
    let small = shrink::shrink(sides, lines)?;
    let (real, ours) =
        (sides.one(sides::Side::Real, &small)?, sides.one(sides::Side::Ours, &small)?);
    println!("generator: DIFFERS: program {name} of seed {seed}, shrunk to {} steps:", small.len());
    println!("{}\n{}", small.join("\n"), side_by_side(&real, &ours));
    Ok(())
}

/// How often each call ended how, on the real kernel.
#[derive(Default)]
struct Table {
    programs: usize,
    either_way: usize,
    results: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Table {
    /// Counts what a story tells: `STEP ACTOR CALL ARGUMENTS… = RESULT …`.
    fn count(&mut self, story: Option<&String>) {
        self.programs += 1;
        for line in story.into_iter().flat_map(|it| it.lines()) {
            let Some((call, result)) = line.split_once(" = ") else { continue };
            let call = call.split_whitespace().nth(2).unwrap_or_default();
            let result = result.split(' ').next().unwrap_or_default();
            let result = if result.starts_with('E') { result } else { "ok" };
            let of = self.results.entry(call.to_owned()).or_default();
            *of.entry(result.to_owned()).or_default() += 1;
        }
    }

    fn calls(&self) -> usize {
        self.results.values().flat_map(BTreeMap::values).sum()
    }

    fn print(&self) {
        let good: usize = self.results.values().filter_map(|it| it.get("ok")).sum();
        for (call, results) in &self.results {
            let results: Vec<String> = results.iter().map(|(r, n)| format!("{r} {n}")).collect();
            println!("generator:   {call:<14} {}", results.join(", "));
        }
        let percent = 100.0 * good as f64 / self.calls().max(1) as f64;
        println!("generator: {percent:.0} % of the calls succeed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_program() {
        assert_eq!(make::program(7, 3), make::program(7, 3));
        assert_ne!(make::program(7, 3), make::program(8, 3));
    }

    #[test]
    fn results_are_counted_by_call() {
        let mut table = Table::default();
        table.count(Some(&"  1 0 close 3 = EBADF\n  2 0 read 3 1 = 1 (at 4) 7 1\n".to_owned()));
        assert_eq!(table.results["close"]["EBADF"], 1);
        assert_eq!(table.results["read"]["ok"], 1);
    }
}
