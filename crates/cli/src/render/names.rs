//! What renderers share: the names of hosts and processes at each moment, and the initial sequence
//! numbers of connections, so that numbers can be shown relative to them.

use super::HostName;
use kernel::fact::{Fact, NetFact, TaskFact};
use kernel::net::packet::{Packet, Transport};
use kernel::net::tcp::Flags;
use kernel::task::Pid;
use lab::{LabFact, Record, What};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Names and sequence numbers so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    /// The hosts by index.
    pub hosts: Vec<HostName>,
    processes: BTreeMap<(usize, Pid), String>,
    isn: BTreeMap<(SocketAddr, SocketAddr), u32>,
}

impl Names {
    /// Nothing happened yet.
    pub fn new(hosts: Vec<HostName>) -> Names {
        Names { hosts, processes: BTreeMap::new(), isn: BTreeMap::new() }
    }

    /// Takes note of what a fact says about names.
    pub fn learn(&mut self, record: &Record) {
        let host = record.host.unwrap_or(0);
        match &record.what {
            What::Lab(LabFact::Started { process, pid, .. }) => {
                self.processes.insert((host, *pid), process.clone());
            }
            What::Kernel(Fact::Task(TaskFact::AllocPid { pid })) => {
                let parent = record.pid.and_then(|p| self.processes.get(&(host, p))).cloned();
                self.processes.insert((host, *pid), parent.unwrap_or_default());
            }
            What::Kernel(Fact::Task(TaskFact::Exec { path, .. })) => {
                let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
                let name = String::from_utf8_lossy(name).into_owned();
                if let Some(pid) = record.pid {
                    self.processes.insert((host, pid), name);
                }
            }
            What::Kernel(Fact::Net(NetFact::Sent { packet, .. })) => {
                if let Transport::Tcp { segment, .. } = &packet.payload
                    && segment.has(Flags::SYN)
                {
                    let way = (packet.source(), packet.destination());
                    self.isn.insert(way, segment.seq.0);
                }
            }
            _ => {}
        }
    }

    /// A host's name.
    pub fn host(&self, host: Option<usize>) -> &str {
        host.and_then(|i| self.hosts.get(i)).map_or("-", |h| &h.name)
    }

    /// `server[2]`.
    pub fn process(&self, host: Option<usize>, pid: Pid) -> String {
        let name = host.and_then(|h| self.processes.get(&(h, pid))).filter(|n| !n.is_empty());
        match name {
            Some(name) => format!("{name}[{}]", pid.0),
            None if pid.0 == 1 => "init[1]".to_owned(),
            None => format!("[{}]", pid.0),
        }
    }

    /// Sequence and acknowledgment number of a segment, relative to the initial ones.
    pub fn relative(&self, packet: &Packet) -> Option<(u32, u32)> {
        let Transport::Tcp { segment, .. } = &packet.payload else { return None };
        let way = (packet.source(), packet.destination());
        let seq = self.isn.get(&way).map_or(segment.seq.0, |isn| segment.seq.0.wrapping_sub(*isn));
        let back = self.isn.get(&(way.1, way.0));
        let ack = match back {
            _ if !segment.has(Flags::ACK) => 0,
            Some(isn) => segment.ack.0.wrapping_sub(*isn),
            None => segment.ack.0,
        };
        // A reset in answer to nobody's segment has sequence number 0, which is relative already.
        let seq = if segment.has(Flags::RST) && segment.seq.0 == 0 { 0 } else { seq };
        Some((seq, ack))
    }
}
