//! Who may know whom (ARCHITECTURE.md). Between crates the manifests say it: kernel depends on no
//! other crate of ours, platform and lab on kernel alone. Inside the kernel: the abi, the arena and
//! time know no room; net/tcp knows only time, abi and itself, so that TCP stays a function of time
//! and segments; the rooms don't know the system call table that calls them.

use super::Finding;
use super::source::{Source, word_at};

/// Crates of this workspace, under every name that a manifest may use for them.
const OURS: &[&str] = &["kernel", "platform", "lab", "afterlife", "cli", "xtask", "guests"];

/// Checks that a manifest of kernel, platform or lab depends on nothing that it must not know.
pub fn check_manifest(name: &str, path: &str, manifest: &str, findings: &mut Vec<Finding>) {
    let allowed: &[&str] = if name == "kernel" { &[] } else { &["kernel"] };
    let (mut dependencies, mut for_tests) = (false, false);
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            dependencies = line.contains("dependencies");
            for_tests = line.contains("dev-dependencies");
            continue;
        }
        let key = line.split(['.', '=', ' ']).next().unwrap_or("");
        let short = key.strip_prefix("afterlife-").unwrap_or(key);
        // The kernel's rooms are tested end to end on the lab's pure platform.
        if for_tests && name == "kernel" && short == "lab" {
            continue;
        }
        if dependencies && OURS.contains(&short) && !allowed.contains(&short) {
            findings.push(Finding {
                path: path.to_owned(),
                line: number + 1,
                message: format!("{name} must not know {key} (ARCHITECTURE.md, who may know whom)"),
            });
        }
    }
}

/// Checks the paths that a file of the kernel names.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    let Some(module) = module_of(&source.path) else { return };
    for (line, target) in paths(source, &module) {
        if let Some(why) = forbidden(&module, &target) {
            findings.push(Finding {
                path: source.path.clone(),
                line,
                message: format!("names crate::{}: {why}", target.join("::")),
            });
        }
    }
}

/// The reason for which a module may not name a path, both from the kernel's root.
fn forbidden(module: &[String], target: &[String]) -> Option<&'static str> {
    let room = module.first().map_or("", String::as_str);
    let to = target.first().map_or("", String::as_str);
    let tcp = |path: &[String]| path.len() >= 2 && path[0] == "net" && path[1] == "tcp";
    if tcp(module) && !(tcp(target) || ["time", "abi", ""].contains(&to)) {
        return Some("net/tcp knows only time, abi and itself");
    }
    match room {
        "abi" | "arena" | "time" => {
            let below = ["abi", "arena", "time", ""].contains(&to);
            (!below).then_some("abi, arena and time know no room of the kernel")
        }
        // Files of tests play the part of the world outside, which comes in by the table.
        _ if module.iter().any(|name| ["testing", "tests"].contains(&name.as_str())) => None,
        "task" | "fs" | "net" | "mm" | "ipc" | "fact" => (to == "syscall" && is_table(target))
            .then_some("the rooms don't know the system call table, it knows them"),
        _ => None,
    }
}

/// The table and the door; user copies and results, which live beside them, are for everyone.
fn is_table(target: &[String]) -> bool {
    target.get(1).is_some_and(|name| ["table", "enter", "rerun", "leave"].contains(&name.as_str()))
}

/// `crates/kernel/src/net/tcp/input.rs` → net, tcp, input. `None` outside the kernel.
fn module_of(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("crates/kernel/src/")?.strip_suffix(".rs")?;
    let names = inside.split('/').filter(|name| !["mod", "lib"].contains(name));
    Some(names.map(str::to_owned).collect())
}

/// Every `crate::a::b` and `super::a` in the code, with its line, as a path from the crate's root.
fn paths(source: &Source, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for position in source.words("crate::") {
        let names = names_from(&source.code, position + "crate::".len());
        found.push((source.line_of(position), names));
    }
    for position in source.words("super::") {
        if source.code[..position].ends_with("super::") {
            continue; // the middle of a chain that was followed from its start
        }
        let mut base = module.to_vec();
        base.extend(inline_modules(source, position));
        let mut rest = position;
        while source.code[rest..].starts_with("super::") {
            base.pop();
            rest += "super::".len();
        }
        base.extend(names_from(&source.code, rest));
        found.push((source.line_of(position), base));
    }
    found
}

fn names_from(code: &str, mut position: usize) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let name = word_at(code, position);
        if name.is_empty() {
            return names;
        }
        names.push(name.to_owned());
        position += name.len();
        if !code[position..].starts_with("::") {
            return names;
        }
        position += 2;
    }
}

/// The names of the `mod name {` blocks around a position.
fn inline_modules(source: &Source, position: usize) -> Vec<String> {
    let around = source.words("mod").into_iter().filter(|&start| {
        let end = source.body_end(start).unwrap_or(start);
        start < position && position < end
    });
    around.map(|start| word_at(&source.code, start + 3).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{check, check_manifest};
    use crate::tidy::source::Source;

    fn count(path: &str, text: &str) -> usize {
        let mut findings = Vec::new();
        check(&Source::new(path, text), &mut findings);
        findings.len()
    }

    #[test]
    fn tcp_knows_time_and_abi_and_itself() {
        let path = "crates/kernel/src/net/tcp/input.rs";
        assert_eq!(count(path, "use crate::time::Instant; use crate::abi::errno::Errno;"), 0);
        assert_eq!(count(path, "use super::state::TcpState; use crate::net::tcp::close;"), 0);
        assert_eq!(count(path, "use super::super::port::Port;"), 1);
        assert_eq!(count(path, "use crate::net::port::Port;"), 1);
        assert_eq!(count(path, "use crate::task::Task;"), 1);
        assert_eq!(count(path, "mod tests { use super::super::state::X; use super::*; }"), 0);
        assert_eq!(count("crates/kernel/src/net/tcp/mod.rs", "use super::port::Port;"), 1);
        assert_eq!(count("crates/kernel/src/net/socket.rs", "use super::port::Port;"), 0);
    }

    #[test]
    fn the_ground_knows_no_room() {
        assert_eq!(count("crates/kernel/src/abi/stat.rs", "use crate::fs::inode::Inode;"), 1);
        assert_eq!(count("crates/kernel/src/arena.rs", "use crate::kernel::Kernel;"), 1);
        assert_eq!(count("crates/kernel/src/fs/open.rs", "use crate::syscall::table::ROWS;"), 1);
        assert_eq!(count("crates/kernel/src/syscall/mod.rs", "use crate::fs::open;"), 0);
    }

    #[test]
    fn manifests_name_only_whom_they_may_know() {
        let count = |name: &str, text: &str| {
            let mut findings = Vec::new();
            check_manifest(name, "Cargo.toml", text, &mut findings);
            findings.len()
        };
        assert_eq!(count("kernel", "[dependencies]\nbytes.workspace = true\n"), 0);
        assert_eq!(count("kernel", "[dependencies]\nlab.workspace = true\n"), 1);
        assert_eq!(count("kernel", "[dev-dependencies]\nlab.workspace = true\n"), 0);
        assert_eq!(count("kernel", "[dev-dependencies]\nplatform.workspace = true\n"), 1);
        assert_eq!(count("lab", "[dependencies]\nkernel.workspace = true\n"), 0);
        assert_eq!(count("lab", "[dependencies]\nafterlife-platform = \"1\"\n"), 1);
        assert_eq!(count("lab", "[package]\nplatform = 1\n"), 0);
    }
}
