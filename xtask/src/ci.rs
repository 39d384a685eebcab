//! `cargo xtask ci`: every check in order, each announced and timed, stopping at the first failure.
//! Run by root, the tests and the guest programs run a second time as `nobody` without any
//! capability (see nobody.rs), because afterlife must not need privileges.

use crate::{generator, native, nobody, packetdrill, root, tidy, twin, yardstick};
use std::process::Command;
use std::time::Instant;

/// One step: its name and what it does.
type Step = (&'static str, fn() -> Result<(), String>);

const STEPS: &[Step] = &[
    ("format", format),
    ("clippy", || {
        cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
    }),
    ("tidy", tidy::run),
    ("documentation", documentation),
    ("tests", || cargo(&["test", "--quiet", "--workspace"])),
    ("tests as nobody", nobody::tests),
    ("guest programs on the real kernel as nobody", native_as_nobody),
    ("twin: the real kernel and afterlife", || twin::run("")),
    ("generator", || generator::run(&["--programs", "200", "--seconds", "60"])),
    ("Linux's own tests", yardstick::held),
    ("packetdrill", packetdrill::held),
];

/// Runs the steps whose names contain the filter, all for an empty one; the error names the step that
/// failed.
pub fn run(filter: &str) -> Result<(), String> {
    let began = Instant::now();
    let steps: Vec<&Step> = STEPS.iter().filter(|(name, _)| name.contains(filter)).collect();
    if steps.is_empty() {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "ci: no step contains `{filter}`; the steps are: {}",
            names.join(", ")
        ));
    }
    for (number, (name, step)) in steps.iter().enumerate() {
        println!("ci: {}/{} {name}", number + 1, steps.len());
        let since = Instant::now();
        step().map_err(|why| format!("{why}\nci: `{name}` failed; nothing after it was run"))?;
        println!("ci: {name}: ok, {:.1} s", since.elapsed().as_secs_f64());
    }
    println!(
        "ci: {} of {} steps passed, {:.1} s",
        steps.len(),
        STEPS.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The fuzz targets are a workspace of their own (fuzz/Cargo.toml).
fn format() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
}

fn documentation() -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    finish(command)
}

fn native_as_nobody() -> Result<(), String> {
    match nobody::obstacle(&root()) {
        Some(why) => {
            println!("ci: skipped: {why}");
            Ok(())
        }
        None => native::run(&["--as-nobody"]),
    }
}

fn cargo(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.args(args);
    finish(command)
}

/// Runs a command in the workspace's root; a failure is a sentence with the command line in it.
pub fn finish(mut command: Command) -> Result<(), String> {
    let line = format!("{command:?}").replace('"', "");
    match command.current_dir(root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("ci: `{line}` ended with {status}")),
        Err(error) => Err(format!("ci: `{line}` could not be started: {error}")),
    }
}
