//! Target: text that claims to be a scenario (or, after `$ `, a command line, or, after `? `, a
//! value with a unit). What is refused is refused with one readable line that names its place; what
//! is accepted becomes a world, which runs, and its checks are judged in readable lines.

use crate::onlookers::Onlookers;
use clap::Parser;
use cli::args::{Cli, Command};
use cli::render::HostName;
use kernel::kernel::Config;
use lab::scenario::{self, Scenario};
use lab::scripted::{Program, Scripted};
use lab::{Options, Step, World, verdict};

/// How many steps an accepted scenario's world is taken.
const STEPS: usize = 200;
/// An accepted scenario with more hosts or processes than this is not run: it would only be slow.
const CROWD: usize = 20;

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(line) = text.strip_prefix("$ ") {
        return command_line(line);
    }
    if let Some(value) = text.strip_prefix("? ") {
        return one_value(value);
    }
    match scenario::parse("s.toml", &text) {
        Ok(scenario) => world(scenario),
        Err(error) => {
            let lines = text.lines().count().max(1);
            assert!((1..=lines + 1).contains(&error.line), "line {} of {lines}", error.line);
            readable(&error.to_string());
        }
    }
}

/// One line, with words in it, that a terminal shows as it is.
fn readable(message: &str) {
    assert!(!message.trim().is_empty(), "an empty message");
    assert!(message.contains(' '), "not a sentence: {message:?}");
    let strange = message.chars().find(|c| c.is_control());
    assert_eq!(strange, None, "a terminal would not show this: {message:?}");
}

fn one_value(text: &str) {
    let refusals = [
        scenario::parse_duration(text).err(),
        scenario::parse_signal(text).err(),
        scenario::parse_user(text).err(),
    ];
    for refusal in refusals.iter().flatten() {
        readable(refusal);
    }
}

/// Words as a shell would pass them; what was understood can be typed again.
fn command_line(line: &str) {
    let words = ["afterlife"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words) {
        Ok(Cli { command: Command::Run(args) }) => {
            assert_eq!(args.scenario.is_some(), args.command.is_empty(), "both or neither");
            let seed = args.seed.unwrap_or(1);
            assert!(args.replay(seed).starts_with(&format!("afterlife run --seed {seed}")));
        }
        // It is nothing that can be typed again.
        Ok(Cli { command: Command::Deaths(_) }) => {}
        Err(refusal) => assert!(!refusal.to_string().is_empty(), "an empty message"),
    }
}

fn world(scenario: Scenario) {
    if scenario.hosts.len() + scenario.processes.len() > CROWD {
        return;
    }
    let mut platform = Scripted::default();
    let mut sleeper = Program::new(1);
    sleeper.call(34, []); // pause
    platform.install("/bin/x", sleeper);
    platform.lower.add_file("/etc/passwd", 0o644, b"nobody:x:65534:65534::/:\n".to_vec());
    let host =
        |spec: &scenario::HostSpec| HostName { name: spec.name.clone(), address: spec.address };
    let mut onlookers = Onlookers::new(scenario.hosts.iter().map(host).collect());
    let mut world = World::new(platform, scenario, &Options { trace: true, ..Options::default() });
    for host in &mut world.hosts {
        host.kernel.config = Config { check_reruns: false, ..host.kernel.config.clone() };
    }
    for _ in 0..STEPS {
        let step = world.step();
        world.take_records().for_each(|record| onlookers.see(&record));
        if step != Step::Moved {
            break;
        }
    }
    for failure in verdict::failures(&world) {
        readable(&failure.message);
    }
}
