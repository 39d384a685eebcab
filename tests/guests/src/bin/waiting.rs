//! Waiting for readiness and for time: poll, select, epoll with its triggers, eventfd, timerfd,
//! alarms, sleeps, clocks. See epoll(7), eventfd(2), timerfd_create(2), clock_gettime(2).

use guests::net;
use guests::process::{fork_check, getpid, gettid, until_asleep, wait_ok};
use guests::signal::{self, alarm_every, handle};
use guests::sys::{
    Fd, Sys, close, dup, epoll, epoll_ctl, epoll_wait, fcntl, monotonic, pipe, poll_one, read,
    small, write,
};
use guests::{Check, ensure, fails, same};
use libc::{EAGAIN, EBADF, EEXIST, EINVAL, ELOOP, ENOENT, EPERM, EPOLL_CTL_ADD, EPOLL_CTL_DEL};
use libc::{EPOLL_CTL_MOD, POLLHUP, POLLIN, POLLNVAL, POLLOUT, SIGALRM, SIGPROF, c_int, timespec};

guests::cases! {
    poll_reports_each_descriptor,
    poll_waits_as_long_as_it_says,
    poll_ignores_negative_descriptors,
    select_marks_what_is_ready,
    select_refuses_closed_descriptors,
    select_ignores_numbers_beyond_the_table,
    epoll_level_repeats_and_edge_does_not,
    epoll_edge_comes_again_with_new_data,
    epoll_oneshot_waits_for_rearming,
    epoll_reports_in_the_order_of_readiness,
    epoll_control_checks_its_arguments,
    epoll_nests_and_refuses_loops,
    epoll_changes_wake_the_waiter,
    epoll_exclusive_has_rules,
    eventfd_adds_and_resets,
    eventfd_as_semaphore_counts_down,
    timerfd_counts_expirations,
    timerfd_is_waited_for,
    alarm_comes_once_and_tells_the_rest,
    interval_timer_repeats,
    posix_timer_sends_its_signal,
    cpu_timers_signal_the_thread_that_used_the_time,
    each_posix_timer_has_a_record_of_its_own,
    nanosleep_sleeps,
    absolute_sleep_in_the_past_returns_at_once,
    monotonic_clock_grows,
    bad_clock_arguments_are_refused,
}

const IN: u32 = libc::EPOLLIN as u32;

fn item(fd: Fd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: -1 }
}

/// poll(2).
fn poll_reports_each_descriptor() -> Check {
    let (reader, writer) = pipe()?;
    let (other, gone) = pipe()?;
    close(gone)?;
    write(writer, b"x")?;
    let mut items =
        [item(reader, POLLIN), item(writer, POLLOUT), item(other, 0), item(999, POLLIN)];
    // SAFETY: four items.
    same!(small("poll", unsafe { libc::poll(items.as_mut_ptr(), 4, -1) })?, 4, "how many");
    let bits = items.map(|item| item.revents);
    same!(bits, [POLLIN, POLLOUT, POLLHUP, POLLNVAL], "the bits");
    Ok(())
}

/// poll(2).
fn poll_waits_as_long_as_it_says() -> Check {
    let (reader, _writer) = pipe()?;
    let since = monotonic();
    same!(poll_one(reader, POLLIN, 25)?, 0, "bits");
    ensure!(monotonic() - since >= 25_000_000, "it waited too short");
    Ok(())
}

/// poll(2).
fn poll_ignores_negative_descriptors() -> Check {
    let mut items = [item(-1, POLLIN)];
    // SAFETY: one item.
    same!(small("poll", unsafe { libc::poll(items.as_mut_ptr(), 1, 0) })?, 0, "how many");
    same!(items[0].revents, 0, "the bits");
    Ok(())
}

/// select(2) on a reading set, with a timeout in ms.
fn select(fds: &[Fd], timeout: i64) -> Sys<(i32, Vec<Fd>)> {
    let highest = fds.iter().max().map_or(0, |fd| fd + 1);
    let null = std::ptr::null_mut;
    // SAFETY: a valid set and timeout.
    unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        for fd in fds {
            libc::FD_SET(*fd, &mut set);
        }
        let mut limit = libc::timeval { tv_sec: 0, tv_usec: timeout * 1000 };
        let ready = libc::select(highest, &mut set, null(), null(), &mut limit);
        let ready = small("select", ready)?;
        Ok((ready, fds.iter().copied().filter(|fd| libc::FD_ISSET(*fd, &set)).collect()))
    }
}

