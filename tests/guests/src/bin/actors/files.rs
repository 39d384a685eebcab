//! Calls on files and FIFOs by name, and their locks. Names are numbers: kind 0 a file, 1 a FIFO,
//! 2 a socket, in the program's own directory, which is empty when it begins.

use super::actor::{Actor, Call, address, sys};

pub const CALLS: &[(&str, Call)] = &[
    ("open", |a, [kind, number, flags, at, ..]| {
        let path = path(kind, number);
        a.place(sys(libc::SYS_open, &[path.as_ptr() as i64, flags, 0o600]), at)
    }),
    ("mkfifo", |_, [number, ..]| {
        let path = path(1, number);
        sys(libc::SYS_mknod, &[path.as_ptr() as i64, i64::from(libc::S_IFIFO) | 0o600, 0])
    }),
    ("unlink", |_, [kind, number, ..]| {
        sys(libc::SYS_unlink, &[path(kind, number).as_ptr() as i64])
    }),
    ("lseek", |_, [fd, to, whence, ..]| sys(libc::SYS_lseek, &[fd, to, whence])),
    ("ftruncate", |_, [fd, size, ..]| sys(libc::SYS_ftruncate, &[fd, size])),
    ("pread", pread),
    ("pwrite", |a, [fd, count, at, ..]| {
        let buffer = a.bytes(count);
        sys(libc::SYS_pwrite64, &[fd, buffer.as_ptr() as i64, buffer.len() as i64, at])
    }),
    ("lock", lock),
    ("flock", |_, [fd, how, ..]| sys(libc::SYS_flock, &[fd, how])),
];

/// Kinds and numbers of names that a program can use.
pub const KINDS: i64 = 3;
pub const NAMES: i64 = 3;

/// A name with its zero byte.
pub fn path(kind: i64, number: i64) -> Vec<u8> {
    let kind = ['f', 'p', 's'][kind.rem_euclid(KINDS) as usize];
    format!("{kind}{}\0", number.rem_euclid(NAMES)).into_bytes()
}

fn pread(actor: &mut Actor, [fd, count, at, ..]: [i64; 6]) -> i64 {
    let mut buffer = vec![0_u8; count.clamp(0, 1 << 16) as usize];
    let (to, size) = (buffer.as_mut_ptr() as i64, buffer.len() as i64);
    let got = sys(libc::SYS_pread64, &[fd, to, size, at]);
    super::io::bytes_told(actor, &buffer[..got.max(0) as usize]);
    got
}

/// fcntl(2) with a struct flock: F_GETLK and F_OFD_GETLK say whose lock is in the way.
fn lock(actor: &mut Actor, [fd, command, kind, start, len, ..]: [i64; 6]) -> i64 {
    // SAFETY: all zero is a struct flock.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as i16;
    (lock.l_start, lock.l_len) = (start, len);
    let result = sys(libc::SYS_fcntl, &[fd, command, address(&mut lock)]);
    if result == 0 && [libc::F_GETLK.into(), libc::F_OFD_GETLK.into()].contains(&command) {
        let who = actor.who(lock.l_pid.into());
        actor.more.extend([lock.l_type.into(), lock.l_start, lock.l_len, who]);
    }
    result
}
