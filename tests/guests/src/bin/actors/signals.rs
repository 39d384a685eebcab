//! Calls that send, catch, block and await signals, and the handlers, which write down what they saw.
//! Neighbours: `actor`, `process`.

use super::actor::{Actor, Call, SIGNAL, address, me, sys};
use super::shared;
use libc::{c_int, c_void, siginfo_t};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

pub const CALLS: &[(&str, Call)] = &[
    ("kill", |a, [who, signal, ..]| {
        let who = if who < -1 { -a.pid(-who) } else { a.pid(who) };
        sys(libc::SYS_kill, &[who, signal])
    }),
    ("tkill", |a, [who, signal, ..]| sys(libc::SYS_tkill, &[a.pid(who), signal])),
    ("tgkill", |a, [group, who, signal, ..]| {
        sys(libc::SYS_tgkill, &[a.pid(group), a.pid(who), signal])
    }),
    ("sigqueue", sigqueue),
    ("pidfd_send", |_, [fd, signal, flags, ..]| {
        sys(libc::SYS_pidfd_send_signal, &[fd, signal, 0, flags])
    }),
    ("sigaction", sigaction),
    ("sigprocmask", sigprocmask),
    ("sigpending", |a, _| {
        a.more.push(pending());
        0
    }),
    ("sigsuspend", |_, [set, ..]| {
        let mut set = set;
        sys(libc::SYS_rt_sigsuspend, &[address(&mut set), 8])
    }),
    ("pause", |_, _| sys(libc::SYS_pause, &[])),
    ("sigwait", sigwait),
    ("signalfd", |a, [fd, set, flags, at, ..]| {
        let mut set = set;
        let new = sys(libc::SYS_signalfd4, &[fd, address(&mut set), 8, flags]);
        if fd == -1 { a.place(new, at) } else { new }
    }),
    ("sigread", sigread),
];

/// What the handlers need; a handler must not look for it.
static SHARED: OnceLock<&'static shared::Shared> = OnceLock::new();

/// The calling thread's mask.
pub fn mask() -> i64 {
    let mut set = 0_i64;
    sys(libc::SYS_rt_sigprocmask, &[0, 0, address(&mut set), 8]);
    set
}

/// What waits for the calling thread or its process.
pub fn pending() -> i64 {
    let mut set = 0_i64;
    sys(libc::SYS_rt_sigpending, &[address(&mut set), 8]);
    set
}

/// The kernel's struct sigaction.
#[repr(C)]
#[derive(Default)]
struct Action {
    handler: i64,
    flags: i64,
    restorer: i64,
    mask: i64,
}

/// A signal's handler, flags and mask.
pub fn disposition(signal: i64) -> (i64, i64, i64) {
    let mut old = Action::default();
    sys(libc::SYS_rt_sigaction, &[signal, 0, address(&mut old), 8]);
    (old.handler, old.flags, old.mask)
}

/// Handlers by their number in programs: 0 the default, 1 ignored, then ours.
fn handlers() -> [i64; 4] {
    [0, 1, plain as *const () as i64, full as *const () as i64]
}

/// The C library's restorer, which a raw call has to give too.
fn restorer() -> i64 {
    static FOUND: OnceLock<i64> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let handler = plain as *const () as libc::sighandler_t;
        // SAFETY: a signal that no program uses; its old handler comes back at once.
        unsafe { libc::signal(libc::SIGSTKFLT, handler) };
        let mut old = Action::default();
        sys(libc::SYS_rt_sigaction, &[libc::SIGSTKFLT.into(), 0, address(&mut old), 8]);
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGSTKFLT, libc::SIG_DFL) };
        old.restorer
    })
}

fn sigaction(actor: &mut Actor, [signal, handler, flags, mask, ..]: [i64; 6]) -> i64 {
    SHARED.get_or_init(|| actor.shared);
    let (known, mut old) = (handlers(), Action::default());
    let handler = known[handler as usize % known.len()];
    let info = if handler == known[3] { i64::from(libc::SA_SIGINFO) } else { 0 };
    let mut new = Action { handler, flags: flags | info | 0x0400_0000, restorer: restorer(), mask };
    let (new, out) = (address(&mut new), address(&mut old));
    let result = sys(libc::SYS_rt_sigaction, &[signal, new, out, 8]);
    if result == 0 {
        let was = known.iter().position(|it| *it == old.handler).map_or(-1, |it| it as i64);
        actor.more.extend([was, old.flags & !0x0400_0000, old.mask]);
    }
    result
}