/// select(2).
fn select_marks_what_is_ready() -> Check {
    let ((quiet, _a), (loud, writer)) = (pipe()?, pipe()?);
    let high = fcntl(loud, libc::F_DUPFD, 500)?;
    write(writer, b"x")?;
    same!(select(&[quiet, loud, high], 20_000)?, (2, vec![loud, high]), "count and set");
    same!(select(&[quiet], 10)?, (0, vec![]), "after the timeout");
    Ok(())
}

/// select(2).
fn select_refuses_closed_descriptors() -> Check {
    let fd = dup(0)?;
    close(fd)?;
    fails!(select(&[fd], 0), EBADF);
    Ok(())
}

/// select(2), BUGS: numbers from max_fds on are not looked at, and their bits stay. A table has room
/// for 64 at first and doubles.
fn select_ignores_numbers_beyond_the_table() -> Check {
    same!(select(&[999], 0)?, (0, vec![999]), "count and set");
    fcntl(0, libc::F_DUPFD, 1000)?;
    fails!(select(&[999], 0), EBADF);
    Ok(())
}

/// epoll(7).
fn epoll_level_repeats_and_edge_does_not() -> Check {
    let (reader, writer) = pipe()?;
    let (level, edge) = (epoll()?, epoll()?);
    epoll_ctl(level, EPOLL_CTL_ADD, reader, IN, 1)?;
    epoll_ctl(edge, EPOLL_CTL_ADD, reader, IN | libc::EPOLLET as u32, 2)?;
    write(writer, b"xy")?;
    for _ in 0..2 {
        same!(epoll_wait(level, 4, 0)?, vec![(IN, 1)], "level");
    }
    same!(epoll_wait(edge, 4, 0)?, vec![(IN, 2)], "edge");
    same!(epoll_wait(edge, 4, 0)?, vec![], "edge again");
    read(reader, 8)?;
    same!(epoll_wait(level, 4, 0)?, vec![], "level when drained");
    Ok(())
}

/// epoll(7).
fn epoll_edge_comes_again_with_new_data() -> Check {
    let (near, far) = net::pair(libc::SOCK_STREAM)?;
    let epoll = epoll()?;
    let both = IN | libc::EPOLLOUT as u32;
    epoll_ctl(epoll, EPOLL_CTL_ADD, near, both | libc::EPOLLET as u32, 1)?;
    same!(epoll_wait(epoll, 4, 0)?, vec![(libc::EPOLLOUT as u32, 1)], "at first");
    same!(epoll_wait(epoll, 4, 0)?, vec![], "at once again");
    write(far, b"x")?;
    same!(epoll_wait(epoll, 4, 0)?, vec![(both, 1)], "with data");
    write(far, b"y")?;
    same!(epoll_wait(epoll, 4, 0)?, vec![(both, 1)], "with more data, undrained");
    Ok(())
}

/// epoll_ctl(2).
fn epoll_oneshot_waits_for_rearming() -> Check {
    let (reader, writer) = pipe()?;
    let epoll = epoll()?;
    let once = IN | libc::EPOLLONESHOT as u32;
    epoll_ctl(epoll, EPOLL_CTL_ADD, reader, once, 1)?;
    write(writer, b"x")?;
    same!(epoll_wait(epoll, 4, 0)?, vec![(IN, 1)], "the first time");
    write(writer, b"y")?;
    same!(epoll_wait(epoll, 4, 0)?, vec![], "disarmed");
    epoll_ctl(epoll, EPOLL_CTL_MOD, reader, once, 2)?;
    same!(epoll_wait(epoll, 4, 0)?, vec![(IN, 2)], "rearmed");
    Ok(())
}

/// epoll(7), F-12.
fn epoll_reports_in_the_order_of_readiness() -> Check {
    let epoll = epoll()?;
    let mut writers = vec![];
    for number in 0..4 {
        let (reader, writer) = pipe()?;
        epoll_ctl(epoll, EPOLL_CTL_ADD, reader, IN, number)?;
        writers.push(writer);
    }
    for number in [2, 0, 3, 1] {
        write(writers[number], b"x")?;
    }
    let order =
        |most| epoll_wait(epoll, most, 0).map(|it| it.iter().map(|e| e.1).collect::<Vec<_>>());
    same!(order(2)?, vec![2, 0], "the first two");
    same!(order(2)?, vec![3, 1], "the next two: what was reported goes to the end");
    same!(order(4)?, vec![2, 0, 3, 1], "all");
    Ok(())
}

