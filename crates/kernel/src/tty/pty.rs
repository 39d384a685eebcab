//! Pseudoterminals: what a master writes is typed at the slave's line discipline; what the slave's
//! programs write, and the echo, the master reads. Neighbours: `n_tty`, `ptmx` (opening and
//! closing), `ioctl`, `fs/file_operations`; man pages: pty(7), termios(3); rule X-30.

use super::n_tty::{Heard, NTty};
use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fs::fasync::{Band, FasyncOn};
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, Restart, Stop, SysResult, Wait};
use crate::time::Duration;
use crate::tty::TtyId;
use crate::wait_queue::Event;
use linux_raw_sys::general as raw;
use std::collections::VecDeque;

/// What one read of the master takes at most: its own line discipline's buffer.
const MASTER_READ: usize = 4095;
/// What waits on the way to either side at most (tty_buffer_set_limit of pty_unix98). Unlike Linux,
/// where it depends on how the bytes were cut, exactly that.
const FLIP_LIMIT: usize = 8192;
/// How much is taken from the user at a time.
const CHUNK: usize = 2048;

/// Both ends of a pseudoterminal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pty {
    /// The slave's line discipline.
    pub ldisc: NTty,
    /// What the master wrote and the line discipline has no room for.
    pub(super) flip: VecDeque<u8>,
    /// What the master can read.
    pub(super) output: VecDeque<u8>,
    /// TIOCSPTLCK: the slave cannot be opened.
    pub locked: bool,
    /// The master is open.
    pub master: bool,
    /// How many descriptions of the slave are open.
    pub slaves: u32,
    /// TTY_OTHER_CLOSED of the master: the slave was open, and its last description went.
    pub slave_closed: bool,
    /// TIOCPKT: reads of the master begin with a byte of news.
    pub packet: bool,
    /// The news (ctrl.pktstatus): TIOCPKT_*.
    pub news: u8,
}

impl Pty {
    /// Room for what the slave's programs write.
    fn write_room(&self) -> usize {
        let room = (FLIP_LIMIT + MASTER_READ).saturating_sub(self.output.len());
        if self.ldisc.stopped { 0 } else { room }
    }

    /// News for a master in packet mode.
    pub(super) fn tell_master(&mut self, news: u32) {
        if self.packet {
            self.news |= news as u8;
        }
    }
}

impl Kernel {
    pub(super) fn pty(&self, tty: TtyId) -> &Pty {
        self.ttys[tty].pty.as_deref().expect("only the console's terminal is no pseudoterminal")
    }

    pub(super) fn pty_mut(&mut self, tty: TtyId) -> &mut Pty {
        self.ttys[tty].pty.as_deref_mut().expect("only the console's terminal is no pseudoterminal")
    }

    /// flush_to_ldisc(): what the master wrote is typed, as far as the line discipline has room.
    pub(super) fn pty_receive(&mut self, tty: TtyId) {
        let termios = self.ttys[tty].settings.termios.clone();
        let pty = self.pty_mut(tty);
        let mut heard = Heard::default();
        // For O_ASYNC: lines that ended, or that something is there to read raw.
        let (mut news, mut typed) = (0, false);
        while pty.ldisc.receive_room(&termios) > 0 {
            let Some(c) = pty.flip.pop_front() else { break };
            let head = pty.ldisc.canon_head();
            pty.ldisc.receive_char(&termios, c, &mut heard);
            news += usize::from(pty.ldisc.canon_head() != head);
            typed = true;
        }
        if typed && !termios.l(raw::ICANON) {
            news = usize::from(pty.ldisc.input_available(&termios, 1));
        }
        if heard.flushed {
            pty.output.truncate(MASTER_READ);
            pty.tell_master(raw::TIOCPKT_FLUSHREAD | raw::TIOCPKT_FLUSHWRITE);
        }
        match heard.stopped {
            Some(true) => pty.tell_master(raw::TIOCPKT_STOP),
            Some(false) => pty.tell_master(raw::TIOCPKT_START),
            None => {}
        }
        let echoed = !heard.echo.is_empty();
        pty.output.extend(heard.echo);
        if let Some(pgrp) = self.ttys[tty].pgrp {
            for signal in heard.signals {
                self.kill_pgrp(pgrp, signal);
            }
        }
        self.pty_changed(tty);
        for _ in 0..news {
            self.kill_fasync(FasyncOn::Tty(tty), Band::In);
        }
        if echoed {
            self.kill_fasync(FasyncOn::TtyMaster(tty), Band::In);
        }
    }

