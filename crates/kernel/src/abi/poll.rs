//! poll(2): event bits, shared by poll, select and epoll.
//! Neighbours: `fs/file_operations` (who reports them), `fs/{poll,select,epoll}` (who asks).

use core::fmt;
use core::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of poll events (`POLL*`, numerically the same as `EPOLL*`).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PollBits(pub u32);

#[allow(missing_docs)]
impl PollBits {
    pub const NONE: PollBits = PollBits(0);
    pub const IN: PollBits = PollBits(0x1);
    pub const PRI: PollBits = PollBits(0x2);
    pub const OUT: PollBits = PollBits(0x4);
    pub const ERR: PollBits = PollBits(0x8);
    pub const HUP: PollBits = PollBits(0x10);
    pub const NVAL: PollBits = PollBits(0x20);
    pub const RDNORM: PollBits = PollBits(0x40);
    pub const RDBAND: PollBits = PollBits(0x80);
    pub const WRNORM: PollBits = PollBits(0x100);
    pub const WRBAND: PollBits = PollBits(0x200);
    pub const MSG: PollBits = PollBits(0x400);
    pub const RDHUP: PollBits = PollBits(0x2000);

    /// True when no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when every bit of `other` is set.
    pub const fn has(self, other: PollBits) -> bool {
        self.0 & other.0 == other.0
    }

    /// True when any bit of `other` is set.
    pub const fn any(self, other: PollBits) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for PollBits {
    type Output = PollBits;
    fn bitor(self, o: PollBits) -> PollBits {
        PollBits(self.0 | o.0)
    }
}
impl BitOrAssign for PollBits {
    fn bitor_assign(&mut self, o: PollBits) {
        self.0 |= o.0;
    }
}
impl BitAnd for PollBits {
    type Output = PollBits;
    fn bitand(self, o: PollBits) -> PollBits {
        PollBits(self.0 & o.0)
    }
}

impl fmt::Debug for PollBits {
    /// The short names that the rules use: `IN|OUT|RDHUP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u32, &str); 12] = [
            (0x1, "IN"),
            (0x2, "PRI"),
            (0x4, "OUT"),
            (0x8, "ERR"),
            (0x10, "HUP"),
            (0x20, "NVAL"),
            (0x40, "RDNORM"),
            (0x80, "RDBAND"),
            (0x100, "WRNORM"),
            (0x200, "WRBAND"),
            (0x400, "MSG"),
            (0x2000, "RDHUP"),
        ];
        let mut first = true;
        for (bit, name) in NAMES {
            if self.0 & bit != 0 {
                if !first {
                    f.write_str("|")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("0") } else { Ok(()) }
    }
}
