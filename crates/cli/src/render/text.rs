//! The story: time, host, who, what. The steps of a walk (a birth, a signal, a death, a segment's
//! arrival) are facts of the functions that they name; those that follow each other at once in one
//! process are joined by arrows. By default only what matters is told: births by fork, signals,
//! deaths by signal with the fate of each socket, what the guests print. With `--verbose` each fact
//! has its line. Neighbour: `words` (a fact in words).

use super::words;
use super::{End, Names, Renderer};
use kernel::abi::signal::Signal;
use kernel::fact::task::SignalAction;
use kernel::fact::{Fact, FileFact, NetFact, TaskFact};
use kernel::net::packet::{Packet, Transport};
use kernel::net::tcp::{CloseSent, Flags, GaveUp, ResetWhy, TcpFact};
use kernel::task::Pid;
use kernel::time::{Duration, Instant};
use lab::{LabFact, Record, What};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::SocketAddr;

/// Steps this near to each other are one walk: about the cost of two calls.
const AT_ONCE: Duration = Duration::from_nanos(1000);

/// Columns of a line.
const WIDTH: usize = 120;
/// Where a line goes on that is longer.
const INDENT: usize = 33;

type Who = (Option<usize>, Option<Pid>);

/// Steps that follow each other at once.
struct Chain {
    at: Instant,
    /// When its last step was taken.
    last: Instant,
    who: Who,
    steps: Vec<String>,
}

/// Tells the story.
pub struct Text<W: Write> {
    to: W,
    verbose: bool,
    /// The line to paste at the end.
    paste: String,
    chain: Option<Chain>,
    /// Unfinished lines that guests printed.
    printed: BTreeMap<(Who, u8), Vec<u8>>,
    started: BTreeSet<Who>,
    /// Processes that a signal is killing.
    dying: BTreeSet<Who>,
    /// Descriptors of dying processes by what they are open on, and the one that is being released.
    fds: BTreeMap<(Who, String), Vec<i32>>,
    releasing: BTreeMap<Who, Vec<i32>>,
    /// Connections whose end by a death was told: local and remote as the peer sees them.
    ended: BTreeSet<(SocketAddr, SocketAddr)>,
    /// A computation was pre-empted.
    preempted: bool,
}

impl<W: Write> Text<W> {
    /// Tells to `to`; at the end `paste` is shown as the line for one's own program.
    pub fn new(to: W, verbose: bool, paste: String) -> Text<W> {
        Text {
            to,
            verbose,
            paste,
            chain: None,
            printed: BTreeMap::new(),
            started: BTreeSet::new(),
            dying: BTreeSet::new(),
            fds: BTreeMap::new(),
            releasing: BTreeMap::new(),
            ended: BTreeSet::new(),
            preempted: false,
        }
    }

    fn write(&mut self, at: Instant, who: Who, what: &str, names: &Names) -> io::Result<()> {
        let (seconds, micros) = (at.0 / 1_000_000_000, at.0 / 1000 % 1_000_000);
        let process = who.1.map_or_else(String::new, |pid| names.process(who.0, pid));
        let host = names.host(who.0);
        let line = format!("{seconds:>3}.{micros:06} {host:<2} {process:<14} {what}");
        // What guests print stays as it is.
        let line = if what.starts_with('│') { line } else { wrapped(&line) };
        writeln!(self.to, "{line}")
    }

    fn flush_chain(&mut self, names: &Names) -> io::Result<()> {
        let Some(Chain { at, who, steps, .. }) = self.chain.take() else { return Ok(()) };
        self.write(at, who, &steps.join(" → "), names)
    }

    fn line(&mut self, at: Instant, who: Who, what: &str, names: &Names) -> io::Result<()> {
        self.flush_chain(names)?;
        self.write(at, who, what, names)
    }

    /// A step of a walk: joins the chain of the same process, or begins one.
    fn step(&mut self, at: Instant, who: Who, step: String, names: &Names) -> io::Result<()> {
        match &mut self.chain {
            // A step of nobody's belongs to what was going on.
            Some(chain)
                if (chain.who == who || chain.who.0 == who.0 && who.1.is_none())
                    && at.saturating_since(chain.last) <= AT_ONCE
                    && !self.verbose =>
            {
                chain.steps.push(step);
                chain.last = at;
                Ok(())
            }
            _ => {
                self.flush_chain(names)?;
                self.chain = Some(Chain { at, last: at, who, steps: vec![step] });
                Ok(())
            }
        }
    }

