//! `cargo xtask mutants`: mutation testing. cargo-mutants proposes the changes (`.cargo/mutants.toml`
//! says of which files); all that fit are built at once (schemata.rs), the others one by one. Each
//! mutant meets the kernel's unit tests, then the tests of the lab, then the guest programs, until a
//! test fails. Who survives them all has a reason in survivors.txt, or the command fails.

mod build;
mod schemata;
mod trial;

use crate::root;
use build::Tree;
use schemata::{Mutant, alone};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};
use trial::{Outcome, Program};

/// The cargo-mutants whose list we understand.
const VERSION: &str = "27.1.0";
/// The survivors that we know, with their reasons.
const SURVIVORS: &str = "xtask/src/mutants/survivors.txt";

/// Tests, from the quickest to the most thorough: a name, and what `cargo test` is told.
const STAGES: [(&str, &[&str]); 3] = [
    ("unit tests", &["--package=afterlife-kernel", "--lib"]),
    ("lab", &["--package=afterlife-lab", "--lib", "--tests"]),
    ("guest programs", &["--package=guests", "--test=afterlife"]),
];

/// What became of a mutant.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    /// It is no program.
    Unviable,
    /// A test of this stage failed: its name.
    Caught(usize, String),
    /// All passed.
    Survived,
}

/// Runs the mutants whose name contains the filter. With `resume`, those that an earlier run caught
/// are taken as caught, as long as their file is the same.
pub fn run(words: &[&str]) -> Result<(), String> {
    let began = Instant::now();
    let resume = words.contains(&"--resume");
    let quick = words.contains(&"--quick");
    let filter = words.iter().find(|word| !word.starts_with('-')).copied().unwrap_or("");
    let stages = if quick { 2 } else { STAGES.len() };
    let mutants = list(filter)?;
    println!("mutants: {} of cargo-mutants {VERSION}", mutants.len());
    let tree = Tree::copy(&mutants)?;
    let mut ledger = Ledger::open(&mutants, &tree.texts, resume)?;
    for stage in 0..stages {
        together(&tree, stage, &mutants, &mut ledger)?;
    }
    one_by_one(&tree, stages, &mutants, &mut ledger)?;
    report(&mutants, &ledger, filter.is_empty() && !quick, began.elapsed())
}

/// The mutants that cargo-mutants proposes, numbered from 1.
fn list(filter: &str) -> Result<BTreeMap<usize, Mutant>, String> {
    install()?;
    let mut cargo = Command::new("cargo");
    cargo.args(["mutants", "--list", "--json", "--package=afterlife-kernel"]);
    let output = cargo.current_dir(root()).output().map_err(|error| format!("cargo: {error}"))?;
    let listed: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("mutants: cargo mutants --list --json: {error}"))?;
    let listed = listed.as_array().cloned().unwrap_or_default();
    let all = listed.iter().filter_map(mutant).enumerate().map(|(i, it)| (i + 1, it));
    Ok(all.filter(|(_, it)| it.name.contains(filter)).collect())
}

fn mutant(value: &Value) -> Option<Mutant> {
    let place = |value: &Value| {
        let number = |key: &str| usize::try_from(value[key].as_u64()?).ok();
        Some((number("line")?, number("column")?))
    };
    let span = |value: &Value| -> Option<Range<schemata::Place>> {
        Some(place(&value["start"])?..place(&value["end"])?)
    };
    Some(Mutant {
        name: value["name"].as_str()?.to_owned(),
        file: value["file"].as_str()?.to_owned(),
        span: span(&value["span"])?,
        replacement: value["replacement"].as_str()?.to_owned(),
        function: span(&value["function"]["span"]),
    })
}

/// cargo-mutants in the version that we know.
fn install() -> Result<(), String> {
    let version = Command::new("cargo").args(["mutants", "--version"]).output();
    let version = version.map_err(|error| format!("cargo: {error}"))?;
    if String::from_utf8_lossy(&version.stdout).trim() == format!("cargo-mutants {VERSION}") {
        return Ok(());
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "--quiet", "--locked", "cargo-mutants", "--version", VERSION]);
    crate::ci::finish(cargo)
}

/// What is known so far, in memory and in target/mutants/verdicts.txt.
struct Ledger {
    verdicts: BTreeMap<usize, Verdict>,
    /// Names with their file's hash: what a verdict is about.
    keys: BTreeMap<usize, String>,
    file: std::fs::File,
}

