//! poll(2), select(2).

/// What a poll remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PollProgress {}
