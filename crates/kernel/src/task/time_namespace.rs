//! Time namespaces (time_namespaces(7)): what CLOCK_MONOTONIC and CLOCK_BOOTTIME show in one is the
//! host's time and an offset, which /proc/PID/timens_offsets sets until somebody lives there. A task
//! that made one stays where it is; its children are born in it, and it enters by execve(2). Inside
//! the kernel all times are the host's: what a program reads is added to, what it gives is subtracted
//! from. Neighbours: `nsproxy`, `timer/clock`, `fs/procfs/task`.

use crate::abi::Errno;
use crate::kernel::Kernel;
use crate::mm::PAGE_SIZE;
use crate::task::capability::Cap;
use crate::task::timer::clock::Clock;
use crate::task::user_namespace::UserNs;
use crate::task::{Cred, TaskId};

const NSEC_PER_SEC: i64 = 1_000_000_000;
/// KTIME_SEC_MAX: how many seconds 63 bits of nanoseconds hold.
const KTIME_SEC_MAX: i64 = i64::MAX / NSEC_PER_SEC;

/// Names a time namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct TimeNs(u32);

impl TimeNs {
    /// The host's own.
    pub const INIT: TimeNs = TimeNs(0);
}

/// What is added to a clock: whole seconds, and the nanoseconds above them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Offset {
    sec: i64,
    nsec: i64,
}

impl Offset {
    fn nanos(self) -> i64 {
        self.sec.saturating_mul(NSEC_PER_SEC).saturating_add(self.nsec)
    }
}

/// One time namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TimeNamespace {
    monotonic: Offset,
    boottime: Offset,
    /// Somebody lives there: the offsets stay.
    frozen: bool,
    /// The user namespace that it belongs to.
    pub owner: UserNs,
    /// The number of its file.
    pub inum: u32,
}

/// All time namespaces of a host, its own first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeNamespaces(Vec<TimeNamespace>);

impl Default for TimeNamespaces {
    fn default() -> TimeNamespaces {
        TimeNamespaces(vec![TimeNamespace { frozen: true, ..TimeNamespace::default() }])
    }
}

impl TimeNamespaces {
    /// One of them.
    pub fn get(&self, ns: TimeNs) -> &TimeNamespace {
        &self.0[ns.0 as usize]
    }

    fn get_mut(&mut self, ns: TimeNs) -> &mut TimeNamespace {
        &mut self.0[ns.0 as usize]
    }

    /// clone_time_ns(): one with the offsets of another.
    pub(super) fn clone_of(&mut self, old: TimeNs, owner: UserNs, inum: u32) -> TimeNs {
        let new = TimeNamespace { frozen: false, owner, inum, ..*self.get(old) };
        self.0.push(new);
        TimeNs(self.0.len() as u32 - 1)
    }

    /// timens_set_vvar_page(): somebody lives there from now on.
    pub(super) fn freeze(&mut self, ns: TimeNs) {
        self.get_mut(ns).frozen = true;
    }
}

impl Kernel {
    /// timens_on_fork(): a child, or a new program, lives where children are to.
    pub(super) fn timens_on_fork(&mut self, task: TaskId) {
        let proxy = &mut self.tasks[task].nsproxy;
        if proxy.time != proxy.time_for_children {
            proxy.time = proxy.time_for_children;
            let ns = proxy.time;
            self.namespaces.time.freeze(ns);
        }
    }

    /// What `task`'s namespace adds to a clock, in nanoseconds.
    pub(crate) fn timens_offset(&self, task: TaskId, clock: Clock) -> i64 {
        let ns = self.namespaces.time.get(self.tasks[task].nsproxy.time);
        match clock {
            Clock::Monotonic => ns.monotonic.nanos(),
            Clock::Boottime => ns.boottime.nanos(),
            Clock::Realtime | Clock::ProcessCpu(_) | Clock::ThreadCpu(_) => 0,
        }
    }

    /// timens_ktime_to_host(): the host's time for what `task` calls `at`. What lies before the host
    /// was there is over.
    pub(crate) fn timens_to_host(&self, task: TaskId, clock: Clock, at: u64) -> u64 {
        at.saturating_add_signed(self.timens_offset(task, clock).saturating_neg())
    }

    /// Nanoseconds since the host booted, as `task` sees them (timens_add_boottime()).
    pub(crate) fn uptime_seen_by(&self, task: TaskId) -> u64 {
        self.uptime().saturating_add_signed(self.timens_offset(task, Clock::Boottime))
    }

