//! The x86-64 signal frame: what a handler finds on its stack, byte by byte. Rules S-33, S-47,
//! S-49 to S-51; sigreturn(2). Neighbours: `restart` decides to build one, `sigreturn` takes it
//! apart. The extended state is the platform's: standard XSAVE format, with its header.

use super::get_signal::KSignal;
use super::mask::AltStack;
use super::sigaction::{SA_ONSTACK, SA_RESTORER, SA_SIGINFO};
use crate::abi::Errno;
use crate::abi::signal::SigSet;
use crate::kernel::Kernel;
use crate::platform::{Platform, Registers, UserPtr};
use crate::task::TaskId;

/// current->thread: what the last fault left behind, shown by every later frame too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct LastFault {
    pub trapno: u64,
    pub error: u64,
    pub cr2: u64,
}

/// sizeof(struct rt_sigframe).
pub const FRAME_SIZE: usize = 440;
/// struct ucontext in the frame.
pub const UC: usize = 8;
/// uc_stack: sp, flags, size.
pub const UC_STACK: usize = UC + 16;
/// uc_mcontext.
pub const MCONTEXT: usize = UC + 40;
/// uc_sigmask.
pub const UC_SIGMASK: usize = UC + 296;
/// siginfo.
pub const INFO: usize = 312;
/// struct sigcontext: 18 words, four selectors, then these words.
pub const MC_SELECTORS: usize = MCONTEXT + 144;
const MC_ERR: usize = MCONTEXT + 152;
/// The pointer to the extended state.
pub const MC_FPSTATE: usize = MCONTEXT + 184;

/// UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS.
const UC_FLAGS: u64 = 7;
/// The red zone below rsp, which a leaf function may use.
const RED_ZONE: u64 = 128;
/// fpstate: where the software bytes lie (the end of the legacy area's reserved words).
pub const SW_BYTES: usize = 464;
/// FP_XSTATE_MAGIC1.
pub const MAGIC1: u32 = 0x4650_5853;
/// FP_XSTATE_MAGIC2, behind the extended state.
pub const MAGIC2: u32 = 0x4650_5845;
/// xstate_bv, the first word of the XSAVE header.
pub const XSTATE_BV: usize = 512;
/// XFEATURE_MASK_FPSSE: always marked as present in a frame.
pub const FPSSE: u64 = 3;
/// FXSAVE area and XSAVE header: the least that an extended state has.
pub const MIN_XSTATE: usize = 576;
/// EFLAGS bits that a handler starts without: TF, DF, RF.
const HANDLER_CLEARS: u64 = 0x100 | 0x400 | 0x1_0000;
/// __USER_CS.
pub const USER_CS: u64 = 0x33;
/// __USER_DS.
pub const USER_DS: u64 = 0x2b;

/// Where the parts of a frame go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placement {
    /// The extended state, 64-aligned.
    pub fpstate: u64,
    /// The frame; rsp in the handler.
    pub frame: u64,
}

/// get_sigframe(): `None` if it would run over the alternate stack (rules S-49, S-51).
pub(super) fn place_frame(
    rsp: u64,
    on_stack: bool,
    alt: &AltStack,
    xstate_len: usize,
) -> Option<Placement> {
    let nested = alt.is_in_use(rsp);
    let mut sp = rsp.wrapping_sub(RED_ZONE);
    let entering = on_stack && alt.state(sp) == 0;
    if entering {
        sp = alt.sp.wrapping_add(alt.size);
    }
    let fpstate = sp.wrapping_sub(xstate_len as u64 + 4) & !63;
    let frame = (fpstate.wrapping_sub(FRAME_SIZE as u64) & !15).wrapping_sub(8);
    if (nested || entering) && !alt.contains(frame) {
        return None;
    }
    Some(Placement { fpstate, frame })
}

/// The general registers in the order of struct sigcontext.
pub(super) fn sigcontext_words(regs: &Registers) -> [u64; 18] {
    [
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.rdi,
        regs.rsi,
        regs.rbp,
        regs.rbx,
        regs.rdx,
        regs.rax,
        regs.rcx,
        regs.rsp,
        regs.rip,
        regs.eflags,
    ]
}

/// What else a frame shows.
struct Parts<'a> {
    regs: &'a Registers,
    fault: LastFault,
    alt: AltStack,
    mask: SigSet,
    fpstate: u64,
}

