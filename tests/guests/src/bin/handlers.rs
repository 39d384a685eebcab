//! Running handlers: masks, SA_ flags, interrupted and restarted calls, temporary masks, waiting for
//! signals, alternate stacks. Rules S-32 … S-38, S-48, S-49 of docs/linux-semantics.md.

use guests::process::{fork_check, getpid, gettid, kill, wait, wait_ok};
use guests::signal::{self, alarm_every, handle, handle_with, logged_signals, set};
use guests::sys::{self, epoll, epoll_ctl, pipe, poll_one, raw, read, small, write};
use guests::{Check, ensure, fails, net, same};
use libc::{EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, SIGALRM, SIGKILL, SIGSTOP, SIGUSR1, SIGUSR2};
use libc::{SA_NODEFER, SA_RESETHAND, SA_RESTART, c_int, c_void, siginfo_t, timespec};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

guests::cases! {
    kill_and_stop_cannot_be_blocked,
    handler_blocks_its_own_signal_and_its_mask,
    nodefer_leaves_its_own_signal_open,
    resethand_resets_on_entry,
    read_is_interrupted_without_restart,
    read_is_restarted_with_restart,
    wait_is_restarted_with_restart,
    nanosleep_is_never_restarted_and_gives_the_rest,
    poll_and_select_are_never_restarted,
    epoll_wait_is_never_restarted,
    pause_is_never_restarted,
    receive_with_a_timeout_is_never_restarted,
    ignored_signal_wakes_nobody,
    sigsuspend_restores_the_old_mask_after_the_handler,
    ppoll_opens_its_mask_only_while_it_waits,
    epoll_pwait_opens_its_mask_only_while_it_waits,
    pselect_without_a_signal_restores_the_mask,
    sigtimedwait_takes_a_signal_that_would_kill,
    sigtimedwait_takes_the_private_one_and_the_lowest_first,
    sigtimedwait_says_what_is_wrong,
    sigtimedwait_is_interrupted_by_another_handler,
    signalfd_reads_what_is_blocked,
    kill_and_stop_have_no_handlers,
    unknown_flags_are_cleared_on_store,
    sigsetsize_must_be_eight,
    handler_without_restorer_faults,
    handler_runs_on_the_alternate_stack,
    alternate_stack_in_use_cannot_be_changed,
    bad_alternate_stacks_are_refused,
    autodisarm_disables_and_return_restores,
    overflow_of_the_stack_is_caught_on_the_alternate_one,
}

/// S-32.
fn kill_and_stop_cannot_be_blocked() -> Check {
    signal::block_all()?;
    let mask = signal::mask();
    ensure!(!mask.contains(&SIGKILL) && !mask.contains(&SIGSTOP), "the mask has KILL or STOP");
    ensure!(mask.contains(&1) && mask.contains(&64), "the mask lacks others: {mask:?}");
    Ok(())
}

static MASK: AtomicU64 = AtomicU64::new(0);

extern "C" fn note_mask(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    let bits = signal::mask().iter().fold(0_u64, |bits, number| bits | 1 << (number - 1));
    MASK.store(bits, Ordering::SeqCst);
}

fn noted() -> Vec<i32> {
    let bits = MASK.load(Ordering::SeqCst);
    (1..=64).filter(|number| bits & 1 << (number - 1) != 0).collect()
}

/// S-33.
fn handler_blocks_its_own_signal_and_its_mask() -> Check {
    signal::block(&[1])?;
    handle_with(SIGUSR1, note_mask, 0, set(&[SIGUSR2, SIGKILL]))?;
    kill(getpid(), SIGUSR1)?;
    same!(noted(), vec![1, SIGUSR1, SIGUSR2], "the mask in the handler");
    same!(signal::mask(), vec![1], "the mask after it");
    Ok(())
}

/// S-33.
fn nodefer_leaves_its_own_signal_open() -> Check {
    handle_with(SIGUSR1, note_mask, SA_NODEFER, set(&[SIGUSR2]))?;
    kill(getpid(), SIGUSR1)?;
    same!(noted(), vec![SIGUSR2], "the mask in the handler");
    Ok(())
}

/// S-33.
fn resethand_resets_on_entry() -> Check {
    handle(SIGUSR1, SA_RESETHAND)?;
    kill(getpid(), SIGUSR1)?;
    same!(logged_signals(), vec![SIGUSR1], "deliveries");
    same!(signal::disposition(SIGUSR1)?, libc::SIG_DFL, "the disposition");
    Ok(())
}

