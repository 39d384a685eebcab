//! The output side of N_TTY: what a program writes and what is echoed, on its way to the screen,
//! and where the cursor is meanwhile (tabs that are erased depend on it).
//! Neighbours: `n_tty` (echo), `pty` (writes); man page: termios(3), c_oflag.

use super::termios::Termios;
use linux_raw_sys::general as raw;

/// Where the cursor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Column {
    at: usize,
    /// Where the line that is being typed began (canon_column).
    line: usize,
}

impl Column {
    /// A line begins to be typed here.
    pub fn begin_line(&mut self) {
        self.line = self.at;
    }

    /// The last byte took no place of its own.
    pub fn back(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    /// do_output_char(): one character, as c_oflag wants it.
    pub fn put(&mut self, termios: &Termios, c: u8, out: &mut Vec<u8>) {
        if !termios.o(raw::OPOST) {
            out.push(c);
            return;
        }
        match c {
            b'\n' if termios.o(raw::ONLCR) => {
                (self.at, self.line) = (0, 0);
                out.extend_from_slice(b"\r\n");
                return;
            }
            b'\n' => {
                if termios.o(raw::ONLRET) {
                    self.at = 0;
                }
                self.line = self.at;
            }
            b'\r' if termios.o(raw::ONOCR) && self.at == 0 => return,
            b'\r' if termios.o(raw::OCRNL) => {
                if termios.o(raw::ONLRET) {
                    (self.at, self.line) = (0, 0);
                }
                out.push(b'\n');
                return;
            }
            b'\r' => (self.at, self.line) = (0, 0),
            b'\t' => {
                let spaces = 8 - (self.at & 7);
                self.at += spaces;
                if termios.expands_tabs() {
                    out.extend(core::iter::repeat_n(b' ', spaces));
                    return;
                }
            }
            8 => self.at = self.at.saturating_sub(1),
            _ if c.is_ascii_control() => {}
            _ => {
                let continues = termios.i(raw::IUTF8) && c & 0xc0 == 0x80;
                self.at += usize::from(!continues);
                if termios.o(raw::OLCUC) {
                    out.push(c.to_ascii_uppercase());
                    return;
                }
            }
        }
        out.push(c);
    }

    /// A control character as `^X`.
    pub fn put_control(&mut self, c: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(&[b'^', c ^ 0x40]);
        self.at += 2;
    }

    /// ECHO_OP_ERASE_TAB: back over a tab that had `chars` columns of other characters before it,
    /// counted from another tab or from where the line began.
    pub fn erase_tab(&mut self, mut chars: usize, after_tab: bool, out: &mut Vec<u8>) {
        if !after_tab {
            chars += self.line;
        }
        for _ in 0..8 - (chars & 7) {
            out.push(8);
            self.back();
        }
    }
}
