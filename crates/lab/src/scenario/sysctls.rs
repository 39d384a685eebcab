//! `sysctls` of a `[[host]]`: settings under /proc/sys that it boots with. They are tried on a host of
//! their own while the scenario is read, so that an error names its line. Neighbour: `parse`.

use super::parse::Result;
use super::section::{Section, Source, suggestion};
use kernel::fs::procfs::sysctl_args::{SysctlArgError, sysctl_names};
use kernel::kernel::{Config, Kernel};

/// `sysctls = { "net.ipv4.tcp_fin_timeout" = 3 }`: names and values, in the order of the file.
pub(super) fn read_sysctls(
    source: &Source<'_>,
    host: &Section<'_>,
) -> Result<Vec<(String, String)>> {
    let given = host.setting_table("sysctls")?;
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let mut kernel = Kernel::boot(Config::default());
    let mut sysctls = Vec::new();
    for setting in given {
        let (name, value) = setting.value;
        let why = match kernel.process_sysctl_arg(name, &value) {
            Ok(()) => {
                sysctls.push((name.to_owned(), value));
                continue;
            }
            Err(SysctlArgError::Unknown) => {
                let names: Vec<String> = sysctl_names().collect();
                let near = suggestion(name, names.iter().map(String::as_str));
                let end = if near.is_empty() {
                    "; /proc/sys of a host shows which there are"
                } else {
                    ""
                };
                format!("there is no sysctl {name:?}{near}{end}")
            }
            Err(SysctlArgError::ReadOnly) => {
                format!("sysctl {name:?} cannot be changed: leave it out")
            }
            Err(SysctlArgError::BadValue) => {
                format!("sysctl {name:?} does not take the value {value:?}: write another")
            }
        };
        return Err(source.error(setting.at, why));
    }
    Ok(sysctls)
}
