//! What programs are about, descriptors: pipes, numbers, sockets, listeners, locks, watching many at
//! once, counters. Neighbours: `make`, `subjects`, `scenes`, `ipc`.

use super::make::{Maker, name};
use super::model::{Busy, FDS, Kind};

pub const O_NONBLOCK: i64 = 0o4000;
pub const O_ASYNC: i64 = 0o20000;
const O_CLOEXEC: i64 = 0o2_000_000;
const MSG_DONTWAIT: i64 = 0x40;
const MSG_NOSIGNAL: i64 = 0x4000;

fn reader(kind: Kind) -> Option<usize> {
    match kind {
        Kind::PipeReader(queue) | Kind::Socket(queue, _) => Some(queue),
        _ => None,
    }
}

fn writer(kind: Kind) -> Option<usize> {
    match kind {
        Kind::PipeWriter(queue) | Kind::Socket(_, queue) => Some(queue),
        _ => None,
    }
}

/// Pipes and FIFOs, reading and writing.
pub fn pipes(m: &mut Maker, actor: usize) -> Option<()> {
    match m.random.below(7) {
        0 => {
            let (r, w) = (m.new_fd(actor), m.new_fd(actor));
            if r == w {
                return None;
            }
            let flags = m.random.one(&[0, O_NONBLOCK, O_NONBLOCK, O_CLOEXEC]);
            m.say(actor, "pipe", &[r, w, flags]);
            let queue = m.model.queue();
            m.model.open(actor, r, Kind::PipeReader(queue), flags == O_NONBLOCK);
            m.model.open(actor, w, Kind::PipeWriter(queue), flags == O_NONBLOCK);
        }
        1 => fifo(m, actor),
        2 | 3 => return write(m, actor),
        4 => {
            let from = m.fd(actor, |kind| matches!(kind, Kind::PipeReader(_)))?;
            let to = m.fd(actor, |kind| matches!(kind, Kind::PipeWriter(_)))?;
            let (call, count) = (m.random.one(&["tee", "splice"]), m.random.one(&[1, 5, 5000]));
            m.say(actor, call, &[from, to, count]);
        }
        _ => return read(m, actor),
    }
    Some(())
}

fn fifo(m: &mut Maker, actor: usize) {
    let (number, at) = (m.random.below(2) as i64, m.new_fd(actor));
    match m.random.below(3) {
        0 => m.say(actor, "mkfifo", &[number]),
        // Both ways never waits; for reading without O_NONBLOCK it waits for a writer.
        1 => {
            m.say(actor, "mkfifo", &[number]);
            m.say(actor, "open", &[1, number, O_NONBLOCK, at]);
            let queue = m.model.queue();
            m.model.open(actor, at, Kind::PipeReader(queue), true);
        }
        _ => {
            let flags = m.random.one(&[2, 1 | O_NONBLOCK, O_NONBLOCK]);
            m.say(actor, "open", &[1, number, flags, at]);
            let queue = m.model.queue();
            m.model.open(actor, at, Kind::PipeWriter(queue), flags != 2);
        }
    }
}

fn write(m: &mut Maker, actor: usize) -> Option<()> {
    let fd = m.fd(actor, |kind| writer(kind).is_some())?;
    let queue = m.model.of(actor).fds.get(&fd).copied().and_then(writer)?;
    let blocks = !m.model.of(actor).nonblocking[&fd];
    let mut count = m.random.one(&[1, 2, 5, 5, 100, 4096, 5000]);
    if m.random.once_in(10) && (!blocks || m.may_wait()) {
        count = m.random.one(&[65536, 70000]);
    }
    if blocks && m.model.queues[queue] + count > 65536 && m.model.free().len() < 2 {
        return None;
    }
    m.say(actor, "write", &[fd, count]);
    if blocks && m.model.queues[queue] + count > 65536 {
        m.waits(actor, Busy::Other);
    }
    m.model.fill(queue, count);
    Some(())
}

fn read(m: &mut Maker, actor: usize) -> Option<()> {
    let fd = m.fd(actor, |kind| reader(kind).is_some())?;
    let queue = m.model.of(actor).fds.get(&fd).copied().and_then(reader)?;
    let count = m.random.one(&[1, 3, 10, 4096, 100_000]);
    let (blocks, empty) = (!m.model.of(actor).nonblocking[&fd], m.model.queues[queue] == 0);
    if empty && ((blocks && !m.may_wait()) || (!blocks && !m.random.once_in(3))) {
        return None;
    }
    m.say(actor, "read", &[fd, count]);
    if blocks && empty {
        m.waits(actor, Busy::Queue(queue));
    } else {
        m.model.fill(queue, -count);
    }
    Some(())
}

