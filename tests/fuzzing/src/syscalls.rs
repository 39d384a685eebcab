//! Target: up to three programs on two hosts that make arbitrary calls with arbitrary arguments
//! (numbers, addresses mapped, unmapped and at boundaries, structures of arbitrary bytes, results of
//! earlier calls) and calls that make sense (`sensible`, `scenes`), fork, take signals, fault and die.
//! Whatever they ask for, the kernel answers; waiting handlers are run twice and compared
//! (invariant 3); the same input has the same history twice; every fact can be shown.

use crate::choices::Choices;
use crate::onlookers::Onlookers;
use crate::sensible::{LAST, Shapes};
use cli::render::HostName;
use kernel::fact::Fact;
use kernel::syscall::table;
use lab::scripted::{Insn, Is, Label, Program, Reg, Scripted, Value};
use lab::world::Fate;
use lab::{Options, Step, What, World, scenario};
use std::collections::BTreeSet;

/// Calls that end the program (or hang it up in a signal frame that is none) before its other calls
/// can say anything: rt_sigreturn, exit, exit_group. They need a number with the highest bit.
pub const ENDS: [u64; 3] = [15, 60, 231];
/// What one program does at most.
const DEEDS: usize = 120;
/// Steps after which we look away: programs that loop or fork end no sooner for being watched.
const STEPS: usize = 8_000;
/// Tasks of a host, so that 2^n forks stay few.
const TASKS: usize = 24;
/// What a host's guests may charge.
const MEMORY: u64 = 64 << 20;

/// What is kept of calls' results for later calls.
pub const KEPT: [Reg; 4] = [Reg::Rbx, Reg::R12, Reg::R13, Reg::R14];

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The world's digest.
    pub digest: String,
    /// How many calls returned.
    pub calls: usize,
    /// Numbers of the calls that succeeded.
    pub succeeded: BTreeSet<u64>,
}

/// Runs the target.
pub fn run(bytes: &[u8]) {
    history(bytes);
}

/// Runs the world that `bytes` mean, twice.
pub fn history(bytes: &[u8]) -> History {
    let world = world(bytes);
    let host =
        |h: &lab::world::Host| HostName { name: h.name.clone(), address: h.kernel.config.address };
    let onlookers = Onlookers::new(world.hosts.iter().map(host).collect());
    let first = watch(world.clone(), onlookers);
    assert_eq!(first, watch(world, Onlookers::nobody()), "two histories");
    first
}

/// The world that `bytes` mean.
fn world(bytes: &[u8]) -> World<Scripted> {
    let mut choices = Choices::new(bytes);
    let count = 1 + choices.below(3);
    let mut platform = Scripted::default();
    let mut text = String::from("until = \"20s\"\n");
    let programs: Vec<Program> =
        (0..count).map(|i| Writer::new(&mut choices, i as u64 + 1).write()).collect();
    let mut last = Program::new(programs.len() as u64 + 1);
    last.exit(0);
    platform.install(LAST, last);
    for (i, program) in programs.into_iter().enumerate() {
        let host = ["a", "a", "b"][i];
        platform.install(&format!("/bin/p{i}"), program);
        text += &format!("[[process]]\nhost = \"{host}\"\ncommand = [\"/bin/p{i}\"]\n");
        text += &format!("[[fault]]\nat = \"5s\"\nkill = \"p{i}\"\n");
    }
    let scenario = scenario::parse("calls.toml", &text).expect("a scenario");
    let mut world = World::new(platform, scenario, &Options { trace: true, ..Options::default() });
    for host in &mut world.hosts {
        host.kernel.config.threads_max = TASKS;
        host.kernel.config.memory = MEMORY;
    }
    world
}

/// Steps a world to its end.
fn watch(mut world: World<Scripted>, mut onlookers: Onlookers) -> History {
    let (mut calls, mut succeeded) = (0, BTreeSet::new());
    for _ in 0..STEPS {
        let step = world.step();
        for record in world.take_records() {
            if let What::Kernel(Fact::Syscall(call)) = &record.what {
                calls += 1;
                let good = call.result.is_some_and(|result| (result as i64) >= 0);
                succeeded.extend(good.then_some(call.nr));
            }
            onlookers.see(&record);
        }
        if step != Step::Moved {
            let ended = |fate: &Fate| matches!(fate, Fate::Ended(..));
            assert!(
                world.fates.values().all(ended),
                "somebody outlived its kill: {:?}",
                world.fates
            );
            break;
        }
    }
    History { digest: world.digest(), calls, succeeded }
}

/// A program in the making.
pub struct Writer<'c, 'b> {
    /// What is left of the input.
    pub choices: &'c mut Choices<'b>,
    /// What is written so far.
    pub program: Program,
    /// What makes sense.
    pub shapes: Shapes,
    /// What arguments may point to.
    pub places: Vec<u64>,
    handler: Label,
    /// Labels of deeds that lie ahead, for jumps.
    ahead: Vec<(usize, Label)>,
}

