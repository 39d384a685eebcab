//! tty_ioctl(): the commands of ioctl_tty(2). A pseudoterminal's master answers for its slave:
//! settings, window and foreground group are the slave's. Neighbours: `job_control` (sessions),
//! `pty`, `fs/console`; man pages: ioctl_tty(2), ioctl_pipe-like FIONREAD.

use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::abi::signal::Signal;
use crate::fact::Fact;
use crate::fs::dcache::Child;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::{Call, SysResult};
use crate::task::capability::Cap;
use crate::tty::pty::Pty;
use crate::tty::{TERMIOS, Termios, TtyId};
use linux_raw_sys::general as bits;
use linux_raw_sys::ioctl as raw;

/// What TCGETS2 says of both speeds: B38400, as every pseudoterminal does.
const SPEED: u32 = 38400;

/// Which end of a terminal a descriptor is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The terminal behind the console: its line discipline is the real terminal's.
    Console,
    Master,
    Slave,
}

impl Kernel {
    /// ioctl(2) on the console's terminal.
    pub fn console_tty_ioctl(&mut self, call: &mut Call<'_>, tty: TtyId, cmd: u32) -> SysResult {
        self.tty_ioctl(call, tty, End::Console, true, cmd)
    }

    /// ioctl(2) on a slave. One that hung up knows nothing any more.
    pub fn pty_slave_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        tty: TtyId,
        cmd: u32,
    ) -> SysResult {
        if !self.pty(tty).master {
            let errno = if cmd == raw::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO };
            return Err(errno.into());
        }
        let readable = self.files[file].flags.readable();
        self.tty_ioctl(call, tty, End::Slave, readable, cmd)
    }

    /// ioctl(2) on a master: pty_unix98_ioctl(), then what every terminal knows.
    pub fn pty_master_ioctl(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        tty: TtyId,
        cmd: u32,
    ) -> SysResult {
        let arg = call.ptr(2);
        match cmd {
            raw::TIOCGPTN => call.write_u32(arg, self.ttys[tty].index)?,
            raw::TIOCSPTLCK => self.pty_mut(tty).locked = call.read_u32(arg)? != 0,
            raw::TIOCGPTLCK => call.write_u32(arg, u32::from(self.pty(tty).locked))?,
            raw::TIOCPKT => {
                let on = call.read_u32(arg)? != 0;
                let pty = self.pty_mut(tty);
                if on && !pty.packet {
                    pty.news = 0;
                }
                pty.packet = on;
            }
            raw::TIOCGPKT => call.write_u32(arg, u32::from(self.pty(tty).packet))?,
            raw::TIOCSIG => self.pty_signal(tty, call.arg(2))?,
            raw::TIOCGPTPEER => return self.ptm_open_peer(call, tty),
            _ => {
                let readable = self.files[file].flags.readable();
                return self.tty_ioctl(call, tty, End::Master, readable, cmd);
            }
        }
        Ok(0)
    }

    /// pty_signal(): INT, QUIT or TSTP for the foreground group.
    fn pty_signal(&mut self, tty: TtyId, signal: u64) -> Result<(), Errno> {
        let keys = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP];
        let known = keys.into_iter().find(|key| u64::from(key.number()) == signal);
        let signal = known.ok_or(Errno::EINVAL)?;
        if let Some(pgrp) = self.ttys[tty].pgrp {
            self.kill_pgrp(pgrp, signal);
        }
        Ok(())
    }

    /// TIOCGPTPEER: a descriptor of the slave, whatever is mounted where.
    fn ptm_open_peer(&mut self, call: &mut Call<'_>, tty: TtyId) -> SysResult {
        let flags = call.arg(2) as u32;
        let kind = self.tty_open(call.task, tty)?;
        let name = self.ttys[tty].index.to_string();
        let root = self.devpts_path();
        let children = &self.vfs.dentries[root.dentry].children;
        let Some(Child::Dentry(node)) = children.get(name.as_bytes()).cloned() else {
            return Err(Errno::EIO.into());
        };
        let file = self.dentry_open(call.task, root.with(node), kind, flags);
        let cloexec = OFlags(flags).has(OFlags(bits::O_CLOEXEC));
        Ok(self.install_fd(call.task, file, cloexec)? as u64)
    }

    fn tty_ioctl(
        &mut self,
        call: &mut Call<'_>,
        tty: TtyId,
        end: End,
        readable: bool,
        cmd: u32,
    ) -> SysResult {
        let arg = call.ptr(2);
        match cmd {
            raw::TCGETS | raw::TCGETS2 => {
                let mut bytes = self.ttys[tty].settings.termios.0.to_vec();
                if cmd == raw::TCGETS2 {
                    bytes.extend([SPEED.to_le_bytes(), SPEED.to_le_bytes()].concat());
                }
                call.write_user(arg, &bytes)?;
            }
            raw::TCSETS | raw::TCSETSW | raw::TCSETSF => {
                self.tty_check_change(call, tty, Signal::SIGTTOU)?;
                let termios = Termios(call.read_array(arg)?);
                self.tty_set_termios(tty, termios, cmd == raw::TCSETSF);
            }
            raw::TCSETS2 | raw::TCSETSW2 | raw::TCSETSF2 => {
                self.tty_check_change(call, tty, Signal::SIGTTOU)?;
                let both: [u8; TERMIOS + 8] = call.read_array(arg)?;
                let mut termios = [0; TERMIOS];
                termios.copy_from_slice(&both[..TERMIOS]);
                self.tty_set_termios(tty, Termios(termios), cmd == raw::TCSETSF2);
            }
            raw::TIOCGWINSZ => {
                let winsize = self.ttys[tty].settings.winsize;
                let bytes: Vec<u8> = winsize.iter().flat_map(|w| w.to_le_bytes()).collect();
                call.write_user(arg, &bytes)?;
            }
            raw::TIOCSWINSZ => {
                let bytes: [u8; 8] = call.read_array(arg)?;
                let word = |i: usize| u16::from_le_bytes([bytes[i * 2], bytes[i * 2 + 1]]);
                self.tty_do_resize(tty, [word(0), word(1), word(2), word(3)]);
            }
            raw::TIOCGPGRP | raw::TIOCGSID => {
                self.tty_tell_session(call, tty, end == End::Master, cmd)?;
            }
            raw::TIOCSPGRP => self.tiocspgrp(call, tty)?,
            raw::TIOCSCTTY if end == End::Master => return Err(Errno::EPERM.into()),
            raw::TIOCSCTTY if !readable && !self.tasks[call.task].cred.capable(Cap::SysAdmin) => {
                return Err(Errno::EPERM.into());
            }
            raw::TIOCSCTTY => self.tiocsctty(call, tty)?,
            raw::TIOCNOTTY if end == End::Master => return Err(Errno::ENOTTY.into()),
            raw::TIOCNOTTY => self.no_tty(call.task, tty)?,
            _ => return self.tty_queue_ioctl(call, tty, end, cmd),
        }
        Ok(0)
    }

    /// The commands about what is on its way, and the rest.
    fn tty_queue_ioctl(
        &mut self,
        call: &mut Call<'_>,
        tty: TtyId,
        end: End,
        cmd: u32,
    ) -> SysResult {
        let arg = call.ptr(2);
        match cmd {
            // A pseudoterminal's output is never on its way.
            raw::TIOCOUTQ => call.write_u32(arg, 0)?,
            raw::FIONREAD => {
                let count = match end {
                    End::Slave => self.pty(tty).ldisc.inq(&self.ttys[tty].settings.termios),
                    End::Master => self.pty(tty).output.len(),
                    // fs/console knew the answer.
                    End::Console => 0,
                };
                call.write_u32(arg, count as u32)?;
            }
            // tcdrain(3), tcsendbreak(3): no break can be seen on a pseudoterminal.
            raw::TCSBRK | raw::TCSBRKP => {
                self.check_change_of(call, tty, end)?;
            }
            raw::TCFLSH => {
                self.check_change_of(call, tty, end)?;
                self.tty_flush(call.int(2), tty, end)?;
            }
            raw::TCXONC => {
                self.check_change_of(call, tty, end)?;
                return self.tty_flow(call, tty, end);
            }
            raw::TIOCEXCL | raw::TIOCNXCL => self.ttys[tty].exclusive = cmd == raw::TIOCEXCL,
            raw::TIOCGEXCL => call.write_u32(arg, u32::from(self.ttys[tty].exclusive))?,
            // N_TTY, the one line discipline here.
            raw::TIOCGETD => call.write_u32(arg, 0)?,
            raw::TIOCGDEV => call.write_u32(arg, (136 << 8) | self.ttys[tty].index)?,
            raw::TIOCSTI => self.tiocsti(call, tty, end)?,
            _ => {
                self.tell(Some(call.task), Fact::unsupported("tty ioctl", format!("{cmd:#x}")));
                return Err(Errno::ENOTTY.into());
            }
        }
        Ok(0)
    }

    /// tty_check_change() where the descriptor is the terminal itself: a master is nobody's
    /// controlling terminal.
    fn check_change_of(&mut self, call: &Call<'_>, tty: TtyId, end: End) -> Result<(), Errno> {
        if end == End::Master { Ok(()) } else { self.tty_check_change(call, tty, Signal::SIGTTOU) }
    }

    /// tty_set_termios(), with TCSETSF after what was typed is thrown away.
    fn tty_set_termios(&mut self, tty: TtyId, mut termios: Termios, flushes: bool) {
        if flushes {
            self.tty_flush_input(tty);
        }
        let t = &mut self.ttys[tty];
        let Some(pty) = &mut t.pty else {
            t.settings.termios = termios;
            return;
        };
        termios.fit_pty();
        let old = core::mem::replace(&mut t.settings.termios, termios);
        let new = &t.settings.termios;
        pty.ldisc.set_termios(&old, new);
        let flow_chars = |termios: &Termios| {
            termios.i(bits::IXON)
                && (termios.cc(bits::VSTART), termios.cc(bits::VSTOP)) == (0x11, 0x13)
        };
        match (flow_chars(&old), flow_chars(new)) {
            (true, false) => pty.tell_master(bits::TIOCPKT_NOSTOP),
            (false, true) => pty.tell_master(bits::TIOCPKT_DOSTOP),
            (true, true) | (false, false) => {}
        }
        if new.l(bits::EXTPROC) || old.l(bits::EXTPROC) {
            pty.tell_master(bits::TIOCPKT_IOCTL);
        }
        if old.i(bits::IXON) && !new.i(bits::IXON) && pty.ldisc.stopped {
            pty.ldisc.stopped = false;
        }
        self.pty_receive(tty);
    }

    /// What was typed and not read is thrown away, at the real terminal too where there is one.
    fn tty_flush_input(&mut self, tty: TtyId) {
        match &mut self.ttys[tty].pty {
            Some(pty) => {
                pty.ldisc.flush();
                pty.tell_master(bits::TIOCPKT_FLUSHREAD);
                self.pty_receive(tty);
            }
            None => {
                self.console.forget_input();
                self.ttys[tty].settings.flushes += 1;
            }
        }
    }

    /// TCFLSH: TCIFLUSH, TCOFLUSH, TCIOFLUSH.
    fn tty_flush(&mut self, queue: i32, tty: TtyId, end: End) -> Result<(), Errno> {
        let (input, output) = match queue {
            0 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let drop_output = |pty: &mut Pty| {
            pty.output.clear();
            pty.tell_master(bits::TIOCPKT_FLUSHWRITE);
        };
        match end {
            End::Console if input => self.tty_flush_input(tty),
            // Output is never queued.
            End::Console => {}
            End::Slave => {
                if input {
                    self.tty_flush_input(tty);
                }
                if output {
                    drop_output(self.pty_mut(tty));
                    self.pty_changed(tty);
                }
            }
            // The master's input is the slave's output.
            End::Master => {
                if input {
                    self.pty_mut(tty).output.clear();
                }
                if output {
                    self.pty_mut(tty).flip.clear();
                }
                self.pty_changed(tty);
            }
        }
        Ok(())
    }

    /// TCXONC: TCOOFF and TCOON stop and start output, TCIOFF and TCION type ^S and ^Q at the
    /// other side.
    fn tty_flow(&mut self, call: &mut Call<'_>, tty: TtyId, end: End) -> SysResult {
        let action = call.int(2);
        match (end, action) {
            (_, ..=-1 | 4..) => return Err(Errno::EINVAL.into()),
            // TCOON, TCION: nothing is held.
            (End::Console, 1 | 3) => {}
            (End::Slave, 0 | 1) => {
                let pty = self.pty_mut(tty);
                pty.ldisc.stopped = action == 0;
                let news = if action == 0 { bits::TIOCPKT_STOP } else { bits::TIOCPKT_START };
                pty.tell_master(news);
                self.pty_changed(tty);
            }
            (End::Slave, _) => {
                let index = if action == 2 { bits::VSTOP } else { bits::VSTART };
                let c = self.ttys[tty].settings.termios.cc(index);
                if c != 0 {
                    self.pty_mut(tty).output.push_back(c);
                }
                self.pty_changed(tty);
            }
            (End::Console | End::Master, _) => {
                self.tell(Some(call.task), Fact::unsupported("TCXONC", format!("{action}")));
                return Err(Errno::ENOTTY.into());
            }
        }
        Ok(0)
    }

    /// TIOCSTI: types a character. EIO unless root: dev.tty.legacy_tiocsti is 0.
    fn tiocsti(&mut self, call: &mut Call<'_>, tty: TtyId, end: End) -> Result<(), Errno> {
        if !self.tasks[call.task].cred.capable(Cap::SysAdmin) {
            return Err(Errno::EIO);
        }
        let [c] = call.read_array(call.ptr(2))?;
        match end {
            End::Slave => {
                self.pty_mut(tty).flip.push_back(c);
                self.pty_receive(tty);
                Ok(())
            }
            End::Console | End::Master => {
                self.tell(Some(call.task), Fact::unsupported("TIOCSTI", "of this end"));
                Err(Errno::EIO)
            }
        }
    }

    /// The window has another size: the foreground group is told if it changed (tty_do_resize()).
    pub fn tty_do_resize(&mut self, tty: TtyId, winsize: [u16; 4]) {
        let tty = &mut self.ttys[tty];
        let changed = core::mem::replace(&mut tty.settings.winsize, winsize) != winsize;
        if let Some(pgrp) = tty.pgrp.filter(|_| changed) {
            self.kill_pgrp(pgrp, Signal::SIGWINCH);
        }
    }

    /// TIOCGPGRP, TIOCGSID: only of one's own controlling terminal, or through a master.
    fn tty_tell_session(
        &mut self,
        call: &mut Call<'_>,
        tty: TtyId,
        from_master: bool,
        cmd: u32,
    ) -> Result<(), Errno> {
        if !from_master && self.current_tty(call.task) != Some(tty) {
            return Err(Errno::ENOTTY);
        }
        let (session, pgrp) = (self.ttys[tty].session, self.ttys[tty].pgrp);
        let pid = match cmd {
            raw::TIOCGSID => Some(session.ok_or(Errno::ENOTTY)?),
            _ => pgrp,
        };
        let pid = pid.map_or(0, |pid| self.pid_vnr(call.task, pid));
        call.write_u32(call.ptr(2), pid)
    }

    /// TIOCSPGRP: another group of the session comes to the foreground.
    fn tiocspgrp(&mut self, call: &mut Call<'_>, tty: TtyId) -> Result<(), Errno> {
        self.tty_check_change(call, tty, Signal::SIGTTOU).map_err(|errno| match errno {
            Errno::EIO => Errno::ENOTTY,
            other => other,
        })?;
        let pgrp = call.read_u32(call.ptr(2))? as i32;
        let pgrp = u32::try_from(pgrp).map_err(|_| Errno::EINVAL)?;
        let pgrp = self.find_vpid(call.task, pgrp);
        let session = self.groups[self.tasks[call.task].group].session;
        if self.current_tty(call.task) != Some(tty) || self.ttys[tty].session != Some(session) {
            return Err(Errno::ENOTTY);
        }
        let member = self.groups.iter().find(|(_, g)| Some(g.pgrp) == pgrp);
        match member {
            None => return Err(Errno::ESRCH),
            Some((_, g)) if g.session != session => return Err(Errno::EPERM),
            Some(_) => {}
        }
        self.ttys[tty].pgrp = pgrp;
        Ok(())
    }
}