impl Ledger {
    fn open(
        mutants: &BTreeMap<usize, Mutant>,
        texts: &BTreeMap<String, String>,
        resume: bool,
    ) -> Result<Ledger, String> {
        let mut keys = BTreeMap::new();
        for (number, mutant) in mutants {
            let mut hasher = DefaultHasher::new();
            texts[&mutant.file].hash(&mut hasher);
            keys.insert(*number, format!("{}\t{:x}", mutant.name, hasher.finish()));
        }
        let path = root().join("target/mutants/verdicts.txt");
        let said = |error| format!("mutants: {}: {error}", path.display());
        std::fs::create_dir_all(root().join("target/mutants")).map_err(said)?;
        let old =
            if resume { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let mut verdicts = BTreeMap::new();
        for (number, key) in &keys {
            let told = old.lines().rev().find_map(|line| line.strip_prefix(&format!("{key}\t")));
            if let Some(verdict) = told.and_then(Verdict::parse) {
                verdicts.insert(*number, verdict);
            }
        }
        let mut options = std::fs::OpenOptions::new();
        options.create(true).write(true).append(resume).truncate(!resume);
        let file = options.open(&path).map_err(said)?;
        Ok(Ledger { verdicts, keys, file })
    }

    fn set(&mut self, number: usize, verdict: Verdict) {
        if verdict != Verdict::Survived {
            let _ = writeln!(self.file, "{}\t{verdict}", self.keys[&number]);
        }
        self.verdicts.insert(number, verdict);
    }
}

impl Verdict {
    /// What the ledger's file says of a mutant; survivors are not written down.
    fn parse(text: &str) -> Option<Verdict> {
        if text == "unviable" {
            return Some(Verdict::Unviable);
        }
        let (stage, test) = text.split_once('\t')?;
        Some(Verdict::Caught(stage.parse().ok()?, test.to_owned()))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Unviable => write!(out, "unviable"),
            Verdict::Caught(stage, test) => write!(out, "{stage}\t{test}"),
            Verdict::Survived => write!(out, "survived"),
        }
    }
}

/// One stage for all mutants that can be built together.
fn together(
    tree: &Tree,
    stage: usize,
    mutants: &BTreeMap<usize, Mutant>,
    ledger: &mut Ledger,
) -> Result<(), String> {
    let (name, arguments) = STAGES[stage];
    let takes_part = |number: &usize| match ledger.verdicts.get(number) {
        None => stage == 0,
        Some(Verdict::Survived) => true,
        Some(Verdict::Unviable | Verdict::Caught(..)) => false,
    };
    let open = mutants.iter().filter(|(number, _)| takes_part(number));
    let open: BTreeMap<usize, Mutant> = open.map(|(n, m)| (*n, m.clone())).collect();
    let (woven, refused) = tree.weave(&open, arguments)?;
    for number in refused.by_the_arm {
        ledger.set(number, Verdict::Unviable);
    }
    let programs = tree.build(arguments)?.map_err(|errors| format!("mutants: {errors:?}"))?;
    let limits = limits(&programs)?;
    println!("mutants: {name}: {} woven, {} not", woven.len(), open.len() - woven.len());
    for number in woven {
        let verdict = meet(&programs, &limits, (number, &mutants[&number]), stage)?;
        if verdict == Verdict::Survived {
            println!("  survives the {name}: {}", mutants[&number].name);
        }
        ledger.set(number, verdict);
    }
    Ok(())
}

/// How long each program may take: ten times what it takes without a mutant, which must pass.
fn limits(programs: &[Program]) -> Result<Vec<Duration>, String> {
    let limit = |program: &Program| {
        let began = Instant::now();
        match trial::run(program, "", 0, Duration::from_secs(600))? {
            Outcome::Survived => Ok(Duration::from_secs(10) + began.elapsed() * 10),
            other => {
                Err(format!("mutants: without a mutant, {}: {other:?}", program.path.display()))
            }
        }
    };
    programs.iter().map(limit).collect()
}

/// A mutant meets the programs of a stage; of the unit tests, those of its own room first.
fn meet(
    programs: &[Program],
    limits: &[Duration],
    (number, mutant): (usize, &Mutant),
    stage: usize,
) -> Result<Verdict, String> {
    let room = mutant.file.split('/').nth(3).unwrap_or_default();
    let filters =
        if stage == 0 { vec![format!("{room}::"), String::new()] } else { vec![String::new()] };
    for filter in filters {
        for (program, limit) in programs.iter().zip(limits) {
            match trial::run(program, &filter, number, *limit)? {
                Outcome::Survived => {}
                Outcome::Caught(test) => return Ok(Verdict::Caught(stage, test)),
                Outcome::TimedOut => return Ok(Verdict::Caught(stage, "does not end".into())),
            }
        }
    }
    Ok(Verdict::Survived)
}

