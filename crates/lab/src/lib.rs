//! The lab: worlds of hosts, links and a clock; who dies when; what is expected. Pure: it never
//! names a concrete platform, it sees the [`kernel::platform::Platform`] trait and its own
//! [`scripted`] one, so that everything except real ELF programs is tested in memory.
#![forbid(unsafe_code)]

pub mod scripted;
