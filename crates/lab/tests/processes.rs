//! Births and deaths of processes under `Scripted`: what the process room promises, end to end,
//! with rules of docs/linux-semantics.md. Neighbours: the unit tests beside the code,
//! and the guest programs, which say the same of the real kernel.

use kernel::abi::Errno;
use kernel::fact::{Entry, Fact, TaskFact};
use kernel::platform::Platform;
use kernel::task::spawn::{Spawn, Stdio};
use kernel::task::{Cred, Pid, WaitStatus};
use kernel::{Config, Kernel};
use lab::scripted::{Insn, Is, Program, Reg, Scripted, Value};

const MMAP: u64 = 9;
const SIGACTION: u64 = 13;
const SCHED_YIELD: u64 = 24;
const PAUSE: u64 = 34;
const GETPID: u64 = 39;
const CLONE: u64 = 56;
const FORK: u64 = 57;
const VFORK: u64 = 58;
const EXECVE: u64 = 59;
const EXIT: u64 = 60;
const WAIT4: u64 = 61;
const GETPPID: u64 = 110;
const PRCTL: u64 = 157;
const GETTID: u64 = 186;
const WAITID: u64 = 247;
const WCLONE: u64 = 0x8000_0000;
/// CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD.
const THREAD: u64 = 0x10f00;
const ECHILD: i64 = -10;

/// A host with its guests.
struct World {
    kernel: Kernel,
    user: Scripted,
}

impl World {
    fn new() -> World {
        let mut user = Scripted::default();
        user.lower.add_directory("/tmp");
        let config = Config { check_reruns: true, ..Config::default() };
        World { kernel: Kernel::boot(config), user }
    }

    fn spawn(&mut self, path: &str) -> Result<Pid, Errno> {
        let (argv, envp) = (vec![path.into()], Vec::new());
        let (cwd, cred, stdio) = (b"/".to_vec(), Cred::user(0, 0), Stdio::Null);
        let spawn = Spawn { argv, envp, cwd, cred, umask: 0o022, stdio, init: false };
        self.kernel.spawn_process(spawn, &mut self.user).map_err(|e| e.errno)
    }

    /// Until nobody can run and no time would help.
    fn run(&mut self) {
        for _ in 0..100_000 {
            let Some(task) = self.kernel.run_queue.first() else {
                let Some(deadline) = self.kernel.next_deadline() else { return };
                self.kernel.now = self.kernel.now.max(deadline);
                self.kernel.expire();
                continue;
            };
            if !self.kernel.resume(task, &mut self.user) {
                continue;
            }
            let guest = self.kernel.tasks[task].guest.expect("who runs has a guest");
            let mut regs = self.kernel.tasks[task].regs;
            let trap = self.user.run(guest, &mut regs);
            self.kernel.tasks[task].regs = regs;
            self.kernel.enter(task, trap, &mut self.user);
        }
        panic!("the world does not come to rest");
    }

    /// Runs `program` as process 2 to its end and says how it ended; nothing may be left of it.
    fn outcome(&mut self, program: Program) -> WaitStatus {
        self.user.install("/program", program);
        let pid = self.spawn("/program").expect("a good program starts");
        self.run();
        let status = self.reaped(pid).expect("the process ended");
        assert_eq!(self.user.guest_count(), 0, "every guest is released");
        let k = &self.kernel;
        assert_eq!((k.tasks.len(), k.groups.len()), (1, 1), "only init is left");
        let left = (k.mms.len(), k.files.len(), k.tables.len(), k.sighands.len());
        assert_eq!(left, (0, 0, 1, 1), "memory, files, tables, handlers");
        assert_eq!(k.fs_structs.len(), 1);
        status
    }

    fn reaped(&self, pid: Pid) -> Option<WaitStatus> {
        self.kernel.facts.iter().find_map(|e| match &e.fact {
            Fact::Task(TaskFact::Reaped { pid: p, status }) if *p == pid => Some(*status),
            _ => None,
        })
    }

    /// Where in the story something happened.
    fn when(&self, what: impl Fn(&Entry) -> bool) -> usize {
        self.kernel.facts.iter().position(what).expect("it happened")
    }
}

/// `if rax == 0 { child }`: the child must not fall through.
fn in_child(p: &mut Program, child: impl FnOnce(&mut Program)) {
    let parent = p.label();
    p.push(Insn::JumpIf(Reg::Rax.into(), Is::NotEqual, 0.into(), parent));
    child(p);
    p.here(parent);
}

/// A thread that shares everything, on a stack of its own.
fn clone_thread(p: &mut Program, stack: u64) {
    p.call(CLONE, [THREAD.into(), stack.into(), 0.into(), 0.into(), 0.into()]);
}

