//! How runs end: interrupted, with nobody listening, with bad input, with a check that failed. The
//! files are whole in every case. And the same scenario is the same run on a busy machine.

#[path = "common/signals.rs"]
mod signals;

use pcap_file::pcapng::PcapNgReader;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/kill-9.toml");

/// A world that would go on for a day: a connection, and a shell that computes.
const LONG: &str = r#"
[[process]]
name = "server"
host = "a"
command = ["server", "7000", "1"]
[[process]]
name = "idle"
host = "b"
start = "100ms"
command = ["client", "a", "7000", "idle"]
[[process]]
name = "busy"
host = "a"
start = "1s"
command = ["/bin/sh", "-c", "echo on; while :; do n=$((n+1)); test $((n % 1000)) = 0 && echo $n; done"]
"#;

fn afterlife() -> Command {
    signals::start_children_with_default_signals();
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    command.arg("run").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A fresh directory of a test's own, with a scenario in it.
fn directory(name: &str, scenario: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&path).expect("a directory for the test");
    fs::write(path.join("s.toml"), scenario).expect("a scenario");
    path
}

/// Reads lines until one has `text` in it.
fn sees(lines: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "{text} does not come");
    }
}

/// The JSON file: every line an object with `at` and `kind`, the last one the end.
fn end_of(path: &Path) -> Value {
    let json = fs::read_to_string(path).expect("JSON");
    let objects: Vec<Value> =
        json.lines().map(|l| serde_json::from_str(l).expect("a whole object")).collect();
    for object in &objects {
        assert!(object["at"].is_u64() && object["kind"].is_string(), "{object}");
    }
    let end = objects.last().expect("an end").clone();
    assert_eq!(end["kind"], "end", "{end}");
    assert_eq!(end["digest"].as_str().map(str::len), Some(32), "{end}");
    end
}

/// The pcapng file: whole blocks only; how many.
fn blocks_of(path: &Path) -> usize {
    let file = fs::File::open(path).expect("pcap");
    let mut reader = PcapNgReader::new(file).expect("pcapng");
    let mut blocks = 0;
    while let Some(block) = reader.next_block() {
        block.expect("a whole block");
        blocks += 1;
    }
    blocks
}

fn signal(child: &Child, name: &str) {
    let line = format!("kill -{name} {}", child.id());
    assert!(Command::new("/bin/sh").args(["-c", &line]).status().expect("sh starts").success());
}

#[test]
fn an_interrupted_run_leaves_whole_files() {
    for (name, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let dir = directory(&format!("interrupted-{name}"), LONG);
        let (json, pcap) = (dir.join("x.json"), dir.join("x.pcap"));
        let mut run = afterlife();
        run.arg("--json").arg(&json).arg("--pcap").arg(&pcap).arg(dir.join("s.toml"));
        let mut child = run.spawn().expect("afterlife starts");
        let mut story = BufReader::new(child.stdout.take().expect("stdout"));
        sees(&mut story, "│ on");
        signal(&child, name);
        let mut rest = String::new();
        story.read_to_string(&mut rest).expect("the story");
        assert_eq!(child.wait().expect("it ends").code(), Some(status));
        assert!(rest.lines().any(|l| l.starts_with("digest ")), "{rest}");
        let end = end_of(&json);
        assert_eq!(end["reason"], "interrupted", "{end}");
        assert!(blocks_of(&pcap) > 3);
        fs::remove_dir_all(dir).expect("the test's own directory");
    }
}

#[test]
fn what_nohup_ignores_does_not_end_a_run() {
    let dir = directory("nohup", LONG);
    let mut run = Command::new("/bin/sh");
    let line = "trap '' HUP; exec \"$0\" run s.toml";
    run.args(["-c", line, env!("CARGO_BIN_EXE_afterlife")]).current_dir(&dir);
    let mut child = run.stdout(Stdio::piped()).spawn().expect("sh starts");
    let mut story = BufReader::new(child.stdout.take().expect("stdout"));
    sees(&mut story, "│ on");
    signal(&child, "HUP");
    signal(&child, "TERM");
    let mut rest = String::new();
    story.read_to_string(&mut rest).expect("the story");
    assert_eq!(child.wait().expect("it ends").code(), Some(143), "by SIGTERM: {rest}");
    fs::remove_dir_all(dir).expect("the test's own directory");
}

