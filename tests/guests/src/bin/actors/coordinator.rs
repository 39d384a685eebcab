//! The coordinator: reads the programs, deals their steps one after the other, waits after each one
//! until nobody runs, and prints what the actors wrote down. It is the parent of the first actor and,
//! as a subreaper, of those who lose theirs; when a program is over it kills and reaps them all.

use super::actor::{RESULT, act, calls, futex_wake, sys};
use super::files::{KINDS, NAMES, path};
use super::ipc;
use super::settle::Settle;
use super::shared::{ACTORS, FD, STEPS, Shared, make};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// No new program begins later than this.
const ENOUGH: Duration = Duration::from_secs(120);
/// So long may the last of a program's actors take to die.
const DYING: Duration = Duration::from_secs(5);

/// A program: its name and the words of its steps.
struct Program<'a> {
    name: &'a str,
    steps: Vec<Vec<&'a str>>,
}

/// Runs all programs of a file.
pub fn run(settle: &str, file: &str) -> i32 {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("actors: {file}: {error}");
            return 2;
        }
    };
    prepare();
    let shared = make();
    shared.coordinator.store(sys(libc::SYS_getpid, &[]) as u32, Ordering::SeqCst);
    let numbers: BTreeMap<&str, i64> = calls().map(|(name, _)| name).zip(0..).collect();
    let mut settle = Settle::new(settle);
    let began = Instant::now();
    for program in read(&text) {
        match load(shared, &program, &numbers) {
            Ok(()) if settle.is_real() && began.elapsed() > ENOUGH => {
                eprintln!("actors: {}: no time is left for this and what follows", program.name);
                return 2;
            }
            Ok(()) => {
                if !play(shared, &program, &mut settle) {
                    eprintln!("actors: {}: somebody does not die", program.name);
                    return 2;
                }
            }
            Err(why) => {
                eprintln!("actors: {}: {why}", program.name);
                return 2;
            }
        }
    }
    0
}

/// A session of our own, no dumps, and all signals as the kernel makes them.
fn prepare() {
    let none = [0_i64; 2];
    sys(libc::SYS_setsid, &[]);
    sys(libc::SYS_prctl, &[i64::from(libc::PR_SET_CHILD_SUBREAPER), 1]);
    sys(libc::SYS_setrlimit, &[libc::RLIMIT_CORE.into(), none.as_ptr() as i64]);
    let action = [0_i64; 4];
    for signal in 1..=64 {
        sys(libc::SYS_rt_sigaction, &[signal, action.as_ptr() as i64, 0, 8]);
    }
    sys(libc::SYS_rt_sigprocmask, &[libc::SIG_SETMASK.into(), none.as_ptr() as i64, 0, 8]);
}

fn read(text: &str) -> Vec<Program<'_>> {
    let mut programs = Vec::new();
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    for line in lines {
        if let Some(name) = line.strip_prefix("program ") {
            programs.push(Program { name, steps: Vec::new() });
        } else if let Some(program) = programs.last_mut() {
            program.steps.push(line.split_whitespace().collect());
        }
    }
    programs
}

