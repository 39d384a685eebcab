//! Threads and futexes: joining, thread-local data, mutexes, what is written when a thread dies.
//! Rules of docs/linux-semantics.md, futex(2), get_robust_list(2), clone(2).

use guests::process::{
    Gate, clone_fork, fork, fork_check, futex_wait, futex_wake, getpid, gettid, kill_and_wait,
    pause_for_ever, until_asleep, wait, wait_ok,
};
use guests::sys::{Sys, raw, shared_words};
use guests::{Check, ensure, fails, same};
use libc::{EAGAIN, EINVAL, ETIMEDOUT, SIGCHLD, SIGKILL, timespec};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};

guests::cases! {
    threads_return_values_to_their_joiner,
    threads_have_their_own_locals_and_numbers,
    mutex_and_condition_keep_order,
    many_threads_meet_at_a_barrier,
    futex_wait_compares_first,
    futex_wait_times_out,
    futex_wake_wakes_as_many_as_it_says,
    futex_on_shared_memory_crosses_processes,
    futex_requeue_moves_waiters,
    futex_bitsets_select_waiters,
    cleared_tid_wakes_a_futex_waiter,
    cleared_tid_needs_a_shared_address_space,
    robust_mutex_tells_of_its_dead_owner,
    robust_list_is_walked_when_a_process_is_killed,
    thread_stacks_are_separate,
    clone_refuses_senseless_flags,
    tls_survives_a_fork,
}

/// pthread_join(3).
fn threads_return_values_to_their_joiner() -> Check {
    let threads: Vec<_> =
        (0..8_u64).map(|number| std::thread::spawn(move || number * number)).collect();
    let sum: u64 = threads.into_iter().map(|it| it.join().unwrap_or(0)).sum();
    same!(sum, 140, "the sum of the squares");
    Ok(())
}

thread_local! {
    static LOCAL: Cell<u32> = const { Cell::new(1) };
}

/// clone(2).
fn threads_have_their_own_locals_and_numbers() -> Check {
    LOCAL.set(2);
    let thread = std::thread::spawn(|| (LOCAL.get(), gettid(), getpid()));
    let (local, tid, pid) = thread.join().map_err(|_| "the thread panicked")?;
    same!((local, pid), (1, getpid()), "its local and the process's number");
    ensure!(tid != gettid(), "two threads with the number {tid}");
    same!(LOCAL.get(), 2, "this thread's local");
    Ok(())
}

/// futex(2), through std.
fn mutex_and_condition_keep_order() -> Check {
    let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
    let threads: Vec<_> = (0..4_usize)
        .map(|number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let (list, changed) = &*shared;
                let Ok(list) = list.lock() else { return };
                if let Ok(mut list) = changed.wait_while(list, |list| list.len() != number) {
                    list.push(number);
                }
                changed.notify_all();
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "the thread panicked")?;
    }
    let list = shared.0.lock().map_err(|error| error.to_string())?;
    same!(*list, vec![0, 1, 2, 3], "the order");
    Ok(())
}

/// futex(2), through std.
fn many_threads_meet_at_a_barrier() -> Check {
    let barrier = Arc::new(Barrier::new(32));
    let threads: Vec<_> = (0..32)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            std::thread::spawn(move || (0..10).filter(|_| barrier.wait().is_leader()).count())
        })
        .collect();
    let leaders: usize = threads.into_iter().map(|it| it.join().unwrap_or(99)).sum();
    same!(leaders, 10, "one leader for each of ten rounds");
    Ok(())
}

/// futex(2).
fn futex_wait_compares_first() -> Check {
    let word = AtomicU32::new(5);
    fails!(futex_wait(&word, 4), EAGAIN);
    same!(futex_wake(&word, 1)?, 0, "woken");
    let odd = word.as_ptr() as i64 + 1;
    fails!(raw("futex", libc::SYS_futex, [odd, 0, 5, 0, 0, 0]), EINVAL);
    fails!(raw("futex", libc::SYS_futex, [8, 0, 5, 0, 0, 0]), libc::EFAULT);
    Ok(())
}

/// futex(2).
fn futex_wait_times_out() -> Check {
    let word = AtomicU32::new(5);
    let limit = timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    let since = guests::sys::monotonic();
    let args = [word.as_ptr() as i64, 0, 5, (&raw const limit) as i64, 0, 0];
    fails!(raw("futex", libc::SYS_futex, args), ETIMEDOUT);
    ensure!(guests::sys::monotonic() - since >= 10_000_000, "it waited too short");
    Ok(())
}

