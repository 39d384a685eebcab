//! Platforms: whoever runs the guests. [`ptrace`] runs unmodified x86-64 ELF programs as traced
//! native processes whose system calls never reach the machine's kernel. This is the only crate of
//! afterlife with `unsafe`, all of it in `ptrace/sys.rs`. Neighbours: `kernel::platform` says what is
//! asked, `lab::scripted` is the pure platform for tests.

pub mod ptrace;