/// wait4(-1, status, options, 0).
fn wait_any(p: &mut Program, status: u64, options: u64) {
    p.call(WAIT4, [(-1).into(), status.into(), options.into(), 0.into()]);
}

/// The status word at `status` must be `value`.
fn expect_status(p: &mut Program, status: u64, value: i64, code: i32) {
    p.set(Reg::Rax, Value::Int(status));
    p.expect(value, code);
}

fn yield_often(p: &mut Program) {
    for _ in 0..6 {
        p.call(SCHED_YIELD, []);
    }
}

const GOOD: WaitStatus = WaitStatus::exited(0);

#[test]
fn a_death_goes_through_its_steps_in_order() {
    //
    let mut p = Program::new(0);
    p.exit(3);
    let mut w = World::new();
    assert_eq!(w.outcome(p), WaitStatus::exited(3));
    let steps: Vec<String> = w
        .kernel
        .facts
        .iter()
        .filter(|e| e.pid == Some(Pid(2)))
        .filter_map(|e| if let Fact::Task(f) = &e.fact { Some(format!("{f:?}")) } else { None })
        .map(|f| f.split([' ', '{']).next().unwrap_or_default().to_owned())
        .collect();
    let death = ["DoGroupExit", "DoExit", "ExitMm", "ExitFiles", "ExitFs", "TaskWorkRun"];
    let expected = [&["Exec"][..], &death, &["ExitNotify", "Reaped"]].concat();
    assert_eq!(steps, expected);
}

#[test]
fn a_parent_waits_for_its_child_and_hears_its_status() {
    let mut p = Program::new(0);
    let status = p.space(8);
    p.call(FORK, []);
    in_child(&mut p, |p| p.exit(7));
    wait_any(&mut p, status, 0);
    p.expect(3, 1);
    expect_status(&mut p, status, 0x700, 2);
    wait_any(&mut p, status, 0);
    p.expect(ECHILD, 3);
    p.exit(0);
    assert_eq!(World::new().outcome(p), GOOD);
}

#[test]
fn memory_of_a_fork_is_a_copy() {
    let mut p = Program::new(0);
    let word = p.space(8);
    p.call(FORK, []);
    in_child(&mut p, |p| {
        p.push(Insn::Store { to: word.into(), value: 1.into(), size: 8 });
        p.exit(0);
    });
    wait_any(&mut p, 0, 0);
    expect_status(&mut p, word, 0, 1);
    p.exit(0);
    assert_eq!(World::new().outcome(p), GOOD);
}

#[test]
fn a_vfork_parent_stands_still_until_its_child_lets_go_of_the_memory() {
    //
    let mut p = Program::new(0);
    let word = p.space(8);
    p.call(VFORK, []);
    in_child(&mut p, |p| {
        p.call(SCHED_YIELD, []);
        p.push(Insn::Store { to: word.into(), value: 5.into(), size: 8 });
        p.exit(0);
    });
    expect_status(&mut p, word, 5, 1);
    wait_any(&mut p, 0, 0);
    p.exit(0);
    let mut w = World::new();
    assert_eq!(w.outcome(p), GOOD);
    let gone =
        w.when(|e| matches!(e.fact, Fact::Task(TaskFact::ExitMm { .. })) && e.pid == Some(Pid(3)));
    let back =
        w.when(|e| matches!(&e.fact, Fact::Syscall(it) if it.nr == VFORK && it.result == Some(3)));
    assert!(gone < back);
}

#[test]
fn exec_makes_another_program_of_the_same_process() {
    let mut other = Program::new(1);
    other.call(GETPID, []);
    other.expect(2, 1);
    other.exit(9);
    let mut p = Program::new(0);
    let path = p.string("/other");
    let argv = p.pointers(&[path]);
    p.call(EXECVE, [path.into(), argv.into(), 0.into()]);
    p.exit(1);
    let mut w = World::new();
    w.user.install("/other", other);
    assert_eq!(w.outcome(p), WaitStatus::exited(9));
}

#[test]
fn a_program_that_cannot_be_loaded_dies_of_sigsegv() {
    // Past the point of no return there is nobody left to tell.
    let mut image = Program::new(1);
    image.exit(0);
    let mut image = image.image();
    image[64 + 32..64 + 40].copy_from_slice(&u64::MAX.to_le_bytes()); // p_filesz
    let mut p = Program::new(0);
    let path = p.string("/absurd");
    p.call(EXECVE, [path.into(), 0.into(), 0.into()]);
    p.exit(1);
    let mut w = World::new();
    w.user.lower.add_file("/absurd", 0o755, image);
    assert_eq!(w.outcome(p), WaitStatus(11));
}