/// dup, close, flags.
pub fn descriptors(m: &mut Maker, actor: usize) -> Option<()> {
    let fd = m.fd(actor, |_| true)?;
    let (kind, to) = (m.model.of(actor).fds[&fd], m.new_fd(actor));
    let wait = m.model.of(actor).nonblocking[&fd];
    match m.random.below(12) {
        0 | 1 => m.say(actor, "dup", &[fd, to]),
        2 => m.say(actor, "dup2", &[fd, to]),
        3 => {
            let flags = m.random.one(&[0, O_CLOEXEC]);
            m.say(actor, "dup3", &[fd, to, flags]);
        }
        4 | 5 => {
            m.say(actor, "close", &[fd]);
            m.model.of(actor).fds.remove(&fd);
            return Some(());
        }
        6 if m.random.once_in(4) => {
            let from = FDS.start() + m.random.below(10) as i64;
            let until = from + m.random.below(4) as i64;
            let flags = m.random.one(&[0, 0, 4]);
            m.say(actor, "close_range", &[from, until, flags]);
            if flags == 0 {
                m.model.of(actor).fds.retain(|fd, _| !(from..=until).contains(fd));
            }
            return Some(());
        }
        6 | 7 => {
            // F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETPIPE_SZ, F_GETSIG
            let (command, value) =
                m.random.one(&[(1, 0), (2, 1), (2, 0), (3, 0), (3, 0), (4, O_NONBLOCK), (11, 0)]);
            m.say(actor, "fcntl", &[fd, command, value]);
            if command == 4 {
                m.model.of(actor).nonblocking.insert(fd, true);
            }
            return Some(());
        }
        8 if reader(kind).is_some() => {
            m.say(actor, "fionread", &[fd]);
            return Some(());
        }
        9 | 10 => return owner(m, actor),
        _ => {
            // F_DUPFD above the numbers that programs name.
            m.say(actor, "fcntl", &[fd, 0, to + 20]);
            return Some(());
        }
    }
    m.model.open(actor, to, kind, wait);
    Some(())
}

/// Who is told by which signal when something can be read.
fn owner(m: &mut Maker, actor: usize) -> Option<()> {
    let fd = m.fd(actor, |kind| reader(kind).is_some())?;
    let who = m.model.actors[actor].process;
    let signal = m.random.one(&[0, 34, 35, 29]);
    m.say(actor, "setown", &[fd, name(who)]);
    // F_SETSIG
    m.say(actor, "fcntl", &[fd, 10, signal]);
    if m.random.once_in(2) {
        set_flags(m, actor, fd, O_ASYNC);
    }
    if m.random.once_in(3) {
        m.say(actor, "getown", &[fd]);
    }
    Some(())
}

/// F_SETFL: this and O_NONBLOCK.
pub fn set_flags(m: &mut Maker, actor: usize, fd: i64, flags: i64) {
    m.say(actor, "fcntl", &[fd, 4, O_NONBLOCK | flags]);
    m.model.of(actor).nonblocking.insert(fd, true);
}

/// Pairs, messages, descriptors in them.
pub fn sockets(m: &mut Maker, actor: usize) -> Option<()> {
    let socket = |kind: Kind| matches!(kind, Kind::Socket(..));
    let choice = m.random.below(12);
    if choice < 2 {
        let (one, two) = (m.new_fd(actor), m.new_fd(actor));
        if one == two {
            return None;
        }
        let wait = m.random.one(&[0, O_NONBLOCK]);
        let kind = m.random.one(&[1, 1, 1, 2, 5]);
        m.say(actor, "socketpair", &[kind | wait, one, two]);
        let (a, b) = (m.model.queue(), m.model.queue());
        m.model.open(actor, one, Kind::Socket(a, b), wait != 0);
        m.model.open(actor, two, Kind::Socket(b, a), wait != 0);
        return Some(());
    }
    let fd = m.fd(actor, socket)?;
    let Kind::Socket(own, peer) = m.model.of(actor).fds[&fd] else { return None };
    let flags = m.random.one(&[0, MSG_NOSIGNAL, MSG_NOSIGNAL | MSG_DONTWAIT]);
    let count = m.random.one(&[1, 4, 4, 100, 3000]);
    match choice {
        2..=4 => {
            m.say(actor, "send", &[fd, count, flags]);
            m.model.fill(peer, count);
        }
        5..=7 if m.model.queues[own] > 0 || m.random.once_in(5) => {
            let flags = m.random.one(&[MSG_DONTWAIT, MSG_DONTWAIT, MSG_DONTWAIT | 2]);
            m.say(actor, "recv", &[fd, count, flags]);
            m.model.fill(own, -count);
        }
        8 => {
            let what = m.fd(actor, |kind| !matches!(kind, Kind::Socket(..)))?;
            m.say(actor, "sendfd", &[fd, what, 3, MSG_NOSIGNAL | MSG_DONTWAIT]);
            m.model.fill(peer, 3);
        }
        9 if m.model.queues[own] > 0 || m.random.once_in(8) => {
            let at = m.new_fd(actor);
            m.say(actor, "recvfd", &[fd, 10, MSG_DONTWAIT, at]);
            m.model.fill(own, -10);
        }
        10 => {
            let how = m.random.below(3) as i64;
            m.say(actor, "shutdown", &[fd, how]);
        }
        _ => {
            let call = m.random.one(&["so_error", "peercred", "so_acceptconn", "fionread"]);
            m.say(actor, call, &[fd]);
        }
    }
    Some(())
}

