//! Python scripts that behave in afterlife as natively: output and exit status, each compared on
//! the spot with the same script on the machine that runs the test, and the same digest when it
//! runs again. The scripts are in `scripts/`; the neighbour `command_lines.rs` does the same for
//! lines of shell. One test per script and interpreter; without an interpreter they are not run,
//! and the test says so.

#[path = "common/signals.rs"]
mod signals;

use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Debian's own, and one built from source by pyenv (another libc use, other build options).
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "/root/.pyenv/versions/3.11.7/bin/python3"];

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");

/// What both sides start from: nothing of the caller's environment, and a directory that no other
/// test changes (`python3 -c` lists where it is: that is input, and the digest covers it).
fn run(program: &str, args: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(program);
    command.args(args).env_clear().current_dir(SCRIPTS).stdin(Stdio::null());
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/tmp").env("LC_ALL", "C");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.output().map_err(|e| format!("cannot start {command:?}: {e}").into())
}

/// Runs the script in afterlife; what came out, and the end object of its facts.
fn inside(python: &str, script: &str, json: &Path) -> Result<(Output, String), Failed> {
    let path = json.display().to_string();
    let args = ["run", "--json", &path, "--", python, script];
    let output = run(env!("CARGO_BIN_EXE_afterlife"), &args)?;
    let facts = fs::read_to_string(json).map_err(|e| format!("{path}: {e}"))?;
    fs::remove_file(json).map_err(|e| format!("{path}: {e}"))?;
    Ok((output, facts.lines().last().unwrap_or_default().to_owned()))
}

fn shown(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn compare(python: &str, script: &str, json: &Path) -> Result<(), Failed> {
    let native = run(python, &[script])?;
    let (first, end) = inside(python, script, json)?;
    // A death by signal n is 128 + n for whoever runs `afterlife`.
    let wanted = native.status.code().or_else(|| native.status.signal().map(|s| 128 + s));
    let same = native.stdout == first.stdout
        && native.stderr == first.stderr
        && wanted == first.status.code();
    if !same {
        return Err(format!("natively: {}\nin afterlife: {}", shown(&native), shown(&first)).into());
    }
    if !end.contains("\"kind\":\"end\"") || !end.contains("\"deterministic\":true") {
        return Err(format!("the run does not end deterministic: {end}").into());
    }
    let (_, again) = inside(python, script, json)?;
    if end != again {
        return Err(format!("two runs differ:\n{end}\n{again}").into());
    }
    Ok(())
}

fn scripts() -> Vec<PathBuf> {
    let entries = fs::read_dir(SCRIPTS).expect("the directory of scripts");
    let paths = entries.map(|e| e.expect("its entry").path());
    let mut scripts: Vec<PathBuf> =
        paths.filter(|p| p.extension().is_some_and(|e| e == "py")).collect();
    scripts.sort();
    scripts
}

fn main() {
    let arguments = Arguments::from_args();
    signals::start_children_with_default_signals();
    let mut trials = Vec::new();
    for (n, python) in PYTHONS.into_iter().enumerate() {
        if !Path::new(python).exists() {
            eprintln!("{python} is not installed here: the scripts are not run with it");
            continue;
        }
        for script in scripts() {
            let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let script = script.display().to_string();
            let json = format!("script-{n}-{name}-{}.json", std::process::id());
            let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join(json);
            trials.push(Trial::test(format!("{python} {name}.py"), move || {
                compare(python, &script, &json)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