    /// proc_timens_show_offsets(): of where the children of `task` are to live.
    pub(crate) fn timens_offsets_show(&self, task: TaskId) -> String {
        let ns = self.namespaces.time.get(self.tasks[task].nsproxy.time_for_children);
        let line = |name, o: Offset| format!("{name:<10} {:>10} {:>9}\n", o.sec, o.nsec);
        line("monotonic", ns.monotonic) + &line("boottime", ns.boottime)
    }

    /// timens_offsets_write(), by `opener`: at most two lines of a clock, seconds, nanoseconds. EPERM
    /// without CAP_SYS_TIME, ERANGE for clocks below zero or at their end, EACCES once somebody lives
    /// there. How many bytes were taken.
    pub(crate) fn timens_offsets_write(
        &mut self,
        opener: &Cred,
        task: TaskId,
        (pos, bytes): (u64, &[u8]),
    ) -> Result<usize, Errno> {
        if pos != 0 || bytes.len() as u64 >= PAGE_SIZE {
            return Err(Errno::EINVAL);
        }
        let (offsets, taken) = parse(bytes)?;
        let id = self.tasks[task].nsproxy.time_for_children;
        let ns = self.namespaces.time.get(id);
        if !self.namespaces.user.caps_over(opener, ns.owner).has(Cap::SysTime) {
            return Err(Errno::EPERM);
        }
        let now = (self.uptime() / NSEC_PER_SEC as u64) as i64;
        for (_, offset) in &offsets {
            if offset.sec.unsigned_abs() > KTIME_SEC_MAX as u64
                || !(0..=KTIME_SEC_MAX / 2).contains(&(now + offset.sec))
            {
                return Err(Errno::ERANGE);
            }
        }
        if ns.frozen {
            return Err(Errno::EACCES);
        }
        let ns = self.namespaces.time.get_mut(id);
        for (clock, offset) in offsets {
            match clock {
                Which::Monotonic => ns.monotonic = offset,
                Which::Boottime => ns.boottime = offset,
            }
        }
        Ok(taken)
    }
}

/// A clock with an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Monotonic,
    Boottime,
}

/// The lines, up to the second, and how many bytes they are. EINVAL.
fn parse(bytes: &[u8]) -> Result<(Vec<(Which, Offset)>, usize), Errno> {
    let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let (mut offsets, mut at) = (Vec::new(), 0);
    loop {
        let rest = &text[at..];
        let end = rest.find('\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        offsets.push(parse_line(line).ok_or(Errno::EINVAL)?);
        let next = end.map(|end| at + end + 1).filter(|next| *next < text.len());
        match next {
            Some(next) if offsets.len() == 2 => return Ok((offsets, next)),
            Some(next) => at = next,
            None => return Ok((offsets, bytes.len())),
        }
    }
}

fn parse_line(line: &str) -> Option<(Which, Offset)> {
    let mut words = line.split_ascii_whitespace();
    let clock = match words.next()? {
        "monotonic" | "1" => Which::Monotonic,
        "boottime" | "7" => Which::Boottime,
        _ => return None,
    };
    let (sec, nsec) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (0..NSEC_PER_SEC).contains(&nsec).then_some((clock, Offset { sec, nsec }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_clock_and_two_numbers() {
        let mono = |sec, nsec| (Which::Monotonic, Offset { sec, nsec });
        let boot = |sec, nsec| (Which::Boottime, Offset { sec, nsec });
        assert_eq!(parse(b"monotonic 10 5"), Ok((vec![mono(10, 5)], 14)));
        assert_eq!(parse(b"1 -1 0\n7 2 3\n"), Ok((vec![mono(-1, 0), boot(2, 3)], 13)));
        assert_eq!(parse(b"1 1 0\n1 2 0\nrest"), Ok((vec![mono(1, 0), mono(2, 0)], 12)));
        for bad in ["", "realtime 1 0", "1 1", "1 1 1000000000", "1 1 -1", "1 x 0"] {
            assert_eq!(parse(bad.as_bytes()), Err(Errno::EINVAL), "{bad:?}");
        }
    }

    #[test]
    fn a_copy_has_the_offsets_and_may_change_them_until_somebody_lives_there() {
        let mut all = TimeNamespaces::default();
        let first = all.clone_of(TimeNs::INIT, UserNs::INIT, 1);
        all.get_mut(first).monotonic = Offset { sec: -2, nsec: 500_000_000 };
        assert_eq!(all.get(first).monotonic.nanos(), -1_500_000_000);
        all.freeze(first);
        let second = all.clone_of(first, UserNs::INIT, 2);
        assert_eq!(all.get(second).monotonic, all.get(first).monotonic);
        assert!(all.get(first).frozen && !all.get(second).frozen);
    }
}
