//! The `kill` that afterlife carries (main → send_signals → kill(2)), and the unmodified ones of the
//! machine: all forms of pid and of signal reach the right processes.
//! Worlds are made of dash, sleep and the embedded kill only.

use std::process::{Command, Output};

/// Runs a script by /bin/sh in a fresh world; what it wrote to stdout (dash tells of deaths on
/// stderr).
fn script(text: &str) -> String {
    let Output { stdout, .. } = Command::new(env!("CARGO_BIN_EXE_afterlife"))
        .args(["run", "--", "/bin/sh", "-c", text])
        .output()
        .expect("afterlife can be started");
    String::from_utf8_lossy(&stdout).into_owned()
}

const KILL: &str = "/opt/afterlife/bin/kill";

#[test]
fn kill_reaches_every_form_of_pid() {
    // A process, 0 for the caller's own group, -1 for all but init and oneself, -PGRP, after `--`.
    let one = format!("sleep 1000 & {KILL} -9 $!; wait $!; echo $?");
    assert_eq!(script(&one), "137\n");
    let own_group = format!("setsid -w sh -c 'trap \"echo caught\" TERM; {KILL} -TERM 0; echo on'");
    assert_eq!(script(&own_group), "caught\non\n");
    let group = format!("setsid sleep 1000 & sleep 0.1; {KILL} -TERM -- -$!; wait $!; echo $?");
    assert_eq!(script(&group), "143\n");
    let all = format!("sleep 1000 & sleep 1000 & trap '' TERM; {KILL} -TERM -- -1; wait; echo all");
    assert_eq!(script(&all), "all\n");
    let probe = format!("{KILL} -0 $$ && echo there; {KILL} -0 9999 2>/dev/null || echo gone");
    assert_eq!(script(&probe), "there\ngone\n");
}

#[test]
fn kill_names_a_signal_in_every_way() {
    for how in ["-15", "-TERM", "-SIGTERM", "-s TERM", "-s 15", "-n 15", "--signal=TERM", ""] {
        let text = script(&format!("sleep 1000 & {KILL} {how} $!; wait $!; echo $?"));
        assert_eq!(text, "143\n", "kill {how}");
    }
    assert_eq!(script(&format!("{KILL} -l 9; {KILL} -l KILL; {KILL} -l 137")), "KILL\n9\nKILL\n");
    let text = script(&format!("{KILL} -s NOSUCH 1 2>&1; echo $?"));
    assert!(text.contains("NOSUCH") && text.ends_with("1\n"), "{text}");
}

#[test]
fn the_machines_own_kills_work_too() {
    // procps and util-linux have a /bin/kill, the shells a builtin one.
    let builtin = script("sleep 1000 & kill -9 $!; wait $!; echo $?");
    assert_eq!(builtin, "137\n");
    for kill in ["/bin/kill", "/usr/bin/kill"] {
        if std::path::Path::new(kill).exists() {
            let text = script(&format!("sleep 1000 & {kill} -9 $!; wait $!; echo $?"));
            assert_eq!(text, "137\n", "{kill}");
        }
    }
}
