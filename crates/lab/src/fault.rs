//! Faults: what the lab does to processes and hosts at a planned time. Neighbours: `scenario`
//! (where they are written), `world` (where they come to pass).

use kernel::abi::signal::Signal;

/// What goes wrong.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// A process of the scenario is sent a signal from outside, which no permission holds up.
    Signal {
        /// Its name in the scenario.
        process: String,
        /// Which signal.
        signal: Signal,
    },
    /// A host loses its power: nothing is sent, nothing runs or answers again (rules P-1, P-2).
    PowerOff {
        /// The host's name.
        host: String,
    },
}
