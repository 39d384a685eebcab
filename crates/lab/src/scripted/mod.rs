//! [`Scripted`]: a pure, cloneable [`Platform`]. Guests are [`Program`]s, lists of instructions as
//! Rust values; memory is a map of pages. With it the kernel's rooms are tested end to end without
//! a native process, and a world can be cloned, compared and run again.
//!
//! `program` (what a test writes) → `cpu` (executes it) → `memory` (address spaces), and `lower`
//! (the machine's files, in memory).

mod cpu;
mod lower;
mod memory;
mod program;

pub use lower::LowerTree;
pub use program::{Insn, Is, Label, Program, Reg, Value};

use cpu::Cpu;
use kernel::abi::Errno;
use kernel::platform::{
    GuestId, LowerFiles, LowerKind, LowerStat, MapChange, ObjectId, Platform, Registers, Trap,
    UserMemory, UserPtr,
};
use memory::{Objects, READ, Space};
use std::collections::BTreeMap;

/// XSAVE area of x87 and SSE: 512 bytes and the header of 64.
const XSTATE_SIZE: usize = 576;

/// The greatest memory object (256 MiB): its bytes are all there, holes or not.
const MOST_OBJECT: u64 = 1 << 28;

/// One native context.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Guest {
    space: u64,
    xstate: Vec<u8>,
}

/// The platform as a value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scripted {
    /// The machine's files.
    pub lower: LowerTree,
    programs: BTreeMap<u64, Program>,
    guests: BTreeMap<GuestId, Guest>,
    /// Address spaces with how many guests run in each.
    spaces: BTreeMap<u64, (Space, u32)>,
    objects: Objects,
    last: u64,
}

impl Scripted {
    /// Installs `program` as an executable file at `path`.
    pub fn install(&mut self, path: &str, program: Program) {
        self.lower.add_file(path, 0o755, program.image());
        let number = program.number();
        let before = self.programs.insert(number, program);
        assert!(before.is_none(), "two programs have the number {number}");
    }

