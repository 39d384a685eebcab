//! The frame of a handler on x86-64, its return, and the siginfo of faults. Rules S-46, S-50 … S-52
//! of docs/linux-semantics.md. The entry and the registers are looked at in assembly, before any
//! compiled code touches them.

use guests::process::{fork_check, getpid, gettid, kill, wait, wait_ok};
use guests::signal::{self, Handler, handle_with, set};
use guests::sys::{self, map, pipe, set_limit, write};
use guests::{Check, ensure, same};
use libc::{SIGBUS, SIGFPE, SIGILL, SIGPIPE, SIGSEGV, SIGTRAP, SIGUSR1};
use libc::{c_int, c_void, siginfo_t, ucontext_t};
use std::arch::{asm, global_asm};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

guests::cases! {
    handler_is_entered_as_the_abi_says,
    frame_carries_the_extended_state,
    vector_registers_survive_a_handler,
    handler_may_change_registers,
    return_drops_kill_and_stop_from_the_mask,
    return_with_a_broken_frame_faults,
    read_of_nothing_is_maperr,
    write_to_a_read_only_page_is_accerr,
    division_by_zero_is_intdiv,
    invalid_opcode_is_illopn,
    breakpoint_is_from_the_kernel,
    privileged_instruction_is_from_the_kernel,
    access_beyond_a_mapped_file_is_adrerr,
    sigpipe_is_from_oneself,
}

// Writes down rsp, rdi, rsi, rdx, rax and the flags at the handler's first instruction.
global_asm!(
    ".globl guest_entry",
    "guest_entry:",
    "mov [rip + guest_seen], rsp",
    "mov [rip + guest_seen + 8], rdi",
    "mov [rip + guest_seen + 16], rsi",
    "mov [rip + guest_seen + 24], rdx",
    "mov [rip + guest_seen + 32], rax",
    "pushfq",
    "pop qword ptr [rip + guest_seen + 40]",
    "ret",
    ".bss",
    ".balign 8",
    ".globl guest_seen",
    "guest_seen: .skip 48",
    ".text",
);

unsafe extern "C" {
    fn guest_entry();
    static guest_seen: [u64; 6];
}

fn seen() -> [u64; 6] {
    // SAFETY: written by guest_entry only, which has returned.
    unsafe { std::ptr::read_volatile(&raw const guest_seen) }
}

fn raw_handler() -> Handler {
    // SAFETY: the entry is called by the kernel with the arguments of a handler.
    unsafe { std::mem::transmute::<unsafe extern "C" fn(), Handler>(guest_entry) }
}

/// S-50.
fn handler_is_entered_as_the_abi_says() -> Check {
    handle_with(SIGUSR1, raw_handler(), 0, set(&[]))?;
    // SAFETY: raises SIGUSR1 for this thread with the direction flag set, and clears it again.
    unsafe {
        asm!("std", "syscall", "cld",
            in("rax") libc::SYS_tgkill, in("rdi") getpid(), in("rsi") gettid(),
            in("rdx") SIGUSR1, lateout("rax") _, out("rcx") _, out("r11") _);
    }
    let [rsp, rdi, rsi, rdx, rax, flags] = seen();
    same!((rsp + 8) % 16, 0, "(rsp + 8) % 16");
    same!((rdi, rax), (SIGUSR1 as u64, 0), "rdi and rax");
    same!((rdx - rsp, rsi - rsp), (8, 312), "the places of ucontext and siginfo in the frame");
    same!(flags & 0x10500, 0, "RF, DF and TF");
    Ok(())
}

static WORDS: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];

extern "C" fn note_extended_state(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the third argument is the ucontext, whose fpregs point to the saved state.
    let words = unsafe {
        let context = &*context.cast::<ucontext_t>();
        let state = context.uc_mcontext.fpregs as *const u8;
        let word = |offset: usize| u64::from(state.add(offset).cast::<u32>().read());
        let extended = word(468);
        [
            state as u64 % 64,
            word(464),
            extended,
            state.add(extended as usize - 4).cast::<u32>().read().into(),
            word(480),
            context.uc_flags,
        ]
    };
    for (slot, word) in WORDS.iter().zip(words) {
        slot.store(word, Ordering::SeqCst);
    }
}

