//! `cargo xtask twin`: the same program on the real kernel and in afterlife, and what it saw there:
//! every case of tests/guests by its output and exit status (`cases`), and, where hosts talk, the
//! segments on the wire (`wire`). What differs is printed side by side.

mod cases;
mod wire;

use crate::nobody::Scratch;

/// Runs both sides and compares: the cases and the scenes whose name contains the filter.
pub fn run(filter: &str) -> Result<(), String> {
    let scratch = Scratch::new("twin")?;
    let programs = cases::run(filter, &scratch.0);
    let scenes = wire::run(filter, &scratch.0);
    programs.and(scenes)
}

/// Two texts beside each other, a mark where a line differs.
pub fn side_by_side(real: &str, ours: &str) -> String {
    let (real, ours): (Vec<&str>, Vec<&str>) = (real.lines().collect(), ours.lines().collect());
    let width = real.iter().map(|line| line.chars().count()).max().unwrap_or(0).max(12);
    let mut text = format!("    {:width$}   in afterlife\n", "real kernel");
    for row in 0..real.len().max(ours.len()) {
        let (r, o) = (real.get(row), ours.get(row));
        let mark = if r == o { ' ' } else { '|' };
        let (r, o) = (r.unwrap_or(&""), o.unwrap_or(&""));
        text += &format!("    {r:width$} {mark} {o}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::side_by_side;

    #[test]
    fn what_differs_has_a_mark_between() {
        let text = side_by_side("exit 0\nok a", "exit 1");
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows, ["    exit 0       | exit 1", "    ok a         | "]);
    }
}
