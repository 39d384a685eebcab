//! Where the programs come from: Debian's package with Linux's source, of which only the tests and
//! the headers that they include are unpacked, below `target/yardstick` and once; then one line of gcc
//! for each program, static, optimized little.

use super::programs::Program;
use crate::root;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGE: &str = "linux-source-6.12";
const TARBALL: &str = "/usr/src/linux-source-6.12.tar.xz";
/// What is unpacked of it.
const PARTS: [&str; 5] = [
    "tools/testing/selftests",
    "tools/include",
    "tools/arch/x86/include",
    "include/uapi",
    "arch/x86/include/uapi",
];

/// The unpacked tests; installs the package and unpacks it where that was not done yet. The error is a
/// sentence.
pub fn tree() -> Result<PathBuf, String> {
    let target = root().join("target/yardstick");
    let tests = target.join("tools/testing/selftests");
    if target.join("unpacked").exists() {
        return Ok(tests);
    }
    install()?;
    std::fs::create_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&target).args(["--strip-components=1", "-xf", TARBALL]);
    tar.args(PARTS.map(|part| format!("{PACKAGE}/{part}")));
    tar.env("XZ_DEFAULTS", "--threads=2");
    quietly(tar)?;
    std::fs::write(target.join("unpacked"), "").map_err(|error| error.to_string())?;
    Ok(tests)
}

fn install() -> Result<(), String> {
    if Path::new(TARBALL).exists() {
        return Ok(());
    }
    let how = format!("`apt-get install {PACKAGE}`, as root on Debian, brings Linux's tests");
    if !crate::nobody::root_runs_us() {
        return Err(format!("{TARBALL} is not here; {how}"));
    }
    for words in
        [["-q", "update"].as_slice(), &["-q", "-y", "--no-install-recommends", "install", PACKAGE]]
    {
        let mut apt = Command::new("timeout");
        apt.args(["300", "apt-get"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
        quietly(apt).map_err(|why| format!("{PACKAGE} cannot be installed here: {why}"))?;
    }
    if Path::new(TARBALL).exists() { Ok(()) } else { Err(format!("{TARBALL} is not here; {how}")) }
}

fn quietly(mut command: Command) -> Result<(), String> {
    let line = format!("{command:?}").replace('"', "");
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`{line}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("`{line}` ended with {}: {}", output.status, said.lines().last().unwrap_or("")))
}

/// Builds those that are not built yet; the paths of those that could be, by their source.
pub fn build(programs: &[&Program]) -> Result<BTreeMap<&'static str, PathBuf>, String> {
    let tests = tree()?;
    let mut built = BTreeMap::new();
    for program in programs {
        let path = root().join("target/yardstick/built").join(program.source);
        if !path.exists() {
            if let Err(why) = one(program, &tests, &path) {
                println!("yardstick: {} does not build: {why}", program.source);
                continue;
            }
            prepare(program, &path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        built.insert(program.source, path);
    }
    Ok(built)
}

fn one(program: &Program, tests: &Path, path: &Path) -> Result<(), String> {
    let source = tests.join(program.source).with_extension("c");
    let directory = source.parent().unwrap_or(tests);
    let at = path.parent().unwrap_or(path);
    std::fs::create_dir_all(at).map_err(|error| format!("{}: {error}", at.display()))?;
    let mut gcc = Command::new("gcc");
    gcc.current_dir(directory).args([
        "-static",
        "-O1",
        "-w",
        "-D_GNU_SOURCE",
        "-no-pie",
        "-I../include",
    ]);
    gcc.arg("-I../..").arg("-I..").arg("-I").arg(tests).arg("-o").arg(path).arg(&source);
    gcc.args(program.gcc).args(["-pthread", "-lrt", "-lm"]);
    quietly(gcc)
}

/// What the tests' own makefile puts beside exec/execveat.
fn prepare(program: &Program, path: &Path) -> std::io::Result<()> {
    if program.source != "exec/execveat" {
        return Ok(());
    }
    use std::os::unix::fs::{PermissionsExt, symlink};
    let beside = |name: &str| path.with_file_name(name);
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    std::fs::create_dir_all(beside("subdir"))?;
    std::fs::write(beside("script"), "#!/bin/bash\nexit $*\n")?;
    mode(&beside("script"), 0o755)?;
    std::fs::write(beside("Makefile"), "")?;
    symlink("execveat", beside("execveat.symlink"))?;
    std::fs::copy(path, beside("execveat.denatured"))?;
    mode(&beside("execveat.denatured"), 0o644)
}
