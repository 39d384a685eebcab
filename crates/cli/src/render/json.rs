//! Facts as JSON, one object a line. Every object has `at` (virtual nanoseconds since the world
//! began) and `kind`, and `host`, `pid`, `tid` where they are concerned. The last one has kind
//! `end`. The shape is a contract: scripts read it.
// tidy: table

use super::{End, Names, Renderer};
use kernel::fact::{Fact, FileFact, NetFact, SyscallFact, TaskFact};
use kernel::net::packet::{Discovery, Packet, Transport};
use kernel::syscall;
use kernel::task::WaitStatus;
use lab::fault::FaultKind;
use lab::{LabFact, Record, What};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Writes JSON lines.
pub struct Json<W: Write> {
    to: W,
}

impl<W: Write> Json<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Json<W> {
        Json { to }
    }

    fn line(&mut self, object: Map<String, Value>) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, &object)?;
        self.to.write_all(b"\n")
    }
}

impl<W: Write> Renderer for Json<W> {
    fn record(&mut self, record: &Record, names: &Names) -> io::Result<()> {
        let (kind, fields) = match &record.what {
            What::Kernel(fact) => kernel_fact(fact, names),
            What::Lab(fact) => lab_fact(fact, names),
        };
        let mut object = Map::new();
        object.insert("at".into(), json!(record.at.as_nanos()));
        object.insert("kind".into(), json!(kind));
        if record.host.is_some() {
            object.insert("host".into(), json!(names.host(record.host)));
        }
        if let Some(pid) = record.pid {
            object.insert("pid".into(), json!(pid.0));
        }
        if let Some(tid) = record.tid.filter(|tid| Some(*tid) != record.pid) {
            object.insert("tid".into(), json!(tid.0));
        }
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        self.line(object)
    }

