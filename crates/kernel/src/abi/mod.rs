//! Numbers and layouts that programs see: what the headers under /usr/include say. Taken from
//! `linux-raw-sys` where it has them; one file a subject, no behaviour.

pub mod errno;
pub mod open;
pub mod poll;
pub mod signal;
pub mod stat;

pub use errno::Errno;
