//! execve(2).

/// What an exec remembers while it waits for the other threads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecProgress {}
