//! Random programs: each has a few subjects that it is mostly about, so that rare things meet each
//! other (jobs and wait, epoll and the order of closing, threads and masks). Line by line as
//! tests/guests' `actors` reads them. Neighbours: `model` (what is likely to succeed), `subjects`,
//! `files` and `ipc` (one function per subject), `scenes` (several steps in a sensible order).

use super::model::{ACTORS, Busy, FDS, Model};
use super::random::Random;
use super::{files, ipc, scenes, subjects};

/// A step: `ACTOR CALL ARGUMENTS…`.
pub type Line = String;

/// A program in the making.
pub struct Maker {
    pub random: Random,
    pub model: Model,
    pub lines: Vec<Line>,
    /// Signals that this program is about.
    pub signals: Vec<i64>,
}

/// Makes a few steps by an actor, or none if it has nothing to make them with.
type Subject = fn(&mut Maker, usize) -> Option<()>;

/// What programs are about, and how often at most: scenes make many steps at once.
const SUBJECTS: [(Subject, usize); 26] = [
    (subjects::birth, 9),
    (subjects::death, 9),
    (subjects::waiting, 9),
    (subjects::identity, 9),
    (subjects::jobs, 9),
    (subjects::sending, 9),
    (subjects::catching, 9),
    (subjects::masking, 9),
    (subjects::awaiting, 9),
    (files::pipes, 20),
    (files::descriptors, 9),
    (files::sockets, 20),
    (files::listeners, 9),
    (files::locks, 9),
    (files::watching, 9),
    (files::counters, 9),
    (ipc::semaphores, 9),
    (ipc::messages, 9),
    (ipc::queues, 9),
    (ipc::hearing, 9),
    (ipc::undone, 2),
    (scenes::audience, 2),
    (scenes::burst, 2),
    (scenes::notice, 2),
    (scenes::lenders, 2),
    (scenes::heirs, 2),
];

/// All that a program may send; 32 and 33 belong to the C library.
const SIGNALS: [i64; 18] = [1, 2, 10, 12, 13, 15, 17, 18, 19, 20, 21, 23, 28, 29, 34, 35, 36, 40];

/// Some programs of a seed, by their numbers.
pub fn programs(seed: u64, numbers: std::ops::Range<u64>) -> super::sides::Programs {
    numbers.map(|number| (format!("{number:06}"), program(seed, number))).collect()
}

/// Program `number` of a seed.
pub fn program(seed: u64, number: u64) -> Vec<Line> {
    let mut random = Random::new(seed, number);
    let length = 10 + random.below(60);
    let signals: Vec<i64> = (0..2 + random.below(4)).map(|_| random.one(&SIGNALS)).collect();
    // Some subjects rarely, some often: which ones differs from program to program.
    let mut weights = [0; SUBJECTS.len()];
    for (weight, (_, most)) in weights.iter_mut().zip(SUBJECTS) {
        *weight = random.one(&[0, 0, 1, 1, 3, 20]).min(most);
    }
    weights[0] = weights[0].max(2);
    let mut maker = Maker { random, model: Model::new(), lines: Vec::new(), signals };
    maker.handlers();
    let mut patience = 20 * length;
    while maker.lines.len() < length && patience > 0 {
        patience -= 1;
        let (subject, _) = SUBJECTS[maker.random.weighted(&weights)];
        let free = maker.model.free();
        match maker.random.any(&free) {
            Some(actor) => {
                let _ = subject(&mut maker, actor);
            }
            None => break,
        }
    }
    maker.lines
}

impl Maker {
    /// Appends a step.
    pub fn say(&mut self, actor: usize, call: &str, args: &[i64]) {
        let args: String = args.iter().map(|it| format!(" {it}")).collect();
        self.lines.push(format!("{actor} {call}{args}"));
    }

    /// Handlers before anybody else is born, or a death would be the answer to most signals.
    fn handlers(&mut self) {
        for signal in self.signals.clone() {
            if ![19].contains(&signal) && !self.random.once_in(4) {
                let _ = subjects::catch(self, 0, signal);
            }
        }
    }

    /// One of this program's signals, or any other.
    pub fn signal(&mut self) -> i64 {
        let own = self.signals.clone();
        if self.random.once_in(8) { self.random.one(&SIGNALS) } else { self.random.one(&own) }
    }

    /// One of them, with a handler that says all that it is told.
    pub fn caught(&mut self, actor: usize) -> i64 {
        let signal = match self.signal() {
            9 | 17 | 18 | 19 => 10,
            signal => signal,
        };
        if self.model.of(actor).handlers.get(&signal) != Some(&3) {
            subjects::handle(self, actor, signal, 3, 0, 0);
        }
        signal
    }

    /// A set of them as a mask.
    pub fn set(&mut self) -> i64 {
        let number = self.random.below(4);
        (0..number).fold(0, |set, _| set | 1 << (self.signal() - 1))
    }

    /// A descriptor's number for something new.
    pub fn new_fd(&mut self, actor: usize) -> i64 {
        let all: Vec<i64> = FDS.collect();
        let open = self.model.fds(actor, |_| true);
        let free: Vec<i64> = all.iter().copied().filter(|fd| !open.contains(fd)).collect();
        // Now and then what is there is closed by it.
        if self.random.once_in(12) {
            self.random.one(&all)
        } else {
            self.random.any(&free).unwrap_or(3)
        }
    }

    /// One of an actor's descriptors.
    pub fn fd(&mut self, actor: usize, wanted: impl Fn(super::model::Kind) -> bool) -> Option<i64> {
        let fds = self.model.fds(actor, wanted);
        self.random.any(&fds)
    }

    /// An actor that lives, as an argument; seldom one that does not.
    pub fn somebody(&mut self) -> usize {
        let alive = self.model.alive();
        if self.random.once_in(12) {
            return self.random.below(ACTORS);
        }
        self.random.any(&alive).unwrap_or(0)
    }

    /// Whether this actor may wait now: somebody is left who can end it.
    pub fn may_wait(&mut self) -> bool {
        self.model.free().len() >= 2 && self.random.once_in(3)
    }

    /// Whoever waits for this does not any more.
    pub fn wake_all(&mut self, waiting: Busy) {
        for actor in &mut self.model.actors {
            if actor.busy == waiting {
                actor.busy = Busy::No;
            }
        }
    }

    /// It waits.
    pub fn waits(&mut self, actor: usize, how: Busy) {
        self.model.actors[actor].busy = how;
    }
}

/// An actor as an argument.
pub fn name(actor: usize) -> i64 {
    100 + actor as i64
}
