//! Packets as a pcapng file: nanosecond stamps, one interface per host, the cause of each packet as
//! its comment. Each packet is there once, where it left. Neighbour: `lab::wire` (bytes).

use super::{End, Names, Renderer};
use kernel::fact::{Fact, NetFact};
use kernel::net::packet::Transport;
use kernel::net::tcp::TcpFact;
use lab::{Record, What, wire};
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use std::borrow::Cow;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// Writes a pcapng file.
pub struct Pcap<W: Write> {
    to: PcapNgWriter<W>,
    /// CLOCK_REALTIME at the beginning of the world.
    epoch: Duration,
    /// The last step that TCP told, which explains the segment that follows: connection and words.
    cause: Option<(SocketAddr, SocketAddr, String)>,
}

impl<W: Write> Pcap<W> {
    /// Writes the head of the file: an interface for each host.
    pub fn new(to: W, names: &Names, epoch: u64) -> io::Result<Pcap<W>> {
        let mut to = PcapNgWriter::new(to).map_err(io::Error::other)?;
        for host in &names.hosts {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(&host.name)),
                    InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
                ],
            };
            to.write_pcapng_block(interface).map_err(io::Error::other)?;
        }
        Ok(Pcap { to, epoch: Duration::from_secs(epoch), cause: None })
    }

    /// What the packet is about: who sent it, and the step that TCP took just before.
    fn comment(&self, record: &Record, names: &Names, ends: (SocketAddr, SocketAddr)) -> String {
        let who = record.pid.map(|pid| names.process(record.host, pid));
        let step = self.cause.as_ref().filter(|(local, remote, _)| (*local, *remote) == ends);
        let step = step.map(|(_, _, step)| step.clone());
        [who, step].into_iter().flatten().collect::<Vec<_>>().join(": ")
    }
}

impl<W: Write> Renderer for Pcap<W> {
    fn record(&mut self, record: &Record, names: &Names) -> io::Result<()> {
        let What::Kernel(Fact::Net(fact)) = &record.what else { return Ok(()) };
        match fact {
            NetFact::TcpClose { local, remote, outcome } => {
                let words = format!("tcp_close in {}: {:?}", outcome.from.name(), outcome.sent);
                self.cause = Some((*local, *remote, words));
            }
            NetFact::Tcp { local, remote, step } => match step {
                // tcp_close has said it already, with its reason.
                TcpFact::SendFin { .. }
                | TcpFact::SendActiveReset { .. }
                | TcpFact::StateChange { .. }
                    if self.cause.is_some() => {}
                _ => {
                    let ends = (*local, *remote);
                    self.cause = Some((ends.0, ends.1, format!("{step:?}")));
                }
            },
            NetFact::Sent { packet, .. } => {
                // The link type begins at IP: ARP has no place in the file.
                if matches!(packet.payload, Transport::Neigh(_)) && packet.src.is_ipv4() {
                    return Ok(());
                }
                let ends = (packet.source(), packet.destination());
                let comment = self.comment(record, names, ends);
                self.cause = None;
                let data = wire::encode(packet);
                let mut options = Vec::new();
                if !comment.is_empty() {
                    let comment = CommonOption::Comment(Cow::Owned(comment));
                    options.push(EnhancedPacketOption::Common(comment));
                }
                let block = EnhancedPacketBlock {
                    interface_id: record.host.unwrap_or(0) as u32,
                    timestamp: self.epoch + Duration::from_nanos(record.at.as_nanos()),
                    original_len: data.len() as u32,
                    data: Cow::Owned(data),
                    options,
                };
                self.to.write_pcapng_block(block).map_err(io::Error::other)?;
            }
            NetFact::Received { .. } | NetFact::SockClose { .. } | NetFact::UnixRelease { .. } => {}
        }
        Ok(())
    }

    fn end(&mut self, _: &End, _: &Names) -> io::Result<()> {
        self.to.get_mut().flush()
    }
}
