//! The console of `afterlife run -- COMMAND`: where streams 0, 1 and 2 of the first command lead.
//! Output is told as [`Fact::Output`]; input comes from outside, by [`Kernel::console_input`], when
//! somebody waits for it. The terminal's line discipline is the real terminal's; full ptys are not
//! here. Neighbours: `file_operations`, `ioctl`; man pages: ioctl_tty(2), termios(3).

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::Fact;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult, Wait};
use crate::task::Pid;
use crate::wait_queue::Event;
use linux_raw_sys::ioctl as raw;
use std::collections::VecDeque;

/// What a stream is, seen by programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StreamKind {
    /// A pipe.
    Pipe,
    /// A regular file. Unlike Linux, it has no position: lseek says ESPIPE.
    File,
    /// A terminal.
    Tty,
    /// /dev/null.
    #[default]
    Null,
}

/// The terminal behind the console, as its ioctls show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tty {
    /// `struct termios` of the kernel's ABI: four flag words, the line, nineteen characters.
    pub termios: [u8; 36],
    /// Rows, columns, and the same in pixels.
    pub winsize: [u16; 4],
    /// The session whose controlling terminal this is.
    pub session: Option<Pid>,
    /// Its foreground process group.
    pub pgrp: Option<Pid>,
}

impl Default for Tty {
    /// As after login: cooked, 24 × 80.
    fn default() -> Self {
        let mut termios = [0; 36];
        // ICRNL|IXON, OPOST|ONLCR, B38400|CS8|CREAD, ISIG|ICANON|ECHO|ECHOE|ECHOK|ECHOCTL|ECHOKE|IEXTEN
        for (i, word) in [0x500_u32, 0x5, 0xbf, 0x8a3b].iter().enumerate() {
            termios[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        termios[17..34].copy_from_slice(&[
            0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0,
        ]);
        Tty { termios, winsize: [24, 80, 0, 0], session: None, pgrp: None }
    }
}

impl Tty {
    /// ICANON: input comes line by line.
    fn is_canonical(&self) -> bool {
        self.termios[12] & 0x02 != 0
    }
}

/// The console's state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Console {
    /// What streams 0, 1 and 2 are.
    pub streams: [StreamKind; 3],
    /// Bytes that came and were not read yet.
    input: VecDeque<u8>,
    /// No more will come. On a terminal this ends one read only.
    eof: bool,
    /// The terminal, where a stream is one.
    pub tty: Option<Tty>,
}

impl Console {
    /// A console with these streams, and a terminal if one of them is one.
    pub fn new(streams: [StreamKind; 3]) -> Console {
        let tty = streams.contains(&StreamKind::Tty).then(Tty::default);
        Console { streams, tty, ..Console::default() }
    }

    /// What `stream` is; 3 is /dev/tty.
    pub fn kind(&self, stream: u8) -> StreamKind {
        self.streams.get(usize::from(stream)).copied().unwrap_or(StreamKind::Tty)
    }
}

impl Kernel {
    /// Bytes came to stdin.
    pub fn console_input(&mut self, bytes: &[u8]) {
        self.console.input.extend(bytes);
        self.publish_poll(Event::Console, PollBits::IN | PollBits::RDNORM);
    }

    /// stdin ended (on a terminal: the user typed the end-of-file character).
    pub fn console_eof(&mut self) {
        self.console.eof = true;
        self.publish_poll(Event::Console, PollBits::IN | PollBits::RDNORM | PollBits::HUP);
    }

    /// Does somebody wait for input that has not come? The world stands still then.
    pub fn console_wants_input(&self) -> bool {
        let dry = self.console.input.is_empty() && !self.console.eof;
        let epolls = self.waits.watchers(Event::Console, false);
        let waited_for = !self.waits.sleepers(Event::Console).is_empty()
            || epolls.iter().any(|e| !self.waits.sleepers(Event::Epoll(*e)).is_empty());
        dry && waited_for
    }

    /// read(2) on a stream: what is there, on a cooked terminal up to the end of a line.
    pub fn console_read(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        stream: u8,
        to: &IoVec,
    ) -> SysResult {
        let kind = self.console.kind(stream);
        if kind == StreamKind::Null || to.total() == 0 {
            return Ok(0);
        }
        let console = &self.console;
        let cooked = kind == StreamKind::Tty && console.tty.as_ref().is_some_and(Tty::is_canonical);
        let line = console.input.iter().position(|b| *b == b'\n').map(|i| i + 1);
        let there = line.filter(|_| cooked).unwrap_or(console.input.len()).min(to.total());
        if there > 0 {
            let bytes: Vec<u8> = console.input.iter().take(there).copied().collect();
            let put = to.scatter(call, 0, &bytes)?;
            self.console.input.drain(..put);
            return Ok(put as u64);
        }
        if self.console.eof {
            self.console.eof = kind != StreamKind::Tty;
            return Ok(0);
        }
        // Input other than a terminal's is always ready as soon as the world has fetched it, so
        // that a run can be replayed: O_NONBLOCK never finds it late.
        if kind == StreamKind::Tty && self.files[file].flags.nonblock() {
            return Err(Errno::EAGAIN.into());
        }
        Err(Wait::on(Event::Console).into())
    }

