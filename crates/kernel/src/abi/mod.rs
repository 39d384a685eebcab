//! Numbers and layouts that programs see: what the headers under /usr/include say. Taken from
//! `linux-raw-sys` where it has them.

pub mod errno;

pub use errno::Errno;
