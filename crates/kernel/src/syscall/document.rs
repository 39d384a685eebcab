//! docs/syscalls.md, made from the table: every system call of x86-64 Linux 6.18, and how much of it
//! is here. Neighbours: `table` (the calls that are here), `absent` (those that are not).

use super::absent::{ABSENT, Absent};
use super::table::{Support, row};

/// The numbers that x86-64 Linux 6.18 does not use: the 32-bit ones' gap, and past the last.
#[cfg(test)]
const UNUSED: core::ops::Range<u64> = 335..424;
/// One past the last number (file_setattr).
const END: u64 = 470;

/// The words after the name: `full`, `partial: …`, `hint: …`, `no: …`.
fn verdict(nr: u64) -> Option<(&'static str, String)> {
    if let Some(row) = row(nr) {
        let words = match row.support {
            Support::Full => "full".to_owned(),
            Support::Partial(missing) => format!("partial: {missing}"),
            Support::Hint => "a hint: checked and kept, without an effect to observe".to_owned(),
        };
        return Some((row.name, words));
    }
    let at = ABSENT.iter().find(|(number, ..)| *number == nr)?;
    let words = match at.2 {
        Absent::NotInLinux => "as in Linux 6.18, which has it no more: ENOSYS".to_owned(),
        Absent::Missing(what) => format!("no: {what}"),
    };
    Some((at.1, words))
}

/// The whole page.
pub fn page() -> String {
    let rows: Vec<_> = (0..END).filter_map(|nr| Some((nr, verdict(nr)?))).collect();
    let count = |word: &str| rows.iter().filter(|row| row.1.1.starts_with(word)).count();
    let mut page = format!(
        "# System calls\n\n\
         Each system call of x86-64 Linux 6.18, and how much of it is here: {} in full, {} in part, {} as\n\
         hints, {} not. What is missing is refused as a Linux without it refuses, and the run says so by\n\
         name (`unsupported`). This page is made from the kernel's table (crates/kernel/src/syscall);\n\
         `cargo xtask syscalls` writes it, a test compares it.\n\n\
         | number | name | here |\n|---:|---|---|\n",
        count("full"),
        count("partial"),
        count("a hint"),
        count("no:"),
    );
    for (nr, (name, words)) in rows {
        page += &format!("| {nr} | {name} | {words} |\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_linux_is_here_or_absent_and_never_both() {
        for nr in 0..END {
            let absent = ABSENT.iter().filter(|(number, ..)| *number == nr).count();
            let here = usize::from(row(nr).is_some());
            let wanted = usize::from(!UNUSED.contains(&nr));
            assert_eq!(absent + here, wanted, "call {nr}: rows in table and absent");
        }
        assert!(ABSENT.is_sorted_by_key(|(number, ..)| *number));
    }

    #[test]
    fn the_page_is_what_the_table_says() {
        let written = include_str!("../../../../docs/syscalls.md");
        assert!(written == page(), "docs/syscalls.md is stale: run `cargo xtask syscalls`");
    }
}
