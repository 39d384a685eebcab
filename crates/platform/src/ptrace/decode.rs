//! One instruction of a guest, disassembled: whether it writes memory and where. Neighbours:
//! `fault.rs` needs it for error codes, `watchdog.rs` to know that a loop has no effect.

use super::sys::{self, Pid};
use iced_x86::{
    Code as Op, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    InstructionInfoOptions, Mnemonic, OpAccess, Register, UsedMemory,
};
use kernel::platform::Registers;

/// The longest instruction.
const LONGEST: usize = 15;

/// The instruction at an address; `Op::INVALID` if there is none.
#[derive(Debug)]
pub(super) struct Code {
    instruction: Instruction,
}

impl Code {
    /// Reads and decodes it as 64-bit code.
    pub(super) fn at(pid: Pid, rip: u64) -> Code {
        let mut bytes = [0; LONGEST];
        let len = sys::read_memory(pid, rip, &mut bytes);
        let instruction = Decoder::with_ip(64, &bytes[..len], rip, DecoderOptions::NONE).decode();
        Code { instruction }
    }

    pub(super) fn op(&self) -> Op {
        self.instruction.code()
    }

    pub(super) fn mnemonic(&self) -> Mnemonic {
        self.instruction.mnemonic()
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u8 {
        self.instruction.len() as u8
    }

    /// The immediate of `int`.
    pub(super) fn immediate8(&self) -> u8 {
        self.instruction.immediate8()
    }

    /// An x87 instruction.
    pub(super) fn is_x87(&self) -> bool {
        let mut info = InstructionInfoFactory::new();
        let used =
            info.info(&self.instruction).used_registers().iter().any(|u| u.register().is_st());
        used || self.mnemonic() == Mnemonic::Wait
    }

    /// An instruction that must not be single-stepped: it traps to us in any case, or it shows the
    /// guest the trap flag that stepping sets (`pushf` in memory, `syscall` in r11).
    pub(super) fn unfit_for_stepping(&self) -> bool {
        let shows_flags =
            matches!(self.mnemonic(), Mnemonic::Pushf | Mnemonic::Pushfd | Mnemonic::Pushfq);
        shows_flags
            || match self.instruction.flow_control() {
                FlowControl::Interrupt | FlowControl::Exception | FlowControl::XbeginXabortXend => {
                    true
                }
                // `syscall` and `sysenter` are calls to the disassembler.
                FlowControl::Call | FlowControl::IndirectCall => {
                    matches!(self.mnemonic(), Mnemonic::Syscall | Mnemonic::Sysenter)
                }
                FlowControl::Next
                | FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::ConditionalBranch
                | FlowControl::Return => false,
            }
    }

    /// True if it writes memory at `addr`.
    pub(super) fn writes(&self, regs: &Registers, addr: u64) -> bool {
        self.stores(regs).iter().any(|(at, len)| addr.wrapping_sub(*at) < *len)
    }

    /// The places in memory that it writes: address and length.
    pub(super) fn stores(&self, regs: &Registers) -> Vec<(u64, u64)> {
        let mut factory = InstructionInfoFactory::new();
        let info = factory.info_options(&self.instruction, InstructionInfoOptions::NONE);
        let place = |memory: &UsedMemory| {
            // An address that cannot be computed (gather, scatter) is no place: length 0.
            let at = memory.virtual_address(0, |register, _, _| value(regs, register));
            (at.unwrap_or(0), memory.memory_size().size() as u64)
        };
        info.used_memory().iter().filter(|memory| written(memory.access())).map(place).collect()
    }
}

fn written(access: OpAccess) -> bool {
    match access {
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
            true
        }
        OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess => false,
    }
}

/// The value of a register in an address. Segment registers stand for their bases.
fn value(regs: &Registers, register: Register) -> Option<u64> {
    let whole = match register.full_register() {
        Register::RAX => regs.rax,
        Register::RBX => regs.rbx,
        Register::RCX => regs.rcx,
        Register::RDX => regs.rdx,
        Register::RSI => regs.rsi,
        Register::RDI => regs.rdi,
        Register::RBP => regs.rbp,
        Register::RSP => regs.rsp,
        Register::R8 => regs.r8,
        Register::R9 => regs.r9,
        Register::R10 => regs.r10,
        Register::R11 => regs.r11,
        Register::R12 => regs.r12,
        Register::R13 => regs.r13,
        Register::R14 => regs.r14,
        Register::R15 => regs.r15,
        Register::FS => regs.fs_base,
        Register::GS => regs.gs_base,
        Register::CS | Register::DS | Register::ES | Register::SS => 0,
        _ => return None,
    };
    Some(if register.size() == 4 { whole & 0xffff_ffff } else { whole })
}
