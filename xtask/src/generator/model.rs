//! What the generator believes of the world that its program makes: which actors live, wait or have
//! stopped, and what their descriptors are. It is roughly right, so that most calls succeed and few
//! wait for ever; the truth is what the real kernel says. Neighbour: `make`, which asks and tells it.

use std::collections::BTreeMap;

/// The first and the last descriptor that programs name.
pub const FDS: std::ops::RangeInclusive<i64> = 3..=14;
/// Actors of one program.
pub const ACTORS: usize = 6;

/// What a descriptor is; numbers are objects of the model, or names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    PipeReader(usize),
    PipeWriter(usize),
    /// Its own queue and its peer's.
    Socket(usize, usize),
    Listener(i64),
    Event,
    Timer,
    Signal,
    Epoll,
    File(i64),
    Pidfd(usize),
    /// A message queue, by its name's number.
    Queue(usize),
    Inotify,
}

/// What an actor waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Busy {
    No,
    /// Bytes, or the end of them.
    Queue(usize),
    Child,
    Signal,
    Semaphore,
    Message,
    /// Something else, for which a signal will do.
    Other,
    Stopped,
    Dead,
}

/// An actor: a thread of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actor {
    pub process: usize,
    pub busy: Busy,
    pub mask: i64,
}

/// A process, by the number of its first actor.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Process {
    pub parent: usize,
    pub fds: BTreeMap<i64, Kind>,
    pub nonblocking: BTreeMap<i64, bool>,
    /// Handlers by signal: 1 ignored, 2 and 3 caught.
    pub handlers: BTreeMap<i64, i64>,
}

/// All of it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Model {
    pub actors: Vec<Actor>,
    pub processes: BTreeMap<usize, Process>,
    /// Bytes in each queue.
    pub queues: Vec<i64>,
    /// Names of sockets that listen, and how many wait to be accepted.
    pub listening: BTreeMap<i64, i64>,
    /// Which sets of semaphores there are; messages in the queues of both kinds.
    pub sems: [bool; 2],
    pub messages: [Option<i64>; 2],
    pub posted: [i64; 2],
}

impl Model {
    /// The first actor, alone.
    pub fn new() -> Model {
        let mut model = Model::default();
        model.actors.push(Actor { process: 0, busy: Busy::No, mask: 0 });
        model.processes.insert(0, Process::default());
        model
    }

    /// Actors that can make a call.
    pub fn free(&self) -> Vec<usize> {
        (0..self.actors.len()).filter(|a| self.actors[*a].busy == Busy::No).collect()
    }

    /// Actors that live.
    pub fn alive(&self) -> Vec<usize> {
        (0..self.actors.len()).filter(|a| self.actors[*a].busy != Busy::Dead).collect()
    }

    /// The process of an actor.
    pub fn of(&mut self, actor: usize) -> &mut Process {
        self.processes.entry(self.actors[actor].process).or_default()
    }

    /// An actor's descriptors of which `wanted` holds.
    pub fn fds(&mut self, actor: usize, wanted: impl Fn(Kind) -> bool) -> Vec<i64> {
        self.of(actor).fds.iter().filter(|(_, kind)| wanted(**kind)).map(|(fd, _)| *fd).collect()
    }

    /// A descriptor of the actor gets a new meaning.
    pub fn open(&mut self, actor: usize, fd: i64, kind: Kind, nonblocking: bool) {
        let process = self.of(actor);
        process.fds.insert(fd, kind);
        process.nonblocking.insert(fd, nonblocking);
    }

    /// A new queue.
    pub fn queue(&mut self) -> usize {
        self.queues.push(0);
        self.queues.len() - 1
    }

    /// Bytes arrive in a queue, or leave it; who waits for them does not any more.
    pub fn fill(&mut self, queue: usize, bytes: i64) {
        self.queues[queue] = (self.queues[queue] + bytes).max(0);
        if bytes >= 0 {
            for actor in &mut self.actors {
                if actor.busy == Busy::Queue(queue) {
                    actor.busy = Busy::No;
                    self.queues[queue] = 0;
                }
            }
        }
    }

    /// A child of this actor's process.
    pub fn fork(&mut self, actor: usize) -> usize {
        let (child, old) = (self.actors.len(), self.actors[actor]);
        let process = Process { parent: old.process, ..self.of(actor).clone() };
        self.processes.insert(child, process);
        self.actors.push(Actor { process: child, ..old });
        child
    }

    /// Another thread of it.
    pub fn thread(&mut self, actor: usize) -> usize {
        self.actors.push(self.actors[actor]);
        self.actors.len() - 1
    }

    /// A process's end: its parent may have waited for it.
    pub fn end(&mut self, process: usize) {
        let parent = self.processes.get(&process).map(|it| it.parent);
        for actor in &mut self.actors {
            if actor.process == process {
                actor.busy = Busy::Dead;
            } else if Some(actor.process) == parent && actor.busy == Busy::Child {
                actor.busy = Busy::No;
            }
        }
    }

    /// A signal that the kernel acts on.
    pub fn signal(&mut self, process: usize, signal: i64) {
        let handler = self.processes.get(&process).and_then(|it| it.handlers.get(&signal).copied());
        let caught = handler.is_some_and(|it| it >= 2);
        let blocked = |actor: &Actor| actor.mask >> (signal - 1) & 1 == 1;
        let all_block = self.actors.iter().filter(|a| a.process == process).all(blocked);
        let stops = matches!(signal, 20..=22) && handler.is_none();
        match signal {
            9 => return self.end(process),
            17 | 23 | 28 if !caught => return,
            18 => return self.wake(process, |busy| busy == Busy::Stopped),
            _ if signal != 19 && (handler == Some(1) || all_block) => return,
            _ => {}
        }
        if caught {
            self.wake(process, |busy| !matches!(busy, Busy::Stopped | Busy::Dead));
        } else if stops || signal == 19 {
            for actor in &mut self.actors {
                if actor.process == process && actor.busy != Busy::Dead {
                    actor.busy = Busy::Stopped;
                }
            }
        } else {
            self.end(process);
        }
    }

    fn wake(&mut self, process: usize, which: impl Fn(Busy) -> bool) {
        for actor in &mut self.actors {
            if actor.process == process && which(actor.busy) {
                actor.busy = Busy::No;
            }
        }
    }
}
