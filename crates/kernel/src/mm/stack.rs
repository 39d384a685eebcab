//! What a new program finds on its stack: argument and environment strings, the auxiliary vector,
//! argc (create_elf_tables in Linux). Pure: builds bytes for an address. Neighbour: `task/exec`.
//! System V ABI, AMD64 supplement, "Initial Process Stack"; getauxval(3).

use linux_raw_sys::auxvec as lx;

/// AT_RSEQ_FEATURE_SIZE, AT_RSEQ_ALIGN: not in every set of headers.
const AT_RSEQ_FEATURE_SIZE: u64 = 27;
const AT_RSEQ_ALIGN: u64 = 28;

/// What the auxiliary vector says that is not on the stack itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct AuxInfo {
    pub phdr: u64,
    pub phent: u64,
    pub phnum: u64,
    pub base: u64,
    pub entry: u64,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub egid: u32,
    pub secure: bool,
    pub random: [u8; 16],
    pub hwcap: u64,
    pub hwcap2: u64,
    pub minsigstksz: u64,
}

/// The finished stack: bytes from `sp` up to the top, and where its parts are.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Stack {
    pub sp: u64,
    pub bytes: Vec<u8>,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
    pub auxv: Vec<(u64, u64)>,
}

/// Bytes that argument and environment strings take with their pointers: what E2BIG counts.
pub fn strings_size(strings: &[Vec<u8>]) -> usize {
    strings.iter().map(|s| s.len() + 1 + 8).sum()
}

/// Lays the stack out below `top`. There: eight zero bytes, the path as exec got it (AT_EXECFN),
/// environment, arguments, padding, the platform's name, AT_RANDOM's bytes; then, 16-aligned, the
/// auxiliary vector, envp, argv, and argc at the stack pointer.
pub fn build(top: u64, execfn: &[u8], argv: &[Vec<u8>], envp: &[Vec<u8>], aux: &AuxInfo) -> Stack {
    // Strings upwards: argv, envp, execfn.
    let mut strings: Vec<u8> = Vec::new();
    let mut offsets = Vec::new();
    for string in argv.iter().chain(envp) {
        offsets.push(strings.len() as u64);
        strings.extend_from_slice(string);
        strings.push(0);
    }
    let args_len: u64 = argv.iter().map(|s| s.len() as u64 + 1).sum();
    let envs_len = strings.len() as u64 - args_len;
    strings.extend_from_slice(execfn);
    strings.extend_from_slice(&[0; 9]); // its NUL, and the null pointer at the very top
    let arg_start = top - strings.len() as u64;
    let env_start = arg_start + args_len;
    let at_execfn = env_start + envs_len;

    let at_platform = (arg_start & !15) - 7;
    let at_random = at_platform - 16;
    let auxv = auxv(aux, at_execfn, at_platform, at_random);

    let words = 1 + argv.len() + 1 + envp.len() + 1 + 2 * auxv.len();
    let sp = ((at_random & !15) - 8 * words as u64) & !15;
    let mut table: Vec<u64> = vec![argv.len() as u64];
    table.extend(offsets[..argv.len()].iter().map(|o| arg_start + o));
    table.push(0);
    table.extend(offsets[argv.len()..].iter().map(|o| arg_start + o));
    table.push(0);
    table.extend(auxv.iter().flat_map(|(key, value)| [*key, *value]));

    let mut bytes: Vec<u8> = table.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize((at_random - sp) as usize, 0);
    bytes.extend_from_slice(&aux.random);
    bytes.extend_from_slice(b"x86_64\0");
    bytes.resize((arg_start - sp) as usize, 0);
    bytes.extend_from_slice(&strings);
    Stack { sp, bytes, arg_start, arg_end: env_start, env_start, env_end: at_execfn, auxv }
}

