//! Every case of every guest program, natively and then in afterlife: the same output and the same exit
//! status, which is 0, because a case asserts its own result. Natively one after the other: some of
//! them look at the real clock. Neighbours: `native` (runs one), tests/guests/tests/afterlife.rs.

use super::side_by_side;
use crate::native::{Seen, cases, programs, see};
use std::path::Path;
use std::process::Command;

/// Compares the cases whose `program::case` contains the filter.
pub fn run(filter: &str, scratch: &Path) -> Result<(), String> {
    let programs = programs()?;
    let afterlife = programs.first().map(|program| program.with_file_name("afterlife"));
    let afterlife = afterlife.ok_or("twin: tests/guests has no programs")?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--bin", "afterlife"]);
    crate::ci::finish(cargo)?;
    let (mut agree, mut differ) = (0, Vec::new());
    for program in &programs {
        let stem = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names = cases(program)?.into_iter().map(|case| (format!("{stem}::{case}"), case));
        for (name, case) in names.filter(|(name, _)| name.contains(filter)) {
            let real = see(Command::new(program).arg(&case), scratch)
                .map_err(|why| format!("twin: {name} on the real kernel: {why}"))?;
            let mut command = Command::new(&afterlife);
            command.args(["run", "--"]).arg(program).arg(&case);
            let ours = see(&mut command, scratch)
                .map_err(|why| format!("twin: {name} in afterlife: {why}"))?;
            if real == ours && real.status == 0 {
                agree += 1;
                continue;
            }
            println!("twin: DIFFERS: {name}\n{}", side_by_side(&told(&real), &told(&ours)));
            differ.push(name);
        }
    }
    println!("twin: {agree} cases agree, {} differ", differ.len());
    if differ.is_empty() { Ok(()) } else { Err(format!("twin: {}", differ.join(", "))) }
}

fn told(seen: &Seen) -> String {
    format!("exit status {}\n{}{}", seen.status, seen.stdout, seen.stderr)
}
