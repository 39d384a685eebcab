//! A segment without its addresses and ports: what one TCP sends to another. How the options lie in
//! the header is in `options`. Flags are written as in linux-semantics.md: `[S]`, `[F.]`, `[R.]`.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::BitOr;

use bytes::Bytes;

use super::options::Options;
use super::seq::Seq;

/// The control bits (RFC 9293, 3.1), in their places of byte 13 of the header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN-echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);

    /// True when all bits of `other` are set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// `self` without the bits of `other`.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    /// `F.`, `R`, `FP.`: the letters without the brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(Flags, &str); 8] = [
            (Flags::FIN, "F"),
            (Flags::SYN, "S"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "W"),
            (Flags::ACK, "."),
        ];
        LETTERS.iter().filter(|(flag, _)| self.has(*flag)).try_for_each(|(_, l)| f.write_str(l))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// One TCP segment. The 4-tuple is kept by whoever carries it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Segment {
    /// Sequence number of the first byte (or of the SYN).
    pub seq: Seq,
    /// The next byte expected from the other side; meaningful with [`Flags::ACK`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field as it stands in the header: not scaled.
    pub window: u16,
    /// The urgent pointer as it stands in the header; meaningful with [`Flags::URG`].
    pub urgent: u16,
    /// Header options.
    pub options: Options,
    /// The ECN field of its packet. Whoever carries the segment puts it there, and takes it from there.
    pub ecn: u8,
    /// The bytes.
    pub payload: Bytes,
}

impl Segment {
    /// True when all bits of `flags` are set.
    pub const fn has(&self, flags: Flags) -> bool {
        self.flags.has(flags)
    }

    /// Payload length in bytes.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32
    }

    /// True when there is no payload.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// The sequence space it takes: payload, and one each for SYN and FIN (RFC 9293, SEG.LEN).
    pub fn seq_len(&self) -> u32 {
        self.len() + u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN))
    }

    /// The sequence number after its last byte or flag.
    pub fn end(&self) -> Seq {
        self.seq + self.seq_len()
    }

    /// Header length in bytes: 20 and the padded options.
    pub fn header_len(&self) -> usize {
        20 + self.options.len()
    }
}

impl Hash for Segment {
    /// All of it, but of the payload only the length: its bytes are hashed where a guest wrote them,
    /// and a segment is hashed twice.
    fn hash<H: Hasher>(&self, state: &mut H) {
        // `ecn` is of the packet.
        let Segment { seq, ack, flags, window, urgent, options, ecn: _, payload } = self;
        (seq, ack, flags, window, urgent, options, payload.len()).hash(state);
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] seq {:?}", self.flags, self.seq)?;
        if self.has(Flags::ACK) {
            write!(f, " ack {:?}", self.ack)?;
        }
        write!(f, " win {} len {}", self.window, self.len())?;
        if self.has(Flags::URG) {
            write!(f, " urg {}", self.urgent)?;
        }
        if self.options != Options::default() {
            write!(f, " {:?}", self.options)?;
        }
        Ok(())
    }
}

/// The reset with which Linux answers a segment that it has no use for: no socket there, or the
/// state machine refuses it (`tcp_v4_send_reset`, T-24b). Never in answer to a reset. Window 0 and
/// no options; whoever carries it sets IP id 0 and DF.
pub fn reply_reset(to: &Segment) -> Option<Segment> {
    if to.has(Flags::RST) {
        return None;
    }
    Some(if to.has(Flags::ACK) {
        Segment { seq: to.ack, flags: Flags::RST, ..Segment::default() }
    } else {
        Segment { ack: to.end(), flags: Flags::RST | Flags::ACK, ..Segment::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_as_in_the_rules() {
        let of = |f: Flags| format!("{f:?}");
        assert_eq!(of(Flags::SYN), "[S]");
        assert_eq!(of(Flags::FIN | Flags::ACK), "[F.]");
        assert_eq!(of(Flags::FIN | Flags::PSH | Flags::ACK), "[FP.]");
        assert_eq!(of(Flags::RST | Flags::ACK), "[R.]");
        assert_eq!(of(Flags::RST), "[R]");
    }

    #[test]
    fn a_reply_reset_has_the_form_of_t_24b() {
        let with = |flags: Flags, payload: &'static [u8]| Segment {
            seq: Seq(100),
            ack: Seq(900),
            flags,
            window: 5,
            payload: Bytes::from_static(payload),
            ..Segment::default()
        };
        // With ACK: [R], seq = its ack. Measured for A, FA.
        for flags in [Flags::ACK, Flags::FIN | Flags::ACK, Flags::SYN | Flags::ACK] {
            let r = reply_reset(&with(flags, b"xy")).unwrap();
            assert_eq!((r.flags, r.seq, r.window, r.header_len()), (Flags::RST, Seq(900), 0, 20));
        }
        // Without ACK: [R.], seq 0, ack = seq + len + SYN + FIN. Measured for S, F, P.
        for (flags, payload, end) in [
            (Flags::SYN, &b""[..], 101),
            (Flags::FIN, &b""[..], 101),
            (Flags::PSH, &b"abc"[..], 103),
        ] {
            let r = reply_reset(&with(flags, payload)).unwrap();
            assert_eq!(r.flags, Flags::RST | Flags::ACK);
            assert_eq!((r.seq, r.ack, r.window, r.header_len()), (Seq(0), Seq(end), 0, 20));
        }
        assert_eq!(reply_reset(&with(Flags::RST, b"")), None);
        assert_eq!(reply_reset(&with(Flags::RST | Flags::ACK, b"")), None);
    }
}
