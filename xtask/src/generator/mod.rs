//! `cargo xtask generator`: random but seeded programs of system calls over processes, threads,
//! signals, descriptors, pipes, unix sockets, files and locks, run by tests/guests' `actors` on the
//! real kernel and in afterlife, and compared call by call. What differs is shrunk to the smallest
//! program; what was found before is kept in tests/guests/generated and runs first.
//!
//! `make` (with `random`, `model` and the subjects) makes programs, `sides` runs them, `judge` says
//! what a difference means, `shrink` makes programs small, `planted` puts faults into a copy of the
//! kernel that this has to find.

mod files;
mod ipc;
mod judge;
mod make;
mod model;
mod planted;
mod random;
mod scenes;
mod shrink;
mod sides;
mod subjects;

use crate::nobody::Scratch;
use crate::root;
use crate::twin::side_by_side;
use judge::Verdict;
use make::Line;
use sides::{Programs, REAL, Side, Sides};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where shrunken programs are.
const KEPT: &str = "tests/guests/generated";
/// As many as nobody says otherwise.
const PROGRAMS: u64 = 500;
/// Programs that run in one process of each side.
const BATCH: u64 = 250;
/// A program that differs runs so often in each way.
const RUNS: usize = 3;
/// After so many different ones there is enough to do.
const ENOUGH: usize = 10;

#[derive(Default)]
struct Options {
    programs: Option<u64>,
    seed: u64,
    /// How often each program runs on the real kernel.
    times: usize,
    planted: bool,
    /// Nothing new begins after so many seconds.
    seconds: u64,
    /// Only prints the programs.
    print: bool,
    /// One of the seed's programs instead.
    program: Option<u64>,
    /// A file of programs; with `planted`, a part of the names of faults.
    file: Option<PathBuf>,
}

/// Runs what the words say.
pub fn run(words: &[&str]) -> Result<(), String> {
    let options = parse(words)?;
    let programs = options.programs.unwrap_or(PROGRAMS);
    if options.print {
        print!("{}", sides::text(&make::programs(options.seed, 0..programs)));
        return Ok(());
    }
    let scratch = Scratch::new("generator")?;
    let sides = Sides::build(&scratch.0)?;
    if let (Some(file), false) = (&options.file, options.planted) {
        return show(&sides, &sides::read(file)?);
    }
    if let Some(number) = options.program {
        let programs = make::programs(options.seed, number..number + 1);
        println!("{}", programs.values().flatten().cloned().collect::<Vec<_>>().join("\n"));
        return show(&sides, &programs);
    }
    if options.programs.is_some() || !options.planted {
        search(&sides, &options)?;
    }
    let filter = options.file.as_ref().map_or_else(String::new, |it| it.display().to_string());
    if options.planted { planted::run(&sides, options.seed, &filter) } else { Ok(()) }
}

