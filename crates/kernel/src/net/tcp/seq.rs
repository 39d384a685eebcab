//! Sequence numbers: 32 bits that wrap (RFC 9293, 3.4). A `Seq` has no total order, so it has no
//! `Ord`: it has `before` and `after`, which are right while both lie within 2 GB of each other.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// True when `self` comes earlier in the stream than `other`.
    pub const fn before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// True when `self` comes later in the stream than `other`.
    pub const fn after(self, other: Seq) -> bool {
        other.before(self)
    }

    /// Bytes from `earlier` up to `self`. Meaningful only if `self` is not before `earlier`.
    pub const fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Bytes from `earlier` up to `self`, zero when `self` is before `earlier`.
    pub const fn saturating_since(self, earlier: Seq) -> u32 {
        if self.before(earlier) { 0 } else { self.since(earlier) }
    }

    /// The later of the two.
    pub const fn max(self, other: Seq) -> Seq {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    pub const fn min(self, other: Seq) -> Seq {
        if self.before(other) { self } else { other }
    }
}

impl Add<u32> for Seq {
    type Output = Seq;
    fn add(self, bytes: u32) -> Seq {
        Seq(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;
    fn sub(self, bytes: u32) -> Seq {
        Seq(self.0.wrapping_sub(bytes))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let a = Seq(u32::MAX - 2);
        let b = a + 5;
        assert_eq!(b, Seq(2));
        assert!(a.before(b) && b.after(a) && !a.after(b) && !a.before(a));
        assert_eq!(b.since(a), 5);
        assert_eq!(a.saturating_since(b), 0);
        assert_eq!((a.max(b), a.min(b)), (b, a));
        assert_eq!(b - 5, a);
    }
}
