//! `examples/python.toml` and `examples/redis.toml`, with the machine's own python3 and redis-server:
//! their checks hold, what the clients are told after the kill -9 is what T-39 and T-40 say, and two
//! runs have the same digest. `kill-9.toml` and `keepalive.toml` are tested by `five_fates.rs` and
//! `keepalive.rs`. Without a program its test is ignored, and the kind in brackets says why.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::{Command, Stdio};

/// A scenario, the programs that it needs, and what its story must tell, in this order.
struct Example {
    name: &'static str,
    programs: &'static [&'static str],
    story: &'static [&'static str],
}

const EXAMPLES: [Example; 2] = [
    Example {
        name: "python.toml",
        programs: &["/usr/bin/python3"],
        story: &[
            "send_signal: SIGKILL to python3[2]",
            // Slots are visited ascending, the last references put LIFO: the later one first (F-6).
            "17 bytes unread → unread data: tcp_send_active_reset [R.]",
            "0 bytes unread → tcp_send_fin [F.]",
            "tcp_reset: ECONNRESET",
            "ESTABLISHED → CLOSE_WAIT",
            "quiet: b'welcome'",
            "quiet: after the kill: b''",
            "talker: b'welcome'",
            "talker: after the kill: [Errno 104] Connection reset by peer",
        ],
    },
    Example {
        name: "redis.toml",
        programs: &["/usr/bin/redis-server", "/usr/bin/redis-cli"],
        story: &[
            "Ready to accept connections",
            "│ OK",
            "│ hello",
            "send_signal: SIGKILL to redis-server[2]",
            "0 bytes unread → tcp_send_fin [F.]",
            "ESTABLISHED → CLOSE_WAIT",
            "Error: Server closed the connection",
            "Could not connect to Redis at a:6379: Connection refused",
        ],
    },
];

/// The story of a run whose checks all hold.
fn story(scenario: &Path) -> Result<String, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    command.arg("run").arg(scenario).stdin(Stdio::null()).env_clear();
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/tmp").env("LC_ALL", "C");
    let output = command.output().map_err(|e| format!("cannot start {command:?}: {e}"))?;
    let story = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(story);
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{}\n{story}{errors}", output.status).into())
}

/// The story without the breaks of its long lines.
fn unwrapped(story: &str) -> String {
    let lines = story.lines().map(|l| match l.trim_start() {
        more if more.starts_with('→') => format!(" {more}"),
        _ => format!("\n{l}"),
    });
    lines.collect()
}

fn tells(example: &Example) -> Result<(), Failed> {
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"));
    let scenario = examples.join(example.name);
    let first = story(&scenario)?;
    let unwrapped = unwrapped(&first);
    let mut rest = unwrapped.as_str();
    for step in example.story {
        let at = rest.find(step);
        let at = at.ok_or_else(|| format!("{step:?} is not told, or out of order:\n{first}"))?;
        rest = &rest[at + step.len()..];
    }
    let digest = |story: &str| story.lines().find(|l| l.starts_with("digest ")).map(str::to_owned);
    let again = story(&scenario)?;
    if digest(&first).is_none() || digest(&first) != digest(&again) {
        return Err(format!("two runs differ:\n{first}\n{again}").into());
    }
    Ok(())
}

fn main() {
    let arguments = Arguments::from_args();
    let trials = EXAMPLES.iter().map(|example| {
        let trial = Trial::test(format!("examples/{}", example.name), || tells(example));
        match example.programs.iter().find(|program| !Path::new(program).exists()) {
            Some(program) => {
                trial.with_kind(format!("no {program} here: not run")).with_ignored_flag(true)
            }
            None => trial,
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
