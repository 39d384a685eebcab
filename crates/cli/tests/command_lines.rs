//! Command lines that behave in afterlife as natively: output and exit status, each compared on the
//! spot with the same line on the machine that runs the test. The lines are in `command_lines.txt`;
//! a line whose interpreter is not installed here is not run. One test a line (libtest-mimic, the
//! maintained stand-in for libtest's own harness with tests made at run time).

#[path = "common/signals.rs"]
mod signals;

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What both sides start from: nothing of the caller's environment.
fn environment(command: &mut Command) {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/tmp")
        .env("LC_ALL", "C")
        .current_dir("/tmp")
        .stdin(Stdio::null());
}

fn run(mut command: Command) -> Result<Output, Failed> {
    environment(&mut command);
    command.output().map_err(|e| format!("cannot start {command:?}: {e}").into())
}

fn shown(output: &Output) -> String {
    format!(
        "status {:?}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn compare(shell: &str, line: &str) -> Result<(), Failed> {
    let mut native = Command::new(shell);
    native.args(["-c", line]);
    let mut inside = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    inside.args(["run", "--", shell, "-c", line]);
    let (native, inside) = (run(native)?, run(inside)?);
    // A shell that dies by signal n is 128 + n for whoever runs `afterlife`.
    let wanted = native
        .status
        .code()
        .or_else(|| std::os::unix::process::ExitStatusExt::signal(&native.status).map(|s| 128 + s));
    let same = native.stdout == inside.stdout
        && comparable(&native.stderr) == comparable(&inside.stderr)
        && wanted == inside.status.code();
    if same {
        return Ok(());
    }
    Err(format!("natively: {}\nin afterlife: {}", shown(&native), shown(&inside)).into())
}

/// Error output without the numbers of processes, which differ of course, and without the blanks
/// with which bash pads them.
fn comparable(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let is_number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let words = text.split_ascii_whitespace().map(|w| if is_number(w) { "NUMBER" } else { w });
    words.collect::<Vec<_>>().join(" ")
}

/// The program of a line that is not part of every system, if it is not installed here. (A `sleep
/// 1000` that no `/bin/kill` kills would be waited for.)
fn missing(line: &str) -> Option<&str> {
    let mut words = line.split([' ', ';', '|', '(', ')', '`']);
    words.find(|word| {
        let installed = |path: &str| Path::new(path).exists();
        match *word {
            "musl-gcc" | "busybox" | "perl" => !installed(&format!("/usr/bin/{word}")),
            path => path.starts_with("/bin/") && !installed(path),
        }
    })
}

fn main() {
    let arguments = Arguments::from_args();
    signals::start_children_with_default_signals();
    let lines = include_str!("command_lines.txt").lines();
    let trials = lines.filter(|l| !l.is_empty() && !l.starts_with('#')).filter_map(|line| {
        let (shell, line) = match line.strip_prefix('@') {
            Some(rest) => ("/bin/sh", rest),
            None => ("/bin/bash", line),
        };
        Path::new(shell).exists().then(|| {
            let trial = Trial::test(format!("{shell} -c '{line}'"), move || compare(shell, line));
            match missing(line) {
                Some(program) => {
                    trial.with_kind(format!("no {program} here")).with_ignored_flag(true)
                }
                None => trial,
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
