//! Frames as a guest may leave them: what comes back, what is refused. Rules S-50 to S-52; every
//! test changes the frame of a handler and returns from it.

use super::*;
use crate::task::TaskId;
use crate::task::signal::sigaction::SA_SIGINFO;
use crate::task::signal::testing::World;

/// A byte of the legacy area (in XMM0) and one behind the header (AVX), with their values.
const LEGACY: usize = 160;
const AVX: usize = 600;

/// A handler's frame, waiting for its sigreturn.
struct Handling {
    w: World,
    task: TaskId,
    frame: u64,
    fp: u64,
}

fn handling() -> Handling {
    let mut w = World::new();
    let task = w.process();
    w.catch(task, Signal::SIGUSR1, SA_SIGINFO);
    (w.memory.xstate[LEGACY], w.memory.xstate[AVX], w.memory.xstate[512]) = (0xab, 0xcd, 7);
    let regs = &mut w.kernel.tasks[task].regs;
    let words = [
        &mut regs.r8,
        &mut regs.r9,
        &mut regs.r10,
        &mut regs.r11,
        &mut regs.r12,
        &mut regs.r13,
        &mut regs.r14,
        &mut regs.r15,
        &mut regs.rdi,
        &mut regs.rsi,
        &mut regs.rbp,
        &mut regs.rbx,
        &mut regs.rdx,
        &mut regs.rax,
        &mut regs.rcx,
    ];
    for (i, word) in words.into_iter().enumerate() {
        *word = 0x1111 + i as u64;
    }
    w.kill(task, Signal::SIGUSR1);
    w.go(task);
    let frame = w.kernel.tasks[task].regs.rsp;
    let fp = w.memory.word(frame + MC_FPSTATE as u64);
    Handling { w, task, frame, fp }
}

impl Handling {
    fn put(&mut self, at: u64, value: u64, len: usize) {
        self.w.memory.put(at, &value.to_le_bytes()[..len]);
    }

    /// Returns from the handler: false if it was SIGSEGV.
    fn back(&mut self) -> bool {
        self.w.kernel.tasks[self.task].regs.rsp = self.frame + 8;
        self.w.trap(self.task, 15, [0; 6]);
        let group = self.w.kernel.tasks[self.task].group;
        self.w.kernel.groups[group].group_exit.is_none()
    }

    /// The two bytes and xstate_bv that came back.
    fn state(&self) -> (u8, u8, u8) {
        let area = &self.w.memory.xstate;
        assert_eq!((area.len(), area[513]), (832, 0));
        (area[LEGACY], area[AVX], area[512])
    }
}

const WHOLE: (u8, u8, u8) = (0xab, 0xcd, 7);
const LEGACY_ONLY: (u8, u8, u8) = (0xab, 0, 3);

#[test]
fn every_register_comes_back() {
    // S-50.
    let mut h = handling();
    let handler = h.w.kernel.tasks[h.task].regs;
    h.w.kernel.tasks[h.task].regs = Registers {
        cs: handler.cs,
        ss: handler.ss,
        eflags: 0x202 | 0x4000,
        fs_base: 0x77,
        ..Registers::default()
    };
    assert!(h.back());
    let r = h.w.kernel.tasks[h.task].regs;
    let words = [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx,
        r.rax, r.rcx,
    ];
    for (i, word) in words.into_iter().enumerate() {
        assert_eq!(word, 0x1111 + i as u64, "word {i}");
    }
    assert_eq!((r.rsp, r.rip, r.orig_rax), (0x80_0000, 0x1000, u64::MAX));
    assert_eq!((r.cs, r.ss, r.fs_base), (USER_CS, USER_DS, 0x77));
    assert_eq!(h.state(), WHOLE);
}

#[test]
fn only_harmless_flags_come_from_a_frame() {
    // S-52: AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF; not IF, IOPL, NT, VM, ID.
    for (set, kept) in [(u64::MAX, 0x5_0dd5), (0, 0)] {
        let mut h = handling();
        h.put(h.frame + MCONTEXT as u64 + 17 * 8, set, 8);
        h.w.kernel.tasks[h.task].regs.eflags = 0x202;
        assert!(h.back());
        assert_eq!(h.w.kernel.tasks[h.task].regs.eflags, 0x202 | kept);
    }
}

