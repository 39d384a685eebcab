//! What programs are about, things with numbers and names: System V semaphores and messages, POSIX
//! message queues, inotify. Neighbours: `make`, `files`.

use super::files::O_NONBLOCK;
use super::make::{Maker, name};
use super::model::{Busy, Kind};

const IPC_NOWAIT: i64 = 0o4000;
const SEM_UNDO: i64 = 0x1000;

/// semget, semop, semctl.
pub fn semaphores(m: &mut Maker, actor: usize) -> Option<()> {
    let number = m.random.below(2);
    let set = number as i64;
    if !m.model.sems[number] {
        m.say(actor, "semget", &[set, 2]);
        m.model.sems[number] = true;
        return Some(());
    }
    let of = m.random.below(2) as i64;
    match m.random.below(12) {
        // GETPID, GETVAL, GETNCNT, GETZCNT
        0..=2 => {
            let command = m.random.one(&[11, 12, 14, 15]);
            m.say(actor, "semctl", &[set, of, command]);
        }
        3 => {
            let value = m.random.below(3) as i64;
            m.say(actor, "semctl", &[set, of, 16, value]);
        }
        4 if m.random.once_in(4) => m.say(actor, "semctl", &[set, 0, 0]),
        5 => {
            let by = [m.random.one(&[-1, 0, 1]), m.random.one(&[-1, 1, 2])];
            let undo = m.random.one(&[0, SEM_UNDO]);
            m.say(actor, "semop2", &[set, by[0], by[1], IPC_NOWAIT | undo]);
        }
        6..=8 => {
            let (by, undo) = (m.random.one(&[1, 1, 2]), m.random.one(&[0, SEM_UNDO]));
            m.say(actor, "semop", &[set, of, by, undo]);
            m.wake_all(Busy::Semaphore);
        }
        _ => {
            let (by, undo) = (m.random.one(&[-1, -1, -2, 0]), m.random.one(&[0, SEM_UNDO]));
            let waits = m.may_wait();
            m.say(actor, "semop", &[set, of, by, undo | if waits { 0 } else { IPC_NOWAIT }]);
            if waits {
                m.waits(actor, Busy::Semaphore);
            }
        }
    }
    Some(())
}

/// msgget, msgsnd, msgrcv.
pub fn messages(m: &mut Maker, actor: usize) -> Option<()> {
    let number = m.random.below(2);
    let queue = number as i64;
    let Some(held) = m.model.messages[number] else {
        m.say(actor, "msgget", &[queue]);
        m.model.messages[number] = Some(0);
        return Some(());
    };
    match m.random.below(10) {
        0 if m.random.once_in(6) => m.say(actor, "msgrm", &[queue]),
        0..=4 => {
            let (kind, count) = (m.random.one(&[1, 2, 3, 5]), m.random.one(&[0, 1, 5, 5, 100]));
            m.say(actor, "msgsnd", &[queue, kind, count, IPC_NOWAIT]);
            m.model.messages[number] = Some(held + 1);
            m.wake_all(Busy::Message);
        }
        _ => {
            let waits = held == 0 && m.may_wait();
            if held == 0 && !waits && !m.random.once_in(4) {
                return None;
            }
            let kind = m.random.one(&[0, 0, 1, 2, -2, -5]);
            // MSG_NOERROR, MSG_EXCEPT
            let flags = m.random.one(&[0, 0, 0o10000, 0o20000]);
            let size = m.random.one(&[200, 200, 3]);
            let wait = if waits { 0 } else { IPC_NOWAIT };
            m.say(actor, "msgrcv", &[queue, size, kind, flags | wait]);
            if waits {
                m.waits(actor, Busy::Message);
            }
            m.model.messages[number] = Some((held - 1).max(0));
        }
    }
    Some(())
}