/// epoll_ctl(2).
fn epoll_control_checks_its_arguments() -> Check {
    let (reader, _writer) = pipe()?;
    let epoll = epoll()?;
    epoll_ctl(epoll, EPOLL_CTL_ADD, reader, IN, 0)?;
    fails!(epoll_ctl(epoll, EPOLL_CTL_ADD, reader, IN, 0), EEXIST);
    epoll_ctl(epoll, EPOLL_CTL_ADD, dup(reader)?, IN, 0)?;
    epoll_ctl(epoll, EPOLL_CTL_DEL, reader, 0, 0)?;
    fails!(epoll_ctl(epoll, EPOLL_CTL_DEL, reader, 0, 0), ENOENT);
    fails!(epoll_ctl(epoll, EPOLL_CTL_MOD, reader, IN, 0), ENOENT);
    fails!(epoll_ctl(epoll, EPOLL_CTL_ADD, 999, IN, 0), EBADF);
    fails!(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, IN, 0), EINVAL);
    fails!(epoll_ctl(reader, EPOLL_CTL_ADD, epoll, IN, 0), EINVAL);
    let file = guests::sys::open(std::path::Path::new("/proc/self/exe"), libc::O_RDONLY, 0)?;
    fails!(epoll_ctl(epoll, EPOLL_CTL_ADD, file, IN, 0), EPERM);
    fails!(epoll_wait(epoll, 0, 0), EINVAL);
    Ok(())
}

/// epoll(7).
fn epoll_nests_and_refuses_loops() -> Check {
    let (reader, writer) = pipe()?;
    let (inner, outer) = (epoll()?, epoll()?);
    epoll_ctl(inner, EPOLL_CTL_ADD, reader, IN, 1)?;
    epoll_ctl(outer, EPOLL_CTL_ADD, inner, IN, 2)?;
    fails!(epoll_ctl(inner, EPOLL_CTL_ADD, outer, IN, 3), ELOOP);
    same!(poll_one(outer, POLLIN, 0)?, 0, "poll bits");
    write(writer, b"x")?;
    same!(epoll_wait(outer, 4, -1)?, vec![(IN, 2)], "the outer one");
    same!(poll_one(outer, POLLIN, 0)?, POLLIN, "poll bits");
    Ok(())
}

/// epoll_wait(2): an item added meanwhile wakes.
fn epoll_changes_wake_the_waiter() -> Check {
    let (reader, writer) = pipe()?;
    write(writer, b"x")?;
    let epoll = epoll()?;
    let waiter = std::thread::spawn(move || epoll_wait(epoll, 4, -1));
    epoll_ctl(epoll, EPOLL_CTL_ADD, reader, IN, 9)?;
    let events = waiter.join().map_err(|_| "the thread panicked")??;
    same!(events, vec![(IN, 9)], "events");
    Ok(())
}

/// epoll_ctl(2): what may not go with EPOLLEXCLUSIVE.
fn epoll_exclusive_has_rules() -> Check {
    let (reader, writer) = pipe()?;
    let epoll = epoll()?;
    let exclusive = IN | libc::EPOLLEXCLUSIVE as u32;
    fails!(
        epoll_ctl(epoll, EPOLL_CTL_ADD, reader, exclusive | libc::EPOLLONESHOT as u32, 0),
        EINVAL
    );
    epoll_ctl(epoll, EPOLL_CTL_ADD, reader, exclusive, 3)?;
    fails!(epoll_ctl(epoll, EPOLL_CTL_MOD, reader, exclusive, 0), EINVAL);
    write(writer, b"x")?;
    same!(epoll_wait(epoll, 4, -1)?, vec![(IN, 3)], "events");
    Ok(())
}

fn eventfd(initial: u32, flags: c_int) -> Sys<Fd> {
    // SAFETY: no memory is involved.
    small("eventfd", unsafe { libc::eventfd(initial, flags | libc::EFD_NONBLOCK) })
}

