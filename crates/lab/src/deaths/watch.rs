//! Watches one death: who was connected with the process when it came, what its host still sent them,
//! what their calls returned, and when each could know. Neighbours: the plan of the death (`super`),
//! `world` (stepped here).

use super::Plan;
use crate::plan::Planned;
use crate::record::{LabFact, Record, What};
use crate::world::{Due, Fate, Step, World};
use kernel::abi::Errno;
use kernel::fact::{Fact, NetFact, SyscallFact};
use kernel::net::packet::{Packet, Transport};
use kernel::net::socket::{SocketId, SocketKind};
use kernel::net::tcp::{Flags, TcpState};
use kernel::platform::Platform;
use kernel::syscall::table;
use kernel::task::{Pid, TaskId};
use kernel::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// A segment that the dead one's host sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// So long after the moment.
    pub after: Duration,
    /// Its flags.
    pub flags: Flags,
    /// How many bytes it carried.
    pub len: usize,
    /// It did not arrive.
    pub lost: bool,
}

/// What a call of a peer returned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Called {
    /// So long after the moment.
    pub after: Duration,
    /// The call's name.
    pub name: &'static str,
    /// rax.
    pub result: i64,
}

impl Called {
    /// Does it tell that the connection is over: an end of file, or an error that is not EAGAIN or EINTR?
    fn tells(&self) -> bool {
        match kind(self.name) {
            Some(Kind::Reads) if self.result == 0 => true,
            Some(Kind::Reads | Kind::Writes) if self.result < 0 => {
                let errno = Errno::from_raw(-self.result as i32);
                errno != Errno::EAGAIN && errno != Errno::EINTR
            }
            Some(Kind::Reads | Kind::Writes | Kind::Waits) | None => false,
        }
    }
}

/// One end of a connection with the process, seen from the other side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The scenario's name of the process that has it; its pid where the scenario doesn't know it.
    pub process: String,
    /// The name of its host.
    pub host: String,
    /// Its address.
    pub local: SocketAddr,
    /// The dead one's.
    pub remote: SocketAddr,
    /// In which state it was when death came.
    pub state: TcpState,
    /// What came, or should have come, from the other side.
    pub sent: Vec<Sent>,
    /// What its calls on it returned, and its calls that wait for descriptors.
    pub calls: Vec<Called>,
    /// When the first of them told that the connection is over.
    pub knew: Option<Duration>,
    on: usize,
    socket: SocketId,
}

/// What came of a death.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What became of the process, after how long.
    pub fate: (Fate, Duration),
    /// Why it hit nothing, if it did not.
    pub missed: Option<String>,
    /// A process that could not be started, and why.
    pub not_started: Option<(String, String)>,
    /// Who was connected with it.
    pub peers: Vec<Peer>,
}

/// What a call does with a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Reads,
    Writes,
    /// For any of its descriptors.
    Waits,
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "read" | "readv" | "recvfrom" | "recvmsg" | "recvmmsg" => Kind::Reads,
        "write" | "writev" | "sendto" | "sendmsg" | "sendmmsg" | "sendfile" => Kind::Writes,
        "poll" | "ppoll" | "select" | "pselect6" => Kind::Waits,
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => Kind::Waits,
        _ => return None,
    })
}

