//! Files of procfs that are about the host. The numbers are the virtual host's: one CPU, the
//! configured memory, virtual time. Nothing of the machine shows. Neighbours: `mod`, `task`.

use super::sysctl::TcpSysctl;
use super::tunable::Tunable;
use crate::ipc::sysctl::IpcSysctl;
use crate::kernel::Kernel;
use crate::random::{Purpose, Stream};
use crate::task::system::{RELEASE, VERSION};
use crate::task::timer::clock::{Clock, nanos};
use crate::task::{Run, TaskId};
use crate::time::Duration;
use core::fmt::Write;

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SystemFile {
    Cmdline,
    Config,
    Cpuinfo,
    Filesystems,
    Loadavg,
    Meminfo,
    Stat,
    Swaps,
    Uptime,
    Version,
    Vmstat,
    Osrelease,
    RandomUuid,
    BootId,
    ThreadsMax,
    SysvipcMsg,
    SysvipcSem,
    SysvipcShm,
    KernelVersion,
    /// What root may change.
    Tunable(Tunable),
    /// A setting of TCP.
    Tcp(TcpSysctl),
    /// net.ipv6.conf.*.disable_ipv6.
    DisableIpv6,
    /// A file that always says this.
    Text(&'static str),
}

impl SystemFile {
    /// One that who restores processes may write, whatever its mode says?
    pub fn is_for_restorers(self) -> bool {
        matches!(self, SystemFile::Tunable(Tunable::Ipc(which)) if which.mode() == 0o444)
    }

    /// One of those under /proc/sys?
    pub fn is_sysctl(self) -> bool {
        match self {
            SystemFile::Osrelease
            | SystemFile::RandomUuid
            | SystemFile::BootId
            | SystemFile::ThreadsMax
            | SystemFile::DisableIpv6
            | SystemFile::KernelVersion
            | SystemFile::Tcp(_)
            | SystemFile::Tunable(_)
            | SystemFile::Text(_) => true,
            SystemFile::Cmdline
            | SystemFile::Config
            | SystemFile::Cpuinfo
            | SystemFile::Filesystems
            | SystemFile::Loadavg
            | SystemFile::Meminfo
            | SystemFile::Stat
            | SystemFile::Swaps
            | SystemFile::Uptime
            | SystemFile::SysvipcMsg
            | SystemFile::SysvipcSem
            | SystemFile::SysvipcShm
            | SystemFile::Version
            | SystemFile::Vmstat => false,
        }
    }
}

impl SystemFile {
    /// Permission bits: root changes settings.
    pub(super) fn mode(self) -> u32 {
        match self {
            SystemFile::Tcp(_) => 0o644,
            SystemFile::Tunable(which) => which.mode(),
            _ => 0o444,
        }
    }
}

/// Where they are under /proc.
pub const FILES: &[(&str, SystemFile)] = &[
    ("cgroups", SystemFile::Text("#subsys_name\thierarchy\tnum_cgroups\tenabled\n")),
    ("cmdline", SystemFile::Cmdline),
    ("config.gz", SystemFile::Config),
    ("cpuinfo", SystemFile::Cpuinfo),
    ("filesystems", SystemFile::Filesystems),
    ("loadavg", SystemFile::Loadavg),
    ("meminfo", SystemFile::Meminfo),
    ("stat", SystemFile::Stat),
    ("swaps", SystemFile::Swaps),
    ("sys/fs/file-max", SystemFile::Text("9223372036854775807\n")),
    ("sys/fs/inotify/max_queued_events", SystemFile::Text("16384\n")),
    ("sys/fs/inotify/max_user_instances", SystemFile::Text("128\n")),
    ("sys/fs/inotify/max_user_watches", SystemFile::Text("65536\n")),
    ("sys/fs/lease-break-time", SystemFile::Tunable(Tunable::LeaseBreakTime)),
    ("sys/fs/leases-enable", SystemFile::Tunable(Tunable::LeasesEnable)),
    ("sys/fs/mqueue/msg_default", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::MqMsgDefault))),
    ("sys/fs/mqueue/msg_max", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::MqMsgMax))),
    (
        "sys/fs/mqueue/msgsize_default",
        SystemFile::Tunable(Tunable::Ipc(IpcSysctl::MqMsgsizeDefault)),
    ),
    ("sys/fs/mqueue/msgsize_max", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::MqMsgsizeMax))),
    ("sys/fs/mqueue/queues_max", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::MqQueuesMax))),
    ("sys/fs/nr_open", SystemFile::Tunable(Tunable::NrOpen)),
    ("sys/fs/pipe-max-size", SystemFile::Tunable(Tunable::PipeMaxSize)),
    ("sys/fs/pipe-user-pages-hard", SystemFile::Text("0\n")),
    ("sys/fs/pipe-user-pages-soft", SystemFile::Text("16384\n")),
    ("sys/fs/protected_hardlinks", SystemFile::Text("1\n")),
    ("sys/fs/protected_symlinks", SystemFile::Text("0\n")),
    ("sys/kernel/cap_last_cap", SystemFile::Text("40\n")),
    ("sys/kernel/core_pattern", SystemFile::Tunable(Tunable::CorePattern)),
    ("sys/kernel/core_uses_pid", SystemFile::Text("0\n")),
    ("sys/kernel/domainname", SystemFile::Tunable(Tunable::Domainname)),
    ("sys/kernel/hostname", SystemFile::Tunable(Tunable::Hostname)),
    ("sys/kernel/msg_next_id", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::MsgNextId))),
    ("sys/kernel/msgmax", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::Msgmax))),
    ("sys/kernel/msgmnb", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::Msgmnb))),
    ("sys/kernel/msgmni", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::Msgmni))),
    ("sys/kernel/ngroups_max", SystemFile::Text("65536\n")),
    ("sys/kernel/ns_last_pid", SystemFile::Tunable(Tunable::NsLastPid)),
    ("sys/kernel/osrelease", SystemFile::Osrelease),
    ("sys/kernel/ostype", SystemFile::Text("Linux\n")),
    ("sys/kernel/overflowgid", SystemFile::Text("65534\n")),
    ("sys/kernel/overflowuid", SystemFile::Text("65534\n")),
    ("sys/kernel/pid_max", SystemFile::Tunable(Tunable::PidMax)),
    ("sys/kernel/random/boot_id", SystemFile::BootId),
    ("sys/kernel/random/entropy_avail", SystemFile::Text("256\n")),
    ("sys/kernel/random/uuid", SystemFile::RandomUuid),
    ("sys/kernel/randomize_va_space", SystemFile::Text("0\n")),
    ("sys/kernel/sem", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::Sem))),
    ("sys/kernel/sem_next_id", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::SemNextId))),
    ("sys/kernel/shm_next_id", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::ShmNextId))),
    ("sys/kernel/shm_rmid_forced", SystemFile::Text("0\n")),
    ("sys/kernel/shmall", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::Shmall))),
    ("sys/kernel/shmmax", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::Shmmax))),
    ("sys/kernel/shmmni", SystemFile::Tunable(Tunable::Ipc(IpcSysctl::Shmmni))),
    ("sys/kernel/tainted", SystemFile::Text("0\n")),
    ("sys/kernel/threads-max", SystemFile::ThreadsMax),
    ("sys/kernel/version", SystemFile::KernelVersion),
    ("sys/kernel/yama/ptrace_scope", SystemFile::Text("3\n")),
    ("sys/net/core/rmem_default", SystemFile::Tunable(Tunable::RmemDefault)),
    ("sys/net/core/rmem_max", SystemFile::Tunable(Tunable::RmemMax)),
    ("sys/net/core/somaxconn", SystemFile::Tunable(Tunable::Somaxconn)),
    ("sys/net/core/wmem_default", SystemFile::Tunable(Tunable::WmemDefault)),
    ("sys/net/core/wmem_max", SystemFile::Tunable(Tunable::WmemMax)),
    ("sys/net/ipv4/conf/all/tag", SystemFile::Tunable(Tunable::NetTag(0))),
    ("sys/net/ipv4/conf/default/tag", SystemFile::Tunable(Tunable::NetTag(1))),
    ("sys/net/ipv4/conf/lo/tag", SystemFile::Tunable(Tunable::NetTag(2))),
    ("sys/net/ipv4/ip_local_port_range", SystemFile::Tunable(Tunable::LocalPortRange)),
    (
        "sys/net/ipv4/ip_unprivileged_port_start",
        SystemFile::Tunable(Tunable::UnprivilegedPortStart),
    ),
    ("sys/net/ipv4/tcp_abort_on_overflow", SystemFile::Tcp(TcpSysctl::AbortOnOverflow)),
    ("sys/net/ipv4/tcp_allowed_congestion_control", SystemFile::Text("cubic\n")),
    ("sys/net/ipv4/tcp_available_congestion_control", SystemFile::Text("cubic\n")),
    ("sys/net/ipv4/tcp_challenge_ack_limit", SystemFile::Text("2147483647\n")),
    ("sys/net/ipv4/tcp_congestion_control", SystemFile::Text("cubic\n")),
    ("sys/net/ipv4/tcp_dsack", SystemFile::Tcp(TcpSysctl::Dsack)),
    ("sys/net/ipv4/tcp_early_retrans", SystemFile::Tcp(TcpSysctl::EarlyRetrans)),
    ("sys/net/ipv4/tcp_ecn", SystemFile::Tcp(TcpSysctl::Ecn)),
    ("sys/net/ipv4/tcp_fastopen", SystemFile::Text("0\n")),
    ("sys/net/ipv4/tcp_fin_timeout", SystemFile::Tcp(TcpSysctl::FinTimeout)),
    ("sys/net/ipv4/tcp_frto", SystemFile::Tcp(TcpSysctl::Frto)),
    ("sys/net/ipv4/tcp_invalid_ratelimit", SystemFile::Tcp(TcpSysctl::InvalidRatelimit)),
    ("sys/net/ipv4/tcp_keepalive_intvl", SystemFile::Tcp(TcpSysctl::KeepaliveIntvl)),
    ("sys/net/ipv4/tcp_keepalive_probes", SystemFile::Tcp(TcpSysctl::KeepaliveProbes)),
    ("sys/net/ipv4/tcp_keepalive_time", SystemFile::Tcp(TcpSysctl::KeepaliveTime)),
    ("sys/net/ipv4/tcp_max_orphans", SystemFile::Tcp(TcpSysctl::MaxOrphans)),
    ("sys/net/ipv4/tcp_max_reordering", SystemFile::Tcp(TcpSysctl::MaxReordering)),
    ("sys/net/ipv4/tcp_max_syn_backlog", SystemFile::Tcp(TcpSysctl::MaxSynBacklog)),
    ("sys/net/ipv4/tcp_migrate_req", SystemFile::Tcp(TcpSysctl::MigrateReq)),
    ("sys/net/ipv4/tcp_min_tso_segs", SystemFile::Tcp(TcpSysctl::MinTsoSegs)),
    ("sys/net/ipv4/tcp_moderate_rcvbuf", SystemFile::Tcp(TcpSysctl::ModerateRcvbuf)),
    ("sys/net/ipv4/tcp_notsent_lowat", SystemFile::Tcp(TcpSysctl::NotsentLowat)),
    ("sys/net/ipv4/tcp_orphan_retries", SystemFile::Tcp(TcpSysctl::OrphanRetries)),
    ("sys/net/ipv4/tcp_reordering", SystemFile::Tcp(TcpSysctl::Reordering)),
    ("sys/net/ipv4/tcp_retries1", SystemFile::Tcp(TcpSysctl::Retries1)),
    ("sys/net/ipv4/tcp_retries2", SystemFile::Tcp(TcpSysctl::Retries2)),
    ("sys/net/ipv4/tcp_rfc1337", SystemFile::Tcp(TcpSysctl::Rfc1337)),
    ("sys/net/ipv4/tcp_rmem", SystemFile::Tcp(TcpSysctl::Rmem)),
    ("sys/net/ipv4/tcp_rto_max_ms", SystemFile::Tcp(TcpSysctl::RtoMaxMs)),
    ("sys/net/ipv4/tcp_rto_min_us", SystemFile::Tcp(TcpSysctl::RtoMinUs)),
    ("sys/net/ipv4/tcp_sack", SystemFile::Tcp(TcpSysctl::Sack)),
    ("sys/net/ipv4/tcp_slow_start_after_idle", SystemFile::Tcp(TcpSysctl::SlowStartAfterIdle)),
    ("sys/net/ipv4/tcp_syn_linear_timeouts", SystemFile::Tcp(TcpSysctl::SynLinearTimeouts)),
    ("sys/net/ipv4/tcp_syn_retries", SystemFile::Tcp(TcpSysctl::SynRetries)),
    ("sys/net/ipv4/tcp_synack_retries", SystemFile::Tcp(TcpSysctl::SynackRetries)),
    ("sys/net/ipv4/tcp_syncookies", SystemFile::Tcp(TcpSysctl::Syncookies)),
    ("sys/net/ipv4/tcp_timestamps", SystemFile::Tcp(TcpSysctl::Timestamps)),
    ("sys/net/ipv4/tcp_window_scaling", SystemFile::Tcp(TcpSysctl::WindowScaling)),
    ("sys/net/ipv4/tcp_wmem", SystemFile::Tcp(TcpSysctl::Wmem)),
    ("sys/net/ipv6/bindv6only", SystemFile::Tunable(Tunable::Bindv6only)),
    ("sys/net/ipv6/conf/all/disable_ipv6", SystemFile::DisableIpv6),
    ("sys/net/ipv6/conf/default/disable_ipv6", SystemFile::DisableIpv6),
    ("sys/net/ipv6/conf/lo/disable_ipv6", SystemFile::DisableIpv6),
    ("sys/vm/max_map_count", SystemFile::Text("65530\n")),
    ("sys/vm/overcommit_memory", SystemFile::Tunable(Tunable::OvercommitMemory)),
    ("sys/vm/overcommit_ratio", SystemFile::Tunable(Tunable::OvercommitRatio)),
    ("sys/vm/swappiness", SystemFile::Text("60\n")),
    ("sysvipc/msg", SystemFile::SysvipcMsg),
    ("sysvipc/sem", SystemFile::SysvipcSem),
    ("sysvipc/shm", SystemFile::SysvipcShm),
    ("uptime", SystemFile::Uptime),
    ("version", SystemFile::Version),
    ("vmstat", SystemFile::Vmstat),
];

