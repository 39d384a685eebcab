//! `kill`: sends signals, as coreutils' does it: main → send_signals → kill(2).
//!
//!   kill [-s SIGNAL | -n NUMBER | -SIGNAL] [--] PID...    a PID may be 0, -1 or -PGRP
//!   kill -l [SIGNAL]...     names to numbers and back; exit statuses to names
//!   kill -L, --table        numbers, names and what they mean

mod common;

use common::kill;
use std::process::ExitCode;

/// Names of signals 1 to 31 without SIG, and what they mean (strsignal(3)).
const SIGNALS: [(&str, &str); 31] = [
    ("HUP", "Hangup"),
    ("INT", "Interrupt"),
    ("QUIT", "Quit"),
    ("ILL", "Illegal instruction"),
    ("TRAP", "Trace/breakpoint trap"),
    ("ABRT", "Aborted"),
    ("BUS", "Bus error"),
    ("FPE", "Floating point exception"),
    ("KILL", "Killed"),
    ("USR1", "User defined signal 1"),
    ("SEGV", "Segmentation fault"),
    ("USR2", "User defined signal 2"),
    ("PIPE", "Broken pipe"),
    ("ALRM", "Alarm clock"),
    ("TERM", "Terminated"),
    ("STKFLT", "Stack fault"),
    ("CHLD", "Child exited"),
    ("CONT", "Continued"),
    ("STOP", "Stopped (signal)"),
    ("TSTP", "Stopped"),
    ("TTIN", "Stopped (tty input)"),
    ("TTOU", "Stopped (tty output)"),
    ("URG", "Urgent I/O condition"),
    ("XCPU", "CPU time limit exceeded"),
    ("XFSZ", "File size limit exceeded"),
    ("VTALRM", "Virtual timer expired"),
    ("PROF", "Profiling timer expired"),
    ("WINCH", "Window changed"),
    ("POLL", "I/O possible"),
    ("PWR", "Power failure"),
    ("SYS", "Bad system call"),
];
/// As glibc counts: the kernel's 32 and 33 are the C library's own.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;
const SIGTERM: i32 = 15;

enum What {
    Send { signal: i32 },
    List,
    Table,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match parse(&args) {
        Ok((What::Send { signal }, pids)) => send_signals(signal, pids),
        Ok((What::List, signals)) => list_signals(signals),
        Ok((What::Table, signals)) => table_signals(signals),
        Err(message) => {
            eprintln!("kill: {message}");
            eprintln!("usage: kill [-s SIGNAL | -n NUMBER | -SIGNAL] PID... | -l [SIGNAL]... | -L");
            ExitCode::from(1)
        }
    }
}

/// What is asked for, and the operands. Once a signal is chosen, `-123` is a process group.
fn parse(args: &[String]) -> Result<(What, &[String]), String> {
    let (mut signal, mut listing, mut at) = (None, None, 0);
    while let Some(arg) = args.get(at) {
        let Some(option) = arg.strip_prefix('-').filter(|o| !o.is_empty()) else { break };
        at += 1;
        if option == "-" {
            break;
        }
        let chosen = match option {
            "l" | "-list" => {
                listing = Some(What::List);
                continue;
            }
            "L" | "t" | "-table" => {
                listing = Some(What::Table);
                continue;
            }
            "s" | "n" | "-signal" => {
                at += 1;
                args.get(at - 1).ok_or(format!("option {arg} requires an argument"))?.as_str()
            }
            _ if option.starts_with("-signal=") => &option[8..],
            _ if option.starts_with(['s', 'n']) && option.len() > 1 && signal_number(option).is_none() => {
                &option[1..]
            }
            // After a signal a number with a minus is an operand.
            _ if signal.is_some() && option.parse::<i32>().is_ok() => {
                at -= 1;
                break;
            }
            _ => option,
        };
        if signal.is_some() {
            return Err(format!("{arg}: multiple signals specified"));
        }
        signal = Some(signal_number(chosen).ok_or(format!("'{chosen}': invalid signal"))?);
    }
    let operands = &args[at..];
    match (listing, signal) {
        (Some(_), Some(_)) => Err("cannot combine signal with -l or -L".to_owned()),
        (Some(what), None) => Ok((what, operands)),
        (None, _) if operands.is_empty() => Err("no process ID specified".to_owned()),
        (None, signal) => Ok((What::Send { signal: signal.unwrap_or(SIGTERM) }, operands)),
    }
}

