//! The command line: what can be asked for. The text above each option is what `--help` prints of
//! it. Replay lines are made here too.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs unmodified Linux programs in a world of its own: hosts, links, virtual time, faults.
#[derive(Parser, Debug)]
#[command(name = "afterlife", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Runs a scenario and tells its story, or one command as if natively
    #[command(after_help = "Exit status of a scenario: 0 all checks held, 1 a check failed, \
        2 bad input or an error of ours.\nA command's own exit status is passed on, 128+n for a \
        death by signal n; 124 if the world ended first.\nWhat a command leaves running has 60 s \
        of virtual time, and 2 s of real time, to finish.\nCtrl-C goes to the foreground \
        processes, twice within a second it ends the run.")]
    Run(RunArgs),
    /// Lets a process of a scenario die in every way, at the same moment: what its peers see of each
    #[command(after_help = "Each death is a run of its own: the scenario without the faults that \
        strike the process or its host, and without checks.\nExit status: 0, or 2 for bad input \
        and errors of ours.")]
    Deaths(DeathsArgs),
}

/// `afterlife deaths`.
#[derive(Args, Debug)]
pub struct DeathsArgs {
    /// The scenario, a TOML file (see examples/)
    pub scenario: PathBuf,
    /// Who dies: the name of one of its processes
    #[arg(long, value_name = "NAME")]
    pub process: String,
    /// When it dies, as in 5s; else when the scenario's first fault strikes it or its host
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<kernel::time::Duration>,
    /// The root of all choices; replaces the scenario's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Ends each world at this virtual time, as in 30s or 5min
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<kernel::time::Duration>,
}

/// `afterlife run`.
#[derive(Args, Debug, Default)]
pub struct RunArgs {
    /// The scenario, a TOML file (see examples/)
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    pub scenario: Option<PathBuf>,
    /// The root of all choices; replaces the scenario's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Shows every system call, as strace does (on stderr for a command)
    #[arg(long)]
    pub trace: bool,
    /// Shows every fact, not only those that matter most
    #[arg(long, short)]
    pub verbose: bool,
    /// Writes one JSON object per fact; - is standard output, and then no story is told
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes every packet to a pcapng file, with its cause as comment
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// A directory that guests see as / (read-only under a private layer), instead of the machine's
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Ends the world at this virtual time, as in 30s or 5min
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<kernel::time::Duration>,
    /// How long a program may compute while others wait, in real CPU time (10s); then it is
    /// pre-empted, and the run may not repeat
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub patience: Option<kernel::time::Duration>,
    /// A command to run in a fresh world of one host, after --
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

fn time(text: &str) -> Result<kernel::time::Duration, String> {
    lab::scenario::parse_duration(text)
}

impl RunArgs {
    /// The options that decide what happens in a run, as one would type them.
    pub fn replay(&self, seed: u64) -> String {
        let mut words = vec!["afterlife run".to_owned(), format!("--seed {seed}")];
        if let Some(root) = &self.root {
            words.push(format!("--root {}", quote(&root.display().to_string())));
        }
        if let Some(until) = self.until {
            words.push(format!("--until {}ns", until.as_nanos()));
        }
        if let Some(patience) = self.patience {
            words.push(format!("--patience {}ns", patience.as_nanos()));
        }
        if let Some(scenario) = &self.scenario {
            words.push(quote(&scenario.display().to_string()));
        }
        if !self.command.is_empty() {
            words.push("--".to_owned());
            words.extend(self.command.iter().map(|w| quote(&w.to_string_lossy())));
        }
        words.join(" ")
    }
}

/// A word as a shell needs it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_line_can_be_pasted() {
        let args = RunArgs {
            command: vec!["sh".into(), "-c".into(), "echo 'a b'".into()],
            ..RunArgs::default()
        };
        assert_eq!(args.replay(7), r"afterlife run --seed 7 -- sh -c 'echo '\''a b'\'''");
    }

    #[test]
    fn a_run_takes_a_scenario_or_a_command() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["afterlife", "run"], words].concat());
        assert!(parse(&["x.toml", "--seed", "3"]).is_ok());
        assert!(parse(&["--", "ls", "-l"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["x.toml", "--", "ls"]).is_err());
        assert!(parse(&["--until", "5", "x.toml"]).is_err());
    }
}
