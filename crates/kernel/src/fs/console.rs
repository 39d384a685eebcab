//! The console of `afterlife run -- COMMAND`: where streams 0, 1 and 2 of the first command lead.
//! Output is told as [`Fact::Output`]; input comes from outside, by [`Kernel::console_input`], when
//! somebody waits for it. The terminal's line discipline is the real terminal's; pseudoterminals
//! are in `tty`. Neighbours: `tty` (the terminal's ioctls and job control), `file_operations`, `ioctl`.

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::fact::Fact;
use crate::fs::file::FileId;
use crate::kernel::Kernel;
use crate::syscall::iovec::IoVec;
use crate::syscall::{Call, SysResult, Wait};
use crate::tty::{Tty, TtyId};
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

/// The console's state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Console {
    /// What streams 0, 1 and 2 are.
    pub streams: [StreamKind; 3],
    /// Bytes that came and were not read yet.
    input: VecDeque<u8>,
    /// No more will come. On a terminal this ends one read only.
    eof: bool,
    /// A guest looked for typed input without waiting for it.
    asked: bool,
    /// The terminal, where a stream is one.
    pub tty: Option<TtyId>,
}

impl Console {
    /// A console with these streams, without a terminal yet: see `Kernel::attach_console`.
    pub fn new(streams: [StreamKind; 3]) -> Console {
        Console { streams, ..Console::default() }
    }

    /// What `stream` is; 3 is the terminal, opened by name.
    pub fn kind(&self, stream: u8) -> StreamKind {
        self.streams.get(usize::from(stream)).copied().unwrap_or(StreamKind::Tty)
    }

    /// What came and was not read is thrown away.
    pub fn forget_input(&mut self) {
        self.input.clear();
        self.eof = false;
    }
}

/// What one write(2) on a stream moves at the most.
const MOST_AT_ONCE: usize = 256 << 20;

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

    /// Does somebody want what is typed, now or whenever it comes? Then time is real time.
    pub fn console_is_interactive(&self) -> bool {
        self.console.kind(0) == StreamKind::Tty
            && (self.console.asked || self.console_wants_input())
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
        if kind == StreamKind::Tty {
            if self.console.kind(0) != StreamKind::Tty {
                let loud = Fact::unsupported("read from a terminal that is not stdin", "");
                self.tell(Some(call.task), loud);
                return Err(Errno::EIO.into());
            }
            if let Some(tty) = self.console.tty {
                self.tty_may_read(call, tty)?;
            }
        }
        let console = &self.console;
        let cooked = kind == StreamKind::Tty && self.console_tty().is_some_and(Tty::is_canonical);
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
            self.console.asked = true;
            return Err(Errno::EAGAIN.into());
        }
        Err(Wait::on(Event::Console).into())
    }

    /// write(2) on a stream: told as it is. Unlike Linux, which would move 2 GiB, at most 256 MiB at a
    /// time, since what is told waits in memory until it is shown.
    pub fn console_write(&mut self, call: &mut Call<'_>, stream: u8, from: &IoVec) -> SysResult {
        if let (StreamKind::Tty, Some(tty)) = (self.console.kind(stream), self.console.tty) {
            self.tty_may_write(call, tty)?;
        }
        let bytes = from.gather(call, 0, from.total().min(MOST_AT_ONCE))?;
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
        match self.console.tty {
            Some(tty) if kind == StreamKind::Tty => self.console_tty_ioctl(call, tty, cmd),
            Some(_) | None => self.no_ioctl(call, cmd),
        }
    }
}
