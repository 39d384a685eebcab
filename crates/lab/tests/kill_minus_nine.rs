//! The whole way from a kill to a FIN, in memory: two hosts, scripted guests, one world. What the
//! ptrace platform shows with real programs is held here in milliseconds, down to the order of
//! facts. Rules F-2, F-6, X-8, T-7, P-1.

use kernel::abi::signal::Signal;
use kernel::fact::{Fact, NetFact, TaskFact};
use kernel::net::packet::{Packet, Transport};
use lab::scripted::{Program, Reg, Scripted};
use lab::world::Fate;
use lab::{Options, Record, Scenario, Step, What, World, scenario};

const READ: u64 = 0;
const SOCKET: u64 = 41;
const CONNECT: u64 = 42;
const ACCEPT: u64 = 43;
const BIND: u64 = 49;
const LISTEN: u64 = 50;
const FORK: u64 = 57;
const PAUSE: u64 = 34;

/// Accepts one connection into rbx and leaves the listener in rbp.
fn accepts_one(program: &mut Program) {
    let here = program.sockaddr_in([0, 0, 0, 0], 7000);
    program.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    program.expect_success(10);
    program.set(Reg::Rbp, Reg::Rax);
    program.call(BIND, [Reg::Rbp.into(), here.into(), 16.into()]);
    program.expect(0, 11);
    program.call(LISTEN, [Reg::Rbp.into(), 8.into()]);
    program.expect(0, 12);
    program.call(ACCEPT, [Reg::Rbp.into(), 0.into(), 0.into()]);
    program.expect_success(13);
    program.set(Reg::Rbx, Reg::Rax);
}

/// Reads from the connection for ever.
fn blocked_reader() -> Program {
    let mut program = Program::new(1);
    accepts_one(&mut program);
    let buffer = program.space(16);
    program.call(READ, [Reg::Rbx.into(), buffer.into(), 16.into()]);
    program.exit(20);
    program
}

/// Forks after accept; parent and child wait for ever.
fn forker() -> Program {
    let mut program = Program::new(1);
    accepts_one(&mut program);
    program.call(FORK, []);
    program.call(PAUSE, []);
    program.exit(20);
    program
}

/// Connects and reads; its exit status is what read returned.
fn client() -> Program {
    let mut program = Program::new(2);
    let there = program.sockaddr_in([10, 0, 0, 1], 7000);
    let buffer = program.space(16);
    program.call(SOCKET, [2.into(), 1.into(), 0.into()]);
    program.set(Reg::Rbx, Reg::Rax);
    program.call(CONNECT, [Reg::Rbx.into(), there.into(), 16.into()]);
    program.expect(0, 14);
    program.call(READ, [Reg::Rbx.into(), buffer.into(), 16.into()]);
    program.expect(0, 15);
    program.exit(7);
    program
}

fn world(server: Program, more: &str, seed: u64) -> World<Scripted> {
    let mut platform = Scripted::default();
    platform.install("/bin/server", server);
    platform.install("/bin/client", client());
    let text = format!(
        "seed = {seed}\n\
         [[process]]\nname = \"server\"\nhost = \"a\"\ncommand = [\"/bin/server\"]\n\
         [[process]]\nname = \"client\"\nhost = \"b\"\nstart = \"1ms\"\ncommand = [\"/bin/client\"]\n\
         {more}"
    );
    let scenario: Scenario = scenario::parse("test.toml", &text).unwrap();
    World::new(platform, scenario, &Options::default())
}

fn run(world: &mut World<Scripted>) -> Vec<Record> {
    while world.step() == Step::Moved {}
    world.take_records().collect()
}

fn status(world: &World<Scripted>, process: &str) -> Option<u32> {
    match world.fates[process] {
        Fate::Ended(status, _) => Some(status.0),
        Fate::Waiting | Fate::NotStarted | Fate::Running(_) | Fate::Lost(_) => None,
    }
}

fn flags(packet: &Packet) -> String {
    match &packet.payload {
        Transport::Tcp { segment, .. } => segment.flags.to_string(),
        Transport::Udp { .. } | Transport::Icmp(_) | Transport::Neigh(_) => String::new(),
    }
}

/// Index of the first fact that `wanted` accepts.
fn position(records: &[Record], wanted: impl Fn(&Fact) -> bool) -> Option<usize> {
    records.iter().position(|r| match &r.what {
        What::Kernel(fact) => wanted(fact),
        What::Lab(_) => false,
    })
}

fn sends(records: &[Record], what: &str) -> Option<usize> {
    position(records, |fact| match fact {
        Fact::Net(NetFact::Sent { packet, .. }) => flags(packet) == what,
        _ => false,
    })
}

const KILL: &str = "[[fault]]\nat = \"50ms\"\nkill = \"server\"";

#[test]
fn fin_precedes_sigchld_when_a_blocked_reader_is_killed() {
    // once the parent can know, the FIN has left.
    let mut world = world(blocked_reader(), KILL, 1);
    let records = run(&mut world);
    assert_eq!(status(&world, "server"), Some(u32::from(Signal::SIGKILL.number())));
    assert_eq!(status(&world, "client"), Some(7 << 8), "read → 0: T-39");
    let fin = sends(&records, "F.").expect("a FIN leaves");
    let notify = |f: &Fact| matches!(f, Fact::Task(TaskFact::ExitNotify { .. }));
    let notify = position(&records, notify).expect("the parent is told");
    assert!(fin < notify, "FIN is fact {fin}, exit_notify fact {notify}");
    assert_eq!(sends(&records, "R."), None);
}

#[test]
fn a_forked_child_keeps_the_connection_open() {
    // F-2: the parent's death releases nothing that the child still holds.
    let mut world = world(forker(), KILL, 1);
    let records = run(&mut world);
    assert_eq!(status(&world, "server"), Some(u32::from(Signal::SIGKILL.number())));
    assert_eq!(status(&world, "client"), None, "it still reads");
    assert_eq!((sends(&records, "F."), sends(&records, "R.")), (None, None));
}

#[test]
fn a_host_without_power_says_nothing() {
    // P-1, P-2.
    let mut world = world(blocked_reader(), "[[fault]]\nat = \"50ms\"\npower-off = \"a\"", 1);
    let records = run(&mut world);
    assert_eq!(status(&world, "client"), None);
    assert_eq!((sends(&records, "F."), sends(&records, "R.")), (None, None));
    assert_eq!(world.platform.guest_count(), 1, "the guests of the dead host are released");
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let digest = |seed| {
        let mut world = world(blocked_reader(), KILL, seed);
        run(&mut world);
        world.digest()
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn a_clone_of_a_world_goes_on_as_the_world_does() {
    // Invariant 1: a world is a value.
    let mut world = world(blocked_reader(), KILL, 1);
    for _ in 0..20 {
        world.step();
    }
    let mut copy = world.clone();
    let (first, second) = (run(&mut world), run(&mut copy));
    assert_eq!(first, second);
    assert_eq!(world.digest(), copy.digest());
    assert!(world.hosts == copy.hosts, "the kernels end equal");
}