    /// Bytes that a guest printed: told line by line.
    fn output(
        &mut self,
        record: &Record,
        stream: u8,
        bytes: &[u8],
        names: &Names,
    ) -> io::Result<()> {
        let who = (record.host, record.pid);
        let mut pending = self.printed.remove(&(who, stream)).unwrap_or_default();
        pending.extend_from_slice(bytes);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = words::printable(&line[..end]);
            self.line(record.at, who, &format!("│ {line}"), names)?;
        }
        if !pending.is_empty() {
            self.printed.insert((who, stream), pending);
        }
        Ok(())
    }

    fn task(&mut self, record: &Record, fact: &TaskFact, names: &Names) -> io::Result<()> {
        let who = (record.host, record.pid);
        let told = match fact {
            // The lab's own starts are told as such.
            TaskFact::CopyProcess { .. }
            | TaskFact::DupTaskStruct { .. }
            | TaskFact::AllocPid { .. }
            | TaskFact::WakeUpNewTask { .. } => record.pid.is_some_and(|pid| pid.0 > 1),
            TaskFact::Exec { .. } => !self.started.remove(&who),
            TaskFact::SendSignal { signal, dropped, .. } => {
                *signal != Signal::SIGCHLD && dropped.is_none()
            }
            TaskFact::CompleteSignal { signal, .. } => *signal != Signal::SIGCHLD,
            TaskFact::GetSignal { action, .. } => {
                if [SignalAction::Terminate, SignalAction::CoreDump].contains(action) {
                    self.dying.insert(who);
                }
                *action != SignalAction::Ignore
            }
            TaskFact::DoGroupExit { status, .. } | TaskFact::DoExit { status, .. } => {
                if status.signal().is_some() {
                    self.dying.insert(who);
                }
                status.signal().is_some()
            }
            TaskFact::ExitMm { .. } | TaskFact::ExitFiles { .. } | TaskFact::ExitNotify { .. } => {
                self.dying.contains(&who)
            }
            TaskFact::SetupRtFrame { .. }
            | TaskFact::RtSigreturn { .. }
            | TaskFact::ForceSig { .. }
            | TaskFact::Stopped { .. }
            | TaskFact::Continued => true,
            TaskFact::ExitFs
            | TaskFact::TaskWorkRun { .. }
            | TaskFact::Reparent { .. }
            | TaskFact::Reaped { .. } => false,
        };
        if told || self.verbose {
            self.step(record.at, who, words::task(fact, record.host, names), names)?;
        }
        if matches!(fact, TaskFact::ExitNotify { .. }) {
            self.dying.remove(&who);
            self.flush_chain(names)?;
        }
        Ok(())
    }

    fn file(&mut self, record: &Record, fact: &FileFact, names: &Names) -> io::Result<()> {
        let who = (record.host, record.pid);
        if self.verbose {
            return self.line(record.at, who, &words::file(fact), names);
        }
        if !self.dying.contains(&who) {
            return Ok(());
        }
        match fact {
            FileFact::CloseFiles { .. } => self.step(record.at, who, words::file(fact), names),
            FileFact::FilpClose { fd, what, refs_left } => {
                if *refs_left > 0 && words::is_connection(&what.to_string()) {
                    let others =
                        if *refs_left == 1 { "another process holds" } else { "others hold" };
                    let what = format!("  fd {fd} {what}: {others} it too → fput: nothing is sent");
                    return self.line(record.at, who, &what, names);
                }
                self.fds.entry((who, what.to_string())).or_default().push(*fd);
                Ok(())
            }
            FileFact::Fput { .. } => Ok(()),
            FileFact::FinalFput { what } => {
                let fds = self.fds.remove(&(who, what.to_string())).unwrap_or_default();
                self.releasing.insert(who, fds);
                Ok(())
            }
        }
    }

    fn net(&mut self, record: &Record, fact: &NetFact, names: &Names) -> io::Result<()> {
        let who = (record.host, record.pid);
        if self.verbose {
            return self.line(record.at, who, &words::net(fact, names), names);
        }
        match fact {
            NetFact::TcpClose { local, remote, outcome } if self.dying.contains(&who) => {
                if outcome.sent != CloseSent::Nothing(kernel::net::tcp::Silence::NoConnection) {
                    self.ended.insert((*local, *remote));
                }
                let fds = self.releasing.get(&who).cloned().unwrap_or_default();
                let fds: Vec<String> = fds.iter().map(i32::to_string).collect();
                let what = words::tcp_close(*local, *remote, outcome);
                self.line(record.at, who, &format!("  fd {} {what}", fds.join(", ")), names)
            }
            NetFact::Received { packet, .. } => {
                let ends = (packet.source(), packet.destination());
                if ends_connection(packet) && self.ended.remove(&ends) {
                    self.flush_chain(names)?;
                    let words = words::arrival(packet, names);
                    return self.step(record.at, who, words, names);
                }
                Ok(())
            }
            NetFact::Tcp { local, remote, step } => match (step, &mut self.chain) {
                // What the segment whose arrival is being told does.
                (TcpFact::StateChange { .. } | TcpFact::Reset { .. }, Some(chain))
                    if chain.steps[0].contains(&format!("{remote} → {local}"))
                        && record.at.saturating_since(chain.last) <= AT_ONCE =>
                {
                    chain.steps.push(words::tcp_step(step));
                    Ok(())
                }
                // What a kernel does by itself about a peer that says nothing.
                (TcpFact::KeepaliveProbe { .. }, _)
                | (TcpFact::SendActiveReset { why: ResetWhy::KeepaliveTimeout }, _) => {
                    let words = format!("TCP {local}→{remote} {}", words::tcp_step(step));
                    self.step(record.at, who, words, names)
                }
                (TcpFact::TimeoutGaveUp { by: GaveUp::Keepalive, .. }, _) => {
                    self.step(record.at, who, words::tcp_step(step), names)
                }
                _ => Ok(()),
            },
            NetFact::UnixRelease { .. } if self.dying.contains(&who) => {
                self.line(record.at, who, &format!("  {}", words::net(fact, names)), names)
            }
            NetFact::TcpClose { .. }
            | NetFact::Sent { .. }
            | NetFact::SockClose { .. }
            | NetFact::UnixRelease { .. } => Ok(()),
        }
    }

    fn lab(&mut self, record: &Record, fact: &LabFact, names: &Names) -> io::Result<()> {
        let who = (record.host, record.pid);
        let told = match fact {
            LabFact::Started { .. } => {
                self.started.insert(who);
                true
            }
            LabFact::NotStarted { .. } | LabFact::Fault { .. } => true,
            // A death by signal was told by its walk.
            LabFact::Ended { status, .. } => status.code() != 0,
            LabFact::Input { .. } | LabFact::Dropped { .. } => false,
        };
        if told || self.verbose {
            self.line(record.at, who, &words::lab(fact), names)?;
        }
        Ok(())
    }
}

