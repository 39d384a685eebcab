//! examples/keepalive.toml, the article's experiment: the same idle connection, kill -9 beside
//! power-off. What the clients' calls return, when, and each segment. T-54, T-40, P-1, P-2, P-6.

use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/keepalive.toml");
const SECOND: u64 = 1_000_000_000;

fn afterlife(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    command.arg("run").args(args).stdin(Stdio::null()).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The facts of a run, from its JSON.
fn facts() -> Vec<Value> {
    let name = format!("{}/keepalive-{}.json", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let output = afterlife(&["--json", &name, SCENARIO]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = std::fs::read_to_string(&name).expect("the JSON file");
    std::fs::remove_file(&name).expect("the test's own file");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn at(fact: &Value) -> u64 {
    fact["at"].as_u64().expect("each fact has its time")
}

/// "[F.] seq ack" of a segment.
fn told(fact: &Value) -> String {
    format!("[{}] {} {}", fact["flags"].as_str().unwrap_or(""), fact["seq"], fact["ack"])
}

#[test]
fn the_story_is_short_and_told_in_under_a_second() {
    // Two hours and eleven minutes of virtual time; the quickest of three, for a busy machine.
    let timed = || {
        let begun = Instant::now();
        (afterlife(&[SCENARIO]), begun.elapsed())
    };
    let (output, took) = [timed(), timed(), timed()].into_iter().min_by_key(|r| r.1).unwrap();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let story = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{story}{}", text(&output.stderr));
    assert!(story.lines().count() <= 30, "{story}");
    let steps = [
        "0 bytes unread → tcp_send_fin [F.]",
        "keepalive to a: nothing for 0.9 s, then poll → IN|OUT|RDHUP, read → 0, write → 1, write → EPIPE",
        "fault: the host loses its power",
        "probe [.], 0 unanswered",
        "probe [.], 8 unanswered",
        "tcp_send_active_reset [R.]: KeepaliveTimeout → tcp_write_err: given up after 7875s: ETIMEDOUT",
        "keepalive to b: nothing for 7875.0 s, then poll → IN|OUT|ERR|HUP|RDHUP, read → ETIMEDOUT, write → EPIPE, write → EPIPE",
        "digest ",
    ];
    // Long walks go on in the next line, at an arrow.
    let mut unfolded = String::new();
    for line in story.lines() {
        let next = line.trim_start();
        let (between, part) = if next.starts_with('→') { (" ", next) } else { ("\n", line) };
        unfolded = unfolded + between + part;
    }
    let mut rest = unfolded.as_str();
    for step in steps {
        let found = rest.find(step);
        rest = &rest[found.unwrap_or_else(|| panic!("{step:?} is not told in order:\n{story}"))..];
    }
}

#[test]
fn a_killed_server_says_fin_at_once_and_a_dark_one_nothing() {
    let facts = facts();
    let of = |server: &str| -> Vec<&Value> {
        let ours = |fact: &&Value| {
            fact["kind"] == "segment" && (fact["from"] == server || fact["to"] == server)
        };
        facts.iter().filter(ours).collect()
    };
    // P-1: the FIN leaves within a millisecond of the kill.
    let fin = of("10.0.0.1:7000").into_iter().find(|s| s["flags"] == "F.").expect("a FIN");
    assert!((SECOND..SECOND + SECOND / 1000).contains(&at(fin)), "{fin}");
    // P-2: after the power-off nothing comes from the dark host, and nothing goes to it before the
    // first probe. T-54: idle counts from the last segment received.
    let dark = of("10.0.0.2:7000");
    let last_heard = dark.iter().rfind(|s| s["from"] == "10.0.0.2:7000").expect("an answer");
    assert!(at(last_heard) < SECOND, "{last_heard}");
    let later: Vec<&&Value> = dark.iter().filter(|s| at(s) > SECOND).collect();
    assert_eq!(later.len(), 10, "nine probes and the reset: {later:?}");
    // "keepalive\n" took the numbers 1 to 10: a probe repeats the last of them, snd_una - 1.
    let (reset, probes) = later.split_last().expect("ten");
    for (n, probe) in probes.iter().enumerate() {
        let since = at(probe) - at(last_heard);
        let wanted = (7200 + 75 * n as u64) * SECOND;
        assert!((wanted..wanted + SECOND / 100).contains(&since), "probe {n} after {since} ns");
        assert_eq!((told(probe), &probe["len"]), ("[.] 10 1".to_owned(), &Value::from(0)));
    }
    let since = at(reset) - at(probes[0]);
    assert_eq!((told(reset), since), ("[R.] 11 1".to_owned(), 9 * 75 * SECOND));
}
