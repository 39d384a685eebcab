//! Inodes.

use crate::arena::Id;

/// Names an [`Inode`].
pub type InodeId = Id<Inode>;

/// One file, directory, link or device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inode {}