/// A timer that interrupts until a call notices; with a pipe, the third time also fills it.
fn interrupts(flags: i32) -> Check {
    handle(SIGALRM, flags)?;
    Ok(alarm_every(2000)?)
}

/// S-34.
fn read_is_interrupted_without_restart() -> Check {
    let (reader, _writer) = pipe()?;
    interrupts(0)?;
    fails!(read(reader, 1), EINTR);
    Ok(())
}

static ROUNDS: AtomicUsize = AtomicUsize::new(0);
static FILL: AtomicI32 = AtomicI32::new(-1);

extern "C" fn fill_at_the_third(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    if ROUNDS.fetch_add(1, Ordering::SeqCst) == 2 {
        let _ = write(FILL.load(Ordering::SeqCst), b"x");
    }
}

/// S-34.
fn read_is_restarted_with_restart() -> Check {
    let (reader, writer) = pipe()?;
    FILL.store(writer, Ordering::SeqCst);
    handle_with(SIGALRM, fill_at_the_third, SA_RESTART, set(&[]))?;
    alarm_every(2000)?;
    same!(read(reader, 8)?, b"x", "what the restarted read got");
    ensure!(ROUNDS.load(Ordering::SeqCst) >= 3, "the handler ran fewer than three times");
    Ok(())
}

/// S-34, S-35, X-20.
fn wait_is_restarted_with_restart() -> Check {
    let (reader, writer) = pipe()?;
    FILL.store(writer, Ordering::SeqCst);
    handle_with(SIGALRM, fill_at_the_third, SA_RESTART, set(&[]))?;
    let child = guests::process::fork(|| i32::from(read(reader, 1).is_err()))?;
    alarm_every(2000)?;
    same!(wait(child)?, 0, "the child's status");
    Ok(())
}

/// S-35.
fn nanosleep_is_never_restarted_and_gives_the_rest() -> Check {
    interrupts(SA_RESTART)?;
    let long = timespec { tv_sec: 1000, tv_nsec: 0 };
    let mut rest = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: valid structs.
    fails!(small("nanosleep", unsafe { libc::nanosleep(&long, &mut rest) }), EINTR);
    ensure!((990..1000).contains(&rest.tv_sec), "the rest is {} s", rest.tv_sec);
    Ok(())
}

/// S-35.
fn poll_and_select_are_never_restarted() -> Check {
    interrupts(SA_RESTART)?;
    let (reader, _writer) = pipe()?;
    fails!(poll_one(reader, libc::POLLIN, -1), EINTR);
    // SAFETY: null sets and no timeout.
    let select = unsafe {
        let none = std::ptr::null_mut;
        libc::select(0, none(), none(), none(), std::ptr::null_mut())
    };
    fails!(small("select", select), EINTR);
    Ok(())
}

/// S-35.
fn epoll_wait_is_never_restarted() -> Check {
    interrupts(SA_RESTART)?;
    let (reader, _writer) = pipe()?;
    let epoll = epoll()?;
    epoll_ctl(epoll, libc::EPOLL_CTL_ADD, reader, libc::EPOLLIN as u32, 0)?;
    fails!(sys::epoll_wait(epoll, 1, -1), EINTR);
    Ok(())
}

/// S-35.
fn pause_is_never_restarted() -> Check {
    interrupts(SA_RESTART)?;
    // SAFETY: no memory is involved.
    fails!(small("pause", unsafe { libc::pause() }), EINTR);
    Ok(())
}

/// S-35.
fn receive_with_a_timeout_is_never_restarted() -> Check {
    let (near, _far) = net::pair(libc::SOCK_STREAM)?;
    let limit = libc::timeval { tv_sec: 1000, tv_usec: 0 };
    net::set_option(near, libc::SOL_SOCKET, libc::SO_RCVTIMEO, limit)?;
    interrupts(SA_RESTART)?;
    fails!(net::recv(near, 1, 0), EINTR);
    Ok(())
}

/// S-34: nothing is interrupted when there is nothing to run.
fn ignored_signal_wakes_nobody() -> Check {
    signal::ignore(SIGALRM)?;
    alarm_every(1000)?;
    let (reader, _writer) = pipe()?;
    same!(poll_one(reader, libc::POLLIN, 30)?, 0, "poll bits after the timeout");
    let short = timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    // SAFETY: valid structs.
    small("nanosleep", unsafe { libc::nanosleep(&short, std::ptr::null_mut()) })?;
    Ok(())
}

