//! A small world for the unit tests of this room: a kernel with processes that have no program,
//! and a flat guest memory. Neighbours: the `tests` modules of `task/signal`, `timer`, `futex`.

use super::sigaction::{SA_RESTORER, SigAction};
use super::{SigHand, SigInfo, Target};
use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::{Config, Kernel};
use crate::platform::{
    GuestId, LowerFiles, LowerKind, LowerStat, MapChange, ObjectId, Platform, Registers, Trap,
    UserMemory, UserPtr,
};
use crate::syscall::table::Handler;
use crate::syscall::{Call, InFlight, Stop};
use crate::task::{Pid, TaskId};
use std::collections::BTreeMap;

/// Guest memory: the same bytes for every guest, mapped below 16 MiB.
pub(crate) struct Memory {
    bytes: BTreeMap<u64, u8>,
    /// The extended state that guests have.
    pub xstate: Vec<u8>,
}

/// Where memory ends.
pub(crate) const TOP: u64 = 16 << 20;

impl Memory {
    /// Writes without asking.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        for (i, b) in bytes.iter().enumerate() {
            self.bytes.insert(at + i as u64, *b);
        }
    }

    /// A 64-bit word.
    pub fn word(&self, at: u64) -> u64 {
        (0..8).rev().fold(0, |w, i| w << 8 | u64::from(self.byte(at + i)))
    }

    /// A 32-bit word.
    pub fn int(&self, at: u64) -> u32 {
        self.word(at) as u32
    }

    fn byte(&self, at: u64) -> u8 {
        self.bytes.get(&at).copied().unwrap_or(0)
    }
}

impl UserMemory for Memory {
    fn read_user(&mut self, _: GuestId, from: UserPtr, into: &mut [u8]) -> usize {
        let fits = TOP.saturating_sub(from.0).min(into.len() as u64) as usize;
        for (i, b) in into[..fits].iter_mut().enumerate() {
            *b = self.byte(from.0 + i as u64);
        }
        if from.is_null() { 0 } else { fits }
    }
    fn write_user(&mut self, _: GuestId, to: UserPtr, from: &[u8]) -> usize {
        let fits = TOP.saturating_sub(to.0).min(from.len() as u64) as usize;
        if to.is_null() {
            return 0;
        }
        self.put(to.0, &from[..fits]);
        fits
    }
}

impl LowerFiles for Memory {
    fn lower_stat(&mut self, _: &[u8]) -> Result<LowerStat, Errno> {
        Err(Errno::ENOENT)
    }
    fn lower_list(&mut self, _: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno> {
        Err(Errno::ENOENT)
    }
    fn lower_readlink(&mut self, _: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOENT)
    }
    fn lower_read(&mut self, _: &[u8], _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::ENOENT)
    }
}

impl Platform for Memory {
    fn user_range(&self) -> (u64, u64) {
        (4096, TOP)
    }
    fn spawn(&mut self) -> Result<GuestId, Errno> {
        Ok(GuestId(1))
    }
    fn fork(&mut self, _: GuestId, _: bool) -> Result<GuestId, Errno> {
        Ok(GuestId(2))
    }
    fn release(&mut self, _: GuestId) {}
    fn change_map(&mut self, _: GuestId, _: &[MapChange]) -> Result<(), (usize, Errno)> {
        Ok(())
    }
    fn run(&mut self, _: GuestId, _: &mut Registers) -> Trap {
        Trap::Spin
    }
    fn xstate(&mut self, _: GuestId) -> Vec<u8> {
        self.xstate.clone()
    }
    fn set_xstate(&mut self, _: GuestId, area: &[u8]) -> bool {
        self.xstate = area.to_vec();
        true
    }
    fn resident(&mut self, _guest: GuestId) -> u64 {
        0
    }
    fn xfeatures(&self) -> u64 {
        7
    }
    fn hwcap(&self) -> (u64, u64) {
        (0, 0)
    }
    fn object_create(&mut self, _: u64) -> Result<ObjectId, Errno> {
        Ok(ObjectId(1))
    }
    fn object_read(&mut self, _: ObjectId, _: u64, _: &mut [u8]) -> usize {
        0
    }
    fn object_write(&mut self, _: ObjectId, _: u64, _: &[u8]) {}
    fn object_resize(&mut self, _: ObjectId, _: u64) -> Result<(), Errno> {
        Ok(())
    }
    fn object_release(&mut self, _: ObjectId) {}
}

/// A kernel and its guests' memory.
pub(crate) struct World {
    pub kernel: Kernel,
    pub memory: Memory,
}

impl World {
    pub fn new() -> World {
        let memory = Memory { bytes: BTreeMap::new(), xstate: super::frame::init_xstate(832) };
        let mut kernel = Kernel::boot(Config::default());
        // An init that waits for its children, so that the dead can be looked at.
        let init = kernel.groups[kernel.init_group()].sighand;
        kernel.sighands[init].of_mut(Signal::SIGCHLD).handler = 0;
        World { kernel, memory }
    }

