//! What a test program says: lines of the Test Anything Protocol (`ok 3 name`, `not ok 4 name`), or
//! nolibc-test's own (`3 name = value   [OK]` below a section), and the exit status, which is a check
//! as well. Numbers inside a name are dropped: they are pids, times and addresses.

use std::collections::BTreeMap;
use std::process::ExitStatus;

/// What is said of a program that had to be ended.
const LATE: &str = "still running at the end of its time";

/// The checks of one run, by name: what was said of each.
#[derive(Debug, PartialEq)]
pub struct Checks(BTreeMap<String, Said>);

#[derive(Debug, PartialEq, Clone)]
enum Said {
    Ok,
    Skipped,
    Failed(String),
}

impl Checks {
    /// The names of those that passed; one that was skipped did not.
    pub fn passed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, said)| **said == Said::Ok).map(|(name, _)| name.as_str())
    }

    /// Whether this check passed.
    pub fn passes(&self, check: &str) -> bool {
        self.0.get(check) == Some(&Said::Ok)
    }

    /// Whether the program came to its end by itself.
    pub fn ended(&self) -> bool {
        self.0.get("exit status") != Some(&Said::Failed(LATE.into()))
    }

    /// What was said of a check that did not pass.
    pub fn says(&self, check: &str) -> &str {
        match self.0.get(check) {
            Some(Said::Ok) => "it passed",
            Some(Said::Skipped) => "it was skipped",
            Some(Said::Failed(why)) => why,
            None => "it was not reached",
        }
    }
}

/// Reads a program's output; no status means that it had to be ended.
pub fn read(output: &str, status: Option<ExitStatus>) -> Checks {
    let mut checks = BTreeMap::new();
    let mut section = "";
    for line in output.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("Running test '") {
            section = name.trim_end_matches('\'');
        } else if let Some((name, said)) = tap(line).or_else(|| nolibc(section, line)) {
            checks.insert(name, said);
        }
    }
    let said = match status {
        Some(status) if status.success() => Said::Ok,
        Some(status) if status.code() == Some(4) => Said::Skipped,
        Some(status) => Said::Failed(status.to_string()),
        None => Said::Failed(LATE.into()),
    };
    checks.insert("exit status".into(), said);
    Checks(checks)
}

fn tap(line: &str) -> Option<(String, Said)> {
    let (good, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
    number.parse::<u32>().ok()?;
    let said = match good {
        _ if name.contains("# SKIP") || name.contains("[SKIP]") => Said::Skipped,
        true => Said::Ok,
        false => Said::Failed("not ok".into()),
    };
    Some((format!("{number} {}", without_numbers(name)).trim_end().to_owned(), said))
}

fn nolibc(section: &str, line: &str) -> Option<(String, Said)> {
    let (rest, verdict) = line.strip_suffix(']')?.rsplit_once('[')?;
    let mut words = rest.split_whitespace();
    let (number, name) = (words.next()?, words.next()?);
    number.parse::<u32>().ok()?;
    let said = match verdict.trim() {
        "OK" => Said::Ok,
        "SKIPPED" => Said::Skipped,
        _ => Said::Failed(rest.trim().to_owned()),
    };
    Some((format!("{section} {number} {name}"), said))
}

/// The beginning of a name, its digits left out: before a result, a parenthesis or a path.
fn without_numbers(name: &str) -> String {
    let name = name.trim_start_matches(['#', ' ']);
    let name = name.split(['#', '(', '/', ':']).next().unwrap_or(name);
    let kept: String = name.chars().filter(|it| !it.is_ascii_digit()).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn both_kinds_of_lines_and_the_status_are_checks() {
        let text = "TAP version 13\nok 1 first of 77\nnot ok 2 second\nok 3 # SKIP third\n\
                    Running test 'syscall'\n4 getpid = 17   [OK]\n5 lseek = 0  != -1 [FAIL]\n";
        let checks = read(text, Some(ExitStatus::from_raw(0)));
        let passed: Vec<&str> = checks.passed().collect();
        assert_eq!(passed, ["1 first of", "exit status", "syscall 4 getpid"]);
        assert_eq!(checks.says("2 second"), "not ok");
        assert_eq!(checks.says("syscall 5 lseek"), "5 lseek = 0  != -1");
        assert_eq!(checks.says("nothing"), "it was not reached");
    }

    #[test]
    fn a_program_that_is_ended_or_skips_itself_does_not_pass() {
        assert!(!read("", None).ended());
        assert_eq!(
            read("", Some(ExitStatus::from_raw(4 << 8))).says("exit status"),
            "it was skipped"
        );
    }
}