impl<'c, 'b> Writer<'c, 'b> {
    /// The program's memory: a signal handler, names, addresses, structures of the input's bytes,
    /// an action, pointers to all of these, and empty pages.
    fn new(choices: &'c mut Choices<'b>, number: u64) -> Writer<'c, 'b> {
        let mut program = Program::new(number);
        let main = program.label();
        program.push(Insn::Jump(main));
        let handler = program.mark();
        program.call(39, []);
        program.push(Insn::Return);
        let restorer = program.mark();
        program.call(15, []);
        program.here(main);
        let mut places = Vec::new();
        for path in ["/", "/tmp", "/tmp/a", "/bin/p0", "/proc/self/status", "/dev/zero", "b", ""] {
            places.push(program.string(path));
        }
        places.push(program.sockaddr_in([127, 0, 0, 1], 7000));
        places.push(program.sockaddr_in([10, 0, 0, 2], 7000));
        places.push(program.sockaddr_in([0, 0, 0, 0], 7000));
        let (handler_at, restorer_at) = (program.address(handler), program.address(restorer));
        let flags = 0x0400_0000 | u64::from(choices.byte()) << 24 | u64::from(choices.byte() & 7);
        let words = [handler_at, flags, restorer_at, choices.u64()];
        places.push(program.bytes(&words.map(u64::to_le_bytes).concat()));
        for _ in 0..4 {
            let mut bytes = choices.take(24).to_vec();
            bytes.resize(64, 0);
            places.push(program.bytes(&bytes));
        }
        // An array of iovecs (or a msghdr, or an argv): addresses and small lengths in turn.
        let pairs: Vec<u64> = places.iter().flat_map(|at| [*at, 16]).collect();
        places.push(program.pointers(&pairs));
        places.push(program.pointers(&places.clone()));
        let shapes = Shapes::new(&mut program);
        for _ in 0..3 {
            places.push(program.space(4096));
        }
        // Structures that hang over the end of what is mapped.
        let end = program.space(8).next_multiple_of(4096);
        places.extend([end - 1, end - 8, end - 24]);
        Writer { choices, program, shapes, places, handler, ahead: Vec::new() }
    }

    fn write(mut self) -> Program {
        for deed in 0..DEEDS {
            if self.choices.is_empty() {
                break;
            }
            self.arrive(deed);
            self.deed(deed);
        }
        self.arrive(usize::MAX);
        self.program.exit(0);
        self.program
    }

    /// Whoever jumped as far as here goes on here.
    fn arrive(&mut self, deed: usize) {
        let (here, ahead) = self.ahead.drain(..).partition(|(to, _)| *to <= deed);
        self.ahead = ahead;
        let here: Vec<(usize, Label)> = here;
        here.into_iter().for_each(|(_, label)| self.program.here(label));
    }

    fn deed(&mut self, deed: usize) {
        match self.choices.byte() {
            // Whoever got zero (a forked child, a success) leaves some deeds out.
            240..=247 => {
                let to = self.program.label();
                self.ahead.push((deed + 2 + self.choices.below(8), to));
                let kept = self.choices.of(&KEPT).into();
                self.program.push(Insn::JumpIf(kept, Is::Equal, 0.into(), to));
            }
            248 | 249 => {
                let at = self.argument();
                self.program.push(Insn::Touch { at, write: self.choices.byte() & 1 == 1 });
            }
            250 | 251 => {
                let (to, value) = (self.place().into(), self.argument());
                self.program.push(Insn::Store { to, value, size: 8 });
            }
            252 => self.program.push(Insn::Tsc),
            253 => self.program.push(Insn::Spin),
            254 => self.program.push(Insn::Illegal),
            255 => self.program.exit(i32::from(self.choices.byte())),
            96..=191 => self.sensible_call(),
            192..=239 => self.scene(),
            0..=95 => self.call(),
        }
    }

    fn call(&mut self) {
        let raw = self.choices.u16();
        let nr = u64::from(raw) % table::TABLE_LEN as u64;
        let nr = if ENDS.contains(&nr) && raw < 0x8000 { 39 } else { nr };
        let known = table::row(nr).map_or(6, |row| row.args.len());
        let mut args = [Value::Is(0); 6];
        for arg in args.iter_mut().take(known) {
            *arg = self.argument();
        }
        self.program.call(nr, args);
        self.keep();
    }

    /// A later call may use what this one returned.
    pub fn keep(&mut self) {
        let kept = self.choices.byte();
        if kept < 128 {
            self.program.set(KEPT[usize::from(kept) % KEPT.len()], Reg::Rax);
        }
    }

    fn place(&mut self) -> u64 {
        self.choices.of(&self.places.clone())
    }

    /// An argument of any kind.
    pub fn argument(&mut self) -> Value {
        match self.choices.byte() {
            kind @ 0..=63 => Value::Is(u64::from(kind)),
            64..=111 => Value::Is(self.place()),
            // An int that a call wrote (the ends of a pipe), a word.
            112..=127 => Value::Int(self.place() + 4 * u64::from(self.choices.byte() & 1)),
            128..=135 => Value::At(self.place()),
            136..=183 => self.choices.of(&KEPT).into(),
            184..=191 => Value::Is(u64::MAX - u64::from(self.choices.byte() & 127)),
            192..=207 => Value::Is(1 << (self.choices.byte() & 63)),
            208..=215 => Value::Is(u64::from(self.choices.u16())),
            216..=223 => Value::Is(u64::from(self.choices.u32())),
            224..=231 => Value::Is(self.choices.u64()),
            232..=239 => Value::Is(4096 * u64::from(self.choices.byte())),
            240..=247 => Value::Is(self.place().wrapping_add(self.choices.u16().into())),
            248..=251 => self.handler.into(),
            252..=255 => Value::Is(self.place() & !4095),
        }
    }
}
