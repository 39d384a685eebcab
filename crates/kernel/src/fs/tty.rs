//! The terminal behind the console: its ioctls, its session and its foreground process group. Echo,
//! line editing and the keys that send signals are the real terminal's work; what a guest sets
//! (`Tty::termios`, `Tty::winsize`) whoever runs the world carries over to it. Neighbours: `console`
//! (bytes), `task/session`, `task/signal/job_control`; man pages: ioctl_tty(2), termios(3).

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::fact::Fact;
use crate::kernel::Kernel;
use crate::syscall::{Call, Restart, SysResult};
use crate::task::Pid;
use crate::task::signal::sigaction::SIG_IGN;
use linux_raw_sys::ioctl as raw;

/// Bytes of the kernel's `struct termios`.
pub const TERMIOS: usize = 36;
/// c_lflag: a background process that writes is stopped.
const TOSTOP: u8 = 0x01; // of its second byte
/// What TCGETS2 says of both speeds: B38400, as every pseudoterminal does.
const SPEED: u32 = 38400;

/// The terminal behind the console, as its ioctls show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tty {
    /// `struct termios` of the kernel's ABI: four flag words, the line, nineteen characters.
    pub termios: [u8; TERMIOS],
    /// Rows, columns, and the same in pixels.
    pub winsize: [u16; 4],
    /// The session whose controlling terminal this is.
    pub session: Option<Pid>,
    /// Its foreground process group.
    pub pgrp: Option<Pid>,
    /// How often a guest threw typed input away (TCSETSF, TCFLSH).
    pub flushes: u64,
}

