//! Terminals: the one behind the command's console, whose line discipline is the real terminal's,
//! and pseudoterminals, whose line discipline is `n_tty`. Here is what they share: settings, the
//! session that a terminal controls and its foreground group. Neighbours: `ioctl`, `job_control`,
//! `pty` (masters and slaves), `n_tty`; `fs/console` (the console's bytes); man pages: tty(4),
//! ioctl_tty(2), pty(7).

pub mod ioctl;
pub mod job_control;
pub mod n_tty;
pub mod n_tty_output;
pub mod ptmx;
pub mod pty;
pub mod termios;
#[cfg(test)]
mod tests;

pub use termios::{TERMIOS, Termios};

use crate::arena::Id;
use crate::fs::console::{Console, StreamKind};
use crate::kernel::Kernel;
use crate::task::Pid;
use crate::tty::pty::Pty;

/// Names a [`Tty`].
pub type TtyId = Id<Tty>;

/// What programs set, and the real terminal follows where there is one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Flags and special characters.
    pub termios: Termios,
    /// Rows, columns, and the same in pixels.
    pub winsize: [u16; 4],
    /// How often a guest threw typed input away (TCSETSF, TCFLSH).
    pub flushes: u64,
}

/// A terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tty {
    /// Its number: /dev/pts/N.
    pub index: u32,
    /// What programs set.
    pub settings: Settings,
    /// The session whose controlling terminal this is.
    pub session: Option<Pid>,
    /// Its foreground process group.
    pub pgrp: Option<Pid>,
    /// TIOCEXCL: nobody but root opens it.
    pub exclusive: bool,
    /// Both ends of a pseudoterminal; None for the console's.
    pub pty: Option<Box<Pty>>,
}

impl Tty {
    /// A terminal that nobody controls.
    pub fn new(index: u32, settings: Settings, pty: Option<Pty>) -> Tty {
        let pty = pty.map(Box::new);
        Tty { index, settings, session: None, pgrp: None, exclusive: false, pty }
    }

    /// Its device number: major 136.
    pub fn rdev(&self) -> (u32, u32) {
        (136, self.index)
    }

    /// ICANON: input comes line by line.
    pub fn is_canonical(&self) -> bool {
        self.settings.termios.l(linux_raw_sys::general::ICANON)
    }
}

impl Kernel {
    /// The streams of the first command. If one of them is a terminal it is /dev/pts/0, with
    /// these settings.
    pub fn attach_console(&mut self, streams: [StreamKind; 3], settings: Option<Settings>) {
        self.console = Console::new(streams);
        if streams.contains(&StreamKind::Tty) {
            let as_after_login = || Settings { winsize: [24, 80, 0, 0], ..Settings::default() };
            let settings = settings.unwrap_or_else(as_after_login);
            let tty = self.ttys.insert(Tty::new(0, settings, None));
            self.devpts_add(0, (0, 0));
            self.console.tty = Some(tty);
        }
    }

    /// The terminal behind the console.
    pub fn console_tty(&self) -> Option<&Tty> {
        self.console.tty.map(|tty| &self.ttys[tty])
    }

    /// The window behind the console has another size.
    pub fn console_resize(&mut self, winsize: [u16; 4]) {
        if let Some(tty) = self.console.tty {
            self.tty_do_resize(tty, winsize);
        }
    }
}