#[test]
fn selectors_of_no_64_bit_program_are_refused() {
    // S-52: rpl bits are forced; ss counts only with UC_STRICT_RESTORE_SS.
    let selectors = |cs: u64, ss: u64, flags: u64| {
        let mut h = handling();
        h.put(h.frame + MC_SELECTORS as u64, cs, 2);
        h.put(h.frame + MC_SELECTORS as u64 + 6, ss, 2);
        h.put(h.frame + UC as u64, flags, 8);
        h.back()
    };
    assert!(selectors(0x33, 0x2b, 7) && selectors(0x30, 0x28, 7));
    assert!(!selectors(0x23, 0x2b, 7), "32-bit code");
    assert!(!selectors(0x33, 0, 7) && !selectors(0x33, 0, 4));
    assert!(selectors(0x33, 0, 3) && selectors(0x33, 0x2b, 0));
}

#[test]
fn the_mask_and_the_alternate_stack_come_back() {
    let mut h = handling();
    h.put(h.frame + UC_SIGMASK as u64, u64::MAX, 8);
    for (i, word) in [0x60_0000, 0, 0x4000].into_iter().enumerate() {
        h.put(h.frame + UC_STACK as u64 + 8 * i as u64, word, 8);
    }
    assert!(h.back());
    let t = &h.w.kernel.tasks[h.task];
    assert_eq!(t.blocked, SigSet(u64::MAX).minus(SigSet::UNBLOCKABLE));
    assert_eq!(t.sas_ss, crate::task::signal::AltStack { sp: 0x60_0000, size: 0x4000, flags: 0 });
}

#[test]
fn an_extended_state_that_is_not_signed_is_a_legacy_one() {
    // S-51, S-52: check_xstate_in_sigframe. Each line: what is written where, what comes back.
    let (magic, extended, size) = (SW_BYTES as u64, SW_BYTES as u64 + 4, SW_BYTES as u64 + 16);
    type Line<'a> = (&'a [(u64, u32)], (u8, u8, u8));
    let lines: &[Line<'_>] = &[
        (&[(magic, MAGIC1), (832, MAGIC2)], WHOLE),
        (&[(magic, MAGIC1 + 1)], LEGACY_ONLY),
        (&[(832, MAGIC2 + 1)], LEGACY_ONLY),
        (&[(extended, 832)], WHOLE),
        (&[(extended, 831)], LEGACY_ONLY),
        (&[(extended, 900), (size, 833), (833, MAGIC2)], LEGACY_ONLY),
        // What is beyond a shorter one is in its initial state.
        (&[(size, 576), (576, MAGIC2)], (0xab, 0, 7)),
        (&[(size, 575), (575, MAGIC2)], LEGACY_ONLY),
    ];
    for (writes, expected) in lines {
        let mut h = handling();
        for (at, value) in *writes {
            h.put(h.fp + at, u64::from(*value), 4);
        }
        assert!(h.back(), "{writes:?}");
        assert_eq!(h.state(), *expected, "{writes:?}");
    }
}

#[test]
fn features_come_back_that_the_frame_and_the_processor_have() {
    // S-52: xstate_bv & the software bytes' features & ours (7).
    for (bv, features, kept) in [(0xf, 0xd, 5), (2, 0xf, 2), (7, 1, 1)] {
        let mut h = handling();
        h.put(h.fp + XSTATE_BV as u64, bv, 8);
        h.put(h.fp + SW_BYTES as u64 + 8, features, 8);
        assert!(h.back());
        assert_eq!(h.state().2, kept);
    }
}

#[test]
fn a_state_that_the_processor_would_refuse_is_sigsegv() {
    // S-52: XRSTOR wants 64-byte alignment and zeros behind xstate_bv, FXRSTOR 16-byte alignment.
    for (shift, signed, fine) in
        [(64, true, true), (16, true, false), (16, false, true), (8, false, false)]
    {
        let mut h = handling();
        let bytes: Vec<u64> = (0..105).map(|i| h.w.memory.word(h.fp + i * 8)).collect();
        let to = 0x20_0000 + shift;
        for (i, word) in bytes.into_iter().enumerate() {
            h.put(to + 8 * i as u64, word, 8);
        }
        if !signed {
            h.put(to + SW_BYTES as u64, 0, 4);
        }
        h.put(h.frame + MC_FPSTATE as u64, to, 8);
        assert_eq!(h.back(), fine, "{shift} {signed}");
        if fine {
            assert_eq!(h.state(), if signed { WHOLE } else { LEGACY_ONLY });
        }
    }
    for at in [520, 575] {
        let mut h = handling();
        h.put(h.fp + at, 1, 1);
        assert!(!h.back(), "header byte {at}");
    }
    let mut h = handling();
    h.put(h.frame + MC_FPSTATE as u64, 8 << 30, 8);
    assert!(!h.back(), "no memory there");
    // No pointer: the initial state.
    let mut h = handling();
    h.put(h.frame + MC_FPSTATE as u64, 0, 8);
    assert!(h.back());
    assert_eq!(h.state(), (0, 0, 0));
}
