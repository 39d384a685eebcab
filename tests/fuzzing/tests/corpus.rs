//! The bounded run of every fuzz target in `.ci/run`, on stable Rust and without libFuzzer: each
//! file of the kept corpus (`fuzz/corpus`, which holds every input that ever was a finding), then
//! seeded mutations of them. `cargo xtask fuzz` is the search without end.

use fuzzing::mutate::{Draw, mutate};
use fuzzing::{TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Mutations of one corpus. A count, not a time: the run is the same on any machine.
const MUTATIONS: usize = 300;

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&path).expect("every target has its corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).expect("a file that was listed"));
    paths.into_iter().map(read).collect()
}

/// Runs one input; a panic keeps its message and gets a line that says what the input was.
fn run(target: Target, bytes: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        eprintln!("the input was {what}: {}", bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn replay(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "the corpus of {name} is empty");
    for (path, bytes) in &corpus {
        run(target, bytes, &path.display().to_string());
    }
    let mut draw = Draw::new(1);
    for number in 0..MUTATIONS {
        let (path, bytes) = &corpus[draw.next(corpus.len())];
        let (_, other) = &corpus[draw.next(corpus.len())];
        let what = format!("mutation {number}, of {}", path.display());
        run(target, &mutate(&mut draw, bytes, other), &what);
    }
}

#[test]
fn elf_files_are_refused_or_die() {
    replay("elf");
}

#[test]
fn scenarios_are_refused_in_sentences_or_run() {
    replay("scenario");
}

#[test]
fn arbitrary_calls_are_answered_and_repeat() {
    replay("syscalls");
}

#[test]
fn no_segment_call_or_timer_breaks_tcp() {
    replay("tcp_input");
}
