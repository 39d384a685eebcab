//! What chance alone would seldom bring together: a signal's audience, bursts, asynchronous notice,
//! what a death lets go, locks lent to other descriptors. Each is a few steps in a sensible order, with
//! everything else left to chance. Neighbours: `make`, `subjects`, `files`.

use super::files::{O_ASYNC, O_NONBLOCK, set_flags};
use super::make::{Maker, name};
use super::model::{ACTORS, Busy, Kind};
use super::subjects;

/// A process of several threads, of which some block a signal that comes for all of them: who takes
/// it, and who takes the next one.
pub fn audience(m: &mut Maker, actor: usize) -> Option<()> {
    let process = m.model.actors[actor].process;
    let threads = |m: &Maker| -> Vec<usize> {
        m.model.free().into_iter().filter(|a| m.model.actors[*a].process == process).collect()
    };
    while threads(m).len() < 3 && m.model.actors.len() < ACTORS {
        m.say(actor, "thread", &[name(m.model.actors.len())]);
        m.model.thread(actor);
    }
    let members = threads(m);
    if members.len() < 2 {
        return None;
    }
    let signal = m.caught(actor);
    // The leader is the first candidate; most of the time it must not be the last one too.
    for member in members.clone() {
        if (member == process && !m.random.once_in(5)) || m.random.once_in(4) {
            m.say(member, "sigprocmask", &[0, 1 << (signal - 1)]);
            m.model.actors[member].mask |= 1 << (signal - 1);
        }
    }
    for _ in 0..2 + m.random.below(4) {
        let free = m.model.free();
        let sender = m.random.any(&free)?;
        if m.random.once_in(6) {
            let member = m.random.one(&members);
            let how = m.random.below(2) as i64;
            m.say(member, "sigprocmask", &[how, 1 << (signal - 1)]);
        }
        m.say(sender, "kill", &[name(process), signal]);
    }
    Some(())
}

/// A blocked signal several times: what is kept of it, and who gets it.
pub fn burst(m: &mut Maker, actor: usize) -> Option<()> {
    let (signal, process) = (m.caught(actor), m.model.actors[actor].process);
    let set = 1_i64 << (signal - 1);
    m.say(actor, "sigprocmask", &[0, set]);
    m.model.actors[actor].mask |= set;
    for _ in 0..2 + m.random.below(3) {
        let free = m.model.free();
        let sender = m.random.any(&free)?;
        let value = m.random.below(1000) as i64;
        match m.random.below(5) {
            0 => m.say(sender, "sigqueue", &[name(process), signal, value]),
            1 => m.say(sender, "tgkill", &[name(process), name(actor), signal]),
            _ => m.say(sender, "kill", &[name(process), signal]),
        }
    }
    match m.random.below(4) {
        0 => {
            let at = m.new_fd(actor);
            m.say(actor, "signalfd", &[-1, set, O_NONBLOCK, at]);
            m.model.open(actor, at, Kind::Signal, true);
            m.say(actor, "sigread", &[at, 3]);
        }
        1 => {
            m.say(actor, "sigwait", &[set, 0]);
            m.say(actor, "sigwait", &[set, 0]);
        }
        2 => m.say(actor, "sigpending", &[]),
        _ => {}
    }
    m.say(actor, "sigprocmask", &[1, set]);
    m.model.actors[actor].mask &= !set;
    Some(())
}

/// O_ASYNC: descriptors that tell by a signal when something happens at their other ends.
pub fn notice(m: &mut Maker, actor: usize) -> Option<()> {
    let process = m.model.actors[actor].process;
    let signal = m.random.one(&[29, 34, 34, 35]);
    subjects::handle(m, actor, signal, 3, 0, 0);
    let mut ends = Vec::new();
    for _ in 0..1 + m.random.below(2) {
        let (near, far) = (m.new_fd(actor), m.new_fd(actor));
        if near == far {
            continue;
        }
        if m.random.once_in(2) {
            m.say(actor, "socketpair", &[1 | O_NONBLOCK, near, far]);
            let (a, b) = (m.model.queue(), m.model.queue());
            m.model.open(actor, near, Kind::Socket(a, b), true);
            m.model.open(actor, far, Kind::Socket(b, a), true);
        } else {
            m.say(actor, "pipe", &[near, far, O_NONBLOCK]);
            let queue = m.model.queue();
            m.model.open(actor, near, Kind::PipeReader(queue), true);
            m.model.open(actor, far, Kind::PipeWriter(queue), true);
        }
        let whom = if m.random.once_in(4) { -name(process) } else { name(process) };
        m.say(actor, "setown", &[near, whom]);
        // F_SETSIG
        m.say(actor, "fcntl", &[near, 10, if signal == 29 { 0 } else { signal }]);
        set_flags(m, actor, near, O_ASYNC);
        ends.push((near, far));
    }
    let (near, far) = m.random.any(&ends)?;
    m.say(actor, "write", &[far, 3]);
    if m.random.once_in(2) {
        m.say(actor, "read", &[near, 10]);
        m.say(actor, "write", &[far, 3]);
    }
    if m.random.once_in(2) && m.model.actors.len() < ACTORS {
        // The only holder of the far ends dies.
        let child = m.model.actors.len();
        m.say(actor, "fork", &[name(child), 17]);
        m.model.fork(actor);
        for (_, far) in ends {
            m.say(actor, "close", &[far]);
            m.model.of(actor).fds.remove(&far);
        }
        m.say(child, "exit", &[1]);
        m.model.end(child);
    }
    Some(())
}

