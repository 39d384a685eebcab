//! What the tests of hosts that fall silent and come back share: a server on host a and a client on
//! host b as scripted programs, and what they sent. Not every test needs all of it.
#![allow(dead_code)]

use kernel::fact::{Fact, NetFact};
use kernel::net::packet::Transport;
use kernel::net::tcp::{GaveUp, TcpFact};
use lab::scripted::{Program, Reg, Scripted};
use lab::world::Fate;
use lab::{Options, Record, Scenario, Step, What, World, scenario};

pub const READ: u64 = 0;
pub const WRITE: u64 = 1;
pub const PAUSE: u64 = 34;
pub const NANOSLEEP: u64 = 35;
pub const SOCKET: u64 = 41;
pub const CONNECT: u64 = 42;
pub const ACCEPT: u64 = 43;
pub const BIND: u64 = 49;
pub const LISTEN: u64 = 50;
pub const SETSOCKOPT: u64 = 54;

pub const SOL_SOCKET: u64 = 1;
pub const SO_KEEPALIVE: u64 = 9;
pub const IPPROTO_TCP: u64 = 6;
pub const TCP_KEEPIDLE: u64 = 4;
pub const TCP_KEEPINTVL: u64 = 5;
pub const TCP_KEEPCNT: u64 = 6;
pub const TCP_USER_TIMEOUT: u64 = 18;
pub const SENDTO: u64 = 44;
pub const MSG_NOSIGNAL: u64 = 0x4000;
pub const EPIPE: i64 = 32;
pub const ECONNRESET: i64 = 104;
pub const ETIMEDOUT: i64 = 110;

pub const POWER_OFF_A: &str = "[[fault]]\nat = \"50ms\"\npower-off = \"a\"\n";
pub const KILL: &str = "[[fault]]\nat = \"100ms\"\nkill = \"server\"\n";

/// Accepts one connection into rbx, on host a.
pub fn server() -> Program {
    let mut program = Program::new(1);
    let here = program.sockaddr_in([0, 0, 0, 0], 7000);
    program.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbp, Reg::Rax);
    program.call(BIND, [Reg::Rbp.into(), here.into(), 16.into()]);
    program.expect(0, 11);
    program.call(LISTEN, [Reg::Rbp.into(), 8.into()]);
    program.expect(0, 12);
    program.call(ACCEPT, [Reg::Rbp.into(), 0.into(), 0.into()]);
    program.expect_success(13);
    program.set(Reg::Rbx, Reg::Rax);
    program
}

/// The same, and waits for ever.
pub fn idle_server() -> Program {
    let mut program = server();
    program.call(PAUSE, []);
    program.exit(20);
    program
}

/// Connects; the socket is in rbx. `result` is what connect gives.
pub fn client(result: i64) -> Program {
    let mut program = Program::new(2);
    let there = program.sockaddr_in([10, 0, 0, 1], 7000);
    program.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbx, Reg::Rax);
    program.call(CONNECT, [Reg::Rbx.into(), there.into(), 16.into()]);
    program.expect(result, 14);
    program
}

pub fn option(program: &mut Program, level: u64, name: u64, value: u32) {
    let at = program.bytes(&value.to_le_bytes());
    let args = [Reg::Rbx.into(), level.into(), name.into(), at.into(), 4.into()];
    program.call(SETSOCKOPT, args);
    program.expect(0, 15);
}

pub fn sleep(program: &mut Program, ms: u64) {
    let time = [(ms / 1000).to_le_bytes(), (ms % 1000 * 1_000_000).to_le_bytes()].concat();
    let at = program.bytes(&time);
    program.call(NANOSLEEP, [at.into(), 0.into()]);
    program.expect(0, 16);
}

/// A call with one byte, and its result.
pub fn byte(program: &mut Program, nr: u64, result: i64, code: i32) {
    let at = program.bytes(&[0; 8]);
    program.call(nr, [Reg::Rbx.into(), at.into(), 1.into()]);
    program.expect(result, code);
}

/// A run to its end: the server on a, the client on b 1 ms later.
pub fn run(server: Program, client: Program, faults: &str) -> (World<Scripted>, Vec<Record>) {
    run_as(server, client, ["", ""], faults)
}

/// The same; `more` is what the scenario says of each of them beside, as in "at-boot = true".
pub fn run_as(
    server: Program,
    client: Program,
    more: [&str; 2],
    faults: &str,
) -> (World<Scripted>, Vec<Record>) {
    finish(world_of(server, client, more, faults))
}

/// The world of `run_as`, before anything happened.
pub fn world_of(
    server: Program,
    client: Program,
    more: [&str; 2],
    faults: &str,
) -> World<Scripted> {
    let mut platform = Scripted::default();
    platform.install("/bin/server", server);
    platform.install("/bin/client", client);
    let text = format!(
        "[[process]]\nname = \"server\"\nhost = \"a\"\ncommand = [\"/bin/server\"]\n{}\n\
         [[process]]\nname = \"client\"\nhost = \"b\"\nstart = \"1ms\"\ncommand = [\"/bin/client\"]\n{}\n\
         {faults}",
        more[0], more[1]
    );
    let scenario: Scenario = scenario::parse("silence.toml", &text).unwrap();
    World::new(platform, scenario, &Options::default())
}

/// Runs a world to its end.
pub fn finish(mut world: World<Scripted>) -> (World<Scripted>, Vec<Record>) {
    while world.step() == Step::Moved {}
    let records = world.take_records().collect();
    (world, records)
}

/// When the client ended, in seconds; with status 7, as all of them end when all is as expected.
pub fn client_ended(world: &World<Scripted>) -> f64 {
    let Fate::Ended(status, at) = world.fates["client"] else {
        panic!("the client: {:?}", world.fates["client"])
    };
    assert_eq!(status.0, 7 << 8, "the client's status");
    at.0 as f64 / 1e9
}

/// A segment that a host sent: when, flags, length of the payload.
pub fn sent(records: &[Record], host: usize) -> Vec<(f64, String, usize)> {
    let segment = |record: &Record| match &record.what {
        What::Kernel(Fact::Net(NetFact::Sent { packet, loopback: false })) => {
            match &packet.payload {
                Transport::Tcp { segment, .. } => Some((
                    record.at.0 as f64 / 1e9,
                    segment.flags.to_string(),
                    segment.payload.len(),
                )),
                Transport::Udp { .. } | Transport::Icmp(_) | Transport::Neigh(_) => None,
            }
        }
        What::Kernel(_) | What::Lab(_) => None,
    };
    records.iter().filter(|r| r.host == Some(host)).filter_map(segment).collect()
}

/// When TCP gave a connection up, and why.
pub fn gave_up(records: &[Record]) -> (f64, GaveUp) {
    let found = records.iter().find_map(|record| match &record.what {
        What::Kernel(Fact::Net(NetFact::Tcp {
            step: TcpFact::TimeoutGaveUp { by, .. }, ..
        })) => Some((record.at.0 as f64 / 1e9, *by)),
        What::Kernel(_) | What::Lab(_) => None,
    });
    found.expect("a connection is given up")
}

/// Times counted from the first one are the measured ones, in which a timer comes up to an eighth
/// of its length late (the timer wheel of Linux), and ours at its time.
pub fn schedule(times: &[f64], measured: &[f64]) {
    assert_eq!(times.len(), measured.len(), "{times:?}");
    for (time, wanted) in times.iter().zip(measured) {
        let since = time - times[0];
        assert!((since - wanted).abs() <= 0.03 + wanted * 0.07, "{since} for {wanted}: {times:?}");
    }
}
