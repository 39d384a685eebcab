//! What a script's commands set by `sysctl` they set in the namespace that packetdrill runs in: the
//! host takes those settings over before each call and packet. A setting that the host does not have
//! is told when it changes. Neighbours: `turn`, `kernel::fs::procfs::sysctl`.

use crate::host::{Host, Who};
use std::collections::BTreeMap;

const DIRECTORY: &str = "/proc/sys/net/ipv4";
const SYS_WRITE: u64 = 1;
const SYS_OPEN: u64 = 2;
const SYS_CLOSE: u64 = 3;
const O_WRONLY: u64 = 1;

/// The machine's settings as they were last seen.
#[derive(Default)]
pub struct Sysctls {
    seen: Option<BTreeMap<String, String>>,
}

impl Sysctls {
    /// Takes over what changed. The first look takes everything over, and tells nothing.
    pub fn follow(&mut self, host: &mut Host) {
        let Some(before) = &self.seen else {
            let all = all();
            for (name, value) in &all {
                set(host, name, value);
            }
            self.seen = Some(all);
            return;
        };
        let now: BTreeMap<String, String> =
            before.keys().filter_map(|name| Some((name.clone(), read(name)?))).collect();
        for (name, value) in &now {
            if before.get(name) != Some(value) && !set(host, name, value) {
                eprintln!("afterlife: not supported: sysctl {name} = {value}");
            }
        }
        self.seen = Some(now);
    }
}

/// All settings of TCP on the machine.
fn all() -> BTreeMap<String, String> {
    let names = std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let tcp = names.filter(|name| name.starts_with("tcp_"));
    tcp.filter_map(|name| Some((name.clone(), read(&name)?))).collect()
}

fn read(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("{DIRECTORY}/{name}")).ok()?;
    Some(text.trim().to_owned())
}

/// Writes a setting as root of the host would. False: it has no such setting.
fn set(host: &mut Host, name: &str, value: &str) -> bool {
    let used = host.caller(Who::Script).used;
    let path = host.put(Who::Script, format!("{DIRECTORY}/{name}\0").as_bytes());
    let text = host.put(Who::Script, value.as_bytes());
    let mut call = |nr, args| host.start(Who::Script, nr, args).map_or(-1, |v| v as i64);
    let fd = call(SYS_OPEN, [path, O_WRONLY, 0, 0, 0, 0]);
    let mut taken = false;
    if let Ok(fd) = u64::try_from(fd) {
        taken = call(SYS_WRITE, [fd, text, value.len() as u64, 0, 0, 0]) >= 0;
        call(SYS_CLOSE, [fd, 0, 0, 0, 0, 0]);
    }
    host.caller(Who::Script).used = used;
    taken
}
