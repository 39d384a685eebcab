//! Prints the nanoseconds that one round of a bare PTRACE_SYSEMU loop takes here; the argument is
//! the number of rounds. `cargo xtask bench` runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(100_000);
    match platform::ptrace::bare_sysemu_loop(rounds) {
        Ok(took) => {
            println!("{}", took.as_nanos() / u128::from(rounds.max(1)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bare_sysemu: {error}");
            ExitCode::FAILURE
        }
    }
}
