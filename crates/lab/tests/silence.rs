//! What is left of a connection when one side says nothing any more: the schedules of P-1 to P-15
//! with whole hosts, links and system calls, in virtual time. The numbers are those measured on
//! Linux 6.18 (docs/linux-semantics.md): T-24, T-31, T-32, T-50, T-51, T-54 to T-56.
//! A host that comes back is in `comeback`.

mod common;

use common::*;
use kernel::fact::{Fact, NetFact};
use kernel::net::tcp::{GaveUp, TcpFact};
use lab::scripted::{Insn, Is, Reg};
use lab::world::Fate;
use lab::{Record, What};

#[test]
fn a_writer_retransmits_to_a_dark_host_and_gives_up_by_the_clock() {
    // T-50, P-4, P-7.
    let mut program = client(0);
    sleep(&mut program, 100);
    byte(&mut program, WRITE, 1, 17);
    byte(&mut program, READ, -ETIMEDOUT, 18);
    byte(&mut program, READ, 0, 19);
    program.exit(7);
    let (world, records) = run(idle_server(), program, POWER_OFF_A);
    let data: Vec<f64> = sent(&records, 1).iter().filter(|s| s.2 == 1).map(|s| s.0).collect();
    let measured = [
        0., 0.21, 0.42, 0.83, 1.7, 3.3, 6.7, 13.3, 26.7, 53., 106., 213., 334., 454., 575., 694.,
        815.,
    ];
    schedule(&data, &measured);
    let (at, by) = gave_up(&records);
    assert_eq!(by, GaveUp::Retransmission);
    schedule(&[data[0], at], &[0., 935.8]);
    assert!((client_ended(&world) - at).abs() < 0.01);
    // Silently: the last thing sent is data.
    assert_eq!(sent(&records, 1).last().map(|s| s.2), Some(1));
}

#[test]
fn a_syn_to_a_dark_host_is_sent_eleven_times() {
    // T-51, P-11.
    let mut program = client(-ETIMEDOUT);
    program.exit(7);
    let dark = "[[fault]]\nat = \"500us\"\npower-off = \"a\"\n";
    let (world, records) = run(idle_server(), program, dark);
    let syns: Vec<f64> = sent(&records, 1).iter().map(|s| s.0).collect();
    assert!(sent(&records, 1).iter().all(|s| s.1 == "S"));
    schedule(&syns, &[0., 1., 2., 3., 4., 5., 7., 11., 19., 35., 67.]);
    let ended = client_ended(&world) - syns[0];
    assert!((131.0..=135.0).contains(&ended), "{ended}");
}

#[test]
fn the_fin_of_an_orphan_to_a_dark_host_is_repeated_for_108_seconds() {
    // T-31, P-10: the client's host goes dark, then the server dies.
    let mut program = client(0);
    program.call(PAUSE, []);
    program.exit(20);
    let faults = format!("[[fault]]\nat = \"50ms\"\npower-off = \"b\"\n{KILL}");
    let (_, records) = run(idle_server(), program, &faults);
    let fins: Vec<f64> = sent(&records, 0).iter().filter(|s| s.1 == "F.").map(|s| s.0).collect();
    schedule(&fins, &[0., 0.2, 0.4, 0.84, 1.7, 3.3, 6.9, 13.5, 26.8, 54.3]);
    schedule(&[fins[0], gave_up(&records).0], &[0., 107.8]);
    // Silently.
    assert!(sent(&records, 0).iter().all(|s| !s.1.contains('R')));
}