/// S-51.
fn frame_carries_the_extended_state() -> Check {
    handle_with(SIGUSR1, note_extended_state, 0, set(&[]))?;
    kill(getpid(), SIGUSR1)?;
    let [align, first, extended, second, size, flags] =
        WORDS.each_ref().map(|word| word.load(Ordering::SeqCst));
    same!(align, 0, "the address of fpstate, modulo 64");
    same!((first, second), (0x4650_5853, 0x4650_5845), "the two magic words");
    same!(extended, size + 4, "extended_size");
    same!(flags, 7, "uc_flags");
    Ok(())
}

extern "C" fn spoil_vectors(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: xmm8 belongs to the handler.
    unsafe { asm!("pcmpeqd xmm8, xmm8", out("xmm8") _) };
}

/// S-52: the CPU's extended state is restored.
fn vector_registers_survive_a_handler() -> Check {
    handle_with(SIGUSR1, spoil_vectors, 0, set(&[]))?;
    let after: u64;
    // SAFETY: raises SIGUSR1 for this thread while xmm8 holds a value.
    unsafe {
        asm!("movq xmm8, r12", "syscall", "movq r12, xmm8",
            inlateout("r12") 0x1122_3344_5566_7788_u64 => after, out("xmm8") _,
            in("rax") libc::SYS_tgkill, in("rdi") getpid(), in("rsi") gettid(),
            in("rdx") SIGUSR1, lateout("rax") _, out("rcx") _, out("r11") _);
    }
    same!(after, 0x1122_3344_5566_7788, "xmm8 after the handler");
    Ok(())
}

extern "C" fn change_r12(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the third argument is the ucontext.
    unsafe {
        let registers = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
        registers[libc::REG_R12 as usize] += 1;
        registers[libc::REG_RAX as usize] = 4711;
    }
}

/// S-52: what is in the frame is what returns, the call's result too.
fn handler_may_change_registers() -> Check {
    handle_with(SIGUSR1, change_r12, 0, set(&[]))?;
    let (r12, rax): (u64, u64);
    // SAFETY: raises SIGUSR1 for this thread.
    unsafe {
        asm!("syscall", inlateout("r12") 41_u64 => r12,
            inlateout("rax") libc::SYS_tgkill => rax, in("rdi") getpid(), in("rsi") gettid(),
            in("rdx") SIGUSR1, out("rcx") _, out("r11") _);
    }
    same!((r12, rax), (42, 4711), "r12 and rax after the handler");
    Ok(())
}

extern "C" fn block_everything_on_return(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the third argument is the ucontext; its mask has at least eight bytes.
    unsafe {
        let mask = &raw mut (*context.cast::<ucontext_t>()).uc_sigmask;
        mask.cast::<u64>().write(!0);
    }
}

/// S-32, S-52.
fn return_drops_kill_and_stop_from_the_mask() -> Check {
    handle_with(SIGUSR1, block_everything_on_return, 0, set(&[]))?;
    kill(getpid(), SIGUSR1)?;
    let mask = signal::mask();
    ensure!(!mask.contains(&9) && !mask.contains(&19), "the mask has KILL or STOP");
    same!(mask.len(), 62, "how many signals are blocked");
    Ok(())
}

/// S-52.
fn return_with_a_broken_frame_faults() -> Check {
    set_limit(libc::RLIMIT_CORE, 0)?;
    let child = fork_check(|| {
        // SAFETY: never returns: the stack pointer is nowhere.
        unsafe { asm!("mov rsp, 4096", "mov eax, 15", "syscall", options(noreturn)) };
    })?;
    same!(wait(child)?, SIGSEGV, "the status");
    Ok(())
}