/// Sends `signal` to each operand; one that fails does not keep the others from theirs.
fn send_signals(signal: i32, operands: &[String]) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for operand in operands {
        let Ok(pid) = operand.parse::<i32>() else {
            eprintln!("kill: '{operand}': invalid process id");
            status = ExitCode::from(1);
            continue;
        };
        // SAFETY: kill(2) takes two numbers.
        if unsafe { kill(pid, signal) } != 0 {
            let error = std::io::Error::last_os_error().to_string();
            let error = error.split(" (os error").next().unwrap_or(&error).to_owned();
            eprintln!("kill: '{operand}': {error}");
            status = ExitCode::from(1);
        }
    }
    status
}

/// A name with or without SIG (RTMIN+n and RTMAX-n too), a number, or the exit status of a process
/// that a signal killed.
fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        let number = if number > 128 { number & 0x7f } else { number };
        return (0..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str| if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        RTMIN + offset(rest)?
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        RTMAX + offset(rest)?
    } else {
        return match name {
            "EXIT" => Some(0),
            "IOT" => Some(6),
            "IO" => Some(29),
            "CLD" => Some(17),
            _ => Some(SIGNALS.iter().position(|(n, _)| *n == name)? as i32 + 1),
        };
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

fn signal_name(number: i32) -> Option<String> {
    match number {
        0 => Some("EXIT".to_owned()),
        1..=31 => Some(SIGNALS[number as usize - 1].0.to_owned()),
        RTMIN => Some("RTMIN".to_owned()),
        RTMAX => Some("RTMAX".to_owned()),
        n if n > RTMIN && n < RTMAX => {
            let (up, down) = (n - RTMIN, RTMAX - n);
            Some(if up <= down { format!("RTMIN+{up}") } else { format!("RTMAX-{down}") })
        }
        _ => None,
    }
}

fn all() -> impl Iterator<Item = i32> {
    (1..=RTMAX).filter(|n| signal_name(*n).is_some())
}

fn list_signals(operands: &[String]) -> ExitCode {
    if operands.is_empty() {
        all().filter_map(signal_name).for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let mut status = ExitCode::SUCCESS;
    for operand in operands {
        match signal_number(operand).and_then(|n| Some((n, signal_name(n)?))) {
            // A number is asked for its name, a name for its number.
            Some((_, name)) if operand.parse::<i32>().is_ok() => println!("{name}"),
            Some((number, _)) => println!("{number}"),
            None => {
                eprintln!("kill: '{operand}': invalid signal");
                status = ExitCode::from(1);
            }
        }
    }
    status
}

fn table_signals(operands: &[String]) -> ExitCode {
    let chosen: Option<Vec<i32>> = if operands.is_empty() {
        Some(all().collect())
    } else {
        operands.iter().map(|o| signal_number(o)).collect()
    };
    let Some(chosen) = chosen else {
        eprintln!("kill: invalid signal in {}", operands.join(" "));
        return ExitCode::from(1);
    };
    for number in chosen {
        let Some(name) = signal_name(number) else { continue };
        let meaning = match number {
            1..=31 => SIGNALS[number as usize - 1].1.to_owned(),
            0 => "Unknown signal 0".to_owned(),
            n => format!("Real-time signal {}", n - RTMIN),
        };
        println!("{number:2} {name:<8} {meaning}");
    }
    ExitCode::SUCCESS
}
