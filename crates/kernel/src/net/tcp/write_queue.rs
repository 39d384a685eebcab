//! The sk_buffs that wait to be sent for the first time (Linux's write queue), without their bytes:
//! those are in the `ByteQueue`. Where one ends is seen on the wire: no unit of transmission goes
//! beyond it, it may carry PSH, or close a record. Neighbours: `send`, which fills them; `output`,
//! which empties them from the front. Names from Linux's tcp.c (`tcp_sendmsg_locked`).

use std::collections::VecDeque;

use super::seq::Seq;

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skb {
    /// After its last byte. It begins where the one before it ends, the first at SND.NXT.
    pub end: Seq,
    /// Its last segment carries PSH.
    pub push: bool,
    /// A record ends with it (MSG_EOR): nothing is added, and nothing merged with it later.
    pub eor: bool,
}

/// The sk_buffs, the next to be sent first. None is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteQueue {
    skbs: VecDeque<Skb>,
}

impl WriteQueue {
    /// How many there are.
    pub fn len(&self) -> u32 {
        self.skbs.len() as u32
    }

    /// The next to be sent.
    pub fn front(&self) -> Option<Skb> {
        self.skbs.front().copied()
    }

    /// How much the last one still takes up to `goal` bytes; nothing is left to fill after all was
    /// sent, or when a record ended. `nxt`: SND.NXT.
    pub fn tail_room(&self, nxt: Seq, goal: u32) -> u32 {
        let Some(last) = self.skbs.back().filter(|last| !last.eor) else { return 0 };
        let before = self.skbs.len().checked_sub(2).map_or(nxt, |i| self.skbs[i].end);
        goal.saturating_sub(last.end.since(before))
    }

    /// Where the last one begins.
    pub fn tail_start(&self, nxt: Seq) -> Option<Seq> {
        let before = self.skbs.len().checked_sub(1)?.checked_sub(1);
        Some(before.map_or(nxt, |i| self.skbs[i].end))
    }

    /// An empty one at `seq`, to be filled at once (`tcp_skb_entail`).
    pub fn entail(&mut self, seq: Seq) {
        self.skbs.push_back(Skb { end: seq, push: false, eor: false });
    }

    /// `len` bytes more in the last one. The first of a call take its mark away: PSH stands at the end
    /// of what was written last.
    pub fn fill(&mut self, len: u32, first: bool) {
        if let Some(last) = self.skbs.back_mut() {
            last.end += len;
            last.push &= !first;
        }
    }

    /// `tcp_grow_skb`, which 6.12 has and 6.1 not: the first one takes up to `room` bytes of the second.
    pub fn grow(&mut self, room: u32) {
        let [Some(first), Some(second)] = [0, 1].map(|i| self.skbs.get(i).copied()) else { return };
        if first.eor || room == 0 {
            return;
        }
        let taken = room.min(second.end.since(first.end));
        let end = first.end + taken;
        if end == second.end {
            self.skbs.pop_front();
            self.skbs[0].push |= first.push;
        } else {
            self.skbs[0].end = end;
        }
    }

    /// `tcp_mark_push`.
    pub fn mark_push(&mut self) {
        if let Some(last) = self.skbs.back_mut() {
            last.push = true;
        }
    }

    /// The first one is to be pushed: something of it leaves as a probe.
    pub fn push_head(&mut self) {
        if let Some(first) = self.skbs.front_mut() {
            first.push = true;
        }
    }

    /// A record ends.
    pub fn mark_eor(&mut self) {
        if let Some(last) = self.skbs.back_mut() {
            last.eor = true;
        }
    }

    /// What marks stand exactly there: PSH, and the end of a record.
    pub fn marks_at(&self, end: Seq) -> (bool, bool) {
        let at = self.skbs.iter().take_while(|skb| !skb.end.after(end)).last();
        at.filter(|skb| skb.end == end).map_or((false, false), |skb| (skb.push, skb.eor))
    }

    /// All before `nxt` left.
    pub fn sent(&mut self, nxt: Seq) {
        while let Some(first) = self.skbs.front()
            && !first.end.after(nxt)
        {
            self.skbs.pop_front();
        }
    }

    /// Forgets everything (`tcp_write_queue_purge`).
    pub fn clear(&mut self) {
        self.skbs.clear();
    }

    /// What holds in a queue of `nxt..end` (see `check`).
    pub fn check(&self, nxt: Seq, end: Seq) -> Result<(), String> {
        let mut at = nxt;
        for skb in &self.skbs {
            if !skb.end.after(at) {
                return Err(format!("an sk_buff without a byte at {at:?}: {:?}", self.skbs));
            }
            at = skb.end;
        }
        let whole = at == end;
        if whole { Ok(()) } else { Err(format!("the write queue ends at {at:?} and not {end:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_grows_by_what_the_second_has() {
        let mut q = WriteQueue::default();
        for at in [0, 1000, 2000] {
            q.entail(Seq(at));
            q.fill(1000, true);
        }
        q.grow(400);
        assert_eq!((q.len(), q.front().map(|skb| skb.end)), (3, Some(Seq(1400))));
        q.grow(5000);
        assert_eq!((q.len(), q.front().map(|skb| skb.end)), (2, Some(Seq(2000))), "one at a time");
        assert_eq!(q.check(Seq(0), Seq(3000)), Ok(()));
        q.grow(5000);
        q.mark_eor();
        q.entail(Seq(3000));
        q.fill(10, true);
        q.grow(5000);
        assert_eq!((q.len(), q.front().map(|skb| skb.end)), (2, Some(Seq(3000))), "a record ended");
    }

    #[test]
    fn what_a_partly_sent_one_leaves_behind_has_room_again() {
        let mut q = WriteQueue::default();
        q.entail(Seq(0));
        q.fill(1000, true);
        q.mark_push();
        assert_eq!((q.tail_room(Seq(0), 1000), q.tail_room(Seq(0), 1500)), (0, 500));
        assert_eq!(q.marks_at(Seq(600)), (false, false));
        q.sent(Seq(600));
        assert_eq!(q.tail_room(Seq(600), 1000), 600);
        q.fill(100, true);
        assert_eq!(q.front(), Some(Skb { end: Seq(1100), push: false, eor: false }));
        q.mark_push();
        q.mark_eor();
        assert_eq!(q.tail_room(Seq(600), 1000), 0, "a record ended");
        assert_eq!(q.check(Seq(600), Seq(1100)), Ok(()));
        assert_eq!(q.marks_at(Seq(1100)), (true, true));
        q.sent(Seq(1100));
        assert_eq!((q.len(), q.tail_room(Seq(1100), 1000)), (0, 0));
    }
}
