//! ELF64 executables for x86-64 as bytes: header, program headers, and the plan of where each
//! segment goes. Pure; every field is taken as hostile. What Linux refuses before the point of no
//! return is ENOEXEC here too; what it finds out later (a bad segment) kills the program there and
//! so here. Neighbour: `task/exec`. elf(5); load_elf_binary() in Linux.

use crate::abi::Errno;
use crate::mm::{PAGE_SIZE, TASK_SIZE, page_align};
use crate::platform::Prot;

/// Bytes of the file header.
pub const EHDR_SIZE: usize = 64;
/// Bytes of one program header.
pub const PHDR_SIZE: usize = 56;
const EM_X86_64: u16 = 62;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;

/// What the file header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Header {
    /// ET_DYN: the loader chooses the address.
    pub is_dyn: bool,
    pub entry: u64,
    pub phoff: u64,
    pub phnum: u16,
}

/// One program header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Phdr {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub vaddr: u64,
    pub filesz: u64,
    pub memsz: u64,
    pub align: u64,
}

/// A whole executable or interpreter, as far as loading goes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Elf {
    pub header: Header,
    pub phdrs: Vec<Phdr>,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

impl Header {
    /// Reads the first bytes of a file; ENOEXEC if it is no ELF64 program for x86-64.
    pub fn parse(bytes: &[u8]) -> Result<Header, Errno> {
        if bytes.len() < EHDR_SIZE || bytes[..4] != *b"\x7fELF" {
            return Err(Errno::ENOEXEC);
        }
        let kind = u16_at(bytes, 16);
        let header = Header {
            is_dyn: kind == ET_DYN,
            entry: u64_at(bytes, 24),
            phoff: u64_at(bytes, 32),
            phnum: u16_at(bytes, 56),
        };
        let known = kind == ET_EXEC || kind == ET_DYN;
        let headers_fit = u16_at(bytes, 54) as usize == PHDR_SIZE
            && header.phnum > 0
            && header.phnum as usize * PHDR_SIZE <= 65536;
        if !known || u16_at(bytes, 18) != EM_X86_64 || !headers_fit {
            return Err(Errno::ENOEXEC);
        }
        Ok(header)
    }

    /// Is this an ELF program for another machine (i386, say)? Worth a word.
    pub fn is_foreign(bytes: &[u8]) -> bool {
        bytes.len() >= 20 && bytes[..4] == *b"\x7fELF" && u16_at(bytes, 18) != EM_X86_64
    }

    /// How many bytes of program headers follow at `phoff`.
    pub fn phdrs_len(&self) -> usize {
        self.phnum as usize * PHDR_SIZE
    }
}

/// One thing to do with memory, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Map file pages privately.
    File {
        /// Page-aligned address.
        start: u64,
        /// In whole pages.
        len: u64,
        /// PROT_*.
        prot: Prot,
        /// Page-aligned offset in the file.
        offset: u64,
    },
    /// Map zero pages, readable and writable.
    Zero {
        /// Page-aligned address.
        start: u64,
        /// In whole pages.
        len: u64,
        /// PROT_*.
        prot: Prot,
    },
    /// Clear the rest of the last file page (padzero); a failure counts only if `must`.
    Clear {
        /// From here to the end of the page.
        start: u64,
        /// Bytes.
        len: u64,
        /// The segment is writable.
        must: bool,
    },
}

/// Where an ELF file lies in memory, and how it gets there.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// What is added to addresses of the file.
    pub bias: u64,
    pub entry: u64,
    /// Where the program headers are in memory (AT_PHDR); 0 if they are not.
    pub phdr: u64,
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    /// The end of everything, page-aligned: where brk starts.
    pub end: u64,
}

impl Elf {
    /// Reads program headers.
    pub fn parse(header: Header, bytes: &[u8]) -> Elf {
        let phdrs = bytes
            .chunks_exact(PHDR_SIZE)
            .take(header.phnum as usize)
            .map(|b| Phdr {
                kind: u32_at(b, 0),
                flags: u32_at(b, 4),
                offset: u64_at(b, 8),
                vaddr: u64_at(b, 16),
                filesz: u64_at(b, 32),
                memsz: u64_at(b, 40),
                align: u64_at(b, 48),
            })
            .collect();
        Elf { header, phdrs }
    }

