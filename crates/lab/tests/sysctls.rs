//! Settings of a host's network in the scenario (`[[host]] sysctls`): each is looked at where ip-sysctl
//! says. The same worlds without them are those of `silence` (T-1, T-24, T-31, T-50, T-51, T-54).

mod common;

use common::*;
use kernel::fact::{Fact, NetFact};
use kernel::net::tcp::GaveUp;
use lab::scripted::{Program, Reg, Scripted};
use lab::{Record, What, World};

const EACCES: i64 = 13;

/// What a scenario says of the settings of host a, the server's, and host b, the client's.
fn hosts(a: &str, b: &str) -> String {
    let host = |name, sysctl| format!("[[host]]\nname = \"{name}\"\nsysctls = {{ {sysctl} }}\n");
    host("a", a) + &host("b", b)
}

fn run_with(
    server: Program,
    client: Program,
    hosts: &str,
    faults: &str,
) -> (World<Scripted>, Vec<Record>) {
    run(server, client, &format!("{hosts}{faults}"))
}

#[test]
fn tcp_syn_retries_says_how_often_a_syn_is_sent() {
    let mut program = client(-ETIMEDOUT);
    program.exit(7);
    let sysctl = r#""net.ipv4.tcp_syn_retries" = 2, "net.ipv4.tcp_syn_linear_timeouts" = 0"#;
    let dark = "[[fault]]\nat = \"500us\"\npower-off = \"a\"\n";
    let (world, records) = run_with(idle_server(), program, &hosts("", sysctl), dark);
    let syns: Vec<f64> = sent(&records, 1).iter().map(|s| s.0).collect();
    schedule(&syns, &[0., 1., 3.]);
    assert!((client_ended(&world) - syns[0] - 7.).abs() < 0.1);
}