/// eventfd(2).
fn eventfd_adds_and_resets() -> Check {
    let fd = eventfd(3, 0)?;
    write(fd, &4_u64.to_ne_bytes())?;
    same!(poll_one(fd, POLLIN | POLLOUT, 0)?, POLLIN | POLLOUT, "poll bits");
    same!(read(fd, 8)?, 7_u64.to_ne_bytes(), "the sum");
    fails!(read(fd, 8), EAGAIN);
    fails!(read(fd, 4), EINVAL);
    fails!(write(fd, &u64::MAX.to_ne_bytes()), EINVAL);
    write(fd, &(u64::MAX - 1).to_ne_bytes())?;
    fails!(write(fd, &1_u64.to_ne_bytes()), EAGAIN);
    same!(poll_one(fd, POLLIN | POLLOUT, 0)?, POLLIN, "poll bits when full");
    Ok(())
}

/// eventfd(2).
fn eventfd_as_semaphore_counts_down() -> Check {
    let fd = eventfd(2, libc::EFD_SEMAPHORE)?;
    for _ in 0..2 {
        same!(read(fd, 8)?, 1_u64.to_ne_bytes(), "read");
    }
    fails!(read(fd, 8), EAGAIN);
    Ok(())
}

fn timerfd(first: i64, interval: i64) -> Sys<Fd> {
    let time = |micros: i64| timespec { tv_sec: 0, tv_nsec: micros * 1000 };
    let value = libc::itimerspec { it_value: time(first), it_interval: time(interval) };
    // SAFETY: a valid struct.
    unsafe {
        let fd = small("timerfd_create", libc::timerfd_create(libc::CLOCK_MONOTONIC, 0))?;
        small("timerfd_settime", libc::timerfd_settime(fd, 0, &value, std::ptr::null_mut()))?;
        Ok(fd)
    }
}

/// timerfd_create(2).
fn timerfd_counts_expirations() -> Check {
    let fd = timerfd(1000, 1000)?;
    let since = monotonic();
    while monotonic() - since < 5_000_000 {
        poll_one(0, 0, 1)?;
    }
    let bytes = read(fd, 8)?;
    let count = u64::from_ne_bytes(bytes.try_into().map_err(|_| "a short read")?);
    ensure!(count >= 4, "{count} expirations in more than 5 ms");
    Ok(())
}

/// timerfd_create(2).
fn timerfd_is_waited_for() -> Check {
    let fd = timerfd(20_000, 0)?;
    same!(poll_one(fd, POLLIN, 0)?, 0, "poll bits at first");
    same!(poll_one(fd, POLLIN, -1)?, POLLIN, "poll bits then");
    same!(read(fd, 8)?, 1_u64.to_ne_bytes(), "read");
    fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK)?;
    fails!(read(fd, 8), EAGAIN);
    Ok(())
}

/// alarm(2).
fn alarm_comes_once_and_tells_the_rest() -> Check {
    handle(SIGALRM, 0)?;
    // SAFETY: no memory is involved.
    unsafe {
        same!(libc::alarm(100), 0, "the rest of none");
        let rest = libc::alarm(1);
        ensure!((99..=100).contains(&rest), "the rest of 100 s is {rest}");
        libc::pause();
        same!(libc::alarm(0), 0, "the rest of one that came");
    }
    same!(signal::logged_signals(), vec![SIGALRM], "signals");
    Ok(())
}

/// setitimer(2).
fn interval_timer_repeats() -> Check {
    let (reader, writer) = pipe()?;
    signal::tell(writer);
    handle(SIGALRM, libc::SA_RESTART)?;
    alarm_every(2000)?;
    let since = monotonic();
    for _ in 0..3 {
        same!(read(reader, 1)?, [SIGALRM as u8], "the signal");
    }
    alarm_every(0)?;
    ensure!(monotonic() - since >= 6_000_000, "three came within 6 ms");
    Ok(())
}

/// timer_create(2), S-47.
fn posix_timer_sends_its_signal() -> Check {
    signal::block(&[libc::SIGUSR1])?;
    let time = timespec { tv_sec: 0, tv_nsec: 2_000_000 };
    let none = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: valid structs.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGUSR1;
        let mut timer: libc::timer_t = std::mem::zeroed();
        small("timer_create", libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer))?;
        let value = libc::itimerspec { it_value: time, it_interval: none };
        small("timer_settime", libc::timer_settime(timer, 0, &value, std::ptr::null_mut()))?;
    }
    let expected = (libc::SIGUSR1, libc::SI_TIMER);
    same!(signal::timed_wait(&[libc::SIGUSR1], 20_000)?, expected, "signal and code");
    Ok(())
}

