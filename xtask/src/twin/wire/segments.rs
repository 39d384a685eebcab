//! Segments as both sides tell them, with relative numbers, and their comparison. From tcpdump's
//! lines (the real kernel) and from the JSON of `afterlife run` (ours).

use super::wires::{ADDRESSES, ADDRESSES6};
use std::collections::BTreeMap;

/// One segment: which client's connection (by order of SYNs), who sent it, flags, seq, ack, length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seen {
    pub connection: usize,
    pub from_server: bool,
    pub flags: String,
    pub seq: u32,
    pub ack: u32,
    pub len: u32,
}

impl Seen {
    /// It asks whether there is room, or whether anybody is there; how often depends on time.
    pub fn is_probe(&self) -> bool {
        self.len == 0 && self.flags == "."
    }
}

/// What one side saw.
pub struct Story {
    pub segments: Vec<Seen>,
    /// What each client printed, by role.
    pub outputs: BTreeMap<String, String>,
}

/// Compares what `which` picks; prints the differences; 1 if there are any.
pub fn compare(what: &str, real: &Story, ours: &Story, which: impl Fn(&Seen) -> bool) -> u32 {
    let pick = |story: &Story| -> Vec<Seen> {
        story.segments.iter().filter(|s| which(s)).cloned().collect()
    };
    let (real, ours) = (pick(real), pick(ours));
    if real == ours && !real.is_empty() {
        return 0;
    }
    println!("twin: DIFFERS: {what}");
    for i in 0..real.len().max(ours.len()) {
        let show = |s: Option<&Seen>| s.map_or("-".to_owned(), |s| format!("{s:?}"));
        println!("  real {}\n  ours {}", show(real.get(i)), show(ours.get(i)));
    }
    1
}

/// A segment with absolute numbers and its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raw {
    pub from: String,
    pub to: String,
    pub flags: String,
    pub seq: Option<u32>,
    pub ack: u32,
    pub len: u32,
}

