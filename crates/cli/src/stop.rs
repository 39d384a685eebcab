//! Ctrl-C and SIGTERM: a flag, so that a run ends cleanly and its files are whole. Neighbours:
//! `run` and `command`, which look at it after each step.

use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Did the user ask to stop?
#[derive(Clone, Debug)]
pub struct Stop {
    flag: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on. `interrupt` is set too: it takes the CPU from a guest that computes.
    pub fn install(interrupt: &Arc<AtomicBool>) -> io::Result<Stop> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, flag.clone())?;
            signal_hook::flag::register(signal, interrupt.clone())?;
        }
        Ok(Stop { flag })
    }

    /// Has it been asked for since the last time?
    pub fn take(&self) -> bool {
        // A plain load first: this is asked after every step.
        self.flag.load(Ordering::Relaxed) && self.flag.swap(false, Ordering::SeqCst)
    }
}
