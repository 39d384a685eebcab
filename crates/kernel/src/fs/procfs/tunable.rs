//! Files of /proc/sys that root may change, but those of TCP (`sysctl`): numbers that the rooms of
//! the kernel look up, and the host's names, which are those of the reader's UTS namespace.
//! proc_sys(5).

use crate::abi::Errno;
use crate::ipc::sysctl::IpcSysctl;
use crate::kernel::Kernel;
use crate::mm::overcommit::Overcommit;
use crate::net::sockopt::{MIN_RCVBUF, MIN_SNDBUF};
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
    /// net.ipv4.ip_local_port_range.
    LocalPortRange,
    NrOpen,
    OvercommitMemory,
    OvercommitRatio,
    PipeMaxSize,
    PidMax,
    /// net.ipv4.conf.{all,default,lo}.tag, by their place.
    NetTag(u8),
    /// net.core.*mem_*.
    RmemDefault,
    RmemMax,
    Somaxconn,
    /// net.ipv4.ip_unprivileged_port_start.
    UnprivilegedPortStart,
    WmemDefault,
    WmemMax,
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
    /// net.ipv4.ip_local_port_range: first and last ephemeral port.
    pub local_port_range: (u16, u16),
    /// net.ipv4.ip_unprivileged_port_start.
    pub unprivileged_port_start: u16,
    /// net.core.rmem_default and rmem_max: receive buffers but TCP's, and what SO_RCVBUF may ask for
    /// before doubling, in bytes.
    pub rmem: [u32; 2],
    /// net.core.wmem_default and wmem_max: the same of send buffers.
    pub wmem: [u32; 2],
    /// net.core.somaxconn: the largest backlog.
    pub somaxconn: u32,
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
            local_port_range: (32_768, 60_999),
            unprivileged_port_start: 1024,
            rmem: [212_992, 4 << 20],
            wmem: [212_992, 4 << 20],
            somaxconn: 4096,
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
            | Tunable::LocalPortRange
            | Tunable::NetTag(_)
            | Tunable::RmemDefault
            | Tunable::RmemMax
            | Tunable::Somaxconn
            | Tunable::UnprivilegedPortStart
            | Tunable::WmemDefault
            | Tunable::WmemMax
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
            Tunable::LocalPortRange => {
                let (low, high) = s.local_port_range;
                format!("{low}\t{high}")
            }
            Tunable::RmemDefault => s.rmem[0].to_string(),
            Tunable::RmemMax => s.rmem[1].to_string(),
            Tunable::Somaxconn => s.somaxconn.to_string(),
            Tunable::UnprivilegedPortStart => s.unprivileged_port_start.to_string(),
            Tunable::WmemDefault => s.wmem[0].to_string(),
            Tunable::WmemMax => s.wmem[1].to_string(),
            Tunable::NrOpen => s.nr_open.to_string(),
            Tunable::OvercommitMemory => (s.overcommit_memory as u32).to_string(),
            Tunable::OvercommitRatio => s.overcommit_ratio.to_string(),
            Tunable::PipeMaxSize => s.pipe_max_size.to_string(),
            Tunable::PidMax => self.pids.pid_max_in(self.task_active_pid_ns(reader)).to_string(),
            Tunable::NsLastPid => self.pids.last_in(self.task_active_pid_ns(reader)).to_string(),
        }
    }

    /// ipv4_local_port_range(): two numbers, the first not greater and not below
    /// ip_unprivileged_port_start. One alone keeps the second.
    fn port_range(&self, text: &str) -> Result<(u16, u16), Errno> {
        let (mut low, mut high) = self.sysctls.local_port_range;
        let mut words = text.split_ascii_whitespace();
        for place in [&mut low, &mut high] {
            let Some(word) = words.next() else { break };
            *place = word.parse().ok().filter(|port| *port > 0).ok_or(Errno::EINVAL)?;
        }
        let fits = low <= high && low >= self.sysctls.unprivileged_port_start;
        if fits { Ok((low, high)) } else { Err(Errno::EINVAL) }
    }

    /// A write there. EINVAL for no number, or one out of range.
    // tidy: long, because it is a table
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
        let at_least = |least| match number()? {
            n if n < least || n > i32::MAX as u32 => Err(Errno::EINVAL),
            n => Ok(n),
        };
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
            Tunable::LocalPortRange => self.sysctls.local_port_range = self.port_range(text)?,
            Tunable::RmemDefault => self.sysctls.rmem[0] = at_least(MIN_RCVBUF)?,
            Tunable::RmemMax => self.sysctls.rmem[1] = at_least(MIN_RCVBUF)?,
            Tunable::WmemDefault => self.sysctls.wmem[0] = at_least(MIN_SNDBUF)?,
            Tunable::WmemMax => self.sysctls.wmem[1] = at_least(MIN_SNDBUF)?,
            Tunable::Somaxconn => self.sysctls.somaxconn = at_least(0)?,
            Tunable::UnprivilegedPortStart => {
                let start = number()?.try_into().map_err(|_| Errno::EINVAL)?;
                if start > self.sysctls.local_port_range.0 {
                    return Err(Errno::EINVAL);
                }
                self.sysctls.unprivileged_port_start = start;
            }
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
