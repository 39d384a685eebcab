//! Short scenes of the `syscalls` target's programs, whose calls need each other: a pty and its slave,
//! a child that stops and is waited for, descriptors over a socket, a connection, a lock. Neighbours:
//! `syscalls`, who writes programs; `sensible`, whose structures these use.

use crate::sensible::{CWD, REQUESTS, SIZES};
use crate::syscalls::Writer;
use lab::scripted::{Insn, Is, Reg, Value};

impl Writer<'_, '_> {
    /// A call of a scene, and what becomes of its result.
    fn make<const N: usize>(&mut self, keep: Option<Reg>, nr: u64, args: [Value; N]) {
        self.program.call(nr, args);
        if let Some(register) = keep {
            self.program.set(register, Reg::Rax);
        }
    }

    /// One of the scenes. Their descriptors are in Rbx and R12, their children in R13.
    pub fn scene(&mut self) {
        let (a, b) = (Value::from(Reg::Rbx), Value::from(Reg::R12));
        match self.choices.byte() % 27 {
            0 => self.pty(),
            1 => {
                let (fd, request) = (self.end(), self.choices.of(&REQUESTS));
                let structure = self.choices.of(&self.shapes.structures);
                self.make(None, 16, [fd, request.into(), structure.into()]);
            }
            2 => self.line(a, b),
            3 => self.controlling_terminal(),
            4 => self.pair(53),
            5 => self.pair(293),
            6 => self.splices(),
            7 => self.shared_memory(),
            8 => self.signalfd(),
            9 => self.timers(),
            10 => self.stopped_child(),
            11 => self.unix_listener(),
            12 => self.rights(),
            13 => self.epoll(),
            14 => self.thread(),
            15 => self.semaphore(),
            16 | 17 => self.inet(),
            18 => self.option(),
            19 => self.directory(),
            20 => self.futex(),
            21 => self.pidfd(),
            22 => self.exec(),
            23 => self.waits_for_signals(),
            24 => self.moved_memory(),
            25 => self.locks(),
            _ => self.messages(),
        }
    }

    /// One of the two descriptors.
    fn end(&mut self) -> Value {
        if self.choices.byte() & 1 == 0 { Reg::Rbx.into() } else { Reg::R12.into() }
    }

    fn pty(&mut self) {
        let (path, zeros) = (self.shapes.paths[3], self.shapes.zeros);
        let flags = 2 | u64::from(self.choices.byte() & 1) << 11 | 0o400;
        self.make(Some(Reg::Rbx), 2, [path.into(), flags.into(), 0.into()]);
        self.make(None, 16, [Reg::Rbx.into(), 0x4004_5431.into(), zeros.into()]);
        self.make(Some(Reg::R12), 16, [Reg::Rbx.into(), 0x5441.into(), flags.into()]);
    }

    /// A line goes in at one end, and out at the other.
    fn line(&mut self, a: Value, b: Value) {
        let (at, len) = self.choices.of(&self.shapes.lines);
        let (from, to) = if self.choices.byte() & 1 == 0 { (a, b) } else { (b, a) };
        self.make(None, 1, [from, at.into(), len.into()]);
        self.make(None, 0, [to, self.shapes.answers.into(), 100.into()]);
    }

    /// A child leads a session whose terminal is the slave.
    fn controlling_terminal(&mut self) {
        let parent = self.fork();
        self.make(None, 112, []);
        self.make(None, 16, [Reg::R12.into(), 0x540e.into(), 0.into()]);
        if self.choices.byte() & 1 == 1 {
            self.program.exit(0);
        }
        self.program.here(parent);
    }

    /// Forks; who jumps to the label is the parent, and has the child's number in R13.
    fn fork(&mut self) -> lab::scripted::Label {
        let parent = self.program.label();
        self.make(Some(Reg::R13), 57, []);
        self.program.push(Insn::JumpIf(Reg::R13.into(), Is::NotEqual, 0.into(), parent));
        parent
    }

    /// socketpair(2) or pipe2(2).
    fn pair(&mut self, nr: u64) {
        let (answers, byte) = (self.shapes.answers, self.choices.byte());
        let nonblock = u64::from(byte & 1) << 11;
        if nr == 53 {
            let kind = [1, 2, 5][usize::from(byte >> 1) % 3] | nonblock;
            self.make(None, 53, [1.into(), kind.into(), 0.into(), answers.into()]);
        } else {
            let direct = u64::from(byte & 2) << 13;
            self.make(None, 293, [answers.into(), (nonblock | direct).into()]);
        }
        self.program.set(Reg::Rbx, Value::Int(answers));
        self.program.set(Reg::R12, Value::Int(answers + 4));
    }

