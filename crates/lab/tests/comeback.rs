//! A host that was dark comes back, with whole hosts, links and system calls, in virtual time: after
//! a power-off as a kernel that knows nobody (P-5, P-12, P-13), after a partition as if nothing had
//! been (P-3, P-4, P-10). `cargo xtask twin` compares the same with the real kernel.

mod common;

use common::*;
use lab::scripted::{Program, Reg};
use lab::world::Fate;

/// The server's host is dark from 50 ms to 1 s, and nothing listens afterwards.
const REBOOT: &str = "[[fault]]\nat = \"50ms\"\npower-off = \"a\"\n\
                      [[fault]]\nat = \"1s\"\npower-on = \"a\"\n";
/// The same for the link.
const PARTITION: &str = "[[fault]]\nat = \"50ms\"\npartition = [\"a\", \"b\"]\n\
                         [[fault]]\nat = \"1s\"\nheal = [\"b\", \"a\"]\n";

/// The last segment of host a, which must be a reset without ACK.
fn ends_with_a_bare_reset(records: &[lab::Record]) {
    let last = sent(records, 0).pop().expect("segments of the server's host");
    assert_eq!((last.1.as_str(), last.2), ("R", 0), "{:?}", sent(records, 0));
}

#[test]
fn a_rebooted_host_answers_the_first_write_with_a_reset() {
    // P-13, P-5: write is taken, then ECONNRESET once, then the end.
    let mut program = client(0);
    sleep(&mut program, 2000);
    byte(&mut program, WRITE, 1, 17);
    sleep(&mut program, 10);
    byte(&mut program, READ, -ECONNRESET, 18);
    byte(&mut program, READ, 0, 19);
    program.exit(7);
    let (world, records) = run(idle_server(), program, REBOOT);
    assert!(client_ended(&world) < 3.);
    ends_with_a_bare_reset(&records);
    assert!(matches!(world.fates["server"], Fate::Lost(_)), "{:?}", world.fates);
}

#[test]
fn a_rebooted_host_answers_retransmissions_and_probes_with_a_reset() {
    // P-5, P-6: a byte written while it was dark; and a keepalive probe.
    for probe in [false, true] {
        let mut program = client(0);
        if probe {
            option(&mut program, SOL_SOCKET, SO_KEEPALIVE, 1);
            option(&mut program, IPPROTO_TCP, TCP_KEEPIDLE, 3);
        }
        sleep(&mut program, 100);
        if !probe {
            byte(&mut program, WRITE, 1, 17);
        }
        byte(&mut program, READ, -ECONNRESET, 18);
        program.exit(7);
        let (world, records) = run(idle_server(), program, REBOOT);
        let ended = client_ended(&world);
        // The retransmission at 0.1 + 1.6 s is the first that is heard.
        let expected = if probe { 3.0 } else { 1.8 };
        assert!((ended - expected).abs() < 0.15, "{ended} for {expected}");
        ends_with_a_bare_reset(&records);
    }
}

#[test]
fn a_reader_of_a_rebooted_host_waits_for_ever() {
    // P-3: nobody sends anything, so nobody learns.
    let mut program = client(0);
    byte(&mut program, READ, 0, 17);
    program.exit(7);
    let (world, records) = run(idle_server(), program, REBOOT);
    assert!(matches!(world.fates["client"], Fate::Running(_)), "{:?}", world.fates);
    assert!(sent(&records, 0).iter().all(|s| s.0 < 0.05), "silence");
}

#[test]
fn a_server_that_starts_at_boot_accepts_new_connections() {
    // P-11: while it is dark a SYN finds nobody; the one at 1 s finds the new listener, whose
    // start is 100 ms after the boot, too late; the next one gets through.
    let mut again = server();
    again.exit(0);
    let mut program = Program::new(2);
    sleep(&mut program, 100);
    let there = program.sockaddr_in([10, 0, 0, 1], 7000);
    program.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbx, Reg::Rax);
    program.call(CONNECT, [Reg::Rbx.into(), there.into(), 16.into()]);
    program.expect(0, 14);
    program.exit(7);
    let (world, _) = run_as(again, program, ["at-boot = true\nstart = \"100ms\"", ""], REBOOT);
    let ended = client_ended(&world);
    assert!((ended - 1.1).abs() < 0.01, "{ended}");
    assert!(matches!(world.fates["server"], Fate::Ended(..)), "{:?}", world.fates);
}

