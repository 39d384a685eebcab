//! A command on a terminal. script(1) makes one: what is typed goes in by its stdin, what the screen
//! shows comes out by its stdout. Each test types only once it has read what it waits for. Where
//! script is not installed, or finds no terminal to give (a container without /dev/pts), there is
//! nothing to test with, and the test says so.

#[path = "common/signals.rs"]
mod signals;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const AFTERLIFE: &str = env!("CARGO_BIN_EXE_afterlife");
/// Longer than any machine needs: only a hang lasts so long.
const HANG: Duration = Duration::from_secs(20);

/// Somebody at a terminal.
struct Typist {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not looked at yet.
    shown: String,
}

impl Typist {
    /// Runs a shell command on a fresh terminal.
    fn at(command: &str) -> Option<Typist> {
        signals::start_children_with_default_signals();
        let works = Command::new("script")
            .args(["-q", "-e", "-c", "true", "/dev/null"])
            .stdin(Stdio::null())
            .output();
        if !works.is_ok_and(|output| output.status.success()) {
            println!("not tested: script(1) is not here, or there are no terminals (/dev/pts)");
            return None;
        }
        let mut script = Command::new("script");
        script
            .args(["-q", "-e", "-c", command, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("LC_ALL", "C");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = script.spawn().expect("script starts");
        let keys = child.stdin.take().expect("its stdin");
        let mut output = child.stdout.take().expect("its stdout");
        let (to, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut bytes) {
                if to.send(bytes[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Typist { child, keys, screen, shown: String::new() })
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Reads until `text` is shown; what came before it.
    fn sees(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            match self.screen.recv_timeout(HANG) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} is not shown, but {:?}", self.shown),
            }
        }
    }

    /// The command ends; its status.
    fn leaves(mut self) -> Option<i32> {
        let status = self.child.wait().expect("script ends");
        drop(self.keys);
        status.code()
    }
}

#[test]
fn the_terminal_echoes_and_edits_lines() {
    let Some(mut typist) = Typist::at(&format!("{AFTERLIFE} run -- sh -c 'echo begin; exec cat'"))
    else {
        return;
    };
    typist.sees("begin");
    // ^H of the terminal is DEL: the line discipline takes the z back.
    typist.types("helloz\x7f\n");
    typist.sees("helloz\x08 \x08\r\n");
    typist.sees("hello\r\n");
    typist.types("\x04");
    assert_eq!(typist.leaves(), Some(0));
}

/// A job that says when it is ready, with the default action for every key's signal from then on.
/// (bash's own subshell would lose a SIGINT between its look-up of a program and its execve: its
/// handler only notes it. strace's delays show the same loss on real Linux.)
const JOB: &str = "sh -c 'echo re\"\"ady; exec sleep 100'\n";

#[test]
fn ctrl_c_kills_the_foreground_job_and_not_its_shell() {
    let Some(mut typist) =
        Typist::at(&format!("exec env PS1='$ ' {AFTERLIFE} run -- bash --norc --noediting -i"))
    else {
        return;
    };
    let greeting = typist.sees("$ ");
    assert!(!greeting.contains("job control"), "{greeting}");
    // The echo of a command must not be taken for its output.
    typist.types(JOB);
    typist.sees("ready");
    typist.types("\x03");
    typist.sees("$ ");
    typist.types("echo st''atus=$?\n");
    typist.sees("status=130");
    typist.types("exit 7\n");
    assert_eq!(typist.leaves(), Some(7));
}

#[test]
fn jobs_are_stopped_listed_and_continued() {
    let Some(mut typist) =
        Typist::at(&format!("exec env PS1='$ ' {AFTERLIFE} run -- bash --norc --noediting -i"))
    else {
        return;
    };
    typist.sees("$ ");
    typist.types(JOB);
    typist.sees("ready");
    typist.types("\x1a");
    typist.sees("Stopped");
    typist.types("bg\n");
    typist.sees("&");
    typist.types("jobs\n");
    typist.sees("Running");
    typist.types("kill %1; wait %1; echo st''atus=$?\n");
    typist.sees("status=143");
    // A background process that reads is stopped (SIGTTIN).
    typist.types("cat & wait $!; echo st''atus=$?; jobs\n");
    typist.sees("status=149");
    typist.sees("Stopped");
    typist.types("kill -9 %1; exit\n");
    typist.sees("exit");
    typist.types("exit\n");
    typist.leaves();
}

#[test]
fn settings_reach_the_terminal_and_are_put_back() {
    for (end, status) in [("x", 0), ("\x03", 0)] {
        let inside = "stty raw -echo; stty -g; echo begin; head -c 1 >/dev/null";
        let outer = format!("stty -g; {AFTERLIFE} run -- sh -c '{inside}'; stty -g; echo done");
        let Some(mut typist) = Typist::at(&outer) else { return };
        let shown = typist.sees("begin");
        // In raw mode ^C is a byte like any other, and nothing is echoed.
        typist.types(end);
        let rest = typist.sees("done");
        let settings: Vec<&str> =
            shown.lines().chain(rest.lines()).map(str::trim).filter(|l| l.contains(':')).collect();
        let [before, raw, after] = settings[..] else { panic!("{shown}{rest}") };
        assert_eq!(before, after);
        assert_ne!(before, raw);
        assert_eq!(typist.leaves(), Some(status));
    }
}

#[test]
fn time_is_real_once_somebody_types() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("terminal-{}.json", std::process::id()));
    let run = format!("{AFTERLIFE} run --json {} --", path.display());
    let begun = Instant::now();
    // Without input the world is its own: an hour passes at once.
    let Some(typist) = Typist::at(&format!("{run} sleep 3600")) else { return };
    assert_eq!(typist.leaves(), Some(0));
    assert!(begun.elapsed() < HANG, "{:?}", begun.elapsed());
    let end = || {
        let json = std::fs::read_to_string(&path).expect("JSON");
        json.lines().last().expect("an end").to_owned()
    };
    assert!(end().contains("\"deterministic\":true"), "{}", end());
    let begun = Instant::now();
    let Some(typist) = Typist::at(&format!("{run} bash -c 'read -t 1 x; test $? = 142; sleep 1'"))
    else {
        return;
    };
    assert_eq!(typist.leaves(), Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(end().contains("\"deterministic\":false"), "{}", end());
    assert!(end().contains("\"because\":\"input comes from a terminal\""), "{}", end());
    std::fs::remove_file(path).expect("the test's own file");
}
