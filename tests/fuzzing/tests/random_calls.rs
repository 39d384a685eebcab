//! Programs of random system calls with random arguments, in memory: the `syscalls` target on
//! random bytes. Beside the corpus this reaches calls that nobody thought of keeping.

use fuzzing::mutate::Draw;
use fuzzing::syscalls::history;
use kernel::syscall::table;
use std::collections::BTreeSet;

/// How many inputs; raise it to search.
const INPUTS: u64 = 400;
/// Bytes of one input: a few hundred calls.
const LEN: usize = 3000;

#[test]
fn random_calls_are_answered_and_repeat() {
    let (mut calls, mut succeeded) = (0, BTreeSet::new());
    for seed in 1..=INPUTS {
        let bytes = Draw::new(seed).bytes(LEN);
        eprintln!("seed {seed}");
        let history = history(&bytes);
        calls += history.calls;
        succeeded.extend(history.succeeded);
    }
    let never = (0..table::TABLE_LEN as u64).filter_map(table::row);
    let never = never.filter(|row| !succeeded.contains(&row.nr));
    let never: Vec<&str> = never.map(|row| row.name).collect();
    eprintln!("without a success: {}", never.join(", "));
    eprintln!("{calls} calls");
    // Programs that all die at their first call would find nothing.
    assert!(calls > 20 * INPUTS as usize, "{calls} calls in {INPUTS} inputs");
}