impl Default for Tty {
    /// As after login: cooked, 24 × 80.
    fn default() -> Self {
        let mut termios = [0; TERMIOS];
        // ICRNL|IXON, OPOST|ONLCR, B38400|CS8|CREAD, ISIG|ICANON|ECHO|ECHOE|ECHOK|ECHOCTL|ECHOKE|IEXTEN
        for (i, word) in [0x500_u32, 0x5, 0xbf, 0x8a3b].iter().enumerate() {
            termios[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        termios[17..34].copy_from_slice(&[
            0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0,
        ]);
        Tty { termios, winsize: [24, 80, 0, 0], session: None, pgrp: None, flushes: 0 }
    }
}

impl Tty {
    /// ICANON: input comes line by line.
    pub fn is_canonical(&self) -> bool {
        self.termios[12] & 0x02 != 0
    }

    /// Is `session`'s group `pgrp` a background group of this terminal?
    fn is_background(&self, session: Pid, pgrp: Pid) -> bool {
        self.session == Some(session) && self.pgrp.is_some_and(|foreground| foreground != pgrp)
    }
}

impl Kernel {
    /// The window has another size: tty_do_resize() tells the foreground group if it changed.
    pub fn tty_resize(&mut self, winsize: [u16; 4]) {
        let Some(tty) = &mut self.console.tty else { return };
        let changed = core::mem::replace(&mut tty.winsize, winsize) != winsize;
        if let Some(pgrp) = tty.pgrp.filter(|_| changed) {
            self.kill_pgrp(pgrp, Signal::SIGWINCH);
        }
    }

    /// __tty_check_change(): a background process that reads (SIGTTIN), or writes or sets
    /// (SIGTTOU), is stopped and tries again in the foreground. Who blocks or ignores the signal
    /// gets EIO for a read and may do the rest; an orphaned group gets EIO. Job control, termios(3).
    fn tty_check_change(&mut self, call: &Call<'_>, signal: Signal) -> Result<(), Errno> {
        let group = &self.groups[self.tasks[call.task].group];
        let (session, pgrp) = (group.session, group.pgrp);
        if !self.console.tty.as_ref().is_some_and(|tty| tty.is_background(session, pgrp)) {
            return Ok(());
        }
        let ignored = self.sighands[group.sighand].of(signal).handler == SIG_IGN;
        if ignored || self.tasks[call.task].blocked.has(signal) {
            return if signal == Signal::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if self.is_orphaned_pgrp(pgrp, None) {
            return Err(Errno::EIO);
        }
        self.kill_pgrp(pgrp, signal);
        // ERESTARTSYS: the signal is on its way to this very task.
        self.tasks[call.task].restart = Some((Restart::Sys, None));
        Err(Errno::EINTR)
    }

    /// May this process read from the terminal now?
    pub(super) fn tty_may_read(&mut self, call: &Call<'_>) -> Result<(), Errno> {
        self.tty_check_change(call, Signal::SIGTTIN)
    }

    /// May this process write to the terminal now?
    pub(super) fn tty_may_write(&mut self, call: &Call<'_>) -> Result<(), Errno> {
        let stops = self.console.tty.as_ref().is_some_and(|tty| tty.termios[13] & TOSTOP != 0);
        if stops { self.tty_check_change(call, Signal::SIGTTOU) } else { Ok(()) }
    }

    /// tty_ioctl(): what ioctl_tty(2) lists and programs use.
    pub(super) fn tty_ioctl(&mut self, call: &mut Call<'_>, cmd: u32) -> SysResult {
        let Some(mut tty) = self.console.tty.clone() else { return self.no_ioctl(call, cmd) };
        let arg = call.ptr(2);
        match cmd {
            raw::TCGETS => call.write_user(arg, &tty.termios)?,
            raw::TCGETS2 => {
                let speed = SPEED.to_le_bytes();
                call.write_user(arg, &[&tty.termios[..], &speed, &speed].concat())?;
            }
            raw::TIOCGWINSZ => {
                let bytes: Vec<u8> = tty.winsize.iter().flat_map(|w| w.to_le_bytes()).collect();
                call.write_user(arg, &bytes)?;
            }
            raw::TIOCSWINSZ => {
                let bytes: [u8; 8] = call.read_array(arg)?;
                let word = |i: usize| u16::from_le_bytes([bytes[i * 2], bytes[i * 2 + 1]]);
                self.tty_resize([word(0), word(1), word(2), word(3)]);
            }
            raw::TCSETS | raw::TCSETSW | raw::TCSETSF => {
                self.tty_check_change(call, Signal::SIGTTOU)?;
                tty.termios = call.read_array(arg)?;
                self.console.tty = Some(tty);
                if cmd == raw::TCSETSF {
                    self.tty_flush_input();
                }
            }
            raw::TCSETS2 | raw::TCSETSW2 | raw::TCSETSF2 => {
                self.tty_check_change(call, Signal::SIGTTOU)?;
                let both: [u8; TERMIOS + 8] = call.read_array(arg)?;
                tty.termios.copy_from_slice(&both[..TERMIOS]);
                self.console.tty = Some(tty);
                if cmd == raw::TCSETSF2 {
                    self.tty_flush_input();
                }
            }
            raw::TIOCGPGRP | raw::TIOCSPGRP | raw::TIOCGSID | raw::TIOCSCTTY => {
                return self.tty_job_control(call, cmd);
            }
            raw::TIOCOUTQ => call.write_u32(arg, 0)?,
            // tcdrain(3): output is never queued.
            raw::TCSBRK if call.arg(2) != 0 => {}
            raw::TCFLSH => {
                self.tty_check_change(call, Signal::SIGTTOU)?;
                match call.int(2) {
                    // TCIFLUSH, TCIOFLUSH; TCOFLUSH finds nothing.
                    0 | 2 => self.tty_flush_input(),
                    1 => {}
                    _ => return Err(Errno::EINVAL.into()),
                }
            }
            // TCOON, TCION: nothing is held.
            raw::TCXONC if matches!(call.int(2), 1 | 3) => {}
            _ => {
                self.tell(Some(call.task), Fact::unsupported("tty ioctl", format!("{cmd:#x}")));
                return Err(Errno::ENOTTY.into());
            }
        }
        Ok(0)
    }

    /// What was typed and not read is thrown away, here and at the real terminal.
    fn tty_flush_input(&mut self) {
        self.console.forget_input();
        if let Some(tty) = &mut self.console.tty {
            tty.flushes += 1;
        }
    }

    /// tty_jobctrl_ioctl(): sessions and foreground groups, only for the terminal's own session.
    fn tty_job_control(&mut self, call: &mut Call<'_>, cmd: u32) -> SysResult {
        let group = &self.groups[self.tasks[call.task].group];
        let (tgid, session, pgrp) = (group.tgid, group.session, group.pgrp);
        let steals = call.arg(2) == 1 && self.tasks[call.task].cred.is_privileged();
        let Some(tty) = &mut self.console.tty else { return Err(Errno::ENOTTY.into()) };
        if cmd == raw::TIOCSCTTY {
            if tty.session == Some(session) {
                return Ok(0);
            }
            if tgid != session || (tty.session.is_some() && !steals) {
                return Err(Errno::EPERM.into());
            }
            (tty.session, tty.pgrp) = (Some(session), Some(pgrp));
            return Ok(0);
        }
        if tty.session != Some(session) {
            return Err(Errno::ENOTTY.into());
        }
        let foreground = tty.pgrp;
        match cmd {
            raw::TIOCGPGRP => call.write_u32(call.ptr(2), foreground.map_or(0, |p| p.0))?,
            raw::TIOCGSID => call.write_u32(call.ptr(2), session.0)?,
            // TIOCSPGRP
            _ => {
                self.tty_check_change(call, Signal::SIGTTOU)?;
                let pgrp = call.read_u32(call.ptr(2))? as i32;
                let pgrp = Pid(u32::try_from(pgrp).map_err(|_| Errno::EINVAL)?);
                let member = self.groups.iter().find(|(_, g)| g.pgrp == pgrp);
                match member {
                    None => return Err(Errno::ESRCH.into()),
                    Some((_, g)) if g.session != session => return Err(Errno::EPERM.into()),
                    Some(_) => {}
                }
                if let Some(tty) = &mut self.console.tty {
                    tty.pgrp = Some(pgrp);
                }
            }
        }
        Ok(0)
    }
}