/// A CPU that has what every x86-64 has.
const CPUINFO: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\n\
    model name\t: afterlife virtual CPU\nstepping\t: 7\nmicrocode\t: 0x1\ncpu MHz\t\t: 1000.000\n\
    cache size\t: 32768 KB\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\n\
    apicid\t\t: 0\ninitial apicid\t: 0\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes\n\
    flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush \
    mmx fxsr sse sse2 syscall nx lm constant_tsc nopl\nbugs\t\t:\nbogomips\t: 2000.00\n\
    clflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 46 bits physical, 48 bits \
    virtual\npower management:\n\n";

/// The rows of meminfo, in their order.
const MEMINFO: &str = "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive \
    Active(anon) Inactive(anon) Active(file) Inactive(file) Unevictable Mlocked SwapTotal SwapFree \
    Zswap Zswapped Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab SReclaimable SUnreclaim \
    KernelStack PageTables SecPageTables NFS_Unstable Bounce WritebackTmp CommitLimit Committed_AS \
    VmallocTotal VmallocUsed VmallocChunk Percpu AnonHugePages ShmemHugePages ShmemPmdMapped \
    FileHugePages FilePmdMapped Balloon HugePages_Total HugePages_Free HugePages_Rsvd \
    HugePages_Surp Hugepagesize Hugetlb DirectMap4k DirectMap2M DirectMap1G";

const FILESYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\nnodev\tsockfs\n\
    nodev\tpipefs\nnodev\tramfs\nnodev\toverlay\n";

impl Kernel {
    /// The text of a file of the host, for `reader`.
    pub(crate) fn proc_system(&mut self, reader: TaskId, file: SystemFile) -> Vec<u8> {
        match file {
            SystemFile::Config => return super::config::config_gz(),
            SystemFile::Cmdline => "afterlife\n".into(),
            SystemFile::Cpuinfo => CPUINFO.into(),
            SystemFile::Filesystems => FILESYSTEMS.into(),
            SystemFile::Loadavg => self.proc_loadavg(reader),
            SystemFile::Meminfo => self.proc_meminfo(),
            SystemFile::Stat => self.proc_stat(reader),
            SystemFile::Swaps => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".into(),
            SystemFile::Uptime => {
                let up = self.uptime_seen_by(reader) / 10_000_000;
                let idle = self.proc_cpu_ticks().2;
                format!("{}.{:02} {}.{:02}\n", up / 100, up % 100, idle / 100, idle % 100)
            }
            SystemFile::Version => {
                format!("Linux version {RELEASE} (afterlife) {VERSION}\n")
            }
            SystemFile::Vmstat => {
                format!("nr_free_pages {}\npgfault 0\npgmajfault 0\n", self.config.memory / 8192)
            }
            SystemFile::Osrelease => format!("{RELEASE}\n"),
            SystemFile::RandomUuid => uuid(&mut self.random),
            SystemFile::BootId => {
                let (seed, number) = (self.config.seed, self.config.number);
                uuid(&mut Stream::new(seed, number, u64::MAX, Purpose::Getrandom))
            }
            SystemFile::ThreadsMax => format!("{}\n", self.config.threads_max),
            SystemFile::DisableIpv6 => {
                format!("{}\n", u8::from(self.config.address6.is_none()))
            }
            SystemFile::SysvipcMsg => self.sysvipc_msg(reader),
            SystemFile::SysvipcSem => self.sysvipc_sem(reader),
            SystemFile::SysvipcShm => self.sysvipc_shm(reader),
            SystemFile::Tunable(which) => format!("{}\n", self.tunable(reader, which)),
            SystemFile::KernelVersion => format!("{VERSION}\n"),
            SystemFile::Tcp(setting) => setting.text(&self.net.sysctls),
            SystemFile::Text(text) => text.into(),
        }
        .into_bytes()
    }

