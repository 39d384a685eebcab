//! libFuzzer's door to the target of the same name: `cargo fuzz run syscalls`, or all of them by
//! `cargo xtask fuzz`. The target itself is in tests/fuzzing, where ordinary tests run it too.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::syscalls::run(bytes));
