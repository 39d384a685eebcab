//! Forbidden words. kernel and lab are values: no hash order, no shared mutability, no globals, no
//! clock, no threads and no I/O, because any of them makes two runs differ. `unsafe` lives in
//! crates/platform and in the guest programs only. Nobody leaves `todo!` behind.

use super::Finding;
use super::source::Source;

/// Words that kernel and lab never use, and why.
const PURE: &[(&str, &str)] = &[
    ("HashMap", "its order is not deterministic; use BTreeMap"),
    ("HashSet", "its order is not deterministic; use BTreeSet"),
    ("RefCell", "the kernel is a value; mutate through &mut"),
    ("Cell<", "the kernel is a value; mutate through &mut"),
    ("OnceCell", "the kernel is a value; mutate through &mut"),
    ("OnceLock", "no globals"),
    ("LazyLock", "no globals"),
    ("Mutex", "the kernel is a value; mutate through &mut"),
    ("RwLock", "the kernel is a value; mutate through &mut"),
    ("Rc<", "use an Id into an Arena"),
    ("static mut", "no globals"),
    ("thread_local", "no globals"),
    ("std::time", "time is an argument; use crate::time"),
    ("SystemTime", "time is an argument; use crate::time"),
    ("Instant::now", "time is an argument"),
    ("std::fs", "no I/O here; ask the platform"),
    ("std::thread", "no threads here"),
    ("std::process", "no I/O here; ask the platform"),
    ("std::env", "what the machine says is an argument"),
    ("std::io", "no I/O here"),
    ("println!", "no I/O here; emit a fact"),
    ("eprintln!", "no I/O here; emit a fact"),
];

/// What kernel and lab may not take from std::net and std::os: the addresses are fine.
const SOCKETS: &[&str] = &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener"];

/// Words that nobody uses.
const EVERYWHERE: &[(&str, &str)] = &[
    ("todo!", "do it, or return what Linux without the feature returns"),
    ("unimplemented!", "return what Linux without the feature returns, and emit Fact::Unsupported"),
    ("dbg!", "remove it"),
];

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["crates/platform/", "crates/packetdrill/src/border/", "tests/guests/"];

/// Crates whose lib.rs forbids `unsafe` to the compiler as well.
const FORBID: &[&str] =
    &["crates/kernel/src/lib.rs", "crates/lab/src/lib.rs", "crates/cli/src/lib.rs"];

/// Applies the rules about words to one file.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    let pure = ["crates/kernel/", "crates/lab/"].iter().any(|at| source.path.starts_with(at));
    let words = EVERYWHERE.iter().chain(PURE.iter().filter(|_| pure));
    for (word, why) in words {
        report(source, word, why, findings);
    }
    if pure {
        sockets(source, findings);
    }
    if !UNSAFE.iter().any(|at| source.path.starts_with(at)) {
        report(source, "unsafe", "only crates/platform and guest programs may", findings);
    }
    if FORBID.contains(&source.path.as_str()) && !source.code.contains("#![forbid(unsafe_code)]") {
        findings.push(Finding {
            path: source.path.clone(),
            line: 1,
            message: "write `#![forbid(unsafe_code)]` at its top".into(),
        });
    }
}

/// The standard library's sockets, in a path or in a `use` with braces. Our own may have the names.
fn sockets(source: &Source, findings: &mut Vec<Finding>) {
    for position in source.words("std::net").into_iter().chain(source.words("std::os")) {
        let statement = source.code[position..].split([';', '(']).next().unwrap_or("");
        for name in SOCKETS.iter().filter(|name| statement.contains(*name)) {
            findings.push(Finding {
                path: source.path.clone(),
                line: source.line_of(position),
                message: format!("`{name}` is forbidden here: no I/O here"),
            });
        }
    }
}

fn report(source: &Source, word: &str, why: &str, findings: &mut Vec<Finding>) {
    for position in source.words(word) {
        findings.push(Finding {
            path: source.path.clone(),
            line: source.line_of(position),
            message: format!("`{word}` is forbidden here: {why}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&Source::new(path, text), &mut findings);
        findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn the_kernel_may_not_hash_and_the_command_may() {
        let text = "use std::collections::HashMap;\n";
        assert_eq!(messages("crates/kernel/src/a.rs", text).len(), 1);
        assert_eq!(messages("crates/lab/src/a.rs", text).len(), 1);
        assert!(messages("crates/cli/src/a.rs", text).is_empty());
    }

    #[test]
    fn words_in_comments_and_strings_are_free() {
        let text =
            "// unlike HashMap\nlet x = \"std::fs\"; let a: SocketAddr = y; let b: Arc<u8>;\n";
        assert!(messages("crates/kernel/src/a.rs", text).is_empty());
    }

    #[test]
    fn the_machines_sockets_are_forbidden_and_our_own_are_not() {
        let text =
            "use std::net::{SocketAddr, UdpSocket};\nlet a = std::net::TcpStream::connect(b);\n";
        assert_eq!(messages("crates/lab/src/a.rs", text).len(), 2);
        let text = "use std::net::Ipv4Addr;\nuse crate::net::udp::UdpSocket;\n";
        assert!(messages("crates/kernel/src/a.rs", text).is_empty());
    }

    #[test]
    fn unsafe_lives_in_the_platform() {
        let text = "fn f() { unsafe { g() } }\n";
        assert!(messages("crates/platform/src/a.rs", text).is_empty());
        assert!(messages("tests/guests/src/lib.rs", text).is_empty());
        assert_eq!(messages("crates/cli/src/run.rs", text).len(), 1);
    }

    #[test]
    fn the_pure_crates_forbid_unsafe_to_the_compiler() {
        assert_eq!(messages("crates/kernel/src/lib.rs", "//! The kernel.\n").len(), 1);
        assert!(messages("crates/kernel/src/lib.rs", "#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn nobody_leaves_work_behind() {
        assert_eq!(messages("xtask/src/a.rs", "fn f() { todo!() }\n").len(), 1);
    }
}
