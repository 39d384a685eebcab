//! Two network namespaces joined by a veth pair, made for a run and taken away again, and what runs
//! in them: programs, and a tcpdump that sees all of TCP.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Of the servers' side and the clients'.
pub const ADDRESSES: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

/// The same of IPv6; in afterlife these are given out so.
pub const ADDRESSES6: [&str; 2] = ["fd00::1", "fd00::2"];

/// Why it cannot be done here, if it cannot.
pub fn obstacle() -> Option<String> {
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

/// The two namespaces; gone when dropped.
pub struct Wires;

impl Wires {
    /// Lays them.
    pub fn lay() -> Result<Wires, String> {
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

    /// Lays them with addresses of IPv6 too.
    pub fn lay6() -> Result<Wires, String> {
        let wires = Wires::lay()?;
        for (side, address) in ["a", "b"].iter().zip(ADDRESSES6) {
            ip(&format!("-n afterlife-{side} addr add {address}/64 dev al0 nodad"))?;
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

pub(super) fn ip(words: &str) -> Result<(), String> {
    match Command::new("ip").args(words.split(' ')).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("twin: `ip {words}` ended with {status}")),
        Err(error) => Err(format!("twin: `ip {words}`: {error}")),
    }
}

/// A command in one of them.
pub fn inside(side: &str, program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &format!("afterlife-{side}")]).arg(program).args(words);
    command
}

/// Starts it with its stdout in a pipe.
pub fn start(mut command: Command) -> Result<Child, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|e| format!("twin: {command:?}: {e}"))
}

/// Waits until the port listens in a namespace, so that no start depends on the machine's load.
pub fn wait_for_listener(side: &str, port: u16) -> Result<(), String> {
    let line = format!(":{port:04X} 00000000:0000 0A");
    let line6 = format!(":{port:04X} {:032}:0000 0A", 0);
    for _ in 0..500 {
        let mut ss = inside(side, Path::new("cat"), &["/proc/net/tcp", "/proc/net/tcp6"]);
        let table = ss.output().map_err(|e| format!("twin: {e}"))?.stdout;
        // The local port, nobody, and state 0A, LISTEN.
        if String::from_utf8_lossy(&table).lines().any(|l| l.contains(&line) || l.contains(&line6))
        {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    Err("twin: the native server does not listen".into())
}

/// tcpdump in a namespace.
pub struct Capture(Child);

impl Capture {
    /// Starts it and waits until it listens.
    pub fn start(side: &str, file: &Path) -> Result<Capture, String> {
        // -vv tells the sequence numbers of empty segments too.
        let words = ["-n", "-S", "-vv", "-l", "-B", "8192", "-i", "al0", "tcp"];
        let mut tcpdump = inside(side, Path::new("tcpdump"), &words);
        let file = std::fs::File::create(file).map_err(|e| format!("twin: {e}"))?;
        tcpdump.stdout(file).stderr(Stdio::null());
        let child = tcpdump.spawn().map_err(|e| format!("twin: tcpdump: {e}"))?;
        sleep(Duration::from_millis(700));
        Ok(Capture(child))
    }

    /// Ends it, once what is on the way was written.
    pub fn end(mut self) {
        sleep(Duration::from_millis(300));
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills a program that `ip netns exec` became, and not its children; returns these.
pub fn kill_alone(mut child: Child) -> Result<Vec<String>, String> {
    let pid = child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    child.kill().map_err(|e| format!("twin: kill: {e}"))?;
    child.wait().map_err(|e| format!("twin: wait: {e}"))?;
    Ok(children.unwrap_or_default().split_whitespace().map(str::to_owned).collect())
}