/// In Linux's order. There is no AT_SYSINFO_EHDR: without a vDSO every clock is a real call.
fn auxv(aux: &AuxInfo, execfn: u64, platform: u64, random: u64) -> Vec<(u64, u64)> {
    let named = [
        (lx::AT_MINSIGSTKSZ, aux.minsigstksz),
        (lx::AT_HWCAP, aux.hwcap),
        (lx::AT_PAGESZ, crate::mm::PAGE_SIZE),
        (lx::AT_CLKTCK, 100),
        (lx::AT_PHDR, aux.phdr),
        (lx::AT_PHENT, aux.phent),
        (lx::AT_PHNUM, aux.phnum),
        (lx::AT_BASE, aux.base),
        (lx::AT_FLAGS, 0),
        (lx::AT_ENTRY, aux.entry),
        (lx::AT_UID, u64::from(aux.uid)),
        (lx::AT_EUID, u64::from(aux.euid)),
        (lx::AT_GID, u64::from(aux.gid)),
        (lx::AT_EGID, u64::from(aux.egid)),
        (lx::AT_SECURE, u64::from(aux.secure)),
        (lx::AT_RANDOM, random),
        (lx::AT_HWCAP2, aux.hwcap2),
        (lx::AT_EXECFN, execfn),
        (lx::AT_PLATFORM, platform),
    ];
    let mut auxv: Vec<(u64, u64)> = named.map(|(key, value)| (u64::from(key), value)).to_vec();
    // The rseq area that sys_rseq takes: 28 bytes used, 32-aligned.
    auxv.extend([(AT_RSEQ_FEATURE_SIZE, 28), (AT_RSEQ_ALIGN, 32)]);
    auxv.push((u64::from(lx::AT_NULL), 0));
    auxv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(stack: &Stack, at: u64) -> u64 {
        let i = (at - stack.sp) as usize;
        u64::from_le_bytes(stack.bytes[i..i + 8].try_into().unwrap())
    }

    fn string(stack: &Stack, at: u64) -> &[u8] {
        let rest = &stack.bytes[(at - stack.sp) as usize..];
        &rest[..rest.iter().position(|b| *b == 0).unwrap()]
    }

    #[test]
    fn a_program_finds_its_arguments() {
        let aux = AuxInfo {
            phdr: 1,
            phent: 56,
            phnum: 2,
            base: 3,
            entry: 4,
            uid: 5,
            euid: 6,
            gid: 7,
            egid: 8,
            secure: false,
            random: [9; 16],
            hwcap: 10,
            hwcap2: 11,
            minsigstksz: 12,
        };
        let top = 0x7fff_ffff_f000;
        for extra in 0..20 {
            let argv = vec![b"echo".to_vec(), vec![b'x'; extra]];
            let stack = build(top, b"/bin/echo", &argv, &[b"A=1".to_vec()], &aux);
            assert_eq!(stack.sp % 16, 0);
            assert_eq!(stack.sp + stack.bytes.len() as u64, top);
            assert_eq!(word(&stack, stack.sp), 2);
            assert_eq!(string(&stack, word(&stack, stack.sp + 8)), b"echo");
            assert_eq!(string(&stack, word(&stack, stack.sp + 16)).len(), extra);
            assert_eq!(word(&stack, stack.sp + 24), 0);
            assert_eq!(string(&stack, word(&stack, stack.sp + 32)), b"A=1");
            assert_eq!(word(&stack, stack.sp + 40), 0);
            let value = |key: u32| stack.auxv.iter().find(|(k, _)| *k == u64::from(key)).unwrap().1;
            assert_eq!(string(&stack, value(lx::AT_EXECFN)), b"/bin/echo");
            assert_eq!(string(&stack, value(lx::AT_PLATFORM)), b"x86_64");
            let random = (value(lx::AT_RANDOM) - stack.sp) as usize;
            assert_eq!(stack.bytes[random..random + 16], [9; 16]);
            assert_eq!(string(&stack, stack.env_start), b"A=1");
        }
    }
}
