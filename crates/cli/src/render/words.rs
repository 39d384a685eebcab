//! Facts in words, for the story. Each function says one kind of fact; nothing is added to it.
//! Neighbour: `text` decides what is told.

use super::Names;
use kernel::abi::signal::Signal;
use kernel::fact::task::{Dropped, SignalAction};
use kernel::fact::{FileFact, NetFact, TaskFact};
use kernel::net::packet::{Discovery, Packet, Transport};
use kernel::net::tcp::{CloseOutcome, CloseSent, ReplyWhy, ResetWhy, Silence, TcpFact};
use kernel::task::WaitStatus;
use lab::LabFact;
use lab::fault::FaultKind;
use lab::shape::LinkShape;
use lab::verdict;
use std::net::SocketAddr;

/// Bytes as text, with control characters made visible.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\t' { '·' } else { c }).collect()
}

fn command(words: &[Vec<u8>]) -> String {
    words.iter().map(|w| printable(w)).collect::<Vec<_>>().join(" ")
}

/// Does the description of a file name a connection?
pub fn is_connection(what: &str) -> bool {
    what.starts_with("TCP") || what.starts_with("unix")
}

/// A fact of the lab.
pub fn lab(fact: &LabFact) -> String {
    match fact {
        LabFact::Started { command: words, .. } => format!("starts: {}", command(words)),
        LabFact::NotStarted { process, errno, why } => {
            format!("{process} cannot be started: {errno:?}: {why}")
        }
        LabFact::Ended { status, .. } => verdict::describe(*status),
        LabFact::Fault { fault, missed } => {
            let what = match fault {
                FaultKind::Signal { process, signal } => format!("fault: {signal:?} to {process}"),
                FaultKind::Crash { process } => format!("fault: {process} reads from address 0"),
                FaultKind::Oom { process } => {
                    format!("fault: out of memory, oom_kill_process: {process}")
                }
                FaultKind::PowerOff { .. } => "fault: the host loses its power".to_owned(),
                FaultKind::PowerOn { .. } => "the host's power comes back".to_owned(),
                FaultKind::Partition { between: (a, b), one_way: true } => {
                    format!("fault: nothing that {a} sends arrives at {b} any more")
                }
                FaultKind::Unplug { host } => format!("fault: the cable of {host} is pulled out"),
                FaultKind::Plug { host } => format!("the cable of {host} is in again"),
                FaultKind::Link { between: (a, b), shape } => {
                    format!("the link between {a} and {b} is another from now on: {}", link(shape))
                }
                FaultKind::Partition { between: (a, b), one_way: false } => {
                    format!("fault: nothing goes between {a} and {b} any more")
                }
                FaultKind::Heal { between: (a, b) } => {
                    format!("packets go between {a} and {b} again")
                }
            };
            match missed {
                Some(why) => format!("{what}, but {why}"),
                None => what,
            }
        }
        LabFact::Input { bytes } if bytes.is_empty() => "standard input ends".to_owned(),
        LabFact::Input { bytes } => format!("input: {}", printable(bytes)),
        LabFact::Dropped { packet, why } => {
            format!("dropped {} → {}: {why}", packet.source(), packet.destination())
        }
    }
}

