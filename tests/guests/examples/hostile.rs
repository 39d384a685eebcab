//! Guest programs that mean harm, for `tests/hostile.rs`: `hostile CASE` tries something that would
//! hurt a machine and says how it ended. Never run it natively: it refuses unless the test says that
//! it is inside (the environment's HOSTILE_INSIDE).

use guests::process::{fork, kill, pause_for_ever, wait};
use guests::sys::{errno, map, raw};
use guests::{ensure, fails, same, sys};
use std::arch::asm;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

type Check = Result<(), String>;

/// The platform's own page (`crates/platform`, inject.rs), the one thing in a guest that is not its.
const GADGET: usize = 0x7fff_f000_0000;
const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn main() -> Check {
    if std::env::var_os("HOSTILE_INSIDE").is_none() {
        return Err("hostile: only inside afterlife; see tests/guests/tests/hostile.rs".into());
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let port = || words.get(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    match words.first().map_or("", String::as_str) {
        "write" => write_everywhere(words.get(1).map_or("/", String::as_str)),
        "network" => network(port()),
        "fork" => fork_without_end(words.len() > 1),
        "threads" => threads_without_end(),
        "allocate" => allocate_without_end(),
        "reserve" => reserve(),
        "open" => open_without_end(),
        "spin" => spin(false),
        "store" => spin(true),
        "count" => count(words.get(1).map_or("", String::as_str)),
        "spinners" => spinners(),
        "pages" => platform_pages(),
        "doors" => doors(),
        "jump" => jumps(),
        "elf" => crafted_elves(),
        "arguments" => arguments(),
        "sparse" => sparse(),
        "kill-all" => kill_all(),
        "ptrace" => ptrace(),
        "bad-stack" => bad_stack(),
        "recurse" => Err(format!("came back with {}", recurse(1))),
        "buffers" => buffers(),
        "vectors" => vectors(),
        other => Err(format!("hostile: no case {other:?}")),
    }?;
    println!("done");
    Ok(())
}

/// A guest is who runs afterlife: root writes where it likes, and anybody else where root would let.
fn is_root() -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::geteuid() == 0 }
}

fn write_everywhere(name: &str) -> Check {
    for directory in ["/tmp", "/dev/shm"] {
        let path = format!("{directory}/{name}");
        std::fs::write(&path, "x").map_err(|e| format!("{path}: {e}"))?;
    }
    if !is_root() {
        return write_as_somebody(name);
    }
    for directory in ["/", "/etc"] {
        let path = format!("{directory}/{name}");
        std::fs::write(&path, "x").map_err(|e| format!("{path}: {e}"))?;
    }
    std::fs::write("/etc/passwd", "gone").map_err(|e| e.to_string())?;
    std::fs::remove_file("/etc/hostname").map_err(|e| e.to_string())?;
    std::fs::remove_dir_all("/usr/share").map_err(|e| e.to_string())?;
    ensure!(!std::path::Path::new("/usr/share").exists(), "it is still there");
    Ok(())
}

fn write_as_somebody(name: &str) -> Check {
    let denied = |done: std::io::Result<()>, what: &str| {
        same!(done.err().and_then(|it| it.raw_os_error()), Some(libc::EACCES), "{what}");
        Ok::<(), String>(())
    };
    denied(std::fs::write(format!("/{name}"), "x"), "a file in /")?;
    denied(std::fs::write(format!("/etc/{name}"), "x"), "a file in /etc")?;
    denied(std::fs::write("/etc/passwd", "gone"), "/etc/passwd")?;
    denied(std::fs::remove_file("/etc/hostname"), "unlink in /etc")?;
    denied(std::fs::remove_dir("/usr/share"), "rmdir in /usr")
}

fn network(port: u16) -> Check {
    let refused = std::net::TcpStream::connect(("127.0.0.1", port));
    ensure!(refused.is_err(), "reached the machine's loopback");
    let far = std::net::TcpStream::connect_timeout(
        &"192.0.2.1:80".parse().map_err(|_| "address")?,
        std::time::Duration::from_secs(600),
    );
    ensure!(far.is_err(), "reached the machine's network");
    for domain in [libc::AF_PACKET, libc::AF_NETLINK, libc::AF_VSOCK] {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::socket(domain, libc::SOCK_RAW, 0) };
        ensure!(fd < 0, "a socket of family {domain}");
    }
    Ok(())
}

/// As a user with a limit; with `all`, as root, whom only threads-max bounds (as slow as it says).
fn fork_without_end(all: bool) -> Check {
    if !all {
        become_somebody()?;
    }
    let mut children = 0;
    loop {
        match fork(|| pause_for_ever()) {
            Ok(_) => children += 1,
            Err(failed) => {
                same!(failed.errno, libc::EAGAIN, "fork's errno");
                println!("{children} children");
                return Ok(());
            }
        }
    }
}

