//! Renderers: each turns the stream of facts into one output. They invent nothing: what they show
//! is in a fact. `text` tells the story, `trace` the calls, `json` everything, `pcap` the packets.
//! `names` is what they share: who a pid is, where a sequence number began.

pub mod json;
pub mod names;
pub mod pcap;
pub mod text;
pub mod trace;
pub mod words;

use kernel::time::Instant;
use lab::Record;
use std::io;
use std::net::Ipv4Addr;

pub use names::Names;

/// The end of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Virtual time.
    pub at: Instant,
    /// The digest.
    pub digest: String,
    /// The seed.
    pub seed: u64,
    /// Why the run may not repeat, if the real machine or its user decided anything.
    pub chance: Option<String>,
    /// What was asked for and is not here, with how often.
    pub unsupported: Vec<(String, u64)>,
    /// Why the world ended: `idle`, `until`, `interrupted`, `exited`, `error`.
    pub reason: &'static str,
}

/// A host as renderers know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostName {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
}

/// One output.
pub trait Renderer {
    /// A fact came. `names` knows it already.
    fn record(&mut self, record: &Record, names: &Names) -> io::Result<()>;
    /// The run is over; everything is to be written now.
    fn end(&mut self, end: &End, names: &Names) -> io::Result<()>;
}
