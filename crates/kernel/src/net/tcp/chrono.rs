//! What keeps a sender busy, and for how long (`tcp_chrono_start`, `tcp_chrono_stop`; TCP_INFO's
//! `tcpi_busy_time`, `tcpi_rwnd_limited`, `tcpi_sndbuf_limited`). Time is counted in timer ticks.
//! Neighbours: `output` and `send`, which say what happens; `look`, which tells.

use super::config::jiffies;
use crate::time::Instant;

/// What a sender does. A later one is the more interesting: while it lasts the others don't count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Doing {
    /// Nothing is to be sent, and nothing on its way.
    #[default]
    Nothing,
    /// Something is, and nothing in particular is in its way.
    Busy,
    /// The other side's window is.
    RwndLimited,
    /// All was sent, and the program could write no more before some of it is acknowledged.
    SndbufLimited,
}

/// What it does, since when, and how long it did what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chrono {
    doing: Doing,
    since: u64,
    /// Ticks, by `Doing`.
    spent: [u64; 4],
}

impl Chrono {
    fn set(&mut self, now: Instant, doing: Doing) {
        let now = jiffies(now);
        self.spent[self.doing as usize] += now - self.since;
        (self.doing, self.since) = (doing, now);
    }

    /// It begins, unless something more interesting lasts.
    pub(super) fn start(&mut self, now: Instant, what: Doing) {
        if what > self.doing {
            self.set(now, what);
        }
    }

    /// It ends. `idle`: nothing is to be sent, and nothing on its way.
    pub(super) fn stop(&mut self, now: Instant, what: Doing, idle: bool) {
        if idle {
            self.set(now, Doing::Nothing);
        } else if what == self.doing {
            self.set(now, Doing::Busy);
        }
    }

    /// Ticks until now: in all, of these before a closed window, and before a full buffer.
    pub fn ticks(&self, now: Instant) -> [u64; 3] {
        let mut at = *self;
        at.set(now, self.doing);
        let [_, busy, rwnd, sndbuf] = at.spent;
        [busy + rwnd + sndbuf, rwnd, sndbuf]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_interesting_counts() {
        let at = |ms: u64| Instant(ms * 1_000_000);
        let mut c = Chrono::default();
        c.start(at(1000), Doing::Busy);
        c.start(at(1100), Doing::RwndLimited);
        c.start(at(1120), Doing::Busy);
        assert_eq!(c.ticks(at(1140)), [35, 10, 0]);
        c.stop(at(1200), Doing::RwndLimited, false);
        c.start(at(1240), Doing::SndbufLimited);
        c.stop(at(1260), Doing::RwndLimited, false);
        c.stop(at(1280), Doing::Busy, true);
        assert_eq!(c.ticks(at(9000)), [70, 25, 10]);
    }
}