/// Mutants that had no place in an arm: each is built alone.
fn one_by_one(
    tree: &Tree,
    stages: usize,
    mutants: &BTreeMap<usize, Mutant>,
    ledger: &mut Ledger,
) -> Result<(), String> {
    let texts = &tree.texts;
    for (file, text) in texts {
        tree.write(file, text.as_bytes())?;
    }
    let left: BTreeSet<usize> =
        mutants.keys().copied().filter(|n| !ledger.verdicts.contains_key(n)).collect();
    println!("mutants: {} are built one by one", left.len());
    for number in left {
        let mutant = &mutants[&number];
        let text = &texts[&mutant.file];
        tree.write(&mutant.file, alone(text, mutant).as_bytes())?;
        let mut verdict = Verdict::Survived;
        for (stage, (_, arguments)) in STAGES[..stages].iter().enumerate() {
            verdict = match tree.build_alone(arguments)? {
                Ok(programs) => {
                    let limits = vec![Duration::from_secs(120); programs.len()];
                    meet(&programs, &limits, (number, mutant), stage)?
                }
                Err(_) => Verdict::Unviable,
            };
            if verdict != Verdict::Survived {
                break;
            }
        }
        if verdict == Verdict::Survived {
            println!("  survives: {}", mutant.name);
        }
        ledger.set(number, verdict);
        tree.write(&mutant.file, text.as_bytes())?;
    }
    Ok(())
}

/// Counts, and compares the survivors with those that have a reason.
fn report(
    mutants: &BTreeMap<usize, Mutant>,
    ledger: &Ledger,
    whole: bool,
    took: Duration,
) -> Result<(), String> {
    let known = known_survivors()?;
    // Per file: mutants that are programs, and how many each stage caught.
    let mut files: BTreeMap<&str, (usize, [usize; STAGES.len()])> = BTreeMap::new();
    let mut survivors = Vec::new();
    for (number, mutant) in mutants {
        let (of, caught) = files.entry(&mutant.file).or_default();
        match &ledger.verdicts[number] {
            Verdict::Unviable => continue,
            Verdict::Caught(stage, _) => caught[*stage] += 1,
            Verdict::Survived => survivors.push(&mutant.name),
        }
        *of += 1;
    }
    let of: usize = files.values().map(|(of, _)| of).sum();
    let caught: usize = files.values().flat_map(|(_, caught)| caught).sum();
    let percent = 100.0 * caught as f64 / of.max(1) as f64;
    let seconds = took.as_secs();
    println!("mutants: {caught} of {of} caught ({percent:.1} %), {seconds} s; caught by the");
    println!("mutants: {}:", STAGES.map(|(name, _)| name).join(", by the "));
    for (file, (of, caught)) in &files {
        let sum: usize = caught.iter().sum();
        println!("mutants:   {sum:>4} of {of:>4} {caught:?} {file}");
    }
    let mut unexplained = 0;
    let mut seen = BTreeSet::new();
    for name in survivors {
        let short = without_place(name);
        let why = known.get(&short).map_or("NO REASON", String::as_str);
        unexplained += usize::from(!known.contains_key(&short));
        seen.insert(short);
        println!("mutants: survives: {name}: {why}");
    }
    for gone in known.keys().filter(|it| whole && !seen.contains(*it)) {
        println!("mutants: caught now, remove it from {SURVIVORS}: {gone}");
    }
    match unexplained {
        0 => Ok(()),
        n => Err(format!("mutants: {n} survive; write tests, or their reasons into {SURVIVORS}")),
    }
}

/// survivors.txt: a mutant's name without line and column, then `#` and the reason.
fn known_survivors() -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(root().join(SURVIVORS))
        .map_err(|error| format!("mutants: {SURVIVORS}: {error}"))?;
    let pairs = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = pairs.filter_map(|line| line.split_once('#'));
    Ok(pairs.map(|(name, why)| (name.trim().to_owned(), why.trim().to_owned())).collect())
}

/// `path:line:column: what` without line and column, which change with every edit.
fn without_place(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(path), Some(_), Some(_), Some(what)) => format!("{path}:{what}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_known_by_its_file_and_its_change() {
        let name = "crates/a.rs:98:48: replace - with + in Kernel::f";
        assert_eq!(without_place(name), "crates/a.rs: replace - with + in Kernel::f");
    }

    #[test]
    fn verdicts_are_read_as_they_are_written() {
        for verdict in [Verdict::Unviable, Verdict::Caught(1, "a::b".into())] {
            assert_eq!(Verdict::parse(&verdict.to_string()), Some(verdict));
        }
        assert_eq!(Verdict::parse("survived"), None);
    }
}
