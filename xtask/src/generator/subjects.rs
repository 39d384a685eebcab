//! What programs are about, processes and signals: being born, dying, waiting for children, groups and
//! sessions, sending, catching, blocking and awaiting signals. Neighbours: `make`, `files`.

use super::make::{Maker, name};
use super::model::{ACTORS, Busy, Kind};

const WNOHANG: i64 = 1;
const WUNTRACED: i64 = 2;
const WEXITED: i64 = 4;
const WCONTINUED: i64 = 8;
const WNOWAIT: i64 = 0x0100_0000;
const P_ALL: i64 = 0;
const P_PID: i64 = 1;
const P_PGID: i64 = 2;
const P_PIDFD: i64 = 3;

/// fork, threads, exec.
pub fn birth(m: &mut Maker, actor: usize) -> Option<()> {
    let child = m.model.actors.len();
    match m.random.below(8) {
        0 => {
            m.say(actor, "exec", &[]);
            let process = m.model.actors[actor].process;
            for other in 0..m.model.actors.len() {
                if other != actor && m.model.actors[other].process == process {
                    m.waits(other, Busy::Dead);
                }
            }
            m.model.of(actor).handlers.retain(|_, handler| *handler == 1);
        }
        _ if child >= ACTORS => return None,
        1 | 2 => {
            m.say(actor, "thread", &[name(child)]);
            m.model.thread(actor);
        }
        _ => {
            let signal = if m.random.once_in(6) { m.random.one(&[0, 36, 40, 10]) } else { 17 };
            m.say(actor, "fork", &[name(child), signal]);
            m.model.fork(actor);
        }
    }
    Some(())
}

/// exit, of a process or of a thread, and what the last one may leave.
pub fn death(m: &mut Maker, actor: usize) -> Option<()> {
    if m.model.free().len() < 2 || (actor == 0 && !m.random.once_in(5)) {
        return None;
    }
    let process = m.model.actors[actor].process;
    let code = m.random.below(4) as i64;
    if m.random.once_in(4) {
        m.say(actor, "thread_exit", &[code]);
        m.waits(actor, Busy::Dead);
        if m.model.actors.iter().all(|a| a.process != process || a.busy == Busy::Dead) {
            m.model.end(process);
        }
    } else {
        m.say(actor, "exit", &[code]);
        m.model.end(process);
    }
    Some(())
}

/// wait4, waitid.
pub fn waiting(m: &mut Maker, actor: usize) -> Option<()> {
    let process = m.model.actors[actor].process;
    let children: Vec<usize> =
        m.model.processes.iter().filter(|(_, p)| p.parent == process).map(|(c, _)| *c).collect();
    let children: Vec<usize> = children.into_iter().filter(|child| *child != 0).collect();
    let who = match m.random.any(&children) {
        None if m.random.once_in(6) => -1,
        None => return None,
        Some(child) => m.random.one(&[-1, -1, name(child), name(child), 0]),
    };
    let hang = if m.may_wait() { 0 } else { WNOHANG };
    if m.random.once_in(2) {
        let more = m.random.one(&[0, 0, WUNTRACED, WCONTINUED, WUNTRACED | WCONTINUED]);
        m.say(actor, "wait4", &[who, hang | more]);
    } else {
        let pidfd = m.fd(actor, |kind| matches!(kind, Kind::Pidfd(_)));
        let (kind, who) = match (pidfd, who) {
            (Some(fd), _) if m.random.once_in(2) => (P_PIDFD, fd),
            (_, 100..) if m.random.once_in(4) => (P_PGID, who),
            (_, 100..) => (P_PID, who),
            _ => (P_ALL, 0),
        };
        let what = m.random.one(&[
            WEXITED,
            WEXITED,
            WEXITED | WUNTRACED | WCONTINUED,
            WUNTRACED,
            WCONTINUED,
        ]);
        let peek = if m.random.once_in(4) { WNOWAIT } else { 0 };
        m.say(actor, "waitid", &[kind, who, hang | what | peek]);
    }
    let dead = children.iter().any(|child| m.model.actors[*child].busy == Busy::Dead);
    if hang == 0 && !dead {
        m.waits(actor, Busy::Child);
    }
    Some(())
}

/// Groups, sessions, parents.
pub fn identity(m: &mut Maker, actor: usize) -> Option<()> {
    let who = name(m.somebody());
    match m.random.below(9) {
        0 => m.say(actor, "getppid", &[]),
        1 => m.say(actor, "getpgid", &[who]),
        2 => m.say(actor, "getsid", &[who]),
        3 => m.say(actor, "setsid", &[]),
        4 => {
            let signal = m.signal();
            m.say(actor, "deathsig", &[signal]);
        }
        5 => m.say(actor, "subreaper", &[1]),
        6 => {
            let target = m.somebody();
            let (at, flags) = (m.new_fd(actor), m.random.one(&[0, 0, 0, 0o4000]));
            m.say(actor, "pidfd_open", &[name(target), at, flags]);
            m.model.open(actor, at, Kind::Pidfd(target), true);
        }
        _ => {
            let own = name(m.model.actors[actor].process);
            let (who, to) = (m.random.one(&[0, 0, own, who]), name(m.somebody()));
            let to = m.random.one(&[0, 0, to]);
            m.say(actor, "setpgid", &[who, to]);
        }
    }
    Some(())
}