/// RLIMIT_NPROC binds everybody but root.
fn become_somebody() -> Check {
    sys::set_limit(libc::RLIMIT_NPROC, 200)?;
    if !is_root() {
        return Ok(());
    }
    // SAFETY: no memory is involved.
    sys::small("setresuid", unsafe { libc::setresuid(4711, 4711, 4711) })?;
    Ok(())
}

fn threads_without_end() -> Check {
    become_somebody()?;
    let mut threads = 0;
    loop {
        let body = || pause_for_ever();
        match std::thread::Builder::new().stack_size(1 << 16).spawn(body) {
            Ok(_) => threads += 1,
            Err(failed) => {
                println!("{threads} threads, {failed}");
                return Ok(());
            }
        }
    }
}

/// Promises cost nothing, but for one that is obviously too much; with 2 in vm.overcommit_memory
/// all of them count.
fn allocate_without_end() -> Check {
    let piece = || map(1 << 28, READ_WRITE, ANONYMOUS, -1, 0);
    for _ in 0..10_000 {
        piece()?;
    }
    fails!(map(1 << 44, READ_WRITE, ANONYMOUS, -1, 0), libc::ENOMEM);
    if std::fs::write("/proc/sys/vm/overcommit_memory", "2").is_ok() {
        fails!(piece(), libc::ENOMEM);
    }
    Ok(())
}

fn reserve() -> Check {
    for _ in 0..8 {
        map(1 << 40, libc::PROT_NONE, ANONYMOUS, -1, 0)?;
    }
    let at = map(1 << 40, READ_WRITE, ANONYMOUS | libc::MAP_NORESERVE, -1, 0)?;
    // SAFETY: the mapping is ours.
    unsafe { *((at + (1 << 39)) as *mut u8) = 1 };
    Ok(())
}

fn open_without_end() -> Check {
    loop {
        // SAFETY: a C string.
        let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) };
        if fd < 0 {
            same!(errno(), libc::EMFILE, "open's errno");
            return Ok(());
        }
    }
}

/// For ever. Virtual time has to come from somewhere, or the alarm never rings.
fn spin(store: bool) -> Check {
    let mut word = 0_u64;
    // SAFETY: no memory is involved.
    unsafe { libc::alarm(1) };
    loop {
        if store {
            // SAFETY: a live object.
            unsafe { ptr::write_volatile(&mut word, ptr::read_volatile(&word).wrapping_add(1)) };
        }
        std::hint::spin_loop();
    }
}

static FLAG: AtomicBool = AtomicBool::new(false);

extern "C" fn raise(_: i32) {
    FLAG.store(true, Ordering::Relaxed);
}

/// Counts in memory until a thread that sleeps for a moment, or a signal handler, raises a flag.
fn count(until: &str) -> Check {
    let thread = (until == "thread").then(|| {
        std::thread::spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            raise(0);
        })
    });
    if until == "alarm" {
        let handler = raise as *const () as usize;
        // SAFETY: the handler only touches an atomic.
        unsafe {
            libc::signal(libc::SIGALRM, handler);
            libc::alarm(1);
        }
    }
    let mut counter = 0_u64;
    while !FLAG.load(Ordering::Relaxed) {
        // SAFETY: a live object.
        unsafe { ptr::write_volatile(&mut counter, ptr::read_volatile(&counter).wrapping_add(1)) };
    }
    thread.map_or(Ok(()), |thread| thread.join().map_err(|_| "the thread panicked".into()))
}

/// Three threads that spin without stores, and an alarm in a day.
fn spinners() -> Check {
    // SAFETY: no memory is involved.
    unsafe { libc::alarm(86_000) };
    let wait = || {
        while !FLAG.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    };
    let _others = [std::thread::spawn(wait), std::thread::spawn(wait)];
    wait();
    Err("somebody raised the flag".into())
}

