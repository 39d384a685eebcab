//! The close table on the wire: tests/guests' `wire` holds one connection per row (state × unread ×
//! data that found no room × SO_LINGER 0 × TCP_LINGER2 < 0 × shared with a child × what the client does
//! afterwards), its server is killed, then the server's child, and each connection's segments and each
//! row of the client's output are the same in afterlife as between two network namespaces of the real
//! kernel, over IPv4 and over IPv6. Neighbours: `segments`, `wires`.

use super::segments::{Seen, Story, captured, compare, number, told};
use super::wires::{
    ADDRESSES, ADDRESSES6, Capture, Wires, inside, kill_alone, start, wait_for_listener,
};
use super::{facts, root};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rows' port, and that of the rows that nobody accepts.
const PORTS: [u16; 2] = [7000, 7001];

/// By which family the clients come.
pub struct Family {
    /// What makes the program a server for them.
    server: &'static str,
    address: &'static str,
    lay: fn() -> Result<Wires, String>,
}

pub const IPV4: Family = Family { server: "server", address: ADDRESSES[0], lay: Wires::lay };
pub const IPV6: Family = Family { server: "server6", address: ADDRESSES6[0], lay: Wires::lay6 };

/// The connections over which the two agree come before those of the rows.
const NOTICES: usize = 2;

/// Runs both sides and compares, row by row.
pub fn run(scratch: &Path, family: &Family) -> Result<(), String> {
    let program = build("wire")?;
    let (real, lines) = native(&program, scratch, family)?;
    let (ours, our_lines) = afterlife(&program, scratch, family)?;
    let mut differences = 0;
    for row in 0..lines.len().max(our_lines.len()) {
        let (line, our_line) = (lines.get(row), our_lines.get(row));
        let name = line.or(our_line).and_then(|l| l.split(':').next()).unwrap_or_default();
        if line != our_line {
            println!("twin: DIFFERS: {name}\n  real {line:?}\n  ours {our_line:?}");
            differences += 1;
        }
        let of_row = |s: &Seen| s.connection == row + NOTICES;
        differences += compare(name, &real, &ours, |s| of_row(s) && !s.is_probe());
    }
    // Before a client does anything, all that the death sends: in the order of the releases. Where data
    // waits for room, the client decides when it ends.
    let waits = |row: usize| lines.get(row).is_some_and(|line| line.contains("pending"));
    let first = |story: &Story| -> Vec<Seen> {
        let mut told = vec![false; lines.len() + NOTICES];
        let mut ends = Vec::new();
        for s in story.segments.iter().filter(|s| s.from_server && is_end(s)) {
            if !std::mem::replace(&mut told[s.connection], true)
                && !waits(s.connection.wrapping_sub(NOTICES))
            {
                ends.push(s.clone());
            }
        }
        ends
    };
    if first(&real) != first(&ours) {
        println!("twin: DIFFERS: the order of the first FIN or RST of each connection");
        for (r, o) in first(&real).iter().zip(&first(&ours)).filter(|(r, o)| r != o) {
            println!("  real {r:?}\n  ours {o:?}");
        }
        differences += 1;
    }
    if differences == 0 && !lines.is_empty() {
        println!("twin: {} rows, {} segments agree", lines.len(), real.segments.len());
        Ok(())
    } else {
        Err(format!("twin: {differences} differences in {} rows", lines.len()))
    }
}

fn is_end(s: &Seen) -> bool {
    s.flags.contains('F') || s.flags.contains('R')
}

/// A guest program that is both ends.
pub fn build(name: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "guests", "--bin", name]);
    cargo.arg("--message-format=json").current_dir(root());
    let output = cargo.output().map_err(|e| format!("twin: cargo: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let path = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    text.lines().find_map(path).ok_or_else(|| "twin: tests/guests does not build".into())
}

/// The rows' lines of what the client printed.
fn rows<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    lines.filter(|line| line.contains(": ")).map(str::to_owned).collect()
}

fn native(program: &Path, scratch: &Path, family: &Family) -> Result<(Story, Vec<String>), String> {
    let _wires = (family.lay)()?;
    let file = scratch.join("matrix.txt");
    let capture = Capture::start("b", &file)?;
    let port = PORTS[0].to_string();
    let server = start(inside("a", program, &[family.server, &port]))?;
    wait_for_listener("a", PORTS[0])?;
    let mut client = start(inside("b", program, &["client", family.address, &port]))?;
    let mut said = BufReader::new(client.stdout.take().ok_or("twin: no pipe")?);
    let mut ready = String::new();
    said.read_line(&mut ready).map_err(|e| format!("twin: {e}"))?;
    let heirs = kill_alone(server)?;
    said.read_line(&mut ready).map_err(|e| format!("twin: {e}"))?;
    let mut kill = Command::new("kill");
    kill.arg("-9").args(heirs).status().map_err(|e| format!("twin: kill: {e}"))?;
    let lines: Result<Vec<String>, _> = said.lines().collect();
    let lines = lines.map_err(|e| format!("twin: {e}"))?;
    client.wait().map_err(|e| format!("twin: {e}"))?;
    capture.end();
    let text = std::fs::read_to_string(&file).map_err(|e| format!("twin: {e}"))?;
    let segments = number(text.lines().filter_map(captured));
    let story = Story { segments, outputs: BTreeMap::new() };
    Ok((story, rows(lines.iter().map(String::as_str))))
}

fn afterlife(
    program: &Path,
    scratch: &Path,
    family: &Family,
) -> Result<(Story, Vec<String>), String> {
    let process = |name: &str, host: &str, start: &str, command: &[&str]| {
        format!(
            "[[process]]\nname = \"{name}\"\nhost = \"{host}\"\nstart = \"{start}\"\n\
             command = {command:?}\n"
        )
    };
    let (program, port) = (program.display().to_string(), PORTS[0].to_string());
    let scenario = [
        process("server", "a", "0s", &[&program, family.server, &port]),
        process("client", "b", "100ms", &[&program, "client", family.address, &port]),
        // The server is the first process of its host.
        process("kill", "a", "10s", &["kill", "-9", "2"]),
        process("kill the child", "a", "20s", &["kill", "-9", "3"]),
    ];
    let path = scratch.join("matrix.toml");
    std::fs::write(&path, scenario.concat()).map_err(|e| format!("twin: {e}"))?;
    let mut segments = Vec::new();
    let mut text = String::new();
    for fact in facts(&path, scratch)? {
        match fact["kind"].as_str() {
            Some("segment") => segments.extend(told(&fact, |port| PORTS.contains(&port))),
            Some("output") => text.push_str(fact["text"].as_str().unwrap_or_default()),
            _ => {}
        }
    }
    let story = Story { segments: number(segments.into_iter()), outputs: BTreeMap::new() };
    Ok((story, rows(text.lines())))
}
