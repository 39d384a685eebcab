//! pipe(7).

use crate::arena::Id;

/// Names a [`Pipe`].
pub type PipeId = Id<Pipe>;

/// One pipe.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pipe {}
