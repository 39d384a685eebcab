//! futex(2): queues by key, in the order of arrival.

/// All futex queues of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FutexQueues {}

/// What a futex wait remembers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FutexProgress {}