#[test]
fn an_interrupt_goes_to_the_command_and_a_second_one_ends_the_run() {
    // Once while it waits for input, once while it computes and does not care.
    let caught = "trap 'echo caught; exit 9' INT; echo on; read x";
    let deaf = "trap '' INT; echo on; while :; do n=$((n+1)); done";
    for (script, status) in [(caught, 9), (deaf, 130)] {
        let mut run = afterlife();
        run.args(["--", "/bin/sh", "-c", script]).stdin(Stdio::piped());
        let mut child = run.spawn().expect("afterlife starts");
        let keys = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().expect("stdout"));
        sees(&mut lines, "on");
        signal(&child, "INT");
        while script == deaf && child.try_wait().expect("a child").is_none() {
            signal(&child, "INT");
        }
        assert_eq!(child.wait().expect("it ends").code(), Some(status), "{script}");
        drop(keys);
    }
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let dir = directory("head", LONG);
    let mut child = afterlife().arg(dir.join("s.toml")).spawn().expect("afterlife starts");
    let mut story = BufReader::new(child.stdout.take().expect("stdout"));
    sees(&mut story, "starts");
    drop(story);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
    let mut command = afterlife();
    command.args(["--", "/bin/sh", "-c", "while :; do echo y; done"]);
    let mut child = command.spawn().expect("afterlife starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout"));
    sees(&mut lines, "y");
    drop(lines);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(141)));
    fs::remove_dir_all(dir).expect("the test's own directory");
}

fn run(scenario: &str, name: &str) -> (Output, String) {
    let dir = directory(name, scenario);
    let path = dir.join("s.toml");
    let output = afterlife().arg(&path).output().expect("afterlife starts");
    fs::remove_dir_all(dir).expect("the test's own directory");
    (output, path.display().to_string())
}

#[test]
fn bad_input_is_status_2_with_a_line_and_a_remedy() {
    let script = "[[process]]\nname = \"x\"\ncommand = [\"/bin/sh\", \"-c\", \"exit 3\"]\n";
    let cases = [
        ("[[process]]\ncomand = [\"x\"]\n".to_owned(), ":2: ", "did you mean \"command\"?"),
        (format!("{script}start = \"5\"\n"), ":4: ", "has no unit"),
        ("[[process]]\ncommand = [\"nosuch\"]\n".to_owned(), ":1: ", "is not in PATH="),
        ("[[process]]\ncommand = [\"/no/such\"]\n".to_owned(), ":1: ", "does not exist"),
        ("[[process]]\ncommand = [\"/etc/passwd\"]\n".to_owned(), ":1: ", "see chmod(1)"),
        (format!("{script}cwd = \"/nowhere\"\n"), ":1: ", "working directory /nowhere"),
        (format!("{script}user = \"nosuch\"\n"), ":1: ", "write user = \"UID:GID\""),
    ];
    for (n, (scenario, line, remedy)) in cases.into_iter().enumerate() {
        let (output, path) = run(&scenario, &format!("bad-{n}"));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{scenario}{error}");
        assert!(error.starts_with(&format!("afterlife: {path}{line}")), "{scenario}{error}");
        assert!(error.contains(remedy) && error.lines().count() == 1, "{scenario}{error}");
    }
}