    fn splices(&mut self) {
        let (from, to) = (self.end(), self.kept().into());
        let len = self.choices.of(&SIZES);
        let flags = u64::from(self.choices.byte() & 15);
        let zero = Value::Is(0);
        match self.choices.byte() % 5 {
            0 => self.make(None, 275, [from, zero, to, zero, len.into(), flags.into()]),
            1 => self.make(None, 276, [from, to, len.into(), flags.into()]),
            2 => self.make(
                None,
                278,
                [from, self.shapes.structures[7].into(), 2.into(), flags.into()],
            ),
            3 => self.make(None, 40, [to, from, zero, len.into()]),
            _ => self.make(None, 326, [from, zero, to, zero, len.into(), zero]),
        }
    }

    /// A memory file, or a file, written and mapped.
    fn shared_memory(&mut self) {
        let (path, byte) = (self.shapes.paths[1], self.choices.byte());
        if byte & 1 == 0 {
            self.make(Some(Reg::Rbx), 319, [path.into(), u64::from(byte >> 1 & 3).into()]);
        } else {
            self.make(Some(Reg::Rbx), 2, [path.into(), 0o102.into(), 0o600.into()]);
        }
        let len = self.choices.of(&SIZES);
        self.make(None, 77, [Reg::Rbx.into(), len.into()]);
        let flags = if byte & 8 == 8 { 2 } else { 1 };
        let map = [0.into(), 8192.into(), 3.into(), flags.into(), Reg::Rbx.into(), 0.into()];
        self.make(Some(Reg::R14), 9, map);
        self.program.push(Insn::Store { to: Reg::R14.into(), value: 7.into(), size: 8 });
    }

    fn signalfd(&mut self) {
        let (signals, answers) = (self.shapes.signals, self.shapes.answers);
        let nonblock = u64::from(self.choices.byte() & 1) << 11;
        self.make(None, 14, [0.into(), signals.into(), 0.into(), 8.into()]);
        let args = [u64::MAX.into(), signals.into(), 8.into(), nonblock.into()];
        self.make(Some(Reg::Rbx), 289, args);
        self.make(Some(Reg::R13), 39, []);
        let signal = u64::from(self.choices.byte() & 31);
        self.make(None, 62, [Reg::R13.into(), signal.into()]);
        self.make(None, 0, [Reg::Rbx.into(), answers.into(), 256.into()]);
    }

    fn timers(&mut self) {
        let (spec, answers, byte) =
            (self.shapes.itimerspec, self.shapes.answers, self.choices.byte());
        match byte % 3 {
            0 => {
                let clock = u64::from(byte >> 2 & 1);
                self.make(Some(Reg::Rbx), 283, [clock.into(), 0.into()]);
                self.make(None, 286, [Reg::Rbx.into(), 0.into(), spec.into(), 0.into()]);
                self.make(None, 0, [Reg::Rbx.into(), answers.into(), 8.into()]);
            }
            1 => {
                let event = self.shapes.structures[14];
                let clock = [0, 1, 2, 3, 7][usize::from(byte >> 2) % 5];
                self.make(None, 222, [clock.into(), event.into(), answers.into()]);
                self.make(None, 223, [Value::Int(answers), 0.into(), spec.into(), 0.into()]);
                self.make(None, 35, [self.shapes.millisecond.into(), 0.into()]);
            }
            _ => {
                let which = u64::from(byte >> 2) % 3;
                self.make(None, 38, [which.into(), self.shapes.millisecond.into(), 0.into()]);
                self.make(None, 34, []);
            }
        }
    }

    /// A child stops, is waited for, goes on, is waited for.
    fn stopped_child(&mut self) {
        let (answers, flags) = (self.shapes.answers, u64::from(self.choices.byte()));
        let parent = self.fork();
        self.make(None, 34, []);
        self.program.exit(3);
        self.program.here(parent);
        let child = Value::from(Reg::R13);
        for (signal, options) in [(19, 2), (18, 8), (15, flags & 1)] {
            self.make(None, 62, [child, signal.into()]);
            if flags & 2 == 0 {
                self.make(None, 61, [child, answers.into(), options.into(), answers.into()]);
            } else {
                let which = [1.into(), child, answers.into(), (options | 4).into(), 0.into()];
                self.make(None, 247, which);
            }
        }
    }

    fn unix_listener(&mut self) {
        let ((at, len), byte) = (self.shapes.unix, self.choices.byte());
        let kind = [1, 5, 2][usize::from(byte) % 3] | 0o4000;
        for register in [Reg::Rbx, Reg::R12] {
            self.make(Some(register), 41, [1.into(), kind.into(), 0.into()]);
        }
        self.make(None, 49, [Reg::Rbx.into(), at.into(), len.into()]);
        self.make(None, 50, [Reg::Rbx.into(), u64::from(byte >> 4).into()]);
        self.make(None, 42, [Reg::R12.into(), at.into(), len.into()]);
        self.make(Some(Reg::R13), 43, [Reg::Rbx.into(), 0.into(), 0.into()]);
    }