/// The frame without its siginfo.
fn render(ksig: &KSignal, parts: &Parts<'_>) -> [u8; FRAME_SIZE] {
    let mut out = [0; FRAME_SIZE];
    put(&mut out, 0, ksig.action.restorer);
    put(&mut out, UC, UC_FLAGS);
    put(&mut out, UC_STACK, parts.alt.sp);
    put(&mut out, UC_STACK + 8, u64::from(parts.alt.flags));
    put(&mut out, UC_STACK + 16, parts.alt.size);
    for (i, word) in sigcontext_words(parts.regs).into_iter().enumerate() {
        put(&mut out, MCONTEXT + i * 8, word);
    }
    // cs, gs, fs, ss; gs and fs are always zero.
    let selectors = [parts.regs.cs as u16, 0, 0, parts.regs.ss as u16];
    for (i, selector) in selectors.into_iter().enumerate() {
        let at = MC_SELECTORS + i * 2;
        out[at..at + 2].copy_from_slice(&selector.to_le_bytes());
    }
    let fault = parts.fault;
    let tail = [fault.error, fault.trapno, parts.mask.0, fault.cr2, parts.fpstate];
    for (i, word) in tail.into_iter().enumerate() {
        put(&mut out, MC_ERR + i * 8, word);
    }
    put(&mut out, UC_SIGMASK, parts.mask.0);
    out[INFO..].copy_from_slice(&ksig.info.to_bytes());
    out
}