/// Names, connections, accepting.
pub fn listeners(m: &mut Maker, actor: usize) -> Option<()> {
    let listening: Vec<i64> = m.model.listening.keys().copied().collect();
    let number = m.random.below(3) as i64;
    match m.random.below(8) {
        0 | 1 if !listening.contains(&number) => {
            let (at, kind) = (m.new_fd(actor), m.random.one(&[1, 1, 5]) | O_NONBLOCK);
            m.say(actor, "socket", &[kind, at]);
            m.say(actor, "bind", &[at, number]);
            let backlog = m.random.one(&[0, 1, 5]);
            m.say(actor, "listen", &[at, backlog]);
            m.model.open(actor, at, Kind::Listener(number), true);
            m.model.listening.insert(number, 0);
        }
        2..=4 => {
            let number = m.random.any(&listening)?;
            let (at, wait) = (m.new_fd(actor), m.random.one(&[0, O_NONBLOCK, O_NONBLOCK]));
            // SOCK_STREAM, or SOCK_SEQPACKET that fits only a listener of its kind.
            let kind = if m.random.once_in(6) { 5 } else { 1 };
            m.say(actor, "socket", &[kind | wait, at]);
            m.say(actor, "connect", &[at, number]);
            let (a, b) = (m.model.queue(), m.model.queue());
            m.model.open(actor, at, Kind::Socket(a, b), wait != 0);
            *m.model.listening.entry(number).or_default() += 1;
        }
        5 | 6 => {
            let fd = m.fd(actor, |kind| matches!(kind, Kind::Listener(_)))?;
            let Kind::Listener(number) = m.model.of(actor).fds[&fd] else { return None };
            let waiting = m.model.listening.entry(number).or_default();
            if *waiting == 0 && !m.random.once_in(6) {
                return None;
            }
            *waiting = (*waiting - 1).max(0);
            let (at, flags) = (m.new_fd(actor), m.random.one(&[0, O_NONBLOCK, O_CLOEXEC]));
            m.say(actor, "accept", &[fd, flags, at]);
            let (a, b) = (m.model.queue(), m.model.queue());
            m.model.open(actor, at, Kind::Socket(a, b), flags == O_NONBLOCK);
        }
        _ => {
            if !m.random.once_in(4) {
                return None;
            }
            m.say(actor, "unlink", &[2, number]);
        }
    }
    Some(())
}

/// Files, POSIX locks, OFD locks, flock.
pub fn locks(m: &mut Maker, actor: usize) -> Option<()> {
    let Some(fd) = m.fd(actor, |kind| matches!(kind, Kind::File(_))) else {
        return open(m, actor);
    };
    let (start, len) = (m.random.below(6) as i64 * 10, m.random.one(&[0, 5, 10, 20, 30]));
    // F_RDLCK, F_WRLCK, F_UNLCK
    let kind = m.random.one(&[0, 1, 1, 1, 2]);
    match m.random.below(14) {
        0 => return open(m, actor),
        1 => m.say(actor, "write", &[fd, 20]),
        2 => m.say(actor, "read", &[fd, 30]),
        3 => {
            let call = m.random.one(&["pread", "pwrite"]);
            m.say(actor, call, &[fd, 10, start]);
        }
        4 => {
            let whence = m.random.below(3) as i64;
            m.say(actor, "lseek", &[fd, start, whence]);
        }
        5 => m.say(actor, "ftruncate", &[fd, start]),
        // LOCK_SH, LOCK_EX, LOCK_UN with LOCK_NB.
        6 => {
            let how = m.random.one(&[5, 6, 8]);
            m.say(actor, "flock", &[fd, how]);
        }
        // F_GETLK, F_OFD_GETLK
        7 | 8 => {
            let command = m.random.one(&[5, 5, 36]);
            m.say(actor, "lock", &[fd, command, kind.min(1), start, len]);
        }
        // F_OFD_SETLK
        9 => m.say(actor, "lock", &[fd, 37, kind, start, len]),
        // F_SETLKW may wait, and two that wait for each other may not.
        10 if m.may_wait() => {
            m.say(actor, "lock", &[fd, 7, kind, start, len]);
        }
        11 => {
            m.say(actor, "close", &[fd]);
            m.model.of(actor).fds.remove(&fd);
        }
        _ => m.say(actor, "lock", &[fd, 6, kind, start, len]),
    }
    Some(())
}