/// The mask that the frame will restore: uc_sigmask.
extern "C" fn note_saved_mask(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the third argument is the ucontext.
    let saved = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_sigmask };
    let bits = signal::members(saved).iter().fold(0_u64, |bits, it| bits | 1 << (it - 1));
    MASK.store(bits, Ordering::SeqCst);
}

/// S-36.
fn sigsuspend_restores_the_old_mask_after_the_handler() -> Check {
    handle_with(SIGUSR1, note_saved_mask, 0, set(&[]))?;
    signal::block(&[SIGUSR1, SIGUSR2])?;
    kill(getpid(), SIGUSR1)?;
    let temporary = set(&[1]);
    // SAFETY: a valid set.
    fails!(small("sigsuspend", unsafe { libc::sigsuspend(&temporary) }), EINTR);
    same!(noted(), vec![SIGUSR1, SIGUSR2], "the mask in the frame");
    same!(signal::mask(), vec![SIGUSR1, SIGUSR2], "the mask afterwards");
    Ok(())
}

/// S-36.
fn ppoll_opens_its_mask_only_while_it_waits() -> Check {
    handle(SIGUSR1, 0)?;
    signal::block(&[SIGUSR1])?;
    kill(getpid(), SIGUSR1)?;
    let (reader, _writer) = pipe()?;
    let mut item = libc::pollfd { fd: reader, events: libc::POLLIN, revents: 0 };
    let open = set(&[]);
    // SAFETY: one item, a valid set.
    let result = unsafe { libc::ppoll(&mut item, 1, std::ptr::null(), &open) };
    fails!(small("ppoll", result), EINTR);
    same!(logged_signals(), vec![SIGUSR1], "deliveries");
    same!(signal::mask(), vec![SIGUSR1], "the mask afterwards");
    Ok(())
}

/// S-36.
fn epoll_pwait_opens_its_mask_only_while_it_waits() -> Check {
    handle(SIGUSR1, 0)?;
    signal::block(&[SIGUSR1])?;
    kill(getpid(), SIGUSR1)?;
    let epoll = epoll()?;
    let open = set(&[]);
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: one event, a valid set.
    let result = unsafe { libc::epoll_pwait(epoll, &mut event, 1, -1, &open) };
    fails!(small("epoll_pwait", result), EINTR);
    same!(logged_signals(), vec![SIGUSR1], "deliveries");
    same!(signal::mask(), vec![SIGUSR1], "the mask afterwards");
    Ok(())
}

/// S-36.
fn pselect_without_a_signal_restores_the_mask() -> Check {
    signal::block(&[SIGUSR2])?;
    let zero = timespec { tv_sec: 0, tv_nsec: 0 };
    let temporary = set(&[SIGUSR1]);
    let none = std::ptr::null_mut;
    // SAFETY: null sets, valid structs.
    small("pselect", unsafe { libc::pselect(0, none(), none(), none(), &zero, &temporary) })?;
    same!(signal::mask(), vec![SIGUSR2], "the mask afterwards");
    Ok(())
}

/// S-37, S-23: what is waited for neither kills nor is ignored.
fn sigtimedwait_takes_a_signal_that_would_kill() -> Check {
    let parent = getpid();
    signal::block(&[libc::SIGTERM])?;
    let child = guests::process::fork(move || i32::from(kill(parent, libc::SIGTERM).is_err()))?;
    same!(signal::timed_wait(&[libc::SIGTERM], 20_000)?, (libc::SIGTERM, 0), "signal and code");
    same!(wait(child)?, 0, "the sender's status");
    same!(signal::pending(), vec![], "pending afterwards");
    Ok(())
}

/// S-37, S-29.
fn sigtimedwait_takes_the_private_one_and_the_lowest_first() -> Check {
    let numbers = [10, 12, 40];
    signal::block(&numbers)?;
    kill(getpid(), 40)?;
    kill(getpid(), 10)?;
    signal::tgkill(getpid(), gettid(), 12)?;
    let tkill = libc::SI_TKILL;
    same!(signal::timed_wait(&numbers, 0)?, (12, tkill), "the first");
    same!(signal::timed_wait(&numbers, 0)?, (10, 0), "the second");
    same!(signal::timed_wait(&numbers, 0)?, (40, 0), "the third");
    Ok(())
}

/// S-37.
fn sigtimedwait_says_what_is_wrong() -> Check {
    signal::block(&[SIGUSR1])?;
    fails!(signal::timed_wait(&[SIGUSR1], 0), EAGAIN);
    fails!(signal::timed_wait(&[SIGUSR1], -1000), EINVAL);
    Ok(())
}