fn put(out: &mut [u8; FRAME_SIZE], at: usize, word: u64) {
    out[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// The extended state as a frame carries it: marked with the software bytes and magic2 (S-51).
fn sign_xstate(mut area: Vec<u8>, xfeatures: u64) -> Vec<u8> {
    let size = area.len() as u32;
    let bv = u64::from_le_bytes(area[XSTATE_BV..XSTATE_BV + 8].try_into().expect("8"));
    area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&(bv | FPSSE).to_le_bytes());
    let sw = &mut area[SW_BYTES..XSTATE_BV];
    sw.fill(0);
    sw[0..4].copy_from_slice(&MAGIC1.to_le_bytes());
    sw[4..8].copy_from_slice(&(size + 4).to_le_bytes());
    sw[8..16].copy_from_slice(&xfeatures.to_le_bytes());
    sw[16..20].copy_from_slice(&size.to_le_bytes());
    area.extend_from_slice(&MAGIC2.to_le_bytes());
    area
}

/// The state after FNINIT with the default MXCSR, everything else in its initial state.
pub(super) fn init_xstate(len: usize) -> Vec<u8> {
    let mut area = vec![0; len];
    area[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
    area[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
    area
}

impl Kernel {
    /// setup_rt_frame(): writes the frame and points the registers at the handler; the frame's
    /// address, or EFAULT if it cannot be (rule S-33).
    pub(super) fn setup_rt_frame(
        &mut self,
        task: TaskId,
        ksig: &KSignal,
        user: &mut dyn Platform,
    ) -> Result<u64, Errno> {
        let guest = self.tasks[task].guest.ok_or(Errno::EFAULT)?;
        let mask = self.sigmask_to_save(task);
        let t = &mut self.tasks[task];
        let xstate = user.xstate(guest);
        let len = xstate.len();
        let on_stack = ksig.action.flags & SA_ONSTACK != 0;
        let place = place_frame(t.regs.rsp, on_stack, &t.sas_ss, len).ok_or(Errno::EFAULT)?;
        if ksig.action.flags & SA_RESTORER == 0 {
            return Err(Errno::EFAULT); // S-48
        }
        let signed = sign_xstate(xstate, user.xfeatures());
        let fault = t.last_fault;
        let parts = Parts { regs: &t.regs, fault, alt: t.sas_ss, mask, fpstate: place.fpstate };
        let frame = render(ksig, &parts);
        let written = if ksig.action.flags & SA_SIGINFO != 0 { FRAME_SIZE } else { INFO };
        write_all(user, guest, place.fpstate, &signed)?;
        write_all(user, guest, place.frame, &frame[..written])?;
        let regs = &mut t.regs;
        regs.rdi = u64::from(ksig.info.signal.number());
        regs.rsi = place.frame + INFO as u64;
        regs.rdx = place.frame + UC as u64;
        regs.rax = 0;
        regs.rip = ksig.action.handler;
        regs.rsp = place.frame;
        regs.cs = USER_CS;
        regs.ss = USER_DS;
        regs.eflags &= !HANDLER_CLEARS;
        // Not in a call any more: nothing restarts below this handler.
        regs.orig_rax = u64::MAX;
        user.set_xstate(guest, &init_xstate(len));
        Ok(place.frame)
    }
}

fn write_all(
    user: &mut dyn Platform,
    guest: crate::platform::GuestId,
    to: u64,
    bytes: &[u8],
) -> Result<(), Errno> {
    match user.write_user(guest, UserPtr(to), bytes) {
        n if n == bytes.len() => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::signal::Signal;
    use crate::task::Pid;
    use crate::task::signal::{SigAction, SigInfo};

    const NO_ALT: AltStack = AltStack { sp: 0, size: 0, flags: 2 };

    #[test]
    fn a_frame_lies_where_linux_puts_it() {
        // S-51: red zone, extended state on 64, frame 440 below on 16, minus 8.
        let p = place_frame(0x7fff_0000, false, &NO_ALT, 832).unwrap();
        assert_eq!(p.fpstate, (0x7fff_0000 - 128 - 836) & !63);
        assert_eq!(p.frame, ((p.fpstate - 440) & !15) - 8);
        assert_eq!((p.frame + 8) % 16, 0);
    }

    #[test]
    fn the_alternate_stack_is_entered_at_its_end_and_never_overrun() {
        // S-49.
        let alt = AltStack { sp: 0x10000, size: 0x2000, flags: 0 };
        let p = place_frame(0x7fff_0000, true, &alt, 832).unwrap();
        assert_eq!(p.fpstate, (0x12000 - 836) & !63);
        let nested = place_frame(p.frame, true, &alt, 832).unwrap();
        assert!(nested.frame < p.frame - 128);
        assert_eq!(place_frame(0x10400, true, &alt, 832), None, "overflow");
        let small = AltStack { size: 1024, ..alt };
        assert_eq!(place_frame(0x7fff_0000, true, &small, 832), None, "does not fit at all");
    }

    #[test]
    fn the_words_of_a_frame_stand_at_their_offsets() {
        // S-50; offsets of uc are relative to the frame + 8, of mcontext to uc + 40.
        let regs = Registers {
            r8: 8,
            rdi: 0xd1,
            rsp: 0x5b,
            rip: 0x1b,
            eflags: 0x246,
            cs: 0x33,
            ss: 0x2b,
            ..Registers::default()
        };
        let action = SigAction { restorer: 0xee, ..SigAction::default() };
        let ksig = KSignal { info: SigInfo::user(Signal::SIGUSR1, Pid(3), 4), action };
        let parts = Parts {
            regs: &regs,
            fault: LastFault { trapno: 14, error: 6, cr2: 0xc2 },
            alt: AltStack { sp: 0xa1, size: 0xa2, flags: 2 },
            mask: SigSet(0x55),
            fpstate: 0xf0,
        };
        let out = render(&ksig, &parts);
        let word = |at: usize| u64::from_le_bytes(out[at..at + 8].try_into().unwrap());
        assert_eq!((word(0), word(8), word(16)), (0xee, 7, 0));
        assert_eq!((word(24), word(32), word(40)), (0xa1, 2, 0xa2));
        assert_eq!(
            (word(48), word(48 + 64), word(48 + 120), word(48 + 128)),
            (8, 0xd1, 0x5b, 0x1b)
        );
        assert_eq!((word(48 + 136), word(48 + 144)), (0x246, 0x2b << 48 | 0x33));
        assert_eq!((word(48 + 152), word(48 + 160), word(48 + 168)), (6, 14, 0x55));
        assert_eq!((word(48 + 176), word(48 + 184), word(8 + 296)), (0xc2, 0xf0, 0x55));
        assert_eq!((out[312], out[328], out[332]), (10, 3, 4));
    }

    #[test]
    fn the_extended_state_is_signed() {
        // S-51, measured with AVX.
        let area = sign_xstate(init_xstate(832), 7);
        let int = |at: usize| u32::from_le_bytes(area[at..at + 4].try_into().unwrap());
        assert_eq!((int(464), int(468), int(472), int(480)), (0x4650_5853, 836, 7, 832));
        assert_eq!((int(832), area.len(), area[512]), (0x4650_5845, 836, 3));
        // What is present already stays so.
        let mut used = init_xstate(832);
        used[512] = 5;
        assert_eq!(sign_xstate(used, 7)[512], 7);
    }
}
