//! The real terminal behind a command's console. It does what a line discipline does: echo, editing
//! of lines, keys that send signals. What a guest sets is set here too, and all of it is put back
//! when this value goes, also by a panic. Neighbours: `console` (bytes and time), the kernel's
//! `tty`; man page: termios(3).

use kernel::tty::{Settings, TERMIOS, Termios as Set};
use rustix::termios::{
    self, ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex,
    Termios, Winsize,
};
use std::os::fd::{AsFd, OwnedFd};

/// Where `struct termios` has its line discipline, followed by the special characters.
const LINE: usize = 16;
/// The special characters in the kernel's order.
const CODES: [SpecialCodeIndex; 17] = [
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VSWTC,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VDISCARD,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VEOL2,
];

/// The terminal of the command's streams.
pub struct Terminal {
    fd: OwnedFd,
    found: Termios,
    /// What it is set to now, as guests see it.
    shown: Settings,
}

impl Terminal {
    /// The terminal that `fd` is; `None` if it is none.
    pub fn of(fd: impl AsFd) -> Option<Terminal> {
        let fd = fd.as_fd().try_clone_to_owned().ok()?;
        let found = termios::tcgetattr(&fd).ok()?;
        let mut shown = Settings { termios: to_bytes(&found), ..Settings::default() };
        shown.winsize = winsize(&fd).unwrap_or(shown.winsize);
        Some(Terminal { fd, found, shown })
    }

    /// As guests are to see it at first.
    pub fn settings(&self) -> Settings {
        self.shown.clone()
    }

    /// The window's size now.
    pub fn winsize(&mut self) -> [u16; 4] {
        self.shown.winsize = winsize(&self.fd).unwrap_or(self.shown.winsize);
        self.shown.winsize
    }

    /// Makes it what the guests set. A terminal that is gone takes no settings, and needs none.
    pub fn follow(&mut self, tty: &Settings) {
        if self.shown == *tty {
            return;
        }
        if self.shown.winsize != tty.winsize {
            let [ws_row, ws_col, ws_xpixel, ws_ypixel] = tty.winsize;
            let winsize = Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel };
            let _ = termios::tcsetwinsize(&self.fd, winsize);
        }
        if self.shown.flushes != tty.flushes {
            let _ = termios::tcflush(&self.fd, termios::QueueSelector::IFlush);
        }
        if self.shown.termios != tty.termios {
            let set = from_bytes(&self.found, &tty.termios);
            let _ = termios::tcsetattr(&self.fd, OptionalActions::Drain, &set);
        }
        self.shown = tty.clone();
    }

    /// Puts back what was found, for a while (Ctrl-Z) or for good.
    pub fn put_back(&self) {
        if self.shown.termios != to_bytes(&self.found) {
            let _ = termios::tcsetattr(&self.fd, OptionalActions::Drain, &self.found);
        }
    }

    /// Sets again what the guests set.
    pub fn take_again(&self) {
        let set = from_bytes(&self.found, &self.shown.termios);
        let _ = termios::tcsetattr(&self.fd, OptionalActions::Drain, &set);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.put_back();
    }
}

fn winsize(fd: impl AsFd) -> Option<[u16; 4]> {
    let size = termios::tcgetwinsize(fd).ok()?;
    Some([size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel])
}

/// `struct termios` as TCGETS gives it.
fn to_bytes(termios: &Termios) -> Set {
    let mut bytes = [0; TERMIOS];
    let words = [
        termios.input_modes.bits(),
        termios.output_modes.bits(),
        termios.control_modes.bits(),
        termios.local_modes.bits(),
    ];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes[LINE] = termios.line_discipline;
    for (i, code) in CODES.into_iter().enumerate() {
        bytes[LINE + 1 + i] = termios.special_codes[code];
    }
    Set(bytes)
}

/// The terminal that was found, with the settings of `bytes`. Its speed stays as it is.
fn from_bytes(found: &Termios, Set(bytes): &Set) -> Termios {
    let word = |i: usize| {
        u32::from_le_bytes([bytes[i * 4], bytes[i * 4 + 1], bytes[i * 4 + 2], bytes[i * 4 + 3]])
    };
    let mut set = found.clone();
    set.input_modes = InputModes::from_bits_retain(word(0));
    set.output_modes = OutputModes::from_bits_retain(word(1));
    set.control_modes = ControlModes::from_bits_retain(word(2));
    set.local_modes = LocalModes::from_bits_retain(word(3));
    for (i, code) in CODES.into_iter().enumerate() {
        set.special_codes[code] = bytes[LINE + 1 + i];
    }
    set
}
