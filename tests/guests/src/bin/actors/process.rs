//! Calls that make, end, name and await processes and threads. A new one is an actor whose number
//! the program gives. Neighbours: `actor`, `signals`.

use super::actor::{Actor, Call, act, address, sys};
use std::sync::atomic::Ordering;

pub const CALLS: &[(&str, Call)] = &[
    ("fork", fork),
    ("thread", thread),
    ("exit", |_, [code, ..]| sys(libc::SYS_exit_group, &[code])),
    ("thread_exit", |_, [code, ..]| sys(libc::SYS_exit, &[code])),
    ("exec", exec),
    ("wait4", wait4),
    ("waitid", waitid),
    ("getppid", |a, _| a.who(sys(libc::SYS_getppid, &[]))),
    ("getpgid", |a, [who, ..]| a.who(sys(libc::SYS_getpgid, &[a.pid(who)]))),
    ("getsid", |a, [who, ..]| a.who(sys(libc::SYS_getsid, &[a.pid(who)]))),
    ("setpgid", |a, [who, to, ..]| sys(libc::SYS_setpgid, &[a.pid(who), a.pid(to)])),
    ("setsid", |a, _| a.who(sys(libc::SYS_setsid, &[]))),
    ("deathsig", |_, [signal, ..]| {
        sys(libc::SYS_prctl, &[i64::from(libc::PR_SET_PDEATHSIG), signal])
    }),
    ("subreaper", |_, [on, ..]| {
        sys(libc::SYS_prctl, &[i64::from(libc::PR_SET_CHILD_SUBREAPER), on])
    }),
    ("pidfd_open", |a, [who, at, flags, ..]| {
        a.place(sys(libc::SYS_pidfd_open, &[a.pid(who), flags]), at)
    }),
];

/// A process as actor `child`, whose end is told by `signal` (0 for none).
fn fork(actor: &mut Actor, [child, signal, ..]: [i64; 6]) -> i64 {
    let Some(slot) = free_slot(actor, child) else { return -1000 };
    match sys(libc::SYS_clone, &[signal]) {
        0 => {
            // Itself too: its parent may die before it writes this down.
            let new = Actor { shared: actor.shared, slot, more: Vec::new() };
            new.register(sys(libc::SYS_getpid, &[]));
            act(actor.shared, slot)
        }
        pid if pid < 0 => pid,
        pid => {
            actor.shared.slots[slot].tgid.store(pid as u32, Ordering::SeqCst);
            actor.shared.slots[slot].tid.store(pid as u32, Ordering::SeqCst);
            actor.who(pid)
        }
    }
}

fn free_slot(actor: &Actor, slot: i64) -> Option<usize> {
    let slot = usize::try_from(slot - 100).ok()?;
    let free = actor.shared.slots.get(slot)?.tid.load(Ordering::SeqCst) == 0;
    free.then_some(slot)
}

/// A thread as actor `child`.
fn thread(actor: &mut Actor, [child, ..]: [i64; 6]) -> i64 {
    let Some(slot) = free_slot(actor, child) else { return -1000 };
    let shared = actor.shared;
    let body = move || {
        let new = Actor { shared, slot, more: Vec::new() };
        new.register(sys(libc::SYS_gettid, &[]));
        act(shared, slot)
    };
    match std::thread::Builder::new().stack_size(65536).spawn(body) {
        Ok(_) => {
            // Not asleep: nobody would know that the thread runs.
            while shared.slots[slot].tid.load(Ordering::SeqCst) == 0 {
                sys(libc::SYS_sched_yield, &[]);
            }
            0
        }
        Err(_) => -1,
    }
}

/// The same program anew, as the same actor. `finish` is done by the new image.
fn exec(actor: &mut Actor, _: [i64; 6]) -> i64 {
    actor.me().execing.store(1, Ordering::SeqCst);
    let (path, slot) = (c"/proc/self/exe", format!("{}\0", actor.slot));
    let argv = [c"actors".as_ptr(), c"--actor".as_ptr(), slot.as_ptr().cast(), std::ptr::null()];
    let env = [std::ptr::null::<u8>()];
    let (argv, env) = (argv.as_ptr() as i64, env.as_ptr() as i64);
    let result = sys(libc::SYS_execve, &[path.as_ptr() as i64, argv, env]);
    actor.me().execing.store(0, Ordering::SeqCst);
    result
}

/// What a new image finds: its blocked and pending signals, and which it ignores.
pub fn after_exec() -> Vec<i64> {
    let mut found = vec![super::signals::mask(), super::signals::pending()];
    let ignored = |signal: &i64| super::signals::disposition(*signal).0 == libc::SIG_IGN as i64;
    found.extend((1..=64).filter(ignored));
    found
}

/// An exit status in words that fit a number: as the kernel packs it.
fn wait4(actor: &mut Actor, [who, options, ..]: [i64; 6]) -> i64 {
    let mut status = 0_i32;
    let who = if who < -1 { -actor.pid(-who) } else { actor.pid(who) };
    let pid = sys(libc::SYS_wait4, &[who, address(&mut status), options, 0]);
    if pid > 0 {
        actor.more.push(i64::from(status));
    }
    actor.who(pid)
}

fn waitid(actor: &mut Actor, [kind, who, options, ..]: [i64; 6]) -> i64 {
    // SAFETY: all zero is a siginfo.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // For P_PIDFD, a descriptor.
    let who = if kind == 3 { who } else { actor.pid(who) };
    let result = sys(libc::SYS_waitid, &[kind, who, address(&mut info), options, 0]);
    if result == 0 {
        // SAFETY: waitid fills these, or leaves zeros.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        let pid = actor.who(pid.into());
        actor.more.extend([pid, info.si_signo.into(), info.si_code.into(), status.into()]);
    }
    result
}