    /// loadavg_proc_show(): the last number is that which was given last in the reader's namespace.
    fn proc_loadavg(&self, reader: TaskId) -> String {
        let running = self.tasks.iter().filter(|(_, t)| t.run == Run::Ready).count().max(1);
        let last = self.pids.last_in(self.task_active_pid_ns(reader));
        format!("0.00 0.00 0.00 {running}/{} {last}\n", self.tasks.len())
    }

    /// show_meminfo() in its order. What was charged is used, nothing is cached.
    fn proc_meminfo(&self) -> String {
        let total = self.config.memory / 1024;
        let promised = self.promised() / 1024;
        let used = promised.min(total);
        let limit = total.saturating_mul(self.sysctls.overcommit_ratio.into()) / 100;
        let free = total.saturating_sub(used);
        let known = |name| match name {
            "MemTotal" | "DirectMap2M" => total,
            "CommitLimit" => limit,
            "Committed_AS" => promised,
            "MemFree" | "MemAvailable" => free,
            "Active" | "Active(anon)" | "AnonPages" => used,
            "VmallocTotal" => 34_359_738_367,
            "Hugepagesize" => 2048,
            _ => 0,
        };
        let mut text = String::new();
        for name in MEMINFO.split_ascii_whitespace() {
            let unit = if name.starts_with("HugePages_") { "" } else { " kB" };
            let _ = writeln!(text, "{:<16}{:>8}{unit}", format!("{name}:"), known(name));
        }
        text
    }