    /// Descriptors 0 and 1 go over a socket.
    fn rights(&mut self) {
        let (message, to, from) = (self.shapes.message, self.end(), self.end());
        let flags = [0, 0x40, 0x4000_0040, 2 | 0x40][usize::from(self.choices.byte() & 3)];
        self.make(None, 46, [to, message.into(), 0x40.into()]);
        self.make(Some(Reg::R13), 47, [from, message.into(), flags.into()]);
    }

    fn epoll(&mut self) {
        let (watched, answers) = (self.kept().into(), self.shapes.answers);
        let event = self.shapes.structures[11];
        self.make(Some(Reg::R14), 291, [0.into()]);
        let operation = u64::from(1 + self.choices.byte() % 3);
        self.make(None, 233, [Reg::R14.into(), 1.into(), watched, event.into()]);
        self.make(None, 233, [Reg::R14.into(), operation.into(), watched, event.into()]);
        self.make(None, 232, [Reg::R14.into(), answers.into(), 3.into(), 10.into()]);
    }

    /// A thread that goes on with what follows, on a stack of its own.
    fn thread(&mut self) {
        let stack = self.shapes.zeros + 4096;
        let flags = 0x0005_0f00 | if self.choices.byte() & 1 == 1 { 0x0020_0000 } else { 0 };
        let clear = self.shapes.answers;
        self.make(
            Some(Reg::R13),
            56,
            [flags.into(), stack.into(), 0.into(), clear.into(), 0.into()],
        );
    }

    fn semaphore(&mut self) {
        let (sembuf, spec) = (self.shapes.sembuf, self.shapes.millisecond);
        self.make(Some(Reg::R13), 64, [7.into(), 2.into(), 0o1666.into()]);
        let count = u64::from(1 + self.choices.byte() % 2);
        self.make(None, 220, [Reg::R13.into(), sembuf.into(), count.into(), spec.into()]);
    }

    /// A connection over loopback, both ends in one process.
    fn inet(&mut self) {
        let (at, byte) = (Value::from(self.places[8]), self.choices.byte());
        let [a, b, c] = [Reg::Rbx, Reg::R12, Reg::R13].map(Value::from);
        let nonblock = u64::from(byte & 1) << 11;
        self.make(Some(Reg::Rbx), 41, [2.into(), 1.into(), 0.into()]);
        self.make(None, 49, [a, at, 16.into()]);
        self.make(None, 50, [a, u64::from(byte >> 6).into()]);
        self.make(Some(Reg::R12), 41, [2.into(), (1 | nonblock).into(), 0.into()]);
        if byte & 2 == 2 {
            let linger = self.shapes.structures[16];
            self.make(None, 54, [b, 1.into(), 13.into(), linger.into(), 8.into()]);
        }
        self.make(None, 42, [b, at, 16.into()]);
        self.make(Some(Reg::R13), 288, [a, 0.into(), 0.into(), nonblock.into()]);
        match byte >> 2 & 3 {
            0 => self.line(b, c),
            1 => self.make(None, 48, [c, u64::from(byte >> 4 & 3).into()]),
            2 => self.make(None, 3, [c]),
            _ => self.make(None, 33, [a, b]),
        }
    }

    /// getsockopt(2) or setsockopt(2).
    fn option(&mut self) {
        let (fd, structure) = (self.end(), self.choices.of(&self.shapes.structures));
        let level = self.choices.of(&[0u64, 1, 1, 6, 6, 17]);
        let byte = self.choices.byte();
        let name = u64::from(byte & 63);
        if byte & 64 == 0 {
            let len = self.choices.of(&[4u64, 8, 16]);
            self.make(None, 54, [fd, level.into(), name.into(), structure.into(), len.into()]);
        } else {
            let (answers, length) = (self.shapes.answers, self.shapes.length);
            self.make(None, 55, [fd, level.into(), name.into(), answers.into(), length.into()]);
        }
    }

    /// A directory is opened, filled, read and changed to.
    fn directory(&mut self) {
        let (path, answers) = (self.choices.of(&self.shapes.paths), self.shapes.answers);
        let (name, other) = (self.places[6], self.choices.of(&self.shapes.paths));
        let fd = Value::from(Reg::Rbx);
        self.make(Some(Reg::Rbx), 257, [CWD.into(), path.into(), 0o200000.into(), 0.into()]);
        match self.choices.byte() % 8 {
            0 => self.make(None, 258, [fd, name.into(), 0o755.into()]),
            1 => self.make(None, 257, [fd, name.into(), 0o102.into(), 0o644.into()]),
            2 => self.make(None, 266, [other.into(), fd, name.into()]),
            3 => self.make(None, 265, [CWD.into(), other.into(), fd, name.into(), 0.into()]),
            4 => self.make(None, 316, [CWD.into(), other.into(), fd, name.into(), 1.into()]),
            5 => self.make(None, 263, [fd, name.into(), 0.into()]),
            6 => self.make(None, 81, [fd]),
            _ => self.make(None, 78, [fd, answers.into(), 1024.into()]),
        }
        self.make(None, 217, [fd, answers.into(), 1024.into()]);
    }