/// A segment in the words of `tcpdump -vv`, on a line after that of the packet:
/// `    10.0.0.2.40000 > 10.0.0.1.7000: Flags [S], cksum …, seq 1, win 64240, … length 0`; for IPv6 it
/// is the same line.
pub fn captured(line: &str) -> Option<Raw> {
    let six = || line.split_once("next-header TCP (6) payload length: ")?.1.split_once(") ");
    let rest = line.strip_prefix("    ").or_else(|| six().map(|(_, rest)| rest))?;
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

/// What a device makes of a packet that is larger than the link takes (TSO): tcpdump sees it before.
fn taken_apart(packet: Raw) -> Vec<Raw> {
    // A link of 1500 bytes, timestamps, and addresses of IPv6 or of IPv4.
    let six = ADDRESSES6.iter().any(|address| packet.from.starts_with(address));
    let mss = if six { 1428 } else { 1448 };
    let (Some(seq), true) = (packet.seq, packet.len > mss) else { return vec![packet] };
    let starts: Vec<u32> = (0..packet.len).step_by(mss as usize).collect();
    let piece = |start: &u32| {
        let last = start + mss >= packet.len;
        let inner = packet.flags.replace(['F', 'P'], "");
        Raw {
            seq: Some(seq.wrapping_add(*start)),
            len: mss.min(packet.len - start),
            flags: if last { packet.flags.clone() } else { inner },
            ..packet.clone()
        }
    };
    starts.iter().map(piece).collect()
}

/// Relative numbers, and only what the stream needs: bare ACKs depend on the machine's timing. Those
/// with an old number stay: they are probes, and wait for an answer.
pub fn number(raw: impl Iterator<Item = Raw>) -> Vec<Seen> {
    // With both ends: the kernel may give two connections to two ports the same port here.
    let mut clients: Vec<(String, String)> = Vec::new();
    let mut starts: BTreeMap<(usize, bool), u32> = BTreeMap::new();
    let mut ends: BTreeMap<(usize, bool), u32> = BTreeMap::new();
    let mut seen = Vec::new();
    for segment in raw.flat_map(taken_apart) {
        let servers = [ADDRESSES[0], ADDRESSES6[0]];
        let from_server = servers.iter().any(|server| segment.from.starts_with(server));
        let (client, server) = match from_server {
            true => (&segment.to, &segment.from),
            false => (&segment.from, &segment.to),
        };
        let known = clients.iter().position(|(c, s)| (c, s) == (client, server));
        let connection = known.unwrap_or_else(|| {
            clients.push((client.clone(), server.clone()));
            clients.len() - 1
        });
        if segment.flags.contains('S') {
            starts.insert((connection, from_server), segment.seq.unwrap_or(0));
        }
        let start = |side: bool| starts.get(&(connection, side)).copied().unwrap_or(0);
        let seq = segment.seq.map_or(0, |s| s.wrapping_sub(start(from_server)));
        let numbers = segment.len + u32::from(segment.flags.contains(['S', 'F']));
        let end = ends.entry((connection, from_server)).or_default();
        let probe = seq < *end;
        *end = (*end).max(seq + numbers);
        if segment.len == 0 && segment.flags == "." && !probe {
            continue;
        }
        let acked = segment.flags.contains('.');
        seen.push(Seen {
            connection,
            from_server,
            seq,
            ack: if acked { segment.ack.wrapping_sub(start(!from_server)) } else { 0 },
            len: segment.len,
            flags: segment.flags,
        });
    }
    seen
}

/// A segment of our JSON, if it comes from a port that `is_server` accepts or goes to one.
pub fn told(fact: &serde_json::Value, is_server: impl Fn(u16) -> bool) -> Option<Raw> {
    // An address of IPv6 is in brackets.
    let word =
        |name: &str| fact[name].as_str().unwrap_or_default().trim_start_matches('[').to_owned();
    let number = |name: &str| fact[name].as_u64().unwrap_or(0) as u32;
    let (from, to) = (word("from"), word("to"));
    let server = |end: &str| {
        let port = end.strip_prefix(ADDRESSES[0]).or_else(|| end.strip_prefix(ADDRESSES6[0]));
        let number = port.and_then(|port| port.trim_start_matches([']', ':']).parse().ok());
        number.is_some_and(&is_server)
    };
    (server(&from) || server(&to)).then(|| Raw {
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
            "17:00:00.1 IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 60)",
            "    10.0.0.2.40000 > 10.0.0.1.7000: Flags [S], seq 1000, win 64240, length 0",
            "    10.0.0.1.7000 > 10.0.0.2.40000: Flags [S.], seq 500, ack 1001, win 9, length 0",
            "    10.0.0.2.40000 > 10.0.0.1.7000: Flags [.], seq 1001, ack 501, win 5, length 0",
            "    10.0.0.2.40000 > 10.0.0.1.7000: Flags [P.], seq 1001:1006, ack 501, length 5",
            "    10.0.0.2.40000 > 10.0.0.1.7000: Flags [.], seq 1005, ack 501, win 5, length 0",
            "    10.0.0.2.40000 > 10.0.0.1.7001: Flags [S], seq 1, win 64240, length 0",
        ];
        let seen = number(lines.iter().filter_map(|l| captured(l)));
        assert_eq!(seen.len(), 5);
        assert_eq!(seen[4].connection, 1, "another port is another connection");
        let large =
            "    10.0.0.1.7000 > 10.0.0.2.40000: Flags [FP.], seq 501:3401, ack 1, length 2900";
        let pieces = taken_apart(captured(large).expect("a segment"));
        let told: Vec<_> = pieces.iter().map(|p| (p.flags.as_str(), p.seq, p.len)).collect();
        let seq = |n: u32| Some(501 + n);
        assert_eq!(told, [(".", seq(0), 1448), (".", seq(1448), 1448), ("FP.", seq(2896), 4)]);
        let six = "17:00:00.1 IP6 (flowlabel 0x1, hlim 64, next-header TCP (6) payload length: 40) \
            fd00::2.40000 > fd00::1.7000: Flags [S], cksum 0x1 (correct), seq 7, win 9, length 0";
        let six = captured(six).expect("a segment");
        assert_eq!((six.from.as_str(), six.to.as_str()), ("fd00::2.40000", "fd00::1.7000"));
        assert_eq!((six.flags.as_str(), six.seq), ("S", Some(7)));
        assert_eq!((seen[3].seq, seen[3].len), (5, 0), "a probe is no bare ACK");
        let last = &seen[2];
        assert_eq!((last.flags.as_str(), last.seq, last.ack, last.len), ("P.", 1, 1, 5));
        assert!(seen[1].from_server && seen[1].ack == 1);
    }
}
