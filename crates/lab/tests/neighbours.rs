//! Hosts that share a link notice who does not answer (T-57, P-11), over either family. In memory,
//! with scripted guests; how a neighbour's entry ages is tested beside it, in `kernel::net::neigh`.

mod common;

use common::{CONNECT, READ, SOCKET, TCP_USER_TIMEOUT, WRITE, byte, client_ended, sleep};
use kernel::fact::{Fact, NetFact};
use kernel::net::packet::{Discovery, Transport};
use lab::scripted::{Program, Reg};
use lab::{Record, What};
use std::net::Ipv6Addr;

const SHARED: &str = "[[link]]\nbetween = [\"a\", \"b\"]\nneighbours = true\n";
const EHOSTUNREACH: i64 = 113;

/// Connects to host a over IPv6.
fn client6(result: i64) -> Program {
    let mut program = Program::new(2);
    let there = program.sockaddr_in6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), 7000);
    program.call(SOCKET, [10.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbx, Reg::Rax);
    program.call(CONNECT, [Reg::Rbx.into(), there.into(), 28.into()]);
    program.expect(result, 14);
    program
}

/// How often a host asked for the other, everybody and that one.
fn asked(records: &[Record], host: usize) -> [usize; 2] {
    let mut counts = [0; 2];
    for record in records.iter().filter(|record| record.host == Some(host)) {
        if let What::Kernel(Fact::Net(NetFact::Sent { packet, .. })) = &record.what
            && let Transport::Neigh(Discovery::Solicit { everyone }) = packet.payload
        {
            counts[usize::from(!everyone)] += 1;
        }
    }
    counts
}

#[test]
fn a_connect_to_a_host_without_power_is_over_after_three_questions() {
    // P-11: not the 131 s of T-51.
    let off = format!("{SHARED}[[fault]]\nat = \"0s\"\npower-off = \"a\"\n");
    for mut client in [common::client(-EHOSTUNREACH), client6(-EHOSTUNREACH)] {
        client.exit(7);
        let (world, records) = common::run(common::idle_server(), client, &off);
        let ended = client_ended(&world);
        assert!((3.0..3.01).contains(&ended), "after {ended} s");
        assert_eq!(asked(&records, 1), [3, 0]);
    }
}

#[test]
fn the_reader_of_a_dead_host_hears_that_it_is_unreachable() {
    // T-57: the soft error is told instead of ETIMEDOUT.
    let unplug = format!("{SHARED}[[fault]]\nat = \"50s\"\nunplug = \"a\"\n");
    let mut client = common::client(0);
    common::option(&mut client, common::IPPROTO_TCP, TCP_USER_TIMEOUT, 30_000);
    sleep(&mut client, 60_000);
    byte(&mut client, WRITE, 1, 17);
    byte(&mut client, READ, -EHOSTUNREACH, 18);
    client.exit(7);
    let (world, records) = common::run(common::idle_server(), client, &unplug);
    let ended = client_ended(&world);
    assert!((90.0..91.0).contains(&ended), "after {ended} s");
    // Once to connect; three of who had been there, then of everybody with each retransmission.
    let [everybody, it] = asked(&records, 1);
    assert_eq!((it, everybody % 3), (3, 1), "{everybody} questions");
}

#[test]
fn behind_a_router_nobody_asks() {
    let mut client = common::client(0);
    client.exit(7);
    let (_, records) = common::run(common::idle_server(), client, "");
    assert_eq!(asked(&records, 1), [0, 0]);
}