/// Runs a world that was made from the plan's scenario of a death to its end. `goes_on` is asked
/// between steps; when it says no, there is no outcome.
pub fn watch<P: Platform>(
    world: &mut World<P>,
    plan: &Plan,
    goes_on: &mut dyn FnMut() -> bool,
) -> Option<Outcome> {
    let at = Instant::ZERO + plan.at;
    let mut watched: Option<Outcome> = None;
    let mut not_started = None;
    loop {
        if watched.is_none() && world.death_is_due(at) {
            let fate = (world.fates[&plan.process].clone(), Duration::ZERO);
            let peers = world.peers_of(&plan.process);
            watched = Some(Outcome { fate, missed: None, not_started: None, peers });
        }
        let step = world.step();
        for record in world.take_records() {
            if let What::Lab(LabFact::NotStarted { process, errno, why }) = &record.what {
                // Without power is what some deaths are; a program that is not there is a mistake.
                if *errno != Errno::EHOSTDOWN {
                    not_started.get_or_insert((process.clone(), format!("{why} ({errno:?})")));
                }
            }
            if let Some(outcome) = &mut watched {
                world.see(outcome, &record, at);
            }
        }
        if !goes_on() {
            return None;
        }
        if step != Step::Moved {
            break;
        }
    }
    let mut outcome = watched.unwrap_or(Outcome {
        fate: (Fate::Waiting, Duration::ZERO),
        missed: Some("the world ended before".to_owned()),
        not_started: None,
        peers: Vec::new(),
    });
    let fate = world.fates[&plan.process].clone();
    let when = match fate {
        Fate::Ended(_, when) | Fate::Lost(when) => when.saturating_since(at),
        Fate::Waiting | Fate::NotStarted | Fate::Running(_) => Duration::ZERO,
    };
    outcome.fate = (fate, when);
    outcome.not_started = not_started;
    Some(outcome)
}

impl<P: Platform> World<P> {
    /// Is the next thing that happens a fault of this moment?
    fn death_is_due(&self, at: Instant) -> bool {
        let next = self.plan.get(self.next_planned);
        at <= self.scenario.until
            && matches!(next, Some((when, Planned::Fault(_))) if *when == at)
            && matches!(self.first_due(None), Some((_, Due::Plan)))
    }

    /// The other ends of a process's connections, and of those that wait to be accepted by it.
    fn peers_of(&self, process: &str) -> Vec<Peer> {
        let spec = self.scenario.processes.iter().find(|it| it.name == process);
        let (Some(spec), Fate::Running(pid)) = (spec, &self.fates[process]) else {
            return Vec::new();
        };
        let kernel = &self.hosts[spec.host].kernel;
        let own: BTreeSet<SocketId> = match kernel.pids.task(*pid) {
            Some(task) => self.sockets_of(spec.host, task).collect(),
            None => BTreeSet::new(),
        };
        let names: BTreeSet<SocketAddr> =
            own.iter().map(|socket| kernel.tcp_name(*socket)).collect();
        let mut peers = Vec::new();
        for (on, host) in self.hosts.iter().enumerate().filter(|(_, host)| !host.off) {
            for (socket, value) in host.kernel.net.sockets.iter() {
                let SocketKind::Tcp(_) = value.kind else { continue };
                let Ok(remote) = host.kernel.tcp_remote(socket) else { continue };
                let meant = names.contains(&remote)
                    || kernel.is_local_address(remote.ip())
                        && names
                            .iter()
                            .any(|n| n.ip().is_unspecified() && n.port() == remote.port());
                if !meant || on == spec.host && own.contains(&socket) {
                    continue;
                }
                peers.push(Peer {
                    process: self.owner(on, socket),
                    host: host.name.clone(),
                    local: host.kernel.tcp_name(socket),
                    remote,
                    state: host.kernel.tcp_of(socket).map_or(TcpState::Close, |it| it.state()),
                    sent: Vec::new(),
                    calls: Vec::new(),
                    knew: None,
                    on,
                    socket,
                });
            }
        }
        peers
    }

    /// The TCP sockets that a task has open.
    fn sockets_of(&self, host: usize, task: TaskId) -> impl Iterator<Item = SocketId> {
        let kernel = &self.hosts[host].kernel;
        let files = kernel.tasks[task].files.map(|_| kernel.table(task));
        let sockets = files.into_iter().flat_map(|table| table.iter());
        sockets.filter_map(|(_, file)| kernel.sock_of(file).ok()).filter(|socket| {
            match kernel.net.sockets[*socket].kind {
                SocketKind::Tcp(_) => true,
                SocketKind::Udp(_) | SocketKind::Unix(_) => false,
            }
        })
    }

