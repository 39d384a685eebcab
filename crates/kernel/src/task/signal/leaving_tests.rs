//! Tests of the way back to user mode: who is woken to take it, what has to wait on it, and what no
//! longer happens there. Rules S-23, T-4; signalfd(2).

use super::Target;
use super::siginfo::SigInfo;
use super::testing::World;
use crate::abi::Errno;
use crate::abi::signal::{SigSet, Signal};
use crate::fs::fdtable::FdTable;
use crate::net::packet::{Packet, Transport};
use crate::net::tcp::{Flags, Segment, Seq};
use crate::task::{Pid, TaskId};

const ALL: SigSet = SigSet(u64::MAX);

fn open_files(w: &mut World, task: TaskId) {
    let table = w.kernel.tables.insert(FdTable::default());
    w.kernel.tasks[task].files = Some(table);
}

/// What a whole system call returns.
fn made(w: &mut World, task: TaskId, nr: u64, args: [u64; 6]) -> i64 {
    w.trap(task, nr, args);
    w.kernel.tasks[task].regs.rax as i64
}

#[test]
fn a_group_that_dies_runs_no_handler_first() {
    // S-23: SIGHUP is the lowest and came first, but the death is decided.
    let mut w = World::new();
    let leader = w.process();
    w.catch(leader, Signal::SIGHUP, 0);
    let hup = SigInfo::user(Signal::SIGHUP, Pid(0), 0);
    w.kernel.send_signal(hup, Target::Thread(leader)).unwrap();
    w.kill(leader, Signal::SIGTERM);
    let rip = w.kernel.tasks[leader].regs.rip;
    w.go(leader);
    assert!(w.kernel.tasks[leader].exiting);
    assert_eq!(w.kernel.tasks[leader].regs.rip, rip);
}

#[test]
fn who_reads_a_signalfd_is_woken_by_a_blocked_signal() {
    let mut w = World::new();
    let task = w.process();
    open_files(&mut w, task);
    w.kernel.set_current_blocked(task, ALL);
    w.memory.put(0x2000, &ALL.0.to_le_bytes());
    let fd = made(&mut w, task, 289, [u64::MAX, 0x2000, 8, 0, 0, 0]) as u64;
    w.trap(task, 0, [fd, 0x3000, 128, 0, 0, 0]);
    assert!(!w.kernel.is_ready(task));
    w.kill(task, Signal::SIGUSR1);
    assert!(w.kernel.is_ready(task) && !w.kernel.signal_pending(task));
    w.kernel.resume(task, &mut w.memory);
    assert_eq!((w.kernel.tasks[task].regs.rax, w.memory.int(0x3000)), (128, 10));
}

#[test]
fn a_descriptor_that_dup2_closes_lingers_before_user_mode() {
    // T-4.
    let mut w = World::new();
    let task = w.process();
    open_files(&mut w, task);
    let fd = made(&mut w, task, 41, [2, 1 | 0o4000, 0, 0, 0, 0]) as u64;
    let other = made(&mut w, task, 41, [2, 1, 0, 0, 0, 0]) as u64;
    w.memory.put(0x2000, &[2, 0, 0x1b, 0x58, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    let connects = made(&mut w, task, 42, [fd, 0x2000, 16, 0, 0, 0]);
    assert_eq!(connects, Errno::EINPROGRESS.as_result() as i64);
    // From the other side: SYN-ACK, then nothing until the FIN is acknowledged.
    let syn = w.kernel.outbox.pop_back().unwrap();
    let answer = |acks: u32, flags: Flags| {
        let Transport::Tcp { src_port, dst_port, segment } = &syn.payload else { panic!() };
        let (ack, seq) = (segment.seq + acks, Seq(1000) + (acks - 1));
        let segment = Segment { seq, ack, flags, window: 500, ..Segment::default() };
        let (src_port, dst_port) = (*dst_port, *src_port);
        let payload = Transport::Tcp { src_port, dst_port, segment };
        Packet { src: syn.dst, dst: syn.src, payload, ..syn.clone() }
    };
    w.kernel.deliver(answer(1, Flags::SYN | Flags::ACK));
    w.memory.put(0x2000, &[1, 0, 0, 0, 9, 0, 0, 0]);
    assert_eq!(made(&mut w, task, 54, [fd, 1, 13, 0x2000, 8, 0]), 0, "SO_LINGER");
    w.trap(task, 33, [other, fd, 0, 0, 0, 0]);
    assert_eq!(w.kernel.tasks[task].regs.rax, fd, "the call is over");
    assert!(!w.kernel.is_ready(task), "and its task still waits");
    w.kernel.deliver(answer(2, Flags::ACK));
    assert!(w.kernel.is_ready(task) && w.kernel.resume(task, &mut w.memory));
}
