//! Guests that don't trap: spinning ones give up the CPU at a place that is the same in every run,
//! computing ones are shown from time to time and go on.

mod common;
use common::*;
use kernel::platform::{GuestId, Platform, Registers, Trap, UserMemory, UserPtr};
use std::time::Duration;

/// A platform that looks soon.
fn impatient() -> Ptrace {
    let config = Config { patience: Duration::from_millis(2), ..Config::default() };
    Ptrace::new(config).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs code with `word` at [`DATA`] to its first trap.
fn run(code: &[u8], word: u64) -> (Trap, Registers) {
    let mut p = impatient();
    let (guest, mut regs) = start(&mut p, code);
    write_word(&mut p, guest, DATA, word);
    let trap = to_trap(&mut p, guest, &mut regs);
    (trap, regs)
}

/// Runs to the next trap, however long it computes.
fn to_trap(p: &mut Ptrace, guest: GuestId, regs: &mut Registers) -> Trap {
    let mut last = Duration::ZERO;
    loop {
        match p.run(guest, regs) {
            Trap::Computing { spent } => {
                assert!(spent >= last, "time goes back");
                last = spent;
            }
            trap => return trap,
        }
    }
}

#[test]
fn waiting_for_a_flag_is_spinning() {
    // nop; pause; mov eax, [DATA]; test eax, eax; jz to pause; syscall
    let code = [0x90, 0xf3, 0x90, 0x8b, 0x04, 0x25, 0, 0, 0x60, 0, 0x85, 0xc0, 0x74, 0xf3, 0x0f, 5];
    let mut p = impatient();
    let (guest, mut regs) = start(&mut p, &code);
    for _ in 0..3 {
        assert_eq!(p.run(guest, &mut regs), Trap::Spin);
        assert_eq!((regs.rip, regs.rax, regs.orig_rax), (CODE + 1, 0, u64::MAX));
    }
    write_word(&mut p, guest, DATA, 9);
    assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
    assert_eq!(regs.orig_rax, 9);
}

/// Found at the usual pace these would take five times the limit, and mostly take a tenth of it.
#[test]
fn who_spun_lately_is_found_sooner() {
    // pause; mov eax, [DATA]; test eax, eax; jz to pause; syscall; jmp to pause
    let code =
        [0xf3, 0x90, 0x8b, 0x04, 0x25, 0, 0, 0x60, 0, 0x85, 0xc0, 0x74, 0xf3, 0x0f, 5, 0xeb, 0xef];
    let config = Config { patience: Duration::from_millis(200), ..Config::default() };
    let mut p = Ptrace::new(config).unwrap_or_else(|error| panic!("{error}"));
    let (guest, mut regs) = start(&mut p, &code);
    let began = std::time::Instant::now();
    for _ in 0..50 {
        write_word(&mut p, guest, DATA, 0);
        assert_eq!(p.run(guest, &mut regs), Trap::Spin);
        write_word(&mut p, guest, DATA, 9);
        assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn taking_a_held_lock_again_and_again_is_spinning() {
    // mov eax, 1; xchg [DATA], eax; test eax, eax; jnz to mov
    let code = [0xb8, 1, 0, 0, 0, 0x87, 0x04, 0x25, 0, 0, 0x60, 0, 0x85, 0xc0, 0x75, 0xf0, 0x0f, 5];
    assert_eq!(run(&code, 1).0, Trap::Spin);
    assert_eq!(run(&code, 0).0, Trap::Syscall);
}

#[test]
fn a_cycle_with_a_cycle_in_it_ends_at_its_lowest_state() {
    // mov ecx, 40; dec ecx; jnz to dec; call the ret; jmp to the first; ret
    let code = [0xb9, 40, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xe8, 2, 0, 0, 0, 0xeb, 0xf0, 0xc3];
    let (trap, first) = run(&code, 0);
    assert_eq!((trap, first.rip, first.rcx), (Trap::Spin, CODE, 0));
    for _ in 0..5 {
        assert_eq!(run(&code, 0), (Trap::Spin, first));
    }
}

#[test]
fn what_is_written_and_written_back_is_spinning() {
    // inc dword [DATA]; nop; dec dword [DATA]; jmp back: references taken and dropped.
    let up_and_down =
        [0xff, 0x04, 0x25, 0, 0, 0x60, 0, 0x90, 0xff, 0x0c, 0x25, 0, 0, 0x60, 0, 0xeb, 0xef];
    assert_eq!(run(&up_and_down, 7).0, Trap::Spin);
    // not dword [DATA]; nop; jmp back: the same registers with either memory; it is 0 at the end.
    let both = [0xf7, 0x14, 0x25, 0, 0, 0x60, 0, 0x90, 0xeb, 0xf6];
    for word in [0, 0xffff_ffff, 0, 0xffff_ffff] {
        let mut p = impatient();
        let (guest, mut regs) = start(&mut p, &both);
        write_word(&mut p, guest, DATA, word);
        assert_eq!(to_trap(&mut p, guest, &mut regs), Trap::Spin);
        let mut bytes = [0; 8];
        p.read_user(guest, UserPtr(DATA), &mut bytes);
        assert_eq!((regs.rip, u64::from_le_bytes(bytes)), (CODE, 0));
    }
}

#[test]
fn computing_is_not_spinning() {
    // mov ecx, 300_000_000; dec ecx; jnz back; syscall
    let count = 300_000_000u32.to_le_bytes();
    let mut code = vec![0xb9];
    code.extend(count);
    code.extend([0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x05]);
    assert_eq!(run(&code, 0).0, Trap::Syscall);
    // In memory: inc dword [DATA]; cmp dword [DATA], count; jne back; syscall
    let mut code = vec![0xff, 0x04, 0x25, 0, 0, 0x60, 0, 0x81, 0x3c, 0x25, 0, 0, 0x60, 0];
    code.extend(30_000_000u32.to_le_bytes());
    code.extend([0x75, 0xec, 0x0f, 0x05]);
    assert_eq!(run(&code, 0).0, Trap::Syscall);
    // In xmm0, all other registers standing still:
    // mov eax, 1; cvtsi2sd xmm1, eax; mov eax, 30_000_000; cvtsi2sd xmm2, eax;
    // addsd xmm0, xmm1; ucomisd xmm0, xmm2; jb back; syscall
    let mut code = vec![0xb8, 1, 0, 0, 0, 0xf2, 0x0f, 0x2a, 0xc8, 0xb8];
    code.extend(30_000_000u32.to_le_bytes());
    code.extend([0xf2, 0x0f, 0x2a, 0xd0]);
    code.extend([0xf2, 0x0f, 0x58, 0xc1, 0x66, 0x0f, 0x2e, 0xc2, 0x72, 0xf6, 0x0f, 0x05]);
    assert_eq!(run(&code, 0).0, Trap::Syscall);
}

#[test]
fn who_computes_is_shown_with_its_time() {
    let mut p = impatient();
    // inc rax; jmp back
    let (guest, mut regs) = start(&mut p, &[0x48, 0xff, 0xc0, 0xeb, 0xfb]);
    let (mut last, mut rax) = (Duration::ZERO, 0);
    while last < Duration::from_millis(20) {
        let trap = p.run(guest, &mut regs);
        let Trap::Computing { spent } = trap else { panic!("{trap:?}") };
        assert!(spent >= last && regs.rax >= rax && regs.orig_rax == u64::MAX);
        (last, rax) = (spent, regs.rax);
    }
    // Another guest's time is its own.
    let (other, mut others) = start(&mut p, &[0x48, 0xff, 0xc0, 0xeb, 0xfb]);
    let trap = p.run(other, &mut others);
    let Trap::Computing { spent } = trap else { panic!("{trap:?}") };
    assert!(spent < last, "{spent:?}");
}

#[test]
fn two_platforms_share_a_thread() {
    let (mut one, mut two) = (impatient(), impatient());
    let code = [0x90, 0xeb, 0xfd]; // nop; jmp back
    for p in [&mut one, &mut two] {
        let (guest, mut regs) = start(p, &code);
        assert_eq!(p.run(guest, &mut regs), Trap::Spin);
        assert_eq!(regs.rip, CODE);
    }
    drop(one);
    let (guest, mut regs) = start(&mut two, &code);
    assert_eq!(two.run(guest, &mut regs), Trap::Spin);
}
