//! The entry of the `afterlife` command: reads the arguments, runs, and turns errors into one
//! sentence and exit status 2. Everything else is in the library, for tests.
#![forbid(unsafe_code)]

use clap::Parser;
use cli::args::{Cli, Command};
use cli::{deaths, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Deaths(args) => deaths::run(&args),
    };
    ExitCode::from(match done {
        Ok(status) => status,
        Err(message) => run::complain(&message),
    })
}
