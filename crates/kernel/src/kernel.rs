//! `struct Kernel`: all tables of one host, and the doors: `enter` and `resume` (in `syscall`),
//! [`Kernel::deliver`] (a packet came), [`Kernel::expire`] (time came). What the kernel wants from
//! outside it puts in the outbox or asks of the `Platform`.

use crate::arena::Arena;
use crate::fact::{Entry, Fact};
use crate::fs::Vfs;
use crate::fs::anon::AnonFiles;
use crate::fs::cgroup::Cgroups;
use crate::fs::console::Console;
use crate::fs::epoll::Epoll;
use crate::fs::fasync::FasyncLists;
use crate::fs::fdtable::FdTable;
use crate::fs::file::File;
use crate::fs::pipe::Pipe;
use crate::fs::procfs::tunable::Sysctls;
use crate::ipc::Ipc;
use crate::mm::Mm;
use crate::net::Net;
use crate::net::packet::Packet;
use crate::platform::ObjectId;
use crate::random::{Purpose, Stream};
use crate::task::futex::FutexQueues;
use crate::task::nsproxy::Namespaces;
use crate::task::pid::{Pid, PidTable};
use crate::task::sched::RunQueue;
use crate::task::timer::Timers;
use crate::task::timer::clock::BOOT_UPTIME;
use crate::task::{Fs, GroupId, SigHand, Task, TaskId, ThreadGroup};
use crate::time::{Duration, Instant};
use crate::tty::Tty;
use crate::wait_queue::WaitQueues;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a host is told when it boots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The host's name, as uname(2) reports it.
    pub hostname: String,
    /// The host's number in its world: splits the random streams.
    pub number: u64,
    /// The address of its one network interface (the loopback is always there).
    pub address: Ipv4Addr,
    /// Its IPv6 address. None: IPv6 is off (net.ipv6.conf.all.disable_ipv6), on the loopback too.
    pub address6: Option<Ipv6Addr>,
    /// Addresses of hosts on the same link: these are asked for before anything is sent to them (ARP).
    pub on_link: BTreeSet<IpAddr>,
    /// All names that resolve inside the world, for /etc/hosts.
    pub names: BTreeMap<String, Ipv4Addr>,
    /// The names that resolve to an IPv6 address too.
    pub names6: BTreeMap<String, Ipv6Addr>,
    /// The root seed of the world.
    pub seed: u64,
    /// CLOCK_REALTIME at the beginning of the world, seconds since 1970.
    pub epoch: u64,
    /// When this kernel came to life: the beginning of the world, unless the host's power came back.
    pub booted: Instant,
    /// What its uptime was then: hosts are up for a while when the world begins.
    pub uptime: Duration,
    /// Settings under /proc/sys that it boots with: name and value.
    pub sysctls: Vec<(String, String)>,
    /// Virtual time that one system call costs.
    pub syscall_cost: Duration,
    /// Render the arguments of every call for a trace (costs time; changes nothing else).
    pub trace: bool,
    /// Run every handler that waits a second time and compare (invariant 3): what debug builds do
    /// by default and release builds never.
    pub check_reruns: bool,
    /// kernel.threads-max: tasks that can exist at a time. Unlike Linux's, low: each is a process of
    /// the machine.
    pub threads_max: usize,
    /// Memory that all guests of the host may charge, in bytes.
    pub memory: u64,
}

impl Config {
    /// The same host's next boot, at `at`: its clocks start again and its random numbers are others,
    /// so that no connection of the last boot is taken for one of this (P-12).
    pub fn next_boot(&self, at: Instant) -> Config {
        let seed = Stream::new(self.seed, self.number, 0, Purpose::Boot).next_u64();
        Config { seed, booted: at, uptime: Duration::ZERO, ..self.clone() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            hostname: "a".into(),
            number: 0,
            address: Ipv4Addr::new(10, 0, 0, 1),
            address6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
            on_link: BTreeSet::new(),
            names: BTreeMap::new(),
            names6: BTreeMap::new(),
            seed: 1,
            // 2026-01-01T00:00:00Z
            epoch: 1_767_225_600,
            booted: Instant::ZERO,
            uptime: Duration::from_nanos(BOOT_UPTIME),
            sysctls: Vec::new(),
            syscall_cost: Duration::from_nanos(500),
            trace: false,
            check_reruns: cfg!(debug_assertions),
            threads_max: 4096,
            memory: 8 << 30,
        }
    }
}