fn platform_pages() -> Check {
    let page = GADGET as i64;
    let (read_end, write_end) = sys::pipe()?;
    sys::write(write_end, b"bytes")?;
    let bytes = raw("read", libc::SYS_read, [read_end.into(), page, 5, 0, 0, 0]);
    fails!(bytes, libc::EFAULT);
    let flags = i64::from(ANONYMOUS | libc::MAP_FIXED);
    let over = raw("mmap", libc::SYS_mmap, [page, 4096, READ_WRITE.into(), flags, -1, 0]);
    ensure!(over.is_err(), "mapped over the platform's page");
    let open = raw("mprotect", libc::SYS_mprotect, [page, 4096, 7, 0, 0, 0]);
    ensure!(open.is_err(), "changed the protection of the platform's page");
    let _ = raw("munmap", libc::SYS_munmap, [page, 4096, 0, 0, 0, 0]);
    let _ = raw("munmap", libc::SYS_munmap, [0x1_0000, i64::MAX & !4095, 0, 0, 0, 0]);
    let own = map(4096, READ_WRITE, ANONYMOUS, -1, 0)? as i64;
    let flags = i64::from(libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED);
    let moved = raw("mremap", libc::SYS_mremap, [own, 4096, 4096, flags, page, 0]);
    ensure!(moved.is_err(), "moved a page over the platform's");
    dies(|| {
        // SAFETY: it is not; the child has to die of it.
        unsafe { *(GADGET as *mut u8) = 0 };
    })
}

/// A child that must die by SIGSEGV, SIGILL, SIGBUS or SIGTRAP.
fn dies(body: impl FnOnce()) -> Check {
    let child = fork(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            let _ = guests::signal::default(signal);
        }
        // SAFETY: no memory is involved.
        unsafe { libc::alarm(5) };
        body();
        0
    })?;
    let status = wait(child)?;
    ensure!(libc::WIFSIGNALED(status), "the child lived on: {status:#x}");
    Ok(())
}

fn doors() -> Check {
    let enosys = -i64::from(libc::ENOSYS);
    let result: i64;
    // SAFETY: getpid by the 32-bit door; rax alone changes.
    unsafe {
        asm!("int 0x80", inlateout("rax") 20_i64 => result, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
    };
    same!(result, enosys, "int 0x80");
    // SAFETY: getpid of x32.
    let x32 = unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) };
    same!((x32, errno()), (-1, libc::ENOSYS), "x32");
    // SAFETY: reads a counter.
    let (one, two) = unsafe { (std::arch::x86_64::_rdtsc(), std::arch::x86_64::_rdtsc()) };
    ensure!(one < two && two < 1 << 42, "the machine's own counter: {one}, {two}");
    let vsyscall: extern "C" fn(*mut i64) -> i64 =
        // SAFETY: the address of time() in every Linux process.
        unsafe { std::mem::transmute(0xffff_ffff_ff60_0400_usize) };
    let child = fork(|| i32::from(vsyscall(ptr::null_mut()) != enosys))?;
    let status = wait(child)?;
    ensure!(status == 0 || libc::WIFSIGNALED(status), "vsyscall: {status:#x}");
    Ok(())
}

fn jumps() -> Check {
    let on_stack = 0xc3_u8;
    let pipe = libc::pipe as *const () as usize;
    let mut targets = vec![0, 1, 0x1_0000, 1 << 63, usize::MAX, &raw const on_stack as usize];
    targets.extend((0..64).map(|offset| GADGET + offset));
    targets.extend((0..40).map(|offset| pipe + offset));
    for target in targets {
        let child = fork(|| {
            // SAFETY: no memory is involved.
            unsafe { libc::alarm(5) };
            // SAFETY: it is not safe at all; whatever the child does, it does to itself.
            let somewhere: extern "C" fn() = unsafe { std::mem::transmute(target) };
            somewhere();
            0
        });
        wait(child?)?;
    }
    Ok(())
}

/// 200 broken variants of a real program; whatever exec makes of them, it ends.
fn crafted_elves() -> Check {
    let whole = std::fs::read("/bin/true").map_err(|e| e.to_string())?;
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for round in 0..200 {
        let mut bytes = whole.clone();
        if round % 4 == 0 {
            bytes.truncate(random(1024));
        } else {
            for _ in 0..=random(8) {
                bytes[random(1024)] = [0, 0xff, 0x7f, random(256) as u8][random(4)];
            }
        }
        let path = "/tmp/elf";
        std::fs::write(path, &bytes).map_err(|e| e.to_string())?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|e| e.to_string())?;
        let child = fork(|| {
            let none = [ptr::null()];
            // SAFETY: C strings and null-terminated arrays.
            unsafe {
                libc::alarm(2);
                libc::execve(c"/tmp/elf".as_ptr(), none.as_ptr(), none.as_ptr());
            }
            1
        });
        wait(child?)?;
    }
    Ok(())
}

fn arguments() -> Check {
    let word = vec![b'x'; 100_000].into_iter().chain([0]).collect::<Vec<u8>>();
    let mut pointers: Vec<*const libc::c_char> = vec![word.as_ptr().cast(); 21_475];
    pointers.push(ptr::null());
    // SAFETY: null-terminated arrays of C strings.
    unsafe { libc::execve(c"/bin/true".as_ptr(), pointers.as_ptr(), [ptr::null()].as_ptr()) };
    same!(errno(), libc::E2BIG, "2 GiB of arguments");
    Ok(())
}

