//! Address spaces and extended registers: copies are isolated, sharers share, mappings of files and
//! objects are what they say, copies to and from a guest stop at the first hole.

mod common;
use common::*;
use kernel::abi::Errno;
use kernel::platform::{Backing, GuestId, LowerFiles, MapChange, Platform, Registers, Trap};
use kernel::platform::{UserMemory, UserPtr};

/// mov [DATA], rbx; mov rcx, [DATA + 8]; syscall; jmp back
const STORE_AND_LOAD: [u8; 20] = [
    0x48, 0x89, 0x1c, 0x25, 0, 0, 0x60, 0, 0x48, 0x8b, 0x34, 0x25, 8, 0, 0x60, 0, 0x0f, 0x05, 0xeb,
    0xec,
];

fn run_with(p: &mut Ptrace, guest: GuestId, rbx: u64) -> u64 {
    let mut regs = Registers { rbx, ..registers() };
    assert_eq!(p.run(guest, &mut regs), Trap::Syscall);
    regs.rsi
}

fn object(start: u64, len: u64, id: kernel::platform::ObjectId, shared: bool) -> MapChange {
    let backing = Backing::Object { id, offset: 0, shared };
    MapChange::Map { start, len, prot: READ | WRITE, backing }
}

#[test]
fn a_guest_and_the_kernel_see_the_same_memory() {
    let mut p = platform();
    let (guest, _) = start(&mut p, &STORE_AND_LOAD);
    write_word(&mut p, guest, DATA + 8, 99);
    assert_eq!(run_with(&mut p, guest, 7), 99);
    assert_eq!(read_word(&mut p, guest, DATA), 7);
}

#[test]
fn a_fork_is_a_copy() {
    let mut p = platform();
    let (parent, _) = start(&mut p, &STORE_AND_LOAD);
    run_with(&mut p, parent, 1);
    let child = p.fork(parent, false).expect("fork");
    run_with(&mut p, child, 2);
    assert_eq!((read_word(&mut p, parent, DATA), read_word(&mut p, child, DATA)), (1, 2));
    p.release(parent);
    assert_eq!(run_with(&mut p, child, 3), 0);
}

#[test]
fn threads_share_their_memory() {
    let mut p = platform();
    let (first, _) = start(&mut p, &STORE_AND_LOAD);
    let second = p.fork(first, true).expect("fork");
    run_with(&mut p, second, 5);
    assert_eq!(read_word(&mut p, first, DATA), 5);
    // A change by one is seen by the other, and outlives the one.
    p.change_map(second, &[map(DATA + PAGE, PAGE, READ | WRITE)]).expect("map");
    write_word(&mut p, second, DATA + PAGE, 8);
    p.release(second);
    assert_eq!(read_word(&mut p, first, DATA + PAGE), 8);
    assert_eq!(run_with(&mut p, first, 9), 0);
}

#[test]
fn copies_stop_at_the_first_hole_and_honour_protections() {
    let mut p = platform();
    let (guest, _) = start(&mut p, &SYSCALL);
    let mut bytes = [0; 8192];
    assert_eq!(p.read_user(guest, UserPtr(DATA), &mut bytes), 4096);
    assert_eq!(p.write_user(guest, UserPtr(DATA + 4000), &bytes), 96);
    assert_eq!(p.write_user(guest, UserPtr(CODE), &[1]), 0);
    assert_eq!(p.read_user(guest, UserPtr(0), &mut bytes), 0);
    assert_eq!(p.read_user(guest, UserPtr(u64::MAX), &mut bytes), 0);
    // What can be executed or written can be read on x86; PROT_NONE cannot.
    for (prot, readable) in [(EXEC, 4096), (WRITE, 4096), (0, 0)] {
        p.change_map(guest, &[MapChange::Protect { start: DATA, len: PAGE, prot }])
            .expect("mprotect");
        assert_eq!(p.read_user(guest, UserPtr(DATA), &mut bytes[..4096]), readable, "{prot}");
    }
}

