//! Signals that the user sends to the run itself: Ctrl-C and its like. Each is a flag that the run
//! looks at after each step, and a byte in a pipe that ends a wait. Neighbours: `run` and `command`
//! say what each one means, `console` waits.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the user asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// Ctrl-Z.
    Suspend,
    /// The run is to end: SIGTERM or SIGHUP, by its number.
    End(u8),
    /// The window has another size.
    Resized,
}

/// In the order in which they are looked at.
const ASKS: [(i32, Asked); 6] = [
    (SIGTERM, Asked::End(SIGTERM as u8)),
    (SIGHUP, Asked::End(SIGHUP as u8)),
    (SIGINT, Asked::Interrupt),
    (SIGQUIT, Asked::Quit),
    (SIGTSTP, Asked::Suspend),
    (SIGWINCH, Asked::Resized),
];

/// Did the user ask for something?
#[derive(Debug)]
pub struct Stop {
    any: Arc<AtomicBool>,
    flags: Vec<(Arc<AtomicBool>, Asked)>,
    awake: UnixStream,
}

impl Stop {
    /// Listens from now on. A terminal's keys and window concern a run only if it is `on_terminal`,
    /// and what its starter ignores stays ignored: `nohup afterlife run` outlives its terminal.
    pub fn install(on_terminal: bool) -> io::Result<Stop> {
        let (awake, wakes) = UnixStream::pair()?;
        awake.set_nonblocking(true)?;
        let any = Arc::new(AtomicBool::new(false));
        let mut flags = Vec::new();
        let ignored = ignored_signals();
        for (signal, asked) in ASKS {
            if matches!(asked, Asked::Suspend | Asked::Resized) && !on_terminal {
                continue;
            }
            if ignored >> (signal - 1) & 1 != 0 {
                continue;
            }
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal, flag.clone())?;
            signal_hook::flag::register(signal, any.clone())?;
            signal_hook::low_level::pipe::register(signal, wakes.try_clone()?)?;
            flags.push((flag, asked));
        }
        Ok(Stop { any, flags, awake })
    }

    /// What has been asked for since the last time, the most urgent first.
    pub fn take(&self) -> Option<Asked> {
        // A plain load first: this is asked after every step.
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        self.any.store(false, Ordering::SeqCst);
        self.heard();
        let asked = self.flags.iter().find(|(flag, _)| flag.swap(false, Ordering::SeqCst));
        let asked = asked.map(|(_, asked)| *asked);
        if asked.is_some() {
            // There may be another.
            self.any.store(true, Ordering::SeqCst);
        }
        asked
    }

    /// A wait that `awake` ended is over: the next one is to wait.
    pub fn heard(&self) {
        // Nothing to read is an error, and no harm.
        let _ = (&self.awake).read(&mut [0; 64]);
    }

    /// Readable once something was asked for.
    pub fn awake(&self) -> BorrowedFd<'_> {
        self.awake.as_fd()
    }
}

/// The mask of the signals that this process was started to ignore (proc_pid_status(5), SigIgn).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}
