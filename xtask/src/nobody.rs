//! Running things as `nobody`: uid and gid 65534, no groups, no capabilities, an empty bounding set.
//! Used by `ci` for the test binaries (run in place, without cargo, which nobody can't use) and by
//! `native --as-nobody`. Where it is impossible, `obstacle` says why in a sentence.

use crate::ci::finish;
use crate::root;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

const NOBODY: u32 = 65534;

/// Why nothing under `path` can be run as nobody by this process; `None` when it can.
pub fn obstacle(path: &Path) -> Option<String> {
    if !root_runs_us() {
        return Some("only root can become nobody, and you are an ordinary user already".into());
    }
    let shut = path.ancestors().find(|directory| {
        let open = std::fs::metadata(directory).map(|it| it.permissions().mode() & 0o005 == 0o005);
        !open.unwrap_or(false)
    })?;
    Some(format!(
        "nobody cannot enter {}; check the repository out below /tmp, as .ci/run does",
        shut.display()
    ))
}

pub fn root_runs_us() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The command that runs `program` as nobody without capabilities.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    command.arg(program).env("HOME", "/nonexistent");
    command
}

/// Every test binary of the workspace, run as nobody in its package's directory.
pub fn tests() -> Result<(), String> {
    if let Some(why) = obstacle(&root()) {
        println!("ci: skipped: {why}");
        return Ok(());
    }
    let scratch = Scratch::new("nobody")?;
    let programs = test_programs()?;
    // What tests know as CARGO_TARGET_TMPDIR: target/tmp, three above target/debug/deps/PROGRAM.
    if let Some(target) = programs.first().and_then(|(program, _)| program.ancestors().nth(3)) {
        let _ = std::fs::remove_dir_all(target.join("tmp"));
        hand_over(&target.join("tmp"))?;
    }
    for (program, package) in programs {
        let mut run = command(&program);
        run.arg("--quiet").current_dir(&package).env("CARGO_MANIFEST_DIR", &package);
        run.env("TMPDIR", &scratch.0);
        let status = run.status().map_err(|error| format!("ci: setpriv: {error}"))?;
        if !status.success() {
            return Err(format!(
                "ci: as nobody, {} ended with {status}\n  again: {run:?}",
                program.display()
            ));
        }
    }
    Ok(())
}

/// The test executables that `cargo test` has just built, each with its package's directory.
fn test_programs() -> Result<Vec<(PathBuf, PathBuf)>, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--quiet", "--workspace", "--no-run", "--message-format=json"]);
    let output = cargo.current_dir(root()).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return finish(cargo).map(|()| Vec::new());
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(lines.lines().filter_map(test_program).collect())
}

/// One line of cargo's JSON: the executable and its package, if the line announces a test.
fn test_program(line: &str) -> Option<(PathBuf, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if !message["profile"]["test"].as_bool()? {
        return None;
    }
    let program = PathBuf::from(message["executable"].as_str()?);
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    Some((program, manifest.parent()?.to_owned()))
}

/// A directory for temporary files, in which anybody may write; it goes when this is dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes it, named after its purpose and this process.
    pub fn new(purpose: &str) -> Result<Scratch, String> {
        let name = format!("afterlife-{purpose}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        hand_over(&path).map(|()| Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a directory that belongs to nobody, where we are root, or else to us.
fn hand_over(path: &Path) -> Result<(), String> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(
        |()| if root_runs_us() { chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) },
    )
    .map_err(|error| format!("ci: cannot prepare {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::test_program;

    #[test]
    fn only_test_executables_are_taken_from_cargos_messages() {
        let test = r#"{"profile":{"test":true},"executable":"/t/deps/x-1","manifest_path":"/r/x/Cargo.toml"}"#;
        let (program, package) = test_program(test).expect("a test executable");
        assert_eq!((program.to_str(), package.to_str()), (Some("/t/deps/x-1"), Some("/r/x")));
        let library =
            r#"{"profile":{"test":false},"executable":null,"manifest_path":"/r/x/Cargo.toml"}"#;
        assert_eq!(test_program(library), None);
        assert_eq!(test_program("warning: text"), None);
    }
}
