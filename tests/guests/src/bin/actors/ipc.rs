//! Calls on what processes share by number or by name: System V semaphores and messages, POSIX message
//! queues, and inotify, which hears of files. Programs say small numbers; the kernel's are in the
//! shared memory. Neighbours: `files` (names), `coordinator` (removes what is left).

use super::actor::{Actor, Call, address, sys};
use super::files::{KINDS, NAMES, path};
use super::io::bytes_told;
use super::shared::{IDS, Shared};
use std::sync::atomic::Ordering;

pub const CALLS: &[(&str, Call)] = &[
    ("semget", |a, [number, count, ..]| get(a, number, libc::SYS_semget, count)),
    ("semop", |a, [number, of, by, flags, ..]| semop(a, number, &[(of, by)], flags)),
    ("semop2", |a, [number, by, and, flags, ..]| semop(a, number, &[(0, by), (1, and)], flags)),
    ("semctl", semctl),
    ("msgget", |a, [number, ..]| get(a, 2 + number, libc::SYS_msgget, 0o600)),
    ("msgsnd", msgsnd),
    ("msgrcv", msgrcv),
    ("msgrm", |a, [number, ..]| sys(libc::SYS_msgctl, &[id(a, 2 + number), 0, 0])),
    ("mq_open", mq_open),
    ("mq_unlink", |a, [number, ..]| {
        sys(libc::SYS_mq_unlink, &[name(a.shared, number)[1..].as_ptr() as i64])
    }),
    ("mq_send", |a, [fd, count, priority, ..]| {
        let bytes = a.bytes(count);
        sys(libc::SYS_mq_timedsend, &[fd, bytes.as_ptr() as i64, bytes.len() as i64, priority, 0])
    }),
    ("mq_receive", mq_receive),
    ("mq_notify", mq_notify),
    ("inotify", |a, [flags, at, ..]| a.place(sys(libc::SYS_inotify_init1, &[flags]), at)),
    ("inotify_add", |_, [fd, kind, number, mask, ..]| {
        let path = if kind < 0 { b".\0".to_vec() } else { path(kind, number) };
        sys(libc::SYS_inotify_add_watch, &[fd, path.as_ptr() as i64, mask])
    }),
    ("inotify_rm", |_, [fd, wd, ..]| sys(libc::SYS_inotify_rm_watch, &[fd, wd])),
    ("inotify_read", inotify_read),
];

/// Removes what a program left.
pub fn clean(shared: &Shared) {
    for (number, id) in shared.ids.iter().enumerate() {
        let id = id.swap(0, Ordering::SeqCst) - 1;
        let control = if number < 2 { libc::SYS_semctl } else { libc::SYS_msgctl };
        if id >= 0 {
            sys(control, &[id, 0, 0, 0]);
        }
    }
    for number in 0..NAMES {
        sys(libc::SYS_mq_unlink, &[name(shared, number)[1..].as_ptr() as i64]);
    }
}

/// A new object under a number; EEXIST as long as the number had another, even a removed one.
fn get(actor: &Actor, number: i64, call: i64, argument: i64) -> i64 {
    let of = &actor.shared.ids[number.rem_euclid(IDS as i64) as usize];
    if of.load(Ordering::SeqCst) != 0 {
        return -i64::from(libc::EEXIST);
    }
    // semget(key, count, flags), msgget(key, flags); IPC_PRIVATE is 0.
    let new = sys(call, &[0, argument, 0o600]);
    if new < 0 {
        return new;
    }
    of.store(new + 1, Ordering::SeqCst);
    0
}

/// The kernel's number of an object; one that is not there is −1.
fn id(actor: &Actor, number: i64) -> i64 {
    actor.shared.ids[number.rem_euclid(IDS as i64) as usize].load(Ordering::SeqCst) - 1
}

fn semop(actor: &Actor, number: i64, parts: &[(i64, i64)], flags: i64) -> i64 {
    let parts = parts.iter().map(|(of, by)| libc::sembuf {
        sem_num: *of as u16,
        sem_op: *by as i16,
        sem_flg: flags as i16,
    });
    let mut parts: Vec<libc::sembuf> = parts.collect();
    sys(libc::SYS_semop, &[id(actor, number), parts.as_mut_ptr() as i64, parts.len() as i64])
}

