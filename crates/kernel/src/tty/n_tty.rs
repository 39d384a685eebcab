//! N_TTY, the line discipline of a terminal, as a value: what is typed becomes lines, echo, signals
//! and flow control. Nothing here knows the kernel: `receive_char` tells by [`Heard`] what is to
//! be done. Neighbours: `n_tty_output` (echo, output), `pty` (where bytes come from and go to),
//! `termios`; man page: termios(3).

use super::n_tty_output::Column;
use super::termios::Termios;
use crate::abi::signal::Signal;
use linux_raw_sys::general as raw;
use std::collections::VecDeque;

/// N_TTY_BUF_SIZE. The last place is only for a line that has no end yet.
const N_TTY_BUF_SIZE: usize = 4096;
/// __DISABLED_CHAR: what the end-of-file character becomes in the buffer.
const DISABLED: u8 = 0;

/// A character that was typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Typed {
    byte: u8,
    /// read_flags: it ends a line.
    ends: bool,
}

/// What receiving characters asks of the terminal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Echo, ready for output.
    pub echo: Vec<u8>,
    /// Signals for the foreground group.
    pub signals: Vec<Signal>,
    /// Pending output and input were thrown away, before `echo`.
    pub flushed: bool,
    /// Output was stopped (true) or started (false), the last of it.
    pub stopped: Option<bool>,
}

/// One terminal's line discipline.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NTty {
    read_buf: VecDeque<Typed>,
    /// How many characters at the front are complete lines.
    canon_head: usize,
    /// The next character is taken literally (VLNEXT).
    lnext: bool,
    /// ECHOPRT: a `\` was echoed and its `/` not yet.
    erasing: bool,
    /// Where the cursor is.
    pub column: Column,
    /// tty->flow.stopped.
    pub stopped: bool,
}

impl NTty {
    /// How many characters may come now (n_tty's receive_room): in canonical mode without a
    /// complete line there is always room for one, so that a line can be ended.
    pub fn receive_room(&self, termios: &Termios) -> usize {
        let room = (N_TTY_BUF_SIZE - 1).saturating_sub(self.read_buf.len());
        let overflows = termios.l(raw::ICANON) && self.canon_head == 0;
        if room == 0 && overflows { 1 } else { room }
    }

    /// One character from the other side.
    pub fn receive_char(&mut self, termios: &Termios, mut c: u8, heard: &mut Heard) {
        if self.read_buf.len() >= N_TTY_BUF_SIZE {
            // The last character of a line that is too long is overwritten.
            self.read_buf.pop_back();
        }
        if termios.i(raw::ISTRIP) {
            c &= 0x7f;
        }
        if termios.i(raw::IUCLC) && termios.l(raw::IEXTEN) {
            c = c.to_ascii_lowercase();
        }
        if termios.l(raw::EXTPROC) {
            self.put(c, false);
        } else if core::mem::take(&mut self.lnext) {
            self.receive_ordinary(termios, c, heard);
        } else {
            self.receive_special(termios, c, heard);
        }
    }

    /// n_tty_receive_char_special().
    fn receive_special(&mut self, termios: &Termios, c: u8, heard: &mut Heard) {
        if termios.i(raw::IXON) && (termios.is(c, raw::VSTART) || termios.is(c, raw::VSTOP)) {
            self.flow(termios.is(c, raw::VSTOP) && !termios.is(c, raw::VSTART), heard);
            return;
        }
        if let Some(signal) = signal_of(termios, c) {
            self.receive_signal_char(termios, signal, c, heard);
            return;
        }
        let c = match c {
            b'\r' if termios.i(raw::IGNCR) => return,
            b'\r' if termios.i(raw::ICRNL) => b'\n',
            b'\n' if termios.i(raw::INLCR) => b'\r',
            other => other,
        };
        if termios.l(raw::ICANON) && self.edit_line(termios, c, heard) {
            return;
        }
        if c == b'\n' && termios.l(raw::ECHO) {
            self.start_if_any(termios, heard);
            self.finish_erasing(termios, heard);
            self.echo_raw(termios, c, heard);
            self.put(c, false);
        } else {
            self.receive_ordinary(termios, c, heard);
        }
    }

