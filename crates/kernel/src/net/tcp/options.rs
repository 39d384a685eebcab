//! The options of a TCP header: which there are, the order and padding in which Linux writes them,
//! and how they are read back. RFC 9293 3.2 (MSS), RFC 7323 (window scale, timestamps), RFC 2018
//! (SACK). Measured on 6.18: a SYN carries mss, sackOK, TS, nop, wscale (20 bytes), everything else
//! nop, nop, TS (12 bytes) and, while a hole is open, nop, nop, SACK.

use super::seq::Seq;

/// The timestamps option (RFC 7323, 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timestamps {
    /// TSval: the sender's clock, in milliseconds.
    pub val: u32,
    /// TSecr: the last value received from the other side.
    pub ecr: u32,
}

/// The options that we speak. Unknown ones are skipped, as RFC 9293 (MUST-6) demands.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Options {
    /// Maximum segment size; only in a SYN.
    pub mss: Option<u16>,
    /// Window scale shift; only in a SYN.
    pub wscale: Option<u8>,
    /// SACK permitted; only in a SYN.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Received blocks `[start, end)` above the acknowledgment, the most recent first.
    pub sacks: Vec<(Seq, Seq)>,
}

impl Options {
    /// Length in the header, in bytes, padding included.
    pub fn len(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        // Alone, sackOK and TS are padded with two nops; together they need none.
        let sack_and_ts = match (self.sack_permitted, self.timestamps.is_some()) {
            (false, false) => 0,
            (true, false) => 4,
            (_, true) => 12,
        };
        let wscale = if self.wscale.is_some() { 4 } else { 0 };
        let sacks = if self.sacks.is_empty() { 0 } else { 4 + 8 * self.sacks.len() };
        mss + sack_and_ts + wscale + sacks
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends them to a header in Linux's order.
    pub fn encode(&self, to: &mut Vec<u8>) {
        if let Some(mss) = self.mss {
            to.extend([2, 4]);
            to.extend(mss.to_be_bytes());
        }
        match (self.sack_permitted, self.timestamps.is_some()) {
            (true, true) => to.extend([4, 2]),
            (true, false) => to.extend([1, 1, 4, 2]),
            (false, true) => to.extend([1, 1]),
            (false, false) => {}
        }
        if let Some(ts) = self.timestamps {
            to.extend([8, 10]);
            to.extend(ts.val.to_be_bytes());
            to.extend(ts.ecr.to_be_bytes());
        }
        if let Some(shift) = self.wscale {
            to.extend([1, 3, 3, shift]);
        }
        if !self.sacks.is_empty() {
            to.extend([1, 1, 5, 2 + 8 * self.sacks.len() as u8]);
            for (start, end) in &self.sacks {
                to.extend(start.0.to_be_bytes());
                to.extend(end.0.to_be_bytes());
            }
        }
    }

    /// Reads the options part of a header. Like Linux, stops without complaint at the first
    /// malformed option and keeps those before it.
    pub fn decode(mut from: &[u8]) -> Options {
        let mut options = Options::default();
        while let Some((&kind, rest)) = from.split_first() {
            match kind {
                0 => break,
                1 => {
                    from = rest;
                    continue;
                }
                _ => {}
            }
            let Some(&len) = rest.first() else { break };
            let Some(body) = from.get(2..usize::from(len)) else { break };
            options.take(kind, body);
            from = &from[usize::from(len)..];
        }
        options
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        let word = |at: usize| {
            u32::from_be_bytes(body[at..at + 4].try_into().expect("a slice of four bytes"))
        };
        match (kind, body.len()) {
            (2, 2) => self.mss = Some(u16::from_be_bytes([body[0], body[1]])),
            // RFC 7323, 2.3: a shift above 14 is taken as 14.
            (3, 1) => self.wscale = Some(body[0].min(14)),
            (4, 0) => self.sack_permitted = true,
            (5, n) if n > 0 && n % 8 == 0 => {
                self.sacks = (0..n).step_by(8).map(|i| (Seq(word(i)), Seq(word(i + 4)))).collect();
            }
            (8, 8) => self.timestamps = Some(Timestamps { val: word(0), ecr: word(4) }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TS: Option<Timestamps> = Some(Timestamps { val: 1, ecr: 2 });

    fn bytes(o: &Options) -> Vec<u8> {
        let mut v = Vec::new();
        o.encode(&mut v);
        assert_eq!(v.len(), o.len());
        v
    }

    #[test]
    fn a_syn_carries_twenty_bytes_in_linux_order() {
        let o = Options {
            mss: Some(1460),
            wscale: Some(10),
            sack_permitted: true,
            timestamps: TS,
            sacks: vec![],
        };
        let want = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 10];
        assert_eq!(bytes(&o), want);
        assert_eq!(Options::decode(&want), o);
    }

    #[test]
    fn every_mixture_survives_the_wire() {
        for bits in 0..32u8 {
            let o = Options {
                mss: (bits & 1 != 0).then_some(536),
                wscale: (bits & 2 != 0).then_some(7),
                sack_permitted: bits & 4 != 0,
                timestamps: if bits & 8 != 0 { TS } else { None },
                sacks: if bits & 16 != 0 { vec![(Seq(5), Seq(9))] } else { vec![] },
            };
            assert_eq!(o.len() % 4, 0);
            assert_eq!(Options::decode(&bytes(&o)), o);
        }
    }

    #[test]
    fn a_malformed_tail_is_ignored() {
        assert_eq!(Options::decode(&[2, 4, 5, 180, 8, 10, 1]).mss, Some(1460));
        assert_eq!(Options::decode(&[8, 0]), Options::default());
        assert_eq!(Options::decode(&[99, 3, 1, 2, 4, 2, 24]).mss, Some(536));
    }
}
