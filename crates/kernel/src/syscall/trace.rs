//! What is told of system calls: each return, and the first sleep of each call. With
//! `Config::trace` the arguments are rendered as strace(1) would, at entry, while the memory that
//! they point to is as the caller left it. A row of the table says what each argument is.

use super::table::{self, Arg};
use crate::abi::signal::Signal;
use crate::fact::{Fact, SyscallFact};
use crate::kernel::Kernel;
use crate::platform::{GuestId, Platform, UserPtr};
use crate::syscall::InFlight;
use crate::task::{Pid, TaskId};
use linux_raw_sys::general as raw;

/// Bytes of a buffer that are shown.
const SHOWN: usize = 32;
/// Bytes of a string that are shown.
const SHOWN_STRING: usize = 256;

impl Kernel {
    /// A call of `who` returns `value`, or never will: then `who` may be gone.
    pub fn tell_return(&mut self, who: Option<(Pid, Pid)>, flight: &InFlight, value: Option<u64>) {
        let fact = SyscallFact {
            entered: flight.entered,
            nr: flight.nr,
            args: flight.args,
            shown: flight.shown.clone(),
            result: value,
        };
        self.tell_of(who, Fact::Syscall(Box::new(fact)));
    }

    /// A call sleeps for the first time.
    pub fn tell_blocked(&mut self, task: TaskId, flight: &InFlight) {
        self.tell(Some(task), Fact::Blocked { nr: flight.nr, args: flight.args });
    }
}

/// The arguments of a call as strace prints them; `None` for a call that has no row.
pub fn show_args(
    nr: u64,
    args: &[u64; 6],
    guest: GuestId,
    user: &mut dyn Platform,
) -> Option<String> {
    let row = table::row(nr)?;
    let mut shown = Vec::new();
    for (i, kind) in row.args.iter().enumerate() {
        let next = args.get(i + 1).copied().unwrap_or(0);
        shown.push(show(*kind, args[i], next, guest, user));
    }
    Some(shown.join(", "))
}

/// One argument; `next` is the one behind it.
fn show(kind: Arg, value: u64, next: u64, guest: GuestId, user: &mut dyn Platform) -> String {
    match kind {
        Arg::Int | Arg::Fd | Arg::Pid => (value as i32).to_string(),
        Arg::Uint | Arg::Size => value.to_string(),
        Arg::Hex => format!("{value:#x}"),
        Arg::DirFd if value as i32 == raw::AT_FDCWD => "AT_FDCWD".to_owned(),
        Arg::DirFd => (value as i32).to_string(),
        Arg::Ptr => format!("{:?}", UserPtr(value)),
        Arg::Str => string(value, guest, user),
        Arg::Buf => buffer(value, next, guest, user),
        Arg::Signal => match Signal::new(value) {
            Some(signal) => format!("{signal:?}"),
            None => value.to_string(),
        },
        Arg::Octal => format!("{value:#o}"),
        Arg::OpenFlags => open_flags(value as u32),
    }
}

/// A NUL-terminated string in quotes; its address where it cannot be read.
fn string(at: u64, guest: GuestId, user: &mut dyn Platform) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < SHOWN_STRING {
        // Up to the end of the page at most: the next one may not be there.
        let from = UserPtr(at).add(bytes.len() as u64);
        let mut chunk = [0; 64];
        let len = chunk.len().min(4096 - (from.0 % 4096) as usize);
        let got = user.peek_user(guest, from, &mut chunk[..len]);
        if let Some(end) = chunk[..got].iter().position(|b| *b == 0) {
            bytes.extend_from_slice(&chunk[..end]);
            return quoted(&bytes);
        }
        if got < len {
            return format!("{:?}", UserPtr(at));
        }
        bytes.extend_from_slice(&chunk[..got]);
    }
    quoted(&bytes) + "..."
}

/// A buffer of a length that is given, shortened.
fn buffer(at: u64, len: u64, guest: GuestId, user: &mut dyn Platform) -> String {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(SHOWN)];
    let got = user.peek_user(guest, UserPtr(at), &mut bytes);
    if got < bytes.len() {
        return format!("{:?}", UserPtr(at));
    }
    quoted(&bytes) + if len > SHOWN { "..." } else { "" }
}

/// Bytes in quotes, with C's escapes.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// O_* by name, the access mode first.
fn open_flags(flags: u32) -> String {
    // O_TMPFILE and O_SYNC contain others' bits, so they come before them.
    const NAMES: [(u32, &str); 15] = [
        (raw::O_CREAT, "O_CREAT"),
        (raw::O_EXCL, "O_EXCL"),
        (raw::O_NOCTTY, "O_NOCTTY"),
        (raw::O_TRUNC, "O_TRUNC"),
        (raw::O_APPEND, "O_APPEND"),
        (raw::O_NONBLOCK, "O_NONBLOCK"),
        (raw::O_TMPFILE, "O_TMPFILE"),
        (raw::O_SYNC, "O_SYNC"),
        (raw::O_DSYNC, "O_DSYNC"),
        (raw::O_DIRECT, "O_DIRECT"),
        (raw::O_DIRECTORY, "O_DIRECTORY"),
        (raw::O_NOFOLLOW, "O_NOFOLLOW"),
        (raw::O_NOATIME, "O_NOATIME"),
        (raw::O_CLOEXEC, "O_CLOEXEC"),
        (raw::O_PATH, "O_PATH"),
    ];
    let access = match flags & raw::O_ACCMODE {
        raw::O_RDONLY => "O_RDONLY",
        raw::O_WRONLY => "O_WRONLY",
        raw::O_RDWR => "O_RDWR",
        _ => "O_ACCMODE",
    };
    let mut shown = vec![access.to_owned()];
    let mut left = flags & !raw::O_ACCMODE & !raw::O_LARGEFILE;
    for (bits, name) in NAMES {
        if left & bits == bits {
            shown.push(name.to_owned());
            left &= !bits;
        }
    }
    if left != 0 {
        shown.push(format!("{left:#x}"));
    }
    shown.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_flags_have_their_names() {
        assert_eq!(open_flags(0), "O_RDONLY");
        assert_eq!(open_flags(0o2000101), "O_WRONLY|O_CREAT|O_CLOEXEC");
        assert_eq!(open_flags(0o4010002), "O_RDWR|O_SYNC");
        assert_eq!(open_flags(raw::O_TMPFILE | 2), "O_RDWR|O_TMPFILE");
    }

    #[test]
    fn bytes_are_quoted_as_in_c() {
        assert_eq!(quoted(b"a\"\n\xff"), r#""a\"\n\xff""#);
    }
}
