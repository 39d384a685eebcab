//! Two hosts that speak IPv6 beside IPv4: the same connection over either, which family a listener
//! hears, hosts without IPv6. In memory, with scripted guests.

mod common;

use common::{ACCEPT, BIND, CONNECT, LISTEN, READ, SOCKET, WRITE, byte, sleep};
use kernel::fact::{Fact, NetFact};
use kernel::net::packet::{Packet, Transport};
use lab::scripted::{Program, Reg, Scripted};
use lab::{Options, Record, Scenario, Step, What, World, scenario, wire};
use std::net::Ipv6Addr;

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const EADDRNOTAVAIL: i64 = 99;
const ECONNREFUSED: i64 = 111;

fn host(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
}

/// Accepts two connections of either family on port 7000; reads a byte of each, answers with 3000.
fn server() -> Program {
    let mut program = Program::new(1);
    let here = program.sockaddr_in6(Ipv6Addr::UNSPECIFIED, 7000);
    let buffer = program.bytes(&[0; 3000]);
    program.call(SOCKET, [AF_INET6.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbp, Reg::Rax);
    program.call(BIND, [Reg::Rbp.into(), here.into(), 28.into()]);
    program.expect(0, 11);
    program.call(LISTEN, [Reg::Rbp.into(), 8.into()]);
    program.expect(0, 12);
    for _ in 0..2 {
        program.call(ACCEPT, [Reg::Rbp.into(), 0.into(), 0.into()]);
        program.expect_success(13);
        program.set(Reg::Rbx, Reg::Rax);
        program.call(READ, [Reg::Rbx.into(), buffer.into(), 1.into()]);
        program.expect(1, 14);
        program.call(WRITE, [Reg::Rbx.into(), buffer.into(), 3000.into()]);
        program.expect(3000, 15);
    }
    sleep(&mut program, 10);
    program.exit(7);
    program
}

/// Connects to the server over one family, then over the other, and sleeps after each.
fn client() -> Program {
    let mut program = Program::new(2);
    let four = program.sockaddr_in([10, 0, 0, 1], 7000);
    let six = program.sockaddr_in6(host(1), 7000);
    for (family, there, length) in [(AF_INET, four, 16), (AF_INET6, six, 28)] {
        program.call(SOCKET, [family.into(), 1.into(), 0.into()]);
        program.set(Reg::Rbx, Reg::Rax);
        program.call(CONNECT, [Reg::Rbx.into(), there.into(), length.into()]);
        program.expect(0, 14);
        byte(&mut program, WRITE, 1, 15);
        sleep(&mut program, 5);
    }
    program.exit(7);
    program
}

fn run(server: Program, client: Program, hosts: &str) -> (World<Scripted>, Vec<Record>) {
    let mut platform = Scripted::default();
    platform.install("/bin/server", server);
    platform.install("/bin/client", client);
    let text = format!(
        "{hosts}\n[[process]]\nname = \"server\"\nhost = \"a\"\ncommand = [\"/bin/server\"]\n\
         [[process]]\nname = \"client\"\nhost = \"b\"\nstart = \"1ms\"\ncommand = [\"/bin/client\"]\n\
         [[check]]\nexits = {{ process = \"client\", status = 7 }}\n"
    );
    let scenario: Scenario = scenario::parse("inet6.toml", &text).unwrap();
    let mut world = World::new(platform, scenario, &Options::default());
    while world.step() == Step::Moved {}
    assert!(common::client_ended(&world) < 1.0);
    let records = world.take_records().collect();
    (world, records)
}

fn packets(records: &[Record]) -> Vec<&Packet> {
    let mut packets = Vec::new();
    for record in records {
        if let What::Kernel(Fact::Net(NetFact::Sent { packet, loopback: false })) = &record.what {
            packets.push(&**packet);
        }
    }
    packets
}

/// From which host, flags, length, window: what does not come from chance.
fn segments(packets: &[&Packet], six: bool) -> Vec<(u16, String, usize, u16)> {
    let segment = |packet: &&Packet| match &packet.payload {
        Transport::Tcp { src_port, segment, .. } if packet.src.is_ipv6() == six => {
            let who = if *src_port == 7000 { 1 } else { 2 };
            Some((who, segment.flags.to_string(), segment.payload.len(), segment.window))
        }
        Transport::Tcp { .. }
        | Transport::Udp { .. }
        | Transport::Icmp(_)
        | Transport::Neigh(_) => None,
    };
    packets.iter().filter_map(segment).collect()
}

#[test]
fn a_connection_over_ipv6_is_as_one_over_ipv4_with_20_bytes_less() {
    let (_, records) = run(server(), client(), "");
    let packets = packets(&records);
    let (four, six) = (segments(&packets, false), segments(&packets, true));
    // Windows and sizes as between two namespaces of Linux 6.18 over veth, offloads off.
    let head = |it: &[(u16, String, usize, u16)]| it[..7].to_vec();
    let row = |who, flags: &str, len, window| (who, flags.to_owned(), len, window);
    let expected = |windows: [u16; 2], mss| {
        vec![
            row(2, "S", 0, windows[0]),
            row(1, "S.", 0, windows[1]),
            row(2, ".", 0, windows[0].div_ceil(1024)),
            row(2, "P.", 1, windows[0].div_ceil(1024)),
            row(1, ".", 0, windows[1].div_ceil(1024)),
            row(1, ".", mss, windows[1].div_ceil(1024)),
            row(1, ".", mss, windows[1].div_ceil(1024)),
        ]
    };
    assert_eq!(head(&four), expected([64_240, 65_160], 1448));
    assert_eq!(head(&six), expected([64_800, 64_260], 1428));
    let kinds = |it: &[(u16, String, usize, u16)]| -> Vec<(u16, String)> {
        it.iter().map(|(who, flags, ..)| (*who, flags.clone())).collect()
    };
    assert_eq!(kinds(&four), kinds(&six), "who sends what, to the end");
}

#[test]
fn nobody_at_a_port_answers_with_an_icmpv6() {
    let mut server = Program::new(1);
    sleep(&mut server, 50);
    server.exit(7);
    let mut client = Program::new(2);
    let there = client.sockaddr_in6(host(7), 99);
    client.call(SOCKET, [AF_INET6.into(), 2.into(), 0.into()]);
    client.set(Reg::Rbx, Reg::Rax);
    client.call(CONNECT, [Reg::Rbx.into(), there.into(), 28.into()]);
    client.expect(0, 14);
    byte(&mut client, WRITE, 1, 15);
    byte(&mut client, READ, -ECONNREFUSED, 16);
    client.exit(7);
    let hosts = "[[host]]\nname = \"a\"\nipv6 = \"fd00::7\"";
    let (world, records) = run(server, client, hosts);
    let packets = packets(&records);
    assert_eq!(packets.len(), 2, "{packets:?}");
    assert_eq!((packets[0].src, packets[0].dst), (host(1).into(), host(7).into()));
    // Version 6, next header 58; type 1, code 4 (RFC 4443, 3.1).
    let bytes = wire::encode(packets[1]);
    assert_eq!((bytes[0] >> 4, bytes[6], bytes[40], bytes[41]), (6, 58, 1, 4));
    let config = &world.hosts[1].kernel.config;
    assert_eq!(config.names6.get("a"), Some(&host(7)), "its name has both addresses");
    assert_eq!(config.names6.get("b"), None, "this one's was given out");
}

#[test]
fn a_host_without_ipv6_has_neither_loopback_nor_route() {
    let mut client = Program::new(2);
    let own = client.sockaddr_in6(Ipv6Addr::LOCALHOST, 0);
    let there = client.sockaddr_in6(host(1), 7000);
    client.call(SOCKET, [AF_INET6.into(), 1.into(), 0.into()]);
    client.set(Reg::Rbx, Reg::Rax);
    client.call(BIND, [Reg::Rbx.into(), own.into(), 28.into()]);
    client.expect(-EADDRNOTAVAIL, 14);
    client.call(CONNECT, [Reg::Rbx.into(), there.into(), 28.into()]);
    client.expect(-EADDRNOTAVAIL, 15);
    client.exit(7);
    let hosts = "[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\nipv6 = \"off\"";
    let mut server = Program::new(1);
    sleep(&mut server, 50);
    server.exit(7);
    let (world, records) = run(server, client, hosts);
    assert_eq!(packets(&records), Vec::<&Packet>::new());
    assert_eq!(world.hosts[0].kernel.config.address6, Some(host(1)));
    assert_eq!(world.hosts[1].kernel.config.address6, None);
}