#[test]
fn an_orphan_in_fin_wait2_is_forgotten_after_a_minute() {
    // T-24, T-26, T-25: data after and before that is answered by a bare [R].
    for (after, there) in [(70_000, false), (30_000, true)] {
        let mut program = client(0);
        sleep(&mut program, after);
        byte(&mut program, READ, 0, 17);
        byte(&mut program, WRITE, 1, 18);
        sleep(&mut program, 10);
        byte(&mut program, READ, 0, 19);
        program.exit(7);
        let (world, records) = run(idle_server(), program, KILL);
        client_ended(&world);
        let server = sent(&records, 0);
        let (last, before) = server.split_last().expect("segments of the server");
        assert_eq!((last.1.as_str(), last.2), ("R", 0), "{server:?}");
        // The FIN was the last word until then.
        assert_eq!(before.last().map(|s| s.1.as_str()), Some("F."));
        let expired = |record: &Record| match &record.what {
            What::Kernel(Fact::Net(NetFact::Tcp { step: TcpFact::SendReset { why }, .. })) => {
                Some(*why == kernel::net::tcp::ReplyWhy::NoSocket)
            }
            What::Kernel(_) | What::Lab(_) => None,
        };
        assert_eq!(records.iter().find_map(expired), Some(!there), "after {after} ms");
    }
}

#[test]
fn an_orphan_before_a_closed_window_dies_silently_and_the_reader_learns_late() {
    // T-32: the server dies in a blocked write; the client sleeps past the end, then reads.
    let mut sender = server();
    let data = sender.space(8 << 20);
    sender.call(WRITE, [Reg::Rbx.into(), data.into(), (8 << 20).into()]);
    sender.exit(20);
    let mut program = client(0);
    sleep(&mut program, 1_000_000);
    let buffer = program.space(65_536);
    let again = program.mark();
    program.call(READ, [Reg::Rbx.into(), buffer.into(), 65_536.into()]);
    program.push(Insn::JumpIf(0.into(), Is::Less, Reg::Rax.into(), again));
    program.expect(-ECONNRESET, 17);
    program.exit(7);
    let (world, records) = run(sender, program, KILL);
    assert!(client_ended(&world) > 1000.);
    let (at, by) = gave_up(&records);
    assert_eq!(by, GaveUp::ZeroWindow);
    // Measured 340.9 s with another machine's round trip; doublings of about 200 ms up to 120 s.
    assert!((300.0..=350.0).contains(&at), "{at}");
    // Between the death and the client's reading nobody hears of it.
    let server = sent(&records, 0);
    assert!(server.iter().filter(|s| s.1.contains('R')).all(|s| s.0 > 1000.), "{server:?}");
    assert_eq!(server.last().map(|s| s.1.as_str()), Some("R"));
    assert!(server.iter().all(|s| !s.1.contains('F')), "the FIN never leaves");
}

#[test]
fn keepalive_ends_by_count_or_by_user_timeout() {
    // T-54: idle 2, interval 1, count 3: 5 s. T-56: count 9 and 4 s of TCP_USER_TIMEOUT: 4 s.
    for (count, user_timeout, probes, seconds) in [(3, 0, 3, 5.0), (9, 4000, 2, 4.0)] {
        let mut program = client(0);
        option(&mut program, SOL_SOCKET, SO_KEEPALIVE, 1);
        option(&mut program, IPPROTO_TCP, TCP_KEEPIDLE, 2);
        option(&mut program, IPPROTO_TCP, TCP_KEEPINTVL, 1);
        option(&mut program, IPPROTO_TCP, TCP_KEEPCNT, count);
        option(&mut program, IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout);
        byte(&mut program, READ, -ETIMEDOUT, 17);
        byte(&mut program, READ, 0, 18);
        program.exit(7);
        let (world, records) = run(idle_server(), program, POWER_OFF_A);
        let ended = client_ended(&world);
        assert!((ended - seconds).abs() < 0.1, "{ended} for {seconds}");
        let later: Vec<String> =
            sent(&records, 1).into_iter().filter(|s| s.0 > 1.).map(|s| s.1).collect();
        assert_eq!(later.iter().filter(|flags| *flags == ".").count(), probes, "{later:?}");
        assert_eq!(later.last().map(String::as_str), Some("R."), "{later:?}");
    }
}