    fn futex(&mut self) {
        let (at, time) = (self.shapes.zeros, self.shapes.millisecond);
        let operation = self.choices.of(&[0u64, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let byte = self.choices.byte();
        let operation = operation | u64::from(byte & 1) << 7;
        let count = u64::from(byte >> 6);
        let last = [at.into(), count.into(), time.into(), (at + 8).into(), u64::MAX.into()];
        let [at, count, time, other, mask] = last;
        self.make(None, 202, [at, operation.into(), count, time, other, mask]);
    }

    /// A child is named by a descriptor.
    fn pidfd(&mut self) {
        let (answers, signal) = (self.shapes.answers, u64::from(self.choices.byte() % 32));
        let parent = self.fork();
        self.make(None, 34, []);
        self.program.exit(4);
        self.program.here(parent);
        let fd = Value::from(Reg::Rbx);
        self.make(Some(Reg::Rbx), 434, [Reg::R13.into(), 0.into()]);
        self.make(None, 424, [fd, signal.into(), 0.into(), 0.into()]);
        self.make(None, 247, [3.into(), fd, answers.into(), 7.into(), 0.into()]);
    }

    /// A child becomes a program that ends at once, by one of the two calls.
    fn exec(&mut self) {
        let path = self.shapes.paths.last().copied().expect("there are paths");
        let argv = self.shapes.argv;
        let parent = self.fork();
        if self.choices.byte() & 1 == 0 {
            self.make(None, 59, [path.into(), argv.into(), 0.into()]);
        } else {
            self.make(None, 322, [CWD.into(), path.into(), argv.into(), argv.into(), 0.into()]);
        }
        self.program.here(parent);
    }

    fn waits_for_signals(&mut self) {
        let (signals, answers) = (self.shapes.signals, self.shapes.answers);
        let (byte, time) = (self.choices.byte(), self.shapes.millisecond);
        self.make(None, 14, [0.into(), signals.into(), 0.into(), 8.into()]);
        if byte & 1 == 1 {
            self.make(Some(Reg::R13), 39, []);
            self.make(None, 62, [Reg::R13.into(), u64::from(byte >> 3).into()]);
        }
        match byte >> 1 & 3 {
            0 => self.make(None, 130, [self.shapes.zeros.into(), 8.into()]),
            1 => self.make(None, 127, [answers.into(), 8.into()]),
            _ => self.make(None, 128, [signals.into(), answers.into(), time.into(), 8.into()]),
        }
    }

    fn moved_memory(&mut self) {
        let (len, byte) = (self.choices.of(&SIZES), self.choices.byte());
        let at = Value::from(Reg::R14);
        let flags = 0x21 + u64::from(byte & 1);
        let map = [0.into(), 16384.into(), 3.into(), flags.into(), u64::MAX.into(), 0.into()];
        self.make(Some(Reg::R14), 9, map);
        self.program.push(Insn::Store { to: at, value: 7.into(), size: 8 });
        match byte >> 1 & 3 {
            0 => self.make(Some(Reg::R14), 25, [at, 16384.into(), len.into(), 1.into()]),
            1 => self.make(None, 10, [at, len.into(), u64::from(byte >> 3 & 7).into()]),
            2 => self.make(None, 28, [at, len.into(), u64::from(byte >> 3).into()]),
            _ => self.make(None, 11, [at, len.into()]),
        }
        self.program.push(Insn::Touch { at, write: byte & 8 == 8 });
    }

    /// Locks of a file, by its two kinds of owners.
    fn locks(&mut self) {
        let (path, lock, byte) =
            (self.shapes.paths[2], self.shapes.structures[12], self.choices.byte());
        let fd = Value::from(Reg::Rbx);
        self.make(Some(Reg::Rbx), 2, [path.into(), 0o102.into(), 0o600.into()]);
        if byte & 1 == 1 {
            self.make(None, 73, [fd, u64::from(byte >> 1 & 15).into()]);
        } else {
            let command = [5u64, 6, 7, 36, 37, 38][usize::from(byte >> 1) % 6];
            self.make(None, 72, [fd, command.into(), lock.into()]);
        }
    }

    /// Several messages at once.
    fn messages(&mut self) {
        let (messages, to, from) = (self.shapes.messages, self.end(), self.end());
        self.make(None, 307, [to, messages.into(), 2.into(), 0x40.into()]);
        self.make(None, 299, [from, messages.into(), 2.into(), 0x40.into(), 0.into()]);
    }
}
