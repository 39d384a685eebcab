//! The host under test: a kernel on the lab's pure platform, where nothing runs by itself. One
//! process with two threads makes the calls: the first for the script, the second for calls that a
//! script lets wait. Packets come and go as bytes; time moves only when somebody asks for it.
//! Neighbours: `turn` (calls), `sysctl`.

use crate::device::Device;
use crate::gso;
use crate::sysctl::Sysctls;
use kernel::fact::Fact;
use kernel::net::tcp::RxMemory;
use kernel::platform::Trap;
use kernel::syscall::InFlight;
use kernel::task::spawn::{Spawn, Stdio};
use kernel::task::{Cred, TaskId};
use kernel::time::{Duration, Instant};
use kernel::{Config, Kernel};
use lab::scripted::{Program, Scripted};
use lab::wire;
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;

/// The address that packetdrill gives the host under test, unless told otherwise.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
/// The host's descriptors begin here, so that none has the number of one of packetdrill's own.
pub const FIRST_FD: i32 = 512;
/// Bytes of memory for the arguments of one thread's calls.
const ROOM: u64 = 16 << 20;
const SYS_MMAP: u64 = 9;
const SYS_RT_SIGACTION: u64 = 13;
const SYS_DUP: u64 = 32;
const SYS_CLONE: u64 = 56;
/// CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM: a thread of the same process.
const THREAD: u64 = 0x5_0f00;
const SIGPIPE: u64 = 13;

/// Who makes a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The script itself.
    Script,
    /// packetdrill's thread for calls that wait.
    Waiter,
}

/// How far a thread's call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Calling {
    /// It is in none.
    No,
    /// It waits.
    Waits,
    /// It came back with this, at that time, and nobody took it yet.
    Done(u64, Instant),
    /// It was taken; when it came back has not been asked for yet.
    Taken(Instant),
}

/// One thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    pub task: TaskId,
    /// Its memory for arguments: from here on, and used up to there.
    pub base: u64,
    pub used: u64,
    pub calling: Calling,
}

/// The kernel, its platform, and what waits at its border.
pub struct Host {
    pub kernel: Kernel,
    pub platform: Scripted,
    callers: [Caller; 2],
    /// What left, with its time.
    sent: VecDeque<(Instant, Vec<u8>)>,
    told: BTreeSet<String>,
    highest: gso::Highest,
    /// The machine's settings.
    pub sysctls: Sysctls,
    /// Its device.
    pub device: Device,
}

impl Host {
    /// A host that has booted, and whose one process has its two threads. `flags` are
    /// packetdrill's `--so_flags`: nothing, or the host's address.
    ///
    /// # Errors
    /// What is wrong with the flags.
    pub fn boot(flags: &str) -> Result<Host, String> {
        let address = match flags {
            "" => ADDRESS,
            word => word.parse().map_err(|_| {
                format!("afterlife: --so_flags={word}: give the host's IPv4 address, or nothing")
            })?,
        };
        // A call takes no time: what moves the clock is the script.
        let syscall_cost = Duration::ZERO;
        let mut kernel = Kernel::boot(Config { address, syscall_cost, ..Config::default() });
        let mut platform = Scripted::default();
        let mut program = Program::new(1);
        program.exit(0);
        platform.install("/bin/script", program);
        let spawn = Spawn {
            argv: vec![b"/bin/script".to_vec()],
            envp: Vec::new(),
            cwd: b"/".to_vec(),
            cred: Cred::user(0, 0),
            umask: 0o22,
            stdio: Stdio::Null,
            init: false,
        };
        // packetdrill's device is a tun device.
        kernel.net.sysctls.config.rx_memory = RxMemory::Linear;
        let pid = kernel.spawn_process(spawn, &mut platform).map_err(|error| error.why)?;
        let task = kernel.pids.task(pid).expect("a process that was started has a thread");
        let caller = Caller { task, base: 0, used: 0, calling: Calling::No };
        let callers = [caller.clone(), caller];
        let mut host = Host {
            kernel,
            platform,
            callers,
            sent: VecDeque::new(),
            told: BTreeSet::new(),
            highest: gso::Highest::default(),
            sysctls: Sysctls::default(),
            device: Device::default(),
        };
        host.prepare();
        Ok(host)
    }