#[test]
fn exec_from_a_thread_kills_the_others_and_takes_the_leaders_number() {
    //
    let mut other = Program::new(1);
    other.call(GETPID, []);
    other.expect(2, 1);
    other.call(GETTID, []);
    other.expect(2, 2);
    other.exit(4);
    let mut p = Program::new(0);
    let path = p.string("/other");
    let argv = p.pointers(&[path]);
    let stack = p.space(4096) + 4096;
    clone_thread(&mut p, stack);
    in_child(&mut p, |p| {
        p.call(EXECVE, [path.into(), argv.into(), 0.into()]);
        p.exit(1);
    });
    p.call(PAUSE, []);
    p.exit(3);
    let mut w = World::new();
    w.user.install("/other", other);
    assert_eq!(w.outcome(p), WaitStatus::exited(4));
}

#[test]
fn the_last_thread_to_leave_says_how_the_process_ended() {
    // the leader left with 1 before, and was no zombie to its parent.
    let mut p = Program::new(0);
    let status = p.space(8);
    let stack = p.space(4096) + 4096;
    p.call(FORK, []);
    in_child(&mut p, |p| {
        clone_thread(p, stack);
        in_child(p, |p| {
            yield_often(p);
            p.call(EXIT, [2.into()]);
        });
        p.call(EXIT, [1.into()]);
    });
    p.call(SCHED_YIELD, []);
    p.call(SCHED_YIELD, []);
    wait_any(&mut p, status, 1); // WNOHANG
    p.expect(0, 1);
    wait_any(&mut p, status, 0);
    expect_status(&mut p, status, 0x200, 2);
    p.exit(0);
    assert_eq!(World::new().outcome(p), GOOD);
}

#[test]
fn an_exit_of_the_group_ends_threads_that_sleep() {
    //
    let mut p = Program::new(0);
    let stack = p.space(4096) + 4096;
    clone_thread(&mut p, stack);
    in_child(&mut p, |p| {
        p.call(PAUSE, []);
        p.exit(1);
    });
    p.call(SCHED_YIELD, []);
    p.exit(6);
    assert_eq!(World::new().outcome(p), WaitStatus::exited(6));
}

#[test]
fn children_of_who_ignores_sigchld_are_reaped_by_themselves() {
    // the blocked waiter is woken and finds no child.
    let mut p = Program::new(0);
    let mut action = [0; 32];
    action[0] = 1; // SIG_IGN
    let action = p.bytes(&action);
    p.call(SIGACTION, [17.into(), action.into(), 0.into(), 8.into()]);
    p.expect(0, 1);
    p.call(FORK, []);
    in_child(&mut p, |p| {
        p.call(SCHED_YIELD, []);
        p.exit(0);
    });
    wait_any(&mut p, 0, 0);
    p.expect(ECHILD, 2);
    p.exit(0);
    assert_eq!(World::new().outcome(p), GOOD);
}

#[test]
fn an_orphan_goes_to_the_nearest_subreaper() {
    // 4, whose parent 3 dies, is waited for by 2.
    let mut p = Program::new(0);
    let status = p.space(8);
    p.call(PRCTL, [36.into(), 1.into()]); // PR_SET_CHILD_SUBREAPER
    p.call(FORK, []);
    in_child(&mut p, |p| {
        p.call(FORK, []);
        in_child(p, |p| {
            yield_often(p);
            p.call(GETPPID, []);
            p.expect(2, 1);
            p.exit(8);
        });
        p.exit(0);
    });
    wait_any(&mut p, status, 0);
    p.expect(3, 1);
    wait_any(&mut p, status, 0);
    p.expect(4, 2);
    expect_status(&mut p, status, 0x800, 3);
    p.exit(0);
    assert_eq!(World::new().outcome(p), GOOD);
}

#[test]
fn a_child_that_asked_for_it_is_told_of_its_parents_death() {
    // SIGKILL for 3 when 2 dies; then it is init's, and reaped at once.
    let mut p = Program::new(0);
    p.call(FORK, []);
    in_child(&mut p, |p| {
        p.call(PRCTL, [1.into(), 9.into()]); // PR_SET_PDEATHSIG
        p.call(PAUSE, []);
        p.exit(0);
    });
    yield_often(&mut p);
    p.exit(0);
    let mut w = World::new();
    assert_eq!(w.outcome(p), GOOD);
    assert_eq!(w.reaped(Pid(3)), Some(WaitStatus(9)));
}

#[test]
fn a_clone_child_is_waited_for_with_wclone_only() {
    // exit signal 0.
    let mut p = Program::new(0);
    p.call(CLONE, [0.into(), 0.into(), 0.into(), 0.into(), 0.into()]);
    in_child(&mut p, |p| p.exit(0));
    wait_any(&mut p, 0, 0);
    p.expect(ECHILD, 1);
    wait_any(&mut p, 0, WCLONE);
    p.expect(3, 2);
    p.exit(0);
    assert_eq!(World::new().outcome(p), GOOD);
}