    /// write(2) on a stream: told as it is.
    pub fn console_write(&mut self, call: &mut Call<'_>, stream: u8, from: &IoVec) -> SysResult {
        let bytes = from.gather(call, 0, from.total())?;
        let done = bytes.len() as u64;
        if done > 0 {
            // Writing to a terminal's input side shows on the terminal.
            let stream = if stream == 2 { 2 } else { 1 };
            self.tell(Some(call.task), Fact::Output { stream, bytes: bytes.into() });
        }
        Ok(done)
    }

    /// What is ready on a stream.
    pub fn console_poll(&self, stream: u8) -> PollBits {
        let console = &self.console;
        let mut bits = PollBits::NONE;
        let (dry, kind) = (console.input.is_empty(), console.kind(stream));
        let reads = stream == 0 || stream == 3 || kind == StreamKind::Tty;
        match kind {
            StreamKind::Null | StreamKind::File => {
                return PollBits::IN | PollBits::OUT | PollBits::RDNORM | PollBits::WRNORM;
            }
            StreamKind::Pipe if reads => {
                if !dry {
                    bits |= PollBits::IN | PollBits::RDNORM;
                }
                if console.eof {
                    bits |= PollBits::HUP;
                }
            }
            StreamKind::Pipe => bits |= PollBits::OUT | PollBits::WRNORM,
            StreamKind::Tty => {
                bits |= PollBits::OUT | PollBits::WRNORM;
                if !dry || console.eof {
                    bits |= PollBits::IN | PollBits::RDNORM;
                }
            }
        }
        bits
    }

    /// ioctl_tty(2), on streams that are a terminal; FIONREAD also on a pipe.
    pub fn console_ioctl(&mut self, call: &mut Call<'_>, stream: u8, cmd: u32) -> SysResult {
        let kind = self.console.kind(stream);
        if cmd == raw::FIONREAD && matches!(kind, StreamKind::Tty | StreamKind::Pipe) {
            call.write_u32(call.ptr(2), self.console.input.len() as u32)?;
            return Ok(0);
        }
        if kind != StreamKind::Tty {
            return self.no_ioctl(call, cmd);
        }
        let Some(mut tty) = self.console.tty.clone() else { return self.no_ioctl(call, cmd) };
        let result = self.tty_ioctl(call, cmd, &mut tty);
        self.console.tty = Some(tty);
        result
    }

    fn tty_ioctl(&mut self, call: &mut Call<'_>, cmd: u32, tty: &mut Tty) -> SysResult {
        let arg = call.ptr(2);
        match cmd {
            raw::TCGETS => call.write_user(arg, &tty.termios)?,
            raw::TCSETS | raw::TCSETSW | raw::TCSETSF => {
                tty.termios = call.read_array(arg)?;
                if cmd == raw::TCSETSF {
                    self.console.input.clear();
                }
            }
            raw::TIOCGWINSZ => {
                let bytes: Vec<u8> = tty.winsize.iter().flat_map(|w| w.to_le_bytes()).collect();
                call.write_user(arg, &bytes)?;
            }
            raw::TIOCSWINSZ => {
                let bytes: [u8; 8] = call.read_array(arg)?;
                for (i, pair) in bytes.chunks_exact(2).enumerate() {
                    tty.winsize[i] = u16::from_le_bytes([pair[0], pair[1]]);
                }
            }
            raw::TIOCGPGRP | raw::TIOCSPGRP | raw::TIOCGSID | raw::TIOCSCTTY => {
                return self.tty_job_control(call, cmd, tty);
            }
            raw::TIOCOUTQ => call.write_u32(arg, 0)?,
            // Output is never queued.
            raw::TCSBRK if call.arg(2) != 0 => {}
            raw::TCFLSH if call.arg(2) != 1 => self.console.input.clear(),
            raw::TCFLSH => {}
            _ => {
                self.tell(Some(call.task), Fact::unsupported("tty ioctl", format!("{cmd:#x}")));
                return Err(Errno::ENOTTY.into());
            }
        }
        Ok(0)
    }

    /// Sessions and foreground groups: only for the terminal's own session. Unlike Linux, a
    /// background group that sets them gets no SIGTTOU.
    fn tty_job_control(&mut self, call: &mut Call<'_>, cmd: u32, tty: &mut Tty) -> SysResult {
        let group = &self.groups[self.tasks[call.task].group];
        let (tgid, session) = (group.tgid, group.session);
        if cmd == raw::TIOCSCTTY {
            if tty.session == Some(session) {
                return Ok(0);
            }
            if tgid != session || tty.session.is_some() {
                return Err(Errno::EPERM.into());
            }
            (tty.session, tty.pgrp) = (Some(session), Some(group.pgrp));
            return Ok(0);
        }
        if tty.session != Some(session) {
            return Err(Errno::ENOTTY.into());
        }
        match cmd {
            raw::TIOCGPGRP => call.write_u32(call.ptr(2), tty.pgrp.map_or(0, |p| p.0))?,
            raw::TIOCGSID => call.write_u32(call.ptr(2), session.0)?,
            // TIOCSPGRP
            _ => {
                let pgrp = call.read_u32(call.ptr(2))? as i32;
                if pgrp < 0 {
                    return Err(Errno::EINVAL.into());
                }
                let pgrp = Pid(pgrp as u32);
                let member = self.groups.iter().find(|(_, g)| g.pgrp == pgrp);
                match member {
                    None => return Err(Errno::ESRCH.into()),
                    Some((_, g)) if g.session != session => return Err(Errno::EPERM.into()),
                    Some(_) => tty.pgrp = Some(pgrp),
                }
            }
        }
        Ok(0)
    }
}
