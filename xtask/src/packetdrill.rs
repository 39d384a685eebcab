//! `cargo xtask packetdrill`: scripts in packetdrill's language, on the real kernel and on our TCP
//! (crates/packetdrill). Ours are in tests/packetdrill; Debian's `linux-source-6.12` has some, and
//! PACKETDRILL_SCRIPTS names directories with more. The program itself is no part of this repository:
//! PACKETDRILL names it, or it is in PATH. Both sides run in a network namespace of their own.
//! Neighbour: `yardstick` (the package).

use crate::{nobody, root, yardstick};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The addresses and names that scripts expect from whoever runs them.
const ARGUMENTS: [&str; 13] = [
    "--ip_version=ipv4",
    "--local_ip=192.168.0.1",
    "--gateway_ip=192.168.0.1",
    "--netmask_ip=255.255.0.0",
    "--remote_ip=192.0.2.1",
    "-D",
    "TFO_COOKIE=3021b9d889017eeb",
    "-D",
    "CODE=host_unreachable",
    "-D",
    "CMSG_LEVEL_IP=SOL_IP",
    "-D",
    "CMSG_TYPE_RECVERR=IP_RECVERR",
];
const ALLOWED: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
/// What scripts of others may be off: as Linux's own runner says on a slow machine.
const TOLERANCE: &str = "--tolerance_usecs=14000";
/// How often a script may fail on the real kernel, whose time is this loaded machine's.
const ATTEMPTS: usize = 3;

/// Runs every script whose name contains the filter on both sides.
pub fn run(filter: &str) -> Result<(), String> {
    let program = program().ok_or(
        "packetdrill: there is no program `packetdrill` in PATH, and PACKETDRILL names none: \
         build it from github.com/google/packetdrill",
    )?;
    if !nobody::root_runs_us() {
        return Err("packetdrill: it needs root, for a network namespace and locked memory".into());
    }
    if let Ok(allowed) = std::fs::read_to_string(ALLOWED)
        && !allowed.contains("cubic")
    {
        let all = format!("{} cubic", allowed.trim());
        println!(
            "packetdrill: the real kernel does not let a namespace use cubic, which scripts ask \
             for: `sysctl net.ipv4.tcp_allowed_congestion_control=\"{all}\"` does"
        );
    }
    let library = library()?;
    let mut sum: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut failed = Vec::new();
    for (name, path) in scripts()?.into_iter().filter(|(name, _)| name.contains(filter)) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let count = sum.entry(folder).or_default();
        count[2] += 1;
        let tolerant = !name.starts_with("ours/");
        let ours = one(&program, &path, Some(&library), tolerant)?;
        let natively = (0..ATTEMPTS).find_map(|_| match one(&program, &path, None, true) {
            Ok(output) if !output.status.success() => None,
            done => Some(done),
        });
        if natively.transpose()?.is_none() {
            println!("packetdrill: {name}: fails on the real kernel");
        } else if ours.status.success() {
            count[0] += 1;
            count[1] += 1;
        } else {
            count[1] += 1;
            println!("packetdrill: {name}: here {}", said(&ours));
            failed.push(name);
        }
    }
    for (folder, [here, natively, all]) in &sum {
        println!("packetdrill: {folder}: {here} of {natively} that pass natively, of {all}");
    }
    let held: Vec<&String> = failed.iter().filter(|name| name.starts_with("ours/")).collect();
    if held.is_empty() { Ok(()) } else { Err(format!("packetdrill: ours differ: {held:?}")) }
}

/// The step of `ci`: our own scripts on our TCP, where the program is.
pub fn held() -> Result<(), String> {
    let (Some(program), true) = (program(), nobody::root_runs_us()) else {
        println!("ci: skipped: there is no program `packetdrill` here, or root does not run us");
        return Ok(());
    };
    let library = library()?;
    for (name, path) in scripts_in("ours", &root().join("tests/packetdrill")) {
        let ours = one(&program, &path, Some(&library), false)?;
        if !ours.status.success() {
            return Err(format!("packetdrill: {name}: {}", said(&ours)));
        }
    }
    Ok(())
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PACKETDRILL") {
        return Some(named.into());
    }
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|at| at.join("packetdrill")).find(|at| at.is_file())
}

/// Builds ours.
fn library() -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "afterlife-packetdrill"]);
    crate::ci::finish(cargo)?;
    // Beside this program, whatever the target directory is.
    let here = std::env::current_exe().map_err(|error| format!("packetdrill: {error}"))?;
    Ok(here.with_file_name("libafterlife_packetdrill.so"))
}

/// All scripts by name: `ours/…`, `linux/…`, and the directories that were named.
fn scripts() -> Result<Vec<(String, PathBuf)>, String> {
    let mut all = scripts_in("ours", &root().join("tests/packetdrill"));
    match yardstick::tests_of_linux() {
        Ok(tests) => all.extend(scripts_in("linux", &tests.join("net/packetdrill"))),
        Err(why) => println!("packetdrill: without Linux's own scripts: {why}"),
    }
    let named = std::env::var_os("PACKETDRILL_SCRIPTS").unwrap_or_default();
    for directory in std::env::split_paths(&named).filter(|it| !it.as_os_str().is_empty()) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.extend(scripts_in(&name, &directory));
    }
    Ok(all)
}

fn scripts_in(name: &str, directory: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            found.extend(scripts_in(&name, &path));
        } else if name.ends_with(".pkt") {
            found.push((name, path));
        }
    }
    found.sort();
    found
}

/// One script, on our side with a library. There the namespace has a device of the name that scripts configure; packetdrill
/// makes its own on the other.
fn one(
    program: &Path,
    script: &Path,
    library: Option<&Path>,
    tolerant: bool,
) -> Result<Output, String> {
    let mut shell = "ip link set lo up; ".to_owned();
    let mut arguments: Vec<String> = ARGUMENTS.iter().map(|&it| it.to_owned()).collect();
    let mut command = Command::new("timeout");
    // A script's own tolerance comes after this one and wins.
    arguments.extend(tolerant.then(|| TOLERANCE.to_owned()));
    if let Some(library) = library {
        shell += "ip tuntap add tun0 mode tun && ip link set tun0 up; ";
        arguments.push(format!("--so_filename={}", library.display()));
        command.env("AFTERLIFE_PACKETDRILL", library);
        shell += "LD_PRELOAD=$AFTERLIFE_PACKETDRILL ";
    }
    shell += "exec \"$0\" \"$@\"";
    command.args(["60", "unshare", "--net", "sh", "-c", &shell]).arg(program).args(arguments);
    let directory = script.parent().unwrap_or(script);
    command.arg(script.file_name().unwrap_or_default()).current_dir(directory);
    command.output().map_err(|error| format!("packetdrill: {}: {error}", script.display()))
}

/// What a failed run says: the first line that is of the script.
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.contains(".pkt:")).or(text.lines().last());
    format!("{}: {}", output.status, line.unwrap_or("nothing said"))
}