/// mq_open and what it gives.
pub fn queues(m: &mut Maker, actor: usize) -> Option<()> {
    let Some(fd) = m.fd(actor, |kind| matches!(kind, Kind::Queue(_))) else {
        return mq_open(m, actor);
    };
    let Kind::Queue(number) = m.model.of(actor).fds[&fd] else { return None };
    let held = m.model.posted[number];
    match m.random.below(12) {
        0 => return mq_open(m, actor),
        1 if m.random.once_in(4) => m.say(actor, "mq_unlink", &[number as i64]),
        2 => {
            let signal = m.caught(actor);
            let signal = m.random.one(&[signal, signal, 0, -1]);
            m.say(actor, "mq_notify", &[fd, signal]);
        }
        3..=6 => {
            if held >= 3 && !m.random.once_in(4) {
                return None;
            }
            let (count, priority) = (m.random.one(&[0, 1, 5, 64]), m.random.one(&[0, 0, 1, 7]));
            m.say(actor, "mq_send", &[fd, count, priority]);
            m.model.posted[number] = (held + 1).min(3);
            m.wake_all(Busy::Message);
        }
        _ => {
            let blocks = !m.model.of(actor).nonblocking[&fd];
            if held == 0 && if blocks { !m.may_wait() } else { !m.random.once_in(3) } {
                return None;
            }
            m.say(actor, "mq_receive", &[fd]);
            if held == 0 && blocks {
                m.waits(actor, Busy::Message);
            }
            m.model.posted[number] = (held - 1).max(0);
        }
    }
    Some(())
}

fn mq_open(m: &mut Maker, actor: usize) -> Option<()> {
    let (number, at) = (m.random.below(2), m.new_fd(actor));
    let wait = m.random.one(&[0, O_NONBLOCK]);
    // O_RDWR | O_CREAT
    m.say(actor, "mq_open", &[number as i64, 0o102 | wait, at]);
    m.model.open(actor, at, Kind::Queue(number), wait != 0);
    Some(())
}

/// inotify: of the directory, of files.
pub fn hearing(m: &mut Maker, actor: usize) -> Option<()> {
    let Some(fd) = m.fd(actor, |kind| kind == Kind::Inotify) else {
        let at = m.new_fd(actor);
        m.say(actor, "inotify", &[O_NONBLOCK, at]);
        m.model.open(actor, at, Kind::Inotify, true);
        // IN_ALL_EVENTS of the directory, so that there is something to hear.
        let mask = m.random.one(&[0xfff, 0xfff, 0x3c8]);
        m.say(actor, "inotify_add", &[at, -1, 0, mask]);
        return Some(());
    };
    let number = m.random.below(2) as i64;
    match m.random.below(8) {
        0 => {
            let at = m.new_fd(actor);
            m.say(actor, "open", &[0, number, 0o102, at]);
            m.model.open(actor, at, Kind::File(number), true);
            // IN_ONESHOT, IN_MASK_ADD
            let mask = m.random.one(&[0xfff, 0x18, 0xfff | 1 << 31, 2 | 1 << 29]);
            m.say(actor, "inotify_add", &[fd, 0, number, mask]);
        }
        1 if m.random.once_in(2) => {
            let wd = m.random.one(&[1, 1, 2, 3]);
            m.say(actor, "inotify_rm", &[fd, wd]);
        }
        2 => m.say(actor, "unlink", &[0, number]),
        3 => {
            let at = m.new_fd(actor);
            m.say(actor, "open", &[0, number, 0o102, at]);
            m.model.open(actor, at, Kind::File(number), true);
            m.say(actor, "write", &[at, 5]);
        }
        4 => m.say(actor, "fionread", &[fd]),
        _ => {
            let size = m.random.one(&[512, 512, 512, 40]);
            m.say(actor, "inotify_read", &[fd, size]);
        }
    }
    Some(())
}

/// A child that takes what belongs to all of it with it: SEM_UNDO, the end of a queue's notification.
pub fn undone(m: &mut Maker, actor: usize) -> Option<()> {
    let child = m.model.actors.len();
    if child >= super::model::ACTORS || !m.model.sems[0] {
        return None;
    }
    m.say(actor, "fork", &[name(child), 17]);
    m.model.fork(actor);
    let by = m.random.one(&[1, 1, 2]);
    m.say(child, "semop", &[0, 0, by, SEM_UNDO]);
    m.say(child, "semop", &[0, 0, -1, SEM_UNDO | IPC_NOWAIT]);
    if m.random.once_in(2) {
        m.say(actor, "semop", &[0, 0, -1, IPC_NOWAIT]);
    }
    m.say(child, "exit", &[0]);
    m.model.end(child);
    m.say(actor, "semctl", &[0, 0, 12]);
    Some(())
}