#[test]
fn a_lower_file_is_mapped_privately() {
    let mut p = platform();
    let path = file("lower.txt", &[b'x'; 5000]);
    let (one, _) = start(&mut p, &SYSCALL);
    let (two, _) = start(&mut p, &SYSCALL);
    let backing = Backing::Lower { path: path.clone(), offset: 4096 };
    let change = MapChange::Map { start: DATA, len: PAGE, prot: READ | WRITE, backing };
    for guest in [one, two] {
        p.change_map(guest, std::slice::from_ref(&change)).expect("map");
    }
    let xs = u64::from_ne_bytes([b'x'; 8]);
    write_word(&mut p, one, DATA, 1);
    assert_eq!((read_word(&mut p, one, DATA), read_word(&mut p, two, DATA)), (1, xs));
    assert_eq!(read_word(&mut p, two, DATA + 904), 0, "zeroes behind the file's end");
    let mut bytes = [0; 8];
    assert_eq!(p.lower_read(&path, 4096, &mut bytes), Ok(8));
    assert_eq!(bytes, [b'x'; 8]);
    // Discarded, the page is the file's again.
    p.change_map(one, &[MapChange::Discard { start: DATA, len: PAGE }]).expect("madvise");
    assert_eq!(read_word(&mut p, one, DATA), xs);
}

#[test]
fn an_object_is_shared_or_copied_as_it_is_mapped() {
    let mut p = platform();
    let (one, _) = start(&mut p, &STORE_AND_LOAD);
    let (two, _) = start(&mut p, &STORE_AND_LOAD);
    let (three, _) = start(&mut p, &STORE_AND_LOAD);
    let id = p.object_create(PAGE).expect("object");
    p.object_write(id, 0, &4u64.to_ne_bytes());
    p.change_map(one, &[object(DATA, PAGE, id, true)]).expect("map");
    p.change_map(two, &[object(DATA, PAGE, id, true)]).expect("map");
    p.change_map(three, &[object(DATA, PAGE, id, false)]).expect("map");
    assert_eq!(read_word(&mut p, two, DATA), 4);
    run_with(&mut p, one, 77);
    assert_eq!(read_word(&mut p, two, DATA), 77);
    assert_eq!(read_word(&mut p, three, DATA), 77, "not copied before it is written");
    run_with(&mut p, three, 5);
    let mut bytes = [0; 8];
    assert_eq!(p.object_read(id, 0, &mut bytes), 8);
    assert_eq!(u64::from_ne_bytes(bytes), 77);
    assert_eq!(p.object_read(id, PAGE - 4, &mut bytes), 4, "short at its end");
    // Beyond the end of the object: SIGBUS, and the kernel's copies see a hole.
    p.object_resize(id, 0).expect("resize");
    assert_eq!(p.read_user(two, UserPtr(DATA), &mut bytes), 0);
    let Trap::Fault(fault) = p.run(two, &mut registers()) else { panic!("no fault") };
    assert_eq!((fault.signo, fault.code, fault.addr, fault.trapno), (7, 2, DATA, 14));
    // Released, it lives on in its mappings.
    p.object_resize(id, PAGE).expect("resize");
    p.object_release(id);
    run_with(&mut p, one, 78);
    assert_eq!(read_word(&mut p, two, DATA), 78);
}

#[test]
fn moves_take_their_bytes_along() {
    let mut p = platform();
    let (guest, _) = start(&mut p, &SYSCALL);
    write_word(&mut p, guest, DATA, 11);
    let elsewhere = DATA + 64 * PAGE;
    let step = |from, old_len, to, new_len| MapChange::Move { from, old_len, to, new_len };
    p.change_map(guest, &[step(DATA, PAGE, elsewhere, 3 * PAGE)]).expect("move and grow");
    assert_eq!(p.read_user(guest, UserPtr(DATA), &mut [0]), 0);
    assert_eq!(read_word(&mut p, guest, elsewhere), 11);
    write_word(&mut p, guest, elsewhere + 2 * PAGE, 12);
    p.change_map(guest, &[step(elsewhere, 3 * PAGE, elsewhere, 8 * PAGE)]).expect("grow");
    write_word(&mut p, guest, elsewhere + 7 * PAGE, 13);
    p.change_map(guest, &[step(elsewhere, 8 * PAGE, elsewhere, PAGE)]).expect("shrink");
    assert_eq!(read_word(&mut p, guest, elsewhere), 11);
    assert_eq!(p.read_user(guest, UserPtr(elsewhere + PAGE), &mut [0]), 0);
    p.change_map(guest, &[step(elsewhere, PAGE, DATA, PAGE)]).expect("move back");
    assert_eq!(read_word(&mut p, guest, DATA), 11);
}

