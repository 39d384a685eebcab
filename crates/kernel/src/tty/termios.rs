//! `struct termios` of the kernel's ABI: four flag words, the line discipline and nineteen special
//! characters, kept as the bytes that TCGETS copies. Neighbours: `n_tty` (what the flags mean for
//! input), `n_tty_output` (for output and echo); man page: termios(3).

use linux_raw_sys::general as raw;

/// Bytes of the kernel's `struct termios`.
pub const TERMIOS: usize = 36;
/// Where the special characters begin: after four words and the line discipline.
const CC: usize = 17;

/// The settings of a terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Termios(pub [u8; TERMIOS]);

impl Default for Termios {
    /// tty_std_termios: ICRNL|IXON, OPOST|ONLCR, B38400|CS8|CREAD,
    /// ISIG|ICANON|ECHO|ECHOE|ECHOK|ECHOCTL|ECHOKE|IEXTEN, and INIT_C_CC.
    fn default() -> Self {
        let mut bytes = [0; TERMIOS];
        for (i, word) in [0x500_u32, 0x5, 0xbf, 0x8a3b].iter().enumerate() {
            bytes[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[CC..CC + 17].copy_from_slice(&[
            0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0,
        ]);
        Termios(bytes)
    }
}

impl Termios {
    fn word(&self, i: usize) -> u32 {
        let at = i * 4;
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    fn set_word(&mut self, i: usize, word: u32) {
        self.0[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// Is one of these flags of c_iflag set?
    pub fn i(&self, flags: u32) -> bool {
        self.word(0) & flags != 0
    }

    /// Is one of these flags of c_oflag set?
    pub fn o(&self, flags: u32) -> bool {
        self.word(1) & flags != 0
    }

    /// Does c_oflag expand tabs?
    pub fn expands_tabs(&self) -> bool {
        self.word(1) & raw::XTABS == raw::XTABS
    }

    /// Is one of these flags of c_lflag set?
    pub fn l(&self, flags: u32) -> bool {
        self.word(3) & flags != 0
    }

    /// Special character `index` (VINTR, VEOF, …), VMIN or VTIME.
    pub fn cc(&self, index: u32) -> u8 {
        self.0[CC + index as usize]
    }

    /// Is `c` this special character? __DISABLED_CHAR never is.
    pub fn is(&self, c: u8, index: u32) -> bool {
        c != 0 && self.cc(index) == c
    }

    /// pty_set_termios(): a pseudoterminal is always 8 bits without parity, and open.
    pub fn fit_pty(&mut self) {
        let cflag = self.word(2) & !(raw::CSIZE | raw::PARENB);
        self.set_word(2, cflag | raw::CS8 | raw::CREAD);
    }
}
