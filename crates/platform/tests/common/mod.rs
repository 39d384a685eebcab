//! A guest of a few hand-assembled instructions: code at [`CODE`], a page of data at [`DATA`], a
//! stack below [`STACK_TOP`]. Shared by the platform's tests.
#![allow(dead_code)]

use kernel::platform::{
    Backing, GuestId, MapChange, Platform, Registers, Trap, UserMemory, UserPtr,
};
pub use platform::ptrace::{Config, Ptrace};

pub const CODE: u64 = 0x40_0000;
pub const DATA: u64 = 0x60_0000;
pub const STACK_TOP: u64 = 0x80_0000;
pub const PAGE: u64 = 4096;

pub const READ: u32 = 1;
pub const WRITE: u32 = 2;
pub const EXEC: u32 = 4;

/// `syscall`
pub const SYSCALL: [u8; 2] = [0x0f, 0x05];

pub fn platform() -> Ptrace {
    Ptrace::new(Config::default()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn map(start: u64, len: u64, prot: u32) -> MapChange {
    MapChange::Map { start, len, prot, backing: Backing::Anonymous }
}

/// Registers for user code at [`CODE`].
pub fn registers() -> Registers {
    Registers {
        rip: CODE,
        rsp: STACK_TOP,
        cs: 0x33,
        ss: 0x2b,
        eflags: 0x202,
        orig_rax: u64::MAX,
        ..Registers::default()
    }
}

/// Spawns a guest with this code.
pub fn start(p: &mut Ptrace, code: &[u8]) -> (GuestId, Registers) {
    let guest = p.spawn().expect("spawn");
    let changes = [
        map(CODE, PAGE, READ | WRITE),
        map(DATA, PAGE, READ | WRITE),
        map(STACK_TOP - PAGE, PAGE, READ | WRITE),
    ];
    p.change_map(guest, &changes).expect("map");
    assert_eq!(p.write_user(guest, UserPtr(CODE), code), code.len());
    let protect = MapChange::Protect { start: CODE, len: PAGE, prot: READ | EXEC };
    p.change_map(guest, &[protect]).expect("protect");
    (guest, registers())
}

/// Runs code from its start to its first trap.
pub fn first_trap(code: &[u8]) -> (Trap, Registers) {
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, code);
    let trap = p.run(guest, &mut regs);
    (trap, regs)
}

pub fn read_word(p: &mut Ptrace, guest: GuestId, at: u64) -> u64 {
    let mut bytes = [0; 8];
    assert_eq!(p.read_user(guest, UserPtr(at), &mut bytes), 8, "at {at:#x}");
    u64::from_ne_bytes(bytes)
}

pub fn write_word(p: &mut Ptrace, guest: GuestId, at: u64, word: u64) {
    assert_eq!(p.write_user(guest, UserPtr(at), &word.to_ne_bytes()), 8, "at {at:#x}");
}

/// A file of the machine with these bytes; its path.
pub fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path: std::path::PathBuf = [env!("CARGO_TARGET_TMPDIR"), name].iter().collect();
    std::fs::write(&path, bytes).expect("write");
    std::os::unix::ffi::OsStringExt::into_vec(path.into_os_string())
}