#[test]
fn a_file_that_is_no_program_is_named_with_its_line() {
    let dir = directory("not-elf", "");
    let file = dir.join("notes");
    fs::write(&file, "some notes\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&file, mode).expect("its mode");
    let (output, path) = run(&format!("[[process]]\ncommand = [{file:?}]\n"), "not-elf-run");
    let error = text(&output.stderr);
    assert!(error.starts_with(&format!("afterlife: {path}:1: notes cannot be started")), "{error}");
    assert!(error.contains("neither an ELF program for x86-64 nor a script"), "{error}");
    assert_eq!(output.status.code(), Some(2));
    fs::remove_dir_all(dir).expect("the test's own directory");
}

#[test]
fn a_failed_check_is_status_1_with_the_command_that_replays_it() {
    let scenario = "[[process]]\nname = \"x\"\ncommand = [\"/bin/sh\", \"-c\", \"exit 3\"]\n\
                    [[check]]\nexits = { process = \"x\", status = 0 }\n";
    let (output, path) = run(scenario, "check");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    let lines: Vec<&str> = error.lines().collect();
    let [failed, replay] = lines[..] else { panic!("{error}") };
    assert!(failed.starts_with(&format!("{path}:4: check failed: x was to exit")), "{failed}");
    assert!(replay.ends_with(&format!("afterlife run --seed 1 {path}")), "{replay}");
}

#[test]
fn json_can_go_to_standard_output() {
    let output = afterlife().args(["--json", "-", SCENARIO]).output().expect("afterlife starts");
    let lines = text(&output.stdout);
    assert!(lines.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()), "{lines}");
    assert!(lines.lines().last().expect("an end").contains("\"kind\":\"end\""));
    assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(0)));
}

#[test]
fn a_command_that_cannot_end_is_status_124_with_a_sentence() {
    for (command, sentence) in
        [("sleep infinity", "can never happen"), ("while :; do sleep 1; done", "--until TIME")]
    {
        let mut run = afterlife();
        run.args(["--until", "10s", "--", "/bin/sh", "-c", command]);
        let output = run.output().expect("afterlife starts");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(124), "{command}: {error}");
        assert!(error.contains(sentence) && error.lines().count() == 1, "{command}: {error}");
    }
}

#[test]
fn what_a_command_leaves_running_may_finish_but_not_for_ever() {
    let script = |line: &str| {
        let output = afterlife().args(["--", "/bin/sh", "-c", line]).output().expect("it starts");
        (text(&output.stdout), output.status.code())
    };
    assert_eq!(script("(sleep 1; echo late) & exit 3"), ("late\n".to_owned(), Some(3)));
    assert_eq!(script("while :; do n=$((n+1)); done & echo on"), ("on\n".to_owned(), Some(0)));
}

#[test]
fn input_is_told_as_it_came() {
    let dir = directory("input", "");
    let json = dir.join("x.json");
    let mut run = afterlife();
    run.arg("--json").arg(&json).args(["--", "/bin/sh", "-c", "read x; echo got $x"]);
    let mut child = run.stdin(Stdio::piped()).spawn().expect("afterlife starts");
    let mut stdin = child.stdin.take().expect("stdin");
    std::io::Write::write_all(&mut stdin, b"line\n").expect("a pipe");
    drop(stdin);
    assert_eq!(text(&child.wait_with_output().expect("it ends").stdout), "got line\n");
    let told = fs::read_to_string(&json).expect("JSON");
    assert!(told.contains(r#""kind":"input","host":"a","len":5,"text":"line\n"}"#), "{told}");
    assert_eq!(end_of(&json)["deterministic"], true);
    fs::remove_dir_all(dir).expect("the test's own directory");
}

#[test]
fn ten_runs_on_a_busy_machine_are_the_same_run_as_on_a_quiet_one() {
    let dir = directory("ten", "");
    let busy = AtomicBool::new(true);
    let run = |seed: &str| {
        let (json, pcap) = (dir.join("x.json"), dir.join("x.pcap"));
        let mut run = afterlife();
        run.args(["--seed", seed, SCENARIO]).arg("--json").arg(&json).arg("--pcap").arg(&pcap);
        let story = run.output().expect("afterlife starts").stdout;
        let digest = end_of(&json)["digest"].as_str().map(str::to_owned);
        (digest, story, fs::read(json).expect("JSON"), fs::read(pcap).expect("pcap"))
    };
    let first = run("1");
    assert!((1..5).all(|_| run("1") == first), "two runs of one seed differ");
    assert_ne!(first.0, run("2").0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let same = (0..10).all(|_| run("1") == first);
        busy.store(false, Ordering::Relaxed);
        assert!(same, "two runs of one seed differ on a busy machine");
    });
    fs::remove_dir_all(dir).expect("the test's own directory");
}
