//! User code until it traps: system calls through every door, and what each fault reports.
//! The programs are bytes written by hand; nothing needs to be installed.

mod common;
use common::*;
use kernel::platform::{Fault, MapChange, Platform, Registers, Trap};

const ENOSYS: u64 = (-38i64) as u64;

fn fault(signo: u8, code: i32, addr: u64, trapno: u64, error: u64) -> Trap {
    Trap::Fault(Fault { signo, code, addr, trapno, error })
}

#[test]
fn a_system_call_traps_at_its_entry() {
    // mov eax, 110 (getppid); mov edi, 7; syscall; jmp back to the first
    let code = [0xb8, 110, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf2];
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, &code);
    for round in 0..3 {
        assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
        assert_eq!((regs.orig_rax, regs.rdi, regs.rax, regs.rip), (110, 7, ENOSYS, CODE + 12));
        regs.rax = round;
    }
}

#[test]
fn registers_are_what_was_given() {
    let given = Registers {
        r15: 15,
        rbx: 0xdead_beef_0000_0001,
        fs_base: DATA,
        gs_base: DATA + 8,
        eflags: 0x203, // carry
        ..registers()
    };
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, &SYSCALL);
    regs = Registers { rip: regs.rip, ..given };
    assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
    assert_eq!((regs.r15, regs.rbx, regs.fs_base, regs.gs_base), (15, given.rbx, DATA, DATA + 8));
    assert_eq!(regs.eflags & 1, 1);
}

#[test]
fn a_fresh_guest_has_no_mapping_that_could_be_read() {
    let mut p = platform();
    let guest = p.spawn().expect("spawn");
    let pid = p.native_pids()[0];
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
    let maps: Vec<&str> = maps.lines().filter(|line| !line.contains("[vsyscall]")).collect();
    assert_eq!(maps.len(), 1, "{maps:?}");
    assert!(maps[0].starts_with("7ffff0000000-7ffff0001000 r-xs"), "{maps:?}");
    let mut regs = registers();
    // The fetch of the first instruction faults: user, instruction.
    assert_eq!(p.run(guest, &mut regs), fault(11, 1, CODE, 14, 4 | 16));
}

#[test]
fn faults_report_what_linux_reports() {
    let jump_bad: [u8; 13] = // mov rax, 0x8000_0000_0000_0000; mov [rax], eax; nop
        [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x89, 0x00, 0x90];
    let cases: [(&str, &[u8], Trap); 12] = [
        ("mov eax, [0]", &[0x8b, 0x04, 0x25, 0, 0, 0, 0], fault(11, 1, 0, 14, 4)),
        ("mov [0], eax", &[0x89, 0x04, 0x25, 0, 0, 0, 0], fault(11, 1, 0, 14, 6)),
        ("mov [CODE], eax", &[0x89, 0x04, 0x25, 0, 0, 0x40, 0], fault(11, 2, CODE, 14, 7)),
        ("write to a non-canonical address", &jump_bad, fault(11, 0x80, 0, 13, 0)),
        ("hlt", &[0xf4], fault(11, 0x80, 0, 13, 0)),
        ("int 0x2e", &[0xcd, 0x2e], fault(11, 0x80, 0, 13, 0x2e << 3 | 2)),
        ("xor ecx, ecx; div ecx", &[0x31, 0xc9, 0xf7, 0xf1], fault(8, 1, CODE + 2, 0, 0)),
        ("ud2", &[0x0f, 0x0b], fault(4, 2, CODE, 6, 0)),
        ("int3", &[0xcc], fault(5, 0x80, 0, 3, 0)),
        ("jump to data", &[0xff, 0x24, 0x25, 0, 0, 0x60, 0], fault(11, 1, 0, 14, 4 | 16)),
        // fldcw with all exceptions unmasked, then 0/0: [rsp-8] = 0x340
        (
            "push 0x340; fldcw [rsp]; fldz; fldz; fdivp; fwait",
            &[0x68, 0x40, 3, 0, 0, 0xd9, 0x2c, 0x24, 0xd9, 0xee, 0xd9, 0xee, 0xde, 0xf9, 0x9b],
            fault(8, 7, CODE + 14, 16, 0),
        ),
        // push 0x1f00; ldmxcsr [rsp]; xorps xmm0, xmm0; divps xmm0, xmm0
        (
            "divps unmasked",
            &[0x68, 0, 0x1f, 0, 0, 0x0f, 0xae, 0x14, 0x24, 0x0f, 0x57, 0xc0, 0x0f, 0x5e, 0xc0],
            fault(8, 7, CODE + 12, 19, 0),
        ),
    ];
    for (name, code, want) in cases {
        let (trap, regs) = first_trap(code);
        assert_eq!(trap, want, "{name}, rip {:#x}", regs.rip);
        assert_eq!(regs.orig_rax, u64::MAX, "{name}");
    }
    // int3 leaves rip behind it; the others on the instruction.
    assert_eq!(first_trap(&[0xcc]).1.rip, CODE + 1);
    assert_eq!(first_trap(&[0xf4]).1.rip, CODE);
}

#[test]
fn a_guest_goes_on_after_a_fault() {
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, &[0x0f, 0x0b, 0x0f, 0x05]); // ud2; syscall
    assert_eq!(p.run(guest, &mut regs), fault(4, 2, CODE, 6, 0));
    regs.rip += 2;
    regs.rax = 39;
    assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
    assert_eq!(regs.orig_rax, 39);
}

