//! `cargo xtask fates`: the five fates of examples/kill-9.toml on the real kernel and in afterlife,
//! compared: what left on the wire (SYN, FIN, RST and payload: flags, relative numbers, lengths, in
//! order) and what the clients' calls returned. The real side runs in two network namespaces that
//! are made for it and taken away again, joined by a veth pair, and is captured by tcpdump. Only the
//! part before the power-off can be had natively. Needs root, iproute2 and tcpdump; says so if not.

use crate::root;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const SCENARIO: &str = "examples/kill-9.toml";
/// The clients, in the order of their starts, 100 ms apart, as in the scenario.
const ROLES: [&str; 5] = ["idle", "unread", "linger0", "shared", "unaccepted"];
const ADDRESSES: [&str; 2] = ["10.0.0.1", "10.0.0.2"];
const PORT: &str = "7000";

/// One segment: which client's connection (by order of SYNs), who sent it, flags, seq, ack, length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Seen {
    connection: usize,
    from_server: bool,
    flags: String,
    seq: u32,
    ack: u32,
    len: u32,
}

/// What one side saw.
struct Story {
    segments: Vec<Seen>,
    /// What each client printed, by role.
    outputs: BTreeMap<String, String>,
}

/// Runs both sides and compares.
pub fn run() -> Result<(), String> {
    if let Some(why) = obstacle() {
        println!("fates: skipped: {why}");
        return Ok(());
    }
    let scratch = crate::nobody::Scratch::new("fates")?;
    build(&scratch.0)?;
    let real = native(&scratch.0)?;
    let ours = afterlife(&scratch.0)?;
    let mut differences = 0;
    for role in ROLES {
        let (r, o) = (real.outputs.get(role), ours.outputs.get(role));
        println!("fates: {}", r.map_or("(silent)", String::as_str));
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
        println!("fates: {} segments and {} clients agree", real.segments.len(), ROLES.len());
        Ok(())
    } else {
        Err(format!("fates: {differences} differences between the real kernel and afterlife"))
    }
}

fn compare(what: &str, real: &Story, ours: &Story, which: impl Fn(&Seen) -> bool) -> u32 {
    let pick = |story: &Story| -> Vec<Seen> {
        story.segments.iter().filter(|s| which(s)).cloned().collect()
    };
    let (real, ours) = (pick(real), pick(ours));
    if real == ours && !real.is_empty() {
        return 0;
    }
    println!("fates: DIFFERS: {what}");
    for i in 0..real.len().max(ours.len()) {
        let show = |s: Option<&Seen>| s.map_or("-".to_owned(), |s| format!("{s:?}"));
        println!("  real {}\n  ours {}", show(real.get(i)), show(ours.get(i)));
    }
    1
}

fn obstacle() -> Option<String> {
    let euid = Command::new("id").arg("-u").output().ok()?.stdout;
    if euid.trim_ascii() != b"0" {
        return Some("namespaces need root".into());
    }
    for (tool, package) in [("ip", "iproute2"), ("tcpdump", "tcpdump")] {
        if Command::new(tool).arg("-V").output().is_err() {
            return Some(format!("no `{tool}` here; install the package {package}"));
        }
    }
    None
}

/// The guest programs of the scenario as native programs.
fn build(into: &Path) -> Result<(), String> {
    for program in ["server", "client"] {
        let source = root().join(format!("crates/cli/guests/{program}.rs"));
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-O", "-o"]).arg(into.join(program)).arg(source);
        let done = rustc.status().map_err(|e| format!("fates: rustc: {e}"))?;
        if !done.success() {
            return Err(format!("fates: {program}.rs does not build"));
        }
    }
    Ok(())
}

/// The two namespaces; gone when dropped.
struct Wires;