#[test]
fn keepalive_waits_while_data_is_on_the_way() {
    // T-55: idle 2, interval 1, count 3, and one byte unacknowledged: the other clock decides.
    let mut program = client(0);
    option(&mut program, SOL_SOCKET, SO_KEEPALIVE, 1);
    option(&mut program, IPPROTO_TCP, TCP_KEEPIDLE, 2);
    option(&mut program, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    option(&mut program, IPPROTO_TCP, TCP_KEEPCNT, 3);
    sleep(&mut program, 100);
    byte(&mut program, WRITE, 1, 17);
    byte(&mut program, READ, -ETIMEDOUT, 18);
    program.exit(7);
    let (world, records) = run(idle_server(), program, POWER_OFF_A);
    assert!(client_ended(&world) > 900.);
    assert_eq!(gave_up(&records).1, GaveUp::Retransmission);
}

#[test]
fn one_orphan_too_many_is_reset_after_its_fin() {
    // T-23, measured with net.ipv4.tcp_max_orphans = 1 and three orphans: the FIN leaves first, and
    // the RST right behind it; so the client is in CLOSE_WAIT when it comes (T-41).
    for (most, flags, second_write) in [(0, &["F.", "R."][..], -EPIPE), (1, &["F."], 1)] {
        let mut program = client(0);
        byte(&mut program, READ, 0, 17);
        sleep(&mut program, 10);
        let at = program.bytes(&[0; 8]);
        program.call(SENDTO, [Reg::Rbx.into(), at.into(), 1.into(), MSG_NOSIGNAL.into()]);
        program.expect(second_write, 18);
        program.exit(7);
        let mut world = world_of(idle_server(), program, ["", ""], KILL);
        world.hosts[0].kernel.net.sysctls.max_orphans = most;
        let (world, records) = finish(world);
        client_ended(&world);
        let server = sent(&records, 0);
        let until_death = server.iter().filter(|s| s.0 < 0.105).map(|s| s.1.as_str());
        let last: Vec<&str> = until_death.filter(|flags| *flags != "S.").collect();
        assert_eq!(last, flags, "{server:?}");
    }
}

#[test]
fn sockets_that_end_after_their_device_end_in_silence() {
    // P-15: what deletes a network namespace takes the device first. Here the cable goes, then the
    // process: the same for whoever is outside, as a crash (P-2). The other way round it is a death (P-1).
    for (unplugged, dies, heard) in [(50, 100, false), (101, 100, true)] {
        let mut program = client(0);
        byte(&mut program, READ, 0, 17);
        program.exit(7);
        let faults = format!(
            "[[fault]]\nat = \"{unplugged}ms\"\nunplug = \"a\"\n\
             [[fault]]\nat = \"{dies}ms\"\nkill = \"server\"\n"
        );
        let (world, records) = run(idle_server(), program, &faults);
        let ended = matches!(world.fates["client"], Fate::Ended(..));
        assert_eq!(ended, heard, "unplugged after {unplugged} ms");
        let fins = sent(&records, 0).iter().filter(|s| s.1 == "F.").count();
        assert!(heard && fins >= 1 || fins == 10, "{fins} FINs, as T-31 has them");
    }
}

#[test]
fn an_orphans_last_data_and_its_fin_are_sent_again_as_one() {
    // T-30, measured over veth with a peer that answers nothing any more: data and FIN apart, the
    // FIN as a loss probe, and `[FP.]` at each timeout from then on.
    let mut server = server();
    sleep(&mut server, 100);
    let at = server.bytes(b"hello");
    server.call(WRITE, [Reg::Rbx.into(), at.into(), 5.into()]);
    server.expect(5, 17);
    server.exit(0);
    let mut client = client(0);
    client.call(PAUSE, []);
    client.exit(20);
    let (_, records) = run(server, client, "[[fault]]\nat = \"50ms\"\npower-off = \"b\"\n");
    let sent: Vec<_> = sent(&records, 0).into_iter().filter(|s| s.0 > 0.05).collect();
    let told: Vec<(&str, usize)> = sent.iter().map(|s| (s.1.as_str(), s.2)).collect();
    assert_eq!(told[..3], [("P.", 5), ("F.", 0), ("F.", 0)]);
    assert!(told[3..].iter().all(|one| *one == ("FP.", 5)), "{told:?}");
    let times: Vec<f64> = sent.iter().map(|s| s.0).collect();
    schedule(&times[..7], &[0., 0., 0.008, 0.216, 0.628, 1.46, 3.124]);
    assert_eq!(gave_up(&records).1, GaveUp::Retransmission);
}
