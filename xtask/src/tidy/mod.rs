//! `cargo xtask tidy`: style as a test. Reads the sources as text, without compiling, and holds the
//! rules of CONTRIBUTING.md. Each rule is a function over one `Source`, tested on small texts:
//! shape.rs (heads, lengths), words.rs (forbidden words), imports.rs (who may know whom),
//! article.rs and links.rs (what the documents point to exists).

mod article;
mod imports;
mod links;
mod shape;
mod source;
mod words;

use crate::root;
use source::Source;
use std::fmt;
use std::path::Path;

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path from the workspace's root.
    pub path: String,
    /// Line number from 1.
    pub line: usize,
    /// What is wrong and what to do, as a sentence.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Reads every Rust source, manifest and the article's table; prints what it finds.
pub fn run() -> Result<(), String> {
    let root = root();
    let mut sources = Vec::new();
    for room in ["crates", "xtask", "tests", "fuzz"] {
        read_tree(&root, &root.join(room), &mut sources)?;
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));

    let mut findings = Vec::new();
    for source in &sources {
        shape::check(source, &mut findings);
        words::check(source, &mut findings);
        imports::check(source, &mut findings);
    }
    for name in ["kernel", "platform", "lab"] {
        let path = format!("crates/{name}/Cargo.toml");
        imports::check_manifest(name, &path, &read(&root.join(&path))?, &mut findings);
    }
    let architecture = read(&root.join("ARCHITECTURE.md"))?;
    article::check(&architecture, &sources, &mut findings);
    for path in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        links::check(path, &read(&root.join(path))?, |to| root.join(to).exists(), &mut findings);
    }

    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files read, {} findings", sources.len(), findings.len());
    if findings.is_empty() { Ok(()) } else { Err(format!("tidy: {} findings", findings.len())) }
}

fn read_tree(root: &Path, directory: &Path, into: &mut Vec<Source>) -> Result<(), String> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| format!("tidy: {}: {error}", directory.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                read_tree(root, &path, into)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            into.push(Source::new(&name, &read(&path)?));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("tidy: {}: {error}", path.display()))
}
