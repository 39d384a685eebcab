//! rt_sigreturn(2): takes a frame apart again. Everything in it comes from the guest, so everything
//! is checked; a bad frame is SIGSEGV (rule S-52). Neighbour: `frame`, which has the offsets.

use super::frame::{
    FPSSE, INFO, MAGIC1, MAGIC2, MC_FPSTATE, MC_SELECTORS, MCONTEXT, MIN_XSTATE, SW_BYTES, UC,
    UC_SIGMASK, UC_STACK, USER_CS, USER_DS, XSTATE_BV, init_xstate,
};
use crate::abi::Errno;
use crate::abi::signal::{SigSet, Signal};
use crate::fact::TaskFact;
use crate::kernel::Kernel;
use crate::platform::{Registers, UserPtr};
use crate::syscall::{Call, Stop, SysResult};

/// The EFLAGS bits that a frame may set: AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF.
const FIX_EFLAGS: u64 =
    0x4_0000 | 0x800 | 0x400 | 0x100 | 0x80 | 0x40 | 0x10 | 0x4 | 0x1 | 0x1_0000;
/// UC_STRICT_RESTORE_SS.
const STRICT_RESTORE_SS: u64 = 4;
/// The XSAVE header behind xstate_bv (and xcomp_bv): must be zero.
const HEADER_END: usize = 576;

/// A frame's bytes up to its siginfo.
struct Frame([u8; INFO]);

impl Frame {
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("8 bytes"))
    }

    /// restore_sigcontext(): `None` for selectors that no 64-bit program has.
    fn registers(&self, old: &Registers) -> Option<Registers> {
        let word = |i: usize| self.word(MCONTEXT + i * 8);
        let selectors = self.word(MC_SELECTORS);
        let cs = selectors & 0xffff | 3;
        let mut ss = selectors >> 48 | 3;
        if self.word(UC) & STRICT_RESTORE_SS == 0 {
            ss = USER_DS; // force_valid_ss()
        }
        if (cs, ss) != (USER_CS, USER_DS) {
            return None;
        }
        Some(Registers {
            r8: word(0),
            r9: word(1),
            r10: word(2),
            r11: word(3),
            r12: word(4),
            r13: word(5),
            r14: word(6),
            r15: word(7),
            rdi: word(8),
            rsi: word(9),
            rbp: word(10),
            rbx: word(11),
            rdx: word(12),
            rax: word(13),
            rcx: word(14),
            rsp: word(15),
            rip: word(16),
            eflags: old.eflags & !FIX_EFLAGS | word(17) & FIX_EFLAGS,
            // "Disable syscall checks": sigreturn never restarts a call.
            orig_rax: u64::MAX,
            // The selectors too: no others than those of `old` are let in.
            ..*old
        })
    }
}

impl Kernel {
    /// rt_sigreturn(2): never returns to its caller.
    pub fn sys_rt_sigreturn(&mut self, call: &mut Call<'_>) -> SysResult {
        let task = call.task;
        if self.restore_frame(call).is_err() {
            let regs = &self.tasks[task].regs;
            let (address, rip) = (regs.rsp, regs.rip);
            let fact = TaskFact::ForceSig { signal: Signal::SIGSEGV, address, rip };
            self.tell(Some(task), fact.into());
            self.force_sig(task, Signal::SIGSEGV);
        }
        Err(Stop::NoReturn)
    }

    /// What was restored before the fault stays restored, as in Linux.
    fn restore_frame(&mut self, call: &mut Call<'_>) -> Result<(), Errno> {
        let task = call.task;
        // The handler's `ret` has popped the restorer's address.
        let at = UserPtr(self.tasks[task].regs.rsp.wrapping_sub(8));
        let frame = Frame(call.read_array(at)?);
        self.tasks[task].restart_block = None;
        self.set_current_blocked(task, SigSet(frame.word(UC_SIGMASK)));
        let regs = frame.registers(&self.tasks[task].regs).ok_or(Errno::EFAULT)?;
        self.tasks[task].regs = regs;
        self.restore_xstate(call, UserPtr(frame.word(MC_FPSTATE)))?;
        let alt = super::AltStack {
            sp: frame.word(UC_STACK),
            flags: frame.word(UC_STACK + 8) as u32,
            size: frame.word(UC_STACK + 16),
        };
        // restore_altstack(): errors are ignored.
        let _ = self.do_sigaltstack(task, alt);
        self.tell(Some(task), TaskFact::RtSigreturn { to: regs.rip }.into());
        self.crash_again(task);
        Ok(())
    }

    /// fpu__restore_sig(): no pointer means the initial state; unsigned software bytes mean that
    /// only the legacy 512 bytes count.
    fn restore_xstate(&mut self, call: &mut Call<'_>, at: UserPtr) -> Result<(), Errno> {
        let current = call.user.xstate(call.guest);
        let len = current.len();
        if at.is_null() {
            call.user.set_xstate(call.guest, &init_xstate(len));
            return Ok(());
        }
        let mut legacy = [0; XSTATE_BV];
        call.read_user(at, &mut legacy)?;
        let signed = self.signed_xstate(call, at, &legacy, len)?;
        let area = match signed {
            Some(area) if at.0.is_multiple_of(64) => area,
            Some(_) => return Err(Errno::EFAULT), // XRSTOR refuses it
            None if at.0.is_multiple_of(16) => {
                let mut area = init_xstate(len);
                area[..XSTATE_BV].copy_from_slice(&legacy);
                area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&FPSSE.to_le_bytes());
                area
            }
            None => return Err(Errno::EFAULT), // FXRSTOR refuses it
        };
        if call.user.set_xstate(call.guest, &area) { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// check_xstate_in_sigframe(): the whole extended state, if magic and sizes are right.
    fn signed_xstate(
        &mut self,
        call: &mut Call<'_>,
        at: UserPtr,
        legacy: &[u8; XSTATE_BV],
        len: usize,
    ) -> Result<Option<Vec<u8>>, Errno> {
        let int = |o: usize| u32::from_le_bytes(legacy[o..o + 4].try_into().expect("4"));
        let (magic1, extended, size) =
            (int(SW_BYTES), int(SW_BYTES + 4) as usize, int(SW_BYTES + 16) as usize);
        if magic1 != MAGIC1 || size < MIN_XSTATE || size > len || size > extended {
            return Ok(None);
        }
        if call.read_u32(at.add(size as u64))? != MAGIC2 {
            return Ok(None);
        }
        let mut area = call.read_bytes(at, size)?;
        // xcomp_bv and the reserved words: XRSTOR faults on anything but zero.
        if area[XSTATE_BV + 8..HEADER_END].iter().any(|b| *b != 0) {
            return Err(Errno::EFAULT);
        }
        let features =
            u64::from_le_bytes(legacy[SW_BYTES + 8..SW_BYTES + 16].try_into().expect("8"));
        let bv = u64::from_le_bytes(area[XSTATE_BV..XSTATE_BV + 8].try_into().expect("8"));
        let kept = bv & features & call.user.xfeatures();
        area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&kept.to_le_bytes());
        area.resize(len, 0);
        Ok(Some(area))
    }
}

#[cfg(test)]
mod tests;
