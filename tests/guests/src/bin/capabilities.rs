//! Capabilities one by one: dropping and inheriting them, what changes of users take, the bounding
//! and the ambient set, securebits, and what each allows. See capabilities(7), capget(2), prctl(2),
//! execve(2). Who has none passes where it has to be root.

use guests::process::{fork_check, wait_ok};
use guests::sys::{Sys, raw, small};
use guests::{Check, fails, same};
use libc::{EACCES, EINVAL, EPERM};

guests::cases! {
    capabilities_are_dropped_one_by_one,
    the_bounding_set_only_shrinks,
    users_take_capabilities_with_them_or_not,
    ambient_capabilities_need_two_others,
    securebits_are_root_s_to_set,
    what_is_dropped_is_denied,
    a_deadline_is_told_again,
}

const CHOWN: u32 = 0;
const DAC_OVERRIDE: u32 = 1;
const SETPCAP: u32 = 8;
const NET_RAW: u32 = 13;
const SYS_ADMIN: u32 = 21;
const PR_CAPBSET_READ: i64 = 23;
const PR_CAPBSET_DROP: i64 = 24;
const PR_GET_SECUREBITS: i64 = 27;
const PR_SET_SECUREBITS: i64 = 28;
const PR_SET_KEEPCAPS: i64 = 8;
const PR_CAP_AMBIENT: i64 = 47;

fn prctl(option: i64, a: i64, b: i64) -> Sys<i64> {
    raw("prctl", libc::SYS_prctl, [option, a, b, 0, 0, 0])
}

/// Effective, permitted, inheritable.
type Sets = [u64; 3];

fn capget() -> Sys<Sets> {
    let header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    let args = [header.as_ptr() as i64, data.as_mut_ptr() as i64, 0, 0, 0, 0];
    raw("capget", libc::SYS_capget, args)?;
    Ok([0, 1, 2].map(|i| u64::from(data[i]) | u64::from(data[i + 3]) << 32))
}

fn capset(sets: Sets) -> Sys<()> {
    let header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    for (i, set) in sets.iter().enumerate() {
        (data[i], data[i + 3]) = (*set as u32, (*set >> 32) as u32);
    }
    let args = [header.as_ptr() as i64, data.as_ptr() as i64, 0, 0, 0, 0];
    raw("capset", libc::SYS_capset, args).map(|_| ())
}

const fn one(cap: u32) -> u64 {
    1 << cap
}

/// Runs a check in a child that has all of these in effect; not at all where we have them not.
fn with(caps: &[u32], body: impl FnOnce() -> Check) -> Check {
    let [effective, permitted, _] = capget()?;
    let wanted = caps.iter().fold(0, |set, cap| set | one(*cap));
    if effective & permitted & wanted != wanted {
        return Ok(());
    }
    wait_ok(fork_check(body)?)
}

/// capset(2).
fn capabilities_are_dropped_one_by_one() -> Check {
    let [_, mine, _] = capget()?;
    if mine == 0 {
        fails!(capset([0, one(NET_RAW), 0]), EPERM);
        fails!(capset([one(NET_RAW), 0, 0]), EPERM);
    }
    with(&[SETPCAP, NET_RAW, CHOWN], || {
        let two = one(NET_RAW) | one(CHOWN);
        capset([one(CHOWN), two, one(NET_RAW)])?;
        same!(capget()?, [one(CHOWN), two, one(NET_RAW)], "what is left");
        fails!(capset([two | one(SETPCAP), two, 0]), EPERM);
        fails!(capset([0, two | one(SETPCAP), 0]), EPERM);
        // Without CAP_SETPCAP only what is permitted can be made inheritable.
        fails!(capset([0, two, one(SETPCAP)]), EPERM);
        capset([two, two, one(NET_RAW)])?;
        capset([0, one(CHOWN), 0])?;
        fails!(capset([0, two, 0]), EPERM);
        Ok(())
    })
}

/// prctl(2), PR_CAPBSET_DROP.
fn the_bounding_set_only_shrinks() -> Check {
    fails!(prctl(PR_CAPBSET_READ, 64, 0), EINVAL);
    with(&[SETPCAP, NET_RAW], || {
        same!(prctl(PR_CAPBSET_READ, NET_RAW.into(), 0)?, 1, "before");
        same!(prctl(PR_CAPBSET_DROP, NET_RAW.into(), 0)?, 0, "dropping");
        same!(prctl(PR_CAPBSET_READ, NET_RAW.into(), 0)?, 0, "after");
        fails!(prctl(PR_CAPBSET_DROP, 64, 0), EINVAL);
        let [effective, permitted, inheritable] = capget()?;
        same!(permitted & one(NET_RAW), one(NET_RAW), "what is had already");
        fails!(capset([effective, permitted, inheritable | one(NET_RAW)]), EPERM);
        capset([effective & !one(SETPCAP), permitted, 0])?;
        fails!(prctl(PR_CAPBSET_DROP, CHOWN.into(), 0), EPERM);
        Ok(())
    })
}

fn setresuid(real: i64, effective: i64, saved: i64) -> Sys<i64> {
    raw("setresuid", libc::SYS_setresuid, [real, effective, saved, 0, 0, 0])
}

