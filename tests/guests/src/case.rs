//! The shape of a guest program: `PROGRAM --list` prints its cases, `PROGRAM CASE` runs one in this
//! process and prints "ok CASE", or a sentence and exit status 1. `PROGRAM --then NAME` runs the
//! second half of a case that has to exec itself.

use std::process::exit;

/// What a case gives back: nothing, or the sentence that says what was different.
pub type Check = Result<(), String>;

/// A named function.
pub type Case = (&'static str, fn() -> Check);

/// Fails the case with a sentence unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err(format!($($sentence)+));
        }
    };
}

/// Fails the case unless both sides are equal: what we got, what Linux gives, what it is.
#[macro_export]
macro_rules! same {
    ($got:expr, $expected:expr, $($what:tt)+) => {{
        let (got, expected) = (&$got, &$expected);
        if *got != *expected {
            return Err(format!("{}: {got:?}, expected {expected:?}", format!($($what)+)));
        }
    }};
}

/// Fails the case unless the system call failed with this errno.
#[macro_export]
macro_rules! fails {
    ($call:expr, $errno:expr) => {
        match $call {
            Err(failed) if failed.errno == $errno => {}
            other => {
                return Err(format!(
                    "{} gave {other:?}, expected {}",
                    stringify!($call),
                    $crate::sys::describe($errno)
                ));
            }
        }
    };
}

/// Defines `main` over the listed functions; after `then`, the second halves.
#[macro_export]
macro_rules! cases {
    ($($case:ident),+ $(,)? $(; then $($second:ident),+ $(,)?)?) => {
        fn main() {
            $crate::case::main(
                &[$((stringify!($case), $case as fn() -> $crate::Check)),+],
                &[$($((stringify!($second), $second as fn() -> $crate::Check)),+)?],
            )
        }
    };
}

/// The guest program's main function; use it through `cases!`.
pub fn main(cases: &[Case], seconds: &[Case]) {
    forget_the_runtime();
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["--list"] => cases.iter().for_each(|(name, _)| println!("{name}")),
        ["--then", name, ..] => run(seconds, name),
        [name] => run(cases, name),
        _ => {
            eprintln!("usage: PROGRAM --list | PROGRAM CASE");
            exit(2);
        }
    }
}

/// A row of a matrix: its name, and what it does.
pub type Row = (String, Box<dyn Fn() -> Check>);

/// The main function of a program whose cases are the rows of a matrix: names made by the program.
pub fn matrix(cases: &[Row]) {
    forget_the_runtime();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = match words.as_slice() {
        [list] if list == "--list" => {
            return cases.iter().for_each(|(name, _)| println!("{name}"));
        }
        [name] => name,
        _ => {
            eprintln!("usage: PROGRAM --list | PROGRAM CASE");
            exit(2);
        }
    };
    let case = cases.iter().find(|(name, _)| name == wanted);
    tell(wanted, case.map(|(_, case)| case()));
}

/// Rust's runtime ignores SIGPIPE and handles SIGSEGV and SIGBUS on an alternate stack; the cases
/// want a program as the kernel makes it.
fn forget_the_runtime() {
    for number in [libc::SIGPIPE, libc::SIGSEGV, libc::SIGBUS] {
        let _ = crate::signal::default(number);
    }
    let off = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    // SAFETY: a valid struct.
    unsafe { libc::sigaltstack(&off, std::ptr::null_mut()) };
}

fn run(cases: &[Case], wanted: &str) {
    let case = cases.iter().find(|(name, _)| *name == wanted);
    tell(wanted, case.map(|(_, case)| case()));
}

fn tell(name: &str, result: Option<Check>) {
    match result {
        Some(Ok(())) => println!("ok {name}"),
        Some(Err(why)) => {
            eprintln!("{name}: {why}");
            exit(1);
        }
        None => {
            eprintln!("there is no case {name}; --list prints them");
            exit(2);
        }
    }
}
