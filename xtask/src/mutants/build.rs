//! The copy of the sources in which mutants live, and building the test programs of it. What the
//! compiler refuses is traced to the arm that it stands in.

use super::schemata::{Mutant, Schemata, weave};
use super::trial::Program;
use crate::{copy, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the woven functions ask. Only the copy has it: the kernel itself has no globals.
const LIVING_MUTANT: &str = "
/// The number of the mutant that is alive.
pub fn living_mutant() -> usize {
    static NUMBER: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {
        std::env::var(\"AFTERLIFE_MUTANT\").ok().and_then(|it| it.parse().ok()).unwrap_or(0)
    });
    *NUMBER
}
";
/// The crate whose mutants we test.
const KERNEL: &str = "crates/kernel/src/lib.rs";

/// The copy.
pub struct Tree {
    directory: PathBuf,
    /// The sources that have mutants, as they were when the copy was made.
    pub texts: BTreeMap<String, String>,
}

/// Lines at which the compiler found errors: path from the root, line.
pub type Errors = BTreeSet<(String, usize)>;

impl Tree {
    /// Copies what git tracks; a file that is the same already is not touched, for cargo's sake.
    pub fn copy(mutants: &BTreeMap<usize, Mutant>) -> Result<Tree, String> {
        let directory = root().join("target/mutants/tree");
        let tree = Tree { directory, texts: sources(mutants)? };
        let listed = copy::tracked()?;
        for name in &listed {
            // Listed and gone: a deletion that is not committed.
            let Ok(bytes) = std::fs::read(root().join(name)) else { continue };
            if name == KERNEL {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                tree.write(name, (text + LIVING_MUTANT).as_bytes())?;
            } else {
                tree.write(name, &bytes)?;
            }
        }
        // A test that moved away is a test no more.
        let kept: BTreeSet<PathBuf> = listed.iter().map(|it| tree.directory.join(it)).collect();
        for room in ["crates", "tests"] {
            remove_others(&tree.directory.join(room), &kept);
        }
        Ok(tree)
    }

    /// Writes a file if it differs.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        copy::write(&self.directory.join(name), bytes)
    }

    /// Builds the test programs that `cargo test ARGUMENTS` would run.
    pub fn build(&self, arguments: &[&str]) -> Result<Result<Vec<Program>, Errors>, String> {
        self.build_in("target", "1", arguments)
    }

    /// The same for one mutant, where building takes longer than running.
    pub fn build_alone(&self, arguments: &[&str]) -> Result<Result<Vec<Program>, Errors>, String> {
        self.build_in("target/alone", "0", arguments)
    }

    fn build_in(
        &self,
        target: &str,
        optimized: &str,
        arguments: &[&str],
    ) -> Result<Result<Vec<Program>, Errors>, String> {
        let cargo = |subcommand: &[&str], arguments: &[&str]| {
            let mut cargo = Command::new("cargo");
            cargo.env("CARGO_PROFILE_MUTANTS_OPT_LEVEL", optimized);
            cargo.args(subcommand).args(["--quiet", "--message-format=json", "--profile=mutants"]);
            cargo.args(arguments).current_dir(&self.directory);
            cargo.env("CARGO_TARGET_DIR", self.directory.join(target));
            cargo.env("RUSTFLAGS", "--cap-lints=allow");
            cargo.output().map_err(|error| format!("cargo: {error}"))
        };
        let mut output = cargo(&["test", "--no-run"], arguments)?;
        if output.status.success() && arguments.contains(&"--test=afterlife") {
            // The tests of guest programs start the command, which is of another package than they.
            let tests = output.stdout;
            output = cargo(&["build"], &["--package=afterlife", "--bins"])?;
            output.stdout.extend(tests);
        }
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages: Vec<Value> =
            lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if output.status.success() {
            return Ok(Ok(messages.iter().filter_map(test_program).collect()));
        }
        let errors: Errors = messages.iter().flat_map(places).collect();
        if errors.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("mutants: the copy does not build: {said}"));
        }
        Ok(Err(errors))
    }

    /// Weaves all mutants into the copy, and drops those that the compiler refuses until the rest
    /// builds. Says which ones live.
    pub fn weave(
        &self,
        mutants: &BTreeMap<usize, Mutant>,
        arguments: &[&str],
    ) -> Result<(BTreeSet<usize>, Refused), String> {
        let mut refused = Refused::default();
        loop {
            let mut woven: BTreeMap<&str, Schemata> = BTreeMap::new();
            for (file, text) in &self.texts {
                let of_file: Vec<(usize, &Mutant)> = mutants
                    .iter()
                    .filter(|(n, m)| m.file == *file && !refused.has(**n))
                    .map(|(n, m)| (*n, m))
                    .collect();
                let schemata = weave(text, &of_file);
                self.write(file, schemata.text.as_bytes())?;
                woven.insert(file, schemata);
            }
            let errors = match self.build(arguments)? {
                Ok(_) => {
                    let arms = woven.values().flat_map(|it| it.arms.keys().copied());
                    return Ok((arms.collect(), refused));
                }
                Err(errors) => errors,
            };
            let before = refused.by_the_arm.len() + refused.with_others.len();
            for (file, line) in &errors {
                let Some(schemata) = woven.get(file.as_str()) else { continue };
                if let Some((n, _)) = schemata.arms.iter().find(|(_, arm)| arm.contains(line)) {
                    refused.by_the_arm.insert(*n);
                } else if let Some((_, all)) =
                    schemata.functions.iter().find(|(lines, _)| lines.contains(line))
                {
                    refused.with_others.extend(all);
                }
            }
            if refused.by_the_arm.len() + refused.with_others.len() == before {
                return Err(format!("mutants: the copy does not build: {errors:?}"));
            }
        }
    }
}

