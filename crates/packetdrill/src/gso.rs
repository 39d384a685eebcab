//! What packetdrill sniffs stands before the device: Linux hands a burst of new data to it in units of
//! several segments, which the device takes apart. Our TCP sends segments; here those of one burst
//! become units again: they end with PSH, or before `tcp_tso_segs` is exceeded. Neighbours: `host`,
//! `kernel::net::tcp::tso`.

use kernel::Kernel;
use kernel::net::packet::{Packet, Transport};
use kernel::net::tcp::{Flags, Segment, Seq};
use std::net::SocketAddr;

/// Joins the segments of one burst. `highest` is the end of what each connection had sent before, by
/// its two ends: what lies below is sent again, and alone.
pub fn join(kernel: &Kernel, burst: Vec<Packet>, highest: &mut Highest) -> Vec<Packet> {
    let mut units: Vec<(Packet, u32)> = Vec::new();
    for packet in burst {
        let ends = (packet.source(), packet.destination());
        let Transport::Tcp { segment, .. } = &packet.payload else {
            units.push((packet, 1));
            continue;
        };
        let again = highest.again(ends, segment);
        let most = most_segments(kernel, ends);
        if let Some((unit, count)) = units.last_mut()
            && !again
            && *count < most.0
            && follows(unit, &packet, most.1)
        {
            append(unit, &packet);
            *count += 1;
        } else {
            units.push((packet, if again { u32::MAX } else { 1 }));
        }
    }
    units.into_iter().map(|(unit, _)| unit).collect()
}

/// How far each connection has sent.
#[derive(Default)]
pub struct Highest(Vec<((SocketAddr, SocketAddr), Seq)>);

impl Highest {
    /// Was some of the segment sent before? Notes its end.
    fn again(&mut self, ends: (SocketAddr, SocketAddr), segment: &Segment) -> bool {
        let end = segment.end();
        let known = self.0.iter_mut().find(|(other, _)| *other == ends);
        match known {
            Some((_, highest)) if !segment.has(Flags::SYN) => {
                let again = segment.seq_len() > 0 && segment.seq.before(*highest);
                if end.after(*highest) {
                    *highest = end;
                }
                again
            }
            Some((_, highest)) => {
                *highest = end;
                false
            }
            None => {
                self.0.push((ends, end));
                false
            }
        }
    }
}

/// How many segments a unit has at most, and their size.
fn most_segments(kernel: &Kernel, ends: (SocketAddr, SocketAddr)) -> (u32, u32) {
    let Some(conn) = kernel.net.tcp.find(ends) else { return (1, 0) };
    let tcp = &kernel.net.tcp.conns[conn].tcp;
    (tcp.tso_segs(), tcp.info().snd_mss)
}

fn follows(unit: &Packet, next: &Packet, mss: u32) -> bool {
    let (Transport::Tcp { segment: a, .. }, Transport::Tcp { segment: b, .. }) =
        (&unit.payload, &next.payload)
    else {
        return false;
    };
    (unit.source(), unit.destination()) == (next.source(), next.destination())
        && a.end() == b.seq
        && (a.ack, a.window, &a.options) == (b.ack, b.window, &b.options)
        && mss > 0
        && !a.is_empty()
        && a.len() % mss == 0
        && !b.is_empty()
        && a.flags == Flags::ACK
        && b.flags.without(Flags::PSH | Flags::FIN) == Flags::ACK
}

fn append(unit: &mut Packet, next: &Packet) {
    if let (Transport::Tcp { segment: a, .. }, Transport::Tcp { segment: b, .. }) =
        (&mut unit.payload, &next.payload)
    {
        a.payload = [&a.payload[..], &b.payload].concat().into();
        a.flags = b.flags;
    }
}