/// A lock, and its owner closing another descriptor of the same file.
pub fn lenders(m: &mut Maker, actor: usize) -> Option<()> {
    let child = m.model.actors.len();
    if child >= ACTORS {
        return None;
    }
    let number = m.random.below(2) as i64;
    let (one, two) = (m.new_fd(actor), m.new_fd(actor));
    if one == two {
        return None;
    }
    m.say(actor, "open", &[0, number, 0o102, one]);
    m.model.open(actor, one, Kind::File(number), true);
    if m.random.once_in(2) {
        m.say(actor, "dup", &[one, two]);
    } else {
        m.say(actor, "open", &[0, number, 0o102, two]);
    }
    m.model.open(actor, two, Kind::File(number), true);
    m.say(actor, "fork", &[name(child), 17]);
    m.model.fork(actor);
    let (command, start) = (m.random.one(&[6, 6, 6, 37]), m.random.below(3) as i64 * 10);
    m.say(actor, "lock", &[one, command, 1, start, 20]);
    if m.random.once_in(2) {
        // F_SETLKW: it waits until the lock goes.
        m.say(child, "lock", &[one, 7, 1, start, 5]);
        m.waits(child, Busy::No);
    }
    if m.random.once_in(2) {
        m.say(actor, "close", &[two]);
    } else {
        m.say(actor, "dup2", &[0, two]);
    }
    m.model.of(actor).fds.remove(&two);
    // F_GETLK
    m.say(child, "lock", &[two, 5, 1, 0, 0]);
    m.say(child, "lock", &[two, 6, 1, start, 10]);
    Some(())
}

/// A child that alone holds the far ends of several pairs, whose near ends are watched together with
/// the child itself: what its death lets go, and in which order.
pub fn heirs(m: &mut Maker, actor: usize) -> Option<()> {
    let child = m.model.actors.len();
    if child >= ACTORS {
        return None;
    }
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for _ in 0..2 + m.random.below(2) {
        let (one, two) = (m.new_fd(actor), m.new_fd(actor));
        if one == two || near.contains(&one) || near.contains(&two) || far.contains(&one) {
            continue;
        }
        m.say(actor, "socketpair", &[1 | O_NONBLOCK, one, two]);
        let (a, b) = (m.model.queue(), m.model.queue());
        m.model.open(actor, one, Kind::Socket(a, b), true);
        m.model.open(actor, two, Kind::Socket(b, a), true);
        near.push(one);
        far.push(two);
    }
    m.say(actor, "fork", &[name(child), 17]);
    m.model.fork(actor);
    for fd in far {
        m.say(actor, "close", &[fd]);
        m.model.of(actor).fds.remove(&fd);
    }
    let (pidfd, ep) = (m.new_fd(actor), m.new_fd(actor));
    m.say(actor, "pidfd_open", &[name(child), pidfd, 0]);
    m.model.open(actor, pidfd, Kind::Pidfd(child), true);
    m.say(actor, "epoll", &[0, ep]);
    m.model.open(actor, ep, Kind::Epoll, true);
    near.push(pidfd);
    for fd in near {
        m.say(actor, "epoll_ctl", &[ep, 1, fd, 0x2001]);
    }
    if m.random.once_in(2) {
        m.say(actor, "kill", &[name(child), 9]);
    } else {
        m.say(child, "exit", &[1]);
    }
    m.model.end(child);
    m.say(actor, "epoll_wait", &[ep, 10, 0]);
    Some(())
}
