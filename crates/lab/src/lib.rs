//! The lab: worlds of hosts, links and a clock; who dies when; what is expected. Pure: it never
//! names a concrete platform, it sees the [`kernel::platform::Platform`] trait and its own
//! [`scripted`] one, so that everything except real ELF programs is tested in memory.
//!
//! [`scenario`] (read from TOML) → [`world`] (stepped: [`plan`], [`link`], [`fault`]) → a stream of
//! [`record`]s, a [`digest`] and a [`verdict`]; [`deaths`] compares worlds. The command renders.
#![forbid(unsafe_code)]

pub mod deaths;
pub mod digest;
pub mod fault;
pub mod link;
pub mod plan;
mod preempt;
pub mod record;
pub mod scenario;
pub mod scripted;
pub mod shape;
pub mod verdict;
pub mod wire;
pub mod world;

pub use record::{LabFact, Record, What};
pub use scenario::Scenario;
pub use world::{Options, Step, World};
