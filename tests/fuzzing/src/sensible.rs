//! What the `syscalls` target's programs do on purpose: structures that mean something, and arguments
//! of the kind that a call's row names. Without these, random arguments seldom come past a call's first
//! check. Neighbours: `syscalls`, who writes the rest; `scenes`, where calls need each other.

use crate::choices::Choices;
use crate::syscalls::Writer;
use kernel::syscall::table::{self, Arg};
use lab::scripted::{Program, Reg, Value};

/// ioctl(2)'s requests: terminals, then files and sockets.
pub(crate) const REQUESTS: [u64; 39] = [
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
pub(crate) const SIZES: [u64; 12] = [0, 1, 4, 8, 16, 24, 32, 100, 128, 4096, 70_000, 1 << 20];
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
/// A program that ends at once.
pub(crate) const LAST: &str = "/bin/last";
/// Names of files.
const PATHS: [&str; 19] = [
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
    LAST,
];
/// AT_FDCWD.
pub(crate) const CWD: u64 = -100i64 as u64;

/// Addresses of what programs need to be understood.
pub struct Shapes {
    pub(crate) paths: Vec<u64>,
    /// What is typed, with lengths.
    pub(crate) lines: Vec<(u64, u64)>,
    /// Structures of all kinds.
    pub(crate) structures: Vec<u64>,
    /// Zeros, and room for answers: a page each.
    pub(crate) zeros: u64,
    pub(crate) answers: u64,
    /// `struct timespec` of a millisecond; `itimerspec`; a signal set.
    pub(crate) millisecond: u64,
    pub(crate) itimerspec: u64,
    pub(crate) signals: u64,
    /// A sockaddr_un with a path and its length, a msghdr with two descriptors.
    pub(crate) unix: (u64, u64),
    pub(crate) message: u64,
    /// A sembuf with SEM_UNDO.
    pub(crate) sembuf: u64,
    /// Two `struct mmsghdr`; an argv of one; a `socklen_t` of 16; what waits for a futex at `zeros`.
    pub(crate) messages: u64,
    pub(crate) argv: u64,
    pub(crate) length: u64,
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
        let messages = words(program, &[[0, 0, iovec, 2, 0, 0, 0, 0]; 2].concat());
        let (argv, length) = (words(program, &[iovec, 0]), words(program, &[16]));
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
            messages,
            argv,
            length,
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

    /// A register with a result.
    pub(crate) fn kept(&mut self) -> Reg {
        self.choices.of(&crate::syscalls::KEPT)
    }
}
