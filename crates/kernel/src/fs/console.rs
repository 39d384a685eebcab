//! The console of `afterlife run -- COMMAND`: where stdin comes from and stdout goes to.

/// The console's state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Console {}
