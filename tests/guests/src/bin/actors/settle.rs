//! Waiting until nobody runs, so that the next step finds a world that stands still. In afterlife time
//! moves only when nobody can run: a sleep does it. The real kernel has to be asked: every actor sleeps,
//! is stopped or is dead, twice, and has not been switched to in between.
//!
//! Where several actors run in one step, the scheduler orders them, and either order is right. `proc`:
//! all on one CPU, nobody preempts whom it wakes (SCHED_BATCH). `first3`: the same, where actor 3 goes
//! before all others (nice; without privileges only 0 does). `free`: on all CPUs.

use super::actor::{address, sys};
use super::shared::{ACTORS, Shared};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Nobody computes for so long between two calls that block.
const LIMIT: Duration = Duration::from_secs(5);

/// How to do it.
pub enum Settle {
    Sleep,
    Proc(Proc),
}

/// The open status files: of which tid, and the file; and who goes first.
#[derive(Default)]
pub struct Proc {
    files: [Option<(u32, File)>; ACTORS],
    first: Option<usize>,
}

/// An actor's state and its context switches; `Gone` once it is dead.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Look {
    Gone,
    Runs,
    Rests(u8, u64),
}

impl Settle {
    /// Which one the command line names.
    pub fn new(word: &str) -> Settle {
        if word == "sleep" {
            return Settle::Sleep;
        }
        if word != "free" {
            one_cpu();
            policy(libc::SCHED_BATCH);
        }
        let first = word.strip_prefix("first").and_then(|it| it.parse().ok());
        Settle::Proc(Proc { first, ..Proc::default() })
    }

    /// Whether time passes here although nobody waits for it.
    pub fn is_real(&self) -> bool {
        matches!(self, Settle::Proc(_))
    }

    /// Returns when nobody runs; whether that came to be.
    pub fn settle(&mut self, shared: &Shared) -> bool {
        match self {
            Settle::Sleep => {
                let time = [0_i64, 50_000_000];
                sys(libc::SYS_nanosleep, &[time.as_ptr() as i64, 0]);
                true
            }
            Settle::Proc(proc) => proc.settle(shared),
        }
    }

    /// The next program has other actors.
    pub fn forget(&mut self) {
        if let Settle::Proc(proc) = self {
            proc.files = Default::default();
        }
    }
}

/// Only the last of the CPUs that we have.
fn one_cpu() {
    let mut cpus = [0_u64; 16];
    let size = size_of_val(&cpus) as i64;
    sys(libc::SYS_sched_getaffinity, &[0, size, cpus.as_mut_ptr() as i64]);
    if let Some(last) = (0..1024).rev().find(|cpu| cpus[cpu / 64] >> (cpu % 64) & 1 == 1) {
        cpus = [0; 16];
        cpus[last / 64] = 1 << (last % 64);
        sys(libc::SYS_sched_setaffinity, &[0, size, cpus.as_ptr() as i64]);
    }
}

/// sched_setscheduler(2) for this process.
fn policy(policy: i32) {
    let mut priority = 0_i32;
    sys(libc::SYS_sched_setscheduler, &[0, policy.into(), address(&mut priority)]);
}

impl Proc {
    fn settle(&mut self, shared: &Shared) -> bool {
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            let first = self.look(shared);
            if first.contains(&Look::Runs) {
                sys(libc::SYS_sched_yield, &[]);
                continue;
            }
            // A dead one may still be telling its parent; this waits for it (it takes the same lock).
            sys(libc::SYS_kill, &[0, 0]);
            if self.look(shared) == first {
                return true;
            }
        }
        false
    }

    fn look(&mut self, shared: &Shared) -> [Look; ACTORS] {
        std::array::from_fn(|slot| {
            let of = &shared.slots[slot];
            let (tid, tgid) = (of.tid.load(Ordering::SeqCst), of.tgid.load(Ordering::SeqCst));
            if tid == 0 {
                return Look::Gone;
            }
            if self.files[slot].as_ref().is_none_or(|(known, _)| *known != tid) {
                let path = format!("/proc/{tgid}/task/{tid}/status");
                self.files[slot] = File::open(path).ok().map(|file| (tid, file));
                if let Some(first) = self.first {
                    let nice = if slot == first { 0 } else { 19 };
                    sys(libc::SYS_setpriority, &[libc::PRIO_PROCESS.into(), tid.into(), nice]);
                }
            }
            let file = self.files[slot].as_ref();
            let own = file.map_or(Look::Gone, |(_, file)| look(file));
            // Between images it may go on under its leader's number.
            if own == Look::Gone && of.execing.load(Ordering::SeqCst) == 1 {
                let leader = File::open(format!("/proc/{tgid}/status"));
                return match leader.map_or(Look::Gone, |file| look(&file)) {
                    Look::Gone => Look::Gone,
                    Look::Rests(b'Z', _) => Look::Gone,
                    Look::Rests(..) | Look::Runs => Look::Runs,
                };
            }
            own
        })
    }
}

/// What a status file says.
fn look(file: &File) -> Look {
    let mut text = [0; 4096];
    let Ok(length) = file.read_at(&mut text, 0) else { return Look::Gone };
    let text = &text[..length];
    let state = after(text, b"State:\t").and_then(|rest| rest.first().copied());
    match state {
        Some(state @ (b'S' | b'T' | b't' | b'Z')) => {
            let number = |name| after(text, name).map_or(0, digits);
            Look::Rests(
                state,
                number(b"\nvoluntary_ctxt_switches:\t") + number(b"nonvoluntary_ctxt_switches:\t"),
            )
        }
        Some(b'X') | None => Look::Gone,
        Some(_) => Look::Runs,
    }
}

fn after<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    text.windows(name.len()).position(|it| it == name).map(|at| &text[at + name.len()..])
}

fn digits(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|it| it.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}
