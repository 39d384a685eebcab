//! What the `syscalls` target's programs do on purpose: structures that mean something, arguments of
//! the kind that a call's row names, and short scenes whose calls need each other (a pty and its
//! slave, a child that stops and is waited for, descriptors over a socket). Without these, random
//! arguments seldom come past a call's first check. Neighbour: `syscalls` (who writes the rest).

use crate::choices::Choices;
use crate::syscalls::Writer;
use kernel::syscall::table::{self, Arg};
use lab::scripted::{Insn, Is, Program, Reg, Value};

/// ioctl(2)'s requests: terminals, then files and sockets.
const REQUESTS: [u64; 39] = [
    0x5401,
    0x5402,
    0x5403,
    0x5404,
    0x5405,
    0x5406,
    0x5409,
    0x540a,
    0x540b,
    0x540c,
    0x540d,
    0x540e,
    0x540f,
    0x5410,
    0x5411,
    0x5412,
    0x5413,
    0x5414,
    0x541b,
    0x5420,
    0x5421,
    0x5422,
    0x5423,
    0x5424,
    0x5425,
    0x5429,
    0x542a,
    0x542c,
    0x5441,
    0x5450,
    0x5451,
    0x5452,
    0x8004_5430,
    0x4004_5431,
    0x8004_5438,
    0x8004_5439,
    0x8905,
    0x894b,
    0x8912,
];
/// fcntl(2)'s commands.
const COMMANDS: [u64; 27] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 36, 37, 38, 1024, 1025, 1026, 1030, 1031,
    1032, 1033, 1034, 1035,
];
/// open(2)'s flags: how, and what else.
const OPEN: [u64; 12] = [
    0, 2, 0o102, 0o1101, 0o4002, 0o2000002, 0o202000, 0o2002, 0o402, 0o200000, 0o10000000,
    0o20200002,
];
/// Lengths.
const SIZES: [u64; 12] = [0, 1, 4, 8, 16, 24, 32, 100, 128, 4096, 70_000, 1 << 20];
/// What is typed: lines, an end, and what a terminal acts on.
const LINES: [&[u8]; 8] = [
    b"abc\n",
    b"abc",
    b"\x03",
    b"\x04",
    b"\x1a",
    b"x\xc3\xa4\x7f\x15y\tz\x17w\r\n",
    b"\x13\x11\x16\x03\n\n",
    &[b'l'; 5000],
];
/// Names of files.
const PATHS: [&str; 18] = [
    "/tmp",
    "/tmp/a",
    "/tmp/b",
    "/dev/ptmx",
    "/dev/pts/0",
    "/dev/tty",
    "/dev/null",
    "/dev/full",
    "/proc/self/fd/3",
    "/proc/self/maps",
    "/proc/net/tcp",
    "/proc/sys/net/ipv4/tcp_rmem",
    "/dev/shm/s",
    "/tmp/d",
    "/tmp/d/e",
    ".",
    "/bin/p0",
    "/proc/locks",
];
/// AT_FDCWD.
const CWD: u64 = -100i64 as u64;

/// Addresses of what programs need to be understood.
pub struct Shapes {
    paths: Vec<u64>,
    /// What is typed, with lengths.
    lines: Vec<(u64, u64)>,
    /// Structures of all kinds.
    structures: Vec<u64>,
    /// Zeros, and room for answers: a page each.
    zeros: u64,
    answers: u64,
    /// `struct timespec` of a millisecond; `itimerspec`; a signal set.
    millisecond: u64,
    itimerspec: u64,
    signals: u64,
    /// A sockaddr_un with a path and its length, a msghdr with two descriptors.
    unix: (u64, u64),
    message: u64,
    /// A sembuf with SEM_UNDO.
    sembuf: u64,
}

fn words(program: &mut Program, words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    program.bytes(&bytes)
}

