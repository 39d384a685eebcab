//! The queue of the device: a script fills it with `tc`, in the namespace that packetdrill runs in. A
//! queue without room is the host's too. Looked at only after a command ran. Neighbours: `turn`,
//! `sysctl`.

use crate::host::Host;
use std::process::Command;

/// The device that scripts configure.
const DEVICE: &str = "tun0";

/// What was seen when it was last looked at.
#[derive(Default)]
pub struct Device {
    /// Page faults of commands that ended: they never end without one.
    faults: u64,
}

impl Device {
    /// Takes over what the script's commands changed.
    pub fn follow(&mut self, host: &mut Host) {
        let faults = faults_of_children();
        if faults != self.faults {
            host.kernel.net.tx_full = is_full();
            self.faults = faults_of_children();
        }
    }
}

/// proc_pid_stat(5), `cminflt`: the ninth field after the name.
fn faults_of_children() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().nth(8).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// A queue that takes nothing: tc-pfifo(8) with a limit of no packets.
fn is_full() -> bool {
    let shown = Command::new("tc")
        .args(["qdisc", "show", "dev", DEVICE, "root"])
        .env_remove("LD_PRELOAD")
        .output();
    match shown {
        Ok(shown) => String::from_utf8_lossy(&shown.stdout).contains(" limit 0p"),
        Err(why) => {
            eprintln!("afterlife: the queue of {DEVICE} is not known: tc: {why}");
            false
        }
    }
}
