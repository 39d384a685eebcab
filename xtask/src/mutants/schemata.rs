//! All mutants of a file in one build: each mutated function becomes a `match` on the number of the
//! mutant that is alive, with one arm per mutant and the original last. cargo-mutants says what to
//! change; compiling a thousand times becomes compiling once. Mutants that cannot live in an arm
//! (constants, `const fn`, `-> impl Trait`) are left out here and built alone, see mod.rs.

use std::collections::BTreeMap;
use std::ops::Range;

/// A place in a source: line and column from 1, columns in characters.
pub type Place = (usize, usize);

/// One change that cargo-mutants proposes.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// How cargo-mutants names it: path, place, what it does.
    pub name: String,
    /// The source, from the workspace's root.
    pub file: String,
    /// What is replaced.
    pub span: Range<Place>,
    /// By what.
    pub replacement: String,
    /// The function around it, its documentation included.
    pub function: Option<Range<Place>>,
}

/// A file with all its mutants inside.
pub struct Schemata {
    /// The new text.
    pub text: String,
    /// The lines of each mutant's arm, from 1.
    pub arms: BTreeMap<usize, Range<usize>>,
    /// The lines of each rewritten function, with its mutants.
    pub functions: Vec<(Range<usize>, Vec<usize>)>,
}

/// The byte at which a place is.
fn offset(text: &str, place: Place) -> usize {
    let line = text.split_inclusive('\n').take(place.0 - 1).map(str::len).sum::<usize>();
    line + text[line..].chars().take(place.1 - 1).map(char::len_utf8).sum::<usize>()
}

/// The text with this one mutant in it.
pub fn alone(text: &str, mutant: &Mutant) -> String {
    let (from, to) = (offset(text, mutant.span.start), offset(text, mutant.span.end));
    format!("{}{}{}", &text[..from], mutant.replacement, &text[to..])
}

/// The bytes of a function from behind its `{` to its `}`, if its body can stand in an arm.
fn body(text: &str, function: &Range<Place>) -> Option<Range<usize>> {
    let (from, to) = (offset(text, function.start), offset(text, function.end));
    let mut at = from;
    for line in text[from..to].split_inclusive('\n') {
        let code = line.trim_start();
        if code.starts_with("//") || code.starts_with("#[") {
            at += line.len();
        } else {
            break;
        }
    }
    let open = at + text[at..to].find('{')?;
    let signature = &text[at..open];
    let opaque = signature.split("->").nth(1).is_some_and(|it| it.contains("impl "));
    let fits = !signature.contains("const fn") && !opaque && text[..to].ends_with('}');
    fits.then_some(open + 1..to - 1)
}

/// Puts every mutant of `mutants` (number and change, all of this file) into the text.
pub fn weave(text: &str, mutants: &[(usize, &Mutant)]) -> Schemata {
    /// A body with its mutants.
    type Body<'a> = (Range<usize>, Vec<(usize, &'a Mutant)>);
    let mut bodies: BTreeMap<usize, Body<'_>> = BTreeMap::new();
    for (number, mutant) in mutants {
        let Some(body) = mutant.function.as_ref().and_then(|it| body(text, it)) else { continue };
        let inside = body.start <= offset(text, mutant.span.start)
            && offset(text, mutant.span.end) <= body.end;
        // A function within a function would be rewritten twice.
        let nested = bodies
            .values()
            .any(|(other, _)| *other != body && other.start < body.end && body.start < other.end);
        if inside && !nested {
            let entry = bodies.entry(body.start).or_insert_with(|| (body, Vec::new()));
            entry.1.push((*number, mutant));
        }
    }
    let mut out = Schemata { text: String::new(), arms: BTreeMap::new(), functions: Vec::new() };
    let mut at = 0;
    for (body, inside) in bodies.into_values() {
        out.text.push_str(&text[at..body.start]);
        let first = lines(&out.text);
        out.text.push_str(" match crate::living_mutant() {\n");
        for (number, mutant) in &inside {
            let from = offset(text, mutant.span.start);
            let to = offset(text, mutant.span.end);
            let begins = lines(&out.text);
            out.text.push_str(&format!("{number} => {{"));
            out.text.push_str(&text[body.start..from]);
            out.text.push_str(&mutant.replacement);
            out.text.push_str(&text[to..body.end]);
            out.text.push_str("\n}\n");
            out.arms.insert(*number, begins..lines(&out.text));
        }
        out.text.push_str(&format!("_ => {{{}\n}}\n}}\n", &text[body.clone()]));
        let numbers = inside.iter().map(|(number, _)| *number).collect();
        out.functions.push((first..lines(&out.text), numbers));
        at = body.end;
    }
    out.text.push_str(&text[at..]);
    out
}

/// The number of the line at which a text ends.
fn lines(text: &str) -> usize {
    text.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "/// Ä {\nfn f(a: u8) -> u8 {\n    a + 1 // é\n}\nconst fn g() -> u8 { 1 + 1 }\n";

    fn plus(function: Range<Place>, span: Range<Place>) -> Mutant {
        let (name, file) = ("replace + with -".into(), "f.rs".into());
        Mutant { name, file, span, replacement: "-".into(), function: Some(function) }
    }

    #[test]
    fn a_function_gets_an_arm_for_each_mutant_and_keeps_its_body() {
        let mutant = plus((1, 1)..(4, 2), (3, 7)..(3, 8));
        assert_eq!(alone(TEXT, &mutant), TEXT.replacen("a + 1", "a - 1", 1));
        let woven = weave(TEXT, &[(7, &mutant)]);
        assert!(
            woven
                .text
                .contains("7 => {\n    a - 1 // é\n\n}\n_ => {\n    a + 1 // é\n\n}\n}\n}\nconst")
        );
        let arm = woven.arms[&7].clone();
        let within: Vec<&str> = woven.text.lines().skip(arm.start - 1).take(arm.len()).collect();
        assert_eq!((within[0], within[1]), ("7 => {", "    a - 1 // é"));
        assert_eq!(woven.functions[0].1, [7]);
    }

    #[test]
    fn what_runs_at_compile_time_is_left_alone() {
        let mutant = plus((5, 1)..(5, 29), (5, 24)..(5, 25));
        let woven = weave(TEXT, &[(1, &mutant)]);
        assert_eq!((woven.text.as_str(), woven.arms.len()), (TEXT, 0));
    }
}
