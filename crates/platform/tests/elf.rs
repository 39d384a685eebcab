//! A real static ELF file, made by hand, loaded from the machine's file system as the kernel crate
//! would (PT_LOAD by PT_LOAD from the lower layer) and run to its exit.

mod common;
use common::*;
use kernel::abi::Errno;
use kernel::platform::{Backing, LowerFiles, MapChange, Platform, Registers, Trap};
use kernel::platform::{UserMemory, UserPtr};
use std::path::PathBuf;

const BASE: u64 = 0x50_0000;
const TEXT: &[u8] = b"hello from a guest\n";

/// write(1, text, len); exit_group(3)
fn hello() -> Vec<u8> {
    let header = 64 + 56;
    let mut code = vec![0xbf, 1, 0, 0, 0, 0x48, 0xbe]; // mov edi, 1; mov rsi, …
    let text_at = BASE + header + 40;
    code.extend(text_at.to_le_bytes());
    code.extend([0xba, TEXT.len() as u8, 0, 0, 0]); // mov edx, len
    code.extend([0xb8, 1, 0, 0, 0, 0x0f, 0x05]); // mov eax, 1; syscall
    code.extend([0x89, 0xc7, 0x83, 0xef, 16]); // mov edi, eax; sub edi, 16
    code.extend([0xb8, 231, 0, 0, 0]); // mov eax, 231
    code.resize(38, 0x90);
    code.extend([0x0f, 0x05]); // syscall
    code.extend(TEXT);

    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    for half in [2u16, 62] {
        elf.extend(half.to_le_bytes()); // ET_EXEC, EM_X86_64
    }
    elf.extend(1u32.to_le_bytes());
    for word in [BASE + header, 64, 0] {
        elf.extend(word.to_le_bytes()); // entry, phoff, shoff
    }
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes()); // PT_LOAD
    elf.extend(5u32.to_le_bytes()); // R-X
    let size = header + code.len() as u64;
    for word in [0, BASE, BASE, size, size, PAGE] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The changes that load a static ELF file, and its entry.
fn load(p: &mut Ptrace, path: &[u8]) -> (Vec<MapChange>, u64) {
    let mut head = [0; 4096];
    let len = p.lower_read(path, 0, &mut head).expect("read");
    let head = &head[..len];
    let (entry, phoff) = (word(head, 24), word(head, 32) as usize);
    let phnum = usize::from(u16::from_le_bytes([head[56], head[57]]));
    let mut changes = vec![map(STACK_TOP - PAGE, PAGE, READ | WRITE)];
    for header in head[phoff..].chunks_exact(56).take(phnum).filter(|h| h[0] == 1) {
        let (offset, start, len) = (word(header, 8), word(header, 16), word(header, 40));
        changes.push(MapChange::Map {
            start,
            len: len.next_multiple_of(PAGE),
            prot: READ | EXEC,
            backing: Backing::Lower { path: path.to_vec(), offset },
        });
    }
    (changes, entry)
}

#[test]
fn a_static_elf_file_runs_to_its_exit() {
    let file: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "hello.elf"].iter().collect();
    std::fs::write(&file, hello()).expect("write");
    let path = std::os::unix::ffi::OsStrExt::as_bytes(file.as_os_str());
    let mut p = platform();
    let (changes, entry) = load(&mut p, path);
    let guest = p.spawn().expect("spawn");
    p.change_map(guest, &changes).expect("map");
    let mut regs = Registers { rip: entry, ..registers() };
    let mut output = Vec::new();
    let status = loop {
        assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
        regs.rax = match regs.orig_rax {
            1 => {
                let mut bytes = vec![0; regs.rdx as usize];
                assert_eq!(p.read_user(guest, UserPtr(regs.rsi), &mut bytes), bytes.len());
                output.extend(bytes);
                regs.rdx
            }
            231 => break regs.rdi,
            _ => Errno::ENOSYS.as_result(),
        };
    };
    assert_eq!((output.as_slice(), status), (TEXT, 3));
}