fn sigprocmask(actor: &mut Actor, [how, set, ..]: [i64; 6]) -> i64 {
    let (mut set, mut old) = (set, 0_i64);
    let (new, out) = (address(&mut set), address(&mut old));
    let result = sys(libc::SYS_rt_sigprocmask, &[how, new, out, 8]);
    actor.more.push(old);
    result
}

/// rt_sigqueueinfo(2), as sigqueue(3) calls it.
fn sigqueue(actor: &mut Actor, [who, signal, value, ..]: [i64; 6]) -> i64 {
    let mut info = [0_i64; 16];
    // si_signo | si_errno, si_code, si_pid | si_uid, si_value.
    info[0] = signal & 0xffff_ffff;
    info[1] = i64::from(libc::SI_QUEUE) & 0xffff_ffff;
    info[2] = sys(libc::SYS_getpid, &[]) | sys(libc::SYS_getuid, &[]) << 32;
    info[3] = value;
    sys(libc::SYS_rt_sigqueueinfo, &[actor.pid(who), signal, address(&mut info)])
}

/// rt_sigtimedwait(2): at once, or until one comes.
fn sigwait(actor: &mut Actor, [set, for_ever, ..]: [i64; 6]) -> i64 {
    // SAFETY: all zero is a siginfo.
    let mut info: siginfo_t = unsafe { std::mem::zeroed() };
    let (mut set, mut zero) = (set, [0_i64; 2]);
    let until = if for_ever == 0 { address(&mut zero) } else { 0 };
    let (set, out) = (address(&mut set), address(&mut info));
    let result = sys(libc::SYS_rt_sigtimedwait, &[set, out, until, 8]);
    if result > 0 {
        actor.more.extend(told(actor.shared, &info));
    }
    result
}

/// read(2) of a signalfd: signal, code, sender, value or status of each.
fn sigread(actor: &mut Actor, [fd, count, ..]: [i64; 6]) -> i64 {
    let mut infos = [[0_u8; 128]; 4];
    let got = sys(libc::SYS_read, &[fd, address(&mut infos), 128 * count.clamp(0, 4)]);
    for info in infos.iter().take((got.max(0) / 128) as usize) {
        let word = |at: usize| {
            i64::from(i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]))
        };
        // ssi_signo, ssi_code, ssi_pid, ssi_fd, ssi_band, ssi_status, ssi_int
        actor.more.extend([word(0), word(8), actor.who(word(12)), word(40), word(44)]);
    }
    got
}

/// What a siginfo says, without what differs from run to run: signal, code, and by the code the
/// sender and its value, the child and its status, or the band and the descriptor.
fn told(shared: &shared::Shared, info: &siginfo_t) -> [i64; 4] {
    // SAFETY: the fields that the code says are there.
    let (pid, value, status) =
        unsafe { (info.si_pid(), info.si_value().sival_ptr as i64, info.si_status()) };
    let (signal, code) = (info.si_signo.into(), info.si_code.into());
    match info.si_code {
        // POLL_IN … POLL_HUP: si_band, si_fd.
        1..=6 if POLL_SIGNALS.contains(&info.si_signo) => [signal, code, pid.into(), status.into()],
        1..=6 => [signal, code, shared.who(pid.into()), status.into()],
        libc::SI_QUEUE => [signal, code, shared.who(pid.into()), value],
        _ => [signal, code, shared.who(pid.into()), 0],
    }
}

/// Signals that programs give to F_SETSIG; no child's end is told by them. (The codes of both are the
/// same.)
const POLL_SIGNALS: [c_int; 3] = [libc::SIGIO, 34, 35];

extern "C" fn plain(signal: c_int) {
    note(&[signal.into()]);
}

extern "C" fn full(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    if let Some(shared) = SHARED.get() {
        // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
        let [signal, code, who, value] = told(shared, unsafe { &*info });
        note(&[signal, code, who, value, mask()]);
    }
}

/// Writes down a delivery; leaves errno as it was.
fn note(words: &[i64]) {
    let saved = guests::sys::errno();
    if let Some(shared) = SHARED.get() {
        let mut record = [SIGNAL, i64::from(shared.now.load(Ordering::SeqCst)), 0, 0, 0, 0, 0];
        record[2..2 + words.len()].copy_from_slice(words);
        shared.slots[me()].log(&record[..2 + words.len()]);
    }
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() = saved };
}