/// One Linux host.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Kernel {
    pub config: Config,
    /// Virtual time, set by the lab before it opens a door; calls add their cost.
    pub now: Instant,
    pub tasks: Arena<Task>,
    pub groups: Arena<ThreadGroup>,
    pub sighands: Arena<SigHand>,
    pub fs_structs: Arena<Fs>,
    pub pids: PidTable,
    /// Namespaces that tasks made.
    pub namespaces: Namespaces,
    /// PID 1.
    pub init: Option<GroupId>,
    /// PID 1 runs a program, as in a container: it can die, and all others with it.
    pub init_is_a_program: bool,
    pub run_queue: RunQueue,
    /// Files that send SIGIO.
    pub fasync: FasyncLists,
    pub waits: WaitQueues,
    pub futexes: FutexQueues,
    pub timers: Timers,
    pub mms: Arena<Mm>,
    /// Shared anonymous memory: how many address spaces have a piece of each object.
    pub shmem: BTreeMap<ObjectId, u32>,
    /// System V semaphores, messages and shared memory.
    pub ipc: Ipc,
    pub tables: Arena<FdTable>,
    pub files: Arena<File>,
    pub pipes: Arena<Pipe>,
    pub epolls: Arena<Epoll>,
    pub anon: AnonFiles,
    pub console: Console,
    pub ttys: Arena<Tty>,
    pub vfs: Vfs,
    /// Control groups.
    pub cgroups: Cgroups,
    pub net: Net,
    /// What root may change by /proc/sys.
    pub sysctls: Sysctls,
    pub random: Stream,
    /// Packets that leave by the network interface; the lab takes them.
    pub outbox: VecDeque<Packet>,
    /// What happened, in order; the lab takes it.
    pub facts: Vec<Entry>,
}

impl Kernel {
    /// Boots a host: mounts, devices, PID 1 (the built-in init), no other process yet.
    pub fn boot(config: Config) -> Kernel {
        let random = Stream::new(config.seed, config.number, 0, Purpose::Getrandom);
        let mut vfs = Vfs::new(&config);
        let cgroups = Cgroups::new(&mut vfs);
        let mut kernel = Kernel {
            now: config.booted,
            tasks: Arena::default(),
            groups: Arena::default(),
            sighands: Arena::default(),
            fs_structs: Arena::default(),
            pids: PidTable::default(),
            namespaces: Namespaces::default(),
            init: None,
            init_is_a_program: false,
            run_queue: RunQueue::default(),
            fasync: FasyncLists::new(),
            waits: WaitQueues::default(),
            futexes: FutexQueues::default(),
            timers: Timers::default(),
            mms: Arena::default(),
            shmem: BTreeMap::new(),
            ipc: Ipc::default(),
            tables: Arena::default(),
            files: Arena::default(),
            pipes: Arena::default(),
            epolls: Arena::default(),
            anon: AnonFiles::default(),
            console: Console::default(),
            ttys: Arena::default(),
            vfs,
            cgroups,
            net: Net::new(&config),
            sysctls: Sysctls::default(),
            random,
            outbox: VecDeque::new(),
            facts: Vec::new(),
            config,
        };
        kernel.start_init();
        kernel.do_sysctl_args();
        kernel
    }

    /// Notes that something happened, on behalf of `task` if it has a doer.
    pub fn tell(&mut self, task: Option<TaskId>, fact: Fact) {
        let who = task.and_then(|t| self.who(t));
        self.tell_of(who, fact);
    }

    /// The numbers of a task's process and thread, unless it is gone.
    pub fn who(&self, task: TaskId) -> Option<(Pid, Pid)> {
        self.tasks.get(task).map(|t| (self.groups[t.group].tgid, t.tid))
    }

    /// The same as `tell`, of a doer that may be gone by now.
    pub fn tell_of(&mut self, who: Option<(Pid, Pid)>, fact: Fact) {
        let (pid, tid) = who.unzip();
        self.facts.push(Entry { at: self.now, pid, tid, fact });
    }

    /// A packet came in by the network interface.
    pub fn deliver(&mut self, packet: Packet) {
        self.ip_rcv(packet);
    }

    /// Time came: every deadline that is not after `now` is served, earliest first.
    pub fn expire(&mut self) {
        self.wake_expired_sleepers();
        self.run_timers();
        self.run_timerfds();
        self.run_cgroup_notifications();
        self.net_expire();
    }

    /// The earliest moment at which something happens by itself.
    pub fn next_deadline(&self) -> Option<Instant> {
        let sleepers = self.next_sleeper_deadline();
        let timers = self.next_timer_deadline();
        let timerfds = self.next_timerfd_deadline();
        let groups = self.next_cgroup_notification();
        let net = self.net_next_deadline();
        [sleepers, timers, timerfds, groups, net].into_iter().flatten().min()
    }
}