    /// The first PT_INTERP.
    pub fn interp(&self) -> Option<Phdr> {
        self.phdrs.iter().copied().find(|p| p.kind == PT_INTERP)
    }

    /// PT_GNU_STACK with PF_X, or none at all (then x86-64 keeps the stack non-executable).
    pub fn executable_stack(&self) -> bool {
        self.phdrs.iter().rfind(|p| p.kind == PT_GNU_STACK).is_some_and(|p| p.flags & 1 != 0)
    }

    fn loads(&self) -> impl Iterator<Item = &Phdr> {
        self.phdrs.iter().filter(|p| p.kind == PT_LOAD)
    }

    /// maximum_alignment(): of all loaded segments, at least a page.
    pub fn alignment(&self) -> u64 {
        let powers = self.loads().map(|p| p.align).filter(|a| a.is_power_of_two());
        powers.max().unwrap_or(0).max(PAGE_SIZE)
    }

    /// total_mapping_size(): from the first page of the lowest to the end of the highest segment;
    /// EINVAL where there is none or it is absurd.
    pub fn span(&self) -> Result<(u64, u64), Errno> {
        let low = self.loads().map(|p| p.vaddr & !(PAGE_SIZE - 1)).min().ok_or(Errno::EINVAL)?;
        let mut high = 0;
        for p in self.loads() {
            high = high.max(p.vaddr.checked_add(p.memsz).ok_or(Errno::EINVAL)?);
        }
        let high = page_align(high).ok_or(Errno::EINVAL)?;
        if high - low > TASK_SIZE { Err(Errno::EINVAL) } else { Ok((low, high)) }
    }

    /// What to map where, with `bias` added to every address. EINVAL for a segment that cannot be.
    pub fn plan(&self, bias: u64) -> Result<Plan, Errno> {
        let mut plan = Plan {
            steps: Vec::new(),
            bias,
            entry: self.header.entry.wrapping_add(bias),
            phdr: 0,
            start_code: u64::MAX,
            end_code: 0,
            start_data: 0,
            end_data: 0,
            end: 0,
        };
        for p in self.loads() {
            self.plan_segment(p, &mut plan)?;
        }
        if plan.entry >= TASK_SIZE {
            return Err(Errno::EINVAL);
        }
        Ok(plan)
    }

