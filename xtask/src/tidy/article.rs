//! ARCHITECTURE.md's table of the article: each row names an item of ours and a test. This check
//! reads the rows between `<!-- article:begin -->` and `<!-- article:end -->` and looks up both, so
//! that the table can't rot. The last but one column is our item, `crate::room::item`, with
//! `Type.field` for a field and `Enum::Variant` for a variant; it may be in the room's file or in any
//! file below. The last one is the test's function name. A row that leaves something out on purpose
//! has a dash and words in both.

use super::Finding;
use super::source::Source;

const PATH: &str = "ARCHITECTURE.md";

/// Looks up every row's items and tests.
pub fn check(text: &str, sources: &[Source], findings: &mut Vec<Finding>) {
    let mut inside = false;
    let mut rows = 0;
    for (number, line) in text.lines().enumerate() {
        match line.trim() {
            "<!-- article:begin -->" => inside = true,
            "<!-- article:end -->" => inside = false,
            row if inside && row.starts_with('|') && !is_heading(row) => {
                rows += 1;
                for message in row_problems(row, sources) {
                    findings.push(Finding { path: PATH.into(), line: number + 1, message });
                }
            }
            _ => {}
        }
    }
    if rows == 0 {
        let message = "the table of the article (<!-- article:begin -->) is missing".into();
        findings.push(Finding { path: PATH.into(), line: 1, message });
    }
}

fn is_heading(row: &str) -> bool {
    row.starts_with("|---") || row.starts_with("| the article")
}

fn row_problems(row: &str, sources: &[Source]) -> Vec<String> {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [name, .., items, tests] = cells.as_slice() else {
        return vec!["a row of the article's table needs its five columns".into()];
    };
    let mut problems = Vec::new();
    for item in quoted(items) {
        if !exists(item, sources) {
            problems.push(format!("{name}: there is no `{item}` in the sources"));
        }
    }
    for test in quoted(tests) {
        if !test_exists(test, sources) {
            problems.push(format!("{name}: there is no test or guest case `{test}`"));
        }
    }
    let left_out = items.starts_with('–');
    if !left_out && (quoted(items).is_empty() || quoted(tests).is_empty()) {
        problems.push(format!("{name}: name our item and its test, or begin with – and say why"));
    }
    problems
}

/// The words in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether `kernel::task::exit::do_exit`, `kernel::task::Task.blocked` or a variant is there.
fn exists(item: &str, sources: &[Source]) -> bool {
    let (path, field) = match item.split_once('.') {
        Some((path, field)) => (path, Some(field)),
        None => (item, None),
    };
    let names: Vec<&str> = path.split("::").collect();
    let [room, modules @ .., last] = names.as_slice() else { return false };
    // `Enum::Variant` and `Type::function`: the type's name is the last of the modules.
    let (modules, owner) = match modules {
        [before @ .., owner] if owner.starts_with(|letter: char| letter.is_ascii_uppercase()) => {
            (before, Some(*owner))
        }
        _ => (modules, None),
    };
    let modules = modules.join("/");
    let places = [format!("crates/{room}/src/{modules}"), format!("tests/{room}/{modules}")];
    let mut candidates = sources.iter().filter(|source| {
        places.iter().map(|place| place.trim_end_matches('/')).any(|place| {
            let rest = source.path.strip_prefix(place);
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    });
    candidates.any(|source| match (owner, field) {
        (Some(owner), _) => member(source, owner, last) || defines(source, last),
        (None, Some(field)) => member(source, last, field),
        (None, None) => defines(source, last),
    })
}

/// Whether the file defines an item of this name.
fn defines(source: &Source, name: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "macro_rules!"];
    kinds.iter().any(|kind| !source.words(&format!("{kind} {name}")).is_empty())
}

/// Whether the struct or enum `owner` has a field or variant of this name.
fn member(source: &Source, owner: &str, name: &str) -> bool {
    ["struct", "enum", "trait"].iter().any(|kind| {
        source.words(&format!("{kind} {owner}")).into_iter().any(|start| {
            let end = source.body_end(start).unwrap_or(start);
            source.words(name).into_iter().any(|at| start < at && at < end)
        })
    })
}

/// A unit test of any crate, or a case of a guest program: both are functions with that name.
fn test_exists(test: &str, sources: &[Source]) -> bool {
    sources.iter().any(|source| !source.words(&format!("fn {test}")).is_empty())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    fn messages(row: &str) -> Vec<String> {
        let task = "pub struct Task { pub blocked: SigSet }\npub enum Run { Ready, Dead }\n";
        let exit = "impl Kernel { fn do_exit(&mut self) {} }\n#[test] fn fin_comes_first() {}\n";
        let sources = [
            Source::new("crates/kernel/src/task/mod.rs", task),
            Source::new("crates/kernel/src/task/exit.rs", exit),
        ];
        let mut findings = Vec::new();
        let text = format!(
            "<!-- article:begin -->\n| the article | 4.19 |\n|---|---|\n{row}\n<!-- article:end -->\n"
        );
        check(&text, &sources, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn functions_fields_and_variants_are_found() {
        for item in [
            "kernel::task::do_exit",
            "kernel::task::exit::do_exit",
            "kernel::task::Task.blocked",
            "kernel::task::Run::Dead",
        ] {
            let row = format!("| x | x | x | `{item}` | `fin_comes_first` |");
            assert_eq!(messages(&row), Vec::<String>::new(), "{item}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let row = "| x | x | x | `kernel::task::exit::do_exi` | `no_such_test` |";
        assert_eq!(messages(row).len(), 2);
        assert_eq!(
            messages("| x | x | x | `kernel::task::Task.pending` | `fin_comes_first` |").len(),
            1
        );
        assert_eq!(messages("| x | x | x | words | |").len(), 1);
    }

    #[test]
    fn what_is_left_out_says_so() {
        assert!(messages("| x | x | x | – no 32-bit guests | – |").is_empty());
        assert_eq!(messages("").len(), 1, "an empty table is a finding");
    }
}
