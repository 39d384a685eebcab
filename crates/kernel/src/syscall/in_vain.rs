//! Programs that ask again and again: what time it is, whether there is something to read, whether
//! the child is dead. Unlike Linux, where such a loop burns CPU time until the answer changes, here
//! only calls move the clock, and a second of half microseconds is two million calls. So who asks
//! in vain often enough in a row pays more for each call, up to `MOST`: the answer comes after as
//! much virtual time and a thousandth of the calls. It depends on the calls alone (architecture,
//! invariant 6). Neighbours: `enter_syscall` charges, `finish_call` counts.

use crate::abi::Errno;
use crate::syscall::InFlight;
use crate::time::Duration;
use linux_raw_sys::general as raw;

/// How often one may ask in a row for the usual cost.
const FREE: u32 = 256;
/// After so many more calls the surcharge doubles.
const DOUBLES_AFTER: u32 = 32;
/// The first surcharge, in nanoseconds.
const FIRST: u64 = 500;
/// The most that a call costs: what a timer is late anyway on a busy machine.
const MOST: u64 = 100_000;

/// What the next call costs beyond the usual after `asked` calls in vain in a row.
pub fn surcharge(asked: u32) -> Duration {
    let Some(more) = asked.checked_sub(FREE) else { return Duration::ZERO };
    let doublings = (more / DOUBLES_AFTER).min(16);
    Duration::from_nanos((FIRST << doublings).min(MOST))
}

/// Did this call ask for what changes only with time, and learn that it has not changed? A call that
/// slept let time pass and is none.
pub fn is_in_vain(flight: &InFlight, value: u64) -> bool {
    if flight.place != 0 {
        return false;
    }
    if value == Errno::EAGAIN.as_result() {
        return true;
    }
    match flight.nr as u32 {
        raw::__NR_clock_gettime
        | raw::__NR_gettimeofday
        | raw::__NR_time
        | raw::__NR_times
        | raw::__NR_getrusage
        | raw::__NR_getitimer
        | raw::__NR_timer_gettime
        | raw::__NR_timerfd_gettime
        | raw::__NR_sched_yield => true,
        // With nothing to report, or a time-out of zero.
        raw::__NR_poll
        | raw::__NR_ppoll
        | raw::__NR_select
        | raw::__NR_pselect6
        | raw::__NR_epoll_wait
        | raw::__NR_epoll_pwait
        | raw::__NR_epoll_pwait2
        | raw::__NR_wait4
        | raw::__NR_waitid
        | raw::__NR_nanosleep
        | raw::__NR_clock_nanosleep => value == 0,
        // Is it still there?
        raw::__NR_kill | raw::__NR_tkill => flight.args[1] == 0,
        raw::__NR_tgkill => flight.args[2] == 0,
        // Is it there yet?
        raw::__NR_stat
        | raw::__NR_lstat
        | raw::__NR_newfstatat
        | raw::__NR_statx
        | raw::__NR_access
        | raw::__NR_faccessat
        | raw::__NR_faccessat2
        | raw::__NR_open
        | raw::__NR_openat => value == Errno::ENOENT.as_result(),
        // Whatever else there is does something, or tells what does not change by waiting.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    fn call(nr: u32, value: i64) -> bool {
        is_in_vain(&InFlight::new(nr.into(), [7, 0, 0, 0, 0, 0], Instant(0)), value as u64)
    }

    #[test]
    fn what_finds_nothing_is_in_vain_and_what_finds_something_is_not() {
        assert!(call(raw::__NR_clock_gettime, 0) && call(raw::__NR_read, -11));
        assert!(call(raw::__NR_poll, 0) && !call(raw::__NR_poll, 1));
        assert!(call(raw::__NR_wait4, 0) && !call(raw::__NR_wait4, 12));
        assert!(call(raw::__NR_kill, 0) && call(raw::__NR_stat, -2) && !call(raw::__NR_stat, 0));
        assert!(!call(raw::__NR_read, 1) && !call(raw::__NR_write, -32));
        let mut slept = InFlight::new(raw::__NR_poll.into(), [0; 6], Instant(0));
        slept.place = 1;
        assert!(!is_in_vain(&slept, 0));
    }

    #[test]
    fn the_cost_grows_after_some_calls_and_has_an_end() {
        assert_eq!(surcharge(0), Duration::ZERO);
        assert_eq!(surcharge(FREE - 1), Duration::ZERO);
        assert_eq!(surcharge(FREE), Duration::from_nanos(FIRST));
        assert_eq!(surcharge(FREE + DOUBLES_AFTER), Duration::from_nanos(2 * FIRST));
        assert_eq!(surcharge(u32::MAX), Duration::from_nanos(MOST));
    }
}