/// Threads that wait on the word until it is no longer 0; returns when all of them sleep.
fn waiters(
    word: &'static AtomicU32,
    many: usize,
    bits: i64,
) -> Result<mpsc::Receiver<usize>, String> {
    let (woke, wakes) = mpsc::channel();
    for number in 0..many {
        let (woke, (tid, tids)) = (woke.clone(), mpsc::channel());
        std::thread::spawn(move || {
            let _ = tid.send(gettid());
            let operation = i64::from(libc::FUTEX_WAIT_BITSET);
            let args = [word.as_ptr() as i64, operation, 0, 0, 0, bits];
            let _ = raw("futex", libc::SYS_futex, args);
            let _ = woke.send(number);
        });
        until_asleep(getpid(), tids.recv().map_err(|error| error.to_string())?)?;
    }
    Ok(wakes)
}

const ANY: i64 = 0xffff_ffff;

/// futex(2): in the order in which they went to sleep.
fn futex_wake_wakes_as_many_as_it_says() -> Check {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let wakes = waiters(&WORD, 4, ANY)?;
    let next = || wakes.recv().map_err(|error| error.to_string());
    same!(futex_wake(&WORD, 1)?, 1, "woken");
    same!(next()?, 0, "the one that woke");
    same!(futex_wake(&WORD, 2)?, 2, "woken");
    let mut two = [next()?, next()?];
    two.sort_unstable();
    same!(two, [1, 2], "the two that woke");
    same!(futex_wake(&WORD, 99)?, 1, "woken");
    same!(next()?, 3, "the last one");
    same!(futex_wake(&WORD, 99)?, 0, "woken when none is left");
    Ok(())
}

/// futex(2).
fn futex_on_shared_memory_crosses_processes() -> Check {
    let words = shared_words()?;
    let child = fork_check(|| {
        while words[0].load(Ordering::SeqCst) == 0 {
            let _ = futex_wait(&words[0], 0);
        }
        Ok(())
    })?;
    until_asleep(child, child)?;
    words[0].store(1, Ordering::SeqCst);
    same!(futex_wake(&words[0], 1)?, 1, "woken");
    wait_ok(child)
}

/// futex(2), FUTEX_CMP_REQUEUE.
fn futex_requeue_moves_waiters() -> Check {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    static SECOND: AtomicU32 = AtomicU32::new(0);
    let wakes = waiters(&FIRST, 3, ANY)?;
    let requeue = |value| {
        let operation = i64::from(libc::FUTEX_CMP_REQUEUE);
        let (from, to) = (FIRST.as_ptr() as i64, SECOND.as_ptr() as i64);
        raw("futex", libc::SYS_futex, [from, operation, 1, 99, to, value])
    };
    fails!(requeue(7), EAGAIN);
    same!(requeue(0)?, 3, "woken and moved");
    same!(wakes.recv().ok(), Some(0), "the one that woke");
    same!(futex_wake(&FIRST, 99)?, 0, "left at the first word");
    same!(futex_wake(&SECOND, 99)?, 2, "woken at the second word");
    Ok(())
}

/// futex(2), FUTEX_WAKE_BITSET.
fn futex_bitsets_select_waiters() -> Check {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let wakes = waiters(&WORD, 1, 0b01)?;
    let wake = |bits| {
        let operation = i64::from(libc::FUTEX_WAKE_BITSET);
        raw("futex", libc::SYS_futex, [WORD.as_ptr() as i64, operation, 99, 0, 0, bits])
    };
    same!(wake(0b10)?, 0, "woken by other bits");
    same!(wake(0b11)?, 1, "woken by its bit");
    same!(wakes.recv().ok(), Some(0), "the one that woke");
    fails!(wake(0), EINVAL);
    Ok(())
}