#[test]
fn a_child_is_born_with_its_pidfd() {
    const CLONE_PIDFD: u64 = 0x1000;
    const P_PIDFD: u64 = 3;
    const WEXITED: u64 = 4;
    let mut p = Program::new(0);
    let fd = p.space(8);
    let info = p.space(128);
    let flags = CLONE_PIDFD | 17;
    p.call(CLONE, [flags.into(), 0.into(), 8.into(), 0.into(), 0.into()]);
    p.expect(-14, 1); // EFAULT, and nobody was born
    p.call(CLONE, [flags.into(), 0.into(), fd.into(), 0.into(), 0.into()]);
    in_child(&mut p, |p| p.exit(6));
    expect_status(&mut p, fd, 3, 2);
    let args = [P_PIDFD.into(), Value::Int(fd), info.into(), WEXITED.into(), 0.into()];
    p.call(WAITID, args);
    p.expect(0, 3);
    expect_status(&mut p, info + 24, 6, 4);
    p.exit(0);
    assert_eq!(World::new().outcome(p), GOOD);
}

#[test]
fn memory_beyond_the_hosts_is_refused_when_it_is_mapped() {
    const PRIVATE: u64 = 0x22; // MAP_PRIVATE | MAP_ANONYMOUS
    const NORESERVE: u64 = 0x4000;
    let map = |p: &mut Program, len: u64, prot: u64, flags: u64| {
        p.call(MMAP, [0.into(), len.into(), prot.into(), flags.into(), (-1).into(), 0.into()]);
    };
    let mut p = Program::new(0);
    map(&mut p, 96 << 20, 3, PRIVATE);
    p.expect(-12, 1); // ENOMEM
    map(&mut p, 96 << 20, 0, PRIVATE);
    p.expect_success(2); // PROT_NONE costs nothing
    map(&mut p, 96 << 20, 3, PRIVATE | NORESERVE);
    p.expect_success(3);
    map(&mut p, 0, 3, PRIVATE);
    p.expect(-22, 4); // EINVAL
    p.exit(0);
    let mut w = World::new();
    w.kernel = Kernel::boot(Config { memory: 64 << 20, check_reruns: true, ..Config::default() });
    assert_eq!(w.outcome(p), GOOD);
}

#[test]
fn no_truncated_program_makes_the_kernel_stumble() {
    let mut p = Program::new(0);
    p.bytes(b"data");
    p.exit(0);
    let image = p.image();
    let headers = 64 + 2 * 56;
    for len in (0..headers + 20).chain([image.len() - 1]) {
        let mut w = World::new();
        w.user.lower.add_file("/broken", 0o755, image[..len].to_vec());
        match w.spawn("/broken") {
            Err(errno) => assert_eq!(errno, Errno::ENOEXEC, "cut at {len}"),
            // All headers are there: it starts, and would die at its first instruction.
            Ok(_) => assert!(len >= headers, "cut at {len}"),
        }
    }
}

#[test]
fn scripts_start_their_interpreter_and_endless_ones_are_eloop() {
    let mut p = Program::new(0);
    p.exit(5);
    let mut w = World::new();
    w.user.install("/interpreter", p);
    w.user.lower.add_file("/script", 0o755, b"#!/interpreter -x\n".to_vec());
    w.user.lower.add_file("/endless", 0o755, b"#!/endless\n".to_vec());
    w.user.lower.add_file("/plain", 0o644, b"#!/interpreter\n".to_vec());
    w.user.lower.add_file("/lost", 0o755, b"#!/nowhere\n".to_vec());
    assert_eq!(w.spawn("/endless"), Err(Errno::ELOOP));
    assert_eq!(w.spawn("/plain"), Err(Errno::EACCES));
    assert_eq!(w.spawn("/lost"), Err(Errno::ENOENT));
    assert_eq!(w.spawn("/tmp"), Err(Errno::EACCES));
    let pid = w.spawn("/script").expect("it starts");
    w.run();
    assert_eq!(w.reaped(pid), Some(WaitStatus::exited(5)));
}

#[test]
fn a_failed_start_leaves_nothing() {
    let mut p = Program::new(0);
    p.exit(0);
    let mut image = p.image();
    image[64 + 32..64 + 40].copy_from_slice(&u64::MAX.to_le_bytes()); // p_filesz
    let mut w = World::new();
    w.user.lower.add_file("/absurd", 0o755, image);
    assert_eq!(w.spawn("/nothing"), Err(Errno::ENOENT));
    assert_eq!(w.spawn("/absurd"), Err(Errno::EINVAL));
    assert_eq!(w.user.guest_count(), 0);
    let k = &w.kernel;
    assert_eq!((k.tasks.len(), k.groups.len()), (1, 1));
    assert_eq!((k.files.len(), k.tables.len(), k.sighands.len(), k.mms.len()), (0, 1, 1, 0));
}
