//! The command as a file. Cargo builds a package's binary for tests only where an integration test
//! asks for it; the guests' tests (tests/guests/tests/afterlife.rs) expect it beside their programs.

use std::path::Path;

#[test]
fn the_command_is_built_with_the_tests() {
    assert!(Path::new(env!("CARGO_BIN_EXE_afterlife")).exists());
}
