//! Statically linked programs, which bring no libc of the machine: one by Go's compiler (its own
//! runtime: threads, futexes, epoll, SIGURG), one by musl-gcc. Their sources are in `static/`; each is
//! compiled here, and each of its parts gives natively and in afterlife the same output and exit
//! status, and the same digest when it runs again. Without the compiler its tests are ignored, and
//! the kind in brackets says why.

#[path = "common/signals.rs"]
mod signals;

use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const STATIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/static");

/// One compiler with its program.
struct Language {
    name: &'static str,
    compilers: &'static [&'static str],
    options: &'static [&'static str],
    source: &'static str,
    parts: &'static [&'static str],
    /// Compiled once, by the first trial that needs it.
    program: OnceLock<Result<PathBuf, String>>,
}

static LANGUAGES: [Language; 2] = [
    Language {
        name: "go",
        compilers: &["/usr/bin/go", "/usr/local/go/bin/go", "/usr/lib/go-1.19/bin/go"],
        options: &["build", "-ldflags", "-s -w"],
        source: "visitor.go",
        parts: &[
            "goroutines",
            "garbage",
            "preemption",
            "loopback",
            "commands",
            "signals",
            "timers",
        ],
        program: OnceLock::new(),
    },
    Language {
        name: "musl",
        compilers: &["/usr/bin/musl-gcc"],
        options: &["-static", "-O1"],
        source: "visitor.c",
        parts: &["threads", "children", "signals", "sockets", "files"],
        program: OnceLock::new(),
    },
];

/// The test's own directory: programs, the compiler's cache, facts.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("static-{}", std::process::id()))
}

impl Language {
    fn compiler(&self) -> Option<&'static str> {
        self.compilers.iter().copied().find(|path| Path::new(path).exists())
    }

    fn program(&'static self) -> Result<&'static Path, Failed> {
        let program = self.program.get_or_init(|| self.compile());
        program.as_deref().map_err(|why| why.clone().into())
    }

    fn compile(&self) -> Result<PathBuf, String> {
        let (dir, program) = (directory(), directory().join(self.name));
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut command = Command::new(self.compiler().unwrap_or_default());
        command.args(self.options).arg("-o").arg(&program).arg(self.source).current_dir(STATIC);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &dir);
        command.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOCACHE", dir.join("cache"));
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|e| format!("cannot start {command:?}: {e}"))?;
        if output.status.success() { Ok(program) } else { Err(shown(&output)) }
    }
}

/// What both sides start from: nothing of the caller's environment.
fn run(program: &Path, args: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(program);
    command.args(args).env_clear().current_dir(STATIC).stdin(Stdio::null());
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/tmp").env("LC_ALL", "C");
    command.output().map_err(|e| format!("cannot start {command:?}: {e}").into())
}

/// Runs a part in afterlife; what came out, and the end object of its facts.
fn inside(program: &Path, part: &str) -> Result<(Output, String), Failed> {
    let json = program.with_extension(format!("{part}.json"));
    let (path, program) = (json.display().to_string(), program.display().to_string());
    let args = ["run", "--json", &path, "--", &program, part];
    let output = run(Path::new(env!("CARGO_BIN_EXE_afterlife")), &args)?;
    let facts = fs::read_to_string(&json).map_err(|e| format!("{path}: {e}"))?;
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

fn compare(language: &'static Language, part: &str) -> Result<(), Failed> {
    let program = language.program()?;
    let native = run(program, &[part])?;
    let (first, end) = inside(program, part)?;
    // A death by signal n is 128 + n for whoever runs `afterlife`.
    let wanted = native.status.code().or_else(|| native.status.signal().map(|s| 128 + s));
    let same = native.stdout == first.stdout
        && native.stderr == first.stderr
        && wanted == first.status.code();
    if !same || first.stdout.is_empty() {
        return Err(format!("natively: {}\nin afterlife: {}", shown(&native), shown(&first)).into());
    }
    if !end.contains("\"kind\":\"end\"") || !end.contains("\"deterministic\":true") {
        return Err(format!("the run does not end deterministic: {end}").into());
    }
    let (_, again) = inside(program, part)?;
    if end != again {
        return Err(format!("two runs differ:\n{end}\n{again}").into());
    }
    Ok(())
}

fn main() {
    let arguments = Arguments::from_args();
    signals::start_children_with_default_signals();
    let parts = LANGUAGES.iter().flat_map(|l| l.parts.iter().map(move |part| (l, *part)));
    let trials = parts.map(|(language, part)| {
        let trial =
            Trial::test(format!("{} {part}", language.name), move || compare(language, part));
        match language.compiler() {
            Some(_) => trial,
            None => {
                let why = format!("no {} here: not compiled, not run", language.compilers[0]);
                trial.with_kind(why).with_ignored_flag(true)
            }
        }
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Go writes its cache without leave to delete it in some versions: best effort.
    let _ = fs::remove_dir_all(directory());
    conclusion.exit();
}