#[test]
fn the_trap_flag_is_a_fault_of_its_own() {
    // pushfq; or dword [rsp], 0x100; popfq; nop; nop
    let code = [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90];
    let (trap, regs) = first_trap(&code);
    let Trap::Fault(fault) = trap else { panic!("{trap:?}") };
    assert_eq!((fault.signo, fault.code, fault.trapno), (5, 2, 1));
    assert_eq!((regs.rip, regs.eflags & 0x100), (CODE + 10, 0x100));
}

#[test]
fn the_time_stamp_counter_traps() {
    assert_eq!(first_trap(&[0x0f, 0x31]).0, Trap::Tsc { length: 2 });
    assert_eq!(first_trap(&[0x0f, 0x01, 0xf9]).0, Trap::Tsc { length: 3 });
}

#[test]
fn other_doors_are_seen() {
    // mov eax, 20; int 0x80
    let (trap, regs) = first_trap(&[0xb8, 20, 0, 0, 0, 0xcd, 0x80]);
    assert_eq!(trap, Trap::ForeignSyscall { door: "int 0x80", number: 20 });
    assert_eq!(regs.rax, ENOSYS);
    // mov eax, 0x40000027; syscall
    let (trap, _) = first_trap(&[0xb8, 0x27, 0, 0, 0x40, 0x0f, 0x05]);
    assert_eq!(trap, Trap::ForeignSyscall { door: "x32", number: 0x4000_0027 });
    // A 32-bit code segment: push 0x23; push 0x400010 …; retfq to `syscall` at CODE+16
    let mut code = vec![0x6a, 0x23, 0x68, 16, 0, 0x40, 0, 0x48, 0xcb];
    code.resize(16, 0x90);
    code.extend([0xb8, 20, 0, 0, 0, 0xcd, 0x80]);
    let (trap, regs) = first_trap(&code);
    assert_eq!(trap, Trap::ForeignSyscall { door: "int 0x80", number: 20 });
    assert_eq!(regs.cs, 0x23);
}

#[test]
fn the_vsyscall_page_is_a_door_too() {
    // mov rax, 0xffffffffff600400 (time); call rax; syscall
    let code = [0x48, 0xc7, 0xc0, 0, 4, 0x60, 0xff, 0xff, 0xd0, 0x0f, 0x05];
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, &code);
    let trap = p.run(guest, &mut regs);
    assert_eq!(trap, Trap::ForeignSyscall { door: "vsyscall", number: 201 });
    // Behind the call, as at the other doors.
    assert_eq!((regs.rip, regs.rsp, regs.rax), (CODE + 9, STACK_TOP, ENOSYS));
    regs.rax = 12345;
    assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
    assert_eq!(regs.orig_rax, 12345);
}

#[test]
fn the_gadget_page_is_no_way_out() {
    // Jump to the stub's syscall (offset 39) with getpid: it traps like any other.
    let code = [0xb8, 39, 0, 0, 0, 0x48, 0xb9, 39, 0, 0, 0xf0, 0xff, 0x7f, 0, 0, 0xff, 0xe1];
    let (trap, regs) = first_trap(&code);
    assert_eq!((trap, regs.orig_rax), (Trap::Syscall, 39));
    // It cannot be written: mov [rcx], eax
    let code = [0x48, 0xb9, 0, 0, 0, 0xf0, 0xff, 0x7f, 0, 0, 0x89, 0x01];
    assert_eq!(first_trap(&code).0, fault(11, 2, 0x7fff_f000_0000, 14, 7));
}

#[test]
fn registers_that_the_cpu_cannot_hold_are_a_protection_fault() {
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, &SYSCALL);
    regs.cs = 0;
    assert_eq!(p.run(guest, &mut regs), fault(11, 0x80, 0, 13, 0));
    regs.cs = 0x33;
    assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
}

/// Somebody outside sends the first guest a signal (by the shell's builtin: it is everywhere).
fn kill(p: &Ptrace, signal: i32) {
    let command = format!("kill -{signal} {}", p.native_pids()[0]);
    let status = std::process::Command::new("sh").args(["-c", &command]).status();
    assert!(status.expect("sh").success(), "{command}");
}

#[test]
fn signals_from_outside_never_reach_a_guest() {
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, &[0x0f, 0x05, 0xeb, 0xfc]); // syscall; jmp back
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGSEGV, libc::SIGSTOP, libc::SIGWINCH] {
        kill(&p, signal);
        assert_eq!(p.run(guest, &mut regs), Trap::Syscall, "{signal}");
        // … nor an injection.
        let discard = MapChange::Discard { start: DATA, len: PAGE };
        assert_eq!(p.change_map(guest, &[discard]), Ok(()));
    }
}

#[test]
fn a_guest_killed_from_outside_is_gone() {
    let mut p = platform();
    let (guest, mut regs) = start(&mut p, &SYSCALL);
    kill(&p, libc::SIGKILL);
    assert_eq!(p.run(guest, &mut regs), Trap::Gone);
    assert_eq!(p.run(guest, &mut regs), Trap::Gone);
    assert!(p.fork(guest, false).is_err());
    assert!(p.change_map(guest, &[map(DATA, PAGE, READ)]).is_err());
    assert_eq!(p.xstate(guest), Vec::<u8>::new());
    p.release(guest);
}
