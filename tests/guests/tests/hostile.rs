//! Guests that mean harm (`examples/hostile.rs`), run in afterlife: nothing on the machine changes,
//! memory and time stay bounded, the end is a clear one, and no guest is left behind.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The real time that a case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Where cargo puts the command, and one below it the examples.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_exit")).with_file_name(name)
}

fn afterlife(words: &[&str]) -> Child {
    let mut command = Command::new(built("afterlife"));
    command.args(["run", "--patience", "200ms", "--"]).arg(built("examples/hostile")).args(words);
    command.env("HOSTILE_INSIDE", "1").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("run `cargo build --workspace` first")
}

/// Runs one case to its end, within the limit.
fn hostile(words: &[&str]) -> Output {
    let mut child = afterlife(words);
    let began = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if began.elapsed() > LIMIT {
            child.kill().expect("kill");
            panic!("{words:?}: still running after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().expect("its output")
}

/// The case ends well, by its own judgement.
fn is_contained(words: &[&str]) -> String {
    let Output { status, stdout, stderr } = hostile(words);
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && out.ends_with("done\n"), "{words:?}: {status}\n{out}{err}");
    out.into_owned()
}

/// The case dies by this signal, as a shell tells it.
fn dies_by(words: &[&str], signal: i32) {
    let Output { status, stderr, .. } = hostile(words);
    let err = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(128 + signal), "{words:?}: {status}\n{err}");
}

#[test]
fn what_is_written_to_the_root_stays_inside() {
    let name = format!("hostile-{}", std::process::id());
    let before = std::fs::read("/etc/passwd").expect("passwd");
    is_contained(&["write", &name]);
    for directory in ["/", "/etc", "/tmp", "/dev/shm"] {
        assert!(!Path::new(directory).join(&name).exists(), "{directory}");
    }
    assert_eq!(std::fs::read("/etc/passwd").expect("passwd"), before);
    assert!(Path::new("/etc/hostname").exists() && Path::new("/usr/share").exists());
}

#[test]
fn the_machines_network_cannot_be_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.set_nonblocking(true).expect("nonblocking");
    let port = listener.local_addr().expect("address").port();
    is_contained(&["network", &port.to_string()]);
    assert!(listener.accept().is_err(), "somebody came out");
}

#[test]
fn forks_without_end_end_with_eagain() {
    is_contained(&["fork"]);
}

#[test]
fn threads_without_end_end_with_eagain() {
    is_contained(&["threads"]);
}

#[test]
fn promises_of_memory_and_reservations_are_free() {
    is_contained(&["allocate"]);
    is_contained(&["reserve"]);
}

#[test]
fn descriptors_end_with_emfile() {
    is_contained(&["open"]);
}

#[test]
fn time_passes_for_a_guest_that_spins() {
    dies_by(&["spin"], libc::SIGALRM);
    dies_by(&["spinners"], libc::SIGALRM);
}

#[test]
fn time_passes_for_a_guest_that_computes_while_something_waits() {
    dies_by(&["store"], libc::SIGALRM);
    is_contained(&["count", "thread"]);
    is_contained(&["count", "alarm"]);
}

#[test]
fn a_planned_kill_comes_to_a_guest_that_computes() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("computes.toml");
    let program = built("examples/hostile");
    // An hour is waited for in bounded time too, and the world may end there as well.
    let scenario = format!(
        "until = \"2h\"\n\
         [[process]]\nname = \"one\"\nhost = \"a\"\ncommand = [{program:?}, \"count\", \"never\"]\n\
         env = {{ HOSTILE_INSIDE = \"1\" }}\n\
         [[fault]]\nat = \"1h\"\nkill = \"one\"\n\
         [[check]]\nexits = {{ process = \"one\", signal = \"KILL\" }}\n"
    );
    std::fs::write(&path, scenario).expect("a scenario");
    let mut command = Command::new(built("afterlife"));
    let output = command.args(["run", "--patience", "50ms"]).arg(&path).output().expect("a run");
    let story = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{story}{}", String::from_utf8_lossy(&output.stderr));
    assert!(story.contains("3600.000000 a"), "{story}");
    assert!(story.contains("this run may not repeat: hostile[2] on a computed for "), "{story}");
    assert!(story.contains("and was pre-empted at 0x"), "{story}");
}

#[test]
fn a_guest_that_computes_for_ever_can_be_interrupted() {
    let child = afterlife(&["store"]);
    std::thread::sleep(Duration::from_millis(500));
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let status = child.wait_with_output().expect("its output").status;
    assert_eq!(status.code(), Some(130), "{status}");
}

#[test]
fn the_platforms_own_page_cannot_be_touched() {
    is_contained(&["pages"]);
}

#[test]
fn no_other_door_leads_out() {
    is_contained(&["doors"]);
    is_contained(&["jump"]);
    is_contained(&["ptrace"]);
}

#[test]
fn exec_of_a_crafted_program_ends() {
    is_contained(&["elf"]);
}

#[test]
fn sizes_beyond_all_bounds_are_refused() {
    is_contained(&["arguments"]);
    is_contained(&["sparse"]);
    is_contained(&["buffers"]);
    is_contained(&["vectors"]);
}

#[test]
fn kill_minus_one_stays_inside() {
    dies_by(&["kill-all"], libc::SIGKILL);
}

#[test]
fn a_stack_that_is_not_there_is_a_death_by_sigsegv() {
    dies_by(&["bad-stack"], libc::SIGSEGV);
    // Rust's runtime tells of an overflow and aborts.
    dies_by(&["recurse"], libc::SIGABRT);
}

/// The native processes whose parent is `pid`, and theirs.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or("");
        let parent = rest.split_whitespace().nth(1).and_then(|it| it.parse().ok());
        let own = entry.file_name().to_string_lossy().parse();
        if let (true, Ok(own)) = (parent == Some(pid), own) {
            found.push(own);
            found.extend(descendants(own));
        }
    }
    found
}

#[test]
fn kill_nine_of_afterlife_leaves_no_guest_behind() {
    let mut child = afterlife(&["store"]);
    let began = Instant::now();
    let guests = loop {
        let guests = descendants(child.id());
        if guests.len() >= 2 {
            break guests; // the zygote and the program
        }
        assert!(began.elapsed() < LIMIT, "no guest appeared");
        std::thread::sleep(Duration::from_millis(2));
    };
    child.kill().expect("kill -9");
    assert_eq!(child.wait().expect("its end").signal(), Some(libc::SIGKILL));
    let alive = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
        state.is_some_and(|it| it != 'Z' && it != 'X')
    };
    while guests.iter().any(alive) {
        assert!(began.elapsed() < LIMIT, "a guest survived: {guests:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