/// The kept programs, then new ones.
fn search(sides: &Sides, options: &Options) -> Result<(), String> {
    let began = Instant::now();
    let until = began + Duration::from_secs(options.seconds);
    let (kept, mut different, mut table) = (kept()?, Vec::new(), Table::default());
    for (name, _) in compare(sides, &kept, (options.times, until), &mut Table::default())? {
        println!("generator: DIFFERS AGAIN: {KEPT}/{name}");
        different.push(name);
    }
    println!("generator: {} kept programs, {} differ", kept.len(), different.len());
    let programs = options.programs.unwrap_or(PROGRAMS);
    for first in (0..programs).step_by(BATCH as usize) {
        let numbers = first..(first + BATCH).min(programs);
        let batch = make::programs(options.seed, numbers);
        for (name, lines) in compare(sides, &batch, (options.times, until), &mut table)? {
            tell(sides, options.seed, &name, &lines)?;
            different.push(name);
        }
        if Instant::now() > until {
            println!("generator: time is up; stopped after program {}", first + BATCH);
            break;
        }
        if different.len() >= ENOUGH {
            println!("generator: enough differences; stopped after program {}", first + BATCH);
            break;
        }
    }
    table.print();
    println!(
        "generator: seed {}, {} programs, {} calls, {} differ, {:.0} s",
        options.seed,
        table.programs,
        table.calls(),
        different.len(),
        began.elapsed().as_secs_f64()
    );
    if different.is_empty() {
        Ok(())
    } else {
        Err(format!("generator: different from the real kernel: {}", different.join(", ")))
    }
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options { seed: 1, times: 1, seconds: 24 * 3600, ..Options::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|it| it.parse().ok());
            number.ok_or(format!("generator: {word} needs a number, as in {word} 1000"))
        };
        match *word {
            "--programs" => options.programs = Some(number()?),
            "--seed" => options.seed = number()?,
            "--times" => options.times = number()?.max(1) as usize,
            "--program" => options.program = Some(number()?),
            "--seconds" => options.seconds = number()?,
            "--print" => options.print = true,
            "--planted" => options.planted = true,
            flag if flag.starts_with('-') => {
                return Err(format!("generator: unknown option {flag}"));
            }
            file => options.file = Some(file.into()),
        }
    }
    Ok(options)
}

/// Both stories of each, side by side.
fn show(sides: &Sides, programs: &Programs) -> Result<(), String> {
    let (real, ours) = sides.both(programs)?;
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
    (times, until): (usize, Instant),
    table: &mut Table,
) -> Result<Vec<(String, Vec<Line>)>, String> {
    let (real, ours) = sides.both(programs)?;
    let mut again = Vec::new();
    for time in 1..times {
        again.push(sides.run(REAL[time % REAL.len()], programs)?);
    }
    let mut different = Vec::new();
    for (name, lines) in programs {
        let story = real.get(name);
        table.count(story);
        if again.iter().any(|other| other.get(name) != story) {
            table.varying.push(name.clone());
        }
        if story.is_some() && story == ours.get(name) {
            continue;
        }
        let verdict = match Instant::now() > until {
            true => Verdict::Untold,
            false => judge::judge(sides, lines, RUNS)?,
        };
        match verdict {
            Verdict::Different => different.push((name.clone(), lines.clone())),
            Verdict::EitherWay => table.either_way.push(name.clone()),
            Verdict::Undetermined => table.undetermined.push(name.clone()),
            Verdict::Untold => table.untold.push(name.clone()),
        }
    }
    Ok(different)
}

/// Shrinks a program that differs and prints it.
fn tell(sides: &Sides, seed: u64, name: &str, lines: &[Line]) -> Result<(), String> {
    let small = shrink::shrink(sides, lines)?;
    let (real, ours) = (sides.one(Side::Real, &small)?, sides.one(Side::Ours, &small)?);
    println!("generator: DIFFERS: program {name} of seed {seed}, shrunk to {} steps:", small.len());
    println!("{}\n{}", small.join("\n"), side_by_side(&real, &ours));
    Ok(())
}

/// How often each call ended how, on the real kernel.
#[derive(Default)]
struct Table {
    programs: usize,
    /// That the real kernel ran several times, not always with the same story.
    varying: Vec<String>,
    /// What did not agree at once and is no difference.
    either_way: Vec<String>,
    undetermined: Vec<String>,
    untold: Vec<String>,
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
        for (what, names) in [
            ("afterlife did what the real kernel does in another run", &self.either_way),
            (
                "the real kernel differs from itself, afterlife agrees until then",
                &self.undetermined,
            ),
            ("the real kernel told nothing, or too late", &self.untold),
        ] {
            println!("generator: counted apart: {}: {what} {}", names.len(), names.join(" "));
        }
        if !self.varying.is_empty() {
            println!(
                "generator: {} did not always tell the same on the real kernel: {}",
                self.varying.len(),
                self.varying.join(" ")
            );
        }
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