#[test]
fn tcp_retries2_says_when_a_writer_gives_up() {
    let mut program = client(0);
    sleep(&mut program, 100);
    byte(&mut program, WRITE, 1, 17);
    byte(&mut program, READ, -ETIMEDOUT, 18);
    program.exit(7);
    let hosts = hosts("", r#""net.ipv4.tcp_retries2" = 3"#);
    let (_, records) = run_with(idle_server(), program, &hosts, POWER_OFF_A);
    let data: Vec<f64> = sent(&records, 1).iter().filter(|s| s.2 == 1).map(|s| s.0).collect();
    // Measured on 6.18: by the clock, from the first timeout on; a loss probe comes before.
    schedule(&data, &[0., 0.208, 0.416, 0.848, 1.68, 3.35]);
    let (at, by) = gave_up(&records);
    assert_eq!(by, GaveUp::Retransmission);
    assert!((6.5..6.8).contains(&(at - data[0])), "{at}");
}

#[test]
fn tcp_orphan_retries_says_how_long_an_orphan_repeats_its_fin() {
    let mut program = client(0);
    program.call(PAUSE, []);
    program.exit(20);
    let faults = format!("[[fault]]\nat = \"50ms\"\npower-off = \"b\"\n{KILL}");
    let hosts = hosts(r#""net.ipv4.tcp_orphan_retries" = 2"#, "");
    let (_, records) = run_with(idle_server(), program, &hosts, &faults);
    let fins: Vec<f64> = sent(&records, 0).iter().filter(|s| s.1 == "F.").map(|s| s.0).collect();
    schedule(&fins, &[0., 0.208, 0.416, 0.848, 1.68]); // measured
}

#[test]
fn tcp_fin_timeout_says_how_long_an_orphan_waits_for_a_fin() {
    let mut program = client(0);
    sleep(&mut program, 10_000);
    byte(&mut program, READ, 0, 17);
    byte(&mut program, WRITE, 1, 18);
    sleep(&mut program, 10);
    program.exit(7);
    let expired = |hosts: &str| {
        let (_, records) = run_with(idle_server(), program.clone(), hosts, KILL);
        records.iter().find_map(|record| match &record.what {
            What::Kernel(Fact::Net(NetFact::Tcp {
                step: kernel::net::tcp::TcpFact::SendReset { why },
                ..
            })) => Some(*why == kernel::net::tcp::ReplyWhy::NoSocket),
            What::Kernel(_) | What::Lab(_) => None,
        })
    };
    assert_eq!(expired(&hosts(r#""net.ipv4.tcp_fin_timeout" = 5"#, "")), Some(true));
    assert_eq!(expired(""), Some(false));
}

#[test]
fn keepalive_follows_the_host_where_the_program_says_nothing() {
    let mut program = client(0);
    option(&mut program, SOL_SOCKET, SO_KEEPALIVE, 1);
    byte(&mut program, READ, -ETIMEDOUT, 17);
    program.exit(7);
    let sysctl = r#""net.ipv4.tcp_keepalive_time" = 2, "net.ipv4.tcp_keepalive_intvl" = 1,
        "net.ipv4.tcp_keepalive_probes" = 3"#
        .replace('\n', "");
    let (world, _) = run_with(idle_server(), program, &hosts("", &sysctl), POWER_OFF_A);
    assert!((client_ended(&world) - 5.).abs() < 0.1);
}

#[test]
fn somaxconn_bounds_the_backlog_and_ports_come_from_the_range() {
    // The queue of backlog 0 holds one (T-36); the second SYN is dropped until the client gives up.
    let mut listener = Program::new(1);
    let here = listener.sockaddr_in([0, 0, 0, 0], 7000);
    listener.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    listener.set(Reg::Rbp, Reg::Rax);
    listener.call(BIND, [Reg::Rbp.into(), here.into(), 16.into()]);
    listener.expect(0, 11);
    listener.call(LISTEN, [Reg::Rbp.into(), 8.into()]);
    listener.call(PAUSE, []);
    let mut program = client(0);
    let there = program.sockaddr_in([10, 0, 0, 1], 7000);
    program.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbx, Reg::Rax);
    program.call(CONNECT, [Reg::Rbx.into(), there.into(), 16.into()]);
    program.expect(-ETIMEDOUT, 15);
    program.exit(7);
    let few = r#""net.ipv4.tcp_syn_retries" = 1, "net.ipv4.ip_local_port_range" = "5000 5001""#;
    let hosts = hosts(r#""net.core.somaxconn" = 0"#, few);
    let (world, records) = run_with(listener, program, &hosts, "");
    client_ended(&world);
    let port = |record: &Record| match &record.what {
        What::Kernel(Fact::Net(NetFact::Tcp { local, .. })) if record.host == Some(1) => {
            Some(local.port())
        }
        What::Kernel(_) | What::Lab(_) => None,
    };
    let mut ports: Vec<u16> = records.iter().filter_map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports, [5000, 5001]);
}

#[test]
fn ip_unprivileged_port_start_says_which_ports_are_for_root() {
    for (start, bound) in [(80, 0), (81, -EACCES)] {
        let mut server = Program::new(1);
        let here = server.sockaddr_in([0, 0, 0, 0], 80);
        server.call(SOCKET, [2.into(), 1.into(), 0.into()]);
        server.set(Reg::Rbp, Reg::Rax);
        server.call(BIND, [Reg::Rbp.into(), here.into(), 16.into()]);
        server.expect(bound, 11);
        server.exit(7);
        let mut program = Program::new(2);
        program.exit(7);
        let more = ["user = \"1000:1000\"", ""];
        let hosts = hosts(&format!("\"net.ipv4.ip_unprivileged_port_start\" = {start}"), "");
        let (world, _) = run_as(server, program, more, &hosts);
        let lab::world::Fate::Ended(status, _) = world.fates["server"] else {
            panic!("{:?}", world.fates)
        };
        assert_eq!(status.0, 7 << 8);
    }
}