#[test]
fn a_rebooted_client_gets_its_old_ports_back_by_a_challenge() {
    // P-12: the client's host reboots and connects from the same port to a server that still holds
    // the old connection: SYN, challenge ACK, [R], and a SYN again two jiffies later.
    let mut program = Program::new(2);
    let here = program.sockaddr_in([0, 0, 0, 0], 5555);
    let there = program.sockaddr_in([10, 0, 0, 1], 7000);
    program.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbx, Reg::Rax);
    program.call(BIND, [Reg::Rbx.into(), here.into(), 16.into()]);
    program.call(CONNECT, [Reg::Rbx.into(), there.into(), 16.into()]);
    program.expect(0, 14);
    program.call(PAUSE, []);
    let mut keeper = server();
    byte(&mut keeper, READ, -ECONNRESET, 21);
    keeper.call(PAUSE, []);
    let faults = "[[fault]]\nat = \"50ms\"\npower-off = \"b\"\n\
                  [[fault]]\nat = \"1s\"\npower-on = \"b\"\n";
    let (world, records) = run_as(keeper, program, ["", "at-boot = true"], faults);
    let flags: Vec<String> =
        sent(&records, 1).into_iter().filter(|s| s.0 > 0.5).map(|s| s.1).collect();
    assert_eq!(flags, ["S", "R", "S", "."]);
    let answers: Vec<String> =
        sent(&records, 0).into_iter().filter(|s| s.0 > 0.5).map(|s| s.1).collect();
    assert_eq!(answers, [".", "S."]);
    assert!(matches!(world.fates["server"], Fate::Running(_)), "{:?}", world.fates);
    let syns: Vec<f64> =
        sent(&records, 1).into_iter().filter(|s| s.0 > 0.5 && s.1 == "S").map(|s| s.0).collect();
    assert!(syns[1] - syns[0] < 0.02, "{syns:?}");
}

#[test]
fn a_healed_partition_leaves_no_trace() {
    // P-3, P-4, P-8: data written into the partition arrives with a retransmission.
    let mut reader = server();
    byte(&mut reader, READ, 1, 21);
    byte(&mut reader, WRITE, 1, 22);
    reader.exit(7);
    let mut program = client(0);
    sleep(&mut program, 100);
    byte(&mut program, WRITE, 1, 17);
    byte(&mut program, READ, 1, 18);
    byte(&mut program, READ, 0, 19);
    program.exit(7);
    let (world, _) = run(reader, program, PARTITION);
    let ended = client_ended(&world);
    assert!((1.6..1.9).contains(&ended), "the retransmission at 0.1 + 1.6 s: {ended}");
}

#[test]
fn a_death_in_a_partition_is_told_late_or_by_a_reset() {
    // P-10, P-9: the FIN goes on for 102–108 s; healed before, it arrives late; healed after, the
    // next segment is answered by a bare [R].
    for (heal, late) in [("10s", false), ("200s", true)] {
        let mut program = client(0);
        if late {
            sleep(&mut program, 300_000);
            byte(&mut program, WRITE, 1, 17);
            sleep(&mut program, 10);
            byte(&mut program, READ, -ECONNRESET, 18);
        }
        byte(&mut program, READ, 0, 19);
        program.exit(7);
        let faults = format!(
            "[[fault]]\nat = \"50ms\"\npartition = [\"a\", \"b\"]\n{KILL}\
             [[fault]]\nat = \"{heal}\"\nheal = [\"a\", \"b\"]\n"
        );
        let (world, records) = run(idle_server(), program, &faults);
        let ended = client_ended(&world);
        if late {
            assert!(ended > 300., "{ended}");
            ends_with_a_bare_reset(&records);
        } else {
            // The FIN of 0.1 + 13.1 s.
            assert!((12.0..14.0).contains(&ended), "{ended}");
        }
    }
}