/// what pthread_join waits for.
fn cleared_tid_wakes_a_futex_waiter() -> Check {
    static TID: AtomicU32 = AtomicU32::new(1);
    let thread = std::thread::spawn(|| {
        let at = TID.as_ptr() as i64;
        let _ = raw("set_tid_address", libc::SYS_set_tid_address, [at, 0, 0, 0, 0, 0]);
        // SAFETY: ends this thread only; nothing of it is used afterwards.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    while TID.load(Ordering::SeqCst) != 0 {
        let _ = futex_wait(&TID, 1);
    }
    // Its std handle would wait for its own word, which the kernel no longer clears.
    std::mem::forget(thread);
    Ok(())
}

///
fn cleared_tid_needs_a_shared_address_space() -> Check {
    let words = shared_words()?;
    words[0].store(77, Ordering::SeqCst);
    let child = clone_fork(SIGCHLD, || {
        let at = words[0].as_ptr() as i64;
        i32::from(raw("set_tid_address", libc::SYS_set_tid_address, [at, 0, 0, 0, 0, 0]).is_err())
    })?;
    same!(wait(child)?, 0, "the status");
    same!(words[0].load(Ordering::SeqCst), 77, "the word of a private address space");
    Ok(())
}

/// X-14, by the C library's mutex in shared memory.
fn robust_mutex_tells_of_its_dead_owner() -> Check {
    let mutex = shared_words()?.as_ptr() as *mut libc::pthread_mutex_t;
    let zero = |call, result: i32| -> Sys<()> {
        if result == 0 { Ok(()) } else { Err(guests::sys::Failed { call, errno: result }) }
    };
    // SAFETY: the shared page is large enough and aligned for a mutex.
    unsafe {
        let mut how = std::mem::zeroed();
        zero("mutexattr_init", libc::pthread_mutexattr_init(&mut how))?;
        let shared = libc::PTHREAD_PROCESS_SHARED;
        zero("setpshared", libc::pthread_mutexattr_setpshared(&mut how, shared))?;
        let robust = libc::PTHREAD_MUTEX_ROBUST;
        zero("setrobust", libc::pthread_mutexattr_setrobust(&mut how, robust))?;
        zero("mutex_init", libc::pthread_mutex_init(mutex, &how))?;
    }
    let ready = Gate::new()?;
    let child = fork_check(|| {
        // SAFETY: the mutex lives in shared memory.
        zero("mutex_lock", unsafe { libc::pthread_mutex_lock(mutex) })?;
        ready.open()?;
        pause_for_ever()
    })?;
    ready.wait()?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    // SAFETY: as above.
    unsafe {
        same!(libc::pthread_mutex_lock(mutex), libc::EOWNERDEAD, "lock");
        zero("mutex_consistent", libc::pthread_mutex_consistent(mutex))?;
        zero("mutex_unlock", libc::pthread_mutex_unlock(mutex))?;
        zero("mutex_lock", libc::pthread_mutex_lock(mutex))?;
    }
    Ok(())
}

/// X-14, by hand: a list of one entry whose futex word stands eight bytes behind it.
fn robust_list_is_walked_when_a_process_is_killed() -> Check {
    const WAITERS: u32 = 0x8000_0000;
    const OWNER_DIED: u32 = 0x4000_0000;
    let words = shared_words()?;
    let (word, foreign) = (&words[64], &words[66]);
    let ready = Gate::new()?;
    let child = fork(|| {
        // The head: first entry, offset from an entry to its word, pending entry.
        let mut head = [0_usize, 8, 0];
        let first = (&raw const words[62]) as usize;
        // SAFETY: the place is inside the page and aligned; the list ends at its head.
        unsafe { (first as *mut usize).write(head.as_ptr() as usize) };
        head[0] = first;
        word.store(gettid() as u32 | WAITERS, Ordering::SeqCst);
        foreign.store(1, Ordering::SeqCst);
        let args = [head.as_ptr() as i64, 24, 0, 0, 0, 0];
        let set = raw("set_robust_list", libc::SYS_set_robust_list, args);
        if set.and_then(|_| ready.open()).is_err() {
            return 1;
        }
        pause_for_ever()
    })?;
    ready.wait()?;
    same!(kill_and_wait(child, SIGKILL)?, SIGKILL, "the status");
    same!(word.load(Ordering::SeqCst), WAITERS | OWNER_DIED, "the owned word");
    same!(foreign.load(Ordering::SeqCst), 1, "a word that is not on the list");
    Ok(())
}

/// pthreads(7).
fn thread_stacks_are_separate() -> Check {
    let place = || {
        let here = 0_u8;
        (&raw const here) as usize
    };
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::Builder::new().stack_size(1 << 20).spawn(place))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    for thread in threads {
        let theirs = thread.join().map_err(|_| "the thread panicked")?;
        ensure!(theirs.abs_diff(place()) > 1 << 20, "two stacks are within a megabyte");
    }
    Ok(())
}

/// clone(2).
fn clone_refuses_senseless_flags() -> Check {
    fails!(clone_fork(libc::CLONE_THREAD, || 0), EINVAL);
    fails!(clone_fork(libc::CLONE_SIGHAND, || 0), EINVAL);
    fails!(clone_fork(libc::CLONE_NEWNS | libc::CLONE_FS, || 0), EINVAL);
    let size = 8_i64;
    let args = [0_u64; 8];
    let short = [args.as_ptr() as i64, size, 0, 0, 0, 0];
    fails!(raw("clone3", libc::SYS_clone3, short), EINVAL);
    Ok(())
}

/// fork(2), arch_prctl(2): the child keeps the thread's pointer.
fn tls_survives_a_fork() -> Check {
    LOCAL.set(7);
    let child = fork_check(|| {
        same!(LOCAL.get(), 7, "the local in the child");
        let thread = std::thread::spawn(|| LOCAL.get());
        same!(thread.join().ok(), Some(1), "the local in a thread of the child");
        Ok(())
    })?;
    wait_ok(child)
}
