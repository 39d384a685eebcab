//! What hosts send each other: the close table on the wire, on the real kernel and in afterlife:
//! what left (SYN, FIN, RST and payload: flags, relative numbers, lengths, in order) and what the
//! clients' calls returned. First the five fates of examples/kill-9.toml (only the part before the
//! power-off can be had natively), then a matrix of states and options (`matrix`), then hosts that fall
//! silent and come back (`silences`, in namespaces with a router between: `routed`). The real side
//! runs in two network namespaces (`wires`) and is captured by tcpdump (`segments`). Needs root,
//! iproute2 and tcpdump; says so if not.

mod matrix;
mod routed;
mod segments;
mod silences;
mod wires;

use crate::root;
use segments::{Seen, Story, captured, compare, number, told};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use wires::{ADDRESSES, Capture, Wires, inside, kill_alone, obstacle, start, wait_for_listener};

const SCENARIO: &str = "examples/kill-9.toml";
/// The clients, in the order of their starts, 100 ms apart, as in the scenario.
const ROLES: [&str; 5] = ["idle", "unread", "linger0", "shared", "unaccepted"];
const PORT: u16 = 7000;

/// A part: its name and what compares it.
type Part = (&'static str, fn(&Path) -> Result<(), String>);

/// Runs both sides and compares; only the parts whose `wire::name` contains `filter`.
pub fn run(filter: &str, scratch: &Path) -> Result<(), String> {
    let parts: [Part; 4] = [
        ("wire::example", five_fates),
        ("wire::matrix", |scratch| matrix::run(scratch, &matrix::IPV4)),
        ("wire::matrix6", matrix6),
        ("wire::silences", silences::run),
    ];
    if let Some(why) = obstacle() {
        println!("twin: the wire is skipped: {why}");
        return Ok(());
    }
    let mut parts = parts.into_iter().filter(|(name, _)| name.contains(filter));
    parts.try_for_each(|(_, run)| run(scratch))
}

/// The matrix over IPv6, where namespaces have it.
fn matrix6(scratch: &Path) -> Result<(), String> {
    match Wires::lay6() {
        Ok(wires) => drop(wires),
        Err(why) => {
            println!("twin: IPv6 on the wire is skipped: {why}");
            return Ok(());
        }
    }
    matrix::run(scratch, &matrix::IPV6)
}

/// The five fates of the example.
fn five_fates(scratch: &Path) -> Result<(), String> {
    build(scratch)?;
    let real = native(scratch)?;
    let ours = afterlife(scratch)?;
    let mut differences = 0;
    for role in ROLES {
        let (r, o) = (real.outputs.get(role), ours.outputs.get(role));
        println!("twin: {}", r.map_or("(silent)", String::as_str));
        if r != o || r.is_none() {
            differences += 1;
            println!("  DIFFERS in afterlife: {}", o.map_or("(silent)", String::as_str));
        }
    }
    // Each connection's story, and across connections the order of what the death sends.
    for (connection, role) in ROLES.iter().enumerate() {
        differences += compare(role, &real, &ours, |s| s.connection == connection);
    }
    let ends = |s: &Seen| s.from_server && (s.flags.contains('F') || s.flags.contains('R'));
    differences += compare("order of FIN and RST", &real, &ours, ends);
    if differences == 0 {
        println!("twin: {} segments and {} clients agree", real.segments.len(), ROLES.len());
        Ok(())
    } else {
        Err(format!("twin: {differences} differences between the real kernel and afterlife"))
    }
}

/// The guest programs of the scenario as native programs.
fn build(into: &Path) -> Result<(), String> {
    for program in ["server", "client"] {
        let source = root().join(format!("tests/guests/carried/{program}.rs"));
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-O", "-o"]).arg(into.join(program)).arg(source);
        let done = rustc.status().map_err(|e| format!("twin: rustc: {e}"))?;
        if !done.success() {
            return Err(format!("twin: {program}.rs does not build"));
        }
    }
    Ok(())
}

fn native(scratch: &Path) -> Result<Story, String> {
    let _wires = Wires::lay()?;
    let file = scratch.join("wire.txt");
    let capture = Capture::start("b", &file)?;
    let port = PORT.to_string();
    let server = start(inside("a", &scratch.join("server"), &[&port, "4"]))?;
    wait_for_listener("a", PORT)?;
    let mut clients = Vec::new();
    for role in ROLES {
        sleep(Duration::from_millis(100));
        let words = [ADDRESSES[0], &port, role];
        clients.push((role, start(inside("b", &scratch.join("client"), &words))?));
    }
    sleep(Duration::from_millis(500));
    let heirs = kill_alone(server)?;
    let mut outputs = BTreeMap::new();
    for (role, client) in clients {
        let done = client.wait_with_output().map_err(|e| format!("twin: {e}"))?;
        outputs.insert(role.to_owned(), String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    capture.end();
    let _ = Command::new("kill").arg("-9").args(heirs).status();
    let text = std::fs::read_to_string(&file).map_err(|e| format!("twin: {e}"))?;
    Ok(Story { segments: number(text.lines().filter_map(captured)), outputs })
}

/// The same in afterlife, from its JSON: the segments of the first server's port.
fn afterlife(scratch: &Path) -> Result<Story, String> {
    let mut segments = Vec::new();
    let mut outputs = BTreeMap::new();
    for fact in facts(Path::new(SCENARIO), scratch)? {
        match fact["kind"].as_str() {
            Some("segment") => segments.extend(told(&fact, |port| port == PORT)),
            Some("output") => {
                let text = fact["text"].as_str().unwrap_or_default().trim();
                if let Some((role, _)) = text.split_once(':') {
                    outputs.insert(role.to_owned(), text.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(Story { segments: number(segments.into_iter()), outputs })
}

/// Runs a scenario in afterlife; its facts.
fn facts(scenario: &Path, scratch: &Path) -> Result<Vec<serde_json::Value>, String> {
    let json: PathBuf = scratch.join("facts.json");
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--bin", "afterlife", "--", "run"]).arg(scenario);
    cargo.arg("--json").arg(&json).current_dir(root()).stdout(Stdio::null());
    let done = cargo.status().map_err(|e| format!("twin: {e}"))?;
    if !done.success() {
        return Err(format!("twin: afterlife run {} ended with {done}", scenario.display()));
    }
    let text = std::fs::read_to_string(&json).map_err(|e| format!("twin: {e}"))?;
    let read =
        |line| serde_json::from_str(line).map_err(|e| format!("twin: bad JSON: {e}: {line}"));
    text.lines().map(read).collect()
}
