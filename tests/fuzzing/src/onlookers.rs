//! Every renderer of the command, writing to nowhere: whatever happens in a world must be showable
//! as story, trace, JSON and packets. Neighbours: the targets; `cli::render`.

use cli::render::json::Json;
use cli::render::pcap::Pcap;
use cli::render::text::Text;
use cli::render::trace::Trace;
use cli::render::{HostName, Names, Renderer};
use lab::Record;
use std::io;

/// Renderers and what they share.
pub struct Onlookers {
    names: Names,
    renderers: Vec<Box<dyn Renderer>>,
}

impl Onlookers {
    /// Onlookers of a world with these hosts.
    pub fn new(hosts: Vec<HostName>) -> Onlookers {
        let names = Names::new(hosts);
        let pcap = Pcap::new(io::sink(), &names, 0).expect("nowhere takes everything");
        let renderers: Vec<Box<dyn Renderer>> = vec![
            Box::new(Text::new(io::sink(), true, String::new())),
            Box::new(Trace::new(io::sink())),
            Box::new(Json::new(io::sink())),
            Box::new(pcap),
        ];
        Onlookers { names, renderers }
    }

    /// Nobody: what was seen once need not be seen again.
    pub fn nobody() -> Onlookers {
        Onlookers { names: Names::new(Vec::new()), renderers: Vec::new() }
    }

    /// Shows one fact in every form.
    pub fn see(&mut self, record: &Record) {
        self.names.learn(record);
        for renderer in &mut self.renderers {
            renderer.record(record, &self.names).expect("nowhere takes everything");
        }
    }
}