/// timer_create(2): a standard signal of two timers is pending twice.
fn each_posix_timer_has_a_record_of_its_own() -> Check {
    signal::block(&[libc::SIGUSR1])?;
    let start = || {
        let time = timespec { tv_sec: 0, tv_nsec: 1 };
        let none = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: valid structs.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGUSR1;
            let mut timer: libc::timer_t = std::mem::zeroed();
            small(
                "timer_create",
                libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer),
            )?;
            let value = libc::itimerspec { it_value: time, it_interval: none };
            small("timer_settime", libc::timer_settime(timer, 0, &value, std::ptr::null_mut()))?;
            Ok::<libc::timer_t, String>(timer)
        }
    };
    let taken = || signal::timed_wait(&[libc::SIGUSR1], 0);
    let (_one, _other) = (start()?, start()?);
    absolute_sleep(monotonic() + 5_000_000);
    let expected = (libc::SIGUSR1, libc::SI_TIMER);
    same!((taken()?, taken()?), (expected, expected), "the signals of both");
    fails!(taken(), EAGAIN);
    Ok(())
}

/// setitimer(2), timer_create(2): the signal is the process's, its first candidate the thread that
/// has the CPU, not the one that sleeps (Linux 6.3).
fn cpu_timers_signal_the_thread_that_used_the_time() -> Check {
    handle(SIGPROF, 0)?;
    let worker = std::thread::spawn(|| {
        // Who is to join is asleep before any time is counted.
        until_asleep(getpid(), getpid())?;
        let every = libc::timeval { tv_sec: 0, tv_usec: 1000 };
        let value = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: a valid struct.
        unsafe { libc::setitimer(libc::ITIMER_PROF, &value, std::ptr::null_mut()) };
        while signal::logged().len() < 5 {
            // SAFETY: no memory is involved.
            unsafe { libc::getppid() };
        }
        Ok::<i32, String>(gettid())
    });
    let worker = worker.join().map_err(|_| "the thread panicked")??;
    let off = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 0 },
    };
    // SAFETY: a valid struct.
    unsafe { libc::setitimer(libc::ITIMER_PROF, &off, std::ptr::null_mut()) };
    let first: Vec<i32> = signal::logged().iter().take(5).map(|it| it.tid).collect();
    same!(first, [worker; 5], "who got the signals");
    Ok(())
}

/// nanosleep(2).
fn nanosleep_sleeps() -> Check {
    let since = monotonic();
    let time = timespec { tv_sec: 0, tv_nsec: 15_000_000 };
    // SAFETY: valid structs.
    small("nanosleep", unsafe { libc::nanosleep(&time, std::ptr::null_mut()) })?;
    ensure!(monotonic() - since >= 15_000_000, "it slept too short");
    let bad = timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    // SAFETY: valid structs.
    fails!(small("nanosleep", unsafe { libc::nanosleep(&bad, std::ptr::null_mut()) }), EINVAL);
    Ok(())
}

/// clock_nanosleep(2) until then on the monotonic clock; its error number.
fn absolute_sleep(nanos: u64) -> i32 {
    let time = timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    };
    let null = std::ptr::null_mut();
    // SAFETY: valid structs.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, null) }
}

/// clock_nanosleep(2).
fn absolute_sleep_in_the_past_returns_at_once() -> Check {
    let now = monotonic();
    same!(absolute_sleep(now - 1000), 0, "in the past");
    same!(absolute_sleep(now + 10_000_000), 0, "in the future");
    ensure!(monotonic() >= now + 10_000_000, "it woke too early");
    Ok(())
}

/// clock_gettime(2).
fn monotonic_clock_grows() -> Check {
    let mut last = monotonic();
    for _ in 0..1000 {
        let now = monotonic();
        ensure!(now >= last, "{now} after {last}");
        last = now;
    }
    let child = fork_check(move || {
        ensure!(monotonic() >= last, "the child's clock is behind");
        Ok(())
    })?;
    wait_ok(child)
}

/// clock_gettime(2), timerfd_create(2).
fn bad_clock_arguments_are_refused() -> Check {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: valid structs.
    unsafe {
        fails!(small("clock_gettime", libc::clock_gettime(99, &mut time)), EINVAL);
        fails!(small("timerfd_create", libc::timerfd_create(99, 0)), EINVAL);
        small("clock_getres", libc::clock_getres(libc::CLOCK_REALTIME, &mut time))?;
    }
    Ok(())
}