    /// How many native contexts there are: a test of leaks.
    pub fn guest_count(&self) -> usize {
        self.guests.len()
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn guest(&self, guest: GuestId) -> &Guest {
        self.guests.get(&guest).expect("the kernel names guests that it did not release")
    }
}

/// What the CPU has at the start of a program: x87 and SSE at their defaults.
fn fresh_xstate() -> Vec<u8> {
    let mut area = vec![0; XSTATE_SIZE];
    area[0..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    area[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    area[512] = 3;
    area
}

impl UserMemory for Scripted {
    fn read_user(&mut self, guest: GuestId, from: UserPtr, into: &mut [u8]) -> usize {
        let space = self.guest(guest).space;
        self.spaces[&space].0.read(from.0, into, READ, &self.objects).0
    }

    fn write_user(&mut self, guest: GuestId, to: UserPtr, from: &[u8]) -> usize {
        let space = self.guest(guest).space;
        let (space, _) = self.spaces.get_mut(&space).expect("a guest has its space");
        space.write(to.0, from, &mut self.objects).0
    }
}

impl LowerFiles for Scripted {
    fn lower_stat(&mut self, path: &[u8]) -> Result<LowerStat, Errno> {
        self.lower.lower_stat(path)
    }
    fn lower_list(&mut self, path: &[u8]) -> Result<Vec<(Vec<u8>, LowerKind)>, Errno> {
        self.lower.lower_list(path)
    }
    fn lower_readlink(&mut self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        self.lower.lower_readlink(path)
    }
    fn lower_read(&mut self, path: &[u8], offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.lower.lower_read(path, offset, into)
    }
}

impl Platform for Scripted {
    fn user_range(&self) -> (u64, u64) {
        (0x1_0000, 0x7fff_ffff_f000)
    }

    fn spawn(&mut self) -> Result<GuestId, Errno> {
        let (space, guest) = (self.next(), GuestId(self.next()));
        self.spaces.insert(space, (Space::default(), 1));
        self.guests.insert(guest, Guest { space, xstate: fresh_xstate() });
        Ok(guest)
    }

    fn fork(&mut self, parent: GuestId, share_memory: bool) -> Result<GuestId, Errno> {
        let Guest { space: old, xstate } = self.guest(parent).clone();
        let (space, guest) = (self.next(), GuestId(self.next()));
        let space = if share_memory {
            self.spaces.get_mut(&old).expect("a guest has its space").1 += 1;
            old
        } else {
            let copy = self.spaces[&old].0.clone();
            self.spaces.insert(space, (copy, 1));
            space
        };
        self.guests.insert(guest, Guest { space, xstate });
        Ok(guest)
    }

    fn release(&mut self, guest: GuestId) {
        let gone = self.guests.remove(&guest).expect("a guest is released once");
        let (_, users) = self.spaces.get_mut(&gone.space).expect("a guest has its space");
        *users -= 1;
        if *users == 0 {
            self.spaces.remove(&gone.space);
        }
    }

    fn change_map(&mut self, guest: GuestId, changes: &[MapChange]) -> Result<(), (usize, Errno)> {
        let space = self.guest(guest).space;
        let (space, _) = self.spaces.get_mut(&space).expect("a guest has its space");
        for (i, change) in changes.iter().enumerate() {
            space.change(change, &mut self.lower, &self.objects).map_err(|e| (i, e))?;
        }
        Ok(())
    }

    fn run(&mut self, guest: GuestId, regs: &mut Registers) -> Trap {
        let space = self.guest(guest).space;
        let (space, _) = self.spaces.get_mut(&space).expect("a guest has its space");
        Cpu { programs: &self.programs, space, objects: &mut self.objects, regs }.run()
    }

    fn xstate(&mut self, guest: GuestId) -> Vec<u8> {
        self.guest(guest).xstate.clone()
    }

    fn set_xstate(&mut self, guest: GuestId, area: &[u8]) -> bool {
        // The CPU refuses reserved bits of MXCSR, unknown components and a compacted header.
        let mxcsr = area.get(24..28).is_some_and(|m| m[2..] == [0, 0]);
        let header = area.get(512..576).is_some_and(|h| h[0] & !3 == 0 && h[1..64] == [0; 63]);
        if !mxcsr || !header {
            return false;
        }
        let guest = self.guests.get_mut(&guest).expect("the kernel names living guests");
        guest.xstate = area[..XSTATE_SIZE].to_vec();
        true
    }

    fn resident(&mut self, guest: GuestId) -> u64 {
        self.spaces[&self.guest(guest).space].0.resident()
    }

    fn xfeatures(&self) -> u64 {
        3
    }

    fn hwcap(&self) -> (u64, u64) {
        (0, 0)
    }

    fn object_create(&mut self, size: u64) -> Result<ObjectId, Errno> {
        if size > MOST_OBJECT {
            return Err(Errno::ENOSPC);
        }
        let id = ObjectId(self.next());
        self.objects.insert(id, vec![0; size as usize]);
        Ok(id)
    }

    fn object_read(&mut self, id: ObjectId, offset: u64, into: &mut [u8]) -> usize {
        let bytes = &self.objects[&id];
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        len
    }

    fn object_write(&mut self, id: ObjectId, offset: u64, from: &[u8]) {
        let bytes = self.objects.get_mut(&id).expect("the kernel names objects that it made");
        bytes[offset as usize..][..from.len()].copy_from_slice(from);
    }

    fn object_resize(&mut self, id: ObjectId, size: u64) -> Result<(), Errno> {
        if size > MOST_OBJECT {
            return Err(Errno::ENOSPC);
        }
        let bytes = self.objects.get_mut(&id).expect("the kernel names objects that it made");
        bytes.resize(size as usize, 0);
        Ok(())
    }

    /// The bytes stay: mappings may still show them, and worlds in tests are short.
    fn object_release(&mut self, id: ObjectId) {
        let _ = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::platform::Backing;

    fn loaded(program: Program) -> (Scripted, GuestId, Registers) {
        let mut platform = Scripted::default();
        let regs = Registers { rip: program.entry(), ..Registers::default() };
        let len = program.image().len() as u64;
        let (base, data) = (program.entry() - 4096, program.entry() + 0x7_f000);
        platform.install("/bin/test", program);
        let guest = platform.spawn().unwrap();
        let path = b"/bin/test".to_vec();
        let code = Backing::Lower { path, offset: 0 };
        let changes = [
            MapChange::Map { start: base, len, prot: 5, backing: code },
            MapChange::Map { start: data, len: 4096, prot: 3, backing: Backing::Anonymous },
        ];
        platform.change_map(guest, &changes).unwrap();
        (platform, guest, regs)
    }

    #[test]
    fn a_call_traps_as_at_the_kernels_entry_and_goes_on_behind() {
        let mut program = Program::new(1);
        program.call(39, [7.into()]);
        program.set(Reg::Rbx, Reg::Rax);
        program.exit(3);
        let (mut platform, guest, mut regs) = loaded(program);
        assert_eq!(platform.run(guest, &mut regs), Trap::Syscall);
        assert_eq!((regs.orig_rax, regs.rdi), (39, 7));
        assert_eq!(regs.rax, Errno::ENOSYS.as_result());
        regs.rax = 42;
        // A restart steps back by two with the number in rax.
        let mut again = Registers { rax: 219, rip: regs.rip - 2, ..regs };
        assert_eq!(platform.run(guest, &mut again), Trap::Syscall);
        assert_eq!((again.orig_rax, again.rdi, again.rip), (219, 7, regs.rip));
        assert_eq!(platform.run(guest, &mut regs), Trap::Syscall);
        assert_eq!((regs.orig_rax, regs.rdi, regs.rbx), (231, 3, 42));
    }

    #[test]
    fn a_forked_guest_has_memory_of_its_own_and_a_thread_has_not() {
        let mut program = Program::new(1);
        let word = program.space(8);
        let (mut platform, parent, _) = loaded(program);
        let child = platform.fork(parent, false).unwrap();
        let thread = platform.fork(parent, true).unwrap();
        assert_eq!(platform.write_user(thread, UserPtr(word), b"shared"), 6);
        let mut six = [0; 6];
        platform.read_user(parent, UserPtr(word), &mut six);
        assert_eq!(&six, b"shared");
        platform.read_user(child, UserPtr(word), &mut six);
        assert_eq!(six, [0; 6]);
        platform.release(parent);
        platform.release(thread);
        platform.release(child);
        assert_eq!((platform.guest_count(), platform.spaces.len()), (0, 0));
    }

    #[test]
    fn faults_say_what_the_mmu_would_say() {
        let mut program = Program::new(1);
        program.push(Insn::Touch { at: 8.into(), write: true });
        let (mut platform, guest, mut regs) = loaded(program);
        let Trap::Fault(fault) = platform.run(guest, &mut regs) else { panic!("no fault") };
        // S-46: SEGV_MAPERR, with the address.
        assert_eq!((fault.signo, fault.code, fault.addr), (11, 1, 8));
        regs.rip = 0;
        let Trap::Fault(fault) = platform.run(guest, &mut regs) else { panic!("no fault") };
        assert_eq!((fault.signo, fault.addr, fault.error), (11, 0, 4 | 16));
    }
}