    fn plan_segment(&self, p: &Phdr, plan: &mut Plan) -> Result<(), Errno> {
        let start = p.vaddr.checked_add(plan.bias).ok_or(Errno::EINVAL)?;
        if start >= TASK_SIZE || p.filesz > p.memsz || p.memsz > TASK_SIZE - start {
            return Err(Errno::EINVAL);
        }
        let prot = (p.flags & 4) >> 2 | (p.flags & 2) | (p.flags & 1) << 2;
        let first = start & !(PAGE_SIZE - 1);
        let in_page = start - first;
        let mut zero_start = first;
        if p.filesz > 0 {
            let offset = p.offset.checked_sub(in_page).ok_or(Errno::EINVAL)?;
            let len = page_align(p.filesz + in_page).ok_or(Errno::EINVAL)?;
            if offset % PAGE_SIZE != 0 || offset.checked_add(len).is_none() {
                return Err(Errno::EINVAL);
            }
            plan.steps.push(Step::File { start: first, len, prot, offset });
            zero_start = first + len;
            let file_end = start + p.filesz;
            if p.memsz > p.filesz && file_end < zero_start {
                let (len, must) = (zero_start - file_end, p.flags & 2 != 0);
                plan.steps.push(Step::Clear { start: file_end, len, must });
            }
        }
        let zero_end = page_align(start + p.memsz).ok_or(Errno::EINVAL)?;
        if p.memsz > p.filesz && zero_end > zero_start {
            let len = zero_end - zero_start;
            plan.steps.push(Step::Zero { start: zero_start, len, prot: 3 | (prot & 4) });
        }
        let phoff = self.header.phoff;
        if p.offset <= phoff && phoff - p.offset < p.filesz {
            plan.phdr = start + (phoff - p.offset);
        }
        if p.flags & 1 != 0 {
            plan.start_code = plan.start_code.min(start);
            plan.end_code = plan.end_code.max(start + p.filesz);
        }
        plan.start_data = plan.start_data.max(start);
        plan.end_data = plan.end_data.max(start + p.filesz);
        plan.end = plan.end.max(zero_end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ehdr(kind: u16, phnum: u16) -> Vec<u8> {
        let mut b = vec![0u8; EHDR_SIZE];
        b[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        b[16..18].copy_from_slice(&kind.to_le_bytes());
        b[18..20].copy_from_slice(&EM_X86_64.to_le_bytes());
        b[24..32].copy_from_slice(&0x40_1000u64.to_le_bytes());
        b[32..40].copy_from_slice(&64u64.to_le_bytes());
        b[54..56].copy_from_slice(&(PHDR_SIZE as u16).to_le_bytes());
        b[56..58].copy_from_slice(&phnum.to_le_bytes());
        b
    }

    fn load(flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> Phdr {
        Phdr { kind: PT_LOAD, flags, offset, vaddr, filesz, memsz, align: 0x1000 }
    }

    fn elf(phdrs: Vec<Phdr>) -> Elf {
        Elf { header: Header::parse(&ehdr(ET_EXEC, 1)).unwrap(), phdrs }
    }

    #[test]
    fn a_header_is_read_and_every_truncation_refused() {
        let good = ehdr(ET_DYN, 3);
        assert!(Header::parse(&good).unwrap().is_dyn);
        for len in 0..EHDR_SIZE {
            assert_eq!(Header::parse(&good[..len]), Err(Errno::ENOEXEC));
        }
    }

    #[test]
    fn a_header_with_any_byte_changed_never_panics() {
        let good = ehdr(ET_EXEC, 2);
        for at in 0..EHDR_SIZE {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(header) = Header::parse(&bad) {
                    let phdrs: Vec<u8> = (0..header.phdrs_len()).map(|i| (i % 251) as u8).collect();
                    let elf = Elf::parse(header, &phdrs);
                    let _ = (elf.plan(0), elf.span(), elf.interp(), elf.alignment());
                }
            }
        }
    }

    #[test]
    fn programs_for_other_machines_are_refused() {
        let mut i386 = ehdr(ET_EXEC, 1);
        i386[18..20].copy_from_slice(&3u16.to_le_bytes());
        assert_eq!(Header::parse(&i386), Err(Errno::ENOEXEC));
        assert!(Header::is_foreign(&i386));
        assert_eq!(Header::parse(&ehdr(1, 1)), Err(Errno::ENOEXEC));
        assert_eq!(Header::parse(&ehdr(ET_EXEC, 0)), Err(Errno::ENOEXEC));
        assert_eq!(Header::parse(&ehdr(ET_EXEC, 2000)), Err(Errno::ENOEXEC));
    }

    #[test]
    fn bss_is_cleared_in_the_last_file_page_and_mapped_behind_it() {
        let plan = elf(vec![load(6, 0x1234, 0x40_1234, 0x100, 0x3000)]).plan(0).unwrap();
        assert_eq!(
            plan.steps,
            [
                Step::File { start: 0x40_1000, len: 0x1000, prot: 3, offset: 0x1000 },
                Step::Clear { start: 0x40_1334, len: 0xccc, must: true },
                Step::Zero { start: 0x40_2000, len: 0x3000, prot: 3 },
            ]
        );
        assert_eq!(plan.end, 0x40_5000);
    }

    #[test]
    fn program_headers_are_found_in_memory() {
        let plan = elf(vec![load(4, 0, 0x40_0000, 0x500, 0x500)]).plan(0x1000).unwrap();
        assert_eq!((plan.phdr, plan.entry), (0x40_1040, 0x40_2000));
    }

    #[test]
    fn absurd_segments_are_refused() {
        let bad = [
            load(4, 0, 0x40_0000, 2, 1),
            load(4, 0, TASK_SIZE, 0, 1),
            load(4, 0, 0x40_0000, 0, TASK_SIZE),
            load(4, 0x10, 0x40_0020, 8, 8),
            load(4, u64::MAX, 0x40_0fff, 8, 8),
            load(4, 0, u64::MAX, 0, 0),
        ];
        for p in bad {
            assert_eq!(elf(vec![p]).plan(0x1000), Err(Errno::EINVAL), "{p:?}");
        }
        assert_eq!(elf(vec![]).span(), Err(Errno::EINVAL));
    }
}