    /// Who has a socket open: the first, by pid.
    fn owner(&self, host: usize, socket: SocketId) -> String {
        let has = |task: TaskId| self.sockets_of(host, task).any(|it| it == socket);
        let owner = self.hosts[host].kernel.pids.iter().find(|(_, task)| has(*task));
        let Some((pid, task)) = owner else { return "nobody".to_owned() };
        let kernel = &self.hosts[host].kernel;
        let tgid = kernel.groups[kernel.tasks[task].group].tgid;
        match self.names.get(&(host, tgid)) {
            Some(name) => name.clone(),
            None => format!("{}[{}]", String::from_utf8_lossy(&kernel.tasks[task].comm), pid.0),
        }
    }

    /// What a record says of the peers.
    fn see(&self, outcome: &mut Outcome, record: &Record, at: Instant) {
        let after = record.at.saturating_since(at);
        match &record.what {
            What::Lab(LabFact::Fault { missed: Some(missed), .. }) => {
                outcome.missed.get_or_insert_with(|| missed.clone());
            }
            What::Lab(LabFact::Dropped { packet, .. }) => {
                for (peer, sent) in sent_to(&mut outcome.peers, packet, after) {
                    let last = peer.sent.iter_mut().rev();
                    let same =
                        |it: &&mut Sent| it.flags == sent.flags && it.len == sent.len && !it.lost;
                    if let Some(it) = last.take(8).find(same) {
                        it.lost = true;
                    }
                }
            }
            What::Kernel(Fact::Net(NetFact::Sent { packet, .. })) => {
                for (peer, sent) in sent_to(&mut outcome.peers, packet, after) {
                    peer.sent.push(sent);
                }
            }
            What::Kernel(Fact::Syscall(call)) => {
                let (Some(on), Some(tid)) = (record.host, record.tid) else { return };
                for peer in outcome.peers.iter_mut().filter(|peer| peer.on == on) {
                    self.returned(peer, tid, call, after);
                }
            }
            What::Lab(_) | What::Kernel(_) => {}
        }
    }

    /// A thread of a peer's host is back from a call: does it concern the peer?
    fn returned(&self, peer: &mut Peer, tid: Pid, call: &SyscallFact, after: Duration) {
        let Some(name) = table::row(call.nr).map(|row| row.name) else { return };
        let (Some(kind), Some(result)) = (kind(name), call.result) else { return };
        let kernel = &self.hosts[peer.on].kernel;
        let Some(task) = kernel.pids.task(tid) else { return };
        if !self.sockets_of(peer.on, task).any(|it| it == peer.socket) {
            return;
        }
        let fd = kernel.table(task).get(call.args[0] as i32);
        let it_is = fd.is_ok_and(|file| kernel.sock_of(file) == Ok(peer.socket));
        if kind != Kind::Waits && !it_is {
            return;
        }
        let called = Called { after, name, result: result as i64 };
        if called.tells() {
            peer.knew.get_or_insert(after);
        }
        peer.calls.push(called);
    }
}

/// The peers that a packet was for, and what they are to see of it.
fn sent_to<'a>(
    peers: &'a mut [Peer],
    packet: &Packet,
    after: Duration,
) -> impl Iterator<Item = (&'a mut Peer, Sent)> {
    let found = match &packet.payload {
        Transport::Tcp { segment, .. } => {
            let ends = (packet.source(), packet.destination());
            let sent =
                Sent { after, flags: segment.flags, len: segment.payload.len(), lost: false };
            Some((ends, sent))
        }
        Transport::Udp { .. } | Transport::Icmp(_) | Transport::Neigh(_) => None,
    };
    peers.iter_mut().filter_map(move |peer| {
        let ((from, to), sent) = found?;
        (from == peer.remote && to == peer.local).then_some((peer, sent))
    })
}
