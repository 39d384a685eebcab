//! Links that are not as they should be: one direction dead, a cable out, packets that are lost,
//! doubled, late or slow. tc-netem(8). What reaches the programs is what TCP makes of it.

mod common;

use common::*;
use lab::scripted::Program;
use lab::world::Fate;
use lab::{LabFact, Record, What};

/// What the server reads before its end, byte by byte, and the client writes.
const BYTES: usize = 40;

/// A server that reads all of it and closes, a client that writes it and waits for the end.
fn transfer() -> (Program, Program) {
    let (mut reader, mut writer) = (server(), client(0));
    for _ in 0..BYTES {
        byte(&mut reader, READ, 1, 21);
        byte(&mut writer, WRITE, 1, 22);
    }
    reader.exit(7);
    byte(&mut writer, READ, 0, 23);
    writer.exit(7);
    (reader, writer)
}

fn link(keys: &str) -> String {
    format!("[[link]]\nbetween = [\"a\", \"b\"]\n{keys}\n")
}

/// Why packets did not arrive, and how many for each reason.
fn lost(records: &[Record], reason: &str) -> usize {
    let is = |record: &&Record| match &record.what {
        What::Lab(LabFact::Dropped { why, .. }) => *why == reason,
        What::Lab(_) | What::Kernel(_) => false,
    };
    records.iter().filter(is).count()
}

#[test]
fn a_lossy_link_delivers_everything_in_order_in_the_end() {
    let (reader, writer) = transfer();
    let keys = link("latency = \"5ms\"\njitter = \"3ms\"\nloss = \"20%\"\nduplicate = \"10%\"");
    let (world, records) = run(reader, writer, &keys);
    assert!(client_ended(&world) > 0.02);
    assert!(lost(&records, "the link lost it") > 0);
    let Fate::Ended(status, _) = world.fates["server"] else { panic!("{:?}", world.fates) };
    assert_eq!(status.0, 7 << 8, "the server read all of it, each byte once");
}

#[test]
fn chance_follows_from_the_seed() {
    let times = || {
        let (reader, writer) = transfer();
        let (_, records) = run(reader, writer, &link("loss = \"20%\"\njitter = \"50us\""));
        records.iter().map(|it| (it.at, it.host)).collect::<Vec<_>>()
    };
    assert_eq!(times(), times());
}

#[test]
fn a_duplicated_connection_is_one() {
    let (reader, writer) = transfer();
    let (world, records) = run(reader, writer, &link("duplicate = \"100%\""));
    let ended = client_ended(&world);
    assert!(ended < 1.);
    // The copies of the last acknowledgement find nobody any more, and are answered.
    let all = [0, 1].iter().flat_map(|host| sent(&records, *host));
    assert_eq!(all.filter(|it| it.1.contains('R') && it.0 <= ended).count(), 0);
}

#[test]
fn bits_take_their_time_and_a_full_queue_loses_packets() {
    // 40 + 20 bytes of SYN and 14 of Ethernet at 59.2 kbit/s: 10 ms.
    let (reader, writer) = transfer();
    let (world, records) = run(reader, writer, &link("bandwidth = \"59200bit/s\""));
    let answer = sent(&records, 0)[0].0;
    assert!((answer - 0.0111).abs() < 0.0002, "the SYN arrives at {answer}");
    assert!(client_ended(&world) > 0.05);
    let (reader, writer) = transfer();
    let (_, records) = run(reader, writer, &link("bandwidth = \"59200bit/s\"\nqueue = 0"));
    assert!(lost(&records, "the queue of the link is full") > 0);
}

#[test]
fn a_one_way_partition_lets_the_end_through_but_not_its_acknowledgement() {
    // What the client sends is lost: the FIN of the dead server arrives and is sent again and again.
    let mut program = client(0);
    byte(&mut program, READ, 0, 17);
    program.exit(7);
    let faults =
        format!("[[fault]]\nat = \"50ms\"\npartition = [\"b\", \"a\"]\none-way = true\n{KILL}");
    let (world, records) = run(idle_server(), program, &faults);
    assert!((client_ended(&world) - 0.1).abs() < 0.01, "it learns at once");
    let fins = sent(&records, 0).into_iter().filter(|it| it.1.contains('F')).count();
    assert_eq!(fins, 10, "T-31");
    assert!(lost(&records, "the hosts are partitioned") >= 10);
}

#[test]
fn a_cable_that_is_out_is_silence_and_in_again_as_if_nothing_had_been() {
    let mut reader = server();
    byte(&mut reader, READ, 1, 21);
    reader.exit(7);
    let mut program = client(0);
    sleep(&mut program, 100);
    byte(&mut program, WRITE, 1, 17);
    byte(&mut program, READ, 0, 18);
    program.exit(7);
    let faults = "[[fault]]\nat = \"50ms\"\nunplug = \"a\"\n[[fault]]\nat = \"1s\"\nplug = \"a\"\n";
    let (world, records) = run(reader, program, faults);
    let ended = client_ended(&world);
    assert!((1.6..1.9).contains(&ended), "the retransmission at 0.1 + 1.6 s: {ended}");
    assert!(lost(&records, "a cable is out") >= 3);
}

#[test]
fn a_link_changes_when_it_is_told_to() {
    let mut program = client(0);
    sleep(&mut program, 100);
    byte(&mut program, WRITE, 1, 17);
    byte(&mut program, READ, 0, 18);
    program.exit(7);
    let mut reader = server();
    byte(&mut reader, READ, 1, 21);
    reader.exit(7);
    let faults = "[[fault]]\nat = \"50ms\"\nlink = [\"a\", \"b\"]\nlatency = \"2s\"\n";
    let (world, _) = run(reader, program, faults);
    let ended = client_ended(&world);
    assert!((4.0..4.2).contains(&ended), "there and back: {ended}");
}