fn load(shared: &Shared, program: &Program, calls: &BTreeMap<&str, i64>) -> Result<(), String> {
    shared.clear();
    if program.steps.len() > STEPS {
        return Err(format!("{} steps; {STEPS} fit", program.steps.len()));
    }
    for (words, step) in program.steps.iter().zip(&shared.steps) {
        let wrong = || format!("`{}` is no step", words.join(" "));
        let [actor, call, args @ ..] = words.as_slice() else { return Err(wrong()) };
        let actor = actor.parse::<i64>().map_err(|_| wrong())?;
        let call = calls.get(call).ok_or_else(wrong)?;
        step.actor.store(actor.rem_euclid(ACTORS as i64), Ordering::SeqCst);
        step.call.store(*call, Ordering::SeqCst);
        for (at, word) in step.args.iter().enumerate() {
            let value = args.get(at).map_or(Ok(0), |it| it.parse()).map_err(|_| wrong())?;
            word.store(value, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Runs one program and prints its story; false if it does not end.
fn play(shared: &'static Shared, program: &Program, settle: &mut Settle) -> bool {
    let mut busy = String::new();
    shared.now.store(0, Ordering::SeqCst);
    match sys(libc::SYS_clone, &[libc::SIGCHLD.into()]) {
        0 => {
            let ours = i64::from(FD);
            sys(libc::SYS_close_range, &[0, ours - 1, 0]);
            sys(libc::SYS_close_range, &[ours + 1, i64::from(u32::MAX), 0]);
            sys(libc::SYS_setpgid, &[0, 0]);
            act(shared, 0)
        }
        pid => {
            shared.slots[0].tgid.store(pid as u32, Ordering::SeqCst);
            shared.slots[0].tid.store(pid as u32, Ordering::SeqCst);
        }
    }
    let mut settled = settle.settle(shared);
    for (at, words) in program.steps.iter().enumerate() {
        if !settled {
            break;
        }
        let actor = words[0].parse::<usize>().unwrap_or(0) % ACTORS;
        let (slot, step) = (&shared.slots[actor], at as u32 + 1);
        let free = slot.token.load(Ordering::SeqCst) == slot.done.load(Ordering::SeqCst);
        if slot.tid.load(Ordering::SeqCst) == 0 || !free {
            let _ = write!(busy, " {step}");
            continue;
        }
        shared.now.store(step, Ordering::SeqCst);
        slot.token.store(step, Ordering::SeqCst);
        futex_wake(&slot.token);
        settled = settle.settle(shared);
    }
    let story = tell(shared, program, &busy, settled);
    let ended = end(shared);
    settle.forget();
    println!("{story}");
    ended
}

/// Kills whoever lives, reaps whoever is or becomes our child, removes what they made. False if that
/// takes too long.
fn end(shared: &Shared) -> bool {
    let began = Instant::now();
    let kill = || {
        for tgid in shared.slots.iter().map(|slot| slot.tgid.load(Ordering::SeqCst)) {
            if tgid != 0 {
                sys(libc::SYS_kill, &[tgid.into(), libc::SIGKILL.into()]);
            }
        }
    };
    kill();
    loop {
        let options = i64::from(libc::__WALL | libc::WNOHANG);
        match sys(libc::SYS_wait4, &[-1, 0, options, 0]) {
            0 if began.elapsed() > DYING => return false,
            0 => {
                let time = [0_i64, 100_000];
                sys(libc::SYS_nanosleep, &[time.as_ptr() as i64, 0]);
                if began.elapsed() > DYING / 5 {
                    // Whoever was born while the others died.
                    kill();
                }
            }
            pid if pid < 0 => break,
            _ => {}
        }
    }
    for kind in 0..KINDS {
        for number in 0..NAMES {
            sys(libc::SYS_unlink, &[path(kind, number).as_ptr() as i64]);
        }
    }
    ipc::clean(shared);
    true
}

/// The story of a program: each actor's records in its order, the steps that nobody could make.
fn tell(shared: &Shared, program: &Program, busy: &str, settled: bool) -> String {
    let mut text = format!("program {}\n", program.name);
    for (actor, slot) in shared.slots.iter().enumerate() {
        for record in slot.records() {
            let numbers =
                |words: &[i64]| words.iter().map(|it| format!(" {it}")).collect::<String>();
            let _ = match record.as_slice() {
                [kind, now, step, result, more @ ..] if *kind == RESULT => {
                    let words = program.steps[*step as usize - 1].join(" ");
                    let late = if now == step { String::new() } else { format!(" (at {now})") };
                    writeln!(text, "{step:>3} {words} = {}{late}{}", named(*result), numbers(more))
                }
                [_, now, rest @ ..] => {
                    writeln!(text, "{now:>3} {actor} catches{}", numbers(rest))
                }
                [] | [_] => writeln!(text, "  0 {actor} wrote an empty record"),
            };
        }
    }
    if !busy.is_empty() {
        let _ = writeln!(text, "  busy:{busy}");
    }
    if !settled {
        text += "  unsettled\n";
    }
    text
}

/// A result: errno by its name.
fn named(result: i64) -> String {
    unsafe extern "C" {
        fn strerrorname_np(errno: libc::c_int) -> *const libc::c_char;
    }
    if !(-4095..0).contains(&result) {
        return result.to_string();
    }
    // SAFETY: gives a string that lives for ever, or null.
    let name = unsafe { strerrorname_np(-result as i32) };
    if name.is_null() {
        return result.to_string();
    }
    // SAFETY: as above.
    unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy().into_owned()
}
