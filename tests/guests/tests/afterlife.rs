//! Every case of every guest program, run in afterlife: `afterlife run -- PROGRAM CASE`. A case passes
//! when it says "ok CASE" and exits with 0, as on the real kernel (`cargo xtask native`). One case, one test.
//!
//! `not-yet.txt` lists the cases that afterlife doesn't pass yet, each with its reason. A listed case
//! that passes fails here, so that the list only shrinks.

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The real time that a case may take; in afterlife, time is virtual and no case waits.
const LIMIT: Duration = Duration::from_secs(60);

/// The guest programs of this package.
const PROGRAMS: &[&str] = &[
    env!("CARGO_BIN_EXE_capabilities"),
    env!("CARGO_BIN_EXE_attributes"),
    env!("CARGO_BIN_EXE_cgroups"),
    env!("CARGO_BIN_EXE_closing"),
    env!("CARGO_BIN_EXE_dying"),
    env!("CARGO_BIN_EXE_exit"),
    env!("CARGO_BIN_EXE_fates"),
    env!("CARGO_BIN_EXE_fds"),
    env!("CARGO_BIN_EXE_frames"),
    env!("CARGO_BIN_EXE_freezing"),
    env!("CARGO_BIN_EXE_groups"),
    env!("CARGO_BIN_EXE_halves"),
    env!("CARGO_BIN_EXE_futexes"),
    env!("CARGO_BIN_EXE_handlers"),
    env!("CARGO_BIN_EXE_inet6"),
    env!("CARGO_BIN_EXE_inotify"),
    env!("CARGO_BIN_EXE_leases"),
    env!("CARGO_BIN_EXE_locals"),
    env!("CARGO_BIN_EXE_mappings"),
    env!("CARGO_BIN_EXE_memory"),
    env!("CARGO_BIN_EXE_messages"),
    env!("CARGO_BIN_EXE_mounts"),
    env!("CARGO_BIN_EXE_mqueues"),
    env!("CARGO_BIN_EXE_names"),
    env!("CARGO_BIN_EXE_namespaces"),
    env!("CARGO_BIN_EXE_options"),
    env!("CARGO_BIN_EXE_orphans"),
    env!("CARGO_BIN_EXE_ptys"),
    env!("CARGO_BIN_EXE_segments"),
    env!("CARGO_BIN_EXE_semaphores"),
    env!("CARGO_BIN_EXE_settings"),
    env!("CARGO_BIN_EXE_sharing"),
    env!("CARGO_BIN_EXE_signals"),
    env!("CARGO_BIN_EXE_splicing"),
    env!("CARGO_BIN_EXE_stops"),
    env!("CARGO_BIN_EXE_subtrees"),
    env!("CARGO_BIN_EXE_tcp"),
    env!("CARGO_BIN_EXE_threads"),
    env!("CARGO_BIN_EXE_timestamps"),
    env!("CARGO_BIN_EXE_tree"),
    env!("CARGO_BIN_EXE_users"),
    env!("CARGO_BIN_EXE_waiting"),
    env!("CARGO_BIN_EXE_walk"),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let not_yet = not_yet();
    let mut known = BTreeSet::new();
    let mut trials = vec![];
    for program in PROGRAMS.iter().map(Path::new) {
        for case in cases(program) {
            let name = format!("{}::{case}", stem(program));
            let expected = !not_yet.contains(&name);
            known.insert(name.clone());
            trials.push(Trial::test(name, move || run(program, &case, expected)));
        }
    }
    let gone: Vec<String> = not_yet.difference(&known).cloned().collect();
    trials.push(Trial::test("not_yet_lists_only_cases_that_exist", move || {
        if gone.is_empty() { Ok(()) } else { Err(format!("not-yet.txt lists {gone:?}").into()) }
    }));
    trials
}

fn stem(program: &Path) -> String {
    program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The names in not-yet.txt: `program::case`, then `#` and the reason.
fn not_yet() -> BTreeSet<String> {
    let names = include_str!("../not-yet.txt").lines().map(|line| line.split('#').next());
    names.flatten().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The cases of a program; listing them needs no kernel of ours.
fn cases(program: &Path) -> Vec<String> {
    let output = Command::new(program).arg("--list").output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    text.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Runs one case and compares with what is expected of it.
fn run(program: &Path, case: &str, expected: bool) -> Result<(), Failed> {
    match (attempt(program, case), expected) {
        (Ok(()), true) | (Err(_), false) => Ok(()),
        (Ok(()), false) => Err("it passes now: remove it from tests/guests/not-yet.txt".into()),
        (Err(why), true) => Err(why.into()),
    }
}

fn attempt(program: &Path, case: &str) -> Result<(), String> {
    let afterlife = afterlife()?;
    let mut command = Command::new(&afterlife);
    command.args(["run", "--"]).arg(program).arg(case);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", afterlife.display()))?;
    let began = Instant::now();
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(_) => break,
            None if began.elapsed() > LIMIT => {
                let _ = child.kill();
                return Err(format!("still running after {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stdout).lines().any(|it| it == format!("ok {case}"));
    if output.status.success() && told {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let again = format!("{} run -- {} {case}", afterlife.display(), program.display());
    Err(format!("{}\n{}\nagain: {again}", output.status, said.trim()))
}

/// The command, which cargo puts beside the guest programs.
fn afterlife() -> Result<PathBuf, String> {
    let path = Path::new(PROGRAMS[0]).with_file_name("afterlife");
    if path.exists() {
        return Ok(path);
    }
    Err(format!("there is no {}; run `cargo build --workspace` first", path.display()))
}
