//! The device, as a script's commands leave it in the namespace that packetdrill runs in: `tc` fills its
//! queue, and a queue without room is the host's too; `ethtool` takes its segmentation away, and then
//! what is sniffed are segments. Looked at only after a command ran. Neighbours: `turn`, `sysctl`, `gso`.

use crate::host::Host;
use std::process::Command;

/// The device that scripts configure.
const DEVICE: &str = "tun0";

/// What was seen when it was last looked at.
#[derive(Default)]
pub struct Device {
    /// Page faults of commands that ended: they never end without one.
    faults: u64,
    /// It takes no units of several segments: Linux cuts them before they are sniffed.
    pub segments: bool,
}

impl Device {
    /// Takes over what the script's commands changed.
    pub fn follow(&mut self, host: &mut Host) {
        let faults = faults_of_children();
        if faults != self.faults {
            host.kernel.net.tx_full = is_full();
            self.segments = is_without_tso();
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

/// What a command says, or why it cannot.
fn said(command: &str, arguments: &[&str]) -> Result<String, std::io::Error> {
    let output = Command::new(command).args(arguments).env_remove("LD_PRELOAD").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A queue that takes nothing: tc-pfifo(8) with a limit of no packets.
fn is_full() -> bool {
    let shown = said("tc", &["qdisc", "show", "dev", DEVICE, "root"]);
    shown
        .inspect_err(|why| eprintln!("afterlife: the queue of {DEVICE} is not known: tc: {why}"))
        .is_ok_and(|text| text.contains(" limit 0p"))
}

/// Without ethtool(8) nobody can have taken it away.
fn is_without_tso() -> bool {
    let off = |text: String| text.contains("tcp-segmentation-offload: off");
    said("ethtool", &["-k", DEVICE]).is_ok_and(off)
}
