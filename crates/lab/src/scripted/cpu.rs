//! Executes scripted programs: fetch at rip, act on registers and memory, until something traps.
//! Neighbours: `program` (what is executed), `memory` (what is touched).

use super::memory::{EXEC, Hole, Objects, READ, Space, WRITE};
use super::program::{Insn, Is, Program, Reg, STEP, SYSCALL_AT, Value};
use kernel::abi::Errno;
use kernel::platform::{Fault, Registers, Trap};
use kernel::time::Duration;
use std::collections::BTreeMap;

/// Instructions that one run executes before it counts as spinning.
const PATIENCE: u32 = 1_000_000;

const SIGILL: u8 = 4;
const SIGBUS: u8 = 7;
const SIGSEGV: u8 = 11;

/// What one run works on.
pub struct Cpu<'a> {
    /// All programs by number.
    pub programs: &'a BTreeMap<u64, Program>,
    /// The guest's memory.
    pub space: &'a mut Space,
    /// What shared pages show.
    pub objects: &'a mut Objects,
    /// The guest's registers.
    pub regs: &'a mut Registers,
}

impl Cpu<'_> {
    /// Runs until a trap.
    pub fn run(&mut self) -> Trap {
        for _ in 0..PATIENCE {
            if let Err(trap) = self.step() {
                return trap;
            }
        }
        Trap::Spin
    }

    fn step(&mut self) -> Result<(), Trap> {
        let rip = self.regs.rip;
        self.space.can_execute(rip).map_err(|hole| page_fault(rip, hole, EXEC))?;
        let program = Program::number_at(rip).and_then(|n| self.programs.get(&n));
        let Some((program, (insn, offset))) = program.and_then(|p| Some((p, p.at(rip)?))) else {
            return Err(illegal(rip));
        };
        match (insn, offset) {
            (Insn::Call { nr, args }, 0) => {
                let nr = self.value(program, *nr)?;
                let mut six = [0; 6];
                for (slot, arg) in six.iter_mut().zip(args) {
                    *slot = self.value(program, *arg)?;
                }
                let regs = &mut self.regs;
                regs.rax = nr;
                [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = six;
                self.syscall(rip + SYSCALL_AT)
            }
            // A restarted call: number and arguments are in the registers already.
            (Insn::Call { .. }, SYSCALL_AT) => self.syscall(rip),
            // Back from a call: on to the next instruction.
            (Insn::Call { .. }, 10) => {
                self.regs.rip = rip - 10 + STEP;
                Ok(())
            }
            (insn, 0) => self.execute(program, insn, rip + STEP),
            _ => Err(illegal(rip)),
        }
    }

    /// The `syscall` instruction at `at`.
    fn syscall(&mut self, at: u64) -> Result<(), Trap> {
        let regs = &mut self.regs;
        regs.rip = at + 2;
        regs.rcx = regs.rip;
        regs.r11 = regs.eflags;
        regs.orig_rax = regs.rax;
        regs.rax = Errno::ENOSYS.as_result();
        Err(Trap::Syscall)
    }

    fn execute(&mut self, program: &Program, insn: &Insn, next: u64) -> Result<(), Trap> {
        let mut goes_on_at = next;
        match insn {
            Insn::Set(register, value) => *self.reg(*register) = self.value(program, *value)?,
            Insn::Add(register, value) => {
                let value = self.value(program, *value)?;
                let register = self.reg(*register);
                *register = register.wrapping_add(value);
            }
            Insn::Store { to, value, size } => {
                let (to, value) = (self.value(program, *to)?, self.value(program, *value)?);
                self.store(to, &value.to_le_bytes()[..usize::from(*size)])?;
            }
            Insn::Jump(label) => goes_on_at = program.address(*label),
            Insn::JumpIf(a, is, b, label) => {
                let (a, b) = (self.value(program, *a)? as i64, self.value(program, *b)? as i64);
                let holds = match is {
                    Is::Equal => a == b,
                    Is::NotEqual => a != b,
                    Is::Less => a < b,
                };
                if holds {
                    goes_on_at = program.address(*label);
                }
            }
            Insn::Return => {
                let sp = self.regs.rsp;
                goes_on_at = u64::from_le_bytes(self.load(sp)?);
                self.regs.rsp = sp.wrapping_add(8);
            }
            // The kernel moves rip by the length itself; ours come in steps of sixteen.
            Insn::Tsc => {
                self.regs.rip = next - 2;
                return Err(Trap::Tsc { length: 2 });
            }
            Insn::Spin => return Err(Trap::Spin),
            Insn::Compute(counter, seconds) => {
                let counter = self.reg(*counter);
                if *counter < *seconds {
                    *counter += 1;
                    return Err(Trap::Computing { spent: Duration::from_secs(*counter) });
                }
            }
            Insn::Touch { at, write } => {
                let at = self.value(program, *at)?;
                let [byte] = self.load(at)?;
                if *write {
                    self.store(at, &[byte])?;
                }
            }
            Insn::Illegal => return Err(illegal(self.regs.rip)),
            Insn::Call { .. } => unreachable!("step() executes calls"),
        }
        self.regs.rip = goes_on_at;
        Ok(())
    }

    fn value(&mut self, program: &Program, value: Value) -> Result<u64, Trap> {
        Ok(match value {
            Value::Is(v) => v,
            Value::In(register) => *self.reg(register),
            Value::At(address) => u64::from_le_bytes(self.load(address)?),
            Value::Int(address) => i64::from(i32::from_le_bytes(self.load(address)?)) as u64,
            Value::Code(label) => program.address(label),
        })
    }

    fn load<const N: usize>(&mut self, from: u64) -> Result<[u8; N], Trap> {
        let mut bytes = [0; N];
        match self.space.read(from, &mut bytes, READ, self.objects) {
            (_, None) => Ok(bytes),
            (done, Some(hole)) => Err(page_fault(from.wrapping_add(done as u64), hole, READ)),
        }
    }

    fn store(&mut self, to: u64, bytes: &[u8]) -> Result<(), Trap> {
        match self.space.write(to, bytes, self.objects) {
            (_, None) => Ok(()),
            (done, Some(hole)) => Err(page_fault(to.wrapping_add(done as u64), hole, WRITE)),
        }
    }

    fn reg(&mut self, register: Reg) -> &mut u64 {
        let regs = &mut *self.regs;
        match register {
            Reg::Rax => &mut regs.rax,
            Reg::Rbx => &mut regs.rbx,
            Reg::Rcx => &mut regs.rcx,
            Reg::Rdx => &mut regs.rdx,
            Reg::Rsi => &mut regs.rsi,
            Reg::Rdi => &mut regs.rdi,
            Reg::Rbp => &mut regs.rbp,
            Reg::Rsp => &mut regs.rsp,
            Reg::R8 => &mut regs.r8,
            Reg::R9 => &mut regs.r9,
            Reg::R10 => &mut regs.r10,
            Reg::R12 => &mut regs.r12,
            Reg::R13 => &mut regs.r13,
            Reg::R14 => &mut regs.r14,
            Reg::R15 => &mut regs.r15,
        }
    }
}

fn illegal(rip: u64) -> Trap {
    // ILL_ILLOPN, exception 6.
    Trap::Fault(Fault { signo: SIGILL, code: 2, addr: rip, trapno: 6, error: 0 })
}

/// The page fault of an access: the error code's bits are present 1, write 2, user 4, fetch 16.
fn page_fault(addr: u64, hole: Hole, access: u32) -> Trap {
    let (signo, code, present) = match hole {
        Hole::Unmapped => (SIGSEGV, 1, 0),
        Hole::Forbidden => (SIGSEGV, 2, 1),
        Hole::BeyondObject => (SIGBUS, 2, 0),
    };
    let how = if access & WRITE != 0 { 2 } else { 0 } | if access & EXEC != 0 { 16 } else { 0 };
    Trap::Fault(Fault { signo, code, addr, trapno: 14, error: 4 | present | how })
}