#[test]
fn an_error_names_the_change_that_failed() {
    let mut p = platform();
    let (guest, _) = start(&mut p, &SYSCALL);
    let hole = DATA + 64 * PAGE;
    let changes = [
        map(DATA + PAGE, PAGE, READ),
        MapChange::Protect { start: hole, len: PAGE, prot: READ },
        map(DATA + 2 * PAGE, PAGE, READ),
    ];
    assert_eq!(p.change_map(guest, &changes), Err((1, Errno::ENOMEM)));
    assert_eq!(p.read_user(guest, UserPtr(DATA + PAGE), &mut [0]), 1);
    assert_eq!(p.read_user(guest, UserPtr(DATA + 2 * PAGE), &mut [0]), 0);
    let missing = Backing::Lower { path: b"/no/such".to_vec(), offset: 0 };
    let missing = MapChange::Map { start: hole, len: PAGE, prot: READ, backing: missing };
    let changes = [map(DATA + 2 * PAGE, PAGE, READ), missing];
    assert_eq!(p.change_map(guest, &changes), Err((1, Errno::ENOENT)));
    assert_eq!(p.read_user(guest, UserPtr(DATA + 2 * PAGE), &mut [0]), 1);
}

#[test]
fn hundreds_of_changes_go_in_one_call() {
    let mut p = platform();
    let (guest, _) = start(&mut p, &SYSCALL);
    let at = |i: u64| DATA + i * 2 * PAGE;
    let mut changes: Vec<MapChange> = (1..=200).map(|i| map(at(i), PAGE, READ)).collect();
    p.change_map(guest, &changes).expect("map");
    assert_eq!(p.read_user(guest, UserPtr(at(200)), &mut [0]), 1);
    changes[150] = MapChange::Protect { start: DATA + PAGE, len: PAGE, prot: READ };
    assert_eq!(p.change_map(guest, &changes), Err((150, Errno::ENOMEM)));
    // A reservation larger than the machine's memory costs nothing until it is touched.
    p.change_map(guest, &[map(1 << 40, 1 << 40, READ | WRITE)]).expect("reserve");
}

#[test]
fn extended_registers_start_fresh_and_follow_a_fork() {
    let mut p = platform();
    // movq xmm0, rbx; syscall; movq rbx, xmm0; syscall
    let code = [0x66, 0x48, 0x0f, 0x6e, 0xc3, 0x0f, 0x05, 0x66, 0x48, 0x0f, 0x7e, 0xc3, 0x0f, 0x05];
    let (parent, mut regs) = start(&mut p, &code);
    let fresh = p.xstate(parent);
    assert_eq!(u64::from_ne_bytes(fresh[464..472].try_into().expect("eight")), p.xfeatures());
    assert_eq!(p.xfeatures() & 3, 3);
    assert_eq!((&fresh[..2], &fresh[24..28]), (&[0x7f, 3][..], &[0x80, 0x1f, 0, 0][..]));
    assert!(fresh[32..464].iter().all(|byte| *byte == 0), "x87 and SSE registers are zero");

    regs.rbx = 0x1122_3344_5566_7788;
    assert_eq!(p.run(parent, &mut regs), Trap::Syscall);
    for shared in [false, true] {
        let child = p.fork(parent, shared).expect("fork");
        assert_eq!(p.xstate(child), p.xstate(parent));
        let mut regs = Registers { rbx: 0, ..regs };
        assert_eq!(p.run(child, &mut regs), Trap::Syscall);
        assert_eq!(regs.rbx, 0x1122_3344_5566_7788);
    }
    // The next one is fresh again.
    let (other, _) = start(&mut p, &code);
    assert_eq!(p.xstate(other), fresh);
    // A round trip, and states that the CPU refuses.
    let mut area = p.xstate(parent);
    area[160..168].copy_from_slice(&42u64.to_ne_bytes());
    assert!(p.set_xstate(parent, &area));
    assert_eq!(p.xstate(parent), area);
    let mut bad = area.clone();
    bad[24..28].fill(0xff); // MXCSR
    assert!(!p.set_xstate(parent, &bad));
    let mut bad = area.clone();
    bad[520..528].fill(0xff); // XCOMP_BV in the header
    assert!(!p.set_xstate(parent, &bad));
    assert!(!p.set_xstate(parent, &area[..100]));
    assert_eq!(p.xstate(parent), area, "nothing changed");
    assert_eq!(p.run(parent, &mut regs), Trap::Syscall);
    assert_eq!(regs.rbx, 42);
}