    /// Memory for arguments; the low descriptors taken; the second thread; SIGPIPE ignored, as
    /// packetdrill does.
    fn prepare(&mut self) {
        let mut must = |nr, args| {
            let value = self.start(Who::Script, nr, args).expect("it never waits");
            assert!((value as i64) >= 0, "call {nr} fails with {}", value as i64);
            value
        };
        let area = must(SYS_MMAP, [0, 2 * ROOM, 3, 0x22, u64::MAX, 0]);
        while must(SYS_DUP, [0; 6]) < FIRST_FD as u64 - 1 {}
        let thread = must(SYS_CLONE, [THREAD, 0, 0, 0, 0, 0]);
        self.callers[0].base = area;
        self.callers[1].base = area + ROOM;
        let pids = &self.kernel.pids;
        let thread = pids.iter().find(|(pid, _)| u64::from(pid.0) == thread);
        self.callers[1].task = thread.expect("the thread was just born").1;
        let mut ignore = [0; 32];
        ignore[0] = 1;
        let action = self.put(Who::Script, &ignore);
        let done = self.start(Who::Script, SYS_RT_SIGACTION, [SIGPIPE, action, 0, 8, 0, 0]);
        assert_eq!(done, Some(0), "SIGPIPE can be ignored");
    }

    /// A thread.
    pub fn caller(&mut self, who: Who) -> &mut Caller {
        match who {
            Who::Script => &mut self.callers[0],
            Who::Waiter => &mut self.callers[1],
        }
    }

    /// Puts an argument into the thread's memory.
    pub fn put(&mut self, who: Who, bytes: &[u8]) -> u64 {
        let caller = self.caller(who);
        let (task, at) = (caller.task, caller.base + caller.used);
        caller.used += (bytes.len() as u64).next_multiple_of(16);
        assert!(caller.used <= ROOM, "the arguments of one call take more than {ROOM} bytes");
        let guest = self.kernel.tasks[task].guest.expect("a thread has its guest");
        use kernel::platform::{UserMemory, UserPtr};
        let written = self.platform.write_user(guest, UserPtr(at), bytes);
        assert_eq!(written, bytes.len(), "the room for arguments is mapped");
        at
    }

    /// Reads what a call left there.
    pub fn get(&mut self, who: Who, at: u64, into: &mut [u8]) {
        let task = self.caller(who).task;
        let guest = self.kernel.tasks[task].guest.expect("a thread has its guest");
        use kernel::platform::{UserMemory, UserPtr};
        let read = self.platform.read_user(guest, UserPtr(at), into);
        assert_eq!(read, into.len(), "the room for arguments is mapped");
    }

    /// Makes a system call. None: it waits.
    pub fn start(&mut self, who: Who, nr: u64, args: [u64; 6]) -> Option<u64> {
        let task = self.caller(who).task;
        let regs = &mut self.kernel.tasks[task].regs;
        regs.orig_rax = nr;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        self.kernel.enter(task, Trap::Syscall, &mut self.platform);
        let value = self.result(task);
        if value.is_none() {
            self.caller(who).calling = Calling::Waits;
        }
        self.let_run();
        value
    }

    fn result(&self, task: TaskId) -> Option<u64> {
        let t = self.kernel.tasks.get(task).expect("nothing kills the thread that makes calls");
        let flight: Option<&InFlight> = t.in_flight.as_ref();
        flight.is_none().then_some(t.regs.rax)
    }

    /// Lets calls that were woken go on, and takes what left.
    fn let_run(&mut self) {
        self.drain();
        while let Some(at) = self.callers.iter().position(|caller| {
            caller.calling == Calling::Waits && self.kernel.is_ready(caller.task)
        }) {
            let task = self.callers[at].task;
            self.kernel.resume(task, &mut self.platform);
            if let Some(value) = self.result(task) {
                self.callers[at].calling = Calling::Done(value, self.kernel.now);
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        let now = self.kernel.now;
        let burst: Vec<_> = self.kernel.outbox.drain(..).collect();
        let burst = match self.device.segments {
            true => burst,
            false => gso::join(&self.kernel, burst, &mut self.highest),
        };
        for packet in burst {
            self.sent.push_back((now, wire::encode(&packet)));
        }
        for entry in self.kernel.facts.drain(..) {
            if let Fact::Unsupported { name, detail } = entry.fact {
                let what = format!("{name}: {detail}");
                if !self.told.contains(&what) {
                    eprintln!("afterlife: not supported: {what}");
                    self.told.insert(what);
                }
            }
        }
    }

    /// What left first of all that was not taken yet, with its time.
    pub fn take_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.sent.pop_front()
    }

    /// A packet arrives.
    ///
    /// # Errors
    /// What we can't read of it.
    pub fn deliver(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.kernel.deliver(wire::decode(bytes)?);
        self.let_run();
        Ok(())
    }

    /// Time passes until the next thing that happens by itself, but not beyond `limit`. False:
    /// nothing happens until then.
    pub fn step(&mut self, limit: Instant) -> bool {
        match self.kernel.next_deadline() {
            Some(at) if at <= limit => {
                self.kernel.now = self.kernel.now.max(at);
                self.kernel.expire();
                self.let_run();
                true
            }
            Some(_) | None => {
                if limit < Instant(u64::MAX) {
                    self.kernel.now = self.kernel.now.max(limit);
                }
                false
            }
        }
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        let until = self.kernel.now + time;
        while self.step(until) {}
    }
}