/// Removes the files below a directory that are not to be kept.
fn remove_others(directory: &Path, kept: &BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_others(&path, kept);
        } else if !kept.contains(&path) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Mutants that the compiler did not take.
#[derive(Default)]
pub struct Refused {
    /// The error is in the mutant's own arm: it is no program.
    pub by_the_arm: BTreeSet<usize>,
    /// Something else in the function broke: perhaps it builds alone.
    pub with_others: BTreeSet<usize>,
}

impl Refused {
    fn has(&self, number: usize) -> bool {
        self.by_the_arm.contains(&number) || self.with_others.contains(&number)
    }
}

/// The files that have mutants, with their text.
fn sources(mutants: &BTreeMap<usize, Mutant>) -> Result<BTreeMap<String, String>, String> {
    let files: BTreeSet<String> = mutants.values().map(|it| it.file.clone()).collect();
    let text = |file: &String| {
        let text = std::fs::read_to_string(root().join(file));
        text.map_err(|error| format!("mutants: {file}: {error}"))
    };
    files.into_iter().map(|file| text(&file).map(|it| (file, it))).collect()
}

fn test_program(message: &Value) -> Option<Program> {
    if !message["profile"]["test"].as_bool()? {
        return None;
    }
    let path = PathBuf::from(message["executable"].as_str()?);
    let package = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let bounded = !package.ends_with("tests/guests");
    Some(Program { path, package, bounded })
}

/// Where a message of the compiler sees an error.
fn places(message: &Value) -> Vec<(String, usize)> {
    if message["message"]["level"] != "error" {
        return Vec::new();
    }
    let spans = message["message"]["spans"].as_array().cloned().unwrap_or_default();
    let primary = spans.iter().filter(|span| span["is_primary"] == true);
    let place = |span: &Value| {
        let line = usize::try_from(span["line_start"].as_u64()?).ok()?;
        Some((span["file_name"].as_str()?.to_owned(), line))
    };
    primary.filter_map(place).collect()
}