    /// n_tty_receive_char(): a character that means nothing but itself.
    fn receive_ordinary(&mut self, termios: &Termios, c: u8, heard: &mut Heard) {
        self.start_if_any(termios, heard);
        if termios.l(raw::ECHO) {
            self.finish_erasing(termios, heard);
            if self.canon_head == self.read_buf.len() {
                self.column.begin_line();
            }
            self.echo_char(termios, c, heard);
        }
        if c == 0xff && termios.i(raw::PARMRK) {
            self.put(c, false);
        }
        self.put(c, false);
    }

    /// IXANY: any character starts output again.
    fn start_if_any(&mut self, termios: &Termios, heard: &mut Heard) {
        if self.stopped && termios.i(raw::IXON) && termios.i(raw::IXANY) {
            self.flow(false, heard);
        }
    }

    fn flow(&mut self, stop: bool, heard: &mut Heard) {
        if self.stopped != stop {
            self.stopped = stop;
            heard.stopped = Some(stop);
        }
    }

    /// isig(): the foreground group gets a signal; what was typed and what waits to be shown is
    /// thrown away, unless NOFLSH.
    fn receive_signal_char(&mut self, termios: &Termios, signal: Signal, c: u8, heard: &mut Heard) {
        heard.signals.push(signal);
        if !termios.l(raw::NOFLSH) {
            self.flush();
            heard.echo.clear();
            heard.flushed = true;
        }
        if termios.i(raw::IXON) {
            self.flow(false, heard);
        }
        if termios.l(raw::ECHO) {
            self.echo_char(termios, c, heard);
        }
    }

    /// What canonical mode does with `c`; false if nothing.
    fn edit_line(&mut self, termios: &Termios, c: u8, heard: &mut Heard) -> bool {
        let extended = termios.l(raw::IEXTEN);
        let erases = termios.is(c, raw::VERASE)
            || termios.is(c, raw::VKILL)
            || (extended && termios.is(c, raw::VWERASE));
        if erases {
            self.eraser(termios, c, heard);
        } else if extended && termios.is(c, raw::VLNEXT) {
            self.lnext = true;
            if termios.l(raw::ECHO) {
                self.finish_erasing(termios, heard);
                if termios.l(raw::ECHOCTL) {
                    self.echo_raw(termios, b'^', heard);
                    self.echo_raw(termios, 8, heard);
                }
            }
        } else if extended && termios.l(raw::ECHO) && termios.is(c, raw::VREPRINT) {
            self.finish_erasing(termios, heard);
            self.echo_char(termios, c, heard);
            self.echo_raw(termios, b'\n', heard);
            for at in self.canon_head..self.read_buf.len() {
                self.echo_char(termios, self.read_buf[at].byte, heard);
            }
        } else if c == b'\n' {
            if termios.l(raw::ECHO | raw::ECHONL) {
                self.echo_raw(termios, c, heard);
            }
            self.end_line(c);
        } else if termios.is(c, raw::VEOF) {
            self.end_line(DISABLED);
        } else if termios.is(c, raw::VEOL) || (extended && termios.is(c, raw::VEOL2)) {
            if termios.l(raw::ECHO) {
                if self.canon_head == self.read_buf.len() {
                    self.column.begin_line();
                }
                self.echo_char(termios, c, heard);
            }
            self.end_line(c);
        } else {
            return false;
        }
        true
    }

    /// How many characters at the front are complete lines: it grows when a line ends.
    pub fn canon_head(&self) -> usize {
        self.canon_head
    }

    fn put(&mut self, byte: u8, ends: bool) {
        self.read_buf.push_back(Typed { byte, ends });
    }

    fn end_line(&mut self, c: u8) {
        self.put(c, true);
        self.canon_head = self.read_buf.len();
    }

