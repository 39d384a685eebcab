//! `init = true`: a process that is its host's PID 1, as in a container. What it cannot be killed by,
//! and that nobody outlives it: rules S-13, S-14, X-31 of docs/linux-semantics.md.
//! The built-in init is in `processes`.

mod common;

use common::*;
use kernel::abi::signal::Signal;
use kernel::fact::{Fact, TaskFact};
use kernel::task::{Pid, WaitStatus};
use lab::scripted::{Insn, Is, Program, Reg};
use lab::world::Fate;
use lab::{Record, What};

const FORK: u64 = 57;
const GETPID: u64 = 39;
const GETPPID: u64 = 110;
const KILL_CALL: u64 = 62;
const INIT: [&str; 2] = ["init = true", ""];

/// Accepts one connection as PID 1 and leaves it to a child that waits for ever.
fn init_with_a_child() -> Program {
    let mut program = server();
    program.call(FORK, []);
    let parent = program.label();
    program.push(Insn::JumpIf(Reg::Rax.into(), Is::NotEqual, 0.into(), parent));
    program.call(GETPPID, []);
    program.expect(1, 30);
    program.call(PAUSE, []);
    program.exit(31);
    program.here(parent);
    program.call(GETPID, []);
    program.expect(1, 32);
    sleep(&mut program, 20);
    program
}

fn task_facts(records: &[Record]) -> Vec<(u32, &TaskFact)> {
    records
        .iter()
        .filter(|record| record.host == Some(0))
        .filter_map(|record| match &record.what {
            What::Kernel(Fact::Task(fact)) => Some((record.pid.map_or(0, |pid| pid.0), fact)),
            _ => None,
        })
        .collect()
}

#[test]
fn nobody_outlives_pid_1() {
    // the connection that the child held ends with a FIN, and the child's death comes before
    // PID 1's is told.
    let mut init = init_with_a_child();
    init.exit(3);
    let mut program = client(0);
    byte(&mut program, READ, 0, 17);
    program.exit(7);
    let (world, records) = run_as(init, program, INIT, "");
    client_ended(&world);
    let Fate::Ended(status, _) = world.fates["server"] else { panic!("{:?}", world.fates) };
    assert_eq!(status, WaitStatus(3 << 8));
    let facts = task_facts(&records);
    let child = facts.iter().position(|(pid, fact)| {
        *pid == 2 && matches!(fact, TaskFact::DoExit { status, .. } if *status == WaitStatus::killed(Signal::SIGKILL))
    });
    let told = facts.iter().position(|(pid, fact)| {
        *pid == 1 && matches!(fact, TaskFact::ExitNotify { parent: None, .. })
    });
    assert!(child.is_some() && child < told, "{child:?} {told:?}");
    assert_eq!(world.hosts[0].kernel.groups.iter().count(), 1, "only PID 1 itself is left");
}

#[test]
fn what_an_init_does_not_handle_does_not_kill_it_but_sigkill_from_outside_does() {
    // S-13: not even its own SIGKILL; S-14: SIGTERM from outside neither, SIGKILL from there does.
    let mut init = server();
    init.call(KILL_CALL, [1.into(), 9.into()]);
    init.expect(0, 40);
    init.call(PAUSE, []);
    init.exit(41);
    let mut program = client(0);
    byte(&mut program, READ, 0, 17);
    program.exit(7);
    let faults = "[[fault]]\nat = \"50ms\"\nterminate = \"server\"\n\
                  [[fault]]\nat = \"100ms\"\nkill = \"server\"\n";
    let (world, _) = run_as(init, program, INIT, faults);
    assert!((client_ended(&world) - 0.1).abs() < 0.001, "at the second fault");
    let Fate::Ended(status, _) = world.fates["server"] else { panic!("{:?}", world.fates) };
    assert_eq!(status, WaitStatus::killed(Signal::SIGKILL));
}

#[test]
fn a_process_beside_an_init_has_its_parent_outside() {
    let mut beside = client(0);
    beside.call(GETPPID, []);
    beside.expect(0, 42);
    beside.call(GETPID, []);
    beside.expect(2, 43);
    beside.exit(7);
    let mut platform = lab::scripted::Scripted::default();
    platform.install("/bin/server", idle_server());
    platform.install("/bin/client", beside);
    let text = "[[process]]\nname = \"client\"\nhost = \"a\"\nstart = \"1ms\"\n\
                command = [\"/bin/client\"]\n\
                [[process]]\nname = \"server\"\nhost = \"a\"\ninit = true\n\
                command = [\"/bin/server\"]\n";
    let scenario = lab::scenario::parse("init.toml", text).unwrap();
    let world = lab::world::World::new(platform, scenario, &lab::world::Options::default());
    let (world, _) = finish(world);
    client_ended(&world);
    assert!(matches!(world.fates["server"], Fate::Running(Pid(1))), "{:?}", world.fates);
}

#[test]
fn a_crash_and_the_oom_killer_end_a_process_as_the_kernel_does() {
    for (fault, signal) in [("crash", Signal::SIGSEGV), ("oom", Signal::SIGKILL)] {
        let mut program = client(0);
        byte(&mut program, READ, 0, 17);
        program.exit(7);
        let faults = format!("[[fault]]\nat = \"50ms\"\n{fault} = \"server\"\n");
        let (world, _) = run_as(idle_server(), program, ["", ""], &faults);
        client_ended(&world);
        let Fate::Ended(status, _) = world.fates["server"] else { panic!("{:?}", world.fates) };
        assert_eq!(status.signal(), Some(signal), "{fault}");
    }
}