    /// User, system and idle time of the CPU since the host booted, in hundredths of a second.
    fn proc_cpu_ticks(&self) -> (u64, u64, u64) {
        let (mut user, mut system) = (Duration::ZERO, Duration::ZERO);
        for (id, group) in self.groups.iter() {
            let (u, s) = self.group_cputime(id);
            user += u + group.cutime;
            system += s + group.cstime;
        }
        let [user, system] = [user, system].map(|t| nanos(t) / 10_000_000);
        (user, system, (self.uptime() / 10_000_000).saturating_sub(user + system))
    }

    fn proc_stat(&self, reader: TaskId) -> String {
        let (user, system, idle) = self.proc_cpu_ticks();
        let ready = self.tasks.iter().filter(|(_, t)| t.run == Run::Ready).count().max(1);
        let last = self.pids.iter().last().map_or(1, |(pid, _)| pid.0);
        let cpu = format!("{user} 0 {system} {idle} 0 0 0 0 0 0");
        let booted = self.clock_now(Clock::Realtime).saturating_sub(self.uptime_seen_by(reader))
            / 1_000_000_000;
        format!(
            "cpu  {cpu}\ncpu0 {cpu}\nintr 0\nctxt 0\nbtime {booted}\nprocesses {last}\n\
             procs_running {ready}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
        )
    }
}

/// A random UUID (version 4) with a newline.
fn uuid(random: &mut Stream) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&i) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text + "\n"
}
