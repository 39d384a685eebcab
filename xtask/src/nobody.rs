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
    let root_runs_us = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !root_runs_us {
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

/// The command that runs `program` as nobody without capabilities, with a private TMPDIR.
pub fn command(program: &Path) -> Result<Command, String> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    command.arg(program).env("HOME", "/nonexistent").env("TMPDIR", scratch()?);
    Ok(command)
}

/// Every test binary of the workspace, run as nobody in its package's directory.
pub fn tests() -> Result<(), String> {
    if let Some(why) = obstacle(&root()) {
        println!("ci: skipped: {why}");
        return Ok(());
    }
    for (program, package) in test_programs()? {
        let mut run = command(&program)?;
        run.arg("--quiet").current_dir(&package).env("CARGO_MANIFEST_DIR", &package);
        let status = run.status().map_err(|error| format!("ci: setpriv: {error}"))?;
        if !status.success() {
            return Err(format!(
                "ci: as nobody, {} ended with {status}\n  again: cd {} && {run:?}",
                program.display(),
                package.display()
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

/// A directory that belongs to nobody, for temporary files.
fn scratch() -> Result<PathBuf, String> {
    let path = std::env::temp_dir().join("afterlife-nobody");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
    made.and_then(|()| chown(&path, Some(NOBODY), Some(NOBODY)))
        .map_err(|error| format!("ci: cannot prepare {}: {error}", path.display()))?;
    Ok(path)
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
