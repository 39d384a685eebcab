//! Fuzzing: each target is a function of bytes that panics when it finds something. libFuzzer runs
//! them without end (`cargo xtask fuzz`, `fuzz/`); ordinary tests run them over the kept corpus and
//! seeded mutations of it (`tests/corpus.rs`) and over random bytes (`tests/random_calls.rs`).
//!
//! Targets: [`scenario`] (a scenario file or a command line), [`tcp_input`] (a hostile peer, a
//! program and a clock around real sockets), [`syscalls`] (programs of arbitrary calls), [`elf`]
//! (exec of arbitrary bytes). They share [`choices`] (bytes as decisions) and [`onlookers`] (every
//! fact is rendered in every form).
#![forbid(unsafe_code)]

pub mod choices;
pub mod elf;
pub mod mutate;
pub mod onlookers;
pub mod peer;
pub mod puppet;
pub mod scenario;
mod scenes;
mod sensible;
pub mod syscalls;
pub mod tcp_input;

/// A target: panics at a finding.
pub type Target = fn(&[u8]);

/// All targets by the names of their corpora.
pub const TARGETS: [(&str, Target); 4] = [
    ("elf", elf::run),
    ("scenario", scenario::run),
    ("syscalls", syscalls::run),
    ("tcp_input", tcp_input::run),
];
