//! placeholder
pub mod tcp;
