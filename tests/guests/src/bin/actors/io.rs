//! Calls on descriptors: pipes, eventfds, timerfds, reading, writing, duplicating, closing.
//! Neighbours: `files` (what has a name), `sockets`, `polling`.

use super::actor::{Actor, Call, address, sys};

pub const CALLS: &[(&str, Call)] = &[
    ("pipe", pipe),
    ("close", |_, [fd, ..]| sys(libc::SYS_close, &[fd])),
    ("close_range", |_, [from, to, flags, ..]| sys(libc::SYS_close_range, &[from, to, flags])),
    ("dup", |a, [fd, at, ..]| a.place(sys(libc::SYS_dup, &[fd]), at)),
    ("dup2", |_, [fd, to, ..]| sys(libc::SYS_dup2, &[fd, to])),
    ("dup3", |_, [fd, to, flags, ..]| sys(libc::SYS_dup3, &[fd, to, flags])),
    ("fcntl", |_, [fd, command, value, ..]| sys(libc::SYS_fcntl, &[fd, command, value])),
    ("setown", |a, [fd, who, ..]| {
        let who = if who < -1 { -a.pid(-who) } else { a.pid(who) };
        sys(libc::SYS_fcntl, &[fd, libc::F_SETOWN.into(), who])
    }),
    ("getown", |a, [fd, ..]| {
        let who = sys(libc::SYS_fcntl, &[fd, libc::F_GETOWN.into()]);
        if who < -4096 { -a.who(-who) } else { a.who(who) }
    }),
    ("read", read),
    ("write", write),
    ("eventfd", |a, [value, flags, at, ..]| a.place(sys(libc::SYS_eventfd2, &[value, flags]), at)),
    ("read8", read8),
    ("write8", |_, [fd, value, ..]| {
        let mut value = value;
        sys(libc::SYS_write, &[fd, address(&mut value), 8])
    }),
    ("timerfd", |a, [flags, at, ..]| {
        a.place(sys(libc::SYS_timerfd_create, &[libc::CLOCK_MONOTONIC.into(), flags]), at)
    }),
    ("timer_past", timer_past),
    ("fionread", fionread),
    ("tee", |_, [from, to, count, ..]| {
        sys(libc::SYS_tee, &[from, to, count, libc::SPLICE_F_NONBLOCK.into()])
    }),
    ("splice", |_, [from, to, count, ..]| {
        sys(libc::SYS_splice, &[from, 0, to, 0, count, libc::SPLICE_F_NONBLOCK.into()])
    }),
];

/// pipe2(2), its ends at two numbers; the result is what the kernel numbered them.
fn pipe(actor: &mut Actor, [reader, writer, flags, ..]: [i64; 6]) -> i64 {
    let mut ends = [0_i32; 2];
    let result = sys(libc::SYS_pipe2, &[address(&mut ends), flags]);
    if result == 0 {
        // The one that is in the other's way goes first.
        let [r, w] = ends.map(i64::from);
        actor.more.extend([r, w]);
        if i64::from(ends[1]) == reader {
            actor.place(w, writer);
            actor.place(r, reader);
        } else {
            actor.place(r, reader);
            actor.place(w, writer);
        }
    }
    result
}

/// Says how many of each byte came, in the order of their first coming.
pub fn bytes_told(actor: &mut Actor, bytes: &[u8]) {
    for run in bytes.chunk_by(|a, b| a == b).take(12) {
        actor.more.extend([i64::from(run[0]), run.len() as i64]);
    }
}

fn read(actor: &mut Actor, [fd, count, ..]: [i64; 6]) -> i64 {
    let mut buffer = vec![0_u8; count.clamp(0, 1 << 18) as usize];
    let got = sys(libc::SYS_read, &[fd, buffer.as_mut_ptr() as i64, buffer.len() as i64]);
    bytes_told(actor, &buffer[..got.max(0) as usize]);
    got
}

/// Writes bytes that say which step wrote them.
fn write(actor: &mut Actor, [fd, count, ..]: [i64; 6]) -> i64 {
    let buffer = actor.bytes(count);
    sys(libc::SYS_write, &[fd, buffer.as_ptr() as i64, buffer.len() as i64])
}

impl Actor {
    /// `count` bytes that say which step they come from.
    pub fn bytes(&self, count: i64) -> Vec<u8> {
        let step = self.me().token.load(std::sync::atomic::Ordering::SeqCst);
        vec![step as u8; count.clamp(0, 1 << 18) as usize]
    }
}

/// What eventfds and timerfds give.
fn read8(actor: &mut Actor, [fd, ..]: [i64; 6]) -> i64 {
    let mut value = 0_i64;
    let got = sys(libc::SYS_read, &[fd, address(&mut value), 8]);
    if got > 0 {
        actor.more.push(value);
    }
    got
}

/// timerfd_settime(2): disarmed, or for a time long ago; the expiry that it had is not told.
fn timer_past(_: &mut Actor, [fd, on, ..]: [i64; 6]) -> i64 {
    let mut timer = [0, 0, 0, on.clamp(0, 1)];
    sys(libc::SYS_timerfd_settime, &[fd, libc::TFD_TIMER_ABSTIME.into(), address(&mut timer), 0])
}

fn fionread(actor: &mut Actor, [fd, ..]: [i64; 6]) -> i64 {
    let mut count = 0_i32;
    let result = sys(libc::SYS_ioctl, &[fd, libc::FIONREAD as i64, address(&mut count)]);
    actor.more.push(count.into());
    result
}
