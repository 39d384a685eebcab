//! Settings that a host boots with, as `sysctl.net.ipv4.tcp_fin_timeout=3` on Linux's command line
//! (`do_sysctl_args`): each is written to its file under /proc/sys as root would, before anything
//! runs. Neighbours: `system` (which files there are), `sysctl` and `tunable` (what they do).

use super::ProcNode;
use super::system::{FILES, SystemFile};
use crate::fact::Fact;
use crate::fs::dcache::DentryId;
use crate::fs::inode::InodeKind;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::task::capability::Cap;

/// Those that Linux lets nobody write either.
const FIXED_ON_LINUX: [&[u8]; 12] = [
    b"boot_id",
    b"cap_last_cap",
    b"entropy_avail",
    b"msg_next_id",
    b"ngroups_max",
    b"osrelease",
    b"ostype",
    b"sem_next_id",
    b"shm_next_id",
    b"tcp_available_congestion_control",
    b"uuid",
    b"version",
];

/// Why a setting was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SysctlArgError {
    /// There is no such file.
    Unknown,
    /// There is one, but what it says cannot be changed.
    ReadOnly,
    /// It does not take this value.
    BadValue,
}

/// The names of all settings that can be changed: `net.ipv4.tcp_fin_timeout`.
pub fn sysctl_names() -> impl Iterator<Item = String> {
    let settings = FILES.iter().filter(|(_, file)| file.is_sysctl() && file.mode() & 0o200 != 0);
    settings.map(|(path, _)| path.trim_start_matches("sys/").replace('/', "."))
}

impl Kernel {
    /// process_sysctl_arg(): writes `value` to the setting `name`, dots or slashes between its parts.
    ///
    /// # Errors
    /// See [`SysctlArgError`].
    pub fn process_sysctl_arg(&mut self, name: &str, value: &str) -> Result<(), SysctlArgError> {
        let path = format!("sys/{}", name.replace('.', "/"));
        let found = FILES.iter().find(|(known, file)| *known == path && file.is_sysctl());
        let (_, file) = found.ok_or(SysctlArgError::Unknown)?;
        let leader = self.init.map(|init| self.groups[init].leader);
        let init = leader.ok_or(SysctlArgError::ReadOnly)?;
        let written = match *file {
            SystemFile::Tcp(which) => self.tcp_sysctl_write(init, which, value.as_bytes()),
            SystemFile::Tunable(which) if which.mode() & 0o200 != 0 => {
                self.tunable_write(init, which, value.as_bytes())
            }
            _ => return Err(SysctlArgError::ReadOnly),
        };
        written.map(|_| ()).map_err(|_| SysctlArgError::BadValue)
    }

    /// A privileged writer was refused a setting that can be changed on Linux: here it cannot be
    /// honoured, and is told.
    pub(crate) fn tell_fixed_sysctl(&mut self, task: TaskId, dentry: DentryId, writes: bool) {
        let InodeKind::Proc(ProcNode::System(file)) = self.vfs.inode(dentry).kind else { return };
        let name = &self.vfs.dentries[dentry].name;
        let fixed = !file.is_sysctl() || file.mode() & 0o200 != 0;
        let root = self.tasks[task].cred.capable(Cap::SysAdmin);
        if writes && root && !fixed && !FIXED_ON_LINUX.contains(&name.as_slice()) {
            let what = format!("a change of {}", String::from_utf8_lossy(name));
            self.tell(Some(task), Fact::unsupported("sysctl", what));
        }
    }

    /// do_sysctl_args(): those of the host's configuration. The scenario was checked: none fails.
    pub(crate) fn do_sysctl_args(&mut self) {
        for (name, value) in self.config.sysctls.clone() {
            let taken = self.process_sysctl_arg(&name, &value);
            assert_eq!(taken, Ok(()), "sysctl {name} = {value} on {}", self.config.hostname);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Config;

    #[test]
    fn a_host_boots_with_its_settings_each_time() {
        let sysctls = [("net.ipv4.tcp_fin_timeout", "3"), ("net/core/somaxconn", "7")];
        let sysctls = sysctls.map(|(name, value)| (name.into(), value.into())).to_vec();
        let kernel = Kernel::boot(Config { sysctls, ..Config::default() });
        let again = Kernel::boot(kernel.config.next_boot(kernel.now));
        for kernel in [kernel, again] {
            assert_eq!(kernel.net.sysctls.config.fin_timeout.as_secs(), 3);
            assert_eq!(kernel.sysctls.somaxconn, 7);
        }
    }

    #[test]
    fn settings_that_are_not_there_or_do_not_fit_are_refused() {
        let mut kernel = Kernel::boot(Config::default());
        let mut set = |name, value| kernel.process_sysctl_arg(name, value);
        assert_eq!(set("net.ipv4.tcp_fin_timeouts", "3"), Err(SysctlArgError::Unknown));
        assert_eq!(set("kernel.ostype", "Hurd"), Err(SysctlArgError::ReadOnly));
        assert_eq!(set("kernel.pid_max", "100"), Err(SysctlArgError::ReadOnly));
        assert_eq!(set("net.ipv4.tcp_retries2", "300"), Err(SysctlArgError::BadValue));
        assert!(sysctl_names().any(|name| name == "net.ipv4.tcp_retries2"));
        assert!(!sysctl_names().any(|name| name == "kernel.ostype"));
    }
}
