//! System calls as strace(1) prints them, one line when a call returns: time, host, who, the call,
//! its result, and how long it slept if it did. Neighbour: the kernel's `syscall/trace` rendered
//! the arguments at entry.

use super::{End, Names, Renderer};
use kernel::abi::Errno;
use kernel::fact::{Fact, SyscallFact};
use kernel::syscall::{absent, table};
use kernel::time::Duration;
use lab::{Record, What};
use std::io::{self, Write};

/// A call that took longer than this slept.
const SLEPT: Duration = Duration::from_micros(50);

/// Writes a line for each call.
pub struct Trace<W: Write> {
    to: W,
}

impl<W: Write> Trace<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Trace<W> {
        Trace { to }
    }
}

impl<W: Write> Renderer for Trace<W> {
    fn record(&mut self, record: &Record, names: &Names) -> io::Result<()> {
        let What::Kernel(fact) = &record.what else { return Ok(()) };
        let Fact::Syscall(call) = fact else { return Ok(()) };
        let SyscallFact { entered, nr, args, shown, result } = &**call;
        let who = record.tid.map_or_else(String::new, |tid| names.process(record.host, tid));
        let call = match (table::row(*nr), shown) {
            (Some(row), Some(shown)) => format!("{}({shown})", row.name),
            (Some(row), None) => format!("{}({})", row.name, hexadecimal(&args[..row.args.len()])),
            (None, _) => match absent::name(*nr) {
                Some(name) => format!("{name}({})", hexadecimal(args)),
                None => format!("syscall_{nr}({})", hexadecimal(args)),
            },
        };
        let result = result.map_or_else(|| "?".to_owned(), |r| self::result(*nr, r));
        let slept = record.at.saturating_since(*entered);
        let slept = if slept > SLEPT { format!(" <{slept:?}>") } else { String::new() };
        let (at, host) = (record.at, names.host(record.host));
        writeln!(self.to, "{at:?} {host} {who} {call} = {result}{slept}")
    }

    fn end(&mut self, _: &End, _: &Names) -> io::Result<()> {
        self.to.flush()
    }
}

fn hexadecimal(args: &[u64]) -> String {
    args.iter().map(|a| format!("{a:#x}")).collect::<Vec<_>>().join(", ")
}

/// rax as strace shows it: an address for calls that return one, −1 with a name for errors.
fn result(nr: u64, rax: u64) -> String {
    const MMAP: u64 = 9;
    const BRK: u64 = 12;
    const MREMAP: u64 = 25;
    let signed = rax as i64;
    if (-4095..0).contains(&signed) {
        return format!("-1 {:?}", Errno::from_raw(-signed as i32));
    }
    if [MMAP, BRK, MREMAP].contains(&nr) { format!("{rax:#x}") } else { signed.to_string() }
}
