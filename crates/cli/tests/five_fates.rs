//! examples/kill-9.toml: its story, and that the five fates are those which the same guest programs
//! get from the real Linux that runs this test. T-5, T-7 to T-9, T-39 to T-41, F-2, F-6, P-1.

use cli::guests::GUESTS;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/kill-9.toml");

fn afterlife(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterlife"));
    command.arg("run").args(args).stdin(Stdio::null()).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A fresh directory of this test's own.
fn directory(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&path).expect("a directory for the test");
    path
}

/// What each client printed, by its role.
fn fates(output: &str) -> BTreeMap<String, String> {
    let roles = ["idle", "unread", "linger0", "shared", "unaccepted"];
    let line = |role: &str| {
        let found = output.lines().find_map(|l| l.split_once(&format!("{role}: ")));
        Some((role.to_owned(), found?.1.to_owned()))
    };
    roles.into_iter().filter_map(line).collect()
}

#[test]
fn the_story_is_short_and_tells_five_fates_in_release_order() {
    let output = afterlife(&[SCENARIO]);
    let story = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{story}{}", text(&output.stderr));
    assert!(story.lines().count() <= 40, "{story}");
    let steps = [
        "send_signal: SIGKILL to server[2] → complete_signal: fatal",
        "get_signal: SIGKILL → do_group_exit",
        "close_files",
        "another process holds it too",
        "SO_LINGER 0: tcp_send_active_reset [R.]",
        "5 bytes unread → unread data: tcp_send_active_reset [R.]",
        "0 bytes unread → tcp_send_fin [F.]",
        "nobody accepted it: tcp_send_active_reset [R.]",
        "exit_notify",
        "the host loses its power",
        "power-off: poll → nothing for 5 s",
        "digest ",
        "afterlife run",
    ];
    assert!(story.lines().all(|l| l.chars().count() <= 120), "{story}");
    let joined = unwrapped(&story);
    let mut rest = joined.as_str();
    for step in steps {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("{step:?} is not told, or out of order:\n{story}"));
        rest = &rest[at..];
    }
}

/// The story without the breaks of its long lines.
fn unwrapped(story: &str) -> String {
    let lines = story.lines().map(|l| match l.trim_start() {
        more if more.starts_with('→') => format!(" {more}"),
        _ => format!("\n{l}"),
    });
    lines.collect()
}

/// The README shows what is printed, but for numbers, which any change of a program moves.
#[test]
fn the_readme_shows_this_story() {
    let readme = include_str!("../../../README.md");
    let shape = |text: &str| {
        let mut masked: Vec<char> =
            text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        masked.dedup_by(|a, b| (*a, *b) == ('0', '0'));
        let masked: String = masked.into_iter().collect();
        let lines = masked.lines().filter(|l| !l.starts_with("digest "));
        lines.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let story = shape(&text(&afterlife(&[SCENARIO]).stdout));
    let shown = shape(readme);
    let at = shown.iter().position(|l| *l == story[0]).expect("the README shows the story");
    assert_eq!(shown[at..at + story.len() - 2], story[..story.len() - 2]);
}

#[test]
fn another_run_is_the_same_and_another_seed_is_another() {
    let dir = directory("digest");
    let run = |seed: &str, n: u32| {
        let (json, pcap) = (dir.join(format!("{n}.json")), dir.join(format!("{n}.pcap")));
        let paths = (json.display().to_string(), pcap.display().to_string());
        afterlife(&["--seed", seed, "--json", &paths.0, "--pcap", &paths.1, SCENARIO]);
        (fs::read(json).expect("JSON"), fs::read(pcap).expect("pcap"))
    };
    let (one, again, other) = (run("1", 1), run("1", 2), run("2", 3));
    assert!(one == again, "two runs differ");
    let end = |json: &[u8]| text(json).lines().last().unwrap_or_default().to_owned();
    assert!(end(&one.0).contains("\"kind\":\"end\""), "{}", end(&one.0));
    assert!(end(&one.0).contains("\"deterministic\":true"), "{}", end(&one.0));
    assert_ne!(end(&one.0), end(&other.0));
    fs::remove_dir_all(dir).expect("the test's own directory");
}

#[test]
fn a_trace_changes_neither_story_nor_digest() {
    let digest = |args: &[&str]| {
        let output = afterlife(args);
        let story = text(&output.stdout);
        let line = story.lines().find(|l| l.starts_with("digest ")).map(str::to_owned);
        (line.unwrap_or_else(|| panic!("no digest: {story}{}", text(&output.stderr))), story)
    };
    let (plain, _) = digest(&[SCENARIO]);
    let (traced, story) = digest(&["--trace", SCENARIO]);
    assert_eq!(plain, traced);
    assert!(story.contains("kill(2, SIGKILL) = 0"), "{story}");
}

#[test]
fn packets_have_their_host_their_stamp_and_their_cause() {
    let dir = directory("pcap");
    let path = dir.join("x.pcap").display().to_string();
    afterlife(&["--pcap", &path, SCENARIO]);
    let mut reader = PcapNgReader::new(fs::File::open(&path).expect("the file")).expect("pcapng");
    let (mut packets, mut causes) = (0, Vec::new());
    while let Some(block) = reader.next_block() {
        if let (Block::EnhancedPacket(packet), _) = block.expect("a whole block") {
            packets += 1;
            causes.push(format!("{:?}", packet.options));
        }
    }
    assert!(packets > 30, "{packets} packets");
    let cause = "server[2]: tcp_close in ESTABLISHED: Rst(Linger0)";
    assert!(causes.iter().any(|c| c.contains(cause)), "{causes:?}");
    malformed(&path);
    fs::remove_dir_all(dir).expect("the test's own directory");
}

/// Where tshark is installed, it finds nothing wrong.
fn malformed(path: &str) {
    let options = ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "udp.check_checksum:TRUE"];
    let filter = "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0";
    let mut tshark = Command::new("tshark");
    tshark.args(["-r", path, "-Y", filter]);
    for option in options {
        tshark.args(["-o", option]);
    }
    if let Ok(output) = tshark.output() {
        assert_eq!(text(&output.stdout), "", "{}", text(&output.stderr));
    }
}

