//! Tests of anonymous files over the system call table.
//! Man pages: eventfd(2), timerfd_create(2), signalfd(2), pidfd_open(2), memfd_create(2).

use crate::abi::Errno;
use crate::abi::poll::PollBits;
use crate::abi::signal::Signal;
use crate::fs::testing::{Outcome, Tiny, World};
use crate::time::Duration;

const READ: u64 = 0;
const WRITE: u64 = 1;
const BUF: u64 = 0x10_000;

fn poll(w: &World, fd: u64) -> PollBits {
    let file = w.kernel.table(w.task).get(fd as i32).expect("open");
    w.kernel.file_poll(w.task, file)
}

fn pass(w: &mut World, ms: u64) {
    w.kernel.now = w.kernel.now + Duration::from_millis(ms);
    w.kernel.expire();
}

#[test]
fn a_semaphore_gives_out_one_at_a_time_and_a_counter_all() {
    let mut w = World::new(Tiny::default());
    let (sem, all) = (w.sys(290, &[3, 1]).unwrap(), w.sys(290, &[3, 0]).unwrap());
    for (fd, value) in [(sem, 1u64), (all, 3)] {
        assert_eq!(w.sys(READ, &[fd, World::OUT, 8]), Ok(8));
        assert_eq!(w.out(8), value.to_le_bytes());
    }
    w.begin(READ, &[all, World::OUT, 8]).waiting();
    let most = w.put(&(u64::MAX - 1).to_le_bytes());
    assert_eq!(w.sys(WRITE, &[all, most, 8]), Ok(8));
    assert_eq!(poll(&w, all), PollBits::IN);
    let one = w.put(&1u64.to_le_bytes());
    let writer = w.begin(WRITE, &[all, one, 8]).waiting();
    assert_eq!(w.sys(WRITE, &[all, one, 16]), Err(Errno::EINVAL));
    assert_eq!(w.sys(READ, &[all, World::OUT, 8]), Ok(8));
    assert_eq!(w.again(writer), Outcome::Done(Ok(8)));
}

fn itimerspec(w: &mut World, interval_ms: u64, value_ms: u64) -> u64 {
    let half = |ms: u64| [ms / 1000, ms % 1000 * 1_000_000];
    let words = [half(interval_ms), half(value_ms)].concat();
    let bytes: Vec<u8> = words.iter().flat_map(|v| v.to_le_bytes()).collect();
    w.put(&bytes)
}

#[test]
fn a_timerfd_counts_its_expirations() {
    let mut w = World::new(Tiny::default());
    let fd = w.sys(283, &[1, 0]).unwrap();
    let spec = itimerspec(&mut w, 10, 25);
    assert_eq!(w.sys(286, &[fd, 0, spec, 0]), Ok(0));
    let start = w.kernel.now;
    assert_eq!(w.kernel.next_deadline(), Some(start + Duration::from_millis(25)));
    let reader = w.begin(READ, &[fd, World::OUT, 8]).waiting();
    pass(&mut w, 25);
    assert_eq!(poll(&w, fd), PollBits::IN);
    assert_eq!(w.again(reader), Outcome::Done(Ok(8)));
    assert_eq!(w.out(8), 1u64.to_le_bytes());
    pass(&mut w, 34);
    assert_eq!(w.sys(READ, &[fd, World::OUT, 8]), Ok(8));
    assert_eq!(w.out(8), 3u64.to_le_bytes());
    assert_eq!(w.sys(287, &[fd, World::OUT]), Ok(0));
    assert_eq!(w.out(32)[24..], 6_000_000_u64.to_le_bytes());
    let off = itimerspec(&mut w, 0, 0);
    assert_eq!(w.sys(286, &[fd, 0, off, 0]), Ok(0));
    assert_eq!(w.kernel.next_deadline(), None);
    assert_eq!(w.sys(283, &[2, 0]), Err(Errno::EINVAL));
}

#[test]
fn a_signalfd_reads_what_is_pending_and_in_its_mask() {
    let mut w = World::new(Tiny::default());
    let mask = w.put(&(1u64 << 9 | 1 << 11).to_le_bytes());
    w.kernel.tasks[w.task].blocked.add(Signal::SIGUSR1);
    let fd = w.sys(289, &[u64::from(u32::MAX), mask, 8, 0]).unwrap();
    let reader = w.begin(READ, &[fd, World::OUT, 256]).waiting();
    assert_eq!(poll(&w, fd), PollBits::NONE);
    w.kernel.tasks[w.task].pending.push(Signal::SIGUSR1, None);
    assert_eq!(poll(&w, fd), PollBits::IN);
    assert_eq!(w.again(reader), Outcome::Done(Ok(128)));
    assert_eq!(w.out(4), 10u32.to_le_bytes());
    assert_eq!(w.sys(READ, &[fd, World::OUT, 127]), Err(Errno::EINVAL));
}

#[test]
fn a_pidfd_of_the_living_is_silent_and_cannot_be_read() {
    let mut w = World::new(Tiny::default());
    let fd = w.sys(434, &[1, 0]).unwrap();
    assert_eq!(poll(&w, fd), PollBits::NONE);
    assert_eq!(w.sys(READ, &[fd, World::OUT, 8]), Err(Errno::EINVAL));
    assert_eq!(w.sys(8, &[fd, 0, 0]), Err(Errno::ESPIPE));
    assert_eq!(w.sys(434, &[99, 0]), Err(Errno::ESRCH));
    assert_eq!(w.sys(434, &[0, 0]), Err(Errno::EINVAL));
    assert_eq!(w.sys(424, &[fd, 0, 0, 0]), Ok(0));
    assert_eq!(w.sys(424, &[77, 0, 0, 0]), Err(Errno::EBADF));
}

#[test]
fn a_memfd_is_a_regular_file_without_a_name() {
    let mut w = World::new(Tiny::default());
    let name = w.str("x");
    let fd = w.sys(319, &[name, 1]).unwrap();
    assert_eq!(w.sys(WRITE, &[fd, BUF, 100]), Ok(100));
    assert_eq!(w.sys(8, &[fd, 40, 0]), Ok(40));
    assert_eq!(w.sys(READ, &[fd, World::OUT, 100]), Ok(60));
    assert_eq!(w.sys(17, &[fd, World::OUT, 100, 90]), Ok(10));
    assert_eq!(w.sys(77, &[fd, 10]), Ok(0), "ftruncate");
    assert_eq!(w.sys(8, &[fd, 0, 2]), Ok(10));
}