/// S-37, S-35.
fn sigtimedwait_is_interrupted_by_another_handler() -> Check {
    signal::block(&[SIGUSR1])?;
    interrupts(SA_RESTART)?;
    // The C library hides EINTR for some waits; ask the kernel.
    let wanted = set(&[SIGUSR1]);
    let at = (&raw const wanted) as i64;
    let result = raw("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, [at, 0, 0, 8, 0, 0]);
    fails!(result, EINTR);
    Ok(())
}

/// S-38.
fn signalfd_reads_what_is_blocked() -> Check {
    signal::block(&[SIGUSR1])?;
    let wanted = set(&[SIGUSR1]);
    // SAFETY: a valid set.
    let fd = small("signalfd", unsafe { libc::signalfd(-1, &wanted, libc::SFD_NONBLOCK) })?;
    fails!(read(fd, 128), EAGAIN);
    same!(poll_one(fd, libc::POLLIN, 0)?, 0, "poll bits with nothing pending");
    kill(getpid(), SIGUSR1)?;
    same!(poll_one(fd, libc::POLLIN, -1)?, libc::POLLIN, "poll bits with one pending");
    let record = read(fd, 1024)?;
    same!(record.len(), 128, "the record's length");
    same!(i32::from(record[0]), SIGUSR1, "ssi_signo");
    same!(record[12..16], getpid().to_ne_bytes()[..], "ssi_pid");
    fails!(read(fd, 128), EAGAIN);
    Ok(())
}

/// S-48.
fn kill_and_stop_have_no_handlers() -> Check {
    for number in [SIGKILL, SIGSTOP] {
        fails!(handle(number, 0), EINVAL);
        fails!(signal::ignore(number), EINVAL);
        same!(signal::disposition(number)?, libc::SIG_DFL, "the disposition");
    }
    fails!(signal::ignore(65), EINVAL);
    Ok(())
}

/// The kernel's struct sigaction of x86-64.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

fn rt_sigaction(number: i32, new: Option<&KernelAction>, size: i64) -> sys::Sys<KernelAction> {
    let mut old = KernelAction::default();
    let new = new.map_or(0, |action| (&raw const *action) as i64);
    let args = [number.into(), new, (&raw mut old) as i64, size, 0, 0];
    raw("rt_sigaction", libc::SYS_rt_sigaction, args).map(|_| old)
}

/// S-48.
fn unknown_flags_are_cleared_on_store() -> Check {
    let known = 0x0400_0000 | libc::SA_RESTART as u64;
    let action = KernelAction { handler: 1, flags: known | 0x100, ..KernelAction::default() };
    rt_sigaction(SIGUSR1, Some(&action), 8)?;
    same!(rt_sigaction(SIGUSR1, None, 8)?.flags, known, "the flags read back");
    Ok(())
}

/// S-48.
fn sigsetsize_must_be_eight() -> Check {
    fails!(rt_sigaction(SIGUSR1, None, 16).map(|_| ()), EINVAL);
    fails!(raw("rt_sigprocmask", libc::SYS_rt_sigprocmask, [0, 0, 0, 4, 0, 0]), EINVAL);
    Ok(())
}

/// S-48: x86-64 cannot return from a handler without SA_RESTORER.
fn handler_without_restorer_faults() -> Check {
    sys::set_limit(libc::RLIMIT_CORE, 0)?;
    let child = fork_check(|| {
        let handler = note_mask as *const () as usize;
        let action = KernelAction { handler, ..KernelAction::default() };
        rt_sigaction(SIGUSR1, Some(&action), 8)?;
        kill(getpid(), SIGUSR1)?;
        Ok(())
    })?;
    same!(wait(child)?, libc::SIGSEGV, "the status");
    Ok(())
}

static STACK: AtomicUsize = AtomicUsize::new(0);
static CHANGE: AtomicI32 = AtomicI32::new(0);
static FLAGS: AtomicI32 = AtomicI32::new(-1);

/// Where the handler's own frame is, what sigaltstack says there, and whether it can be changed.
extern "C" fn note_stack(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    let here = 0_u8;
    STACK.store((&raw const here) as usize, Ordering::SeqCst);
    FLAGS.store(altstack(None).map_or(-1, |stack| stack.ss_flags), Ordering::SeqCst);
    let off = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    CHANGE.store(net::errno_of(altstack(Some(&off))), Ordering::SeqCst);
}

fn altstack(new: Option<&libc::stack_t>) -> sys::Sys<libc::stack_t> {
    // SAFETY: valid structs or null.
    unsafe {
        let mut old = std::mem::zeroed();
        let new = new.map_or(std::ptr::null(), |stack| &raw const *stack);
        small("sigaltstack", libc::sigaltstack(new, &mut old)).map(|_| old)
    }
}

const SIZE: usize = 64 << 10;

fn install_altstack(flags: i32) -> sys::Sys<usize> {
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let base = sys::map(SIZE, libc::PROT_READ | libc::PROT_WRITE, private, -1, 0)?;
    altstack(Some(&libc::stack_t { ss_sp: base as *mut c_void, ss_flags: flags, ss_size: SIZE }))?;
    Ok(base)
}

/// S-49.
fn handler_runs_on_the_alternate_stack() -> Check {
    let base = install_altstack(0)?;
    handle_with(SIGUSR1, note_stack, libc::SA_ONSTACK, set(&[]))?;
    kill(getpid(), SIGUSR1)?;
    let here = STACK.load(Ordering::SeqCst);
    ensure!((base..base + SIZE).contains(&here), "the handler ran at {here:#x}");
    handle_with(SIGUSR1, note_stack, 0, set(&[]))?;
    kill(getpid(), SIGUSR1)?;
    let here = STACK.load(Ordering::SeqCst);
    ensure!(!(base..base + SIZE).contains(&here), "without SA_ONSTACK it ran at {here:#x}");
    Ok(())
}

/// S-49.
fn alternate_stack_in_use_cannot_be_changed() -> Check {
    install_altstack(0)?;
    handle_with(SIGUSR1, note_stack, libc::SA_ONSTACK, set(&[]))?;
    kill(getpid(), SIGUSR1)?;
    same!(FLAGS.load(Ordering::SeqCst), libc::SS_ONSTACK, "ss_flags in the handler");
    same!(CHANGE.load(Ordering::SeqCst), EPERM, "changing it in the handler");
    same!(altstack(None)?.ss_flags, 0, "ss_flags afterwards");
    Ok(())
}

/// S-49.
fn bad_alternate_stacks_are_refused() -> Check {
    let base = install_altstack(0)? as *mut c_void;
    let small_one = libc::stack_t { ss_sp: base, ss_flags: 0, ss_size: 2047 };
    fails!(altstack(Some(&small_one)).map(|_| ()), ENOMEM);
    let odd = libc::stack_t { ss_sp: base, ss_flags: 0x40, ss_size: SIZE };
    fails!(altstack(Some(&odd)).map(|_| ()), EINVAL);
    Ok(())
}

/// S-49.
fn autodisarm_disables_and_return_restores() -> Check {
    const SS_AUTODISARM: i32 = 1 << 31;
    let base = install_altstack(SS_AUTODISARM)?;
    handle_with(SIGUSR1, note_stack, libc::SA_ONSTACK, set(&[]))?;
    kill(getpid(), SIGUSR1)?;
    same!(FLAGS.load(Ordering::SeqCst), libc::SS_DISABLE, "ss_flags in the handler");
    same!(CHANGE.load(Ordering::SeqCst), 0, "changing it in the handler");
    let now = altstack(None)?;
    same!((now.ss_sp as usize, now.ss_flags), (base, SS_AUTODISARM), "the stack afterwards");
    Ok(())
}

extern "C" fn leave_with_success(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: a valid siginfo; ends the process.
    unsafe { libc::_exit(if (*info).si_signo == libc::SIGSEGV { 0 } else { 1 }) }
}

#[expect(unconditional_recursion, reason = "this is how a stack overflows")]
fn deeper(depth: u64) -> u64 {
    let mut room = [depth; 512];
    // SAFETY: a valid place; keeps the array from being optimised away.
    unsafe { std::ptr::write_volatile(&mut room[0], depth) };
    deeper(depth + 1) + room[0]
}

/// S-49, S-16.
fn overflow_of_the_stack_is_caught_on_the_alternate_one() -> Check {
    sys::set_limit(libc::RLIMIT_CORE, 0)?;
    let child = fork_check(|| {
        install_altstack(0)?;
        handle_with(libc::SIGSEGV, leave_with_success, libc::SA_ONSTACK, set(&[]))?;
        ensure!(deeper(1) == 0, "the stack has no end");
        Ok(())
    })?;
    wait_ok(child)
}