fn sparse() -> Check {
    let path = std::path::Path::new("/tmp/sparse");
    let fd = sys::open(path, libc::O_RDWR | libc::O_CREAT, 0o600)?;
    // SAFETY: no memory is involved.
    let long = unsafe { libc::ftruncate(fd, i64::MAX) };
    ensure!(long == 0 || errno() == libc::EFBIG, "ftruncate: {}", sys::describe(errno()));
    let end = raw("pwrite", libc::SYS_pwrite64, [fd.into(), path_bytes(), 1, (1 << 43) - 1, 0, 0]);
    ensure!(end == Ok(1) || end.is_err(), "pwrite: {end:?}");
    // SAFETY: no memory is involved.
    let filled = unsafe { libc::fallocate(fd, 0, 0, 1 << 42) };
    ensure!(filled != 0, "4 TiB were allocated");
    Ok(())
}

fn path_bytes() -> i64 {
    c"x".as_ptr() as i64
}

fn kill_all() -> Check {
    fork(|| kill(-1, libc::SIGKILL).is_err().into())?;
    pause_for_ever()
}

fn ptrace() -> Check {
    let parent = std::os::unix::process::parent_id();
    for (request, pid) in
        [(libc::PTRACE_TRACEME, 0), (libc::PTRACE_ATTACH, parent), (libc::PTRACE_SEIZE, parent)]
    {
        let done = raw("ptrace", libc::SYS_ptrace, [request.into(), pid.into(), 0, 0, 0, 0]);
        let refused = [libc::EPERM, libc::ENOSYS, libc::ESRCH];
        ensure!(matches!(&done, Err(f) if refused.contains(&f.errno)), "ptrace: {done:?}");
    }
    Ok(())
}

/// A handler that has no stack to run on: the process dies by SIGSEGV.
fn bad_stack() -> Check {
    extern "C" fn handler(_: i32) {}
    let nowhere = map(1 << 16, libc::PROT_NONE, ANONYMOUS, -1, 0)?;
    let stack = libc::stack_t { ss_sp: nowhere as *mut _, ss_flags: 0, ss_size: 1 << 16 };
    // SAFETY: valid structs; the handler is never reached.
    unsafe {
        libc::sigaltstack(&stack, ptr::null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut());
    }
    guests::signal::default(libc::SIGSEGV)?;
    kill(guests::process::getpid(), libc::SIGUSR1)?;
    Err("it lived on".into())
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + frame[0]
}

/// Fills every buffer that the kernel has for us; each takes a bounded number of bytes.
fn buffers() -> Check {
    let chunk = vec![0; 1 << 16];
    let mut total = 0;
    for _ in 0..200 {
        let (_, pipe) = sys::pipe2(libc::O_NONBLOCK)?;
        // Root may make it larger, on Linux too.
        sys::fcntl(pipe, libc::F_SETPIPE_SZ, 1 << 20)?;
        let (near, _far) = guests::net::pair(libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
        guests::net::set_option(near, libc::SOL_SOCKET, libc::SO_SNDBUF, i32::MAX)?;
        for fd in [pipe, near] {
            let before = total;
            while let Ok(more) = sys::write(fd, &chunk) {
                total += more;
                ensure!(total - before < 1 << 24, "a buffer took 16 MiB");
            }
        }
    }
    println!("{total} bytes");
    Ok(())
}

fn vectors() -> Check {
    let (_, end) = sys::pipe2(libc::O_NONBLOCK)?;
    let fd = i64::from(end);
    let one = libc::iovec { iov_base: ptr::null_mut(), iov_len: isize::MAX as usize };
    let many = vec![one; 1025];
    let at = many.as_ptr() as i64;
    fails!(raw("writev", libc::SYS_writev, [fd, at, 1025, 0, 0, 0]), libc::EINVAL);
    fails!(raw("writev", libc::SYS_writev, [fd, at, i64::MAX, 0, 0, 0]), libc::EINVAL);
    ensure!(raw("writev", libc::SYS_writev, [fd, at, 1024, 0, 0, 0]).is_err(), "wrote nothing");
    ensure!(raw("write", libc::SYS_write, [fd, 4096, i64::MAX, 0, 0, 0]).is_err(), "wrote 4096");
    let items = vec![libc::pollfd { fd: 0, events: 0, revents: 0 }; 1_000_000];
    let at = items.as_ptr() as i64;
    fails!(raw("poll", libc::SYS_poll, [at, 1_000_000, 0, 0, 0, 0]), libc::EINVAL);
    Ok(())
}