impl Shapes {
    /// Puts them into a program's memory.
    pub fn new(program: &mut Program) -> Shapes {
        let paths = PATHS.iter().map(|name| program.string(name)).collect();
        let millisecond = words(program, &[0, 1_000_000]);
        let itimerspec = words(program, &[0, 1_000_000, 0, 2_000_000]);
        // All but SIGKILL and SIGSTOP, which nobody minds, and the realtime ones.
        let signals = words(program, &[0x7fff_ffff]);
        let mut name = vec![1, 0];
        name.extend_from_slice(b"/tmp/u\0");
        let unix = (program.bytes(&name), name.len() as u64);
        // A cmsghdr with SCM_RIGHTS and descriptors 0 and 1.
        let rights = words(program, &[24, 1 | 1 << 32, 1 << 32]);
        let (zeros, answers) = (program.bytes(&[0; 4096]), program.bytes(&[0; 4096]));
        let lines = LINES.map(|line| (program.bytes(line), line.len() as u64)).to_vec();
        let iovec = words(program, &[answers, 64, answers + 64, 4000]);
        let message = words(program, &[0, 0, iovec, 2, rights, 24, 0]);
        let sembuf = words(program, &[0x1000_0001_0000, 0x1000_ffff_0001]);
        let mut structures = vec![
            zeros,
            answers,
            millisecond,
            itimerspec,
            signals,
            unix.0,
            rights,
            iovec,
            message,
            sembuf,
        ];
        structures.extend([
            // pollfd ×3; epoll_event; flock; winsize; sigevent (SIGEV_SIGNAL, SIGUSR1); rlimit;
            // two int: on, and a linger time; a sched_param.
            words(program, &[3 | 5 << 32, 4 | 5 << 32, 5 | 5 << 32]),
            words(program, &[0x8000_001d | 7 << 32, 0]),
            words(program, &[1, 0, 10, 0]),
            words(program, &[0x0050_0018, 0]),
            words(program, &[9, 10, 0, 0, 0, 0, 0, 0]),
            words(program, &[64, 1 << 20]),
            words(program, &[1 | 2 << 32]),
            words(program, &[0]),
        ]);
        Shapes {
            paths,
            lines,
            structures,
            zeros,
            answers,
            millisecond,
            itimerspec,
            signals,
            unix,
            message,
            sembuf,
        }
    }
}

impl Writer<'_, '_> {
    /// A call with arguments of the kinds that its row names.
    pub fn sensible_call(&mut self) {
        let raw = usize::from(self.choices.u16());
        let rows: Vec<table::Row> =
            (0..table::TABLE_LEN as u64).filter_map(table::row).copied().collect();
        let row = rows[raw % rows.len()];
        let nr = if crate::syscalls::ENDS.contains(&row.nr) && raw < 0x8000 { 39 } else { row.nr };
        let mut args = [Value::Is(0); 6];
        for (i, (to, kind)) in args.iter_mut().zip(row.args).enumerate() {
            *to = match (nr, i) {
                (16, 1) => self.choices.of(&REQUESTS).into(),
                (72, 1) => self.choices.of(&COMMANDS).into(),
                _ => self.of_kind(*kind),
            };
        }
        self.program.call(nr, args);
        self.keep();
    }

    fn of_kind(&mut self, kind: Arg) -> Value {
        let byte = self.choices.byte();
        if byte >= 240 {
            return self.argument();
        }
        let structure = |choices: &mut Choices<'_>, shapes: &Shapes| choices.of(&shapes.structures);
        match kind {
            Arg::Fd if byte < 120 => self.kept().into(),
            Arg::Fd => Value::Is(u64::from(byte) % 14),
            Arg::DirFd if byte < 200 => CWD.into(),
            Arg::DirFd => self.kept().into(),
            Arg::Str => self.choices.of(&self.shapes.paths).into(),
            Arg::Ptr if byte < 32 => Value::Is(0),
            Arg::Ptr | Arg::Buf => structure(self.choices, &self.shapes).into(),
            Arg::Size => self.choices.of(&SIZES).into(),
            Arg::Pid if byte < 120 => Value::Is(0),
            Arg::Pid if byte < 150 => Value::Is(u64::MAX),
            Arg::Pid => self.kept().into(),
            Arg::Signal => Value::Is(u64::from(byte) % 66),
            Arg::Octal => Value::Is([0o777, 0o644, 0o1600, 0][usize::from(byte) % 4]),
            Arg::OpenFlags => self.choices.of(&OPEN).into(),
            Arg::Int | Arg::Uint | Arg::Hex => match byte {
                0..=119 => Value::Is(u64::from(byte) % 40),
                120..=159 => Value::Is(1 << (byte % 32)),
                160..=179 => self.kept().into(),
                180..=219 => structure(self.choices, &self.shapes).into(),
                _ => Value::Is(u64::from(self.choices.u32())),
            },
        }
    }

    fn kept(&mut self) -> Reg {
        self.choices.of(&crate::syscalls::KEPT)
    }

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
        match self.choices.byte() % 16 {
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
            _ => self.semaphore(),
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
}
