//! Files of /proc/sys that root may change, but those of TCP (`sysctl`): numbers that the rooms of
//! the kernel look up, and the host's names, which are those of the reader's UTS namespace.
//! proc_sys(5).

use crate::abi::Errno;
use crate::ipc::sysctl::IpcSysctl;
use crate::kernel::Kernel;
use crate::mm::overcommit::Overcommit;
use crate::task::TaskId;

/// Which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Tunable {
    CorePattern,
    Domainname,
    Hostname,
    /// A limit of the reader's IPC namespace.
    Ipc(IpcSysctl),
    Bindv6only,
    LeaseBreakTime,
    LeasesEnable,
    NrOpen,
    OvercommitMemory,
    OvercommitRatio,
    PipeMaxSize,
    PidMax,
    /// net.ipv4.conf.{all,default,lo}.tag, by their place.
    NetTag(u8),
    /// The last number that was given; what is written there is the last one from then on.
    NsLastPid,
}

/// Their values, where they are of the whole host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sysctls {
    /// kernel.core_pattern: stored; there are no dumps.
    pub core_pattern: String,
    /// net.ipv6.bindv6only: sockets of AF_INET6 begin with IPV6_V6ONLY if it is odd.
    pub bindv6only: u8,
    /// fs.lease-break-time, in seconds.
    pub lease_break_time: u32,
    /// fs.leases-enable.
    pub leases_enable: u32,
    /// fs.nr_open: descriptors that a process can have.
    pub nr_open: u32,
    /// vm.overcommit_memory.
    pub overcommit_memory: Overcommit,
    /// vm.overcommit_ratio, in percent.
    pub overcommit_ratio: u32,
    /// fs.pipe-max-size, in bytes.
    pub pipe_max_size: u32,
}

impl Default for Sysctls {
    fn default() -> Sysctls {
        Sysctls {
            core_pattern: "core".into(),
            bindv6only: 0,
            lease_break_time: 45,
            leases_enable: 1,
            nr_open: 1 << 20,
            overcommit_memory: Overcommit::Guess,
            overcommit_ratio: 50,
            pipe_max_size: 1 << 20,
        }
    }
}

impl Tunable {
    /// Permission bits.
    pub(super) fn mode(self) -> u32 {
        match self {
            Tunable::Ipc(which) => which.mode(),
            Tunable::PidMax => 0o444,
            Tunable::NsLastPid => 0o666,
            Tunable::CorePattern
            | Tunable::Domainname
            | Tunable::Hostname
            | Tunable::Bindv6only
            | Tunable::LeaseBreakTime
            | Tunable::LeasesEnable
            | Tunable::NetTag(_)
            | Tunable::NrOpen
            | Tunable::OvercommitMemory
            | Tunable::OvercommitRatio
            | Tunable::PipeMaxSize => 0o644,
        }
    }
}

impl Kernel {
    /// What `reader` reads there, without the newline.
    pub(super) fn tunable(&mut self, reader: TaskId, which: Tunable) -> String {
        let s = &self.sysctls;
        match which {
            Tunable::NetTag(i) => self.net_conf(reader).tags[usize::from(i)].to_string(),
            Tunable::CorePattern => s.core_pattern.clone(),
            Tunable::Hostname => self.utsname(reader).0,
            Tunable::Domainname => self.utsname(reader).1,
            Tunable::Ipc(which) => which.text(&self.ipc, self.ipc_ns(reader)),
            Tunable::Bindv6only => s.bindv6only.to_string(),
            Tunable::LeaseBreakTime => s.lease_break_time.to_string(),
            Tunable::LeasesEnable => s.leases_enable.to_string(),
            Tunable::NrOpen => s.nr_open.to_string(),
            Tunable::OvercommitMemory => (s.overcommit_memory as u32).to_string(),
            Tunable::OvercommitRatio => s.overcommit_ratio.to_string(),
            Tunable::PipeMaxSize => s.pipe_max_size.to_string(),
            Tunable::PidMax => self.pids.pid_max_in(self.task_active_pid_ns(reader)).to_string(),
            Tunable::NsLastPid => self.pids.last_in(self.task_active_pid_ns(reader)).to_string(),
        }
    }

    /// A write there. EINVAL for no number, or one out of range.
    pub(crate) fn tunable_write(
        &mut self,
        writer: TaskId,
        which: Tunable,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        /// PAGE_SIZE, and the largest power of two of a u32.
        const PIPE_SIZES: core::ops::RangeInclusive<u32> = 4096..=1 << 31;
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let line = text.split('\n').next().unwrap_or_default();
        let number = || text.trim().parse::<u32>().map_err(|_| Errno::EINVAL);
        match which {
            Tunable::CorePattern => self.sysctls.core_pattern = line.chars().take(127).collect(),
            Tunable::Hostname | Tunable::Domainname => {
                let domain = which == Tunable::Domainname;
                *self.utsname_mut(writer, domain) = line.chars().take(64).collect();
            }
            Tunable::NetTag(i) => {
                let tag = text.trim().parse::<i32>().map_err(|_| Errno::EINVAL)?;
                self.net_conf(writer).tags[usize::from(i)] = tag;
            }
            Tunable::Ipc(which) => {
                let ns = self.ipc_ns(writer);
                which.write(&mut self.ipc, ns, text)?;
            }
            Tunable::Bindv6only => {
                self.sysctls.bindv6only = number()?.try_into().map_err(|_| Errno::EINVAL)?;
            }
            Tunable::LeaseBreakTime => self.sysctls.lease_break_time = number()?,
            Tunable::LeasesEnable => self.sysctls.leases_enable = number()?,
            Tunable::NrOpen => {
                let wanted = number()?;
                if !(64..=0x7fff_ffc0).contains(&wanted) {
                    return Err(Errno::EINVAL);
                }
                self.sysctls.nr_open = wanted;
            }
            Tunable::OvercommitMemory => {
                self.sysctls.overcommit_memory = match number()? {
                    0 => Overcommit::Guess,
                    1 => Overcommit::Always,
                    2 => Overcommit::Never,
                    _ => return Err(Errno::EINVAL),
                };
            }
            Tunable::OvercommitRatio => self.sysctls.overcommit_ratio = number()?,
            Tunable::PipeMaxSize => {
                let wanted = number()?;
                if wanted == 0 || wanted > *PIPE_SIZES.end() {
                    return Err(Errno::EINVAL);
                }
                let size = wanted.max(*PIPE_SIZES.start()).next_power_of_two();
                self.sysctls.pipe_max_size = size;
            }
            Tunable::NsLastPid => return self.pid_ns_ctl_write(writer, bytes),
            Tunable::PidMax => return Err(Errno::EACCES),
        }
        Ok(bytes.len())
    }
}
