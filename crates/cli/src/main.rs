//! The entry of the `afterlife` command: reads the arguments, runs, and turns errors into one
//! sentence and exit status 2. Everything else is in the library, for tests.
#![forbid(unsafe_code)]

use clap::Parser;
use cli::args::{Cli, Command};
use cli::run;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { command: Command::Run(args) } = Cli::parse();
    ExitCode::from(match run::run(&args) {
        Ok(status) => status,
        Err(message) => run::complain(&message),
    })
}
