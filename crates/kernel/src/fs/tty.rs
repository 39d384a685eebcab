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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::open::OFlags;
    use crate::fs::console::{Console, StreamKind};
    use crate::fs::file::{File, FileKind};
    use crate::fs::testing::{Outcome, Tiny, World};

    const READ: u64 = 0;
    const IOCTL: u64 = 16;

    /// A world whose task has a terminal that is the controlling one of its session.
    fn at_terminal() -> (World, u64) {
        let mut w = World::new(Tiny::default());
        w.kernel.console = Console::new([StreamKind::Tty; 3]);
        let file = w.kernel.files.insert(File::new(FileKind::Console(0), OFlags::RDWR));
        let table = w.kernel.table_mut(w.task);
        let fd = table.alloc_fd(0, 16, false).expect("room");
        table.fd_install(fd, file);
        (w, fd as u64)
    }

    #[test]
    fn settings_go_round_and_a_flush_is_counted() {
        let (mut w, fd) = at_terminal();
        let mut raw_mode = Tty::default().termios;
        raw_mode[12] &= !0x02; // ICANON
        let at = w.put(&raw_mode);
        w.kernel.console_input(b"typed");
        assert_eq!(w.sys(IOCTL, &[fd, raw::TCSETS.into(), at]), Ok(0));
        assert_eq!(w.sys(IOCTL, &[fd, raw::TCGETS.into(), World::OUT]), Ok(0));
        assert_eq!(w.out(TERMIOS), raw_mode);
        assert_eq!(w.sys(READ, &[fd, World::OUT, 2]), Ok(2));
        assert_eq!(w.sys(IOCTL, &[fd, raw::TCSETSF.into(), at]), Ok(0));
        assert!(matches!(w.begin(READ, &[fd, World::OUT, 2]), Outcome::Waits(..)));
        let tty = w.kernel.console.tty.expect("a terminal");
        assert_eq!((tty.flushes, tty.is_canonical()), (1, false));
    }

    #[test]
    fn a_cooked_terminal_gives_lines_and_ends_one_read() {
        let (mut w, fd) = at_terminal();
        w.kernel.console_input(b"one\ntwo\n");
        assert_eq!(w.sys(READ, &[fd, World::OUT, 100]), Ok(4));
        assert_eq!(w.sys(READ, &[fd, World::OUT, 2]), Ok(2));
        assert_eq!(w.sys(READ, &[fd, World::OUT, 100]), Ok(2));
        w.kernel.console_eof();
        assert_eq!(w.sys(READ, &[fd, World::OUT, 100]), Ok(0));
        assert!(matches!(w.begin(READ, &[fd, World::OUT, 100]), Outcome::Waits(..)));
    }

    #[test]
    fn only_its_own_session_controls_a_terminal() {
        // ioctl_tty(2).
        let (mut w, fd) = at_terminal();
        let group = w.kernel.tasks[w.task].group;
        let pgrp = w.kernel.groups[group].tgid;
        (w.kernel.groups[group].session, w.kernel.groups[group].pgrp) = (pgrp, pgrp);
        let get = [fd, raw::TIOCGPGRP.into(), World::OUT];
        assert_eq!(w.sys(IOCTL, &get), Err(Errno::ENOTTY));
        assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSCTTY.into(), 0]), Ok(0));
        assert_eq!(w.sys(IOCTL, &get), Ok(0));
        assert_eq!(w.out(4), pgrp.0.to_le_bytes());
        let nobody = w.put(&77_u32.to_le_bytes());
        assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSPGRP.into(), nobody]), Err(Errno::ESRCH));
        // Another session has it: only root may steal it.
        w.kernel.console.tty.as_mut().expect("a terminal").session = Some(Pid(77));
        assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSCTTY.into(), 0]), Err(Errno::EPERM));
        assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSCTTY.into(), 1]), Ok(0));
    }

    #[test]
    fn a_background_read_of_an_orphan_is_eio() {
        let (mut w, fd) = at_terminal();
        let group = w.kernel.tasks[w.task].group;
        let session = w.kernel.groups[group].session;
        let tty = w.kernel.console.tty.as_mut().expect("a terminal");
        (tty.session, tty.pgrp) = (Some(session), Some(Pid(77)));
        w.kernel.console_input(b"x\n");
        assert_eq!(w.sys(READ, &[fd, World::OUT, 2]), Err(Errno::EIO));
    }
}