/// A step of a task.
pub fn task(fact: &TaskFact, host: Option<usize>, names: &Names) -> String {
    use TaskFact as T;
    let last = |yes: bool| if yes { "" } else { " (others share it)" };
    match fact {
        T::CopyProcess { .. } => "copy_process".into(),
        T::DupTaskStruct { .. } => "dup_task_struct".into(),
        T::AllocPid { pid } => format!("alloc_pid: {}", pid.0),
        T::WakeUpNewTask { thread: false, .. } => "wake_up_new_task".into(),
        T::WakeUpNewTask { thread: true, .. } => "wake_up_new_task: a thread".into(),
        T::Exec { argv, .. } => format!("execve: {}", command(argv)),
        T::SendSignal { signal, to, dropped, .. } => {
            let to = names.process(host, *to);
            let dropped = match dropped {
                None => "",
                Some(Dropped::GroupExit) => ", dropped: it is dying already",
                Some(Dropped::Ignored) => ", dropped: it is ignored",
                Some(Dropped::Unkillable) => ", dropped: PID 1 has no handler for it",
                Some(Dropped::AlreadyPending) => ", dropped: one is pending already",
                Some(Dropped::Record) => ", without its siginfo: RLIMIT_SIGPENDING",
                Some(Dropped::Limit) => ", dropped: RLIMIT_SIGPENDING",
            };
            format!("send_signal: {signal:?} to {to}{dropped}")
        }
        T::CompleteSignal { fatal: true, .. } => "complete_signal: fatal, all threads wake".into(),
        T::CompleteSignal { chosen: Some(tid), .. } => format!("complete_signal: wakes {}", tid.0),
        T::CompleteSignal { chosen: None, .. } => "complete_signal: nobody wants it yet".into(),
        T::GetSignal { signal, action } => match action {
            SignalAction::Handler => format!("get_signal: {signal:?}"),
            SignalAction::Ignore => format!("get_signal: {signal:?}, ignored"),
            SignalAction::Stop => format!("get_signal: {signal:?}, stops"),
            SignalAction::Terminate => format!("get_signal: {signal:?}"),
            SignalAction::CoreDump => format!("get_signal: {signal:?}, dumps core"),
        },
        T::SetupRtFrame { handler, .. } => format!("setup_rt_frame → handler {handler:#x}"),
        T::RtSigreturn { to } => format!("rt_sigreturn: back to {to:#x}"),
        T::ForceSig { signal, address, rip } => {
            format!("force_sig: {signal:?} at {rip:#x}, address {address:#x}")
        }
        T::Stopped { signal } => format!("stopped by {signal:?}"),
        T::Continued => "continued".into(),
        T::DoGroupExit { status: s, threads } => {
            let threads =
                if *threads == 1 { String::new() } else { format!(", {threads} threads") };
            format!("do_group_exit: {}{threads}", status(*s))
        }
        T::DoExit { .. } => "do_exit".into(),
        T::ExitMm { last: l } => format!("exit_mm{}", last(*l)),
        T::ExitFiles { last: l, .. } => format!("exit_files{}", last(*l)),
        T::ExitFs => "exit_fs".into(),
        T::TaskWorkRun { releases } => {
            format!("task_work_run: {releases} releases, last put first")
        }
        T::Reparent { child, to } => {
            format!("reparent: {} to {}", names.process(host, *child), names.process(host, *to))
        }
        T::ExitNotify { signal, parent, autoreap, .. } => {
            match parent.map(|parent| names.process(host, parent)) {
                Some(parent) => format!("exit_notify: {}", told(*signal, &parent, *autoreap)),
                None => "exit_notify: its parent is outside of this host".to_owned(),
            }
        }
        T::Reaped { pid, status: s } => {
            format!("reaps {}: {}", names.process(host, *pid), status(*s))
        }
    }
}

/// Whom exit_notify told.
fn told(signal: Option<Signal>, parent: &str, autoreap: bool) -> String {
    match (signal, autoreap) {
        (Some(signal), false) => format!("{signal:?} to {parent}"),
        (Some(signal), true) => format!("{signal:?} to {parent}, reaped at once"),
        (None, false) => format!("no signal to {parent}"),
        (None, true) => format!("no signal, {parent} leaves no zombies: reaped at once"),
    }
}

fn status(status: WaitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("{signal:?}"),
        None => format!("status {}", status.code()),
    }
}

/// A step of the file room.
pub fn file(fact: &FileFact) -> String {
    match fact {
        FileFact::CloseFiles { open } => format!("close_files: {open} open, ascending"),
        FileFact::FilpClose { fd, what, refs_left } => {
            format!("filp_close: fd {fd} {what}, {refs_left} references left")
        }
        FileFact::Fput { what, deferred: true } => format!("fput: {what}, release is deferred"),
        FileFact::Fput { what, deferred: false } => format!("fput: {what}"),
        FileFact::FinalFput { what } => format!("__fput: {what}"),
    }
}

/// A step of the net room.
pub fn net(fact: &NetFact, names: &Names) -> String {
    match fact {
        NetFact::Sent { packet, loopback } => {
            let by = if *loopback { "lo" } else { "eth0" };
            format!("{by} ← {}", self::packet(packet, names))
        }
        NetFact::Received { packet, loopback } => {
            let by = if *loopback { "lo" } else { "eth0" };
            format!("{by} → {}", self::packet(packet, names))
        }
        NetFact::SockClose { what } => format!("sock_close: {what}"),
        NetFact::UnixRelease { what, decision } => format!("unix_release_sock: {what}: {decision}"),
        NetFact::TcpClose { local, remote, outcome } => tcp_close(*local, *remote, outcome),
        NetFact::Tcp { local, remote, step } => {
            format!("TCP {local}→{remote}: {}", tcp_step(step))
        }
    }
}

fn packet(packet: &Packet, names: &Names) -> String {
    let ends = format!("{} → {}", packet.source(), packet.destination());
    match &packet.payload {
        Transport::Tcp { segment, .. } => {
            let (seq, ack) = names.relative(packet).unwrap_or_default();
            let len = segment.payload.len();
            format!(
                "{ends} {:?} seq {seq} ack {ack} len {len} win {}",
                segment.flags, segment.window
            )
        }
        Transport::Udp { payload, .. } => format!("{ends} UDP len {}", payload.len()),
        Transport::Icmp(unreachable) => format!("{ends} ICMP unreachable {}", unreachable.code),
        Transport::Neigh(Discovery::Solicit { .. }) => {
            format!("who has {}? asks {}", packet.dst, packet.src)
        }
        Transport::Neigh(Discovery::Advertise) => {
            format!("{} answers {}: it is here", packet.src, packet.dst)
        }
    }
}

