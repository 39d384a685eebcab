//! Guest programs: small programs whose cases assert their own results by real system calls. They
//! pass on real Linux (`cargo xtask native`) and in afterlife (tests/afterlife.rs), so they need no
//! expectation files. This library is what they share: case.rs runs the cases, sys.rs wraps system
//! calls, mounting.rs and cgroup.rs give a file system and a control group to work on, process.rs
//! makes and awaits children, signal.rs and net.rs what their names say.
//!
//! A case never sleeps to let something happen: it waits for the event itself, and the runner's
//! limit of time ends it if the event doesn't come. Descriptors are plain numbers on purpose: which
//! one is closed when is what is tested.

pub mod case;
pub mod cgroup;
pub mod mounting;
pub mod net;
pub mod process;
pub mod signal;
pub mod sys;

pub use case::Check;
