//! packetdrill's scripts against our TCP: the library that `packetdrill --so_filename` loads. The one
//! host under test is a [`kernel::Kernel`]; its time is virtual, and moves by the script's clock.
//! With `LD_PRELOAD` of the same file `getsockopt` is ours too, which scripts with blocks of code
//! (`%{ assert tcpi_… }%`) call directly.
//!
//! `border` (what C calls; the only `unsafe`) → `host` (the kernel, its time and packets) and `turn`
//! (one system call, which may wait in a thread of its own); `gso` (bursts as packetdrill sniffs
//! them); `sysctl` and `device` (what a script's commands set on the machine).

mod border;
mod device;
mod gso;
mod host;
mod sysctl;
mod turn;
