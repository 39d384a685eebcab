//! Anonymous files: eventfd, timerfd, signalfd, pidfd.

/// All anonymous objects of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnonFiles {}
