//! The developers' commands: `cargo xtask ci`, `tidy`, `native`, `twin`, `generator`, `fuzz`,
//! `mutants`, `throughput`, `full`, `bench`, `yardstick`, `packetdrill`.
//! `ci` is what `.ci/run` runs and stops at the first step that fails; `tidy` reads the sources
//! and holds the rules of CONTRIBUTING.md; `native` runs the guest programs on the real kernel.

mod bench;
mod ci;
mod copy;
mod full;
mod fuzz;
mod generator;
mod mutants;
mod native;
mod nobody;
mod packetdrill;
#[path = "../../crates/cli/tests/common/signals.rs"]
mod signals;
mod throughput;
mod tidy;
mod twin;
mod yardstick;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask COMMAND
  ci [FILTER]                every check that a change must pass, in order, timed; or only the
                             steps whose name contains FILTER
  tidy                       read the sources: lengths, heads, words, imports, the article's table
  native [--as-nobody] [--times N] [FILTER]
                             run the guest programs of tests/guests on the real kernel
  twin [FILTER]              the same programs on the real kernel and here: every case of tests/guests
                             by output and exit status (PROGRAM::CASE), and hosts that talk by the
                             segments on the wire (wire::example, wire::matrix, wire::silences)
  generator [--programs N] [--seed S] [--times N] [--seconds N] [--planted [FAULT]] [--print | --program N | FILE]
                             random programs of system calls on both sides, compared call by call; with
                             --planted, faults that it has to find; or one file, side by side
  fuzz [--seconds N] [TARGET]
                             every fuzz target for N seconds (600), from the kept corpus on
  mutants [--resume] [--quick] [FILTER]
                             mutation testing: which changes of the sources no test notices
  throughput [FILTER]        a gibibyte over 10 Gbit/s, near, far and with loss, on the real kernel (as
                             root, with /dev/net/tun) and here: virtual time and memory
  full [--resume] [PART]     what is too long for every change: mutants, fuzz, twin, generator,
                             throughput; writes docs/full.md
  syscalls                   write docs/syscalls.md from the kernel's table
  bench [FILTER]             what a call, a start, a transfer, a death … cost, here and natively
  yardstick [--hold] [FILTER]
                             Linux's own tests (nolibc-test, kselftests) on the real kernel and here,
                             compared; --hold keeps what passes in xtask/src/yardstick/held.txt
  packetdrill [FILTER]       packetdrill's scripts on the real kernel and on our TCP (PACKETDRILL names the
                             program, PACKETDRILL_SCRIPTS more directories with scripts)";

fn main() -> ExitCode {
    signals::start_children_with_default_signals();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["ci"] => ci::run(""),
        ["ci", filter] => ci::run(filter),
        ["tidy"] => tidy::run(),
        ["twin"] => twin::run(""),
        ["twin", filter] => twin::run(filter),
        ["bench"] => bench::run(""),
        ["bench", filter] => bench::run(filter),
        ["syscalls"] => syscalls(),
        ["throughput"] => throughput::run(""),
        ["throughput", filter] => throughput::run(filter),
        ["full", rest @ ..] => full::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["mutants", rest @ ..] => mutants::run(rest),
        ["yardstick", rest @ ..] => yardstick::run(rest),
        ["packetdrill"] => packetdrill::run(""),
        ["packetdrill", filter] => packetdrill::run(filter),
        ["generator", rest @ ..] => generator::run(rest),
        ["native", rest @ ..] => native::run(rest),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Writes docs/syscalls.md.
fn syscalls() -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "-p", "afterlife-kernel", "--example", "syscalls"]);
    let output = cargo.current_dir(root()).output().map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("syscalls: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let path = root().join("docs/syscalls.md");
    std::fs::write(&path, output.stdout).map_err(|e| format!("{}: {e}", path.display()))
}

/// The workspace's root: the directory above this package.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
