//! Programs of scripted guests: lists of instructions as Rust values, written with [`Program`]'s
//! methods as one writes assembly, and packed as a real (tiny) ELF file so that the kernel's exec
//! loads them as it loads any other. All state of a running program is in its registers and memory;
//! so fork, signal frames and restarted calls work as on a CPU. Neighbour: `cpu` executes.
//!
//! Addresses: program `n` has its code from [`Program::entry`] on, sixteen bytes an instruction,
//! and its data half a megabyte above. No two programs overlap, so that rip alone names both.

use core::net::Ipv6Addr;

/// First address of program 0.
const FIRST: u64 = 0x40_0000;
/// Distance from one program to the next.
const STRIDE: u64 = 0x10_0000;
/// Where a program's data lie, from its start.
const DATA: u64 = 0x8_0000;
/// Size of an instruction in address space. Within it a call has its `syscall` instruction at
/// offset 8 (two bytes long, as on x86-64: a restart goes back by two).
pub const STEP: u64 = 16;
/// Offset of the `syscall` instruction in a call.
pub const SYSCALL_AT: u64 = 8;
const PAGE: u64 = 4096;

/// A general register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Reg {
    Rax,
    Rbx,
    Rcx,
    Rdx,
    Rsi,
    Rdi,
    Rbp,
    Rsp,
    R8,
    R9,
    R10,
    R12,
    R13,
    R14,
    R15,
}

/// A place in a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(usize);

/// Where an operand comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// A constant, or an address.
    Is(u64),
    /// A register.
    In(Reg),
    /// The 64-bit word at an address.
    At(u64),
    /// The 32-bit word at an address, sign-extended.
    Int(u64),
    /// The address of an instruction (a signal handler, a thread's start).
    Code(Label),
}

impl From<u64> for Value {
    fn from(v: u64) -> Value {
        Value::Is(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Value {
        Value::Is(v as i64 as u64)
    }
}
impl From<Reg> for Value {
    fn from(r: Reg) -> Value {
        Value::In(r)
    }
}
impl From<Label> for Value {
    fn from(l: Label) -> Value {
        Value::Code(l)
    }
}

/// A comparison; signed, as results of calls are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Is {
    Equal,
    NotEqual,
    Less,
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Insn {
    /// A system call; its result is in rax.
    Call {
        /// Its number.
        nr: Value,
        /// Its arguments; missing ones are zero.
        args: Vec<Value>,
    },
    /// Register := value.
    Set(Reg, Value),
    /// Register += value.
    Add(Reg, Value),
    /// Stores the low `size` bytes of a value at an address.
    Store {
        /// Where.
        to: Value,
        /// What.
        value: Value,
        /// 1, 2, 4 or 8.
        size: u8,
    },
    /// Goes on at a label.
    Jump(Label),
    /// Goes on at a label if the comparison holds.
    JumpIf(Value, Is, Value, Label),
    /// Pops the address to go on at (the end of a signal handler).
    Return,
    /// `rdtsc`.
    Tsc,
    /// Computes without effect for ever: the watchdog would take the CPU away.
    Spin,
    /// Computes for so many seconds of the machine's CPU time, which it counts in a register; the
    /// watchdog looks once a second.
    Compute(Reg, u64),
    /// Touches an address: reads it, or with `write` writes it.
    Touch {
        /// Where.
        at: Value,
        /// Writes?
        write: bool,
    },
    /// `ud2`.
    Illegal,
}

/// A program under construction, and finished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    number: u64,
    code: Vec<Insn>,
    labels: Vec<Option<u64>>,
    data: Vec<u8>,
    bss: u64,
}

impl Program {
    /// An empty program. Its `number` (0 to 2000) must differ from that of any other in the world.
    pub fn new(number: u64) -> Program {
        assert!(number <= 2000, "program numbers go up to 2000");
        Program { number, code: Vec::new(), labels: Vec::new(), data: Vec::new(), bss: 0 }
    }

    fn base(&self) -> u64 {
        FIRST + self.number * STRIDE
    }

    /// Address of the first instruction.
    pub fn entry(&self) -> u64 {
        self.base() + PAGE
    }

    /// Puts bytes into the data segment; returns their address.
    pub fn bytes(&mut self, bytes: &[u8]) -> u64 {
        assert!(self.bss == 0, "data come before space");
        let at = self.base() + DATA + self.data.len() as u64;
        self.data.extend_from_slice(bytes);
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        at
    }

    /// Puts a string with its NUL into the data segment.
    pub fn string(&mut self, text: &str) -> u64 {
        self.bytes(&[text.as_bytes(), b"\0"].concat())
    }

    /// Puts a NULL-terminated array of addresses into the data segment.
    pub fn pointers(&mut self, addresses: &[u64]) -> u64 {
        let words = addresses.iter().chain([&0]).flat_map(|a| a.to_le_bytes());
        self.bytes(&words.collect::<Vec<u8>>())
    }

    /// Puts a `struct sockaddr_in` (16 bytes) into the data segment.
    pub fn sockaddr_in(&mut self, ip: [u8; 4], port: u16) -> u64 {
        let mut sockaddr = [0; 16];
        sockaddr[0] = 2;
        sockaddr[2..4].copy_from_slice(&port.to_be_bytes());
        sockaddr[4..8].copy_from_slice(&ip);
        self.bytes(&sockaddr)
    }

