//! One table of a scenario file: typed access to its keys, and errors that name the line and say
//! what to do. Neighbour: `parse` (which tables there are).

use super::parse::ScenarioError;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file that is being read.
pub struct Source<'a> {
    /// Its name, for errors.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl Source<'_> {
    /// The line, from 1, that a byte of the text lies on.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count()
    }

    /// An error at a byte of the text.
    pub fn error(&self, at: usize, message: impl Into<String>) -> ScenarioError {
        let (file, line) = (self.file.to_owned(), self.line(at));
        ScenarioError { file, line, message: message.into() }
    }
}

/// `; did you mean "x"?` if something known is near.
pub fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4)
        .min();
    near.map_or_else(String::new, |(_, k)| format!(", did you mean {k:?}?"))
}

/// A table of the file.
pub struct Section<'a> {
    pub source: &'a Source<'a>,
    /// As the file writes it: `[[process]]`.
    pub title: &'static str,
    table: &'a DeTable<'a>,
    /// Where it begins.
    pub at: usize,
}

/// A value with its place.
pub struct Found<T> {
    pub value: T,
    pub at: usize,
}

type Result<T> = core::result::Result<T, ScenarioError>;

impl<'a> Section<'a> {
    /// Opens a table, all of whose keys must be `known`.
    pub fn open(
        source: &'a Source<'a>,
        title: &'static str,
        value: &'a Spanned<DeValue<'a>>,
        known: &[&str],
    ) -> Result<Section<'a>> {
        let at = value.span().start;
        let table = value.get_ref().as_table();
        let table = table.ok_or_else(|| source.error(at, format!("{title} must be a table")))?;
        Section::of_table(source, title, table, at, known)
    }

    /// The same for a table in hand.
    pub fn of_table(
        source: &'a Source<'a>,
        title: &'static str,
        table: &'a DeTable<'a>,
        at: usize,
        known: &[&str],
    ) -> Result<Section<'a>> {
        let mut keys: Vec<_> = table.keys().collect();
        keys.sort_by_key(|k| k.span().start);
        let unknown = keys.into_iter().find(|k| !known.contains(&k.get_ref().as_ref()));
        if let Some(key) = unknown {
            let name = key.get_ref();
            let near = suggestion(name, known.iter().copied());
            let all = known.join(", ");
            let message = format!("{title} has no key {name:?}{near} It knows: {all}.");
            // Without a suggestion the first sentence needs its end.
            let message =
                if near.is_empty() { message.replacen(" It", ". It", 1) } else { message };
            return Err(source.error(key.span().start, message));
        }
        Ok(Section { source, title, table, at })
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    /// Is the key there?
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn wrong<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, want: &str) -> Result<T> {
        let got = value.get_ref().type_str();
        let message = format!("{key} in {} must be {want}, not of type {got}", self.title);
        Err(self.source.error(value.span().start, message))
    }

    /// An error about the table as a whole.
    pub fn error(&self, message: impl Into<String>) -> ScenarioError {
        self.source.error(self.at, message)
    }

    /// A key that must be there.
    pub fn require<T>(&self, key: &str, found: Option<T>, example: &str) -> Result<T> {
        found.ok_or_else(|| {
            self.error(format!("{} needs {key}: write for example {example}", self.title))
        })
    }

    /// A string.
    pub fn string(&self, key: &str) -> Result<Option<Found<&'a str>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(Found { value: text, at: value.span().start })),
            None => self.wrong(key, value, "a string"),
        }
    }

    /// A string that `read` understands.
    pub fn parsed<T>(
        &self,
        key: &str,
        read: impl Fn(&str) -> core::result::Result<T, String>,
    ) -> Result<Option<Found<T>>> {
        let Some(Found { value, at }) = self.string(key)? else { return Ok(None) };
        match read(value) {
            Ok(value) => Ok(Some(Found { value, at })),
            Err(message) => Err(self.source.error(at, format!("{key}: {message}"))),
        }
    }

    /// A whole number from 0 to `max`.
    pub fn integer(&self, key: &str, max: u64) -> Result<Option<Found<u64>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let Some(integer) = value.get_ref().as_integer() else {
            return self.wrong(key, value, "a whole number");
        };
        let text = integer.as_str().replace('_', "");
        let digits =
            text.trim_start_matches("0x").trim_start_matches("0o").trim_start_matches("0b");
        match u64::from_str_radix(digits, integer.radix()) {
            Ok(number) if number <= max => {
                Ok(Some(Found { value: number, at: value.span().start }))
            }
            _ => {
                let message = format!("{key} must be a whole number from 0 to {max}, not {text}");
                Err(self.source.error(value.span().start, message))
            }
        }
    }

    /// true or false.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref().as_bool() {
            Some(yes) => Ok(Some(yes)),
            None => self.wrong(key, value, "true or false"),
        }
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<Found<Vec<Found<&'a str>>>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong(key, value, "an array of strings");
        };
        let mut strings = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => strings.push(Found { value: text, at: item.span().start }),
                None => return self.wrong(key, item, "an array of strings"),
            }
        }
        Ok(Some(Found { value: strings, at: value.span().start }))
    }

    /// A table inside this one.
    pub fn section(
        &self,
        key: &str,
        title: &'static str,
        known: &[&str],
    ) -> Result<Option<Section<'a>>> {
        self.get(key).map(|v| Section::open(self.source, title, v, known)).transpose()
    }

    /// A table of strings and whole numbers with keys of any name, in the order of the file.
    pub fn setting_table(&self, key: &str) -> Result<Vec<Found<(&'a str, String)>>> {
        const WANT: &str = "a table of strings and whole numbers";
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong(key, value, WANT);
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(k, _)| k.span().start);
        let mut settings = Vec::new();
        for (k, v) in entries {
            let number = v.get_ref().as_integer().filter(|n| n.radix() == 10);
            let number = number.map(|n| n.as_str().replace('_', ""));
            match v.get_ref().as_str().map(str::to_owned).or(number) {
                Some(text) => {
                    settings
                        .push(Found { value: (k.get_ref().as_ref(), text), at: k.span().start });
                }
                None => return self.wrong(key, v, WANT),
            }
        }
        Ok(settings)
    }

    /// A table of strings with keys of any name, in the order of the file.
    pub fn string_table(&self, key: &str) -> Result<Vec<(&'a str, &'a str)>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong(key, value, "a table of strings");
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(k, _)| k.span().start);
        let text = |(k, v): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| match v.get_ref().as_str() {
            Some(text) => {
                let name: &std::borrow::Cow<'a, str> = k.get_ref();
                Ok((name.as_ref(), text))
            }
            None => self.wrong(key, v, "a table of strings"),
        };
        entries.into_iter().map(text).collect()
    }
}

/// The tables of an array of tables (`[[title]]`), in the order of the file.
pub fn sections<'a>(
    source: &'a Source<'a>,
    root: &Section<'a>,
    key: &'static str,
    title: &'static str,
    known: &[&str],
) -> Result<Vec<Section<'a>>> {
    let Some(value) = root.get(key) else { return Ok(Vec::new()) };
    let Some(array) = value.get_ref().as_array() else {
        let message = format!("{key} must be an array of tables: write {title}");
        return Err(source.error(value.span().start, message));
    };
    array.iter().map(|v| Section::open(source, title, v, known)).collect()
}