    /// Both ends look again.
    pub(super) fn pty_changed(&mut self, tty: TtyId) {
        self.publish(Event::TtySlave(tty));
        self.publish(Event::TtyMaster(tty));
    }

    /// write(2) on a master: typing.
    pub fn pty_master_write(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        tty: TtyId,
        from: &IoVec,
    ) -> SysResult {
        while call.flight.moved < from.total() {
            let pty = self.pty(tty);
            let room = FLIP_LIMIT.saturating_sub(pty.flip.len());
            if room == 0 {
                return self.tty_no_room(call, file, Event::TtyMaster(tty));
            }
            let bytes = from.gather(call, call.flight.moved, room.min(CHUNK));
            let bytes = match bytes {
                Ok(bytes) if !bytes.is_empty() => bytes,
                Ok(_) => break,
                Err(_) if call.flight.moved > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            call.flight.moved += bytes.len();
            self.pty_mut(tty).flip.extend(bytes);
            self.pty_receive(tty);
        }
        Ok(call.flight.moved as u64)
    }

    /// write(2) on a slave: output. EIO once the master is gone.
    pub fn pty_slave_write(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        tty: TtyId,
        from: &IoVec,
    ) -> SysResult {
        if !self.pty(tty).master {
            return Err(Errno::EIO.into());
        }
        self.tty_may_write(call, tty)?;
        while call.flight.moved < from.total() {
            let room = self.pty(tty).write_room();
            if room == 0 {
                return self.tty_no_room(call, file, Event::TtySlave(tty));
            }
            let bytes = match from.gather(call, call.flight.moved, room.min(CHUNK)) {
                Ok(bytes) if !bytes.is_empty() => bytes,
                Ok(_) => break,
                Err(_) if call.flight.moved > 0 => break,
                Err(errno) => return Err(errno.into()),
            };
            call.flight.moved += bytes.len();
            let termios = self.ttys[tty].settings.termios.clone();
            let pty = self.pty_mut(tty);
            let mut out = Vec::new();
            for c in bytes {
                pty.ldisc.column.put(&termios, c, &mut out);
            }
            pty.output.extend(out);
            self.publish_poll(Event::TtyMaster(tty), PollBits::IN | PollBits::RDNORM);
            self.kill_fasync(FasyncOn::TtyMaster(tty), Band::In);
        }
        Ok(call.flight.moved as u64)
    }

    /// A write that finds no room: what it did, EAGAIN, or it waits.
    fn tty_no_room(&self, call: &Call<'_>, file: FileId, event: Event) -> SysResult {
        match (call.flight.moved as u64, self.files[file].flags.nonblock()) {
            (0, true) => Err(Errno::EAGAIN.into()),
            (0, false) => Err(Wait::on(event).into()),
            (done, true) => Ok(done),
            (done, false) => Err(Wait::on(event).with_restart(Restart::Done(done)).into()),
        }
    }

    /// read(2) on a master: news in packet mode, then output. EIO when the slave was closed and
    /// nothing is left.
    pub fn pty_master_read(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        tty: TtyId,
        to: &IoVec,
    ) -> SysResult {
        if to.total() == 0 {
            return Ok(0);
        }
        let pty = self.pty(tty);
        if pty.packet && pty.news != 0 {
            let news = [pty.news];
            to.scatter(call, 0, &news)?;
            self.pty_mut(tty).news = 0;
            return Ok(1);
        }
        if pty.output.is_empty() {
            if pty.slave_closed {
                return Err(Errno::EIO.into());
            }
            if self.files[file].flags.nonblock() {
                return Err(Errno::EAGAIN.into());
            }
            return Err(Wait::on(Event::TtyMaster(tty)).into());
        }
        let head = usize::from(pty.packet);
        let count = (to.total() - head).min(MASTER_READ).min(pty.output.len());
        let data = pty.output.iter().take(count);
        // TIOCPKT_DATA is 0.
        let bytes: Vec<u8> = core::iter::repeat_n(&0, head).chain(data).copied().collect();
        let put = to.scatter(call, 0, &bytes)?;
        self.pty_mut(tty).output.drain(..put.saturating_sub(head));
        self.publish_poll(Event::TtySlave(tty), PollBits::OUT | PollBits::WRNORM);
        Ok(put as u64)
    }

    /// read(2) on a slave: a line, or raw input as VMIN and VTIME want it. 0 once the master is
    /// gone.
    pub fn pty_slave_read(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        tty: TtyId,
        to: &IoVec,
    ) -> SysResult {
        if !self.pty(tty).master || to.total() == 0 {
            return Ok(0);
        }
        self.tty_may_read(call, tty)?;
        let termios = self.ttys[tty].settings.termios.clone();
        let canonical = termios.l(raw::ICANON);
        let (min, time) = (usize::from(termios.cc(raw::VMIN)), u64::from(termios.cc(raw::VTIME)));
        let time = Duration::from_nanos(time * 100_000_000);
        let minimum = if canonical { 1 } else { min.clamp(1, to.total().max(1)) };
        loop {
            let ldisc = &self.pty(tty).ldisc;
            if !ldisc.input_available(&termios, 1) {
                break;
            }
            let bytes = ldisc.peek(&termios, to.total() - call.flight.moved);
            let put = to.scatter(call, call.flight.moved, &bytes)?;
            call.flight.moved += put;
            self.pty_mut(tty).ldisc.consume(&termios, put);
            // There may be room for what the master wrote meanwhile.
            self.pty_receive(tty);
            if canonical || call.flight.moved >= minimum {
                return Ok(call.flight.moved as u64);
            }
            // The time between two bytes begins again.
            call.flight.until = (!time.is_zero()).then(|| self.now + time);
        }
        self.pty_wait_for_input(call, file, tty, if canonical { None } else { Some((min, time)) })
    }

    /// Nothing is there (or not enough): waits as `raw` (VMIN and VTIME) says.
    fn pty_wait_for_input(
        &mut self,
        call: &mut Call<'_>,
        file: FileId,
        tty: TtyId,
        raw: Option<(usize, Duration)>,
    ) -> SysResult {
        let done = call.flight.moved as u64;
        if let Some((0, time)) = raw {
            if time.is_zero() {
                return Ok(done);
            }
            // VMIN 0: VTIME is the whole read's limit.
            call.flight.until.get_or_insert(self.now + time);
        }
        if call.flight.until.is_some_and(|until| self.now >= until) {
            return Ok(done);
        }
        if self.files[file].flags.nonblock() {
            return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN.into()) };
        }
        let wait = Wait::on(Event::TtySlave(tty)).with_deadline(call.flight.until);
        Err(Stop::Wait(if done > 0 { wait.with_restart(Restart::Done(done)) } else { wait }))
    }

    /// .poll of a master.
    pub fn pty_master_poll(&self, tty: TtyId) -> PollBits {
        let pty = self.pty(tty);
        let mut bits = PollBits::NONE;
        if pty.packet && pty.news != 0 {
            bits |= PollBits::PRI | PollBits::IN | PollBits::RDNORM;
        }
        if !pty.output.is_empty() {
            bits |= PollBits::IN | PollBits::RDNORM;
        }
        if pty.slave_closed {
            bits |= PollBits::HUP;
        }
        if pty.flip.len() < FLIP_LIMIT {
            bits |= PollBits::OUT | PollBits::WRNORM;
        }
        bits
    }

    /// .poll of a slave; one that hung up is ready for everything.
    pub fn pty_slave_poll(&self, tty: TtyId) -> PollBits {
        let pty = self.pty(tty);
        let readable = PollBits::IN | PollBits::RDNORM;
        let writable = PollBits::OUT | PollBits::WRNORM;
        if !pty.master {
            return readable | writable | PollBits::ERR | PollBits::HUP;
        }
        let termios = &self.ttys[tty].settings.termios;
        let at_least = if termios.cc(raw::VTIME) == 0 { termios.cc(raw::VMIN) } else { 1 };
        let mut bits = PollBits::NONE;
        if pty.ldisc.input_available(termios, usize::from(at_least)) {
            bits |= readable;
        }
        if pty.write_room() > 0 {
            bits |= writable;
        }
        bits
    }
}
