//! Guests that do not trap, in memory: who computes is left alone while nobody waits for it, and is
//! pre-empted in the end when somebody does; who spins is passed over at once. Invariant 6.

use kernel::fact::Fact;
use lab::scripted::{Insn, Program, Reg, Scripted};
use lab::world::Fate;
use lab::{Options, Scenario, Step, What, World, scenario};

/// Computes for so long, and exits with status 7.
fn computes(number: u64, seconds: u64) -> Program {
    let mut program = Program::new(number);
    program.push(Insn::Compute(Reg::R12, seconds));
    program.exit(7);
    program
}

fn spins(number: u64) -> Program {
    let mut program = Program::new(number);
    program.push(Insn::Spin);
    program.exit(7);
    program
}

/// A process each on host a, and what else the scenario says.
fn world(programs: Vec<Program>, more: &str) -> World<Scripted> {
    let mut platform = Scripted::default();
    let mut text = more.to_owned();
    for program in programs {
        let path = format!("/bin/p{}", program.number());
        text.push_str(&format!(
            "\n[[process]]\nname = \"p{}\"\nhost = \"a\"\ncommand = [\"{path}\"]\n",
            program.number()
        ));
        platform.install(&path, program);
    }
    let scenario: Scenario = scenario::parse("test.toml", &text).expect("a scenario");
    World::new(platform, scenario, &Options::default())
}

/// Runs to the end; how many steps, and the computed and passed seconds of each pre-emption.
fn run(world: &mut World<Scripted>) -> (u32, Vec<(u64, u64)>) {
    let mut steps = 0;
    while world.step() == Step::Moved {
        steps += 1;
    }
    let preempted = world.take_records().filter_map(|record| match record.what {
        What::Kernel(Fact::Preempted { computed, passed, .. }) => {
            Some((computed.as_secs(), passed.as_secs()))
        }
        _ => None,
    });
    (steps, preempted.collect())
}

fn code(world: &World<Scripted>, process: &str) -> Option<u32> {
    match world.fates[process] {
        Fate::Ended(status, _) => Some(status.code()),
        Fate::Waiting | Fate::Lost(_) | Fate::NotStarted | Fate::Running(_) => None,
    }
}

/// The second in which a process ended.
fn end(world: &World<Scripted>, process: &str) -> Option<u64> {
    match world.fates[process] {
        Fate::Ended(_, at) => Some(at.as_nanos() / 1_000_000_000),
        Fate::Waiting | Fate::Lost(_) | Fate::NotStarted | Fate::Running(_) => None,
    }
}

const KILL: &str = "[[fault]]\nat = \"3600s\"\nkill = \"p1\"\n";

#[test]
fn a_long_computation_is_left_alone_while_nobody_waits() {
    let mut world = world(vec![computes(1, 100_000)], "");
    let (_, preempted) = run(&mut world);
    assert_eq!((preempted, world.chance()), (vec![], None));
    assert_eq!(code(&world, "p1"), Some(7));
    assert!(world.now().as_nanos() < 1_000_000, "computing takes no virtual time");
}

#[test]
fn who_waits_waits_for_ten_seconds() {
    let mut twice = Vec::new();
    for seconds in [0, 9] {
        let mut world = world(vec![computes(1, seconds)], KILL);
        assert_eq!(run(&mut world).1, vec![]);
        assert_eq!((code(&world, "p1"), world.chance()), (Some(7), None));
        twice.push(world.digest());
    }
    assert_eq!(twice[0], twice[1], "how often the watchdog looked leaves no trace");
}

#[test]
fn a_computation_is_preempted_for_a_planned_fault_in_bounded_time() {
    let mut world = world(vec![computes(1, u64::MAX)], KILL);
    let (_, preempted) = run(&mut world);
    // Real time counts as virtual time for twenty seconds, and then twice, four times …
    assert_eq!(
        preempted[..12],
        [
            (10, 10),
            (11, 1),
            (12, 1),
            (13, 1),
            (14, 1),
            (15, 1),
            (16, 1),
            (17, 1),
            (18, 1),
            (19, 1),
            (20, 1),
            (21, 2)
        ]
    );
    assert!(preempted.len() < 100, "{preempted:?}");
    assert_eq!(end(&world, "p1"), Some(3600), "the fault comes at its time");
    assert_eq!(preempted.last().map(|(_, passed)| *passed >= 128), Some(true), "{preempted:?}");
    let why = world.chance().expect("a reason");
    assert!(why.starts_with("p1[2] on a computed for 10.0s without a system call"), "{why}");
    assert!(matches!(world.fates["p1"], Fate::Ended(status, _) if status.signal().is_some()));
}

#[test]
fn the_others_of_the_host_wait_too() {
    let mut world = world(vec![computes(1, 50), computes(2, 0)], "");
    let (_, preempted) = run(&mut world);
    assert_eq!(preempted, [(10, 10)], "once the other is gone nobody waits any more");
    assert_eq!((code(&world, "p1"), code(&world, "p2")), (Some(7), Some(7)));
}

#[test]
fn time_goes_on_when_a_signal_ends_each_turn() {
    // p1 computes and catches SIGUSR1, p2 sends one whenever it has the CPU, p3 sleeps for 5 s.
    const SA_RESTORER: u64 = 0x0400_0000;
    let mut target = Program::new(1);
    let (begin, handler, restorer) = (target.label(), target.label(), target.label());
    target.push(Insn::Jump(begin));
    target.here(handler);
    target.push(Insn::Return);
    target.here(restorer);
    target.call(15, []); // rt_sigreturn
    target.here(begin);
    let action = target.bytes(&[0; 32]);
    for (at, value) in [(0, handler.into()), (8, SA_RESTORER.into()), (16, restorer.into())] {
        target.push(Insn::Store { to: (action + at).into(), value, size: 8 });
    }
    target.call(13, [10.into(), action.into(), 0.into(), 8.into()]); // rt_sigaction
    target.expect(0, 30);
    target.push(Insn::Compute(Reg::R12, u64::MAX));
    let mut sender = Program::new(2);
    let again = sender.label();
    sender.here(again);
    sender.call(62, [2.into(), 10.into()]); // kill
    sender.call(24, []); // sched_yield
    sender.push(Insn::Jump(again));
    let mut sleeper = Program::new(3);
    let time = sleeper.bytes(&[5_u64.to_le_bytes(), [0; 8]].concat());
    sleeper.call(35, [time.into(), 0.into()]); // nanosleep
    sleeper.exit(7);
    let mut world = world(vec![target, sender, sleeper], "until = \"6s\"\n");
    let (_, preempted) = run(&mut world);
    assert_eq!((code(&world, "p3"), end(&world, "p3")), (Some(7), Some(5)));
    assert!(preempted.len() < 100, "{}", preempted.len());
}

#[test]
fn a_time_limit_that_somebody_set_waits_as_well() {
    let mut world = world(vec![computes(1, u64::MAX)], "until = \"30s\"\n");
    let (_, preempted) = run(&mut world);
    assert!(preempted.len() < 20, "{preempted:?}");
    assert_eq!(code(&world, "p1"), None);
}

#[test]
fn spinning_tasks_are_passed_over_together() {
    for number in [1, 2, 3] {
        let mut world = world((1..=number).map(spins).collect(), KILL);
        let (steps, preempted) = run(&mut world);
        assert_eq!((preempted, world.chance()), (vec![], None));
        assert!(steps < 100, "{number} spinning tasks: {steps} steps");
    }
}
