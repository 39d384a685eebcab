//! Target: an executable file of any bytes (ELF, script, or neither), started on a scripted
//! platform and left alone: it is refused with an errno, or it runs into nothing and dies of a
//! signal; nothing panics, and nothing of it is left.

use crate::onlookers::Onlookers;
use cli::render::HostName;
use lab::scripted::{Program, Scripted};
use lab::world::Fate;
use lab::{Options, Step, World, scenario};

/// More steps than any program needs to die that has no code.
const STEPS: usize = 10_000;
/// What the host's guests may charge: enough for any program, and no time is lost on zeroing.
const MEMORY: u64 = 64 << 20;

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let mut platform = Scripted::default();
    // An interpreter for those who name one.
    let mut interpreter = Program::new(1);
    interpreter.exit(7);
    platform.install("/bin/i", interpreter);
    platform.lower.add_file("/bin/x", 0o755, bytes);
    let text = "until = \"20s\"\n[[process]]\ncommand = [\"/bin/x\", \"y\"]\n\
                [[fault]]\nat = \"10s\"\nkill = \"x\"";
    let scenario = scenario::parse("elf.toml", text).expect("a scenario");
    let address = scenario.hosts[0].address;
    let mut onlookers = Onlookers::new(vec![HostName { name: "a".to_owned(), address }]);
    let mut world = World::new(platform, scenario, &Options { trace: true, ..Options::default() });
    world.hosts[0].kernel.config.memory = MEMORY;
    for step in 0.. {
        assert!(step < STEPS, "it does not end");
        let more = world.step() == Step::Moved;
        world.take_records().for_each(|record| onlookers.see(&record));
        if !more {
            break;
        }
    }
    let fate = &world.fates["x"];
    assert!(matches!(fate, Fate::NotStarted | Fate::Ended(..)), "{fate:?}");
    assert_eq!(world.platform.guest_count(), 0, "a native context was left");
}
