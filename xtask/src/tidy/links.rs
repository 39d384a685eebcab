//! Links in the documents: `[words](path)` must lead to a file or directory of the repository. Beside
//! article.rs, which looks up names.

use super::Finding;

/// Checks each relative link of a document; `exists` answers for a path from the root.
pub fn check(path: &str, text: &str, exists: impl Fn(&str) -> bool, findings: &mut Vec<Finding>) {
    for (number, line) in text.lines().enumerate() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or("");
            if !target.is_empty() && !target.contains("://") && !exists(target) {
                let message = format!("the link to {target} leads nowhere");
                findings.push(Finding { path: path.to_owned(), line: number + 1, message });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn links_lead_somewhere() {
        let text = "[a](here) and [b](gone.rs#L3)\n[c](https://example.org) [d](#below)\n";
        let mut findings = vec![];
        check("X.md", text, |to| to == "here", &mut findings);
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["X.md:1: the link to gone.rs leads nowhere"]);
    }
}
