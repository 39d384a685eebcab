//! What an acknowledgment reports beside its number: what was received twice (RFC 2883, `tcp_dsack_set`)
//! and the blocks ahead of a hole (RFC 2018). What was received twice is told once, first of all.
//! Ahead of a hole each segment is reported at once (RFC 5681, 4.2), but only three times: those after
//! them wait for each other a little (`tcp_comp_sack_delay_ns`), for the first three said it all.
//! Neighbours: `receive`, which notices it; `reassembly`, which has the blocks; `output`, which sends.

use super::fact::{ChallengeWhy, Output};
use super::segment::Segment;
use super::seq::Seq;
use super::state::TcpConn;
use crate::time::{Duration, Instant};

/// Blocks that fit into a header beside timestamps, and without.
const MAX_BLOCKS: [usize; 2] = [3, 4];

/// Duplicates that say that something is missing (`TCP_FASTRETRANS_THRESH`).
const FASTRETRANS_THRESH: u32 = 3;
/// The longest wait of an acknowledgment that others may join (`tcp_comp_sack_delay_ns`), by how much
/// the timer is late where nothing else wakes the machine (`tcp_comp_sack_slack_ns`), and how many join
/// (`tcp_comp_sack_nr`).
const COMP_SACK_DELAY: Duration = Duration::from_millis(1);
const COMP_SACK_SLACK: Duration = Duration::from_micros(100);
const COMP_SACK_NR: u32 = 44;
/// With so many blocks and more, an acknowledgment that waits leaves before they change
/// (`TCP_SACK_BLOCKS_EXPECTED`).
const SACK_BLOCKS_EXPECTED: usize = 2;

/// Acknowledgments of what lies ahead of a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CompressedAck {
    /// So many wait for the timer.
    pub waiting: u32,
    /// Where the hole begins, and how many left for it.
    hole: Option<(Seq, u32)>,
    /// When they leave, as one.
    pub deadline: Option<Instant>,
}

impl TcpConn {
    /// The end of `__tcp_ack_snd_check`: may this acknowledgment wait for others?
    pub(super) fn compress_ack(&mut self, now: Instant) -> bool {
        let nxt = self.rcv.nxt;
        let c = &mut self.rcv.compressed;
        if !self.agreed.sack || c.waiting >= COMP_SACK_NR {
            return false;
        }
        let told = c.hole.filter(|(at, _)| *at == nxt).map_or(0, |(_, told)| told);
        if told < FASTRETRANS_THRESH {
            c.hole = Some((nxt, told + 1));
            return false;
        }
        c.waiting += 1;
        if c.deadline.is_none() {
            let part = self.rtt.srtt().unwrap_or_default() / 20;
            c.deadline = Some(now + part.min(COMP_SACK_DELAY) + COMP_SACK_SLACK);
        }
        true
    }

    /// `tcp_compressed_ack_kick`: the timer fired.
    pub(super) fn compressed_ack_kick(&mut self, now: Instant, out: &mut Output) {
        self.rcv.compressed.deadline = None;
        if self.rcv.compressed.waiting > 0 {
            self.tcp_send_ack(now, out);
        }
    }

    /// `tcp_sack_compress_send_ack`: the bytes from `start` to `end` would push out a block that nobody
    /// was told of yet.
    pub(super) fn compressed_ack_first(
        &mut self,
        now: Instant,
        start: Seq,
        end: Seq,
        out: &mut Output,
    ) {
        let pushes_out = self.rcv.ooo.block_of(start, end) >= SACK_BLOCKS_EXPECTED;
        if pushes_out && self.rcv.compressed.waiting > 0 {
            self.tcp_send_ack(now, out);
        }
    }

    /// An acknowledgment left.
    pub(super) fn compressed_ack_sent(&mut self) {
        self.rcv.compressed.waiting = 0;
        self.rcv.compressed.deadline = None;
    }

    /// `tcp_dsack_set`: bytes came a second time.
    pub(super) fn dsack_set(&mut self, start: Seq, end: Seq) {
        if self.agreed.sack && self.config.dsack {
            self.rcv.dsack = Some((start, end));
        }
    }

    /// `tcp_dsack_extend`: more of them; those that do not touch what will be reported are not.
    pub(super) fn dsack_extend(&mut self, start: Seq, end: Seq) {
        match self.rcv.dsack {
            None => self.dsack_set(start, end),
            Some((s, e)) if !start.after(e) && !s.after(end) => {
                self.rcv.dsack = Some((s.min(start), e.max(end)));
            }
            Some(_) => {}
        }
    }

    /// `tcp_send_dupack`, but for the acknowledgment: an old segment or one from before the sequence
    /// numbers wrapped.
    pub(super) fn dsack_of_dropped(&mut self, why: ChallengeWhy, s: &Segment) {
        let dropped = match why {
            ChallengeWhy::Paws | ChallengeWhy::OutOfWindow => true,
            // `tcp_send_challenge_ack` tells nothing else.
            ChallengeWhy::Ack | ChallengeWhy::Syn | ChallengeWhy::RstInWindow => false,
        };
        if dropped && s.seq_len() > 0 && s.seq.before(self.rcv.nxt) {
            self.quickly();
            self.dsack_set(s.seq, s.end().min(self.rcv.nxt));
        }
    }

    fn most_blocks(&self) -> usize {
        MAX_BLOCKS[usize::from(!self.agreed.timestamps)]
    }

    /// How many blocks the next segment has (`eff_sacks`).
    pub(super) fn eff_sacks(&self) -> usize {
        let blocks = self.rcv.ooo.sacks().len() + usize::from(self.rcv.dsack.is_some());
        if self.agreed.sack { blocks.min(self.most_blocks()) } else { 0 }
    }

    /// The blocks of a segment that leaves.
    pub(super) fn write_sacks(&mut self) -> Vec<(Seq, Seq)> {
        if !self.agreed.sack {
            return Vec::new();
        }
        let twice = self.rcv.dsack.take();
        twice
            .into_iter()
            .chain(self.rcv.ooo.sacks().iter().copied())
            .take(self.most_blocks())
            .collect()
    }
}
