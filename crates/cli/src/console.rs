//! The command's real standard streams: what they are, how input comes in and output goes out, and
//! how a world waits for a terminal. Input that is no terminal is fetched when a guest wants it and
//! nobody can run: the world's clock stands still meanwhile, so such input is always in time. From
//! the moment that a guest wants what is typed at a terminal, virtual time follows the real clock.
//! Neighbours: `command` (the run), `terminal` (its settings), `stop` (Ctrl-C).

use crate::stop::Stop;
use crate::terminal::Terminal;
use kernel::fs::console::StreamKind;
use kernel::platform::Platform;
use kernel::time::Duration;
use lab::World;
use lab::world::Outlook;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, IsTerminal, Stdin};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Instant;

/// The most input that is fetched at a time.
const FETCH: usize = 1 << 16;
/// Input in pieces that follow each other faster than this is fetched as one, so that it does not
/// matter how its writer cut it.
const SILENCE: std::time::Duration = std::time::Duration::from_millis(20);
/// How often a computing guest's terminal is looked at.
const GLANCE: std::time::Duration = std::time::Duration::from_millis(20);

/// The streams of a command.
pub struct Console {
    stdin: Stdin,
    kind: StreamKind,
    terminal: Option<Terminal>,
    /// A guest wanted typed input: time is real time.
    live: bool,
    glanced: Instant,
}

impl Console {
    /// The caller's own streams, which the first host of `world` gets.
    pub fn open<P: Platform>(world: &mut World<P>) -> Console {
        let stdin = io::stdin();
        let kinds = [kind(&stdin), kind(&io::stdout()), kind(&io::stderr())];
        let terminal = Terminal::of(&stdin)
            .or_else(|| Terminal::of(io::stdout()))
            .or_else(|| Terminal::of(io::stderr()));
        let settings = terminal.as_ref().map(Terminal::settings);
        world.hosts[0].kernel.attach_console(kinds, settings);
        Console { stdin, kind: kinds[0], terminal, live: false, glanced: Instant::now() }
    }

    /// After a step: the terminal becomes what a guest set; typed input reaches a busy world too.
    pub fn follow<P: Platform>(&mut self, world: &mut World<P>) -> Result<(), String> {
        if let (Some(terminal), Some(tty)) =
            (&mut self.terminal, world.hosts[0].kernel.console_tty())
        {
            terminal.follow(&tty.settings);
        }
        if self.live && self.glanced.elapsed() > GLANCE {
            self.glanced = Instant::now();
            if self.readable()? {
                self.fetch(world)?;
            }
        }
        Ok(())
    }

    /// Before a step: waits where the world has to. False if it was input or the user that ended
    /// the wait, and not the time of the next step.
    pub fn wait<P: Platform>(&mut self, world: &mut World<P>, stop: &Stop) -> Result<bool, String> {
        let due = match world.outlook() {
            Outlook::Busy => return Ok(true),
            Outlook::Until(at) => Some(at),
            Outlook::Nothing => None,
        };
        let kernel = &world.hosts[0].kernel;
        if self.kind == StreamKind::Tty {
            if !self.live && kernel.console_is_interactive() {
                self.live = true;
                world.follow_the_real_clock("input comes from a terminal");
            }
            if !self.live {
                return Ok(true);
            }
        } else if !kernel.console_wants_input() {
            return Ok(true);
        }
        let timeout = due.filter(|_| self.live).map(|at| at.saturating_since(world.now()));
        let (begun, from) = (Instant::now(), world.now());
        let [input, asked] = self.poll(Some(stop), timeout)?;
        if self.live {
            let passed = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            world.let_pass(from + Duration::from_nanos(passed));
        }
        if asked {
            stop.heard();
        }
        if input {
            self.fetch(world)?;
        }
        Ok(!input && !asked && due.is_some())
    }

    /// Is there something to read, or to hear from the user? Waits that long; `None` is for ever.
    fn poll(&self, stop: Option<&Stop>, timeout: Option<Duration>) -> Result<[bool; 2], String> {
        let timeout = timeout.map(|t| Timespec {
            tv_sec: (t.as_nanos() / 1_000_000_000) as i64,
            tv_nsec: (t.as_nanos() % 1_000_000_000) as i64,
        });
        let mut fds = vec![PollFd::new(&self.stdin, PollFlags::IN)];
        let awake = stop.map(Stop::awake);
        fds.extend(awake.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok([false, true]),
            Err(e) => return Err(format!("cannot wait for stdin: {e}")),
        }
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok([ready(&fds[0]), fds.get(1).is_some_and(ready)])
    }

    fn readable(&self) -> Result<bool, String> {
        Ok(self.poll(None, Some(Duration::ZERO))?[0])
    }

    /// Gives the guests what stdin has, or its end.
    fn fetch<P: Platform>(&self, world: &mut World<P>) -> Result<(), String> {
        let mut bytes = vec![0; FETCH];
        let mut len = 0;
        loop {
            let got = match rustix::io::read(&self.stdin, &mut bytes[len..]) {
                Ok(got) => got,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                // The terminal hung up.
                Err(Errno::IO) if self.kind == StreamKind::Tty => 0,
                Err(e) => return Err(format!("cannot read stdin: {e}")),
            };
            len += got;
            let full = got == 0 || len == bytes.len() || self.kind == StreamKind::Tty;
            let silence = Duration::from_nanos(SILENCE.as_nanos() as u64);
            if full || !self.poll(None, Some(silence))?[0] {
                break;
            }
        }
        world.input(0, &bytes[..len]);
        Ok(())
    }

    /// The window's size now, where there is a window.
    pub fn winsize(&mut self) -> Option<[u16; 4]> {
        self.terminal.as_mut().map(Terminal::winsize)
    }

    /// Ctrl-Z: the whole run stops, with the terminal as it was found, until it is continued.
    pub fn suspend(&self) -> io::Result<()> {
        if let Some(terminal) = &self.terminal {
            terminal.put_back();
        }
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        if let Some(terminal) = &self.terminal {
            terminal.take_again();
        }
        Ok(())
    }
}

/// What one of our own streams is.
fn kind(of: &(impl AsFd + IsTerminal)) -> StreamKind {
    if of.is_terminal() {
        return StreamKind::Tty;
    }
    let Ok(owned) = of.as_fd().try_clone_to_owned() else { return StreamKind::Null };
    let Ok(metadata) = File::from(owned).metadata() else { return StreamKind::Null };
    let kind = metadata.file_type();
    if kind.is_file() {
        StreamKind::File
    } else if kind.is_char_device() && metadata.rdev() == 0x103 {
        StreamKind::Null
    } else {
        // Pipes, sockets and other devices: bytes come in order and end.
        StreamKind::Pipe
    }
}
