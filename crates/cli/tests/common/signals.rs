//! What a program that a test starts natively inherits: no ignored signals. `nohup`, `&` in a script
//! or a CI that ignores SIGHUP or SIGINT would otherwise reach into what the programs under test
//! print (signal(7): an ignored signal stays ignored across execve), and a `sleep 1000` that is to
//! be killed would be waited for. Used by the tests beside it and by `cargo xtask`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Every signal that this process ignores gets a handler that does nothing: execve(2) makes it
/// default again in whatever is started. SIGPIPE, which Rust ignores, Rust itself restores.
pub fn start_children_with_default_signals() {
    const SIGPIPE: i32 = 13;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    for signal in (1..=31).filter(|s| mask >> (s - 1) & 1 != 0 && *s != SIGPIPE) {
        let unused = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal, unused).expect("an ignored signal can be caught");
    }
}