/// capabilities(7), "Effect of user ID changes on capabilities".
fn users_take_capabilities_with_them_or_not() -> Check {
    // SAFETY: no memory is involved.
    if unsafe { libc::getuid() } != 0 {
        return Ok(());
    }
    with(&[SETPCAP, NET_RAW, 7], || {
        let some = one(SETPCAP) | one(NET_RAW) | one(7) | one(CHOWN);
        let [_, permitted, _] = capget()?;
        let some = some & permitted;
        capset([some, some, 0])?;
        setresuid(-1, 65534, -1)?;
        same!(capget()?, [0, some, 0], "away for now");
        setresuid(-1, 0, -1)?;
        same!(capget()?, [some, some, 0], "back");
        // Those about files follow the file system's user.
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(libc::SYS_setfsuid, 65534) };
        same!(capget()?[0], some & !one(CHOWN), "with another fsuid");
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(libc::SYS_setfsuid, 0) };
        same!(capget()?[0], some, "with fsuid 0 again");
        same!(prctl(PR_SET_KEEPCAPS, 1, 0)?, 0, "keeping");
        setresuid(65534, 65534, 65534)?;
        same!(capget()?, [0, some, 0], "kept");
        capset([some, some, 0])?;
        same!(capget()?, [some, some, 0], "in effect again");
        Ok(())
    })
}

/// capabilities(7), "Ambient".
fn ambient_capabilities_need_two_others() -> Check {
    let raise = |cap: u32| prctl(PR_CAP_AMBIENT, 2, cap.into());
    let is_set = |cap: u32| prctl(PR_CAP_AMBIENT, 1, cap.into());
    fails!(raise(64), EINVAL);
    fails!(prctl(PR_CAP_AMBIENT, 9, 0), EINVAL);
    fails!(prctl(PR_CAP_AMBIENT, 4, 1), EINVAL);
    same!(is_set(NET_RAW)?, 0, "at first");
    with(&[SETPCAP, NET_RAW], || {
        let [effective, permitted, _] = capget()?;
        capset([effective, permitted, 0])?;
        fails!(raise(NET_RAW), EPERM);
        capset([effective, permitted, one(NET_RAW)])?;
        same!(raise(NET_RAW)?, 0, "raising");
        same!(is_set(NET_RAW)?, 1, "raised");
        capset([effective, permitted, 0])?;
        same!(is_set(NET_RAW)?, 0, "not inheritable any more");
        Ok(())
    })
}

/// capabilities(7), "The securebits flags".
fn securebits_are_root_s_to_set() -> Check {
    let [effective, ..] = capget()?;
    let bits = prctl(PR_GET_SECUREBITS, 0, 0)?;
    if effective & one(SETPCAP) == 0 {
        fails!(prctl(PR_SET_SECUREBITS, bits ^ 1, 0), EPERM);
    }
    with(&[SETPCAP], || {
        same!(prctl(PR_SET_SECUREBITS, bits | 1 << 6 | 1 << 7, 0)?, 0, "setting and locking");
        same!(prctl(PR_GET_SECUREBITS, 0, 0)?, bits | 1 << 6 | 1 << 7, "what is set");
        fails!(prctl(PR_SET_SECUREBITS, bits, 0), EPERM);
        fails!(prctl(PR_SET_SECUREBITS, 1 << 20, 0), EPERM);
        Ok(())
    })
}

/// capabilities(7), "Capabilities list".
fn what_is_dropped_is_denied() -> Check {
    let place = guests::sys::scratch()?;
    let done = with(&[DAC_OVERRIDE, SYS_ADMIN, 7, 6, 5], || {
        // SAFETY: no memory is involved.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(());
        }
        // The way to it may be closed to who has no capability.
        std::env::set_current_dir(&place).map_err(|error| error.to_string())?;
        capset([0, 0, 0])?;
        fails!(setresuid(65534, 65534, 65534), EPERM);
        fails!(raw("setgroups", libc::SYS_setgroups, [0; 6]), EPERM);
        // SAFETY: one byte.
        let named = small("sethostname", unsafe { libc::sethostname(c"x".as_ptr(), 1) });
        fails!(named, EPERM);
        // SAFETY: a path.
        let rooted = small("chroot", unsafe { libc::chroot(c"/".as_ptr()) });
        fails!(rooted, EPERM);
        let path = std::path::PathBuf::from("nobody's");
        std::fs::write(&path, "text").map_err(|error| error.to_string())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o0);
        std::fs::set_permissions(&path, mode).map_err(|error| error.to_string())?;
        let opened = guests::sys::open(&path, libc::O_RDONLY, 0);
        let removed = std::fs::remove_file(&path).map_err(|error| error.to_string());
        fails!(opened, EACCES);
        removed
    });
    let _ = std::fs::remove_dir_all(&place);
    done
}

/// sched_setattr(2), SCHED_DEADLINE.
fn a_deadline_is_told_again() -> Check {
    const SYS_NICE: u32 = 23;
    let set = |attr: &[u64; 6]| {
        raw("sched_setattr", libc::SYS_sched_setattr, [0, attr.as_ptr() as i64, 0, 0, 0, 0])
    };
    // Size and policy, flags, nice and priority, runtime, deadline, period.
    let attr =
        |runtime: u64, deadline: u64, period: u64| [48 | 6 << 32, 0, 0, runtime, deadline, period];
    let [effective, ..] = capget()?;
    fails!(set(&attr(20_000_000, 10_000_000, 10_000_000)), EINVAL);
    if effective & one(SYS_NICE) == 0 {
        fails!(set(&attr(1_000_000, 10_000_000, 0)), EPERM);
    }
    with(&[SYS_NICE], || {
        match set(&attr(1_000_000, 10_000_000, 0)) {
            // Where its CPUs or its group do not let it.
            Err(failed) if [EPERM, libc::EBUSY].contains(&failed.errno) => return Ok(()),
            done => same!(done?, 0, "setting"),
        }
        let mut told = [0u64; 6];
        let args = [0, told.as_mut_ptr() as i64, 48, 0, 0, 0];
        raw("sched_getattr", libc::SYS_sched_getattr, args)?;
        same!(told[3..], [1_000_000, 10_000_000, 10_000_000], "what is told");
        fails!(guests::process::fork(|| 0), libc::EAGAIN);
        Ok(())
    })
}