    /// eraser(): the erase, word-erase and kill characters.
    fn eraser(&mut self, termios: &Termios, c: u8, heard: &mut Heard) {
        if self.read_buf.len() == self.canon_head {
            return;
        }
        let (erase, word) = (termios.is(c, raw::VERASE), termios.is(c, raw::VWERASE));
        if !erase && !word && !self.kills_by_erasing(termios, heard) {
            return;
        }
        let mut seen_alnums = false;
        while self.read_buf.len() > self.canon_head {
            let Some(head) = self.last_char(termios) else { break };
            let first = self.read_buf[head].byte;
            if word {
                if is_alnum(first) || first == b'_' {
                    seen_alnums = true;
                } else if seen_alnums {
                    break;
                }
            }
            let gone: Vec<u8> = self.read_buf.drain(head..).map(|typed| typed.byte).collect();
            if termios.l(raw::ECHO) {
                self.echo_erased(termios, erase, &gone, heard);
            }
            if erase {
                break;
            }
        }
        if self.read_buf.len() == self.canon_head && termios.l(raw::ECHO) {
            self.finish_erasing(termios, heard);
        }
    }

    /// The kill character where the screen cannot be erased: the line is dropped. True if it can.
    fn kills_by_erasing(&mut self, termios: &Termios, heard: &mut Heard) -> bool {
        let visibly =
            [raw::ECHO, raw::ECHOK, raw::ECHOKE, raw::ECHOE].iter().all(|flag| termios.l(*flag));
        if !visibly {
            self.read_buf.truncate(self.canon_head);
            if termios.l(raw::ECHO) {
                self.finish_erasing(termios, heard);
                self.echo_char(termios, termios.cc(raw::VKILL), heard);
                if termios.l(raw::ECHOK) {
                    self.echo_raw(termios, b'\n', heard);
                }
            }
        }
        visibly
    }

    /// Where the last character of the line begins, which may be several bytes of UTF-8; None if
    /// it is only half there.
    fn last_char(&self, termios: &Termios) -> Option<usize> {
        let mut head = self.read_buf.len();
        loop {
            head -= 1;
            let continues = is_continuation(self.read_buf[head].byte, termios);
            if !continues {
                return Some(head);
            }
            if head == self.canon_head {
                return None;
            }
        }
    }

    /// How the screen shows that the character `gone` was erased.
    fn echo_erased(&mut self, termios: &Termios, erase: bool, gone: &[u8], heard: &mut Heard) {
        let c = gone[0];
        if termios.l(raw::ECHOPRT) {
            if !core::mem::replace(&mut self.erasing, true) {
                self.echo_raw(termios, b'\\', heard);
            }
            self.echo_char(termios, c, heard);
            for byte in &gone[1..] {
                self.echo_raw(termios, *byte, heard);
                self.column.back();
            }
        } else if erase && !termios.l(raw::ECHOE) {
            self.echo_char(termios, termios.cc(raw::VERASE), heard);
        } else if c == b'\t' {
            let (mut chars, mut after_tab) = (0, false);
            for typed in self.read_buf.iter().skip(self.canon_head).rev() {
                match typed.byte {
                    b'\t' => {
                        after_tab = true;
                        break;
                    }
                    byte if byte.is_ascii_control() => {
                        chars += if termios.l(raw::ECHOCTL) { 2 } else { 0 };
                    }
                    byte => chars += usize::from(!is_continuation(byte, termios)),
                }
            }
            self.column.erase_tab(chars, after_tab, &mut heard.echo);
        } else {
            let shown = match (c.is_ascii_control(), termios.l(raw::ECHOCTL)) {
                (true, true) => 2,
                (true, false) => 0,
                (false, _) => 1,
            };
            for byte in b"\x08 \x08".repeat(shown) {
                self.echo_raw(termios, byte, heard);
            }
        }
    }

    fn finish_erasing(&mut self, termios: &Termios, heard: &mut Heard) {
        if core::mem::take(&mut self.erasing) {
            self.echo_raw(termios, b'/', heard);
        }
    }

    fn echo_raw(&mut self, termios: &Termios, c: u8, heard: &mut Heard) {
        self.column.put(termios, c, &mut heard.echo);
    }