/// `[F.] 10.0.0.1:7000 → 10.0.0.2:40000 arrives`.
pub fn arrival(packet: &Packet, _: &Names) -> String {
    let flags = match &packet.payload {
        Transport::Tcp { segment, .. } => format!("{:?}", segment.flags),
        Transport::Udp { .. } | Transport::Icmp(_) | Transport::Neigh(_) => String::new(),
    };
    format!("{flags} {} → {} arrives", packet.source(), packet.destination())
}

/// What tcp_close found, decided and did.
pub fn tcp_close(local: SocketAddr, remote: SocketAddr, outcome: &CloseOutcome) -> String {
    let (state, unread) = (outcome.from.name(), outcome.unread);
    let found = format!("TCP {local}→{remote} {state}, {unread} bytes unread");
    let did = match outcome.sent {
        CloseSent::Fin { unsent: 0 } => "tcp_send_fin [F.]".to_owned(),
        CloseSent::Fin { unsent } => format!("tcp_send_fin [F.] behind {unsent} bytes"),
        CloseSent::Rst(why) => {
            let why = match why {
                ResetWhy::Unread => "unread data",
                ResetWhy::Linger0 => "SO_LINGER 0",
                ResetWhy::NotAccepted => "nobody accepted it",
                ResetWhy::Linger2 => "TCP_LINGER2 < 0",
                ResetWhy::KeepaliveTimeout => "keepalive timeout",
                ResetWhy::Disconnect => "disconnect",
                ResetWhy::TooManyOrphans => "too many orphans",
            };
            format!("{why}: tcp_send_active_reset [R.]")
        }
        CloseSent::Nothing(why) => {
            let why = match why {
                Silence::NoConnection => "no connection",
                Silence::SynSent => "the handshake is not finished",
                Silence::FinSentBefore => "the FIN was sent before",
                Silence::FinAlreadyOut => "the FIN is out already",
            };
            format!("nothing is sent: {why}")
        }
    };
    format!("{found} → {did}")
}

/// A step inside TCP.
pub fn tcp_step(step: &TcpFact) -> String {
    match step {
        TcpFact::StateChange { from, to } => format!("{} → {}", from.name(), to.name()),
        TcpFact::SendFin { unsent } => format!("tcp_send_fin, {unsent} bytes before it"),
        TcpFact::SendActiveReset { why } => format!("tcp_send_active_reset [R.]: {why:?}"),
        TcpFact::SendReset { why } => {
            let why = match why {
                ReplyWhy::NoSocket => "there is no socket",
                ReplyWhy::BadAck => "it acknowledges what was never sent",
                ReplyWhy::DataAfterClose => "data after close",
                ReplyWhy::DataInFinWait2 => "data in FIN_WAIT2 of an orphan",
                ReplyWhy::Linger2 => "TCP_LINGER2 < 0",
                ReplyWhy::SynInWindow => "a SYN in the window",
                ReplyWhy::AcceptQueueFull => "the accept queue is full",
            };
            format!("tcp_v4_send_reset: {why}")
        }
        TcpFact::Reset { error, .. } => format!("tcp_reset: {error:?}"),
        TcpFact::Retransmit { n, .. } => format!("tcp_retransmit_skb, after {n} timeouts"),
        TcpFact::LossProbe { .. } => "tcp_send_loss_probe".into(),
        TcpFact::WindowProbe { unanswered } => format!("tcp_send_probe0, {unanswered} unanswered"),
        TcpFact::KeepaliveProbe { unanswered } => {
            format!("tcp_keepalive_timer: probe [.], {unanswered} unanswered")
        }
        TcpFact::TimeoutGaveUp { error, after, .. } => {
            format!("tcp_write_err: given up after {after:?}: {error:?}")
        }
        TcpFact::ChallengeAck { why } => format!("tcp_send_challenge_ack: {why:?}"),
        TcpFact::Dropped { flags, why } => format!("{flags:?} dropped: {why:?}"),
        TcpFact::TimeWait { state, timeout } => {
            format!("tcp_time_wait: {} for {timeout:?}", state.name())
        }
    }
}

/// What a link does to packets, as a scenario says it.
pub(super) fn link(shape: &LinkShape) -> String {
    let mut words = vec![format!("latency {:?}", shape.latency)];
    if !shape.jitter.is_zero() {
        words.push(format!("jitter {:?}", shape.jitter));
    }
    for (name, share) in
        [("loss", shape.loss), ("duplicate", shape.duplicate), ("reorder", shape.reorder)]
    {
        if share.0 > 0 {
            words.push(format!("{name} {}%", f64::from(share.0) / 10_000.0));
        }
    }
    if let Some(bandwidth) = shape.bandwidth {
        words.push(format!("{bandwidth} bit/s with a queue of {}", shape.queue));
    }
    words.join(", ")
}