/// A long line goes on under its text, at one of its arrows.
fn wrapped(line: &str) -> String {
    let (mut done, mut column) = (String::new(), 0);
    for (n, step) in line.split(" → ").enumerate() {
        let width = step.chars().count();
        let arrow = if n == 0 { "" } else { " → " };
        if n > 0 && column + 3 + width > WIDTH {
            done.push_str(&format!("\n{:INDENT$}→ {step}", ""));
            column = INDENT + 2 + width;
        } else {
            done.push_str(arrow);
            done.push_str(step);
            column += arrow.chars().count() + width;
        }
    }
    done
}

/// Has a segment FIN or RST?
fn ends_connection(packet: &Packet) -> bool {
    match &packet.payload {
        Transport::Tcp { segment, .. } => segment.has(Flags::FIN) || segment.has(Flags::RST),
        Transport::Udp { .. } | Transport::Icmp(_) | Transport::Neigh(_) => false,
    }
}

impl<W: Write> Renderer for Text<W> {
    fn record(&mut self, record: &Record, names: &Names) -> io::Result<()> {
        let who = (record.host, record.pid);
        match &record.what {
            What::Lab(fact) => self.lab(record, fact, names),
            What::Kernel(Fact::Output { stream, bytes }) => {
                self.output(record, *stream, bytes, names)
            }
            What::Kernel(Fact::Task(fact)) => self.task(record, fact, names),
            What::Kernel(Fact::File(fact)) => self.file(record, fact, names),
            What::Kernel(Fact::Net(fact)) => self.net(record, fact, names),
            What::Kernel(Fact::Unsupported { name, detail }) if self.verbose => {
                self.line(record.at, who, &format!("unsupported: {name} ({detail})"), names)
            }
            // The end lists them.
            What::Kernel(Fact::Unsupported { .. }) => Ok(()),
            What::Kernel(Fact::Preempted { at, computed, passed }) => {
                // One that is pre-empted once often is again; the end tells of the first.
                if !self.verbose && std::mem::replace(&mut self.preempted, true) {
                    return Ok(());
                }
                let line = format!(
                    "computed for {computed:.1?} without a system call while others waited: \
                     pre-empted at {at:#x}, {passed:.1?} pass"
                );
                self.line(record.at, who, &line, names)
            }
            What::Kernel(Fact::Syscall(_) | Fact::Blocked { .. }) => Ok(()),
        }
    }

    fn end(&mut self, end: &End, names: &Names) -> io::Result<()> {
        self.flush_chain(names)?;
        for ((who, _), bytes) in std::mem::take(&mut self.printed) {
            self.write(end.at, who, &format!("│ {}", words::printable(&bytes)), names)?;
        }
        for (name, times) in &end.unsupported {
            writeln!(self.to, "unsupported: {name} ({times} times)")?;
        }
        if let Some(chance) = &end.chance {
            writeln!(self.to, "this run may not repeat: {chance}")?;
        }
        writeln!(
            self.to,
            "digest {} · seed {} · {:?} of virtual time",
            end.digest, end.seed, end.at
        )?;
        if !self.paste.is_empty() {
            writeln!(self.to, "{}", self.paste)?;
        }
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_walk_goes_on_under_its_text() {
        let walk = ["a step of twenty-six letters"; 5].join(" → ");
        let lines: Vec<String> = wrapped(&walk).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|l| l.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[1].trim_start().starts_with("→ a step"), "{lines:?}");
        assert_eq!(wrapped("short → walk"), "short → walk");
    }
}
