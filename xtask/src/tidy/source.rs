//! A source file as tidy sees it: its text, and its *code*, which is the same text with comments and
//! the contents of literals blanked out, so that rules about words and braces don't stumble over
//! prose. Positions are the same in both. The scanner knows Rust's comments, strings, raw strings,
//! character literals and lifetimes, and nothing else.

/// One Rust file.
#[derive(Debug)]
pub struct Source {
    /// Path from the workspace's root, with `/`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The file with comments and literals blanked, byte for byte as long as `text`.
    pub code: String,
}

/// A function found in a source.
#[derive(Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The line of `fn`, from 1.
    pub line: usize,
    /// The line of its closing brace (or of the `;` of a declaration).
    pub last: usize,
}

impl Source {
    /// Scans a file's text.
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// The line, from 1, of a byte position.
    pub fn line_of(&self, position: usize) -> usize {
        self.code[..position].bytes().filter(|&byte| byte == b'\n').count() + 1
    }

    /// All functions with their extents, also those inside `impl` blocks and modules.
    pub fn functions(&self) -> Vec<Function<'_>> {
        let mut found = Vec::new();
        for position in self.words("fn") {
            let name = word_at(&self.code, position + 2);
            if name.is_empty() {
                continue; // a function pointer type, `fn(u32)`
            }
            let Some(end) = self.body_end(position) else { continue };
            let (line, last) = (self.line_of(position), self.line_of(end));
            found.push(Function { name, line, last });
        }
        found
    }

    /// The positions at which `word` stands in the code as a whole word. The word may contain
    /// `::`, and may end in a punctuation mark such as `<` or `!`.
    pub fn words(&self, word: &str) -> Vec<usize> {
        let bytes = self.code.as_bytes();
        let ends_in_letter = word.bytes().last().is_some_and(is_word);
        let whole = |at: usize| {
            let before = at == 0 || !is_word(bytes[at - 1]);
            let after = bytes.get(at + word.len()).is_none_or(|&byte| !is_word(byte));
            before && (after || !ends_in_letter)
        };
        self.code.match_indices(word).map(|(at, _)| at).filter(|&at| whole(at)).collect()
    }

    /// The position after which the item that starts at `start` ends: its matching `}`, or a `;`
    /// before any brace opened.
    pub fn body_end(&self, start: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut brackets = 0_usize;
        for (offset, byte) in self.code[start..].bytes().enumerate() {
            match byte {
                b'(' | b'[' => brackets += 1,
                b')' | b']' => brackets = brackets.saturating_sub(1),
                b'{' => depth += 1,
                b'}' if depth <= 1 => return Some(start + offset),
                b'}' => depth -= 1,
                b';' if depth == 0 && brackets == 0 => return Some(start + offset),
                _ => {}
            }
        }
        None
    }
}

/// The identifier that begins at or right after `position`'s spaces.
pub fn word_at(code: &str, position: usize) -> &str {
    let rest = code.get(position..).unwrap_or("").trim_start();
    let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
    &rest[..end]
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blanks comments and the contents of literals; newlines stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (from, to) = literal(bytes, at);
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = to.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// If a comment or literal starts at `at`: the range to blank, which ends where scanning goes on.
fn literal(bytes: &[u8], at: usize) -> (usize, usize) {
    let rest = &bytes[at..];
    let after_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        return (at, at + length);
    }
    if rest.starts_with(b"/*") {
        return (at, at + block_comment(rest));
    }
    if rest[0] == b'"' {
        return (at, at + quoted(rest, b'"'));
    }
    if !after_word && let Some(length) = raw_string(rest) {
        return (at, at + length);
    }
    // A character literal, not a lifetime: 'x' or '\n' or a character of several bytes.
    if rest[0] == b'\'' {
        let escaped = rest.get(1) == Some(&b'\\');
        let closes = rest.iter().take(6).skip(2).any(|&byte| byte == b'\'');
        let lifetime =
            rest.get(1).is_some_and(|&byte| is_word(byte)) && rest.get(2) != Some(&b'\'');
        if escaped || (closes && !lifetime) {
            return (at, at + quoted(rest, b'\''));
        }
    }
    (at, at)
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], mark: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == mark => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw string (`r"…"`, `br#"…"#`) that starts here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let body = rest.strip_prefix(b"b").unwrap_or(rest).strip_prefix(b"r")?;
    let hashes = body.iter().take_while(|&&byte| byte == b'#').count();
    if body.get(hashes) != Some(&b'"') {
        return None;
    }
    let start = rest.len() - body.len() + hashes + 1;
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let length = rest[start..].windows(close.len()).position(|window| window == close)?;
    Some(start + length + close.len())
}

#[cfg(test)]
mod tests {
    use super::{Function, Source};

    #[test]
    fn comments_and_literals_are_blanked_and_lifetimes_are_not() {
        let text = "fn f<'a>(x: &'a str) { g(\"unsafe {\", 'x', '\\'', r#\"a\"b\"#); } // static mut\n/* a /* b */ c */ end";
        let source = Source::new("x.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert!(source.code.starts_with("fn f<'a>(x: &'a str) { g("));
        for word in ["unsafe", "static", "a\"b", " c "] {
            assert!(!source.code.contains(word), "{word} in {}", source.code);
        }
        assert!(source.code.ends_with("end"));
    }

    #[test]
    fn functions_are_found_with_their_extents() {
        let text = "impl A {\n    fn one(&self) -> [u8; 4] {\n        if x { y }\n    }\n}\nfn two();\nlet p: fn(u32);\n";
        let source = Source::new("x.rs", text);
        let expected = [
            Function { name: "one", line: 2, last: 4 },
            Function { name: "two", line: 6, last: 6 },
        ];
        assert_eq!(source.functions(), expected);
    }

    #[test]
    fn words_are_whole() {
        let source = Source::new("x.rs", "MyHashMap HashMap<u8> HashMapper Arc<A> Rc<A> todo!()");
        assert_eq!(source.words("HashMap").len(), 1);
        assert_eq!(source.words("Rc<").len(), 1);
        assert_eq!(source.words("todo!").len(), 1);
    }
}
