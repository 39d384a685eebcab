//! One Linux host as a value.
#![forbid(unsafe_code)]

pub mod abi;
pub mod arena;
pub mod net;
pub mod platform;
pub mod time;