    /// Puts a `struct sockaddr_in6` (28 bytes) into the data segment.
    pub fn sockaddr_in6(&mut self, ip: Ipv6Addr, port: u16) -> u64 {
        let mut sockaddr = [0; 28];
        sockaddr[0] = 10;
        sockaddr[2..4].copy_from_slice(&port.to_be_bytes());
        sockaddr[8..24].copy_from_slice(&ip.octets());
        self.bytes(&sockaddr)
    }

    /// Reserves `len` zero bytes behind the data; no more data may follow.
    pub fn space(&mut self, len: u64) -> u64 {
        let at = self.base() + DATA + self.data.len() as u64 + self.bss;
        self.bss += len.next_multiple_of(8);
        at
    }

    /// A label whose place comes later ([`Program::here`]).
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label's place is the next instruction.
    pub fn here(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len() as u64);
    }

    /// A label for the next instruction.
    pub fn mark(&mut self) -> Label {
        let label = self.label();
        self.here(label);
        label
    }

    /// Appends an instruction.
    pub fn push(&mut self, insn: Insn) {
        self.code.push(insn);
    }

    /// Appends a system call.
    pub fn call<const N: usize>(&mut self, nr: u64, args: [Value; N]) {
        self.push(Insn::Call { nr: nr.into(), args: args.to_vec() });
    }

    /// Appends register := value.
    pub fn set(&mut self, register: Reg, value: impl Into<Value>) {
        self.push(Insn::Set(register, value.into()));
    }

    /// exit_group(code).
    pub fn exit(&mut self, code: i32) {
        self.call(231, [code.into()]);
    }

    /// Ends the process with exit status `code` unless rax is `value`.
    pub fn expect(&mut self, value: i64, code: i32) {
        let good = self.label();
        let value = Value::Is(value as u64);
        self.push(Insn::JumpIf(Reg::Rax.into(), Is::Equal, value, good));
        self.exit(code);
        self.here(good);
    }

    /// Ends the process with exit status `code` if rax is an error.
    pub fn expect_success(&mut self, code: i32) {
        let bad = self.label();
        let good = self.label();
        self.push(Insn::JumpIf(Reg::Rax.into(), Is::Less, 0.into(), bad));
        self.push(Insn::Jump(good));
        self.here(bad);
        self.exit(code);
        self.here(good);
    }

    /// Address of a label that has its place.
    pub fn address(&self, label: Label) -> u64 {
        let place = self.labels[label.0].expect("every label that is used has its place");
        self.entry() + place * STEP
    }

    /// The instruction that address `rip` lies in, and the offset within it.
    pub(super) fn at(&self, rip: u64) -> Option<(&Insn, u64)> {
        let from = rip.checked_sub(self.entry())?;
        let insn = self.code.get(usize::try_from(from / STEP).ok()?)?;
        Some((insn, from % STEP))
    }

    /// The program that an address may belong to, by its number.
    pub(super) fn number_at(rip: u64) -> Option<u64> {
        Some(rip.checked_sub(FIRST)? / STRIDE)
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The ELF file: a static x86-64 executable with two segments, code and data.
    pub fn image(&self) -> Vec<u8> {
        let code = self.code.len() as u64 * STEP;
        assert!(code + PAGE <= DATA, "program {} is too long", self.number);
        let data_at = (PAGE + code).next_multiple_of(PAGE);
        let mut elf = header(self.entry());
        let text = (5, 0, self.base(), PAGE + code, PAGE + code);
        let len = self.data.len() as u64;
        // A data segment of no size at all would be malformed: it has a word at least.
        let data = (6, data_at, self.base() + DATA, len, (len + self.bss).max(8));
        for (flags, offset, address, in_file, in_memory) in [text, data] {
            elf.extend_from_slice(&1u32.to_le_bytes()); // PT_LOAD
            elf.extend_from_slice(&u32::to_le_bytes(flags));
            for word in [offset, address, address, in_file, in_memory, PAGE] {
                elf.extend_from_slice(&u64::to_le_bytes(word));
            }
        }
        // int3: whoever runs these bytes natively stops at once.
        elf.resize((PAGE + code) as usize, 0xcc);
        elf.resize(data_at as usize, 0);
        elf.extend_from_slice(&self.data);
        elf
    }
}

/// The 64 bytes of an ELF header for ET_EXEC on x86-64 with two program headers behind it.
fn header(entry: u64) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend_from_slice(&2u16.to_le_bytes()); // ET_EXEC
    elf.extend_from_slice(&62u16.to_le_bytes()); // EM_X86_64
    elf.extend_from_slice(&1u32.to_le_bytes());
    elf.extend_from_slice(&entry.to_le_bytes());
    elf.extend_from_slice(&64u64.to_le_bytes()); // e_phoff
    elf.extend_from_slice(&0u64.to_le_bytes()); // e_shoff
    elf.extend_from_slice(&0u32.to_le_bytes()); // e_flags
    for half in [64u16, 56, 2, 0, 0, 0] {
        elf.extend_from_slice(&half.to_le_bytes());
    }
    elf
}
