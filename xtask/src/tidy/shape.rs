//! The shape of a file: a head that says what it is, at most 600 lines, functions that fit a screen.
//! Tables are excepted from the length by `// tidy: table` in the first ten lines; a function by
//! `// tidy: long, because …` above it or on its first line.

use super::Finding;
use super::source::Source;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const HEAD_LINES: usize = 2;

/// Applies the rules of shape to one file.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    head(source, findings);
    file_length(source, findings);
    function_lengths(source, findings);
}

fn head(source: &Source, findings: &mut Vec<Finding>) {
    // A binary may begin with `#![forbid(…)]`; anything else has to come after the head.
    let lines = source.text.lines().skip_while(|line| line.is_empty() || line.starts_with("#!["));
    let head = lines.take_while(|line| line.starts_with("//!")).count();
    if head < HEAD_LINES {
        findings.push(Finding {
            path: source.path.clone(),
            line: 1,
            message: format!(
                "the file opens with {head} lines of `//!`; say in at least {HEAD_LINES} which room \
                 this is, its neighbours and its rules"
            ),
        });
    }
}

fn file_length(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().count();
    let table = source.text.lines().take(10).any(|line| line.contains("// tidy: table"));
    if lines > FILE_LINES && !table {
        findings.push(Finding {
            path: source.path.clone(),
            line: FILE_LINES + 1,
            message: format!("{lines} lines; a file has one subject and at most {FILE_LINES}"),
        });
    }
}

fn function_lengths(source: &Source, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = source.text.lines().collect();
    for function in source.functions() {
        let length = function.last - function.line + 1;
        if length > FUNCTION_LINES && !excused(&lines, function.line) {
            findings.push(Finding {
                path: source.path.clone(),
                line: function.line,
                message: format!(
                    "`{}` has {length} lines; a function has at most {FUNCTION_LINES} (or, above \
                     it: `// tidy: long, because …`)",
                    function.name
                ),
            });
        }
    }
}

/// True if the mark stands in the comments and attributes above the function or just below `fn`.
fn excused(lines: &[&str], line: usize) -> bool {
    let mark = |text: &&str| text.contains("// tidy: long, because ");
    let above = lines[..line - 1].iter().rev();
    let mut attached = above.take_while(|text| {
        let text = text.trim_start();
        text.starts_with("//") || text.starts_with("#[")
    });
    attached.any(mark) || lines.iter().skip(line).take(2).any(mark)
}

#[cfg(test)]
mod tests {
    use super::{FILE_LINES, check};
    use crate::tidy::source::Source;

    const HEAD: &str = "//! A room.\n//! Its rules.\n";

    fn findings(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&Source::new("x.rs", text), &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_file_needs_a_head_of_two_lines() {
        assert!(findings(HEAD).is_empty());
        assert_eq!(findings("//! One line.\n").len(), 1);
        assert_eq!(findings("fn f() {}\n").len(), 1);
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_a_table() {
        let body = "x();\n".repeat(FILE_LINES);
        assert_eq!(findings(&format!("{HEAD}{body}")).len(), 1);
        assert!(findings(&format!("{HEAD}// tidy: table\n{body}")).is_empty());
    }

    #[test]
    fn a_long_function_is_found_unless_it_gives_a_reason() {
        let body = "    x();\n".repeat(70);
        assert_eq!(findings(&format!("{HEAD}fn f() {{\n{body}}}\n")).len(), 1);
        let excuse = "// tidy: long, because each arm is one state\n#[inline]\n";
        assert!(findings(&format!("{HEAD}{excuse}fn f() {{\n{body}}}\n")).is_empty());
        let without = "// tidy: long\n";
        assert_eq!(findings(&format!("{HEAD}{without}fn f() {{\n{body}}}\n")).len(), 1);
    }
}