/// GETPID says an actor.
fn semctl(actor: &mut Actor, [number, of, command, value, ..]: [i64; 6]) -> i64 {
    let result = sys(libc::SYS_semctl, &[id(actor, number), of, command, value]);
    match command as i32 {
        libc::GETPID => actor.who(result),
        _ => result,
    }
}

fn msgsnd(actor: &mut Actor, [number, kind, count, flags, ..]: [i64; 6]) -> i64 {
    let mut message = kind.to_ne_bytes().to_vec();
    message.extend(actor.bytes(count));
    let at = message.as_ptr() as i64;
    sys(libc::SYS_msgsnd, &[id(actor, 2 + number), at, count.max(0), flags])
}

fn msgrcv(actor: &mut Actor, [number, size, kind, flags, ..]: [i64; 6]) -> i64 {
    let size = size.clamp(0, 1 << 16);
    let mut message = vec![0_u8; 8 + size as usize];
    let at = message.as_mut_ptr() as i64;
    let got = sys(libc::SYS_msgrcv, &[id(actor, 2 + number), at, size, kind, flags]);
    if got >= 0 {
        actor.more.push(i64::from(message[0]));
        bytes_told(actor, &message[8..8 + got.min(size) as usize]);
    }
    got
}

/// The name of a queue, which no other run of this program uses; the calls take it without the slash.
fn name(shared: &Shared, number: i64) -> Vec<u8> {
    let ours = shared.coordinator.load(Ordering::SeqCst);
    format!("/afterlife-{ours}-{}\0", number.rem_euclid(NAMES)).into_bytes()
}

/// A queue of three messages of up to 64 bytes.
fn mq_open(actor: &mut Actor, [number, flags, at, ..]: [i64; 6]) -> i64 {
    let mut attributes = [0_i64, 3, 64, 0, 0, 0, 0, 0];
    let name = name(actor.shared, number);
    let args = [name[1..].as_ptr() as i64, flags, 0o600, address(&mut attributes)];
    actor.place(sys(libc::SYS_mq_open, &args), at)
}

fn mq_receive(actor: &mut Actor, [fd, ..]: [i64; 6]) -> i64 {
    let (mut bytes, mut priority) = ([0_u8; 64], 0_u32);
    let (to, out) = (address(&mut bytes), address(&mut priority));
    let got = sys(libc::SYS_mq_timedreceive, &[fd, to, 64, out, 0]);
    if got >= 0 {
        actor.more.push(priority.into());
        bytes_told(actor, &bytes[..got.min(64) as usize]);
    }
    got
}

/// mq_notify(2): a signal for the next message that finds the queue empty; none for −1.
fn mq_notify(_: &mut Actor, [fd, signal, ..]: [i64; 6]) -> i64 {
    // SAFETY: all zero is a sigevent.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = if signal == 0 { libc::SIGEV_NONE } else { libc::SIGEV_SIGNAL };
    event.sigev_signo = signal as i32;
    let event = if signal < 0 { 0 } else { address(&mut event) };
    sys(libc::SYS_mq_notify, &[fd, event])
}

/// All events: watch, mask, whether there is a cookie, and which of our names it is.
fn inotify_read(actor: &mut Actor, [fd, size, ..]: [i64; 6]) -> i64 {
    let mut buffer = [0_u8; 512];
    let got = sys(libc::SYS_read, &[fd, address(&mut buffer), size.clamp(0, 512)]);
    let mut rest = &buffer[..got.max(0) as usize];
    while let Some((head, tail)) = rest.split_at_checked(16) {
        let word = |at: usize| {
            i64::from(u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]))
        };
        let length = (word(12) as usize).min(tail.len());
        let name = tail[..length].split(|byte| *byte == 0).next().unwrap_or_default();
        let all = (0..KINDS).flat_map(|kind| (0..NAMES).map(move |number| path(kind, number)));
        let known = all.into_iter().position(|it| it.strip_suffix(b"\0") == Some(name));
        actor.more.extend([word(0), word(4), i64::from(word(8) != 0), word(12)]);
        actor.more.push(known.map_or(-1, |it| it as i64));
        rest = &tail[length..];
    }
    got
}
