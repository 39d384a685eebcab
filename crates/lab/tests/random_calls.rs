//! Programs of random system calls with random arguments, in memory: whatever a guest asks for, the
//! kernel answers; nothing panics, nobody outlives the kill that ends it, and the same program has
//! the same history twice. Waiting handlers are run twice and compared (invariant 3). A failure
//! names its seed.

use kernel::fact::Fact;
use kernel::syscall::table;
use lab::scripted::{Program, Reg, Scripted};
use lab::world::Fate;
use lab::{Options, Record, Step, What, World, scenario};

/// How many programs; raise it to search. 2,500 (545,072 calls, one minute) had no finding.
const PROGRAMS: u64 = 60;

/// Calls that end the program before its other calls can say anything.
const ENDS: [u64; 3] = [15, 60, 231];

struct Draw(u64);

impl Draw {
    fn next(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A few things in the program's memory that arguments may point to.
struct Places {
    addresses: Vec<u64>,
}

fn argument(draw: &mut Draw, places: &Places) -> u64 {
    match draw.next(12) {
        0 => 0,
        1 => u64::MAX - draw.next(4),
        2 => 1 << draw.next(64),
        3 => draw.next(1 << 32),
        4 => draw.next(u64::MAX),
        5..8 => draw.next(12),
        8 => 4096 * draw.next(16),
        _ => places.addresses[draw.next(places.addresses.len() as u64) as usize],
    }
}

fn program(seed: u64) -> Program {
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut program = Program::new(1);
    let mut addresses = Vec::new();
    for path in ["/", "/tmp", "/tmp/a", "/bin/random", "/proc/self/status", "/dev/zero", "b", ""] {
        addresses.push(program.string(path));
    }
    addresses.push(program.sockaddr_in([127, 0, 0, 1], 7000));
    for _ in 0..6 {
        let bytes: Vec<u8> = (0..64).map(|_| draw.next(256) as u8).collect();
        addresses.push(program.bytes(&bytes));
    }
    let inner = program.pointers(&addresses);
    addresses.push(inner);
    for _ in 0..4 {
        addresses.push(program.space(4096));
    }
    let places = Places { addresses };
    let numbers: Vec<u64> =
        (0..480).filter(|nr| table::row(*nr).is_some() && !ENDS.contains(nr)).collect();
    for _ in 0..120 {
        let nr = numbers[draw.next(numbers.len() as u64) as usize];
        let args = [(); 6].map(|()| argument(&mut draw, &places).into());
        program.call(nr, args);
        if draw.next(3) == 0 {
            // A later call may use what this one returned.
            program.set(Reg::Rbx, Reg::Rax);
            let nr = numbers[draw.next(numbers.len() as u64) as usize];
            let mut args = [(); 6].map(|()| argument(&mut draw, &places).into());
            args[0] = Reg::Rbx.into();
            program.call(nr, args);
        }
    }
    program.exit(0);
    program
}

/// The digest of a program's history, and how many of its calls returned.
fn history(seed: u64) -> (String, usize) {
    let mut platform = Scripted::default();
    platform.install("/bin/random", program(seed));
    let text = format!(
        "seed = {seed}\nuntil = \"20s\"\n\
         [[process]]\nname = \"random\"\nhost = \"a\"\ncommand = [\"/bin/random\"]\n\
         [[fault]]\nat = \"5s\"\nkill = \"random\"\n"
    );
    let scenario = scenario::parse("random.toml", &text).expect("a scenario");
    let mut world = World::new(platform, scenario, &Options::default());
    let (mut steps, mut calls) = (0, 0);
    while world.step() == Step::Moved {
        steps += 1;
        assert!(steps < 2_000_000, "seed {seed}: no end");
        let returned = |r: &Record| matches!(r.what, What::Kernel(Fact::Syscall { .. }));
        calls += world.take_records().filter(returned).count();
    }
    assert!(matches!(world.fates["random"], Fate::Ended(..)), "seed {seed}: it lives on");
    (world.digest(), calls)
}

#[test]
fn random_calls_are_answered_and_repeat() {
    let mut calls = 0;
    for seed in 1..=PROGRAMS {
        let first = history(seed);
        calls += first.1;
        assert_eq!(first, history(seed), "seed {seed} has two histories");
    }
    // Programs that all die at their first call would find nothing.
    assert!(calls > 20 * PROGRAMS as usize, "{calls} calls in {PROGRAMS} programs");
}