/// Compares the fault with what is expected and leaves: returning would fault again.
extern "C" fn leave(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let expected = EXPECTED.each_ref().map(|it| it.load(Ordering::SeqCst));
    // SAFETY: a valid siginfo.
    let (code, address) = unsafe { ((*info).si_code as usize, (*info).si_addr() as usize) };
    let right = expected[0] == code && [ANY, address].contains(&expected[1]);
    if !right {
        let text = format!("si_code {code:#x} and si_addr {address:#x}, expected {expected:#x?}\n");
        let _ = write(2, text.as_bytes());
    }
    // SAFETY: ends the process.
    unsafe { libc::_exit(i32::from(!right)) }
}

const ANY: usize = usize::MAX;
static EXPECTED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Runs `fault` in a child and expects this signal with this code and address.
fn faulting(number: i32, code: i32, address: usize, fault: impl FnOnce()) -> Check {
    set_limit(libc::RLIMIT_CORE, 0)?;
    let child = fork_check(|| {
        EXPECTED[0].store(code as usize, Ordering::SeqCst);
        EXPECTED[1].store(address, Ordering::SeqCst);
        handle_with(number, leave, 0, set(&[]))?;
        fault();
        Err("no fault came".into())
    })?;
    wait_ok(child)
}

fn peek(address: usize) {
    // SAFETY: it is not, on purpose.
    unsafe { std::ptr::read_volatile(std::ptr::without_provenance::<u8>(address)) };
}

/// S-46.
fn read_of_nothing_is_maperr() -> Check {
    faulting(SIGSEGV, 1, 0x28, || peek(0x28))
}

/// S-46.
fn write_to_a_read_only_page_is_accerr() -> Check {
    let page = map(4096, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)?;
    peek(page);
    // SAFETY: it is not, on purpose.
    faulting(SIGSEGV, 2, page + 8, || unsafe { ((page + 8) as *mut u8).write_volatile(1) })
}

/// S-46.
fn division_by_zero_is_intdiv() -> Check {
    faulting(SIGFPE, 1, ANY, || {
        // SAFETY: faults.
        unsafe { asm!("xor ecx, ecx", "div ecx", out("rcx") _, out("rax") _, out("rdx") _) }
    })
}

/// S-46.
fn invalid_opcode_is_illopn() -> Check {
    // SAFETY: faults.
    faulting(SIGILL, 2, ANY, || unsafe { asm!("ud2") })
}

/// S-46: int3 is reported as SI_KERNEL.
fn breakpoint_is_from_the_kernel() -> Check {
    // SAFETY: traps.
    faulting(SIGTRAP, 0x80, 0, || unsafe { asm!("int3") })
}

/// S-46.
fn privileged_instruction_is_from_the_kernel() -> Check {
    // SAFETY: faults.
    faulting(SIGSEGV, 0x80, 0, || unsafe { asm!("hlt") })
}

/// S-46.
fn access_beyond_a_mapped_file_is_adrerr() -> Check {
    let path = sys::scratch()?.join("short");
    let fd = sys::open(&path, libc::O_RDWR | libc::O_CREAT, 0o600)?;
    write(fd, b"x")?;
    let at = map(8192, libc::PROT_READ, libc::MAP_SHARED, fd, 0)?;
    peek(at + 4095);
    let result = faulting(SIGBUS, 2, at + 4096, || peek(at + 4096));
    let _ = std::fs::remove_file(&path);
    result
}

/// S-46.
fn sigpipe_is_from_oneself() -> Check {
    signal::handle(SIGPIPE, 0)?;
    let (reader, writer) = pipe()?;
    sys::close(reader)?;
    guests::fails!(write(writer, b"x"), libc::EPIPE);
    let seen = signal::logged();
    same!(seen.len(), 1, "deliveries");
    same!((seen[0].code, seen[0].pid, seen[0].tid), (0, getpid(), gettid()), "code, pid, thread");
    Ok(())
}