impl Wires {
    fn lay() -> Result<Wires, String> {
        drop(Wires);
        let wires = Wires;
        ip("netns add afterlife-a")?;
        ip("netns add afterlife-b")?;
        ip("link add al0 netns afterlife-a type veth peer name al0 netns afterlife-b")?;
        for (side, address) in ["a", "b"].iter().zip(ADDRESSES) {
            ip(&format!("-n afterlife-{side} addr add {address}/24 dev al0"))?;
            ip(&format!("-n afterlife-{side} link set al0 up"))?;
            ip(&format!("-n afterlife-{side} link set lo up"))?;
        }
        Ok(wires)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        for side in ["a", "b"] {
            let mut delete = Command::new("ip");
            delete.args(["netns", "del", &format!("afterlife-{side}")]);
            // Not there is as good as gone.
            let _ = delete.stderr(Stdio::null()).status();
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    match Command::new("ip").args(words.split(' ')).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("fates: `ip {words}` ended with {status}")),
        Err(error) => Err(format!("fates: `ip {words}`: {error}")),
    }
}

fn inside(side: &str, program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &format!("afterlife-{side}")]).arg(program).args(words);
    command
}

fn start(mut command: Command) -> Result<Child, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|e| format!("fates: {command:?}: {e}"))
}

/// Waits until the port listens, so that no start depends on the machine's load.
fn wait_for_listener() -> Result<(), String> {
    for _ in 0..500 {
        let mut ss = inside("a", Path::new("cat"), &["/proc/net/tcp"]);
        let table = ss.output().map_err(|e| format!("fates: {e}"))?.stdout;
        // Local port 7000 (1B58) in state 0A, LISTEN.
        if String::from_utf8_lossy(&table).lines().any(|l| l.contains(":1B58 00000000:0000 0A")) {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    Err("fates: the native server does not listen".into())
}

fn native(scratch: &Path) -> Result<Story, String> {
    let _wires = Wires::lay()?;
    let capture = scratch.join("wire.txt");
    let mut tcpdump = inside("b", Path::new("tcpdump"), &["-n", "-S", "-l", "-i", "al0", "tcp"]);
    let file = std::fs::File::create(&capture).map_err(|e| format!("fates: {e}"))?;
    let mut tcpdump = tcpdump
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("fates: tcpdump: {e}"))?;
    sleep(Duration::from_millis(700));
    let mut server = start(inside("a", &scratch.join("server"), &[PORT, "4"]))?;
    wait_for_listener()?;
    let mut clients = Vec::new();
    for role in ROLES {
        sleep(Duration::from_millis(100));
        let words = [ADDRESSES[0], PORT, role];
        clients.push((role, start(inside("b", &scratch.join("client"), &words))?));
    }
    sleep(Duration::from_millis(500));
    // `ip netns exec` became the server; only it dies, not the child that it forked.
    server.kill().map_err(|e| format!("fates: kill: {e}"))?;
    server.wait().map_err(|e| format!("fates: wait: {e}"))?;
    let mut outputs = BTreeMap::new();
    for (role, client) in clients {
        let done = client.wait_with_output().map_err(|e| format!("fates: {e}"))?;
        outputs.insert(role.to_owned(), String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    sleep(Duration::from_millis(300));
    let _ = tcpdump.kill();
    let _ = tcpdump.wait();
    let _ = Command::new("pkill").arg("-f").arg(scratch.join("server")).status();
    let text = std::fs::read_to_string(&capture).map_err(|e| format!("fates: {e}"))?;
    Ok(Story { segments: number(text.lines().filter_map(captured)), outputs })
}

/// A segment with absolute numbers and its addresses.
struct Raw {
    from: String,
    to: String,
    flags: String,
    seq: Option<u32>,
    ack: u32,
    len: u32,
}

/// A line of tcpdump: `… IP 10.0.0.2.40000 > 10.0.0.1.7000: Flags [S], seq 1, win 64240, … length 0`.
fn captured(line: &str) -> Option<Raw> {
    let (_, rest) = line.split_once(" IP ")?;
    let (from, rest) = rest.split_once(" > ")?;
    let (to, rest) = rest.split_once(": Flags [")?;
    let (flags, rest) = rest.split_once(']')?;
    let field = |name: &str| {
        let (_, value) = rest.split_once(name)?;
        let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
        value[..end].parse::<u32>().ok()
    };
    Some(Raw {
        from: from.to_owned(),
        to: to.to_owned(),
        flags: flags.to_owned(),
        seq: field(" seq "),
        ack: field(" ack ").unwrap_or(0),
        len: field(" length ").unwrap_or(0),
    })
}

/// Relative numbers, and only what the stream needs: bare ACKs depend on the machine's timing.
fn number(raw: impl Iterator<Item = Raw>) -> Vec<Seen> {
    let mut clients: Vec<String> = Vec::new();
    let mut starts: BTreeMap<(usize, bool), u32> = BTreeMap::new();
    let mut seen = Vec::new();
    for segment in raw {
        let from_server = segment.from.starts_with(ADDRESSES[0]);
        let client = if from_server { &segment.to } else { &segment.from };
        let connection = clients.iter().position(|c| c == client).unwrap_or_else(|| {
            clients.push(client.clone());
            clients.len() - 1
        });
        if segment.flags.contains('S') {
            starts.insert((connection, from_server), segment.seq.unwrap_or(0));
        }
        let start = |side: bool| starts.get(&(connection, side)).copied().unwrap_or(0);
        if segment.len == 0 && segment.flags == "." {
            continue;
        }
        let acked = segment.flags.contains('.');
        seen.push(Seen {
            connection,
            from_server,
            seq: segment.seq.map_or(0, |s| s.wrapping_sub(start(from_server))),
            ack: if acked { segment.ack.wrapping_sub(start(!from_server)) } else { 0 },
            len: segment.len,
            flags: segment.flags,
        });
    }
    seen
}

/// The same in afterlife, from its JSON: the segments of the first server's port.
fn afterlife(scratch: &Path) -> Result<Story, String> {
    let json: PathBuf = scratch.join("facts.json");
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--bin", "afterlife", "--", "run", SCENARIO]);
    cargo.arg("--json").arg(&json).current_dir(root()).stdout(Stdio::null());
    let done = cargo.status().map_err(|e| format!("fates: {e}"))?;
    if !done.success() {
        return Err(format!("fates: afterlife run {SCENARIO} ended with {done}"));
    }
    let text = std::fs::read_to_string(&json).map_err(|e| format!("fates: {e}"))?;
    let mut segments = Vec::new();
    let mut outputs = BTreeMap::new();
    for line in text.lines() {
        let fact: serde_json::Value =
            serde_json::from_str(line).map_err(|e| format!("fates: bad JSON: {e}: {line}"))?;
        match fact["kind"].as_str() {
            Some("segment") => segments.extend(told(&fact)),
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

fn told(fact: &serde_json::Value) -> Option<Raw> {
    let word = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| fact[name].as_u64().unwrap_or(0) as u32;
    let (from, to) = (word("from"), word("to"));
    let server = format!("{}:{PORT}", ADDRESSES[0]);
    (from == server || to == server).then(|| Raw {
        from,
        to,
        flags: word("flags"),
        seq: Some(number("seq")),
        ack: number("ack"),
        len: number("len"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_tcpdump_becomes_a_segment_with_relative_numbers() {
        let lines = [
            "1 IP 10.0.0.2.40000 > 10.0.0.1.7000: Flags [S], seq 1000, win 64240, length 0",
            "2 IP 10.0.0.1.7000 > 10.0.0.2.40000: Flags [S.], seq 500, ack 1001, win 9, length 0",
            "3 IP 10.0.0.2.40000 > 10.0.0.1.7000: Flags [.], ack 501, win 502, length 0",
            "4 IP 10.0.0.2.40000 > 10.0.0.1.7000: Flags [P.], seq 1001:1006, ack 501, length 5",
        ];
        let seen = number(lines.iter().filter_map(|l| captured(l)));
        assert_eq!(seen.len(), 3);
        let last = &seen[2];
        assert_eq!((last.flags.as_str(), last.seq, last.ack, last.len), ("P.", 1, 1, 5));
        assert!(seen[1].from_server && seen[1].ack == 1);
    }
}
