//! One host with one process whose system calls are made by the target, one at a time: no code runs,
//! the registers are set and the kernel entered. Time, too, moves as the target says. Neighbours:
//! `tcp_input` (the strings), `lab::scripted` (the memory).

use crate::onlookers::Onlookers;
use cli::render::HostName;
use kernel::abi::Errno;
use kernel::abi::signal::Signal;
use kernel::kernel::Config;
use kernel::platform::{Trap, UserMemory, UserPtr};
use kernel::task::spawn::{Spawn, Stdio};
use kernel::task::{Cred, Pid, TaskId};
use kernel::time::Instant;
use kernel::{Kernel, net::packet::Packet};
use lab::scripted::{Insn, Program, Scripted};
use lab::{Record, What};
use std::net::Ipv4Addr;

/// The host's address.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Bytes of the process's memory that calls may use.
pub const MEMORY: u64 = 1 << 16;

/// The host, its one process, and who looks on.
pub struct Puppet {
    /// The host.
    pub kernel: Kernel,
    /// Where [`MEMORY`] begins.
    pub memory: u64,
    platform: Scripted,
    pid: Pid,
    onlookers: Onlookers,
    /// The call that the process sleeps in.
    waits: Option<u64>,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Call number and what it returned.
    Returned(u64, i64),
    /// It sleeps, or there is nobody (any more) to make it.
    Nothing,
}

impl Default for Puppet {
    fn default() -> Puppet {
        let mut program = Program::new(1);
        program.push(Insn::Spin);
        let memory = program.space(MEMORY);
        let mut platform = Scripted::default();
        platform.install("/bin/puppet", program);
        let mut kernel =
            Kernel::boot(Config { address: ADDRESS, trace: true, ..Config::default() });
        let spawn = Spawn {
            init: false,
            argv: vec![b"/bin/puppet".to_vec()],
            envp: Vec::new(),
            cwd: b"/".to_vec(),
            cred: Cred::user(0, 0),
            umask: 0,
            stdio: Stdio::Null,
        };
        let pid = kernel.spawn_process(spawn, &mut platform).expect("the program is there");
        let host = HostName { name: "a".to_owned(), address: ADDRESS };
        let onlookers = Onlookers::new(vec![host]);
        Puppet { kernel, memory, platform, pid, onlookers, waits: None }
    }
}

impl Puppet {
    /// The process, while it lives.
    fn task(&self) -> Option<TaskId> {
        self.kernel.pids.task(self.pid).filter(|task| self.kernel.is_ready(*task))
    }

    /// Puts bytes into the process's memory, `at` bytes from its beginning.
    pub fn poke(&mut self, at: u64, bytes: &[u8]) {
        let guest = self.task().and_then(|task| self.kernel.tasks[task].guest);
        if let Some(guest) = guest {
            self.platform.write_user(guest, UserPtr(self.memory + at), bytes);
        }
    }

    /// Lets a call that was woken go on.
    pub fn resume(&mut self) -> Outcome {
        let Some(task) = self.task() else { return Outcome::Nothing };
        let user = self.kernel.resume(task, &mut self.platform);
        match self.waits.filter(|_| user) {
            Some(nr) => {
                self.waits = None;
                Outcome::Returned(nr, self.kernel.tasks[task].regs.rax as i64)
            }
            None => Outcome::Nothing,
        }
    }

    /// Makes a call, if the process is there and not in another one.
    pub fn call(&mut self, nr: u64, args: [u64; 6]) -> Outcome {
        let Some(task) = self.task().filter(|_| self.waits.is_none()) else {
            return Outcome::Nothing;
        };
        if !self.kernel.resume(task, &mut self.platform) {
            return Outcome::Nothing;
        }
        let regs = &mut self.kernel.tasks[task].regs;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        regs.orig_rax = nr;
        regs.rax = Errno::ENOSYS.as_result();
        self.kernel.enter(task, Trap::Syscall, &mut self.platform);
        match self.kernel.tasks.get(task) {
            Some(t) if t.in_flight.is_none() => Outcome::Returned(nr, t.regs.rax as i64),
            Some(_) => {
                self.waits = Some(nr);
                Outcome::Nothing
            }
            None => Outcome::Nothing,
        }
    }

    /// kill -9: the process is gone afterwards, and all that it held.
    pub fn kill(&mut self) {
        self.kernel.kill_from_outside(self.pid, Signal::SIGKILL);
        while let Some(task) = self.kernel.pick() {
            self.kernel.resume(task, &mut self.platform);
        }
    }

    /// Time passes up to `to`; whatever is due on the way is served.
    pub fn advance(&mut self, to: Instant) {
        while let Some(at) = self.kernel.next_deadline().filter(|at| *at <= to) {
            self.kernel.now = self.kernel.now.max(at);
            self.kernel.expire();
            let again = self.kernel.next_deadline();
            assert!(
                again.is_none_or(|next| next > self.kernel.now),
                "due again at once: {again:?}"
            );
        }
        self.kernel.now = self.kernel.now.max(to);
    }

    /// Takes what left by the interface, and shows what happened.
    pub fn drain(&mut self) -> Vec<Packet> {
        for entry in core::mem::take(&mut self.kernel.facts) {
            let (at, what) = (entry.at, What::Kernel(entry.fact));
            let record = Record { at, host: Some(0), pid: entry.pid, tid: entry.tid, what };
            self.onlookers.see(&record);
        }
        core::mem::take(&mut self.kernel.outbox).into()
    }
}