/// A child that is killed with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn real_linux_deals_the_same_fates() {
    let dir = directory("native");
    for (name, bytes) in GUESTS {
        let path = dir.join(name);
        fs::write(&path, bytes).expect("a guest");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("its address").port().to_string();
    drop(free);
    // A session of its own: the forked child is killed with it at the end.
    let mut server = Command::new(dir.join("server"));
    server.args([&port, "4"]).stdin(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut server, 0);
    let server = Guard(server.spawn().expect("the server starts"));
    let pid = server.0.id().to_string();
    let fds = || fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let wait = |what: &str, ready: &dyn Fn() -> bool| {
        let begun = std::time::Instant::now();
        while !ready() {
            assert!(begun.elapsed().as_secs() < 20, "{what} does not come");
            std::thread::yield_now();
        }
    };
    wait("the listener", &|| listening(&port));
    // Whatever it inherited, and the listener; each connection adds one.
    let before = fds();
    let mut clients = Vec::new();
    for (n, role) in ["idle", "unread", "linger0", "shared", "unaccepted"].iter().enumerate() {
        let mut client = Command::new(dir.join("client"));
        client.args(["127.0.0.1", &port, role]).stdout(Stdio::piped());
        clients.push(Guard(client.spawn().expect("a client starts")));
        if *role != "unaccepted" {
            wait(role, &|| fds() > before + n);
        } else {
            wait(role, &|| connections(&port) >= 10);
        }
    }
    wait("the fork", &|| {
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).is_ok_and(|c| !c.is_empty())
    });
    let killed = Command::new(dir.join("kill")).args(["-9", &pid]).status().expect("kill starts");
    assert!(killed.success());
    let mut native = String::new();
    for client in &mut clients {
        let mut lines = BufReader::new(client.0.stdout.take().expect("a pipe"));
        lines.read_line(&mut native).expect("a line");
    }
    let group = format!("-{pid}");
    let _ = Command::new(dir.join("kill")).args(["-9", "--", &group]).output();
    drop(server);
    let inside = text(&afterlife(&[SCENARIO]).stdout);
    assert_eq!(fates(&native).len(), 5, "{native}");
    assert_eq!(fates(&native), fates(&inside));
    fs::remove_dir_all(dir).expect("the test's own directory");
}

/// Lines of /proc/net/tcp with this port in `state` (hexadecimal), at either end.
fn sockets(port: &str, state: &str) -> usize {
    let port = format!(":{:04X}", port.parse::<u16>().expect("a port"));
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let hit = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() > 3
            && words[3] == state
            && (words[1].ends_with(&port) || words[2].ends_with(&port))
    };
    table.lines().filter(hit).count()
}

fn listening(port: &str) -> bool {
    sockets(port, "0A") > 0
}

/// Both ends of each established connection.
fn connections(port: &str) -> usize {
    sockets(port, "01")
}