/// Stopping, continuing, and telling about it.
pub fn jobs(m: &mut Maker, actor: usize) -> Option<()> {
    let alive = m.model.alive();
    let others: Vec<usize> = alive
        .into_iter()
        .filter(|a| m.model.actors[*a].process != m.model.actors[actor].process)
        .collect();
    let target = m.random.any(&others)?;
    let stopped = m.model.actors[target].busy == Busy::Stopped;
    let signal = if stopped {
        m.random.one(&[18, 18, 18, 18, 9, 19])
    } else {
        m.random.one(&[19, 19, 20, 21, 18])
    };
    m.say(actor, "kill", &[name(m.model.actors[target].process), signal]);
    m.model.signal(m.model.actors[target].process, signal);
    Some(())
}

/// kill and its relatives.
pub fn sending(m: &mut Maker, actor: usize) -> Option<()> {
    let (target, mut signal) = (m.somebody(), m.signal());
    if m.random.once_in(25) {
        signal = m.random.one(&[9, 0, 65]);
    }
    let process = m.model.actors.get(target).map_or(target, |it| it.process);
    let value = m.random.below(1000) as i64;
    match m.random.below(10) {
        0 | 1 if signal >= 34 => m.say(actor, "sigqueue", &[name(process), signal, value]),
        0 => m.say(actor, "sigqueue", &[name(process), signal, value]),
        1 => m.say(actor, "tkill", &[name(target), signal]),
        2 => m.say(actor, "tgkill", &[name(process), name(target), signal]),
        3 => {
            let fd = m.fd(actor, |kind| matches!(kind, Kind::Pidfd(_)))?;
            m.say(actor, "pidfd_send", &[fd, signal, 0]);
            return Some(());
        }
        4 if m.random.once_in(3) => {
            // To a whole group: the order in which its members act is nobody's business.
            let group = m.random.one(&[0, -name(process)]);
            m.say(actor, "kill", &[group, signal]);
        }
        _ => m.say(actor, "kill", &[name(process), signal]),
    }
    if (1..=64).contains(&signal) {
        m.model.signal(process, signal);
    }
    Some(())
}

/// A handler for a signal.
pub fn catch(m: &mut Maker, actor: usize, signal: i64) -> Option<()> {
    let handler = m.random.one(&[0, 1, 2, 2, 3, 3, 3, 3, 3, 3]);
    let mut flags = 0;
    for flag in [0x1000_0000, 0x1000_0000, 0x4000_0000, 0x8000_0000, 1, 2] {
        // SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_NOCLDSTOP, SA_NOCLDWAIT
        if m.random.once_in(6) && (signal == 17 || flag > 2) {
            flags |= flag;
        }
    }
    let mask = if m.random.once_in(3) { m.set() } else { 0 };
    handle(m, actor, signal, handler, flags, mask);
    Some(())
}

/// The step, and what it means.
pub fn handle(m: &mut Maker, actor: usize, signal: i64, handler: i64, flags: i64, mask: i64) {
    m.say(actor, "sigaction", &[signal, handler, flags, mask]);
    if handler == 0 {
        m.model.of(actor).handlers.remove(&signal);
    } else {
        m.model.of(actor).handlers.insert(signal, handler);
    }
}

/// sigaction.
pub fn catching(m: &mut Maker, actor: usize) -> Option<()> {
    let signal = m.signal();
    if [9, 19].contains(&signal) && !m.random.once_in(4) {
        return None;
    }
    catch(m, actor, signal)
}

/// Masks.
pub fn masking(m: &mut Maker, actor: usize) -> Option<()> {
    if m.random.once_in(4) {
        m.say(actor, "sigpending", &[]);
        return Some(());
    }
    let (how, set) = (m.random.below(3) as i64, m.set());
    m.say(actor, "sigprocmask", &[how, set]);
    let mask = &mut m.model.actors[actor].mask;
    *mask = match how {
        0 => *mask | set,
        1 => *mask & !set,
        _ => set,
    };
    Some(())
}

/// Waiting for a signal in a call, or reading it from a descriptor.
pub fn awaiting(m: &mut Maker, actor: usize) -> Option<()> {
    let set = m.set();
    match m.random.below(6) {
        0 if m.may_wait() => {
            m.say(actor, "sigsuspend", &[set]);
            m.waits(actor, Busy::Signal);
        }
        1 if m.may_wait() => {
            m.say(actor, "pause", &[]);
            m.waits(actor, Busy::Signal);
        }
        2 if m.may_wait() => {
            m.say(actor, "sigwait", &[set, 1]);
            m.waits(actor, Busy::Signal);
        }
        3 => {
            let (at, flags) =
                (m.new_fd(actor), m.random.one(&[0o4000, 0o4000, 0o4000, 0o2_004_000]));
            let set = set | m.model.actors[actor].mask;
            m.say(actor, "signalfd", &[-1, set, flags, at]);
            m.model.open(actor, at, Kind::Signal, true);
        }
        4 => {
            let fd = m.fd(actor, |kind| kind == Kind::Signal)?;
            if m.random.once_in(5) {
                m.say(actor, "signalfd", &[fd, set, 0]);
            } else {
                let count = m.random.one(&[1, 1, 3]);
                m.say(actor, "sigread", &[fd, count]);
            }
        }
        _ => {
            let mask = m.model.actors[actor].mask;
            if mask == 0 && !m.random.once_in(6) {
                return None;
            }
            m.say(actor, "sigwait", &[set | mask, 0]);
        }
    }
    Some(())
}
