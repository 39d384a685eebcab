//! Address spaces: areas only; the bytes belong to the platform.

use crate::arena::Id;

/// Names an [`Mm`].
pub type MmId = Id<Mm>;

/// mm_struct: one address space.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mm {
    /// mm_users: tasks that run in it.
    pub users: u32,
}
