//! `afterlife deaths`: one process of examples/keepalive.toml, every way to die, and what its peer saw.
//! P-1, P-2, P-6, P-10, P-13, P-14.

use std::process::{Command, Output, Stdio};

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/keepalive.toml");

fn deaths(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    command.args(["deaths", SCENARIO]).args(args).stdin(Stdio::null());
    command.output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The row of a death in the peer's table, its words one space apart.
fn row(table: &str, death: &str) -> String {
    let mut rows = table.lines().skip_while(|line| !line.trim_start().starts_with(death));
    let first = rows.next().unwrap_or_else(|| panic!("no {death} in {table}"));
    // A cell that is too long goes on in the lines below.
    let rest = rows.take_while(|line| line.starts_with("      "));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    [first].into_iter().chain(rest).map(words).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_death_has_a_row_and_the_same_ones_each_time() {
    let output = deaths(&["--process", "dark"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(deaths(&["--process", "dark"]).stdout, output.stdout);
    let told = text(&output.stdout);
    assert!(told.starts_with("dark on b, at 2 s:\n"), "{told}");
    let (fates, peer) = told.split_once("to-dark on c: 10.0.0.3:").expect("its only peer");
    assert_eq!(row(fates, "crash"), "crash (SIGSEGV) was killed by SIGSEGV after 1 µs");
    assert_eq!(row(fates, "frozen"), "frozen (SIGSTOP) it lives on");
    let expected = [
        ("kill -9", ["FIN after 0 s, RST after", "read → 0", "after 10"]),
        ("power-off  ", ["silence", "read → ETIMEDOUT", "after 2 h 11 min 13 s"]),
        (
            "power-off, on after 10 s",
            ["RST after 1 h 59 min 58 s", "read → ECONNRESET", "after 1 h"],
        ),
        ("partition  ", ["silence", "read → ETIMEDOUT", "after 2 h 11 min 13 s"]),
        ("partition for 30 s", ["11 × ACK", "no call came back", "never"]),
        (
            "kill -9 in a partition of 30 s",
            ["× FIN from 0 s on, lost, FIN after", "read → 0", "after 5"],
        ),
        ("frozen", ["11 × ACK", "no call came back", "never"]),
    ];
    for (death, parts) in expected {
        let row = row(peer, death);
        for part in parts {
            assert!(row.contains(part), "{part:?} is not in {row:?}");
        }
    }
}

#[test]
fn who_and_when_must_be_told() {
    let cases: [(&[&str], &str); 4] = [
        (
            &["--process", "dork"],
            "has no process dork; it has killed, dark, to-killed, to-dark, kill",
        ),
        (
            &["--process", "killed"],
            "no fault of the scenario strikes killed: say when it dies, as in --at 5s",
        ),
        (
            &["--process", "dark", "--at", "100h"],
            "at 100 h nothing can die: the world ended before",
        ),
        (&["--process", "to-dark", "--at", "50ms"], "to-dark is not running; choose another --at"),
    ];
    for (args, why) in cases {
        let output = deaths(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let told = text(&output.stderr);
        assert!(told.contains(why) && told.lines().count() == 1, "{args:?}: {told}");
    }
}

#[test]
fn a_program_that_does_not_exist_is_named_with_its_line() {
    let name = format!("{}/deaths-{}.toml", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let scenario = "[[process]]\ncommand = [\"server\", \"7000\"]\n\
                [[process]]\nname = \"gone\"\ncommand = [\"/nowhere/gone\"]\n";
    std::fs::write(&name, scenario).expect("a scenario");
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    command.args(["deaths", &name, "--process", "server", "--at", "1s"]).stdin(Stdio::null());
    let output = command.output().expect("the command starts");
    std::fs::remove_file(&name).expect("the test's own file");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(".toml:3: gone cannot be started: "), "{told}");
}

#[test]
fn who_was_to_start_on_a_host_without_power_is_no_mistake() {
    let scenario = SCENARIO.replace("keepalive", "kill-9");
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    command.args(["deaths", &scenario, "--process", "server", "--at", "900ms"]);
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).matches(" → 10.0.0.1:7000, ESTABLISHED").count(), 5);
}