    /// A new process of root, ready in user mode, in a process group and session of its own.
    pub fn process(&mut self) -> TaskId {
        let k = &mut self.kernel;
        let init = k.init_group();
        let mut group = k.groups[init].clone();
        let mut task = crate::task::init::blank_task();
        let pid = k.pids.alloc_pid(None).unwrap();
        task.tid = pid;
        task.guest = Some(GuestId(u64::from(pid.0)));
        task.regs.rsp = 0x80_0000;
        task.regs.rip = 0x1000;
        (task.regs.cs, task.regs.ss) = (super::frame::USER_CS, super::frame::USER_DS);
        let mut mm = crate::mm::Mm::new((4096, crate::mm::TASK_SIZE));
        mm.areas.insert(4096, crate::mm::area::Vma::anonymous(TOP, 7));
        task.mm = Some(k.mms.insert(mm));
        let task = k.tasks.insert(task);
        k.cgroup_post_fork(task, k.cgroups.root);
        (group.tgid, group.pgrp, group.session) = (pid, pid, pid);
        (group.leader, group.tasks, group.curr_target) = (task, vec![task], task);
        (group.parent, group.unkillable) = (Some(init), false);
        group.sighand = k.sighands.insert(SigHand::new());
        group.exit_signal = Some(Signal::SIGCHLD);
        let group = k.groups.insert(group);
        k.tasks[task].group = group;
        let parent = k.init_task();
        k.tasks[task].real_parent = Some(parent);
        k.tasks[parent].children.push(group);
        k.pids.attach(pid, task);
        k.pids.keep(pid);
        k.pids.keep(pid);
        k.run_queue.push(task);
        task
    }

    /// One more thread of the youngest process.
    pub fn thread(&mut self) -> TaskId {
        let k = &mut self.kernel;
        let (group, leader) = k.groups.iter().last().map(|(id, g)| (id, g.leader)).unwrap();
        let mut task = k.tasks[leader].clone();
        task.tid = k.pids.alloc_pid(None).unwrap();
        task.sigpending = false;
        k.mms[task.mm.unwrap()].users += 1;
        let tid = task.tid;
        let task = k.tasks.insert(task);
        k.cgroup_post_fork(task, k.cgroups.root);
        k.groups[group].tasks.push(task);
        k.pids.attach(tid, task);
        k.run_queue.push(task);
        task
    }

    /// A handler at 0x4000 + the number.
    pub fn catch(&mut self, task: TaskId, signal: Signal, flags: u64) {
        let handler = 0x4000 + u64::from(signal.number());
        let action = SigAction {
            handler,
            flags: flags | SA_RESTORER,
            restorer: 0x9000,
            ..Default::default()
        };
        self.set(task, signal, action);
    }

    /// Any disposition.
    pub fn set(&mut self, task: TaskId, signal: Signal, action: SigAction) {
        let sighand = self.kernel.groups[self.kernel.tasks[task].group].sighand;
        *self.kernel.sighands[sighand].of_mut(signal) = action;
    }

    /// kill(2) from nobody, to the process of `task`.
    pub fn kill(&mut self, task: TaskId, signal: Signal) {
        self.kernel.send_signal(SigInfo::user(signal, Pid(0), 0), Target::Process(task)).unwrap();
    }

    /// On the way to user mode.
    pub fn go(&mut self, task: TaskId) {
        self.kernel.exit_to_user_mode(task, &mut self.memory);
    }

    /// The task's system call traps.
    pub fn trap(&mut self, task: TaskId, nr: u64, args: [u64; 6]) {
        let regs = &mut self.kernel.tasks[task].regs;
        (regs.orig_rax, regs.rax) = (nr, Errno::ENOSYS.as_result());
        regs.rip += 2;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        self.kernel.enter(task, Trap::Syscall, &mut self.memory);
    }

    /// One run of a handler, not through the table; it must not wait.
    pub fn call(&mut self, task: TaskId, handler: Handler, args: [u64; 6]) -> Result<u64, Errno> {
        match self.start(task, handler, args) {
            Ok(value) => Ok(value),
            Err(Stop::Errno(errno)) => Err(errno),
            Err(other) => panic!("the call waits: {other:?}"),
        }
    }

    /// One run of a handler.
    pub fn start(&mut self, task: TaskId, handler: Handler, args: [u64; 6]) -> Result<u64, Stop> {
        let guest = self.kernel.tasks[task].guest.unwrap();
        let flight = InFlight::new(0, args, self.kernel.now);
        let mut call = Call { task, guest, flight, user: &mut self.memory };
        handler(&mut self.kernel, &mut call)
    }
}