    fn end(&mut self, end: &End, _: &Names) -> io::Result<()> {
        let unsupported: Vec<Value> = end
            .unsupported
            .iter()
            .map(|(name, times)| json!({"name": name, "times": times}))
            .collect();
        let object = json!({
            "at": end.at.as_nanos(),
            "kind": "end",
            "reason": end.reason,
            "digest": end.digest,
            "seed": end.seed,
            "deterministic": end.chance.is_none(),
            "unsupported": unsupported,
            "virtual_ns": end.at.as_nanos(),
        });
        let Value::Object(mut object) = object else { return Ok(()) };
        if let Some(chance) = &end.chance {
            object.insert("because".into(), json!(chance));
        }
        self.line(object)?;
        self.to.flush()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes that moved: as text, and in hexadecimal where they are none.
fn content(bytes: &[u8]) -> Value {
    let object = json!({"len": bytes.len(), "text": text(bytes)});
    if std::str::from_utf8(bytes).is_ok() {
        return object;
    }
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    with(object, json!({"hex": hex}))
}

fn texts(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|w| text(w)).collect()
}

/// A wait status: the word as wait(2) reports it, and what it says.
fn status(status: WaitStatus) -> Value {
    match status.signal() {
        Some(signal) => json!({"status": status.0, "signal": format!("{signal:?}")}),
        None => json!({"status": status.0, "code": status.code()}),
    }
}

fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

fn kernel_fact(fact: &Fact, names: &Names) -> (&'static str, Value) {
    match fact {
        Fact::Syscall(call) => {
            let SyscallFact { entered, nr, args, shown, result } = &**call;
            let mut object = json!({
                "name": name(*nr), "nr": nr, "args": args, "entered": entered.as_nanos(),
                "result": result.map(|r| r as i64),
            });
            if let (Some(shown), Value::Object(object)) = (shown, &mut object) {
                object.insert("shown".into(), json!(shown));
            }
            ("syscall", object)
        }
        Fact::Blocked { nr, args } => {
            ("blocked", json!({"name": name(*nr), "nr": nr, "args": args}))
        }
        Fact::Unsupported { name, detail } => {
            ("unsupported", json!({"name": name, "detail": detail}))
        }
        Fact::Preempted { at, computed, passed } => (
            "preempted",
            json!({
                "address": format!("{at:#x}"),
                "computed_ns": computed.as_nanos() as u64,
                "passed_ns": passed.as_nanos() as u64,
            }),
        ),
        Fact::Output { stream, bytes } => {
            ("output", with(json!({"stream": stream}), content(bytes)))
        }
        Fact::Task(fact) => task_fact(fact),
        Fact::File(fact) => file_fact(fact),
        Fact::Net(fact) => net_fact(fact, names),
    }
}

fn name(nr: u64) -> String {
    syscall::absent::name(nr).map_or_else(|| format!("syscall_{nr}"), str::to_owned)
}

fn task_fact(fact: &TaskFact) -> (&'static str, Value) {
    use TaskFact as T;
    match fact {
        T::CopyProcess { flags } => ("copy_process", json!({"flags": flags})),
        T::DupTaskStruct { comm } => ("dup_task_struct", json!({"comm": text(comm)})),
        T::AllocPid { pid } => ("alloc_pid", json!({"child": pid.0})),
        T::WakeUpNewTask { pid, thread } => {
            ("wake_up_new_task", json!({"child": pid.0, "thread": thread}))
        }
        T::Exec { path, argv, interpreter } => {
            let interpreter = interpreter.as_ref().map(|i| text(i));
            ("exec", json!({"path": text(path), "argv": texts(argv), "interpreter": interpreter}))
        }
        T::SendSignal { signal, to, group, dropped } => (
            "send_signal",
            json!({"signal": format!("{signal:?}"), "to": to.0, "group": group,
                   "dropped": dropped.map(|d| format!("{d:?}"))}),
        ),
        T::CompleteSignal { signal, chosen, why, fatal } => (
            "complete_signal",
            json!({"signal": format!("{signal:?}"), "chosen": chosen.map(|p| p.0),
                   "why": format!("{why:?}"), "fatal": fatal}),
        ),
        T::GetSignal { signal, action } => (
            "get_signal",
            json!({"signal": format!("{signal:?}"), "action": format!("{action:?}")}),
        ),
        T::SetupRtFrame { signal, handler, frame } => (
            "setup_rt_frame",
            json!({"signal": format!("{signal:?}"), "handler": handler, "frame": frame}),
        ),
        T::RtSigreturn { to } => ("rt_sigreturn", json!({"to": to})),
        T::ForceSig { signal, address, rip } => {
            ("force_sig", json!({"signal": format!("{signal:?}"), "address": address, "rip": rip}))
        }
        T::Stopped { signal } => ("stopped", json!({"signal": format!("{signal:?}")})),
        T::Continued => ("continued", json!({})),
        T::DoGroupExit { status: s, threads } => {
            ("do_group_exit", with(status(*s), json!({"threads": threads})))
        }
        T::DoExit { status: s, last } => ("do_exit", with(status(*s), json!({"last": last}))),
        T::ExitMm { last } => ("exit_mm", json!({"last": last})),
        T::ExitFiles { last, open } => ("exit_files", json!({"last": last, "open": open})),
        T::ExitFs => ("exit_fs", json!({})),
        T::TaskWorkRun { releases } => ("task_work_run", json!({"releases": releases})),
        T::Reparent { child, to } => ("reparent", json!({"child": child.0, "to": to.0})),
        T::ExitNotify { status: s, signal, parent, autoreap } => (
            "exit",
            with(
                status(*s),
                json!({"exit_signal": signal.map(|s| format!("{s:?}")),
                       "parent": parent.map(|p| p.0), "autoreap": autoreap}),
            ),
        ),
        T::Reaped { pid, status: s } => ("reaped", with(json!({"child": pid.0}), status(*s))),
    }
}

fn file_fact(fact: &FileFact) -> (&'static str, Value) {
    match fact {
        FileFact::CloseFiles { open } => ("close_files", json!({"open": open})),
        FileFact::FilpClose { fd, what, refs_left } => {
            ("filp_close", json!({"fd": fd, "what": what.to_string(), "refs_left": refs_left}))
        }
        FileFact::Fput { what, deferred } => {
            ("fput", json!({"what": what.to_string(), "deferred": deferred}))
        }
        FileFact::FinalFput { what } => ("__fput", json!({"what": what.to_string()})),
    }
}

fn net_fact(fact: &NetFact, names: &Names) -> (&'static str, Value) {
    match fact {
        NetFact::Sent { packet, loopback } => {
            let kind = match &packet.payload {
                Transport::Tcp { .. } => "segment",
                Transport::Udp { .. } => "datagram",
                Transport::Icmp(_) => "icmp",
                Transport::Neigh(_) => "neighbour",
            };
            (kind, with(self::packet(packet, names), json!({"loopback": loopback})))
        }
        NetFact::Received { packet, loopback } => {
            ("received", with(self::packet(packet, names), json!({"loopback": loopback})))
        }
        NetFact::SockClose { what } => ("sock_close", json!({"what": what.to_string()})),
        NetFact::UnixRelease { what, decision } => {
            ("unix_release", json!({"what": what, "decision": decision}))
        }
        NetFact::TcpClose { local, remote, outcome } => (
            "tcp_close",
            json!({"local": local.to_string(), "remote": remote.to_string(),
                   "from": outcome.from.name(), "to": outcome.next.name(),
                   "unread": outcome.unread, "sent": format!("{:?}", outcome.sent)}),
        ),
        NetFact::Tcp { local, remote, step } => (
            "tcp",
            json!({"local": local.to_string(), "remote": remote.to_string(),
                   "step": format!("{step:?}")}),
        ),
    }
}

fn packet(packet: &Packet, names: &Names) -> Value {
    let ends = json!({"from": packet.source().to_string(), "to": packet.destination().to_string()});
    let rest = match &packet.payload {
        Transport::Tcp { segment, .. } => {
            let (seq, ack) = names.relative(packet).unwrap_or_default();
            json!({"flags": segment.flags.to_string(), "seq": seq, "ack": ack,
                   "len": segment.payload.len(), "win": segment.window})
        }
        Transport::Udp { payload, .. } => json!({"len": payload.len()}),
        Transport::Icmp(unreachable) => json!({"code": unreachable.code,
            "about": format!("{} → {}", unreachable.from, unreachable.to)}),
        Transport::Neigh(what) => json!({"asks": *what != Discovery::Advertise}),
    };
    with(ends, rest)
}

fn lab_fact(fact: &LabFact, names: &Names) -> (&'static str, Value) {
    match fact {
        LabFact::Started { process, command, .. } => {
            ("started", json!({"process": process, "command": texts(command)}))
        }
        LabFact::NotStarted { process, errno, why } => {
            ("not_started", json!({"process": process, "errno": format!("{errno:?}"), "why": why}))
        }
        LabFact::Ended { process, status: s, .. } => {
            ("ended", with(json!({"process": process}), status(*s)))
        }
        LabFact::Fault { fault, missed } => {
            let fault = match fault {
                FaultKind::Signal { process, signal } => {
                    json!({"fault": "signal", "process": process, "signal": format!("{signal:?}")})
                }
                FaultKind::Crash { process } => json!({"fault": "crash", "process": process}),
                FaultKind::Oom { process } => json!({"fault": "oom", "process": process}),
                FaultKind::PowerOff { host } => json!({"fault": "power-off", "on": host}),
                FaultKind::PowerOn { host } => json!({"fault": "power-on", "on": host}),
                FaultKind::Partition { between: (a, b), one_way } => {
                    json!({"fault": "partition", "between": [a, b], "one_way": one_way})
                }
                FaultKind::Unplug { host } => json!({"fault": "unplug", "on": host}),
                FaultKind::Plug { host } => json!({"fault": "plug", "on": host}),
                FaultKind::Link { between: (a, b), shape } => {
                    json!({"fault": "link", "between": [a, b], "is": super::words::link(shape)})
                }
                FaultKind::Heal { between: (a, b) } => {
                    json!({"fault": "heal", "between": [a, b]})
                }
            };
            ("fault", with(fault, json!({"missed": missed})))
        }
        LabFact::Input { bytes } => ("input", content(bytes)),
        LabFact::Dropped { packet, why } => {
            ("dropped", with(self::packet(packet, names), json!({"why": why})))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::HostName;
    use kernel::abi::signal::Signal;
    use kernel::net::tcp::{Flags, Segment, Seq};
    use kernel::task::Pid;
    use kernel::time::Instant;
    use std::net::{IpAddr, Ipv4Addr};

    fn lines(facts: Vec<Fact>) -> Vec<String> {
        let address = Ipv4Addr::new(10, 0, 0, 1);
        let mut names = Names::new(vec![HostName { name: "a".into(), address }]);
        let mut json = Json::new(Vec::new());
        for fact in facts {
            let pid = Some(Pid(2));
            let what = What::Kernel(fact);
            let record = Record { at: Instant(5), host: Some(0), pid, tid: pid, what };
            names.learn(&record);
            json.record(&record, &names).unwrap();
        }
        let text = String::from_utf8(json.to).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn segment(flags: Flags, seq: u32) -> Fact {
        let ip = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let segment = Segment { flags, seq: Seq(seq), window: 9, ..Segment::default() };
        let payload = Transport::Tcp { src_port: 7000, dst_port: 40000, segment };
        let choice = kernel::net::packet::IpChoice::default();
        let packet = Box::new(Packet { src: ip(1), dst: ip(2), id: 0, choice, payload });
        Fact::Net(NetFact::Sent { packet, loopback: false })
    }

    #[test]
    fn a_segment_has_numbers_relative_to_its_syn() {
        let lines = lines(vec![segment(Flags::SYN, 1000), segment(Flags::FIN | Flags::RST, 1001)]);
        assert_eq!(
            lines[1],
            r#"{"at":5,"kind":"segment","host":"a","pid":2,"from":"10.0.0.1:7000","#.to_owned()
                + r#""to":"10.0.0.2:40000","flags":"FR","seq":1,"ack":0,"len":0,"win":9,"loopback":false}"#
        );
    }

    #[test]
    fn a_death_has_its_wait_status() {
        let killed = WaitStatus::killed(Signal::SIGKILL);
        let notify =
            TaskFact::ExitNotify { status: killed, signal: None, parent: None, autoreap: true };
        assert_eq!(
            lines(vec![Fact::Task(notify)])[0],
            r#"{"at":5,"kind":"exit","host":"a","pid":2,"status":9,"signal":"SIGKILL","#.to_owned()
                + r#""exit_signal":null,"parent":null,"autoreap":true}"#
        );
    }
}