    /// echo_char(): control characters as `^X`, but for tabs.
    fn echo_char(&mut self, termios: &Termios, c: u8, heard: &mut Heard) {
        if termios.l(raw::ECHOCTL) && c.is_ascii_control() && c != b'\t' {
            self.column.put_control(c, &mut heard.echo);
        } else {
            self.echo_raw(termios, c, heard);
        }
    }

    /// reset_buffer_flags(): what was typed is forgotten.
    pub fn flush(&mut self) {
        self.read_buf.clear();
        self.canon_head = 0;
    }

    /// n_tty_set_termios(): what was typed raw becomes a line, and the other way round.
    pub fn set_termios(&mut self, old: &Termios, new: &Termios) {
        if old.l(raw::ICANON) != new.l(raw::ICANON) || old.l(raw::EXTPROC) != new.l(raw::EXTPROC) {
            for typed in &mut self.read_buf {
                typed.ends = false;
            }
            self.canon_head = 0;
            if let Some(last) = self.read_buf.back_mut().filter(|_| new.l(raw::ICANON)) {
                last.ends = true;
                self.canon_head = self.read_buf.len();
            }
            (self.erasing, self.lnext) = (false, false);
        }
    }

    /// input_available_p(): may a read take something? `at_least` is 1, or VMIN for poll.
    pub fn input_available(&self, termios: &Termios, at_least: usize) -> bool {
        if termios.l(raw::ICANON) && !termios.l(raw::EXTPROC) {
            self.canon_head > 0
        } else {
            self.read_buf.len() >= at_least.max(1)
        }
    }

    /// What FIONREAD says: complete lines without ends of file, or all.
    pub fn inq(&self, termios: &Termios) -> usize {
        if termios.l(raw::ICANON) && !termios.l(raw::EXTPROC) {
            let lines = self.read_buf.iter().take(self.canon_head);
            lines.filter(|typed| !(typed.ends && typed.byte == DISABLED)).count()
        } else {
            self.read_buf.len()
        }
    }

    /// The bytes that one read of `max` takes: up to the end of a line, or what is there. They
    /// stay until [`NTty::consume`].
    pub fn peek(&self, termios: &Termios, max: usize) -> Vec<u8> {
        let canonical = termios.l(raw::ICANON) && !termios.l(raw::EXTPROC);
        let mut bytes = Vec::new();
        for typed in self.read_buf.iter().take(if canonical { self.canon_head } else { max }) {
            if bytes.len() == max || (canonical && typed.ends && typed.byte == DISABLED) {
                break;
            }
            bytes.push(typed.byte);
            if canonical && typed.ends {
                break;
            }
        }
        bytes
    }

    /// `count` bytes of the front were read; an end of file behind them that ended the line (or
    /// would be all that the next read finds) goes with them.
    pub fn consume(&mut self, termios: &Termios, count: usize) {
        let canonical = termios.l(raw::ICANON) && !termios.l(raw::EXTPROC);
        let ended = self.read_buf.drain(..count).any(|typed| typed.ends);
        self.canon_head = self.canon_head.saturating_sub(count);
        let next = self.read_buf.front().filter(|typed| typed.ends && typed.byte == DISABLED);
        if canonical && !ended && self.canon_head > 0 && next.is_some() {
            self.read_buf.pop_front();
            self.canon_head -= 1;
        }
    }
}

/// The signal of an INTR, QUIT or SUSP character.
fn signal_of(termios: &Termios, c: u8) -> Option<Signal> {
    let keys = [
        (raw::VINTR, Signal::SIGINT),
        (raw::VQUIT, Signal::SIGQUIT),
        (raw::VSUSP, Signal::SIGTSTP),
    ];
    let key = keys.into_iter().find(|(index, _)| termios.is(c, *index))?;
    termios.l(raw::ISIG).then_some(key.1)
}

/// A further byte of a UTF-8 character.
fn is_continuation(c: u8, termios: &Termios) -> bool {
    termios.i(raw::IUTF8) && c & 0xc0 == 0x80
}

/// The kernel's isalnum(): Latin-1.
fn is_alnum(c: u8) -> bool {
    c.is_ascii_alphanumeric() || (c >= 0xc0 && c != 0xd7 && c != 0xf7)
}