fn open(m: &mut Maker, actor: usize) -> Option<()> {
    let (number, at) = (m.random.below(2) as i64, m.new_fd(actor));
    // O_RDWR | O_CREAT, O_APPEND, O_TRUNC
    let flags = 0o102 | m.random.one(&[0, 0, 0, 0o2000, 0o1000, O_CLOEXEC]);
    m.say(actor, "open", &[0, number, flags, at]);
    m.model.open(actor, at, Kind::File(number), true);
    Some(())
}

/// poll and epoll.
pub fn watching(m: &mut Maker, actor: usize) -> Option<()> {
    // EPOLLIN, OUT, RDHUP, ET, ONESHOT
    let events = m.random.one(&[1, 1, 5, 0x2001, 1 | 1 << 31, 5 | 1 << 31, 0x2000 | 1 << 30, 0]);
    let ep = m.fd(actor, |kind| kind == Kind::Epoll);
    match (m.random.below(9), ep) {
        (0 | 1, _) => {
            let fds = m.model.fds(actor, |_| true);
            let set = fds.iter().fold(0_i64, |set, fd| set | 1 << fd);
            let wait = if m.may_wait() { -1 } else { 0 };
            let wanted = m.random.one(&[1, 1, 5, 0x2005]);
            m.say(actor, "poll", &[set, wanted, wait]);
            if wait == -1 {
                m.waits(actor, Busy::Other);
            }
        }
        (_, None) => {
            let at = m.new_fd(actor);
            m.say(actor, "epoll", &[0, at]);
            m.model.open(actor, at, Kind::Epoll, true);
            // All that there is, so that the order of events tells something.
            for fd in m.model.fds(actor, |kind| !matches!(kind, Kind::File(_) | Kind::Epoll)) {
                if !m.random.once_in(5) {
                    m.say(actor, "epoll_ctl", &[at, 1, fd, events]);
                }
            }
        }
        (2..=4, Some(ep)) => {
            let fd = m.fd(actor, |kind| !matches!(kind, Kind::File(_)))?;
            let how = m.random.one(&[1, 1, 1, 1, 2, 3, 3]);
            m.say(actor, "epoll_ctl", &[ep, how, fd, events]);
        }
        (_, Some(ep)) => {
            let most = m.random.one(&[1, 2, 10, 10]);
            let wait = if m.may_wait() && m.random.once_in(3) { -1 } else { 0 };
            m.say(actor, "epoll_wait", &[ep, most, wait]);
            if wait == -1 {
                m.waits(actor, Busy::Other);
            }
        }
    }
    Some(())
}

/// eventfd and timerfd.
pub fn counters(m: &mut Maker, actor: usize) -> Option<()> {
    let fd = m.fd(actor, |kind| matches!(kind, Kind::Event | Kind::Timer));
    let at = m.new_fd(actor);
    match (m.random.below(7), fd) {
        (0, _) => {
            m.say(actor, "timerfd", &[O_NONBLOCK, at]);
            m.model.open(actor, at, Kind::Timer, true);
        }
        (1, _) | (_, None) => {
            let (value, flags) =
                (m.random.one(&[0, 0, 1, 7]), m.random.one(&[O_NONBLOCK, O_NONBLOCK | 1]));
            m.say(actor, "eventfd", &[value, flags, at]);
            m.model.open(actor, at, Kind::Event, true);
        }
        (2 | 3, Some(fd)) => m.say(actor, "read8", &[fd]),
        (_, Some(fd)) => match m.model.of(actor).fds[&fd] {
            Kind::Timer => {
                let on = m.random.one(&[1, 1, 0]);
                m.say(actor, "timer_past", &[fd, on]);
            }
            _ => {
                let value = m.random.one(&[1, 1, 5, -2]);
                m.say(actor, "write8", &[fd, value]);
            }
        },
    }
    Some(())
}
